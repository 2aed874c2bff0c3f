/* tests/unit/test_desired.c -- rows to what agents are asked for: golden files.  Protocols, default pools.
 * NUVOLET_GOLDEN=write rewrites tests/golden/desired/NAME.json; a person reviews the difference. */
#include "core/conf.h"
#include "network/explain.h"
#include "network/qos.h"
#include "network/router.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "tests/lib/golden.h"

#define NET "11111111-1111-4111-8111-111111111111"

static void golden(const char *name, json_t *made)
{
    g_autofree char *path = g_strdup_printf("tests/golden/desired/%s.json", name);
    char *text = json_dumps(made, JSON_INDENT(2) | JSON_SORT_KEYS);
    g_autofree char *got = g_strconcat(text, "\n", NULL);
    free(text);
    json_decref(made);
    golden_check(path, got);
}

static void *row_of(const Resource *res, const char *id, const char *body)
{
    g_autoptr(GError) err = NULL;
    Row *row = row_new(res);
    if (!row_defaults(row, json_parse_trusted(body), &err))
        fail_msg("%s", err->message);
    row_set_str(row, FIELD_PTR(row, &res->fields[0], char *), id);
    return row;
}

static Subnet *subnet_of(const char *id, const char *body)
{
    return row_of(&subnet_resource, id, body);
}

static void networks(void **state)
{
    (void) state;
    g_autoptr(Network) n = row_of(&network_resource, NET, "{\"mtu\": 1450, \"provider:network_type\": \"vxlan\"}");
    n->vni = 7;
    g_autoptr(GPtrArray) subnets = g_ptr_array_new_with_free_func(row_unref);
    g_ptr_array_add(subnets, subnet_of("22222222-2222-4222-8222-222222222222", "{\"network_id\": \"" NET "\", \"ip_version\": 4, \"cidr\": \"10.0.0.0/24\", "
        "\"gateway_ip\": \"10.0.0.1\", \"dns_nameservers\": [\"9.9.9.9\"], \"host_routes\": [{\"destination\": \"10.9.0.0/16\", \"nexthop\": \"10.0.0.9\"}]}"));
    g_ptr_array_add(subnets, subnet_of("33333333-3333-4333-8333-333333333333", "{\"network_id\": \"" NET "\", \"ip_version\": 6, \"cidr\": \"2001:db8::/64\", "
        "\"gateway_ip\": null, \"ipv6_ra_mode\": \"slaac\", \"ipv6_address_mode\": \"slaac\"}"));
    g_ptr_array_add(subnets, subnet_of("44444444-4444-4444-8444-444444444444", "{\"network_id\": \"" NET "\", \"ip_version\": 4, \"cidr\": \"10.1.0.0/24\", "
        "\"gateway_ip\": \"10.1.0.1\", \"enable_dhcp\": false}"));
    g_autoptr(json_t) ports = json_parse_trusted("[{\"id\": \"55555555-5555-4555-8555-555555555555\", \"mac_address\": \"fa:16:3e:00:00:01\", \"dns_name\": \"\", "
        "\"device_owner\": \"network:dhcp\", \"extra_dhcp_opts\": \"[]\", \"addresses\": \"10.0.0.2,2001:db8::f816:3eff:fe00:1\"},"
        "{\"id\": \"66666666-6666-4666-8666-666666666666\", \"mac_address\": \"fa:16:3e:00:00:02\", \"dns_name\": \"web.nuvolet.internal.\", \"device_owner\": \"compute:nova\", "
        "\"extra_dhcp_opts\": \"[{\\\"opt_name\\\": \\\"bootfile-name\\\", \\\"opt_value\\\": \\\"x\\\", \\\"ip_version\\\": 4}]\", \"addresses\": \"10.0.0.3\"},"
        "{\"id\": \"77777777-7777-4777-8777-777777777777\", \"mac_address\": \"fa:16:3e:00:00:03\", \"dns_name\": \"\", \"device_owner\": \"\", "
        "\"extra_dhcp_opts\": \"[]\", \"addresses\": \"2001:db8::5\"},"
        "{\"id\": \"88888888-8888-4888-8888-888888888888\", \"mac_address\": \"fa:16:3e:00:00:04\", \"dns_name\": \"none\", \"device_owner\": \"\", "
        "\"extra_dhcp_opts\": \"[]\", \"addresses\": null}]");
    golden("network", desired_network(n, subnets, ports, json_null()));
    n->external = true;
    row_set_str(&n->row, &n->network_type, "flat");
    row_set_str(&n->row, &n->physical_network, "public");
    golden("public", desired_network(n, subnets, ports, json_null()));
    g_autoptr(json_t) none = json_array();
    g_ptr_array_set_size(subnets, 0);
    golden("bare", desired_network(n, subnets, none, json_null()));
}

static void segments(void **state)
{
    (void) state;
    g_autoptr(Network) n = row_of(&network_resource, NET, "{\"mtu\": 1450, \"provider:network_type\": \"vxlan\", \"provider:segmentation_id\": 77}");
    g_autoptr(json_t) none = json_array(), peers = json_parse_trusted("["
        "{\"remote\": \"10.66.0.2\", \"mac\": \"fa:16:3e:00:00:01\", \"device_owner\": \"compute:nova\", \"port_security_enabled\": 1, "
        "\"pairs\": \"[{\\\"ip_address\\\": \\\"10.0.0.200\\\", \\\"mac_address\\\": \\\"fa:16:3e:00:00:01\\\"}]\", \"ips\": \"10.0.0.5,2001:db8::5\"},"
        "{\"remote\": \"10.66.0.3\", \"mac\": \"fa:16:3e:00:00:02\", \"device_owner\": \"network:router_interface\", \"port_security_enabled\": 1, "
        "\"pairs\": \"[]\", \"ips\": \"10.0.0.1,2001:db8::1\", \"ra\": \"[{\\\"prefix\\\":\\\"2001:db8::/64\\\",\\\"mode\\\":\\\"slaac\\\"}]\"},"
        "{\"remote\": \"10.66.0.3\", \"mac\": \"fa:16:3e:00:00:03\", \"device_owner\": \"compute:nova\", \"port_security_enabled\": 0, "
        "\"pairs\": \"[]\", \"ips\": null, \"ra\": \"[]\"}]");
    golden("segment-vxlan", desired_segment(n, "10.66.0.1", peers));
    json_t *without = desired_segment(n, NULL, none);
    assert_true(json_is_null(without));
    row_set_str(&n->row, &n->network_type, "vlan");
    row_set_str(&n->row, &n->physical_network, "lab");
    golden("segment-vlan", desired_segment(n, "10.66.0.1", none));
    row_set_str(&n->row, &n->network_type, "flat");
    n->segmentation_id = 0;
    n->external = true;
    golden("segment-flat", desired_segment(n, NULL, none));
    row_set_str(&n->row, &n->physical_network, "public");
    json_t *host = desired_segment(n, "10.66.0.1", none);
    assert_true(json_is_null(host));
}

static void add_rule(GPtrArray *rules, const char *id, const char *rest)
{
    g_autofree char *body = g_strdup_printf("{\"security_group_id\": \"" NET "\", %s}", rest);
    g_ptr_array_add(rules, row_of(&security_group_rule_resource, id, body));
}

static void groups(void **state)
{
    (void) state;
    g_autoptr(Group) g = row_of(&security_group_resource, NET, "{\"name\": \"\\\"; flush ruleset #\"}");
    g_autoptr(GPtrArray) rules = g_ptr_array_new_with_free_func(row_unref);
    add_rule(rules, "00000000-0000-4000-8000-000000000001", "\"direction\": \"egress\"");
    add_rule(rules, "00000000-0000-4000-8000-000000000002", "\"direction\": \"ingress\", \"ethertype\": \"IPv6\", \"remote_group_id\": \"" NET "\"");
    add_rule(rules, "00000000-0000-4000-8000-000000000003", "\"direction\": \"ingress\", \"protocol\": \"tcp\", \"port_range_min\": 22, \"port_range_max\": 22, "
                                                            "\"remote_ip_prefix\": \"192.168.1.77/24\", \"description\": \"\\\"}\"");
    add_rule(rules, "00000000-0000-4000-8000-000000000004", "\"direction\": \"ingress\", \"ethertype\": \"IPv6\", \"protocol\": \"icmp\", \"port_range_min\": 128");
    add_rule(rules, "00000000-0000-4000-8000-000000000005", "\"direction\": \"ingress\", \"remote_address_group_id\": \"99999999-9999-4999-8999-999999999999\"");
    g_autoptr(json_t) members = json_parse_trusted("[{\"address\": \"10.0.0.3\"}, {\"address\": \"2001:db8::5\"}]");
    g_autoptr(json_t) prefixes = json_parse_trusted("[{\"address_group_id\": \"99999999-9999-4999-8999-999999999999\", \"address\": \"10.5.0.0/16\"},"
                                                    " {\"address_group_id\": \"99999999-9999-4999-8999-999999999999\", \"address\": \"2001:db8:5::/48\"}]");
    golden("group", desired_group(g, rules, members, prefixes));
}

static void ports_of_guests(void **state)
{
    (void) state;
    g_autoptr(Port) p = row_of(&port_resource, "66666666-6666-4666-8666-666666666666", "{\"network_id\": \"" NET "\", \"mac_address\": \"fa:16:3e:00:00:02\", "
        "\"fixed_ips\": [{\"subnet_id\": \"22222222-2222-4222-8222-222222222222\", \"ip_address\": \"10.0.0.3\"}], "
        "\"allowed_address_pairs\": [{\"ip_address\": \"10.0.0.200\", \"mac_address\": \"fa:16:3e:00:00:02\"}], \"security_groups\": [\"" NET "\"], "
        "\"port_security_enabled\": true}");
    golden("port", desired_port(p, 1450, NULL, NULL));
    g_autoptr(json_t) limits = json_parse_trusted("[{\"direction\": \"egress\", \"kbps\": 10000, \"burst\": 800}, {\"direction\": \"ingress\", \"kbps\": 0, "
        "\"burst\": 0}, {\"direction\": \"ingress\", \"kpps\": 2, \"kpps_burst\": 1}, {\"direction\": null, \"dscp\": 46}, "
        "{\"direction\": \"egress\", \"min_kbps\": 5000, \"physical\": \"lab\"}]");
    golden("port-qos", desired_port(p, 1450, desired_qos(limits), json_make("si", "port_id", NET, "vlan", (gint64) 100)));
}

#define ADDRESS(kind_, port_, mac_, up_, address_, cidr_, gateway_, version_, mode_) \
    "{\"kind\": \"" kind_ "\", \"port_id\": \"" port_ "\", \"network_id\": \"" NET "\", \"mac\": \"fa:16:3e:00:00:" mac_ "\", \"mtu\": 1450, \"up\": " up_ \
    ", \"address\": " address_ ", \"cidr\": \"" cidr_ "\", \"gateway\": " gateway_ ", \"version\": " version_ ", \"ra_mode\": " mode_ "}"

static void routers(void **state)
{
    (void) state;
    g_autoptr(json_t) none = json_array();
    g_autoptr(Router) r = row_of(&router_resource, "55555555-5555-4555-8555-555555555555", "{\"name\": \"r\"}");
    r->enable_snat = true;
    golden("router-bare", desired_router(r, none, none, none, none));
    row_set_json(&r->row, &r->routes, json_parse_trusted("[{\"destination\": \"192.168.0.0/24\", \"nexthop\": \"10.0.0.9\"}]"));
    /* One interface with two prefixes, one that is down, a port without addresses, and a gateway with two addresses of one subnet. */
    g_autoptr(json_t) addresses = json_parse_trusted(
        "[" ADDRESS("interface", "a", "0a", "1", "\"10.0.0.1\"", "10.0.0.0/24", "\"10.0.0.1\"", "4", "null") ","
        ADDRESS("interface", "b", "0b", "1", "\"2001:db8:1::1\"", "2001:db8:1::/64", "\"2001:db8:1::1\"", "6", "\"slaac\"") ","
        ADDRESS("interface", "b", "0b", "1", "\"2001:db8:2::1\"", "2001:db8:2::/64", "\"2001:db8:2::1\"", "6", "null") ","
        ADDRESS("interface", "c", "0c", "0", "\"10.3.0.1\"", "10.3.0.0/24", "\"10.3.0.1\"", "4", "null") ","
        ADDRESS("interface", "d", "0d", "1", "null", "10.4.0.0/24", "null", "4", "null") ","
        ADDRESS("gateway", "e", "0e", "1", "\"172.24.4.5\"", "172.24.4.0/24", "\"172.24.4.1\"", "4", "null") ","
        ADDRESS("gateway", "e", "0e", "1", "\"172.24.4.6\"", "172.24.4.0/24", "\"172.24.4.1\"", "4", "null") "]");
    g_autoptr(json_t) floating = json_parse_trusted("[{\"id\": \"f\", \"external\": \"172.24.4.9\", \"fixed\": \"10.0.0.5\"}]");
    g_autoptr(json_t) forwardings = json_parse_trusted("[{\"id\": \"w\", \"floatingip_id\": \"g\", \"external\": \"172.24.4.8\", \"protocol\": \"udp\", "
        "\"external_first\": 8000, \"external_last\": 8009, \"internal\": \"10.0.0.6\", \"internal_first\": 9000, \"internal_last\": 9009}]");
    g_autoptr(json_t) subnets = json_parse_trusted("[{\"network_id\": \"" NET "\", \"cidr\": \"10.0.0.0/24\"}, {\"network_id\": \"other\", \"cidr\": \"10.9.0.0/24\"}, "
        "{\"network_id\": \"" NET "\", \"cidr\": \"2001:db8:1::/64\"}]");
    golden("router", desired_router(r, addresses, subnets, floating, forwardings));
    r->enable_snat = r->admin_state_up = false;
    golden("router-down", desired_router(r, addresses, none, none, none));
}

static void protocols(void **state)
{
    (void) state;
    static const struct { const char *name; int number; } rows[] = {
        { NULL, -1 }, { "any", -1 }, { "tcp", 6 }, { "vrrp", 112 }, { "0", 0 }, { "255", 255 }, { "256", -2 }, { "-1", -2 }, { "6 ", -2 }, { "tcp; drop", -2 }, { "", -2 },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        assert_int_equal(protocol_number(rows[i].name), rows[i].number);
}

static void default_pools(void **state)
{
    (void) state;
    static const struct { const char *cidr, *gateway, *pools; } rows[] = {
        { "10.0.0.0/24", "10.0.0.1", "[{\"start\": \"10.0.0.2\", \"end\": \"10.0.0.254\"}]" },
        { "10.0.0.0/24", "10.0.0.254", "[{\"start\": \"10.0.0.1\", \"end\": \"10.0.0.253\"}]" },
        { "10.0.0.0/24", "10.0.0.9", "[{\"start\": \"10.0.0.1\", \"end\": \"10.0.0.8\"}, {\"start\": \"10.0.0.10\", \"end\": \"10.0.0.254\"}]" },
        { "10.0.0.0/24", NULL, "[{\"start\": \"10.0.0.1\", \"end\": \"10.0.0.254\"}]" },
        { "10.0.0.0/31", NULL, "[{\"start\": \"10.0.0.0\", \"end\": \"10.0.0.1\"}]" },
        { "10.0.0.0/32", NULL, "[{\"start\": \"10.0.0.0\", \"end\": \"10.0.0.0\"}]" },
        { "10.0.0.0/30", "10.0.0.1", "[{\"start\": \"10.0.0.2\", \"end\": \"10.0.0.2\"}]" },
        { "2001:db8::/64", "2001:db8::1", "[{\"start\": \"2001:db8::2\", \"end\": \"2001:db8::ffff:ffff:ffff:ffff\"}]" },
        { "2001:db8::/64", "fe80::1", "[{\"start\": \"2001:db8::1\", \"end\": \"2001:db8::ffff:ffff:ffff:ffff\"}]" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        Cidr c;
        assert_true(cidr_parse(rows[i].cidr, true, &c));
        g_autoptr(json_t) made = ipam_default_pools(c, rows[i].gateway), expected = json_parse_trusted(rows[i].pools);
        if (!json_equal(made, expected))
            fail_msg("%s with gateway %s: %s", rows[i].cidr, rows[i].gateway, json_text(made));
    }
}

/* {"from", "to"} of one network; the rules are those of both ends' only group. */
static const char *verdict_of(const char *rules, bool stateful, int protocol, int port, const char **ret_last_drop)
{
    static char verdict[16], drop[40];
    g_autofree char *end = g_strdup_printf("\"groups\": [{\"stateful\": %s, \"rules\": [%s]}], \"subnets\": [{\"cidr\": \"10.0.0.0/24\", \"gateway\": null}], "
        "\"host_gateway\": false, \"disclosed\": true, \"host\": \"h\"", stateful ? "true" : "false", rules);
    g_autofree char *text = g_strdup_printf("{\"protocol\": %d, \"port\": %d, \"address\": \"10.0.0.6\", \"router\": null, \"floating\": null, "
        "\"members\": {\"g\": [\"10.0.0.5\"]}, "
        "\"from\": {\"port\": {\"id\": \"a\", \"addresses\": [\"10.0.0.5\"], \"pairs\": [], \"port_security\": true, \"up\": true}, %s}, "
        "\"to\": {\"port\": {\"id\": \"b\", \"addresses\": [\"10.0.0.6\"], \"pairs\": [], \"port_security\": true, \"up\": true}, %s}}", protocol, port, end, end);
    g_autoptr(json_t) scene = json_parse_trusted(text), answer = explain(scene);
    size_t i;
    json_t *hop;
    g_strlcpy(verdict, json_get_str(answer, "verdict"), sizeof verdict);
    *drop = 0;
    json_array_foreach(json_object_get(answer, "hops"), i, hop)
        if (strcmp(json_get_str(hop, "verdict"), "drop") == 0)
            g_strlcpy(drop, json_get_str(hop, "hop"), sizeof drop);
    *ret_last_drop = drop;
    return verdict;
}

#define RULE(direction, rest) "{\"id\": \"r\", \"direction\": \"" direction "\", \"ethertype\": 4" rest "}"
#define OUT RULE("egress", "")
static void ways(void **state)
{
    (void) state;
    static const struct { const char *rules; bool stateful; int protocol, port; const char *verdict, *drop; } rows[] = {
        { OUT, true, 6, 80, "denied", "ingress rule" },
        { RULE("ingress", ""), true, 6, 80, "denied", "egress rule" },
        { OUT "," RULE("ingress", ""), true, 6, 80, "allowed", "" },
        { OUT "," RULE("ingress", ", \"protocol\": 6, \"port_min\": 80, \"port_max\": 81"), true, 6, 81, "allowed", "" },
        { OUT "," RULE("ingress", ", \"protocol\": 6, \"port_min\": 80, \"port_max\": 81"), true, 6, 82, "denied", "ingress rule" },
        { OUT "," RULE("ingress", ", \"protocol\": 6, \"port_min\": 80, \"port_max\": 81"), false, 6, 81, "denied", "reply's ingress rule" },
        { OUT "," RULE("ingress", ", \"protocol\": 6"), false, 6, 81, "allowed", "" },
        { OUT "," RULE("ingress", ", \"remote_group\": \"g\""), true, 17, 9, "allowed", "" },
        { OUT "," RULE("ingress", ", \"remote_group\": \"h\""), true, 17, 9, "denied", "ingress rule" },
        { OUT "," RULE("ingress", ", \"cidr\": \"10.0.0.4/31\""), true, 17, 9, "allowed", "" },
        { OUT "," RULE("ingress", ", \"cidr\": \"10.0.0.6/31\""), true, 17, 9, "denied", "ingress rule" },
        { OUT "," RULE("ingress", ", \"protocol\": 1, \"port_min\": 8, \"port_max\": 0"), true, 1, -1, "allowed", "" },
        { OUT "," RULE("ingress", ", \"protocol\": 1, \"port_min\": 3"), true, 1, -1, "denied", "ingress rule" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        const char *drop;
        const char *verdict = verdict_of(rows[i].rules, rows[i].stateful, rows[i].protocol, rows[i].port, &drop);
        if (strcmp(verdict, rows[i].verdict) != 0 || strcmp(drop, rows[i].drop) != 0)
            fail_msg("row %zu: %s at %s", i, verdict, drop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks), cmocka_unit_test(segments), cmocka_unit_test(groups), cmocka_unit_test(ports_of_guests), cmocka_unit_test(ways), cmocka_unit_test(routers), cmocka_unit_test(protocols), cmocka_unit_test(default_pools),
    };
    g_assert_true(conf_load(NULL, NULL));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
