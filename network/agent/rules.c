/* network/agent/rules.c -- the rules' desired state in memory, and transactions from it to the kernel. */
#include "network/agent/rules.h"
#include "core/error.h"
#include "core/log.h"
#include "network/agent/conntrack.h"
#include "network/agent/nft.h"
#include "network/agent/nft_apply.h"
#include <stdlib.h>
#include <string.h>

typedef struct PortState { PortSpec *spec; guint32 mark; char *hash; } PortState;
typedef struct GroupState { GroupSpec *spec; char *hash; } GroupState;
typedef struct NetState { GArray *elements; int zone; } NetState;

/* All under lock.  kernel: what the maps and sets hold, "<map> <key>" → value ("" in sets); kept by our own transactions. */
static GMutex lock;
static GHashTable *ports, *groups, *networks, *kernel;
static GHashTable *orphans;          /* groups that are gone but whose sets a rule still names */

static void port_state_free(gpointer data)
{
    PortState *s = data;
    spec_port_free(s->spec);
    g_free(s->hash);
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

static char *slot(NftMap map, const char *key)
{
    return g_strdup_printf("%d %s", map, key);
}

/* --- reading the kernel's maps --- */

static char *key_text(const json_t *v)
{
    const json_t *concat = json_object_get(v, "concat"), *prefix = json_object_get(v, "prefix");
    if (json_is_integer(v))
        return g_strdup_printf("0x%" G_GINT64_MODIFIER "x", (gint64) json_integer_value(v));
    if (prefix)
        return g_strdup_printf("%s/%d", json_get_str(prefix, "addr"), (int) json_get_int(prefix, "len", 0));
    if (concat)
        return g_strdup_printf("\"%s\" . %s", json_string_value(json_array_get(concat, 0)), json_string_value(json_array_get(concat, 1)));
    return g_strdup(json_string_value(v) ? json_string_value(v) : "");
}

static char *value_text(const json_t *v, NftMap map)
{
    const char *target = json_get_str(json_object_get(v, "goto"), "target");
    if (target)
        return g_strdup_printf("goto %s", target);
    return g_strdup_printf(map == MAP_ZONES ? "%d" : "0x%x", (int) json_integer_value(v));
}

static bool keyed_by_name(NftMap map)
{
    return map == MAP_MARKS || map == MAP_PORTS || map == MAP_ZONES || map == SET_GATEWAYS;
}

static void take_elements(NftMap map, const json_t *elements)
{
    size_t i;
    json_t *e;
    json_array_foreach((json_t *) elements, i, e) {
        bool pair = json_is_array(e);
        g_autofree char *raw = key_text(pair ? json_array_get(e, 0) : e);
        g_autofree char *key = keyed_by_name(map) ? g_strdup_printf("\"%s\"", raw) : g_strdup(raw);
        g_hash_table_replace(kernel, slot(map, key), pair ? value_text(json_array_get(e, 1), map) : g_strdup(""));
    }
}

static bool read_kernel(GError **err)
{
    g_hash_table_remove_all(kernel);
    for (int m = 0; m < MAP_LAST; m++) {
        g_autofree char *command = g_strdup_printf("list %s %s", m >= SET_GATEWAYS ? "set" : "map", nft_map_name(m));
        g_autoptr(json_t) list = nft_list(command, err);
        size_t i;
        json_t *one;
        if (!list)
            return false;
        json_array_foreach(list, i, one) {
            const json_t *body = json_object_get(one, "map") ? json_object_get(one, "map") : json_object_get(one, "set");
            take_elements(m, json_object_get(body, "elem"));
        }
    }
    return true;
}

/* --- differences of elements --- */

/* Which port a map's entry leads to: the last 12 characters of "goto in_…". */
static bool belongs(const char *key, const char *value, const char *n)
{
    g_autofree char *tap = g_strdup_printf("\"nvt%s\"", n);
    return (g_str_has_prefix(value, "goto ") && g_str_has_suffix(value, n)) || strcmp(strchr(key, ' ') + 1, tap) == 0;
}

static bool is_known_other(const char *value, const char *n)
{
    const char *dash = strrchr(value, '_');
    return dash && strcmp(dash + 1, n) != 0 && g_hash_table_contains(ports, dash + 1);
}

/* Entries of old that are not in wanted go, missing ones come.  before: deletions, which precede changes of chains; after: additions. */
static void diff_elements(GPtrArray *old_slots, const GArray *wanted, const char *n, GString *before, GString *after)
{
    g_autoptr(GHashTable) keep = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; wanted && i < wanted->len; i++) {
        const NftElement *e = &g_array_index(wanted, NftElement, i);
        char *key = slot(e->map, e->key);
        const char *there = g_hash_table_lookup(kernel, key);
        bool again = !g_hash_table_add(keep, key);
        /* An address that two ports may use is the first one's, as packets from the host are concerned. */
        bool taken = there && (e->map == MAP_ROUTED4 || e->map == MAP_ROUTED6) && is_known_other(there, n);
        if (again || taken || g_strcmp0(there, e->value ? e->value : "") == 0)
            continue;
        if (there)
            nft_element_build(before, e, false);
        nft_element_build(after, e, true);
    }
    for (guint i = 0; i < old_slots->len; i++) {
        const char *key = old_slots->pdata[i];
        NftElement gone = { .map = (NftMap) g_ascii_strtoll(key, NULL, 10), .key = strchr(key, ' ') + 1 };
        if (!g_hash_table_contains(keep, key))
            nft_element_build(before, &gone, false);
    }
}

static GPtrArray *slots_of_port(const char *n)
{
    GPtrArray *found = g_ptr_array_new();
    GHashTableIter it;
    gpointer key, value;
    g_hash_table_iter_init(&it, kernel);
    while (g_hash_table_iter_next(&it, &key, &value))
        if (belongs(key, value, n))
            g_ptr_array_add(found, key);
    return found;
}

/* Brings `kernel` to what a successful transaction did. */
static void note_elements(const GPtrArray *old_slots, const GArray *wanted, const char *n)
{
    for (guint i = 0; i < old_slots->len; i++)
        g_hash_table_remove(kernel, old_slots->pdata[i]);
    for (guint i = 0; wanted && i < wanted->len; i++) {
        const NftElement *e = &g_array_index(wanted, NftElement, i);
        g_autofree char *key = slot(e->map, e->key);
        const char *there = g_hash_table_lookup(kernel, key);
        if (!there || !is_known_other(there, n))
            g_hash_table_replace(kernel, g_steal_pointer(&key), g_strdup(e->value ? e->value : ""));
    }
}

/* One transaction: chains in the middle, entries around them. */
static bool commit(const char *n, GPtrArray *(*slots)(const char *n), const GArray *wanted, const char *chains_first, const char *chains_last, GError **err)
{
    for (int attempt = 0;; attempt++) {
        g_autoptr(GPtrArray) old = slots(n);
        g_autoptr(GString) before = g_string_new(NULL), after = g_string_new(NULL);
        g_autoptr(GError) why = NULL;
        diff_elements(old, wanted, n, before, after);
        g_autofree char *text = g_strconcat(chains_first, before->str, after->str, chains_last, NULL);
        if (!*text || nft_apply(text, &why)) {
            note_elements(old, wanted, n);
            return true;
        }
        /* Somebody else may have changed the maps: look once. */
        if (attempt || !read_kernel(NULL)) {
            g_propagate_error(err, g_steal_pointer(&why));
            return false;
        }
    }
}

/* --- ports --- */

static int zone_of(const char *network)
{
    const NetState *net = g_hash_table_lookup(networks, network);
    return net ? net->zone : 0;
}

static void flows_of_port(const PortSpec *p, GArray *flows)
{
    int zone = zone_of(p->network.s);
    for (guint i = 0; i < p->addresses->len; i++) {
        Flow f = { zone, g_array_index(p->addresses, Ip, i) };
        g_array_append_val(flows, f);
    }
    for (guint i = 0; i < p->pairs->len; i++) {
        Cidr c = g_array_index(p->pairs, Pair, i).cidr;
        Flow f = { zone, c.base };
        if (c.prefix == (c.base.version == 4 ? 32 : 128))
            g_array_append_val(flows, f);
    }
}

static void forget_flows(const GArray *flows)
{
    g_autoptr(GError) why = NULL;
    if (!conntrack_flush(flows, &why))
        log_warn("net.flows_kept", "error", why->message, NULL);
}

static void forget_port_flows(const PortSpec *p)
{
    g_autoptr(GArray) flows = g_array_new(FALSE, TRUE, sizeof(Flow));
    flows_of_port(p, flows);
    forget_flows(flows);
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

static bool mark_is_free(guint32 mark, const char *n)
{
    g_autofree char *key = g_strdup_printf("%d 0x%x", MAP_EGRESS, NFT_MARK | mark);
    const char *value = g_hash_table_lookup(kernel, key);
    return !value || g_str_has_suffix(value, n);
}

/* The same number for the same port, whoever computes it, but for the rare collision. */
static guint32 mark_for(const char *n)
{
    guint32 mark = (guint32) (g_ascii_strtoull(n, NULL, 16) & 0x3fffffff);
    g_autofree char *tap = g_strdup_printf("%d \"nvt%s\"", MAP_MARKS, n);
    const char *kept = g_hash_table_lookup(kernel, tap);
    if (kept)
        return (guint32) g_ascii_strtoull(kept, NULL, 16) & 0x3fffffff;
    while (!mark || !mark_is_free(mark, n))
        mark = (mark + 1) & 0x3fffffff;
    return mark;
}

static char *hash_of(const GString *chains, const GArray *elements)
{
    g_autoptr(GString) all = g_string_new_len(chains->str, (gssize) chains->len);
    for (guint i = 0; elements && i < elements->len; i++)
        nft_element_build(all, &g_array_index(elements, NftElement, i), true);
    return g_compute_checksum_for_string(G_CHECKSUM_SHA256, all->str, (gssize) all->len);
}

static bool port_apply(PortSpec *spec_stolen, GError **err)
{
    g_autoptr(PortSpec) spec = spec_stolen;
    PortState *old = g_hash_table_lookup(ports, spec->n.s);
    guint32 mark = mark_for(spec->n.s);
    g_autoptr(GArray) elements = nft_port_elements(spec, mark);
    g_autoptr(GString) chains = g_string_new(NULL);
    nft_port_build(chains, spec, is_stateful(spec));
    g_autofree char *hash = hash_of(chains, elements);
    if (old && strcmp(old->hash, hash) == 0)
        return true;
    if (!commit(spec->n.s, slots_of_port, elements, chains->str, "", err))
        return false;
    if (old)
        forget_port_flows(old->spec);
    PortState *state = g_new0(PortState, 1);
    *state = (PortState){ g_steal_pointer(&spec), mark, g_steal_pointer(&hash) };
    g_hash_table_replace(ports, g_strdup(state->spec->n.s), state);
    return true;
}

bool rules_port_ensure(PortSpec *spec_stolen, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    return port_apply(spec_stolen, err);
}

/* A shared address of the port that goes falls to another port that may use it. */
static void reapply_pairs(const PortSpec *gone)
{
    GHashTableIter it;
    gpointer value;
    g_autoptr(GPtrArray) again = g_ptr_array_new();
    g_hash_table_iter_init(&it, ports);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        PortState *s = value;
        if (s->spec->pairs->len && strcmp(s->spec->network.s, gone->network.s) == 0)
            g_ptr_array_add(again, s);
    }
    for (guint i = 0; i < again->len; i++) {
        PortState *s = again->pdata[i];
        g_autoptr(GArray) elements = nft_port_elements(s->spec, s->mark);
        g_autoptr(GError) why = NULL;
        if (!commit(s->spec->n.s, slots_of_port, elements, "", "", &why))
            log_warn("net.rules_failed", "port", s->spec->n.s, "error", why->message, NULL);
    }
}

bool rules_port_absent(const char *n, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    g_autoptr(GString) chains = g_string_new(NULL);
    gpointer key = NULL, value = NULL;
    nft_port_absent_build(chains, n);
    if (!commit(n, slots_of_port, NULL, "", chains->str, err))
        return false;
    if (!g_hash_table_steal_extended(ports, n, &key, &value))
        return true;
    PortState *state = value;
    forget_port_flows(state->spec);
    if (state->spec->pairs->len)
        reapply_pairs(state->spec);
    port_state_free(state);
    g_free(key);
    return true;
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

static bool has_rule(const GArray *rules, const GroupRule *rule)
{
    for (guint i = 0; i < rules->len; i++)
        if (memcmp(&g_array_index(rules, GroupRule, i), rule, sizeof *rule) == 0)
            return true;
    return false;
}

static bool has_member(const GArray *members, Cidr c)
{
    for (guint i = 0; i < members->len; i++) {
        Cidr m = g_array_index(members, Cidr, i);
        if (m.prefix == c.prefix && m.base.version == c.base.version && m.base.n == c.base.n)
            return true;
    }
    return false;
}

/* True if something that old allowed may not be allowed by now. */
static bool narrows(const GroupSpec *old, const GroupSpec *now, bool *ret_members)
{
    *ret_members = false;
    for (guint i = 0; i < old->members->len && !*ret_members; i++)
        *ret_members = !has_member(now->members, g_array_index(old->members, Cidr, i));
    for (guint i = 0; i < old->rules->len; i++)
        if (!has_rule(now->rules, &g_array_index(old->rules, GroupRule, i)))
            return true;
    return *ret_members || old->stateful != now->stateful;
}

static bool names_group(const GroupSpec *g, const char *n)
{
    for (guint i = 0; i < g->rules->len; i++) {
        const GroupRule *r = &g_array_index(g->rules, GroupRule, i);
        if (r->has_group && strcmp(r->group.s, n) == 0)
            return true;
    }
    return false;
}

/* Whether the port is in the group, or (with members) in one whose rules name the group. */
static bool port_concerned(const PortSpec *p, const char *n, bool members)
{
    for (guint i = 0; i < p->groups->len; i++) {
        const char *mine = g_array_index(p->groups, Id12, i).s;
        const GroupState *g = g_hash_table_lookup(groups, mine);
        if (strcmp(mine, n) == 0 || (members && g && names_group(g->spec, n)))
            return true;
    }
    return false;
}

static void forget_group_flows(const char *n, bool members)
{
    g_autoptr(GArray) flows = g_array_new(FALSE, TRUE, sizeof(Flow));
    GHashTableIter it;
    gpointer value;
    g_hash_table_iter_init(&it, ports);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        const PortState *s = value;
        if (port_concerned(s->spec, n, members))
            flows_of_port(s->spec, flows);
    }
    forget_flows(flows);
}

/* Ports depend on whether their groups are stateful. */
static bool reapply_ports_of(const char *n, GError **err)
{
    GHashTableIter it;
    gpointer value;
    bool ok = true;
    g_hash_table_iter_init(&it, ports);
    while (ok && g_hash_table_iter_next(&it, NULL, &value)) {
        PortState *s = value;
        if (!port_concerned(s->spec, n, false))
            continue;
        g_autoptr(GString) chains = g_string_new(NULL);
        nft_port_build(chains, s->spec, is_stateful(s->spec));
        g_autoptr(GArray) elements = nft_port_elements(s->spec, s->mark);
        ok = nft_apply(chains->str, err);
        g_free(s->hash);
        s->hash = hash_of(chains, elements);
    }
    return ok;
}

bool rules_group_ensure(GroupSpec *spec_stolen, GError **err)
{
    g_autoptr(GroupSpec) spec = spec_stolen;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    g_autoptr(GString) text = g_string_new(NULL);
    g_autofree char *n = g_strdup(spec->n.s);
    GroupState *old = g_hash_table_lookup(groups, n);
    bool members = false, was_stateful = !old || old->spec->stateful;
    nft_group_build(text, spec);
    g_autofree char *hash = hash_of(text, NULL);
    if (old && strcmp(old->hash, hash) == 0 && old->spec->stateful == spec->stateful)
        return true;
    if (!nft_apply(text->str, err))
        return false;
    bool narrower = old && narrows(old->spec, spec, &members);
    GroupState *state = g_new0(GroupState, 1);
    *state = (GroupState){ g_steal_pointer(&spec), g_steal_pointer(&hash) };
    bool stateful = state->spec->stateful;
    g_hash_table_replace(groups, g_strdup(n), state);
    g_hash_table_remove(orphans, n);
    sweep_orphans();
    if (stateful != was_stateful && !reapply_ports_of(n, err))
        return false;
    if (narrower)
        forget_group_flows(n, members);
    return true;
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

/* Entries that carry the bridge's name, and NAT prefixes that belong to the network or to nobody. */
static GPtrArray *slots_of_network(const char *n)
{
    GPtrArray *found = g_ptr_array_new();
    g_autofree char *bridge = g_strdup_printf("\"nvb%s\"", n);
    GHashTableIter it, nets;
    gpointer key, value, name;
    g_hash_table_iter_init(&it, kernel);
    while (g_hash_table_iter_next(&it, &key, NULL)) {
        NftMap map = (NftMap) g_ascii_strtoll(key, NULL, 10);
        bool mine = (map == MAP_ZONES || map == SET_GATEWAYS) && strcmp(strchr(key, ' ') + 1, bridge) == 0;
        if (map == SET_NAT4 || map == SET_NAT6) {
            mine = true;
            g_hash_table_iter_init(&nets, networks);
            while (mine && g_hash_table_iter_next(&nets, &name, &value))
                for (guint i = 0; i < ((NetState *) value)->elements->len; i++) {
                    const NftElement *e = &g_array_index(((NetState *) value)->elements, NftElement, i);
                    if (e->map == map && strcmp(e->key, strchr((char *) key, ' ') + 1) == 0 && strcmp(name, n) != 0)
                        mine = false;
                }
        }
        if (mine)
            g_ptr_array_add(found, key);
    }
    return found;
}

bool rules_network_ensure(const NetworkSpec *spec, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    g_autoptr(GArray) elements = nft_network_elements(spec);
    if (!commit(spec->n.s, slots_of_network, elements, "", "", err))
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
    return commit(n, slots_of_network, NULL, "", "", err);
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

static void build_ports(GString *out)
{
    GHashTableIter it;
    gpointer value;
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_hash_table_iter_init(&it, ports);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        const PortState *s = value;
        nft_port_build(out, s->spec, is_stateful(s->spec));
        g_autoptr(GArray) elements = nft_port_elements(s->spec, s->mark);
        for (guint i = 0; i < elements->len; i++) {
            const NftElement *e = &g_array_index(elements, NftElement, i);
            if (g_hash_table_add(seen, slot(e->map, e->key)))
                nft_element_build(out, e, true);
        }
    }
}

bool rules_rebuild(GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    g_autoptr(GString) text = g_string_new(NULL);
    GHashTableIter it;
    gpointer value;
    nft_base_build(text, true);
    build_networks(text);
    g_hash_table_iter_init(&it, groups);
    while (g_hash_table_iter_next(&it, NULL, &value))
        nft_group_build(text, ((GroupState *) value)->spec);
    build_ports(text);
    g_hash_table_remove_all(orphans);
    return nft_apply(text->str, err) && read_kernel(err);
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
    GHashTableIter it;
    gpointer value;
    g_hash_table_iter_init(&it, ports);
    while (g_hash_table_iter_next(&it, NULL, &value))
        if (port_concerned(((PortState *) value)->spec, group, false))
            return true;
    return false;
}

bool rules_list(GHashTable *ret_ports, GHashTable *ret_groups, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    g_autoptr(GHashTable) bridge = chains_of("bridge", err);
    g_autoptr(GHashTable) inet = bridge ? chains_of("inet", err) : NULL;
    GHashTableIter it;
    gpointer name;
    if (!inet)
        return false;
    g_hash_table_iter_init(&it, bridge);
    while (g_hash_table_iter_next(&it, &name, NULL)) {
        if (!g_str_has_prefix(name, "sp_"))
            continue;
        const char *n = (const char *) name + 3;
        g_autofree char *in = g_strdup_printf("in_%s", n), *eg = g_strdup_printf("eg_%s", n);
        if (!g_hash_table_contains(ports, n) || (g_hash_table_contains(inet, in) && g_hash_table_contains(inet, eg)))
            g_hash_table_add(ret_ports, g_strdup(n));
    }
    g_hash_table_iter_init(&it, inet);
    while (g_hash_table_iter_next(&it, &name, NULL)) {
        const char *n = (const char *) name + 3;
        if (g_str_has_prefix(name, "gi_") && (g_hash_table_contains(groups, n) || !port_refers(n)))
            g_hash_table_add(ret_groups, g_strdup(n));
    }
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
    kernel = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    orphans = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    nft_base_build(text, false);
    if (nft_apply(text->str, NULL))
        return read_kernel(err);
    /* An older version's tables of another shape: begin anew, closed until the controller says what there is. */
    g_string_truncate(text, 0);
    nft_base_build(text, true);
    return nft_apply(text->str, err) && read_kernel(err);
}
