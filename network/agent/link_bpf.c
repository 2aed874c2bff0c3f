/* network/agent/link_bpf.c -- loads programs into the kernel (bpf(2)), and has them look at an interface's packets (cls_bpf). */
#include "network/agent/link_bpf.h"
#include <errno.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <netlink/netlink.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the same program may find otherwise a moment later; EAGAIN and EINTR: a signal came while the kernel looked it through. */
static bool is_short_of(int error)
{
    return error == ENOMEM || error == EMFILE || error == ENFILE || error == EAGAIN || error == EINTR;
}

int link_bpf_load(enum bpf_prog_type type, const struct bpf_insn *insns, gsize n, const char *what, GError **err)
{
    /* Some of the kernel's helpers are only for programs under its own licence. */
    union bpf_attr attr = { .prog_type = type, .insns = (guint64) (gsize) insns, .insn_cnt = (guint32) n, .license = (guint64) (gsize) "GPL" };
    int fd = (int) syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
    if (fd < 0)
        nv_fail_errno(err, is_short_of(errno) ? NV_ERR_AGENT : NV_ERR_HOST_FAULT, "the kernel refuses %s", what);
    return fd;
}

static Msg *filter_msg(int type, int flags, int index, guint32 parent, guint32 handle)
{
    Msg *msg = link_tc_msg(type, flags, index, handle, parent);
    ((struct tcmsg *) nlmsg_data(nlmsg_hdr(msg)))->tcm_info = TC_H_MAKE(LINK_PROGRAMS_FIRST << 16, g_htons(ETH_P_ALL));
    nla_put_string(msg, TCA_KIND, "bpf");
    return msg;
}

Msg *link_bpf_put(int index, guint32 parent, guint32 handle, int program, const char *name)
{
    Msg *msg = filter_msg(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_REPLACE, index, parent, handle);
    struct nlattr *options = nla_nest_start(msg, TCA_OPTIONS);
    nla_put_u32(msg, TCA_BPF_FD, (guint32) program);
    nla_put_string(msg, TCA_BPF_NAME, name);
    nla_put_u32(msg, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
    nla_nest_end(msg, options);
    return msg;
}

Msg *link_bpf_delete(int index, guint32 parent, guint32 handle)
{
    return filter_msg(RTM_DELTFILTER, 0, index, parent, handle);
}

const char *link_bpf_name(struct nlmsghdr *nlh)
{
    struct nlattr *tb[TCA_MAX + 1] = { 0 }, *bpf[TCA_BPF_MAX + 1] = { 0 };
    if (nlh->nlmsg_type != RTM_NEWTFILTER || nlmsg_parse(nlh, sizeof(struct tcmsg), tb, TCA_MAX, NULL) < 0 || !tb[TCA_KIND] ||
        strcmp(nla_get_string(tb[TCA_KIND]), "bpf") != 0 || !tb[TCA_OPTIONS] || nla_parse_nested(bpf, TCA_BPF_MAX, tb[TCA_OPTIONS], NULL) < 0 ||
        !bpf[TCA_BPF_NAME])
        return NULL;
    return nla_get_string(bpf[TCA_BPF_NAME]);
}
