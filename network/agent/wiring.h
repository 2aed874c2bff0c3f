/* network/agent/wiring.h -- a network's bridge and namespace, a port's tap: made complete, or gone. */
#pragma once
#include "network/agent/spec.h"

bool wiring_network_ensure(const NetworkSpec *n, GError **err);
bool wiring_network_absent(const char *n, GError **err);
bool wiring_port_ensure(const PortSpec *p, GError **err);
bool wiring_port_absent(const char *n, GError **err);
/* All links of ours now, by name; NULL with err.  Free with g_hash_table_unref. */
GHashTable *wiring_links(GError **err);
/* True if nothing of it is missing. */
bool wiring_network_complete(const NetworkSpec *n, GHashTable *links);
bool wiring_port_complete(const PortSpec *p, GHashTable *links);
/* All taps down: no packet passes while the rules are not in force. */
void wiring_close(void);
