/* network/agent/router_watch.c -- two sockets a router: nftables and rtnetlink; one thread reads them all. */
#include "network/agent/router_watch.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/wake.h"
#include "network/agent/nft_events.h"
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOOK_US = 3 * G_USEC_PER_SEC };

typedef struct Watched { char n[13]; guint64 inode; NftEvents rules; int route_fd; bool closing; } Watched;

static GMutex lock;
static GPtrArray *all;               /* Watched; under lock; only the thread takes any out */
static int wake_fd;

static void watched_free(gpointer data)
{
    Watched *w = data;
    file_close(w->rules.fd);
    file_close(w->route_fd);
    g_free(w);
}

static int open_route(GError **err)
{
    const struct sockaddr_nl groups = {
        .nl_family = AF_NETLINK,
        .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV4_RULE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE |
                     1u << (RTNLGRP_IPV6_RULE - 1),
    };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd >= 0 && bind(fd, (const struct sockaddr *) &groups, sizeof groups) == 0)
        return fd;
    nv_fail_errno(err, NV_ERR_HOST_FAULT, "events of links");
    file_close(fd);
    return -1;
}

bool router_watch_open(const char *n, guint64 inode, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    for (guint i = 0; i < all->len; i++) {
        Watched *w = all->pdata[i];
        if (strcmp(w->n, n) == 0 && w->inode == inode && !w->closing)
            return true;
        if (strcmp(w->n, n) == 0)
            w->closing = true;
    }
    NftEvents rules;
    if (!nft_events_open(&rules, err))
        return false;
    int fd = open_route(err);
    if (fd < 0) {
        file_close(rules.fd);
        return false;
    }
    Watched *w = g_new0(Watched, 1);
    *w = (Watched){ .inode = inode, .rules = rules, .route_fd = fd };
    g_strlcpy(w->n, n, sizeof w->n);
    g_ptr_array_add(all, w);
    wake_up(wake_fd);
    return true;
}

void router_watch_close(const char *n)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    for (guint i = 0; i < all->len; i++)
        if (strcmp(((Watched *) all->pdata[i])->n, n) == 0)
            ((Watched *) all->pdata[i])->closing = true;
    wake_up(wake_fd);
}

/* --- the thread --- */

static void list_fds(GArray *fds)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    struct pollfd waker = { .fd = wake_fd, .events = POLLIN };
    g_array_set_size(fds, 0);
    g_array_append_val(fds, waker);
    for (guint i = all->len; i-- > 0;)
        if (((Watched *) all->pdata[i])->closing)
            g_ptr_array_remove_index(all, i);
    for (guint i = 0; i < all->len; i++) {
        const Watched *w = all->pdata[i];
        struct pollfd pair[] = { { .fd = w->rules.fd, .events = POLLIN }, { .fd = w->route_fd, .events = POLLIN } };
        g_array_append_vals(fds, pair, 2);
    }
}

static bool drain(int fd)
{
    char buf[4096];
    bool any = false;
    for (ssize_t n; (n = recv(fd, buf, sizeof buf, MSG_DONTWAIT)) > 0 || (n < 0 && errno == ENOBUFS);)
        any = true;
    return any;
}

typedef struct Seen { char n[13]; RouterChange change; } Seen;

/* What happened in the namespaces whose sockets are readable.  The list has only grown since fds was filled. */
static GArray *collect(const GArray *fds)
{
    GArray *seen = g_array_new(FALSE, TRUE, sizeof(Seen));
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    for (guint i = 0; 2 * i + 2 < fds->len; i++) {
        Watched *w = all->pdata[i];
        Seen s = { .change = ROUTER_LINKS };
        g_strlcpy(s.n, w->n, sizeof s.n);
        bool links = g_array_index(fds, struct pollfd, 2 * i + 2).revents && drain(w->route_fd);
        bool rules = g_array_index(fds, struct pollfd, 2 * i + 1).revents && nft_events_drain(&w->rules);
        if (rules)
            s.change = ROUTER_RULES;
        if ((links || rules) && !w->closing)
            g_array_append_val(seen, s);
    }
    return seen;
}

typedef struct Calls { RouterOnChange *on_change; void (*look)(void); } Calls;

static gpointer watch(gpointer data)
{
    const Calls *calls = data;
    g_autoptr(GArray) fds = g_array_new(FALSE, TRUE, sizeof(struct pollfd));
    gint64 look_at = clock_mono_us() + LOOK_US;
    setpriority(PRIO_PROCESS, 0, -15);
    for (;;) {
        list_fds(fds);
        poll((struct pollfd *) (void *) fds->data, fds->len, (int) (MAX(look_at - clock_mono_us(), 0) / 1000) + 1);
        wake_clear(wake_fd);
        g_autoptr(GArray) seen = collect(fds);
        for (guint i = 0; i < seen->len; i++)
            calls->on_change(g_array_index(seen, Seen, i).n, g_array_index(seen, Seen, i).change);
        if (clock_mono_us() < look_at)
            continue;
        calls->look();
        look_at = clock_mono_us() + LOOK_US;
    }
    return NULL;
}

bool router_watch_start(RouterOnChange *on_change, void (*look)(void), GError **err)
{
    Calls calls = { on_change, look };
    all = g_ptr_array_new_with_free_func(watched_free);
    wake_fd = wake_new(err);
    if (wake_fd < 0)
        return false;
    g_thread_unref(g_thread_new("router-watch", watch, g_memdup2(&calls, sizeof calls)));
    return true;
}
