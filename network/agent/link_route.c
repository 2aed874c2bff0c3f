/* network/agent/link_route.c -- routes of a namespace, and which packets may find them. */
#include "network/agent/link_netlink.h"
#include "network/agent/link_route.h"
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/errno.h>
#include <string.h>

static int family_of(int version)
{
    return version == 4 ? AF_INET : AF_INET6;
}

static guint32 attr_u32(struct nlattr *const *tb, int type)
{
    return tb[type] ? nla_get_u32(tb[type]) : 0;
}

/* --- routes --- */

/* As the kernel knows it; index 0 in a wanted route: any interface. */
typedef struct Known { Cidr destination; Ip nexthop; int index; bool kept; } Known;
typedef struct Routes { int version; GArray *found; } Routes;

static void hop_one(const Routes *r, Known k, struct nlattr *gateway, int index)
{
    if (gateway)
        k.nexthop = link_ip_of(r->version, nla_data(gateway));
    k.index = index;
    g_array_append_val(r->found, k);
}

/* IPv6 routes of one destination are told as one with several next hops, and taken away one by one. */
static void route_one(struct nlmsghdr *nlh, void *data)
{
    const Routes *r = data;
    const struct rtmsg *head = nlmsg_data(nlh);
    struct nlattr *tb[RTA_MAX + 1] = { 0 }, *hop_tb[RTA_MAX + 1];
    Known k = { .destination = { { .version = r->version }, 0 } };
    if (nlh->nlmsg_type != RTM_NEWROUTE || head->rtm_protocol != RTPROT_STATIC || head->rtm_family != family_of(r->version) ||
        head->rtm_type != RTN_UNICAST || head->rtm_flags & RTM_F_CLONED)
        return;
    nlmsg_parse(nlh, sizeof *head, tb, RTA_MAX, NULL);
    if (attr_u32(tb, RTA_TABLE) != RT_TABLE_MAIN)
        return;
    if (tb[RTA_DST])
        k.destination.base = link_ip_of(r->version, nla_data(tb[RTA_DST]));
    k.destination.prefix = head->rtm_dst_len;
    if (!tb[RTA_MULTIPATH]) {
        hop_one(r, k, tb[RTA_GATEWAY], (int) attr_u32(tb, RTA_OIF));
        return;
    }
    const struct rtnexthop *hop = nla_data(tb[RTA_MULTIPATH]);
    int left = nla_len(tb[RTA_MULTIPATH]);
    for (; left >= (int) sizeof *hop && RTNH_OK(hop, left); left -= RTNH_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop)) {
        nla_parse(hop_tb, RTA_MAX, (struct nlattr *) (void *) RTNH_DATA(hop), hop->rtnh_len - (int) sizeof *hop, NULL);
        hop_one(r, k, hop_tb[RTA_GATEWAY], hop->rtnh_ifindex);
    }
}

static bool routes_read(int version, GArray *found, GError **err)
{
    Routes r = { version, found };
    struct rtmsg head = { .rtm_family = (unsigned char) family_of(version) };
    Msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP);
    nlmsg_append(msg, &head, sizeof head, NLMSG_ALIGNTO);
    return link_dump(msg, route_one, &r, err);
}

static bool route_change(const Known *k, bool add, GError **err)
{
    static const int fine[] = { NLE_OBJ_NOTFOUND, NLE_EXIST, 0 };
    int version = k->destination.base.version, size = version == 4 ? 4 : 16;
    guint8 raw[16];
    char text[50];
    struct rtmsg head = { .rtm_family = (unsigned char) family_of(version), .rtm_dst_len = (unsigned char) k->destination.prefix,
                          .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_STATIC, .rtm_scope = RT_SCOPE_UNIVERSE, .rtm_type = RTN_UNICAST,
                          .rtm_flags = add && k->index ? RTNH_F_ONLINK : 0 };
    Msg *msg = nlmsg_alloc_simple(add ? RTM_NEWROUTE : RTM_DELROUTE, NLM_F_REQUEST | NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_APPEND : 0));
    nlmsg_append(msg, &head, sizeof head, NLMSG_ALIGNTO);
    link_ip_bytes(k->destination.base, raw);
    nla_put(msg, RTA_DST, size, raw);
    link_ip_bytes(k->nexthop, raw);
    nla_put(msg, RTA_GATEWAY, size, raw);
    if (k->index)
        nla_put_u32(msg, RTA_OIF, (guint32) k->index);
    cidr_format(k->destination, text);
    return link_talk(msg, "route to", text, fine, err);
}

static bool same_route(const Known *there, const Known *wanted)
{
    return there->destination.prefix == wanted->destination.prefix && there->destination.base.n == wanted->destination.base.n &&
           there->nexthop.n == wanted->nexthop.n && (!wanted->index || there->index == wanted->index);
}

static bool find(GArray *found, const Known *wanted)
{
    for (guint i = 0; i < found->len; i++) {
        Known *k = &g_array_index(found, Known, i);
        if (!k->kept && same_route(k, wanted))
            return k->kept = true;
    }
    return false;
}

static bool routes_settle(const GArray *routes, int version, GError **err)
{
    g_autoptr(GArray) found = g_array_new(FALSE, TRUE, sizeof(Known)), adding = g_array_new(FALSE, TRUE, sizeof(Known));
    bool ok = routes_read(version, found, err);
    for (guint i = 0; ok && i < routes->len; i++) {
        const LinkRoute *r = &g_array_index(routes, LinkRoute, i);
        Known wanted = { .destination = r->destination, .nexthop = r->nexthop, .index = *r->device ? (int) if_nametoindex(r->device) : 0 };
        if (r->destination.base.version == version && !find(found, &wanted))
            g_array_append_val(adding, wanted);
    }
    for (guint i = 0; ok && i < found->len; i++)
        if (!g_array_index(found, Known, i).kept)
            ok = route_change(&g_array_index(found, Known, i), false, err);
    /* One that cannot be (its next hop is nowhere) does not keep the others away. */
    g_autoptr(GError) first = NULL;
    for (guint i = 0; ok && i < adding->len; i++)
        route_change(&g_array_index(adding, Known, i), true, first ? NULL : &first);
    if (first)
        g_propagate_error(err, g_steal_pointer(&first));
    return ok && !(err && *err);
}

bool link_routes(const GArray *routes, GError **err)
{
    g_autoptr(GError) four = NULL;
    bool ok = routes_settle(routes, 4, &four);
    if (four)
        g_propagate_error(err, g_steal_pointer(&four));
    return routes_settle(routes, 6, ok ? err : NULL) && ok;
}

/* --- rules --- */

enum { RULE_OWN = 100, RULE_MARKED = 101, RULE_MAIN = 32766 };

/* Which of the three are there. */
typedef struct Rules { bool own, marked, main; } Rules;

static void rule_one(struct nlmsghdr *nlh, void *data)
{
    Rules *r = data;
    struct nlattr *tb[FRA_MAX + 1] = { 0 };
    if (nlh->nlmsg_type != RTM_NEWRULE)
        return;
    nlmsg_parse(nlh, sizeof(struct fib_rule_hdr), tb, FRA_MAX, NULL);
    guint32 priority = attr_u32(tb, FRA_PRIORITY);
    r->own = r->own || priority == RULE_OWN;
    r->marked = r->marked || priority == RULE_MARKED;
    r->main = r->main || priority == RULE_MAIN;
}

static bool rule_change(int family, guint32 priority, guint32 mark, bool add, GError **err)
{
    static const int fine[] = { NLE_EXIST, NLE_OBJ_NOTFOUND, 0 };
    struct fib_rule_hdr head = { .family = (guint8) family, .table = RT_TABLE_MAIN, .action = FR_ACT_TO_TBL };
    Msg *msg = nlmsg_alloc_simple(add ? RTM_NEWRULE : RTM_DELRULE, NLM_F_REQUEST | NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_EXCL : 0));
    nlmsg_append(msg, &head, sizeof head, NLMSG_ALIGNTO);
    nla_put_u32(msg, FRA_PRIORITY, priority);
    if (priority == RULE_OWN)
        nla_put_string(msg, FRA_IIFNAME, "lo");
    if (priority == RULE_MARKED) {
        nla_put_u32(msg, FRA_FWMARK, mark);
        nla_put_u32(msg, FRA_FWMASK, 0xffffffff);
    }
    return link_talk(msg, "routing rule", add ? "new" : "old", fine, err);
}

bool link_forward_mark(guint32 mark, GError **err)
{
    static const int families[] = { AF_INET, AF_INET6 };
    bool ok = true;
    for (gsize i = 0; ok && i < G_N_ELEMENTS(families); i++) {
        Rules there = { 0 };
        struct fib_rule_hdr head = { .family = (guint8) families[i] };
        Msg *msg = nlmsg_alloc_simple(RTM_GETRULE, NLM_F_REQUEST | NLM_F_DUMP);
        nlmsg_append(msg, &head, sizeof head, NLMSG_ALIGNTO);
        ok = link_dump(msg, rule_one, &there, err) && (!there.main || rule_change(families[i], RULE_MAIN, 0, false, err)) &&
             (there.own || rule_change(families[i], RULE_OWN, 0, true, err)) &&
             (there.marked || rule_change(families[i], RULE_MARKED, mark, true, err));
    }
    return ok;
}
