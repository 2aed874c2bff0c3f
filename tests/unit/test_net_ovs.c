/* tests/unit/test_net_ovs.c -- Open vSwitch flows as text: golden files, port ranges, a group of many members.
 * NUVOLET_GOLDEN=write rewrites tests/golden/ovs/NAME.txt from NAME.json; a person reviews the difference. */
#include "core/error.h"
#include "network/agent/ovs_flow.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "tests/lib/golden.h"

#define GOLDEN "tests/golden/ovs"

static void port_free(gpointer data)
{
    OvsPort *p = data;
    spec_port_free(p->spec);
    g_free(p);
}

static void net_clear(OvsNet *net)
{
    g_ptr_array_unref(net->ports);
    g_ptr_array_unref(net->links);
    g_hash_table_unref(net->groups);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(OvsNet, net_clear)

static OvsNet net_parse(const json_t *in)
{
    OvsNet net = { .zone = (int) json_get_int(in, "zone", 0), .gateway = json_get_bool(in, "gateway", false) };
    size_t i;
    json_t *v;
    g_strlcpy(net.mac, "fa:16:3f:5f:2c:1e", sizeof net.mac);
    net.ports = g_ptr_array_new_with_free_func(port_free);
    net.links = g_ptr_array_new_with_free_func(g_free);
    net.groups = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) spec_group_free);
    json_array_foreach(json_object_get(in, "groups"), i, v) {
        GroupSpec *g = spec_group_parse(v, NULL);
        assert_non_null(g);
        g_hash_table_insert(net.groups, g_strdup(g->n.s), g);
    }
    json_array_foreach(json_object_get(in, "ports"), i, v) {
        OvsPort *p = g_new0(OvsPort, 1);
        p->spec = spec_port_parse(v, NULL);
        p->ofport = 300 + (int) i;
        assert_non_null(p->spec);
        g_ptr_array_add(net.ports, p);
    }
    json_array_foreach(json_object_get(in, "links"), i, v) {
        OvsLink *l = g_new0(OvsLink, 1);
        l->ofport = 900 + (int) i;
        g_strlcpy(l->mac, json_string_value(v), sizeof l->mac);
        g_ptr_array_add(net.links, l);
    }
    return net;
}

static char *render(const json_t *input, GError **err)
{
    g_auto(OvsNet) net = net_parse(input);
    g_autoptr(GHashTable) flows = ovs_flows(&net);
    (void) err;
    return ovs_flows_text(flows);
}

static void golden_files(void **state)
{
    (void) state;
    assert_true(golden_each(GOLDEN, ".txt", render) >= 2);
}

/* A network whose ports are all in one group, which lets its members reach each other. */
static json_t *crowd(int ports, int low, int high)
{
    json_t *members = json_array(), *list = json_array(), *rules = json_array();
    static const char group[] = "11112222-3333-4444-8555-666677778888";
    for (int i = 0; i < ports; i++) {
        g_autofree char *ip = g_strdup_printf("10.0.%d.%d", i / 250, i % 250 + 1), *mac = g_strdup_printf("fa:16:3e:00:%02x:%02x", i / 256, i % 256);
        g_autofree char *id = g_strdup_printf("%08x-0000-4000-8000-000000000000", 0x1000 + i);
        json_array_append_new(members, json_string(ip));
        json_array_append_new(list, json_pack("{ss,ss,ss,si,s[s],s[],s[s],sb,sb}", "id", id, "network_id", "5f2c1e9a-7d3b-4c8e-9a61-0b2d4f6e8a10",
                                              "mac", mac, "mtu", 1450, "addresses", ip, "pairs", "groups", group, "port_security", 1, "up", 1));
    }
    for (int version = 4; version <= 6; version += 2) {
        json_array_append_new(rules, json_pack("{ss,ss,si,sn,sn,sn,sn,ss}", "id", group, "direction", "ingress", "ethertype", version, "protocol",
                                               "port_min", "port_max", "cidr", "remote_group", group));
        json_array_append_new(rules, json_pack("{ss,ss,si,si,si,si,sn,sn}", "id", group, "direction", "egress", "ethertype", version, "protocol", 6,
                                               "port_min", low, "port_max", high, "cidr", "remote_group"));
    }
    json_t *spec = json_pack("{ss,sb,so,so,s[]}", "id", group, "stateful", 1, "rules", rules, "members4", members, "members6");
    return json_pack("{si,s[o],so,s[s]}", "zone", 7, "groups", spec, "ports", list, "links", "fa:16:3e:ff:00:01");
}

static guint lines_of(const char *text)
{
    guint n = 0;
    for (; text && *text; text++)
        n += *text == '\n';
    return n;
}

/* One more member costs one more flow of the group, not one for each port. */
static void a_group_of_500_is_one_set_of_flows(void **state)
{
    (void) state;
    g_autoptr(json_t) many = crowd(500, 80, 80), more = crowd(501, 80, 80);
    g_auto(OvsNet) a = net_parse(many);
    g_auto(OvsNet) b = net_parse(more);
    g_autoptr(GHashTable) before = ovs_flows(&a), after = ovs_flows(&b);
    g_autofree char *lines = ovs_flows_difference(before, after), *none = ovs_flows_difference(after, after);
    assert_true(g_hash_table_size(before) < 500 * 20);
    assert_null(none);
    assert_in_range(lines_of(lines), 10, 22);
    assert_null(strstr(lines, "delete_strict"));
}

/* Every port of the range is matched by one mask, and no other is. */
static void masks_are_the_range(void **state)
{
    (void) state;
    static const int ranges[][2] = { { 1, 65535 }, { 0, 1 }, { 80, 81 }, { 1000, 1999 }, { 1, 65534 }, { 32768, 65535 }, { 65535, 65535 }, { 5, 5 }, { 7, 4242 } };
    for (gsize i = 0; i < G_N_ELEMENTS(ranges); i++) {
        g_autoptr(json_t) in = crowd(1, ranges[i][0], ranges[i][1]);
        g_auto(OvsNet) net = net_parse(in);
        g_autoptr(GHashTable) flows = ovs_flows(&net);
        g_autofree guint8 *seen = g_malloc0(65536);
        GHashTableIter it;
        gpointer key;
        g_hash_table_iter_init(&it, flows);
        while (g_hash_table_iter_next(&it, &key, NULL)) {
            const char *at = strstr(key, ",tp_dst=");
            if (!at || !strstr(key, ",tcp,") || !g_str_has_prefix(key, "table=5,priority=50,"))
                continue;
            char *rest;
            gulong value = strtoul(at + 8, &rest, 0), mask = *rest == '/' ? strtoul(rest + 1, NULL, 0) : 0xffff;
            assert_int_equal(value & ~mask, 0);
            for (gulong port = value; port <= (value | (~mask & 0xffff)); port++)
                seen[port]++;
        }
        for (int port = 0; port < 65536; port++)
            assert_int_equal(seen[port], port >= ranges[i][0] && port <= ranges[i][1]);
    }
}

/* A match without a value would have the whole bundle refused. */
static void a_link_whose_mac_is_not_known_is_in_no_match(void **state)
{
    (void) state;
    static const char *const names[] = { "nvd5f2c1e9a7d3b", "nvr5f2c1e9a7d3b" };
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        for (int uplink = 0; uplink < 2; uplink++) {
            g_autoptr(json_t) in = crowd(1, 80, 80);
            g_auto(OvsNet) net = net_parse(in);
            Segment segment = { .type = SEGMENT_FLAT };
            OvsLink *link = net.links->pdata[0];
            g_strlcpy(link->name.s, names[i], sizeof link->name.s);
            *link->mac = '\0';
            net.segment = uplink ? &segment : NULL;
            g_autoptr(GHashTable) flows = ovs_flows(&net);
            g_autofree char *text = ovs_flows_text(flows);
            assert_non_null(strstr(text, "in_port=900"));
            assert_null(strstr(text, "dl_dst=,"));
        }
}

static void what_has_no_match_is_refused(void **state)
{
    (void) state;
    g_autoptr(json_t) in = crowd(1, 1, 9);
    json_t *group = json_array_get(json_object_get(in, "groups"), 0);
    g_autoptr(GError) err = NULL;
    json_object_set_new(json_array_get(json_object_get(group, "rules"), 1), "protocol", json_integer(33));
    g_autoptr(GroupSpec) g = spec_group_parse(group, NULL);
    assert_false(ovs_group_check(g, &err));
    assert_int_equal(nv_error_code(err), NV_ERR_HOST_FAULT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_files),
        cmocka_unit_test(a_group_of_500_is_one_set_of_flows),
        cmocka_unit_test(masks_are_the_range),
        cmocka_unit_test(a_link_whose_mac_is_not_known_is_in_no_match),
        cmocka_unit_test(what_has_no_match_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
