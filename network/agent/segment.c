/* network/agent/segment.c -- a network's way out of the host: made with exactly the entries that the specs name, or gone. */
#include "network/agent/segment.h"
#include "core/conf.h"
#include "core/physnet.h"
#include "network/agent/link.h"
#include "network/agent/nft.h"
#include "network/agent/promise.h"
#include "network/agent/sysctl.h"
#include "network/agent/wanted.h"
#include <string.h>

bool segment_start(GError **err)
{
    const char *tunnel = conf_str("network.tunnel_address");
    g_autoptr(GArray) physical = physnets_parse(conf_str("network.physical"), err);
    Ip ip;
    if (!physical || !physnets_bandwidth(physical, conf_str("network.physical_bandwidth"), err))
        return false;
    return !*tunnel || ip_parse(tunnel, &ip) ||
           nv_fail(err, NV_ERR_INVALID, "configuration: network.tunnel_address must be an address of this host, not '%s'", tunnel);
}

static json_t *fact_of(const Physnet *p)
{
    json_t *fact = json_make("ss", "name", p->name, "interface", p->interface);
    gint64 egress = promise_rate(p), ingress = p->ingress_kbps ? p->ingress_kbps : egress;
    if (egress)
        json_object_set_new(fact, "egress_kbps", json_integer(egress));
    if (ingress)
        json_object_set_new(fact, "ingress_kbps", json_integer(ingress));
    return fact;
}

json_t *segment_facts(void)
{
    g_autoptr(GArray) physical = physnets_conf();
    const char *tunnel = conf_str("network.tunnel_address");
    json_t *list = json_array();
    for (guint i = 0; i < physical->len; i++) {
        const Physnet *p = &g_array_index(physical, Physnet, i);
        if (*p->interface && physnet_find(physical, p->name) == p)
            json_array_append_new(list, fact_of(p));
    }
    return json_make("soi", "tunnel_address", *tunnel ? tunnel : NULL, "physical", list, "kpps", conf_int("network.packet_rate"));
}

/* --- VXLAN: what is known of the other hosts' ports --- */

static void append_neighbour(GArray *list, Ip ip, const char *mac)
{
    LinkNeighbour n = { .ip = ip };
    if (mac_parse(mac, n.mac))
        g_array_append_val(list, n);
}

static char *ip_text(Ip ip)
{
    char buf[46];
    ip_format(ip, buf);
    return g_strdup(buf);
}

/* An address that several ports may have (a pair of more than one) is asked for on the wire, and found only on this host. */
static GHashTable *claims(const Segment *s)
{
    GHashTable *counts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < s->peers->len; i++) {
        const PortSpec *p = g_array_index(s->peers, Peer, i).port;
        for (guint k = 0; k < p->pairs->len; k++) {
            char *text = ip_text(g_array_index(p->pairs, Pair, k).cidr.base);
            gpointer old = g_hash_table_lookup(counts, text);
            g_hash_table_insert(counts, text, GINT_TO_POINTER(GPOINTER_TO_INT(old) + 1));
        }
    }
    return counts;
}

static bool is_single(Cidr c)
{
    return c.prefix == (c.base.version == 4 ? 32 : 128);
}

/* Who answers to which address: the bridge says so in their stead. */
GArray *segment_neighbours(const Segment *s)
{
    GArray *list = g_array_new(FALSE, TRUE, sizeof(LinkNeighbour));
    g_autoptr(GHashTable) claimed = claims(s);
    Cidr local = { { 6, (unsigned __int128) 0xfe80 << 112 }, 64 };
    guint8 mac[6];
    for (guint i = 0; i < s->peers->len; i++) {
        const PortSpec *p = g_array_index(s->peers, Peer, i).port;
        for (guint k = 0; k < p->pairs->len; k++) {
            const Pair *pair = &g_array_index(p->pairs, Pair, k);
            g_autofree char *text = ip_text(pair->cidr.base);
            if (is_single(pair->cidr) && GPOINTER_TO_INT(g_hash_table_lookup(claimed, text)) == 1)
                append_neighbour(list, pair->cidr.base, pair->mac);
        }
        if (mac_parse(p->mac, mac))
            append_neighbour(list, ip_eui64(local, mac), p->mac);
    }
    /* A port's own address goes before another's pair. */
    for (guint i = 0; i < s->peers->len; i++) {
        const PortSpec *p = g_array_index(s->peers, Peer, i).port;
        for (guint k = 0; k < p->addresses->len; k++)
            append_neighbour(list, g_array_index(p->addresses, Ip, k), p->mac);
    }
    return list;
}

static GArray *destinations_of(const Segment *s)
{
    GArray *list = g_array_new(FALSE, TRUE, sizeof(LinkNeighbour));
    for (guint i = 0; i < s->peers->len; i++) {
        const Peer *peer = &g_array_index(s->peers, Peer, i);
        for (guint k = 0; k < peer->port->pairs->len; k++)
            append_neighbour(list, peer->remote, g_array_index(peer->port->pairs, Pair, k).mac);
    }
    for (guint i = 0; i < s->peers->len; i++) {
        const Peer *peer = &g_array_index(s->peers, Peer, i);
        append_neighbour(list, peer->remote, peer->port->mac);
    }
    return list;
}

bool segment_vxlan_device(const NetworkSpec *n, GError **err)
{
    const Segment *s = &n->segment;
    g_autoptr(GArray) destinations = destinations_of(s);
    return link_vxlan_ensure(s->link.s, s->vni, s->local, s->udp_port, n->mtu, err) && link_vxlan_fdb(s->link.s, destinations, err);
}

bool segment_entries(const NetworkSpec *n, GError **err)
{
    const Segment *s = &n->segment;
    if (s->type != SEGMENT_VXLAN)
        return true;
    g_autoptr(GArray) destinations = destinations_of(s), neighbours = segment_neighbours(s), macs = g_array_new(FALSE, FALSE, 6);
    for (guint i = 0; i < destinations->len; i++)
        g_array_append_vals(macs, g_array_index(destinations, LinkNeighbour, i).mac, 1);
    return link_vxlan_fdb(s->link.s, destinations, err) && link_fdb(s->link.s, macs, err) && link_neighbours(n->bridge.s, neighbours, err);
}

static BridgePort flags_of(const Segment *s)
{
    bool vxlan = s->type == SEGMENT_VXLAN;
    return (BridgePort){ .known = vxlan, .learning = !vxlan, .flood = !vxlan };
}

/* The device sends only to MACs that have an entry; nothing unknown, no broadcast and no multicast leaves this host. */
static bool vxlan_ensure(const NetworkSpec *n, GError **err)
{
    const Segment *s = &n->segment;
    const BridgePort flags = flags_of(s);
    const char *link = s->link.s;
    if (!link_vxlan_ensure(link, s->vni, s->local, s->udp_port, n->mtu, err))
        return false;
    sysctl_silence(link);
    return link_guard(link, NFT_MARK, err) && link_enslave(link, n->bridge.s, err) && link_bridge_port(link, &flags, err) &&
           segment_entries(n, err) && link_up(link, true, err);
}

/* --- physical networks --- */

/* An interface that the host is reached by would be cut off. */
static bool interface_free(const Segment *s, const char *bridge, GError **err)
{
    LinkInfo info, master;
    bool none = false;
    if (!link_get(s->interface, &info, NULL))
        return nv_fail(err, NV_ERR_HOST_FAULT, "this host has no interface %s, which network.physical names", s->interface);
    if (info.master && (!link_get(bridge, &master, NULL) || master.index != info.master))
        return nv_fail(err, NV_ERR_HOST_FAULT, "the interface %s is under another bridge", s->interface);
    return link_without_addresses(s->interface, &none, err) &&
           (none || nv_fail(err, NV_ERR_HOST_FAULT, "the interface %s has addresses of the host: a flat network needs one without", s->interface));
}

/* Frames to bridge-group addresses reach the host past every rule for bridges. */
static const Sysctl past_no_rule[] = { { "ipv4", "drop_unicast_in_l2_multicast", "1" }, { "ipv6", "drop_unicast_in_l2_multicast", "1" }, { 0 } };

static bool physical_join(const NetworkSpec *n, GError **err)
{
    const BridgePort flags = flags_of(&n->segment);
    const char *link = n->segment.link.s;
    sysctl_silence(link);
    sysctl_ensure(link, past_no_rule);
    return link_guard(link, NFT_MARK, err) && link_enslave(link, n->bridge.s, err) && link_bridge_port(link, &flags, err) &&
           link_up(link, true, err);
}

static bool flat_ensure(const NetworkSpec *n, GError **err)
{
    return interface_free(&n->segment, n->bridge.s, err) && physical_join(n, err);
}

static bool vlan_ensure(const NetworkSpec *n, GError **err)
{
    const Segment *s = &n->segment;
    LinkInfo info;
    g_autoptr(GError) why = NULL;
    if (!link_get(s->interface, &info, NULL))
        return nv_fail(err, NV_ERR_HOST_FAULT, "this host has no interface %s, which network.physical names", s->interface);
    if (!link_up(s->interface, true, err))
        return false;
    if (!link_vlan_ensure(s->link.s, s->interface, s->vlan, n->mtu, &why))
        return nv_fail(err, NV_ERR_HOST_FAULT, "no VLAN %d on %s (does this kernel have 8021q?): %s", s->vlan, s->interface, why->message);
    return physical_join(n, err);
}

/* --- all --- */

/* The host has its interface back as it was.  The rules are in force until it is released; one that still is under the bridge is found again. */
static bool leave(const char *interface, GError **err)
{
    return link_unguard(interface, err) && link_release(interface, err);
}

/* An interface that the configuration named for this network once. */
static bool release_others(const NetworkSpec *n, GError **err)
{
    g_autoptr(GArray) physical = physnets_conf();
    LinkInfo bridge, link;
    for (guint i = 0; i < physical->len; i++) {
        const char *name = g_array_index(physical, Physnet, i).interface;
        if (*name && strcmp(name, n->segment.link.s) != 0 && link_get(name, &link, NULL) && link_get(n->bridge.s, &bridge, NULL) &&
            link.master == bridge.index && !leave(name, err))
            return false;
    }
    return true;
}

/* What an earlier segment left on the bridge. */
static bool others_absent(const NetworkSpec *n, GError **err)
{
    const SegmentType type = n->segment.type;
    g_autoptr(GArray) none = g_array_new(FALSE, FALSE, sizeof(LinkNeighbour));
    LinkInfo info;
    if (type != SEGMENT_VXLAN && link_get(id_vxlan(n->id).s, &info, NULL) &&
        (!link_neighbours(n->bridge.s, none, err) || !link_absent(info.name, err)))
        return false;
    return (type == SEGMENT_VLAN || link_absent(id_vlan(n->id).s, err)) && release_others(n, err);
}

bool segment_ensure(const NetworkSpec *n, GError **err)
{
    static bool (*const ensure[])(const NetworkSpec *n, GError **err) = {
        [SEGMENT_VXLAN] = vxlan_ensure, [SEGMENT_FLAT] = flat_ensure, [SEGMENT_VLAN] = vlan_ensure,
    };
    return others_absent(n, err) && (n->segment.type == SEGMENT_NONE || ensure[n->segment.type](n, err));
}

/* Somebody took it from its bridge, or the bridge away.  Under the lock none is half joined. */
static bool unguard_left(const char *interface, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(wanted_lock());
    LinkInfo info;
    (void) locker;
    return !link_get(interface, &info, NULL) || info.master || link_unguard(interface, err);
}

static bool interface_leave(const LinkInfo *link, int bridge, GError **err)
{
    if (g_str_has_prefix(link->name, "nv"))
        return true;
    if (link->master)
        return link->master != bridge || leave(link->name, err);
    return !link_guarded(link->index) || unguard_left(link->name, err);
}

/* Whatever the configuration says by now. */
static bool interfaces_leave(const char *n, GError **err)
{
    g_autofree char *name = g_strdup_printf("nvb%s", n);
    LinkInfo bridge = { 0 };
    g_autoptr(GArray) links = link_list("", err);
    link_get(name, &bridge, NULL);
    for (guint i = 0; links && i < links->len; i++)
        if (!interface_leave(&g_array_index(links, LinkInfo, i), bridge.index, err))
            return false;
    return links != NULL;
}

bool segment_absent(const char *n, GError **err)
{
    g_autofree char *vxlan = g_strdup_printf("nvx%s", n), *vlan = g_strdup_printf("nvu%s", n);
    return link_absent(vxlan, err) && link_absent(vlan, err) && interfaces_leave(n, err);
}

/* Links of ours without their guard count as not joined; an interface of the host is not among them. */
bool segment_complete(const NetworkSpec *n, GHashTable *links)
{
    const LinkInfo *bridge = g_hash_table_lookup(links, n->bridge.s), *link = g_hash_table_lookup(links, n->segment.link.s);
    const BridgePort flags = flags_of(&n->segment);
    LinkInfo flat;
    if (n->segment.type == SEGMENT_FLAT)
        link = link_get(n->segment.link.s, &flat, NULL) && link_guarded(flat.index) ? &flat : NULL;
    if (link && (!sysctl_silent(link->name) || (n->segment.type != SEGMENT_VXLAN && !sysctl_are(link->name, past_no_rule))))
        return false;
    return n->segment.type == SEGMENT_NONE || (link && bridge && link->up && link->master == bridge->index && link_bridge_port_is(link, &flags));
}
