/* identity/policy.c -- who may call what: each Rule in one place. */
#include "identity/internal.h"
#include <string.h>

bool ctx_has_role(const Ctx *ctx, const char *role)
{
    return g_strv_contains(ctx->roles, role);
}

static bool project_role(const Ctx *ctx, const char *role)
{
    return ctx->project_id && ctx_has_role(ctx, role);
}

static bool holds(const Ctx *ctx, Rule rule)
{
    switch (rule) {
    case RULE_UNSET:
        return false;
    case ANYONE:
    case AUTHENTICATED:
    case OWN_RULE:
        return true;
    case PROJECT_READER:
        return ctx->admin || project_role(ctx, "reader");
    case PROJECT_MEMBER:
        return ctx->admin || project_role(ctx, "member");
    case SYSTEM_READER:
        return ctx->admin || (ctx->system && ctx_has_role(ctx, "reader"));
    case DOMAIN_READER:
        return ctx->admin || ((ctx->system || ctx->domain_id) && ctx_has_role(ctx, "reader"));
    case DOMAIN_ADMIN:
        return ctx->admin || (ctx->domain_id && ctx_has_role(ctx, "admin"));
    case ADMIN_ONLY:
        return ctx->admin;
    }
    return false;
}

bool identity_allows(const Ctx *ctx, Rule rule, GError **err)
{
    if (rule == ANYONE)
        return true;
    if (!ctx->user_id)
        return auth_refuse(err);
    return holds(ctx, rule) || nv_fail(err, NV_ERR_FORBIDDEN, "You are not authorized to perform the requested action.");
}
