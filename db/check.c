/* db/check.c -- what can be checked without a caller: invariants over the rows, tables against the schema, statements against both. */
#include "core/dialect.h"
#include "db/internal.h"
#include <string.h>

typedef struct Findings { Db *db; json_t *list; GError **err; bool ok; } Findings;

static void run_invariant(const char *name, const char *sql, void *data)
{
    Findings *f = data;
    Conn *conn = f->ok ? db_conn(f->db, f->err) : NULL;
    g_autoptr(Stmt) st = conn ? conn_prepare(conn, sql, f->err) : NULL;
    if (!st) {
        f->ok = false;
        return;
    }
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW)
        json_array_append_new(f->list, json_make("so", "invariant", name, "row", stmt_object(st)));
    if (rc != SQLITE_DONE)
        f->ok = db_fail(conn->db, name, f->err);
}

json_t *db_invariants(Db *db, GError **err)
{
    g_autoptr(json_t) list = json_array();
    Findings f = { db, list, err, true };
    invariant_each(run_invariant, &f);
    return f.ok ? g_steal_pointer(&list) : NULL;
}

static bool column_exists(Conn *conn, const char *table, const char *col, bool *ret_notnull)
{
    sqlite3_stmt *st = NULL;
    bool found = false;
    sqlite3_prepare_v2(conn->db, "SELECT \"notnull\" OR pk FROM pragma_table_info(?1) WHERE name=?2", -1, &st, NULL);
    sqlite3_bind_text(st, 1, table, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 2, col, -1, SQLITE_STATIC);
    if (sqlite3_step(st) == SQLITE_ROW) {
        found = true;
        *ret_notnull = sqlite3_column_int(st, 0);
    }
    sqlite3_finalize(st);
    return found;
}

static void check_columns(Conn *conn, const Resource *res, const Field *f, GString *why)
{
    bool notnull = true;
    if (f->col && !column_exists(conn, res->table, f->col, &notnull))
        g_string_append_printf(why, "%s.%s: no such column in the schema\n", res->table, f->col);
    if (f->col && (f->flags & SORT) && !notnull && !(f->flags & NULLABLE))
        g_string_append_printf(why, "%s.%s: sorted by, and may be NULL, which its flags do not say\n", res->table, f->col);
    if (f->child) {
        const Child *c = f->child;
        if (!column_exists(conn, c->table, c->parent, &notnull) || (c->value && !column_exists(conn, c->table, c->value, &notnull))
            || (c->key && !column_exists(conn, c->table, c->key, &notnull)))
            g_string_append_printf(why, "%s.%s: its child table %s lacks a column\n", res->one, f->json, c->table);
    }
}

static void check_field(const Resource *res, const Field *f, size_t i, GString *why)
{
    bool writable = f->col || f->child || (f->type == T_JSON && !f->render);
    if ((f->flags & (REQUIRED | UPDATE | CREATE)) && !writable)
        g_string_append_printf(why, "%s.%s: computed, yet it can be given\n", res->one, f->json);
    if ((f->flags & REQUIRED) && f->dflt)
        g_string_append_printf(why, "%s.%s: required, yet it has a default\n", res->one, f->json);
    for (size_t k = 0; k < i; k++) {
        const Field *g = &res->fields[k];
        int since = MAX(f->since, g->since), until = MIN(f->until ? f->until : 9999, g->until ? g->until : 9999);
        if (strcmp(f->json, g->json) == 0 && since <= until)
            g_string_append_printf(why, "%s.%s: two rows of the table overlap in microversions\n", res->one, f->json);
    }
    if (f->dflt) {
        g_autoptr(json_t) d = json_parse_trusted(f->dflt);
        g_autoptr(GError) err = NULL;
        g_autoptr(Row) row = row_new(res);
        if (!d || !field_parse(row, i, d, &err))
            g_string_append_printf(why, "%s.%s: its default fails its own check: %s\n", res->one, f->json, err ? err->message : "not JSON");
    }
}

bool db_table_check(Db *db, const Resource *res, GString *why)
{
    gsize before = why->len;
    Conn *conn = db_conn(db, NULL);
    if (res->n_fields > 64 || res->n_fields < 1 || !res->fields[0].col)
        g_string_append_printf(why, "%s: the first field is the key; at most 64 fields\n", res->one);
    if (!res->dialect)
        g_string_append_printf(why, "%s: has no dialect\n", res->one);
    if (res->scope == SCOPE_NAMED && (!res->visible || !query_fragment(res->visible)))
        g_string_append_printf(why, "%s: its visibility fragment does not exist\n", res->one);
    for (EACH_FIELD(res, f, i)) {
        check_columns(conn, res, f, why);
        check_field(res, f, i, why);
    }
    return why->len == before;
}

typedef struct Checking { Conn *conn; GString *why; } Checking;

static void check_query(const char *name, const char *sql, bool fragment, void *data)
{
    Checking *c = data;
    sqlite3_stmt *st = NULL;
    if (fragment)
        return;                                  /* fragments are prepared with the lists that use them */
    if (sqlite3_prepare_v2(c->conn->db, sql, -1, &st, NULL) != SQLITE_OK)
        g_string_append_printf(c->why, "%s: %s\n", name, sqlite3_errmsg(c->conn->db));
    sqlite3_finalize(st);
}

static void check_invariant(const char *name, const char *sql, void *data)
{
    check_query(name, sql, false, data);
}

bool db_queries_check(Db *db, GString *why)
{
    gsize before = why->len;
    Checking c = { db_conn(db, NULL), why };
    query_each(check_query, &c);
    invariant_each(check_invariant, &c);
    return why->len == before;
}
