/* network/agent/elements.c -- a mirror of the kernel's sets, so that a change of one port is a transaction of a few entries. */
#include "network/agent/elements.h"
#include "core/error.h"
#include "network/agent/link.h"
#include "network/agent/nft_apply.h"
#include <string.h>

/* slot: "<map> <key as nft prints it>".  What was read is not known to be weak, and taken for it: its owner asks for it again. */
typedef struct Entry { char *slot, *value; char owner[16]; bool weak; } Entry;

static GHashTable *entries;          /* slot → Entry */
static GHashTable *owners;           /* owner → set of Entry */
static GHashTable *freed;            /* set of slots */

static void entry_free(gpointer data)
{
    Entry *e = data;
    g_free(e->slot);
    g_free(e->value);
    g_free(e);
}

void elements_start(void)
{
    entries = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, entry_free);
    owners = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_hash_table_unref);
    freed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

GHashTable *elements_freed(void)
{
    return freed;
}

char *elements_slot(NftMap map, const char *key)
{
    return g_strdup_printf("%d %s", map, key);
}

static NftElement element_of(const Entry *e)
{
    return (NftElement){ .map = (NftMap) g_ascii_strtoll(e->slot, NULL, 10), .key = strchr(e->slot, ' ') + 1, .value = *e->value ? e->value : NULL };
}

static Entry *find(NftMap map, const char *key)
{
    g_autofree char *slot = elements_slot(map, key);
    return g_hash_table_lookup(entries, slot);
}

static void drop(Entry *e)
{
    GHashTable *of = g_hash_table_lookup(owners, e->owner);
    if (of)
        g_hash_table_remove(of, e);
    if (of && !g_hash_table_size(of))
        g_hash_table_remove(owners, e->owner);
    g_hash_table_remove(entries, e->slot);
}

static void put(NftMap map, const char *key, const char *value, const char *owner, bool weak)
{
    Entry *old = find(map, key), *e = g_new0(Entry, 1);
    e->weak = weak && (!old || old->weak);
    if (old)
        drop(old);
    e->slot = elements_slot(map, key);
    g_hash_table_remove(freed, e->slot);
    e->value = g_strdup(value ? value : "");
    g_strlcpy(e->owner, owner, sizeof e->owner);
    GHashTable *of = g_hash_table_lookup(owners, owner);
    if (!of)
        g_hash_table_insert(owners, g_strdup(owner), of = g_hash_table_new(NULL, NULL));
    g_hash_table_add(of, e);
    g_hash_table_insert(entries, e->slot, e);
}

const char *elements_value(NftMap map, const char *key)
{
    const Entry *e = find(map, key);
    return e ? e->value : NULL;
}

const char *elements_owner(NftMap map, const char *key)
{
    const Entry *e = find(map, key);
    return e ? e->owner : NULL;
}

void elements_values(NftMap map, GHashTable *set)
{
    GHashTableIter it;
    gpointer value;
    g_hash_table_iter_init(&it, entries);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        NftElement e = element_of(value);
        if (e.map == map && e.value)
            g_hash_table_add(set, g_strdup(e.value));
    }
}

/* --- reading --- */

static void put_part(GString *out, const json_t *v, bool is_mac, bool is_link)
{
    const json_t *prefix = json_object_get(v, "prefix"), *range = json_object_get(v, "range");
    if (out->len)
        g_string_append(out, " . ");
    if (prefix)
        g_string_append_printf(out, "%s/%d", json_get_str(prefix, "addr"), (int) json_get_int(prefix, "len", 0));
    else if (json_is_integer(v))
        g_string_append_printf(out, is_mac ? "0x%012" G_GINT64_MODIFIER "x" : "0x%" G_GINT64_MODIFIER "x", (guint64) json_integer_value(v));
    else if (range)
        g_string_append_printf(out, "%s-%s", json_string_value(json_array_get(range, 0)), json_string_value(json_array_get(range, 1)));
    else if (is_link || g_str_has_prefix(json_string_value(v) ? json_string_value(v) : "", "nv"))
        g_string_append_printf(out, "\"%s\"", json_string_value(v));
    else
        g_string_append(out, json_string_value(v) ? json_string_value(v) : "");
}

static char *key_text(NftMap map, const json_t *v)
{
    const json_t *concat = json_object_get(v, "concat");
    g_autoptr(GString) out = g_string_new(NULL);
    for (size_t i = 0; i < json_array_size(concat); i++)
        put_part(out, json_array_get(concat, i), map == SET_CHADDR, false);
    if (!concat)
        put_part(out, v, false, map == SET_UPLINKS || map == SET_SERVED);
    return g_strdup(out->str);
}

static char *value_text(NftMap map, const json_t *v)
{
    const char *target = json_get_str(json_object_get(v, "goto"), "target"), *sub = json_get_str(json_object_get(v, "jump"), "target");
    if (sub)
        return g_strdup_printf("jump %s", sub);
    if (target)
        return g_strdup_printf("goto %s", target);
    if (json_is_object(v))
        return g_strdup("accept");
    return g_strdup_printf(map == MAP_ZONES ? "%d" : "0x%x", (int) json_integer_value(v));
}

/* What an entry of a set has beside its key. */
static char *more_text(const json_t *elem)
{
    const json_t *limit = json_object_get(elem, "limit");
    const char *comment = json_get_str(elem, "comment");
    if (comment)
        return g_strdup_printf("comment \"%s\"", comment);
    return nft_limit(json_get_int(limit, "rate", 0), json_get_int(limit, "burst", 0));
}

/* Networks (12 digits) by VXLAN id and by the interface that is joined to their bridge, as keys say them. */
static GHashTable *networks_by_link(void)
{
    GHashTable *of = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr(GArray) links = link_list("", NULL);
    g_autoptr(GHashTable) bridges = g_hash_table_new(NULL, NULL);
    for (guint i = 0; links && i < links->len; i++) {
        const LinkInfo *l = &g_array_index(links, LinkInfo, i);
        if (g_str_has_prefix(l->name, "nvb"))
            g_hash_table_insert(bridges, GINT_TO_POINTER(l->index), (gpointer) (l->name + 3));
    }
    for (guint i = 0; links && i < links->len; i++) {
        const LinkInfo *l = &g_array_index(links, LinkInfo, i);
        const char *n = l->master ? g_hash_table_lookup(bridges, GINT_TO_POINTER(l->master)) : NULL;
        if (n)
            g_hash_table_insert(of, g_strdup_printf("\"%s\"", l->name), g_strdup(n));
        if (l->vni && g_str_has_prefix(l->name, "nvx"))
            g_hash_table_insert(of, g_strdup_printf("0x%x", l->vni), g_strdup(l->name + 3));
    }
    return of;
}

/* Whose it is: told by the entry, by the tap or bridge in the key, by the mark, which MAP_MARKS (read first) gives to a tap, or by the kernel's
 * links. */
static void owner_of(NftMap map, const char *key, const char *value, GHashTable *marks, GHashTable *by_link, char owner[16])
{
    if (map == SET_VNIS || map == SET_PEERS4 || map == SET_PEERS6 || map == SET_UPLINKS || map == SET_SERVED) {
        const char *last = strrchr(key, ' '), *n = g_hash_table_lookup(by_link, last ? last + 1 : key);
        g_strlcpy(owner, ELEMENTS_STALE, 16);
        if (n)
            g_snprintf(owner, 16, "n%.12s", n);
        return;
    }
    const char *noted = nft_owner_noted(value);
    const char *mark = map == MAP_EGRESS || map == MAP_INGRESS ? key : map == MAP_ROUTED4 || map == MAP_ROUTED6 ? value : NULL;
    const char *tap = mark ? g_hash_table_lookup(marks, mark) : key;
    *owner = 0;
    if (noted)
        g_snprintf(owner, 16, "n%.12s", noted);
    else if (tap && g_str_has_prefix(tap, "\"nvt"))
        g_snprintf(owner, 16, "p%.12s", tap + 4);
    else if (tap && (g_str_has_prefix(tap, "\"nvb") || g_str_has_prefix(tap, "\"nvx")))
        g_snprintf(owner, 16, "n%.12s", tap + 4);
}

static void take(NftMap map, const json_t *elements, GHashTable *marks, GHashTable *by_link)
{
    size_t i;
    json_t *e;
    json_array_foreach((json_t *) elements, i, e) {
        bool pair = !nft_map_is_set(map) && json_is_array(e);
        char owner[16];
        const json_t *elem = json_object_get(e, "elem");
        g_autofree char *key = key_text(map, pair ? json_array_get(e, 0) : elem ? json_object_get(elem, "val") : e);
        g_autofree char *value = pair ? value_text(map, json_array_get(e, 1)) : elem ? more_text(elem) : NULL;
        if (map == MAP_MARKS)
            g_hash_table_insert(marks, g_strdup(value), g_strdup(key));
        owner_of(map, key, value, marks, by_link, owner);
        put(map, key, value, owner, true);
    }
}

bool elements_read(GError **err)
{
    g_autoptr(GHashTable) marks = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free), by_link = networks_by_link();
    g_hash_table_remove_all(owners);
    g_hash_table_remove_all(entries);
    for (int m = 0; m < MAP_LAST; m++) {
        g_autofree char *command = g_strdup_printf("list %s %s", nft_map_is_set(m) ? "set" : "map", nft_map_name(m));
        g_autoptr(json_t) list = nft_list(command, err);
        size_t i;
        json_t *one;
        if (!list)
            return false;
        json_array_foreach(list, i, one) {
            const json_t *body = json_object_get(one, "map") ? json_object_get(one, "map") : json_object_get(one, "set");
            take(m, json_object_get(body, "elem"), marks, by_link);
        }
    }
    return true;
}

/* --- changing --- */

static bool is_routed(NftMap map)
{
    return map == MAP_ROUTED4 || map == MAP_ROUTED6;
}

/* An address that two ports may use is the first one's, or else its whose own it is, as packets from the host are concerned. */
static bool is_taken(const NftElement *e, const char *owner)
{
    const Entry *other = is_routed(e->map) ? find(e->map, e->key) : NULL;
    return other && *other->owner && strcmp(other->owner, owner) != 0 && (e->weak || !other->weak);
}

static void build_difference(const char *owner, const GArray *wanted, GString *out)
{
    g_autoptr(GHashTable) keep = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GString) adding = g_string_new(NULL);
    GHashTable *mine = g_hash_table_lookup(owners, owner);
    GHashTableIter it;
    gpointer entry;
    for (guint i = 0; wanted && i < wanted->len; i++) {
        const NftElement *e = &g_array_index(wanted, NftElement, i);
        const char *there = elements_value(e->map, e->key);
        if (!g_hash_table_add(keep, elements_slot(e->map, e->key)) || is_taken(e, owner) || g_strcmp0(there, e->value ? e->value : "") == 0)
            continue;
        if (there)
            nft_element_build(out, e, false);
        nft_element_build(adding, e, true);
    }
    if (mine)
        g_hash_table_iter_init(&it, mine);
    while (mine && g_hash_table_iter_next(&it, &entry, NULL)) {
        NftElement gone = element_of(entry);
        if (!g_hash_table_contains(keep, ((Entry *) entry)->slot))
            nft_element_build(out, &gone, false);
    }
    g_string_append(out, adding->str);
}

static void note(const char *owner, const GArray *wanted)
{
    GHashTable *mine = g_hash_table_lookup(owners, owner);
    g_autoptr(GList) old = mine ? g_hash_table_get_keys(mine) : NULL;
    for (GList *l = old; l; l = l->next) {
        Entry *e = l->data;
        if (is_routed(element_of(e).map))
            g_hash_table_add(freed, g_strdup(e->slot));
        drop(e);
    }
    for (guint i = 0; wanted && i < wanted->len; i++) {
        const NftElement *e = &g_array_index(wanted, NftElement, i);
        if (!is_taken(e, owner))
            put(e->map, e->key, e->value, owner, e->weak);
    }
}

bool elements_commit(const char *owner, const GArray *wanted, const char *chains_first, const char *chains_last, bool *ret_changed, GError **err)
{
    for (int attempt = 0;; attempt++) {
        g_autoptr(GString) text = g_string_new(chains_first);
        g_autoptr(GError) why = NULL;
        build_difference(owner, wanted, text);
        g_string_append(text, chains_last);
        if (!text->len || nft_apply(text->str, &why)) {
            note(owner, wanted);
            if (ret_changed)
                *ret_changed = text->len > 0;
            return true;
        }
        /* Somebody else may have changed the sets: look once. */
        if (attempt || !elements_read(NULL)) {
            g_propagate_error(err, g_steal_pointer(&why));
            return false;
        }
    }
}
