/* core/row.h -- one resource in memory: made from JSON by its table, rendered to JSON by its table. */
#pragma once
#include "core/table.h"

/* An empty row of res: nothing known.  Free with row_free (g_autoptr(Row)). */
Row *row_new(const Resource *res);
void row_free(Row *row);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Row, row_free)

/* Fills row from a caller's body.  verb is CREATE or UPDATE.  Absent, null and a value are three things: absent leaves a field
 * unknown (CREATE: then defaults are applied) and not dirty.  Errors: NV_ERR_INVALID naming the field; NV_ERR_FORBIDDEN for ADMIN fields. */
bool row_parse(Row *row, const json_t *body, const Ctx *ctx, unsigned verb, GError **err);
/* The resource has an attribute of that name, and verb may give it; NV_ERR_INVALID. */
bool row_takes(const Resource *res, const char *name, const Ctx *ctx, unsigned verb, GError **err);
/* Writes the row as one JSON object; brief: only BRIEF fields.  Without its braces: row_render_members. */
void row_render(const Row *row, const Ctx *ctx, JsonW *w, bool brief);
/* Only the named members (Neutron's fields=…); only is NULL-terminated. */
void row_render_only(const Row *row, const Ctx *ctx, JsonW *w, const char *const *only);
void row_render_members(const Row *row, const Ctx *ctx, JsonW *w, bool brief);

/* member is the address of a member of the struct, as in row_knows(row, &s->gateway_ip). */
bool row_knows(const Row *row, const void *member);
bool row_is_null(const Row *row, const void *member);
bool row_is_dirty(const Row *row, const void *member);
void row_touch(Row *row, const void *member);          /* known, not null, dirty: call after assigning */
void row_nullify(Row *row, const void *member);        /* known, null, dirty; frees the value */
/* Assign and touch; obj points at a struct whose first member is `Row row`.  Strings are copied, NULL becomes null; JSON is stolen. */
#define ROW_SET_STR(obj, m, v)  row_set_str(&(obj)->row, &(obj)->m, (v))
#define ROW_SET_INT(obj, m, v)  ((obj)->m = (v), row_touch(&(obj)->row, &(obj)->m))
#define ROW_SET_BOOL(obj, m, v) ((obj)->m = (v), row_touch(&(obj)->row, &(obj)->m))
#define ROW_SET_JSON(obj, m, v) row_set_json(&(obj)->row, &(obj)->m, (v))
#define ROW_SET_NULL(obj, m)    row_nullify(&(obj)->row, &(obj)->m)
void row_set_str(Row *row, char **member, const char *value);
void row_set_json(Row *row, json_t **member, json_t *value);

/* Index of the field named json at microversion mv, or -1. */
int field_index(const Resource *res, const char *json, int mv);
bool field_visible_at(const Field *f, int mv);
/* A T_STR field's value as it is stored.  Caller frees. */
char *field_spelled(const Field *f, const char *text);
/* One field's value from JSON, as row_parse does for each: type, null, check. */
bool field_parse(Row *row, size_t i, const json_t *v, GError **err);
