/* compute/server_rest.c -- show, change and delete one server; its addresses, diagnostics and guest password. */
#include "compute/internal.h"
#include "network/network.h"
#include <string.h>

/* The body of PUT /servers/{id}. */
typedef struct Change {
    Row row;
    char *name, *disk_config, *ip4, *ip6, *description, *hostname;
} Change;

static const char *const disk_configs[] = { "AUTO", "MANUAL", NULL };
/* clang-format off */
static const Field change_fields[] = {
    STR(Change, name,        "name",              UPDATE, .check = check_nova_name),
    STR(Change, disk_config, "OS-DCF:diskConfig", UPDATE, .check = check_enum, .arg = disk_configs),
    STR(Change, ip4,         "accessIPv4",        UPDATE, .check = check_ipv4),
    STR(Change, ip6,         "accessIPv6",        UPDATE, .check = check_ipv6),
    STR(Change, description, "description",       UPDATE|NULLABLE, .check = check_nova_text, .since = MV(19)),
    STR(Change, hostname,    "hostname",          UPDATE, .check = check_server_hostname, .since = MV(90)),
};
/* clang-format on */
static const Resource change_resource = {
    .one = "server", .many = "servers", .dialect = &dialect_nova, .size = sizeof(Change), FIELDS(change_fields)
};

static bool reply(Call *c, Server *s, bool all, GError **err)
{
    g_autoptr(GPtrArray) rows = g_ptr_array_new();
    g_auto(ServerView) view = { .ctx = c->ctx };
    g_ptr_array_add(rows, s);
    if (!server_view_init(&view, c->db, c->ctx, rows, err))
        return false;
    view.all = all;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "server");
    server_view_full(s, &view, &w);
    jw_end_object(&w);
    return true;
}

bool server_show(Call *c, GError **err)
{
    g_autoptr(Server) s = server_get_for(c->db, c->ctx, c->params[0], err);
    return s && reply(c, s, true, err);
}

static void apply(Server *s, Change *ch)
{
    if (row_knows(&ch->row, &ch->name))
        ROW_SET_STR(s, name, ch->name);
    if (row_knows(&ch->row, &ch->disk_config))
        ROW_SET_STR(s, disk_config, ch->disk_config);
    if (row_knows(&ch->row, &ch->ip4))
        ROW_SET_STR(s, access_ip_v4, ch->ip4);
    if (row_knows(&ch->row, &ch->ip6))
        ROW_SET_STR(s, access_ip_v6, ch->ip6);
    if (row_knows(&ch->row, &ch->description))
        ROW_SET_STR(s, description, ch->description);
    if (row_knows(&ch->row, &ch->hostname))
        ROW_SET_STR(s, hostname, ch->hostname);
}

bool server_update(Call *c, GError **err)
{
    const json_t *body = body_only(c, "server", NULL, err);
    g_autoptr(Row) change = row_new(&change_resource);
    if (!body || !row_parse(change, body, c->ctx, UPDATE, err))
        return false;
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Server) s = txn.db ? server_get_for(c->db, c->ctx, c->params[0], err) : NULL;
    if (!s)
        return false;
    apply(s, (Change *) change);
    return row_update(c->db, &s->row, err) && txn_commit(&txn, err) && reply(c, s, c->ctx->mv >= MV(75), err);
}

bool server_delete(Call *c, GError **err)
{
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Server) s = txn.db ? server_get_for(c->db, c->ctx, c->params[0], err) : NULL;
    return s && server_check_unlocked(s, c->ctx, err) && db_exec(c->db, err, "server_task", "ss", s->id, "deleting")
        && op_start(c->db, c->ctx, &op_server_delete, s->id, s->host, NULL, err) && txn_commit(&txn, err) && call_reply_empty(c, 204);
}

/* --- addresses --- */
static json_t *nics_for(Call *c, GError **err)
{
    g_autoptr(Server) s = server_get_for(c->db, c->ctx, c->params[0], err);
    const char *ids[] = { s ? s->id : NULL, NULL };
    return s ? network_nics(c->db, ids, err) : NULL;
}

/* {"network": [{"version", "addr"}]}; only: one network, or NULL for all.  Returns how many networks there were. */
static json_t *plain_addresses(const json_t *nics, const char *only)
{
    json_t *all = json_object(), *nic, *a;
    size_t i, k;
    json_array_foreach((json_t *) nics, i, nic) {
        const char *name = json_get_str(nic, "network_name");
        if (!name || (only && strcmp(only, name) != 0))
            continue;
        json_t *list = json_object_get(all, name);
        if (!list)
            json_object_set_new(all, name, list = json_array());
        json_array_foreach(json_object_get(nic, "addresses"), k, a)
            json_array_append_new(list, json_make("is", "version", json_get_int(a, "version", 4), "addr", json_get_str(a, "ip")));
    }
    return all;
}

bool server_ips(Call *c, GError **err)
{
    g_autoptr(json_t) nics = nics_for(c, err);
    return nics && call_reply(c, 200, json_make("o", "addresses", plain_addresses(nics, NULL)));
}

bool server_ips_network(Call *c, GError **err)
{
    g_autoptr(json_t) nics = nics_for(c, err), found = nics ? plain_addresses(nics, c->params[1]) : NULL;
    if (!nics)
        return false;
    if (!json_object_size(found))
        return nv_fail(err, NV_ERR_NOT_FOUND, "Instance is not a member of specified network");
    return call_reply(c, 200, json_incref(found));
}

/* --- diagnostics, for administrators --- */
bool server_diagnostics(Call *c, GError **err)
{
    g_autoptr(Server) s = server_get_for(c->db, c->ctx, c->params[0], err);
    if (!s)
        return false;
    if (!s->host)
        return nv_fail(err, NV_ERR_CONFLICT, "Instance %s is not ready", s->id);
    if (strcmp(s->vm_state, "active") != 0)
        return nv_fail(err, NV_ERR_CONFLICT, "Cannot 'get_diagnostics' instance %s while it is in vm_state %s", s->id, s->vm_state);
    g_autoptr(json_t) state = agent_call(s->host, "domain.state", json_make("s", "id", s->id), 10, err), nics = state ? nics_for(c, err) : NULL;
    if (!nics)
        return false;
    if (c->ctx->mv < MV(48))
        return call_reply(c, 200, json_make("sii", "state", json_get_str(state, "state"), "vcpus", s->vcpus, "memory", s->memory_mb * 1024));
    json_t *d = json_make("sssssbiii", "state", json_get_str(state, "state"), "driver", "libvirt", "hypervisor", "qemu", "uptime", NULL,
                          "hypervisor_os", "linux", "config_drive", (int) s->config_drive, "num_cpus", s->vcpus, "num_nics",
                          (gint64) json_array_size(nics), "num_disks", (gint64) 1);
    json_object_set_new(d, "memory_details", json_make("io", "maximum", s->memory_mb, "used", NULL));
    json_object_set_new(d, "cpu_details", json_array());
    json_object_set_new(d, "nic_details", json_array());
    json_object_set_new(d, "disk_details", json_array());
    return call_reply(c, 200, d);
}

/* --- the password that the guest posted, encrypted, to the metadata service --- */
bool server_password_get(Call *c, GError **err)
{
    g_autoptr(Server) s = server_get_for(c->db, c->ctx, c->params[0], err);
    g_autoptr(json_t) guest = s ? db_query(c->db, err, "server_guest_get", "s", s->id) : NULL;
    if (!guest)
        return false;
    const char *password = json_get_str(json_array_get(guest, 0), "password");
    return call_reply(c, 200, json_make("s", "password", password ? password : ""));
}

bool server_password_clear(Call *c, GError **err)
{
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Server) s = txn.db ? server_get_for(c->db, c->ctx, c->params[0], err) : NULL;
    return s && db_exec(c->db, err, "server_password_put", "ss", s->id, "") && txn_commit(&txn, err) && call_reply_empty(c, 204);
}
