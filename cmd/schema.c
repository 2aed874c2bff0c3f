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

static void print_flags(const Field *f, GString *out)
{
    static const struct { unsigned flag; const char *name; } rows[] = {
        { REQUIRED, "required" }, { CREATE, "create" }, { UPDATE, "update" }, { FILTER, "filter" }, { SORT, "sort" }, { NULLABLE, "nullable" },
        { ADMIN, "admin" }, { ADMIN_VIEW, "admin-view" }, { HIDDEN, "not-shown" }, { BRIEF, "brief" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if (f->flags & rows[i].flag)
            g_string_append_printf(out, "%s%s", out->len ? " " : "", rows[i].name);
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
