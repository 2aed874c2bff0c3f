/* network/agent/router_spec.c -- parses router.ensure strictly: every address, MAC and number is a value of its type from here on. */
#include "network/agent/router_spec.h"
#include "core/error.h"
#include <string.h>

enum { PORTS_MAX = 65535, INTERFACES_MAX = 256, ENTRIES_MAX = 20000 };

RouterPort *router_port_new(void)
{
    RouterPort *p = g_new0(RouterPort, 1);
    p->addresses = g_array_new(FALSE, TRUE, sizeof(Cidr));
    p->subnets = g_array_new(FALSE, TRUE, sizeof(Cidr));
    p->ra = g_array_new(FALSE, TRUE, sizeof(RouterRa));
    return p;
}

void router_port_free(gpointer port)
{
    RouterPort *p = port;
    g_array_unref(p->addresses);
    g_array_unref(p->subnets);
    g_array_unref(p->ra);
    g_free(p);
}

void router_spec_free(RouterSpec *r)
{
    if (!r)
        return;
    g_ptr_array_unref(r->ports);
    g_array_unref(r->nexthops);
    g_array_unref(r->floating);
    g_array_unref(r->forwardings);
    g_array_unref(r->routes);
    g_free(r);
}

bool router_ra_parse(const json_t *array, RouterPort *p, GError **err)
{
    static const struct { const char *name; RaMode mode; } modes[] = {
        { "slaac", RA_SLAAC }, { "dhcpv6-stateless", RA_STATELESS }, { "dhcpv6-stateful", RA_STATEFUL },
    };
    size_t i;
    json_t *v;
    json_array_foreach((json_t *) array, i, v) {
        RouterRa ra = { .mode = RA_NONE };
        if (!spec_get_cidr(json_object_get(v, "prefix"), true, "prefix", &ra.prefix, err))
            return false;
        for (gsize k = 0; k < G_N_ELEMENTS(modes); k++)
            if (g_strcmp0(json_get_str(v, "mode"), modes[k].name) == 0)
                ra.mode = modes[k].mode;
        if (ra.mode == RA_NONE || ra.prefix.base.version != 6)
            return nv_fail(err, NV_ERR_INVALID, "ra of a router's interface has no mode, or no IPv6 prefix");
        g_array_append_val(p->ra, ra);
    }
    return true;
}

static bool port_parse(const json_t *v, RouterSpec *r, GError **err)
{
    RouterPort *p = router_port_new();
    const char *port = json_get_str(v, "port_id"), *network = json_get_str(v, "network_id");
    g_ptr_array_add(r->ports, p);
    if (!spec_get_id12(json_object_get(v, "port_id"), "port_id", &p->n, err) ||
        !spec_get_id12(json_object_get(v, "network_id"), "network_id", &p->network, err) || !spec_get_mtu(v, &p->mtu, err) ||
        !spec_get_mac(json_object_get(v, "mac"), "mac", p->mac, err) ||
        !spec_get_cidrs(json_object_get(v, "addresses"), false, "addresses", p->addresses, err) ||
        !spec_get_cidrs(json_object_get(v, "subnets"), true, "subnets", p->subnets, err) || !router_ra_parse(json_object_get(v, "ra"), p, err))
        return false;
    p->link = id_router_link(port);
    p->inner = id_router_inner(port);
    p->bridge = id_bridge(network);
    for (guint i = 0; i + 1 < r->ports->len; i++)
        if (strcmp(((RouterPort *) r->ports->pdata[i])->n.s, p->n.s) == 0)
            return nv_fail(err, NV_ERR_INVALID, "port_id: a port is given twice");
    return true;
}

static bool gateway_parse(const json_t *v, RouterSpec *r, GError **err)
{
    if (!v || json_is_null(v))
        return true;
    if (!json_is_object(v))
        return nv_fail(err, NV_ERR_INVALID, "gateway is no object");
    if (!port_parse(v, r, err))
        return false;
    r->gateway = r->ports->pdata[r->ports->len - 1];
    r->snat = json_get_bool(v, "snat", true);
    return spec_get_ips(json_object_get(v, "nexthops"), "nexthops", r->nexthops, err);
}

static bool ip4_member(const json_t *v, const char *name, Ip *ret, GError **err)
{
    if (!spec_get_ip(json_object_get(v, name), name, ret, err))
        return false;
    return ret->version == 4 || nv_fail(err, NV_ERR_INVALID, "%s is not an IPv4 address", name);
}

static bool floating_parse(const json_t *array, RouterSpec *r, GError **err)
{
    size_t i;
    json_t *v;
    json_array_foreach((json_t *) array, i, v) {
        RouterFloating f;
        if (!ip4_member(v, "external", &f.external, err) || !ip4_member(v, "fixed", &f.fixed, err))
            return false;
        for (guint k = 0; k < r->floating->len; k++) {
            const RouterFloating *other = &g_array_index(r->floating, RouterFloating, k);
            if (ip_compare(other->external, f.external) == 0 || ip_compare(other->fixed, f.fixed) == 0)
                return nv_fail(err, NV_ERR_INVALID, "floating: an address is given twice");
        }
        g_array_append_val(r->floating, f);
    }
    return true;
}

static bool port_member(const json_t *v, const char *name, int *ret, GError **err)
{
    const json_t *n = json_object_get(v, name);
    if (!json_is_integer(n) || json_integer_value(n) < 1 || json_integer_value(n) > PORTS_MAX)
        return nv_fail(err, NV_ERR_INVALID, "%s is no port number", name);
    *ret = (int) json_integer_value(n);
    return true;
}

int router_forwarding_port(const RouterForwarding *f, int external)
{
    return f->internal_first + (f->all_to_one ? 0 : external - f->external_first);
}

static bool overlaps(const RouterForwarding *a, const RouterForwarding *b)
{
    return ip_compare(a->external, b->external) == 0 && a->udp == b->udp &&
           a->external_first <= b->external_last && b->external_first <= a->external_last;
}

static bool forwarding_parse(const json_t *v, RouterSpec *r, GError **err)
{
    RouterForwarding f = { 0 };
    const char *protocol = json_get_str(v, "protocol");
    f.udp = g_strcmp0(protocol, "udp") == 0;
    if (!f.udp && g_strcmp0(protocol, "tcp") != 0)
        return nv_fail(err, NV_ERR_INVALID, "protocol of a port forwarding is neither tcp nor udp");
    if (!ip4_member(v, "external", &f.external, err) || !ip4_member(v, "internal", &f.internal, err) ||
        !port_member(v, "external_first", &f.external_first, err) || !port_member(v, "external_last", &f.external_last, err) ||
        !port_member(v, "internal_first", &f.internal_first, err))
        return false;
    f.all_to_one = json_get_int(v, "internal_last", 0) == f.internal_first;
    if (f.external_last < f.external_first || router_forwarding_port(&f, f.external_last) > PORTS_MAX)
        return nv_fail(err, NV_ERR_INVALID, "external_last: the range of ports is empty or too long");
    for (guint k = 0; k < r->forwardings->len; k++)
        if (overlaps(&g_array_index(r->forwardings, RouterForwarding, k), &f))
            return nv_fail(err, NV_ERR_INVALID, "forwardings: two have the same external port");
    g_array_append_val(r->forwardings, f);
    return true;
}

static bool routes_parse(const json_t *array, RouterSpec *r, GError **err)
{
    size_t i;
    json_t *v;
    json_array_foreach((json_t *) array, i, v) {
        RouterRoute route;
        if (!spec_get_cidr(json_object_get(v, "destination"), false, "destination", &route.destination, err) ||
            !spec_get_ip(json_object_get(v, "nexthop"), "nexthop", &route.nexthop, err))
            return false;
        route.destination.base = cidr_first(route.destination);
        if (route.destination.base.version != route.nexthop.version)
            return nv_fail(err, NV_ERR_INVALID, "nexthop of a route is of another IP version");
        g_array_append_val(r->routes, route);
    }
    return true;
}

static bool sizes_ok(const json_t *args, GError **err)
{
    if (json_array_size(json_object_get(args, "interfaces")) > INTERFACES_MAX || json_array_size(json_object_get(args, "floating")) > ENTRIES_MAX ||
        json_array_size(json_object_get(args, "forwardings")) > ENTRIES_MAX || json_array_size(json_object_get(args, "routes")) > ENTRIES_MAX)
        return nv_fail(err, NV_ERR_INVALID, "a list of the router is too long");
    return true;
}

RouterSpec *router_spec_parse(const json_t *args, GError **err)
{
    g_autoptr(RouterSpec) r = g_new0(RouterSpec, 1);
    size_t i;
    json_t *v;
    r->ports = g_ptr_array_new_with_free_func(router_port_free);
    r->nexthops = g_array_new(FALSE, TRUE, sizeof(Ip));
    r->floating = g_array_new(FALSE, TRUE, sizeof(RouterFloating));
    r->forwardings = g_array_new(FALSE, TRUE, sizeof(RouterForwarding));
    r->routes = g_array_new(FALSE, TRUE, sizeof(RouterRoute));
    g_strlcpy(r->id, json_get_str(args, "id"), sizeof r->id);
    r->n = id_12(r->id);
    r->netns = id_router_netns(r->id);
    r->up = json_get_bool(args, "up", true);
    if (!sizes_ok(args, err))
        return NULL;
    json_array_foreach(json_object_get(args, "interfaces"), i, v)
        if (!port_parse(v, r, err))
            return NULL;
    json_array_foreach(json_object_get(args, "forwardings"), i, v)
        if (!forwarding_parse(v, r, err))
            return NULL;
    if (!gateway_parse(json_object_get(args, "gateway"), r, err) || !floating_parse(json_object_get(args, "floating"), r, err) ||
        !routes_parse(json_object_get(args, "routes"), r, err))
        return NULL;
    return g_steal_pointer(&r);
}

bool router_spec_source(const RouterSpec *r, Ip *ret_ip)
{
    for (guint i = 0; r->gateway && i < r->gateway->addresses->len; i++) {
        Ip ip = g_array_index(r->gateway->addresses, Cidr, i).base;
        if (ip.version == 4) {
            *ret_ip = ip;
            return true;
        }
    }
    return false;
}

static void add_external(GArray *list, Ip ip)
{
    Cidr c = { ip, 32 };
    for (guint i = 0; i < list->len; i++)
        if (ip_compare(g_array_index(list, Cidr, i).base, ip) == 0)
            return;
    g_array_append_val(list, c);
}

GArray *router_spec_externals(const RouterSpec *r)
{
    GArray *list = r->gateway ? g_array_copy(r->gateway->addresses) : g_array_new(FALSE, TRUE, sizeof(Cidr));
    for (guint i = 0; r->gateway && i < r->floating->len; i++)
        add_external(list, g_array_index(r->floating, RouterFloating, i).external);
    for (guint i = 0; r->gateway && i < r->forwardings->len; i++)
        add_external(list, g_array_index(r->forwardings, RouterForwarding, i).external);
    return list;
}
