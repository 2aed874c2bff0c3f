/* scheduler/scheduler.h -- which host gets the instance: pure functions over plain structs, and the reasons in words. */
#pragma once
#include "core/error.h"
#include "core/json.h"

typedef struct HostState {
    const char *name, *zone;             /* availability zone */
    bool up, enabled;                    /* agent connected; service enabled by the operator */
    gint64 vcpus, memory_mb, disk_gb;    /* capacity */
    gint64 used_vcpus, used_memory_mb, used_disk_gb;     /* by the rows placed there */
    double ratio_vcpus, ratio_memory, ratio_disk;        /* overcommit */
    gint64 servers;
    const json_t *physical;              /* names of the physical networks that it has an interface on; NULL: it has not said yet */
} HostState;

typedef struct Demand {
    gint64 vcpus, memory_mb, disk_gb;
    const char *zone;                    /* NULL: any */
    const char *host;                    /* forced by an administrator; NULL: any */
    const char *const *avoid;            /* hosts tried already, NULL-terminated, may be NULL */
    const char *const *narrow;           /* hosts without the bandwidth or packet rate that its ports are promised; as above */
    const json_t *physical;              /* names of the physical networks that its ports are on; may be NULL */
} Demand;

/* Index of the chosen host, or -1 with NV_ERR_NO_HOST and one sentence: what was short, where, how much there is.  ret_why (may be NULL): new
 * array, for each host {"host", "verdict": "chosen"|"ok"|"refused", "reason", "weight"}: the operation's record. */
int scheduler_pick(const Demand *demand, const HostState *hosts, size_t n, json_t **ret_why, GError **err);
