/* tests/bench/floor_sqlite.c -- the floor of durable writes: one connection, one row a transaction, synchronous=FULL.  FILE SECONDS → commits a second. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    sqlite3 *db;
    sqlite3_stmt *st = NULL;
    if (argc != 3 || sqlite3_open(argv[1], &db) != SQLITE_OK)
        return 2;
    sqlite3_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t(id TEXT PRIMARY KEY, body TEXT)", NULL, NULL, NULL);
    if (sqlite3_prepare_v2(db, "INSERT INTO t VALUES(hex(randomblob(16)), hex(randomblob(200)))", -1, &st, NULL) != SQLITE_OK)
        return 1;
    double begin = now(), end = begin + strtod(argv[2], NULL);
    long n = 0;
    for (; now() < end; n++) {
        if (sqlite3_step(st) != SQLITE_DONE)
            return 1;
        sqlite3_reset(st);
    }
    printf("%.0f\n", (double) n / (now() - begin));
    sqlite3_finalize(st);
    sqlite3_close(db);
    return 0;
}
