/* network/nic.c -- what compute asks of the network: NICs of a server, made, bound to a host, plugged, and let go. */
#include "core/id.h"
#include "core/log.h"
#include "identity/identity.h"
#include "network/push.h"
#include "network/qos.h"
#include "network/router.h"
#include <string.h>

/* A host name made of whatever a server is called: letters, digits and dashes. */
static char *dns_label(const char *name)
{
    GString *label = g_string_new(NULL);
    for (; name && *name && label->len < 63; name++)
        if (g_ascii_isalnum(*name))
            g_string_append_c(label, g_ascii_tolower(*name));
        else if (label->len && label->str[label->len - 1] != '-')
            g_string_append_c(label, '-');
    while (label->len && label->str[label->len - 1] == '-')
        g_string_truncate(label, label->len - 1);
    return g_string_free(label, FALSE);
}

/* Names or ids → ids.  Two groups of one name need the id. */
static json_t *groups_resolve(Db *db, const Ctx *ctx, const char *const *groups, GError **err)
{
    g_autoptr(json_t) ids = json_array();
    for (; *groups; groups++) {
        g_autoptr(json_t) found = db_query(db, err, "group_by_name", "ss", ctx->project_id, *groups);
        size_t n = json_array_size(found);
        if (!found)
            return NULL;
        if (n == 0 && strcmp(*groups, "default") == 0) {
            g_autofree char *id = NULL;
            if (!group_default(db, ctx->project_id, &id, err))
                return NULL;
            json_array_append_new(ids, json_string(id));
            continue;
        }
        if (n != 1) {
            nv_fail(err, n ? NV_ERR_CONFLICT : NV_ERR_NOT_FOUND, n ? "Multiple security groups found matching '%s'. Use an ID to be more specific."
                                                                   : "Security group %s not found for project.", *groups);
            return NULL;
        }
        const char *id = json_get_str(json_array_get(found, 0), "id");
        if (!json_has(ids, id))
            json_array_append_new(ids, json_string(id));
    }
    return g_steal_pointer(&ids);
}

static bool nic_claim(Db *db, const Ctx *ctx, const NicRequest *nic, Port **ret, GError **err)
{
    g_autoptr(Port) p = AS(Port, row_get_for(db, &port_resource, ctx, nic->port_id, true, err));
    g_autofree char *trunk = NULL;
    if (!p || !db_query_str(db, err, &trunk, "trunk_of_subport", "s", p->id))
        return false;
    /* As in Nova, for administrators too: the port's addresses, rules and floating IPs are its project's. */
    if (g_strcmp0(p->project_id, ctx->project_id) != 0)
        return nv_fail(err, NV_ERR_INVALID, "Port %s not usable for instance: it is another project's.", p->id);
    if (p->server_id || *p->device_id || trunk)
        return nv_fail(err, NV_ERR_CONFLICT, "Port %s is still in use.", p->id);
    if (nic->fixed_ip)
        return nv_fail(err, NV_ERR_INVALID, "Fixed IP %s cannot be requested together with port %s.", nic->fixed_ip, p->id);
    *ret = g_steal_pointer(&p);
    return true;
}

static bool nic_new(Db *db, const Ctx *ctx, const NicRequest *nic, const char *const *groups, Port **ret, GError **err)
{
    g_autoptr(Network) n = network_find(db, ctx, nic->network_id, err);
    g_autoptr(json_t) fixed = nic->fixed_ip ? json_array() : NULL;
    gint64 subnets = 0;
    if (!n || !network_usable(db, ctx, n, err) || !quota_check(db, ctx->project_id, "port", 1, err)
        || !db_query_int(db, err, &subnets, "network_subnet_count", "s", n->id))
        return false;
    if (!subnets)
        return nv_fail(err, NV_ERR_INVALID, "Network %s requires a subnet in order to boot instances on.", n->id);
    g_autoptr(Port) p = AS(Port, row_new(&port_resource));
    if (!row_defaults(&p->row, json_make("s", "network_id", n->id), err))
        return false;
    ROW_SET_STR(p, project_id, ctx->project_id);
    ROW_SET_BOOL(p, port_security_enabled, n->port_security_enabled);
    ROW_SET_BOOL(p, owned, true);
    if (nic->fixed_ip) {
        json_array_append_new(fixed, json_make("s", "ip_address", nic->fixed_ip));
        ROW_SET_JSON(p, fixed_ips, json_incref(fixed));
        if (!port_policy(ctx, n, p, NULL, err))
            return false;
    }
    if (n->port_security_enabled) {
        json_t *ids = groups && *groups ? groups_resolve(db, ctx, groups, err) : NULL;
        if (ids)
            ROW_SET_JSON(p, security_groups, ids);
        else if ((groups && *groups) || !port_default_groups(db, p, err))
            return false;
    }
    if (!port_insert(db, p, fixed, err))
        return false;
    *ret = g_steal_pointer(&p);
    return true;
}

bool network_nic_create(Db *db, const Ctx *ctx, const char *server_id, const char *server_name, gint64 index, const NicRequest *nic,
                        const char *const *groups, char **ret_port_id, GError **err)
{
    g_autoptr(Port) p = NULL;
    if (!(nic->port_id ? nic_claim(db, ctx, nic, &p, err) : nic_new(db, ctx, nic, groups, &p, err)))
        return false;
    g_autofree char *label = dns_label(server_name);
    ROW_SET_STR(p, server_id, server_id);
    ROW_SET_STR(p, device_id, server_id);
    ROW_SET_STR(p, device_owner, "compute:nova");
    ROW_SET_INT(p, nic_index, index);
    if (nic->tag)
        ROW_SET_STR(p, nic_tag, nic->tag);
    if (!*p->dns_name)
        ROW_SET_STR(p, dns_name, label);
    ROW_SET_INT(p, revision_number, p->revision_number + 1);
    if (!row_update(db, &p->row, err))
        return false;
    *ret_port_id = g_strdup(p->id);
    return true;
}

bool network_default_for(Db *db, const Ctx *ctx, char **ret_id, GError **err)
{
    for (int shared = 0; shared < 2; shared++) {
        g_autoptr(json_t) found = db_query(db, err, shared ? "networks_shared_with" : "networks_of_project", "s", ctx->project_id);
        if (!found)
            return false;
        if (json_array_size(found) > 1)
            return nv_fail(err, NV_ERR_CONFLICT, "Multiple possible networks found, use a Network ID to be more specific.");
        if (json_array_size(found) == 1) {
            *ret_id = g_strdup(json_get_str(json_array_get(found, 0), "id"));
            return true;
        }
    }
    *ret_id = NULL;
    return true;
}

bool network_ports_bind(Db *db, const char *server_id, const char *host, GError **err)
{
    g_autoptr(json_t) ports = db_query(db, err, "server_ports", "s", server_id);
    size_t i;
    json_t *port;
    if (!ports || !db_exec(db, err, "ports_bind", "ss", server_id, host) || !qos_kept(db, server_id, err))
        return false;
    json_array_foreach(ports, i, port)
        if (!sync_groups_of_port(db, NULL, json_get_str(port, "id"), err) || !sync_network_elsewhere(db, json_get_str(port, "network_id"), host, err))
            return false;
    return true;
}

bool network_ports_release(Db *db, const char *server_id, GError **err)
{
    g_autoptr(json_t) ports = db_query(db, err, "server_ports", "s", server_id);
    size_t i;
    json_t *port;
    json_array_foreach(ports, i, port)
        if ((json_get_int(port, "owned", 0) && !floating_port_left(db, NULL, json_get_str(port, "id"), true, err))
            || !sync_groups_of_port(db, NULL, json_get_str(port, "id"), err) || !sync_network(db, NULL, json_get_str(port, "network_id"), err))
            return false;
    return ports && db_exec(db, err, "subports_release", "s", server_id)
        && db_exec(db, err, "ports_release_owned", "s", server_id) && db_exec(db, err, "ports_release", "s", server_id);
}

/* The other hosts learn of the server's ports before these are ACTIVE, if they can: what fails here is the queued operation's to repeat. */
static bool tell_others(Db *db, const char *host, const json_t *networks, GError **err)
{
    size_t i, k;
    json_t *network, *other;
    json_array_foreach((json_t *) networks, i, network) {
        const char *id = json_get_str(network, "id");
        g_autoptr(json_t) others = db_query(db, err, "network_other_hosts", "ss", id, host);
        if (!others)
            return false;
        json_array_foreach(others, k, other) {
            const char *name = json_get_str(other, "host");
            g_autoptr(GError) why = NULL;
            if (agent_is_up(name) && !push_network_news(db, name, id, &why))
                log_warn("network.peer_not_told", "host", name, "network", id, "error", why->message, NULL);
        }
    }
    return true;
}

bool network_ports_plug(Db *db, const char *host, const char *server_id, GError **err)
{
    g_autoptr(json_t) networks = db_query(db, err, "server_networks", "s", server_id);
    g_autoptr(json_t) groups = networks ? db_query(db, err, "server_groups", "s", server_id) : NULL;
    g_autoptr(json_t) ports = groups ? db_query(db, err, "server_ports", "s", server_id) : NULL;
    return ports && push_each(db, host, networks, push_network, err) && push_each(db, host, groups, push_group, err)
        && tell_others(db, host, networks, err) && push_each(db, host, ports, push_port, err);
}

static bool mark_unplugged(Db *db, const char *host, const char *server_id, GError **err)
{
    g_auto(Txn) txn = txn_begin(db, err);
    bool done = txn.db && db_exec(db, err, "ports_unplug", "s", server_id);
    g_autoptr(json_t) networks = done ? db_query(db, err, "server_networks", "s", server_id) : NULL;
    size_t i;
    json_t *network;
    json_array_foreach(networks, i, network)
        if (!sync_network_elsewhere(db, json_get_str(network, "id"), host, err))
            return false;
    return networks && txn_commit(&txn, err);
}

bool network_ports_unplug(Db *db, const char *host, const char *server_id, GError **err)
{
    g_autoptr(json_t) ports = mark_unplugged(db, host, server_id, err) ? db_query(db, err, "server_ports", "s", server_id) : NULL;
    size_t i;
    json_t *port;
    json_array_foreach(ports, i, port)
        if (!push_absent(host, "port.absent", json_get_str(port, "id"), err))
            return false;
    return ports != NULL;
}
