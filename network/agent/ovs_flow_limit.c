/* network/agent/ovs_flow_limit.c -- a port's limits and marks: OpenFlow meters, and the flows that lead through them. */
#include "network/agent/ovs_flow.h"

enum { DHCP_RATE = 10, DHCP_BURST = 40, LEAST_BURST = 262, LEAST_PACKETS = 10, WHOLE_FRAME = 1 << 20 };
/* A port's meters have the number of its OpenFlow port, which is smaller than 65536, and one of these above it. */
enum { METER_DHCP, METER_RATE = 1 << 16, METER_SENT = 2 << 16, METER_RECEIVED = 3 << 16 };

static guint32 number(gint64 n)
{
    return (guint32) CLAMP(n, 1, G_MAXUINT32);
}

/* Unlike a shaper a meter lets nothing wait.  TCP that has lost the end of a burst is silent for 0.2 s: a bucket that is full sooner would cost it
 * most of its rate, so a burst is never less than a quarter of a second's, and 0.8 of a second's where none was asked for. */
static OvsMeter rate_meter(int id, const Limits *l)
{
    gint64 burst = l->burst_kb ? MAX(l->burst_kb, l->kbps / 4) : l->kbps * 8 / 10;
    return (OvsMeter){ id, false, number(l->kbps), number(MAX(burst, LEAST_BURST)) };
}

static OvsMeter packet_meter(int id, const Limits *l)
{
    return (OvsMeter){ id, true, number(l->pps), number(l->pps_burst ? l->pps_burst : MAX(l->pps / 10, LEAST_PACKETS)) };
}

GArray *ovs_meters(const OvsPort *port)
{
    GArray *meters = g_array_new(FALSE, TRUE, sizeof(OvsMeter));
    const PortSpec *p = port->spec;
    const OvsMeter dhcp = { port->ofport | METER_DHCP, true, DHCP_RATE, DHCP_BURST };
    const OvsMeter rate = rate_meter(port->ofport | METER_RATE, &p->qos.egress);
    const OvsMeter sent = packet_meter(port->ofport | METER_SENT, &p->qos.egress);
    const OvsMeter received = packet_meter(port->ofport | METER_RECEIVED, &p->qos.ingress);
    if (p->port_security)
        g_array_append_val(meters, dhcp);
    if (p->qos.egress.kbps)
        g_array_append_val(meters, rate);
    if (p->qos.egress.pps)
        g_array_append_val(meters, sent);
    if (p->qos.ingress.pps)
        g_array_append_val(meters, received);
    return meters;
}

static void put_meter(GHashTable *f, int table, int meter, const char *then, const char *match)
{
    g_autofree char *actions = g_strdup_printf("meter:%d%s", meter, then);
    ovs_flow_put(f, table, 10, actions, "%s", match);
}

int ovs_flow_sent(GHashTable *f, const OvsPort *port, int next)
{
    static const char *const ip_kinds[] = { "ip", "ipv6" };
    const QosSpec *q = &port->spec->qos;
    if (!q->egress.kbps && !q->egress.pps && q->dscp < 0)
        return next;
    g_autofree char *match = g_strdup_printf("in_port=%d", port->ofport), *go = g_strdup_printf("resubmit(,%d)", next);
    g_autofree char *mark = g_strdup_printf("set_field:%d->ip_dscp,%s", q->dscp, go);
    /* A flow has one meter at most, so each has a table. */
    ovs_flow_put(f, OVS_SENT_RATE, 0, "goto_table:11", "%s", "");
    ovs_flow_put(f, OVS_SENT_PACKETS, 0, "goto_table:12", "%s", "");
    if (q->egress.kbps)
        put_meter(f, OVS_SENT_RATE, port->ofport | METER_RATE, ",goto_table:11", match);
    if (q->egress.pps)
        put_meter(f, OVS_SENT_PACKETS, port->ofport | METER_SENT, ",goto_table:12", match);
    ovs_flow_put(f, OVS_SENT_MARK, 10, go, "%s", match);
    for (gsize i = 0; q->dscp >= 0 && i < G_N_ELEMENTS(ip_kinds); i++)
        ovs_flow_put(f, OVS_SENT_MARK, 20, mark, "%s,%s", match, ip_kinds[i]);
    return OVS_SENT_RATE;
}

void ovs_flow_output(GString *list, guint32 ofport, bool paced)
{
    const char *comma = list->len ? "," : "";
    if (paced)
        g_string_append_printf(list, "%sclone(set_field:0x%x->reg7,resubmit(,%d),output(port=%u,max_len=%d))", comma, ofport, OVS_RECEIVED, ofport,
                               WHOLE_FRAME);
    else
        g_string_append_printf(list, "%soutput:%u", comma, ofport);
}

bool ovs_is_paced(const PortSpec *p)
{
    return p->qos.ingress.pps > 0;
}

void ovs_flow_received(GHashTable *f, const OvsPort *port)
{
    g_autofree char *match = g_strdup_printf("reg7=0x%x", (guint) port->ofport);
    g_autoptr(GString) output = g_string_new(NULL);
    if (!ovs_is_paced(port->spec))
        return;
    ovs_flow_output(output, (guint32) port->ofport, true);
    ovs_flow_put(f, OVS_OUTPUT, 10, output->str, "reg3=0x%x", (guint) port->ofport);
    put_meter(f, OVS_RECEIVED, port->ofport | METER_RECEIVED, "", match);
}
