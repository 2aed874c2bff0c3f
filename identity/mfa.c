/* identity/mfa.c -- multi-factor rules: what a login still lacks, and the receipt for what it has shown already. */
#include "core/clock.h"
#include "identity/auth.h"
#include <sodium.h>
#include <string.h>

enum { RECEIPT_S = 300, RECEIPT_MAX = 2048 };

/* Receipts live five minutes; a restart makes people begin again. */
static guint8 receipt_key[crypto_auth_KEYBYTES];

static void make_key(void)
{
    static gsize once;
    if (g_once_init_enter(&once)) {
        randombytes_buf(receipt_key, sizeof receipt_key);
        g_once_init_leave(&once, 1);
    }
}

static char *base64(const guint8 *bytes, gsize n)
{
    gsize size = sodium_base64_encoded_len(n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    char *text = g_malloc(size);
    return sodium_bin2base64(text, size, bytes, n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

/* base64(JSON) "." base64(MAC of it) */
static char *seal(const json_t *facts)
{
    guint8 mac[crypto_auth_BYTES];
    g_autofree char *text = json_text(facts);
    make_key();
    crypto_auth(mac, (const guint8 *) text, strlen(text), receipt_key);
    g_autofree char *body = base64((const guint8 *) text, strlen(text)), *tag = base64(mac, sizeof mac);
    return g_strconcat(body, ".", tag, NULL);
}

static json_t *unseal(const char *receipt)
{
    guint8 text[RECEIPT_MAX + 1], mac[crypto_auth_BYTES];
    size_t n, n_mac;
    const char *dot = strchr(receipt, '.');
    make_key();
    if (!dot || strlen(receipt) > RECEIPT_MAX
        || sodium_base642bin(text, RECEIPT_MAX, receipt, (gsize) (dot - receipt), NULL, &n, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) < 0
        || sodium_base642bin(mac, sizeof mac, dot + 1, strlen(dot + 1), NULL, &n_mac, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) < 0
        || n_mac != sizeof mac || crypto_auth_verify(mac, text, n, receipt_key) != 0)
        return NULL;
    text[n] = '\0';
    return json_parse_trusted((const char *) text);
}

static json_t *user_row(Attempt *a, const char *id, GError **err)
{
    g_autoptr(json_t) rows = db_query(a->c->db, err, "login_user", "ssss", id, NULL, NULL, NULL);
    if (rows && !json_array_size(rows))
        auth_refuse(err);
    return json_incref(json_array_get(rows, 0));
}

bool receipt_take(Attempt *a, GError **err)
{
    const char *receipt = a->c->header(a->c, "Openstack-Auth-Receipt");
    size_t i;
    json_t *m;
    if (!receipt)
        return true;
    g_autoptr(json_t) facts = unseal(receipt);
    if (!facts || json_get_int(facts, "expires_at", 0) <= clock_wall_us())
        return auth_refuse(err);
    g_autoptr(json_t) row = user_row(a, json_get_str(facts, "user_id"), err);
    if (!row)
        return false;
    if (json_get_int(row, "password_generation", 0) != json_get_int(facts, "generation", -1))
        return auth_refuse(err);
    json_array_foreach(json_object_get(facts, "methods"), i, m)
        json_array_append(a->methods, m);
    return attempt_user(a, json_get_str(facts, "user_id"), json_get_int(facts, "generation", 0), err);
}

static bool satisfied(const json_t *rule, const json_t *methods)
{
    size_t i;
    json_t *name;
    json_array_foreach((json_t *) rule, i, name)
        if (!json_has(methods, json_string_value(name)))
            return false;
    return true;
}

bool mfa_lacks(Attempt *a, bool *ret_lacks, json_t **ret_user, json_t **ret_rules, GError **err)
{
    size_t i;
    json_t *rule;
    g_autoptr(json_t) row = user_row(a, a->user_id, err);
    if (!row)
        return false;
    g_autoptr(json_t) options = json_parse_trusted(json_get_str(row, "options"));
    json_t *rules = json_object_get(options, "multi_factor_auth_rules");
    /* An application credential was made by somebody who had logged in in full, and so was a token. */
    bool exempt = a->app_credential_id || a->parent_audit_id;
    *ret_lacks = !exempt && json_get_bool(options, "multi_factor_auth_enabled", false) && json_array_size(rules);
    json_array_foreach(rules, i, rule)
        if (satisfied(rule, a->methods))
            *ret_lacks = false;
    *ret_user = g_steal_pointer(&row);
    *ret_rules = json_incref(rules);
    return true;
}

static void put_time(JsonW *w, const char *key, gint64 us)
{
    char text[32];
    clock_format(us, CLOCK_MICROS_Z, text);
    jw_kstr(w, key, text);
}

bool receipt_reply(Attempt *a, const json_t *user, const json_t *rules)
{
    gint64 now = clock_wall_us(), end = now + RECEIPT_S * G_USEC_PER_SEC;
    g_autoptr(json_t) facts = json_make("soii", "user_id", a->user_id, "methods", json_deep_copy(a->methods), "expires_at", end, "generation",
                                        json_get_int(user, "password_generation", 0));
    g_autofree char *receipt = seal(facts);
    JsonW w = call_begin(a->c, 401);
    call_header(a->c, "Openstack-Auth-Receipt", receipt);
    jw_object(&w);
    jw_key(&w, "receipt");
    jw_object(&w);
    jw_kjson(&w, "methods", a->methods);
    jw_key(&w, "user");
    jw_object(&w);
    jw_kstr(&w, "id", a->user_id);
    jw_kstr(&w, "name", json_get_str(user, "name"));
    jw_key(&w, "domain");
    jw_object(&w);
    jw_kstr(&w, "id", json_get_str(user, "domain_id"));
    jw_end_object(&w);
    jw_end_object(&w);
    put_time(&w, "expires_at", end);
    put_time(&w, "issued_at", now);
    jw_end_object(&w);
    jw_kjson(&w, "required_auth_methods", rules);
    jw_end_object(&w);
    return true;
}
