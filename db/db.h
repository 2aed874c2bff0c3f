/* db/db.h -- the database: one SQLite file, one writer, group commit; rows by table; named statements.  Nothing of SQL shows above. */
#pragma once
#include "core/row.h"

/* Opens (makes) the file with mode 0600, takes the exclusive owner lock, migrates.  NULL with err: never serves a damaged or foreign file. */
Db *db_open(const char *path, GError **err);
void db_close(Db *db);

/* Transactions.  A thread that began one uses the writer connection for everything until it ends; other threads read the last commit.
 * Several threads' transactions are committed together (savepoints, one fsync); txn_commit returns when it is durable.
 *     g_auto(Txn) txn = txn_begin(db, err);
 *     if (!txn.db || !row_insert(db, row, err)) return false;          // leaving the scope rolls back
 *     return txn_commit(&txn, err);
 * Nesting: a begin inside a transaction of the same thread joins it. */
typedef struct Txn { Db *db; bool joined; } Txn;
Txn txn_begin(Db *db, GError **err);
bool txn_commit(Txn *txn, GError **err);
void txn_end(Txn *txn);                                   /* rolls back unless committed */
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Txn, txn_end)
/* True while the calling thread is inside a transaction; agents may not be waited for then. */
bool txn_active(void);
/* Between these two, what the calling thread reads is one snapshot (taken at its first read, given up when it begins a transaction): consistent, and
 * one lock instead of one a statement.  Not for callers that wait long in between: a held snapshot keeps the log from being recycled. */
void db_snapshot_begin(Db *db);
void db_snapshot_end(Db *db);

/* Runs fn(data) after the current transaction became durable; at once when there is none.  Rolled back: drop(data) instead (NULL: nothing). */
void txn_after_commit(void (*fn)(void *data), void *data, void (*drop)(void *data));

/* Rows by table.  Writes need a transaction (asserted).  Insert writes dirty fields and children; created_at/updated_at columns are set
 * when the table has them.  Update writes only what is dirty.  A UNIQUE violation is NV_ERR_CONFLICT.
 * A before_create hook may insert its row itself, where other rows refer to it: the second insert then does nothing. */
bool row_insert(Db *db, Row *row, GError **err);
bool row_update(Db *db, Row *row, GError **err);
bool row_delete(Db *db, Row *row, GError **err);
/* By key, for the system itself: no visibility.  NULL with NV_ERR_NOT_FOUND. Children and after_load included (ctx NULL). */
Row *row_get(Db *db, const Resource *res, const char *id, GError **err);
/* The same for a reply to ctx, which may see the row (it has just written it): children and after_load get ctx. */
Row *row_get_shown(Db *db, const Resource *res, const Ctx *ctx, const char *id, GError **err);
/* By key, as ctx may see it; a foreign row is NV_ERR_NOT_FOUND.  write: as ctx may change it, and NV_ERR_PRECONDITION where it is not at the
 * revision that ctx->match asks for (so ask before anything of the row is written). */
Row *row_get_for(Db *db, const Resource *res, const Ctx *ctx, const char *id, bool write, GError **err);
/* The caller's If-Match holds for the row, or is not about it; NV_ERR_INVALID where the row shows no revision.  row_get_for asks for what is
 * written; a row that changes with its parts, or by a call that only finds it, is asked about with this. */
bool row_revision_check(const Row *row, const Ctx *ctx, const char *id, GError **err);
/* All rows where each column equals its text: rows_where(db, res, err, "network_id", id, "device_id", dev, NULL). Sorted by key.
 * No visibility.  Free with g_ptr_array_unref. */
GPtrArray *rows_where(Db *db, const Resource *res, GError **err, ...) G_GNUC_NULL_TERMINATED;

/* A caller's list. */
typedef enum { OP_EQ, OP_NE, OP_GT, OP_GE, OP_LT, OP_LE, OP_REGEX, OP_IN, OP_PREFIX } ListOp;
typedef struct ListFilter { const char *json; ListOp op; const char **values; size_t n; } ListFilter;
typedef struct ListSort { const char *json; bool desc; } ListSort;
typedef struct ListQuery {
    const ListFilter *filters; size_t n_filters;
    const ListSort *sorts; size_t n_sorts;
    const char *marker; gint64 limit;             /* limit ≥ 1 */
    bool reverse;                                 /* page_reverse: the page before the marker */
    const char *fragment;                         /* extra named condition of db/queries, or NULL */
    const char *const *fragment_args;             /* its :a1 :a2 … , NULL-terminated */
} ListQuery;
/* One page.  ret_more: another page follows.  Errors: NV_ERR_INVALID for unknown fields and markers. */
GPtrArray *rows_list(Db *db, const Resource *res, const Ctx *ctx, const ListQuery *q, bool *ret_more, GError **err);
gint64 rows_count(Db *db, const Resource *res, const Ctx *ctx, const ListQuery *q, GError **err);

/* Named statements: db/queries/NAME.sql holds them as "-- :name host_usage" and the statement below it, with ?1 ?2 … parameters.
 * types: one letter a parameter: s text (NULL → NULL), i gint64.  Every statement is prepared against the schema in the unit tests. */
json_t *db_query(Db *db, GError **err, const char *name, const char *types, ...);   /* array of objects column → value */
bool db_exec(Db *db, GError **err, const char *name, const char *types, ...);       /* in a transaction */
gint64 db_changes(Db *db);                                                          /* rows changed by this thread's last db_exec */
/* First column of the first row; *ret_n = 0 / NULL string when there is no row.  db_query_str: caller frees. */
bool db_query_int(Db *db, GError **err, gint64 *ret_n, const char *name, const char *types, ...);
bool db_query_str(Db *db, GError **err, char **ret_s, const char *name, const char *types, ...);

/* Runs db/invariants.sql: array of {"invariant", "row"} for each row found: must be empty. */
json_t *db_invariants(Db *db, GError **err);
/* Checks a resource's table against the schema and itself (DESIGN §4); appends one line a fault to why. */
bool db_table_check(Db *db, const Resource *res, GString *why);
/* Prepares every named statement; appends failures to why. */
bool db_queries_check(Db *db, GString *why);
/* Bumped by every commit. */
guint64 db_generation(Db *db);
/* A stamp (never 0) such that what is read after this call is still true as long as a later call gives the same stamp; false while a commit is
 * under way, when nothing can be said. */
bool db_stable(Db *db, guint64 *ret_stamp);
