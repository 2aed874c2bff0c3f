/* network/agent/lease.h -- leases of addresses that have another owner by now: dnsmasq would refuse the address to the new one. */
#pragma once
#include "network/agent/spec.h"

/* Tells a running dnsmasq, as its clients would, that they gave up such leases. */
void lease_release(const NetworkSpec *n, const char *dir);
/* Takes them out of the file of a dnsmasq that does not run. */
void lease_prune(const NetworkSpec *n, const char *dir);
