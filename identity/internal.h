/* identity/internal.h -- what the files of identity/ share. */
#pragma once
#include "core/dialect.h"
#include "identity/identity.h"

/* --- rows ------------------------------------------------------------------------------------------------------------------ */
typedef struct Domain {
    Row row;
    char *id, *name, *description;
    bool enabled;
    json_t *options, *tags, *extra;
    gint64 created_at, updated_at;
} Domain;
typedef struct Project {
    Row row;
    char *id, *domain_id, *parent_id, *name, *description;
    bool enabled, is_domain;
    json_t *options, *tags, *extra;
    gint64 created_at, updated_at;
} Project;
typedef struct User {
    Row row;
    char *id, *domain_id, *name, *description, *email, *default_project_id, *password_hash;
    bool enabled;
    json_t *options, *password, *extra;
    gint64 password_at, password_expires_at, password_generation, created_at, updated_at;
} User;
typedef struct Role {
    Row row;
    char *id, *name, *domain_id, *description;
    json_t *options, *extra;
    gint64 created_at, updated_at;
} Role;
typedef struct Region {
    Row row;
    char *id, *description, *parent_region_id;
    json_t *extra;
    gint64 created_at, updated_at;
} Region;
typedef struct Service {
    Row row;
    char *id, *type, *name, *description;
    bool enabled;
    json_t *extra;
    gint64 created_at, updated_at;
} Service;
typedef struct Endpoint {
    Row row;
    char *id, *service_id, *region_id, *interface, *url, *name, *description;
    bool enabled;
    json_t *extra;
    gint64 created_at, updated_at;
} Endpoint;
typedef struct Group {
    Row row;
    char *id, *domain_id, *name, *description;
    json_t *extra;
    gint64 created_at, updated_at;
} Group;
typedef struct Credential {
    Row row;
    char *id, *user_id, *project_id, *type, *blob;
    gint64 created_at, updated_at;
} Credential;
typedef struct Policy {
    Row row;
    char *id, *type, *blob;
    gint64 created_at, updated_at;
} Policy;
typedef struct RegisteredLimit {
    Row row;
    char *id, *service_id, *region_id, *resource_name, *description;
    gint64 default_limit, created_at, updated_at;
} RegisteredLimit;
typedef struct ProjectLimit {
    Row row;
    char *id, *project_id, *domain_id, *registered_limit_id, *service_id, *region_id, *resource_name, *description;
    gint64 resource_limit, created_at, updated_at;
} ProjectLimit;

/* --- what the resources share (common.c) ---------------------------------------------------------------------------------------- */
/* "links": {"self": base/identity/v3/<many>/<id>} of a row whose first field is its id; and, after it, the members of "extra". */
Render render_links;
/* base/identity/v3/ and path.  Caller frees. */
char *self_url(const Ctx *ctx, const char *path);
/* {"<many>": [ … ], "links": {…}} */
JsonW list_begin(Call *c, const char *many);
bool list_end(Call *c, JsonW *w);
bool reply_rows(Call *c, const Resource *res, const GPtrArray *rows);
bool reply_one(Call *c, int status, const Row *row);
/* All rows that a fragment of db/queries selects with :a1, whoever asks: the caller has checked that he may. */
GPtrArray *rows_by_fragment(Call *c, const Resource *res, const char *fragment, const char *arg, GError **err);
/* A query parameter that is there and not 0 or false. */
bool is_flag(const Call *c, const char *name);
/* One row made or changed with its hooks, in a transaction of its own or the caller's. */
Row *create_row(Call *c, const Resource *res, const json_t *body, GError **err);
Row *update_row(Call *c, const Resource *res, const char *id, const json_t *body, GError **err);
bool delete_row(Call *c, const Resource *res, const char *id, GError **err);
/* The same for the resource of the route. */
Handler identity_create, identity_update, identity_delete;
/* Puts the options just parsed over the old ones; null removes one; an unknown one is an error. */
typedef struct OptionName { const char *name; char type; } OptionName;
bool options_merge(Row *row, json_t **member, const json_t *old, const OptionName *known, GError **err);
bool check_mutable(const Row *row, const json_t *old_options, const json_t *new_options, GError **err);
/* Refuses tokens of trusts and of application credentials: they may not make themselves more than they are.  The second lets those of
 * unrestricted application credentials pass, which may make and delete others of their kind. */
bool check_primary(const Ctx *ctx, GError **err);
bool check_unrestricted(const Ctx *ctx, GError **err);
/* May write to (read) what belongs to the domain: administrators everywhere, (readers of the system,) the domain's own within it. */
bool check_domain_write(const Ctx *ctx, const char *domain_id, GError **err);
bool check_domain_read(const Ctx *ctx, const char *domain_id, GError **err);
/* Fills in the caller's domain where none is given, and checks that it exists. */
bool default_domain(Db *db, const Ctx *ctx, Row *row, char **member, GError **err);

/* --- guards --------------------------------------------------------------------------------------------------------------------- */
/* A domain's administrator has no power over those of the cloud and of other domains, or who hold a role on the system, nor over groups that
 * make them (group.c). */
bool check_not_above(Db *db, const Ctx *ctx, const char *user_id, const char *group_id, GError **err);
/* NV_ERR_CONFLICT saying what the project, or the projects of the domain, still have in the other services (owned.c). */
bool check_owns_nothing(Db *db, const char *project_id, const char *domain_id, GError **err);
/* Removes what only had a meaning with the project or the user. */
bool project_forget(Db *db, const char *project_id, GError **err);
bool user_forget(Db *db, const char *user_id, GError **err);      /* NV_ERR_CONFLICT while servers of the user are left */
bool domain_forget(Db *db, const char *domain_id, GError **err);
/* NV_ERR_RATE with Retry-After while the caller's address has failed too often (auth.c). */
bool check_backoff(Call *c, GError **err);

/* --- passwords (password.c) ---------------------------------------------------------------------------------------------------- */
enum { PASSWORD_MAX = 4096 };
/* Argon2id on one of two threads; blocks.  NV_ERR_UNAVAILABLE when too many wait already.  Caller frees. */
char *password_hash(const char *password, GError **err);
/* Compares; hash NULL costs the same and never matches.  False with err only when it could not be done. */
bool password_verify(const char *hash, const char *password, bool *ret_match, GError **err);
/* 24 random characters of [A-Za-z0-9].  Caller frees. */
char *password_new(void);

/* --- failed logins (backoff.c) -------------------------------------------------------------------------------------------------- */
/* False, with the seconds to wait, while the address has used up its failures. */
bool backoff_check(const char *address, int *ret_wait_s);
void backoff_failed(const char *address);

/* --- tokens (token.c) ----------------------------------------------------------------------------------------------------------- */
/* What a login asks for; strings are borrowed. */
typedef struct Grant {
    const char *user_id;
    const char *project_id, *domain_id;          /* at most one of these and system; none: unscoped */
    bool system;
    const json_t *methods;
    const char *parent_audit_id;                 /* audit chain of the token it was made from, or NULL */
    gint64 expires_at;                           /* upper bound, 0: none */
    const char *app_credential_id, *trust_id;
    const char *proved_id;                       /* whose password or token was shown, NULL: nobody's; no token once his generation has moved on */
    gint64 proved_generation;
} Grant;
/* Makes a token if the user may have it as asked.  NV_ERR_UNAUTHORIZED if not.  ret_token: its text, the caller frees. */
Login *token_issue(Db *db, const Grant *grant, char **ret_token, GError **err);
bool token_revoke(Db *db, const Login *login, GError **err);
/* Every cached login is evaluated anew from now on; inside a transaction: from its commit on. */
void identity_changed(void);

/* Facts of a login: a column of token_facts; NULL where it does not apply. */
const char *login_fact(const Login *login, const char *name);
gint64 login_time(const Login *login, const char *name);
/* Array of {"id", "name"}. */
const json_t *login_roles(const Login *login);
/* Access rules of the application credential, or NULL: no limits. */
const json_t *login_rules(const Login *login);
/* The caller's own login; NULL: anonymous. */
const Login *login_of(const Ctx *ctx);
/* The text {"token": {…}}, written at the first call and kept with the login; borrowed from it. */
const char *login_text(Db *db, const Login *login, bool catalog, GError **err);
/* Writes {"token": {…}} */
bool token_render(Db *db, const Login *login, bool catalog, JsonW *w, GError **err);
/* Writes the array of services with their endpoints as project and user see them. */
bool catalog_render(Db *db, const char *project_id, const char *user_id, JsonW *w, GError **err);

/* --- policy (policy.c) ---------------------------------------------------------------------------------------------------------- */
bool ctx_has_role(const Ctx *ctx, const char *role);
/* Patterns of access rules as keystonemiddleware reads them: "*" and "{name}" stand for one or more characters of a segment, "**" for anything. */
bool rule_path_matches(const char *pattern, const char *path);

/* A row of res from string members, "name", value, …, NULL, with defaults for the rest.  Returns its id, which the caller frees. */
char *seed_row(Db *db, const Resource *res, const char *id, GError **err, ...) G_GNUC_NULL_TERMINATED;
/* Adds what this version brings to the catalog, and moves what an earlier start put there to base.  ret_old: the address it had, if it moved. */
bool catalog_seed(Db *db, const char *base, char **ret_old, GError **err);
/* Where clients reach the cloud: api.public_url, or made from address and port; no slash at the end.  Caller frees. */
char *identity_public_url(void);

/* --- handlers ------------------------------------------------------------------------------------------------------------------- */
Handler auth_token_create, auth_token_show, auth_token_revoke, auth_catalog, auth_projects, auth_domains, auth_system;
Handler project_create, project_update, project_delete, project_list, project_show;
Handler tags_list, tags_replace, tags_clear, tag_show, tag_add, tag_remove;
Handler user_create, user_update, user_password, user_groups, user_projects;
Handler group_users, group_user_check, group_user_add, group_user_remove;
Handler role_list, implied_list, implied_show, implied_add, implied_remove, implied_all;
Handler grant_add, grant_remove, grant_check, grant_list, assignments_list;
Handler endpoint_create, endpoint_update, region_put, filter_add, filter_remove, filter_check, filter_list;
Handler app_credential_create, app_credential_list, app_credential_show, app_credential_delete;
Handler access_rule_list, access_rule_show, access_rule_delete;
Handler trust_create, trust_list, trust_show, trust_delete, trust_roles, trust_role_show;
Handler ec2_create, ec2_list, ec2_show, ec2_delete, limits_create, limits_model;
/* Fails with the one message that every failed login gets. */
bool auth_refuse(GError **err);
