/* network/agent/ovs_flow.c -- a network's ports as flows: whose frame it is, what may be in it, who gets it. */
#include "network/agent/ovs_flow.h"
#include "network/agent/nft.h"
#include <string.h>

static void put(GHashTable *flows, int table, int priority, const char *cookie, const char *actions, const char *match)
{
    g_hash_table_replace(flows, g_strdup_printf("table=%d,priority=%d%s%s", table, priority, *match ? "," : "", match),
                         g_strdup_printf("cookie=%s,actions=%s", cookie, actions));
}

void ovs_flow_put(GHashTable *flows, int table, int priority, const char *actions, const char *match, ...)
{
    va_list args;
    va_start(args, match);
    g_autofree char *text = g_strdup_vprintf(match, args);
    va_end(args);
    put(flows, table, priority, OVS_COOKIE, actions, text);
}

void ovs_flow_put_rule(GHashTable *flows, const GroupRule *r, int table, int priority, const char *actions, const char *match)
{
    g_autofree char *cookie = g_strdup_printf(OVS_COOKIE_OF_RULE "%s", r->id.s);
    put(flows, table, priority, cookie, actions, match);
}

guint32 ovs_combo_of(const OvsNet *net, const PortSpec *p)
{
    NftCombo combo = nft_combo(p, ovs_is_stateful(net, p));
    combo.name[8] = '\0';
    return (guint32) g_ascii_strtoull(combo.name, NULL, 16);
}

guint32 ovs_tag_of(const PortSpec *p)
{
    Id12 n = p->n;
    n.s[8] = '\0';
    return (guint32) g_ascii_strtoull(n.s, NULL, 16);
}

/* --- what comes in --- */

GPtrArray *ovs_macs_of(const PortSpec *p)
{
    GPtrArray *macs = g_ptr_array_new();
    g_ptr_array_add(macs, (char *) p->mac);
    for (guint i = 0; i < p->pairs->len; i++) {
        char *mac = g_array_index(p->pairs, Pair, i).mac;
        if (!g_ptr_array_find_with_equal_func(macs, mac, g_str_equal, NULL))
            g_ptr_array_add(macs, mac);
    }
    return macs;
}

/* A DHCP client asks at a human pace: the port's meter. */
static void put_classify(GHashTable *f, const OvsNet *net, const OvsPort *port)
{
    static const char *const paced[] = { "udp,tp_src=68,tp_dst=67", "udp6,tp_src=546,tp_dst=547" };
    const PortSpec *p = port->spec;
    int next = ovs_flow_sent(f, port, p->port_security ? OVS_GUARD : OVS_TRACK);
    if (!p->port_security) {
        g_autofree char *trust = g_strdup_printf("load:1->NXM_NX_REG0[%d],goto_table:%d", OVS_BIT_TRUSTED, next);
        ovs_flow_put(f, OVS_PORT, 90, trust, "in_port=%d%s", port->ofport, ovs_has_uplink(net) ? ",vlan_tci=0x0000" : "");
        for (guint i = 0; port->tags && i < port->tags->len; i++)
            ovs_flow_put(f, OVS_PORT, 100, "drop", "in_port=%d,dl_vlan=%d", port->ofport, g_array_index(port->tags, int, i));
        return;
    }
    g_autofree char *actions = g_strdup_printf("load:%d->NXM_NX_REG0[%d],set_field:0x%x->reg2,set_field:0x%x->reg5,goto_table:%d",
                                               ovs_is_stateful(net, p), OVS_BIT_EGRESS, ovs_combo_of(net, p), ovs_tag_of(p), next);
    g_autofree char *metered = g_strdup_printf("meter:%d,%s", port->ofport, actions);
    g_autoptr(GPtrArray) macs = ovs_macs_of(p);
    for (guint i = 0; i < macs->len; i++) {
        const char *mac = macs->pdata[i];
        ovs_flow_put(f, OVS_PORT, 100, actions, "in_port=%d,vlan_tci=0x0000,dl_src=%s", port->ofport, mac);
        for (gsize k = 0; k < G_N_ELEMENTS(paced); k++)
            ovs_flow_put(f, OVS_PORT, 110, metered, "in_port=%d,vlan_tci=0x0000,dl_src=%s,%s", port->ofport, mac, paced[k]);
    }
}

static void put_sources4(GHashTable *f, const OvsPort *port)
{
    g_autoptr(GArray) from = nft_port_sources(port->spec, 4);
    g_autofree char *dest = g_strdup_printf("goto_table:%d", OVS_DEST), *track = g_strdup_printf("goto_table:%d", OVS_TRACK);
    for (guint i = 0; i < from->len; i++) {
        const Pair *s = &g_array_index(from, Pair, i);
        g_autofree char *who = g_strdup_printf("in_port=%d,dl_src=%s", port->ofport, s->mac);
        char ip[50];
        cidr_format(s->cidr, ip);
        for (int op = 1; op <= 2; op++)
            ovs_flow_put(f, OVS_SOURCE, 50, dest, "%s,arp,arp_op=%d,arp_sha=%s,arp_spa=%s", who, op, s->mac, ip);
        /* The probe for an address (RFC 5227) may ask for one's own only: else it could deny the address to its owner. */
        ovs_flow_put(f, OVS_SOURCE, 50, dest, "%s,arp,arp_op=1,arp_sha=%s,arp_spa=0.0.0.0,arp_tpa=%s", who, s->mac, ip);
        ovs_flow_put(f, OVS_SOURCE, 50, track, "%s,ip,nw_src=%s", who, ip);
    }
}

static void put_sources6(GHashTable *f, const OvsPort *port)
{
    g_autoptr(GArray) from = nft_port_sources(port->spec, 6);
    g_autofree char *source = g_strdup_printf("goto_table:%d", OVS_SOURCE6), *track = g_strdup_printf("goto_table:%d", OVS_TRACK);
    for (guint i = 0; i < from->len; i++) {
        const Pair *s = &g_array_index(from, Pair, i);
        g_autofree char *who = g_strdup_printf("in_port=%d,dl_src=%s", port->ofport, s->mac);
        char ip[50];
        cidr_format(s->cidr, ip);
        ovs_flow_put(f, OVS_SOURCE, 50, track, "%s,icmp6,icmp_type=135,icmp_code=0,ipv6_src=::,nd_target=%s", who, ip);
        ovs_flow_put(f, OVS_SOURCE, 50, source, "%s,icmp6,icmp_type=136,icmp_code=0,nd_target=%s", who, ip);
        ovs_flow_put(f, OVS_SOURCE6, 50, track, "%s,ipv6,ipv6_src=%s", who, ip);
    }
}

void ovs_flow_sources(GHashTable *f, const OvsPort *port)
{
    put_sources4(f, port);
    put_sources6(f, port);
}

/* What no guest may send.  Before conntrack, and after it where it put fragments together. */
static void put_guard(GHashTable *f, int table, int priority)
{
    static const char *const never[] = {
        "udp,tp_src=67,tp_dst=68", "udp6,tp_src=547,tp_dst=546", "icmp6,icmp_type=134", "icmp6,icmp_type=137",
        "icmp6,ip_frag=yes,icmp_type=133", "icmp6,ip_frag=yes,icmp_type=135", "icmp6,ip_frag=yes,icmp_type=136",
        /* Headers that hide the last one, or have none behind them. */
        "ipv6,nw_proto=0", "ipv6,nw_proto=43", "ipv6,nw_proto=44", "ipv6,nw_proto=59", "ipv6,nw_proto=60",
        "ipv6,nw_proto=135", "ipv6,nw_proto=139", "ipv6,nw_proto=140",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(never); i++)
        ovs_flow_put(f, table, priority, "drop", "%s", never[i]);
}

static void put_senders(GHashTable *f, const OvsNet *net)
{
    g_autofree char *trust = g_strdup_printf("load:1->NXM_NX_REG0[%d],goto_table:%d", OVS_BIT_TRUSTED, OVS_TRACK);
    g_autofree char *served = g_strdup_printf("load:1->NXM_NX_REG0[%d],%s", OVS_BIT_SERVICE, trust);
    for (guint i = 0; i < net->links->len; i++) {
        const OvsLink *link = net->links->pdata[i];
        OvsLinkKind kind = ovs_link_kind(net, link);
        if (kind == OVS_LINK_TUNNEL || kind == OVS_LINK_UPLINK)
            ovs_flow_from_segment(f, net, link);
        else
            ovs_flow_put(f, OVS_PORT, 90, kind == OVS_LINK_SERVICE ? served : trust, "in_port=%d", link->ofport);
    }
    if (net->gateway)
        ovs_flow_put(f, OVS_PORT, 90, trust, "in_port=LOCAL");
    for (guint i = 0; i < net->ports->len; i++) {
        const OvsPort *port = net->ports->pdata[i];
        put_classify(f, net, port);
        if (!port->spec->port_security)
            continue;
        ovs_flow_sources(f, port);
    }
    put_guard(f, OVS_GUARD, 100);
    ovs_flow_put(f, OVS_GUARD, 0, "goto_table:2", "%s", "");
    /* Who has no address yet. */
    ovs_flow_put(f, OVS_SOURCE, 50, "goto_table:4", "udp,nw_src=0.0.0.0,nw_dst=255.255.255.255,tp_src=68,tp_dst=67");
    ovs_flow_put(f, OVS_SOURCE, 50, "goto_table:4", "icmp6,ipv6_src=::,icmp_type=133");
    ovs_flow_put(f, OVS_SOURCE, 50, "goto_table:4", "icmp6,ipv6_src=::,icmp_type=143");
    ovs_flow_put(f, OVS_SOURCE, 40, "drop", "icmp6,icmp_type=136");
    ovs_flow_put(f, OVS_SOURCE, 10, "goto_table:3", "ipv6");
}

/* --- groups --- */

static const char *const ip_kinds[] = { "ip", "ipv6" };

static void put_track(GHashTable *f, const OvsNet *net)
{
    g_autofree char *track = g_strdup_printf("ct(table=%d,zone=%d)", OVS_EGRESS, net->zone);
    g_autofree char *commit = g_strdup_printf("ct(commit,zone=%d,exec(set_field:0->ct_mark,move:NXM_NX_REG5[]->NXM_NX_CT_LABEL[0..31],"
                                              "move:NXM_NX_REG6[]->NXM_NX_CT_LABEL[32..63])),goto_table:%d", net->zone, OVS_OUTPUT);
    for (gsize i = 0; i < G_N_ELEMENTS(ip_kinds); i++) {
        ovs_flow_put(f, OVS_TRACK, 10, track, "%s", ip_kinds[i]);
        ovs_flow_put(f, OVS_COMMIT, 20, commit, "ct_state=+trk+new,%s", ip_kinds[i]);
        ovs_flow_put(f, OVS_COMMIT, 10, commit, "ct_state=+trk+est-rpl,%s", ip_kinds[i]);
    }
    ovs_flow_put(f, OVS_TRACK, 0, "goto_table:6", "%s", "");
    ovs_flow_put(f, OVS_COMMIT, 0, "goto_table:9", "%s", "");
}

/* Replies of what was allowed and still is; a connection that no rule allows any more is marked. */
static void put_states(GHashTable *f, const OvsNet *net, int table, int bit, int next)
{
    g_autofree char *go = g_strdup_printf("goto_table:%d", next), *stateful = g_strdup_printf("reg0=0x%x/0x%x", 1 << bit, 1 << bit);
    g_autofree char *mark = g_strdup_printf("ct(commit,zone=%d,exec(set_field:1->ct_mark))", net->zone);
    ovs_flow_put(f, table, 90, "drop", "%s,ct_state=+trk+inv", stateful);
    ovs_flow_put(f, table, 80, go, "%s,ct_state=+trk+rel-inv,ct_mark=0", stateful);
    /* Who sends in place of another ends there: its peer would take that for a reply.  Who receives in place of another asks its own rules: the peer
     * may go on for ever. */
    if (table == OVS_EGRESS)
        ovs_flow_put(f, table, 70, "drop", "%s,ct_state=+trk+est+rpl", stateful);
    for (gsize i = 0; i < G_N_ELEMENTS(ip_kinds); i++)
        ovs_flow_put(f, table, 10, mark, "%s,ct_state=+trk+est-rpl-inv,%s", stateful, ip_kinds[i]);
}

/* Replies go from and to the ports that the connection is of.  To them by reg3: with a MAC of pairs there is no tag in reg6. */
static void put_replies(GHashTable *f, const OvsPort *port)
{
    guint32 tag = ovs_tag_of(port->spec);
    ovs_flow_put(f, OVS_EGRESS, 80, "goto_table:6",
                 "reg5=0x%x,reg0=0x%x/0x%x,ct_state=+trk+est+rpl-inv,ct_mark=0,ct_label=0x%x00000000/0xffffffff00000000",
                 tag, 1 << OVS_BIT_EGRESS, 1 << OVS_BIT_EGRESS, tag);
    ovs_flow_put(f, OVS_INGRESS, 80, "goto_table:8", "reg3=0x%x,reg0=0x%x/0x%x,ct_state=+trk+est+rpl-inv,ct_mark=0,ct_label=0x%x/0xffffffff",
                 (guint32) port->ofport, 1 << OVS_BIT_INGRESS, 1 << OVS_BIT_INGRESS, tag);
}

/* What the host's own services and neighbour discovery need, whatever the groups say. */
static void put_services(GHashTable *f)
{
    static const char *const from_guest[] = {
        "udp,tp_src=68,tp_dst=67", "udp6,tp_src=546,tp_dst=547", "icmp6,icmp_type=131", "icmp6,icmp_type=132", "icmp6,icmp_type=133",
        "icmp6,icmp_type=135", "icmp6,icmp_type=136", "icmp6,icmp_type=143", "tcp,nw_dst=169.254.169.254,tp_dst=80",
    };
    static const char *const to_guest[] = {
        "udp,tp_src=67,tp_dst=68", "udp6,tp_src=547,tp_dst=546", "icmp6,icmp_type=130", "icmp6,icmp_type=134", "icmp6,icmp_type=135",
        "icmp6,icmp_type=136",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(from_guest); i++)
        ovs_flow_put(f, OVS_EGRESS, 100, "goto_table:6", "%s", from_guest[i]);
    for (gsize i = 0; i < G_N_ELEMENTS(to_guest); i++)
        ovs_flow_put(f, OVS_INGRESS, 100, "goto_table:8", "%s", to_guest[i]);
}

static void put_groups(GHashTable *f, const OvsNet *net)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    put_track(f, net);
    put_services(f);
    put_guard(f, OVS_EGRESS, 200);
    ovs_flow_put(f, OVS_EGRESS, 300, "goto_table:6", "reg0=0x%x/0x%x", 1 << OVS_BIT_TRUSTED, 1 << OVS_BIT_TRUSTED);
    ovs_flow_put(f, OVS_EGRESS, 80, "goto_table:6", "reg0=0x%x/0x%x,ct_state=+trk+est+rpl-inv,ct_mark=0,ct_label=0x0/0xffffffff00000000",
                 1 << OVS_BIT_EGRESS, 1 << OVS_BIT_EGRESS);
    put_states(f, net, OVS_EGRESS, OVS_BIT_EGRESS, OVS_DEST);
    put_states(f, net, OVS_INGRESS, OVS_BIT_INGRESS, OVS_COMMIT);
    /* No rules are asked for ARP; what else is no IP, or has a tag (a guest takes VLAN 0 for none), is for ports without port security, which do not
     * come here. */
    ovs_flow_put(f, OVS_INGRESS, 300, "drop", "vlan_tci=0x1000/0x1000");
    ovs_flow_put(f, OVS_INGRESS, 10, "goto_table:8", "arp");
    ovs_flow_put(f, OVS_INGRESS, 0, "drop", "%s", "");
    for (guint i = 0; i < net->ports->len; i++) {
        const OvsPort *port = net->ports->pdata[i];
        const PortSpec *p = port->spec;
        guint32 combo = ovs_combo_of(net, p);
        if (p->port_security)
            put_replies(f, port);
        if (!p->port_security || !g_hash_table_add(seen, GUINT_TO_POINTER(combo)))
            continue;
        ovs_flow_groups(f, net, p, combo, false);
        ovs_flow_groups(f, net, p, combo, true);
    }
}

GHashTable *ovs_flows(const OvsNet *net)
{
    GHashTable *f = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    put_senders(f, net);
    put_groups(f, net);
    ovs_flow_destinations(f, net);
    return f;
}

/* --- as text --- */

static gint by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(a, b);
}

char *ovs_flows_text(GHashTable *flows)
{
    g_autoptr(GList) keys = g_list_sort(g_hash_table_get_keys(flows), by_text);
    GString *out = g_string_new(NULL);
    for (GList *k = keys; k; k = k->next)
        g_string_append_printf(out, "%s,%s\n", (char *) k->data, (char *) g_hash_table_lookup(flows, k->data));
    return g_string_free(out, FALSE);
}

char *ovs_flows_difference(GHashTable *old, GHashTable *now)
{
    g_autoptr(GString) out = g_string_new(NULL);
    GHashTableIter it;
    gpointer key, actions;
    g_hash_table_iter_init(&it, old);
    while (g_hash_table_iter_next(&it, &key, NULL))
        if (!g_hash_table_contains(now, key))
            g_string_append_printf(out, "delete_strict %s\n", (char *) key);
    g_hash_table_iter_init(&it, now);
    while (g_hash_table_iter_next(&it, &key, &actions))
        if (g_strcmp0(g_hash_table_lookup(old, key), actions) != 0)
            g_string_append_printf(out, "add %s,%s\n", (char *) key, (char *) actions);
    return out->len ? g_string_free(g_steal_pointer(&out), FALSE) : NULL;
}
