/* identity/project.c -- projects: a tree within a domain, with tags. */
#include "identity/internal.h"
#include <string.h>

enum { DEPTH_MAX = 5 };
static const Range name_64 = { 1, 64 };
static const OptionName options[] = { { "immutable", 'b' }, { NULL, 0 } };

/* clang-format off */
static const Child tags = { .kind = CHILD_STRINGS, .table = "project_tag", .parent = "project_id", .value = "tag" };

static const Field fields[] = {
    STR  (Project, id,          "id",          FILTER|SORT),
    STR  (Project, name,        "name",        CREATE|UPDATE|REQUIRED|FILTER|SORT, .check = check_text, .arg = &name_64),
    STR  (Project, domain_id,   "domain_id",   CREATE|FILTER|SORT),
    STR  (Project, parent_id,   "parent_id",   CREATE|FILTER|SORT),
    STR  (Project, description, "description", CREATE|UPDATE, .dflt = "\"\""),
    BOOL (Project, enabled,     "enabled",     CREATE|UPDATE|FILTER, .dflt = "true"),
    BOOL (Project, is_domain,   "is_domain",   FILTER),
    JSON (Project, options,     "options",     CREATE|UPDATE, .check = check_object, .dflt = "{}"),
    CHILD(Project, tags,        "tags",        CREATE|UPDATE|FILTER, &tags, .check = check_tags, .dflt = "[]"),
    JSON (Project, extra,       "extra",       HIDDEN),
    TIME (Project, created_at,  "created_at",  HIDDEN),
    TIME (Project, updated_at,  "updated_at",  HIDDEN),
    COMPUTED("links", render_links),
};
/* clang-format on */

/* tags: all of them; tags-any: one of them; not-…: the opposite. */
static const Filter filters[] = {
    { "tags", NULL, "project_tags" }, { "tags-any", NULL, "project_tags_any" }, { "not-tags", NULL, "project_not_tags" },
    { "not-tags-any", NULL, "project_not_tags_any" }, { NULL },
};

/* The parent is a project, whose domain the child shares, or a domain. */
static bool place(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    Project *p = (Project *) row;
    gint64 depth;
    g_autoptr(Row) parent = row_knows(row, &p->parent_id) ? row_get(db, &project_resource, p->parent_id, NULL) : NULL;
    if (parent) {
        const Project *above = (const Project *) parent;
        if (!row_knows(row, &p->domain_id))
            row_set_str(row, &p->domain_id, above->domain_id);
        if (strcmp(above->domain_id, p->domain_id) != 0)
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'parent_id': the parent is in another domain");
        if (!above->enabled)
            return nv_fail(err, NV_ERR_FORBIDDEN, "Cannot create project in a branch containing a disabled project: %s", above->id);
        if (!db_query_int(db, err, &depth, "project_depth", "s", above->id))
            return false;
        return depth < DEPTH_MAX || nv_fail(err, NV_ERR_FORBIDDEN, "Max hierarchy depth reached for %s branch.", above->id);
    }
    if (!row_knows(row, &p->domain_id) && row_knows(row, &p->parent_id))
        row_set_str(row, &p->domain_id, p->parent_id);
    if (row_knows(row, &p->parent_id) && strcmp(p->parent_id, p->domain_id) != 0)
        return nv_fail(err, NV_ERR_NOT_FOUND, "Could not find project: %.64s.", p->parent_id);
    if (!default_domain(db, ctx, row, &p->domain_id, err))
        return false;
    row_set_str(row, &p->parent_id, p->domain_id);
    return true;
}

static bool before_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    Project *p = (Project *) row;
    return place(db, ctx, row, err) && check_domain_write(ctx, p->domain_id, err) && options_merge(row, &p->options, NULL, options, err);
}

static bool before_update(Db *db, const Ctx *ctx, Row *row, const Row *old, GError **err)
{
    Project *p = (Project *) row;
    const Project *was = (const Project *) old;
    gint64 others = 0;
    (void) ctx;
    if (!options_merge(row, &p->options, was->options, options, err) || !check_mutable(row, was->options, p->options, err))
        return false;
    if (p->enabled == was->enabled)
        return true;
    if (!db_query_int(db, err, &others, p->enabled ? "project_disabled_above" : "project_enabled_below", "s", p->id))
        return false;
    if (others)
        return nv_fail(err, NV_ERR_FORBIDDEN, p->enabled ? "Cannot enable project %s since it has disabled parents"
                                                         : "Cannot disable project %s since its subtree contains enabled projects.", p->id);
    return p->enabled || db_exec(db, err, "tokens_delete_project", "s", p->id);
}

static bool before_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    Project *p = (Project *) row;
    gint64 children;
    (void) ctx;
    if (!check_mutable(row, p->options, NULL, err) || !db_query_int(db, err, &children, "project_children", "s", p->id))
        return false;
    if (children)
        return nv_fail(err, NV_ERR_FORBIDDEN, "Cannot delete the project %s since it is not a leaf in the hierarchy.", p->id);
    return check_owns_nothing(db, p->id, NULL, err) && project_forget(db, p->id, err);
}

const Resource project_resource = {
    .one = "project", .many = "projects", .table = "project", .dialect = &dialect_keystone,
    .scope = SCOPE_NAMED, .visible = "visible_project", .writable = "in_own_domain",
    .size = sizeof(Project), FIELDS(fields), .label = "Project", .filters = filters, .default_sort = "name",
    .before_create = before_create, .before_update = before_update, .before_delete = before_delete,
};

/* A domain as GET /v3/projects?is_domain=true shows it. */
static void put_domain(const Domain *d, const Ctx *ctx, JsonW *w)
{
    g_autofree char *path = g_strconcat("projects/", d->id, NULL), *self = self_url(ctx, path);
    jw_object(w);
    jw_kstr(w, "id", d->id);
    jw_kstr(w, "name", d->name);
    jw_knull(w, "domain_id");
    jw_knull(w, "parent_id");
    jw_kstr(w, "description", d->description);
    jw_kbool(w, "enabled", d->enabled);
    jw_kbool(w, "is_domain", true);
    jw_kjson(w, "options", d->options);
    jw_kjson(w, "tags", d->tags);
    jw_key(w, "links");
    jw_object(w);
    jw_kstr(w, "self", self);
    jw_end_object(w);
    jw_end_object(w);
}

static bool reply_domain(Call *c, int status, const Row *row)
{
    JsonW w = call_begin(c, status);
    jw_object(&w);
    jw_key(&w, "project");
    put_domain((const Domain *) row, c->ctx, &w);
    jw_end_object(&w);
    return true;
}

/* POST with "is_domain": true makes a domain. */
bool project_create(Call *c, GError **err)
{
    const json_t *given = call_body_object(c, "project", err);
    const json_t *is_domain = json_object_get(given, "is_domain");
    if (!given)
        return false;
    if (is_domain && !json_is_boolean(is_domain))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'is_domain': it is not a boolean");
    g_autoptr(json_t) body = json_copy((json_t *) given);
    static const char *const maybe_null[] = { "domain_id", "parent_id", "description", "is_domain" };
    for (guint i = 0; i < G_N_ELEMENTS(maybe_null); i++)
        if (json_is_null(json_object_get(body, maybe_null[i])))
            json_object_del(body, maybe_null[i]);
    json_object_del(body, "is_domain");
    if (!json_is_true(is_domain)) {
        g_autoptr(Row) row = create_row(c, &project_resource, body, err);
        return row && reply_one(c, 201, row);
    }
    if (!c->ctx->admin)
        return nv_fail(err, NV_ERR_FORBIDDEN, "You are not authorized to perform the requested action: identity:create_domain.");
    if (json_object_get(body, "domain_id") || json_object_get(body, "parent_id"))
        return nv_fail(err, NV_ERR_INVALID, "A domain has neither a domain_id nor a parent_id.");
    g_autoptr(Row) row = create_row(c, &domain_resource, body, err);
    return row && reply_domain(c, 201, row);
}

static bool is_domain_id(Call *c)
{
    g_autoptr(Row) domain = c->ctx->admin ? row_get(c->db, &domain_resource, c->params[0], NULL) : NULL;
    return domain != NULL;
}

bool project_update(Call *c, GError **err)
{
    const json_t *body = call_body_object(c, "project", err);
    const Resource *res = is_domain_id(c) ? &domain_resource : &project_resource;
    g_autoptr(Row) row = body ? update_row(c, res, c->params[0], body, err) : NULL;
    if (!row)
        return false;
    return res == &domain_resource ? reply_domain(c, 200, row) : reply_one(c, 200, row);
}

bool project_delete(Call *c, GError **err)
{
    return delete_row(c, is_domain_id(c) ? &domain_resource : &project_resource, c->params[0], err) && call_reply_empty(c, 204);
}

static GPtrArray *relatives(Call *c, const char *id, const char *fragment, GError **err)
{
    GPtrArray *rows = rows_by_fragment(c, &project_resource, fragment, id, err);
    for (guint i = rows ? rows->len : 0; i > 0; i--) {
        const Project *p = rows->pdata[i - 1];
        g_autoptr(Row) seen = row_get_for(c->db, &project_resource, c->ctx, p->id, false, NULL);
        if (!seen)
            g_ptr_array_remove_index(rows, i - 1);
    }
    return rows;
}

static json_t *subtree_ids(const GPtrArray *rows, const char *parent)
{
    json_t *tree = NULL;
    for (guint i = 0; i < rows->len; i++) {
        const Project *p = rows->pdata[i];
        if (strcmp(p->parent_id, parent) != 0)
            continue;
        tree = tree ? tree : json_object();
        json_object_set_new(tree, p->id, subtree_ids(rows, p->id));
    }
    return tree ? tree : json_null();
}

static json_t *parent_ids(const GPtrArray *rows, const char *id)
{
    for (guint i = 0; i < rows->len; i++) {
        const Project *p = rows->pdata[i];
        if (strcmp(p->id, id) != 0)
            continue;
        json_t *above = json_object();
        json_object_set_new(above, p->id, parent_ids(rows, p->parent_id));
        return above;
    }
    return json_null();
}

static void put_projects(const Call *c, const GPtrArray *rows, JsonW *w)
{
    jw_array(w);
    for (guint i = 0; i < rows->len; i++) {
        jw_object(w);
        jw_key(w, "project");
        row_render(rows->pdata[i], c->ctx, w, false);
        jw_end_object(w);
    }
    jw_end_array(w);
}

bool project_show(Call *c, GError **err)
{
    const char *id = c->params[0];
    bool up_list = is_flag(c, "parents_as_list"), up_ids = call_query(c, "parents_as_ids") != NULL;
    bool down_list = is_flag(c, "subtree_as_list"), down_ids = call_query(c, "subtree_as_ids") != NULL;
    g_autoptr(Row) domain = c->ctx->admin ? row_get(c->db, &domain_resource, id, NULL) : NULL;
    if (domain)
        return reply_domain(c, 200, domain);
    if ((up_list && up_ids) || (down_list && down_ids))
        return nv_fail(err, NV_ERR_INVALID, "Use either the ids or the list of a project's parents or subtree, not both");
    g_autoptr(Row) row = row_get_for(c->db, &project_resource, c->ctx, id, false, err);
    g_autoptr(GPtrArray) up = row ? relatives(c, id, "projects_above", err) : NULL, down = up ? relatives(c, id, "projects_below", err) : NULL;
    if (!down)
        return false;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "project");
    jw_object(&w);
    row_render_members(row, c->ctx, &w, false);
    if (up_list || up_ids)
        jw_key(&w, "parents");
    if (up_list)
        put_projects(c, up, &w);
    if (up_ids) {
        g_autoptr(json_t) ids = parent_ids(up, ((Project *) row)->parent_id);
        jw_json(&w, ids);
    }
    if (down_list || down_ids)
        jw_key(&w, "subtree");
    if (down_list)
        put_projects(c, down, &w);
    if (down_ids) {
        g_autoptr(json_t) ids = subtree_ids(down, id);
        jw_json(&w, ids);
    }
    jw_end_object(&w);
    jw_end_object(&w);
    return true;
}

static bool list_domains_as_projects(Call *c, GError **err)
{
    const char *name = call_query(c, "name");
    const ListFilter filter = { .json = "name", .op = OP_EQ, .values = &name, .n = 1 };
    const ListQuery q = { .filters = &filter, .n_filters = name ? 1 : 0, .limit = 10000 };
    bool more;
    g_autoptr(GPtrArray) rows = rows_list(c->db, &domain_resource, c->ctx, &q, &more, err);
    if (!rows)
        return false;
    JsonW w = list_begin(c, "projects");
    for (guint i = 0; i < rows->len; i++)
        put_domain(rows->pdata[i], c->ctx, &w);
    return list_end(c, &w);
}

bool project_list(Call *c, GError **err)
{
    return is_flag(c, "is_domain") ? list_domains_as_projects(c, err) : resource_list(c, NULL, err);
}
