/* network/agent/netns.c -- named network namespaces: made on a helper thread, kept by a bind mount, entered by helper threads. */
#include "network/agent/netns.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

static const char dir[] = "/run/netns";

static char *path_of(const char *name)
{
    return g_strdup_printf("%s/%s", dir, name);
}

bool netns_exists(const char *name)
{
    g_autofree char *path = path_of(name);
    struct statfs fs;
    return statfs(path, &fs) == 0 && fs.f_type == NSFS_MAGIC;
}

guint64 netns_inode(const char *name)
{
    g_autofree char *path = path_of(name);
    struct stat st;
    return netns_exists(name) && stat(path, &st) == 0 ? st.st_ino : 0;
}

/* As `ip netns add` does: mounts made below are seen in the other mount namespaces of the host. */
static bool make_dir(GError **err)
{
    if (mkdir(dir, 0755) < 0 && errno != EEXIST)
        return nv_fail_errno(err, NV_ERR_AGENT, "%s", dir);
    if (mount("", dir, NULL, MS_SHARED | MS_REC, NULL) == 0)
        return true;
    if (errno == EINVAL && mount(dir, dir, NULL, MS_BIND | MS_REC, NULL) == 0 && mount("", dir, NULL, MS_SHARED | MS_REC, NULL) == 0)
        return true;
    return nv_fail_errno(err, NV_ERR_AGENT, "%s", dir);
}

typedef struct Making { const char *path; int error; } Making;

/* The thread's new namespace outlives it through the mount. */
static gpointer make_and_mount(gpointer data)
{
    Making *m = data;
    if (unshare(CLONE_NEWNET) < 0 || mount("/proc/thread-self/ns/net", m->path, NULL, MS_BIND, NULL) < 0)
        m->error = errno;
    return NULL;
}

bool netns_ensure(const char *name, GError **err)
{
    g_autofree char *path = path_of(name);
    if (netns_exists(name))
        return true;
    if (!make_dir(err))
        return false;
    int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0444);
    if (fd < 0)
        return nv_fail_errno(err, NV_ERR_AGENT, "%s", path);
    close(fd);
    Making m = { .path = path };
    g_thread_join(g_thread_new("netns-make", make_and_mount, &m));
    errno = m.error;
    return !m.error || nv_fail_errno(err, NV_ERR_AGENT, "making the network namespace %s", name);
}

bool netns_absent(const char *name, GError **err)
{
    g_autofree char *path = path_of(name);
    while (umount2(path, MNT_DETACH) == 0)
        ;
    return unlink(path) == 0 || errno == ENOENT || nv_fail_errno(err, NV_ERR_AGENT, "%s", path);
}

int netns_open(const char *name, GError **err)
{
    g_autofree char *path = path_of(name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        nv_fail_errno(err, NV_ERR_AGENT, "%s", path);
    return fd;
}

typedef struct Visit { int fd; bool (*fn)(void *, GError **); void *data; GError **err; bool ok; } Visit;

static gpointer visit(gpointer data)
{
    Visit *v = data;
    v->ok = setns(v->fd, CLONE_NEWNET) == 0 ? v->fn(v->data, v->err) : nv_fail_errno(v->err, NV_ERR_AGENT, "entering a network namespace");
    return NULL;
}

bool netns_run(const char *name, bool (*fn)(void *data, GError **err), void *data, GError **err)
{
    int fd = netns_open(name, err);
    if (fd < 0)
        return false;
    Visit v = { fd, fn, data, err, false };
    g_thread_join(g_thread_new("netns", visit, &v));
    close(fd);
    return v.ok;
}

GPtrArray *netns_list(const char *prefix)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
    const char *name;
    while (d && (name = g_dir_read_name(d)))
        if (g_str_has_prefix(name, prefix))
            g_ptr_array_add(names, g_strdup(name));
    return names;
}
