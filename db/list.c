/* db/list.c -- a caller's lists: who sees what, filters, order, pages.  The only place that turns a Scope into SQL. */
#include "core/clock.h"
#include "core/dialect.h"
#include "db/internal.h"
#include <string.h>

enum { FILTERS_MAX = 64 };

void rows_bind_ctx(Stmt *st, const Ctx *ctx)
{
    bind_text(st, ":project", ctx->project_id);
    bind_text(st, ":user", ctx->user_id);
    bind_text(st, ":domain", ctx->domain_id);
    bind_text(st, ":system", ctx->system ? "1" : "0");
    bind_text(st, ":reader", g_strv_contains(ctx->roles, "reader") ? "1" : "0");
}

void rows_visibility(const Resource *res, const Ctx *ctx, bool write, bool listing, GString *sql)
{
    bool sees_all = ctx->admin && (!listing || ctx->all_projects || res->dialect->admin_lists_all);
    const char *fragment = write && res->writable ? res->writable : res->visible;
    if (res->scope == SCOPE_PUBLIC && (!write || ctx->admin))
        return;
    if (sees_all && res->scope != SCOPE_USER)
        return;
    switch (res->scope) {
    case SCOPE_PROJECT:
        g_string_append(sql, " AND t.project_id=:project");
        break;
    case SCOPE_USER:
        g_string_append(sql, " AND t.user_id=:user");
        break;
    case SCOPE_NAMED:
        if (write && !res->writable) {
            g_string_append(sql, " AND t.project_id=:project");
            break;
        }
        if (!query_fragment(fragment))
            g_error("db/queries has no fragment %s", fragment);
        g_string_append_printf(sql, " AND (%s)", query_fragment(fragment));
        break;
    case SCOPE_PUBLIC:
    case SCOPE_ADMIN:
        g_string_append(sql, " AND 0");
        break;
    }
}

/* SQL text with the values that go into its :vN parameters. */
typedef struct Building {
    GString *sql;
    GPtrArray *values;               /* char* owned */
} Building;

static void add_value(Building *b, const char *value)
{
    g_string_append_printf(b->sql, ":v%u", b->values->len);
    g_ptr_array_add(b->values, g_strdup(value));
}

/* Text of a query parameter as the column stores it; false: no such value. */
static bool stored_text(const Field *f, const char *value, char **ret, GError **err)
{
    gint64 us;
    bool b;
    char *end;
    switch (f->type) {
    case T_BOOL:
        if (text_is_bool(value, &b))
            return *ret = g_strdup(b ? "1" : "0"), true;
        return nv_fail(err, NV_ERR_INVALID, "Invalid filter %s: '%.80s' is not a boolean", f->json, value);
    case T_INT:
        g_ascii_strtoll(value, &end, 10);
        if (!*value || *end)
            return nv_fail(err, NV_ERR_INVALID, "Invalid filter %s: '%.80s' is not a number", f->json, value);
        return *ret = g_strdup(value), true;
    case T_TIME:
        if (!clock_parse(value, &us))
            return nv_fail(err, NV_ERR_INVALID, "Invalid filter %s: '%.80s' is not a time in ISO 8601", f->json, value);
        return *ret = g_strdup_printf("%" G_GINT64_FORMAT, us), true;
    case T_STR:
    case T_JSON:
        return *ret = field_spelled(f, value), true;
    }
    g_assert_not_reached();
}

/* Any number of values as one: a JSON array of distinct texts, so that neither SQL's text nor its depth grows with them. */
static void add_values(Building *b, GPtrArray *texts)
{
    g_autoptr(json_t) list = json_array();
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < texts->len; i++)
        if (g_hash_table_add(seen, texts->pdata[i]))
            json_array_append_new(list, json_string(texts->pdata[i]));
    g_autofree char *text = json_text(list);
    add_value(b, text);
}

/* The row has any (OP_IN) or all of the values; OP_NE: not all. */
static void filter_children(Building *b, const Resource *res, const Field *f, const ListFilter *q)
{
    const Child *c = f->child;
    g_autoptr(GPtrArray) texts = g_ptr_array_new();
    for (size_t i = 0; i < q->n; i++)
        g_ptr_array_add(texts, (gpointer) q->values[i]);
    g_string_append_printf(b->sql, " AND %s(SELECT count(DISTINCT c.\"%s\") FROM %s c WHERE c.\"%s\"=t.\"%s\" AND c.\"%s\" IN "
                           "(SELECT value FROM json_each(", q->op == OP_NE ? "NOT " : "", c->value, c->table, c->parent, res->fields[0].col,
                           c->value);
    guint at = b->values->len;
    add_values(b, texts);
    if (q->op == OP_IN)
        g_string_append(b->sql, ")))>0");
    else
        g_string_append_printf(b->sql, ")))=json_array_length(:v%u)", at);
}

/* A time without a fraction is that whole second: it is what services that show seconds have shown. */
static bool is_second(const Field *f, const char *value)
{
    return f->type == T_TIME && !strchr(value, '.');
}

/* The column is one of the values: seconds (or what is not seconds) of them.  The answer joins what comes next: a term that is always false, to
 * begin with, would keep SQLite from its indexes. */
static const char *add_one_of(Building *b, const char *joint, const Field *f, const char *cast, const char *scale, GPtrArray *texts)
{
    if (!texts->len)
        return joint;
    g_string_append_printf(b->sql, "%st.\"%s\"%s IN (SELECT (value%s)%s FROM json_each(", joint, f->col, scale, cast, scale);
    add_values(b, texts);
    g_string_append(b->sql, "))");
    return " OR ";
}

static bool filter_one_of(Building *b, const Field *f, const char *cast, const ListFilter *q, GError **err)
{
    g_autoptr(GPtrArray) exact = g_ptr_array_new_with_free_func(g_free), seconds = g_ptr_array_new_with_free_func(g_free);
    bool empty = false;
    for (size_t i = 0; i < q->n; i++) {
        char *value;
        if (!stored_text(f, q->values[i], &value, err))
            return false;
        g_ptr_array_add(is_second(f, q->values[i]) ? seconds : exact, value);
        empty |= !*q->values[i];
    }
    g_string_append(b->sql, q->n ? " AND (" : " AND (0");
    const char *joint = add_one_of(b, add_one_of(b, "", f, cast, "", exact), f, cast, "/1000000", seconds);
    if ((f->flags & NULLABLE) && empty)
        g_string_append_printf(b->sql, "%st.\"%s\" IS NULL", joint, f->col);
    g_string_append_c(b->sql, ')');
    return true;
}

static bool filter_column(Building *b, const Field *f, const ListFilter *q, GError **err)
{
    static const char *const operators[] = { [OP_EQ] = "=", [OP_NE] = "<>", [OP_GT] = ">", [OP_GE] = ">=", [OP_LT] = "<", [OP_LE] = "<=" };
    const char *cast = f->type == T_STR || f->type == T_JSON ? "" : "+0";
    if (q->op == OP_REGEX || q->op == OP_PREFIX) {
        g_string_append_printf(b->sql, q->op == OP_REGEX ? " AND regexp(" : " AND t.\"%s\" GLOB ", f->col);
        add_value(b, q->values[0]);
        if (q->op == OP_REGEX)
            g_string_append_printf(b->sql, ",t.\"%s\")", f->col);
        else
            g_string_append(b->sql, "||'*'");
        return true;
    }
    if (q->n != 1 && (q->op == OP_EQ || q->op == OP_IN))
        return filter_one_of(b, f, cast, q, err);
    g_string_append_printf(b->sql, " AND (%s", q->n ? "" : "0");
    for (size_t i = 0; i < q->n; i++) {
        g_autofree char *value = NULL;
        bool second = is_second(f, q->values[i]) && (q->op == OP_EQ || q->op == OP_NE || q->op == OP_IN);
        if (!stored_text(f, q->values[i], &value, err))
            return false;
        g_string_append_printf(b->sql, "%st.\"%s\"%s%s(", i ? " OR " : "", f->col, second ? "/1000000" : "",
                               operators[q->op == OP_IN ? OP_EQ : q->op]);
        add_value(b, value);
        g_string_append_printf(b->sql, "%s)%s", cast, second ? "/1000000" : "");
        if ((f->flags & NULLABLE) && !*q->values[i])
            g_string_append_printf(b->sql, " OR t.\"%s\" IS NULL", f->col);
    }
    g_string_append_c(b->sql, ')');
    return true;
}

/* The condition holds for any of the values: one is bound as it is, several come as rows of a JSON array. */
static void add_condition(Building *b, const char *fragment, GPtrArray *texts)
{
    const char *text = query_fragment(fragment);
    if (!text)
        g_error("db/queries has no fragment %s", fragment);
    g_auto(GStrv) parts = g_strsplit(text, ":value", -1);
    if (texts->len > 1) {
        g_autofree char *one = g_strjoinv("given.value", parts);
        g_string_append(b->sql, "EXISTS (SELECT 1 FROM json_each(");
        add_values(b, texts);
        g_string_append_printf(b->sql, ") given WHERE (%s))", one);
        return;
    }
    for (char **p = parts; *p; p++) {
        g_string_append(b->sql, *p);
        if (p[1])
            add_value(b, texts->pdata[0]);
    }
}

static bool is_set(const Filter *f)
{
    return f->prefix && strcmp(f->prefix, PARTS) == 0;
}

/* All values' parts between commas, each once: ["a,b", "b"] is one value, the JSON array ["a","b"]. */
static GPtrArray *as_set(const ListFilter *q)
{
    g_autoptr(json_t) list = json_array();
    for (size_t i = 0; i < q->n; i++) {
        g_auto(GStrv) parts = g_strsplit(q->values[i], ",", -1);
        for (char **p = *parts ? parts : NULL; p && *p; p++)
            if (!json_has(list, *p))
                json_array_append_new(list, json_string(*p));
    }
    GPtrArray *one = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(one, json_text(list));
    return one;
}

/* The values that this row of the resource's filters is for, as the fragment wants them; NULL: err. */
static GPtrArray *own_values(const Resource *res, const Filter *f, const ListFilter *q, GError **err)
{
    int at = field_index(res, q->json, G_MAXINT16);
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
    if (is_set(f))
        return as_set(q);
    for (size_t i = 0; i < q->n; i++) {
        char *value;
        if (f->prefix && !g_str_has_prefix(q->values[i], f->prefix))
            continue;
        if (at < 0 || res->fields[at].type != T_BOOL)
            value = g_strdup(q->values[i] + (f->prefix ? strlen(f->prefix) : 0));
        else if (!stored_text(&res->fields[at], q->values[i], &value, err))
            return NULL;
        g_ptr_array_add(texts, value);
    }
    return g_steal_pointer(&texts);
}

/* True where the resource has a condition of its own for that parameter. */
static bool filter_own(Building *b, const Resource *res, const ListFilter *q, bool *ret_ok, GError **err)
{
    size_t taken = 0;
    bool mine = false;
    for (const Filter *f = res->filters; f && f->query; f++) {
        if (strcmp(f->query, q->json) != 0)
            continue;
        mine = true;
        g_autoptr(GPtrArray) texts = own_values(res, f, q, err);
        if (!texts)
            return *ret_ok = false, true;
        if (texts->len) {
            g_string_append(b->sql, " AND (");
            add_condition(b, f->fragment, texts);
            g_string_append_c(b->sql, ')');
        }
        taken += is_set(f) ? q->n : texts->len;
    }
    *ret_ok = !mine || taken == q->n || nv_fail(err, NV_ERR_INVALID, "Invalid filter: '%.80s' is not a valid value of %s", q->values[0], q->json);
    return mine;
}

static bool add_filters(Building *b, const Resource *res, const Ctx *ctx, const ListQuery *q, GError **err)
{
    if (q->n_filters > FILTERS_MAX)              /* not values: of these there may be any number */
        return nv_fail(err, NV_ERR_INVALID, "There are more than %d filters.", FILTERS_MAX);
    for (size_t i = 0; i < q->n_filters; i++) {
        const ListFilter *one = &q->filters[i];
        bool ok;
        if (filter_own(b, res, one, &ok, err)) {
            if (!ok)
                return false;
            continue;
        }
        int at = field_index(res, one->json, ctx->mv);
        const Field *f = at < 0 ? NULL : &res->fields[at];
        if (!f || !(f->flags & FILTER) || ((f->flags & ADMIN_VIEW) && !ctx->admin))
            return nv_fail(err, NV_ERR_INVALID, "Invalid filter: '%.80s' is not a valid query parameter for %s", one->json, res->many);
        if (f->child)
            filter_children(b, res, f, one);
        else if (!filter_column(b, f, one, err))
            return false;
    }
    if (q->fragment)
        g_string_append_printf(b->sql, " AND (%s)", query_fragment(q->fragment));
    return true;
}

/* null: what stands for null, before all values; NULL where there is none. */
typedef struct Order { const char *col; bool desc; const char *null; } Order;

static Order order_by(const Field *f, bool desc)
{
    bool text = f->type == T_STR || f->type == T_JSON;
    return (Order){ f->col, desc, !(f->flags & NULLABLE) ? NULL : text ? "''" : "-9223372036854775808" };
}

static void add_column(GString *sql, const char *table, const Order *o)
{
    g_string_append_printf(sql, o->null ? "ifnull(%s.\"%s\",%s)" : "%s.\"%s\"", table, o->col, o->null);
}

static bool order_has(const GArray *order, const char *col)
{
    for (guint i = 0; i < order->len; i++)
        if (strcmp(g_array_index(order, Order, i).col, col) == 0)
            return true;
    return false;
}

/* The order asked for, made total by the key. */
static GArray *order_of(const Resource *res, const Ctx *ctx, const ListQuery *q, GError **err)
{
    g_autoptr(GArray) order = g_array_new(FALSE, FALSE, sizeof(Order));
    for (size_t i = 0; i < q->n_sorts; i++) {
        int at = field_index(res, q->sorts[i].json, ctx->mv);
        const Field *f = at < 0 ? NULL : &res->fields[at];
        if (!f || !f->col || !(f->flags & SORT)) {
            nv_fail(err, NV_ERR_INVALID, "Invalid sort key: '%.80s' is not one of the fields that %s can be sorted by", q->sorts[i].json, res->many);
            return NULL;
        }
        Order o = order_by(f, q->sorts[i].desc != q->reverse);
        if (!order_has(order, o.col))            /* what is equal already is not ordered by the same again */
            g_array_append_val(order, o);
    }
    if (!q->n_sorts && res->default_sort) {
        bool desc = res->default_sort[0] == '-';
        Order o = { .col = res->default_sort + desc, .desc = desc != q->reverse };
        g_array_append_val(order, o);
    }
    const char *key = res->fields[0].col;
    if (order_has(order, key))
        return g_steal_pointer(&order);
    bool desc = order->len ? g_array_index(order, Order, order->len - 1).desc : q->reverse;
    Order last = { .col = key, .desc = desc };
    g_array_append_val(order, last);
    return g_steal_pointer(&order);
}

/* Rows after the marker in that order: for each prefix of equal columns, the next one beyond the marker's. */
static void add_marker(Building *b, const Resource *res, const GArray *order)
{
    g_string_append(b->sql, " AND (");
    for (guint n = 0; n < order->len; n++) {
        g_string_append(b->sql, n ? " OR (" : "(");
        for (guint i = 0; i <= n; i++) {
            const Order *o = &g_array_index(order, Order, i);
            g_string_append(b->sql, i ? " AND " : "");
            add_column(b->sql, "t", o);
            g_string_append_printf(b->sql, "%s(SELECT ", i < n ? "=" : o->desc ? "<" : ">");
            add_column(b->sql, "m", o);
            g_string_append_printf(b->sql, " FROM %s m WHERE m.\"%s\"=:marker)", res->table, res->fields[0].col);
        }
        g_string_append_c(b->sql, ')');
    }
    g_string_append_c(b->sql, ')');
}

static void bind_all(Stmt *st, const Building *b, const Ctx *ctx, const ListQuery *q)
{
    rows_bind_ctx(st, ctx);
    for (guint i = 0; i < b->values->len; i++) {
        char name[16];
        g_snprintf(name, sizeof name, ":v%u", i);
        bind_text(st, name, b->values->pdata[i]);
    }
    for (int i = 0; q->fragment_args && q->fragment_args[i]; i++) {
        char name[16];
        g_snprintf(name, sizeof name, ":a%d", i + 1);
        bind_text(st, name, q->fragment_args[i]);
    }
    if (q->marker)
        bind_text(st, ":marker", q->marker);
}

static bool marker_check(Db *db, const Resource *res, const Ctx *ctx, const char *marker, GError **err)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(Row) row = row_get_for(db, res, ctx, marker, false, &why);
    return row || nv_fail(err, NV_ERR_INVALID, "marker [%.64s] not found", marker);
}

GPtrArray *rows_list(Db *db, const Resource *res, const Ctx *ctx, const ListQuery *q, bool *ret_more, GError **err)
{
    g_autoptr(GString) sql = rows_select(res);
    g_autoptr(GPtrArray) values = g_ptr_array_new_with_free_func(g_free);
    Building b = { sql, values };
    rows_visibility(res, ctx, false, true, sql);
    g_autoptr(GArray) order = order_of(res, ctx, q, err);
    if (!order || !add_filters(&b, res, ctx, q, err) || (q->marker && !marker_check(db, res, ctx, q->marker, err)))
        return NULL;
    if (q->marker)
        add_marker(&b, res, order);
    for (guint i = 0; i < order->len; i++) {
        const Order *o = &g_array_index(order, Order, i);
        g_string_append(sql, i ? "," : " ORDER BY ");
        add_column(sql, "t", o);
        g_string_append(sql, o->desc ? " DESC" : "");
    }
    g_string_append(sql, " LIMIT :limit");
    Conn *conn = db_conn(db, err);
    g_autoptr(Stmt) st = conn ? conn_prepare(conn, sql->str, err) : NULL;
    if (!st)
        return NULL;
    bind_all(st, &b, ctx, q);
    sqlite3_bind_int64(st, sqlite3_bind_parameter_index(st, ":limit"), q->limit + 1);
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func((GDestroyNotify) row_free);
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW)
        g_ptr_array_add(rows, rows_load(res, st));
    if (rc != SQLITE_DONE)
        return db_fail(conn->db, res->many, err), NULL;
    g_clear_pointer(&st, stmt_release);
    *ret_more = rows->len > q->limit;
    if (*ret_more)
        g_ptr_array_remove_index(rows, rows->len - 1);
    if (q->reverse)
        for (guint i = 0; i < rows->len / 2; i++) {
            gpointer x = rows->pdata[i];
            rows->pdata[i] = rows->pdata[rows->len - 1 - i];
            rows->pdata[rows->len - 1 - i] = x;
        }
    return rows_complete(db, res, ctx, rows, err) ? g_steal_pointer(&rows) : NULL;
}

gint64 rows_count(Db *db, const Resource *res, const Ctx *ctx, const ListQuery *q, GError **err)
{
    g_autoptr(GString) sql = g_string_new(NULL);
    g_autoptr(GPtrArray) values = g_ptr_array_new_with_free_func(g_free);
    Building b = { sql, values };
    g_string_printf(sql, "SELECT count(*) FROM %s t WHERE 1", res->table);
    rows_visibility(res, ctx, false, true, sql);
    if (!add_filters(&b, res, ctx, q, err))
        return -1;
    Conn *conn = db_conn(db, err);
    g_autoptr(Stmt) st = conn ? conn_prepare(conn, sql->str, err) : NULL;
    if (!st)
        return -1;
    bind_all(st, &b, ctx, q);
    return sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : (db_fail(conn->db, res->many, err), -1);
}
