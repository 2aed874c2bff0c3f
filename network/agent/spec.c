/* network/agent/spec.c -- parses the arguments of verbs strictly: addresses, prefixes, MACs, names of hosts. */
#include "network/agent/spec.h"
#include "core/error.h"
#include "core/log.h"
#include <stdlib.h>
#include <string.h>

enum { MTU_MIN = 68, MTU_MAX = 65535, ZONE_MAX = 65535 };

static bool bad(GError **err, const char *what, const json_t *v)
{
    return nv_fail(err, NV_ERR_INVALID, "%s is not acceptable: %s", what, json_is_string(v) ? json_string_value(v) : "wrong type");
}

bool spec_get_id12(const json_t *v, const char *what, Id12 *ret, GError **err)
{
    if (!json_is_string(v) || !id_is_uuid(json_string_value(v)))
        return bad(err, what, v);
    *ret = id_12(json_string_value(v));
    return true;
}

bool spec_get_ip(const json_t *v, const char *what, Ip *ret, GError **err)
{
    return (json_is_string(v) && ip_parse(json_string_value(v), ret)) || bad(err, what, v);
}

/* An address counts as a prefix of its whole length. */
bool spec_get_cidr(const json_t *v, bool strict, const char *what, Cidr *ret, GError **err)
{
    return cidr_parse_any(json_string_value(v), strict, ret) || bad(err, what, v);
}

bool spec_get_mac(const json_t *v, const char *what, char ret[18], GError **err)
{
    guint8 raw[6];
    if (!json_is_string(v) || !mac_parse(json_string_value(v), raw))
        return bad(err, what, v);
    g_strlcpy(ret, json_string_value(v), 18);
    return true;
}

static bool is_label(const char *s, gsize n)
{
    for (gsize i = 0; i < n; i++)
        if (!(g_ascii_isalnum(s[i]) || (s[i] == '-' && i && i + 1 < n)))
            return false;
    return n > 0 && n < 64;
}

static bool is_domain(const char *s)
{
    g_auto(GStrv) labels = g_strsplit(s, ".", -1);
    if (!*labels || strlen(s) > 253)
        return false;
    for (char **l = labels; *l; l++)
        if (!is_label(*l, strlen(*l)))
            return false;
    return true;
}

/* Fills list (of Ip, or of Cidr) from an array of texts. */
bool spec_get_ips(const json_t *array, const char *what, GArray *list, GError **err)
{
    size_t i;
    json_t *v;
    json_array_foreach((json_t *) array, i, v) {
        Ip ip;
        if (!spec_get_ip(v, what, &ip, err))
            return false;
        g_array_append_val(list, ip);
    }
    return true;
}

bool spec_get_cidrs(const json_t *array, bool strict, const char *what, GArray *list, GError **err)
{
    size_t i;
    json_t *v;
    json_array_foreach((json_t *) array, i, v) {
        Cidr c;
        if (!spec_get_cidr(v, strict, what, &c, err))
            return false;
        g_array_append_val(list, c);
    }
    return true;
}

bool spec_get_mtu(const json_t *args, gint64 *ret, GError **err)
{
    *ret = json_get_int(args, "mtu", 1500);
    return (*ret >= MTU_MIN && *ret <= MTU_MAX) || nv_fail(err, NV_ERR_INVALID, "mtu %" G_GINT64_FORMAT " is out of range", *ret);
}

void spec_port_free(PortSpec *p)
{
    if (!p)
        return;
    g_array_unref(p->addresses);
    g_array_unref(p->pairs);
    g_array_unref(p->groups);
    json_decref(p->args);
    g_free(p);
}

bool spec_port_lists(const json_t *args, const char *addresses, PortSpec *p, GError **err)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(args, "pairs"), i, v) {
        Pair pair = { 0 };
        const json_t *mac = json_object_get(v, "mac");
        g_strlcpy(pair.mac, p->mac, sizeof pair.mac);
        if (!spec_get_cidr(json_object_get(v, "ip"), false, "pairs", &pair.cidr, err) ||
            (mac && !json_is_null(mac) && !spec_get_mac(mac, "pairs", pair.mac, err)))
            return false;
        pair.cidr.base = cidr_first(pair.cidr);
        g_array_append_val(p->pairs, pair);
    }
    json_array_foreach(json_object_get(args, "groups"), i, v) {
        Id12 g;
        if (!spec_get_id12(v, "groups", &g, err))
            return false;
        g_array_append_val(p->groups, g);
    }
    return spec_get_ips(json_object_get(args, addresses), addresses, p->addresses, err);
}

PortSpec *spec_port_new(void)
{
    PortSpec *p = g_new0(PortSpec, 1);
    p->addresses = g_array_new(FALSE, TRUE, sizeof(Ip));
    p->pairs = g_array_new(FALSE, TRUE, sizeof(Pair));
    p->groups = g_array_new(FALSE, TRUE, sizeof(Id12));
    return p;
}

static bool limits_parse(const json_t *qos, const char *direction, Limits *l, GError **err)
{
    struct { const char *name; gint64 *value; gint64 max; } members[] = {
        { "kbps", &l->kbps, G_MAXINT32 }, { "burst_kb", &l->burst_kb, G_MAXINT32 }, { "pps", &l->pps, G_MAXINT32 * 1000ll },
        { "pps_burst", &l->pps_burst, G_MAXINT32 * 1000ll }, { "min_kbps", &l->min_kbps, G_MAXINT32 },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(members); i++) {
        g_autofree char *name = g_strdup_printf("%s_%s", direction, members[i].name);
        const json_t *v = json_object_get(qos, name);
        if (!v || json_is_null(v))
            continue;
        *members[i].value = json_integer_value(v);
        if (!json_is_integer(v) || *members[i].value < 0 || *members[i].value > members[i].max)
            return nv_fail(err, NV_ERR_INVALID, "%s is out of range", name);
    }
    return true;
}

static bool qos_parse(const json_t *qos, QosSpec *q, GError **err)
{
    gint64 dscp = json_get_int(qos, "dscp", -1);
    *q = (QosSpec){ .dscp = (int) dscp };
    if (dscp < -1 || dscp > 63)
        return nv_fail(err, NV_ERR_INVALID, "dscp is out of range");
    return limits_parse(qos, "egress", &q->egress, err) && limits_parse(qos, "ingress", &q->ingress, err);
}

static bool parent_parse(const json_t *parent, PortSpec *p, GError **err)
{
    const json_t *id = json_object_get(parent, "port_id");
    gint64 vlan = json_get_int(parent, "vlan", 0);
    Id12 n;
    if (!json_is_object(parent))
        return true;
    if (!spec_get_id12(id, "parent", &n, err))
        return false;
    if (vlan < 1 || vlan > 4094)
        return nv_fail(err, NV_ERR_INVALID, "vlan of a subport is out of range");
    p->parent = id_tap(json_string_value(id));
    p->vlan = (int) vlan;
    return true;
}

PortSpec *spec_port_parse(const json_t *args, GError **err)
{
    g_autoptr(PortSpec) p = spec_port_new();
    p->args = json_incref((json_t *) args);
    const char *network = json_get_str(args, "network_id");
    g_strlcpy(p->id, json_get_str(args, "id"), sizeof p->id);
    p->n = id_12(p->id);
    p->tap = id_tap(p->id);
    p->port_security = json_get_bool(args, "port_security", true);
    p->up = json_get_bool(args, "up", true);
    if (!spec_get_id12(json_object_get(args, "network_id"), "network_id", &p->network, err) || !spec_get_mtu(args, &p->mtu, err) ||
        !spec_get_mac(json_object_get(args, "mac"), "mac", p->mac, err) || !spec_port_lists(args, "addresses", p, err) ||
        !qos_parse(json_object_get(args, "qos"), &p->qos, err) || !parent_parse(json_object_get(args, "parent"), p, err))
        return NULL;
    const char *physical = json_get_str(json_object_get(args, "qos"), "physical");
    if (p->qos.egress.min_kbps && (!physical || strlen(physical) >= sizeof p->physical))
        return nv_fail(err, NV_ERR_INVALID, "egress_min_kbps needs physical"), NULL;
    g_strlcpy(p->physical, physical ? physical : "", sizeof p->physical);
    p->bridge = id_bridge(network);
    return g_steal_pointer(&p);
}

void spec_group_free(GroupSpec *g)
{
    if (!g)
        return;
    g_array_unref(g->rules);
    g_array_unref(g->members);
    json_decref(g->args);
    g_free(g);
}

static bool small_int(const json_t *rule, const char *key, int max, int *ret, GError **err)
{
    const json_t *v = json_object_get(rule, key);
    *ret = -1;
    if (!v || json_is_null(v))
        return true;
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > max)
        return nv_fail(err, NV_ERR_INVALID, "%s of a rule is out of range", key);
    *ret = (int) json_integer_value(v);
    return true;
}

static bool rule_parse(const json_t *v, GroupRule *r, GError **err)
{
    const char *direction = json_get_str(v, "direction");
    const json_t *cidr = json_object_get(v, "cidr"), *group = json_object_get(v, "remote_group");
    memset(r, 0, sizeof *r);                     /* compared as bytes later */
    r->version = (int) json_get_int(v, "ethertype", 0);
    if (g_strcmp0(direction, "ingress") != 0 && g_strcmp0(direction, "egress") != 0)
        return nv_fail(err, NV_ERR_INVALID, "direction of a rule is neither ingress nor egress");
    r->ingress = *direction == 'i';
    if (r->version != 4 && r->version != 6)
        return nv_fail(err, NV_ERR_INVALID, "ethertype of a rule is neither 4 nor 6");
    if (!small_int(v, "protocol", 255, &r->protocol, err) || !small_int(v, "port_min", 65535, &r->port_min, err) ||
        !small_int(v, "port_max", 65535, &r->port_max, err))
        return false;
    if (cidr && !json_is_null(cidr)) {
        r->has_cidr = true;
        if (!spec_get_cidr(cidr, false, "cidr of a rule", &r->cidr, err))
            return false;
        r->cidr.base = cidr_first(r->cidr);
        if (r->cidr.base.version != r->version)
            return nv_fail(err, NV_ERR_INVALID, "cidr of a rule is of another IP version");
    }
    if (!spec_get_id12(json_object_get(v, "id"), "id of a rule", &r->id, err))
        return false;
    r->has_group = group && !json_is_null(group);
    return !r->has_group || spec_get_id12(group, "remote_group of a rule", &r->group, err);
}

GroupSpec *spec_group_parse(const json_t *args, GError **err)
{
    g_autoptr(GroupSpec) g = g_new0(GroupSpec, 1);
    size_t i;
    json_t *v;
    g->rules = g_array_new(FALSE, TRUE, sizeof(GroupRule));
    g->members = g_array_new(FALSE, TRUE, sizeof(Cidr));
    g->args = json_incref((json_t *) args);
    g->n = id_12(json_get_str(args, "id"));
    g->stateful = json_get_bool(args, "stateful", true);
    json_array_foreach(json_object_get(args, "rules"), i, v) {
        GroupRule r;
        if (!rule_parse(v, &r, err))
            return NULL;
        g_array_append_val(g->rules, r);
    }
    if (!spec_get_cidrs(json_object_get(args, "members4"), false, "members4", g->members, err) ||
        !spec_get_cidrs(json_object_get(args, "members6"), false, "members6", g->members, err))
        return NULL;
    for (guint m = 0; m < g->members->len; m++) {
        Cidr *c = &g_array_index(g->members, Cidr, m);
        c->base = cidr_first(*c);
    }
    return g_steal_pointer(&g);
}

static void dhcp_port_free(gpointer data)
{
    DhcpPort *p = data;
    for (guint i = 0; i < p->options->len; i++)
        g_free(g_array_index(p->options, DhcpOption, i).value);
    g_array_unref(p->ips);
    g_array_unref(p->options);
    g_free(p);
}

static void dhcp_subnet_free(gpointer data)
{
    DhcpSubnet *s = data;
    g_array_unref(s->dns);
    g_array_unref(s->routes);
    g_free(s);
}

void spec_network_free(NetworkSpec *n)
{
    if (!n)
        return;
    g_array_unref(n->host_addresses);
    g_array_unref(n->nat);
    g_array_unref(n->dhcp_addresses);
    g_ptr_array_unref(n->ports);
    g_ptr_array_unref(n->subnets);
    spec_segment_clear(&n->segment);
    json_decref(n->args);
    g_free(n);
}

/* A number or one of dnsmasq's names; the value is printable text that cannot end the line or begin a comment or a quotation. */
static bool option_parse(const json_t *v, DhcpOption *o, GError **err)
{
    const char *name = json_get_str(v, "name"), *value = json_get_str(v, "value");
    if (!name || !*name || strlen(name) >= sizeof o->name || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(name) || *name == '-' ||
        g_str_has_suffix(name, "-"))
        return bad(err, "name of a DHCP option", json_object_get(v, "name"));
    for (const char *c = value ? value : ""; *c; c++)
        if (*c < 0x20 || *c > 0x7e || strchr("\"\\#", *c))
            return bad(err, "value of a DHCP option", json_object_get(v, "value"));
    if (!value || strlen(value) > 255)
        return bad(err, "value of a DHCP option", json_object_get(v, "value"));
    g_strlcpy(o->name, name, sizeof o->name);
    o->value = g_strdup(value);
    o->version = (int) json_get_int(v, "version", 4);
    return true;
}

static bool dhcp_port_parse(const json_t *v, GPtrArray *list, GError **err)
{
    DhcpPort *p = g_new0(DhcpPort, 1);
    const char *hostname = json_get_str(v, "hostname");
    size_t i;
    json_t *one;
    p->ips = g_array_new(FALSE, TRUE, sizeof(Ip));
    p->options = g_array_new(FALSE, TRUE, sizeof(DhcpOption));
    g_ptr_array_add(list, p);
    if (!spec_get_id12(json_object_get(v, "id"), "id of a DHCP port", &p->n, err) ||
        !spec_get_mac(json_object_get(v, "mac"), "mac of a DHCP port", p->mac, err) ||
        !spec_get_ips(json_object_get(v, "ips"), "ips of a DHCP port", p->ips, err))
        return false;
    /* One port's odd name or option must not keep its whole network from working. */
    g_strlcpy(p->hostname, hostname && is_label(hostname, strlen(hostname)) ? hostname : "", sizeof p->hostname);
    json_array_foreach(json_object_get(v, "options"), i, one) {
        g_autoptr(GError) why = NULL;
        DhcpOption o = { 0 };
        if (option_parse(one, &o, &why))
            g_array_append_val(p->options, o);
        else
            log_warn("dhcp.option_refused", "port", p->n.s, "reason", why->message, NULL);
    }
    return true;
}

static bool subnet_routes(const json_t *array, DhcpSubnet *s, GError **err)
{
    size_t i;
    json_t *v;
    json_array_foreach((json_t *) array, i, v) {
        DhcpRoute r;
        if (!spec_get_cidr(json_object_get(v, "destination"), false, "destination", &r.destination, err) ||
            !spec_get_ip(json_object_get(v, "nexthop"), "nexthop", &r.nexthop, err))
            return false;
        r.destination.base = cidr_first(r.destination);
        g_array_append_val(s->routes, r);
    }
    return true;
}

static bool dhcp_subnet_parse(const json_t *v, GPtrArray *list, GError **err)
{
    static const struct { const char *name; RaMode mode; } modes[] = {
        { "slaac", RA_SLAAC }, { "dhcpv6-stateless", RA_STATELESS }, { "dhcpv6-stateful", RA_STATEFUL },
    };
    DhcpSubnet *s = g_new0(DhcpSubnet, 1);
    const json_t *gateway = json_object_get(v, "gateway");
    s->dns = g_array_new(FALSE, TRUE, sizeof(Ip));
    s->routes = g_array_new(FALSE, TRUE, sizeof(DhcpRoute));
    g_ptr_array_add(list, s);
    for (gsize i = 0; i < G_N_ELEMENTS(modes); i++)
        if (g_strcmp0(json_get_str(v, "mode"), modes[i].name) == 0)
            s->mode = modes[i].mode;
    s->has_gateway = gateway && !json_is_null(gateway);
    return spec_get_id12(json_object_get(v, "id"), "id of a subnet", &s->n, err) &&
           spec_get_cidr(json_object_get(v, "cidr"), true, "cidr", &s->cidr, err) &&
           (!s->has_gateway || spec_get_ip(gateway, "gateway", &s->gateway, err)) && spec_get_ips(json_object_get(v, "dns"), "dns", s->dns, err) &&
           subnet_routes(json_object_get(v, "routes"), s, err);
}

static bool dhcp_parse(const json_t *dhcp, NetworkSpec *n, GError **err)
{
    size_t i;
    json_t *v;
    const char *domain = json_get_str(dhcp, "domain");
    if (!json_is_object(dhcp))
        return true;
    n->has_dhcp = true;
    if (domain && *domain && !is_domain(domain))
        return bad(err, "domain", json_object_get(dhcp, "domain"));
    g_strlcpy(n->domain, domain ? domain : "", sizeof n->domain);
    if (!spec_get_mac(json_object_get(dhcp, "mac"), "mac", n->dhcp_mac, err) ||
        !spec_get_cidrs(json_object_get(dhcp, "addresses"), false, "addresses", n->dhcp_addresses, err))
        return false;
    json_array_foreach(json_object_get(dhcp, "ports"), i, v)
        if (!dhcp_port_parse(v, n->ports, err))
            return false;
    json_array_foreach(json_object_get(dhcp, "subnets"), i, v)
        if (!dhcp_subnet_parse(v, n->subnets, err))
            return false;
    return true;
}

NetworkSpec *spec_network_parse(const json_t *args, GError **err)
{
    g_autoptr(NetworkSpec) n = g_new0(NetworkSpec, 1);
    n->args = json_incref((json_t *) args);
    gint64 zone = json_get_int(args, "zone", 0);
    n->host_addresses = g_array_new(FALSE, TRUE, sizeof(Cidr));
    n->nat = g_array_new(FALSE, TRUE, sizeof(Cidr));
    n->dhcp_addresses = g_array_new(FALSE, TRUE, sizeof(Cidr));
    n->ports = g_ptr_array_new_with_free_func(dhcp_port_free);
    n->subnets = g_ptr_array_new_with_free_func(dhcp_subnet_free);
    g_strlcpy(n->id, json_get_str(args, "id"), sizeof n->id);
    n->n = id_12(n->id);
    n->bridge = id_bridge(n->id);
    n->veth = id_dhcp_veth(n->id);
    n->netns = id_netns(n->id);
    if (zone < 0 || zone > ZONE_MAX)
        return nv_fail(err, NV_ERR_INVALID, "zone is out of range"), NULL;
    n->zone = (int) zone;
    if (!spec_get_mtu(args, &n->mtu, err) ||
        !spec_get_cidrs(json_object_get(args, "host_addresses"), false, "host_addresses", n->host_addresses, err) ||
        !spec_get_cidrs(json_object_get(args, "nat"), false, "nat", n->nat, err) || !dhcp_parse(json_object_get(args, "dhcp"), n, err) ||
        !spec_segment_parse(json_object_get(args, "segment"), n, err))
        return NULL;
    for (guint i = 0; i < n->nat->len; i++) {
        Cidr *c = &g_array_index(n->nat, Cidr, i);
        c->base = cidr_first(*c);
    }
    return g_steal_pointer(&n);
}
