/* ops/agent.h -- the controller's side of the wire: one connection to each host's agent, calls, events, what happens when it comes and goes. */
#pragma once
#include "db/db.h"

/* Asks host's agent and waits.  Errors: NV_ERR_AGENT when it is away, timed out or busy; else what the verb said.  Not inside a transaction
 * (asserted).  args is stolen (NULL: {}).  Returns a new object. */
json_t *agent_call(const char *host, const char *verb, json_t *args, int timeout_s, GError **err);
bool agent_is_up(const char *host);

/* Called in order on the connection's own thread: an event of host's agent. */
typedef struct AgentEvent { const char *event; void (*run)(Db *db, const char *host, const json_t *data); } AgentEvent;
/* Called after an agent (re)connected and then periodically: compares and queues repairs. */
typedef void AgentSync(Db *db, const char *host);

/* Starts a keeper thread a configured host ("hosts.agents": NAME=unix:PATH;…).  events ended by event NULL, syncs by NULL. */
bool agents_start(Db *db, const AgentEvent *const *events, AgentSync *const *syncs, GError **err);
void agents_stop(void);
