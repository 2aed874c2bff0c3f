/* network/router_gateway.c -- a router's way out: its port on an external network, chosen, changed and given up. */
#include "core/id.h"
#include "network/router.h"
#include <string.h>

bool check_gateway_info(const Field *f, const json_t *v, GError **err)
{
    static const Field addresses = { .json = "external_fixed_ips" };
    const char *network = json_get_str(v, "network_id"), *key;
    json_t *one;
    bool flag;
    if (!json_is_object(v))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: it is not a dictionary.", f->json);
    if (!json_object_size(v))
        return true;
    if (!network || !id_is_uuid(network))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: network_id must be the UUID of an external network.", f->json);
    json_object_foreach((json_t *) v, key, one) {
        if (strcmp(key, "network_id") == 0)
            continue;
        if (strcmp(key, "enable_snat") == 0 && json_bool_words(one, &flag))
            continue;
        if (strcmp(key, "external_fixed_ips") != 0)
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: '%.64s' is not known or has a bad value.", f->json, key);
        if (!json_is_null(one) && !check_fixed_ips(&addresses, one, err))
            return false;
    }
    return true;
}

bool router_gateway_policy(const Ctx *ctx, const json_t *info, const char *verb, GError **err)
{
    static const char *const reserved[] = { "enable_snat", "external_fixed_ips" };
    for (gsize i = 0; !ctx->admin && i < G_N_ELEMENTS(reserved); i++)
        if (json_object_get(info, reserved[i]))
            return nv_fail(err, NV_ERR_FORBIDDEN,
                           "((rule:%s_router and rule:%s_router:external_gateway_info) and "
                           "rule:%s_router:external_gateway_info:%s) "
                           "is disallowed by policy",
                           verb, verb, verb, reserved[i]);
    return true;
}

bool router_overlaps_check(Db *db, const Router *r, const GPtrArray *subnets, const char *port_id, GError **err)
{
    g_autoptr(json_t) have = db_query(db, err, "router_subnets", "s", r->id);
    size_t i;
    json_t *one;
    if (!have)
        return false;
    for (guint k = 0; k < subnets->len; k++) {
        const Subnet *s = subnets->pdata[k];
        json_array_foreach(have, i, one) {
            const char *id = json_get_str(one, "id"), *cidr = json_get_str(one, "cidr");
            Cidr other;
            if (g_strcmp0(json_get_str(one, "port_id"), port_id) == 0)
                continue;
            if (strcmp(id, s->id) == 0)
                return nv_fail(err, NV_ERR_INVALID, "Bad router request: Router already has a port on subnet %s.", id);
            if (cidr_parse(cidr, true, &other) && other.base.version == s->ip_version && cidr_overlaps(other, subnet_cidr(s)))
                return nv_fail(err, NV_ERR_INVALID, "Bad router request: Cidr %s of subnet %s overlaps with cidr %s of subnet %s.", s->cidr,
                               s->id, cidr, id);
        }
    }
    return true;
}

static bool external_check(const Network *n, const GPtrArray *subnets, const json_t *wanted, GError **err)
{
    size_t i;
    json_t *one;
    if (!n->external)
        return nv_fail(err, NV_ERR_INVALID, "Bad router request: Network %s is not an external network.", n->id);
    json_array_foreach((json_t *) wanted, i, one) for (guint k = 0; k < subnets->len; k++) {
        const char *gateway = AS(const Subnet, subnets->pdata[k])->gateway_ip;
        g_autofree char *address = ip_canonical(json_get_str(one, "ip_address"));
        if (gateway && g_strcmp0(gateway, address) == 0)
            return nv_fail(err, NV_ERR_INVALID, "Bad router request: External IP %s is the same as the gateway IP.", gateway);
    }
    return true;
}

static bool gateway_remove(Db *db, const Ctx *ctx, const Router *r, const Port *gw, GError **err)
{
    g_autoptr(json_t) floating = db_query(db, err, "router_floating", "ss", r->id, sees_project(ctx));
    g_autofree char *list = ids_listed(floating);
    if (!floating)
        return false;
    if (*list)
        return nv_fail(err, NV_ERR_CONFLICT,
                       "Gateway cannot be updated for router %s, since a gateway to external network %s is required by one or more floating IPs. "
                       "Floating IPs: %s.", r->id, gw->network_id, list);
    return db_exec(db, err, "port_delete", "s", gw->id) && sync_network(db, ctx, gw->network_id, err);
}

static bool gateway_make(Db *db, const Ctx *ctx, const Router *r, const Network *n, const json_t *wanted, GError **err)
{
    g_autoptr(Port) p = AS(Port, row_new(&port_resource));
    if (!row_defaults(&p->row, json_make("sss", "network_id", n->id, "device_owner", "network:router_gateway", "device_id", r->id), err))
        return false;
    ROW_SET_STR(p, project_id, ""); /* nobody's: the tenant sees the router, not the port */
    ROW_SET_STR(p, host, r->host);
    ROW_SET_BOOL(p, port_security_enabled, false);
    return port_insert(db, p, json_array_size(wanted) ? wanted : NULL, err)
           && db_exec(db, err, "router_port_add", "sss", p->id, r->id, "gateway") && sync_network(db, ctx, n->id, err);
}

static Port *gateway_port(Db *db, const char *router_id, bool *ret_ok, GError **err)
{
    g_autofree char *id = NULL;
    *ret_ok = db_query_str(db, err, &id, "router_gateway_port", "s", router_id);
    if (!id)
        return NULL;
    Port *p = AS(Port, row_get(db, &port_resource, id, err));
    *ret_ok = p != NULL;
    return p;
}

/* Extra routes through the gateway that goes would lead nowhere. */
static bool routes_left(Db *db, const Router *r, GError **err)
{
    return !json_array_size(r->routes) || router_routes_check(db, r->id, r->routes, err);
}

bool router_gateway_set(Db *db, const Ctx *ctx, Router *r, const json_t *info, GError **err)
{
    const char *network_id = json_get_str(info, "network_id");
    const json_t *wanted = json_object_get(info, "external_fixed_ips");
    bool ok;
    g_autoptr(Port) gw = gateway_port(db, r->id, &ok, err);
    g_autoptr(Network) n = ok && network_id ? network_find(db, ctx, network_id, err) : NULL;
    g_autoptr(GPtrArray) subnets = n ? rows_where(db, &subnet_resource, err, "network_id", n->id, NULL) : NULL;
    if (!ok || (network_id && !subnets) || (n && !external_check(n, subnets, wanted, err)))
        return false;
    if (gw && n && strcmp(gw->network_id, n->id) == 0)
        return !json_array_size(wanted)
               || (ipam_replace(db, gw, gw->fixed_ips, wanted, err) && routes_left(db, r, err) && sync_network(db, ctx, n->id, err));
    if (gw && !gateway_remove(db, ctx, r, gw, err))
        return false;
    if (n && (!router_overlaps_check(db, r, subnets, NULL, err) || !gateway_make(db, ctx, r, n, wanted, err)))
        return false;
    return (!gw && !n) || routes_left(db, r, err);
}
