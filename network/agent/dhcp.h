/* network/agent/dhcp.h -- one dnsmasq a network, kept running. */
#pragma once
#include "network/agent/spec.h"

bool dhcp_start(GError **err);
/* Files as the spec says, and a dnsmasq that has read them in the namespace and at the device that are there now; one that ended by itself waits for
 * its next start unless something is new. */
bool dhcp_ensure(const NetworkSpec *n, GError **err);
bool dhcp_absent(const char *n, GError **err);
/* True while the network's dnsmasq runs in the namespace and at the device that are there now. */
bool dhcp_running(const NetworkSpec *n);
/* 12-digit names that have a directory of files. */
GPtrArray *dhcp_list(void);
/* dnsmasq appends to its log for every odd packet, and says at each start why it cannot: neither may fill the disk. */
void dhcp_trim_logs(void);
