/* identity/policy.c -- who may call what: each Rule in one place. */
#include "identity/internal.h"
#include <string.h>

enum { RULE_PATH_MAX = 1024 };

bool ctx_has_role(const Ctx *ctx, const char *role)
{
    return g_strv_contains(ctx->roles, role);
}

/* clang-format off */
static const struct { const char *name, *help; } names[] = {
    [ANYONE]         = { "anyone",         "no token is needed" },
    [AUTHENTICATED]  = { "authenticated",  "any valid token" },
    [PRIMARY]        = { "primary",        "any valid token that stands for its whole user: not those of trusts and application credentials" },
    [PROJECT_READER] = { "project-reader", "reader, member or admin on the token's project; administrators" },
    [PROJECT_MEMBER] = { "project-member", "member or admin on the token's project; administrators" },
    [SYSTEM_READER]  = { "system-reader",  "reader on the system; administrators" },
    [DOMAIN_READER]  = { "domain-reader",  "reader on the system, or on a domain and then within it; administrators" },
    [DOMAIN_ADMIN]   = { "domain-admin",   "admin on a domain, within it and not over cloud administrators; administrators" },
    [ADMIN_ONLY]     = { "admin",          "administrators: admin on a project or on the system" },
    [OWN_RULE]       = { "by-target",      "any valid token; the call decides by the row it is about" },
};
/* clang-format on */

const char *identity_rule_name(Rule rule)
{
    return (guint) rule < G_N_ELEMENTS(names) ? names[rule].name : NULL;
}

const char *identity_rule_help(Rule rule)
{
    return (guint) rule < G_N_ELEMENTS(names) ? names[rule].help : NULL;
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
    case PRIMARY:
        return check_primary(ctx, NULL);
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

/* One step of a pattern: the places of the path that can be reached from those in `from`.  Returns where the pattern goes on. */
static const char *match_step(const char *pattern, const char *path, gsize n, const bool *from, bool *to)
{
    const char *close = *pattern == '{' ? strchr(pattern, '}') : NULL;
    bool any = pattern[0] == '*' && pattern[1] == '*', some = !any && (*pattern == '*' || close);
    for (gsize i = 0; i <= n; i++) {
        bool before = i > 0 && from[i - 1], on = i > 0 && to[i - 1];
        if (any)
            to[i] = from[i] || on;
        else if (some)
            to[i] = (before || on) && path[i - 1] != '/';
        else
            to[i] = before && path[i - 1] == *pattern;
    }
    return any ? pattern + 2 : close ? close + 1 : pattern + 1;
}

bool rule_path_matches(const char *pattern, const char *path)
{
    gsize n = strlen(path);
    bool places[2][RULE_PATH_MAX + 1] = { { true } };
    int now = 0;
    if (n > RULE_PATH_MAX)
        return false;
    for (; *pattern; now = !now)
        pattern = match_step(pattern, path, n, places[now], places[!now]);
    return places[now][n];
}

bool identity_permits(const Ctx *ctx, const char *service_type, const char *method, const char *path, GError **err)
{
    const json_t *rules = ctx->token ? login_rules(login_of(ctx)) : NULL;
    size_t i;
    json_t *rule;
    if (!rules)
        return true;
    /* Rules are written as the services see their paths: /v2.1/servers, without the prefix of the shared port. */
    const char *own = strchr(path + 1, '/');
    json_array_foreach((json_t *) rules, i, rule)
        if (strcmp(json_get_str(rule, "service"), service_type) == 0 && strcmp(json_get_str(rule, "method"), method) == 0
            && rule_path_matches(json_get_str(rule, "path"), own ? own : "/"))
            return true;
    /* 401, and a token may always be looked at: as keystonemiddleware has it. */
    if (strcmp(service_type, "identity") == 0 && strcmp(method, "GET") == 0 && g_strcmp0(own, "/v3/auth/tokens") == 0)
        return true;
    return nv_fail(err, NV_ERR_UNAUTHORIZED, "The application credential's access rules do not allow %s %s.", method, own ? own : "/");
}
