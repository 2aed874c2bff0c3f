/* identity/user.c -- users: made, changed and deleted; their own password; their groups and projects. */
#include "core/clock.h"
#include "core/conf.h"
#include "identity/internal.h"
#include <string.h>

static const Range name_255 = { 1, 255 };
static const OptionName options[] = {
    { "ignore_change_password_upon_first_use", 'b' }, { "ignore_password_expiry", 'b' }, { "ignore_lockout_failure_attempts", 'b' },
    { "ignore_user_inactivity", 'b' }, { "lock_password", 'b' }, { "multi_factor_auth_enabled", 'b' }, { "multi_factor_auth_rules", 'r' },
    { NULL, 0 },
};

/* clang-format off */
static const Field fields[] = {
    STR  (User, id,                  "id",                  FILTER|SORT),
    STR  (User, name,                "name",                CREATE|UPDATE|REQUIRED|FILTER|SORT, .check = check_text, .arg = &name_255),
    STR  (User, domain_id,           "domain_id",           CREATE|FILTER|SORT),
    STR  (User, description,         "description",         CREATE|UPDATE|NULLABLE),
    STR  (User, email,               "email",               CREATE|UPDATE|NULLABLE, .check = check_text),
    STR  (User, default_project_id,  "default_project_id",  CREATE|UPDATE|NULLABLE|FILTER, .check = check_text),
    BOOL (User, enabled,             "enabled",             CREATE|UPDATE|FILTER, .dflt = "true"),
    JSON (User, options,             "options",             CREATE|UPDATE, .check = check_object, .dflt = "{}"),
    INPUT(User, password,            "password",            CREATE|UPDATE|NULLABLE),
    TIME (User, password_expires_at, "password_expires_at", NULLABLE),
    STR  (User, password_hash,       "password_hash",       HIDDEN),
    TIME (User, password_at,         "password_at",         HIDDEN),
    INT  (User, password_generation, "password_generation", HIDDEN),
    JSON (User, extra,               "extra",               HIDDEN),
    TIME (User, created_at,          "created_at",          HIDDEN),
    TIME (User, updated_at,          "updated_at",          HIDDEN),
    COMPUTED("links", render_links),
};
/* clang-format on */

/* The handlers below put the finished hash where the caller had the password: hashing takes too long for a transaction. */
static void take_password(User *u)
{
    gint64 days = conf_int("identity.password_expires_days"), now = clock_wall_us();
    const char *hash = json_string_value(u->password);
    if (!row_knows(&u->row, &u->password))
        return;
    ROW_SET_STR(u, password_hash, hash);
    ROW_SET_INT(u, password_at, now);
    if (hash && days && !json_get_bool(u->options, "ignore_password_expiry", false))
        ROW_SET_INT(u, password_expires_at, now + days * 86400 * G_USEC_PER_SEC);
    else
        ROW_SET_NULL(u, password_expires_at);
}

static bool before_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    User *u = (User *) row;
    if (!default_domain(db, ctx, row, &u->domain_id, err) || !check_domain_write(ctx, u->domain_id, err)
        || !options_merge(row, &u->options, NULL, options, err))
        return false;
    take_password(u);
    return true;
}

static bool before_update(Db *db, const Ctx *ctx, Row *row, const Row *old, GError **err)
{
    User *u = (User *) row;
    const User *was = (const User *) old;
    if (!check_not_above(db, ctx, u->id, NULL, err) || !options_merge(row, &u->options, was->options, options, err))
        return false;
    bool password = row_knows(row, &u->password);
    if (password && was->password_hash && !db_exec(db, err, "password_history_insert", "ss", u->id, was->password_hash))
        return false;
    take_password(u);
    if (password || (was->enabled && !u->enabled)) {
        ROW_SET_INT(u, password_generation, was->password_generation + 1);
        return db_exec(db, err, "tokens_delete_user", "s", u->id);
    }
    return true;
}

static bool before_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    const User *u = (const User *) row;
    return check_not_above(db, ctx, u->id, NULL, err) && user_forget(db, u->id, err);
}

const Resource user_resource = {
    .one = "user", .many = "users", .table = "user", .dialect = &dialect_keystone,
    .scope = SCOPE_NAMED, .visible = "visible_user", .writable = "in_own_domain",
    .size = sizeof(User), FIELDS(fields), .label = "User", .default_sort = "name",
    .before_create = before_create, .before_update = before_update, .before_delete = before_delete,
};

static void user_free(User *u)
{
    row_free((Row *) u);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(User, user_free)

/* A copy of the body with the password's hash in its place. */
static json_t *hashed_body(const json_t *given, GError **err)
{
    const json_t *password = json_object_get(given, "password");
    g_autoptr(json_t) body = json_copy((json_t *) given);
    if (!password || json_is_null(password))
        return g_steal_pointer(&body);
    if (!json_is_string(password) || strlen(json_string_value(password)) < (gsize) conf_int("identity.password_min_length"))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'password': it must be a string of at least %d characters",
                       (int) conf_int("identity.password_min_length")), NULL;
    g_autofree char *hash = password_hash(json_string_value(password), err);
    if (!hash)
        return NULL;
    json_object_set_new(body, "password", json_string(hash));
    return g_steal_pointer(&body);
}

bool user_create(Call *c, GError **err)
{
    const json_t *given = call_body_object(c, "user", err);
    g_autoptr(json_t) body = given ? hashed_body(given, err) : NULL;
    g_autoptr(Row) row = body ? create_row(c, &user_resource, body, err) : NULL;
    return row && reply_one(c, 201, row);
}

bool user_update(Call *c, GError **err)
{
    const json_t *given = call_body_object(c, "user", err);
    g_autoptr(json_t) body = given ? hashed_body(given, err) : NULL;
    g_autoptr(Row) row = body ? update_row(c, &user_resource, c->params[0], body, err) : NULL;
    return row && reply_one(c, 200, row);
}

/* A new password may not be one of the last ones. */
static bool check_history(Call *c, const User *u, const char *password, GError **err)
{
    gint64 n = conf_int("identity.password_history");
    size_t i;
    json_t *old;
    bool match = false;
    if (n == 0)
        return true;
    if (!password_verify(u->password_hash, password, &match, err))
        return false;
    g_autoptr(json_t) rows = match ? json_array() : db_query(c->db, err, "password_history_last", "si", u->id, n - 1);
    if (!rows)
        return false;
    json_array_foreach(rows, i, old)
        if (!match && !password_verify(json_get_str(old, "hash"), password, &match, err))
            return false;
    return !match || nv_fail(err, NV_ERR_INVALID, "The new password cannot be identical to a previous password: the last %d must differ.",
                             (int) n);
}

static bool check_own_change(Call *c, const User *u, const char *password, GError **err)
{
    gint64 age = conf_int("identity.password_min_age_s");
    if (json_get_bool(u->options, "lock_password", false))
        return nv_fail(err, NV_ERR_INVALID, "Password changes are locked for this user.");
    if (age && u->password_at + age * G_USEC_PER_SEC > clock_wall_us())
        return nv_fail(err, NV_ERR_INVALID, "The password was changed a short while ago; it cannot be changed again yet.");
    return check_history(c, u, password, err);
}

/* POST /v3/users/{id}/password: whoever knows the present password may set another, even when it has expired. */
bool user_password(Call *c, GError **err)
{
    const json_t *given = call_body_object(c, "user", err);
    const char *old = json_get_str(given, "original_password"), *password = json_get_str(given, "password");
    bool match;
    if (!given)
        return false;
    if (!old || !password)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'user': original_password and password must be given");
    if (!check_backoff(c, err))
        return false;
    g_autoptr(User) u = (User *) row_get(c->db, &user_resource, c->params[0], NULL);
    g_autoptr(json_t) rows = db_query(c->db, err, "login_user", "ssss", c->params[0], NULL, NULL, NULL);
    bool enabled = u && json_get_int(json_array_get(rows, 0), "enabled", 0);          /* and his domain */
    if (!rows || !password_verify(enabled ? u->password_hash : NULL, old, &match, err))
        return false;
    if (!match) {
        backoff_failed(c->client);
        return auth_refuse(err);
    }
    if (strcmp(old, password) == 0 && conf_int("identity.password_history") > 0)
        return nv_fail(err, NV_ERR_INVALID, "The new password cannot be identical to a previous password.");
    const Ctx system = { .base_url = c->ctx->base_url, .roles = c->ctx->roles, .admin = true };
    Call as_system = *c;
    as_system.ctx = &system;
    g_autoptr(json_t) plain = json_make("s", "password", password), body = NULL;
    if (!check_own_change(c, u, password, err) || !(body = hashed_body(plain, err)))
        return false;
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(User) now = txn.db ? (User *) row_get(c->db, &user_resource, u->id, err) : NULL;
    if (!now)
        return false;
    if (now->password_generation != u->password_generation)         /* reset or disabled while this one was being hashed */
        return auth_refuse(err);
    g_autoptr(Row) row = update_row(&as_system, &user_resource, u->id, body, err);
    return row && txn_commit(&txn, err) && call_reply_empty(c, 204);
}

/* The user himself, and whoever may read his domain's users. */
static bool check_self_or_reader(Call *c, GError **err)
{
    if (strcmp(c->params[0], c->ctx->user_id) == 0)
        return true;
    g_autoptr(User) u = (User *) row_get_for(c->db, &user_resource, c->ctx, c->params[0], false, NULL);
    return check_domain_read(c->ctx, u ? u->domain_id : NULL, err)
        && (u || nv_fail(err, NV_ERR_NOT_FOUND, "Could not find user: %.64s.", c->params[0]));
}

bool user_groups(Call *c, GError **err)
{
    g_autoptr(GPtrArray) rows = check_self_or_reader(c, err) ? rows_by_fragment(c, &group_resource, "groups_of_user", c->params[0], err) : NULL;
    const char *name = call_query(c, "name");
    for (guint i = rows && name ? rows->len : 0; i > 0; i--)
        if (strcmp(((Group *) rows->pdata[i - 1])->name, name) != 0)
            g_ptr_array_remove_index(rows, i - 1);
    return rows && reply_rows(c, &group_resource, rows);
}

bool user_projects(Call *c, GError **err)
{
    g_autoptr(GPtrArray) rows = check_self_or_reader(c, err) ? rows_by_fragment(c, &project_resource, "projects_of_user", c->params[0], err) : NULL;
    return rows && reply_rows(c, &project_resource, rows);
}

/* Scopes that the caller's own user could ask a token for. */
bool auth_projects(Call *c, GError **err)
{
    g_autoptr(GPtrArray) rows = check_primary(c->ctx, NULL) ? rows_by_fragment(c, &project_resource, "projects_of_user", c->ctx->user_id, err)
                                                            : rows_by_fragment(c, &project_resource, "project_itself", c->ctx->project_id, err);
    for (guint i = rows ? rows->len : 0; i > 0; i--)
        if (!((Project *) rows->pdata[i - 1])->enabled)
            g_ptr_array_remove_index(rows, i - 1);
    return rows && reply_rows(c, &project_resource, rows);
}

bool auth_domains(Call *c, GError **err)
{
    g_autoptr(GPtrArray) rows = rows_by_fragment(c, &domain_resource, "domains_of_user", c->ctx->user_id, err);
    for (guint i = rows ? rows->len : 0; i > 0; i--)
        if (!((Domain *) rows->pdata[i - 1])->enabled)
            g_ptr_array_remove_index(rows, i - 1);
    return rows && reply_rows(c, &domain_resource, rows);
}

bool auth_system(Call *c, GError **err)
{
    g_autoptr(json_t) roles = db_query(c->db, err, "effective_roles", "sss", c->ctx->user_id, NULL, NULL);
    if (!roles)
        return false;
    JsonW w = list_begin(c, "system");
    if (json_array_size(roles)) {
        jw_object(&w);
        jw_kbool(&w, "all", true);
        jw_end_object(&w);
    }
    return list_end(c, &w);
}
