/* network/routes.c -- the routes of the networking API, under /network. */
#include "network/explain.h"
#include "network/qos.h"
#include "network/router.h"
#include "network/trunk.h"

#define TAGS(path_, res_) \
    ROUTE("GET",    path_ "/tags",       PROJECT_READER, net_tags_show,    .res = res_), \
    ROUTE("PUT",    path_ "/tags",       PROJECT_MEMBER, net_tags_replace, .res = res_), \
    ROUTE("DELETE", path_ "/tags",       PROJECT_MEMBER, net_tags_clear,   .res = res_), \
    ROUTE("GET",    path_ "/tags/{tag}", PROJECT_READER, net_tag_check,    .res = res_), \
    ROUTE("PUT",    path_ "/tags/{tag}", PROJECT_MEMBER, net_tag_put,      .res = res_), \
    ROUTE("DELETE", path_ "/tags/{tag}", PROJECT_MEMBER, net_tag_delete,   .res = res_)

/* A kind of rules under its policy, and by itself. */
#define QOS_RULES(name_, res_) \
    ROUTE("GET",    "/v2.0/qos/policies/{policy}/" name_ "s",      PROJECT_READER, qos_rule_list,   .res = res_), \
    ROUTE("POST",   "/v2.0/qos/policies/{policy}/" name_ "s",      PROJECT_MEMBER, qos_rule_create, .res = res_), \
    ROUTE("GET",    "/v2.0/qos/policies/{policy}/" name_ "s/{id}", PROJECT_READER, qos_rule_one,    .res = res_), \
    ROUTE("PUT",    "/v2.0/qos/policies/{policy}/" name_ "s/{id}", PROJECT_MEMBER, qos_rule_one,    .res = res_), \
    ROUTE("DELETE", "/v2.0/qos/policies/{policy}/" name_ "s/{id}", PROJECT_MEMBER, qos_rule_one,    .res = res_), \
    ROUTE("GET",    "/v2.0/qos/alias_" name_ "s/{id}",             PROJECT_READER, qos_alias_one,   .res = res_), \
    ROUTE("PUT",    "/v2.0/qos/alias_" name_ "s/{id}",             PROJECT_MEMBER, qos_alias_one,   .res = res_), \
    ROUTE("DELETE", "/v2.0/qos/alias_" name_ "s/{id}",             PROJECT_MEMBER, qos_alias_one,   .res = res_)

/* clang-format off */
const Route network_routes[] = {
    CRUD("/v2.0/networks", &network_resource, PROJECT_READER, PROJECT_MEMBER, "PUT"),
    CRUD("/v2.0/subnets",  &subnet_resource,  PROJECT_READER, PROJECT_MEMBER, "PUT"),
    CRUD("/v2.0/ports",    &port_resource,    PROJECT_READER, PROJECT_MEMBER, "PUT"),
    ROUTE("GET",    "/v2.0/ports/{id}/explain",        PROJECT_READER, port_explain),
    ROUTE("GET",    "/v2.0/security-groups",           PROJECT_READER, group_list, .res = &security_group_resource),
    ROUTE("GET",    "/v2.0/security-groups/{id}",      PROJECT_READER, NULL,       .res = &security_group_resource),
    ROUTE("POST",   "/v2.0/security-groups",           PROJECT_MEMBER, NULL,       .res = &security_group_resource),
    ROUTE("PUT",    "/v2.0/security-groups/{id}",      PROJECT_MEMBER, NULL,       .res = &security_group_resource),
    ROUTE("DELETE", "/v2.0/security-groups/{id}",      PROJECT_MEMBER, NULL,       .res = &security_group_resource),
    ROUTE("GET",    "/v2.0/security-groups/{id}/counters", PROJECT_READER, group_counters),
    ROUTE("GET",    "/v2.0/security-group-rules",      PROJECT_READER, group_list, .res = &security_group_rule_resource),
    ROUTE("GET",    "/v2.0/security-group-rules/{id}", PROJECT_READER, NULL,       .res = &security_group_rule_resource),
    ROUTE("POST",   "/v2.0/security-group-rules",      PROJECT_MEMBER, rule_create, .res = &security_group_rule_resource),
    ROUTE("DELETE", "/v2.0/security-group-rules/{id}", PROJECT_MEMBER, NULL,       .res = &security_group_rule_resource),
    CRUD("/v2.0/subnetpools",    &subnetpool_resource,    PROJECT_READER, PROJECT_MEMBER, "PUT"),
    ROUTE("PUT", "/v2.0/subnetpools/{id}/onboard_network_subnets", PROJECT_MEMBER, subnetpool_onboard),
    CRUD("/v2.0/address-scopes", &address_scope_resource, PROJECT_READER, PROJECT_MEMBER, "PUT"),
    CRUD("/v2.0/address-groups", &address_group_resource, PROJECT_READER, PROJECT_MEMBER, "PUT"),
    CRUD("/v2.0/rbac-policies",  &rbac_resource,          PROJECT_READER, PROJECT_MEMBER, "PUT"),
    ROUTE("PUT", "/v2.0/address-groups/{id}/add_addresses",    PROJECT_MEMBER, address_group_add),
    ROUTE("PUT", "/v2.0/address-groups/{id}/remove_addresses", PROJECT_MEMBER, address_group_remove),
    CRUD("/v2.0/trunks",         &trunk_resource,         PROJECT_READER, PROJECT_MEMBER, "PUT"),
    ROUTE("PUT",    "/v2.0/trunks/{id}/add_subports",    PROJECT_MEMBER, trunk_add),
    ROUTE("PUT",    "/v2.0/trunks/{id}/remove_subports", PROJECT_MEMBER, trunk_remove),
    ROUTE("GET",    "/v2.0/trunks/{id}/get_subports",    PROJECT_READER, trunk_subports),
    TAGS("/v2.0/trunks/{id}", &trunk_resource),
    ROUTE("GET",    "/v2.0/qos/policies",              PROJECT_READER, NULL,       .res = &qos_policy_resource),
    ROUTE("GET",    "/v2.0/qos/policies/{id}",         PROJECT_READER, NULL,       .res = &qos_policy_resource),
    ROUTE("POST",   "/v2.0/qos/policies",              PROJECT_MEMBER, NULL,       .res = &qos_policy_resource),
    ROUTE("PUT",    "/v2.0/qos/policies/{id}",         PROJECT_MEMBER, qos_policy_update, .res = &qos_policy_resource),
    ROUTE("DELETE", "/v2.0/qos/policies/{id}",         PROJECT_MEMBER, NULL,       .res = &qos_policy_resource),
    QOS_RULES("bandwidth_limit_rule",   &qos_bandwidth_resource),
    QOS_RULES("packet_rate_limit_rule", &qos_packet_resource),
    QOS_RULES("dscp_marking_rule",      &qos_dscp_resource),
    QOS_RULES("minimum_bandwidth_rule", &qos_promise_resource),
    QOS_RULES("minimum_packet_rate_rule", &qos_packet_promise_resource),
    ROUTE("GET",    "/v2.0/qos/rule-types",            AUTHENTICATED,  qos_types_list),
    ROUTE("GET",    "/v2.0/qos/rule-types/{type}",     ADMIN_ONLY,     qos_type_show),
    TAGS("/v2.0/qos/policies/{id}", &qos_policy_resource),
    TAGS("/v2.0/policies/{id}", &qos_policy_resource),                     /* what clients call it */
    TAGS("/v2.0/subnetpools/{id}", &subnetpool_resource),
    TAGS("/v2.0/networks/{id}", &network_resource),
    TAGS("/v2.0/subnets/{id}", &subnet_resource),
    TAGS("/v2.0/ports/{id}", &port_resource),
    TAGS("/v2.0/security-groups/{id}", &security_group_resource),
    TAGS("/v2.0/routers/{id}", &router_resource),
    TAGS("/v2.0/floatingips/{id}", &floating_resource),
    CRUD("/v2.0/routers",     &router_resource,   PROJECT_READER, PROJECT_MEMBER, "PUT"),
    CRUD("/v2.0/floatingips", &floating_resource, PROJECT_READER, PROJECT_MEMBER, "PUT"),
    ROUTE("PUT",    "/v2.0/routers/{id}/add_router_interface",    PROJECT_MEMBER, router_interface_add),
    ROUTE("PUT",    "/v2.0/routers/{id}/remove_router_interface", PROJECT_MEMBER, router_interface_remove),
    ROUTE("PUT",    "/v2.0/routers/{id}/add_extraroutes",         PROJECT_MEMBER, router_routes_add),
    ROUTE("PUT",    "/v2.0/routers/{id}/remove_extraroutes",      PROJECT_MEMBER, router_routes_remove),
    ROUTE("GET",    "/v2.0/floatingips/{id}/port_forwardings",           PROJECT_READER, forwardings_list,  .res = &forwarding_resource),
    ROUTE("POST",   "/v2.0/floatingips/{id}/port_forwardings",           PROJECT_MEMBER, forwarding_create, .res = &forwarding_resource),
    ROUTE("GET",    "/v2.0/floatingips/{id}/port_forwardings/{forward}", PROJECT_READER, forwarding_one,    .res = &forwarding_resource),
    ROUTE("PUT",    "/v2.0/floatingips/{id}/port_forwardings/{forward}", PROJECT_MEMBER, forwarding_one,    .res = &forwarding_resource),
    ROUTE("DELETE", "/v2.0/floatingips/{id}/port_forwardings/{forward}", PROJECT_MEMBER, forwarding_one,    .res = &forwarding_resource),
    ROUTE("GET",    "/v2.0/floatingip_pools",          PROJECT_READER, floating_pools),
    ROUTE("GET",    "/v2.0/floatingip-pools",          PROJECT_READER, floating_pools),
    ROUTE("GET",    "/v2.0/extensions",                AUTHENTICATED,  net_extensions_list),
    ROUTE("GET",    "/v2.0/extensions/{alias}",        AUTHENTICATED,  net_extension_show),
    ROUTE("GET",    "/v2.0/agents",                    AUTHENTICATED,  net_agents_list),
    ROUTE("GET",    "/v2.0/agents/{id}",               AUTHENTICATED,  net_agent_show),
    ROUTE("PUT",    "/v2.0/agents/{id}",               ADMIN_ONLY,     net_agent_put),
    ROUTE("DELETE", "/v2.0/agents/{id}",               ADMIN_ONLY,     net_agent_delete),
    ROUTE("GET",    "/v2.0/agents/{id}/l3-routers",             ADMIN_ONLY, agent_routers_list),
    ROUTE("POST",   "/v2.0/agents/{id}/l3-routers",             ADMIN_ONLY, agent_router_add),
    ROUTE("DELETE", "/v2.0/agents/{id}/l3-routers/{router}",    ADMIN_ONLY, agent_router_remove),
    ROUTE("GET",    "/v2.0/routers/{id}/l3-agents",             ADMIN_ONLY, router_agents_list),
    ROUTE("GET",    "/v2.0/auto-allocated-topology/{project}",  PROJECT_MEMBER, topology_show),
    ROUTE("DELETE", "/v2.0/auto-allocated-topology/{project}",  PROJECT_MEMBER, topology_delete),
    ROUTE("GET",    "/v2.0/availability_zones",        AUTHENTICATED,  net_zones_list),
    ROUTE("GET",    "/v2.0/service-providers",         AUTHENTICATED,  providers_list),
    ROUTE("GET",    "/v2.0/network-ip-availabilities", ADMIN_ONLY,     availability_list),
    ROUTE("GET",    "/v2.0/network-ip-availabilities/{id}", ADMIN_ONLY, availability_show),
    ROUTE("GET",    "/v2.0/quotas",                    ADMIN_ONLY,     quotas_list),
    ROUTE("GET",    "/v2.0/quotas/tenant",             AUTHENTICATED,  quota_own),
    ROUTE("GET",    "/v2.0/quotas/project",            AUTHENTICATED,  quota_own),
    ROUTE("GET",    "/v2.0/quotas/{project}",          AUTHENTICATED,  quota_show),
    ROUTE("GET",    "/v2.0/quotas/{project}/default",  AUTHENTICATED,  quota_defaults),
    ROUTE("GET",    "/v2.0/quotas/{project}/details",  AUTHENTICATED,  quota_details),
    ROUTE("GET",    "/v2.0/quotas/{project}/details.json", AUTHENTICATED, quota_details),
    ROUTE("PUT",    "/v2.0/quotas/{project}",          ADMIN_ONLY,     quota_put),
    ROUTE("DELETE", "/v2.0/quotas/{project}",          ADMIN_ONLY,     quota_delete),
    ROUTES_END
};
/* clang-format on */
