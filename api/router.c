/* api/router.c -- from a checked HTTP request to its handler: route, microversion, token, rule, body; and errors back. */
#include "api/api.h"
#include "api/cache.h"
#include "core/conf.h"
#include "core/fault.h"
#include "core/id.h"
#include "core/log.h"
#include "identity/identity.h"
#include <string.h>
#include <unistd.h>

/* A segment of the paths that start alike. */
typedef struct Node {
    GHashTable *literal;             /* segment → Node */
    struct Node *any;                /* {…} */
    GPtrArray *routes;               /* Route*, those that end here */
    const Service *service;
} Node;

/* Built once at start, then read only. */
static Node *tree, *metadata_tree;
static Db *router_db;

static Node *node_new(void)
{
    Node *n = g_new0(Node, 1);
    n->literal = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    n->routes = g_ptr_array_new();
    return n;
}

static Node *node_child(Node *n, const char *segment)
{
    if (segment[0] == '{')
        return n->any ? n->any : (n->any = node_new());
    Node *child = g_hash_table_lookup(n->literal, segment);
    if (!child)
        g_hash_table_insert(n->literal, g_strdup(segment), child = node_new());
    return child;
}

static bool add_routes(Node *root, const Service *s, GError **err)
{
    for (const Route *r = s->routes; r && r->method; r++) {
        if (r->rule == RULE_UNSET || (!r->run && !r->res))
            return nv_fail(err, NV_ERR_INTERNAL, "route %s %s%s has no rule or no handler", r->method, s->prefix, r->path);
        g_autofree char *full = g_strconcat(s->prefix, r->path, NULL);
        g_auto(GStrv) segments = g_strsplit(full, "/", -1);
        Node *n = root;
        for (char **p = segments; *p; p++)
            if (**p)
                n = node_child(n, *p);
        g_ptr_array_add(n->routes, (gpointer) r);
        n->service = s;
    }
    return true;
}

bool router_start(Db *db, GError **err)
{
    router_db = db;
    tree = node_new();
    metadata_tree = node_new();
    for (const Service *s = services; s->name; s++)
        if (!add_routes(tree, s, err))
            return false;
    return add_routes(metadata_tree, &metadata_service, err);
}

void router_each(void (*fn)(const Service *service, const Route *route, void *data), void *data)
{
    for (const Service *s = services; s->name; s++)
        for (const Route *r = s->routes; r && r->method; r++)
            fn(s, r, data);
}

/* Literal segments win over {…}; params collects what the latter matched. */
static Node *match(Node *n, char **segments, char **params, int n_params)
{
    if (!*segments)
        return n->routes->len ? n : NULL;
    Node *child = g_hash_table_lookup(n->literal, *segments);
    Node *found = child ? match(child, segments + 1, params, n_params) : NULL;
    if (found || !n->any || n_params >= CALL_PARAMS_MAX)
        return found;
    found = match(n->any, segments + 1, params, n_params + 1);
    if (found)
        params[n_params] = *segments;
    return found;
}

/* Segments of path; a slash at the end does not count. */
static char **split_path(const char *path)
{
    g_autofree char *bare = g_strdup(path + (*path == '/'));
    gsize n = strlen(bare);
    if (n && bare[n - 1] == '/')
        bare[n - 1] = '\0';
    return *bare ? g_strsplit(bare, "/", -1) : g_new0(char *, 1);
}

static bool method_matches(const Route *r, const char *method)
{
    return strcmp(r->method, method) == 0 || (strcmp(method, "HEAD") == 0 && strcmp(r->method, "GET") == 0);
}

/* The service whose prefix path starts with, longest first: it answers with its error body even where no route matches. */
static const Service *service_of(const char *path)
{
    const Service *best = NULL;
    for (const Service *s = services; s->name; s++) {
        g_auto(GStrv) parts = g_strsplit(s->prefix, "/", 3);
        const char *first = parts[0] && parts[1] ? parts[1] : "";
        gsize n = strlen(first);
        bool under = strncmp(path + 1, first, n) == 0 && (path[1 + n] == '/' || !path[1 + n]);
        if ((n == 0 && !best) || (n > 0 && under))
            best = s;
    }
    return best;
}

static bool fail_method(const Node *n, Call *c, int mv, GError **err)
{
    g_autoptr(GString) allow = g_string_new(NULL);
    for (guint i = 0; i < n->routes->len; i++) {
        const Route *r = n->routes->pdata[i];
        if (mv >= r->since && (!r->until || mv <= r->until) && !strstr(allow->str, r->method))
            g_string_append_printf(allow, "%s%s", allow->len ? ", " : "", r->method);
    }
    if (!allow->len)
        return nv_fail(err, NV_ERR_NOT_FOUND, "The resource could not be found: this cloud has no such call.");
    call_header(c, "Allow", allow->str);
    return nv_fail(err, NV_ERR_METHOD, "The method %s is not allowed for this resource.", c->method);
}

static const Route *pick(const Node *n, const Call *c, int mv)
{
    const Route *exact = NULL;
    for (guint i = 0; i < n->routes->len; i++) {
        const Route *r = n->routes->pdata[i];
        bool in_range = mv >= r->since && (!r->until || mv <= r->until);
        if (in_range && method_matches(r, c->method) && (!exact || strcmp(r->method, c->method) == 0))
            exact = r;
    }
    return exact;
}

/* text is "2.93", n bytes long. */
static bool parse_version(const char *text, gsize n, const Dialect *d, int *ret_mv, GError **err)
{
    gsize whole = strspn(text, "0123456789"), part = text[whole] == '.' ? strspn(text + whole + 1, "0123456789") : 0;
    if (n == strlen("latest") && g_ascii_strncasecmp(text, "latest", n) == 0)
        return *ret_mv = d->mv_max, true;
    if (!whole || !part || whole + 1 + part != n || n > 8)
        return nv_fail(err, NV_ERR_INVALID, "API Version String %.*s is of invalid format. Must be of format MajorNum.MinorNum.",
                       (int) MIN(n, 32), text);
    int major = (int) g_ascii_strtoll(text, NULL, 10), minor = (int) g_ascii_strtoll(text + whole + 1, NULL, 10);
    if (major != d->mv_major || minor < d->mv_min || minor > d->mv_max)
        return nv_fail(err, NV_ERR_NOT_ACCEPTABLE, "Version %.*s is not supported by the API. Minimum is %d.%d and maximum is %d.%d.", (int) n,
                       text, d->mv_major, d->mv_min, d->mv_major, d->mv_max);
    *ret_mv = minor;
    return true;
}

/* "OpenStack-API-Version: compute 2.93" among comma-separated ones, or the service's older header.  Absent: the minimum. */
static bool read_version(const Call *c, const Dialect *d, int *ret_mv, GError **err)
{
    *ret_mv = d->mv_min;
    if (!d->mv_service)
        return true;
    const char *header = c->header(c, "OpenStack-API-Version"), *legacy = d->mv_legacy ? c->header(c, d->mv_legacy) : NULL;
    for (const char *one = header; one && *one; one += *one == ',') {
        one += strspn(one, " \t");
        gsize name = strcspn(one, " \t,");
        const char *number = one + name + strspn(one + name, " \t");
        gsize n = strcspn(number, " \t,");
        if (n && name == strlen(d->mv_service) && g_ascii_strncasecmp(one, d->mv_service, name) == 0)
            return parse_version(number, n, d, ret_mv, err);
        one += strcspn(one, ",");
    }
    g_autofree char *bare = legacy ? g_strstrip(g_strdup(legacy)) : NULL;
    return !bare || parse_version(bare, strlen(bare), d, ret_mv, err);
}

static void reply_version(Call *c, const Dialect *d, int mv)
{
    if (!d->mv_service)
        return;
    g_autofree char *number = g_strdup_printf("%d.%d", d->mv_major, mv);
    g_autofree char *full = g_strdup_printf("%s %s", d->mv_service, number);
    call_header(c, "OpenStack-API-Version", full);
    if (d->mv_legacy)
        call_header(c, d->mv_legacy, number);
    call_header(c, "Vary", d->mv_legacy ? "OpenStack-API-Version, X-OpenStack-Nova-API-Version" : "OpenStack-API-Version");
}

static bool is_json_type(const char *type)
{
    return !type || g_str_has_prefix(type, "application/json") || g_str_has_prefix(type, "application/openstack-images-v2");
}

static bool parse_body(HttpRequest *req, GError **err)
{
    Call *c = &req->call;
    c->raw = req->raw_body;
    c->raw_len = req->raw_len;
    if (!req->raw_len || (c->route->flags & (STREAM_IN | NO_BODY_PARSE)))
        return true;
    const char *type = c->header(c, "Content-Type");
    if (!is_json_type(type))
        return nv_fail(err, NV_ERR_MEDIA_TYPE, "Unsupported Content-Type %.64s: send application/json", type);
    c->body = json_parse_strict(req->raw_body, req->raw_len, err);
    return c->body != NULL;
}

static void render_error(Call *c, const Dialect *d, const GError *why, const char *request_id)
{
    NvErr code = nv_error_code(why);
    int status = dialect_status(d, code);
    const char *message = why->message;
    if (code == NV_ERR_INTERNAL) {
        log_error("api.internal", "method", c->method, "path", c->path, "why", why->message, NULL);
        message = "An unexpected error prevented the server from fulfilling your request; the operator finds it in the log under this request id.";
    }
    if (c->fd >= 0) {
        close(c->fd);
        c->fd = -1;
    }
    if (code == NV_ERR_UNAUTHORIZED) {
        g_autofree char *uri = g_strdup_printf("Keystone uri=\"%s/identity\"", c->ctx ? c->ctx->base_url : "");
        call_header(c, "WWW-Authenticate", uri);
    }
    JsonW w = call_begin(c, status);
    d->error(&w, status, code, message, request_id);
    c->content_type = NULL;
}

/* What lives as long as one call. */
typedef struct Scene {
    Ctx ctx;
    RevisionMatch match;
    char request_id[48];
    Login *login;
} Scene;

static bool run(HttpRequest *req, Scene *scene, const Node *n, const Dialect *d, GError **err)
{
    Call *c = &req->call;
    Ctx *ctx = &scene->ctx;
    if (!read_version(c, d, &ctx->mv, err))
        return false;
    reply_version(c, d, ctx->mv);
    if (!n)
        return nv_fail(err, NV_ERR_NOT_FOUND, "The resource could not be found: this cloud has no such call.");
    c->route = pick(n, c, ctx->mv);
    if (!c->route)
        return fail_method(n, c, ctx->mv, err);
    const char *token = c->header(c, "X-Auth-Token");
    if (token && c->route->rule != ANYONE) {
        scene->login = identity_login(c->db, token, err);
        if (!scene->login)
            return false;
        identity_ctx(scene->login, ctx);
    }
    if (c->route->rule != ANYONE && !identity_allows(ctx, c->route->rule, err))
        return false;
    if (!identity_permits(ctx, d->service_type, c->head ? "HEAD" : c->method, c->path, err) || !parse_body(req, err))
        return false;
    bool constrained = false;
    if (d->revision_match && !match_read(c, &scene->match, &constrained, err))
        return false;
    if (constrained && strcmp(c->method, "GET") != 0)
        ctx->match = &scene->match;
    guint64 stamp;
    if (cache_get(c, &stamp))
        return true;
    if (!(c->route->flags & (STREAM_IN | SLOW)))
        db_snapshot_begin(c->db);
    bool ok = c->route->run ? c->route->run(c, err) : resource_handle(c, err);
    db_snapshot_end(c->db);
    if (ok)
        cache_put(c, stamp);
    return ok;
}

static void handle_in(HttpRequest *req, Node *root)
{
    static const char *const no_roles[] = { NULL };
    Call *c = &req->call;
    g_auto(GStrv) segments = split_path(c->path);
    g_autofree char *id = id_new();
    g_autoptr(GError) err = NULL;
    Scene scene = { .ctx = { .roles = no_roles } };
    g_snprintf(scene.request_id, sizeof scene.request_id, "req-%s", id);
    const char *scheme = *conf_str("api.tls_cert") ? "https" : "http", *fixed = conf_str("api.public_url");
    g_autofree char *base_url = *fixed ? g_strdup(fixed) : g_strdup_printf("%s://%s", scheme, req->host ? req->host : "localhost");
    scene.ctx.request_id = scene.request_id;
    scene.ctx.base_url = base_url;
    log_request_set(scene.request_id);
    c->db = router_db;
    c->network = req->network_id;
    c->via = req->via;
    c->ctx = &scene.ctx;
    c->fd = -1;
    const Node *n = match(root, segments, c->params, 0);
    const Dialect *d = (n ? n->service : root == tree ? service_of(c->path) : &metadata_service)->dialect;
    call_header(c, "x-openstack-request-id", scene.request_id);
    if (d == &dialect_nova)
        call_header(c, "x-compute-request-id", scene.request_id);
    if (!run(req, &scene, n, d, &err))
        render_error(c, d, err, scene.request_id);
    g_assert(c->status);
    log_debug("api.call", "method", c->method, "path", c->path, "status", LOG_INT(c->status), "user", scene.ctx.user_id, NULL);
    json_decref(c->body);
    c->body = NULL;
    c->ctx = NULL;
    memset(c->params, 0, sizeof c->params);
    g_clear_pointer(&scene.login, identity_login_free);
    log_request_set(NULL);
}

void router_handle(HttpRequest *req, void *data)
{
    (void) data;
    handle_in(req, tree);
}

void router_handle_metadata(HttpRequest *req, void *data)
{
    (void) data;
    handle_in(req, metadata_tree);
}

static bool has_flag(const char *method, const char *path, unsigned flag)
{
    char *params[CALL_PARAMS_MAX] = { NULL };
    g_auto(GStrv) segments = split_path(path);
    const Node *n = match(tree, segments, params, 0);
    for (guint i = 0; n && i < n->routes->len; i++) {
        const Route *r = n->routes->pdata[i];
        if (strcmp(r->method, method) == 0 && (r->flags & flag))
            return true;
    }
    return false;
}

bool router_quick(const char *method, const char *path)
{
    return strcmp(method, "GET") == 0 && has_flag(method, path, QUICK);
}

bool router_streams(const char *method, const char *path, gint64 *ret_max)
{
    bool streams = has_flag(method, path, STREAM_IN);
    if (streams)
        *ret_max = -1;
    return streams;
}

/* Only what changes something is slow: reads need no look-up here. */
bool router_slow(const char *method, const char *path)
{
    return method[0] == 'P' && has_flag(method, path, SLOW);
}
