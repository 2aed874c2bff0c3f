/* api/passed.h -- connections that somebody else accepted and hands over through a Unix socket (the agent, in the guests' namespaces). */
#pragma once
#include "core/error.h"
#include "core/json.h"

/* fd is a connected, non-blocking stream socket that the callee owns.  Runs on the listener's thread. */
typedef void PassedFn(int fd, const char *network, const char *address, void *data);

typedef struct Passed Passed;
/* Listens on the Unix stream socket path (mode 0660).  Each message is one sendmsg with one descriptor (SCM_RIGHTS) and the line
 * {"network": id, "address": ip}; only root and our own user are listened to.  NULL with err. */
Passed *passed_start(const char *path, PassedFn *fn, void *data, GError **err);
void passed_stop(Passed *passed);
/* The network and the address that msg names, borrowed; false: they are none. */
bool passed_names(const json_t *msg, const char **ret_network, const char **ret_address);
