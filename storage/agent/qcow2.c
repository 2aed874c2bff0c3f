/* storage/agent/qcow2.c -- writes empty qcow2 files: an overlay is four clusters, far less work than a qemu-img process. */
#include "storage/agent/disk.h"
#include "core/error.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Layout, as qemu-img makes it (QEMU's docs/interop/qcow2.txt): cluster 0 header, extensions and the backing file's name; cluster 1
 * the refcount table with one entry; cluster 2 the refcount block; from cluster 3 the L1 table, all zero: nothing is allocated. */
enum { CLUSTER = 1 << 16, HEADER = 104, L2_COVERS = CLUSTER / 8, EXT_BACKING_FORMAT = (int) 0xE2792ACA };
typedef struct __attribute__((packed)) Header {
    guint32 magic, version;
    guint64 backing_offset;
    guint32 backing_size, cluster_bits;
    guint64 size;
    guint32 crypt_method, l1_size;
    guint64 l1_offset, refcount_offset;
    guint32 refcount_clusters, n_snapshots;
    guint64 snapshots_offset, incompatible, compatible, autoclear;
    guint32 refcount_order, header_length;
} Header;
G_STATIC_ASSERT(sizeof(Header) == HEADER);

static gsize put_extension(guint8 *at, guint32 type, const char *text)
{
    guint32 len = (guint32) strlen(text), head[2] = { GUINT32_TO_BE(type), GUINT32_TO_BE(len) };
    memcpy(at, head, sizeof head);
    memcpy(at + sizeof head, text, len);
    return sizeof head + (len + 7) / 8 * 8;
}

bool qcow2_write_empty(int fd, guint64 virtual_size, const char *backing, const char *backing_format, GError **err)
{
    g_assert(!backing || backing_format);
    if (!virtual_size || virtual_size > (guint64) QCOW2_GIB_MAX << 30 || (backing && strlen(backing) > QCOW2_NAME_MAX))
        return nv_fail(err, NV_ERR_INVALID, "no disk of %" G_GUINT64_FORMAT " bytes can be made here", virtual_size);
    virtual_size = (virtual_size + 511) / 512 * 512;
    guint64 per_l1 = (guint64) CLUSTER * L2_COVERS, l1 = (virtual_size + per_l1 - 1) / per_l1, l1_clusters = (l1 * 8 + CLUSTER - 1) / CLUSTER;
    g_autofree guint8 *head = g_malloc0(3 * CLUSTER);
    Header h = {
        .magic = GUINT32_TO_BE(0x514649fb), .version = GUINT32_TO_BE(3), .cluster_bits = GUINT32_TO_BE(16),
        .size = GUINT64_TO_BE(virtual_size), .l1_size = GUINT32_TO_BE((guint32) l1), .l1_offset = GUINT64_TO_BE(3 * CLUSTER),
        .refcount_offset = GUINT64_TO_BE(CLUSTER), .refcount_clusters = GUINT32_TO_BE(1), .refcount_order = GUINT32_TO_BE(4),
        .header_length = GUINT32_TO_BE(HEADER),
    };
    gsize at = HEADER;
    if (backing) {
        at += put_extension(head + at, (guint32) EXT_BACKING_FORMAT, backing_format);
        at += 8;                                           /* type 0, length 0: end of extensions */
        h.backing_offset = GUINT64_TO_BE(at);
        h.backing_size = GUINT32_TO_BE((guint32) strlen(backing));
        memcpy(head + at, backing, strlen(backing));
    }
    memcpy(head, &h, sizeof h);
    guint64 block = GUINT64_TO_BE(2 * CLUSTER);
    memcpy(head + CLUSTER, &block, sizeof block);
    for (gsize i = 0; i < 3 + l1_clusters; i++) {
        guint16 one = GUINT16_TO_BE(1);
        memcpy(head + 2 * CLUSTER + 2 * i, &one, sizeof one);
    }
    if (!file_write_at(fd, head, 3 * CLUSTER, 0, err))
        return false;
    return !ftruncate(fd, (goffset) (3 + l1_clusters) * CLUSTER) || nv_fail_errno(err, NV_ERR_NO_SPACE, "cannot size the disk");
}

bool qcow2_read_header(int fd, Qcow2 *ret, GError **err)
{
    guint8 head[HEADER + 8 + 16 + 8 + QCOW2_NAME_MAX + 1];
    gssize n = pread(fd, head, sizeof head, 0);
    Header h;
    if (n < HEADER)
        return nv_fail(err, NV_ERR_HOST_FAULT, "the file is too short for a qcow2 disk");
    memcpy(&h, head, sizeof h);
    if (h.magic != GUINT32_TO_BE(0x514649fb) || h.version != GUINT32_TO_BE(3))
        return nv_fail(err, NV_ERR_HOST_FAULT, "the file is not a qcow2 disk of version 3");
    Qcow2 q = { .virtual_size = GUINT64_FROM_BE(h.size) };
    guint64 name_at = GUINT64_FROM_BE(h.backing_offset);
    guint32 name_len = GUINT32_FROM_BE(h.backing_size);
    if (name_at) {
        /* QEMU may have rewritten the header, with more extensions: the name is read where the header says it is. */
        if (name_len > QCOW2_NAME_MAX || name_at > CLUSTER || pread(fd, q.backing, name_len, (goffset) name_at) != (gssize) name_len)
            return nv_fail(err, NV_ERR_HOST_FAULT, "the disk's header names no readable backing file");
    }
    for (gsize at = GUINT32_FROM_BE(h.header_length); name_at && at + 8 <= (gsize) n;) {
        guint32 ext[2];
        memcpy(ext, head + at, sizeof ext);
        guint32 type = GUINT32_FROM_BE(ext[0]), len = GUINT32_FROM_BE(ext[1]);
        at += 8;
        if (!type || len > (gsize) n - at)
            break;
        if (type == (guint32) EXT_BACKING_FORMAT && len < sizeof q.backing_format)
            memcpy(q.backing_format, head + at, len);
        at += (len + 7) / 8 * 8;
    }
    *ret = q;
    return true;
}
