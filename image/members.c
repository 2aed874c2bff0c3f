/* image/members.c -- sharing: the projects an image was offered to, and whether they took it. */
#include "image/internal.h"
#include "core/clock.h"
#include <string.h>

static void render_member(JsonW *w, const json_t *row)
{
    char created[32], updated[32];
    clock_format(json_get_int(row, "created_at", 0), CLOCK_SECONDS_Z, created);
    clock_format(json_get_int(row, "updated_at", 0), CLOCK_SECONDS_Z, updated);
    jw_object(w);
    jw_kstr(w, "member_id", json_get_str(row, "member_id"));
    jw_kstr(w, "image_id", json_get_str(row, "image_id"));
    jw_kstr(w, "status", json_get_str(row, "status"));
    jw_kstr(w, "created_at", created);
    jw_kstr(w, "updated_at", updated);
    jw_kstr(w, "schema", "/v2/schemas/member");
    jw_end_object(w);
}

/* The image, if it is one that has members. */
static Image *shared_image(Call *c, GError **err)
{
    g_autoptr(Image) image = image_of_call(c, err);
    if (image && strcmp(image->visibility, "shared")) {
        nv_fail(err, NV_ERR_FORBIDDEN, "Only shared images have members.");
        return NULL;
    }
    return g_steal_pointer(&image);
}

static json_t *member_get(Call *c, const Image *image, const char *member, GError **err)
{
    /* A member sees himself, not who else was offered the image. */
    bool sees = image_is_owned(image, c->ctx) || !g_strcmp0(member, c->ctx->project_id);
    g_autoptr(json_t) rows = sees ? db_query(c->db, err, "image_member_get", "ss", image->id, member) : json_array();
    if (!rows)
        return NULL;
    if (!json_array_size(rows)) {
        nv_fail(err, NV_ERR_NOT_FOUND, "%.255s not found in the member list of the image %s.", member, image->id);
        return NULL;
    }
    return json_incref(json_array_get(rows, 0));
}

static bool reply_member(Call *c, const Image *image, const char *member, GError **err)
{
    g_autoptr(json_t) row = member_get(c, image, member, err);
    if (!row)
        return false;
    JsonW w = call_begin(c, 200);
    render_member(&w, row);
    return true;
}

bool members_list(Call *c, GError **err)
{
    g_autoptr(Image) image = shared_image(c, err);
    if (!image)
        return false;
    const char *only = image_is_owned(image, c->ctx) ? NULL : c->ctx->project_id;
    g_autoptr(json_t) rows = db_query(c->db, err, "image_member_list", "ss", image->id, only);
    size_t i;
    json_t *row;
    if (!rows)
        return false;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "members");
    jw_array(&w);
    json_array_foreach(rows, i, row)
        render_member(&w, row);
    jw_end_array(&w);
    jw_kstr(&w, "schema", "/v2/schemas/members");
    jw_end_object(&w);
    return true;
}

bool member_show(Call *c, GError **err)
{
    g_autoptr(Image) image = shared_image(c, err);
    if (!image && err && nv_error_code(*err) == NV_ERR_FORBIDDEN) {
        g_clear_error(err);
        return nv_fail(err, NV_ERR_NOT_FOUND, "Only shared images have members.");
    }
    return image && reply_member(c, image, c->params[1], err);
}

bool member_create(Call *c, GError **err)
{
    const char *member = json_get_str(c->body, "member");
    gint64 n;
    if (!member || !*member || g_utf8_strlen(member, -1) > 255)
        return nv_fail(err, NV_ERR_INVALID, "Expected a member in the form: {\"member\": \"project_id\"}");
    g_autoptr(Image) image = shared_image(c, err);
    if (!image)
        return false;
    if (!image_is_owned(image, c->ctx))
        return nv_fail(err, NV_ERR_FORBIDDEN, "Not allowed to create members for image %s.", image->id);
    g_auto(Txn) txn = txn_begin(c->db, err);
    if (!txn.db || !db_query_int(c->db, err, &n, "image_member_count", "s", image->id))
        return false;
    if (n >= IMAGE_MEMBERS_MAX)
        return nv_fail(err, NV_ERR_TOO_LARGE, "Image member limit exceeded for image %s: at most %d.", image->id, IMAGE_MEMBERS_MAX);
    g_autoptr(GError) why = NULL;
    if (!db_exec(c->db, &why, "image_member_add", "ss", image->id, member)) {
        if (nv_error_code(why) == NV_ERR_CONFLICT)
            return nv_fail(err, NV_ERR_CONFLICT, "Member %s is duplicated for image %s", member, image->id);
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    return reply_member(c, image, member, err) && txn_commit(&txn, err);
}

bool member_update(Call *c, GError **err)
{
    static const char *const statuses[] = { "pending", "accepted", "rejected", NULL };
    const char *status = json_get_str(c->body, "status"), *member = c->params[1];
    if (!status)
        return nv_fail(err, NV_ERR_INVALID, "Expected a status in the form: {\"status\": \"status\"}");
    g_autoptr(Image) image = shared_image(c, err);
    if (!image)
        return false;
    if (!c->ctx->admin && !g_strcmp0(image->project_id, c->ctx->project_id))
        return nv_fail(err, NV_ERR_FORBIDDEN, "You are not permitted to modify 'status' on this image member.");
    g_autoptr(json_t) row = member_get(c, image, member, err);
    if (!row)
        return false;
    if (!g_strv_contains(statuses, status))
        return nv_fail(err, NV_ERR_INVALID, "Incorrect request: status must be one of pending, accepted, rejected, not '%.64s'.", status);
    g_auto(Txn) txn = txn_begin(c->db, err);
    return txn.db && db_exec(c->db, err, "image_member_set", "sss", image->id, member, status) && reply_member(c, image, member, err)
        && txn_commit(&txn, err);
}

bool member_delete(Call *c, GError **err)
{
    g_autoptr(Image) image = shared_image(c, err);
    if (!image)
        return false;
    if (!image_is_owned(image, c->ctx))
        return nv_fail(err, NV_ERR_FORBIDDEN, "You cannot delete image member.");
    g_autoptr(json_t) row = member_get(c, image, c->params[1], err);
    g_auto(Txn) txn = row ? txn_begin(c->db, err) : (Txn) { 0 };
    return txn.db && db_exec(c->db, err, "image_member_remove", "ss", image->id, c->params[1]) && txn_commit(&txn, err)
        && call_reply_empty(c, 204);
}
