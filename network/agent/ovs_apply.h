/* network/agent/ovs_apply.h -- flows to and from a bridge: through ovs-ofctl, a bundle a change, and a look at how many are there. */
#pragma once
#include "core/error.h"

/* The bridge has exactly these flows and at least these meters (array of OvsMeter); fragments' ports are matched. */
bool ovs_apply_all(const char *bridge, const char *flows, const GArray *meters, GError **err);
/* Lines of ovs_flows_difference as one bundle: all or nothing. */
bool ovs_apply_difference(const char *bridge, const char *lines, GError **err);
/* These meters (array of OvsMeter) are there and as they should be; before flows name them. */
bool ovs_apply_meters(const char *bridge, const GArray *meters, GError **err);
void ovs_apply_meter_absent(const char *bridge, int meter);
/* Adds what the flows of security group rules have let through to those of the sums (network/agent/counters.h) that are there. */
bool ovs_apply_counters(const char *bridge, GHashTable *sums, GError **err);
/* Nothing that was allowed before passes any more by the datapath's memory of it. */
void ovs_apply_at_once(void);
/* How many flows the bridge has; -1 where it does not answer. */
int ovs_flow_count(const char *bridge);
