/* tests/unit/test_agent.c -- the controller's side of the wire: many calls at once, timeouts, an agent that dies and comes back, events, syncs. */
#include "core/clock.h"
#include "core/conf.h"
#include "core/error.h"
#include "core/log.h"
#include "core/verb.h"
#include "core/wire.h"
#include "ops/agent.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *dir, *path;
static pid_t agent_pid;
static gint syncs, last_event, event_disorder, slow_saw_urgent, urgent_seen, streamed;

/* ---- the agent: a child process ---- */

static json_t *echo(const json_t *args, GError **err)
{
    (void) err;
    g_usleep((gulong) json_get_int(args, "ms", 0) * 1000);
    return json_make("i", "n", json_get_int(args, "n", 0));
}

static json_t *refuse(const json_t *args, GError **err)
{
    (void) args;
    return nv_fail(err, NV_ERR_HOST_FAULT, "never"), NULL;
}

static json_t *count_up(const json_t *args, GError **err)
{
    (void) args, (void) err;
    for (gint64 n = 1; n <= 50; n++)
        verb_event("count", json_make("i", "n", n));
    return json_object();
}

/* One event that takes long, and one behind it. */
static json_t *hurry(const json_t *args, GError **err)
{
    (void) args, (void) err;
    verb_event("slow", json_object());
    verb_event("urgent", json_object());
    return json_object();
}

static json_t *die(const json_t *args, GError **err)
{
    (void) args, (void) err;
    kill(getpid(), SIGKILL);
    return NULL;
}

static const VerbArg echo_args[] = { { "n", ARG_INT, false }, { "ms", ARG_INT, false }, { NULL, 0, false } };
static const Verb verbs[] = {
    { "echo", echo, echo_args }, { "refuse", refuse, NULL }, { "count", count_up, NULL }, { "die", die, NULL }, { "hurry", hurry, NULL }, VERBS_END,
};
static const Verb *const tables[] = { verbs, NULL };

static void agent_begin(void)
{
    agent_pid = fork();
    if (agent_pid == 0) {
        log_level_set(LOG_LEVEL_ERROR);
        int fd = wire_listen(path, NULL, NULL);
        verb_serve(fd, tables, getuid(), NULL);
        _exit(1);
    }
}

static void agent_end(void)
{
    int status;
    kill(agent_pid, SIGKILL);
    waitpid(agent_pid, &status, 0);
}

static void wait_up(bool up)
{
    for (int i = 0; i < 500 && agent_is_up("h1") != up; i++)
        g_usleep(10 * 1000);
    assert_int_equal(agent_is_up("h1"), up);
}

/* ---- the controller ---- */

static void on_count(Db *db, const char *host, const json_t *data)
{
    (void) db;
    gint n = (gint) json_get_int(data, "n", 0);
    if (n != last_event + 1 || !g_str_equal(host, "h1"))
        event_disorder++;
    g_atomic_int_set(&last_event, n);
}

static void on_slow(Db *db, const char *host, const json_t *data)
{
    (void) db, (void) host, (void) data;
    for (int i = 0; i < 300 && !g_atomic_int_get(&urgent_seen); i++)
        g_usleep(10 * 1000);
    g_atomic_int_set(&slow_saw_urgent, g_atomic_int_get(&urgent_seen) ? 1 : -1);
}

static void on_urgent(Db *db, const char *host, const json_t *data)
{
    (void) db, (void) data;
    int fd = agent_stream(host, "none", json_object(), NULL);
    g_atomic_int_set(&streamed, fd >= 0);
    if (fd >= 0)
        close(fd);
    g_atomic_int_inc(&urgent_seen);
}

static gint syncs_to_fail;

static bool sync_host(Db *db, const char *host)
{
    (void) db;
    /* A sync may ask the agent. */
    g_autoptr(json_t) answer = agent_call(host, "echo", json_make("ii", "n", (gint64) 1, "ms", (gint64) 0), 5, NULL);
    if (answer)
        g_atomic_int_inc(&syncs);
    return answer && (g_atomic_int_get(&syncs_to_fail) <= 0 || g_atomic_int_add(&syncs_to_fail, -1) <= 0);
}

static const AgentEvent events[] = {
    { .event = "count", .run = on_count }, { .event = "slow", .run = on_slow }, { .event = "urgent", .run = on_urgent, .at_once = true },
    { .event = NULL },
};
static const AgentEvent *const event_tables[] = { events, NULL };
static AgentSync *const sync_list[] = { sync_host, NULL };

static int set_up(void **state)
{
    (void) state;
    dir = g_dir_make_tmp("nvt-agent-XXXXXX", NULL);
    path = g_build_filename(dir, "agent.sock", NULL);
    log_level_set(LOG_LEVEL_ERROR);
    agent_begin();
    g_autofree char *agents = g_strdup_printf("h1=unix:%s; h2=unix:%s/none", path, dir);
    g_assert_true(conf_load(NULL, NULL) && conf_override("hosts.agents", agents, NULL));
    g_assert_true(agents_load(NULL, event_tables, sync_list, NULL));
    agents_start();
    wait_up(true);
    return 0;
}

static int tear_down(void **state)
{
    (void) state;
    agents_stop();
    agent_end();
    g_unlink(path);
    return g_rmdir(dir);
}

static gpointer call_many(gpointer data)
{
    gint64 base = GPOINTER_TO_INT(data);
    for (gint64 i = 0; i < 100; i++) {
        g_autoptr(json_t) answer = agent_call("h1", "echo", json_make("ii", "n", base + i, "ms", (gint64) 0), 5, NULL);
        if (json_get_int(answer, "n", -1) != base + i)
            return GINT_TO_POINTER(1);
    }
    return NULL;
}

static void answers_find_their_callers(void **state)
{
    (void) state;
    GThread *threads[8];
    for (int i = 0; i < 8; i++)
        threads[i] = g_thread_new("caller", call_many, GINT_TO_POINTER(1000 * i));
    for (int i = 0; i < 8; i++)
        assert_null(g_thread_join(threads[i]));
}

static void errors_keep_their_code(void **state)
{
    (void) state;
    g_autoptr(GError) refused = NULL, late = NULL, away = NULL, unknown = NULL;
    assert_null(agent_call("h1", "refuse", NULL, 5, &refused));
    assert_int_equal(nv_error_code(refused), NV_ERR_HOST_FAULT);
    assert_string_equal(refused->message, "never");
    gint64 t = clock_mono_us();
    assert_null(agent_call("h1", "echo", json_make("ii", "n", (gint64) 1, "ms", (gint64) 2500), 1, &late));
    assert_int_equal(nv_error_code(late), NV_ERR_AGENT);
    assert_true(clock_mono_us() - t < 2000 * 1000);
    assert_null(agent_call("h2", "echo", NULL, 5, &away));
    assert_int_equal(nv_error_code(away), NV_ERR_AGENT);
    assert_null(agent_call("h3", "echo", NULL, 5, &unknown));
    assert_int_equal(nv_error_code(unknown), NV_ERR_AGENT);
}

static void events_come_in_order(void **state)
{
    (void) state;
    g_autoptr(json_t) answer = agent_call("h1", "count", NULL, 5, NULL);
    assert_non_null(answer);
    for (int i = 0; i < 200 && g_atomic_int_get(&last_event) < 50; i++)
        g_usleep(10 * 1000);
    assert_int_equal(last_event, 50);
    assert_int_equal(event_disorder, 0);
}

static void an_urgent_event_overtakes(void **state)
{
    (void) state;
    g_autoptr(json_t) answer = agent_call("h1", "hurry", NULL, 5, NULL);
    assert_non_null(answer);
    for (int i = 0; i < 500 && !g_atomic_int_get(&slow_saw_urgent); i++)
        g_usleep(10 * 1000);
    assert_int_equal(slow_saw_urgent, 1);
    assert_int_equal(urgent_seen, 1);            /* once */
    assert_int_equal(streamed, 1);               /* as it fetches a connection: nothing that the reader holds is needed */
}

static void comes_back_after_death(void **state)
{
    (void) state;
    g_autoptr(GError) error = NULL;
    gint before = g_atomic_int_get(&syncs);
    assert_true(before > 0);
    gint64 t = clock_mono_us();
    assert_null(agent_call("h1", "die", NULL, 30, &error));
    assert_int_equal(nv_error_code(error), NV_ERR_AGENT);
    assert_true(clock_mono_us() - t < 2000 * 1000);     /* at once, not after the timeout */
    int status;
    waitpid(agent_pid, &status, 0);
    wait_up(false);
    agent_begin();
    wait_up(true);
    for (int i = 0; i < 200 && g_atomic_int_get(&syncs) == before; i++)
        g_usleep(10 * 1000);
    assert_true(g_atomic_int_get(&syncs) > before);
    g_autoptr(json_t) list = agents_status();
    assert_int_equal(json_array_size(list), 2);
    assert_true(json_get_bool(json_array_get(list, 0), "up", false));
    assert_non_null(json_get_str(json_array_get(list, 1), "error"));
}

/* An agent that stands still and reads nothing holds nobody for ever. */
static void a_stopped_agent_holds_nobody(void **state)
{
    (void) state;
    enum { PAD = 4 << 20 };
    g_autofree char *pad = g_strnfill(PAD, 'x');
    g_autoptr(GError) first = NULL;
    gint64 t = clock_mono_us();
    kill(agent_pid, SIGSTOP);
    assert_null(agent_call("h1", "echo", json_make("is", "n", (gint64) 1, "pad", pad), 1, &first));
    assert_int_equal(nv_error_code(first), NV_ERR_AGENT);
    assert_true(clock_mono_us() - t < 30 * G_USEC_PER_SEC);
    kill(agent_pid, SIGCONT);
    g_autoptr(json_t) answer = NULL;
    for (int i = 0; i < 200 && !answer; i++) {
        answer = agent_call("h1", "echo", json_make("ii", "n", (gint64) 7, "ms", (gint64) 0), 5, NULL);
        g_usleep(answer ? 0 : 50 * 1000);
    }
    assert_int_equal(json_get_int(answer, "n", 0), 7);
}

static void syncs_on_demand(void **state)
{
    (void) state;
    gint before = g_atomic_int_get(&syncs);
    agents_sync_soon("h1");
    for (int i = 0; i < 200 && g_atomic_int_get(&syncs) == before; i++)
        g_usleep(10 * 1000);
    assert_true(g_atomic_int_get(&syncs) > before);
}

static bool compared(void)
{
    g_autoptr(json_t) list = agents_status();
    return json_get_bool(json_array_get(list, 0), "compared", false);
}

/* Long before the next one is due. */
static void a_sync_that_fails_is_repeated(void **state)
{
    (void) state;
    for (int i = 0; i < 200 && !compared(); i++)
        g_usleep(10 * 1000);
    assert_true(compared());
    gint before = g_atomic_int_get(&syncs);
    g_atomic_int_set(&syncs_to_fail, 2);
    agents_sync_soon("h1");
    assert_false(compared());
    for (int i = 0; i < 300 && !compared(); i++)
        g_usleep(10 * 1000);
    assert_true(compared());
    assert_int_equal(g_atomic_int_get(&syncs), before + 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_find_their_callers), cmocka_unit_test(errors_keep_their_code), cmocka_unit_test(events_come_in_order),
        cmocka_unit_test(an_urgent_event_overtakes), cmocka_unit_test(comes_back_after_death), cmocka_unit_test(a_stopped_agent_holds_nobody),
        cmocka_unit_test(syncs_on_demand), cmocka_unit_test(a_sync_that_fails_is_repeated),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
