/* ops/op.h -- durable operations: intent is a row, work is a list of steps that may be repeated at any time, the cursor is durable (DESIGN §5). */
#pragma once
#include "db/db.h"

/* WAIT: something went wrong, try again after a backoff.  LATER: nothing did, but it takes its time; the step is repeated in a few seconds, or when
 * op_kick says that something happened, and meanwhile no thread is held. */
typedef enum { STEP_DONE, STEP_WAIT, STEP_LATER, STEP_FAILED } Verdict;
typedef struct Op Op;
typedef struct OpKind OpKind;

/* A step either runs code (run) or asks the agent of the operation's host (verb, args, and done with the answer).  An answer with "again": true
 * is STEP_LATER. */
typedef struct Step {
    const char *name;                                /* stored in the database: never renamed, only appended */
    Verdict (*run)(Op *op, GError **err);
    const char *verb;
    json_t *(*args)(Op *op, GError **err);           /* new object; NULL with err.  NULL function: {"id": resource_id} */
    /* Optional; takes the answer over into rows, in the transaction that moves the cursor. */
    bool (*done)(Op *op, const json_t *answer, GError **err);
    int timeout_s;                                   /* of one call; 0: 60 */
} Step;

struct OpKind {
    const char *name;                                /* "server.create": stored, append-only */
    const Step *steps; size_t n_steps;
    const OpKind *on_fail;                           /* what to become when a step fails for good; NULL: state 'failed' */
    bool preempts;                                   /* cancels its elders at their next step boundary, and queues behind them */
    bool queues;                                     /* may queue behind a live operation of the same resource (else NV_ERR_CONFLICT) */
    bool never_gives_up;                             /* permanent errors are retried too: delete and rollback */
    bool coalesces;                                  /* a second one, not yet begun, of the same kind and resource is not queued again: state sync */
};
#define STEPS(a) .steps = a, .n_steps = G_N_ELEMENTS(a)

/* What a step sees.  Fields are read-only but host. */
struct Op {
    Db *db;
    const OpKind *kind;
    const Step *step;
    gint64 id;
    char *resource_id, *project_id, *user_id, *request_id;
    char *host; /* host whose agent .verb steps ask; set by op_set_host.  NULL: the step is skipped as done (nothing was ever made there) */
    json_t *args;                /* given at op_start; never NULL */
    char *error;                 /* rollback: what went wrong */
    int attempt;                 /* of this step, from 0 */
    gint64 since;                /* wall clock: when this step was first LATER; 0: it was not yet */
};

/* Queues an operation, inside the caller's transaction; it runs after the commit.  args is stolen (NULL: {}).  ctx may be NULL (system).
 * host NULL: none yet.  NV_ERR_CONFLICT if another operation of the resource is live and kind neither queues nor preempts. */
bool op_start(Db *db, const Ctx *ctx, const OpKind *kind, const char *resource_id, const char *host, json_t *args, GError **err);
/* Changes the operation's host (after placement); part of a run step. Opens its own transaction or joins. */
bool op_set_host(Op *op, const char *host, GError **err);
/* ok ? STEP_DONE : transient error ? STEP_WAIT : STEP_FAILED */
Verdict op_verdict(bool ok, GError **err);
/* True while some operation of the resource is live. */
bool op_live(Db *db, const char *resource_id, bool *ret_live, GError **err);

/* Something happened that a step of the resource may wait for. */
void op_kick(const char *resource_id);

/* The runner: a dispatcher and a pool of threads.  kinds: NULL-terminated array of NULL-terminated arrays. */
bool ops_start(Db *db, const OpKind *const *const *kinds, int threads, GError **err);
void ops_stop(void);
/* Waits until nothing is live or due, at most timeout_ms: tests. */
bool ops_wait_idle(int timeout_ms);
