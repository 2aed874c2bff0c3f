/* core/json.c -- strict parsing for strangers' text, and small conveniences over jansson. */
#include "core/json.h"
#include "core/error.h"
#include <string.h>

enum { DEPTH_MAX = 32, KEYS_MAX = 4096 };

/* jansson's own depth limit is far higher than anything we accept; scan first, so that hostile nesting costs one pass. */
static bool scan(const char *text, gsize len, GError **err)
{
    int depth = 0;
    gsize commas = 0;
    bool in_string = false;
    for (gsize i = 0; i < len; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"')
            in_string = true;
        else if ((c == '{' || c == '[') && ++depth > DEPTH_MAX)
            return nv_fail(err, NV_ERR_INVALID, "JSON is nested deeper than %d levels", DEPTH_MAX);
        else if (c == '}' || c == ']')
            depth--;
        else if (c == ',' && ++commas > 4 * KEYS_MAX)
            return nv_fail(err, NV_ERR_INVALID, "JSON has too many members");
    }
    return true;
}

json_t *json_parse_strict(const char *text, gsize len, GError **err)
{
    json_error_t why;
    if (!scan(text, len, err))
        return NULL;
    json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (!value)
        nv_fail(err, NV_ERR_INVALID, "Malformed JSON: %s (line %d, column %d)", why.text, why.line, why.column);
    return value;
}

json_t *json_parse_trusted(const char *text)
{
    /* Most columns of lists and maps are empty; jansson's reader costs ten times as much as making the value. */
    if (text && text[0] && text[1] && !text[2]) {
        if (text[0] == '{' && text[1] == '}')
            return json_object();
        if (text[0] == '[' && text[1] == ']')
            return json_array();
    }
    return text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
}

static int append_chunk(const char *buf, size_t n, void *data)
{
    g_string_append_len(data, buf, (gssize) n);
    return 0;
}

char *json_text(const json_t *value)
{
    GString *out = g_string_new(NULL);
    json_dump_callback(value, append_chunk, out, JSON_COMPACT | JSON_ENCODE_ANY);
    return g_string_free(out, FALSE);
}

const char *json_get_str(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

size_t json_index_of(const json_t *array, const char *text)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *) array, i, one)
        if (json_is_string(one) && g_strcmp0(json_string_value(one), text) == 0)
            return i;
    return G_MAXSIZE;
}

bool json_has(const json_t *array, const char *text)
{
    return json_index_of(array, text) != G_MAXSIZE;
}

gint64 json_get_int(const json_t *object, const char *key, gint64 otherwise)
{
    const json_t *v = json_object_get(object, key);
    return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

bool json_get_bool(const json_t *object, const char *key, bool otherwise)
{
    const json_t *v = json_object_get(object, key);
    return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

bool json_bool_lax(const json_t *v, bool *ret_b)
{
    const char *s = json_string_value(v);
    bool is_int = json_is_integer(v);
    bool yes = json_is_true(v) || (is_int && json_integer_value(v) == 1) || (s && (g_str_equal(s, "1") || g_ascii_strcasecmp(s, "true") == 0));
    bool no = json_is_false(v) || (is_int && json_integer_value(v) == 0) || (s && (g_str_equal(s, "0") || g_ascii_strcasecmp(s, "false") == 0));
    if (yes || no)
        *ret_b = yes;
    return yes || no;
}

bool text_is_bool(const char *text, bool *ret_b)
{
    static const char *const words[][2] = { { "0", "1" }, { "false", "true" }, { "f", "t" }, { "no", "yes" }, { "n", "y" }, { "off", "on" } };
    g_autofree char *bare = g_strstrip(g_strdup(text));
    for (guint i = 0; i < 2 * G_N_ELEMENTS(words); i++)
        if (g_ascii_strcasecmp(words[i / 2][i % 2], bare) == 0)
            return *ret_b = i % 2, true;
    return false;
}

bool json_bool_words(const json_t *v, bool *ret_b)
{
    return json_bool_lax(v, ret_b) || (json_is_string(v) && text_is_bool(json_string_value(v), ret_b));
}

json_t *json_make(const char *types, ...)
{
    json_t *object = json_object();
    va_list ap;
    va_start(ap, types);
    for (; *types; types++) {
        const char *key = va_arg(ap, const char *);
        json_t *v = NULL;
        switch (*types) {
        case 's': {
            const char *s = va_arg(ap, const char *);
            v = s ? json_string(s) : json_null();
            break;
        }
        case 'i':
            v = json_integer(va_arg(ap, gint64));
            break;
        case 'b':
            v = json_boolean(va_arg(ap, int));
            break;
        case 'o':
            v = va_arg(ap, json_t *);
            break;
        default:
            g_assert_not_reached();
        }
        json_object_set_new(object, key, v ? v : json_null());
    }
    va_end(ap);
    return object;
}
