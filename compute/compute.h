/* compute/compute.h -- servers, flavors, keypairs; hosts; metadata for guests. */
#pragma once
#include "core/call.h"
#include "ops/agent.h"
#include "ops/op.h"

extern const Resource flavor_resource, server_resource;
extern const Resource server_create_resource;    /* the body of POST /servers; has no table */
extern const Route compute_routes[];             /* under /compute/v2.1 */
/* i-th name that POST /servers/{id}/action knows, or NULL past the last. */
const char *compute_action_name(guint i);
extern const Route metadata_routes[];            /* the metadata listener's: 169.254.169.254 */
extern const OpKind *const compute_op_kinds[];
extern const AgentEvent compute_events[];
AgentSync compute_sync;
DoctorFn compute_doctor;
DoctorFn compute_doctor;                          /* domains and disks, bases, partials */
bool compute_bootstrap(Db *db, GError **err);    /* default flavors, once */
