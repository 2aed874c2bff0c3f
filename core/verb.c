/* core/verb.c -- serves verb tables to many controllers at once: checks arguments, keeps order by id, sends answers and events. */
#include "core/verb.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/fault.h"
#include "core/id.h"
#include "core/log.h"
#include "core/wire.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    CHANGE_THREADS = 8,            /* verbs that change the world; some take minutes */
    READ_THREADS = 4,              /* the others never wait behind those */
    SEND_TIMEOUT_S = 10,           /* a controller that reads nothing for so long is dropped */
};

/* One controller's connection; freed when its reader and its last job are done. */
typedef struct Peer {
    int fd;
    gint refs;                     /* atomic */
    GMutex send_lock;
} Peer;

typedef struct Job {
    Peer *peer;
    const Verb *verb;
    json_t *frame, *args;          /* args borrowed from frame */
    const char *key;               /* the "id" argument, or NULL: needs no order */
    json_int_t number;
} Job;

/* A server is never stopped but by the end of the process. */
typedef struct Server {
    GHashTable *verbs;             /* name → Verb */
    GThreadPool *changes, *reads;
    GMutex lock;
    GHashTable *busy;              /* id → GQueue of Jobs that wait for the one running; under lock */
} Server;

typedef struct Connection { Server *server; Peer *peer; } Connection;

static GHashTable *streams;        /* name → VerbStream; filled before anybody is served */
static GMutex peers_lock;
static GPtrArray *peers;           /* of all servers of this process: the receivers of events */

static void peer_unref(Peer *peer)
{
    if (!g_atomic_int_dec_and_test(&peer->refs))
        return;
    if (peer->fd >= 0)
        close(peer->fd);
    g_mutex_clear(&peer->send_lock);
    g_free(peer);
}

static Peer *peer_ref(Peer *peer)
{
    g_atomic_int_inc(&peer->refs);
    return peer;
}

static void peer_send(Peer *peer, const json_t *frame)
{
    g_autoptr(GError) error = NULL;
    g_mutex_lock(&peer->send_lock);
    /* After a failure half a frame may be out: nothing may follow it. */
    if (!wire_send(peer->fd, frame, &error)) {
        shutdown(peer->fd, SHUT_RDWR);
        log_info("verb.peer_lost", "error", error->message, NULL);
    }
    g_mutex_unlock(&peer->send_lock);
}

/* True once the other end is gone, even if frames of it are still unread. */
static bool peer_is_gone(const Peer *peer)
{
    struct pollfd p = { .fd = peer->fd, .events = POLLRDHUP };
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static void job_free(Job *job)
{
    peer_unref(job->peer);
    json_decref(job->frame);
    g_free(job);
}

static bool arg_fits(const VerbArg *arg, const json_t *value)
{
    switch (arg->type) {
    case ARG_ID:
        return json_is_string(value) && id_is_uuid(json_string_value(value));
    case ARG_STR:
        return json_is_string(value);
    case ARG_INT:
        return json_is_integer(value);
    case ARG_BOOL:
        return json_is_boolean(value);
    case ARG_OBJECT:
        return json_is_object(value);
    case ARG_ARRAY:
        return json_is_array(value);
    }
    return false;
}

bool verb_check(const Verb *verb, const json_t *args, GError **err)
{
    static const char *const type_names[] = {
        [ARG_ID] = "a UUID", [ARG_STR] = "a string", [ARG_INT] = "an integer",
        [ARG_BOOL] = "a boolean", [ARG_OBJECT] = "an object", [ARG_ARRAY] = "an array",
    };
    size_t seen = 0;
    for (const VerbArg *arg = verb->args; arg && arg->name; arg++) {
        const json_t *value = json_object_get(args, arg->name);
        if (value)
            seen++;
        if (arg->optional && (!value || json_is_null(value)))
            continue;
        if (!value)
            return nv_fail(err, NV_ERR_INVALID, "%s: argument %s is missing", verb->name, arg->name);
        if (!arg_fits(arg, value))
            return nv_fail(err, NV_ERR_INVALID, "%s: argument %s is not %s", verb->name, arg->name, type_names[arg->type]);
    }
    if (json_object_size(args) != seen)
        return nv_fail(err, NV_ERR_INVALID, "%s: an argument is unknown", verb->name);
    return true;
}

static bool changes_world(const char *verb_name)
{
    return g_str_has_suffix(verb_name, ".ensure") || g_str_has_suffix(verb_name, ".absent");
}

static json_t *run_verb(const Verb *verb, const json_t *args, GError **err)
{
    if (!verb_check(verb, args, err))
        return NULL;
    if (!changes_world(verb->name))
        return verb->run(args, err);
    if (!fault_point_at("agent.before", verb->name, NULL, err))
        return NULL;
    g_autoptr(json_t) ok = verb->run(args, err);
    if (!ok || !fault_point_at("agent.effect_done", verb->name, NULL, err))
        return NULL;
    return g_steal_pointer(&ok);
}

static json_t *answer_new(json_int_t number, json_t *ok, const GError *error)
{
    if (ok)
        return json_make("io", "id", (gint64) number, "ok", ok);
    return json_make("iss", "id", (gint64) number, "error", nv_error_name(nv_error_code(error)), "message", error->message);
}

static void job_run(Job *job)
{
    g_autoptr(GError) error = NULL;
    gint64 begin = clock_mono_us();
    log_request_set(json_get_str(job->frame, "request_id"));
    json_t *ok = run_verb(job->verb, job->args, &error);
    if (!ok && !error)
        g_error("verb %s failed without an error", job->verb->name);
    log_event(ok ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, "verb.answered", "verb", job->verb->name, "id", job->key,
              "error", ok ? NULL : error->message, "us", LOG_INT(clock_mono_us() - begin), NULL);
    g_autoptr(json_t) answer = answer_new(job->number, ok, error);
    peer_send(job->peer, answer);
    log_request_set(NULL);
}

static void pool_push(Server *server, Job *job)
{
    g_thread_pool_push(changes_world(job->verb->name) ? server->changes : server->reads, job, NULL);
}

/* The next job of the same id gets its turn.  Jobs whose controller has died are dropped under the lock: a controller that comes
 * after it may rely on its own verbs being the last ones. */
static void release_key(Server *server, const char *key)
{
    g_mutex_lock(&server->lock);
    GQueue *waiting = g_hash_table_lookup(server->busy, key);
    Job *next = g_queue_pop_head(waiting);
    while (next && peer_is_gone(next->peer)) {
        job_free(next);
        next = g_queue_pop_head(waiting);
    }
    if (next)
        pool_push(server, next);
    else
        g_hash_table_remove(server->busy, key);
    g_mutex_unlock(&server->lock);
}

static void pool_run(gpointer data, gpointer user)
{
    Job *job = data;
    Server *server = user;
    job_run(job);
    if (job->key)
        release_key(server, job->key);
    job_free(job);
}

static void submit(Server *server, Job *job)
{
    if (!job->key) {
        pool_push(server, job);
        return;
    }
    g_mutex_lock(&server->lock);
    GQueue *waiting = g_hash_table_lookup(server->busy, job->key);
    if (peer_is_gone(job->peer)) {
        job_free(job);
    } else if (waiting) {
        g_queue_push_tail(waiting, job);
    } else {
        g_hash_table_insert(server->busy, g_strdup(job->key), g_queue_new());
        pool_push(server, job);
    }
    g_mutex_unlock(&server->lock);
}

/* frame is stolen. */
static void take_request(Server *server, Peer *peer, json_t *frame)
{
    g_autoptr(GError) error = NULL;
    const char *name = json_get_str(frame, "verb");
    json_t *args = json_object_get(frame, "args");
    const Verb *verb = name ? g_hash_table_lookup(server->verbs, name) : NULL;
    json_int_t number = json_get_int(frame, "id", 0);
    if (!verb)
        nv_fail(&error, NV_ERR_METHOD, "there is no verb %s", name ? name : "(none)");
    else if (!json_is_object(args))
        nv_fail(&error, NV_ERR_INVALID, "%s: args is not an object", name);
    if (error) {
        g_autoptr(json_t) answer = answer_new(number, NULL, error);
        peer_send(peer, answer);
        json_decref(frame);
        return;
    }
    Job *job = g_new0(Job, 1);
    *job = (Job) { .peer = peer_ref(peer), .verb = verb, .frame = frame, .args = args, .key = json_get_str(args, "id"), .number = number };
    submit(server, job);
}

/* True: frame wanted the connection itself, and has it or was refused. */
static bool give_away(Peer *peer, const json_t *frame)
{
    g_autoptr(GError) error = NULL;
    const char *name = json_get_str(frame, "verb");
    const json_t *args = json_object_get(frame, "args");
    const VerbStream *stream = name && streams ? g_hash_table_lookup(streams, name) : NULL;
    if (!stream)
        return false;
    const Verb verb = { stream->name, NULL, stream->args };
    if (verb_check(&verb, args, &error) && stream->take(peer->fd, args, &error))
        peer->fd = -1;
    else
        log_info("verb.not_taken", "verb", name, "error", error->message, NULL);
    return true;
}

/* Only from its first request on does a connection hear events: one that is given away carries nothing else. */
static void listen_to_events(Peer *peer)
{
    g_mutex_lock(&peers_lock);
    if (!peers)
        peers = g_ptr_array_new();
    g_ptr_array_add(peers, peer);
    g_mutex_unlock(&peers_lock);
}

static gpointer connection_read(gpointer data)
{
    g_autofree Connection *c = data;
    g_autoptr(GError) error = NULL;
    json_t *frame = wire_receive(c->peer->fd, &error);
    if (frame && give_away(c->peer, frame)) {
        json_decref(frame);
        peer_unref(c->peer);
        return NULL;
    }
    listen_to_events(c->peer);
    for (; frame; frame = wire_receive(c->peer->fd, &error))
        take_request(c->server, c->peer, frame);
    if (error)
        log_info("verb.connection_ended", "error", error->message, NULL);
    g_mutex_lock(&peers_lock);
    g_ptr_array_remove_fast(peers, c->peer);
    g_mutex_unlock(&peers_lock);
    shutdown(c->peer->fd, SHUT_RDWR);
    peer_unref(c->peer);
    return NULL;
}

static bool peer_is_allowed(int fd, uid_t allowed_uid)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return false;
    if (cred.uid == 0 || cred.uid == allowed_uid)
        return true;
    log_warn("verb.peer_refused", "uid", LOG_INT(cred.uid), NULL);
    return false;
}

static void accept_peer(Server *server, int fd)
{
    struct timeval timeout = { .tv_sec = SEND_TIMEOUT_S };
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    Peer *peer = g_new0(Peer, 1);
    peer->fd = fd;
    peer->refs = 1;
    g_mutex_init(&peer->send_lock);
    Connection *c = g_new0(Connection, 1);
    *c = (Connection) { server, peer };
    g_thread_unref(g_thread_new("verb-reader", connection_read, c));
}

guint verb_event(const char *event, json_t *data)
{
    g_autoptr(json_t) frame = json_make("so", "event", event, "data", data);
    g_autoptr(GPtrArray) to = g_ptr_array_new_with_free_func((GDestroyNotify) peer_unref);
    g_mutex_lock(&peers_lock);
    for (guint i = 0; peers && i < peers->len; i++)
        g_ptr_array_add(to, peer_ref(peers->pdata[i]));
    g_mutex_unlock(&peers_lock);
    for (guint i = 0; i < to->len; i++)
        peer_send(to->pdata[i], frame);
    return to->len;
}

void verb_stream_add(const VerbStream *stream)
{
    if (!streams)
        streams = g_hash_table_new(g_str_hash, g_str_equal);
    g_hash_table_insert(streams, (char *) stream->name, (VerbStream *) stream);
}

static Server *server_new(const Verb *const *tables)
{
    Server *server = g_new0(Server, 1);
    g_mutex_init(&server->lock);
    server->busy = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_queue_free);
    server->verbs = g_hash_table_new(g_str_hash, g_str_equal);
    for (; *tables; tables++)
        for (const Verb *verb = *tables; verb->name; verb++)
            if (!g_hash_table_insert(server->verbs, (char *) verb->name, (Verb *) verb))
                g_error("verb %s is in two tables", verb->name);
    server->changes = g_thread_pool_new(pool_run, server, CHANGE_THREADS, FALSE, NULL);
    server->reads = g_thread_pool_new(pool_run, server, READ_THREADS, FALSE, NULL);
    return server;
}

bool verb_serve(int listen_fd, const Verb *const *tables, uid_t allowed_uid, GError **err)
{
    Server *server = server_new(tables);
    for (;;) {
        int fd = wire_accept(listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED || errno == EAGAIN))
            continue;
        if (fd < 0)
            return nv_fail_errno(err, NV_ERR_INTERNAL, "accepting a controller");
        if (peer_is_allowed(fd, allowed_uid))
            accept_peer(server, fd);
        else
            close(fd);
    }
}
