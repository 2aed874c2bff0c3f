/* identity/group.c -- groups of users, and who is in them. */
#include "identity/internal.h"

static const Range name_64 = { 1, 64 };

/* clang-format off */
static const Field fields[] = {
    STR (Group, id,          "id",          FILTER|SORT),
    STR (Group, name,        "name",        CREATE|UPDATE|REQUIRED|FILTER|SORT, .check = check_text, .arg = &name_64),
    STR (Group, domain_id,   "domain_id",   CREATE|FILTER|SORT),
    STR (Group, description, "description", CREATE|UPDATE, .dflt = "\"\""),
    JSON(Group, extra,       "extra",       HIDDEN),
    TIME(Group, created_at,  "created_at",  HIDDEN),
    TIME(Group, updated_at,  "updated_at",  HIDDEN),
    COMPUTED("links", render_links),
};
/* clang-format on */

static bool before_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    Group *g = (Group *) row;
    return default_domain(db, ctx, row, &g->domain_id, err) && check_domain_write(ctx, g->domain_id, err);
}

static bool before_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    return check_not_above(db, ctx, NULL, ((Group *) row)->id, err);
}

const Resource group_resource = {
    .one = "group", .many = "groups", .table = "user_group", .dialect = &dialect_keystone,
    .scope = SCOPE_NAMED, .visible = "visible_group", .writable = "in_own_domain",
    .size = sizeof(Group), FIELDS(fields), .label = "Group", .default_sort = "name",
    .before_create = before_create, .before_delete = before_delete,
};

bool check_not_above(Db *db, const Ctx *ctx, const char *user_id, const char *group_id, GError **err)
{
    gint64 above = 0;
    if (!ctx->admin && !db_query_int(db, err, &above, "holds_admin", "sss", user_id, group_id, ctx->domain_id))
        return false;
    return !above
        || nv_fail(err, NV_ERR_FORBIDDEN, "You are not authorized to perform the requested action: it concerns somebody above the domain.");
}

bool group_users(Call *c, GError **err)
{
    g_autoptr(Row) group = row_get_for(c->db, &group_resource, c->ctx, c->params[0], false, err);
    g_autoptr(GPtrArray) rows = group ? rows_by_fragment(c, &user_resource, "users_of_group", c->params[0], err) : NULL;
    return rows && reply_rows(c, &user_resource, rows);
}

/* Both ends of a membership, as the caller may see or change them. */
static bool ends(Call *c, bool write, GError **err)
{
    g_autoptr(Row) group = row_get_for(c->db, &group_resource, c->ctx, c->params[0], write, err);
    g_autoptr(Row) user = group ? row_get_for(c->db, &user_resource, c->ctx, c->params[1], write, err) : NULL;
    return user && (!write || check_not_above(c->db, c->ctx, c->params[1], c->params[0], err));
}

bool group_user_check(Call *c, GError **err)
{
    gint64 in;
    if (!ends(c, false, err) || !db_query_int(c->db, err, &in, "group_member_exists", "ss", c->params[0], c->params[1]))
        return false;
    return in ? call_reply_empty(c, 204) : nv_fail(err, NV_ERR_NOT_FOUND, "User %s is not in group %s.", c->params[1], c->params[0]);
}

bool group_user_add(Call *c, GError **err)
{
    g_auto(Txn) txn = txn_begin(c->db, err);
    if (!txn.db || !ends(c, true, err) || !db_exec(c->db, err, "group_member_insert", "ss", c->params[0], c->params[1]))
        return false;
    identity_changed();
    return txn_commit(&txn, err) && call_reply_empty(c, 204);
}

bool group_user_remove(Call *c, GError **err)
{
    g_auto(Txn) txn = txn_begin(c->db, err);
    if (!txn.db || !ends(c, true, err) || !db_exec(c->db, err, "group_member_delete", "ss", c->params[0], c->params[1]))
        return false;
    if (!db_changes(c->db))
        return nv_fail(err, NV_ERR_NOT_FOUND, "User %s is not in group %s.", c->params[1], c->params[0]);
    identity_changed();
    return txn_commit(&txn, err) && call_reply_empty(c, 204);
}
