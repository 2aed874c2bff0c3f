/* compute/body.c -- what Nova's schemas check beyond core/check.c, and the parts of queries that its lists share. */
#include "compute/internal.h"
#include "core/conf.h"
#include "core/dialect.h"
#include "core/ip.h"
#include <string.h>

static const char *shown(const json_t *v, char **keep)
{
    *keep = json_text(v);
    if (strlen(*keep) > 80)
        *g_utf8_find_prev_char(*keep, *keep + 80) = '\0';
    return *keep;
}

/* Printable in Nova's sense: no control, unassigned or surrogate characters. */
static bool printable(const char *s)
{
    for (; *s; s = g_utf8_next_char(s)) {
        GUnicodeType t = g_unichar_type(g_utf8_get_char(s));
        if (t == G_UNICODE_CONTROL || t == G_UNICODE_SURROGATE || t == G_UNICODE_UNASSIGNED || t == G_UNICODE_LINE_SEPARATOR
            || t == G_UNICODE_PARAGRAPH_SEPARATOR)
            return false;
    }
    return true;
}

bool check_nova_name(const Field *f, const json_t *v, GError **err)
{
    const char *s = json_string_value(v);
    glong n = s ? g_utf8_strlen(s, -1) : 0;
    g_autofree char *text = NULL;
    if (!s)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. Value: %s. It is not a string", f->json, shown(v, &text));
    if (n < 1)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. Value: . '' is too short", f->json);
    if (n > 255)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. Value: %s. It is too long: at most 255 characters", f->json,
                       shown(v, &text));
    if (!printable(s) || g_unichar_isspace(g_utf8_get_char(s)) || g_unichar_isspace(g_utf8_get_char(g_utf8_prev_char(s + strlen(s)))))
        return nv_fail(
            err, NV_ERR_INVALID,
            "Invalid input for field/attribute %s. Value: %s. It must have printable characters and can not start or end with whitespace",
            f->json, shown(v, &text));
    return true;
}

bool check_nova_text(const Field *f, const json_t *v, GError **err)
{
    const char *s = json_string_value(v);
    const Range *r = f->arg;
    glong n = g_utf8_strlen(s, -1);
    if (n < (r ? r->min : 0) || n > (r ? r->max : 255))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. It is too %s", f->json, n > 1 ? "long" : "short");
    return printable(s) || nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. It must have printable characters only", f->json);
}

gint64 flexible_int(const json_t *v)
{
    return json_is_string(v) ? g_ascii_strtoll(json_string_value(v), NULL, 10) : json_integer_value(v);
}

bool check_flexible_int(const Field *f, const json_t *v, GError **err)
{
    const Range *r = f->arg;
    gint64 n = json_integer_value(v);
    const char *s = json_string_value(v);
    bool ok = s ? g_ascii_string_to_signed(s, 10, r->min, r->max, &n, NULL) : json_is_integer(v) && n >= r->min && n <= r->max;
    g_autofree char *text = NULL;
    return ok || nv_fail(err, NV_ERR_INVALID,
                         "Invalid input for field/attribute %s. Value: %s. It must be an integer from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT,
                         f->json, shown(v, &text), r->min, r->max);
}

static const char *const yes[] = { "true", "1", "on", "yes", NULL }, *const no[] = { "false", "0", "off", "no", NULL };

bool bool_text(const json_t *v)
{
    g_autofree char *low = json_is_string(v) ? g_ascii_strdown(json_string_value(v), -1) : NULL;
    return low ? g_strv_contains(yes, low) : json_is_true(v);
}

bool check_bool_text(const Field *f, const json_t *v, GError **err)
{
    g_autofree char *low = json_is_string(v) ? g_ascii_strdown(json_string_value(v), -1) : NULL, *text = NULL;
    return json_is_boolean(v) || (low && (g_strv_contains(yes, low) || g_strv_contains(no, low)))
        || nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. Value: %s. It must be true or false", f->json, shown(v, &text));
}

static bool metadata_key(const char *key)
{
    glong n = g_utf8_strlen(key, -1);
    bool ok = n >= 1 && n <= 255;
    for (; ok && *key; key++)
        ok = g_ascii_isalnum(*key) || strchr("-_:. ", *key);
    return ok;
}

bool check_metadata(const Field *f, const json_t *v, GError **err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(v))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. It is not of type 'object'", f->json);
    json_object_foreach((json_t *) v, key, value) {
        if (!metadata_key(key))
            return nv_fail(err, NV_ERR_INVALID,
                           "Invalid input for field/attribute %s. Additional properties are not allowed ('%.300s' was unexpected)", f->json,
                           key);
        if (!json_is_string(value))
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. It is not of type 'string'", key);
        if (g_utf8_strlen(json_string_value(value), -1) > 255)
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. It is too long: at most 255 characters", key);
    }
    return true;
}

static bool check_version(const Field *f, const json_t *v, int version, GError **err)
{
    Ip ip;
    const char *s = json_string_value(v);
    return (s && ip_parse(s, &ip) && ip.version == version)
        || nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. Value: %.80s. It is not a 'ipv%d'", f->json, s ? s : "", version);
}

bool check_ipv4(const Field *f, const json_t *v, GError **err)
{
    return check_version(f, v, 4, err);
}

bool check_ipv6(const Field *f, const json_t *v, GError **err)
{
    return check_version(f, v, 6, err);
}

bool check_server_hostname(const Field *f, const json_t *v, GError **err)
{
    const char *s = json_string_value(v);
    size_t n = strlen(s);
    bool ok = n >= 2 && n <= 63 && g_ascii_isalnum(s[0]) && g_ascii_isalnum(s[n - 1]);
    for (size_t i = 0; ok && i < n; i++)
        ok = g_ascii_isalnum(s[i]) || s[i] == '-';
    return ok || nv_fail(err, NV_ERR_INVALID,
                         "Invalid input for field/attribute %s. Value: %.80s. It must be a host name of 2 to 63 of a-z A-Z 0-9 -", f->json, s);
}

bool check_base64(const Field *f, const json_t *v, GError **err)
{
    const Range *r = f->arg;
    const char *s = json_string_value(v);
    size_t n = s ? strlen(s) : 0, data = 0, pad = 0;
    if ((gint64) n > r->max)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. It is too long: at most %" G_GINT64_FORMAT " characters",
                       f->json, r->max);
    /* Encoders break lines; everything else but the alphabet and its padding is refused. */
    bool ok = s != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        if (s[i] == '\n' || s[i] == '\r')
            continue;
        if (s[i] == '=')
            ok = ++pad <= 2;
        else
            ok = pad == 0 && (g_ascii_isalnum(s[i]) || s[i] == '+' || s[i] == '/');
        data++;
    }
    return (ok && data % 4 == 0) || nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. It is not a 'base64'", f->json);
}

bool body_allowed(const json_t *obj, const char *const *allowed, GError **err)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *) obj, key, v) if (!g_strv_contains(allowed, key)) return nv_fail(
        err, NV_ERR_INVALID, "Invalid input for field/attribute body. Additional properties are not allowed ('%.80s' was unexpected)", key);
    return true;
}

json_t *body_only(const Call *c, const char *key, const char *const *allowed, GError **err)
{
    json_t *found = NULL, *v;
    const char *name;
    json_object_foreach(c->body, name, v) {
        if (strcmp(name, key) == 0)
            found = v;
        else if (!allowed || !g_strv_contains(allowed, name))
            return nv_fail(err, NV_ERR_INVALID,
                           "Invalid input for field/attribute body. Additional properties are not allowed ('%.80s' was unexpected)", name),
                   NULL;
    }
    if (!json_is_object(found))
        return nv_fail(err, NV_ERR_INVALID, found ? "Invalid input for field/attribute %s. It is not of type 'object'"
                                                  : "Invalid input for field/attribute body. '%s' is a required property", key), NULL;
    return found;
}

bool page_query(const Call *c, gint64 *ret_limit, const char **ret_marker, GError **err)
{
    gint64 max = conf_int("api.page_max"), limit;
    const char *text = call_query(c, "limit");
    if (text && !g_ascii_string_to_signed(text, 10, 0, G_MAXINT64, &limit, NULL))
        return nv_fail(err, NV_ERR_INVALID,
                       "Invalid input for query parameters limit. Value: %.80s. It must be a whole number that is not negative", text);
    *ret_limit = text ? MIN(limit, max) : max;
    *ret_marker = call_query(c, "marker");
    return true;
}

bool query_allowed(const Call *c, const char *const *allowed, int since, GError **err)
{
    for (size_t i = 0; c->ctx->mv >= since && i < c->n_query; i++)
        if (!g_strv_contains(allowed, c->query[i].name))
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for query parameters. Additional properties are not allowed ('%.80s' was unexpected)",
                           c->query[i].name);
    return true;
}

void page_links(const Call *c, const char *key, const char *last_id, JsonW *w)
{
    g_autoptr(GString) url = g_string_new(c->ctx->base_url);
    g_string_append(url, c->path);
    char sep = '?';
    for (size_t i = 0; i < c->n_query; i++) {
        if (strcmp(c->query[i].name, "marker") == 0)
            continue;
        g_autofree char *name = g_uri_escape_string(c->query[i].name, NULL, FALSE), *value = g_uri_escape_string(c->query[i].value, NULL, FALSE);
        g_string_append_printf(url, "%c%s=%s", sep, name, value);
        sep = '&';
    }
    g_autofree char *marker = g_uri_escape_string(last_id, NULL, FALSE);
    g_string_append_printf(url, "%cmarker=%s", sep, marker);
    jw_key(w, key);
    jw_array(w);
    jw_object(w);
    jw_kstr(w, "rel", "next");
    jw_kstr(w, "href", url->str);
    jw_end_object(w);
    jw_end_array(w);
}

void view_links(const Ctx *ctx, const char *collection, const char *id, JsonW *w)
{
    static const struct { const char *rel, *path; } links[] = { { "self", "/compute/v2.1/" }, { "bookmark", "/compute/" } };
    g_autofree char *escaped = g_uri_escape_string(id, NULL, FALSE);
    jw_array(w);
    for (guint i = 0; i < G_N_ELEMENTS(links); i++) {
        g_autofree char *href = g_strconcat(ctx->base_url, links[i].path, collection, "/", escaped, NULL);
        jw_object(w);
        jw_kstr(w, "rel", links[i].rel);
        jw_kstr(w, "href", href);
        jw_end_object(w);
    }
    jw_end_array(w);
}

void view_time(JsonW *w, const char *key, gint64 us)
{
    char text[32];
    clock_format(us, CLOCK_SECONDS_Z, text);
    jw_kstr(w, key, text);
}
