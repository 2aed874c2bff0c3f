/* ops/agent.c -- a connection to each host's agent: kept up, shared by all callers, with its events and its syncs. */
#include "ops/agent.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/log.h"
#include "core/wire.h"
#include "ops/internal.h"
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { RECONNECT_FIRST_US = 20 * 1000, RECONNECT_LAST_US = G_USEC_PER_SEC, AT_ONCE_US = 100 * 1000, SYNC_AGAIN_US = 200 * 1000,
       SEND_TIMEOUT_S = 5 /* an agent that reads nothing for so long is left, and connected to anew */ };

/* A call under way; on its caller's stack, found by number while it is in Host.calls. */
typedef struct Waiter {
    bool answered;
    json_t *frame;                   /* the answer, or NULL: the connection ended */
} Waiter;

typedef struct Host {
    char *name, *path;
    Db *db;
    const AgentEvent *const *events;
    AgentSync *const *syncs;
    GThread *reader, *event_runner, *syncer;
    GMutex send_lock;
    GMutex lock;                     /* all below */
    GCond changed;                   /* an answer, the connection, stopping */
    int fd;                          /* -1: away */
    gint64 since;
    char *error;                     /* why it is away */
    gint64 next_number;
    GHashTable *calls;               /* number → Waiter */
    gint64 compared;                 /* since of the connection whose syncs last did all that they had to */
    bool sync_wanted, syncing, stopping;
    GAsyncQueue *arrived;            /* event frames; a frame without "event" ends the thread */
} Host;

static GPtrArray *hosts;             /* set by agents_load, read-only afterwards */

static Host *host_find(const char *name)
{
    for (guint i = 0; hosts && name && i < hosts->len; i++)
        if (g_str_equal(((Host *) hosts->pdata[i])->name, name))
            return hosts->pdata[i];
    return NULL;
}

bool agent_is_up(const char *name)
{
    Host *host = host_find(name);
    if (!host)
        return false;
    g_mutex_lock(&host->lock);
    bool up = host->fd >= 0;
    g_mutex_unlock(&host->lock);
    return up;
}

bool agent_is_configured(const char *name)
{
    g_assert(hosts);
    return host_find(name) != NULL;
}

/* ---- calls ---- */

static gint64 call_begin(Host *host, Waiter *waiter, int *ret_fd, GError **err)
{
    gint64 number = 0;
    g_mutex_lock(&host->lock);
    if (host->fd < 0) {
        nv_fail(err, NV_ERR_AGENT, "the agent of host %s is not connected", host->name);
    } else {
        number = ++host->next_number;
        /* A copy stays valid when the reader closes the connection meanwhile. */
        *ret_fd = dup(host->fd);
        g_hash_table_insert(host->calls, GSIZE_TO_POINTER(number), waiter);
    }
    g_mutex_unlock(&host->lock);
    return number;
}

static void send_request(Host *host, int fd, gint64 number, const char *verb, json_t *args)
{
    g_autoptr(GError) error = NULL;
    const char *request_id = log_request_get();
    g_autoptr(json_t) frame = json_make("isos", "id", number, "verb", verb, "args", args, "request_id", request_id);
    g_mutex_lock(&host->send_lock);
    if (!wire_send(fd, frame, &error)) {
        log_warn("agent.send_failed", "host", host->name, "error", error->message, NULL);
        shutdown(fd, SHUT_RDWR);     /* the reader sees the end and fails all calls */
    }
    g_mutex_unlock(&host->send_lock);
    close(fd);
}

static bool call_wait(Host *host, Waiter *waiter, gint64 number, gint64 deadline)
{
    bool in_time = true;
    g_mutex_lock(&host->lock);
    while (!waiter->answered && in_time)
        in_time = g_cond_wait_until(&host->changed, &host->lock, deadline);
    g_hash_table_remove(host->calls, GSIZE_TO_POINTER(number));
    bool answered = waiter->answered;
    g_mutex_unlock(&host->lock);
    return answered;
}

static json_t *call_result(const Host *host, const char *verb, const json_t *frame, GError **err)
{
    json_t *ok = json_object_get(frame, "ok");
    if (ok)
        return json_incref(ok);
    const char *code = json_get_str(frame, "error"), *message = json_get_str(frame, "message");
    if (!frame)
        nv_fail(err, NV_ERR_AGENT, "the connection to the agent of host %s was lost during %s", host->name, verb);
    else
        nv_fail(err, nv_error_from_name(code), "%s", message ? message : "the agent gave no reason");
    return NULL;
}

json_t *agent_call(const char *name, const char *verb, json_t *args, int timeout_s, GError **err)
{
    g_autoptr(json_t) owned = args ? args : json_object();
    if (txn_active())
        g_error("agent_call(%s) inside a transaction", verb);
    Host *host = host_find(name);
    if (!host)
        return nv_fail(err, NV_ERR_AGENT, "host %s is not in the configuration", name ? name : "(none)"), NULL;
    Waiter waiter = { false, NULL };
    gint64 deadline = clock_mono_us() + timeout_s * (gint64) G_USEC_PER_SEC;
    int fd = -1;
    gint64 number = call_begin(host, &waiter, &fd, err);
    if (!number)
        return NULL;
    send_request(host, fd, number, verb, g_steal_pointer(&owned));
    if (!call_wait(host, &waiter, number, deadline))
        return nv_fail(err, NV_ERR_AGENT, "the agent of host %s did not answer %s within %d s", name, verb, timeout_s), NULL;
    g_autoptr(json_t) frame = waiter.frame;
    return call_result(host, verb, frame, err);
}

int agent_stream(const char *name, const char *verb, json_t *args, GError **err)
{
    g_autoptr(json_t) frame = json_make("isos", "id", (gint64) 1, "verb", verb, "args", args, "request_id", log_request_get());
    const Host *host = host_find(name);
    if (!host)
        return nv_fail(err, NV_ERR_AGENT, "host %s is not in the configuration", name ? name : "(none)"), -1;
    int fd = wire_connect_now(host->path, err);
    if (fd < 0 || wire_send(fd, frame, err))
        return fd;
    close(fd);
    return -1;
}

/* ---- the connection ---- */

static void take_answer(Host *host, json_t *frame)
{
    g_mutex_lock(&host->lock);
    Waiter *waiter = g_hash_table_lookup(host->calls, GSIZE_TO_POINTER(json_get_int(frame, "id", 0)));
    if (waiter) {
        waiter->frame = json_incref(frame);
        waiter->answered = true;
        g_cond_broadcast(&host->changed);
    }
    g_mutex_unlock(&host->lock);
}

/* False: nobody wants it so. */
static bool run_event(Host *host, const json_t *frame, bool at_once)
{
    const char *name = json_get_str(frame, "event");
    bool wanted = false;
    for (const AgentEvent *const *table = host->events; table && *table; table++)
        for (const AgentEvent *e = *table; e->event; e++)
            if (e->at_once == at_once && g_str_equal(e->event, name)) {
                e->run(host->db, host->name, json_object_get(frame, "data"));
                wanted = true;
            }
    return wanted;
}

static void read_frames(Host *host, int fd)
{
    g_autoptr(GError) error = NULL;
    for (json_t *frame; (frame = wire_receive(fd, &error));) {
        if (!json_get_str(frame, "event")) {
            take_answer(host, frame);
        } else if (!run_event(host, frame, true)) {
            g_async_queue_push(host->arrived, frame);
            continue;
        }
        json_decref(frame);
    }
    if (error)
        log_warn("agent.receive_failed", "host", host->name, "error", error->message, NULL);
}

static void set_up(Host *host, int fd)
{
    g_mutex_lock(&host->lock);
    host->fd = fd;
    host->since = clock_wall_us();
    host->sync_wanted = true;
    g_clear_pointer(&host->error, g_free);
    g_cond_broadcast(&host->changed);
    g_mutex_unlock(&host->lock);
    log_info("agent.up", "host", host->name, NULL);
    lanes_host_up(host->name);
}

static void set_away(Host *host, const char *why)
{
    g_mutex_lock(&host->lock);
    host->error = g_strdup(why ? why : "the connection ended");
    int fd = host->fd;
    host->fd = -1;
    host->since = clock_wall_us();
    GHashTableIter it;
    gpointer waiter;
    g_hash_table_iter_init(&it, host->calls);
    while (g_hash_table_iter_next(&it, NULL, &waiter))
        ((Waiter *) waiter)->answered = true;
    g_cond_broadcast(&host->changed);
    g_mutex_unlock(&host->lock);
    close(fd);
    log_warn("agent.away", "host", host->name, NULL);
}

/* Waits; false when the thread is to end. */
static bool pause_for(Host *host, gint64 us)
{
    gint64 end = clock_mono_us() + us;
    g_mutex_lock(&host->lock);
    while (!host->stopping && g_cond_wait_until(&host->changed, &host->lock, end))
        ;
    bool go_on = !host->stopping;
    g_mutex_unlock(&host->lock);
    return go_on;
}

static void note_error(Host *host, const GError *error)
{
    g_mutex_lock(&host->lock);
    bool news = g_strcmp0(host->error, error->message) != 0;
    g_free(host->error);
    host->error = g_strdup(error->message);
    g_mutex_unlock(&host->lock);
    if (news)
        log_info("agent.unreachable", "host", host->name, "error", error->message, NULL);
}

static gpointer keep_connected(gpointer data)
{
    Host *host = data;
    gint64 wait = RECONNECT_FIRST_US;
    do {
        g_autoptr(GError) error = NULL;
        int fd = wire_connect(host->path, &error);
        if (fd < 0) {
            note_error(host, error);
            wait = MIN(wait * 2, RECONNECT_LAST_US);
            continue;
        }
        const struct timeval patience = { .tv_sec = SEND_TIMEOUT_S };
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        gint64 begin = clock_mono_us();
        set_up(host, fd);
        read_frames(host, fd);
        /* One that is closed at once, by an agent that does not accept us, is not tried again and again without a pause. */
        wait = clock_mono_us() - begin > AT_ONCE_US ? RECONNECT_FIRST_US : MIN(wait * 2, RECONNECT_LAST_US);
        set_away(host, wait > RECONNECT_FIRST_US ? "the agent closed the connection; does it run for another user?" : NULL);
    } while (pause_for(host, wait));
    return NULL;
}

/* ---- events and syncs, on threads of their own: they may call the agent ---- */

static gpointer run_events(gpointer data)
{
    Host *host = data;
    for (;;) {
        g_autoptr(json_t) frame = g_async_queue_pop(host->arrived);
        if (!json_get_str(frame, "event"))
            return NULL;
        run_event(host, frame, false);
    }
}

static gpointer run_syncs(gpointer data)
{
    Host *host = data;
    gint64 due = 0, period = conf_int("hosts.sync_s") * G_USEC_PER_SEC, wait = period;
    bool again = false;
    g_mutex_lock(&host->lock);
    while (!host->stopping) {
        bool wanted = host->sync_wanted || clock_mono_us() >= due;
        if (host->fd < 0) {
            g_cond_wait(&host->changed, &host->lock);
        } else if (!wanted) {
            g_cond_wait_until(&host->changed, &host->lock, due);
        } else {
            const gint64 since = host->since;
            host->sync_wanted = false;
            host->syncing = true;
            g_mutex_unlock(&host->lock);
            bool whole = true;
            for (AgentSync *const *sync = host->syncs; sync && *sync; sync++)
                whole = (*sync)(host->db, host->name) && whole;
            wait = whole ? period : again ? MIN(wait * 2, period) : SYNC_AGAIN_US;
            again = !whole;
            due = clock_mono_us() + wait;
            g_mutex_lock(&host->lock);
            host->syncing = false;
            host->compared = whole ? since : 0;
        }
    }
    g_mutex_unlock(&host->lock);
    return NULL;
}

/* ---- start and stop ---- */

static Host *host_new(const char *name, const char *path, Db *db, const AgentEvent *const *events, AgentSync *const *syncs)
{
    Host *host = g_new0(Host, 1);
    host->name = g_strdup(name);
    host->path = *path ? g_strdup(path) : conf_path("paths.run", "agent.sock");
    host->db = db;
    host->events = events;
    host->syncs = syncs;
    host->fd = -1;
    host->since = clock_wall_us();
    host->calls = g_hash_table_new(NULL, NULL);
    host->arrived = g_async_queue_new_full((GDestroyNotify) json_decref);
    g_mutex_init(&host->lock);
    g_mutex_init(&host->send_lock);
    g_cond_init(&host->changed);
    return host;
}

static void host_free(Host *host)
{
    g_free(host->name);
    g_free(host->path);
    g_free(host->error);
    g_hash_table_unref(host->calls);
    g_async_queue_unref(host->arrived);
    g_mutex_clear(&host->lock);
    g_mutex_clear(&host->send_lock);
    g_cond_clear(&host->changed);
    g_free(host);
}

/* "NAME=unix:PATH;…" */
static GPtrArray *hosts_parse(const char *text, Db *db, const AgentEvent *const *events, AgentSync *const *syncs, GError **err)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func((GDestroyNotify) host_free);
    g_auto(GStrv) items = g_strsplit(text, ";", -1);
    for (char **item = items; *item; item++) {
        char *name = g_strstrip(*item), *equals = strchr(name, '=');
        if (!*name)
            continue;
        if (!equals || equals == name || !g_str_has_prefix(equals + 1, "unix:"))
            return nv_fail(err, NV_ERR_INVALID, "hosts.agents: \"%s\" is not NAME=unix:SOCKET", name), NULL;
        *equals = '\0';
        for (guint i = 0; i < list->len; i++)
            if (g_str_equal(((Host *) list->pdata[i])->name, name))
                return nv_fail(err, NV_ERR_INVALID, "hosts.agents: host %s is named twice", name), NULL;
        g_ptr_array_add(list, host_new(name, equals + 1 + strlen("unix:"), db, events, syncs));
    }
    return g_steal_pointer(&list);
}

bool agents_load(Db *db, const AgentEvent *const *events, AgentSync *const *syncs, GError **err)
{
    hosts = hosts_parse(conf_str("hosts.agents"), db, events, syncs, err);
    return hosts;
}

void agents_start(void)
{
    for (guint i = 0; i < hosts->len; i++) {
        Host *host = hosts->pdata[i];
        host->event_runner = g_thread_new("agent-events", run_events, host);
        host->syncer = g_thread_new("agent-sync", run_syncs, host);
        host->reader = g_thread_new("agent-reader", keep_connected, host);
    }
}

static void host_stop(Host *host)
{
    g_mutex_lock(&host->lock);
    host->stopping = true;
    if (host->fd >= 0)
        shutdown(host->fd, SHUT_RDWR);
    g_cond_broadcast(&host->changed);
    g_mutex_unlock(&host->lock);
    g_thread_join(host->reader);
    g_thread_join(host->syncer);
    g_async_queue_push(host->arrived, json_object());
    g_thread_join(host->event_runner);
}

/* Calls under way fail at once; the hosts stay, as known and away, for threads that still ask. */
void agents_stop(void)
{
    for (guint i = 0; hosts && i < hosts->len; i++)
        host_stop(hosts->pdata[i]);
}

void agents_sync_soon(const char *name)
{
    for (guint i = 0; hosts && i < hosts->len; i++) {
        Host *host = hosts->pdata[i];
        if (name && !g_str_equal(host->name, name))
            continue;
        g_mutex_lock(&host->lock);
        host->sync_wanted = true;
        g_cond_broadcast(&host->changed);
        g_mutex_unlock(&host->lock);
    }
}

json_t *agents_status(void)
{
    json_t *list = json_array();
    for (guint i = 0; hosts && i < hosts->len; i++) {
        Host *host = hosts->pdata[i];
        g_mutex_lock(&host->lock);
        bool compared = host->fd >= 0 && !host->sync_wanted && !host->syncing && host->compared == host->since;
        json_array_append_new(list, json_make("ssbibs", "host", host->name, "address", host->path, "up", host->fd >= 0, "since", host->since,
                                              "compared", compared, "error", host->fd >= 0 ? NULL : host->error));
        g_mutex_unlock(&host->lock);
    }
    return list;
}
