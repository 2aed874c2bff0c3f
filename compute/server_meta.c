/* compute/server_meta.c -- a server's metadata and tags. */
#include "compute/internal.h"
#include "identity/identity.h"
#include <string.h>

enum { TAGS_MAX = 50 };

/* Runs change on the server's row in a transaction; false from it ends it. */
static Server *load_for_change(Call *c, Txn *txn, GError **err)
{
    *txn = txn_begin(c->db, err);
    Server *s = txn->db ? server_get_for(c->db, c->ctx, c->params[0], err) : NULL;
    if (s && !server_check_unlocked(s, c->ctx, err))
        g_clear_pointer(&s, server_free);
    return s;
}

static bool check_items(const Call *c, const Server *s, const json_t *metadata, GError **err)
{
    gint64 limit, used;
    if (!quota_get(c->db, s->project_id, "metadata_items", &limit, &used, err))
        return false;
    return limit < 0 || (gint64) json_object_size(metadata) <= limit
        || nv_fail(err, NV_ERR_QUOTA, "Maximum number of metadata items exceeds %" G_GINT64_FORMAT, limit);
}

static bool store(Call *c, Txn *txn, Server *s, json_t *metadata, GError **err)
{
    ROW_SET_JSON(s, metadata, metadata);
    return check_items(c, s, metadata, err) && row_update(c->db, &s->row, err) && txn_commit(txn, err);
}

static json_t *given_metadata(Call *c, const char *key, GError **err)
{
    static const Field field = { .json = "metadata" };
    json_t *given = body_only(c, key, NULL, err);
    return given && check_metadata(&field, given, err) ? given : NULL;
}

bool server_meta_list(Call *c, GError **err)
{
    g_autoptr(Server) s = server_get_for(c->db, c->ctx, c->params[0], err);
    return s && call_reply(c, 200, json_make("o", "metadata", json_incref(s->metadata)));
}

/* PUT: replaces all of it; POST: adds to it. */
static bool change_all(Call *c, bool replace, GError **err)
{
    json_t *given = given_metadata(c, "metadata", err);
    g_auto(Txn) txn = { NULL, false };
    g_autoptr(Server) s = given ? load_for_change(c, &txn, err) : NULL;
    if (!s)
        return false;
    json_t *merged = replace ? json_object() : json_deep_copy(s->metadata);
    json_object_update(merged, given);
    return store(c, &txn, s, merged, err) && call_reply(c, 200, json_make("o", "metadata", json_incref(s->metadata)));
}

bool server_meta_set(Call *c, GError **err)
{
    return change_all(c, true, err);
}

bool server_meta_update(Call *c, GError **err)
{
    return change_all(c, false, err);
}

bool server_meta_item(Call *c, GError **err)
{
    g_autoptr(Server) s = server_get_for(c->db, c->ctx, c->params[0], err);
    if (!s)
        return false;
    const char *value = json_get_str(s->metadata, c->params[1]);
    if (!value)
        return nv_fail(err, NV_ERR_NOT_FOUND, "Metadata item was not found");
    return call_reply(c, 200, json_make("o", "meta", json_make("s", c->params[1], value)));
}

bool server_meta_item_set(Call *c, GError **err)
{
    json_t *given = given_metadata(c, "meta", err);
    if (!given)
        return false;
    if (json_object_size(given) != 1)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute meta. It must have exactly one item");
    if (!json_object_get(given, c->params[1]))
        return nv_fail(err, NV_ERR_INVALID, "Request body and URI mismatch");
    g_auto(Txn) txn = { NULL, false };
    g_autoptr(Server) s = load_for_change(c, &txn, err);
    if (!s)
        return false;
    json_t *merged = json_deep_copy(s->metadata);
    json_object_update(merged, given);
    return store(c, &txn, s, merged, err) && call_reply(c, 200, json_make("o", "meta", json_incref(given)));
}

bool server_meta_item_delete(Call *c, GError **err)
{
    g_auto(Txn) txn = { NULL, false };
    g_autoptr(Server) s = load_for_change(c, &txn, err);
    if (!s)
        return false;
    json_t *merged = json_deep_copy(s->metadata);
    if (json_object_del(merged, c->params[1]) < 0) {
        json_decref(merged);
        return nv_fail(err, NV_ERR_NOT_FOUND, "Metadata item was not found");
    }
    return store(c, &txn, s, merged, err) && call_reply_empty(c, 204);
}

/* --- tags (2.26) --- */
static Server *load_for_tags(Call *c, Txn *txn, const char *what, GError **err)
{
    static const char *const states[] = { "active", "paused", "suspended", "stopped", NULL };
    *txn = txn_begin(c->db, err);
    Server *s = txn->db ? server_get_for(c->db, c->ctx, c->params[0], err) : NULL;
    if (!s || g_strv_contains(states, s->vm_state))
        return s;
    nv_fail(err, NV_ERR_CONFLICT, "Cannot '%s' instance %s while it is in vm_state %s", what, s->id, s->vm_state);
    server_free(s);
    return NULL;
}

static bool store_tags(Call *c, Txn *txn, Server *s, json_t *tags, GError **err)
{
    ROW_SET_JSON(s, tags, tags);
    return row_update(c->db, &s->row, err) && txn_commit(txn, err);
}

bool server_tags_list(Call *c, GError **err)
{
    g_autoptr(Server) s = server_get_for(c->db, c->ctx, c->params[0], err);
    return s && call_reply(c, 200, json_make("o", "tags", json_incref(s->tags)));
}

bool server_tags_set(Call *c, GError **err)
{
    static const Field field = { .json = "tags" };
    static const char *const keys[] = { "tags", NULL };
    json_t *given = json_object_get(c->body, "tags"), *t;
    g_autoptr(json_t) once = json_array();
    size_t i;
    if (!body_allowed(c->body, keys, err))
        return false;
    if (!json_is_array(given))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute body. 'tags' is a required property");
    json_array_foreach(given, i, t)
        if (!json_is_string(t) || !json_has(once, json_string_value(t)))
            json_array_append(once, t);
    g_auto(Txn) txn = { NULL, false };
    g_autoptr(Server) s = check_tags(&field, once, err) ? load_for_tags(c, &txn, "update tags", err) : NULL;
    return s && store_tags(c, &txn, s, json_incref(once), err) && call_reply(c, 200, json_make("o", "tags", json_incref(s->tags)));
}

bool server_tags_clear(Call *c, GError **err)
{
    g_auto(Txn) txn = { NULL, false };
    g_autoptr(Server) s = load_for_tags(c, &txn, "delete tags", err);
    return s && store_tags(c, &txn, s, json_array(), err) && call_reply_empty(c, 204);
}

static bool no_tag(const Call *c, GError **err)
{
    return nv_fail(err, NV_ERR_NOT_FOUND, "Server %s has no tag '%.64s'", c->params[0], c->params[1]);
}

bool server_tag_check(Call *c, GError **err)
{
    g_autoptr(Server) s = server_get_for(c->db, c->ctx, c->params[0], err);
    if (!s)
        return false;
    return json_has(s->tags, c->params[1]) ? call_reply_empty(c, 204) : no_tag(c, err);
}

bool server_tag_add(Call *c, GError **err)
{
    const char *tag = c->params[1];
    g_auto(Txn) txn = { NULL, false };
    g_autoptr(Server) s = load_for_tags(c, &txn, "update tag", err);
    if (!s)
        return false;
    if (!*tag || g_utf8_strlen(tag, -1) > 60 || strpbrk(tag, ",/"))
        return nv_fail(err, NV_ERR_INVALID,
                       "Tag '%.80s' is invalid. It must be a non empty string without characters '/' and ',', of at most 60 characters", tag);
    if (json_has(s->tags, tag))
        return call_reply_empty(c, 204);
    if (json_array_size(s->tags) >= TAGS_MAX)
        return nv_fail(err, NV_ERR_INVALID, "The number of tags exceeded the per-server limit %d", TAGS_MAX);
    json_t *more = json_deep_copy(s->tags);
    json_array_append_new(more, json_string(tag));
    if (!store_tags(c, &txn, s, more, err))
        return false;
    g_autofree char *escaped = g_uri_escape_string(tag, NULL, FALSE);
    g_autofree char *location = g_strconcat(c->ctx->base_url, "/compute/v2.1/servers/", s->id, "/tags/", escaped, NULL);
    call_header(c, "Location", location);
    return call_reply_empty(c, 201);
}

bool server_tag_delete(Call *c, GError **err)
{
    g_auto(Txn) txn = { NULL, false };
    g_autoptr(Server) s = load_for_tags(c, &txn, "delete tag", err);
    if (!s)
        return false;
    size_t at = json_index_of(s->tags, c->params[1]);
    if (at == G_MAXSIZE)
        return no_tag(c, err);
    json_t *fewer = json_deep_copy(s->tags);
    json_array_remove(fewer, at);
    return store_tags(c, &txn, s, fewer, err) && call_reply_empty(c, 204);
}
