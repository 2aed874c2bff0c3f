/* network/internal.h -- what the files of network/ share: the rows, addresses, who may use what, operations. */
#pragma once
#include "core/ip.h"
#include "network/network.h"

typedef struct Network {
    Row row;
    char *id, *project_id, *name, *description, *status, *network_type, *physical_network, *dns_domain, *qos_policy_id;
    bool admin_state_up, shared, external, is_default, port_security_enabled;
    gint64 mtu, segmentation_id, vni, revision_number, created_at, updated_at;
    json_t *availability_zone_hints, *subnets, *tags, *ipv4_scope, *ipv6_scope;
} Network;

typedef struct Subnet {
    Row row;
    char *id, *project_id, *network_id, *name, *description, *cidr, *first_key, *last_key, *gateway_ip, *ipv6_ra_mode, *ipv6_address_mode,
        *subnetpool_id;
    gint64 ip_version, revision_number, created_at, updated_at;
    bool enable_dhcp, dns_publish_fixed_ip;
    json_t *allocation_pools, *dns_nameservers, *host_routes, *service_types, *tags, *prefixlen, *use_default_subnetpool;
} Subnet;

typedef struct Port {
    Row row;
    char *id, *project_id, *network_id, *name, *description, *mac_address, *status, *device_id, *device_owner, *server_id, *host,
        *vnic_type, *dns_name, *nic_tag, *qos_policy_id;
    bool admin_state_up, port_security_enabled, owned, plugged;
    gint64 nic_index, revision_number, created_at, updated_at;
    json_t *fixed_ips, *security_groups, *allowed_address_pairs, *extra_dhcp_opts, *binding_profile, *tags, *network_qos, *trunk_details;
} Port;

typedef struct Group {
    Row row;
    char *id, *project_id, *name, *description;
    bool stateful, is_default;
    gint64 revision_number, created_at, updated_at;
    json_t *rules, *tags;
} Group;

typedef struct GroupRule {
    Row row;
    char *id, *project_id, *security_group_id, *direction, *ethertype, *protocol, *remote_ip_prefix, *remote_group_id,
        *remote_address_group_id, *description;
    gint64 port_range_min, port_range_max, revision_number, created_at, updated_at;
} GroupRule;

typedef struct AddressScope {
    Row row;
    char *id, *project_id, *name;
    gint64 ip_version;
    bool shared;
} AddressScope;

typedef struct Pool {
    Row row;
    char *id, *project_id, *name, *description, *address_scope_id;
    gint64 ip_version, default_prefixlen, min_prefixlen, max_prefixlen, default_quota, revision_number, created_at, updated_at;
    bool shared, is_default;
    json_t *prefixes, *tags;
} Pool;

/* --- network.c --- */
extern const Child network_tags;
/* Query parameters over tags: tags=a,b (all of them), tags-any, not-tags, not-tags-any. */
/* clang-format off */
#define TAG_FILTERS                                                                                                                    \
    { "tags", PARTS, "tags_all" }, { "tags-any", PARTS, "tags_any" }, { "not-tags", PARTS, "tags_not_all" },                           \
    { "not-tags-any", PARTS, "tags_not_any" }
/* clang-format on */
extern const Filter tag_filters[];
/* The network by id as ctx sees it; ctx NULL: any.  NV_ERR_NOT_FOUND. */
Network *network_find(Db *db, const Ctx *ctx, const char *id, GError **err);
/* Owner of the network, or administrator. */
bool network_is_owner(const Ctx *ctx, const Network *n);
/* May ctx put ports on it: owner, or shared with the caller's project.  NV_ERR_FORBIDDEN. */
bool network_usable(Db *db, const Ctx *ctx, const Network *n, GError **err);
/* The host itself is the gateway: the bridge has the gateway's address and traffic to the world is translated. */
bool network_is_host_gateway(const Network *n);
/* Where a row that belongs to a project says so: the second field of each such table here. */
char **row_project(const Row *row);
/* For COMPUTED("tenant_id"): the older name of project_id. */
Render render_tenant;
/* The new row has a project to belong to, and there is such a project: an administrator may name any. */
bool project_known(Db *db, const char *project_id, GError **err);
#define BUMP(new_, old_) ROW_SET_INT(new_, revision_number, (old_)->revision_number + 1)
/* Whose rows a statement may name: NULL (of any project) for an administrator and for ourselves, else the caller's project; without one that is "",
 * nobody's. */
const char *sees_project(const Ctx *ctx);
/* What is in the way of a delete, for its refusal: "a, b" of the rows' ids, the first 20; a query asks for one more, so that it shows.  Caller
 * frees. */
char *ids_listed(const json_t *rows);
/* That member of each object of the list, an address, in the one form that texts are compared in. */
void addresses_canonical(json_t *list, const char *key);
/* Names in the domain name system are kept in lower case. */
void row_lower(Row *row, char **member);
/* Empty, or a domain's name with its dot at the end. */
Check check_dns_domain;
void row_unref(gpointer row);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Network, row_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Subnet, row_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Port, row_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Group, row_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GroupRule, row_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AddressScope, row_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pool, row_unref)

/* --- subnet.c --- */
/* Addresses of this subnet are made by hosts from their MAC: SLAAC or stateless DHCPv6. */
bool subnet_is_automatic(const Subnet *s);
Cidr subnet_cidr(const Subnet *s);
/* Removes a network's subnets, which must be free of addresses. */
bool subnets_remove(Db *db, const char *network_id, GError **err);

/* --- ipam.c: addresses, inside the transaction of the write --- */
/* Lowest free address of the subnet's pools → buf.  *ret_found false: none left. */
bool ipam_next(Db *db, const Subnet *s, char buf[46], bool *ret_found, GError **err);
/* Records address for the port.  NV_ERR_CONFLICT when another has it. */
bool ipam_take(Db *db, const Subnet *s, const char *port_id, Ip ip, GError **err);
/* Allocates what fixed_ips asks for ([{"subnet_id","ip_address"}]; NULL: one address of each version, and the automatic ones). */
bool ipam_allocate(Db *db, const Port *p, const json_t *fixed_ips, GError **err);
/* One IPv4 address, whichever is free. */
bool ipam_allocate_v4(Db *db, const Port *p, GError **err);
/* Replaces the port's addresses: those named in both stay, and those that its host makes by itself. */
bool ipam_replace(Db *db, const Port *p, const json_t *held, const json_t *fixed_ips, GError **err);
/* Those that its host makes, when the port has another MAC than the one that it held these addresses with. */
bool ipam_follow_mac(Db *db, const Port *p, const json_t *held, GError **err);
/* The network's DHCP port has one address in each subnet with DHCP; it comes and goes with them. */
bool dhcp_port_settle(Db *db, const Network *n, GError **err);
/* Default pools: everything but the network, broadcast and gateway addresses. */
json_t *ipam_default_pools(Cidr cidr, const char *gateway);

/* --- port.c, port_check.c --- */
char *mac_new(Db *db, const char *network_id, GError **err);
/* Makes the port with its addresses; p has been filled by the caller, but for id and MAC.  Its security groups are as p has them. */
bool port_insert(Db *db, Port *p, const json_t *fixed_ips, GError **err);
Check check_fixed_ips, check_pairs, check_dhcp_opts, check_id_list, check_mac_any, check_dns_name;
/* Domain of ports' names (network.dns_domain), without a dot at its end. */
const char *network_dns_domain(void);
/* The name with that domain and a dot after it; one that ends in a dot has them.  Caller frees. */
char *port_fqdn(const char *name);
/* Fills a row of ours with the table's defaults; body is stolen. */
bool row_defaults(Row *row, json_t *body, GError **err);
/* The body's attributes that only the network's owner or an administrator may set. */
bool port_policy(const Ctx *ctx, const Network *n, const Port *p, const Port *old, GError **err);
/* Pairs and groups agree with port security; pairs without a MAC get the port's. */
bool port_security_check(Port *p, GError **err);
bool port_groups_check(Db *db, const Ctx *ctx, const json_t *groups, GError **err);
/* All of them stateful, or none.  NV_ERR_CONFLICT. */
bool port_groups_alike(Db *db, const json_t *groups, GError **err);
/* extra_dhcp_opts after an update: a null value takes an option away. */
json_t *dhcp_opts_merge(const json_t *old, const json_t *given);
/* The project's default group as a list, for a port that names none. */
bool port_default_groups(Db *db, Port *p, GError **err);

/* --- group.c, rule.c --- */
/* The project's default group, made on first use: ingress from itself, egress everywhere.  ret_id: caller frees; may be NULL. */
bool group_default(Db *db, const char *project_id, char **ret_id, GError **err);
/* GET /security-groups and /security-group-rules: the default group is there even for who asks first. */
Handler group_list;
/* counters.c: GET /security-groups/{id}/counters. */
Handler group_counters;
/* POST /security-group-rules: a protocol may be a number. */
Handler rule_create;
/* Protocol number of a rule's protocol, -1 for any (NULL). */
int protocol_number(const char *protocol);
/* Inserts the two egress rules of every new group, and the ingress rules of a default one. */
bool group_rules_insert(Db *db, const char *group_id, const char *project_id, bool ingress_from_itself, GError **err);

/* --- desired.c: rows → arguments of the agent's verbs; the first three are pure --- */
json_t *desired_network(const Network *n, const GPtrArray *subnets, const json_t *ports, json_t *segment_stolen);
json_t *desired_group(const Group *g, const GPtrArray *rules, const json_t *members, const json_t *addresses);
/* qos: what is in force for it; parent: whose subport it is; both stolen, or NULL. */
json_t *desired_port(const Port *p, gint64 mtu, json_t *qos, json_t *parent);
/* For that host. */
json_t *desired_network_load(Db *db, const char *host, const char *network_id, GError **err);
json_t *desired_group_load(Db *db, const char *host, const char *group_id, GError **err);
json_t *desired_port_load(Db *db, const char *host, const char *port_id, GError **err);

/* --- segment.c --- */
/* Provider attributes of a new network, whose type is known: checked, an id given out; NV_ERR_CONFLICT when it is taken. */
bool segment_settle(Db *db, Network *n, GError **err);
/* The MTU of a network whose owner names none. */
gint64 segment_mtu(const Network *n);
bool segment_mtu_check(Db *db, const Network *n, GError **err);
/* IPv6 needs 1280 bytes (RFC 8200).  NV_ERR_CONFLICT where the network has such subnets, and less. */
bool segment_mtu_least(Db *db, const Network *n, GError **err);
/* What the host's agent says of tunnels and physical networks, taken over into rows. */
bool segment_host_update(Db *db, const char *host, GError **err);
/* {"tunnel_address": text or null, "physical": [{"name", "interface"}]} as the host last said. */
json_t *segment_host(Db *db, const char *host, GError **err);
/* network.ensure's member "segment" for a host with that tunnel address (NULL: none); pure.  peers: rows of network_peers. */
json_t *desired_segment(const Network *n, const char *local, const json_t *peers);
json_t *desired_segment_load(Db *db, const Network *n, const char *host, GError **err);

/* --- pool.c, pool_subnet.c, rbac.c, addrgroup.c --- */
/* Settles cidr, version and pool of a new subnet that names a pool; leaves others alone. */
bool subnet_from_pool(Db *db, const Ctx *ctx, Subnet *s, GError **err);
/* What Neutron says where a network's subnets would be of several address scopes.  Always false. */
bool subnet_scopes_differ(GError **err);
/* Keeps the policy for everybody ('*') in step with the object's own shared or external flag. */
bool rbac_everybody(Db *db, const char *type, const char *object_id, const char *project_id, const char *action, bool on, GError **err);
/* An after_load: `shared` is true for whom a policy names, not only where it is for everybody.  The column stays as it is: it is not dirty. */
bool rbac_shared_load(Db *db, const Ctx *ctx, GPtrArray *rows, GError **err);
/* The filter `shared`, which means the same. */
#define SHARED_FILTER { "shared", NULL, "shared" }
extern const Filter shared_filters[];
/* What Neutron says where a pool is to be shared with a project that has not its address scope.  Always false. */
bool rbac_scope_closed(const char *pool_id, GError **err);
Handler address_group_add, address_group_remove, subnetpool_onboard;

/* --- bootstrap.c --- */
/* Makes a row as POST does, of the project of ctx; body is stolen. */
Row *network_row_make(Db *db, const Ctx *ctx, const Resource *res, json_t *body, GError **err);

/* --- tag.c, quota.c, extension.c: handlers of routes without a table --- */
Handler net_tags_show, net_tags_replace, net_tags_clear, net_tag_check, net_tag_put, net_tag_delete;
Handler quotas_list, quota_show, quota_details, quota_defaults, quota_own, quota_put, quota_delete;
Handler net_extensions_list, net_extension_show, net_agents_list, net_agent_show, net_agent_put, net_agent_delete, net_zones_list, availability_list,
    availability_show, providers_list;

/* --- sync.c: operations; each inside the caller's transaction --- */
bool sync_network(Db *db, const Ctx *ctx, const char *network_id, GError **err);
/* A port of the network comes to host or leaves it: other hosts that have the network too must learn where its frames go. */
bool sync_network_elsewhere(Db *db, const char *network_id, const char *host, GError **err);
bool sync_network_gone(Db *db, const Ctx *ctx, const char *network_id, GError **err);
bool sync_group(Db *db, const Ctx *ctx, const char *group_id, GError **err);
bool sync_group_gone(Db *db, const Ctx *ctx, const char *group_id, GError **err);
/* The port's groups where others refer to them, when its addresses come or go. */
bool sync_groups_of_port(Db *db, const Ctx *ctx, const char *port_id, GError **err);
bool sync_port(Db *db, const Ctx *ctx, const char *port_id, GError **err);
/* Each plugged port of the network; of those with an address of the subnet, with the groups that are told of it. */
bool sync_ports_of_network(Db *db, const Ctx *ctx, const char *network_id, GError **err);
bool sync_ports_of_subnet(Db *db, const Ctx *ctx, const char *subnet_id, GError **err);
bool sync_port_gone(Db *db, const Ctx *ctx, const char *port_id, const char *host, GError **err);

#define AS(T, r) ((T *) (void *) (r))

/* A list of JSON objects that are no rows of a table, as asked for by query parameters: filters (names, ended by NULL; a value is a text or a
 * boolean), fields, and with key (the member that markers name) pages. write: of one row, NULL: as it is. */
typedef struct RowList { const char *many; const char *const *filters; const char *key; void (*write)(JsonW *w, const json_t *row); } RowList;
/* rows (stolen) NULL: err is set. */
bool asked_reply(Call *c, const RowList *what, json_t *rows, GError **err);
/* Is v among the values that were asked for under that name, or none asked for? */
bool asked_for(const Call *c, const char *name, const json_t *v, bool *ret_yes, GError **err);
