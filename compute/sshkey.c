/* compute/sshkey.c -- SSH keys: checking public ones, fingerprints, and generating Ed25519 pairs in OpenSSH's own formats. */
#include "compute/internal.h"
#include <sodium.h>
#include <string.h>

static const char *const key_types[] = {
    "ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-dss",
    "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com", NULL,
};

static guint32 get_u32(const guchar *p)
{
    return (guint32) p[0] << 24 | (guint32) p[1] << 16 | (guint32) p[2] << 8 | p[3];
}

/* A blob is a chain of length-prefixed strings, the first of which is the type. */
static bool blob_ok(const guchar *blob, gsize n, const char *type)
{
    gsize at = 0, fields = 0;
    while (at + 4 <= n && get_u32(blob + at) <= n - at - 4) {
        gsize len = get_u32(blob + at);
        if (fields++ == 0 && (len != strlen(type) || memcmp(blob + at + 4, type, len) != 0))
            return false;
        at += 4 + len;
    }
    return at == n && fields >= 2;
}

static char *fingerprint(const guchar *blob, gsize n)
{
    g_autofree char *hex = g_compute_checksum_for_data(G_CHECKSUM_MD5, blob, n);
    GString *out = g_string_new(NULL);
    for (gsize i = 0; hex[i]; i += 2)
        g_string_append_printf(out, "%s%.2s", i ? ":" : "", hex + i);
    return g_string_free(out, FALSE);
}

bool sshkey_check(const char *public_key, char **ret_fingerprint, GError **err)
{
    static const char bad[] = "Keypair data is invalid: failed to generate fingerprint: %s";
    g_autofree char *text = g_strstrip(g_strdup(public_key));
    if (strpbrk(text, "\r\n") || strlen(text) > 16384)
        return nv_fail(err, NV_ERR_INVALID, bad, "a public key is one line of at most 16 KiB");
    g_auto(GStrv) words = g_strsplit(text, " ", 3);
    if (!words[0] || !words[1] || !g_strv_contains(key_types, words[0]))
        return nv_fail(err, NV_ERR_INVALID, bad, "it does not look like \"ssh-ed25519 AAAA… comment\"");
    gsize n = 0;
    g_autofree guchar *blob = *words[1] ? g_base64_decode(words[1], &n) : NULL;
    g_autofree char *again = blob ? g_base64_encode(blob, n) : NULL;
    if (!again || strcmp(again, words[1]) != 0 || !blob_ok(blob, n, words[0]))
        return nv_fail(err, NV_ERR_INVALID, bad, "its second part is not the base64 text of a key of that type");
    *ret_fingerprint = fingerprint(blob, n);
    return true;
}

static void put_u32(GByteArray *out, guint32 n)
{
    guchar b[4] = { (guchar) (n >> 24), (guchar) (n >> 16), (guchar) (n >> 8), (guchar) n };
    g_byte_array_append(out, b, 4);
}

static void put_string(GByteArray *out, const void *data, gsize n)
{
    put_u32(out, (guint32) n);
    g_byte_array_append(out, data, (guint) n);
}

/* The layout is that of OpenSSH's PROTOCOL.key, without a passphrase. */
static GByteArray *private_blob(const GByteArray *public, const guchar *pk, const guchar *sk, const char *comment)
{
    static const char magic[] = "openssh-key-v1";
    g_autoptr(GByteArray) inner = g_byte_array_new();
    guint32 check = randombytes_random();
    put_u32(inner, check);
    put_u32(inner, check);
    put_string(inner, "ssh-ed25519", 11);
    put_string(inner, pk, crypto_sign_PUBLICKEYBYTES);
    put_string(inner, sk, crypto_sign_SECRETKEYBYTES);
    put_string(inner, comment, strlen(comment));
    for (guchar pad = 1; inner->len % 8; pad++)
        g_byte_array_append(inner, &pad, 1);
    GByteArray *out = g_byte_array_new();
    g_byte_array_append(out, (const guchar *) magic, sizeof magic);
    put_string(out, "none", 4);
    put_string(out, "none", 4);
    put_string(out, "", 0);
    put_u32(out, 1);
    put_string(out, public->data, public->len);
    put_string(out, inner->data, inner->len);
    sodium_memzero(inner->data, inner->len);
    return out;
}

void sshkey_generate(const char *comment, char **ret_public, char **ret_private)
{
    guchar pk[crypto_sign_PUBLICKEYBYTES], sk[crypto_sign_SECRETKEYBYTES];
    if (sodium_init() < 0)
        g_error("libsodium does not start");
    crypto_sign_keypair(pk, sk);
    g_autoptr(GByteArray) public = g_byte_array_new();
    put_string(public, "ssh-ed25519", 11);
    put_string(public, pk, sizeof pk);
    g_autoptr(GByteArray) private = private_blob(public, pk, sk, comment);
    g_autofree char *text = g_base64_encode(public->data, public->len), *body = g_base64_encode(private->data, private->len);
    GString *pem = g_string_new("-----BEGIN OPENSSH PRIVATE KEY-----\n");
    for (gsize i = 0, n = strlen(body); i < n; i += 70)
        g_string_append_printf(pem, "%.70s\n", body + i);
    g_string_append(pem, "-----END OPENSSH PRIVATE KEY-----\n");
    *ret_public = g_strdup_printf("ssh-ed25519 %s %s", text, comment);
    *ret_private = g_string_free(pem, FALSE);
    sodium_memzero(sk, sizeof sk);
    sodium_memzero(private->data, private->len);
    sodium_memzero(body, strlen(body));
}
