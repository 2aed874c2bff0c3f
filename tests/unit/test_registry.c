/* tests/unit/test_registry.c -- the lint over the registry: tables fit the migrated schema, statements prepare and use indexes, routes have rules. */
#include "api/api.h"
#include "core/conf.h"
#include "db/internal.h"
#include "network/network.h"
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
static GString *plan_of(const char *text)
{
    g_autofree char *sql = g_strdup_printf("EXPLAIN QUERY PLAN %s", text);
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
        g_autoptr(GString) plan = plan_of(query_text(wants[i].statement));
        if (!strstr(plan->str, wants[i].step) || g_regex_match_simple("^SCAN (p|port|r|router)( |$)", plan->str, G_REGEX_MULTILINE, 0))
            fail_msg("%s:\n%s", wants[i].statement, plan->str);
    }
}

static void an_address_is_found_by_subnet(void **state)
{
    (void) state;
    g_autoptr(GString) plan = plan_of(query_text("explain_elsewhere"));
    if (!strstr(plan->str, "SEARCH a USING INDEX ip_allocation_address (subnet_id=? AND address=?)"))
        fail_msg("%s", plan->str);
}

/* Many values of a filter are looked up as one is. */
static void lists_of_many_values_use_indexes(void **state)
{
    static const char *const roles[] = { NULL };
    static const Ctx admin = { .project_id = "p", .admin = true, .roles = roles };
    const char *values[] = { "a", "b" };
    static const struct { const char *filter; size_t n; const char *step; } wants[] = {
        { "network_id", 1, "(network_id=?)" }, { "network_id", 2, "(network_id=?)" }, { "qos_policy_id", 2, "port_qos (qos_policy_id=?)" },
        { "id", 2, "(id=?)" },
    };
    (void) state;
    for (size_t i = 0; i < G_N_ELEMENTS(wants); i++) {
        const ListFilter filter = { wants[i].filter, OP_IN, values, wants[i].n };
        const ListQuery q = { .filters = &filter, .n_filters = 1, .limit = 1 };
        GHashTable *known = db_conn(db, NULL)->statements;
        bool more;
        g_hash_table_remove_all(known);
        g_autoptr(GPtrArray) rows = rows_list(db, &port_resource, &admin, &q, &more, NULL);
        assert_non_null(rows);
        g_autofree char *text = NULL;
        GHashTableIter all;
        g_hash_table_iter_init(&all, known);
        for (gpointer sql; g_hash_table_iter_next(&all, &sql, NULL);)
            if (strstr(sql, " FROM port t "))
                text = g_strdup(sql);
        g_autoptr(GString) plan = plan_of(text);
        if (!strstr(plan->str, wants[i].step))
            fail_msg("%s of %zu:\n%s", wants[i].filter, wants[i].n, plan->str);
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
        cmocka_unit_test(an_address_is_found_by_subnet), cmocka_unit_test(lists_of_many_values_use_indexes),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, set_up, tear_down);
}
