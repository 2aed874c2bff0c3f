/* tests/unit/test_inspect.c -- the image inspector against a corpus made here: every hostile header of the hardening list (IMG-01 to 27). */
#include "core/clock.h"
#include "core/error.h"
#include "image/inspect.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

enum { SIZE = 1 << 20 };
static int fd = -1;
static guint8 image[SIZE];

static void put32(gsize at, guint32 v)
{
    v = GUINT32_TO_BE(v);
    memcpy(image + at, &v, 4);
}

static void put64(gsize at, guint64 v)
{
    v = GUINT64_TO_BE(v);
    memcpy(image + at, &v, 8);
}

/* A good version-3 file: 64 KiB clusters, 1 GiB, header of 112 bytes, no extension. */
static void good(void)
{
    memset(image, 0, SIZE);
    memcpy(image, "QFI\xfb", 4);
    put32(4, 3);
    put32(20, 16);
    put64(24, 1 << 30);
    put32(36, 2);
    put64(40, 3 << 16);
    put64(48, 1 << 16);
    put32(56, 1);
    put32(96, 4);
    put32(100, 112);
    put64(1 << 16, 2 << 16);
    for (int i = 0; i < 4; i++)
        image[(2 << 16) + 2 * i + 1] = 1;
}

static bool inspect_n(const char *declared, gsize n, Inspected *ret, char **ret_why)
{
    g_autoptr(GError) err = NULL;
    assert_int_equal(pwrite(fd, image, n, 0), n);
    assert_int_equal(ftruncate(fd, (goffset) n), 0);
    bool ok = inspect_file(fd, n, declared, ret, &err);
    assert_true(ok == !err);
    if (err)
        assert_int_equal(nv_error_code(err), NV_ERR_INVALID);
    if (ret_why)
        *ret_why = g_strdup(err ? err->message : NULL);
    return ok;
}

static bool inspect(const char *declared)
{
    Inspected found;
    return inspect_n(declared, SIZE, &found, NULL);
}

static void refused(const char *declared, const char *because)
{
    Inspected found;
    g_autofree char *why = NULL;
    if (inspect_n(declared, SIZE, &found, &why))
        fail_msg("accepted as %s although: %s", declared, because);
    if (!strstr(why, because))
        fail_msg("wrong reason: %s (expected: %s)", why, because);
}

static void test_good_ones(void **s)
{
    (void) s;
    Inspected found;
    good();
    assert_true(inspect_n("qcow2", SIZE, &found, NULL));
    assert_string_equal(found.format, "qcow2");
    assert_int_equal(found.virtual_size, 1 << 30);
    put32(100, 104);                               /* QEMU before 5.1 */
    assert_true(inspect("qcow2"));
    good();
    put32(4, 2);                                   /* compat=0.10: nothing after byte 72 */
    memset(image + 72, 0, 40);
    assert_true(inspect("qcow2"));
    good();
    put32(112, 0x6803f857);                        /* feature names: harmless */
    put32(116, 48);
    put32(120 + 48, 0);
    assert_true(inspect("qcow2"));
    good();
    put64(72, 1 << 3);                             /* zstd */
    image[104] = 1;
    assert_true(inspect("qcow2"));
    memset(image, 0, SIZE);
    assert_true(inspect_n("raw", SIZE, &found, NULL));
    assert_int_equal(found.virtual_size, SIZE);
    memset(image, 0xa5, SIZE);
    for (const char *const *f = image_disk_formats; *f; f++)
        assert_true(inspect(*f) == (strcmp(*f, "qcow2") != 0));
}

/* What qemu-img itself makes is accepted, with the size that qemu-img says. */
static void test_qemu_img_agrees(void **s)
{
    (void) s;
    static const struct { const char *options, *name; bool ok; } made[] = {
        { "compat=1.1", "plain", true }, { "compat=0.10", "old", true }, { "cluster_size=512", "small", true }, { "cluster_size=2M", "large", true },
        { "compression_type=zstd", "zstd", true }, { "lazy_refcounts=on", "lazy", true }, { "refcount_bits=64", "wide", true },
        { "preallocation=metadata", "meta", true }, { "extended_l2=on", "extended", false }, { "data_file=x.raw", "data", false },
    };
    g_autofree char *dir = g_dir_make_tmp("nuvolet-inspect-XXXXXX", NULL);
    for (guint i = 0; i < G_N_ELEMENTS(made); i++) {
        g_autofree char *line = g_strdup_printf("sh -c 'cd %s && qemu-img create -q -f qcow2 -o %s %s.qcow2 7M'", dir, made[i].options, made[i].name);
        g_autofree char *path = g_strdup_printf("%s/%s.qcow2", dir, made[i].name), *bytes = NULL;
        int status;
        gsize n;
        assert_true(g_spawn_command_line_sync(line, NULL, NULL, &status, NULL) && !status);
        assert_true(g_file_get_contents(path, &bytes, &n, NULL));
        int file = memfd_create("image", MFD_CLOEXEC);
        assert_int_equal(write(file, bytes, n), n);
        Inspected found;
        g_autoptr(GError) err = NULL;
        bool ok = inspect_file(file, n, "qcow2", &found, &err);
        close(file);
        if (ok != made[i].ok)
            fail_msg("%s: %s", made[i].options, err ? err->message : "accepted");
        if (ok)
            assert_int_equal(found.virtual_size, 7 << 20);
    }
    g_autofree char *rm = g_strdup_printf("rm -rf %s", dir);
    assert_true(g_spawn_command_line_sync(rm, NULL, NULL, NULL, NULL));
}

/* IMG-01, 02: any backing file, whatever its name says. */
static void test_backing_file(void **s)
{
    (void) s;
    static const char *const names[] = { "/etc/shadow", "json:{\"driver\":\"nbd\",\"host\":\"127.0.0.1\"}", "nbd://127.0.0.1:10809",
                                         "http://169.254.169.254/", "fat:/etc", "/dev/vda", "../../x", "a" };
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        good();
        put64(8, 120);
        put32(16, (guint32) strlen(names[i]));
        memcpy(image + 120, names[i], strlen(names[i]));
        refused("qcow2", "backing file");
        put32(16, 0);
        refused("qcow2", "backing file");
    }
    good();
    put32(16, 5);
    refused("qcow2", "backing file");
    good();
    put32(112, 0xE2792ACA);
    put32(116, 3);
    memcpy(image + 120, "raw", 3);
    refused("qcow2", "backing file");
}

/* IMG-03, 04 */
static void test_data_file(void **s)
{
    (void) s;
    static const char *const names[] = { "/path/canary", "json:{\"driver\":\"file\",\"filename\":\"/etc/shadow\"}" };
    for (guint i = 0; i < 2; i++) {
        good();
        put32(112, 0x44415441);
        put32(116, (guint32) strlen(names[i]));
        memcpy(image + 120, names[i], strlen(names[i]));
        refused("qcow2", "another file");          /* even without the feature bit */
        put64(72, 1 << 2);
        refused("qcow2", "another file");
    }
}

/* IMG-06: every bit but the compression type. */
static void test_features(void **s)
{
    (void) s;
    for (int bit = 0; bit < 64; bit++) {
        good();
        put64(72, 1ull << bit);
        image[104] = 1;
        if (inspect("qcow2") != (bit == 3))
            fail_msg("incompatible feature bit %d", bit);
    }
}

typedef struct Abuse { int at, bytes; guint64 value; } Abuse;

/* IMG-07, 13, 14: one field of a good header replaced. */
static void test_header_abuse(void **s)
{
    (void) s;
    static const Abuse abuses[] = {
        { 4, 4, 0 }, { 4, 4, 1 }, { 4, 4, 4 }, { 4, 4, 0xffffffff },
        { 20, 4, 0 }, { 20, 4, 8 }, { 20, 4, 22 }, { 20, 4, 63 }, { 20, 4, 64 }, { 20, 4, 0xffffffff },
        { 24, 8, 0 }, { 24, 8, 1ull << 63 }, { 24, 8, ~0ull }, { 24, 8, G_MAXINT64 }, { 24, 8, 60ull << 40 },
        { 32, 4, 1 }, { 32, 4, 2 }, { 32, 4, 77 },
        { 36, 4, 0 }, { 36, 4, 1 }, { 36, 4, 0xffffffff }, { 36, 4, 1 << 28 }, { 36, 4, 0x1ffff },
        { 40, 8, 0 }, { 40, 8, 1 }, { 40, 8, 3 << 16 | 8 }, { 40, 8, 1 << 20 }, { 40, 8, ~0ull }, { 40, 8, ~0ull << 16 },
        { 48, 8, 0 }, { 48, 8, 3 }, { 48, 8, 1 << 20 }, { 48, 8, ~0ull << 16 },
        { 56, 4, 0 }, { 56, 4, 17 }, { 56, 4, 0xffffffff },
        { 60, 4, 65537 }, { 60, 4, 0xffffffff }, { 60, 4, 1 },
        { 96, 4, 7 }, { 96, 4, 0xffffffff },
        { 100, 4, 0 }, { 100, 4, 72 }, { 100, 4, 103 }, { 100, 4, 113 }, { 100, 4, 1 << 17 }, { 100, 4, 1u << 31 }, { 100, 4, 0xfffffff8 },
        { 104, 1, 1 }, { 104, 1, 2 }, { 104, 1, 255 },
        { 112, 8, 1ull << 32 | 0xffffffff }, { 112, 8, 1ull << 32 | 65536 }, { 112, 8, 1ull << 32 | 0xfffffff9 },
        { 112, 8, 0x0537be77ull << 32 | 16 },
        { 8, 8, 1 << 21 }, { 16, 4, 0xffffffff },
    };
    for (guint i = 0; i < G_N_ELEMENTS(abuses); i++) {
        const Abuse *a = &abuses[i];
        good();
        if (a->bytes == 1)
            image[a->at] = (guint8) a->value;
        else if (a->bytes == 4)
            put32((gsize) a->at, (guint32) a->value);
        else
            put64((gsize) a->at, a->value);
        gint64 before = clock_mono_us();
        if (inspect("qcow2"))
            fail_msg("accepted: %d bytes at %d = 0x%llx", a->bytes, a->at, (unsigned long long) a->value);
        assert_true(clock_mono_us() - before < 100000);
    }
    /* more extensions than anybody has */
    good();
    for (gsize at = 112; at < 65536 - 8; at += 8)
        put32(at, 0x12345678);
    refused("qcow2", "extensions");
}

/* A header of each kind of image. */
static void body_of(const char *kind)
{
    memset(image, 0, SIZE);
    if (!strcmp(kind, "qcow2"))
        good();
    else if (!strcmp(kind, "vmdk")) {
        memcpy(image, "KDMV\1\0\0\0", 8);
        image[13] = 8;
    } else if (!strcmp(kind, "vhd")) {
        memcpy(image, "conectix", 8);
        image[53] = 2;
    } else if (!strcmp(kind, "vhd-fixed"))
        memcpy(image + SIZE - 512, "conectix", 8);
    else if (!strcmp(kind, "vhdx"))
        memcpy(image, "vhdxfile", 8);
    else if (!strcmp(kind, "vdi"))
        memcpy(image + 0x40, "\x7f\x10\xda\xbe", 4);
    else if (!strcmp(kind, "qed"))
        memcpy(image, "QED\0", 4);
    else if (!strcmp(kind, "iso"))
        memcpy(image + 0x8001, "CD001", 5);
    else if (!strcmp(kind, "luks"))
        memcpy(image, "LUKS\xba\xbe", 6);
    else if (!strcmp(kind, "ploop"))
        memcpy(image, "WithouFreSpacExt", 16);
    else if (!strcmp(kind, "gpt")) {
        memcpy(image + 510, "\x55\xaa", 2);
        memcpy(image + 512, "EFI PART", 8);
        image[446 + 4] = 0xee;
    } else
        fail_msg("no %s", kind);
}

/* IMG-08, 09: every kind of body under every declared name. */
static void test_every_pair(void **s)
{
    (void) s;
    static const char *const kinds[] = { "qcow2", "vmdk", "vhd", "vhd-fixed", "vhdx", "vdi", "qed", "iso", "luks", "ploop", "gpt" };
    for (guint k = 0; k < G_N_ELEMENTS(kinds); k++)
        for (const char *const *f = image_disk_formats; *f; f++) {
            bool same = g_str_has_prefix(kinds[k], *f) && (strcmp(kinds[k], "vhdx") || strcmp(*f, "vhd"));
            body_of(kinds[k]);
            bool fits = same || (!strcmp(kinds[k], "gpt") && strcmp(*f, "qcow2"));
            if (inspect(*f) != fits)
                fail_msg("%s declared as %s: %s", kinds[k], *f, fits ? "refused" : "accepted");
        }
    memset(image, ' ', SIZE);
    memcpy(image, "# Disk DescriptorFile\nversion=1\nRW 1 FLAT \"/etc/shadow\" 0\n", 58);
    refused("vmdk", "other files");
    refused("raw", "other files");
    assert_false(inspect("floppy"));
}

/* IMG-12 */
static void test_polyglots(void **s)
{
    (void) s;
    good();
    memcpy(image + 0x8001, "CD001", 5);
    refused("qcow2", "multiple formats");
    refused("iso", "multiple formats");
    body_of("vdi");
    memcpy(image, "KDMV", 4);
    refused("vmdk", "multiple formats");
    body_of("gpt");
    image[446 + 16 + 4] = 0x83;                    /* a partition beside the protective one */
    refused("raw", "multiple formats");
    body_of("gpt");
    image[446 + 4] = 0x83;                         /* a GPT that the MBR does not know of */
    refused("raw", "multiple formats");
    body_of("gpt");
    memset(image + 512, 0, 8);                     /* an MBR that protects nothing */
    refused("raw", "multiple formats");
    body_of("gpt");
    memset(image + 510, 0, 2);
    refused("raw", "multiple formats");
    body_of("iso");                                /* hybrid ISOs are what installers ship */
    memcpy(image + 510, "\x55\xaa", 2);
    image[446] = 0x80;
    image[446 + 4] = 0x17;
    assert_true(inspect("iso"));
}

/* IMG-27: cut anywhere. */
static void test_truncated(void **s)
{
    (void) s;
    static const char *const kinds[] = { "qcow2", "vmdk", "vhd", "vhdx", "vdi", "ploop" };
    Inspected found;
    for (guint k = 0; k < G_N_ELEMENTS(kinds); k++) {
        body_of(kinds[k]);
        for (gsize n = 0; n <= 1024; n++) {
            /* before its signature is complete a file is of no kind: only qcow2 must be recognised to be accepted */
            bool ok = inspect_n(kinds[k], n, &found, NULL);
            bool bare = strcmp(kinds[k], "qcow2") && n && n < (strcmp(kinds[k], "vdi") ? 16 : 0x44);
            if (ok && !bare)
                fail_msg("%s cut at %zu was accepted", kinds[k], n);
        }
    }
    good();
    for (gsize n = 0; n < (3 << 16) + 16; n += 509)
        assert_false(inspect_n("qcow2", n, &found, NULL));
}

/* Random damage to a good header never crashes, and what is accepted still has no reference to other files. */
static void test_random_damage(void **s)
{
    (void) s;
    srand(4711);
    for (int i = 0; i < 20000; i++) {
        good();
        for (int k = rand() % 4; k >= 0; k--)
            image[rand() % 160] = (guint8) rand();
        if (inspect("qcow2"))
            for (int at = 8; at < 20; at++)
                assert_int_equal(image[at], 0);
    }
}

static int setup(void **s)
{
    (void) s;
    fd = memfd_create("image", MFD_CLOEXEC);
    return fd < 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_ones), cmocka_unit_test(test_qemu_img_agrees), cmocka_unit_test(test_backing_file),
        cmocka_unit_test(test_data_file), cmocka_unit_test(test_features), cmocka_unit_test(test_header_abuse),
        cmocka_unit_test(test_every_pair), cmocka_unit_test(test_polyglots), cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_random_damage),
    };
    return cmocka_run_group_tests_name("inspect", tests, setup, NULL);
}
