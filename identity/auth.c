/* identity/auth.c -- POST /v3/auth/tokens: which methods prove who somebody is, and the token they get. */
#include "core/clock.h"
#include "identity/auth.h"
#include <string.h>

enum { METHODS_MAX = 8 };

static const struct { const char *name; AuthMethod *run; } methods[] = {
    { "password", auth_by_password },
    { "token", auth_by_token },
    { "application_credential", auth_by_app_credential },
    { "totp", auth_by_totp },
};

static void attempt_clear(Attempt *a)
{
    json_decref(a->methods);
    g_free(a->user_id);
    g_free(a->proved_id);
    g_free(a->parent_audit_id);
    g_free(a->app_credential_id);
    g_free(a->trust_id);
    g_free(a->bound_project_id);
    g_free(a->project_id);
    g_free(a->domain_id);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Attempt, attempt_clear)

bool auth_refuse(GError **err)
{
    return nv_fail(err, NV_ERR_UNAUTHORIZED, "The request you have made requires authentication.");
}

json_t *auth_object(const json_t *in, const char *key, const char *where, GError **err)
{
    json_t *v = json_object_get(in, key);
    if (v && !json_is_object(v))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field '%s/%s': it is not an object", where, key), NULL;
    return v;
}

const char *auth_string(const json_t *in, const char *key, const char *where, GError **err)
{
    const json_t *v = json_object_get(in, key);
    if (v && !json_is_string(v))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field '%s/%s': it is not a string", where, key), NULL;
    return json_string_value(v);
}

bool attempt_user(Attempt *a, const char *user_id, gint64 generation, GError **err)
{
    if ((a->user_id && strcmp(a->user_id, user_id) != 0) || (generation >= 0 && a->proved_id && generation != a->proved_generation))
        return auth_refuse(err);
    if (!a->user_id)
        a->user_id = g_strdup(user_id);
    if (generation >= 0 && !a->proved_id) {
        a->proved_id = g_strdup(user_id);
        a->proved_generation = generation;
    }
    return true;
}

bool attempt_wrong(Attempt *a, GError **err)
{
    backoff_failed(a->c->client);
    return auth_refuse(err);
}

json_t *attempt_find_user(Attempt *a, const json_t *user, const char *where, GError **err)
{
    g_autoptr(GError) bad = NULL;
    const char *id = auth_string(user, "id", where, &bad), *name = bad ? NULL : auth_string(user, "name", where, &bad);
    const json_t *domain = bad ? NULL : auth_object(user, "domain", where, &bad);
    const char *domain_id = bad ? NULL : auth_string(domain, "id", where, &bad), *domain_name = bad ? NULL : auth_string(domain, "name", where, &bad);
    if (!bad && !id && (!name || (!domain_id && !domain_name)))
        nv_fail(&bad, NV_ERR_INVALID, "Invalid input for field '%s': an id, or a name with its domain, must be given", where);
    if (bad) {
        g_propagate_error(err, g_steal_pointer(&bad));
        return NULL;
    }
    g_autoptr(json_t) rows = db_query(a->c->db, err, "login_user", "ssss", id, name, domain_id, domain_name);
    if (!rows)
        return NULL;
    return json_array_size(rows) ? json_incref(json_array_get(rows, 0)) : json_null();
}

static bool run_method(Attempt *a, guint i, GError **err)
{
    const json_t *given = json_object_get(a->identity, methods[i].name);
    if (!json_is_object(given))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'auth/identity': expecting to find %s in identity", methods[i].name);
    if (!methods[i].run(a, given, err))
        return false;
    json_array_append_new(a->methods, json_string(methods[i].name));
    return true;
}

/* Bit i: methods[i] is named.  -1 with err. */
static int named_methods(const json_t *names, GError **err)
{
    size_t i;
    json_t *name;
    int set = 0;
    if (!json_is_array(names) || !json_array_size(names) || json_array_size(names) > METHODS_MAX)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'auth/identity/methods': it must list 1 to %d methods", METHODS_MAX), -1;
    json_array_foreach((json_t *) names, i, name) {
        guint k = 0;
        if (!json_is_string(name))
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'auth/identity/methods': item %zu is not a string", i), -1;
        while (k < G_N_ELEMENTS(methods) && strcmp(methods[k].name, json_string_value(name)) != 0)
            k++;
        if (k == G_N_ELEMENTS(methods))
            return auth_refuse(err), -1;
        set |= 1 << k;
    }
    return set;
}

/* In the table's order, whatever the caller's: a one-time code builds on what came before it. */
static bool run_methods(Attempt *a, GError **err)
{
    int set = named_methods(json_object_get(a->identity, "methods"), err);
    for (guint i = 0; set > 0 && i < G_N_ELEMENTS(methods); i++)
        if ((set & 1 << i) && !run_method(a, i, err))
            return false;
    return set > 0;
}

/* Without a scope, the user's default project if he holds a role there. */
static bool default_scope(Attempt *a, GError **err)
{
    g_autofree char *project = NULL;
    if (a->bound_project_id && !a->scope)
        a->project_id = g_strdup(a->bound_project_id);
    if (a->scope || a->project_id || a->domain_id || a->system || a->explicit_unscoped)
        return true;
    if (!db_query_str(a->c->db, err, &project, "default_project_of", "s", a->user_id))
        return false;
    g_autoptr(json_t) roles = project ? db_query(a->c->db, err, "effective_roles", "sss", a->user_id, project, NULL) : json_array();
    if (roles && json_array_size(roles))
        a->project_id = g_steal_pointer(&project);
    return roles != NULL;
}

static bool check_bound(const Attempt *a, GError **err)
{
    if (!a->bound_project_id || g_strcmp0(a->project_id, a->bound_project_id) == 0)
        return true;
    return nv_fail(err, NV_ERR_UNAUTHORIZED, "This credential is for one project; another scope cannot be asked for with it.");
}

static bool reply_token(Call *c, const Login *l, int status, GError **err)
{
    const char *text = login_text(c->db, l, !call_query(c, "nocatalog"), err);
    if (!text)
        return false;
    call_begin(c, status);
    call_header(c, "Vary", "X-Auth-Token");
    g_string_append(c->out, text);
    return true;
}

bool check_backoff(Call *c, GError **err)
{
    int wait;
    char text[16];
    if (backoff_check(c->client, &wait))
        return true;
    g_snprintf(text, sizeof text, "%d", wait);
    call_header(c, "Retry-After", text);
    return nv_fail(err, NV_ERR_RATE, "Too many failed logins from this address; try again in %d seconds.", wait);
}

bool auth_token_create(Call *c, GError **err)
{
    g_autofree char *token = NULL;
    g_auto(Attempt) a = { .c = c, .methods = json_array() };
    const json_t *auth = call_body_object(c, "auth", err);
    if (!auth)
        return false;
    a.identity = json_object_get(auth, "identity");
    a.scope = json_object_get(auth, "scope");
    if (!json_is_object(a.identity))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'auth': 'identity' is a required property");
    g_autoptr(json_t) user = NULL, rules = NULL;
    bool lacks;
    if (!check_backoff(c, err) || !receipt_take(&a, err) || !run_methods(&a, err) || !mfa_lacks(&a, &lacks, &user, &rules, err))
        return false;
    if (lacks)
        return receipt_reply(&a, user, rules);
    if (!scope_parse(&a, err) || !default_scope(&a, err) || !check_bound(&a, err))
        return false;
    Grant grant = { .user_id = a.user_id, .project_id = a.project_id, .domain_id = a.domain_id, .system = a.system, .methods = a.methods,
                    .parent_audit_id = a.parent_audit_id, .expires_at = a.expires_at, .app_credential_id = a.app_credential_id,
                    .trust_id = a.trust_id, .proved_id = a.proved_id, .proved_generation = a.proved_generation };
    g_autoptr(Login) l = token_issue(c->db, &grant, &token, err);
    if (!l)
        return false;
    call_header(c, "X-Subject-Token", token);
    return reply_token(c, l, 201, err);
}

/* The token that is asked about; everybody may ask about his own, administrators and system readers about any. */
static Login *subject(Call *c, bool revoke, GError **err)
{
    const char *token = c->header(c, "X-Subject-Token");
    if (!token)
        return nv_fail(err, NV_ERR_INVALID, "The header X-Subject-Token must be given."), NULL;
    g_autoptr(GError) why = NULL;
    g_autoptr(Login) l = identity_login(c->db, token, &why);
    bool own = l && strcmp(login_fact(l, "user_id"), c->ctx->user_id) == 0;
    bool may = c->ctx->admin || (!revoke && c->ctx->system && ctx_has_role(c->ctx, "reader")) || (!revoke && ctx_has_role(c->ctx, "service"));
    if (!l && nv_error_code(why) != NV_ERR_UNAUTHORIZED) {
        g_propagate_error(err, g_steal_pointer(&why));
        return NULL;
    }
    if (!own && !may && l)
        return nv_fail(err, NV_ERR_FORBIDDEN, "You are not authorized to perform the requested action."), NULL;
    if (!l)
        return nv_fail(err, NV_ERR_NOT_FOUND, "Could not find token."), NULL;
    return g_steal_pointer(&l);
}

bool auth_token_show(Call *c, GError **err)
{
    const char *token = c->header(c, "X-Subject-Token");
    g_autoptr(Login) l = subject(c, false, err);
    if (!l)
        return false;
    call_header(c, "X-Subject-Token", token);
    return reply_token(c, l, 200, err);
}

bool auth_catalog(Call *c, GError **err)
{
    g_autofree char *self = self_url(c->ctx, "auth/catalog");
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "catalog");
    if (!catalog_render(c->db, c->ctx->project_id, c->ctx->user_id, &w, err))
        return false;
    jw_key(&w, "links");
    jw_object(&w);
    jw_kstr(&w, "self", self);
    jw_end_object(&w);
    jw_end_object(&w);
    return true;
}

bool auth_token_revoke(Call *c, GError **err)
{
    g_autoptr(Login) l = subject(c, true, err);
    return l && token_revoke(c->db, l, err) && call_reply_empty(c, 204);
}
