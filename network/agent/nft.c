/* network/agent/nft.c -- builds the text of the rules; every word of it is ours or a formatted number or address. */
#include "network/agent/nft.h"
#include <string.h>

static const struct { const char *name, *type; } maps[MAP_LAST] = {
    [MAP_MARKS]    = { "bridge nuvolet marks",   "map marks { type ifname : mark; }" },
    [MAP_PORTS]    = { "bridge nuvolet ports",   "map ports { type ifname : verdict; }" },
    [MAP_EGRESS]   = { "inet nuvolet egress",    "map egress { type mark : verdict; }" },
    [MAP_INGRESS]  = { "inet nuvolet ingress",   "map ingress { type mark : verdict; }" },
    [MAP_ROUTED4]  = { "inet nuvolet routed4",   "map routed4 { type ifname . ipv4_addr : verdict; }" },
    [MAP_ROUTED6]  = { "inet nuvolet routed6",   "map routed6 { type ifname . ipv6_addr : verdict; }" },
    [MAP_ZONES]    = { "inet nuvolet zones",     "map zones { typeof iifname : ct zone; }" },
    [SET_GATEWAYS] = { "inet nuvolet gateways",  "set gateways { type ifname; }" },
    [SET_NAT4]     = { "inet nuvolet nat4",      "set nat4 { type ipv4_addr; flags interval; }" },
    [SET_NAT6]     = { "inet nuvolet nat6",      "set nat6 { type ipv6_addr; flags interval; }" },
};

const char *nft_map_name(NftMap map)
{
    return maps[map].name;
}

void nft_element_clear(gpointer element)
{
    NftElement *e = element;
    g_free(e->key);
    g_free(e->value);
}

/* A chain's rules; "$T" stands for the mark's flag. */
typedef struct BaseChain { const char *family, *name, *hook; const char *const *rules; } BaseChain;
#define RULES(...) (const char *const[]){ __VA_ARGS__, NULL }

/* clang-format off */
static const BaseChain base[] = {
    { "bridge", "prerouting", "type filter hook prerouting priority -300; policy accept;", RULES(
        "iifname \"nvt*\" goto from_tap",
        "iifname \"nv*\" meta mark set 0") },
    /* The frame carries its sender's mark from here; a tap that nobody declared sends nothing. */
    { "bridge", "from_tap", NULL, RULES(
        "meta mark set iifname map @marks",
        "iifname vmap @ports",
        "counter drop") },
    /* Before br_netfilter hands the packet to inet forward: now the mark tells the receiver. */
    { "bridge", "forward", "type filter hook forward priority -10; policy accept;", RULES(
        "oifname \"nvt*\" goto to_tap",
        "oifname \"nv*\" meta mark set $T") },
    { "bridge", "to_tap", NULL, RULES(
        "meta mark set oifname map @marks accept",
        "counter drop") },
    /* IPv6 behind extension headers: only where the last header is known and is not neighbour discovery in disguise. */
    { "bridge", "ip6_headers", NULL, RULES(
        "ip6 nexthdr != { 0, 44, 60 } accept",
        "ip6 nexthdr 44 frag nexthdr { 0, 43, 44, 60, 135, 139, 140 } drop",
        "meta l4proto != { 0, 43, 44, 59, 60, 135, 139, 140 } accept",
        "counter drop") },

    /* Frames to bridge-group addresses reach the host on the port itself, past every bridge chain. */
    { "inet", "raw", "type filter hook prerouting priority raw; policy accept;", RULES(
        "iifname { \"nvt*\", \"nvd*\" } counter drop",
        "ct zone set iifname map @zones") },
    { "inet", "prerouting", "type filter hook prerouting priority mangle; policy accept;", RULES(
        "iifname \"nvb*\" meta mark & $T != 0 goto from_guest") },
    { "inet", "unmark", "type filter hook prerouting priority mangle + 5; policy accept;", RULES(
        "iifname \"nvb*\" meta mark set 0") },
    /* What every guest may and may not send, fragments put together. */
    { "inet", "from_guest", NULL, RULES(
        "icmpv6 type { 134, 137 } counter drop",
        "udp sport 67 udp dport 68 counter drop",
        "udp sport 547 udp dport 546 counter drop",
        "udp sport 68 udp dport 67 accept",
        "udp sport 546 udp dport 547 accept",
        "icmpv6 type { 131, 132, 133, 135, 136, 143 } accept",
        "ip daddr 169.254.169.254 tcp dport 80 accept",
        "meta mark vmap @egress",
        "counter drop") },
    { "inet", "forward", "type filter hook forward priority filter; policy accept;", RULES(
        "iifname \"nvb*\" oifname \"nvb*\" meta mark & $T != 0 goto bridged",
        "iifname \"nvb*\" iifname != @gateways counter drop",
        "oifname \"nvb*\" goto routed") },
    { "inet", "output", "type filter hook output priority filter; policy accept;", RULES(
        "oifname \"nvb*\" goto routed") },
    { "inet", "bridged", NULL, RULES(
        "meta mark $T accept",
        "udp sport 67 udp dport 68 accept",
        "udp sport 547 udp dport 546 accept",
        "icmpv6 type { 130, 134, 135, 136 } accept",
        "meta mark vmap @ingress",
        "counter drop") },
    { "inet", "routed", NULL, RULES(
        "icmpv6 type { 130, 131, 132, 133, 134, 135, 136, 143 } accept",
        "oifname != @gateways counter drop",
        "oifname . ip daddr vmap @routed4",
        "oifname . ip6 daddr vmap @routed6",
        "meta pkttype { broadcast, multicast } accept",
        "counter drop") },
    /* A guest reaches the host itself only on a network whose gateway it is, and there only to see that it is up. */
    { "inet", "input", "type filter hook input priority filter; policy accept;", RULES(
        "iifname \"nvb*\" goto to_host") },
    { "inet", "to_host", NULL, RULES(
        "iifname != @gateways counter drop",
        "ct state established,related accept",
        "meta l4proto { 1, 58 } accept",
        "counter drop") },
    { "inet", "postrouting", "type nat hook postrouting priority srcnat; policy accept;", RULES(
        "oifname != \"nv*\" ip saddr @nat4 masquerade",
        "oifname != \"nv*\" ip6 saddr @nat6 masquerade") },
};
/* clang-format on */

static void put_rule(GString *out, const char *rule)
{
    g_auto(GStrv) parts = g_strsplit(rule, "$T", -1);
    g_autofree char *mark = g_strdup_printf("0x%x", NFT_MARK);
    g_autofree char *text = g_strjoinv(mark, parts);
    g_string_append_printf(out, "\t\t%s\n", text);
}

void nft_base_build(GString *out, bool fresh)
{
    static const char *const families[] = { "bridge", "inet" };
    for (gsize f = 0; f < G_N_ELEMENTS(families); f++) {
        g_string_append_printf(out, "add table %s nuvolet\n", families[f]);
        if (fresh)
            g_string_append_printf(out, "delete table %s nuvolet\nadd table %s nuvolet\n", families[f], families[f]);
        g_string_append_printf(out, "table %s nuvolet {\n", families[f]);
        for (gsize m = 0; m < MAP_LAST; m++)
            if (g_str_has_prefix(maps[m].name, families[f]))
                g_string_append_printf(out, "\t%s\n", maps[m].type);
        for (gsize c = 0; c < G_N_ELEMENTS(base); c++)
            if (strcmp(base[c].family, families[f]) == 0)
                g_string_append_printf(out, "\tchain %s { %s }\n", base[c].name, base[c].hook ? base[c].hook : "");
        g_string_append(out, "}\n");
    }
    for (gsize c = 0; c < G_N_ELEMENTS(base); c++)
        g_string_append_printf(out, "flush chain %s nuvolet %s\n", base[c].family, base[c].name);
    for (gsize f = 0; f < G_N_ELEMENTS(families); f++) {
        g_string_append_printf(out, "table %s nuvolet {\n", families[f]);
        for (gsize c = 0; c < G_N_ELEMENTS(base); c++) {
            if (strcmp(base[c].family, families[f]) != 0)
                continue;
            g_string_append_printf(out, "\tchain %s {\n", base[c].name);
            for (const char *const *r = base[c].rules; *r; r++)
                put_rule(out, *r);
            g_string_append(out, "\t}\n");
        }
        g_string_append(out, "}\n");
    }
}

static void chain_begin(GString *out, const char *family, const char *prefix, const char *n)
{
    g_string_append_printf(out, "add chain %s nuvolet %s%s\nflush chain %s nuvolet %s%s\ntable %s nuvolet {\n\tchain %s%s {\n", family, prefix, n, family,
                           prefix, n, family, prefix, n);
}

static void chain_end(GString *out)
{
    g_string_append(out, "\t}\n}\n");
}

#define RULE(out, ...) (g_string_append(out, "\t\t"), g_string_append_printf(out, __VA_ARGS__), g_string_append_c(out, '\n'))

/* All that the port may send from: its own MAC with its own addresses, then its allowed pairs, of one IP version. */
static GArray *sources(const PortSpec *p, int version)
{
    GArray *list = g_array_new(FALSE, TRUE, sizeof(Pair));
    Pair own = { 0 };
    guint8 mac[6];
    Cidr link = { { 6, (unsigned __int128) 0xfe80 << 112 }, 64 };
    g_strlcpy(own.mac, p->mac, sizeof own.mac);
    for (guint i = 0; i < p->addresses->len; i++) {
        Ip ip = g_array_index(p->addresses, Ip, i);
        own.cidr = (Cidr){ ip, version == 4 ? 32 : 128 };
        if (ip.version == version)
            g_array_append_val(list, own);
    }
    if (version == 6 && mac_parse(p->mac, mac)) {
        own.cidr = (Cidr){ ip_eui64(link, mac), 128 };
        g_array_append_val(list, own);
    }
    for (guint i = 0; i < p->pairs->len; i++) {
        Pair pair = g_array_index(p->pairs, Pair, i);
        if (pair.cidr.base.version == version)
            g_array_append_val(list, pair);
        /* An interface with a MAC of its own has a link-local address of its own. */
        if (version == 6 && strcmp(pair.mac, p->mac) != 0 && mac_parse(pair.mac, mac)) {
            pair.cidr = (Cidr){ ip_eui64(link, mac), 128 };
            g_array_append_val(list, pair);
        }
    }
    return list;
}

static void put_macs(GString *out, const PortSpec *p)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    g_string_append(out, p->mac);
    g_hash_table_add(seen, (char *) p->mac);
    for (guint i = 0; i < p->pairs->len; i++) {
        char *mac = g_array_index(p->pairs, Pair, i).mac;
        if (g_hash_table_add(seen, mac))
            g_string_append_printf(out, ", %s", mac);
    }
}

static const char *range_text(Cidr c, char buf[50])
{
    if (c.prefix == (c.base.version == 4 ? 32 : 128))
        ip_format(c.base, buf);
    else
        cidr_format(c, buf);
    return buf;
}

/* A source as an ND target: 128 bits at offset 64 of the ICMPv6 header. */
static void put_target(GString *out, Cidr c)
{
    Ip first = cidr_first(c), last = cidr_last(c);
    g_string_append_printf(out, "@th,64,128 0x%016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER "x", (guint64) (first.n >> 64), (guint64) first.n);
    if (c.prefix < 128)
        g_string_append_printf(out, "-0x%016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER "x", (guint64) (last.n >> 64), (guint64) last.n);
}

static void arp_build(GString *out, const PortSpec *p)
{
    g_autoptr(GArray) list = sources(p, 4);
    chain_begin(out, "bridge", "spa_", p->n.s);
    RULE(out, "arp htype != 1 counter drop");
    RULE(out, "arp ptype != 0x0800 counter drop");
    RULE(out, "arp hlen != 6 counter drop");
    RULE(out, "arp plen != 4 counter drop");
    RULE(out, "arp operation != { 1, 2 } counter drop");
    for (guint i = 0; i < list->len; i++) {
        const Pair *s = &g_array_index(list, Pair, i);
        char buf[50];
        range_text(s->cidr, buf);
        RULE(out, "ether saddr %s arp saddr ether %s arp saddr ip %s accept", s->mac, s->mac, buf);
        /* The probe for an address (RFC 5227) may ask for one's own only: else it could deny the address to its owner. */
        RULE(out, "ether saddr %s arp saddr ether %s arp operation 1 arp saddr ip 0.0.0.0 arp daddr ip %s accept", s->mac, s->mac, buf);
    }
    RULE(out, "counter drop");
    chain_end(out);
}

static void ip4_build(GString *out, const PortSpec *p)
{
    g_autoptr(GArray) list = sources(p, 4);
    g_auto(GStrv) mac = g_strsplit(p->mac, ":", 6);
    g_autofree char *chaddr = g_strjoinv("", mac);
    chain_begin(out, "bridge", "sp4_", p->n.s);
    RULE(out, "ip option lsrr exists counter drop");
    RULE(out, "ip option ssrr exists counter drop");
    RULE(out, "udp sport 67 udp dport 68 counter drop");
    /* A DHCP client: no relay (giaddr), its own hardware address (chaddr), at a human pace. */
    RULE(out, "udp sport 68 udp dport 67 @th,256,32 != 0 counter drop");
    RULE(out, "udp sport 68 udp dport 67 @th,288,48 != 0x%s counter drop", chaddr);
    RULE(out, "udp sport 68 udp dport 67 limit rate over 10/second burst 40 packets counter drop");
    RULE(out, "ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 ether saddr %s accept", p->mac);
    for (guint i = 0; i < list->len; i++) {
        const Pair *s = &g_array_index(list, Pair, i);
        char buf[50];
        RULE(out, "ether saddr %s ip saddr %s accept", s->mac, range_text(s->cidr, buf));
    }
    RULE(out, "counter drop");
    chain_end(out);
}

static void ip6_build(GString *out, const PortSpec *p)
{
    g_autoptr(GArray) list = sources(p, 6);
    chain_begin(out, "bridge", "sp6_", p->n.s);
    RULE(out, "ip6 nexthdr { 43, 135, 139, 140 } counter drop");
    RULE(out, "icmpv6 type { 134, 137 } counter drop");
    /* Neighbour discovery follows the IPv6 header at once: no fragments (RFC 6980), no options. */
    RULE(out, "icmpv6 type 133-137 ip6 nexthdr != 58 counter drop");
    RULE(out, "udp sport 547 udp dport 546 counter drop");
    RULE(out, "udp sport 546 udp dport 547 limit rate over 10/second burst 40 packets counter drop");
    for (guint i = 0; i < list->len; i++) {
        const Pair *s = &g_array_index(list, Pair, i);
        g_autoptr(GString) target = g_string_new(NULL);
        put_target(target, s->cidr);
        RULE(out, "ether saddr %s ip6 saddr :: icmpv6 type 135 %s accept", s->mac, target->str);
    }
    RULE(out, "ip6 saddr :: icmpv6 type { 133, 143 } accept");
    for (guint i = 0; i < list->len; i++) {
        const Pair *s = &g_array_index(list, Pair, i);
        g_autoptr(GString) target = g_string_new(NULL);
        char buf[50];
        put_target(target, s->cidr);
        range_text(s->cidr, buf);
        /* A neighbour advertisement speaks for one of the sender's addresses; its source may be another of them. */
        RULE(out, "ether saddr %s icmpv6 type 136 %s goto sp6n_%s", s->mac, target->str, p->n.s);
    }
    RULE(out, "icmpv6 type 136 counter drop");
    RULE(out, "goto sp6n_%s", p->n.s);
    chain_end(out);
}

static void ip6_source_build(GString *out, const PortSpec *p)
{
    g_autoptr(GArray) list = sources(p, 6);
    chain_begin(out, "bridge", "sp6n_", p->n.s);
    for (guint i = 0; i < list->len; i++) {
        const Pair *s = &g_array_index(list, Pair, i);
        char buf[50];
        RULE(out, "ether saddr %s ip6 saddr %s goto ip6_headers", s->mac, range_text(s->cidr, buf));
    }
    RULE(out, "counter drop");
    chain_end(out);
}

static void spoof_build(GString *out, const PortSpec *p)
{
    chain_begin(out, "bridge", "sp_", p->n.s);
    if (!p->port_security) {
        RULE(out, "accept");
        chain_end(out);
        return;
    }
    g_string_append(out, "\t\tether saddr != { ");
    put_macs(out, p);
    g_string_append(out, " } counter drop\n");
    RULE(out, "ether type 0x0806 goto spa_%s", p->n.s);
    RULE(out, "ether type 0x0800 goto sp4_%s", p->n.s);
    RULE(out, "ether type 0x86dd goto sp6_%s", p->n.s);
    RULE(out, "counter drop");
    chain_end(out);
}

static void groups_build(GString *out, const PortSpec *p, bool ingress, bool stateful)
{
    const char *prefix = ingress ? "gi_" : "ge_";
    for (guint i = 0; i < p->groups->len; i++)
        g_string_append_printf(out, "add chain inet nuvolet %s%s\n", prefix, g_array_index(p->groups, Id12, i).s);
    chain_begin(out, "inet", ingress ? "in_" : "eg_", p->n.s);
    if (!p->port_security) {
        RULE(out, "accept");
        chain_end(out);
        return;
    }
    if (stateful)
        RULE(out, "ct state vmap { established : accept, related : accept, invalid : drop }");
    for (guint i = 0; i < p->groups->len; i++)
        RULE(out, "jump %s%s", prefix, g_array_index(p->groups, Id12, i).s);
    RULE(out, "counter drop");
    chain_end(out);
}

void nft_port_build(GString *out, const PortSpec *p, bool stateful)
{
    /* Referred to before referring. */
    if (p->port_security) {
        arp_build(out, p);
        ip4_build(out, p);
        ip6_source_build(out, p);
        ip6_build(out, p);
    }
    spoof_build(out, p);
    groups_build(out, p, true, stateful);
    groups_build(out, p, false, stateful);
}

static const struct { const char *family, *prefix; } port_chains[] = {
    { "inet", "in_" },  { "inet", "eg_" },    { "bridge", "sp_" },
    { "bridge", "spa_" }, { "bridge", "sp4_" }, { "bridge", "sp6_" }, { "bridge", "sp6n_" },
};

void nft_port_absent_build(GString *out, const char *n)
{
    for (gsize i = 0; i < G_N_ELEMENTS(port_chains); i++)
        g_string_append_printf(out, "add chain %s nuvolet %s%s\nflush chain %s nuvolet %s%s\n", port_chains[i].family, port_chains[i].prefix, n,
                               port_chains[i].family, port_chains[i].prefix, n);
    for (gsize i = 0; i < G_N_ELEMENTS(port_chains); i++)
        g_string_append_printf(out, "delete chain %s nuvolet %s%s\n", port_chains[i].family, port_chains[i].prefix, n);
}

static void add(GArray *list, NftMap map, char *key_stolen, char *value_stolen)
{
    NftElement e = { map, key_stolen, value_stolen };
    g_array_append_val(list, e);
}

static GArray *elements_new(void)
{
    GArray *list = g_array_new(FALSE, TRUE, sizeof(NftElement));
    g_array_set_clear_func(list, nft_element_clear);
    return list;
}

GArray *nft_port_elements(const PortSpec *p, guint32 mark)
{
    GArray *list = elements_new();
    guint32 m = NFT_MARK | mark;
    add(list, MAP_MARKS, g_strdup_printf("\"%s\"", p->tap.s), g_strdup_printf("0x%x", m));
    add(list, MAP_PORTS, g_strdup_printf("\"%s\"", p->tap.s), g_strdup_printf("goto sp_%s", p->n.s));
    add(list, MAP_EGRESS, g_strdup_printf("0x%x", m), g_strdup_printf("goto eg_%s", p->n.s));
    add(list, MAP_INGRESS, g_strdup_printf("0x%x", m), g_strdup_printf("goto in_%s", p->n.s));
    for (int version = 4; version <= 6; version += 2) {
        g_autoptr(GArray) from = sources(p, version);
        for (guint i = 0; i < from->len; i++) {
            const Pair *s = &g_array_index(from, Pair, i);
            char buf[50];
            if (s->cidr.prefix == (version == 4 ? 32 : 128))
                add(list, version == 4 ? MAP_ROUTED4 : MAP_ROUTED6, g_strdup_printf("\"%s\" . %s", p->bridge.s, range_text(s->cidr, buf)),
                    g_strdup_printf("goto in_%s", p->n.s));
        }
    }
    return list;
}

GArray *nft_network_elements(const NetworkSpec *n)
{
    GArray *list = elements_new();
    if (n->zone)
        add(list, MAP_ZONES, g_strdup_printf("\"%s\"", n->bridge.s), g_strdup_printf("%d", n->zone));
    if (n->host_addresses->len)
        add(list, SET_GATEWAYS, g_strdup_printf("\"%s\"", n->bridge.s), NULL);
    for (guint i = 0; i < n->nat->len; i++) {
        Cidr c = g_array_index(n->nat, Cidr, i);
        char buf[50];
        add(list, c.base.version == 4 ? SET_NAT4 : SET_NAT6, g_strdup(range_text(c, buf)), NULL);
    }
    return list;
}

void nft_element_build(GString *out, const NftElement *e, bool adding)
{
    g_string_append_printf(out, "%s element %s { %s", adding ? "add" : "delete", maps[e->map].name, e->key);
    if (adding && e->value)
        g_string_append_printf(out, " : %s", e->value);
    g_string_append(out, " }\n");
}
