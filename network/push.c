/* network/push.c -- bringing one network, security group or port on one host to what the rows say; asked as often as anybody likes. */
#include "core/id.h"
#include "network/push.h"
#include "network/router.h"
#include <string.h>

enum { STRIPES = 64, CALL_S = 60 };

/* Rows are read and sent under a lock of the resource: of two that push the same thing, the later one to arrive has read the later rows.
 * Never two at a time in one thread. */
static GMutex stripes[STRIPES];

static GMutex *stripe(const char *host, const char *id)
{
    return &stripes[(g_str_hash(id) ^ g_str_hash(host)) % STRIPES];
}

typedef json_t *Load(Db *db, const char *host, const char *id, GError **err);
/* What to write down once the host has what args say. */
typedef bool Done(Db *db, const char *id, const json_t *args, GError **err);
/* news: only if the rows say something else than last time. */
typedef struct Way { const char *verb; Load *load; bool news; Done *done; } Way;

/* The last push that succeeded, by "host id": when it read its rows, and what they said.  A push that was asked for before that moment is done
 * already: of a thousand servers that start on one network at once, each waits for its lock, and few have to send the whole network again.
 * Numbers count up from 1. */
typedef struct Recent { guint64 read_at; char *digest; } Recent;
static GMutex recent_lock;
static GHashTable *recent;           /* string → Recent; the two are under recent_lock */
static guint64 recent_number;

static void recent_free(gpointer data)
{
    g_free(((Recent *) data)->digest);
    g_free(data);
}

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
    const Recent *r = recent ? g_hash_table_lookup(recent, key) : NULL;
    bool done = r && r->read_at > asked;
    g_mutex_unlock(&recent_lock);
    return done;
}

static bool is_same(const char *key, const char *digest)
{
    g_mutex_lock(&recent_lock);
    const Recent *r = recent ? g_hash_table_lookup(recent, key) : NULL;
    bool same = r && strcmp(r->digest, digest) == 0;
    g_mutex_unlock(&recent_lock);
    return same;
}

/* read_at 0: it is gone from the host. */
static void note_done(const char *key, guint64 read_at, const char *digest)
{
    g_mutex_lock(&recent_lock);
    if (!recent)
        recent = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, recent_free);
    if (read_at) {
        Recent *r = g_new0(Recent, 1);
        *r = (Recent){ read_at, g_strdup(digest) };
        g_hash_table_insert(recent, g_strdup(key), r);
    } else {
        g_hash_table_remove(recent, key);
    }
    g_mutex_unlock(&recent_lock);
}

static gboolean is_of_host(gpointer key, gpointer value, gpointer host)
{
    (void) value;
    return g_str_has_prefix(key, host) && ((const char *) key)[strlen(host)] == ' ';
}

void push_forget(const char *host)
{
    g_mutex_lock(&recent_lock);
    if (recent)
        g_hash_table_foreach_remove(recent, is_of_host, (gpointer) host);
    g_mutex_unlock(&recent_lock);
}

bool push_is_known(const char *host, const char *id)
{
    g_autofree char *key = g_strconcat(host, " ", id, NULL);
    return is_done_since(key, 0);
}

static char *digest_of(const json_t *args)
{
    g_autofree char *text = json_text(args);
    return g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
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
    note_done(key, 0, NULL);
    return call(host, verb, json_make("s", "id", id), err);
}

bool push_absent_unused(Db *db, const char *host, const char *verb, const char *id, const char *used, GError **err)
{
    g_autofree char *by = NULL, *key = g_strconcat(host, " ", id, NULL);
    g_autoptr(GMutexLocker) lock = g_mutex_locker_new(stripe(host, id));
    (void) lock;
    if (!db_query_str(db, err, &by, used, "ss", id, host))
        return false;
    if (by)
        return true;
    note_done(key, 0, NULL);
    return call(host, verb, json_make("s", "id", id), err);
}

/* A row that is gone has its own operation, or is a stray for the next comparison. */
static bool push(Db *db, const char *host, const Way *way, const char *id, GError **err)
{
    g_autofree char *key = g_strconcat(host, " ", id, NULL);
    guint64 asked = number_next();
    g_autoptr(GMutexLocker) lock = g_mutex_locker_new(stripe(host, id));
    g_autoptr(GError) why = NULL;
    (void) lock;
    if (is_done_since(key, asked))
        return true;
    guint64 read_at = number_next();
    g_autoptr(json_t) args = way->load(db, host, id, &why);
    if (!args && nv_error_code(why) == NV_ERR_NOT_FOUND)
        return true;
    if (!args) {
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    g_autofree char *digest = digest_of(args);
    if (way->news && is_same(key, digest))
        return true;
    /* A call that fails may have been carried out all the same: what the host has is not known until one succeeds. */
    note_done(key, 0, NULL);
    if (!call(host, way->verb, json_incref(args), err) || (way->done && !way->done(db, id, args, err)))
        return false;
    note_done(key, read_at, digest);
    return true;
}

bool push_network(Db *db, const char *host, const char *id, GError **err)
{
    static const Way way = { "network.ensure", desired_network_load, false, NULL };
    return push(db, host, &way, id, err);
}

bool push_network_news(Db *db, const char *host, const char *id, GError **err)
{
    static const Way way = { "network.ensure", desired_network_load, true, NULL };
    return push(db, host, &way, id, err);
}

bool push_group(Db *db, const char *host, const char *id, GError **err)
{
    static const Way way = { "group.ensure", desired_group_load, false, NULL };
    return push(db, host, &way, id, err);
}

/* Only while it belongs on a host: its removal may have been decided since the caller looked. */
static json_t *plugged_port_load(Db *db, const char *host, const char *id, GError **err)
{
    g_autofree char *of = NULL;
    if (!db_query_str(db, err, &of, "port_host", "s", id))
        return NULL;
    return of ? desired_port_load(db, host, id, err) : (nv_fail(err, NV_ERR_NOT_FOUND, "port %s is not plugged", id), NULL);
}

/* A router's ports are in force with their router (push_router). */
static bool port_in_force(Db *db, const char *id, const json_t *args, GError **err)
{
    gint64 up = json_is_true(json_object_get(args, "up")), differs = 0;
    if (!db_query_int(db, err, &differs, "port_status_differs", "si", id, up))
        return false;
    if (!differs)
        return true;
    g_auto(Txn) txn = txn_begin(db, err);
    return txn.db && db_exec(db, err, "port_status", "si", id, up) && txn_commit(&txn, err);
}

bool push_port(Db *db, const char *host, const char *id, GError **err)
{
    static const Way way = { "port.ensure", plugged_port_load, false, port_in_force };
    return push(db, host, &way, id, err);
}

/* Only where it is: it may have moved since the caller looked. */
static json_t *placed_router_load(Db *db, const char *host, const char *id, GError **err)
{
    g_autofree char *here = NULL;
    if (!db_query_str(db, err, &here, "router_on_host", "ss", id, host))
        return NULL;
    return here ? desired_router_load(db, id, err) : (nv_fail(err, NV_ERR_NOT_FOUND, "router %s is not on %s", id, host), NULL);
}

static void append_ids(json_t *list, const json_t *rows, const char *key)
{
    size_t i;
    json_t *row;
    json_array_foreach((json_t *) rows, i, row)
        json_array_append(list, json_object_get(row, key));
}

/* Only what the agent was told: the rows may have moved on. */
static bool router_in_force(Db *db, const char *id, const json_t *args, GError **err)
{
    g_autoptr(json_t) ports = json_array(), floating = json_array();
    const json_t *gateway = json_object_get(args, "gateway");
    if (json_is_true(json_object_get(args, "up"))) {
        append_ids(ports, json_object_get(args, "interfaces"), "port_id");
        if (json_is_object(gateway))
            json_array_append(ports, json_object_get(gateway, "port_id"));
    }
    append_ids(floating, json_object_get(args, "floating"), "id");
    append_ids(floating, json_object_get(args, "forwardings"), "id");
    g_autofree char *ports_text = json_text(ports), *floating_text = json_text(floating);
    g_auto(Txn) txn = txn_begin(db, err);
    return txn.db && db_exec(db, err, "router_ports_active", "ss", id, ports_text)
        && db_exec(db, err, "router_ports_down", "ss", id, ports_text) && db_exec(db, err, "router_floating_active", "ss", id, floating_text)
        && txn_commit(&txn, err);
}

bool push_router(Db *db, const char *host, const char *id, GError **err)
{
    static const Way way = { "router.ensure", placed_router_load, false, router_in_force };
    g_autoptr(json_t) networks = db_query(db, err, "router_networks", "s", id);
    return networks && push_each(db, host, networks, push_network_news, err) && push(db, host, &way, id, err);
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
