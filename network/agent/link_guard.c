/* network/agent/link_guard.c -- a small program at a bridge's port: what was forwarded without a mark of the rules goes no further. */
#include "network/agent/link_bpf.h"
#include "network/agent/link_netlink.h"
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <netlink/netlink.h>
#include <string.h>

/* Loaded once, and the same for all. */
static GMutex lock;
static int program = -1;

/* What the bridge or the host itself sends came in nowhere. */
static int load(guint32 flag, GError **err)
{
    const struct bpf_insn code[] = {
        LOAD(BPF_REG_0, BPF_REG_1, ingress_ifindex),
        SKIP_IF(BPF_REG_0, 0, 4),
        LOAD(BPF_REG_0, BPF_REG_1, mark),
        SKIP_IF_BIT(BPF_REG_0, (gint32) flag, 2),
        SET(BPF_REG_0, TC_ACT_SHOT),
        RETURN,
        SET(BPF_REG_0, TC_ACT_UNSPEC),
        RETURN,
    };
    return link_bpf_load(BPF_PROG_TYPE_SCHED_CLS, code, G_N_ELEMENTS(code), "the guard of bridges' ports", err);
}

static int program_peek(guint32 flag, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    if (program < 0)
        program = load(flag, err);
    return program;
}

static void count_one(struct nlmsghdr *nlh, void *data)
{
    if (nlh->nlmsg_type == RTM_NEWTFILTER)
        ++*(int *) data;
}

bool link_is_guarded(int index)
{
    int filters = 0;
    Msg *msg = link_tc_msg(RTM_GETTFILTER, 0, index, 0, LINK_EGRESS);
    nlmsg_hdr(msg)->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    return link_dump(msg, count_one, &filters, NULL) && filters;
}

bool link_guard(const char *name, guint32 flag, GError **err)
{
    LinkInfo info;
    if (!link_need(name, &info, err))
        return false;
    if (link_is_guarded(info.index))
        return true;
    int fd = program_peek(flag, err);
    if (fd < 0 || !link_ingress_ensure(name, info.index, err))
        return false;
    Msg *msg = link_tc_msg(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_REPLACE, info.index, 1, LINK_EGRESS);
    ((struct tcmsg *) nlmsg_data(nlmsg_hdr(msg)))->tcm_info = TC_H_MAKE(1 << 16, g_htons(ETH_P_ALL));
    nla_put_string(msg, TCA_KIND, "bpf");
    struct nlattr *options = nla_nest_start(msg, TCA_OPTIONS);
    nla_put_u32(msg, TCA_BPF_FD, (guint32) fd);
    nla_put_string(msg, TCA_BPF_NAME, "nuvolet-guard");
    nla_put_u32(msg, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
    nla_nest_end(msg, options);
    return link_talk(msg, "guard of", name, NULL, err);
}
