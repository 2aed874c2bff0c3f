/* compute/host.c -- hosts: their facts as the agents tell them, and how full they are. */
#include "compute/internal.h"
#include "core/conf.h"
#include "core/id.h"
#include "network/network.h"
#include <string.h>

bool host_states(Db *db, GArray **ret_states, json_t **ret_rows, GError **err)
{
    g_autoptr(json_t) rows = db_query(db, err, "host_rooms", ""), physical = rows ? network_physical_of_hosts(db, err) : NULL;
    size_t i;
    json_t *h;
    if (!physical)
        return false;
    GArray *states = g_array_new(FALSE, TRUE, sizeof(HostState));
    json_array_foreach(rows, i, h) {
        const char *name = json_get_str(h, "name");
        json_t *on = json_object_get(physical, name);
        if (on)
            json_object_set(h, "physical", on);
        HostState s = {
            .name = name, .zone = json_get_str(h, "zone"),
            .up = agent_is_up(name) && !json_get_int(h, "forced_down", 0), .enabled = json_get_int(h, "enabled", 0),
            .vcpus = json_get_int(h, "vcpus", 0), .disk_gb = json_get_int(h, "disk_gb", 0),
            .memory_mb = MAX(0, json_get_int(h, "memory_mb", 0) - conf_int("scheduler.reserved_memory_mb")),
            .used_vcpus = json_get_int(h, "used_vcpus", 0), .used_memory_mb = json_get_int(h, "used_memory_mb", 0),
            .used_disk_gb = json_get_int(h, "used_disk_gb", 0), .servers = json_get_int(h, "servers", 0),
            .ratio_vcpus = conf_real("scheduler.cpu_ratio"), .ratio_memory = conf_real("scheduler.memory_ratio"),
            .ratio_disk = conf_real("scheduler.disk_ratio"), .physical = on,
        };
        g_array_append_val(states, s);
    }
    *ret_states = states;
    *ret_rows = g_steal_pointer(&rows);
    return true;
}

static const char *text_of(const json_t *facts, const char *key)
{
    const char *s = json_get_str(facts, key);
    return s ? s : "";
}

bool host_update(Db *db, const char *name, const json_t *facts, GError **err)
{
    g_autofree char *id = id_new();
    g_auto(Txn) txn = txn_begin(db, err);
    if (!txn.db || !db_exec(db, err, "host_put", "sssiiissssss", id, name, text_of(facts, "hostname"), json_get_int(facts, "vcpus", 0),
                 json_get_int(facts, "memory_mb", 0), json_get_int(facts, "disk_gb", 0), text_of(facts, "virt_type"), text_of(facts, "virt_reason"),
                 text_of(facts, "hypervisor_version"), text_of(facts, "libvirt_version"), text_of(facts, "cpu_model"),
                 text_of(facts, "boot_id")))
        return false;
    return txn_commit(&txn, err);
}
