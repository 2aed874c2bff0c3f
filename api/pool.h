/* api/pool.h -- the threads of the server: each drives I/O or runs a request, whichever is there, and hands over only what gets slow.
 *
 * A thread that has driven I/O runs the requests it found there itself, which saves two thread switches a request; the I/O it left is
 * taken over by another thread as soon as that takes longer than half a millisecond, so that a handler that waits stalls nobody. */
#pragma once
#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>

typedef struct Pool Pool;
/* Embedded in the job. */
typedef struct PoolJob {
    struct PoolJob *next;
} PoolJob;

typedef struct PoolQueue {
    PoolJob *head, **tail;
    atomic_uint length;
} PoolQueue;

/* Embedded in what is driven; never by two threads at a time. */
typedef struct PoolDriver PoolDriver;
struct PoolDriver {
    bool (*drive)(PoolDriver *driver);       /* blocks for I/O; returns true when it has pushed jobs, false when it is over for good */
    /* the pool's: */
    PoolQueue lazy;                          /* the driving thread's alone while owned, else under the lock */
    bool owned, over;
    bool urgent;                             /* pushed a job that may wait: others may take over at once */
    gint64 free_us;                          /* when it was left */
};

/* SOON: the handler may wait (disk, agent), so other threads are called in at once.  LAZY: it is likely to be done within microseconds.
 * LONG (uploads, as slow as their clients) and HEAVY (logins, which compute): as SOON, but at most half of the workers do jobs of the one kind,
 * and at most three quarters of both: neither keeps the other from getting on, nor both the rest. */
typedef enum { POOL_LAZY, POOL_SOON, POOL_LONG, POOL_HEAVY, POOL_KINDS } PoolKind;

/* At most `workers` jobs run at a time; there is a thread more for each driver. */
Pool *pool_new(guint workers, guint queue_max, void (*run)(PoolJob *job));
void pool_start(Pool *pool, PoolDriver *const *drivers, guint n_drivers);
/* False: the queue is full; the job was not taken.  Called by the thread that drives. */
bool pool_push(Pool *pool, PoolDriver *driver, PoolJob *job, PoolKind kind);
/* Called by a driver between two rounds: while there are heavy jobs, another driver's thread that waits for this processor goes first. */
void pool_give_way(Pool *pool);
guint pool_queued(Pool *pool);
/* Waits until all drivers are over, which they must have been told. */
void pool_wind_down(Pool *pool);
/* Ends the threads after what is queued; frees the pool.  Blocks until all handlers returned. */
void pool_free(Pool *pool);
