/* compute/server_action.c -- POST /servers/{id}/action: one table of actions, what states they start from and what they start. */
#include "compute/internal.h"
#include "core/conf.h"
#include <string.h>

typedef struct Action Action;
struct Action {
    const char *name;
    const char *vm_states;               /* "active error": states it may start from; NULL: any */
    const char *task_states;             /* others than none that do not stand in the way; "*": any */
    const char *task_state;              /* what the server is doing then; NULL: nothing new */
    const OpKind *kind;                  /* operation to queue; NULL: run does everything */
    bool admin, needs_host, ignores_lock;
    bool (*check)(const Call *c, const json_t *body, const Action **which, GError **err);
    bool (*run)(Call *c, Server *s, const json_t *body, GError **err);   /* inside the transaction */
    bool later;                          /* known to the API, and not offered by this cloud: 501 */
    int since, until;
};

/* --- checks of bodies --- */
static bool check_null(const Call *c, const json_t *body, const Action **which, GError **err)
{
    (void) c;
    return json_is_null(body) || (json_is_object(body) && !json_object_size(body)) || json_is_string(body)
        || nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. It must be null", (*which)->name);
}

static Action reboot_hard;
static bool check_reboot(const Call *c, const json_t *body, const Action **which, GError **err)
{
    static const char *const keys[] = { "type", NULL };
    const char *type = json_get_str(body, "type");
    (void) c;
    if (!json_is_object(body) || !type)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute reboot. 'type' is a required property");
    if (!body_allowed(body, keys, err))
        return false;
    if (g_ascii_strcasecmp(type, "HARD") == 0)
        *which = &reboot_hard;
    else if (g_ascii_strcasecmp(type, "SOFT") != 0)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute type. Value: %.80s. It is not one of ['HARD', 'SOFT']", type);
    return true;
}

static bool check_reset(const Call *c, const json_t *body, const Action **which, GError **err)
{
    static const char *const keys[] = { "state", NULL };
    const char *state = json_get_str(body, "state");
    (void) c;
    (void) which;
    if (json_is_object(body) && !body_allowed(body, keys, err))
        return false;
    return (state && (strcmp(state, "active") == 0 || strcmp(state, "error") == 0))
           || nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute state. Value: %.80s. It is not one of ['active', 'error']",
                      state ? state : "");
}

static bool check_lock(const Call *c, const json_t *body, const Action **which, GError **err)
{
    static const char *const keys[] = { "locked_reason", NULL };
    static const Range range = { 1, 255 };
    static const Field field = { .json = "locked_reason", .arg = &range };
    if (c->ctx->mv < MV(73) || !json_is_object(body))
        return check_null(c, body, which, err);
    const json_t *reason = json_object_get(body, "locked_reason");
    return body_allowed(body, keys, err)
           && (!reason
               || (json_is_string(reason)
                       ? check_nova_text(&field, reason, err)
                       : nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute locked_reason. It is not of type 'string'")));
}

static bool check_console(const Call *c, const json_t *body, const Action **which, GError **err)
{
    static const char *const keys[] = { "length", NULL };
    static const Range range = { -1, G_MAXINT32 };
    static const Field field = { .json = "length", .arg = &range };
    const json_t *length = json_object_get(body, "length");
    (void) c;
    (void) which;
    if (!json_is_object(body))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute os-getConsoleOutput. It is not of type 'object'");
    return body_allowed(body, keys, err) && (!length || json_is_null(length) || check_flexible_int(&field, length, err));
}

static bool check_group(const Call *c, const json_t *body, const Action **which, GError **err)
{
    static const char *const keys[] = { "name", NULL };
    static const Field field = { .json = "name" };
    (void) c;
    if (!json_is_object(body) || !json_object_get(body, "name"))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. 'name' is a required property", (*which)->name);
    return body_allowed(body, keys, err) && check_nova_name(&field, json_object_get(body, "name"), err);
}

/* --- actions that need no operation --- */
static bool run_add_group(Call *c, Server *s, const json_t *body, GError **err)
{
    return server_group_change(c, s, body, true, err);
}

static bool run_remove_group(Call *c, Server *s, const json_t *body, GError **err)
{
    return server_group_change(c, s, body, false, err);
}

static bool run_lock(Call *c, Server *s, const json_t *body, GError **err)
{
    bool owner = g_strcmp0(c->ctx->project_id, s->project_id) == 0;
    if (!s->locked_by || !owner) {
        ROW_SET_STR(s, locked_by, owner ? "owner" : "admin");
        ROW_SET_STR(s, locked_reason, json_get_str(body, "locked_reason"));
    }
    return row_update(c->db, &s->row, err);
}

static bool run_unlock(Call *c, Server *s, const json_t *body, GError **err)
{
    (void) body;
    if (g_strcmp0(s->locked_by, "admin") == 0 && !c->ctx->admin)
        return nv_fail(err, NV_ERR_FORBIDDEN, "Policy doesn't allow os_compute_api:os-lock-server:unlock:unlock_override to be performed.");
    ROW_SET_STR(s, locked_by, NULL);
    ROW_SET_STR(s, locked_reason, NULL);
    return row_update(c->db, &s->row, err);
}

static bool run_reset(Call *c, Server *s, const json_t *body, GError **err)
{
    const char *state = json_get_str(body, "state");
    bool live;
    if (strcmp(state, "active") == 0 && !s->host)
        return nv_fail(err, NV_ERR_CONFLICT, "Instance %s is on no host and can not be made active; delete it", s->id);
    if (!op_live(c->db, s->id, &live, err))
        return false;
    ROW_SET_STR(s, vm_state, state);
    if (!live)
        ROW_SET_STR(s, task_state, NULL);
    return row_update(c->db, &s->row, err);
}

/* clang-format off */
static Action reboot_hard = { "reboot", "active stopped paused suspended error", "reboot_started reboot_started_hard rebooting rebooting_hard",
                              "rebooting_hard", &op_server_reboot_hard, .needs_host = true };
static const Action actions[] = {
    { "os-start",     "stopped",      NULL, "powering-on",  &op_server_start,       .needs_host = true, .check = check_null },
    { "os-stop",      "active error", NULL, "powering-off", &op_server_stop,        .needs_host = true, .check = check_null },
    { "reboot",       "active",       NULL, "rebooting",    &op_server_reboot_soft, .needs_host = true, .check = check_reboot },
    { "forceDelete",  NULL,           "*",  "deleting",     &op_server_delete,      .check = check_null },
    { "os-resetState", NULL,          "*",  NULL, NULL, .admin = true, .ignores_lock = true, .check = check_reset, .run = run_reset },
    { "lock",         NULL,           "*",  NULL, NULL, .ignores_lock = true, .check = check_lock,  .run = run_lock },
    { "unlock",       NULL,           "*",  NULL, NULL, .ignores_lock = true, .check = check_null,  .run = run_unlock },
    { "addSecurityGroup",    "active stopped paused suspended", NULL, NULL, NULL, .check = check_group, .run = run_add_group },
    { "removeSecurityGroup", "active stopped paused suspended", NULL, NULL, NULL, .check = check_group, .run = run_remove_group },
    /* What block storage, several hosts and snapshots bring. */
    { "injectNetworkInfo", NULL,             .later = true, .admin = true },
    { "restore",        "soft-delete",       .later = true },
    { "pause",          "active",            .later = true },
    { "unpause",        "paused",            .later = true },
    { "suspend",        "active",            .later = true },
    { "resume",         "suspended",         .later = true },
    { "rescue",         "active stopped error", .later = true },
    { "unrescue",       "rescued",           .later = true },
    { "shelve",         "active stopped paused suspended", .later = true },
    { "shelveOffload",  "shelved",           .later = true },
    { "unshelve",       "shelved shelved_offloaded", .later = true },
    { "rebuild",        "active stopped error", .later = true },
    { "resize",         "active stopped",    .later = true },
    { "confirmResize",  "resized",           .later = true },
    { "revertResize",   "resized",           .later = true },
    { "migrate",        "active stopped",    .later = true, .admin = true },
    { "os-migrateLive", "active paused",     .later = true, .admin = true },
    { "evacuate",       "active stopped error", .later = true, .admin = true },
    { "createImage",    "active stopped paused suspended", .later = true },
    { "createBackup",   "active stopped paused suspended", .later = true },
    { "changePassword", "active",            .later = true },
    { "trigger_crash_dump", "active paused", .later = true, .since = MV(17) },
};
/* clang-format on */

const char *compute_action_name(guint i)
{
    for (guint k = 0; k < G_N_ELEMENTS(actions); k++)
        if (!actions[k].later && i-- == 0)
            return actions[k].name;
    return i == 0 ? "os-getConsoleOutput" : NULL;        /* which answers with a body, and so has a function of its own */
}


static bool word_in(const char *list, const char *word)
{
    g_auto(GStrv) words = g_strsplit(list, " ", -1);
    return g_strv_contains((const char *const *) words, word);
}

static bool check_states(const Action *a, const Server *s, GError **err)
{
    const char *label = strncmp(a->name, "os-", 3) == 0 ? a->name + 3 : a->name;
    if (s->task_state && g_strcmp0(a->task_states, "*") != 0 && !(a->task_states && word_in(a->task_states, s->task_state)))
        return nv_fail(err, NV_ERR_CONFLICT, "Cannot '%s' instance %s while it is in task_state %s", label, s->id, s->task_state);
    if (a->vm_states && !word_in(a->vm_states, s->vm_state))
        return nv_fail(err, NV_ERR_CONFLICT, "Cannot '%s' instance %s while it is in vm_state %s", label, s->id, s->vm_state);
    return !a->needs_host || s->host || nv_fail(err, NV_ERR_CONFLICT, "Instance %s is not ready", s->id);
}

static bool start(Call *c, const Action *a, const Server *s, GError **err)
{
    bool graceful = a->kind == &op_server_stop || a->kind == &op_server_reboot_soft;
    json_t *args = json_make("i", "graceful_s", graceful ? conf_int("compute.shutdown_s") : (gint64) 0);
    return db_exec(c->db, err, "server_task", "ss", s->id, a->task_state) && op_start(c->db, c->ctx, a->kind, s->id, s->host, args, err);
}

/* Guests write anything to their consoles: what JSON's readers choke on is dropped, as Nova does. */
static char *printable(const char *text)
{
    GString *out = g_string_new(NULL);
    for (const char *p = text ? text : ""; *p; p++)
        if ((guchar) *p >= 0x20 || *p == '\t' || *p == '\n')
            g_string_append_c(out, *p);
    return g_string_free(out, FALSE);
}

static void keep_lines(char *text, gint64 lines)
{
    char *p = text + strlen(text);
    if (p > text && p[-1] == '\n')
        p--;
    while (p > text && !(*p == '\n' && --lines == 0))
        p--;
    if (*p == '\n')
        memmove(text, p + 1, strlen(p));
}

static bool console_output(Call *c, const json_t *body, GError **err)
{
    enum { MOST = 1 << 20 };
    g_autoptr(Server) s = server_get_for(c->db, c->ctx, c->params[0], err);
    const json_t *length = json_object_get(body, "length");
    if (!s)
        return false;
    if (!s->host || strcmp(s->vm_state, "building") == 0)
        return nv_fail(err, NV_ERR_CONFLICT, "Instance %s is not ready", s->id);
    g_autoptr(json_t) answer = agent_call(s->host, "console.read", json_make("si", "id", s->id, "bytes", (gint64) MOST), 10, err);
    if (!answer)
        return false;
    g_autofree char *text = printable(json_get_str(answer, "output"));
    if (length && !json_is_null(length) && flexible_int(length) == 0)
        *text = '\0';
    else if (length && flexible_int(length) > 0)
        keep_lines(text, flexible_int(length));
    return call_reply(c, 200, json_make("s", "output", text));
}

static const Action *find(const Call *c, const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(actions); i++)
        if (strcmp(actions[i].name, name) == 0 && c->ctx->mv >= actions[i].since && (!actions[i].until || c->ctx->mv <= actions[i].until))
            return &actions[i];
    return NULL;
}

static bool not_offered(Call *c, const Action *a)
{
    g_autofree char *text = g_strdup_printf("Unable to complete the requested action: this cloud does not offer %s.", a->name);
    return call_reply(c, 501, json_make("o", "notImplemented", json_make("is", "code", (gint64) 501, "message", text)));
}

static bool perform(Call *c, const Action *a, const json_t *body, GError **err)
{
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Server) s = txn.db ? server_get_for(c->db, c->ctx, c->params[0], err) : NULL;
    if (!s)
        return false;
    if (a->admin && !c->ctx->admin)
        return nv_fail(err, NV_ERR_FORBIDDEN, "Policy doesn't allow %s to be performed.", a->name);
    if ((!a->ignores_lock && !server_check_unlocked(s, c->ctx, err)) || !check_states(a, s, err))
        return false;
    if (a->later)
        return not_offered(c, a);
    return (a->kind ? start(c, a, s, err) : a->run(c, s, body, err)) && txn_commit(&txn, err) && call_reply_empty(c, 202);
}

bool server_action(Call *c, GError **err)
{
    const char *name = NULL;
    json_t *body = NULL, *v;
    const char *key;
    if (!json_is_object(c->body) || json_object_size(c->body) != 1)
        return nv_fail(err, NV_ERR_INVALID, json_object_size(c->body) ? "Multiple actions specified in request body" : "Malformed request body");
    json_object_foreach(c->body, key, v) {
        name = key;
        body = v;
    }
    const Action *console = NULL;
    if (strcmp(name, "os-getConsoleOutput") == 0)
        return check_console(c, body, &console, err) && console_output(c, body, err);
    if (strcmp(name, "resetNetwork") == 0)       /* taken out of Nova */
        return call_reply(c, 410, json_make("o", "gone", json_make("is", "code", (gint64) 410, "message", "This action is no longer available.")));
    const Action *a = find(c, name);
    if (!a)
        return nv_fail(err, NV_ERR_INVALID, "There is no such action: %.64s", name);
    return (!a->check || a->check(c, body, &a, err)) && perform(c, a, body, err);
}
