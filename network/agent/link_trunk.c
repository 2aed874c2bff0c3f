/* network/agent/link_trunk.c -- VLAN tags of trunks: taken off and put on by small programs at the links, so that no VLAN module is needed. */
#include "network/agent/link_bpf.h"
#include "network/agent/link_netlink.h"
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <string.h>
#include <unistd.h>

bool link_pair_ensure(const char *name, const char *inner, gint64 mtu, GError **err)
{
    struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
    if (!if_nametoindex(name) || !if_nametoindex(inner)) {
        if (!link_absent(name, err) || !link_absent(inner, err))
            return false;
        Msg *msg = nlmsg_alloc_simple(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
        nlmsg_append(msg, &head, sizeof head, NLMSG_ALIGNTO);
        nla_put_string(msg, IFLA_IFNAME, name);
        struct nlattr *info = nla_nest_start(msg, IFLA_LINKINFO);
        nla_put_string(msg, IFLA_INFO_KIND, "veth");
        struct nlattr *data = nla_nest_start(msg, IFLA_INFO_DATA), *peer = nla_nest_start(msg, VETH_INFO_PEER);
        nlmsg_append(msg, &head, sizeof head, NLMSG_ALIGNTO);
        nla_put_string(msg, IFLA_IFNAME, inner);
        nla_nest_end(msg, peer);
        nla_nest_end(msg, data);
        nla_nest_end(msg, info);
        if (!link_talk(msg, "subport", name, NULL, err))
            return false;
    }
    return link_mtu(name, mtu, err) && link_mtu(inner, mtu, err);
}

/* --- the programs --- */

/* At the parent's tap: frames with the tag lose it and go to the subport; all others go on. */
static int untag_program(int vlan, int to, GError **err)
{
    const struct bpf_insn code[] = {
        MOVE(BPF_REG_6, BPF_REG_1),
        LOAD(BPF_REG_0, BPF_REG_6, vlan_present),
        SKIP_UNLESS(BPF_REG_0, 1, 11),
        LOAD(BPF_REG_0, BPF_REG_6, vlan_proto),
        SKIP_UNLESS(BPF_REG_0, g_htons(ETH_P_8021Q), 9),
        LOAD(BPF_REG_0, BPF_REG_6, vlan_tci),
        AND(BPF_REG_0, 0xfff),
        SKIP_UNLESS(BPF_REG_0, vlan, 6),
        MOVE(BPF_REG_1, BPF_REG_6),
        CALL(BPF_FUNC_skb_vlan_pop),
        SET(BPF_REG_1, to),
        SET(BPF_REG_2, 0),
        CALL(BPF_FUNC_redirect),
        RETURN,
        SET(BPF_REG_0, TC_ACT_UNSPEC),
        RETURN,
    };
    return link_bpf_load(BPF_PROG_TYPE_SCHED_CLS, code, G_N_ELEMENTS(code), "a trunk's program", err);
}

/* At the subport's end: everything gets the tag and goes to the guest. */
static int tag_program(int vlan, int to, GError **err)
{
    const struct bpf_insn code[] = {
        SET(BPF_REG_2, g_htons(ETH_P_8021Q)),
        SET(BPF_REG_3, vlan),
        CALL(BPF_FUNC_skb_vlan_push),
        SET(BPF_REG_1, to),
        SET(BPF_REG_2, 0),
        CALL(BPF_FUNC_redirect),
        RETURN,
    };
    return link_bpf_load(BPF_PROG_TYPE_SCHED_CLS, code, G_N_ELEMENTS(code), "a trunk's program", err);
}

/* --- where they are --- */

/* A program's name tells all that it does. */
static char *program_name(const char *owner, int vlan, int to)
{
    return g_strdup_printf("%s.%d.%d", owner, vlan, to);
}

typedef struct Found { const char *prefix; GArray *handles; GPtrArray *names; } Found;

static void found_one(struct nlmsghdr *nlh, void *data)
{
    const Found *f = data;
    const struct tcmsg *head = nlmsg_data(nlh);
    const char *name = link_bpf_name(nlh);
    if (!name || !g_str_has_prefix(name, f->prefix))
        return;
    g_array_append_val(f->handles, head->tcm_handle);
    g_ptr_array_add(f->names, g_strdup(name));
}

static void found_done(Found *f)
{
    g_array_unref(f->handles);
    g_ptr_array_unref(f->names);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Found, found_done)

/* Programs at an interface whose name begins with prefix. */
static bool find(int index, const char *prefix, Found *ret, GError **err)
{
    *ret = (Found) { prefix, g_array_new(FALSE, FALSE, sizeof(guint32)), g_ptr_array_new_with_free_func(g_free) };
    return link_tc_dump(RTM_GETTFILTER, index, LINK_INGRESS, found_one, ret, err);
}

static bool is_there(int index, const char *name)
{
    g_auto(Found) f;
    if (!find(index, name, &f, NULL))
        return false;
    for (guint i = 0; i < f.names->len; i++)
        if (strcmp(f.names->pdata[i], name) == 0)
            return true;
    return false;
}

static bool attach(const char *link, int index, guint32 handle, const char *name, int program, GError **err)
{
    if (program < 0)
        return false;
    bool ok = link_talk(link_bpf_put(index, LINK_INGRESS, handle, program, name), "trunk at", link, NULL, err);
    close(program);
    return ok;
}

/* Programs of the owner but the one to keep (NULL: none). */
static bool detach(const char *link, int index, const char *owner, const char *keep, GError **err)
{
    static const int gone[] = { NLE_OBJ_NOTFOUND, NLE_INVAL, 0 };
    g_autofree char *prefix = g_strconcat(owner, ".", NULL);
    g_auto(Found) f;
    if (!find(index, prefix, &f, err))
        return false;
    for (guint i = 0; i < f.names->len; i++)
        if (g_strcmp0(f.names->pdata[i], keep) != 0
            && !link_talk(link_bpf_delete(index, LINK_INGRESS, g_array_index(f.handles, guint32, i)), "trunk at", link, gone, err))
            return false;
    return true;
}

bool link_tag_ensure(const char *tap, const char *inner, const char *owner, int vlan, GError **err)
{
    LinkInfo t, s;
    if (!link_need(tap, &t, err) || !link_need(inner, &s, err))
        return false;
    g_autofree char *off = program_name(owner, vlan, s.index), *on = program_name(owner, vlan, t.index);
    if (!link_ingress_ensure(tap, t.index, NULL, err) || !link_ingress_ensure(inner, s.index, NULL, err) || !detach(tap, t.index, owner, off, err))
        return false;
    return (is_there(t.index, off) || attach(tap, t.index, (guint32) vlan, off, untag_program(vlan, s.index, err), err))
        && (is_there(s.index, on) || attach(inner, s.index, 1, on, tag_program(vlan, t.index, err), err));
}

bool link_tag_absent(const char *owner, GError **err)
{
    g_autoptr(GArray) list = link_list("nvt", err);
    g_autoptr(GHashTable) links = list ? g_hash_table_new(g_str_hash, g_str_equal) : NULL;
    for (guint i = 0; list && i < list->len; i++) {
        LinkInfo *info = &g_array_index(list, LinkInfo, i);
        g_hash_table_insert(links, info->name, info);
    }
    if (!links || !link_shapers(links, err))
        return false;
    for (guint i = 0; i < list->len; i++) {
        const LinkInfo *info = &g_array_index(list, LinkInfo, i);
        if (info->diverts && (!detach(info->name, info->index, owner, NULL, err) || !link_ingress_idle(info->name, info->index, err)))
            return false;
    }
    return true;
}

bool link_tagged(int tap, int inner, const char *owner, int vlan)
{
    g_autofree char *off = program_name(owner, vlan, inner), *on = program_name(owner, vlan, tap);
    return is_there(tap, off) && is_there(inner, on);
}
