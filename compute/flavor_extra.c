/* compute/flavor_extra.c -- extra specs of flavors, and which projects a private flavor is for. */
#include "compute/internal.h"
#include "core/id.h"
#include <string.h>

/* Values may be numbers; they are kept as text. */
static bool specs_check(json_t *specs, GError **err)
{
    static const Field field = { .json = "extra_specs" };
    const char *key;
    json_t *v;
    void *tmp;
    json_object_foreach_safe(specs, tmp, key, v)
        if (json_is_number(v)) {
            g_autofree char *text = json_text(v);
            json_object_set_new(specs, key, json_string(text));
        }
    return check_metadata(&field, specs, err);
}

static bool specs_reply(Call *c, const Flavor *f)
{
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_kjson(&w, "extra_specs", f->extra_specs);
    jw_end_object(&w);
    return true;
}

bool flavor_specs_list(Call *c, GError **err)
{
    g_autoptr(Flavor) f = flavor_get_for(c->db, c->ctx, c->params[0], err);
    return f && specs_reply(c, f);
}

static bool specs_merge(Call *c, json_t *given, GError **err)
{
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Flavor) f = txn.db ? (Flavor *) row_get_for(c->db, &flavor_resource, c->ctx, c->params[0], true, err) : NULL;
    if (!f)
        return false;
    json_object_update(f->extra_specs, given);
    if (json_object_size(f->extra_specs) > 256)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute extra_specs. A flavor has at most 256 of them");
    row_touch(&f->row, &f->extra_specs);
    return row_update(c->db, &f->row, err) && txn_commit(&txn, err);
}

bool flavor_specs_create(Call *c, GError **err)
{
    json_t *specs = body_only(c, "extra_specs", NULL, err);
    return specs && specs_check(specs, err) && specs_merge(c, specs, err) && call_reply(c, 200, json_incref(c->body));
}

static bool no_such_spec(const Call *c, GError **err)
{
    return nv_fail(err, NV_ERR_NOT_FOUND, "Flavor %s has no extra specs with key %s.", c->params[0], c->params[1]);
}

bool flavor_spec_show(Call *c, GError **err)
{
    g_autoptr(Flavor) f = flavor_get_for(c->db, c->ctx, c->params[0], err);
    if (!f)
        return false;
    const char *value = json_get_str(f->extra_specs, c->params[1]);
    return value ? call_reply(c, 200, json_make("s", c->params[1], value)) : no_such_spec(c, err);
}

bool flavor_spec_update(Call *c, GError **err)
{
    if (!json_is_object(c->body) || json_object_size(c->body) != 1)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute body. It must be an object with exactly one extra spec");
    if (!specs_check(c->body, err))
        return false;
    if (!json_object_get(c->body, c->params[1]))
        return nv_fail(err, NV_ERR_INVALID, "Request body and URI mismatch");
    return specs_merge(c, c->body, err) && call_reply(c, 200, json_incref(c->body));
}

bool flavor_spec_delete(Call *c, GError **err)
{
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Flavor) f = txn.db ? (Flavor *) row_get_for(c->db, &flavor_resource, c->ctx, c->params[0], true, err) : NULL;
    if (!f)
        return false;
    if (json_object_del(f->extra_specs, c->params[1]) < 0)
        return no_such_spec(c, err);
    row_touch(&f->row, &f->extra_specs);
    return row_update(c->db, &f->row, err) && txn_commit(&txn, err) && call_reply_empty(c, 200);
}

static bool access_reply(Call *c, const char *flavor_id, GError **err)
{
    g_autoptr(json_t) rows = db_query(c->db, err, "flavor_access_list", "s", flavor_id);
    return rows && call_reply(c, 200, json_make("o", "flavor_access", json_incref(rows)));
}

bool flavor_access_list(Call *c, GError **err)
{
    g_autoptr(Flavor) f = flavor_get_for(c->db, c->ctx, c->params[0], err);
    if (!f)
        return false;
    if (f->is_public)
        return nv_fail(err, NV_ERR_NOT_FOUND, "Access list not available for public flavors.");
    return access_reply(c, f->id, err);
}

static bool grant(Call *c, const Flavor *f, const char *project, GError **err)
{
    gint64 n = 0;
    if (f->is_public)
        return nv_fail(err, NV_ERR_CONFLICT, "Can not add access to a public flavor.");
    if (!db_query_int(c->db, err, &n, "flavor_access_count", "ss", f->id, project))
        return false;
    if (n)
        return nv_fail(err, NV_ERR_CONFLICT, "Flavor access already exists for flavor %s and project %s combination.", f->id, project);
    return db_exec(c->db, err, "flavor_access_add", "ss", f->id, project);
}

static bool withdraw(Call *c, const Flavor *f, const char *project, GError **err)
{
    if (!db_exec(c->db, err, "flavor_access_remove", "ss", f->id, project))
        return false;
    return db_changes(c->db) > 0
        || nv_fail(err, NV_ERR_NOT_FOUND, "Flavor access not found for %s / %s combination.", f->id, project);
}

/* POST /flavors/{id}/action: addTenantAccess, removeTenantAccess. */
bool flavor_action(Call *c, GError **err)
{
    static const char *const inner[] = { "tenant", NULL };
    bool add = json_object_get(c->body, "addTenantAccess") != NULL;
    json_t *what = body_only(c, add ? "addTenantAccess" : "removeTenantAccess", NULL, err);
    if (!what || !body_allowed(what, inner, err))
        return false;
    const char *project = json_get_str(what, "tenant");
    if (!project || !id_is_hex_or_uuid(project))
        return nv_fail(err, NV_ERR_INVALID, "Project ID %.80s is not a valid project.", project ? project : "None");
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Flavor) f = txn.db ? (Flavor *) row_get_for(c->db, &flavor_resource, c->ctx, c->params[0], true, err) : NULL;
    if (!f)
        return false;
    return (add ? grant : withdraw)(c, f, project, err) && txn_commit(&txn, err) && access_reply(c, f->id, err);
}
