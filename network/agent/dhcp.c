/* network/agent/dhcp.c -- starts, informs, watches and ends the dnsmasq of each network. */
#include "network/agent/dhcp.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/error.h"
#include "core/file.h"
#include "core/log.h"
#include "core/proc.h"
#include "core/wake.h"
#include "network/agent/dnsmasq.h"
#include "network/agent/lease.h"
#include "network/agent/netns.h"
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BACKOFF_FIRST_MS = 100, BACKOFF_MAX_MS = 30000, LOG_MAX = 1 << 20, START_US = 500000, STEADY_US = 10 * G_USEC_PER_SEC, STOP_MS = 2000 };

/* One network's process.  Under lock. */
typedef struct Daemon {
    char n[13], netns[24], *dir;
    char *place;                     /* where it was started; NULL: nobody has asked for it yet */
    pid_t pid;
    int pidfd;                       /* -1: not running */
    bool adopted;                    /* an earlier agent's: nobody knows whether that told it of what it wrote last */
    gint64 started, retry_at;        /* monotonic; retry_at 0: no attempt is due */
    int backoff_ms;
} Daemon;

static GMutex lock;
static GHashTable *daemons;          /* n → Daemon */
static int wake_fd;

static char *dir_of(const char *n)
{
    return conf_path("paths.run", "dhcp/%s", n);
}

static void daemon_free(gpointer data)
{
    Daemon *d = data;
    file_close(d->pidfd);
    g_free(d->dir);
    g_free(d->place);
    g_free(d);
}

static int pidfd_of(pid_t pid)
{
    return (int) syscall(SYS_pidfd_open, pid, 0);
}

static void send_signal(const Daemon *d, int sig)
{
    if (d->pidfd >= 0)
        syscall(SYS_pidfd_send_signal, d->pidfd, sig, NULL, 0);
}

static bool is_alive(const Daemon *d)
{
    struct pollfd p = { .fd = d->pidfd, .events = POLLIN };
    return d->pidfd >= 0 && poll(&p, 1, 0) == 0;
}

/* A process that has only begun dies of SIGHUP; one that wrote its pid handles it. */
static void wait_until_up(const Daemon *d)
{
    g_autofree char *file = g_strdup_printf("%s/pid", d->dir);
    while (clock_mono_us() - d->started < START_US && is_alive(d)) {
        g_autofree char *text = NULL;
        if (g_file_get_contents(file, &text, NULL, NULL) && g_ascii_strtoll(text, NULL, 10) > 0)
            return;
        g_usleep(2000);
    }
}

/* conf.read is the conf that a process began with: the same file, until conf is replaced. */
static bool note_conf(const Daemon *d, GError **err)
{
    g_autofree char *conf = g_strdup_printf("%s/conf", d->dir), *read = g_strdup_printf("%s/conf.read", d->dir);
    unlink(read);
    return link(conf, read) == 0 || nv_fail_errno(err, NV_ERR_AGENT, "%s", read);
}

static bool has_read_conf(const Daemon *d)
{
    g_autofree char *conf = g_strdup_printf("%s/conf", d->dir), *read = g_strdup_printf("%s/conf.read", d->dir);
    struct stat now, then;
    return stat(conf, &now) == 0 && stat(read, &then) == 0 && now.st_ino == then.st_ino;
}

/* The process of an earlier agent goes on. */
static void adopt(Daemon *d)
{
    g_autofree char *file = g_strdup_printf("%s/pid", d->dir), *text = NULL, *wanted = g_strdup_printf("--conf-file=%s/conf", d->dir);
    if (d->pidfd >= 0 || !g_file_get_contents(file, &text, NULL, NULL))
        return;
    pid_t pid = (pid_t) g_ascii_strtoll(text, NULL, 10);
    g_autofree char *proc = g_strdup_printf("/proc/%d/cmdline", (int) pid), *cmdline = NULL;
    gsize len = 0;
    int fd = pid > 1 ? pidfd_of(pid) : -1;       /* held before looking: the number cannot be another's from here */
    if (fd >= 0 && g_file_get_contents(proc, &cmdline, &len, NULL) && memmem(cmdline, len, wanted, strlen(wanted))) {
        d->pid = pid;
        d->pidfd = fd;
        d->adopted = true;
        d->started = clock_mono_us();
        wake_up(wake_fd);
        return;
    }
    file_close(fd);
}

/* With the lock held. */
static void end_process(Daemon *d)
{
    struct pollfd p = { .fd = d->pidfd, .events = POLLIN };
    if (d->pidfd < 0)
        return;
    send_signal(d, SIGTERM);
    if (poll(&p, 1, STOP_MS) == 0) {
        send_signal(d, SIGKILL);
        poll(&p, 1, STOP_MS);
    }
    file_close(d->pidfd);
    d->pidfd = -1;
    d->adopted = false;
}

/* One that an earlier agent left, and that had not written its pid when it was looked for, holds the addresses: it is ended. */
static bool launch(Daemon *d, GError **err)
{
    g_autofree char *conf = g_strdup_printf("--conf-file=%s/conf", d->dir);
    const char *argv[] = { "dnsmasq", "--keep-in-foreground", conf, NULL };
    ProcOptions opt = { .netns = d->netns };
    g_autofree char *errors = g_strdup_printf("%s/errors", d->dir), *pid_file = g_strdup_printf("%s/pid", d->dir);
    file_close(d->pidfd);
    d->pidfd = -1;
    adopt(d);
    end_process(d);
    unlink(pid_file);
    d->pid = note_conf(d, err) ? proc_spawn_daemon(argv, &opt, errors, err) : -1;
    d->started = clock_mono_us();
    if (d->pid < 0)
        return false;
    d->pidfd = pidfd_of(d->pid);
    if (d->pidfd < 0)
        return nv_fail_errno(err, NV_ERR_AGENT, "dnsmasq ended at once, see %s", errors);
    wake_up(wake_fd);
    return true;
}

/* --- supervision --- */

static void died(Daemon *d)
{
    gint64 now = clock_mono_us();
    d->backoff_ms = now - d->started > STEADY_US || !d->backoff_ms ? BACKOFF_FIRST_MS : MIN(d->backoff_ms * 2, BACKOFF_MAX_MS);
    d->retry_at = now + d->backoff_ms * 1000;
    file_close(d->pidfd);
    d->pidfd = -1;
    log_warn("dhcp.died", "network", d->n, "pid", LOG_INT(d->pid), "retry_ms", LOG_INT(d->backoff_ms), NULL);
}

static void retry(Daemon *d)
{
    g_autoptr(GError) err = NULL;
    d->retry_at = 0;
    if (launch(d, &err)) {
        log_info("dhcp.restarted", "network", d->n, "pid", LOG_INT(d->pid), NULL);
        return;
    }
    d->backoff_ms = MIN(MAX(d->backoff_ms, BACKOFF_FIRST_MS) * 2, BACKOFF_MAX_MS);
    d->retry_at = clock_mono_us() + d->backoff_ms * 1000;
    log_warn("dhcp.failed", "network", d->n, "error", err->message, NULL);
}

/* Looks after all once; returns the milliseconds to the next due attempt, -1 if none.  fds gets what to poll. */
static int tend(GArray *fds)
{
    GHashTableIter it;
    gpointer value;
    gint64 now = clock_mono_us(), next = 0;
    g_array_set_size(fds, 0);
    struct pollfd waker = { .fd = wake_fd, .events = POLLIN };
    g_array_append_val(fds, waker);
    g_hash_table_iter_init(&it, daemons);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        Daemon *d = value;
        if (d->pidfd >= 0 && !is_alive(d))
            died(d);
        if (d->retry_at && d->retry_at <= now)
            retry(d);
        if (d->retry_at && (!next || d->retry_at < next))
            next = d->retry_at;
        struct pollfd p = { .fd = d->pidfd, .events = POLLIN };
        if (d->pidfd >= 0)
            g_array_append_val(fds, p);
    }
    return next ? (int) MAX((next - now) / 1000, 1) : -1;
}

static gpointer supervise(gpointer data)
{
    g_autoptr(GArray) fds = g_array_new(FALSE, TRUE, sizeof(struct pollfd));
    (void) data;
    for (;;) {
        g_mutex_lock(&lock);
        int timeout = tend(fds);
        g_mutex_unlock(&lock);
        poll((struct pollfd *) (void *) fds->data, fds->len, timeout);
        wake_clear(wake_fd);
    }
    return NULL;
}

bool dhcp_start(GError **err)
{
    daemons = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, daemon_free);
    wake_fd = wake_new(err);
    if (wake_fd < 0)
        return false;
    g_thread_unref(g_thread_new("dhcp", supervise, NULL));
    return true;
}

/* --- files --- */

/* Writes text where it differs; *ret_changed is only ever set to true. */
static bool put_file(const char *dir, int dir_fd, const char *name, const char *text, bool *ret_changed, GError **err)
{
    g_autofree char *path = g_strdup_printf("%s/%s", dir, name), *there = NULL;
    g_autoptr(GError) why = NULL;
    if (g_file_get_contents(path, &there, NULL, NULL) && strcmp(there, text) == 0)
        return true;
    *ret_changed = true;
    return file_replace(dir_fd, name, text, 0644, &why) || nv_fail(err, NV_ERR_AGENT, "%s", why->message);
}

static const char *daemon_user(void)
{
    static const char *const users[] = { "dnsmasq", "nobody" };
    for (gsize i = 0; i < G_N_ELEMENTS(users); i++)
        if (getpwnam(users[i]))
            return users[i];
    return "root";
}

/* A process in another namespace, or at a device that is no more, is of no use: it began with another conf. */
static char *place_of(const NetworkSpec *n)
{
    return g_strdup_printf("in namespace %" G_GUINT64_FORMAT " behind device %u", netns_inode(n->netns.s), if_nametoindex(n->veth.s));
}

static bool put_files(const NetworkSpec *n, const char *dir, const char *place, bool *ret_conf, bool *ret_data, GError **err)
{
    g_autofree char *conf = dnsmasq_conf(n, dir, daemon_user(), place);
    g_autofree char *hosts = dnsmasq_hosts(n), *opts = dnsmasq_opts(n), *names = dnsmasq_names(n);
    g_autofree char *top = conf_path("paths.run", "dhcp");
    g_auto(Fd) all = file_open_dir(top, 0755, err), own = all < 0 ? -1 : file_open_subdir(all, n->n.s, 0755, err);
    if (own < 0)                                 /* dnsmasq does what its files say: they are ours or nobody's */
        return false;
    /* hosts last: while a file before it cannot be written, it says whose the leases were. */
    return put_file(dir, own, "opts", opts, ret_data, err) && put_file(dir, own, "names", names, ret_data, err) &&
           put_file(dir, own, "conf", conf, ret_conf, err) && put_file(dir, own, "hosts", hosts, ret_data, err);
}

static Daemon *daemon_for(const NetworkSpec *n, const char *dir)
{
    Daemon *d = g_hash_table_lookup(daemons, n->n.s);
    if (d)
        return d;
    d = g_new0(Daemon, 1);
    g_strlcpy(d->n, n->n.s, sizeof d->n);
    g_strlcpy(d->netns, n->netns.s, sizeof d->netns);
    d->dir = g_strdup(dir);
    d->pidfd = -1;
    g_hash_table_insert(daemons, d->n, d);
    adopt(d);
    return d;
}

bool dhcp_ensure(const NetworkSpec *n, GError **err)
{
    g_autofree char *dir = dir_of(n->n.s), *hosts = g_strdup_printf("%s/hosts", dir), *known = NULL, *place = place_of(n);
    bool conf = false, data = false;
    const char *before = g_file_get_contents(hosts, &known, NULL, NULL) ? known : "";
    if (!put_files(n, dir, place, &conf, &data, err))
        return false;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    Daemon *d = daemon_for(n, dir);
    g_free(d->place);
    d->place = g_steal_pointer(&place);
    conf |= !has_read_conf(d);
    data |= d->adopted;
    d->adopted = false;
    if (data && is_alive(d))
        wait_until_up(d);
    if (d->pidfd >= 0 && (conf || (data && is_alive(d) && !lease_release(n, dir, before))))
        end_process(d);
    if (!is_alive(d) && !conf && !data && (d->pidfd >= 0 || d->retry_at)) {
        wake_up(wake_fd);            /* it ended by itself, and is started when its time comes */
        return true;
    }
    if (!is_alive(d)) {
        d->retry_at = 0;
        d->backoff_ms = 0;
        lease_prune(n, dir, before);
        return launch(d, err);
    }
    if (data)
        send_signal(d, SIGHUP);
    return true;
}

bool dhcp_absent(const char *n, GError **err)
{
    g_autofree char *dir = dir_of(n);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    Daemon *d = g_hash_table_lookup(daemons, n);
    if (!d && g_file_test(dir, G_FILE_TEST_IS_DIR)) {
        NetworkSpec spec = { 0 };
        g_strlcpy(spec.n.s, n, sizeof spec.n.s);
        d = daemon_for(&spec, dir);
    }
    if (d)
        end_process(d);
    g_hash_table_remove(daemons, n);
    /* All files: an agent that was killed may have left half of one under a name of its own. */
    g_autoptr(GDir) files = g_dir_open(dir, 0, NULL);
    const char *name;
    while (files && (name = g_dir_read_name(files))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);
        unlink(path);
    }
    return rmdir(dir) == 0 || errno == ENOENT || nv_fail_errno(err, NV_ERR_AGENT, "%s", dir);
}

bool dhcp_running(const NetworkSpec *n)
{
    g_autofree char *place = place_of(n);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    const Daemon *d = g_hash_table_lookup(daemons, n->n.s);
    return d && is_alive(d) && g_strcmp0(d->place, place) == 0;
}

static void trim(const char *dir, const char *name)
{
    g_autofree char *path = g_strdup_printf("%s/%s", dir, name);
    struct stat st;
    if (stat(path, &st) == 0 && st.st_size > LOG_MAX && truncate(path, 0) < 0)
        log_warn("dhcp.log_kept", "path", path, "error", g_strerror(errno), NULL);
}

void dhcp_trim_logs(void)
{
    g_autoptr(GPtrArray) names = dhcp_list();
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *dir = dir_of(names->pdata[i]);
        trim(dir, "log");
        trim(dir, "errors");
    }
}

GPtrArray *dhcp_list(void)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *top = conf_path("paths.run", "dhcp");
    g_autoptr(GDir) dir = g_dir_open(top, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir)))
        g_ptr_array_add(names, g_strdup(name));
    return names;
}
