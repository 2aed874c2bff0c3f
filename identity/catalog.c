/* identity/catalog.c -- regions, services and endpoints: where each API answers; and policies, which Keystone only keeps. */
#include "identity/internal.h"

static const char *const interfaces[] = { "public", "internal", "admin", NULL };
static const Range id_255 = { 1, 255 };

static void render_region(const Row *row, const Ctx *ctx, JsonW *w)
{
    (void) ctx;
    jw_str(w, ((const Endpoint *) row)->region_id);
}

static bool check_url(const Field *f, const json_t *v, GError **err)
{
    const char *url = json_string_value(v);
    return g_str_has_prefix(url, "http://") || g_str_has_prefix(url, "https://")
        || nv_fail(err, NV_ERR_INVALID, "Invalid input for field '%s': '%.80s' is not an http or https address", f->json, url);
}

/* clang-format off */
static const Field region_fields[] = {
    STR (Region, id,               "id",               CREATE|FILTER|SORT, .check = check_text, .arg = &id_255),
    STR (Region, description,      "description",      CREATE|UPDATE, .dflt = "\"\""),
    STR (Region, parent_region_id, "parent_region_id", CREATE|UPDATE|NULLABLE|FILTER, .dflt = "null"),
    JSON(Region, extra,            "extra",            HIDDEN),
    TIME(Region, created_at,       "created_at",       HIDDEN),
    TIME(Region, updated_at,       "updated_at",       HIDDEN),
    COMPUTED("links", render_links),
};
static const Field service_fields[] = {
    STR (Service, id,          "id",          FILTER|SORT),
    STR (Service, type,        "type",        CREATE|UPDATE|REQUIRED|FILTER|SORT, .check = check_name_nonempty),
    STR (Service, name,        "name",        CREATE|UPDATE|FILTER|SORT, .dflt = "\"\""),
    STR (Service, description, "description", CREATE|UPDATE|NULLABLE),
    BOOL(Service, enabled,     "enabled",     CREATE|UPDATE|FILTER, .dflt = "true"),
    JSON(Service, extra,       "extra",       HIDDEN),
    TIME(Service, created_at,  "created_at",  HIDDEN),
    TIME(Service, updated_at,  "updated_at",  HIDDEN),
    COMPUTED("links", render_links),
};
static const Field endpoint_fields[] = {
    STR (Endpoint, id,          "id",          FILTER|SORT),
    STR (Endpoint, service_id,  "service_id",  CREATE|UPDATE|REQUIRED|FILTER|SORT),
    STR (Endpoint, region_id,   "region_id",   CREATE|UPDATE|NULLABLE|FILTER),
    COMPUTED("region", render_region),
    STR (Endpoint, interface,   "interface",   CREATE|UPDATE|REQUIRED|FILTER|SORT, .check = check_enum, .arg = interfaces),
    STR (Endpoint, url,         "url",         CREATE|UPDATE|REQUIRED, .check = check_url),
    STR (Endpoint, name,        "name",        CREATE|UPDATE|NULLABLE),
    STR (Endpoint, description, "description", CREATE|UPDATE|NULLABLE),
    BOOL(Endpoint, enabled,     "enabled",     CREATE|UPDATE|FILTER, .dflt = "true"),
    JSON(Endpoint, extra,       "extra",       HIDDEN),
    TIME(Endpoint, created_at,  "created_at",  HIDDEN),
    TIME(Endpoint, updated_at,  "updated_at",  HIDDEN),
    COMPUTED("links", render_links),
};
static const Field policy_fields[] = {
    STR (Policy, id,         "id",         FILTER|SORT),
    STR (Policy, type,       "type",       CREATE|UPDATE|REQUIRED|FILTER, .check = check_name_nonempty),
    STR (Policy, blob,       "blob",       CREATE|UPDATE|REQUIRED),
    TIME(Policy, created_at, "created_at", HIDDEN),
    TIME(Policy, updated_at, "updated_at", HIDDEN),
    COMPUTED("links", render_links),
};
/* clang-format on */

static bool exists(Db *db, const Resource *res, const char *id, const char *kind, GError **err)
{
    g_autoptr(Row) row = id ? row_get(db, res, id, NULL) : NULL;
    return !id || row || nv_fail(err, NV_ERR_NOT_FOUND, "Could not find %s: %.64s.", kind, id);
}

static bool region_before_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    (void) ctx;
    return exists(db, &region_resource, ((Region *) row)->parent_region_id, "region", err);
}

static bool region_before_update(Db *db, const Ctx *ctx, Row *row, const Row *old, GError **err)
{
    const Region *r = (const Region *) row;
    gint64 circle = 0;
    (void) ctx;
    (void) old;
    if (!exists(db, &region_resource, r->parent_region_id, "region", err))
        return false;
    if (r->parent_region_id && !db_query_int(db, err, &circle, "region_is_below", "ss", r->id, r->parent_region_id))
        return false;
    return !circle || nv_fail(err, NV_ERR_INVALID, "A region cannot be its own parent.");
}

static bool region_before_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    gint64 used;
    const Region *r = (const Region *) row;
    (void) ctx;
    if (!db_query_int(db, err, &used, "region_users", "s", r->id))
        return false;
    return !used || nv_fail(err, NV_ERR_FORBIDDEN, "Unable to delete region %s because it or its child regions have associated endpoints.", r->id);
}

static bool endpoint_before_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    const Endpoint *e = (const Endpoint *) row;
    (void) ctx;
    return exists(db, &service_resource, e->service_id, "service", err) && exists(db, &region_resource, e->region_id, "region", err);
}

static bool endpoint_before_update(Db *db, const Ctx *ctx, Row *row, const Row *old, GError **err)
{
    (void) old;
    return endpoint_before_create(db, ctx, row, err);
}

const Resource region_resource = {
    .one = "region", .many = "regions", .table = "region", .dialect = &dialect_keystone, .scope = SCOPE_PUBLIC,
    .size = sizeof(Region), FIELDS(region_fields), .label = "Region",
    .before_create = region_before_create, .before_update = region_before_update, .before_delete = region_before_delete,
};
const Resource service_resource = {
    .one = "service", .many = "services", .table = "service", .dialect = &dialect_keystone, .scope = SCOPE_PUBLIC,
    .size = sizeof(Service), FIELDS(service_fields), .label = "Service", .default_sort = "type",
};
const Resource endpoint_resource = {
    .one = "endpoint", .many = "endpoints", .table = "endpoint", .dialect = &dialect_keystone, .scope = SCOPE_PUBLIC,
    .size = sizeof(Endpoint), FIELDS(endpoint_fields), .label = "Endpoint", .default_sort = "service_id",
    .before_create = endpoint_before_create, .before_update = endpoint_before_update,
};
const Resource policy_resource = {
    .one = "policy", .many = "policies", .table = "policy", .dialect = &dialect_keystone, .scope = SCOPE_PUBLIC,
    .size = sizeof(Policy), FIELDS(policy_fields), .label = "Policy",
};

/* The older member "region" names a region that is made if it does not exist. */
static json_t *with_region(Call *c, GError **err)
{
    const json_t *given = call_body_object(c, "endpoint", err);
    if (!given)
        return NULL;
    g_autoptr(json_t) body = json_copy((json_t *) given);
    const char *region = json_get_str(body, "region");
    if (region && !json_object_get(body, "region_id")) {
        json_object_set_new(body, "region_id", json_string(region));
        g_autoptr(Row) there = row_get(c->db, &region_resource, region, NULL);
        g_autoptr(json_t) fresh = there ? NULL : json_make("s", "id", region);
        g_autoptr(Row) made = fresh ? create_row(c, &region_resource, fresh, err) : NULL;
        if (fresh && !made)
            return NULL;
    }
    json_object_del(body, "region");
    return g_steal_pointer(&body);
}

bool endpoint_create(Call *c, GError **err)
{
    g_autoptr(json_t) body = with_region(c, err);
    g_autoptr(Row) row = body ? create_row(c, &endpoint_resource, body, err) : NULL;
    return row && reply_one(c, 201, row);
}

bool endpoint_update(Call *c, GError **err)
{
    g_autoptr(json_t) body = with_region(c, err);
    g_autoptr(Row) row = body ? update_row(c, &endpoint_resource, c->params[0], body, err) : NULL;
    return row && reply_one(c, 200, row);
}

/* PUT /v3/regions/{id} */
bool region_put(Call *c, GError **err)
{
    const json_t *given = call_body_object(c, "region", err);
    if (!given)
        return false;
    g_autoptr(json_t) body = json_copy((json_t *) given);
    const char *id = json_get_str(body, "id");
    if (id && !g_str_equal(id, c->params[0]))
        return nv_fail(err, NV_ERR_INVALID, "The id of the body is not the one of the address");
    json_object_set_new(body, "id", json_string(c->params[0]));
    g_autoptr(Row) row = create_row(c, &region_resource, body, err);
    return row && reply_one(c, 201, row);
}
