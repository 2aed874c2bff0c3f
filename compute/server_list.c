/* compute/server_list.c -- GET /servers and /servers/detail: Nova's filters and sort keys, mapped onto the row's fields. */
#include "compute/internal.h"
#include "core/clock.h"
#include "core/conf.h"
#include <string.h>

/* A query parameter.  admin_until: below this microversion only administrators' lists filter by it (0: everybody's always do, ADMIN_ALWAYS: only
 * theirs, whatever the version); for others it is ignored, as Nova does.  json NULL: handled by name in code. */
typedef struct Filterable { const char *name, *json; ListOp op; int since, admin_until; } Filterable;
enum { ADMIN_ALWAYS = 9999 };

/* clang-format off */
static const Filterable filterable[] = {
    { "name",                "name",              OP_REGEX, 0, 0 },
    { "display_name",        "name",              OP_REGEX, 0, ADMIN_ALWAYS },
    { "image",               "image",             OP_EQ,    0, 0 },
    { "image_ref",           "image",             OP_EQ,    0, ADMIN_ALWAYS },
    { "flavor",              "flavor",            OP_EQ,    0, 0 },
    { "reservation_id",      "reservation_id",    OP_EQ,    0, 0 },
    { "user_id",             "user_id",           OP_EQ,    0, 83 },
    { "launch_index",        "launch_index",      OP_EQ,    0, ADMIN_ALWAYS },
    { "hostname",            "hostname",          OP_REGEX, 0, ADMIN_ALWAYS },
    { "key_name",            "key_name",          OP_EQ,    0, 83 },
    { "power_state",         "power_state",       OP_EQ,    0, 83 },
    { "vm_state",            "vm_state",          OP_EQ,    0, 83 },
    { "task_state",          "task_state",        OP_EQ,    0, 83 },
    { "host",                "host",              OP_EQ,    0, ADMIN_ALWAYS },
    { "node",                "node",              OP_REGEX, 0, ADMIN_ALWAYS },
    { "launched_at",         "launched_at",       OP_EQ,    0, 83 },
    { "terminated_at",       "terminated_at",     OP_EQ,    0, 83 },
    { "created_at",          "created_at",        OP_EQ,    0, 83 },
    { "availability_zone",   "availability_zone", OP_EQ,    0, 83 },
    { "description",         "description",       OP_REGEX, 0, ADMIN_ALWAYS },
    { "display_description", "description",       OP_REGEX, 0, ADMIN_ALWAYS },
    { "locked_by",           "locked_by",         OP_EQ,    0, ADMIN_ALWAYS },
    { "uuid",                "uuid",              OP_EQ,    0, ADMIN_ALWAYS },
    { "config_drive",        "config_drive",      OP_EQ,    0, 83 },
    { "access_ip_v4",        "access_ip_v4",      OP_REGEX, 0, ADMIN_ALWAYS },
    { "access_ip_v6",        "access_ip_v6",      OP_REGEX, 0, ADMIN_ALWAYS },
    { "auto_disk_config",    "auto_disk_config",  OP_EQ,    0, ADMIN_ALWAYS },
    { "progress",            "progress",          OP_EQ,    0, 83 },
    { "changes-since",       "updated_at",        OP_GE,    0, 0 },
    { "changes-before",      "updated_at",        OP_LE,    66, 0 },
    { "status", NULL, OP_EQ, 0, 0 },       { "ip", NULL, OP_EQ, 0, 0 },          { "ip6", NULL, OP_EQ, 0, 5 },
    { "tags", NULL, OP_EQ, 26, 0 },        { "tags-any", NULL, OP_EQ, 26, 0 },   { "not-tags", NULL, OP_EQ, 26, 0 },
    { "not-tags-any", NULL, OP_EQ, 26, 0 }, { "locked", NULL, OP_EQ, 73, 0 },    { "all_tenants", NULL, OP_EQ, 0, 0 },
    { "tenant_id", NULL, OP_EQ, 0, ADMIN_ALWAYS }, { "project_id", NULL, OP_EQ, 0, ADMIN_ALWAYS },
    { "deleted", NULL, OP_EQ, 0, ADMIN_ALWAYS }, { "soft_deleted", NULL, OP_EQ, 0, ADMIN_ALWAYS },
    { "sort_key", NULL, OP_EQ, 0, 0 },     { "sort_dir", NULL, OP_EQ, 0, 0 },    { "limit", NULL, OP_EQ, 0, 0 },
    { "marker", NULL, OP_EQ, 0, 0 },       { "kernel_id", NULL, OP_EQ, 0, ADMIN_ALWAYS }, { "ramdisk_id", NULL, OP_EQ, 0, ADMIN_ALWAYS },
    { "root_device_name", NULL, OP_EQ, 0, ADMIN_ALWAYS },
};

/* json "": the same for all servers, so nothing to order by. */
static const struct { const char *key, *json; } sortable[] = {
    { "created_at", "created_at" }, { "updated_at", "updated_at" }, { "display_name", "name" }, { "uuid", "uuid" }, { "vm_state", "vm_state" },
    { "power_state", "power_state" }, { "project_id", "project_id" }, { "user_id", "user_id" }, { "hostname", "hostname" },
    { "launch_index", "launch_index" }, { "progress", "progress" }, { "config_drive", "config_drive" }, { "auto_disk_config", "auto_disk_config" },
    { "instance_type_id", "flavor" }, { "access_ip_v4", "access_ip_v4" }, { "access_ip_v6", "access_ip_v6" }, { "availability_zone", "availability_zone" }, { "display_description", "description" },
    { "host", "host" }, { "image_ref", "image" }, { "kernel_id", "" }, { "key_name", "key_name" }, { "launched_at", "launched_at" }, { "locked_by", "locked_by" }, { "node", "node" },
    { "ramdisk_id", "" }, { "root_device_name", "" }, { "task_state", "task_state" }, { "terminated_at", "terminated_at" }, { "locked", "locked_by" },
};
/* clang-format on */

enum { ARG_IP, ARG_IP6, ARG_TAGS, ARG_TAGS_ANY, ARG_NOT_TAGS, ARG_NOT_TAGS_ANY, ARG_LOCKED, ARG_TASKS, ARGS };
static const char *const arg_names[] = { "ip", "ip6", "tags", "tags-any", "not-tags", "not-tags-any" };

/* What was asked, with the memory that the query points into. */
typedef struct Ask {
    Ctx ctx;
    GArray *filters, *sorts;
    GPtrArray *memory;
    const char *args[ARGS + 1];
    const char *marker;
    gint64 limit, since, before;             /* since >= 0: deleted servers too */
    bool only_deleted, nothing;
} Ask;

static void ask_done(Ask *a)
{
    if (a->filters)
        g_array_unref(a->filters);
    if (a->sorts)
        g_array_unref(a->sorts);
    if (a->memory)
        g_ptr_array_unref(a->memory);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Ask, ask_done)

static const char *keep(Ask *a, char *text)
{
    g_ptr_array_add(a->memory, text);
    return text;
}

static void add_filter(Ask *a, const char *json, ListOp op, const char *const *values, size_t n)
{
    const char **copy = g_new0(const char *, n);
    g_ptr_array_add(a->memory, copy);
    for (size_t i = 0; i < n; i++)
        copy[i] = values[i];
    ListFilter f = { .json = json, .op = op, .values = copy, .n = n };
    g_array_append_val(a->filters, f);
}

static const Filterable *find(const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(filterable); i++)
        if (strcmp(filterable[i].name, name) == 0)
            return &filterable[i];
    return NULL;
}

static bool counts(const Call *c, const Filterable *f)
{
    return c->ctx->mv >= f->since && (c->ctx->admin || !f->admin_until || (f->admin_until != ADMIN_ALWAYS && c->ctx->mv >= f->admin_until));
}

static bool read_time(const Call *c, const Filterable *f, const char *text, Ask *a, GError **err)
{
    gint64 us;
    (void) c;
    if (!clock_parse(text, &us))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for query parameters %s. Value: %.80s. It is not a 'date-time'", f->name, text);
    *(f->op == OP_GE ? &a->since : &a->before) = us;
    add_filter(a, f->json, f->op, &text, 1);
    return true;
}

static bool read_columns(const Call *c, Ask *a, GError **err)
{
    for (size_t i = 0; i < c->n_query; i++) {
        const char *name = c->query[i].name, *value = c->query[i].value;
        const Filterable *f = find(name);
        if ((!f || f->since > c->ctx->mv) && (name[0] == '_' || c->ctx->mv >= MV(75)))
            return nv_fail(err, NV_ERR_INVALID, "Invalid filter field: %.80s.", name);
        if (!f || !f->json || !counts(c, f))
            continue;
        if (strcmp(f->json, "updated_at") == 0) {
            if (!read_time(c, f, value, a, err))
                return false;
        } else if (strcmp(f->json, "config_drive") == 0) {
            const char *stored = *value && g_ascii_strcasecmp(value, "false") != 0 && strcmp(value, "0") != 0 ? "1" : "0";
            add_filter(a, f->json, f->op, &stored, 1);
        } else {
            add_filter(a, f->json, f->op, &value, 1);
        }
    }
    if (a->since >= 0 && a->before < a->since)
        return nv_fail(err, NV_ERR_INVALID, "The value of changes-since must be less than or equal to changes-before.");
    return true;
}

static const char *json_list(Ask *a, const char *const *texts)
{
    g_autoptr(json_t) list = json_array();
    for (; *texts; texts++)
        json_array_append_new(list, json_string(*texts));
    return keep(a, json_text(list));
}

static void read_args(const Call *c, Ask *a)
{
    for (guint i = 0; i < ARGS; i++)
        a->args[i] = "";
    for (guint i = 0; i < G_N_ELEMENTS(arg_names); i++) {
        const char *value = call_query(c, arg_names[i]);
        if (!value || !counts(c, find(arg_names[i])))
            continue;
        if (i <= ARG_IP6) {
            a->args[i] = value;
            continue;
        }
        g_auto(GStrv) tags = g_strsplit(value, ",", 51);
        a->args[i] = json_list(a, (const char *const *) tags);
    }
}

static bool read_status(const Call *c, Ask *a, GError **err)
{
    g_autoptr(GPtrArray) vm = g_ptr_array_new(), tasks = g_ptr_array_new();
    bool asked = false, deleted = false;
    for (size_t i = 0; i < c->n_query; i++)
        if (strcmp(c->query[i].name, "status") == 0) {
            asked = true;
            server_states_of_status(c->query[i].value, vm, tasks);
            deleted = deleted || g_ascii_strcasecmp(c->query[i].value, "deleted") == 0;
        }
    if (!asked)
        return true;
    if (deleted && !c->ctx->admin)
        return nv_fail(err, NV_ERR_FORBIDDEN, "Only administrators may list deleted instances");
    a->only_deleted = deleted;
    if (!vm->len && c->ctx->mv >= MV(38))
        return nv_fail(err, NV_ERR_INVALID, "Invalid status value");
    a->nothing = !vm->len;
    if (vm->len)
        add_filter(a, "vm_state", OP_IN, (const char *const *) vm->pdata, vm->len);
    g_ptr_array_add(tasks, NULL);
    if (vm->len && !g_strv_contains((const char *const *) tasks->pdata, "default"))
        a->args[ARG_TASKS] = json_list(a, (const char *const *) tasks->pdata);
    return true;
}

static bool read_scope(const Call *c, Ask *a, bool detail, GError **err)
{
    bool all = false, locked;
    const char *text = call_query(c, "all_tenants"), *project = call_query(c, "project_id");
    if (text && !*text)
        all = true;                              /* ?all_tenants without a value means yes */
    else if (!call_query_bool(c, "all_tenants", false, &all, NULL))
        return nv_fail(err, NV_ERR_INVALID, "Invalid value '%.80s' for query parameter all_tenants", text);
    if (all && !c->ctx->admin)
        return nv_fail(err, NV_ERR_FORBIDDEN, "Policy doesn't allow os_compute_api:servers:%s:get_all_tenants to be performed.",
                       detail ? "detail" : "index");
    a->ctx.all_projects = all;
    if (!project)
        project = call_query(c, "tenant_id");
    if (project && all)
        add_filter(a, "project_id", OP_EQ, &project, 1);
    if (call_query(c, "locked") && c->ctx->mv >= MV(73)) {
        if (!call_query_bool(c, "locked", false, &locked, NULL))
            return nv_fail(err, NV_ERR_INVALID, "Invalid value '%.80s' for query parameter locked", call_query(c, "locked"));
        a->args[ARG_LOCKED] = locked ? "1" : "0";
    }
    if (c->ctx->admin && call_query(c, "deleted"))
        call_query_bool(c, "deleted", false, &a->only_deleted, NULL);
    return true;
}

static bool read_sort(const Call *c, Ask *a, GError **err)
{
    g_autoptr(GPtrArray) dirs = g_ptr_array_new();
    guint given = 0;
    for (size_t i = 0; i < c->n_query; i++)
        if (strcmp(c->query[i].name, "sort_dir") == 0)
            g_ptr_array_add(dirs, c->query[i].value);
    for (guint i = 0; i < dirs->len; i++)
        if (strcmp(dirs->pdata[i], "asc") != 0 && strcmp(dirs->pdata[i], "desc") != 0)
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for query parameters sort_dir. Value: %.80s. It is not one of asc, desc",
                           (char *) dirs->pdata[i]);
    for (size_t i = 0; i < c->n_query; i++) {
        if (strcmp(c->query[i].name, "sort_key") != 0)
            continue;
        const char *json = NULL, *dir = given < dirs->len ? dirs->pdata[given] : dirs->len ? dirs->pdata[dirs->len - 1] : "desc";
        given++;
        for (guint k = 0; k < G_N_ELEMENTS(sortable); k++)
            if (strcmp(sortable[k].key, c->query[i].value) == 0)
                json = sortable[k].json;
        if (!json)
            return nv_fail(err, NV_ERR_INVALID,
                           "Invalid input for query parameters sort_key. Value: %.80s. It is not one of the sort keys of servers",
                           c->query[i].value);
        if (!c->ctx->admin && (strcmp(c->query[i].value, "host") == 0 || strcmp(c->query[i].value, "node") == 0))
            return nv_fail(err, NV_ERR_FORBIDDEN, "Only administrators can sort servers by host or node");
        ListSort s = { .json = json, .desc = strcmp(dir, "desc") == 0 };
        if (*json)
            g_array_append_val(a->sorts, s);
    }
    if (!given && dirs->len) {
        ListSort s = { .json = "created_at", .desc = strcmp(dirs->pdata[0], "asc") != 0 };
        g_array_append_val(a->sorts, s);
    }
    return true;
}

static bool read_ask(const Call *c, Ask *a, bool detail, GError **err)
{
    a->ctx = *c->ctx;
    a->filters = g_array_new(FALSE, TRUE, sizeof(ListFilter));
    a->sorts = g_array_new(FALSE, TRUE, sizeof(ListSort));
    a->memory = g_ptr_array_new_with_free_func(g_free);
    a->since = -1;
    a->before = G_MAXINT64;
    read_args(c, a);
    if (!read_columns(c, a, err) || !read_status(c, a, err) || !read_scope(c, a, detail, err) || !read_sort(c, a, err)
        || !page_query(c, &a->limit, &a->marker, err))
        return false;
    a->nothing = a->nothing || a->limit == 0;
    return true;
}

/* Deleted servers that a list with changes-since (or an administrator's with deleted=true) shows, after the living ones. */
static bool append_deleted(Call *c, const Ask *a, GPtrArray *rows, GError **err)
{
    gint64 room = a->limit - rows->len;
    g_autoptr(json_t) records = room > 0 ? db_query(c->db, err, "server_deleted_list", "siii", a->ctx.all_projects ? NULL : c->ctx->project_id,
                                                    MAX(0, a->since), a->before, room)
                                         : json_array();
    size_t i;
    json_t *r;
    if (!records)
        return false;
    json_array_foreach(records, i, r)
        g_ptr_array_add(rows, server_revive(json_get_str(r, "record")));
    return true;
}

static bool list(Call *c, bool detail, GError **err)
{
    g_auto(Ask) a = { .limit = 0 };
    bool more = false;
    if (!read_ask(c, &a, detail, err))
        return false;
    ListQuery q = { .filters = (ListFilter *) (void *) a.filters->data, .n_filters = a.filters->len, .sorts = (ListSort *) (void *) a.sorts->data,
                    .n_sorts = a.sorts->len, .marker = a.marker, .limit = a.limit, .fragment = NULL, .fragment_args = a.args };
    for (int i = 0; i < ARGS; i++)
        if (*a.args[i])
            q.fragment = "server_filter";
    g_autoptr(GPtrArray) rows = a.nothing || a.only_deleted ? g_ptr_array_new_with_free_func((GDestroyNotify) row_free)
                                                            : rows_list(c->db, &server_list_resource, &a.ctx, &q, &more, err);
    if (!rows)
        return false;
    guint living = rows->len;
    if ((a.only_deleted || a.since >= 0) && !more && !a.nothing && !append_deleted(c, &a, rows, err))
        return false;
    g_auto(ServerView) view = { .ctx = c->ctx };
    if (detail && !server_view_init(&view, c->db, c->ctx, rows, err))
        return false;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "servers");
    jw_array(&w);
    for (guint i = 0; i < rows->len; i++) {
        view.deleted = i >= living;
        if (detail)
            server_view_full(rows->pdata[i], &view, &w);
        else
            server_view_brief(rows->pdata[i], c->ctx, &w);
    }
    jw_end_array(&w);
    if (more && rows->len)
        page_links(c, "servers_links", ((Server *) rows->pdata[rows->len - 1])->id, &w);
    jw_end_object(&w);
    return true;
}

bool server_list(Call *c, GError **err)
{
    return list(c, false, err);
}

bool server_list_detail(Call *c, GError **err)
{
    return list(c, true, err);
}
