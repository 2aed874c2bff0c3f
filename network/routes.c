/* network/routes.c -- the routes of the networking API, under /network. */
#include "network/internal.h"

/* clang-format off */
const Route network_routes[] = {
    CRUD("/v2.0/networks", &network_resource, PROJECT_READER, PROJECT_MEMBER, "PUT"),
    CRUD("/v2.0/subnets",  &subnet_resource,  PROJECT_READER, PROJECT_MEMBER, "PUT"),
    CRUD("/v2.0/ports",    &port_resource,    PROJECT_READER, PROJECT_MEMBER, "PUT"),
    ROUTE("GET",    "/v2.0/security-groups",           PROJECT_READER, group_list, .res = &security_group_resource),
    ROUTE("GET",    "/v2.0/security-groups/{id}",      PROJECT_READER, NULL,       .res = &security_group_resource),
    ROUTE("POST",   "/v2.0/security-groups",           PROJECT_MEMBER, NULL,       .res = &security_group_resource),
    ROUTE("PUT",    "/v2.0/security-groups/{id}",      PROJECT_MEMBER, NULL,       .res = &security_group_resource),
    ROUTE("DELETE", "/v2.0/security-groups/{id}",      PROJECT_MEMBER, NULL,       .res = &security_group_resource),
    ROUTE("GET",    "/v2.0/security-group-rules",      PROJECT_READER, NULL,       .res = &security_group_rule_resource),
    ROUTE("GET",    "/v2.0/security-group-rules/{id}", PROJECT_READER, NULL,       .res = &security_group_rule_resource),
    ROUTE("POST",   "/v2.0/security-group-rules",      PROJECT_MEMBER, rule_create, .res = &security_group_rule_resource),
    ROUTE("DELETE", "/v2.0/security-group-rules/{id}", PROJECT_MEMBER, NULL,       .res = &security_group_rule_resource),
    ROUTES_END
};
/* clang-format on */
