/* network/agent/spec.h -- the arguments of network, group and port verbs as typed values: nothing of a tenant's text goes further. */
#pragma once
#include "core/id.h"
#include "core/ip.h"
#include "core/json.h"

typedef struct Pair { Cidr cidr; char mac[18]; } Pair;   /* an allowed address pair */

/* Limits of one direction; 0: none.  egress: what the guest sends. */
typedef struct Limits { gint64 kbps, burst_kb, pps, pps_burst, min_kbps; /* promised; egress only */ } Limits;
typedef struct QosSpec { Limits egress, ingress; int dscp; /* -1: unmarked */ } QosSpec;

typedef struct PortSpec {
    char id[37];
    Id12 n, network;                 /* of the port, of its network */
    IfName tap, bridge;
    char mac[18];
    gint64 mtu;
    GArray *addresses;               /* Ip */
    GArray *pairs;                   /* Pair */
    GArray *groups;                  /* Id12 */
    QosSpec qos;
    char physical[65];               /* the physical network that qos.egress.min_kbps is promised on */
    IfName parent;                   /* tap of the trunk's parent that a subport belongs to; empty: a port with a tap of its own */
    int vlan;                        /* the subport's tag there */
    bool port_security, up;
    json_t *args;                    /* what it was made of */
} PortSpec;

typedef struct GroupRule {
    bool ingress;
    int version;                     /* 4 or 6 */
    int protocol, port_min, port_max;    /* -1: not given; for ICMP: type and code */
    bool has_cidr, has_group;
    Cidr cidr;
    Id12 group;
    Id12 id;                         /* last: two rules that allow the same are the same up to here */
} GroupRule;
typedef struct GroupSpec {
    Id12 n;
    bool stateful;
    GArray *rules;                   /* GroupRule */
    GArray *members;                 /* Cidr, of both versions */
    json_t *args;                    /* what it was made of */
} GroupSpec;

typedef struct DhcpOption { char name[40]; char *value; int version; } DhcpOption;
typedef struct DhcpPort { Id12 n; char mac[18]; char hostname[64]; GArray *ips; GArray *options; } DhcpPort;
typedef struct DhcpRoute { Cidr destination; Ip nexthop; } DhcpRoute;
typedef enum { RA_NONE, RA_SLAAC, RA_STATELESS, RA_STATEFUL } RaMode;
typedef struct DhcpSubnet { Id12 n; Cidr cidr; bool has_gateway; Ip gateway; GArray *dns; GArray *routes; RaMode mode; } DhcpSubnet;
/* What carries a network beyond this host. */
typedef enum { SEGMENT_NONE, SEGMENT_VXLAN, SEGMENT_FLAT, SEGMENT_VLAN } SegmentType;
/* A port on another host: port.tap is the VXLAN device, and its addresses and pairs are what it may send from; any: from whatever it likes. */
typedef struct Peer { Ip remote; bool any; PortSpec *port; } Peer;
typedef struct Segment {
    SegmentType type;
    guint32 vni;
    Ip local;
    guint16 udp_port;
    GArray *peers;                   /* Peer */
    GPtrArray *routers;              /* RouterPort of those peers whose router advertises prefixes: this host's guests are told here */
    char interface[16];              /* of the host: under the VLAN interface, or itself joined to the bridge */
    int vlan;
    IfName link;                     /* what is joined to the bridge */
} Segment;

typedef struct NetworkSpec {
    char id[37];
    Id12 n;
    IfName bridge, veth;
    NsName netns;
    gint64 mtu;
    int zone;
    GArray *host_addresses;          /* Cidr with host bits */
    GArray *nat;                     /* Cidr */
    bool has_dhcp;
    char dhcp_mac[18];
    char domain[254];
    GArray *dhcp_addresses;          /* Cidr with host bits */
    GPtrArray *ports;                /* DhcpPort, in the order given */
    GPtrArray *subnets;              /* DhcpSubnet */
    Segment segment;
    json_t *args;                    /* what it was made of */
    bool switched;                   /* the flows of a switch judge what the host routes to it, not nftables */
} NetworkSpec;

/* NULL with NV_ERR_INVALID naming the member. */
/* Without addresses, pairs and groups. */
PortSpec *spec_port_new(void);
/* The members "pairs" and "groups", and "addresses" under that name, of a port whose MAC is known. */
bool spec_port_lists(const json_t *args, const char *addresses, PortSpec *p, GError **err);
PortSpec *spec_port_parse(const json_t *args, GError **err);
void spec_port_free(PortSpec *p);
GroupSpec *spec_group_parse(const json_t *args, GError **err);
void spec_group_free(GroupSpec *g);
NetworkSpec *spec_network_parse(const json_t *args, GError **err);
void spec_network_free(NetworkSpec *n);
/* network.ensure's member "segment"; NV_ERR_HOST_FAULT where this host is not on the physical network. */
bool spec_segment_parse(const json_t *segment, NetworkSpec *n, GError **err);
void spec_segment_clear(Segment *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PortSpec, spec_port_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GroupSpec, spec_group_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NetworkSpec, spec_network_free)

/* Single values, for the parsers of other verbs too; what names the member in the error. */
bool spec_get_id12(const json_t *v, const char *what, Id12 *ret, GError **err);
bool spec_get_ip(const json_t *v, const char *what, Ip *ret, GError **err);
/* An address counts as a prefix of its whole length; strict: no host bits. */
bool spec_get_cidr(const json_t *v, bool strict, const char *what, Cidr *ret, GError **err);
bool spec_get_mac(const json_t *v, const char *what, char ret[18], GError **err);
bool spec_get_mtu(const json_t *args, gint64 *ret, GError **err);
/* Fills list (of Ip, or of Cidr) from an array of texts. */
bool spec_get_ips(const json_t *array, const char *what, GArray *list, GError **err);
bool spec_get_cidrs(const json_t *array, bool strict, const char *what, GArray *list, GError **err);
