/* network/agent/ra.c -- one thread sends what RFC 4861 asks of a router; of what guests send, not a byte is looked at. */
#include "network/agent/ra.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/file.h"
#include "core/log.h"
#include "core/wake.h"
#include "network/agent/announce.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* RFC 4861 §6.2.1, §10; the prefix's times are those of dnsmasq's advertisements on the same network. */
enum {
    INTERVAL_S = 60, FIRST_S = 5, FIRST_COUNT = 3, AGAIN_S = 1, BETWEEN_S = 3,
    PREFIX_S = 86400, HOP_LIMIT = 64, FLAG_MANAGED = 0x80, FLAG_OTHER = 0x40, FLAG_ON_LINK = 0x80, FLAG_AUTO = 0x40, MTU_MIN_6 = 1280,
};

typedef struct RaLink {
    NsName netns;
    IfName device;
    char mac[18];                    /* of the router's port */
    guint64 inode;                   /* of the namespace */
    unsigned index;
    int fd, out, sent;               /* who asks is heard on fd; out: of frames, -1: the answer leaves by fd */
    bool closing;
    GByteArray *message, *goodbye;   /* frames, where out is not -1 */
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

GByteArray *ra_frame(const RouterPort *p, int lifetime_s)
{
    static const Cidr local = { { 6, (unsigned __int128) 0xfe80 << 112 }, 64 };
    g_autoptr(GByteArray) message = ra_message(p, lifetime_s);
    guint8 mac[6];
    bool ok = mac_parse(p->mac, mac);
    g_assert(ok);
    return announce_icmp6(mac, ip_eui64(local, mac), message);
}

GPtrArray *ra_ports(const RouterSpec *r)
{
    GPtrArray *ports = g_ptr_array_new();
    for (guint i = 0; r && r->up && i < r->ports->len; i++) {
        RouterPort *p = r->ports->pdata[i];
        if (p->ra->len && p != r->gateway)
            g_ptr_array_add(ports, p);
    }
    return ports;
}

/* --- the set of interfaces --- */

static void link_free(gpointer data)
{
    RaLink *l = data;
    file_close(l->fd);
    file_close(l->out);
    g_byte_array_unref(l->message);
    g_byte_array_unref(l->goodbye);
    g_free(l);
}

static int failed(int fd, const char *device, GError **err)
{
    nv_fail_errno(err, NV_ERR_AGENT, "router advertisements on %s", device);
    file_close(fd);
    return -1;
}

/* all_routers: the namespace is no router, and would not hear what is said to them. */
static int open_socket(const char *device, unsigned index, bool all_routers, GError **err)
{
    struct icmp6_filter filter;
    struct ipv6_mreq group = { .ipv6mr_interface = index };
    int fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMPV6), hops = 255, loop = 0;
    ICMP6_FILTER_SETBLOCKALL(&filter);
    ICMP6_FILTER_SETPASS(ND_ROUTER_SOLICIT, &filter);
    inet_pton(AF_INET6, "ff02::2", &group.ipv6mr_multiaddr);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t) strlen(device)) == 0 &&
        setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter) == 0 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops) == 0 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &loop, sizeof loop) == 0 &&
        (!all_routers || setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &group, sizeof group) == 0))
        return fd;
    return failed(fd, device, err);
}

/* Frames go out and none come in. */
static int open_frames(const char *device, unsigned index, GError **err)
{
    struct sockaddr_ll link = { .sll_family = AF_PACKET, .sll_ifindex = (int) index };
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && bind(fd, (const struct sockaddr *) &link, sizeof link) == 0)
        return fd;
    return failed(fd, device, err);
}

static bool send_message(const RaLink *l, const GByteArray *message)
{
    struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_scope_id = l->index };
    inet_pton(AF_INET6, "ff02::1", &to.sin6_addr);
    return l->out >= 0 ? send(l->out, message->data, message->len, 0) > 0
                       : sendto(l->fd, message->data, message->len, 0, (const struct sockaddr *) &to, sizeof to) > 0;
}

static bool is_of(const RaLink *l, const RouterPort *p)
{
    return strcmp(l->device.s, p->inner.s) == 0 && strcmp(l->mac, p->mac) == 0;
}

static RaLink *find(const char *netns, const RouterPort *p)
{
    for (guint i = 0; i < links->len; i++) {
        RaLink *l = links->pdata[i];
        if (!l->closing && strcmp(l->netns.s, netns) == 0 && is_of(l, p))
            return l;
    }
    return NULL;
}

/* What it says is still to be told. */
static RaLink *link_open(const char *netns, const RouterPort *p, unsigned index, bool stand_in, GError **err)
{
    int fd = open_socket(p->inner.s, index, stand_in, err), out = fd >= 0 && stand_in ? open_frames(p->inner.s, index, err) : -1;
    if (fd < 0 || (stand_in && out < 0)) {
        file_close(fd);
        return NULL;
    }
    RaLink *l = g_new0(RaLink, 1);
    *l = (RaLink){ .device = p->inner, .index = index, .fd = fd, .out = out };
    g_strlcpy(l->netns.s, netns, sizeof l->netns.s);
    g_strlcpy(l->mac, p->mac, sizeof l->mac);
    g_ptr_array_add(links, l);
    return l;
}

/* With the lock held. */
static bool link_ensure(const char *netns, const RouterPort *p, guint64 inode, bool stand_in, GError **err)
{
    GByteArray *(*const make)(const RouterPort *, int) = stand_in ? ra_frame : ra_message;
    RaLink *l = find(netns, p);
    unsigned index = if_nametoindex(p->inner.s);
    g_autoptr(GByteArray) message = make(p, RA_LIFETIME_S), goodbye = make(p, 0);
    if (l && (l->inode != inode || l->index != index)) {
        l->closing = true;
        l = NULL;
    }
    if (l && l->message->len == message->len && memcmp(l->message->data, message->data, message->len) == 0)
        return true;
    if (l) {
        g_byte_array_unref(l->message);
        g_byte_array_unref(l->goodbye);
    } else {
        l = link_open(netns, p, index, stand_in, err);
    }
    if (!l)
        return false;
    l->inode = inode;
    l->message = g_steal_pointer(&message);
    l->goodbye = g_steal_pointer(&goodbye);
    l->sent = 0;
    l->next = 0;
    wake_up(wake_fd);
    return true;
}

bool ra_ensure(const char *netns, const GPtrArray *ports, bool stand_in, GError **err)
{
    struct stat st;
    bool ok = stat("/proc/thread-self/ns/net", &st) == 0 || nv_fail_errno(err, NV_ERR_AGENT, "this thread's namespace");
    ra_reduce(netns, ports);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    for (guint i = 0; ok && i < ports->len; i++) {
        const RouterPort *p = ports->pdata[i];
        /* Smaller links have no IPv6. */
        ok = p->mtu < MTU_MIN_6 || link_ensure(netns, p, st.st_ino, stand_in, err);
    }
    return ok;
}

static bool is_wanted(const RaLink *l, const GPtrArray *ports)
{
    for (guint i = 0; ports && i < ports->len; i++)
        if (is_of(l, ports->pdata[i]))
            return true;
    return false;
}

void ra_reduce(const char *netns, const GPtrArray *ports)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    for (guint i = 0; i < links->len; i++) {
        RaLink *l = links->pdata[i];
        if (l->closing || strcmp(l->netns.s, netns) != 0 || is_wanted(l, ports))
            continue;
        send_message(l, l->goodbye);
        l->closing = true;
        /* When the router itself comes or goes here, a stand-in with its address went or came, and guests believe the last word. */
        for (guint k = 0; k < links->len; k++) {
            RaLink *other = links->pdata[k];
            if (!other->closing && strcmp(other->mac, l->mac) == 0)
                other->next = 0;
        }
        wake_up(wake_fd);
    }
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
        g_mutex_lock(&lock);
        int timeout = tend(fds);
        g_mutex_unlock(&lock);
        poll((struct pollfd *) (void *) fds->data, fds->len, timeout);
        wake_clear(wake_fd);
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
    wake_fd = wake_new(err);
    if (wake_fd < 0)
        return false;
    g_thread_unref(g_thread_new("ra", advertise_all, NULL));
    return true;
}
