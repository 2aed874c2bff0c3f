/* compute/agent/instance.c -- a server's folder: shared with the storage part, which keeps the disk there. */
#include "compute/agent/internal.h"
#include "core/conf.h"
#include "core/error.h"
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

static int instances_dir(GError **err)
{
    g_autofree char *path = conf_path("paths.state", "instances");
    return file_open_dir(path, 0711, err);                 /* QEMU's user passes through, but does not list */
}

int instance_dir_ensure(const char *id, GError **err)
{
    g_auto(Fd) instances = instances_dir(err);
    return instances < 0 ? -1 : file_open_subdir(instances, id, 0711, err);
}

int instance_dir_open(const char *id, GError **err)
{
    g_autoptr(GError) why = NULL;
    g_auto(Fd) instances = instances_dir(err);
    if (instances < 0)
        return -1;
    int dir = file_open_beneath(instances, id, O_RDONLY | O_DIRECTORY, 0, &why);
    if (dir < 0 && !g_error_matches(why, NV_ERROR, NV_ERR_NOT_FOUND))
        g_propagate_error(err, g_steal_pointer(&why));
    return dir;
}

bool instance_give(int fd, GError **err)
{
    const char *user = conf_str("compute.qemu_user");
    struct passwd pw, *found = NULL;
    char buf[4096];
    if (fchmod(fd, 0600) < 0)
        return nv_fail_errno(err, NV_ERR_HOST_FAULT, "cannot set the mode of a server's file");
    /* Without that user QEMU runs as ourselves. */
    if (geteuid() != 0 || !*user || getpwnam_r(user, &pw, buf, sizeof buf, &found) || !found)
        return true;
    return fchown(fd, found->pw_uid, (gid_t) -1) == 0 || nv_fail_errno(err, NV_ERR_HOST_FAULT, "cannot give a server's file to user %s", user);
}

bool instance_absent(const char *id, GError **err)
{
    GError *why = NULL;
    g_auto(Fd) dir = instance_dir_open(id, &why);
    if (dir < 0) {
        if (why)
            g_propagate_error(err, why);
        return !why;
    }
    if (!console_absent(dir, err) || !seed_remove(dir, err))
        return false;
    g_auto(Fd) instances = instances_dir(err);
    if (instances < 0)
        return false;
    /* The disk may still be there: who leaves last takes the folder away. */
    if (unlinkat(instances, id, AT_REMOVEDIR) < 0 && errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT)
        return nv_fail_errno(err, NV_ERR_HOST_FAULT, "cannot remove the folder of server %s", id);
    return true;
}
