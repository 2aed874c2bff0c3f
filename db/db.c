/* db/db.c -- connections, the one writer, and group commit. */
#include "db/internal.h"
#include "core/fault.h"
#include "core/log.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BATCH_MAX = 64, STATEMENTS_MAX = 512 };

/* Transactions that are made durable by one COMMIT.  Members that are not its leader wait on it. */
typedef struct Batch {
    int refs;                        /* under Db.batch_lock */
    bool done, ok;
    int members;                     /* under Db.write_lock */
} Batch;

struct Db {
    char *path;
    int lock_fd;
    Conn writer;
    GMutex write_lock;               /* held from begin to commit or hand-over */
    int waiting;                     /* threads at the door of write_lock; atomic */
    Batch *batch;                    /* open transaction on the writer, or NULL */
    GMutex batch_lock;
    GCond batch_done;
    guint64 generation;              /* atomic; odd while a commit is under way */
    GMutex readers_lock;
    GPtrArray *readers;              /* all reader connections, to close them in the end */
};

typedef struct AfterCommit { void (*fn)(void *data); void *data; void (*drop)(void *data); } AfterCommit;

/* What a thread has to do with the database. */
typedef struct Thread {
    Db *db;
    Conn *reader;
    bool in_txn;
    bool wants_snapshot, has_snapshot;
    GArray *after;                   /* AfterCommit */
    int changes;
} Thread;

static void thread_free(void *p)
{
    Thread *t = p;
    if (t->after)
        g_array_unref(t->after);
    g_free(t);
}

static GPrivate thread_key = G_PRIVATE_INIT(thread_free);

static Thread *thread_self(void)
{
    Thread *t = g_private_get(&thread_key);
    if (!t) {
        t = g_new0(Thread, 1);
        t->after = g_array_new(FALSE, FALSE, sizeof(AfterCommit));
        g_private_set(&thread_key, t);
    }
    return t;
}

bool db_fail(sqlite3 *db, const char *what, GError **err)
{
    int code = sqlite3_extended_errcode(db);
    const char *text = sqlite3_errmsg(db);
    if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY)
        return nv_fail(err, NV_ERR_CONFLICT, "already exists (%s)", strrchr(text, ':') ? strrchr(text, ':') + 2 : what);
    if (code == SQLITE_CONSTRAINT_FOREIGNKEY)
        return nv_fail(err, NV_ERR_CONFLICT, "%s: it refers to something that does not exist, or is still referred to", what);
    if ((code & 0xff) == SQLITE_FULL || code == SQLITE_IOERR_WRITE)
        return nv_fail(err, NV_ERR_NO_SPACE, "the disk with the database is full");
    if ((code & 0xff) == SQLITE_BUSY)
        return nv_fail(err, NV_ERR_UNAVAILABLE, "the database is busy");
    return nv_fail(err, NV_ERR_INTERNAL, "%s: %s", what, text);
}

static void finalize(void *st)
{
    sqlite3_finalize(st);
}

static bool conn_open(Conn *conn, const char *path, bool writer, GError **err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (writer ? SQLITE_OPEN_CREATE : 0);
    conn->statements = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, finalize);
    if (sqlite3_open_v2(path, &conn->db, flags, NULL) != SQLITE_OK)
        return nv_fail(err, NV_ERR_INTERNAL, "%s: %s", path, sqlite3_errmsg(conn->db));
    return conn_setup(conn, writer, err);
}

static void conn_close(Conn *conn)
{
    if (conn->statements)
        g_hash_table_unref(conn->statements);
    sqlite3_close(conn->db);
}

bool conn_exec(Conn *conn, const char *sql, GError **err)
{
    return sqlite3_exec(conn->db, sql, NULL, NULL, NULL) == SQLITE_OK || db_fail(conn->db, "database", err);
}

static gboolean is_idle(gpointer sql, gpointer st, gpointer data)
{
    (void) sql;
    (void) data;
    return !sqlite3_stmt_busy(st);
}

/* Lists and updates have as many texts as there are choices of fields.  Only where nobody holds a statement that is not stepped yet. */
static void forget_idle(Conn *conn)
{
    if (g_hash_table_size(conn->statements) >= STATEMENTS_MAX)
        g_hash_table_foreach_remove(conn->statements, is_idle, NULL);
}

sqlite3_stmt *conn_prepare(Conn *conn, const char *sql, GError **err)
{
    sqlite3_stmt *st = g_hash_table_lookup(conn->statements, sql);
    if (st && !sqlite3_stmt_busy(st))
        return st;
    if (!txn_active())
        forget_idle(conn);
    g_assert(!st);                               /* a statement is never used again before it is reset */
    if (sqlite3_prepare_v3(conn->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL) != SQLITE_OK) {
        db_fail(conn->db, sql, err);
        return NULL;
    }
    g_hash_table_insert(conn->statements, g_strdup(sql), st);
    return st;
}

bool stmt_run(Conn *conn, Stmt *st, const char *what, GError **err)
{
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW)
        ;
    return rc == SQLITE_DONE || db_fail(conn->db, what, err);
}

/* Two controllers on one database would undo each other's work: the file's lock is held for the life of the process. */
static bool owner_lock(Db *db, GError **err)
{
    g_autofree char *path = g_strconcat(db->path, ".lock", NULL);
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    db->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (db->lock_fd < 0)
        return nv_fail_errno(err, NV_ERR_INTERNAL, "%s", path);
    if (fcntl(db->lock_fd, F_OFD_SETLK, &whole) < 0)
        return nv_fail(err, NV_ERR_CONFLICT, "%s is in use by another nuvolet serve", db->path);
    return true;
}

Db *db_open(const char *path, GError **err)
{
    Db *db = g_new0(Db, 1);
    mode_t old = umask(0077);
    db->path = g_strdup(path);
    db->lock_fd = -1;
    db->readers = g_ptr_array_new();
    bool ok = owner_lock(db, err) && conn_open(&db->writer, path, true, err) && db_migrate(&db->writer, path, err);
    umask(old);
    if (!ok) {
        db_close(db);
        return NULL;
    }
    return db;
}

void db_close(Db *db)
{
    Thread *t = thread_self();
    for (guint i = 0; i < db->readers->len; i++) {
        conn_close(db->readers->pdata[i]);
        g_free(db->readers->pdata[i]);
    }
    if (t->db == db) {
        t->db = NULL;
        t->reader = NULL;
    }
    g_ptr_array_unref(db->readers);
    conn_close(&db->writer);
    if (db->lock_fd >= 0)
        close(db->lock_fd);
    g_free(db->path);
    g_free(db);
}

/* A statement without parameters and rows, prepared once. */
static bool run_plain(Conn *conn, const char *sql, GError **err)
{
    g_autoptr(Stmt) st = conn_prepare(conn, sql, err);
    return st && stmt_run(conn, st, "database", err);
}

static void snapshot_drop(Thread *t)
{
    if (t->has_snapshot)
        run_plain(t->reader, "COMMIT", NULL);
    t->has_snapshot = false;
}

void db_snapshot_begin(Db *db)
{
    (void) db;
    thread_self()->wants_snapshot = true;
}

void db_snapshot_end(Db *db)
{
    Thread *t = thread_self();
    (void) db;
    snapshot_drop(t);
    t->wants_snapshot = false;
}

Conn *db_conn(Db *db, GError **err)
{
    Thread *t = thread_self();
    if (t->in_txn)
        return &db->writer;
    if (t->db == db && t->reader) {
        if (t->wants_snapshot && !t->has_snapshot)
            t->has_snapshot = run_plain(t->reader, "BEGIN", NULL);
        return t->reader;
    }
    Conn *conn = g_new0(Conn, 1);
    if (!conn_open(conn, db->path, false, err)) {
        conn_close(conn);
        g_free(conn);
        return NULL;
    }
    g_mutex_lock(&db->readers_lock);
    g_ptr_array_add(db->readers, conn);
    g_mutex_unlock(&db->readers_lock);
    t->db = db;
    t->reader = conn;
    return conn;
}

bool txn_active(void)
{
    return thread_self()->in_txn;
}

static void batch_unref(Db *db, Batch *b)
{
    g_mutex_lock(&db->batch_lock);
    bool last = --b->refs == 0;
    g_mutex_unlock(&db->batch_lock);
    if (last)
        g_free(b);
}

/* Ends the open transaction for all its members and wakes them.  Holds write_lock. */
static void batch_finish(Db *db, GError **err)
{
    Batch *b = db->batch;
    /* A failure inside a savepoint (disk full …) may have rolled back everything: nothing is left to commit then. */
    bool lost = sqlite3_get_autocommit(db->writer.db);
    __atomic_add_fetch(&db->generation, 1, __ATOMIC_SEQ_CST);
    bool ok = !lost && run_plain(&db->writer, "COMMIT", err);
    if (lost)
        nv_fail(err, NV_ERR_UNAVAILABLE, "the database rolled the transaction back");
    if (!ok && !sqlite3_get_autocommit(db->writer.db))
        conn_exec(&db->writer, "ROLLBACK", NULL);
    __atomic_add_fetch(&db->generation, 1, __ATOMIC_SEQ_CST);
    db->batch = NULL;
    g_mutex_lock(&db->batch_lock);
    b->done = true;
    b->ok = ok;
    g_cond_broadcast(&db->batch_done);
    g_mutex_unlock(&db->batch_lock);
    batch_unref(db, b);
}

static Batch *batch_ref(Db *db, Batch *b)
{
    g_mutex_lock(&db->batch_lock);
    b->refs++;
    g_mutex_unlock(&db->batch_lock);
    return b;
}

static void batch_wait(Db *db, const Batch *b)
{
    g_mutex_lock(&db->batch_lock);
    while (!b->done)
        g_cond_wait(&db->batch_done, &db->batch_lock);
    g_mutex_unlock(&db->batch_lock);
}

/* The thread leaves the transaction.  Who finds nobody waiting at the door, or the batch full, commits for all. */
static bool batch_leave(Db *db, bool member, GError **err)
{
    Batch *b = batch_ref(db, db->batch);
    b->members += member;
    bool leader = g_atomic_int_get(&db->waiting) == 0 || b->members >= BATCH_MAX || sqlite3_get_autocommit(db->writer.db);
    bool ok = true;
    if (leader)
        batch_finish(db, member ? err : NULL);
    g_mutex_unlock(&db->write_lock);
    if (member) {
        batch_wait(db, b);
        ok = b->ok || leader || nv_fail(err, NV_ERR_UNAVAILABLE, "the transaction could not be made durable");
        ok = ok && b->ok;
    }
    batch_unref(db, b);
    return ok;
}

Txn txn_begin(Db *db, GError **err)
{
    Thread *t = thread_self();
    if (t->in_txn)
        return (Txn){ .db = db, .joined = true };
    snapshot_drop(t);
    g_atomic_int_inc(&db->waiting);
    g_mutex_lock(&db->write_lock);
    g_atomic_int_add(&db->waiting, -1);
    if (!db->batch) {
        forget_idle(&db->writer);
        if (!run_plain(&db->writer, "BEGIN IMMEDIATE", err)) {
            g_mutex_unlock(&db->write_lock);
            return (Txn){ .db = NULL };
        }
        db->batch = g_new0(Batch, 1);
        db->batch->refs = 1;
    }
    if (!run_plain(&db->writer, "SAVEPOINT member", err)) {
        batch_leave(db, false, NULL);            /* others may be waiting for the batch: somebody must commit it */
        return (Txn){ .db = NULL };
    }
    t->in_txn = true;
    return (Txn){ .db = db };
}

static void run_after(const GArray *after, bool committed)
{
    for (guint i = 0; i < after->len; i++) {
        const AfterCommit *a = &g_array_index(after, AfterCommit, i);
        void (*fn)(void *data) = committed ? a->fn : a->drop;
        if (fn)
            fn(a->data);
    }
}

bool txn_commit(Txn *txn, GError **err)
{
    Db *db = txn->db;
    Thread *t = thread_self();
    g_assert(db && t->in_txn);
    txn->db = NULL;
    if (txn->joined)
        return true;
    bool released = run_plain(&db->writer, "RELEASE member", err);
    t->in_txn = false;
    bool ok = batch_leave(db, released, err) && released;
    g_autoptr(GArray) after = t->after;
    t->after = g_array_new(FALSE, FALSE, sizeof(AfterCommit));
    run_after(after, ok);
    return ok;
}

void txn_end(Txn *txn)
{
    Db *db = txn->db;
    Thread *t = thread_self();
    txn->db = NULL;
    if (!db || txn->joined)
        return;
    if (!sqlite3_get_autocommit(db->writer.db))
        conn_exec(&db->writer, "ROLLBACK TO member; RELEASE member", NULL);
    t->in_txn = false;
    batch_leave(db, false, NULL);
    run_after(t->after, false);
    g_array_set_size(t->after, 0);
}

void txn_after_commit(void (*fn)(void *data), void *data, void (*drop)(void *data))
{
    Thread *t = thread_self();
    AfterCommit a = { fn, data, drop };
    if (t->in_txn)
        g_array_append_val(t->after, a);
    else
        fn(data);
}

guint64 db_generation(Db *db)
{
    return __atomic_load_n(&db->generation, __ATOMIC_SEQ_CST) / 2;
}

bool db_stable(Db *db, guint64 *ret_stamp)
{
    guint64 g = __atomic_load_n(&db->generation, __ATOMIC_SEQ_CST);
    *ret_stamp = g % 2 ? 0 : g + 2;
    return *ret_stamp;
}

gint64 db_changes(Db *db)
{
    (void) db;
    return thread_self()->changes;
}

void db_note_changes(int n)
{
    thread_self()->changes = n;
}
