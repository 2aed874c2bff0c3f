/* compute/keypair.c -- keypairs: hand-written endpoints, as a keypair is named by its user and name, and shows its private half once. */
#include "compute/internal.h"
#include "core/clock.h"
#include "identity/identity.h"
#include <sodium.h>
#include <string.h>

/* Whose keypairs: the caller's, or for an administrator those of ?user_id= (2.10). */
static const char *owner_of(const Call *c, const char *asked, GError **err)
{
    if (!asked || c->ctx->mv < MV(10) || g_strcmp0(asked, c->ctx->user_id) == 0)
        return c->ctx->user_id;
    if (!c->ctx->admin)
        return nv_fail(err, NV_ERR_FORBIDDEN, "Policy doesn't allow os_compute_api:os-keypairs for other users to be performed."), NULL;
    return asked;
}

static void render(const Call *c, const json_t *k, bool full, JsonW *w)
{
    char when[32];
    jw_object(w);
    jw_kstr(w, "name", json_get_str(k, "name"));
    jw_kstr(w, "public_key", json_get_str(k, "public_key"));
    jw_kstr(w, "fingerprint", json_get_str(k, "fingerprint"));
    if (c->ctx->mv >= MV(2))
        jw_kstr(w, "type", json_get_str(k, "type"));
    if (json_get_str(k, "private_key"))
        jw_kstr(w, "private_key", json_get_str(k, "private_key"));
    if (full || json_get_str(k, "user_id"))
        jw_kstr(w, "user_id", json_get_str(k, "user_id"));
    if (full) {
        clock_format(json_get_int(k, "created_at", 0), CLOCK_MICROS, when);
        jw_kstr(w, "created_at", when);
        jw_kbool(w, "deleted", false);
        jw_knull(w, "deleted_at");
        jw_knull(w, "updated_at");
        jw_kint(w, "id", json_get_int(k, "id", 0));
    }
    jw_end_object(w);
}

bool keypair_list(Call *c, GError **err)
{
    static const char *const known[] = { "user_id", "limit", "marker", NULL };
    const char *marker = NULL, *user = owner_of(c, call_query(c, "user_id"), err);
    gint64 limit = G_MAXINT32, found = 1;
    if (!user || !query_allowed(c, known, MV(75), err) || (c->ctx->mv >= MV(35) && !page_query(c, &limit, &marker, err)))
        return false;
    if (marker && !db_query_int(c->db, err, &found, "keypair_exists", "ss", user, marker))
        return false;
    if (!found)
        return nv_fail(err, NV_ERR_INVALID, "marker [%.80s] not found", marker);
    g_autoptr(json_t) rows = db_query(c->db, err, "keypair_list", "ssi", user, marker ? marker : "", limit + 1);
    if (!rows)
        return false;
    size_t n = json_array_size(rows);
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "keypairs");
    jw_array(&w);
    for (size_t i = 0; i < n && (gint64) i < limit; i++) {
        jw_object(&w);
        jw_key(&w, "keypair");
        render(c, json_array_get(rows, i), false, &w);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    if (limit > 0 && (gint64) n > limit)
        page_links(c, "keypairs_links", json_get_str(json_array_get(rows, (size_t) limit - 1), "name"), &w);
    jw_end_object(&w);
    return true;
}

json_t *keypair_get(Db *db, const char *user_id, const char *name, GError **err)
{
    g_autoptr(json_t) rows = db_query(db, err, "keypair_get", "ss", user_id, name);
    if (!rows)
        return NULL;
    if (!json_array_size(rows))
        return nv_fail(err, NV_ERR_NOT_FOUND, "Keypair %.255s not found for user %s", name, user_id), NULL;
    return json_incref(json_array_get(rows, 0));
}

static bool reply(Call *c, int status, const json_t *k, bool full)
{
    JsonW w = call_begin(c, status);
    jw_object(&w);
    jw_key(&w, "keypair");
    render(c, k, full, &w);
    jw_end_object(&w);
    return true;
}

bool keypair_show(Call *c, GError **err)
{
    static const char *const known[] = { "user_id", NULL };
    const char *user = owner_of(c, call_query(c, "user_id"), err);
    if (!user || !query_allowed(c, known, MV(75), err))
        return false;
    g_autoptr(json_t) k = keypair_get(c->db, user, c->params[0], err);
    return k && reply(c, 200, k, true);
}

bool keypair_delete(Call *c, GError **err)
{
    static const char *const known[] = { "user_id", NULL };
    const char *user = owner_of(c, call_query(c, "user_id"), err);
    if (!user || !query_allowed(c, known, MV(75), err))
        return false;
    g_auto(Txn) txn = txn_begin(c->db, err);
    if (!txn.db || !db_exec(c->db, err, "keypair_delete", "ss", user, c->params[0]))
        return false;
    if (db_changes(c->db) == 0)
        return nv_fail(err, NV_ERR_NOT_FOUND, "Keypair %.255s not found for user %s", c->params[0], user);
    return txn_commit(&txn, err) && call_reply_empty(c, c->ctx->mv >= MV(2) ? 204 : 202);
}

static bool name_ok(const Call *c, json_t *name, GError **err)
{
    static const Field field = { .json = "name" };
    if (!check_nova_name(&field, name, err))
        return false;
    for (const char *p = json_string_value(name); *p; p++)
        if (!g_ascii_isalnum(*p) && !strchr(c->ctx->mv >= MV(92) ? "@._- " : "_- ", *p))
            return nv_fail(err, NV_ERR_INVALID, "Keypair data is invalid: Keypair name contains unsafe characters");
    return true;
}

/* X.509 certificates are only stored: their fingerprint is SHA-1 over the DER form. */
static bool x509_check(const char *pem, char **ret_fingerprint, GError **err)
{
    const char *from = strstr(pem, "-----BEGIN CERTIFICATE-----"), *to = from ? strstr(from, "-----END CERTIFICATE-----") : NULL;
    gsize n = 0;
    if (!to || strlen(pem) > 16384)
        return nv_fail(err, NV_ERR_INVALID, "Keypair data is invalid: failed to generate X509 fingerprint: it is not a PEM certificate");
    g_autofree char *text = g_strndup(from + 27, (gsize) (to - from - 27));
    g_autofree guchar *der = g_base64_decode(text, &n);
    g_autofree char *hex = g_compute_checksum_for_data(G_CHECKSUM_SHA1, der, n);
    GString *out = g_string_new(NULL);
    for (gsize i = 0; hex[i]; i += 2)
        g_string_append_printf(out, "%s%.2s", i ? ":" : "", hex + i);
    *ret_fingerprint = g_string_free(out, FALSE);
    return true;
}

static bool store(Call *c, const char *user, const char *name, const char *type, const char *fingerprint, const char *public_key, GError **err)
{
    gint64 limit = -1, used = 0, there = 0;
    g_auto(Txn) txn = txn_begin(c->db, err);
    if (!txn.db || !db_query_int(c->db, err, &there, "keypair_exists", "ss", user, name)
        || !db_query_int(c->db, err, &used, "keypair_count", "s", user))
        return false;
    if (there)
        return nv_fail(err, NV_ERR_CONFLICT, "Key pair '%s' already exists.", name);
    if (c->ctx->project_id && !quota_get(c->db, c->ctx->project_id, "key_pairs", &limit, &there, err))
        return false;
    if (limit >= 0 && used >= limit)
        return nv_fail(err, NV_ERR_QUOTA, "Quota exceeded, too many key pairs.");
    return db_exec(c->db, err, "keypair_insert", "sssss", user, name, type, fingerprint, public_key) && txn_commit(&txn, err);
}

bool keypair_create(Call *c, GError **err)
{
    static const char *const keys[] = { "name", "public_key", "type", "user_id", NULL };
    json_t *body = body_only(c, "keypair", NULL, err);
    if (!body || !body_allowed(body, keys, err))
        return false;
    json_t *name = json_object_get(body, "name"), *given = json_object_get(body, "public_key"), *kind = json_object_get(body, "type");
    const char *type = kind ? json_string_value(kind) : "ssh";
    if (!name || (!given && c->ctx->mv >= MV(92)))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute keypair. '%s' is a required property", name ? "public_key" : "name");
    if ((kind && c->ctx->mv < MV(2)) || (json_object_get(body, "user_id") && c->ctx->mv < MV(10)))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute keypair. Additional properties are not allowed ('%s' was unexpected)",
                       kind && c->ctx->mv < MV(2) ? "type" : "user_id");
    if (!type || (strcmp(type, "ssh") != 0 && strcmp(type, "x509") != 0))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute type. Value: %.80s. It is not one of ['ssh', 'x509']",
                       type ? type : "");
    if (given && !json_is_string(given))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute public_key. It is not of type 'string'");
    if (!name_ok(c, name, err))
        return false;
    const char *user = owner_of(c, json_get_str(body, "user_id"), err);
    if (!user)
        return false;
    g_autofree char *public_key = NULL, *private_key = NULL, *print = NULL;
    bool ssh = strcmp(type, "ssh") == 0;
    if (!given && !ssh)
        return nv_fail(err, NV_ERR_INVALID, "Keypair data is invalid: x509 certificates can be imported, not generated");
    if (given)
        public_key = g_strdup(json_string_value(given));
    else
        sshkey_generate("Generated-by-Nuvolet", &public_key, &private_key);
    if (!(ssh ? sshkey_check : x509_check)(public_key, &print, err) || !store(c, user, json_string_value(name), type, print, public_key, err))
        return false;
    g_autoptr(json_t) k =
        json_make("sssss", "name", json_string_value(name), "type", type, "fingerprint", print, "public_key", public_key, "user_id", user);
    if (private_key) {
        json_object_set_new(k, "private_key", json_string(private_key));
        sodium_memzero(private_key, strlen(private_key));
    }
    return reply(c, c->ctx->mv >= MV(2) ? 201 : 200, k, false);
}
