/* db/internal.h -- what the files of db/ share: connections with their prepared statements. */
#pragma once
#include "db/db.h"
#include <sqlite3.h>

/* One SQLite connection and its statements by text. */
typedef struct Conn {
    sqlite3 *db;
    GHashTable *statements;          /* SQL text → sqlite3_stmt, idle ones only are taken */
} Conn;

/* The connection for the calling thread: the writer's inside a transaction, its own reader otherwise. */
Conn *db_conn(Db *db, GError **err);
/* A prepared statement from the cache, reset when the scope ends. */
sqlite3_stmt *conn_prepare(Conn *conn, const char *sql, GError **err);
static inline void stmt_release(sqlite3_stmt *st)
{
    if (st) {
        sqlite3_reset(st);
        sqlite3_clear_bindings(st);
    }
}
typedef sqlite3_stmt Stmt;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Stmt, stmt_release)

/* Turns SQLite's last error into ours; always false. */
bool db_fail(sqlite3 *db, const char *what, GError **err);
/* Steps a statement that returns no rows. */
bool stmt_run(Conn *conn, Stmt *st, const char *what, GError **err);
/* Runs plain SQL text without parameters. */
bool conn_exec(Conn *conn, const char *sql, GError **err);
void db_note_changes(int n);

/* Named statements and fragments of the embedded files; NULL: no such name. */
const char *query_text(const char *name);
const char *query_fragment(const char *name);
void query_each(void (*fn)(const char *name, const char *sql, bool fragment, void *data), void *data);
/* As query_each, over db/invariants.sql. */
void invariant_each(void (*fn)(const char *name, const char *sql, void *data), void *data);
/* A result row as an object column → value. */
json_t *stmt_object(Stmt *st);

bool db_migrate(Conn *conn, const char *path, GError **err);
bool conn_setup(Conn *conn, bool writer, GError **err);

/* "SELECT columns FROM table t", and one row of its result. */
GString *rows_select(const Resource *res);
Row *rows_load(const Resource *res, Stmt *st);
/* Children of a whole page, then the after_load hook. */
bool rows_complete(Db *db, const Resource *res, const Ctx *ctx, GPtrArray *rows, GError **err);
/* Appends " AND (…)": who may see (or write) rows of res. listing: administrators see their own project unless asked otherwise. */
void rows_visibility(const Resource *res, const Ctx *ctx, bool write, bool listing, GString *sql);
/* Binds :project :user :domain, :system and :reader ('1' where the token is system-scoped, has the role reader) where the statement has them. */
void rows_bind_ctx(Stmt *st, const Ctx *ctx);
void bind_text(Stmt *st, const char *name, const char *value);
