/* identity/bootstrap.c -- the first start: who there is before anybody can create anybody. */
#include "core/conf.h"
#include "core/id.h"
#include "core/log.h"
#include "identity/internal.h"
#include <string.h>
#include <sys/stat.h>

static const char *const role_names[] = { "admin", "member", "reader" };

static const struct { const char *type, *name, *description, *path; } services[] = {
    { "identity", "keystone", "Identity", "/identity" },
    { "compute", "nova", "Compute", "/compute/v2.1" },
    { "image", "glance", "Images", "/image" },
    { "network", "neutron", "Networking", "/network" },
};

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

/* A row of res from string columns, "member", value, …, NULL; defaults for the rest.  Returns its id, which the caller frees. */
static char *insert(Db *db, const Resource *res, const char *id, GError **err, ...)
{
    static const char *const none[] = { NULL };
    const Ctx ctx = { .admin = true, .roles = none };
    g_autoptr(Row) row = row_new(res);
    g_autoptr(json_t) body = json_object();
    va_list ap;
    va_start(ap, err);
    for (const char *key; (key = va_arg(ap, const char *));)
        json_object_set_new(body, key, json_string(va_arg(ap, const char *)));
    va_end(ap);
    if (!row_parse(row, body, &ctx, CREATE, err))
        return NULL;
    g_autofree char *key = id ? g_strdup(id) : id_new_hex();
    row_set_str(row, FIELD_PTR(row, &res->fields[0], char *), key);
    return row_insert(db, row, err) ? g_steal_pointer(&key) : NULL;
}

static bool make_user(Made *m, int i, const char *name, GError **err)
{
    Db *db = m->db;
    m->project[i] = insert(db, &project_resource, NULL, err, "name", name, "domain_id", "default", "parent_id", "default", NULL);
    m->user[i] = m->project[i] ? insert(db, &user_resource, NULL, err, "name", name, "domain_id", "default", NULL) : NULL;
    g_autofree char *hash = m->user[i] ? password_hash(m->password[i], err) : NULL;
    return hash && db_exec(db, err, "user_password_set", "ss", m->user[i], hash);
}

static bool make_people(Made *m, GError **err)
{
    g_autofree char *domain = insert(m->db, &domain_resource, "default", err, "name", "Default", "description", "The default domain", NULL);
    for (guint i = 0; domain && i < G_N_ELEMENTS(m->role); i++)
        if (!(m->role[i] = insert(m->db, &role_resource, NULL, err, "name", role_names[i], NULL)))
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

static bool make_catalog(Db *db, const char *base, GError **err)
{
    static const char *const interfaces[] = { "public", "internal", "admin" };
    g_autofree char *region = insert(db, &region_resource, "RegionOne", err, NULL);
    if (!region)
        return false;
    for (guint i = 0; i < G_N_ELEMENTS(services); i++) {
        g_autofree char *url = g_strconcat(base, services[i].path, NULL);
        g_autofree char *service = insert(db, &service_resource, NULL, err, "type", services[i].type, "name", services[i].name, "description",
                                          services[i].description, NULL);
        for (guint k = 0; service && k < G_N_ELEMENTS(interfaces); k++) {
            g_autofree char *endpoint = insert(db, &endpoint_resource, NULL, err, "service_id", service, "region_id", region, "interface",
                                               interfaces[k], "url", url, NULL);
            if (!endpoint)
                return false;
        }
        if (!service)
            return false;
    }
    return true;
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

bool identity_bootstrap(Db *db, GError **err)
{
    gint64 fresh;
    g_auto(Made) m = { .db = db };
    if (!db_query_int(db, err, &fresh, "identity_is_new", "") || !fresh)
        return fresh == 0;
    g_autofree char *base = identity_public_url();
    m.password[0] = password_new();
    m.password[1] = password_new();
    g_auto(Txn) txn = txn_begin(db, err);
    /* The files come before the commit: passwords nobody knows would lock everybody out, files without a database are written again. */
    if (!txn.db || !make_people(&m, err) || !make_assignments(&m, err) || !make_catalog(db, base, err) || !write_files(&m, base, err))
        return false;
    identity_changed();
    if (!txn_commit(&txn, err))
        return false;
    log_info("identity.bootstrapped", "url", base, NULL);
    return true;
}
