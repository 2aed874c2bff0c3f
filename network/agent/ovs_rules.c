/* network/agent/ovs_rules.c -- the flows' desired state in memory, and differences from it to the bridges. */
#include "network/agent/ovs_rules.h"
#include "core/error.h"
#include "core/log.h"
#include "network/agent/counters.h"
#include "network/agent/link.h"
#include "network/agent/ovs_apply.h"
#include "network/agent/ovs_db.h"
#include "network/agent/ovs_note.h"
#include "network/agent/ovs_state.h"
#include <string.h>

/* Under ovs_state.lock, from begin on. */
static bool asked;                   /* somebody asked for what changes: each flow of it is urgent */
static bool urgent;                  /* what was changed has to hold when the verb is answered */

/* --- to the bridge --- */

static GArray *meters_of(const OvsKept *net)
{
    GArray *meters = g_array_new(FALSE, FALSE, sizeof(OvsMeter));
    for (guint i = 0; i < net->flow.ports->len; i++) {
        g_autoptr(GArray) some = ovs_meters(net->flow.ports->pdata[i]);
        g_array_append_vals(meters, some->data, some->len);
    }
    return meters;
}

static bool settle_all(OvsKept *net, GHashTable *flows, GError **err)
{
    g_autofree char *text = ovs_flows_text(flows);
    g_autoptr(GArray) meters = meters_of(net);
    return ovs_apply_all(net->flow.bridge.s, text, meters, err);
}

static void begin(bool by_somebody)
{
    asked = by_somebody;
    urgent = false;
}

/* Brings the bridge's flows to what they should be; where that fails, all are compared next time, and what they come to then holds at once:
 * nobody knows any more what of it was urgent. */
static bool settle(OvsKept *net, GError **err)
{
    if (!net->there)
        return true;
    ovs_state_find_tags(net);
    g_autoptr(GHashTable) flows = ovs_flows(&net->flow);
    g_autofree char *lines = net->applied ? ovs_flows_difference(net->applied, flows) : NULL;
    bool ok = net->applied ? !lines || ovs_apply_difference(net->flow.bridge.s, lines, err) : settle_all(net, flows, err);
    urgent = urgent || (lines && (asked || strstr(lines, "delete_strict") || strstr(lines, "actions=drop")));
    g_clear_pointer(&net->applied, g_hash_table_unref);
    if (ok)
        net->applied = g_steal_pointer(&flows);
    if (ok && net->failed)
        ovs_apply_at_once();
    net->failed = !ok;
    return ok;
}

/* The datapath goes on for a moment by what it knows, after a busy moment for longer: a change that takes away what guests have would come too
 * late, and so would one that somebody asked for (a rule, a limit, a mark).  What others' coming and going changes is never urgent. */
static bool at_once(bool ok)
{
    if (urgent)
        ovs_apply_at_once();
    return ok;
}

/* --- networks and their links --- */

bool ovs_rules_network_ensure(const NetworkSpec *n, GError **err)
{
    NetworkSpec *spec = spec_network_parse(n->args, err);
    if (!spec)
        return false;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ovs_state.lock);
    (void) locker;
    OvsKept *net = g_hash_table_lookup(ovs_state.nets, n->n.s);
    ovs_state_net_put(net ? net : (net = ovs_state_net_new(n->n.s)), spec);
    ovs_note_put("net", n->n.s, n->args);
    return settle(net, err);
}

bool ovs_rules_network_absent(const char *n, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ovs_state.lock);
    (void) locker, (void) err;
    g_hash_table_remove(ovs_state.nets, n);
    ovs_note_drop("net", n);
    return true;
}

bool ovs_rules_bridge_there(const char *bridge, const char *mac, bool fresh, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ovs_state.lock);
    (void) locker;
    OvsKept *net = ovs_state_net_of_bridge(bridge);
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
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ovs_state.lock);
    (void) locker;
    OvsKept *net = ovs_state_net_of_bridge(bridge);
    if (net) {
        net->there = false;
        g_clear_pointer(&net->applied, g_hash_table_unref);
    }
}

bool ovs_rules_link_ensure(const char *link, const char *bridge, const char *mac, int *ret_ofport, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ovs_state.lock);
    (void) locker;
    OvsKept *net = ovs_state_net_of_bridge(bridge);
    OvsLink *l = net ? ovs_state_link(net, link) : NULL;
    if (!net || !net->there)
        return nv_fail(err, NV_ERR_AGENT, "bridge %s is not there yet", bridge);
    if (!l) {
        l = g_new0(OvsLink, 1);
        l->ofport = ovs_state_number(net, link);
        g_strlcpy(l->name.s, link, sizeof l->name.s);
        g_ptr_array_add(net->flow.links, l);
    }
    g_strlcpy(l->mac, mac ? mac : "", sizeof l->mac);
    *ret_ofport = l->ofport;
    return settle(net, err);
}

bool ovs_rules_link_absent(const char *link, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ovs_state.lock);
    (void) locker;
    GHashTableIter it;
    gpointer net;
    bool ok = true;
    g_hash_table_iter_init(&it, ovs_state.nets);
    while (ok && g_hash_table_iter_next(&it, NULL, &net)) {
        OvsLink *l = ovs_state_link(net, link);
        if (l) {
            g_ptr_array_remove(((OvsKept *) net)->flow.links, l);
            ok = settle(net, err);
        }
    }
    return ok;
}

/* --- ports --- */

/* Meters that no flow names any more. */
static void drop_meters(const OvsKept *net, const GArray *old, const GArray *kept)
{
    for (guint i = 0; old && net->there && i < old->len; i++) {
        int id = g_array_index(old, OvsMeter, i).id;
        bool keep = false;
        for (guint k = 0; kept && k < kept->len; k++)
            keep |= g_array_index(kept, OvsMeter, k).id == id;
        if (!keep)
            ovs_apply_meter_absent(net->flow.bridge.s, id);
    }
}

/* What a trunk's parent without port security may send depends on its subports: a tag that was dropped before is the network's from now on. */
static bool settle_trunk(const char *tap, GError **err)
{
    OvsKept *net = *tap ? ovs_state_net_of_port(tap + 3) : NULL;
    begin(false);
    return !net || ovs_state_port(net, tap + 3)->spec->port_security || at_once(settle(net, err));
}

bool ovs_rules_port_ensure(PortSpec *spec_stolen, GError **err)
{
    g_autoptr(PortSpec) spec = spec_stolen;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ovs_state.lock);
    (void) locker;
    g_autofree char *n = g_strdup(spec->n.s);
    OvsKept *net = g_hash_table_lookup(ovs_state.nets, spec->network.s), *old = ovs_state_net_of_port(n);
    OvsPort *known = old ? ovs_state_port(old, n) : NULL;
    if (!net || !net->there)
        return nv_fail(err, NV_ERR_AGENT, "network %s is not on this host yet", spec->network.s);
    if (known && old == net && net->applied && json_equal(known->spec->args, spec->args))
        return settle_trunk(spec->parent.s, err);    /* it may have failed before */
    if (known && old != net) {
        g_ptr_array_remove(old->flow.ports, known);
        if (!settle(old, err))
            return false;
        known = NULL;
    }
    begin(known != NULL);
    g_autoptr(GArray) before = known ? ovs_meters(known) : NULL;
    ovs_state_port_put(net, g_steal_pointer(&spec));
    OvsPort *p = ovs_state_port(net, n);
    g_autoptr(GArray) meters = ovs_meters(p);
    bool same = before && before->len == meters->len && (!meters->len || memcmp(before->data, meters->data, meters->len * sizeof(OvsMeter)) == 0);
    urgent = before && !same;
    if (net->applied && !same && !ovs_apply_meters(net->flow.bridge.s, meters, err)) {
        g_clear_pointer(&net->applied, g_hash_table_unref);
        net->failed = true;
        return false;
    }
    if (!at_once(settle(net, err)))
        return false;
    drop_meters(net, before, meters);
    ovs_note_put("port", n, p->spec->args);      /* before what may fail: an agent that begins anew has to know the narrower rules */
    return settle_trunk(p->spec->parent.s, err);
}

bool ovs_rules_port_absent(const char *n, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ovs_state.lock);
    (void) locker;
    OvsKept *net = ovs_state_net_of_port(n);
    OvsPort *p = net ? ovs_state_port(net, n) : NULL;
    if (!p) {
        ovs_note_drop("port", n);
        return true;
    }
    g_autoptr(GArray) meters = ovs_meters(p);
    IfName trunk = p->spec->parent;
    g_ptr_array_remove_fast(net->flow.ports, p);
    ovs_note_drop("port", n);
    if (!settle(net, err))
        return false;
    drop_meters(net, meters, NULL);
    return settle_trunk(trunk.s, err);
}

bool ovs_rules_port_number(const PortSpec *p, int *ret_ofport, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ovs_state.lock);
    (void) locker;
    OvsKept *net = g_hash_table_lookup(ovs_state.nets, p->network.s);
    const OvsPort *port = net ? ovs_state_port(net, p->n.s) : NULL;
    if (!port || !net->applied)
        return nv_fail(err, NV_ERR_AGENT, "port %s has no flows yet", p->id);
    *ret_ofport = port->ofport;
    return true;
}

bool ovs_rules_port_secured(const char *tap)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ovs_state.lock);
    (void) locker;
    const OvsKept *net = g_str_has_prefix(tap, "nvt") ? ovs_state_net_of_port(tap + 3) : NULL;
    return net && ovs_state_port(net, tap + 3)->spec->port_security;
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
static bool net_concerned(const OvsKept *net, const char *n, bool members)
{
    for (guint i = 0; i < net->flow.ports->len; i++) {
        const PortSpec *p = ((const OvsPort *) net->flow.ports->pdata[i])->spec;
        for (guint k = 0; k < p->groups->len; k++) {
            const char *mine = g_array_index(p->groups, Id12, k).s;
            if (strcmp(mine, n) == 0 || (members && names_group(g_hash_table_lookup(ovs_state.groups, mine), n)))
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
    g_hash_table_iter_init(&it, ovs_state.nets);
    while (g_hash_table_iter_next(&it, NULL, &net))
        if (net_concerned(net, n, true))
            ok = settle(net, ok ? err : NULL) && ok;
    return ok;
}

bool ovs_rules_group_ensure(GroupSpec *spec_stolen, GError **err)
{
    g_autoptr(GroupSpec) spec = spec_stolen;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ovs_state.lock);
    (void) locker;
    g_autofree char *n = g_strdup(spec->n.s);
    if (!ovs_group_check(spec, err))
        return false;
    ovs_note_put("group", n, spec->args);
    const GroupSpec *old = g_hash_table_lookup(ovs_state.groups, n);
    begin(old && !json_equal(json_object_get(old->args, "rules"), json_object_get(spec->args, "rules")));
    g_hash_table_replace(ovs_state.groups, g_strdup(n), g_steal_pointer(&spec));
    return at_once(settle_concerned(n, err));
}

bool ovs_rules_group_absent(const char *n, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ovs_state.lock);
    (void) locker;
    GHashTableIter it;
    gpointer net;
    g_hash_table_iter_init(&it, ovs_state.nets);
    while (g_hash_table_iter_next(&it, NULL, &net))
        if (net_concerned(net, n, false))
            return nv_fail(err, NV_ERR_AGENT, "group %s is still used", n);
    g_hash_table_remove(ovs_state.groups, n);
    ovs_note_drop("group", n);
    return settle_concerned(n, err);
}

bool ovs_rules_group_counters(const char *n, GHashTable *sums, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ovs_state.lock);
    (void) locker;
    const GroupSpec *g = g_hash_table_lookup(ovs_state.groups, n);
    GHashTableIter it;
    gpointer value;
    bool ok = true;
    for (guint i = 0; g && i < g->rules->len; i++)
        g_hash_table_replace(sums, g_strdup(g_array_index(g->rules, GroupRule, i).id.s), g_new0(Counter, 1));
    g_hash_table_iter_init(&it, ovs_state.nets);
    while (g && ok && g_hash_table_iter_next(&it, NULL, &value)) {
        const OvsKept *net = value;
        if (net->there && net_concerned(net, n, false))
            ok = ovs_apply_counters(net->flow.bridge.s, sums, err);
    }
    return ok;
}

/* --- everything --- */

bool ovs_rules_list(GHashTable *ret_ports, GHashTable *ret_groups, GError **err)
{
    g_autoptr(GHashTable) bridges = NULL, rows = NULL;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ovs_state.lock);
    (void) locker;
    GHashTableIter it;
    gpointer key, value;
    if (!ovs_view(&bridges, &rows, err))
        return false;
    g_hash_table_iter_init(&it, rows);
    while (g_hash_table_iter_next(&it, &key, NULL))
        if (g_str_has_prefix(key, "nvt") && !ovs_state_net_of_port((const char *) key + 3))
            g_hash_table_add(ret_ports, g_strdup((const char *) key + 3));
    g_hash_table_iter_init(&it, ovs_state.nets);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        const OvsKept *net = value;
        for (guint i = 0; net->applied && i < net->flow.ports->len; i++)
            g_hash_table_add(ret_ports, g_strdup(((const OvsPort *) net->flow.ports->pdata[i])->spec->n.s));
    }
    g_hash_table_iter_init(&it, ovs_state.groups);
    while (g_hash_table_iter_next(&it, &key, NULL))
        g_hash_table_add(ret_groups, g_strdup(key));
    return true;
}

/* Only where ports have limits: each look is a run of ovs-ofctl. */
static void look_at_meters(const OvsKept *net)
{
    g_autoptr(GArray) meters = meters_of(net);
    g_autoptr(GError) why = NULL;
    bool limits = false;
    for (guint i = 0; i < meters->len; i++)
        limits |= g_array_index(meters, OvsMeter, i).id > G_MAXUINT16;
    if (limits && !ovs_apply_meters(net->flow.bridge.s, meters, &why))
        log_warn("net.repair_failed", "what", "meters", "bridge", net->flow.bridge.s, "error", why->message, NULL);
}

void ovs_rules_look(void)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ovs_state.lock);
    (void) locker;
    GHashTableIter it;
    gpointer value;
    if (!ovs_db_alive())
        return;
    g_hash_table_iter_init(&it, ovs_state.nets);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        OvsKept *net = value;
        g_autoptr(GError) why = NULL;
        int count = net->there ? ovs_flow_count(net->flow.bridge.s) : -1;
        if (count < 0)
            continue;
        if (net->applied && (guint) count == g_hash_table_size(net->applied)) {
            look_at_meters(net);
            continue;
        }
        g_clear_pointer(&net->applied, g_hash_table_unref);
        settle(net, &why);
        log_warn(why ? "net.repair_failed" : "net.repaired", "what", "flows", "bridge", net->flow.bridge.s, "found", LOG_INT(count), "error",
                 why ? why->message : NULL, NULL);
    }
}
