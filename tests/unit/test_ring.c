/* tests/unit/test_ring.c -- the bounded buffer of streamed bodies: order, bound, end, failure, and two threads. */
#include "api/ring.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

static void bound_and_wrap(void **state)
{
    (void) state;
    Ring *r = ring_new(10);
    char buf[16];
    bool room;
    assert_int_equal(ring_put(r, "abcdefgh", 8), 8);
    assert_int_equal(ring_take(r, buf, 5, &room, NULL), 5);
    assert_memory_equal(buf, "abcde", 5);
    assert_false(room);
    assert_int_equal(ring_put(r, "ijklmnop", 8), 7);
    assert_int_equal(ring_take(r, buf, 4, &room, NULL), 4);
    assert_memory_equal(buf, "fghi", 4);
    assert_false(room);                              /* above half full */
    assert_int_equal(ring_take(r, buf, 2, &room, NULL), 2);
    assert_true(room);
    assert_int_equal(ring_take(r, buf, 16, &room, NULL), 4);
    assert_memory_equal(buf, "lmno", 4);
    assert_false(room);                              /* told once */
    ring_end(r);
    assert_int_equal(ring_take(r, buf, 16, &room, NULL), 0);
    ring_fail(r, NV_ERR_INVALID, "late");            /* the end stands */
    assert_int_equal(ring_take(r, buf, 16, &room, NULL), 0);
    ring_free(r);
}

static void failure(void **state)
{
    (void) state;
    Ring *r = ring_new(10);
    char buf[4];
    bool room;
    g_autoptr(GError) err = NULL;
    ring_put(r, "ab", 2);
    ring_fail(r, NV_ERR_TOO_LARGE, "too much");
    ring_end(r);
    assert_int_equal(ring_take(r, buf, 4, &room, &err), -1);
    assert_int_equal(nv_error_code(err), NV_ERR_TOO_LARGE);
    ring_free(r);
}

enum { TOTAL = 3000000 };

static gpointer writer(gpointer data)
{
    Ring *r = data;
    guchar block[700];
    for (guint at = 0; at < TOTAL;) {
        gsize n = MIN(sizeof block, TOTAL - at);
        for (gsize i = 0; i < n; i++)
            block[i] = (guchar) ((at + i) * 31 >> 3);
        gsize put = ring_put(r, block, n);
        at += (guint) put;
        if (put < n)
            g_thread_yield();
    }
    ring_end(r);
    return NULL;
}

static void two_threads(void **state)
{
    (void) state;
    Ring *r = ring_new(4096);
    GThread *t = g_thread_new("writer", writer, r);
    guchar buf[1000];
    gssize n;
    bool room;
    guint at = 0;
    while ((n = ring_take(r, buf, sizeof buf, &room, NULL)) > 0) {
        for (gssize i = 0; i < n; i++)
            assert_int_equal(buf[i], (guchar) ((at + (guint) i) * 31 >> 3));
        at += (guint) n;
    }
    assert_int_equal(n, 0);
    assert_int_equal(at, TOTAL);
    g_thread_join(t);
    ring_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(bound_and_wrap), cmocka_unit_test(failure), cmocka_unit_test(two_threads) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
