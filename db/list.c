/* db/list.c -- a caller's lists: who sees what, filters, order, pages.  The only place that turns a Scope into SQL. */
#include "core/clock.h"
#include "core/dialect.h"
#include "db/internal.h"
#include <string.h>

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

static bool filter_children(Building *b, const Resource *res, const Field *f, const ListFilter *q)
{
    const Child *c = f->child;
    bool negate = q->op == OP_NE;
    g_string_append(b->sql, negate ? " AND NOT (" : " AND (");
    for (size_t i = 0; i < q->n; i++) {
        g_string_append_printf(b->sql, "%sEXISTS(SELECT 1 FROM %s c WHERE c.\"%s\"=t.\"%s\" AND c.\"%s\"=",
                               i ? q->op == OP_IN ? " OR " : " AND " : "", c->table, c->parent, res->fields[0].col, c->value);
        add_value(b, q->values[i]);
        g_string_append_c(b->sql, ')');
    }
    g_string_append_c(b->sql, ')');
    return true;
}

static bool filter_column(Building *b, const Field *f, const ListFilter *q, GError **err)
{
    static const char *const operators[] = { [OP_EQ] = "=", [OP_NE] = "<>", [OP_GT] = ">", [OP_GE] = ">=", [OP_LT] = "<", [OP_LE] = "<=" };
    const char *cast = f->type == T_STR || f->type == T_JSON ? "" : "+0";
    if (q->op == OP_REGEX || q->op == OP_PREFIX) {
        g_string_append_printf(b->sql, q->op == OP_REGEX ? " AND regexp(" : " AND t.\"%s\" GLOB ", f->col);
        if (q->op == OP_REGEX) {
            add_value(b, q->values[0]);
            g_string_append_printf(b->sql, ",t.\"%s\")", f->col);
        } else {
            add_value(b, q->values[0]);
            g_string_append(b->sql, "||'*'");
        }
        return true;
    }
    g_string_append_printf(b->sql, " AND (%s", q->n ? "" : "0");
    for (size_t i = 0; i < q->n; i++) {
        g_autofree char *value = NULL;
        /* A time without a fraction is that whole second: it is what services that show seconds have shown. */
        bool second = f->type == T_TIME && (q->op == OP_EQ || q->op == OP_NE || q->op == OP_IN) && !strchr(q->values[i], '.');
        if (!stored_text(f, q->values[i], &value, err))
            return false;
        g_string_append_printf(b->sql, "%st.\"%s\"%s%s", i ? " OR " : "", f->col, second ? "/1000000" : "",
                               operators[q->op == OP_IN ? OP_EQ : q->op]);
        g_string_append_c(b->sql, '(');
        add_value(b, value);
        g_string_append_printf(b->sql, "%s)%s", cast, second ? "/1000000" : "");
        if ((f->flags & NULLABLE) && !*q->values[i])
            g_string_append_printf(b->sql, " OR t.\"%s\" IS NULL", f->col);
    }
    g_string_append_c(b->sql, ')');
    return true;
}

/* The fragment with :value replaced by a parameter that holds value. */
static void add_condition(Building *b, const char *fragment, const char *value)
{
    const char *text = query_fragment(fragment);
    if (!text)
        g_error("db/queries has no fragment %s", fragment);
    g_auto(GStrv) parts = g_strsplit(text, ":value", -1);
    for (char **p = parts; *p; p++) {
        g_string_append(b->sql, *p);
        if (p[1])
            add_value(b, value);
    }
}

/* True where the resource has a condition of its own for that parameter. */
static bool filter_own(Building *b, const Resource *res, const ListFilter *q, bool *ret_ok, GError **err)
{
    size_t taken = 0;
    bool mine = false;
    int at = field_index(res, q->json, G_MAXINT16);
    for (const Filter *f = res->filters; f && f->query; f++) {
        if (strcmp(f->query, q->json) != 0)
            continue;
        size_t n = 0;
        mine = true;
        for (size_t i = 0; i < q->n; i++) {
            if (f->prefix && !g_str_has_prefix(q->values[i], f->prefix))
                continue;
            g_autofree char *value = NULL;
            if (at >= 0 && res->fields[at].type == T_BOOL && !stored_text(&res->fields[at], q->values[i], &value, err))
                return *ret_ok = false, true;
            g_string_append(b->sql, n++ ? " OR (" : " AND ((");
            add_condition(b, f->fragment, (value ? value : q->values[i]) + (f->prefix ? strlen(f->prefix) : 0));
            g_string_append_c(b->sql, ')');
        }
        if (n)
            g_string_append_c(b->sql, ')');
        taken += n;
    }
    *ret_ok = !mine || taken == q->n || nv_fail(err, NV_ERR_INVALID, "Invalid filter: '%.80s' is not a valid value of %s", q->values[0], q->json);
    return mine;
}

static bool add_filters(Building *b, const Resource *res, const Ctx *ctx, const ListQuery *q, GError **err)
{
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
        if (f->child ? !filter_children(b, res, f, one) : !filter_column(b, f, one, err))
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
        g_array_append_val(order, o);
    }
    if (!q->n_sorts && res->default_sort) {
        bool desc = res->default_sort[0] == '-';
        Order o = { .col = res->default_sort + desc, .desc = desc != q->reverse };
        g_array_append_val(order, o);
    }
    const char *key = res->fields[0].col;
    for (guint i = 0; i < order->len; i++)
        if (strcmp(g_array_index(order, Order, i).col, key) == 0)
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
