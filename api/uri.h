/* api/uri.h -- the request target: one strict decoder for path and query, so that no two parts of the program can disagree on what was asked. */
#pragma once
#include "core/call.h"

enum { URI_MAX = 8192, QUERY_MAX = 64 };

typedef struct Uri {
    char *path;                  /* decoded, begins with '/' */
    Param query[QUERY_MAX];
    size_t n_query;
} Uri;

/* Takes the raw target apart in place: text is overwritten, uri points into it.  Returns NULL, or a sentence saying what is wrong.
 * Refused: anything but origin form, bytes outside printable ASCII, bad escapes, escapes that make '/', '\', NUL or a control
 * character in the path, text that is not UTF-8, empty, "." and ".." segments, ';' parameters, more than QUERY_MAX parameters. */
const char *uri_parse(char *text, Uri *uri);
