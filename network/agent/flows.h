/* network/agent/flows.h -- which tracked connections a change of a port or of a security group concerns: pure functions of specs. */
#pragma once
#include "network/agent/conntrack.h"
#include "network/agent/spec.h"

/* Adds to flows (Flow) those of the port's own addresses and of the single ones among its pairs. */
void flows_add_port(GArray *flows, int zone, const PortSpec *p);
/* Adds those of the members that old had and now has not, each once. */
void flows_add_left(GArray *flows, int zone, const GroupSpec *old, const GroupSpec *now);
/* Removes those that are in kept too. */
void flows_remove(GArray *flows, const GArray *kept);
/* True if a rule of old is none of now's, or its replies passed by themselves and now's do not. */
bool flows_narrow(const GroupSpec *old, const GroupSpec *now);
/* Whether a rule of g allows the members of group n. */
bool flows_by_members(const GroupSpec *g, const char *n);
