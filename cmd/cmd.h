/* cmd/cmd.h -- the subcommands of `nuvolet`. */
#pragma once
#include "db/db.h"

/* Each takes the arguments after its own name; returns the exit status. */
int serve_main(int argc, char **argv);
int agent_main(int argc, char **argv);
int ctl_main(int argc, char **argv);
/* Parses --config FILE and --set group.key=value, loads the configuration, sets the log level.  Arguments left over stay in argv. */
bool cmd_configure(int *argc, char **argv, GError **err);
