/* api/http.c -- HTTP over libmicrohttpd: the pool's threads drive it and run the handlers; the gate refuses what it lets pass.
 *
 * Each Io is a daemon in external-epoll mode with its share of the connections, driven by one thread at a time: what touches a connection
 * needs no locks.  While a handler has a request its connection is suspended, which costs nothing; finished requests come back through the
 * Io's list of events. */
#include "api/http.h"
#include "api/accept.h"
#include "api/conn.h"
#include "api/gate.h"
#include "api/passed.h"
#include "api/req.h"
#include "api/sock.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/wake.h"
#include <malloc.h>
#include <microhttpd.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    QUICK_LIMIT_US = 20000,                  /* a "quick" handler that takes longer turns quickness off for a second */
    RING_SIZE = 256 << 10,
    UNSENT_MAX = 256 << 10,
    SPILL_SIZE = 256 << 10, SPILL_ABOVE = 4 << 20,
    TINY_PIECES = 4096, TINY_SIZE = 16,      /* so many pieces of a body, and their average must not be below */
    STILL_MAX = 20,
    STOP_US = 5 * G_USEC_PER_SEC,
    HEADER_COST = 64, REPLY_HEAD_MAX = 2048, /* what libmicrohttpd needs of a connection's memory for a header that came, and for those it sends */
    PER_VIA = 512,                           /* twice what an agent keeps: those it ended may not be closed here yet */
};

struct Io {
    PoolDriver driver;                       /* first */
    HttpServer *server;
    struct MHD_Daemon *daemon;
    Conns conns;
    guint n_suspended, n_pushed, n_chunked;  /* pushed: to the pool in this round; chunked: bodies that are coming in */
    guint n_calls, n_still;                  /* callbacks in all; rounds in a row without one */
    int wake_fd;
    atomic_bool sleeping;
    atomic_uint shed_wanted;                 /* idle connections to end, as others are over the limit */
    Conn *added, *adding;                    /* those on their way here, under lock; the one that is being given to the daemon */
    GMutex lock;
    Req *events, **events_tail;
    bool winding_down;
};

struct HttpServer {
    HttpOptions opt;
    ConnRules rules;
    int listen_fd, port;
    char *tls_cert, *tls_key;
    Pool *pool;
    Acceptor *acceptor;
    Passed *passed;
    Io *ios;
    PoolDriver **drivers;
    guint n_ios;
    atomic_bool stopping;
    gint64 stop_at;
    atomic_llong quick_off_until;
    atomic_size_t held;
    atomic_ullong quick_runs;
};

static void wake(Io *io)
{
    if (atomic_exchange(&io->sleeping, false))
        wake_up(io->wake_fd);
}

static void req_unref(Req *req)
{
    if (atomic_fetch_sub(&req->refs, 1) > 1)
        return;
    if (req->reply)
        MHD_destroy_response(req->reply);
    req_free(req);
}

/* Any thread.  With EVENT_FINISHED the worker's reference goes along. */
static void post(Req *req, Event event)
{
    Io *io = req->io;
    g_mutex_lock(&io->lock);
    req->events |= event;
    if (!req->listed) {
        req->listed = true;
        req->next_event = NULL;
        *io->events_tail = req;
        io->events_tail = &req->next_event;
    }
    g_mutex_unlock(&io->lock);
    wake(io);
}

/* --- replies --- */

static struct MHD_Response *text_response(Req *req, GString **text)
{
    HttpServer *s = req->io->server;
    gsize n = (*text)->len;
    int fd = n > SPILL_SIZE && atomic_load(&s->held) > SPILL_ABOVE ? sock_spill(*text) : -1;
    if (fd >= 0) {
        g_string_free(g_steal_pointer(text), TRUE);
        return MHD_create_response_from_fd_at_offset64(n, fd, 0);
    }
    req->held = n;
    atomic_fetch_add(&s->held, n);
    return MHD_create_response_from_buffer_with_free_callback(n, g_string_free(g_steal_pointer(text), FALSE), g_free);
}

/* Turns the reply part of the call into libmicrohttpd's object.  Any thread. */
static void make_reply(Req *req)
{
    Call *c = &req->http.call;
    if (!c->status) {
        log_error("http.no_reply", "method", c->method, "path", c->path, NULL);
        c->status = 500;
    }
    bool bodiless = c->status == 204 || c->status == 304, typed = true;
    if (c->fd >= 0 && !bodiless) {
        req->reply = MHD_create_response_from_fd_at_offset64((guint64) c->fd_length, c->fd, (guint64) c->fd_offset);
        req->patient = true;
        c->fd = -1;
    } else if (c->out && c->out->len && !bodiless)
        req->reply = text_response(req, &c->out);
    else {
        req->reply = MHD_create_response_from_buffer(0, (void *) "", MHD_RESPMEM_PERSISTENT);
        typed = c->content_type && !bodiless;
    }
    if (typed)
        MHD_add_response_header(req->reply, "Content-Type", c->content_type ? c->content_type : "application/json");
    MHD_add_response_header(req->reply, "X-Content-Type-Options", "nosniff");
    for (guint i = 0; c->headers && i + 1 < c->headers->len; i += 2)
        MHD_add_response_header(req->reply, c->headers->pdata[i], c->headers->pdata[i + 1]);
}

static enum MHD_Result send_reply(Req *req)
{
    HttpServer *s = req->io->server;
    Conn *conn = req->conn;
    int status = req->http.call.status;
    if (!req->reply)
        make_reply(req);
    if (req->close || atomic_load(&s->stopping))
        MHD_add_response_header(req->reply, "Connection", "close");
    enum MHD_Result ok = MHD_queue_response(conn->mhd, (unsigned) status, req->reply);
    g_clear_pointer(&req->reply, MHD_destroy_response);
    atomic_fetch_add(&s->rules.by_class[CLAMP(status / 100, 0, 5)], 1);
    conn->patient = req->patient;
    conn_enter(conn, CONN_REPLY);
    return ok;
}

/* Refuses a request before any handler saw it; the connection closes, as what follows on it cannot be trusted to be a request. */
static enum MHD_Result refuse(Req *req, int status, const char *why)
{
    Call *c = &req->http.call;
    c->status = status;
    c->out = conn_error_body(status, why);
    if (status == 503)
        call_header(c, "Retry-After", "1");
    atomic_fetch_add(&req->io->server->rules.refused, 1);
    req->close = true;
    req->conn->linger = true;
    return send_reply(req);
}

/* The handler of a streamed request answered while the body still flows. */
static void reply_raw(Req *req)
{
    Call *c = &req->http.call;
    g_autoptr(GString) extra = g_string_new(NULL), none = g_string_new(NULL);
    for (guint i = 0; c->headers && i + 1 < c->headers->len; i += 2)
        g_string_append_printf(extra, "%s: %s\r\n", (char *) c->headers->pdata[i], (char *) c->headers->pdata[i + 1]);
    conn_send_raw(req->conn, c->status, extra->str, c->out ? c->out : none);
    req->replied = true;
}

/* --- requests --- */

static void run_job(PoolJob *job)
{
    Req *req = (Req *) ((char *) job - offsetof(Req, job));
    HttpServer *s = req->io->server;
    s->opt.handle(&req->http, s->opt.data);
    if (!req->streamed)
        make_reply(req);
    post(req, EVENT_FINISHED);
}

static void suspend(Conn *conn, Io *io)
{
    MHD_suspend_connection(conn->mhd);
    conn->suspended = true;
    io->n_suspended++;
    conn_enter(conn, CONN_WORK);
}

/* Hands the request to a worker.  It may finish before we suspend: its event waits until this thread gets to its list. */
static enum MHD_Result dispatch(Req *req, PoolKind kind)
{
    atomic_fetch_add(&req->refs, 1);
    if (!pool_push(req->io->server->pool, &req->io->driver, &req->job, kind)) {
        atomic_fetch_sub(&req->refs, 1);
        atomic_fetch_add(&req->io->server->rules.shed, 1);
        return refuse(req, 503, "The server is overloaded.");
    }
    req->io->n_pushed++;
    suspend(req->conn, req->io);
    return MHD_YES;
}

/* The whole request is in: runs it here if it is quick, else on a worker. */
static enum MHD_Result execute(Req *req)
{
    HttpServer *s = req->io->server;
    Call *c = &req->http.call;
    gint64 begin = s->opt.quick ? clock_mono_us() : 0;
    req->phase = PHASE_WORK;
    if (req->body) {
        req->http.raw_body = req->body->str;
        req->http.raw_len = req->body->len;
    }
    if (s->opt.slow && s->opt.slow(c->method, c->path))
        return dispatch(req, POOL_HEAVY);
    if (!s->opt.quick || begin < atomic_load(&s->quick_off_until) || !s->opt.quick(c->method, c->path))
        return dispatch(req, c->method[0] == 'G' ? POOL_LAZY : POOL_SOON);
    s->opt.handle(&req->http, s->opt.data);
    gint64 end = clock_mono_us();
    if (end - begin > QUICK_LIMIT_US)
        atomic_store(&s->quick_off_until, end + G_USEC_PER_SEC);
    atomic_fetch_add(&s->quick_runs, 1);
    return send_reply(req);
}

static gssize stream_read(CallBody *body, void *buf, gsize n, GError **err)
{
    Req *req = (Req *) ((char *) body - offsetof(Req, stream));
    bool room;
    if (!req->asked) {
        req->asked = true;
        post(req, EVENT_READ);
    }
    gssize got = ring_take(req->ring, buf, n, &room, err);
    if (room)
        post(req, EVENT_READ);
    return got;
}

static enum MHD_Result add_header(void *data, enum MHD_ValueKind kind, const char *name, const char *value)
{
    GateHead *h = data;
    (void) kind;
    if (h->n_headers < GATE_HEADERS_MAX)
        h->headers[h->n_headers] = (GateHeader){ name, value ? value : "" };
    h->n_headers++;
    return MHD_YES;
}

static enum MHD_Result begin_body(Req *req)
{
    conn_enter(req->conn, CONN_BODY);
    req->phase = PHASE_BODY;
    req->io->n_chunked += req->gate.chunked;
    if (req->streamed) {
        req_copy_headers(req);
        req->conn->ring = req->ring = ring_new(RING_SIZE);
        req->stream.read = stream_read;
        req->http.call.in = &req->stream;
        req->phase = PHASE_ASKED;
        return dispatch(req, POOL_LONG);
    }
    if (req->gate.chunked || req->gate.content_length > 0)
        req->body = g_string_sized_new(req->gate.chunked ? 4096 : (gsize) MIN(req->gate.content_length, 65536));
    return MHD_YES;
}

/* Headers are in: the gate. */
static enum MHD_Result begin(Req *req, const char *method, const char *version)
{
    HttpServer *s = req->io->server;
    const char *why;
    if (req->conn->doomed)
        return MHD_NO;
    req->head.method = method;
    req->head.version = version;
    req->head.size = MHD_get_connection_info(req->conn->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)->header_size;
    MHD_get_connection_values(req->conn->mhd, MHD_HEADER_KIND, add_header, &req->head);
    int status = gate_check(&req->head, &req->gate, &why);
    if (req->head.size + req->head.n_headers * HEADER_COST + REPLY_HEAD_MAX > s->opt.head_max && !s->rules.tls) {
        conn_refuse_raw(req->conn, 431, "The request has too many or too long headers.");
        return MHD_NO;
    }
    if (status)
        return refuse(req, status, why);
    if (req->head.target_len > URI_MAX)
        return refuse(req, 414, "The URI is too long.");
    if (!req->conn->memory)
        conn_memory(req->conn, method, req->head.size, s->opt.head_max);
    if ((why = uri_parse(req->target, &req->uri)))
        return refuse(req, 400, why);
    if (atomic_load(&s->stopping))
        return refuse(req, 503, "The server is shutting down.");
    req_fill_call(req);
    gint64 stream_max = -1;
    req->streamed = s->opt.streams && req->gate.method[0] == 'P' && s->opt.streams(req->gate.method, req->uri.path, &stream_max);
    req->body_max = req->streamed ? stream_max : (gint64) s->opt.max_body;
    if (req->body_max >= 0 && req->gate.content_length > req->body_max)
        return refuse(req, 413, "The request body is too large.");
    return begin_body(req);
}

/* Bytes of the body. */
static enum MHD_Result take_body(Req *req, const char *data, size_t *size)
{
    Conn *conn = req->conn;
    gsize n = *size, taken = n;
    req->pieces++;
    if (req->body_max >= 0 && conn->body_seen + n > (guint64) req->body_max) {
        if (req->ring)
            ring_fail(req->ring, NV_ERR_TOO_LARGE, "the request body is too large");
        conn_refuse_raw(conn, 413, "The request body is too large.");
        return MHD_NO;
    }
    if (req->pieces > TINY_PIECES && (conn->body_seen + n) / req->pieces < TINY_SIZE) {
        conn_refuse_raw(conn, 400, "The chunks of the request body are too small.");
        return MHD_NO;
    }
    if (!req->streamed)
        g_string_append_len(req->body, data, (gssize) n);
    else if (!req->finished)
        taken = ring_put(req->ring, data, n);
    else if (!conn->conns->rules->tls) {
        if (!req->replied)
            reply_raw(req);
        return MHD_NO;
    }
    conn->body_seen += taken;
    *size = n - taken;
    if (taken < n)
        suspend(conn, req->io);
    return MHD_YES;
}

/* Called anew after a resume, and at the end of the body. */
static enum MHD_Result go_on(Req *req)
{
    if (req->replied)
        return MHD_NO;
    if (req->finished) {
        /* Answered before the body was asked for: whether the client sends it or not is open, so the connection cannot be used again. */
        if (req->phase == PHASE_ASKED && (req->gate.chunked || req->gate.content_length > 0))
            req->conn->linger = req->close = true;
        return send_reply(req);
    }
    if (req->phase == PHASE_ASKED) {
        req->phase = PHASE_BODY;
        return MHD_YES;
    }
    if (!req->streamed)
        return execute(req);
    ring_end(req->ring);
    req->phase = PHASE_WORK;
    suspend(req->conn, req->io);
    return MHD_YES;
}

/* libmicrohttpd's access handler: after the headers, for each piece of the body, at its end, and again after each resume. */
static enum MHD_Result on_request(void *data, struct MHD_Connection *mhd, const char *url, const char *method, const char *version,
                                  const char *upload, size_t *upload_size, void **state)
{
    Req *req = *state;
    (void) data, (void) mhd, (void) url;
    req->io->n_calls++;
    if (*upload_size)
        return take_body(req, upload, upload_size);
    return req->phase == PHASE_HEAD ? begin(req, method, version) : go_on(req);
}

/* The request line is there, still as it was received. */
static void *on_target(void *data, const char *target, struct MHD_Connection *mhd)
{
    Io *io = data;
    Conn *conn = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    Req *req = req_new(io, conn, target ? target : "");
    /* libmicrohttpd would make an object in the connection's memory of each argument, which nobody reads: it finds none. */
    char *query = target ? strchr((char *) (guintptr) target, '?') : NULL;
    if (query && query[1])
        query[1] = '\0';
    conn->req = req;
    io->conns.now = clock_mono_us();         /* the last round may have begun long ago */
    conn_enter(conn, CONN_HEAD);
    if (req->head.target_len > URI_MAX && !io->server->rules.tls) {      /* the headers may not fit beside it */
        conn_refuse_raw(conn, 414, "The URI is too long.");
        conn_end(conn, false);
    }
    return req;
}

/* The connection is done with its request, however it ended. */
static void let_go(Io *io, Conn *conn)
{
    Req *req = conn->req;
    io->n_chunked -= req->gate.chunked && req->phase != PHASE_HEAD;
    atomic_fetch_sub(&io->server->held, req->held);
    if (req->ring)
        ring_fail(req->ring, NV_ERR_INVALID, "the client went away before the end of the request body");
    req->conn = NULL;
    conn->req = NULL;
    conn->patient = false;
    conn_enter(conn, CONN_IDLE);
    req_unref(req);
}

static void on_completed(void *data, struct MHD_Connection *mhd, void **state, enum MHD_RequestTerminationCode code)
{
    Req *req = *state;
    (void) mhd, (void) code;
    *state = NULL;
    if (req)
        let_go(data, req->conn);
}

/* The targets are decoded by uri.c; libmicrohttpd must leave them alone. */
static size_t on_unescape(void *data, struct MHD_Connection *mhd, char *text)
{
    (void) data, (void) mhd;
    return strlen(text);
}

/* --- connections --- */

/* Over the limit: the I/O that has most connections gives one up. */
static void make_room(HttpServer *s)
{
    Io *most = &s->ios[0];
    for (guint i = 1; i < s->n_ios; i++)
        if (atomic_load(&s->ios[i].conns.n) > atomic_load(&most->conns.n))
            most = &s->ios[i];
    atomic_fetch_add(&most->shed_wanted, 1);
    wake(most);
}

static Io *least_loaded(HttpServer *s)
{
    Io *least = &s->ios[0];
    for (guint i = 1; i < s->n_ios; i++)
        if (atomic_load(&s->ios[i].conns.n) < atomic_load(&least->conns.n))
            least = &s->ios[i];
    return least;
}

static void on_connection(void *data, struct MHD_Connection *mhd, void **context, enum MHD_ConnectionNotificationCode code)
{
    Io *io = data;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        Conn *gone = *context;
        if (gone->req)                       /* after an error in the head, libmicrohttpd may forget to report the request's end */
            let_go(io, gone);
        conn_free(gone);
        return;
    }
    Conn *c = g_steal_pointer(&io->adding);
    conn_join(c);
    c->mhd = mhd;
    *context = c;
}

/* Connections must be added on the thread that owns the daemon.  Counted here: none wait there beyond what is allowed. */
void http_adopt(HttpServer *s, int fd, const char *network, const char *address, const char *via)
{
    const guint n = atomic_load(&s->rules.n_conns), max = (guint) s->rules.max;
    Io *io = least_loaded(s);
    Conn *c = n < max + MAX(64, max / 8) ? conn_new(&io->conns, fd, address, network, via) : NULL;
    if (!c) {
        close(fd);
        return;
    }
    if (n >= max)
        make_room(s);
    g_mutex_lock(&io->lock);
    c->next = io->added;
    io->added = c;
    g_mutex_unlock(&io->lock);
    wake(io);
}

static void on_passed(int fd, const char *network, const char *address, void *data)
{
    http_adopt(data, fd, network, address, NULL);
}

static void on_accepted(int fd, const char *address, void *data)
{
    http_adopt(data, fd, NULL, address, NULL);
}

static void add(Io *io, Conn *c)
{
    struct sockaddr_storage addr = { 0 };
    socklen_t len = sizeof addr;
    if (getpeername(c->fd, (struct sockaddr *) &addr, &len) < 0)
        len = sizeof(struct sockaddr_in);
    io->adding = c;
    MHD_add_connection(io->daemon, c->fd, (struct sockaddr *) &addr, len);
    g_clear_pointer(&io->adding, conn_free);         /* refused before on_connection had it; the descriptor is closed */
}

static void take_added(Io *io)
{
    g_mutex_lock(&io->lock);
    Conn *list = g_steal_pointer(&io->added);
    g_mutex_unlock(&io->lock);
    while (list) {
        Conn *c = list;
        list = c->next;
        add(io, c);
    }
}

/* --- driving --- */

static void handle_event(Req *req, unsigned events)
{
    Conn *conn = req->conn;
    if (events & EVENT_FINISHED)
        req->finished = true;
    if (conn && conn->suspended) {
        conn->suspended = false;
        req->io->n_suspended--;
        conn_enter(conn, CONN_BODY);
        MHD_resume_connection(conn->mhd);
    } else if (conn && req->finished && !conn->doomed && !conn->conns->rules->tls)
        reply_raw(req);                      /* the next piece of the body, or the client, ends the connection */
    if (events & EVENT_FINISHED)
        req_unref(req);
}

static void take_events(Io *io)
{
    g_mutex_lock(&io->lock);
    Req *list = io->events;
    io->events = NULL;
    io->events_tail = &io->events;
    g_mutex_unlock(&io->lock);
    while (list) {
        Req *req = list;
        g_mutex_lock(&io->lock);
        unsigned events = req->events;
        list = req->next_event;
        req->listed = false;
        req->events = 0;
        g_mutex_unlock(&io->lock);
        handle_event(req, events);
    }
}

/* Milliseconds until something is to be done without an event; -1: never. */
static int poll_timeout(const Io *io)
{
    if (io->winding_down)
        return 20;
    if (io->conns.n_lingering)
        return 50;
    return io->conns.n ? (int) (CLAMP(io->conns.swept + SWEEP_US - io->conns.now, 0, SWEEP_US) / 1000 + 1) : -1;
}

/* One round: waits, and lets libmicrohttpd do everything that can be done now. */
static void io_round(Io *io)
{
    take_events(io);
    take_added(io);
    for (guint n = atomic_exchange(&io->shed_wanted, 0); n > 0 && conns_shed_idle(&io->conns); n--)
        ;
    int ms = poll_timeout(io);
    atomic_store(&io->sleeping, true);
    g_mutex_lock(&io->lock);
    if (io->events || io->added || atomic_load(&io->shed_wanted) || (atomic_load(&io->server->stopping) && !io->winding_down))
        ms = 0;
    g_mutex_unlock(&io->lock);
    guint calls = io->n_calls;
    MHD_run_wait(io->daemon, ms);
    atomic_store(&io->sleeping, false);
    io->conns.now = clock_mono_us();
    /* libmicrohttpd polls without a pause while its buffer is full of a chunk's extensions, until the sweep ends that connection. */
    io->n_still = io->n_calls == calls && io->n_chunked ? io->n_still + 1 : 0;
    if (io->n_still > STILL_MAX)
        g_usleep(1000);
}

/* Stopping: idle connections are closed, the others may end.  False: it is over. */
static bool wind_down(Io *io)
{
    gint64 now = io->conns.now, stop_at = io->server->stop_at;
    io->winding_down = true;
    for (Conn *c = io->conns.first; c; c = c->next) {
        if (now > stop_at && c->ring)
            ring_fail(c->ring, NV_ERR_UNAVAILABLE, "the server is shutting down");
        if (!c->doomed && (c->state == CONN_IDLE || (now > stop_at && !c->suspended)))
            conn_end(c, c->state != CONN_IDLE);
    }
    return io->conns.n && now < stop_at + G_USEC_PER_SEC;
}

static bool io_drive(PoolDriver *driver)
{
    Io *io = (Io *) driver;
    io->n_pushed = 0;
    do {
        pool_give_way(io->server->pool);
        io_round(io);
        if (io->conns.n_lingering)
            conns_drain(&io->conns);
        if (io->conns.now - io->conns.swept >= SWEEP_US)
            conns_sweep(&io->conns);
        if (atomic_load(&io->server->stopping) && !wind_down(io))
            break;
    } while (!io->n_pushed);
    if (io->n_pushed)
        return true;
    /* A handler that does not return keeps its connection suspended, and libmicrohttpd aborts if stopped then: leave that to the exit. */
    if (io->n_suspended)
        log_warn("http.stop.busy", "requests", LOG_INT(io->n_suspended), NULL);
    else
        g_clear_pointer(&io->daemon, MHD_stop_daemon);
    conns_done(&io->conns);
    return false;
}

/* --- start and stop --- */

static bool io_start(HttpServer *s, Io *io, GError **err)
{
    struct MHD_OptionItem more[4] = { { MHD_OPTION_END, 0, NULL } };
    int k = 0;
    io->wake_fd = wake_new(err);
    if (io->wake_fd < 0)
        return false;
    /* Suspending needs libmicrohttpd's own wake-up channel only when it polls in threads of its own. */
    unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | ((unsigned) MHD_ALLOW_SUSPEND_RESUME & ~(unsigned) MHD_USE_ITC);
    if (s->rules.tls) {
        flags |= MHD_USE_TLS;
        more[k++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_CERT, 0, s->tls_cert };
        more[k++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_KEY, 0, s->tls_key };
        more[k++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_PRIORITIES, 0, (void *) "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-CIPHER-ALL:"
                                             "+AES-256-GCM:+AES-128-GCM:+CHACHA20-POLY1305:-KX-ALL:+ECDHE-RSA:+ECDHE-ECDSA:%SAFE_RENEGOTIATION" };
    }
    more[k] = (struct MHD_OptionItem){ MHD_OPTION_END, 0, NULL };
    io->server = s;
    io->conns.rules = &s->rules;
    io->conns.now = io->conns.swept = clock_mono_us();
    io->events_tail = &io->events;
    g_mutex_init(&io->lock);
    io->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, io, MHD_OPTION_CONNECTION_MEMORY_LIMIT, s->opt.head_max,
                                  MHD_OPTION_CONNECTION_LIMIT, 2 * (unsigned) s->rules.max + 1024, MHD_OPTION_URI_LOG_CALLBACK, on_target,
                                  io, MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_completed, io,
                                  MHD_OPTION_NOTIFY_CONNECTION, on_connection, io, MHD_OPTION_STRICT_FOR_CLIENT, 1,
                                  MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_ARRAY, more, MHD_OPTION_END);
    if (!io->daemon)
        return nv_fail(err, NV_ERR_INTERNAL, "libmicrohttpd did not start%s", s->rules.tls ? "; are certificate and key a good pair?" : "");
    /* Our wake-up channel joins its epoll set, where events without data are skipped; edge-triggered, it need not be read. */
    struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.ptr = NULL };
    if (epoll_ctl(MHD_get_daemon_info(io->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, EPOLL_CTL_ADD, io->wake_fd, &ev) < 0)
        return nv_fail_errno(err, NV_ERR_INTERNAL, "epoll_ctl");
    io->driver.drive = io_drive;
    return true;
}

static void set_rules(HttpServer *s)
{
    HttpOptions *o = &s->opt;
    ConnRules *r = &s->rules;
    o->head_max = o->head_max ? o->head_max : 16384;
    o->queue_max = o->queue_max ? o->queue_max : 512;
    conn_rules_init(r);
    r->tls = o->tls_cert && o->tls_key;
    r->max = sock_raise_limit(o->max_connections ? o->max_connections : 16384);
    r->per_source = o->per_source ? o->per_source : o->passed_socket ? 8 : 2 * r->max;
    r->per_via = PER_VIA;
    r->idle_s = o->idle_s ? o->idle_s : 300;
    r->head_s = o->head_s ? o->head_s : 10;
    r->rate_s = o->rate_s ? o->rate_s : 10;
}

static void server_free(HttpServer *s)
{
    if (s->listen_fd >= 0)
        close(s->listen_fd);
    for (guint i = 0; i < s->n_ios; i++) {
        close(s->ios[i].wake_fd);
        g_mutex_clear(&s->ios[i].lock);
    }
    conn_rules_done(&s->rules);
    g_free(s->tls_cert);
    g_free(s->tls_key);
    g_free(s->ios);
    g_free(s->drivers);
    g_free(s);
}

HttpServer *http_start(const HttpOptions *opt, GError **err)
{
    HttpServer *s = g_new0(HttpServer, 1);
    s->opt = *opt;
    s->listen_fd = -1;
    set_rules(s);
    bool ok = (!s->rules.tls || (sock_read_pem(opt->tls_cert, &s->tls_cert, err) && sock_read_pem(opt->tls_key, &s->tls_key, err))) &&
              (opt->passed_socket || sock_listen(opt->address, opt->port, UNSENT_MAX, &s->listen_fd, &s->port, err));
    if (!ok) {
        server_free(s);
        return NULL;
    }
    guint want = opt->passed_socket ? 1 : CLAMP(g_get_num_processors(), 2, 8);
    s->pool = pool_new((guint) opt->workers, (guint) s->opt.queue_max, run_job);
    s->ios = g_new0(Io, want);
    s->drivers = g_new0(PoolDriver *, want);
    while (ok && s->n_ios < want) {
        s->drivers[s->n_ios] = &s->ios[s->n_ios].driver;
        ok = io_start(s, &s->ios[s->n_ios++], err);
    }
    if (ok && opt->passed_socket)
        ok = (s->passed = passed_start(opt->passed_socket, on_passed, s, err)) != NULL;
    else if (ok)
        ok = (s->acceptor = acceptor_start(s->listen_fd, on_accepted, s, err)) != NULL;
    if (ok) {
        signal(SIGPIPE, SIG_IGN);            /* sendfile raises it */
        mallopt(M_MMAP_THRESHOLD, 1 << 20);  /* large replies go back to the kernel at once */
        pool_start(s->pool, s->drivers, s->n_ios);
        return s;
    }
    for (guint i = 0; i < s->n_ios; i++)
        g_clear_pointer(&s->ios[i].daemon, MHD_stop_daemon);
    pool_free(s->pool);
    server_free(s);
    return NULL;
}

int http_port(const HttpServer *s)
{
    return s->port;
}

void http_stop(HttpServer *s)
{
    if (s->passed)
        passed_stop(s->passed);
    if (s->acceptor) {
        acceptor_stop(s->acceptor);
        close(s->listen_fd);
        s->listen_fd = -1;
    }
    s->stop_at = clock_mono_us() + STOP_US;
    atomic_store(&s->stopping, true);
    for (guint i = 0; i < s->n_ios; i++)
        wake(&s->ios[i]);
    pool_wind_down(s->pool);
    for (guint i = 0; i < s->n_ios; i++)
        if (s->ios[i].n_suspended)
            return;                          /* handlers still run and use all this */
    pool_free(s->pool);
    for (guint i = 0; i < s->n_ios; i++)
        take_events(&s->ios[i]);             /* of streamed requests whose connection was gone before */
    server_free(s);
}

void http_metrics(const HttpServer *s, GString *out)
{
    static const char *const classes[] = { NULL, "1xx", "2xx", "3xx", "4xx", "5xx" };
    HttpServer *m = (HttpServer *) s;        /* atomic loads and the pool's lock want it mutable */
    const char *name = s->opt.passed_socket ? "metadata" : "api";
    for (int i = 2; i <= 5; i++)
        g_string_append_printf(out, "nuvolet_http_responses_total{listener=\"%s\",class=\"%s\"} %llu\n", name, classes[i],
                               atomic_load(&m->rules.by_class[i]));
    const struct { const char *metric; unsigned long long value; } rows[] = {
        { "connections", atomic_load(&m->rules.n_conns) },    { "queue", pool_queued(m->pool) },
        { "refused_total", atomic_load(&m->rules.refused) },  { "shed_total", atomic_load(&m->rules.shed) },
        { "timeouts_total", atomic_load(&m->rules.timeouts) }, { "inline_total", atomic_load(&m->quick_runs) },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        g_string_append_printf(out, "nuvolet_http_%s{listener=\"%s\"} %llu\n", rows[i].metric, name, rows[i].value);
}
