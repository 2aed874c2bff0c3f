/* network/agent/wanted.h -- the networks and ports this agent was asked for since it started; what is compared with the kernel. */
#pragma once
#include "network/agent/spec.h"

void wanted_start(void);
/* Whom wanted_repair tells of taps that have nobody at their other end (network/agent/agent.h). */
void wanted_on_free_taps(void (*fn)(GPtrArray *taps_stolen));
/* Held while a network or port is changed or repaired. */
GMutex *wanted_lock(void);
/* With the lock held; specs are stolen. */
void wanted_network_put(NetworkSpec *spec_stolen);
void wanted_network_drop(const char *n);
void wanted_port_put(PortSpec *spec_stolen);
void wanted_port_drop(const char *n);
/* Takes those that are wanted but not complete out of the sets, and adds taps that nobody wants to ports.  Takes the lock. */
void wanted_reduce(GHashTable *networks, GHashTable *ports, GHashTable *taps);
/* Repairs what is incomplete; returns how many things were.  Takes the lock. */
guint wanted_repair(void);
