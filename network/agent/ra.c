/* network/agent/ra.c -- one thread sends what RFC 4861 asks of a router; of what guests send, not a byte is looked at. */
#include "network/agent/ra.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/file.h"
#include "core/log.h"
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* RFC 4861 §6.2.1, §10; the prefix's times are those of dnsmasq's advertisements on the same network. */
enum {
    INTERVAL_S = 60, FIRST_S = 5, FIRST_COUNT = 3, AGAIN_S = 1, BETWEEN_S = 3,
    PREFIX_S = 86400, HOP_LIMIT = 64, FLAG_MANAGED = 0x80, FLAG_OTHER = 0x40, FLAG_ON_LINK = 0x80, FLAG_AUTO = 0x40, MTU_MIN_6 = 1280,
};

typedef struct RaLink {
    Id12 n;                          /* of the router */
    IfName device;
    guint64 inode;                   /* of the namespace */
    unsigned index;
    int fd, sent;
    bool closing;
    GByteArray *message, *goodbye;
    gint64 last, next;               /* monotonic */
} RaLink;

static GMutex lock;
static GPtrArray *links;             /* RaLink; under lock; only the thread takes any out */
static int wake_fd;

static void put(GByteArray *out, const void *data, guint n)
{
    g_byte_array_append(out, data, n);
}

static void put_u32(GByteArray *out, guint32 v)
{
    guint32 net = htonl(v);
    put(out, &net, sizeof net);
}

static void put_prefix(GByteArray *out, const RouterRa *ra)
{
    guint8 head[4] = { 3, 4, (guint8) ra->prefix.prefix, (guint8) (FLAG_ON_LINK | (ra->mode == RA_STATEFUL ? 0 : FLAG_AUTO)) };
    put(out, head, sizeof head);
    put_u32(out, PREFIX_S);
    put_u32(out, PREFIX_S);
    put_u32(out, 0);
    for (int i = 15; i >= 0; i--) {
        guint8 b = (guint8) (ra->prefix.base.n >> (8 * i));
        put(out, &b, 1);
    }
}

GByteArray *ra_message(const RouterPort *p, int lifetime_s)
{
    GByteArray *out = g_byte_array_new();
    guint8 flags = 0, option[2] = { 1, 1 }, mac[6];
    for (guint i = 0; i < p->ra->len; i++) {
        RaMode mode = g_array_index(p->ra, RouterRa, i).mode;
        flags |= mode == RA_STATEFUL ? FLAG_MANAGED | FLAG_OTHER : mode == RA_STATELESS ? FLAG_OTHER : 0;
    }
    guint8 head[8] = { ND_ROUTER_ADVERT, 0, 0, 0, HOP_LIMIT, flags, (guint8) (lifetime_s >> 8), (guint8) lifetime_s };
    put(out, head, sizeof head);
    put_u32(out, 0);
    put_u32(out, 0);
    put(out, option, sizeof option);
    bool ok = mac_parse(p->mac, mac);
    g_assert(ok);
    put(out, mac, sizeof mac);
    if (p->mtu >= MTU_MIN_6) {
        guint8 mtu[4] = { 5, 1 };
        put(out, mtu, sizeof mtu);
        put_u32(out, (guint32) p->mtu);
    }
    for (guint i = 0; i < p->ra->len; i++)
        put_prefix(out, &g_array_index(p->ra, RouterRa, i));
    return out;
}

/* --- the set of interfaces --- */

static void link_free(gpointer data)
{
    RaLink *l = data;
    file_close(l->fd);
    g_byte_array_unref(l->message);
    g_byte_array_unref(l->goodbye);
    g_free(l);
}

static void wake(void)
{
    guint64 one = 1;
    ssize_t n = write(wake_fd, &one, sizeof one);
    (void) n;
}

static int open_socket(const char *device, GError **err)
{
    struct icmp6_filter filter;
    int fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMPV6), hops = 255, loop = 0;
    ICMP6_FILTER_SETBLOCKALL(&filter);
    ICMP6_FILTER_SETPASS(ND_ROUTER_SOLICIT, &filter);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t) strlen(device)) == 0 &&
        setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter) == 0 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops) == 0 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &loop, sizeof loop) == 0)
        return fd;
    nv_fail_errno(err, NV_ERR_AGENT, "router advertisements on %s", device);
    file_close(fd);
    return -1;
}

static bool send_message(const RaLink *l, const GByteArray *message)
{
    struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_scope_id = l->index };
    inet_pton(AF_INET6, "ff02::1", &to.sin6_addr);
    return sendto(l->fd, message->data, message->len, 0, (const struct sockaddr *) &to, sizeof to) > 0;
}

static RaLink *find(const char *n, const char *device)
{
    for (guint i = 0; i < links->len; i++) {
        RaLink *l = links->pdata[i];
        if (!l->closing && strcmp(l->n.s, n) == 0 && strcmp(l->device.s, device) == 0)
            return l;
    }
    return NULL;
}

/* With the lock held. */
static bool link_ensure(const RouterSpec *r, const RouterPort *p, guint64 inode, GError **err)
{
    RaLink *l = find(r->n.s, p->inner.s);
    unsigned index = if_nametoindex(p->inner.s);
    g_autoptr(GByteArray) message = ra_message(p, RA_LIFETIME_S), goodbye = ra_message(p, 0);
    if (l && (l->inode != inode || l->index != index)) {
        l->closing = true;
        l = NULL;
    }
    if (l && l->message->len == message->len && memcmp(l->message->data, message->data, message->len) == 0)
        return true;
    if (!l) {
        int fd = open_socket(p->inner.s, err);
        if (fd < 0)
            return false;
        l = g_new0(RaLink, 1);
        *l = (RaLink){ .n = r->n, .device = p->inner, .inode = inode, .index = index, .fd = fd };
        g_ptr_array_add(links, l);
    } else {
        g_byte_array_unref(l->message);
        g_byte_array_unref(l->goodbye);
    }
    l->message = g_steal_pointer(&message);
    l->goodbye = g_steal_pointer(&goodbye);
    l->sent = 0;
    l->next = 0;
    return true;
}

bool ra_ensure(const RouterSpec *r, GError **err)
{
    struct stat st;
    bool ok = stat("/proc/thread-self/ns/net", &st) == 0 || nv_fail_errno(err, NV_ERR_AGENT, "this thread's namespace");
    ra_reduce(r->n.s, r);
    g_mutex_lock(&lock);
    for (guint i = 0; ok && r->up && i < r->ports->len; i++) {
        const RouterPort *p = r->ports->pdata[i];
        if (p->ra->len && p != r->gateway)
            ok = link_ensure(r, p, st.st_ino, err);
    }
    g_mutex_unlock(&lock);
    wake();
    return ok;
}

static bool is_wanted(const RaLink *l, const RouterSpec *r)
{
    for (guint i = 0; r && r->up && i < r->ports->len; i++) {
        const RouterPort *p = r->ports->pdata[i];
        if (p->ra->len && p != r->gateway && strcmp(p->inner.s, l->device.s) == 0)
            return true;
    }
    return false;
}

void ra_reduce(const char *n, const RouterSpec *r)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    for (guint i = 0; i < links->len; i++) {
        RaLink *l = links->pdata[i];
        if (l->closing || strcmp(l->n.s, n) != 0 || is_wanted(l, r))
            continue;
        send_message(l, l->goodbye);
        l->closing = true;
    }
    wake();
}

/* --- the thread --- */

static void advertise(RaLink *l, gint64 now)
{
    /* It may have no address of its own yet. */
    if (!send_message(l, l->message)) {
        l->next = now + AGAIN_S * G_USEC_PER_SEC;
        return;
    }
    l->last = now;
    l->sent++;
    l->next = now + (l->sent < FIRST_COUNT ? FIRST_S : INTERVAL_S) * G_USEC_PER_SEC;
}

/* Sends what is due, and fills fds; returns the milliseconds to what is due next. */
static int tend(GArray *fds)
{
    gint64 now = clock_mono_us(), next = now + INTERVAL_S * G_USEC_PER_SEC;
    struct pollfd waker = { .fd = wake_fd, .events = POLLIN };
    g_array_set_size(fds, 0);
    g_array_append_val(fds, waker);
    for (guint i = links->len; i-- > 0;)
        if (((RaLink *) links->pdata[i])->closing)
            g_ptr_array_remove_index_fast(links, i);
    for (guint i = 0; i < links->len; i++) {
        RaLink *l = links->pdata[i];
        if (l->next <= now)
            advertise(l, now);
        next = MIN(next, l->next);
        struct pollfd p = { .fd = l->fd, .events = POLLIN };
        g_array_append_val(fds, p);
    }
    return (int) ((next - now) / 1000) + 1;
}

/* Many who ask get one answer. */
static void asked(int fd)
{
    char byte;
    while (recv(fd, &byte, sizeof byte, MSG_TRUNC) > 0)
        ;
    for (guint i = 0; i < links->len; i++) {
        RaLink *l = links->pdata[i];
        if (l->fd == fd)
            l->next = MIN(l->next, MAX(l->last + BETWEEN_S * G_USEC_PER_SEC, clock_mono_us()));
    }
}

static gpointer advertise_all(gpointer data)
{
    g_autoptr(GArray) fds = g_array_new(FALSE, TRUE, sizeof(struct pollfd));
    (void) data;
    for (;;) {
        guint64 count;
        g_mutex_lock(&lock);
        int timeout = tend(fds);
        g_mutex_unlock(&lock);
        poll((struct pollfd *) (void *) fds->data, fds->len, timeout);
        ssize_t n = read(wake_fd, &count, sizeof count);
        (void) n;
        g_mutex_lock(&lock);
        for (guint i = 1; i < fds->len; i++)
            if (g_array_index(fds, struct pollfd, i).revents)
                asked(g_array_index(fds, struct pollfd, i).fd);
        g_mutex_unlock(&lock);
    }
    return NULL;
}

bool ra_start(GError **err)
{
    links = g_ptr_array_new_with_free_func(link_free);
    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd < 0)
        return nv_fail_errno(err, NV_ERR_INTERNAL, "eventfd");
    g_thread_unref(g_thread_new("ra", advertise_all, NULL));
    return true;
}
