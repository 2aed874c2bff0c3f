/* image/inspect_child.c -- runs the inspector in a child process that can do nothing but read the file it was given. */
#include "image/image.h"
#include "image/inspect.h"
#include "core/json.h"
#include "core/jsonw.h"
#include "core/log.h"
#include "core/proc.h"
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* The sanitizers reserve terabytes of addresses, and look around at the end. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { CONFINED = false };
#else
enum { CONFINED = true };
#endif
enum { CHILD_MEMORY_MIB = 1024, CHILD_CPU_S = 30, CHILD_FDS = 32, CHILD_TIMEOUT_S = 60 };

/* From here on the process may read, write to what is open, and end; anything else kills it. */
static bool lock_down(void)
{
    static const int allowed[] = {
        SCMP_SYS(read), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(lseek),
        SCMP_SYS(close), SCMP_SYS(brk), SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex),
        SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask), SCMP_SYS(getrandom), SCMP_SYS(exit), SCMP_SYS(exit_group),
    };
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    bool ok = filter;
    for (guint i = 0; ok && i < G_N_ELEMENTS(allowed); i++)
        ok = !seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    ok = ok && !seccomp_load(filter);
    seccomp_release(filter);
    return ok;
}

int image_inspect_main(const char *format)
{
    struct stat st;
    if (fstat(STDIN_FILENO, &st) || !S_ISREG(st.st_mode)) {
        fprintf(stderr, "nuvolet inspect: standard input must be a file\n");
        return 1;
    }
    if (CONFINED && !lock_down()) {
        fprintf(stderr, "nuvolet inspect: the system call filter cannot be set\n");
        return 1;
    }
    Inspected found = { 0 };
    g_autoptr(GError) why = NULL;
    bool ok = inspect_file(STDIN_FILENO, (guint64) st.st_size, format, &found, &why);
    /* A writer that only appends: jansson's tables would open /dev/urandom for a seed. */
    g_autoptr(GString) answer = g_string_new(NULL);
    JsonW w = JSONW(answer);
    jw_object(&w);
    if (ok) {
        jw_kstr(&w, "format", found.format);
        jw_kint(&w, "virtual_size", found.virtual_size);
    } else
        jw_kstr(&w, "refused", why->message);
    jw_end_object(&w);
    int status = write(STDOUT_FILENO, answer->str, answer->len) == (gssize) answer->len ? 0 : 1;
    if (!CONFINED)
        _exit(status);                               /* the leak checker would need ptrace, which serve gave up for its children too */
    return status;
}

bool inspect_in_child(int fd, const char *declared, char **ret_format, gint64 *ret_virtual_size, GError **err)
{
    const char *const argv[] = { "/proc/self/exe", "inspect", declared, NULL };
    const ProcOptions opt = {
        .stdin_fd = fd,
        .max_memory = CONFINED ? (guint64) CHILD_MEMORY_MIB << 20 : 0,
        .max_cpu_s = CHILD_CPU_S,
        .max_file = 1 << 20,
        .max_fds = CHILD_FDS,
        .timeout_s = CHILD_TIMEOUT_S,
        .user = "nobody",
        .no_new_privs = true,
    };
    g_autofree char *out = NULL;
    g_autoptr(GError) why = NULL;
    if (!proc_run(argv, &opt, &out, &why)) {
        /* Killed by a limit, or by the filter: these bytes broke the parser, or tried to. */
        log_warn("image.inspect.failed", "reason", why->message, NULL);
        return nv_fail(err, NV_ERR_INVALID, "The image could not be examined: its headers are not acceptable.");
    }
    g_autoptr(json_t) answer = json_parse_trusted(g_strchomp(out));
    const char *refused = json_get_str(answer, "refused"), *format = json_get_str(answer, "format");
    if (!format)
        return nv_fail(err, NV_ERR_INVALID, "%s", refused ? refused : "The image could not be examined.");
    *ret_format = g_strdup(format);
    *ret_virtual_size = json_get_int(answer, "virtual_size", -1);
    return true;
}
