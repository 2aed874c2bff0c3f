/* ops/internal.h -- between the files of ops/: lanes, in which the operations of one resource run one after the other. */
#pragma once
#include "ops/op.h"

/* What is to be done with a lane after it ran. */
typedef struct LaneNext {
    enum { LANE_IDLE, LANE_LATER, LANE_PARKED } what;
    gint64 due;                      /* LATER: monotonic microseconds */
    char *host;                      /* PARKED: until this host's agent is back; stolen */
} LaneNext;
/* Runs what is due for the resource, on one of the pool's threads; never twice at a time for one resource. */
typedef LaneNext LaneRun(const char *resource_id);

void lanes_start(LaneRun *run, int threads);
/* Waits for running lanes. */
void lanes_stop(void);
/* Something changed for the resource: its lane runs as soon as a thread is free (again, if it is running). Before lanes_start: nothing. */
void lanes_kick(const char *resource_id);
/* Wakes the lanes that wait for host. */
void lanes_host_up(const char *host);
/* False after timeout_ms with lanes still there. */
bool lanes_wait_idle(int timeout_ms);
/* True once lanes_stop was called. */
bool lanes_stopping(void);
