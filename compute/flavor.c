/* compute/flavor.c -- flavors: hand-written endpoints, as ids may be chosen, and lists mix public ones with those a project was given. */
#include "compute/internal.h"
#include "core/conf.h"
#include "core/id.h"
#include <string.h>

static const Range size_range = { 1, G_MAXINT32 }, size_or_none = { 0, G_MAXINT32 }, text_64k = { 0, 65535 };

static bool check_flavor_id(const Field *f, const json_t *v, GError **err)
{
    const char *s = json_string_value(v);
    size_t n = strlen(s);
    bool ok = n >= 1 && n <= 255 && s[0] != ' ' && s[n - 1] != ' ';
    for (size_t i = 0; ok && i < n; i++)
        ok = g_ascii_isalnum(s[i]) || strchr(". _-", s[i]);
    return ok
           || nv_fail(err, NV_ERR_INVALID,
                      "Invalid input for field/attribute %s. Value: %.80s. It must be 1 to 255 of a-z A-Z 0-9 . _ - and inner spaces",
                      f->json, s);
}

static bool check_factor(const Field *f, const json_t *v, GError **err)
{
    double d = json_is_string(v) ? g_ascii_strtod(json_string_value(v), NULL) : json_number_value(v);
    return ((json_is_number(v) || json_is_string(v)) && d > 0 && d < 3.40282e+38)
        || nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. It must be a number greater than 0", f->json);
}

static void render_swap(const Row *row, const Ctx *ctx, JsonW *w)
{
    const Flavor *f = (const Flavor *) row;
    if (f->swap_mb || ctx->mv >= MV(75))
        jw_int(w, f->swap_mb);
    else
        jw_str(w, "");
}

static void render_disabled(const Row *row, const Ctx *ctx, JsonW *w)
{
    (void) row;
    (void) ctx;
    jw_bool(w, false);
}

static void render_links(const Row *row, const Ctx *ctx, JsonW *w)
{
    view_links(ctx, "flavors", ((const Flavor *) row)->id, w);
}

/* clang-format off */
static const Field fields[] = {
    STR (Flavor, id,           "id",                         CREATE|FILTER|SORT|BRIEF, .check = check_flavor_id),
    STR (Flavor, name,         "name",                       CREATE|REQUIRED|FILTER|SORT|BRIEF, .check = check_nova_name),
    INT (Flavor, memory_mb,    "ram",                        CREATE|REQUIRED|FILTER|SORT, .check = check_range, .arg = &size_range),
    INT (Flavor, vcpus,        "vcpus",                      CREATE|REQUIRED|FILTER|SORT, .check = check_range, .arg = &size_range),
    INT (Flavor, disk_gb,      "disk",                       CREATE|REQUIRED|FILTER|SORT, .check = check_range, .arg = &size_or_none),
    INT (Flavor, ephemeral_gb, "OS-FLV-EXT-DATA:ephemeral",  CREATE|SORT, .check = check_range, .arg = &size_or_none, .dflt = "0"),
    INT (Flavor, swap_mb,      "swap",                       CREATE|SORT, .check = check_range, .arg = &size_or_none, .dflt = "0", .render = render_swap),
    JSON(Flavor, rxtx_factor,  "rxtx_factor",                CREATE, .check = check_factor, .dflt = "1.0"),
    BOOL(Flavor, is_public,    "os-flavor-access:is_public", CREATE|FILTER|SORT, .dflt = "true"),
    STR (Flavor, description,  "description",                CREATE|UPDATE|NULLABLE|BRIEF, .check = check_nova_text, .arg = &text_64k, .since = MV(55)),
    JSON(Flavor, extra_specs,  "extra_specs",                0, .since = MV(61)),
    TIME(Flavor, created_at,   "created_at",                 HIDDEN|SORT),
    TIME(Flavor, updated_at,   "updated_at",                 HIDDEN|SORT),
    COMPUTED("OS-FLV-DISABLED:disabled", render_disabled),
    COMPUTED("links", render_links, .flags = BRIEF),
};
/* clang-format on */

const Resource flavor_resource = {
    .one = "flavor", .many = "flavors", .table = "flavor", .label = "Flavor", .dialect = &dialect_nova, .scope = SCOPE_NAMED,
    .visible = "flavor_visible", .writable = "flavor_writable", .default_sort = "id", .size = sizeof(Flavor), FIELDS(fields),
};

Flavor *flavor_get_for(Db *db, const Ctx *ctx, const char *id, GError **err)
{
    return (Flavor *) row_get_for(db, &flavor_resource, ctx, id, false, err);
}

static bool is_public_query(const Call *c, const char **ret_fragment, GError **err)
{
    const char *text = call_query(c, "is_public");
    *ret_fragment = "flavor_offered";
    if (!c->ctx->admin || !text)
        return true;
    if (g_ascii_strcasecmp(text, "none") == 0) {
        *ret_fragment = NULL;
        return true;
    }
    bool wanted;
    if (!call_query_bool(c, "is_public", true, &wanted, NULL))
        return nv_fail(err, NV_ERR_INVALID, "Invalid is_public filter [%.80s]", text);
    *ret_fragment = wanted ? "flavor_offered" : "flavor_private";
    return true;
}

/* Sort keys have the names of Nova's columns. */
static const struct { const char *key, *json; } sort_keys[] = {
    { "flavorid", "id" }, { "id", "id" }, { "name", "name" }, { "memory_mb", "ram" }, { "vcpus", "vcpus" }, { "root_gb", "disk" },
    { "ephemeral_gb", "OS-FLV-EXT-DATA:ephemeral" }, { "swap", "swap" }, { "is_public", "os-flavor-access:is_public" },
    { "created_at", "created_at" }, { "updated_at", "updated_at" }, { "description", "name" }, { "disabled", "id" }, { "rxtx_factor", "id" },
    { "vcpu_weight", "id" },
};

static bool sort_query(const Call *c, ListSort *sort, GError **err)
{
    const char *key = call_query(c, "sort_key"), *dir = call_query(c, "sort_dir");
    *sort = (ListSort){ .json = "id" };
    for (guint i = 0; key && i < G_N_ELEMENTS(sort_keys); i++)
        if (strcmp(sort_keys[i].key, key) == 0) {
            sort->json = sort_keys[i].json;
            key = NULL;
        }
    if (key)
        return nv_fail(err, NV_ERR_INVALID,
                       "Invalid input for query parameters sort_key. Value: %.80s. It is not one of the sort keys of flavors", key);
    if (dir && strcmp(dir, "asc") != 0 && strcmp(dir, "desc") != 0)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for query parameters sort_dir. Value: %.80s. It is not one of asc, desc", dir);
    sort->desc = dir && strcmp(dir, "desc") == 0;
    return true;
}

static bool minimum(const Call *c, const char *name, const char *json, GPtrArray *texts, ListFilter *filters, size_t *n, GError **err)
{
    gint64 value;
    if (!call_query(c, name))
        return true;
    if (!call_query_int(c, name, 0, G_MAXINT32, 0, &value, NULL))
        return nv_fail(err, NV_ERR_INVALID, "Invalid %s filter [%.80s]", name, call_query(c, name));
    char **text = g_new0(char *, 1);
    g_ptr_array_add(texts, text[0] = g_strdup_printf("%" G_GINT64_FORMAT, value));
    g_ptr_array_add(texts, text);
    filters[(*n)++] = (ListFilter){ .json = json, .op = OP_GE, .values = (const char **) text, .n = 1 };
    return true;
}

static bool list(Call *c, bool detail, GError **err)
{
    static const char *const known[] = { "limit", "marker", "is_public", "minRam", "minDisk", "sort_key", "sort_dir", NULL };
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
    ListFilter filters[2];
    ListSort sort;
    Ctx all = *c->ctx;
    const char *args[] = { c->ctx->project_id ? c->ctx->project_id : "", NULL };
    ListQuery q = { .filters = filters, .sorts = &sort, .n_sorts = 1, .fragment_args = args };
    all.all_projects = c->ctx->admin;
    if (!query_allowed(c, known, MV(75), err) || !page_query(c, &q.limit, &q.marker, err) || !is_public_query(c, &q.fragment, err)
        || !sort_query(c, &sort, err) || !minimum(c, "minRam", "ram", texts, filters, &q.n_filters, err)
        || !minimum(c, "minDisk", "disk", texts, filters, &q.n_filters, err))
        return false;
    bool more = false;
    g_autoptr(GPtrArray) rows = q.limit ? rows_list(c->db, &flavor_resource, &all, &q, &more, err) : g_ptr_array_new();
    if (!rows)
        return false;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "flavors");
    jw_array(&w);
    for (guint i = 0; i < rows->len; i++)
        row_render(rows->pdata[i], c->ctx, &w, !detail);
    jw_end_array(&w);
    if (more && rows->len)
        page_links(c, "flavors_links", ((Flavor *) rows->pdata[rows->len - 1])->id, &w);
    jw_end_object(&w);
    return true;
}

bool flavor_list(Call *c, GError **err)
{
    return list(c, false, err);
}

bool flavor_list_detail(Call *c, GError **err)
{
    return list(c, true, err);
}

static bool reply(Call *c, const Flavor *f)
{
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "flavor");
    row_render(&f->row, c->ctx, &w, false);
    jw_end_object(&w);
    return true;
}

bool flavor_show(Call *c, GError **err)
{
    g_autoptr(Flavor) f = flavor_get_for(c->db, c->ctx, c->params[0], err);
    return f && reply(c, f);
}

/* Numbers given as ids become text; null and "auto" mean: choose one; factors are kept as numbers. */
static void normalize(json_t *body)
{
    json_t *id = json_object_get(body, "id"), *factor = json_object_get(body, "rxtx_factor");
    if (json_is_integer(id)) {
        g_autofree char *text = g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(id));
        json_object_set_new(body, "id", json_string(text));
    } else if (json_is_null(id) || g_strcmp0(json_string_value(id), "auto") == 0) {
        json_object_del(body, "id");
    }
    if (json_is_string(factor) && g_ascii_strtod(json_string_value(factor), NULL) > 0)
        json_object_set_new(body, "rxtx_factor", json_real(g_ascii_strtod(json_string_value(factor), NULL)));
}

bool flavor_create(Call *c, GError **err)
{
    json_t *body = body_only(c, "flavor", NULL, err);
    g_autoptr(Flavor) f = (Flavor *) row_new(&flavor_resource);
    if (!body)
        return false;
    normalize(body);
    if (!row_parse(&f->row, body, c->ctx, CREATE, err))
        return false;
    if (!f->id) {
        g_autofree char *id = id_new();
        ROW_SET_STR(f, id, id);
    }
    ROW_SET_JSON(f, extra_specs, json_object());
    g_auto(Txn) txn = txn_begin(c->db, err);
    if (!txn.db)
        return false;
    gint64 same = 0;
    if (!db_query_int(c->db, err, &same, "flavor_same", "ss", f->id, f->name))
        return false;
    if (same)
        return nv_fail(err, NV_ERR_CONFLICT, same == 1 ? "Flavor with ID %s already exists." : "Flavor with name %s already exists.",
                       same == 1 ? f->id : f->name);
    return row_insert(c->db, &f->row, err) && txn_commit(&txn, err) && reply(c, f);
}

bool flavor_update(Call *c, GError **err)
{
    json_t *body = body_only(c, "flavor", NULL, err);
    if (!body)
        return false;
    if (!json_object_get(body, "description"))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute flavor. 'description' is a required property");
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Flavor) f = txn.db ? (Flavor *) row_get_for(c->db, &flavor_resource, c->ctx, c->params[0], true, err) : NULL;
    return f && row_parse(&f->row, body, c->ctx, UPDATE, err) && row_update(c->db, &f->row, err) && txn_commit(&txn, err) && reply(c, f);
}

bool flavor_delete(Call *c, GError **err)
{
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Flavor) f = txn.db ? (Flavor *) row_get_for(c->db, &flavor_resource, c->ctx, c->params[0], true, err) : NULL;
    return f && row_delete(c->db, &f->row, err) && txn_commit(&txn, err) && call_reply_empty(c, 202);
}

/* The usual ladder, and one small enough for a machine without hardware virtualization. */
static const struct { const char *id, *name; gint64 memory_mb, vcpus, disk_gb; } defaults[] = {
    { "0", "m1.nano", 128, 1, 1 },     { "1", "m1.tiny", 512, 1, 1 },     { "2", "m1.small", 2048, 1, 20 },
    { "3", "m1.medium", 4096, 2, 40 }, { "4", "m1.large", 8192, 4, 80 }, { "5", "m1.xlarge", 16384, 8, 160 },
};

bool flavor_bootstrap(Db *db, GError **err)
{
    gint64 n = 0;
    g_auto(Txn) txn = txn_begin(db, err);
    if (!txn.db || !db_query_int(db, err, &n, "flavor_count", ""))
        return false;
    for (guint i = 0; n == 0 && i < G_N_ELEMENTS(defaults); i++)
        if (!db_exec(db, err, "flavor_default", "ssiii", defaults[i].id, defaults[i].name, defaults[i].memory_mb, defaults[i].vcpus,
                     defaults[i].disk_gb))
            return false;
    return txn_commit(&txn, err);
}
