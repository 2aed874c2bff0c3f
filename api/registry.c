/* api/registry.c -- the services and resources of the program: the one place that names them. */
#include "api/api.h"
#include "compute/compute.h"
#include "identity/identity.h"
#include "image/image.h"
#include "network/network.h"


const Service services[] = {
    { "root",     "",              &dialect_keystone, root_routes },
    { "identity", "/identity",     &dialect_keystone, identity_routes },
    { "image",    "/image",        &dialect_glance,   image_routes },
    { "compute",  "/compute/v2.1", &dialect_nova,     compute_routes },
    { "compute",  "/compute/v2",   &dialect_nova,     compute_routes },   /* what clients older than microversions ask for */
    { "network",  "/network",      &dialect_neutron,  network_routes },
    { NULL },
};

const Service metadata_service = { "metadata", "", &dialect_nova, metadata_routes };

const Resource *const resources[] = {
    &domain_resource, &project_resource, &user_resource, &group_resource, &role_resource,
    &region_resource, &service_resource, &endpoint_resource, &policy_resource, &endpoint_group_resource,
    &credential_resource, &registered_limit_resource, &project_limit_resource,
    &image_resource,
    &flavor_resource, &server_resource,
    &network_resource, &subnet_resource, &port_resource, &security_group_resource, &security_group_rule_resource,
    &subnetpool_resource, &address_scope_resource, &address_group_resource, &rbac_resource,
    &qos_policy_resource, &qos_bandwidth_resource, &qos_packet_resource, &qos_dscp_resource, &qos_promise_resource,
    &qos_packet_promise_resource, &trunk_resource,
    &router_resource, &floating_resource, &forwarding_resource,
    NULL,
};
