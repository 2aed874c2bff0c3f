/* image/qcow2.c -- checks the header of an uploaded qcow2 file before any other program opens it. */
#include "image/inspect.h"
#include "core/error.h"
#include <string.h>
#include <unistd.h>

/* QEMU's docs/interop/qcow2.txt.  Limits are QEMU's own (block/qcow2.h), so that what passes here also opens there. */
enum {
    V2_HEADER = 72, V3_HEADER = 104, V3_HEADER_COMPRESSION = 112,
    MIN_CLUSTER_BITS = 9, MAX_CLUSTER_BITS = 21, MAX_L1_BYTES = 32 << 20, MAX_REFTABLE_BYTES = 8 << 20, MAX_SNAPSHOTS = 65536,
    MAX_EXTENSIONS = 64,
};
enum { EXT_END = 0 };
static const guint32 EXT_BACKING_FORMAT = 0xE2792ACA, EXT_DATA_FILE = 0x44415441, EXT_CRYPTO = 0x0537BE77;
/* The only incompatible feature accepted: a compression type other than zlib.  Dirty and corrupt (0, 1) mean a file that was not
 * closed; external data file (2) names another file; extended L2 (4) and whatever comes later are not needed by any image in use. */
static const guint64 INCOMPATIBLE_OK = 1u << 3;

typedef struct Reader { int fd; guint64 size; } Reader;

static guint32 be32(const guint8 *p)
{
    return (guint32) p[0] << 24 | (guint32) p[1] << 16 | (guint32) p[2] << 8 | p[3];
}

static guint64 be64(const guint8 *p)
{
    return (guint64) be32(p) << 32 | be32(p + 4);
}

static bool refuse(GError **err, const char *why)
{
    return nv_fail(err, NV_ERR_INVALID, "The image is not acceptable as qcow2: %s", why);
}

static bool read_at(const Reader *r, guint64 at, void *buf, gsize n)
{
    return at <= r->size && n <= r->size - at && pread(r->fd, buf, n, (goffset) at) == (gssize) n;
}

/* A table of n bytes at offset lies inside the file, on a cluster's boundary, behind the header. */
static bool inside(const Reader *r, guint64 offset, guint64 n, guint64 cluster)
{
    return offset >= cluster && offset % cluster == 0 && offset <= r->size && n <= r->size - offset;
}

static bool check_extensions(const Reader *r, guint64 at, guint64 end, GError **err)
{
    for (int i = 0; i < MAX_EXTENSIONS; i++) {
        guint8 head[8];
        if (at + sizeof head > end || !read_at(r, at, head, sizeof head))
            return refuse(err, "its header extensions do not end inside the first cluster.");
        guint32 type = be32(head);
        guint64 len = be32(head + 4), padded = (len + 7) / 8 * 8;
        if (type == EXT_END)
            return true;
        at += sizeof head;
        if (padded > end - at || at + len > r->size)
            return refuse(err, "a header extension is longer than the first cluster.");
        if (type == EXT_DATA_FILE)
            return refuse(err, "it keeps its data in another file.");
        if (type == EXT_BACKING_FORMAT)
            return refuse(err, "it names the format of a backing file.");
        if (type == EXT_CRYPTO)
            return refuse(err, "it is encrypted.");
        at += padded;
    }
    return refuse(err, "it has too many header extensions.");
}

static bool check_v3(const Reader *r, guint64 cluster, GError **err)
{
    guint8 h[V3_HEADER_COMPRESSION];
    memset(h, 0, sizeof h);
    if (!read_at(r, 0, h, V3_HEADER))
        return refuse(err, "the file ends inside the header.");
    guint64 incompatible = be64(h + 72);
    guint32 order = be32(h + 96), length = be32(h + 100);
    if (incompatible & 4)
        return refuse(err, "it keeps its data in another file.");
    if (incompatible & ~INCOMPATIBLE_OK)
        return nv_fail(err, NV_ERR_INVALID, "The image is not acceptable as qcow2: it needs features that are not supported (incompatible "
                       "feature bits 0x%" G_GINT64_MODIFIER "x); convert it with qemu-img convert.", incompatible);
    if (order > 6)
        return refuse(err, "its reference counts are wider than 64 bits.");
    /* 104 is what QEMU wrote before 5.1, and many published images have it. */
    if (length < V3_HEADER || length % 8 || length > cluster || length > r->size)
        return refuse(err, "the length of its header makes no sense.");
    guint8 compression = 0;
    if (length >= V3_HEADER_COMPRESSION && !read_at(r, 104, &compression, 1))
        return refuse(err, "the file ends inside the header.");
    if ((incompatible & 8 ? 1 : 0) != (compression != 0) || compression > 1)
        return refuse(err, "its compression type is unknown.");
    return check_extensions(r, length, cluster, err);
}

static bool check_tables(const Reader *r, const guint8 *h, guint64 cluster, guint64 virtual_size, GError **err)
{
    guint64 l1_bytes = (guint64) be32(h + 36) * 8, reftable_bytes = (guint64) be32(h + 56) * cluster;
    guint64 covers = cluster * (cluster / 8), needed = virtual_size / covers + (virtual_size % covers ? 1 : 0);
    guint32 snapshots = be32(h + 60);
    if (l1_bytes > MAX_L1_BYTES || needed > l1_bytes / 8)
        return refuse(err, "its L1 table does not fit its size.");
    if (!inside(r, be64(h + 40), l1_bytes, cluster))
        return refuse(err, "its L1 table is outside the file.");
    if (!reftable_bytes || reftable_bytes > MAX_REFTABLE_BYTES || !inside(r, be64(h + 48), reftable_bytes, cluster))
        return refuse(err, "its reference count table is outside the file.");
    if (snapshots > MAX_SNAPSHOTS || (snapshots && !inside(r, be64(h + 64), (guint64) snapshots * 40, cluster)))
        return refuse(err, "its table of snapshots is outside the file.");
    return true;
}

bool inspect_qcow2(int fd, guint64 size, Inspected *ret, GError **err)
{
    Reader r = { fd, size };
    guint8 h[V2_HEADER];
    if (!read_at(&r, 0, h, sizeof h))
        return refuse(err, "the file ends inside the header.");
    guint32 version = be32(h + 4), cluster_bits = be32(h + 20);
    guint64 virtual_size = be64(h + 24);
    if (memcmp(h, "QFI\xfb", 4) || (version != 2 && version != 3))
        return refuse(err, "it is neither of version 2 nor of version 3.");
    if (be64(h + 8) || be32(h + 16))
        return refuse(err, "it has a backing file.");
    if (cluster_bits < MIN_CLUSTER_BITS || cluster_bits > MAX_CLUSTER_BITS)
        return refuse(err, "the size of its clusters makes no sense.");
    if (be32(h + 32))
        return refuse(err, "it is encrypted.");
    if (!virtual_size || virtual_size > G_MAXINT64)
        return refuse(err, "its virtual size makes no sense.");
    guint64 cluster = 1ull << cluster_bits;
    if (!check_tables(&r, h, cluster, virtual_size, err))
        return false;
    if (version == 3 ? !check_v3(&r, cluster, err) : size > V2_HEADER + 8 && !check_extensions(&r, V2_HEADER, cluster, err))
        return false;
    ret->format = "qcow2";
    ret->virtual_size = (gint64) virtual_size;
    return true;
}
