/* api/uri.c -- strict decoding of request targets. */
#include "api/uri.h"
#include <string.h>

typedef enum { PART_PATH, PART_QUERY } Part;

static const char *const bad_escape = "The URI has a bad percent escape.";
static const char *const bad_byte = "The URI has a character that must be escaped.";

/* Decodes [text, end) in place and ends it with NUL.  NULL: good. */
static const char *decode(char *text, const char *end, Part part)
{
    char *out = text;
    for (const char *p = text; p < end; p++) {
        guchar c = (guchar) *p;
        if (c == '%') {
            if (end - p < 3 || !g_ascii_isxdigit(p[1]) || !g_ascii_isxdigit(p[2]))
                return bad_escape;
            c = (guchar) (g_ascii_xdigit_value(p[1]) << 4 | g_ascii_xdigit_value(p[2]));
            p += 2;
            if (part == PART_PATH && (c == '/' || c == '\\'))
                return "The path has an encoded slash.";
        } else if (c == '+' && part == PART_QUERY)
            c = ' ';
        if (c < 0x20 || c == 0x7f)
            return "The URI has a control character.";
        *out++ = (char) c;
    }
    *out = 0;
    return g_utf8_validate(text, out - text, NULL) ? NULL : "The URI is not UTF-8.";
}

static const char *check_raw(const char *text)
{
    for (const char *p = text; *p; p++)
        if ((guchar) *p <= 0x20 || (guchar) *p >= 0x7f || *p == '\\' || *p == '#')
            return bad_byte;
    return text[0] == '/' ? NULL : "The URI must be a path.";
}

/* Segments of the decoded path. */
static const char *check_segments(const char *path)
{
    for (const char *p = path; p; p = strchr(p + 1, '/')) {
        size_t n = strcspn(p + 1, "/");
        if (n == 0 && p[1])
            return "The path has an empty segment.";
        if ((n == 1 && p[1] == '.') || (n == 2 && p[1] == '.' && p[2] == '.'))
            return "The path has a dot segment.";
    }
    return NULL;
}

static const char *parse_pair(char *text, const char *end, Param *pair)
{
    char *eq = memchr(text, '=', (size_t) (end - text));
    const char *bad = decode(text, eq ? eq : end, PART_QUERY);
    pair->name = text;
    pair->value = (char *) "";
    if (bad || !eq)
        return bad;
    pair->value = eq + 1;
    return decode(eq + 1, end, PART_QUERY);
}

static const char *parse_query(char *text, Uri *uri)
{
    size_t most = 1;
    for (const char *p = text; *p; p++)
        most += *p == '&';
    uri->query = g_new(Param, most);
    while (text) {
        char *end = strchr(text, '&'), *next = end ? end + 1 : NULL;
        if (!end)
            end = text + strlen(text);
        if (end > text) {
            const char *bad = parse_pair(text, end, &uri->query[uri->n_query++]);
            if (bad)
                return bad;
        }
        text = next;
    }
    return NULL;
}

const char *uri_parse(char *text, Uri *uri)
{
    *uri = (Uri){ .path = text };
    const char *bad = check_raw(text);
    if (bad)
        return bad;
    char *query = strchr(text, '?'), *end = query ? query : text + strlen(text);
    if (memchr(text, ';', (size_t) (end - text)))
        return "The path has a ';' parameter.";
    if ((bad = decode(text, end, PART_PATH)) || (bad = check_segments(text)))
        return bad;
    return query ? parse_query(query + 1, uri) : NULL;
}

void uri_done(Uri *uri)
{
    g_clear_pointer(&uri->query, g_free);
}
