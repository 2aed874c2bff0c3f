/* storage/agent/disk.h -- inside the storage part: root disks as overlays on cached copies of images. */
#pragma once
#include "core/file.h"
#include "core/json.h"
#include "core/proc.h"

/* qcow2 files that hold no data yet (qcow2.c). */
enum { QCOW2_NAME_MAX = 1023 };
typedef struct Qcow2 { guint64 virtual_size; char backing[QCOW2_NAME_MAX + 1], backing_format[16]; } Qcow2;
/* Writes an empty version-3 file of virtual_size bytes to fd; backing NULL: none.  backing_format is required with it, so that nothing
 * ever guesses the format of a tenant's bytes. */
bool qcow2_write_empty(int fd, guint64 virtual_size, const char *backing, const char *backing_format, GError **err);
/* Reads back what qcow2_write_empty wrote: size and backing file. */
bool qcow2_read_header(int fd, Qcow2 *ret, GError **err);
enum { QCOW2_GIB_MAX = 64 << 10 };           /* largest disk we make: 64 TiB */

/* An image as the controller describes it.  Borrowed from the verb's arguments. */
typedef struct ImageArg { const char *id, *sha512, *format; gint64 size, virtual_size; } ImageArg;
bool image_arg_parse(const json_t *object, ImageArg *ret_image, GError **err);

/* The cache of images (base.c).  base_acquire copies the image from the store unless it is there, and keeps it from being removed until
 * base_release; many may hold it at once.  ret_path is the file's absolute name; caller frees. */
bool base_acquire(const ImageArg *image, char **ret_path, GError **err);
void base_release(const char *image_id);
/* Removes the copy unless it is held or an overlay names it (NV_ERR_CONFLICT). */
bool base_remove(const char *image_id, GError **err);
/* True while somebody copies or removes it. */
bool base_is_busy(const char *image_id);
/* Adds ids of complete copies and names of abandoned partial files. */
bool base_list(json_t *bases, json_t *partials, GError **err);
/* Removes partial copies that an earlier run left. */
bool base_sweep(GError **err);

/* disk.c, for base.c: whether some disk's backing file is path. */
bool disk_uses_backing(const char *path, bool *ret_used, GError **err);

/* Directories of the agent: "instances", "base", or "images" (the store: the API's, only read here).  -1 with err. */
int storage_dir(const char *which, GError **err);
/* Gives fd to the user QEMU runs as, mode as said. */
bool storage_give_to_qemu(int fd, mode_t mode, GError **err);
