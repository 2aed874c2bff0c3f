/* identity/auth_delegated.c -- logins that are less than the user himself: application credentials and trusts; and one-time codes. */
#include "core/clock.h"
#include "identity/auth.h"
#include <string.h>

enum { TOTP_PERIOD_S = 30, TOTP_DIGITS = 6, TOTP_SECRET_MAX = 128 };

static void bound(Attempt *a, gint64 expires)
{
    if (expires && (!a->expires_at || expires < a->expires_at))
        a->expires_at = expires;
}

/* {"id"} or {"name", "user"}, and "secret". */
bool auth_by_app_credential(Attempt *a, const json_t *given, GError **err)
{
    static const char where[] = "auth/identity/application_credential";
    const char *id = json_get_str(given, "id"), *name = json_get_str(given, "name"), *secret = json_get_str(given, "secret");
    const json_t *user = json_object_get(given, "user");
    if (!secret || (!id && !(name && json_is_object(user))))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field '%s': a secret, and an id or a name with its user, must be given", where);
    g_autoptr(json_t) owner = id ? json_null() : attempt_find_user(a, user, where, err);
    if (!owner)
        return false;
    g_autoptr(json_t) rows = db_query(a->c->db, err, "login_app_credential", "sss", id, json_get_str(owner, "id"), name);
    const json_t *row = json_array_get(rows, 0);
    bool match;
    if (!rows || !password_verify(row ? json_get_str(row, "secret_hash") : NULL, secret, &match, err))
        return false;
    if (!match)
        return attempt_wrong(a, err);
    if (!attempt_user(a, json_get_str(row, "user_id"), -1, err))
        return false;
    a->app_credential_id = g_strdup(json_get_str(row, "id"));
    a->bound_project_id = g_strdup(json_get_str(row, "project_id"));
    bound(a, json_get_int(row, "expires_at", 0));
    return true;
}

/* RFC 4648 base32, padding and case ignored; -1: not that. */
static gssize base32_decode(const char *text, guint8 *out, gsize max)
{
    guint bits = 0, value = 0;
    gsize n = 0;
    for (; *text && *text != '='; text++) {
        char ch = g_ascii_toupper(*text);
        int v = ch >= 'A' && ch <= 'Z' ? ch - 'A' : ch >= '2' && ch <= '7' ? ch - '2' + 26 : -1;
        if (v < 0 || n >= max)
            return -1;
        value = (value << 5 | (guint) v) & 0xfff;
        bits += 5;
        if (bits >= 8) {
            bits -= 8;
            out[n++] = (guint8) (value >> bits);
        }
    }
    return (gssize) n;
}

/* RFC 6238 with SHA-1, thirty seconds and six digits: what authenticator apps do. */
bool totp_code(const char *secret, gint64 step, char ret_code[TOTP_CODE])
{
    guint8 key[TOTP_SECRET_MAX], mac[20], message[8];
    gsize size = sizeof mac;
    gssize n = base32_decode(secret, key, sizeof key);
    if (n <= 0)
        return false;
    for (int i = 0; i < 8; i++)
        message[i] = (guint8) (step >> (56 - 8 * i));
    g_autoptr(GHmac) hmac = g_hmac_new(G_CHECKSUM_SHA1, key, (gsize) n);
    g_hmac_update(hmac, message, sizeof message);
    g_hmac_get_digest(hmac, mac, &size);
    int at = mac[19] & 0xf;
    guint32 code = ((guint32) (mac[at] & 0x7f) << 24 | (guint32) mac[at + 1] << 16 | (guint32) mac[at + 2] << 8 | mac[at + 3]) % 1000000;
    g_snprintf(ret_code, TOTP_CODE, "%0*u", TOTP_DIGITS, code);
    return true;
}

/* Each time step's code is good once; the step before is accepted for slow fingers. */
static bool totp_use(Attempt *a, const json_t *credential, const char *passcode, bool *ret_match, GError **err)
{
    gint64 now = clock_wall_us() / G_USEC_PER_SEC / TOTP_PERIOD_S;
    char code[TOTP_CODE];
    for (gint64 step = now; step >= now - 1 && !*ret_match; step--) {
        if (!totp_code(json_get_str(credential, "blob"), step, code) || strcmp(code, passcode) != 0)
            continue;
        g_auto(Txn) txn = txn_begin(a->c->db, err);
        if (!txn.db || !db_exec(a->c->db, err, "totp_used", "si", json_get_str(credential, "id"), step))
            return false;
        *ret_match = db_changes(a->c->db) == 1;
        if (!txn_commit(&txn, err))
            return false;
    }
    return true;
}

/* A code of six digits proves too little alone: it only counts after another method of the same attempt. */
bool auth_by_totp(Attempt *a, const json_t *given, GError **err)
{
    static const char where[] = "auth/identity/totp/user";
    const json_t *user = json_object_get(given, "user");
    const char *passcode = json_get_str(user, "passcode");
    size_t i;
    json_t *credential;
    bool match = false;
    if (!json_is_object(user) || !passcode)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field '%s': a user with a passcode must be given", where);
    g_autoptr(json_t) row = attempt_find_user(a, user, where, err);
    if (!row)
        return false;
    const char *id = json_get_str(row, "id");
    g_autoptr(json_t) rows = db_query(a->c->db, err, "totp_credentials", "s", id);
    if (!rows)
        return false;
    if (!id || g_strcmp0(a->user_id, id) != 0)
        return attempt_wrong(a, err);
    json_array_foreach(rows, i, credential)
        if (!match && !totp_use(a, credential, passcode, &match, err))
            return false;
    return match || attempt_wrong(a, err);
}

bool scope_trust(Attempt *a, const json_t *trust, GError **err)
{
    const char *id = json_get_str(trust, "id");
    if (!id)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'auth/scope/OS-TRUST:trust': 'id' is a required string");
    g_autoptr(json_t) rows = db_query(a->c->db, err, "trusts", "sss", id, NULL, NULL);
    const json_t *t = json_array_get(rows, 0);
    if (!rows)
        return false;
    if (a->app_credential_id)
        return nv_fail(err, NV_ERR_FORBIDDEN, "An application credential cannot be used with a trust.");
    if (!t || strcmp(json_get_str(t, "trustee_user_id"), a->user_id) != 0)
        return nv_fail(err, t ? NV_ERR_FORBIDDEN : NV_ERR_UNAUTHORIZED, "The trust cannot be used by this user.");
    bound(a, json_get_int(t, "expires_at", 0));
    a->trust_id = g_strdup(id);
    a->project_id = g_strdup(json_get_str(t, "project_id"));
    a->explicit_unscoped = !a->project_id;
    if (json_get_int(t, "impersonation", 0)) {
        g_free(a->user_id);
        a->user_id = g_strdup(json_get_str(t, "trustor_user_id"));
    }
    return true;
}
