/* network/qos.c -- QoS policies: who sees and uses them, and what may not be deleted or taken back yet. */
#include "network/qos.h"
#include "core/dialect.h"
#include <string.h>

typedef struct QosPolicy {
    Row row;
    char *id, *project_id, *name, *description;
    bool shared, is_default;
    gint64 revision_number, created_at, updated_at;
    json_t *rules, *tags;
} QosPolicy;

/* clang-format off */
static const Field fields[] = {
    STR (QosPolicy, id,          "id",          FILTER | SORT),
    STR (QosPolicy, project_id,  "project_id",  CREATE | FILTER | SORT, .check = check_text),
    STR (QosPolicy, name,        "name",        CREATE | UPDATE | FILTER | SORT, .check = check_name, .dflt = "\"\""),
    COMPUTED("tenant_id", render_tenant),
    STR (QosPolicy, description, "description", CREATE | UPDATE | FILTER, .check = check_text, .dflt = "\"\""),
    BOOL(QosPolicy, shared,      "shared",      CREATE | UPDATE | FILTER, .dflt = "false"),
    BOOL(QosPolicy, is_default,  "is_default",  CREATE | UPDATE | FILTER, .dflt = "false"),
    { .json = "rules", .type = T_JSON, .off = MEMBER(QosPolicy, rules, json_t *) },
    CHILD(QosPolicy, tags,       "tags",        0, &network_tags),
    INT (QosPolicy, revision_number, "revision_number", FILTER | SORT, .dflt = "1"),
    TIME(QosPolicy, created_at,  "created_at",  FILTER | SORT),
    TIME(QosPolicy, updated_at,  "updated_at",  FILTER | SORT),
};
/* clang-format on */

bool qos_check(Db *db, const Ctx *ctx, const char *wanted, const char *had, GError **err)
{
    if (g_strcmp0(wanted, had) == 0)
        return true;
    g_autoptr(Row) before = had ? row_get_for(db, &qos_policy_resource, ctx, had, false, NULL) : NULL;
    if (had && !before)
        return nv_fail(err, NV_ERR_FORBIDDEN, "Failed to remove provided policy %s because you are not authorized.", had);
    g_autoptr(Row) row = wanted ? row_get_for(db, &qos_policy_resource, ctx, wanted, false, err) : NULL;
    return !wanted || row;
}

static bool room_check(Db *db, const char *id, GError **err)
{
    g_autoptr(json_t) rows = db_query(db, err, "qos_overfull", "s", id), packets = rows ? db_query(db, err, "qos_packets_overfull", "s", id) : NULL;
    const json_t *row = json_array_get(rows, 0), *busy = json_array_get(packets, 0);
    if (busy)
        return nv_fail(err, NV_ERR_CONFLICT, "Host %s has %" G_GINT64_FORMAT " thousand packets a second, and %" G_GINT64_FORMAT
                       " thousand would be promised to its ports by minimum packet rate rules.", json_get_str(busy, "host"),
                       json_get_int(busy, "rate", 0), json_get_int(busy, "kpps", 0));
    if (!packets || !row)
        return packets != NULL;
    return nv_fail(err, NV_ERR_CONFLICT, "Host %s has %" G_GINT64_FORMAT " kbit/s (%s) on physical network %s, and %" G_GINT64_FORMAT
                   " kbit/s would be promised to its ports by minimum bandwidth rules.", json_get_str(row, "host"), json_get_int(row, "rate", 0),
                   json_get_str(row, "direction"), json_get_str(row, "physical"), json_get_int(row, "kbps", 0));
}

bool qos_kept(Db *db, const char *id, GError **err)
{
    gint64 any = 0;
    if (!db_query_int(db, err, &any, "qos_promises_any", ""))
        return false;
    g_autoptr(json_t) rows = any ? db_query(db, err, "qos_unkept", "s", id) : json_array();
    const json_t *row = json_array_get(rows, 0);
    if (row)
        return nv_fail(err, NV_ERR_CONFLICT, "Rule minimum_bandwidth is not supported by %s %s", json_get_str(row, "kind"), json_get_str(row, "id"));
    return rows && (!any || room_check(db, id, err));
}

bool network_narrow_hosts(Db *db, const char *server_id, json_t **ret_hosts, GError **err)
{
    gint64 any = 0;
    if (!db_query_int(db, err, &any, "qos_promises_any", ""))
        return false;
    json_t *hosts = any ? db_query(db, err, "qos_narrow_hosts", "s", server_id) : json_array();
    if (hosts)
        *ret_hosts = hosts;
    return hosts != NULL;
}

bool qos_default(Db *db, const char *project_id, char **ret_id, GError **err)
{
    return db_query_str(db, err, ret_id, "qos_default_of", "s", project_id);
}

static bool default_check(Db *db, const QosPolicy *p, GError **err)
{
    g_autofree char *other = NULL;
    if (!p->is_default)
        return true;
    if (!qos_default(db, p->project_id, &other, err))
        return false;
    return !other || strcmp(other, p->id) == 0 || nv_fail(err, NV_ERR_CONFLICT, "A default QoS policy exists for project %s.", p->project_id);
}

static bool before_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    QosPolicy *p = AS(QosPolicy, row);
    if (!ctx->admin)
        return nv_fail(err, NV_ERR_FORBIDDEN, "rule:create_policy is disallowed by policy");
    return project_known(db, p->project_id, err) && default_check(db, p, err)
        && (!p->shared || rbac_everybody(db, "qos_policy", p->id, p->project_id, "access_as_shared", true, err));
}

static bool before_update(Db *db, const Ctx *ctx, Row *row, const Row *old_row, GError **err)
{
    QosPolicy *p = AS(QosPolicy, row);
    const QosPolicy *old = AS(const QosPolicy, old_row);
    BUMP(p, old);
    if (!default_check(db, p, err))
        return false;
    if (!row_is_dirty(row, &p->shared) || p->shared == old->shared)
        return true;
    g_autoptr(json_t) users = p->shared ? json_array() : db_query(db, err, "qos_foreign_users", "ss", p->id, sees_project(ctx));
    if (!users)
        return false;
    if (json_array_size(users)) {
        g_autofree char *list = ids_listed(users);
        return nv_fail(err, NV_ERR_CONFLICT, "RBAC policy on object %s cannot be removed because other objects depend on it.\n"
                       "Details: In use by: %s.", p->id, list);
    }
    return rbac_everybody(db, "qos_policy", p->id, p->project_id, "access_as_shared", p->shared, err);
}

static bool before_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    const QosPolicy *p = AS(const QosPolicy, row);
    g_autoptr(json_t) users = db_query(db, err, "qos_users", "s", p->id);
    (void) ctx;
    if (!users)
        return false;
    if (json_array_size(users)) {
        g_autofree char *list = ids_listed(users);
        return nv_fail(err, NV_ERR_CONFLICT, "QoS Policy %s is used by %s.", p->id, list);
    }
    return true;
}

/* Rules of a whole page. */
static bool after_load(Db *db, const Ctx *ctx, GPtrArray *rows, GError **err)
{
    g_autoptr(json_t) ids = json_array(), rules = NULL;
    for (guint i = 0; i < rows->len; i++)
        json_array_append_new(ids, json_string(AS(QosPolicy, rows->pdata[i])->id));
    if (!(rules = qos_rules_of(db, ids, err)))
        return false;
    for (guint i = 0; i < rows->len; i++) {
        QosPolicy *p = rows->pdata[i];
        json_t *own = json_object_get(rules, p->id);
        ROW_SET_JSON(p, rules, own ? json_incref(own) : json_array());
        p->row.dirty = 0;
    }
    return rbac_shared_load(db, ctx, rows, err);
}

const Resource qos_policy_resource = {
    .one = "policy",
    .many = "policies",
    .table = "qos_policy",
    .dialect = &dialect_neutron,
    .scope = SCOPE_NAMED,
    .visible = "shared_visible",
    .writable = "qos_writable",
    .size = sizeof(QosPolicy),
    FIELDS(fields),
    .label = "QoS policy",
    .filters = shared_filters,
    .before_create = before_create,
    .before_update = before_update,
    .before_delete = before_delete,
    .after_load = after_load,
};

bool qos_policy_update(Call *c, GError **err)
{
    const json_t *body = call_body_object(c, "policy", err);
    g_autoptr(Row) scratch = row_new(&qos_policy_resource);
    return body && row_parse(scratch, body, c->ctx, UPDATE, err) && resource_handle(c, err);
}

bool qos_project_gone(Db *db, const char *project_id, GError **err)
{
    g_autoptr(GPtrArray) rows = rows_where(db, &qos_policy_resource, err, "project_id", project_id, NULL);
    for (guint i = 0; rows && i < rows->len; i++)
        if (!row_delete(db, rows->pdata[i], err))
            return false;
    return rows != NULL;
}
