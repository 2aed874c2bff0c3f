/* network/agent/link_class.c -- shares of an interface's bandwidth: HTB classes, and small programs at taps that name a frame's class. */
#include "network/agent/link_bpf.h"
#include "network/agent/link_netlink.h"
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <string.h>
#include <unistd.h>

/* QUEUE: the upper half of the queue's handle and of its classes', which tells ours from others'.  PROGRAM: beyond the handles of VLAN tags. */
enum { QUEUE = 0x4e560000, PROGRAM = 0x10000, HTB_VERSION = 3, TICK_NS = 64, LEAST_BURST = 16 << 10, OTHERS_BYTES = 125, TURN = 16 << 10 };
#define PROGRAM_NAME "nuvolet-class."
static const guint64 EVERYTHING = G_GUINT64_CONSTANT(125000000000);      /* bytes a second: more than any interface has */

/* --- the queue and its classes --- */

static void find_queue(struct nlmsghdr *nlh, void *data)
{
    const struct tcmsg *head = nlmsg_data(nlh);
    struct nlattr *tb[TCA_MAX + 1] = { 0 };
    int *index = data;
    if (nlh->nlmsg_type == RTM_NEWQDISC && head->tcm_ifindex == *index && head->tcm_handle == QUEUE && head->tcm_parent == TC_H_ROOT &&
        nlmsg_parse(nlh, sizeof *head, tb, TCA_MAX, NULL) >= 0 && tb[TCA_KIND] && strcmp(nla_get_string(tb[TCA_KIND]), "htb") == 0)
        *index = 0;
}

static bool queue_is_there(int index)
{
    return link_tc_dump(RTM_GETQDISC, index, 0, find_queue, &index, NULL) && !index;
}

/* The kernel's unit is the time that the burst takes. */
static guint32 burst_ticks(guint64 rate)
{
    guint64 burst = MAX(rate / 50, LEAST_BURST);
    return (guint32) MIN(burst * 1000000000 / TICK_NS / rate, G_MAXUINT32);
}

static bool class_put(const char *name, int index, guint minor, guint32 parent, guint64 rate, guint64 ceil, GError **err)
{
    struct tc_htb_opt opt = { .quantum = TURN };
    opt.rate.linklayer = opt.ceil.linklayer = TC_LINKLAYER_ETHERNET;
    opt.rate.rate = (guint32) MIN(rate, G_MAXUINT32);
    opt.ceil.rate = (guint32) MIN(ceil, G_MAXUINT32);
    opt.buffer = burst_ticks(rate);
    opt.cbuffer = burst_ticks(ceil);
    Msg *msg = link_tc_msg(RTM_NEWTCLASS, NLM_F_CREATE, index, QUEUE | minor, parent);
    nla_put_string(msg, TCA_KIND, "htb");
    struct nlattr *options = nla_nest_start(msg, TCA_OPTIONS);
    nla_put(msg, TCA_HTB_PARMS, sizeof opt, &opt);
    if (rate > G_MAXUINT32)
        nla_put_u64(msg, TCA_HTB_RATE64, rate);
    if (ceil > G_MAXUINT32)
        nla_put_u64(msg, TCA_HTB_CEIL64, ceil);
    nla_nest_end(msg, options);
    return link_talk(msg, "a share of", name, NULL, err);
}

static guint64 bytes_of(gint64 kbps)
{
    return kbps ? MAX((guint64) kbps * 1000 / 8, 1) : EVERYTHING;
}

bool link_classes_ensure(const char *name, gint64 kbps, GError **err)
{
    struct tc_htb_glob opt = { .version = HTB_VERSION, .rate2quantum = 10, .defcls = LINK_CLASS_OTHERS };
    LinkInfo info;
    if (!link_need(name, &info, err))
        return false;
    if (!queue_is_there(info.index)) {
        Msg *msg = link_tc_msg(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, info.index, QUEUE, TC_H_ROOT);
        nla_put_string(msg, TCA_KIND, "htb");
        struct nlattr *options = nla_nest_start(msg, TCA_OPTIONS);
        nla_put(msg, TCA_HTB_INIT, sizeof opt, &opt);
        nla_nest_end(msg, options);
        if (!link_talk(msg, "shares of", name, NULL, err))
            return false;
    }
    guint64 all = bytes_of(kbps);
    return class_put(name, info.index, LINK_CLASS_ALL, QUEUE, all, all, err) &&
           class_put(name, info.index, LINK_CLASS_OTHERS, QUEUE | LINK_CLASS_ALL, OTHERS_BYTES, all, err);
}

bool link_classes_absent(const char *name, GError **err)
{
    static const int gone[] = { NLE_OBJ_NOTFOUND, NLE_NOATTR, NLE_INVAL, 0 };
    LinkInfo info;
    if (!link_get(name, &info, NULL) || !queue_is_there(info.index))
        return true;
    return link_talk(link_tc_msg(RTM_DELQDISC, 0, info.index, 0, TC_H_ROOT), "shares of", name, gone, err);
}

bool link_class_ensure(const char *name, guint minor, gint64 kbps, gint64 all_kbps, GError **err)
{
    LinkInfo info;
    return link_need(name, &info, err) &&
           class_put(name, info.index, minor, QUEUE | LINK_CLASS_ALL, bytes_of(kbps), MAX(bytes_of(kbps), bytes_of(all_kbps)), err);
}

bool link_class_absent(const char *name, guint minor, GError **err)
{
    static const int gone[] = { NLE_OBJ_NOTFOUND, NLE_NOATTR, NLE_INVAL, 0 };
    LinkInfo info;
    return link_need(name, &info, err) && link_talk(link_tc_msg(RTM_DELTCLASS, 0, info.index, QUEUE | minor, 0), "a share of", name, gone, err);
}

static void class_one(struct nlmsghdr *nlh, void *data)
{
    const struct tcmsg *head = nlmsg_data(nlh);
    struct nlattr *tb[TCA_MAX + 1] = { 0 }, *htb[TCA_HTB_MAX + 1] = { 0 };
    if (nlh->nlmsg_type != RTM_NEWTCLASS || TC_H_MAJ(head->tcm_handle) != QUEUE || nlmsg_parse(nlh, sizeof *head, tb, TCA_MAX, NULL) < 0 ||
        !tb[TCA_OPTIONS] || nla_parse_nested(htb, TCA_HTB_MAX, tb[TCA_OPTIONS], NULL) < 0 || !htb[TCA_HTB_PARMS])
        return;
    const struct tc_htb_opt *opt = nla_data(htb[TCA_HTB_PARMS]);
    LinkClass c = { .minor = TC_H_MIN(head->tcm_handle), .rate = htb[TCA_HTB_RATE64] ? nla_get_u64(htb[TCA_HTB_RATE64]) : opt->rate.rate };
    g_array_append_val((GArray *) data, c);
}

GArray *link_classes(const char *name, GError **err)
{
    g_autoptr(GArray) list = g_array_new(FALSE, TRUE, sizeof(LinkClass));
    LinkInfo info;
    if (!link_need(name, &info, err))
        return NULL;
    return link_tc_dump(RTM_GETTCLASS, info.index, 0, class_one, list, err) ? g_steal_pointer(&list) : NULL;
}

/* --- whose frames are of which class --- */

/* A frame's priority is its class's number, which the bridge and a VLAN interface leave alone, and HTB reads. */
static int program_of(guint minor, GError **err)
{
    const struct bpf_insn code[] = {
        SET(BPF_REG_2, (gint32) (QUEUE | minor)),
        STORE(BPF_REG_1, BPF_REG_2, priority),
        SET(BPF_REG_0, TC_ACT_UNSPEC),
        RETURN,
    };
    return link_bpf_load(BPF_PROG_TYPE_SCHED_CLS, code, G_N_ELEMENTS(code), "the program that names a frame's class", err);
}

static void program_one(struct nlmsghdr *nlh, void *data)
{
    const char *name = link_bpf_name(nlh);
    if (name && g_str_has_prefix(name, PROGRAM_NAME))
        *(guint *) data = (guint) g_ascii_strtoull(name + strlen(PROGRAM_NAME), NULL, 10);
}

static bool classed_as(int index, guint *ret_minor, GError **err)
{
    *ret_minor = 0;
    return link_tc_dump(RTM_GETTFILTER, index, LINK_INGRESS, program_one, ret_minor, err);
}

guint link_classed_as(int index)
{
    guint minor;
    return classed_as(index, &minor, NULL) ? minor : 0;
}

bool link_class(const char *tap, guint minor, GError **err)
{
    LinkInfo info;
    guint before;
    if (!link_need(tap, &info, err) || !classed_as(info.index, &before, err))
        return false;
    if (before == minor)
        return true;
    int fd = program_of(minor, err);
    if (fd < 0)
        return false;
    g_autofree char *name = g_strdup_printf(PROGRAM_NAME "%u", minor);
    bool ok = link_ingress_ensure(tap, info.index, NULL, err) &&
              link_talk(link_bpf_put(info.index, LINK_INGRESS, PROGRAM, fd, name), "class of", tap, NULL, err);
    close(fd);
    return ok;
}

bool link_unclass(const char *tap, GError **err)
{
    static const int gone[] = { NLE_OBJ_NOTFOUND, NLE_NOATTR, NLE_INVAL, 0 };
    LinkInfo info;
    guint before;
    if (!link_need(tap, &info, err) || !classed_as(info.index, &before, err))
        return false;
    if (!before)
        return true;
    return link_talk(link_bpf_delete(info.index, LINK_INGRESS, PROGRAM), "class of", tap, gone, err) && link_ingress_idle(tap, info.index, err);
}
