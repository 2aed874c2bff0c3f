/* core/jsonw.c -- the JSON writer. */
#include "core/jsonw.h"
#include "core/json.h"
#include <string.h>

static void before_value(JsonW *w)
{
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    guint64 bit = 1ull << (w->depth & 63);
    if (w->comma & bit)
        g_string_append_c(w->out, ',');
    w->comma |= bit;
}

static void open_with(JsonW *w, char c)
{
    before_value(w);
    g_string_append_c(w->out, c);
    w->depth++;
    g_assert(w->depth < 64);
    w->comma &= ~(1ull << w->depth);
}

static void close_with(JsonW *w, char c)
{
    g_assert(w->depth > 0);
    w->depth--;
    g_string_append_c(w->out, c);
}

static void append_escaped(GString *out, const char *s, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    size_t from = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char) s[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        g_string_append_len(out, s + from, (gssize) (i - from));
        from = i + 1;
        if (c == '"' || c == '\\') {
            g_string_append_c(out, '\\');
            g_string_append_c(out, (char) c);
        } else if (c == '\n')
            g_string_append(out, "\\n");
        else if (c == '\t')
            g_string_append(out, "\\t");
        else if (c == '\r')
            g_string_append(out, "\\r");
        else {
            g_string_append(out, "\\u00");
            g_string_append_c(out, hex[c >> 4]);
            g_string_append_c(out, hex[c & 15]);
        }
    }
    g_string_append_len(out, s + from, (gssize) (n - from));
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static void append_string(GString *out, const char *s)
{
    size_t n = 0;
    while (is_plain((unsigned char) s[n]))
        n++;
    if (!s[n]) {                                 /* nearly all are: nothing to check, nothing to escape */
        g_string_append_c(out, '"');
        g_string_append_len(out, s, (gssize) n);
        g_string_append_c(out, '"');
        return;
    }
    n += strlen(s + n);
    g_autofree char *valid = g_utf8_validate(s, (gssize) n, NULL) ? NULL : g_utf8_make_valid(s, (gssize) n);
    if (valid) {
        s = valid;
        n = strlen(valid);
    }
    g_string_append_c(out, '"');
    append_escaped(out, s, n);
    g_string_append_c(out, '"');
}

void jw_object(JsonW *w)
{
    open_with(w, '{');
}

void jw_array(JsonW *w)
{
    open_with(w, '[');
}

void jw_end_object(JsonW *w)
{
    close_with(w, '}');
}

void jw_end_array(JsonW *w)
{
    close_with(w, ']');
}

void jw_key(JsonW *w, const char *key)
{
    before_value(w);
    append_string(w->out, key);
    g_string_append_c(w->out, ':');
    w->after_key = true;
}

void jw_str(JsonW *w, const char *value)
{
    before_value(w);
    if (value)
        append_string(w->out, value);
    else
        g_string_append(w->out, "null");
}

void jw_int(JsonW *w, gint64 value)
{
    char text[24];
    before_value(w);
    g_snprintf(text, sizeof text, "%" G_GINT64_FORMAT, value);
    g_string_append(w->out, text);
}

void jw_real(JsonW *w, double value)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    before_value(w);
    g_string_append(w->out, g_ascii_formatd(text, sizeof text, "%.6g", value));
}

void jw_bool(JsonW *w, bool value)
{
    before_value(w);
    g_string_append(w->out, value ? "true" : "false");
}

void jw_null(JsonW *w)
{
    before_value(w);
    g_string_append(w->out, "null");
}

static int append_chunk(const char *buf, size_t n, void *data)
{
    g_string_append_len(data, buf, (gssize) n);
    return 0;
}

void jw_json(JsonW *w, const json_t *value)
{
    before_value(w);
    if (value)
        json_dump_callback(value, append_chunk, w->out, JSON_COMPACT | JSON_ENCODE_ANY);
    else
        g_string_append(w->out, "null");
}

void jw_raw(JsonW *w, const char *json_text)
{
    before_value(w);
    g_string_append(w->out, json_text);
}

void jw_kstr(JsonW *w, const char *key, const char *value)
{
    jw_key(w, key);
    jw_str(w, value);
}

void jw_kint(JsonW *w, const char *key, gint64 value)
{
    jw_key(w, key);
    jw_int(w, value);
}

void jw_kbool(JsonW *w, const char *key, bool value)
{
    jw_key(w, key);
    jw_bool(w, value);
}

void jw_knull(JsonW *w, const char *key)
{
    jw_key(w, key);
    jw_null(w);
}

void jw_kjson(JsonW *w, const char *key, const json_t *value)
{
    jw_key(w, key);
    jw_json(w, value);
}
