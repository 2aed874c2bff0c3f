/* tests/unit/test_conn.c -- connections: whose places they take, and when a reply that nobody reads ends where the pace cannot be seen. */
#include "api/conn.h"
#include "core/clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>

static const char *const NET = "11111111-1111-4111-8111-111111111111";

/* Connections of these rules, the last first; they end with the test. */
typedef struct Crowd {
    ConnRules rules;
    Conns conns;
    Conn *list[16];
    guint n;
} Crowd;

static void crowd_init(Crowd *c, int per_source, int per_via)
{
    *c = (Crowd){ .rules = { .per_source = per_source, .per_via = per_via } };
    c->conns.rules = &c->rules;
    conn_rules_init(&c->rules);
}

static bool add(Crowd *c, const char *client, const char *network, const char *via)
{
    Conn *conn = conn_new(&c->conns, -1, client, network, via);
    if (conn)
        c->list[c->n++] = conn;
    assert_int_equal(c->n, c->conns.n);
    assert_int_equal(c->n, c->rules.n_conns);
    return conn;
}

static void crowd_end(Crowd *c)
{
    while (c->n)
        conn_free(c->list[--c->n]);
    assert_int_equal(g_hash_table_size(c->rules.sources), 0);
    assert_int_equal(c->conns.n, 0);
    conn_rules_done(&c->rules);
}

static void a_host_takes_no_place_of_another_ones_guests(void **state)
{
    (void) state;
    Crowd c;
    crowd_init(&c, 2, 100);
    assert_true(add(&c, "10.0.0.1", NET, "h2") && add(&c, "10.0.0.1", NET, "h2"));
    assert_false(add(&c, "10.0.0.1", NET, "h2"));
    assert_true(add(&c, "10.0.0.1", NET, "h1"));
    assert_true(add(&c, "10.0.0.1", NET, NULL) && add(&c, "10.0.0.1", NET, NULL));
    assert_false(add(&c, "10.0.0.1", NET, NULL));
    crowd_end(&c);
}

static void a_host_has_so_many(void **state)
{
    (void) state;
    Crowd c;
    crowd_init(&c, 2, 3);
    assert_true(add(&c, "10.0.0.1", NET, "h1") && add(&c, "10.0.0.2", NET, "h1") && add(&c, "10.0.0.3", NET, "h1"));
    for (int i = 0; i < 3; i++)                  /* what is refused counts nowhere */
        assert_false(add(&c, "10.0.0.4", NET, "h1"));
    assert_true(add(&c, "10.0.0.4", NET, "h2"));
    assert_true(add(&c, "10.0.0.1", NULL, NULL));
    conn_free(c.list[0]);
    c.list[0] = c.list[--c.n];
    assert_true(add(&c, "10.0.0.4", NET, "h1"));
    assert_false(add(&c, "10.0.0.4", NET, "h1"));
    crowd_end(&c);
}

static void a_reply_whose_pace_cannot_be_seen_has_one_time(void **state)
{
    (void) state;
    ConnRules r = { .per_source = 2, .per_via = 3, .rate_s = 10, .idle_s = 300, .head_s = 10 };
    conn_rules_init(&r);
    Conns conns = { .rules = &r, .now = clock_mono_us() };
    int fds[2];
    char byte;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    Conn *c = conn_new(&conns, fds[0], "10.0.0.1", NET, "h1");
    conn_join(c);
    conn_enter(c, CONN_REPLY);
    for (int s = 0; s < 119; s++, conns.now += G_USEC_PER_SEC)
        conns_sweep(&conns);
    assert_false(c->doomed);
    conns.now += 2 * G_USEC_PER_SEC;
    conns_sweep(&conns);
    assert_true(c->doomed);
    assert_int_equal(recv(fds[1], &byte, 1, MSG_DONTWAIT), 0);
    conn_free(c);
    assert_int_equal(g_hash_table_size(r.sources), 0);
    close(fds[0]);
    close(fds[1]);
    conns_done(&conns);
    conn_rules_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_takes_no_place_of_another_ones_guests), cmocka_unit_test(a_host_has_so_many),
        cmocka_unit_test(a_reply_whose_pace_cannot_be_seen_has_one_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
