/* network/agent/metadata.c -- listening sockets in namespaces, one thread that accepts, connections handed over with who is asking. */
#include "network/agent/metadata.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/error.h"
#include "core/file.h"
#include "core/log.h"
#include "core/verb.h"
#include "core/wake.h"
#include "core/wire.h"
#include "network/agent/netns.h"
#include "network/agent/relay.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    BACKLOG = 64,
    RATE = 50, BURST = 100,          /* new connections a second of one guest; more are closed */
    SOURCES_MAX = 65536,
    ACCEPT_ROUND = 32,               /* of one network before the next has its turn */
    SEND_TIMEOUT_S = 2,
    SHORTAGE_MS = 100,               /* until a listener that could not be duplicated is tried again */
};

typedef struct Listener { char id[37]; char n[13]; int fd; guint64 inode; } Listener;      /* inode: of its namespace */
typedef struct Bucket { double tokens; gint64 at; } Bucket;

/* For those that cannot be passed; serve itself has them for no longer than 300 s without a request, and 8 of a source.  How fast a guest reads, it
 * cannot see through a stream: 1 KiB a second is asked for here. */
static const RelayLimits relayed = {
    .total = 256, .per_source = 8, .wait_us = 10 * G_USEC_PER_SEC, .idle_us = 310 * G_USEC_PER_SEC, .stall_us = 16 * G_USEC_PER_SEC,
};

static GMutex lock;
static GHashTable *listeners;        /* n → Listener; under lock */
static int wake_fd;
/* The accepting thread's own. */
static GHashTable *buckets;          /* "network address" → Bucket */
static int serve_fd = -1;

static void listener_free(gpointer data)
{
    Listener *l = data;
    file_close(l->fd);
    g_free(l);
}

/* Inside the namespace: the socket stays there. */
static bool open_listener(void *data, GError **err)
{
    Listener *l = data;
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(0xa9fea9fe) };
    int one = 1;
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0 || setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        setsockopt(l->fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof one) < 0 ||
        bind(l->fd, (const struct sockaddr *) &at, sizeof at) < 0 || listen(l->fd, BACKLOG) < 0)
        return nv_fail_errno(err, NV_ERR_AGENT, "metadata listener");
    return true;
}

static bool listens_in(const char *n, guint64 inode)
{
    g_mutex_lock(&lock);
    const Listener *l = g_hash_table_lookup(listeners, n);
    bool there = l && l->inode == inode;
    g_mutex_unlock(&lock);
    return there;
}

bool metadata_listening(const NetworkSpec *n)
{
    return listens_in(n->n.s, netns_inode(n->netns.s));
}

bool metadata_ensure(const NetworkSpec *n, GError **err)
{
    guint64 inode = netns_inode(n->netns.s);
    if (listens_in(n->n.s, inode))
        return true;
    metadata_absent(n->n.s);
    Listener *l = g_new0(Listener, 1);
    g_strlcpy(l->id, n->id, sizeof l->id);
    g_strlcpy(l->n, n->n.s, sizeof l->n);
    l->fd = -1;
    l->inode = inode;
    if (!netns_run(n->netns.s, open_listener, l, err)) {
        listener_free(l);
        return false;
    }
    g_mutex_lock(&lock);
    g_hash_table_replace(listeners, l->n, l);
    g_mutex_unlock(&lock);
    wake_up(wake_fd);
    return true;
}

void metadata_absent(const char *n)
{
    g_mutex_lock(&lock);
    const Listener *l = g_hash_table_lookup(listeners, n);
    if (l)
        relay_forget_network(l->id);
    g_hash_table_remove(listeners, n);
    g_mutex_unlock(&lock);
    wake_up(wake_fd);
}

/* --- the accepting thread --- */

static bool may_connect(const char *network, const char *address)
{
    gint64 now = clock_mono_us();
    char *key = g_strdup_printf("%s %s", network, address);
    if (g_hash_table_size(buckets) >= SOURCES_MAX)
        g_hash_table_remove_all(buckets);
    Bucket *b = g_hash_table_lookup(buckets, key);
    if (!b) {
        b = g_new(Bucket, 1);
        *b = (Bucket){ BURST, now };
        g_hash_table_insert(buckets, key, b);
    } else {
        g_free(key);
    }
    b->tokens = MIN(BURST, b->tokens + (double) (now - b->at) * RATE / G_USEC_PER_SEC);
    b->at = now;
    if (b->tokens < 1)
        return false;
    b->tokens--;
    return true;
}

static bool connect_serve(void)
{
    g_autofree char *path = conf_path("paths.run", "metadata.sock");
    struct timeval patience = { .tv_sec = SEND_TIMEOUT_S };
    if (serve_fd >= 0)
        return true;
    serve_fd = wire_connect(path, NULL);
    if (serve_fd >= 0)
        setsockopt(serve_fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return serve_fd >= 0;
}

static bool send_fd(int fd, const char *line)
{
    struct iovec iov = { (void *) line, strlen(line) };
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof control.buf };
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    if (sendmsg(serve_fd, &msg, MSG_NOSIGNAL) == (ssize_t) iov.iov_len)
        return true;
    close(serve_fd);                             /* half a line may be out: begin anew */
    serve_fd = -1;
    return false;
}

/* Descriptors do not reach a serve on another machine: it is told of the connection, and fetches it.  True: fd is not ours any more. */
static bool offer(int fd, const char *network, const char *address)
{
    g_autofree char *token = relay_keep(fd, network, address);
    if (!token)
        return false;
    if (!verb_event("metadata.waiting", json_make("sss", "token", token, "network", network, "address", address))) {
        log_warn("metadata.refused", "network", network, "address", address, "reason", "serve is away", NULL);
        relay_forget(token);
    }
    return true;
}

/* True: fd is not ours any more. */
static bool hand_over(int fd, const char *network, const char *address)
{
    g_autofree char *line = g_strdup_printf("{\"network\":\"%s\",\"address\":\"%s\"}\n", network, address);
    for (int attempt = 0; attempt < 2; attempt++) {
        if (!connect_serve())
            return offer(fd, network, address);
        if (send_fd(fd, line)) {
            close(fd);
            return true;
        }
    }
    log_warn("metadata.refused", "network", network, "address", address, "reason", "serve does not take it", NULL);
    return false;
}

static void accept_some(int listen_fd, const char *network)
{
    for (int i = 0; i < ACCEPT_ROUND; i++) {
        struct sockaddr_in peer;
        socklen_t n = sizeof peer;
        char address[INET_ADDRSTRLEN] = "";
        int fd = wire_accept(listen_fd, (struct sockaddr *) &peer, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        inet_ntop(AF_INET, &peer.sin_addr, address, sizeof address);
        if (!may_connect(network, address) || !hand_over(fd, network, address))
            close(fd);
    }
}

typedef struct Ready { struct pollfd p; char id[37]; } Ready;

static GArray *snapshot(void)
{
    GArray *list = g_array_new(FALSE, TRUE, sizeof(Ready));
    GHashTableIter it;
    gpointer value;
    Ready waker = { .p = { .fd = wake_fd, .events = POLLIN } };
    g_array_append_val(list, waker);
    g_mutex_lock(&lock);
    g_hash_table_iter_init(&it, listeners);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        const Listener *l = value;
        /* A duplicate: the original may be closed, and its number used again, while we poll. */
        Ready r = { .p = { .fd = dup(l->fd), .events = POLLIN } };
        g_strlcpy(r.id, l->id, sizeof r.id);
        g_array_append_val(list, r);
    }
    g_mutex_unlock(&lock);
    return list;
}

/* Until the set of listeners changes, or is worth another try. */
static void serve_set(const GArray *list)
{
    g_autofree struct pollfd *fds = g_new(struct pollfd, list->len);
    int timeout = -1;
    for (guint i = 0; i < list->len; i++) {
        fds[i] = g_array_index(list, Ready, i).p;
        if (fds[i].fd < 0)
            timeout = SHORTAGE_MS;
    }
    for (;;) {
        if (poll(fds, list->len, timeout) < 0)
            continue;
        for (guint i = 1; i < list->len; i++)
            if (fds[i].revents)
                accept_some(fds[i].fd, g_array_index(list, Ready, i).id);
        if ((fds[0].revents && wake_clear(wake_fd)) || timeout >= 0)
            return;
    }
}

static gpointer accept_all(gpointer data)
{
    (void) data;
    for (;;) {
        g_autoptr(GArray) list = snapshot();
        serve_set(list);
        for (guint i = 1; i < list->len; i++)
            file_close(g_array_index(list, Ready, i).p.fd);
    }
    return NULL;
}

bool metadata_start(GError **err)
{
    listeners = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, listener_free);
    buckets = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    wake_fd = wake_new(err);
    if (wake_fd < 0)
        return false;
    if (!relay_start(&relayed, err))
        return false;
    g_thread_unref(g_thread_new("metadata", accept_all, NULL));
    return true;
}
