/* cmd/doctor.c -- `nuvolet ctl doctor`: what contradicts itself, in the rows and between rows and hosts, and its repair. */
#include "cmd/cmd.h"
#include "compute/compute.h"
#include "core/log.h"
#include "network/network.h"
#include "ops/agent.h"
#include "ops/op.h"

enum {
    CONFIRM_US = 400 * 1000,         /* what is gone after this time was under way */
    LOOKS_MAX = 5,
    SETTLE_MS = 15 * 1000,           /* repairs that are operations are waited for */
    REPAIR_TIMEOUT_S = 60,
    WORRYING_ATTEMPTS = 3,
};

static DoctorFn *const doctors[] = { compute_doctor, network_doctor };

static bool find_in_rows(Db *db, GPtrArray *findings, GError **err)
{
    g_autoptr(json_t) broken = db_invariants(db, err);
    g_autoptr(json_t) waiting = broken ? db_query(db, err, "doctor_waiting", "i", (gint64) WORRYING_ATTEMPTS) : NULL;
    json_t *row;
    size_t i;
    if (!waiting)
        return false;
    json_array_foreach(broken, i, row) {
        g_autofree char *text = json_text(json_object_get(row, "row"));
        finding_add(findings, NULL, NULL, NULL, "rows break the rule %s: %s", json_get_str(row, "invariant"), text);
    }
    json_array_foreach(waiting, i, row)
        finding_add(findings, NULL, NULL, NULL, "operation %" G_GINT64_FORMAT " (%s of %s) does not get past step %s: %s", json_get_int(row, "id", 0),
                    json_get_str(row, "kind"), json_get_str(row, "resource_id"), json_get_str(row, "step"), json_get_str(row, "waiting"));
    return true;
}

static void find_on_host(Db *db, const json_t *agent, GPtrArray *findings)
{
    const char *host = json_get_str(agent, "host"), *why = json_get_str(agent, "error");
    if (!json_get_bool(agent, "up", false)) {
        finding_add(findings, NULL, NULL, NULL, "the agent of host %s does not answer: %s; where it is dead, `make up` or its systemd unit starts it",
                    host, why ? why : "not connected yet");
        return;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(doctors); i++) {
        g_autoptr(GError) error = NULL;
        if (!doctors[i](db, host, findings, &error))
            finding_add(findings, NULL, NULL, NULL, "host %s could not be examined: %s", host, error->message);
    }
}

static GPtrArray *examine(Db *db, GError **err)
{
    g_autoptr(GPtrArray) findings = g_ptr_array_new_with_free_func((GDestroyNotify) finding_free);
    g_autoptr(json_t) agents = agents_status();
    json_t *agent;
    size_t i;
    if (!find_in_rows(db, findings, err))
        return NULL;
    json_array_foreach(agents, i, agent)
        find_on_host(db, agent, findings);
    return g_steal_pointer(&findings);
}

static bool has(const GPtrArray *findings, const Finding *finding)
{
    for (guint i = 0; i < findings->len; i++) {
        const Finding *other = findings->pdata[i];
        if (g_str_equal(other->what, finding->what) && g_strcmp0(other->host, finding->host) == 0)
            return true;
    }
    return false;
}

/* Rows and hosts are read one after the other while the cloud works: only what two looks in a row find counts. */
static GPtrArray *examine_surely(Db *db, GError **err)
{
    g_autoptr(GPtrArray) before = examine(db, err);
    for (int look = 1; before && before->len && look < LOOKS_MAX; look++) {
        g_usleep(CONFIRM_US);
        g_autoptr(GPtrArray) now = examine(db, err);
        bool same = true;
        for (guint i = 0; now && i < now->len; i++)
            same = same && has(before, now->pdata[i]);
        g_clear_pointer(&before, g_ptr_array_unref);
        before = g_steal_pointer(&now);
        if (same)
            break;
    }
    return g_steal_pointer(&before);
}

static const char *repair_text(const Finding *finding)
{
    if (finding->verb)
        return finding->verb;
    return finding->host ? "made good by the host's next reconciliation" : "none by itself; look at the log and at `nuvolet ctl ops`";
}

/* fixed is JSON null where there is nothing to do but wait. */
static json_t *repair(const Finding *finding)
{
    g_autoptr(GError) error = NULL;
    if (!finding->verb) {
        if (finding->host)
            agents_sync_soon(finding->host);
        return NULL;
    }
    g_autoptr(json_t) answer = agent_call(finding->host, finding->verb, json_incref(finding->args), REPAIR_TIMEOUT_S, &error);
    log_event(answer ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "doctor.repair", "what", finding->what, "verb", finding->verb,
              "error", error ? error->message : NULL, NULL);
    return error ? json_string(error->message) : json_string("");
}

static json_t *report(const GPtrArray *findings, bool fix)
{
    json_t *list = json_array();
    for (guint i = 0; i < findings->len; i++) {
        const Finding *finding = findings->pdata[i];
        json_t *result = fix ? repair(finding) : NULL;
        json_array_append_new(list, json_make("ssso", "host", finding->host, "what", finding->what, "repair", repair_text(finding),
                                              "result", result));
    }
    return list;
}

json_t *doctor_run(Db *db, bool fix, GError **err)
{
    g_autoptr(GPtrArray) findings = examine_surely(db, err);
    if (!findings)
        return NULL;
    g_autoptr(json_t) list = report(findings, fix);
    if (!fix || findings->len == 0)
        return json_make("oi", "findings", json_incref(list), "left", (gint64) findings->len);
    g_usleep(CONFIRM_US);                        /* the syncs begin */
    ops_wait_idle(SETTLE_MS);
    g_autoptr(GPtrArray) left = examine_surely(db, err);
    if (!left)
        return NULL;
    return json_make("ooi", "findings", json_incref(list), "remaining", report(left, false), "left", (gint64) left->len);
}
