/* compute/server_ops.c -- the life of a server, as lists of steps that may be repeated at any time. */
#include "compute/internal.h"
#include "core/clock.h"
#include "core/log.h"
#include "network/network.h"
#include <string.h>

enum { PLACE_PATIENCE = 6, DISK_TIMEOUT_S = 900, DOMAIN_TIMEOUT_S = 120 };

/* --- what steps ask the agent for --- */
static bool ask(const char *host, const char *verb, json_t *args, int timeout_s, GError **err)
{
    g_autoptr(json_t) answer = agent_call(host, verb, args, timeout_s, err);
    return answer != NULL;
}

static bool ask_id(const char *host, const char *verb, const char *id, GError **err)
{
    return ask(host, verb, json_make("s", "id", id), 120, err);
}

/* Takes everything of the server away from the host; the rows stay.  What is on a host that left the configuration is not ours to undo. */
static bool unmake(Db *db, const char *host, const char *id, GError **err)
{
    if (!agent_is_configured(host))
        return true;
    return ask_id(host, "domain.absent", id, err) && ask_id(host, "disk.absent", id, err) && network_ports_unplug(db, host, id, err);
}

static json_t *disk_args(const Server *s)
{
    json_t *image = json_make("sssii", "id", s->image_id, "sha512", json_get_str(s->image_meta, "sha512"),
                              "format", json_get_str(s->image_meta, "format"),
                              "size", json_get_int(s->image_meta, "size", 0), "virtual_size", json_get_int(s->image_meta, "virtual_size", 0));
    return json_make("soi", "id", s->id, "image", image, "size_gb", s->disk_gb);
}

static const char *image_property(const Server *s, const char *name)
{
    return json_get_str(json_object_get(s->image_meta, "properties"), name);
}

static json_t *nics_of(Db *db, const char *id, GError **err)
{
    const char *ids[] = { id, NULL };
    return network_nics(db, ids, err);
}

static json_t *domain_nics(Db *db, const Server *s, GError **err)
{
    g_autoptr(json_t) nics = nics_of(db, s->id, err);
    const char *model = image_property(s, "hw_vif_model");
    size_t i;
    json_t *nic;
    if (!nics)
        return NULL;
    json_t *list = json_array();
    json_array_foreach(nics, i, nic)
        json_array_append_new(list, json_make("ssis", "port_id", json_get_str(nic, "id"), "mac", json_get_str(nic, "mac"), "mtu",
                                              json_get_int(nic, "mtu", 1500), "model", model ? model : "virtio"));
    return list;
}

static json_t *domain_args(Op *op, GError **err)
{
    g_autoptr(Server) s = server_get(op->db, op->resource_id, err);
    json_t *nics = s ? domain_nics(op->db, s, err) : NULL;
    if (!nics)
        return NULL;
    char created[32];
    const char *bus = image_property(s, "hw_disk_bus");
    clock_format(s->created_at, CLOCK_SECONDS_Z, created);
    json_t *spec = json_make("sssssiissobso", "name", s->name, "project_id", s->project_id, "user_id", s->user_id, "flavor", s->flavor_name,
                             "created_at", created, "memory_mb", s->memory_mb, "vcpus", s->vcpus, "disk_bus", bus ? bus : "virtio",
                             "disk_format", "qcow2", "nics", nics,
                             "seed", (int) s->config_drive, "machine", image_property(s, "hw_machine_type"), "properties",
                             json_incref(json_object_get(s->image_meta, "properties")));
    return json_make("so", "id", s->id, "spec", spec);
}

static bool ensure_seed(Db *db, const Server *s, const char *host, GError **err)
{
    g_autoptr(json_t) guest = db_query(db, err, "server_guest_get", "s", s->id), nics = guest ? nics_of(db, s->id, err) : NULL;
    g_autoptr(json_t) network = nics ? network_data(db, s->id, err) : NULL;
    if (!network)
        return false;
    const json_t *row = json_array_get(guest, 0);
    GuestData g = { .server = s, .nics = nics, .network_data = network, .user_data = json_get_str(row, "user_data"),
                    .admin_pass = json_get_str(row, "admin_pass") };
    return ask(host, "seed.ensure", json_make("so", "id", s->id, "files", metadata_drive(&g)), 120, err);
}

/* --- placement --- */
static void add_hosts(GPtrArray *out, GPtrArray *memory, const json_t *names)
{
    size_t i;
    json_t *n;
    json_array_foreach((json_t *) names, i, n) {
        char *copy = g_strdup(json_is_string(n) ? json_string_value(n) : json_get_str(n, "host"));
        g_ptr_array_add(memory, copy);
        g_ptr_array_add(out, copy);
    }
}

/* Hosts of the servers that a scheduler hint names. */
static json_t *hint_hosts(Db *db, const char *project_id, const json_t *hint, GError **err)
{
    g_autofree char *ids = json_is_string(hint) ? g_strdup_printf("[\"%s\"]", json_string_value(hint)) : json_text(hint);
    return db_query(db, err, "server_hosts_of", "ss", ids, project_id);
}

/* Hosts that are out of the question: tried before, or against a hint. */
static bool avoided(Op *op, const Server *s, const GArray *states, GPtrArray *out, GPtrArray *memory, GError **err)
{
    const json_t *hints = json_object_get(op->args, "hints");
    const json_t *apart = json_object_get(hints, "different_host"), *together = json_object_get(hints, "same_host");
    add_hosts(out, memory, s->tried);
    if (apart) {
        g_autoptr(json_t) hosts = hint_hosts(op->db, s->project_id, apart, err);
        if (!hosts)
            return false;
        add_hosts(out, memory, hosts);
    }
    if (together) {
        g_autoptr(json_t) hosts = hint_hosts(op->db, s->project_id, together, err);
        g_autoptr(GPtrArray) wanted = g_ptr_array_new();
        if (!hosts)
            return false;
        add_hosts(wanted, memory, hosts);
        g_ptr_array_add(wanted, NULL);
        for (guint i = 0; wanted->len > 1 && i < states->len; i++) {
            char *name = (char *) g_array_index(states, HostState, i).name;
            if (!g_strv_contains((const char *const *) wanted->pdata, name))
                g_ptr_array_add(out, name);
        }
    }
    g_ptr_array_add(out, NULL);
    return true;
}

static bool without_bandwidth(Db *db, const Server *s, GPtrArray *out, GPtrArray *memory, GError **err)
{
    g_autoptr(json_t) hosts = NULL;
    if (!network_narrow_hosts(db, s->id, &hosts, err))
        return false;
    add_hosts(out, memory, hosts);
    g_ptr_array_add(out, NULL);
    return true;
}

/* True when a host that may yet answer was left out because it is down: our own start must not fail what was promised before it. */
static bool may_come_up(const GArray *states)
{
    for (guint i = 0; i < states->len; i++)
        if (g_array_index(states, HostState, i).enabled && !g_array_index(states, HostState, i).up)
            return true;
    return states->len == 0;
}

static bool record_decision(Op *op, const json_t *why, bool ok, GError **err)
{
    g_autofree char *text = json_text(why);
    return db_exec(op->db, err, "op_event_put", "ississ", op->id, op->kind->name, "decision", clock_wall_us(), ok ? "Success" : "Error", text);
}

static bool claim(Op *op, const Server *s, const HostState *h, GError **err)
{
    return db_exec(op->db, err, "server_place", "sss", s->id, h->name, h->zone) && network_ports_bind(op->db, s->id, h->name, err)
        && op_set_host(op, h->name, err);
}

/* Choice and claim are one transaction: two servers never take the same room. */
static bool place_now(Op *op, bool *ret_wait, GError **err)
{
    g_autoptr(GArray) states = NULL;
    g_autoptr(json_t) rows = NULL, why = NULL;
    g_autoptr(GPtrArray) avoid = g_ptr_array_new(), narrow = g_ptr_array_new(), memory = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) none = NULL;
    g_auto(Txn) txn = txn_begin(op->db, err);
    g_autoptr(Server) s = txn.db ? server_get(op->db, op->resource_id, err) : NULL;
    if (!s)
        return false;
    if (s->host)                                 /* an earlier attempt placed it */
        return op_set_host(op, s->host, err) && txn_commit(&txn, err);
    g_autoptr(json_t) physical = network_physical_of_server(op->db, s->id, err);
    if (!physical || !host_states(op->db, &states, &rows, err) || !avoided(op, s, states, avoid, memory, err)
        || !without_bandwidth(op->db, s, narrow, memory, err))
        return false;
    Demand d = { .vcpus = s->vcpus, .memory_mb = s->memory_mb, .disk_gb = s->disk_gb + s->ephemeral_gb, .zone = s->asked_zone, .host = s->asked_host,
                 .avoid = (const char *const *) avoid->pdata, .narrow = (const char *const *) narrow->pdata,
                 .physical = physical };
    int chosen = scheduler_pick(&d, (const HostState *) (void *) states->data, states->len, &why, &none);
    *ret_wait = chosen < 0 && op->attempt < PLACE_PATIENCE && may_come_up(states);
    if (chosen >= 0)
        return record_decision(op, why, true, err) && claim(op, s, &g_array_index(states, HostState, chosen), err) && txn_commit(&txn, err);
    if (!*ret_wait && (!record_decision(op, why, false, err) || !txn_commit(&txn, err)))
        return false;
    if (s->fault_message)                        /* what went wrong on the host that was tried first says more */
        return nv_fail(err, NV_ERR_NO_HOST, "%s (and no other host can take the server)", s->fault_message);
    g_propagate_error(err, g_steal_pointer(&none));
    return false;
}

static Verdict place(Op *op, GError **err)
{
    bool wait = false;
    bool ok = place_now(op, &wait, err);
    return wait ? STEP_WAIT : op_verdict(ok, err);
}

/* --- steps --- */
static Verdict plug(Op *op, GError **err)
{
    return op_verdict(network_ports_plug(op->db, op->host, op->resource_id, err), err);
}

static Verdict make_disk(Op *op, GError **err)
{
    g_autoptr(Server) s = server_get(op->db, op->resource_id, err);
    bool ok = s && ask(op->host, "disk.ensure", disk_args(s), DISK_TIMEOUT_S, err);
    return op_verdict(ok && (!s->config_drive || ensure_seed(op->db, s, op->host, err)), err);
}

static bool became_active(Op *op, const json_t *answer, GError **err)
{
    (void) answer;
    return db_exec(op->db, err, "server_active", "s", op->resource_id);
}

static bool became_stopped(Op *op, const json_t *answer, GError **err)
{
    (void) answer;
    return db_exec(op->db, err, "server_stopped", "si", op->resource_id, (gint64) POWER_SHUTDOWN);
}

/* The agent presses the power button and says "again", until the guest has shut down or its time is up. */
static json_t *stop_args(Op *op, GError **err)
{
    (void) err;
    gint64 waited_s = op->since ? MAX(0, clock_wall_us() - op->since) / G_USEC_PER_SEC : 0;
    gint64 graceful_s = json_get_int(op->args, "graceful_s", 0), left_s = MAX(0, graceful_s - waited_s);
    if (graceful_s && !left_s)
        log_info("server.shutdown_timed_out", "id", op->resource_id, "seconds", LOG_INT(graceful_s), NULL);
    return json_make("si", "id", op->resource_id, "graceful_s", left_s);
}

/* Before the next host is tried: nothing stays on the one that failed. */
static bool start_over(Op *op, GError **err)
{
    g_autoptr(GArray) states = NULL;
    g_autoptr(json_t) rows = NULL;
    bool other = false;
    g_autoptr(Server) s = server_get(op->db, op->resource_id, err);
    if (!s)
        return false;
    /* The host was let go, and then we ended before the cursor moved. */
    if (!s->host && !op->error)
        return true;
    if (!host_states(op->db, &states, &rows, err))
        return false;
    for (guint i = 0; s->host && !s->asked_host && i < states->len; i++) {
        const HostState *h = &g_array_index(states, HostState, i);
        other = other || (h->enabled && strcmp(h->name, s->host) != 0);     /* one that is down may come up: the placement waits for it */
    }
    if (!other)
        return nv_fail(err, NV_ERR_NO_HOST, "%s", op->error ? op->error : "the host could not start the server");
    if (!unmake(op->db, s->host, s->id, err))
        return false;
    log_info("server.reschedule", "id", s->id, "from", s->host, "why", op->error, NULL);
    g_auto(Txn) txn = txn_begin(op->db, err);
    if (!txn.db || !db_exec(op->db, err, "server_reschedule", "sss", s->id, s->host, op->error)
        || !db_exec(op->db, err, "server_op_forgive", "i", op->id) || !op_set_host(op, NULL, err) || !txn_commit(&txn, err))
        return false;
    g_clear_pointer(&op->error, g_free);
    return true;
}

static Verdict again(Op *op, GError **err)
{
    return op_verdict(start_over(op, err), err);
}

static Verdict clean(Op *op, GError **err)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(Server) s = server_get(op->db, op->resource_id, &why);
    if (!s && nv_error_code(why) == NV_ERR_NOT_FOUND)
        return STEP_DONE;
    if (!s) {
        g_propagate_error(err, g_steal_pointer(&why));
        return op_verdict(false, err);
    }
    /* The host may have been chosen after this operation was queued. */
    if (s->host && g_strcmp0(s->host, op->host) != 0 && !op_set_host(op, s->host, err))
        return op_verdict(false, err);
    return op_verdict(unmake(op->db, s->host, s->id, err), err);
}

static bool set_error(Op *op, bool release, GError **err)
{
    g_autofree char *details = g_strdup_printf("operation %" G_GINT64_FORMAT " on host %s: %s", op->id, op->host ? op->host : "(none)",
                                               op->error ? op->error : "failed");
    g_auto(Txn) txn = txn_begin(op->db, err);
    return txn.db && (!release || network_ports_release(op->db, op->resource_id, err))
        && db_exec(op->db, err, release ? "server_failed" : "server_broken", "sss", op->resource_id,
                   op->error ? op->error : "the operation failed", details)
        && txn_commit(&txn, err);
}

/* After a failed create: nothing is left on any host, so it takes no room either. */
static Verdict settle_unmade(Op *op, GError **err)
{
    return op_verdict(set_error(op, true, err), err);
}

static Verdict settle_broken(Op *op, GError **err)
{
    return op_verdict(set_error(op, false, err), err);
}

/* The row as it is remembered: column → value; see server_revive. */
static json_t *record_of(Server *s)
{
    static const char *const dropped[] = { "key_data", "image_meta", "tried", NULL };
    json_t *o = json_object();
    for (EACH_FIELD(&server_resource, f, i)) {
        if (g_strv_contains(dropped, f->col) || (s->row.null & 1ull << i))
            continue;
        if (f->type == T_STR)
            json_object_set_new(o, f->col, json_string(*FIELD_PTR(s, f, char *)));
        else if (f->type == T_INT || f->type == T_TIME)
            json_object_set_new(o, f->col, json_integer(*FIELD_PTR(s, f, gint64)));
        else if (f->type == T_BOOL)
            json_object_set_new(o, f->col, json_integer(*FIELD_PTR(s, f, bool)));
        else {
            g_autofree char *text = json_text(*FIELD_PTR(s, f, json_t *));
            json_object_set_new(o, f->col, json_string(text));
        }
    }
    return o;
}

static bool forget(Op *op, GError **err)
{
    g_autoptr(GError) why = NULL;
    g_auto(Txn) txn = txn_begin(op->db, err);
    g_autoptr(Server) s = txn.db ? server_get(op->db, op->resource_id, &why) : NULL;
    if (!txn.db)
        return false;
    if (!s && nv_error_code(why) == NV_ERR_NOT_FOUND)
        return true;
    if (!s) {
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    ROW_SET_STR(s, vm_state, "deleted");
    ROW_SET_STR(s, task_state, NULL);
    ROW_SET_INT(s, power_state, POWER_NONE);
    ROW_SET_INT(s, terminated_at, clock_wall_us());
    ROW_SET_INT(s, updated_at, s->terminated_at);
    g_autoptr(json_t) record = record_of(s);
    g_autofree char *text = json_text(record);
    return network_ports_release(op->db, s->id, err)
        && db_exec(op->db, err, "server_deleted_put", "sssssi", s->id, s->project_id, s->user_id, s->name, text, s->terminated_at)
        && db_exec(op->db, err, "server_delete", "s", s->id) && txn_commit(&txn, err);
}

static Verdict gone(Op *op, GError **err)
{
    return op_verdict(forget(op, err), err);
}

/* --- the kinds; names of kinds and steps are stored: they are only ever added to --- */
/* clang-format off */
#define STEP_PLACE  { .name = "place",  .run = place }
#define STEP_PORTS  { .name = "ports",  .run = plug }
#define STEP_DISK   { .name = "disk",   .run = make_disk }
#define STEP_DOMAIN { .name = "domain", .verb = "domain.ensure", .args = domain_args, .done = became_active, .timeout_s = DOMAIN_TIMEOUT_S }
#define STEP_STOP   { .name = "stop",   .verb = "domain.stopped.ensure", .args = stop_args }

static const Step create_steps[]   = { STEP_PLACE, STEP_PORTS, STEP_DISK, STEP_DOMAIN };
static const Step retry_steps[]    = { { .name = "again", .run = again }, STEP_PLACE, STEP_PORTS, STEP_DISK, STEP_DOMAIN };
static const Step rollback_steps[] = { { .name = "clean", .run = clean }, { .name = "error", .run = settle_unmade } };
static const Step broken_steps[]   = { { .name = "error", .run = settle_broken } };
static const Step delete_steps[]   = { { .name = "clean", .run = clean }, { .name = "gone", .run = gone } };
static const Step start_steps[]    = { STEP_PORTS, STEP_DOMAIN };
static const Step stop_steps[]     = { { .name = "stop", .verb = "domain.stopped.ensure", .args = stop_args, .done = became_stopped } };
static const Step reboot_steps[]   = { STEP_STOP, STEP_PORTS, STEP_DOMAIN };
static const Step heal_steps[]     = { STEP_PORTS, STEP_DISK, STEP_DOMAIN };

static const OpKind server_rollback = { .name = "server.rollback", STEPS(rollback_steps), .never_gives_up = true };
static const OpKind server_broken   = { .name = "server.broken",   STEPS(broken_steps), .never_gives_up = true };
static const OpKind server_retry2   = { .name = "server.create.3", STEPS(retry_steps), .on_fail = &server_rollback };
static const OpKind server_retry    = { .name = "server.create.2", STEPS(retry_steps), .on_fail = &server_retry2 };

const OpKind op_server_create      = { .name = "server.create",      STEPS(create_steps), .on_fail = &server_retry };
const OpKind op_server_delete      = { .name = "server.delete",      STEPS(delete_steps), .preempts = true, .never_gives_up = true };
const OpKind op_server_start       = { .name = "server.start",       STEPS(start_steps),  .on_fail = &server_broken };
const OpKind op_server_stop        = { .name = "server.stop",        STEPS(stop_steps),   .on_fail = &server_broken };
const OpKind op_server_reboot_soft = { .name = "server.reboot",      STEPS(reboot_steps), .on_fail = &server_broken };
const OpKind op_server_reboot_hard = { .name = "server.reboot.hard", STEPS(reboot_steps), .on_fail = &server_broken };
const OpKind op_server_heal        = { .name = "server.heal",        STEPS(heal_steps),   .on_fail = &server_broken };

const OpKind *const compute_op_kinds[] = {
    &op_server_create, &server_retry, &server_retry2, &server_rollback, &server_broken, &op_server_delete, &op_server_start, &op_server_stop,
    &op_server_reboot_soft, &op_server_reboot_hard, &op_server_heal, NULL,
};
/* clang-format on */
