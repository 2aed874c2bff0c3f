/* network/agent/driver.h -- what differs between Linux bridges and Open vSwitch, as one struct of functions; chosen by network.driver. */
#pragma once
#include "network/agent/link.h"
#include "network/agent/spec.h"

/* Bridges have the same names with every driver, and are interfaces of the host.  Every function may be called again with the same. */
typedef struct NetDriver {
    const char *name;
    /* Once, before verbs are served: takes over what an earlier agent left. */
    bool (*start)(GError **err);
    /* Nothing of the rules is left; after the last network and port. */
    bool (*clear)(GError **err);

    /* Rules: which packets pass.  A port's rules are in force before it is joined to its bridge. */
    bool (*network_rules_ensure)(const NetworkSpec *n, GError **err);
    bool (*network_rules_absent)(const char *n, GError **err);
    bool (*port_rules_ensure)(PortSpec *spec_stolen, GError **err);
    bool (*port_rules_absent)(const char *n, GError **err);
    bool (*group_ensure)(GroupSpec *spec_stolen, GError **err);
    bool (*group_absent)(const char *n, GError **err);
    /* Adds what the group's rules have let through (network/agent/counters.h). */
    bool (*group_counters)(const char *n, GHashTable *sums, GError **err);
    /* Compares a port with the kernel (network/agent/check.h); NULL: cannot. */
    bool (*port_check)(const PortSpec *p, json_t *missing, json_t *rules, GError **err);
    /* 12-digit names of ports and groups that have rules. */
    bool (*list)(GHashTable *ports, GHashTable *groups, GError **err);
    /* A host's first rules, all at once (network/agent/rules.h); NULL: one by one is as good. */
    bool (*prime)(GPtrArray *group_specs, GPtrArray *port_specs, GError **err);
    /* Everything anew: somebody else changed the rules. */
    bool (*rebuild)(GError **err);

    /* Links. */
    bool (*bridge_ensure)(const char *bridge, const char *mac, gint64 mtu, GError **err);
    bool (*bridge_absent)(const char *bridge, GError **err);
    /* Joins a link that is no guest's (DHCP, router) to the bridge.  mac: of the other end; NULL: not known. */
    bool (*link_join)(const char *link, const char *bridge, const char *mac, GError **err);
    /* Joins a port's tap, which is there, to its bridge. */
    bool (*port_join)(const PortSpec *p, GError **err);
    /* One that is on its bridge is there as link_join and port_join leave it; link, tap: as from wiring_links. */
    bool (*link_joined)(const LinkInfo *link, const char *mac);
    bool (*port_joined)(const PortSpec *p, const LinkInfo *tap);
    /* What carries the network beyond this host (n->segment): there with exactly the entries that n names, or gone.  Its bridge is there. */
    bool (*segment_ensure)(const NetworkSpec *n, GError **err);
    bool (*segment_absent)(const char *n, GError **err);
    /* All links of it are there and joined; links: as from wiring_links. */
    bool (*segment_complete)(const NetworkSpec *n, GHashTable *links);
    /* Every few seconds for a complete one: puts back entries that somebody took away. */
    bool (*segment_entries)(const NetworkSpec *n, GError **err);
    /* Before a link that was joined is removed. */
    bool (*link_leave)(const char *link, GError **err);
    /* Of all links of ours, by name: sets `master` to the index of the bridge that the link is joined to, 0 where it is not. */
    bool (*masters)(GHashTable *links, GError **err);
    /* Whether frames must be whole, with their checksums: a link's other end is then told to leave nothing to the hardware. */
    bool (*wants_plain)(void);
    /* Whether it limits itself how many bits a guest may send, because a diversion at the tap (shape.c) does not stop them. */
    bool (*limits_sent)(void);
    /* Every few seconds: finds and heals what the kernel's events do not tell. */
    void (*look)(void);
} NetDriver;

extern const NetDriver driver_bridge, driver_ovs;
/* The one that the configuration names. */
const NetDriver *driver(void);
