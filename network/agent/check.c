/* network/agent/check.c -- compares a port's entries, chains and links with the kernel's, read at this moment. */
#include "network/agent/check.h"
#include "core/error.h"
#include "network/agent/link.h"
#include "network/agent/nft.h"
#include "network/agent/nft_apply.h"
#include <string.h>

static void miss(json_t *missing, const char *what, const char *name)
{
    g_autofree char *text = g_strconcat(what, " ", name, NULL);
    json_array_append_new(missing, json_string(text));
}

/* The entry as the kernel has it: its value in a map, "" in a set; NULL: it is not there. */
static char *entry_of(NftMap map, const char *key)
{
    g_autofree char *command = g_strdup_printf("get element %s { %s }", nft_map_name(map), key);
    g_autofree char *text = nft_text(command, NULL);
    const char *entry = text ? strstr(text, "elements = {") : NULL, *value = entry ? strstr(entry, " : ") : NULL;
    if (!entry)
        return NULL;
    if (!value || nft_map_is_set(map))
        return g_strdup("");
    return g_strstrip(g_strndup(value + 3, strcspn(value + 3, "}\n")));
}

/* Names of the chains that a chain jumps to, or the comments of its rules. */
static GHashTable *chain_of(const char *chain, bool comments)
{
    g_autofree char *command = g_strdup_printf("list chain inet nuvolet %s", chain);
    g_autoptr(json_t) list = nft_list(command, NULL);
    GHashTable *names = list ? g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL) : NULL;
    size_t i, k;
    json_t *one, *e;
    json_array_foreach(list, i, one) {
        const json_t *rule = json_object_get(one, "rule");
        const char *comment = json_get_str(rule, "comment");
        if (comments && comment)
            g_hash_table_add(names, g_strdup(comment));
        json_array_foreach(json_object_get(rule, "expr"), k, e) {
            const char *target = json_get_str(json_object_get(e, "jump"), "target");
            if (!comments && target)
                g_hash_table_add(names, g_strdup(target));
        }
    }
    return names;
}

static void add_rules(GHashTable *names, json_t *rules)
{
    GHashTableIter it;
    gpointer name;
    g_hash_table_iter_init(&it, names);
    while (g_hash_table_iter_next(&it, &name, NULL))
        json_array_append_new(rules, json_string(name));
}

/* The chains of one direction: from the port's mark to its combination of groups, and from that to each of its groups. */
static void check_direction(const PortSpec *p, guint32 mark, bool ingress, json_t *missing, json_t *rules)
{
    g_autofree char *key = g_strdup_printf("0x%x", mark);
    g_autofree char *verdict = entry_of(ingress ? MAP_INGRESS : MAP_EGRESS, key);
    const char *chain = verdict && g_str_has_prefix(verdict, "goto ") ? verdict + strlen("goto ") : NULL;
    if (!verdict || (p->port_security && !chain)) {
        miss(missing, "the way from the port to its rules:", ingress ? "ingress" : "egress");
        return;
    }
    g_autoptr(GHashTable) jumps = chain ? chain_of(chain, false) : NULL;
    for (guint i = 0; p->port_security && i < p->groups->len; i++) {
        const char *n = g_array_index(p->groups, Id12, i).s;
        g_autofree char *name = g_strdup_printf("%s_%s", ingress ? "gi" : "ge", n);
        g_autoptr(GHashTable) mine = chain_of(name, true);
        if (!jumps || !g_hash_table_contains(jumps, name) || !mine)
            miss(missing, "the chain of security group", n);
        else
            add_rules(mine, rules);                    /* rules that no packet of the port comes to are not in force for it */
    }
}

static void check_links(const PortSpec *p, json_t *missing)
{
    LinkInfo tap, bridge;
    if (!link_get(p->bridge.s, &bridge, NULL))
        miss(missing, "the bridge", p->bridge.s);
    else if (!link_get(p->tap.s, &tap, NULL))
        miss(missing, "the tap", p->tap.s);
    else if (tap.master != bridge.index)
        miss(missing, "on its bridge: the tap", p->tap.s);
    else if (tap.up != p->up)
        miss(missing, p->up ? "up: the tap" : "down: the tap", p->tap.s);
}

bool check_port(const PortSpec *p, json_t *missing, json_t *rules, GError **err)
{
    g_autofree char *tap = g_strdup_printf("\"%s\"", p->tap.s);
    g_autofree char *base = nft_text("list chain bridge nuvolet secure", err), *mark = base ? entry_of(MAP_MARKS, tap) : NULL;
    if (!base)
        return false;
    check_links(p, missing);
    if (!mark) {
        miss(missing, "every rule of port", p->n.s);
        return true;
    }
    guint32 m = (guint32) g_ascii_strtoull(mark, NULL, 0);
    g_autoptr(GArray) entries = nft_port_elements(p, m & NFT_MARK_NUMBER, true);
    for (guint i = 0; i < entries->len; i++) {
        const NftElement *e = &g_array_index(entries, NftElement, i);
        g_autofree char *found = nft_map_is_set(e->map) ? entry_of(e->map, e->key) : NULL;
        if (nft_map_is_set(e->map) && !found)
            miss(missing, "the entry", e->key);
    }
    check_direction(p, m, true, missing, rules);
    check_direction(p, m, false, missing, rules);
    return true;
}
