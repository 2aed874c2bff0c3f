/* network/agent/segment.h -- what carries a network beyond this host: a VXLAN device, a VLAN interface, or an interface of the host. */
#pragma once
#include "network/agent/spec.h"

/* Checks the configuration. */
bool segment_start(GError **err);
/* {"tunnel_address": text or null, "physical": [{"name", "interface", and if they are known "egress_kbps" and "ingress_kbps"}], "kpps"}: what
 * `serve` has to know of this host. */
json_t *segment_facts(void);

/* Who answers to which address on other hosts: array of LinkNeighbour, of which a later one goes before an earlier. */
GArray *segment_neighbours(const Segment *s);
/* The network's VXLAN device, which sends to exactly the hosts of the peers' MACs. */
bool segment_vxlan_device(const NetworkSpec *n, GError **err);
/* For the driver of Linux bridges (driver.h). */
bool segment_ensure(const NetworkSpec *n, GError **err);
bool segment_absent(const char *n, GError **err);
bool segment_complete(const NetworkSpec *n, GHashTable *links);
/* Puts back entries that somebody took away. */
bool segment_entries(const NetworkSpec *n, GError **err);
