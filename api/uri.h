/* api/uri.h -- the request target: one strict decoder for path and query, so that no two parts of the program can disagree on what was asked. */
#pragma once
#include "core/call.h"

enum { URI_MAX = 8192 };

typedef struct Uri {
    char *path;                  /* decoded, begins with '/' */
    Param *query; size_t n_query;
} Uri;

/* Takes the raw target apart in place: text is overwritten, uri points into it.  Returns NULL, or a sentence saying what is wrong.
 * Refused: anything but origin form, bytes outside printable ASCII, bad escapes, escapes that make '/', '\', NUL or a control
 * character in the path, text that is not UTF-8, empty, "." and ".." segments, ';' parameters.  In both cases
 * uri is for uri_done. */
const char *uri_parse(char *text, Uri *uri);
void uri_done(Uri *uri);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Uri, uri_done)
