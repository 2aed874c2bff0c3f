/* identity/people.c -- domains, projects, users and roles as tables. */
#include "identity/internal.h"
#include <string.h>

static const Range name_64 = { 1, 64 }, name_255 = { 1, 255 };

void render_links(const Row *row, const Ctx *ctx, JsonW *w)
{
    const char *id = *FIELD_PTR(row, &row->res->fields[0], char *);
    g_autofree char *self = g_strdup_printf("%s/identity/v3/%s/%s", ctx->base_url, row->res->many, id);
    jw_object(w);
    jw_kstr(w, "self", self);
    jw_end_object(w);
}

/* clang-format off */
static const Child domain_tags  = { .kind = CHILD_STRINGS, .table = "domain_tag",  .parent = "domain_id",  .value = "tag" };
static const Child project_tags = { .kind = CHILD_STRINGS, .table = "project_tag", .parent = "project_id", .value = "tag" };

static const Field domain_fields[] = {
    STR  (Domain, id,          "id",          FILTER|SORT),
    STR  (Domain, name,        "name",        CREATE|UPDATE|REQUIRED|FILTER|SORT, .check = check_text, .arg = &name_64),
    STR  (Domain, description, "description", CREATE|UPDATE, .dflt = "\"\""),
    BOOL (Domain, enabled,     "enabled",     CREATE|UPDATE|FILTER, .dflt = "true"),
    JSON (Domain, options,     "options",     CREATE|UPDATE, .check = check_object, .dflt = "{}"),
    CHILD(Domain, tags,        "tags",        CREATE|UPDATE|FILTER, &domain_tags, .check = check_tags, .dflt = "[]"),
    TIME (Domain, created_at,  "created_at",  HIDDEN),
    TIME (Domain, updated_at,  "updated_at",  HIDDEN),
    COMPUTED("links", render_links),
};

static const Field project_fields[] = {
    STR  (Project, id,          "id",          FILTER|SORT),
    STR  (Project, name,        "name",        CREATE|UPDATE|REQUIRED|FILTER|SORT, .check = check_text, .arg = &name_64),
    STR  (Project, domain_id,   "domain_id",   CREATE|FILTER|SORT),
    STR  (Project, parent_id,   "parent_id",   CREATE|FILTER|SORT),
    STR  (Project, description, "description", CREATE|UPDATE, .dflt = "\"\""),
    BOOL (Project, enabled,     "enabled",     CREATE|UPDATE|FILTER, .dflt = "true"),
    BOOL (Project, is_domain,   "is_domain",   FILTER),
    JSON (Project, options,     "options",     CREATE|UPDATE, .check = check_object, .dflt = "{}"),
    CHILD(Project, tags,        "tags",        CREATE|UPDATE|FILTER, &project_tags, .check = check_tags, .dflt = "[]"),
    TIME (Project, created_at,  "created_at",  HIDDEN),
    TIME (Project, updated_at,  "updated_at",  HIDDEN),
    COMPUTED("links", render_links),
};

static const Field user_fields[] = {
    STR  (User, id,                  "id",                  FILTER|SORT),
    STR  (User, name,                "name",                CREATE|UPDATE|REQUIRED|FILTER|SORT, .check = check_text, .arg = &name_255),
    STR  (User, domain_id,           "domain_id",           CREATE|FILTER|SORT),
    STR  (User, description,         "description",         CREATE|UPDATE|NULLABLE),
    STR  (User, email,               "email",               CREATE|UPDATE|NULLABLE, .check = check_text),
    STR  (User, default_project_id,  "default_project_id",  CREATE|UPDATE|NULLABLE|FILTER, .check = check_text),
    BOOL (User, enabled,             "enabled",             CREATE|UPDATE|FILTER, .dflt = "true"),
    JSON (User, options,             "options",             CREATE|UPDATE, .check = check_object, .dflt = "{}"),
    INPUT(User, password,            "password",            CREATE|UPDATE|NULLABLE),
    TIME (User, password_expires_at, "password_expires_at", NULLABLE|FILTER),
    STR  (User, password_hash,       "password_hash",       HIDDEN),
    TIME (User, password_at,         "password_at",         HIDDEN),
    INT  (User, password_generation, "password_generation", HIDDEN),
    TIME (User, created_at,          "created_at",          HIDDEN),
    TIME (User, updated_at,          "updated_at",          HIDDEN),
    COMPUTED("links", render_links),
};

static const Field role_fields[] = {
    STR  (Role, id,          "id",          FILTER|SORT),
    STR  (Role, name,        "name",        CREATE|UPDATE|REQUIRED|FILTER|SORT, .check = check_text, .arg = &name_255),
    STR  (Role, domain_id,   "domain_id",   CREATE|NULLABLE|FILTER),
    STR  (Role, description, "description", CREATE|UPDATE|NULLABLE),
    JSON (Role, options,     "options",     CREATE|UPDATE, .check = check_object, .dflt = "{}"),
    TIME (Role, created_at,  "created_at",  HIDDEN),
    TIME (Role, updated_at,  "updated_at",  HIDDEN),
    COMPUTED("links", render_links),
};
/* clang-format on */

const Resource domain_resource = {
    .one = "domain", .many = "domains", .table = "domain", .dialect = &dialect_keystone,
    .scope = SCOPE_NAMED, .visible = "visible_domain", .writable = "admins_only",
    .size = sizeof(Domain), FIELDS(domain_fields), .default_sort = "name",
};
const Resource project_resource = {
    .one = "project", .many = "projects", .table = "project", .dialect = &dialect_keystone,
    .scope = SCOPE_NAMED, .visible = "visible_project", .writable = "admins_only",
    .size = sizeof(Project), FIELDS(project_fields), .default_sort = "name",
};
const Resource user_resource = {
    .one = "user", .many = "users", .table = "user", .dialect = &dialect_keystone,
    .scope = SCOPE_NAMED, .visible = "visible_user", .writable = "admins_only",
    .size = sizeof(User), FIELDS(user_fields), .default_sort = "name",
};
const Resource role_resource = {
    .one = "role", .many = "roles", .table = "role", .dialect = &dialect_keystone,
    .scope = SCOPE_NAMED, .visible = "visible_role", .writable = "admins_only",
    .size = sizeof(Role), FIELDS(role_fields), .default_sort = "name",
};
