/* network/agent/relay.c -- one thread that moves bytes between guests' connections and those that `serve` fetched them with. */
#include "network/agent/relay.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/file.h"
#include "core/id.h"
#include "core/json.h"
#include "core/log.h"
#include "core/wake.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BUFFER = 16 << 10,
    LINGER_US = 2 * G_USEC_PER_SEC,  /* after serve's end, for what the guest still sends: closed at once, a reset would take the reply from it */
};

/* Bytes on their way from one end to the other.  No more are taken in before these are gone: who reads slowly slows the other down. */
typedef struct Flow {
    char buf[BUFFER];
    gsize at, end;
    gint64 moved;                    /* when bytes were last taken in, or the last of them went out */
    bool ended;                      /* its source has said all */
    bool told;                       /* and its sink knows */
    bool dropped;                    /* its sink listens no more: bytes go nowhere */
} Flow;

typedef struct Relay {
    char *token, *network, *source;
    int guest, serve;                /* serve -1: not fetched yet, or ending */
    Flow *up, *down;                 /* from and to the guest; NULL: waits to be fetched */
    gint64 since;                    /* of waiting, of ending */
    bool ending;                     /* serve has said all, and so was the guest told */
    bool gone;                       /* the thread is to let it go */
} Relay;

static GMutex lock;
static GPtrArray *relays;            /* Relay; under lock.  Only the thread takes any out and closes descriptors. */
static int wake_fd = -1;
static RelayLimits limits;

static void relay_free(gpointer data)
{
    Relay *r = data;
    file_close(r->guest);
    file_close(r->serve);
    g_free(r->token);
    g_free(r->network);
    g_free(r->source);
    g_free(r->up);
    g_free(r->down);
    g_free(r);
}

static bool is_empty(const Flow *f)
{
    return f->at == f->end;
}

/* Once: also when it ends, it does not wait again. */
static bool waits(const Relay *r)
{
    return !r->up;
}

static gint64 last_moved(const Relay *r)
{
    return waits(r) || r->ending ? r->since : MAX(r->up->moved, r->down->moved);
}

/* --- who is kept --- */

/* The longest idle connection of the network that has most of them: who opens many pays for it himself. */
static void make_room(void)
{
    g_autoptr(GHashTable) counts = g_hash_table_new(g_str_hash, g_str_equal);
    Relay *victim = NULL;
    guint most = 0;
    for (guint i = 0; i < relays->len; i++) {
        const Relay *r = relays->pdata[i];
        guint n = GPOINTER_TO_UINT(g_hash_table_lookup(counts, r->network)) + !r->gone;
        g_hash_table_insert(counts, r->network, GUINT_TO_POINTER(n));
        most = MAX(most, n);
    }
    for (guint i = 0; i < relays->len; i++) {
        Relay *r = relays->pdata[i];
        if (!r->gone && GPOINTER_TO_UINT(g_hash_table_lookup(counts, r->network)) == most && (!victim || last_moved(r) < last_moved(victim)))
            victim = r;
    }
    if (victim)
        victim->gone = true;
}

char *relay_keep(int guest, const char *network, const char *address)
{
    g_autofree char *source = g_strdup_printf("%s %s", network, address);
    guint all = 0, same = 0;
    g_mutex_lock(&lock);
    for (guint i = 0; i < relays->len; i++) {
        const Relay *r = relays->pdata[i];
        all += !r->gone;
        same += !r->gone && g_str_equal(r->source, source);
    }
    if (same >= limits.per_source) {
        g_mutex_unlock(&lock);
        return NULL;
    }
    if (all >= limits.total)
        make_room();
    Relay *r = g_new0(Relay, 1);
    *r = (Relay){ .token = id_new(), .network = g_strdup(network), .source = g_steal_pointer(&source), .guest = guest, .serve = -1,
                  .since = clock_mono_us() };
    char *token = g_strdup(r->token);
    g_ptr_array_add(relays, r);
    g_mutex_unlock(&lock);
    wake_up(wake_fd);
    return token;
}

static Relay *waiting_find(const char *token)
{
    for (guint i = 0; i < relays->len; i++) {
        Relay *r = relays->pdata[i];
        if (waits(r) && !r->gone && g_str_equal(r->token, token))
            return r;
    }
    return NULL;
}

void relay_forget(const char *token)
{
    g_mutex_lock(&lock);
    Relay *r = waiting_find(token);
    if (r)
        r->gone = true;
    g_mutex_unlock(&lock);
    wake_up(wake_fd);
}

void relay_forget_network(const char *network)
{
    g_mutex_lock(&lock);
    for (guint i = 0; i < relays->len; i++) {
        Relay *r = relays->pdata[i];
        r->gone = r->gone || g_str_equal(r->network, network);
    }
    g_mutex_unlock(&lock);
    wake_up(wake_fd);
}

bool relay_attach(int fd, const json_t *args, GError **err)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    g_mutex_lock(&lock);
    Relay *r = waiting_find(json_get_str(args, "token"));
    if (r) {
        r->serve = fd;
        r->up = g_new0(Flow, 1);
        r->down = g_new0(Flow, 1);
        r->up->moved = r->down->moved = clock_mono_us();
    }
    g_mutex_unlock(&lock);
    wake_up(wake_fd);
    return r ? true : nv_fail(err, NV_ERR_NOT_FOUND, "no connection waits with this token");
}

guint relay_count(void)
{
    g_mutex_lock(&lock);
    guint n = relays->len;
    g_mutex_unlock(&lock);
    return n;
}

/* --- the thread --- */

/* False: the source is broken. */
static bool take_in(Flow *f, int from, gint64 now)
{
    if (!is_empty(f) || f->ended)
        return true;
    ssize_t n = recv(from, f->buf, sizeof f->buf, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    f->at = 0;
    f->end = (gsize) n;
    f->ended = n == 0;
    f->moved = now;
    return true;
}

/* False: the sink is broken. */
static bool give_out(Flow *f, int to, gint64 now)
{
    if (f->dropped)
        f->at = f->end;
    if (!is_empty(f)) {
        ssize_t n = send(to, f->buf + f->at, f->end - f->at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        f->at += (gsize) n;
        f->moved = is_empty(f) ? now : f->moved;
    }
    if (f->ended && is_empty(f) && !f->told) {
        shutdown(to, SHUT_WR);
        f->told = true;
    }
    return true;
}

/* False: it is over. */
static bool linger(const Relay *r)
{
    char nowhere[BUFFER];
    ssize_t n = recv(r->guest, nowhere, sizeof nowhere, MSG_DONTWAIT);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* False: it is over.  The guest's end of what it sends is told to serve, which may still answer; serve's end is the end. */
static bool pump(Relay *r, gint64 now)
{
    if (r->ending)
        return linger(r);
    if (!take_in(r->up, r->guest, now))
        return false;
    if (!give_out(r->up, r->serve, now))
        r->up->dropped = true;                   /* what serve has said before is still to arrive */
    if (!take_in(r->down, r->serve, now))
        r->down->ended = true;
    if (!give_out(r->down, r->guest, now))
        return false;
    if (r->down->told) {
        r->ending = true;
        r->since = now;
        file_close(r->serve);
        r->serve = -1;
    }
    return true;
}

/* Bytes that move one way win no time for those that wait the other way. */
static gint64 deadline(const Relay *r)
{
    if (r->gone)
        return 0;
    if (waits(r) || r->ending)
        return r->since + (r->ending ? LINGER_US : limits.wait_us);
    const gint64 up = is_empty(r->up) ? G_MAXINT64 : r->up->moved + limits.stall_us;
    const gint64 down = is_empty(r->down) ? G_MAXINT64 : r->down->moved + limits.stall_us;
    return is_empty(r->up) && is_empty(r->down) ? last_moved(r) + limits.idle_us : MIN(up, down);
}

/* What is worth waiting for.  A descriptor of which nothing is wanted is not looked at: its peer's end would be told again and again. */
static void interests(const Relay *r, struct pollfd *guest, struct pollfd *serve)
{
    *guest = (struct pollfd){ .fd = r->guest, .events = r->ending ? POLLIN : 0 };
    *serve = (struct pollfd){ .fd = -1 };
    if (waits(r) || r->ending)
        return;
    guest->events = (short) ((is_empty(r->up) && !r->up->ended ? POLLIN : 0) | (is_empty(r->down) ? 0 : POLLOUT));
    serve->events = (short) ((is_empty(r->down) && !r->down->ended ? POLLIN : 0) | (is_empty(r->up) ? 0 : POLLOUT));
    serve->fd = serve->events ? r->serve : -1;
}

/* A guest that was reset, also while it waits; its end alone is no reason, as it may still want an answer.  After serve's end, what it had sent is
 * read first. */
static bool guest_is_gone(const Relay *r, short seen)
{
    return (seen & POLLERR) || ((seen & POLLHUP) && !r->ending);
}

static void drop_those_gone(gint64 now)
{
    for (guint i = relays->len; i-- > 0;) {
        const Relay *r = relays->pdata[i];
        if (deadline(r) > now)
            continue;
        if (waits(r) && !r->gone)
            log_warn("metadata.not_fetched", "source", r->source, NULL);
        g_ptr_array_remove_index(relays, i);
    }
}

static gpointer move_bytes(gpointer data)
{
    g_autoptr(GArray) fds = g_array_new(FALSE, TRUE, sizeof(struct pollfd));
    (void) data;
    for (;;) {
        gint64 next = G_MAXINT64, now = clock_mono_us();
        g_mutex_lock(&lock);
        drop_those_gone(now);
        const guint n = relays->len;             /* more may come while we wait, behind these */
        g_array_set_size(fds, 2 * n + 1);
        struct pollfd *p = (struct pollfd *) (void *) fds->data;
        for (guint i = 0; i < n; i++) {
            interests(relays->pdata[i], &p[2 * i], &p[2 * i + 1]);
            next = MIN(next, deadline(relays->pdata[i]));
        }
        g_mutex_unlock(&lock);
        p[2 * n] = (struct pollfd){ .fd = wake_fd, .events = POLLIN };
        if (poll(p, 2 * n + 1, n ? (int) (MAX(next - now, 0) / 1000 + 1) : -1) < 0)
            continue;
        if (p[2 * n].revents)
            wake_clear(wake_fd);
        now = clock_mono_us();
        g_mutex_lock(&lock);
        for (guint i = 0; i < n; i++) {
            Relay *r = relays->pdata[i];
            const short seen = (short) (p[2 * i].revents | p[2 * i + 1].revents);
            if (seen && (guest_is_gone(r, p[2 * i].revents) || (!waits(r) && !pump(r, now))))
                r->gone = true;
        }
        g_mutex_unlock(&lock);
    }
    return NULL;
}

bool relay_start(const RelayLimits *want, GError **err)
{
    limits = *want;
    relays = g_ptr_array_new_with_free_func(relay_free);
    wake_fd = wake_new(err);
    if (wake_fd < 0)
        return false;
    g_thread_unref(g_thread_new("metadata-relay", move_bytes, NULL));
    return true;
}
