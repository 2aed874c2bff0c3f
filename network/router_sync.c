/* network/router_sync.c -- operations on routers: one place for each, what the rows say carried there, and taken away again. */
#include "core/log.h"
#include "network/push.h"
#include "network/router.h"
#include <string.h>

/* up: only those that answer. */
static char *hosts_text(bool up)
{
    g_autoptr(json_t) status = agents_status(), names = json_array();
    size_t i;
    json_t *host;
    json_array_foreach(status, i, host) if (!up || json_is_true(json_object_get(host, "up")))
        json_array_append(names, json_object_get(host, "host"));
    return json_text(names);
}

bool sync_networks_of_router(Db *db, const Ctx *ctx, const char *router_id, GError **err)
{
    g_autoptr(json_t) networks = db_query(db, err, "router_networks", "s", router_id);
    size_t i;
    json_t *one;
    json_array_foreach(networks, i, one)
        if (!sync_network(db, ctx, json_get_str(one, "id"), err))
            return false;
    return networks != NULL;
}

/* On a host of the configuration, and no other is on more of its physical networks: its gateway may have come after its place. */
static bool is_placed(Db *db, const char *router_id, const char *host, const char *hosts, bool *ret_placed, GError **err)
{
    gint64 wrong = 0;
    if (!db_query_int(db, err, &wrong, "router_misplaced", "ss", router_id, hosts))
        return false;
    *ret_placed = agent_is_configured(host) && !wrong;
    return true;
}

bool router_move(Db *db, const Ctx *ctx, const char *router_id, const char *from, const char *to, GError **err)
{
    return (!*from || sync_router_leaves(db, ctx, router_id, from, err)) && db_exec(db, err, "router_set_host", "ss", router_id, to)
           && db_exec(db, err, "router_ports_bind", "s", router_id) && sync_networks_of_router(db, ctx, router_id, err);
}

static bool place_anew(Db *db, const char *router_id, const char *hosts, char **ret_host, GError **err)
{
    g_autofree char *host = NULL, *chosen = NULL;
    bool placed = false;
    g_auto(Txn) txn = txn_begin(db, err);
    if (!txn.db || !db_query_str(db, err, &host, "router_host", "s", router_id)
        || (host && !is_placed(db, router_id, host, hosts, &placed, err)))
        return false;
    if (!host || placed) {
        *ret_host = g_steal_pointer(&host);
        return true;
    }
    if (!db_query_str(db, err, &chosen, "router_place", "ss", router_id, hosts))
        return false;
    if (chosen && (!router_move(db, NULL, router_id, host, chosen, err) || !txn_commit(&txn, err)))
        return false;
    *ret_host = g_steal_pointer(&chosen);
    return true;
}

/* *ret_host: where the router is from now on; NULL while no host is up, it has no port, or there is no such router any more.  Most have a place. */
static bool place(Db *db, const char *router_id, char **ret_host, GError **err)
{
    g_autofree char *host = NULL, *hosts = hosts_text(true);
    bool placed = false;
    if (!db_query_str(db, err, &host, "router_host", "s", router_id) || (host && !is_placed(db, router_id, host, hosts, &placed, err)))
        return false;
    if (host && !placed)
        return place_anew(db, router_id, hosts, ret_host, err);
    *ret_host = g_steal_pointer(&host);
    return true;
}

/* A host that is down gets all of its routers when it comes back; no host at all: routers_settle. */
static Verdict ensure_step(Op *op, GError **err)
{
    g_autofree char *host = NULL;
    if (!place(op->db, op->resource_id, &host, err))
        return op_verdict(false, err);
    if (!host || !agent_is_up(host))
        return STEP_DONE;
    return op_verdict(push_router(op->db, host, op->resource_id, err), err);
}

/* From all hosts: one that was away may still have it. */
static Verdict absent_step(Op *op, GError **err)
{
    g_autoptr(json_t) hosts = agents_status();
    size_t i;
    json_t *host;
    json_array_foreach(hosts, i, host) {
        const char *name = json_get_str(host, "host");
        if (agent_is_up(name) && !push_absent(name, "router.absent", op->resource_id, err))
            return op_verdict(false, err);
    }
    return STEP_DONE;
}

/* It may have come back to that host meanwhile. */
static Verdict leave_step(Op *op, GError **err)
{
    const char *host = json_get_str(op->args, "host");
    if (!host || !agent_is_up(host))
        return STEP_DONE;
    return op_verdict(push_absent_unused(op->db, host, "router.absent", op->resource_id, "router_on_host", err), err);
}

static const Step sync_steps[] = { { "ensure", .run = ensure_step } };
static const Step remove_steps[] = { { "absent", .run = absent_step } };
static const Step leave_steps[] = { { "absent", .run = leave_step } };

const OpKind router_sync_kind = { .name = "router.sync", STEPS(sync_steps), .queues = true, .coalesces = true, .never_gives_up = true };
const OpKind router_remove_kind = { .name = "router.remove", STEPS(remove_steps), .preempts = true, .never_gives_up = true };
const OpKind router_leave_kind = { .name = "router.leave", STEPS(leave_steps), .queues = true, .never_gives_up = true };

bool sync_router(Db *db, const Ctx *ctx, const char *router_id, GError **err)
{
    gint64 live = 0;
    if (!db_query_int(db, err, &live, "router_is_live", "s", router_id))
        return false;
    return !live || op_start(db, ctx, &router_sync_kind, router_id, NULL, NULL, err);
}

bool sync_router_gone(Db *db, const Ctx *ctx, const char *router_id, GError **err)
{
    return op_start(db, ctx, &router_remove_kind, router_id, NULL, NULL, err);
}

bool sync_router_leaves(Db *db, const Ctx *ctx, const char *router_id, const char *host, GError **err)
{
    return op_start(db, ctx, &router_leave_kind, router_id, NULL, json_make("s", "host", host), err);
}

bool sync_routers_of_network(Db *db, const Ctx *ctx, const char *network_id, GError **err)
{
    g_autoptr(json_t) routers = db_query(db, err, "routers_of_network", "s", network_id);
    size_t i;
    json_t *one;
    json_array_foreach(routers, i, one) if (!sync_router(db, ctx, json_get_str(one, "id"), err)) return false;
    return routers != NULL;
}

static bool settle_one(Db *db, const char *router_id, const char *hosts, GError **err)
{
    g_auto(Txn) txn = txn_begin(db, err);
    return txn.db && db_exec(db, err, "router_unplace", "ss", router_id, hosts) && sync_router(db, NULL, router_id, err)
           && txn_commit(&txn, err);
}

void routers_settle(Db *db)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *hosts = hosts_text(false);
    g_autoptr(json_t) unplaced = db_query(db, &err, "routers_unplaced", "s", hosts);
    size_t i;
    json_t *one;
    json_array_foreach(unplaced, i, one) if (!settle_one(db, json_get_str(one, "id"), hosts, &err)) {
        log_warn("router.settle_failed", "id", json_get_str(one, "id"), "error", err->message, NULL);
        g_clear_error(&err);
    }
    if (!unplaced)
        log_warn("router.settle_failed", "error", err->message, NULL);
}
