/* network/agent/agent.h -- the verbs of the agent's network part. */
#pragma once
#include "core/verb.h"

extern const Verb network_verbs[];
/* Called once when the agent starts, before verbs are served. */
bool network_agent_start(GError **err);
/* Tells fn every few seconds of the taps (names; stolen) that are up with their rules and have nobody at the other end: guests that do not run, or
 * whose tap was made anew.  Before network_agent_start.  fn does not wait. */
void network_agent_on_free_taps(void (*fn)(GPtrArray *taps_stolen));
/* Removes the tables of rules; after every port and network is gone, before the process ends. */
bool network_agent_clear(GError **err);
