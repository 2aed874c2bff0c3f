/* tests/unit/test_registry.c -- the lint over the registry: every table fits the migrated schema, every statement prepares, every route has a rule. */
#include "api/api.h"
#include "core/conf.h"
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
        cmocka_unit_test(every_resource_is_registered),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, set_up, tear_down);
}
