/* identity/trust.c -- trusts (OS-TRUST): one user lets another act with a part of his roles on a project, under his own name or the other's. */
#include "core/conf.h"
#include "core/id.h"
#include "identity/delegate.h"
#include <string.h>

static bool forbidden(GError **err)
{
    return nv_fail(err, NV_ERR_FORBIDDEN, "You are not authorized to perform the requested action.");
}

static bool put_trust(const Call *c, const json_t *t, bool roles, JsonW *w, GError **err)
{
    const char *id = json_get_str(t, "id");
    g_autofree char *path = g_strconcat("OS-TRUST/trusts/", id, NULL), *self = self_url(c->ctx, path), *roles_url = g_strconcat(self, "/roles", NULL);
    jw_object(w);
    jw_kstr(w, "id", id);
    jw_kstr(w, "trustor_user_id", json_get_str(t, "trustor_user_id"));
    jw_kstr(w, "trustee_user_id", json_get_str(t, "trustee_user_id"));
    jw_kstr(w, "project_id", json_get_str(t, "project_id"));
    jw_kbool(w, "impersonation", json_get_int(t, "impersonation", 0));
    put_when(w, "expires_at", json_get_int(t, "expires_at", 0));
    jw_kjson(w, "remaining_uses", json_object_get(t, "remaining_uses"));
    jw_knull(w, "deleted_at");
    jw_kint(w, "redelegation_count", json_get_int(t, "redelegation_count", 0));
    jw_kstr(w, "redelegated_trust_id", json_get_str(t, "redelegated_trust_id"));
    if (roles) {
        jw_key(w, "roles");
        if (!delegate_put_roles(c, "trust_roles", id, true, w, err))
            return false;
        jw_key(w, "roles_links");
        jw_object(w);
        jw_kstr(w, "self", roles_url);
        jw_knull(w, "next");
        jw_knull(w, "previous");
        jw_end_object(w);
    }
    jw_key(w, "links");
    jw_object(w);
    jw_kstr(w, "self", self);
    jw_end_object(w);
    jw_end_object(w);
    return true;
}

/* A trust that the caller is a part of, or may read as an administrator or reader of the system. */
static json_t *find_trust(Call *c, const char *id, GError **err)
{
    g_autoptr(json_t) rows = db_query(c->db, err, "trusts", "sss", id, NULL, NULL);
    const json_t *t = json_array_get(rows, 0);
    if (!rows)
        return NULL;
    const char *me = c->ctx->user_id;
    bool part = t && (strcmp(json_get_str(t, "trustor_user_id"), me) == 0 || strcmp(json_get_str(t, "trustee_user_id"), me) == 0);
    bool may = part || c->ctx->admin || (c->ctx->system && ctx_has_role(c->ctx, "reader"));
    if (!t || !may)
        return nv_fail(err, NV_ERR_NOT_FOUND, "Could not find trust: %.64s.", id), NULL;
    return json_incref((json_t *) t);
}

static bool reply(Call *c, int status, const json_t *t, GError **err)
{
    JsonW w = call_begin(c, status);
    jw_object(&w);
    jw_key(&w, "trust");
    if (!put_trust(c, t, true, &w, err))
        return false;
    jw_end_object(&w);
    return true;
}

static bool check_body(const Call *c, const json_t *body, GError **err)
{
    static const char *const known[] = { "trustor_user_id", "trustee_user_id", "project_id", "impersonation", "expires_at", "remaining_uses", "roles",
                                         "allow_redelegation", "redelegation_count", NULL };
    const char *trustor = json_get_str(body, "trustor_user_id");
    const json_t *uses = json_object_get(body, "remaining_uses");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *) body, key, value)
        if (!g_strv_contains(known, key))
            return nv_fail(err, NV_ERR_INVALID, "Additional properties are not allowed: unknown attribute '%.64s'", key);
    if (!trustor || !json_get_str(body, "trustee_user_id") || !json_is_boolean(json_object_get(body, "impersonation")))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'trust': trustor_user_id, trustee_user_id and impersonation must be given");
    if (uses && !json_is_null(uses) && (!json_is_integer(uses) || json_integer_value(uses) < 1))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'remaining_uses': it is not a positive integer");
    const json_t *allow = json_object_get(body, "allow_redelegation"), *count = json_object_get(body, "redelegation_count");
    if ((allow && !json_is_boolean(allow)) || (count && !json_is_null(count) && (!json_is_integer(count) || json_integer_value(count) < 0)))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'allow_redelegation' or 'redelegation_count': wrong type");
    return strcmp(trustor, c->ctx->user_id) == 0 || nv_fail(err, NV_ERR_FORBIDDEN, "The authenticated user should match the trustor");
}

/* How often the new trust may be passed on: as often as was asked for, at most what the configuration and the trust it comes from leave. */
static bool redelegations(const json_t *body, const json_t *source, gint64 *ret_count, GError **err)
{
    const json_t *asked = json_object_get(body, "redelegation_count"), *uses = json_object_get(body, "remaining_uses");
    gint64 most = source ? json_get_int(source, "redelegation_count", 0) - 1 : conf_int("identity.trust_redelegations");
    *ret_count = 0;
    if (!json_is_true(json_object_get(body, "allow_redelegation")) || (json_is_integer(asked) && !json_integer_value(asked)))
        return true;
    if (json_is_integer(uses))
        return nv_fail(err, NV_ERR_INVALID, "remaining_uses must not be set if redelegation is allowed");
    if (source && json_is_integer(asked) && json_integer_value(asked) != most)
        return nv_fail(err, NV_ERR_FORBIDDEN, "Modifying \"redelegation_count\" upon redelegation is forbidden. Omitting this parameter is advised.");
    *ret_count = json_is_integer(asked) ? json_integer_value(asked) : most;
    return *ret_count <= most
        || nv_fail(err, NV_ERR_FORBIDDEN, "Requested redelegation depth of %d is greater than allowed %d", (int) *ret_count, (int) most);
}

/* What is made with a trust's token is a part of that trust: not longer, not more, not as somebody else. */
static bool check_part(const json_t *body, const json_t *source, gint64 *expires, GError **err)
{
    gint64 end = json_get_int(source, "expires_at", 0), left = json_get_int(source, "redelegation_count", 0);
    if (left <= 0 || left > conf_int("identity.trust_redelegations"))
        return nv_fail(err, NV_ERR_FORBIDDEN, "Remaining redelegation depth of %d out of allowed range of [0..%d]", (int) left,
                       (int) conf_int("identity.trust_redelegations"));
    if (json_is_integer(json_object_get(body, "remaining_uses")))
        return nv_fail(err, NV_ERR_FORBIDDEN, "Field \"remaining_uses\" must not be set in order to redelegate a trust");
    if (g_strcmp0(json_get_str(body, "project_id"), json_get_str(source, "project_id")) != 0)
        return nv_fail(err, NV_ERR_FORBIDDEN, "A trust can only be passed on for its own project.");
    if (end && *expires > end)
        return nv_fail(err, NV_ERR_FORBIDDEN, "Requested expiration time is more than redelegated trust can provide");
    if (json_is_true(json_object_get(body, "impersonation")) && !json_get_int(source, "impersonation", 0))
        return nv_fail(err, NV_ERR_FORBIDDEN, "Impersonation is not allowed because redelegated trust does not specify impersonation.");
    if (!*expires)
        *expires = end;
    return true;
}

/* The trust that the caller's token was made with; null: it stands for its whole user.  NULL only with err. */
static json_t *source_of(Call *c, GError **err)
{
    const char *id = login_fact(login_of(c->ctx), "trust_id");
    if (!id)
        return check_primary(c->ctx, err) ? json_null() : NULL;
    g_autoptr(json_t) rows = db_query(c->db, err, "trusts", "sss", id, NULL, NULL);
    if (rows && !json_array_size(rows))
        return nv_fail(err, NV_ERR_FORBIDDEN, "The trust %s is used up.", id), NULL;
    return json_incref(json_array_get(rows, 0));
}

/* Roles that the caller can give away. */
static json_t *held_roles(Call *c, const json_t *source, const char *project, GError **err)
{
    if (json_is_object(source))
        return json_incref((json_t *) login_roles(login_of(c->ctx)));
    return project ? db_query(c->db, err, "effective_roles", "sss", c->ctx->user_id, project, NULL) : json_array();
}

bool trust_create(Call *c, GError **err)
{
    const json_t *body = call_body_object(c, "trust", err);
    gint64 expires, count;
    size_t i;
    json_t *role;
    if (!body || !check_body(c, body, err) || !delegate_expiry(body, &expires, err))
        return false;
    g_autoptr(json_t) source = source_of(c, err);
    if (!source)
        return false;
    const json_t *from = json_is_object(source) ? source : NULL;
    if ((from && !check_part(body, from, &expires, err)) || !redelegations(body, from, &count, err))
        return false;
    const char *project = json_get_str(body, "project_id"), *trustee = json_get_str(body, "trustee_user_id");
    const json_t *roles = json_object_get(body, "roles");
    if (project && !json_array_size(roles))
        return nv_fail(err, NV_ERR_FORBIDDEN, "At least one role should be specified");
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Row) other = txn.db ? row_get(c->db, &user_resource, trustee, err) : NULL;
    g_autoptr(json_t) held = other ? held_roles(c, source, project, err) : NULL;
    g_autoptr(json_t) ids = held ? delegate_roles(roles ? roles : held, held, from ? NV_ERR_FORBIDDEN : NV_ERR_NOT_FOUND, err) : NULL;
    if (!ids)
        return false;
    g_autofree char *id = id_new_hex();
    if (!db_exec(c->db, err, "trust_insert", "ssssiiisis", id, c->ctx->user_id, trustee, project,
                 (gint64) json_is_true(json_object_get(body, "impersonation")), expires, json_get_int(body, "remaining_uses", -1),
                 json_get_str(from, "id"), count, from ? json_get_str(from, "origin_user_id") : c->ctx->user_id))
        return false;
    json_array_foreach(ids, i, role)
        if (!db_exec(c->db, err, "trust_role_insert", "ss", id, json_string_value(role)))
            return false;
    if (!txn_commit(&txn, err))
        return false;
    g_autoptr(json_t) t = find_trust(c, id, err);
    return t && reply(c, 201, t, err);
}

bool trust_list(Call *c, GError **err)
{
    const char *trustor = call_query(c, "trustor_user_id"), *trustee = call_query(c, "trustee_user_id"), *me = c->ctx->user_id;
    bool all = c->ctx->admin || (c->ctx->system && ctx_has_role(c->ctx, "reader"));
    size_t i;
    json_t *t;
    if (!all && g_strcmp0(trustor, me) != 0 && g_strcmp0(trustee, me) != 0)
        return forbidden(err);
    g_autoptr(json_t) rows = check_primary(c->ctx, err) ? db_query(c->db, err, "trusts", "sss", NULL, trustor, trustee) : NULL;
    if (!rows)
        return false;
    JsonW w = list_begin(c, "trusts");
    json_array_foreach(rows, i, t)
        if (!put_trust(c, t, false, &w, err))
            return false;
    return list_end(c, &w);
}

bool trust_show(Call *c, GError **err)
{
    g_autoptr(json_t) t = find_trust(c, c->params[0], err);
    return t && reply(c, 200, t, err);
}

bool trust_delete(Call *c, GError **err)
{
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(json_t) t = txn.db ? find_trust(c, c->params[0], err) : NULL;
    if (!t || !check_primary(c->ctx, err))
        return false;
    if (!c->ctx->admin && strcmp(json_get_str(t, "trustor_user_id"), c->ctx->user_id) != 0)
        return forbidden(err);
    if (!db_exec(c->db, err, "trust_delete", "s", c->params[0]))
        return false;
    identity_changed();
    return txn_commit(&txn, err) && call_reply_empty(c, 204);
}

bool trust_roles(Call *c, GError **err)
{
    g_autoptr(json_t) t = find_trust(c, c->params[0], err);
    if (!t)
        return false;
    g_autofree char *self = g_strconcat(c->ctx->base_url, c->path, NULL);
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "roles");
    if (!delegate_put_roles(c, "trust_roles", c->params[0], true, &w, err))
        return false;
    jw_key(&w, "links");
    jw_object(&w);
    jw_knull(&w, "next");
    jw_knull(&w, "previous");
    jw_kstr(&w, "self", self);
    jw_end_object(&w);
    jw_end_object(&w);
    return true;
}

bool trust_role_show(Call *c, GError **err)
{
    gint64 there;
    g_autoptr(json_t) t = find_trust(c, c->params[0], err);
    if (!t || !db_query_int(c->db, err, &there, "trust_role_exists", "ss", c->params[0], c->params[1]))
        return false;
    g_autoptr(Row) role = there ? row_get(c->db, &role_resource, c->params[1], err) : NULL;
    if (!there)
        return nv_fail(err, NV_ERR_NOT_FOUND, "Could not find role: %.64s.", c->params[1]);
    return role && reply_one(c, 200, role);
}
