/* identity/assignments.c -- GET /v3/role_assignments: who has which role where, as given or as it works out. */
#include "identity/internal.h"
#include <string.h>

/* {"id", "name", "domain": {"id", "name"}}; prefix "user": columns user_id, user_name, user_domain_id, user_domain_name. */
static void put_thing(JsonW *w, const json_t *row, const char *prefix, bool names)
{
    g_autofree char *id = g_strconcat(prefix, "_id", NULL), *name = g_strconcat(prefix, "_name", NULL);
    g_autofree char *domain_id = g_strconcat(prefix, "_domain_id", NULL), *domain_name = g_strconcat(prefix, "_domain_name", NULL);
    jw_key(w, prefix);
    jw_object(w);
    jw_kstr(w, "id", json_get_str(row, id));
    if (names) {
        jw_kstr(w, "name", json_get_str(row, name));
        if (json_get_str(row, domain_id)) {
            jw_key(w, "domain");
            jw_object(w);
            jw_kstr(w, "id", json_get_str(row, domain_id));
            jw_kstr(w, "name", json_get_str(row, domain_name));
            jw_end_object(w);
        }
    }
    jw_end_object(w);
}

static void put_scope(JsonW *w, const json_t *row, bool inherited, bool names)
{
    jw_key(w, "scope");
    jw_object(w);
    if (json_get_str(row, "project_id")) {
        put_thing(w, row, "project", names);
    } else if (json_get_str(row, "domain_id")) {
        put_thing(w, row, "domain", names);
    } else {
        jw_key(w, "system");
        jw_object(w);
        jw_kbool(w, "all", true);
        jw_end_object(w);
    }
    if (inherited)
        jw_kstr(w, "OS-INHERIT:inherited_to", "projects");
    jw_end_object(w);
}

/* The address of the grant that the row comes from, which may be another's: the group's, the parent's, the prior role's. */
static void put_links(JsonW *w, const Call *c, const json_t *row, bool inherited)
{
    const char *via_group = json_get_str(row, "via_group"), *via_project = json_get_str(row, "via_project");
    const char *via_domain = json_get_str(row, "via_domain");
    const char *prior = json_get_str(row, "prior_role"), *user = json_get_str(row, "user_id"), *role = json_get_str(row, "role_id");
    const char *project = via_project ? via_project : via_domain ? NULL : json_get_str(row, "project_id");
    const char *domain = via_domain ? via_domain : project ? NULL : json_get_str(row, "domain_id");
    const char *actor = via_group ? via_group : user ? user : json_get_str(row, "group_id");
    g_autofree char *target = project ? g_strconcat("projects/", project, NULL) : domain ? g_strconcat("domains/", domain, NULL) : g_strdup("system");
    g_autofree char *path = g_strdup_printf("%s%s/%s/%s/roles/%s%s", inherited ? "OS-INHERIT/" : "", target, via_group || !user ? "groups" : "users",
                                            actor, prior ? prior : role, inherited ? "/inherited_to_projects" : "");
    g_autofree char *url = self_url(c->ctx, path);
    jw_key(w, "links");
    jw_object(w);
    jw_kstr(w, "assignment", url);
    if (via_group) {
        g_autofree char *m = g_strdup_printf("groups/%s/users/%s", via_group, user), *membership = self_url(c->ctx, m);
        jw_kstr(w, "membership", membership);
    }
    if (prior) {
        g_autofree char *p = g_strdup_printf("prior_role/%s/implies/%s", prior, role), *prior_url = self_url(c->ctx, p);
        jw_kstr(w, "prior_role", prior_url);
    }
    jw_end_object(w);
}

static void put_assignment(JsonW *w, const Call *c, const json_t *row, bool names)
{
    bool inherited = json_get_int(row, "inherited", 0) || json_get_str(row, "via_project") || json_get_str(row, "via_domain");
    jw_object(w);
    put_links(w, c, row, inherited);
    put_thing(w, row, "role", names);
    put_thing(w, row, json_get_str(row, "user_id") ? "user" : "group", names);
    put_scope(w, row, inherited, names);
    jw_end_object(w);
}

static bool check_filters(const Call *c, bool effective, GError **err)
{
    static const char *const exclusive[][2] = {
        { "scope.domain.id", "scope.project.id" }, { "scope.domain.id", "scope.system" }, { "scope.project.id", "scope.system" },
        { "user.id", "group.id" },
    };
    for (guint i = 0; i < G_N_ELEMENTS(exclusive); i++)
        if (call_query(c, exclusive[i][0]) && call_query(c, exclusive[i][1]))
            return nv_fail(err, NV_ERR_INVALID, "Specify %s or %s, not both", exclusive[i][0], exclusive[i][1]);
    if (effective && call_query(c, "group.id"))
        return nv_fail(err, NV_ERR_INVALID, "Combining effective and group filter will always result in an empty list.");
    if (effective && call_query(c, "scope.OS-INHERIT:inherited_to") && call_query(c, "scope.domain.id"))
        return nv_fail(err, NV_ERR_INVALID, "Combining effective, domain and inherited filters will always result in an empty list.");
    if (is_flag(c, "include_subtree") && !call_query(c, "scope.project.id"))
        return nv_fail(err, NV_ERR_INVALID, "scope.project.id must be specified if include_subtree is also specified");
    return true;
}

static bool is_wanted(const Call *c, const json_t *row)
{
    const char *inherit = call_query(c, "scope.OS-INHERIT:inherited_to");
    bool inherited = json_get_int(row, "inherited", 0) || json_get_str(row, "via_project") || json_get_str(row, "via_domain");
    /* A domain's reader sees what concerns his domain. */
    const char *own = c->ctx->admin || c->ctx->system ? NULL : c->ctx->domain_id, *domain = json_get_str(row, "domain_id");
    if (own && g_strcmp0(domain ? domain : json_get_str(row, "project_domain_id"), own) != 0)
        return false;
    return !inherit || inherited == (strcmp(inherit, "projects") == 0);
}

bool assignments_list(Call *c, GError **err)
{
    bool effective = is_flag(c, "effective"), names = is_flag(c, "include_names");
    size_t i;
    json_t *row;
    if (!check_filters(c, effective, err))
        return false;
    g_autoptr(json_t) rows = db_query(c->db, err, effective ? "assignments_effective" : "assignments_given", "sssssii", call_query(c, "user.id"),
                                      call_query(c, "group.id"), call_query(c, "role.id"), call_query(c, "scope.project.id"),
                                      call_query(c, "scope.domain.id"), (gint64) is_flag(c, "scope.system"), (gint64) is_flag(c, "include_subtree"));
    if (!rows)
        return false;
    JsonW w = list_begin(c, "role_assignments");
    json_array_foreach(rows, i, row)
        if (is_wanted(c, row))
            put_assignment(&w, c, row, names);
    return list_end(c, &w);
}
