/* network/desired.c -- from rows to what an agent is to make of them: the arguments of network.ensure, group.ensure and port.ensure. */
#include "core/conf.h"
#include "network/qos.h"
#include "network/trunk.h"
#include <string.h>

static json_t *strings(const json_t *list)
{
    return list ? json_deep_copy(list) : json_array();
}

static void append_cidr_of_gateway(json_t *list, const Subnet *s)
{
    g_autofree char *text = g_strdup_printf("%s/%d", s->gateway_ip, subnet_cidr(s).prefix);
    json_array_append_new(list, json_string(text));
}

static json_t *dhcp_subnet(const Subnet *s)
{
    const char *mode = s->ip_version == 6 ? s->ipv6_ra_mode : NULL;
    return json_make("ssisoos", "id", s->id, "cidr", s->cidr, "version", s->ip_version, "gateway", s->gateway_ip, "dns", strings(s->dns_nameservers),
                     "routes", strings(s->host_routes), "mode", mode);
}

/* "host-10-0-0-5" for a port without a name of its own; the label of one that has the domain with it. */
static char *port_hostname(const json_t *port, const json_t *ips)
{
    const char *name = json_get_str(port, "dns_name"), *ip = json_string_value(json_array_get(ips, 0));
    if (name && *name)
        return g_str_has_suffix(name, ".") ? g_strndup(name, strcspn(name, ".")) : g_strdup(name);
    return g_strdelimit(g_strdup_printf("host-%s", ip ? ip : "none"), ".:", '-');
}

static json_t *dhcp_options(const json_t *port)
{
    const char *text = json_get_str(port, "extra_dhcp_opts");
    g_autoptr(json_t) opts = text ? json_parse_trusted(text) : NULL;
    json_t *list = json_array(), *opt;
    size_t i;
    json_array_foreach(opts, i, opt)
        json_array_append_new(list, json_make("ssi", "name", json_get_str(opt, "opt_name"), "value", json_get_str(opt, "opt_value"), "version",
                                              json_get_int(opt, "ip_version", 4)));
    return list;
}

static json_t *split_addresses(const json_t *port)
{
    const char *text = json_get_str(port, "addresses");
    json_t *list = json_array();
    g_auto(GStrv) parts = g_strsplit(text ? text : "", ",", -1);
    for (char **p = parts; *p; p++)
        if (**p)
            json_array_append_new(list, json_string(*p));
    return list;
}

static json_t *dhcp_port(const json_t *port)
{
    json_t *ips = split_addresses(port), *options = dhcp_options(port);
    g_autofree char *hostname = port_hostname(port, ips);
    json_t *entry = json_make("ssso", "id", json_get_str(port, "id"), "mac", json_get_str(port, "mac_address"), "hostname", hostname, "ips", ips);
    if (json_array_size(options))
        json_object_set(entry, "options", options);
    json_decref(options);
    return entry;
}

/* The namespace's own addresses, with their prefixes. */
static json_t *dhcp_addresses(const json_t *port, const GPtrArray *subnets)
{
    g_autoptr(json_t) ips = split_addresses(port);
    json_t *list = json_array(), *ip;
    size_t i;
    json_array_foreach(ips, i, ip) {
        Ip parsed;
        for (guint k = 0; ip_parse(json_string_value(ip), &parsed) && k < subnets->len; k++) {
            Cidr c = subnet_cidr(subnets->pdata[k]);
            g_autofree char *text = g_strdup_printf("%s/%d", json_string_value(ip), c.prefix);
            if (cidr_contains(c, parsed))
                json_array_append_new(list, json_string(text));
        }
    }
    return list;
}

static json_t *dhcp_part(const GPtrArray *subnets, const json_t *ports)
{
    const json_t *own = NULL;
    json_t *others = json_array(), *served = json_array(), *port;
    size_t i;
    json_array_foreach((json_t *) ports, i, port) {
        if (g_strcmp0(json_get_str(port, "device_owner"), "network:dhcp") == 0)
            own = port;
        else                                     /* without an address too: it may ask, and its MAC must be known then */
            json_array_append_new(others, dhcp_port(port));
    }
    for (guint k = 0; k < subnets->len; k++)
        if (AS(const Subnet, subnets->pdata[k])->enable_dhcp)
            json_array_append_new(served, dhcp_subnet(subnets->pdata[k]));
    if (!own) {
        json_decref(others);
        json_decref(served);
        return NULL;
    }
    return json_make("sosoo", "mac", json_get_str(own, "mac_address"), "addresses", dhcp_addresses(own, subnets), "domain",
                     network_dns_domain(), "ports", others, "subnets", served);
}

json_t *desired_network(const Network *n, const GPtrArray *subnets, const json_t *ports, json_t *segment_stolen)
{
    bool gateway = network_is_host_gateway(n);
    json_t *host = json_array(), *nat = json_array();
    for (guint i = 0; gateway && i < subnets->len; i++) {
        const Subnet *s = subnets->pdata[i];
        if (!s->gateway_ip || s->ip_version != 4)
            continue;
        append_cidr_of_gateway(host, s);
        json_array_append_new(nat, json_string(s->cidr));
    }
    return json_make("siioooo", "id", n->id, "mtu", n->mtu, "zone", gateway ? (gint64) 0 : n->vni, "host_addresses", host, "nat", nat,
                     "segment", segment_stolen, "dhcp", dhcp_part(subnets, ports));
}

static json_t *agent_rule(const GroupRule *r, const char *cidr)
{
    const Row *row = &r->row;
    bool six = strcmp(r->ethertype, "IPv6") == 0;
    int protocol = protocol_number(r->protocol);
    if (six && protocol == 1)
        protocol = 58;                           /* Neutron's API calls both ICMPs icmp */
    json_t *rule = json_make("ssiss", "id", r->id, "direction", r->direction, "ethertype", (gint64) (six ? 6 : 4), "cidr", cidr, "remote_group",
                             r->remote_group_id);
    json_object_set_new(rule, "protocol", protocol < 0 ? json_null() : json_integer(protocol));
    json_object_set_new(rule, "port_min", row_is_null(row, &r->port_range_min) ? json_null() : json_integer(r->port_range_min));
    json_object_set_new(rule, "port_max", row_is_null(row, &r->port_range_max) ? json_null() : json_integer(r->port_range_max));
    return rule;
}

/* A rule by address group is one rule for each of its prefixes. */
static void append_rules(json_t *list, const GroupRule *r, const json_t *addresses)
{
    size_t i;
    json_t *one;
    /* Rules are stored as they were given; the agent gets the prefix without host bits. */
    g_autofree char *prefix = cidr_canonical(r->remote_ip_prefix);
    if (!r->remote_address_group_id) {
        json_array_append_new(list, agent_rule(r, prefix));
        return;
    }
    json_array_foreach((json_t *) addresses, i, one) {
        g_autofree char *clean = cidr_canonical(json_get_str(one, "address"));
        bool six = clean && strchr(clean, ':') != NULL;
        if (clean && g_strcmp0(json_get_str(one, "address_group_id"), r->remote_address_group_id) == 0 && six == (strcmp(r->ethertype, "IPv6") == 0))
            json_array_append_new(list, agent_rule(r, clean));
    }
}

json_t *desired_group(const Group *g, const GPtrArray *rules, const json_t *members, const json_t *addresses)
{
    json_t *list = json_array(), *four = json_array(), *six = json_array(), *member;
    size_t i;
    for (guint k = 0; k < rules->len; k++)
        append_rules(list, rules->pdata[k], addresses);
    json_array_foreach((json_t *) members, i, member) {
        const char *address = json_get_str(member, "address");
        json_array_append_new(strchr(address, ':') ? six : four, json_string(address));
    }
    return json_make("sbooo", "id", g->id, "stateful", g->stateful, "rules", list, "members4", four, "members6", six);
}

json_t *desired_port(const Port *p, gint64 mtu, json_t *qos, json_t *parent)
{
    json_t *addresses = json_array(), *pairs = json_array(), *one;
    size_t i;
    json_array_foreach(p->fixed_ips, i, one)
        json_array_append_new(addresses, json_string(json_get_str(one, "ip_address")));
    json_array_foreach(p->allowed_address_pairs, i, one)
        json_array_append_new(pairs, json_make("ss", "ip", json_get_str(one, "ip_address"), "mac", json_get_str(one, "mac_address")));
    return json_make("sssiooobboo", "id", p->id, "network_id", p->network_id, "mac", p->mac_address, "mtu", mtu, "addresses", addresses,
                     "pairs", pairs, "groups", strings(p->security_groups), "port_security", p->port_security_enabled, "up",
                     p->admin_state_up, "qos", qos, "parent", parent);
}

json_t *desired_network_load(Db *db, const char *host, const char *network_id, GError **err)
{
    g_autoptr(Network) n = network_find(db, NULL, network_id, err);
    g_autoptr(GPtrArray) subnets = n ? rows_where(db, &subnet_resource, err, "network_id", network_id, NULL) : NULL;
    g_autoptr(json_t) ports = subnets ? db_query(db, err, "desired_ports", "s", network_id) : NULL;
    json_t *segment = ports ? desired_segment_load(db, n, host, err) : NULL;
    return segment ? desired_network(n, subnets, ports, segment) : NULL;
}

json_t *desired_group_load(Db *db, const char *host, const char *group_id, GError **err)
{
    (void) host;
    g_autoptr(Group) g = AS(Group, row_get(db, &security_group_resource, group_id, err));
    g_autoptr(GPtrArray) rules = g ? rows_where(db, &security_group_rule_resource, err, "security_group_id", group_id, NULL) : NULL;
    g_autoptr(json_t) members = rules ? db_query(db, err, "group_members", "s", group_id) : NULL;
    g_autoptr(json_t) addresses = members ? db_query(db, err, "group_prefixes", "s", group_id) : NULL;
    return addresses ? desired_group(g, rules, members, addresses) : NULL;
}

json_t *desired_port_load(Db *db, const char *host, const char *port_id, GError **err)
{
    (void) host;
    g_autoptr(Port) p = AS(Port, row_get(db, &port_resource, port_id, err));
    g_autoptr(Network) n = p ? network_find(db, NULL, p->network_id, err) : NULL;
    json_t *qos = n ? desired_qos_load(db, port_id, err) : NULL;
    json_t *parent = qos ? desired_parent_load(db, port_id, err) : NULL;
    if (!parent)
        json_decref(qos);
    return parent ? desired_port(p, n->mtu, qos, parent) : NULL;
}
