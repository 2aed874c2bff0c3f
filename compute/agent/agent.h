/* compute/agent/agent.h -- the verbs of the agent's compute part. */
#pragma once
#include "core/verb.h"

extern const Verb compute_verbs[];
/* Called once when the agent starts, before verbs are served. */
bool compute_agent_start(GError **err);
