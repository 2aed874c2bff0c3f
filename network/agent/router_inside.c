/* network/agent/router_inside.c -- sysctls, addresses, routes and connections of a router. */
#include "network/agent/router_inside.h"
#include "core/error.h"
#include "core/log.h"
#include "network/agent/announce.h"
#include "network/agent/conntrack.h"
#include "network/agent/link.h"
#include "network/agent/link_route.h"
#include "network/agent/nft_router.h"
#include "network/agent/ra.h"
#include "network/agent/sysctl.h"
#include <netinet/in.h>
#include <string.h>

/* clang-format off */
static const Sysctl settings[] = {
    { "ipv4", "arp_ignore", "1" },       { "ipv4", "arp_announce", "2" },     { "ipv4", "rp_filter", "0" },
    { "ipv4", "accept_redirects", "0" }, { "ipv4", "send_redirects", "0" },   { "ipv4", "accept_source_route", "0" },
    { "ipv4", "forwarding", "1" },       { "ipv6", "disable_ipv6", "0" },     { "ipv6", "accept_ra", "0" },
    { "ipv6", "accept_redirects", "0" }, { "ipv6", "accept_source_route", "0" }, { "ipv6", "accept_dad", "0" },
    { "ipv6", "forwarding", "1" },       { 0 },
};
/* clang-format on */
/* Links that are still to be made begin with the second's. */
static const char *const devices[] = { "all", "default" };

bool router_inside_prepared(const RouterSpec *r)
{
    bool so = true;
    for (gsize i = 0; so && i < G_N_ELEMENTS(devices); i++)
        so = sysctl_are(devices[i], settings);
    for (guint i = 0; so && i < r->ports->len; i++)
        so = sysctl_are(((const RouterPort *) r->ports->pdata[i])->inner.s, settings);
    return so;
}

bool router_inside_prepare(const RouterSpec *r, GError **err)
{
    if (!link_forward_mark(NFT_ROUTER_MARK, err))
        return false;
    for (gsize i = 0; i < G_N_ELEMENTS(devices); i++)
        sysctl_ensure(devices[i], settings);
    for (guint i = 0; i < r->ports->len; i++)
        sysctl_ensure(((const RouterPort *) r->ports->pdata[i])->inner.s, settings);
    return link_up("lo", true, err);
}

GArray *router_inside_links(GError **err)
{
    return link_list("nvp", err);
}

/* --- connections --- */

static bool is_floating(const RouterSpec *r, Ip external, Ip fixed)
{
    for (guint i = 0; r->gateway && i < r->floating->len; i++) {
        const RouterFloating *f = &g_array_index(r->floating, RouterFloating, i);
        if (ip_compare(f->external, external) == 0 && ip_compare(f->fixed, fixed) == 0)
            return true;
    }
    return false;
}

static bool is_forwarding(const RouterSpec *r, const Tuple *there, const Tuple *back)
{
    for (guint i = 0; r->gateway && i < r->forwardings->len; i++) {
        const RouterForwarding *f = &g_array_index(r->forwardings, RouterForwarding, i);
        int port = there->destination_port;
        if (ip_compare(f->external, there->destination) == 0 && ip_compare(f->internal, back->source) == 0 &&
            there->protocol == (f->udp ? IPPROTO_UDP : IPPROTO_TCP) &&
            port >= f->external_first && port <= f->external_last && back->source_port == router_forwarding_port(f, port))
            return true;
    }
    return false;
}

static bool is_inside(const RouterSpec *r, Ip ip)
{
    for (guint i = 0; i < r->ports->len; i++) {
        const RouterPort *p = r->ports->pdata[i];
        for (guint k = 0; p != r->gateway && k < p->addresses->len; k++)
            if (cidr_contains(g_array_index(p->addresses, Cidr, k), ip))
                return true;
    }
    return false;
}

/* A connection is translated as it was when it began: is that what the spec says now?  One that left by the gateway's address goes on
 * when its guest gets a floating address; one that passed the gateway as it was would be dropped as long as it is known.
 * (One that goes to an inner address behind an extra route is forgotten with it, and known anew with its next packet.) */
static bool is_gone(const Tracked *t, const void *data)
{
    const RouterSpec *r = data;
    const Tuple *there = &t->there, *back = &t->back;
    bool dnat = ip_compare(there->destination, back->source) != 0, snat = ip_compare(there->source, back->destination) != 0;
    Ip source = { 0 };
    if (!dnat && !snat)
        return r->snat && there->source.version == 4 && is_inside(r, there->source) != is_inside(r, there->destination);
    if (dnat && !is_floating(r, there->destination, back->source) && !is_forwarding(r, there, back))
        return true;
    if (!snat || is_floating(r, back->destination, there->source))
        return false;
    return !router_spec_source(r, &source) || ip_compare(source, back->destination) != 0 || !(r->snat || dnat);
}

bool router_inside_forget(const RouterSpec *r, GError **err)
{
    return conntrack_purge(CONNTRACK_ALL, is_gone, r, err);
}

static bool has_forwarding(const RouterSpec *r, const RouterForwarding *f)
{
    for (guint i = 0; r->gateway && i < r->forwardings->len; i++) {
        const RouterForwarding *other = &g_array_index(r->forwardings, RouterForwarding, i);
        if (ip_compare(f->external, other->external) == 0 && ip_compare(f->internal, other->internal) == 0 && f->udp == other->udp &&
            f->external_first == other->external_first && f->external_last == other->external_last && f->internal_first == other->internal_first &&
            f->all_to_one == other->all_to_one)
            return true;
    }
    return false;
}

bool router_inside_must_forget(const RouterSpec *old, const RouterSpec *r)
{
    Ip before = { 0 }, now = { 0 };
    if (!old)
        return true;
    router_spec_source(old, &before);
    router_spec_source(r, &now);
    bool must = ip_compare(before, now) != 0 || old->snat != r->snat;
    for (guint i = 0; !must && old->gateway && i < old->floating->len; i++) {
        const RouterFloating *f = &g_array_index(old->floating, RouterFloating, i);
        must = !is_floating(r, f->external, f->fixed);
    }
    for (guint i = 0; !must && old->gateway && i < old->forwardings->len; i++)
        must = !has_forwarding(r, &g_array_index(old->forwardings, RouterForwarding, i));
    return must;
}

/* --- links --- */

static bool settle_port(const RouterSpec *r, const RouterPort *p, bool again, GError **err)
{
    g_autoptr(GArray) wanted = p == r->gateway ? router_spec_externals(r) : g_array_copy(p->addresses);
    g_autoptr(GArray) added = g_array_new(FALSE, TRUE, sizeof(Cidr));
    g_autoptr(GError) why = NULL;
    guint8 mac[6];
    if (!link_mtu(p->inner.s, p->mtu, err) || !link_up(p->inner.s, r->up, err) || !link_addresses_tell(p->inner.s, wanted, added, err))
        return false;
    /* Neighbours that do not hear of it find out by themselves, later. */
    if (r->up && mac_parse(p->mac, mac) && !announce(p->inner.s, mac, again ? wanted : added, &why))
        log_warn("router.not_announced", "router", r->id, "error", why->message, NULL);
    return true;
}

static bool has_default(const RouterSpec *r, int version)
{
    for (guint i = 0; i < r->routes->len; i++) {
        Cidr to = g_array_index(r->routes, RouterRoute, i).destination;
        if (to.base.version == version && to.prefix == 0)
            return true;
    }
    return false;
}

/* A default route among the router's own stands in for the gateway's; beside it, either might win. */
static GArray *routes_of(const RouterSpec *r)
{
    GArray *list = g_array_new(FALSE, TRUE, sizeof(LinkRoute));
    for (guint i = 0; r->gateway && i < r->nexthops->len; i++) {
        LinkRoute route = { .nexthop = g_array_index(r->nexthops, Ip, i) };
        route.destination = (Cidr){ { .version = route.nexthop.version }, 0 };
        g_strlcpy(route.device, r->gateway->inner.s, sizeof route.device);
        if (!has_default(r, route.nexthop.version))
            g_array_append_val(list, route);
    }
    for (guint i = 0; i < r->routes->len; i++) {
        const RouterRoute *given = &g_array_index(r->routes, RouterRoute, i);
        LinkRoute route = { .destination = given->destination, .nexthop = given->nexthop };
        g_array_append_val(list, route);
    }
    return list;
}

bool router_inside_settle(const RouterSpec *r, bool again, GError **err)
{
    g_autoptr(GArray) routes = routes_of(r);
    g_autoptr(GError) why = NULL;
    for (guint i = 0; i < r->ports->len; i++)
        if (!settle_port(r, r->ports->pdata[i], again, err))
            return false;
    /* A next hop that nobody can reach makes its own route useless, and nothing else. */
    if (r->up && !link_routes(routes, &why))
        log_warn("router.no_route", "router", r->id, "error", why->message, NULL);
    g_autoptr(GPtrArray) advertised = ra_ports(r);
    return ra_ensure(r->netns.s, advertised, false, err);
}
