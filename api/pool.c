/* api/pool.c -- the worker threads. */
#include "api/pool.h"
#include "core/clock.h"

enum { STANDBY_US = 1000, LAZY_MAX = 4 };

typedef struct JobQueue {
    PoolJob *head, **tail;
    guint length;
} JobQueue;

struct Pool {
    void (*run)(PoolJob *job);
    GMutex lock;
    GCond work;
    JobQueue quick, slow;        /* slow: POOL_LONG */
    guint queue_max, n_threads, idle, active, active_long;
    bool standby;                /* an idle thread is looking at the clock */
    bool stopping;
    GThread **threads;
};

static void queue_push(JobQueue *q, PoolJob *job)
{
    job->next = NULL;
    *q->tail = job;
    q->tail = &job->next;
    q->length++;
}

static PoolJob *queue_pop(JobQueue *q)
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

static guint long_max(const Pool *p)
{
    return MAX(1, p->n_threads / 2);
}

/* The next job for this thread, or NULL if there is none that it may do. */
static PoolJob *take(Pool *p, bool *ret_long)
{
    bool slow_first = p->slow.head && p->active_long < long_max(p) && (!p->quick.head || p->slow.head->queued_us < p->quick.head->queued_us);
    *ret_long = slow_first;
    return slow_first ? queue_pop(&p->slow) : queue_pop(&p->quick);
}

/* While others work, one idle thread wakes every millisecond: a lazily queued job must not wait behind a handler that blocks. */
static void sleep_idle(Pool *p)
{
    p->idle++;
    if (p->active > p->active_long && !p->standby) {
        p->standby = true;
        g_cond_wait_until(&p->work, &p->lock, g_get_monotonic_time() + STANDBY_US);
        p->standby = false;
    } else
        g_cond_wait(&p->work, &p->lock);
    p->idle--;
}

static gpointer worker(gpointer data)
{
    Pool *p = data;
    g_mutex_lock(&p->lock);
    for (;;) {
        bool is_long;
        PoolJob *job = take(p, &is_long);
        if (!job) {
            if (p->stopping)
                break;
            sleep_idle(p);
            continue;
        }
        p->active++;
        p->active_long += is_long;
        /* The first to start working leaves nobody at the clock: whoever sleeps for good has to take that post. */
        if (!is_long && p->active - p->active_long == 1 && p->idle && !p->standby)
            g_cond_signal(&p->work);
        g_mutex_unlock(&p->lock);
        p->run(job);
        g_mutex_lock(&p->lock);
        p->active--;
        p->active_long -= is_long;
        if (is_long && p->slow.head)
            g_cond_signal(&p->work);
    }
    g_cond_broadcast(&p->work);
    g_mutex_unlock(&p->lock);
    return NULL;
}

Pool *pool_new(guint threads, guint queue_max, void (*run)(PoolJob *job))
{
    Pool *p = g_new0(Pool, 1);
    p->run = run;
    p->queue_max = queue_max;
    p->n_threads = MAX(2, threads);
    p->quick.tail = &p->quick.head;
    p->slow.tail = &p->slow.head;
    g_mutex_init(&p->lock);
    g_cond_init(&p->work);
    p->threads = g_new0(GThread *, p->n_threads);
    for (guint i = 0; i < p->n_threads; i++)
        p->threads[i] = g_thread_new("http-worker", worker, p);
    return p;
}

bool pool_push(Pool *p, PoolJob *job, PoolKind kind)
{
    g_mutex_lock(&p->lock);
    JobQueue *q = kind == POOL_LONG ? &p->slow : &p->quick;
    bool taken = !p->stopping && q->length < p->queue_max;
    if (taken) {
        job->queued_us = clock_mono_us();
        queue_push(q, job);
        bool wake = p->idle && (kind != POOL_LAZY || p->active == p->active_long || q->length > LAZY_MAX);
        if (wake)
            g_cond_signal(&p->work);
    }
    g_mutex_unlock(&p->lock);
    return taken;
}

guint pool_queued(Pool *p)
{
    g_mutex_lock(&p->lock);
    guint n = p->quick.length + p->slow.length;
    g_mutex_unlock(&p->lock);
    return n;
}

guint pool_busy(Pool *p)
{
    g_mutex_lock(&p->lock);
    guint n = p->quick.length + p->slow.length + p->active;
    g_mutex_unlock(&p->lock);
    return n;
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
    g_mutex_clear(&p->lock);
    g_free(p->threads);
    g_free(p);
}
