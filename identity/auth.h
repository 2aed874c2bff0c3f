/* identity/auth.h -- one attempt to log in: what the body gave, and what each method established. */
#pragma once
#include "identity/internal.h"

typedef struct Attempt {
    Call *c;
    const json_t *identity;          /* auth.identity of the body */
    const json_t *scope;             /* auth.scope, or NULL */
    /* established by the methods */
    char *user_id;
    char *proved_id;                 /* the user whose password or token was shown, and */
    gint64 proved_generation;        /* the password_generation it was good for */
    json_t *methods;                 /* those that succeeded, and those of the token given */
    gint64 expires_at;               /* upper bound for the new token, 0: none */
    char *parent_audit_id, *app_credential_id, *trust_id;
    char *bound_project_id;          /* the only scope allowed (application credential, trust) */
    bool explicit_unscoped, must_change_password;
    /* from the scope */
    char *project_id, *domain_id;
    bool system;
} Attempt;

/* Each authenticates by its part of the body, sets user_id by attempt_user and what else it established. */
typedef bool AuthMethod(Attempt *a, const json_t *given, GError **err);
AuthMethod auth_by_password, auth_by_token, auth_by_app_credential, auth_by_totp;
/* The code of a time step (RFC 6238); false: the secret is not base32. */
enum { TOTP_CODE = 12 };
bool totp_code(const char *secret, gint64 step, char ret_code[TOTP_CODE]);

/* All methods of one attempt must mean the same user.  generation: his password_generation when the proof was read, -1: the proof does
 * not depend on it.  A token is only made while it still holds: a password that is changed meanwhile makes none. */
bool attempt_user(Attempt *a, const char *user_id, gint64 generation, GError **err);
/* An unsuccessful guess: counts against the address and fails. */
bool attempt_wrong(Attempt *a, GError **err);
/* "user" of a method's part ({"id"} or {"name", "domain"}) → one row of login_user, or null for unknown. NULL only with err. */
json_t *attempt_find_user(Attempt *a, const json_t *user, const char *where, GError **err);
/* Reads auth.scope into the attempt. */
bool scope_parse(Attempt *a, GError **err);
/* The trust named in auth.scope: whose roles, on which project, under whose name. */
bool scope_trust(Attempt *a, const json_t *trust, GError **err);
/* What an earlier request of the same login has shown (mfa.c), from its receipt, if the request carries one. */
bool receipt_take(Attempt *a, GError **err);
/* Do the methods satisfy none of the user's multi-factor rules?  ret_user, ret_rules: new references, for the receipt. */
bool mfa_lacks(Attempt *a, bool *ret_lacks, json_t **ret_user, json_t **ret_rules, GError **err);
/* 401 with a receipt for what was shown so far.  Always true. */
bool receipt_reply(Attempt *a, const json_t *user, const json_t *rules);
/* Object member; absent: NULL.  Of another type: NULL with err. */
json_t *auth_object(const json_t *in, const char *key, const char *where, GError **err);
/* String member; absent: NULL.  Of another type: err is set. */
const char *auth_string(const json_t *in, const char *key, const char *where, GError **err);
