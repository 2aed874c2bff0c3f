/* tests/unit/test_proc.c -- children: output, status, time-out, limits, descriptors, environment, user, daemons; what they leave of us. */
#include "core/proc.h"
#include "core/clock.h"
#include "core/error.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void output_and_environment(void **state)
{
    (void) state;
    g_autoptr(GError) err = NULL;
    g_autofree char *out = NULL;
    assert_true(proc_run(ARGV("env"), NULL, &out, &err));
    assert_string_equal(out, "LC_ALL=C\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n");
}

static void arguments_are_not_a_shell(void **state)
{
    (void) state;
    g_autoptr(GError) err = NULL;
    g_autofree char *out = NULL;
    assert_true(proc_run(ARGV("echo", "$(id); *", "a  b"), NULL, &out, &err));
    assert_string_equal(out, "$(id); * a  b\n");
}

static void failure_tells_the_first_line(void **state)
{
    (void) state;
    g_autoptr(GError) err = NULL;
    assert_false(proc_run(ARGV("sh", "-c", "echo out; echo one >&2; echo two >&2; exit 3"), NULL, NULL, &err));
    assert_int_equal(nv_error_code(err), NV_ERR_HOST_FAULT);
    assert_string_equal(err->message, "sh failed with status 3: one");
    g_clear_error(&err);
    assert_false(proc_run(ARGV("sh", "-c", "echo 'x: No space left on device' >&2; exit 1"), NULL, NULL, &err));
    assert_int_equal(nv_error_code(err), NV_ERR_NO_SPACE);
    g_clear_error(&err);
    assert_false(proc_run(ARGV("sh", "-c", "kill -9 $$"), NULL, NULL, &err));
    assert_string_equal(err->message, "sh was ended by signal 9");
}

static void missing_program(void **state)
{
    (void) state;
    g_autoptr(GError) err = NULL;
    assert_false(proc_run(ARGV("no-such-program-here"), NULL, NULL, &err));
    assert_int_equal(nv_error_code(err), NV_ERR_HOST_FAULT);
    g_clear_error(&err);
    assert_false(proc_run(ARGV("/no/such/program"), NULL, NULL, &err));
    assert_non_null(strstr(err->message, "No such file"));
    g_clear_error(&err);
    assert_int_equal(proc_spawn_daemon(ARGV("/no/such/program"), NULL, NULL, &err), -1);
    assert_non_null(strstr(err->message, "No such file"));
}

static void time_out_ends_the_whole_group(void **state)
{
    (void) state;
    g_autoptr(GError) err = NULL;
    gint64 before = clock_mono_us();
    assert_false(proc_run(ARGV("sh", "-c", "sleep 30 & sleep 30"), &(ProcOptions) { .timeout_s = 1 }, NULL, &err));
    assert_int_equal(nv_error_code(err), NV_ERR_AGENT);
    assert_true(clock_mono_us() - before < 10 * G_USEC_PER_SEC);
}

static void ends_with_the_child_not_with_its_pipes(void **state)
{
    (void) state;
    g_autoptr(GError) err = NULL;
    g_autofree char *out = NULL;
    gint64 before = clock_mono_us();
    assert_true(proc_run(ARGV("sh", "-c", "sleep 20 & echo $!"), NULL, &out, &err));
    assert_true(clock_mono_us() - before < 10 * G_USEC_PER_SEC);
    kill((pid_t) g_ascii_strtoll(out, NULL, 10), SIGKILL);
}

static void output_is_cut(void **state)
{
    (void) state;
    g_autoptr(GError) err = NULL;
    g_autofree char *out = NULL;
    assert_true(proc_run(ARGV("head", "-c", "6000000", "/dev/zero"), NULL, &out, &err));
    assert_true(proc_run(ARGV("sh", "-c", "yes | head -c 6000000"), NULL, (g_free(out), &out), &err));
    assert_int_equal(strlen(out), 4 << 20);
}

static void descriptors_are_closed(void **state)
{
    (void) state;
    g_autoptr(GError) err = NULL;
    g_autofree char *out = NULL;
    int leak = dup(0), high = fcntl(0, F_DUPFD, 200);
    assert_true(leak > 2 && high >= 200);
    assert_true(proc_run(ARGV("sh", "-c", "ls -m /proc/$$/fd; :"), NULL, &out, &err));
    assert_string_equal(out, "0, 1, 2\n");
    close(leak);
    close(high);
}

static void limits(void **state)
{
    (void) state;
    g_autoptr(GError) err = NULL;
    g_autofree char *out = NULL;
    const ProcOptions opt = { .max_memory = 200 << 20, .max_cpu_s = 7, .max_file = 4096, .max_fds = 50, .no_new_privs = true };
    assert_true(proc_run(ARGV("sh", "-c", "ulimit -v; ulimit -t; ulimit -f; ulimit -n; grep NoNewPrivs /proc/$$/status"), &opt, &out, &err));
    assert_string_equal(out, "204800\n7\n8\n50\nNoNewPrivs:\t1\n");
}

static void standard_input(void **state)
{
    (void) state;
    g_autoptr(GError) err = NULL;
    g_autofree char *out = NULL;
    int p[2];
    assert_int_equal(pipe(p), 0);
    assert_int_equal(write(p[1], "hello", 5), 5);
    close(p[1]);
    assert_true(proc_run(ARGV("cat"), &(ProcOptions) { .stdin_fd = p[0] }, &out, &err));
    assert_string_equal(out, "hello");
    close(p[0]);
    g_clear_pointer(&out, g_free);
    assert_true(proc_run(ARGV("cat"), NULL, &out, &err));
    assert_string_equal(out, "");
}

static void user(void **state)
{
    (void) state;
    g_autoptr(GError) err = NULL;
    g_autofree char *out = NULL;
    if (geteuid() != 0)
        skip();
    assert_true(proc_run(ARGV("sh", "-c", "id -un; id -Gn; grep -c 'CapEff:.0000000000000000' /proc/$$/status"),
                         &(ProcOptions) { .user = "nobody" }, &out, &err));
    assert_string_equal(out, "nobody\nnogroup\n1\n");
    /* The child that changed its user can still tell what failed, and so can the one that a daemon would be. */
    assert_false(proc_run(ARGV("/no/such/program"), &(ProcOptions) { .user = "nobody" }, NULL, &err));
    assert_non_null(strstr(err->message, "No such file"));
    g_clear_error(&err);
    assert_int_equal(proc_spawn_daemon(ARGV("/no/such/program"), &(ProcOptions) { .user = "nobody" }, NULL, &err), -1);
    assert_non_null(strstr(err->message, "No such file"));
    g_clear_error(&err);
    pid_t pid = proc_spawn_daemon(ARGV("sleep", "60"), &(ProcOptions) { .user = "nobody" }, NULL, &err);
    assert_true(pid > 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_false(proc_run(ARGV("id"), &(ProcOptions) { .user = "no-such-user" }, NULL, &err));
    g_clear_error(&err);
    assert_false(proc_run(ARGV("id"), &(ProcOptions) { .netns = "no-such-netns" }, NULL, &err));
}

static void daemons(void **state)
{
    (void) state;
    g_autoptr(GError) err = NULL;
    g_autofree char *dir = g_dir_make_tmp("nuvolet-proc-XXXXXX", NULL);
    g_autofree char *log = g_build_filename(dir, "log", NULL);
    g_autofree char *text = NULL;
    pid_t pid = proc_spawn_daemon(ARGV("sh", "-c", "echo $$; exec sleep 60"), NULL, log, &err);
    assert_true(pid > 0);
    for (int i = 0; i < 200 && (!text || !*text); i++) {
        g_free(text);
        g_usleep(10000);
        assert_true(g_file_get_contents(log, &text, NULL, NULL));
    }
    assert_int_equal(g_ascii_strtoll(text, NULL, 10), pid);
    assert_int_equal(getsid(pid) == getsid(0), 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    g_unlink(log);
    g_rmdir(dir);
}

static bool is_running(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int) pid), *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) && !strstr(text, ") Z ");
}

/* What we wait for goes with us, a daemon stays. */
static void helpers_end_with_their_parent(void **state)
{
    (void) state;
    int p[2];
    pid_t pids[2];
    char line[32] = "";
    assert_int_equal(pipe(p), 0);
    pid_t parent = fork();
    if (parent == 0) {
        pids[0] = proc_spawn_daemon(ARGV("sleep", "60"), NULL, NULL, NULL);
        if (write(p[1], &pids[0], sizeof pids[0]) < 0)
            _exit(1);
        dup2(p[1], 100);
        g_autofree char *fd = g_strdup_printf("/proc/%d/fd/100", (int) getpid()), *script = g_strdup_printf("echo $$ > %s; exec sleep 60", fd);
        proc_run(ARGV("sh", "-c", script), NULL, NULL, NULL);
        _exit(0);
    }
    assert_int_equal(read(p[0], &pids[0], sizeof pids[0]), sizeof pids[0]);
    assert_true(read(p[0], line, sizeof line - 1) > 0);
    pids[1] = (pid_t) g_ascii_strtoll(line, NULL, 10);
    assert_true(is_running(pids[0]) && is_running(pids[1]));
    kill(parent, SIGKILL);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    for (int i = 0; i < 500 && is_running(pids[1]); i++)
        g_usleep(10000);
    assert_false(is_running(pids[1]));
    assert_true(is_running(pids[0]));
    kill(pids[0], SIGKILL);
    close(p[0]), close(p[1]);
}

static void on_signal(int n)
{
    (void) n;
}

static guint lines_of(const char *path)
{
    g_autofree char *text = NULL;
    guint n = 0;
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    for (const char *p = text; (p = strchr(p, '\n')); p++)
        n++;
    return n;
}

static gpointer spawn_some(gpointer data)
{
    const char *dir = data;
    for (int i = 0; i < 25; i++) {
        g_autoptr(GError) err = NULL;
        g_autofree char *out = NULL, *word = g_strdup_printf("%d", i);
        bool ok = proc_run(ARGV("echo", word), NULL, &out, &err) && g_ascii_strtoll(out, NULL, 10) == i;
        pid_t pid = proc_spawn_daemon(ARGV("true"), NULL, NULL, &err);
        bool fails = !proc_run(ARGV("/no/such/program"), NULL, NULL, NULL) && proc_spawn_daemon(ARGV(dir), NULL, NULL, NULL) == -1;
        if (!ok || pid <= 0 || !fails)
            return GINT_TO_POINTER(1);
    }
    return NULL;
}

/* A child shares our memory until it has become the program: our handlers, mask, mappings and descriptors are as before. */
static void nothing_is_left_of_them(void **state)
{
    (void) state;
    struct sigaction sa = { .sa_handler = on_signal }, now;
    sigset_t before = { 0 }, after = { 0 };
    GThread *threads[4];
    assert_int_equal(sigaction(SIGUSR1, &sa, NULL), 0);
    assert_int_equal(spawn_some((gpointer) "/tmp") == NULL, true);          /* what is made once */
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    int fd = dup(0);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("spawn", spawn_some, (gpointer) "/tmp");
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        assert_null(g_thread_join(threads[i]));
    guint maps = lines_of("/proc/self/maps");
    assert_null(spawn_some((gpointer) "/tmp"));
    assert_in_range(lines_of("/proc/self/maps"), 1, maps + 20);             /* of a hundred; a sanitizer maps some of its own */
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(sigaction(SIGUSR1, NULL, &now), 0);
    assert_ptr_equal(now.sa_handler, on_signal);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    int next = dup(0);
    assert_int_equal(next, fd + 1);
    close(fd), close(next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_and_environment), cmocka_unit_test(arguments_are_not_a_shell),
        cmocka_unit_test(failure_tells_the_first_line), cmocka_unit_test(missing_program),
        cmocka_unit_test(time_out_ends_the_whole_group), cmocka_unit_test(ends_with_the_child_not_with_its_pipes),
        cmocka_unit_test(output_is_cut), cmocka_unit_test(descriptors_are_closed),
        cmocka_unit_test(limits), cmocka_unit_test(standard_input),
        cmocka_unit_test(user), cmocka_unit_test(daemons), cmocka_unit_test(nothing_is_left_of_them),
        cmocka_unit_test(helpers_end_with_their_parent),
    };
    return cmocka_run_group_tests_name("proc", tests, NULL, NULL);
}
