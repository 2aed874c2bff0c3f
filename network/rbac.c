/* network/rbac.c -- RBAC policies: networks, security groups, pools, scopes and address groups shared with chosen projects or with everybody. */
#include "core/dialect.h"
#include "core/id.h"
#include "identity/identity.h"
#include "network/internal.h"
#include <string.h>

static const char *const actions[] = { "access_as_shared", "access_as_external", NULL };

typedef struct Policy {
    Row row;
    char *id, *project_id, *object_type, *object_id, *action, *target_tenant;
} Policy;

/* flag: the object's own column that says "with everybody", or NULL; statements that set it and that find users. */
static const struct Sharable { const char *type; const Resource *res; const char *set_shared, *set_external, *foreign; } sharables[] = {
    { "network",        &network_resource,        "network_set_shared",    "network_set_external", "rbac_network_users" },
    { "security_group", &security_group_resource, NULL,                    NULL,                   "rbac_group_users" },
    { "address_scope",  &address_scope_resource,  "scope_set_shared",      NULL,                   "rbac_scope_users" },
    { "subnetpool",     &subnetpool_resource,     "subnetpool_set_shared", NULL,                   "rbac_subnetpool_users" },
    { "address_group",  &address_group_resource,  NULL,                    NULL,                   "rbac_address_group_users" },
    { "qos_policy",     &qos_policy_resource,     "qos_set_shared",        NULL,                   "rbac_qos_users" },
};

static const struct Sharable *sharable(const char *type)
{
    for (gsize i = 0; i < G_N_ELEMENTS(sharables); i++)
        if (strcmp(sharables[i].type, type) == 0)
            return &sharables[i];
    return NULL;
}

static bool check_type(const Field *f, const json_t *v, GError **err)
{
    return sharable(json_string_value(v))
           || nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: '%.64s' is not a kind of object that can be shared.", f->json,
                      json_string_value(v));
}

/* clang-format off */
static const Field fields[] = {
    STR(Policy, id,            "id",            FILTER | SORT),
    STR(Policy, project_id,    "project_id",    CREATE | ADMIN | FILTER | SORT, .check = check_text),
    COMPUTED("tenant_id", render_tenant),
    STR(Policy, object_type,   "object_type",   CREATE | REQUIRED | FILTER | SORT, .check = check_type),
    STR(Policy, object_id,     "object_id",     CREATE | REQUIRED | FILTER | SORT, .check = check_uuid),
    STR(Policy, action,        "action",        CREATE | REQUIRED | FILTER | SORT, .check = check_enum, .arg = actions),
    STR(Policy, target_tenant, "target_tenant", CREATE | UPDATE | REQUIRED | FILTER | SORT, .check = check_name_nonempty),
};
/* clang-format on */

bool rbac_everybody(Db *db, const char *type, const char *object_id, const char *project_id, const char *action, bool on, GError **err)
{
    g_autofree char *id = id_new();
    return on ? db_exec(db, err, "rbac_wildcard_add", "sssss", id, project_id, type, object_id, action)
              : db_exec(db, err, "rbac_wildcard_remove", "ss", object_id, action);
}

static bool set_flag(Db *db, const Policy *p, bool on, GError **err)
{
    const struct Sharable *s = sharable(p->object_type);
    const char *statement = strcmp(p->action, "access_as_shared") == 0 ? s->set_shared : s->set_external;
    bool external = strcmp(p->action, "access_as_external") == 0;      /* for one project or for all: the network leads out */
    return (strcmp(p->target_tenant, "*") != 0 && !external) || !statement || db_exec(db, err, statement, "sis", p->object_id, (gint64) on, p->id);
}

/* The caller's own object; others' are not there for him. */
static bool object_check(Db *db, const Ctx *ctx, const Policy *p, GError **err)
{
    const struct Sharable *s = sharable(p->object_type);
    g_autoptr(Row) row = row_get_for(db, s->res, ctx, p->object_id, false, err);
    if (!row)
        return false;
    if (!ctx->admin && g_strcmp0(*row_project(row), ctx->project_id) != 0)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: Only admins can manipulate policies on objects they do not own.");
    if (strcmp(p->action, "access_as_external") == 0 && strcmp(p->object_type, "network") != 0)
        return nv_fail(err, NV_ERR_INVALID, "Invalid action 'access_as_external' for object type '%s'. Valid actions: access_as_shared",
                       p->object_type);
    if (!ctx->admin && (strcmp(p->target_tenant, "*") == 0 || strcmp(p->action, "access_as_external") == 0))
        return nv_fail(err, NV_ERR_FORBIDDEN, "rule:create_rbac_policy:target_tenant is disallowed by policy");
    return true;
}

static char *row_id(const Row *row)
{
    return *FIELD_PTR(row, &row->res->fields[0], char *);
}

bool rbac_shared_load(Db *db, const Ctx *ctx, GPtrArray *rows, GError **err)
{
    g_autoptr(json_t) ids = json_array(), found = NULL;
    g_autoptr(GHashTable) by_id = g_hash_table_new(g_str_hash, g_str_equal);
    if (!rows->len || !ctx || !ctx->project_id)
        return true;
    for (guint i = 0; i < rows->len; i++) {
        json_array_append_new(ids, json_string(row_id(rows->pdata[i])));
        g_hash_table_insert(by_id, row_id(rows->pdata[i]), rows->pdata[i]);
    }
    const Resource *res = AS(Row, rows->pdata[0])->res;
    const Field *shared = &res->fields[field_index(res, "shared", 0)];
    g_autofree char *text = json_text(ids);
    if (!(found = db_query(db, err, "rbac_shared_with", "ss", ctx->project_id, text)))
        return false;
    for (size_t i = 0; i < json_array_size(found); i++)
        *FIELD_PTR(g_hash_table_lookup(by_id, json_get_str(json_array_get(found, i), "id")), shared, bool) = true;
    return true;
}

bool rbac_scope_closed(const char *pool_id, GError **err)
{
    return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: Failed to create RBAC policy on object %s because target project doesn't have "
                   "access to associated address scope..", pool_id);
}

/* Who gets a pool has its address scope already. */
static bool scope_open(Db *db, const Policy *p, GError **err)
{
    gint64 closed = 0;
    if (strcmp(p->object_type, "subnetpool") != 0)
        return true;
    if (!db_query_int(db, err, &closed, "rbac_pool_scope_closed", "ss", p->object_id, p->target_tenant))
        return false;
    return !closed || rbac_scope_closed(p->object_id, err);
}

static bool before_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    Policy *p = AS(Policy, row);
    gint64 same = 0;
    if (!project_known(db, p->project_id, err) || !object_check(db, ctx, p, err) || !scope_open(db, p, err)
        || !quota_check(db, p->project_id, "rbac_policy", 1, err)
        || !db_query_int(db, err, &same, "rbac_same", "sss", p->object_id, p->action, p->target_tenant))
        return false;
    if (same)
        return nv_fail(err, NV_ERR_CONFLICT, "An RBAC policy already exists with those values.");
    return set_flag(db, p, true, err);
}

static bool in_use(const Policy *p, const char *why, GError **err)
{
    return nv_fail(err, NV_ERR_CONFLICT, "RBAC policy on object %s cannot be removed because other objects depend on it.\nDetails: %s", p->object_id,
                   why);
}

/* Nothing is left that needs the policy, says the query; otherwise what is in the way is named, as far as who asks may see it. */
static bool no_users(Db *db, const Ctx *ctx, const Policy *p, const char *query, const char *why, GError **err)
{
    g_autoptr(json_t) users = db_query(db, err, query, "ssss", p->object_id, p->target_tenant, p->id, sees_project(ctx));
    g_autofree char *list = ids_listed(users), *text = g_strdup_printf("%s In use by: %s.", why, list);
    return users && (!json_array_size(users) || in_use(p, text, err));
}

/* A network leads out for a project that has a router or a floating IP there; the default external network does for everybody. */
static bool external_unused(Db *db, const Ctx *ctx, const Policy *p, GError **err)
{
    const char *why = "There are routers attached to this network that depend on this policy for access.";
    g_autoptr(Network) n = network_find(db, NULL, p->object_id, err);
    if (!n || !no_users(db, ctx, p, "network_external_users", why, err))
        return false;
    return !n->is_default || strcmp(p->target_tenant, "*") != 0 || in_use(p, "Default external networks must be shared to everyone.", err);
}

/* Nobody uses what only this policy gives him.  The owner needs none. */
static bool unused(Db *db, const Ctx *ctx, const Policy *p, GError **err)
{
    const struct Sharable *s = sharable(p->object_type);
    if (strcmp(p->action, "access_as_external") == 0)
        return external_unused(db, ctx, p, err);
    g_autoptr(Row) object = row_get(db, s->res, p->object_id, err);
    if (!object)
        return false;
    if (g_strcmp0(*row_project(object), p->target_tenant) == 0)
        return true;
    g_autofree char *why = g_strdup_printf("project_id=%s.", p->target_tenant);
    return no_users(db, ctx, p, s->foreign, why, err);
}

/* Whom the policy named before has it by the policy for everybody too; Neutron makes an exception of networks. */
static bool before_update(Db *db, const Ctx *ctx, Row *row, const Row *old_row, GError **err)
{
    const Policy *p = AS(const Policy, row), *old = AS(const Policy, old_row);
    bool same = strcmp(p->target_tenant, old->target_tenant) == 0;
    bool wider = strcmp(p->target_tenant, "*") == 0 && strcmp(p->object_type, "network") != 0;
    return (same || wider || unused(db, ctx, old, err)) && object_check(db, ctx, p, err) && scope_open(db, p, err) && set_flag(db, old, false, err)
        && set_flag(db, p, true, err);
}

static bool before_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    const Policy *p = AS(const Policy, row);
    return unused(db, ctx, p, err) && set_flag(db, p, false, err);
}

const Resource rbac_resource = {
    .one = "rbac_policy", .many = "rbac_policies", .table = "rbac_policy", .dialect = &dialect_neutron, .scope = SCOPE_PROJECT,
    .size = sizeof(Policy), FIELDS(fields), .label = "RBAC policy",
    .before_create = before_create, .before_update = before_update, .before_delete = before_delete,
};
