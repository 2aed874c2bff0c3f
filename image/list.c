/* image/list.c -- GET /v2/images: Glance's filters (operators, tags, sizes, members), order and pages. */
#include "image/internal.h"
#include "core/clock.h"
#include "core/conf.h"
#include <string.h>

enum { DEFAULT_LIMIT = 25, FILTERS_MAX = 64 };

/* A query string, taken apart. */
typedef struct Ask {
    GArray *filters, *sorts;             /* ListFilter, ListSort */
    GPtrArray *owned;                    /* what the filters point at */
    json_t *tags, *properties;
    const char *visibility, *member_status, *marker;
    gint64 limit;
} Ask;

static void ask_clear(Ask *a)
{
    g_clear_pointer(&a->filters, g_array_unref);
    g_clear_pointer(&a->sorts, g_array_unref);
    g_clear_pointer(&a->owned, g_ptr_array_unref);
    g_clear_pointer(&a->tags, json_decref);
    g_clear_pointer(&a->properties, json_decref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Ask, ask_clear)

static void add_filter(Ask *a, const char *field, ListOp op, char **values /* stolen */)
{
    ListFilter f = { .json = field, .op = op, .values = (const char **) values, .n = g_strv_length(values) };
    g_ptr_array_add(a->owned, values);
    g_array_append_val(a->filters, f);
}

static char **one_value(const char *value)
{
    char **values = g_new0(char *, 2);
    values[0] = g_strdup(value);
    return values;
}

/* a,"b,c",d: commas inside double quotes do not separate. */
static char **split_quoted(const char *text, GError **err)
{
    g_autoptr(GPtrArray) values = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GString) value = g_string_new(NULL);
    bool quoted = false;
    for (const char *p = text; *p; p++) {
        if (*p == '"')
            quoted = !quoted;
        else if (*p == ',' && !quoted) {
            g_ptr_array_add(values, g_strdup(value->str));
            g_string_truncate(value, 0);
        } else
            g_string_append_c(value, *p);
    }
    if (quoted) {
        nv_fail(err, NV_ERR_INVALID, "Invalid filter value %.255s. The quote is not closed.", text);
        return NULL;
    }
    g_ptr_array_add(values, g_strdup(value->str));
    g_ptr_array_add(values, NULL);
    return (char **) g_ptr_array_free(g_steal_pointer(&values), FALSE);
}

static const struct { const char *name; ListOp op; } operators[] = {
    { "eq", OP_EQ }, { "neq", OP_NE }, { "gt", OP_GT }, { "gte", OP_GE }, { "lt", OP_LT }, { "lte", OP_LE }, { "in", OP_IN },
};

/* "in:x,y" → OP_IN and the rest; no known operator in front: OP_EQ and all of it. */
static ListOp split_operator(const char *value, const char **ret_rest)
{
    const char *colon = strchr(value, ':');
    for (guint i = 0; colon && i < G_N_ELEMENTS(operators); i++)
        if (strlen(operators[i].name) == (gsize) (colon - value) && !strncmp(operators[i].name, value, (gsize) (colon - value))) {
            *ret_rest = colon + 1;
            return operators[i].op;
        }
    *ret_rest = value;
    return OP_EQ;
}

static bool filter_text(Ask *a, const char *name, const char *value, GError **err)
{
    const char *rest;
    ListOp op = split_operator(value, &rest);
    if (op != OP_EQ && op != OP_IN)
        return nv_fail(err, NV_ERR_INVALID, "Unable to filter by unknown operator '%.*s'.", (int) (rest - value - 1), value);
    char **values = op == OP_IN ? split_quoted(rest, err) : one_value(rest);
    if (values)
        add_filter(a, name, op, values);
    return values;
}

static bool filter_time(Ask *a, const char *name, const char *value, GError **err)
{
    const char *rest;
    gint64 us;
    ListOp op = split_operator(value, &rest);
    if (op == OP_IN || !clock_parse(rest, &us))
        return nv_fail(err, NV_ERR_INVALID, "Bad \"%s\" query filter format. Use ISO 8601 DateTime notation.", name);
    add_filter(a, name, op, one_value(rest));
    return true;
}

static bool filter_number(Ask *a, const char *name, ListOp op, const char *value, GError **err)
{
    gint64 n;
    if (!g_ascii_string_to_signed(value, 10, G_MININT64, G_MAXINT64, &n, NULL))
        return nv_fail(err, NV_ERR_INVALID, "Unable to filter on a range with a non-numeric value.");
    add_filter(a, name, op, one_value(value));
    if (op != OP_EQ && !strcmp(name, "size"))
        add_filter(a, name, OP_GE, one_value("0"));        /* an unknown size is in no range */
    return true;
}

static bool filter_bool(Ask *a, const char *name, const char *value, GError **err)
{
    if (strcmp(value, "true") && strcmp(value, "false") && strcmp(value, "True") && strcmp(value, "False"))
        return nv_fail(err, NV_ERR_INVALID, "Invalid value '%.64s' for '%s' filter. Valid values are 'true' or 'false'.", value, name);
    add_filter(a, name, OP_EQ, one_value(value));
    return true;
}

/* size_min, size_max, min_ram_max …: the field's static name, or NULL. */
static const char *ranged(const char *name, ListOp *ret_op)
{
    static const char *const fields[] = { "size", "virtual_size", "min_ram", "min_disk", NULL };
    for (const char *const *f = fields; *f; f++)
        if (g_str_has_prefix(name, *f) && (!strcmp(name + strlen(*f), "_min") || !strcmp(name + strlen(*f), "_max"))) {
            *ret_op = g_str_has_suffix(name, "_min") ? OP_GE : OP_LE;
            return *f;
        }
    return NULL;
}

static bool take_filter(Ask *a, const char *name, const char *value, GError **err)
{
    static const char *const texts[] = { "name", "id", "status", "container_format", "disk_format", NULL };
    static const char *const equals[] = { "owner", "checksum", "os_hash_algo", "os_hash_value", NULL };
    static const char *const numbers[] = { "size", "virtual_size", "min_ram", "min_disk", NULL };
    ListOp op = OP_EQ;
    const char *field = ranged(name, &op);
    if (a->filters->len + json_array_size(a->properties) + json_array_size(a->tags) >= FILTERS_MAX)
        return nv_fail(err, NV_ERR_INVALID, "There are more than %d filters.", FILTERS_MAX);
    if (g_strv_contains(texts, name))
        return filter_text(a, name, value, err);
    if (!strcmp(name, "created_at") || !strcmp(name, "updated_at"))
        return filter_time(a, name, value, err);
    if (!strcmp(name, "protected") || !strcmp(name, "os_hidden"))
        return filter_bool(a, name, value, err);
    if (field || g_strv_contains(numbers, name))
        return filter_number(a, field ? field : name, op, value, err);
    if (g_strv_contains(equals, name))
        add_filter(a, name, OP_EQ, one_value(value));
    else if (!strcmp(name, "tag"))
        json_array_append_new(a->tags, json_string(value));
    else if (!strcmp(name, "changes-since"))
        return nv_fail(err, NV_ERR_INVALID, "The \"changes-since\" filter is no longer available on v2.");
    else
        json_array_append_new(a->properties, json_pack("[s,s]", name, value));
    return true;
}

static bool add_sort(Ask *a, const char *key, const char *dir, GError **err)
{
    static const char *const keys[] = { "name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at", NULL };
    for (const char *const *k = keys; *k; k++)
        if (!strcmp(*k, key)) {
            if (strcmp(dir, "asc") && strcmp(dir, "desc"))
                return nv_fail(err, NV_ERR_INVALID, "Invalid sort direction: %.32s", dir);
            ListSort s = { *k, !strcmp(dir, "desc") };
            g_array_append_val(a->sorts, s);
            return true;
        }
    g_autofree char *list = g_strjoinv(", ", (char **) keys);
    return nv_fail(err, NV_ERR_INVALID, "Invalid sort key: %.64s. It must be one of the following: %s.", key, list);
}

/* sort=name:asc,size  or  sort_key=name&sort_dir=asc&sort_key=size&sort_dir=desc; one direction serves all keys. */
static bool read_sorts(const Call *c, Ask *a, GError **err)
{
    const char *sort = call_query(c, "sort");
    g_autoptr(GPtrArray) keys = g_ptr_array_new();
    g_autoptr(GPtrArray) dirs = g_ptr_array_new();
    for (size_t i = 0; i < c->n_query; i++)
        if (!strcmp(c->query[i].name, "sort_key"))
            g_ptr_array_add(keys, c->query[i].value);
        else if (!strcmp(c->query[i].name, "sort_dir"))
            g_ptr_array_add(dirs, c->query[i].value);
    if (sort && (keys->len || dirs->len))
        return nv_fail(err, NV_ERR_INVALID, "Old and new sorting syntax cannot be combined");
    if (dirs->len > 1 && dirs->len != keys->len)
        return nv_fail(err, NV_ERR_INVALID, "Number of sort dirs does not match the number of sort keys");
    g_auto(GStrv) parts = g_strsplit(sort ? sort : "", ",", 16);
    for (char **p = parts; *p; p++) {
        g_auto(GStrv) pair = g_strsplit(*p, ":", 2);
        if (!add_sort(a, g_strstrip(pair[0]), pair[1] ? g_strstrip(pair[1]) : "desc", err))
            return false;
    }
    for (guint i = 0; i < keys->len; i++)
        if (!add_sort(a, keys->pdata[i], dirs->len > 1 ? dirs->pdata[i] : dirs->len ? dirs->pdata[0] : "desc", err))
            return false;
    if (!a->sorts->len)
        return add_sort(a, "created_at", dirs->len ? dirs->pdata[0] : "desc", err);
    return true;
}

static bool one_of(const char *value, const char *const *allowed, const char *what, GError **err)
{
    return g_strv_contains(allowed, value) || nv_fail(err, NV_ERR_INVALID, "Invalid %s: %.64s", what, value);
}

static bool read_ask(const Call *c, Ask *a, GError **err)
{
    static const char *const own[] = { "limit", "marker", "sort", "sort_key", "sort_dir", "visibility", "member_status", NULL };
    static const char *const visibilities[] = { "community", "public", "private", "shared", "all", "", NULL };
    static const char *const statuses[] = { "pending", "accepted", "rejected", "all", NULL };
    a->filters = g_array_new(FALSE, FALSE, sizeof(ListFilter));
    a->sorts = g_array_new(FALSE, FALSE, sizeof(ListSort));
    a->owned = g_ptr_array_new_with_free_func((GDestroyNotify) g_strfreev);
    a->tags = json_array();
    a->properties = json_array();
    const char *visibility = call_query(c, "visibility"), *member_status = call_query(c, "member_status"), *marker = call_query(c, "marker");
    a->visibility = visibility ? visibility : "";
    a->member_status = member_status ? member_status : "accepted";
    a->marker = marker && *marker ? marker : NULL;
    if (!call_query_int(c, "limit", 0, G_MAXINT32, DEFAULT_LIMIT, &a->limit, err) || !read_sorts(c, a, err)
        || !one_of(a->visibility, visibilities, "visibility value", err) || !one_of(a->member_status, statuses, "status", err))
        return false;
    a->limit = MIN(a->limit, conf_int("api.page_max"));
    for (size_t i = 0; i < c->n_query; i++)
        if (!g_strv_contains(own, c->query[i].name) && !take_filter(a, c->query[i].name, c->query[i].value, err))
            return false;
    return call_query(c, "os_hidden") || filter_bool(a, "os_hidden", "false", err);
}

/* Addresses are relative to the service's, as clients of Glance expect. */
static void link_page(const Call *c, JsonW *w, const char *key, const char *marker)
{
    g_autoptr(GString) url = g_string_new("/v2/images");
    char sep = '?';
    for (size_t i = 0; i < c->n_query; i++) {
        if (!strcmp(c->query[i].name, "marker"))
            continue;
        g_autofree char *name = g_uri_escape_string(c->query[i].name, NULL, FALSE), *value = g_uri_escape_string(c->query[i].value, NULL, FALSE);
        g_string_append_printf(url, "%c%s=%s", sep, name, value);
        sep = '&';
    }
    if (marker)
        g_string_append_printf(url, "%cmarker=%s", sep, marker);
    jw_kstr(w, key, url->str);
}

bool images_list(Call *c, GError **err)
{
    g_auto(Ask) a = { 0 };
    bool more = false;
    if (g_str_has_suffix(c->path, "/"))                    /* an image whose id is empty, as Glance sees it */
        return nv_fail(err, NV_ERR_NOT_FOUND, "The resource could not be found.");
    if (!read_ask(c, &a, err))
        return false;
    g_autofree char *tags = json_text(a.tags), *properties = json_text(a.properties);
    const char *const args[] = { c->ctx->project_id ? c->ctx->project_id : "", c->ctx->admin ? "1" : "0", a.visibility, a.member_status, tags,
                                 properties, NULL };
    ListQuery q = { .filters = (ListFilter *) (void *) a.filters->data, .n_filters = a.filters->len, .sorts = (ListSort *) (void *) a.sorts->data,
                    .n_sorts = a.sorts->len, .marker = a.marker, .limit = MAX(a.limit, 1), .fragment = "image_listed", .fragment_args = args };
    g_autoptr(GPtrArray) rows = rows_list(c->db, &image_resource, c->ctx, &q, &more, err);
    if (!rows)
        return false;
    guint n = a.limit ? rows->len : 0;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "images");
    jw_array(&w);
    for (guint i = 0; i < n; i++)
        image_render(rows->pdata[i], c->ctx, &w);
    jw_end_array(&w);
    link_page(c, &w, "first", NULL);
    jw_kstr(&w, "schema", "/v2/schemas/images");
    if (more && n)
        link_page(c, &w, "next", ((Image *) rows->pdata[n - 1])->id);
    jw_end_object(&w);
    return true;
}
