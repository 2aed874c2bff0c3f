/* network/agent/link_guard.c -- a small program at a bridge's port: what was forwarded without a mark of the rules goes no further. */
#include "core/log.h"
#include "network/agent/link_bpf.h"
#include "network/agent/link_netlink.h"
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <netlink/netlink.h>
#include <string.h>

enum { HANDLE = 0x6e76 };            /* of no filter that somebody else put there */
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

/* The handle of the guard (0: not there), and what keeps its place from it. */
typedef struct Place { int index; guint32 handle; char taken[32]; } Place;

static void place_one(struct nlmsghdr *nlh, void *data)
{
    Place *place = data;
    const struct tcmsg *head = nlmsg_data(nlh);
    struct nlattr *tb[TCA_MAX + 1] = { 0 };
    if (nlmsg_parse(nlh, sizeof *head, tb, TCA_MAX, NULL) < 0 || !tb[TCA_KIND])
        return;
    const char *kind = nla_get_string(tb[TCA_KIND]);
    bool first = TC_H_MAJ(head->tcm_info) >> 16 == LINK_PROGRAMS_FIRST && (!tb[TCA_CHAIN] || !nla_get_u32(tb[TCA_CHAIN]));
    if (g_strcmp0(link_bpf_name(nlh), NAME) == 0)
        place->handle = head->tcm_handle;
    else if (nlh->nlmsg_type == RTM_NEWTFILTER && first && (strcmp(kind, "bpf") != 0 || TC_H_MIN(head->tcm_info) != g_htons(ETH_P_ALL)))
        g_snprintf(place->taken, sizeof place->taken, "filter %s", kind);
    /* It takes filters for what leaves, and asks them of what comes in. */
    else if (nlh->nlmsg_type == RTM_NEWQDISC && head->tcm_ifindex == place->index && head->tcm_handle == LINK_CLSACT && strcmp(kind, "clsact") != 0)
        g_snprintf(place->taken, sizeof place->taken, "qdisc %s", kind);
}

static bool place_look(int index, int type, Place *ret, GError **err)
{
    *ret = (Place) { .index = index };
    return link_tc_dump(type, index, type == RTM_GETTFILTER ? LINK_EGRESS : 0, place_one, ret, err);
}

static bool place_free(const char *name, int index, GError **err)
{
    Place place;
    if (!place_look(index, RTM_GETTFILTER, &place, err) || (!*place.taken && !place_look(index, RTM_GETQDISC, &place, err)))
        return false;
    return !*place.taken || nv_fail(err, NV_ERR_HOST_FAULT, "the interface %s has a tc %s where the guard has to be (clsact, egress, preference 1)",
                                    name, place.taken);
}

bool link_guarded(int index)
{
    Place place;
    return !link_guards() || (place_look(index, RTM_GETTFILTER, &place, NULL) && place.handle);
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
    bool there = false;
    int fd = program_peek(flag, &why);
    if (fd >= 0)         /* the place is looked at where somebody made it: the kernel tells of the queues of all interfaces, not of one's */
        return link_ingress_ensure(name, info.index, &there, err) && (!there || place_free(name, info.index, err)) &&
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
    Place place;
    if (!link_guards())
        return true;
    if (!link_need(name, &info, err) || !place_look(info.index, RTM_GETTFILTER, &place, err))
        return false;
    return !place.handle || (link_talk(link_bpf_delete(info.index, LINK_EGRESS, place.handle), "guard of", name, NULL, err) &&
                             link_ingress_idle(name, info.index, err));
}
