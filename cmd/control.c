/* cmd/control.c -- the operator's door to a running `serve`: verbs on a Unix socket that only root and its own user may open. */
#include "cmd/cmd.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/fault.h"
#include "core/log.h"
#include "core/verb.h"
#include "core/wire.h"
#include "identity/identity.h"
#include "network/network.h"
#include "ops/agent.h"
#include <unistd.h>

static Db *control_db;               /* the two below are set once by control_start */
static gint64 started_at;
static int control_fd;

static gint64 resident_bytes(void)
{
    g_autofree char *text = NULL;
    if (!g_file_get_contents("/proc/self/statm", &text, NULL, NULL))
        return 0;
    g_auto(GStrv) words = g_strsplit(text, " ", 3);
    return words[0] && words[1] ? g_ascii_strtoll(words[1], NULL, 10) * sysconf(_SC_PAGESIZE) : 0;
}

static json_t *status(const json_t *args, GError **err)
{
    (void) args;
    gint64 bytes = 0;
    g_autoptr(json_t) hosts = db_query(control_db, err, "status_hosts", "");
    g_autoptr(json_t) servers = hosts ? db_query(control_db, err, "status_servers", "") : NULL;
    g_autoptr(json_t) operations = servers ? db_query(control_db, err, "status_operations", "") : NULL;
    if (!operations || !db_query_int(control_db, err, &bytes, "status_database", ""))
        return NULL;
    return json_make("siiiiiooooi", "version", NUVOLET_VERSION, "pid", (gint64) getpid(), "uptime_us", clock_mono_us() - started_at,
                     "resident_bytes", resident_bytes(), "database_bytes", bytes, "generation", (gint64) db_generation(control_db),
                     "agents", agents_status(), "hosts", json_incref(hosts), "servers", json_incref(servers),
                     "operations", json_incref(json_array_get(operations, 0)), "port", conf_int("api.port"));
}

static json_t *doctor(const json_t *args, GError **err)
{
    return doctor_run(control_db, json_get_bool(args, "fix", false), err);
}

static json_t *operations(const json_t *args, GError **err)
{
    json_t *rows = db_query(control_db, err, "op_list", "i", (gint64) json_get_bool(args, "all", false));
    return rows ? json_make("oi", "operations", rows, "now", clock_wall_us()) : NULL;
}

static json_t *set_log(const json_t *args, GError **err)
{
    LogLevel level;
    const char *name = json_get_str(args, "level");
    if (!log_level_parse(name, &level))
        return nv_fail(err, NV_ERR_INVALID, "%s is not a log level: error, warn, info or debug", name), NULL;
    log_level_set(level);
    log_info("log.level", "level", name, NULL);
    return json_object();
}

static json_t *identity(const json_t *args, GError **err)
{
    const json_t *words = json_object_get(args, "words");
    bool purge = g_strcmp0(json_string_value(json_array_get(words, 0)), "project") == 0
              && g_strcmp0(json_string_value(json_array_get(words, 1)), "purge") == 0;
    g_autofree char *text = purge ? purge_run(control_db, words, err) : identity_order(control_db, words, err);
    return text ? json_make("s", "text", text) : NULL;
}

/* As an administrator: whose ports they are does not matter. */
static json_t *explain_way(const json_t *args, GError **err)
{
    static const char *const none[] = { NULL };
    static const Ctx operator_ctx = { .admin = true, .roles = none };
    return network_explain(control_db, &operator_ctx, json_get_str(args, "from"), json_get_str(args, "to"), json_get_str(args, "protocol"),
                           json_get_str(args, "port"), err);
}

/* Tests inject faults at a moment of their choice; only in a process that was started for it. */
static json_t *arm_faults(const json_t *args, GError **err)
{
    if (!g_getenv("NUVOLET_FAULT"))
        return nv_fail(err, NV_ERR_FORBIDDEN, "this process was not started with NUVOLET_FAULT"), NULL;
    fault_arm(json_get_str(args, "spec"));
    return json_object();
}

static const VerbArg explain_args[] = {
    { "from", ARG_STR, false }, { "to", ARG_STR, false }, { "protocol", ARG_STR, true }, { "port", ARG_STR, true }, { NULL, 0, false },
};
static const VerbArg identity_args[] = { { "words", ARG_ARRAY, false }, { NULL, 0, false } };
static const VerbArg fault_args[] = { { "spec", ARG_STR, false }, { NULL, 0, false } };
static const VerbArg doctor_args[] = { { "fix", ARG_BOOL, true }, { NULL, 0, false } };
static const VerbArg ops_args[] = { { "all", ARG_BOOL, true }, { NULL, 0, false } };
static const VerbArg log_args[] = { { "level", ARG_STR, false }, { NULL, 0, false } };
static const Verb verbs[] = {
    { "status", status, NULL }, { "doctor", doctor, doctor_args }, { "ops", operations, ops_args }, { "log", set_log, log_args },
    { "fault", arm_faults, fault_args }, { "identity", identity, identity_args },
    { "explain", explain_way, explain_args }, VERBS_END,
};
static const Verb *const tables[] = { verbs, NULL };

static gpointer serve_control(gpointer data)
{
    (void) data;
    g_autoptr(GError) error = NULL;
    verb_serve(control_fd, tables, geteuid(), &error);
    log_error("control.failed", "error", error->message, NULL);
    return NULL;
}

bool control_start(Db *db, GError **err)
{
    g_autofree char *path = conf_path("paths.run", "control.sock");
    control_db = db;
    started_at = clock_mono_us();
    control_fd = wire_listen(path, NULL, err);
    if (control_fd < 0)
        return false;
    g_thread_unref(g_thread_new("control", serve_control, NULL));
    return true;
}
