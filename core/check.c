/* core/check.c -- validators: each says whether one JSON value is good for one field, and names the field when it is not. */
#include "core/id.h"
#include "core/ip.h"
#include "core/table.h"
#include <string.h>

enum { LIST_MAX = 1000 };            /* of most lists; what has to be distinct in them is compared pair by pair */

static bool has_control(const char *s)
{
    for (; *s; s++)
        if ((unsigned char) *s < 0x20 || *s == 0x7f)
            return true;
    return false;
}

static bool check_length(const Field *f, const json_t *v, glong min, glong max, GError **err)
{
    const char *s = json_string_value(v);
    glong n = g_utf8_strlen(s, -1);
    if (n < min)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. Value: '%s'. It is too short: at least %ld characters",
                       f->json, s, min);
    if (n > max)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. Value is too long: at most %ld characters", f->json, max);
    if (has_control(s))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. It has control characters", f->json);
    return true;
}

bool check_name(const Field *f, const json_t *v, GError **err)
{
    return check_length(f, v, 0, 255, err);
}

bool check_name_nonempty(const Field *f, const json_t *v, GError **err)
{
    g_autofree char *bare = g_strstrip(g_strdup(json_string_value(v)));
    if (!*bare)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. Value: '%s'. It may not be empty", f->json, json_string_value(v));
    return check_length(f, v, 1, 255, err);
}

bool check_text(const Field *f, const json_t *v, GError **err)
{
    const Range *r = f->arg;
    glong min = r ? (glong) r->min : 0, max = r ? (glong) r->max : 255;
    glong n = g_utf8_strlen(json_string_value(v), -1);
    return (n >= min && n <= max)
        || nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. It must have %ld to %ld characters", f->json, min, max);
}

bool check_uuid(const Field *f, const json_t *v, GError **err)
{
    return id_is_uuid(json_string_value(v))
        || nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: '%s' is not a valid UUID.", f->json, json_string_value(v));
}

bool check_id(const Field *f, const json_t *v, GError **err)
{
    return id_is_hex_or_uuid(json_string_value(v))
        || nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: '%s' is not a valid id.", f->json, json_string_value(v));
}

bool check_enum(const Field *f, const json_t *v, GError **err)
{
    const char *const *allowed = f->arg;
    if (g_strv_contains(allowed, json_string_value(v)))
        return true;
    g_autofree char *list = g_strjoinv(", ", (char **) allowed);
    return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: '%s' is not in [%s].", f->json, json_string_value(v), list);
}

bool check_range(const Field *f, const json_t *v, GError **err)
{
    const Range *r = f->arg;
    gint64 n = json_integer_value(v);
    return (n >= r->min && n <= r->max)
        || nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: %" G_GINT64_FORMAT " is not from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT
                   ".", f->json, n, r->min, r->max);
}

bool check_int_of(const Field *f, const json_t *v, GError **err)
{
    for (const gint64 *n = f->arg; *n; n++)
        if (*n == json_integer_value(v))
            return true;
    return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: %" JSON_INTEGER_FORMAT " is not one of the allowed values.", f->json,
                   json_integer_value(v));
}

bool check_cidr(const Field *f, const json_t *v, GError **err)
{
    Cidr c;
    return cidr_parse(json_string_value(v), false, &c)
        || nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: '%s' is not a valid IP subnet.", f->json,
                   json_string_value(v));
}

static bool is_ip(const json_t *v)
{
    Ip ip;
    return json_is_string(v) && ip_parse(json_string_value(v), &ip);
}

bool check_ip(const Field *f, const json_t *v, GError **err)
{
    return is_ip(v) || nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: '%s' is not a valid IP address.", f->json, json_string_value(v));
}

bool check_ip_list(const Field *f, const json_t *v, GError **err)
{
    size_t i;
    json_t *item;
    if (!json_is_array(v))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: it is not a list.", f->json);
    json_array_foreach((json_t *) v, i, item)
        if (!is_ip(item))
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: item %zu is not a valid IP address.", f->json, i);
    return true;
}

bool check_mac(const Field *f, const json_t *v, GError **err)
{
    guint8 mac[6];
    return mac_parse(json_string_value(v), mac)
        || nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: '%s' is not a valid MAC address.", f->json, json_string_value(v));
}

static bool is_label(const char *s)
{
    size_t n = strlen(s);
    if (n < 1 || n > 63 || s[0] == '-' || s[n - 1] == '-')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!g_ascii_isalnum(s[i]) && s[i] != '-')
            return false;
    return true;
}

bool check_hostname(const Field *f, const json_t *v, GError **err)
{
    const char *s = json_string_value(v);
    g_autofree char *bare = g_strdup(s);
    if (g_str_has_suffix(bare, "."))
        bare[strlen(bare) - 1] = '\0';
    g_auto(GStrv) labels = g_strsplit(bare, ".", -1);
    bool ok = *bare && strlen(s) <= 253;
    for (char **l = labels; ok && *l; l++)
        ok = is_label(*l);
    return ok || nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: '%s' is not a valid host name.", f->json, s);
}

bool check_string_map(const Field *f, const json_t *v, GError **err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(v))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: it is not an object.", f->json);
    if (json_object_size(v) > 128)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: it has more than 128 items.", f->json);
    json_object_foreach((json_t *) v, key, value)
        if (!json_is_string(value) || !*key || g_utf8_strlen(key, -1) > 255 || g_utf8_strlen(json_string_value(value), -1) > 255
            || has_control(key))
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: item '%s' must be a string of at most 255 characters.", f->json, key);
    return true;
}

bool check_tags(const Field *f, const json_t *v, GError **err)
{
    size_t i;
    json_t *tag;
    if (!json_is_array(v) || json_array_size(v) > 50)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: it is not a list of at most 50 tags.", f->json);
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    json_array_foreach((json_t *) v, i, tag) {
        const char *s = json_string_value(tag);
        if (!s || !*s || g_utf8_strlen(s, -1) > 60 || strpbrk(s, ",/"))
            return nv_fail(err, NV_ERR_INVALID,
                           "Invalid input for %s. Reason: tag %zu must be a string of 1 to 60 characters without comma or slash.", f->json,
                           i);
        if (!g_hash_table_add(seen, (gpointer) s))
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: '%s' is given twice.", f->json, s);
    }
    return true;
}

bool check_object(const Field *f, const json_t *v, GError **err)
{
    return json_is_object(v) || nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: it is not an object.", f->json);
}

bool check_array(const Field *f, const json_t *v, GError **err)
{
    if (!json_is_array(v))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: it is not a list.", f->json);
    return json_array_size(v) <= LIST_MAX
        || nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: it has more than %d items.", f->json, LIST_MAX);
}
