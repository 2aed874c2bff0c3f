/* network/agent/nft.c -- the sets and base chains of both tables; every word of the text is ours. */
#include "core/conf.h"
#include "network/agent/nft.h"
#include <string.h>

/* clang-format off */
static const struct { const char *name, *kind, *type; } maps[MAP_LAST] = {
    [MAP_MARKS]    = { "bridge nuvolet marks",    "map", "type ifname : mark;" },
    [MAP_PORTS]    = { "bridge nuvolet ports",    "map", "type ifname : verdict;" },
    [MAP_EGRESS]   = { "inet nuvolet egress",     "map", "type mark : verdict;" },
    [MAP_INGRESS]  = { "inet nuvolet ingress",    "map", "type mark : verdict;" },
    [MAP_ROUTED4]  = { "inet nuvolet routed4",    "map", "type ifname . ipv4_addr : mark;" },
    [MAP_ROUTED6]  = { "inet nuvolet routed6",    "map", "type ifname . ipv6_addr : mark;" },
    [MAP_ZONES]    = { "inet nuvolet zones",      "map", "typeof iifname : ct zone;" },
    [SET_MACS]     = { "bridge nuvolet macs",     "set", "type ifname . ether_addr;" },
    [SET_CHADDR]   = { "bridge nuvolet chaddr",   "set", "typeof iifname . @th,288,48;" },
    [SET_ARP]      = { "bridge nuvolet arps",     "set", "type ifname . ether_addr . ether_addr . ipv4_addr;" },
    [SET_ARPNETS]  = { "bridge nuvolet arpnets",  "set", "type ifname . ether_addr . ether_addr . ipv4_addr; flags interval;" },
    [SET_IP4]      = { "bridge nuvolet ip4s",     "set", "type ifname . ether_addr . ipv4_addr;" },
    [SET_IP4NETS]  = { "bridge nuvolet ip4nets",  "set", "type ifname . ether_addr . ipv4_addr; flags interval;" },
    [SET_IP6]      = { "bridge nuvolet ip6s",     "set", "type ifname . ether_addr . ipv6_addr;" },
    [SET_IP6NETS]  = { "bridge nuvolet ip6nets",  "set", "type ifname . ether_addr . ipv6_addr; flags interval;" },
    [SET_ND]       = { "bridge nuvolet nds",      "set", "typeof iifname . ether saddr . @th,64,128;" },
    [SET_NDNETS]   = { "bridge nuvolet ndnets",   "set", "typeof iifname . ether saddr . @th,64,128; flags interval;" },
    [SET_GATEWAYS] = { "inet nuvolet gateways",   "set", "type ifname;" },
    [SET_SWITCHED] = { "inet nuvolet switched",   "set", "type ifname;" },
    [SET_NAT4]     = { "inet nuvolet nat4",       "set", "type ipv4_addr; flags interval;" },
    [SET_NAT6]     = { "inet nuvolet nat6",       "set", "type ipv6_addr; flags interval;" },
    [SET_OPEN]     = { "bridge nuvolet open",     "set", "type ifname . ether_addr;" },
    [SET_UPLINKS]  = { "bridge nuvolet uplinks",  "set", "type ifname;" },
    [SET_SERVED]   = { "bridge nuvolet served",   "set", "type ifname;" },
    [SET_VNIS]     = { "inet nuvolet vnis",       "set", "typeof @th,96,24;" },
    [SET_PEERS4]   = { "inet nuvolet peers4",     "set", "typeof ip saddr . @th,96,24;" },
    [SET_PEERS6]   = { "inet nuvolet peers6",     "set", "typeof ip6 saddr . @th,96,24;" },
    /* Each entry has a limit of its own, and matches while it is exceeded. */
    [SET_PPS_OUT]  = { "bridge nuvolet pps_out",  "set", "typeof iifname; flags dynamic; limit rate over 1000000/second;" },
    [SET_PPS_IN]   = { "bridge nuvolet pps_in",   "set", "typeof oifname; flags dynamic; limit rate over 1000000/second;" },
    [MAP_DSCP]     = { "bridge nuvolet dscp",     "map", "type ifname : verdict;" },
};

/* A chain's rules; "$T" stands for the mark's flag, "$P" for that of ports without port security, "$H" for the mark of what the host sends to an
 * address of no port, "$V" for VXLAN's port. */
typedef struct BaseChain { const char *family, *name, *hook; const char *const *rules; } BaseChain;
#define RULES(...) (const char *const[]){ __VA_ARGS__, NULL }

static const BaseChain base[] = {
    { "bridge", "prerouting", "type filter hook prerouting priority -300; policy accept;", RULES(
        "iifname \"nvt*\" goto from_tap",
        "iifname \"nvx*\" goto from_overlay",
        "iifname @uplinks goto from_uplink",
        "iifname \"nv*\" meta mark set 0") },
    /* From another host: unicast only, from what its ports may send; theirs was judged there, and counts as nobody's here. */
    { "bridge", "from_overlay", NULL, RULES(
        "meta mark set 0",
        "ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00 counter drop",
        "iifname . ether saddr @open accept",
        "goto secure") },
    /* No groups would be asked about packets with a tag.  Where DHCP is ours, no other server answers. */
    { "bridge", "from_uplink", NULL, RULES(
        "meta mark set 0",
        "ether type { 0x8100, 0x88a8 } counter drop",
        "iifname @served udp sport 67 udp dport 68 counter drop",
        "iifname @served udp sport 547 udp dport 546 counter drop") },
    /* The frame carries its sender's mark from here; a tap that nobody declared sends nothing. */
    { "bridge", "from_tap", NULL, RULES(
        "meta mark set iifname map @marks",
        "iifname @pps_out counter drop",
        "iifname vmap @dscp",
        "iifname vmap @ports",
        "counter drop") },
    /* A port with port security. */
    { "bridge", "secure", NULL, RULES(
        "iifname . ether saddr != @macs counter drop",
        "ether type 0x0806 goto arp_guard",
        "ether type 0x0800 goto ip4_guard",
        "ether type 0x86dd goto ip6_guard",
        "counter drop") },
    /* The probe for an address (RFC 5227) may ask for one's own only: else it could deny the address to its owner. */
    { "bridge", "arp_guard", NULL, RULES(
        "arp htype != 1 counter drop",
        "arp ptype != 0x0800 counter drop",
        "arp hlen != 6 counter drop",
        "arp plen != 4 counter drop",
        "arp operation != { 1, 2 } counter drop",
        "iifname . ether saddr . arp saddr ether . arp saddr ip @arps accept",
        "iifname . ether saddr . arp saddr ether . arp saddr ip @arpnets accept",
        "arp operation 1 arp saddr ip 0.0.0.0 iifname . ether saddr . arp saddr ether . arp daddr ip @arps accept",
        "arp operation 1 arp saddr ip 0.0.0.0 iifname . ether saddr . arp saddr ether . arp daddr ip @arpnets accept",
        "counter drop") },
    /* A DHCP client: no relay (giaddr), its own hardware address (chaddr), at a human pace, and whole: a fragment may end before these. */
    { "bridge", "ip4_guard", NULL, RULES(
        "ip option lsrr exists counter drop",
        "ip option ssrr exists counter drop",
        "udp sport 67 udp dport 68 counter drop",
        "udp sport 68 udp dport 67 ip frag-off & 0x3fff != 0 counter drop",
        "udp sport 68 udp dport 67 @th,256,32 != 0 counter drop",
        "udp sport 68 udp dport 67 iifname . @th,288,48 != @chaddr counter drop",
        "udp sport 68 udp dport 67 update @dhcp_pace { iifname limit rate over 10/second burst 40 packets } counter drop",
        "ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept",
        "iifname . ether saddr . ip saddr @ip4s accept",
        "iifname . ether saddr . ip saddr @ip4nets accept",
        "counter drop") },
    /* Neighbour discovery follows the IPv6 header at once: no fragments (RFC 6980), no options.  An advertisement speaks for one of the
     * sender's addresses; its source may be another of them. */
    { "bridge", "ip6_guard", NULL, RULES(
        "ip6 nexthdr { 43, 135, 139, 140 } counter drop",
        "icmpv6 type { 134, 137 } counter drop",
        "icmpv6 type 133-137 ip6 nexthdr != 58 counter drop",
        "udp sport 547 udp dport 546 counter drop",
        "udp sport 546 udp dport 547 update @dhcp_pace { iifname limit rate over 10/second burst 40 packets } counter drop",
        "ip6 saddr :: icmpv6 type 135 iifname . ether saddr . @th,64,128 @nds accept",
        "ip6 saddr :: icmpv6 type 135 iifname . ether saddr . @th,64,128 @ndnets accept",
        "ip6 saddr :: icmpv6 type { 133, 143 } accept",
        "icmpv6 type 136 iifname . ether saddr . @th,64,128 @nds goto ip6_source",
        "icmpv6 type 136 iifname . ether saddr . @th,64,128 @ndnets goto ip6_source",
        "icmpv6 type 136 counter drop",
        "goto ip6_source") },
    { "bridge", "ip6_source", NULL, RULES(
        "iifname . ether saddr . ip6 saddr @ip6s goto ip6_headers",
        "iifname . ether saddr . ip6 saddr @ip6nets goto ip6_headers",
        "counter drop") },
    /* IPv6 behind extension headers: only where the last header is known and is not neighbour discovery in disguise. */
    { "bridge", "ip6_headers", NULL, RULES(
        "ip6 nexthdr != { 0, 44, 60 } accept",
        "ip6 nexthdr 44 frag nexthdr { 0, 43, 44, 60, 135, 139, 140 } counter drop",
        "meta l4proto != { 0, 43, 44, 59, 60, 135, 139, 140 } accept",
        "counter drop") },
    /* Before br_netfilter hands the packet to inet forward: now the mark tells the receiver.  DHCP hears clients' ports only: in what comes from
     * another, nobody has looked at the hardware address or the pace.  By IPv6 a client asks from its link-local address (RFC 8415 17.1), whose MAC
     * dnsmasq has not to ask for; a relay (message types 12, 13) would say the client's.  Fragments have been put together by now. */
    { "bridge", "forward", "type filter hook forward priority -10; policy accept;", RULES(
        "oifname \"nvt*\" goto to_tap",
        "oifname \"nvx*\" goto to_overlay",
        "oifname @uplinks goto to_uplink",
        "iifname @uplinks oifname \"nvd*\" counter drop",
        "oifname \"nvd*\" udp dport 67 udp sport != 68 counter drop",
        "oifname \"nvd*\" udp dport 547 udp sport != 546 counter drop",
        "oifname \"nvd*\" udp dport 547 ip6 saddr != fe80::/10 counter drop",
        "oifname \"nvd*\" udp dport 547 @th,64,8 { 12, 13 } counter drop",
        "oifname \"nv*\" meta mark set $T") },
    /* DHCP, DNS and metadata are answered on each host, by the same MAC and addresses: they never meet. */
    { "bridge", "to_overlay", NULL, RULES(
        "iifname \"nvd*\" counter drop",
        "ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00 counter drop",
        "meta mark set $T") },
    { "bridge", "to_uplink", NULL, RULES(
        "iifname \"nvd*\" counter drop",
        "ether type { 0x8100, 0x88a8 } counter drop",
        "oifname @served udp sport 68 udp dport 67 counter drop",
        "oifname @served udp sport 546 udp dport 547 counter drop",
        "meta mark set $T") },
    /* br_netfilter hands inet forward plain IP only: what else may have IP within would pass the groups (a guest takes VLAN 0 for no VLAN). */
    { "bridge", "to_tap", NULL, RULES(
        "meta mark set oifname map @marks ether type { 0x0800, 0x0806, 0x86dd } accept",
        "meta mark set oifname map @marks meta mark & $P != 0 accept",
        "counter drop") },
    { "bridge", "postrouting", "type filter hook postrouting priority 0; policy accept;", RULES(
        "oifname @pps_in counter drop") },
    /* What the host sends to an address of no port may be for a router's link, and for no tap. */
    { "bridge", "output", "type filter hook output priority 0; policy accept;", RULES(
        "oifname \"nvt*\" meta mark $H counter drop",
        "oifname \"nv*\" meta mark set $T") },

    /* Frames to bridge-group addresses reach the host on the port itself, past every bridge chain. */
    { "inet", "raw", "type filter hook prerouting priority raw; policy accept;", RULES(
        /* Not as one set: nft joins names that follow each other to a range, and cannot print it. */
        "iifname \"nvt*\" counter drop",
        "iifname \"nvs*\" counter drop",
        "iifname \"nvd*\" counter drop",
        "iifname \"nvr*\" counter drop",
        "iifname \"nvx*\" counter drop",
        "iifname \"nvu*\" counter drop",
        "ct zone set iifname map @zones") },
    { "inet", "prerouting", "type filter hook prerouting priority mangle; policy accept;", RULES(
        "iifname \"nvb*\" meta mark & $T != 0 goto from_guest") },
    { "inet", "unmark", "type filter hook prerouting priority mangle + 5; policy accept;", RULES(
        "iifname \"nvb*\" meta mark set 0") },
    /* What every guest may and may not send, fragments put together; without port security it may be a DHCP server or a router. */
    { "inet", "from_guest", NULL, RULES(
        "meta mark & $P != 0 accept",
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
        "oifname \"nvb*\" oifname != @gateways counter drop",
        "oifname \"nvb*\" goto routed") },
    { "inet", "bridged", NULL, RULES(
        "meta mark $T accept",
        "udp sport 67 udp dport 68 accept",
        "udp sport 547 udp dport 546 accept",
        "icmpv6 type { 130, 134, 135, 136 } accept",
        "meta mark vmap @ingress",
        "counter drop") },
    /* DHCP is asked by the network's own guests, whose hardware address was looked at. */
    { "inet", "routed", NULL, RULES(
        "udp dport { 67, 547 } counter drop",
        "icmpv6 type { 130, 131, 132, 133, 134, 135, 136, 143 } accept",
        "oifname != @gateways counter drop",
        "oifname @switched accept",
        "meta mark set 0",
        "meta mark set oifname . ip daddr map @routed4",
        "meta mark set oifname . ip6 daddr map @routed6",
        "meta mark vmap @ingress",
        "meta pkttype { broadcast, multicast } accept",
        "meta mark set $H") },
    /* A guest reaches the host itself only on a network whose gateway it is, and there only to see that it is up. */
    { "inet", "input", "type filter hook input priority filter; policy accept;", RULES(
        "udp dport $V @th,96,24 @vnis goto from_underlay",
        "iifname \"nvb*\" goto to_host") },
    /* A tunnel's packets come from the hosts that have the network. */
    { "inet", "from_underlay", NULL, RULES(
        "ip saddr . @th,96,24 @peers4 accept",
        "ip6 saddr . @th,96,24 @peers6 accept",
        "counter drop") },
    { "inet", "to_host", NULL, RULES(
        "iifname != @gateways counter drop",
        "ct state established,related accept",
        "meta l4proto { 1, 58 } accept",
        "counter drop") },
    /* Where a group's rule leads to: the connection may go on. */
    { "inet", "allow_out", NULL, RULES(
        "ct mark & $O != 0 ct mark set ct mark & $o",
        "accept") },
    { "inet", "allow_in", NULL, RULES(
        "ct mark & $I != 0 ct mark set ct mark & $i",
        "accept") },
    { "inet", "postrouting", "type nat hook postrouting priority srcnat; policy accept;", RULES(
        "oifname != \"nv*\" ip saddr @nat4 masquerade",
        "oifname != \"nv*\" ip6 saddr @nat6 masquerade") },
};
/* clang-format on */

const char *nft_map_name(NftMap map)
{
    return maps[map].name;
}

bool nft_map_is_set(NftMap map)
{
    return *maps[map].kind == 's';
}

void nft_element_clear(gpointer element)
{
    NftElement *e = element;
    g_free(e->key);
    g_free(e->value);
}

void nft_element_build(GString *out, const NftElement *e, bool add)
{
    g_string_append_printf(out, "%s element %s { %s", add ? "add" : "delete", maps[e->map].name, e->key);
    if (add && e->value)
        g_string_append_printf(out, "%s%s", nft_map_is_set(e->map) ? " " : " : ", e->value);
    g_string_append(out, " }\n");
}

static void append_value(GString *out, char name)
{
    static const struct { char name; guint32 value; } marks[] = {
        { 'T', NFT_MARK }, { 'P', NFT_MARK_OPEN }, { 'H', NFT_MARK_HOST },
        { 'O', NFT_REFUSED_OUT }, { 'o', ~NFT_REFUSED_OUT }, { 'I', NFT_REFUSED_IN }, { 'i', ~NFT_REFUSED_IN },
    };
    if (name == 'V')
        g_string_append(out, conf_str("network.vxlan_port"));
    for (gsize i = 0; i < G_N_ELEMENTS(marks); i++)
        if (marks[i].name == name)
            g_string_append_printf(out, "0x%x", marks[i].value);
}

static void put_rule(GString *out, const char *rule)
{
    g_string_append(out, "\t\t");
    for (const char *p = rule; *p; p++) {
        if (*p == '$')
            append_value(out, *++p);
        else
            g_string_append_c(out, *p);
    }
    g_string_append_c(out, '\n');
}

static void declare(GString *out, const char *family, bool fresh)
{
    g_string_append_printf(out, "add table %s nuvolet\n", family);
    if (fresh)
        g_string_append_printf(out, "delete table %s nuvolet\nadd table %s nuvolet\n", family, family);
    g_string_append_printf(out, "table %s nuvolet {\n", family);
    for (gsize m = 0; m < MAP_LAST; m++)
        if (g_str_has_prefix(maps[m].name, family))
            g_string_append_printf(out, "\t%s %s { %s }\n", maps[m].kind, strrchr(maps[m].name, ' ') + 1, maps[m].type);
    if (strcmp(family, "bridge") == 0)
        g_string_append(out, "\tset dhcp_pace { typeof iifname; flags dynamic; timeout 30s; }\n");
    for (gsize c = 0; c < G_N_ELEMENTS(base); c++)
        if (strcmp(base[c].family, family) == 0)
            g_string_append_printf(out, "\tchain %s { %s }\n", base[c].name, base[c].hook ? base[c].hook : "");
    g_string_append(out, "}\n");
}

void nft_base_build(GString *out, bool fresh)
{
    declare(out, "bridge", fresh);
    declare(out, "inet", fresh);
    for (gsize c = 0; c < G_N_ELEMENTS(base); c++) {
        const BaseChain *b = &base[c];
        g_string_append_printf(out, "flush chain %s nuvolet %s\ntable %s nuvolet {\n\tchain %s {\n", b->family, b->name, b->family, b->name);
        for (const char *const *r = b->rules; *r; r++)
            put_rule(out, *r);
        g_string_append(out, "\t}\n}\n");
    }
}
