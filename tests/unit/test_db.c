/* tests/unit/test_db.c -- rows by table: bodies in, SQL, lists out; and group commit under threads and failure. */
#include "core/call.h"
#include "core/dialect.h"
#include "db/internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <glib/gstdio.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

typedef struct Thing {
    Row row;
    char *id, *project_id, *name, *gateway;
    gint64 size, created_at, updated_at;
    bool on;
    json_t *list, *tags, *meta;
} Thing;

static const Child tags_child = { CHILD_STRINGS, "thing_tag", "thing_id", NULL, "tag", NULL };
static const Child meta_child = { CHILD_MAP, "thing_meta", "thing_id", "k", "v", NULL };
static const Range sizes = { 1, 9 };

static void render_old(const Row *row, const Ctx *ctx, JsonW *w)
{
    (void) row;
    (void) ctx;
    jw_str(w, "old");
}

static void render_new(const Row *row, const Ctx *ctx, JsonW *w)
{
    (void) row;
    (void) ctx;
    jw_object(w);
    jw_end_object(w);
}

/* clang-format off */
static const Field fields[] = {
    STR  (Thing, id,         "id",         FILTER | SORT | BRIEF),
    STR  (Thing, project_id, "project_id", CREATE | ADMIN | FILTER),
    STR  (Thing, name,       "name",       CREATE | UPDATE | FILTER | SORT | BRIEF, .check = check_name, .dflt = "\"\""),
    STR  (Thing, gateway,    "gateway",    CREATE | UPDATE | NULLABLE | FILTER),
    INT  (Thing, size,       "size",       CREATE | REQUIRED | FILTER | SORT, .check = check_range, .arg = &sizes),
    BOOL (Thing, on,         "on",         CREATE | UPDATE | FILTER, .dflt = "true"),
    JSON (Thing, list,       "list",       CREATE | UPDATE, .dflt = "[]"),
    TIME (Thing, created_at, "created_at", SORT),
    TIME (Thing, updated_at, "updated_at", SORT),
    CHILD(Thing, tags,       "tags",       CREATE | UPDATE | FILTER, &tags_child, .check = check_tags),
    CHILD(Thing, meta,       "meta",       CREATE | UPDATE, &meta_child, .check = check_string_map),
    COMPUTED("shape", render_old, .until = MV(46)),
    COMPUTED("shape", render_new, .since = MV(47)),
};
/* clang-format on */
static const Resource things = { .one = "thing", .many = "things", .table = "thing", .dialect = &dialect_neutron, .size = sizeof(Thing), FIELDS(fields) };

static const char *const no_roles[] = { NULL };
static const Ctx mine = { .project_id = "p1", .mv = 60, .roles = no_roles }, other = { .project_id = "p2", .mv = 60, .roles = no_roles };
static const Ctx boss = { .project_id = "p9", .admin = true, .mv = 60, .roles = no_roles };

static char *dir;
static Db *db;

static int set_up(void **state)
{
    (void) state;
    dir = g_dir_make_tmp("nuvolet-db-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "t.db", NULL);
    g_autoptr(GError) err = NULL;
    db = db_open(path, &err);
    assert_null(err);
    g_auto(Txn) txn = txn_begin(db, &err);
    assert_true(conn_exec(db_conn(db, NULL),
                          "CREATE TABLE thing(id TEXT PRIMARY KEY, project_id TEXT NOT NULL, name TEXT NOT NULL UNIQUE, gateway TEXT, size INTEGER NOT NULL,"
                          " \"on\" INTEGER NOT NULL, list TEXT NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL) STRICT;"
                          "CREATE TABLE thing_tag(thing_id TEXT NOT NULL REFERENCES thing(id) ON DELETE CASCADE, tag TEXT NOT NULL) STRICT;"
                          "CREATE TABLE thing_meta(thing_id TEXT NOT NULL REFERENCES thing(id) ON DELETE CASCADE, k TEXT NOT NULL, v TEXT NOT NULL) STRICT;", &err));
    assert_true(txn_commit(&txn, &err));
    return 0;
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
    g_rmdir(dir);
    g_clear_pointer(&dir, g_free);
    return 0;
}

static Thing *parse(const Ctx *ctx, const char *text, GError **err)
{
    g_autoptr(json_t) body = json_parse_trusted(text);
    g_autoptr(Row) row = row_new(&things);
    return row_parse(row, body, ctx, CREATE, err) ? (Thing *) g_steal_pointer(&row) : NULL;
}

static void add(const char *id, const char *project, const char *text)
{
    g_autoptr(GError) err = NULL;
    Thing *t = parse(&boss, text, &err);
    assert_non_null(t);
    ROW_SET_STR(t, id, id);
    ROW_SET_STR(t, project_id, project);
    g_auto(Txn) txn = txn_begin(db, &err);
    assert_true(row_insert(db, &t->row, &err));
    assert_true(txn_commit(&txn, &err));
    row_free(&t->row);
}

static char *text_of(const Row *row, const Ctx *ctx)
{
    GString *out = g_string_new(NULL);
    JsonW w = JSONW(out);
    row_render(row, ctx, &w, false);
    return g_string_free(out, FALSE);
}

static void bad_bodies_name_the_field(void **state)
{
    (void) state;
    static const struct { const char *body, *needle; NvErr code; } bad[] = {
        { "{}", "size", NV_ERR_INVALID },
        { "{\"size\":0}", "size", NV_ERR_INVALID },
        { "{\"size\":10}", "size", NV_ERR_INVALID },
        { "{\"size\":1.5}", "size", NV_ERR_INVALID },
        { "{\"size\":null}", "size", NV_ERR_INVALID },
        { "{\"size\":1,\"bogus\":1}", "bogus", NV_ERR_INVALID },
        { "{\"size\":1,\"name\":7}", "name", NV_ERR_INVALID },
        { "{\"size\":1,\"name\":\"a\\u0001\"}", "name", NV_ERR_INVALID },
        { "{\"size\":1,\"project_id\":\"p9\"}", "project_id", NV_ERR_FORBIDDEN },
        { "{\"size\":1,\"id\":\"x\"}", "id", NV_ERR_INVALID },
        { "{\"size\":1,\"created_at\":\"2020-01-01T00:00:00Z\"}", "created_at", NV_ERR_INVALID },
        { "{\"size\":1,\"tags\":[\"a\",\"a\"]}", "tags", NV_ERR_INVALID },
        { "{\"size\":1,\"on\":\"maybe\"}", "on", NV_ERR_INVALID },
        { "{\"size\":1,\"shape\":1}", "shape", NV_ERR_INVALID },
        { "[]", "thing", NV_ERR_INVALID },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;
        assert_null(parse(&mine, bad[i].body, &err));
        assert_int_equal(nv_error_code(err), bad[i].code);
        assert_non_null(strstr(err->message, bad[i].needle));
    }
}

static void absent_null_and_value_differ(void **state)
{
    (void) state;
    Thing *absent = parse(&mine, "{\"size\":1}", NULL), *null = parse(&mine, "{\"size\":1,\"gateway\":null}", NULL);
    assert_false(row_knows(&absent->row, &absent->gateway));
    assert_true(row_knows(&null->row, &null->gateway) && row_is_null(&null->row, &null->gateway));
    row_free(&absent->row);
    row_free(&null->row);
}

static void stored_and_read_back(void **state)
{
    (void) state;
    add("a", "p1", "{\"size\":3,\"name\":\"x\\\"y\",\"tags\":[\"t1\",\"t2\"],\"meta\":{\"k\":\"v\"},\"list\":[1,{\"a\":null}]}");
    g_autoptr(GError) err = NULL;
    g_autoptr(Row) row = row_get_for(db, &things, &mine, "a", false, &err);
    g_autofree char *text = text_of(row, &mine);
    g_autoptr(json_t) j = json_parse_trusted(text);
    assert_string_equal(json_get_str(j, "name"), "x\"y");
    assert_int_equal(json_array_size(json_object_get(j, "tags")), 2);
    assert_string_equal(json_get_str(json_object_get(j, "meta"), "k"), "v");
    assert_true(json_is_null(json_object_get(j, "gateway")));
    assert_true(json_is_object(json_object_get(j, "shape")));
    Ctx old = mine;
    old.mv = 46;
    g_autofree char *text46 = text_of(row, &old);
    assert_non_null(strstr(text46, "\"shape\":\"old\""));
}

static void foreign_rows_are_not_there(void **state)
{
    (void) state;
    add("a", "p1", "{\"size\":3,\"name\":\"n\"}");
    g_autoptr(GError) foreign = NULL, missing = NULL;
    assert_null(row_get_for(db, &things, &other, "a", false, &foreign));
    assert_null(row_get_for(db, &things, &mine, "b", false, &missing));
    assert_int_equal(nv_error_code(foreign), NV_ERR_NOT_FOUND);
    assert_string_equal(foreign->message, "thing a could not be found.");
    assert_string_equal(missing->message, "thing b could not be found.");
    g_autoptr(Row) seen = row_get_for(db, &things, &boss, "a", true, NULL);
    assert_non_null(seen);
}

static void update_writes_only_what_changed(void **state)
{
    (void) state;
    add("a", "p1", "{\"size\":3,\"name\":\"n\",\"gateway\":\"g\",\"tags\":[\"t\"]}");
    g_autoptr(GError) err = NULL;
    g_autoptr(json_t) body = json_parse_trusted("{\"gateway\":null,\"tags\":[\"u\",\"v\"]}");
    g_auto(Txn) txn = txn_begin(db, &err);
    g_autoptr(Row) row = row_get_for(db, &things, &mine, "a", true, &err);
    assert_true(row_parse(row, body, &mine, UPDATE, &err) && row_update(db, row, &err) && txn_commit(&txn, &err));
    g_autoptr(Row) again = row_get(db, &things, "a", &err);
    Thing *t = (Thing *) again;
    assert_string_equal(t->name, "n");
    assert_null(t->gateway);
    assert_int_equal(json_array_size(t->tags), 2);
    assert_true(t->updated_at > t->created_at);
}

static char *ids(const Ctx *ctx, const ListQuery *q, bool *more)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GPtrArray) rows = rows_list(db, &things, ctx, q, more, &err);
    assert_null(err);
    GString *out = g_string_new(NULL);
    for (guint i = 0; i < rows->len; i++)
        g_string_append(out, ((Thing *) rows->pdata[i])->id);
    return g_string_free(out, FALSE);
}

static void lists_page_sort_and_filter(void **state)
{
    (void) state;
    static const char *const sizes_text[] = { "2", "1", "2", "1", "2" };
    for (int i = 0; i < 5; i++) {
        g_autofree char *id = g_strdup_printf("%c", 'a' + i), *body = g_strdup_printf("{\"size\":%s,\"name\":\"n%d\"%s}", sizes_text[i], i, i == 4 ? ",\"tags\":[\"hot\"]" : "");
        add(id, i == 3 ? "p2" : "p1", body);
    }
    bool more;
    ListSort sort = { "size", true };
    ListQuery q = { .limit = 2, .sorts = &sort, .n_sorts = 1 };
    g_autofree char *one = ids(&mine, &q, &more);
    assert_string_equal(one, "ec");
    assert_true(more);
    q.marker = "c";
    g_autofree char *two = ids(&mine, &q, &more);
    assert_string_equal(two, "ab");
    assert_false(more);
    q.marker = "b";
    q.reverse = true;
    g_autofree char *back = ids(&mine, &q, &more);
    assert_string_equal(back, "ca");
    const char *two_values[] = { "1" }, *hot[] = { "hot" };
    ListFilter by_size = { "size", OP_EQ, two_values, 1 }, by_tag = { "tags", OP_EQ, hot, 1 };
    ListQuery filtered = { .limit = 10, .filters = &by_size, .n_filters = 1 };
    g_autofree char *ones = ids(&boss, &filtered, &more);
    assert_string_equal(ones, "bd");
    filtered.filters = &by_tag;
    g_autofree char *tagged = ids(&mine, &filtered, &more);
    assert_string_equal(tagged, "e");
}

static void hostile_lists_are_refused(void **state)
{
    (void) state;
    bool more;
    const char *v[] = { "1; DROP TABLE thing" };
    ListSort evil = { "name; DROP TABLE thing", false };
    ListFilter unknown = { "nope", OP_EQ, v, 1 }, text_for_number = { "size", OP_EQ, v, 1 };
    ListQuery all[] = { { .limit = 1, .sorts = &evil, .n_sorts = 1 }, { .limit = 1, .filters = &unknown, .n_filters = 1 },
                        { .limit = 1, .filters = &text_for_number, .n_filters = 1 }, { .limit = 1, .marker = "' OR 1=1--" } };
    for (size_t i = 0; i < G_N_ELEMENTS(all); i++) {
        g_autoptr(GError) err = NULL;
        assert_null(rows_list(db, &things, &mine, &all[i], &more, &err));
        assert_int_equal(nv_error_code(err), NV_ERR_INVALID);
    }
}

/* An expression whose automaton doubles with each level would take all memory: it is looked for as text. */
static void nested_repeats_are_only_text(void **state)
{
    (void) state;
    enum { LEVELS = 60 };
    add("a", "p1", "{\"size\":3,\"name\":\"web-aaa\"}");
    g_autoptr(GString) deep = g_string_new(NULL);
    for (int i = 0; i < LEVELS; i++)
        g_string_append_c(deep, '(');
    g_string_append_c(deep, 'a');
    for (int i = 0; i < LEVELS; i++)
        g_string_append(deep, i % 2 ? ")+" : ")+?");
    const struct { const char *pattern; const char *found; } all[] = { { deep->str, "" }, { "^(web|db)+-(a+)+$", "a" }, { "a++++++++++++++++++++++++++", "" } };
    for (size_t i = 0; i < G_N_ELEMENTS(all); i++) {
        const char *value = all[i].pattern;
        ListFilter f = { "name", OP_REGEX, &value, 1 };
        ListQuery q = { .limit = 10, .filters = &f, .n_filters = 1 };
        bool more;
        g_autofree char *found = ids(&mine, &q, &more);
        assert_string_equal(found, all[i].found);
    }
}

static void count_up(void *n)
{
    ++*(int *) n;
}

static void what_waits_for_a_commit_is_dropped_without_one(void **state)
{
    (void) state;
    int ran = 0, dropped = 0;
    for (int commit = 0; commit < 2; commit++) {
        g_auto(Txn) txn = txn_begin(db, NULL);
        txn_after_commit(count_up, &ran, NULL);
        g_autofree int *own = g_new0(int, 1);
        txn_after_commit(count_up, own, count_up);
        assert_int_equal(ran, 0);
        if (commit)
            assert_true(txn_commit(&txn, NULL));
        else
            txn_end(&txn);
        dropped += *own;
        assert_int_equal(ran, commit);
    }
    assert_int_equal(dropped, 2);                /* once run, once dropped */
}

/* Lists have as many texts as there are choices of filters: what is kept prepared has a bound, on the writer too. */
static void statements_are_forgotten(void **state)
{
    (void) state;
    enum { TEXTS = 560 };
    const char *values[TEXTS];
    for (int i = 0; i < TEXTS; i++)
        values[i] = "x";
    for (int n = 1; n <= TEXTS; n++) {
        ListFilter f = { "name", OP_IN, values, (size_t) n };
        ListQuery q = { .limit = 1, .filters = &f, .n_filters = 1 };
        g_auto(Txn) txn = txn_begin(db, NULL);
        assert_int_equal(rows_count(db, &things, &mine, &q, NULL), 0);
        assert_true(g_hash_table_size(db_conn(db, NULL)->statements) < 530);
        assert_true(txn_commit(&txn, NULL));
    }
}

static void a_failed_member_harms_nobody(void **state)
{
    (void) state;
    add("a", "p1", "{\"size\":3,\"name\":\"taken\"}");
    g_autoptr(GError) err = NULL;
    Thing *t = parse(&mine, "{\"size\":3,\"name\":\"taken\"}", &err);
    ROW_SET_STR(t, id, "b");
    ROW_SET_STR(t, project_id, "p1");
    {
        g_auto(Txn) txn = txn_begin(db, &err);
        assert_false(row_insert(db, &t->row, &err));
        assert_int_equal(nv_error_code(err), NV_ERR_CONFLICT);
    }
    assert_false(txn_active());
    row_free(&t->row);
    add("c", "p1", "{\"size\":3,\"name\":\"free\"}");
}

enum { WRITERS = 8, EACH = 50 };

/* Half of the transactions are rolled back; what was committed must be there, what was not must not. */
static gpointer writer(gpointer data)
{
    for (int i = 0; i < EACH; i++) {
        g_autoptr(GError) err = NULL;
        g_autofree char *body = g_strdup_printf("{\"size\":%d,\"name\":\"%d-%d\"}", i % 2 + 1, GPOINTER_TO_INT(data), i);
        g_autofree char *id = g_strdup_printf("%d-%d", GPOINTER_TO_INT(data), i);
        Thing *t = parse(&mine, body, &err);
        ROW_SET_STR(t, id, id);
        ROW_SET_STR(t, project_id, "p1");
        g_auto(Txn) txn = txn_begin(db, &err);
        if (!txn.db || !row_insert(db, &t->row, &err) || (i % 2 && !txn_commit(&txn, &err)))
            g_error("%s", err->message);
        row_free(&t->row);
    }
    return NULL;
}

static void group_commit_keeps_each_apart(void **state)
{
    (void) state;
    GThread *threads[WRITERS];
    for (int i = 0; i < WRITERS; i++)
        threads[i] = g_thread_new("writer", writer, GINT_TO_POINTER(i));
    for (int i = 0; i < WRITERS; i++)
        g_thread_join(threads[i]);
    ListQuery q = { .limit = 1 };
    assert_int_equal(rows_count(db, &things, &mine, &q, NULL), WRITERS * EACH / 2);
    assert_true(db_generation(db) > 1);
}

/* For migrations. */
static void prefixes_are_spelled_in_sql(void **state)
{
    static const char *const prefixes[][2] = {
        { "'FD00:0:0:0::/64'", "fd00::/64" }, { "'2001:DB8::0001'", "2001:db8::1/128" }, { "'10.0.0.5/24'", "10.0.0.5/24" }, { "'10.0.0.5'", "10.0.0.5/32" },
        { "'no prefix'", "no prefix" }, { "NULL", NULL },
    };
    (void) state;
    for (size_t i = 0; i < G_N_ELEMENTS(prefixes); i++) {
        g_autofree char *sql = g_strdup_printf("SELECT cidr_spelled(%s)", prefixes[i][0]);
        g_autoptr(Stmt) st = conn_prepare(db_conn(db, NULL), sql, NULL);
        assert_true(st && sqlite3_step(st) == SQLITE_ROW);
        if (prefixes[i][1])
            assert_string_equal(sqlite3_column_text(st, 0), prefixes[i][1]);
        else
            assert_int_equal(sqlite3_column_type(st, 0), SQLITE_NULL);
    }
}

static void second_owner_is_refused(void **state)
{
    (void) state;
    g_autoptr(GError) err = NULL;
    g_autofree char *path = g_build_filename(dir, "t.db", NULL);
    assert_null(db_open(path, &err));
    assert_int_equal(nv_error_code(err), NV_ERR_CONFLICT);
}

static void table_check_finds_faults(void **state)
{
    (void) state;
    static const Field bad[] = {
        STR(Thing, id, "id", FILTER),
        STR(Thing, gateway, "gateway", SORT),
        { .json = "other", .col = "nowhere", .type = T_STR, .off = MEMBER(Thing, name, char *), .flags = CREATE | REQUIRED, .dflt = "\"x\"" },
        INT(Thing, size, "size", CREATE, .check = check_range, .arg = &sizes, .dflt = "10"),
        COMPUTED("v", render_old, .until = 50),
        COMPUTED("v", render_new, .since = 50, .flags = CREATE),
    };
    static const Resource res = { .one = "x", .many = "xs", .table = "thing", .dialect = &dialect_nova, .size = sizeof(Thing), FIELDS(bad) };
    g_autoptr(GString) why = g_string_new(NULL);
    assert_false(db_table_check(db, &res, why));
    static const char *const wanted[] = { "gateway: sorted", "nowhere: no such column", "required, yet", "default fails", "overlap", "computed, yet" };
    for (size_t i = 0; i < G_N_ELEMENTS(wanted); i++)
        assert_non_null(strstr(why->str, wanted[i]));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(bad_bodies_name_the_field), T(absent_null_and_value_differ), T(stored_and_read_back), T(foreign_rows_are_not_there),
        T(update_writes_only_what_changed), T(lists_page_sort_and_filter), T(hostile_lists_are_refused), T(nested_repeats_are_only_text),
        T(what_waits_for_a_commit_is_dropped_without_one), T(statements_are_forgotten), T(a_failed_member_harms_nobody),
        T(group_commit_keeps_each_apart), T(prefixes_are_spelled_in_sql), T(second_owner_is_refused), T(table_check_finds_faults),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
