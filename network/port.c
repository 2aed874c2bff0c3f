/* network/port.c -- ports: a MAC address and addresses on a network, for a server's NIC or whatever a caller plugs. */
#include "core/conf.h"
#include "core/dialect.h"
#include "core/id.h"
#include "identity/identity.h"
#include "network/qos.h"
#include "network/router.h"
#include "network/trunk.h"
#include <sodium.h>
#include <string.h>

static const char *const vnic_types[] = { "normal", NULL };
static const Child port_groups = { .kind = CHILD_STRINGS, .table = "port_security_group", .parent = "port_id", .value = "security_group_id" };

static const Filter filters[] = {
    TAG_FILTERS,
    { "fixed_ips", "subnet_id=", "port_in_subnet" },
    { "fixed_ips", "ip_address=", "port_with_address" },
    { "fixed_ips", "ip_address_substr=", "port_with_address_part" },
    { NULL, NULL, NULL },
};

static void render_vif_type(const Row *row, const Ctx *ctx, JsonW *w)
{
    (void) ctx;
    jw_str(w, *AS(const Port, row)->host ? "bridge" : "unbound");
}

static void render_vif_details(const Row *row, const Ctx *ctx, JsonW *w)
{
    (void) ctx;
    jw_object(w);
    if (*AS(const Port, row)->host) {
        jw_kbool(w, "port_filter", true);
        jw_kstr(w, "connectivity", "l2");
    }
    jw_end_object(w);
}

/* The name with the domain of the installation; one assignment for each address. */
static void render_dns(const Row *row, const Ctx *ctx, JsonW *w)
{
    const Port *p = AS(const Port, row);
    size_t i;
    json_t *one;
    (void) ctx;
    jw_array(w);
    json_array_foreach(p->fixed_ips, i, one) {
        const char *ip = json_get_str(one, "ip_address");
        g_autofree char *made = g_strdelimit(g_strdup_printf("host-%s", ip), ".:", '-');
        const char *name = *p->dns_name ? p->dns_name : made;
        g_autofree char *fqdn = port_fqdn(name);
        jw_object(w);
        jw_kstr(w, "hostname", name);
        jw_kstr(w, "ip_address", ip);
        jw_kstr(w, "fqdn", fqdn);
        jw_end_object(w);
    }
    jw_end_array(w);
}

/* clang-format off */
static const Field fields[] = {
    STR (Port, id,             "id",             FILTER | SORT),
    STR (Port, project_id,     "project_id",     CREATE | ADMIN | FILTER | SORT, .check = check_text),
    STR (Port, name,           "name",           CREATE | UPDATE | FILTER | SORT, .check = check_name, .dflt = "\"\""),
    COMPUTED("tenant_id", render_tenant),
    STR (Port, network_id,     "network_id",     CREATE | REQUIRED | FILTER | SORT, .check = check_uuid),
    STR (Port, description,    "description",    CREATE | UPDATE | FILTER, .check = check_text, .dflt = "\"\""),
    STR (Port, mac_address,    "mac_address",    CREATE | UPDATE | FILTER | SORT, .check = check_mac_any, .canon = mac_spelled),
    BOOL(Port, admin_state_up, "admin_state_up", CREATE | UPDATE | FILTER | SORT, .dflt = "true"),
    STR (Port, status,         "status",         FILTER | SORT, .dflt = "\"DOWN\""),
    STR (Port, device_id,      "device_id",      CREATE | UPDATE | FILTER | SORT, .check = check_name, .dflt = "\"\""),
    STR (Port, device_owner,   "device_owner",   CREATE | UPDATE | FILTER | SORT, .check = check_name, .dflt = "\"\""),
    STR (Port, server_id,      "server_id",      HIDDEN | NULLABLE),
    { .json = "fixed_ips", .type = T_JSON, .off = MEMBER(Port, fixed_ips, json_t *), .flags = CREATE | UPDATE, .check = check_fixed_ips },
    CHILD(Port, security_groups, "security_groups", CREATE | UPDATE | FILTER, &port_groups, .check = check_id_list, .null = "[]"),
    JSON(Port, allowed_address_pairs, "allowed_address_pairs", CREATE | UPDATE, .check = check_pairs, .dflt = "[]", .null = "[]"),
    JSON(Port, extra_dhcp_opts, "extra_dhcp_opts", CREATE | UPDATE, .check = check_dhcp_opts, .dflt = "[]", .null = "[]"),
    BOOL(Port, port_security_enabled, "port_security_enabled", CREATE | UPDATE | FILTER),
    STR (Port, dns_name,       "dns_name",       CREATE | UPDATE | FILTER, .check = check_dns_name, .dflt = "\"\""),
    COMPUTED("dns_assignment", render_dns),
    STR (Port, qos_policy_id,  "qos_policy_id",  CREATE | UPDATE | FILTER | NULLABLE, .check = check_uuid, .dflt = "null"),
    { .json = "qos_network_policy_id", .type = T_JSON, .off = MEMBER(Port, network_qos, json_t *) },
    { .json = "trunk_details", .type = T_JSON, .off = MEMBER(Port, trunk_details, json_t *) },
    STR (Port, host,           "binding:host_id", CREATE | UPDATE | ADMIN | ADMIN_VIEW | FILTER, .check = check_name, .dflt = "\"\"", .null = "\"\""),
    STR (Port, vnic_type,      "binding:vnic_type", CREATE | UPDATE | FILTER, .check = check_enum, .arg = vnic_types, .dflt = "\"normal\""),
    JSON(Port, binding_profile, "binding:profile", CREATE | UPDATE | ADMIN | ADMIN_VIEW, .check = check_object, .dflt = "{}", .null = "{}"),
    COMPUTED("binding:vif_type", render_vif_type, .flags = ADMIN_VIEW),
    COMPUTED("binding:vif_details", render_vif_details, .flags = ADMIN_VIEW),
    INT (Port, nic_index,      "nic_index",      HIDDEN),
    STR (Port, nic_tag,        "nic_tag",        HIDDEN | NULLABLE),
    BOOL(Port, owned,          "owned",          HIDDEN),
    BOOL(Port, plugged,        "plugged",        HIDDEN),
    CHILD(Port, tags,          "tags",           0, &network_tags),
    INT (Port, revision_number, "revision_number", FILTER | SORT, .dflt = "1"),
    TIME(Port, created_at,     "created_at",     FILTER | SORT),
    TIME(Port, updated_at,     "updated_at",     FILTER | SORT),
};
/* clang-format on */

const char *network_dns_domain(void)
{
    return conf_str("network.dns_domain");
}

char *port_fqdn(const char *name)
{
    const char *domain = network_dns_domain();
    return g_str_has_suffix(name, ".") ? g_strdup(name) : g_strdup_printf("%s%s%s.", name, *domain ? "." : "", domain);
}

bool row_defaults(Row *row, json_t *body, GError **err)
{
    static const char *const none[] = { NULL };
    static const Ctx system_ctx = { .admin = true, .roles = none };
    g_autoptr(json_t) owned = body;
    return row_parse(row, owned, &system_ctx, CREATE, err);
}

char *mac_new(Db *db, const char *network_id, GError **err)
{
    for (int tries = 0; tries < 16; tries++) {
        gint64 taken = 0;
        guint32 r = randombytes_random();
        char *mac = g_strdup_printf("fa:16:3e:%02x:%02x:%02x", r & 0xff, r >> 8 & 0xff, r >> 16 & 0xff);
        if (db_query_int(db, err, &taken, "port_mac_taken", "ss", network_id, mac) && !taken)
            return mac;
        g_free(mac);
        if (!taken)
            return NULL;
    }
    nv_fail(err, NV_ERR_CONFLICT, "Unable to generate unique mac on network %s.", network_id);
    return NULL;
}

static bool mac_free(Db *db, const Port *p, GError **err)
{
    gint64 taken = 0;
    if (!db_query_int(db, err, &taken, "port_mac_taken", "ss", p->network_id, p->mac_address))
        return false;
    return !taken
        || nv_fail(err, NV_ERR_CONFLICT, "Unable to complete operation for network %s. The mac address %s is in use.", p->network_id,
                   p->mac_address);
}

bool port_insert(Db *db, Port *p, const json_t *fixed_ips, GError **err)
{
    if (!p->id) {
        g_autofree char *id = id_new();
        ROW_SET_STR(p, id, id);
    }
    if (!p->mac_address) {
        g_autofree char *mac = mac_new(db, p->network_id, err);
        if (!mac)
            return false;
        ROW_SET_STR(p, mac_address, mac);
    }
    return mac_free(db, p, err) && port_groups_alike(db, p->security_groups, err) && row_insert(db, &p->row, err)
        && ipam_allocate(db, p, fixed_ips, err);
}

bool port_default_groups(Db *db, Port *p, GError **err)
{
    g_autofree char *id = NULL;
    if (!group_default(db, p->project_id, &id, err))
        return false;
    json_t *list = json_array();
    json_array_append_new(list, json_string(id));
    ROW_SET_JSON(p, security_groups, list);
    return true;
}

static bool before_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    Port *p = AS(Port, row);
    row_lower(row, &p->dns_name);
    g_autoptr(Network) n = network_find(db, ctx, p->network_id, err);
    if (!n || !network_usable(db, ctx, n, err) || !port_policy(ctx, n, p, NULL, err) || !project_known(db, p->project_id, err)
        || !qos_check(db, ctx, p->qos_policy_id, NULL, err) || !quota_check(db, p->project_id, "port", 1, err))
        return false;
    if (!row_knows(row, &p->port_security_enabled))
        ROW_SET_BOOL(p, port_security_enabled, n->port_security_enabled);
    bool named = row_knows(row, &p->security_groups), plain = !g_str_has_prefix(p->device_owner, "network:");
    if (!named && plain && p->port_security_enabled && !port_default_groups(db, p, err))
        return false;
    if (named && !port_groups_check(db, ctx, p->security_groups, err))
        return false;
    g_autoptr(json_t) asked = row_knows(row, &p->fixed_ips) ? json_incref(p->fixed_ips) : NULL;
    g_autoptr(json_t) opts = dhcp_opts_merge(NULL, p->extra_dhcp_opts);
    ROW_SET_JSON(p, extra_dhcp_opts, json_incref(opts));
    if (!p->mac_address) {
        g_autofree char *mac = mac_new(db, p->network_id, err);
        if (!mac)
            return false;
        ROW_SET_STR(p, mac_address, mac);
    }
    return port_security_check(p, err) && port_insert(db, p, asked, err) && (!p->qos_policy_id || qos_kept(db, p->id, err))
        && sync_network(db, ctx, p->network_id, err);
}

static bool mac_check(Db *db, const Port *p, const Port *old, GError **err)
{
    if (strcmp(p->mac_address, old->mac_address) == 0)
        return true;
    if (*old->host)
        return nv_fail(err, NV_ERR_CONFLICT,
                       "Unable to complete operation on port %s, port is already bound, port type: bridge, old_mac %s, "
                       "new_mac %s.",
                       p->id, old->mac_address, p->mac_address);
    return mac_free(db, p, err);
}

/* A subport's device and host are its trunk's. */
static bool binding_check(Db *db, const Port *p, const Port *old, GError **err)
{
    bool same = strcmp(p->host, old->host) == 0;
    g_autofree char *trunk = NULL;
    if ((!same || strcmp(p->device_id, old->device_id) != 0 || strcmp(p->device_owner, old->device_owner) != 0)
        && !db_query_str(db, err, &trunk, "trunk_of_subport", "s", p->id))
        return false;
    if (trunk)
        return nv_fail(err, NV_ERR_CONFLICT, "Port %s is currently a subport for trunk %s.", p->id, trunk);
    return !old->server_id || same
        || nv_fail(err, NV_ERR_CONFLICT, "Port %s is a NIC of server %s: its host is the server's.", p->id, old->server_id);
}

static bool addresses_update(Db *db, const Ctx *ctx, Port *p, const Port *old, GError **err)
{
    g_autofree char *floating = NULL;
    bool moved = strcmp(p->mac_address, old->mac_address) != 0;
    if (!row_is_dirty(&p->row, &p->fixed_ips))
        return !moved || ipam_follow_mac(db, p, old->fixed_ips, err);
    g_autoptr(json_t) asked = json_incref(p->fixed_ips);
    if (!db_query_str(db, err, &floating, "floating_owner_of_port", "s", p->id))
        return false;
    if (floating && !json_equal(p->fixed_ips, old->fixed_ips))
        return nv_fail(err, NV_ERR_CONFLICT, "Port %s holds the address of floating IP %s, which does not change.", p->id, floating);
    return ipam_replace(db, p, old->fixed_ips, asked, err) && (!moved || ipam_follow_mac(db, p, old->fixed_ips, err))
        && floating_port_left(db, ctx, p->id, false, err);
}

/* A router's port stays a router's port, and the router follows what becomes of it. */
static bool router_follows(Db *db, const Ctx *ctx, const Port *p, const Port *old, GError **err)
{
    g_autofree char *router_id = NULL;
    if (!db_query_str(db, err, &router_id, "router_of_port", "s", p->id))
        return false;
    if (router_id
        && (strcmp(p->device_id, old->device_id) != 0 || strcmp(p->device_owner, old->device_owner) != 0 || strcmp(p->host, old->host) != 0))
        return nv_fail(err, NV_ERR_CONFLICT, "Port %s is a port of router %s: its device and host are the router's.", p->id, router_id);
    return !router_id || (router_port_moved(db, ctx, router_id, p->id, old->fixed_ips, err) && sync_router(db, ctx, router_id, err));
}

static bool before_update(Db *db, const Ctx *ctx, Row *row, const Row *old_row, GError **err)
{
    Port *p = AS(Port, row);
    const Port *old = AS(const Port, old_row);
    row_lower(row, &p->dns_name);
    g_autoptr(Network) n = network_find(db, NULL, p->network_id, err);
    /* The network's owner sees and removes the ports of others on it, and changes nothing about them. */
    if (!ctx->admin && g_strcmp0(ctx->project_id, p->project_id) != 0)
        return nv_fail(err, NV_ERR_FORBIDDEN, "rule:update_port is disallowed by policy");
    if (!n || !port_policy(ctx, n, p, old, err) || !mac_check(db, p, old, err) || !binding_check(db, p, old, err)
        || !qos_check(db, ctx, p->qos_policy_id, old->qos_policy_id, err))
        return false;
    bool groups = row_is_dirty(row, &p->security_groups);
    if (groups && (!port_groups_check(db, ctx, p->security_groups, err) || !port_groups_alike(db, p->security_groups, err)))
        return false;
    if (row_is_dirty(row, &p->extra_dhcp_opts))
        ROW_SET_JSON(p, extra_dhcp_opts, dhcp_opts_merge(old->extra_dhcp_opts, p->extra_dhcp_opts));
    BUMP(p, old);
    /* Groups that the port leaves have one member less: asked before and after. */
    return port_security_check(p, err) && (!groups || sync_groups_of_port(db, ctx, p->id, err)) && addresses_update(db, ctx, p, old, err)
        && row_update(db, row, err) && (g_strcmp0(p->qos_policy_id, old->qos_policy_id) == 0 || qos_kept(db, p->id, err))
        && router_follows(db, ctx, p, old, err) && sync_groups_of_port(db, ctx, p->id, err) && sync_port(db, ctx, p->id, err)
        && sync_network(db, ctx, p->network_id, err);
}

static bool before_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    const Port *p = AS(const Port, row);
    g_autofree char *user = NULL;
    if (!db_query_str(db, err, &user, "port_service_user", "s", p->id))
        return false;
    if (user || strcmp(p->device_owner, "network:dhcp") == 0)
        return nv_fail(err, NV_ERR_CONFLICT, "Port %s cannot be deleted directly via the port API: has device owner %s.", p->id, p->device_owner);
    return trunk_port_free(db, p->id, err) && floating_port_left(db, ctx, p->id, true, err) && sync_groups_of_port(db, ctx, p->id, err)
        && (!p->plugged || sync_port_gone(db, ctx, p->id, p->host, err))
        && sync_network(db, ctx, p->network_id, err);
}

/* Addresses of a whole page, one statement. */
static bool after_load(Db *db, const Ctx *ctx, GPtrArray *rows, GError **err)
{
    g_autoptr(json_t) ids = json_array();
    g_autoptr(GHashTable) by_id = g_hash_table_new(g_str_hash, g_str_equal);
    (void) ctx;
    for (guint i = 0; i < rows->len; i++) {
        Port *p = rows->pdata[i];
        json_array_append_new(ids, json_string(p->id));
        g_hash_table_insert(by_id, p->id, p);
        ROW_SET_JSON(p, fixed_ips, json_array());
        ROW_SET_JSON(p, network_qos, json_null());
        ROW_SET_JSON(p, trunk_details, json_null());
        p->row.dirty = 0;
    }
    g_autofree char *text = json_text(ids);
    g_autoptr(json_t) found = db_query(db, err, "port_addresses", "s", text);
    g_autoptr(json_t) qos = found ? db_query(db, err, "qos_of_networks", "s", text) : NULL;
    size_t i;
    json_t *one;
    json_array_foreach(found, i, one) {
        Port *p = g_hash_table_lookup(by_id, json_get_str(one, "port_id"));
        json_array_append_new(p->fixed_ips, json_make("ss", "subnet_id", json_get_str(one, "subnet_id"), "ip_address", json_get_str(one, "address")));
    }
    json_array_foreach(qos, i, one) {
        Port *p = g_hash_table_lookup(by_id, json_get_str(one, "id"));
        json_decref(p->network_qos);
        p->network_qos = json_incref(json_object_get(one, "qos_policy_id"));
    }
    return qos && trunk_details_load(db, text, by_id, err);
}

const Resource port_resource = {
    .one = "port",
    .many = "ports",
    .table = "port",
    .dialect = &dialect_neutron,
    .scope = SCOPE_NAMED,
    .visible = "port_visible",
    .writable = "port_visible",
    .size = sizeof(Port),
    FIELDS(fields),
    .label = "Port",
    .filters = filters,
    .before_create = before_create,
    .before_update = before_update,
    .before_delete = before_delete,
    .after_load = after_load,
};
