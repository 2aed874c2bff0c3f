/* network/agent/link_route.h -- routes of a namespace, and which packets may find them.  All act in the calling thread's namespace. */
#pragma once
#include "core/error.h"
#include "core/ip.h"

/* device: where the next hop is, even outside every subnet; empty: where the kernel finds it. */
typedef struct LinkRoute { Cidr destination; Ip nexthop; char device[16]; } LinkRoute;
/* The static routes of the main table are exactly these (array of LinkRoute).  All that can be are there, also when it fails. */
bool link_routes(const GArray *routes, GError **err);
/* Only what the namespace itself sends, and packets with that mark, find a route. */
bool link_forward_mark(guint32 mark, GError **err);
