/* tests/unit/test_conntrack.c -- connections that are forgotten beside thousands that are not, in a network namespace of its own. */
#include "network/agent/conntrack.h"
#include "network/agent/link.h"
#include "network/agent/nft_apply.h"
#include <arpa/inet.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { OTHERS = 10000, PER_ZONE = 20, ZONES = 6 };

/* Zones 7 to 12 by the destination's second byte; the rest is in none. */
static const char rules[] =
    "add table inet t\n"
    "add chain inet t out { type filter hook output priority -300; }\n"
    "add rule inet t out ct zone set ip daddr map { 127.7.0.0/16 : 7, 127.8.0.0/16 : 8, 127.9.0.0/16 : 9, 127.10.0.0/16 : 10, 127.11.0.0/16 : 11, "
    "127.12.0.0/16 : 12 }\n"
    "add chain inet t track { type filter hook input priority 0; }\n"
    "add rule inet t track ct state new counter\n";

static int own_namespace(void **state)
{
    g_autoptr(GError) err = NULL;
    bool *there = *state = g_new0(bool, 1);
    *there = geteuid() == 0 && unshare(CLONE_NEWNET) == 0 && link_up("lo", true, &err) && nft_apply(rules, &err);
    if (!*there)
        print_message("skipped, as this is not root or the kernel has no nf_tables: %s\n", err ? err->message : "no network namespace");
    return 0;
}

static int done(void **state)
{
    g_free(*state);
    return 0;
}

static Cidr address(int a, int b, int c)
{
    return (Cidr) { { .version = 4, .n = 127u << 24 | (guint32) a << 16 | (guint32) b << 8 | (guint32) c }, 32 };
}

static void talk(int fd, Cidr to)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl((guint32) to.base.n) };
    assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *) &in, sizeof in), 1);
}

/* One connection for each address; nobody listens, and no error comes back as the socket is not connected. */
static void talk_to_all(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (int i = 0; i < OTHERS; i++)
        talk(fd, address(100, i / 250, i % 250 + 1));
    for (int z = 0; z < ZONES; z++)
        for (int i = 0; i < PER_ZONE; i++)
            talk(fd, address(7 + z, 0, i + 1));
    close(fd);
}

typedef struct Count { int all, zone[16]; } Count;

static bool count(const Tracked *t, const void *data)
{
    Count *c = *(Count *const *) data;
    c->all++;
    if (t->zone < 16)
        c->zone[t->zone]++;
    return false;
}

static Count counted(int zone)
{
    g_autoptr(GError) err = NULL;
    Count c = { 0 }, *p = &c;
    assert_true(conntrack_purge(zone, count, &p, &err));
    return c;
}

static void forget(const Flow *list, guint n)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GArray) flows = g_array_new(FALSE, TRUE, sizeof(Flow));
    g_array_append_vals(flows, list, n);
    assert_true(conntrack_flush(flows, true, &err));
}

/* Whether the kernel must choose by zone. */
static bool chooses(void)
{
    struct utsname u;
    int major = 0, minor = 0;
    assert_int_equal(uname(&u), 0);
    assert_int_equal(sscanf(u.release, "%d.%d", &major, &minor), 2);
    return major > 6 || (major == 6 && minor >= 8);
}

static void reads_one_zone(void **state)
{
    if (!*(bool *) *state)
        skip();
    talk_to_all();
    Count all = counted(CONNTRACK_ALL), one = counted(8), none = counted(99);
    assert_int_equal(all.all, OTHERS + ZONES * PER_ZONE);
    assert_int_equal(all.zone[0], OTHERS);
    assert_int_equal(one.zone[8], PER_ZONE);
    assert_in_range(one.all, PER_ZONE, chooses() ? PER_ZONE : all.all);
    assert_in_range(none.all, 0, chooses() ? 0 : all.all);
}

static void forgets_what_is_named(void **state)
{
    if (!*(bool *) *state)
        skip();
    /* The same address in another zone is another's. */
    forget((Flow[]) { { 8, address(8, 0, 3) }, { 8, address(9, 0, 4) }, { 9, address(9, 0, 5) } }, 3);
    Count c = counted(CONNTRACK_ALL);
    assert_int_equal(c.zone[8], PER_ZONE - 1);
    assert_int_equal(c.zone[9], PER_ZONE - 1);
    assert_int_equal(c.all, OTHERS + ZONES * PER_ZONE - 2);
    /* A prefix is all of its addresses: 4 to 7, of which 5 is gone. */
    forget((Flow[]) { { 9, { address(9, 0, 4).base, 30 } } }, 1);
    assert_int_equal(counted(CONNTRACK_ALL).zone[9], PER_ZONE - 4);
    /* A connection has its source, too. */
    forget((Flow[]) { { 8, address(0, 0, 1) } }, 1);
    assert_int_equal(counted(CONNTRACK_ALL).zone[8], 0);
    assert_int_equal(counted(CONNTRACK_ALL).all, OTHERS + (ZONES - 1) * PER_ZONE - 4);
}

static void forgets_in_many_zones(void **state)
{
    Flow flows[ZONES] = { 0 };
    if (!*(bool *) *state)
        skip();
    for (int z = 0; z < ZONES; z++)
        flows[z] = (Flow) { 7 + z, address(7 + z, 0, 20) };
    forget(flows, ZONES);
    Count c = counted(CONNTRACK_ALL);
    for (int z = 0; z < ZONES; z++)
        assert_int_equal(c.zone[7 + z], z == 1 ? 0 : PER_ZONE - 1 - 3 * (z == 2) - (z == 2));
    forget((Flow[]) { { 7, address(7, 0, 1) }, { 0, address(100, 0, 1) } }, 2);
    c = counted(CONNTRACK_ALL);
    assert_int_equal(c.zone[7], PER_ZONE - 2);
    assert_int_equal(c.zone[0], OTHERS - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_one_zone), cmocka_unit_test(forgets_what_is_named), cmocka_unit_test(forgets_in_many_zones),
    };
    return cmocka_run_group_tests(tests, own_namespace, done);
}
