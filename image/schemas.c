/* image/schemas.c -- the JSON schemas that clients of Glance ask for (GET /v2/schemas/…), and which import methods there are. */
#include "image/internal.h"
#include "image/inspect.h"
#include <string.h>

#define UUID_PATTERN "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"

/* One property of a schema; type "?" in front: null as well. */
typedef struct Property {
    const char *name, *type;
    bool read_only;
    const char *description, *pattern;
    int max_length;
    const char *const *values;
} Property;

static const char *const statuses[] = { "queued", "saving", "active", "killed", "deleted", "uploading", "importing", "pending_delete", "deactivated",
                                        NULL };
static const char *const visibilities[] = { "community", "public", "private", "shared", NULL };
static const char *const member_statuses[] = { "pending", "accepted", "rejected", NULL };

/* clang-format off */
static const Property image_properties[] = {
    { "id",               "string",   false, "An identifier for the image", UUID_PATTERN, 0, NULL },
    { "name",             "?string",  false, "Descriptive name for the image", NULL, 255, NULL },
    { "status",           "string",   true,  "Status of the image", NULL, 0, statuses },
    { "visibility",       "string",   false, "Scope of image accessibility", NULL, 0, visibilities },
    { "protected",        "boolean",  false, "If true, image will not be deletable.", NULL, 0, NULL },
    { "os_hidden",        "boolean",  false, "If true, image will not appear in default image list response.", NULL, 0, NULL },
    { "checksum",         "?string",  true,  "md5 hash of image contents.", NULL, 32, NULL },
    { "os_hash_algo",     "?string",  true,  "Algorithm to calculate the os_hash_value", NULL, 64, NULL },
    { "os_hash_value",    "?string",  true,  "Hexdigest of the image contents using the algorithm specified by the os_hash_algo", NULL, 128, NULL },
    { "owner",            "?string",  false, "Owner of the image", NULL, 255, NULL },
    { "size",             "?integer", true,  "Size of image file in bytes", NULL, 0, NULL },
    { "virtual_size",     "?integer", true,  "Virtual size of image in bytes", NULL, 0, NULL },
    { "container_format", "?string",  false, "Format of the container", NULL, 0, image_container_formats },
    { "disk_format",      "?string",  false, "Format of the disk", NULL, 0, image_disk_formats },
    { "created_at",       "string",   true,  "Date and time of image registration", NULL, 0, NULL },
    { "updated_at",       "string",   true,  "Date and time of the last image modification", NULL, 0, NULL },
    { "tags",             "array",    false, "List of strings related to the image", NULL, IMAGE_TAG_LEN_MAX, NULL },
    { "min_ram",          "integer",  false, "Amount of ram (in MB) required to boot image.", NULL, 0, NULL },
    { "min_disk",         "integer",  false, "Amount of disk space (in GB) required to boot image.", NULL, 0, NULL },
    { "self",             "string",   true,  "An image self url", NULL, 0, NULL },
    { "file",             "string",   true,  "An image file url", NULL, 0, NULL },
    { "schema",           "string",   true,  "An image schema url", NULL, 0, NULL },
    { NULL },
};
static const Property member_properties[] = {
    { "member_id",  "string", false, "An identifier for the image member (tenantId)", NULL, 0, NULL },
    { "image_id",   "string", false, "An identifier for the image", UUID_PATTERN, 0, NULL },
    { "created_at", "string", false, "Date and time of image member creation", NULL, 0, NULL },
    { "updated_at", "string", false, "Date and time of last modification of image member", NULL, 0, NULL },
    { "status",     "string", false, "The status of this image member", NULL, 0, member_statuses },
    { "schema",     "string", true,  "A member schema url", NULL, 0, NULL },
    { NULL },
};
/* clang-format on */

static void write_values(JsonW *w, const Property *p)
{
    jw_key(w, "enum");
    jw_array(w);
    if (*p->type == '?')
        jw_null(w);
    for (const char *const *v = p->values; *v; v++)
        jw_str(w, *v);
    jw_end_array(w);
}

static void write_property(JsonW *w, const Property *p)
{
    jw_key(w, p->name);
    jw_object(w);
    jw_key(w, "type");
    if (*p->type == '?') {
        jw_array(w);
        jw_str(w, "null");
        jw_str(w, p->type + 1);
        jw_end_array(w);
    } else
        jw_str(w, p->type);
    jw_kstr(w, "description", p->description);
    if (p->read_only)
        jw_kbool(w, "readOnly", true);
    if (p->pattern)
        jw_kstr(w, "pattern", p->pattern);
    if (p->values)
        write_values(w, p);
    if (!strcmp(p->type, "array")) {
        jw_key(w, "items");
        jw_object(w);
        jw_kstr(w, "type", "string");
        jw_kint(w, "maxLength", p->max_length);
        jw_end_object(w);
    } else if (p->max_length)
        jw_kint(w, "maxLength", p->max_length);
    jw_end_object(w);
}

static void write_link(JsonW *w, const char *rel, const char *href)
{
    jw_object(w);
    jw_kstr(w, "rel", rel);
    jw_kstr(w, "href", href);
    jw_end_object(w);
}

static void write_schema(JsonW *w, const char *name, const Property *properties)
{
    bool image = properties == image_properties;
    jw_object(w);
    jw_kstr(w, "name", name);
    jw_key(w, "properties");
    jw_object(w);
    for (const Property *p = properties; p->name; p++)
        write_property(w, p);
    jw_end_object(w);
    if (image) {
        jw_key(w, "additionalProperties");
        jw_object(w);
        jw_kstr(w, "type", "string");
        jw_end_object(w);
        jw_key(w, "links");
        jw_array(w);
        write_link(w, "self", "{self}");
        write_link(w, "enclosure", "{file}");
        write_link(w, "describedby", "{schema}");
        jw_end_array(w);
    }
    jw_end_object(w);
}

static void write_plain(JsonW *w, const char *key, const char *type)
{
    jw_key(w, key);
    jw_object(w);
    jw_kstr(w, "type", type);
    jw_end_object(w);
}

static bool reply_schema(Call *c, const char *one, const Property *properties)
{
    JsonW w = call_begin(c, 200);
    write_schema(&w, one, properties);
    return true;
}

static bool reply_collection(Call *c, const char *one, const char *many, const Property *properties)
{
    bool image = properties == image_properties;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_kstr(&w, "name", many);
    jw_key(&w, "properties");
    jw_object(&w);
    jw_key(&w, many);
    jw_object(&w);
    jw_kstr(&w, "type", "array");
    jw_key(&w, "items");
    write_schema(&w, one, properties);
    jw_end_object(&w);
    if (image) {
        write_plain(&w, "first", "string");
        write_plain(&w, "next", "string");
    }
    write_plain(&w, "schema", "string");
    jw_end_object(&w);
    jw_key(&w, "links");
    jw_array(&w);
    if (image) {
        write_link(&w, "first", "{first}");
        write_link(&w, "next", "{next}");
    }
    write_link(&w, "describedby", "{schema}");
    jw_end_array(&w);
    jw_end_object(&w);
    return true;
}

bool schema_image(Call *c, GError **err)
{
    (void) err;
    return reply_schema(c, "image", image_properties);
}

bool schema_images(Call *c, GError **err)
{
    (void) err;
    return reply_collection(c, "image", "images", image_properties);
}

bool schema_member(Call *c, GError **err)
{
    (void) err;
    return reply_schema(c, "member", member_properties);
}

bool schema_members(Call *c, GError **err)
{
    (void) err;
    return reply_collection(c, "member", "members", member_properties);
}

bool info_import(Call *c, GError **err)
{
    (void) err;
    JsonW w = call_begin(c, 200);
    jw_raw(&w, "{\"import-methods\":{\"description\":\"Import methods available.\",\"type\":\"array\",\"value\":[\"glance-direct\"]}}");
    return true;
}
