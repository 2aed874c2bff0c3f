/* api/resource.c -- the generic engine: list, show, create, update and delete of whatever a Resource table describes. */
#include "api/api.h"
#include "core/conf.h"
#include "core/fault.h"
#include "core/id.h"
#include <string.h>

/* A list's query string, taken apart. */
typedef struct ListAsk {
    GArray *filters;                 /* ListFilter; values owned by the call */
    GArray *sorts;                   /* ListSort */
    GPtrArray *fields;               /* fields=…: names to render; empty: all */
    GPtrArray *arrays;               /* the filters' value arrays, to free */
    gint64 limit;
    const char *marker;
    bool reverse;
} ListAsk;

static void ask_clear(ListAsk *a)
{
    g_clear_pointer(&a->filters, g_array_unref);
    g_clear_pointer(&a->sorts, g_array_unref);
    g_clear_pointer(&a->fields, g_ptr_array_unref);
    g_clear_pointer(&a->arrays, g_ptr_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ListAsk, ask_clear)

/* Neutron's and Cinder's older name of the same field. */
static const char *canonical(const Resource *res, const char *name)
{
    return strcmp(name, "tenant_id") == 0 && field_index(res, "project_id", 0) >= 0 ? "project_id" : name;
}

static void add_filter(ListAsk *a, const Resource *res, const char *name, const char *value, int mv)
{
    for (guint i = 0; i < a->filters->len; i++) {
        ListFilter *f = &g_array_index(a->filters, ListFilter, i);
        if (strcmp(f->json, name) == 0) {
            guint at = 0;
            g_ptr_array_find(a->arrays, f->values, &at);
            f->values = g_renew(const char *, f->values, f->n + 1);
            f->values[f->n++] = value;
            a->arrays->pdata[at] = f->values;
            if (res->dialect == &dialect_neutron)
                f->op = OP_IN;                   /* repeated means any of them, of lists too */
            return;
        }
    }
    bool regex = res->dialect->name_regex && strcmp(name, "name") == 0;
    ListFilter f = { .json = name, .op = regex ? OP_REGEX : OP_EQ, .values = g_new(const char *, 1), .n = 1 };
    f.values[0] = value;
    (void) mv;
    g_ptr_array_add(a->arrays, f.values);
    g_array_append_val(a->filters, f);
}

/* Each once; of names that are no field's, one is enough to say that fields were asked for. */
static void add_field(ListAsk *a, const Resource *res, const char *name, int mv)
{
    if (!a->fields->len || (field_index(res, name, mv) >= 0 && !g_ptr_array_find_with_equal_func(a->fields, name, g_str_equal, NULL)))
        g_ptr_array_add(a->fields, (gpointer) name);
}

static bool is_filter(const Resource *res, const char *name, int mv)
{
    for (const Filter *own = res->filters; own && own->query; own++)
        if (strcmp(own->query, name) == 0)
            return true;
    int i = field_index(res, name, mv);
    return i >= 0 && (res->fields[i].flags & FILTER);
}

static bool sort_dir(const char *dir, bool *ret_desc, GError **err)
{
    *ret_desc = strcmp(dir, "desc") == 0;
    return *ret_desc || strcmp(dir, "asc") == 0 || nv_fail(err, NV_ERR_INVALID, "Invalid sort_dir '%.32s': must be asc or desc", dir);
}

/* sort_key and sort_dir are paired by position; a key without a direction ascends. */
static bool read_sorts(const Call *c, ListAsk *a, GError **err)
{
    guint dirs = 0;
    for (size_t i = 0; i < c->n_query; i++)
        if (strcmp(c->query[i].name, "sort_key") == 0) {
            ListSort s = { canonical(c->route->res, c->query[i].value), false };
            g_array_append_val(a->sorts, s);
        }
    for (size_t i = 0; i < c->n_query; i++)
        if (strcmp(c->query[i].name, "sort_dir") == 0) {
            bool desc;
            if (!sort_dir(c->query[i].value, &desc, err))
                return false;
            if (dirs < a->sorts->len)
                g_array_index(a->sorts, ListSort, dirs).desc = desc;
            dirs++;
        }
    return true;
}

static bool read_ask(const Call *c, ListAsk *a, GError **err)
{
    const Resource *res = c->route->res;
    static const char *const own[] = { "limit", "marker", "sort_key", "sort_dir", "page_reverse", "fields", "all_tenants", "per_page", "page", NULL };
    a->filters = g_array_new(FALSE, FALSE, sizeof(ListFilter));
    a->sorts = g_array_new(FALSE, FALSE, sizeof(ListSort));
    a->fields = g_ptr_array_new();
    a->arrays = g_ptr_array_new_with_free_func(g_free);
    gint64 most = conf_int("api.page_max");
    if (!call_query_int(c, "limit", 0, G_MAXINT32, most, &a->limit, err) || !call_query_bool(c, "page_reverse", false, &a->reverse, err)
        || !read_sorts(c, a, err))
        return false;
    a->limit = a->limit == 0 || a->limit > most ? most : a->limit;
    a->marker = call_query(c, "marker");
    if (a->marker && !*a->marker)
        a->marker = NULL;
    for (size_t i = 0; i < c->n_query; i++) {
        const char *name = canonical(res, c->query[i].name), *value = c->query[i].value;
        if (strcmp(name, "fields") == 0) {
            add_field(a, res, value, c->ctx->mv);
        } else if (!g_strv_contains(own, name)) {
            if (is_filter(res, name, c->ctx->mv))
                add_filter(a, res, name, value, c->ctx->mv);
            else if (!res->dialect->unknown_filter_ignored)
                return nv_fail(err, NV_ERR_INVALID, "['%.80s' is an invalid attribute for filtering %s.]", name, res->many);
        }
    }
    return true;
}

char *resource_page_url(const Call *c, const char *marker, bool reverse)
{
    GString *url = g_string_new(c->ctx->base_url);
    g_string_append(url, c->path);
    char sep = '?';
    for (size_t i = 0; i < c->n_query; i++) {
        if (marker && (strcmp(c->query[i].name, "marker") == 0 || strcmp(c->query[i].name, "page_reverse") == 0))
            continue;
        g_autofree char *name = g_uri_escape_string(c->query[i].name, NULL, false), *value = g_uri_escape_string(c->query[i].value, NULL, false);
        g_string_append_printf(url, "%c%s=%s", sep, name, value);
        sep = '&';
    }
    if (marker && *marker) {
        g_autofree char *value = g_uri_escape_string(marker, NULL, false);
        g_string_append_printf(url, "%cmarker=%s", sep, value);
        sep = '&';
    }
    if (reverse)
        g_string_append_printf(url, "%cpage_reverse=True", sep);
    return g_string_free(url, FALSE);
}

static const char *key_of(const Row *row)
{
    return *FIELD_PTR(row, &row->res->fields[0], char *);
}

bool resource_list(Call *c, const char *fragment, GError **err)
{
    const Resource *res = c->route->res;
    g_auto(ListAsk) a = { .limit = 0 };
    bool more = false;
    if (!read_ask(c, &a, err))
        return false;
    ListQuery q = { .filters = (ListFilter *) (void *) a.filters->data, .n_filters = a.filters->len, .sorts = (ListSort *) (void *) a.sorts->data,
                    .n_sorts = a.sorts->len, .marker = a.marker, .limit = a.limit, .reverse = a.reverse, .fragment = fragment };
    g_autoptr(GPtrArray) rows = rows_list(c->db, res, c->ctx, &q, &more, err);
    if (!rows)
        return false;
    /* Neutron's pages have a link to the next one whenever they are full; its clients go on until one is empty. */
    more |= res->dialect == &dialect_neutron && call_query(c, "limit") && rows->len == a.limit;
    g_ptr_array_add(a.fields, NULL);
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, res->many);
    jw_array(&w);
    for (guint i = 0; i < rows->len; i++) {
        if (a.fields->len > 1)
            row_render_only(rows->pdata[i], c->ctx, &w, (const char *const *) a.fields->pdata);
        else
            row_render(rows->pdata[i], c->ctx, &w, c->route->flags & BRIEF_LIST);
    }
    jw_end_array(&w);
    bool forward = a.reverse ? a.marker != NULL : more, back = a.reverse ? more : a.marker != NULL;
    g_autofree char *self = resource_page_url(c, NULL, false);
    g_autofree char *next = forward && rows->len ? resource_page_url(c, key_of(rows->pdata[rows->len - 1]), false) : NULL;
    g_autofree char *previous =
        back && (rows->len || res->dialect == &dialect_neutron) ? resource_page_url(c, rows->len ? key_of(rows->pdata[0]) : "", true) : NULL;
    res->dialect->list_links(&w, res, self, next, previous);
    jw_end_object(&w);
    return true;
}

static bool reply_row(Call *c, int status, const Row *row)
{
    const Resource *res = c->route->res;
    JsonW w = call_begin(c, status);
    if (!res->dialect->flat) {
        jw_object(&w);
        jw_key(&w, res->one);
    }
    row_render(row, c->ctx, &w, false);
    if (!res->dialect->flat)
        jw_end_object(&w);
    return true;
}

static bool handle_show(Call *c, GError **err)
{
    const Resource *res = c->route->res;
    g_autoptr(Row) row = row_get_for(c->db, res, c->ctx, c->params[0], false, err);
    if (!row)
        return false;
    g_autoptr(GPtrArray) only = g_ptr_array_new();
    for (size_t i = 0; i < c->n_query; i++)
        if (strcmp(c->query[i].name, "fields") == 0)
            g_ptr_array_add(only, c->query[i].value);
    if (!only->len || res->dialect->flat)
        return reply_row(c, 200, row);
    g_ptr_array_add(only, NULL);
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, res->one);
    row_render_only(row, c->ctx, &w, (const char *const *) only->pdata);
    jw_end_object(&w);
    return true;
}

static void set_if_unknown(Row *row, const char *json, const char *value)
{
    int i = field_index(row->res, json, G_MAXINT16);
    if (i < 0 || !row->res->fields[i].col || (row->known & 1ull << i))
        return;
    row_set_str(row, FIELD_PTR(row, &row->res->fields[i], char *), value);
}

/* Inside the transaction: one new row, as the caller may make it; returned as stored. */
static Row *create_one(Call *c, const json_t *given, GError **err)
{
    const Resource *res = c->route->res;
    g_autoptr(json_t) body = json_is_object(given) ? json_copy((json_t *) given) : json_incref((json_t *) given);
    json_t *tenant = json_object_get(body, "tenant_id"), *project = json_object_get(body, "project_id");
    if (tenant && strcmp(canonical(res, "tenant_id"), "project_id") == 0) {
        if (project && !json_equal(tenant, project))
            return nv_fail(err, NV_ERR_INVALID, "'project_id' and 'tenant_id' do not match"), NULL;
        if (!json_object_get(body, "project_id"))
            json_object_set(body, "project_id", tenant);
        json_object_del(body, "tenant_id");
    }
    /* Naming one's own project is naming nothing. */
    if (!c->ctx->admin && g_strcmp0(json_get_str(body, "project_id"), c->ctx->project_id) == 0 && c->ctx->project_id)
        json_object_del(body, "project_id");
    if (!c->ctx->admin && res->dialect == &dialect_neutron && json_object_get(body, "project_id"))
        return nv_fail(err, NV_ERR_INVALID,
                       "Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin privileges"),
               NULL;
    g_autoptr(Row) row = row_new(res);
    if (!row_parse(row, body, c->ctx, CREATE, err))
        return NULL;
    g_autofree char *id = res->dialect == &dialect_keystone ? id_new_hex() : id_new();
    set_if_unknown(row, "id", id);
    set_if_unknown(row, "project_id", c->ctx->project_id);
    set_if_unknown(row, "user_id", c->ctx->user_id);
    if ((res->before_create && !res->before_create(c->db, c->ctx, row, err)) || !row_insert(c->db, row, err))
        return NULL;
    return row_get_shown(c->db, res, c->ctx, key_of(row), err);
}

static bool commit(Call *c, Txn *txn, GError **err)
{
    (void) c;
    return fault_point("api.before_commit", err) && txn_commit(txn, err) && fault_point("api.after_commit", err);
}

/* Old clients wrap each row of a bulk request once more: {"networks": [{"network": {…}}]}. */
static const json_t *unwrapped(const Resource *res, const json_t *row)
{
    const json_t *inner = json_object_size(row) == 1 ? json_object_get(row, res->one) : NULL;
    return inner ? inner : row;
}

static bool handle_create_bulk(Call *c, const json_t *list, GError **err)
{
    const Resource *res = c->route->res;
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func((GDestroyNotify) row_free);
    size_t i;
    json_t *one;
    if (!json_array_size(list) || json_array_size(list) > 1000)
        return nv_fail(err, NV_ERR_INVALID, "%s must be a list of 1 to 1000 objects", res->many);
    g_auto(Txn) txn = txn_begin(c->db, err);
    if (!txn.db)
        return false;
    json_array_foreach((json_t *) list, i, one) {
        Row *row = create_one(c, unwrapped(res, one), err);
        if (!row)
            return false;
        g_ptr_array_add(rows, row);
    }
    if (!commit(c, &txn, err))
        return false;
    JsonW w = call_begin(c, res->dialect->created);
    jw_object(&w);
    jw_key(&w, res->many);
    jw_array(&w);
    for (guint k = 0; k < rows->len; k++)
        row_render(rows->pdata[k], c->ctx, &w, false);
    jw_end_array(&w);
    jw_end_object(&w);
    return true;
}

/* The object to create or change: under its name, or the body itself in a flat dialect. */
static const json_t *body_object(Call *c, GError **err)
{
    if (c->route->res->dialect->flat)
        return json_is_object(c->body) ? c->body : (nv_fail(err, NV_ERR_INVALID, "the body must be a JSON object"), NULL);
    return call_body_object(c, c->route->res->one, err);
}

static bool handle_create(Call *c, GError **err)
{
    const Resource *res = c->route->res;
    const json_t *list = json_object_get(c->body, res->many);
    if (list && res->dialect == &dialect_neutron)
        return handle_create_bulk(c, list, err);
    const json_t *body = body_object(c, err);
    if (!body)
        return false;
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Row) row = txn.db ? create_one(c, body, err) : NULL;
    return row && commit(c, &txn, err) && reply_row(c, res->dialect->created, row);
}

/* The row to be changed.  What the caller sees but may not change is forbidden; what he does not see is not there. */
static Row *writable(Call *c, GError **err)
{
    const Resource *res = c->route->res;
    g_autoptr(GError) why = NULL;
    Row *row = row_get_for(c->db, res, c->ctx, c->params[0], true, &why);
    if (row)
        return row;
    g_autoptr(Row) seen = nv_error_code(why) == NV_ERR_NOT_FOUND ? row_get_for(c->db, res, c->ctx, c->params[0], false, NULL) : NULL;
    if (seen)
        nv_fail(err, NV_ERR_FORBIDDEN, "rule:%s_%s is disallowed by policy", strcmp(c->method, "DELETE") == 0 ? "delete" : "update", res->one);
    else
        g_propagate_error(err, g_steal_pointer(&why));
    return NULL;
}

/* Neutron reads the body before it looks for the object: an attribute that nobody changes is wrong (400) whatever the id. */
static bool names_check(const Call *c, const json_t *body, GError **err)
{
    const Resource *res = c->route->res;
    const char *name;
    json_t *v;
    if (res->dialect != &dialect_neutron)
        return true;
    json_object_foreach((json_t *) body, name, v)
        if (!row_takes(res, name, c->ctx, UPDATE, err))
            return false;
    return true;
}

static bool handle_update(Call *c, GError **err)
{
    const Resource *res = c->route->res;
    const json_t *body = body_object(c, err);
    if (!body || !names_check(c, body, err))
        return false;
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Row) row = txn.db ? writable(c, err) : NULL;
    g_autoptr(Row) old = row ? row_get(c->db, res, key_of(row), err) : NULL;
    if (!old || !row_parse(row, body, c->ctx, UPDATE, err) || (res->before_update && !res->before_update(c->db, c->ctx, row, old, err))
        || !row_update(c->db, row, err))
        return false;
    g_autoptr(Row) fresh = row_get_shown(c->db, res, c->ctx, key_of(row), err);
    return fresh && commit(c, &txn, err) && reply_row(c, res->dialect->updated, fresh);
}

static bool handle_delete(Call *c, GError **err)
{
    const Resource *res = c->route->res;
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Row) row = txn.db ? writable(c, err) : NULL;
    return row && (!res->before_delete || res->before_delete(c->db, c->ctx, row, err)) && row_delete(c->db, row, err) && commit(c, &txn, err)
        && call_reply_empty(c, 204);
}

bool resource_handle(Call *c, GError **err)
{
    const char *method = c->route->method;
    bool one = g_str_has_suffix(c->route->path, "}");
    if (strcmp(method, "GET") == 0)
        return one ? handle_show(c, err) : resource_list(c, NULL, err);
    if (strcmp(method, "POST") == 0)
        return handle_create(c, err);
    if (strcmp(method, "DELETE") == 0)
        return handle_delete(c, err);
    return handle_update(c, err);
}
