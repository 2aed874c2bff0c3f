/* storage/agent/disk.c -- the verbs of root disks: a qcow2 overlay a server, on a cached copy of its image. */
#include "storage/agent/agent.h"
#include "storage/agent/disk.h"
#include "core/conf.h"
#include "core/error.h"
#include "core/fault.h"
#include "core/id.h"
#include "core/log.h"
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK "disk.qcow2"
#define DISK_PART DISK ".part"

int storage_dir(const char *which, GError **err)
{
    g_autofree char *path = conf_path("paths.state", "%s", which);
    if (!strcmp(which, "images")) {                        /* the API's own: read only, checked file by file */
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            nv_fail_errno(err, NV_ERR_HOST_FAULT, "cannot open the image store %s", path);
        return fd;
    }
    return file_open_dir(path, 0711, err);                 /* QEMU's user passes through, but does not list */
}

bool storage_give_to_qemu(int fd, mode_t mode, GError **err)
{
    const char *user = conf_str("compute.qemu_user");
    struct passwd pw, *found = NULL;
    char buf[4096];
    if (fchmod(fd, mode))
        return nv_fail_errno(err, NV_ERR_HOST_FAULT, "cannot set the mode of a disk");
    if (geteuid() || !user || !*user || getpwnam_r(user, &pw, buf, sizeof buf, &found) || !found)
        return true;                                       /* QEMU runs as ourselves (tests), or as root */
    return !fchown(fd, found->pw_uid, (gid_t) -1) || nv_fail_errno(err, NV_ERR_HOST_FAULT, "cannot give a disk to user %s", user);
}

/* True in *ret_exists where the disk is there and is what was asked for; another disk in its place is an error, never overwritten. */
static bool disk_exists(int dir, guint64 size, const char *backing, const char *format, bool *ret_exists, GError **err)
{
    g_autoptr(GError) why = NULL;
    g_auto(Fd) fd = file_open_beneath(dir, DISK, O_RDONLY, 0, &why);
    *ret_exists = fd >= 0;
    if (fd < 0 && g_error_matches(why, NV_ERROR, NV_ERR_NOT_FOUND))
        return true;
    if (fd < 0) {
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    Qcow2 q;
    if (!qcow2_read_header(fd, &q, err))
        return false;
    if (strcmp(q.backing, backing ? backing : "") || strcmp(q.backing_format, backing ? format : ""))
        return nv_fail(err, NV_ERR_HOST_FAULT, "the disk that is there already is an overlay of '%s' in format '%s'", q.backing, q.backing_format);
    return q.virtual_size == size || nv_fail(err, NV_ERR_HOST_FAULT, "the disk that is there already has %" G_GUINT64_FORMAT " bytes, not %"
                                             G_GUINT64_FORMAT, q.virtual_size, size);
}

static bool disk_make(const char *id, guint64 size, const char *backing, const char *format, GError **err)
{
    g_auto(Fd) instances = storage_dir("instances", err);
    g_auto(Fd) dir = instances < 0 ? -1 : file_open_subdir(instances, id, 0711, err);
    bool exists = false;
    if (dir < 0 || !disk_exists(dir, size, backing, format, &exists, err))
        return false;
    if (exists)
        return true;
    g_auto(Fd) fd = file_open_part(dir, DISK_PART, 0600, err);
    return fd >= 0 && fault_point("storage.disk.part", err)
        && qcow2_write_empty(fd, size, backing, format, err) && storage_give_to_qemu(fd, 0600, err)
        && fault_point("storage.disk.written", err) && file_publish(dir, fd, DISK_PART, DISK, err)
        && fault_point("storage.disk.done", err);
}

static json_t *disk_ensure(const json_t *args, GError **err)
{
    const char *id = json_get_str(args, "id");
    const json_t *object = json_object_get(args, "image");
    gint64 gib = json_get_int(args, "size_gb", -1);
    if (gib < 0 || gib > QCOW2_GIB_MAX)
        return nv_fail(err, NV_ERR_INVALID, "size_gb must be between 0 and %d", QCOW2_GIB_MAX), NULL;
    guint64 size = (guint64) gib << 30;
    if (!json_is_object(object))
        return disk_make(id, size, NULL, NULL, err) ? json_object() : NULL;
    ImageArg image;
    g_autofree char *backing = NULL;
    if (!image_arg_parse(object, &image, err) || !base_acquire(&image, &backing, err))
        return NULL;
    bool ok = disk_make(id, MAX(size, ((guint64) image.virtual_size + 511) / 512 * 512), backing, image.format, err);
    base_release(image.id);
    return ok ? json_object() : NULL;
}

static json_t *disk_absent(const json_t *args, GError **err)
{
    const char *id = json_get_str(args, "id");
    g_auto(Fd) instances = storage_dir("instances", err);
    if (instances < 0)
        return NULL;
    g_autoptr(GError) why = NULL;
    g_auto(Fd) dir = file_open_beneath(instances, id, O_RDONLY | O_DIRECTORY, 0, &why);
    if (dir < 0 && g_error_matches(why, NV_ERROR, NV_ERR_NOT_FOUND))
        return json_object();
    if (dir < 0) {
        g_propagate_error(err, g_steal_pointer(&why));
        return NULL;
    }
    if (!file_absent(dir, DISK_PART, err) || !file_absent(dir, DISK, err) || !fault_point("storage.disk.removed", err))
        return NULL;
    /* The folder is shared with the domain's console log and config drive: who leaves last takes it away. */
    if (unlinkat(instances, id, AT_REMOVEDIR) && errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT)
        return nv_fail_errno(err, NV_ERR_HOST_FAULT, "cannot remove the folder of server %s", id), NULL;
    return json_object();
}

typedef bool EachDisk(int dir, const char *id, void *data, GError **err);

static bool each_instance(EachDisk *fn, void *data, GError **err)
{
    g_auto(Fd) instances = storage_dir("instances", err);
    g_autoptr(GPtrArray) names = instances < 0 ? NULL : file_names(instances, err);
    for (guint i = 0; names && i < names->len; i++) {
        g_auto(Fd) dir = id_is_uuid(names->pdata[i]) ? file_open_beneath(instances, names->pdata[i], O_RDONLY | O_DIRECTORY, 0, NULL) : -1;
        if (dir >= 0 && !fn(dir, names->pdata[i], data, err))
            return false;
    }
    return names;
}

typedef struct Uses { const char *path; bool used; } Uses;

static bool note_backing(int dir, const char *id, void *data, GError **err)
{
    Uses *uses = data;
    Qcow2 q = { 0 };
    (void) id;
    (void) err;
    g_auto(Fd) fd = file_open_beneath(dir, DISK, O_RDONLY, 0, NULL);
    g_autoptr(GError) why = NULL;
    if (fd >= 0 && !qcow2_read_header(fd, &q, &why))
        uses->used = true;                                 /* unreadable: better to keep a base too long */
    uses->used |= !strcmp(q.backing, uses->path);
    return true;
}

bool disk_uses_backing(const char *path, bool *ret_used, GError **err)
{
    Uses uses = { .path = path };
    if (!each_instance(note_backing, &uses, err))
        return false;
    *ret_used = uses.used;
    return true;
}

typedef struct Lists { json_t *disks, *bases, *partials; } Lists;

static bool list_one(int dir, const char *id, void *data, GError **err)
{
    Lists *lists = data;
    (void) err;
    if (!faccessat(dir, DISK, F_OK, AT_SYMLINK_NOFOLLOW))
        json_array_append_new(lists->disks, json_string(id));
    if (!faccessat(dir, DISK_PART, F_OK, AT_SYMLINK_NOFOLLOW))
        json_array_append_new(lists->partials, json_sprintf("instances/%s/%s", id, DISK_PART));
    return true;
}

static json_t *disk_list(const json_t *args, GError **err)
{
    (void) args;
    g_autoptr(json_t) disks = json_array();
    g_autoptr(json_t) bases = json_array();
    g_autoptr(json_t) partials = json_array();
    Lists lists = { disks, bases, partials };
    if (!each_instance(list_one, &lists, err) || !base_list(bases, partials, err))
        return NULL;
    return json_make("ooo", "disks", g_steal_pointer(&disks), "bases", g_steal_pointer(&bases), "partials", g_steal_pointer(&partials));
}

static json_t *base_absent(const json_t *args, GError **err)
{
    return base_remove(json_get_str(args, "image_id"), err) ? json_object() : NULL;
}

static bool sweep_one(int dir, const char *id, void *data, GError **err)
{
    (void) data;
    if (!faccessat(dir, DISK_PART, F_OK, AT_SYMLINK_NOFOLLOW))
        log_info("disk.partial.removed", "server", id, NULL);
    return file_absent(dir, DISK_PART, err);
}

bool storage_agent_start(GError **err)
{
    return base_sweep(err) && each_instance(sweep_one, NULL, err);
}

const Verb storage_verbs[] = {
    { "disk.ensure", disk_ensure, (const VerbArg[]){ { "id", ARG_ID, false }, { "image", ARG_OBJECT, true }, { "size_gb", ARG_INT, false }, { 0 } } },
    { "disk.absent", disk_absent, (const VerbArg[]){ { "id", ARG_ID, false }, { 0 } } },
    { "disk.list",   disk_list,   (const VerbArg[]){ { 0 } } },
    { "base.absent", base_absent, (const VerbArg[]){ { "image_id", ARG_ID, false }, { 0 } } },
    VERBS_END
};
