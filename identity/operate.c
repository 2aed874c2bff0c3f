/* identity/operate.c -- `nuvolet ctl user|project|role|openrc|clouds`: the operator's way in when every password is lost. */
#include "core/clock.h"
#include "core/id.h"
#include "core/log.h"
#include "identity/internal.h"
#include <string.h>

enum { WORDS_MAX = 3, OPERATOR_TTL_S = 600 };
static const char *const no_roles[] = { NULL };
static const Ctx operator_ctx = { .admin = true, .roles = no_roles, .base_url = "" };

/* Words after the command, in order; the answer is text for people. */
typedef struct Order {
    Db *db;
    const char *words[WORDS_MAX];
    GString *out;
} Order;

/* An id, a name in the domain default, or DOMAIN/NAME. */
static Row *find(Order *o, const Resource *res, const char *word, GError **err)
{
    g_autoptr(Row) by_id = row_get(o->db, res, word, NULL);
    if (by_id)
        return g_steal_pointer(&by_id);
    const char *slash = strchr(word, '/');
    g_autofree char *domain = slash ? g_strndup(word, (gsize) (slash - word)) : g_strdup("Default"), *domain_id = NULL;
    if (!db_query_str(o->db, err, &domain_id, "domain_by_name", "s", domain))
        return NULL;
    g_autoptr(GPtrArray) rows = domain_id ? rows_where(o->db, res, err, "name", slash ? slash + 1 : word, "domain_id", domain_id, NULL) : NULL;
    if (domain_id && !rows)
        return NULL;
    if (!rows || !rows->len)
        return nv_fail(err, NV_ERR_NOT_FOUND, "there is no %s %s (an id, a name in the domain Default, or DOMAIN/NAME)", res->one, word), NULL;
    return g_ptr_array_steal_index(rows, 0);
}

static void user_free(User *u)
{
    row_free((Row *) u);
}
static void project_free(Project *p)
{
    row_free((Row *) p);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(User, user_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Project, project_free)

/* Changes as the API would make them, with their hooks. */
static Row *write_row(Order *o, const Resource *res, const char *id, const json_t *body, GError **err)
{
    Call c = { .db = o->db, .ctx = &operator_ctx };
    return id ? update_row(&c, res, id, body, err) : create_row(&c, res, body, err);
}

static bool user_list(Order *o, GError **err)
{
    g_autoptr(GPtrArray) rows = rows_where(o->db, &user_resource, err, NULL);
    for (guint i = 0; rows && i < rows->len; i++) {
        const User *u = rows->pdata[i];
        g_string_append_printf(o->out, "%-34s %-9s %-24s %s\n", u->id, u->enabled ? "enabled" : "disabled", u->name, u->domain_id);
    }
    return rows != NULL;
}

static bool set_password(Order *o, const User *u, GError **err)
{
    g_autofree char *password = password_new(), *hash = password_hash(password, err);
    g_autoptr(json_t) body = hash ? json_make("sb", "password", hash, "enabled", true) : NULL;
    g_autoptr(Row) row = body ? write_row(o, &user_resource, u->id, body, err) : NULL;
    if (row)
        g_string_append_printf(o->out, "user %s, password %s\n", u->name, password);
    return row != NULL;
}

static bool user_password_reset(Order *o, GError **err)
{
    g_autoptr(User) u = (User *) find(o, &user_resource, o->words[0], err);
    return u && set_password(o, u, err);
}

static bool user_make(Order *o, GError **err)
{
    g_autoptr(json_t) body = json_make("s", "name", o->words[0]);
    g_autoptr(User) u = (User *) write_row(o, &user_resource, NULL, body, err);
    return u && set_password(o, u, err);
}

static bool set_enabled(Order *o, bool enabled, GError **err)
{
    g_autoptr(User) u = (User *) find(o, &user_resource, o->words[0], err);
    g_autoptr(json_t) body = json_make("b", "enabled", enabled);
    g_autoptr(Row) row = u ? write_row(o, &user_resource, u->id, body, err) : NULL;
    if (row)
        g_string_append_printf(o->out, "user %s is %s\n", u->name, enabled ? "enabled" : "disabled");
    return row != NULL;
}

static bool user_enable(Order *o, GError **err)
{
    return set_enabled(o, true, err);
}

static bool user_disable(Order *o, GError **err)
{
    return set_enabled(o, false, err);
}

static bool project_list_all(Order *o, GError **err)
{
    g_autoptr(GPtrArray) rows = rows_where(o->db, &project_resource, err, NULL);
    for (guint i = 0; rows && i < rows->len; i++) {
        const Project *p = rows->pdata[i];
        g_string_append_printf(o->out, "%-34s %-9s %-24s %s\n", p->id, p->enabled ? "enabled" : "disabled", p->name, p->domain_id);
    }
    return rows != NULL;
}

static bool project_make(Order *o, GError **err)
{
    g_autoptr(json_t) body = json_make("s", "name", o->words[0]);
    g_autoptr(Project) p = (Project *) write_row(o, &project_resource, NULL, body, err);
    if (p)
        g_string_append_printf(o->out, "project %s, id %s\n", p->name, p->id);
    return p != NULL;
}

static bool role_names(Order *o, GError **err)
{
    g_autoptr(GPtrArray) rows = rows_where(o->db, &role_resource, err, NULL);
    for (guint i = 0; rows && i < rows->len; i++) {
        const Role *r = rows->pdata[i];
        g_string_append_printf(o->out, "%-34s %s\n", r->id, r->name);
    }
    return rows != NULL;
}

/* USER ROLE PROJECT|system */
static bool change_role(Order *o, const char *statement, const char *done, GError **err)
{
    bool system = strcmp(o->words[2], "system") == 0;
    g_autoptr(User) u = (User *) find(o, &user_resource, o->words[0], err);
    g_autoptr(GPtrArray) roles = u ? rows_where(o->db, &role_resource, err, "name", o->words[1], NULL) : NULL;
    if (!roles)
        return false;
    if (!roles->len)
        return nv_fail(err, NV_ERR_NOT_FOUND, "there is no role %s", o->words[1]);
    g_autoptr(Project) p = system ? NULL : (Project *) find(o, &project_resource, o->words[2], err);
    if (!p && !system)
        return false;
    g_auto(Txn) txn = txn_begin(o->db, err);
    if (!txn.db || !db_exec(o->db, err, statement, "sssssi", u->id, NULL, p ? p->id : NULL, NULL, ((Role *) roles->pdata[0])->id, (gint64) 0))
        return false;
    identity_changed();
    g_string_append_printf(o->out, "%s the role %s on %s %s %s\n", done, o->words[1], o->words[2],
                           strcmp(done, "gave") == 0 ? "to" : "from", u->name);
    return txn_commit(&txn, err);
}

static bool role_add(Order *o, GError **err)
{
    return change_role(o, "assignment_insert", "gave", err);
}

static bool role_remove(Order *o, GError **err)
{
    return change_role(o, "assignment_delete", "took", err);
}

/* A line "name value" in the shell's or in YAML's quoting (a JSON string is one): names are anybody's choice. */
static void put_quoted(Order *o, bool shell, const char *before, const char *value)
{
    g_autoptr(json_t) text = json_string(value);
    g_autofree char *quoted = shell ? g_shell_quote(value) : NULL;
    char *plain = shell ? NULL : json_dumps(text, JSON_ENCODE_ANY);
    g_string_append_printf(o->out, "%s%s\n", before, shell ? quoted : plain);
    free(plain);
}

/* The password is not known here: what is printed asks for it. */
static bool access_file(Order *o, bool shell, GError **err)
{
    g_autoptr(User) u = (User *) find(o, &user_resource, o->words[0], err);
    g_autoptr(Project) p = u ? (Project *) find(o, &project_resource, o->words[1], err) : NULL;
    g_autofree char *base = identity_public_url(), *url = g_strconcat(base, "/identity/v3", NULL);
    if (!p)
        return false;
    const struct { const char *shell, *yaml, *value; } lines[] = {
        { "export OS_AUTH_URL=", "      auth_url: ", url }, { "export OS_USERNAME=", "      username: ", u->name },
        { "export OS_USER_DOMAIN_ID=", "      user_domain_id: ", u->domain_id }, { "export OS_PROJECT_NAME=", "      project_name: ", p->name },
        { "export OS_PROJECT_DOMAIN_ID=", "      project_domain_id: ", p->domain_id },
    };
    g_string_append(o->out, shell ? "" : "clouds:\n  nuvolet:\n    auth:\n");
    for (guint i = 0; i < G_N_ELEMENTS(lines); i++)
        put_quoted(o, shell, shell ? lines[i].shell : lines[i].yaml, lines[i].value);
    g_string_append(o->out, shell ? "export OS_REGION_NAME=RegionOne OS_IDENTITY_API_VERSION=3\n"
                                    "read -rsp 'Password: ' OS_PASSWORD && export OS_PASSWORD\n"
                                  : "    region_name: RegionOne\n    identity_api_version: 3\n");
    return true;
}

static bool openrc(Order *o, GError **err)
{
    return access_file(o, true, err);
}

static bool clouds(Order *o, GError **err)
{
    return access_file(o, false, err);
}

/* clang-format off */
static const struct { const char *noun, *verb; int words; bool (*run)(Order *o, GError **err); const char *help; } orders[] = {
    { "user",    "list",     0, user_list,           "user list" },
    { "user",    "create",   1, user_make,           "user create NAME                 with a new password, printed once" },
    { "user",    "password", 1, user_password_reset, "user password USER               a new password, printed once; enables the user" },
    { "user",    "enable",   1, user_enable,         "user enable USER" },
    { "user",    "disable",  1, user_disable,        "user disable USER" },
    { "project", "list",     0, project_list_all,    "project list" },
    { "project", "create",   1, project_make,        "project create NAME" },
    { "project", "purge",    1, NULL,                "project purge PROJECT [--yes]    what it owns; with --yes, deletes all of it and the project" },
    { "role",    "list",     0, role_names,          "role list" },
    { "role",    "add",      3, role_add,            "role add USER ROLE PROJECT|system" },
    { "role",    "remove",   3, role_remove,         "role remove USER ROLE PROJECT|system" },
    { "openrc",  NULL,       2, openrc,              "openrc USER PROJECT              shell variables for the openstack client" },
    { "clouds",  NULL,       2, clouds,              "clouds USER PROJECT              the same as clouds.yaml" },
};
/* clang-format on */

char *identity_project_find(Db *db, const char *word, GError **err)
{
    Order o = { .db = db };
    g_autoptr(Project) p = (Project *) find(&o, &project_resource, word, err);
    return p ? g_strdup(p->id) : NULL;
}

char *identity_operator_token(Db *db, GError **err)
{
    g_autoptr(json_t) rows = db_query(db, err, "some_administrator", ""), methods = json_pack("[s]", "operator");
    const json_t *who = json_array_get(rows, 0);
    char *token = NULL;
    if (!rows)
        return NULL;
    if (!who)
        return nv_fail(err, NV_ERR_NOT_FOUND, "no enabled user is an administrator: see nuvolet ctl role add"), NULL;
    const char *project = json_get_str(who, "project_id");
    Grant grant = { .user_id = json_get_str(who, "user_id"), .project_id = project, .system = !project, .methods = methods,
                    .expires_at = clock_wall_us() + OPERATOR_TTL_S * G_USEC_PER_SEC };
    g_autoptr(Login) l = token_issue(db, &grant, &token, err);
    return l ? token : NULL;
}

void identity_operator_done(Db *db, const char *token)
{
    g_autoptr(Login) l = identity_login(db, token, NULL);
    g_autoptr(GError) err = NULL;
    if (l && !token_revoke(db, l, &err))
        log_warn("identity.operator_token", "why", err->message, NULL);
}

const char *identity_order_help(guint i)
{
    return i < G_N_ELEMENTS(orders) ? orders[i].help : NULL;
}

bool identity_is_order(const char *noun)
{
    for (guint i = 0; i < G_N_ELEMENTS(orders); i++)
        if (strcmp(orders[i].noun, noun) == 0)
            return true;
    return false;
}

char *identity_order(Db *db, const json_t *words, GError **err)
{
    const char *noun = json_string_value(json_array_get(words, 0)), *verb = json_string_value(json_array_get(words, 1));
    for (guint i = 0; noun && i < G_N_ELEMENTS(orders); i++) {
        size_t skip = orders[i].verb ? 2 : 1;
        if (strcmp(orders[i].noun, noun) != 0 || (orders[i].verb && g_strcmp0(orders[i].verb, verb) != 0))
            continue;
        if (!orders[i].run || json_array_size(words) != skip + (size_t) orders[i].words)
            break;
        Order o = { .db = db };
        for (int k = 0; k < orders[i].words; k++)
            if (!(o.words[k] = json_string_value(json_array_get(words, skip + (size_t) k))))
                return nv_fail(err, NV_ERR_INVALID, "words are strings"), NULL;
        o.out = g_string_new(NULL);
        bool ok = orders[i].run(&o, err);
        if (ok)
            log_info("identity.operator", "noun", noun, "verb", orders[i].verb, "word", o.words[0], NULL);
        return g_string_free(o.out, !ok);
    }
    g_autoptr(GString) all = g_string_new("usage:");
    for (guint i = 0; i < G_N_ELEMENTS(orders); i++)
        if (!noun || strcmp(orders[i].noun, noun) == 0)
            g_string_append_printf(all, "\n  nuvolet ctl %s", orders[i].help);
    return nv_fail(err, NV_ERR_INVALID, "%s", all->str), NULL;
}
