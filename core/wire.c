/* core/wire.c -- length-prefixed JSON frames, and the Unix sockets they travel on. */
#include "core/wire.h"
#include "core/error.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum { SHORTAGE_US = 100 * 1000 };

bool wire_send(int fd, const json_t *frame, GError **err)
{
    g_autofree char *text = json_text(frame);
    gsize len = strlen(text);
    if (len > WIRE_MAX)
        return nv_fail(err, NV_ERR_TOO_LARGE, "a frame of %" G_GSIZE_FORMAT " bytes is too large for the wire", len);
    guint32 head = htonl((guint32) len);
    struct iovec parts[2] = { { &head, sizeof(head) }, { text, len } };
    struct msghdr msg = { .msg_iov = parts, .msg_iovlen = 2 };
    while (parts[0].iov_len + parts[1].iov_len > 0) {
        ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return nv_fail_errno(err, NV_ERR_AGENT, "sending a frame");
        for (int i = 0; i < 2; i++) {
            gsize taken = MIN((gsize) n, parts[i].iov_len);
            parts[i].iov_base = (char *) parts[i].iov_base + taken;
            parts[i].iov_len -= taken;
            n -= (ssize_t) taken;
        }
    }
    return true;
}

/* Fills buf; *ret_none: the stream ended before the first byte (err is not set then). */
static bool read_all(int fd, void *buf, gsize len, bool *ret_none, GError **err)
{
    *ret_none = false;
    for (gsize got = 0; got < len;) {
        ssize_t n = recv(fd, (char *) buf + got, len - got, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return nv_fail_errno(err, NV_ERR_AGENT, "receiving a frame");
        if (n == 0) {
            *ret_none = got == 0;
            return got == 0 ? false : nv_fail(err, NV_ERR_AGENT, "the connection ended inside a frame");
        }
        got += (gsize) n;
    }
    return true;
}

json_t *wire_receive(int fd, GError **err)
{
    guint32 head;
    bool none;
    if (!read_all(fd, &head, sizeof(head), &none, err))
        return NULL;
    gsize len = ntohl(head);
    if (len < 2 || len > WIRE_MAX)
        return nv_fail(err, NV_ERR_INVALID, "a frame of %" G_GSIZE_FORMAT " bytes is not acceptable", len), NULL;
    g_autofree char *text = g_malloc(len + 1);
    if (!read_all(fd, text, len, &none, err)) {
        if (none)
            nv_fail(err, NV_ERR_AGENT, "the connection ended inside a frame");
        return NULL;
    }
    text[len] = '\0';
    g_autoptr(json_t) frame = strlen(text) == len ? json_parse_trusted(text) : NULL;
    if (!json_is_object(frame))
        return nv_fail(err, NV_ERR_INVALID, "a frame is not a JSON object"), NULL;
    return g_steal_pointer(&frame);
}

static bool address_of(const char *path, struct sockaddr_un *ret_addr, GError **err)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof(addr.sun_path))
        return nv_fail(err, NV_ERR_INVALID, "socket path %s is longer than %zu bytes", path, sizeof(addr.sun_path) - 1);
    memcpy(addr.sun_path, path, strlen(path));
    *ret_addr = addr;
    return true;
}

static int connect_to(const char *path, int flags, GError **err)
{
    struct sockaddr_un addr;
    if (!address_of(path, &addr, err))
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0)
        return nv_fail_errno(err, NV_ERR_AGENT, "socket"), -1;
    if (connect(fd, (struct sockaddr *) &addr, sizeof(addr)) == 0)
        return fd;
    nv_fail_errno(err, NV_ERR_AGENT, "connecting to %s", path);
    close(fd);
    return -1;
}

int wire_connect(const char *path, GError **err)
{
    return connect_to(path, 0, err);
}

int wire_connect_now(const char *path, GError **err)
{
    return connect_to(path, SOCK_NONBLOCK, err);
}

/* A socket file that nobody answers on is left from a process that was killed. */
static bool remove_stale(const char *path, GError **err)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT || nv_fail_errno(err, NV_ERR_INTERNAL, "%s", path);
    if (!S_ISSOCK(st.st_mode))
        return nv_fail(err, NV_ERR_CONFLICT, "%s exists and is not a socket", path);
    int fd = wire_connect(path, NULL);
    if (fd >= 0) {
        close(fd);
        return nv_fail(err, NV_ERR_CONFLICT, "another process answers on %s", path);
    }
    return unlink(path) == 0 || nv_fail_errno(err, NV_ERR_INTERNAL, "removing %s", path);
}

/* Neither call follows a link that somebody put in the socket's place. */
static bool set_access(const char *path, const char *group, GError **err)
{
    if (group) {
        const struct group *gr = getgrnam(group);
        if (!gr)
            return nv_fail(err, NV_ERR_INVALID, "group %s does not exist", group);
        if (lchown(path, (uid_t) -1, gr->gr_gid) < 0)
            return nv_fail_errno(err, NV_ERR_INTERNAL, "giving %s to group %s", path, group);
    }
    return fchmodat(AT_FDCWD, path, 0660, AT_SYMLINK_NOFOLLOW) == 0 || nv_fail_errno(err, NV_ERR_INTERNAL, "setting the mode of %s", path);
}

/* Bound under another name and renamed when it listens: who sees the file is answered. */
int wire_listen(const char *path, const char *group, GError **err)
{
    struct sockaddr_un addr;
    g_autofree char *fresh = g_strconcat(path, ".new", NULL);
    if (!address_of(fresh, &addr, err) || !remove_stale(path, err))
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return nv_fail_errno(err, NV_ERR_INTERNAL, "socket"), -1;
    unlink(fresh);
    if (bind(fd, (struct sockaddr *) &addr, sizeof(addr)) < 0)
        nv_fail_errno(err, NV_ERR_INTERNAL, "binding %s", fresh);
    else if (set_access(fresh, group, err)) {
        if (listen(fd, 64) < 0)
            nv_fail_errno(err, NV_ERR_INTERNAL, "listening on %s", path);
        else if (rename(fresh, path) < 0)
            nv_fail_errno(err, NV_ERR_INTERNAL, "renaming %s to %s", fresh, path);
        else
            return fd;
    }
    unlink(fresh);
    close(fd);
    return -1;
}

int wire_accept(int listen_fd, struct sockaddr *addr, socklen_t *n, int flags)
{
    int fd = accept4(listen_fd, addr, n, flags);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
        g_usleep(SHORTAGE_US);
        errno = EAGAIN;
    }
    return fd;
}
