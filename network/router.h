/* network/router.h -- what the files of layer 3 share: routers, floating IPs, port forwardings, and the operations behind them. */
#pragma once
#include "network/internal.h"

typedef struct Router {
    Row row;
    char *id, *project_id, *name, *description, *status, *host;
    bool admin_state_up, enable_snat;
    gint64 revision_number, created_at, updated_at;
    json_t *gateway_info, *routes, *availability_zone_hints, *ha, *distributed, *tags;
} Router;

typedef struct Floating {
    Row row;
    char *id, *project_id, *description, *floating_network_id, *floating_port_id, *floating_ip_address, *port_id, *fixed_ip_address, *router_id,
        *status, *dns_name, *dns_domain;
    gint64 revision_number, created_at, updated_at;
    json_t *subnet_id, *port_details, *port_forwardings, *tags;
} Floating;

typedef struct Forwarding {
    Row row;
    char *id, *floatingip_id, *protocol, *internal_port_id, *internal_ip_address, *description;
    gint64 external_first, external_last, internal_first, internal_last, revision_number, created_at, updated_at;
    json_t *external_port, *internal_port, *external_port_range, *internal_port_range;
} Forwarding;

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Router, row_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Floating, row_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Forwarding, row_unref)

/* --- router.c --- */
/* The router by id as ctx may change it; ctx NULL: any. */
Router *router_find(Db *db, const Ctx *ctx, const char *id, GError **err);
bool router_bump(Db *db, const char *router_id, GError **err);

/* --- router_gateway.c --- */
Check check_gateway_info;
/* Brings the gateway to what info asks for ({"network_id", "external_fixed_ips", "enable_snat"}; NULL or {}: none). */
bool router_gateway_set(Db *db, const Ctx *ctx, Router *r, const json_t *info, GError **err);
/* No CIDR of the subnets overlaps with one that the router is already connected to by another port than that (NULL: by any); all subnets of its
 * external network count. */
bool router_overlaps_check(Db *db, const Router *r, const GPtrArray *subnets, const char *port_id, GError **err);
/* What only an administrator may say of a gateway. */
bool router_gateway_policy(const Ctx *ctx, const json_t *info, const char *verb, GError **err);

/* --- router_if.c --- */
Handler router_interface_add, router_interface_remove;
/* The same inside the caller's transaction; *ret_info: the answer. */
bool router_add_subnet(Db *db, const Ctx *ctx, Router *r, const char *subnet_id, json_t **ret_info, GError **err);
bool router_remove_subnet(Db *db, const Ctx *ctx, Router *r, const char *subnet_id, json_t **ret_info, GError **err);
/* A port of the router had these addresses (fixed_ips) and has others now: an interface must be one that could be removed where it was, and added
 * where it is; routes still have their next hops. */
bool router_port_moved(Db *db, const Ctx *ctx, const char *router_id, const char *port_id, const json_t *had, GError **err);

/* --- router_route.c --- */
Handler router_routes_add, router_routes_remove;
Check check_extra_routes;
/* Each next hop is reachable through one of the router's ports and is not the router itself. */
bool router_routes_check(Db *db, const char *router_id, const json_t *routes, GError **err);

/* --- floating.c, floating_assoc.c --- */
/* The router that connects the subnet with the external network; NV_ERR_NOT_FOUND. */
bool floating_router(Db *db, const Port *p, const char *subnet_id, const char *external_network_id, char **ret_router_id, GError **err);
/* Fills router_id and fixed_ip_address from port_id; both become null without one. */
bool floating_associate(Db *db, const Ctx *ctx, Floating *f, const Floating *old, GError **err);
/* The port goes, or has lost addresses: what leads to addresses that it no longer has is let go.  all: every address. */
bool floating_port_left(Db *db, const Ctx *ctx, const char *port_id, bool all, GError **err);
/* GET /floatingip_pools */
Handler floating_pools;
/* Unused floating IPs go with their network. */
bool floating_network_gone(Db *db, const char *network_id, GError **err);

/* --- forwarding.c --- */
Handler forwardings_list, forwarding_create, forwarding_one;

/* --- agents.c --- */
Handler agent_routers_list, agent_router_add, agent_router_remove, router_agents_list;

/* --- auto_topology.c --- */
Handler topology_show, topology_delete;

/* --- desired_router.c: rows → arguments of router.ensure; pure --- */
json_t *desired_router(const Router *r, const json_t *addresses, const json_t *subnets, const json_t *floating, const json_t *forwardings);
json_t *desired_router_load(Db *db, const char *router_id, GError **err);

/* --- router_sync.c --- */
bool sync_router(Db *db, const Ctx *ctx, const char *router_id, GError **err);
bool sync_router_gone(Db *db, const Ctx *ctx, const char *router_id, GError **err);
/* Networks that the router has a port on: other hosts know its ports. */
bool sync_networks_of_router(Db *db, const Ctx *ctx, const char *router_id, GError **err);
/* Takes it away from one host only. */
bool sync_router_leaves(Db *db, const Ctx *ctx, const char *router_id, const char *host, GError **err);
/* Its new place ("": none for now), which sync_router makes so: the old one lets it go, and other hosts find its ports there. */
bool router_move(Db *db, const Ctx *ctx, const char *router_id, const char *from, const char *to, GError **err);
/* Routers with a port on the network, after something that their ports follow has changed. */
bool sync_routers_of_network(Db *db, const Ctx *ctx, const char *network_id, GError **err);
/* Places routers that have no host, or whose host is no longer configured. */
void routers_settle(Db *db);
extern const OpKind router_sync_kind, router_remove_kind, router_leave_kind;
