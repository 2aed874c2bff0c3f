/* core/proc.c -- running other programs: everything is prepared before the child begins, and that only makes system calls. */
#include "core/proc.h"
#include "core/clock.h"
#include "core/error.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OUTPUT_MAX = 4 << 20, STDERR_MAX = 4096, TIMEOUT_S = 60, GROUPS_MAX = 64, STACK = 64 << 10 };
static const char path_env[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";

/* What the child tells: in memory that it shares with us. */
typedef struct Outcome {
    const char *failed;          /* what did not work, a literal of this program; NULL: the program runs */
    int error;
    pid_t daemon;
} Outcome;

/* One for a child, the other for its own when that is a daemon. */
typedef char Stacks[2][STACK];

/* All that the child needs.  It shares our memory, and the thread that began it waits until it has become the program or ended: to copy the
 * page tables of a large process, as fork does, takes milliseconds.  A child that changes its user gets a copy, as processes of that user may
 * have it in reach.  The program is threaded, and another thread may hold any lock: the child must not allocate, look up users or log. */
typedef struct Plan {
    char *program;
    const char *const *argv;
    const ProcOptions *opt;
    int in, out, err;            /* become 0, 1, 2 */
    int netns;                   /* -1: stay */
    bool drop;
    uid_t uid;
    gid_t gid, groups[GROUPS_MAX];
    int n_groups;
    pid_t parent;
    Stacks *stacks;
    Outcome *outcome;            /* shared with a copy too */
} Plan;

static void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void plan_done(Plan *plan)
{
    fd_close(&plan->in);
    fd_close(&plan->out);
    fd_close(&plan->err);
    fd_close(&plan->netns);
    g_free(plan->program);
    if (plan->stacks)
        munmap(plan->stacks, sizeof *plan->stacks);
    if (plan->outcome)
        munmap(plan->outcome, sizeof *plan->outcome);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Plan, plan_done)

static char *find_program(const char *name)
{
    static const char *const dirs[] = { "/usr/sbin", "/usr/bin", "/sbin", "/bin" };
    if (strchr(name, '/'))
        return g_strdup(name);
    for (guint i = 0; i < G_N_ELEMENTS(dirs); i++) {
        g_autofree char *path = g_build_filename(dirs[i], name, NULL);
        if (access(path, X_OK) == 0)
            return g_steal_pointer(&path);
    }
    return NULL;
}

static bool find_user(Plan *plan, const char *user, GError **err)
{
    char buf[4096];
    struct passwd pw, *found = NULL;
    if (getpwnam_r(user, &pw, buf, sizeof buf, &found) || !found)
        return nv_fail(err, NV_ERR_HOST_FAULT, "there is no user %s on this host", user);
    plan->drop = geteuid() == 0;
    plan->uid = pw.pw_uid;
    plan->gid = pw.pw_gid;
    plan->n_groups = GROUPS_MAX;
    if (getgrouplist(user, pw.pw_gid, plan->groups, &plan->n_groups) < 0)
        plan->n_groups = GROUPS_MAX;
    return true;
}

static bool find_netns(Plan *plan, const char *name, GError **err)
{
    if (strchr(name, '/') || name[0] == '.')
        return nv_fail(err, NV_ERR_INTERNAL, "bad name of a network namespace");
    g_autofree char *path = g_strdup_printf("/run/netns/%s", name);
    plan->netns = open(path, O_RDONLY | O_CLOEXEC);
    return plan->netns >= 0 || nv_fail_errno(err, NV_ERR_AGENT, "cannot open the network namespace %s", name);
}

static bool plan_init(Plan *plan, const char *const *argv, const ProcOptions *opt, GError **err)
{
    static const ProcOptions none;
    *plan = (Plan) { .argv = argv, .opt = opt ? opt : &none, .in = -1, .out = -1, .err = -1, .netns = -1 };
    plan->program = find_program(argv[0]);
    if (!plan->program)
        return nv_fail(err, NV_ERR_HOST_FAULT, "the program %s is not installed on this host", argv[0]);
    if (plan->opt->user && !find_user(plan, plan->opt->user, err))
        return false;
    if (plan->opt->netns && !find_netns(plan, plan->opt->netns, err))
        return false;
    plan->in = plan->opt->stdin_fd > 0 ? fcntl(plan->opt->stdin_fd, F_DUPFD_CLOEXEC, 3) : open("/dev/null", O_RDONLY | O_CLOEXEC);
    return plan->in >= 0 || nv_fail_errno(err, NV_ERR_AGENT, "cannot start %s", argv[0]);
}

/* ---- in the child: system calls only ---- */

static bool limit(int resource, guint64 value)
{
    struct rlimit l = { .rlim_cur = value, .rlim_max = value };
    return value == 0 || setrlimit((__rlimit_resource_t) resource, &l) == 0;
}

/* The raw calls: glibc's wrappers first ask all other threads to change too, and here there are none. */
static bool drop_user(const Plan *plan)
{
    return syscall(SYS_setgroups, plan->n_groups, plan->groups) == 0 && syscall(SYS_setresgid, plan->gid, plan->gid, plan->gid) == 0 &&
           syscall(SYS_setresuid, plan->uid, plan->uid, plan->uid) == 0;
}

static void reset_signals(void)
{
    struct sigaction sa = { .sa_handler = SIG_DFL };
    for (int s = 1; s < NSIG; s++)
        if (s != SIGKILL && s != SIGSTOP)
            (void) sigaction(s, &sa, NULL);
    sigset_t none;
    sigemptyset(&none);
    (void) sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Returns what failed, or NULL. */
static const char *child_prepare(const Plan *plan)
{
    const ProcOptions *o = plan->opt;
    if (dup2(plan->in, 0) < 0 || dup2(plan->out, 1) < 0 || dup2(plan->err, 2) < 0)
        return "standard streams";
    if (plan->netns >= 0 && setns(plan->netns, CLONE_NEWNET) < 0)
        return "entering the network namespace";
    if (syscall(SYS_close_range, 3U, ~0U, 0U) < 0)
        return "closing descriptors";
    if (!limit(RLIMIT_AS, o->max_memory) || !limit(RLIMIT_CPU, o->max_cpu_s) || !limit(RLIMIT_FSIZE, o->max_file) ||
        !limit(RLIMIT_NOFILE, o->max_fds))
        return "resource limits";
    if (plan->drop && !drop_user(plan))
        return "changing the user";
    if (o->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return "no_new_privs";
    return NULL;
}

static int child_exec(Plan *plan, bool helper)
{
    const char *const env[] = { "LC_ALL=C", path_env, NULL };
    const char *failed = child_prepare(plan);
    /* A helper that is waited for must not survive us and go on writing; asked for last, as changing the user forgets it. */
    if (!failed && helper && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != plan->parent))
        failed = "being ended with its parent";
    if (!failed) {
        reset_signals();
        execve(plan->program, (char *const *) plan->argv, (char *const *) env);
        failed = "exec";
    }
    plan->outcome->failed = failed;
    plan->outcome->error = errno;
    return 127;
}

static int child_helper(void *data)
{
    Plan *plan = data;
    setpgid(0, 0);
    return child_exec(plan, true);
}

static int child_daemon(void *data)
{
    return child_exec(data, false);
}

/* Begins a child and waits until it has become the program or ended. */
static pid_t begin(Plan *plan, int (*run)(void *), int nth)
{
    return clone(run, (*plan->stacks)[nth] + STACK, (plan->drop ? 0 : CLONE_VM) | CLONE_VFORK | SIGCHLD, plan);
}

/* A daemon's parent ends at once, so that init and not we collect it. */
static int child_between(void *data)
{
    Plan *plan = data;
    setsid();
    plan->outcome->daemon = begin(plan, child_daemon, 1);
    if (plan->outcome->daemon < 0)
        *plan->outcome = (Outcome) { "clone", errno, -1 };
    return 0;
}

/* ---- in the parent ---- */

static void reap(pid_t pid, int *ret_status)
{
    while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
        ;
}

static bool judge_outcome(const char *program, const Outcome *o, GError **err)
{
    bool transient = o->error == EAGAIN || o->error == ENOMEM || o->error == EMFILE || o->error == ENFILE;
    return !o->failed || nv_fail(err, transient ? NV_ERR_AGENT : NV_ERR_HOST_FAULT, "cannot start %s: %s: %s", program, o->failed,
                                 g_strerror(o->error));
}

static bool map_memory(Plan *plan, GError **err)
{
    void *stacks = mmap(NULL, sizeof *plan->stacks, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    plan->stacks = stacks == MAP_FAILED ? NULL : stacks;
    void *outcome = mmap(NULL, sizeof *plan->outcome, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    plan->outcome = outcome == MAP_FAILED ? NULL : outcome;
    return (plan->stacks && plan->outcome) || nv_fail_errno(err, NV_ERR_AGENT, "cannot start %s", plan->argv[0]);
}

/* The pid of the child, or -1.  The one between has ended then. */
static pid_t start(Plan *plan, int (*run)(void *), GError **err)
{
    if (!map_memory(plan, err))
        return -1;
    sigset_t all, old;
    sigfillset(&all);
    plan->parent = getpid();
    /* No handler of ours may run in the child. */
    pthread_sigmask(SIG_BLOCK, &all, &old);
    pid_t pid = begin(plan, run, 0);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    fd_close(&plan->out);
    fd_close(&plan->err);
    if (pid < 0) {
        errno = error;
        return nv_fail_errno(err, NV_ERR_AGENT, "cannot start %s", plan->argv[0]), -1;
    }
    /* Somebody killed the one between, and the daemon to be may still run on what is freed next. */
    if (run == child_between && !plan->outcome->daemon)
        g_error("the start of %s was killed", plan->argv[0]);
    bool ok = judge_outcome(plan->argv[0], plan->outcome, err);
    if (!ok || run == child_between)
        reap(pid, NULL);
    return ok ? pid : -1;
}

/* Appends what is there now; what exceeds max is read and dropped.  False at the end of the stream. */
static bool drain(int fd, GString *into, gsize max)
{
    char buf[16384];
    for (;;) {
        ssize_t n = read(fd, buf, sizeof buf);
        if (n < 0)
            return errno == EINTR || errno == EAGAIN;
        if (n == 0)
            return false;
        if (into->len < max)
            g_string_append_len(into, buf, MIN(n, (gssize) (max - into->len)));
        if (n < (ssize_t) sizeof buf)
            return true;
    }
}

/* Collects output until the process itself ended (a grandchild may keep the pipes open).  False: timed out. */
static bool collect(pid_t pid, int fds[2], GString *out, GString *err_text, int timeout_s)
{
    gint64 deadline = clock_mono_us() + (gint64) timeout_s * G_USEC_PER_SEC;
    int pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p[3] = { { .fd = fds[0], .events = POLLIN }, { .fd = fds[1], .events = POLLIN }, { .fd = pidfd, .events = POLLIN } };
    bool ended = pidfd < 0 && p[0].fd < 0;
    while (!ended) {
        gint64 left = (deadline - clock_mono_us() + 999) / 1000;
        if (left <= 0)
            break;
        if (poll(p, 3, (int) left) <= 0)
            continue;
        if (p[0].revents && !drain(fds[0], out, OUTPUT_MAX))
            p[0].fd = -1;
        if (p[1].revents && !drain(fds[1], err_text, STDERR_MAX))
            p[1].fd = -1;
        ended = pidfd >= 0 ? p[2].revents != 0 : p[0].fd < 0 && p[1].fd < 0;
    }
    if (ended) {
        (void) drain(fds[0], out, OUTPUT_MAX);
        (void) drain(fds[1], err_text, STDERR_MAX);
    }
    fd_close(&pidfd);
    return ended;
}

static bool judge(const char *program, int status, GString *err_text, GError **err)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    bool no_space = strstr(err_text->str, "No space left on device") != NULL;
    g_autofree char *line = g_strndup(err_text->str, strcspn(err_text->str, "\r\n"));
    g_autofree char *text = g_utf8_make_valid(line, -1);
    NvErr code = no_space ? NV_ERR_NO_SPACE : NV_ERR_HOST_FAULT;
    if (WIFSIGNALED(status))
        return nv_fail(err, code, "%s was ended by signal %d%s%s", program, WTERMSIG(status), *text ? ": " : "", text);
    return nv_fail(err, code, "%s failed with status %d%s%s", program, WEXITSTATUS(status), *text ? ": " : "", text);
}

bool proc_run(const char *const *argv, const ProcOptions *opt, char **ret_out, GError **err)
{
    g_auto(Plan) plan = { .in = -1, .out = -1, .err = -1, .netns = -1 };
    if (!plan_init(&plan, argv, opt, err))
        return false;
    int out[2], errs[2];
    if (pipe2(out, O_CLOEXEC) < 0)
        return nv_fail_errno(err, NV_ERR_AGENT, "cannot start %s", argv[0]);
    if (pipe2(errs, O_CLOEXEC) < 0) {
        close(out[0]);
        close(out[1]);
        return nv_fail_errno(err, NV_ERR_AGENT, "cannot start %s", argv[0]);
    }
    plan.out = out[1];
    plan.err = errs[1];
    int fds[2] = { out[0], errs[0] };
    (void) fcntl(fds[0], F_SETFL, O_NONBLOCK);
    (void) fcntl(fds[1], F_SETFL, O_NONBLOCK);
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GString) err_text = g_string_new(NULL);
    pid_t pid = start(&plan, child_helper, err);
    bool ok = pid > 0;
    if (ok) {
        int status = 0;
        int timeout_s = plan.opt->timeout_s > 0 ? plan.opt->timeout_s : TIMEOUT_S;
        bool ended = collect(pid, fds, text, err_text, timeout_s);
        if (!ended)
            kill(-pid, SIGKILL);
        reap(pid, &status);
        ok = ended ? judge(argv[0], status, err_text, err)
                   : nv_fail(err, NV_ERR_AGENT, "%s took longer than %d seconds and was ended", argv[0], timeout_s);
    }
    close(fds[0]);
    close(fds[1]);
    if (ok && ret_out)
        *ret_out = g_string_free(g_steal_pointer(&text), FALSE);
    return ok;
}

pid_t proc_spawn_daemon(const char *const *argv, const ProcOptions *opt, const char *log_path, GError **err)
{
    g_auto(Plan) plan = { .in = -1, .out = -1, .err = -1, .netns = -1 };
    if (!plan_init(&plan, argv, opt, err))
        return -1;
    plan.out = open(log_path ? log_path : "/dev/null", O_WRONLY | O_APPEND | O_CLOEXEC | (log_path ? O_CREAT | O_NOFOLLOW : 0), 0600);
    plan.err = plan.out < 0 ? -1 : fcntl(plan.out, F_DUPFD_CLOEXEC, 3);
    if (plan.err < 0) {
        nv_fail_errno(err, NV_ERR_AGENT, "cannot open %s", log_path ? log_path : "/dev/null");
        return -1;
    }
    return start(&plan, child_between, err) < 0 ? -1 : plan.outcome->daemon;
}
