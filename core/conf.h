/* core/conf.h -- the configuration: every option is a row of one table (core/conf.c), documented from it. */
#pragma once
#include <glib.h>
#include <stdbool.h>

/* Reads path (GKeyFile format; NULL: defaults only) and checks every key against the table: an unknown key or a bad value is an
 * error that names the line's group and key.  Called once, before any thread starts; values are read-only after it. */
bool conf_load(const char *path, GError **err);
/* One value over the file's, as "group.key"; for tests and command-line options. */
bool conf_override(const char *key, const char *value, GError **err);
/* Values by "group.key".  A key that is not in the table is a programming error and aborts. */
const char *conf_str(const char *key);
gint64 conf_int(const char *key);
bool conf_bool(const char *key);
double conf_real(const char *key);
/* Whether there is such an option. */
bool conf_has(const char *key);
/* The commented default file, as shipped in etc/nuvolet.conf (a test compares them).  Caller frees. */
char *conf_render(void);
/* "path" under the directory option "paths.state" or "paths.run".  Caller frees. */
char *conf_path(const char *dir_key, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
