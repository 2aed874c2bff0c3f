/* db/rows.c -- rows by table: insert, update, delete, get, with their children. */
#include "core/clock.h"
#include "core/dialect.h"
#include "db/internal.h"
#include <string.h>

static void bind_field(Stmt *st, int n, const Row *row, const Field *f, size_t i)
{
    if (row->null & 1ull << i) {
        sqlite3_bind_null(st, n);
        return;
    }
    switch (f->type) {
    case T_STR:
        sqlite3_bind_text(st, n, *FIELD_PTR(row, f, char *), -1, SQLITE_TRANSIENT);
        break;
    case T_INT:
    case T_TIME:
        sqlite3_bind_int64(st, n, *FIELD_PTR(row, f, gint64));
        break;
    case T_BOOL:
        sqlite3_bind_int(st, n, *FIELD_PTR(row, f, bool));
        break;
    case T_JSON:
        sqlite3_bind_text(st, n, json_text(*FIELD_PTR(row, f, json_t *)), -1, g_free);
        break;
    }
}

static bool is_dirty(const Row *row, const Field *f, size_t i)
{
    return f->col && (row->dirty & 1ull << i);
}

static const char *row_key(const Row *row)
{
    return *FIELD_PTR(row, &row->res->fields[0], char *);
}

/* Sets the column to now, unless the row already has a value to write there. */
static void stamp(Row *row, const char *col)
{
    for (EACH_FIELD(row->res, f, i))
        if (f->col && f->type == T_TIME && strcmp(f->col, col) == 0 && !(row->dirty & 1ull << i)) {
            *FIELD_PTR(row, f, gint64) = clock_wall_us();
            row->known |= 1ull << i;
            row->dirty |= 1ull << i;
            row->null &= ~(1ull << i);
        }
}

static bool child_insert(Conn *conn, const Child *c, const char *parent, const char *key, const json_t *value, GError **err)
{
    g_autofree char *sql = c->kind == CHILD_MAP ? g_strdup_printf("INSERT INTO %s(%s,%s,%s) VALUES(?,?,?)", c->table, c->parent, c->value, c->key)
                                                : g_strdup_printf("INSERT INTO %s(%s,%s) VALUES(?,?)", c->table, c->parent, c->value);
    g_autoptr(Stmt) st = conn_prepare(conn, sql, err);
    if (!st)
        return false;
    sqlite3_bind_text(st, 1, parent, -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(st, 2, json_string_value(value), -1, SQLITE_TRANSIENT);
    if (key)
        sqlite3_bind_text(st, 3, key, -1, SQLITE_TRANSIENT);
    return stmt_run(conn, st, c->table, err);
}

static bool child_clear(Conn *conn, const Child *c, const char *parent, GError **err)
{
    g_autofree char *sql = g_strdup_printf("DELETE FROM %s WHERE %s=?", c->table, c->parent);
    g_autoptr(Stmt) st = conn_prepare(conn, sql, err);
    if (!st)
        return false;
    sqlite3_bind_text(st, 1, parent, -1, SQLITE_TRANSIENT);
    return stmt_run(conn, st, c->table, err);
}

/* Objects have hooks of their own; strings and maps are written here. */
static bool children_write(Conn *conn, const Row *row, bool fresh, GError **err)
{
    for (EACH_FIELD(row->res, f, i)) {
        const Child *c = f->child;
        json_t *held = c ? *FIELD_PTR(row, f, json_t *) : NULL, *v;
        const char *key;
        size_t n;
        if (!c || c->kind == CHILD_OBJECTS || !(row->dirty & 1ull << i))
            continue;
        if (!fresh && !child_clear(conn, c, row_key(row), err))
            return false;
        if (c->kind == CHILD_MAP)
            json_object_foreach(held, key, v) {
                if (!child_insert(conn, c, row_key(row), key, v, err))
                    return false;
            }
        else
            json_array_foreach(held, n, v) {
                if (!child_insert(conn, c, row_key(row), NULL, v, err))
                    return false;
            }
    }
    return true;
}

bool row_insert(Db *db, Row *row, GError **err)
{
    g_assert(txn_active());
    if (!row->dirty)
        return true;                             /* a hook needed the row to be there and has written it */
    stamp(row, "created_at");
    stamp(row, "updated_at");
    Conn *conn = db_conn(db, err);
    g_autoptr(GString) cols = g_string_new(NULL);
    g_autoptr(GString) marks = g_string_new(NULL);
    for (EACH_FIELD(row->res, f, i))
        if (is_dirty(row, f, i)) {
            g_string_append_printf(cols, "%s\"%s\"", cols->len ? "," : "", f->col);
            g_string_append(marks, marks->len ? ",?" : "?");
        }
    g_autofree char *sql = g_strdup_printf("INSERT INTO %s(%s) VALUES(%s)", row->res->table, cols->str, marks->str);
    g_autoptr(Stmt) st = conn ? conn_prepare(conn, sql, err) : NULL;
    if (!st)
        return false;
    int n = 0;
    for (EACH_FIELD(row->res, f, i))
        if (is_dirty(row, f, i))
            bind_field(st, ++n, row, f, i);
    if (!stmt_run(conn, st, row->res->one, err) || !children_write(conn, row, true, err))
        return false;
    row->dirty = 0;
    return true;
}

bool row_update(Db *db, Row *row, GError **err)
{
    g_assert(txn_active());
    if (!row->dirty)
        return true;
    stamp(row, "updated_at");
    Conn *conn = db_conn(db, err);
    if (!conn)
        return false;
    g_autoptr(GString) sets = g_string_new(NULL);
    for (EACH_FIELD(row->res, f, i))
        if (i > 0 && is_dirty(row, f, i))
            g_string_append_printf(sets, "%s\"%s\"=?", sets->len ? "," : "", f->col);
    if (sets->len) {
        const Field *key = &row->res->fields[0];
        g_autofree char *sql = g_strdup_printf("UPDATE %s SET %s WHERE \"%s\"=?", row->res->table, sets->str, key->col);
        g_autoptr(Stmt) st = conn_prepare(conn, sql, err);
        if (!st)
            return false;
        int n = 0;
        for (EACH_FIELD(row->res, f, i))
            if (i > 0 && is_dirty(row, f, i))
                bind_field(st, ++n, row, f, i);
        bind_field(st, ++n, row, key, 0);
        if (!stmt_run(conn, st, row->res->one, err))
            return false;
    }
    if (!children_write(conn, row, false, err))
        return false;
    row->dirty = 0;
    return true;
}

bool row_delete(Db *db, Row *row, GError **err)
{
    g_assert(txn_active());
    Conn *conn = db_conn(db, err);
    g_autofree char *sql = g_strdup_printf("DELETE FROM %s WHERE \"%s\"=?", row->res->table, row->res->fields[0].col);
    g_autoptr(Stmt) st = conn ? conn_prepare(conn, sql, err) : NULL;
    if (!st)
        return false;
    bind_field(st, 1, row, &row->res->fields[0], 0);
    return stmt_run(conn, st, row->res->one, err);
}

GString *rows_select(const Resource *res)
{
    GString *sql = g_string_new("SELECT ");
    const char *sep = "";
    for (EACH_FIELD(res, f, i))
        if (f->col) {
            g_string_append_printf(sql, "%st.\"%s\"", sep, f->col);
            sep = ",";
        }
    g_string_append_printf(sql, " FROM %s t WHERE 1", res->table);
    return sql;
}

Row *rows_load(const Resource *res, Stmt *st)
{
    Row *row = row_new(res);
    int n = 0;
    for (EACH_FIELD(res, f, i)) {
        if (!f->col)
            continue;
        int c = n++;
        row->known |= 1ull << i;
        if (sqlite3_column_type(st, c) == SQLITE_NULL) {
            row->null |= 1ull << i;
            continue;
        }
        switch (f->type) {
        case T_STR:
            *FIELD_PTR(row, f, char *) = g_strdup((const char *) sqlite3_column_text(st, c));
            break;
        case T_INT:
        case T_TIME:
            *FIELD_PTR(row, f, gint64) = sqlite3_column_int64(st, c);
            break;
        case T_BOOL:
            *FIELD_PTR(row, f, bool) = sqlite3_column_int(st, c);
            break;
        case T_JSON:
            *FIELD_PTR(row, f, json_t *) = json_parse_trusted((const char *) sqlite3_column_text(st, c));
            break;
        }
    }
    return row;
}

void bind_text(Stmt *st, const char *name, const char *value)
{
    int i = sqlite3_bind_parameter_index(st, name);
    if (i > 0)
        sqlite3_bind_text(st, i, value, -1, SQLITE_TRANSIENT);
}

static bool run_list(Conn *conn, const Resource *res, Stmt *st, GPtrArray *rows, GError **err)
{
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW)
        g_ptr_array_add(rows, rows_load(res, st));
    return rc == SQLITE_DONE || db_fail(conn->db, res->many, err);
}

static GPtrArray *rows_array(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify) row_free);
}

/* One member of a child object, as the child's own table would render it. */
static void child_member(json_t *object, const Row *row, const Ctx *ctx)
{
    g_autoptr(GString) text = g_string_new(NULL);
    JsonW w = JSONW(text);
    row_render(row, ctx, &w, false);
    g_autoptr(json_t) value = json_parse_trusted(text->str);
    json_array_append(object, value);
}

static bool load_objects(Db *db, const Field *f, const Ctx *ctx, const char *in, GHashTable *by_id, GPtrArray *parents, GError **err)
{
    static const char *const none[] = { NULL };
    static const Ctx system_ctx = { .admin = true, .roles = none };
    const Child *c = f->child;
    g_autoptr(GString) sql = rows_select(c->res);
    g_string_append_printf(sql, " AND t.\"%s\" IN (%s) ORDER BY t.rowid", c->parent, in);
    Conn *conn = db_conn(db, err);
    g_autoptr(Stmt) st = conn ? conn_prepare(conn, sql->str, err) : NULL;
    if (!st)
        return false;
    for (guint i = 0; i < parents->len; i++)
        sqlite3_bind_text(st, (int) i + 1, row_key(parents->pdata[i]), -1, SQLITE_TRANSIENT);
    g_autoptr(GPtrArray) kids = rows_array();
    if (!run_list(conn, c->res, st, kids, err))
        return false;
    g_clear_pointer(&st, stmt_release);
    if (!rows_complete(db, c->res, ctx, kids, err))
        return false;
    size_t at = 0;
    for (EACH_FIELD(c->res, g, i))
        if (g->col && strcmp(g->col, c->parent) == 0)
            at = i;
    for (guint i = 0; i < kids->len; i++) {
        Row *parent = g_hash_table_lookup(by_id, *FIELD_PTR(kids->pdata[i], &c->res->fields[at], char *));
        child_member(*FIELD_PTR(parent, f, json_t *), kids->pdata[i], ctx ? ctx : &system_ctx);
    }
    return true;
}

static bool load_plain(Db *db, const Field *f, const char *in, GHashTable *by_id, GPtrArray *parents, GError **err)
{
    const Child *c = f->child;
    g_autofree char *sql = g_strdup_printf("SELECT \"%s\",\"%s\",\"%s\" FROM %s WHERE \"%s\" IN (%s) ORDER BY rowid", c->parent, c->value,
                                           c->kind == CHILD_MAP ? c->key : c->value, c->table, c->parent, in);
    Conn *conn = db_conn(db, err);
    g_autoptr(Stmt) st = conn ? conn_prepare(conn, sql, err) : NULL;
    if (!st)
        return false;
    for (guint i = 0; i < parents->len; i++)
        sqlite3_bind_text(st, (int) i + 1, row_key(parents->pdata[i]), -1, SQLITE_TRANSIENT);
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        Row *parent = g_hash_table_lookup(by_id, sqlite3_column_text(st, 0));
        json_t *held = *FIELD_PTR(parent, f, json_t *), *v = json_string((const char *) sqlite3_column_text(st, 1));
        if (c->kind == CHILD_MAP)
            json_object_set_new(held, (const char *) sqlite3_column_text(st, 2), v);
        else
            json_array_append_new(held, v);
    }
    return rc == SQLITE_DONE || db_fail(conn->db, c->table, err);
}

/* All children of at most 500 parents. */
static bool load_children(Db *db, const Resource *res, const Ctx *ctx, GPtrArray *parents, GError **err)
{
    g_autoptr(GHashTable) by_id = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GString) in = g_string_new(NULL);
    for (guint i = 0; i < parents->len; i++) {
        g_hash_table_insert(by_id, (gpointer) row_key(parents->pdata[i]), parents->pdata[i]);
        g_string_append(in, i ? ",?" : "?");
    }
    for (EACH_FIELD(res, f, i)) {
        if (!f->child)
            continue;
        for (guint k = 0; k < parents->len; k++) {
            Row *row = parents->pdata[k];
            json_decref(*FIELD_PTR(row, f, json_t *));
            *FIELD_PTR(row, f, json_t *) = f->child->kind == CHILD_MAP ? json_object() : json_array();
            row->known |= 1ull << i;
        }
        if (!(f->child->kind == CHILD_OBJECTS ? load_objects(db, f, ctx, in->str, by_id, parents, err)
                                              : load_plain(db, f, in->str, by_id, parents, err)))
            return false;
    }
    return true;
}

bool rows_complete(Db *db, const Resource *res, const Ctx *ctx, GPtrArray *rows, GError **err)
{
    enum { SLICE = 500 };
    if (!rows->len)
        return true;
    for (guint from = 0; from < rows->len; from += SLICE) {
        g_autoptr(GPtrArray) slice = g_ptr_array_new();
        for (guint i = from; i < rows->len && i < from + SLICE; i++)
            g_ptr_array_add(slice, rows->pdata[i]);
        if (!load_children(db, res, ctx, slice, err))
            return false;
    }
    return !res->after_load || res->after_load(db, ctx, rows, err);
}

static Row *get_one(Db *db, const Resource *res, const Ctx *ctx, const char *id, const char *extra, GError **err)
{
    g_autoptr(GString) sql = rows_select(res);
    g_string_append_printf(sql, " AND t.\"%s\"=:id%s", res->fields[0].col, extra);
    Conn *conn = db_conn(db, err);
    g_autoptr(Stmt) st = conn ? conn_prepare(conn, sql->str, err) : NULL;
    if (!st)
        return NULL;
    bind_text(st, ":id", id);
    if (ctx)
        rows_bind_ctx(st, ctx);
    g_autoptr(GPtrArray) rows = rows_array();
    if (!run_list(conn, res, st, rows, err))
        return NULL;
    g_clear_pointer(&st, stmt_release);
    if (!rows->len) {
        nv_fail(err, NV_ERR_NOT_FOUND, "%s %.64s could not be found.", res->label ? res->label : res->one, id);
        return NULL;
    }
    return rows_complete(db, res, ctx, rows, err) ? g_ptr_array_steal_index(rows, 0) : NULL;
}

Row *row_get(Db *db, const Resource *res, const char *id, GError **err)
{
    return get_one(db, res, NULL, id, "", err);
}

Row *row_get_shown(Db *db, const Resource *res, const Ctx *ctx, const char *id, GError **err)
{
    return get_one(db, res, ctx, id, "", err);
}

bool row_revision_check(const Row *row, const Ctx *ctx, const char *id, GError **err)
{
    bool named = false;
    for (size_t k = 0; ctx->match && k < ctx->match->n_ids; k++)
        named |= g_strcmp0(ctx->match->ids[k], id) == 0;
    if (!named)
        return true;
    int i = field_index(row->res, "revision_number", 0);
    if (i < 0 || row->res->fields[i].flags & HIDDEN)
        return nv_fail(err, NV_ERR_INVALID, "Bad if-match request: Revision matching not supported for this resource.");
    gint64 current = *FIELD_PTR(row, &row->res->fields[i], gint64);
    return current == ctx->match->revision
        || nv_fail(err, NV_ERR_PRECONDITION, "Constrained to %" G_GINT64_FORMAT ", but current revision is %" G_GINT64_FORMAT,
                   ctx->match->revision, current);
}

Row *row_get_for(Db *db, const Resource *res, const Ctx *ctx, const char *id, bool write, GError **err)
{
    g_autoptr(GString) extra = g_string_new(NULL);
    rows_visibility(res, ctx, write, false, extra);
    g_autoptr(Row) row = get_one(db, res, ctx, id, extra->str, err);
    return row && (!write || row_revision_check(row, ctx, id, err)) ? g_steal_pointer(&row) : NULL;
}

GPtrArray *rows_where(Db *db, const Resource *res, GError **err, ...)
{
    g_autoptr(GString) sql = rows_select(res);
    g_autoptr(GPtrArray) args = g_ptr_array_new();
    va_list ap;
    va_start(ap, err);
    for (const char *col; (col = va_arg(ap, const char *));) {
        g_string_append_printf(sql, " AND t.\"%s\"=?", col);
        g_ptr_array_add(args, va_arg(ap, char *));
    }
    va_end(ap);
    g_string_append_printf(sql, " ORDER BY t.\"%s\"", res->fields[0].col);
    Conn *conn = db_conn(db, err);
    g_autoptr(Stmt) st = conn ? conn_prepare(conn, sql->str, err) : NULL;
    if (!st)
        return NULL;
    for (guint i = 0; i < args->len; i++)
        sqlite3_bind_text(st, (int) i + 1, args->pdata[i], -1, SQLITE_TRANSIENT);
    g_autoptr(GPtrArray) rows = rows_array();
    bool ok = run_list(conn, res, st, rows, err);
    g_clear_pointer(&st, stmt_release);
    return ok && rows_complete(db, res, NULL, rows, err) ? g_steal_pointer(&rows) : NULL;
}
