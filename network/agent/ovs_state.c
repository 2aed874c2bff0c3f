/* network/agent/ovs_state.c -- what the agent knows of the switch's networks, ports, links and groups, kept in memory and in notes. */
#include "network/agent/ovs_state.h"
#include "core/error.h"
#include "network/agent/driver.h"
#include "network/agent/ovs_db.h"
#include "network/agent/ovs_note.h"
#include <string.h>

enum { FIRST_OFPORT = 256, OFPORTS = 65000, ZONES_OF_GATEWAYS = 61440, GATEWAYS = 4096 };

OvsState ovs_state;

static void port_free(gpointer data)
{
    OvsPort *p = data;
    spec_port_free(p->spec);
    g_clear_pointer(&p->tags, g_array_unref);
    g_free(p);
}

static void net_free(gpointer data)
{
    OvsKept *net = data;
    g_ptr_array_unref(net->flow.ports);
    g_ptr_array_unref(net->flow.links);
    g_clear_pointer(&net->applied, g_hash_table_unref);
    spec_network_free(net->spec);
    g_free(net);
}

OvsPort *ovs_state_port(const OvsKept *net, const char *n)
{
    for (guint i = 0; i < net->flow.ports->len; i++) {
        OvsPort *p = net->flow.ports->pdata[i];
        if (strcmp(p->spec->n.s, n) == 0)
            return p;
    }
    return NULL;
}

OvsLink *ovs_state_link(const OvsKept *net, const char *name)
{
    for (guint i = 0; i < net->flow.links->len; i++) {
        OvsLink *l = net->flow.links->pdata[i];
        if (strcmp(l->name.s, name) == 0)
            return l;
    }
    return NULL;
}

OvsKept *ovs_state_net_of_port(const char *n)
{
    GHashTableIter it;
    gpointer net;
    g_hash_table_iter_init(&it, ovs_state.nets);
    while (g_hash_table_iter_next(&it, NULL, &net))
        if (ovs_state_port(net, n))
            return net;
    return NULL;
}

OvsKept *ovs_state_net_of_bridge(const char *bridge)
{
    return g_hash_table_lookup(ovs_state.nets, bridge + 3);
}

static bool is_taken(const OvsKept *net, int ofport)
{
    for (guint i = 0; i < net->flow.ports->len; i++)
        if (((const OvsPort *) net->flow.ports->pdata[i])->ofport == ofport)
            return true;
    for (guint i = 0; i < net->flow.links->len; i++)
        if (((const OvsLink *) net->flow.links->pdata[i])->ofport == ofport)
            return true;
    return false;
}

int ovs_state_number(const OvsKept *net, const char *link)
{
    int known = GPOINTER_TO_INT(g_hash_table_lookup(ovs_state.numbers, link));
    if (known && !is_taken(net, known))
        return known;
    for (guint hash = g_str_hash(link);; hash++) {
        int ofport = FIRST_OFPORT + (int) (hash % OFPORTS);
        if (!is_taken(net, ofport))
            return ofport;
    }
}

OvsKept *ovs_state_net_new(const char *n)
{
    OvsKept *net = g_new0(OvsKept, 1);
    net->flow = (OvsNet){ .groups = ovs_state.groups, .ports = g_ptr_array_new_with_free_func(port_free),
                          .links = g_ptr_array_new_with_free_func(g_free) };
    g_strlcpy(net->flow.n.s, n, sizeof net->flow.n.s);
    g_snprintf(net->flow.bridge.s, sizeof net->flow.bridge.s, "nvb%s", n);
    g_hash_table_replace(ovs_state.nets, g_strdup(n), net);
    return net;
}

/* The host's own connections are in zone 0: a network whose gateway it is needs another one here. */
static int zone_of(const NetworkSpec *n)
{
    return n->zone ? n->zone : ZONES_OF_GATEWAYS + (int) (g_str_hash(n->n.s) % GATEWAYS);
}

void ovs_state_net_put(OvsKept *net, NetworkSpec *spec_stolen)
{
    spec_network_free(net->spec);
    net->spec = spec_stolen;
    net->flow.zone = zone_of(spec_stolen);
    net->flow.gateway = spec_stolen->host_addresses->len > 0;
    net->flow.served = spec_stolen->has_dhcp;
    net->flow.segment = &spec_stolen->segment;
}

void ovs_state_port_put(OvsKept *net, PortSpec *spec_stolen)
{
    OvsPort *p = ovs_state_port(net, spec_stolen->n.s);
    if (!p) {
        p = g_new0(OvsPort, 1);
        p->ofport = ovs_state_number(net, spec_stolen->tap.s);
        g_ptr_array_add(net->flow.ports, p);
    }
    g_clear_pointer(&p->spec, spec_port_free);
    p->spec = spec_stolen;
    if (!driver()->limits_sent())
        p->spec->qos.egress.kbps = 0;
}

static GArray *tags_at(const char *tap)
{
    GArray *tags = g_array_new(FALSE, FALSE, sizeof(int));
    GHashTableIter it;
    gpointer net;
    g_hash_table_iter_init(&it, ovs_state.nets);
    while (g_hash_table_iter_next(&it, NULL, &net))
        for (guint i = 0; i < ((const OvsKept *) net)->flow.ports->len; i++) {
            const PortSpec *p = ((const OvsPort *) ((const OvsKept *) net)->flow.ports->pdata[i])->spec;
            if (strcmp(p->parent.s, tap) == 0)
                g_array_append_val(tags, p->vlan);
        }
    return tags;
}

void ovs_state_find_tags(OvsKept *net)
{
    for (guint i = 0; i < net->flow.ports->len; i++) {
        OvsPort *p = net->flow.ports->pdata[i];
        g_clear_pointer(&p->tags, g_array_unref);
        if (!p->spec->port_security)
            p->tags = tags_at(p->spec->tap.s);
    }
}

/* --- from an earlier agent --- */

static void restore_net(const json_t *note)
{
    NetworkSpec *spec = spec_network_parse(note, NULL);
    if (spec)
        ovs_state_net_put(ovs_state_net_new(spec->n.s), spec);
}

static void restore_group(const json_t *note)
{
    GroupSpec *g = spec_group_parse(note, NULL);
    if (g)
        g_hash_table_replace(ovs_state.groups, g_strdup(g->n.s), g);
}

static void restore_port(const json_t *note)
{
    g_autoptr(PortSpec) p = spec_port_parse(note, NULL);
    OvsKept *net = p ? g_hash_table_lookup(ovs_state.nets, p->network.s) : NULL;
    if (net)
        ovs_state_port_put(net, g_steal_pointer(&p));
}

static void restore_link(const OvsRow *row)
{
    OvsKept *net = ovs_state_net_of_bridge(row->bridge);
    if (!net || g_str_has_prefix(row->name, "nvt") || g_str_has_prefix(row->name, "nvb"))
        return;
    OvsLink *l = g_new0(OvsLink, 1);
    l->ofport = row->wanted;
    g_strlcpy(l->name.s, row->name, sizeof l->name.s);
    g_strlcpy(l->mac, row->mac, sizeof l->mac);
    g_ptr_array_add(net->flow.links, l);
}

static void find_bridge(OvsKept *net, GHashTable *bridges)
{
    LinkInfo info;
    net->there = g_hash_table_contains(bridges, net->flow.bridge.s);
    if (link_get(net->flow.bridge.s, &info, NULL))
        g_snprintf(net->flow.mac, sizeof net->flow.mac, "%02x:%02x:%02x:%02x:%02x:%02x", info.mac[0], info.mac[1], info.mac[2], info.mac[3],
                   info.mac[4], info.mac[5]);
}

bool ovs_state_start(GError **err)
{
    g_autoptr(GHashTable) bridges = NULL, rows = NULL;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ovs_state.lock);
    (void) locker;
    GHashTableIter it;
    gpointer value;
    ovs_state.nets = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, net_free);
    ovs_state.groups = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) spec_group_free);
    ovs_state.numbers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    if (!ovs_view(&bridges, &rows, err))
        return false;
    g_hash_table_iter_init(&it, rows);
    while (g_hash_table_iter_next(&it, NULL, &value))
        g_hash_table_insert(ovs_state.numbers, g_strdup(((const OvsRow *) value)->name), GINT_TO_POINTER(((const OvsRow *) value)->wanted));
    ovs_note_each("net", restore_net);
    ovs_note_each("group", restore_group);
    g_hash_table_iter_init(&it, rows);
    while (g_hash_table_iter_next(&it, NULL, &value))
        if (((const OvsRow *) value)->is_ours && ((const OvsRow *) value)->wanted)
            restore_link(value);
    ovs_note_each("port", restore_port);
    g_hash_table_iter_init(&it, ovs_state.nets);
    while (g_hash_table_iter_next(&it, NULL, &value))
        find_bridge(value, bridges);
    return true;
}
