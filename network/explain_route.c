/* network/explain_route.c -- a packet's way explained: who routes it where, and what becomes of its addresses.  Pure. */
#include "network/explain_way.h"
#include <string.h>

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

static bool router_reaches(const json_t *router, Ip ip, const char **ret_port)
{
    size_t i, k;
    json_t *interface, *address;
    json_array_foreach(json_object_get(router, "interfaces"), i, interface)
        json_array_foreach(json_object_get(interface, "addresses"), k, address) {
            Cidr c;
            if (cidr_parse(json_string_value(address), false, &c) && c.base.version == ip.version) {
                c.base = cidr_first(c);
                if (cidr_contains(c, ip)) {
                    *ret_port = json_get_str(interface, "port_id");
                    return true;
                }
            }
        }
    return false;
}

static const char *extra_route(const json_t *router, Ip ip)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(router, "routes"), i, one) {
        Cidr c;
        if (cidr_parse(json_get_str(one, "destination"), false, &c) && c.base.version == ip.version && cidr_contains(c, ip))
            return json_get_str(one, "nexthop");
    }
    return NULL;
}

/* What the world sees as the sender: its floating IP, or the router's own address. */
static void translate_source(Way *w, const json_t *router)
{
    const json_t *gateway = json_object_get(router, "gateway");
    const char *id = json_get_str(router, "id");
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
        if (!explain_flag(gateway, "snat") || w->source.version != 4 || !cidr_parse(json_string_value(one), false, &c) || c.base.version != 4)
            continue;
        w->source = c.base;
        ip_format(w->source, w->source_text);
        explain_hop(w, "NAT", id, "pass", NULL, NULL, "the source becomes the router's address %s", w->source_text);
        return;
    }
    explain_hop(w, "NAT", id, "pass", NULL, NULL, "the source stays %s", w->source_text);
}

static void route_by_router(Way *w, const json_t *router)
{
    const char *id = json_get_str(router, "id"), *port = NULL, *next = extra_route(router, w->target);
    if (!explain_flag(router, "up")) {
        explain_hop(w, "route", id, "drop", NULL, "Set admin_state_up of the router to true.", "the router is administratively down");
    } else if (next) {
        explain_hop(w, "route", id, "pass", NULL, NULL, "a route of the router leads to %s", next);
    } else if (router_reaches(router, w->target, &port)) {
        explain_hop(w, "route", id, "pass", NULL, NULL, "the router is connected to the destination's subnet by port %s", port);
    } else if (json_object_get(router, "gateway") && !json_is_null(json_object_get(router, "gateway"))) {
        explain_hop(w, "route", id, "pass", NULL, NULL, "the router sends it out by its gateway");
        translate_source(w, router);
    } else {
        explain_hop(w, "route", id, "drop", NULL, "Set the router's external gateway, connect it to the destination's subnet, or add a route.",
            "the router has no way to %s", w->target_text);
    }
}

void explain_route(Way *w)
{
    const json_t *subnet = subnet_with(w->from, w->source), *router = json_object_get(w->scene, "router");
    const char *network = json_get_str(explain_port_of(w->from), "network_id"), *gateway = json_get_str(subnet, "gateway");
    Cidr c;
    if (subnet && cidr_parse(json_get_str(subnet, "cidr"), false, &c) && cidr_contains(c, w->target))
        explain_hop(w, "route", network, "pass", NULL, NULL, "the same subnet: the bridge carries it, nothing routes");
    else if (!gateway)
        explain_hop(w, "route", network, "drop", NULL, "Give the subnet a gateway.", "the subnet of %s has no gateway", w->source_text);
    else if (explain_flag(w->from, "host_gateway"))
        explain_hop(w, "route", network, "pass", NULL, NULL, "the host itself is the gateway %s, and the source becomes its address outside",
                    gateway);
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
}
