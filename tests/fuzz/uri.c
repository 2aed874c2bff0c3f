/* tests/fuzz/uri.c -- the decoder of request targets: what it accepts is a plain absolute path and UTF-8 parameters. */
#include "api/uri.h"
#include "tests/fuzz/fuzz.h"

static void text_is_good(const char *s, bool path)
{
    g_assert(g_utf8_validate(s, -1, NULL));
    for (; path && *s; s++)
        g_assert((guchar) *s >= 0x20 && *s != 0x7f && *s != '\\');
}

int LLVMFuzzerTestOneInput(const guint8 *data, size_t n)
{
    g_autofree char *text = g_strndup((const char *) data, n);
    g_auto(Uri) uri = { 0 };
    const char *why = uri_parse(text, &uri);
    if (why) {
        g_assert(*why);
        return 0;
    }
    g_assert(uri.path[0] == '/');
    text_is_good(uri.path, true);
    g_auto(GStrv) segments = g_strsplit(uri.path, "/", -1);
    for (char **s = segments; *s; s++)
        g_assert(strcmp(*s, ".") != 0 && strcmp(*s, "..") != 0);
    g_assert(!strstr(uri.path, "//"));
    for (size_t i = 0; i < uri.n_query; i++) {
        text_is_good(uri.query[i].name, false);
        text_is_good(uri.query[i].value, false);
    }
    return 0;
}
