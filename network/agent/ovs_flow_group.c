/* network/agent/ovs_flow_group.c -- security group rules as flows: port ranges by masks, remote groups by conjunctive matches. */
#include "core/error.h"
#include "network/agent/ovs_flow.h"

enum { PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_DCCP = 33, PROTO_ICMPV6 = 58, PROTO_SCTP = 132, PROTO_UDPLITE = 136 };
enum { ACCEPT = 50, CONJUNCTION = 40 };

bool ovs_is_stateful(const OvsNet *net, const PortSpec *p)
{
    for (guint i = 0; i < p->groups->len; i++) {
        const GroupSpec *g = g_hash_table_lookup(net->groups, g_array_index(p->groups, Id12, i).s);
        if (!g || g->stateful)
            return true;
    }
    return p->groups->len == 0;
}

static int protocol_of(const GroupRule *r)
{
    return r->version == 6 && r->protocol == PROTO_ICMP ? PROTO_ICMPV6 : r->protocol;
}

static bool has_range(const GroupRule *r)
{
    return (r->port_min > 0 || r->port_max >= 0) && !(r->port_min <= 0 && r->port_max == 65535);
}

bool ovs_group_check(const GroupSpec *g, GError **err)
{
    for (guint i = 0; i < g->rules->len; i++) {
        const GroupRule *r = &g_array_index(g->rules, GroupRule, i);
        if ((r->protocol == PROTO_DCCP || r->protocol == PROTO_UDPLITE) && has_range(r))
            return nv_fail(err, NV_ERR_HOST_FAULT, "the Open vSwitch driver has no match for ports of protocol %d; leave the ports out", r->protocol);
    }
    return true;
}

/* "tcp", "ip,nw_proto=47": protocol and IP version. */
static char *kind_text(const GroupRule *r)
{
    const char *six = r->version == 6 ? "6" : "";
    int protocol = protocol_of(r);
    switch (protocol) {
    case -1:
        return g_strdup(r->version == 6 ? "ipv6" : "ip");
    case PROTO_TCP:
        return g_strdup_printf("tcp%s", six);
    case PROTO_UDP:
        return g_strdup_printf("udp%s", six);
    case PROTO_SCTP:
        return g_strdup_printf("sctp%s", six);
    case PROTO_ICMP:
        return g_strdup("icmp");
    case PROTO_ICMPV6:
        if (r->version == 6)
            return g_strdup("icmp6");
        /* fall through */
    default:
        return g_strdup_printf("%s,nw_proto=%d", r->version == 6 ? "ipv6" : "ip", protocol);
    }
}

/* The fewest values with masks that make up the range. */
static void put_masks(GPtrArray *out, const char *kind, int low, int high)
{
    while (low <= high) {
        int size = 1;
        while (!(low & size) && low + 2 * size - 1 <= high && size < 65536)
            size *= 2;
        if (size == 1)
            g_ptr_array_add(out, g_strdup_printf("%s,tp_dst=%d", kind, low));
        else
            g_ptr_array_add(out, g_strdup_printf("%s,tp_dst=0x%x/0x%x", kind, low, 0x10000 - size));
        low += size;
    }
}

/* What the rule matches besides addresses: one text each, together all of it.  Empty: it can match nothing. */
static GPtrArray *kinds(const GroupRule *r)
{
    GPtrArray *out = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *kind = kind_text(r);
    int protocol = protocol_of(r), low = MAX(r->port_min, 0), high = r->port_max < 0 ? 65535 : r->port_max;
    bool icmp = protocol == (r->version == 6 ? PROTO_ICMPV6 : PROTO_ICMP);
    if (icmp && r->port_min >= 0) {
        g_autofree char *code = r->port_max >= 0 ? g_strdup_printf(",icmp_code=%d", r->port_max & 255) : g_strdup("");
        g_ptr_array_add(out, g_strdup_printf("%s,icmp_type=%d%s", kind, r->port_min & 255, code));
    } else if ((protocol == PROTO_TCP || protocol == PROTO_UDP || protocol == PROTO_SCTP) && has_range(r)) {
        put_masks(out, kind, low, high);
    } else if (!((protocol == PROTO_DCCP || protocol == PROTO_UDPLITE) && has_range(r)) &&
               !(r->version == 4 && protocol == PROTO_ICMPV6 && r->port_min >= 0)) {
        g_ptr_array_add(out, g_steal_pointer(&kind));
    }
    return out;
}

static const char *side_of(int version, bool ingress)
{
    static const char *const sides[2][2] = { { "nw_dst", "nw_src" }, { "ipv6_dst", "ipv6_src" } };
    return sides[version == 6][ingress];
}

static char *address_text(Cidr c, bool ingress)
{
    char buf[50];
    if (!c.prefix)
        return g_strdup("");
    cidr_format(c, buf);
    return g_strdup_printf(",%s=%s", side_of(c.base.version, ingress), buf);
}

/* --- conjunctive matches: (a member's address) and (one of the rules that name the group) --- */

typedef struct Conj {
    GHashTable *flows, *clauses;     /* match → GString of conjunction actions */
    const OvsNet *net;
    guint32 combo;
    bool ingress;
} Conj;

static void string_free(gpointer s)
{
    g_string_free(s, TRUE);
}

static void add_clause(Conj *c, char *match_stolen, guint32 id, int clause)
{
    g_autofree char *match = match_stolen;
    GString *actions = g_hash_table_lookup(c->clauses, match);
    if (!actions) {
        actions = g_string_new(NULL);
        g_hash_table_insert(c->clauses, g_strdup(match), actions);
    }
    g_autofree char *one = g_strdup_printf("conjunction(%u,%d/2)", id, clause);
    if (!strstr(actions->str, one))
        g_string_append_printf(actions, "%s%s", actions->len ? "," : "", one);
}

/* The same number for the same rule whoever computes it, so that a difference holds only what really changed.  Each rule has its own, and so its own
 * counters. */
static guint32 conj_id(const Conj *c, const GroupRule *r, const char *cidr)
{
    g_autofree char *whole = g_strdup_printf("%u %d %s %d %d %d %d %s%s", c->combo, c->ingress, r->id.s, r->version, r->protocol, r->port_min,
                                             r->port_max, r->group.s, cidr);
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, whole, -1);
    sum[8] = '\0';
    return MAX((guint32) g_ascii_strtoull(sum, NULL, 16), 1);
}

static void add_remote(Conj *c, const GroupRule *r, GPtrArray *texts, const char *reg)
{
    const GroupSpec *remote = g_hash_table_lookup(c->net->groups, r->group.s);
    int table = c->ingress ? OVS_INGRESS : OVS_EGRESS, next = c->ingress ? OVS_COMMIT : OVS_DEST;
    g_autofree char *cidr = r->has_cidr ? address_text(r->cidr, c->ingress) : g_strdup("");
    guint32 id = conj_id(c, r, cidr);
    for (guint i = 0; i < texts->len; i++)
        add_clause(c, g_strdup_printf("%s,%s%s", reg, (char *) texts->pdata[i], cidr), id, 2);
    for (guint i = 0; remote && i < remote->members->len; i++) {
        Cidr m = g_array_index(remote->members, Cidr, i);
        g_autofree char *address = address_text(m, c->ingress);
        if (m.base.version == r->version)
            add_clause(c, g_strdup_printf("%s,%s%s", reg, r->version == 6 ? "ipv6" : "ip", address), id, 1);
    }
    g_autofree char *go = g_strdup_printf("goto_table:%d", next);
    g_autofree char *match = g_strdup_printf("%s,conj_id=%u,%s", reg, id, r->version == 6 ? "ipv6" : "ip");
    ovs_flow_put_rule(c->flows, r, table, CONJUNCTION, go, match);
}

static void add_group(Conj *c, const GroupSpec *g, const char *reg)
{
    int table = c->ingress ? OVS_INGRESS : OVS_EGRESS;
    g_autofree char *go = g_strdup_printf("goto_table:%d", c->ingress ? OVS_COMMIT : OVS_DEST);
    for (guint i = 0; i < g->rules->len; i++) {
        const GroupRule *r = &g_array_index(g->rules, GroupRule, i);
        if (r->ingress != c->ingress)
            continue;
        g_autoptr(GPtrArray) texts = kinds(r);
        if (r->has_group) {
            add_remote(c, r, texts, reg);
            continue;
        }
        g_autofree char *cidr = r->has_cidr ? address_text(r->cidr, c->ingress) : g_strdup("");
        for (guint k = 0; k < texts->len; k++) {
            g_autofree char *match = g_strdup_printf("%s,%s%s", reg, (char *) texts->pdata[k], cidr);
            ovs_flow_put_rule(c->flows, r, table, ACCEPT, go, match);
        }
    }
}

void ovs_flow_groups(GHashTable *flows, const OvsNet *net, const PortSpec *p, guint32 combo, bool ingress)
{
    g_autoptr(GHashTable) clauses = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, string_free);
    g_autofree char *reg = g_strdup_printf("reg%d=0x%x", ingress ? 4 : 2, combo);
    Conj c = { flows, clauses, net, combo, ingress };
    GHashTableIter it;
    gpointer match, actions;
    for (guint i = 0; i < p->groups->len; i++) {
        const GroupSpec *g = g_hash_table_lookup(net->groups, g_array_index(p->groups, Id12, i).s);
        if (g)
            add_group(&c, g, reg);
    }
    g_hash_table_iter_init(&it, clauses);
    while (g_hash_table_iter_next(&it, &match, &actions))
        ovs_flow_put(flows, ingress ? OVS_INGRESS : OVS_EGRESS, CONJUNCTION, ((GString *) actions)->str, "%s", (char *) match);
}
