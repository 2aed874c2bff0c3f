/* ops/runner.c -- carries operations out: step, then one transaction that moves the cursor; again after any crash. */
#include "ops/op.h"
#include "core/clock.h"
#include "core/fault.h"
#include "core/log.h"
#include "ops/agent.h"
#include "ops/internal.h"

enum {
    ATTEMPTS_MAX = 20,               /* of one step, unless the kind never gives up: some two and a half minutes */
    BACKOFF_FIRST_US = 100 * 1000,
    BACKOFF_LAST_US = 10 * G_USEC_PER_SEC,
    BACKOFF_STUBBORN_US = 30 * G_USEC_PER_SEC,   /* never gives up, and the error is permanent */
    UNKNOWN_RETRY_US = 60 * G_USEC_PER_SEC,
    DATABASE_RETRY_US = G_USEC_PER_SEC,
    LATER_US = 3 * G_USEC_PER_SEC,
    CALL_TIMEOUT_S = 60,
    KEEP_DAYS = 90,                  /* finished operations, for os-instance-actions */
    PRUNE_EVERY_S = 3600,
};

/* An operation in the hands of a thread. */
typedef struct Run {
    Op op;
    bool cancel;
    gint64 step_began;               /* wall clock */
    gint64 not_before;               /* wall clock; 0: now */
    char *waiting;                   /* as the row has it */
} Run;

/* What a step's settling transaction decided. */
typedef enum { NEXT_STEP, FINISHED, WAITING } Outcome;

static const OpKind *const *const *all_kinds;    /* set by ops_start */
static Db *runner_db;

static void run_free(Run *run)
{
    g_free(run->op.resource_id);
    g_free(run->op.project_id);
    g_free(run->op.user_id);
    g_free(run->op.request_id);
    g_free(run->op.host);
    g_free(run->op.error);
    g_free(run->waiting);
    json_decref(run->op.args);
    g_free(run);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Run, run_free)

static const OpKind *kind_find(const char *name)
{
    for (const OpKind *const *const *list = all_kinds; *list; list++)
        for (const OpKind *const *kind = *list; *kind; kind++) {
            if (g_str_equal((*kind)->name, name))
                return *kind;
            if ((*kind)->on_fail && g_str_equal((*kind)->on_fail->name, name))
                return (*kind)->on_fail;
        }
    return NULL;
}

static const Step *step_find(const OpKind *kind, const char *name)
{
    for (size_t i = 0; kind && i < kind->n_steps; i++)
        if (g_str_equal(kind->steps[i].name, name))
            return &kind->steps[i];
    return NULL;
}

/* *ret_run NULL: the resource has no live operation.  False: the database failed or the row is of a newer program. */
static bool run_load(const char *resource_id, Run **ret_run, GError **err)
{
    g_autoptr(json_t) rows = db_query(runner_db, err, "op_oldest", "s", resource_id);
    const json_t *row = json_array_get(rows, 0);
    if (!rows)
        return false;
    *ret_run = NULL;
    if (!row)
        return true;
    const OpKind *kind = kind_find(json_get_str(row, "kind"));
    const Step *step = step_find(kind, json_get_str(row, "step"));
    if (!step)
        return nv_fail(err, NV_ERR_INVALID, "operation %" G_GINT64_FORMAT " is of unknown kind or step %s/%s", json_get_int(row, "id", 0),
                       json_get_str(row, "kind"), json_get_str(row, "step"));
    Run *run = g_new0(Run, 1);
    json_t *args = json_parse_trusted(json_get_str(row, "args"));
    run->op = (Op) {
        .db = runner_db, .kind = kind, .step = step, .id = json_get_int(row, "id", 0),
        .resource_id = g_strdup(resource_id), .project_id = g_strdup(json_get_str(row, "project_id")),
        .user_id = g_strdup(json_get_str(row, "user_id")), .request_id = g_strdup(json_get_str(row, "request_id")),
        .host = g_strdup(json_get_str(row, "host")), .args = args ? args : json_object(), .error = g_strdup(json_get_str(row, "error")),
        .attempt = (int) json_get_int(row, "attempt", 0), .since = json_get_int(row, "step_since", 0),
    };
    run->cancel = json_get_int(row, "cancel", 0) != 0;
    run->not_before = json_get_int(row, "not_before", 0);
    run->waiting = g_strdup(json_get_str(row, "waiting"));
    *ret_run = run;
    return true;
}

static Verdict ask_agent(Op *op, json_t **ret_answer, GError **err)
{
    const Step *step = op->step;
    if (!op->host)
        return STEP_DONE;
    json_t *args = step->args ? step->args(op, err) : json_make("s", "id", op->resource_id);
    if (!args)
        return op_verdict(false, err);
    *ret_answer = agent_call(op->host, step->verb, args, step->timeout_s ? step->timeout_s : CALL_TIMEOUT_S, err);
    return json_get_bool(*ret_answer, "again", false) ? STEP_LATER : op_verdict(*ret_answer != NULL, err);
}

static Verdict run_step(Op *op, json_t **ret_answer, GError **err)
{
    if (!fault_point_at("ops.before_step", op->kind->name, op->step->name, err))
        return op_verdict(false, err);
    Verdict v = op->step->run ? op->step->run(op, err) : ask_agent(op, ret_answer, err);
    if (txn_active())
        g_error("step %s/%s left a transaction open", op->kind->name, op->step->name);
    if (v == STEP_DONE && !fault_point_at("ops.effect_done", op->kind->name, op->step->name, err))
        return op_verdict(false, err);
    return v;
}

static gint64 backoff_us(const Op *op, bool permanent)
{
    gint64 cap = permanent ? BACKOFF_STUBBORN_US : BACKOFF_LAST_US;
    gint64 us = MIN(cap, (gint64) BACKOFF_FIRST_US << MIN(op->attempt, 20));
    return (gint64) ((double) us * g_random_double_range(0.75, 1.25));
}

/* The four below run inside the settling transaction. */
static bool put_event(Run *run, const char *result, const char *details, GError **err)
{
    Op *op = &run->op;
    return db_exec(op->db, err, "op_event_put", "ississ", op->id, op->kind->name, op->step->name, run->step_began, result, details);
}

/* Keeps operation and lane going: the next try is due after the backoff. */
static bool put_wait(Run *run, bool away, bool permanent, const char *why, GError **err)
{
    Op *op = &run->op;
    run->not_before = away ? 0 : clock_wall_us() + backoff_us(op, permanent);
    op->attempt += away ? 0 : 1;
    return db_exec(op->db, err, "op_wait", "iiis", op->id, (gint64) op->attempt, run->not_before, why);
}

static bool put_failure(Run *run, const char *why, Outcome *ret_outcome, GError **err)
{
    Op *op = &run->op;
    const OpKind *rollback = op->kind->on_fail;
    if (!put_event(run, "Error", why, err))
        return false;
    *ret_outcome = rollback && !run->cancel ? NEXT_STEP : FINISHED;
    if (*ret_outcome == FINISHED)
        return db_exec(op->db, err, "op_finish", "iss", op->id, run->cancel ? "cancelled" : "failed", why);
    if (!db_exec(op->db, err, "op_become", "isss", op->id, rollback->name, rollback->steps[0].name, why))
        return false;
    if (!op->error)
        op->error = g_strdup(why);
    op->kind = rollback;
    op->step = &rollback->steps[0];
    op->attempt = 0;
    op->since = 0;
    return true;
}

static bool put_progress(Run *run, Outcome *ret_outcome, GError **err)
{
    Op *op = &run->op;
    *ret_outcome = op->step == &op->kind->steps[op->kind->n_steps - 1] ? FINISHED : NEXT_STEP;
    if (*ret_outcome == FINISHED && op->kind->coalesces && !op->error)
        return db_exec(op->db, err, "op_forget", "i", op->id);           /* there are thousands of them, and nothing to tell */
    if (!op->kind->coalesces && !put_event(run, "Success", NULL, err))
        return false;
    if (*ret_outcome == FINISHED)
        return db_exec(op->db, err, "op_finish", "iss", op->id, op->error ? "failed" : "done", NULL);
    op->step++;
    op->attempt = 0;
    op->since = 0;
    return db_exec(op->db, err, "op_advance", "is", op->id, op->step->name);
}

static bool agent_is_away(const Op *op, const GError *why)
{
    return op->host && nv_error_code(why) == NV_ERR_AGENT && !agent_is_up(op->host);
}

static bool settle_error(Run *run, Verdict v, const GError *why, Outcome *ret_outcome, GError **err)
{
    Op *op = &run->op;
    const char *text = why ? why->message : "the step did not finish";
    bool away = v == STEP_WAIT && agent_is_away(op, why);
    run->not_before = 0;
    *ret_outcome = WAITING;
    if (away && g_strcmp0(text, run->waiting) == 0)
        return true;                             /* said already */
    bool again = away || op->kind->never_gives_up || (v == STEP_WAIT && op->attempt + 1 < ATTEMPTS_MAX);
    log_warn(again ? "op.step_waits" : "op.step_failed", "op", LOG_INT(op->id), "kind", op->kind->name, "step", op->step->name,
             "resource", op->resource_id, "host", op->host, "attempt", LOG_INT(op->attempt), "error", text, NULL);
    g_auto(Txn) txn = txn_begin(op->db, err);
    return txn.db && (again ? put_wait(run, away, v == STEP_FAILED, text, err) : put_failure(run, text, ret_outcome, err))
        && txn_commit(&txn, err);
}

/* The first time is remembered, so that the step knows how long it has waited, also after a restart. */
static bool settle_later(Run *run, Outcome *ret_outcome, GError **err)
{
    run->not_before = clock_wall_us() + LATER_US;
    *ret_outcome = WAITING;
    if (run->op.since)
        return true;
    g_auto(Txn) txn = txn_begin(run->op.db, err);
    return txn.db && db_exec(run->op.db, err, "op_later", "ii", run->op.id, run->step_began) && txn_commit(&txn, err);
}

/* The answer is taken over, the cursor moves, and the flag of a younger delete is read, in one transaction.  *ret_refused: the step's
 * done function refused the answer, with err. */
static bool settle_done(Run *run, const json_t *answer, Outcome *ret_outcome, bool *ret_refused, GError **err)
{
    Op *op = &run->op;
    gint64 cancel = 0;
    g_auto(Txn) txn = txn_begin(op->db, err);
    if (!txn.db)
        return false;
    if (op->step->done && answer && !op->step->done(op, answer, err)) {
        *ret_refused = true;
        return false;
    }
    const Step *at = op->step;
    if (db_query_int(op->db, err, &cancel, "op_is_cancelled", "i", op->id) && put_progress(run, ret_outcome, err) && txn_commit(&txn, err)) {
        run->cancel = cancel != 0;
        return true;
    }
    op->step = at;
    return false;
}

/* One step and its settling.  False: the database did not take the result; the step is repeated. */
static bool take_step(Run *run, Outcome *ret_outcome, GError **err)
{
    Op *op = &run->op;
    g_autoptr(GError) why = NULL;
    g_autoptr(json_t) answer = NULL;
    bool refused = false;
    if (op->attempt == 0 || !run->step_began)
        run->step_began = op->since ? op->since : clock_wall_us();
    const Step *step = op->step;
    Verdict v = run_step(op, &answer, &why);
    if (v == STEP_DONE) {
        if (settle_done(run, answer, ret_outcome, &refused, &why)) {
            fault_point_at("ops.cursor_moved", op->kind->name, step->name, NULL);
            return true;
        }
        if (!refused) {
            g_propagate_error(err, g_steal_pointer(&why));
            return false;
        }
        v = op_verdict(false, &why);
    }
    if (v == STEP_LATER)
        return settle_later(run, ret_outcome, err);
    return settle_error(run, v, why, ret_outcome, err);
}

static bool finish_cancelled(Run *run, GError **err)
{
    Op *op = &run->op;
    log_info("op.cancelled", "op", LOG_INT(op->id), "kind", op->kind->name, "step", op->step->name, "resource", op->resource_id, NULL);
    g_auto(Txn) txn = txn_begin(op->db, err);
    return txn.db && db_exec(op->db, err, "op_finish", "iss", op->id, "cancelled", NULL) && txn_commit(&txn, err);
}

/* From here on a second operation of a coalescing kind is queued, not joined: this one is about to read the rows. */
static bool begin_coalescing(Run *run, GError **err)
{
    g_auto(Txn) txn = txn_begin(run->op.db, err);
    return txn.db && db_exec(run->op.db, err, "op_begin", "i", run->op.id) && txn_commit(&txn, err);
}

/* Steps until the operation has ended (FINISHED) or must wait.  False: the database failed. */
static bool run_steps(Run *run, Outcome *ret_outcome, GError **err)
{
    *ret_outcome = FINISHED;
    if (run->op.kind->coalesces && !run->cancel && !begin_coalescing(run, err))
        return false;
    do {
        if (run->cancel)
            return finish_cancelled(run, err);
        if (!take_step(run, ret_outcome, err))
            return false;
        if (*ret_outcome == NEXT_STEP && lanes_stopping()) {
            *ret_outcome = WAITING;
            run->not_before = 0;
            return true;
        }
    } while (*ret_outcome == NEXT_STEP);
    return true;
}

static LaneNext later(gint64 us)
{
    return (LaneNext) { .what = LANE_LATER, .due = clock_mono_us() + us };
}

static LaneNext wait_next(Run *run)
{
    if (run->not_before == 0)
        return run->op.host ? (LaneNext) { .what = LANE_PARKED, .host = g_steal_pointer(&run->op.host) } : later(DATABASE_RETRY_US);
    return later(MAX(0, run->not_before - clock_wall_us()));
}

/* Operations that ended long ago go, a few at a time so that nobody waits long for the writer. */
static bool prune(GError **err)
{
    enum { SLICE = 500 };
    gint64 before = clock_wall_us() - KEEP_DAYS * 86400 * (gint64) G_USEC_PER_SEC;
    for (gint64 gone = SLICE; gone == SLICE;) {
        g_auto(Txn) txn = txn_begin(runner_db, err);
        if (!txn.db || !db_exec(runner_db, err, "op_prune", "ii", before, (gint64) SLICE))
            return false;
        gone = db_changes(runner_db);
        if (!txn_commit(&txn, err))
            return false;
    }
    return true;
}

/* One of the threads, when an operation has ended and it is time. */
static void prune_at_times(void)
{
    static gint64 due;                           /* monotonic; atomic */
    gint64 now = clock_mono_us(), at = __atomic_load_n(&due, __ATOMIC_RELAXED);
    g_autoptr(GError) error = NULL;
    if (now < at || !__atomic_compare_exchange_n(&due, &at, now + PRUNE_EVERY_S * (gint64) G_USEC_PER_SEC, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return;
    if (!prune(&error))
        log_warn("op.prune_failed", "error", error->message, NULL);
}

/* The operations of one resource, the oldest first, until none is left or the oldest has to wait. */
static LaneNext run_lane(const char *resource_id)
{
    for (;;) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Run) run = NULL;
        Outcome outcome = FINISHED;
        if (!run_load(resource_id, &run, &error)) {
            log_error("op.load_failed", "resource", resource_id, "error", error->message, NULL);
            return later(error->code == NV_ERR_INVALID ? UNKNOWN_RETRY_US : DATABASE_RETRY_US);
        }
        if (!run)
            return (LaneNext) { .what = LANE_IDLE };
        if (run->not_before > clock_wall_us() && !run->cancel)
            return wait_next(run);
        log_request_set(run->op.request_id);
        bool ok = run_steps(run, &outcome, &error);
        if (!ok)
            log_error("op.database_failed", "op", LOG_INT(run->op.id), "error", error->message, NULL);
        log_request_set(NULL);
        if (!ok)
            return later(DATABASE_RETRY_US);
        if (outcome == WAITING)
            return wait_next(run);
        prune_at_times();
    }
}

static bool reset_waits(Db *db, GError **err)
{
    g_auto(Txn) txn = txn_begin(db, err);
    return txn.db && db_exec(db, err, "op_reset_waits", "") && txn_commit(&txn, err);
}

bool ops_start(Db *db, const OpKind *const *const *kinds, int threads, GError **err)
{
    runner_db = db;
    all_kinds = kinds;
    if (!reset_waits(db, err))
        return false;
    /* The lanes are there before the rows are read: requests are served already, and what they queue from here on kicks its own. */
    lanes_start(run_lane, threads);
    g_autoptr(json_t) resources = db_query(db, err, "op_lanes", "");
    if (!resources) {
        lanes_stop();
        return false;
    }
    for (size_t i = 0; i < json_array_size(resources); i++)
        lanes_kick(json_get_str(json_array_get(resources, i), "resource_id"));
    if (json_array_size(resources))
        log_info("op.resumed", "resources", LOG_INT((gint64) json_array_size(resources)), NULL);
    return true;
}

void ops_stop(void)
{
    lanes_stop();
}

bool ops_wait_idle(int timeout_ms)
{
    return lanes_wait_idle(timeout_ms);
}
