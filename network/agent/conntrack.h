/* network/agent/conntrack.h -- forgets tracked connections, so that who gets an address next has none of its last owner's. */
#pragma once
#include "core/error.h"
#include "core/ip.h"

typedef struct Flow { int zone; Cidr cidr; } Flow;   /* every connection of these addresses in that zone */
/* Forgets the connections of those flows (Flow; none: nothing is done), with tcp TCP's too.  Reads each of their zones, or all connections where that
 * is quicker. */
bool conntrack_flush(const GArray *flows, bool tcp, GError **err);

/* One direction of a connection; ports 0 where there are none. */
typedef struct Tuple { Ip source, destination; int protocol, source_port, destination_port; } Tuple;
/* there: as the first packet came; back: as an answer is expected, which tells how it was translated. */
typedef struct Tracked { int zone; Tuple there, back; } Tracked;
typedef bool ConntrackGone(const Tracked *t, const void *data);
/* Forgets every connection of the calling thread's namespace for which is_gone says so.  The kernel lists those of one zone (or CONNTRACK_ALL),
 * as each that is read costs some 3 us (CTA_ZONE in the request, since Linux 6.8); an older kernel lists all, so is_gone looks
 * at the zone too.  A call walks the kernel's whole table, however empty: 15 ms for 262,144 buckets. */
enum { CONNTRACK_ALL = -1 };
bool conntrack_purge(int zone, ConntrackGone *is_gone, const void *data, GError **err);
