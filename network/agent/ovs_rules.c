/* network/agent/ovs_rules.c -- the flows' desired state in memory, and differences from it to the bridges. */
#include "network/agent/ovs_rules.h"
#include "core/error.h"
#include "core/log.h"
#include "network/agent/link.h"
#include "network/agent/ovs_apply.h"
#include "network/agent/ovs_db.h"
#include "network/agent/ovs_flow.h"
#include "network/agent/ovs_note.h"
#include <stdlib.h>
#include <string.h>

enum { FIRST_OFPORT = 256, OFPORTS = 65000, ZONES_OF_GATEWAYS = 61440, GATEWAYS = 4096 };

typedef struct Net {
    OvsNet flow;
    NetworkSpec *spec;               /* of what is beyond this host */
    GHashTable *applied;             /* flows that are in force as far as is known; NULL: all of them have to be compared */
    bool there;                      /* the bridge is */
} Net;

/* All under lock. */
static GMutex lock;
static GHashTable *nets;             /* n → Net */
static GHashTable *groups;           /* n → GroupSpec */
static bool narrower;                /* flows were taken away since this was last made false */
static GHashTable *numbers;          /* link → the OpenFlow port that an earlier agent gave it */

/* --- memory --- */

static void port_free(gpointer data)
{
    OvsPort *p = data;
    spec_port_free(p->spec);
    g_free(p);
}

static void net_free(gpointer data)
{
    Net *net = data;
    g_ptr_array_unref(net->flow.ports);
    g_ptr_array_unref(net->flow.links);
    g_clear_pointer(&net->applied, g_hash_table_unref);
    spec_network_free(net->spec);
    g_free(net);
}

static OvsPort *port_in(const Net *net, const char *n)
{
    for (guint i = 0; i < net->flow.ports->len; i++) {
        OvsPort *p = net->flow.ports->pdata[i];
        if (strcmp(p->spec->n.s, n) == 0)
            return p;
    }
    return NULL;
}

static OvsLink *link_in(const Net *net, const char *name)
{
    for (guint i = 0; i < net->flow.links->len; i++) {
        OvsLink *l = net->flow.links->pdata[i];
        if (strcmp(l->name.s, name) == 0)
            return l;
    }
    return NULL;
}

static Net *net_of_port(const char *n)
{
    GHashTableIter it;
    gpointer net;
    g_hash_table_iter_init(&it, nets);
    while (g_hash_table_iter_next(&it, NULL, &net))
        if (port_in(net, n))
            return net;
    return NULL;
}

static Net *net_of_bridge(const char *bridge)
{
    return g_hash_table_lookup(nets, bridge + 3);
}

static bool is_taken(const Net *net, int ofport)
{
    for (guint i = 0; i < net->flow.ports->len; i++)
        if (((const OvsPort *) net->flow.ports->pdata[i])->ofport == ofport)
            return true;
    for (guint i = 0; i < net->flow.links->len; i++)
        if (((const OvsLink *) net->flow.links->pdata[i])->ofport == ofport)
            return true;
    return false;
}

/* The number that the link had, or one made of its name. */
static int number_for(const Net *net, const char *link)
{
    int known = GPOINTER_TO_INT(g_hash_table_lookup(numbers, link));
    if (known && !is_taken(net, known))
        return known;
    for (guint hash = g_str_hash(link);; hash++) {
        int ofport = FIRST_OFPORT + (int) (hash % OFPORTS);
        if (!is_taken(net, ofport))
            return ofport;
    }
}

/* --- to the bridge --- */

static GArray *meters_of(const Net *net)
{
    GArray *meters = g_array_new(FALSE, FALSE, sizeof(int));
    for (guint i = 0; i < net->flow.ports->len; i++) {
        const OvsPort *p = net->flow.ports->pdata[i];
        if (p->spec->port_security)
            g_array_append_val(meters, p->ofport);
    }
    return meters;
}

static bool settle_all(Net *net, GHashTable *flows, GError **err)
{
    g_autofree char *text = ovs_flows_text(flows);
    g_autoptr(GArray) meters = meters_of(net);
    return ovs_apply_all(net->flow.bridge.s, text, meters, err);
}

/* Brings the bridge's flows to what they should be; where that fails, all are compared next time. */
static bool settle(Net *net, GError **err)
{
    if (!net->there)
        return true;
    g_autoptr(GHashTable) flows = ovs_flows(&net->flow);
    g_autofree char *lines = net->applied ? ovs_flows_difference(net->applied, flows) : NULL;
    bool ok = net->applied ? !lines || ovs_apply_difference(net->flow.bridge.s, lines, err) : settle_all(net, flows, err);
    narrower = narrower || (lines && strstr(lines, "delete_strict"));
    g_clear_pointer(&net->applied, g_hash_table_unref);
    if (ok)
        net->applied = g_steal_pointer(&flows);
    return ok;
}

/* The datapath goes on for a moment by what it knows: a change that takes away what guests have would come too late. */
static bool at_once(bool ok)
{
    if (narrower)
        ovs_apply_at_once();
    return ok;
}

/* --- networks and their links --- */

static Net *net_new(const char *n)
{
    Net *net = g_new0(Net, 1);
    net->flow = (OvsNet){ .groups = groups, .ports = g_ptr_array_new_with_free_func(port_free),
                          .links = g_ptr_array_new_with_free_func(g_free) };
    g_strlcpy(net->flow.n.s, n, sizeof net->flow.n.s);
    g_snprintf(net->flow.bridge.s, sizeof net->flow.bridge.s, "nvb%s", n);
    g_hash_table_replace(nets, g_strdup(n), net);
    return net;
}

/* The host's own connections are in zone 0: a network whose gateway it is needs another one here. */
static int zone_of(const NetworkSpec *n)
{
    return n->zone ? n->zone : ZONES_OF_GATEWAYS + (int) (g_str_hash(n->n.s) % GATEWAYS);
}

static void net_put(Net *net, NetworkSpec *spec_stolen)
{
    spec_network_free(net->spec);
    net->spec = spec_stolen;
    net->flow.zone = zone_of(spec_stolen);
    net->flow.gateway = spec_stolen->host_addresses->len > 0;
    net->flow.served = spec_stolen->has_dhcp;
    net->flow.segment = &spec_stolen->segment;
}

bool ovs_rules_network_ensure(const NetworkSpec *n, GError **err)
{
    NetworkSpec *spec = spec_network_parse(n->args, err);
    if (!spec)
        return false;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    Net *net = g_hash_table_lookup(nets, n->n.s);
    net_put(net ? net : (net = net_new(n->n.s)), spec);
    ovs_note_put("net", n->n.s, n->args);
    return settle(net, err);
}

bool ovs_rules_network_absent(const char *n, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker, (void) err;
    g_hash_table_remove(nets, n);
    ovs_note_drop("net", n);
    return true;
}

bool ovs_rules_bridge_there(const char *bridge, const char *mac, bool fresh, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    Net *net = net_of_bridge(bridge);
    if (!net)
        return nv_fail(err, NV_ERR_AGENT, "bridge %s: its network is not known yet", bridge);
    if (fresh)
        g_clear_pointer(&net->applied, g_hash_table_unref);
    net->there = true;
    g_strlcpy(net->flow.mac, mac, sizeof net->flow.mac);
    return settle(net, err);
}

void ovs_rules_bridge_gone(const char *bridge)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    Net *net = net_of_bridge(bridge);
    if (net) {
        net->there = false;
        g_clear_pointer(&net->applied, g_hash_table_unref);
    }
}

bool ovs_rules_link_ensure(const char *link, const char *bridge, const char *mac, int *ret_ofport, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    Net *net = net_of_bridge(bridge);
    OvsLink *l = net ? link_in(net, link) : NULL;
    if (!net || !net->there)
        return nv_fail(err, NV_ERR_AGENT, "bridge %s is not there yet", bridge);
    if (!l) {
        l = g_new0(OvsLink, 1);
        l->ofport = number_for(net, link);
        g_strlcpy(l->name.s, link, sizeof l->name.s);
        g_ptr_array_add(net->flow.links, l);
    }
    g_strlcpy(l->mac, mac ? mac : "", sizeof l->mac);
    *ret_ofport = l->ofport;
    return settle(net, err);
}

bool ovs_rules_link_absent(const char *link, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    GHashTableIter it;
    gpointer net;
    bool ok = true;
    g_hash_table_iter_init(&it, nets);
    while (ok && g_hash_table_iter_next(&it, NULL, &net)) {
        OvsLink *l = link_in(net, link);
        if (l) {
            g_ptr_array_remove(((Net *) net)->flow.links, l);
            ok = settle(net, err);
        }
    }
    return ok;
}

/* --- ports --- */

static void port_put(Net *net, PortSpec *spec_stolen)
{
    OvsPort *p = port_in(net, spec_stolen->n.s);
    if (!p) {
        p = g_new0(OvsPort, 1);
        p->ofport = number_for(net, spec_stolen->tap.s);
        g_ptr_array_add(net->flow.ports, p);
    }
    g_clear_pointer(&p->spec, spec_port_free);
    p->spec = spec_stolen;
}

bool ovs_rules_port_ensure(PortSpec *spec_stolen, GError **err)
{
    g_autoptr(PortSpec) spec = spec_stolen;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    g_autofree char *n = g_strdup(spec->n.s);
    Net *net = g_hash_table_lookup(nets, spec->network.s), *old = net_of_port(n);
    OvsPort *known = old ? port_in(old, n) : NULL;
    if (!net || !net->there)
        return nv_fail(err, NV_ERR_AGENT, "network %s is not on this host yet", spec->network.s);
    if (known && old == net && net->applied && json_equal(known->spec->args, spec->args))
        return true;
    if (known && old != net) {
        g_ptr_array_remove(old->flow.ports, known);
        if (!settle(old, err))
            return false;
        known = NULL;
    }
    narrower = false;
    bool metered = spec->port_security && (!known || !known->spec->port_security);
    port_put(net, g_steal_pointer(&spec));
    OvsPort *p = port_in(net, n);
    if ((metered && net->applied && !ovs_apply_meter(net->flow.bridge.s, p->ofport, err)) || !at_once(settle(net, err)))
        return false;
    ovs_note_put("port", n, p->spec->args);
    return true;
}

bool ovs_rules_port_absent(const char *n, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    Net *net = net_of_port(n);
    OvsPort *p = net ? port_in(net, n) : NULL;
    if (!p) {
        ovs_note_drop("port", n);
        return true;
    }
    g_autoptr(PortSpec) spec = g_steal_pointer(&p->spec);
    int meter = p->ofport;
    guint at = 0;
    g_ptr_array_find(net->flow.ports, p, &at);
    g_free(g_ptr_array_steal_index_fast(net->flow.ports, at));
    ovs_note_drop("port", n);
    if (!settle(net, err))
        return false;
    if (net->there)
        ovs_apply_meter_absent(net->flow.bridge.s, meter);
    return true;
}

bool ovs_rules_port_number(const PortSpec *p, int *ret_ofport, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    Net *net = g_hash_table_lookup(nets, p->network.s);
    const OvsPort *port = net ? port_in(net, p->n.s) : NULL;
    if (!port || !net->applied)
        return nv_fail(err, NV_ERR_AGENT, "port %s has no flows yet", p->id);
    *ret_ofport = port->ofport;
    return true;
}

bool ovs_rules_port_secured(const char *tap)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    const Net *net = g_str_has_prefix(tap, "nvt") ? net_of_port(tap + 3) : NULL;
    return net && port_in(net, tap + 3)->spec->port_security;
}

/* --- groups --- */

static bool names_group(const GroupSpec *g, const char *n)
{
    for (guint i = 0; g && i < g->rules->len; i++) {
        const GroupRule *r = &g_array_index(g->rules, GroupRule, i);
        if (r->has_group && strcmp(r->group.s, n) == 0)
            return true;
    }
    return false;
}

/* Whether a port of the network is in the group, or (with members) in one whose rules name the group. */
static bool net_concerned(const Net *net, const char *n, bool members)
{
    for (guint i = 0; i < net->flow.ports->len; i++) {
        const PortSpec *p = ((const OvsPort *) net->flow.ports->pdata[i])->spec;
        for (guint k = 0; k < p->groups->len; k++) {
            const char *mine = g_array_index(p->groups, Id12, k).s;
            if (strcmp(mine, n) == 0 || (members && names_group(g_hash_table_lookup(groups, mine), n)))
                return true;
        }
    }
    return false;
}

static bool settle_concerned(const char *n, GError **err)
{
    GHashTableIter it;
    gpointer net;
    bool ok = true;
    g_hash_table_iter_init(&it, nets);
    while (g_hash_table_iter_next(&it, NULL, &net))
        if (net_concerned(net, n, true))
            ok = settle(net, ok ? err : NULL) && ok;
    return ok;
}

bool ovs_rules_group_ensure(GroupSpec *spec_stolen, GError **err)
{
    g_autoptr(GroupSpec) spec = spec_stolen;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    g_autofree char *n = g_strdup(spec->n.s);
    if (!ovs_group_check(spec, err))
        return false;
    ovs_note_put("group", n, spec->args);
    g_hash_table_replace(groups, g_strdup(n), g_steal_pointer(&spec));
    narrower = false;
    return at_once(settle_concerned(n, err));
}

bool ovs_rules_group_absent(const char *n, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    GHashTableIter it;
    gpointer net;
    g_hash_table_iter_init(&it, nets);
    while (g_hash_table_iter_next(&it, NULL, &net))
        if (net_concerned(net, n, false))
            return nv_fail(err, NV_ERR_AGENT, "group %s is still used", n);
    g_hash_table_remove(groups, n);
    ovs_note_drop("group", n);
    return settle_concerned(n, err);
}

/* --- everything --- */

bool ovs_rules_list(GHashTable *ret_ports, GHashTable *ret_groups, GError **err)
{
    g_autoptr(GHashTable) bridges = NULL, rows = NULL;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    GHashTableIter it;
    gpointer key, value;
    if (!ovs_view(&bridges, &rows, err))
        return false;
    g_hash_table_iter_init(&it, rows);
    while (g_hash_table_iter_next(&it, &key, NULL))
        if (g_str_has_prefix(key, "nvt") && !net_of_port((const char *) key + 3))
            g_hash_table_add(ret_ports, g_strdup((const char *) key + 3));
    g_hash_table_iter_init(&it, nets);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        const Net *net = value;
        for (guint i = 0; net->applied && i < net->flow.ports->len; i++)
            g_hash_table_add(ret_ports, g_strdup(((const OvsPort *) net->flow.ports->pdata[i])->spec->n.s));
    }
    g_hash_table_iter_init(&it, groups);
    while (g_hash_table_iter_next(&it, &key, NULL))
        g_hash_table_add(ret_groups, g_strdup(key));
    return true;
}

void ovs_rules_look(void)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    GHashTableIter it;
    gpointer value;
    if (!ovs_db_alive())
        return;
    g_hash_table_iter_init(&it, nets);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        Net *net = value;
        g_autoptr(GError) why = NULL;
        int count = net->there ? ovs_flow_count(net->flow.bridge.s) : -1;
        if (count < 0 || (net->applied && (guint) count == g_hash_table_size(net->applied)))
            continue;
        g_clear_pointer(&net->applied, g_hash_table_unref);
        settle(net, &why);
        log_warn(why ? "net.repair_failed" : "net.repaired", "what", "flows", "bridge", net->flow.bridge.s, "found", LOG_INT(count), "error",
                 why ? why->message : NULL, NULL);
    }
}

static void restore_net(const json_t *note)
{
    NetworkSpec *spec = spec_network_parse(note, NULL);
    if (spec)
        net_put(net_new(spec->n.s), spec);
}

static void restore_group(const json_t *note)
{
    GroupSpec *g = spec_group_parse(note, NULL);
    if (g)
        g_hash_table_replace(groups, g_strdup(g->n.s), g);
}

static void restore_port(const json_t *note)
{
    g_autoptr(PortSpec) p = spec_port_parse(note, NULL);
    Net *net = p ? g_hash_table_lookup(nets, p->network.s) : NULL;
    if (net)
        port_put(net, g_steal_pointer(&p));
}

static void restore_link(const OvsRow *row)
{
    Net *net = net_of_bridge(row->bridge);
    if (!net || g_str_has_prefix(row->name, "nvt") || g_str_has_prefix(row->name, "nvb"))
        return;
    OvsLink *l = g_new0(OvsLink, 1);
    l->ofport = row->wanted;
    g_strlcpy(l->name.s, row->name, sizeof l->name.s);
    g_strlcpy(l->mac, row->mac, sizeof l->mac);
    g_ptr_array_add(net->flow.links, l);
}

static void find_bridge(Net *net, GHashTable *bridges)
{
    LinkInfo info;
    net->there = g_hash_table_contains(bridges, net->flow.bridge.s);
    if (link_get(net->flow.bridge.s, &info, NULL))
        g_snprintf(net->flow.mac, sizeof net->flow.mac, "%02x:%02x:%02x:%02x:%02x:%02x", info.mac[0], info.mac[1], info.mac[2], info.mac[3],
                   info.mac[4], info.mac[5]);
}

bool ovs_rules_start(GError **err)
{
    g_autoptr(GHashTable) bridges = NULL, rows = NULL;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    GHashTableIter it;
    gpointer value;
    nets = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, net_free);
    groups = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) spec_group_free);
    numbers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    if (!ovs_view(&bridges, &rows, err))
        return false;
    g_hash_table_iter_init(&it, rows);
    while (g_hash_table_iter_next(&it, NULL, &value))
        g_hash_table_insert(numbers, g_strdup(((const OvsRow *) value)->name), GINT_TO_POINTER(((const OvsRow *) value)->wanted));
    ovs_note_each("net", restore_net);
    ovs_note_each("group", restore_group);
    g_hash_table_iter_init(&it, rows);
    while (g_hash_table_iter_next(&it, NULL, &value))
        if (((const OvsRow *) value)->is_ours && ((const OvsRow *) value)->wanted)
            restore_link(value);
    ovs_note_each("port", restore_port);
    g_hash_table_iter_init(&it, nets);
    while (g_hash_table_iter_next(&it, NULL, &value))
        find_bridge(value, bridges);
    return true;
}
