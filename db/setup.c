/* db/setup.c -- what each new connection is told, the functions SQL may use, and migrations. */
#include "core/clock.h"
#include "core/embed.h"
#include "core/ip.h"
#include "core/log.h"
#include "db/internal.h"
#include <regex.h>
#include <stdlib.h>
#include <string.h>

static void regex_drop(void *re)
{
    regfree(re);
    g_free(re);
}

/* Counted repeats, whose automata can grow without bound; repeats of repeats, each level of which doubles the automaton; and back references,
 * which are searched for by trying. */
static bool too_clever(const char *pattern)
{
    enum { NESTED_MAX = 4 };
    int nested = 0;
    char before = 0;
    for (const char *p = pattern; *p; before = *p++) {
        if (*p == '{' || (*p == '\\' && (!*++p || g_ascii_isdigit(*p))))
            return true;
        nested += strchr("*+?", *p) && before && strchr(")*+?", before);
    }
    return nested > NESTED_MAX || strlen(pattern) > 255;
}

/* text REGEXP pattern, for Nova's name= filters.  POSIX extended; what is too clever or is no expression is looked for as it stands. */
static void sql_regexp(sqlite3_context *c, int argc, sqlite3_value **argv)
{
    (void) argc;
    const char *pattern = (const char *) sqlite3_value_text(argv[0]), *text = (const char *) sqlite3_value_text(argv[1]);
    regex_t *re = sqlite3_get_auxdata(c, 0);
    if (!pattern || !text) {
        sqlite3_result_int(c, 0);
        return;
    }
    if (!re) {
        re = g_new0(regex_t, 1);
        if (too_clever(pattern) || regcomp(re, pattern, REG_EXTENDED | REG_NOSUB | REG_ICASE)) {
            g_free(re);
            sqlite3_result_int(c, strstr(text, pattern) != NULL);
            return;
        }
        sqlite3_set_auxdata(c, 0, re, regex_drop);
        re = sqlite3_get_auxdata(c, 0);
        if (!re) {
            sqlite3_result_error_nomem(c);
            return;
        }
    }
    sqlite3_result_int(c, regexec(re, text, 0, NULL, 0) == 0);
}

/* now_us(): the wall clock of core/clock.h. */
static void sql_now(sqlite3_context *c, int argc, sqlite3_value **argv)
{
    (void) argc;
    (void) argv;
    sqlite3_result_int64(c, clock_wall_us());
}

/* cidr_spelled(prefix) of core/ip.h; what is no prefix stays. */
static void sql_cidr(sqlite3_context *c, int argc, sqlite3_value **argv)
{
    (void) argc;
    char *text = cidr_spelled((const char *) sqlite3_value_text(argv[0]));
    if (text)
        sqlite3_result_text(c, text, -1, g_free);
    else
        sqlite3_result_value(c, argv[0]);
}

bool conn_setup(Conn *conn, bool writer, GError **err)
{
    sqlite3_busy_timeout(conn->db, 5000);
    sqlite3_limit(conn->db, SQLITE_LIMIT_ATTACHED, writer ? 1 : 0);
    sqlite3_db_config(conn->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_create_function(conn->db, "regexp", 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, sql_regexp, NULL, NULL);
    sqlite3_create_function(conn->db, "now_us", 0, SQLITE_UTF8, NULL, sql_now, NULL, NULL);
    sqlite3_create_function(conn->db, "cidr_spelled", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, sql_cidr, NULL, NULL);
    /* Only the writer checkpoints: SQLite before 3.51.3 can lose pages when a write races another connection's checkpoint. */
    return conn_exec(conn, writer ? "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON;"
                                    "PRAGMA wal_autocheckpoint=1000; PRAGMA journal_size_limit=16777216; PRAGMA cache_size=-4096;"
                                  : "PRAGMA query_only=ON; PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-2048;", err);
}

static bool pragma_int(Conn *conn, const char *sql, gint64 *ret_n, GError **err)
{
    sqlite3_stmt *st = NULL;
    bool ok = sqlite3_prepare_v2(conn->db, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW;
    *ret_n = ok ? sqlite3_column_int64(st, 0) : 0;
    if (!ok)
        db_fail(conn->db, sql, err);
    sqlite3_finalize(st);
    return ok;
}

/* A damaged file is never served: the operator gets the last copy's place instead. */
static bool check_file(Conn *conn, const char *path, GError **err)
{
    sqlite3_stmt *st = NULL;
    bool ok = sqlite3_prepare_v2(conn->db, "PRAGMA quick_check(1)", -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW
           && strcmp((const char *) sqlite3_column_text(st, 0), "ok") == 0;
    sqlite3_finalize(st);
    return ok || nv_fail(err, NV_ERR_INTERNAL, "%s is damaged; restore a copy (%s.before-*) or another backup before starting", path, path);
}

static bool apply(Conn *conn, gint64 have, gint64 *ret_version, GError **err)
{
    const char *path;
    for (guint i = 0; (path = embed_path(i)); i++) {
        if (!g_str_has_prefix(path, "db/migrations/"))
            continue;
        gint64 n = g_ascii_strtoll(path + strlen("db/migrations/"), NULL, 10);
        if (n <= have)
            continue;
        if (!conn_exec(conn, embed_get(path, NULL), err)) {
            g_prefix_error(err, "%s: ", path);
            return false;
        }
        *ret_version = n;
    }
    return true;
}

static gint64 newest(void)
{
    gint64 max = 0;
    const char *path;
    for (guint i = 0; (path = embed_path(i)); i++)
        if (g_str_has_prefix(path, "db/migrations/"))
            max = MAX(max, g_ascii_strtoll(path + strlen("db/migrations/"), NULL, 10));
    return max;
}

bool db_migrate(Conn *conn, const char *path, GError **err)
{
    gint64 have, version;
    if (!check_file(conn, path, err) || !pragma_int(conn, "PRAGMA user_version", &have, err))
        return false;
    version = have;
    if (have > newest())
        return nv_fail(err, NV_ERR_CONFLICT, "%s was made by a newer Nuvolet (schema %d, this one knows %d)", path, (int) have, (int) newest());
    if (have == newest())
        return true;
    if (have > 0) {
        g_autofree char *copy = g_strdup_printf("VACUUM INTO '%s.before-%d'", path, (int) newest());
        if (!conn_exec(conn, copy, err))
            return false;
    }
    if (!conn_exec(conn, "BEGIN IMMEDIATE", err))
        return false;
    g_autofree char *mark = NULL;
    if (!apply(conn, have, &version, err) || !conn_exec(conn, (mark = g_strdup_printf("PRAGMA user_version=%d", (int) version)), err)
        || !conn_exec(conn, "COMMIT", err)) {
        conn_exec(conn, "ROLLBACK", NULL);
        return false;
    }
    log_info("db.migrated", "from", LOG_INT(have), "to", LOG_INT(version), NULL);
    return true;
}
