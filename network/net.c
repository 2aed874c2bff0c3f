/* network/net.c -- networks: who sees and uses them, provider attributes, and what may not be deleted yet. */
#include "core/dialect.h"
#include "identity/identity.h"
#include "network/qos.h"
#include "network/router.h"
#include <string.h>

static const Range mtu_range = { 68, 9216 };
static const Range segment_range = { 1, 16777215 };
static const char *const network_types[] = { "flat", "vlan", "vxlan", "local", NULL };
const Child network_tags = { .kind = CHILD_STRINGS, .table = "network_tag", .parent = "parent_id", .value = "tag" };
const Filter tag_filters[] = { TAG_FILTERS, { NULL, NULL, NULL } };
const Filter shared_filters[] = { TAG_FILTERS, SHARED_FILTER, { NULL, NULL, NULL } };
static const Child network_subnets = { .kind = CHILD_STRINGS, .table = "subnet", .parent = "network_id", .value = "id" };

const char *sees_project(const Ctx *ctx)
{
    return !ctx || ctx->admin ? NULL : ctx->project_id ? ctx->project_id : "";
}

char *ids_listed(const json_t *rows)
{
    enum { LISTED = 20 };
    GString *list = g_string_new(NULL);
    for (size_t i = 0; i < MIN(json_array_size(rows), LISTED); i++)
        g_string_append_printf(list, "%s%s", i ? ", " : "", json_get_str(json_array_get(rows, i), "id"));
    if (json_array_size(rows) > LISTED)
        g_string_append(list, " and more");
    return g_string_free(list, FALSE);
}

void addresses_canonical(json_t *list, const char *key)
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one) {
        g_autofree char *text = ip_canonical(json_get_str(one, key));
        if (text)
            json_object_set_new(one, key, json_string(text));
    }
}

void row_unref(gpointer row)
{
    row_free(row);
}

char **row_project(const Row *row)
{
    return FIELD_PTR(row, &row->res->fields[1], char *);
}

void render_tenant(const Row *row, const Ctx *ctx, JsonW *w)
{
    (void) ctx;
    jw_str(w, *row_project(row));
}

static void render_zones(const Row *row, const Ctx *ctx, JsonW *w)
{
    (void) ctx;
    jw_array(w);
    if (json_array_size(AS(const Network, row)->subnets))
        jw_str(w, "nova");
    jw_end_array(w);
}

void row_lower(Row *row, char **member)
{
    g_autofree char *low = row_is_dirty(row, member) && *member ? g_ascii_strdown(*member, -1) : NULL;
    if (low)
        row_set_str(row, member, low);
}

/* As Designate wants it. */
bool check_dns_domain(const Field *f, const json_t *v, GError **err)
{
    const char *s = json_string_value(v);
    if (!*s)
        return true;
    return g_str_has_suffix(s, ".") ? check_hostname(f, v, err)
                                    : nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: '%.255s' is not a FQDN.", f->json, s);
}

static bool check_hints(const Field *f, const json_t *v, GError **err)
{
    size_t i;
    json_t *hint;
    if (!check_array(f, v, err))
        return false;
    json_array_foreach((json_t *) v, i, hint)
        if (g_strcmp0(json_string_value(hint), "nova") != 0)
            return nv_fail(err, NV_ERR_NOT_FOUND, "AvailabilityZone %.64s could not be found.", json_is_string(hint) ? json_string_value(hint) : "?");
    return true;
}

/* 0 is the default one. */
static bool check_mtu(const Field *f, const json_t *v, GError **err)
{
    return json_integer_value(v) == 0 || check_range(f, v, err);
}

/* clang-format off */
static const Field fields[] = {
    STR (Network, id,          "id",          FILTER | SORT),
    STR (Network, project_id,  "project_id",  CREATE | ADMIN | FILTER | SORT, .check = check_text),
    STR (Network, name,        "name",        CREATE | UPDATE | FILTER | SORT, .check = check_name, .dflt = "\"\""),
    COMPUTED("tenant_id", render_tenant),
    STR (Network, description, "description", CREATE | UPDATE | FILTER, .check = check_text, .dflt = "\"\""),
    STR (Network, status,      "status",      FILTER | SORT, .dflt = "\"ACTIVE\""),
    BOOL(Network, admin_state_up, "admin_state_up", CREATE | UPDATE | FILTER | SORT, .dflt = "true"),
    BOOL(Network, shared,      "shared",      CREATE | UPDATE | ADMIN | FILTER | SORT, .dflt = "false"),
    BOOL(Network, external,    "router:external", CREATE | UPDATE | ADMIN | FILTER | SORT, .dflt = "false"),
    BOOL(Network, is_default,  "is_default",  CREATE | UPDATE | ADMIN | FILTER, .dflt = "false"),
    INT (Network, mtu,         "mtu",         CREATE | UPDATE | FILTER | SORT, .check = check_mtu, .arg = &mtu_range),
    BOOL(Network, port_security_enabled, "port_security_enabled", CREATE | UPDATE | FILTER, .dflt = "true"),
    STR (Network, network_type,     "provider:network_type",     CREATE | ADMIN | ADMIN_VIEW | FILTER, .check = check_enum, .arg = network_types),
    STR (Network, physical_network, "provider:physical_network", CREATE | ADMIN | ADMIN_VIEW | FILTER | NULLABLE, .check = check_name_nonempty),
    INT (Network, segmentation_id,  "provider:segmentation_id",  CREATE | ADMIN | ADMIN_VIEW | FILTER | NULLABLE, .check = check_range, .arg = &segment_range),
    INT (Network, vni,         "vni",         HIDDEN),
    STR (Network, dns_domain,  "dns_domain",  CREATE | UPDATE | FILTER, .check = check_dns_domain, .dflt = "\"\""),
    JSON(Network, availability_zone_hints, "availability_zone_hints", CREATE | SORT, .check = check_hints, .dflt = "[]"),
    STR (Network, qos_policy_id, "qos_policy_id", CREATE | UPDATE | FILTER | NULLABLE, .check = check_uuid),
    COMPUTED("availability_zones", render_zones),
    { .json = "ipv4_address_scope", .type = T_JSON, .off = MEMBER(Network, ipv4_scope, json_t *) },
    { .json = "ipv6_address_scope", .type = T_JSON, .off = MEMBER(Network, ipv6_scope, json_t *) },
    CHILD(Network, subnets,    "subnets",     0, &network_subnets),
    CHILD(Network, tags,       "tags",        0, &network_tags),
    INT (Network, revision_number, "revision_number", FILTER | SORT, .dflt = "1"),
    TIME(Network, created_at,  "created_at",  FILTER | SORT),
    TIME(Network, updated_at,  "updated_at",  FILTER | SORT),
};
/* clang-format on */

bool project_known(Db *db, const char *project_id, GError **err)
{
    g_autofree char *found = NULL;
    if (!project_id)
        return nv_fail(err, NV_ERR_INVALID, "Running without keystone AuthN requires that tenant_id is specified");
    if (!db_query_str(db, err, &found, "project_by_id", "s", project_id))
        return false;
    return found || nv_fail(err, NV_ERR_INVALID, "Invalid input for project_id. Reason: there is no project %.64s.", project_id);
}

bool network_is_owner(const Ctx *ctx, const Network *n)
{
    return ctx->admin || g_strcmp0(ctx->project_id, n->project_id) == 0;
}

bool network_is_host_gateway(const Network *n)
{
    return n->external && strcmp(n->network_type, "flat") == 0 && g_strcmp0(n->physical_network, "public") == 0;
}

Network *network_find(Db *db, const Ctx *ctx, const char *id, GError **err)
{
    Row *row = ctx ? row_get_for(db, &network_resource, ctx, id, false, err) : row_get(db, &network_resource, id, err);
    return AS(Network, row);
}

bool network_usable(Db *db, const Ctx *ctx, const Network *n, GError **err)
{
    gint64 shared = 0;
    if (network_is_owner(ctx, n) || n->shared)
        return true;
    if (!db_query_int(db, err, &shared, "network_shared_with", "ss", n->id, ctx->project_id))
        return false;
    return shared || nv_fail(err, NV_ERR_FORBIDDEN, "It is not allowed to create an interface on external network %s", n->id);
}

/* A network that names no policy gets the default one of its project. */
static bool qos_new(Db *db, const Ctx *ctx, Network *n, GError **err)
{
    g_autofree char *id = NULL;
    if (row_knows(&n->row, &n->qos_policy_id) && n->qos_policy_id)
        return qos_check(db, ctx, n->qos_policy_id, NULL, err);
    if (!qos_default(db, n->project_id, &id, err))
        return false;
    ROW_SET_STR(n, qos_policy_id, id);
    return true;
}

static bool default_check(Db *db, const Network *n, GError **err)
{
    g_autofree char *other = NULL;
    if (!n->is_default || !db_query_str(db, err, &other, "external_default", ""))
        return !n->is_default;
    return !other || strcmp(other, n->id) == 0 || nv_fail(err, NV_ERR_CONFLICT, "A default external network already exists: %s.", other);
}

/* Flags and policies say the same. */
static bool everybody(Db *db, const Network *n, const Network *old, GError **err)
{
    bool shared = row_is_dirty(&n->row, &n->shared) && n->shared != (old && old->shared);
    bool external = row_is_dirty(&n->row, &n->external) && n->external != (old && old->external);
    return (!shared || rbac_everybody(db, "network", n->id, n->project_id, "access_as_shared", n->shared, err))
        && (!external || rbac_everybody(db, "network", n->id, n->project_id, "access_as_external", n->external, err));
}

static bool before_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    Network *n = AS(Network, row);
    (void) ctx;
    if (!project_known(db, n->project_id, err) || !quota_check(db, n->project_id, "network", 1, err))
        return false;
    if (!row_knows(row, &n->network_type)) {
        if (n->physical_network || n->segmentation_id)
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: provider:network_type required for provider networks.");
        ROW_SET_STR(n, network_type, "vxlan");
    }
    if (!n->mtu)
        ROW_SET_INT(n, mtu, segment_mtu(n));
    if (!db_query_int(db, err, &n->vni, "network_next_vni", ""))
        return false;
    if (n->vni > 65535)
        return nv_fail(err, NV_ERR_CONFLICT, "Unable to create the network. No available network found in maximum allowed attempts.");
    row_touch(row, &n->vni);
    if (!segment_settle(db, n, err) || !segment_mtu_check(db, n, err))
        return false;
    if (n->is_default && !n->external)
        ROW_SET_BOOL(n, is_default, false);
    row_lower(row, &n->dns_domain);
    return default_check(db, n, err) && qos_new(db, ctx, n, err) && group_default(db, n->project_id, NULL, err) && everybody(db, n, NULL, err)
        && (!n->qos_policy_id || (row_insert(db, row, err) && qos_kept(db, n->id, err)));
}

/* Hosts without guests of it get or lose it too. */
static void compare_hosts(void *data)
{
    (void) data;
    agents_sync_soon(NULL);
}

static bool before_update(Db *db, const Ctx *ctx, Row *row, const Row *old_row, GError **err)
{
    Network *n = AS(Network, row);
    const Network *old = AS(const Network, old_row);
    gint64 others = 0;
    if (old->shared && !n->shared && !db_query_int(db, err, &others, "network_foreign_ports", "ss", n->id, n->project_id))
        return false;
    if (others)
        return nv_fail(err, NV_ERR_CONFLICT, "Unable to reconfigure sharing settings for network %s. Multiple tenants are using it.", n->id);
    if (old->external && !n->external && !db_query_int(db, err, &others, "network_gateway_ports", "s", n->id))
        return false;
    if (others)
        return nv_fail(err, NV_ERR_CONFLICT, "External network %s cannot be updated to be made non-external, since it has existing gateway ports.",
            n->id);
    if (!n->external && n->is_default)
        ROW_SET_BOOL(n, is_default, false);
    if (!default_check(db, n, err))
        return false;
    if (!n->mtu)
        ROW_SET_INT(n, mtu, segment_mtu(n));
    row_lower(row, &n->dns_domain);
    if (n->mtu != old->mtu && !segment_mtu_check(db, n, err))
        return false;
    BUMP(n, old);
    if (!qos_check(db, ctx, n->qos_policy_id, old->qos_policy_id, err))
        return false;
    if (network_is_host_gateway(n) != network_is_host_gateway(old))
        txn_after_commit(compare_hosts, NULL, NULL);
    bool policy = g_strcmp0(n->qos_policy_id, old->qos_policy_id) != 0;
    return everybody(db, n, old, err) && row_update(db, row, err) && (!policy || (qos_kept(db, n->id, err) && sync_qos(db, ctx, n->id, err)))
        && sync_network(db, ctx, n->id, err) && (n->mtu == old->mtu || sync_ports_of_network(db, ctx, n->id, err))
        && sync_routers_of_network(db, ctx, n->id, err);
}

static bool before_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    Network *n = AS(Network, row);
    g_autoptr(json_t) ports = floating_network_gone(db, n->id, err) ? db_query(db, err, "network_busy_ports", "s", n->id) : NULL;
    if (!ports)
        return false;
    if (json_array_size(ports)) {
        g_autofree char *list = ids_listed(ports);
        return nv_fail(err, NV_ERR_CONFLICT, "Unable to complete operation on network %s. There are one or more ports still in use on the network, "
                       "id of these ports is: %s.", n->id, list);
    }
    return db_exec(db, err, "dhcp_port_delete", "s", n->id) && subnets_remove(db, n->id, err) && sync_network_gone(db, ctx, n->id, err);
}

/* Address scopes of a whole page, one statement: those of the pools that its subnets are from. */
static bool scopes_load(Db *db, GPtrArray *rows, GError **err)
{
    g_autoptr(json_t) ids = json_array();
    g_autoptr(GHashTable) by_id = g_hash_table_new(g_str_hash, g_str_equal);
    size_t i;
    json_t *one;
    for (guint k = 0; k < rows->len; k++) {
        Network *n = rows->pdata[k];
        json_array_append_new(ids, json_string(n->id));
        g_hash_table_insert(by_id, n->id, n);
        ROW_SET_JSON(n, ipv4_scope, json_null());
        ROW_SET_JSON(n, ipv6_scope, json_null());
        n->row.dirty = 0;
    }
    g_autofree char *text = json_text(ids);
    g_autoptr(json_t) found = db_query(db, err, "network_scopes", "s", text);
    json_array_foreach(found, i, one) {
        Network *n = g_hash_table_lookup(by_id, json_get_str(one, "network_id"));
        json_t **scope = json_get_int(one, "ip_version", 4) == 4 ? &n->ipv4_scope : &n->ipv6_scope;
        json_decref(*scope);
        *scope = json_incref(json_object_get(one, "address_scope_id"));
    }
    return found != NULL;
}

/* What only replies show. */
static bool after_load(Db *db, const Ctx *ctx, GPtrArray *rows, GError **err)
{
    return !ctx || (scopes_load(db, rows, err) && rbac_shared_load(db, ctx, rows, err));
}

const Resource network_resource = {
    .one = "network", .many = "networks", .table = "network", .dialect = &dialect_neutron, .scope = SCOPE_NAMED, .visible = "network_visible",
    .size = sizeof(Network), FIELDS(fields), .label = "Network", .filters = shared_filters,
    .before_create = before_create, .before_update = before_update, .before_delete = before_delete, .after_load = after_load,
};
