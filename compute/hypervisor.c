/* compute/hypervisor.c -- hosts as hypervisors: os-hypervisors in the shapes of its microversions. */
#include "compute/internal.h"
#include "core/id.h"
#include <string.h>

enum { DETAIL = 1, SERVERS = 2, UPTIME = 4 };

static gint64 num(const json_t *h, const char *key)
{
    return json_get_int(h, key, 0);
}

static void put_capacity(const Call *c, const json_t *h, JsonW *w)
{
    gint64 memory = num(h, "memory_mb"), disk = num(h, "disk_gb");
    jw_kint(w, "vcpus", num(h, "vcpus"));
    jw_kint(w, "memory_mb", memory);
    jw_kint(w, "local_gb", disk);
    jw_kint(w, "vcpus_used", num(h, "used_vcpus"));
    jw_kint(w, "memory_mb_used", num(h, "used_memory_mb"));
    jw_kint(w, "local_gb_used", num(h, "used_disk_gb"));
    jw_kint(w, "free_ram_mb", memory - num(h, "used_memory_mb"));
    jw_kint(w, "free_disk_gb", disk - num(h, "used_disk_gb"));
    jw_kint(w, "current_workload", num(h, "busy"));
    jw_kint(w, "running_vms", num(h, "servers"));
    jw_kint(w, "disk_available_least", disk - num(h, "used_disk_gb"));
    json_t *topology = json_make("iii", "sockets", (gint64) 1, "cores", num(h, "vcpus"), "threads", (gint64) 1);
    g_autoptr(json_t) cpu = json_make("so", "model", json_get_str(h, "cpu_model"), "topology", topology);
    g_autofree char *text = json_text(cpu);
    if (c->ctx->mv >= MV(28))
        jw_kjson(w, "cpu_info", cpu);
    else
        jw_kstr(w, "cpu_info", text);
}

/* "9.0.0" → 9000000, as libvirt and Nova count. */
static gint64 version_number(const char *text)
{
    int major = 0, minor = 0, micro = 0;
    if (text)
        sscanf(text, "%d.%d.%d", &major, &minor, &micro);
    return (gint64) major * 1000000 + minor * 1000 + micro;
}

static bool put_servers(const Call *c, const json_t *h, JsonW *w, GError **err)
{
    g_autoptr(json_t) rows = db_query(c->db, err, "host_servers", "s", json_get_str(h, "name"));
    size_t i;
    json_t *s;
    if (!rows || (!json_array_size(rows) && c->ctx->mv < MV(75)))
        return rows != NULL;
    jw_key(w, "servers");
    jw_array(w);
    json_array_foreach(rows, i, s) {
        jw_object(w);
        jw_kstr(w, "uuid", json_get_str(s, "id"));
        jw_kstr(w, "name", json_get_str(s, "name"));
        jw_end_object(w);
    }
    jw_end_array(w);
    return true;
}

static bool put(const Call *c, const json_t *h, int what, JsonW *w, GError **err)
{
    bool uuid = c->ctx->mv >= MV(53);
    bool up = agent_is_up(json_get_str(h, "name")) && !num(h, "forced_down");
    jw_object(w);
    if (uuid)
        jw_kstr(w, "id", json_get_str(h, "id"));
    else
        jw_kint(w, "id", num(h, "number"));
    jw_kstr(w, "hypervisor_hostname", json_get_str(h, "hostname"));
    jw_kstr(w, "state", up ? "up" : "down");
    jw_kstr(w, "status", num(h, "enabled") ? "enabled" : "disabled");
    if (what & DETAIL) {
        const char *virt = json_get_str(h, "virt_type");
        jw_kstr(w, "hypervisor_type", strcmp(virt, "kvm") == 0 || strcmp(virt, "qemu") == 0 ? "QEMU" : virt);
        jw_kint(w, "hypervisor_version", version_number(json_get_str(h, "hypervisor_version")));
        jw_kstr(w, "host_ip", "127.0.0.1");
        jw_key(w, "service");
        jw_object(w);
        if (uuid)
            jw_kstr(w, "id", json_get_str(h, "id"));
        else
            jw_kint(w, "id", num(h, "number"));
        jw_kstr(w, "host", json_get_str(h, "name"));
        jw_kstr(w, "disabled_reason", json_get_str(h, "disabled_reason"));
        jw_end_object(w);
        if (c->ctx->mv < MV(88))
            put_capacity(c, h, w);
        else
            jw_knull(w, "uptime");
    }
    if (what & UPTIME)
        jw_kstr(w, "uptime", up ? "up" : "");
    if ((what & SERVERS) && !put_servers(c, h, w, err))
        return false;
    jw_end_object(w);
    return true;
}

static bool list(Call *c, const char *pattern, int what, GError **err)
{
    gint64 limit = G_MAXINT32, n = 0;
    const char *marker = NULL, *last = NULL;
    g_autofree char *last_number = NULL;
    if (c->ctx->mv >= MV(33) && !page_query(c, &limit, &marker, err))
        return false;
    if (pattern && c->ctx->mv >= MV(53) && (call_query(c, "limit") || marker))
        return nv_fail(err, NV_ERR_INVALID, "Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported.");
    g_autoptr(json_t) rows = db_query(c->db, err, "host_usage", "");
    size_t i;
    json_t *h;
    if (!rows)
        return false;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "hypervisors");
    jw_array(&w);
    bool skipping = marker != NULL, more = false, any = false;
    json_array_foreach(rows, i, h) {
        g_autofree char *number = g_strdup_printf("%" G_GINT64_FORMAT, num(h, "number"));
        const char *id = c->ctx->mv >= MV(53) ? json_get_str(h, "id") : number;
        if (skipping) {
            skipping = strcmp(id, marker) != 0;
            continue;
        }
        if (pattern && !strstr(json_get_str(h, "hostname"), pattern))
            continue;
        any = true;
        more = n++ >= limit;
        if (more)
            break;
        if (!put(c, h, what, &w, err))
            return false;
        g_free(last_number);
        last = last_number = g_strdup(id);
    }
    if (skipping)
        return nv_fail(err, NV_ERR_INVALID, "marker [%.64s] not found", marker);
    if (pattern && !any)
        return nv_fail(err, NV_ERR_NOT_FOUND, "No hypervisor matching '%.255s' could be found.", pattern);
    jw_end_array(&w);
    if (more && last)
        page_links(c, "hypervisors_links", last, &w);
    jw_end_object(&w);
    return true;
}

static bool list_query(Call *c, int what, GError **err)
{
    static const char *const known[] = { "limit", "marker", "hypervisor_hostname_pattern", "with_servers", NULL };
    bool servers = false;
    if (!query_allowed(c, known, MV(75), err) || (c->ctx->mv >= MV(53) && !call_query_bool(c, "with_servers", false, &servers, err)))
        return false;
    return list(c, c->ctx->mv >= MV(53) ? call_query(c, "hypervisor_hostname_pattern") : NULL, what | (servers ? SERVERS : 0), err);
}

bool hypervisor_list(Call *c, GError **err)
{
    return list_query(c, 0, err);
}

bool hypervisor_list_detail(Call *c, GError **err)
{
    return list_query(c, DETAIL, err);
}

/* Before 2.53: GET /os-hypervisors/{pattern}/search and /servers. */
bool hypervisor_search(Call *c, GError **err)
{
    return list(c, c->params[0], 0, err);
}

bool hypervisor_servers(Call *c, GError **err)
{
    return list(c, c->params[0], SERVERS, err);
}

static bool show(Call *c, int what, GError **err)
{
    const char *id = c->params[0];
    bool uuid = c->ctx->mv >= MV(53), servers = false;
    if (uuid && !id_is_uuid(id))
        return nv_fail(err, NV_ERR_INVALID, "Invalid uuid %.80s", id);
    if (uuid && !call_query_bool(c, "with_servers", false, &servers, err))
        return false;
    g_autoptr(json_t) rows = db_query(c->db, err, "host_usage", "");
    size_t i;
    json_t *h;
    if (!rows)
        return false;
    json_array_foreach(rows, i, h) {
        g_autofree char *number = g_strdup_printf("%" G_GINT64_FORMAT, num(h, "number"));
        if (strcmp(uuid ? json_get_str(h, "id") : number, id) != 0)
            continue;
        JsonW w = call_begin(c, 200);
        jw_object(&w);
        jw_key(&w, "hypervisor");
        if (!put(c, h, what | (servers ? SERVERS : 0), &w, err))
            return false;
        jw_end_object(&w);
        return true;
    }
    return nv_fail(err, NV_ERR_NOT_FOUND, "Hypervisor with ID '%.64s' could not be found.", id);
}

bool hypervisor_show(Call *c, GError **err)
{
    return show(c, DETAIL, err);
}

bool hypervisor_uptime(Call *c, GError **err)
{
    return show(c, UPTIME, err);
}

bool hypervisor_statistics(Call *c, GError **err)
{
    static const struct { const char *json, *key; } sums[] = {
        { "vcpus", "vcpus" }, { "memory_mb", "memory_mb" }, { "local_gb", "disk_gb" }, { "vcpus_used", "used_vcpus" },
        { "memory_mb_used", "used_memory_mb" }, { "local_gb_used", "used_disk_gb" }, { "current_workload", "busy" }, { "running_vms", "servers" },
    };
    g_autoptr(json_t) rows = db_query(c->db, err, "host_usage", ""), all = json_object();
    size_t i;
    json_t *h;
    if (!rows)
        return false;
    for (guint k = 0; k < G_N_ELEMENTS(sums); k++) {
        gint64 sum = 0;
        json_array_foreach(rows, i, h)
            sum += num(h, sums[k].key);
        json_object_set_new(all, sums[k].json, json_integer(sum));
    }
    json_object_set_new(all, "count", json_integer((json_int_t) json_array_size(rows)));
    json_object_set_new(all, "free_ram_mb", json_integer(num(all, "memory_mb") - num(all, "memory_mb_used")));
    json_object_set_new(all, "free_disk_gb", json_integer(num(all, "local_gb") - num(all, "local_gb_used")));
    json_object_set_new(all, "disk_available_least", json_integer(num(all, "free_disk_gb")));
    return call_reply(c, 200, json_make("o", "hypervisor_statistics", json_incref(all)));
}
