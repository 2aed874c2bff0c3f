/* identity/routes.c -- Keystone's v3 API: every path and who may call it. */
#include "identity/internal.h"

#define READ(path_, res_, list_, show_) \
    { .method = "GET", .path = path_, .rule = list_, .res = res_ }, \
    { .method = "GET", .path = path_ "/{id}", .rule = show_, .res = res_ }
#define MADE(path_, res_, rule_)    { .method = "POST",   .path = path_,         .rule = rule_, .run = identity_create, .res = res_ }
#define CHANGED(path_, res_, rule_) { .method = "PATCH",  .path = path_ "/{id}", .rule = rule_, .run = identity_update, .res = res_ }
#define DELETED(path_, res_, rule_) { .method = "DELETE", .path = path_ "/{id}", .rule = rule_, .run = identity_delete, .res = res_ }
#define WRITE(path_, res_, rule_)   MADE(path_, res_, rule_), CHANGED(path_, res_, rule_), DELETED(path_, res_, rule_)
/* Roles of one actor on one target: list, check, give, take.  tail: "/inherited_to_projects" where they are inherited. */
#define GRANTS(path_, tail_, read_, write_) \
    ROUTE("GET",    path_ "/roles" tail_,        read_,  grant_list), \
    ROUTE("GET",    path_ "/roles/{role}" tail_, read_,  grant_check), \
    ROUTE("PUT",    path_ "/roles/{role}" tail_, write_, grant_add), \
    ROUTE("DELETE", path_ "/roles/{role}" tail_, write_, grant_remove)

/* clang-format off */
const Route identity_routes[] = {
    ROUTE("POST",   "/v3/auth/tokens",   ANYONE,        auth_token_create, .flags = SLOW),
    ROUTE("GET",    "/v3/auth/tokens",   AUTHENTICATED, auth_token_show, .flags = QUICK),
    ROUTE("DELETE", "/v3/auth/tokens",   AUTHENTICATED, auth_token_revoke),
    ROUTE("GET",    "/v3/auth/catalog",  AUTHENTICATED, auth_catalog),
    ROUTE("GET",    "/v3/auth/projects", AUTHENTICATED, auth_projects),
    ROUTE("GET",    "/v3/auth/domains",  AUTHENTICATED, auth_domains),
    ROUTE("GET",    "/v3/auth/system",   AUTHENTICATED, auth_system),

    READ ("/v3/domains", &domain_resource, DOMAIN_READER, AUTHENTICATED),
    WRITE("/v3/domains", &domain_resource, ADMIN_ONLY),

    ROUTE("GET",    "/v3/projects",                 DOMAIN_READER, project_list, .res = &project_resource),
    ROUTE("GET",    "/v3/projects/{id}",            AUTHENTICATED, project_show, .res = &project_resource),
    ROUTE("POST",   "/v3/projects",                 DOMAIN_ADMIN,  project_create, .res = &project_resource),
    ROUTE("PATCH",  "/v3/projects/{id}",            DOMAIN_ADMIN,  project_update, .res = &project_resource),
    ROUTE("DELETE", "/v3/projects/{id}",            DOMAIN_ADMIN,  project_delete, .res = &project_resource),
    ROUTE("GET",    "/v3/projects/{id}/tags",       AUTHENTICATED, tags_list),
    ROUTE("PUT",    "/v3/projects/{id}/tags",       DOMAIN_ADMIN,  tags_replace),
    ROUTE("DELETE", "/v3/projects/{id}/tags",       DOMAIN_ADMIN,  tags_clear),
    ROUTE("GET",    "/v3/projects/{id}/tags/{tag}", AUTHENTICATED, tag_show),
    ROUTE("PUT",    "/v3/projects/{id}/tags/{tag}", DOMAIN_ADMIN,  tag_add),
    ROUTE("DELETE", "/v3/projects/{id}/tags/{tag}", DOMAIN_ADMIN,  tag_remove),

    READ ("/v3/users", &user_resource, DOMAIN_READER, AUTHENTICATED),
    ROUTE("POST",   "/v3/users",               DOMAIN_ADMIN,  user_create, .flags = SLOW),
    ROUTE("PATCH",  "/v3/users/{id}",          DOMAIN_ADMIN,  user_update, .flags = SLOW),
    DELETED("/v3/users", &user_resource, DOMAIN_ADMIN),
    ROUTE("POST",   "/v3/users/{id}/password", ANYONE,        user_password, .flags = SLOW),
    ROUTE("GET",    "/v3/users/{id}/groups",   AUTHENTICATED, user_groups),
    ROUTE("GET",    "/v3/users/{id}/projects", AUTHENTICATED, user_projects),

    READ ("/v3/groups", &group_resource, DOMAIN_READER, DOMAIN_READER),
    WRITE("/v3/groups", &group_resource, DOMAIN_ADMIN),
    ROUTE("GET",    "/v3/groups/{id}/users",        DOMAIN_READER, group_users),
    ROUTE("GET",    "/v3/groups/{id}/users/{user}", DOMAIN_READER, group_user_check),
    ROUTE("PUT",    "/v3/groups/{id}/users/{user}", DOMAIN_ADMIN,  group_user_add),
    ROUTE("DELETE", "/v3/groups/{id}/users/{user}", DOMAIN_ADMIN,  group_user_remove),

    ROUTE("GET",    "/v3/roles",      DOMAIN_READER, role_list, .res = &role_resource),
    { .method = "GET", .path = "/v3/roles/{id}", .rule = DOMAIN_READER, .res = &role_resource },
    WRITE("/v3/roles", &role_resource, ADMIN_ONLY),
    ROUTE("GET",    "/v3/roles/{id}/implies",           DOMAIN_READER, implied_list),
    ROUTE("GET",    "/v3/roles/{id}/implies/{implied}", DOMAIN_READER, implied_show),
    ROUTE("PUT",    "/v3/roles/{id}/implies/{implied}", ADMIN_ONLY,    implied_add),
    ROUTE("DELETE", "/v3/roles/{id}/implies/{implied}", ADMIN_ONLY,    implied_remove),
    ROUTE("GET",    "/v3/role_inferences",              DOMAIN_READER, implied_all),

    GRANTS("/v3/projects/{project}/users/{user}",   "", DOMAIN_READER, DOMAIN_ADMIN),
    GRANTS("/v3/projects/{project}/groups/{group}", "", DOMAIN_READER, DOMAIN_ADMIN),
    GRANTS("/v3/domains/{domain}/users/{user}",     "", DOMAIN_READER, DOMAIN_ADMIN),
    GRANTS("/v3/domains/{domain}/groups/{group}",   "", DOMAIN_READER, DOMAIN_ADMIN),
    GRANTS("/v3/system/users/{user}",               "", SYSTEM_READER, ADMIN_ONLY),
    GRANTS("/v3/system/groups/{group}",             "", SYSTEM_READER, ADMIN_ONLY),
    GRANTS("/v3/OS-INHERIT/projects/{project}/users/{user}",   "/inherited_to_projects", DOMAIN_READER, DOMAIN_ADMIN),
    GRANTS("/v3/OS-INHERIT/projects/{project}/groups/{group}", "/inherited_to_projects", DOMAIN_READER, DOMAIN_ADMIN),
    GRANTS("/v3/OS-INHERIT/domains/{domain}/users/{user}",     "/inherited_to_projects", DOMAIN_READER, DOMAIN_ADMIN),
    GRANTS("/v3/OS-INHERIT/domains/{domain}/groups/{group}",   "/inherited_to_projects", DOMAIN_READER, DOMAIN_ADMIN),
    ROUTE("GET",    "/v3/role_assignments", DOMAIN_READER, assignments_list),

    READ ("/v3/regions", &region_resource, AUTHENTICATED, AUTHENTICATED),
    WRITE("/v3/regions", &region_resource, ADMIN_ONLY),
    ROUTE("PUT",    "/v3/regions/{id}",   ADMIN_ONLY, region_put),
    READ ("/v3/services", &service_resource, SYSTEM_READER, SYSTEM_READER),
    WRITE("/v3/services", &service_resource, ADMIN_ONLY),
    READ ("/v3/endpoints", &endpoint_resource, SYSTEM_READER, SYSTEM_READER),
    ROUTE("POST",   "/v3/endpoints",      ADMIN_ONLY, endpoint_create),
    ROUTE("PATCH",  "/v3/endpoints/{id}", ADMIN_ONLY, endpoint_update),
    DELETED("/v3/endpoints", &endpoint_resource, ADMIN_ONLY),
    READ ("/v3/OS-EP-FILTER/endpoint_groups", &endpoint_group_resource, ADMIN_ONLY, ADMIN_ONLY),
    WRITE("/v3/OS-EP-FILTER/endpoint_groups", &endpoint_group_resource, ADMIN_ONLY),
    ROUTE("GET",    "/v3/OS-EP-FILTER/endpoint_groups/{group}/projects",           ADMIN_ONLY, filter_list),
    ROUTE("GET",    "/v3/OS-EP-FILTER/endpoint_groups/{group}/endpoints",          ADMIN_ONLY, filter_list),
    ROUTE("GET",    "/v3/OS-EP-FILTER/endpoint_groups/{group}/projects/{project}", ADMIN_ONLY, filter_check),
    ROUTE("PUT",    "/v3/OS-EP-FILTER/endpoint_groups/{group}/projects/{project}", ADMIN_ONLY, filter_add),
    ROUTE("DELETE", "/v3/OS-EP-FILTER/endpoint_groups/{group}/projects/{project}", ADMIN_ONLY, filter_remove),
    ROUTE("GET",    "/v3/OS-EP-FILTER/projects/{project}/endpoint_groups",         ADMIN_ONLY, filter_list),
    ROUTE("GET",    "/v3/OS-EP-FILTER/projects/{project}/endpoints",               ADMIN_ONLY, filter_list),
    ROUTE("GET",    "/v3/OS-EP-FILTER/projects/{project}/endpoints/{endpoint}",    ADMIN_ONLY, filter_check),
    ROUTE("PUT",    "/v3/OS-EP-FILTER/projects/{project}/endpoints/{endpoint}",    ADMIN_ONLY, filter_add),
    ROUTE("DELETE", "/v3/OS-EP-FILTER/projects/{project}/endpoints/{endpoint}",    ADMIN_ONLY, filter_remove),
    ROUTE("GET",    "/v3/OS-EP-FILTER/endpoints/{endpoint}/projects",              ADMIN_ONLY, filter_list),
    READ ("/v3/policies", &policy_resource, SYSTEM_READER, SYSTEM_READER),
    WRITE("/v3/policies", &policy_resource, ADMIN_ONLY),

    ROUTE("GET",    "/v3/users/{id}/application_credentials",       AUTHENTICATED, app_credential_list),
    ROUTE("POST",   "/v3/users/{id}/application_credentials",       AUTHENTICATED, app_credential_create, .flags = SLOW),
    ROUTE("GET",    "/v3/users/{id}/application_credentials/{app}", AUTHENTICATED, app_credential_show),
    ROUTE("DELETE", "/v3/users/{id}/application_credentials/{app}", AUTHENTICATED, app_credential_delete),
    ROUTE("GET",    "/v3/users/{id}/access_rules",                  AUTHENTICATED, access_rule_list),
    ROUTE("GET",    "/v3/users/{id}/access_rules/{rule}",           AUTHENTICATED, access_rule_show),
    ROUTE("DELETE", "/v3/users/{id}/access_rules/{rule}",           AUTHENTICATED, access_rule_delete),

    READ ("/v3/credentials", &credential_resource, PRIMARY, PRIMARY),
    WRITE("/v3/credentials", &credential_resource, PRIMARY),
    ROUTE("GET",    "/v3/users/{id}/credentials/OS-EC2",          PRIMARY, ec2_list),
    ROUTE("POST",   "/v3/users/{id}/credentials/OS-EC2",          PRIMARY, ec2_create),
    ROUTE("GET",    "/v3/users/{id}/credentials/OS-EC2/{access}", PRIMARY, ec2_show),
    ROUTE("DELETE", "/v3/users/{id}/credentials/OS-EC2/{access}", PRIMARY, ec2_delete),

    ROUTE("GET",    "/v3/OS-TRUST/trusts",                   PRIMARY, trust_list),
    ROUTE("POST",   "/v3/OS-TRUST/trusts",                   AUTHENTICATED, trust_create),
    ROUTE("GET",    "/v3/OS-TRUST/trusts/{id}",              PRIMARY, trust_show),
    ROUTE("DELETE", "/v3/OS-TRUST/trusts/{id}",              PRIMARY, trust_delete),
    ROUTE("GET",    "/v3/OS-TRUST/trusts/{id}/roles",        PRIMARY, trust_roles),
    ROUTE("GET",    "/v3/OS-TRUST/trusts/{id}/roles/{role}", PRIMARY, trust_role_show),

    READ ("/v3/registered_limits", &registered_limit_resource, AUTHENTICATED, AUTHENTICATED),
    ROUTE("POST",   "/v3/registered_limits", ADMIN_ONLY, limits_create, .res = &registered_limit_resource),
    CHANGED("/v3/registered_limits", &registered_limit_resource, ADMIN_ONLY),
    DELETED("/v3/registered_limits", &registered_limit_resource, ADMIN_ONLY),
    READ ("/v3/limits", &project_limit_resource, AUTHENTICATED, AUTHENTICATED),
    ROUTE("GET",    "/v3/limits/model",      AUTHENTICATED, limits_model),
    ROUTE("POST",   "/v3/limits",            ADMIN_ONLY, limits_create, .res = &project_limit_resource),
    CHANGED("/v3/limits", &project_limit_resource, ADMIN_ONLY),
    DELETED("/v3/limits", &project_limit_resource, ADMIN_ONLY),
    ROUTES_END
};
/* clang-format on */
