/* ops/op.c -- queueing an operation: in the caller's transaction, in order, cancelling or joining what is queued already. */
#include "ops/op.h"
#include "core/fault.h"
#include "core/log.h"
#include "ops/internal.h"

static void wake(void *resource_id)
{
    lanes_kick(resource_id);
    g_free(resource_id);
}

/* *ret_joined: an operation that is live already does what kind would do. */
static bool join_live(Db *db, const OpKind *kind, const char *resource_id, bool *ret_joined, GError **err)
{
    gint64 same = 0;
    *ret_joined = false;
    if (!kind->coalesces && !kind->preempts)
        return true;
    /* A delete that is under way removes everything; a state sync that has begun may have read rows from before this transaction. */
    if (!db_query_int(db, err, &same, "op_live_of_kind", "ssi", resource_id, kind->name, (gint64) (kind->coalesces ? 1 : 0)))
        return false;
    *ret_joined = same != 0;
    return true;
}

static bool make_way(Db *db, const OpKind *kind, const char *resource_id, GError **err)
{
    gint64 live = 0;
    if (kind->preempts)
        return db_exec(db, err, "op_cancel_elders", "s", resource_id);
    if (kind->queues || kind->coalesces)
        return true;
    if (!db_query_int(db, err, &live, "op_live_count", "s", resource_id))
        return false;
    return live == 0 || nv_fail(err, NV_ERR_CONFLICT, "%s is busy: another operation on it is in progress", resource_id);
}

bool op_start(Db *db, const Ctx *ctx, const OpKind *kind, const char *resource_id, const char *host, json_t *args, GError **err)
{
    g_autoptr(json_t) owned = args ? args : json_object();
    g_assert(txn_active());
    bool joined;
    if (!join_live(db, kind, resource_id, &joined, err))
        return false;
    if (!joined) {
        g_autofree char *text = json_text(owned);
        const char *request = ctx && ctx->request_id ? ctx->request_id : log_request_get();
        if (!make_way(db, kind, resource_id, err)
            || !db_exec(db, err, "op_insert", "ssssssss", kind->name, kind->steps[0].name, resource_id, ctx ? ctx->project_id : NULL,
                        ctx ? ctx->user_id : NULL, request, host, text))
            return false;
    }
    if (!fault_point_at("ops.queued", kind->name, NULL, err))
        return false;
    txn_after_commit(wake, g_strdup(resource_id), g_free);
    return true;
}

void op_kick(const char *resource_id)
{
    lanes_kick(resource_id);
}

bool op_set_host(Op *op, const char *host, GError **err)
{
    g_auto(Txn) txn = txn_begin(op->db, err);
    if (!txn.db || !db_exec(op->db, err, "op_set_host", "is", op->id, host) || !txn_commit(&txn, err))
        return false;
    g_free(op->host);
    op->host = g_strdup(host);
    return true;
}

Verdict op_verdict(bool ok, GError **err)
{
    if (ok)
        return STEP_DONE;
    return err && *err && nv_error_is_transient(*err) ? STEP_WAIT : STEP_FAILED;
}

bool op_live(Db *db, const char *resource_id, bool *ret_live, GError **err)
{
    gint64 n = 0;
    if (!db_query_int(db, err, &n, "op_live_count", "s", resource_id))
        return false;
    *ret_live = n > 0;
    return true;
}
