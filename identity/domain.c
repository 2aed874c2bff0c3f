/* identity/domain.c -- domains: the top of the tree; deleting one takes its users, groups, projects and roles with it. */
#include "identity/internal.h"
#include <string.h>

static const Range name_64 = { 1, 64 };
static const OptionName options[] = { { "immutable", 'b' }, { NULL, 0 } };

/* clang-format off */
static const Child tags = { .kind = CHILD_STRINGS, .table = "domain_tag", .parent = "domain_id", .value = "tag" };

static const Field fields[] = {
    STR  (Domain, id,          "id",          FILTER|SORT),
    STR  (Domain, name,        "name",        CREATE|UPDATE|REQUIRED|FILTER|SORT, .check = check_text, .arg = &name_64),
    STR  (Domain, description, "description", CREATE|UPDATE, .dflt = "\"\""),
    BOOL (Domain, enabled,     "enabled",     CREATE|UPDATE|FILTER, .dflt = "true"),
    JSON (Domain, options,     "options",     CREATE|UPDATE, .check = check_object, .dflt = "{}"),
    CHILD(Domain, tags,        "tags",        CREATE|UPDATE|FILTER, &tags, .check = check_tags, .dflt = "[]"),
    JSON (Domain, extra,       "extra",       HIDDEN),
    TIME (Domain, created_at,  "created_at",  HIDDEN),
    TIME (Domain, updated_at,  "updated_at",  HIDDEN),
    COMPUTED("links", render_links),
};
/* clang-format on */

static bool before_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    (void) db;
    (void) ctx;
    Domain *d = (Domain *) row;
    return options_merge(row, &d->options, NULL, options, err);
}

static bool before_update(Db *db, const Ctx *ctx, Row *row, const Row *old, GError **err)
{
    (void) ctx;
    Domain *d = (Domain *) row;
    const Domain *was = (const Domain *) old;
    if (!options_merge(row, &d->options, was->options, options, err) || !check_mutable(row, was->options, d->options, err))
        return false;
    return !was->enabled || d->enabled || db_exec(db, err, "tokens_delete_domain", "s", d->id);
}

static bool before_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    static const char *const purge[] = { "domain_purge_users", "domain_purge_groups", "domain_purge_projects", "domain_purge_roles" };
    Domain *d = (Domain *) row;
    (void) ctx;
    if (!check_mutable(row, d->options, NULL, err))
        return false;
    if (strcmp(d->id, "default") == 0)
        return nv_fail(err, NV_ERR_FORBIDDEN, "The default domain cannot be deleted.");
    if (d->enabled)
        return nv_fail(err, NV_ERR_FORBIDDEN, "Cannot delete a domain that is enabled, please disable it first.");
    if (!check_owns_nothing(db, NULL, d->id, err) || !domain_forget(db, d->id, err))
        return false;
    for (guint i = 0; i < G_N_ELEMENTS(purge); i++)
        if (!db_exec(db, err, purge[i], "s", d->id))
            return false;
    return true;
}

const Resource domain_resource = {
    .one = "domain", .many = "domains", .table = "domain", .dialect = &dialect_keystone,
    .scope = SCOPE_NAMED, .visible = "visible_domain", .writable = "admins_only",
    .size = sizeof(Domain), FIELDS(fields), .label = "Domain", .default_sort = "name",
    .before_create = before_create, .before_update = before_update, .before_delete = before_delete,
};
