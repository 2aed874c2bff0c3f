/* compute/agent/agent.h -- the verbs of the agent's compute part. */
#pragma once
#include "core/verb.h"

extern const Verb compute_verbs[];
/* Called once when the agent starts, before verbs are served. */
bool compute_agent_start(GError **err);
/* Of these taps (names) that are as they should be nobody has the other end.  Where a guest that runs should have it, it gets it again; the others
 * are of guests that do not run.  Does not wait.  Any thread. */
void compute_agent_plug(GPtrArray *taps_stolen);
