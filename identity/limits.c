/* identity/limits.c -- unified limits: registered defaults and limits of projects and domains, as Keystone keeps them for its services. */
#include "identity/internal.h"
#include <string.h>

enum { BATCH_MAX = 200 };
static const Range limit_range = { -1, G_MAXINT32 };

/* clang-format off */
static const Field registered_fields[] = {
    STR (RegisteredLimit, id,            "id",            FILTER|SORT),
    STR (RegisteredLimit, service_id,    "service_id",    CREATE|UPDATE|REQUIRED|FILTER),
    STR (RegisteredLimit, region_id,     "region_id",     CREATE|UPDATE|NULLABLE|FILTER),
    STR (RegisteredLimit, resource_name, "resource_name", CREATE|UPDATE|REQUIRED|FILTER|SORT, .check = check_name_nonempty),
    INT (RegisteredLimit, default_limit, "default_limit", CREATE|UPDATE|REQUIRED, .check = check_range, .arg = &limit_range),
    STR (RegisteredLimit, description,   "description",   CREATE|UPDATE|NULLABLE),
    TIME(RegisteredLimit, created_at,    "created_at",    HIDDEN),
    TIME(RegisteredLimit, updated_at,    "updated_at",    HIDDEN),
    COMPUTED("links", render_links),
};
static const Field limit_fields[] = {
    STR (ProjectLimit, id,                  "id",             FILTER|SORT),
    STR (ProjectLimit, project_id,          "project_id",     CREATE|NULLABLE|FILTER),
    STR (ProjectLimit, domain_id,           "domain_id",      CREATE|NULLABLE|FILTER),
    STR (ProjectLimit, service_id,          "service_id",     CREATE|REQUIRED|FILTER),
    STR (ProjectLimit, region_id,           "region_id",      CREATE|NULLABLE|FILTER),
    STR (ProjectLimit, resource_name,       "resource_name",  CREATE|REQUIRED|FILTER|SORT),
    INT (ProjectLimit, resource_limit,      "resource_limit", CREATE|UPDATE|REQUIRED, .check = check_range, .arg = &limit_range),
    STR (ProjectLimit, description,         "description",    CREATE|UPDATE|NULLABLE),
    STR (ProjectLimit, registered_limit_id, "registered_limit_id", HIDDEN),
    TIME(ProjectLimit, created_at,          "created_at",     HIDDEN),
    TIME(ProjectLimit, updated_at,          "updated_at",     HIDDEN),
    COMPUTED("links", render_links),
};
/* clang-format on */

static bool exists(Db *db, const Resource *res, const char *id, GError **err)
{
    g_autoptr(Row) row = id ? row_get(db, res, id, NULL) : NULL;
    return !id || row || nv_fail(err, NV_ERR_INVALID, "Could not find %s: %.64s.", res->one, id);
}

static bool registered_check(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    const RegisteredLimit *l = (const RegisteredLimit *) row;
    (void) ctx;
    return exists(db, &service_resource, l->service_id, err) && exists(db, &region_resource, l->region_id, err);
}

static bool registered_in_use(Db *db, const char *id, GError **err)
{
    g_autoptr(GPtrArray) rows = rows_where(db, &project_limit_resource, err, "registered_limit_id", id, NULL);
    if (!rows)
        return false;
    return !rows->len
        || nv_fail(err, NV_ERR_FORBIDDEN, "Unable to update or delete registered limit %s because there are project limits associated with it.", id);
}

static bool registered_update(Db *db, const Ctx *ctx, Row *row, const Row *old, GError **err)
{
    const RegisteredLimit *l = (const RegisteredLimit *) row, *was = (const RegisteredLimit *) old;
    bool moved = strcmp(l->service_id, was->service_id) != 0 || g_strcmp0(l->region_id, was->region_id) != 0
              || strcmp(l->resource_name, was->resource_name) != 0;
    return (!moved || registered_in_use(db, l->id, err)) && registered_check(db, ctx, row, err);
}

static bool registered_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    (void) ctx;
    return registered_in_use(db, ((RegisteredLimit *) row)->id, err);
}

const Resource registered_limit_resource = {
    .one = "registered_limit", .many = "registered_limits", .table = "registered_limit", .dialect = &dialect_keystone, .scope = SCOPE_PUBLIC,
    .size = sizeof(RegisteredLimit), FIELDS(registered_fields), .label = "Registered limit", .default_sort = "resource_name",
    .before_create = registered_check, .before_update = registered_update, .before_delete = registered_delete,
};

/* A limit stands under a registered one of the same service, region and name. */
static bool limit_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    ProjectLimit *l = (ProjectLimit *) row;
    g_autofree char *registered = NULL;
    (void) ctx;
    if (!l->project_id == !l->domain_id)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input: exactly one of project_id and domain_id must be given");
    if (!exists(db, &project_resource, l->project_id, err) || !exists(db, &domain_resource, l->domain_id, err)
        || !db_query_str(db, err, &registered, "registered_limit_of", "sss", l->service_id, l->region_id, l->resource_name))
        return false;
    if (!registered)
        return nv_fail(err, NV_ERR_FORBIDDEN, "Unable to create or update limits because there is no registered limit for %s.", l->resource_name);
    row_set_str(row, &l->registered_limit_id, registered);
    return true;
}

const Resource project_limit_resource = {
    .one = "limit", .many = "limits", .table = "project_limit", .dialect = &dialect_keystone,
    .scope = SCOPE_NAMED, .visible = "visible_limit", .writable = "admins_only",
    .size = sizeof(ProjectLimit), FIELDS(limit_fields), .label = "Limit", .default_sort = "resource_name",
    .before_create = limit_create,
};

/* POST takes a list, all or nothing. */
bool limits_create(Call *c, GError **err)
{
    const Resource *res = c->route->res;
    const json_t *list = json_object_get(c->body, res->many);
    size_t i;
    json_t *one;
    if (!json_array_size(list) || json_array_size(list) > BATCH_MAX)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field '%s': it must be a list of 1 to %d objects", res->many, BATCH_MAX);
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func((GDestroyNotify) row_free);
    g_auto(Txn) txn = txn_begin(c->db, err);
    json_array_foreach((json_t *) list, i, one) {
        if (!json_is_object(one))
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for field '%s': item %zu is not an object", res->many, i);
        Row *row = txn.db ? create_row(c, res, one, err) : NULL;
        if (!row)
            return false;
        g_ptr_array_add(rows, row);
    }
    if (!txn_commit(&txn, err) || !reply_rows(c, res, rows))
        return false;
    c->status = 201;
    return true;
}

bool limits_model(Call *c, GError **err)
{
    (void) err;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "model");
    jw_object(&w);
    jw_kstr(&w, "name", "flat");
    jw_kstr(&w, "description", "Limit enforcement and validation does not take project hierarchy into consideration.");
    jw_end_object(&w);
    jw_end_object(&w);
    return true;
}
