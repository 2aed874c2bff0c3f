/* network/explain.c -- a packet's way as the rows want it: anti-spoofing, egress rule, route, translation, ingress rule, listener.  Pure. */
#include "network/explain.h"
#include <string.h>

enum { ANY_PORT = -1, REPLY_PORT = -2, PROTO_ICMP = 1, PROTO_ICMPV6 = 58 };

typedef struct Way {
    const json_t *scene, *from, *to;
    int protocol, port;
    Ip source, target;                   /* as they are at this point of the way */
    char source_text[46], target_text[46];
    json_t *hops;
    bool denied, unknown;
} Way;

/* change NULL: nothing to do. */
static void hop(Way *w, const char *name, const char *at, const char *verdict, const char *rule, const char *change, const char *why, ...)
    G_GNUC_PRINTF(7, 8);

static void hop(Way *w, const char *name, const char *at, const char *verdict, const char *rule, const char *change, const char *why, ...)
{
    va_list ap;
    va_start(ap, why);
    g_autofree char *text = g_strdup_vprintf(why, ap);
    va_end(ap);
    json_array_append_new(w->hops, json_make("ssssss", "hop", name, "at", at, "verdict", verdict, "why", text, "change", change, "rule", rule));
    w->denied |= strcmp(verdict, "drop") == 0;
    w->unknown |= strcmp(verdict, "unknown") == 0;
}

static const json_t *port_of(const json_t *end)
{
    return json_object_get(end, "port");
}

static const char *id_of(const json_t *end)
{
    return json_get_str(port_of(end), "id");
}

static bool flag(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

/* --- addresses --- */

static void set_ip(Ip *ip, char text[46], const char *from)
{
    if (ip_parse(from, ip))
        ip_format(*ip, text);
}

/* The address of that version that is in the same subnet as near, or the first. */
static const char *address_of(const json_t *end, int version, const Ip *near)
{
    const char *first = NULL;
    size_t i, k;
    json_t *one, *subnet;
    json_array_foreach(json_object_get(port_of(end), "addresses"), i, one) {
        Ip ip;
        if (!ip_parse(json_string_value(one), &ip) || ip.version != version)
            continue;
        first = first ? first : json_string_value(one);
        json_array_foreach(json_object_get(end, "subnets"), k, subnet) {
            Cidr c;
            if (near && cidr_parse(json_get_str(subnet, "cidr"), false, &c) && c.base.version == version && cidr_contains(c, ip)
                && cidr_contains(c, *near))
                return json_string_value(one);
        }
    }
    return first;
}

static bool may_use(const json_t *end, Ip ip)
{
    size_t i;
    json_t *one;
    Ip own;
    Cidr c;
    if (!flag(port_of(end), "port_security"))
        return true;
    json_array_foreach(json_object_get(port_of(end), "addresses"), i, one)
        if (ip_parse(json_string_value(one), &own) && own.version == ip.version && own.n == ip.n)
            return true;
    json_array_foreach(json_object_get(port_of(end), "pairs"), i, one)
        if (cidr_parse_any(json_get_str(one, "ip"), false, &c) && cidr_contains(c, ip))
            return true;
    return false;
}

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

/* --- rules of security groups --- */

static bool number_matches(const json_t *rule, const Way *w, int port)
{
    const json_t *protocol = json_object_get(rule, "protocol"), *low = json_object_get(rule, "port_min"), *high = json_object_get(rule, "port_max");
    bool icmp = w->protocol == PROTO_ICMP || w->protocol == PROTO_ICMPV6;
    if (!json_is_integer(protocol))
        return true;
    if (json_integer_value(protocol) != w->protocol)
        return false;
    if (icmp)
        return !json_is_integer(low) || (json_integer_value(low) == port && (!json_is_integer(high) || json_integer_value(high) == 0));
    if (!json_is_integer(low) && !json_is_integer(high))
        return true;
    gint64 from = json_is_integer(low) ? json_integer_value(low) : 0, to = json_is_integer(high) ? json_integer_value(high) : 65535;
    /* A reply goes to whatever port its asker chose. */
    return port == REPLY_PORT ? from <= 32768 && to >= 60999 : port >= from && port <= to;
}

static bool remote_matches(const json_t *rule, const Way *w, Ip remote)
{
    const char *cidr = json_get_str(rule, "cidr"), *group = json_get_str(rule, "remote_group");
    const json_t *members = group ? json_object_get(json_object_get(w->scene, "members"), group) : NULL;
    size_t i;
    json_t *one;
    Cidr c;
    if (cidr)
        return cidr_parse(cidr, false, &c) && c.base.version == remote.version && cidr_contains(c, remote);
    if (!group)
        return true;
    json_array_foreach((json_t *) members, i, one)
        if (cidr_parse_any(json_string_value(one), false, &c) && cidr_contains(c, remote))
            return true;
    return false;
}

/* Id of the first rule of the end's groups that lets the packet pass, or NULL. */
static const char *rule_for(const Way *w, const json_t *end, const char *direction, Ip remote, int port)
{
    size_t i, k;
    json_t *group, *rule;
    json_array_foreach(json_object_get(end, "groups"), i, group)
        json_array_foreach(json_object_get(group, "rules"), k, rule)
            if (strcmp(json_get_str(rule, "direction"), direction) == 0 && json_get_int(rule, "ethertype", 0) == remote.version
                && number_matches(rule, w, port) && remote_matches(rule, w, remote))
                return json_get_str(rule, "id");
    return NULL;
}

static bool is_stateful(const json_t *end)
{
    size_t i;
    json_t *group;
    json_array_foreach(json_object_get(end, "groups"), i, group)
        if (json_get_bool(group, "stateful", true))
            return true;
    return json_array_size(json_object_get(end, "groups")) == 0;
}

static char *packet_text(const Way *w, int port)
{
    static const struct { int number; const char *name; } names[] = {
        { 6, "tcp" }, { 17, "udp" }, { PROTO_ICMP, "icmp" }, { PROTO_ICMPV6, "ipv6-icmp" },
    };
    g_autofree char *name = g_strdup_printf("protocol %d", w->protocol);
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        if (names[i].number == w->protocol) {
            g_free(name);
            name = g_strdup(names[i].name);
        }
    return port >= 0 ? g_strdup_printf(w->protocol == PROTO_ICMP || w->protocol == PROTO_ICMPV6 ? "%s type %d" : "%s port %d", name, port)
                     : g_steal_pointer(&name);
}

static void check_rule(Way *w, const char *name, const json_t *end, const char *direction, Ip remote, const char *remote_text, int port)
{
    if (!flag(port_of(end), "port_security")) {
        hop(w, name, id_of(end), "pass", NULL, NULL, "port security is off: the port has no rules");
        return;
    }
    const char *rule = rule_for(w, end, direction, remote, port);
    g_autofree char *packet = packet_text(w, port);
    g_autofree char *what = g_strdup_printf("%s %s %s", packet, strcmp(direction, "egress") == 0 ? "to" : "from", remote_text);
    g_autofree char *change = g_strdup_printf("Add an %s rule for %s to one of the port's security groups%s.", direction, what,
                                              port == REPLY_PORT ? " (they are stateless: replies need rules of their own)" : "");
    if (rule)
        hop(w, name, id_of(end), "pass", rule, NULL, "a rule allows %s", what);
    else
        hop(w, name, id_of(end), "drop", NULL, change, "none of the rules of the port's %zu security groups allows %s",
            json_array_size(json_object_get(end, "groups")), what);
}

/* --- the way --- */

static void check_sender(Way *w)
{
    const char *host = json_get_str(w->from, "host");
    if (!host)
        hop(w, "sender", id_of(w->from), "drop", NULL, "Start the server that the port belongs to.", "the port is on no host");
    else if (!flag(port_of(w->from), "up"))
        hop(w, "sender", id_of(w->from), "drop", NULL, "Set admin_state_up of the port to true.", "the port is administratively down");
    else
        hop(w, "sender", id_of(w->from), "pass", NULL, NULL, "the port is on a host and up");
    if (!w->source.version)
        hop(w, "anti-spoof", id_of(w->from), "drop", NULL, "Add a fixed IP of that version to the port.",
            "the port has no IPv%d address to send from", w->target.version);
    else if (!flag(port_of(w->from), "port_security"))
        hop(w, "anti-spoof", id_of(w->from), "pass", NULL, NULL, "port security is off: the port may send from any address");
    else
        hop(w, "anti-spoof", id_of(w->from), "pass", NULL, NULL, "%s with %s is the port's own", w->source_text,
            json_get_str(port_of(w->from), "mac"));
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
            set_ip(&w->source, w->source_text, json_get_str(one, "external"));
            hop(w, "NAT", id, "pass", NULL, NULL, "the source becomes the floating IP %s", w->source_text);
            return;
        }
    json_array_foreach(json_object_get(gateway, "addresses"), i, one) {
        Cidr c;
        if (!flag(gateway, "snat") || w->source.version != 4 || !cidr_parse(json_string_value(one), false, &c) || c.base.version != 4)
            continue;
        w->source = c.base;
        ip_format(w->source, w->source_text);
        hop(w, "NAT", id, "pass", NULL, NULL, "the source becomes the router's address %s", w->source_text);
        return;
    }
    hop(w, "NAT", id, "pass", NULL, NULL, "the source stays %s", w->source_text);
}

static void route_by_router(Way *w, const json_t *router)
{
    const char *id = json_get_str(router, "id"), *port = NULL, *next = extra_route(router, w->target);
    if (!flag(router, "up")) {
        hop(w, "route", id, "drop", NULL, "Set admin_state_up of the router to true.", "the router is administratively down");
    } else if (next) {
        hop(w, "route", id, "pass", NULL, NULL, "a route of the router leads to %s", next);
    } else if (router_reaches(router, w->target, &port)) {
        hop(w, "route", id, "pass", NULL, NULL, "the router is connected to the destination's subnet by port %s", port);
    } else if (json_object_get(router, "gateway") && !json_is_null(json_object_get(router, "gateway"))) {
        hop(w, "route", id, "pass", NULL, NULL, "the router sends it out by its gateway");
        translate_source(w, router);
    } else {
        hop(w, "route", id, "drop", NULL, "Set the router's external gateway, connect it to the destination's subnet, or add a route.",
            "the router has no way to %s", w->target_text);
    }
}

static void check_route(Way *w)
{
    const json_t *subnet = subnet_with(w->from, w->source), *router = json_object_get(w->scene, "router");
    const char *network = json_get_str(port_of(w->from), "network_id"), *gateway = json_get_str(subnet, "gateway");
    Cidr c;
    if (subnet && cidr_parse(json_get_str(subnet, "cidr"), false, &c) && cidr_contains(c, w->target))
        hop(w, "route", network, "pass", NULL, NULL, "the same subnet: the bridge carries it, nothing routes");
    else if (!gateway)
        hop(w, "route", network, "drop", NULL, "Give the subnet a gateway.", "the subnet of %s has no gateway", w->source_text);
    else if (flag(w->from, "host_gateway"))
        hop(w, "route", network, "pass", NULL, NULL, "the host itself is the gateway %s, and the source becomes its address outside", gateway);
    else if (json_is_object(router))
        route_by_router(w, router);
    else if (flag(w->scene, "foreign_router"))
        hop(w, "route", NULL, "unknown", NULL, NULL, "a router of another project has the gateway's address %s", gateway);
    else
        hop(w, "route", network, "drop", NULL, "Connect the subnet to a router.", "no router has the gateway's address %s", gateway);
}

static void check_floating(Way *w)
{
    const json_t *floating = json_object_get(w->scene, "floating");
    const char *fixed = json_get_str(floating, "fixed");
    if (!json_is_object(floating))
        return;
    if (!fixed) {
        hop(w, "NAT", w->target_text, "drop", NULL, "Associate the floating IP with a port.", "the floating IP %s leads to no port", w->target_text);
        return;
    }
    hop(w, "NAT", json_get_str(floating, "router_id"), "pass", NULL, NULL, "the floating IP %s leads to %s", w->target_text, fixed);
    set_ip(&w->target, w->target_text, fixed);
}

static void check_listener(Way *w)
{
    const char *id = id_of(w->to);
    if (!json_get_str(w->to, "host"))
        hop(w, "listener", id, "drop", NULL, "Start the server that the port belongs to.", "the destination port is on no host: nobody answers");
    else if (!flag(port_of(w->to), "up"))
        hop(w, "listener", id, "drop", NULL, "Set admin_state_up of the port to true.", "the destination port is administratively down");
    else if (!may_use(w->to, w->target))
        hop(w, "listener", id, "drop", NULL, "Send to one of the port's addresses, or allow the address by an address pair.",
            "the destination port may not answer for %s", w->target_text);
    else
        hop(w, "listener", id, "pass", NULL, NULL, "%s answers for %s; whether the guest listens, only it can tell",
            json_get_str(port_of(w->to), "mac"),
            w->target_text);
}

static void check_destination(Way *w)
{
    int port = w->port;
    const json_t *floating = json_object_get(w->scene, "floating");
    if (json_is_object(floating) && !json_get_str(floating, "fixed"))
        return;
    if (!json_is_object(w->to)) {
        const json_t *meant = json_object_get(w->scene, "elsewhere");
        if (json_is_object(meant))
            hop(w, "destination", w->target_text, "unknown", NULL, "Join both networks by a router, or send to a floating IP of that port.",
                "it is the address of port %s on network %s, which no router joins to this one", json_get_str(meant, "id"),
                json_get_str(meant, "network_id"));
        else
            hop(w, "destination", w->target_text, "unknown", NULL, NULL, "no port of this cloud that you may see has the address");
        return;
    }
    if (!flag(w->to, "disclosed")) {
        hop(w, "ingress rule", NULL, "unknown", NULL, NULL, "the destination belongs to another project, which decides");
        return;
    }
    check_rule(w, "ingress rule", w->to, "ingress", w->source, w->source_text, port);
    check_listener(w);
    bool icmp = w->protocol == PROTO_ICMP || w->protocol == PROTO_ICMPV6;
    int reply = icmp ? (w->protocol == PROTO_ICMP ? 0 : 129) : REPLY_PORT;
    if (!is_stateful(w->to))
        check_rule(w, "reply's egress rule", w->to, "egress", w->source, w->source_text, reply);
    if (!is_stateful(w->from))
        check_rule(w, "reply's ingress rule", w->from, "ingress", w->target, w->target_text, reply);
}

json_t *explain(const json_t *scene)
{
    Way w = { .scene = scene, .from = json_object_get(scene, "from"), .to = json_object_get(scene, "to"), .hops = json_array() };
    w.protocol = (int) json_get_int(scene, "protocol", 6);
    w.port = (int) json_get_int(scene, "port", ANY_PORT);
    set_ip(&w.target, w.target_text, json_get_str(scene, "address"));
    const char *source = address_of(w.from, w.target.version, &w.target);
    if (source)
        set_ip(&w.source, w.source_text, source);
    if (w.target.version == 6 && w.protocol == PROTO_ICMP)
        w.protocol = PROTO_ICMPV6;
    if (w.port < 0 && (w.protocol == PROTO_ICMP || w.protocol == PROTO_ICMPV6))
        w.port = w.protocol == PROTO_ICMP ? 8 : 128;                                     /* a ping */
    json_t *answer = json_make("ss", "source", source, "destination", w.target_text);
    check_sender(&w);
    if (source) {
        check_rule(&w, "egress rule", w.from, "egress", w.target, w.target_text, w.port);
        check_route(&w);
        check_floating(&w);
        check_destination(&w);
    }
    json_object_set_new(answer, "verdict", json_string(w.denied ? "denied" : w.unknown ? "unknown" : "allowed"));
    json_object_set_new(answer, "hops", w.hops);
    return answer;
}
