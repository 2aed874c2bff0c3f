/* tests/bench/http_load.c -- a load generator: N keep-alive connections on loopback send one request over and over for T seconds. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_MAX = 16384, CHUNK = 65536 };

typedef struct Conn {
    int fd;
    size_t sent;             /* bytes of the request written */
    char head[HEAD_MAX];     /* reply header as far as it came */
    size_t head_len;
    bool in_body;
    uint64_t body_left;
    int64_t began;
    int status;
} Conn;

typedef struct Load {
    int ep;
    struct sockaddr_in addr;
    char *request;
    size_t request_len;
    uint32_t *lat_us;        /* one latency a reply */
    size_t n_lat, cap_lat;
    uint64_t classes[6], failures;
} Load;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void send_request(Load *l, Conn *c)
{
    if (c->sent == 0)
        c->began = now_ns();
    while (c->sent < l->request_len) {
        ssize_t n = send(c->fd, l->request + c->sent, l->request_len - c->sent, MSG_NOSIGNAL);
        if (n < 0)
            return;          /* EAGAIN: epoll calls again; a broken socket shows when read */
        c->sent += (size_t) n;
    }
}

static void dial(Load *l, Conn *c)
{
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *) &l->addr, sizeof l->addr) != 0)
        die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c };
    if (epoll_ctl(l->ep, EPOLL_CTL_ADD, c->fd, &ev) != 0)
        die("epoll_ctl");
    c->sent = c->head_len = 0;
    c->in_body = false;
    send_request(l, c);
}

/* The server closed or the reply made no sense: count it and start afresh. */
static void redial(Load *l, Conn *c, bool failed)
{
    if (failed)
        l->failures++;
    close(c->fd);
    dial(l, c);
}

static void reply_done(Load *l, Conn *c)
{
    if (l->n_lat == l->cap_lat) {
        l->cap_lat = l->cap_lat ? l->cap_lat * 2 : 1 << 16;
        l->lat_us = realloc(l->lat_us, l->cap_lat * sizeof *l->lat_us);
        if (!l->lat_us)
            die("realloc");
    }
    l->lat_us[l->n_lat++] = (uint32_t) ((now_ns() - c->began) / 1000);
    l->classes[c->status / 100 < 6 ? c->status / 100 : 0]++;
    c->sent = c->head_len = 0;
    c->in_body = false;
    send_request(l, c);
}

/* Header complete: status and length of the body. */
static bool parse_head(Conn *c, const char *end)
{
    if (sscanf(c->head, "HTTP/1.1 %3d", &c->status) != 1)
        return false;
    c->body_left = 0;
    for (const char *p = c->head; p && p < end; p = strstr(p, "\r\n"), p = p ? p + 2 : p)
        if (strncasecmp(p, "Content-Length:", 15) == 0)
            c->body_left = strtoull(p + 15, NULL, 10);
    return true;
}

/* Consumes what came; false: give the connection up. */
static bool feed(Load *l, Conn *c, const char *data, size_t n)
{
    while (n > 0) {
        if (c->in_body) {
            size_t take = n < c->body_left ? n : (size_t) c->body_left;
            data += take, n -= take, c->body_left -= take;
        } else {
            size_t take = n < HEAD_MAX - 1 - c->head_len ? n : HEAD_MAX - 1 - c->head_len;
            if (take == 0)
                return false;
            memcpy(c->head + c->head_len, data, take);
            c->head[c->head_len + take] = 0;
            const char *end = strstr(c->head, "\r\n\r\n");
            if (!end) {
                c->head_len += take, data += take, n -= take;
                continue;
            }
            size_t used = (size_t) (end + 4 - c->head) - c->head_len;
            data += used, n -= used;
            if (!parse_head(c, end))
                return false;
            c->in_body = true;
        }
        if (c->in_body && c->body_left == 0)
            reply_done(l, c);
    }
    return true;
}

static void receive(Load *l, Conn *c)
{
    static char buf[CHUNK];
    for (;;) {
        ssize_t n = recv(c->fd, buf, sizeof buf, 0);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0 || !feed(l, c, buf, (size_t) n)) {
            redial(l, c, true);
            return;
        }
        if (n < (ssize_t) sizeof buf)
            return;          /* edge-triggered: more data makes a new edge */
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;
    return x < y ? -1 : x > y;
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double) (u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double) (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void report(Load *l, double seconds)
{
    qsort(l->lat_us, l->n_lat, sizeof *l->lat_us, by_value);
    uint32_t p50 = l->n_lat ? l->lat_us[l->n_lat / 2] : 0, p99 = l->n_lat ? l->lat_us[l->n_lat * 99 / 100] : 0;
    printf("{\"requests\": %zu, \"rate\": %.0f, \"p50_us\": %u, \"p99_us\": %u, \"max_us\": %u, \"2xx\": %lu, \"3xx\": %lu, \"4xx\": %lu, "
           "\"5xx\": %lu, \"failures\": %lu, \"client_cpu_us\": %.2f}\n",
           l->n_lat, (double) l->n_lat / seconds, p50, p99, l->n_lat ? l->lat_us[l->n_lat - 1] : 0, l->classes[2], l->classes[3], l->classes[4],
           l->classes[5], l->failures, l->n_lat ? cpu_seconds() * 1e6 / (double) l->n_lat : 0);
}

static int usage(void)
{
    fputs("usage: http_load -p port [-c connections] [-t seconds] [-m method] [-u path] [-H 'Name: value']... [-d body | -f file]\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    const char *method = "GET", *path = "/", *body = "";
    char *headers = strdup(""), *file_body = NULL;
    int opt, port = 0, n_conn = 8;
    double seconds = 3;
    while ((opt = getopt(argc, argv, "p:c:t:m:u:H:d:f:")) != -1) {
        if (opt == 'p') port = atoi(optarg);
        else if (opt == 'c') n_conn = atoi(optarg);
        else if (opt == 't') seconds = atof(optarg);
        else if (opt == 'm') method = optarg;
        else if (opt == 'u') path = optarg;
        else if (opt == 'd') body = optarg;
        else if (opt == 'H') {
            char *more;
            if (asprintf(&more, "%s%s\r\n", headers, optarg) < 0)
                die("asprintf");
            free(headers);
            headers = more;
        } else if (opt == 'f') {
            FILE *f = fopen(optarg, "r");
            size_t n = 0;
            if (!f || getdelim(&file_body, &n, EOF, f) < 0)
                die(optarg);
            fclose(f);
            body = file_body;
        } else
            return usage();
    }
    if (port <= 0 || n_conn <= 0)
        return usage();
    Load l = { .ep = epoll_create1(EPOLL_CLOEXEC), .addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t) port) } };
    char length[48] = "";
    if (*body)
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", strlen(body));
    int n = asprintf(&l.request, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s%s\r\n%s", method, path, port, headers, length, body);
    if (n < 0)
        die("asprintf");
    l.request_len = (size_t) n;
    Conn *conns = calloc((size_t) n_conn, sizeof *conns);
    if (!conns)
        die("calloc");
    int64_t began = now_ns(), until = began + (int64_t) (seconds * 1e9);
    for (int i = 0; i < n_conn; i++)
        dial(&l, &conns[i]);
    struct epoll_event ev[128];
    while (now_ns() < until) {
        int k = epoll_wait(l.ep, ev, 128, 100);
        for (int i = 0; i < k; i++) {
            Conn *c = ev[i].data.ptr;
            if (ev[i].events & EPOLLOUT && c->sent < l.request_len)
                send_request(&l, c);
            if (ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                receive(&l, c);
        }
    }
    report(&l, (double) (now_ns() - began) / 1e9);
    for (int i = 0; i < n_conn; i++)
        close(conns[i].fd);
    free(conns), free(l.request), free(l.lat_us), free(headers), free(file_body);
    return l.failures || l.classes[5] ? 1 : 0;
}
