/* tests/unit/test_core.c -- the vocabulary: errors, log lines, times, ids, JSON in and out, configuration, validators, files. */
#include "core/clock.h"
#include "core/conf.h"
#include "core/dialect.h"
#include "core/file.h"
#include "core/id.h"
#include "core/json.h"
#include "core/log.h"
#include "core/physnet.h"
#include "core/row.h"
#include "core/wire.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void errors_have_names_and_permanence(void **state)
{
    (void) state;
    for (int i = 0; i < NV_ERR_LAST; i++)
        assert_int_equal(nv_error_from_name(nv_error_name((NvErr) i)), i);
    assert_int_equal(nv_error_from_name("no such"), NV_ERR_INTERNAL);
    g_autoptr(GError) away = NULL, bad = NULL;
    assert_false(nv_fail(&away, NV_ERR_AGENT, "away %d", 1));
    assert_false(nv_fail(&bad, NV_ERR_INVALID, "bad"));
    assert_true(nv_error_is_transient(away));
    assert_false(nv_error_is_transient(bad));
    assert_string_equal(away->message, "away 1");
}

/* What one log call writes. */
static char *logged(const char *value)
{
    int keep = dup(STDERR_FILENO), ends[2];
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    log_error("test", "v", value, NULL);
    dup2(keep, STDERR_FILENO);
    close(keep);
    close(ends[1]);
    char buf[8192];
    ssize_t n = read(ends[0], buf, sizeof buf - 1);
    close(ends[0]);
    return g_strndup(buf, n > 0 ? (gsize) n : 0);
}

static void a_value_cannot_forge_a_line(void **state)
{
    (void) state;
    g_autofree char *forged = logged("x\nt=2020 level=info event=\"root\x1b[31m\x7f");
    assert_int_equal(strchr(forged, '\n') - forged, (long) strlen(forged) - 1);
    assert_null(strchr(forged, '\x1b'));
    assert_non_null(strstr(forged, "\\n"));
    g_autofree char *big = g_strnfill(100000, 'a'), *cut = logged(big);
    assert_true(strlen(cut) < 4096);
    g_autofree char *plain = logged("abc");
    assert_non_null(strstr(plain, "v=abc\n"));
}

static void times_round_trip(void **state)
{
    (void) state;
    char buf[32];
    gint64 us;
    assert_true(clock_parse("2026-01-31T12:00:00.250000Z", &us));
    clock_format(us, CLOCK_MICROS_Z, buf);
    assert_string_equal(buf, "2026-01-31T12:00:00.250000Z");
    clock_format(us, CLOCK_SECONDS_Z, buf);
    assert_string_equal(buf, "2026-01-31T12:00:00Z");
    clock_format(us, CLOCK_MICROS, buf);
    assert_string_equal(buf, "2026-01-31T12:00:00.250000");
    static const char *const bad[] = { "", "yesterday", "2026-13-01T00:00:00Z", "2026-01-31", "2026-01-31T12:00:00Z; DROP" };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
        assert_false(clock_parse(bad[i], &us));
    gint64 a = clock_wall_us(), b = clock_wall_us();
    assert_true(b >= a);
}

static void names_derive_from_ids(void **state)
{
    (void) state;
    const char *id = "01234567-89ab-4def-8123-456789abcdef";
    assert_string_equal(id_tap(id).s, "nvt0123456789ab");
    assert_string_equal(id_bridge(id).s, "nvb0123456789ab");
    assert_string_equal(id_dhcp_veth(id).s, "nvd0123456789ab");
    assert_string_equal(id_netns(id).s, "nuvolet-0123456789ab");
    assert_true(id_is_uuid(id));
    static const char *const bad[] = { "", "01234567-89AB-4def-8123-456789abcdef", "0123456789ab4def8123456789abcdef", "01234567-89ab-4def-8123-456789abcdef\n", "../x" };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
        assert_false(id_is_uuid(bad[i]));
    g_autofree char *one = id_new(), *two = id_new(), *hex = id_new_hex();
    assert_true(id_is_uuid(one) && id_is_hex_or_uuid(hex));
    assert_string_not_equal(one, two);
}

static void hostile_json_is_refused(void **state)
{
    (void) state;
    g_autofree char *deep = g_strnfill(33, '['), *very_deep = g_strnfill(1000000, '[');
    const char *bad[] = { "", "{", "{\"a\":1,\"a\":2}", "\"\\u0000\"", "{\"a\":1} x", "[1e999]", "[99999999999999999999]", "\"\\ud800\"", "\xef\xbb\xbf{}", "[NaN]", "\"\xc0\xaf\"",
                          deep, very_deep };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;
        assert_null(json_parse_strict(bad[i], strlen(bad[i]), &err));
        assert_int_equal(nv_error_code(err), NV_ERR_INVALID);
    }
    g_autofree char *open = g_strnfill(32, '['), *shut = g_strnfill(32, ']'), *limit = g_strconcat(open, shut, NULL);
    g_autoptr(json_t) fine = json_parse_strict(limit, strlen(limit), NULL);
    assert_non_null(fine);
}

static void texts_are_found_among_others(void **state)
{
    (void) state;
    g_autoptr(json_t) list = json_parse_trusted("[7, null, \"b\", \"a\", \"b\"]");
    assert_int_equal(json_index_of(list, "b"), 2);
    assert_true(json_has(list, "a"));
    assert_false(json_has(list, "c"));
    /* An item that is no text, and an absent one, are no match for the absent text. */
    assert_false(json_has(list, NULL));
    assert_true(json_index_of(NULL, "a") == G_MAXSIZE);
}

static void booleans_in_many_shapes(void **state)
{
    static const struct { const char *text; int is; } shapes[] = {          /* is -1: none */
        { "true", 1 }, { "false", 0 }, { "1", 1 }, { "0", 0 }, { "\"TRUE\"", 1 }, { "\"False\"", 0 }, { "\"1\"", 1 }, { "\"0\"", 0 },
        { "null", -1 }, { "2", -1 }, { "-1", -1 }, { "1.0", -1 }, { "\"\"", -1 }, { "\"yes\"", -1 }, { "\"true \"", -1 }, { "[true]", -1 },
    };
    (void) state;
    for (size_t i = 0; i < G_N_ELEMENTS(shapes); i++) {
        g_autoptr(json_t) v = json_parse_trusted(shapes[i].text);
        bool b = shapes[i].is != 1;                                         /* stays so where there is none */
        assert_int_equal(json_bool_lax(v, &b), shapes[i].is >= 0);
        assert_int_equal(b, shapes[i].is != 0);
    }
    static const struct { const char *text; int is; } words[] = {
        { "T", 1 }, { "true", 1 }, { "On", 1 }, { "y", 1 }, { " YES\t", 1 }, { "1", 1 }, { "f", 0 }, { "False", 0 }, { "off", 0 }, { "N", 0 },
        { "no", 0 }, { "0", 0 }, { "", -1 }, { "2", -1 }, { "ja", -1 }, { "o n", -1 }, { "null", -1 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
        g_autoptr(json_t) v = json_string(words[i].text);
        bool b = words[i].is != 1;
        assert_int_equal(json_bool_words(v, &b), words[i].is >= 0);
        assert_int_equal(b, words[i].is != 0);
    }
}

static void writer_puts_commas_and_escapes(void **state)
{
    (void) state;
    g_autoptr(GString) out = g_string_new(NULL);
    g_autoptr(json_t) tree = json_parse_trusted("{\"x\":[1,{}]}");
    JsonW w = JSONW(out);
    jw_object(&w);
    jw_kstr(&w, "a\"", "q\"\\\n\t\x01é");
    jw_key(&w, "l");
    jw_array(&w);
    jw_int(&w, -1);
    jw_object(&w);
    jw_end_object(&w);
    jw_array(&w);
    jw_end_array(&w);
    jw_bool(&w, true);
    jw_end_array(&w);
    jw_kjson(&w, "t", tree);
    jw_knull(&w, "n");
    jw_kstr(&w, "bad", "\xff\xfe");
    jw_end_object(&w);
    assert_string_equal(out->str, "{\"a\\\"\":\"q\\\"\\\\\\n\\t\\u0001é\",\"l\":[-1,{},[],true],\"t\":{\"x\":[1,{}]},\"n\":null,\"bad\":\"\xef\xbf\xbd\xef\xbf\xbd\"}");
    g_autoptr(json_t) back = json_parse_trusted(out->str);
    assert_non_null(back);
}

static void configuration_names_what_is_wrong(void **state)
{
    (void) state;
    static const struct { const char *key, *value, *needle; } bad[] = {
        { "api.port", "99999", "api.port" }, { "api.port", "x", "api.port" }, { "api.port", "", "api.port" }, { "api.nope", "1", "api.nope" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;
        assert_false(conf_override(bad[i].key, bad[i].value, &err));
        assert_non_null(strstr(err->message, bad[i].needle));
    }
    assert_int_equal(conf_int("api.port"), 8774);
    assert_true(conf_override("api.port", "1234", NULL));
    assert_int_equal(conf_int("api.port"), 1234);
    assert_true(conf_override("api.port", "8774", NULL));
}

static void shipped_file_is_the_table(void **state)
{
    (void) state;
    g_autofree char *shipped = NULL, *made = conf_render();
    if (!g_file_get_contents("etc/nuvolet.conf", &shipped, NULL, NULL))
        skip();                                  /* run from another folder than the project's */
    if (strcmp(shipped, made) != 0)
        fail_msg("etc/nuvolet.conf is not the table of core/conf.c; run: build/nuvolet ctl conf > etc/nuvolet.conf");
    g_autoptr(GError) err = NULL;
    assert_true(conf_load("etc/nuvolet.conf", &err));
}

/* Validators, each with values on both sides of its border. */
static void validators(void **state)
{
    (void) state;
    static const char *const colors[] = { "red", "green", NULL };
    static const Range one_to_nine = { 1, 9 };
    static const struct { Check *check; const void *arg; const char *good[4], *bad[7]; } all[] = {
        { check_name, NULL, { "\"\"", "\"é x\"" }, { "\"a\\nb\"", "\"a\\u007f\"" } },
        { check_name_nonempty, NULL, { "\"a\"" }, { "\"\"", "\"  \"" } },
        { check_uuid, NULL, { "\"01234567-89ab-4def-8123-456789abcdef\"" }, { "\"x\"", "\"\"", "\"01234567-89ab-4def-8123-456789abcdeg\"" } },
        { check_enum, colors, { "\"red\"" }, { "\"Red\"", "\"\"", "\"red \"" } },
        { check_range, &one_to_nine, { "1", "9" }, { "0", "10", "-1" } },
        { check_cidr, NULL, { "\"10.0.0.0/24\"", "\"fd00::/64\"", "\"10.0.0.1/24\"" }, { "\"10.0.0.0\"", "\"10.0.0.0/33\"", "\"999.0.0.0/8\"", "\"a/8\"", "\"10.0.0.0/24 \"" } },
        { check_ip, NULL, { "\"10.0.0.1\"", "\"fe80::1\"" }, { "\"10.0.0\"", "\"010.0.0.1\"", "\"fe80::1%eth0\"", "\"\"", "\" 1.2.3.4\"" } },
        { check_ip_list, NULL, { "[]", "[\"1.2.3.4\"]" }, { "{}", "[1]", "[\"x\"]" } },
        { check_mac, NULL, { "\"fa:16:3e:00:00:01\"" }, { "\"01:00:5e:00:00:01\"", "\"00:00:00:00:00:00\"", "\"fa:16:3e:00:00\"", "\"fa:16:3e:00:00:0g\"" } },
        { check_hostname, NULL, { "\"a\"", "\"a-b.example.org.\"" }, { "\"-a\"", "\"a_b\"", "\"a..b\"", "\"\"", "\"a b\"", "\"a\\nb\"" } },
        { check_string_map, NULL, { "{}", "{\"a\":\"b\"}" }, { "[]", "{\"a\":1}", "{\"\":\"b\"}", "{\"a\\n\":\"b\"}" } },
        { check_tags, NULL, { "[]", "[\"a\",\"b\"]" }, { "{}", "[\"a\",\"a\"]", "[\"\"]", "[\"a,b\"]", "[\"a/b\"]", "[1]" } },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(all); i++) {
        const Field f = { .json = "the_field", .check = all[i].check, .arg = all[i].arg };
        for (size_t k = 0; k < G_N_ELEMENTS(all[i].good) && all[i].good[k]; k++) {
            g_autoptr(json_t) v = json_parse_trusted(all[i].good[k]);
            g_autoptr(GError) err = NULL;
            if (!f.check(&f, v, &err))
                fail_msg("%zu: %s: %s", i, all[i].good[k], err->message);
        }
        for (size_t k = 0; k < G_N_ELEMENTS(all[i].bad) && all[i].bad[k]; k++) {
            g_autoptr(json_t) v = json_parse_trusted(all[i].bad[k]);
            g_autoptr(GError) err = NULL;
            if (f.check(&f, v, &err))
                fail_msg("%zu: %s was taken", i, all[i].bad[k]);
            assert_non_null(strstr(err->message, "the_field"));
            assert_int_equal(nv_error_code(err), NV_ERR_INVALID);
        }
    }
}

static void physical_networks_are_parsed(void **state)
{
    (void) state;
    static const char *const bad[] = { "lab", "lab:eth1:0-5", "lab:eth1:5-4", "lab:eth1:1-4095", "lab:eth1:1-x", ":eth1", "a b:eth1", "lab:interface-too-long", "lab:eth1:1:2",
                                       "public:eth1", "lab:nvb0", "lab:eth1:7-" };
    g_autoptr(GArray) list = physnets_parse(" lab:eth1:100-199; lab:eth1:300 ;wan:: ", NULL);
    assert_null(list);
    g_autoptr(GArray) good = physnets_parse(" lab:eth1:100-199; lab:eth1:300 ;wan: ", NULL);
    assert_non_null(good);
    assert_int_equal(good->len, 3);
    assert_int_equal(g_array_index(good, Physnet, 0).last, 199);
    assert_int_equal(g_array_index(good, Physnet, 1).first, 300);
    assert_int_equal(g_array_index(good, Physnet, 1).last, 300);
    assert_string_equal(g_array_index(good, Physnet, 2).interface, "");
    assert_ptr_equal(physnet_find(good, "lab"), good->data);
    assert_null(physnet_find(good, "none"));
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;
        assert_null(physnets_parse(bad[i], &err));
        assert_int_equal(nv_error_code(err), NV_ERR_INVALID);
    }
    assert_true(physnets_bandwidth(good, " lab:1000:500; wan:7 ;", NULL));
    assert_int_equal(g_array_index(good, Physnet, 1).egress_kbps, 1000);
    assert_int_equal(g_array_index(good, Physnet, 1).ingress_kbps, 500);
    assert_int_equal(g_array_index(good, Physnet, 2).ingress_kbps, 7);
    static const char *const wrong[] = { "lab", "lab:", "lab:0", "lab:-5", "lab:5x", "lab:5:", "lab:1:2:3", "none:5", "lab:2147483648" };
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) err = NULL;
        assert_false(physnets_bandwidth(good, wrong[i], &err));
        assert_int_equal(nv_error_code(err), NV_ERR_INVALID);
    }
}

/* A loop over a listener that stays ready must not take a whole processor. */
static void accepting_waits_for_descriptors(void **state)
{
    (void) state;
    g_autofree char *dir = g_dir_make_tmp("nuvolet-XXXXXX", NULL), *path = g_strdup_printf("%s/s", dir);
    struct rlimit usual, none;
    int listener = wire_listen(path, NULL, NULL), client = wire_connect(path, NULL);
    assert_true(listener >= 0 && client >= 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    none = (struct rlimit){ 0, usual.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    gint64 start = clock_mono_us();
    int fd = wire_accept(listener, NULL, NULL, SOCK_CLOEXEC), why = errno;
    gint64 took = clock_mono_us() - start;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
    assert_int_equal(fd, -1);
    assert_int_equal(why, EAGAIN);
    assert_true(took >= 50 * 1000);
    fd = wire_accept(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    close(fd);
    close(client);
    close(listener);
    unlink(path);
    rmdir(dir);
}

static void files_are_replaced_in_one_step(void **state)
{
    (void) state;
    g_autoptr(GError) err = NULL;
    g_autofree char *dir = g_dir_make_tmp("nuvolet-file-XXXXXX", NULL), *path = g_build_filename(dir, "f", NULL);
    g_autofree char *target = g_build_filename(dir, "other", NULL), *text = NULL;
    g_auto(Fd) fd = file_open_dir(dir, 0700, &err);
    assert_true(fd >= 0);
    assert_true(g_file_set_contents(target, "mine", -1, NULL));
    assert_int_equal(symlink(target, path), 0);
    assert_true(file_replace(fd, "f", "a longer text", 0644, &err));         /* the link goes, what it led to stays */
    /* Half of what a killed process wrote. */
    g_auto(Fd) part = file_open_part(fd, ".f.part", 0600, &err);
    assert_true(part >= 0 && file_write_at(part, "half of a very long text", 24, 0, &err));
    assert_true(file_replace(fd, "f", "new", 0644, &err));
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    assert_string_equal(text, "new");
    g_autoptr(GPtrArray) names = file_names(fd, &err);
    assert_int_equal(names->len, 2);
    assert_true(g_file_get_contents(target, (g_free(text), &text), NULL, NULL));
    assert_string_equal(text, "mine");
    assert_false(file_replace(fd, "no/f", "x", 0644, &err));
    assert_true(file_absent(fd, "f", NULL) && file_absent(fd, "other", NULL));
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_have_names_and_permanence), cmocka_unit_test(a_value_cannot_forge_a_line), cmocka_unit_test(times_round_trip),
        cmocka_unit_test(names_derive_from_ids), cmocka_unit_test(hostile_json_is_refused), cmocka_unit_test(texts_are_found_among_others),
        cmocka_unit_test(booleans_in_many_shapes), cmocka_unit_test(writer_puts_commas_and_escapes),
        cmocka_unit_test(configuration_names_what_is_wrong), cmocka_unit_test(shipped_file_is_the_table), cmocka_unit_test(validators), cmocka_unit_test(physical_networks_are_parsed),
        cmocka_unit_test(accepting_waits_for_descriptors), cmocka_unit_test(files_are_replaced_in_one_step),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
