/* network/agent/ra.h -- router advertisements at times, and when a guest asks: on a router's interfaces, and for routers of other hosts. */
#pragma once
#include "network/agent/router_spec.h"

enum { RA_LIFETIME_S = 1800 };
/* The ICMPv6 message (without checksum, which the kernel adds); lifetime 0: this router is no way out any more. */
GByteArray *ra_message(const RouterPort *p, int lifetime_s);
/* The same as a whole frame, said by who is not the router. */
GByteArray *ra_frame(const RouterPort *p, int lifetime_s);
/* Borrowed ports of a router that is up: those that have prefixes.  NULL: none. */
GPtrArray *ra_ports(const RouterSpec *r);

bool ra_start(GError **err);
/* In that namespace: exactly these ports (RouterPort) are advertised at their inner links, with what they say.  stand_in: they are on another host,
 * and a link here speaks with their MACs and link-local addresses. */
bool ra_ensure(const char *netns, const GPtrArray *ports, bool stand_in, GError **err);
/* Only those of the namespace's ports that are still there; NULL: none.  Guests are told.  Any namespace. */
void ra_reduce(const char *netns, const GPtrArray *ports);
