/* cmd/purge.c -- `nuvolet ctl project purge`: first the plan; with --yes, the same calls of the API that a person would make, in order. */
#include "api/api.h"
#include "cmd/cmd.h"
#include "core/clock.h"
#include "identity/identity.h"
#include <string.h>

enum { WAIT_US = 300 * 1000, PATIENCE_S = 180 };

/* The token of the call that this thread makes to itself. */
static __thread const char *token;

static const char *header(const Call *c, const char *name)
{
    (void) c;
    if (g_ascii_strcasecmp(name, "X-Auth-Token") == 0)
        return token;
    return g_ascii_strcasecmp(name, "OpenStack-API-Version") == 0 ? "compute 2.93" : NULL;
}

/* DELETE path, or PUT of body, as over HTTP; 404 is as good as done. */
static bool delete_path(const char *path, const char *body, GError **err)
{
    const char *method = body ? "PUT" : "DELETE";
    HttpRequest req = { .host = "localhost", .call = { .method = method, .path = path, .header = header, .client = "127.0.0.1", .fd = -1 },
                        .raw_body = body, .raw_len = body ? strlen(body) : 0 };
    router_handle(&req, NULL);
    int status = req.call.status;
    g_autofree char *text = req.call.out ? g_string_free(req.call.out, FALSE) : g_strdup("");
    g_clear_pointer(&req.call.headers, g_ptr_array_unref);
    return status < 300 || status == 404 || nv_fail(err, NV_ERR_CONFLICT, "%s %s: %d %.300s", method, path, status, text);
}

/* Servers go in the background. */
static bool wait_for_servers(Db *db, const char *project_id, GError **err)
{
    gint64 end = clock_mono_us() + PATIENCE_S * G_USEC_PER_SEC, limit, used = 1;
    while (clock_mono_us() < end) {
        if (!quota_get(db, project_id, "instances", &limit, &used, err))
            return false;
        if (used == 0)
            return true;
        g_usleep(WAIT_US);
    }
    return nv_fail(err, NV_ERR_UNAVAILABLE, "%d servers are still being deleted; run it again later", (int) used);
}

static bool carry_out(Db *db, const char *project_id, const json_t *plan, GString *out, GError **err)
{
    bool servers = false;
    size_t i;
    json_t *row;
    json_array_foreach((json_t *) plan, i, row) {
        bool is_server = strcmp(json_get_str(row, "kind"), "server") == 0;
        if (servers && !is_server && !wait_for_servers(db, project_id, err))
            return false;
        servers = is_server;
        if (!delete_path(json_get_str(row, "path"), json_get_str(row, "body"), err))
            return false;
    }
    g_string_append(out, "done\n");
    return true;
}

char *purge_run(Db *db, const json_t *words, GError **err)
{
    const char *name = json_string_value(json_array_get(words, 2)), *yes = json_string_value(json_array_get(words, 3));
    size_t i;
    json_t *row;
    if (!name || json_array_size(words) > 4 || (yes && strcmp(yes, "--yes") != 0))
        return nv_fail(err, NV_ERR_INVALID, "usage: nuvolet ctl project purge PROJECT [--yes]"), NULL;
    g_autofree char *id = identity_project_find(db, name, err);
    g_autoptr(json_t) plan = id ? db_query(db, err, "purge_plan", "s", id) : NULL;
    if (!plan)
        return NULL;
    g_autoptr(GString) out = g_string_new(NULL);
    json_array_foreach(plan, i, row)
        g_string_append_printf(out, "%-15s %s  %s\n", json_get_str(row, "kind"), json_get_str(row, "id"), json_get_str(row, "name"));
    if (!yes) {
        g_string_append(out, "Nothing was deleted yet; the same with --yes deletes these, in this order.\n");
        return g_string_free(g_steal_pointer(&out), FALSE);
    }
    g_autofree char *mine = identity_operator_token(db, err);
    if (!mine)
        return NULL;
    token = mine;
    bool ok = carry_out(db, id, plan, out, err);
    token = NULL;
    identity_operator_done(db, mine);
    return ok ? g_string_free(g_steal_pointer(&out), FALSE) : NULL;
}
