/* network/desired_router.c -- from rows to what an agent is to make of a router: the arguments of router.ensure. */
#include "network/router.h"
#include <string.h>

static json_t *with_prefix(const json_t *row)
{
    Cidr c;
    if (!cidr_parse(json_get_str(row, "cidr"), true, &c))
        return NULL;
    g_autofree char *text = g_strdup_printf("%s/%d", json_get_str(row, "address"), c.prefix);
    return json_string(text);
}

static json_t *subnets_of(const json_t *subnets, const char *network)
{
    json_t *cidrs = json_array(), *row;
    size_t i;
    json_array_foreach((json_t *) subnets, i, row)
        if (strcmp(json_get_str(row, "network_id"), network) == 0)
            json_array_append_new(cidrs, json_string(json_get_str(row, "cidr")));
    return cidrs;
}

/* One row for each address of a port; those of one port follow each other. */
static json_t *port_entry(const json_t *row, const json_t *subnets, bool gateway)
{
    const char *network = json_get_str(row, "network_id");
    json_t *entry = json_make("sssioo", "port_id", json_get_str(row, "port_id"), "network_id", network, "mac", json_get_str(row, "mac"), "mtu",
                              json_get_int(row, "mtu", 1500), "subnets", subnets_of(subnets, network), "addresses", json_array());
    json_object_set_new(entry, gateway ? "nexthops" : "ra", json_array());
    return entry;
}

static void add_address(json_t *entry, const json_t *row)
{
    const char *gateway = json_get_str(row, "gateway"), *mode = json_get_str(row, "ra_mode");
    json_t *hops = json_object_get(entry, "nexthops"), *ra = json_object_get(entry, "ra"), *text = with_prefix(row);
    if (!text)
        return;
    json_array_append_new(json_object_get(entry, "addresses"), text);
    if (hops && gateway && !json_has(hops, gateway))
        json_array_append_new(hops, json_string(gateway));
    if (ra && mode && json_get_int(row, "version", 4) == 6)
        json_array_append_new(ra, json_make("ss", "prefix", json_get_str(row, "cidr"), "mode", mode));
}

static json_t *forwarding_entry(const json_t *row)
{
    return json_make("sssiisii", "id", json_get_str(row, "id"), "external", json_get_str(row, "external"), "protocol",
                     json_get_str(row, "protocol"), "external_first", json_get_int(row, "external_first", 0), "external_last",
                     json_get_int(row, "external_last", 0), "internal", json_get_str(row, "internal"), "internal_first",
                     json_get_int(row, "internal_first", 0), "internal_last", json_get_int(row, "internal_last", 0));
}

json_t *desired_router(const Router *r, const json_t *addresses, const json_t *subnets, const json_t *floating, const json_t *forwardings)
{
    json_t *interfaces = json_array(), *translated = json_array(), *forwarded = json_array(), *gateway = NULL, *entry = NULL, *row;
    size_t i;
    json_array_foreach((json_t *) addresses, i, row) {
        bool out = g_strcmp0(json_get_str(row, "kind"), "gateway") == 0;
        if (!json_get_int(row, "up", 1) || !json_get_str(row, "address"))
            continue;
        if (!entry || strcmp(json_get_str(entry, "port_id"), json_get_str(row, "port_id")) != 0) {
            entry = port_entry(row, subnets, out);
            if (out)
                json_object_set_new(gateway = entry, "snat", json_boolean(r->enable_snat));
            else
                json_array_append_new(interfaces, entry);
        }
        add_address(entry, row);
    }
    json_array_foreach((json_t *) floating, i, row)
        json_array_append_new(translated, json_make("sss", "id", json_get_str(row, "id"), "external", json_get_str(row, "external"),
                                                    "fixed", json_get_str(row, "fixed")));
    json_array_foreach((json_t *) forwardings, i, row) json_array_append_new(forwarded, forwarding_entry(row));
    return json_make("sooooob", "id", r->id, "interfaces", interfaces, "gateway", gateway, "floating", translated, "forwardings", forwarded,
                     "routes", json_deep_copy(r->routes), "up", (int) r->admin_state_up);
}

json_t *desired_router_load(Db *db, const char *router_id, GError **err)
{
    g_autoptr(Router) r = router_find(db, NULL, router_id, err);
    g_autoptr(json_t) addresses = r ? db_query(db, err, "desired_router_addresses", "s", router_id) : NULL;
    g_autoptr(json_t) subnets = addresses ? db_query(db, err, "desired_router_subnets", "s", router_id) : NULL;
    g_autoptr(json_t) floating = subnets ? db_query(db, err, "desired_router_floating", "s", router_id) : NULL;
    g_autoptr(json_t) forwardings = floating ? db_query(db, err, "desired_router_forwardings", "s", router_id) : NULL;
    return forwardings ? desired_router(r, addresses, subnets, floating, forwardings) : NULL;
}
