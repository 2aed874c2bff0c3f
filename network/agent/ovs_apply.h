/* network/agent/ovs_apply.h -- flows to and from a bridge: through ovs-ofctl, a bundle a change, and a look at how many are there. */
#pragma once
#include "core/error.h"

/* The bridge has exactly these flows and at least the meters of these ports (array of int); fragments' ports are matched. */
bool ovs_apply_all(const char *bridge, const char *flows, const GArray *meters, GError **err);
/* Lines of ovs_flows_difference as one bundle: all or nothing. */
bool ovs_apply_difference(const char *bridge, const char *lines, GError **err);
/* The pace of one port's DHCP requests; before flows name it. */
bool ovs_apply_meter(const char *bridge, int meter, GError **err);
void ovs_apply_meter_absent(const char *bridge, int meter);
/* Nothing that was allowed before passes any more by the datapath's memory of it. */
void ovs_apply_at_once(void);
/* How many flows the bridge has; -1 where it does not answer. */
int ovs_flow_count(const char *bridge);
