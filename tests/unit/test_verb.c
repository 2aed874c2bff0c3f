/* tests/unit/test_verb.c -- fault rules, frames on the wire, and the verb loop: checks, order by id, events. */
#include "core/clock.h"
#include "core/error.h"
#include "core/fault.h"
#include "core/verb.h"
#include "core/wire.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const ID_A = "11111111-1111-4111-8111-111111111111";
static const char *const ID_B = "22222222-2222-4222-8222-222222222222";

static gint running_a, overlaps, order_errors, last_n;

static json_t *toy_ensure(const json_t *args, GError **err)
{
    (void) err;
    bool is_a = g_str_equal(json_get_str(args, "id"), ID_A);
    if (is_a) {
        if (g_atomic_int_add(&running_a, 1) != 0)
            g_atomic_int_inc(&overlaps);
        gint n = (gint) json_get_int(args, "n", 0);
        if (n && n != g_atomic_int_get(&last_n) + 1)
            g_atomic_int_inc(&order_errors);
        if (n)
            g_atomic_int_set(&last_n, n);
        g_usleep(3000);
        g_atomic_int_add(&running_a, -1);
    }
    return json_object();
}

static json_t *toy_fail(const json_t *args, GError **err)
{
    (void) args;
    return nv_fail(err, NV_ERR_NO_SPACE, "no room"), NULL;
}

static json_t *toy_shout(const json_t *args, GError **err)
{
    (void) args, (void) err;
    verb_event("shout", json_make("i", "n", (gint64) 7));
    return json_object();
}

static const VerbArg ensure_args[] = { { "id", ARG_ID, false }, { "n", ARG_INT, true }, { NULL, 0, false } };
static const Verb toy_verbs[] = {
    { "toy.ensure", toy_ensure, ensure_args }, { "toy.fail", toy_fail, NULL }, { "toy.shout", toy_shout, NULL }, VERBS_END,
};
static const VerbArg stream_args[] = { { "id", ARG_ID, false }, { NULL, 0, false } };

static bool toy_take(int fd, const json_t *args, GError **err)
{
    if (!g_str_equal(json_get_str(args, "id"), ID_A))
        return nv_fail(err, NV_ERR_NOT_FOUND, "not this one");
    assert_int_equal(write(fd, "raw", 3), 3);
    close(fd);
    return true;
}

static const VerbStream toy_stream = { "toy.attach", toy_take, stream_args };
static const Verb *const tables[] = { toy_verbs, NULL };
static char *dir, *path;
static int listen_fd;

static gpointer serve(gpointer data)
{
    (void) data;
    g_autoptr(GError) error = NULL;
    verb_serve(listen_fd, tables, getuid(), &error);
    return NULL;
}

static int start_server(void **state)
{
    (void) state;
    dir = g_dir_make_tmp("nvt-verb-XXXXXX", NULL);
    path = g_build_filename(dir, "s.sock", NULL);
    g_autoptr(GError) error = NULL;
    verb_stream_add(&toy_stream);
    listen_fd = wire_listen(path, NULL, &error);
    assert_int_not_equal(listen_fd, -1);
    g_thread_unref(g_thread_new("serve", serve, NULL));
    return 0;
}

static int stop_server(void **state)
{
    (void) state;
    g_unlink(path);
    g_rmdir(dir);
    return 0;
}

static void ask(int fd, gint64 n, const char *verb, json_t *args)
{
    g_autoptr(json_t) frame = json_make("isos", "id", n, "verb", verb, "args", args, "request_id", "req-1");
    assert_true(wire_send(fd, frame, NULL));
}

static json_t *hear(int fd)
{
    json_t *frame = wire_receive(fd, NULL);
    assert_non_null(frame);
    return frame;
}

static void assert_error(const json_t *answer, const char *code, const char *part)
{
    assert_string_equal(json_get_str(answer, "error"), code);
    assert_non_null(strstr(json_get_str(answer, "message"), part));
}

static void checks_arguments(void **state)
{
    (void) state;
    static const struct { const char *verb, *args, *code, *part; } rows[] = {
        { "toy.none", "{}", "method", "no verb toy.none" },
        { "toy.ensure", "{}", "invalid", "id is missing" },
        { "toy.ensure", "{\"id\": 4}", "invalid", "not a UUID" },
        { "toy.ensure", "{\"id\": \"../../etc\"}", "invalid", "not a UUID" },
        { "toy.ensure", "{\"id\": \"11111111-1111-4111-8111-111111111111\", \"n\": \"x\"}", "invalid", "n is not an integer" },
        { "toy.ensure", "{\"id\": \"11111111-1111-4111-8111-111111111111\", \"z\": 1}", "invalid", "unknown" },
        { "toy.fail", "{}", "no_space", "no room" },
    };
    int fd = wire_connect(path, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        ask(fd, (gint64) i + 1, rows[i].verb, json_parse_trusted(rows[i].args));
        g_autoptr(json_t) answer = hear(fd);
        assert_int_equal(json_get_int(answer, "id", 0), i + 1);
        assert_error(answer, rows[i].code, rows[i].part);
    }
    close(fd);
}

static void keeps_order_by_id(void **state)
{
    (void) state;
    enum { N = 40 };
    int fd = wire_connect(path, NULL);
    gint64 begin = clock_mono_us();
    for (gint64 n = 1; n <= N; n++)
        ask(fd, n, "toy.ensure", json_make("si", "id", ID_A, "n", n));
    ask(fd, 100, "toy.ensure", json_make("s", "id", ID_B));
    bool b_seen = false;
    for (int i = 0; i <= N; i++) {
        g_autoptr(json_t) answer = hear(fd);
        assert_non_null(json_object_get(answer, "ok"));
        if (json_get_int(answer, "id", 0) == 100) {
            assert_true(i < N / 2);            /* not behind the queue of the other id */
            b_seen = true;
        }
    }
    assert_true(b_seen);
    assert_true(clock_mono_us() - begin >= N * 3000);
    assert_int_equal(overlaps, 0);
    assert_int_equal(order_errors, 0);
    close(fd);
}

static void sends_events_to_all(void **state)
{
    (void) state;
    int a = wire_connect(path, NULL), b = wire_connect(path, NULL);
    ask(b, 1, "toy.fail", json_object());
    g_autoptr(json_t) answer = hear(b);          /* b is known to the server now */
    ask(a, 1, "toy.shout", json_object());
    for (int i = 0; i < 2; i++) {
        g_autoptr(json_t) event = hear(i ? b : a);
        assert_string_equal(json_get_str(event, "event"), "shout");
        assert_int_equal(json_get_int(json_object_get(event, "data"), "n", 0), 7);
    }
    close(a);
    close(b);
}

/* A connection becomes a stream with its first words, and nothing else is ever written to it. */
static void gives_connections_away(void **state)
{
    (void) state;
    static const struct { const char *args, *heard; } rows[] = {
        { "{\"id\": \"11111111-1111-4111-8111-111111111111\"}", "raw" }, { "{\"id\": \"22222222-2222-4222-8222-222222222222\"}", "" },
        { "{\"id\": 4}", "" }, { "{}", "" }, { "{\"id\": \"11111111-1111-4111-8111-111111111111\", \"z\": 1}", "" },
    };
    int loud = wire_connect(path, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        int fd = wire_connect_now(path, NULL);
        char heard[16] = "";
        ask(loud, 1, "toy.shout", json_object());
        for (int k = 0; k < 2; k++)
            json_decref(hear(loud));             /* the answer and the event, which fd does not hear */
        ask(fd, 1, "toy.attach", json_parse_trusted(rows[i].args));
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
        assert_int_equal(recv(fd, heard, sizeof heard - 1, MSG_WAITALL), strlen(rows[i].heard));
        assert_string_equal(heard, rows[i].heard);
        close(fd);
    }
    ask(loud, 2, "toy.attach", json_parse_trusted(rows[0].args));
    g_autoptr(json_t) answer = hear(loud);
    assert_error(answer, "method", "no verb toy.attach");
    close(loud);
}

static void survives_bad_frames(void **state)
{
    (void) state;
    static const struct { guint32 len; const char *text; } rows[] = {
        { WIRE_MAX + 1, "" }, { 0, "" }, { 3, "[1]" }, { 4, "{\"a\"" }, { 9, "{}" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        int fd = wire_connect(path, NULL);
        guint32 head = htonl(rows[i].len);
        char frame[16];
        size_t n = strlen(rows[i].text);
        memcpy(frame, &head, 4);
        memcpy(frame + 4, rows[i].text, n);
        assert_int_equal(write(fd, frame, 4 + n), 4 + n);    /* at once: after the length alone the other end may be gone already */
        shutdown(fd, SHUT_WR);
        assert_null(wire_receive(fd, NULL));
        close(fd);
    }
    int fd = wire_connect(path, NULL);
    ask(fd, 5, "toy.fail", json_object());
    g_autoptr(json_t) answer = hear(fd);
    assert_int_equal(json_get_int(answer, "id", 0), 5);
    close(fd);
}

static void refuses_second_listener(void **state)
{
    (void) state;
    g_autoptr(GError) error = NULL;
    assert_int_equal(wire_listen(path, NULL, &error), -1);
    assert_int_equal(nv_error_code(error), NV_ERR_CONFLICT);
    g_autofree char *stale = g_build_filename(dir, "stale.sock", NULL);
    close(wire_listen(stale, NULL, NULL));
    int fd = wire_listen(stale, NULL, NULL);
    assert_int_not_equal(fd, -1);
    close(fd);
    g_unlink(stale);
}

static void counts_faults(void **state)
{
    (void) state;
    fault_arm("test.a@2:fail, test.b=x/y:fatal");
    g_autoptr(GError) error = NULL, fatal = NULL;
    assert_true(fault_point("test.a", &error));
    assert_false(fault_point("test.a", &error));
    assert_true(nv_error_is_transient(error));
    assert_true(fault_point("test.a", NULL));
    assert_true(fault_point_at("test.b", "x", "z", NULL));
    assert_false(fault_point_at("test.b", "x", "y", &fatal));
    assert_false(nv_error_is_transient(fatal));
    fault_arm(NULL);
    assert_true(fault_point_at("test.b", "x", "y", NULL));
}

static void injects_around_changes(void **state)
{
    (void) state;
    static const char *const specs[] = { "agent.before=toy.ensure:fail", "agent.effect_done:fail" };
    int fd = wire_connect(path, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(specs); i++) {
        fault_arm(specs[i]);
        for (int n = 0; n < 2; n++) {
            ask(fd, n, "toy.ensure", json_make("s", "id", ID_B));
            g_autoptr(json_t) answer = hear(fd);
            if (n == 0)
                assert_error(answer, "agent", "fault injected");
            else
                assert_non_null(json_object_get(answer, "ok"));
        }
    }
    fault_arm(NULL);
    close(fd);
}

static void kills(void **state)
{
    (void) state;
    pid_t pid = fork();
    if (pid == 0) {
        fault_arm("test.a:kill");
        fault_point("test.a", NULL);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status));
}

static void note(const char *name, void *data)
{
    if (g_str_equal(name, "test.a"))
        ++*(int *) data;
}

static void lists_points_once(void **state)
{
    (void) state;
    int n = 0;
    fault_each(note, &n);
    assert_int_equal(n, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checks_arguments),      cmocka_unit_test(keeps_order_by_id), cmocka_unit_test(sends_events_to_all), cmocka_unit_test(gives_connections_away),
        cmocka_unit_test(survives_bad_frames),   cmocka_unit_test(refuses_second_listener), cmocka_unit_test(counts_faults),
        cmocka_unit_test(injects_around_changes), cmocka_unit_test(kills), cmocka_unit_test(lists_points_once),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
