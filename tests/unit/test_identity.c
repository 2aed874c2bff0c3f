/* tests/unit/test_identity.c -- first start, logins, scopes, expiry, revocation, policy, backoff and quotas. */
#include "core/clock.h"
#include "core/conf.h"
#include "db/internal.h"
#include "identity/auth.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <glib/gstdio.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char *dir;
static Db *db;
static char *admin_password, *demo_password, *demo_project, *demo_user, *admin_user;
static const char *const no_roles[] = { NULL };

static char *password_of(const char *name)
{
    g_autofree char *path = g_strdup_printf("%s/%s-openrc", dir, name), *text = NULL;
    struct stat st;
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    const char *p = strstr(text, "OS_PASSWORD=") + strlen("OS_PASSWORD=");
    return g_strndup(p, strcspn(p, "\n"));
}

static char *id_of(const char *name, const Resource *res)
{
    g_autoptr(GPtrArray) rows = rows_where(db, res, NULL, "name", name, NULL);
    assert_int_equal(rows->len, 1);
    return g_strdup(*FIELD_PTR(rows->pdata[0], &res->fields[0], char *));
}

static int set_up(void **state)
{
    (void) state;
    g_autoptr(GError) err = NULL;
    dir = g_dir_make_tmp("nuvolet-identity-XXXXXX", NULL);
    assert_true(conf_override("paths.state", dir, &err));
    assert_true(conf_override("identity.failed_logins", "5", &err));
    g_autofree char *path = g_build_filename(dir, "t.db", NULL);
    db = db_open(path, &err);
    assert_null(err);
    assert_true(identity_bootstrap(db, &err));
    admin_password = password_of("admin");
    demo_password = password_of("demo");
    demo_project = id_of("demo", &project_resource);
    demo_user = id_of("demo", &user_resource);
    admin_user = id_of("admin", &user_resource);
    return 0;
}

static int tear_down(void **state)
{
    (void) state;
    static const char *const names[] = { "t.db", "t.db-wal", "t.db-shm", "t.db.lock", "admin-openrc", "demo-openrc", "clouds.yaml" };
    db_close(db);
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(dir, names[i], NULL);
        g_unlink(path);
    }
    char **const owned[] = { &admin_password, &demo_password, &demo_project, &demo_user, &admin_user };
    for (guint i = 0; i < G_N_ELEMENTS(owned); i++)
        g_clear_pointer(owned[i], g_free);
    return g_rmdir(dir);
}

/* One request without HTTP. */
typedef struct Sim {
    Call c;
    Ctx ctx;
    Login *login;
    const char *subject;
    GError *err;
    json_t *reply;
} Sim;

static const char *sim_header(const Call *c, const char *name)
{
    return strcmp(name, "X-Subject-Token") == 0 ? ((const Sim *) c->impl)->subject : NULL;
}

static void sim_clear(Sim *s)
{
    json_decref(s->c.body);
    json_decref(s->reply);
    if (s->c.out)
        g_string_free(s->c.out, TRUE);
    if (s->c.headers)
        g_ptr_array_unref(s->c.headers);
    identity_login_free(s->login);
    g_clear_error(&s->err);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Sim, sim_clear)

static const char *reply_header(const Sim *s, const char *name)
{
    for (guint i = 0; s->c.headers && i + 1 < s->c.headers->len; i += 2)
        if (strcmp(s->c.headers->pdata[i], name) == 0)
            return s->c.headers->pdata[i + 1];
    return NULL;
}

static bool sim_run(Sim *s, Handler *run, const char *token, json_t *body)
{
    s->ctx = (Ctx){ .base_url = "http://c:1", .roles = no_roles };
    if (token && (s->login = identity_login(db, token, &s->err)))
        identity_ctx(s->login, &s->ctx);
    if (s->err)
        return false;
    s->c.ctx = &s->ctx;
    s->c.db = db;
    s->c.header = sim_header;
    s->c.client = s->c.client ? s->c.client : "192.0.2.1";
    s->c.impl = s;
    s->c.body = body;
    bool ok = run(&s->c, &s->err);
    assert_true(ok == !s->err);
    if (ok && s->c.out && s->c.out->len)
        s->reply = json_parse_trusted(s->c.out->str);
    return ok;
}

static json_t *password_body(const char *user, const char *password, json_t *scope)
{
    json_t *body = json_pack("{s:{s:{s:[s],s:{s:{s:s,s:{s:s},s:s}}}}}", "auth", "identity", "methods", "password", "password", "user", "name", user,
                             "domain", "id", "default", "password", password);
    if (scope)
        json_object_set_new(json_object_get(body, "auth"), "scope", scope);
    return body;
}

static json_t *token_body(const char *token, json_t *scope)
{
    json_t *body = json_pack("{s:{s:{s:[s],s:{s:s}}}}", "auth", "identity", "methods", "token", "token", "id", token);
    if (scope)
        json_object_set_new(json_object_get(body, "auth"), "scope", scope);
    return body;
}

static json_t *project_scope(const char *name)
{
    return json_pack("{s:{s:s,s:{s:s}}}", "project", "name", name, "domain", "name", "Default");
}

static char *login(const char *user, const char *password, json_t *scope)
{
    g_auto(Sim) s = { 0 };
    assert_true(sim_run(&s, auth_token_create, NULL, password_body(user, password, scope)));
    assert_int_equal(s.c.status, 201);
    return g_strdup(reply_header(&s, "X-Subject-Token"));
}

static bool valid(const char *token)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Login) l = identity_login(db, token, &err);
    assert_true(l || g_error_matches(err, NV_ERROR, NV_ERR_UNAUTHORIZED));
    return l != NULL;
}

/* "$" stands for the id. */
static void run_sql(const char *text, const char *id)
{
    g_autoptr(GError) err = NULL;
    g_auto(GStrv) parts = g_strsplit(text, "$", 2);
    g_autofree char *sql = g_strjoinv(id, parts);
    g_auto(Txn) txn = txn_begin(db, &err);
    assert_true(conn_exec(db_conn(db, NULL), sql, &err));
    identity_changed();
    assert_true(txn_commit(&txn, &err));
}

static const json_t *dig(const json_t *v, const char *path)
{
    g_auto(GStrv) keys = g_strsplit(path, ".", -1);
    for (char **k = keys; *k; k++)
        v = json_object_get(v, *k);
    return v;
}

static void token_of_a_project(void **state)
{
    (void) state;
    g_auto(Sim) s = { 0 };
    assert_true(sim_run(&s, auth_token_create, NULL, password_body("demo", demo_password, project_scope("demo"))));
    assert_string_equal(json_string_value(dig(s.reply, "token.user.name")), "demo");
    assert_string_equal(json_string_value(dig(s.reply, "token.user.domain.name")), "Default");
    assert_string_equal(json_string_value(dig(s.reply, "token.project.id")), demo_project);
    assert_int_equal(json_array_size(dig(s.reply, "token.roles")), 2);                       /* member implies reader */
    assert_int_equal(json_array_size(dig(s.reply, "token.catalog")), 4);
    assert_int_equal(json_array_size(dig(s.reply, "token.audit_ids")), 1);
    assert_true(valid(reply_header(&s, "X-Subject-Token")));
}

static void scopes(void **state)
{
    (void) state;
    g_autofree char *system = login("admin", admin_password, json_pack("{s:{s:b}}", "system", "all", 1));
    g_autofree char *domain = login("admin", admin_password, json_pack("{s:{s:s}}", "domain", "id", "default"));
    g_autofree char *none = login("demo", demo_password, json_string("unscoped"));
    g_autoptr(Login) ls = identity_login(db, system, NULL), ld = identity_login(db, domain, NULL), ln = identity_login(db, none, NULL);
    Ctx cs = { .roles = no_roles }, cd = { .roles = no_roles }, cn = { .roles = no_roles };
    identity_ctx(ls, &cs);
    identity_ctx(ld, &cd);
    identity_ctx(ln, &cn);
    assert_true(cs.system && cs.admin && !cs.project_id);
    assert_string_equal(cd.domain_id, "default");
    assert_false(cd.admin);                                  /* within its domain only */
    assert_null(cn.project_id);
    assert_false(cn.admin);
    assert_false(identity_allows(&cn, PROJECT_READER, NULL));
    assert_true(identity_allows(&cd, DOMAIN_ADMIN, NULL));
    assert_false(identity_allows(&cd, ADMIN_ONLY, NULL));
    assert_true(identity_allows(&cs, ADMIN_ONLY, NULL));
}

static void refused(json_t *body, NvErr code)
{
    static int n;
    g_autofree char *client = g_strdup_printf("198.51.100.%d", ++n);
    g_auto(Sim) s = { .c.client = client };
    assert_false(sim_run(&s, auth_token_create, NULL, body));
    assert_int_equal(nv_error_code(s.err), code);
}

static void refusals(void **state)
{
    (void) state;
    refused(password_body("demo", "wrong", NULL), NV_ERR_UNAUTHORIZED);
    refused(password_body("nobody", "wrong", NULL), NV_ERR_UNAUTHORIZED);
    refused(password_body("demo", "", NULL), NV_ERR_UNAUTHORIZED);
    refused(password_body("demo", demo_password, project_scope("admin")), NV_ERR_UNAUTHORIZED);
    refused(password_body("demo", demo_password, project_scope("nothing")), NV_ERR_UNAUTHORIZED);
    refused(password_body("demo", demo_password, json_pack("{s:{s:b}}", "system", "all", 1)), NV_ERR_UNAUTHORIZED);
    refused(password_body("demo", demo_password, json_pack("{s:{s:b},s:{s:s}}", "system", "all", 1, "domain", "id", "default")), NV_ERR_INVALID);
    refused(json_pack("{s:{s:{s:[]}}}", "auth", "identity", "methods"), NV_ERR_INVALID);
    refused(json_pack("{s:{s:{s:[s]}}}", "auth", "identity", "methods", "password"), NV_ERR_INVALID);
    refused(json_pack("{s:{s:{s:[s],s:{s:{s:s,s:n}}}}}", "auth", "identity", "methods", "password", "password", "user", "id", demo_user, "password"),
            NV_ERR_INVALID);
    refused(json_pack("{s:{s:{s:[s]}}}", "auth", "identity", "methods", "sorcery"), NV_ERR_UNAUTHORIZED);
    assert_false(valid("x"));
    assert_false(valid("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
}

static void rescoping_never_prolongs(void **state)
{
    (void) state;
    g_autofree char *first = login("admin", admin_password, json_string("unscoped"));
    g_autoptr(Login) l = identity_login(db, first, NULL);
    gint64 expires = login_time(l, "expires_at");
    g_autofree char *token = g_strdup(first);
    for (int i = 0; i < 3; i++) {
        g_auto(Sim) s = { 0 };
        assert_true(sim_run(&s, auth_token_create, NULL, token_body(token, project_scope(i % 2 ? "admin" : "demo"))));
        g_free(token);
        token = g_strdup(reply_header(&s, "X-Subject-Token"));
        g_autoptr(Login) next = identity_login(db, token, NULL);
        assert_int_equal(login_time(next, "expires_at"), expires);
        assert_int_equal(json_array_size(dig(s.reply, "token.methods")), 2);
        assert_string_equal(json_string_value(json_array_get(dig(s.reply, "token.audit_ids"), 1)), login_fact(l, "audit_id"));
    }
}

static void revocation(void **state)
{
    (void) state;
    g_autofree char *token = login("demo", demo_password, project_scope("demo")), *boss = login("admin", admin_password, project_scope("admin"));
    g_auto(Sim) foreign = { .subject = boss };
    assert_false(sim_run(&foreign, auth_token_show, token, NULL));
    assert_int_equal(nv_error_code(foreign.err), NV_ERR_FORBIDDEN);
    g_auto(Sim) show = { .subject = token };
    assert_true(sim_run(&show, auth_token_show, boss, NULL));
    assert_int_equal(show.c.status, 200);
    g_auto(Sim) end = { .subject = token };
    assert_true(sim_run(&end, auth_token_revoke, token, NULL));
    assert_int_equal(end.c.status, 204);
    assert_false(valid(token));
    assert_true(valid(boss));
}

/* A token that has expired is refused though it is remembered, and one that expires is not made. */
static void expiry(void **state)
{
    (void) state;
    g_autofree char *token = login("admin", admin_password, project_scope("admin"));
    assert_true(valid(token));
    run_sql("UPDATE token SET expires_at = now_us() - 1", "");
    assert_false(valid(token));
    g_autoptr(json_t) methods = json_pack("[s]", "password");
    const Grant grant = { .user_id = admin_user, .system = true, .methods = methods, .expires_at = clock_wall_us() - 1 };
    g_autofree char *late = NULL;
    g_autoptr(GError) err = NULL;
    assert_null(token_issue(db, &grant, &late, &err));
    assert_int_equal(nv_error_code(err), NV_ERR_UNAUTHORIZED);
}

/* An expired password is known to be right, and only good for choosing another. */
static void password_expiry(void **state)
{
    (void) state;
    run_sql("UPDATE user SET password_expires_at = 1 WHERE name = 'demo'", "");
    refused(password_body("demo", demo_password, NULL), NV_ERR_UNAUTHORIZED);
    g_auto(Sim) s = { 0 };
    s.c.params[0] = demo_user;
    assert_true(sim_run(&s, user_password, NULL,
                        json_pack("{s:{s:s,s:s}}", "user", "original_password", demo_password, "password", "Fresh-1")));
    g_free(demo_password);
    demo_password = g_strdup("Fresh-1");
    g_autofree char *token = login("demo", demo_password, project_scope("demo"));
    assert_true(valid(token));
}

/* What a token rests on, taken away one by one: the next use fails. */
static void dependent_revocation(void **state)
{
    (void) state;
    static const char *const off[] = { "UPDATE user SET enabled=0 WHERE id='$'", "UPDATE project SET enabled=0 WHERE id='$'",
                                       "UPDATE domain SET enabled=0 WHERE id='$'" };
    const char *ids[] = { demo_user, demo_project, "default" };
    for (guint i = 0; i < G_N_ELEMENTS(off); i++) {
        g_autofree char *token = login("demo", demo_password, project_scope("demo"));
        assert_true(valid(token));
        run_sql(off[i], ids[i]);
        assert_false(valid(token));
        run_sql("UPDATE user SET enabled=1; UPDATE project SET enabled=1; UPDATE domain SET enabled=1", "");
    }
    g_autofree char *token = login("demo", demo_password, project_scope("demo"));
    g_autofree char *hash = password_hash("Another-1", NULL);
    run_sql("UPDATE user SET password_hash='$', password_generation=password_generation+1 WHERE name='demo'", hash);
    assert_false(valid(token));
    g_free(demo_password);
    demo_password = g_strdup("Another-1");
    g_autofree char *again = login("demo", demo_password, project_scope("demo"));
    run_sql("DELETE FROM assignment WHERE user_id='$'", demo_user);
    assert_false(valid(again));
    refused(password_body("demo", demo_password, project_scope("demo")), NV_ERR_UNAUTHORIZED);
    run_sql("INSERT INTO assignment(user_id, project_id, role_id) SELECT u.id, p.id, r.id FROM user u, project p, role r"
            " WHERE u.id='$' AND p.name='demo' AND r.name='member'", demo_user);
    assert_true(valid(again));
}

static void backoff(void **state)
{
    (void) state;
    int wait;
    for (int i = 0; i < 5; i++) {
        assert_true(backoff_check("203.0.113.9", &wait));
        backoff_failed("203.0.113.9");
    }
    assert_false(backoff_check("203.0.113.9", &wait));
    assert_in_range(wait, 1, 13);
    assert_true(backoff_check("203.0.113.10", &wait));
    for (int i = 0; i < 5; i++)
        backoff_failed("2001:db8:1:2::1");
    assert_false(backoff_check("2001:db8:1:2:ffff::7", &wait));
    assert_true(backoff_check("2001:db8:1:3::1", &wait));
    g_auto(Sim) s = { .c.client = "203.0.113.9" };
    assert_false(sim_run(&s, auth_token_create, NULL, password_body("demo", demo_password, NULL)));
    assert_int_equal(nv_error_code(s.err), NV_ERR_RATE);
    assert_non_null(reply_header(&s, "Retry-After"));
}

static void passwords(void **state)
{
    (void) state;
    g_autofree char *long_a = g_strnfill(1000, 'x'), *long_b = g_strnfill(1000, 'x'), *too_long = g_strnfill(PASSWORD_MAX + 1, 'x');
    long_b[999] = 'y';                                       /* equal in the first 72 bytes and far beyond */
    g_autofree char *hash = password_hash(long_a, NULL);
    bool match = false;
    assert_true(g_str_has_prefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$"));
    assert_true(password_verify(hash, long_a, &match, NULL) && match);
    assert_true(password_verify(hash, long_b, &match, NULL) && !match);
    assert_true(password_verify(NULL, long_a, &match, NULL) && !match);
    g_autoptr(GError) err = NULL;
    assert_null(password_hash(too_long, &err));
    assert_int_equal(nv_error_code(err), NV_ERR_INVALID);
}

static void policy(void **state)
{
    (void) state;
    static const char *const reader[] = { "reader", NULL }, *const member[] = { "member", "reader", NULL }, *const odd[] = { "odd", NULL };
    const Ctx anonymous = { .roles = no_roles }, r = { .user_id = "u", .project_id = "p", .roles = reader };
    const Ctx m = { .user_id = "u", .project_id = "p", .roles = member }, s = { .user_id = "u", .system = true, .roles = reader };
    const Ctx d = { .user_id = "u", .domain_id = "d", .roles = reader }, o = { .user_id = "u", .project_id = "p", .roles = odd };
    const struct { const Ctx *ctx; const char *may; } rows[] = {     /* a letter a rule, in the order of rules[] */
        { &anonymous, "A" }, { &r, "ALr" }, { &m, "ALrm" }, { &s, "ALsd" }, { &d, "ALd" }, { &o, "AL" },
    };
    static const struct { Rule rule; char letter; } rules[] = {
        { ANYONE, 'A' }, { AUTHENTICATED, 'L' }, { PROJECT_READER, 'r' }, { PROJECT_MEMBER, 'm' }, { SYSTEM_READER, 's' },
        { DOMAIN_READER, 'd' }, { DOMAIN_ADMIN, 'D' }, { ADMIN_ONLY, 'x' }, { RULE_UNSET, '-' },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        for (guint k = 0; k < G_N_ELEMENTS(rules); k++) {
            g_autoptr(GError) err = NULL;
            bool may = identity_allows(rows[i].ctx, rules[k].rule, &err);
            assert_true(may == (strchr(rows[i].may, rules[k].letter) != NULL));
            if (!may)
                assert_int_equal(nv_error_code(err), i == 0 ? NV_ERR_UNAUTHORIZED : NV_ERR_FORBIDDEN);
        }
}

/* RFC 6238, appendix B, of which the last six digits. */
static void access_rule_patterns(void **state)
{
    static const struct { const char *pattern, *path; bool matches; } cases[] = {
        { "/v2.1/servers", "/v2.1/servers", true },               { "/v2.1/servers", "/v2.1/servers/", false },
        { "/v2.1/servers", "/v2.1/server", false },               { "/v2.1/servers", "/v2.1/serverss", false },
        { "/v2.1/servers/*", "/v2.1/servers/x", true },           { "/v2.1/servers/*", "/v2.1/servers/", false },
        { "/v2.1/servers/*", "/v2.1/servers/x/y", false },        { "/v2.1/servers/{id}", "/v2.1/servers/x", true },
        { "/v2.1/servers/{id}/tags", "/v2.1/servers/x/tags", true }, { "/v2.1/servers/{id}/tags", "/v2.1/servers/x/y/tags", false },
        { "/v2.1/servers/a*", "/v2.1/servers/abc", true },        { "/v2.1/servers/a*", "/v2.1/servers/a", false },
        { "/v2.1/servers/*c", "/v2.1/servers/abc", true },        { "/v2.1/servers/*c", "/v2.1/servers/abcd", false },
        { "/v2.1/**", "/v2.1/", true },                           { "/v2.1/**", "/v2.1/a/b/c", true },
        { "/v2.1/**", "/v2.0/a", false },                         { "/v2.1/**/tags", "/v2.1/servers/x/tags", true },
        { "/v2.1/**/tags", "/v2.1/servers/x/action", false },     { "/v2.1/**/tags", "/v2.1/servers/x/tags/y", false },
        { "/v2.1/***", "/v2.1/ab", true },                        { "/v2.1/***", "/v2.1/", false },
        { "/a.c", "/abc", false },                                { "/{", "/{", true },
        { "/", "/", true },                                       { "", "/", false },
    };
    (void) state;
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        if (rule_path_matches(cases[i].pattern, cases[i].path) != cases[i].matches)
            fail_msg("%s %s", cases[i].pattern, cases[i].path);
    g_autofree char *rule = g_strnfill(128, '*'), *path = g_strnfill(5000, 'a');
    assert_false(rule_path_matches(rule, path));                  /* too long for anything */
    path[1024] = '\0';
    assert_true(rule_path_matches(rule, path));
    rule[0] = '/';
    assert_false(rule_path_matches(rule, path));
}

static void totp_vectors(void **state)
{
    (void) state;
    static const struct { gint64 s; const char *code; } known[] = { { 59, "287082" }, { 1111111109, "081804" }, { 20000000000, "353130" } };
    char code[TOTP_CODE];
    for (guint i = 0; i < G_N_ELEMENTS(known); i++) {
        assert_true(totp_code("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", known[i].s / 30, code));
        assert_string_equal(code, known[i].code);
    }
    assert_false(totp_code("not base 32!", 1, code));
    assert_false(totp_code("", 1, code));
}

static void quotas(void **state)
{
    (void) state;
    gint64 limit, used;
    g_autoptr(GError) err = NULL;
    assert_true(quota_get(db, demo_project, "key_pairs", &limit, &used, NULL));
    assert_int_equal(limit, 100);
    g_auto(Txn) txn = txn_begin(db, NULL);
    assert_true(quota_class_set(db, "default", "metadata_items", 7, NULL));
    assert_true(quota_get(db, demo_project, "metadata_items", &limit, &used, NULL));
    assert_int_equal(limit, 7);
    assert_true(quota_set(db, demo_project, "metadata_items", 3, NULL));
    assert_true(quota_check(db, demo_project, "metadata_items", 3, NULL));
    assert_false(quota_check(db, demo_project, "metadata_items", 4, &err));
    assert_int_equal(nv_error_code(err), NV_ERR_QUOTA);
    assert_false(quota_check(db, demo_project, "metadata_items", G_MAXINT64, NULL));
    assert_true(quota_set(db, demo_project, "metadata_items", -1, NULL));
    assert_true(quota_check(db, demo_project, "metadata_items", G_MAXINT64, NULL));
}

/* A changed public address: the catalog's own rows and the files follow, an administrator's endpoint stays. */
static void a_new_address(void **state)
{
    (void) state;
    g_autofree char *path = g_build_filename(dir, "admin-openrc", NULL), *text = NULL;
    run_sql("UPDATE endpoint SET url = 'http://own.example/$' WHERE interface = 'admin' AND url LIKE '%/image'", "image");
    assert_true(conf_override("api.public_url", "https://cloud.example:8774/", NULL));
    assert_true(identity_bootstrap(db, NULL));
    g_autoptr(GPtrArray) moved = rows_where(db, &endpoint_resource, NULL, "url", "https://cloud.example:8774/image", NULL);
    g_autoptr(GPtrArray) kept = rows_where(db, &endpoint_resource, NULL, "url", "http://own.example/image", NULL);
    assert_int_equal(moved->len, 2);
    assert_int_equal(kept->len, 1);
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    assert_non_null(strstr(text, "OS_AUTH_URL=https://cloud.example:8774/identity/v3\n"));
    assert_non_null(strstr(text, admin_password));
    assert_true(conf_override("api.public_url", "", NULL));
    assert_true(identity_bootstrap(db, NULL));
}

static void second_start_changes_nothing(void **state)
{
    (void) state;
    g_autofree char *path = g_build_filename(dir, "admin-openrc", NULL), *before = NULL, *after = NULL;
    assert_true(g_file_get_contents(path, &before, NULL, NULL));
    assert_true(identity_bootstrap(db, NULL));
    assert_true(g_file_get_contents(path, &after, NULL, NULL));
    assert_string_equal(before, after);
    g_autoptr(GPtrArray) users = rows_where(db, &user_resource, NULL, NULL);
    assert_int_equal(users->len, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_of_a_project), cmocka_unit_test(scopes), cmocka_unit_test(refusals), cmocka_unit_test(rescoping_never_prolongs),
        cmocka_unit_test(revocation), cmocka_unit_test(expiry), cmocka_unit_test(password_expiry), cmocka_unit_test(dependent_revocation), cmocka_unit_test(backoff), cmocka_unit_test(passwords),
        cmocka_unit_test(policy), cmocka_unit_test(quotas), cmocka_unit_test(access_rule_patterns), cmocka_unit_test(totp_vectors), cmocka_unit_test(second_start_changes_nothing), cmocka_unit_test(a_new_address),
    };
    return sodium_init() < 0 || cmocka_run_group_tests(tests, set_up, tear_down);
}
