/* network/agent/lease.h -- leases of addresses that have another owner by now: dnsmasq would refuse the address to the new one. */
#pragma once
#include "network/agent/spec.h"

/* Tells a running dnsmasq, as its clients would, that they gave up such leases; before it reads the new hosts, as it ignores those it does
 * not know.  False: some are still there after half a second. */
bool lease_release(const NetworkSpec *n, const char *dir);
/* Takes them out of the file of a dnsmasq that does not run. */
void lease_prune(const NetworkSpec *n, const char *dir);
