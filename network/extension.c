/* network/extension.c -- what this API offers (exactly what works), zones, and how many addresses are left. */
#include "core/clock.h"
#include "core/id.h"
#include "network/internal.h"
#include <string.h>

typedef struct Extension { const char *alias, *name, *description; } Extension;
/* clang-format off */
static const Extension extensions[] = {
    { "address-group",             "Address group",             "Groups of prefixes that security group rules refer to" },
    { "address-scope",             "Address scope",             "Address scopes of subnet pools" },
    { "agent",                     "agent",                     "The agents of the hosts" },
    { "allowed-address-pairs",     "Allowed Address Pairs",     "Further addresses that a port may send from" },
    { "auto-allocated-topology",   "Auto Allocated Topology Services", "A network with subnets and a router, made when asked for" },
    { "availability_zone",         "Availability Zone",         "The availability zone of networks and agents" },
    { "binding",                   "Port Binding",              "Where a port is plugged" },
    { "default-subnetpools",       "Default Subnetpools",       "Subnet pools that are used without being named" },
    { "dns-integration",           "DNS Integration",           "Names of ports in the DNS of their network" },
    { "empty-string-filtering",    "Empty String Filtering Extension", "Lists filtered by an empty string" },
    { "expose-port-forwarding-in-fip", "Expose Port Forwarding in FIP", "Port forwardings are shown with their floating IP" },
    { "ext-gw-mode",               "Neutron L3 Configurable external gateway mode", "Address translation of a router can be switched off" },
    { "external-net",              "Neutron external network",  "Networks that lead out" },
    { "extra_dhcp_opt",            "Neutron Extra DHCP options", "DHCP options of a port" },
    { "extraroute",                "Neutron Extra Route",       "Routes of a router" },
    { "extraroute-atomic",         "Atomically add/remove extra routes", "Routes of a router added and removed one by one" },
    { "filter-validation",         "Filter parameters validation", "Unknown query parameters of lists are refused" },
    { "fip-port-details",          "Floating IP Port Details Extension", "The port is shown with its floating IP" },
    { "floating-ip-port-forwarding", "Floating IP Port Forwarding", "Ports of a floating IP lead to ports of fixed addresses" },
    { "floating-ip-port-forwarding-description", "Floating IP Port Forwarding Description", "Descriptions of port forwardings" },
    { "floating-ip-port-forwarding-detail", "Floating IP Port Forwarding details", "Id and internal port of forwardings shown with their floating IP" },
    { "floating-ip-port-forwarding-port-ranges", "Floating IP Port Forwarding support to port ranges", "Ranges of ports in one forwarding" },
    { "floatingip-pools",          "Floating IP Pools Extension", "Subnets that floating IPs can be of" },
    { "ip-substring-filtering",    "IP address substring filtering", "Ports by a part of their address" },
    { "l3_agent_scheduler",        "L3 Agent Scheduler",        "Which host has a router" },
    { "net-mtu",                   "Network MTU",               "MTU of networks" },
    { "net-mtu-writable",          "Network MTU (writable)",    "MTU of networks can be set" },
    { "network-ip-availability",   "Network IP Availability",   "How many addresses are used and left" },
    { "network_availability_zone", "Network Availability Zone", "Availability zones of networks" },
    { "pagination",                "Pagination support",        "Lists in pages" },
    { "port-explain",              "Port explain",              "GET /ports/{id}/explain: what becomes of a packet, hop by hop" },
    { "port-security",             "Port Security",             "Anti-spoofing and security groups can be switched off for a port" },
    { "project-id",                "project_id field enabled",  "project_id beside tenant_id" },
    { "provider",                  "Provider Network",          "How networks are carried" },
    { "qos",                       "Quality of Service",        "Limits of bandwidth, and DSCP marks, by policy" },
    { "qos-bw-limit-direction",    "Direction for QoS bandwidth limit rule", "Limits for what a port sends and for what it receives" },
    { "qos-bw-minimum-ingress",    "Ingress direction for QoS minimum bandwidth rule", "Bandwidth promised for what a port receives: counted, not enforced" },
    { "qos-default",               "QoS default policy",        "A project's policy for networks that name none" },
    { "qos-port-network-policy",   "QoS port network policy ID", "The policy of a port's network, shown on the port" },
    { "qos-pps",                   "QoS Rule Type Packet per Second Extension", "Limits of packets a second" },
    { "qos-pps-minimum",           "QoS minimum packet rate rule", "Packets a second promised when a host is chosen" },
    { "qos-pps-minimum-rule-alias", "Quality of Service minimum packet rate rule alias", "Such rules without naming their policy" },
    { "qos-rule-type-details",     "Details of QoS rule types", "The parameters that rules may have" },
    { "qos-rules-alias",           "Quality of Service rules alias API", "Rules without naming their policy" },
    { "quota-check-limit",         "Quota engine limit check",  "check_limit refuses limits below what is used" },
    { "quota_details",             "Quota details management support", "What is used of quotas" },
    { "quotas",                    "Quota management support",  "Limits of projects" },
    { "rbac-address-group",        "Address group RBAC",        "Address groups shared with chosen projects" },
    { "rbac-address-scope",        "Address scope RBAC",        "Address scopes shared with chosen projects" },
    { "rbac-policies",             "RBAC Policies",             "Networks shared with chosen projects" },
    { "rbac-security-groups",      "Add security_group type to network RBAC", "Security groups shared with chosen projects" },
    { "rbac-subnetpool",           "Add subnetpool type to network RBAC", "Subnet pools shared with chosen projects" },
    { "revision-if-match",         "If-Match constraints based on revision_number", "If-Match: revision_number=N refuses a change at another revision" },
    { "router",                    "Neutron L3 Router",         "Routers and floating IPs" },
    { "router_availability_zone",  "Router Availability Zone",  "Availability zones of routers" },
    { "security-group",            "security-group",            "What ports may send and receive" },
    { "security-group-rule-counters", "Security group rule counters", "GET /security-groups/{id}/counters: packets and bytes that each rule let through" },
    { "security-groups-normalized-cidr", "Normalized CIDR field for security group rules", "The prefix of a rule without host bits" },
    { "security-groups-remote-address-group", "Remote address group id field for security group rules", "Rules by address group" },
    { "sorting",                   "Sorting support",           "Lists in order" },
    { "standard-attr-description", "standard-attr-description", "Descriptions" },
    { "standard-attr-revisions",   "Resource revision numbers", "revision_number grows with each change" },
    { "standard-attr-tag",         "Tag support for resources with standard attribute", "Tags" },
    { "standard-attr-timestamp",   "Resource timestamps",       "created_at and updated_at" },
    { "stateful-security-group",   "Stateful security group",   "Security groups with and without connection tracking" },
    { "subnet-dns-publish-fixed-ip", "Subnet DNS publish fixed IP", "Accepted and shown" },
    { "subnet-service-types",      "Subnet service types",      "Subnets for ports of some owners only" },
    { "subnet_allocation",         "Subnet Allocation",         "Subnets out of pools" },
    { "subnet_onboard",            "Subnet Onboard",            "Subnets that are there join a pool" },
    { "trunk",                     "Trunk Extension",           "Ports that carry other ports as VLANs" },
    { "trunk-details",             "Trunk port details",        "A trunk's subports, shown on its parent port" },
};
/* clang-format on */

static void extension_write(JsonW *w, const Extension *x)
{
    jw_object(w);
    jw_kstr(w, "alias", x->alias);
    jw_kstr(w, "name", x->name);
    jw_kstr(w, "description", x->description);
    jw_kstr(w, "updated", "2016-01-01T10:00:00-00:00");
    jw_key(w, "links");
    jw_array(w);
    jw_end_array(w);
    jw_end_object(w);
}

bool net_extensions_list(Call *c, GError **err)
{
    (void) err;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "extensions");
    jw_array(&w);
    for (gsize i = 0; i < G_N_ELEMENTS(extensions); i++)
        extension_write(&w, &extensions[i]);
    jw_end_array(&w);
    jw_end_object(&w);
    return true;
}

bool net_extension_show(Call *c, GError **err)
{
    for (gsize i = 0; i < G_N_ELEMENTS(extensions); i++)
        if (strcmp(extensions[i].alias, c->params[0]) == 0) {
            JsonW w = call_begin(c, 200);
            jw_object(&w);
            jw_key(&w, "extension");
            extension_write(&w, &extensions[i]);
            jw_end_object(&w);
            return true;
        }
    return nv_fail(err, NV_ERR_NOT_FOUND, "Extension with alias %.64s does not exist", c->params[0]);
}

bool net_zones_list(Call *c, GError **err)
{
    static const char *const filters[] = { "name", "resource", "state", NULL };
    static const RowList what = { .many = "availability_zones", .filters = filters };
    json_t *list = json_array();
    json_array_append_new(list, json_make("sss", "name", "nova", "resource", "network", "state", "available"));
    json_array_append_new(list, json_make("sss", "name", "nova", "resource", "router", "state", "available"));
    return asked_reply(c, &what, list, err);
}

bool providers_list(Call *c, GError **err)
{
    (void) err;
    return call_reply(c, 200, json_make("o", "service_providers", json_array()));
}

/* Addresses in the pools. */
static unsigned __int128 pool_size(const char *pools_text)
{
    g_autoptr(json_t) pools = pools_text ? json_parse_trusted(pools_text) : NULL;
    unsigned __int128 total = 0;
    size_t i;
    json_t *pool;
    json_array_foreach(pools, i, pool) {
        Ip a, b;
        if (ip_parse(json_get_str(pool, "start"), &a) && ip_parse(json_get_str(pool, "end"), &b))
            total += b.n - a.n + 1;
    }
    return total;
}

/* A /64 has more addresses than JSON's integers of the library reach: kept as digits, written as a number. */
static json_t *digits(unsigned __int128 n)
{
    char buf[40], *p = buf + sizeof buf - 1;
    *p = '\0';
    do
        *--p = (char) ('0' + (int) (n % 10));
    while (n /= 10);
    return json_string(p);
}

static void write_entry(JsonW *w, const json_t *entry)
{
    const char *key;
    json_t *v, *one;
    size_t i;
    jw_object(w);
    json_object_foreach((json_t *) entry, key, v) {
        jw_key(w, key);
        if (strcmp(key, "total_ips") == 0) {
            jw_raw(w, json_string_value(v));
        } else if (json_is_array(v)) {
            jw_array(w);
            json_array_foreach(v, i, one)
                write_entry(w, one);
            jw_end_array(w);
        } else {
            jw_json(w, v);
        }
    }
    jw_end_object(w);
}

/* Rows of (network × subnet) → one entry a network. */
static json_t *availability(Call *c, const char *network_id, GError **err)
{
    g_autoptr(json_t) rows = db_query(c->db, err, "availability", "s", network_id), list = json_array();
    unsigned __int128 sum = 0;
    json_t *row, *entry = NULL;
    size_t i;
    if (!rows)
        return NULL;
    json_array_foreach(rows, i, row) {
        const char *network = json_get_str(row, "network_id"), *subnet = json_get_str(row, "subnet_id"), *owner = json_get_str(row, "project_id");
        if (!entry || strcmp(json_get_str(entry, "network_id"), network) != 0) {
            entry = json_make("ssssooi", "network_id", network, "network_name", json_get_str(row, "network_name"), "project_id", owner,
                              "tenant_id", owner, "subnet_ip_availability", json_array(), "total_ips", digits(0), "used_ips", (gint64) 0);
            json_array_append_new(list, entry);
            sum = 0;
        }
        bool wanted = true;
        g_autoptr(json_t) version = json_string(json_get_int(row, "ip_version", 4) == 6 ? "6" : "4");
        if (!asked_for(c, "ip_version", version, &wanted, err))
            return NULL;
        if (!subnet || !wanted)
            continue;
        unsigned __int128 total = pool_size(json_get_str(row, "allocation_pools"));
        gint64 used = json_get_int(row, "used", 0);
        json_array_append_new(json_object_get(entry, "subnet_ip_availability"),
                              json_make("sssioi", "subnet_id", subnet, "subnet_name", json_get_str(row, "subnet_name"), "cidr",
                                        json_get_str(row, "cidr"), "ip_version", json_get_int(row, "ip_version", 4), "total_ips",
                                        digits(total), "used_ips", used));
        sum += total;
        json_object_set_new(entry, "total_ips", digits(sum));
        json_object_set_new(entry, "used_ips", json_integer(json_get_int(entry, "used_ips", 0) + used));
    }
    return g_steal_pointer(&list);
}

bool availability_list(Call *c, GError **err)
{
    static const char *const filters[] = { "network_id", "network_name", "project_id", "tenant_id", "ip_version", NULL };
    static const RowList what = { .many = "network_ip_availabilities", .filters = filters, .key = "network_id", .write = write_entry };
    return asked_reply(c, &what, availability(c, NULL, err), err);
}

bool availability_show(Call *c, GError **err)
{
    g_autoptr(json_t) list = availability(c, c->params[0], err);
    if (!list)
        return false;
    if (!json_array_size(list))
        return nv_fail(err, NV_ERR_NOT_FOUND, "Network %.64s could not be found.", c->params[0]);
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "network_ip_availability");
    write_entry(&w, json_array_get(list, 0));
    jw_end_object(&w);
    return true;
}
