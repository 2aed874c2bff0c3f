/* ops/agent.h -- the controller's side of the wire: one connection to each host's agent, calls, events, what happens when it comes and goes. */
#pragma once
#include "db/db.h"

/* Asks host's agent and waits.  Errors: NV_ERR_AGENT when it is away, timed out or busy; else what the verb said.  Not inside a transaction
 * (asserted).  args is stolen (NULL: {}).  Returns a new object. */
json_t *agent_call(const char *host, const char *verb, json_t *args, int timeout_s, GError **err);
bool agent_is_up(const char *host);
/* hosts.agents names it.  After agents_load. */
bool agent_is_configured(const char *host);
/* One more connection to host's agent, of which the verb makes a stream of bytes (VerbStream).  Never waits.  args is stolen.  Returns a non-blocking
 * fd, or -1 with err; refused by the agent, the stream ends. */
int agent_stream(const char *host, const char *verb, json_t *args, GError **err);

/* An event of host's agent.  Called in order on a thread of the host's own, where it may ask the agent and wait; with at_once, out of order on the
 * thread that reads answers: run must not wait, and an agent_call there would never be answered. */
typedef struct AgentEvent {
    const char *event;
    void (*run)(Db *db, const char *host, const json_t *data);
    bool at_once;
} AgentEvent;
/* Called after an agent (re)connected and then periodically: compares and queues repairs.  False: not all of it could be done; it is called again
 * soon, then at growing intervals. */
typedef bool AgentSync(Db *db, const char *host);

/* One difference between the rows and what a host has.  verb NULL: the domain's sync of that host repairs it. */
typedef struct Finding { char *host, *what, *verb; json_t *args; } Finding;
void finding_free(Finding *finding);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Finding, finding_free)
/* Appends one.  format: one sentence, what is wrong ("domain <id> has no server").  verb, args: the agent call that repairs it
 * ("domain.absent", {"id"}), args stolen; verb NULL: the domain's AgentSync repairs it. */
void finding_add(GPtrArray *findings, const char *host, const char *verb, json_t *args, const char *format, ...) G_GNUC_PRINTF(5, 6);
/* A domain's part of `ctl doctor`: asks host's agent for its lists, compares with the rows, and appends what differs.  Resources with a live
 * operation (op_live) are left alone.  Exported by a domain as X_doctor.  False: the agent could not be asked. */
typedef bool DoctorFn(Db *db, const char *host, GPtrArray *findings, GError **err);

/* Reads which hosts are configured ("hosts.agents": NAME=unix:PATH;…): all are away.  Before anybody can ask for one, as a host that is not
 * configured has left for good.  events ended by event NULL, syncs by NULL. */
bool agents_load(Db *db, const AgentEvent *const *events, AgentSync *const *syncs, GError **err);
/* Starts the keeper threads of the hosts loaded: they connect. */
void agents_start(void);
/* Ends the connections; calls under way fail with NV_ERR_AGENT. */
void agents_stop(void);
/* Runs the syncs of host (NULL: of all hosts) soon, on their own threads. */
void agents_sync_soon(const char *host);
/* The configured hosts: array of {"host", "address", "up", "since", "compared", "error"}; since: microseconds, of the last change; compared: the
 * syncs have run since it came up, did all that they had to, and none was asked for. */
json_t *agents_status(void);
