/* tests/bench/floor_http.c -- the floor of `make bench`: a bare libmicrohttpd with two epoll threads that sends N fixed bytes, nothing else. */
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>

typedef struct Floor {
    char *body;
    size_t n;
} Floor;

static enum MHD_Result answer(void *data, struct MHD_Connection *conn, const char *url, const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **state)
{
    static int seen;
    const Floor *floor_ = data;
    (void) url, (void) method, (void) version, (void) upload;
    if (!*state) {
        *state = &seen;
        return MHD_YES;
    }
    if (*upload_size) {
        *upload_size = 0;
        return MHD_YES;
    }
    /* One response object a reply, as any server with live content needs. */
    struct MHD_Response *r = MHD_create_response_from_buffer(floor_->n, floor_->body, MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(r, "Content-Type", "application/json");
    enum MHD_Result ok = MHD_queue_response(conn, 200, r);
    MHD_destroy_response(r);
    return ok;
}

int main(int argc, char **argv)
{
    Floor f = { .n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1500 };
    f.body = malloc(f.n + 1);
    if (!f.body)
        return 1;
    memset(f.body, 'x', f.n);
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct MHD_Daemon *d = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, answer, &f, MHD_OPTION_SOCK_ADDR, &addr,
                                            MHD_OPTION_THREAD_POOL_SIZE, 2u, MHD_OPTION_END);
    if (!d)
        return 1;
    printf("%u\n", (unsigned) MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT)->port);
    fflush(stdout);
    /* Lives until whoever started it closes our standard input. */
    char c;
    while (read(0, &c, 1) > 0)
        ;
    MHD_stop_daemon(d);
    free(f.body);
    return 0;
}
