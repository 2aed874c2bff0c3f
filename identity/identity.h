/* identity/identity.h -- who is asking, what may they do, how much may they have. */
#pragma once
#include "core/call.h"
#include "db/db.h"

extern const Route identity_routes[];
extern const Resource domain_resource, project_resource, user_resource, group_resource, role_resource, region_resource, service_resource,
    endpoint_resource, policy_resource, endpoint_group_resource, credential_resource, registered_limit_resource, project_limit_resource;

/* A validated token and what it stands for; owns the strings of a Ctx. */
typedef struct Login Login;
/* NV_ERR_UNAUTHORIZED for unknown, expired or revoked tokens and for whatever no longer holds (user disabled, role removed …).
 * Cached in memory under a generation number: a change of any identity row is seen by the next call. */
Login *identity_login(Db *db, const char *token, GError **err);
void identity_login_free(Login *login);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Login, identity_login_free)
/* Fills the identity part of ctx; borrowed from login. */
void identity_ctx(const Login *login, Ctx *ctx);
/* NV_ERR_UNAUTHORIZED when anonymous, NV_ERR_FORBIDDEN when known. */
bool identity_allows(const Ctx *ctx, Rule rule, GError **err);

/* A rule's name and what it means, for documents; NULL past the last. */
const char *identity_rule_name(Rule rule);
const char *identity_rule_help(Rule rule);
/* What the access rules of an application credential leave of the API; path with the service's prefix.  NV_ERR_UNAUTHORIZED, as
 * keystonemiddleware answers. */
bool identity_permits(const Ctx *ctx, const char *service_type, const char *method, const char *path, GError **err);

/* What a domain removes, in the transaction, when a project that owns nothing any more is deleted.  Registered before any thread starts. */
typedef bool ProjectGone(Db *db, const char *project_id, GError **err);
void identity_on_project_gone(ProjectGone *fn);

/* First start: domain default, projects admin and demo, users with generated passwords (written 0600 under paths.state as
 * admin-openrc, demo-openrc and clouds.yaml), roles admin, member, reader, region and catalog.  Does nothing on later starts. */
bool identity_bootstrap(Db *db, GError **err);

/* `nuvolet ctl user …`: words as typed (["user", "password", "admin"]) → text to print, which the caller frees. */
char *identity_order(Db *db, const json_t *words, GError **err);
/* Id of a project by id, name in the domain Default, or DOMAIN/NAME.  Caller frees. */
char *identity_project_find(Db *db, const char *word, GError **err);
/* A short-lived administrator's token for what the operator asked the service to do; the caller frees it after identity_operator_done. */
char *identity_operator_token(Db *db, GError **err);
void identity_operator_done(Db *db, const char *token);
bool identity_is_order(const char *noun);
const char *identity_order_help(guint i);      /* i-th line of the usage, or NULL */

/* Limits of a project, counted by SQL over the rows, inside the caller's transaction.  resource is a row of identity/quota.c ("instances",
 * "cores", "ram", "networks", …).  NV_ERR_QUOTA says the limit, what is used and what was asked. */
bool quota_check(Db *db, const char *project_id, const char *resource, gint64 add, GError **err);
/* The same, and within the user's own limit. */
bool quota_user_check(Db *db, const char *project_id, const char *user_id, const char *resource, gint64 add, GError **err);
/* How much of it may be added; G_MAXINT64 without a limit, and then nothing is counted.  user_id: within his own limit, too; or NULL. */
bool quota_left(Db *db, const char *project_id, const char *user_id, const char *resource, gint64 *ret_left, GError **err);
/* Limit (-1: none) and use of one resource. */
bool quota_get(Db *db, const char *project_id, const char *resource, gint64 *ret_limit, gint64 *ret_used, GError **err);
/* Limits as the quota APIs show and change them.  service: "compute", "network", "volume"; the writes need a transaction. */
const char *quota_resource(const char *service, guint i);      /* i-th limited resource of a service, or NULL */
gint64 quota_default(const char *resource);                    /* the configured limit */
bool quota_set(Db *db, const char *project_id, const char *resource, gint64 limit, GError **err);
bool quota_clear(Db *db, const char *project_id, const char *service, GError **err);
/* Limits of one user within a project's; those not set are the project's. */
bool quota_user_get(Db *db, const char *project_id, const char *user_id, const char *resource, gint64 *ret_limit, gint64 *ret_used, GError **err);
bool quota_user_set(Db *db, const char *project_id, const char *user_id, const char *resource, gint64 limit, GError **err);
/* user_id NULL: those of all users. */
bool quota_user_clear(Db *db, const char *project_id, const char *user_id, GError **err);
/* What the limits of users, but for one (or NULL), add up to. */
bool quota_user_sum(Db *db, const char *project_id, const char *resource, const char *but_user_id, gint64 *ret_sum, GError **err);
bool quota_class_get(Db *db, const char *name, const char *resource, gint64 *ret_limit, GError **err);
bool quota_class_set(Db *db, const char *name, const char *resource, gint64 limit, GError **err);
