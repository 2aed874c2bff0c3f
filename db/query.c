/* db/query.c -- named statements: the embedded files of db/queries/, found by name. */
#include "core/embed.h"
#include "db/internal.h"
#include <string.h>

typedef struct Named { char *name, *sql; bool fragment; } Named;

/* Splits a file at its "-- :name x" and "-- :fragment x" lines. */
static void split(const char *text, GPtrArray *out)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    GString *body = NULL;
    for (char **l = lines; *l; l++) {
        bool fragment = g_str_has_prefix(*l, "-- :fragment ");
        if (fragment || g_str_has_prefix(*l, "-- :name ")) {
            Named *n = g_new0(Named, 1);
            g_auto(GStrv) words = g_strsplit(*l, " ", -1);
            n->name = g_strdup(words[2]);
            n->fragment = fragment;
            if (body)
                ((Named *) out->pdata[out->len - 1])->sql = g_string_free(body, FALSE);
            body = g_string_new(NULL);
            g_ptr_array_add(out, n);
        } else if (body && !g_str_has_prefix(*l, "--")) {
            g_string_append(body, *l);
            g_string_append_c(body, '\n');
        }
    }
    if (body)
        ((Named *) out->pdata[out->len - 1])->sql = g_string_free(body, FALSE);
    for (guint i = 0; i < out->len; i++) {
        Named *n = out->pdata[i];
        g_strchomp(n->sql);
        if (g_str_has_suffix(n->sql, ";"))
            n->sql[strlen(n->sql) - 1] = '\0';
    }
}

/* Read once, never freed: the statements of the program. */
static GPtrArray *queries_list(void)
{
    static gsize once;
    static GPtrArray *list;
    if (g_once_init_enter(&once)) {
        const char *path;
        list = g_ptr_array_new();
        for (guint i = 0; (path = embed_path(i)); i++)
            if (g_str_has_prefix(path, "db/queries/")) {
                g_autoptr(GPtrArray) one = g_ptr_array_new();
                split(embed_get(path, NULL), one);
                g_ptr_array_extend(list, one, NULL, NULL);
            }
        g_once_init_leave(&once, 1);
    }
    return list;
}

static GHashTable *queries_by_name(void)
{
    static gsize once;
    static GHashTable *table;
    if (g_once_init_enter(&once)) {
        GPtrArray *list = queries_list();
        table = g_hash_table_new(g_str_hash, g_str_equal);
        for (guint i = 0; i < list->len; i++) {
            Named *n = list->pdata[i];
            if (!g_hash_table_insert(table, n->name, n))
                g_error("db/queries: %s is there twice", n->name);
        }
        g_once_init_leave(&once, 1);
    }
    return table;
}

static const char *named(const char *name, bool fragment)
{
    const Named *n = g_hash_table_lookup(queries_by_name(), name);
    return n && n->fragment == fragment ? n->sql : NULL;
}

const char *query_text(const char *name)
{
    return named(name, false);
}

const char *query_fragment(const char *name)
{
    return named(name, true);
}

void query_each(void (*fn)(const char *name, const char *sql, bool fragment, void *data), void *data)
{
    GPtrArray *list = queries_list();
    for (guint i = 0; i < list->len; i++) {
        Named *n = list->pdata[i];
        fn(n->name, n->sql, n->fragment, data);
    }
}

void invariant_each(void (*fn)(const char *name, const char *sql, void *data), void *data)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    split(embed_get("db/invariants.sql", NULL), list);
    for (guint i = 0; i < list->len; i++) {
        Named *n = list->pdata[i];
        fn(n->name, n->sql, data);
        g_free(n->name);
        g_free(n->sql);
        g_free(n);
    }
}

json_t *stmt_object(Stmt *st)
{
    json_t *o = json_object();
    for (int c = 0; c < sqlite3_column_count(st); c++) {
        json_t *v;
        switch (sqlite3_column_type(st, c)) {
        case SQLITE_INTEGER:
            v = json_integer(sqlite3_column_int64(st, c));
            break;
        case SQLITE_FLOAT:
            v = json_real(sqlite3_column_double(st, c));
            break;
        case SQLITE_NULL:
            v = json_null();
            break;
        default:
            v = json_string((const char *) sqlite3_column_text(st, c));
        }
        json_object_set_new_nocheck(o, sqlite3_column_name(st, c), v);
    }
    return o;
}

/* Prepares the statement called name and binds its arguments; the connection goes to ret_conn. */
static Stmt *prepare_named(Db *db, const char *name, const char *types, va_list ap, Conn **ret_conn, GError **err)
{
    const char *sql = query_text(name);
    if (!sql)
        g_error("db/queries has no statement %s", name);
    Conn *conn = db_conn(db, err);
    Stmt *st = conn ? conn_prepare(conn, sql, err) : NULL;
    if (!st)
        return NULL;
    g_assert(strlen(types) == (size_t) sqlite3_bind_parameter_count(st));
    for (int i = 0; types[i]; i++) {
        if (types[i] == 'i')
            sqlite3_bind_int64(st, i + 1, va_arg(ap, gint64));
        else
            sqlite3_bind_text(st, i + 1, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
    }
    *ret_conn = conn;
    return st;
}

#define PREPARE(types_) \
    Conn *conn = NULL; \
    va_list ap; \
    va_start(ap, types_); \
    g_autoptr(Stmt) st = prepare_named(db, name, types_, ap, &conn, err); \
    va_end(ap)

json_t *db_query(Db *db, GError **err, const char *name, const char *types, ...)
{
    PREPARE(types);
    if (!st)
        return NULL;
    json_t *rows = json_array();
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW)
        json_array_append_new(rows, stmt_object(st));
    if (rc == SQLITE_DONE)
        return rows;
    json_decref(rows);
    db_fail(conn->db, name, err);
    return NULL;
}

bool db_exec(Db *db, GError **err, const char *name, const char *types, ...)
{
    g_assert(txn_active());
    PREPARE(types);
    if (!st || !stmt_run(conn, st, name, err))
        return false;
    db_note_changes(sqlite3_changes(conn->db));
    return true;
}

bool db_query_int(Db *db, GError **err, gint64 *ret_n, const char *name, const char *types, ...)
{
    PREPARE(types);
    if (!st)
        return false;
    int rc = sqlite3_step(st);
    *ret_n = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
    return rc == SQLITE_ROW || rc == SQLITE_DONE || db_fail(conn->db, name, err);
}

bool db_query_str(Db *db, GError **err, char **ret_s, const char *name, const char *types, ...)
{
    PREPARE(types);
    if (!st)
        return false;
    int rc = sqlite3_step(st);
    *ret_s = rc == SQLITE_ROW ? g_strdup((const char *) sqlite3_column_text(st, 0)) : NULL;
    return rc == SQLITE_ROW || rc == SQLITE_DONE || db_fail(conn->db, name, err);
}
