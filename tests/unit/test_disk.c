/* tests/unit/test_disk.c -- the agent's disk verbs on real files: overlays that qemu-img agrees with, a cache that cannot be fooled. */
#include "core/conf.h"
#include "core/error.h"
#include "storage/agent/agent.h"
#include "storage/agent/disk.h"
#include <fcntl.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define IMAGE "11111111-2222-4333-8444-555555555555"
#define SERVER "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
#define OTHER "aaaaaaaa-bbbb-4ccc-8ddd-ffffffffffff"
static char *state;

static char *at(const char *name)
{
    return g_build_filename(state, name, NULL);
}

static bool present(const char *name)
{
    g_autofree char *path = at(name);
    return !access(path, F_OK);
}

static json_t *ask(const char *verb, json_t *args, GError **err)
{
    g_autoptr(json_t) own = args;
    for (const Verb *v = storage_verbs; v->name; v++)
        if (!strcmp(v->name, verb))
            return v->run(own, err);
    fail_msg("no verb %s", verb);
    return NULL;
}

static void must(const char *verb, json_t *args)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(json_t) answer = ask(verb, args, &err);
    if (!answer)
        fail_msg("%s: %s", verb, err->message);
}

static void must_not(NvErr code, const char *verb, json_t *args)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(json_t) answer = ask(verb, args, &err);
    assert_null(answer);
    if (nv_error_code(err) != code)
        fail_msg("%s: wrong error: %s", verb, err->message);
}

/* Output of a command, or a failed test. */
static char *run(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
static char *run(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    g_autofree char *line = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    char *out = NULL;
    g_autofree char *errors = NULL;
    int status;
    assert_true(g_spawn_command_line_sync(line, &out, &errors, &status, NULL));
    if (status)
        fail_msg("%s: %s", line, errors);
    return out;
}

static void put_image(const char *bytes, gsize n)
{
    g_autofree char *dir = at("images"), *path = at("images/" IMAGE);
    g_mkdir_with_parents(dir, 0755);
    assert_true(g_file_set_contents(path, bytes, (gssize) n, NULL));
}

static json_t *image_of(const char *format, gint64 virtual_size)
{
    g_autofree char *path = at("images/" IMAGE), *bytes = NULL;
    gsize n;
    assert_true(g_file_get_contents(path, &bytes, &n, NULL));
    guint8 sum[crypto_hash_sha512_BYTES];
    char hex[129];
    crypto_hash_sha512(sum, (guint8 *) bytes, n);
    sodium_bin2hex(hex, sizeof hex, sum, sizeof sum);
    return json_make("sssii", "id", IMAGE, "sha512", hex, "format", format, "size", (gint64) n, "virtual_size", virtual_size);
}

static json_t *ensure_args(const char *id, json_t *image, gint64 gib)
{
    return json_make("soi", "id", id, "image", image, "size_gb", gib);
}

static char *raw_bytes(gsize n)
{
    char *bytes = g_malloc0(n);
    memset(bytes, 'x', 100000);
    memset(bytes + n - 1000, 'y', 1000);
    return bytes;
}

static int setup(void **s)
{
    (void) s;
    state = g_dir_make_tmp("nuvolet-disk-XXXXXX", NULL);
    return conf_override("paths.state", state, NULL) && conf_override("compute.qemu_user", "", NULL) && sodium_init() >= 0 ? 0 : -1;
}

static int teardown(void **s)
{
    (void) s;
    g_autofree char *out = run("rm -rf %s", state);
    g_clear_pointer(&state, g_free);
    return 0;
}

/* The native writer's files are what qemu-img itself would have made: it finds no fault, and reads the same back. */
static void test_overlay_is_what_qemu_expects(void **s)
{
    (void) s;
    g_autofree char *bytes = raw_bytes(3 << 20);
    put_image(bytes, 3 << 20);
    static const gint64 sizes[] = { 0, 1, 3, 513, 5000, 65536 };
    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
        must("disk.ensure", ensure_args(SERVER, image_of("raw", 3 << 20), sizes[i]));
        g_autofree char *check = run("qemu-img check %s/instances/" SERVER "/disk.qcow2", state);
        g_autofree char *info = run("qemu-img info --output=json --backing-chain %s/instances/" SERVER "/disk.qcow2", state);
        assert_non_null(strstr(check, "No errors were found"));
        g_autoptr(json_t) chain = json_parse_trusted(info);
        const json_t *top = json_array_get(chain, 0), *base = json_array_get(chain, 1);
        assert_string_equal(json_get_str(top, "format"), "qcow2");
        assert_int_equal(json_get_int(top, "virtual-size", 0), sizes[i] ? sizes[i] << 30 : 3 << 20);
        assert_string_equal(json_get_str(top, "backing-filename-format"), "raw");
        assert_string_equal(json_get_str(base, "format"), "raw");
        g_autofree char *backing = at("base/" IMAGE);
        assert_string_equal(json_get_str(top, "full-backing-filename"), backing);
        must("disk.absent", json_make("s", "id", SERVER));
        assert_false(present("instances/" SERVER));
    }
}

static void test_overlay_reads_and_writes_through(void **s)
{
    (void) s;
    g_autofree char *bytes = raw_bytes(3 << 20);
    put_image(bytes, 3 << 20);
    must("disk.ensure", ensure_args(SERVER, image_of("raw", 3 << 20), 1));
    g_autofree char *disk = at("instances/" SERVER "/disk.qcow2"), *base = at("base/" IMAGE), *image = at("images/" IMAGE);
    g_autofree char *same = run("qemu-img compare -f raw -F qcow2 %s %s", image, disk);
    g_autofree char *wrote = run("qemu-io -f qcow2 -c 'read -P 0x78 0 65536' -c 'write -P 7 0 1M' -c 'write -P 8 900M 64k' -c 'read -P 8 900M 64k' %s", disk);
    assert_null(strstr(wrote, "failed"));
    g_autofree char *check = run("qemu-img check %s", disk), *equal = run("cmp %s %s", base, image);
    assert_non_null(strstr(check, "No errors"));
    /* After use by QEMU the disk is still recognised, and left alone. */
    must("disk.ensure", ensure_args(SERVER, image_of("raw", 3 << 20), 1));
    g_autofree char *again = run("qemu-io -f qcow2 -c 'read -P 8 900M 64k' %s", disk);
    assert_null(strstr(again, "failed"));
    /* QEMU rewrites the header when it changes it: still ours. */
    g_autofree char *amended = run("qemu-img amend -f qcow2 -o lazy_refcounts=on %s", disk);
    must("disk.ensure", ensure_args(SERVER, image_of("raw", 3 << 20), 1));
}

static void test_blank(void **s)
{
    (void) s;
    must("disk.ensure", ensure_args(SERVER, NULL, 7));
    must("disk.ensure", ensure_args(SERVER, NULL, 7));
    g_autofree char *check = run("qemu-img check %s/instances/" SERVER "/disk.qcow2", state);
    assert_non_null(strstr(check, "No errors"));
    must_not(NV_ERR_INVALID, "disk.ensure", ensure_args(OTHER, NULL, 0));
    must_not(NV_ERR_INVALID, "disk.ensure", ensure_args(OTHER, NULL, 1 << 20));
    must_not(NV_ERR_HOST_FAULT, "disk.ensure", ensure_args(SERVER, NULL, 8));     /* never replaced by another */
}

static void test_base_is_verified(void **s)
{
    (void) s;
    g_autofree char *bytes = raw_bytes(1 << 20);
    put_image(bytes, 1 << 20);
    json_t *image = image_of("raw", 1 << 20);
    bytes[5]++;
    put_image(bytes, 1 << 20);
    must_not(NV_ERR_HOST_FAULT, "disk.ensure", ensure_args(SERVER, json_incref(image), 1));
    put_image(bytes, 1 << 19);
    must_not(NV_ERR_HOST_FAULT, "disk.ensure", ensure_args(SERVER, image, 1));
    assert_false(present("base/" IMAGE));
    assert_false(present("base/" IMAGE ".part"));
    assert_false(present("instances/" SERVER "/disk.qcow2"));
}

static void test_partials_go(void **s)
{
    (void) s;
    g_autofree char *bytes = raw_bytes(1 << 20);
    put_image(bytes, 1 << 20);
    must("disk.ensure", ensure_args(OTHER, NULL, 1));
    g_autofree char *base_part = at("base/" IMAGE ".part"), *disk_part = at("instances/" OTHER "/disk.qcow2.part"), *base = at("base");
    g_mkdir_with_parents(base, 0711);
    assert_true(g_file_set_contents(base_part, "half", 4, NULL) && g_file_set_contents(disk_part, "half", 4, NULL));
    g_autoptr(json_t) listed = ask("disk.list", json_object(), NULL);
    assert_int_equal(json_array_size(json_object_get(listed, "partials")), 2);
    assert_true(storage_agent_start(NULL));
    assert_false(present("base/" IMAGE ".part") || present("instances/" OTHER "/disk.qcow2.part"));
    assert_true(present("instances/" OTHER "/disk.qcow2"));
    /* A partial that appears later is swept by ensure and by absent. */
    assert_true(g_file_set_contents(base_part, "half", 4, NULL) && g_file_set_contents(disk_part, "half", 4, NULL));
    must("disk.ensure", ensure_args(SERVER, image_of("raw", 1 << 20), 1));
    must("disk.absent", json_make("s", "id", OTHER));
    must("disk.absent", json_make("s", "id", OTHER));
    assert_false(present("base/" IMAGE ".part") || present("instances/" OTHER));
}

static void test_base_absent(void **s)
{
    (void) s;
    g_autofree char *bytes = raw_bytes(1 << 20);
    put_image(bytes, 1 << 20);
    must("disk.ensure", ensure_args(SERVER, image_of("raw", 1 << 20), 1));
    must_not(NV_ERR_CONFLICT, "base.absent", json_make("s", "image_id", IMAGE));
    g_autoptr(json_t) listed = ask("disk.list", json_object(), NULL);
    assert_string_equal(json_string_value(json_array_get(json_object_get(listed, "bases"), 0)), IMAGE);
    assert_string_equal(json_string_value(json_array_get(json_object_get(listed, "disks"), 0)), SERVER);
    must("disk.absent", json_make("s", "id", SERVER));
    must("base.absent", json_make("s", "image_id", IMAGE));
    must("base.absent", json_make("s", "image_id", IMAGE));
    assert_false(present("base/" IMAGE));
}

/* Hardening IMG-26: links in the place of files or folders are not followed. */
static void test_links_are_refused(void **s)
{
    (void) s;
    g_autofree char *bytes = raw_bytes(1 << 20), *image = at("images/" IMAGE), *elsewhere = at("elsewhere"), *base = at("base"),
                    *dir = at("instances"), *part = at("base/" IMAGE ".part"), *copy = at("base/" IMAGE);
    put_image(bytes, 1 << 20);
    json_t *args = ensure_args(SERVER, image_of("raw", 1 << 20), 1);
    assert_false(rename(image, elsewhere) || symlink(elsewhere, image));
    must_not(NV_ERR_HOST_FAULT, "disk.ensure", json_deep_copy(args));
    assert_false(unlink(image) || link(elsewhere, image));
    must_not(NV_ERR_HOST_FAULT, "disk.ensure", json_deep_copy(args));
    assert_false(unlink(image) || mkfifo(image, 0600));
    must_not(NV_ERR_HOST_FAULT, "disk.ensure", json_deep_copy(args));
    assert_false(unlink(image) || rename(elsewhere, image));
    /* a link at the partial's name is removed, not written through */
    assert_true(g_file_set_contents(elsewhere, "precious", 8, NULL) && !symlink(elsewhere, part));
    must("disk.ensure", json_deep_copy(args));
    g_autofree char *still = NULL;
    assert_true(g_file_get_contents(elsewhere, &still, NULL, NULL));
    assert_string_equal(still, "precious");
    must("disk.absent", json_make("s", "id", SERVER));
    assert_false(unlink(copy) || symlink(elsewhere, copy));
    must_not(NV_ERR_HOST_FAULT, "disk.ensure", json_deep_copy(args));
    assert_false(unlink(copy));
    /* a store that was swapped for a link, or opened to others */
    g_autofree char *moved = at("moved");
    assert_false(rename(dir, moved) || symlink(moved, dir));
    must_not(NV_ERR_HOST_FAULT, "disk.ensure", json_deep_copy(args));
    assert_false(unlink(dir) || rename(moved, dir) || chmod(base, 0777));
    must_not(NV_ERR_HOST_FAULT, "disk.ensure", args);
}

static void *ensure_in_thread(void *id)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(json_t) answer = ask("disk.ensure", ensure_args(id, image_of("raw", 8 << 20), 1), &err);
    return GINT_TO_POINTER(answer ? 1 : 0);
}

static void test_one_copy_for_many(void **s)
{
    (void) s;
    g_autofree char *bytes = raw_bytes(8 << 20);
    put_image(bytes, 8 << 20);
    GThread *threads[16];
    char ids[16][37];
    for (int i = 0; i < 16; i++) {
        g_snprintf(ids[i], sizeof ids[i], "aaaaaaaa-bbbb-4ccc-8ddd-%012d", i);
        threads[i] = g_thread_new("ensure", ensure_in_thread, ids[i]);
    }
    for (int i = 0; i < 16; i++)
        assert_int_equal(GPOINTER_TO_INT(g_thread_join(threads[i])), 1);
    assert_false(base_is_busy(IMAGE));
    g_autoptr(json_t) listed = ask("disk.list", json_object(), NULL);
    assert_int_equal(json_array_size(json_object_get(listed, "disks")), 16);
    assert_int_equal(json_array_size(json_object_get(listed, "partials")), 0);
}

static void test_bad_arguments(void **s)
{
    (void) s;
    g_autofree char *bytes = raw_bytes(1 << 20);
    put_image(bytes, 1 << 20);
    static const struct { const char *key; const char *value; } bad[] = {
        { "id", "\"../../etc/passwd\"" }, { "id", "null" }, { "sha512", "\"abc\"" }, { "format", "\"vmdk\"" }, { "format", "\"qcow2,x=y\"" },
        { "size", "-1" }, { "virtual_size", "0" },
    };
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        json_t *image = image_of("raw", 1 << 20), *value = json_parse_trusted(bad[i].value);
        json_object_set_new(image, bad[i].key, value);
        must_not(NV_ERR_INVALID, "disk.ensure", ensure_args(SERVER, image, 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_overlay_is_what_qemu_expects, setup, teardown),
        cmocka_unit_test_setup_teardown(test_overlay_reads_and_writes_through, setup, teardown),
        cmocka_unit_test_setup_teardown(test_blank, setup, teardown),
        cmocka_unit_test_setup_teardown(test_base_is_verified, setup, teardown),
        cmocka_unit_test_setup_teardown(test_partials_go, setup, teardown),
        cmocka_unit_test_setup_teardown(test_base_absent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_links_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_copy_for_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_arguments, setup, teardown),
    };
    return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
