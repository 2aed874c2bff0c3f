/* network/agent/ovs_flow_dest.c -- who gets a frame, by its MAC; outputs to one, to all, to those whose MACs nobody knows. */
#include "network/agent/ovs_flow.h"
#include <string.h>

/* reg3 in place of a port: everybody with the combination in reg4; everybody who is not filtered; those whose MACs nobody knows. */
#define FLOOD_COMBO 0xfffd0001u
#define FLOOD_OPEN 0xfffd0002u
#define FLOOD_UNKNOWN 0xfffd0003u
/* DHCP's link and the uplink, which never meet. */
#define FLOOD_SERVICE 0xfffd0004u
#define FLOOD_UPLINK 0xfffd0005u
#define LOCAL 0xfffe

typedef struct Receivers {
    GHashTable *by_mac;              /* MAC → GString: actions that deliver to all who have it */
    GHashTable *combos;              /* combination → GString: its ports' outputs */
    GHashTable *stateful;            /* set of the combinations that are */
    GString *open, *unknown, *service, *uplink;    /* outputs */
} Receivers;

static void string_free(gpointer s)
{
    g_string_free(s, TRUE);
}

static GString *string_of(GHashTable *strings, gpointer key, bool copy)
{
    GString *s = g_hash_table_lookup(strings, key);
    if (!s) {
        s = g_string_new(NULL);
        g_hash_table_insert(strings, copy ? g_strdup(key) : key, s);
    }
    return s;
}

static void deliver(GString *actions, guint32 to, int table)
{
    g_string_append_printf(actions, "%sset_field:0x%x->reg3,resubmit(,%d)", actions->len ? "," : "", to, table);
}

static void deliver_filtered(GString *actions, guint32 to, guint32 combo, bool stateful, guint32 tag)
{
    g_string_append_printf(actions, "%sload:%d->NXM_NX_REG0[%d],set_field:0x%x->reg4,set_field:0x%x->reg6", actions->len ? "," : "", stateful,
                           OVS_BIT_INGRESS, combo, tag);
    deliver(actions, to, OVS_INGRESS);
}

static void add_open(Receivers *r, const char *mac, guint32 ofport, bool any_mac, bool paced)
{
    ovs_flow_output(r->open, ofport, paced);
    if (any_mac)
        ovs_flow_output(r->unknown, ofport, paced);
    if (*mac)
        deliver(string_of(r->by_mac, (gpointer) mac, true), ofport, OVS_COMMIT);
}

static void add_port(Receivers *r, const OvsNet *net, const OvsPort *port)
{
    const PortSpec *p = port->spec;
    guint32 combo = ovs_combo_of(net, p);
    bool stateful = ovs_is_stateful(net, p);
    if (!p->port_security) {
        add_open(r, p->mac, (guint32) port->ofport, true, ovs_is_paced(p));
        return;
    }
    g_autoptr(GPtrArray) macs = ovs_macs_of(p);
    /* A MAC of pairs may be another port's too: each of them may answer. */
    for (guint i = 0; i < macs->len; i++)
        deliver_filtered(string_of(r->by_mac, macs->pdata[i], true), (guint32) port->ofport, combo, stateful, i ? 0 : ovs_tag_of(p));
    ovs_flow_output(string_of(r->combos, GUINT_TO_POINTER(combo), false), (guint32) port->ofport, ovs_is_paced(p));
    if (stateful)
        g_hash_table_add(r->stateful, GUINT_TO_POINTER(combo));
}

/* Another host's ports: each by its MAC, and none by flooding. */
static void add_peers(Receivers *r, const Segment *s, guint32 ofport)
{
    for (guint i = 0; i < s->peers->len; i++) {
        const PortSpec *p = g_array_index(s->peers, Peer, i).port;
        g_autoptr(GPtrArray) macs = ovs_macs_of(p);
        for (guint k = 0; k < macs->len; k++)
            deliver(string_of(r->by_mac, macs->pdata[k], true), ofport, OVS_COMMIT);
    }
}

/* DHCP hears clients' ports only: in what comes from another, nobody has looked at the hardware address or the pace.  By IPv6 a client asks from its
 * link-local address (RFC 8415 17.1), whose MAC dnsmasq has not to ask for. */
static void put_heard(GHashTable *f, guint32 to, guint32 ofport)
{
    ovs_flow_put(f, OVS_OUTPUT, 30, "drop", "reg3=0x%x,udp,tp_dst=67", to);
    ovs_flow_put(f, OVS_OUTPUT, 30, "drop", "reg3=0x%x,udp6,tp_dst=547", to);
    g_autofree char *output = g_strdup_printf("output:%u", ofport);
    ovs_flow_put(f, OVS_OUTPUT, 31, output, "reg3=0x%x,udp,tp_src=68,tp_dst=67", to);
    ovs_flow_put(f, OVS_OUTPUT, 31, output, "reg3=0x%x,udp6,ipv6_src=fe80::/10,tp_src=546,tp_dst=547", to);
}

static void add_link(GHashTable *f, Receivers *r, const OvsNet *net, const OvsLink *link)
{
    guint32 ofport = (guint32) link->ofport;
    switch (ovs_link_kind(net, link)) {
    case OVS_LINK_TUNNEL:
        add_peers(r, net->segment, ofport);
        ovs_flow_to_tunnel(f, net, link->ofport);
        break;
    case OVS_LINK_UPLINK:
        ovs_flow_output(r->uplink, ofport, false);
        ovs_flow_output(r->unknown, ofport, false);
        break;
    case OVS_LINK_SERVICE:
        ovs_flow_output(r->service, ofport, false);
        put_heard(f, ofport, ofport);
        put_heard(f, FLOOD_SERVICE, ofport);
        if (!*link->mac)
            break;
        deliver(string_of(r->by_mac, (gpointer) link->mac, true), ofport, OVS_COMMIT);
        if (ovs_has_uplink(net))
            ovs_flow_put(f, OVS_DEST, 55, "drop", "reg0=0x%x/0x%x,dl_dst=%s", 1 << OVS_BIT_UPLINK, 1 << OVS_BIT_UPLINK, link->mac);
        break;
    case OVS_LINK_OTHER:
        add_open(r, link->mac, ofport, !*link->mac, false);
    }
}

static gint by_number(gconstpointer a, gconstpointer b)
{
    guint x = GPOINTER_TO_UINT(a), y = GPOINTER_TO_UINT(b);
    return x < y ? -1 : x > y;
}

static void put_flood(GHashTable *f, GString *actions, GString *outputs, guint32 code)
{
    if (!outputs->len)
        return;
    deliver(actions, code, OVS_COMMIT);
    ovs_flow_put(f, OVS_OUTPUT, 20, outputs->str, "reg3=0x%x", code);
}

/* With an uplink: what is DHCP's own stays on this host, and what comes from without does not reach it. */
static void put_apart(GHashTable *f, const Receivers *r, const char *guests, const char *guests_and_service)
{
    static const char all[] = "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00";
    const char *nobody = *guests ? guests : "drop";
    ovs_flow_put(f, OVS_DEST, 45, nobody, "reg0=0x%x/0x%x,%s", 1 << OVS_BIT_SERVICE, 1 << OVS_BIT_SERVICE, all);
    ovs_flow_put(f, OVS_DEST, 45, nobody, "reg0=0x%x/0x%x,%s", 1 << OVS_BIT_UPLINK, 1 << OVS_BIT_UPLINK, all);
    ovs_flow_put(f, OVS_DEST, 5, "drop", "reg0=0x%x/0x%x", 1 << OVS_BIT_SERVICE, 1 << OVS_BIT_SERVICE);
    if (r->service->len) {
        ovs_flow_put(f, OVS_DEST, 44, guests_and_service, "%s,udp,tp_src=68,tp_dst=67", all);
        ovs_flow_put(f, OVS_DEST, 44, guests_and_service, "%s,udp6,tp_src=546,tp_dst=547", all);
    }
}

static void put_receivers(GHashTable *f, const OvsNet *net, Receivers *r)
{
    g_autoptr(GString) everybody = g_string_new(NULL);
    g_autoptr(GList) combos = g_list_sort(g_hash_table_get_keys(r->combos), by_number);
    GHashTableIter it;
    gpointer key, value;
    g_hash_table_iter_init(&it, r->by_mac);
    while (g_hash_table_iter_next(&it, &key, &value))
        ovs_flow_put(f, OVS_DEST, 50, ((GString *) value)->str, "dl_dst=%s", (char *) key);
    put_flood(f, everybody, r->open, FLOOD_OPEN);
    for (GList *c = combos; c; c = c->next) {
        deliver_filtered(everybody, FLOOD_COMBO, GPOINTER_TO_UINT(c->data), g_hash_table_contains(r->stateful, c->data), 0);
        ovs_flow_put(f, OVS_OUTPUT, 20, ((GString *) g_hash_table_lookup(r->combos, c->data))->str, "reg3=0x%x,reg4=0x%x", FLOOD_COMBO,
                     GPOINTER_TO_UINT(c->data));
    }
    g_autofree char *guests = g_strdup(everybody->str);
    put_flood(f, everybody, r->service, FLOOD_SERVICE);
    if (ovs_has_uplink(net))
        put_apart(f, r, guests, everybody->str);
    put_flood(f, everybody, r->uplink, FLOOD_UPLINK);
    ovs_flow_put(f, OVS_DEST, 40, everybody->len ? everybody->str : "drop", "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00");
    g_autoptr(GString) unknown = g_string_new(NULL);
    put_flood(f, unknown, r->unknown, FLOOD_UNKNOWN);
    if (unknown->len)
        ovs_flow_put(f, OVS_DEST, 0, unknown->str, "%s", "");
    ovs_flow_put(f, OVS_OUTPUT, 0, "output:NXM_NX_REG3[0..15]", "%s", "");
}

void ovs_flow_destinations(GHashTable *f, const OvsNet *net)
{
    g_autoptr(GHashTable) by_mac = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, string_free);
    g_autoptr(GHashTable) combos = g_hash_table_new_full(NULL, NULL, NULL, string_free);
    g_autoptr(GHashTable) stateful = g_hash_table_new(NULL, NULL);
    g_autoptr(GString) open = g_string_new(NULL), unknown = g_string_new(NULL), service = g_string_new(NULL), uplink = g_string_new(NULL);
    Receivers r = { by_mac, combos, stateful, open, unknown, service, uplink };
    for (guint i = 0; i < net->links->len; i++)
        add_link(f, &r, net, net->links->pdata[i]);
    if (net->gateway)
        add_open(&r, net->mac, LOCAL, false, false);
    for (guint i = 0; i < net->ports->len; i++)
        add_port(&r, net, net->ports->pdata[i]);
    for (guint i = 0; i < net->ports->len; i++)
        ovs_flow_received(f, net->ports->pdata[i]);
    put_receivers(f, net, &r);
}
