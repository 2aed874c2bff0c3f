/* image/metadef.c -- namespaces of metadata definitions.  Hand-written: a namespace is named by its own text, and may come with all it holds. */
#include "image/metadef.h"
#include "core/clock.h"
#include <string.h>

enum { NAME_MAX_CHARS = 80, ITEMS_MAX = 256, LIST_MAX = 1000, LIST_DEFAULT = 25 };

const MetaField metadef_namespace_fields[] = {
    { "display_name", JSON_STRING, false, 80 }, { "description", JSON_STRING, false, 500 }, { "visibility", JSON_STRING, false, 16 },
    { "protected", JSON_TRUE, false, 0 },       { "owner", JSON_STRING, false, 255 },       { "resource_type_associations", JSON_ARRAY, false, 0 },
    { "properties", JSON_OBJECT, false, 0 },    { "objects", JSON_ARRAY, false, 0 },        { "tags", JSON_ARRAY, false, 0 },
    { NULL },
};

static bool type_fits(const MetaField *f, const json_t *v)
{
    if (f->type == JSON_TRUE)
        return json_is_boolean(v);
    if (f->type == JSON_REAL)
        return json_is_number(v);
    if (f->type == JSON_NULL)
        return true;                                       /* anything */
    return json_typeof(v) == f->type && (f->type != JSON_STRING || g_utf8_strlen(json_string_value(v), -1) <= f->text);
}

bool metadef_check(const json_t *body, const char *name_key, const MetaField *fields, json_t **ret_rest, GError **err)
{
    static const char *const read_only[] = { "created_at", "updated_at", "self", "schema", NULL };
    const char *key, *name = json_get_str(body, name_key);
    json_t *value;
    if (!json_is_object(body))
        return nv_fail(err, NV_ERR_INVALID, "The body must be a JSON object.");
    if (!name || !*name || g_utf8_strlen(name, -1) > NAME_MAX_CHARS || strchr(name, '/'))
        return nv_fail(err, NV_ERR_INVALID, "%s must be a string of 1 to %d characters without a slash.", name_key, NAME_MAX_CHARS);
    g_autoptr(json_t) rest = json_object();
    json_object_foreach((json_t *) body, key, value) {
        const MetaField *f = fields;
        if (!strcmp(key, name_key))
            continue;
        if (g_strv_contains(read_only, key))
            return nv_fail(err, NV_ERR_FORBIDDEN, "Attribute '%s' is read-only.", key);
        while (f->name && strcmp(f->name, key))
            f++;
        if (!f->name)
            return nv_fail(err, NV_ERR_INVALID, "Additional properties are not allowed: '%.80s' was unexpected.", key);
        if (!type_fits(f, value))
            return nv_fail(err, NV_ERR_INVALID, "'%s' has not the right type, or is too long.", key);
        json_object_set(rest, key, value);
    }
    for (const MetaField *f = fields; f->name; f++)
        if (f->required && !json_object_get(body, f->name))
            return nv_fail(err, NV_ERR_INVALID, "'%s' is a required property.", f->name);
    *ret_rest = g_steal_pointer(&rest);
    return true;
}

void metadef_times(json_t *object, const json_t *row)
{
    static const char *const keys[] = { "created_at", "updated_at" };
    for (guint i = 0; i < G_N_ELEMENTS(keys); i++) {
        char text[32];
        clock_format(json_get_int(row, keys[i], 0), CLOCK_SECONDS_Z, text);
        json_object_set_new(object, keys[i], json_string(text));
    }
}

/* Without what was never given. */
static json_t *render(const json_t *row)
{
    json_t *o = json_object();
    static const char *const texts[] = { "namespace", "display_name", "description", "visibility", "owner" };
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        if (json_get_str(row, texts[i]))
            json_object_set(o, texts[i], json_object_get(row, texts[i]));
    json_object_set_new(o, "protected", json_boolean(json_get_int(row, "protected", 0)));
    metadef_times(o, row);
    json_object_set_new(o, "self", json_sprintf("/v2/metadefs/namespaces/%s", json_get_str(row, "namespace")));
    json_object_set_new(o, "schema", json_string("/v2/schemas/metadefs/namespace"));
    return o;
}

static json_t *get(Call *c, const char *name, GError **err)
{
    g_autoptr(json_t) rows = db_query(c->db, err, "metadef_namespace_get", "ss", name, c->ctx->admin ? NULL : c->ctx->project_id);
    if (rows && !json_array_size(rows))
        nv_fail(err, NV_ERR_NOT_FOUND, "Metadata definition namespace not found for id=%.80s", name);
    return json_array_size(rows) ? json_incref(json_array_get(rows, 0)) : NULL;
}

json_t *metadef_namespace_of_call(Call *c, GError **err)
{
    return get(c, c->params[0], err);
}

/* A whole namespace, with all it holds. */
static bool reply_full(Call *c, int status, const char *name, GError **err)
{
    g_autoptr(json_t) row = get(c, name, err);
    if (!row)
        return false;
    g_autoptr(json_t) o = render(row);
    for (const MetaKind *k = metadef_kinds; k->many; k++) {
        json_t *items = metadef_items(c->db, name, k, err);
        if (!items)
            return false;
        if (json_array_size(items) || json_object_size(items))
            json_object_set(o, k->member, items);
        json_decref(items);
    }
    return call_reply(c, status, g_steal_pointer(&o));
}

bool metadef_namespace_show(Call *c, GError **err)
{
    return reply_full(c, 200, c->params[0], err);
}

bool metadef_namespaces_list(Call *c, GError **err)
{
    gint64 limit;
    const char *marker = call_query(c, "marker"), *visibility = call_query(c, "visibility"), *types = call_query(c, "resource_types");
    if (!call_query_int(c, "limit", 0, G_MAXINT32, LIST_DEFAULT, &limit, err))
        return false;
    limit = CLAMP(limit, 1, LIST_MAX);
    g_autoptr(json_t) rows = db_query(c->db, err, "metadef_namespace_list", "ssiss", c->ctx->admin ? NULL : c->ctx->project_id, marker, limit + 1,
                                      visibility, types);
    if (!rows)
        return false;
    bool more = json_array_size(rows) > (size_t) limit;
    g_autoptr(json_t) list = json_array();
    for (size_t i = 0; i < json_array_size(rows) && i < (size_t) limit; i++)
        json_array_append_new(list, render(json_array_get(rows, i)));
    const char *last = json_get_str(json_array_get(rows, (size_t) limit - 1), "namespace");
    g_autofree char *escaped = more ? g_uri_escape_string(last, NULL, FALSE) : NULL;
    json_t *body = json_make("oss", "namespaces", g_steal_pointer(&list), "first", "/v2/metadefs/namespaces", "schema",
                             "/v2/schemas/metadefs/namespaces");
    if (more)
        json_object_set_new(body, "next", json_sprintf("/v2/metadefs/namespaces?limit=%d&marker=%s", (int) limit, escaped));
    return call_reply(c, 200, body);
}

static bool check_namespace(const json_t *body, json_t **ret_rest, GError **err)
{
    if (!metadef_check(body, "namespace", metadef_namespace_fields, ret_rest, err))
        return false;
    const char *visibility = json_get_str(*ret_rest, "visibility");
    return !visibility || !strcmp(visibility, "public") || !strcmp(visibility, "private")
        || nv_fail(err, NV_ERR_INVALID, "visibility must be public or private.");
}

static bool conflict(GError **err, GError *why, const char *name)
{
    if (nv_error_code(why) == NV_ERR_CONFLICT) {
        g_error_free(why);
        return nv_fail(err, NV_ERR_CONFLICT, "A metadata definition namespace named %.80s already exists.", name);
    }
    g_propagate_error(err, why);
    return false;
}

/* The items that came with a new namespace. */
static bool add_all(Call *c, const char *namespace, const json_t *body, GError **err)
{
    const char *name;
    json_t *item;
    size_t i;
    for (const MetaKind *k = metadef_kinds; k->many; k++) {
        const json_t *items = json_object_get(body, k->member);
        if (json_array_size(items) > ITEMS_MAX || json_object_size(items) > ITEMS_MAX)
            return nv_fail(err, NV_ERR_TOO_LARGE, "A namespace may hold at most %d %s.", ITEMS_MAX, k->many);
        json_array_foreach((json_t *) items, i, item)
            if (!metadef_item_add(c->db, namespace, k, item, err))
                return false;
        json_object_foreach((json_t *) items, name, item) {
            g_autoptr(json_t) named = json_is_object(item) ? json_copy(item) : json_object();
            json_object_set_new(named, "name", json_string(name));
            if (!metadef_item_add(c->db, namespace, k, named, err))
                return false;
        }
    }
    return true;
}

bool metadef_namespace_create(Call *c, GError **err)
{
    g_autoptr(json_t) rest = NULL;
    GError *why = NULL;
    if (!check_namespace(c->body, &rest, err))
        return false;
    const char *name = json_get_str(c->body, "namespace"), *owner = json_get_str(rest, "owner"), *visibility = json_get_str(rest, "visibility");
    g_auto(Txn) txn = txn_begin(c->db, err);
    if (!txn.db)
        return false;
    if (!db_exec(c->db, &why, "metadef_namespace_add", "sssssi", name, owner ? owner : c->ctx->project_id, json_get_str(rest, "display_name"),
                 json_get_str(rest, "description"), visibility ? visibility : "private", (gint64) json_get_bool(rest, "protected", false)))
        return conflict(err, why, name);
    if (!add_all(c, name, rest, err) || !reply_full(c, 201, name, err) || !txn_commit(&txn, err))
        return false;
    g_autofree char *escaped = g_uri_escape_string(name, NULL, FALSE);
    g_autofree char *location = g_strdup_printf("%s/image/v2/metadefs/namespaces/%s", c->ctx->base_url, escaped);
    call_header(c, "Location", location);
    return true;
}

bool metadef_namespace_update(Call *c, GError **err)
{
    g_autoptr(json_t) rest = NULL;
    GError *why = NULL;
    if (!check_namespace(c->body, &rest, err))
        return false;
    const char *name = json_get_str(c->body, "namespace"), *owner = json_get_str(rest, "owner"), *visibility = json_get_str(rest, "visibility");
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(json_t) old = txn.db ? get(c, c->params[0], err) : NULL;
    if (!old)
        return false;
    if (!db_exec(c->db, &why, "metadef_namespace_set", "ssssssi", c->params[0], name, owner ? owner : json_get_str(old, "owner"),
                 json_get_str(rest, "display_name"), json_get_str(rest, "description"), visibility ? visibility : "private",
                 (gint64) json_get_bool(rest, "protected", false)))
        return conflict(err, why, name);
    g_autoptr(json_t) row = get(c, name, err);
    return row && txn_commit(&txn, err) && call_reply(c, 200, render(row));
}

bool metadef_namespace_delete(Call *c, GError **err)
{
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(json_t) row = txn.db ? get(c, c->params[0], err) : NULL;
    if (!row)
        return false;
    if (json_get_int(row, "protected", 0))
        return nv_fail(err, NV_ERR_FORBIDDEN, "Metadata definition namespace %s is protected, cannot be deleted.", c->params[0]);
    return db_exec(c->db, err, "metadef_namespace_remove", "s", c->params[0]) && txn_commit(&txn, err) && call_reply_empty(c, 204);
}
