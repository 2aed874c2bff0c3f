/* api/pool.h -- worker threads for requests, woken as few at a time as keeps the queue short. */
#pragma once
#include <glib.h>
#include <stdbool.h>

typedef struct Pool Pool;
/* Embedded in the job. */
typedef struct PoolJob {
    struct PoolJob *next;
    gint64 queued_us;
} PoolJob;

/* SOON: the handler may wait (disk, agent), so it gets a thread of its own at once.  LAZY: a thread already at work is likely to come
 * by within microseconds, which is cheaper than waking another; a standby thread looks after those that wait for over a millisecond.
 * LONG: as SOON, but at most half of the threads do such jobs at a time (uploads as slow as their clients). */
typedef enum { POOL_SOON, POOL_LAZY, POOL_LONG } PoolKind;

Pool *pool_new(guint threads, guint queue_max, void (*run)(PoolJob *job));
/* False: the queue is full or the pool is stopping; the job was not taken. */
bool pool_push(Pool *pool, PoolJob *job, PoolKind kind);
guint pool_queued(Pool *pool);
/* Jobs that are queued or run now. */
guint pool_busy(Pool *pool);
/* Ends the threads after what is queued; frees the pool.  Blocks until all handlers returned. */
void pool_free(Pool *pool);
