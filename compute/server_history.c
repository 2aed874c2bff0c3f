/* compute/server_history.c -- os-instance-actions: the operations of a server and their steps, as Nova's actions and events. */
#include "compute/internal.h"
#include "core/clock.h"
#include <string.h>

/* clang-format off */
static const struct { const char *kind, *action; } names[] = {
    { "server.create", "create" }, { "server.delete", "delete" }, { "server.start", "start" }, { "server.stop", "stop" },
    { "server.reboot", "reboot" }, { "server.reboot.hard", "reboot" }, { "server.heal", "start" },
};
/* clang-format on */

static const char *action_name(const char *kind)
{
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        if (strcmp(names[i].kind, kind) == 0)
            return names[i].action;
    return strchr(kind, '.') ? strchr(kind, '.') + 1 : kind;
}

static void put_time(JsonW *w, const char *key, gint64 us)
{
    char text[32];
    clock_format(us, CLOCK_MICROS, text);
    jw_kstr(w, key, text);
}

static void put_action(const Call *c, const json_t *op, JsonW *w)
{
    jw_kstr(w, "action", action_name(json_get_str(op, "action")));
    jw_kstr(w, "instance_uuid", json_get_str(op, "resource_id"));
    jw_kstr(w, "request_id", json_get_str(op, "request_id"));
    jw_kstr(w, "user_id", json_get_str(op, "user_id"));
    jw_kstr(w, "project_id", json_get_str(op, "project_id"));
    put_time(w, "start_time", json_get_int(op, "created_at", 0));
    jw_kstr(w, "message", json_get_str(op, "error"));
    if (c->ctx->mv >= MV(58))
        put_time(w, "updated_at", json_get_int(op, "updated_at", 0));
}

/* Since 2.21 also those of deleted servers. */
static Server *load(Call *c, GError **err)
{
    bool deleted;
    return c->ctx->mv >= MV(21) ? server_get_even_deleted(c->db, c->ctx, c->params[0], &deleted, err)
                                : server_get_for(c->db, c->ctx, c->params[0], err);
}

static bool time_query(const Call *c, const char *name, gint64 otherwise, gint64 *ret_us, GError **err)
{
    const char *text = call_query(c, name);
    *ret_us = otherwise;
    return !text || clock_parse(text, ret_us)
        || nv_fail(err, NV_ERR_INVALID, "Invalid input for query parameters %s. Value: %.80s. It is not a 'date-time'", name, text);
}

bool server_actions_list(Call *c, GError **err)
{
    static const char *const known[] = { "limit", "marker", "changes-since", "changes-before", NULL };
    gint64 limit = 1000, since, before, from = G_MAXINT64;
    const char *marker = NULL;
    g_autoptr(Server) s = load(c, err);
    if (!s)
        return false;
    bool paged = c->ctx->mv >= MV(58);
    if (!query_allowed(c, known, MV(58), err) || (paged && !page_query(c, &limit, &marker, err)) || !time_query(c, "changes-since", 0, &since, err)
        || !time_query(c, "changes-before", G_MAXINT64, &before, err))
        return false;
    if (before < since)
        return nv_fail(err, NV_ERR_INVALID, "The value of changes-since must be less than or equal to changes-before.");
    if (marker && (!db_query_int(c->db, err, &from, "server_op_by_request", "ss", s->id, marker) || !from))
        return (err && *err) ? false : nv_fail(err, NV_ERR_INVALID, "marker [%.64s] not found", marker);
    g_autoptr(json_t) ops = db_query(c->db, err, "server_ops", "siiii", s->id, from, since, before, limit + 1);
    size_t i;
    json_t *op;
    if (!ops)
        return false;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "instanceActions");
    jw_array(&w);
    json_array_foreach(ops, i, op) {
        if ((gint64) i >= limit)
            break;
        jw_object(&w);
        put_action(c, op, &w);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    if (paged && limit > 0 && (gint64) json_array_size(ops) > limit)
        page_links(c, "links", json_get_str(json_array_get(ops, (size_t) limit - 1), "request_id"), &w);
    jw_end_object(&w);
    return true;
}

static void put_event(const Call *c, const Server *s, const json_t *op, const json_t *e, JsonW *w)
{
    g_autofree char *name = g_strconcat("compute_", json_get_str(e, "step"), NULL);
    const char *host = json_get_str(op, "host");
    jw_object(w);
    jw_kstr(w, "event", name);
    put_time(w, "start_time", json_get_int(e, "started_at", 0));
    put_time(w, "finish_time", json_get_int(e, "finished_at", 0));
    jw_kstr(w, "result", json_get_str(e, "result"));
    if (c->ctx->admin)
        jw_knull(w, "traceback");
    if (c->ctx->mv >= MV(62)) {
        g_autofree char *text = g_strconcat(s->project_id, host ? host : "", NULL);
        g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
        sum[56] = '\0';
        if (c->ctx->admin)
            jw_kstr(w, "host", host);
        jw_kstr(w, "hostId", host ? sum : "");
    }
    if (c->ctx->mv >= MV(84)) {
        bool plain = strcmp(json_get_str(e, "step"), "decision") != 0;
        jw_kstr(w, "details", plain || c->ctx->admin ? json_get_str(e, "details") : NULL);
    }
    jw_end_object(w);
}

bool server_actions_show(Call *c, GError **err)
{
    gint64 id = 0;
    g_autoptr(Server) s = load(c, err);
    if (!s || !db_query_int(c->db, err, &id, "server_op_by_request", "ss", s->id, c->params[1]))
        return false;
    if (!id)
        return nv_fail(err, NV_ERR_NOT_FOUND, "Action %.64s not found", c->params[1]);
    g_autoptr(json_t) ops = db_query(c->db, err, "server_op", "i", id), events = ops ? db_query(c->db, err, "server_op_events", "i", id) : NULL;
    const json_t *op = json_array_get(ops, 0);
    size_t i;
    json_t *e;
    if (!events)
        return false;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "instanceAction");
    jw_object(&w);
    put_action(c, op, &w);
    if (c->ctx->admin || c->ctx->mv >= MV(51)) {
        jw_key(&w, "events");
        jw_array(&w);
        json_array_foreach(events, i, e)
            put_event(c, s, op, e, &w);
        jw_end_array(&w);
    }
    jw_end_object(&w);
    jw_end_object(&w);
    return true;
}
