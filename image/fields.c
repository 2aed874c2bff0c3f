/* image/fields.c -- what clients may set on an image, in POST and in PATCH: base fields, tags, additional properties. */
#include "image/internal.h"
#include <string.h>

static const char *const read_only[] = { "created_at", "updated_at", "status", "checksum", "size", "virtual_size", "direct_url", "self", "file",
                                         "schema", "stores", "os_hash_algo", "os_hash_value", NULL };
static const char *const reserved[] = { "location", "locations", "deleted", "deleted_at", NULL };

bool image_field_settable(const char *name, GError **err)
{
    if (g_strv_contains(read_only, name))
        return nv_fail(err, NV_ERR_FORBIDDEN, "Attribute '%s' is read-only.", name);
    if (!strcmp(name, "locations"))
        return nv_fail(err, NV_ERR_FORBIDDEN, "It's not allowed to update locations if locations are invisible.");
    if (g_strv_contains(reserved, name) || g_str_has_prefix(name, "os_glance"))
        return nv_fail(err, NV_ERR_FORBIDDEN, "Attribute '%.255s' is reserved.", name);
    return true;
}

bool image_is_base_field(const char *name)
{
    int i = field_index(&image_resource, name, 0);
    return i >= 0 && !(image_resource.fields[i].flags & HIDDEN);
}

static bool has_control(const char *text)
{
    for (; *text; text++)
        if ((guchar) *text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

bool image_check_tag(const char *tag, GError **err)
{
    glong n = g_utf8_strlen(tag, -1);
    if (n < 1 || n > IMAGE_TAG_LEN_MAX || has_control(tag))
        return nv_fail(err, NV_ERR_INVALID, "Provided object does not match schema 'image': a tag must have 1 to %d characters.", IMAGE_TAG_LEN_MAX);
    return true;
}

static bool set_tags(Image *image, const json_t *value, GError **err)
{
    size_t i;
    json_t *tag;
    if (!json_is_array(value))
        return nv_fail(err, NV_ERR_INVALID, "Provided object does not match schema 'image': tags must be a list.");
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(json_t) distinct = json_array();
    json_array_foreach((json_t *) value, i, tag) {
        if (!json_is_string(tag))
            return nv_fail(err, NV_ERR_INVALID, "Provided object does not match schema 'image': a tag must be a string.");
        if (!image_check_tag(json_string_value(tag), err))
            return false;
        if (g_hash_table_add(seen, (gpointer) json_string_value(tag)))
            json_array_append(distinct, tag);
    }
    ROW_SET_JSON(image, tags, g_steal_pointer(&distinct));
    return true;
}

static bool set_property(Image *image, const char *name, const json_t *value, GError **err)
{
    if (!*name || g_utf8_strlen(name, -1) > 255 || has_control(name))
        return nv_fail(err, NV_ERR_INVALID, "Custom property should not be greater than 255 characters, nor empty.");
    if (!json_is_string(value))
        return nv_fail(err, NV_ERR_INVALID, "Provided object does not match schema 'image': property %.255s must be a string.", name);
    if (!image->properties)
        image->properties = json_object();
    json_object_set(image->properties, name, (json_t *) value);
    row_touch(&image->row, &image->properties);
    return true;
}

static bool check_privileged(const Image *image, const Ctx *ctx, const char *name, const json_t *value, GError **err)
{
    const char *text = json_string_value(value);
    if (ctx->admin)
        return true;
    if (!strcmp(name, "owner") && g_strcmp0(text, image->project_id ? image->project_id : ctx->project_id))
        return nv_fail(err, NV_ERR_FORBIDDEN, "Owner can't be updated by non admin.");
    if (!strcmp(name, "visibility") && text && (!strcmp(text, "public") || !strcmp(text, "community")) && g_strcmp0(text, image->visibility))
        return nv_fail(err, NV_ERR_FORBIDDEN, "You are not permitted to make an image %s: it needs an administrator.", text);
    return true;
}

bool image_set(Image *image, const Ctx *ctx, const char *name, const json_t *value, GError **err)
{
    if (!image_field_settable(name, err))
        return false;
    if (!strcmp(name, "tags"))
        return set_tags(image, value, err);
    if (!image_is_base_field(name))
        return set_property(image, name, value, err);
    bool format = g_str_has_suffix(name, "_format");
    if (format && image->status && strcmp(image->status, "queued"))
        return nv_fail(err, NV_ERR_FORBIDDEN, "Attribute %s can be only replaced for a queued image.", name);
    if (!check_privileged(image, ctx, name, value, err))
        return false;
    if (json_is_null(value) && (format || !strcmp(name, "name"))) {
        row_set_str(&image->row, !strcmp(name, "name") ? &image->name : *name == 'd' ? &image->disk_format : &image->container_format, "");
        return true;
    }
    return field_parse(&image->row, (size_t) field_index(&image_resource, name, 0), value, err);
}

bool image_check_limits(const Image *image, GError **err)
{
    if (json_object_size(image->properties) > IMAGE_PROPERTIES_MAX)
        return nv_fail(err, NV_ERR_TOO_LARGE, "The limit of %d properties of an image has been exceeded: %zu.", IMAGE_PROPERTIES_MAX,
                       json_object_size(image->properties));
    if (json_array_size(image->tags) > IMAGE_TAGS_MAX)
        return nv_fail(err, NV_ERR_TOO_LARGE, "The limit of %d tags of an image has been exceeded: %zu.", IMAGE_TAGS_MAX,
                       json_array_size(image->tags));
    return true;
}
