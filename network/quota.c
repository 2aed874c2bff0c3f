/* network/quota.c -- the limits of projects, as Neutron's quota calls show and change them. */
#include "identity/identity.h"
#include "network/internal.h"
#include <string.h>

static const Range limits = { -1, 2147483647 };

/* One project's limits; details: with what is used. */
static json_t *quota_set_of(Db *db, const char *project_id, bool details, GError **err)
{
    g_autoptr(json_t) set = json_object();
    const char *name;
    for (guint i = 0; (name = quota_resource("network", i)); i++) {
        gint64 limit = 0, used = 0;
        if (!quota_get(db, project_id, name, &limit, &used, err))
            return NULL;
        json_object_set_new(set, name, details ? json_make("iii", "limit", limit, "used", used, "reserved", (gint64) 0) : json_integer(limit));
    }
    return g_steal_pointer(&set);
}

/* Own limits, or an administrator's look at others'. */
static bool may_see(const Call *c, GError **err)
{
    return c->ctx->admin || g_strcmp0(c->params[0], c->ctx->project_id) == 0
        || nv_fail(err, NV_ERR_FORBIDDEN, "rule:get_quota is disallowed by policy");
}

static bool reply_set(Call *c, json_t *set)
{
    return set && call_reply(c, 200, json_make("o", "quota", set));
}

bool quota_show(Call *c, GError **err)
{
    return may_see(c, err) && reply_set(c, quota_set_of(c->db, c->params[0], false, err));
}

bool quota_details(Call *c, GError **err)
{
    return may_see(c, err) && reply_set(c, quota_set_of(c->db, c->params[0], true, err));
}

bool quota_defaults(Call *c, GError **err)
{
    const char *name;
    if (!may_see(c, err))
        return false;
    json_t *set = json_object();
    for (guint i = 0; (name = quota_resource("network", i)); i++)
        json_object_set_new(set, name, json_integer(quota_default(name)));
    return reply_set(c, set);
}

/* GET /quotas/tenant and /quotas/project: whose token is this. */
bool quota_own(Call *c, GError **err)
{
    (void) err;
    bool old = g_str_has_suffix(c->path, "/tenant");
    json_t *who = old ? json_make("s", "tenant_id", c->ctx->project_id)
                      : json_make("ss", "project_id", c->ctx->project_id, "tenant_id", c->ctx->project_id);
    return call_reply(c, 200, json_make("o", old ? "tenant" : "project", who));
}

bool quotas_list(Call *c, GError **err)
{
    g_autoptr(json_t) names = json_array(), list = json_array();
    const char *name;
    for (guint i = 0; (name = quota_resource("network", i)); i++)
        json_array_append_new(names, json_string(name));
    g_autofree char *text = json_text(names);
    g_autoptr(json_t) projects = db_query(c->db, err, "network_quota_projects", "s", text);
    size_t i;
    json_t *row;
    if (!projects)
        return false;
    json_array_foreach(projects, i, row) {
        const char *id = json_get_str(row, "project_id");
        json_t *set = quota_set_of(c->db, id, false, err);
        if (!set)
            return false;
        json_object_set_new(set, "project_id", json_string(id));
        json_object_set_new(set, "tenant_id", json_string(id));
        json_array_append_new(list, set);
    }
    return call_reply(c, 200, json_make("o", "quotas", json_incref(list)));
}

/* With check_limit, a limit below what is used is refused. */
static bool used_check(Call *c, const char *resource, gint64 limit, GError **err)
{
    gint64 now, used = 0;
    const json_t *asked = json_object_get(json_object_get(c->body, "quota"), "check_limit");
    bool check;
    if (!json_bool_words(asked, &check) || !check || limit < 0)
        return true;
    return quota_get(c->db, c->params[0], resource, &now, &used, err)
        && (used <= limit || nv_fail(err, NV_ERR_INVALID, "Quota limit %" G_GINT64_FORMAT " for %s must be greater than or equal to already used %"
                                     G_GINT64_FORMAT, limit, resource, used));
}

static bool set_one(Call *c, const char *name, const json_t *v, GError **err)
{
    const Field f = { .json = name, .arg = &limits };
    const char *resource = NULL;
    for (guint i = 0; (resource = quota_resource("network", i)) && strcmp(resource, name) != 0; i++)
        ;
    if (!resource)
        return nv_fail(err, NV_ERR_INVALID, "Unrecognized attribute(s) '%.64s'", name);
    g_autoptr(json_t) number = NULL;
    const char *text = json_string_value(v);
    char *end;
    if (text && *text) {
        gint64 n = g_ascii_strtoll(text, &end, 10);
        number = *end ? NULL : json_integer(n);
    } else if (json_is_integer(v)) {
        number = json_integer(json_integer_value(v));
    }
    if (!number)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: it is not an integer.", name);
    return check_range(&f, number, err) && used_check(c, resource, json_integer_value(number), err)
        && quota_set(c->db, c->params[0], resource, json_integer_value(number), err);
}

bool quota_put(Call *c, GError **err)
{
    json_t *body = call_body_object(c, "quota", err), *v;
    const char *name;
    if (!body)
        return false;
    g_auto(Txn) txn = txn_begin(c->db, err);
    if (!txn.db)
        return false;
    json_object_foreach(body, name, v)
        if (strcmp(name, "tenant_id") != 0 && strcmp(name, "project_id") != 0 && strcmp(name, "force") != 0 && strcmp(name, "check_limit") != 0
            && !set_one(c, name, v, err))
            return false;
    return txn_commit(&txn, err) && reply_set(c, quota_set_of(c->db, c->params[0], false, err));
}

bool quota_delete(Call *c, GError **err)
{
    g_auto(Txn) txn = txn_begin(c->db, err);
    return txn.db && quota_clear(c->db, c->params[0], "network", err) && txn_commit(&txn, err) && call_reply_empty(c, 204);
}
