/* network/router_route.c -- a router's extra routes: set as a whole, or added and removed one by one at once. */
#include "network/router.h"
#include <string.h>

enum { ROUTES_MAX = 30 };

bool check_extra_routes(const Field *f, const json_t *v, GError **err)
{
    size_t i;
    json_t *route;
    if (!check_array(f, v, err))
        return false;
    json_array_foreach((json_t *) v, i, route) {
        const char *to = json_get_str(route, "destination"), *via = json_get_str(route, "nexthop");
        Cidr c;
        Ip ip;
        if (!to || !via || json_object_size(route) != 2 || !cidr_parse(to, true, &c) || !ip_parse(via, &ip))
            return nv_fail(err, NV_ERR_INVALID,
                           "Invalid input for %s. Reason: item %zu needs a destination (CIDR) and a nexthop (address).", f->json, i);
        if (c.base.version != ip.version)
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: '%s' and '%s' are not of one IP version.", f->json, to, via);
        for (size_t k = 0; k < i; k++)
            if (json_equal(route, json_array_get(v, k)))
                return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: Duplicate hostroute '%s'.", f->json, to);
    }
    return true;
}

static bool next_hop_check(const json_t *subnets, const json_t *addresses, const char *next_hop, GError **err)
{
    size_t i;
    json_t *one;
    bool near = false;
    Ip ip, own;
    ip_parse(next_hop, &ip);
    json_array_foreach((json_t *) subnets, i, one) {
        Cidr c;
        near |= cidr_parse(json_get_str(one, "cidr"), true, &c) && cidr_contains(c, ip);
    }
    if (!near)
        return nv_fail(err, NV_ERR_INVALID, "Invalid format for routes: %s, the nexthop is not connected with router", next_hop);
    json_array_foreach((json_t *) addresses, i,
                       one) if (ip_parse(json_get_str(one, "address"), &own)
                                && ip_compare(own, ip) == 0) return nv_fail(err, NV_ERR_INVALID,
                                                                            "Invalid format for routes: %s, the nexthop is used by router",
                                                                            next_hop);
    return true;
}

bool router_routes_check(Db *db, const char *router_id, const json_t *routes, GError **err)
{
    size_t i;
    json_t *route;
    if (json_array_size(routes) > ROUTES_MAX)
        return nv_fail(err, NV_ERR_INVALID, "Unable to complete operation for %s. The number of routes exceeds the maximum %d.", router_id,
                       ROUTES_MAX);
    g_autoptr(json_t) subnets = db_query(db, err, "router_subnets", "s", router_id);
    g_autoptr(json_t) addresses = subnets ? db_query(db, err, "router_addresses", "s", router_id) : NULL;
    if (!addresses)
        return false;
    json_array_foreach((json_t *) routes, i,
                       route) if (!next_hop_check(subnets, addresses, json_get_str(route, "nexthop"), err)) return false;
    return true;
}

/* Adding what is there, and removing what is not, is no error: the end counts. */
static json_t *merged(const json_t *have, const json_t *given, bool add)
{
    json_t *out = json_deep_copy(have), *route, *one;
    size_t i, k;
    json_array_foreach((json_t *) given, i, route) {
        bool there = false;
        json_array_foreach(out, k, one) if (json_equal(one, route)) {
            there = true;
            break;
        }
        if (add && !there)
            json_array_append(out, route);
        else if (!add && there)
            json_array_remove(out, k);
    }
    return out;
}

static bool change(Call *c, bool add, GError **err)
{
    static const Field f = { .json = "routes" };
    json_t *body = call_body_object(c, "router", err);
    json_t *given = json_object_get(body, "routes");
    if (!body)
        return false;
    if (!given || json_object_size(body) != 1)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for router. Reason: it needs routes, and nothing else.");
    if (!check_extra_routes(&f, given, err))
        return false;
    addresses_canonical(given, "nexthop");
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Router) r = txn.db ? router_find(c->db, c->ctx, c->params[0], err) : NULL;
    if (!r)
        return false;
    g_autoptr(json_t) all = merged(r->routes, given, add);
    if (!json_equal(all, r->routes)) {
        ROW_SET_JSON(r, routes, json_incref(all));
        ROW_SET_INT(r, revision_number, r->revision_number + 1);
    }
    if (!check_extra_routes(&f, all, err) || !router_routes_check(c->db, r->id, all, err) || !row_update(c->db, &r->row, err)
        || !sync_router(c->db, c->ctx, r->id, err))
        return false;
    g_autoptr(Router) fresh = router_find(c->db, NULL, r->id, err);
    if (!fresh || !txn_commit(&txn, err))
        return false;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "router");
    row_render(&fresh->row, c->ctx, &w, false);
    jw_end_object(&w);
    return true;
}

bool router_routes_add(Call *c, GError **err)
{
    return change(c, true, err);
}

bool router_routes_remove(Call *c, GError **err)
{
    return change(c, false, err);
}
