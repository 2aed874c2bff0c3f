/* tests/unit/test_explain.c -- a packet's way explained: which of a router's ways it takes, and where that ends. */
#include "network/explain.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#define OPEN "\"pairs\": [], \"port_security\": false, \"up\": true"
#define VIA(to, via) "{\"destination\": \"" to "\", \"nexthop\": \"" via "\"}"
/* The gateway of the router: none, of IPv4, of both versions, of both without anybody to send IPv6 on to. */
#define LINK "\"port_id\": \"gp\", \"network_id\": \"out\", \"snat\": true, "
#define OUT_4 "{" LINK "\"subnets\": [\"192.0.2.0/24\", \"203.0.113.0/24\"], \"addresses\": [\"192.0.2.10/24\"], \"nexthops\": [\"192.0.2.1\"]}"
#define OUT_6 "{" LINK "\"subnets\": [], \"addresses\": [\"192.0.2.10/24\", \"2001:db8:f::10/64\"], \"nexthops\": [\"192.0.2.1\", \"2001:db8:f::1\"]}"
#define OUT_L "{" LINK "\"subnets\": [], \"addresses\": [\"192.0.2.10/24\", \"2001:db8:f::10/64\"], \"nexthops\": [\"192.0.2.1\"]}"

typedef struct Case {
    const char *gateway, *routes;
    const char *address, *network;       /* where it goes, and where the port is that has the address (NULL: there is none) */
    int protocol, port;
    const char *verdict, *hop, *why;     /* some hop of that name says so */
} Case;

static json_t *scene_of(const Case *c)
{
    g_autofree char *to = c->network ? g_strdup_printf("{\"port\": {\"id\": \"b\", \"network_id\": \"%s\", \"addresses\": [\"%s\"], " OPEN "}, \"host\": \"h\", "
        "\"groups\": [], \"subnets\": [], \"host_gateway\": false, \"disclosed\": true}", c->network, c->address) : g_strdup("null");
    g_autofree char *text = g_strdup_printf("{\"protocol\": %d, \"port\": %d, \"address\": \"%s\", \"floating\": null, \"members\": {}, \"to\": %s, "
        "\"from\": {\"port\": {\"id\": \"a\", \"network_id\": \"n1\", \"addresses\": [\"10.0.0.5\", \"2001:db8:1::5\"], " OPEN "}, \"host\": \"h\", \"groups\": [], "
        "\"subnets\": [{\"cidr\": \"10.0.0.0/24\", \"gateway\": \"10.0.0.1\"}, {\"cidr\": \"2001:db8:1::/64\", \"gateway\": \"2001:db8:1::1\"}], "
        "\"host_gateway\": false, \"disclosed\": true}, "
        "\"router\": {\"id\": \"r\", \"up\": true, \"floating\": [], \"forwardings\": [], \"gateway\": %s, \"routes\": [%s], \"interfaces\": ["
        "{\"port_id\": \"p1\", \"network_id\": \"n1\", \"addresses\": [\"10.0.0.1/24\", \"2001:db8:1::1/64\"]}, "
        "{\"port_id\": \"p2\", \"network_id\": \"n2\", \"subnets\": [\"10.1.0.0/24\"], \"addresses\": [\"10.1.0.1/24\"]}, "
        "{\"port_id\": \"p3\", \"network_id\": \"n3\", \"subnets\": [\"10.0.0.0/24\", \"10.4.0.0/24\"], \"addresses\": [\"10.4.0.1/24\"]}]}}",
        c->protocol, c->port, c->address, to, c->gateway ? c->gateway : "null", c->routes ? c->routes : "");
    return json_parse_trusted(text);
}

static bool says(const json_t *answer, const Case *c)
{
    size_t i;
    json_t *hop;
    json_array_foreach(json_object_get(answer, "hops"), i, hop)
        if (strcmp(json_get_str(hop, "hop"), c->hop) == 0 && strstr(json_get_str(hop, "why"), c->why))
            return strcmp(json_get_str(answer, "verdict"), c->verdict) == 0;
    return false;
}

static void check_all(const Case *cases, gsize n)
{
    for (gsize i = 0; i < n; i++) {
        g_autoptr(json_t) scene = scene_of(&cases[i]), answer = explain(scene);
        if (!says(answer, &cases[i])) {
            char *text = json_dumps(answer, JSON_INDENT(1));
            fail_msg("case %zu: %s at %s: %s wanted, not %s", i, cases[i].verdict, cases[i].hop, cases[i].why, text);
        }
    }
}

static void the_longest_prefix_is_taken(void **state)
{
    (void) state;
    static const Case cases[] = {
        { NULL, NULL, "10.1.0.6", "n2", 6, 80, "allowed", "route", "connected to the destination's subnet by port p2" },
        { NULL, VIA("10.0.0.0/8", "10.0.0.9"), "10.1.0.6", "n2", 6, 80, "allowed", "route", "connected to the destination's subnet by port p2" },
        { NULL, VIA("10.1.0.0/24", "10.0.0.9"), "10.1.0.6", "n2", 6, 80, "allowed", "route", "connected" },
        { NULL, VIA("10.1.0.6/32", "10.0.0.9"), "10.1.0.6", "n2", 6, 80, "unknown", "route", "leads to 10.0.0.9" },
        { NULL, VIA("10.0.0.0/8", "10.0.0.8") "," VIA("10.7.0.0/16", "10.1.0.9"), "10.7.0.6", NULL, 6, 80, "unknown", "route", "leads to 10.1.0.9" },
        { NULL, VIA("10.7.0.0/16", "10.1.0.9") "," VIA("10.0.0.0/8", "10.0.0.8"), "10.7.0.6", NULL, 6, 80, "unknown", "route", "leads to 10.1.0.9" },
        { OUT_4, VIA("0.0.0.0/0", "10.1.0.9"), "198.51.100.1", NULL, 6, 80, "unknown", "route", "leads to 10.1.0.9" },
        { OUT_4, VIA("::/0", "2001:db8:1::9"), "198.51.100.1", NULL, 6, 80, "unknown", "route", "by its gateway" },
        { OUT_4, VIA("198.0.0.0/8", "10.1.0.9"), "198.51.100.1", NULL, 6, 80, "unknown", "route", "leads to 10.1.0.9" },
        { OUT_4, VIA("198.0.0.0/8", "192.0.2.7"), "198.51.100.1", NULL, 6, 80, "unknown", "NAT", "the router's address 192.0.2.10" },
        { OUT_4, NULL, "10.1.0.1", NULL, 1, -1, "unknown", "route", "an address of the router itself" },
    };
    check_all(cases, G_N_ELEMENTS(cases));
}

/* Network n3 has the sender's addresses, too; the router's own are translated to. */
static void nobody_comes_as_one_of_the_network(void **state)
{
    (void) state;
    static const Case cases[] = {
        { NULL, NULL, "10.4.0.6", "n3", 6, 80, "denied", "route", "10.0.0.5 is an address of a subnet of the network" },
        { NULL, NULL, "10.1.0.6", "n2", 6, 80, "allowed", "route", "connected" },
        { "{" LINK "\"subnets\": [\"10.0.0.0/8\"], \"addresses\": [\"10.9.0.10/24\"], \"nexthops\": [\"10.9.0.1\"]}", NULL, "10.9.0.7", "out", 6, 80,
          "allowed", "NAT", "the router's address 10.9.0.10" },
    };
    check_all(cases, G_N_ELEMENTS(cases));
}

static void a_next_hop_has_to_be_connected(void **state)
{
    (void) state;
    static const Case cases[] = {
        { NULL, VIA("10.7.0.0/16", "10.3.0.9"), "10.7.0.6", "n7", 6, 80, "denied", "route", "the next hop 10.3.0.9 of the router's route to 10.7.0.0/16 is on no network" },
        { NULL, VIA("10.7.0.0/16", "10.3.0.9") "," VIA("10.0.0.0/8", "10.1.0.9"), "10.7.0.6", NULL, 6, 80, "unknown", "route", "leads to 10.1.0.9" },
        { OUT_4, VIA("10.7.0.0/16", "10.3.0.9"), "10.7.0.6", "n7", 6, 80, "denied", "route", "the next hop 10.3.0.9" },
        { OUT_4, VIA("10.7.0.0/16", "10.3.0.9"), "10.7.0.6", NULL, 6, 80, "unknown", "route", "the next hop 10.3.0.9" },
        { OUT_4, VIA("0.0.0.0/0", "10.3.0.9"), "198.51.100.1", NULL, 6, 80, "denied", "route", "the next hop 10.3.0.9" },
    };
    check_all(cases, G_N_ELEMENTS(cases));
}

static void who_carries_it_on_decides(void **state)
{
    (void) state;
    static const Case cases[] = {
        { NULL, VIA("10.7.0.0/16", "10.1.0.9"), "10.7.0.6", "n7", 6, 80, "unknown", "destination", "10.1.0.9 decides" },
        { OUT_4, NULL, "198.51.100.1", "n7", 6, 80, "unknown", "destination", "192.0.2.1 decides" },
        { OUT_4, NULL, "203.0.113.7", "out", 6, 80, "allowed", "route", "by its gateway" },
        { NULL, NULL, "10.1.0.6", "n7", 6, 80, "denied", "destination", "arrives on network n2" },
        { NULL, NULL, "10.0.0.6", "n7", 6, 80, "denied", "destination", "arrives on network n1" },
    };
    check_all(cases, G_N_ELEMENTS(cases));
}

static void the_gateway_speaks_the_version(void **state)
{
    (void) state;
    static const Case cases[] = {
        { OUT_6, NULL, "2001:db8:9::1", NULL, 6, 80, "unknown", "route", "by its gateway" },
        { OUT_4, NULL, "2001:db8:9::1", NULL, 6, 80, "denied", "route", "the router's gateway has no IPv6 address" },
        { OUT_L, NULL, "2001:db8:9::1", NULL, 6, 80, "denied", "route", "the external network's IPv6 subnet has no gateway" },
        { NULL, NULL, "2001:db8:9::1", NULL, 6, 80, "denied", "route", "no way to" },
        { OUT_4, NULL, "2001:db8:1::6", "n1", 6, 80, "allowed", "route", "the same subnet" },
    };
    check_all(cases, G_N_ELEMENTS(cases));
}

static void dhcp_is_not_routed(void **state)
{
    (void) state;
    static const Case cases[] = {
        { NULL, NULL, "10.1.0.6", "n2", 17, 67, "denied", "route", "DHCP" },
        { NULL, NULL, "10.1.0.6", "n2", 17, 547, "denied", "route", "DHCP" },
        { NULL, NULL, "10.1.0.6", "n2", 17, 68, "allowed", "route", "connected" },
        { NULL, NULL, "10.1.0.6", "n2", 6, 67, "allowed", "route", "connected" },
        { OUT_4, NULL, "198.51.100.1", NULL, 17, 67, "denied", "route", "DHCP" },
        { NULL, NULL, "10.0.0.6", "n1", 17, 67, "allowed", "route", "the same subnet" },
        { OUT_4, NULL, "169.254.7.7", NULL, 6, 80, "denied", "route", "no router passes on" },
        { OUT_4, NULL, "224.0.0.9", NULL, 17, 9, "denied", "route", "no router passes on" },
    };
    check_all(cases, G_N_ELEMENTS(cases));
}

/* By a forwarding it is the internal port that counts; the host is a router too. */
static void dhcp_by_other_ways(void **state)
{
    (void) state;
    static const struct { const char *floating; bool host_gateway; const char *network; int port; const char *verdict; } cases[] = {
        { "{\"fixed\": \"10.1.0.6\", \"port\": 67, \"router_id\": \"r\", \"forwards\": true}", false, "n2", 6767, "denied" },
        { "{\"fixed\": \"10.1.0.6\", \"port\": 6767, \"router_id\": \"r\", \"forwards\": true}", false, "n2", 67, "allowed" },
        { "{\"fixed\": \"10.1.0.6\", \"port\": 6767, \"router_id\": \"r2\", \"forwards\": true}", false, "n2", 67, "denied" },
        { "null", true, "n2", 67, "denied" },
        { "null", true, "n2", 68, "allowed" },
        { "null", true, NULL, 67, "unknown" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Case c = { .gateway = OUT_4, .address = "10.1.0.6", .network = cases[i].network, .protocol = 17, .port = cases[i].port };
        g_autoptr(json_t) scene = scene_of(&c);
        json_object_set_new(scene, "floating", json_loads(cases[i].floating, JSON_DECODE_ANY, NULL));
        json_object_set_new(json_object_get(scene, "from"), "host_gateway", json_boolean(cases[i].host_gateway));
        if (*cases[i].floating == '{')
            json_object_set_new(scene, "address", json_string("192.0.2.50"));
        g_autoptr(json_t) answer = explain(scene);
        if (strcmp(json_get_str(answer, "verdict"), cases[i].verdict) != 0)
            fail_msg("case %zu: %s", i, json_text(answer));
    }
}

/* Without memory of connections the sender's groups have to let in what comes back, from the address that it was sent to. */
static void answers_need_rules_too(void **state)
{
    (void) state;
    static const struct { const char *floating, *role, *cidr; int protocol, port; const char *verdict; } cases[] = {
        { "{\"fixed\": \"10.1.0.6\", \"router_id\": \"r\", \"forwards\": false}", "none", "192.0.2.50/32", 6, 80, "allowed" },
        { "{\"fixed\": \"10.1.0.6\", \"router_id\": \"r\", \"forwards\": false}", "none", "10.1.0.6/32", 6, 80, "denied" },
        { "{\"fixed\": null, \"router_id\": \"r\", \"forwards\": true}", "none", "192.0.2.50/32", 1, 8, "allowed" },
        { "{\"fixed\": null, \"router_id\": \"r\", \"forwards\": true}", "none", "10.1.0.6/32", 1, 8, "denied" },
        { "null", "router", "10.1.0.6/32", 1, 8, "allowed" },
        { "null", "router", "10.1.0.7/32", 1, 8, "denied" },
        { "null", "dhcp", "10.1.0.6/32", 17, 53, "allowed" },
        { "null", "dhcp", "10.1.0.7/32", 17, 53, "denied" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Case c = { .gateway = OUT_4, .address = "10.1.0.6", .network = "n2", .protocol = cases[i].protocol, .port = cases[i].port };
        g_autofree char *groups = g_strdup_printf("[{\"stateful\": false, \"rules\": [{\"id\": \"o\", \"direction\": \"egress\", \"ethertype\": 4}, "
            "{\"id\": \"i\", \"direction\": \"ingress\", \"ethertype\": 4, \"cidr\": \"%s\"}]}]", cases[i].cidr);
        g_autoptr(json_t) scene = scene_of(&c);
        json_t *from = json_object_get(scene, "from"), *to = json_object_get(scene, "to");
        json_object_set_new(from, "groups", json_parse_trusted(groups));
        json_object_set_new(json_object_get(from, "port"), "port_security", json_true());
        json_object_set_new(scene, "floating", json_loads(cases[i].floating, JSON_DECODE_ANY, NULL));
        json_object_set_new(to, "role", json_string(cases[i].role));
        json_object_set_new(to, "router", json_make("ssb", "id", "r", "host", "h", "up", 1));
        if (*cases[i].floating == '{')
            json_object_set_new(scene, "address", json_string("192.0.2.50"));
        g_autoptr(json_t) answer = explain(scene);
        if (strcmp(json_get_str(answer, "verdict"), cases[i].verdict) != 0)
            fail_msg("case %zu: %s", i, json_text(answer));
    }
}

/* A router has to be somewhere, and up: the sender's, and the one that has the floating IP. */
static void routers_have_to_be_there(void **state)
{
    (void) state;
    static const struct { const char *near, *far; bool up; const char *verdict; } cases[] = {
        { "h", "h", true, "allowed" }, { "", "h", true, "denied" }, { "h", "", true, "denied" }, { "h", "h", false, "denied" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Case c = { .gateway = OUT_4, .address = "10.1.0.6", .network = "n2", .protocol = 6, .port = 80 };
        g_autoptr(json_t) scene = scene_of(&c);
        json_t *far = json_make("ssb", "id", "r2", "host", cases[i].far, "up", (int) cases[i].up);
        json_object_set_new(json_object_get(scene, "router"), "host", json_string(cases[i].near));
        json_object_set_new(scene, "floating", json_make("ssbo", "fixed", "10.1.0.6", "router_id", "r2", "forwards", 0, "router", far));
        json_object_set_new(scene, "address", json_string("192.0.2.50"));
        g_autoptr(json_t) answer = explain(scene);
        if (strcmp(json_get_str(answer, "verdict"), cases[i].verdict) != 0)
            fail_msg("case %zu: %s", i, json_text(answer));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_prefix_is_taken), cmocka_unit_test(nobody_comes_as_one_of_the_network), cmocka_unit_test(a_next_hop_has_to_be_connected), cmocka_unit_test(who_carries_it_on_decides),
        cmocka_unit_test(the_gateway_speaks_the_version), cmocka_unit_test(dhcp_is_not_routed),
        cmocka_unit_test(dhcp_by_other_ways), cmocka_unit_test(answers_need_rules_too), cmocka_unit_test(routers_have_to_be_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
