/* network/agent/rules.h -- which rules should be in force: keeps the specs, computes the difference, applies it as one transaction. */
#pragma once
#include "network/agent/spec.h"

/* Base tables; takes over what an earlier agent left. */
bool rules_start(GError **err);
/* Specs are stolen.  The same spec again costs nothing. */
bool rules_network_ensure(const NetworkSpec *spec, GError **err);
bool rules_network_absent(const char *n, GError **err);
bool rules_port_ensure(PortSpec *spec_stolen, GError **err);
bool rules_port_absent(const char *n, GError **err);
bool rules_group_ensure(GroupSpec *spec_stolen, GError **err);
bool rules_group_absent(const char *n, GError **err);
/* On a host where no port has rules yet: those of all in one transaction; what is asked for one by one later is in force already.  Specs that
 * are taken leave NULL in their array. */
bool rules_prime(GPtrArray *group_specs, GPtrArray *port_specs, GError **err);
/* Everything that is known, anew, in one transaction: somebody else changed our tables. */
bool rules_rebuild(GError **err);
/* 12-digit names of ports and groups as the kernel has them: complete ones, and pieces of those that nobody here knows. */
bool rules_list(GHashTable *ports, GHashTable *groups, GError **err);
/* No tables of ours are left. */
bool rules_clear(GError **err);
