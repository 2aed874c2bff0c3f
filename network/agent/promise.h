/* network/agent/promise.h -- bandwidth promised to ports: classes of a queue at a physical network's interface, each port's frames in its own. */
#pragma once
#include "core/physnet.h"
#include "network/agent/link.h"
#include "network/agent/spec.h"

/* Kilobits a second that the interface can send: what the configuration says, else its driver; 0: nobody knows. */
gint64 promise_rate(const Physnet *p);
/* What an earlier agent left. */
void promise_start(void);
/* The port's class is there with its rate, or gone.  The tap is there.  NV_ERR_HOST_FAULT where this host cannot. */
bool promise_ensure(const PortSpec *p, GError **err);
/* Before or after the tap is gone. */
bool promise_absent(const char *n, GError **err);
/* Neither more nor less than the port is promised is in force. */
bool promise_complete(const PortSpec *p, GHashTable *links);
