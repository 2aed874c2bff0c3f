/* network/agent/link_guard.c -- a small program at a bridge's port: what was forwarded without a mark of the rules goes no further. */
#include "network/agent/link_bpf.h"
#include "network/agent/link_netlink.h"
#include <linux/pkt_cls.h>

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

bool link_guard(const char *name, guint32 flag, GError **err)
{
    LinkInfo info;
    int there;
    if (!link_need(name, &info, err) || !link_tc_filters(info.index, LINK_EGRESS, &there, err))
        return false;
    if (there)
        return true;
    int fd = program_peek(flag, err);
    if (fd < 0 || !link_ingress_ensure(name, info.index, err))
        return false;
    return link_talk(link_bpf_put(info.index, LINK_EGRESS, 1, fd, "nuvolet-guard"), "guard of", name, NULL, err);
}
