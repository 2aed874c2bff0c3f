/* compute/server_view.c -- servers as JSON, in the shapes of microversions 2.1 to 2.93. */
#include "compute/internal.h"
#include "core/clock.h"
#include "network/network.h"
#include <string.h>

/* Groups the NICs of several servers by server. */
static json_t *by_server(const json_t *nics)
{
    json_t *all = json_object(), *nic;
    size_t i;
    json_array_foreach((json_t *) nics, i, nic) {
        const char *id = json_get_str(nic, "server_id");
        json_t *list = json_object_get(all, id);
        if (!list)
            json_object_set_new(all, id, list = json_array());
        json_array_append(list, nic);
    }
    return all;
}

bool server_view_init(ServerView *view, Db *db, const Ctx *ctx, GPtrArray *rows, GError **err)
{
    *view = (ServerView){ .ctx = ctx, .all = true };
    g_autofree const char **ids = g_new0(const char *, rows->len + 1);
    g_autoptr(json_t) list = json_array();
    for (guint i = 0; i < rows->len; i++) {
        ids[i] = ((const Server *) rows->pdata[i])->id;
        json_array_append_new(list, json_string(ids[i]));
    }
    g_autoptr(json_t) nics = rows->len ? network_nics(db, ids, err) : json_array();
    if (!nics)
        return false;
    view->nics = by_server(nics);
    if (!ctx->admin || ctx->mv < MV(3))
        return true;
    g_autofree char *text = json_text(list);
    g_autoptr(json_t) data = db_query(db, err, "server_user_data", "s", text);
    size_t i;
    json_t *d;
    if (!data)
        return false;
    view->user_data = json_object();
    json_array_foreach(data, i, d)
        json_object_set(view->user_data, json_get_str(d, "server_id"), json_object_get(d, "user_data"));
    return true;
}

void server_view_done(ServerView *view)
{
    json_decref(view->nics);
    json_decref(view->user_data);
}

void server_view_brief(const Server *s, const Ctx *ctx, JsonW *w)
{
    jw_object(w);
    jw_kstr(w, "id", s->id);
    jw_kstr(w, "name", s->name);
    jw_key(w, "links");
    view_links(ctx, "servers", s->id, w);
    jw_end_object(w);
}

static void put_address(const json_t *nic, const json_t *a, JsonW *w)
{
    jw_object(w);
    jw_kint(w, "version", json_get_int(a, "version", 4));
    jw_kstr(w, "addr", json_get_str(a, "ip"));
    jw_kstr(w, "OS-EXT-IPS:type", json_get_str(a, "type"));
    jw_kstr(w, "OS-EXT-IPS-MAC:mac_addr", json_get_str(nic, "mac"));
    jw_end_object(w);
}

/* Network name → its addresses; several NICs on one network come together. */
void server_view_addresses(const json_t *nics, JsonW *w)
{
    g_autoptr(GPtrArray) done = g_ptr_array_new();
    size_t i, k, m;
    json_t *nic, *other, *a;
    jw_object(w);
    json_array_foreach((json_t *) nics, i, nic) {
        const char *name = json_get_str(nic, "network_name");
        if (!name || g_ptr_array_find_with_equal_func(done, name, g_str_equal, NULL))
            continue;
        g_ptr_array_add(done, (gpointer) name);
        jw_key(w, name);
        jw_array(w);
        json_array_foreach((json_t *) nics, k, other)
            if (g_strcmp0(json_get_str(other, "network_name"), name) == 0)
                json_array_foreach(json_object_get(other, "addresses"), m, a)
                    put_address(other, a, w);
        jw_end_array(w);
    }
    jw_end_object(w);
}

static void put_groups(const json_t *nics, JsonW *w)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    size_t i, k;
    json_t *nic, *group;
    bool any = false;
    json_array_foreach((json_t *) nics, i, nic)
        json_array_foreach(json_object_get(nic, "groups"), k, group) {
            if (!g_hash_table_add(seen, (gpointer) json_get_str(group, "id")))
                continue;
            if (!any) {
                jw_key(w, "security_groups");
                jw_array(w);
            }
            any = true;
            jw_object(w);
            jw_kstr(w, "name", json_get_str(group, "name"));
            jw_end_object(w);
        }
    if (any)
        jw_end_array(w);
}

/* The id of something else, and where it is. */
static void put_bookmark(const Ctx *ctx, const char *folder, const char *id, JsonW *w)
{
    g_autofree char *href = g_strconcat(ctx->base_url, folder, id, NULL);
    jw_kstr(w, "id", id);
    jw_key(w, "links");
    jw_array(w);
    jw_object(w);
    jw_kstr(w, "rel", "bookmark");
    jw_kstr(w, "href", href);
    jw_end_object(w);
    jw_end_array(w);
}

static void put_flavor(const Server *s, const Ctx *ctx, JsonW *w)
{
    jw_key(w, "flavor");
    jw_object(w);
    if (ctx->mv < MV(47)) {
        put_bookmark(ctx, "/compute/flavors/", s->flavor_id, w);
    } else {
        jw_kint(w, "vcpus", s->vcpus);
        jw_kint(w, "ram", s->memory_mb);
        jw_kint(w, "disk", s->disk_gb);
        jw_kint(w, "ephemeral", s->ephemeral_gb);
        jw_kint(w, "swap", s->swap_mb);
        jw_kstr(w, "original_name", s->flavor_name);
        jw_kjson(w, "extra_specs", s->extra_specs);
    }
    jw_end_object(w);
}

static void put_image(const Server *s, const Ctx *ctx, JsonW *w)
{
    jw_key(w, "image");
    if (!s->image_id) {
        jw_str(w, "");
        return;
    }
    jw_object(w);
    put_bookmark(ctx, "/compute/images/", s->image_id, w);
    /* 2.98 and later would show properties here; 2.93 does not. */
    jw_end_object(w);
}

static void put_fault(const Server *s, const Ctx *ctx, const char *status, JsonW *w)
{
    if (!s->fault_message || (strcmp(status, "ERROR") != 0 && strcmp(status, "DELETED") != 0))
        return;
    jw_key(w, "fault");
    jw_object(w);
    jw_kint(w, "code", s->fault_code);
    view_time(w, "created", s->fault_at);
    jw_kstr(w, "message", s->fault_message);
    if (s->fault_details && (ctx->admin || s->fault_code != 500))
        jw_kstr(w, "details", s->fault_details);
    jw_end_object(w);
}

/* Not the host's name, but equal for servers of one project on one host. */
static void put_host_id(const Server *s, JsonW *w)
{
    g_autofree char *text = g_strconcat(s->project_id, s->host ? s->host : "", NULL);
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
    sum[56] = '\0';                              /* Nova's are SHA-224: clients may check the length */
    jw_kstr(w, "hostId", s->host ? sum : "");
}

/* "2026-01-31T12:00:00.000000", or null. */
static void put_usage_time(JsonW *w, const char *key, gint64 us)
{
    char text[32];
    if (!us) {
        jw_knull(w, key);
        return;
    }
    clock_format(us, CLOCK_MICROS, text);
    jw_kstr(w, key, text);
}

static void put_admin(const Server *s, const ServerView *v, JsonW *w)
{
    g_autofree char *domain = g_strdup_printf("nuvolet-%s", s->id);      /* as `virsh list` shows it */
    jw_kstr(w, "OS-EXT-SRV-ATTR:host", s->host);
    jw_kstr(w, "OS-EXT-SRV-ATTR:instance_name", domain);
    jw_kstr(w, "OS-EXT-SRV-ATTR:hypervisor_hostname", s->node);
    if (v->ctx->mv < MV(3))
        return;
    jw_kstr(w, "OS-EXT-SRV-ATTR:reservation_id", s->reservation_id);
    jw_kint(w, "OS-EXT-SRV-ATTR:launch_index", s->launch_index);
    jw_kstr(w, "OS-EXT-SRV-ATTR:hostname", s->hostname);
    jw_kstr(w, "OS-EXT-SRV-ATTR:kernel_id", "");
    jw_kstr(w, "OS-EXT-SRV-ATTR:ramdisk_id", "");
    jw_kstr(w, "OS-EXT-SRV-ATTR:root_device_name", "/dev/vda");
    jw_kstr(w, "OS-EXT-SRV-ATTR:user_data", json_get_str(v->user_data, s->id));
}

static void put_extended(const Server *s, const ServerView *v, const json_t *nics, JsonW *w)
{
    const Ctx *ctx = v->ctx;
    jw_kstr(w, "OS-EXT-AZ:availability_zone", s->zone ? s->zone : "");
    jw_kstr(w, "config_drive", s->config_drive ? "True" : "");
    jw_kstr(w, "key_name", s->key_name);
    put_usage_time(w, "OS-SRV-USG:launched_at", s->launched_at);
    put_usage_time(w, "OS-SRV-USG:terminated_at", s->terminated_at);
    if (!v->deleted)
        put_groups(nics, w);
    if (ctx->admin)
        put_admin(s, v, w);
    jw_kstr(w, "OS-EXT-STS:task_state", s->task_state);
    jw_kstr(w, "OS-EXT-STS:vm_state", s->vm_state);
    jw_kint(w, "OS-EXT-STS:power_state", s->power_state);
    jw_key(w, "os-extended-volumes:volumes_attached");
    jw_array(w);
    jw_end_array(w);
    if (ctx->mv >= MV(16) && ctx->admin)
        jw_kstr(w, "host_status", !s->host ? "" : agent_is_up(s->host) ? "UP" : "UNKNOWN");
}

/* Fields that came later, for all who may see the server. */
static void put_newer(const Server *s, const ServerView *v, JsonW *w)
{
    int mv = v->ctx->mv;
    if (mv >= MV(9))
        jw_kbool(w, "locked", s->locked_by != NULL);
    if (mv >= MV(73))
        jw_kstr(w, "locked_reason", s->locked_reason);
    if (mv >= MV(19))
        jw_kstr(w, "description", s->description);
    if (mv >= MV(26))
        jw_kjson(w, "tags", s->tags);
    if (mv >= MV(63))
        jw_knull(w, "trusted_image_certificates");
    if (mv >= MV(71)) {
        jw_key(w, "server_groups");
        jw_array(w);
        jw_end_array(w);
    }
    if (mv >= MV(90) && !(v->ctx->admin && v->all))
        jw_kstr(w, "OS-EXT-SRV-ATTR:hostname", s->hostname);
}

void server_view_full(const Server *s, const ServerView *v, JsonW *w)
{
    static const char *const progressing[] = { "ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING", NULL };
    const json_t *nics = json_object_get(v->nics, s->id);
    const char *status = v->deleted ? "DELETED" : server_status(s->vm_state, s->task_state);
    jw_object(w);
    jw_kstr(w, "id", s->id);
    jw_kstr(w, "name", s->name);
    jw_kstr(w, "status", status);
    jw_kstr(w, "tenant_id", s->project_id);
    jw_kstr(w, "user_id", s->user_id);
    jw_kjson(w, "metadata", s->metadata);
    put_host_id(s, w);
    put_image(s, v->ctx, w);
    put_flavor(s, v->ctx, w);
    view_time(w, "created", s->created_at);
    view_time(w, "updated", s->updated_at);
    jw_key(w, "addresses");
    server_view_addresses(strcmp(s->vm_state, "building") == 0 || v->deleted ? NULL : nics, w);
    jw_kstr(w, "accessIPv4", s->access_ip_v4 ? s->access_ip_v4 : "");
    jw_kstr(w, "accessIPv6", s->access_ip_v6 ? s->access_ip_v6 : "");
    jw_key(w, "links");
    view_links(v->ctx, "servers", s->id, w);
    jw_kstr(w, "OS-DCF:diskConfig", s->disk_config);
    put_fault(s, v->ctx, status, w);
    if (g_strv_contains(progressing, status))
        jw_kint(w, "progress", s->progress);
    if (v->all)
        put_extended(s, v, nics, w);
    put_newer(s, v, w);
    jw_end_object(w);
}
