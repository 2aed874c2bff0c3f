/* network/agent/ra.h -- router advertisements on a router's interfaces: at times, and when a guest asks. */
#pragma once
#include "network/agent/router_spec.h"

enum { RA_LIFETIME_S = 1800 };
/* The ICMPv6 message (without checksum, which the kernel adds); lifetime 0: this router is no way out any more. */
GByteArray *ra_message(const RouterPort *p, int lifetime_s);

bool ra_start(GError **err);
/* In the router's namespace: exactly the interfaces of the spec that have prefixes are advertised, with what it says. */
bool ra_ensure(const RouterSpec *r, GError **err);
/* Only those of the router's interfaces that the spec still has; NULL: none.  Guests are told.  Any namespace. */
void ra_reduce(const char *n, const RouterSpec *r);
