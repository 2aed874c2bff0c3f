/* core/row.c -- a resource in memory: parsed from JSON and rendered to JSON by its table.  Knows no resource by name, and no SQL. */
#include "core/row.h"
#include "core/clock.h"
#include "core/dialect.h"
#include <string.h>

Row *row_new(const Resource *res)
{
    Row *row = g_malloc0(res->size);
    row->res = res;
    return row;
}

static bool has_member(const Field *f)
{
    return f->col || f->child || (f->type == T_JSON && !f->render);
}

static void field_clear(Row *row, const Field *f)
{
    if (!has_member(f))
        return;
    switch (f->type) {
    case T_STR:
        g_clear_pointer(FIELD_PTR(row, f, char *), g_free);
        break;
    case T_JSON:
        g_clear_pointer(FIELD_PTR(row, f, json_t *), json_decref);
        break;
    case T_INT:
    case T_BOOL:
    case T_TIME:
        break;
    }
}

void row_free(Row *row)
{
    if (!row)
        return;
    for (EACH_FIELD(row->res, f, i))
        field_clear(row, f);
    g_free(row);
}

bool field_visible_at(const Field *f, int mv)
{
    return mv >= f->since && (f->until == 0 || mv <= f->until);
}

int field_index(const Resource *res, const char *json, int mv)
{
    for (EACH_FIELD(res, f, i))
        if (field_visible_at(f, mv) && strcmp(f->json, json) == 0)
            return (int) i;
    return -1;
}

static bool type_matches(const Field *f, const json_t *v)
{
    switch (f->type) {
    case T_STR:
        return json_is_string(v);
    case T_INT:
        return json_is_integer(v);
    case T_BOOL:
        return json_is_boolean(v);
    case T_TIME:
        return json_is_string(v);
    case T_JSON:
        return true;
    }
    g_assert_not_reached();
}

/* OpenStack's services accept numbers and booleans written as strings in request bodies ("true", "64"); each dialect says whether it does. */
static json_t *coerce(const Row *row, const Field *f, const json_t *v)
{
    const char *s = json_string_value(v);
    char *end;
    bool b;
    if (!row->res->dialect->lax_types)
        return NULL;
    if (f->type == T_BOOL && (row->res->dialect->bool_words ? json_bool_words : json_bool_lax)(v, &b))
        return json_boolean(b);
    if (f->type == T_INT && s && *s && strlen(s) < 19) {
        gint64 n = g_ascii_strtoll(s, &end, 10);
        if (!*end && (g_ascii_isdigit(*s) || *s == '-'))
            return json_integer(n);
    }
    return NULL;
}

char *field_spelled(const Field *f, const char *text)
{
    char *canonical = f->canon ? f->canon(text) : NULL;
    return canonical ? canonical : g_strdup(text);
}

static void field_store(Row *row, const Field *f, const json_t *v)
{
    switch (f->type) {
    case T_STR:
        *FIELD_PTR(row, f, char *) = field_spelled(f, json_string_value(v));
        break;
    case T_INT:
        *FIELD_PTR(row, f, gint64) = json_integer_value(v);
        break;
    case T_BOOL:
        *FIELD_PTR(row, f, bool) = json_is_true(v);
        break;
    case T_TIME:
        clock_parse(json_string_value(v), FIELD_PTR(row, f, gint64));
        break;
    case T_JSON:
        *FIELD_PTR(row, f, json_t *) = json_deep_copy(v);
        break;
    }
}

bool field_parse(Row *row, size_t i, const json_t *v, GError **err)
{
    static const char *const type_names[] = { "a string", "an integer", "a boolean", "a time in ISO 8601", "a value" };
    const Field *f = &row->res->fields[i];
    guint64 bit = 1ull << i;
    if (json_is_null(v) && f->null) {
        g_autoptr(json_t) meant = json_parse_trusted(f->null);
        return field_parse(row, i, meant, err);
    }
    if (json_is_null(v)) {
        if (!(f->flags & NULLABLE))
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. Value: None. It may not be null", f->json);
        field_clear(row, f);
        row->null |= bit;
    } else {
        g_autoptr(json_t) coerced = coerce(row, f, v);
        if (coerced)
            v = coerced;
        gint64 t;
        if (!type_matches(f, v) || (f->type == T_TIME && !clock_parse(json_string_value(v), &t))) {
            g_autofree char *text = json_text(v);
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. Value: %.200s. It is not %s", f->json, text,
                           type_names[f->type]);
        }
        if (f->check && !f->check(f, v, err))
            return false;
        field_clear(row, f);
        row->null &= ~bit;
        field_store(row, f, v);
    }
    row->known |= bit;
    row->dirty |= bit;
    return true;
}

/* Giving the default is giving nothing: clients do it, and Neutron's policies let them. */
static bool is_default(const Field *f, const json_t *v)
{
    g_autoptr(json_t) d = f->dflt ? json_parse_trusted(f->dflt) : NULL;
    return d && json_equal(d, v);
}

bool row_takes(const Resource *res, const char *name, const Ctx *ctx, unsigned verb, GError **err)
{
    int i = field_index(res, name, ctx->mv);
    if (i < 0)
        return nv_fail(err, NV_ERR_INVALID, "Additional properties are not allowed: unknown attribute '%s'", name);
    return (res->fields[i].flags & verb)
        || nv_fail(err, NV_ERR_INVALID, "Attribute '%s' not allowed in %s", name, verb == CREATE ? "POST" : "PUT");
}

static bool parse_given(Row *row, const char *name, const json_t *v, const Ctx *ctx, unsigned verb, GError **err)
{
    if (!row_takes(row->res, name, ctx, verb, err))
        return false;
    int i = field_index(row->res, name, ctx->mv);
    const Field *f = &row->res->fields[i];
    if ((f->flags & ADMIN) && !ctx->admin && !(verb == CREATE && is_default(f, v)))
        return nv_fail(err, NV_ERR_FORBIDDEN, "Setting '%s' is disallowed by policy: it needs an administrator", name);
    return field_parse(row, (size_t) i, v, err);
}

bool row_parse(Row *row, const json_t *body, const Ctx *ctx, unsigned verb, GError **err)
{
    const char *name;
    json_t *v;
    if (!json_is_object(body))
        return nv_fail(err, NV_ERR_INVALID, "%s must be an object", row->res->one);
    json_object_foreach((json_t *) body, name, v)
        if (!parse_given(row, name, v, ctx, verb, err))
            return false;
    if (verb != CREATE)
        return true;
    for (EACH_FIELD(row->res, f, i)) {
        if ((row->known & 1ull << i) || !field_visible_at(f, ctx->mv))
            continue;
        if (f->flags & REQUIRED)
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s: '%s' is a required property", f->json, f->json);
        if (f->dflt) {
            g_autoptr(json_t) d = json_parse_trusted(f->dflt);
            if (!field_parse(row, i, d, err))
                return false;
        }
    }
    return true;
}

static void render_field(const Row *row, const Field *f, size_t i, const Ctx *ctx, JsonW *w)
{
    char when[32];
    if (f->render) {
        f->render(row, ctx, w);
        return;
    }
    if (!(row->known & 1ull << i) || (row->null & 1ull << i)) {
        jw_null(w);
        return;
    }
    switch (f->type) {
    case T_STR:
        jw_str(w, *FIELD_PTR(row, f, char *));
        break;
    case T_INT:
        jw_int(w, *FIELD_PTR(row, f, gint64));
        break;
    case T_BOOL:
        jw_bool(w, *FIELD_PTR(row, f, bool));
        break;
    case T_TIME:
        clock_format(*FIELD_PTR(row, f, gint64), row->res->dialect->clock, when);
        jw_str(w, when);
        break;
    case T_JSON:
        jw_json(w, *FIELD_PTR(row, f, json_t *));
        break;
    }
}

static bool is_shown(const Field *f, const Ctx *ctx)
{
    return !(f->flags & HIDDEN) && field_visible_at(f, ctx->mv) && (!(f->flags & ADMIN_VIEW) || ctx->admin);
}

void row_render_members(const Row *row, const Ctx *ctx, JsonW *w, bool brief)
{
    for (EACH_FIELD(row->res, f, i)) {
        if (!is_shown(f, ctx) || (brief && !(f->flags & BRIEF)))
            continue;
        jw_key(w, f->json);
        render_field(row, f, i, ctx, w);
    }
}

void row_render_only(const Row *row, const Ctx *ctx, JsonW *w, const char *const *only)
{
    jw_object(w);
    for (EACH_FIELD(row->res, f, i))
        if (is_shown(f, ctx) && g_strv_contains(only, f->json)) {
            jw_key(w, f->json);
            render_field(row, f, i, ctx, w);
        }
    jw_end_object(w);
}

void row_render(const Row *row, const Ctx *ctx, JsonW *w, bool brief)
{
    jw_object(w);
    row_render_members(row, ctx, w, brief);
    jw_end_object(w);
}

static guint64 member_bits(const Row *row, const void *member)
{
    guint64 bits = 0;
    for (EACH_FIELD(row->res, f, i))
        if (has_member(f) && FIELD_PTR(row, f, char) == member)
            bits |= 1ull << i;
    g_assert(bits);                              /* not a member that the table names */
    return bits;
}

bool row_knows(const Row *row, const void *member)
{
    return row->known & member_bits(row, member);
}

bool row_is_null(const Row *row, const void *member)
{
    return row->null & member_bits(row, member);
}

bool row_is_dirty(const Row *row, const void *member)
{
    return row->dirty & member_bits(row, member);
}

void row_touch(Row *row, const void *member)
{
    guint64 bits = member_bits(row, member);
    row->known |= bits;
    row->dirty |= bits;
    row->null &= ~bits;
}

void row_nullify(Row *row, const void *member)
{
    guint64 bits = member_bits(row, member);
    for (EACH_FIELD(row->res, f, i))
        if (bits & 1ull << i)
            field_clear(row, f);
    row->known |= bits;
    row->dirty |= bits;
    row->null |= bits;
}

void row_set_str(Row *row, char **member, const char *value)
{
    if (!value) {
        row_nullify(row, member);
        return;
    }
    char *copy = g_strdup(value);
    g_free(*member);
    *member = copy;
    row_touch(row, member);
}

void row_set_json(Row *row, json_t **member, json_t *value)
{
    json_decref(*member);
    *member = value;
    if (value)
        row_touch(row, member);
    else
        row_nullify(row, member);
}
