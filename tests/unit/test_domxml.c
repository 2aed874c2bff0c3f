/* tests/unit/test_domxml.c -- domain XML: golden files, hostile text, limits, what must never appear.
 * NUVOLET_GOLDEN=write rewrites tests/golden/domxml/NAME.xml from NAME.json; a person reviews the difference. */
#include "compute/agent/domxml.h"
#include "core/error.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>
#include "tests/lib/golden.h"

#define GOLDEN "tests/golden/domxml"

static json_t *load(const char *name)
{
    g_autofree char *path = g_strdup_printf(GOLDEN "/%s.json", name);
    json_error_t why;
    json_t *input = json_load_file(path, 0, &why);
    if (!input)
        fail_msg("%s: %s", path, why.text);
    return input;
}

static char *render(const json_t *input, GError **err)
{
    const DomHost host = { .virt_type = json_get_str(input, "virt_type"), .dir = "/var/lib/nuvolet/instances/5f2c1e9a-7d3b-4c8e-9a61-0b2d4f6e8a10",
                           .plain_frames = json_get_bool(input, "plain_frames", false) };
    return domxml_render(json_get_str(input, "id"), json_object_get(input, "spec"), &host, NULL, err);
}

static void golden_files(void **state)
{
    (void) state;
    assert_true(golden_each(GOLDEN, ".xml", render) >= 8);
}

/* Element names in order, "<" and ">" around them: the tree without any text. */
static void on_start(GMarkupParseContext *c, const char *element, const char **names, const char **values, gpointer tree, GError **err)
{
    (void) c;
    (void) values;
    (void) err;
    g_string_append_printf(tree, "<%s", element);
    for (; *names; names++)
        g_string_append_printf(tree, " %s", *names);
}

static void on_end(GMarkupParseContext *c, const char *element, gpointer tree, GError **err)
{
    (void) c;
    (void) element;
    (void) err;
    g_string_append_c(tree, '>');
}

static char *tree_of(const char *xml)
{
    const GMarkupParser parser = { .start_element = on_start, .end_element = on_end };
    GString *tree = g_string_new(NULL);
    g_autoptr(GError) err = NULL;
    g_autoptr(GMarkupParseContext) context = g_markup_parse_context_new(&parser, 0, tree, NULL);
    if (!g_markup_parse_context_parse(context, xml, -1, &err) || !g_markup_parse_context_end_parse(context, &err))
        fail_msg("not well-formed: %s", err->message);
    return g_string_free(tree, FALSE);
}

/* Text from tenants changes no element and no attribute (INJ-01, INJ-02). */
static void hostile_text_adds_nothing(void **state)
{
    (void) state;
    g_autoptr(json_t) plain = load("plain");
    g_autoptr(json_t) hostile = load("hostile");
    g_autofree char *a = render(plain, NULL), *b = render(hostile, NULL), *tree_a = tree_of(a), *tree_b = tree_of(b);
    assert_string_equal(tree_a, tree_b);
    assert_null(strstr(b, "<!"));
    assert_null(strstr(b, "]]>"));
}

static void text_from_tenants_stays_out_of_attributes(void **state)
{
    (void) state;
    static const char *const members[] = { "disk_bus", "disk_format", "machine" };
    static const char *const properties[] = { "hw_disk_bus", "hw_cdrom_bus", "hw_vif_model", "hw_video_model", "hw_firmware_type",
                                              "hw_qemu_guest_agent", "hw_pointer_model", "hw_rng_model", "hw_machine_type" };
    for (size_t i = 0; i < G_N_ELEMENTS(members) + G_N_ELEMENTS(properties); i++) {
        g_autoptr(json_t) input = load("plain");
        json_t *spec = json_object_get(input, "spec");
        bool member = i < G_N_ELEMENTS(members);
        json_object_set_new(member ? spec : json_object_get(spec, "properties"), member ? members[i] : properties[i - G_N_ELEMENTS(members)],
                            json_string("x'/><filesystem"));
        g_autoptr(GError) err = NULL;
        assert_null(render(input, &err));
        assert_int_equal(nv_error_code(err), NV_ERR_INVALID);
    }
}

/* What would give a guest the host (INJ-05). */
static void forbidden_constructs(void **state)
{
    (void) state;
    static const char *const forbidden[] = { "qemu:", "seclabel", "source dev=", "listen=", "<filesystem", "<hostdev", "type='tcp'", "address='0.0.0.0'", "autoport" };
    g_autoptr(GDir) dir = g_dir_open(GOLDEN, 0, NULL);
    const char *file;
    while ((file = g_dir_read_name(dir))) {
        if (!g_str_has_suffix(file, ".xml") || strstr(file, "hostile"))
            continue;
        g_autofree char *path = g_build_filename(GOLDEN, file, NULL), *xml = NULL;
        assert_true(g_file_get_contents(path, &xml, NULL, NULL));
        for (size_t i = 0; i < G_N_ELEMENTS(forbidden); i++)
            assert_null(strstr(xml, forbidden[i]));
    }
}

static void expect_refused(const char *member, json_t *value)
{
    g_autoptr(json_t) input = load("plain");
    g_autoptr(GError) err = NULL;
    json_object_set_new(json_object_get(input, "spec"), member, value);
    assert_null(render(input, &err));
    assert_int_equal(nv_error_code(err), NV_ERR_INVALID);
}

static void limits(void **state)
{
    (void) state;
    json_t *nics = json_array();
    for (int i = 0; i < DOMXML_NICS_MAX; i++)
        json_array_append_new(nics, json_pack("{ss ss si}", "port_id", "c0ffee00-1234-4abc-8def-001122334455", "mac", "fa:16:3e:0a:0b:0c", "mtu", 1500));
    g_autoptr(json_t) input = load("plain");
    json_object_set(json_object_get(input, "spec"), "nics", nics);
    g_autofree char *fits = render(input, NULL);
    assert_non_null(fits);
    json_t *one_more = json_copy(nics);
    json_array_append(one_more, json_array_get(nics, 0));
    expect_refused("nics", one_more);
    json_decref(nics);
    expect_refused("nics", json_pack("[{ss ss si}]", "port_id", "c0ffee00-1234-4abc-8def-001122334455", "mac", "fa:16:3e:0a:0b:'/", "mtu", 1500));
    expect_refused("nics", json_pack("[{ss ss si}]", "port_id", "../../dev/net/tun", "mac", "fa:16:3e:0a:0b:0c", "mtu", 1500));
    expect_refused("memory_mb", json_integer(0));
    expect_refused("memory_mb", json_integer(G_MAXINT64));
    expect_refused("vcpus", json_integer(-1));
    g_autofree char *name = g_strnfill(1 << 20, 'n');
    expect_refused("name", json_string(name));
}

/* The digest sees any difference, and only differences. */
static void digest(void **state)
{
    (void) state;
    g_autoptr(json_t) input = load("plain");
    const DomHost host = { .virt_type = "qemu", .dir = "/d" };
    g_autofree char *a = NULL, *b = NULL, *c = NULL;
    g_free(domxml_render(json_get_str(input, "id"), json_object_get(input, "spec"), &host, &a, NULL));
    g_free(domxml_render(json_get_str(input, "id"), json_object_get(input, "spec"), &host, &b, NULL));
    json_object_set_new(json_object_get(input, "spec"), "memory_mb", json_integer(129));
    g_free(domxml_render(json_get_str(input, "id"), json_object_get(input, "spec"), &host, &c, NULL));
    assert_string_equal(a, b);
    assert_string_not_equal(a, c);
}

static void names(void **state)
{
    (void) state;
    const char *id = "5f2c1e9a-7d3b-4c8e-9a61-0b2d4f6e8a10";
    g_autofree char *name = domxml_name(id);
    assert_true(domxml_is_ours(name, id));
    assert_false(domxml_is_ours(name, "5f2c1e9a-7d3b-4c8e-9a61-0b2d4f6e8a11"));
    assert_false(domxml_is_ours(id, id));
    assert_false(domxml_is_ours("vm1", id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_files), cmocka_unit_test(hostile_text_adds_nothing),
        cmocka_unit_test(text_from_tenants_stays_out_of_attributes), cmocka_unit_test(forbidden_constructs),
        cmocka_unit_test(limits), cmocka_unit_test(digest),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests_name("domxml", tests, NULL, NULL);
}
