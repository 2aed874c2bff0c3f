/* network/agent/nft_router.c -- a router's table: translation by maps, a closed forward chain, a last look at what leaves. */
#include "network/agent/nft_router.h"
#include <string.h>

/* clang-format off */
static const struct { const char *kind, *name, *type; } sets[] = {
    { "set", "internal",   "type ifname;" },
    { "set", "external",   "type ifname;" },
    { "set", "own",        "type ipv4_addr;" },                      /* what may stand as the source of a packet that leaves */
    { "set", "homes4",     "type ifname . ipv4_addr; flags interval;" },     /* a link, and what its network's subnets hold */
    { "set", "homes6",     "type ifname . ipv6_addr; flags interval;" },
    { "set", "siblings",   "type ifname . ifname;" },                        /* two links to one network, or one twice */
    { "map", "floating",   "type ipv4_addr : ipv4_addr;" },
    { "map", "fixed",      "type ipv4_addr : ipv4_addr;" },
    { "map", "fwd_tcp",    "type ipv4_addr . inet_service : ipv4_addr . inet_service; flags interval;" },
    { "map", "fwd_udp",    "type ipv4_addr . inet_service : ipv4_addr . inet_service; flags interval;" },
    { "map", "ranges_tcp", "type ipv4_addr . inet_service : ipv4_addr; flags interval;" },      /* the port stays */
    { "map", "ranges_udp", "type ipv4_addr . inet_service : ipv4_addr; flags interval;" },
};

/* When a rule is there: always, with or without translation of what leaves, with an address to translate to ("$G"). */
typedef enum { ALWAYS, SNAT, NO_SNAT, SNAT_SOURCE, SOURCE } When;
typedef struct Rule { When when; const char *text; } Rule;
typedef struct Chain { const char *name, *hook; const Rule *rules; } Chain;
#define RULES(...) (const Rule[]){ __VA_ARGS__, { ALWAYS, NULL } }

/* Chains with a hook drop what no rule accepts, so that a chain that somebody empties is closed. */
static const Chain chains[] = {
    { "marking", "type filter hook prerouting priority mangle; policy accept;", RULES(
        { ALWAYS, "iifname @internal meta mark set $M" },
        { ALWAYS, "iifname @external meta mark set $M" }) },
    { "translate", NULL, RULES(
        { ALWAYS, "dnat ip to ip daddr . tcp dport map @fwd_tcp" },
        { ALWAYS, "dnat ip to ip daddr . udp dport map @fwd_udp" },
        { ALWAYS, "dnat ip to ip daddr . tcp dport map @ranges_tcp" },
        { ALWAYS, "dnat ip to ip daddr . udp dport map @ranges_udp" },
        { ALWAYS, "dnat ip to ip daddr map @floating" }) },
    { "prerouting", "type nat hook prerouting priority dstnat; policy accept;", RULES(
        { ALWAYS, "jump translate" }) },
    { "output", "type nat hook output priority -100; policy accept;", RULES(
        { ALWAYS, "jump translate" }) },
    /* A guest that reaches a floating address of this router comes back as one: the answer must pass here too. */
    { "postrouting", "type nat hook postrouting priority srcnat; policy accept;", RULES(
        { ALWAYS,      "oifname @external snat ip to ip saddr map @fixed" },
        { SNAT_SOURCE, "oifname @external meta nfproto ipv4 snat ip to $G" },
        { ALWAYS,      "iifname @internal oifname @internal ct status dnat snat ip to ip saddr map @fixed" },
        { SOURCE,      "iifname @internal oifname @internal ct status dnat meta nfproto ipv4 snat ip to $G" }) },
    /* Invalid packets are not translated, and would leave as they are. */
    { "forward", "type filter hook forward priority filter; policy drop;", RULES(
        { ALWAYS, "ct state invalid counter drop" },
        { ALWAYS, "fib saddr . mark . iif oif missing counter drop" },
        { ALWAYS, "ip daddr { 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3 } counter drop" },
        { ALWAYS, "ip saddr { 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3 } counter drop" },
        { ALWAYS, "ip6 daddr { fe80::/10, ff00::/8 } counter drop" },
        { ALWAYS, "udp dport { 67, 547 } counter drop" },             /* nobody looked at the hardware address in it */
        { ALWAYS, "iifname @internal oifname @internal accept" },
        { ALWAYS, "iifname @internal oifname @external goto leaving" },
        { ALWAYS, "iifname @external oifname @internal goto entering" },
        { ALWAYS, "counter drop" }) },
    { "leaving", NULL, RULES(
        { ALWAYS, "ct direction original ct status dnat counter drop" },
        { ALWAYS, "accept" }) },
    { "entering", NULL, RULES(
        { ALWAYS,  "meta nfproto ipv6 accept" },
        { ALWAYS,  "ct status dnat accept" },
        { ALWAYS,  "ct state established,related accept" },
        { NO_SNAT, "accept" },
        { ALWAYS,  "counter drop" }) },
    /* After translation.  Nobody comes from elsewhere as one of the network's own: a tenant's route, or subnet of the same addresses, would let him. */
    { "left", "type filter hook postrouting priority srcnat + 50; policy drop;", RULES(
        { ALWAYS,  "oifname . ip saddr @homes4 iifname . oifname != @siblings fib saddr type != local counter drop" },
        { ALWAYS,  "oifname . ip6 saddr @homes6 iifname . oifname != @siblings fib saddr type != local counter drop" },
        { ALWAYS,  "oifname @internal accept" },
        { ALWAYS,  "oifname \"lo\" accept" },
        { ALWAYS,  "meta nfproto ipv6 oifname @external accept" },
        { SNAT,    "oifname @external ip saddr @own accept" },
        { NO_SNAT, "oifname @external accept" },
        { ALWAYS,  "counter drop" }) },
    /* The router itself: that it is there, and neighbour discovery. */
    { "input", "type filter hook input priority filter; policy drop;", RULES(
        { ALWAYS, "iifname \"lo\" accept" },
        { ALWAYS, "ct state invalid counter drop" },
        { ALWAYS, "ct state established,related accept" },
        { ALWAYS, "iifname @external fib daddr . iif type != { local, multicast } counter drop" },
        { ALWAYS, "icmp type { 3, 8, 11, 12 } accept" },
        { ALWAYS, "icmpv6 type { 1, 2, 3, 4, 128 } accept" },
        { ALWAYS, "icmpv6 type { 133, 135, 136 } ip6 hoplimit 255 accept" },
        { ALWAYS, "icmpv6 type { 130, 131, 132, 143 } accept" },
        { ALWAYS, "counter drop" }) },
};
/* clang-format on */

static bool applies(When when, bool snat, bool source)
{
    switch (when) {
    case SNAT:        return snat;
    case NO_SNAT:     return !snat;
    case SNAT_SOURCE: return snat && source;
    case SOURCE:      return source;
    default:          return true;
    }
}

static void put_rule(GString *out, const char *rule, const char *source)
{
    for (const char *p = rule; *p; p++) {
        if (*p != '$')
            g_string_append_c(out, *p);
        else if (*++p == 'M')
            g_string_append_printf(out, "0x%x", NFT_ROUTER_MARK);
        else
            g_string_append(out, source);
    }
}

static void put_chains(GString *out, const RouterSpec *r)
{
    Ip ip;
    char source[46] = "";
    bool has_source = router_spec_source(r, &ip);
    if (has_source)
        ip_format(ip, source);
    for (gsize c = 0; c < G_N_ELEMENTS(chains); c++)
        g_string_append_printf(out, "flush chain inet nuvolet %s\n", chains[c].name);
    g_string_append(out, "table inet nuvolet {\n");
    for (gsize c = 0; c < G_N_ELEMENTS(chains); c++) {
        g_string_append_printf(out, "\tchain %s {\n", chains[c].name);
        for (const Rule *rule = chains[c].rules; rule->text; rule++) {
            if (!applies(rule->when, r->snat, has_source))
                continue;
            g_string_append(out, "\t\t");
            put_rule(out, rule->text, source);
            g_string_append_c(out, '\n');
        }
        g_string_append(out, "\t}\n");
    }
    g_string_append(out, "}\n");
}

static void declare(GString *out, bool fresh)
{
    g_string_append(out, "add table inet nuvolet\n");
    if (fresh)
        g_string_append(out, "delete table inet nuvolet\nadd table inet nuvolet\n");
    g_string_append(out, "table inet nuvolet {\n");
    for (gsize s = 0; s < G_N_ELEMENTS(sets); s++)
        g_string_append_printf(out, "\t%s %s { %s }\n", sets[s].kind, sets[s].name, sets[s].type);
    for (gsize c = 0; c < G_N_ELEMENTS(chains); c++)
        g_string_append_printf(out, "\tchain %s { %s }\n", chains[c].name, chains[c].hook ? chains[c].hook : "");
    g_string_append(out, "}\n");
    for (gsize s = 0; s < G_N_ELEMENTS(sets); s++)
        g_string_append_printf(out, "flush %s inet nuvolet %s\n", sets[s].kind, sets[s].name);
}

static void put_element(GString *out, const char *set, const char *key)
{
    g_string_append_printf(out, "add element inet nuvolet %s { %s }\n", set, key);
}

static void put_pair(GString *out, const char *map, Ip from, Ip to)
{
    char a[46], b[46];
    ip_format(from, a);
    ip_format(to, b);
    g_string_append_printf(out, "add element inet nuvolet %s { %s : %s }\n", map, a, b);
}

static void put_home(GString *out, const RouterSpec *r, const RouterPort *p)
{
    for (guint i = 0; i < p->subnets->len; i++) {
        Cidr c = g_array_index(p->subnets, Cidr, i);
        char text[50];
        cidr_format(c, text);
        g_autofree char *key = g_strdup_printf("\"%s\" . %s", p->inner.s, text);
        put_element(out, c.base.version == 4 ? "homes4" : "homes6", key);
    }
    for (guint i = 0; i < r->ports->len; i++) {
        const RouterPort *other = r->ports->pdata[i];
        g_autofree char *key = g_strdup_printf("\"%s\" . \"%s\"", p->inner.s, other->inner.s);
        if (strcmp(p->network.s, other->network.s) == 0)
            put_element(out, "siblings", key);
    }
}

static void put_links(GString *out, const RouterSpec *r)
{
    for (guint i = 0; i < r->ports->len; i++) {
        const RouterPort *p = r->ports->pdata[i];
        g_autofree char *key = g_strdup_printf("\"%s\"", p->inner.s);
        put_element(out, p == r->gateway ? "external" : "internal", key);
    }
    for (guint i = 0; i < r->ports->len; i++)
        put_home(out, r, r->ports->pdata[i]);
    g_autoptr(GArray) own = router_spec_externals(r);
    for (guint i = 0; i < own->len; i++) {
        Ip ip = g_array_index(own, Cidr, i).base;
        char text[46];
        ip_format(ip, text);
        if (ip.version == 4)
            put_element(out, "own", text);
    }
}

/* A range whose ports stay the same or become one is one entry; else each port is one. */
static void put_forwarding(GString *out, const RouterForwarding *f)
{
    const char *map = f->udp ? "udp" : "tcp";
    char from[46], to[46];
    ip_format(f->external, from);
    ip_format(f->internal, to);
    if (f->external_first == f->internal_first && f->external_last > f->external_first && !f->all_to_one) {
        g_string_append_printf(out, "add element inet nuvolet ranges_%s { %s . %d-%d : %s }\n", map, from, f->external_first, f->external_last, to);
        return;
    }
    if (f->all_to_one && f->external_last > f->external_first) {
        g_string_append_printf(out, "add element inet nuvolet fwd_%s { %s . %d-%d : %s . %d }\n", map, from, f->external_first, f->external_last, to,
                               f->internal_first);
        return;
    }
    g_string_append_printf(out, "add element inet nuvolet fwd_%s { ", map);
    for (int port = f->external_first; port <= f->external_last; port++)
        g_string_append_printf(out, "%s%s . %d : %s . %d", port > f->external_first ? ", " : "", from, port, to,
                               router_forwarding_port(f, port));
    g_string_append(out, " }\n");
}

void nft_router_build(GString *out, const RouterSpec *r, bool fresh)
{
    declare(out, fresh);
    put_chains(out, r);
    put_links(out, r);
    for (guint i = 0; r->gateway && i < r->floating->len; i++) {
        const RouterFloating *f = &g_array_index(r->floating, RouterFloating, i);
        put_pair(out, "floating", f->external, f->fixed);
        put_pair(out, "fixed", f->fixed, f->external);
    }
    for (guint i = 0; r->gateway && i < r->forwardings->len; i++)
        put_forwarding(out, &g_array_index(r->forwardings, RouterForwarding, i));
}
