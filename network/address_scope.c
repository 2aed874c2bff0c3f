/* network/address_scope.c -- address scopes: subnet pools whose prefixes never overlap. */
#include "core/dialect.h"
#include "identity/identity.h"
#include "network/internal.h"

static const gint64 versions[] = { 4, 6, 0 };
static const Filter scope_filters[] = { SHARED_FILTER, { NULL, NULL, NULL } };

/* clang-format off */
static const Field scope_fields[] = {
    STR (AddressScope, id,         "id",         FILTER | SORT),
    STR (AddressScope, project_id, "project_id", CREATE | ADMIN | FILTER | SORT, .check = check_text),
    COMPUTED("tenant_id", render_tenant),
    STR (AddressScope, name,       "name",       CREATE | UPDATE | FILTER | SORT, .check = check_name, .dflt = "\"\""),
    INT (AddressScope, ip_version, "ip_version", CREATE | REQUIRED | FILTER | SORT, .check = check_int_of, .arg = versions),
    BOOL(AddressScope, shared,     "shared",     CREATE | UPDATE | ADMIN | FILTER | SORT, .dflt = "false"),
};
/* clang-format on */

static bool scope_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    const AddressScope *s = AS(AddressScope, row);
    (void) ctx;
    return project_known(db, s->project_id, err)
           && (!s->shared || rbac_everybody(db, "address_scope", s->id, s->project_id, "access_as_shared", true, err));
}

static bool scope_update(Db *db, const Ctx *ctx, Row *row, const Row *old, GError **err)
{
    const AddressScope *s = AS(AddressScope, row);
    bool was = AS(const AddressScope, old)->shared;
    (void) ctx;
    if (!row_is_dirty(row, &s->shared))
        return true;
    if (was && !s->shared)
        return nv_fail(err, NV_ERR_INVALID, "Unable to update address scope %s : Shared address scope can't be unshared", s->id);
    return was == s->shared || rbac_everybody(db, "address_scope", s->id, s->project_id, "access_as_shared", true, err);
}

static bool scope_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    const char *id = AS(AddressScope, row)->id;
    g_autoptr(json_t) pools = db_query(db, err, "address_scope_pools", "ss", id, sees_project(ctx));
    g_autofree char *list = ids_listed(pools);
    if (!pools || !*list)
        return pools != NULL;
    return nv_fail(err, NV_ERR_CONFLICT, "Unable to complete operation on address scope %s. There are one or more subnet pools in use on the "
                   "address scope. Subnet pools: %s.", id, list);
}

const Resource address_scope_resource = {
    .one = "address_scope",
    .many = "address_scopes",
    .table = "address_scope",
    .dialect = &dialect_neutron,
    .scope = SCOPE_NAMED,
    .visible = "shared_visible",
    .size = sizeof(AddressScope),
    FIELDS(scope_fields),
    .label = "Address scope",
    .filters = scope_filters,
    .before_create = scope_create,
    .before_update = scope_update,
    .before_delete = scope_delete,
    .after_load = rbac_shared_load,
};
