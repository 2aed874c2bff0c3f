/* identity/bootstrap.c -- the first start: who there is before anybody can create anybody. */
#include "core/conf.h"
#include "core/id.h"
#include "core/log.h"
#include "identity/internal.h"
#include <string.h>
#include <sys/stat.h>

static const char *const role_names[] = { "admin", "member", "reader" };

/* Ids of what was made so far. */
typedef struct Made {
    Db *db;
    char *project[2], *user[2], *password[2], *role[3];       /* projects and users: admin, demo */
} Made;

static void made_clear(Made *m)
{
    for (int i = 0; i < 2; i++) {
        g_free(m->project[i]);
        g_free(m->user[i]);
        g_free(m->password[i]);
    }
    for (guint i = 0; i < G_N_ELEMENTS(m->role); i++)
        g_free(m->role[i]);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Made, made_clear)

static bool make_user(Made *m, int i, const char *name, GError **err)
{
    Db *db = m->db;
    m->project[i] = seed_row(db, &project_resource, NULL, err, "name", name, "domain_id", "default", "parent_id", "default", NULL);
    m->user[i] = m->project[i] ? seed_row(db, &user_resource, NULL, err, "name", name, "domain_id", "default", NULL) : NULL;
    g_autofree char *hash = m->user[i] ? password_hash(m->password[i], err) : NULL;
    return hash && db_exec(db, err, "user_password_set", "ss", m->user[i], hash);
}

static bool make_people(Made *m, GError **err)
{
    g_autofree char *domain = seed_row(m->db, &domain_resource, "default", err, "name", "Default", "description", "The default domain", NULL);
    for (guint i = 0; domain && i < G_N_ELEMENTS(m->role); i++)
        if (!(m->role[i] = seed_row(m->db, &role_resource, NULL, err, "name", role_names[i], NULL)))
            return false;
    for (int i = 0; domain && i < 2; i++)
        if (!db_exec(m->db, err, "implied_role_insert", "ss", m->role[i], m->role[i + 1]))
            return false;
    return domain && make_user(m, 0, "admin", err) && make_user(m, 1, "demo", err);
}

static bool assign(Made *m, const char *user, const char *project, const char *domain, const char *role, GError **err)
{
    return db_exec(m->db, err, "assignment_insert", "sssssi", user, NULL, project, domain, role, (gint64) 0);
}

static bool make_assignments(Made *m, GError **err)
{
    const char *admin = m->role[0], *member = m->role[1];
    return assign(m, m->user[0], m->project[0], NULL, admin, err) && assign(m, m->user[0], m->project[1], NULL, admin, err)
        && assign(m, m->user[0], NULL, "default", admin, err) && assign(m, m->user[0], NULL, NULL, admin, err)
        && assign(m, m->user[1], m->project[1], NULL, member, err);
}

char *identity_public_url(void)
{
    g_autofree char *url = g_strdup(conf_str("api.public_url"));
    gsize n = strlen(url);
    if (n && url[n - 1] == '/')
        url[n - 1] = '\0';
    if (n)
        return g_steal_pointer(&url);
    const char *address = conf_str("api.address");
    bool any = strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
    const char *open = strchr(address, ':') && !any ? "[" : "", *close = *open ? "]" : "";
    return g_strdup_printf("%s://%s%s%s:%d", *conf_str("api.tls_cert") ? "https" : "http", open, any ? "127.0.0.1" : address, close,
                           (int) conf_int("api.port"));
}

static bool write_private(const char *name, const char *text, GError **err)
{
    g_autofree char *path = conf_path("paths.state", "%s", name);
    return g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_DURABLE, 0600, err);
}

static bool write_openrc(const char *name, const char *password, const char *base, GError **err)
{
    g_autofree char *file = g_strconcat(name, "-openrc", NULL);
    g_autofree char *text = g_strdup_printf(
        "export OS_AUTH_URL=%s/identity/v3\nexport OS_IDENTITY_API_VERSION=3\nexport OS_USERNAME=%s\nexport OS_PASSWORD=%s\n"
        "export OS_PROJECT_NAME=%s\nexport OS_USER_DOMAIN_ID=default\nexport OS_PROJECT_DOMAIN_ID=default\nexport OS_REGION_NAME=RegionOne\n",
        base, name, password, name);
    return write_private(file, text, err);
}

static void add_cloud(GString *out, const char *cloud, const char *name, const char *password, const char *scope, const char *base)
{
    g_string_append_printf(out,
                           "  %s:\n    auth:\n      auth_url: %s/identity/v3\n      username: %s\n      password: %s\n"
                           "      user_domain_id: default\n%s    region_name: RegionOne\n    identity_api_version: 3\n",
                           cloud, base, name, password, scope);
}

static bool write_files(const Made *m, const char *base, GError **err)
{
    g_autoptr(GString) clouds = g_string_new("clouds:\n");
    add_cloud(clouds, "nuvolet", "demo", m->password[1], "      project_name: demo\n      project_domain_id: default\n", base);
    add_cloud(clouds, "nuvolet-admin", "admin", m->password[0], "      project_name: admin\n      project_domain_id: default\n", base);
    add_cloud(clouds, "nuvolet-system", "admin", m->password[0], "      system_scope: all\n", base);
    return write_private("clouds.yaml", clouds->str, err) && write_openrc("admin", m->password[0], base, err)
        && write_openrc("demo", m->password[1], base, err);
}

static bool first_start(Db *db, const char *base, GError **err)
{
    g_auto(Made) m = { .db = db };
    m.password[0] = password_new();
    m.password[1] = password_new();
    /* The files come before the commit: passwords nobody knows would lock everybody out, files without a database are written again. */
    return make_people(&m, err) && make_assignments(&m, err) && write_files(&m, base, err);
}

/* Whoever sources the files written at the first start reaches the cloud at its present address. */
static bool move_files(const char *old, const char *base, GError **err)
{
    static const char *const names[] = { "admin-openrc", "demo-openrc", "clouds.yaml" };
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = conf_path("paths.state", "%s", names[i]), *text = NULL;
        if (!g_file_get_contents(path, &text, NULL, NULL))
            continue;
        g_auto(GStrv) parts = g_strsplit(text, old, -1);
        g_autofree char *fresh = g_strjoinv(base, parts);
        if (!write_private(names[i], fresh, err))
            return false;
    }
    return true;
}

bool identity_bootstrap(Db *db, GError **err)
{
    gint64 fresh;
    g_autofree char *base = identity_public_url(), *old = NULL;
    g_auto(Txn) txn = txn_begin(db, err);
    if (!txn.db || !db_query_int(db, err, &fresh, "identity_is_new", "") || (fresh && !first_start(db, base, err))
        || !catalog_seed(db, base, &old, err) || (old && !move_files(old, base, err)))
        return false;
    identity_changed();
    if (!txn_commit(&txn, err))
        return false;
    if (fresh || old)
        log_info(fresh ? "identity.bootstrapped" : "identity.moved", "url", base, "from", old, NULL);
    return true;
}
