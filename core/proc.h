/* core/proc.h -- running other programs: the only door to fork and exec.  No shell, ever. */
#pragma once
#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* Limits and surroundings of a child; zero means "as inherited". */
typedef struct ProcOptions {
    int stdin_fd;               /* 0: /dev/null; else given to the child as standard input (borrowed) */
    guint64 max_memory;         /* RLIMIT_AS, bytes */
    guint64 max_cpu_s;          /* RLIMIT_CPU */
    guint64 max_file;           /* RLIMIT_FSIZE, bytes */
    guint64 max_fds;            /* RLIMIT_NOFILE */
    int timeout_s;              /* killed after it; 0: 60 */
    const char *netns;          /* name under /run/netns to enter before exec; NULL: stay */
    const char *user;           /* drop to this user before exec (when root); NULL: stay */
    bool no_new_privs;
} ProcOptions;

/* Runs argv (NULL-terminated, absolute or PATH-resolved in /usr/sbin:/usr/bin:/sbin:/bin), waits, and collects its output (standard
 * output cut at 4 MiB).  The environment is LC_ALL=C and PATH only; all descriptors above 2 are closed in the child.  False, with the
 * first line of its standard error in err, when it cannot start, exits other than 0, or is killed.  ret_out may be NULL; caller frees. */
bool proc_run(const char *const *argv, const ProcOptions *opt, char **ret_out, GError **err);
/* Starts a program that outlives the caller (setsid, standard streams to /dev/null or log_path); returns its pid, or -1 with err. */
pid_t proc_spawn_daemon(const char *const *argv, const ProcOptions *opt, const char *log_path, GError **err);
