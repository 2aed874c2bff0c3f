/* network/explain_route.c -- a packet's way explained: who routes it where, and what becomes of its addresses.  Pure. */
#include "network/explain_way.h"
#include <string.h>

enum { METADATA = 0xa9fea9fe };          /* 169.254.169.254 */

/* The subnet of an end that holds the address. */
static const json_t *subnet_with(const json_t *end, Ip ip)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(end, "subnets"), i, one) {
        Cidr c;
        if (cidr_parse(json_get_str(one, "cidr"), false, &c) && c.base.version == ip.version && cidr_contains(c, ip))
            return one;
    }
    return NULL;
}

/* --- which way a router takes --- */

typedef enum { NO_WAY, OWN, CONNECTED, NEXT_HOP, DEFAULT } Kind;

/* What the kernel takes: the longest prefix.  lost: a longer one, or the only one, whose next hop is nowhere, so that the kernel does not have it. */
typedef struct Choice {
    Kind kind;
    int prefix, lost_prefix;
    const json_t *link, *lost;           /* the interface or gateway by which it goes; an extra route */
    const char *next;
} Choice;

static bool has_gateway(const json_t *router)
{
    return json_is_object(json_object_get(router, "gateway"));
}

/* The interface of router, or its gateway, with the longest prefix that holds the address; own: it is an address of the router. */
static const json_t *link_to(const json_t *router, Ip ip, int *ret_prefix, bool *ret_own)
{
    const json_t *links = json_object_get(router, "interfaces"), *found = NULL;
    size_t n = json_array_size(links), i, k;
    int best = -1;
    json_t *address;
    for (i = 0; i < n + has_gateway(router); i++) {
        const json_t *link = i < n ? json_array_get(links, i) : json_object_get(router, "gateway");
        json_array_foreach(json_object_get(link, "addresses"), k, address) {
            Cidr c;
            if (!cidr_parse(json_string_value(address), false, &c) || c.base.version != ip.version || !cidr_contains(c, ip))
                continue;
            *ret_own |= ip_compare(c.base, ip) == 0;
            if (c.prefix > best) {
                found = link;
                *ret_prefix = best = c.prefix;
            }
        }
    }
    return found;
}

/* Whom the gateway sends on to, or NULL; a default among the extra routes stands in for it, wherever that leads (adr/0005). */
static const char *default_hop(const json_t *router, int version)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(router, "routes"), i, one) {
        Cidr to;
        if (cidr_parse(json_get_str(one, "destination"), false, &to) && to.base.version == version && to.prefix == 0)
            return NULL;
    }
    json_array_foreach(json_object_get(json_object_get(router, "gateway"), "nexthops"), i, one) {
        Ip ip;
        if (ip_parse(json_string_value(one), &ip) && ip.version == version)
            return json_string_value(one);
    }
    return NULL;
}

static void consider_routes(const json_t *router, Ip ip, Choice *c)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(router, "routes"), i, one) {
        const char *next = json_get_str(one, "nexthop");
        Cidr to;
        Ip hop;
        int prefix;
        bool own = false;
        if (!cidr_parse(json_get_str(one, "destination"), false, &to) || to.base.version != ip.version || !cidr_contains(to, ip)
            || !ip_parse(next, &hop) || to.prefix <= c->prefix)
            continue;
        const json_t *link = link_to(router, hop, &prefix, &own);
        if (link)
            *c = (Choice){ NEXT_HOP, to.prefix, c->lost_prefix, link, c->lost, next };
        else if (to.prefix > c->lost_prefix)
            c->lost = one, c->lost_prefix = to.prefix;
    }
    if (c->lost_prefix < c->prefix)
        c->lost = NULL;
}

static Choice choose(const json_t *router, Ip ip)
{
    Choice c = { NO_WAY, -1, -1, NULL, NULL, NULL };
    bool own = false;
    c.link = link_to(router, ip, &c.prefix, &own);
    c.kind = own ? OWN : c.link ? CONNECTED : NO_WAY;
    if (own)
        return c;
    if (!c.link && (c.next = default_hop(router, ip.version)))
        c = (Choice){ DEFAULT, 0, -1, json_object_get(router, "gateway"), NULL, c.next };
    consider_routes(router, ip, &c);
    return c;
}

/* --- the router --- */

/* What the world sees as the sender: its floating IP, or the router's own address. */
static void translate_source(Way *w, const json_t *router)
{
    const json_t *gateway = json_object_get(router, "gateway");
    const char *id = json_get_str(router, "id");
    const json_t *floating = json_object_get(w->scene, "floating");
    /* What comes back by one of the router's own floating IPs is always translated: the answer must pass here too. */
    bool back = json_is_object(floating) && g_strcmp0(json_get_str(floating, "router_id"), id) == 0;
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(router, "floating"), i, one)
        if (g_strcmp0(json_get_str(one, "fixed"), w->source_text) == 0) {
            explain_set_ip(&w->source, w->source_text, json_get_str(one, "external"));
            explain_hop(w, "NAT", id, "pass", NULL, NULL, "the source becomes the floating IP %s", w->source_text);
            return;
        }
    json_array_foreach(json_object_get(gateway, "addresses"), i, one) {
        Cidr c;
        if (!(explain_flag(gateway, "snat") || back) || w->source.version != 4 || !cidr_parse(json_string_value(one), false, &c)
            || c.base.version != 4)
            continue;
        w->source = c.base;
        ip_format(w->source, w->source_text);
        explain_hop(w, "NAT", id, "pass", NULL, NULL, "the source becomes the router's address %s", w->source_text);
        return;
    }
    explain_hop(w, "NAT", id, "pass", NULL, NULL, "the source stays %s", w->source_text);
}

/* Routers and the host pass on none: nobody looks at the hardware addresses in it but on the sender's own network. */
static bool drops_dhcp(Way *w, const char *at)
{
    if (w->protocol != PROTO_UDP || (w->port != 67 && w->port != 547))
        return false;
    explain_hop(w, "route", at, "drop", NULL, "Serve DHCP on the sender's own network.", "UDP port %d is DHCP, which is not routed", w->port);
    return true;
}

/* Link-local, multicast and the like stay on their network. */
static bool stays_here(Ip ip)
{
    static const char *const blocks[] = { "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "fe80::/10", "ff00::/8" };
    for (gsize i = 0; i < G_N_ELEMENTS(blocks); i++) {
        Cidr c;
        if (cidr_parse(blocks[i], true, &c) && c.base.version == ip.version && cidr_contains(c, ip))
            return true;
    }
    return false;
}

static void no_way(Way *w, const json_t *router, const Choice *c)
{
    const char *id = json_get_str(router, "id");
    int version = w->target.version;
    bool six = version == 6, spoken = false;
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(json_object_get(router, "gateway"), "addresses"), i, one) {
        Cidr own;
        spoken |= cidr_parse(json_string_value(one), false, &own) && own.base.version == version;
    }
    if (c->lost)
        explain_hop(w, "route", id, "drop", NULL, "Connect the router to the next hop's network, or take the route away.",
                    "the next hop %s of the router's route to %s is on no network of the router", json_get_str(c->lost, "nexthop"),
                    json_get_str(c->lost, "destination"));
    else if (has_gateway(router) && !spoken)
        explain_hop(w, "route", id, "drop", NULL, six ? "Give the external network an IPv6 subnet, and the router's gateway an address in it."
                    : "Give the external network an IPv4 subnet, and the router's gateway an address in it.",
                    "the router has no way to %s, as the router's gateway has no IPv%d address", w->target_text, version);
    else if (has_gateway(router))
        explain_hop(w, "route", id, "drop", NULL, "Give the external network's subnet a gateway, or add a route.",
                    "the router has no way to %s, as the external network's IPv%d subnet has no gateway", w->target_text, version);
    else
        explain_hop(w, "route", id, "drop", NULL, "Set the router's external gateway, connect it to the destination's subnet, or add a route.",
                    "the router has no way to %s", w->target_text);
}

/* A subnet of the link's network holds the address. */
static bool is_of(const json_t *link, Ip ip)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(link, "subnets"), i, one) {
        Cidr c;
        if (cidr_parse(json_string_value(one), false, &c) && c.base.version == ip.version && cidr_contains(c, ip))
            return true;
    }
    return false;
}

/* Nobody comes onto a network from elsewhere as one of its own. */
static void drops_double(Way *w, const json_t *router, const json_t *link, Ip sent)
{
    const char *here = json_get_str(explain_port_of(w->from), "network_id");
    if (ip_compare(sent, w->source) == 0 && g_strcmp0(here, json_get_str(link, "network_id")) != 0 && is_of(link, sent))
        explain_hop(w, "route", json_get_str(router, "id"), "drop", NULL, "Use a subnet whose addresses that network has not.",
                    "%s is an address of a subnet of the network that it would come to from elsewhere", w->source_text);
}

/* Where the packet is now: on the network of the link, or with somebody else. */
static void sent_by(Way *w, const json_t *router, const Choice *c)
{
    Ip sent = w->source;
    w->network = json_get_str(c->link, "network_id");
    w->beyond = c->next;
    /* All subnets of a network are on one link, and its gateway sends back what is for another of them. */
    if (c->kind == DEFAULT && is_of(c->link, w->target))
        w->beyond = NULL;
    if (c->link == json_object_get(router, "gateway"))
        translate_source(w, router);
    drops_double(w, router, c->link, sent);
}

bool explain_router_is_there(Way *w, const char *hop, const json_t *router)
{
    const char *id = json_get_str(router, "id"), *host = json_get_str(router, "host");
    if (!explain_flag(router, "up"))
        explain_hop(w, hop, id, "drop", NULL, "Set admin_state_up of the router to true.", "the router is administratively down");
    else if (host && !*host)
        explain_hop(w, hop, id, "drop", NULL, "Look why the router has no host: nuvolet ctl doctor.", "the router is on no host");
    else
        return true;
    return false;
}

static void route_by_router(Way *w, const json_t *router)
{
    const json_t *floating = json_object_get(w->scene, "floating");
    const char *id = json_get_str(router, "id");
    bool translates = json_is_object(floating) && g_strcmp0(json_get_str(floating, "router_id"), id) == 0;
    Choice c = choose(router, w->target);
    bool meant = json_is_object(w->to) || json_is_object(json_object_get(w->scene, "elsewhere"));
    if (!explain_router_is_there(w, "route", router))
        return;
    if (c.kind == OWN) {
        explain_hop(w, "route", id, "pass", NULL, NULL, "it is an address of the router itself");
        return;
    }
    if (stays_here(w->target)) {
        explain_hop(w, "route", id, "drop", NULL, "Send to an address of a server.", "no router passes on what is for %s", w->target_text);
        return;
    }
    /* Nobody outside leads to what a route was to lead to within the cloud. */
    if (c.kind == NO_WAY || (c.kind == DEFAULT && c.lost && meant && !json_is_object(floating))) {
        no_way(w, router, &c);
        return;
    }
    g_autofree char *lost = c.lost ? g_strdup_printf(" (the next hop %s of its route to %s is on no network of the router)",
                                                     json_get_str(c.lost, "nexthop"), json_get_str(c.lost, "destination")) : g_strdup("");
    const char *change = c.lost ? "Connect the router to the next hop's network, or take the route away." : NULL;
    if (c.kind == CONNECTED)
        explain_hop(w, "route", id, "pass", NULL, change, "the router is connected to the destination's subnet by port %s%s",
                    json_get_str(c.link, "port_id"), lost);
    else if (c.kind == NEXT_HOP)
        explain_hop(w, "route", id, "pass", NULL, change, "a route of the router leads to %s%s", c.next, lost);
    else
        explain_hop(w, "route", id, "pass", NULL, change, "the router sends it out by its gateway%s", lost);
    if (translates || !drops_dhcp(w, id))
        sent_by(w, router, &c);
}

/* Into another network of the cloud it passes no DHCP, as routers do not. */
static void route_by_host(Way *w, const char *network, const char *gateway)
{
    explain_hop(w, "route", network, "pass", NULL, NULL, "the host itself is the gateway %s, and the source becomes its address outside", gateway);
    if (json_is_object(w->to))
        drops_dhcp(w, network);
}

bool explain_is_metadata(const Way *w)
{
    return w->target.version == 4 && w->target.n == METADATA;
}

/* On each host the network's own server has the address; DHCP gives the way to it, by the server's address in the subnet. */
static void route_to_metadata(Way *w, const json_t *subnet)
{
    const char *network = json_get_str(explain_port_of(w->from), "network_id"), *by = NULL;
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(explain_port_of(explain_has_role(w->to, "dhcp") ? w->to : NULL), "addresses"), i, one) {
        Cidr c;
        Ip ip;
        if (cidr_parse(json_get_str(subnet, "cidr"), false, &c) && ip_parse(json_string_value(one), &ip) && cidr_contains(c, ip))
            by = json_string_value(one);
    }
    if (by)
        explain_hop(w, "route", network, "pass", NULL, NULL, "it stays on the network: DHCP gives guests the way to it, by %s", by);
    else
        explain_hop(w, "route", network, "drop", NULL, "Enable DHCP in the subnet, or give servers a config drive.",
                    "the network's own server, which has the metadata, is not in the subnet of %s: DHCP is off there", w->source_text);
}

void explain_route(Way *w)
{
    const json_t *subnet = subnet_with(w->from, w->source), *router = json_object_get(w->scene, "router");
    const char *network = json_get_str(explain_port_of(w->from), "network_id"), *gateway = json_get_str(subnet, "gateway");
    Cidr c;
    if (explain_is_metadata(w)) {
        route_to_metadata(w, subnet);
    } else if (subnet && cidr_parse(json_get_str(subnet, "cidr"), false, &c) && cidr_contains(c, w->target)) {
        explain_hop(w, "route", network, "pass", NULL, NULL, "the same subnet: the bridge carries it, nothing routes");
        w->network = network;
    } else if (!gateway)
        explain_hop(w, "route", network, "drop", NULL, "Give the subnet a gateway.", "the subnet of %s has no gateway", w->source_text);
    else if (explain_flag(w->from, "host_gateway"))
        route_by_host(w, network, gateway);
    else if (json_is_object(router))
        route_by_router(w, router);
    else if (explain_flag(w->scene, "foreign_router"))
        explain_hop(w, "route", NULL, "unknown", NULL, NULL, "a router of another project has the gateway's address %s", gateway);
    else
        explain_hop(w, "route", network, "drop", NULL, "Connect the subnet to a router.", "no router has the gateway's address %s", gateway);
}

/* A floating IP that has forwardings, of which none is for the packet: the router has the address itself. */
static void not_forwarded(Way *w, const char *router_id)
{
    g_autofree char *packet = explain_packet(w, w->port);
    g_autofree char *change = g_strdup_printf("Create a port forwarding of %s for the floating IP.", packet);
    bool forwardable = w->protocol == PROTO_TCP || w->protocol == PROTO_UDP;
    if (explain_is_ping(w))
        explain_hop(w, "NAT", router_id, "pass", NULL, NULL, "the floating IP %s forwards ports alone: the router itself answers pings",
                    w->target_text);
    else
        explain_hop(w, "NAT", router_id, "drop", NULL, forwardable ? change : "Only TCP and UDP are forwarded: use a floating IP of the port's own.",
                    "none of the forwardings of the floating IP %s is for %s", w->target_text, packet);
}

void explain_floating(Way *w)
{
    const json_t *floating = json_object_get(w->scene, "floating");
    const char *fixed = json_get_str(floating, "fixed"), *router_id = json_get_str(floating, "router_id");
    if (!json_is_object(floating))
        return;
    const json_t *router = json_object_get(floating, "router");
    if (json_is_object(router) && !explain_router_is_there(w, "NAT", router))
        return;
    if (!fixed && explain_flag(floating, "forwards")) {
        not_forwarded(w, router_id);
        return;
    }
    if (!fixed) {
        explain_hop(w, "NAT", w->target_text, "drop", NULL, "Associate the floating IP with a port, or create a port forwarding.",
                    "the floating IP %s leads to no port", w->target_text);
        return;
    }
    w->port = (int) json_get_int(floating, "port", w->port);
    if (explain_flag(floating, "forwards"))
        explain_hop(w, "NAT", router_id, "pass", NULL, NULL, "the floating IP %s forwards it to %s port %d", w->target_text, fixed, w->port);
    else
        explain_hop(w, "NAT", router_id, "pass", NULL, NULL, "the floating IP %s leads to %s", w->target_text, fixed);
    explain_set_ip(&w->target, w->target_text, fixed);
    w->network = NULL;
    drops_dhcp(w, router_id);
}
