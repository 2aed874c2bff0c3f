/* network/push.c -- bringing one network, security group or port on one host to what the rows say; asked as often as anybody likes. */
#include "core/id.h"
#include "network/push.h"
#include <string.h>

enum { STRIPES = 64, CALL_S = 60 };

/* Rows are read and sent under a lock of the resource: of two that push the same thing, the later one to arrive has read the later rows.
 * Never two at a time in one thread. */
static GMutex stripes[STRIPES];

static GMutex *stripe(const char *host, const char *id)
{
    return &stripes[(g_str_hash(id) ^ g_str_hash(host)) % STRIPES];
}

typedef json_t *Load(Db *db, const char *id, GError **err);

/* When the last push that succeeded read its rows, by "host id".  A push that was asked for before that moment is done already: of a thousand servers
 * that start on one network at once, each waits for its lock, and few have to send the whole network again.  Numbers count up from 1. */
static GMutex recent_lock;
static GHashTable *recent;           /* string → guint64, in the pointer; the two are under recent_lock */
static guint64 recent_number;

static guint64 number_next(void)
{
    g_mutex_lock(&recent_lock);
    guint64 n = ++recent_number;
    g_mutex_unlock(&recent_lock);
    return n;
}

static bool is_done_since(const char *key, guint64 asked)
{
    g_mutex_lock(&recent_lock);
    bool done = recent && GPOINTER_TO_SIZE(g_hash_table_lookup(recent, key)) > asked;
    g_mutex_unlock(&recent_lock);
    return done;
}

/* read_at 0: it is gone from the host. */
static void note_done(const char *key, guint64 read_at)
{
    g_mutex_lock(&recent_lock);
    if (!recent)
        recent = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    if (read_at)
        g_hash_table_insert(recent, g_strdup(key), GSIZE_TO_POINTER(read_at));
    else
        g_hash_table_remove(recent, key);
    g_mutex_unlock(&recent_lock);
}

static bool call(const char *host, const char *verb, json_t *args, GError **err)
{
    g_autoptr(json_t) answer = agent_call(host, verb, args, CALL_S, err);
    return answer != NULL;
}

bool push_absent(const char *host, const char *verb, const char *id, GError **err)
{
    g_autofree char *key = g_strconcat(host, " ", id, NULL);
    g_autoptr(GMutexLocker) lock = g_mutex_locker_new(stripe(host, id));
    (void) lock;
    note_done(key, 0);
    return call(host, verb, json_make("s", "id", id), err);
}

bool push_absent_unused(Db *db, const char *host, const char *verb, const char *id, const char *used, GError **err)
{
    g_autoptr(GMutexLocker) lock = g_mutex_locker_new(stripe(host, id));
    g_autofree char *by = NULL;
    (void) lock;
    return db_query_str(db, err, &by, used, "ss", id, host) && (by || call(host, verb, json_make("s", "id", id), err));
}

/* A row that is gone has its own operation, or is a stray for the next comparison. */
static bool push(Db *db, const char *host, const char *verb, const char *id, Load *load, GError **err)
{
    g_autofree char *key = g_strconcat(host, " ", id, NULL);
    guint64 asked = number_next();
    g_autoptr(GMutexLocker) lock = g_mutex_locker_new(stripe(host, id));
    g_autoptr(GError) why = NULL;
    (void) lock;
    if (is_done_since(key, asked))
        return true;
    guint64 read_at = number_next();
    json_t *args = load(db, id, &why);
    if (!args && nv_error_code(why) == NV_ERR_NOT_FOUND)
        return true;
    if (!args) {
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    if (!call(host, verb, args, err))
        return false;
    note_done(key, read_at);
    return true;
}

bool push_network(Db *db, const char *host, const char *id, GError **err)
{
    return push(db, host, "network.ensure", id, desired_network_load, err);
}

bool push_group(Db *db, const char *host, const char *id, GError **err)
{
    return push(db, host, "group.ensure", id, desired_group_load, err);
}

/* Only while it belongs on a host: its removal may have been decided since the caller looked. */
static json_t *plugged_port_load(Db *db, const char *id, GError **err)
{
    g_autofree char *host = NULL;
    if (!db_query_str(db, err, &host, "port_host", "s", id))
        return NULL;
    return host ? desired_port_load(db, id, err) : (nv_fail(err, NV_ERR_NOT_FOUND, "port %s is not plugged", id), NULL);
}

bool push_port(Db *db, const char *host, const char *id, GError **err)
{
    return push(db, host, "port.ensure", id, plugged_port_load, err);
}

bool push_each(Db *db, const char *host, const json_t *rows, Push *one, GError **err)
{
    size_t i;
    json_t *row;
    json_array_foreach((json_t *) rows, i, row)
        if (!one(db, host, json_get_str(row, "id"), err))
            return false;
    return true;
}
