/* network/floating.c -- floating IPs: addresses of an external network that a router leads to a port's fixed address, or forwards ports of.
 */
#include "core/dialect.h"
#include "core/id.h"
#include "identity/identity.h"
#include "network/router.h"
#include <string.h>

/* Kept for a name server outside; nothing here serves it. */
static bool check_relative_name(const Field *f, const json_t *v, GError **err)
{
    const char *name = json_string_value(v);
    if (g_str_has_suffix(name, "."))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: '%.255s' is a FQDN. It should be a relative domain name.", f->json, name);
    return !*name || check_hostname(f, v, err);
}

/* clang-format off */
static const Field fields[] = {
    STR (Floating, id,                  "id",                  FILTER | SORT),
    STR (Floating, project_id,          "project_id",          CREATE | ADMIN | FILTER | SORT, .check = check_text),
    COMPUTED("tenant_id", render_tenant),
    STR (Floating, description,         "description",         CREATE | UPDATE | FILTER, .check = check_text, .dflt = "\"\""),
    STR (Floating, floating_network_id, "floating_network_id", CREATE | REQUIRED | FILTER | SORT, .check = check_uuid),
    STR (Floating, floating_port_id,    "floating_port_id",    HIDDEN),
    STR (Floating, floating_ip_address, "floating_ip_address", CREATE | ADMIN | NULLABLE | FILTER | SORT, .check = check_ip, .dflt = "null"),
    INPUT(Floating, subnet_id,          "subnet_id",           CREATE | NULLABLE),
    STR (Floating, port_id,             "port_id",             CREATE | UPDATE | NULLABLE | FILTER, .check = check_uuid, .dflt = "null"),
    STR (Floating, fixed_ip_address,    "fixed_ip_address",    CREATE | UPDATE | NULLABLE | FILTER | SORT, .check = check_ip, .dflt = "null"),
    STR (Floating, router_id,           "router_id",           NULLABLE | FILTER | SORT),
    STR (Floating, status,              "status",              FILTER | SORT, .dflt = "\"DOWN\""),
    STR (Floating, dns_name,            "dns_name",            CREATE | FILTER, .check = check_relative_name, .dflt = "\"\""),
    STR (Floating, dns_domain,          "dns_domain",          CREATE | FILTER, .check = check_dns_domain, .dflt = "\"\""),
    { .json = "port_details",     .type = T_JSON, .off = MEMBER(Floating, port_details, json_t *) },
    { .json = "port_forwardings", .type = T_JSON, .off = MEMBER(Floating, port_forwardings, json_t *) },
    CHILD(Floating, tags,               "tags",                0, &network_tags),
    INT (Floating, revision_number,     "revision_number",     FILTER | SORT, .dflt = "1"),
    TIME(Floating, created_at,          "created_at",          FILTER | SORT),
    TIME(Floating, updated_at,          "updated_at",          FILTER | SORT),
};
/* clang-format on */

static bool network_check(Db *db, const Network *n, GError **err)
{
    g_autoptr(GPtrArray) subnets = rows_where(db, &subnet_resource, err, "network_id", n->id, NULL);
    if (!subnets)
        return false;
    if (!n->external)
        return nv_fail(err, NV_ERR_INVALID, "Bad floatingip request: Network %s is not a valid external network.", n->id);
    for (guint i = 0; i < subnets->len; i++)
        if (AS(const Subnet, subnets->pdata[i])->ip_version == 4)
            return true;
    return nv_fail(err, NV_ERR_INVALID, "Bad floatingip request: Network %s does not contain any IPv4 subnet.", n->id);
}

static const char *first_v4(const Port *p)
{
    size_t i;
    json_t *one;
    json_array_foreach(p->fixed_ips, i, one) if (!strchr(json_get_str(one, "ip_address"), ':')) return json_get_str(one, "ip_address");
    return NULL;
}

/* The port that holds the address on the external network; nobody's, and on no host. */
static bool port_make(Db *db, Floating *f, GError **err)
{
    const char *subnet_id = json_string_value(f->subnet_id);
    g_autoptr(Port) p = AS(Port, row_new(&port_resource));
    g_autoptr(json_t) fixed = json_array();
    json_t *asked = json_object();
    if (f->subnet_id && !json_is_null(f->subnet_id) && !(subnet_id && id_is_uuid(subnet_id))) {
        json_decref(asked);
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for subnet_id. Reason: it is not a valid UUID.");
    }
    if (subnet_id)
        json_object_set_new(asked, "subnet_id", json_string(subnet_id));
    if (f->floating_ip_address)
        json_object_set_new(asked, "ip_address", json_string(f->floating_ip_address));
    bool any = json_object_size(asked) == 0;
    if (!any)
        json_array_append(fixed, asked);
    json_decref(asked);
    if (!row_defaults(
            &p->row, json_make("sss", "network_id", f->floating_network_id, "device_owner", "network:floatingip", "device_id", f->id), err))
        return false;
    ROW_SET_STR(p, project_id, "");
    ROW_SET_STR(p, status, "N/A");
    ROW_SET_BOOL(p, port_security_enabled, false);
    if (!port_insert(db, p, fixed, err) || (any && !ipam_allocate_v4(db, p, err)))
        return false;
    g_autoptr(Port) made = AS(Port, row_get(db, &port_resource, p->id, err));
    if (!made)
        return false;
    const char *address = first_v4(made);
    if (!address)
        return nv_fail(err, NV_ERR_INVALID, "Unable to find any IP address on external network %s.", f->floating_network_id);
    ROW_SET_STR(f, floating_port_id, made->id);
    ROW_SET_STR(f, floating_ip_address, address);
    return true;
}

static bool before_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    Floating *f = AS(Floating, row);
    row_lower(row, &f->dns_name);
    row_lower(row, &f->dns_domain);
    if (!project_known(db, f->project_id, err) || !quota_check(db, f->project_id, "floatingip", 1, err))
        return false;
    g_autoptr(Network) n = network_find(db, ctx, f->floating_network_id, err);
    return n && network_check(db, n, err) && port_make(db, f, err) && floating_associate(db, ctx, f, NULL, err);
}

static bool before_update(Db *db, const Ctx *ctx, Row *row, const Row *old_row, GError **err)
{
    Floating *f = AS(Floating, row);
    const Floating *old = AS(const Floating, old_row);
    if (!row->dirty) /* from the time when the port was all that a floating IP had */
        ROW_SET_NULL(f, port_id);
    BUMP(f, old);
    if (row_is_dirty(row, &f->port_id))
        return floating_associate(db, ctx, f, old, err);
    return !(row_is_dirty(row, &f->fixed_ip_address) && f->fixed_ip_address)
           || nv_fail(err, NV_ERR_INVALID, "Bad floatingip request: fixed_ip_address cannot be specified without a port_id.");
}

static bool before_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    const Floating *f = AS(const Floating, row);
    g_autoptr(json_t) forwardings = db_query(db, err, "forwardings_of", "s", f->id);
    g_autofree char *list = ids_listed(forwardings);
    if (!forwardings)
        return false;
    if (*list)
        return nv_fail(err, NV_ERR_CONFLICT, "Floating IP %s in use by Port Forwarding resources. Port forwardings: %s.", f->id, list);
    return db_exec(db, err, "port_delete", "s", f->floating_port_id) && (!f->router_id || sync_router(db, ctx, f->router_id, err));
}

static void details_of(GHashTable *by_id, const json_t *found)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *) found, i, one) {
        Floating *f = g_hash_table_lookup(by_id, json_get_str(one, "id"));
        ROW_SET_JSON(f, port_details,
                     json_make("ssssssb", "name", json_get_str(one, "name"), "network_id", json_get_str(one, "network_id"), "mac_address",
                               json_get_str(one, "mac_address"), "status", json_get_str(one, "status"), "device_id",
                               json_get_str(one, "device_id"), "device_owner", json_get_str(one, "device_owner"), "admin_state_up",
                               (int) json_get_int(one, "admin_state_up", 1)));
    }
}

static json_t *range_text(const json_t *row, const char *first, const char *last)
{
    g_autofree char *text = g_strdup_printf("%d:%d", (int) json_get_int(row, first, 0), (int) json_get_int(row, last, 0));
    return json_string(text);
}

static void forwardings_of(GHashTable *by_id, const json_t *found)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *) found, i, one) {
        Floating *f = g_hash_table_lookup(by_id, json_get_str(one, "floatingip_id"));
        gint64 out = json_get_int(one, "external_first", 0), in = json_get_int(one, "internal_first", 0);
        bool out_one = out == json_get_int(one, "external_last", 0), in_one = in == json_get_int(one, "internal_last", 0);
        json_t *entry = json_make("ssss", "id", json_get_str(one, "id"), "protocol", json_get_str(one, "protocol"), "internal_ip_address",
                                  json_get_str(one, "internal_ip_address"), "internal_port_id", json_get_str(one, "internal_port_id"));
        json_object_set_new(entry, out_one ? "external_port" : "external_port_range",
                            out_one ? json_integer(out) : range_text(one, "external_first", "external_last"));
        json_object_set_new(entry, in_one ? "internal_port" : "internal_port_range",
                            in_one ? json_integer(in) : range_text(one, "internal_first", "internal_last"));
        json_array_append_new(f->port_forwardings, entry);
    }
}

/* Ports and forwardings of a whole page, two statements. */
static bool after_load(Db *db, const Ctx *ctx, GPtrArray *rows, GError **err)
{
    g_autoptr(json_t) ids = json_array();
    g_autoptr(GHashTable) by_id = g_hash_table_new(g_str_hash, g_str_equal);
    (void) ctx;
    for (guint i = 0; i < rows->len; i++) {
        Floating *f = rows->pdata[i];
        json_array_append_new(ids, json_string(f->id));
        g_hash_table_insert(by_id, f->id, f);
        ROW_SET_NULL(f, port_details);
        ROW_SET_JSON(f, port_forwardings, json_array());
    }
    g_autofree char *text = json_text(ids);
    g_autoptr(json_t) ports = db_query(db, err, "floating_ports", "s", text);
    g_autoptr(json_t) forwardings = ports ? db_query(db, err, "floating_forwardings", "s", text) : NULL;
    if (!forwardings)
        return false;
    details_of(by_id, ports);
    forwardings_of(by_id, forwardings);
    for (guint i = 0; i < rows->len; i++)
        AS(Floating, rows->pdata[i])->row.dirty = 0;
    return true;
}

const Resource floating_resource = {
    .one = "floatingip",
    .many = "floatingips",
    .table = "floating_ip",
    .dialect = &dialect_neutron,
    .scope = SCOPE_PROJECT,
    .size = sizeof(Floating),
    FIELDS(fields),
    .label = "Floating IP",
    .filters = tag_filters,
    .before_create = before_create,
    .before_update = before_update,
    .before_delete = before_delete,
    .after_load = after_load,
};

bool floating_network_gone(Db *db, const char *network_id, GError **err)
{
    g_autoptr(json_t) unused = db_query(db, err, "floating_unused", "s", network_id);
    size_t i;
    json_t *one;
    json_array_foreach(unused, i, one) if (!db_exec(db, err, "floating_delete", "s", json_get_str(one, "id"))
                                           || !db_exec(db, err, "port_delete", "s", json_get_str(one, "floating_port_id"))) return false;
    return unused != NULL;
}

bool floating_pools(Call *c, GError **err)
{
    static const char *const filters[] = { NULL };
    static const RowList what = { .many = "floatingip_pools", .filters = filters };
    json_t *pools = db_query(c->db, err, "floating_pools", "s", sees_project(c->ctx));
    size_t i;
    json_t *pool;
    json_array_foreach(pools, i, pool)
        json_object_set(pool, "tenant_id", json_object_get(pool, "project_id"));
    return asked_reply(c, &what, pools, err);
}
