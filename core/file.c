/* core/file.c -- files in directories that others may meddle with: opened beneath a directory, never through a symbolic link. */
#include "core/file.h"
#include "core/error.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

void file_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

static NvErr code_of_errno(int e)
{
    switch (e) {
    case ENOENT: return NV_ERR_NOT_FOUND;
    case ENOSPC: case EDQUOT: return NV_ERR_NO_SPACE;
    case EMFILE: case ENFILE: case ENOMEM: case EINTR: case EAGAIN: return NV_ERR_AGENT;
    default: return NV_ERR_HOST_FAULT;
    }
}

static int open_beneath(int dir_fd, const char *name, int flags, mode_t mode)
{
    struct open_how how = { .flags = (guint64) (flags | O_CLOEXEC | O_NOFOLLOW), .mode = flags & O_CREAT ? mode : 0,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
    long fd;
    do
        fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof how);
    while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    return (int) fd;
}

static bool check_dir(int fd, const char *name, mode_t mode, GError **err)
{
    struct stat st;
    if (fstat(fd, &st))
        return nv_fail_errno(err, NV_ERR_HOST_FAULT, "cannot look at directory %s", name);
    if (st.st_uid != geteuid())
        return nv_fail(err, NV_ERR_HOST_FAULT, "directory %s belongs to user %u, not to user %u who keeps files there", name, st.st_uid, geteuid());
    /* The umask may have taken bits away when it was made. */
    if ((st.st_mode & mode) != mode && fchmod(fd, (st.st_mode & 07777) | mode))
        return nv_fail_errno(err, NV_ERR_HOST_FAULT, "cannot set the mode of directory %s", name);
    return !(st.st_mode & 022) || nv_fail(err, NV_ERR_HOST_FAULT, "directory %s is writable by others", name);
}

int file_open_dir(const char *path, mode_t mode, GError **err)
{
    g_auto(Fd) fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        g_autofree char *parent = g_path_get_dirname(path);
        if (g_mkdir_with_parents(parent, 0755) || (mkdir(path, mode) && errno != EEXIST))
            return nv_fail_errno(err, code_of_errno(errno), "cannot make directory %s", path), -1;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    if (fd < 0)
        return nv_fail_errno(err, NV_ERR_HOST_FAULT, "cannot open directory %s", path), -1;
    return check_dir(fd, path, mode, err) ? (int) g_steal_fd(&fd) : -1;
}

int file_open_subdir(int dir_fd, const char *name, mode_t mode, GError **err)
{
    if (!mkdirat(dir_fd, name, mode)) {
        if (fsync(dir_fd))
            return nv_fail_errno(err, code_of_errno(errno), "cannot make directory %s durable", name), -1;
    } else if (errno != EEXIST)
        return nv_fail_errno(err, code_of_errno(errno), "cannot make directory %s", name), -1;
    g_auto(Fd) fd = open_beneath(dir_fd, name, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return nv_fail_errno(err, NV_ERR_HOST_FAULT, "cannot open directory %s", name), -1;
    return check_dir(fd, name, mode, err) ? (int) g_steal_fd(&fd) : -1;
}

int file_open_beneath(int dir_fd, const char *name, int flags, mode_t mode, GError **err)
{
    /* O_NONBLOCK: a FIFO put in the place of a file must not hold us up. */
    g_auto(Fd) fd = open_beneath(dir_fd, name, flags | O_NONBLOCK, mode);
    if (fd < 0)
        return nv_fail_errno(err, code_of_errno(errno), "cannot open %s", name), -1;
    if (flags & O_DIRECTORY)
        return (int) g_steal_fd(&fd);
    struct stat st;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_nlink != 1)
        return nv_fail(err, NV_ERR_HOST_FAULT, "%s is not a plain file with one name", name), -1;
    return (int) g_steal_fd(&fd);
}

int file_open_part(int dir_fd, const char *part, mode_t mode, GError **err)
{
    if (unlinkat(dir_fd, part, 0) && errno != ENOENT)
        return nv_fail_errno(err, code_of_errno(errno), "cannot remove what was left at %s", part), -1;
    return file_open_beneath(dir_fd, part, O_RDWR | O_CREAT | O_EXCL, mode, err);
}

bool file_write_at(int fd, const void *buf, gsize n, goffset offset, GError **err)
{
    for (const char *p = buf; n;) {
        gssize k = pwrite(fd, p, n, offset);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return nv_fail_errno(err, code_of_errno(errno), "cannot write");
        p += k;
        n -= (gsize) k;
        offset += k;
    }
    return true;
}

bool file_publish(int dir_fd, int fd, const char *part, const char *name, GError **err)
{
    if (fsync(fd))
        return nv_fail_errno(err, code_of_errno(errno), "cannot make %s durable", part);
    if (renameat(dir_fd, part, dir_fd, name))
        return nv_fail_errno(err, code_of_errno(errno), "cannot rename %s to %s", part, name);
    return !fsync(dir_fd) || nv_fail_errno(err, code_of_errno(errno), "cannot make the name %s durable", name);
}

bool file_replace(int dir_fd, const char *name, const char *text, mode_t mode, GError **err)
{
    g_autofree char *part = g_strdup_printf(".%s.part", name);
    g_auto(Fd) fd = file_open_part(dir_fd, part, mode, err);
    if (fd < 0 || !file_write_at(fd, text, strlen(text), 0, err))
        return false;
    return !renameat(dir_fd, part, dir_fd, name) || nv_fail_errno(err, code_of_errno(errno), "cannot rename %s to %s", part, name);
}

bool file_absent(int dir_fd, const char *name, GError **err)
{
    if (unlinkat(dir_fd, name, 0))
        return errno == ENOENT || nv_fail_errno(err, code_of_errno(errno), "cannot remove %s", name);
    return !fsync(dir_fd) || nv_fail_errno(err, code_of_errno(errno), "cannot make the removal of %s durable", name);
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

GPtrArray *file_names(int dir_fd, GError **err)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);   /* an offset of its own */
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        nv_fail_errno(err, NV_ERR_HOST_FAULT, "cannot list a directory");
        file_close(fd);
        return NULL;
    }
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    for (struct dirent *e; (e = readdir(dir));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            g_ptr_array_add(names, g_strdup(e->d_name));
    closedir(dir);
    g_ptr_array_sort(names, compare_names);
    return names;
}
