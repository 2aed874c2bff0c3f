/* core/verb.h -- the agent's closed list: what may be asked of it, with checked arguments.  Also the loop that serves it. */
#pragma once
#include "core/json.h"
#include <sys/types.h>

typedef enum { ARG_ID, ARG_STR, ARG_INT, ARG_BOOL, ARG_OBJECT, ARG_ARRAY } ArgType;   /* ARG_ID: a lower-case UUID */
typedef struct VerbArg { const char *name; ArgType type; bool optional; } VerbArg;

/* Returns a new object (json_object() where there is nothing to say), or NULL with err.  Verbs that change the world end in .ensure
 * or .absent and are safe to repeat at any time, also at once in two threads for different ids; the loop never runs two verbs with
 * the same "id" argument at the same time. */
typedef json_t *VerbRun(const json_t *args, GError **err);
typedef struct Verb {
    const char *name;
    VerbRun *run;
    const VerbArg *args;               /* ended by name NULL; unknown arguments are refused */
} Verb;
#define VERBS_END { .name = NULL }
/* Asked as the first thing on a connection: take has it from here on (and owns fd), as a stream of bytes.  There is no answer; refused, the
 * connection ends. */
typedef struct VerbStream {
    const char *name;
    bool (*take)(int fd, const json_t *args, GError **err);
    const VerbArg *args;
} VerbStream;

/* Serves the tables (NULL-terminated array of tables, each ended by VERBS_END) on fd until it fails, with a pool of threads. */
bool verb_serve(int listen_fd, const Verb *const *tables, uid_t allowed_uid, GError **err);
/* One more for every server of this process; before verb_serve. */
void verb_stream_add(const VerbStream *stream);
/* Sends an event to every connected controller that has asked for something; dropped when none is there.  data is stolen.  Any thread.  Returns how
 * many there are. */
guint verb_event(const char *event, json_t *data);
/* Checks args against verb's table. */
bool verb_check(const Verb *verb, const json_t *args, GError **err);
