/* network/explain.c -- a packet's way as the rows want it: anti-spoofing, egress rule, route, translation, ingress rule, listener.  Pure. */
#include "network/explain_way.h"
#include <string.h>

void explain_hop(Way *w, const char *name, const char *at, const char *verdict, const char *rule, const char *change, const char *why, ...)
{
    va_list ap;
    va_start(ap, why);
    g_autofree char *text = g_strdup_vprintf(why, ap);
    va_end(ap);
    json_array_append_new(w->hops, json_make("ssssss", "hop", name, "at", at, "verdict", verdict, "why", text, "change", change, "rule", rule));
    w->denied |= strcmp(verdict, "drop") == 0;
    w->unknown |= strcmp(verdict, "unknown") == 0;
}

const json_t *explain_port_of(const json_t *end)
{
    return json_object_get(end, "port");
}

const char *explain_id(const json_t *end)
{
    return json_get_str(explain_port_of(end), "id");
}

bool explain_flag(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

char *explain_packet(const Way *w, int port)
{
    static const struct { int number; const char *name; } names[] = {
        { PROTO_TCP, "tcp" }, { PROTO_UDP, "udp" }, { PROTO_ICMP, "icmp" }, { PROTO_ICMPV6, "ipv6-icmp" },
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

bool explain_is_ping(const Way *w)
{
    return (w->protocol == PROTO_ICMP && w->port == 8) || (w->protocol == PROTO_ICMPV6 && w->port == 128);
}

bool explain_has_role(const json_t *end, const char *role)
{
    return g_strcmp0(json_get_str(end, "role"), role) == 0;
}

/* --- addresses --- */

void explain_set_ip(Ip *ip, char text[46], const char *from)
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
    json_array_foreach(json_object_get(explain_port_of(end), "addresses"), i, one) {
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
    if (!explain_flag(explain_port_of(end), "port_security"))
        return true;
    json_array_foreach(json_object_get(explain_port_of(end), "addresses"), i, one)
        if (ip_parse(json_string_value(one), &own) && own.version == ip.version && own.n == ip.n)
            return true;
    json_array_foreach(json_object_get(explain_port_of(end), "pairs"), i, one)
        if (cidr_parse_any(json_get_str(one, "ip"), false, &c) && cidr_contains(c, ip))
            return true;
    return false;
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

static void check_rule(Way *w, const char *name, const json_t *end, const char *direction, Ip remote, const char *remote_text, int port)
{
    if (!explain_flag(explain_port_of(end), "port_security")) {
        explain_hop(w, name, explain_id(end), "pass", NULL, NULL, "port security is off: the port has no rules");
        return;
    }
    const char *rule = rule_for(w, end, direction, remote, port);
    g_autofree char *packet = explain_packet(w, port);
    g_autofree char *what = g_strdup_printf("%s %s %s", packet, strcmp(direction, "egress") == 0 ? "to" : "from", remote_text);
    g_autofree char *change = g_strdup_printf("Add an %s rule for %s to one of the port's security groups%s.", direction, what,
                                              port == REPLY_PORT ? " (they are stateless: replies need rules of their own)" : "");
    if (rule)
        explain_hop(w, name, explain_id(end), "pass", rule, NULL, "a rule allows %s", what);
    else
        explain_hop(w, name, explain_id(end), "drop", NULL, change, "none of the rules of the port's %zu security groups allows %s",
                    json_array_size(json_object_get(end, "groups")), what);
}

/* DHCP is the sender's own network's: routers pass none on. */
static bool asks_dhcp(const Way *w)
{
    const char *from = json_get_str(explain_port_of(w->from), "network_id"), *to = json_get_str(explain_port_of(w->to), "network_id");
    return explain_has_role(w->to, "dhcp") && g_strcmp0(from, to) == 0 && w->protocol == PROTO_UDP && w->port == (w->target.version == 4 ? 67 : 547);
}

static bool asks_metadata(const Way *w)
{
    return explain_is_metadata(w) && w->protocol == PROTO_TCP && w->port == 80;
}

/* What every guest may ask for needs no rule. */
static void check_sent(Way *w)
{
    if (asks_dhcp(w) || asks_metadata(w))
        explain_hop(w, "egress rule", explain_id(w->from), "pass", NULL, NULL, "every port may ask for %s", asks_dhcp(w) ? "DHCP" : "metadata");
    else
        check_rule(w, "egress rule", w->from, "egress", w->target, w->target_text, w->port);
}

/* --- the way --- */

static void check_sender(Way *w)
{
    const char *host = json_get_str(w->from, "host");
    if (!host)
        explain_hop(w, "sender", explain_id(w->from), "drop", NULL, "Start the server that the port belongs to.", "the port is on no host");
    else if (!explain_flag(explain_port_of(w->from), "up"))
        explain_hop(w, "sender", explain_id(w->from), "drop", NULL, "Set admin_state_up of the port to true.", "the port is administratively down");
    else
        explain_hop(w, "sender", explain_id(w->from), "pass", NULL, NULL, "the port is on a host and up");
    if (!w->source.version)
        explain_hop(w, "anti-spoof", explain_id(w->from), "drop", NULL, "Add a fixed IP of that version to the port.",
                    "the port has no IPv%d address to send from", w->target.version);
    else if (!explain_flag(explain_port_of(w->from), "port_security"))
        explain_hop(w, "anti-spoof", explain_id(w->from), "pass", NULL, NULL, "port security is off: the port may send from any address");
    else
        explain_hop(w, "anti-spoof", explain_id(w->from), "pass", NULL, NULL, "%s with %s is the port's own", w->source_text,
                    json_get_str(explain_port_of(w->from), "mac"));
}

/* What every host answers for the network. */
static void check_service(Way *w)
{
    const char *id = explain_flag(w->to, "disclosed") ? explain_id(w->to) : NULL;
    bool dns = (w->protocol == PROTO_TCP || w->protocol == PROTO_UDP) && w->port == 53, metadata = explain_is_metadata(w);
    g_autofree char *packet = explain_packet(w, w->port);
    if (explain_is_ping(w) || dns || asks_dhcp(w) || asks_metadata(w))
        explain_hop(w, "listener", id, "pass", NULL, NULL, "the network's own server, on each host, answers %s", packet);
    else
        explain_hop(w, "listener", id, "drop", NULL, metadata ? "Ask it for metadata: tcp port 80." : "Ask it for DHCP or DNS, or ping it.",
                    "the network's own server answers %s, DNS and pings there, not %s", metadata ? "metadata" : "DHCP", packet);
}

/* A router's own address: see the chain input in agent/nft_router.c. */
static void check_router(Way *w)
{
    const json_t *router = json_object_get(w->to, "router");
    const char *id = json_get_str(router, "id");
    if (!explain_router_is_there(w, "listener", router))
        return;
    if (!explain_flag(explain_port_of(w->to), "up"))
        explain_hop(w, "listener", id, "drop", NULL, "Set admin_state_up of the router's port to true.",
                    "the router's port is administratively down");
    else if (explain_is_ping(w))
        explain_hop(w, "listener", id, "pass", NULL, NULL, "the router answers pings of its own addresses");
    else
        explain_hop(w, "listener", id, "drop", NULL, "Send to an address behind the router, or ping it.",
                    "it is an address of the router itself, which answers pings and drops everything else");
}

static void check_listener(Way *w)
{
    const char *id = explain_id(w->to);
    if (!json_get_str(w->to, "host"))
        explain_hop(w, "listener", id, "drop", NULL, "Start the server that the port belongs to.",
                    "the destination port is on no host: nobody answers");
    else if (!explain_flag(explain_port_of(w->to), "up"))
        explain_hop(w, "listener", id, "drop", NULL, "Set admin_state_up of the port to true.", "the destination port is administratively down");
    else if (!may_use(w->to, w->target))
        explain_hop(w, "listener", id, "drop", NULL, "Send to one of the port's addresses, or allow the address by an address pair.",
                    "the destination port may not answer for %s", w->target_text);
    else
        explain_hop(w, "listener", id, "pass", NULL, NULL, "%s answers for %s; whether the guest listens, only it can tell",
                    json_get_str(explain_port_of(w->to), "mac"), w->target_text);
}

/* Whether it comes to the destination's network; false: it does not. */
static bool check_arrival(Way *w)
{
    const char *network = json_get_str(explain_port_of(w->to), "network_id");
    if (w->beyond) {
        explain_hop(w, "destination", w->target_text, "unknown", NULL, NULL, "%s decides what becomes of it", w->beyond);
        return true;
    }
    if (!w->network || g_strcmp0(w->network, network) == 0)
        return true;
    explain_hop(w, "destination", w->target_text, "drop", NULL, "Join both networks by a router, or give one of them other addresses.",
                "the packet arrives on network %s, where the port is not", w->network);
    return false;
}

/* What comes back to the sender, from the address that he sent to. */
static void check_reply(Way *w, int port)
{
    if (!is_stateful(w->from) && !asks_dhcp(w))
        check_rule(w, "reply's ingress rule", w->from, "ingress", w->asked, w->asked_text, port);
}

static void check_server(Way *w, int reply)
{
    check_rule(w, "ingress rule", w->to, "ingress", w->source, w->source_text, w->port);
    check_listener(w);
    if (!is_stateful(w->to))
        check_rule(w, "reply's egress rule", w->to, "egress", w->source, w->source_text, reply);
}

/* It is for no port. */
static void check_stranger(Way *w)
{
    const json_t *meant = json_object_get(w->scene, "elsewhere");
    if (json_is_object(meant))
        explain_hop(w, "destination", w->target_text, "unknown", NULL, "Join both networks by a router, or send to a floating IP of that port.",
                    "it is the address of port %s on network %s, which no router joins to this one", json_get_str(meant, "id"),
                    json_get_str(meant, "network_id"));
    else
        explain_hop(w, "destination", w->target_text, "unknown", NULL, NULL, "no port of this cloud that you may see has the address");
}

static void check_destination(Way *w)
{
    const json_t *floating = json_object_get(w->scene, "floating");
    int reply = w->protocol == PROTO_ICMP ? 0 : w->protocol == PROTO_ICMPV6 ? 129 : REPLY_PORT;
    if (json_is_object(floating) && !json_get_str(floating, "fixed")) {
        if (!w->denied)                  /* the router has answered */
            check_reply(w, reply);
        return;
    }
    if (!json_is_object(w->to)) {
        check_stranger(w);
        return;
    }
    if (!explain_flag(w->to, "disclosed") && !explain_has_role(w->to, "dhcp")) {
        explain_hop(w, "ingress rule", NULL, "unknown", NULL, NULL, "the destination belongs to another project, which decides");
        return;
    }
    if (!check_arrival(w))
        return;
    if (explain_has_role(w->to, "dhcp"))
        check_service(w);
    else if (explain_has_role(w->to, "router"))
        check_router(w);
    else
        check_server(w, reply);
    check_reply(w, reply);
}

json_t *explain(const json_t *scene)
{
    Way w = { .scene = scene, .from = json_object_get(scene, "from"), .to = json_object_get(scene, "to"), .hops = json_array() };
    w.protocol = (int) json_get_int(scene, "protocol", 6);
    w.port = (int) json_get_int(scene, "port", ANY_PORT);
    explain_set_ip(&w.target, w.target_text, json_get_str(scene, "address"));
    w.asked = w.target;
    g_strlcpy(w.asked_text, w.target_text, sizeof w.asked_text);
    const char *source = address_of(w.from, w.target.version, &w.target);
    if (source)
        explain_set_ip(&w.source, w.source_text, source);
    if (w.target.version == 6 && w.protocol == PROTO_ICMP)
        w.protocol = PROTO_ICMPV6;
    if (w.port < 0 && (w.protocol == PROTO_ICMP || w.protocol == PROTO_ICMPV6))
        w.port = w.protocol == PROTO_ICMP ? 8 : 128;                                     /* a ping */
    json_t *answer = json_make("ss", "source", source, "destination", w.target_text);
    check_sender(&w);
    if (source) {
        check_sent(&w);
        explain_route(&w);
        explain_floating(&w);
        check_destination(&w);
    }
    json_object_set_new(answer, "verdict", json_string(w.denied ? "denied" : w.unknown ? "unknown" : "allowed"));
    json_object_set_new(answer, "hops", w.hops);
    return answer;
}
