/* api/pool.c -- the server's threads. */
#include "api/pool.h"
#include "core/clock.h"
#include <sched.h>

enum { STANDBY_US = 1000, STALE_US = 500 };

struct Pool {
    void (*run)(PoolJob *job);
    GMutex lock;
    GCond work, ended;
    PoolQueue queues[POOL_KINDS];            /* POOL_LAZY's is the drivers' */
    guint queue_max, workers, n_threads, n_drivers;
    guint idle, driving, active;             /* threads; active: running jobs of all kinds */
    atomic_uint running[POOL_KINDS];         /* changed under the lock */
    bool standby;                            /* an idle thread looks at the clock */
    bool stopping;
    PoolDriver *const *drivers;
    GThread **threads;
};

static void queue_push(PoolQueue *q, PoolJob *job)
{
    job->next = NULL;
    *q->tail = job;
    q->tail = &job->next;
    q->length++;
}

static PoolJob *queue_pop(PoolQueue *q)
{
    PoolJob *job = q->head;
    if (!job)
        return NULL;
    q->head = job->next;
    if (!q->head)
        q->tail = &q->head;
    q->length--;
    return job;
}

static bool is_free(const PoolDriver *d)
{
    return d && !d->owned && !d->over;
}

static guint slow_ones(const Pool *p)
{
    return p->running[POOL_LONG] + p->running[POOL_HEAVY];
}

static bool has_share(const Pool *p, PoolKind kind)
{
    return p->running[kind] < MAX(1, p->workers / 2) && (!p->running[kind] || slow_ones(p) < MAX(1, p->workers * 3 / 4));
}

static PoolJob *take_job(Pool *p, PoolDriver *own, PoolKind *ret_kind)
{
    static const PoolKind slow[] = { POOL_HEAVY, POOL_LONG };
    PoolJob *job;
    *ret_kind = POOL_SOON;
    if (p->active >= p->workers)
        return NULL;
    if ((is_free(own) && (job = queue_pop(&own->lazy))) || (job = queue_pop(&p->queues[POOL_SOON])))
        return job;
    for (guint i = 0; i < G_N_ELEMENTS(slow); i++)
        if (has_share(p, slow[i]) && (job = queue_pop(&p->queues[*ret_kind = slow[i]])))
            return job;
    return NULL;
}

/* A driver that was left before `since`. */
static PoolDriver *left_driver(const Pool *p, gint64 since)
{
    for (guint i = 0; i < p->n_drivers; i++)
        if (is_free(p->drivers[i]) && p->drivers[i]->free_us <= since)
            return p->drivers[i];
    return NULL;
}

/* Is anything going on that may turn out slow? */
static bool unsettled(const Pool *p)
{
    return p->active > slow_ones(p) || p->queues[POOL_SOON].head || left_driver(p, G_MAXINT64);
}

/* While others work, one idle thread wakes every millisecond to take over what they left. */
static void sleep_idle(Pool *p)
{
    p->idle++;
    if (!p->standby && unsettled(p)) {
        p->standby = true;
        g_cond_wait_until(&p->work, &p->lock, g_get_monotonic_time() + STANDBY_US);
        p->standby = false;
    } else
        g_cond_wait(&p->work, &p->lock);
    p->idle--;
}

/* When this thread is busy, somebody must notice what turns out slow or is left: one at the clock, or one who is just about to look around. */
static void keep_watch(Pool *p)
{
    if (p->idle && !p->standby && p->idle + p->driving + p->active == p->n_threads && unsettled(p))
        g_cond_signal(&p->work);
}

static void drive(Pool *p, PoolDriver *d)
{
    d->owned = true;
    p->driving++;
    /* All workers were busy: what this driver had for itself is now for whoever gets free first. */
    while (d->lazy.head)
        queue_push(&p->queues[POOL_SOON], queue_pop(&d->lazy));
    if (p->queues[POOL_SOON].head && p->idle)
        g_cond_signal(&p->work);             /* somebody else must do those */
    else
        keep_watch(p);
    g_mutex_unlock(&p->lock);
    bool more = d->drive(d);
    g_mutex_lock(&p->lock);
    d->owned = false;
    p->driving--;
    d->over = !more;
    d->free_us = d->urgent ? 0 : clock_mono_us();
    d->urgent = false;
    if (d->over)
        g_cond_broadcast(&p->ended);
}

static void run_job(Pool *p, PoolJob *job, PoolKind kind)
{
    p->active++;
    p->running[kind]++;
    keep_watch(p);
    g_mutex_unlock(&p->lock);
    p->run(job);
    g_mutex_lock(&p->lock);
    p->active--;
    p->running[kind]--;
}

static gpointer thread_main(gpointer data)
{
    Pool *p = data;
    PoolDriver *own = NULL;                  /* what this thread drove last: its requests are this thread's to run */
    PoolJob *job;
    PoolKind kind;
    g_mutex_lock(&p->lock);
    for (;;) {
        if ((job = take_job(p, own, &kind)))
            run_job(p, job, kind);
        else if (is_free(own) && !own->lazy.head)
            drive(p, own);
        else if ((own = left_driver(p, p->stopping ? G_MAXINT64 : clock_mono_us() - STALE_US))) {
            if (p->active >= p->workers)     /* its jobs wait for a worker, but its connections must not */
                drive(p, own);
        } else if (p->stopping)
            break;
        else
            sleep_idle(p);
    }
    g_cond_broadcast(&p->work);
    g_mutex_unlock(&p->lock);
    return NULL;
}

Pool *pool_new(guint workers, guint queue_max, void (*run)(PoolJob *job))
{
    Pool *p = g_new0(Pool, 1);
    p->run = run;
    p->queue_max = queue_max;
    p->workers = MAX(1, workers);
    for (int k = 0; k < POOL_KINDS; k++)
        p->queues[k].tail = &p->queues[k].head;
    g_mutex_init(&p->lock);
    g_cond_init(&p->work);
    g_cond_init(&p->ended);
    return p;
}

void pool_start(Pool *p, PoolDriver *const *drivers, guint n_drivers)
{
    p->drivers = drivers;
    p->n_drivers = n_drivers;
    p->n_threads = p->workers + n_drivers;
    for (guint i = 0; i < n_drivers; i++)
        drivers[i]->lazy.tail = &drivers[i]->lazy.head;
    p->threads = g_new0(GThread *, p->n_threads);
    for (guint i = 0; i < p->n_threads; i++)
        p->threads[i] = g_thread_new("http", thread_main, p);
}

bool pool_push(Pool *p, PoolDriver *driver, PoolJob *job, PoolKind kind)
{
    if (kind == POOL_LAZY) {
        bool room = driver->lazy.length + p->queues[POOL_SOON].length < p->queue_max;
        if (room)
            queue_push(&driver->lazy, job);
        return room;
    }
    g_mutex_lock(&p->lock);
    PoolQueue *q = &p->queues[kind];
    bool room = q->length < p->queue_max;
    if (room) {
        queue_push(q, job);
        driver->urgent = true;
        if (p->idle)
            g_cond_signal(&p->work);
    }
    g_mutex_unlock(&p->lock);
    return room;
}

/* Eager clients never let a driving thread sleep.  Another one that waits for the same processor would wait for a whole time slice: the kernel
   moves it to no other while each has something to compute, be it the least important. */
void pool_give_way(Pool *p)
{
    if (p->n_drivers > 1 && p->running[POOL_HEAVY])
        sched_yield();
}

guint pool_queued(Pool *p)
{
    g_mutex_lock(&p->lock);
    guint n = 0;
    for (int k = 0; k < POOL_KINDS; k++)
        n += p->queues[k].length;
    for (guint i = 0; i < p->n_drivers; i++)
        n += p->drivers[i]->owned ? 0 : p->drivers[i]->lazy.length;
    g_mutex_unlock(&p->lock);
    return n;
}

static bool all_over(const Pool *p)
{
    for (guint i = 0; i < p->n_drivers; i++)
        if (!p->drivers[i]->over)
            return false;
    return true;
}

void pool_wind_down(Pool *p)
{
    g_mutex_lock(&p->lock);
    while (p->n_threads && !all_over(p))
        g_cond_wait(&p->ended, &p->lock);
    g_mutex_unlock(&p->lock);
}

void pool_free(Pool *p)
{
    g_mutex_lock(&p->lock);
    p->stopping = true;
    g_cond_broadcast(&p->work);
    g_mutex_unlock(&p->lock);
    for (guint i = 0; i < p->n_threads; i++)
        g_thread_join(p->threads[i]);
    g_cond_clear(&p->work);
    g_cond_clear(&p->ended);
    g_mutex_clear(&p->lock);
    g_free(p->threads);
    g_free(p);
}
