/* network/agent/lease.h -- leases of addresses that have another owner by now: dnsmasq would refuse the address to the new one. */
#pragma once
#include "network/agent/spec.h"

/* hosts_before: the hosts file that dnsmasq knows, which tells whose IPv6 leases were; they name no MAC.
 *
 * Tells a running dnsmasq, as its clients would, that they gave up such leases; before it reads the new hosts, as it ignores those it does
 * not know.  False: some are still there after half a second, or are of IPv6; it has to be started anew. */
bool lease_release(const NetworkSpec *n, const char *dir, const char *hosts_before);
/* Takes them out of the file of a dnsmasq that does not run. */
void lease_prune(const NetworkSpec *n, const char *dir, const char *hosts_before);
