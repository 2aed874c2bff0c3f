/* core/json.h -- jansson with ownership by g_autoptr, strict parsing, and typed look-ups. */
#pragma once
#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(json_t, json_decref)

/* Parses text from strangers: UTF-8 only, duplicate keys refused, depth ≤ 32, ≤ 4096 keys an object, no NUL in strings.
 * Returns a new reference, or NULL with NV_ERR_INVALID. */
json_t *json_parse_strict(const char *text, gsize len, GError **err);
/* Parses our own text (database, wire). */
json_t *json_parse_trusted(const char *text);
/* Compact text.  Caller g_frees (not free). */
char *json_text(const json_t *value);
/* Borrowed string, or NULL where absent, null or of another type. */
const char *json_get_str(const json_t *object, const char *key);
/* Where the text is in an array of strings (or of anything: other items are passed by); G_MAXSIZE: nowhere. */
size_t json_index_of(const json_t *array, const char *text);
bool json_has(const json_t *array, const char *text);
gint64 json_get_int(const json_t *object, const char *key, gint64 otherwise);
bool json_get_bool(const json_t *object, const char *key, bool otherwise);
/* A boolean as many of OpenStack's services take it: true, "true" in any case, 1 or "1", and the like.  False: it is none. */
bool json_bool_lax(const json_t *v, bool *ret_b);
/* The words that oslo's bool_from_string knows, as Neutron takes them in bodies and most services in filters: 1, t, true, on, y, yes and their
 * opposites, in any case, between blanks. */
bool text_is_bool(const char *text, bool *ret_b);
/* json_bool_lax, and these words. */
bool json_bool_words(const json_t *v, bool *ret_b);
/* New object from "s"tring (NULL → null), "i" gint64, "b"ool (int), "o" json_t* (stolen; NULL → null) members:
 * json_make("sib", "id", id, "size", (gint64) 1, "on", true). */
json_t *json_make(const char *types, ...);
