/* core/call.c -- what every handler needs: query parameters in, JSON replies and headers out. */
#include "core/call.h"
#include "core/error.h"
#include <string.h>

const char *call_query(const Call *c, const char *name)
{
    for (size_t i = c->n_query; i > 0; i--)
        if (strcmp(c->query[i - 1].name, name) == 0)
            return c->query[i - 1].value;
    return NULL;
}

bool call_query_int(const Call *c, const char *name, gint64 min, gint64 max, gint64 otherwise, gint64 *ret_n, GError **err)
{
    const char *text = call_query(c, name);
    if (!text) {
        *ret_n = otherwise;
        return true;
    }
    /* g_ascii_string_to_signed takes neither spaces nor '+'. */
    if (!g_ascii_string_to_signed(text, 10, min, max, ret_n, NULL))
        return nv_fail(err, NV_ERR_INVALID, "query parameter %s must be an integer from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT, name, min,
                       max);
    return true;
}

bool call_query_bool(const Call *c, const char *name, bool otherwise, bool *ret_b, GError **err)
{
    const char *text = call_query(c, name);
    if (!text) {
        *ret_b = otherwise;
        return true;
    }
    return text_is_bool(text, ret_b) || nv_fail(err, NV_ERR_INVALID, "query parameter %s must be true or false", name);
}

JsonW call_begin(Call *c, int status)
{
    c->status = status;
    if (c->out)
        g_string_truncate(c->out, 0);
    else
        c->out = g_string_sized_new(2048);
    return JSONW(c->out);
}

static int append_text(const char *text, size_t n, void *out)
{
    g_string_append_len(out, text, (gssize) n);
    return 0;
}

bool call_reply(Call *c, int status, json_t *body)
{
    JsonW w = call_begin(c, status);
    json_dump_callback(body, append_text, w.out, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(body);
    return true;
}

bool call_reply_empty(Call *c, int status)
{
    c->status = status;
    if (c->out)
        g_string_truncate(c->out, 0);
    return true;
}

void call_header(Call *c, const char *name, const char *value)
{
    for (const char *p = value; *p; p++)
        if ((guchar) *p < 0x20 || *p == 0x7f)
            g_error("reply header %s would carry a control character", name);
    if (!c->headers)
        c->headers = g_ptr_array_new_full(16, g_free);
    g_ptr_array_add(c->headers, g_strdup(name));
    g_ptr_array_add(c->headers, g_strdup(value));
}

gssize call_read(Call *c, void *buf, gsize n, GError **err)
{
    if (!c->in)
        return nv_fail(err, NV_ERR_INTERNAL, "the body of %s %s is not streamed", c->method, c->path), -1;
    return c->in->read(c->in, buf, n, err);
}

json_t *call_body_object(const Call *c, const char *key, GError **err)
{
    json_t *value = json_object_get(c->body, key);
    if (!json_is_object(value))
        return nv_fail(err, NV_ERR_INVALID, "the body must be a JSON object with the object \"%s\"", key), NULL;
    return value;
}
