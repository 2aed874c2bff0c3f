/* image/data.c -- the bytes of images: upload, staging and import, download with ranges. */
#include "image/internal.h"
#include "image/inspect.h"
#include "core/conf.h"
#include "core/fault.h"
#include "core/log.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool reply_gone(Call *c, const char *id)
{
    g_autofree char *message = g_strdup_printf("Image %s could not be found after upload. The image may have been deleted during the upload.", id);
    return call_reply(c, 410, json_make("sss", "message", message, "code", "410 Gone", "title", "Gone"));
}

static bool check_octets(Call *c, GError **err)
{
    const char *type = c->header(c, "Content-Type");
    g_auto(GStrv) parts = g_strsplit(type ? type : "", ";", 2);
    return (parts[0] && !g_ascii_strcasecmp(g_strstrip(parts[0]), "application/octet-stream"))
        || nv_fail(err, NV_ERR_MEDIA_TYPE, "Invalid content type %.64s: send application/octet-stream.", type ? type : "");
}

static bool move_status(Db *db, const Image *image, const char *from, const char *to, GError **err)
{
    g_auto(Txn) txn = txn_begin(db, err);
    if (!txn.db || !db_exec(db, err, "image_set_status", "sss", image->id, to, from))
        return false;
    if (!db_changes(db)) {
        if (!strcmp(image->status, "deactivated"))
            return nv_fail(err, NV_ERR_FORBIDDEN, "The requested image has been deactivated. Uploading image data is forbidden.");
        return nv_fail(err, NV_ERR_CONFLICT, "Image status transition from %s to %s is not allowed", image->status, to);
    }
    return txn_commit(&txn, err);
}

static bool check_formats(const Image *image, NvErr code, GError **err)
{
    return (*image->disk_format && *image->container_format)
        || nv_fail(err, code, "Properties disk_format, container_format must be set prior to saving data.");
}

/* Back to queued, as if nothing had been sent. */
static void give_up(Call *c, const char *id)
{
    g_autoptr(GError) why = NULL;
    g_auto(Txn) txn = txn_begin(c->db, &why);
    if (!txn.db || !db_exec(c->db, &why, "image_unstage", "s", id) || !txn_commit(&txn, &why))
        log_error("image.upload.restore", "image", id, "why", why->message, NULL);      /* image_recover does it at the next start */
}

/* Bytes that this project may still store: at least `bytes`, else it is an error. */
static bool project_room(Db *db, const Image *image, gint64 bytes, gint64 *ret_left, GError **err)
{
    gint64 quota = conf_int("image.project_gib") << 30, used = 0;
    *ret_left = G_MAXINT64;
    if (quota == 0)
        return true;
    if (!db_query_int(db, err, &used, "image_bytes_of_project", "ss", image->project_id, image->id))
        return false;
    *ret_left = quota - used;
    return *ret_left >= bytes
        || nv_fail(err, NV_ERR_TOO_LARGE, "The images of the project have %" G_GINT64_FORMAT " bytes already: its limit is %" G_GINT64_FORMAT ".",
                   used, quota);
}

/* What one image may have. */
static bool room_for(Call *c, const Image *image, gint64 *ret_max, GError **err)
{
    gint64 max = conf_int("image.size_max_gib") << 30, left;
    if (!project_room(c->db, image, 1, &left, err))
        return false;
    *ret_max = MIN(max, left);
    const char *length = c->header(c, "Content-Length");
    gint64 n;
    if (length && g_ascii_string_to_signed(length, 10, 0, G_MAXINT64, &n, NULL) && n > *ret_max)
        return nv_fail(err, NV_ERR_TOO_LARGE, "The image is too large: at most %" G_GINT64_FORMAT " bytes are accepted.", *ret_max);
    return true;
}

static bool inspect(const Image *image, int fd, gint64 *ret_virtual_size, GError **err)
{
    g_autofree char *format = NULL;
    gint64 most = conf_int("image.virtual_max_gib") << 30;
    if (!inspect_in_child(fd, image->disk_format, &format, ret_virtual_size, err))
        return false;
    return *ret_virtual_size <= most || nv_fail(err, NV_ERR_INVALID, "The image's virtual size is %" G_GINT64_FORMAT " bytes: at most %"
                                                G_GINT64_FORMAT " are accepted.", *ret_virtual_size, most);
}

/* Renames from to ID and makes the row active.  *ret_gone: the image was deleted meanwhile, and the file with it. */
static bool publish(Call *c, const Image *image, int fd, const char *from, const Upload *up, gint64 virtual_size, bool *ret_gone, GError **err)
{
    g_auto(Fd) store = store_open(err);
    if (store < 0 || !file_publish(store, fd, from, image->id, err))
        return false;
    {
        g_auto(Txn) txn = fault_point("image.upload.published", err) ? txn_begin(c->db, err) : (Txn) { 0 };
        gint64 left;
        /* Others may have been stored while this one came in. */
        if (!txn.db || !project_room(c->db, image, up->size, &left, err)
            || !db_exec(c->db, err, "image_activate", "siiss", image->id, up->size, virtual_size, up->md5, up->sha512)) {
            file_absent(store, image->id, NULL);
            return false;
        }
        *ret_gone = !db_changes(c->db);
        if (!*ret_gone && !txn_commit(&txn, err))
            return false;                                  /* unknown whether it is durable: image_recover decides at the next start */
    }
    if (*ret_gone)
        return file_absent(store, image->id, err);
    log_info("image.active", "image", image->id, "bytes", LOG_INT(up->size), NULL);
    return fault_point("image.upload.active", err);
}

static void drop_file(const char *id, const char *suffix)
{
    g_autofree char *name = store_name(id, suffix);
    g_auto(Fd) store = store_open(NULL);
    if (store >= 0)
        file_absent(store, name, NULL);
}

bool image_upload(Call *c, GError **err)
{
    gint64 max, virtual_size = -1;
    if (!check_octets(c, err))
        return false;
    g_autoptr(Image) image = image_of_call_to_change(c, "upload data for", err);
    if (!image || !check_formats(image, NV_ERR_INVALID, err) || !room_for(c, image, &max, err)
        || !move_status(c->db, image, "queued", "saving", err))
        return false;
    g_auto(Fd) fd = -1;
    Upload up;
    bool gone = false;
    g_autoptr(GError) why = NULL;
    g_autofree char *part = store_name(image->id, ".part");
    if (store_receive(c, image->id, max, &up, &fd, &why) && inspect(image, fd, &virtual_size, &why)
        && publish(c, image, fd, part, &up, virtual_size, &gone, &why))
        return gone ? reply_gone(c, image->id) : call_reply_empty(c, 204);
    if (nv_error_code(why) == NV_ERR_CANCELLED)
        return reply_gone(c, image->id);
    drop_file(image->id, ".part");
    give_up(c, image->id);
    g_propagate_error(err, g_steal_pointer(&why));
    return false;
}

static bool staged(Call *c, const Image *image, int fd, const Upload *up, GError **err)
{
    g_autofree char *part = store_name(image->id, ".part"), *name = store_name(image->id, ".staged");
    g_auto(Fd) store = store_open(err);
    if (store < 0 || !file_publish(store, fd, part, name, err))
        return false;
    g_auto(Txn) txn = txn_begin(c->db, err);
    return txn.db && db_exec(c->db, err, "image_staged", "siss", image->id, up->size, up->md5, up->sha512) && txn_commit(&txn, err);
}

bool image_stage(Call *c, GError **err)
{
    gint64 max;
    if (!check_octets(c, err))
        return false;
    g_autoptr(Image) image = image_of_call_to_change(c, "stage data for", err);
    if (!image || !room_for(c, image, &max, err) || !move_status(c->db, image, "queued", "uploading", err))
        return false;
    g_auto(Fd) fd = -1;
    Upload up;
    g_autoptr(GError) why = NULL;
    if (store_receive(c, image->id, max, &up, &fd, &why) && staged(c, image, fd, &up, &why))
        return call_reply_empty(c, 204);
    if (nv_error_code(why) == NV_ERR_CANCELLED)
        return reply_gone(c, image->id);
    drop_file(image->id, ".part");
    drop_file(image->id, ".staged");
    give_up(c, image->id);
    g_propagate_error(err, g_steal_pointer(&why));
    return false;
}

/* The staged file becomes the image: inspected here, hashed when it was staged; so it is done when the reply goes out. */
static bool import_staged(Call *c, const Image *image, GError **err)
{
    g_auto(Fd) store = store_open(err);
    g_autofree char *name = store_name(image->id, ".staged");
    g_auto(Fd) fd = store < 0 ? -1 : file_open_beneath(store, name, O_RDONLY, 0, err);
    gint64 virtual_size = -1;
    bool gone = false;
    Upload up = { .size = image->size };
    g_strlcpy(up.md5, image->checksum ? image->checksum : "", sizeof up.md5);
    g_strlcpy(up.sha512, image->os_hash_value ? image->os_hash_value : "", sizeof up.sha512);
    return fd >= 0 && inspect(image, fd, &virtual_size, err) && publish(c, image, fd, name, &up, virtual_size, &gone, err);
}

bool image_import(Call *c, GError **err)
{
    const char *method = json_get_str(json_object_get(c->body, "method"), "name");
    if (!method)
        return nv_fail(err, NV_ERR_INVALID, "Import request requires a 'name' field in its 'method'.");
    if (strcmp(method, "glance-direct"))
        return nv_fail(err, NV_ERR_INVALID, "Unknown import method name '%.64s'.", method);
    g_autoptr(Image) image = image_of_call_to_change(c, "import data for", err);
    if (!image)
        return false;
    if (!strcmp(image->status, "active"))
        return nv_fail(err, NV_ERR_CONFLICT, "Image with status active cannot be target for import");
    if (strcmp(image->status, "uploading") || image->size < 0)
        return nv_fail(err, NV_ERR_CONFLICT, "Image needs to be staged before 'glance-direct' method can be used");
    if (!check_formats(image, NV_ERR_CONFLICT, err) || !move_status(c->db, image, "uploading", "importing", err))
        return false;
    g_autoptr(GError) why = NULL;
    if (import_staged(c, image, &why))
        return call_reply_empty(c, 202);
    drop_file(image->id, ".staged");
    give_up(c, image->id);
    g_propagate_error(err, g_steal_pointer(&why));
    return false;
}

/* bytes=a-b, bytes=a-, bytes=-n.  False: not one range inside the file. */
static bool parse_range(const char *text, gint64 size, gint64 *ret_from, gint64 *ret_length)
{
    if (!g_str_has_prefix(text, "bytes=") || strchr(text, ','))
        return false;
    g_auto(GStrv) ends = g_strsplit(text + strlen("bytes="), "-", 3);
    gint64 a = -1, b = -1;
    if (g_strv_length(ends) != 2 || (*ends[0] && !g_ascii_string_to_signed(ends[0], 10, 0, G_MAXINT64, &a, NULL))
        || (*ends[1] && !g_ascii_string_to_signed(ends[1], 10, 0, G_MAXINT64, &b, NULL)))
        return false;
    if (a < 0 && b > 0) {
        *ret_from = MAX(size - b, 0);
        *ret_length = size - *ret_from;
        return true;
    }
    if (a < 0 || a >= size || (b >= 0 && b < a))
        return false;
    *ret_from = a;
    *ret_length = (b < 0 || b >= size ? size - 1 : b) - a + 1;
    return true;
}

bool image_download(Call *c, GError **err)
{
    g_autoptr(Image) image = image_of_call(c, err);
    if (!image)
        return false;
    if (!strcmp(image->status, "deactivated") && !c->ctx->admin)
        return nv_fail(err, NV_ERR_FORBIDDEN, "The requested image has been deactivated. Image data download is forbidden.");
    if (strcmp(image->status, "active") && strcmp(image->status, "deactivated"))
        return call_reply_empty(c, 204);
    g_auto(Fd) store = store_open(err);
    g_auto(Fd) fd = store < 0 ? -1 : file_open_beneath(store, image->id, O_RDONLY, 0, err);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) || st.st_size != image->size) {
        g_clear_error(err);
        return nv_fail(err, NV_ERR_HOST_FAULT, "The file of image %s is missing from the store, or has not its size.", image->id);
    }
    const char *range = c->header(c, "Range");
    gint64 from = 0, length = image->size;
    if (range && !parse_range(range, image->size, &from, &length)) {
        g_autofree char *all = g_strdup_printf("bytes */%" G_GINT64_FORMAT, image->size);
        call_header(c, "Content-Range", all);
        return nv_fail(err, NV_ERR_RANGE, "Invalid range: %.64s", range);
    }
    if (range) {
        g_autofree char *part = g_strdup_printf("bytes %" G_GINT64_FORMAT "-%" G_GINT64_FORMAT "/%" G_GINT64_FORMAT, from, from + length - 1,
                                                image->size);
        call_header(c, "Content-Range", part);
    } else
        call_header(c, "Content-MD5", image->checksum);
    c->status = range ? 206 : 200;
    c->content_type = "application/octet-stream";
    c->fd = g_steal_fd(&fd);
    c->fd_offset = from;
    c->fd_length = length;
    return true;
}
