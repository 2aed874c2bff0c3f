/* api/conn.h -- what http.c knows of a connection, and the deadlines it must keep; no libmicrohttpd in here. */
#pragma once
#include "api/ring.h"
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>

enum { LINGERING_MAX = 32, SWEEP_US = G_USEC_PER_SEC };

/* IDLE: no request line yet.  HEAD: headers are coming.  BODY: so is the body.  WORK: suspended, a worker has it.  REPLY: being sent. */
typedef enum { CONN_IDLE, CONN_HEAD, CONN_BODY, CONN_WORK, CONN_REPLY } ConnState;

/* One a server; shared by its I/O threads. */
typedef struct ConnRules {
    int max, per_source, per_via, idle_s, head_s, rate_s;
    bool tls;
    GMutex lock;
    GHashTable *sources;                     /* text → connections: of a source, and of a host that says who asks */
    atomic_uint n_conns;
    atomic_ullong by_class[6], refused, shed, timeouts;
} ConnRules;

typedef struct Conn Conn;
/* One an I/O thread, which alone touches it. */
typedef struct Conns {
    ConnRules *rules;
    Conn *first, *last;                      /* most recently opened or used first */
    atomic_uint n;                           /* with those that have not joined yet */
    gint64 now, swept;                       /* now: kept by the owner */
    struct { int fd; gint64 until; gsize bytes; } lingering[LINGERING_MAX];
    guint n_lingering;
} Conns;

struct Conn {
    Conn *prev, *next;                       /* in conns; before conn_join, next is its holder's */
    Conns *conns;
    void *mhd, *req;                         /* http.c's */
    char *source, *network, *via;            /* what per_source counts; passed connections' network, and the host that says so */
    char client[INET6_ADDRSTRLEN];
    int fd;
    ConnState state;
    bool suspended, sampled, linger, doomed; /* linger: a client may still be sending when we close; doomed: shut down by conn_end */
    bool joined;                             /* conn_join was there */
    bool ended;                              /* the last look at the body found the client's end */
    gint64 since, check_at;                  /* since: of the state, or of the current rate period */
    gint64 head_since;                       /* when the unfinished head began; 0: nothing of it seen */
    guint64 mark;                            /* bytes at the start of the period */
    guint64 body_seen;                       /* of the current request */
    bool patient;                            /* the reply costs nothing while it waits: its reader may pause */
    Ring *ring;                              /* borrowed: told when the body fails */
    char *memory; gsize memory_size;         /* a part of libmicrohttpd's memory for it, as far as that is known; NULL: not */
    bool gave_back;                          /* since it is idle */
};

void conn_rules_init(ConnRules *rules);
void conn_rules_done(ConnRules *rules);
void conn_address_text(const struct sockaddr *addr, char out[INET6_ADDRSTRLEN]);
/* A connection for conns, which it is counted with from here on, but not one of before conn_join.  NULL: its source, or the host that says
 * who asks, has as many as it may; fd stays the caller's in any case.  The texts are copied; network and via may be NULL.  Any thread. */
Conn *conn_new(Conns *conns, int fd, const char *client, const char *network, const char *via);
/* The rest is for the thread of its conns alone. */
void conn_join(Conn *conn);
void conn_free(Conn *conn);
void conn_enter(Conn *conn, ConnState state);
/* The head of size bytes that lies at head is the first on this connection, which libmicrohttpd gave so much memory in one piece: what is known of
 * where that is.  A connection that is idle for a second gives it back, all but a page (conns_sweep: outside of libmicrohttpd's calls, in which
 * it frees the memory of a connection some time before it says that it has ended). */
void conn_memory(Conn *conn, const char *head, gsize size, gsize memory_size);
/* Makes room by ending the connection that was idle longest; false: none is idle. */
bool conns_shed_idle(Conns *conns);

/* The one form of error made below the application: {"error": {"code", "title", "message"}}. */
GString *conn_error_body(int status, const char *why);
/* Writes a reply past libmicrohttpd, which cannot answer before a body's end.  Only while nothing of a reply was sent; the caller then
 * ends the connection.  extra: header lines, each with its CR LF.  Nothing is sent over TLS. */
void conn_send_raw(Conn *conn, int status, const char *extra, const GString *body);
void conn_refuse_raw(Conn *conn, int status, const char *why);
/* Shuts the socket down, whereupon libmicrohttpd closes it.  abort: what was written and not sent yet is dropped. */
void conn_end(Conn *conn, bool abort);

/* Once a second: ends connections that exceed a deadline. */
void conns_sweep(Conns *conns);
/* Sockets of closed connections that are drained a little longer, so that the last reply is not lost to a reset. */
void conns_drain(Conns *conns);
void conns_done(Conns *conns);
