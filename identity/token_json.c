/* identity/token_json.c -- a token and its catalog as Keystone writes them. */
#include "core/clock.h"
#include "core/conf.h"
#include "identity/internal.h"
#include <string.h>

static void put_time(JsonW *w, const char *key, gint64 us)
{
    char text[32];
    if (us) {
        clock_format(us, CLOCK_MICROS_Z, text);
        jw_kstr(w, key, text);
    } else {
        jw_knull(w, key);
    }
}

static void put_named(JsonW *w, const char *key, const char *id, const char *name)
{
    jw_key(w, key);
    jw_object(w);
    jw_kstr(w, "id", id);
    jw_kstr(w, "name", name);
    jw_end_object(w);
}

static void put_user(const Login *l, JsonW *w)
{
    jw_key(w, "user");
    jw_object(w);
    put_named(w, "domain", login_fact(l, "user_domain_id"), login_fact(l, "user_domain_name"));
    jw_kstr(w, "id", login_fact(l, "user_id"));
    jw_kstr(w, "name", login_fact(l, "user_name"));
    put_time(w, "password_expires_at", login_time(l, "password_expires_at"));
    jw_end_object(w);
}

static void put_scope(const Login *l, JsonW *w)
{
    if (login_fact(l, "project_id")) {
        jw_key(w, "project");
        jw_object(w);
        put_named(w, "domain", login_fact(l, "project_domain_id"), login_fact(l, "project_domain_name"));
        jw_kstr(w, "id", login_fact(l, "project_id"));
        jw_kstr(w, "name", login_fact(l, "project_name"));
        jw_end_object(w);
        jw_kbool(w, "is_domain", false);
    } else if (login_fact(l, "domain_id")) {
        put_named(w, "domain", login_fact(l, "domain_id"), login_fact(l, "domain_name"));
    } else if (login_time(l, "system")) {
        jw_key(w, "system");
        jw_object(w);
        jw_kbool(w, "all", true);
        jw_end_object(w);
    }
}

/* What the token is less than its user. */
static void put_delegation(const Login *l, JsonW *w)
{
    if (login_fact(l, "trust_id")) {
        jw_key(w, "OS-TRUST:trust");
        jw_object(w);
        jw_kstr(w, "id", login_fact(l, "trust_id"));
        jw_kbool(w, "impersonation", login_time(l, "impersonation"));
        jw_key(w, "trustor_user");
        jw_object(w);
        jw_kstr(w, "id", login_fact(l, "trustor_user_id"));
        jw_end_object(w);
        jw_key(w, "trustee_user");
        jw_object(w);
        jw_kstr(w, "id", login_fact(l, "trustee_user_id"));
        jw_end_object(w);
        jw_end_object(w);
    }
    if (login_fact(l, "app_credential_id")) {
        jw_key(w, "application_credential");
        jw_object(w);
        jw_kstr(w, "id", login_fact(l, "app_credential_id"));
        jw_kstr(w, "name", login_fact(l, "app_credential_name"));
        jw_kbool(w, "restricted", !login_time(l, "unrestricted"));
        if (login_rules(l))
            jw_kjson(w, "access_rules", login_rules(l));
        jw_end_object(w);
    }
}

static void put_roles(const Login *l, JsonW *w)
{
    size_t i;
    json_t *role;
    jw_key(w, "roles");
    jw_array(w);
    json_array_foreach((json_t *) login_roles(l), i, role) {
        jw_object(w);
        jw_kstr(w, "id", json_get_str(role, "id"));
        jw_kstr(w, "name", json_get_str(role, "name"));
        jw_end_object(w);
    }
    jw_end_array(w);
}

static bool is_scoped(const Login *l)
{
    return login_fact(l, "project_id") || login_fact(l, "domain_id") || login_time(l, "system");
}

bool token_render(Db *db, const Login *l, bool catalog, JsonW *w, GError **err)
{
    jw_object(w);
    jw_key(w, "token");
    jw_object(w);
    jw_key(w, "methods");
    jw_raw(w, login_fact(l, "methods"));
    put_user(l, w);
    jw_key(w, "audit_ids");
    jw_array(w);
    jw_str(w, login_fact(l, "audit_id"));
    if (login_fact(l, "parent_audit_id"))
        jw_str(w, login_fact(l, "parent_audit_id"));
    jw_end_array(w);
    put_time(w, "expires_at", login_time(l, "expires_at"));
    put_time(w, "issued_at", login_time(l, "issued_at"));
    put_scope(l, w);
    put_delegation(l, w);
    if (is_scoped(l)) {
        put_roles(l, w);
        if (catalog) {
            jw_key(w, "catalog");
            if (!catalog_render(db, login_fact(l, "project_id"), login_fact(l, "user_id"), w, err))
                return false;
        }
    }
    jw_end_object(w);
    jw_end_object(w);
    return true;
}

/* Fills in $(project_id)s, %(tenant_id)s … of an endpoint's address; NULL where the caller has no such thing. */
static char *url_fill(const char *url, const char *project_id, const char *user_id)
{
    const struct { const char *name, *value; } names[] = {
        { "project_id)s", project_id }, { "tenant_id)s", project_id }, { "user_id)s", user_id },
    };
    g_autoptr(GString) out = g_string_new(NULL);
    for (const char *p = url; *p;) {
        guint i = G_N_ELEMENTS(names);
        if ((*p == '$' || *p == '%') && p[1] == '(')
            for (i = 0; i < G_N_ELEMENTS(names) && !g_str_has_prefix(p + 2, names[i].name);)
                i++;
        if (i == G_N_ELEMENTS(names)) {
            g_string_append_c(out, *p++);
            continue;
        }
        if (!names[i].value)
            return NULL;
        g_string_append(out, names[i].value);
        p += 2 + strlen(names[i].name);
    }
    return g_string_free(g_steal_pointer(&out), FALSE);
}

static void put_endpoint(const json_t *e, const char *url, JsonW *w)
{
    jw_object(w);
    jw_kstr(w, "id", json_get_str(e, "id"));
    jw_kstr(w, "interface", json_get_str(e, "interface"));
    jw_kstr(w, "region_id", json_get_str(e, "region_id"));
    jw_kstr(w, "region", json_get_str(e, "region_id"));
    jw_kstr(w, "url", url);
    jw_end_object(w);
}

bool catalog_render(Db *db, const char *project_id, const char *user_id, JsonW *w, GError **err)
{
    g_autoptr(json_t) rows = db_query(db, err, "catalog", "s", project_id);
    const char *service = NULL;
    size_t i;
    json_t *e;
    if (!rows)
        return false;
    jw_array(w);
    json_array_foreach(rows, i, e) {
        g_autofree char *url = url_fill(json_get_str(e, "url"), project_id, user_id);
        const char *id = json_get_str(e, "service_id");
        if (!url)
            continue;
        if (!service || strcmp(service, id) != 0) {
            if (service) {
                jw_end_array(w);
                jw_end_object(w);
            }
            service = id;
            jw_object(w);
            jw_kstr(w, "id", id);
            jw_kstr(w, "type", json_get_str(e, "type"));
            jw_kstr(w, "name", json_get_str(e, "name"));
            jw_key(w, "endpoints");
            jw_array(w);
        }
        put_endpoint(e, url, w);
    }
    if (service) {
        jw_end_array(w);
        jw_end_object(w);
    }
    jw_end_array(w);
    return true;
}
