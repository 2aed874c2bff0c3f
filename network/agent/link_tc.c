/* network/agent/link_tc.c -- traffic control through netlink: token buckets, and the diversion of what comes in through a shaper. */
#include "network/agent/link_netlink.h"
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <string.h>

Msg *link_tc_msg(int type, int flags, int index, guint32 handle, guint32 parent)
{
    struct tcmsg head = { .tcm_family = AF_UNSPEC, .tcm_ifindex = index, .tcm_handle = handle, .tcm_parent = parent };
    Msg *msg = nlmsg_alloc_simple(type, NLM_F_REQUEST | NLM_F_ACK | flags);
    nlmsg_append(msg, &head, sizeof head, NLMSG_ALIGNTO);
    return msg;
}

bool link_tc_dump(int type, int index, guint32 parent, OnMessage *fn, void *data, GError **err)
{
    Msg *msg = link_tc_msg(type, 0, index, 0, parent);
    nlmsg_hdr(msg)->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    return link_dump(msg, fn, data, err);
}

static void count_one(struct nlmsghdr *nlh, void *data)
{
    if (nlh->nlmsg_type == RTM_NEWTFILTER)
        ++*(int *) data;
}

bool link_tc_filters(int index, guint32 parent, int *ret_filters, GError **err)
{
    *ret_filters = 0;
    return link_tc_dump(RTM_GETTFILTER, index, parent, count_one, ret_filters, err);
}

static bool root_absent(const char *name, int index, GError **err)
{
    static const int gone[] = { NLE_OBJ_NOTFOUND, NLE_NOATTR, NLE_INVAL, 0 };
    return link_talk(link_tc_msg(RTM_DELQDISC, 0, index, 0, TC_H_ROOT), "lifting the limit of", name, gone, err);
}

bool link_bucket(const char *name, const Bucket *b, GError **err)
{
    LinkInfo info;
    if (!link_need(name, &info, err))
        return false;
    if (!b->rate)
        return root_absent(name, info.index, err);
    struct tc_tbf_qopt opt = { .limit = b->limit };
    /* With this link layer the kernel computes times itself and needs no table from us. */
    opt.rate.linklayer = TC_LINKLAYER_ETHERNET;
    opt.rate.rate = (guint32) MIN(b->rate, G_MAXUINT32);
    Msg *msg = link_tc_msg(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, info.index, 0x10000, TC_H_ROOT);
    nla_put_string(msg, TCA_KIND, "tbf");
    struct nlattr *options = nla_nest_start(msg, TCA_OPTIONS);
    nla_put(msg, TCA_TBF_PARMS, sizeof opt, &opt);
    nla_put_u32(msg, TCA_TBF_BURST, b->burst);
    if (b->rate >= G_MAXUINT32)
        nla_put_u64(msg, TCA_TBF_RATE64, b->rate);
    nla_nest_end(msg, options);
    return link_talk(msg, "limiting", name, NULL, err);
}

bool link_shaper_ensure(const char *name, const Bucket *b, GError **err)
{
    static const int there[] = { NLE_EXIST, 0 };
    struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
    if (!if_nametoindex(name)) {
        Msg *msg = nlmsg_alloc_simple(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
        nlmsg_append(msg, &head, sizeof head, NLMSG_ALIGNTO);
        nla_put_string(msg, IFLA_IFNAME, name);
        struct nlattr *info = nla_nest_start(msg, IFLA_LINKINFO);
        nla_put_string(msg, IFLA_INFO_KIND, "ifb");
        nla_nest_end(msg, info);
        if (!link_talk(msg, "shaper", name, there, err))
            return false;
    }
    return link_bucket(name, b, err) && link_up(name, true, err);
}

bool link_ingress_ensure(const char *name, int index, bool *ret_there, GError **err)
{
    bool there;
    Msg *msg = link_tc_msg(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, index, LINK_CLSACT, TC_H_CLSACT);
    nla_put_string(msg, TCA_KIND, "clsact");
    return link_make(msg, "what comes in at", name, ret_there ? ret_there : &there, err);
}

bool link_ingress_idle(const char *name, int index, GError **err)
{
    static const int gone[] = { NLE_OBJ_NOTFOUND, NLE_NOATTR, NLE_INVAL, 0 };
    int in, out;
    if (!link_tc_filters(index, LINK_INGRESS, &in, err) || !link_tc_filters(index, LINK_EGRESS, &out, err))
        return false;
    return in || out || link_talk(link_tc_msg(RTM_DELQDISC, 0, index, LINK_CLSACT, TC_H_CLSACT), "what comes in at", name, gone, err);
}

static void at_priority(Msg *msg, guint32 priority)
{
    ((struct tcmsg *) nlmsg_data(nlmsg_hdr(msg)))->tcm_info = TC_H_MAKE(priority << 16, g_htons(ETH_P_ALL));
}

static bool divert_absent(const char *name, int index, GError **err)
{
    static const int gone[] = { NLE_OBJ_NOTFOUND, NLE_NOATTR, NLE_INVAL, 0 };
    Msg *msg = link_tc_msg(RTM_DELTFILTER, 0, index, 0, LINK_INGRESS);
    at_priority(msg, LINK_DIVERT_SECOND);
    return link_talk(msg, "diversion of", name, gone, err) && link_ingress_idle(name, index, err);
}

bool link_divert(const char *name, const char *shaper, GError **err)
{
    LinkInfo info, to;
    if (!link_need(name, &info, err) || (shaper && !link_need(shaper, &to, err)))
        return false;
    if (!shaper)
        return divert_absent(name, info.index, err);
    if (!link_ingress_ensure(name, info.index, NULL, err))
        return false;
    if (link_diverted_to(info.index) == to.index)
        return true;
    struct { struct tc_u32_sel sel; struct tc_u32_key key; } all = { .sel = { .flags = TC_U32_TERMINAL, .nkeys = 1 } };
    struct tc_mirred redirect = { .action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = (guint32) to.index };
    Msg *msg = link_tc_msg(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_REPLACE, info.index, 0x80000800u, LINK_INGRESS);
    at_priority(msg, LINK_DIVERT_SECOND);
    nla_put_string(msg, TCA_KIND, "u32");
    struct nlattr *options = nla_nest_start(msg, TCA_OPTIONS);
    nla_put(msg, TCA_U32_SEL, sizeof all, &all);
    struct nlattr *actions = nla_nest_start(msg, TCA_U32_ACT), *first = nla_nest_start(msg, 1);
    nla_put_string(msg, TCA_ACT_KIND, "mirred");
    struct nlattr *mirred = nla_nest_start(msg, TCA_ACT_OPTIONS);
    nla_put(msg, TCA_MIRRED_PARMS, sizeof redirect, &redirect);
    nla_nest_end(msg, mirred);
    nla_nest_end(msg, first);
    nla_nest_end(msg, actions);
    nla_nest_end(msg, options);
    return link_talk(msg, "diversion of", name, NULL, err);
}

/* --- what is there --- */

static void diverted_one(struct nlmsghdr *nlh, void *data)
{
    struct nlattr *tb[TCA_MAX + 1] = { 0 }, *u32[TCA_U32_MAX + 1] = { 0 }, *list[2] = { 0 }, *act[TCA_ACT_MAX + 1] = { 0 };
    struct nlattr *mirred[TCA_MIRRED_MAX + 1] = { 0 };
    if (nlh->nlmsg_type != RTM_NEWTFILTER || nlmsg_parse(nlh, sizeof(struct tcmsg), tb, TCA_MAX, NULL) < 0 || !tb[TCA_KIND] ||
        strcmp(nla_get_string(tb[TCA_KIND]), "u32") != 0 || !tb[TCA_OPTIONS] || nla_parse_nested(u32, TCA_U32_MAX, tb[TCA_OPTIONS], NULL) < 0 ||
        !u32[TCA_U32_ACT] || nla_parse_nested(list, 1, u32[TCA_U32_ACT], NULL) < 0 || !list[1] ||
        nla_parse_nested(act, TCA_ACT_MAX, list[1], NULL) < 0 || !act[TCA_ACT_OPTIONS] ||
        nla_parse_nested(mirred, TCA_MIRRED_MAX, act[TCA_ACT_OPTIONS], NULL) < 0 || !mirred[TCA_MIRRED_PARMS])
        return;
    *(int *) data = (int) ((const struct tc_mirred *) nla_data(mirred[TCA_MIRRED_PARMS]))->ifindex;
}

int link_diverted_to(int index)
{
    int to = 0;
    link_tc_dump(RTM_GETTFILTER, index, LINK_INGRESS, diverted_one, &to, NULL);
    return to;
}

/* The kernel's table by index. */
static void shaper_one(struct nlmsghdr *nlh, void *data)
{
    const struct tcmsg *head = nlmsg_data(nlh);
    struct nlattr *tb[TCA_MAX + 1] = { 0 }, *tbf[TCA_TBF_MAX + 1] = { 0 };
    if (nlh->nlmsg_type != RTM_NEWQDISC || nlmsg_parse(nlh, sizeof *head, tb, TCA_MAX, NULL) < 0 || !tb[TCA_KIND])
        return;
    LinkInfo *info = g_hash_table_lookup(data, GINT_TO_POINTER(head->tcm_ifindex));
    const char *kind = nla_get_string(tb[TCA_KIND]);
    if (!info)
        return;
    info->diverts |= strcmp(kind, "clsact") == 0;
    if (strcmp(kind, "tbf") != 0 || head->tcm_parent != TC_H_ROOT || !tb[TCA_OPTIONS] ||
        nla_parse_nested(tbf, TCA_TBF_MAX, tb[TCA_OPTIONS], NULL) < 0 || !tbf[TCA_TBF_PARMS])
        return;
    const struct tc_tbf_qopt *opt = nla_data(tbf[TCA_TBF_PARMS]);
    info->bucket = (Bucket){ .rate = tbf[TCA_TBF_RATE64] ? nla_get_u64(tbf[TCA_TBF_RATE64]) : opt->rate.rate, .limit = opt->limit };
}

bool link_shapers(GHashTable *links, GError **err)
{
    g_autoptr(GHashTable) by_index = link_by_index(links);
    return link_tc_dump(RTM_GETQDISC, 0, 0, shaper_one, by_index, err);
}
