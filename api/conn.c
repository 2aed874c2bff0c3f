/* api/conn.c -- connections: who has how many, how slow they may be, and how they end.
 *
 * The sweep reads from TCP_INFO what libmicrohttpd does not tell: bytes received of an unfinished head, bytes acknowledged of a reply. */
#include "api/conn.h"
#include "api/gate.h"
#include "core/clock.h"
#include "core/jsonw.h"
#include "core/log.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    SAMPLE_US = 3 * G_USEC_PER_SEC,          /* how often an idle connection is looked at */
    RATE_MIN = 1024, PATIENCE = 12,
    LINGER_US = 2 * G_USEC_PER_SEC, LINGER_BYTES = 8 << 20,
};

void conn_rules_init(ConnRules *r)
{
    g_mutex_init(&r->lock);
    r->sources = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

void conn_rules_done(ConnRules *r)
{
    g_hash_table_unref(r->sources);
    g_mutex_clear(&r->lock);
}

void conn_address_text(const struct sockaddr *addr, char out[INET6_ADDRSTRLEN])
{
    *out = 0;
    if (addr && addr->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *) addr)->sin_addr, out, INET6_ADDRSTRLEN);
    else if (addr && addr->sa_family == AF_INET6) {
        const struct in6_addr *six = &((const struct sockaddr_in6 *) addr)->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(six))
            inet_ntop(AF_INET, &six->s6_addr[12], out, INET6_ADDRSTRLEN);
        else
            inet_ntop(AF_INET6, six, out, INET6_ADDRSTRLEN);
    }
}

/* Under lock. */
static bool count_add(ConnRules *r, const char *who, int n, int max)
{
    int count = GPOINTER_TO_INT(g_hash_table_lookup(r->sources, who)) + n;
    if (n > 0 && count > max)
        return false;
    if (count > 0)
        g_hash_table_insert(r->sources, g_strdup(who), GINT_TO_POINTER(count));
    else
        g_hash_table_remove(r->sources, who);
    return true;
}

/* Counts (n 1) or uncounts (n -1) a connection of source, and of via unless it is NULL; false: one of them has as many as it may. */
static bool source_add(ConnRules *r, const char *source, const char *via, int n)
{
    g_autofree char *host = via ? g_strdup_printf("via %s", via) : NULL;
    g_mutex_lock(&r->lock);
    bool ok = count_add(r, source, n, r->per_source);
    if (ok && host && !count_add(r, host, n, r->per_via)) {
        count_add(r, source, -n, r->per_source);
        ok = false;
    }
    g_mutex_unlock(&r->lock);
    return ok;
}

/* --- the list --- */

static void unlink_conn(Conn *c)
{
    *(c->prev ? &c->prev->next : &c->conns->first) = c->next;
    *(c->next ? &c->next->prev : &c->conns->last) = c->prev;
}

static void link_first(Conn *c)
{
    c->prev = NULL;
    c->next = c->conns->first;
    *(c->next ? &c->next->prev : &c->conns->last) = c;
    c->conns->first = c;
}

/* What is counted for it: a host that says so wrongly takes no place of another's guests. */
static char *source_of(const char *client, const char *network, const char *via)
{
    return network ? g_strjoin(" ", network, client, via, NULL) : g_strdup(client);
}

Conn *conn_new(Conns *conns, int fd, const char *client, const char *network, const char *via)
{
    g_autofree char *source = source_of(client, network, via);
    if (!source_add(conns->rules, source, via, 1))
        return NULL;
    Conn *c = g_new0(Conn, 1);
    c->conns = conns;
    c->fd = fd;
    g_strlcpy(c->client, client, sizeof c->client);
    c->network = g_strdup(network);
    c->via = g_strdup(via);
    c->source = g_steal_pointer(&source);
    atomic_fetch_add(&conns->n, 1);
    atomic_fetch_add(&conns->rules->n_conns, 1);
    return c;
}

void conn_join(Conn *c)
{
    c->since = clock_mono_us();
    c->check_at = c->since + SAMPLE_US;
    c->sampled = true;                       /* nothing was received yet: mark is right */
    c->joined = true;
    link_first(c);
}

/* A client that is still sending would be reset by a plain close and lose the reply. */
static void start_lingering(Conn *c)
{
    Conns *conns = c->conns;
    int fd = conns->n_lingering < LINGERING_MAX && !conns->rules->tls ? dup(c->fd) : -1;
    if (fd < 0)
        return;
    conns->lingering[conns->n_lingering].fd = fd;
    conns->lingering[conns->n_lingering].bytes = 0;
    conns->lingering[conns->n_lingering++].until = clock_mono_us() + LINGER_US;
}

/* Whole pages of zeros, which come back as such: libmicrohttpd clears its memory after each request.  Where it did not, or bytes of the next
 * request are in it already, nothing is done. */
static void memory_give_back(const Conn *c)
{
    const guintptr page = (guintptr) sysconf(_SC_PAGESIZE), end = ((guintptr) c->memory + c->memory_size) & ~(page - 1);
    guintptr begin = ((guintptr) c->memory + page - 1) & ~(page - 1);
    if (begin >= end)
        return;
    for (const guint64 *p = (const guint64 *) begin; p < (const guint64 *) end; p++)
        if (*p)
            return;
    madvise((void *) begin, end - begin, MADV_DONTNEED);
}

void conn_free(Conn *c)
{
    if (c->linger)
        start_lingering(c);
    if (c->joined)
        unlink_conn(c);
    atomic_fetch_sub(&c->conns->n, 1);
    atomic_fetch_sub(&c->conns->rules->n_conns, 1);
    source_add(c->conns->rules, c->source, c->via, -1);
    g_free(c->source);
    g_free(c->network);
    g_free(c->via);
    g_free(c);
}

void conn_enter(Conn *c, ConnState state)
{
    c->state = state;
    c->since = c->conns->now;
    c->mark = state == CONN_BODY ? c->body_seen : 0;
    c->sampled = false;
    if (state == CONN_IDLE) {
        c->check_at = c->since + SAMPLE_US;
        c->head_since = 0;
        c->body_seen = 0;
        c->ring = NULL;
        c->gave_back = false;
    } else if (state == CONN_HEAD) {
        if (!c->head_since)
            c->head_since = c->since;
        if (c->prev) {
            unlink_conn(c);
            link_first(c);
        }
    } else
        c->head_since = 0;
}

bool conns_shed_idle(Conns *conns)
{
    guint tries = 64;
    for (Conn *c = conns->last; c && tries; c = c->prev, tries--)
        if (c->state == CONN_IDLE && !c->doomed) {
            atomic_fetch_add(&conns->rules->shed, 1);
            conn_end(c, false);
            return true;
        }
    return false;
}

/* --- endings --- */

GString *conn_error_body(int status, const char *why)
{
    GString *out = g_string_sized_new(160);
    JsonW w = JSONW(out);
    jw_object(&w);
    jw_key(&w, "error");
    jw_object(&w);
    jw_kint(&w, "code", status);
    jw_kstr(&w, "title", gate_reason(status));
    jw_kstr(&w, "message", why);
    jw_end_object(&w);
    jw_end_object(&w);
    return out;
}

void conn_send_raw(Conn *c, int status, const char *extra, const GString *body)
{
    if (c->conns->rules->tls)
        return;
    g_autofree char *text =
        g_strdup_printf("HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n%sConnection: close\r\n"
                        "Content-Length: %" G_GSIZE_FORMAT "\r\n\r\n%s",
                        status, gate_reason(status), extra, body->len, body->str);
    if (send(c->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        log_debug("http.send_raw", "why", g_strerror(errno), NULL);
    atomic_fetch_add(&c->conns->rules->by_class[CLAMP(status / 100, 0, 5)], 1);
    c->linger = true;
}

void conn_refuse_raw(Conn *c, int status, const char *why)
{
    GString *body = conn_error_body(status, why);
    atomic_fetch_add(&c->conns->rules->refused, 1);
    conn_send_raw(c, status, "", body);
    g_string_free(body, TRUE);
}

void conn_end(Conn *c, bool abort)
{
    struct linger now = { .l_onoff = 1, .l_linger = 0 };
    if (abort)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    c->doomed = true;
    shutdown(c->fd, SHUT_RDWR);              /* both: libmicrohttpd does not look at a socket's input while its buffer is full */
}

/* --- deadlines --- */

/* Bytes received and bytes acknowledged by the peer; false: not TCP. */
static bool tcp_bytes(int fd, guint64 *ret_in, guint64 *ret_out)
{
    struct tcp_info info;
    socklen_t n = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0 || n < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received)
        return false;
    *ret_in = info.tcpi_bytes_received;
    *ret_out = info.tcpi_bytes_acked;
    return true;
}

/* Before the head lies in that memory at most what else was received: empty lines, which are skipped.  Of the two counts the one of what has not
 * been read is taken first, so that what comes between them makes the rest larger, not smaller. */
void conn_memory(Conn *c, const char *head, gsize size, gsize memory_size)
{
    guint64 in, out;
    int unread;
    if (ioctl(c->fd, SIOCINQ, &unread) < 0 || !tcp_bytes(c->fd, &in, &out) || in < (guint64) unread + size)
        return;
    guint64 before = in - (guint64) unread - size;
    if (before >= memory_size)
        return;
    c->memory = (char *) (guintptr) head;
    c->memory_size = memory_size - before;
}

/* tell: nothing of a reply went out yet, so that a 408 may. */
static void time_out(Conn *c, bool tell, bool abort)
{
    atomic_fetch_add(&c->conns->rules->timeouts, 1);
    if (tell)
        conn_refuse_raw(c, 408, "The request took too long.");
    conn_end(c, abort);
}

static void sweep_idle(Conn *c, gint64 now)
{
    guint64 in = 0, out;
    if (now < c->check_at)
        return;
    if (tcp_bytes(c->fd, &in, &out)) {
        /* Bytes without a request line: a head that dribbles.  It began after the last look. */
        if (c->sampled && in != c->mark && !c->head_since)
            c->head_since = c->check_at - SAMPLE_US;
        c->mark = in;
        c->sampled = true;
    }
    c->check_at = now + SAMPLE_US;
    if (now - c->since > c->conns->rules->idle_s * G_USEC_PER_SEC)
        time_out(c, false, false);
}

/* Has less than the minimum moved in the period that ends now? */
static bool too_slow(Conn *c, guint64 bytes, gint64 now, gint64 period)
{
    if (now - c->since < period)
        return false;
    bool slow = bytes - c->mark < (guint64) (RATE_MIN * period / G_USEC_PER_SEC);
    c->mark = bytes;
    c->since = now;
    return slow;
}

/* The client's end, in two looks running.  It comes to libmicrohttpd as an edge, and is lost there if it came with the bytes before it. */
static bool client_left(Conn *c)
{
    char byte;
    bool before = c->ended;
    c->ended = !c->suspended && recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
    return before && c->ended;
}

static void sweep_body(Conn *c, gint64 now, gint64 period)
{
    if (client_left(c)) {
        conn_end(c, false);
        return;
    }
    if (!too_slow(c, c->body_seen, now, period))
        return;
    if (c->ring)
        ring_fail(c->ring, NV_ERR_INVALID, "the request body came too slowly");
    time_out(c, true, false);
}

static void sweep_reply(Conn *c, gint64 now, gint64 period)
{
    guint64 in, out;
    if (now - c->since < (c->sampled ? period : G_USEC_PER_SEC))
        return;
    if (!tcp_bytes(c->fd, &in, &out)) {      /* a pace that cannot be seen: the whole reply has one time */
        if (now - c->since >= PATIENCE * period)
            time_out(c, false, true);
    } else if (!c->sampled) {
        c->sampled = true;
        c->mark = out;
        c->since = now;
    } else if (too_slow(c, out, now, c->patient ? PATIENCE * period : period))
        time_out(c, false, true);
}

static void sweep_conn(Conn *c, gint64 now)
{
    const ConnRules *r = c->conns->rules;
    gint64 period = r->rate_s * G_USEC_PER_SEC;
    if (c->state == CONN_IDLE)
        sweep_idle(c, now);
    else if (c->state == CONN_BODY)
        sweep_body(c, now, period);
    else if (c->state == CONN_REPLY)
        sweep_reply(c, now, period);
    if (!c->doomed && c->head_since && c->state <= CONN_HEAD && now - c->head_since > r->head_s * G_USEC_PER_SEC)
        time_out(c, true, false);
}

void conns_sweep(Conns *conns)
{
    conns->swept = conns->now;
    for (Conn *c = conns->first; c; c = c->next) {
        if (!c->doomed)
            sweep_conn(c, conns->now);
        if (c->memory && !c->gave_back && !c->doomed && c->state == CONN_IDLE && conns->now - c->since >= SWEEP_US) {
            memory_give_back(c);
            c->gave_back = true;
        }
    }
}

void conns_drain(Conns *conns)
{
    char buf[16384];
    for (guint i = conns->n_lingering; i-- > 0;) {
        int fd = conns->lingering[i].fd;
        ssize_t n;
        while ((n = recv(fd, buf, sizeof buf, MSG_DONTWAIT)) > 0 && conns->lingering[i].bytes < LINGER_BYTES)
            conns->lingering[i].bytes += (gsize) n;
        if (n >= 0 || errno != EAGAIN || conns->now > conns->lingering[i].until) {
            close(fd);
            conns->lingering[i] = conns->lingering[--conns->n_lingering];
        }
    }
}

void conns_done(Conns *conns)
{
    for (guint i = 0; i < conns->n_lingering; i++)
        close(conns->lingering[i].fd);
    conns->n_lingering = 0;
}
