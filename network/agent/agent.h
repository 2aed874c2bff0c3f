/* network/agent/agent.h -- the verbs of the agent's network part. */
#pragma once
#include "core/verb.h"

extern const Verb network_verbs[];
/* Called once when the agent starts, before verbs are served. */
bool network_agent_start(GError **err);
/* Removes the tables of rules; after every port and network is gone, before the process ends. */
bool network_agent_clear(GError **err);
