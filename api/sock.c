/* api/sock.c -- listening, limits, unlinked files. */
#include "api/sock.h"
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static bool bind_to(int fd, const struct addrinfo *a)
{
    int one = 1;
    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 && bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, 4096) == 0;
}

bool sock_listen(const char *address, int port, int unsent, int *ret_fd, int *ret_port, GError **err)
{
    struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_PASSIVE, .ai_socktype = SOCK_STREAM }, *found = NULL;
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    char service[8];
    if (!address)
        address = "127.0.0.1";
    g_snprintf(service, sizeof service, "%d", port);
    int bad = getaddrinfo(address, service, &hints, &found);
    if (bad)
        return nv_fail(err, NV_ERR_INVALID, "listen address %s: %s", address, gai_strerror(bad));
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool ok = fd >= 0 && bind_to(fd, found) && getsockname(fd, (struct sockaddr *) &bound, &len) == 0;
    freeaddrinfo(found);
    if (!ok) {
        nv_fail_errno(err, NV_ERR_INVALID, "cannot listen on %s port %d", address, port);
        if (fd >= 0)
            close(fd);
        return false;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);      /* connections inherit it */
    *ret_port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *) &bound)->sin6_port : ((struct sockaddr_in *) &bound)->sin_port);
    *ret_fd = fd;
    return true;
}

int sock_raise_limit(int connections)
{
    enum { OTHERS = 512 };                   /* files that are not connections: database, agents, replies from files */
    struct rlimit files;
    rlim_t want = (rlim_t) connections + OTHERS;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return connections;
    if (files.rlim_cur < want) {
        files.rlim_cur = MIN(want, files.rlim_max);
        setrlimit(RLIMIT_NOFILE, &files);
    }
    return files.rlim_cur >= want ? connections : (int) MAX(files.rlim_cur, OTHERS + 16) - OTHERS;
}

bool sock_read_pem(const char *path, char **ret_text, GError **err)
{
    g_autoptr(GError) why = NULL;
    return g_file_get_contents(path, ret_text, NULL, &why) || nv_fail(err, NV_ERR_INVALID, "%s", why->message);
}

int sock_spill(const GString *text)
{
    int fd = open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    for (gsize done = 0; fd >= 0 && done < text->len;) {
        ssize_t n = write(fd, text->str + done, text->len - done);
        if (n < 0) {
            close(fd);
            return -1;
        }
        done += (gsize) n;
    }
    return fd;
}
