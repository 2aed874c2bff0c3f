/* image/metadef_items.c -- what a namespace of metadata definitions holds: objects, properties, tags, resource types; one table of kinds. */
#include "image/metadef.h"
#include <string.h>

enum { PER_NAMESPACE_MAX = 256 };

static const MetaField object_fields[] = {
    { "description", JSON_STRING, false, 500 }, { "required", JSON_ARRAY, false, 0 }, { "properties", JSON_OBJECT, false, 0 }, { NULL },
};
static const MetaField property_fields[] = {
    { "title", JSON_STRING, true, 255 },          { "type", JSON_STRING, true, 16 },           { "description", JSON_STRING, false, 2000 },
    { "operators", JSON_ARRAY, false, 0 },        { "required", JSON_ARRAY, false, 0 },        { "minimum", JSON_REAL, false, 0 },
    { "maximum", JSON_REAL, false, 0 },           { "minLength", JSON_INTEGER, false, 0 },     { "maxLength", JSON_INTEGER, false, 0 },
    { "pattern", JSON_STRING, false, 1000 },      { "enum", JSON_ARRAY, false, 0 },            { "readonly", JSON_TRUE, false, 0 },
    { "default", JSON_NULL, false, 0 },           { "items", JSON_OBJECT, false, 0 },          { "minItems", JSON_INTEGER, false, 0 },
    { "maxItems", JSON_INTEGER, false, 0 },       { "uniqueItems", JSON_TRUE, false, 0 },      { "additionalItems", JSON_TRUE, false, 0 },
    { "confidential", JSON_TRUE, false, 0 },      { NULL },
};
static const MetaField tag_fields[] = { { NULL } };
static const MetaField type_fields[] = { { "prefix", JSON_STRING, false, 80 }, { "properties_target", JSON_STRING, false, 80 }, { NULL } };

const MetaKind metadef_kinds[] = {
    { "objects",        "object",        "objects",                    object_fields,   false, true },
    { "properties",     "property",      "properties",                 property_fields, true,  false },
    { "tags",           "tag",           "tags",                       tag_fields,      false, false },
    { "resource_types", "resource_type", "resource_type_associations", type_fields,     false, false },
    { NULL },
};

/* The kind the route's path names. */
static const MetaKind *kind_of(const Call *c)
{
    for (const MetaKind *k = metadef_kinds; k->many; k++) {
        g_autofree char *part = g_strdup_printf("}/%s", k->many);
        if (strstr(c->route->path, part))
            return k;
    }
    g_assert_not_reached();
}

static json_t *render(const json_t *row, const char *namespace, const MetaKind *kind, bool with_name)
{
    const char *name = json_get_str(row, "name");
    json_t *o = json_parse_trusted(json_get_str(row, "body"));
    if (with_name)
        json_object_set_new(o, "name", json_string(name));
    if (kind->by_name)
        return o;
    metadef_times(o, row);
    if (kind->links) {
        json_object_set_new(o, "self", json_sprintf("/v2/metadefs/namespaces/%s/%s/%s", namespace, kind->many, name));
        json_object_set_new(o, "schema", json_sprintf("/v2/schemas/metadefs/%s", kind->one));
    }
    return o;
}

json_t *metadef_items(Db *db, const char *namespace, const MetaKind *kind, GError **err)
{
    g_autoptr(json_t) rows = db_query(db, err, "metadef_items", "sss", namespace, kind->many, NULL);
    json_t *list = !rows ? NULL : kind->by_name ? json_object() : json_array(), *row;
    size_t i;
    json_array_foreach(rows, i, row)
        if (kind->by_name)
            json_object_set_new(list, json_get_str(row, "name"), render(row, namespace, kind, false));
        else
            json_array_append_new(list, render(row, namespace, kind, true));
    return list;
}

static bool duplicate(GError **err, GError *why, const MetaKind *kind, const char *name)
{
    if (nv_error_code(why) == NV_ERR_CONFLICT) {
        g_error_free(why);
        return nv_fail(err, NV_ERR_CONFLICT, "A metadata definition %s with name=%.80s already exists in this namespace.", kind->one, name);
    }
    g_propagate_error(err, why);
    return false;
}

bool metadef_item_add(Db *db, const char *namespace, const MetaKind *kind, const json_t *body, GError **err)
{
    g_autoptr(json_t) rest = NULL;
    gint64 n;
    GError *why = NULL;
    if (!metadef_check(body, "name", kind->fields, &rest, err) || !db_query_int(db, err, &n, "metadef_item_count", "ss", namespace, kind->many))
        return false;
    if (n >= PER_NAMESPACE_MAX)
        return nv_fail(err, NV_ERR_TOO_LARGE, "A namespace may hold at most %d %s.", PER_NAMESPACE_MAX, kind->many);
    g_autofree char *text = json_text(rest);
    const char *name = json_get_str(body, "name");
    return db_exec(db, &why, "metadef_item_add", "ssss", namespace, kind->many, name, text) || duplicate(err, why, kind, name);
}

static json_t *item(Call *c, const MetaKind *kind, const char *name, GError **err)
{
    g_autoptr(json_t) rows = db_query(c->db, err, "metadef_items", "sss", c->params[0], kind->many, name);
    if (rows && !json_array_size(rows))
        nv_fail(err, NV_ERR_NOT_FOUND, "The metadata definition %s with name=%.80s was not found in namespace=%s.", kind->one, name, c->params[0]);
    return json_array_size(rows) ? json_incref(json_array_get(rows, 0)) : NULL;
}

static bool reply_item(Call *c, int status, const MetaKind *kind, const char *name, GError **err)
{
    g_autoptr(json_t) row = item(c, kind, name, err);
    return row && call_reply(c, status, render(row, c->params[0], kind, true));
}

static bool reply_list(Call *c, int status, const MetaKind *kind, GError **err)
{
    json_t *items = metadef_items(c->db, c->params[0], kind, err);
    if (!items)
        return false;
    json_t *body = json_make("o", kind->member, items);
    if (kind->links) {
        json_object_set_new(body, "first", json_sprintf("/v2/metadefs/namespaces/%s/%s", c->params[0], kind->many));
        json_object_set_new(body, "schema", json_sprintf("/v2/schemas/metadefs/%s", kind->many));
    }
    return call_reply(c, status, body);
}

bool metadef_items_list(Call *c, GError **err)
{
    g_autoptr(json_t) namespace = metadef_namespace_of_call(c, err);
    return namespace && reply_list(c, 200, kind_of(c), err);
}

bool metadef_item_show(Call *c, GError **err)
{
    g_autoptr(json_t) namespace = metadef_namespace_of_call(c, err);
    return namespace && reply_item(c, 200, kind_of(c), c->params[1], err);
}

bool metadef_item_create(Call *c, GError **err)
{
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(json_t) namespace = txn.db ? metadef_namespace_of_call(c, err) : NULL;
    return namespace && metadef_item_add(c->db, c->params[0], kind_of(c), c->body, err)
        && reply_item(c, 201, kind_of(c), json_get_str(c->body, "name"), err) && txn_commit(&txn, err);
}

/* POST …/tags/{name}: the name is all there is to a tag. */
bool metadef_tag_create(Call *c, GError **err)
{
    g_autoptr(json_t) body = json_make("s", "name", c->params[1]);
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(json_t) namespace = txn.db ? metadef_namespace_of_call(c, err) : NULL;
    return namespace && metadef_item_add(c->db, c->params[0], kind_of(c), body, err) && reply_item(c, 201, kind_of(c), c->params[1], err)
        && txn_commit(&txn, err);
}

/* POST …/tags: all tags of the namespace at once, in the place of those it had. */
bool metadef_tags_replace(Call *c, GError **err)
{
    const MetaKind *kind = kind_of(c);
    const json_t *tags = json_object_get(c->body, "tags");
    json_t *tag;
    size_t i;
    if (!json_is_array(tags))
        return nv_fail(err, NV_ERR_INVALID, "The body must have a list \"tags\".");
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(json_t) namespace = txn.db ? metadef_namespace_of_call(c, err) : NULL;
    if (!namespace || !db_exec(c->db, err, "metadef_item_remove", "sss", c->params[0], kind->many, NULL))
        return false;
    json_array_foreach((json_t *) tags, i, tag)
        if (!metadef_item_add(c->db, c->params[0], kind, tag, err))
            return false;
    return reply_list(c, 201, kind, err) && txn_commit(&txn, err);
}

bool metadef_item_update(Call *c, GError **err)
{
    const MetaKind *kind = kind_of(c);
    const char *name = json_get_str(c->body, "name");
    g_autoptr(json_t) rest = NULL;
    GError *why = NULL;
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(json_t) namespace = txn.db ? metadef_namespace_of_call(c, err) : NULL;
    g_autoptr(json_t) old = namespace ? item(c, kind, c->params[1], err) : NULL;
    if (!old || !metadef_check(c->body, "name", kind->fields, &rest, err))
        return false;
    g_autofree char *text = json_text(rest);
    if (!db_exec(c->db, &why, "metadef_item_set", "sssss", c->params[0], kind->many, c->params[1], name, text))
        return duplicate(err, why, kind, name);
    return reply_item(c, 200, kind, name, err) && txn_commit(&txn, err);
}

bool metadef_item_delete(Call *c, GError **err)
{
    const MetaKind *kind = kind_of(c);
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(json_t) namespace = txn.db ? metadef_namespace_of_call(c, err) : NULL;
    g_autoptr(json_t) old = namespace ? item(c, kind, c->params[1], err) : NULL;
    return old && db_exec(c->db, err, "metadef_item_remove", "sss", c->params[0], kind->many, c->params[1]) && txn_commit(&txn, err)
        && call_reply_empty(c, 204);
}

bool metadef_items_delete(Call *c, GError **err)
{
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(json_t) namespace = txn.db ? metadef_namespace_of_call(c, err) : NULL;
    return namespace && db_exec(c->db, err, "metadef_item_remove", "sss", c->params[0], kind_of(c)->many, NULL) && txn_commit(&txn, err)
        && call_reply_empty(c, 204);
}

/* The types that definitions can be about in this cloud. */
bool metadef_resource_types(Call *c, GError **err)
{
    static const char *const names[] = { "OS::Glance::Image", "OS::Cinder::Volume", "OS::Nova::Flavor", "OS::Nova::Aggregate", "OS::Nova::Server" };
    (void) err;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "resource_types");
    jw_array(&w);
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        jw_object(&w);
        jw_kstr(&w, "name", names[i]);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    return true;
}

static const char *type_name(json_type type)
{
    switch (type) {
    case JSON_ARRAY:   return "array";
    case JSON_OBJECT:  return "object";
    case JSON_INTEGER: return "integer";
    case JSON_REAL:    return "number";
    case JSON_TRUE:    return "boolean";
    default:           return "string";
    }
}

static json_t *schema_of(const char *name, const char *name_key, const MetaField *fields)
{
    json_t *properties = json_object(), *required = json_array();
    json_object_set_new(properties, name_key, json_pack("{s:s,s:i}", "type", "string", "maxLength", 80));
    json_array_append_new(required, json_string(name_key));
    for (const MetaField *f = fields; f->name; f++) {
        json_t *p = f->type == JSON_NULL ? json_object() : json_pack("{s:s}", "type", type_name(f->type));
        if (f->text)
            json_object_set_new(p, "maxLength", json_integer(f->text));
        json_object_set_new(properties, f->name, p);
        if (f->required)
            json_array_append_new(required, json_string(f->name));
    }
    static const char *const own[] = { "created_at", "updated_at" };
    for (guint i = 0; i < G_N_ELEMENTS(own); i++)
        json_object_set_new(properties, own[i], json_pack("{s:s,s:b,s:s}", "type", "string", "readOnly", 1, "format", "date-time"));
    return json_pack("{s:s,s:o,s:o,s:b}", "name", name, "properties", properties, "required", required, "additionalProperties", 0);
}

/* GET /v2/schemas/metadefs/{name}: of one, and of a list of them. */
bool schema_metadef(Call *c, GError **err)
{
    const char *asked = c->params[0];
    if (!strcmp(asked, "namespace"))
        return call_reply(c, 200, schema_of(asked, "namespace", metadef_namespace_fields));
    for (const MetaKind *k = metadef_kinds; k->many; k++)
        if (!strcmp(asked, k->one))
            return call_reply(c, 200, schema_of(k->many[0] == 'r' ? "resource_type_association" : k->one, "name", k->fields));
    const MetaKind *k = metadef_kinds;
    while (k->many && strcmp(asked, k->many))
        k++;
    if (!k->many && strcmp(asked, "namespaces"))
        return nv_fail(err, NV_ERR_NOT_FOUND, "The resource could not be found.");
    json_t *one = k->many ? schema_of(k->one, "name", k->fields) : schema_of("namespace", "namespace", metadef_namespace_fields);
    const char *many = k->many ? k->member : "namespaces";
    json_t *list = json_pack("{s:s,s:o}", "type", k->by_name ? "object" : "array", k->by_name ? "additionalProperties" : "items", one);
    return call_reply(c, 200, json_pack("{s:s,s:{s:o,s:{s:s},s:{s:s},s:{s:s}}}", "name", many, "properties", many, list, "first", "type", "string",
                                        "next", "type", "string", "schema", "type", "string"));
}
