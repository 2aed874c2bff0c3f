/* compute/oshost.c -- os-hosts, until 2.42: hosts with what projects use of them, enabling and disabling. */
#include "compute/internal.h"
#include <string.h>

static json_t *host_named(const Call *c, GError **err)
{
    g_autoptr(json_t) rows = db_query(c->db, err, "host_by_name", "s", c->params[0]);
    if (!rows)
        return NULL;
    if (!json_array_size(rows))
        return nv_fail(err, NV_ERR_NOT_FOUND, "Compute host %.255s could not be found.", c->params[0]), NULL;
    return json_incref(json_array_get(rows, 0));
}

static bool host_not_offered(Call *c, const char *what)
{
    g_autofree char *text = g_strdup_printf("Unable to complete the requested action: this cloud does not offer %s.", what);
    return call_reply(c, 501, json_make("o", "notImplemented", json_make("is", "code", (gint64) 501, "message", text)));
}

bool oshost_list(Call *c, GError **err)
{
    const char *zone = call_query(c, "zone");
    g_autoptr(json_t) rows = db_query(c->db, err, "host_list", "");
    size_t i;
    json_t *h;
    if (!rows)
        return false;
    json_t *hosts = json_array();
    /* The scheduler is a part of the controller, in Nova's zone for what is not a host of guests. */
    if (!zone || !*zone || strcmp(zone, "internal") == 0)
        json_array_append_new(hosts, json_make("sss", "host_name", g_get_host_name(), "service", "scheduler", "zone", "internal"));
    json_array_foreach(rows, i, h) if (json_get_int(h, "enabled", 0) && (!zone || !*zone || strcmp(zone, json_get_str(h, "zone")) == 0))
        json_array_append_new(
            hosts, json_make("sss", "host_name", json_get_str(h, "name"), "service", "compute", "zone", json_get_str(h, "zone")));
    return call_reply(c, 200, json_make("o", "hosts", hosts));
}

static void put_resource(json_t *list, const char *host, const char *project, gint64 vcpus, gint64 memory, gint64 disk)
{
    json_array_append_new(list, json_make("o", "resource", json_make("ssiii", "host", host, "project", project, "cpu", vcpus, "memory_mb", memory,
                                                                     "disk_gb", disk)));
}

bool oshost_show(Call *c, GError **err)
{
    g_autoptr(json_t) h = host_named(c, err);
    if (!h)
        return false;
    const char *name = json_get_str(h, "name");
    g_autoptr(json_t) projects = db_query(c->db, err, "host_usage_by_project", "s", name);
    size_t i;
    json_t *p;
    if (!projects)
        return false;
    json_t *list = json_array();
    gint64 vcpus = 0, memory = 0, disk = 0;
    put_resource(list, name, "(total)", json_get_int(h, "vcpus", 0), json_get_int(h, "memory_mb", 0), json_get_int(h, "disk_gb", 0));
    json_array_foreach(projects, i, p) {
        vcpus += json_get_int(p, "vcpus", 0);
        memory += json_get_int(p, "memory_mb", 0);
        disk += json_get_int(p, "disk_gb", 0);
    }
    put_resource(list, name, "(used_now)", vcpus, memory, disk);
    put_resource(list, name, "(used_max)", vcpus, memory, disk);
    json_array_foreach(projects, i, p) put_resource(list, name, json_get_str(p, "project_id"), json_get_int(p, "vcpus", 0),
                                                    json_get_int(p, "memory_mb", 0), json_get_int(p, "disk_gb", 0));
    return call_reply(c, 200, json_make("o", "host", list));
}

/* {"status": "enable" | "disable"}; there is no maintenance mode. */
bool oshost_update(Call *c, GError **err)
{
    static const char *const keys[] = { "status", "maintenance_mode", NULL }, *const words[] = { "enable", "disable", NULL };
    const char *status = json_get_str(c->body, "status"), *mode = json_get_str(c->body, "maintenance_mode");
    if (!json_is_object(c->body) || !body_allowed(c->body, keys, err))
        return (err && *err) ? false : nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute body. It is not of type 'object'");
    if ((!status && !mode) || (status && !g_strv_contains(words, status)) || (mode && !g_strv_contains(words, mode)))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute body. status and maintenance_mode are 'enable' or 'disable'");
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(json_t) h = txn.db ? host_named(c, err) : NULL;
    if (!h)
        return false;
    if (mode)
        return host_not_offered(c, "maintenance mode");
    gint64 enabled = strcmp(status, "enable") == 0;
    if (!db_exec(c->db, err, "host_set_service", "siis", json_get_str(h, "id"), enabled, json_get_int(h, "forced_down", 0), NULL)
        || !txn_commit(&txn, err))
        return false;
    return call_reply(c, 200, json_make("ss", "host", c->params[0], "status", enabled ? "enabled" : "disabled"));
}

/* startup, shutdown and reboot of a host's machine. */
bool oshost_power(Call *c, GError **err)
{
    g_autoptr(json_t) h = host_named(c, err);
    return h && host_not_offered(c, "switching hosts");
}
