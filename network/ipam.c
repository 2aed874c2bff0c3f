/* network/ipam.c -- which address a port gets: inside the transaction of the write, found by one statement, kept apart by one index. */
#include "network/internal.h"
#include <stdlib.h>
#include <string.h>

enum { FIXED_IPS_MAX = 5 };

static Ip ip_from_key(int version, const char *key)
{
    char high[17];
    g_strlcpy(high, key, sizeof high);
    return (Ip){ .version = version, .n = (unsigned __int128) strtoull(high, NULL, 16) << 64 | strtoull(key + 16, NULL, 16) };
}

static json_t *pool_new(Ip first, Ip last)
{
    char a[46], b[46];
    ip_format(first, a);
    ip_format(last, b);
    return json_make("ss", "start", a, "end", b);
}

json_t *ipam_default_pools(Cidr cidr, const char *gateway)
{
    Ip first = cidr_first(cidr), last = cidr_last(cidr), gw;
    bool four = cidr.base.version == 4;
    json_t *pools = json_array();
    if (!four || cidr.prefix < 31)
        first = ip_add(first, 1);                /* network address; IPv6: the subnet-router anycast address */
    if (four && cidr.prefix < 31)
        last = ip_add(last, -1);
    if (!four && cidr.prefix == 128)
        first = last;
    bool inside = gateway && ip_parse(gateway, &gw) && ip_compare(gw, first) >= 0 && ip_compare(gw, last) <= 0;
    if (!inside) {
        json_array_append_new(pools, pool_new(first, last));
        return pools;
    }
    if (ip_compare(gw, first) > 0)
        json_array_append_new(pools, pool_new(first, ip_add(gw, -1)));
    if (ip_compare(gw, last) < 0)
        json_array_append_new(pools, pool_new(ip_add(gw, 1), last));
    return pools;
}

bool ipam_next(Db *db, const Subnet *s, char buf[46], bool *ret_found, GError **err)
{
    size_t i;
    json_t *pool;
    *ret_found = false;
    json_array_foreach(s->allocation_pools, i, pool) {
        Ip first, last;
        char from[IP_KEY_SIZE], to[IP_KEY_SIZE];
        g_autofree char *key = NULL;
        if (!ip_parse(json_get_str(pool, "start"), &first) || !ip_parse(json_get_str(pool, "end"), &last))
            return nv_fail(err, NV_ERR_INTERNAL, "subnet %s has a bad allocation pool", s->id);
        ip_key(first, from);
        ip_key(last, to);
        if (!db_query_str(db, err, &key, "ipam_next", "sss", s->id, from, to))
            return false;
        if (key) {
            ip_format(ip_from_key((int) s->ip_version, key), buf);
            return *ret_found = true;
        }
    }
    return true;
}

bool ipam_take(Db *db, const Subnet *s, const char *port_id, Ip ip, GError **err)
{
    char address[46], key[IP_KEY_SIZE], next[IP_KEY_SIZE];
    g_autoptr(GError) why = NULL;
    ip_format(ip, address);
    ip_key(ip, key);
    ip_key(ip_add(ip, 1), next);
    if (db_exec(db, &why, "ipam_take", "ssssss", port_id, s->id, s->network_id, address, key, next))
        return true;
    if (nv_error_code(why) == NV_ERR_CONFLICT)
        return nv_fail(err, NV_ERR_CONFLICT, "IP address %s already allocated in subnet %s", address, s->id);
    g_propagate_error(err, g_steal_pointer(&why));
    return false;
}

static bool take_automatic(Db *db, const Subnet *s, const Port *p, GError **err)
{
    guint8 mac[6];
    if (!mac_parse(p->mac_address, mac))
        return nv_fail(err, NV_ERR_INTERNAL, "port %s has a bad MAC address", p->id);
    return ipam_take(db, s, p->id, ip_eui64(subnet_cidr(s), mac), err);
}

/* The host behind the port makes its address there by itself. */
static bool makes_own(const Subnet *s, const Port *p)
{
    return subnet_is_automatic(s) && !g_str_has_prefix(p->device_owner, "network:router_");
}

static Subnet *subnet_by_id(const GPtrArray *subnets, const char *id)
{
    for (guint i = 0; i < subnets->len; i++)
        if (strcmp(AS(Subnet, subnets->pdata[i])->id, id) == 0)
            return subnets->pdata[i];
    return NULL;
}

static Subnet *subnet_of_address(const GPtrArray *subnets, Ip ip)
{
    for (guint i = 0; i < subnets->len; i++)
        if (cidr_contains(subnet_cidr(subnets->pdata[i]), ip))
            return subnets->pdata[i];
    return NULL;
}

/* Addresses that no ordinary port may have: the subnet's first (of IPv6 it is any router's), last (IPv4) and gateway. */
static bool is_reserved(const Subnet *s, const Port *p, Ip ip)
{
    Cidr c = subnet_cidr(s);
    Ip gateway;
    bool wide = ip.version == 4 ? c.prefix < 31 : c.prefix < 127, router = g_str_has_prefix(p->device_owner, "network:router_");
    if (wide && ((ip_compare(ip, cidr_first(c)) == 0 && !(router && ip.version == 6)) || (ip.version == 4 && ip_compare(ip, cidr_last(c)) == 0)))
        return true;
    return s->gateway_ip && ip_parse(s->gateway_ip, &gateway) && ip_compare(gateway, ip) == 0 && !router;
}

static bool take_address(Db *db, const GPtrArray *subnets, const Port *p, const char *text, const char *subnet_id, GError **err)
{
    Ip ip;
    const Subnet *s = NULL;
    if (!ip_parse(text, &ip))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for fixed_ips. Reason: '%s' is not a valid IP address.", text);
    s = subnet_id ? subnet_by_id(subnets, subnet_id) : subnet_of_address(subnets, ip);
    if (!s)
        return nv_fail(err, NV_ERR_INVALID, "IP address %s is not a valid IP for any of the subnets on the specified network.", text);
    if (!cidr_contains(subnet_cidr(s), ip) || is_reserved(s, p, ip))
        return nv_fail(err, NV_ERR_INVALID, "IP address %s is not a valid IP for the specified subnet.", text);
    guint8 mac[6];
    bool router = g_str_has_prefix(p->device_owner, "network:router_");      /* its address is the gateway's, whatever its MAC */
    bool own = subnet_is_automatic(s) && mac_parse(p->mac_address, mac) && ip_compare(ip_eui64(subnet_cidr(s), mac), ip) == 0;
    if (subnet_is_automatic(s) && !own && !router)
        return nv_fail(err, NV_ERR_INVALID,
                       "IPv6 address %s can not be directly assigned to a port on subnet %s as the subnet is configured for automatic "
                       "addresses",
                       text, s->id);
    return ipam_take(db, s, p->id, ip, err);
}

static bool take_from(Db *db, const Subnet *s, const Port *p, bool *ret_found, GError **err)
{
    char buf[46];
    Ip ip;
    if (subnet_is_automatic(s))
        return *ret_found = true, take_automatic(db, s, p, err);
    return ipam_next(db, s, buf, ret_found, err) && (!*ret_found || (ip_parse(buf, &ip) && ipam_take(db, s, p->id, ip, err)));
}

static bool no_more(const Port *p, GError **err)
{
    return nv_fail(err, NV_ERR_CONFLICT, "No more IP addresses available on network %s.", p->network_id);
}

/* A subnet whose service types, where it has any, include the port's owner. */
static bool serves(const Subnet *s, const Port *p)
{
    return json_array_size(s->service_types) == 0 || json_has(s->service_types, p->device_owner);
}

/* One address of that version, if it has a subnet, from the first subnet with room. */
static bool take_version(Db *db, const GPtrArray *subnets, const Port *p, int version, GError **err)
{
    bool wanted = false, found = false;
    for (guint i = 0; i < subnets->len && !found; i++) {
        const Subnet *s = subnets->pdata[i];
        if (s->ip_version != version || subnet_is_automatic(s) || !serves(s, p))
            continue;
        wanted = true;
        if (!take_from(db, s, p, &found, err))
            return false;
    }
    return !wanted || found || no_more(p, err);
}

static bool take_any(Db *db, const GPtrArray *subnets, const Port *p, GError **err)
{
    return take_version(db, subnets, p, 4, err) && take_version(db, subnets, p, 6, err);
}

bool ipam_allocate_v4(Db *db, const Port *p, GError **err)
{
    g_autoptr(GPtrArray) subnets = rows_where(db, &subnet_resource, err, "network_id", p->network_id, NULL);
    return subnets && take_version(db, subnets, p, 4, err);
}

/* The address that an entry of fixed_ips means; false: any of its subnet. */
static bool means_address(const GPtrArray *subnets, const Port *p, const json_t *entry, Ip *ret_ip)
{
    const char *subnet_id = json_get_str(entry, "subnet_id"), *address = json_get_str(entry, "ip_address");
    const Subnet *s = subnet_id ? subnet_by_id(subnets, subnet_id) : NULL;
    guint8 mac[6];
    if (address)
        return ip_parse(address, ret_ip);
    if (!s || !subnet_is_automatic(s) || !mac_parse(p->mac_address, mac))
        return false;
    *ret_ip = ip_eui64(subnet_cidr(s), mac);
    return true;
}

static bool fixed_ips_check(const GPtrArray *subnets, const Port *p, const json_t *fixed_ips, GError **err)
{
    size_t i;
    json_t *one;
    if (json_array_size(fixed_ips) > FIXED_IPS_MAX)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: Exceeded maximum amount of fixed ips per port.");
    json_array_foreach((json_t *) fixed_ips, i, one) {
        Ip ip, other;
        char text[46];
        if (!means_address(subnets, p, one, &ip))
            continue;
        ip_format(ip, text);
        for (size_t k = 0; k < i; k++)
            if (means_address(subnets, p, json_array_get(fixed_ips, k), &other) && ip_compare(ip, other) == 0)
                return nv_fail(err, NV_ERR_INVALID, "Invalid input for fixed_ips. Reason: Duplicate IP address '%s'.", text);
    }
    return true;
}

static bool take_listed(Db *db, const GPtrArray *subnets, const Port *p, const json_t *fixed_ips, GError **err)
{
    size_t i;
    json_t *one;
    /* Chosen addresses first, so that no automatic choice takes one of them. */
    for (int pass = 0; pass < 2; pass++)
        json_array_foreach((json_t *) fixed_ips, i, one) {
            const char *subnet_id = json_get_str(one, "subnet_id"), *address = json_get_str(one, "ip_address");
            const Subnet *s = subnet_id ? subnet_by_id(subnets, subnet_id) : NULL;
            bool found = true;
            if (subnet_id && !s)
                return nv_fail(err, NV_ERR_INVALID,
                               "Invalid input for operation: Failed to create port on network %s, because fixed_ips included invalid "
                               "subnet %s.",
                               p->network_id, subnet_id);
            if ((pass == 0) != (address != NULL))
                continue;
            if (!(address ? take_address(db, subnets, p, address, subnet_id, err) : take_from(db, s, p, &found, err)))
                return false;
            if (!found)
                return no_more(p, err);
        }
    return true;
}

/* Hosts make these addresses whether or not they were asked for. */
static bool take_all_automatic(Db *db, const GPtrArray *subnets, const Port *p, GError **err)
{
    for (guint i = 0; i < subnets->len; i++) {
        const Subnet *s = subnets->pdata[i];
        gint64 has = 0;
        if (!makes_own(s, p))
            continue;
        if (!db_query_int(db, err, &has, "ipam_port_has", "ss", p->id, s->id) || (!has && !take_automatic(db, s, p, err)))
            return false;
    }
    return true;
}

static bool allocate(Db *db, const GPtrArray *subnets, const Port *p, const json_t *fixed_ips, GError **err)
{
    bool none = fixed_ips && json_array_size(fixed_ips) == 0;
    return (fixed_ips ? take_listed(db, subnets, p, fixed_ips, err) : take_any(db, subnets, p, err))
        && (none || take_all_automatic(db, subnets, p, err));
}

bool ipam_allocate(Db *db, const Port *p, const json_t *fixed_ips, GError **err)
{
    g_autoptr(GPtrArray) subnets = rows_where(db, &subnet_resource, err, "network_id", p->network_id, NULL);
    return subnets && fixed_ips_check(subnets, p, fixed_ips, err) && allocate(db, subnets, p, fixed_ips, err);
}

/* True when the port has an address that the entry of fixed_ips means; it is taken out of have. */
static bool kept(json_t *have, const json_t *wanted)
{
    const char *subnet_id = json_get_str(wanted, "subnet_id"), *address = json_get_str(wanted, "ip_address");
    size_t i;
    json_t *one;
    json_array_foreach(have, i, one) {
        bool same_subnet = !subnet_id || g_strcmp0(subnet_id, json_get_str(one, "subnet_id")) == 0;
        Ip a, b;
        bool same_address = !address || (ip_parse(address, &a) && ip_parse(json_get_str(one, "ip_address"), &b) && ip_compare(a, b) == 0);
        if (same_subnet && same_address) {
            json_array_remove(have, i);
            return true;
        }
    }
    return false;
}

bool ipam_replace(Db *db, const Port *p, const json_t *held, const json_t *fixed_ips, GError **err)
{
    g_autoptr(json_t) have = json_deep_copy(held), missing = json_array();
    g_autoptr(GPtrArray) subnets = rows_where(db, &subnet_resource, err, "network_id", p->network_id, NULL);
    size_t i;
    json_t *one;
    if (!subnets || !fixed_ips_check(subnets, p, fixed_ips, err))
        return false;
    /* Entries that name an address claim theirs before those that name only a subnet. */
    for (int pass = 0; pass < 2; pass++)
        json_array_foreach((json_t *) fixed_ips, i, one)
            if ((pass == 0) == (json_get_str(one, "ip_address") != NULL) && !kept(have, one))
                json_array_append(missing, one);
    json_array_foreach(have, i, one) {
        const Subnet *s = subnet_by_id(subnets, json_get_str(one, "subnet_id"));
        if (s && makes_own(s, p))
            continue;
        if (!db_exec(db, err, "ipam_release", "ss", p->id, json_get_str(one, "ip_address")))
            return false;
    }
    return allocate(db, subnets, p, missing, err);
}

bool ipam_follow_mac(Db *db, const Port *p, const json_t *held, GError **err)
{
    g_autoptr(GPtrArray) subnets = rows_where(db, &subnet_resource, err, "network_id", p->network_id, NULL);
    size_t i;
    json_t *one;
    if (!subnets)
        return false;
    json_array_foreach((json_t *) held, i, one) {
        const Subnet *s = subnet_by_id(subnets, json_get_str(one, "subnet_id"));
        gint64 has = 0;
        if (!s || !makes_own(s, p))
            continue;
        if (!db_exec(db, err, "ipam_release", "ss", p->id, json_get_str(one, "ip_address"))
            || !db_query_int(db, err, &has, "ipam_port_has", "ss", p->id, s->id) || (!has && !take_automatic(db, s, p, err)))
            return false;
    }
    return true;
}

static bool dhcp_port_make(Db *db, const Network *n, char **ret_id, GError **err)
{
    g_autoptr(Port) p = AS(Port, row_new(&port_resource));
    g_autofree char *device = g_strdup_printf("dhcp-%s", n->id);
    g_autoptr(json_t) none = json_array();
    if (!row_defaults(&p->row, json_make("sss", "network_id", n->id, "device_owner", "network:dhcp", "device_id", device), err))
        return false;
    ROW_SET_STR(p, project_id, n->project_id);
    ROW_SET_STR(p, status, "ACTIVE");
    ROW_SET_BOOL(p, port_security_enabled, false);
    if (!port_insert(db, p, none, err))
        return false;
    *ret_id = g_strdup(p->id);
    return true;
}

bool dhcp_port_settle(Db *db, const Network *n, GError **err)
{
    g_autofree char *id = NULL;
    g_autoptr(GPtrArray) subnets = rows_where(db, &subnet_resource, err, "network_id", n->id, NULL);
    if (!subnets || !db_query_str(db, err, &id, "dhcp_port", "s", n->id) || !db_exec(db, err, "dhcp_release_idle", "s", n->id))
        return false;
    for (guint i = 0; i < subnets->len; i++) {
        const Subnet *s = subnets->pdata[i];
        gint64 has = 0;
        bool found = false;
        if (!s->enable_dhcp)
            continue;
        if ((!id && !dhcp_port_make(db, n, &id, err)) || !db_query_int(db, err, &has, "ipam_port_has", "ss", id, s->id))
            return false;
        if (has)
            continue;
        g_autoptr(Port) p = AS(Port, row_get(db, &port_resource, id, err));
        if (!p || !take_from(db, s, p, &found, err))
            return false;
        if (!found)
            return no_more(p, err);
    }
    return db_exec(db, err, "dhcp_port_delete_empty", "s", n->id);
}
