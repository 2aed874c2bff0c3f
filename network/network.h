/* network/network.h -- networks, subnets, ports, security groups; addresses; and what the agents must make of them. */
#pragma once
#include "core/call.h"
#include "ops/agent.h"
#include "ops/op.h"

extern const Route network_routes[];
extern const Resource network_resource, subnet_resource, port_resource, security_group_resource, security_group_rule_resource;
extern const Resource subnetpool_resource, address_scope_resource, address_group_resource, rbac_resource;
extern const Resource trunk_resource;
extern const Resource qos_policy_resource, qos_bandwidth_resource, qos_packet_resource, qos_dscp_resource, qos_promise_resource,
    qos_packet_promise_resource;
extern const Resource router_resource, floating_resource, forwarding_resource;
extern const OpKind *const network_op_kinds[];
/* Reconciler: asks host's agent what it has and queues ensures and absents. */
AgentSync network_sync;
DoctorFn network_doctor;
/* The public network of etc/nuvolet.conf (network.public_cidr …), made once at first start: external, shared, the host is its gateway. */
bool network_bootstrap(Db *db, GError **err);

/* A packet's way from a port to another or to an address, hop by hop, and whether the hosts have what it rests on (docs/EXTENSIONS.md).
 * protocol, port: text, or NULL.  Outside transactions: asks agents. */
json_t *network_explain(Db *db, const Ctx *ctx, const char *port_id, const char *to, const char *protocol, const char *port, GError **err);

/* ProjectGone: the default security group came by itself and goes by itself. */
bool network_project_gone(Db *db, const char *project_id, GError **err);

/* --- for compute; inside the caller's transaction --- */
typedef struct NicRequest {
    const char *network_id;              /* or … */
    const char *port_id;                 /* … an existing port of the caller */
    const char *fixed_ip;                /* NULL: next free */
    const char *tag;
} NicRequest;
/* Checks that ctx may use what nic names and makes (or claims) the port for server_id, with the named security groups (names or ids,
 * NULL-terminated; NULL: default).  index: position of the NIC.  Quota is checked.  ret_port_id: caller frees. */
bool network_nic_create(Db *db, const Ctx *ctx, const char *server_id, const char *server_name, gint64 index, const NicRequest *nic,
                        const char *const *groups, char **ret_port_id, GError **err);
/* The network to use when the caller named none (`auto` or nothing): the project's only network, or the only shared one; 
 * NV_ERR_CONFLICT when several fit, *ret_id NULL when none. */
bool network_default_for(Db *db, const Ctx *ctx, char **ret_id, GError **err);
/* The network of the project's own topology ("get me a network"),
    made with its subnets and router when there is none yet; in a transaction of its own.
 * NV_ERR_CONFLICT where the installation has no default external network or no default subnet pool. */
bool network_auto_topology(Db *db, const char *project_id, char **ret_id, GError **err);
/* Where its ports can be: {host: names of the physical networks that it has an interface on}, without hosts that have not said so yet. */
json_t *network_physical_of_hosts(Db *db, GError **err);
/* Names of the physical networks that the server's ports and their subports are on. */
json_t *network_physical_of_server(Db *db, const char *server_id, GError **err);
/* Records the host of all ports of the server. */
bool network_ports_bind(Db *db, const char *server_id, const char *host, GError **err);
/* Hosts ({"host"}) that have not left what the server's ports are promised by rules of minimum bandwidth and packet rate. */
bool network_narrow_hosts(Db *db, const char *server_id, json_t **ret_hosts, GError **err);
/* Last step of delete: ports made by network_nic_create go, others are only unbound. */
bool network_ports_release(Db *db, const char *server_id, GError **err);

/* --- for compute's steps; outside transactions: they ask the agent --- */
/* Makes network, groups and tap with its rules on host, for all ports of the server. */
bool network_ports_plug(Db *db, const char *host, const char *server_id, GError **err);
bool network_ports_unplug(Db *db, const char *host, const char *server_id, GError **err);

/* --- for compute's views --- */
/* All ports of the given servers, one statement: array of {"id", "server_id", "network_id", "network_name", "network_label", "mac", "mtu", "tag",
 * "state", "addresses": [{"ip", "version", "subnet_id", "cidr", "gateway", "type": "fixed"|"floating"}], "groups": [{"id","name"}]}, in NIC order. */
json_t *network_nics(Db *db, const char *const *server_ids, GError **err);
/* Which server asks: the port with that address on that network, which must be on host (NULL: any) → server id (caller frees), or NULL with
 * NV_ERR_NOT_FOUND. */
char *network_server_at(Db *db, const char *network_id, const char *address, const char *host, GError **err);
/* network_data.json of a server (OpenStack metadata format). New reference. */
json_t *network_data(Db *db, const char *server_id, GError **err);
