/* network/sync.c -- operations that carry a change of rows to the hosts where it matters. */
#include "network/push.h"
#include "network/qos.h"
#include "network/router.h"
#include "network/trunk.h"
#include <string.h>

/* Runs one(id) on each of the hosts that are up; one that comes back is compared as a whole. */
static Verdict on_hosts(Op *op, json_t *hosts, Push *one, GError **err)
{
    size_t i;
    json_t *host;
    g_autoptr(json_t) owned = hosts;
    if (!hosts)
        return op_verdict(false, err);
    json_array_foreach(hosts, i, host) {
        const char *name = json_get_str(host, "host");
        if (agent_is_up(name) && !one(op->db, name, op->resource_id, err))
            return op_verdict(false, err);
    }
    return STEP_DONE;
}

static Verdict network_step(Op *op, GError **err)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(Network) n = network_find(op->db, NULL, op->resource_id, &why);
    if (!n)
        return STEP_DONE;
    return on_hosts(op, network_is_host_gateway(n) ? agents_status() : db_query(op->db, err, "network_hosts", "s", op->resource_id),
                    push_network_news, err);
}

/* A rule may name a remote group that this host has not seen. */
static bool push_group_whole(Db *db, const char *host, const char *id, GError **err)
{
    g_autoptr(json_t) remotes = db_query(db, err, "group_remotes", "s", id);
    return remotes && push_each(db, host, remotes, push_group, err) && push_group(db, host, id, err);
}

static Verdict group_step(Op *op, GError **err)
{
    return on_hosts(op, db_query(op->db, err, "group_hosts", "s", op->resource_id), push_group_whole, err);
}

static Verdict port_step(Op *op, GError **err)
{
    g_autoptr(json_t) groups = db_query(op->db, err, "port_groups", "s", op->resource_id);
    json_t *hosts = groups ? db_query(op->db, err, "port_host", "s", op->resource_id) : NULL;
    g_autoptr(json_t) networks = hosts ? db_query(op->db, err, "subport_network", "s", op->resource_id) : NULL;
    const char *host = json_get_str(json_array_get(hosts, 0), "host");
    if (host && agent_is_up(host)
        && (!networks || !push_each(op->db, host, networks, push_network, err) || !push_each(op->db, host, groups, push_group_whole, err))) {
        json_decref(hosts);
        return op_verdict(false, err);
    }
    return on_hosts(op, hosts, push_port, err);
}

/* Ports by host: a host that is down is compared as a whole when it is back. */
static Verdict qos_step(Op *op, GError **err)
{
    g_autoptr(json_t) ports = db_query(op->db, err, "qos_ports", "s", op->resource_id);
    size_t i;
    json_t *port;
    if (!ports)
        return op_verdict(false, err);
    json_array_foreach(ports, i, port) {
        const char *host = json_get_str(port, "host");
        if (agent_is_up(host) && !push_port(op->db, host, json_get_str(port, "id"), err))
            return op_verdict(false, err);
    }
    return STEP_DONE;
}

static bool network_absent(Db *db, const char *host, const char *id, GError **err)
{
    (void) db;
    return push_absent(host, "network.absent", id, err);
}

static bool group_absent(Db *db, const char *host, const char *id, GError **err)
{
    (void) db;
    return push_absent(host, "group.absent", id, err);
}

static Verdict network_absent_step(Op *op, GError **err)
{
    return on_hosts(op, agents_status(), network_absent, err);
}

static Verdict group_absent_step(Op *op, GError **err)
{
    return on_hosts(op, agents_status(), group_absent, err);
}

/* By way of push_absent: a push for another reason that has read the row already arrives before it. */
static Verdict port_absent_step(Op *op, GError **err)
{
    return !op->host ? STEP_DONE : op_verdict(push_absent(op->host, "port.absent", op->resource_id, err), err);
}

static const Step network_sync_steps[] = { { "ensure", .run = network_step } };
static const Step network_remove_steps[] = { { "absent", .run = network_absent_step } };
static const Step group_sync_steps[] = { { "ensure", .run = group_step } };
static const Step group_remove_steps[] = { { "absent", .run = group_absent_step } };
static const Step port_sync_steps[] = { { "ensure", .run = port_step } };
static const Step qos_sync_steps[] = { { "ensure", .run = qos_step } };
static const Step port_remove_steps[] = { { "absent", .run = port_absent_step } };

/* A removal overtakes a change that does not get through. */
static const OpKind network_sync_kind = {
    .name = "network.sync", STEPS(network_sync_steps), .queues = true, .coalesces = true, .never_gives_up = true
};
static const OpKind network_remove_kind = { .name = "network.remove", STEPS(network_remove_steps), .preempts = true, .never_gives_up = true };
static const OpKind group_sync_kind = { .name = "group.sync", STEPS(group_sync_steps), .queues = true, .coalesces = true, .never_gives_up = true };
static const OpKind group_remove_kind = { .name = "group.remove", STEPS(group_remove_steps), .preempts = true, .never_gives_up = true };
static const OpKind port_sync_kind = { .name = "port.sync", STEPS(port_sync_steps), .queues = true, .coalesces = true, .never_gives_up = true };
static const OpKind port_remove_kind = { .name = "port.remove", STEPS(port_remove_steps), .preempts = true, .never_gives_up = true };
static const OpKind qos_sync_kind = { .name = "qos.sync", STEPS(qos_sync_steps), .queues = true, .coalesces = true, .never_gives_up = true };
const OpKind *const network_op_kinds[] = {
    &network_sync_kind, &network_remove_kind, &group_sync_kind, &group_remove_kind, &port_sync_kind, &port_remove_kind,
    &qos_sync_kind, &router_sync_kind, &router_remove_kind, &router_leave_kind, NULL,
};

bool sync_network(Db *db, const Ctx *ctx, const char *network_id, GError **err)
{
    gint64 live = 0;
    if (!db_query_int(db, err, &live, "network_is_live", "s", network_id))
        return false;
    return !live || op_start(db, ctx, &network_sync_kind, network_id, NULL, NULL, err);
}

bool sync_network_elsewhere(Db *db, const char *network_id, const char *host, GError **err)
{
    gint64 others = 0;
    if (!db_query_int(db, err, &others, "network_elsewhere", "ss", network_id, host))
        return false;
    return !others || op_start(db, NULL, &network_sync_kind, network_id, NULL, NULL, err);
}

bool sync_network_gone(Db *db, const Ctx *ctx, const char *network_id, GError **err)
{
    return op_start(db, ctx, &network_remove_kind, network_id, NULL, NULL, err);
}

bool sync_group(Db *db, const Ctx *ctx, const char *group_id, GError **err)
{
    gint64 live = 0;
    if (!db_query_int(db, err, &live, "group_is_live", "s", group_id))
        return false;
    return !live || op_start(db, ctx, &group_sync_kind, group_id, NULL, NULL, err);
}

static bool sync_groups(Db *db, const Ctx *ctx, const json_t *rows, GError **err)
{
    size_t i;
    json_t *row;
    json_array_foreach((json_t *) rows, i, row)
        if (!sync_group(db, ctx, json_get_str(row, "id"), err))
            return false;
    return true;
}

bool sync_group_gone(Db *db, const Ctx *ctx, const char *group_id, GError **err)
{
    g_autoptr(json_t) referring = db_query(db, err, "group_referring", "s", group_id);
    return referring && sync_groups(db, ctx, referring, err) && op_start(db, ctx, &group_remove_kind, group_id, NULL, NULL, err);
}

bool sync_groups_of_port(Db *db, const Ctx *ctx, const char *port_id, GError **err)
{
    g_autoptr(json_t) groups = db_query(db, err, "port_referred_groups", "s", port_id);
    return groups && sync_groups(db, ctx, groups, err);
}

bool sync_port(Db *db, const Ctx *ctx, const char *port_id, GError **err)
{
    g_autoptr(json_t) host = db_query(db, err, "port_host", "s", port_id);
    return host && (!json_array_size(host) || op_start(db, ctx, &port_sync_kind, port_id, NULL, NULL, err));
}

static bool sync_ports(Db *db, const Ctx *ctx, const char *statement, const char *id, bool groups, GError **err)
{
    g_autoptr(json_t) rows = db_query(db, err, statement, "s", id);
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) {
        const char *port = json_get_str(row, "id");
        if ((groups && !sync_groups_of_port(db, ctx, port, err)) || !sync_port(db, ctx, port, err))
            return false;
    }
    return rows != NULL;
}

bool sync_ports_of_network(Db *db, const Ctx *ctx, const char *network_id, GError **err)
{
    return sync_ports(db, ctx, "network_plugged_ports", network_id, false, err);
}

bool sync_ports_of_subnet(Db *db, const Ctx *ctx, const char *subnet_id, GError **err)
{
    return sync_ports(db, ctx, "subnet_plugged_ports", subnet_id, true, err);
}

bool sync_port_gone(Db *db, const Ctx *ctx, const char *port_id, const char *host, GError **err)
{
    return op_start(db, ctx, &port_remove_kind, port_id, host, NULL, err);
}

bool sync_qos(Db *db, const Ctx *ctx, const char *policy_or_network_id, GError **err)
{
    gint64 live = 0;
    return db_query_int(db, err, &live, "qos_is_live", "s", policy_or_network_id)
        && (!live || op_start(db, ctx, &qos_sync_kind, policy_or_network_id, NULL, NULL, err));
}
