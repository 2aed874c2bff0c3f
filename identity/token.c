/* identity/token.c -- tokens: made, validated against the rows they rest on, remembered under a generation number, revoked. */
#include "core/clock.h"
#include "core/conf.h"
#include "core/id.h"
#include "identity/internal.h"
#include <sodium.h>
#include <string.h>

enum { TOKEN_BYTES = 32, TOKEN_TEXT = 44, HASH_TEXT = 65, SHARDS = 32, SHARD_MAX = 64 };

struct Login {
    gatomicrefcount refs;
    const Db *db;
    guint64 generation;              /* identity's, read before the facts were */
    gint64 expires_at;
    char hash[HASH_TEXT];
    json_t *facts, *roles;
    json_t *rules;                   /* access rules; NULL: everything is allowed */
    const char **role_names;         /* borrowed from roles; NULL-terminated */
    char *text[2];                   /* as shown without and with the catalog, once somebody has asked; atomic */
    Ctx who;                         /* the identity part, borrowed from facts: looked up once, used by every request */
};

/* Logins by token hash.  Sharded, so that threads seldom meet; each entry is one reference. */
typedef struct Shard { GMutex lock; GHashTable *logins; } Shard;
static Shard shards[SHARDS];
static guint64 generation = 1;       /* atomic; raised by every change of an identity row */

static void bump(void *unused)
{
    (void) unused;
    __atomic_add_fetch(&generation, 1, __ATOMIC_RELEASE);
}

void identity_changed(void)
{
    txn_after_commit(bump, NULL, NULL);
}

void identity_login_free(Login *l)
{
    if (!l || !g_atomic_ref_count_dec(&l->refs))
        return;
    json_decref(l->facts);
    json_decref(l->roles);
    json_decref(l->rules);
    g_free(l->role_names);
    g_free(l->text[0]);
    g_free(l->text[1]);
    g_free(l);
}

static Login *login_ref(Login *l)
{
    g_atomic_ref_count_inc(&l->refs);
    return l;
}

static void hash_token(const char *token, char hash[HASH_TEXT])
{
    guint8 digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(digest, (const guint8 *) token, strlen(token));
    sodium_bin2hex(hash, HASH_TEXT, digest, sizeof digest);
}

const char *login_fact(const Login *l, const char *name)
{
    return json_get_str(l->facts, name);
}

gint64 login_time(const Login *l, const char *name)
{
    return json_get_int(l->facts, name, 0);
}

const char *login_text(Db *db, const Login *login, bool catalog, GError **err)
{
    Login *l = (Login *) login;
    char *none = NULL, *text = __atomic_load_n(&l->text[catalog], __ATOMIC_ACQUIRE);
    if (text)
        return text;
    g_autoptr(GString) out = g_string_sized_new(4096);
    JsonW w = JSONW(out);
    if (!token_render(db, l, catalog, &w, err))
        return NULL;
    /* Read no earlier than the login's own facts: a change of the catalog after that ends the login in the cache, too. */
    text = g_string_free(g_steal_pointer(&out), FALSE);
    if (__atomic_compare_exchange_n(&l->text[catalog], &none, text, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return text;
    g_free(text);
    return none;
}

const json_t *login_roles(const Login *l)
{
    return l->roles;
}

const Login *login_of(const Ctx *ctx)
{
    return ctx->token;
}

/* Leaves of a user's roles those that the application credential or trust stands for. */
static bool restrict_roles(Db *db, const json_t *facts, json_t *roles, GError **err)
{
    const char *app_credential = json_get_str(facts, "app_credential_id"), *trust = json_get_str(facts, "trust_id");
    size_t i;
    json_t *given;
    if (!app_credential && !trust)
        return true;
    g_autoptr(json_t) rows = db_query(db, err, "delegated_roles", "ss", app_credential, trust);
    if (!rows)
        return false;
    g_autoptr(GHashTable) allowed = g_hash_table_new(g_str_hash, g_str_equal);
    json_array_foreach(rows, i, given)
        g_hash_table_add(allowed, (gpointer) json_get_str(given, "role_id"));
    for (i = json_array_size(roles); i > 0; i--)
        if (!g_hash_table_contains(allowed, json_get_str(json_array_get(roles, i - 1), "id")))
            json_array_remove(roles, i - 1);
    return true;
}

const json_t *login_rules(const Login *l)
{
    return l->rules;
}

static void take_roles(Login *l, json_t *roles)
{
    size_t i;
    json_t *role;
    l->roles = roles;
    l->role_names = g_new0(const char *, json_array_size(roles) + 1);
    json_array_foreach(roles, i, role)
        l->role_names[i] = json_get_str(role, "name");
    l->who = (Ctx){ .user_id = login_fact(l, "user_id"), .user_name = login_fact(l, "user_name"), .user_domain_id = login_fact(l, "user_domain_id"),
                    .project_id = login_fact(l, "project_id"), .project_name = login_fact(l, "project_name"), .domain_id = login_fact(l, "domain_id"),
                    .system = login_time(l, "system") };
    /* The role admin on a project or the system makes a cloud administrator, as OpenStack's defaults have it; on a domain it
     * stays within the domain. */
    l->who.admin = g_strv_contains(l->role_names, "admin") && !l->who.domain_id;
}

/* Reads what the token with this hash stands for now.  NULL with NV_ERR_UNAUTHORIZED if it does not stand for anything. */
static Login *evaluate(Db *db, const char *hash, GError **err)
{
    /* Before the first read: where the request has a snapshot, nothing may have been read from it yet. */
    guint64 seen = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
    g_autoptr(json_t) rows = db_query(db, err, "token_facts", "s", hash);
    if (!rows)
        return NULL;
    const json_t *facts = json_array_get(rows, 0);
    if (!facts || json_get_int(facts, "expires_at", 0) <= clock_wall_us())
        return auth_refuse(err), NULL;
    const char *user = json_get_str(facts, "role_user_id"), *project = json_get_str(facts, "project_id"), *domain = json_get_str(facts, "domain_id");
    bool scoped = project || domain || json_get_int(facts, "system", 0);
    g_autoptr(json_t) roles = scoped ? db_query(db, err, "effective_roles", "sss", user, project, domain) : json_array();
    bool limited = json_get_int(facts, "limited", 0);
    g_autoptr(json_t) rules = limited ? db_query(db, err, "app_credential_rules", "s", json_get_str(facts, "app_credential_id")) : NULL;
    if (!roles || (limited && !rules) || !restrict_roles(db, facts, roles, err))
        return NULL;
    if (scoped && !json_array_size(roles))
        return auth_refuse(err), NULL;
    Login *l = g_new0(Login, 1);
    g_atomic_ref_count_init(&l->refs);
    l->db = db;
    l->generation = seen;
    l->expires_at = json_get_int(facts, "expires_at", 0);
    g_strlcpy(l->hash, hash, sizeof l->hash);
    l->facts = json_incref((json_t *) facts);
    l->rules = g_steal_pointer(&rules);
    take_roles(l, g_steal_pointer(&roles));
    return l;
}

static Shard *shard_of(const char *hash)
{
    return &shards[(guint) g_ascii_xdigit_value(hash[0]) * 2 + ((guint) g_ascii_xdigit_value(hash[1]) & 1)];
}

static gboolean is_stale(gpointer hash, gpointer login, gpointer data)
{
    const Login *l = login;
    (void) hash;
    (void) data;
    return l->generation != __atomic_load_n(&generation, __ATOMIC_ACQUIRE) || l->expires_at <= clock_wall_us();
}

static void remember(Login *l)
{
    Shard *s = shard_of(l->hash);
    g_mutex_lock(&s->lock);
    if (!s->logins)
        s->logins = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify) identity_login_free);
    if (g_hash_table_size(s->logins) >= SHARD_MAX && !g_hash_table_foreach_remove(s->logins, is_stale, NULL))
        g_hash_table_remove_all(s->logins);
    g_hash_table_replace(s->logins, l->hash, login_ref(l));
    g_mutex_unlock(&s->lock);
}

static Login *recall(const Db *db, const char *hash)
{
    Shard *s = shard_of(hash);
    g_mutex_lock(&s->lock);
    Login *l = s->logins ? g_hash_table_lookup(s->logins, hash) : NULL;
    bool fresh = l && l->db == db && l->generation == __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
    if (fresh)
        login_ref(l);
    else if (l)
        g_hash_table_remove(s->logins, hash);
    g_mutex_unlock(&s->lock);
    return fresh ? l : NULL;
}

Login *identity_login(Db *db, const char *token, GError **err)
{
    char hash[HASH_TEXT];
    if (!token || strlen(token) >= TOKEN_TEXT)
        return auth_refuse(err), NULL;
    hash_token(token, hash);
    g_autoptr(Login) l = recall(db, hash);
    if (!l) {
        l = evaluate(db, hash, err);
        if (!l)
            return NULL;
        remember(l);
    }
    if (l->expires_at <= clock_wall_us())
        return auth_refuse(err), NULL;
    return g_steal_pointer(&l);
}

void identity_ctx(const Login *l, Ctx *ctx)
{
    ctx->user_id = l->who.user_id;
    ctx->user_name = l->who.user_name;
    ctx->user_domain_id = l->who.user_domain_id;
    ctx->project_id = l->who.project_id;
    ctx->project_name = l->who.project_name;
    ctx->domain_id = l->who.domain_id;
    ctx->roles = l->role_names;
    ctx->token_hash = l->hash;
    ctx->system = l->who.system;
    ctx->admin = l->who.admin;
    ctx->token = l;
}

/* 16 random bytes as Keystone writes them: base64url without padding. */
static char *audit_id_new(void)
{
    guint8 b[16];
    char text[32];
    randombytes_buf(b, sizeof b);
    return g_strdup(sodium_bin2base64(text, sizeof text, b, sizeof b, sodium_base64_VARIANT_URLSAFE_NO_PADDING));
}

static bool insert(Db *db, const Grant *g, const char *hash, GError **err)
{
    gint64 now = clock_wall_us(), expires = now + conf_int("identity.token_ttl_s") * G_USEC_PER_SEC;
    g_autofree char *audit = audit_id_new();
    g_autofree char *methods = json_text(g->methods);
    if (g->expires_at && g->expires_at < expires)
        expires = g->expires_at;
    return db_exec(db, err, "token_purge", "i", now - 60 * G_USEC_PER_SEC)
        && db_exec(db, err, "token_insert", "ssssisssssiisi", hash, g->user_id, g->project_id, g->domain_id, (gint64) g->system, methods,
                   audit, g->parent_audit_id, g->app_credential_id, g->trust_id, now, expires, g->proved_id, g->proved_generation);
}

/* The row is written first and read back by the same rules as every later use: what could not be used is never handed out. */
Login *token_issue(Db *db, const Grant *grant, char **ret_token, GError **err)
{
    guint8 secret[TOKEN_BYTES];
    char token[TOKEN_TEXT], hash[HASH_TEXT];
    randombytes_buf(secret, sizeof secret);
    sodium_bin2base64(token, sizeof token, secret, sizeof secret, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    hash_token(token, hash);
    g_auto(Txn) txn = txn_begin(db, err);
    if (!txn.db || !insert(db, grant, hash, err))
        return NULL;
    g_autoptr(Login) l = evaluate(db, hash, err);
    if (l && grant->trust_id && (!db_exec(db, err, "trust_use", "s", grant->trust_id) || (!db_changes(db) && !auth_refuse(err))))
        return NULL;                             /* another login had the last use meanwhile */
    if (!l || !txn_commit(&txn, err))
        return NULL;
    *ret_token = g_strdup(token);
    return g_steal_pointer(&l);
}

bool token_revoke(Db *db, const Login *login, GError **err)
{
    g_auto(Txn) txn = txn_begin(db, err);
    if (!txn.db || !db_exec(db, err, "token_delete", "s", login->hash))
        return false;
    identity_changed();
    return txn_commit(&txn, err);
}
