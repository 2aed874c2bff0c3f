/* identity/catalog.c -- regions, services and endpoints: where each API answers. */
#include "identity/internal.h"

static const char *const interfaces[] = { "public", "internal", "admin", NULL };
static const Range id_255 = { 1, 255 };

/* clang-format off */
static const Field region_fields[] = {
    STR (Region, id,               "id",               CREATE|FILTER|SORT, .check = check_text, .arg = &id_255),
    STR (Region, description,      "description",      CREATE|UPDATE, .dflt = "\"\""),
    STR (Region, parent_region_id, "parent_region_id", CREATE|UPDATE|NULLABLE|FILTER, .dflt = "null"),
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
    TIME(Service, created_at,  "created_at",  HIDDEN),
    TIME(Service, updated_at,  "updated_at",  HIDDEN),
    COMPUTED("links", render_links),
};
static const Field endpoint_fields[] = {
    STR (Endpoint, id,          "id",          FILTER|SORT),
    STR (Endpoint, service_id,  "service_id",  CREATE|UPDATE|REQUIRED|FILTER|SORT),
    STR (Endpoint, region_id,   "region_id",   CREATE|UPDATE|NULLABLE|FILTER),
    STR (Endpoint, interface,   "interface",   CREATE|UPDATE|REQUIRED|FILTER|SORT, .check = check_enum, .arg = interfaces),
    STR (Endpoint, url,         "url",         CREATE|UPDATE|REQUIRED),
    STR (Endpoint, name,        "name",        CREATE|UPDATE|NULLABLE),
    STR (Endpoint, description, "description", CREATE|UPDATE|NULLABLE),
    BOOL(Endpoint, enabled,     "enabled",     CREATE|UPDATE|FILTER, .dflt = "true"),
    TIME(Endpoint, created_at,  "created_at",  HIDDEN),
    TIME(Endpoint, updated_at,  "updated_at",  HIDDEN),
    COMPUTED("links", render_links),
};
/* clang-format on */

const Resource region_resource = {
    .one = "region", .many = "regions", .table = "region", .dialect = &dialect_keystone, .scope = SCOPE_PUBLIC,
    .size = sizeof(Region), FIELDS(region_fields),
};
const Resource service_resource = {
    .one = "service", .many = "services", .table = "service", .dialect = &dialect_keystone, .scope = SCOPE_PUBLIC,
    .size = sizeof(Service), FIELDS(service_fields), .default_sort = "type",
};
const Resource endpoint_resource = {
    .one = "endpoint", .many = "endpoints", .table = "endpoint", .dialect = &dialect_keystone, .scope = SCOPE_PUBLIC,
    .size = sizeof(Endpoint), FIELDS(endpoint_fields), .default_sort = "service_id",
};
