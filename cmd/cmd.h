/* cmd/cmd.h -- the subcommands of `nuvolet`. */
#pragma once
#include "core/verb.h"
#include "db/db.h"

/* Each takes the arguments after its own name; returns the exit status. */
int serve_main(int argc, char **argv);
int agent_main(int argc, char **argv);
int ctl_main(int argc, char **argv);
#define NUVOLET_VERSION "0.1.0"

/* cmd/control.c: serves the operator's verbs (status, doctor, ops, log) on paths.run/control.sock, to root and the user of `serve` only. */
bool control_start(Db *db, GError **err);
/* cmd/doctor.c: the verb "doctor": compares rows with each other and with the hosts; with fix, repairs what it found and looks again.
 * Returns {"findings": [{"host", "what", "repair", "fixed", "error"}], "left": n}. */
json_t *doctor_run(Db *db, bool fix, GError **err);
/* cmd/schema.c: prints a resource's fields; false: there is no such resource (NULL: prints all names). */
bool schema_print(const char *name);
/* `ctl schema --json` and `ctl routes --json`: the same tables for programs (the table-derived tests). */
void schema_print_json(void);
void routes_print_json(void);

/* Shuts guests down and removes what the network part made on this host; with the agent's verb tables, without its socket.  purge: the guests
 * are not to come back: libvirt forgets them. */
void clear_host(const Verb *const *tables, bool purge);
/* cmd/dirs.c: makes paths.state and paths.run; as root, they are root's, and the group of serve.user may make files in them. */
bool cmd_make_dirs(GError **err);
/* Parses --config FILE and --set group.key=value, loads the configuration, sets the log level.  Arguments left over stay in argv. */
bool cmd_configure(int *argc, char **argv, GError **err);
/* `ctl routes`: every route with its rule. */
void routes_print(void);
/* cmd/purge.c: what a project owns, or with a fourth word "--yes" its deletion with all of it; text to print. */
char *purge_run(Db *db, const json_t *words, GError **err);
/* docs/POLICY.md */
void policy_print(void);
