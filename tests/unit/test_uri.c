/* tests/unit/test_uri.c -- request targets: what is refused, what is decoded to what, and that no target decodes twice. */
#include "api/uri.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static const char *parse(const char *target, Uri *uri, char **ret_text)
{
    *ret_text = g_strdup(target);
    return uri_parse(*ret_text, uri);
}

static void refused(void **state)
{
    (void) state;
    static const char *const bad[] = {
        "", "a", "*", "http://h/", "?a=1", "//", "/a//b", "/./a", "/a/.", "/a/..", "/../a", "/%2e/a", "/%2E%2e", "/.%2e", "/%2f", "/a%5C", "/a\\b",
        "/%00", "/a%0a", "/%1f", "/%7f", "/%", "/%4", "/%g0", "/%0g", "/% 1", "/\x01", "/a b", "/\xc3\xa9", "/%ff", "/%c0%af", "/%ed%a0%80", "/a;b",
        "/;", "/a#b", "/?a=%00", "/?%0d=1", "/?a=%", "/?a=\x7f", "/?a=%f5%80%80%80",
    };
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_auto(Uri) uri = { 0 };
        g_autofree char *text = NULL;
        if (!parse(bad[i], &uri, &text))
            fail_msg("accepted %s", bad[i]);
    }
}

static void decoded(void **state)
{
    (void) state;
    static const char *const good[][2] = {
        { "/", "/" }, { "/a/", "/a/" }, { "/a%20b", "/a b" }, { "/%C3%A9", "/é" }, { "/%25%32%66", "/%2f" }, { "/...", "/..." }, { "/.a/..b", "/.a/..b" },
        { "/a%3Bb", "/a;b" }, { "/a+b", "/a+b" }, { "/a?b", "/a" }, { "/%3F?", "/?" }, { "/a?x=//../..;#", NULL }, { "/~a!$&'()*,:=@", "/~a!$&'()*,:=@" },
    };
    for (guint i = 0; i < G_N_ELEMENTS(good); i++) {
        g_auto(Uri) uri = { 0 };
        g_autofree char *text = NULL;
        const char *why = parse(good[i][0], &uri, &text);
        if (!good[i][1])
            assert_non_null(why);                    /* '#' */
        else {
            assert_null(why);
            assert_string_equal(uri.path, good[i][1]);
        }
    }
}

static void query(void **state)
{
    (void) state;
    static const char *const want[] = { "a", "1", "b", "", "c", "x y/z&=", "", "v", "a", "=2" };
    g_auto(Uri) uri = { 0 };
    g_autofree char *text = NULL;
    assert_null(parse("/p?a=1&b&&c=x+y%2Fz%26%3d&=v&a==2&", &uri, &text));
    assert_int_equal(uri.n_query, 5);
    for (size_t i = 0; i < uri.n_query; i++) {
        assert_string_equal(uri.query[i].name, want[2 * i]);
        assert_string_equal(uri.query[i].value, want[2 * i + 1]);
    }
}

static void any_number_of_parameters(void **state)
{
    (void) state;
    for (guint n = 1; n <= URI_MAX / 2; n = 2 * n + 1) {
        g_autoptr(GString) s = g_string_new("/?");
        for (guint i = 0; i < n; i++)
            g_string_append(s, "k&&");
        g_auto(Uri) uri = { 0 };
        g_autofree char *text = NULL;
        assert_null(parse(s->str, &uri, &text));
        assert_int_equal(uri.n_query, n);
    }
}

/* Whatever bytes come: no crash, and what is accepted keeps the promises of uri.h. */
static void random_targets(void **state)
{
    (void) state;
    static const char alphabet[] = "//..%%2efF05cC;?&=+a\\#\x01\x80 ";
    srandom(7);
    for (int n = 0; n < 200000; n++) {
        char target[24] = "/";
        size_t len = 1 + (size_t) random() % 20;
        for (size_t i = 1; i < len; i++)
            target[i] = alphabet[(size_t) random() % (sizeof alphabet - 1)];
        target[len] = 0;
        g_auto(Uri) uri = { 0 };
        g_autofree char *text = NULL;
        if (parse(target, &uri, &text))
            continue;
        assert_true(uri.path[0] == '/' && g_utf8_validate(uri.path, -1, NULL));
        assert_null(strstr(uri.path, "//"));
        assert_null(strstr(uri.path, "/./"));
        assert_null(strstr(uri.path, "/../"));
        assert_false(g_str_has_suffix(uri.path, "/.") || g_str_has_suffix(uri.path, "/.."));
        for (const char *p = uri.path; *p; p++)
            assert_true((guchar) *p >= 0x20 && *p != 0x7f && *p != '\\');
        size_t slashes = 0, raw = 0;
        for (const char *p = uri.path; *p; p++)
            slashes += *p == '/';
        for (const char *p = target; *p && *p != '?'; p++)
            raw += *p == '/';
        assert_int_equal(slashes, raw);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused), cmocka_unit_test(decoded), cmocka_unit_test(query), cmocka_unit_test(any_number_of_parameters), cmocka_unit_test(random_targets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
