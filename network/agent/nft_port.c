/* network/agent/nft_port.c -- a port as entries of the sets, and the chains of a combination of groups. */
#include "network/agent/nft.h"
#include <string.h>

static const Cidr LINK_LOCAL = { { 6, (unsigned __int128) 0xfe80 << 112 }, 64 };

static int whole(int version)
{
    return version == 4 ? 32 : 128;
}

/* Overlapping prefixes of one MAC would be refused by the kernel: a prefix within another is left out. */
static bool is_covered(const PortSpec *p, guint i)
{
    Pair a = g_array_index(p->pairs, Pair, i);
    for (guint k = 0; k < p->pairs->len; k++) {
        Pair b = g_array_index(p->pairs, Pair, k);
        bool wider = b.cidr.prefix < a.cidr.prefix || (b.cidr.prefix == a.cidr.prefix && k < i);
        if (k != i && wider && strcmp(a.mac, b.mac) == 0 && b.cidr.base.version == a.cidr.base.version && cidr_contains(b.cidr, a.cidr.base))
            return true;
    }
    return false;
}

/* With its own MAC from its own addresses. */
static GArray *own_sources(const PortSpec *p, int version)
{
    GArray *list = g_array_new(FALSE, TRUE, sizeof(Pair));
    Pair own = { 0 };
    guint8 mac[6];
    g_strlcpy(own.mac, p->mac, sizeof own.mac);
    for (guint i = 0; i < p->addresses->len; i++) {
        Ip ip = g_array_index(p->addresses, Ip, i);
        own.cidr = (Cidr){ ip, whole(version) };
        if (ip.version == version)
            g_array_append_val(list, own);
    }
    if (version == 6 && mac_parse(p->mac, mac)) {
        own.cidr = (Cidr){ ip_eui64(LINK_LOCAL, mac), 128 };
        g_array_append_val(list, own);
    }
    return list;
}

GArray *nft_port_sources(const PortSpec *p, int version)
{
    GArray *list = own_sources(p, version);
    guint8 mac[6];
    for (guint i = 0; i < p->pairs->len; i++) {
        Pair pair = g_array_index(p->pairs, Pair, i);
        if (pair.cidr.base.version == version && !is_covered(p, i))
            g_array_append_val(list, pair);
        /* An interface with a MAC of its own has a link-local address of its own. */
        if (version == 6 && strcmp(pair.mac, p->mac) != 0 && mac_parse(pair.mac, mac)) {
            pair.cidr = (Cidr){ ip_eui64(LINK_LOCAL, mac), 128 };
            g_array_append_val(list, pair);
        }
    }
    return list;
}

static const char *range_text(Cidr c, char buf[50])
{
    if (c.prefix == whole(c.base.version))
        ip_format(c.base, buf);
    else
        cidr_format(c, buf);
    return buf;
}

static void add(GArray *list, NftMap map, char *key_stolen, char *value_stolen)
{
    NftElement e = { .map = map, .key = key_stolen, .value = value_stolen };
    g_array_append_val(list, e);
}

static GArray *elements_new(void)
{
    GArray *list = g_array_new(FALSE, TRUE, sizeof(NftElement));
    g_array_set_clear_func(list, nft_element_clear);
    return list;
}

/* A source as an ND target: 128 bits of the ICMPv6 message. */
static char *target_text(Cidr c)
{
    Ip first = cidr_first(c), last = cidr_last(c);
    g_autofree char *low = g_strdup_printf("0x%016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER "x", (guint64) (first.n >> 64), (guint64) first.n);
    if (c.prefix == 128)
        return g_steal_pointer(&low);
    return g_strdup_printf("%s-0x%016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER "x", low, (guint64) (last.n >> 64), (guint64) last.n);
}

char *nft_source_key(const PortSpec *p, const Pair *source)
{
    char ip[50];
    return g_strdup_printf("\"%s\" . %s . %s", p->tap.s, source->mac, range_text(source->cidr, ip));
}

/* Within a wider prefix of the same MAC. */
static bool is_within(const Pair *a, const GArray *prefixes)
{
    for (guint i = 0; i < prefixes->len; i++) {
        const Pair *b = &g_array_index(prefixes, Pair, i);
        if (b->cidr.prefix < a->cidr.prefix && b->cidr.base.version == a->cidr.base.version && strcmp(a->mac, b->mac) == 0 &&
            cidr_contains(b->cidr, a->cidr.base))
            return true;
    }
    return false;
}

/* others: prefixes of all ports that share this one's tap; NULL: none does. */
static void add_sources(GArray *list, const PortSpec *p, int version, const GArray *others)
{
    g_autoptr(GArray) from = nft_port_sources(p, version);
    const char *tap = p->tap.s;
    for (guint i = 0; i < from->len; i++) {
        const Pair *s = &g_array_index(from, Pair, i);
        int net = s->cidr.prefix != whole(version);
        char ip[50];
        if (net && others && is_within(s, others))
            continue;
        range_text(s->cidr, ip);
        if (version == 4) {
            add(list, SET_ARP + net, g_strdup_printf("\"%s\" . %s . %s . %s", tap, s->mac, s->mac, ip), NULL);
            add(list, SET_IP4 + net, nft_source_key(p, s), NULL);
            continue;
        }
        g_autofree char *target = target_text(s->cidr);
        add(list, SET_IP6 + net, nft_source_key(p, s), NULL);
        add(list, SET_ND + net, g_strdup_printf("\"%s\" . %s . %s", tap, s->mac, target), NULL);
    }
}

static guint32 full_mark(const PortSpec *p, guint32 mark)
{
    return NFT_MARK | (p->port_security ? 0 : NFT_MARK_OPEN) | mark;
}

/* Single addresses only. */
static void add_routed(GArray *list, const PortSpec *p, guint32 mark, int version)
{
    g_autoptr(GArray) from = nft_port_sources(p, version), own = own_sources(p, version);
    for (guint i = 0; i < from->len; i++) {
        const Pair *s = &g_array_index(from, Pair, i);
        char ip[50];
        if (s->cidr.prefix != whole(version))
            continue;
        add(list, version == 4 ? MAP_ROUTED4 : MAP_ROUTED6, g_strdup_printf("\"%s\" . %s", p->bridge.s, range_text(s->cidr, ip)),
            g_strdup_printf("0x%x", full_mark(p, mark)));
        g_array_index(list, NftElement, list->len - 1).weak = i >= own->len;
    }
}

GArray *nft_port_routed(const PortSpec *p, guint32 mark)
{
    GArray *list = elements_new();
    for (int version = 4; version <= 6; version += 2)
        add_routed(list, p, mark, version);
    return list;
}

NftCombo nft_combo(const PortSpec *p, bool stateful)
{
    g_autoptr(GString) text = g_string_new(stateful ? "stateful" : "stateless");
    NftCombo combo;
    for (guint i = 0; i < p->groups->len; i++)
        g_string_append_printf(text, " %s", g_array_index(p->groups, Id12, i).s);
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text->str, -1);
    g_strlcpy(combo.name, sum, sizeof combo.name);
    return combo;
}

static const char NOTE[] = "comment \"n";

char *nft_owner_note(const char *n)
{
    return g_strdup_printf("%s%s\"", NOTE, n);
}

const char *nft_owner_noted(const char *value)
{
    return value && g_str_has_prefix(value, NOTE) ? value + strlen(NOTE) : NULL;
}

char *nft_limit(gint64 rate, gint64 burst)
{
    return g_strdup_printf("limit rate over %" G_GINT64_FORMAT "/second burst %" G_GINT64_FORMAT " packets", rate, burst);
}

/* Without a burst of its own, a tenth of a second's packets may come at once. */
static void add_limit(GArray *list, NftMap set, const char *tap, const Limits *l)
{
    gint64 burst = l->pps_burst ? l->pps_burst : MAX(l->pps / 10, 10);
    if (l->pps)
        add(list, set, g_strdup_printf("\"%s\"", tap), nft_limit(l->pps, MIN(burst, G_MAXUINT32)));
}

static void add_limits(GArray *list, const PortSpec *p)
{
    add_limit(list, SET_PPS_OUT, p->tap.s, &p->qos.egress);
    add_limit(list, SET_PPS_IN, p->tap.s, &p->qos.ingress);
    if (p->qos.dscp >= 0)
        add(list, MAP_DSCP, g_strdup_printf("\"%s\"", p->tap.s), g_strdup_printf("jump dscp_%d", p->qos.dscp));
}

void nft_dscp_build(GString *out, int mark)
{
    g_string_append_printf(out, "add chain bridge nuvolet dscp_%d\nflush chain bridge nuvolet dscp_%d\ntable bridge nuvolet {\n\tchain dscp_%d {\n"
                           "\t\tip dscp set %d\n\t\tip6 dscp set %d\n\t}\n}\n", mark, mark, mark, mark, mark);
}

GArray *nft_port_elements(const PortSpec *p, guint32 mark, bool stateful)
{
    GArray *list = elements_new();
    const char *tap = p->tap.s;
    NftCombo combo = nft_combo(p, stateful);
    g_auto(GStrv) octets = g_strsplit(p->mac, ":", 6);
    g_autofree char *chaddr = g_strjoinv("", octets);
    bool safe = p->port_security;
    guint32 m = full_mark(p, mark);
    add_limits(list, p);
    add(list, MAP_MARKS, g_strdup_printf("\"%s\"", tap), g_strdup_printf("0x%x", m));
    add(list, MAP_PORTS, g_strdup_printf("\"%s\"", tap), g_strdup(safe ? "goto secure" : "accept"));
    add(list, MAP_EGRESS, g_strdup_printf("0x%x", m), safe ? g_strdup_printf("goto eg_%s", combo.name) : g_strdup("accept"));
    add(list, MAP_INGRESS, g_strdup_printf("0x%x", m), safe ? g_strdup_printf("goto in_%s", combo.name) : g_strdup("accept"));
    for (int version = 4; version <= 6; version += 2)
        add_routed(list, p, mark, version);
    if (!safe)
        return list;
    add(list, SET_MACS, g_strdup_printf("\"%s\" . %s", tap, p->mac), NULL);
    add(list, SET_CHADDR, g_strdup_printf("\"%s\" . 0x%s", tap, chaddr), NULL);
    for (guint i = 0; i < p->pairs->len; i++)
        add(list, SET_MACS, g_strdup_printf("\"%s\" . %s", tap, g_array_index(p->pairs, Pair, i).mac), NULL);
    add_sources(list, p, 4, NULL);
    add_sources(list, p, 6, NULL);
    return list;
}

static void combo_chain(GString *out, const PortSpec *p, const char *name, bool ingress, bool stateful)
{
    const char *mine = ingress ? "in_" : "eg_", *group = ingress ? "gi_" : "ge_";
    for (guint i = 0; i < p->groups->len; i++)
        g_string_append_printf(out, "add chain inet nuvolet %s%s\n", group, g_array_index(p->groups, Id12, i).s);
    g_string_append_printf(out, "add chain inet nuvolet %s%s\nflush chain inet nuvolet %s%s\ntable inet nuvolet {\n\tchain %s%s {\n", mine, name,
                           mine, name, mine, name);
    if (stateful)
        g_string_append_printf(out, "\t\tct state invalid drop\n\t\tct state related ct mark & 0x%x == 0 accept\n"
                               "\t\tct state established ct direction reply ct mark & 0x%x == 0 accept\n"
                               "\t\tct state established ct direction reply counter drop\n", NFT_REFUSED_IN | NFT_REFUSED_OUT,
                               ingress ? NFT_REFUSED_OUT : NFT_REFUSED_IN);
    for (guint i = 0; i < p->groups->len; i++)
        g_string_append_printf(out, "\t\tjump %s%s\n", group, g_array_index(p->groups, Id12, i).s);
    if (stateful)
        g_string_append_printf(out, "\t\tct mark set ct mark | 0x%x\n", ingress ? NFT_REFUSED_IN : NFT_REFUSED_OUT);
    g_string_append(out, "\t\tcounter drop\n\t}\n}\n");
}

void nft_combo_build(GString *out, const PortSpec *p, bool stateful)
{
    NftCombo combo = nft_combo(p, stateful);
    combo_chain(out, p, combo.name, true, stateful);
    combo_chain(out, p, combo.name, false, stateful);
}

void nft_combo_absent_build(GString *out, const char *name)
{
    g_string_append_printf(out, "delete chain inet nuvolet in_%s\ndelete chain inet nuvolet eg_%s\n", name, name);
}

/* A port of another host: what it may send, as if the VXLAN device were its tap; and where it may come from. */
static void add_peer(GArray *list, const Segment *s, const Peer *peer, const GArray *prefixes)
{
    const PortSpec *p = peer->port;
    char ip[46];
    ip_format(peer->remote, ip);
    add(list, peer->remote.version == 4 ? SET_PEERS4 : SET_PEERS6, g_strdup_printf("%s . 0x%x", ip, s->vni), NULL);
    if (peer->any) {
        add(list, SET_OPEN, g_strdup_printf("\"%s\" . %s", p->tap.s, p->mac), NULL);
        return;
    }
    add(list, SET_MACS, g_strdup_printf("\"%s\" . %s", p->tap.s, p->mac), NULL);
    for (guint i = 0; i < p->pairs->len; i++)
        add(list, SET_MACS, g_strdup_printf("\"%s\" . %s", p->tap.s, g_array_index(p->pairs, Pair, i).mac), NULL);
    add_sources(list, p, 4, prefixes);
    add_sources(list, p, 6, prefixes);
}

/* Those of all peers: they are one tap's. */
static GArray *peer_prefixes(const Segment *s)
{
    GArray *list = g_array_new(FALSE, FALSE, sizeof(Pair));
    for (guint i = 0; i < s->peers->len; i++) {
        const Peer *peer = &g_array_index(s->peers, Peer, i);
        for (guint k = 0; !peer->any && k < peer->port->pairs->len; k++) {
            Pair pair = g_array_index(peer->port->pairs, Pair, k);
            if (pair.cidr.prefix != whole(pair.cidr.base.version))
                g_array_append_val(list, pair);
        }
    }
    return list;
}

static void add_segment(GArray *list, const NetworkSpec *n)
{
    const Segment *s = &n->segment;
    g_autoptr(GArray) prefixes = peer_prefixes(s);
    if (s->type == SEGMENT_VXLAN)
        add(list, SET_VNIS, g_strdup_printf("0x%x", s->vni), NULL);
    if (s->type == SEGMENT_FLAT || s->type == SEGMENT_VLAN)
        add(list, SET_UPLINKS, g_strdup_printf("\"%s\"", s->link.s), NULL);
    if ((s->type == SEGMENT_FLAT || s->type == SEGMENT_VLAN) && n->has_dhcp)
        add(list, SET_SERVED, g_strdup_printf("\"%s\"", s->link.s), NULL);
    for (guint i = 0; i < s->peers->len; i++)
        add_peer(list, s, &g_array_index(s->peers, Peer, i), prefixes);
}

GArray *nft_network_elements(const NetworkSpec *n)
{
    GArray *list = elements_new();
    add_segment(list, n);
    if (n->zone)
        add(list, MAP_ZONES, g_strdup_printf("\"%s\"", n->bridge.s), g_strdup_printf("%d", n->zone));
    if (n->host_addresses->len)
        add(list, SET_GATEWAYS, g_strdup_printf("\"%s\"", n->bridge.s), NULL);
    if (n->switched)
        add(list, SET_SWITCHED, g_strdup_printf("\"%s\"", n->bridge.s), NULL);
    for (guint i = 0; i < n->nat->len; i++) {
        Cidr c = g_array_index(n->nat, Cidr, i);
        char buf[50];
        add(list, c.base.version == 4 ? SET_NAT4 : SET_NAT6, g_strdup(range_text(c, buf)), nft_owner_note(n->n.s));
    }
    return list;
}
