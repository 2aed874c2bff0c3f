/* core/call.h -- one API call as a handler sees it: checked input in, a reply out; and the route tables that name the handlers. */
#pragma once
#include "core/table.h"
#include <sys/types.h>

enum { CALL_PARAMS_MAX = 4 };
typedef struct Route Route;
/* A streamed request body: whoever receives it (api/http.c) embeds this with its own way to wait for bytes. */
typedef struct CallBody CallBody;
struct CallBody {
    gssize (*read)(CallBody *body, void *buf, gsize n, GError **err);
};
typedef struct Param { char *name, *value; } Param;

/* The caller's part is read-only.  Strings live as long as the call. */
typedef struct Call {
    const Ctx *ctx;
    Db *db;
    const Route *route;
    const char *method, *path;                   /* decoded path, service prefix included */
    bool head;                                   /* method is GET, and HEAD was meant: only the status and headers are sent */
    char *params[CALL_PARAMS_MAX];               /* values of the {…} of the route's path, in order */
    const Param *query; size_t n_query;          /* decoded, in order */
    const char *(*header)(const struct Call *call, const char *name);   /* request header or NULL */
    const char *client;                          /* peer address as text */
    const char *network;                         /* metadata listener: the network the connection came in from; else NULL */
    const char *via;                             /* and the host whose agent says so; NULL: the agent of this one */
    json_t *body;                                /* parsed JSON body, NULL if none */
    const char *raw; gsize raw_len;              /* the buffered body as it came, for NO_BODY_PARSE routes */
    CallBody *in;                                /* streamed body, for STREAM_IN routes: call_read */
    /* the reply */
    int status;                                  /* 0 until set */
    GString *out;                                /* body text; NULL or empty: none */
    const char *content_type;                    /* static; NULL: application/json */
    GPtrArray *headers;                          /* name, value, name, value …; owned strings */
    int fd; goffset fd_offset, fd_length;        /* fd >= 0: the body is this part of the file; the reply closes it */
    void *impl;                                  /* api/'s */
} Call;

/* True: c->status is set and the reply is complete.  False: err says what went wrong; the dialect renders it. */
typedef bool Handler(Call *c, GError **err);

/* Who may call a route.  The check runs before the handler; visibility of rows is another matter (Scope).  Defaults are Zed's:
 * admin is the cloud administrator, reader ⊂ member ⊂ admin on the token's project. */
typedef enum {
    RULE_UNSET,            /* a route without a rule does not start */
    ANYONE,                /* no token needed */
    AUTHENTICATED,         /* any valid token */
    PRIMARY,               /* any valid token that stands for its whole user: not those of trusts and restricted application credentials */
    PROJECT_READER,        /* reader, member or admin on a project (administrators always) */
    PROJECT_MEMBER,
    SYSTEM_READER,         /* admin, or reader on the system */
    DOMAIN_READER,         /* admin, or reader on the system or on a domain (then within that domain) */
    DOMAIN_ADMIN,          /* admin, or admin on a domain (then within that domain) */
    ADMIN_ONLY,
    OWN_RULE,              /* the handler asks identity_* itself, on the rows it loaded (Keystone's per-target rules) */
} Rule;

typedef enum {
    STREAM_IN = 1 << 0,    /* body is not JSON: read it with call_read */
    NO_BODY_PARSE = 1 << 1,/* a body is ignored */
    SLOW = 1 << 3,         /* takes its turn behind others of its kind (password hashing): at most half of the workers do such */
    QUICK = 1 << 4,        /* reads a few rows and never waits: run where it arrived, a hand-over to a worker would cost more than the work */
    KEPT = 1 << 5,         /* depends on rows and api/cache.c's key alone and sets no header: answered from memory until a commit */
    BRIEF_LIST = 1 << 2,   /* generic list renders BRIEF fields (Nova's GET /servers beside /servers/detail) */
} RouteFlags;

/* run NULL: the generic engine (api/resource.c) serves res, by method and by whether the path ends in {id}. */
struct Route {
    const char *method, *path;                   /* path under the service's prefix, "{id}" captures one segment */
    Rule rule;
    Handler *run;
    const Resource *res;
    unsigned flags;
    int since, until;                            /* microversions; outside: 404 */
};
#define ROUTE(method_, path_, rule_, run_, ...) { .method = method_, .path = path_, .rule = rule_, .run = run_, ##__VA_ARGS__ }
/* The rows of one generic resource: list, show, create, update, delete.  update is "PUT" (Neutron), "PATCH" (Keystone) … */
#define CRUD(path_, res_, read_, write_, update_) \
    { .method = "GET",    .path = path_,          .rule = read_,  .res = res_ }, \
    { .method = "GET",    .path = path_ "/{id}",  .rule = read_,  .res = res_, .flags = QUICK | KEPT }, \
    { .method = "POST",   .path = path_,          .rule = write_, .res = res_ }, \
    { .method = update_,  .path = path_ "/{id}",  .rule = write_, .res = res_ }, \
    { .method = "DELETE", .path = path_ "/{id}",  .rule = write_, .res = res_ }
#define ROUTES_END { .method = NULL }

/* The generic engine (api/resource.c), for a handler that does something of its own first on a route with res. */
Handler resource_handle;
/* Its list alone, of the rows for which the condition `fragment` of db/queries holds (NULL: all that the caller sees). */
bool resource_list(Call *c, const char *fragment, GError **err);
/* This list's address with another marker (NULL: as asked; "": with none, from the list's end where reverse). */
char *resource_page_url(const Call *c, const char *marker, bool reverse);

/* Value of the last query parameter of that name, or NULL. */
const char *call_query(const Call *c, const char *name);
/* Integer in [min,max]; absent: otherwise.  False: err names it. */
bool call_query_int(const Call *c, const char *name, gint64 min, gint64 max, gint64 otherwise, gint64 *ret_n, GError **err);
/* As text_is_bool takes it; absent: otherwise. */
bool call_query_bool(const Call *c, const char *name, bool otherwise, bool *ret_b, GError **err);
/* Starts a JSON reply: sets the status and returns a writer on c->out. */
JsonW call_begin(Call *c, int status);
/* Whole reply from a tree (stolen).  Always true. */
bool call_reply(Call *c, int status, json_t *body);
/* Status without a body (202, 204 …).  Always true. */
bool call_reply_empty(Call *c, int status);
/* Adds a reply header (copied); a value with control characters aborts. */
void call_header(Call *c, const char *name, const char *value);
/* Next bytes of a streamed body: > 0 bytes, 0 at its end, -1 with err (client gone, too slow, too large). Blocks. */
gssize call_read(Call *c, void *buf, gsize n, GError **err);
/* The object under key of the body ({"server": {…}}), or NULL with NV_ERR_INVALID. */
json_t *call_body_object(const Call *c, const char *key, GError **err);
