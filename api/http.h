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
    const char *via;                 /* and the host whose agent says so; NULL: passed_socket's sender */
    void *impl;
} HttpRequest;

typedef struct HttpOptions {
    const char *address; int port;   /* listen address; port 0: chosen, see http_port */
    int workers;                     /* handler threads */
    gsize max_body;                  /* buffered bodies; larger: 413 */
    const char *tls_cert, *tls_key;  /* PEM paths; NULL: plain */
    /* Asked on the I/O thread once the headers are in: should this request's body be streamed (call_read) instead of buffered? max bytes or
     * -1: no limit. A streamed request's handler runs before its body is asked for: answered without a call_read, "Expect: 100-continue" is
     * never met. */
    bool (*streams)(const char *method, const char *path, gint64 *ret_max);
    /* Runs on a worker thread.  HEAD arrives as GET. */
    void (*handle)(HttpRequest *req, void *data);
    void *data;
    const char *passed_socket;       /* metadata twin: no port; accepts connected sockets passed with SCM_RIGHTS on this Unix stream socket, each
                                        sendmsg one descriptor and one JSON line {"network": id, "address": ip}; NULL: an ordinary listener */
    /* May this request's handler run on the I/O thread itself, where it costs no thread switch?  Only for handlers that neither wait nor take
     * longer than about a millisecond (one row read from the database).  NULL: none.  If one takes over 20 ms all the same, the server uses
     * workers for everything during the next second. */
    bool (*quick)(const char *method, const char *path);
    /* Requests whose handler computes for long (password hashing): they have a share of the workers, as uploads have theirs.  NULL: none. */
    bool (*slow)(const char *method, const char *path);
    /* Zero means the default in brackets. */
    gsize head_max;                  /* memory of a connection: bounds request line and headers; an idle one gives most of it back [16 KiB] */
    int max_connections;             /* [16384]; beyond it the connection that was idle longest is closed */
    int per_source;                  /* connections from one address [no limit; 8 per (network, address, via) with passed_socket, and 512 per via] */
    int queue_max;                   /* requests waiting for a worker; more: 503 [512] */
    int idle_s;                      /* keep-alive without a request [300] */
    int head_s;                      /* from the first byte of a request to the end of its headers [10] */
    int rate_s;                      /* bodies and replies must make 1 KiB a second over each such period [10]; replies that are files, over 12;
                                        a reply to what is not TCP must be gone within 12 */
} HttpOptions;

/* NULL with err. */
HttpServer *http_start(const HttpOptions *opt, GError **err);
int http_port(const HttpServer *server);
/* Stops accepting, lets running handlers end (≤ 5 s), closes. */
void http_stop(HttpServer *server);
/* One more connection: fd is a connected, non-blocking stream socket, the server's from here on, and address its client's.  With network (NULL:
 * none) the client is a guest there, as the host via says (NULL: passed_socket's sender does).  Any thread. */
void http_adopt(HttpServer *server, int fd, const char *network, const char *address, const char *via);
/* Counters for /metrics: requests by status class, connections, queue length; appended as Prometheus text. */
void http_metrics(const HttpServer *server, GString *out);
