/* tests/unit/test_ip.c -- addresses: what parses, what does not, canonical text, prefixes, order. */
#include "core/ip.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

static void good_addresses(void **state)
{
    (void) state;
    static const char *const pairs[][2] = {
        { "0.0.0.0", "0.0.0.0" }, { "255.255.255.255", "255.255.255.255" }, { "10.0.0.1", "10.0.0.1" },
        { "::", "::" }, { "2001:DB8:0:0:0:0:0:1", "2001:db8::1" }, { "fe80:0:0:1:0:0:0:1", "fe80:0:0:1::1" },
        { "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1" }, { "::ffff:1.2.3.4", "::ffff:1.2.3.4" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(pairs); i++) {
        Ip ip;
        char buf[46];
        assert_true(ip_parse(pairs[i][0], &ip));
        ip_format(ip, buf);
        assert_string_equal(buf, pairs[i][1]);
    }
}

static void bad_addresses(void **state)
{
    (void) state;
    static const char *const bad[] = { "", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4 ", " 1.2.3.4", "0x7f.0.0.1", "1.2.3.4/24",
                                       "fe80::1%eth0", ":::", "1::2::3", "12345::", "1.2.3.4\n", "::1.2.3" };
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        Ip ip;
        assert_false(ip_parse(bad[i], &ip));
    }
}

static void prefixes(void **state)
{
    (void) state;
    Cidr c;
    char buf[50];
    static const char *const bad[] = { "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0.0/8 ", "10.0.0.0/8/8", "/8", "::/129",
                                       "999.0.0.0/8", "10.0.0.0/0x8", "10.0.0.0/8\n" };
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++)
        assert_false(cidr_parse(bad[i], false, &c));
    assert_false(cidr_parse("1.2.3.4/24", true, &c));
    assert_true(cidr_parse("1.2.3.4/24", false, &c));
    ip_format(cidr_first(c), buf);
    assert_string_equal(buf, "1.2.3.0");
    ip_format(cidr_last(c), buf);
    assert_string_equal(buf, "1.2.3.255");
    assert_true(cidr_parse("0.0.0.0/0", true, &c));
    ip_format(cidr_last(c), buf);
    assert_string_equal(buf, "255.255.255.255");
    assert_true(cidr_parse("2001:DB8::/32", true, &c));
    cidr_format(c, buf);
    assert_string_equal(buf, "2001:db8::/32");
    ip_format(cidr_last(c), buf);
    assert_string_equal(buf, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff");
    assert_true(cidr_parse("::/0", true, &c));
}

static void addresses_as_prefixes(void **state)
{
    (void) state;
    static const struct { const char *given, *made; } rows[] = {
        { "10.1.2.3", "10.1.2.3/32" }, { "10.1.2.3/8", "10.0.0.0/8" },      { "2001:DB8::1", "2001:db8::1/128" }, { "2001:db8::1/64", "2001:db8::/64" },
        { "10.1.2.3/33", NULL },       { "10.1.2", NULL },                  { "", NULL },                         { NULL, NULL },
    };
    Cidr c;
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *made = cidr_canonical(rows[i].given);
        assert_int_equal(g_strcmp0(made, rows[i].made), 0);
        assert_int_equal(cidr_parse_any(rows[i].given, false, &c), made != NULL);
    }
    assert_true(cidr_parse_any("10.1.2.3", true, &c));
    assert_false(cidr_parse_any("10.1.2.3/8", true, &c));
}

static void containment(void **state)
{
    (void) state;
    Cidr a, b, six;
    Ip in, out;
    assert_true(cidr_parse("10.0.0.0/8", true, &a) && cidr_parse("10.1.0.0/16", true, &b) && cidr_parse("::/0", true, &six));
    assert_true(ip_parse("10.255.255.255", &in) && ip_parse("11.0.0.0", &out));
    assert_true(cidr_contains(a, in));
    assert_false(cidr_contains(a, out));
    assert_false(cidr_contains(six, in));
    assert_true(cidr_overlaps(a, b));
    assert_true(cidr_overlaps(b, a));
    assert_false(cidr_overlaps(a, six));
    assert_true(cidr_parse("11.0.0.0/8", true, &b));
    assert_false(cidr_overlaps(a, b));
}

static GArray *cidrs_of(const char *text)
{
    GArray *cidrs = g_array_new(FALSE, FALSE, sizeof(Cidr));
    g_auto(GStrv) parts = g_strsplit(text, " ", -1);
    for (char **p = parts; *p && **p; p++) {
        Cidr c;
        assert_true(cidr_parse(*p, false, &c));
        g_array_append_val(cidrs, c);
    }
    cidrs_compact(cidrs);
    return cidrs;
}

static void compaction(void **state)
{
    (void) state;
    static const struct { const char *given, *made; } rows[] = {
        { "", "" },
        { "10.0.0.5/24", "10.0.0.0/24" },
        { "10.128.0.0/9 10.0.0.0/9", "10.0.0.0/8" },
        { "10.0.1.0/24 10.0.2.0/24", "10.0.1.0/24 10.0.2.0/24" },                   /* beside each other, and no halves */
        { "10.0.3.0/24 10.0.1.0/24 10.0.2.0/24 10.0.0.0/24", "10.0.0.0/22" },
        { "10.0.0.0/24 10.0.0.0/8 10.0.0.0/24 10.5.0.0/16 11.0.0.0/8", "10.0.0.0/7" },
        { "0.0.0.0/1 128.0.0.0/1 1.2.3.4/32", "0.0.0.0/0" },
        { "2001:db8:1::/48 2001:db8::/48 2001:db8::1/128", "2001:db8::/47" },
        { "255.255.255.255/32 255.255.255.254/32", "255.255.255.254/31" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GArray) cidrs = cidrs_of(rows[i].given);
        g_autoptr(GString) made = g_string_new(NULL);
        for (guint k = 0; k < cidrs->len; k++) {
            char buf[50];
            cidr_format(g_array_index(cidrs, Cidr, k), buf);
            g_string_append_printf(made, "%s%s", k ? " " : "", buf);
        }
        assert_string_equal(made->str, rows[i].made);
    }
}

static void seeking(void **state)
{
    (void) state;
    static const struct { const char *ip; int index; } rows[] = {
        { "0.0.0.0", 0 }, { "10.0.0.0", 0 }, { "10.0.0.255", 0 }, { "10.0.1.0", 1 }, { "10.0.9.9", 1 }, { "10.1.0.0", 1 }, { "10.1.255.255", 1 },
        { "10.2.0.0", 2 }, { "12.0.0.1", 2 }, { "12.0.0.2", -1 }, { "255.255.255.255", -1 },
    };
    g_autoptr(GArray) cidrs = cidrs_of("12.0.0.1/32 10.1.0.0/16 10.0.0.0/24"), none = cidrs_of("");
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        Ip ip;
        assert_true(ip_parse(rows[i].ip, &ip));
        const Cidr *found = cidrs_seek(cidrs, ip);
        assert_int_equal(found ? found - (const Cidr *) (void *) cidrs->data : -1, rows[i].index);
        assert_null(cidrs_seek(none, ip));
    }
}

static void order(void **state)
{
    (void) state;
    static const char *const sorted[] = { "0.0.0.1", "9.0.0.0", "10.0.0.9", "10.0.0.10", "255.0.0.0" };
    for (gsize i = 1; i < G_N_ELEMENTS(sorted); i++) {
        Ip a, b;
        char ka[IP_KEY_SIZE], kb[IP_KEY_SIZE];
        assert_true(ip_parse(sorted[i - 1], &a) && ip_parse(sorted[i], &b));
        assert_int_equal(ip_compare(a, b), -1);
        assert_int_equal(ip_compare(b, a), 1);
        assert_int_equal(ip_compare(a, a), 0);
        ip_key(a, ka);
        ip_key(b, kb);
        assert_true(strcmp(ka, kb) < 0);
        assert_int_equal(strlen(ka), 32);
    }
    Ip a;
    char buf[46];
    assert_true(ip_parse("10.0.0.255", &a));
    ip_format(ip_add(a, 1), buf);
    assert_string_equal(buf, "10.0.1.0");
    ip_format(ip_add(a, -256), buf);
    assert_string_equal(buf, "9.255.255.255");
    assert_true(ip_parse("2001:db8::ffff:ffff:ffff:ffff", &a));
    ip_format(ip_add(a, 1), buf);
    assert_string_equal(buf, "2001:db8:0:1::");
}

static void macs(void **state)
{
    (void) state;
    guint8 mac[6];
    static const char *const bad[] = { "", "fa:16:3e:00:00", "fa:16:3e:00:00:01:02", "FA:16:3E:00:00:01", "fa-16-3e-00-00-01", "00:00:00:00:00:00",
                                       "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "fa:16:3e:00:00:0g", "fa:16:3e:00:00:01\n" };
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++)
        assert_false(mac_parse(bad[i], mac));
    assert_true(mac_parse("fa:16:3e:00:00:01", mac));
    static const char *const forms[] = { "fa:16:3e:00:00:01", "FA:16:3E:0:0:1", "fa-16-3e-00-00-01", "fa16:3e00:0001", "fa16.3e00.0001",
                                         "fa163e:000001", "fa163e-000001", "fa163e000001" };
    static const char *const none[] = { "", ":", "fa:16:3e:00:00", "fa:16:3e", "fa16:3e00:1", "fa:16:3e:00:00:001", "fa:16:3e:00:00:", "fa:16-3e:00:00:01",
                                        "fa163e00001", "fa163e0000012",
                                        "fa.16.3e.00.00.01", "fa163e.000001", "0xfa163e0000", "fa:16:3e:00:00:01:02", " fa163e000001", "fa163e00000g" };
    for (gsize i = 0; i < G_N_ELEMENTS(forms); i++) {
        g_autofree char *spelled = mac_spelled(forms[i]);
        assert_string_equal(spelled, forms[0]);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(none); i++)
        assert_null(mac_spelled(none[i]));
    Cidr c;
    char buf[46];
    assert_true(cidr_parse("2001:db8::/64", true, &c));
    ip_format(ip_eui64(c, mac), buf);
    assert_string_equal(buf, "2001:db8::f816:3eff:fe00:1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_addresses), cmocka_unit_test(bad_addresses), cmocka_unit_test(prefixes),
        cmocka_unit_test(addresses_as_prefixes), cmocka_unit_test(containment),    cmocka_unit_test(compaction), cmocka_unit_test(seeking), cmocka_unit_test(order),         cmocka_unit_test(macs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
