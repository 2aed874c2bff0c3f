/* identity/routes.c -- Keystone's v3 API: every path and who may call it. */
#include "identity/internal.h"

#define READ(path_, res_, rule_) \
    { .method = "GET", .path = path_, .rule = rule_, .res = res_ }

/* clang-format off */
const Route identity_routes[] = {
    ROUTE("POST",   "/v3/auth/tokens",  ANYONE,        auth_token_create),
    ROUTE("GET",    "/v3/auth/tokens",  AUTHENTICATED, auth_token_show),
    ROUTE("DELETE", "/v3/auth/tokens",  AUTHENTICATED, auth_token_revoke),
    ROUTE("GET",    "/v3/auth/catalog", AUTHENTICATED, auth_catalog),

    READ("/v3/domains",            &domain_resource,   DOMAIN_READER),
    READ("/v3/domains/{id}",       &domain_resource,   AUTHENTICATED),
    READ("/v3/projects",           &project_resource,  DOMAIN_READER),
    READ("/v3/projects/{id}",      &project_resource,  AUTHENTICATED),
    READ("/v3/users",              &user_resource,     DOMAIN_READER),
    READ("/v3/users/{id}",         &user_resource,     AUTHENTICATED),
    READ("/v3/roles",              &role_resource,     AUTHENTICATED),
    READ("/v3/roles/{id}",         &role_resource,     AUTHENTICATED),
    READ("/v3/regions",            &region_resource,   AUTHENTICATED),
    READ("/v3/regions/{id}",       &region_resource,   AUTHENTICATED),
    READ("/v3/services",           &service_resource,  SYSTEM_READER),
    READ("/v3/services/{id}",      &service_resource,  SYSTEM_READER),
    READ("/v3/endpoints",          &endpoint_resource, SYSTEM_READER),
    READ("/v3/endpoints/{id}",     &endpoint_resource, SYSTEM_READER),
    ROUTES_END
};
/* clang-format on */
