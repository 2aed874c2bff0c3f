/* network/agent/ovs_rules.h -- which flows should be in force on each bridge: keeps the specs, applies differences, finds damage. */
#pragma once
#include "network/agent/spec.h"

/* After ovs_state_start. */
bool ovs_rules_network_ensure(const NetworkSpec *n, GError **err);
bool ovs_rules_network_absent(const char *n, GError **err);
bool ovs_rules_port_ensure(PortSpec *spec_stolen, GError **err);
bool ovs_rules_port_absent(const char *n, GError **err);
bool ovs_rules_group_ensure(GroupSpec *spec_stolen, GError **err);
bool ovs_rules_group_absent(const char *n, GError **err);
/* Adds a Counter for each rule of the group that ports here have (network/agent/counters.h). */
bool ovs_rules_group_counters(const char *n, GHashTable *sums, GError **err);
bool ovs_rules_list(GHashTable *ports, GHashTable *groups, GError **err);
/* The bridge is there (fresh: it was not, a moment ago): from now on its flows are kept. */
bool ovs_rules_bridge_there(const char *bridge, const char *mac, bool fresh, GError **err);
void ovs_rules_bridge_gone(const char *bridge);
/* Flows for a link that is no guest's; the OpenFlow port to join it under. */
bool ovs_rules_link_ensure(const char *link, const char *bridge, const char *mac, int *ret_ofport, GError **err);
bool ovs_rules_link_absent(const char *link, GError **err);
/* The OpenFlow port that the port's flows were made for. */
bool ovs_rules_port_number(const PortSpec *p, int *ret_ofport, GError **err);
/* The tap is of a port with port security. */
bool ovs_rules_port_secured(const char *tap);
/* Compares bridges with what should be there, and heals. */
void ovs_rules_look(void);
