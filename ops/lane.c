/* ops/lane.c -- lanes: which resources have work, a timer for those that wait, and the pool of threads that runs them. */
#include "ops/internal.h"
#include "core/clock.h"
#include "ops/agent.h"

/* A parked lane looks again by itself after this time. */
enum { PARKED_US = 30 * G_USEC_PER_SEC };

typedef enum { READY, RUNNING, DELAYED } LaneState;
typedef struct Lane {
    char *resource_id;
    LaneState state;
    bool kicked;                     /* RUNNING: look again before going idle */
    gint64 due;                      /* DELAYED */
    char *host;                      /* DELAYED, parked: the host waited for */
    GSequenceIter *place;            /* DELAYED: in `delayed` */
} Lane;

static GMutex lock;
static GCond work, timer, idle;
static LaneRun *lane_run;            /* set once, before the threads start */
static GHashTable *lanes;            /* resource id → Lane; NULL: not started.  This and all below under lock */
static GQueue ready = G_QUEUE_INIT;
static GSequence *delayed;           /* by due */
static GPtrArray *threads;
static bool stopping;

static void lane_free(Lane *lane)
{
    g_free(lane->resource_id);
    g_free(lane->host);
    g_free(lane);
}

static gint by_due(gconstpointer a, gconstpointer b, gpointer data)
{
    (void) data;
    gint64 x = ((const Lane *) a)->due, y = ((const Lane *) b)->due;
    return x < y ? -1 : x > y;
}

/* The three below hold the lock. */
static void make_ready(Lane *lane)
{
    if (lane->state == DELAYED)
        g_sequence_remove(g_steal_pointer(&lane->place));
    g_clear_pointer(&lane->host, g_free);
    lane->state = READY;
    g_queue_push_tail(&ready, lane);
    g_cond_signal(&work);
}

static void make_delayed(Lane *lane, gint64 due)
{
    lane->state = DELAYED;
    lane->due = due;
    lane->place = g_sequence_insert_sorted(delayed, lane, by_due, NULL);
    if (g_sequence_iter_is_begin(lane->place))
        g_cond_signal(&timer);
}

static void place_lane(Lane *lane, LaneNext next)
{
    if (lane->kicked) {
        g_free(next.host);
        make_ready(lane);
    } else if (next.what == LANE_IDLE) {
        g_hash_table_remove(lanes, lane->resource_id);
        if (g_hash_table_size(lanes) == 0)
            g_cond_broadcast(&idle);
    } else if (next.what == LANE_LATER) {
        make_delayed(lane, next.due);
    } else {
        lane->host = next.host;
        make_delayed(lane, clock_mono_us() + PARKED_US);
        /* It may have come back before the lane was to be seen. */
        if (agent_is_up(lane->host))
            make_ready(lane);
    }
}

static gpointer run_lanes(gpointer data)
{
    (void) data;
    g_mutex_lock(&lock);
    while (!stopping) {
        Lane *lane = g_queue_pop_head(&ready);
        if (!lane) {
            g_cond_wait(&work, &lock);
            continue;
        }
        lane->state = RUNNING;
        lane->kicked = false;
        g_mutex_unlock(&lock);
        LaneNext next = lane_run(lane->resource_id);
        g_mutex_lock(&lock);
        place_lane(lane, next);
    }
    g_mutex_unlock(&lock);
    return NULL;
}

static gpointer run_timer(gpointer data)
{
    (void) data;
    g_mutex_lock(&lock);
    while (!stopping) {
        GSequenceIter *first = g_sequence_get_begin_iter(delayed);
        Lane *lane = g_sequence_iter_is_end(first) ? NULL : g_sequence_get(first);
        if (!lane)
            g_cond_wait(&timer, &lock);
        else if (lane->due <= clock_mono_us())
            make_ready(lane);
        else
            g_cond_wait_until(&timer, &lock, lane->due);
    }
    g_mutex_unlock(&lock);
    return NULL;
}

void lanes_start(LaneRun *run, int n)
{
    lane_run = run;
    stopping = false;
    lanes = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify) lane_free);
    delayed = g_sequence_new(NULL);
    threads = g_ptr_array_new();
    g_ptr_array_add(threads, g_thread_new("op-timer", run_timer, NULL));
    for (int i = 0; i < n; i++)
        g_ptr_array_add(threads, g_thread_new("op-runner", run_lanes, NULL));
}

void lanes_stop(void)
{
    g_mutex_lock(&lock);
    stopping = true;
    g_cond_broadcast(&work);
    g_cond_broadcast(&timer);
    g_mutex_unlock(&lock);
    for (guint i = 0; threads && i < threads->len; i++)
        g_thread_join(threads->pdata[i]);
    g_mutex_lock(&lock);
    g_clear_pointer(&threads, g_ptr_array_unref);
    g_queue_clear(&ready);
    g_clear_pointer(&delayed, g_sequence_free);
    g_clear_pointer(&lanes, g_hash_table_unref);
    g_mutex_unlock(&lock);
}

bool lanes_stopping(void)
{
    g_mutex_lock(&lock);
    bool yes = stopping;
    g_mutex_unlock(&lock);
    return yes;
}

void lanes_kick(const char *resource_id)
{
    g_mutex_lock(&lock);
    Lane *lane = lanes ? g_hash_table_lookup(lanes, resource_id) : NULL;
    if (lanes && !lane) {
        lane = g_new0(Lane, 1);
        lane->resource_id = g_strdup(resource_id);
        g_hash_table_insert(lanes, lane->resource_id, lane);
        make_ready(lane);
    } else if (lane && lane->state == RUNNING) {
        lane->kicked = true;
    } else if (lane && lane->state == DELAYED) {
        make_ready(lane);
    }
    g_mutex_unlock(&lock);
}

void lanes_host_up(const char *host)
{
    g_autoptr(GPtrArray) woken = g_ptr_array_new();
    g_mutex_lock(&lock);
    GHashTableIter it;
    gpointer value;
    if (lanes)
        g_hash_table_iter_init(&it, lanes);
    while (lanes && g_hash_table_iter_next(&it, NULL, &value))
        if (((Lane *) value)->state == DELAYED && g_strcmp0(((Lane *) value)->host, host) == 0)
            g_ptr_array_add(woken, value);
    for (guint i = 0; i < woken->len; i++)
        make_ready(woken->pdata[i]);
    g_mutex_unlock(&lock);
}

bool lanes_wait_idle(int timeout_ms)
{
    gint64 end = clock_mono_us() + timeout_ms * G_GINT64_CONSTANT(1000);
    bool ok = true;
    g_mutex_lock(&lock);
    while (ok && lanes && g_hash_table_size(lanes) > 0)
        ok = g_cond_wait_until(&idle, &lock, end);
    g_mutex_unlock(&lock);
    return ok;
}
