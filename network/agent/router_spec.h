/* network/agent/router_spec.h -- the arguments of router.ensure as typed values. */
#pragma once
#include "network/agent/spec.h"

typedef struct RouterRa { Cidr prefix; RaMode mode; } RouterRa;      /* a prefix to announce */
typedef struct RouterPort {
    Id12 n, network;                 /* of the port, of its network */
    IfName link, inner, bridge;      /* on the bridge; inside the namespace; the bridge */
    char mac[18];
    gint64 mtu;
    GArray *addresses;               /* Cidr with host bits */
    GArray *subnets;                 /* Cidr: all of the network, also those that the router has no address of */
    GArray *ra;                      /* RouterRa */
} RouterPort;
typedef struct RouterFloating { Ip external, fixed; } RouterFloating;
/* Ports external_first … external_last go to internal_first … in the same order, or all to that one. */
typedef struct RouterForwarding { Ip external, internal; bool udp, all_to_one; int external_first, external_last, internal_first; } RouterForwarding;
typedef struct RouterRoute { Cidr destination; Ip nexthop; } RouterRoute;

typedef struct RouterSpec {
    char id[37];
    Id12 n;
    NsName netns;
    GPtrArray *ports;                /* RouterPort: the interfaces, and last the gateway, if there is one */
    RouterPort *gateway;             /* borrowed from ports, or NULL */
    GArray *nexthops;                /* Ip: default routes */
    bool snat, up;
    GArray *floating;                /* RouterFloating; an external and a fixed address occur once */
    GArray *forwardings;             /* RouterForwarding; without overlaps */
    GArray *routes;                  /* RouterRoute */
} RouterSpec;

/* NULL with NV_ERR_INVALID naming the member. */
RouterSpec *router_spec_parse(const json_t *args, GError **err);
void router_spec_free(RouterSpec *r);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RouterSpec, router_spec_free)

RouterPort *router_port_new(void);
void router_port_free(gpointer port);
/* The member "ra" of an interface. */
bool router_ra_parse(const json_t *array, RouterPort *p, GError **err);

/* The internal port of an external one. */
int router_forwarding_port(const RouterForwarding *f, int external);
/* The first IPv4 address of the gateway: what traffic on its way out is translated to.  False: there is none. */
bool router_spec_source(const RouterSpec *r, Ip *ret_ip);
/* All addresses at the gateway's link: its own with their prefixes, floating and forwarded ones as single addresses. */
GArray *router_spec_externals(const RouterSpec *r);
