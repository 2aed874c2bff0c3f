/* network/views.c -- what compute shows of a server's NICs, and what the guest is told of its network. */
#include "network/internal.h"
#include <string.h>

static json_t *address_entry(const json_t *row)
{
    return json_make("sissss", "ip", json_get_str(row, "ip"), "version", json_get_int(row, "version", 4), "subnet_id",
                     json_get_str(row, "subnet_id"), "cidr", json_get_str(row, "cidr"), "gateway", json_get_str(row, "gateway"), "type",
                     "fixed");
}

static json_t *floating_entry(const json_t *row)
{
    return json_make("sissss", "ip", json_get_str(row, "ip"), "version", (gint64) 4, "subnet_id", NULL, "cidr", NULL, "gateway", NULL, "type",
        "floating");
}

static void attach(GHashTable *by_port, const json_t *rows, const char *member, json_t *(*entry)(const json_t *row))
{
    size_t i;
    json_t *row;
    json_array_foreach((json_t *) rows, i, row) {
        json_t *nic = g_hash_table_lookup(by_port, json_get_str(row, "port_id"));
        if (nic)
            json_array_append_new(json_object_get(nic, member), entry(row));
    }
}

static json_t *group_entry(const json_t *row)
{
    return json_make("ss", "id", json_get_str(row, "id"), "name", json_get_str(row, "name"));
}

static json_t *nic_entry(const json_t *row)
{
    const char *name = json_get_str(row, "network_name");
    return json_make("ssssssissoo", "id", json_get_str(row, "id"), "server_id", json_get_str(row, "server_id"), "network_id",
                     json_get_str(row, "network_id"), "network_name", name, "network_label", name, "mac", json_get_str(row, "mac"), "mtu",
                     json_get_int(row, "mtu", 1500), "tag", json_get_str(row, "tag"), "state", json_get_str(row, "state"), "addresses",
                     json_array(), "groups", json_array());
}

json_t *network_nics(Db *db, const char *const *server_ids, GError **err)
{
    g_autoptr(json_t) ids = json_array(), nics = json_array();
    g_autoptr(GHashTable) by_port = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (; *server_ids; server_ids++)
        json_array_append_new(ids, json_string(*server_ids));
    g_autofree char *text = json_text(ids);
    g_autoptr(json_t) ports = db_query(db, err, "nics_ports", "s", text);
    g_autoptr(json_t) addresses = ports ? db_query(db, err, "nics_addresses", "s", text) : NULL;
    g_autoptr(json_t) floating = addresses ? db_query(db, err, "nics_floating", "s", text) : NULL;
    g_autoptr(json_t) groups = floating ? db_query(db, err, "nics_groups", "s", text) : NULL;
    size_t i;
    json_t *row;
    if (!groups)
        return NULL;
    json_array_foreach(ports, i, row) {
        json_t *nic = nic_entry(row);
        json_array_append_new(nics, nic);
        g_hash_table_insert(by_port, g_strdup(json_get_str(row, "id")), nic);
    }
    attach(by_port, addresses, "addresses", address_entry);
    attach(by_port, floating, "addresses", floating_entry);
    attach(by_port, groups, "groups", group_entry);
    return g_steal_pointer(&nics);
}

char *network_server_at(Db *db, const char *network_id, const char *address, const char *host, GError **err)
{
    g_autofree char *id = NULL;
    if (!db_query_str(db, err, &id, "server_at", "sss", network_id, address, host))
        return NULL;
    if (!id)
        nv_fail(err, NV_ERR_NOT_FOUND, "no server has address %s on network %s", address, network_id);
    return g_steal_pointer(&id);
}

static void netmask(Cidr c, char buf[46])
{
    unsigned __int128 all = c.base.version == 4 ? 0xffffffffu : ~(unsigned __int128) 0;
    int bits = c.base.version == 4 ? 32 : 128;
    Ip mask = { .version = c.base.version, .n = c.prefix ? all & (all << (bits - c.prefix)) : 0 };
    ip_format(mask, buf);
}

static json_t *data_routes(const json_t *subnet, Cidr c)
{
    json_t *routes = json_array(), *route;
    const char *gateway = json_get_str(subnet, "gateway"), *text = json_get_str(subnet, "host_routes");
    g_autoptr(json_t) own = text ? json_parse_trusted(text) : NULL;
    size_t i;
    char mask[46];
    if (gateway)
        json_array_append_new(routes, json_make("sss", "network", c.base.version == 4 ? "0.0.0.0" : "::", "netmask",
                                                c.base.version == 4 ? "0.0.0.0" : "::", "gateway", gateway));
    json_array_foreach(own, i, route) {
        Cidr to;
        char network[46];
        if (!cidr_parse(json_get_str(route, "destination"), false, &to))
            continue;
        netmask(to, mask);
        ip_format(cidr_first(to), network);
        json_array_append_new(routes, json_make("sss", "network", network, "netmask", mask, "gateway", json_get_str(route, "nexthop")));
    }
    return routes;
}

static json_t *data_services(const json_t *subnet)
{
    const char *text = json_get_str(subnet, "dns_nameservers");
    g_autoptr(json_t) dns = text ? json_parse_trusted(text) : NULL;
    json_t *services = json_array(), *one;
    size_t i;
    json_array_foreach(dns, i, one)
        json_array_append_new(services, json_make("ss", "type", "dns", "address", json_string_value(one)));
    return services;
}

/* "ipv4_dhcp" tells the guest to ask; a subnet without DHCP gives its address here. */
static const char *data_type(const json_t *row)
{
    const char *mode = json_get_str(row, "mode");
    bool four = json_get_int(row, "version", 4) == 4;
    if (four)
        return json_get_int(row, "dhcp", 0) ? "ipv4_dhcp" : "ipv4";
    if (!mode || !json_get_int(row, "dhcp", 0))
        return "ipv6";
    return strcmp(mode, "slaac") == 0 ? "ipv6_slaac" : strcmp(mode, "dhcpv6-stateful") == 0 ? "ipv6_dhcpv6-stateful" : "ipv6_dhcpv6-stateless";
}

static json_t *data_network(const json_t *row, const char *link, size_t index)
{
    g_autofree char *id = g_strdup_printf("network%zu", index);
    const char *type = data_type(row);
    char mask[46];
    Cidr c = { 0 };
    json_t *network = json_make("ssss", "id", id, "type", type, "link", link, "network_id", json_get_str(row, "network_id"));
    if (g_str_has_suffix(type, "dhcp") || !cidr_parse(json_get_str(row, "cidr"), false, &c))
        return network;
    netmask(c, mask);
    json_object_set_new(network, "ip_address", json_string(json_get_str(row, "ip")));
    json_object_set_new(network, "netmask", json_string(mask));
    json_object_set_new(network, "routes", data_routes(row, c));
    json_object_set_new(network, "services", data_services(row));
    return network;
}

json_t *network_data(Db *db, const char *server_id, GError **err)
{
    g_autoptr(json_t) ids = json_array();
    json_array_append_new(ids, json_string(server_id));
    g_autofree char *text = json_text(ids);
    g_autoptr(json_t) ports = db_query(db, err, "nics_ports", "s", text);
    g_autoptr(json_t) addresses = ports ? db_query(db, err, "nics_addresses", "s", text) : NULL;
    g_autoptr(json_t) links = json_array(), networks = json_array(), services = json_array();
    size_t i, k;
    json_t *port, *row;
    if (!addresses)
        return NULL;
    json_array_foreach(ports, i, port) {
        const char *id = json_get_str(port, "id");
        g_autofree char *link = g_strdup_printf("tap%.11s", id);
        json_array_append_new(links, json_make("ssssi", "id", link, "vif_id", id, "type", "phy", "ethernet_mac_address",
                                               json_get_str(port, "mac"), "mtu", json_get_int(port, "mtu", 1500)));
        json_array_foreach(addresses, k, row)
            if (g_strcmp0(json_get_str(row, "port_id"), id) == 0) {
                json_t *dns = data_services(row);
                json_array_append_new(networks, data_network(row, link, json_array_size(networks)));
                json_array_extend(services, dns);
                json_decref(dns);
            }
    }
    return json_make("ooo", "links", json_incref(links), "networks", json_incref(networks), "services", json_incref(services));
}
