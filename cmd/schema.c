/* cmd/schema.c -- `nuvolet ctl schema RESOURCE` and `nuvolet ctl routes`: fields and routes, straight from their tables. */
#include "api/api.h"
#include "cmd/cmd.h"
#include "compute/compute.h"
#include "identity/identity.h"
#include "core/dialect.h"
#include <stdio.h>

static const char *type_name(const Field *f)
{
    static const char *const names[] = { [T_STR] = "string", [T_INT] = "integer", [T_BOOL] = "boolean", [T_TIME] = "time", [T_JSON] = "json" };
    return f->render && !f->col ? "computed" : names[f->type];
}

static const struct { unsigned flag; const char *name; } flag_names[] = {
    { REQUIRED, "required" }, { CREATE, "create" }, { UPDATE, "update" }, { FILTER, "filter" }, { SORT, "sort" }, { NULLABLE, "nullable" },
    { ADMIN, "admin" }, { ADMIN_VIEW, "admin-view" }, { HIDDEN, "not-shown" }, { BRIEF, "brief" },
};

static void print_flags(const Field *f, GString *out)
{
    for (size_t i = 0; i < G_N_ELEMENTS(flag_names); i++)
        if (f->flags & flag_names[i].flag)
            g_string_append_printf(out, "%s%s", out->len ? " " : "", flag_names[i].name);
}

static void print_resource(const Resource *res)
{
    printf("%s (%s)\n%-34s %-9s %-11s %-20s %s\n", res->one, res->dialect ? res->dialect->service_type : "internal", "FIELD", "TYPE", "VERSIONS",
           "DEFAULT", "FLAGS");
    for (size_t i = 0; i < res->n_fields; i++) {
        const Field *f = &res->fields[i];
        g_autoptr(GString) flags = g_string_new(NULL);
        g_autofree char *since = f->since || f->until ? g_strdup_printf("%d-%.0d", f->since, f->until) : g_strdup("");
        print_flags(f, flags);
        printf("%-34s %-9s %-11s %-20s %s\n", f->json, type_name(f), since, f->dflt ? f->dflt : "", flags->str);
    }
}

/* What the general validators of core/table.h are called, and what their argument is; a domain's own are "own". */
static const struct { Check *check; const char *name; char arg; } check_names[] = {
    { check_name, "name", 0 },         { check_name_nonempty, "name-nonempty", 0 }, { check_text, "text", 'r' },     { check_uuid, "uuid", 0 },
    { check_id, "id", 0 },             { check_enum, "enum", 's' },                 { check_range, "range", 'r' },   { check_int_of, "int-of", 'i' },
    { check_cidr, "cidr", 0 },         { check_ip, "ip", 0 },                       { check_ip_list, "ip-list", 0 }, { check_mac, "mac", 0 },
    { check_hostname, "hostname", 0 }, { check_string_map, "string-map", 0 },       { check_tags, "tags", 0 },       { check_object, "object", 0 },
    { check_array, "array", 0 },
};

static void put_check(const Field *f, JsonW *w)
{
    size_t i = 0;
    while (i < G_N_ELEMENTS(check_names) && check_names[i].check != f->check)
        i++;
    bool known = i < G_N_ELEMENTS(check_names);
    char arg = known && f->arg ? check_names[i].arg : 0;
    jw_kstr(w, "check", !f->check ? NULL : known ? check_names[i].name : "own");
    if (arg == 'r') {
        jw_kint(w, "min", ((const Range *) f->arg)->min);
        jw_kint(w, "max", ((const Range *) f->arg)->max);
    } else if (arg) {
        jw_key(w, "allowed");
        jw_array(w);
        for (const char *const *s = f->arg; arg == 's' && *s; s++)
            jw_str(w, *s);
        for (const gint64 *n = f->arg; arg == 'i' && *n; n++)
            jw_int(w, *n);
        jw_end_array(w);
    }
}

static const char *kind_name(const Field *f)
{
    static const char *const children[] = { [CHILD_STRINGS] = "strings", [CHILD_MAP] = "map", [CHILD_OBJECTS] = "objects" };
    return f->child ? children[f->child->kind] : f->col ? "column" : f->render ? "computed" : "input";
}

static void put_field(const Field *f, JsonW *w)
{
    jw_object(w);
    jw_kstr(w, "name", f->json);
    jw_kstr(w, "column", f->col);
    jw_kstr(w, "kind", kind_name(f));
    jw_kstr(w, "type", type_name(f));
    jw_key(w, "flags");
    jw_array(w);
    for (size_t i = 0; i < G_N_ELEMENTS(flag_names); i++)
        if ((f->flags | (f->null ? NULLABLE : 0)) & flag_names[i].flag)
            jw_str(w, flag_names[i].name);
    jw_end_array(w);
    if (f->dflt) {
        jw_key(w, "default");
        jw_raw(w, f->dflt);
    }
    jw_kint(w, "since", f->since);
    jw_kint(w, "until", f->until);
    put_check(f, w);
    jw_end_object(w);
}

static void put_resource(const Resource *res, JsonW *w)
{
    static const char *const scopes[] = { [SCOPE_PROJECT] = "project", [SCOPE_USER] = "user", [SCOPE_PUBLIC] = "public", [SCOPE_ADMIN] = "admin",
                                          [SCOPE_NAMED] = "named" };
    jw_object(w);
    jw_kstr(w, "one", res->one);
    jw_kstr(w, "many", res->many);
    jw_kstr(w, "table", res->table);
    jw_kstr(w, "dialect", res->dialect->name);
    jw_kstr(w, "scope", scopes[res->scope]);
    jw_kstr(w, "sort", res->default_sort);
    jw_key(w, "filters");
    jw_array(w);
    for (const Filter *f = res->filters; f && f->query; f++)
        jw_str(w, f->query);
    jw_end_array(w);
    jw_key(w, "fields");
    jw_array(w);
    for (size_t i = 0; i < res->n_fields; i++)
        put_field(&res->fields[i], w);
    jw_end_array(w);
    jw_end_object(w);
}

void schema_print_json(void)
{
    g_autoptr(GString) text = g_string_new(NULL);
    JsonW w = JSONW(text);
    jw_array(&w);
    for (const Resource *const *res = resources; *res; res++)
        put_resource(*res, &w);
    put_resource(&server_create_resource, &w);   /* a body without a table: what POST /servers takes */
    jw_end_array(&w);
    puts(text->str);
}

static void put_route(const Service *service, const Route *r, void *data)
{
    JsonW *w = data;
    g_autofree char *path = g_strconcat(service->prefix, r->path, NULL);
    jw_object(w);
    jw_kstr(w, "service", service->name);
    jw_kstr(w, "method", r->method);
    jw_kstr(w, "path", path);
    jw_kstr(w, "rule", identity_rule_name(r->rule));
    jw_kstr(w, "table", r->res ? r->res->table : NULL);
    jw_kbool(w, "streamed", r->flags & STREAM_IN);
    jw_kbool(w, "bodiless", r->flags & NO_BODY_PARSE);
    jw_kint(w, "since", r->since);
    jw_kint(w, "until", r->until);
    jw_end_object(w);
}

void routes_print_json(void)
{
    g_autoptr(GString) text = g_string_new(NULL);
    JsonW w = JSONW(text);
    jw_array(&w);
    router_each(put_route, &w);
    jw_end_array(&w);
    puts(text->str);
}

bool schema_print(const char *name)
{
    bool found = false;
    for (const Resource *const *res = resources; *res; res++) {
        if (!name)
            printf("%s\n", (*res)->one);
        else if (g_str_equal((*res)->one, name) || g_strcmp0((*res)->many, name) == 0) {
            print_resource(*res);
            found = true;
        }
    }
    return found || !name;
}

static void print_route(const Service *service, const Route *r, void *data)
{
    (void) data;
    g_autofree char *path = g_strconcat(service->prefix, r->path, NULL);
    printf("%-6s %-70s %-15s %s\n", r->method, path, identity_rule_name(r->rule), r->res ? r->res->one : "");
}

static void print_policy(const Service *service, const Route *r, void *data)
{
    const Service **last = data;
    if (*last != service)
        printf("\n## %s\n\n| call | who |\n|---|---|\n", service->name);
    *last = service;
    printf("| `%s %s%s` | %s |\n", r->method, service->prefix, r->path, identity_rule_name(r->rule));
}

void policy_print(void)
{
    const Service *last = NULL;
    printf("# Who may call what\n\nMade by `nuvolet ctl policy` from the route tables; a test compares. Whatever the rule, a call only\n"
           "reaches rows that its caller may see: another project's are 404.\n\n| who | means |\n|---|---|\n");
    for (Rule rule = RULE_UNSET + 1; identity_rule_name(rule); rule++)
        printf("| %s | %s |\n", identity_rule_name(rule), identity_rule_help(rule));
    router_each(print_policy, &last);
}

void routes_print(void)
{
    router_each(print_route, NULL);
    for (guint i = 0; compute_action_name(i); i++)
        printf("ACTION %s\n", compute_action_name(i));
}
