/* identity/auth_methods.c -- the ways to prove who one is, and the scope asked for. */
#include "core/clock.h"
#include "identity/auth.h"
#include <string.h>

bool auth_by_password(Attempt *a, const json_t *given, GError **err)
{
    static const char where[] = "auth/identity/password/user";
    const json_t *user = json_object_get(given, "user");
    if (!json_is_object(user))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'auth/identity/password': 'user' is a required object");
    const char *password = json_string_value(json_object_get(user, "password"));
    if (!password)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field '%s/password': a string must be given", where);
    g_autoptr(json_t) row = attempt_find_user(a, user, where, err);
    if (!row)
        return false;
    bool usable = json_is_object(row) && json_get_int(row, "enabled", 0), match;
    if (!password_verify(usable ? json_get_str(row, "password_hash") : NULL, password, &match, err))
        return false;
    if (!match)
        return attempt_wrong(a, err);
    gint64 expires = json_get_int(row, "password_expires_at", 0);
    if (expires && expires <= clock_wall_us())
        return nv_fail(err, NV_ERR_UNAUTHORIZED, "The password is expired and needs to be changed for user: %s.", json_get_str(row, "id"));
    return attempt_user(a, json_get_str(row, "id"), json_get_int(row, "password_generation", 0), err);
}

static void add_methods(Attempt *a, const char *text)
{
    g_autoptr(json_t) old = json_parse_trusted(text);
    size_t i;
    json_t *m;
    json_array_foreach(old, i, m)
        if (strcmp(json_string_value(m), "token") != 0)
            json_array_append(a->methods, m);
}

/* The new token ends when the old one would have: renewing never prolongs. */
bool auth_by_token(Attempt *a, const json_t *given, GError **err)
{
    const char *token = json_get_str(given, "id");
    if (!token)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'auth/identity/token': 'id' is a required string");
    g_autoptr(GError) why = NULL;
    g_autoptr(Login) l = identity_login(a->c->db, token, &why);
    if (!l && nv_error_code(why) == NV_ERR_UNAUTHORIZED)          /* as Keystone answers: the token is not found */
        return nv_fail(err, NV_ERR_NOT_FOUND, "Could not find token.");
    if (!l) {
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    if (!attempt_user(a, login_fact(l, "user_id"), login_time(l, "password_generation"), err))
        return false;
    if (login_fact(l, "trust_id"))
        return nv_fail(err, NV_ERR_FORBIDDEN, "A token made with a trust cannot be exchanged for another.");
    add_methods(a, login_fact(l, "methods"));
    a->expires_at = login_time(l, "expires_at");
    a->parent_audit_id = g_strdup(login_fact(l, "parent_audit_id") ? login_fact(l, "parent_audit_id") : login_fact(l, "audit_id"));
    a->app_credential_id = g_strdup(login_fact(l, "app_credential_id"));
    if (a->app_credential_id)
        a->bound_project_id = g_strdup(login_fact(l, "project_id"));
    return true;
}

/* {"id"} or {"name"}; *ret NULL with true: no such thing. */
static bool find_domain(Attempt *a, const json_t *domain, char **ret, GError **err)
{
    const char *id = json_get_str(domain, "id"), *name = json_get_str(domain, "name");
    if (!id && !name)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'auth/scope': a domain needs an id or a name");
    return db_query_str(a->c->db, err, ret, id ? "domain_by_id" : "domain_by_name", "s", id ? id : name);
}

static bool find_project(Attempt *a, const json_t *project, char **ret, GError **err)
{
    const char *id = json_get_str(project, "id"), *name = json_get_str(project, "name");
    g_autofree char *domain = NULL;
    if (id)
        return db_query_str(a->c->db, err, ret, "project_by_id", "s", id);
    if (!name)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'auth/scope/project': an id or a name must be given");
    if (!json_is_object(json_object_get(project, "domain")))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'auth/scope/project': a name needs its domain");
    if (!find_domain(a, json_object_get(project, "domain"), &domain, err))
        return false;
    return db_query_str(a->c->db, err, ret, "project_by_name", "sss", name, domain ? domain : "", NULL);
}

bool scope_parse(Attempt *a, GError **err)
{
    if (!a->scope)
        return true;
    const json_t *project = json_object_get(a->scope, "project"), *domain = json_object_get(a->scope, "domain");
    const json_t *system = json_object_get(a->scope, "system"), *trust = json_object_get(a->scope, "OS-TRUST:trust");
    a->explicit_unscoped = json_object_get(a->scope, "unscoped") || g_strcmp0(json_string_value(a->scope), "unscoped") == 0;
    if (!a->explicit_unscoped && !json_is_object(a->scope))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'auth/scope': it is not an object");
    if (!!project + !!domain + !!system + !!trust + a->explicit_unscoped != 1)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'auth/scope': exactly one of project, domain, system must be given");
    if (trust)
        return scope_trust(a, trust, err);
    if (project && !find_project(a, project, &a->project_id, err))
        return false;
    if (domain && !find_domain(a, domain, &a->domain_id, err))
        return false;
    if (system && !json_is_true(json_object_get(system, "all")))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'auth/scope/system': 'all' must be true");
    a->system = system != NULL;
    if ((project && !a->project_id) || (domain && !a->domain_id))
        return auth_refuse(err);
    return true;
}
