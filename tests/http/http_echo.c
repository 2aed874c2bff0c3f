/* tests/http/http_echo.c -- the HTTP server alone, with a handler that shows what reached it; driven by tests/http/test_gate.py. */
#include "api/http.h"
#include "core/log.h"
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static HttpServer *server;

static bool streams(const char *method, const char *path, gint64 *ret_max)
{
    (void) method;
    *ret_max = g_str_has_prefix(path, "/up/max/") ? g_ascii_strtoll(path + 8, NULL, 10) : -1;
    return g_str_has_prefix(path, "/up/");
}

static bool quick(const char *method, const char *path)
{
    return method[0] == 'G' && g_str_has_prefix(path, "/quick");
}

static void fill(Call *c, gint64 n)
{
    c->status = 200;
    c->out = g_string_sized_new((gsize) n + 1);
    g_string_set_size(c->out, (gsize) n);
    memset(c->out->str, 'x', (gsize) n);
}

static void show(HttpRequest *req)
{
    static const char *const names[] = { "Host", "X-Test", "Content-Type", "X-Forwarded-For", NULL };
    Call *c = &req->call;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_kstr(&w, "method", c->method);
    jw_kstr(&w, "path", c->path);
    jw_kstr(&w, "client", c->client);
    jw_kstr(&w, "network", req->network_id);
    jw_kint(&w, "length", (gint64) req->raw_len);
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, req->raw_body ? req->raw_body : "", (gssize) req->raw_len);
    jw_kstr(&w, "sha256", sum);
    jw_key(&w, "query");
    jw_array(&w);
    for (size_t i = 0; i < c->n_query; i++) {
        jw_str(&w, c->query[i].name);
        jw_str(&w, c->query[i].value);
    }
    jw_end_array(&w);
    jw_key(&w, "headers");
    jw_object(&w);
    for (int i = 0; names[i]; i++)
        jw_kstr(&w, names[i], c->header(c, names[i]));
    jw_end_object(&w);
    jw_end_object(&w);
}

static void fail(Call *c, int status, const char *why)
{
    JsonW w = call_begin(c, status);
    jw_object(&w);
    jw_kstr(&w, "why", why);
    jw_end_object(&w);
}

/* ?first: bytes to read before giving up (507); ?pause: microseconds between reads. */
static void receive(Call *c)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    gint64 total = 0, first, pause;
    if (call_query(c, "refuse")) {
        fail(c, 401, "refused");
        return;
    }
    if (!call_query_int(c, "first", 0, G_MAXINT64, G_MAXINT64, &first, &err) || !call_query_int(c, "pause", 0, 1000000, 0, &pause, &err)) {
        fail(c, 400, err->message);
        return;
    }
    char buf[65536];
    gssize n;
    while (total < first && (n = call_read(c, buf, sizeof buf, &err)) > 0) {
        g_checksum_update(sum, (const guchar *) buf, n);
        total += n;
        if (pause)
            g_usleep((gulong) pause);
    }
    if (err) {
        log_warn("echo.broken", "why", err->message, "bytes", LOG_INT(total), NULL);
        fail(c, 400, err->message);
        return;
    }
    if (total >= first) {
        fail(c, 507, "enough");
        return;
    }
    JsonW w = call_begin(c, 201);
    jw_object(&w);
    jw_kint(&w, "bytes", total);
    jw_kstr(&w, "sha256", g_checksum_get_string(sum));
    jw_kstr(&w, "x_test", c->header(c, "X-Test"));
    jw_end_object(&w);
}

static void send_file(Call *c, gint64 n, gint64 skip)
{
    char path[] = "/tmp/nuvolet-echo-XXXXXX";
    c->fd = mkstemp(path);
    unlink(path);
    char block[4096];
    for (gint64 at = 0; at < n + skip; at += (gint64) sizeof block) {
        memset(block, 'a' + (int) (at / (gint64) sizeof block % 26), sizeof block);
        if (pwrite(c->fd, block, sizeof block, at) < 0)
            abort();
    }
    c->status = 200;
    c->content_type = "application/octet-stream";
    c->fd_offset = skip;
    c->fd_length = n;
}

static bool slow(const char *method, const char *path)
{
    (void) method;
    return g_str_has_prefix(path, "/heavy/");
}

static void handle(HttpRequest *req, void *data)
{
    Call *c = &req->call;
    const char *arg = strrchr(c->path, '/') + 1;
    gint64 n = g_ascii_strtoll(arg, NULL, 10);
    (void) data;
    if (g_str_has_prefix(c->path, "/up/"))
        receive(c);
    else if (g_str_has_prefix(c->path, "/bytes/") || g_str_has_prefix(c->path, "/quick/"))
        fill(c, n);
    else if (g_str_has_prefix(c->path, "/file/"))
        send_file(c, n, 10);
    else if (g_str_has_prefix(c->path, "/sleep/") || g_str_has_prefix(c->path, "/heavy/") || g_str_has_prefix(c->path, "/quicksleep/")) {
        g_usleep((gulong) n * 1000);
        fail(c, 200, "slept");
    } else if (g_str_has_prefix(c->path, "/status/"))
        call_reply_empty(c, (int) n);
    else if (strcmp(c->path, "/metrics") == 0) {
        struct rusage u;
        getrusage(RUSAGE_SELF, &u);
        c->status = 200;
        c->out = g_string_new(NULL);
        c->content_type = "text/plain";
        http_metrics(server, c->out);
        g_string_append_printf(c->out, "cpu_us %ld\n", (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec + u.ru_stime.tv_usec);
    } else if (strcmp(c->path, "/silent") == 0)
        return;
    else
        show(req);
    g_autofree char *thread = g_strdup_printf("%d", (int) gettid());
    call_header(c, "X-Echo", "yes");
    call_header(c, "X-Thread", thread);
}

int main(int argc, char **argv)
{
    HttpOptions opt = { .address = "127.0.0.1", .workers = 4, .max_body = 114688, .streams = streams, .quick = quick, .slow = slow,
                        .handle = handle };
    g_autoptr(GError) err = NULL;
    int o;
    while ((o = getopt(argc, argv, "w:q:s:c:n:H:r:i:C:K:")) != -1) {
        int *const ints[128] = { ['w'] = &opt.workers, ['q'] = &opt.queue_max, ['n'] = &opt.per_source, ['c'] = &opt.max_connections,
                                 ['H'] = &opt.head_s, ['r'] = &opt.rate_s, ['i'] = &opt.idle_s };
        if (o < 128 && ints[o])
            *ints[o] = atoi(optarg);
        else if (o == 's')
            opt.passed_socket = optarg;
        else if (o == 'C')
            opt.tls_cert = optarg;
        else if (o == 'K')
            opt.tls_key = optarg;
        else
            return 2;
    }
    mallopt(M_ARENA_MAX, 2);                     /* as serve does */
    server = http_start(&opt, &err);
    if (!server) {
        fprintf(stderr, "%s\n", err->message);
        return 1;
    }
    printf("%d\n", http_port(server));
    fflush(stdout);
    char c;
    while (read(0, &c, 1) > 0)                   /* lives until whoever started it closes our standard input */
        ;
    http_stop(server);
    printf("stopped\n");
    return 0;
}
