/* network/agent/ovs_note.h -- notes of what flows were made from, so that an agent that starts anew need not take any away. */
#pragma once
#include "core/json.h"

/* Under paths.run: gone after a reboot, as the flows are.  kind: "net", "port", "group". */
void ovs_note_put(const char *kind, const char *n, const json_t *args);
void ovs_note_drop(const char *kind, const char *n);
typedef void OvsNoteFn(const json_t *args);
void ovs_note_each(const char *kind, OvsNoteFn *fn);
