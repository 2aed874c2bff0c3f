/* network/subnet.c -- subnets: an address range on a network, its pools, its gateway, and what its DHCP tells. */
#include "core/dialect.h"
#include "identity/identity.h"
#include "network/router.h"
#include <string.h>

enum { DNS_MAX = 5, ROUTES_MAX = 20 };
static const gint64 versions[] = { 4, 6, 0 };
static const char *const v6_modes[] = { "slaac", "dhcpv6-stateful", "dhcpv6-stateless", NULL };

static const Filter filters[] = { TAG_FILTERS, { "shared", NULL, "subnet_shared" }, { NULL, NULL, NULL } };

/* "compute:nova", "network:dhcp", "test:type_1" …: some service, a colon, and what it likes. */
static bool is_port_owner(const char *s)
{
    const char *colon = s ? strchr(s, ':') : NULL;
    return colon && g_ascii_isalnum(*s) && strlen(s) <= 255;
}

static bool check_service_types(const Field *f, const json_t *v, GError **err)
{
    size_t i;
    json_t *type;
    if (!check_array(f, v, err))
        return false;
    json_array_foreach((json_t *) v, i, type) {
        const char *s = json_string_value(type);
        if (!is_port_owner(s))
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: item %zu is not the owner of a port, as compute:nova.", f->json, i);
        for (size_t k = 0; k < i; k++)
            if (json_equal(type, json_array_get(v, k)))
                return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: '%s' is given twice.", f->json, s);
    }
    return true;
}

static bool is_loopback(Cidr c)
{
    return c.base.version == 4 ? c.prefix >= 8 && c.base.n >> 24 == 127 : c.prefix == 128 && c.base.n == 1;
}

static bool pool_parse(const json_t *pool, Ip *first, Ip *last)
{
    const char *start = json_get_str(pool, "start"), *end = json_get_str(pool, "end");
    return start && end && json_object_size(pool) == 2 && ip_parse(start, first) && ip_parse(end, last);
}

static bool check_pools(const Field *f, const json_t *v, GError **err)
{
    size_t i;
    json_t *pool;
    Ip first, last;
    if (!check_array(f, v, err))
        return false;
    json_array_foreach((json_t *) v, i, pool) if (!pool_parse(pool, &first, &last)) return nv_fail(
        err, NV_ERR_INVALID,
        "Invalid input for %s. Reason: Data contains not allowed key or bad address in pool %zu: start and end are needed.", f->json, i);
    return true;
}

/* "10.9.0.0/24", with its host bits zero, and not a host's own. */
static bool route_parse(const char *text, Cidr *ret)
{
    return text && cidr_parse(text, true, ret) && !is_loopback(*ret);
}

static bool check_routes(const Field *f, const json_t *v, GError **err)
{
    size_t i;
    json_t *route;
    if (!check_array(f, v, err))
        return false;
    if (json_array_size(v) > ROUTES_MAX)
        return nv_fail(err, NV_ERR_INVALID, "Unable to complete operation. The number of host routes exceeds the maximum %d.", ROUTES_MAX);
    json_array_foreach((json_t *) v, i, route) {
        const char *to = json_get_str(route, "destination"), *via = json_get_str(route, "nexthop");
        Cidr c;
        Ip ip;
        if (!via || json_object_size(route) != 2 || !route_parse(to, &c) || !ip_parse(via, &ip) || c.base.version != ip.version)
            return nv_fail(err, NV_ERR_INVALID,
                           "Invalid input for %s. Reason: item %zu needs a destination (a routable CIDR without host bits) and a nexthop "
                           "(address) of one IP version.", f->json, i);
        for (size_t k = 0; k < i; k++)
            if (json_equal(route, json_array_get(v, k)))
                return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: Duplicate hostroute '%s'.", f->json, to);
    }
    return true;
}

/* clang-format off */
static const Field fields[] = {
    STR (Subnet, id,               "id",               FILTER | SORT),
    STR (Subnet, project_id,       "project_id",       CREATE | ADMIN | FILTER | SORT, .check = check_text),
    STR (Subnet, name,             "name",             CREATE | UPDATE | FILTER | SORT, .check = check_name, .dflt = "\"\""),
    COMPUTED("tenant_id", render_tenant),
    STR (Subnet, network_id,       "network_id",       CREATE | REQUIRED | FILTER | SORT, .check = check_uuid),
    STR (Subnet, description,      "description",      CREATE | UPDATE | FILTER, .check = check_text, .dflt = "\"\""),
    INT (Subnet, ip_version,       "ip_version",       CREATE | FILTER | SORT, .check = check_int_of, .arg = versions),
    STR (Subnet, cidr,             "cidr",             CREATE | FILTER | SORT, .check = check_cidr, .canon = cidr_canonical),
    STR (Subnet, first_key,        "first_key",        HIDDEN),
    STR (Subnet, last_key,         "last_key",         HIDDEN),
    STR (Subnet, gateway_ip,       "gateway_ip",       CREATE | UPDATE | NULLABLE | FILTER | SORT, .check = check_ip, .canon = ip_canonical),
    BOOL(Subnet, enable_dhcp,      "enable_dhcp",      CREATE | UPDATE | FILTER | SORT, .dflt = "true"),
    STR (Subnet, ipv6_ra_mode,     "ipv6_ra_mode",     CREATE | NULLABLE | FILTER | SORT, .check = check_enum, .arg = v6_modes, .dflt = "null"),
    STR (Subnet, ipv6_address_mode, "ipv6_address_mode", CREATE | NULLABLE | FILTER | SORT, .check = check_enum, .arg = v6_modes, .dflt = "null"),
    JSON(Subnet, allocation_pools, "allocation_pools", CREATE | UPDATE, .check = check_pools),
    JSON(Subnet, dns_nameservers,  "dns_nameservers",  CREATE | UPDATE, .check = check_ip_list, .dflt = "[]", .null = "[]"),
    JSON(Subnet, host_routes,      "host_routes",      CREATE | UPDATE, .check = check_routes, .dflt = "[]", .null = "[]"),
    JSON(Subnet, service_types,    "service_types",    CREATE | UPDATE, .check = check_service_types, .dflt = "[]"),
    STR (Subnet, subnetpool_id,    "subnetpool_id",    CREATE | NULLABLE | FILTER | SORT, .check = check_uuid, .dflt = "null"),
    INPUT(Subnet, prefixlen,       "prefixlen",        CREATE),
    INPUT(Subnet, use_default_subnetpool, "use_default_subnetpool", CREATE),
    BOOL(Subnet, dns_publish_fixed_ip, "dns_publish_fixed_ip", CREATE | UPDATE, .dflt = "false"),
    { .json = "shared", .type = T_BOOL, .flags = HIDDEN },           /* its network's: asked for, not shown */
    CHILD(Subnet, tags,            "tags",             0, &network_tags),
    INT (Subnet, revision_number,  "revision_number",  FILTER | SORT, .dflt = "1"),
    TIME(Subnet, created_at,       "created_at",       FILTER | SORT),
    TIME(Subnet, updated_at,       "updated_at",       FILTER | SORT),
};
/* clang-format on */

Cidr subnet_cidr(const Subnet *s)
{
    Cidr c = { 0 };
    cidr_parse(s->cidr, true, &c);
    return c;
}

bool subnet_is_automatic(const Subnet *s)
{
    return s->ip_version == 6 && s->ipv6_address_mode && strcmp(s->ipv6_address_mode, "dhcpv6-stateful") != 0;
}

static bool modes_check(const Subnet *s, Cidr c, GError **err)
{
    const char *ra = s->ipv6_ra_mode, *mode = s->ipv6_address_mode;
    if (!ra && !mode)
        return true;
    if (s->ip_version != 6)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: ipv6_ra_mode or ipv6_address_mode cannot be set on an IPv4 subnet.");
    if (!s->enable_dhcp)
        return nv_fail(err, NV_ERR_INVALID,
                       "Invalid input for operation: ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False.");
    if (ra && mode && strcmp(ra, mode) != 0)
        return nv_fail(err, NV_ERR_INVALID,
                       "Invalid input for operation: ipv6_ra_mode set to '%s' with ipv6_address_mode set to '%s' is not valid. If both "
                       "attributes are set, they must be the same value.",
                       ra, mode);
    bool stateful = strcmp(mode ? mode : ra, "dhcpv6-stateful") == 0;
    if (stateful && c.prefix < 64)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: dhcpv6-stateful needs a cidr with a prefix of /64 or longer, not %s.",
                       mode ? "ipv6_address_mode" : "ipv6_ra_mode", s->cidr);
    if (!stateful && c.prefix != 64)
        return nv_fail(
            err, NV_ERR_INVALID,
            "Invalid CIDR %s for IPv6 address mode. OpenStack uses the EUI-64 address format, which requires the prefix to be /64",
            s->cidr);
    return true;
}

/* What DHCP cannot be for; asked when it is turned on. */
static bool dhcp_check(Cidr c, GError **err)
{
    unsigned top = (unsigned) (c.base.n >> (c.base.version == 4 ? 24 : 120)) & 0xff;
    bool multicast = c.base.version == 4 ? top >= 224 && top < 240 : top == 0xff;
    if ((c.base.version == 4 ? 32 : 128) - c.prefix < 2)
        return nv_fail(err, NV_ERR_INVALID,
                       "Invalid input for operation: Subnet has a prefix length that is incompatible with DHCP service enabled.");
    if (multicast || is_loopback(c))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: %s IP subnet is not supported if enable_dhcp is True.",
                       multicast ? "Multicast" : "Loopback");
    return c.base.version == 6 || c.base.n
        || nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: First IP '0.0.0.0' of network is not supported if enable_dhcp is True.");
}

/* Guests and routers reach their gateway on the link, so it is an address of the subnet, or (IPv6) of the link; Neutron takes others too. */
static bool gateway_check(const Subnet *s, Cidr c, GError **err)
{
    Ip gw;
    if (!s->gateway_ip)
        return true;
    if (!ip_parse(s->gateway_ip, &gw) || gw.version != s->ip_version)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: gateway_ip '%s' does not match the ip_version '%d'.",
                       s->gateway_ip, (int) s->ip_version);
    bool link_local = gw.version == 6 && (guint64) (gw.n >> 118) == 0xfe80 >> 6;
    if (!cidr_contains(c, gw) && !link_local)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: Gateway is not valid on subnet: %s is not in %s, and gateways outside "
                       "of their subnet are not supported here.", s->gateway_ip, s->cidr);
    bool edge = gw.version == 4 && c.prefix < 31 && (ip_compare(gw, cidr_first(c)) == 0 || ip_compare(gw, cidr_last(c)) == 0);
    return !edge || nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: Gateway is not valid on subnet.");
}

typedef struct Span { Ip first, last; } Span;

static gint by_first(gconstpointer a, gconstpointer b)
{
    return ip_compare(((const Span *) a)->first, ((const Span *) b)->first);
}

static bool pools_check(const Subnet *s, Cidr c, GError **err)
{
    size_t n = json_array_size(s->allocation_pools);
    g_autoptr(GArray) spans = g_array_new(FALSE, FALSE, sizeof(Span));
    Ip gw = { 0 };
    bool has_gw = s->gateway_ip && ip_parse(s->gateway_ip, &gw);
    for (size_t i = 0; i < n; i++) {
        const json_t *pool = json_array_get(s->allocation_pools, i);
        const char *start = json_get_str(pool, "start"), *end = json_get_str(pool, "end");
        Ip a, b;
        if (!pool_parse(pool, &a, &b) || a.version != s->ip_version || b.version != s->ip_version || ip_compare(a, b) > 0)
            return nv_fail(err, NV_ERR_INVALID, "The allocation pool %s-%s is not valid.", start, end);
        if (!cidr_contains(c, a) || !cidr_contains(c, b)
            || (c.base.version == 4 && c.prefix < 31 && (ip_compare(a, cidr_first(c)) == 0 || ip_compare(b, cidr_last(c)) == 0)))
            return nv_fail(err, NV_ERR_INVALID, "The allocation pool %s-%s spans beyond the subnet cidr %s.", start, end, s->cidr);
        if (has_gw && ip_compare(gw, a) >= 0 && ip_compare(gw, b) <= 0)
            return nv_fail(err, NV_ERR_CONFLICT, "Gateway ip %s conflicts with allocation pool %s-%s.", s->gateway_ip, start, end);
        g_array_append_val(spans, ((Span){ a, b }));
    }
    g_array_sort(spans, by_first);
    for (guint i = 1; i < spans->len; i++) {
        const Span *before = &g_array_index(spans, Span, i - 1), *x = before + 1;
        char first[46], last[46];
        if (ip_compare(before->last, x->first) < 0)
            continue;
        ip_format(x->first, first);
        ip_format(x->last, last);
        return nv_fail(err, NV_ERR_CONFLICT, "Found overlapping allocation pools: %s-%s for subnet %s.", first, last, s->cidr);
    }
    return true;
}

static bool servers_check(const Subnet *s, GError **err)
{
    size_t i;
    json_t *dns;
    Ip ip;
    if (json_array_size(s->dns_nameservers) > DNS_MAX)
        return nv_fail(err, NV_ERR_INVALID, "Unable to complete operation for subnet. The number of DNS nameservers exceeds the limit %d.", DNS_MAX);
    json_array_foreach(s->dns_nameservers, i, dns) {
        if (row_is_dirty(&s->row, &s->dns_nameservers) && ip_parse(json_string_value(dns), &ip) && ip.version != s->ip_version)
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: dns_nameserver '%s' does not match the ip_version '%d'.",
                           json_string_value(dns), (int) s->ip_version);
        for (size_t k = 0; k < i; k++)
            if (json_equal(dns, json_array_get(s->dns_nameservers, k)))
                return nv_fail(err, NV_ERR_INVALID, "Invalid input for dns_nameservers. Reason: Duplicate nameserver '%s'.", json_string_value(dns));
    }
    json_array_foreach(s->host_routes, i, dns) {
        Cidr c;
        if (cidr_parse(json_get_str(dns, "destination"), false, &c) && c.base.version != s->ip_version)
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for host_routes. Reason: item %zu is not of the subnet's IP version.", i);
    }
    return true;
}

/* Addresses as they are compared: in one form of text. */
static void settle(Subnet *s)
{
    addresses_canonical(s->allocation_pools, "start");
    addresses_canonical(s->allocation_pools, "end");
    addresses_canonical(s->host_routes, "nexthop");
}

/* old: NULL for a new one. */
static bool all_checks(const Subnet *s, const Subnet *old, GError **err)
{
    Cidr c = subnet_cidr(s);
    bool dhcp = s->enable_dhcp && !(old && old->enable_dhcp);
    if (c.prefix == 0)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: 0 is not allowed as CIDR prefix length.");
    return modes_check(s, c, err) && (!dhcp || dhcp_check(c, err)) && gateway_check(s, c, err) && pools_check(s, c, err) && servers_check(s, err);
}

/* The range: version, keys, and no overlap with the network's other subnets. */
static bool range_settle(Db *db, Subnet *s, GError **err)
{
    char first[IP_KEY_SIZE], last[IP_KEY_SIZE];
    Cidr c = subnet_cidr(s);
    gint64 overlaps = 0;
    if (!row_knows(&s->row, &s->ip_version))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: ip_version must be given.");
    if (c.base.version != s->ip_version)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: cidr '%s' does not match the ip_version '%d'.", s->cidr,
                       (int) s->ip_version);
    ip_key(cidr_first(c), first);
    ip_key(cidr_last(c), last);
    ROW_SET_STR(s, first_key, first);
    ROW_SET_STR(s, last_key, last);
    if (!db_query_int(db, err, &overlaps, "subnet_overlaps", "siss", s->network_id, s->ip_version, first, last))
        return false;
    return !overlaps
           || nv_fail(err, NV_ERR_INVALID,
                      "Invalid input for operation: Requested subnet with cidr: %s for network: %s overlaps with another subnet.", s->cidr,
                      s->network_id);
}

static void gateway_default(Subnet *s)
{
    Cidr c = subnet_cidr(s);
    char buf[46];
    if (row_knows(&s->row, &s->gateway_ip))
        return;
    ip_format(c.prefix >= (c.base.version == 4 ? 31 : 127) ? cidr_first(c) : ip_add(cidr_first(c), 1), buf);
    ROW_SET_STR(s, gateway_ip, buf);
}

/* Ports that are there already get their address of a subnet whose addresses make themselves. */
static bool give_automatic(Db *db, const Subnet *s, GError **err)
{
    if (!subnet_is_automatic(s))
        return true;
    g_autoptr(GPtrArray) ports = rows_where(db, &port_resource, err, "network_id", s->network_id, NULL);
    g_autoptr(json_t) none = json_array();
    for (guint i = 0; ports && i < ports->len; i++) {
        const Port *p = ports->pdata[i];
        guint8 mac[6];
        if (g_str_has_prefix(p->device_owner, "network:"))
            continue;
        if (!mac_parse(p->mac_address, mac) || !ipam_take(db, s, p->id, ip_eui64(subnet_cidr(s), mac), err))
            return false;
    }
    return ports && sync_ports_of_subnet(db, NULL, s->id, err);
}

static bool before_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    Subnet *s = AS(Subnet, row);
    g_autoptr(Network) n = network_find(db, ctx, s->network_id, err);
    if (!n)
        return false;
    if (!network_is_owner(ctx, n))
        return nv_fail(err, NV_ERR_FORBIDDEN, "rule:create_subnet is disallowed by policy");
    if (!project_known(db, s->project_id, err) || !quota_check(db, s->project_id, "subnet", 1, err))
        return false;
    settle(s);
    if (!subnet_from_pool(db, ctx, s, err))
        return false;
    if (!s->cidr)
        return nv_fail(err, NV_ERR_INVALID, "Bad subnets request: a subnetpool must be specified in the absence of a cidr.");
    if (!range_settle(db, s, err))
        return false;
    gateway_default(s);
    if (!row_knows(row, &s->allocation_pools))
        ROW_SET_JSON(s, allocation_pools, ipam_default_pools(subnet_cidr(s), s->gateway_ip));
    if (!all_checks(s, NULL, err))
        return false;
    /* The row is written here, not by the engine: addresses of the subnet refer to it. */
    return row_insert(db, row, err) && segment_mtu_least(db, n, err) && give_automatic(db, s, err) && dhcp_port_settle(db, n, err)
        && db_exec(db, err, "network_bump", "s", n->id) && sync_network(db, ctx, n->id, err) && sync_routers_of_network(db, ctx, n->id, err);
}

/* A router's interface has it: it cannot become another one. */
static bool gateway_is_free(Db *db, const Subnet *old, GError **err)
{
    g_autofree char *port_id = NULL;
    if (!db_query_str(db, err, &port_id, "router_port_at", "ss", old->id, old->gateway_ip))
        return false;
    return !port_id || nv_fail(err, NV_ERR_CONFLICT, "Current gateway ip %s already in use by port %s. Unable to update.", old->gateway_ip, port_id);
}

static bool before_update(Db *db, const Ctx *ctx, Row *row, const Row *old_row, GError **err)
{
    Subnet *s = AS(Subnet, row);
    const Subnet *old = AS(const Subnet, old_row);
    settle(s);
    if (!all_checks(s, old, err))
        return false;
    BUMP(s, old);
    bool moves = g_strcmp0(s->gateway_ip, old->gateway_ip) != 0;
    if (moves && !gateway_is_free(db, old, err))
        return false;
    if (s->gateway_ip && moves) {
        gint64 taken = 0;
        if (!db_query_int(db, err, &taken, "ipam_taken", "ss", s->id, s->gateway_ip))
            return false;
        if (taken)
            return nv_fail(err, NV_ERR_CONFLICT, "Gateway ip %s is in use by a port of subnet %s.", s->gateway_ip, s->id);
    }
    g_autoptr(Network) n = network_find(db, NULL, s->network_id, err);
    return n && row_update(db, row, err) && dhcp_port_settle(db, n, err) && db_exec(db, err, "network_bump", "s", n->id)
        && sync_network(db, ctx, n->id, err) && sync_routers_of_network(db, ctx, n->id, err);
}

static bool release_and_settle(Db *db, const Ctx *ctx, const Subnet *s, GError **err)
{
    g_autoptr(Network) n = network_find(db, NULL, s->network_id, err);
    return n && sync_ports_of_subnet(db, ctx, s->id, err)
        && db_exec(db, err, "subnet_release_own", "s", s->id) && db_exec(db, err, "dhcp_port_delete_empty", "s", n->id)
        && db_exec(db, err, "network_bump", "s", n->id) && sync_network(db, ctx, n->id, err) && sync_routers_of_network(db, ctx, n->id, err);
}

static bool before_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    const Subnet *s = AS(const Subnet, row);
    g_autoptr(json_t) ports = db_query(db, err, "subnet_in_use", "ss", s->id, sees_project(ctx));
    g_autofree char *list = ids_listed(ports);
    if (!ports)
        return false;
    if (*list)
        return nv_fail(err, NV_ERR_CONFLICT, "Unable to complete operation on subnet %s: One or more ports have an IP allocation from this subnet. "
                       "Ports: %s.", s->id, list);
    return release_and_settle(db, ctx, s, err);
}

bool subnets_remove(Db *db, const char *network_id, GError **err)
{
    return db_exec(db, err, "network_release_all", "s", network_id) && db_exec(db, err, "network_subnets_delete", "s", network_id);
}

const Resource subnet_resource = {
    .one = "subnet", .many = "subnets", .table = "subnet", .dialect = &dialect_neutron, .scope = SCOPE_NAMED,
    .visible = "subnet_visible", .writable = "subnet_writable", .size = sizeof(Subnet), FIELDS(fields), .label = "Subnet", .filters = filters,
    .before_create = before_create, .before_update = before_update, .before_delete = before_delete,
};
