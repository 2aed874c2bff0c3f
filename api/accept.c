/* api/accept.c -- accepts TCP connections. */
#include "api/accept.h"
#include "api/conn.h"
#include "core/wake.h"
#include "core/wire.h"
#include <poll.h>
#include <unistd.h>

struct Acceptor {
    int listen_fd, wake_fd;
    AcceptFn *fn;
    void *data;
    GThread *thread;
};

static void accept_one(const Acceptor *a)
{
    char text[INET6_ADDRSTRLEN];
    struct sockaddr_storage addr = { 0 };
    socklen_t n = sizeof addr;
    int fd = wire_accept(a->listen_fd, (struct sockaddr *) &addr, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    conn_address_text((struct sockaddr *) &addr, text);
    a->fn(fd, text, a->data);
}

static gpointer accept_loop(gpointer data)
{
    const Acceptor *a = data;
    struct pollfd fds[] = { { .fd = a->wake_fd, .events = POLLIN }, { .fd = a->listen_fd, .events = POLLIN } };
    while (!fds[0].revents) {
        if (fds[1].revents)
            accept_one(a);
        if (poll(fds, G_N_ELEMENTS(fds), -1) < 0)
            fds[0].revents = fds[1].revents = 0;
    }
    return NULL;
}

Acceptor *acceptor_start(int listen_fd, AcceptFn *fn, void *data, GError **err)
{
    int wake_fd = wake_new(err);
    if (wake_fd < 0)
        return NULL;
    Acceptor *a = g_new0(Acceptor, 1);
    *a = (Acceptor){ .listen_fd = listen_fd, .wake_fd = wake_fd, .fn = fn, .data = data };
    a->thread = g_thread_new("http-accept", accept_loop, a);
    return a;
}

void acceptor_stop(Acceptor *a)
{
    wake_up(a->wake_fd);
    g_thread_join(a->thread);
    close(a->wake_fd);
    g_free(a);
}
