/* tests/unit/test_ops.c -- operations over a toy world of files: order, rollback, cancelling, joining, and a kill at every fault point. */
#include "core/clock.h"
#include "core/conf.h"
#include "core/fault.h"
#include "core/log.h"
#include "db/internal.h"
#include "ops/agent.h"
#include "ops/op.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Every scenario runs in a child: it may be killed, and the parent stays without threads. */
static char *dir;                    /* of the running test: database and world */
static Db *db;
static gint fail_domain;             /* how often the domain step is still to fail */
static bool fail_for_good;
static bool script_fails;            /* the create of the fault script fails for good */
static gint sync_runs, sync_busy, block_sync;
static gint slow_over, slow_asked;

#define CHECK(condition) \
    do { if (!(condition)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); _exit(1); } } while (0)

static char *world_path(const char *name) { return g_build_filename(dir, "world", name, NULL); }

static bool world_has(const char *name)
{
    g_autofree char *path = world_path(name);
    return g_file_test(path, G_FILE_TEST_EXISTS);
}

static void world_put(const char *name, const char *text)
{
    g_autofree char *path = world_path(name);
    CHECK(g_file_set_contents(path, text, -1, NULL));
}

static void world_drop(const char *name)
{
    g_autofree char *path = world_path(name);
    g_unlink(path);
}

static char *world_get(const char *name)
{
    g_autofree char *path = world_path(name);
    char *text = NULL;
    g_file_get_contents(path, &text, NULL, NULL);
    return text;
}

static Verdict make_disk(Op *op, GError **err)   { (void) op, (void) err; world_put("disk", "x"); return STEP_DONE; }
static Verdict drop_disk(Op *op, GError **err)   { (void) op, (void) err; world_drop("disk"); return STEP_DONE; }
static Verdict drop_domain(Op *op, GError **err) { (void) op, (void) err; world_drop("domain"); return STEP_DONE; }
static Verdict set_active(Op *op, GError **err)  { (void) op, (void) err; world_put("row", "ACTIVE"); return STEP_DONE; }
static Verdict forget(Op *op, GError **err)      { (void) op, (void) err; world_drop("row"); return STEP_DONE; }

static Verdict make_domain(Op *op, GError **err)
{
    (void) op;
    if (fail_for_good)
        return op_verdict(nv_fail(err, NV_ERR_HOST_FAULT, "no such machine type"), err);
    if (g_atomic_int_get(&fail_domain) > 0) {
        g_atomic_int_add(&fail_domain, -1);
        return op_verdict(nv_fail(err, NV_ERR_AGENT, "busy"), err);
    }
    world_put("domain", "x");
    return STEP_DONE;
}

static Verdict set_error(Op *op, GError **err)
{
    (void) err;
    world_put("row", op->error ? op->error : "no reason");
    return STEP_DONE;
}

static Verdict run_sync(Op *op, GError **err)
{
    (void) op, (void) err;
    CHECK(g_atomic_int_add(&sync_busy, 1) == 0);
    while (g_atomic_int_get(&block_sync))
        g_usleep(1000);
    g_atomic_int_inc(&sync_runs);
    g_atomic_int_add(&sync_busy, -1);
    return STEP_DONE;
}

static Verdict take_time(Op *op, GError **err)
{
    (void) err;
    g_atomic_int_inc(&slow_asked);
    CHECK(op->attempt == 0 && op->since <= clock_wall_us());
    return g_atomic_int_get(&slow_over) ? STEP_DONE : STEP_LATER;
}

static const Step create_steps[] = {
    { "disk", .run = make_disk }, { "domain", .run = make_domain }, { "nowhere", .verb = "domain.ensure" }, { "active", .run = set_active },
};
static const Step rollback_steps[] = { { "domain", .run = drop_domain }, { "disk", .run = drop_disk }, { "error", .run = set_error } };
static const Step delete_steps[] = { { "domain", .run = drop_domain }, { "disk", .run = drop_disk }, { "gone", .run = forget } };
static const Step sync_steps[] = { { "sync", .run = run_sync } };
static const Step slow_steps[] = { { "slow", .run = take_time }, { "domain", .run = make_domain } };
static const Step away_steps[] = { { "ask", .verb = "domain.ensure" } };
static const OpKind toy_rollback = { .name = "toy.rollback", STEPS(rollback_steps), .never_gives_up = true };
static const OpKind toy_create = { .name = "toy.create", STEPS(create_steps), .on_fail = &toy_rollback };
static const OpKind toy_delete = { .name = "toy.delete", STEPS(delete_steps), .preempts = true, .never_gives_up = true };
static const OpKind toy_sync = { .name = "toy.sync", STEPS(sync_steps), .coalesces = true };
static const OpKind toy_away = { .name = "toy.away", STEPS(away_steps) };
static const OpKind toy_slow = { .name = "toy.slow", STEPS(slow_steps) };
static const OpKind *const toy_kinds[] = { &toy_slow, &toy_create, &toy_delete, &toy_sync, &toy_away, NULL };
static const OpKind *const *const kinds[] = { toy_kinds, NULL };

static const char *const ID = "11111111-1111-4111-8111-111111111111";

static void begin(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *file = g_build_filename(dir, "db", NULL), *world = g_build_filename(dir, "world", NULL);
    log_level_set(LOG_LEVEL_ERROR);
    g_mkdir(world, 0755);
    CHECK(conf_load(NULL, NULL));
    CHECK((db = db_open(file, &error)));
    CHECK(ops_start(db, kinds, 4, &error));
}

static bool queue(const OpKind *kind, const char *host, GError **err)
{
    g_auto(Txn) txn = txn_begin(db, err);
    return txn.db && op_start(db, NULL, kind, ID, host, NULL, err) && txn_commit(&txn, err);
}

/* How many operations are in that state, or NULL: ended and of that kind (NULL: any). */
static gint64 count_of(const char *state, const char *kind)
{
    g_autoptr(json_t) list = db_query(db, NULL, "op_list", "i", (gint64) 1);
    gint64 n = 0;
    CHECK(list);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        const char *is = json_get_str(row, "state");
        n += (state ? g_str_equal(is, state) : !g_str_equal(is, "live")) && (!kind || g_str_equal(json_get_str(row, "kind"), kind));
    }
    return n;
}

static gint64 count(const char *state) { return count_of(state, NULL); }

static void assert_row(const char *text)
{
    g_autofree char *row = world_get("row");
    CHECK(g_strcmp0(row, text) == 0);
}

/* Runs fn in a child, in a fresh directory unless keep; its wait status. */
static int child(void (*fn)(void), bool keep)
{
    if (!keep) {
        g_clear_pointer(&dir, g_free);
        dir = g_dir_make_tmp("nvt-ops-XXXXXX", NULL);
    }
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        fail_for_good = script_fails;
        begin();
        fn();
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return status;
}

/* Whatever is there: what an operation was writing when its process ended has a name of its own. */
static void sweep(const char *path)
{
    g_autoptr(GDir) folder = g_dir_open(path, 0, NULL);
    for (const char *name; folder && (name = g_dir_read_name(folder));) {
        g_autofree char *inner = g_build_filename(path, name, NULL);
        if (g_remove(inner) != 0)
            sweep(inner);
    }
    assert_int_equal(g_rmdir(path), 0);
}

static void create(void) { CHECK(queue(&toy_create, NULL, NULL)); }
static void settle(void) { CHECK(ops_wait_idle(20000)); }

static void do_create(void)
{
    create();
    settle();
    assert_row("ACTIVE");
    CHECK(world_has("disk") && world_has("domain") && count("done") == 1);
}

static void do_retry(void)
{
    fail_domain = 3;
    gint64 t = clock_mono_us();
    do_create();
    CHECK(clock_mono_us() - t > 500 * 1000);          /* 100 + 200 + 400 ms, ± a quarter */
}

static void do_rollback(void)
{
    fail_for_good = true;
    create();
    settle();
    assert_row("no such machine type");
    CHECK(!world_has("disk") && !world_has("domain") && count("failed") == 1);
}

static void do_conflict(void)
{
    g_autoptr(GError) error = NULL;
    fail_domain = 1000;
    create();
    CHECK(!queue(&toy_create, NULL, &error));
    CHECK(nv_error_code(error) == NV_ERR_CONFLICT);
}

static void do_preempt(void)
{
    fail_domain = 1000;
    create();
    g_usleep(1000 * 1000);                             /* it waits, for 0.8 s or longer */
    gint64 t = clock_mono_us();
    CHECK(queue(&toy_delete, NULL, NULL));
    CHECK(queue(&toy_delete, NULL, NULL));
    settle();
    CHECK(clock_mono_us() - t < 300 * 1000);
    CHECK(count("cancelled") == 1 && count("done") <= 2 && !world_has("disk") && !world_has("row"));
}

static void do_coalesce(void)
{
    block_sync = 1;
    CHECK(queue(&toy_sync, NULL, NULL));
    while (!g_atomic_int_get(&sync_busy))
        g_usleep(1000);
    for (int i = 0; i < 10; i++)
        CHECK(queue(&toy_sync, NULL, NULL));          /* the first of these is queued, the others join it */
    CHECK(count("live") == 2);
    g_atomic_int_set(&block_sync, 0);
    settle();
    CHECK(sync_runs == 2 && count("done") == 0);       /* nothing of them is kept */
}

static void do_rolled_back_request(void)
{
    g_auto(Txn) txn = txn_begin(db, NULL);
    CHECK(op_start(db, NULL, &toy_create, ID, NULL, NULL, NULL));
    txn_end(&txn);
    settle();
    CHECK(count("live") == 0 && !world_has("disk"));
}

static void do_away(void)
{
    CHECK(queue(&toy_away, "elsewhere", NULL));
    CHECK(!ops_wait_idle(500));
    g_autoptr(json_t) list = db_query(db, NULL, "op_list", "i", (gint64) 0);
    const json_t *row = json_array_get(list, 0);
    CHECK(json_get_int(row, "attempt", -1) == 0 && strstr(json_get_str(row, "waiting"), "elsewhere"));
    CHECK(queue(&toy_delete, NULL, NULL));
    settle();
    CHECK(count("cancelled") == 1);
}

/* An operation that ended long ago goes when another one ends. */
static void do_prune(void)
{
    g_auto(Txn) txn = txn_begin(db, NULL);
    CHECK(conn_exec(db_conn(db, NULL), "INSERT INTO operation (kind, action, step, resource_id, args, state, created_at, updated_at, finished_at)"
                                       " VALUES ('toy.create', 'toy.create', 'disk', 'old', '{}', 'done', 1, 1, 1)", NULL));
    CHECK(txn_commit(&txn, NULL) && count("done") == 1);
    CHECK(queue(&toy_create, NULL, NULL));
    settle();
    CHECK(count("done") == 1 && world_has("disk"));
}

static gint64 since_of(const char *id)
{
    g_autoptr(json_t) rows = db_query(db, NULL, "op_oldest", "s", id);
    return json_get_int(json_array_get(rows, 0), "step_since", -1);
}

/* More slow operations than threads: others go on, a kick ends one, a delete takes one's place at once, and the first try's time is kept. */
static void do_slow(void)
{
    enum { N = 10 };
    char ids[N][40];
    for (int i = 0; i < N; i++) {
        g_snprintf(ids[i], sizeof(ids[i]), "33333333-3333-4333-8333-%012d", i);
        g_auto(Txn) txn = txn_begin(db, NULL);
        CHECK(txn.db && op_start(db, NULL, &toy_slow, ids[i], NULL, NULL, NULL) && txn_commit(&txn, NULL));
    }
    gint64 t = clock_mono_us();
    for (int i = 0; i < N; i++)
        while (since_of(ids[i]) <= 0)
            g_usleep(1000);
    gint64 since = since_of(ids[0]);
    create();
    while (count_of("done", "toy.create") < 1)
        g_usleep(1000);
    op_kick(ids[0]);
    while (g_atomic_int_get(&slow_asked) < N + 1)
        g_usleep(1000);
    CHECK( since_of(ids[0]) == since);
    g_auto(Txn) txn = txn_begin(db, NULL);
    CHECK(txn.db && op_start(db, NULL, &toy_delete, ids[1], NULL, NULL, NULL) && txn_commit(&txn, NULL));
    while (count_of("cancelled", "toy.slow") < 1 || count_of("done", "toy.delete") < 1)
        g_usleep(1000);
    g_atomic_int_set(&slow_over, 1);
    for (int i = 0; i < N; i++)
        op_kick(ids[i]);
    while (count_of("done", "toy.slow") < N - 1)
        g_usleep(1000);
    CHECK(clock_mono_us() - t < 2500 * 1000 && world_has("domain"));
}

static void do_many(void)
{
    enum { N = 300 };
    char id[40];
    gint64 t = clock_mono_us();
    for (int i = 0; i < N; i++) {
        g_snprintf(id, sizeof(id), "22222222-2222-4222-8222-%012d", i);
        g_auto(Txn) txn = txn_begin(db, NULL);
        CHECK(txn.db && op_start(db, NULL, &toy_create, id, NULL, NULL, NULL) && txn_commit(&txn, NULL));
    }
    settle();
    print_message("          %d operations of 4 steps in %" G_GINT64_FORMAT " ms\n", N, (clock_mono_us() - t) / 1000);
    CHECK(count("done") == N);
}

static void stuck_after_restart(void) { settle(); CHECK(count("live") == 0); }

#define SCENARIO(fn) \
    static void test_##fn(void **state) { (void) state; assert_int_equal(child(fn, false), 0); sweep(dir); }
SCENARIO(do_create)
SCENARIO(do_retry)
SCENARIO(do_rollback)
SCENARIO(do_conflict)
SCENARIO(do_preempt)
SCENARIO(do_coalesce)
SCENARIO(do_rolled_back_request)
SCENARIO(do_away)
SCENARIO(do_many)
SCENARIO(do_slow)
SCENARIO(do_prune)

/* ---- a fault at every passing of every point ---- */

static const char *spec;

static void script(void)
{
    fault_arm(spec);
    queue(&toy_create, NULL, NULL);
    settle();
    queue(&toy_delete, NULL, NULL);
    settle();
}

/* A client that got no answer asks again; deletes are answered while the row is there. */
static void repeat_script(void)
{
    settle();
    if (count_of(NULL, NULL) == 0) {
        create();
        settle();
    }
    if (count_of(NULL, "toy.delete") == 0) {
        g_autofree char *row = world_get("row");
        CHECK(g_strcmp0(row, script_fails ? "no such machine type" : "ACTIVE") == 0 || (row && strstr(row, "fault injected")));
        CHECK(world_has("domain") == g_str_equal(row, "ACTIVE") && world_has("disk") == g_str_equal(row, "ACTIVE"));
        CHECK(queue(&toy_delete, NULL, NULL));
        settle();
    }
    CHECK(!world_has("disk") && !world_has("domain") && !world_has("row") && count("live") == 0);
}

static void loop_over(const char *point, const char *mode, int *ret_injected)
{
    for (int k = 1; k < 100; k++) {
        g_autofree char *text = g_strdup_printf("%s@%d:%s", point, k, mode);
        bool kills = g_str_equal(mode, "kill");
        spec = text;
        int status = child(script, false);
        assert_true(status == 0 || WIFSIGNALED(status));
        assert_int_equal(child(repeat_script, true), 0);
        sweep(dir);
        if (kills ? status == 0 : k > 12)
            return;                                    /* the script has no k-th passing */
        ++*ret_injected;
    }
    fail_msg("%s never ends", point);
}

static void survives_every_point(void **state)
{
    (void) state;
    static const char *const points[] = { "ops.queued", "ops.before_step", "ops.effect_done", "ops.cursor_moved" };
    static const char *const modes[] = { "kill", "fail", "fatal" };
    int injected = 0;
    for (int failing = 0; failing < 2; failing++)
        for (size_t m = 0; m < G_N_ELEMENTS(modes); m++)
            for (size_t p = 0; p < G_N_ELEMENTS(points); p++) {
                script_fails = failing;
                loop_over(points[p], modes[m], &injected);
            }
    spec = NULL;
    print_message("          faults injected=%d\n", injected);
    assert_true(injected > 40);
}

static void goes_on_after_kill(void **state)
{
    (void) state;
    spec = "ops.before_step=toy.create/domain:kill";
    assert_true(WIFSIGNALED(child(script, false)));
    assert_int_equal(child(stuck_after_restart, true), 0);
    sweep(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_do_create),  cmocka_unit_test(test_do_retry),    cmocka_unit_test(test_do_rollback),
        cmocka_unit_test(test_do_conflict), cmocka_unit_test(test_do_preempt), cmocka_unit_test(test_do_coalesce),
        cmocka_unit_test(test_do_rolled_back_request), cmocka_unit_test(test_do_away), cmocka_unit_test(test_do_many), cmocka_unit_test(test_do_slow),
        cmocka_unit_test(test_do_prune),
        cmocka_unit_test(goes_on_after_kill), cmocka_unit_test(survives_every_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
