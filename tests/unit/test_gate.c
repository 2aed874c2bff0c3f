/* tests/unit/test_gate.c -- the head of a request as the library leaves it, rebuilt from raw text with its leniency: the gate must find it. */
#include "tests/lib/head.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

static int status_of_n(const char *raw, size_t n, GateResult *r)
{
    GateHead h;
    const char *why = NULL;
    GateResult unused;
    if (!lenient(raw, n, &h))
        return -1;
    int status = gate_check(&h, r ? r : &unused, &why);
    assert_int_equal(status == 0, why == NULL);
    return status;
}

static int status_of(const char *raw)
{
    return status_of_n(raw, strlen(raw), NULL);
}

static void good(void **state)
{
    (void) state;
    GateResult r;
    const char *raw = "HEAD /a?b HTTP/1.1\r\nHost: a.b:80\r\nX:1\r\nY:\t 2 \r\nEmpty:\r\n\r\n";
    assert_int_equal(status_of_n(raw, strlen(raw), &r), 0);
    assert_string_equal(r.method, "GET");
    assert_string_equal(r.host, "a.b:80");
    assert_true(r.head && !r.chunked && r.content_length == -1);
    raw = "PUT / HTTP/1.1\r\nHost: [::1]\r\ncontent-length: 007\r\nexpect: 100-Continue\r\n\r\n";
    assert_int_equal(status_of_n(raw, strlen(raw), &r), 0);
    assert_true(r.content_length == 7 && r.expect_continue);
    raw = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n";
    assert_int_equal(status_of_n(raw, strlen(raw), &r), 0);
    assert_true(r.chunked);
    assert_int_equal(status_of("GET / HTTP/1.0\r\n\r\n"), 0);
}

typedef struct Row { int status; const char *raw; } Row;

static void refused(void **state)
{
    (void) state;
    static const Row rows[] = {
        { 400, "GET / HTTP/1.1\r\n\r\n" }, { 400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n" }, { 400, "GET / HTTP/1.1\r\nHost: \r\n\r\n" },
        { 400, "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n" }, { 400, "GET / HTTP/1.1\nHost: a\r\n\r\n" }, { 400, "GET / HTTP/1.1\r\nHost: a\r\n\n" },
        { 400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n" }, { 400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n" },
        { 400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n" }, { 400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n" }, { 400, "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n" },
        { 400, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n" },
        { 400, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n" },
        { 400, "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n" }, { 400, "PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" },
        { 400, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 \r\n\r\n" }, { 400, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n" },
        { 400, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000000000\r\n\r\n" }, { 400, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n" },
        { 400, "GET / HTTP/1.1\r\nHost: a\r\nX-Auth-Token: a\r\nx-auth-token: b\r\n\r\n" }, { 400, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n" },
        { 417, "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n" }, { 505, "GET / HTTP/1.2\r\nHost: a\r\n\r\n" }, { 505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n" },
        { 405, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n" }, { 501, "get / HTTP/1.1\r\nHost: a\r\n\r\n" }, { 501, "GETT / HTTP/1.1\r\nHost: a\r\n\r\n" },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        int status = status_of(rows[i].raw);
        if (status != rows[i].status)
            fail_msg("%d for %s", status, rows[i].raw);
    }
}

static void hidden_nul(void **state)
{
    (void) state;
    static const struct { const char *raw; size_t n; } rows[] = {
#define RAW(text) { text, sizeof text - 1 }
        RAW("GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n"), RAW("GET /a\0 HTTP/1.1\r\nHost: a\r\n\r\n"), RAW("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n"),
        RAW("GET / HTTP/1.1\r\nHost: a\0\0X: y\r\n\r\n"), RAW("GET / HTTP/1.1\r\nHost: a\0\r\n\r\n"),
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        if (status_of_n(rows[i].raw, rows[i].n, NULL) == 0)
            fail_msg("accepted row %u", i);
}

/* A value the library joined from two lines stands somewhere else. */
static void moved_header(void **state)
{
    (void) state;
    static const char elsewhere[] = "X\0value";
    const char *raw = "GET / HTTP/1.1\r\nHost: a\r\nX: value\r\nY: 1\r\n\r\n", *why;
    GateHead h;
    GateResult r;
    assert_true(lenient(raw, strlen(raw), &h));
    assert_int_equal(gate_check(&h, &r, &why), 0);
    h.headers[1] = (GateHeader){ elsewhere, elsewhere + 2 };
    assert_int_equal(gate_check(&h, &r, &why), 400);
}

static void too_many(void **state)
{
    (void) state;
    for (int n = 62; n <= 66; n++) {
        g_autoptr(GString) s = g_string_new("GET / HTTP/1.1\r\nHost: a\r\n");
        for (int i = 0; i < n; i++)
            g_string_append_printf(s, "X%d: 1\r\n", i);
        g_string_append(s, "\r\n");
        assert_int_equal(status_of(s->str), n + 1 <= GATE_HEADERS_MAX ? 0 : 431);
    }
    g_autofree char *long_value = g_strnfill(17000, 'a');
    g_autofree char *raw = g_strdup_printf("GET / HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n", long_value);
    assert_int_equal(status_of(raw), 431);
}

static void hosts(void **state)
{
    (void) state;
    static const char *const yes[] = { "a", "a.b-c_d", "1.2.3.4:1", "[::1]", "[fe80::1]:65535", "A:80" };
    static const char *const no[] = { "", "a:", "a:0", "a:65536", "a:b", "a b", "a/", "a@b", "[::1", "[]", "[::1]x", "[a.b]g", "a,b", "a\"", "<a>", "\xc3\xa9", "a:-1", "a: 1" };
    for (guint i = 0; i < G_N_ELEMENTS(yes); i++)
        assert_true(gate_host(yes[i]));
    for (guint i = 0; i < G_N_ELEMENTS(no); i++)
        if (gate_host(no[i]))
            fail_msg("accepted %s", no[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),         cmocka_unit_test(refused),  cmocka_unit_test(hidden_nul),
        cmocka_unit_test(moved_header), cmocka_unit_test(too_many), cmocka_unit_test(hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
