/* storage/agent/base.c -- the cache of images: one verified copy an image, shared by all overlays on this host. */
#include "storage/agent/disk.h"
#include "core/conf.h"
#include "core/error.h"
#include "core/fault.h"
#include "core/id.h"
#include "core/log.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sodium.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_CHUNK = 1 << 20, HOLE = 64 << 10 };

/* Who holds which image: any number of users, or one owner who copies or removes.  Entries live while held. */
typedef struct Hold { int users; bool owned; } Hold;
static GMutex hold_lock;
static GCond hold_changed;
static GHashTable *holds;                                /* image id → Hold */

static Hold *hold_of(const char *id)
{
    if (!holds)
        holds = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    Hold *hold = g_hash_table_lookup(holds, id);
    if (!hold) {
        hold = g_new0(Hold, 1);
        g_hash_table_insert(holds, g_strdup(id), hold);
    }
    return hold;
}

static void hold_own(const char *id)
{
    g_mutex_lock(&hold_lock);
    while (hold_of(id)->owned || hold_of(id)->users)
        g_cond_wait(&hold_changed, &hold_lock);
    hold_of(id)->owned = true;
    g_mutex_unlock(&hold_lock);
}

static void hold_use(const char *id)
{
    g_mutex_lock(&hold_lock);
    while (hold_of(id)->owned)
        g_cond_wait(&hold_changed, &hold_lock);
    hold_of(id)->users++;
    g_mutex_unlock(&hold_lock);
}

/* An owner leaves, as a user or for good. */
static void hold_disown(const char *id, bool as_user)
{
    g_mutex_lock(&hold_lock);
    hold_of(id)->owned = false;
    hold_of(id)->users += as_user;
    if (!hold_of(id)->users)
        g_hash_table_remove(holds, id);
    g_cond_broadcast(&hold_changed);
    g_mutex_unlock(&hold_lock);
}

void base_release(const char *image_id)
{
    g_mutex_lock(&hold_lock);
    if (!--hold_of(image_id)->users)
        g_hash_table_remove(holds, image_id);
    g_cond_broadcast(&hold_changed);
    g_mutex_unlock(&hold_lock);
}

bool base_is_busy(const char *image_id)
{
    g_mutex_lock(&hold_lock);
    Hold *hold = holds ? g_hash_table_lookup(holds, image_id) : NULL;
    bool busy = hold && hold->owned;
    g_mutex_unlock(&hold_lock);
    return busy;
}

bool image_arg_parse(const json_t *object, ImageArg *ret_image, GError **err)
{
    ImageArg a = { .id = json_get_str(object, "id"), .sha512 = json_get_str(object, "sha512"), .format = json_get_str(object, "format"),
                   .size = json_get_int(object, "size", -1), .virtual_size = json_get_int(object, "virtual_size", -1) };
    if (!a.id || !id_is_uuid(a.id))
        return nv_fail(err, NV_ERR_INVALID, "image.id is not a UUID");
    if (!a.sha512 || strlen(a.sha512) != 128 || strspn(a.sha512, "0123456789abcdef") != 128)
        return nv_fail(err, NV_ERR_INVALID, "image.sha512 is not a SHA-512 in hexadecimal");
    if (g_strcmp0(a.format, "qcow2") && g_strcmp0(a.format, "raw"))
        return nv_fail(err, NV_ERR_INVALID, "image.format is neither qcow2 nor raw");
    if (a.size < 1 || a.virtual_size < 1)
        return nv_fail(err, NV_ERR_INVALID, "image.size and image.virtual_size must be given");
    *ret_image = a;
    return true;
}

static bool is_zero(const char *p, gsize n)
{
    return !*p && !memcmp(p, p + 1, n - 1);
}

/* Holes stay holes: a raw image is mostly zeros. */
static bool write_sparse(int fd, const char *buf, gsize n, goffset offset, GError **err)
{
    for (gsize at = 0; at < n; at += HOLE) {
        gsize piece = MIN(n - at, (gsize) HOLE);
        if (!is_zero(buf + at, piece) && !file_write_at(fd, buf + at, piece, offset + (goffset) at, err))
            return false;
    }
    return true;
}

/* Copies from → to and hashes what arrived.  With a reflink the blocks are shared and the copy itself is what is read. */
static bool copy_and_hash(int from, int to, gint64 size, char ret_hex[129], GError **err)
{
    bool cloned = !ioctl(to, FICLONE, from);
    crypto_hash_sha512_state sha;
    crypto_hash_sha512_init(&sha);
    g_autofree char *buf = g_malloc(COPY_CHUNK);
    if (ftruncate(to, size))
        return nv_fail_errno(err, NV_ERR_NO_SPACE, "cannot size the copy");
    for (goffset at = 0; at < size;) {
        gssize n = pread(cloned ? to : from, buf, (gsize) MIN(size - at, (goffset) COPY_CHUNK), at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? nv_fail_errno(err, NV_ERR_HOST_FAULT, "cannot read the image")
                         : nv_fail(err, NV_ERR_HOST_FAULT, "the image's file ended early");
        crypto_hash_sha512_update(&sha, (guint8 *) buf, (gsize) n);
        if (!cloned && !write_sparse(to, buf, (gsize) n, at, err))
            return false;
        at += n;
    }
    guint8 sum[crypto_hash_sha512_BYTES];
    crypto_hash_sha512_final(&sha, sum);
    sodium_bin2hex(ret_hex, 129, sum, sizeof sum);
    return true;
}

static bool fetch(int base_dir, const ImageArg *image, const char *part, GError **err)
{
    g_auto(Fd) store = storage_dir("images", err);
    if (store < 0)
        return false;
    g_auto(Fd) from = file_open_beneath(store, image->id, O_RDONLY, 0, err);
    struct stat st;
    if (from < 0) {
        if (err && g_error_matches(*err, NV_ERROR, NV_ERR_NOT_FOUND)) {
            g_clear_error(err);
            return nv_fail(err, NV_ERR_HOST_FAULT, "image %s is not in the store: it was deleted, or its file is lost", image->id);
        }
        return false;
    }
    if (fstat(from, &st) || st.st_size != image->size)
        return nv_fail(err, NV_ERR_HOST_FAULT, "the file of image %s has not the size the image has", image->id);
    g_auto(Fd) to = file_open_part(base_dir, part, 0600, err);
    char sum[129];
    if (to < 0 || !fault_point("storage.base.part", err) || !copy_and_hash(from, to, image->size, sum, err))
        return false;
    if (strcmp(sum, image->sha512))
        return nv_fail(err, NV_ERR_HOST_FAULT, "the file of image %s has not the contents that were uploaded: its SHA-512 differs", image->id);
    /* Read-only for QEMU: an overlay never writes to its base. */
    return storage_give_to_qemu(to, 0400, err) && fault_point("storage.base.copied", err)
        && file_publish(base_dir, to, part, image->id, err);
}

/* Complete is what exists under the final name: it was hashed and made durable before it got that name. */
static bool base_exists(int base_dir, const ImageArg *image, bool *ret_exists, GError **err)
{
    g_autoptr(GError) why = NULL;
    g_auto(Fd) fd = file_open_beneath(base_dir, image->id, O_RDONLY, 0, &why);
    struct stat st;
    if (fd < 0 && !g_error_matches(why, NV_ERROR, NV_ERR_NOT_FOUND)) {
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    if (fd >= 0 && (fstat(fd, &st) || st.st_size != image->size))
        return nv_fail(err, NV_ERR_HOST_FAULT, "the cached copy of image %s has not the image's size", image->id);
    *ret_exists = fd >= 0;
    return true;
}

bool base_acquire(const ImageArg *image, char **ret_path, GError **err)
{
    g_auto(Fd) dir = storage_dir("base", err);
    if (dir < 0)
        return false;
    bool exists = false;
    hold_use(image->id);
    if (!base_exists(dir, image, &exists, err))
        return base_release(image->id), false;
    if (!exists) {
        base_release(image->id);
        hold_own(image->id);                             /* the first copies, the others wait here and find it */
        g_autofree char *part = g_strconcat(image->id, ".part", NULL);
        bool ok = base_exists(dir, image, &exists, err);
        if (ok && !exists) {
            ok = fetch(dir, image, part, err);
            if (ok)
                log_info("base.copied", "image", image->id, "bytes", LOG_INT(image->size), NULL);
            else
                file_absent(dir, part, NULL);
        }
        hold_disown(image->id, ok);
        if (!ok)
            return false;
    }
    *ret_path = conf_path("paths.state", "base/%s", image->id);
    return true;
}

bool base_remove(const char *image_id, GError **err)
{
    g_auto(Fd) dir = storage_dir("base", err);
    if (dir < 0)
        return false;
    g_autofree char *path = conf_path("paths.state", "base/%s", image_id), *part = g_strconcat(image_id, ".part", NULL);
    bool used = false;
    hold_own(image_id);
    bool ok = disk_uses_backing(path, &used, err)
           && (!used || nv_fail(err, NV_ERR_CONFLICT, "a disk on this host is an overlay of image %s", image_id))
           && file_absent(dir, part, err) && file_absent(dir, image_id, err);
    hold_disown(image_id, false);
    return ok;
}

bool base_list(json_t *bases, json_t *partials, GError **err)
{
    g_auto(Fd) dir = storage_dir("base", err);
    g_autoptr(GPtrArray) names = dir < 0 ? NULL : file_names(dir, err);
    for (guint i = 0; names && i < names->len; i++) {
        const char *name = names->pdata[i];
        g_autofree char *id = g_str_has_suffix(name, ".part") ? g_strndup(name, strlen(name) - 5) : NULL;
        if (id_is_uuid(name))
            json_array_append_new(bases, json_string(name));
        else if (!id || !base_is_busy(id))
            json_array_append_new(partials, json_sprintf("base/%s", name));
    }
    return names;
}

bool base_sweep(GError **err)
{
    g_auto(Fd) dir = storage_dir("base", err);
    g_autoptr(GPtrArray) names = dir < 0 ? NULL : file_names(dir, err);
    for (guint i = 0; names && i < names->len; i++)
        if (g_str_has_suffix(names->pdata[i], ".part") && !file_absent(dir, names->pdata[i], err))
            return false;
    return names;
}
