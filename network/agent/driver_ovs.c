/* network/agent/driver_ovs.c -- the driver of Open vSwitch: a bridge for each network, flows for what may pass; nftables guards the host. */
#include "core/conf.h"
#include "core/error.h"
#include "core/log.h"
#include "network/agent/driver.h"
#include "network/agent/ovs_db.h"
#include "network/agent/ovs_rules.h"
#include "network/agent/ovs_segment.h"
#include "network/agent/ovs_state.h"
#include "network/agent/rules.h"
#include <string.h>

/* Bridges of the other driver would stand in the way: the names are the same. */
static bool remove_linux_bridges(GError **err)
{
    g_autoptr(GHashTable) bridges = NULL, ports = NULL;
    g_autoptr(GArray) links = link_list("nvb", err);
    if (!links || !ovs_view(&bridges, &ports, err))
        return false;
    for (guint i = 0; i < links->len; i++) {
        const char *name = g_array_index(links, LinkInfo, i).name;
        if (g_hash_table_contains(bridges, name))
            continue;
        log_warn("net.bridge_removed", "bridge", name, "reason", "it is not one of Open vSwitch", NULL);
        if (!link_absent(name, err))
            return false;
    }
    return true;
}

/* The datapath in ovs-vswitchd reads frames as they are, and before traffic control could divert them. */
static bool in_userspace(void)
{
    return strcmp(conf_str("network.ovs_datapath"), "netdev") == 0;
}

static bool start(GError **err)
{
    const char *datapath = conf_str("network.ovs_datapath");
    if (strcmp(datapath, "system") != 0 && strcmp(datapath, "netdev") != 0)
        return nv_fail(err, NV_ERR_HOST_FAULT, "network.ovs_datapath is system or netdev, not %s", datapath);
    if (!ovs_db_alive())
        return nv_fail(err, NV_ERR_HOST_FAULT, "network.driver is openvswitch, but ovs-vswitchd does not run (package openvswitch-switch)");
    return rules_start(err) && remove_linux_bridges(err) && ovs_state_start(err);
}

/* What the host routes to a network comes to its bridge's interface, and is judged by the flows behind it. */
static bool network_rules_ensure(const NetworkSpec *n, GError **err)
{
    NetworkSpec host = *n;
    host.switched = true;
    return rules_network_ensure(&host, err) && ovs_rules_network_ensure(n, err);
}

static bool network_rules_absent(const char *n, GError **err)
{
    return ovs_rules_network_absent(n, err) && rules_network_absent(n, err);
}

static bool bridge_ensure(const char *bridge, const char *mac, gint64 mtu, GError **err)
{
    LinkInfo info;
    bool fresh = !link_get(bridge, &info, NULL);
    return ovs_bridge_add(bridge, mac, mtu, err) && ovs_rules_bridge_there(bridge, mac, fresh, err);
}

static bool bridge_absent(const char *bridge, GError **err)
{
    if (!ovs_bridge_remove(bridge, err))
        return false;
    ovs_rules_bridge_gone(bridge);
    return true;
}

static bool link_join(const char *link, const char *bridge, const char *mac, GError **err)
{
    int ofport;
    return ovs_rules_link_ensure(link, bridge, mac, &ofport, err) && ovs_port_add(link, bridge, ofport, mac ? mac : "", err);
}

static bool port_join(const PortSpec *p, GError **err)
{
    int ofport;
    return ovs_rules_port_number(p, &ofport, err) && link_filter(p->tap.s, p->port_security, err) &&
           ovs_port_add(p->tap.s, p->bridge.s, ofport, p->mac, err);
}

static bool link_leave(const char *link, GError **err)
{
    return ovs_port_remove(link, err) && (g_str_has_prefix(link, "nvt") || ovs_rules_link_absent(link, err));
}

/* Flows tell where frames go. */
static bool link_joined(const LinkInfo *link, const char *mac)
{
    (void) link, (void) mac;
    return true;
}

static bool port_joined(const PortSpec *p, const LinkInfo *tap)
{
    (void) p, (void) tap;
    return true;
}

static bool masters(GHashTable *links, GError **err)
{
    g_autoptr(GHashTable) bridges = NULL, ports = NULL;
    GHashTableIter it;
    gpointer name, value;
    if (!ovs_view(&bridges, &ports, err))
        return false;
    g_hash_table_iter_init(&it, links);
    while (g_hash_table_iter_next(&it, &name, &value)) {
        LinkInfo *link = value;
        const OvsRow *row = g_hash_table_lookup(ports, name);
        const LinkInfo *bridge = row ? g_hash_table_lookup(links, row->bridge) : NULL;
        const char *fault = g_hash_table_lookup(bridges, name);
        bool joined = bridge && ovs_row_joined(row, link->index) && (link->filtered || !ovs_rules_port_secured(name));
        link->master = joined ? bridge->index : 0;
        if (g_str_has_prefix(name, "nvb") && (!fault || *fault))
            link->up = false;        /* not a bridge as it should be: to be made again */
    }
    return true;
}

const NetDriver driver_ovs = {
    .name = "openvswitch",
    .start = start,
    .clear = rules_clear,
    .network_rules_ensure = network_rules_ensure,
    .network_rules_absent = network_rules_absent,
    .port_rules_ensure = ovs_rules_port_ensure,
    .port_rules_absent = ovs_rules_port_absent,
    .group_ensure = ovs_rules_group_ensure,
    .group_absent = ovs_rules_group_absent,
    .group_counters = ovs_rules_group_counters,
    .list = ovs_rules_list,
    .rebuild = rules_rebuild,
    .bridge_ensure = bridge_ensure,
    .bridge_absent = bridge_absent,
    .link_join = link_join,
    .port_join = port_join,
    .link_joined = link_joined,
    .port_joined = port_joined,
    .segment_ensure = ovs_segment_ensure,
    .segment_absent = ovs_segment_absent,
    .segment_complete = ovs_segment_complete,
    .segment_entries = ovs_segment_entries,
    .link_leave = link_leave,
    .masters = masters,
    .wants_plain = in_userspace,
    .limits_sent = in_userspace,
    .look = ovs_rules_look,
};
