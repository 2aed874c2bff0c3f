/* network/agent/driver_bridge.c -- the driver of Linux bridges: netlink for the links, nftables for the rules. */
#include "core/error.h"
#include "core/proc.h"
#include "network/agent/check.h"
#include "network/agent/counters.h"
#include "network/agent/driver.h"
#include "network/agent/nft.h"
#include "network/agent/rules.h"
#include "network/agent/segment.h"
#include <string.h>
#include <unistd.h>

/* Bridged packets must pass the inet tables; each of our bridges asks for it, which needs the module. */
static bool need_br_netfilter(GError **err)
{
    static const char *const modprobe[] = { "modprobe", "br_netfilter", NULL };
    g_autoptr(GError) why = NULL;
    if (access("/proc/sys/net/bridge", F_OK) == 0 || (proc_run(modprobe, NULL, NULL, &why) && access("/proc/sys/net/bridge", F_OK) == 0))
        return true;
    return nv_fail(err, NV_ERR_HOST_FAULT, "security groups need the kernel's br_netfilter: %s", why ? why->message : "it cannot be loaded");
}

static bool start(GError **err)
{
    return need_br_netfilter(err) && rules_start(err);
}

static GArray *macs_of(const char *mac)
{
    GArray *macs = g_array_new(FALSE, FALSE, 6);
    guint8 raw[6];
    if (mac && mac_parse(mac, raw))
        g_array_append_vals(macs, raw, 1);
    return macs;
}

static BridgePort link_flags(const char *mac)
{
    return (BridgePort){ .learning = !mac, .flood = !mac };
}

/* A MAC that is known is where the bridge says, whoever sends from it. */
static bool link_join(const char *link, const char *bridge, const char *mac, GError **err)
{
    BridgePort flags = link_flags(mac);
    g_autoptr(GArray) macs = macs_of(mac);
    return link_guard(link, NFT_MARK, err) && link_enslave(link, bridge, err) && link_bridge_port(link, &flags, err) && link_fdb(link, macs, err);
}

static bool link_joined(const LinkInfo *link, const char *mac)
{
    BridgePort flags = link_flags(mac);
    return link_bridge_port_is(link, &flags) && link_entry_is(link, mac);
}

static bool link_leave(const char *link, GError **err)
{
    (void) link, (void) err;
    return true;                     /* a bridge lets go of a link that is removed */
}

/* The bridge knows where the port's MAC is and learns nothing: frames to others never reach this tap, and the MAC cannot be taken over.
 * A port that may use other MACs, or any, has to be learned and flooded. */
static BridgePort port_flags(const PortSpec *p)
{
    bool open = !p->port_security;
    for (guint i = 0; i < p->pairs->len; i++)
        open |= strcmp(g_array_index(p->pairs, Pair, i).mac, p->mac) != 0;
    return (BridgePort){ .learning = open, .flood = !p->port_security, .locked = !open };
}

static bool port_join(const PortSpec *p, GError **err)
{
    BridgePort flags = port_flags(p), unlocked = { .learning = flags.learning, .flood = flags.flood };
    g_autoptr(GArray) macs = macs_of(p->mac);
    g_autoptr(GError) why = NULL;
    if (!link_guard(p->tap.s, NFT_MARK, err) || !link_enslave(p->tap.s, p->bridge.s, err))
        return false;
    if (!link_bridge_port(p->tap.s, &flags, &why) && !link_bridge_port(p->tap.s, &unlocked, err))
        return false;
    return link_fdb(p->tap.s, macs, err);
}

static bool port_joined(const PortSpec *p, const LinkInfo *tap)
{
    BridgePort flags = port_flags(p);
    return link_bridge_port_is(tap, &flags) && link_entry_is(tap, p->mac);
}

static bool masters(GHashTable *links, GError **err)
{
    static const char *const guarded[] = { "nvt", "nvd", "nvr", "nvx", "nvu" };
    GHashTableIter it;
    gpointer value;
    g_hash_table_iter_init(&it, links);
    /* The kernel told them; one without its guard has to be joined again. */
    while (link_guards() && g_hash_table_iter_next(&it, NULL, &value))
        for (gsize i = 0; i < G_N_ELEMENTS(guarded); i++)
            if (g_str_has_prefix(((LinkInfo *) value)->name, guarded[i]) && !((LinkInfo *) value)->diverts)
                ((LinkInfo *) value)->master = 0;
    return link_entries(links, err);
}

static bool no(void)
{
    return false;
}

static void look(void)
{
}

const NetDriver driver_bridge = {
    .name = "bridge",
    .start = start,
    .clear = rules_clear,
    .network_rules_ensure = rules_network_ensure,
    .network_rules_absent = rules_network_absent,
    .port_rules_ensure = rules_port_ensure,
    .port_rules_absent = rules_port_absent,
    .group_ensure = rules_group_ensure,
    .group_absent = rules_group_absent,
    .prime = rules_prime,
    .group_counters = counters_read,
    .port_check = check_port,
    .list = rules_list,
    .rebuild = rules_rebuild,
    .bridge_ensure = link_bridge_ensure,
    .bridge_absent = link_absent,
    .link_join = link_join,
    .port_join = port_join,
    .link_joined = link_joined,
    .port_joined = port_joined,
    .segment_ensure = segment_ensure,
    .segment_absent = segment_absent,
    .segment_complete = segment_complete,
    .segment_entries = segment_entries,
    .link_leave = link_leave,
    .masters = masters,
    .wants_plain = no,
    .limits_sent = no,
    .look = look,
};
