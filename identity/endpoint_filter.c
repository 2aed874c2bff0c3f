/* identity/endpoint_filter.c -- OS-EP-FILTER: a project's catalog cut down to endpoints, or groups of endpoints, chosen for it. */
#include "identity/internal.h"
#include <string.h>

static const Range name_255 = { 1, 255 };

typedef struct EndpointGroup {
    Row row;
    char *id, *name, *description;
    json_t *filters;
    gint64 created_at, updated_at;
} EndpointGroup;

static void render_self(const Row *row, const Ctx *ctx, JsonW *w)
{
    g_autofree char *path = g_strconcat("OS-EP-FILTER/endpoint_groups/", ((const EndpointGroup *) row)->id, NULL), *self = self_url(ctx, path);
    jw_object(w);
    jw_kstr(w, "self", self);
    jw_end_object(w);
}

static bool check_filters(const Field *f, const json_t *v, GError **err)
{
    static const char *const known[] = { "service_id", "region_id", "interface", NULL };
    const char *key;
    json_t *value;
    if (!json_is_object(v))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field '%s': it is not an object", f->json);
    json_object_foreach((json_t *) v, key, value)
        if (!g_strv_contains(known, key) || !json_is_string(value))
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for field '%s': service_id, region_id and interface choose endpoints, not '%.64s'",
                           f->json, key);
    return true;
}

/* clang-format off */
static const Field fields[] = {
    STR (EndpointGroup, id,          "id",          FILTER|SORT),
    STR (EndpointGroup, name,        "name",        CREATE|UPDATE|REQUIRED|FILTER|SORT, .check = check_text, .arg = &name_255),
    STR (EndpointGroup, description, "description", CREATE|UPDATE|NULLABLE),
    JSON(EndpointGroup, filters,     "filters",     CREATE|UPDATE|REQUIRED, .check = check_filters),
    TIME(EndpointGroup, created_at,  "created_at",  HIDDEN),
    TIME(EndpointGroup, updated_at,  "updated_at",  HIDDEN),
    COMPUTED("links", render_self),
};
/* clang-format on */

const Resource endpoint_group_resource = {
    .one = "endpoint_group", .many = "endpoint_groups", .table = "endpoint_group", .dialect = &dialect_keystone, .scope = SCOPE_PUBLIC,
    .size = sizeof(EndpointGroup), FIELDS(fields), .label = "Endpoint Group", .default_sort = "name",
};

/* What a path relates: an endpoint or a group of them to a project. */
typedef struct Relation {
    const Resource *thing;
    const char *thing_id, *project_id;
    const char *insert, *remove, *exists;
} Relation;

static Relation relation_of(const Call *c)
{
    if (strstr(c->route->path, "/endpoint_groups/{"))
        return (Relation){ &endpoint_group_resource, c->params[0], c->params[1],
                           "filter_group_insert", "filter_group_delete", "filter_group_exists" };
    return (Relation){ &endpoint_resource, c->params[1], c->params[0], "filter_endpoint_insert", "filter_endpoint_delete", "filter_endpoint_exists" };
}

static bool ends_exist(Call *c, const Relation *r, GError **err)
{
    g_autoptr(Row) project = row_get(c->db, &project_resource, r->project_id, err);
    g_autoptr(Row) thing = project ? row_get(c->db, r->thing, r->thing_id, err) : NULL;
    return thing != NULL;
}

bool filter_add(Call *c, GError **err)
{
    Relation r = relation_of(c);
    g_auto(Txn) txn = txn_begin(c->db, err);
    if (!txn.db || !ends_exist(c, &r, err) || !db_exec(c->db, err, r.insert, "ss", r.thing_id, r.project_id))
        return false;
    identity_changed();                          /* the catalog is shown with tokens */
    return txn_commit(&txn, err)
        && call_reply_empty(c, 204);
}

static bool not_there(const Relation *r, GError **err)
{
    return nv_fail(err, NV_ERR_NOT_FOUND, "The %s %.64s is not associated with the project %.64s.", r->thing->one, r->thing_id, r->project_id);
}

bool filter_remove(Call *c, GError **err)
{
    Relation r = relation_of(c);
    g_auto(Txn) txn = txn_begin(c->db, err);
    if (!txn.db || !ends_exist(c, &r, err) || !db_exec(c->db, err, r.remove, "ss", r.thing_id, r.project_id))
        return false;
    identity_changed();
    return (db_changes(c->db) || not_there(&r, err)) && txn_commit(&txn, err) && call_reply_empty(c, 204);
}

bool filter_check(Call *c, GError **err)
{
    Relation r = relation_of(c);
    gint64 there;
    if (!ends_exist(c, &r, err) || !db_query_int(c->db, err, &there, r.exists, "ss", r.thing_id, r.project_id))
        return false;
    return there ? call_reply_empty(c, 204) : not_there(&r, err);
}

/* The lists beside them: which fragment of db/queries selects what. */
bool filter_list(Call *c, GError **err)
{
    static const struct { const char *path; const Resource *of, *list; const char *fragment; } lists[] = {
        { "/v3/OS-EP-FILTER/endpoint_groups/{group}/projects",   &endpoint_group_resource, &project_resource,        "projects_of_endpoint_group" },
        { "/v3/OS-EP-FILTER/endpoint_groups/{group}/endpoints",  &endpoint_group_resource, &endpoint_resource,       "endpoints_of_group" },
        { "/v3/OS-EP-FILTER/projects/{project}/endpoint_groups", &project_resource,        &endpoint_group_resource, "endpoint_groups_of_project" },
        { "/v3/OS-EP-FILTER/projects/{project}/endpoints",       &project_resource,        &endpoint_resource,       "endpoints_of_project" },
        { "/v3/OS-EP-FILTER/endpoints/{endpoint}/projects",      &endpoint_resource,       &project_resource,        "projects_of_endpoint" },
    };
    for (guint i = 0; i < G_N_ELEMENTS(lists); i++) {
        if (strcmp(lists[i].path, c->route->path) != 0)
            continue;
        g_autoptr(Row) of = row_get(c->db, lists[i].of, c->params[0], err);
        g_autoptr(GPtrArray) rows = of ? rows_by_fragment(c, lists[i].list, lists[i].fragment, c->params[0], err) : NULL;
        return rows && reply_rows(c, lists[i].list, rows);
    }
    g_assert_not_reached();
}
