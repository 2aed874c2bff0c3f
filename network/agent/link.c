/* network/agent/link.c -- kernel interfaces through netlink: the only door to libnl. */
#include "network/agent/link.h"
#include "core/fault.h"
#include "network/agent/link_netlink.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifndef IFLA_BRPORT_LOCKED
#define IFLA_BRPORT_LOCKED 39              /* Linux 5.18; the headers are older than the kernel */
#endif

enum { DUMP_TRIES = 20 };

typedef struct nl_sock Sock;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Msg, nlmsg_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Sock, nl_socket_free)

/* A socket belongs to the namespace it was opened in: one for each question, none is kept. */
static Sock *sock_open(GError **err)
{
    Sock *sock = nl_socket_alloc();
    int rc = sock ? nl_connect(sock, NETLINK_ROUTE) : -NLE_NOMEM;
    if (rc < 0) {
        nl_socket_free(sock);
        return nv_fail(err, NV_ERR_AGENT, "netlink: %s", nl_geterror(rc)), NULL;
    }
    nl_socket_disable_seq_check(sock);
    return sock;
}

/* Sends msg (stolen); what the kernel answers → ret_rc.  False: it could not be asked. */
static bool answered(Msg *msg_stolen, int *ret_rc, GError **err)
{
    g_autoptr(Msg) msg = msg_stolen;
    g_autoptr(Sock) sock = fault_point("net.link", err) ? sock_open(err) : NULL;
    if (!sock)
        return false;
    int rc = nl_send_auto(sock, msg);
    *ret_rc = rc >= 0 ? nl_wait_for_ack(sock) : rc;
    return true;
}

bool link_talk(Msg *msg_stolen, const char *what, const char *name, const int *ok, GError **err)
{
    int rc;
    if (!answered(msg_stolen, &rc, err))
        return false;
    for (; rc < 0 && ok && *ok; ok++)
        if (rc == -*ok)
            rc = 0;
    return rc >= 0 || nv_fail(err, NV_ERR_AGENT, "%s %s: %s", what, name, nl_geterror(rc));
}

bool link_make(Msg *msg_stolen, const char *what, const char *name, bool *ret_there, GError **err)
{
    int rc;
    if (!answered(msg_stolen, &rc, err))
        return false;
    *ret_there = rc == -NLE_EXIST;
    return rc >= 0 || *ret_there || nv_fail(err, NV_ERR_AGENT, "%s %s: %s", what, name, nl_geterror(rc));
}

static Msg *link_msg(int type, int flags, int family, int index)
{
    struct ifinfomsg head = { .ifi_family = (unsigned char) family, .ifi_index = index };
    Msg *msg = nlmsg_alloc_simple(type, NLM_F_REQUEST | NLM_F_ACK | flags);
    nlmsg_append(msg, &head, sizeof head, NLMSG_ALIGNTO);
    return msg;
}

/* A bit each, in this order. */
static const int treatments[] = {
    IFLA_BRPORT_LEARNING, IFLA_BRPORT_UNICAST_FLOOD, IFLA_BRPORT_LOCKED, IFLA_BRPORT_MCAST_FLOOD, IFLA_BRPORT_BCAST_FLOOD, IFLA_BRPORT_NEIGH_SUPPRESS,
};

static guint treatment_of(const BridgePort *f)
{
    const bool bits[G_N_ELEMENTS(treatments)] = { f->learning, f->flood, f->locked, !f->known, !f->known, f->known };
    guint all = 0;
    for (gsize i = 0; i < G_N_ELEMENTS(bits); i++)
        all |= (guint) bits[i] << i;
    return all;
}

static void treatment_parse(struct nlattr *attr, LinkInfo *info)
{
    struct nlattr *tb[IFLA_INFO_MAX + 1] = { 0 }, *port[MAX(IFLA_BRPORT_MAX, IFLA_BRPORT_LOCKED) + 1] = { 0 };
    if (nla_parse_nested(tb, IFLA_INFO_MAX, attr, NULL) < 0 || !tb[IFLA_INFO_SLAVE_KIND] || !tb[IFLA_INFO_SLAVE_DATA] ||
        strcmp(nla_get_string(tb[IFLA_INFO_SLAVE_KIND]), "bridge") != 0 ||
        nla_parse_nested(port, (int) G_N_ELEMENTS(port) - 1, tb[IFLA_INFO_SLAVE_DATA], NULL) < 0)
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(treatments); i++) {
        struct nlattr *one = port[treatments[i]];
        info->told |= one ? 1u << i : 0;
        info->treated |= one && nla_get_u8(one) ? 1u << i : 0;
    }
}

bool link_bridge_port_is(const LinkInfo *info, const BridgePort *flags)
{
    return info->told && info->treated == (treatment_of(flags) & info->told);
}

static void kind_parse(struct nlattr *attr, LinkInfo *info)
{
    struct nlattr *tb[IFLA_INFO_MAX + 1] = { 0 }, *data[MAX(IFLA_VXLAN_MAX, IFLA_VLAN_MAX) + 1] = { 0 }, *tun[IFLA_TUN_MAX + 1] = { 0 };
    if (nla_parse_nested(tb, IFLA_INFO_MAX, attr, NULL) < 0 || !tb[IFLA_INFO_KIND] || !tb[IFLA_INFO_DATA])
        return;
    const char *kind = nla_get_string(tb[IFLA_INFO_KIND]);
    bool vxlan = strcmp(kind, "vxlan") == 0, vlan = strcmp(kind, "vlan") == 0;
    if (strcmp(kind, "tun") == 0 && nla_parse_nested(tun, IFLA_TUN_MAX, tb[IFLA_INFO_DATA], NULL) >= 0)
        info->unowned = !tun[IFLA_TUN_OWNER] || nla_get_u32(tun[IFLA_TUN_OWNER]) != 0;
    if ((!vxlan && !vlan) || nla_parse_nested(data, vxlan ? IFLA_VXLAN_MAX : IFLA_VLAN_MAX, tb[IFLA_INFO_DATA], NULL) < 0)
        return;
    if (vlan) {
        info->vlan = data[IFLA_VLAN_ID] ? nla_get_u16(data[IFLA_VLAN_ID]) : 0;
        return;
    }
    info->vni = data[IFLA_VXLAN_ID] ? nla_get_u32(data[IFLA_VXLAN_ID]) : 0;
    info->port = data[IFLA_VXLAN_PORT] ? ntohs(nla_get_u16(data[IFLA_VXLAN_PORT])) : 0;
    if (data[IFLA_VXLAN_LOCAL])
        info->local = link_ip_of(4, nla_data(data[IFLA_VXLAN_LOCAL]));
    else if (data[IFLA_VXLAN_LOCAL6])
        info->local = link_ip_of(6, nla_data(data[IFLA_VXLAN_LOCAL6]));
}

static const struct { int attr; guint8 value; } bridge_options[] = {
    { IFLA_BR_MCAST_SNOOPING, 0 }, { IFLA_BR_NF_CALL_IPTABLES, 1 }, { IFLA_BR_NF_CALL_IP6TABLES, 1 },
};

static void bridge_parse(struct nlattr *attr, LinkInfo *info)
{
    struct nlattr *tb[IFLA_INFO_MAX + 1] = { 0 }, *data[IFLA_BR_MAX + 1] = { 0 };
    if (nla_parse_nested(tb, IFLA_INFO_MAX, attr, NULL) < 0 || !tb[IFLA_INFO_KIND] || !tb[IFLA_INFO_DATA] ||
        strcmp(nla_get_string(tb[IFLA_INFO_KIND]), "bridge") != 0 || nla_parse_nested(data, IFLA_BR_MAX, tb[IFLA_INFO_DATA], NULL) < 0)
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(bridge_options); i++) {
        struct nlattr *one = data[bridge_options[i].attr];
        info->altered |= one && nla_get_u8(one) != bridge_options[i].value;
    }
    info->altered |= data[IFLA_BR_STP_STATE] && nla_get_u32(data[IFLA_BR_STP_STATE]) != 0;
}

static void info_parse(struct nlmsghdr *nlh, LinkInfo *info)
{
    const struct ifinfomsg *head = nlmsg_data(nlh);
    struct nlattr *tb[IFLA_MAX + 1] = { 0 };
    nlmsg_parse(nlh, sizeof *head, tb, IFLA_MAX, NULL);
    *info = (LinkInfo){ .index = head->ifi_index, .up = head->ifi_flags & IFF_UP };
    info->carrier = tb[IFLA_CARRIER] && nla_get_u8(tb[IFLA_CARRIER]);
    if (tb[IFLA_IFNAME])
        g_strlcpy(info->name, nla_get_string(tb[IFLA_IFNAME]), sizeof info->name);
    info->master = tb[IFLA_MASTER] ? (int) nla_get_u32(tb[IFLA_MASTER]) : 0;
    struct nlattr *xdp = tb[IFLA_XDP] ? nla_find(nla_data(tb[IFLA_XDP]), nla_len(tb[IFLA_XDP]), IFLA_XDP_ATTACHED) : NULL;
    info->filtered = xdp && nla_get_u8(xdp) != XDP_ATTACHED_NONE;
    info->limited = tb[IFLA_QDISC] && strcmp(nla_get_string(tb[IFLA_QDISC]), "tbf") == 0;
    info->mtu = tb[IFLA_MTU] ? (int) nla_get_u32(tb[IFLA_MTU]) : 0;
    info->below = tb[IFLA_LINK] ? (int) nla_get_u32(tb[IFLA_LINK]) : 0;
    if (tb[IFLA_ADDRESS] && nla_len(tb[IFLA_ADDRESS]) == 6)
        memcpy(info->mac, nla_data(tb[IFLA_ADDRESS]), 6);
    if (!tb[IFLA_LINKINFO])
        return;
    kind_parse(tb[IFLA_LINKINFO], info);
    bridge_parse(tb[IFLA_LINKINFO], info);
    treatment_parse(tb[IFLA_LINKINFO], info);
}

static int keep(struct nl_msg *msg, void *messages)
{
    g_ptr_array_add(messages, g_memdup2(nlmsg_hdr(msg), nlmsg_hdr(msg)->nlmsg_len));
    return NL_OK;
}

bool link_dump(Msg *msg_stolen, OnMessage *fn, void *data, GError **err)
{
    g_autoptr(Msg) msg = msg_stolen;
    g_autoptr(Sock) sock = sock_open(err);
    if (!sock)
        return false;
    g_autoptr(GPtrArray) messages = g_ptr_array_new_with_free_func(g_free);
    nl_socket_modify_cb(sock, NL_CB_VALID, NL_CB_CUSTOM, keep, messages);
    int rc = -NLE_DUMP_INTR;
    /* What changed while the kernel told about it is told again. */
    for (int tries = 0; rc == -NLE_DUMP_INTR && tries < DUMP_TRIES; tries++) {
        g_ptr_array_set_size(messages, 0);
        rc = nl_send_auto(sock, msg);
        if (rc >= 0)
            rc = nl_recvmsgs_default(sock);
    }
    for (guint i = 0; rc >= 0 && i < messages->len; i++)
        fn(messages->pdata[i], data);
    return rc >= 0 || nv_fail(err, NV_ERR_AGENT, "netlink dump: %s", nl_geterror(rc));
}

typedef struct Listing { const char *prefix; GArray *found; } Listing;

static void list_one(struct nlmsghdr *nlh, void *data)
{
    const Listing *l = data;
    LinkInfo info;
    if (nlh->nlmsg_type != RTM_NEWLINK)
        return;
    info_parse(nlh, &info);
    if (g_str_has_prefix(info.name, l->prefix))
        g_array_append_val(l->found, info);
}

GArray *link_list(const char *prefix, GError **err)
{
    g_autoptr(GArray) found = g_array_new(FALSE, TRUE, sizeof(LinkInfo));
    Listing l = { prefix, found };
    struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
    Msg *msg = nlmsg_alloc_simple(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP);
    nlmsg_append(msg, &head, sizeof head, NLMSG_ALIGNTO);
    return link_dump(msg, list_one, &l, err) ? g_steal_pointer(&found) : NULL;
}

GHashTable *link_by_index(GHashTable *links)
{
    GHashTable *by_index = g_hash_table_new(NULL, NULL);
    GHashTableIter it;
    gpointer value;
    g_hash_table_iter_init(&it, links);
    while (g_hash_table_iter_next(&it, NULL, &value))
        g_hash_table_insert(by_index, GINT_TO_POINTER(((LinkInfo *) value)->index), value);
    return by_index;
}

static void get_one(struct nlmsghdr *nlh, void *data)
{
    if (nlh->nlmsg_type == RTM_NEWLINK)
        info_parse(nlh, data);
}

bool link_get(const char *name, LinkInfo *ret_info, GError **err)
{
    LinkInfo info = { 0 };
    /* Asked by index: a request by name that fails would leave its error in the answer queue. */
    unsigned index = if_nametoindex(name);
    if (!index)
        return false;
    Msg *msg = link_msg(RTM_GETLINK, 0, AF_UNSPEC, (int) index);
    nlmsg_hdr(msg)->nlmsg_flags = NLM_F_REQUEST;
    if (!link_dump(msg, get_one, &info, err) || !info.index)
        return false;
    *ret_info = info;
    return true;
}

bool link_need(const char *name, LinkInfo *info, GError **err)
{
    if (link_get(name, info, err))
        return true;
    return (err && *err) ? false : nv_fail(err, NV_ERR_AGENT, "the interface %s is gone", name);
}

static void put_mac(Msg *msg, int attr, const char *mac)
{
    guint8 raw[6];
    bool ok = mac_parse(mac, raw);
    g_assert(ok);
    nla_put(msg, attr, 6, raw);
}

/* The options of a bridge; sent again to one that exists, so that what was changed by hand is put right: but not its
 * delay, as the kernel takes none of 0 while the spanning tree is on, and uses none when that is off. */
static void put_bridge_info(Msg *msg, bool fresh)
{
    struct nlattr *info = nla_nest_start(msg, IFLA_LINKINFO);
    nla_put_string(msg, IFLA_INFO_KIND, "bridge");
    struct nlattr *data = nla_nest_start(msg, IFLA_INFO_DATA);
    if (fresh)
        nla_put_u32(msg, IFLA_BR_FORWARD_DELAY, 0);
    nla_put_u32(msg, IFLA_BR_STP_STATE, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(bridge_options); i++)
        nla_put_u8(msg, bridge_options[i].attr, bridge_options[i].value);
    nla_nest_end(msg, data);
    nla_nest_end(msg, info);
}

bool link_bridge_ensure(const char *name, const char *mac, gint64 mtu, GError **err)
{
    LinkInfo info = { 0 };
    bool exists = link_get(name, &info, NULL);
    Msg *msg = exists ? link_msg(RTM_NEWLINK, 0, AF_UNSPEC, info.index)
                      : link_msg(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, AF_UNSPEC, 0);
    /* Before Linux 6.2 an interface that is up is not even given the name it has. */
    if (!exists)
        nla_put_string(msg, IFLA_IFNAME, name);
    put_mac(msg, IFLA_ADDRESS, mac);
    put_bridge_info(msg, !exists);
    return link_talk(msg, "bridge", name, NULL, err) && (info.mtu == mtu || link_mtu(name, mtu, err));
}

bool link_tap_ensure(const char *name, gint64 mtu, GError **err)
{
    struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    LinkInfo info = { 0 };
    bool exists = link_get(name, &info, NULL);
    if (exists && (!info.unowned || info.carrier))
        return info.mtu == mtu || link_mtu(name, mtu, err);
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return nv_fail_errno(err, errno == ENOENT ? NV_ERR_HOST_FAULT : NV_ERR_AGENT, "/dev/net/tun");
    g_strlcpy(ifr.ifr_name, name, sizeof ifr.ifr_name);
    /* One without an owner is anybody's while no guest has it: every user of the host may open /dev/net/tun. */
    bool ok = ioctl(fd, TUNSETIFF, &ifr) == 0 && ioctl(fd, TUNSETOWNER, 0) == 0 && ioctl(fd, TUNSETPERSIST, 1) == 0;
    /* A guest was faster. */
    ok = ok || (exists && errno == EBUSY);
    if (!ok)
        nv_fail_errno(err, NV_ERR_AGENT, "tap %s", name);
    close(fd);
    return ok && link_mtu(name, mtu, err);
}

bool link_veth_make(const char *name, const char *peer, const char *peer_mac, gint64 mtu, int netns_fd, GError **err)
{
    struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
    if (!link_absent(name, err))
        return false;
    Msg *msg = link_msg(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, AF_UNSPEC, 0);
    nla_put_string(msg, IFLA_IFNAME, name);
    nla_put_u32(msg, IFLA_MTU, (guint32) mtu);
    struct nlattr *info = nla_nest_start(msg, IFLA_LINKINFO);
    nla_put_string(msg, IFLA_INFO_KIND, "veth");
    struct nlattr *data = nla_nest_start(msg, IFLA_INFO_DATA);
    struct nlattr *inner = nla_nest_start(msg, VETH_INFO_PEER);
    nlmsg_append(msg, &head, sizeof head, NLMSG_ALIGNTO);
    nla_put_string(msg, IFLA_IFNAME, peer);
    put_mac(msg, IFLA_ADDRESS, peer_mac);
    nla_put_u32(msg, IFLA_MTU, (guint32) mtu);
    nla_put_u32(msg, IFLA_NET_NS_FD, (guint32) netns_fd);
    nla_nest_end(msg, inner);
    nla_nest_end(msg, data);
    nla_nest_end(msg, info);
    return link_talk(msg, "veth", name, NULL, err);
}

bool link_absent(const char *name, GError **err)
{
    static const int gone[] = { NLE_NODEV, NLE_OBJ_NOTFOUND, 0 };
    unsigned index = if_nametoindex(name);
    return !index || link_talk(link_msg(RTM_DELLINK, 0, AF_UNSPEC, (int) index), "removing", name, gone, err);
}

bool link_up(const char *name, bool up, GError **err)
{
    LinkInfo info;
    if (!link_need(name, &info, err))
        return false;
    if (info.up == up)
        return true;
    Msg *msg = link_msg(RTM_NEWLINK, 0, AF_UNSPEC, info.index);
    struct ifinfomsg *head = nlmsg_data(nlmsg_hdr(msg));
    head->ifi_change = IFF_UP;
    head->ifi_flags = up ? IFF_UP : 0;
    return link_talk(msg, up ? "setting up" : "setting down", name, NULL, err);
}

bool link_mtu(const char *name, gint64 mtu, GError **err)
{
    LinkInfo info;
    if (!link_need(name, &info, err))
        return false;
    if (info.mtu == mtu)
        return true;
    Msg *msg = link_msg(RTM_NEWLINK, 0, AF_UNSPEC, info.index);
    nla_put_u32(msg, IFLA_MTU, (guint32) mtu);
    return link_talk(msg, "MTU of", name, NULL, err);
}

bool link_enslave(const char *name, const char *bridge, GError **err)
{
    LinkInfo info, master;
    if (!link_need(name, &info, err) || !link_need(bridge, &master, err))
        return false;
    if (info.master == master.index)
        return true;
    Msg *msg = link_msg(RTM_NEWLINK, 0, AF_UNSPEC, info.index);
    nla_put_u32(msg, IFLA_MASTER, (guint32) master.index);
    return link_talk(msg, "adding to its bridge", name, NULL, err);
}

bool link_bridge_port(const char *name, const BridgePort *flags, GError **err)
{
    LinkInfo info;
    if (!link_need(name, &info, err))
        return false;
    Msg *msg = link_msg(RTM_SETLINK, 0, AF_BRIDGE, info.index);
    struct nlattr *port = nla_nest_start(msg, IFLA_PROTINFO | NLA_F_NESTED);
    for (gsize i = 0; i < G_N_ELEMENTS(treatments); i++)
        nla_put_u8(msg, treatments[i], treatment_of(flags) >> i & 1);
    nla_nest_end(msg, port);
    return link_talk(msg, "bridge port", name, NULL, err);
}

typedef struct Fdb { int index; GArray *macs; } Fdb;

/* The MAC of a static entry of a bridge; NULL: another message. */
static const guint8 *static_entry(struct nlmsghdr *nlh, int *ret_index)
{
    const struct ndmsg *head = nlmsg_data(nlh);
    struct nlattr *tb[NDA_MAX + 1] = { 0 };
    if (nlh->nlmsg_type != RTM_NEWNEIGH || !(head->ndm_state & NUD_NOARP))
        return NULL;
    nlmsg_parse(nlh, sizeof *head, tb, NDA_MAX, NULL);
    *ret_index = head->ndm_ifindex;
    return tb[NDA_LLADDR] && nla_len(tb[NDA_LLADDR]) == 6 && tb[NDA_MASTER] ? nla_data(tb[NDA_LLADDR]) : NULL;
}

static void fdb_one(struct nlmsghdr *nlh, void *data)
{
    const Fdb *fdb = data;
    int index;
    const guint8 *mac = static_entry(nlh, &index);
    if (mac && index == fdb->index)
        g_array_append_vals(fdb->macs, mac, 1);
}

/* The kernel's table by index. */
static void entry_one(struct nlmsghdr *nlh, void *data)
{
    int index;
    const guint8 *mac = static_entry(nlh, &index);
    LinkInfo *info = mac ? g_hash_table_lookup(data, GINT_TO_POINTER(index)) : NULL;
    if (!info || memcmp(mac, info->mac, 6) == 0)
        return;
    info->entries++;
    memcpy(info->entry, mac, 6);
}

bool link_entries(GHashTable *links, GError **err)
{
    g_autoptr(GHashTable) by_index = link_by_index(links);
    struct ndmsg head = { .ndm_family = AF_BRIDGE };
    Msg *msg = nlmsg_alloc_simple(RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP);
    nlmsg_append(msg, &head, sizeof head, NLMSG_ALIGNTO);
    return link_dump(msg, entry_one, by_index, err);
}

bool link_entry_is(const LinkInfo *info, const char *mac)
{
    guint8 raw[6];
    return mac ? info->entries == 1 && mac_parse(mac, raw) && memcmp(info->entry, raw, 6) == 0 : info->entries == 0;
}

static bool fdb_change(const char *name, int index, const guint8 *mac, bool add, GError **err)
{
    static const int gone[] = { NLE_OBJ_NOTFOUND, 0 };
    /* Sticky: a port that may learn does not take the address over by sending from it. */
    struct ndmsg head = { .ndm_family = AF_BRIDGE, .ndm_ifindex = index, .ndm_state = NUD_NOARP,
                          .ndm_flags = NTF_MASTER | (add ? NTF_STICKY : 0) };
    Msg *msg = nlmsg_alloc_simple(add ? RTM_NEWNEIGH : RTM_DELNEIGH,
                                  NLM_F_REQUEST | NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_REPLACE : 0));
    nlmsg_append(msg, &head, sizeof head, NLMSG_ALIGNTO);
    nla_put(msg, NDA_LLADDR, 6, mac);
    return link_talk(msg, "forwarding entry of", name, add ? NULL : gone, err);
}

static bool has_mac(const GArray *macs, const guint8 *mac)
{
    for (guint i = 0; i < macs->len; i++)
        if (memcmp(macs->data + 6 * i, mac, 6) == 0)
            return true;
    return false;
}

bool link_fdb(const char *name, const GArray *macs, GError **err)
{
    LinkInfo info;
    g_autoptr(GArray) present = g_array_new(FALSE, FALSE, 6);
    if (!link_need(name, &info, err))
        return false;
    Fdb fdb = { info.index, present };
    /* This header, not ndmsg, makes the kernel look at this port only. */
    struct ifinfomsg head = { .ifi_family = AF_BRIDGE, .ifi_index = info.index };
    Msg *msg = nlmsg_alloc_simple(RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP);
    nlmsg_append(msg, &head, sizeof head, NLMSG_ALIGNTO);
    bool ok = link_dump(msg, fdb_one, &fdb, err);
    for (guint i = 0; ok && i < present->len; i++) {
        const guint8 *mac = (const guint8 *) present->data + 6 * i;
        /* The interface's own address is the kernel's entry. */
        if (!has_mac(macs, mac) && memcmp(mac, info.mac, 6) != 0)
            ok = fdb_change(name, info.index, mac, false, err);
    }
    for (guint i = 0; ok && i < macs->len; i++)
        if (!has_mac(present, (const guint8 *) macs->data + 6 * i))
            ok = fdb_change(name, info.index, (const guint8 *) macs->data + 6 * i, true, err);
    return ok;
}

void link_ip_bytes(Ip ip, guint8 out[16])
{
    int n = ip.version == 4 ? 4 : 16;
    for (int i = 0; i < n; i++)
        out[i] = (guint8) (ip.n >> (8 * (n - 1 - i)));
}

Ip link_ip_of(int version, const guint8 *raw)
{
    Ip ip = { .version = version };
    for (int i = 0; i < (version == 4 ? 4 : 16); i++)
        ip.n = ip.n << 8 | raw[i];
    return ip;
}

typedef struct Addrs { int index; GArray *found; } Addrs;

static void addr_one(struct nlmsghdr *nlh, void *data)
{
    const Addrs *a = data;
    const struct ifaddrmsg *head = nlmsg_data(nlh);
    struct nlattr *tb[IFA_MAX + 1] = { 0 };
    if (nlh->nlmsg_type != RTM_NEWADDR || (int) head->ifa_index != a->index ||
        (head->ifa_family != AF_INET && head->ifa_family != AF_INET6))
        return;
    nlmsg_parse(nlh, sizeof *head, tb, IFA_MAX, NULL);
    struct nlattr *attr = tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS];
    if (!attr || (head->ifa_family == AF_INET6 && head->ifa_scope == RT_SCOPE_LINK))
        return;
    Cidr c = { link_ip_of(head->ifa_family == AF_INET ? 4 : 6, nla_data(attr)), head->ifa_prefixlen };
    g_array_append_val(a->found, c);
}

static bool addr_change(const char *name, int index, Cidr c, bool add, GError **err)
{
    static const int fine[] = { NLE_EXIST, NLE_NOADDR, 0 };
    int family = c.base.version == 4 ? AF_INET : AF_INET6, size = family == AF_INET ? 4 : 16;
    guint8 raw[16];
    link_ip_bytes(c.base, raw);
    struct ifaddrmsg head = { .ifa_family = (guint8) family, .ifa_prefixlen = (guint8) c.prefix, .ifa_index = (guint32) index,
                              .ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0 };
    Msg *msg = nlmsg_alloc_simple(add ? RTM_NEWADDR : RTM_DELADDR, NLM_F_REQUEST | NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_EXCL : 0));
    nlmsg_append(msg, &head, sizeof head, NLMSG_ALIGNTO);
    nla_put(msg, IFA_LOCAL, size, raw);
    nla_put(msg, IFA_ADDRESS, size, raw);
    if (add && family == AF_INET && c.prefix < 31) {
        guint8 last[16];
        link_ip_bytes(cidr_last(c), last);
        nla_put(msg, IFA_BROADCAST, 4, last);
    }
    return link_talk(msg, "address of", name, fine, err);
}

static bool has_cidr(const GArray *list, Cidr c)
{
    for (guint i = 0; i < list->len; i++) {
        Cidr x = g_array_index(list, Cidr, i);
        if (x.prefix == c.prefix && x.base.version == c.base.version && x.base.n == c.base.n)
            return true;
    }
    return false;
}

static bool addresses_of(const LinkInfo *info, GArray *found, GError **err)
{
    Addrs a = { info->index, found };
    struct ifaddrmsg head = { .ifa_family = AF_UNSPEC };
    Msg *msg = nlmsg_alloc_simple(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP);
    nlmsg_append(msg, &head, sizeof head, NLMSG_ALIGNTO);
    return link_dump(msg, addr_one, &a, err);
}

bool link_addresses_are(const char *name, const GArray *cidrs)
{
    LinkInfo info;
    g_autoptr(GArray) present = g_array_new(FALSE, FALSE, sizeof(Cidr));
    if (!link_get(name, &info, NULL) || !addresses_of(&info, present, NULL))
        return false;
    for (guint i = 0; i < present->len; i++)
        if (!has_cidr(cidrs, g_array_index(present, Cidr, i)))
            return false;
    for (guint i = 0; i < cidrs->len; i++)
        if (!has_cidr(present, g_array_index(cidrs, Cidr, i)))
            return false;
    return true;
}

bool link_without_addresses(const char *name, bool *ret_none, GError **err)
{
    LinkInfo info;
    g_autoptr(GArray) present = g_array_new(FALSE, FALSE, sizeof(Cidr));
    if (!link_need(name, &info, err) || !addresses_of(&info, present, err))
        return false;
    *ret_none = present->len == 0;
    return true;
}

bool link_addresses(const char *name, const GArray *cidrs, GError **err)
{
    return link_addresses_tell(name, cidrs, NULL, err);
}

bool link_addresses_tell(const char *name, const GArray *cidrs, GArray *ret_added, GError **err)
{
    LinkInfo info;
    g_autoptr(GArray) present = g_array_new(FALSE, FALSE, sizeof(Cidr));
    if (!link_need(name, &info, err))
        return false;
    bool ok = addresses_of(&info, present, err);
    for (guint i = 0; ok && i < present->len; i++)
        if (!has_cidr(cidrs, g_array_index(present, Cidr, i)))
            ok = addr_change(name, info.index, g_array_index(present, Cidr, i), false, err);
    for (guint i = 0; ok && i < cidrs->len; i++) {
        Cidr c = g_array_index(cidrs, Cidr, i);
        if (has_cidr(present, c))
            continue;
        ok = addr_change(name, info.index, c, true, err);
        if (ok && ret_added)
            g_array_append_val(ret_added, c);
    }
    return ok;
}

bool link_default_route(const char *name, int version, const Ip *gateway, GError **err)
{
    static const int gone[] = { NLE_OBJ_NOTFOUND, 0 };
    LinkInfo info;
    guint8 raw[16];
    if (!link_need(name, &info, err))
        return false;
    struct rtmsg head = { .rtm_family = version == 4 ? AF_INET : AF_INET6, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_STATIC,
                          .rtm_scope = RT_SCOPE_UNIVERSE, .rtm_type = RTN_UNICAST };
    if (!gateway)
        head.rtm_protocol = 0;
    Msg *msg = nlmsg_alloc_simple(gateway ? RTM_NEWROUTE : RTM_DELROUTE,
                                  NLM_F_REQUEST | NLM_F_ACK | (gateway ? NLM_F_CREATE | NLM_F_REPLACE : 0));
    nlmsg_append(msg, &head, sizeof head, NLMSG_ALIGNTO);
    nla_put_u32(msg, RTA_OIF, (guint32) info.index);
    if (gateway) {
        link_ip_bytes(*gateway, raw);
        nla_put(msg, RTA_GATEWAY, version == 4 ? 4 : 16, raw);
    }
    return link_talk(msg, "default route of", name, gateway ? NULL : gone, err);
}
