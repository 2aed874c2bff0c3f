/* api/passed.c -- receives connected sockets with SCM_RIGHTS. */
#include "api/passed.h"
#include "core/file.h"
#include "core/id.h"
#include "core/log.h"
#include "core/wake.h"
#include "core/wire.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { SENDERS_MAX = 16, LINE_MAX_ = 512 };

struct Passed {
    int listen_fd, wake_fd;
    char *path;
    PassedFn *fn;
    void *data;
    GThread *thread;
};

/* The descriptor in msg, or -1; more than one is not what we speak: all are closed. */
static int take_fd(struct msghdr *msg)
{
    int found = -1, count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (count++ == 0)
                found = fd;
            else
                close(fd);
        }
    }
    if (count > 1)
        close(found);
    return count == 1 ? found : -1;
}

static bool is_stream(int fd)
{
    int type = 0;
    socklen_t n = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_STREAM;
}

static bool is_address(const char *text)
{
    unsigned char buf[16];
    return text && (inet_pton(AF_INET, text, buf) == 1 || inet_pton(AF_INET6, text, buf) == 1);
}

bool passed_names(const json_t *msg, const char **ret_network, const char **ret_address)
{
    const char *network = json_get_str(msg, "network"), *address = json_get_str(msg, "address");
    if (!network || !id_is_uuid(network) || !is_address(address)) {
        log_warn("http.passed.refused", "network", network, "address", address, NULL);
        return false;
    }
    *ret_network = network;
    *ret_address = address;
    return true;
}

static void hand_over(Passed *p, int fd, const char *line, gsize n)
{
    g_autoptr(json_t) msg = json_parse_strict(line, n, NULL);
    const char *network, *address;
    if (!passed_names(msg, &network, &address) || !is_stream(fd)) {
        close(fd);
        return;
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    p->fn(fd, network, address, p->data);
}

/* One message; false: the sender is gone. */
static bool receive(Passed *p, int sender)
{
    char line[LINE_MAX_];
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(sizeof(int) * 4)];
    } control;
    struct iovec iov = { line, sizeof line };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof control.buf };
    ssize_t n = recvmsg(sender, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0)
        return false;
    int fd = take_fd(&msg);
    if (fd < 0) {
        log_warn("http.passed.no_socket", NULL);
        return false;
    }
    hand_over(p, fd, line, (gsize) n);
    return true;
}

static int accept_sender(const Passed *p)
{
    int fd = wire_accept(p->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct ucred who;
    socklen_t n = sizeof who;
    if (fd < 0)
        return -1;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 && (who.uid == 0 || who.uid == geteuid()))
        return fd;
    log_warn("http.passed.stranger", "uid", LOG_INT(who.uid), NULL);
    close(fd);
    return -1;
}

static gpointer passed_loop(gpointer data)
{
    Passed *p = data;
    struct pollfd fds[2 + SENDERS_MAX] = { { .fd = p->wake_fd, .events = POLLIN }, { .fd = p->listen_fd, .events = POLLIN } };
    nfds_t n = 2;
    for (;;) {
        fds[1].events = n < G_N_ELEMENTS(fds) ? POLLIN : 0;
        if (poll(fds, n, -1) < 0 && errno != EINTR)
            break;
        if (fds[0].revents)
            break;
        for (nfds_t i = n; i-- > 2;)
            if (fds[i].revents && !receive(p, fds[i].fd)) {
                close(fds[i].fd);
                fds[i] = fds[--n];
            }
        int fd = fds[1].revents ? accept_sender(p) : -1;
        if (fd >= 0)
            fds[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
    }
    for (nfds_t i = 2; i < n; i++)
        close(fds[i].fd);
    return NULL;
}

static int listen_at(const char *path, GError **err)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    if (g_strlcpy(addr.sun_path, path, sizeof addr.sun_path) >= sizeof addr.sun_path)
        return nv_fail(err, NV_ERR_INVALID, "socket path %s is too long", path), -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *) &addr, sizeof addr) < 0 || chmod(path, 0660) < 0 || listen(fd, 64) < 0) {
        nv_fail_errno(err, NV_ERR_INTERNAL, "%s", path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

Passed *passed_start(const char *path, PassedFn *fn, void *data, GError **err)
{
    g_auto(Fd) wake_fd = wake_new(err);
    int fd = wake_fd < 0 ? -1 : listen_at(path, err);
    if (fd < 0)
        return NULL;
    Passed *p = g_new0(Passed, 1);
    p->listen_fd = fd;
    p->wake_fd = g_steal_fd(&wake_fd);
    p->path = g_strdup(path);
    p->fn = fn;
    p->data = data;
    p->thread = g_thread_new("http-passed", passed_loop, p);
    return p;
}

void passed_stop(Passed *p)
{
    wake_up(p->wake_fd);
    g_thread_join(p->thread);
    close(p->listen_fd);
    close(p->wake_fd);
    unlink(p->path);
    g_free(p->path);
    g_free(p);
}
