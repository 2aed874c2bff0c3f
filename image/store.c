/* image/store.c -- the files of images: received as ID.part, hashed on the way, published by rename; and what an earlier run left. */
#include "image/internal.h"
#include "core/conf.h"
#include "core/fault.h"
#include "core/id.h"
#include "core/log.h"
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 256 << 10, WRITE_BACK = 16 << 20 };

/* Uploads that run in this process, so that a delete ends them and gets the space back at once. */
typedef struct Running { int fd; bool cancelled; } Running;
static GMutex running_lock;
static GHashTable *running;                              /* image id → Running */

int store_open(GError **err)
{
    g_autofree char *path = conf_path("paths.state", "images");
    return file_open_dir(path, 0700, err);
}

char *store_name(const char *id, const char *suffix)
{
    g_assert(id_is_uuid(id));
    return g_strconcat(id, suffix, NULL);
}

static void running_add(const char *id, Running *r)
{
    g_mutex_lock(&running_lock);
    if (!running)
        running = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_hash_table_insert(running, g_strdup(id), r);
    g_mutex_unlock(&running_lock);
}

static void running_remove(const char *id, const Running *r)
{
    g_mutex_lock(&running_lock);
    if (g_hash_table_lookup(running, id) == r)
        g_hash_table_remove(running, id);
    g_mutex_unlock(&running_lock);
}

void store_cancel(const char *id)
{
    g_mutex_lock(&running_lock);
    Running *r = running ? g_hash_table_lookup(running, id) : NULL;
    if (r) {
        r->cancelled = true;
        if (ftruncate(r->fd, 0))
            log_warn("image.upload.truncate", "image", id, "why", g_strerror(errno), NULL);
    }
    g_mutex_unlock(&running_lock);
}

typedef struct Hashes { GChecksum *md5; crypto_hash_sha512_state sha; } Hashes;

static void hashes_init(Hashes *h)
{
    h->md5 = g_checksum_new(G_CHECKSUM_MD5);
    crypto_hash_sha512_init(&h->sha);
}

static void hashes_update(Hashes *h, const void *buf, gsize n)
{
    g_checksum_update(h->md5, buf, (gssize) n);
    crypto_hash_sha512_update(&h->sha, buf, n);
}

static void hashes_done(Hashes *h, Upload *ret)
{
    guint8 sum[crypto_hash_sha512_BYTES];
    crypto_hash_sha512_final(&h->sha, sum);
    sodium_bin2hex(ret->sha512, sizeof ret->sha512, sum, sizeof sum);
    g_strlcpy(ret->md5, g_checksum_get_string(h->md5), sizeof ret->md5);
    g_checksum_free(h->md5);
}

/* One piece: written and hashed, unless a delete came. */
static bool take(Running *r, Hashes *h, const char *buf, gsize n, gint64 at, GError **err)
{
    g_mutex_lock(&running_lock);
    bool cancelled = r->cancelled;
    bool ok = !cancelled && file_write_at(r->fd, buf, n, at, err);
    g_mutex_unlock(&running_lock);
    if (cancelled)
        return nv_fail(err, NV_ERR_CANCELLED, "The image was deleted during the upload.");
    if (!ok)
        return false;
    hashes_update(h, buf, n);
    /* Start writing back early: the fsync at the end then has little to wait for, and the page cache keeps other things. */
    if (at / WRITE_BACK != (at + (gint64) n) / WRITE_BACK)
        sync_file_range(r->fd, at / WRITE_BACK * WRITE_BACK, WRITE_BACK, SYNC_FILE_RANGE_WRITE);
    return true;
}

static bool receive(Call *c, Running *r, gint64 max, Upload *up, GError **err)
{
    g_autofree char *buf = g_malloc(CHUNK);
    Hashes h;
    hashes_init(&h);
    bool ok = true;
    gssize n;
    while (ok && (n = call_read(c, buf, CHUNK, err)) != 0) {
        ok = n > 0;
        if (ok && n > max - up->size)
            ok = nv_fail(err, NV_ERR_TOO_LARGE, "The image is too large: at most %" G_GINT64_FORMAT " bytes are accepted.", max);
        ok = ok && take(r, &h, buf, (gsize) n, up->size, err);
        up->size += ok ? n : 0;
    }
    hashes_done(&h, up);
    return ok;
}

bool store_receive(Call *c, const char *id, gint64 max, Upload *ret, int *ret_fd, GError **err)
{
    g_auto(Fd) store = store_open(err);
    g_autofree char *part = store_name(id, ".part");
    g_auto(Fd) fd = store < 0 ? -1 : file_open_part(store, part, 0600, err);
    if (fd < 0)
        return false;
    Running r = { .fd = fd };
    Upload up = { 0 };
    running_add(id, &r);
    bool ok = fault_point("image.upload.part", err) && receive(c, &r, max, &up, err)
           && (up.size > 0 || nv_fail(err, NV_ERR_INVALID, "The image has no data.")) && fault_point("image.upload.received", err)
           && (!fsync(fd) || nv_fail_errno(err, NV_ERR_NO_SPACE, "The image's data cannot be stored"));
    running_remove(id, &r);
    if (!ok) {
        file_absent(store, part, NULL);
        return false;
    }
    *ret = up;
    *ret_fd = g_steal_fd(&fd);
    return true;
}

static bool present(int store, const char *name)
{
    return !faccessat(store, name, F_OK, AT_SYMLINK_NOFOLLOW);
}

/* A row that an upload or an import left half way: back to where the client can go on. */
static bool recover_row(Db *db, int store, const char *id, const char *status, GError **err)
{
    g_autofree char *staged = store_name(id, ".staged");
    gint64 size = -1;
    if (!db_query_int(db, err, &size, "image_size", "s", id))
        return false;
    if (!strcmp(status, "importing") && !present(store, staged) && present(store, id))
        renameat(store, id, store, staged);
    bool keep = strcmp(status, "saving") && size > 0 && present(store, staged);
    log_info("image.recovered", "image", id, "was", status, "now", keep ? "uploading" : "queued", NULL);
    g_auto(Txn) txn = txn_begin(db, err);
    if (!txn.db || !(keep ? db_exec(db, err, "image_set_status", "sss", id, "uploading", status) : db_exec(db, err, "image_unstage", "s", id))
        || !txn_commit(&txn, err))
        return false;
    return keep || (file_absent(store, id, err) && file_absent(store, staged, err));
}

static bool recover_file(Db *db, int store, const char *name, GError **err)
{
    g_autofree char *id = g_strndup(name, 36), *status = NULL;
    const char *suffix = strlen(name) >= 36 ? name + 36 : "";
    if (!id_is_uuid(id))
        return true;                                       /* not ours */
    if (!strcmp(suffix, ".part"))
        return file_absent(store, name, err);
    if (!db_query_str(db, err, &status, "image_status", "s", id))
        return false;
    if (!strcmp(suffix, ".gone") && status)
        return !renameat(store, name, store, id) || nv_fail_errno(err, NV_ERR_INTERNAL, "%s", name);
    if (!strcmp(suffix, ".gone") || (!strcmp(suffix, ".staged") && g_strcmp0(status, "uploading")))
        return file_absent(store, name, err);
    if (!*suffix && !status)
        log_warn("image.file.orphan", "image", id, "why", "no image has this file; remove it if no backup of the database needs it", NULL);
    return true;
}

bool image_recover(Db *db, GError **err)
{
    g_auto(Fd) store = store_open(err);
    g_autoptr(json_t) rows = store < 0 ? NULL : db_query(db, err, "image_unfinished", "");
    size_t i;
    json_t *row;
    if (!rows)
        return false;
    json_array_foreach(rows, i, row)
        if (!recover_row(db, store, json_get_str(row, "id"), json_get_str(row, "status"), err))
            return false;
    g_autoptr(GPtrArray) names = file_names(store, err);
    for (guint k = 0; names && k < names->len; k++)
        if (!recover_file(db, store, names->pdata[k], err))
            return false;
    return names;
}
