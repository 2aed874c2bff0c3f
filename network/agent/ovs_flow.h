/* network/agent/ovs_flow.h -- the OpenFlow flows of one network's bridge as text: pure functions of specs (golden files in tests/golden/ovs).
 *
 * table 0 port     whose frame it is: in_port and MAC, untagged; reg2: the sender's combination of groups
 *       1 guard    what no guest may send: DHCP and router advertisements of its own, fragments and odd headers of neighbour discovery
 *       2 source   addresses in ARP, IPv4 and neighbour discovery are the port's    3 source6  the IPv6 source is the port's
 *       4 track    conntrack in the network's zone
 *       5 egress   the sender's groups: replies pass, all else must match a rule
 *       6 dest     who gets it, by MAC; reg3: the OpenFlow port, or one of FLOOD_*; reg4: the receiver's combination
 *       7 ingress  the receiver's groups: ARP and IP without a tag only    8 commit  the connection is remembered    9 output
 *      10 rate, 11 packets  the meters of what a limited port sends    12 mark  its DSCP; back to 1 or 4    13 received  the meter before an output
 * A rule is asked for each packet in a connection's original direction; when none allows it any more, the connection gets ct_mark 1 and its
 * replies are dropped too.  ct_label holds the ports of both ends (tags, from reg5 and reg6): only they have replies.  So a narrower rule
 * ends what it had allowed, and a port with the address of one that went has none of its connections, without conntrack being flushed. */
#pragma once
#include "network/agent/spec.h"

enum { OVS_PORT, OVS_GUARD, OVS_SOURCE, OVS_SOURCE6, OVS_TRACK, OVS_EGRESS, OVS_DEST, OVS_INGRESS, OVS_COMMIT, OVS_OUTPUT,
       OVS_SENT_RATE, OVS_SENT_PACKETS, OVS_SENT_MARK, OVS_RECEIVED };
/* The flows by which a security group's rule accepts have its 12 digits behind that instead: their counters are the rule's. */
#define OVS_COOKIE "0x4e75766f6c6574"
#define OVS_COOKIE_OF_RULE "0x4e76"

/* A guest's tap.  tags (of int, or NULL): its frames with these are a trunk's subports', whose own links carry them. */
typedef struct OvsPort { PortSpec *spec; int ofport; GArray *tags; } OvsPort;
typedef struct OvsLink { IfName name; char mac[18]; int ofport; } OvsLink;  /* DHCP, router; mac: "" where not known */
typedef struct OvsNet {
    Id12 n;
    IfName bridge;
    char mac[18];                    /* of the bridge's own interface */
    int zone;
    bool gateway;                    /* the host has addresses on the network */
    bool served;                     /* DHCP is ours */
    const Segment *segment;          /* what carries it beyond this host; NULL: nothing */
    GPtrArray *ports, *links;        /* OvsPort, OvsLink */
    GHashTable *groups;              /* n → GroupSpec; may lack some, which then allow nothing */
} OvsNet;

/* packets: rate and burst are packets, else kilobits. */
typedef struct OvsMeter { int id, packets; guint32 rate, burst; } OvsMeter;
/* What the port's flows name (array of OvsMeter): there before them, gone after them. */
GArray *ovs_meters(const OvsPort *port);

/* All flows of the bridge: "table=…,priority=…,match" → cookie and actions.  Free with g_hash_table_unref. */
GHashTable *ovs_flows(const OvsNet *net);
/* Lines of a flow file, sorted; of all flows. */
char *ovs_flows_text(GHashTable *flows);
/* What turns the flows old into now, as lines with their command; NULL where nothing differs. */
char *ovs_flows_difference(GHashTable *old, GHashTable *now);
/* NV_ERR_HOST_FAULT for rules that OpenFlow has no match for. */
bool ovs_group_check(const GroupSpec *g, GError **err);

/* --- between the files ovs_flow*.c --- */

/* reg0: a frame from no guest, or from a port without port security; a sender, a receiver with stateful groups; from DHCP's link, from an uplink. */
enum { OVS_BIT_TRUSTED, OVS_BIT_EGRESS, OVS_BIT_INGRESS, OVS_BIT_SERVICE, OVS_BIT_UPLINK };
typedef enum { OVS_LINK_OTHER, OVS_LINK_SERVICE, OVS_LINK_TUNNEL, OVS_LINK_UPLINK } OvsLinkKind;
OvsLinkKind ovs_link_kind(const OvsNet *net, const OvsLink *link);
bool ovs_has_uplink(const OvsNet *net);
void ovs_flow_from_segment(GHashTable *flows, const OvsNet *net, const OvsLink *link);
void ovs_flow_to_tunnel(GHashTable *flows, const OvsNet *net, int ofport);
/* The addresses that the port may send from, in tables source and source6. */
void ovs_flow_sources(GHashTable *flows, const OvsPort *port);

G_GNUC_PRINTF(5, 6) void ovs_flow_put(GHashTable *flows, int table, int priority, const char *actions, const char *match, ...);
/* The number of the port's combination of groups. */
guint32 ovs_combo_of(const OvsNet *net, const PortSpec *p);
/* What a connection remembers of a port. */
guint32 ovs_tag_of(const PortSpec *p);
/* All MACs the port may use, borrowed: its own, then those of pairs. */
GPtrArray *ovs_macs_of(const PortSpec *p);
/* The way of what the port sends through its meters and its mark: the table to begin with, next where it has none. */
int ovs_flow_sent(GHashTable *flows, const OvsPort *port, int next);
/* Appends an output to a list of actions.  paced: through the port's meter; what that drops, the others in the list get all the same: it is metered
 * in a clone, which Open vSwitch makes only where something in it cannot be undone, as a limit of the length is. */
void ovs_flow_output(GString *actions, guint32 ofport, bool paced);
bool ovs_is_paced(const PortSpec *p);
void ovs_flow_received(GHashTable *flows, const OvsPort *port);
/* Tables dest and output. */
void ovs_flow_destinations(GHashTable *flows, const OvsNet *net);
void ovs_flow_put_rule(GHashTable *flows, const GroupRule *r, int table, int priority, const char *actions, const char *match);
/* The rules of the port's groups in one direction, for the combination with that number in reg. */
void ovs_flow_groups(GHashTable *flows, const OvsNet *net, const PortSpec *p, guint32 combo, bool ingress);
/* Stateless only where every group says so. */
bool ovs_is_stateful(const OvsNet *net, const PortSpec *p);
