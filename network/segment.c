/* network/segment.c -- what carries a network beyond its host: provider attributes, VLAN and VXLAN ids, MTUs, and the peers on other hosts. */
#include "core/conf.h"
#include "core/log.h"
#include "core/physnet.h"
#include "network/push.h"
#include <string.h>

enum { VXLAN4_OVERHEAD = 50, IPV6_MTU = 1280, FACTS_S = 30 };

/* --- provider attributes --- */

static bool refuse(GError **err, const char *what)
{
    return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: %s.", what);
}

static bool is_type(const Network *n, const char *type)
{
    return strcmp(n->network_type, type) == 0;
}

static bool flat_check(const Network *n, GError **err)
{
    g_autoptr(GArray) known = physnets_conf();
    if (!n->physical_network)
        return refuse(err, "physical_network required for flat provider network");
    if (strcmp(n->physical_network, "public") != 0 && !physnet_find(known, n->physical_network))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: physical_network '%s' unknown for flat provider network.",
                       n->physical_network);
    return !n->segmentation_id || refuse(err, "provider:segmentation_id specified for flat network");
}

static bool vlan_check(const Network *n, GError **err)
{
    g_autoptr(GArray) known = physnets_conf();
    if (!known->len)
        return refuse(err, "network_type value 'vlan' not supported: no physical network is configured");
    if (n->segmentation_id && !n->physical_network)
        return refuse(err, "segmentation_id requires physical_network for VLAN provider network");
    if (n->physical_network && !physnet_find(known, n->physical_network))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: physical_network '%s' unknown for VLAN provider network.",
                       n->physical_network);
    if (n->segmentation_id > VLAN_LAST)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: segmentation_id out of range (%d through %d).", VLAN_FIRST, VLAN_LAST);
    return true;
}

static bool plain_check(const Network *n, GError **err)
{
    if (n->physical_network)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: provider:physical_network specified for %s network.", n->network_type);
    return !n->segmentation_id || is_type(n, "vxlan") || refuse(err, "provider:segmentation_id specified for local network");
}

static bool none_left(GError **err)
{
    return nv_fail(err, NV_ERR_CONFLICT, "Unable to create the network. No available network found in maximum allowed attempts.");
}

/* The first id of the ranges that no network has; of the first physical network that has one, when none is named. */
static bool vlan_allocate(Db *db, Network *n, GError **err)
{
    g_autoptr(GArray) ranges = physnets_conf();
    for (guint i = 0; i < ranges->len; i++) {
        const Physnet *r = &g_array_index(ranges, Physnet, i);
        if (!r->first || (n->physical_network && strcmp(n->physical_network, r->name) != 0))
            continue;
        g_autoptr(json_t) taken = db_query(db, err, "network_segments", "ss", "vlan", r->name);
        int id = r->first;
        size_t k;
        json_t *one;
        if (!taken)
            return false;
        json_array_foreach(taken, k, one)
            if (json_get_int(one, "segmentation_id", 0) == id)
                id++;
        if (id > r->last)
            continue;
        ROW_SET_STR(n, physical_network, r->name);
        ROW_SET_INT(n, segmentation_id, id);
        return true;
    }
    return none_left(err);
}

static bool allocate(Db *db, Network *n, GError **err)
{
    gint64 id = n->segmentation_id;
    if (id || is_type(n, "flat") || is_type(n, "local"))
        return true;
    if (is_type(n, "vlan"))
        return vlan_allocate(db, n, err);
    if (!db_query_int(db, err, &id, "network_next_segment", "i", n->vni))
        return false;
    ROW_SET_INT(n, segmentation_id, id);
    return true;
}

static bool conflict_check(Db *db, const Network *n, GError **err)
{
    gint64 taken = 0;
    g_autofree char *id = n->segmentation_id ? g_strdup_printf("%" G_GINT64_FORMAT, n->segmentation_id) : NULL;
    if (is_type(n, "local"))
        return true;
    if (!db_query_int(db, err, &taken, "network_segment_taken", "sss", n->network_type, n->physical_network, id))
        return false;
    if (!taken)
        return true;
    if (is_type(n, "flat"))
        return nv_fail(err, NV_ERR_CONFLICT, "Unable to create the flat network. Physical network %s is in use.", n->physical_network);
    if (is_type(n, "vlan"))
        return nv_fail(err, NV_ERR_CONFLICT, "Unable to create the network. The VLAN %s on physical network %s is in use.", id, n->physical_network);
    return nv_fail(err, NV_ERR_CONFLICT, "Unable to create the network. The tunnel ID %s is in use.", id);
}

bool segment_settle(Db *db, Network *n, GError **err)
{
    bool ok = is_type(n, "flat") ? flat_check(n, err) : is_type(n, "vlan") ? vlan_check(n, err) : plain_check(n, err);
    return ok && allocate(db, n, err) && conflict_check(db, n, err);
}

gint64 segment_mtu(const Network *n)
{
    return is_type(n, "flat") || is_type(n, "vlan") ? conf_int("network.underlay_mtu") : conf_int("network.mtu");
}

bool segment_mtu_least(Db *db, const Network *n, GError **err)
{
    gint64 subnets = 0;
    if (n->mtu >= IPV6_MTU)
        return true;
    return db_query_int(db, err, &subnets, "network_subnets6", "s", n->id) &&
           (!subnets || nv_fail(err, NV_ERR_CONFLICT, "MTU of %s is not valid, subnet requires a minimum of %d", n->id, IPV6_MTU));
}

/* Where frames leave the host, they must fit into what carries them. */
bool segment_mtu_check(Db *db, const Network *n, GError **err)
{
    gint64 most = conf_int("network.underlay_mtu"), tunnels = 0;
    if (!segment_mtu_least(db, n, err))
        return false;
    if (is_type(n, "local") || network_is_host_gateway(n))
        return true;
    if (is_type(n, "vxlan")) {
        if (!db_query_int(db, err, &tunnels, "network_tunnels", ""))
            return false;
        most -= VXLAN4_OVERHEAD;
        if (!tunnels)
            return true;
    }
    return n->mtu <= most ||
           nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: Requested MTU is too big, maximum is %" G_GINT64_FORMAT ".", most);
}

/* --- hosts --- */

static const char *text_or_null(const json_t *object, const char *key)
{
    const char *s = json_get_str(object, key);
    return s && *s ? s : NULL;
}

/* Its networks, and the other hosts' for which it is a peer. */
static bool host_changed(Db *db, const char *host, GError **err)
{
    g_autoptr(json_t) networks = db_query(db, err, "network_segments_on", "s", host);
    size_t i;
    json_t *one;
    json_array_foreach(networks, i, one)
        if (!sync_network(db, NULL, json_get_str(one, "id"), err))
            return false;
    return networks != NULL;
}

bool segment_host_update(Db *db, const char *host, GError **err)
{
    g_autoptr(json_t) facts = agent_call(host, "net.facts", NULL, FACTS_S, err);
    g_autoptr(json_t) rows = facts ? db_query(db, err, "network_host_get", "s", host) : NULL;
    const json_t *row = json_array_get(rows, 0);
    if (!rows)
        return false;
    const char *tunnel = text_or_null(facts, "tunnel_address");
    g_autofree char *physical = json_text(json_object_get(facts, "physical"));
    gint64 kpps = json_get_int(facts, "kpps", 0);
    if (row && g_strcmp0(tunnel, text_or_null(row, "tunnel_address")) == 0 && g_strcmp0(physical, json_get_str(row, "physical")) == 0
        && kpps == json_get_int(row, "kpps", 0))
        return true;
    g_auto(Txn) txn = txn_begin(db, err);
    if (!txn.db || !db_exec(db, err, "network_host_put", "sssi", host, tunnel, physical, kpps) || !host_changed(db, host, err)
        || !txn_commit(&txn, err))
        return false;
    log_info("network.host", "host", host, "tunnel", tunnel, "physical", physical, NULL);
    return true;
}

json_t *segment_host(Db *db, const char *host, GError **err)
{
    g_autoptr(json_t) rows = db_query(db, err, "network_host_get", "s", host);
    const json_t *row = json_array_get(rows, 0);
    const char *physical = json_get_str(row, "physical");
    if (!rows)
        return NULL;
    return json_make("so", "tunnel_address", json_get_str(row, "tunnel_address"), "physical", physical ? json_parse_trusted(physical) : json_array());
}

static json_t *names_of(const json_t *rows)
{
    json_t *list = json_array(), *one;
    size_t i;
    json_array_foreach((json_t *) rows, i, one)
        json_array_append(list, json_object_get(one, "name"));
    return list;
}

json_t *network_physical_of_hosts(Db *db, GError **err)
{
    g_autoptr(json_t) rows = db_query(db, err, "network_hosts_physical", ""), hosts = json_object();
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) {
        g_autoptr(json_t) physical = json_parse_trusted(json_get_str(row, "physical"));
        json_object_set_new(hosts, json_get_str(row, "host"), names_of(physical));
    }
    return rows ? json_incref(hosts) : NULL;
}

json_t *network_physical_of_server(Db *db, const char *server_id, GError **err)
{
    g_autoptr(json_t) rows = db_query(db, err, "server_physical", "s", server_id);
    return rows ? names_of(rows) : NULL;
}

/* --- what an agent is to make --- */

static json_t *peer(const json_t *row)
{
    const char *ips = json_get_str(row, "ips"), *text = json_get_str(row, "pairs"), *owner = json_get_str(row, "device_owner");
    const char *advertised = json_get_str(row, "ra");
    g_autoptr(json_t) pairs = text ? json_parse_trusted(text) : NULL, ra = advertised ? json_parse_trusted(advertised) : NULL;
    g_auto(GStrv) parts = g_strsplit(ips ? ips : "", ",", -1);
    json_t *list = json_array(), *pair;
    size_t i;
    for (char **p = parts; *p; p++)
        if (**p)
            json_array_append_new(list, json_string(*p));
    json_t *entry = json_make("sso", "remote", json_get_str(row, "remote"), "mac", json_get_str(row, "mac"), "ips", list);
    json_t *more = json_array();
    json_array_foreach(pairs, i, pair)
        json_array_append_new(more, json_make("ss", "ip", json_get_str(pair, "ip_address"), "mac", json_get_str(pair, "mac_address")));
    if (json_array_size(more))
        json_object_set(entry, "pairs", more);
    json_decref(more);
    /* A router sends what it got from anywhere. */
    if (!json_get_int(row, "port_security_enabled", 1) || g_str_has_prefix(owner, "network:router") || g_str_has_prefix(owner, "network:ha_router"))
        json_object_set_new(entry, "any", json_true());
    /* Its advertisements do not leave its host: others speak for it. */
    if (json_array_size(ra))
        json_object_set(entry, "ra", ra);
    return entry;
}

json_t *desired_segment(const Network *n, const char *local, const json_t *peers)
{
    json_t *list, *row;
    size_t i;
    if (network_is_host_gateway(n) || is_type(n, "local") || (is_type(n, "vxlan") && !local))
        return json_null();
    if (!is_type(n, "vxlan"))
        return json_make("ssi", "type", n->network_type, "physical", n->physical_network, "vlan", n->segmentation_id);
    list = json_array();
    json_array_foreach((json_t *) peers, i, row)
        json_array_append_new(list, peer(row));
    return json_make("siso", "type", "vxlan", "vni", n->segmentation_id, "local", local, "peers", list);
}

json_t *desired_segment_load(Db *db, const Network *n, const char *host, GError **err)
{
    g_autoptr(json_t) rows = db_query(db, err, "network_host_get", "s", host);
    const char *local = json_get_str(json_array_get(rows, 0), "tunnel_address");
    bool ask = rows && local && is_type(n, "vxlan");
    g_autoptr(json_t) peers = ask ? db_query(db, err, "network_peers", "ss", n->id, host) : rows ? json_array() : NULL;
    return peers ? desired_segment(n, local, peers) : NULL;
}
