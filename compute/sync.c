/* compute/sync.c -- what hosts report: events and comparisons become observations in rows; what should run and does not is started. */
#include "compute/internal.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/log.h"
#include <string.h>

enum { CALL_S = 30 };

/* True when nothing is being done with the server, so that what was seen may be written down.  In the caller's transaction. */
static Server *settled(Db *db, const char *host, const char *id, GError **err)
{
    g_autoptr(Server) s = server_get(db, id, err);
    bool live = true;
    if (!s || g_strcmp0(s->host, host) != 0 || s->task_state || !op_live(db, id, &live, err) || live)
        return NULL;
    return g_steal_pointer(&s);
}

static bool observe_in(Db *db, const char *host, const char *id, const char *state, gint64 not_after, GError **err)
{
    gint64 power = server_power_of(state);
    g_auto(Txn) txn = txn_begin(db, err);
    g_autoptr(Server) s = txn.db ? settled(db, host, id, err) : NULL;
    if (!s || (s->power_state == power && strcmp(s->vm_state, power == POWER_RUNNING ? "active" : "stopped") == 0) || s->updated_at > not_after)
        return false;
    bool ran = strcmp(s->vm_state, "active") == 0, stopped = strcmp(s->vm_state, "stopped") == 0;
    if (ran && power != POWER_RUNNING && power != POWER_PAUSED) {
        log_info("server.stopped_itself", "id", id, "host", host, "state", state, NULL);
        return db_exec(db, err, "server_stopped", "si", id, power) && txn_commit(&txn, err);
    }
    if (stopped && power == POWER_RUNNING) {
        log_info("server.started_itself", "id", id, "host", host, NULL);
        return db_exec(db, err, "server_active", "s", id) && txn_commit(&txn, err);
    }
    return s->power_state == power || (db_exec(db, err, "server_power", "si", id, power) && txn_commit(&txn, err));
}

static void observe(Db *db, const char *host, const char *id, const char *state, gint64 not_after)
{
    g_autoptr(GError) err = NULL;
    observe_in(db, host, id, state, not_after, &err);
    if (err && nv_error_code(err) != NV_ERR_NOT_FOUND)
        log_error("server.observe_failed", "id", id, "why", err->message, NULL);
}

/* A guest stopped, crashed or came back.  The event only says when to look: by the time it is read, an operation may have ended that is newer. */
static void domain_event(Db *db, const char *host, const json_t *data)
{
    const char *id = json_get_str(data, "id"), *state = json_get_str(data, "state");
    gint64 asked_at = clock_wall_us();
    if (!id || !state || strcmp(state, "running") == 0)
        return;
    op_kick(id);                                 /* a stop may wait for it */
    g_autoptr(json_t) now = agent_call(host, "domain.state", json_make("s", "id", id), CALL_S, NULL);
    const char *seen = json_get_str(now, "state");
    /* One that is gone is the comparison's business. */
    if (seen && strcmp(seen, "running") != 0 && strcmp(seen, "absent") != 0)
        observe(db, host, id, strcmp(state, "crashed") == 0 ? state : seen, asked_at);
}

const AgentEvent compute_events[] = { { .event = "domain", .run = domain_event }, { .event = NULL } };

/* --- comparison --- */
static bool heal(Db *db, const char *host, const char *id, gint64 not_after)
{
    g_autoptr(GError) err = NULL;
    g_auto(Txn) txn = txn_begin(db, &err);
    g_autoptr(Server) s = txn.db ? settled(db, host, id, &err) : NULL;
    if (s && s->updated_at <= not_after && db_exec(db, &err, "server_task", "ss", id, "powering-on")
        && op_start(db, NULL, &op_server_heal, id, host, NULL, &err) && txn_commit(&txn, &err))
        log_info("server.heal", "id", id, "host", host, NULL);
    if (!err || nv_error_code(err) == NV_ERR_NOT_FOUND)
        return true;
    log_error("server.heal_failed", "id", id, "why", err->message, NULL);
    return false;
}

/* id → state of the domains that host has, or NULL.  *ret_answer (may be NULL): all that it said of them. */
static json_t *domains_of(const char *host, json_t **ret_answer, GError **err)
{
    g_autoptr(json_t) answer = agent_call(host, "domain.list", NULL, CALL_S, err);
    json_t *map = answer ? json_object() : NULL, *d;
    size_t i;
    json_array_foreach(json_object_get(answer, "domains"), i, d)
        json_object_set(map, json_get_str(d, "id"), json_object_get(d, "state"));
    if (ret_answer)
        *ret_answer = g_steal_pointer(&answer);
    return map;
}

/* False: a server could not be healed yet. */
static bool compare(Db *db, const char *host, const json_t *rows, const json_t *domains, bool rebooted, gint64 asked_at)
{
    bool ok = true;
    size_t i;
    json_t *r;
    json_array_foreach((json_t *) rows, i, r) {
        const char *id = json_get_str(r, "id"), *seen = json_get_str(domains, id);
        const char *state = seen ? seen : "absent", *vm_state = json_get_str(r, "vm_state");
        bool ran = strcmp(vm_state, "active") == 0;
        /* A domain that is gone, or went down with its host, did not stop itself. */
        if (ran && strcmp(state, "running") != 0 && strcmp(state, "paused") != 0 && (rebooted || !seen) && conf_bool("compute.resume_guests"))
            ok = heal(db, host, id, asked_at) && ok;
        else if (ran || (strcmp(vm_state, "stopped") == 0 && seen))
            observe(db, host, id, state, asked_at);
    }
    return ok;
}

/* What a deleted server left on a host that was away.  Ids that no row, living or deleted, knows are left to the operator (doctor): they may
 * belong to a database that was lost. */
static bool sweep(Db *db, const char *host, const json_t *ids, const char *verb)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *text = json_text(ids);
    g_autoptr(json_t) stray = db_query(db, &err, "server_strays", "ss", text, host);
    bool whole = stray != NULL;
    size_t i;
    json_t *r;
    json_array_foreach(stray, i, r) {
        const char *id = json_get_str(r, "id");
        if (!json_get_int(r, "known", 0))
            continue;
        log_info("server.sweep", "id", id, "host", host, "verb", verb, NULL);
        g_autoptr(json_t) done = agent_call(host, verb, json_make("s", "id", id), CALL_S, &err);
        if (!done) {
            log_warn("server.sweep_failed", "id", id, "why", err->message, NULL);
            g_clear_error(&err);
            whole = false;
        }
    }
    return whole;
}

static json_t *keys_of(const json_t *map)
{
    json_t *list = json_array(), *v;
    const char *key;
    json_object_foreach((json_t *) map, key, v)
        json_array_append_new(list, json_string(key));
    return list;
}

static bool sync_host(Db *db, const char *host, GError **err)
{
    g_autofree char *boot = NULL;
    gint64 asked_at = clock_wall_us();
    g_autoptr(json_t) facts = agent_call(host, "host.facts", NULL, CALL_S, err);
    if (!facts || !db_query_str(db, err, &boot, "host_boot_id", "s", host))
        return false;
    /* A new boot id is taken over last: should we end before, the next comparison still knows what happened. */
    bool rebooted = boot && g_strcmp0(boot, json_get_str(facts, "boot_id")) != 0;
    if (!rebooted && !host_update(db, host, facts, err))
        return false;
    g_autoptr(json_t) domains = domains_of(host, NULL, err);
    g_autoptr(json_t) disks = domains ? agent_call(host, "disk.list", NULL, CALL_S, err) : NULL;
    if (!disks)
        return false;
    /* Rows first: an operation that ended since is newer than what was seen. */
    g_autoptr(json_t) rows = db_query(db, err, "server_settled_on", "s", host), ids = keys_of(domains);
    if (!rows)
        return false;
    bool healed = compare(db, host, rows, domains, rebooted, asked_at);
    bool swept = sweep(db, host, ids, "domain.absent");
    swept = sweep(db, host, json_object_get(disks, "disks"), "disk.absent") && swept;
    return (!rebooted || !healed || host_update(db, host, facts, err)) && swept && healed;
}

static void forget_deleted(Db *db)
{
    g_autoptr(GError) err = NULL;
    gint64 before = clock_wall_us() - conf_int("compute.deleted_days") * 86400 * G_USEC_PER_SEC, n = 0;
    if (!db_query_int(db, &err, &n, "server_deleted_count", "i", before) || !n)
        return;
    g_auto(Txn) txn = txn_begin(db, &err);
    if (!txn.db || !db_exec(db, &err, "server_deleted_prune", "i", before) || !txn_commit(&txn, &err))
        log_warn("server.prune_failed", "why", err->message, NULL);
}

bool compute_sync(Db *db, const char *host)
{
    g_autoptr(GError) err = NULL;
    bool whole = sync_host(db, host, &err);
    if (err)
        log_warn("host.sync_failed", "host", host, "why", err->message, NULL);
    forget_deleted(db);
    return whole;
}

/* --- ctl doctor --- */
static bool doctor_rows(Db *db, const char *host, const json_t *domains, GPtrArray *findings, GError **err)
{
    g_autoptr(json_t) rows = db_query(db, err, "server_settled_on", "s", host);
    size_t i;
    json_t *r;
    json_array_foreach(rows, i, r) {
        const char *id = json_get_str(r, "id"), *seen = json_get_str(domains, id), *vm_state = json_get_str(r, "vm_state");
        if (strcmp(vm_state, "active") == 0 && (!seen || strcmp(seen, "running") != 0))
            finding_add(findings, host, NULL, NULL, "server %s is ACTIVE and its domain is %s", id, seen ? seen : "absent");
        else if (strcmp(vm_state, "stopped") == 0 && seen && strcmp(seen, "running") == 0)
            finding_add(findings, host, NULL, NULL, "server %s is SHUTOFF and its domain runs", id);
    }
    return rows != NULL;
}

static bool doctor_strays(Db *db, const char *host, const json_t *ids, const char *verb, const char *what, GPtrArray *findings, GError **err)
{
    g_autofree char *text = json_text(ids);
    g_autoptr(json_t) stray = db_query(db, err, "server_strays", "ss", text, host);
    size_t i;
    json_t *r;
    json_array_foreach(stray, i, r)
        finding_add(findings, host, verb, json_make("s", "id", json_get_str(r, "id")), "%s %s has no server", what, json_get_str(r, "id"));
    return stray != NULL;
}

static void doctor_taps(const char *host, const json_t *answer, GPtrArray *findings)
{
    size_t i;
    json_t *d;
    json_array_foreach(json_object_get(answer, "domains"), i, d)
        if (json_get_str(d, "unplugged"))
            finding_add(findings, host, NULL, NULL, "server %s runs without its end of a tap: %s", json_get_str(d, "id"),
                        json_get_str(d, "unplugged"));
}

bool compute_doctor(Db *db, const char *host, GPtrArray *findings, GError **err)
{
    g_autoptr(json_t) answer = NULL;
    g_autoptr(json_t) domains = domains_of(host, &answer, err), disks = domains ? agent_call(host, "disk.list", NULL, CALL_S, err) : NULL;
    g_autoptr(json_t) ids = keys_of(domains);
    doctor_taps(host, answer, findings);
    return disks && doctor_rows(db, host, domains, findings, err) && doctor_strays(db, host, ids, "domain.absent", "domain", findings, err)
        && doctor_strays(db, host, json_object_get(disks, "disks"), "disk.absent", "disk", findings, err);
}
