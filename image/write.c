/* image/write.c -- POST of a new image, and PATCH by JSON patch (both of Glance's media types). */
#include "image/internal.h"
#include "core/fault.h"
#include "core/id.h"
#include <string.h>

static bool set_id(Image *image, const json_t *given, GError **err)
{
    const char *text = json_string_value(given);
    g_autofree char *id = text ? g_ascii_strdown(text, -1) : given ? NULL : id_new();
    if (!id || !id_is_uuid(id))
        return nv_fail(err, NV_ERR_INVALID, "Provided object does not match schema 'image': id is not a UUID.");
    ROW_SET_STR(image, id, id);
    return true;
}

/* What the body did not give. */
static bool set_defaults(Image *image, GError **err)
{
    for (EACH_FIELD(&image_resource, f, i)) {
        if ((image->row.known & 1ull << i) || !f->dflt)
            continue;
        g_autoptr(json_t) value = json_parse_trusted(f->dflt);
        if (!field_parse(&image->row, i, value, err))
            return false;
    }
    return true;
}

static bool reply_image(Call *c, int status, const Image *image)
{
    JsonW w = call_begin(c, status);
    image_render(image, c->ctx, &w);
    return true;
}

bool image_create(Call *c, GError **err)
{
    const char *name;
    json_t *value;
    if (!json_is_object(c->body))
        return nv_fail(err, NV_ERR_INVALID, "The body must be a JSON object.");
    g_autoptr(Image) image = (Image *) row_new(&image_resource);
    json_object_foreach(c->body, name, value)
        if (strcmp(name, "id") && !image_set(image, c->ctx, name, value, err))
            return false;
    if (!set_id(image, json_object_get(c->body, "id"), err) || !set_defaults(image, err) || !image_check_limits(image, err))
        return false;
    if (!row_knows(&image->row, &image->project_id))
        ROW_SET_STR(image, project_id, c->ctx->project_id);
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(GError) why = NULL;
    gint64 was = 0;
    if (!txn.db || !db_query_int(c->db, err, &was, "image_was", "s", image->id))
        return false;
    if (was || !row_insert(c->db, &image->row, &why)) {
        if (was || nv_error_code(why) == NV_ERR_CONFLICT)
            return nv_fail(err, NV_ERR_CONFLICT, "Image ID %s already exists!", image->id);
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    g_autoptr(Image) stored = (Image *) row_get(c->db, &image_resource, image->id, err);
    if (!stored || !fault_point("image.create", err) || !txn_commit(&txn, err))
        return false;
    g_autofree char *location = g_strdup_printf("%s/image/v2/images/%s", c->ctx->base_url, image->id);
    call_header(c, "Location", location);
    call_header(c, "OpenStack-image-import-methods", "glance-direct");
    return reply_image(c, 201, stored);
}

typedef enum { CHANGE_ADD, CHANGE_REPLACE, CHANGE_REMOVE } ChangeOp;
static const char *const change_ops[] = { "add", "replace", "remove" };
typedef struct Change { ChangeOp op; bool strict_add; char *name; const json_t *value; } Change;

static void change_clear(Change *change)
{
    g_free(change->name);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Change, change_clear)

static bool pick_op(const char *text, ChangeOp *ret)
{
    for (guint i = 0; text && i < G_N_ELEMENTS(change_ops); i++)
        if (!strcmp(change_ops[i], text)) {
            *ret = (ChangeOp) i;
            return true;
        }
    return false;
}

/* "/name", with ~1 for a slash and ~0 for a tilde (RFC 6901).  Deeper paths exist for locations only. */
static char *decode_pointer(const char *pointer, GError **err)
{
    g_autoptr(GString) name = g_string_new(NULL);
    bool deeper = false, bad = !pointer || pointer[0] != '/';
    for (const char *p = bad ? "" : pointer + 1; *p && !deeper && !bad; p++) {
        deeper = *p == '/';
        bad = *p == '~' && p[1] != '0' && p[1] != '1';
        if (*p == '~' && !bad)
            g_string_append_c(name, *++p == '1' ? '/' : '~');
        else if (!deeper)
            g_string_append_c(name, *p);
    }
    if (!bad && deeper && !strcmp(name->str, "locations"))
        image_field_settable(name->str, err);
    else if (bad || deeper || !*g_strstrip(name->str))
        nv_fail(err, NV_ERR_INVALID, "Invalid JSON pointer for this resource: '%.255s'", pointer ? pointer : "");
    else
        return g_strdup(name->str);
    return NULL;
}

/* Version 2.1: {"op": "add", "path": "/x", "value": v}; version 2.0: {"add": "/x", "value": v}. */
static bool change_parse(const json_t *raw, bool v20, Change *ret, GError **err)
{
    const char *path = json_get_str(raw, "path");
    int n = 0;
    if (!json_is_object(raw))
        return nv_fail(err, NV_ERR_INVALID, "Operations must be JSON objects.");
    for (guint i = 0; v20 && i < G_N_ELEMENTS(change_ops); i++)
        if (json_object_get(raw, change_ops[i])) {
            path = json_get_str(raw, change_ops[i]);
            ret->op = (ChangeOp) i;
            n++;
        }
    if (v20 ? n != 1 : !pick_op(json_get_str(raw, "op"), &ret->op))
        return nv_fail(err, NV_ERR_INVALID, "Invalid operation: it must be one of the following: add, remove, replace.");
    ret->strict_add = v20;
    ret->name = decode_pointer(path, err);
    ret->value = json_object_get(raw, "value");
    if (!ret->name)
        return false;
    return ret->op == CHANGE_REMOVE || ret->value || nv_fail(err, NV_ERR_INVALID, "Operation \"%s\" requires a member named \"value\".",
                                                             change_ops[ret->op]);
}

static bool change_apply(Image *image, const Ctx *ctx, const Change *change, GError **err)
{
    bool base = image_is_base_field(change->name), there = base || json_object_get(image->properties, change->name);
    if (!strcmp(change->name, "id"))
        return nv_fail(err, NV_ERR_FORBIDDEN, "Attribute 'id' is read-only.");
    if (!image_field_settable(change->name, err))
        return false;
    if (change->op == CHANGE_REMOVE && base)
        return nv_fail(err, NV_ERR_FORBIDDEN, "Property %s may not be removed.", change->name);
    if (change->op != CHANGE_ADD && !there)
        return nv_fail(err, NV_ERR_CONFLICT, "Property %.255s does not exist.", change->name);
    if (change->op == CHANGE_ADD && there && change->strict_add)
        return nv_fail(err, NV_ERR_CONFLICT, "Property %.255s already present.", change->name);
    if (change->op != CHANGE_REMOVE)
        return image_set(image, ctx, change->name, change->value, err);
    json_object_del(image->properties, change->name);
    row_touch(&image->row, &image->properties);
    return true;
}

bool image_update(Call *c, GError **err)
{
    const char *type = c->header(c, "Content-Type");
    bool v20 = type && g_str_has_prefix(type, "application/openstack-images-v2.0-json-patch");
    size_t i;
    json_t *raw;
    if (!v20 && !(type && g_str_has_prefix(type, "application/openstack-images-v2.1-json-patch"))) {
        call_header(c, "Accept-Patch", "application/openstack-images-v2.0-json-patch, application/openstack-images-v2.1-json-patch");
        return nv_fail(err, NV_ERR_MEDIA_TYPE, "Send application/openstack-images-v2.1-json-patch.");
    }
    if (!json_is_array(c->body))
        return nv_fail(err, NV_ERR_INVALID, "Request body must be a JSON array of operation objects.");
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Image) image = txn.db ? image_of_call_to_change(c, "modify", err) : NULL;
    if (!image)
        return false;
    json_array_foreach(c->body, i, raw) {
        g_auto(Change) change = { 0 };
        if (!change_parse(raw, v20, &change, err) || !change_apply(image, c->ctx, &change, err))
            return false;
    }
    if (!image_check_limits(image, err) || !row_update(c->db, &image->row, err))
        return false;
    g_autoptr(Image) stored = (Image *) row_get(c->db, &image_resource, image->id, err);
    return stored && fault_point("image.update", err) && txn_commit(&txn, err) && reply_image(c, 200, stored);
}
