/* network/agent/rules.c -- the rules' desired state in memory, and transactions from it to the kernel. */
#include "network/agent/rules.h"
#include "core/error.h"
#include "core/log.h"
#include "network/agent/conntrack.h"
#include "network/agent/counters.h"
#include "network/agent/elements.h"
#include "network/agent/flows.h"
#include "network/agent/nft.h"
#include "network/agent/nft_apply.h"
#include <stdlib.h>
#include <string.h>

typedef struct PortState { PortSpec *spec; guint32 mark; } PortState;
typedef struct GroupState { GroupSpec *spec; char *hash; } GroupState;
typedef struct NetState { GArray *elements; int zone; } NetState;

static bool mend(GError **err);

/* All under lock. */
static GMutex lock;
static GHashTable *ports, *groups, *networks;
static GHashTable *combos;           /* names of the combinations of groups that have their chains */
static GHashTable *built;            /* those of them that this process has filled; what an earlier agent left, anybody may have changed */
static bool damaged;                 /* somebody changed the rules, and they could not be defined anew */
static bool took_over;               /* there was an earlier agent, so an address may have had a port that nobody here knows of */
static GHashTable *orphans;          /* groups that are gone but whose sets a rule still names */

static void port_state_free(gpointer data)
{
    PortState *s = data;
    spec_port_free(s->spec);
    g_free(s);
}

static void group_state_free(gpointer data)
{
    GroupState *s = data;
    spec_group_free(s->spec);
    g_free(s->hash);
    g_free(s);
}

static void net_state_free(gpointer data)
{
    NetState *s = data;
    g_array_unref(s->elements);
    g_free(s);
}

/* --- ports --- */

static int zone_of(const char *network)
{
    const NetState *net = g_hash_table_lookup(networks, network);
    return net ? net->zone : 0;
}

/* The connections of addresses that the port had and has no longer: whoever has them next shall not inherit them. */
static bool forget_lost(const PortSpec *had, const PortSpec *has, GError **err)
{
    g_autoptr(GArray) flows = g_array_new(FALSE, TRUE, sizeof(Flow)), kept = g_array_new(FALSE, TRUE, sizeof(Flow));
    flows_add_port(flows, zone_of(had->network.s), had);
    if (has)
        flows_add_port(kept, zone_of(has->network.s), has);
    flows_remove(flows, kept);
    return conntrack_flush(flows, true, err);
}

/* Those of addresses that are not in force for the port yet. */
static bool forget_inherited(const PortSpec *p, GError **err)
{
    g_autoptr(GArray) flows = g_array_new(FALSE, TRUE, sizeof(Flow)), kept = g_array_new(FALSE, TRUE, sizeof(Flow));
    int zone = zone_of(p->network.s);
    flows_add_port(flows, zone, p);
    for (int version = 4; version <= 6; version += 2) {
        g_autoptr(GArray) from = nft_port_sources(p, version);
        for (guint i = 0; i < from->len; i++) {
            const Pair *s = &g_array_index(from, Pair, i);
            g_autofree char *key = nft_source_key(p, s);
            Flow f = { zone, s->cidr };
            if (elements_value(version == 4 ? SET_IP4 : SET_IP6, key))
                g_array_append_val(kept, f);
        }
    }
    flows_remove(flows, kept);
    return conntrack_flush(flows, true, err);
}

/* The port's connections that are not TCP: they go on in one direction without a word of the other, whose rules would never be asked. */
static bool forget_silent(const PortSpec *p, GError **err)
{
    g_autoptr(GArray) flows = g_array_new(FALSE, TRUE, sizeof(Flow));
    flows_add_port(flows, zone_of(p->network.s), p);
    return conntrack_flush(flows, false, err);
}

/* Stateless only where every group says so. */
static bool is_stateful(const PortSpec *p)
{
    for (guint i = 0; i < p->groups->len; i++) {
        const GroupState *g = g_hash_table_lookup(groups, g_array_index(p->groups, Id12, i).s);
        if (!g || g->spec->stateful)
            return true;
    }
    return p->groups->len == 0;
}

/* No other port has it. */
static bool is_free(guint32 mark, const char *owner)
{
    static const guint32 flags[] = { NFT_MARK, NFT_MARK | NFT_MARK_OPEN };
    for (gsize i = 0; i < G_N_ELEMENTS(flags); i++) {
        g_autofree char *key = g_strdup_printf("0x%x", flags[i] | mark);
        const char *other = elements_owner(MAP_EGRESS, key);
        if (other && strcmp(other, owner) != 0)
            return false;
    }
    return mark != 0;
}

/* The same number for the same port, whoever computes it, but for the rare collision. */
static guint32 mark_for(const char *n)
{
    guint32 mark = (guint32) g_ascii_strtoull(n, NULL, 16) & NFT_MARK_NUMBER;
    g_autofree char *tap = g_strdup_printf("\"nvt%s\"", n), *owner = g_strdup_printf("p%s", n);
    const char *kept = elements_value(MAP_MARKS, tap);
    if (kept)
        return (guint32) g_ascii_strtoull(kept, NULL, 16) & NFT_MARK_NUMBER;
    while (!is_free(mark, owner))
        mark = (mark + 1) & NFT_MARK_NUMBER;
    return mark;
}

/* Chains that no port's entry leads to any more. */
static void sweep_combos(void)
{
    g_autoptr(GHashTable) used = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    GHashTableIter it;
    gpointer name;
    elements_values(MAP_INGRESS, used);
    g_hash_table_iter_init(&it, combos);
    while (g_hash_table_iter_next(&it, &name, NULL)) {
        g_autofree char *value = g_strdup_printf("goto in_%s", (char *) name);
        g_autoptr(GString) text = g_string_new(NULL);
        g_autoptr(GError) why = NULL;
        if (g_hash_table_contains(used, value))
            continue;
        nft_combo_absent_build(text, name);
        if (!nft_apply(text->str, &why))
            log_warn("net.chains_kept", "combination", name, "error", why->message, NULL);
        g_hash_table_remove(built, name);
        g_hash_table_iter_remove(&it);
    }
}

static bool needs_mark(const PortSpec *p)
{
    g_autofree char *tap = g_strdup_printf("\"%s\"", p->tap.s), *value = g_strdup_printf("jump dscp_%d", p->qos.dscp);
    return p->qos.dscp >= 0 && g_strcmp0(elements_value(MAP_DSCP, tap), value) != 0;
}

static void combo_built(const char *name)
{
    g_hash_table_add(combos, g_strdup(name));
    g_hash_table_add(built, g_strdup(name));
}

static bool port_apply(const PortSpec *spec, guint32 mark, GError **err)
{
    bool changed;
    bool stateful = is_stateful(spec);
    NftCombo combo = nft_combo(spec, stateful);
    g_autofree char *owner = g_strdup_printf("p%s", spec->n.s);
    g_autoptr(GArray) elements = nft_port_elements(spec, mark, stateful);
    g_autoptr(GString) chains = g_string_new(NULL);
    if (spec->port_security && !g_hash_table_contains(built, combo.name))
        nft_combo_build(chains, spec, stateful);
    if (needs_mark(spec))
        nft_dscp_build(chains, spec->qos.dscp);
    if (!elements_commit(owner, elements, chains->str, "", &changed, err))
        return false;
    if (spec->port_security)
        combo_built(combo.name);
    if (changed)
        sweep_combos();
    return true;
}

static bool may_be_narrower(const PortSpec *old, const PortSpec *now)
{
    return now->port_security && (!old->port_security || old->groups->len != now->groups->len ||
                                  memcmp(old->groups->data, now->groups->data, old->groups->len * sizeof(Id12)) != 0);
}

static bool claims(const PortState *s, GHashTable *slots)
{
    g_autoptr(GArray) routed = nft_port_routed(s->spec, s->mark);
    for (guint i = 0; i < routed->len; i++) {
        const NftElement *e = &g_array_index(routed, NftElement, i);
        g_autofree char *slot = elements_slot(e->map, e->key);
        if (g_hash_table_contains(slots, slot))
            return true;
    }
    return false;
}

/* An address that a port has let go may be one of another's, which did not get it while it was the first one's. */
static bool hand_over(GError **err)
{
    GHashTable *freed = elements_freed();
    g_autoptr(GList) states = g_hash_table_size(freed) ? g_hash_table_get_values(ports) : NULL;
    for (GList *l = states; l; l = l->next) {
        const PortState *s = l->data;
        if (claims(s, freed) && !port_apply(s->spec, s->mark, err))
            return false;
    }
    g_hash_table_remove_all(freed);
    return true;
}

bool rules_port_ensure(PortSpec *spec_stolen, GError **err)
{
    g_autoptr(PortSpec) spec = spec_stolen;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    /* Its tap will be opened. */
    if (damaged && !mend(err))
        return false;
    const PortState *old = g_hash_table_lookup(ports, spec->n.s);
    guint32 mark = mark_for(spec->n.s);
    if (!old && took_over && spec->port_security && !forget_inherited(spec, err))
        return false;
    if (!port_apply(spec, mark, err) || (old && !forget_lost(old->spec, spec, err)))
        return false;
    if (old && may_be_narrower(old->spec, spec) && !forget_silent(spec, err))
        return false;
    PortState *state = g_new0(PortState, 1);
    *state = (PortState){ g_steal_pointer(&spec), mark };
    g_hash_table_replace(ports, g_strdup(state->spec->n.s), state);
    return hand_over(err);
}

bool rules_port_absent(const char *n, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    g_autofree char *owner = g_strdup_printf("p%s", n);
    const PortState *state = g_hash_table_lookup(ports, n);
    if (!elements_commit(owner, NULL, "", "", NULL, err))
        return false;
    sweep_combos();
    if (state && !forget_lost(state->spec, NULL, err))
        return false;
    g_hash_table_remove(ports, n);
    return hand_over(err);
}

/* --- groups --- */

static void sweep_orphans(void)
{
    GHashTableIter it;
    gpointer key;
    g_hash_table_iter_init(&it, orphans);
    while (g_hash_table_iter_next(&it, &key, NULL)) {
        g_autoptr(GString) text = g_string_new(NULL);
        nft_group_sets_absent_build(text, key);
        if (nft_apply(text->str, NULL))
            g_hash_table_iter_remove(&it);
    }
}

static bool is_member(const PortSpec *p, const char *group)
{
    for (guint i = 0; i < p->groups->len; i++)
        if (strcmp(g_array_index(p->groups, Id12, i).s, group) == 0)
            return true;
    return false;
}

static bool reapply_members(const char *group, GError **err)
{
    g_autoptr(GList) states = g_hash_table_get_values(ports);
    for (GList *l = states; l; l = l->next) {
        const PortState *s = l->data;
        if (is_member(s->spec, group) && !port_apply(s->spec, s->mark, err))
            return false;
    }
    return true;
}

static bool allows_members(const PortSpec *p, const char *n)
{
    for (guint i = 0; i < p->groups->len; i++) {
        const GroupState *g = g_hash_table_lookup(groups, g_array_index(p->groups, Id12, i).s);
        if (g && flows_by_members(g->spec, n))
            return true;
    }
    return false;
}

/* As forget_silent: of the group's ports if a rule has gone, and with members that have left. */
static bool forget_silent_of_group(const GroupSpec *old, const GroupSpec *now, GError **err)
{
    g_autoptr(GArray) flows = g_array_new(FALSE, TRUE, sizeof(Flow));
    bool narrower = flows_narrow(old, now);
    GHashTableIter it;
    gpointer value;
    g_hash_table_iter_init(&it, ports);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        const PortSpec *p = ((PortState *) value)->spec;
        if (narrower && is_member(p, now->n.s))
            flows_add_port(flows, zone_of(p->network.s), p);
        if (allows_members(p, now->n.s))
            flows_add_left(flows, zone_of(p->network.s), old, now);
    }
    return conntrack_flush(flows, false, err);
}

static char *hash_of(const GString *text)
{
    return g_compute_checksum_for_string(G_CHECKSUM_SHA256, text->str, (gssize) text->len);
}

/* The text again, with what the kernel has counted until now. */
static void go_on_counting(GString *text, const GroupSpec *spec)
{
    g_autoptr(GHashTable) counters = counters_new();
    if (!counters_read(spec->n.s, counters, NULL) || !g_hash_table_size(counters))
        return;
    g_string_truncate(text, 0);
    nft_group_build(text, spec, counters);
}

bool rules_group_ensure(GroupSpec *spec_stolen, GError **err)
{
    g_autoptr(GroupSpec) spec = spec_stolen;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    g_autoptr(GString) text = g_string_new(NULL);
    g_autofree char *n = g_strdup(spec->n.s);
    GroupState *old = g_hash_table_lookup(groups, n);
    bool was_stateful = !old || old->spec->stateful;
    nft_group_build(text, spec, NULL);
    g_autofree char *hash = hash_of(text);
    if (old && g_strcmp0(old->hash, hash) == 0 && old->spec->stateful == spec->stateful)
        return true;
    go_on_counting(text, spec);
    if (!nft_apply(text->str, err) || (old && !forget_silent_of_group(old->spec, spec, err)))
        return false;
    GroupState *state = g_new0(GroupState, 1);
    *state = (GroupState){ g_steal_pointer(&spec), g_steal_pointer(&hash) };
    bool stateful = state->spec->stateful;
    g_hash_table_replace(groups, g_strdup(n), state);
    g_hash_table_remove(orphans, n);
    sweep_orphans();
    if (stateful == was_stateful || reapply_members(n, err))
        return true;
    g_clear_pointer(&state->hash, g_free);       /* asked again, it is not done yet */
    state->spec->stateful = was_stateful;
    return false;
}

bool rules_group_absent(const char *n, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    g_autoptr(GString) chains = g_string_new(NULL), sets = g_string_new(NULL);
    nft_group_chains_absent_build(chains, n);
    if (!nft_apply(chains->str, err)) {
        g_prefix_error(err, "group %s is still used: ", n);
        return false;
    }
    nft_group_sets_absent_build(sets, n);
    if (!nft_apply(sets->str, NULL)) {
        /* A rule of another group names the set: it matches nobody until that rule goes. */
        g_string_truncate(sets, 0);
        nft_group_sets_clear_build(sets, n);
        nft_apply(sets->str, NULL);
        g_hash_table_add(orphans, g_strdup(n));
    }
    g_hash_table_remove(groups, n);
    sweep_orphans();
    return true;
}

/* --- networks --- */

bool rules_network_ensure(const NetworkSpec *spec, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    g_autoptr(GArray) elements = nft_network_elements(spec);
    g_autofree char *owner = g_strdup_printf("n%s", spec->n.s);
    if (!elements_commit(owner, elements, "", "", NULL, err))
        return false;
    NetState *state = g_new0(NetState, 1);
    *state = (NetState){ g_steal_pointer(&elements), spec->zone };
    g_hash_table_replace(networks, g_strdup(spec->n.s), state);
    return true;
}

bool rules_network_absent(const char *n, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    g_hash_table_remove(networks, n);
    g_autofree char *owner = g_strdup_printf("n%s", n);
    return elements_commit(owner, NULL, "", "", NULL, err);
}

/* --- everything --- */

static void build_networks(GString *out)
{
    GHashTableIter it;
    gpointer value;
    g_hash_table_iter_init(&it, networks);
    while (g_hash_table_iter_next(&it, NULL, &value))
        for (guint i = 0; i < ((NetState *) value)->elements->len; i++)
            nft_element_build(out, &g_array_index(((NetState *) value)->elements, NftElement, i), true);
}

static void put_weak(GHashTable *texts, const NftElement *e)
{
    g_autoptr(GString) text = g_string_new(NULL);
    nft_element_build(text, e, true);
    g_hash_table_replace(texts, elements_slot(e->map, e->key), g_strdup(text->str));
}

static void build_ports(GString *out)
{
    GHashTableIter it;
    gpointer slot, value;
    g_autoptr(GHashTable) own = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GHashTable) weak = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr(GString) entries = g_string_new(NULL);
    g_hash_table_remove_all(combos);
    g_hash_table_remove_all(built);
    g_hash_table_iter_init(&it, ports);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        const PortState *s = value;
        bool stateful = is_stateful(s->spec);
        NftCombo combo = nft_combo(s->spec, stateful);
        g_autoptr(GArray) elements = nft_port_elements(s->spec, s->mark, stateful);
        if (s->spec->port_security && !g_hash_table_contains(built, combo.name)) {
            nft_combo_build(out, s->spec, stateful);
            combo_built(combo.name);
        }
        if (s->spec->qos.dscp >= 0)
            nft_dscp_build(out, s->spec->qos.dscp);
        for (guint i = 0; i < elements->len; i++) {
            const NftElement *e = &g_array_index(elements, NftElement, i);
            if (e->weak)
                put_weak(weak, e);
            else if (g_hash_table_add(own, elements_slot(e->map, e->key)))
                nft_element_build(entries, e, true);
        }
    }
    /* What a port has by a pair, where it is no other's own. */
    g_hash_table_iter_init(&it, weak);
    while (g_hash_table_iter_next(&it, &slot, &value))
        if (!g_hash_table_contains(own, slot))
            g_string_append(entries, value);
    g_string_append(out, entries->str);
}

static bool rebuild(GError **err)
{
    g_autoptr(GString) text = g_string_new(NULL);
    GHashTableIter it;
    gpointer value;
    nft_base_build(text, true);
    build_networks(text);
    g_hash_table_iter_init(&it, groups);
    while (g_hash_table_iter_next(&it, NULL, &value))
        nft_group_build(text, ((GroupState *) value)->spec, NULL);
    build_ports(text);
    g_hash_table_remove_all(orphans);
    return nft_apply(text->str, err) && elements_read(err);
}

static bool mend(GError **err)
{
    damaged = !rebuild(err);
    return !damaged;
}

bool rules_rebuild(GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    return mend(err);
}

/* Nobody's rules are in force yet: the host has just been started. */
static bool is_bare(void)
{
    g_autoptr(GHashTable) there = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    elements_values(MAP_PORTS, there);
    return !g_hash_table_size(ports) && !g_hash_table_size(there);
}

static void prime_group(GroupSpec *spec_stolen)
{
    g_autoptr(GString) text = g_string_new(NULL);
    GroupState *state = g_new0(GroupState, 1);
    nft_group_build(text, spec_stolen, NULL);
    *state = (GroupState){ spec_stolen, hash_of(text) };
    g_hash_table_replace(groups, g_strdup(spec_stolen->n.s), state);
}

bool rules_prime(GPtrArray *group_specs, GPtrArray *port_specs, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    g_autoptr(GHashTable) marks = g_hash_table_new(NULL, NULL);
    if (!is_bare())
        return true;
    for (guint i = 0; i < group_specs->len; i++)
        prime_group(g_steal_pointer(&group_specs->pdata[i]));
    for (guint i = 0; i < port_specs->len; i++) {
        guint32 mark = mark_for(((PortSpec *) port_specs->pdata[i])->n.s);
        /* The rare one whose number is another's waits for its own turn. */
        if (!g_hash_table_add(marks, GUINT_TO_POINTER(mark)))
            continue;
        PortState *state = g_new0(PortState, 1);
        *state = (PortState){ g_steal_pointer(&port_specs->pdata[i]), mark };
        g_hash_table_replace(ports, g_strdup(state->spec->n.s), state);
    }
    if (rebuild(err))
        return true;
    g_hash_table_remove_all(groups);
    g_hash_table_remove_all(ports);
    g_hash_table_remove_all(combos);
    g_hash_table_remove_all(built);
    return false;
}

static GHashTable *chains_of(const char *family, GError **err)
{
    g_autofree char *command = g_strdup_printf("list chains %s", family);
    g_autoptr(json_t) list = nft_list(command, err);
    GHashTable *names = list ? g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL) : NULL;
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one) {
        const json_t *chain = json_object_get(one, "chain");
        if (g_strcmp0(json_get_str(chain, "table"), "nuvolet") == 0)
            g_hash_table_add(names, g_strdup(json_get_str(chain, "name")));
    }
    return names;
}

static bool port_refers(const char *group)
{
    g_autoptr(GList) states = g_hash_table_get_values(ports);
    for (GList *l = states; l; l = l->next)
        if (is_member(((PortState *) l->data)->spec, group))
            return true;
    return false;
}

static bool list_ports(GHashTable *ret_ports, GError **err)
{
    g_autofree char *command = g_strdup_printf("list map %s", nft_map_name(MAP_PORTS));
    g_autoptr(json_t) list = nft_list(command, err);
    size_t i, k;
    json_t *one, *entry;
    json_array_foreach(list, i, one)
        json_array_foreach(json_object_get(json_object_get(one, "map"), "elem"), k, entry) {
            const char *tap = json_string_value(json_array_get(entry, 0));
            if (tap && g_str_has_prefix(tap, "nvt"))
                g_hash_table_add(ret_ports, g_strdup(tap + 3));
        }
    return list != NULL;
}

bool rules_list(GHashTable *ret_ports, GHashTable *ret_groups, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    g_autoptr(GHashTable) inet = chains_of("inet", err);
    GHashTableIter it;
    gpointer name;
    if (!inet || !list_ports(ret_ports, err))
        return false;
    g_hash_table_iter_init(&it, inet);
    while (g_hash_table_iter_next(&it, &name, NULL)) {
        const char *n = (const char *) name + 3;
        if (g_str_has_prefix(name, "gi_") && (g_hash_table_contains(groups, n) || !port_refers(n)))
            g_hash_table_add(ret_groups, g_strdup(n));
    }
    return true;
}

/* Sets of groups that have no chain, if only because their turn is still to come: to be removed as soon as no rule names them. */
static void read_orphans(GHashTable *chains)
{
    g_autoptr(json_t) list = nft_list("list sets inet", NULL);
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one) {
        const json_t *set = json_object_get(one, "set");
        const char *name = json_get_str(set, "name");
        if (g_strcmp0(json_get_str(set, "table"), "nuvolet") != 0 || !name || !(g_str_has_prefix(name, "g4_") || g_str_has_prefix(name, "g6_")))
            continue;
        g_autofree char *chain = g_strdup_printf("gi_%s", name + 3);
        if (!g_hash_table_contains(chains, chain))
            g_hash_table_add(orphans, g_strdup(name + 3));
    }
}

/* Combinations that an earlier agent left, and pieces of groups. */
static bool read_chains(GError **err)
{
    g_autoptr(GHashTable) inet = chains_of("inet", err);
    GHashTableIter it;
    gpointer name;
    if (!inet)
        return false;
    read_orphans(inet);
    took_over = g_hash_table_size(inet) > 0;
    g_hash_table_iter_init(&it, inet);
    while (g_hash_table_iter_next(&it, &name, NULL))
        if (g_str_has_prefix(name, "in_"))
            g_hash_table_add(combos, g_strdup((const char *) name + 3));
    return true;
}

bool rules_start(GError **err)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    ports = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, port_state_free);
    groups = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, group_state_free);
    networks = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, net_state_free);
    combos = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    built = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    elements_start();
    orphans = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    if (!read_chains(err))
        return false;
    nft_base_build(text, false);
    if (nft_apply(text->str, NULL))
        return elements_read(err) && elements_commit(ELEMENTS_STALE, NULL, "", "", NULL, err);
    /* An older version's tables of another shape: begin anew, closed until the controller says what there is. */
    g_string_truncate(text, 0);
    nft_base_build(text, true);
    g_hash_table_remove_all(combos);
    return nft_apply(text->str, err) && elements_read(err);
}

bool rules_clear(GError **err)
{
    return nft_apply("add table inet nuvolet\ndelete table inet nuvolet\nadd table bridge nuvolet\ndelete table bridge nuvolet\n", err);
}
