/* identity/owned.c -- what projects and users own elsewhere in the cloud: nothing is deleted from under it, nothing is left over. */
#include "identity/internal.h"

bool check_owns_nothing(Db *db, const char *project_id, const char *domain_id, GError **err)
{
    size_t i;
    json_t *row;
    g_autoptr(json_t) rows = db_query(db, err, "owned_things", "ss", project_id, domain_id);
    g_autoptr(GString) what = g_string_new(NULL);
    if (!rows)
        return false;
    json_array_foreach(rows, i, row) {
        const char *kind = json_get_str(row, "kind");
        gint64 n = json_get_int(row, "n", 0);
        g_string_append_printf(what, "%s%" G_GINT64_FORMAT " %s%s", i ? ", " : "", n, kind, n == 1 ? "" : "s");
    }
    if (!what->len)
        return true;
    return nv_fail(err, NV_ERR_CONFLICT, "The %s %s still owns %s; delete them first.", project_id ? "project" : "domain",
                   project_id ? project_id : domain_id, what->str);
}

bool project_forget(Db *db, const char *project_id, GError **err)
{
    static const char *const statements[] = { "forget_default_project", "forget_project_quota" };
    for (guint i = 0; i < G_N_ELEMENTS(statements); i++)
        if (!db_exec(db, err, statements[i], "s", project_id))
            return false;
    return true;
}

bool user_forget(Db *db, const char *user_id, GError **err)
{
    static const char *const statements[] = { "forget_app_credential_rules" };
    for (guint i = 0; i < G_N_ELEMENTS(statements); i++)
        if (!db_exec(db, err, statements[i], "s", user_id))
            return false;
    return true;
}
