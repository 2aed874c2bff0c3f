/* core/jsonw.h -- a small JSON writer: text is appended to a GString as it is produced, no tree is built.
 * Lists of thousands of rows are rendered through it.  Commas are its own business. */
#pragma once
#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct JsonW {
    GString *out;        /* borrowed */
    guint64 comma;       /* bit d: at depth d a value was written already */
    int depth;
    bool after_key;
} JsonW;

#define JSONW(gstring) ((JsonW){ .out = (gstring) })
void jw_object(JsonW *w);                              /* { */
void jw_array(JsonW *w);                               /* [ */
void jw_end_object(JsonW *w);                          /* } */
void jw_end_array(JsonW *w);                           /* ] */
void jw_key(JsonW *w, const char *key);
void jw_str(JsonW *w, const char *value);              /* NULL: null.  Invalid UTF-8 is replaced by U+FFFD. */
void jw_int(JsonW *w, gint64 value);
void jw_real(JsonW *w, double value);
void jw_bool(JsonW *w, bool value);
void jw_null(JsonW *w);
void jw_json(JsonW *w, const json_t *value);           /* NULL: null */
void jw_raw(JsonW *w, const char *json_text);          /* trusted JSON text, one value */
/* key and value at once */
void jw_kstr(JsonW *w, const char *key, const char *value);
void jw_kint(JsonW *w, const char *key, gint64 value);
void jw_kbool(JsonW *w, const char *key, bool value);
void jw_knull(JsonW *w, const char *key);
void jw_kjson(JsonW *w, const char *key, const json_t *value);
