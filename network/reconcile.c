/* network/reconcile.c -- compares what a host has with what the rows want there: at once after an agent comes, then periodically. */
#include "core/id.h"
#include "core/log.h"
#include "network/push.h"
#include "network/router.h"
#include <string.h>

enum { LIST_S = 30, PRIME_S = 60, PRIME_MAX = 6 << 20 };

/* One kind of thing: what the host says, what the rows want, and how to make or remove one. */
typedef struct Kind {
    const char *listed;          /* member of net.list's answer: 12-digit prefixes of ids */
    const char *wanted;          /* statement: ids that should be on the host */
    const char *known;           /* statement: is there a row with that prefix */
    const char *used;            /* statement: is it used on the host, or about to be */
    const char *absent;          /* verb */
    Push *push;
} Kind;
/* In the order in which things refer to each other. */
static const Kind kinds[] = {
    { "networks", "host_networks", "network_by_prefix", "network_used_by_prefix", "network.absent", push_network },
    { "groups",   "host_groups",   "group_by_prefix",   "group_used_by_prefix",   "group.absent",   push_group },
    { "ports",    "host_ports",    "port_by_prefix",    "port_by_prefix",         "port.absent",    push_port },
    { "routers",  "host_routers",  "router_by_prefix",  "router_used_by_prefix",  "router.absent",  push_router },
};

/* Kernel names carry the first 12 digits only; any id that begins with them has those names. */
static char *id_of_prefix(const char *p)
{
    return strlen(p) == 12 ? g_strdup_printf("%.8s-%.4s-0000-0000-000000000000", p, p + 8) : NULL;
}

/* Something is under way for the resource or for the server it belongs to: it will be right when that ends. */
static bool busy(Db *db, const char *id)
{
    bool live = true;
    return !op_live(db, id, &live, NULL) || live;
}

typedef void Found(const Kind *kind, const char *id, bool missing, void *data);

/* Calls found for each thing that is missing, and then for each stray.  A repair's is wider: what may be there as the rows do not say it any more is
 * missing too, and what is unused is a stray, not only what has no row.  *ret_whole (may be NULL): nothing was left to an operation under way. */
static bool compare(Db *db, const char *host, bool repairs, Found *found, void *data, bool *ret_whole, GError **err)
{
    g_autoptr(json_t) there = agent_call(host, "net.list", NULL, LIST_S, err);
    for (gsize k = 0; there && k < G_N_ELEMENTS(kinds); k++) {
        const json_t *listed = json_object_get(there, kinds[k].listed);
        g_autoptr(json_t) wanted = db_query(db, err, kinds[k].wanted, "s", host);
        size_t i;
        json_t *row;
        if (!wanted)
            return false;
        json_array_foreach(wanted, i, row) {
            const char *id = json_get_str(row, "id");
            if (json_has(listed, id_12(id).s) && (!repairs || push_is_known(host, id)))
                continue;
            if (!busy(db, id))
                found(&kinds[k], id, true, data);
            else if (ret_whole)
                *ret_whole = false;
        }
    }
    for (gsize k = G_N_ELEMENTS(kinds); there && k-- > 0;) {
        size_t i;
        json_t *one;
        json_array_foreach(json_object_get(there, kinds[k].listed), i, one) {
            const char *prefix = json_string_value(one);
            g_autofree char *id = prefix ? id_of_prefix(prefix) : NULL, *row_id = NULL, *user = NULL;
            if (!id || !db_query_str(db, NULL, &row_id, kinds[k].known, "ss", id, host)
                || !db_query_str(db, NULL, &user, kinds[k].used, "ss", id, host))
                continue;
            if (repairs ? !user : !row_id)
                found(&kinds[k], row_id ? row_id : id, false, data);
        }
    }
    return there != NULL;
}

typedef struct Repair { Db *db; const char *host; bool whole; } Repair;

static void repair(const Kind *kind, const char *id, bool missing, void *data)
{
    Repair *r = data;
    g_autoptr(GError) err = NULL;
    bool ok = missing ? kind->push(r->db, r->host, id, &err) : push_absent_unused(r->db, r->host, kind->absent, id, kind->used, &err);
    r->whole = r->whole && ok;
    if (ok)
        log_info("network.settled", "host", r->host, "what", kind->listed, "id", id, "made", missing ? "yes" : "no", NULL);
    else
        log_warn("network.settle_failed", "host", r->host, "verb", missing ? kind->listed : kind->absent, "id", id, "error",
                 err->message, NULL);
}

/* The connection that was last compared in full, by host: an agent that came back may have lost anything. */
static bool is_new_connection(const char *host)
{
    static GMutex lock;
    static GHashTable *seen;         /* host → gint64 since */
    g_autoptr(json_t) hosts = agents_status();
    size_t i;
    json_t *one;
    gint64 since = 0;
    json_array_foreach(hosts, i, one)
        if (g_strcmp0(json_get_str(one, "host"), host) == 0)
            since = json_get_int(one, "since", 0);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    if (!seen)
        seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    const gint64 *last = g_hash_table_lookup(seen, host);
    if (last && *last == since)
        return false;
    g_hash_table_insert(seen, g_strdup(host), g_memdup2(&since, sizeof since));
    return true;
}

typedef json_t *Load(Db *db, const char *host, const char *id, GError **err);

/* Arguments of an ensure for all rows of a statement, as long as they fit into one message. */
static json_t *all_of(Db *db, const char *host, const char *statement, Load *load, gsize *room)
{
    g_autoptr(json_t) rows = db_query(db, NULL, statement, "s", host);
    json_t *list = json_array(), *row;
    size_t i;
    json_array_foreach(rows, i, row) {
        json_t *args = load(db, host, json_get_str(row, "id"), NULL);
        g_autofree char *text = args ? json_text(args) : NULL;
        if (!args || strlen(text) > *room) {
            json_decref(args);
            continue;
        }
        *room -= strlen(text);
        json_array_append_new(list, args);
    }
    return list;
}

/* An agent that comes may have a host without any rules: it gets them all at once.  Where that does not work, they come one by one. */
static void prime(Db *db, const char *host)
{
    g_autoptr(GError) err = NULL;
    gsize room = PRIME_MAX;
    json_t *groups = all_of(db, host, "host_groups", desired_group_load, &room);
    g_autoptr(json_t) answer = agent_call(host, "rules.ensure", json_make("oo", "groups", groups, "ports",
                                          all_of(db, host, "host_ports", desired_port_load, &room)), PRIME_S, &err);
    if (!answer)
        log_warn("network.prime_failed", "host", host, "error", err->message, NULL);
}

bool network_sync(Db *db, const char *host)
{
    g_autoptr(GError) err = NULL;
    Repair r = { db, host, true };
    bool told = segment_host_update(db, host, &err);
    if (told && is_new_connection(host)) {
        push_forget(host);
        prime(db, host);
    }
    bool done = told && compare(db, host, true, repair, &r, &r.whole, &err);
    if (!done)
        log_warn("network.sync_failed", "host", host, "error", err->message, NULL);
    routers_settle(db);
    return done && r.whole;
}

typedef struct Doctor { Db *db; const char *host; GPtrArray *findings; } Doctor;

static void diagnose(const Kind *kind, const char *id, bool missing, void *data)
{
    const Doctor *d = data;
    g_autofree char *live = NULL;
    /* It may be on its way out. */
    if (!missing && (!db_query_str(d->db, NULL, &live, "live_by_prefix", "s", id) || live))
        return;
    if (missing)
        finding_add(d->findings, d->host, NULL, NULL, "%.*s %s should be on the host and is not", (int) strlen(kind->listed) - 1, kind->listed, id);
    else
        finding_add(d->findings, d->host, kind->absent, json_make("s", "id", id), "%.*s %.13s… is on the host without a row",
                    (int) strlen(kind->listed) - 1, kind->listed, id);
}

bool network_doctor(Db *db, const char *host, GPtrArray *findings, GError **err)
{
    Doctor d = { db, host, findings };
    return compare(db, host, false, diagnose, &d, NULL, err);
}
