/* api/http.h -- HTTP: the only file that sees libmicrohttpd is http.c.  A complete, gated request goes to a worker thread; the handler is
 * straight-line blocking code; the connection sleeps meanwhile (DESIGN §6). */
#pragma once
#include "core/call.h"

typedef struct HttpServer HttpServer;

/* What a worker hands to the application: everything checked by the gate (one Content-Length, no smuggling, strict path decoding, limits).
 * The application fills the reply part of `call` (status, out, headers, fd). */
typedef struct HttpRequest {
    Call call;                       /* method, path, query, header(), client, in; reply fields */
    const char *raw_body; gsize raw_len;     /* whole body, when the route is not streamed */
    const char *host;                /* Host header, checked syntax */
    const char *network_id;          /* metadata listener: the network the connection came in from; NULL on the API port */
    void *impl;
} HttpRequest;

typedef struct HttpOptions {
    const char *address; int port;   /* listen address; port 0: chosen, see http_port */
    int workers;                     /* handler threads */
    gsize max_body;                  /* buffered bodies; larger: 413 */
    const char *tls_cert, *tls_key;  /* PEM paths; NULL: plain */
    /* Asked on the I/O thread once the headers are in: should this request's body be streamed (call_read) instead of buffered? max bytes or -1: no limit */
    bool (*streams)(const char *method, const char *path, gint64 *ret_max);
    /* Runs on a worker thread. */
    void (*handle)(HttpRequest *req, void *data);
    void *data;
    const char *passed_socket;       /* metadata twin: no port; accepts connected sockets passed with SCM_RIGHTS on this Unix socket, each with a
                                        JSON line {"network": id, "address": ip}; NULL: an ordinary listener */
} HttpOptions;

/* NULL with err. */
HttpServer *http_start(const HttpOptions *opt, GError **err);
int http_port(const HttpServer *server);
/* Stops accepting, lets running handlers end (≤ 5 s), closes. */
void http_stop(HttpServer *server);
/* Counters for /metrics: requests by status class, connections, queue length; appended as Prometheus text. */
void http_metrics(const HttpServer *server, GString *out);
