/* api/req.h -- a request on its way through the server; http.c's and req.c's own. */
#pragma once
#include "api/conn.h"
#include "api/gate.h"
#include "api/http.h"
#include "api/pool.h"
#include "api/uri.h"

typedef struct Io Io;
typedef struct Req Req;
struct MHD_Response;
/* HEAD: not yet through the gate.  ASKED: streamed, the handler runs, but the body is not wanted yet. */
typedef enum { PHASE_HEAD, PHASE_ASKED, PHASE_BODY, PHASE_WORK } Phase;
typedef enum { EVENT_READ = 1 << 0, EVENT_FINISHED = 1 << 1 } Event;

struct Req {
    HttpRequest http;                        /* first: handlers get its address */
    CallBody stream;
    PoolJob job;
    atomic_int refs;                         /* the connection's and the worker's */
    Io *io;
    Conn *conn;                              /* I/O thread only; NULL: gone */
    Phase phase;
    bool streamed, finished, close, replied;         /* replied: past libmicrohttpd */
    bool patient;                            /* the reply is a file of the handler's */
    bool asked;                              /* worker only: it has begun to read the body */
    GateResult gate;
    GString *body;
    Ring *ring;
    gint64 body_max;                         /* -1: any */
    guint pieces;
    char *header_copy;                       /* streamed: headers outlive the connection */
    struct MHD_Response *reply;
    gsize held;                              /* bytes of the reply in memory */
    Req *next_event;                         /* with listed and events: under io->lock */
    bool listed;
    unsigned events;
    char client[INET6_ADDRSTRLEN];
    GateHead head;                           /* from here on not zeroed at birth */
    Uri uri;
    char target[];
};

/* target: as received.  One reference, the connection's. */
Req *req_new(Io *io, Conn *conn, const char *target);
/* All but the reply. */
void req_free(Req *req);
/* Headers are accepted: fills the part of the call that is known now. */
void req_fill_call(Req *req);
/* The worker of a streamed request may outlive the connection and its memory. */
void req_copy_headers(Req *req);
