/* network/agent/ovs_segment.c -- what carries a network beyond this host, joined to its bridge of Open vSwitch. */
#include "network/agent/ovs_segment.h"
#include "core/error.h"
#include "network/agent/driver.h"
#include "network/agent/ovs_db.h"
#include "network/agent/ovs_rules.h"
#include "network/agent/segment.h"
#include "network/agent/sysctl.h"
#include <string.h>

static bool release(const char *link, GError **err)
{
    return ovs_port_remove(link, err) && ovs_rules_link_absent(link, err);
}

static bool device_absent(const char *link, GError **err)
{
    LinkInfo info;
    return !link_get(link, &info, NULL) || (release(link, err) && link_absent(link, err));
}

/* What an earlier segment left on the bridge; an interface of the host is only let go. */
static bool others_absent(const NetworkSpec *n, GError **err)
{
    g_autoptr(GHashTable) bridges = NULL, ports = NULL;
    GHashTableIter it;
    gpointer value;
    if ((n->segment.type != SEGMENT_VXLAN && !device_absent(id_vxlan(n->id).s, err)) ||
        (n->segment.type != SEGMENT_VLAN && !device_absent(id_vlan(n->id).s, err)) || !ovs_view(&bridges, &ports, err))
        return false;
    g_hash_table_iter_init(&it, ports);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        const OvsRow *row = value;
        if (row->is_ours && strcmp(row->bridge, n->bridge.s) == 0 && !g_str_has_prefix(row->name, "nv") &&
            strcmp(row->name, n->segment.link.s) != 0 && !release(row->name, err))
            return false;
    }
    return true;
}

static bool is_joined(const char *link, const char *bridge)
{
    g_autoptr(GHashTable) bridges = NULL, ports = NULL;
    const OvsRow *row = ovs_view(&bridges, &ports, NULL) ? g_hash_table_lookup(ports, link) : NULL;
    LinkInfo info;
    return row && strcmp(row->bridge, bridge) == 0 && link_get(link, &info, NULL) && ovs_row_joined(row, info.index);
}

/* An interface that the host is reached by would be cut off. */
static bool interface_free(const NetworkSpec *n, GError **err)
{
    const char *name = n->segment.interface;
    LinkInfo info;
    bool none = false;
    if (!link_get(name, &info, NULL))
        return nv_fail(err, NV_ERR_HOST_FAULT, "this host has no interface %s, which network.physical names", name);
    if (n->segment.type == SEGMENT_VLAN || is_joined(name, n->bridge.s))
        return true;
    if (info.master)
        return nv_fail(err, NV_ERR_HOST_FAULT, "the interface %s is under another bridge", name);
    return link_without_addresses(name, &none, err) &&
           (none || nv_fail(err, NV_ERR_HOST_FAULT, "the interface %s has addresses of the host: a flat network needs one without", name));
}

static bool join(const NetworkSpec *n, GError **err)
{
    const char *link = n->segment.link.s;
    sysctl_silence(link);
    return driver()->link_join(link, n->bridge.s, NULL, err) && link_up(link, true, err);
}

static bool vlan_device(const NetworkSpec *n, GError **err)
{
    const Segment *s = &n->segment;
    g_autoptr(GError) why = NULL;
    if (!link_up(s->interface, true, err))
        return false;
    return link_vlan_ensure(s->link.s, s->interface, s->vlan, n->mtu, &why) ||
           nv_fail(err, NV_ERR_HOST_FAULT, "no VLAN %d on %s (does this kernel have 8021q?): %s", s->vlan, s->interface, why->message);
}

bool ovs_segment_ensure(const NetworkSpec *n, GError **err)
{
    if (!others_absent(n, err))
        return false;
    switch (n->segment.type) {
    case SEGMENT_NONE:
        return true;
    case SEGMENT_VXLAN:
        return segment_vxlan_device(n, err) && join(n, err);
    case SEGMENT_VLAN:
        return interface_free(n, err) && vlan_device(n, err) && join(n, err);
    case SEGMENT_FLAT:
        return interface_free(n, err) && join(n, err);
    }
    return true;
}

bool ovs_segment_absent(const char *n, GError **err)
{
    g_autofree char *vxlan = g_strdup_printf("nvx%s", n), *vlan = g_strdup_printf("nvu%s", n);
    return device_absent(vxlan, err) && device_absent(vlan, err);
}

bool ovs_segment_complete(const NetworkSpec *n, GHashTable *links)
{
    const Segment *s = &n->segment;
    const LinkInfo *bridge = g_hash_table_lookup(links, n->bridge.s), *link = g_hash_table_lookup(links, s->link.s);
    LinkInfo flat;
    if (s->type != SEGMENT_NONE && !sysctl_silent(s->link.s))
        return false;
    if (s->type == SEGMENT_FLAT)
        return link_get(s->link.s, &flat, NULL) && flat.up && is_joined(s->link.s, n->bridge.s);
    return s->type == SEGMENT_NONE || (link && bridge && link->up && link->master == bridge->index);
}

bool ovs_segment_entries(const NetworkSpec *n, GError **err)
{
    return n->segment.type != SEGMENT_VXLAN || segment_vxlan_device(n, err);
}
