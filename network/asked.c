/* network/asked.c -- lists of rows that no table has: filtered, cut into pages and shown by the same query parameters as the others. */
#include "core/dialect.h"
#include "network/internal.h"
#include <string.h>

static bool is_value(const json_t *v, const char *name, const char *text, bool *ret_is, GError **err)
{
    bool b;
    if (json_is_boolean(v)) {
        if (!text_is_bool(text, &b))
            return nv_fail(err, NV_ERR_INVALID, "Invalid filter %s: '%.80s' is not a boolean", name, text);
        *ret_is = b == json_is_true(v);
    } else
        *ret_is = g_strcmp0(json_string_value(v), text) == 0;
    return true;
}

bool asked_for(const Call *c, const char *name, const json_t *v, bool *ret_yes, GError **err)
{
    bool any = false, is = false;
    *ret_yes = false;
    for (size_t i = 0; i < c->n_query && !*ret_yes; i++)
        if (strcmp(c->query[i].name, name) == 0) {
            any = true;
            if (!is_value(v, name, c->query[i].value, &is, err))
                return false;
            *ret_yes = is;
        }
    *ret_yes |= !any;
    return true;
}

static bool names_check(const Call *c, const RowList *what, GError **err)
{
    static const char *const own[] = { "fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir", NULL };
    for (size_t i = 0; i < c->n_query; i++)
        if (!g_strv_contains(own, c->query[i].name) && !g_strv_contains(what->filters, c->query[i].name))
            return nv_fail(err, NV_ERR_INVALID, "['%.80s' is an invalid attribute for filtering %s.]", c->query[i].name, what->many);
    return true;
}

static bool row_passes(const Call *c, const RowList *what, const json_t *row, bool *ret_passes, GError **err)
{
    *ret_passes = true;
    for (const char *const *f = what->filters; *f && *ret_passes; f++) {
        const json_t *v = json_object_get(row, *f);
        if (v && !asked_for(c, *f, v, ret_passes, err))
            return false;
    }
    return true;
}

typedef struct Page { size_t from, to; bool next, previous; } Page;

/* Which of the rows; as in Neutron, none follow a marker that is not there. */
static bool page_of(const Call *c, const RowList *what, const json_t *rows, Page *ret, GError **err)
{
    size_t n = json_array_size(rows), at = 0;
    gint64 limit;
    bool back;
    const char *marker = what->key ? call_query(c, "marker") : NULL;
    *ret = (Page){ .to = n };
    if (!what->key)
        return true;
    if (!call_query_int(c, "limit", 0, G_MAXINT32, 0, &limit, err) || !call_query_bool(c, "page_reverse", false, &back, err))
        return false;
    while (marker && at < n && strcmp(marker, json_get_str(json_array_get(rows, at), what->key)) != 0)
        at++;
    if (marker && !back)
        ret->from = MIN(at + 1, n);
    else if (marker)
        ret->to = at < n ? at : 0;
    bool full = limit && ret->to - ret->from >= (size_t) limit;
    if (full && back)
        ret->from = ret->to - (size_t) limit;
    else if (full)
        ret->to = ret->from + (size_t) limit;
    ret->next = back ? marker != NULL : full;
    ret->previous = back ? full : marker != NULL;
    return true;
}

static void write_row(const Call *c, const RowList *what, const json_t *row, JsonW *w)
{
    g_autoptr(json_t) shown = json_object();
    for (size_t i = 0; i < c->n_query; i++)
        if (strcmp(c->query[i].name, "fields") == 0 && json_object_get(row, c->query[i].value))
            json_object_set(shown, c->query[i].value, json_object_get(row, c->query[i].value));
    const json_t *one = call_query(c, "fields") ? shown : row;
    if (what->write)
        what->write(w, one);
    else
        jw_json(w, one);
}

bool asked_reply(Call *c, const RowList *what, json_t *rows, GError **err)
{
    g_autoptr(json_t) all = rows, left = json_array();
    const Resource named = { .many = what->many };
    size_t i;
    json_t *row;
    bool passes;
    Page page;
    if (!all || !names_check(c, what, err))
        return false;
    json_array_foreach(all, i, row) {
        if (!row_passes(c, what, row, &passes, err))
            return false;
        if (passes)
            json_array_append(left, row);
    }
    if (!page_of(c, what, left, &page, err))
        return false;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, what->many);
    jw_array(&w);
    for (i = page.from; i < page.to; i++)
        write_row(c, what, json_array_get(left, i), &w);
    jw_end_array(&w);
    if (page.from < page.to) {
        const char *first = json_get_str(json_array_get(left, page.from), what->key ? what->key : "");
        const char *last = json_get_str(json_array_get(left, page.to - 1), what->key ? what->key : "");
        g_autofree char *next = page.next ? resource_page_url(c, last, false) : NULL;
        g_autofree char *previous = page.previous ? resource_page_url(c, first, true) : NULL;
        dialect_neutron.list_links(&w, &named, NULL, next, previous);
    }
    jw_end_object(&w);
    return true;
}
