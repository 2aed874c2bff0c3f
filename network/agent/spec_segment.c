/* network/agent/spec_segment.c -- parses what carries a network beyond this host. */
#include "core/conf.h"
#include "core/error.h"
#include "core/physnet.h"
#include "network/agent/dnsmasq.h"
#include "network/agent/router_spec.h"
#include <string.h>

enum { VNI_MAX = 0xffffff };

static void peer_clear(gpointer data)
{
    spec_port_free(((Peer *) data)->port);
}

void spec_segment_clear(Segment *s)
{
    if (s->peers)
        g_array_unref(s->peers);
    if (s->routers)
        g_ptr_array_unref(s->routers);
}

/* Its link is the other host's; said here from the namespace that answers for the network. */
static bool advertised_parse(const json_t *v, const char *mac, NetworkSpec *n, GError **err)
{
    RouterPort *p = router_port_new();
    g_ptr_array_add(n->segment.routers, p);
    g_strlcpy(p->inner.s, DHCP_DEVICE, sizeof p->inner.s);
    g_strlcpy(p->mac, mac, sizeof p->mac);
    p->mtu = n->mtu;
    return router_ra_parse(v, p, err);
}

static bool peer_parse(const json_t *v, NetworkSpec *n, GError **err)
{
    Segment *s = &n->segment;
    g_autoptr(PortSpec) port = spec_port_new();
    Peer peer = { .any = json_get_bool(v, "any", false) };
    port->tap = s->link;
    if (!spec_get_ip(json_object_get(v, "remote"), "remote of a peer", &peer.remote, err) ||
        !spec_get_mac(json_object_get(v, "mac"), "mac of a peer", port->mac, err) || !spec_port_lists(v, "ips", port, err))
        return false;
    if (peer.remote.version != s->local.version)
        return nv_fail(err, NV_ERR_INVALID, "a peer and this host have addresses of different IP versions");
    const json_t *ra = json_object_get(v, "ra");
    if (json_array_size(ra) && !advertised_parse(ra, port->mac, n, err))
        return false;
    peer.port = g_steal_pointer(&port);
    g_array_append_val(s->peers, peer);
    return true;
}

static bool vxlan_parse(const json_t *v, NetworkSpec *n, GError **err)
{
    Segment *s = &n->segment;
    gint64 vni = json_get_int(v, "vni", 0);
    size_t i;
    json_t *one;
    if (vni < 1 || vni > VNI_MAX)
        return nv_fail(err, NV_ERR_INVALID, "vni is out of range");
    s->vni = (guint32) vni;
    s->udp_port = (guint16) conf_int("network.vxlan_port");
    s->link = id_vxlan(n->id);
    if (!spec_get_ip(json_object_get(v, "local"), "local", &s->local, err))
        return false;
    json_array_foreach(json_object_get(v, "peers"), i, one)
        if (!peer_parse(one, n, err))
            return false;
    return true;
}

static bool physical_parse(const json_t *v, NetworkSpec *n, GError **err)
{
    g_autoptr(GArray) known = physnets_conf();
    Segment *s = &n->segment;
    const char *name = json_get_str(v, "physical");
    const Physnet *p = physnet_find(known, name);
    gint64 vlan = json_get_int(v, "vlan", 0);
    if (s->type == SEGMENT_VLAN && (vlan < VLAN_FIRST || vlan > VLAN_LAST))
        return nv_fail(err, NV_ERR_INVALID, "vlan is out of range");
    if (!p || !*p->interface)
        return nv_fail(err, NV_ERR_HOST_FAULT, "this host is not on the physical network %.64s: network.physical names no interface for it",
                       name ? name : "?");
    s->vlan = (int) vlan;
    g_strlcpy(s->interface, p->interface, sizeof s->interface);
    if (s->type == SEGMENT_VLAN)
        s->link = id_vlan(n->id);
    else
        g_strlcpy(s->link.s, p->interface, sizeof s->link.s);
    return true;
}

bool spec_segment_parse(const json_t *segment, NetworkSpec *n, GError **err)
{
    static const struct { const char *name; SegmentType type; bool (*parse)(const json_t *v, NetworkSpec *n, GError **err); } types[] = {
        { "vxlan", SEGMENT_VXLAN, vxlan_parse }, { "flat", SEGMENT_FLAT, physical_parse }, { "vlan", SEGMENT_VLAN, physical_parse },
    };
    n->segment.peers = g_array_new(FALSE, TRUE, sizeof(Peer));
    g_array_set_clear_func(n->segment.peers, peer_clear);
    n->segment.routers = g_ptr_array_new_with_free_func(router_port_free);
    if (!segment || json_is_null(segment))
        return true;
    for (gsize i = 0; i < G_N_ELEMENTS(types); i++)
        if (g_strcmp0(json_get_str(segment, "type"), types[i].name) == 0) {
            n->segment.type = types[i].type;
            return types[i].parse(segment, n, err);
        }
    return nv_fail(err, NV_ERR_INVALID, "type of a segment is not acceptable");
}
