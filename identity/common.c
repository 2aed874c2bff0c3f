/* identity/common.c -- what Keystone's resources have in common: attributes nobody declared, links, options, and how they are written. */
#include "core/id.h"
#include "identity/internal.h"
#include <string.h>

char *self_url(const Ctx *ctx, const char *path)
{
    return g_strconcat(ctx->base_url, "/identity/v3/", path, NULL);
}

static void put_self(const Row *row, const Ctx *ctx, JsonW *w)
{
    const char *id = *FIELD_PTR(row, &row->res->fields[0], char *);
    g_autofree char *path = g_strdup_printf("%s/%s", row->res->many, id), *self = self_url(ctx, path);
    jw_object(w);
    jw_kstr(w, "self", self);
    jw_end_object(w);
}

void render_links(const Row *row, const Ctx *ctx, JsonW *w)
{
    put_self(row, ctx, w);
    int i = field_index(row->res, "extra", 0);
    const json_t *extra = i < 0 ? NULL : *FIELD_PTR(row, &row->res->fields[i], json_t *);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *) extra, key, value)
        jw_kjson(w, key, value);
}

JsonW list_begin(Call *c, const char *many)
{
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, many);
    jw_array(&w);
    return w;
}

bool list_end(Call *c, JsonW *w)
{
    g_autofree char *self = g_strconcat(c->ctx->base_url, c->path, NULL);
    jw_end_array(w);
    jw_key(w, "links");
    jw_object(w);
    jw_knull(w, "next");
    jw_knull(w, "previous");
    jw_kstr(w, "self", self);
    jw_end_object(w);
    jw_end_object(w);
    return true;
}

bool reply_rows(Call *c, const Resource *res, const GPtrArray *rows)
{
    JsonW w = list_begin(c, res->many);
    for (guint i = 0; i < rows->len; i++)
        row_render(rows->pdata[i], c->ctx, &w, false);
    return list_end(c, &w);
}

bool reply_one(Call *c, int status, const Row *row)
{
    JsonW w = call_begin(c, status);
    jw_object(&w);
    jw_key(&w, row->res->one);
    row_render(row, c->ctx, &w, false);
    jw_end_object(&w);
    return true;
}

GPtrArray *rows_by_fragment(Call *c, const Resource *res, const char *fragment, const char *arg, GError **err)
{
    const Ctx system = { .base_url = c->ctx->base_url, .roles = c->ctx->roles, .admin = true };
    const char *const args[] = { arg, NULL };
    const ListQuery q = { .fragment = fragment, .fragment_args = args, .limit = 10000 };
    bool more;
    return rows_list(c->db, res, &system, &q, &more, err);
}

bool is_flag(const Call *c, const char *name)
{
    const char *v = call_query(c, name);
    return v && strcmp(v, "0") != 0 && g_ascii_strcasecmp(v, "false") != 0;
}

/* Moves what the table does not know from body to the object "extra": Keystone keeps and shows whatever attributes it is given. */
static bool split_extra(const Resource *res, json_t *body, json_t *extra, GError **err)
{
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(body, next, key, value)
        if (field_index(res, key, 0) < 0) {
            if (strlen(key) > 64 || json_object_size(extra) >= 32)
                return nv_fail(err, NV_ERR_INVALID, "Additional properties: at most 32, with names of at most 64 characters");
            json_object_set(extra, key, value);
            json_object_del(body, key);
        }
    return true;
}

static json_t **extra_of(Row *row, size_t *ret_i)
{
    int i = field_index(row->res, "extra", 0);
    *ret_i = (size_t) MAX(i, 0);
    return i < 0 ? NULL : FIELD_PTR(row, &row->res->fields[i], json_t *);
}

/* Takes the caller's attributes into the row; extras are merged, null removes one. */
static bool take_body(Row *row, json_t *body, const Ctx *ctx, unsigned verb, GError **err)
{
    size_t i;
    json_t **extra = extra_of(row, &i);
    if (extra) {
        g_autoptr(json_t) more = *extra ? json_deep_copy(*extra) : json_object();
        const char *key;
        json_t *value;
        void *next;
        if (!split_extra(row->res, body, more, err))
            return false;
        json_object_foreach_safe(more, next, key, value)
            if (json_is_null(value))
                json_object_del(more, key);
        if (!*extra || !json_equal(more, *extra))
            row_set_json(row, extra, json_incref(more));
    }
    return row_parse(row, body, ctx, verb, err);
}

static void set_key(Row *row, const char *id)
{
    const Field *key = &row->res->fields[0];
    if (!(row->known & 1))
        row_set_str(row, FIELD_PTR(row, key, char *), id);
}

Row *create_row(Call *c, const Resource *res, const json_t *given, GError **err)
{
    g_autoptr(json_t) body = json_copy((json_t *) given);
    g_autofree char *id = id_new_hex();
    g_autoptr(Row) row = row_new(res);
    if (!take_body(row, body, c->ctx, CREATE, err))
        return NULL;
    set_key(row, id);
    g_auto(Txn) txn = txn_begin(c->db, err);
    if (!txn.db || (res->before_create && !res->before_create(c->db, c->ctx, row, err)) || !row_insert(c->db, row, err))
        return NULL;
    identity_changed();
    g_autoptr(Row) fresh = row_get(c->db, res, *FIELD_PTR(row, &res->fields[0], char *), err);
    return fresh && txn_commit(&txn, err) ? g_steal_pointer(&fresh) : NULL;
}

/* What cannot be changed may still be repeated: clients send back what they read. */
static void drop_repeated(const Row *row, json_t *body)
{
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(body, next, key, value) {
        int i = field_index(row->res, key, 0);
        const Field *f = i < 0 ? NULL : &row->res->fields[i];
        bool text = f && f->type == T_STR && f->col && !(f->flags & HIDDEN) && (json_is_string(value) || json_is_null(value));
        bool same = text && g_strcmp0(*FIELD_PTR(row, f, char *), json_string_value(value)) == 0;
        if (same && !(f->flags & UPDATE))
            json_object_del(body, key);
    }
}

Row *update_row(Call *c, const Resource *res, const char *id, const json_t *given, GError **err)
{
    g_autoptr(json_t) body = json_copy((json_t *) given);
    g_auto(Txn) txn = txn_begin(c->db, err);
    if (!txn.db)
        return NULL;
    g_autoptr(Row) row = row_get_for(c->db, res, c->ctx, id, true, err), old = row ? row_get(c->db, res, id, err) : NULL;
    if (!old)
        return NULL;
    drop_repeated(row, body);
    if (!take_body(row, body, c->ctx, UPDATE, err) || (res->before_update && !res->before_update(c->db, c->ctx, row, old, err))
        || !row_update(c->db, row, err))
        return NULL;
    identity_changed();
    g_autoptr(Row) fresh = row_get(c->db, res, id, err);
    return fresh && txn_commit(&txn, err) ? g_steal_pointer(&fresh) : NULL;
}

bool identity_create(Call *c, GError **err)
{
    const json_t *body = call_body_object(c, c->route->res->one, err);
    g_autoptr(Row) row = body ? create_row(c, c->route->res, body, err) : NULL;
    return row && reply_one(c, 201, row);
}

bool identity_update(Call *c, GError **err)
{
    const json_t *body = call_body_object(c, c->route->res->one, err);
    g_autoptr(Row) row = body ? update_row(c, c->route->res, c->params[0], body, err) : NULL;
    return row && reply_one(c, 200, row);
}

bool delete_row(Call *c, const Resource *res, const char *id, GError **err)
{
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Row) row = txn.db ? row_get_for(c->db, res, c->ctx, id, true, err) : NULL;
    if (!row || (res->before_delete && !res->before_delete(c->db, c->ctx, row, err)) || !row_delete(c->db, row, err))
        return false;
    identity_changed();
    return txn_commit(&txn, err);
}

bool identity_delete(Call *c, GError **err)
{
    return delete_row(c, c->route->res, c->params[0], err) && call_reply_empty(c, 204);
}

/* Options known for a kind: "b" boolean, "r" multi-factor rules. */
static bool check_option(const char *key, const json_t *value, char type, GError **err)
{
    size_t i, k;
    json_t *rule, *method;
    if (type == 'b' && !json_is_boolean(value))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'options/%s': it is not a boolean", key);
    if (type == 'r' && (!json_is_array(value) || json_array_size(value) > 16))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'options/%s': it is not a list of at most 16 lists", key);
    if (type == 'r')
        json_array_foreach((json_t *) value, i, rule) {
            if (!json_is_array(rule) || !json_array_size(rule) || json_array_size(rule) > 8)
                return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'options/%s': item %zu is not a list of 1 to 8 methods", key, i);
            json_array_foreach(rule, k, method)
                if (!json_is_string(method))
                    return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'options/%s': item %zu names a method that is not a string", key, i);
        }
    return true;
}

bool options_merge(Row *row, json_t **member, const json_t *old, const OptionName *known, GError **err)
{
    const char *key;
    json_t *value;
    if (!row_is_dirty(row, member))
        return true;
    g_autoptr(json_t) merged = old ? json_deep_copy(old) : json_object();
    json_object_foreach(*member, key, value) {
        const OptionName *o = known;
        while (o->name && strcmp(o->name, key) != 0)
            o++;
        if (!o->name)
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'options': '%.64s' is not a known option", key);
        if (!json_is_null(value) && !check_option(key, value, o->type, err))
            return false;
        if (json_is_null(value))
            json_object_del(merged, key);
        else
            json_object_set(merged, key, value);
    }
    row_set_json(row, member, g_steal_pointer(&merged));
    return true;
}

/* immutable: nothing but the option itself may be changed. */
bool check_mutable(const Row *row, const json_t *old_options, const json_t *new_options, GError **err)
{
    bool locked = json_get_bool(old_options, "immutable", false) && (!new_options || json_get_bool(new_options, "immutable", false));
    return !locked || nv_fail(err, NV_ERR_FORBIDDEN, "The %s is immutable; unset its option immutable first.", row->res->one);
}

bool check_primary(const Ctx *ctx, GError **err)
{
    const Login *l = login_of(ctx);
    bool delegated = l && (login_fact(l, "trust_id") || login_fact(l, "app_credential_id"));
    return !delegated || nv_fail(err, NV_ERR_FORBIDDEN, "A token made with an application credential or a trust may not do this.");
}

bool check_unrestricted(const Ctx *ctx, GError **err)
{
    const Login *l = login_of(ctx);
    /* With access rules even an "unrestricted" one is restricted: it could make itself another without them. */
    bool free = l && login_fact(l, "app_credential_id") && login_time(l, "unrestricted") && !login_rules(l);
    return free || check_primary(ctx, err);
}

bool check_domain_write(const Ctx *ctx, const char *domain_id, GError **err)
{
    if (ctx->admin || (domain_id && g_strcmp0(ctx->domain_id, domain_id) == 0))
        return true;
    return nv_fail(err, NV_ERR_FORBIDDEN, "You are not authorized to perform the requested action: it is outside of your domain.");
}

bool check_domain_read(const Ctx *ctx, const char *domain_id, GError **err)
{
    if (ctx->admin || (ctx_has_role(ctx, "reader") && (ctx->system || (domain_id && g_strcmp0(ctx->domain_id, domain_id) == 0))))
        return true;
    return nv_fail(err, NV_ERR_FORBIDDEN, "You are not authorized to perform the requested action.");
}

bool default_domain(Db *db, const Ctx *ctx, Row *row, char **member, GError **err)
{
    g_autofree char *found = NULL;
    const Login *l = login_of(ctx);
    if (!row_knows(row, member)) {
        const char *project_domain = l ? login_fact(l, "project_domain_id") : NULL;
        row_set_str(row, member, ctx->domain_id ? ctx->domain_id : project_domain ? project_domain : "default");
    }
    if (!db_query_str(db, err, &found, "domain_by_id", "s", *member))
        return false;
    return found || nv_fail(err, NV_ERR_NOT_FOUND, "Could not find domain: %.64s.", *member);
}
