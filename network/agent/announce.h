/* network/agent/announce.h -- tells neighbours where an address is now: gratuitous ARP, unsolicited neighbour advertisements. */
#pragma once
#include "core/error.h"
#include "core/ip.h"

/* A whole Ethernet frame for the address; which 0 or 1: ARP is said as a request and as an answer, as receivers differ.  Empty: no more. */
GByteArray *announce_frame(const guint8 mac[6], Ip ip, int which);
/* A whole Ethernet frame to all nodes from one of the MAC's addresses; message: its checksum is still 0, its length even. */
GByteArray *announce_icmp6(const guint8 mac[6], Ip from, const GByteArray *message);
/* Sends them from a link of the calling thread's namespace for each Cidr of addresses. */
bool announce(const char *device, const guint8 mac[6], const GArray *addresses, GError **err);
