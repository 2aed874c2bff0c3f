/* network/agent/segment.h -- what carries a network beyond this host: a VXLAN device, a VLAN interface, or an interface of the host. */
#pragma once
#include "network/agent/spec.h"

/* Checks the configuration. */
bool segment_start(GError **err);
/* {"tunnel_address": text or null, "physical": [{"name", "interface"}]}: what `serve` has to know of this host. */
json_t *segment_facts(void);
