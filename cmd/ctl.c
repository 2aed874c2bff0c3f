/* cmd/ctl.c -- `nuvolet ctl`: asks the running service over its control socket and prints tables for people. */
#include "cmd/cmd.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/wire.h"
#include "identity/identity.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- tables ---- */

/* Rows of as many strings as there are titles; columns are as wide as they need to be. */
typedef struct Table { const char *const *titles; size_t columns; GPtrArray *cells; } Table;

static Table table_new(const char *const *titles)
{
    return (Table) { titles, g_strv_length((char **) titles), g_ptr_array_new_with_free_func(g_free) };
}

/* cell is stolen. */
static void table_add(Table *t, char *cell)
{
    g_ptr_array_add(t->cells, cell);
}

static void print_row(const Table *t, const size_t *widths, char *const *cells)
{
    for (size_t c = 0; c < t->columns; c++) {
        bool last = c + 1 == t->columns;
        int pad = last ? 0 : (int) (widths[c] - (size_t) g_utf8_strlen(cells[c], -1)) + 2;
        printf("%s%*s", cells[c], pad, "");
    }
    putchar('\n');
}

static void table_print(Table *t)
{
    g_autofree size_t *widths = g_new0(size_t, t->columns);
    for (size_t c = 0; c < t->columns; c++)
        widths[c] = strlen(t->titles[c]);
    for (guint i = 0; i < t->cells->len; i++)
        widths[i % t->columns] = MAX(widths[i % t->columns], (size_t) g_utf8_strlen(t->cells->pdata[i], -1));
    print_row(t, widths, (char *const *) t->titles);
    for (guint i = 0; i < t->cells->len; i += (guint) t->columns)
        print_row(t, widths, (char *const *) &t->cells->pdata[i]);
    g_ptr_array_unref(t->cells);
}

static char *duration(gint64 us)
{
    gint64 s = us / (gint64) G_USEC_PER_SEC;
    if (s < 120)
        return g_strdup_printf("%d s", (int) s);
    if (s < 7200)
        return g_strdup_printf("%d min", (int) (s / 60));
    if (s < 172800)
        return g_strdup_printf("%d h %d min", (int) (s / 3600), (int) (s / 60 % 60));
    return g_strdup_printf("%d days %d h", (int) (s / 86400), (int) (s / 3600 % 24));
}

static char *dup_or(const char *text, const char *otherwise)
{
    return g_strdup(text ? text : otherwise);
}

/* ---- commands ---- */

static int run_doctor(json_t *answer)
{
    json_t *f;
    size_t i;
    json_array_foreach(json_object_get(answer, "findings"), i, f) {
        const char *host = json_get_str(f, "host"), *result = json_get_str(f, "result");
        printf("%s%s%s\n    repair: %s%s%s\n", host ? host : "", host ? ": " : "", json_get_str(f, "what"), json_get_str(f, "repair"),
               !result ? "" : *result ? " -- failed: " : " -- done", result ? result : "");
    }
    size_t found = json_array_size(json_object_get(answer, "findings"));
    gint64 left = json_get_int(answer, "left", 0);
    json_array_foreach(json_object_get(answer, "remaining"), i, f)
        printf("still there: %s\n", json_get_str(f, "what"));
    if (found == 0)
        puts("all well: rows agree with each other and with every host");
    else if (json_object_get(answer, "remaining"))
        printf("%zu found, %d left after the repair\n", found, (int) left);
    else
        printf("%zu found; `nuvolet ctl doctor --fix` repairs what it can\n", found);
    return left ? 1 : 0;
}

static const json_t *row_named(const json_t *rows, const char *key, const char *name)
{
    json_t *row;
    size_t i;
    json_array_foreach((json_t *) rows, i, row)
        if (g_strcmp0(json_get_str(row, key), name) == 0)
            return row;
    return NULL;
}

static char *used_of(const json_t *host, const char *used, const char *all, gint64 unit)
{
    return host ? g_strdup_printf("%d/%d", (int) (json_get_int(host, used, 0) / unit), (int) (json_get_int(host, all, 0) / unit)) : g_strdup("-");
}

static void print_hosts(const json_t *answer)
{
    static const char *const titles[] = { "HOST", "AGENT", "FOR", "VIRT", "VCPUS", "MEMORY MiB", "DISK GiB", "SERVERS", "WHY", NULL };
    Table t = table_new(titles);
    json_t *agent;
    size_t i;
    json_array_foreach(json_object_get(answer, "agents"), i, agent) {
        const char *name = json_get_str(agent, "host"), *error = json_get_str(agent, "error");
        const json_t *host = row_named(json_object_get(answer, "hosts"), "name", name);
        table_add(&t, g_strdup(name));
        table_add(&t, g_strdup(json_get_bool(agent, "up", false) ? "up" : "DOWN"));
        table_add(&t, duration(clock_wall_us() - json_get_int(agent, "since", 0)));
        table_add(&t, dup_or(json_get_str(host, "virt_type"), "-"));
        table_add(&t, used_of(host, "used_vcpus", "vcpus", 1));
        table_add(&t, used_of(host, "used_memory_mb", "memory_mb", 1));
        table_add(&t, used_of(host, "used_disk_gb", "disk_gb", 1));
        table_add(&t, g_strdup_printf("%d", (int) json_get_int(host, "servers", 0)));
        table_add(&t, dup_or(error ? error : json_get_str(host, "virt_reason"), ""));
    }
    table_print(&t);
}

static int run_status(json_t *answer)
{
    g_autofree char *up = duration(json_get_int(answer, "uptime_us", 0));
    const json_t *operations = json_object_get(answer, "operations");
    json_t *row;
    size_t i;
    printf("Nuvolet %s, up %s, pid %d, memory %.1f MiB, database %.1f MiB\n\n", json_get_str(answer, "version"), up,
           (int) json_get_int(answer, "pid", 0), (double) json_get_int(answer, "resident_bytes", 0) / 1048576,
           (double) json_get_int(answer, "database_bytes", 0) / 1048576);
    print_hosts(answer);
    printf("\nservers:   ");
    json_array_foreach(json_object_get(answer, "servers"), i, row)
        printf("%s%d %s", i ? ", " : "", (int) json_get_int(row, "n", 0), json_get_str(row, "state"));
    printf("%s\noperations: %d live, %d of them waiting\n", i ? "" : "none", (int) json_get_int(operations, "live", 0),
           (int) json_get_int(operations, "waiting", 0));
    return 0;
}

static int run_ops(json_t *answer)
{
    static const char *const titles[] = { "ID", "KIND", "STEP", "RESOURCE", "HOST", "STATE", "TRIES", "AGE", "NOTE", NULL };
    Table t = table_new(titles);
    gint64 now = json_get_int(answer, "now", 0);
    json_t *row;
    size_t i;
    json_array_foreach(json_object_get(answer, "operations"), i, row) {
        const char *error = json_get_str(row, "error");
        table_add(&t, g_strdup_printf("%d", (int) json_get_int(row, "id", 0)));
        table_add(&t, dup_or(json_get_str(row, "kind"), "-"));
        table_add(&t, dup_or(json_get_str(row, "step"), "-"));
        table_add(&t, dup_or(json_get_str(row, "resource_id"), "-"));
        table_add(&t, dup_or(json_get_str(row, "host"), "-"));
        table_add(&t, g_strdup_printf("%s%s", json_get_str(row, "state"), json_get_int(row, "cancel", 0) ? " (cancel)" : ""));
        table_add(&t, g_strdup_printf("%d", (int) json_get_int(row, "attempt", 0)));
        table_add(&t, duration(now - json_get_int(row, "created_at", 0)));
        table_add(&t, dup_or(error ? error : json_get_str(row, "waiting"), ""));
    }
    table_print(&t);
    return 0;
}

static int run_silent(json_t *answer)
{
    (void) answer;
    return 0;
}

/* clang-format off */
static const struct { const char *name; int (*print)(json_t *answer); const char *option, *argument, *help; } commands[] = {
    { "status", run_status, NULL,  NULL,    "what runs, on which hosts, and how well" },
    { "doctor", run_doctor, "fix", NULL,    "[--fix] compare rows with each other and with every host; repair" },
    { "ops",    run_ops,    "all", NULL,    "[--all] live operations, or the last thousand" },
    { "log",    run_silent, NULL,  "level", "LEVEL  error, warn, info or debug, at once" },
};
/* clang-format on */

static json_t *ask(const char *verb, json_t *args, GError **err)
{
    g_autofree char *path = conf_path("paths.run", "control.sock");
    g_autoptr(json_t) frame = json_make("iso", "id", (gint64) 1, "verb", verb, "args", args);
    int fd = wire_connect(path, err);
    if (fd < 0) {
        g_prefix_error(err, "the service does not answer (is it running, and are you root?): ");
        return NULL;
    }
    g_autoptr(json_t) answer = wire_send(fd, frame, NULL) ? wire_receive(fd, NULL) : NULL;
    close(fd);
    if (!answer)
        return nv_fail(err, NV_ERR_FORBIDDEN, "the service closed the connection: only root and its own user may ask"), NULL;
    json_t *ok = json_object_get(answer, "ok");
    if (!ok)
        return nv_fail(err, nv_error_from_name(json_get_str(answer, "error")), "%s", json_get_str(answer, "message")), NULL;
    return json_incref(ok);
}

static int usage(void)
{
    fputs("usage: nuvolet ctl COMMAND\n", stderr);
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
        fprintf(stderr, "  %-7s %s\n", commands[i].name, commands[i].help);
    fputs("  schema  [RESOURCE | --json] a resource's fields; all of them for programs\n"
          "  routes  [--json] every call that is served, and who may make it\n"
          "  policy  the same as docs/POLICY.md\n"
          "  explain PORT TO [PROTOCOL [PORT]] a packet's way from a port to another or to an address, hop by hop\n"
          "  conf    [KEY] the configuration file with its defaults, or one value in force\n", stderr);
    for (guint i = 0; identity_order_help(i); i++)
        fprintf(stderr, "  %s\n", identity_order_help(i));
    return 2;
}

static int run_command(size_t i, int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *option = g_strconcat("--", commands[i].option, NULL);
    json_t *args = json_object();
    bool raw = argc == 3 && g_str_equal(argv[2], "--json");
    argc -= raw && !commands[i].argument;
    bool good = commands[i].argument ? argc == 3 : argc == 2 || (argc == 3 && commands[i].option && g_str_equal(argv[2], option));
    if (!good) {
        json_decref(args);
        return usage();
    }
    if (commands[i].argument)
        json_object_set_new(args, commands[i].argument, json_string(argv[2]));
    else if (argc == 3)
        json_object_set_new(args, commands[i].option, json_true());
    g_autoptr(json_t) answer = ask(commands[i].name, args, &err);
    if (answer && raw) {
        g_autofree char *text = json_text(answer);
        return puts(text) < 0;
    }
    if (answer)
        return commands[i].print(answer);
    fprintf(stderr, "nuvolet ctl: %s\n", err->message);
    return 2;
}

/* Users, projects, roles: the service does it and says what it did. */
static int run_identity(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    json_t *words = json_array(), *args = json_make("o", "words", words);
    for (int i = 1; i < argc; i++)
        json_array_append_new(words, json_string(argv[i]));
    g_autoptr(json_t) answer = ask("identity", args, &err);
    if (answer)
        fputs(json_get_str(answer, "text"), stdout);
    else
        fprintf(stderr, "nuvolet ctl: %s\n", err->message);
    return answer ? 0 : 2;
}

/* explain PORT TO [PROTOCOL [PORT]]: hop by hop; exit status 1 where the packet is lost. */
static int run_explain(int argc, char **argv)
{
    static const char *const titles[] = { "HOP", "VERDICT", "HOST HAS IT", "WHY", NULL };
    static const char *const names[] = { "from", "to", "protocol", "port" };
    g_autoptr(GError) err = NULL;
    json_t *args = json_object(), *hop;
    size_t i;
    for (int k = 2; k < argc && k < 6; k++)
        json_object_set_new(args, names[k - 2], json_string(argv[k]));
    g_autoptr(json_t) answer = ask("explain", args, &err);
    if (!answer) {
        fprintf(stderr, "nuvolet ctl: %s\n", err->message);
        return 2;
    }
    Table t = table_new(titles);
    json_array_foreach(json_object_get(answer, "hops"), i, hop) {
        const char *change = json_get_str(hop, "change");
        table_add(&t, g_strdup(json_get_str(hop, "hop")));
        table_add(&t, g_strdup(json_get_str(hop, "verdict")));
        table_add(&t, g_strdup(json_get_str(hop, "live")));
        table_add(&t, g_strdup_printf("%s%s%s", json_get_str(hop, "why"), change ? ". " : "", change ? change : ""));
    }
    table_print(&t);
    const char *source = json_get_str(answer, "source"), *verdict = json_get_str(answer, "verdict");
    printf("%s from %s to %s\n", verdict, source ? source : "nowhere", json_get_str(answer, "destination"));
    return strcmp(verdict, "denied") == 0;
}

/* The whole file with its comments, or one value in force. */
static int run_conf(const char *key)
{
    g_autofree char *text = key ? NULL : conf_render();
    if (key && !conf_has(key)) {
        fprintf(stderr, "nuvolet ctl: there is no option %s\n", key);
        return 2;
    }
    if (key)
        puts(conf_str(key));
    else
        fputs(text, stdout);
    return 0;
}

int ctl_main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    if (!cmd_configure(&argc, argv, &err)) {
        fprintf(stderr, "nuvolet ctl: %s\n", err->message);
        return 2;
    }
    bool json = argc == 3 && g_str_equal(argv[2], "--json");
    if (json && g_str_equal(argv[1], "schema")) {
        schema_print_json();
        return 0;
    }
    if (json && g_str_equal(argv[1], "routes")) {
        routes_print_json();
        return 0;
    }
    if (argc >= 2 && g_str_equal(argv[1], "schema")) {
        if (schema_print(argv[2]))
            return 0;
        fprintf(stderr, "nuvolet ctl: there is no resource %s\n", argv[2]);
        return 2;
    }
    if (argc == 2 && g_str_equal(argv[1], "routes")) {
        routes_print();
        return 0;
    }
    if (argc == 2 && g_str_equal(argv[1], "policy")) {
        policy_print();
        return 0;
    }
    if (argc >= 4 && argc <= 6 && g_str_equal(argv[1], "explain"))
        return run_explain(argc, argv);
    if (argc <= 3 && argc >= 2 && g_str_equal(argv[1], "conf"))
        return run_conf(argv[2]);
    if (argc >= 2 && identity_is_order(argv[1]))
        return run_identity(argc, argv);
    for (size_t i = 0; argc >= 2 && i < G_N_ELEMENTS(commands); i++)
        if (g_str_equal(argv[1], commands[i].name))
            return run_command(i, argc, argv);
    return usage();
}
