/* identity/role.c -- roles, and which role implies which. */
#include "identity/internal.h"
#include <string.h>

static const Range name_255 = { 1, 255 };
static const OptionName options[] = { { "immutable", 'b' }, { NULL, 0 } };

/* clang-format off */
static const Field fields[] = {
    STR (Role, id,          "id",          FILTER|SORT),
    STR (Role, name,        "name",        CREATE|UPDATE|REQUIRED|FILTER|SORT, .check = check_text, .arg = &name_255),
    STR (Role, domain_id,   "domain_id",   CREATE|NULLABLE|FILTER),
    STR (Role, description, "description", CREATE|UPDATE|NULLABLE),
    JSON(Role, options,     "options",     CREATE|UPDATE, .check = check_object, .dflt = "{}"),
    JSON(Role, extra,       "extra",       HIDDEN),
    TIME(Role, created_at,  "created_at",  HIDDEN),
    TIME(Role, updated_at,  "updated_at",  HIDDEN),
    COMPUTED("links", render_links),
};
/* clang-format on */

static bool before_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    Role *r = (Role *) row;
    if (r->domain_id && !default_domain(db, ctx, row, &r->domain_id, err))
        return false;
    return options_merge(row, &r->options, NULL, options, err);
}

static bool before_update(Db *db, const Ctx *ctx, Row *row, const Row *old, GError **err)
{
    Role *r = (Role *) row;
    const Role *was = (const Role *) old;
    (void) db;
    (void) ctx;
    /* The names that the rules know may not move to another role. */
    static const char *const fixed[] = { "admin", "member", "reader", NULL };
    if (!was->domain_id && strcmp(r->name, was->name) != 0 && g_strv_contains(fixed, was->name))
        return nv_fail(err, NV_ERR_FORBIDDEN, "The role %s is part of the cloud's policy and keeps its name.", was->name);
    return options_merge(row, &r->options, was->options, options, err) && check_mutable(row, was->options, r->options, err);
}

static bool before_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    const Role *r = (const Role *) row;
    (void) db;
    (void) ctx;
    if (!r->domain_id && strcmp(r->name, "admin") == 0)
        return nv_fail(err, NV_ERR_FORBIDDEN, "The role admin cannot be deleted: nobody could administer the cloud.");
    return check_mutable(row, r->options, NULL, err);
}

const Resource role_resource = {
    .one = "role", .many = "roles", .table = "role", .dialect = &dialect_keystone,
    .scope = SCOPE_NAMED, .visible = "visible_role", .writable = "admins_only",
    .size = sizeof(Role), FIELDS(fields), .label = "Role", .default_sort = "name",
    .before_create = before_create, .before_update = before_update, .before_delete = before_delete,
};

/* Without ?domain_id= the list is of global roles, as Keystone has it. */
bool role_list(Call *c, GError **err)
{
    return resource_list(c, call_query(c, "domain_id") ? NULL : "global_role", err);
}

static void role_free(Role *r)
{
    row_free((Row *) r);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Role, role_free)

static Role *role_get(Call *c, const char *id, GError **err)
{
    return (Role *) row_get_for(c->db, &role_resource, c->ctx, id, false, err);
}

static void put_role(const Call *c, const Role *r, JsonW *w)
{
    g_autofree char *path = g_strconcat("roles/", r->id, NULL), *self = self_url(c->ctx, path);
    jw_object(w);
    jw_kstr(w, "id", r->id);
    jw_kstr(w, "name", r->name);
    jw_key(w, "links");
    jw_object(w);
    jw_kstr(w, "self", self);
    jw_end_object(w);
    jw_end_object(w);
}

static bool finish_inference(Call *c, JsonW *w)
{
    g_autofree char *self = g_strconcat(c->ctx->base_url, c->path, NULL);
    jw_end_object(w);
    jw_key(w, "links");
    jw_object(w);
    jw_kstr(w, "self", self);
    jw_end_object(w);
    jw_end_object(w);
    return true;
}

static bool reply_inference(Call *c, int status, const Role *prior, const Role *implied)
{
    JsonW w = call_begin(c, status);
    jw_object(&w);
    jw_key(&w, "role_inference");
    jw_object(&w);
    jw_key(&w, "prior_role");
    put_role(c, prior, &w);
    jw_key(&w, "implies");
    put_role(c, implied, &w);
    return finish_inference(c, &w);
}

bool implied_list(Call *c, GError **err)
{
    g_autoptr(Role) prior = role_get(c, c->params[0], err);
    g_autoptr(GPtrArray) rows = prior ? rows_by_fragment(c, &role_resource, "implied_by", prior->id, err) : NULL;
    if (!rows)
        return false;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "role_inference");
    jw_object(&w);
    jw_key(&w, "prior_role");
    put_role(c, prior, &w);
    jw_key(&w, "implies");
    jw_array(&w);
    for (guint i = 0; i < rows->len; i++)
        put_role(c, rows->pdata[i], &w);
    jw_end_array(&w);
    return finish_inference(c, &w);
}

/* Both roles exist; with must_be, also the rule. */
static bool both(Call *c, Role **ret_prior, Role **ret_implied, bool must_be, GError **err)
{
    gint64 there;
    g_autoptr(Role) prior = role_get(c, c->params[0], err), implied = prior ? role_get(c, c->params[1], err) : NULL;
    if (!implied || !db_query_int(c->db, err, &there, "implied_role_exists", "ss", prior->id, implied->id))
        return false;
    if (must_be && !there)
        return nv_fail(err, NV_ERR_NOT_FOUND, "%s does not imply %s.", prior->id, implied->id);
    *ret_prior = g_steal_pointer(&prior);
    *ret_implied = g_steal_pointer(&implied);
    return true;
}

bool implied_show(Call *c, GError **err)
{
    g_autoptr(Role) prior = NULL, implied = NULL;
    if (!both(c, &prior, &implied, true, err))
        return false;
    return c->head ? call_reply_empty(c, 204) : reply_inference(c, 200, prior, implied);
}

bool implied_add(Call *c, GError **err)
{
    g_autoptr(Role) prior = NULL, implied = NULL;
    g_auto(Txn) txn = txn_begin(c->db, err);
    if (!txn.db || !both(c, &prior, &implied, false, err))
        return false;
    if (!implied->domain_id && strcmp(implied->name, "admin") == 0)
        return nv_fail(err, NV_ERR_FORBIDDEN, "%s cannot be an implied role.", implied->id);
    if (!prior->domain_id && implied->domain_id)
        return nv_fail(err, NV_ERR_FORBIDDEN, "A global role cannot imply a role of a domain.");
    if (strcmp(prior->id, implied->id) == 0)
        return nv_fail(err, NV_ERR_INVALID, "A role cannot imply itself.");
    if (!db_exec(c->db, err, "implied_role_insert", "ss", prior->id, implied->id))
        return false;
    identity_changed();
    return txn_commit(&txn, err) && reply_inference(c, 201, prior, implied);
}

bool implied_remove(Call *c, GError **err)
{
    g_autoptr(Role) prior = NULL, implied = NULL;
    g_auto(Txn) txn = txn_begin(c->db, err);
    if (!txn.db || !both(c, &prior, &implied, true, err) || !db_exec(c->db, err, "implied_role_delete", "ss", prior->id, implied->id))
        return false;
    identity_changed();
    return txn_commit(&txn, err) && call_reply_empty(c, 204);
}

/* All rules: [{"prior_role": …, "implies": [ … ]}] */
bool implied_all(Call *c, GError **err)
{
    g_autoptr(GPtrArray) priors = rows_by_fragment(c, &role_resource, "implies_some", NULL, err);
    if (!priors)
        return false;
    JsonW w = list_begin(c, "role_inferences");
    for (guint i = 0; i < priors->len; i++) {
        const Role *prior = priors->pdata[i];
        g_autoptr(GPtrArray) rows = rows_by_fragment(c, &role_resource, "implied_by", prior->id, err);
        if (!rows)
            return false;
        jw_object(&w);
        jw_key(&w, "prior_role");
        put_role(c, prior, &w);
        jw_key(&w, "implies");
        jw_array(&w);
        for (guint k = 0; k < rows->len; k++)
            put_role(c, rows->pdata[k], &w);
        jw_end_array(&w);
        jw_end_object(&w);
    }
    return list_end(c, &w);
}
