/* network/group.c -- security groups: what a port may send and receive; each project has a default one from first use on. */
#include "core/dialect.h"
#include "core/id.h"
#include "identity/identity.h"
#include "network/qos.h"
#include <string.h>

static const Child group_rules = {
    .kind = CHILD_OBJECTS, .table = "security_group_rule", .parent = "security_group_id", .res = &security_group_rule_resource
};

/* clang-format off */
static const Field fields[] = {
    STR (Group, id,          "id",          FILTER | SORT),
    STR (Group, project_id,  "project_id",  CREATE | ADMIN | FILTER | SORT, .check = check_text),
    STR (Group, name,        "name",        CREATE | UPDATE | FILTER | SORT, .check = check_name, .dflt = "\"\""),
    COMPUTED("tenant_id", render_tenant),
    STR (Group, description, "description", CREATE | UPDATE | FILTER, .check = check_text, .dflt = "\"\""),
    BOOL(Group, stateful,    "stateful",    CREATE | UPDATE | FILTER, .dflt = "true"),
    BOOL(Group, is_default,  "is_default",  HIDDEN),
    CHILD(Group, rules,      "security_group_rules", 0, &group_rules),
    CHILD(Group, tags,       "tags",        0, &network_tags),
    INT (Group, revision_number, "revision_number", FILTER | SORT, .dflt = "1"),
    TIME(Group, created_at,  "created_at",  FILTER | SORT),
    TIME(Group, updated_at,  "updated_at",  FILTER | SORT),
};
/* clang-format on */

bool group_default(Db *db, const char *project_id, char **ret_id, GError **err)
{
    g_autofree char *id = NULL;
    if (!db_query_str(db, err, &id, "group_default", "s", project_id))
        return false;
    if (!id) {
        g_autoptr(Group) g = AS(Group, row_new(&security_group_resource));
        id = id_new();
        if (!row_defaults(&g->row, json_make("ss", "name", "default", "description", "Default security group"), err))
            return false;
        ROW_SET_STR(g, id, id);
        ROW_SET_STR(g, project_id, project_id);
        ROW_SET_BOOL(g, is_default, true);
        if (!row_insert(db, &g->row, err) || !group_rules_insert(db, id, project_id, true, err))
            return false;
    }
    if (ret_id)
        *ret_id = g_steal_pointer(&id);
    return true;
}

bool group_list(Call *c, GError **err)
{
    g_autofree char *id = NULL;
    const char *project = c->ctx->project_id;
    if (!project)
        return resource_handle(c, err);
    if (!db_query_str(c->db, err, &id, "group_default", "s", project))
        return false;
    if (!id) {
        g_auto(Txn) txn = txn_begin(c->db, err);
        if (!txn.db || !group_default(c->db, project, NULL, err) || !txn_commit(&txn, err))
            return false;
    }
    return resource_handle(c, err);
}

/* Only the project's first one has that name, in whatever letters. */
static bool name_check(const Group *g, GError **err)
{
    return g_ascii_strcasecmp(g->name, "default") != 0 || nv_fail(err, NV_ERR_CONFLICT, "Default security group already exists.");
}

static bool before_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    Group *g = AS(Group, row);
    (void) ctx;
    /* Neutron counts before it makes the default group. */
    if (!project_known(db, g->project_id, err) || !quota_check(db, g->project_id, "security_group", 1, err)
        || !quota_check(db, g->project_id, "security_group_rule", 2, err) || !group_default(db, g->project_id, NULL, err))
        return false;
    return name_check(g, err) && row_insert(db, row, err) && group_rules_insert(db, g->id, g->project_id, false, err);
}

static bool free_check(Db *db, const Ctx *ctx, const Group *g, GError **err)
{
    g_autoptr(json_t) ports = db_query(db, err, "group_in_use", "ss", g->id, sees_project(ctx));
    g_autofree char *list = ids_listed(ports);
    return ports && (!*list || nv_fail(err, NV_ERR_CONFLICT, "Security Group %s in use. Ports: %s.", g->id, list));
}

static bool before_update(Db *db, const Ctx *ctx, Row *row, const Row *old_row, GError **err)
{
    Group *g = AS(Group, row);
    const Group *old = AS(const Group, old_row);
    bool named = row_is_dirty(row, &g->name);
    if (named && !name_check(g, err))
        return false;
    if (named && old->is_default)
        return nv_fail(err, NV_ERR_CONFLICT, "Updating default security group not allowed.");
    if (g->stateful != old->stateful && !free_check(db, ctx, g, err))
        return false;
    BUMP(g, old);
    return sync_group(db, ctx, g->id, err);
}

bool network_project_gone(Db *db, const char *project_id, GError **err)
{
    g_autoptr(GPtrArray) rows = rows_where(db, &security_group_resource, err, "project_id", project_id, "is_default", "1", NULL);
    for (guint i = 0; rows && i < rows->len; i++) {
        const Group *g = AS(const Group, rows->pdata[i]);
        if (!sync_group_gone(db, NULL, g->id, err) || !row_delete(db, rows->pdata[i], err))
            return false;
    }
    return rows && qos_project_gone(db, project_id, err);
}

static bool before_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    const Group *g = AS(const Group, row);
    if (g->is_default && !ctx->admin)
        return nv_fail(err, NV_ERR_CONFLICT, "Insufficient rights for removing default security group.");
    return free_check(db, ctx, g, err) && sync_group_gone(db, ctx, g->id, err);
}

const Resource security_group_resource = {
    .one = "security_group", .many = "security_groups", .table = "security_group", .dialect = &dialect_neutron, .scope = SCOPE_NAMED,
    .visible = "group_visible", .size = sizeof(Group), FIELDS(fields), .label = "Security group", .filters = tag_filters,
    .before_create = before_create, .before_update = before_update, .before_delete = before_delete,
};
