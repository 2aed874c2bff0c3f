/* network/agent/link_guard.c -- a small program at a bridge's port: what was forwarded without a mark of the rules goes no further. */
#include "core/log.h"
#include "network/agent/link_bpf.h"
#include "network/agent/link_netlink.h"
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>

enum { HANDLE = 1 };
static const char NAME[] = "nuvolet-guard";

/* Loaded once, and the same for all. */
static GMutex lock;
static int program = -1;
static gint unable;                  /* atomic; the kernel has no guards */

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

bool link_guards(void)
{
    return !g_atomic_int_get(&unable);
}

static void guard_one(struct nlmsghdr *nlh, void *data)
{
    *(bool *) data |= g_strcmp0(link_bpf_name(nlh), NAME) == 0;
}

bool link_guarded(int index)
{
    bool there = false;
    return !link_guards() || (link_tc_dump(RTM_GETTFILTER, index, LINK_EGRESS, guard_one, &there, NULL) && there);
}

bool link_guard(const char *name, guint32 flag, GError **err)
{
    LinkInfo info;
    g_autoptr(GError) why = NULL;
    if (!link_guards())
        return true;
    if (!link_need(name, &info, err))
        return false;
    if (link_guarded(info.index))
        return true;
    int fd = program_peek(flag, &why);
    if (fd >= 0)
        return link_ingress_ensure(name, info.index, err) &&
               link_talk(link_bpf_put(info.index, LINK_EGRESS, HANDLE, fd, NAME), "guard of", name, NULL, err);
    if (nv_error_code(why) != NV_ERR_HOST_FAULT)
        return g_propagate_error(err, g_steal_pointer(&why)), false;
    g_atomic_int_set(&unable, 1);
    log_warn("net.no_guard", "reason", why->message, NULL);
    return true;
}

bool link_unguard(const char *name, GError **err)
{
    LinkInfo info;
    if (!link_need(name, &info, err))
        return false;
    return !link_guards() || !link_guarded(info.index) ||
           (link_talk(link_bpf_delete(info.index, LINK_EGRESS, HANDLE), "guard of", name, NULL, err) && link_ingress_idle(name, info.index, err));
}
