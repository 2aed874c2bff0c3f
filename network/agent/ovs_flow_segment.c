/* network/agent/ovs_flow_segment.c -- flows for what comes from and goes to other hosts and physical networks. */
#include "network/agent/link.h"
#include "network/agent/ovs_flow.h"
#include "network/agent/segment.h"
#include <string.h>

OvsLinkKind ovs_link_kind(const OvsNet *net, const OvsLink *link)
{
    if (net->segment && net->segment->type != SEGMENT_NONE && strcmp(link->name.s, net->segment->link.s) == 0)
        return net->segment->type == SEGMENT_VXLAN ? OVS_LINK_TUNNEL : OVS_LINK_UPLINK;
    return g_str_has_prefix(link->name.s, "nvd") ? OVS_LINK_SERVICE : OVS_LINK_OTHER;
}

bool ovs_has_uplink(const OvsNet *net)
{
    return net->segment && (net->segment->type == SEGMENT_FLAT || net->segment->type == SEGMENT_VLAN);
}

static void put_mac(GHashTable *f, int ofport, const char *mac, int next)
{
    g_autofree char *trust = g_strdup_printf("load:1->NXM_NX_REG0[%d],goto_table:%d", OVS_BIT_TRUSTED, next);
    ovs_flow_put(f, OVS_PORT, 100, trust, "in_port=%d,vlan_tci=0x0000,dl_src=%s,dl_dst=00:00:00:00:00:00/01:00:00:00:00:00", ofport, mac);
}

/* From another host: unicast only, from what its ports may send; their groups were asked there. */
static void put_peers(GHashTable *f, const OvsNet *net, int ofport)
{
    for (guint i = 0; i < net->segment->peers->len; i++) {
        const Peer *peer = &g_array_index(net->segment->peers, Peer, i);
        const OvsPort port = { .spec = peer->port, .ofport = ofport };
        put_mac(f, ofport, peer->port->mac, peer->any ? OVS_TRACK : OVS_GUARD);
        for (guint k = 0; k < peer->port->pairs->len; k++)
            put_mac(f, ofport, g_array_index(peer->port->pairs, Pair, k).mac, peer->any ? OVS_TRACK : OVS_GUARD);
        if (!peer->any)
            ovs_flow_sources(f, &port);
    }
}

/* Where DHCP is ours, no other server answers. */
static void put_uplink(GHashTable *f, const OvsNet *net, int ofport)
{
    g_autofree char *trust = g_strdup_printf("load:1->NXM_NX_REG0[%d],load:1->NXM_NX_REG0[%d],goto_table:%d", OVS_BIT_TRUSTED, OVS_BIT_UPLINK,
                                             OVS_TRACK);
    ovs_flow_put(f, OVS_PORT, 90, trust, "in_port=%d,vlan_tci=0x0000", ofport);
    if (net->served) {
        ovs_flow_put(f, OVS_PORT, 95, "drop", "in_port=%d,udp,tp_src=67,tp_dst=68", ofport);
        ovs_flow_put(f, OVS_PORT, 95, "drop", "in_port=%d,udp6,tp_src=547,tp_dst=546", ofport);
    }
}

void ovs_flow_from_segment(GHashTable *f, const OvsNet *net, const OvsLink *link)
{
    if (ovs_link_kind(net, link) == OVS_LINK_TUNNEL)
        put_peers(f, net, link->ofport);
    else
        put_uplink(f, net, link->ofport);
}

static void put_answer(GHashTable *f, const char *ip, const char *mac)
{
    g_autofree char *answer = g_strdup_printf("move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:%s->eth_src,set_field:2->arp_op,"
                                              "move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],"
                                              "set_field:%s->arp_sha,set_field:%s->arp_spa,IN_PORT", mac, mac, ip);
    ovs_flow_put(f, OVS_DEST, 60, answer, "arp,arp_op=1,dl_dst=ff:ff:ff:ff:ff:ff,arp_tpa=%s", ip);
}

static bool is_local(const OvsNet *net, Ip ip)
{
    for (guint i = 0; i < net->ports->len; i++) {
        const PortSpec *p = ((const OvsPort *) net->ports->pdata[i])->spec;
        for (guint k = 0; k < p->addresses->len; k++)
            if (ip_compare(g_array_index(p->addresses, Ip, k), ip) == 0)
                return true;
    }
    return false;
}

/* A question for an address of another host's port: ARP is answered here, neighbour discovery goes to that port alone.  Nothing is flooded. */
void ovs_flow_to_tunnel(GHashTable *f, const OvsNet *net, int ofport)
{
    g_autoptr(GArray) neighbours = segment_neighbours(net->segment);
    for (guint i = 0; i < neighbours->len; i++) {
        const LinkNeighbour *n = &g_array_index(neighbours, LinkNeighbour, i);
        const guint8 *m = n->mac;
        g_autofree char *mac = g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
        g_autofree char *go = g_strdup_printf("set_field:%s->eth_dst,set_field:0x%x->reg3,resubmit(,%d)", mac, ofport, OVS_COMMIT);
        char ip[46];
        ip_format(n->ip, ip);
        if (is_local(net, n->ip))
            continue;
        if (n->ip.version == 4)
            put_answer(f, ip, mac);
        else
            ovs_flow_put(f, OVS_DEST, 60, go, "icmp6,icmp_type=135,dl_dst=33:33:00:00:00:00/ff:ff:00:00:00:00,nd_target=%s", ip);
    }
    /* DHCP, DNS and metadata are answered on each host, by the same MAC and addresses: they never meet. */
    ovs_flow_put(f, OVS_COMMIT, 30, "drop", "reg0=0x%x/0x%x,reg3=0x%x", 1 << OVS_BIT_SERVICE, 1 << OVS_BIT_SERVICE, ofport);
}
