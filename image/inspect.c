/* image/inspect.c -- recognises disk image formats by their signatures; refuses what is not what it is said to be. */
#include "image/inspect.h"
#include "core/error.h"
#include <string.h>
#include <unistd.h>

/* Only raw and qcow2 are ever opened here.  The others are stored and given back as they came; they are refused when they are
 * recognised as something else than declared.  The schema lists first what has no structure to check. */
const char *const image_disk_formats[] = { "raw", "ami", "ari", "aki", "vhd", "vhdx", "vmdk", "vdi", "iso", "ploop", "qcow2", NULL };
const char *const image_container_formats[] = { "bare", "ami", "ari", "aki", "ovf", "ova", "docker", "compressed", NULL };

enum { WINDOW = 0x9010, SECTOR = 512, HEADERS_MIN = 1024 };    /* no format's headers fit in less */
typedef struct Window { const guint8 *data; gsize n; const guint8 *tail; guint64 size; } Window;   /* first bytes; last sector or NULL */
typedef gint64 SizeOf(const Window *w);

static bool has(const Window *w, gsize at, const char *magic, gsize len)
{
    return at + len <= w->n && !memcmp(w->data + at, magic, len);
}

static guint64 le(const guint8 *p, int bytes)
{
    guint64 n = 0;
    while (bytes--)
        n = n << 8 | p[bytes];
    return n;
}

static gint64 size_vmdk(const Window *w)
{
    return w->n < 20 || le(w->data + 12, 8) > G_MAXINT64 / SECTOR ? -1 : (gint64) le(w->data + 12, 8) * SECTOR;
}

static gint64 size_vhd(const Window *w)
{
    const guint8 *footer = has(w, 0, "conectix", 8) && w->n >= 56 ? w->data : w->tail;
    guint64 n = 0;
    for (int i = 0; footer && i < 8; i++)
        n = n << 8 | footer[48 + i];
    return footer && n <= G_MAXINT64 ? (gint64) n : -1;
}

static gint64 size_vdi(const Window *w)
{
    return w->n < 376 || le(w->data + 368, 8) > G_MAXINT64 ? -1 : (gint64) le(w->data + 368, 8);
}

static gint64 size_file(const Window *w)
{
    return (gint64) w->size;
}

static gint64 size_unknown(const Window *w)
{
    (void) w;
    return -1;
}

/* Where each format's signature is.  at < 0: in the last sector of the file. */
typedef struct Signature { const char *format; int at; const char *magic; int len; SizeOf *size; } Signature;
#define MAGIC(text) text, sizeof(text) - 1
static const Signature signatures[] = {
    { "qcow2",  0,      MAGIC("QFI\xfb"),                   size_unknown },
    { "qed",    0,      MAGIC("QED\0"),                     size_unknown },
    { "vmdk",   0,      MAGIC("KDMV"),                      size_vmdk },
    { "vmdk",   0,      MAGIC("COWD"),                      size_unknown },
    { "vmdk-descriptor", 0, MAGIC("# Disk DescriptorFile"), size_unknown },
    { "vhd",    0,      MAGIC("conectix"),                  size_vhd },
    { "vhd",    -1,     MAGIC("conectix"),                  size_vhd },
    { "vhdx",   0,      MAGIC("vhdxfile"),                  size_unknown },
    { "vdi",    0x40,   MAGIC("\x7f\x10\xda\xbe"),          size_vdi },
    { "iso",    0x8001, MAGIC("CD001"),                     size_file },
    { "iso",    0x8801, MAGIC("CD001"),                     size_file },
    { "iso",    0x9001, MAGIC("CD001"),                     size_file },
    { "luks",   0,      MAGIC("LUKS\xba\xbe"),              size_unknown },
    { "ploop",  0,      MAGIC("WithoutFreeSpace"),          size_unknown },
    { "ploop",  0,      MAGIC("WithouFreSpacExt"),          size_unknown },
    { "bochs",  0,      MAGIC("Bochs Virtual HD Image"),    size_unknown },
    { "cloop",  0,      MAGIC("#!/bin/sh\n#V2.0 Format\n"), size_unknown },
    { "dmg",    -1,     MAGIC("koly"),                      size_unknown },
};

static bool matches(const Signature *s, const Window *w)
{
    return s->at < 0 ? w->tail && !memcmp(w->tail, s->magic, (gsize) s->len) : has(w, (gsize) s->at, s->magic, (gsize) s->len);
}

/* A partition table is no format of its own (a raw disk has one), but two tables that contradict each other are a trap: which one
 * counts depends on who reads. */
static bool check_partitions(const Window *w, GError **err)
{
    bool mbr = has(w, 510, "\x55\xaa", 2), gpt = has(w, 512, "EFI PART", 8) || has(w, 4096, "EFI PART", 8);
    int protective = 0, others = 0;
    for (int i = 0; mbr && i < 4; i++) {
        const guint8 *entry = w->data + 446 + 16 * i;
        if (entry[0] & 0x7f)
            return !gpt || nv_fail(err, NV_ERR_INVALID, "The image has multiple formats: its MBR and its GPT contradict each other.");
        protective += entry[4] == 0xee;
        others += entry[4] && entry[4] != 0xee;
    }
    if (gpt && !mbr)
        return nv_fail(err, NV_ERR_INVALID, "The image has multiple formats: a GPT without the MBR that belongs to it.");
    if (mbr && protective && (protective > 1 || others))
        return nv_fail(err, NV_ERR_INVALID, "The image has multiple formats: its MBR has more partitions than the one that protects its GPT.");
    if (mbr && gpt != (protective == 1))
        return nv_fail(err, NV_ERR_INVALID, "The image has multiple formats: its MBR and its GPT contradict each other.");
    return true;
}

/* The one format the signatures tell, or NULL for none. */
static bool recognise(const Window *w, const Signature **ret, GError **err)
{
    const Signature *found = NULL;
    for (guint i = 0; i < G_N_ELEMENTS(signatures); i++) {
        if (!matches(&signatures[i], w))
            continue;
        if (found && strcmp(found->format, signatures[i].format))
            return nv_fail(err, NV_ERR_INVALID, "The image has multiple formats: it is %s and %s at once.", found->format, signatures[i].format);
        if (!found)
            found = &signatures[i];
    }
    *ret = found;
    return true;
}

static bool judge(int fd, const Window *w, const char *declared, Inspected *ret, GError **err)
{
    const Signature *found = NULL;
    if (!recognise(w, &found, err))
        return false;
    if (found && !strcmp(found->format, "vmdk-descriptor"))
        return nv_fail(err, NV_ERR_INVALID, "The image is a VMDK descriptor, which only refers to other files.");
    const char *actual = found ? found->format : "raw";
    if (found && strcmp(actual, declared))
        return nv_fail(err, NV_ERR_INVALID, "The image is declared as %s, but its contents are %s.", declared, actual);
    if (!strcmp(declared, "qcow2"))
        return found ? inspect_qcow2(fd, w->size, ret, err)
                     : nv_fail(err, NV_ERR_INVALID, "The image is declared as qcow2, but its contents are not.");
    if (found && w->size <= HEADERS_MIN)
        return nv_fail(err, NV_ERR_INVALID, "The image is too short for %s.", declared);
    /* Hybrid ISOs carry partition tables that contradict each other on purpose. */
    if (strcmp(declared, "iso") && !check_partitions(w, err))
        return false;
    ret->format = actual;
    ret->virtual_size = found ? found->size(w) : !strcmp(declared, "raw") ? (gint64) w->size : -1;
    return true;
}

bool inspect_file(int fd, guint64 size, const char *declared, Inspected *ret, GError **err)
{
    guint8 head[WINDOW], tail[SECTOR];
    if (!g_strv_contains(image_disk_formats, declared))
        return nv_fail(err, NV_ERR_INVALID, "Disk format %s is not supported.", declared);
    if (!size || size > G_MAXINT64)
        return nv_fail(err, NV_ERR_INVALID, "The image has no data.");
    gssize n = pread(fd, head, MIN(size, sizeof head), 0);
    if (n <= 0 || (size >= SECTOR && pread(fd, tail, SECTOR, (goffset) size - SECTOR) != SECTOR))
        return nv_fail(err, NV_ERR_INVALID, "The image's data cannot be read.");
    Window w = { head, (gsize) n, size >= SECTOR ? tail : NULL, size };
    return judge(fd, &w, declared, ret, err);
}
