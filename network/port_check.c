/* network/port_check.c -- what may be said of a port, and by whom: checks of its attributes and Neutron's policies on them. */
#include "core/id.h"
#include "network/internal.h"
#include <string.h>

enum { PAIRS_MAX = 10, OPTS_MAX = 20 };

bool check_mac_any(const Field *f, const json_t *v, GError **err)
{
    g_autofree char *spelled = mac_spelled(json_string_value(v));
    guint8 mac[6];
    return (spelled && mac_parse(spelled, mac))
           || nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: '%s' is not a valid MAC address.", f->json, json_string_value(v));
}

/* One label, which is what is served; with the domain after it, it ends in a dot. */
bool check_dns_name(const Field *f, const json_t *v, GError **err)
{
    const char *name = json_string_value(v), *dot = strchr(name, '.');
    g_autofree char *rest = g_strdup_printf(".%s.", network_dns_domain());
    if (!*name)
        return true;
    if (!check_hostname(f, v, err))
        return false;
    return !dot || g_ascii_strcasecmp(dot, rest) == 0
        || nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: '%.255s' must be one label, or one label and the domain '%s' with its "
                   "dot at the end.", f->json, name, rest + 1);
}

bool check_id_list(const Field *f, const json_t *v, GError **err)
{
    size_t i;
    json_t *id;
    if (!check_array(f, v, err))
        return false;
    json_array_foreach((json_t *) v, i, id) {
        if (!json_is_string(id) || !id_is_uuid(json_string_value(id)))
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: '%s' is not an integer or uuid.", f->json,
                           json_is_string(id) ? json_string_value(id) : "item");
        for (size_t k = 0; k < i; k++)
            if (json_equal(id, json_array_get(v, k)))
                return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: Duplicate items in the list: '%s'.", f->json,
                               json_string_value(id));
    }
    return true;
}

static bool only_keys(const json_t *object, const char *const *keys)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *) object, key, v)
        if (!g_strv_contains(keys, key) || !json_is_string(v))
            return false;
    return json_is_object(object);
}

bool check_fixed_ips(const Field *f, const json_t *v, GError **err)
{
    static const char *const keys[] = { "subnet_id", "ip_address", NULL };
    size_t i;
    json_t *one;
    if (!check_array(f, v, err))
        return false;
    json_array_foreach((json_t *) v, i, one) {
        const char *subnet = json_get_str(one, "subnet_id"), *address = json_get_str(one, "ip_address");
        Ip ip;
        if (!only_keys(one, keys) || (!subnet && !address) || (subnet && !id_is_uuid(subnet)))
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: item %zu needs subnet_id, ip_address or both.", f->json, i);
        if (address && !ip_parse(address, &ip))
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: '%s' is not a valid IP address.", f->json, address);
        for (size_t k = 0; address && k < i; k++)
            if (g_strcmp0(address, json_get_str(json_array_get(v, k), "ip_address")) == 0)
                return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: Duplicate IP address '%s'.", f->json, address);
    }
    return true;
}

static bool pair_is_new(const json_t *pairs, size_t i, GError **err)
{
    const json_t *pair = json_array_get(pairs, i);
    const char *mac = json_get_str(pair, "mac_address");
    for (size_t k = 0; k < i; k++)
        if (json_equal(pair, json_array_get(pairs, k)))
            return nv_fail(err, NV_ERR_INVALID, "Request contains duplicate address pair: mac_address %s ip_address %s.",
                           mac ? mac : "(the port's)", json_get_str(pair, "ip_address"));
    return true;
}

bool check_pairs(const Field *f, const json_t *v, GError **err)
{
    static const char *const keys[] = { "ip_address", "mac_address", NULL };
    size_t i;
    json_t *pair;
    if (!check_array(f, v, err))
        return false;
    if (json_array_size(v) > PAIRS_MAX)
        return nv_fail(err, NV_ERR_INVALID, "The number of allowed address pair exceeds the maximum %d.", PAIRS_MAX);
    json_array_foreach((json_t *) v, i, pair) {
        const char *address = json_get_str(pair, "ip_address"), *mac = json_get_str(pair, "mac_address");
        guint8 raw[6];
        g_autofree char *spelled = mac ? mac_spelled(mac) : NULL;
        Cidr c;
        Ip ip;
        if (!only_keys(pair, keys) || !address)
            return nv_fail(err, NV_ERR_INVALID, "AllowedAddressPair must contain ip_address: item %zu.", i);
        if (!ip_parse(address, &ip) && !cidr_parse(address, false, &c))
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: '%s' is not a valid IP address or IP subnet.", f->json, address);
        if (mac && !(spelled && mac_parse(spelled, raw)))
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: '%s' is not a valid MAC address.", f->json, mac);
        if (!pair_is_new(v, i, err))
            return false;
    }
    return true;
}

/* Names that dnsmasq knows (dhcp-option=option:…), or a number. Nothing else reaches its files. */
static const char *const dhcp_names[] = {
    "netmask",
    "time-offset",
    "router",
    "dns-server",
    "log-server",
    "lpr-server",
    "hostname",
    "boot-file-size",
    "domain-name",
    "swap-server",
    "root-path",
    "extension-path",
    "ip-forward-enable",
    "non-local-source-routing",
    "policy-filter",
    "max-datagram-reassembly",
    "default-ttl",
    "mtu",
    "all-subnets-local",
    "broadcast",
    "router-discovery",
    "router-solicitation",
    "static-route",
    "trailer-encapsulation",
    "arp-timeout",
    "ethernet-encap",
    "tcp-ttl",
    "tcp-keepalive",
    "nis-domain",
    "nis-server",
    "ntp-server",
    "vendor-encap",
    "netbios-ns",
    "netbios-dd",
    "netbios-nodetype",
    "netbios-scope",
    "x-windows-fs",
    "x-windows-dm",
    "requested-address",
    "vendor-class",
    "nis+-domain",
    "nis+-server",
    "tftp-server",
    "tftp-server-name",
    "server-ip-address",
    "bootfile-name",
    "mobile-ip-home",
    "smtp-server",
    "pop3-server",
    "nntp-server",
    "irc-server",
    "user-class",
    "FQDN",
    "rapid-commit",
    "client-arch",
    "client-interface-id",
    "client-machine-id",
    "posix-timezone",
    "tzdb-timezone",
    "ipv6-only",
    "subnet-select",
    "domain-search",
    "sip-server",
    "classless-static-route",
    "vendor-id-encap",
    "tftp-server-address",
    "path-prefix",
    "server-id",
    "T1",
    "T2",
    "ia-na",
    "oro",
    "preference",
    "sip-server-domain",
    "information-refresh-time",
    "nis-domain-name",
    "ntp-server-dhcpv6",
    "bootfile-url",
    "bootfile-param",
    "reboot-time",
    NULL,
};

static bool dhcp_name_ok(const char *name)
{
    gsize digits = strspn(name, "0123456789");
    if (digits && !name[digits])
        return digits <= 3 && name[0] != '0' && g_ascii_strtoull(name, NULL, 10) < 255;
    return g_strv_contains(dhcp_names, name);
}

static bool is_domain(const char *text)
{
    static const Field f = { .json = "opt_value" };
    g_autoptr(json_t) v = json_string(text);
    return check_hostname(&f, v, NULL);
}

/* Printable ASCII; a comma only between addresses, as in a list of servers, and between the domains of a search list. */
static bool dhcp_value_ok(const char *name, const char *value)
{
    bool search = strcmp(name, "domain-search") == 0 || strcmp(name, "119") == 0;
    Ip ip;
    Cidr c;
    gsize n = strlen(value);
    if (n < 1 || n > 255)
        return false;
    for (const char *s = value; *s; s++)
        if (*s < 0x20 || *s > 0x7e || *s == '"' || *s == '\\')
            return false;
    if (!strchr(value, ','))
        return true;
    g_auto(GStrv) parts = g_strsplit(value, ",", -1);
    for (char **p = parts; *p; p++)
        if (!(search && is_domain(*p)) && !ip_parse(*p, &ip) && !cidr_parse(*p, false, &c))
            return false;
    return true;
}

bool check_dhcp_opts(const Field *f, const json_t *v, GError **err)
{
    size_t i;
    json_t *opt;
    if (!check_array(f, v, err))
        return false;
    if (json_array_size(v) > OPTS_MAX)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: it has more than %d items.", f->json, OPTS_MAX);
    json_array_foreach((json_t *) v, i, opt) {
        const char *name = json_get_str(opt, "opt_name"), *value = json_get_str(opt, "opt_value");
        json_t *version = json_object_get(opt, "ip_version");
        gint64 number = json_is_string(version) ? g_ascii_strtoll(json_string_value(version), NULL, 10) : json_integer_value(version);
        if (!json_is_object(opt) || json_object_size(opt) != (size_t) 2 + (version != NULL) || !json_object_get(opt, "opt_value"))
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: item %zu needs opt_name and opt_value.", f->json, i);
        if (!name || !dhcp_name_ok(name))
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: item %zu: opt_name is not a DHCP option's name or number.",
                           f->json, i);
        if (!json_is_null(json_object_get(opt, "opt_value")) && (!value || !dhcp_value_ok(name, value)))
            return nv_fail(err, NV_ERR_INVALID,
                           "Invalid input for %s. Reason: item %zu: opt_value must be 1 to 255 printable ASCII characters; commas only "
                           "between addresses, or domains to search.",
                           f->json, i);
        if (version && number != 4 && number != 6)
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: item %zu: ip_version must be 4 or 6.", f->json, i);
    }
    return true;
}

static gint64 opt_version(const json_t *opt)
{
    const json_t *v = json_object_get(opt, "ip_version");
    return json_is_string(v) ? g_ascii_strtoll(json_string_value(v), NULL, 10) : v ? json_integer_value(v) : 4;
}

json_t *dhcp_opts_merge(const json_t *old, const json_t *given)
{
    json_t *merged = old ? json_deep_copy(old) : json_array();
    size_t i, k;
    json_t *opt, *have;
    json_array_foreach((json_t *) given, i, opt) {
        const char *name = json_get_str(opt, "opt_name"), *value = json_get_str(opt, "opt_value");
        json_array_foreach(merged, k, have)
            if (g_strcmp0(name, json_get_str(have, "opt_name")) == 0 && opt_version(opt) == opt_version(have)) {
                json_array_remove(merged, k);
                break;
            }
        if (value)
            json_array_append_new(merged, json_make("ssi", "opt_name", name, "opt_value", value, "ip_version", opt_version(opt)));
    }
    return merged;
}

static bool names_address(const json_t *fixed_ips)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *) fixed_ips, i, one)
        if (json_get_str(one, "ip_address"))
            return true;
    return false;
}

static bool refuse(const char *attribute, const Port *old, GError **err)
{
    return nv_fail(err, NV_ERR_FORBIDDEN, "((rule:%s_port and rule:%s_port:%s)) is disallowed by policy", old ? "update" : "create",
                   old ? "update" : "create", attribute);
}

bool port_policy(const Ctx *ctx, const Network *n, const Port *p, const Port *old, GError **err)
{
    static const char *const ours[] = { "network:dhcp", "network:router_interface", "network:router_gateway", "network:floatingip", NULL };
    bool owner = network_is_owner(ctx, n), shared = n->shared;
    if (ctx->admin)
        return true;
    bool owner_changes = !old || strcmp(p->device_owner, old->device_owner) != 0;
    if (owner_changes && g_str_has_prefix(p->device_owner, "network:") && (!owner || g_strv_contains(ours, p->device_owner)))
        return refuse("device_owner", old, err);
    if (old && g_strv_contains(ours, old->device_owner) && owner_changes)
        return refuse("device_owner", old, err);
    if (row_is_dirty(&p->row, &p->mac_address) && (!owner || old) && !(old && g_ascii_strcasecmp(p->mac_address, old->mac_address) == 0))
        return refuse("mac_address", old, err);
    if (owner)
        return true;
    if (row_is_dirty(&p->row, &p->fixed_ips) && (!shared || names_address(p->fixed_ips)) && !(old && json_equal(p->fixed_ips, old->fixed_ips)))
        return refuse("fixed_ips", old, err);
    if (row_is_dirty(&p->row, &p->port_security_enabled) && p->port_security_enabled != (old ? old->port_security_enabled : n->port_security_enabled))
        return refuse("port_security_enabled", old, err);
    if (row_is_dirty(&p->row, &p->allowed_address_pairs)
        && !(old ? json_equal(p->allowed_address_pairs, old->allowed_address_pairs) : !json_array_size(p->allowed_address_pairs)))
        return refuse("allowed_address_pairs", old, err);
    return true;
}

bool port_security_check(Port *p, GError **err)
{
    size_t i;
    json_t *pair;
    if (!p->port_security_enabled && json_array_size(p->security_groups) && row_is_dirty(&p->row, &p->security_groups))
        return nv_fail(err, NV_ERR_INVALID, "Port security must be enabled and port must have an IP address in order to use security groups.");
    if (!p->port_security_enabled && json_array_size(p->security_groups))
        return nv_fail(err, NV_ERR_CONFLICT,
                       "Port has security group associated. Cannot disable port security or IP address until security group is removed.");
    if (!p->port_security_enabled && json_array_size(p->allowed_address_pairs))
        return nv_fail(err, NV_ERR_CONFLICT, "Port Security must be enabled in order to have allowed address pairs on a port.");
    if (!row_is_dirty(&p->row, &p->allowed_address_pairs))
        return true;
    json_array_foreach(p->allowed_address_pairs, i, pair) {
        const char *mac = json_get_str(pair, "mac_address");
        g_autofree char *spelled = mac ? mac_spelled(mac) : g_strdup(p->mac_address);
        json_object_set_new(pair, "mac_address", json_string(spelled));
        if (!pair_is_new(p->allowed_address_pairs, i, err))
            return false;
    }
    return true;
}

bool port_groups_check(Db *db, const Ctx *ctx, const json_t *groups, GError **err)
{
    size_t i;
    json_t *id;
    json_array_foreach((json_t *) groups, i, id) {
        g_autoptr(GError) why = NULL;
        g_autoptr(Row) row = row_get_for(db, &security_group_resource, ctx, json_string_value(id), false, &why);
        if (!row)
            return nv_fail(err, nv_error_code(why), "Security group %s does not exist", json_string_value(id));
    }
    return true;
}

/* The kernel follows the connections of a port, or it does not. */
bool port_groups_alike(Db *db, const json_t *groups, GError **err)
{
    gint64 kinds = 0;
    g_autofree char *ids = json_text(groups);
    if (json_array_size(groups) < 2)
        return true;
    if (!db_query_int(db, err, &kinds, "group_kinds", "s", ids))
        return false;
    return kinds < 2
        || nv_fail(err, NV_ERR_CONFLICT,
                   "Error Cannot apply both stateful and stateless security groups on the same port at the same time while attempting the "
                   "operation.");
}
