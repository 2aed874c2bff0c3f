/* network/addrgroup.c -- address groups: lists of prefixes that security group rules refer to. */
#include "core/dialect.h"
#include "network/internal.h"
#include <string.h>

typedef struct AddressGroup {
    Row row;
    char *id, *project_id, *name, *description;
    gint64 revision_number, created_at, updated_at;
    json_t *addresses;
} AddressGroup;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AddressGroup, row_unref)

static const Child group_addresses = { .kind = CHILD_STRINGS, .table = "address_group_address", .parent = "address_group_id", .value = "address" };

static bool check_addresses(const Field *f, const json_t *v, GError **err)
{
    size_t i;
    json_t *one;
    if (!json_is_array(v))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: it is not a list.", f->json);
    json_array_foreach((json_t *) v, i, one) {
        g_autofree char *text = cidr_canonical(json_string_value(one));
        if (!text)
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: item %zu is not a valid IP address or subnet.", f->json, i);
    }
    return true;
}

/* clang-format off */
static const Field fields[] = {
    STR (AddressGroup, id,          "id",          FILTER | SORT),
    STR (AddressGroup, project_id,  "project_id",  CREATE | ADMIN | FILTER | SORT, .check = check_text),
    COMPUTED("tenant_id", render_tenant),
    STR (AddressGroup, name,        "name",        CREATE | UPDATE | FILTER | SORT, .check = check_name, .dflt = "\"\""),
    STR (AddressGroup, description, "description", CREATE | UPDATE | FILTER | SORT, .check = check_text, .dflt = "\"\""),
    CHILD(AddressGroup, addresses,  "addresses",   CREATE, &group_addresses, .check = check_addresses, .dflt = "[]"),
    INT (AddressGroup, revision_number, "revision_number", FILTER | SORT, .dflt = "1"),
    TIME(AddressGroup, created_at,  "created_at",  FILTER | SORT),
    TIME(AddressGroup, updated_at,  "updated_at",  FILTER | SORT),
};
/* clang-format on */

/* Canonical, each once, in their order. */
static json_t *distinct(const json_t *list)
{
    json_t *out = json_array(), *one;
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    size_t i;
    json_array_foreach((json_t *) list, i, one) {
        char *text = cidr_canonical(json_string_value(one));
        if (g_hash_table_contains(seen, text)) {
            g_free(text);
            continue;
        }
        json_array_append_new(out, json_string(text));
        g_hash_table_add(seen, text);
    }
    return out;
}

static bool before_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    AddressGroup *g = AS(AddressGroup, row);
    (void) ctx;
    ROW_SET_JSON(g, addresses, distinct(g->addresses));
    return project_known(db, g->project_id, err);
}

/* With whom a group is shared, he may use it; to be changed it is not there for him, as in Neutron. */
static bool own(const Ctx *ctx, const AddressGroup *g, GError **err)
{
    return ctx->admin || g_strcmp0(ctx->project_id, g->project_id) == 0
        || nv_fail(err, NV_ERR_NOT_FOUND, "Address group %s could not be found.", g->id);
}

static bool before_update(Db *db, const Ctx *ctx, Row *row, const Row *old, GError **err)
{
    (void) db;
    if (!own(ctx, AS(const AddressGroup, old), err))
        return false;
    BUMP(AS(AddressGroup, row), AS(const AddressGroup, old));
    return true;
}

static bool before_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    const AddressGroup *g = AS(const AddressGroup, row);
    if (!own(ctx, g, err))
        return false;
    g_autoptr(json_t) rules = db_query(db, err, "address_group_rules", "ss", g->id, sees_project(ctx));
    g_autofree char *list = ids_listed(rules);
    return rules
        && (!*list || nv_fail(err, NV_ERR_CONFLICT, "Address group %s is in use on one or more security group rules. Rules: %s.", g->id, list));
}

const Resource address_group_resource = {
    .one = "address_group",
    .many = "address_groups",
    .table = "address_group",
    .dialect = &dialect_neutron,
    .scope = SCOPE_NAMED,
    .visible = "group_visible",
    .writable = "group_visible",
    .size = sizeof(AddressGroup),
    FIELDS(fields),
    .label = "Address group",
    .before_create = before_create,
    .before_update = before_update,
    .before_delete = before_delete,
};

static bool change(Call *c, bool add, GError **err)
{
    static const Field f = { .json = "addresses" };
    json_t *wrapped = json_object_get(c->body, "address_group"), *body = wrapped ? wrapped : c->body;      /* clients do either */
    json_t *given = json_object_get(body, "addresses"), *one;
    size_t i;
    if (!given || json_object_size(body) != 1)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for address_group. Reason: it needs addresses, and nothing else.");
    if (!check_addresses(&f, given, err))
        return false;
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(AddressGroup) g = txn.db ? AS(AddressGroup, row_get_for(c->db, &address_group_resource, c->ctx, c->params[0], true, err)) : NULL;
    if (!g || !own(c->ctx, g, err))
        return false;
    json_array_foreach(given, i, one) {
        g_autofree char *text = cidr_canonical(json_string_value(one));
        if (!db_exec(c->db, err, add ? "address_group_add" : "address_group_remove", "ss", g->id, text))
            return false;
        if (!add && !db_changes(c->db))
            return nv_fail(err, NV_ERR_NOT_FOUND, "Addresses %s not found in the address group %s.", text, g->id);
    }
    ROW_SET_INT(g, revision_number, g->revision_number + 1);
    g_autoptr(json_t) groups = row_update(c->db, &g->row, err) ? db_query(c->db, err, "address_group_groups", "s", g->id) : NULL;
    json_array_foreach(groups, i, one)
        if (!sync_group(c->db, c->ctx, json_get_str(one, "id"), err))
            return false;
    g_autoptr(Row) fresh = groups ? row_get(c->db, &address_group_resource, g->id, err) : NULL;
    if (!fresh || !txn_commit(&txn, err))
        return false;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "address_group");
    row_render(fresh, c->ctx, &w, false);
    jw_end_object(&w);
    return true;
}

bool address_group_add(Call *c, GError **err)
{
    return change(c, true, err);
}

bool address_group_remove(Call *c, GError **err)
{
    return change(c, false, err);
}
