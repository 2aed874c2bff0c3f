/* identity/grant.c -- roles given to users and groups on projects, domains and the system, inherited or not. */
#include "identity/internal.h"
#include <string.h>

/* What a path names: …/projects/{p}/users/{u}/roles/{r}, …/system/groups/{g}/roles, OS-INHERIT/… */
typedef struct GrantPath {
    const char *user_id, *group_id, *project_id, *domain_id, *role_id;
    gint64 inherited;
    char *domain_of_target, *domain_of_actor;    /* owned */
} GrantPath;

static void path_clear(GrantPath *g)
{
    g_free(g->domain_of_target);
    g_free(g->domain_of_actor);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GrantPath, path_clear)

static void parse(const Call *c, GrantPath *g)
{
    const char *route = c->route->path;
    int n = 0;
    g->inherited = strstr(route, "/OS-INHERIT/") != NULL;
    if (strstr(route, "/projects/{"))
        g->project_id = c->params[n++];
    else if (strstr(route, "/domains/{"))
        g->domain_id = c->params[n++];
    if (strstr(route, "/users/{"))
        g->user_id = c->params[n++];
    else
        g->group_id = c->params[n++];
    g->role_id = c->params[n];
}

/* Finds both ends; a missing one is 404. */
static bool find_ends(Call *c, GrantPath *g, GError **err)
{
    if (g->user_id || g->group_id) {
        const Resource *res = g->user_id ? &user_resource : &group_resource;
        g_autoptr(Row) actor = row_get(c->db, res, g->user_id ? g->user_id : g->group_id, err);
        if (!actor)
            return false;
        g->domain_of_actor = g_strdup(g->user_id ? ((User *) actor)->domain_id : ((Group *) actor)->domain_id);
    }
    if (g->project_id) {
        g_autoptr(Row) project = row_get(c->db, &project_resource, g->project_id, err);
        if (!project)
            return false;
        g->domain_of_target = g_strdup(((Project *) project)->domain_id);
    }
    if (g->domain_id) {
        g_autoptr(Row) domain = row_get(c->db, &domain_resource, g->domain_id, err);
        if (!domain)
            return false;
        g->domain_of_target = g_strdup(g->domain_id);
    }
    return true;
}

static bool may_read(const Call *c, const GrantPath *g, GError **err)
{
    return check_domain_read(c->ctx, g->domain_of_target, err) && check_domain_read(c->ctx, g->domain_of_actor, err);
}

/* A domain's administrator gives roles of his domain and global ones, but nothing that makes a cloud administrator. */
static bool may_write(const Call *c, const GrantPath *g, const Role *role, GError **err)
{
    gint64 above = 0;
    if (c->ctx->admin)
        return true;
    if (!check_domain_write(c->ctx, g->domain_of_target, err) || !check_domain_write(c->ctx, g->domain_of_actor, err)
        || (role->domain_id && !check_domain_write(c->ctx, role->domain_id, err)))
        return false;
    bool reaches_out = g->project_id || g->inherited;
    if (reaches_out && !db_query_int(c->db, err, &above, "role_means_admin", "s", role->id))
        return false;
    return !above || nv_fail(err, NV_ERR_FORBIDDEN, "Only a cloud administrator may give or take the role %s on a project.", role->name);
}

static bool fits(const GrantPath *g, const Role *role, GError **err)
{
    bool ok = !role->domain_id || (g->domain_of_target && strcmp(role->domain_id, g->domain_of_target) == 0);
    return ok || nv_fail(err, NV_ERR_FORBIDDEN, "The role %s belongs to another domain.", role->id);
}

bool grant_add(Call *c, GError **err)
{
    g_auto(GrantPath) g = { NULL };
    parse(c, &g);
    g_auto(Txn) txn = txn_begin(c->db, err);
    if (!txn.db || !find_ends(c, &g, err))
        return false;
    g_autoptr(Row) role = row_get(c->db, &role_resource, g.role_id, err);
    if (!role || !may_write(c, &g, (Role *) role, err) || !fits(&g, (Role *) role, err)
        || !db_exec(c->db, err, "assignment_insert", "sssssi", g.user_id, g.group_id, g.project_id, g.domain_id, g.role_id, g.inherited))
        return false;
    identity_changed();
    return txn_commit(&txn, err) && call_reply_empty(c, 204);
}

static bool not_there(const GrantPath *g, GError **err)
{
    return nv_fail(err, NV_ERR_NOT_FOUND, "Could not find role assignment with role: %.64s, user or group: %.64s, project, domain, or system: %.64s.",
                   g->role_id, g->user_id ? g->user_id : g->group_id, g->project_id ? g->project_id : g->domain_id ? g->domain_id : "system");
}

bool grant_remove(Call *c, GError **err)
{
    g_auto(GrantPath) g = { NULL };
    parse(c, &g);
    g_auto(Txn) txn = txn_begin(c->db, err);
    if (!txn.db || !find_ends(c, &g, err))
        return false;
    g_autoptr(Row) role = row_get(c->db, &role_resource, g.role_id, err);
    if (!role || !may_write(c, &g, (Role *) role, err)
        || !db_exec(c->db, err, "assignment_delete", "sssssi", g.user_id, g.group_id, g.project_id, g.domain_id, g.role_id, g.inherited))
        return false;
    if (!db_changes(c->db))
        return not_there(&g, err);
    identity_changed();
    return txn_commit(&txn, err) && call_reply_empty(c, 204);
}

bool grant_check(Call *c, GError **err)
{
    gint64 there;
    g_auto(GrantPath) g = { NULL };
    parse(c, &g);
    if (!find_ends(c, &g, err) || !may_read(c, &g, err)
        || !db_query_int(c->db, err, &there, "assignment_exists", "sssssi", g.user_id, g.group_id, g.project_id, g.domain_id, g.role_id, g.inherited))
        return false;
    return there ? call_reply_empty(c, 204) : not_there(&g, err);
}

bool grant_list(Call *c, GError **err)
{
    size_t i;
    json_t *one;
    g_auto(GrantPath) g = { NULL };
    parse(c, &g);
    if (!find_ends(c, &g, err) || !may_read(c, &g, err))
        return false;
    g_autoptr(json_t) ids = db_query(c->db, err, "assignment_roles", "ssssi", g.user_id, g.group_id, g.project_id, g.domain_id, g.inherited);
    if (!ids)
        return false;
    JsonW w = list_begin(c, "roles");
    json_array_foreach(ids, i, one) {
        g_autoptr(Row) role = row_get(c->db, &role_resource, json_get_str(one, "role_id"), NULL);
        if (role)
            row_render(role, c->ctx, &w, false);
    }
    return list_end(c, &w);
}
