/* network/floating_assoc.c -- what a floating IP leads to: the port, which of its addresses, and the router in between. */
#include "network/router.h"
#include <string.h>

bool floating_router(Db *db, const Port *p, const char *subnet_id, const char *external_network_id, char **ret_router_id, GError **err)
{
    g_autoptr(Subnet) s = AS(Subnet, row_get(db, &subnet_resource, subnet_id, err));
    g_autofree char *router_id = NULL;
    if (!s || !db_query_str(db, err, &router_id, "floating_router", "sss", subnet_id, external_network_id, s->gateway_ip))
        return false;
    if (!router_id)
        return nv_fail(err, NV_ERR_NOT_FOUND,
                       "External network %s is not reachable from subnet %s. Therefore, cannot associate Port %s with a "
                       "Floating IP.",
                       external_network_id, subnet_id, p->id);
    *ret_router_id = g_steal_pointer(&router_id);
    return true;
}

/* The fixed address meant: the one that is named, or the port's only IPv4 address. */
static const json_t *address_of(const Port *p, const char *named, GError **err)
{
    const json_t *found = NULL;
    size_t i;
    json_t *one;
    int n = 0;
    Ip ip, own;
    if (named && (!ip_parse(named, &ip) || ip.version != 4))
        return nv_fail(err, NV_ERR_INVALID,
                       "Bad floatingip request: Cannot process floating IP association with %s, since that is not an IPv4 "
                       "address.",
                       named),
               NULL;
    json_array_foreach(p->fixed_ips, i, one) {
        if (!ip_parse(json_get_str(one, "ip_address"), &own) || own.version != 4 || (named && ip_compare(own, ip) != 0))
            continue;
        found = one;
        n++;
    }
    if (n == 1)
        return found;
    if (named)
        nv_fail(err, NV_ERR_INVALID, "Bad floatingip request: Port %s does not have fixed ip %s.", p->id, named);
    else if (!n)
        nv_fail(err, NV_ERR_INVALID, "Bad floatingip request: Cannot add floating IP to port %s that has no fixed IPv4 addresses.", p->id);
    else
        nv_fail(err, NV_ERR_INVALID,
                "Bad floatingip request: Port %s has multiple fixed IPv4 addresses.  Must provide a specific IPv4 address when "
                "assigning a floating IP.",
                p->id);
    return NULL;
}

static bool not_taken(Db *db, const Floating *f, const char *fixed, GError **err)
{
    g_autofree char *twin = NULL;
    if (!db_query_str(db, err, &twin, "floating_twin", "ssss", f->port_id, fixed, f->floating_network_id, f->id))
        return false;
    return !twin
           || nv_fail(err, NV_ERR_CONFLICT,
                      "Cannot associate floating IP %s (%s) with port %s using fixed IP %s, as that fixed IP already has a "
                      "floating IP on "
                      "external network %s.",
                      f->floating_ip_address, f->id, f->port_id, fixed, f->floating_network_id);
}

static bool settle(Db *db, const Ctx *ctx, Floating *f, GError **err)
{
    gint64 forwardings = 0;
    g_autofree char *router_id = NULL;
    g_autoptr(Port) p = AS(Port, row_get_for(db, &port_resource, ctx, f->port_id, false, err));
    if (!p || !db_query_int(db, err, &forwardings, "forwarding_count", "s", f->id))
        return false;
    if (forwardings)
        return nv_fail(err, NV_ERR_CONFLICT, "Floating IP %s in use by Port Forwarding resources.", f->id);
    if (strcmp(p->project_id, f->project_id) != 0 && !ctx->admin)
        return nv_fail(err, NV_ERR_INVALID,
                       "Bad floatingip request: Cannot process floating IP association with Port %s, since that port is owned "
                       "by a "
                       "different tenant.",
                       p->id);
    if (strcmp(p->device_owner, "network:dhcp") == 0)
        return nv_fail(err, NV_ERR_INVALID, "Bad floatingip request: Port %s is unable to be assigned a floating IP.", p->id);
    const json_t *fixed = address_of(p, row_is_dirty(&f->row, &f->fixed_ip_address) ? f->fixed_ip_address : NULL, err);
    if (!fixed || !floating_router(db, p, json_get_str(fixed, "subnet_id"), f->floating_network_id, &router_id, err)
        || !not_taken(db, f, json_get_str(fixed, "ip_address"), err))
        return false;
    ROW_SET_STR(f, fixed_ip_address, json_get_str(fixed, "ip_address"));
    ROW_SET_STR(f, router_id, router_id);
    return true;
}

bool floating_associate(Db *db, const Ctx *ctx, Floating *f, const Floating *old, GError **err)
{
    bool had = old && old->port_id;
    if (f->port_id) {
        if (!settle(db, ctx, f, err))
            return false;
        if (had && strcmp(f->port_id, old->port_id) == 0 && strcmp(f->fixed_ip_address, old->fixed_ip_address) == 0
            && g_strcmp0(f->router_id, old->router_id) == 0)
            return true;
    } else {
        if (f->fixed_ip_address && row_is_dirty(&f->row, &f->fixed_ip_address))
            return nv_fail(err, NV_ERR_INVALID, "Bad floatingip request: fixed_ip_address cannot be specified without a port_id.");
        ROW_SET_NULL(f, fixed_ip_address);
        if (!old || had) /* else it may be its forwardings' */
            ROW_SET_NULL(f, router_id);
        if (!had)
            return true;
    }
    ROW_SET_STR(f, status, "DOWN"); /* until the router has it */
    return (!had || sync_router(db, ctx, old->router_id, err)) && (!f->router_id || sync_router(db, ctx, f->router_id, err));
}

static bool floating_left(Db *db, const Ctx *ctx, const json_t *rows, GError **err)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *) rows, i, one) if (!db_exec(db, err, "floating_release", "s", json_get_str(one, "id"))
                                                    || !sync_router(db, ctx, json_get_str(one, "router_id"), err)) return false;
    return true;
}

bool floating_port_left(Db *db, const Ctx *ctx, const char *port_id, bool all, GError **err)
{
    g_autoptr(json_t) floating = db_query(db, err, "floating_losing", "si", port_id, (gint64) all);
    g_autoptr(json_t) forwardings = floating ? db_query(db, err, "forwarding_losing", "si", port_id, (gint64) all) : NULL;
    size_t i;
    json_t *one;
    if (!forwardings || !floating_left(db, ctx, floating, err))
        return false;
    json_array_foreach(forwardings, i, one) if (!db_exec(db, err, "forwarding_delete", "s", json_get_str(one, "id"))
                                                || !db_exec(db, err, "floating_settle", "s", json_get_str(one, "floatingip_id"))
                                                || !sync_router(db, ctx, json_get_str(one, "router_id"), err)) return false;
    return true;
}
