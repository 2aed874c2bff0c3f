/* network/agent/nft_group.c -- the text of a security group: one chain a direction, and the sets of its members. */
#include "network/agent/counters.h"
#include "network/agent/nft.h"

enum { PROTO_ICMP = 1, PROTO_ICMPV6 = 58 };

/* Protocols whose first four bytes are source and destination port. */
static bool has_ports(int protocol)
{
    static const int with[] = { 6, 17, 33, 132, 136 };
    for (gsize i = 0; i < G_N_ELEMENTS(with); i++)
        if (with[i] == protocol)
            return true;
    return false;
}

static void put_remote(GString *out, const GroupRule *r)
{
    const char *family = r->version == 4 ? "ip" : "ip6", *side = r->ingress ? "saddr" : "daddr";
    char buf[50];
    if (r->has_cidr && r->cidr.prefix) {
        cidr_format(r->cidr, buf);
        g_string_append_printf(out, " %s %s %s", family, side, buf);
    }
    if (r->has_group)
        g_string_append_printf(out, " %s %s @g%d_%s", family, side, r->version, r->group.s);
}

static void put_protocol(GString *out, const GroupRule *r)
{
    int protocol = r->version == 6 && r->protocol == PROTO_ICMP ? PROTO_ICMPV6 : r->protocol;
    if (protocol < 0)
        return;
    g_string_append_printf(out, " meta l4proto %d", protocol);
    if (protocol == PROTO_ICMP || protocol == PROTO_ICMPV6) {
        const char *name = protocol == PROTO_ICMP ? "icmp" : "icmpv6";
        if (r->port_min >= 0)
            g_string_append_printf(out, " %s type %d", name, r->port_min & 255);
        if (r->port_min >= 0 && r->port_max >= 0)
            g_string_append_printf(out, " %s code %d", name, r->port_max & 255);
        return;
    }
    if (!has_ports(protocol) || (r->port_min < 0 && r->port_max < 0))
        return;
    int low = r->port_min < 0 ? 0 : r->port_min, high = r->port_max < 0 ? 65535 : r->port_max;
    if (low == high)
        g_string_append_printf(out, " th dport %d", low);
    else if (low < high)
        g_string_append_printf(out, " th dport %d-%d", low, high);
    else
        g_string_append(out, " th dport 0 th dport != 0");   /* an empty range allows nothing */
}

/* A rule by address group is several rules of one id: the first of them goes on with what all have counted. */
static void put_counter(GString *out, const GroupRule *r, GHashTable *counters)
{
    const char *allow = r->ingress ? "allow_in" : "allow_out";
    gpointer id = NULL, counted = NULL;
    if (!counters || !g_hash_table_steal_extended(counters, r->id.s, &id, &counted)) {
        g_string_append_printf(out, " counter goto %s comment \"%s\"\n", allow, r->id.s);
        return;
    }
    g_autofree Counter *c = counted;
    g_string_append_printf(out, " counter packets %" G_GUINT64_FORMAT " bytes %" G_GUINT64_FORMAT " goto %s comment \"%s\"\n", c->packets,
                           c->bytes, allow, r->id.s);
    g_free(id);
}

static void put_rules(GString *out, const GroupSpec *g, bool ingress, GHashTable *counters)
{
    const char *prefix = ingress ? "gi_" : "ge_";
    g_string_append_printf(out, "add chain inet nuvolet %s%s\nflush chain inet nuvolet %s%s\ntable inet nuvolet {\n\tchain %s%s {\n", prefix,
                           g->n.s, prefix, g->n.s, prefix, g->n.s);
    for (guint i = 0; i < g->rules->len; i++) {
        const GroupRule *r = &g_array_index(g->rules, GroupRule, i);
        if (r->ingress != ingress)
            continue;
        g_string_append_printf(out, "\t\tmeta nfproto ipv%d", r->version);
        put_remote(out, r);
        put_protocol(out, r);
        put_counter(out, r, counters);
    }
    g_string_append(out, "\t}\n}\n");
}

/* A set must be there before a rule names it: empty until its own group is declared. */
static void declare_sets(GString *out, const char *n)
{
    g_string_append_printf(out,
                           "table inet nuvolet {\n\tset g4_%s { type ipv4_addr; flags interval; auto-merge; }\n"
                           "\tset g6_%s { type ipv6_addr; flags interval; auto-merge; }\n}\n",
                           n, n);
}

static void put_members(GString *out, const GroupSpec *g, int version)
{
    g_autoptr(GString) list = g_string_new(NULL);
    for (guint i = 0; i < g->members->len; i++) {
        Cidr c = g_array_index(g->members, Cidr, i);
        char buf[50];
        if (c.base.version != version)
            continue;
        cidr_format(c, buf);
        g_string_append_printf(list, "%s%s", list->len ? ", " : "", buf);
    }
    if (list->len)
        g_string_append_printf(out, "add element inet nuvolet g%d_%s { %s }\n", version, g->n.s, list->str);
}

void nft_group_build(GString *out, const GroupSpec *g, GHashTable *counters)
{
    declare_sets(out, g->n.s);
    for (guint i = 0; i < g->rules->len; i++) {
        const GroupRule *r = &g_array_index(g->rules, GroupRule, i);
        if (r->has_group)
            declare_sets(out, r->group.s);
    }
    nft_group_sets_clear_build(out, g->n.s);
    put_members(out, g, 4);
    put_members(out, g, 6);
    put_rules(out, g, true, counters);
    put_rules(out, g, false, counters);
}

void nft_group_sets_clear_build(GString *out, const char *n)
{
    g_string_append_printf(out, "flush set inet nuvolet g4_%s\nflush set inet nuvolet g6_%s\n", n, n);
}

void nft_group_chains_absent_build(GString *out, const char *n)
{
    static const char *const prefixes[] = { "gi_", "ge_" };
    for (gsize i = 0; i < G_N_ELEMENTS(prefixes); i++)
        g_string_append_printf(out, "add chain inet nuvolet %s%s\nflush chain inet nuvolet %s%s\ndelete chain inet nuvolet %s%s\n", prefixes[i],
                               n, prefixes[i], n, prefixes[i], n);
}

void nft_group_sets_absent_build(GString *out, const char *n)
{
    declare_sets(out, n);
    g_string_append_printf(out, "delete set inet nuvolet g4_%s\ndelete set inet nuvolet g6_%s\n", n, n);
}
