/* network/agent/shape.h -- bandwidth limits of a port: what it may receive waits at its tap, what it may send in a shaper of its own. */
#pragma once
#include "network/agent/link.h"
#include "network/agent/spec.h"

/* Pure.  rate 0 where there is no limit. */
Bucket shape_bucket(const Limits *l, gint64 mtu);
/* The tap is there, and down when it is new. */
bool shape_ensure(const PortSpec *p, GError **err);
/* After the tap is gone. */
bool shape_absent(const char *n, GError **err);
/* links: with link_shapers.  Neither more nor less than the port's limits is in force. */
bool shape_complete(const PortSpec *p, GHashTable *links);
