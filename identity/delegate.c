/* identity/delegate.c -- parts of somebody's roles, given away: parsing and writing them. */
#include "identity/delegate.h"
#include "core/clock.h"
#include <sodium.h>
#include <string.h>

static const char *find_held(const json_t *held, const char *id, const char *name)
{
    size_t i;
    json_t *role;
    json_array_foreach((json_t *) held, i, role)
        if (id ? strcmp(json_get_str(role, "id"), id) == 0 : strcmp(json_get_str(role, "name"), name) == 0)
            return json_get_str(role, "id");
    return NULL;
}

json_t *delegate_roles(const json_t *list, const json_t *held, NvErr missing, GError **err)
{
    size_t i;
    json_t *role;
    g_autoptr(json_t) ids = json_array();
    if (!json_is_array(list) || json_array_size(list) > 64)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'roles': it is not a list of at most 64 roles"), NULL;
    json_array_foreach((json_t *) list, i, role) {
        const char *id = json_get_str(role, "id"), *name = json_get_str(role, "name");
        if (!id && !name)
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'roles': item %zu needs an id or a name", i), NULL;
        const char *found = find_held(held, id, name);
        if (!found)
            return nv_fail(err, missing, "Could not find role assignment with role: %.64s.", id ? id : name), NULL;
        json_array_append_new(ids, json_string(found));
    }
    return g_steal_pointer(&ids);
}

bool delegate_put_roles(const Call *c, const char *query, const char *id, bool links, JsonW *w, GError **err)
{
    size_t i;
    json_t *role;
    g_autoptr(json_t) rows = db_query(c->db, err, query, "s", id);
    if (!rows)
        return false;
    jw_array(w);
    json_array_foreach(rows, i, role) {
        g_autofree char *path = g_strconcat("roles/", json_get_str(role, "id"), NULL), *self = self_url(c->ctx, path);
        jw_object(w);
        jw_kstr(w, "id", json_get_str(role, "id"));
        jw_kstr(w, "name", json_get_str(role, "name"));
        jw_kstr(w, "domain_id", json_get_str(role, "domain_id"));
        if (links) {
            jw_key(w, "links");
            jw_object(w);
            jw_kstr(w, "self", self);
            jw_end_object(w);
        }
        jw_end_object(w);
    }
    jw_end_array(w);
    return true;
}

bool delegate_expiry(const json_t *body, gint64 *ret_us, GError **err)
{
    const json_t *v = json_object_get(body, "expires_at");
    *ret_us = 0;
    if (!v || json_is_null(v))
        return true;
    if (!json_is_string(v) || !clock_parse(json_string_value(v), ret_us))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'expires_at': it is not a time in ISO 8601");
    return *ret_us > clock_wall_us() || nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'expires_at': it is in the past");
}

void put_when(JsonW *w, const char *key, gint64 us)
{
    char text[32];
    if (us)
        clock_format(us, CLOCK_MICROS_Z, text);
    jw_kstr(w, key, us ? text : NULL);
}

char *secret_new(void)
{
    guint8 b[36];
    char text[64];
    randombytes_buf(b, sizeof b);
    return g_strdup(sodium_bin2base64(text, sizeof text, b, sizeof b, sodium_base64_VARIANT_URLSAFE_NO_PADDING));
}
