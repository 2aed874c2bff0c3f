/* tests/unit/test_net_agent.c -- rules and dnsmasq's files as text: golden files, hostile arguments.
 * NUVOLET_GOLDEN=write rewrites tests/golden/net/NAME.txt from NAME.json; a person reviews the difference. */
#include "core/conf.h"
#include "core/error.h"
#include "network/agent/dnsmasq.h"
#include "network/agent/announce.h"
#include "network/agent/nft.h"
#include "network/agent/shape.h"
#include "network/agent/nft_router.h"
#include "network/agent/ra.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>
#include "tests/lib/golden.h"

#define GOLDEN "tests/golden/net"

static void put_elements(GString *out, GArray *elements_stolen)
{
    g_autoptr(GArray) elements = elements_stolen;
    for (guint i = 0; i < elements->len; i++)
        nft_element_build(out, &g_array_index(elements, NftElement, i), true);
}

static void put_section(GString *out, const char *title, char *text_stolen)
{
    g_string_append_printf(out, "== %s\n%s", title, text_stolen);
    g_free(text_stolen);
}

static void put_bytes(GString *out, const char *title, GByteArray *bytes_stolen)
{
    g_autoptr(GByteArray) bytes = bytes_stolen;
    g_string_append_printf(out, "== %s\n", title);
    for (guint i = 0; i < bytes->len; i++)
        g_string_append_printf(out, "%02x%s", bytes->data[i], i % 16 == 15 || i + 1 == bytes->len ? "\n" : " ");
}

static void put_router(GString *out, const RouterSpec *r)
{
    nft_router_build(out, r, false);
    for (guint i = 0; i < r->ports->len; i++) {
        const RouterPort *p = r->ports->pdata[i];
        guint8 mac[6];
        assert_true(mac_parse(p->mac, mac));
        if (p->ra->len)
            put_bytes(out, p->inner.s, ra_message(p, RA_LIFETIME_S));
        for (guint k = 0; p == r->gateway && k < p->addresses->len; k++) {
            put_bytes(out, "announced", announce_frame(mac, g_array_index(p->addresses, Cidr, k).base, 0));
            put_bytes(out, "announced", announce_frame(mac, g_array_index(p->addresses, Cidr, k).base, 1));
        }
    }
}

/* The verb that the arguments are for is told by their members. */
static char *render(const json_t *args, GError **err)
{
    GString *out = g_string_new(NULL);
    if (json_object_get(args, "rules")) {
        g_autoptr(GroupSpec) g = spec_group_parse(args, err);
        if (g) {
            nft_group_build(out, g, NULL);
            nft_group_chains_absent_build(out, g->n.s);
            nft_group_sets_absent_build(out, g->n.s);
        }
    } else if (json_object_get(args, "interfaces")) {
        g_autoptr(RouterSpec) r = router_spec_parse(args, err);
        if (r)
            put_router(out, r);
    } else if (json_object_get(args, "network_id")) {
        g_autoptr(PortSpec) p = spec_port_parse(args, err);
        if (p) {
            nft_combo_build(out, p, true);
            put_elements(out, nft_port_elements(p, 0x123, true));
            if (p->qos.dscp >= 0)
                nft_dscp_build(out, p->qos.dscp);
            nft_combo_absent_build(out, nft_combo(p, true).name);
        }
    } else if (json_object_get(args, "zone")) {
        g_autoptr(NetworkSpec) n = spec_network_parse(args, err);
        if (n) {
            put_elements(out, nft_network_elements(n));
            put_section(out, "conf", dnsmasq_conf(n, "/run/nuvolet/dhcp/net", "dnsmasq", "in its place"));
            put_section(out, "hosts", dnsmasq_hosts(n));
            put_section(out, "opts", dnsmasq_opts(n));
            put_section(out, "names", dnsmasq_names(n));
            for (guint i = 0; i < n->segment.routers->len; i++) {
                const RouterPort *p = n->segment.routers->pdata[i];
                put_bytes(out, p->mac, ra_frame(p, RA_LIFETIME_S));
                put_bytes(out, "and when it goes", ra_frame(p, 0));
            }
        }
    } else {
        nft_base_build(out, false);
    }
    return g_string_free(out, FALSE);
}

static void golden_files(void **state)
{
    (void) state;
    assert_true(golden_each(GOLDEN, ".txt", render) >= 9);
}

/* Each argument that a tenant's text could come by, with text that means something to nft or dnsmasq. */
static void hostile_text_is_refused(void **state)
{
    (void) state;
    static const char *const bad[] = { "10.0.0.1; flush ruleset", "10.0.0.1\n", "10.0.0.0/33", "fa:16:3e:00:00:01\nconf-file=/etc/shadow", "", "*", "::/129", "0x7f.1",
                                       "10.0.0.1/24 }", "@g4_x", "{", "$x", "fe80::1%eth0", "010.0.0.1" };
    static const struct { const char *file, *path[6]; } places[] = {
        { "port", { "mac" } },           { "port", { "addresses", "0" } },      { "port", { "groups", "0" } },   { "port", { "network_id" } },
        { "group", { "members4", "0" } }, { "network", { "nat", "0" } },          { "network", { "dhcp", "mac" } }, { "network", { "dhcp", "domain" } },
        { "network", { "dhcp", "addresses", "0" } }, { "network-vxlan", { "segment", "local" } }, { "network-vxlan", { "segment", "type" } },
        { "router", { "interfaces", "0", "mac" } }, { "router", { "interfaces", "0", "addresses", "0" } }, { "router", { "interfaces", "0", "subnets", "0" } }, { "router", { "floating", "0", "fixed" } },
        { "router", { "floating", "0", "external" } }, { "router", { "forwardings", "0", "protocol" } }, { "router", { "forwardings", "0", "internal" } },
        { "router", { "routes", "0", "destination" } }, { "router", { "routes", "0", "nexthop" } }, { "router", { "gateway", "nexthops", "0" } },
        { "router", { "gateway", "port_id" } }, { "router", { "interfaces", "1", "ra", "0", "prefix" } }, { "router", { "interfaces", "0", "network_id" } },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++)
        for (gsize k = 0; k < G_N_ELEMENTS(bad); k++) {
            g_autofree char *in = g_strdup_printf(GOLDEN "/%s.json", places[i].file);
            g_autoptr(json_t) input = json_load_file(in, 0, NULL);
            g_autoptr(GError) err = NULL;
            json_t *at = input;
            gsize d = 0;
            /* An empty domain is none, and digits with dots may be one. */
            if (strspn(bad[k], "0123456789abcdefx.") == strlen(bad[k]) && g_strcmp0(places[i].path[1], "domain") == 0)
                continue;
            for (; places[i].path[d + 1]; d++)
                at = json_is_array(at) ? json_array_get(at, (size_t) (*places[i].path[d] - '0')) : json_object_get(at, places[i].path[d]);
            if (json_is_array(at))
                json_array_set_new(at, 0, json_string(bad[k]));
            else
                json_object_set_new(at, places[i].path[d], json_string(bad[k]));
            g_autofree char *text = render(input, &err);
            if (!err)
                fail_msg("%s: %s accepted %s", places[i].file, places[i].path[d], bad[k]);
            assert_int_equal(nv_error_code(err), NV_ERR_INVALID);
        }
}

static guint lines_of(const char *text)
{
    guint n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* Names and options of one port that are no good are left out; the others' lines are there. */
static void odd_names_and_options_are_left_out(void **state)
{
    (void) state;
    static const char *const bad[] = { "a\nfa:16:3e:0:0:1,10.0.0.9", "*", "a,b", "-x", "x-", "a b", "\xc3\xbc", "a#b", "a\"b" };
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(json_t) input = json_load_file(GOLDEN "/network.json", 0, NULL);
        g_autoptr(GError) err = NULL;
        json_t *ports = json_object_get(json_object_get(input, "dhcp"), "ports"), *first = json_array_get(ports, 0);
        g_autoptr(NetworkSpec) before = spec_network_parse(input, &err);
        g_autofree char *hosts = dnsmasq_hosts(before), *opts = dnsmasq_opts(before);
        json_object_set_new(first, "hostname", json_string(bad[i]));
        json_array_append_new(json_object_get(first, "options"), json_pack("{ss,ss,si}", "name", bad[i], "value", "x", "version", 4));
        json_array_append_new(json_object_get(first, "options"), json_pack("{ss,ss,si}", "name", "bootfile-name", "value", "x\nconf-file=/etc/shadow", "version", 4));
        g_autoptr(NetworkSpec) after = spec_network_parse(input, &err);
        assert_non_null(after);
        g_autofree char *hosts2 = dnsmasq_hosts(after), *opts2 = dnsmasq_opts(after);
        assert_int_equal(lines_of(hosts), lines_of(hosts2));
        assert_string_equal(opts, opts2);
        assert_null(strstr(hosts2, bad[i][1] ? bad[i] : "*"));
    }
}

static void buckets(void **state)
{
    (void) state;
    static const struct { Limits l; gint64 mtu; Bucket b; } rows[] = {
        { { 0 }, 1450, { 0 } },
        { { .kbps = 10000, .burst_kb = 800 }, 1450, { 1250000, 100000, 162500 } },
        { { .kbps = 10000 }, 1450, { 1250000, 125000, 187500 } },
        { { .kbps = 1 }, 1450, { 125, 32768, 65536 } },
        { { .kbps = 10000, .burst_kb = 1 }, 9000, { 1250000, 18036, 80536 } },
        { { .kbps = 2147483647, .burst_kb = 2147483647 }, 1450, { 268435455875, 1 << 30, 2147483648u } },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        Bucket b = shape_bucket(&rows[i].l, rows[i].mtu);
        assert_true(b.rate == rows[i].b.rate && b.burst == rows[i].b.burst && b.limit == rows[i].b.limit);
    }
}

static void limits_out_of_range_are_refused(void **state)
{
    (void) state;
    static const char *const bad[] = { "{\"dscp\": 64}", "{\"egress_kbps\": -1}", "{\"ingress_pps\": \"1\"}", "{\"egress_kbps\": 2147483648}",
                                       "{\"egress_min_kbps\": 5}", "{\"egress_min_kbps\": -5, \"physical\": \"lab\"}" };
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(json_t) input = json_load_file(GOLDEN "/port.json", 0, NULL);
        g_autoptr(GError) err = NULL;
        json_object_set_new(input, "qos", json_parse_trusted(bad[i]));
        g_autoptr(PortSpec) p = spec_port_parse(input, &err);
        assert_null(p);
        assert_int_equal(nv_error_code(err), NV_ERR_INVALID);
    }
}

int main(void)
{
    if (!conf_override("network.physical", "lab:eth1", NULL))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_files),
        cmocka_unit_test(hostile_text_is_refused),
        cmocka_unit_test(odd_names_and_options_are_left_out),
        cmocka_unit_test(buckets),
        cmocka_unit_test(limits_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
