/* compute/external_event.c -- POST /os-server-external-events: what other services tell about servers; accepted, as everything here is one
 * service. */
#include "compute/internal.h"
#include "core/id.h"
#include <string.h>

enum { EVENTS_MAX = 1000 };

static const char *const names[] = { "network-changed", "network-vif-plugged", "network-vif-unplugged", "network-vif-deleted", "volume-extended",
                                     "power-update", "accelerator-request-bound", NULL };
static const char *const statuses[] = { "failed", "completed", "in-progress", NULL };

static bool check_event(const json_t *e, GError **err)
{
    static const char *const keys[] = { "server_uuid", "name", "status", "tag", NULL };
    const char *id = json_get_str(e, "server_uuid"), *name = json_get_str(e, "name"), *status = json_get_str(e, "status");
    if (!json_is_object(e) || !body_allowed(e, keys, err))
        return (err && *err) ? false : nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute events. It is a list of objects");
    if (!id || !id_is_uuid(id))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute server_uuid. It is not a 'uuid'");
    if (!name || !g_strv_contains(names, name))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute name. It is not one of the events");
    return !status || g_strv_contains(statuses, status)
        || nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute status. It is not one of 'failed', 'completed', 'in-progress'");
}

/* 404: no such server; 422: it is on no host. */
static gint64 code_of(Db *db, const char *id)
{
    g_autoptr(Server) s = server_get(db, id, NULL);
    return !s ? 404 : s->host ? 200 : 422;
}

bool external_event_create(Call *c, GError **err)
{
    static const char *const keys[] = { "events", NULL };
    const json_t *events = json_object_get(c->body, "events");
    size_t i;
    json_t *e;
    if (!json_is_object(c->body) || !json_is_array(events) || !json_array_size(events) || json_array_size(events) > EVENTS_MAX)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute body. 'events' is a list of 1 to %d events", EVENTS_MAX);
    if (!body_allowed(c->body, keys, err))
        return false;
    json_array_foreach((json_t *) events, i, e)
        if (!check_event(e, err))
            return false;
    g_autoptr(json_t) list = json_array();
    int status = 200;
    json_array_foreach((json_t *) events, i, e) {
        json_t *said = json_copy(e);
        gint64 code = code_of(c->db, json_get_str(e, "server_uuid"));
        json_object_set_new(said, "code", json_integer(code));
        json_object_set_new(said, "status",
                            json_string(code == 200 ? (json_get_str(e, "status") ? json_get_str(e, "status") : "completed") : "failed"));
        json_array_append_new(list, said);
        status = code == 200 ? status : 207;
    }
    return call_reply(c, status, json_make("o", "events", json_incref(list)));
}
