/* compute/usage.c -- os-simple-tenant-usage: what projects used in a time, from the servers that are and those that were. */
#include "compute/internal.h"
#include "core/clock.h"
#include <string.h>

typedef struct Sum { double hours, vcpus, memory, disk; } Sum;

static bool read_period(const Call *c, gint64 *ret_from, gint64 *ret_to, GError **err)
{
    const char *from = call_query(c, "start"), *to = call_query(c, "end");
    gint64 now = clock_wall_us();
    *ret_from = *ret_to = now;
    if ((from && !clock_parse(from, ret_from)) || (to && !clock_parse(to, ret_to)))
        return nv_fail(err, NV_ERR_INVALID, "Invalid start or end time. It is not a time in ISO 8601");
    return *ret_from <= *ret_to || nv_fail(err, NV_ERR_INVALID, "Invalid start time. The start time cannot occur after the end time.");
}

static double hours_in(const json_t *s, gint64 from, gint64 to)
{
    gint64 launched = json_get_int(s, "launched_at", 0), ended = json_get_int(s, "terminated_at", 0);
    if (!launched)
        return 0;
    gint64 begin = MAX(launched, from), end = ended ? MIN(ended, to) : to;
    return end > begin ? (double) (end - begin) / 3.6e9 : 0;
}

static void put_micros(JsonW *w, const char *key, gint64 us)
{
    char text[32];
    clock_format(us, CLOCK_MICROS, text);
    jw_kstr(w, key, text);
}

static void put_server(const json_t *s, double hours, JsonW *w)
{
    bool ended = json_get_int(s, "terminated_at", 0) != 0;
    jw_object(w);
    jw_kstr(w, "instance_id", json_get_str(s, "id"));
    jw_kstr(w, "name", json_get_str(s, "name"));
    jw_key(w, "hours");
    jw_real(w, hours);
    jw_kstr(w, "tenant_id", json_get_str(s, "project_id"));
    jw_kint(w, "memory_mb", json_get_int(s, "memory_mb", 0));
    jw_kint(w, "local_gb", json_get_int(s, "disk_gb", 0));
    jw_kint(w, "vcpus", json_get_int(s, "vcpus", 0));
    jw_kstr(w, "flavor", json_get_str(s, "flavor_name"));
    put_micros(w, "started_at", json_get_int(s, "launched_at", 0));
    if (ended)
        put_micros(w, "ended_at", json_get_int(s, "terminated_at", 0));
    else
        jw_knull(w, "ended_at");
    jw_kstr(w, "state", ended ? "terminated" : json_get_str(s, "vm_state"));
    jw_kint(w, "uptime", (gint64) (hours * 3600));
    jw_end_object(w);
}

/* One project's usage; rows: its servers. */
static void put_usage(const json_t *rows, const char *project, gint64 from, gint64 to, bool detail, JsonW *w)
{
    Sum sum = { 0, 0, 0, 0 };
    size_t i;
    json_t *s;
    jw_object(w);
    jw_kstr(w, "tenant_id", project);
    put_micros(w, "start", from);
    put_micros(w, "stop", to);
    json_array_foreach((json_t *) rows, i, s) {
        double hours = g_strcmp0(json_get_str(s, "project_id"), project) == 0 ? hours_in(s, from, to) : 0;
        sum.hours += hours;
        sum.vcpus += hours * (double) json_get_int(s, "vcpus", 0);
        sum.memory += hours * (double) json_get_int(s, "memory_mb", 0);
        sum.disk += hours * (double) json_get_int(s, "disk_gb", 0);
    }
    jw_key(w, "total_hours");
    jw_real(w, sum.hours);
    jw_key(w, "total_vcpus_usage");
    jw_real(w, sum.vcpus);
    jw_key(w, "total_memory_mb_usage");
    jw_real(w, sum.memory);
    jw_key(w, "total_local_gb_usage");
    jw_real(w, sum.disk);
    if (detail) {
        jw_key(w, "server_usages");
        jw_array(w);
        json_array_foreach((json_t *) rows, i, s)
            if (g_strcmp0(json_get_str(s, "project_id"), project) == 0 && hours_in(s, from, to) > 0)
                put_server(s, hours_in(s, from, to), w);
        jw_end_array(w);
    }
    jw_end_object(w);
}

bool usage_list(Call *c, GError **err)
{
    gint64 from, to;
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    size_t i;
    json_t *s;
    if (g_str_has_suffix(c->path, "/"))          /* a project was to follow */
        return nv_fail(err, NV_ERR_NOT_FOUND, "The resource could not be found.");
    if (!read_period(c, &from, &to, err))
        return false;
    g_autoptr(json_t) rows = db_query(c->db, err, "usage_rows", "sii", NULL, from, to);
    if (!rows)
        return false;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "tenant_usages");
    jw_array(&w);
    json_array_foreach(rows, i, s)
        if (g_hash_table_add(seen, (gpointer) json_get_str(s, "project_id")))
            put_usage(rows, json_get_str(s, "project_id"), from, to, g_strcmp0(call_query(c, "detailed"), "1") == 0, &w);
    jw_end_array(&w);
    jw_end_object(&w);
    return true;
}

bool usage_show(Call *c, GError **err)
{
    gint64 from, to;
    const char *project = c->params[0];
    if (!c->ctx->admin && g_strcmp0(project, c->ctx->project_id) != 0)
        return nv_fail(err, NV_ERR_FORBIDDEN, "Policy doesn't allow os_compute_api:os-simple-tenant-usage:show to be performed.");
    if (!read_period(c, &from, &to, err))
        return false;
    g_autoptr(json_t) rows = db_query(c->db, err, "usage_rows", "sii", project, from, to);
    if (!rows)
        return false;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "tenant_usage");
    if (json_array_size(rows)) {
        put_usage(rows, project, from, to, true, &w);
    } else {
        jw_object(&w);
        jw_end_object(&w);
    }
    jw_end_object(&w);
    return true;
}
