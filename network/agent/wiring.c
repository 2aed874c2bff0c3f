/* network/agent/wiring.c -- bridges, namespaces and taps from specs; what guests must not find in the host is switched off here. */
#include "network/agent/wiring.h"
#include "core/error.h"
#include "core/log.h"
#include "network/agent/dhcp.h"
#include "network/agent/dnsmasq.h"
#include "network/agent/driver.h"
#include "network/agent/link.h"
#include "network/agent/metadata.h"
#include "network/agent/netns.h"
#include "network/agent/promise.h"
#include "network/agent/ra.h"
#include "network/agent/shape.h"
#include "network/agent/sysctl.h"
#include <string.h>
#include <unistd.h>

/* The MAC of the host on a network: derived, so that guests' ARP entries stay right when the bridge is made anew. */
static void bridge_mac(const char *n, char mac[18])
{
    g_snprintf(mac, 18, "fa:16:3f:%.2s:%.2s:%.2s", n, n + 2, n + 4);
}

static bool host_speaks_ipv6(const NetworkSpec *n)
{
    for (guint i = 0; i < n->host_addresses->len; i++)
        if (g_array_index(n->host_addresses, Cidr, i).base.version == 6)
            return true;
    return false;
}

typedef Sysctl BridgeSettings[9];
static const Sysctl forwards[] = { { "ipv4", "forwarding", "1" }, { 0 } };

/* The host answers for its address on this network only, and for none where it has none.
 * A bridge to other hosts has IPv6 without an address: else it could not answer for its neighbours. */
static void bridge_settings(const NetworkSpec *n, BridgeSettings ret)
{
    bool gateway = n->host_addresses->len > 0, six = host_speaks_ipv6(n);
    /* clang-format off */
    const BridgeSettings all = {
        { "ipv4", "arp_ignore", gateway ? "1" : "8" }, { "ipv4", "rp_filter", "1" },        { "ipv4", "accept_redirects", "0" },
        { "ipv4", "send_redirects", "0" },             { "ipv6", "accept_ra", "0" },        { "ipv6", "accept_redirects", "0" },
        { "ipv6", "addr_gen_mode", six ? "0" : "1" },  { "ipv6", "disable_ipv6", six || n->segment.type == SEGMENT_VXLAN ? "0" : "1" },
    };
    /* clang-format on */
    memcpy(ret, all, sizeof all);
}

static bool bridge_ensure(const NetworkSpec *n, GError **err)
{
    char mac[18];
    bridge_mac(n->n.s, mac);
    const char *b = n->bridge.s;
    bool gateway = n->host_addresses->len > 0;
    BridgeSettings settings;
    bridge_settings(n, settings);
    if (!driver()->bridge_ensure(b, mac, n->mtu, err))
        return false;
    sysctl_ensure(b, settings);
    if (gateway) {
        sysctl_ensure("all", forwards);
        sysctl_ensure(b, forwards);
    }
    return link_up(b, true, err) && link_addresses(b, n->host_addresses, err);
}

static bool bridge_complete(const NetworkSpec *n, const LinkInfo *bridge)
{
    BridgeSettings settings;
    bridge_settings(n, settings);
    if (!bridge || !bridge->up || bridge->altered || !sysctl_are(n->bridge.s, settings))
        return false;
    return !n->host_addresses->len ||
           (sysctl_are("all", forwards) && sysctl_are(n->bridge.s, forwards) && link_addresses_are(n->bridge.s, n->host_addresses));
}

/* --- inside the namespace --- */

static const Sysctl inner_settings[] = { { "ipv6", "disable_ipv6", "0" }, { "ipv6", "accept_ra", "0" }, { 0 } };

typedef struct Inside { const NetworkSpec *spec; bool found, whole; } Inside;

static GArray *inner_addresses(const NetworkSpec *n)
{
    GArray *addresses = g_array_copy(n->dhcp_addresses);
    Cidr metadata = { { 4, 0xa9fea9fe }, 32 };
    g_array_append_val(addresses, metadata);
    return addresses;
}

static bool serves_ipv6(const NetworkSpec *n)
{
    for (guint i = 0; i < n->subnets->len; i++)
        if (((const DhcpSubnet *) n->subnets->pdata[i])->cidr.base.version == 6)
            return true;
    return false;
}

/* dnsmasq stands still for half a second for each DHCPv6 message of a client whose MAC it cannot find out: one guest that does not answer when asked
 * for it would keep it from all others.  They ask from link-local addresses only (nft.c, forward); others than these has only
 * who owns the network or was given its ports: by pairs, or without port security. */
static GArray *inner_neighbours(const NetworkSpec *n)
{
    static const Cidr local = { { 6, (unsigned __int128) 0xfe80 << 112 }, 64 };
    GArray *list = g_array_new(FALSE, TRUE, sizeof(LinkNeighbour));
    for (guint i = 0; serves_ipv6(n) && i < n->ports->len; i++) {
        LinkNeighbour one = { 0 };
        if (!mac_parse(((const DhcpPort *) n->ports->pdata[i])->mac, one.mac))
            continue;
        one.ip = ip_eui64(local, one.mac);
        g_array_append_val(list, one);
    }
    return list;
}

static bool look_inside(void *data, GError **err)
{
    Inside *in = data;
    g_autoptr(GArray) addresses = inner_addresses(in->spec), neighbours = inner_neighbours(in->spec);
    LinkInfo info;
    guint8 mac[6];
    (void) err;
    in->found = link_get(DHCP_DEVICE, &info, NULL) && mac_parse(in->spec->dhcp_mac, mac) && memcmp(info.mac, mac, 6) == 0;
    in->whole = in->found && info.up && sysctl_are(DHCP_DEVICE, inner_settings) && link_addresses_are(DHCP_DEVICE, addresses) &&
                (!neighbours->len || link_neighbours6_are(DHCP_DEVICE, neighbours));
    return true;
}

static const Ip *gateway_of(const NetworkSpec *n, int version)
{
    for (guint i = 0; i < n->subnets->len; i++) {
        const DhcpSubnet *s = n->subnets->pdata[i];
        if (s->has_gateway && s->cidr.base.version == version)
            return &s->gateway;
    }
    return NULL;
}

static bool set_up_inside(void *data, GError **err)
{
    const NetworkSpec *n = ((Inside *) data)->spec;
    g_autoptr(GArray) addresses = inner_addresses(n), neighbours = inner_neighbours(n);
    sysctl_ensure(DHCP_DEVICE, inner_settings);
    if (driver()->wants_plain() && !link_plain(DHCP_DEVICE, err))
        return false;
    if (!link_up("lo", true, err) || !link_mtu(DHCP_DEVICE, n->mtu, err) || !link_addresses(DHCP_DEVICE, addresses, err) ||
        !link_up(DHCP_DEVICE, true, err) || !link_neighbours(DHCP_DEVICE, neighbours, err))
        return false;
    for (int version = 4; version <= 6; version += 2) {
        g_autoptr(GError) why = NULL;
        /* A gateway outside every subnet cannot be reached; replies within the network need none. */
        if (!link_default_route(DHCP_DEVICE, version, gateway_of(n, version), &why))
            log_debug("net.no_route", "network", n->id, "error", why->message, NULL);
    }
    /* Nothing said to all leaves a host: guests hear of the routers on others from here. */
    return ra_ensure(n->netns.s, n->segment.routers, true, err);
}

static bool namespace_ensure(const NetworkSpec *n, GError **err)
{
    Inside in = { .spec = n };
    LinkInfo host;
    if (netns_exists(n->netns.s) && !netns_run(n->netns.s, look_inside, &in, err))
        return false;
    if (!in.found || !link_get(n->veth.s, &host, NULL)) {
        if (!netns_ensure(n->netns.s, err))
            return false;
        int fd = netns_open(n->netns.s, err);
        if (fd < 0)
            return false;
        bool made = link_veth_make(n->veth.s, DHCP_DEVICE, n->dhcp_mac, n->mtu, fd, err);
        close(fd);
        if (!made)
            return false;
    }
    sysctl_silence(n->veth.s);
    return link_mtu(n->veth.s, n->mtu, err) && driver()->link_join(n->veth.s, n->bridge.s, n->dhcp_mac, err) &&
           link_up(n->veth.s, true, err) && netns_run(n->netns.s, set_up_inside, &in, err);
}

static bool services_absent(const char *n, const char *veth, const char *netns, GError **err)
{
    metadata_absent(n);
    ra_reduce(netns, NULL);
    return dhcp_absent(n, err) && driver()->link_leave(veth, err) && link_absent(veth, err) && netns_absent(netns, err);
}

bool wiring_network_ensure(const NetworkSpec *n, GError **err)
{
    if (!bridge_ensure(n, err) || !driver()->segment_ensure(n, err))
        return false;
    if (!n->has_dhcp)
        return services_absent(n->n.s, n->veth.s, n->netns.s, err);
    return namespace_ensure(n, err) && dhcp_ensure(n, err) && metadata_ensure(n, err);
}

bool wiring_network_absent(const char *n, GError **err)
{
    g_autofree char *veth = g_strdup_printf("nvd%s", n), *bridge = g_strdup_printf("nvb%s", n), *netns = g_strdup_printf("nuvolet-%s", n);
    return services_absent(n, veth, netns, err) && driver()->segment_absent(n, err) && driver()->bridge_absent(bridge, err);
}

GHashTable *wiring_links(GError **err)
{
    g_autoptr(GArray) list = link_list("nv", err);
    GHashTable *links = list ? g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free) : NULL;
    for (guint i = 0; list && i < list->len; i++) {
        LinkInfo *info = g_memdup2(&g_array_index(list, LinkInfo, i), sizeof *info);
        g_hash_table_replace(links, info->name, info);
    }
    if (!links || (link_shapers(links, err) && driver()->masters(links, err)))
        return links;
    g_hash_table_unref(links);
    return NULL;
}

bool wiring_network_complete(const NetworkSpec *n, GHashTable *links)
{
    const LinkInfo *bridge = g_hash_table_lookup(links, n->bridge.s), *veth = g_hash_table_lookup(links, n->veth.s);
    Inside in = { .spec = n };
    if (!bridge_complete(n, bridge) || !driver()->segment_complete(n, links))
        return false;
    if (!n->has_dhcp)
        return true;
    return veth && veth->up && veth->master == bridge->index && sysctl_silent(n->veth.s) && driver()->link_joined(veth, n->dhcp_mac) &&
           dhcp_running(n) && metadata_listening(n) && netns_exists(n->netns.s) && netns_run(n->netns.s, look_inside, &in, NULL) && in.whole;
}

/* --- ports --- */

/* A subport has a pair of links instead of a tap; its far end hangs on its parent's tap by the tag. */
static bool subport_ensure(const PortSpec *p, GError **err)
{
    IfName inner = id_trunk_end(p->id);
    LinkInfo parent;
    if (!link_get(p->parent.s, &parent, NULL))
        return nv_fail(err, NV_ERR_AGENT, "the trunk of subport %s is not on this host yet", p->id);
    if (!link_pair_ensure(p->tap.s, inner.s, p->mtu, err))
        return false;
    sysctl_silence(inner.s);
    return link_tag_ensure(p->parent.s, inner.s, p->n.s, p->vlan, err) && link_up(inner.s, true, err);
}

bool wiring_port_ensure(const PortSpec *p, GError **err)
{
    if (!(*p->parent.s ? subport_ensure(p, err) : link_tap_ensure(p->tap.s, p->mtu, err)))
        return false;
    sysctl_silence(p->tap.s);
    return shape_ensure(p, err) && promise_ensure(p, err) && driver()->port_join(p, err) && link_up(p->tap.s, p->up, err);
}

bool wiring_port_absent(const char *n, GError **err)
{
    g_autofree char *tap = g_strdup_printf("nvt%s", n);
    IfName inner = id_trunk_end(n);
    LinkInfo info;
    bool subport = link_get(inner.s, &info, NULL);
    return driver()->link_leave(tap, err) && (!subport || link_tag_absent(n, err)) && link_absent(tap, err) && shape_absent(n, err)
        && promise_absent(n, err);
}

static bool subport_complete(const PortSpec *p, GHashTable *links)
{
    IfName name = id_trunk_end(p->id);
    const LinkInfo *parent = g_hash_table_lookup(links, p->parent.s), *inner = g_hash_table_lookup(links, name.s);
    return !*p->parent.s || (parent && inner && inner->up && sysctl_silent(name.s) && link_tagged(parent->index, inner->index, p->n.s, p->vlan));
}

bool wiring_port_complete(const PortSpec *p, GHashTable *links)
{
    const LinkInfo *tap = g_hash_table_lookup(links, p->tap.s), *bridge = g_hash_table_lookup(links, p->bridge.s);
    return tap && bridge && tap->master == bridge->index && driver()->port_joined(p, tap) && tap->up == p->up && sysctl_silent(p->tap.s) &&
           (!tap->unowned || tap->carrier) && shape_complete(p, links) && promise_complete(p, links) && subport_complete(p, links);
}

void wiring_close(void)
{
    g_autoptr(GArray) taps = link_list("nvt", NULL);
    for (guint i = 0; taps && i < taps->len; i++)
        link_up(g_array_index(taps, LinkInfo, i).name, false, NULL);
}
