/* compute/server.c -- the server's row, and what its states are called. */
#include "compute/internal.h"
#include <string.h>

/* Names are those of Nova's columns where lists filter or sort by them.  Rendering is server_view.c's: it differs too much between
 * microversions for the table. */
/* clang-format off */
static const Field fields[] = {
    STR (Server, id,             "uuid",             FILTER|SORT),
    STR (Server, project_id,     "project_id",       FILTER|SORT),
    STR (Server, user_id,        "user_id",          FILTER|SORT),
    STR (Server, name,           "name",             FILTER|SORT),
    STR (Server, description,    "description",      FILTER|SORT|NULLABLE),
    STR (Server, hostname,       "hostname",         FILTER|SORT),
    STR (Server, vm_state,       "vm_state",         FILTER|SORT),
    STR (Server, task_state,     "task_state",       FILTER|SORT|NULLABLE),
    INT (Server, power_state,    "power_state",      FILTER|SORT),
    STR (Server, host,           "host",             FILTER|SORT|NULLABLE),
    STR (Server, node,           "node",             FILTER|SORT|NULLABLE),
    STR (Server, zone,           "availability_zone", FILTER|SORT|NULLABLE),
    STR (Server, flavor_id,      "flavor",           FILTER|SORT),
    STR (Server, flavor_name,    "flavor_name",      0),
    INT (Server, vcpus,          "vcpus",            0),
    INT (Server, memory_mb,      "memory_mb",        0),
    INT (Server, disk_gb,        "disk_gb",          0),
    INT (Server, ephemeral_gb,   "ephemeral_gb",     0),
    INT (Server, swap_mb,        "swap_mb",          0),
    JSON(Server, extra_specs,    "extra_specs",      0),
    STR (Server, image_id,       "image",            FILTER|SORT|NULLABLE),
    STR (Server, key_name,       "key_name",         FILTER|SORT|NULLABLE),
    BOOL(Server, config_drive,   "config_drive",     FILTER|SORT),
    JSON(Server, metadata,       "metadata",         0),
    JSON(Server, tags,           "tags",             0),
    STR (Server, access_ip_v4,   "access_ip_v4",     FILTER|SORT|NULLABLE),
    STR (Server, access_ip_v6,   "access_ip_v6",     FILTER|SORT|NULLABLE),
    STR (Server, disk_config,    "auto_disk_config", FILTER|SORT),
    STR (Server, locked_by,      "locked_by",        FILTER|SORT|NULLABLE),
    STR (Server, locked_reason,  "locked_reason",    NULLABLE),
    STR (Server, reservation_id, "reservation_id",   FILTER|SORT),
    INT (Server, launch_index,   "launch_index",     FILTER|SORT),
    INT (Server, progress,       "progress",         FILTER|SORT),
    TIME(Server, launched_at,    "launched_at",      FILTER|SORT|NULLABLE),
    TIME(Server, terminated_at,  "terminated_at",    FILTER|SORT|NULLABLE),
    INT (Server, fault_code,     "fault_code",       NULLABLE),
    STR (Server, fault_message,  "fault_message",    NULLABLE),
    STR (Server, fault_details,  "fault_details",    NULLABLE),
    TIME(Server, fault_at,       "fault_at",         NULLABLE),
    TIME(Server, created_at,     "created_at",       FILTER|SORT),
    TIME(Server, updated_at,     "updated_at",       FILTER|SORT),
    /* From here on: what no list shows, and lists do not load. */
    JSON(Server, image_meta,     "image_meta",       0),
    JSON(Server, tried,          "tried",            0),
    STR (Server, key_type,       "key_type",         NULLABLE),
    STR (Server, key_data,       "key_data",         NULLABLE),
    STR (Server, asked_zone,     "asked_zone",       NULLABLE),
    STR (Server, asked_host,     "asked_host",       NULLABLE),
};
enum { NOT_LISTED = 6 };
/* clang-format on */

const Resource server_resource = {
    .one = "server", .many = "servers", .table = "server", .label = "Instance", .dialect = &dialect_nova, .scope = SCOPE_PROJECT,
    .default_sort = "-created_at", .size = sizeof(Server), FIELDS(fields),
};

const Resource server_list_resource = {
    .one = "server", .many = "servers", .table = "server", .label = "Instance", .dialect = &dialect_nova, .scope = SCOPE_PROJECT,
    .default_sort = "-created_at", .size = sizeof(Server), .fields = fields, .n_fields = G_N_ELEMENTS(fields) - NOT_LISTED,
};

Server *server_get(Db *db, const char *id, GError **err)
{
    return (Server *) row_get(db, &server_resource, id, err);
}

Server *server_get_for(Db *db, const Ctx *ctx, const char *id, GError **err)
{
    return (Server *) row_get_for(db, &server_resource, ctx, id, false, err);
}

/* The columns of a deleted server's record, as far as they are kept. */
static Server *revive(const char *record)
{
    g_autoptr(json_t) values = json_parse_trusted(record);
    Row *row = row_new(&server_resource);
    for (EACH_FIELD(&server_resource, f, i)) {
        const json_t *v = json_object_get(values, f->col);
        row->known |= 1ull << i;
        if (!v || json_is_null(v)) {
            row->null |= 1ull << i;
            continue;
        }
        if (f->type == T_STR)
            *FIELD_PTR(row, f, char *) = g_strdup(json_string_value(v));
        else if (f->type == T_INT || f->type == T_TIME)
            *FIELD_PTR(row, f, gint64) = json_integer_value(v);
        else if (f->type == T_BOOL)
            *FIELD_PTR(row, f, bool) = json_integer_value(v) != 0;
        else
            *FIELD_PTR(row, f, json_t *) = json_parse_trusted(json_string_value(v));
    }
    return (Server *) row;
}

Server *server_get_even_deleted(Db *db, const Ctx *ctx, const char *id, bool *ret_deleted, GError **err)
{
    g_autoptr(GError) why = NULL;
    g_autofree char *record = NULL;
    Server *s = server_get_for(db, ctx, id, &why);
    *ret_deleted = false;
    if (s)
        return s;
    if (nv_error_code(why) == NV_ERR_NOT_FOUND
        && !db_query_str(db, err, &record, "server_deleted_get", "sis", id, (gint64) ctx->admin, ctx->project_id))
        return NULL;
    if (!record) {
        g_propagate_error(err, g_steal_pointer(&why));
        return NULL;
    }
    *ret_deleted = true;
    return revive(record);
}

Server *server_revive(const char *record)
{
    return revive(record);
}

/* What clients see: the first row whose states fit.  task NULL: any other. */
/* clang-format off */
static const struct { const char *vm_state, *task_state, *status; } statuses[] = {
    { "active",    "rebooting",                  "REBOOT" },
    { "active",    "reboot_pending",             "REBOOT" },
    { "active",    "reboot_started",             "REBOOT" },
    { "active",    "rebooting_hard",             "HARD_REBOOT" },
    { "active",    "reboot_pending_hard",        "HARD_REBOOT" },
    { "active",    "reboot_started_hard",        "HARD_REBOOT" },
    { "active",    "updating_password",          "PASSWORD" },
    { "active",    "rebuilding",                 "REBUILD" },
    { "active",    "rebuild_block_device_mapping", "REBUILD" },
    { "active",    "rebuild_spawning",           "REBUILD" },
    { "active",    "migrating",                  "MIGRATING" },
    { "active",    "resize_prep",                "RESIZE" },
    { "active",    "resize_migrating",           "RESIZE" },
    { "active",    "resize_migrated",            "RESIZE" },
    { "active",    "resize_finish",              "RESIZE" },
    { "active",    NULL,                         "ACTIVE" },
    { "building",  NULL,                         "BUILD" },
    { "stopped",   "resize_prep",                "RESIZE" },
    { "stopped",   "resize_migrating",           "RESIZE" },
    { "stopped",   "resize_migrated",            "RESIZE" },
    { "stopped",   "resize_finish",              "RESIZE" },
    { "stopped",   "rebuilding",                 "REBUILD" },
    { "stopped",   "rebuild_block_device_mapping", "REBUILD" },
    { "stopped",   "rebuild_spawning",           "REBUILD" },
    { "stopped",   NULL,                         "SHUTOFF" },
    { "resized",   "resize_reverting",           "REVERT_RESIZE" },
    { "resized",   NULL,                         "VERIFY_RESIZE" },
    { "paused",    "migrating",                  "MIGRATING" },
    { "paused",    NULL,                         "PAUSED" },
    { "suspended", NULL,                         "SUSPENDED" },
    { "rescued",   NULL,                         "RESCUE" },
    { "error",     "rebuilding",                 "REBUILD" },
    { "error",     "rebuild_block_device_mapping", "REBUILD" },
    { "error",     "rebuild_spawning",           "REBUILD" },
    { "error",     NULL,                         "ERROR" },
    { "deleted",   NULL,                         "DELETED" },
    { "soft-delete", NULL,                       "SOFT_DELETED" },
    { "shelved",   NULL,                         "SHELVED" },
    { "shelved_offloaded", NULL,                 "SHELVED_OFFLOADED" },
};
/* clang-format on */

const char *server_status(const char *vm_state, const char *task_state)
{
    for (guint i = 0; i < G_N_ELEMENTS(statuses); i++)
        if (strcmp(statuses[i].vm_state, vm_state) == 0 && (!statuses[i].task_state || g_strcmp0(statuses[i].task_state, task_state) == 0))
            return statuses[i].status;
    return "UNKNOWN";
}

static void add_once(GPtrArray *list, const char *text)
{
    for (guint i = 0; i < list->len; i++)
        if (g_strcmp0(list->pdata[i], text) == 0)
            return;
    g_ptr_array_add(list, (gpointer) text);
}

bool server_states_of_status(const char *status, GPtrArray *vm_states, GPtrArray *task_states)
{
    bool found = false;
    for (guint i = 0; i < G_N_ELEMENTS(statuses); i++)
        if (g_ascii_strcasecmp(statuses[i].status, status) == 0) {
            found = true;
            add_once(vm_states, statuses[i].vm_state);
            add_once(task_states, statuses[i].task_state ? statuses[i].task_state : "default");
        }
    return found;
}

gint64 server_power_of(const char *state)
{
    static const struct { const char *state; gint64 power;
    } powers[] = {
        { "running", POWER_RUNNING }, { "paused", POWER_PAUSED }, { "shutoff", POWER_SHUTDOWN },
        { "crashed", POWER_CRASHED }, { "absent", POWER_NONE },
    };
    for (guint i = 0; i < G_N_ELEMENTS(powers); i++)
        if (g_strcmp0(powers[i].state, state) == 0)
            return powers[i].power;
    return POWER_NONE;
}

bool server_check_unlocked(const Server *s, const Ctx *ctx, GError **err)
{
    return !s->locked_by || ctx->admin || nv_fail(err, NV_ERR_CONFLICT, "Instance %s is locked", s->id);
}

char *server_hostname_of(const char *name, const char *id)
{
    GString *out = g_string_new(NULL);
    for (const char *p = name; *p; p++) {
        if (g_ascii_isalnum(*p))
            g_string_append_c(out, g_ascii_tolower(*p));
        else if (strchr(" _-.", *p) && out->len)
            g_string_append_c(out, '-');
    }
    g_string_truncate(out, MIN(out->len, 63));
    while (out->len && out->str[out->len - 1] == '-')
        g_string_truncate(out, out->len - 1);
    if (!out->len)
        g_string_printf(out, "server-%s", id);
    return g_string_free(out, FALSE);
}
