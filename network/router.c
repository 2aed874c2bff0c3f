/* network/router.c -- routers: what connects networks with each other and with the outside; one namespace each, on one host. */
#include "core/dialect.h"
#include "core/id.h"
#include "identity/identity.h"
#include "network/router.h"
#include <string.h>

static void render_zones(const Row *row, const Ctx *ctx, JsonW *w)
{
    (void) ctx;
    jw_array(w);
    if (*AS(const Router, row)->host)
        jw_str(w, "nova");
    jw_end_array(w);
}

static bool check_zone_hints(const Field *f, const json_t *v, GError **err)
{
    size_t i;
    json_t *hint;
    if (!check_array(f, v, err))
        return false;
    json_array_foreach((json_t *) v, i, hint) if (g_strcmp0(json_string_value(hint), "nova") != 0) return nv_fail(
        err, NV_ERR_NOT_FOUND, "AvailabilityZone %.64s could not be found.", json_is_string(hint) ? json_string_value(hint) : "?");
    return true;
}

/* There is neither a distributed nor a highly available router here: saying so is allowed. */
static bool check_false(const Field *f, const json_t *v, GError **err)
{
    return json_is_false(v)
           || nv_fail(err, NV_ERR_INVALID,
                      "Invalid input for %s. Reason: routers here are neither distributed nor highly "
                      "available.",
                      f->json);
}

/* clang-format off */
static const Field fields[] = {
    STR (Router, id,             "id",             FILTER | SORT),
    STR (Router, project_id,     "project_id",     CREATE | ADMIN | FILTER | SORT, .check = check_text),
    COMPUTED("tenant_id", render_tenant),
    STR (Router, name,           "name",           CREATE | UPDATE | FILTER | SORT, .check = check_name, .dflt = "\"\""),
    STR (Router, description,    "description",    CREATE | UPDATE | FILTER, .check = check_text, .dflt = "\"\""),
    STR (Router, status,         "status",         FILTER | SORT, .dflt = "\"ACTIVE\""),
    BOOL(Router, admin_state_up, "admin_state_up", CREATE | UPDATE | FILTER | SORT, .dflt = "true"),
    { .json = "external_gateway_info", .type = T_JSON, .off = MEMBER(Router, gateway_info, json_t *), .flags = CREATE | UPDATE | NULLABLE,
      .check = check_gateway_info },
    BOOL(Router, enable_snat,    "enable_snat",    HIDDEN),
    JSON(Router, routes,         "routes",         UPDATE, .check = check_extra_routes, .dflt = "[]", .null = "[]"),
    JSON(Router, availability_zone_hints, "availability_zone_hints", CREATE, .check = check_zone_hints, .dflt = "[]"),
    COMPUTED("availability_zones", render_zones),
    STR (Router, host,           "host",           HIDDEN),
    { .json = "distributed", .type = T_JSON, .off = MEMBER(Router, distributed, json_t *), .flags = CREATE | UPDATE | ADMIN | ADMIN_VIEW, .check = check_false },
    { .json = "ha",          .type = T_JSON, .off = MEMBER(Router, ha, json_t *),          .flags = CREATE | UPDATE | ADMIN | ADMIN_VIEW, .check = check_false },
    CHILD(Router, tags,          "tags",           0, &network_tags),
    INT (Router, revision_number, "revision_number", FILTER | SORT, .dflt = "1"),
    TIME(Router, created_at,     "created_at",     FILTER | SORT),
    TIME(Router, updated_at,     "updated_at",     FILTER | SORT),
};
/* clang-format on */

Router *router_find(Db *db, const Ctx *ctx, const char *id, GError **err)
{
    Row *row = ctx ? row_get_for(db, &router_resource, ctx, id, true, err) : row_get(db, &router_resource, id, err);
    return AS(Router, row);
}

bool router_bump(Db *db, const char *router_id, GError **err)
{
    return db_exec(db, err, "router_bump", "s", router_id);
}

static bool snat_of(const json_t *info)
{
    bool on = true;
    json_bool_words(json_object_get(info, "enable_snat"), &on);
    return on;
}

static bool before_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    Router *r = AS(Router, row);
    g_autoptr(json_t) info = json_incref(r->gateway_info);
    if (!project_known(db, r->project_id, err) || !router_gateway_policy(ctx, info, "create", err)
        || !quota_check(db, r->project_id, "router", 1, err))
        return false;
    ROW_SET_BOOL(r, enable_snat, snat_of(info));
    ROW_SET_STR(r, host, "");
    return row_insert(db, row, err) && (!json_object_size(info) || router_gateway_set(db, ctx, r, info, err))
           && sync_router(db, ctx, r->id, err);
}

static bool before_update(Db *db, const Ctx *ctx, Row *row, const Row *old_row, GError **err)
{
    Router *r = AS(Router, row);
    const Router *old = AS(const Router, old_row);
    addresses_canonical(r->routes, "nexthop");
    if (row_is_dirty(row, &r->gateway_info)) {
        g_autoptr(json_t) info = json_incref(r->gateway_info);
        if (!router_gateway_policy(ctx, info, "update", err) || !router_gateway_set(db, ctx, r, info, err))
            return false;
        ROW_SET_BOOL(r, enable_snat, snat_of(info));
    }
    if (row_is_dirty(row, &r->routes) && !router_routes_check(db, r->id, r->routes, err))        /* those through a new gateway among them */
        return false;
    BUMP(r, old);
    /* Hosts without the router say what it advertises while it is up. */
    return (r->admin_state_up == old->admin_state_up || sync_networks_of_router(db, ctx, r->id, err)) && sync_router(db, ctx, r->id, err);
}

static bool before_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    Router *r = AS(Router, row);
    g_autoptr(json_t) ports = db_query(db, err, "router_interfaces", "s", r->id);
    if (!ports)
        return false;
    if (json_array_size(ports)) {
        g_autofree char *list = ids_listed(ports);
        return nv_fail(err, NV_ERR_CONFLICT, "Router %s has ports still attached: %s", r->id, list);
    }
    ROW_SET_JSON(r, routes, json_array()); /* they go with it, so none keeps the gateway */
    return router_gateway_set(db, ctx, r, NULL, err) && sync_router_gone(db, ctx, r->id, err);
}

/* Gateways of a whole page, one statement. */
static bool after_load(Db *db, const Ctx *ctx, GPtrArray *rows, GError **err)
{
    g_autoptr(json_t) ids = json_array();
    g_autoptr(GHashTable) by_id = g_hash_table_new(g_str_hash, g_str_equal);
    (void) ctx;
    for (guint i = 0; i < rows->len; i++) {
        Router *r = rows->pdata[i];
        json_array_append_new(ids, json_string(r->id));
        g_hash_table_insert(by_id, r->id, r);
        ROW_SET_JSON(r, ha, json_false());
        ROW_SET_JSON(r, distributed, json_false());
        ROW_SET_NULL(r, gateway_info);
    }
    g_autofree char *text = json_text(ids);
    g_autoptr(json_t) found = db_query(db, err, "router_gateways", "s", text);
    size_t i;
    json_t *one;
    json_array_foreach(found, i, one) {
        Router *r = g_hash_table_lookup(by_id, json_get_str(one, "router_id"));
        if (!r->gateway_info)
            ROW_SET_JSON(r, gateway_info,
                         json_make("sob", "network_id", json_get_str(one, "network_id"), "external_fixed_ips", json_array(), "enable_snat",
                                   r->enable_snat));
        if (json_get_str(one, "address"))
            json_array_append_new(json_object_get(r->gateway_info, "external_fixed_ips"),
                                  json_make("ss", "subnet_id", json_get_str(one, "subnet_id"), "ip_address", json_get_str(one, "address")));
    }
    for (guint k = 0; k < rows->len; k++)
        AS(Router, rows->pdata[k])->row.dirty = 0;
    return found != NULL;
}

const Resource router_resource = {
    .one = "router",
    .many = "routers",
    .table = "router",
    .dialect = &dialect_neutron,
    .scope = SCOPE_PROJECT,
    .size = sizeof(Router),
    FIELDS(fields),
    .label = "Router",
    .filters = tag_filters,
    .before_create = before_create,
    .before_update = before_update,
    .before_delete = before_delete,
    .after_load = after_load,
};
