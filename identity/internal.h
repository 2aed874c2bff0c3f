/* identity/internal.h -- what the files of identity/ share. */
#pragma once
#include "core/dialect.h"
#include "identity/identity.h"

/* --- rows ------------------------------------------------------------------------------------------------------------------ */
typedef struct Domain {
    Row row;
    char *id, *name, *description;
    bool enabled;
    json_t *options, *tags;
    gint64 created_at, updated_at;
} Domain;
typedef struct Project {
    Row row;
    char *id, *domain_id, *parent_id, *name, *description;
    bool enabled, is_domain;
    json_t *options, *tags;
    gint64 created_at, updated_at;
} Project;
typedef struct User {
    Row row;
    char *id, *domain_id, *name, *description, *email, *default_project_id, *password_hash;
    bool enabled;
    json_t *options, *password;
    gint64 password_at, password_expires_at, password_generation, created_at, updated_at;
} User;
typedef struct Role {
    Row row;
    char *id, *name, *domain_id, *description;
    json_t *options;
    gint64 created_at, updated_at;
} Role;
typedef struct Region {
    Row row;
    char *id, *description, *parent_region_id;
    gint64 created_at, updated_at;
} Region;
typedef struct Service {
    Row row;
    char *id, *type, *name, *description;
    bool enabled;
    gint64 created_at, updated_at;
} Service;
typedef struct Endpoint {
    Row row;
    char *id, *service_id, *region_id, *interface, *url, *name, *description;
    bool enabled;
    gint64 created_at, updated_at;
} Endpoint;
/* "links": {"self": base/identity/v3/<many>/<id>} of any row whose first field is its id. */
Render render_links;

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
/* The caller's own login; NULL: anonymous. */
const Login *login_of(const Ctx *ctx);
/* Writes {"token": {…}} */
bool token_render(Db *db, const Login *login, bool catalog, JsonW *w, GError **err);
/* Writes the array of services with their endpoints as project and user see them. */
bool catalog_render(Db *db, const char *project_id, const char *user_id, JsonW *w, GError **err);

/* --- policy (policy.c) ---------------------------------------------------------------------------------------------------------- */
bool ctx_has_role(const Ctx *ctx, const char *role);

/* --- handlers ------------------------------------------------------------------------------------------------------------------- */
Handler auth_token_create, auth_token_show, auth_token_revoke, auth_catalog, auth_projects, auth_domains, auth_system;
/* Fails with the one message that every failed login gets. */
bool auth_refuse(GError **err);
