/* network/agent/link_tunnel.c -- VXLAN and VLAN interfaces, where a VXLAN device sends each MAC, and the neighbours that a bridge answers for. */
#include "network/agent/link_netlink.h"
#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

static Msg *new_link(const char *name, const char *kind, struct nlattr **ret_info, struct nlattr **ret_data)
{
    struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
    Msg *msg = nlmsg_alloc_simple(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
    nlmsg_append(msg, &head, sizeof head, NLMSG_ALIGNTO);
    nla_put_string(msg, IFLA_IFNAME, name);
    *ret_info = nla_nest_start(msg, IFLA_LINKINFO);
    nla_put_string(msg, IFLA_INFO_KIND, kind);
    *ret_data = nla_nest_start(msg, IFLA_INFO_DATA);
    return msg;
}

static Msg *end_link(Msg *msg, struct nlattr *info, struct nlattr *data)
{
    nla_nest_end(msg, data);
    nla_nest_end(msg, info);
    return msg;
}

bool link_vxlan_ensure(const char *name, guint32 vni, Ip local, guint16 port, gint64 mtu, GError **err)
{
    LinkInfo info;
    struct nlattr *outer, *data;
    guint8 raw[16];
    bool exists = link_get(name, &info, NULL);
    if (exists && info.vni == vni && info.port == port && ip_compare(info.local, local) == 0)
        return link_mtu(name, mtu, err);
    if (!link_absent(name, err))
        return false;
    Msg *msg = new_link(name, "vxlan", &outer, &data);
    link_ip_bytes(local, raw);
    nla_put_u32(msg, IFLA_VXLAN_ID, vni);
    nla_put(msg, local.version == 4 ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6, local.version == 4 ? 4 : 16, raw);
    nla_put_u16(msg, IFLA_VXLAN_PORT, htons(port));
    nla_put_u8(msg, IFLA_VXLAN_LEARNING, 0);
    return link_talk(end_link(msg, outer, data), "VXLAN device", name, NULL, err) && link_mtu(name, mtu, err);
}

bool link_vlan_ensure(const char *name, const char *parent, int vlan, gint64 mtu, GError **err)
{
    LinkInfo info, below;
    struct nlattr *outer, *data;
    if (!link_need(parent, &below, err))
        return false;
    bool exists = link_get(name, &info, NULL);
    if (exists && info.vlan == vlan && info.below == below.index)
        return link_mtu(name, mtu, err);
    if (!link_absent(name, err))
        return false;
    Msg *msg = new_link(name, "vlan", &outer, &data);
    nla_put_u16(msg, IFLA_VLAN_ID, (guint16) vlan);
    end_link(msg, outer, data);
    nla_put_u32(msg, IFLA_LINK, (guint32) below.index);
    return link_talk(msg, "VLAN interface", name, NULL, err) && link_mtu(name, mtu, err);
}

bool link_release(const char *name, GError **err)
{
    LinkInfo info;
    if (!link_need(name, &info, err))
        return false;
    if (!info.master)
        return true;
    struct ifinfomsg head = { .ifi_family = AF_UNSPEC, .ifi_index = info.index };
    Msg *msg = nlmsg_alloc_simple(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK);
    nlmsg_append(msg, &head, sizeof head, NLMSG_ALIGNTO);
    nla_put_u32(msg, IFLA_MASTER, 0);
    return link_talk(msg, "taking from its bridge", name, NULL, err);
}

/* --- entries: one table, keyed by MAC (forwarding) or address (neighbours) --- */

/* key: what an entry is found by; value: what it says. */
typedef struct Entry { guint8 key[16], value[16]; int key_size, value_size; } Entry;
typedef struct Table { int index, family; GHashTable *found; } Table;

static guint entry_hash(gconstpointer data)
{
    const Entry *e = data;
    guint32 h = 5381;
    for (int i = 0; i < e->key_size; i++)
        h = h * 33 + e->key[i];
    return h;
}

static gboolean entry_equal(gconstpointer a, gconstpointer b)
{
    const Entry *x = a, *y = b;
    return x->key_size == y->key_size && memcmp(x->key, y->key, (size_t) x->key_size) == 0;
}

static bool same_value(const Entry *a, const Entry *b)
{
    return a->value_size == b->value_size && memcmp(a->value, b->value, (size_t) a->value_size) == 0;
}

static bool take(guint8 *out, int *ret_size, struct nlattr *attr)
{
    if (!attr || nla_len(attr) > 16)
        return false;
    *ret_size = nla_len(attr);
    memcpy(out, nla_data(attr), (size_t) *ret_size);
    return true;
}

static void entry_one(struct nlmsghdr *nlh, void *data)
{
    const Table *t = data;
    const struct ndmsg *head = nlmsg_data(nlh);
    struct nlattr *tb[NDA_MAX + 1] = { 0 };
    Entry e = { 0 };
    bool fdb = t->family == AF_BRIDGE;
    if (nlh->nlmsg_type != RTM_NEWNEIGH || head->ndm_ifindex != t->index || head->ndm_family != t->family || !(head->ndm_state & NUD_PERMANENT))
        return;
    nlmsg_parse(nlh, sizeof *head, tb, NDA_MAX, NULL);
    if ((fdb && (!(head->ndm_flags & NTF_SELF) || tb[NDA_MASTER])) || !take(e.key, &e.key_size, tb[fdb ? NDA_LLADDR : NDA_DST]))
        return;
    take(e.value, &e.value_size, tb[fdb ? NDA_DST : NDA_LLADDR]);
    g_hash_table_add(t->found, g_memdup2(&e, sizeof e));
}

static bool change(const char *name, const Table *t, const Entry *e, bool add, GError **err)
{
    static const int gone[] = { NLE_OBJ_NOTFOUND, 0 };
    bool fdb = t->family == AF_BRIDGE;
    struct ndmsg head = { .ndm_family = (guint8) t->family, .ndm_ifindex = t->index, .ndm_state = NUD_PERMANENT, .ndm_flags = fdb ? NTF_SELF : 0 };
    Msg *msg = nlmsg_alloc_simple(add ? RTM_NEWNEIGH : RTM_DELNEIGH, NLM_F_REQUEST | NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_REPLACE : 0));
    nlmsg_append(msg, &head, sizeof head, NLMSG_ALIGNTO);
    nla_put(msg, fdb ? NDA_LLADDR : NDA_DST, e->key_size, e->key);
    if (add || fdb)
        nla_put(msg, fdb ? NDA_DST : NDA_LLADDR, e->value_size, e->value);
    return link_talk(msg, fdb ? "destination of" : "neighbour of", name, add ? NULL : gone, err);
}

/* Fills found with what the kernel has. */
static bool table_of(const char *name, int family, GHashTable *found, Table *ret_table, GError **err)
{
    LinkInfo info;
    if (!link_need(name, &info, err))
        return false;
    *ret_table = (Table){ info.index, family, found };
    struct ifinfomsg of_port = { .ifi_family = AF_BRIDGE, .ifi_index = info.index };
    struct ndmsg of_link = { .ndm_family = (guint8) family };
    Msg *msg = nlmsg_alloc_simple(RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP);
    if (family == AF_BRIDGE)
        nlmsg_append(msg, &of_port, sizeof of_port, NLMSG_ALIGNTO);
    else {
        nlmsg_append(msg, &of_link, sizeof of_link, NLMSG_ALIGNTO);
        nla_put_u32(msg, NDA_IFINDEX, (guint32) info.index);
    }
    return link_dump(msg, entry_one, ret_table, err);
}

static GHashTable *entries_new(void)
{
    return g_hash_table_new_full(entry_hash, entry_equal, g_free, NULL);
}

/* What the kernel has becomes exactly wanted (set of Entry). */
static bool settle(const char *name, int family, GHashTable *wanted, GError **err)
{
    g_autoptr(GHashTable) found = entries_new();
    GHashTableIter it;
    gpointer key;
    Table t;
    if (!table_of(name, family, found, &t, err))
        return false;
    g_hash_table_iter_init(&it, found);
    while (g_hash_table_iter_next(&it, &key, NULL))
        if (!g_hash_table_contains(wanted, key) && !change(name, &t, key, false, err))
            return false;
    g_hash_table_iter_init(&it, wanted);
    while (g_hash_table_iter_next(&it, &key, NULL)) {
        const Entry *there = g_hash_table_lookup(found, key);
        /* A VXLAN device keeps the old destination beside a new one. */
        if (there && !same_value(there, key) && family == AF_BRIDGE && !change(name, &t, there, false, err))
            return false;
        if ((!there || !same_value(there, key)) && !change(name, &t, key, true, err))
            return false;
    }
    return true;
}

static void entry_add(GHashTable *set, const guint8 *key, int key_size, const guint8 *value, int value_size)
{
    Entry *e = g_new0(Entry, 1);
    e->key_size = key_size;
    e->value_size = value_size;
    memcpy(e->key, key, (size_t) key_size);
    memcpy(e->value, value, (size_t) value_size);
    g_hash_table_replace(set, e, e);
}

bool link_vxlan_fdb(const char *name, const GArray *destinations, GError **err)
{
    g_autoptr(GHashTable) wanted = entries_new();
    for (guint i = 0; i < destinations->len; i++) {
        const LinkNeighbour *d = &g_array_index(destinations, LinkNeighbour, i);
        guint8 raw[16];
        link_ip_bytes(d->ip, raw);
        entry_add(wanted, d->mac, 6, raw, d->ip.version == 4 ? 4 : 16);
    }
    return settle(name, AF_BRIDGE, wanted, err);
}

/* Those of one IP version, as entries; of two for an address the later one. */
static GHashTable *entries_of(const GArray *neighbours, int version)
{
    GHashTable *wanted = entries_new();
    for (guint i = 0; i < neighbours->len; i++) {
        const LinkNeighbour *n = &g_array_index(neighbours, LinkNeighbour, i);
        guint8 raw[16];
        link_ip_bytes(n->ip, raw);
        if (n->ip.version == version)
            entry_add(wanted, raw, version == 4 ? 4 : 16, n->mac, 6);
    }
    return wanted;
}

bool link_neighbours(const char *name, const GArray *neighbours, GError **err)
{
    for (int version = 4; version <= 6; version += 2) {
        g_autoptr(GHashTable) wanted = entries_of(neighbours, version);
        if (!settle(name, version == 4 ? AF_INET : AF_INET6, wanted, err))
            return false;
    }
    return true;
}

static bool same_entries(GHashTable *wanted, GHashTable *found)
{
    GHashTableIter it;
    gpointer key;
    g_hash_table_iter_init(&it, wanted);
    while (g_hash_table_iter_next(&it, &key, NULL)) {
        const Entry *there = g_hash_table_lookup(found, key);
        if (!there || !same_value(there, key))
            return false;
    }
    return g_hash_table_size(wanted) == g_hash_table_size(found);
}

bool link_neighbours6_are(const char *name, const GArray *neighbours)
{
    g_autoptr(GHashTable) wanted = entries_of(neighbours, 6), found = entries_new();
    Table t;
    return table_of(name, AF_INET6, found, &t, NULL) && same_entries(wanted, found);
}
