/* tests/unit/test_registry.c -- the lint over the registry: tables fit the migrated schema, statements prepare and use indexes, routes have rules. */
#include "api/api.h"
#include "core/conf.h"
#include "db/internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <glib/gstdio.h>
#include <sodium.h>
#include <stdio.h>

static char *dir;
static Db *db;

static int set_up(void **state)
{
    (void) state;
    dir = g_dir_make_tmp("nuvolet-registry-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "t.db", NULL);
    db = db_open(path, NULL);
    return db ? 0 : -1;
}

static int tear_down(void **state)
{
    (void) state;
    db_close(db);
    g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
    for (const char *n; (n = g_dir_read_name(d));) {
        g_autofree char *path = g_build_filename(dir, n, NULL);
        g_unlink(path);
    }
    return g_rmdir(dir);
}

static void tables_fit_the_schema(void **state)
{
    (void) state;
    g_autoptr(GString) why = g_string_new(NULL);
    for (const Resource *const *r = resources; *r; r++)
        db_table_check(db, *r, why);
    if (why->len)
        fail_msg("%s", why->str);
}

static void statements_prepare(void **state)
{
    (void) state;
    g_autoptr(GString) why = g_string_new(NULL);
    if (!db_queries_check(db, why))
        fail_msg("%s", why->str);
    g_autoptr(json_t) broken = db_invariants(db, NULL);
    assert_non_null(broken);
    assert_int_equal(json_array_size(broken), 0);
}

static void every_route_has_a_rule(void **state)
{
    (void) state;
    g_autoptr(GError) err = NULL;
    if (!router_start(db, &err))
        fail_msg("%s", err->message);
}

/* SQLite's plan, a line a step. */
static GString *plan_of(const char *name)
{
    g_autofree char *sql = g_strdup_printf("EXPLAIN QUERY PLAN %s", query_text(name));
    g_autoptr(Stmt) st = conn_prepare(db_conn(db, NULL), sql, NULL);
    GString *plan = g_string_new(NULL);
    assert_non_null(st);
    while (sqlite3_step(st) == SQLITE_ROW)
        g_string_append_printf(plan, "%s\n", (const char *) sqlite3_column_text(st, 3));
    return plan;
}

/* However many ports and routers are elsewhere.  A statement must say host <> '' for that, as the index does. */
static void what_is_on_a_host_is_found_by_index(void **state)
{
    static const struct { const char *statement, *step; } wants[] = {
        { "host_networks", "port_host (host=?)" },       { "host_groups", "port_host (host=?)" },
        { "host_ports", "port_host (host=?)" },          { "group_used_by_prefix", "port_host (host=?)" },
        { "network_segments_on", "port_host (host=? AND network_id=?)" },
        { "network_used_by_prefix", "port_host (host=? AND network_id=?)" },
        { "host_routers", "router_host (host=?)" },      { "host_router_count", "router_host (host=?)" },
        { "router_by_prefix", "router_host (host=?)" },  { "router_used_by_prefix", "router_host (host=?)" },
        { "network_by_prefix", "(id>? AND id<?)" },      { "group_by_prefix", "(id>? AND id<?)" },
        { "port_by_prefix", "(id>? AND id<?)" },         { "live_by_prefix", "operation_live (resource_id>? AND resource_id<?)" },
        { "router_place", "router_host (host=?)" },      { "network_host_burden", "router_host (host=?)" },
    };
    (void) state;
    for (size_t i = 0; i < G_N_ELEMENTS(wants); i++) {
        g_autoptr(GString) plan = plan_of(wants[i].statement);
        if (!strstr(plan->str, wants[i].step) || g_regex_match_simple("^SCAN (p|port|r|router)( |$)", plan->str, G_REGEX_MULTILINE, 0))
            fail_msg("%s:\n%s", wants[i].statement, plan->str);
    }
}

/* Where a route is served by the engine, its resource is in the registry: documents and schema know it. */
static void check_route(const Service *service, const Route *route, void *data)
{
    (void) service;
    (void) data;
    bool found = !route->res;
    for (const Resource *const *r = resources; *r && !found; r++)
        found = *r == route->res;
    if (!found)
        fail_msg("%s %s: resource %s is not in the registry", route->method, route->path, route->res->one);
}

static void every_resource_is_registered(void **state)
{
    (void) state;
    router_each(check_route, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_fit_the_schema), cmocka_unit_test(statements_prepare), cmocka_unit_test(every_route_has_a_rule),
        cmocka_unit_test(every_resource_is_registered), cmocka_unit_test(what_is_on_a_host_is_found_by_index),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, set_up, tear_down);
}
