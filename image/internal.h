/* image/internal.h -- what the files of image/ share. */
#pragma once
#include "core/file.h"
#include "core/row.h"
#include "image/image.h"

enum { IMAGE_PROPERTIES_MAX = 128, IMAGE_TAGS_MAX = 128, IMAGE_MEMBERS_MAX = 128, IMAGE_TAG_LEN_MAX = 255 };

/* image.c */
/* The image named by the path's {id}, if the caller sees it. */
Image *image_of_call(Call *c, GError **err);
/* The same, and the caller may change it: a visible image of others is NV_ERR_FORBIDDEN, an invisible one NV_ERR_NOT_FOUND. */
Image *image_of_call_to_change(Call *c, const char *what, GError **err);
bool image_is_owned(const Image *image, const Ctx *ctx);
void image_render(const Image *image, const Ctx *ctx, JsonW *w);
static inline void image_free(Image *image) { row_free((Row *) image); }
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Image, image_free)

/* Rules of fields that POST and PATCH share (fields.c). */
/* False with NV_ERR_FORBIDDEN for what clients may not set: read-only and reserved names. */
bool image_field_settable(const char *name, GError **err);
/* Sets a base field, tags or an additional property; who may set which value is checked here. */
bool image_set(Image *image, const Ctx *ctx, const char *name, const json_t *value, GError **err);
bool image_is_base_field(const char *name);
bool image_check_limits(const Image *image, GError **err);
/* Characters ≤ IMAGE_TAG_LEN_MAX, not empty, no control characters. */
bool image_check_tag(const char *tag, GError **err);

/* Files of the store (store.c): ID is the image, ID.part an upload, ID.staged data to import, ID.gone an image being deleted. */
int store_open(GError **err);
char *store_name(const char *id, const char *suffix);
/* What was written by a finished upload. */
typedef struct Upload { gint64 size; char md5[33], sha512[129]; } Upload;
/* Streams the call's body into ID.part; a failure leaves nothing behind.  ret_fd: the durable file, open for reading. */
bool store_receive(Call *c, const char *id, gint64 max, Upload *ret, int *ret_fd, GError **err);
/* Makes running uploads of the image end, and their bytes vanish. */
void store_cancel(const char *id);

Handler images_list, image_show, image_create, image_update, image_delete, image_upload, image_download, image_stage, image_import;
Handler image_deactivate, image_reactivate, image_tag_put, image_tag_delete;
Handler members_list, member_show, member_create, member_update, member_delete;
Handler schema_image, schema_images, schema_member, schema_members, info_import;
