/* identity/app_credential.c -- application credentials: a part of one's own roles on one project, with a secret of its own. */
#include "core/id.h"
#include "identity/delegate.h"
#include <string.h>

enum { RULES_MAX = 100 };

/* {"name", "secret"?, "roles"?, "expires_at"?, "unrestricted"?, "access_rules"?, "description"?}, checked. */
typedef struct Wanted {
    const char *name, *description, *secret;
    gint64 expires_at;
    bool unrestricted;
    const json_t *rules;
    json_t *role_ids;
    char *made_secret, *secret_hash, *id;
} Wanted;

static void wanted_clear(Wanted *w)
{
    json_decref(w->role_ids);
    g_free(w->made_secret);
    g_free(w->secret_hash);
    g_free(w->id);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Wanted, wanted_clear)

static bool only_own(const Call *c, GError **err)
{
    return strcmp(c->params[0], c->ctx->user_id) == 0
        || nv_fail(err, NV_ERR_FORBIDDEN, "You are not authorized to perform the requested action: application credentials are their user's own.");
}

/* Their user, administrators, and (to read) readers of the system; nobody with a trust, whose token may say that he is their user. */
static bool may_touch(const Call *c, bool write, GError **err)
{
    if (login_fact(login_of(c->ctx), "trust_id"))
        return check_primary(c->ctx, err);
    if (c->ctx->admin || (!write && c->ctx->system && ctx_has_role(c->ctx, "reader")))
        return true;
    return only_own(c, err);
}

static bool check_rule(const json_t *rule, size_t i, GError **err)
{
    static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", NULL };
    const char *method = json_get_str(rule, "method"), *path = json_get_str(rule, "path"), *service = json_get_str(rule, "service");
    if (json_get_str(rule, "id") && json_object_size(rule) == 1)
        return true;
    if (!method || !path || !service || json_object_size(rule) != 3 || !g_strv_contains(methods, method) || path[0] != '/' || strlen(path) > 128
        || strlen(service) > 64)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'access_rules': item %zu needs either an id, or method, path and service", i);
    return true;
}

static bool check_rules(const json_t *rules, GError **err)
{
    size_t i;
    json_t *rule;
    if (rules && (!json_is_array(rules) || json_array_size(rules) > RULES_MAX))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'access_rules': it is not a list of at most %d rules", RULES_MAX);
    json_array_foreach((json_t *) rules, i, rule)
        if (!check_rule(rule, i, err))
            return false;
    return true;
}

static bool read_body(Call *c, Wanted *w, GError **err)
{
    static const char *const known[] = { "name", "description", "secret", "roles", "expires_at", "unrestricted", "access_rules", "project_id", NULL };
    const json_t *body = call_body_object(c, "application_credential", err), *roles = json_object_get(body, "roles");
    const json_t *unrestricted = json_object_get(body, "unrestricted"), *secret = json_object_get(body, "secret");
    const char *key;
    json_t *value;
    if (!body)
        return false;
    json_object_foreach((json_t *) body, key, value)
        if (!g_strv_contains(known, key))
            return nv_fail(err, NV_ERR_INVALID, "Additional properties are not allowed: unknown attribute '%.64s'", key);
    w->name = json_get_str(body, "name");
    w->description = json_get_str(body, "description");
    if (!w->name || !*w->name || strlen(w->name) > 255)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'name': a string of 1 to 255 characters must be given");
    if ((unrestricted && !json_is_boolean(unrestricted) && !json_is_null(unrestricted))
        || (secret && !json_is_string(secret) && !json_is_null(secret)))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'unrestricted' or 'secret': wrong type");
    w->unrestricted = json_is_true(unrestricted);
    w->secret = json_string_value(secret);
    w->rules = json_object_get(body, "access_rules");
    if (json_is_null(w->rules))
        w->rules = NULL;
    if (!delegate_expiry(body, &w->expires_at, err) || !check_rules(w->rules, err))
        return false;
    const json_t *held = login_roles(login_of(c->ctx));
    w->role_ids = delegate_roles(json_array_size(roles) ? roles : held, held, NV_ERR_INVALID, err);
    return w->role_ids != NULL;
}

static bool add_rule(Call *c, const Wanted *w, const json_t *rule, GError **err)
{
    g_autofree char *id = g_strdup(json_get_str(rule, "id")), *fresh = id_new_hex();
    const char *service = json_get_str(rule, "service"), *method = json_get_str(rule, "method"), *path = json_get_str(rule, "path");
    if (!id && (!db_exec(c->db, err, "access_rule_insert", "sssss", fresh, c->ctx->user_id, service, method, path)
                || !db_query_str(c->db, err, &id, "access_rule_find", "ssss", c->ctx->user_id, service, method, path)))
        return false;
    if (!db_exec(c->db, err, "app_credential_rule_insert", "sss", w->id, id, c->ctx->user_id))
        return false;
    return db_changes(c->db) || nv_fail(err, NV_ERR_NOT_FOUND, "Could not find access rule: %.64s.", id);
}

static bool store(Call *c, Wanted *w, GError **err)
{
    size_t i;
    json_t *item;
    w->id = id_new_hex();
    if (!db_exec(c->db, err, "app_credential_insert", "ssssssiii", w->id, c->ctx->user_id, c->ctx->project_id, w->name, w->description,
                 w->secret_hash, (gint64) w->unrestricted, (gint64) (w->rules != NULL), w->expires_at))
        return false;
    json_array_foreach(w->role_ids, i, item)
        if (!db_exec(c->db, err, "app_credential_role_insert", "ss", w->id, json_string_value(item)))
            return false;
    json_array_foreach((json_t *) w->rules, i, item)
        if (!add_rule(c, w, item, err))
            return false;
    return true;
}

static void put_rule(const Call *c, const json_t *rule, const char *user_id, bool links, JsonW *w)
{
    jw_object(w);
    jw_kstr(w, "id", json_get_str(rule, "id"));
    jw_kstr(w, "path", json_get_str(rule, "path"));
    jw_kstr(w, "method", json_get_str(rule, "method"));
    jw_kstr(w, "service", json_get_str(rule, "service"));
    if (links) {
        g_autofree char *path = g_strdup_printf("users/%s/access_rules/%s", user_id, json_get_str(rule, "id")), *self = self_url(c->ctx, path);
        jw_key(w, "links");
        jw_object(w);
        jw_kstr(w, "self", self);
        jw_end_object(w);
    }
    jw_end_object(w);
}

static bool put_rules(const Call *c, const json_t *row, JsonW *w, GError **err)
{
    size_t i;
    json_t *rule;
    if (!json_get_int(row, "limited", 0))
        return true;
    g_autoptr(json_t) rules = db_query(c->db, err, "app_credential_rules", "s", json_get_str(row, "id"));
    if (!rules)
        return false;
    jw_key(w, "access_rules");
    jw_array(w);
    json_array_foreach(rules, i, rule)
        put_rule(c, rule, NULL, false, w);
    jw_end_array(w);
    return true;
}

static bool put_credential(const Call *c, const json_t *row, const char *secret, JsonW *w, GError **err)
{
    const char *id = json_get_str(row, "id");
    g_autofree char *path = g_strdup_printf("users/%s/application_credentials/%s", json_get_str(row, "user_id"), id), *self = self_url(c->ctx, path);
    jw_object(w);
    jw_kstr(w, "id", id);
    jw_kstr(w, "name", json_get_str(row, "name"));
    jw_kstr(w, "description", json_get_str(row, "description"));
    jw_kstr(w, "project_id", json_get_str(row, "project_id"));
    jw_kstr(w, "user_id", json_get_str(row, "user_id"));
    jw_kbool(w, "unrestricted", json_get_int(row, "unrestricted", 0));
    put_when(w, "expires_at", json_get_int(row, "expires_at", 0));
    if (secret)
        jw_kstr(w, "secret", secret);
    jw_key(w, "roles");
    if (!delegate_put_roles(c, "app_credential_roles", id, false, w, err) || !put_rules(c, row, w, err))
        return false;
    jw_key(w, "links");
    jw_object(w);
    jw_kstr(w, "self", self);
    jw_end_object(w);
    jw_end_object(w);
    return true;
}

static bool reply(Call *c, int status, const char *id, const char *secret, GError **err)
{
    g_autoptr(json_t) rows = db_query(c->db, err, "app_credentials", "sss", c->params[0], id, NULL);
    if (!rows)
        return false;
    if (!json_array_size(rows))
        return nv_fail(err, NV_ERR_NOT_FOUND, "Could not find Application Credential: %.64s.", id);
    JsonW w = call_begin(c, status);
    jw_object(&w);
    jw_key(&w, "application_credential");
    if (!put_credential(c, json_array_get(rows, 0), secret, &w, err))
        return false;
    jw_end_object(&w);
    return true;
}

bool app_credential_create(Call *c, GError **err)
{
    g_auto(Wanted) w = { NULL };
    if (!only_own(c, err) || !check_unrestricted(c->ctx, err) || !read_body(c, &w, err))
        return false;
    if (!c->ctx->project_id)
        return nv_fail(err, NV_ERR_FORBIDDEN, "An application credential is for a project: use a token that is scoped to one.");
    w.made_secret = w.secret ? g_strdup(w.secret) : secret_new();
    w.secret_hash = password_hash(w.made_secret, err);
    if (!w.secret_hash)
        return false;
    g_auto(Txn) txn = txn_begin(c->db, err);
    if (!txn.db || !store(c, &w, err) || !txn_commit(&txn, err))
        return false;
    return reply(c, 201, w.id, w.made_secret, err);
}

bool app_credential_list(Call *c, GError **err)
{
    size_t i;
    json_t *row;
    if (!may_touch(c, false, err))
        return false;
    g_autoptr(json_t) rows = db_query(c->db, err, "app_credentials", "sss", c->params[0], NULL, call_query(c, "name"));
    if (!rows)
        return false;
    JsonW w = list_begin(c, "application_credentials");
    json_array_foreach(rows, i, row)
        if (!put_credential(c, row, NULL, &w, err))
            return false;
    return list_end(c, &w);
}

bool app_credential_show(Call *c, GError **err)
{
    return may_touch(c, false, err) && reply(c, 200, c->params[1], NULL, err);
}

bool app_credential_delete(Call *c, GError **err)
{
    g_auto(Txn) txn = { NULL };
    if (!may_touch(c, true, err) || !check_unrestricted(c->ctx, err))
        return false;
    txn = txn_begin(c->db, err);
    if (!txn.db || !db_exec(c->db, err, "app_credential_delete", "ss", c->params[0], c->params[1]))
        return false;
    if (!db_changes(c->db))
        return nv_fail(err, NV_ERR_NOT_FOUND, "Could not find Application Credential: %.64s.", c->params[1]);
    identity_changed();
    return txn_commit(&txn, err) && call_reply_empty(c, 204);
}

bool access_rule_list(Call *c, GError **err)
{
    size_t i;
    json_t *rule;
    g_autoptr(json_t) rows = may_touch(c, false, err) ? db_query(c->db, err, "access_rules", "ss", c->params[0], NULL) : NULL;
    if (!rows)
        return false;
    JsonW w = list_begin(c, "access_rules");
    json_array_foreach(rows, i, rule)
        put_rule(c, rule, c->params[0], true, &w);
    return list_end(c, &w);
}

bool access_rule_show(Call *c, GError **err)
{
    g_autoptr(json_t) rows = may_touch(c, false, err) ? db_query(c->db, err, "access_rules", "ss", c->params[0], c->params[1]) : NULL;
    if (!rows)
        return false;
    if (!json_array_size(rows))
        return nv_fail(err, NV_ERR_NOT_FOUND, "Could not find Access Rule: %.64s.", c->params[1]);
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "access_rule");
    put_rule(c, json_array_get(rows, 0), c->params[0], true, &w);
    jw_end_object(&w);
    return true;
}

bool access_rule_delete(Call *c, GError **err)
{
    g_auto(Txn) txn = { NULL };
    gint64 used;
    if (!may_touch(c, true, err) || !check_unrestricted(c->ctx, err))
        return false;
    txn = txn_begin(c->db, err);
    if (!txn.db || !db_query_int(c->db, err, &used, "access_rule_used", "s", c->params[1]))
        return false;
    if (used)
        return nv_fail(err, NV_ERR_FORBIDDEN, "The access rule %.64s is in use by an application credential.", c->params[1]);
    if (!db_exec(c->db, err, "access_rule_delete", "ss", c->params[0], c->params[1]))
        return false;
    if (!db_changes(c->db))
        return nv_fail(err, NV_ERR_NOT_FOUND, "Could not find Access Rule: %.64s.", c->params[1]);
    return txn_commit(&txn, err) && call_reply_empty(c, 204);
}
