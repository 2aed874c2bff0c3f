/* storage/agent/agent.h -- the verbs of the agent's storage part. */
#pragma once
#include "core/verb.h"

extern const Verb storage_verbs[];
/* Called once when the agent starts, before verbs are served. */
bool storage_agent_start(GError **err);
