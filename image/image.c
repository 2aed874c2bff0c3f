/* image/image.c -- images as the API shows them.  Hand-written handlers: Glance's bodies are flat, with a tenant's own properties among
 * ours, and its updates are JSON patches; the table still gives columns, validation, filters, order and pages. */
#include "image/internal.h"
#include "image/inspect.h"
#include "image/metadef.h"
#include "core/dialect.h"
#include "core/fault.h"
#include "core/id.h"
#include "core/log.h"
#include <stdio.h>
#include <string.h>

static void render_text(const char *text, JsonW *w)
{
    jw_str(w, text && *text ? text : NULL);
}

static void render_bytes(gint64 n, JsonW *w)
{
    if (n < 0)
        jw_null(w);
    else
        jw_int(w, n);
}

#define UNKNOWN_AS_NULL(member, how) \
    static void render_##member(const Row *row, const Ctx *ctx, JsonW *w) \
    { \
        (void) ctx; \
        how(((const Image *) row)->member, w); \
    }
UNKNOWN_AS_NULL(name, render_text)
UNKNOWN_AS_NULL(disk_format, render_text)
UNKNOWN_AS_NULL(container_format, render_text)
UNKNOWN_AS_NULL(size, render_bytes)
UNKNOWN_AS_NULL(virtual_size, render_bytes)

static const char *const visibilities[] = { "community", "public", "private", "shared", NULL };
static const Range megabytes = { 0, G_MAXINT32 };
static const Child tags = { .kind = CHILD_STRINGS, .table = "image_tag", .parent = "image_id", .value = "tag" };
static const Child properties = { .kind = CHILD_MAP, .table = "image_property", .parent = "image_id", .key = "name", .value = "value" };

/* clang-format off */
static const Field fields[] = {
    STR (Image, id,               "id",               FILTER|SORT),
    STR (Image, project_id,       "owner",            CREATE|UPDATE|NULLABLE|FILTER,  .check = check_name),
    STR (Image, name,             "name",             CREATE|UPDATE|FILTER|SORT,      .check = check_name, .dflt = "\"\"", .render = render_name),
    STR (Image, status,           "status",           FILTER|SORT,                    .dflt = "\"queued\""),
    STR (Image, visibility,       "visibility",       CREATE|UPDATE,                  .check = check_enum, .arg = visibilities, .dflt = "\"shared\""),
    STR (Image, disk_format,      "disk_format",      CREATE|UPDATE|FILTER|SORT,      .check = check_enum, .arg = image_disk_formats,
         .render = render_disk_format),
    STR (Image, container_format, "container_format", CREATE|UPDATE|FILTER|SORT,      .check = check_enum, .arg = image_container_formats,
         .render = render_container_format),
    INT (Image, size,             "size",             FILTER|SORT,                    .render = render_size),
    INT (Image, virtual_size,     "virtual_size",     FILTER|SORT,                    .render = render_virtual_size),
    STR (Image, checksum,         "checksum",         NULLABLE|FILTER),
    STR (Image, os_hash_algo,     "os_hash_algo",     NULLABLE|FILTER),
    STR (Image, os_hash_value,    "os_hash_value",    NULLABLE|FILTER),
    INT (Image, min_disk,         "min_disk",         CREATE|UPDATE|FILTER|SORT,      .check = check_range, .arg = &megabytes, .dflt = "0"),
    INT (Image, min_ram,          "min_ram",          CREATE|UPDATE|FILTER|SORT,      .check = check_range, .arg = &megabytes, .dflt = "0"),
    BOOL(Image, protected_,       "protected",        CREATE|UPDATE|FILTER,           .dflt = "false"),
    BOOL(Image, os_hidden,        "os_hidden",        CREATE|UPDATE|FILTER,           .dflt = "false"),
    TIME(Image, created_at,       "created_at",       FILTER|SORT),
    TIME(Image, updated_at,       "updated_at",       FILTER|SORT),
    CHILD(Image, tags,            "tags",             CREATE|UPDATE,                  &tags),
    CHILD(Image, properties,      "properties",       HIDDEN,                         &properties),
};
/* clang-format on */

const Resource image_resource = {
    .one = "image", .many = "images", .table = "image", .label = "Image", .dialect = &dialect_glance, .scope = SCOPE_NAMED,
    .visible = "image_visible", .size = sizeof(Image), FIELDS(fields), .default_sort = "-created_at",
};

static bool not_found(const char *id, GError **err)
{
    return nv_fail(err, NV_ERR_NOT_FOUND, "No image found with ID %.64s", id ? id : "");
}

Image *image_get_for(Db *db, const Ctx *ctx, const char *id, GError **err)
{
    g_autoptr(GError) why = NULL;
    Image *image = id && id_is_uuid(id) ? (Image *) row_get_for(db, &image_resource, ctx, id, false, &why) : NULL;
    if (image)
        return image;
    if (!why || nv_error_code(why) == NV_ERR_NOT_FOUND)
        not_found(id, err);
    else
        g_propagate_error(err, g_steal_pointer(&why));
    return NULL;
}

Image *image_of_call(Call *c, GError **err)
{
    return image_get_for(c->db, c->ctx, c->params[0], err);
}

bool image_is_owned(const Image *image, const Ctx *ctx)
{
    return ctx->admin || (image->project_id && !g_strcmp0(image->project_id, ctx->project_id));
}

Image *image_of_call_to_change(Call *c, const char *what, GError **err)
{
    g_autoptr(Image) image = image_of_call(c, err);
    if (image && !image_is_owned(image, c->ctx)) {
        nv_fail(err, NV_ERR_FORBIDDEN, "You are not permitted to %s this image.", what);
        return NULL;
    }
    return g_steal_pointer(&image);
}

void image_render(const Image *image, const Ctx *ctx, JsonW *w)
{
    const char *name;
    json_t *value;
    jw_object(w);
    json_object_foreach(image->properties, name, value)
        jw_kjson(w, name, value);
    row_render_members(&image->row, ctx, w, false);
    g_autofree char *self = g_strconcat("/v2/images/", image->id, NULL), *file = g_strconcat(self, "/file", NULL);
    jw_kstr(w, "self", self);
    jw_kstr(w, "file", file);
    jw_kstr(w, "schema", "/v2/schemas/image");
    jw_end_object(w);
}

bool image_show(Call *c, GError **err)
{
    g_autoptr(Image) image = image_of_call(c, err);
    if (!image)
        return false;
    JsonW w = call_begin(c, 200);
    image_render(image, c->ctx, &w);
    return true;
}

bool image_delete(Call *c, GError **err)
{
    g_autoptr(Image) image = image_of_call_to_change(c, "delete", err);
    if (!image)
        return false;
    if (image->protected_)
        return nv_fail(err, NV_ERR_FORBIDDEN, "Image %s is protected and cannot be deleted.", image->id);
    g_auto(Fd) store = store_open(err);
    g_autofree char *gone = store_name(image->id, ".gone"), *part = store_name(image->id, ".part"), *staged = store_name(image->id, ".staged");
    /* The name first, then the row, then the bytes: a crash in between is finished, or undone, by image_recover. */
    bool had_file = store >= 0 && !renameat(store, image->id, store, gone);
    {
        g_auto(Txn) txn = txn_begin(c->db, err);
        if (store < 0 || !fault_point("image.delete.renamed", err) || !txn.db || !db_exec(c->db, err, "image_delete", "s", image->id)
            || !txn_commit(&txn, err)) {
            if (had_file)
                renameat(store, gone, store, image->id);
            return false;
        }
    }
    fault_point("image.delete.committed", NULL);
    store_cancel(image->id);
    const char *const files[] = { gone, part, staged, image->id };     /* the last: an upload may have ended just now */
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autoptr(GError) why = NULL;
        if (!file_absent(store, files[i], &why))
            log_warn("image.delete.file", "file", files[i], "why", why->message, NULL);      /* image_recover tries again */
    }
    return call_reply_empty(c, 204);
}

static bool change_status(Call *c, const char *what, const char *from, const char *to, GError **err)
{
    g_autoptr(Image) image = image_of_call_to_change(c, what, err);
    if (!image)
        return false;
    if (strcmp(image->status, from) && strcmp(image->status, to))
        return nv_fail(err, NV_ERR_INVALID, "Image status transition from %s to %s is not allowed", image->status, to);
    g_auto(Txn) txn = txn_begin(c->db, err);
    return txn.db && db_exec(c->db, err, "image_set_status", "sss", image->id, to, from) && txn_commit(&txn, err) && call_reply_empty(c, 204);
}

bool image_deactivate(Call *c, GError **err)
{
    return change_status(c, "deactivate", "active", "deactivated", err);
}

bool image_reactivate(Call *c, GError **err)
{
    return change_status(c, "reactivate", "deactivated", "active", err);
}

bool image_tag_put(Call *c, GError **err)
{
    g_autoptr(Image) image = image_of_call_to_change(c, "modify", err);
    if (!image || !image_check_tag(c->params[1], err))
        return false;
    if (json_array_size(image->tags) >= IMAGE_TAGS_MAX)
        return nv_fail(err, NV_ERR_TOO_LARGE, "Image tag limit exceeded for image %s: at most %d.", image->id, IMAGE_TAGS_MAX);
    g_auto(Txn) txn = txn_begin(c->db, err);
    return txn.db && db_exec(c->db, err, "image_tag_add", "ss", image->id, c->params[1]) && db_exec(c->db, err, "image_touch", "s", image->id)
        && txn_commit(&txn, err) && call_reply_empty(c, 204);
}

bool image_tag_delete(Call *c, GError **err)
{
    g_autoptr(Image) image = image_of_call_to_change(c, "modify", err);
    if (!image)
        return false;
    g_auto(Txn) txn = txn_begin(c->db, err);
    if (!txn.db || !db_exec(c->db, err, "image_tag_remove", "ss", image->id, c->params[1]))
        return false;
    if (!db_changes(c->db))
        return nv_fail(err, NV_ERR_NOT_FOUND, "Image %s has no such tag.", image->id);
    return db_exec(c->db, err, "image_touch", "s", image->id) && txn_commit(&txn, err) && call_reply_empty(c, 204);
}

#define METADEF_ITEMS(many, create) \
    ROUTE("GET",    "/v2/metadefs/namespaces/{ns}/" many, PROJECT_READER, metadef_items_list), \
    ROUTE("POST",   "/v2/metadefs/namespaces/{ns}/" many, ADMIN_ONLY, create), \
    ROUTE("DELETE", "/v2/metadefs/namespaces/{ns}/" many, ADMIN_ONLY, metadef_items_delete, .flags = NO_BODY_PARSE)
#define METADEF_ITEM(many) \
    ROUTE("GET",    "/v2/metadefs/namespaces/{ns}/" many "/{name}", PROJECT_READER, metadef_item_show), \
    ROUTE("PUT",    "/v2/metadefs/namespaces/{ns}/" many "/{name}", ADMIN_ONLY, metadef_item_update), \
    ROUTE("DELETE", "/v2/metadefs/namespaces/{ns}/" many "/{name}", ADMIN_ONLY, metadef_item_delete, .flags = NO_BODY_PARSE)

const Route image_routes[] = {
    ROUTE("GET",    "/v2/images",                            PROJECT_READER, images_list),
    ROUTE("POST",   "/v2/images",                            PROJECT_MEMBER, image_create),
    ROUTE("GET",    "/v2/images/{id}",                       PROJECT_READER, image_show),
    ROUTE("PATCH",  "/v2/images/{id}",                       PROJECT_MEMBER, image_update),
    ROUTE("DELETE", "/v2/images/{id}",                       PROJECT_MEMBER, image_delete, .flags = NO_BODY_PARSE),
    ROUTE("PUT",    "/v2/images/{id}/file",                  PROJECT_MEMBER, image_upload, .flags = STREAM_IN),
    ROUTE("GET",    "/v2/images/{id}/file",                  PROJECT_READER, image_download),
    ROUTE("PUT",    "/v2/images/{id}/stage",                 PROJECT_MEMBER, image_stage, .flags = STREAM_IN),
    ROUTE("POST",   "/v2/images/{id}/import",                PROJECT_MEMBER, image_import),
    ROUTE("POST",   "/v2/images/{id}/actions/deactivate",    PROJECT_MEMBER, image_deactivate, .flags = NO_BODY_PARSE),
    ROUTE("POST",   "/v2/images/{id}/actions/reactivate",    PROJECT_MEMBER, image_reactivate, .flags = NO_BODY_PARSE),
    ROUTE("PUT",    "/v2/images/{id}/tags/{tag}",            PROJECT_MEMBER, image_tag_put, .flags = NO_BODY_PARSE),
    ROUTE("DELETE", "/v2/images/{id}/tags/{tag}",            PROJECT_MEMBER, image_tag_delete, .flags = NO_BODY_PARSE),
    ROUTE("GET",    "/v2/images/{id}/members",               PROJECT_READER, members_list),
    ROUTE("POST",   "/v2/images/{id}/members",               PROJECT_MEMBER, member_create),
    ROUTE("GET",    "/v2/images/{id}/members/{member}",      PROJECT_READER, member_show),
    ROUTE("PUT",    "/v2/images/{id}/members/{member}",      PROJECT_MEMBER, member_update),
    ROUTE("DELETE", "/v2/images/{id}/members/{member}",      PROJECT_MEMBER, member_delete, .flags = NO_BODY_PARSE),
    ROUTE("GET",    "/v2/schemas/image",                     AUTHENTICATED, schema_image),
    ROUTE("GET",    "/v2/schemas/images",                    AUTHENTICATED, schema_images),
    ROUTE("GET",    "/v2/schemas/member",                    AUTHENTICATED, schema_member),
    ROUTE("GET",    "/v2/schemas/members",                   AUTHENTICATED, schema_members),
    ROUTE("GET",    "/v2/info/import",                       AUTHENTICATED, info_import),
    ROUTE("GET",    "/v2/schemas/metadefs/{name}",           AUTHENTICATED, schema_metadef),
    ROUTE("GET",    "/v2/metadefs/resource_types",           PROJECT_READER, metadef_resource_types),
    ROUTE("GET",    "/v2/metadefs/namespaces",               PROJECT_READER, metadef_namespaces_list),
    ROUTE("POST",   "/v2/metadefs/namespaces",               ADMIN_ONLY, metadef_namespace_create),
    ROUTE("GET",    "/v2/metadefs/namespaces/{ns}",          PROJECT_READER, metadef_namespace_show),
    ROUTE("PUT",    "/v2/metadefs/namespaces/{ns}",          ADMIN_ONLY, metadef_namespace_update),
    ROUTE("DELETE", "/v2/metadefs/namespaces/{ns}",          ADMIN_ONLY, metadef_namespace_delete, .flags = NO_BODY_PARSE),
    METADEF_ITEMS("objects", metadef_item_create),
    METADEF_ITEM("objects"),
    METADEF_ITEMS("properties", metadef_item_create),
    METADEF_ITEM("properties"),
    METADEF_ITEMS("tags", metadef_tags_replace),
    METADEF_ITEM("tags"),
    ROUTE("POST",   "/v2/metadefs/namespaces/{ns}/tags/{name}", ADMIN_ONLY, metadef_tag_create, .flags = NO_BODY_PARSE),
    ROUTE("GET",    "/v2/metadefs/namespaces/{ns}/resource_types", PROJECT_READER, metadef_items_list),
    ROUTE("POST",   "/v2/metadefs/namespaces/{ns}/resource_types", ADMIN_ONLY, metadef_item_create),
    ROUTE("DELETE", "/v2/metadefs/namespaces/{ns}/resource_types/{name}", ADMIN_ONLY, metadef_item_delete, .flags = NO_BODY_PARSE),
    ROUTES_END
};
