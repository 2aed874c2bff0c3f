/* core/table.h -- what a resource is: a C struct, an SQL table and a JSON object, declared once (DESIGN §4). */
#pragma once
#include "core/error.h"
#include "core/json.h"
#include "core/jsonw.h"
#include <stddef.h>

typedef struct Db Db;
typedef struct Field Field;
typedef struct Resource Resource;
typedef struct Dialect Dialect;

/* First member of every resource struct.  Bit i belongs to fields[i]: known = has a value or is null; null; dirty = to be written. */
typedef struct Row {
    const Resource *res;
    guint64 known, null, dirty;
} Row;

/* What If-Match asked for: a row that the path names by one of these ids is changed at this revision_number only. */
typedef struct RevisionMatch {
    gint64 revision;
    char *const *ids; size_t n_ids;      /* some may be NULL */
} RevisionMatch;

/* Who asks, and how.  Built once a request by identity/ and the router; read-only afterwards. */
typedef struct Ctx {
    const char *request_id;
    const char *base_url;                /* "http://host:port", no slash at the end; for links */
    const char *user_id, *user_name, *user_domain_id;      /* NULL: anonymous */
    const char *project_id, *project_name;                 /* NULL: token has no project */
    const char *domain_id;                                 /* NULL: token is not scoped to a domain */
    const char *const *roles;                              /* names, NULL-terminated; never NULL */
    const char *token_hash;                                /* NULL: anonymous */
    bool system;                                           /* system-scoped */
    bool admin;                          /* cloud administrator: sees and may do everything */
    bool all_projects;                   /* a list over all projects was asked for and is allowed */
    int mv;                              /* microversion's minor number; 0 where the service has none */
    const void *token;                   /* identity's own record of the token; NULL: anonymous */
    const RevisionMatch *match;          /* NULL: any revision will do */
} Ctx;

typedef enum { T_STR, T_INT, T_BOOL, T_TIME, T_JSON } FieldType;
typedef enum {
    CREATE   = 1 << 0,     /* may be given in POST */
    UPDATE   = 1 << 1,     /* may be given in PUT/PATCH */
    REQUIRED = 1 << 2,     /* must be given in POST */
    FILTER   = 1 << 3,
    SORT     = 1 << 4,     /* column is NOT NULL, or the field NULLABLE: null comes before all values */
    NULLABLE = 1 << 5,
    ADMIN    = 1 << 6,     /* only an administrator may give it */
    HIDDEN   = 1 << 7,     /* never rendered */
    BRIEF    = 1 << 8,     /* rendered in brief lists too */
    ADMIN_VIEW = 1 << 9,   /* rendered for administrators only */
} FieldFlags;

/* Sets err (NV_ERR_INVALID, message names f->json) unless v is a good value; v has the field's type and is not null. */
typedef bool Check(const Field *f, const json_t *v, GError **err);
/* Writes one JSON value; the key is already written. */
typedef void Render(const Row *row, const Ctx *ctx, JsonW *w);

/* A child: rows of another table that belong to this row, loaded for a whole page with one IN, held as JSON in the member.
 * CHILD_STRINGS: array of `value` (tags); CHILD_MAP: object key → value (metadata); CHILD_OBJECTS: array of `res` rendered. */
typedef enum { CHILD_STRINGS, CHILD_MAP, CHILD_OBJECTS } ChildKind;
typedef struct Child {
    ChildKind kind;
    const char *table, *parent;          /* its table; its column with our id */
    const char *key, *value;             /* columns, for STRINGS (value) and MAP (both) */
    const Resource *res;                 /* for OBJECTS */
} Child;

struct Field {
    const char *json, *col;              /* col NULL: child, computed or input */
    FieldType type;
    size_t off;
    unsigned flags;
    Check *check; const void *arg;
    const char *dflt;                    /* JSON text used when POST does not give it; NULL: none (stays unknown → column default) */
    const char *null;                    /* JSON text that null stands for, in POST and PUT; NULL: null is null, or refused */
    char *(*canon)(const char *text);    /* T_STR: how a value is spelled that is stored or filtered by; its NULL: as given */
    int since, until;                    /* microversions in which the field exists; 0: unbounded */
    Render *render;                      /* computed, or a column's own rendering */
    const Child *child;
};

/* Who sees a row.  One function (db/list.c) turns it into the WHERE; there is no other way to load a row for a caller. */
typedef enum {
    SCOPE_PROJECT,     /* project_id = caller's project; administrators see all by id, and in lists where the dialect or all_projects says so */
    SCOPE_USER,        /* user_id = caller */
    SCOPE_PUBLIC,      /* everybody sees all rows */
    SCOPE_ADMIN,       /* administrators only */
    SCOPE_NAMED,       /* the fragment `visible` of db/queries: an SQL condition over the table with :project :user :domain */
} Scope;

/* A query parameter that is no column: the condition `fragment` of db/queries, in which :value is what the caller gave (1 or 0, where it is the
 * name of a boolean).  prefix (or NULL): the row is for values that begin with it, without it (fixed_ips=subnet_id=…).  Repeated parameters: any
 * of them; with the prefix PARTS one condition for all together, in which :value is a JSON array of what stands between commas, each once. */
#define PARTS ","
typedef struct Filter { const char *query, *prefix, *fragment; } Filter;

struct Resource {
    const char *one, *many, *table;      /* "subnet", "subnets", SQL table */
    const Dialect *dialect;
    Scope scope;
    const char *visible;                 /* name of a fragment in db/queries, for SCOPE_NAMED: who may see (and list) */
    const char *writable;                /* fragment for update/delete where narrower than visible; NULL: SCOPE rule on project_id */
    size_t size;                         /* sizeof the struct */
    const Field *fields; size_t n_fields;        /* ≤ 64; fields[0] is the key */
    const char *label;                   /* what messages call it: "Subnet", "Instance"; NULL: one */
    const Filter *filters;               /* ended by query NULL; NULL: none */
    const char *default_sort;            /* "col" or "-col"; NULL: id */
    /* Hooks run inside the transaction of the write (after_load: on the reading connection, for a whole page). */
    bool (*before_create)(Db *db, const Ctx *ctx, Row *row, GError **err);
    bool (*before_update)(Db *db, const Ctx *ctx, Row *row, const Row *old, GError **err);
    bool (*before_delete)(Db *db, const Ctx *ctx, Row *row, GError **err);
    bool (*after_load)(Db *db, const Ctx *ctx, GPtrArray *rows, GError **err);
};

/* The third argument of _Generic makes a member of the wrong C type a compile error. */
#define MEMBER(T, m, ctype) (offsetof(T, m) + 0 * _Generic(((T *) 0)->m, ctype: 0))
#define STR(T, m, name, fl, ...)   { .json = name, .col = #m, .type = T_STR,  .off = MEMBER(T, m, char *),   .flags = fl, ##__VA_ARGS__ }
#define INT(T, m, name, fl, ...)   { .json = name, .col = #m, .type = T_INT,  .off = MEMBER(T, m, gint64),   .flags = fl, ##__VA_ARGS__ }
#define BOOL(T, m, name, fl, ...)  { .json = name, .col = #m, .type = T_BOOL, .off = MEMBER(T, m, bool),     .flags = fl, ##__VA_ARGS__ }
#define TIME(T, m, name, fl, ...)  { .json = name, .col = #m, .type = T_TIME, .off = MEMBER(T, m, gint64),   .flags = fl, ##__VA_ARGS__ }
#define JSON(T, m, name, fl, ...)  { .json = name, .col = #m, .type = T_JSON, .off = MEMBER(T, m, json_t *), .flags = fl, ##__VA_ARGS__ }
#define CHILD(T, m, name, fl, ch, ...) { .json = name, .type = T_JSON, .off = MEMBER(T, m, json_t *), .flags = fl, .child = ch, ##__VA_ARGS__ }
#define INPUT(T, m, name, fl, ...) { .json = name, .type = T_JSON, .off = MEMBER(T, m, json_t *), .flags = (fl) | HIDDEN, ##__VA_ARGS__ }
#define COMPUTED(name, fn, ...)    { .json = name, .render = fn, ##__VA_ARGS__ }
#define FIELDS(a) .fields = a, .n_fields = G_N_ELEMENTS(a)
#define MV(minor) (minor)
#define FIELD_PTR(row, f, ctype) ((ctype *) ((char *) (row) + (f)->off))
#define EACH_FIELD(resource, f, i) \
    size_t i = 0; i < (resource)->n_fields; i++) \
        for (const Field *f = &(resource)->fields[i]; f; f = NULL

/* Validators (core/check.c).  arg: see each. */
typedef struct { gint64 min, max; } Range;
Check check_name;          /* ≤ 255 characters, no control characters */
Check check_name_nonempty; /* the same, and not empty or only spaces */
Check check_text;          /* ≤ 255 characters; arg: const Range* of lengths */
Check check_uuid;
Check check_id;            /* UUID or 32 hexadecimal digits */
Check check_enum;          /* arg: NULL-terminated array of strings */
Check check_range;         /* arg: const Range* */
Check check_int_of;        /* arg: 0-terminated array of gint64 */
Check check_cidr;          /* with or without host bits */
Check check_ip;
Check check_ip_list;
Check check_mac;
Check check_hostname;      /* one LDH label or a dotted name, ≤ 253 */
Check check_string_map;    /* object of ≤ 128 pairs of strings ≤ 255 */
Check check_tags;          /* array of ≤ 50 distinct strings of 1–60 characters */
Check check_object;
Check check_array;         /* of ≤ 1,000 items */

/* Dialects (api/dialect.c): what differs between the services. */
extern const Dialect dialect_nova, dialect_neutron, dialect_cinder, dialect_glance, dialect_keystone;
