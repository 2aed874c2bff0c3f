/* identity/owned.c -- what projects and users own elsewhere in the cloud: nothing is deleted from under it, nothing is left over. */
#include "identity/internal.h"
#include <string.h>

static ProjectGone *watchers[4];         /* set before threads start */
static guint n_watchers;

void identity_on_project_gone(ProjectGone *fn)
{
    g_assert(n_watchers < G_N_ELEMENTS(watchers));
    watchers[n_watchers++] = fn;
}

/* rows: array of {"kind", "n"}. */
static bool refuse_if_any(const json_t *rows, const char *what, const char *id, GError **err)
{
    size_t i;
    json_t *row;
    g_autoptr(GString) list = g_string_new(NULL);
    json_array_foreach((json_t *) rows, i, row) {
        gint64 n = json_get_int(row, "n", 0);
        const char *kind = json_get_str(row, "kind");
        bool ies = n != 1 && g_str_has_suffix(kind, "y");
        g_string_append_printf(list, "%s%" G_GINT64_FORMAT " %.*s%s", i ? ", " : "", n, (int) strlen(kind) - ies, kind,
                               n == 1 ? "" : ies ? "ies" : "s");
    }
    return !list->len || nv_fail(err, NV_ERR_CONFLICT, "The %s %s still owns %s; delete them first.", what, id, list->str);
}

bool check_owns_nothing(Db *db, const char *project_id, const char *domain_id, GError **err)
{
    g_autoptr(json_t) rows = db_query(db, err, "owned_things", "ss", project_id, domain_id);
    return rows && refuse_if_any(rows, project_id ? "project" : "domain", project_id ? project_id : domain_id, err);
}

bool project_forget(Db *db, const char *project_id, GError **err)
{
    static const char *const statements[] = {
        "forget_default_project", "forget_project_quota", "forget_rbac", "forget_flavor_access", "forget_image_members",
    };
    for (guint i = 0; i < G_N_ELEMENTS(statements); i++)
        if (!db_exec(db, err, statements[i], "s", project_id))
            return false;
    for (guint i = 0; i < n_watchers; i++)
        if (!watchers[i](db, project_id, err))
            return false;
    return true;
}

bool user_forget(Db *db, const char *user_id, GError **err)
{
    g_autoptr(json_t) rows = db_query(db, err, "owned_by_user", "s", user_id);
    return rows && refuse_if_any(rows, "user", user_id, err) && db_exec(db, err, "forget_app_credential_rules", "s", user_id)
        && db_exec(db, err, "forget_keypairs", "s", user_id);
}

static bool each(Db *db, const char *query, const char *domain_id, bool (*forget)(Db *db, const char *id, GError **err), GError **err)
{
    size_t i;
    json_t *row;
    g_autoptr(json_t) rows = db_query(db, err, query, "s", domain_id);
    json_array_foreach(rows, i, row)
        if (!forget(db, json_get_str(row, "id"), err))
            return false;
    return rows != NULL;
}

bool domain_forget(Db *db, const char *domain_id, GError **err)
{
    return each(db, "projects_of_domain", domain_id, project_forget, err) && each(db, "users_of_domain", domain_id, user_forget, err);
}
