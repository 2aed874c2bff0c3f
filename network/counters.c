/* network/counters.c -- what each rule of a security group has let through, summed over the hosts where the group is in force. */
#include "core/id.h"
#include "network/internal.h"
#include "ops/agent.h"
#include <string.h>

enum { ASK_S = 10 };

typedef struct Sum { gint64 packets, bytes; } Sum;

/* Adds what one host has counted. */
static bool add_host(const char *host, const char *group_id, GHashTable *sums)
{
    g_autoptr(json_t) answer = agent_is_up(host) ? agent_call(host, "group.counters", json_make("s", "id", group_id), ASK_S, NULL) : NULL;
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(answer, "rules"), i, one) {
        const char *rule = json_get_str(one, "rule");
        Sum *sum = g_hash_table_lookup(sums, rule);
        if (!sum)
            g_hash_table_insert(sums, g_strdup(rule), sum = g_new0(Sum, 1));
        sum->packets += json_get_int(one, "packets", 0);
        sum->bytes += json_get_int(one, "bytes", 0);
    }
    return answer != NULL;
}

static json_t *rule_entry(const json_t *rule, GHashTable *sums)
{
    static const char *const shown[] = { "direction", "ethertype", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix",
                                         "remote_group_id", "remote_address_group_id" };
    const char *id = json_get_str(rule, "id");
    const Sum *sum = g_hash_table_lookup(sums, id_12(id).s);
    json_t *entry = json_make("sii", "id", id, "packets", sum ? sum->packets : (gint64) 0, "bytes", sum ? sum->bytes : (gint64) 0);
    for (gsize i = 0; i < G_N_ELEMENTS(shown); i++) {
        json_t *v = json_object_get(rule, shown[i]);
        json_object_set_new(entry, shown[i], v ? json_incref(v) : json_null());
    }
    return entry;
}

/* For the group's owner; a group that is shared with the caller has no counters for him. */
bool group_counters(Call *c, GError **err)
{
    g_autoptr(Group) g = AS(Group, row_get_for(c->db, &security_group_resource, c->ctx, c->params[0], true, err));
    g_autoptr(json_t) hosts = g ? db_query(c->db, err, "group_hosts", "s", g->id) : NULL;
    g_autoptr(GHashTable) sums = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    bool complete = true;
    size_t i;
    json_t *one;
    if (!hosts)
        return false;
    json_array_foreach(hosts, i, one)
        complete = add_host(json_get_str(one, "host"), g->id, sums) && complete;
    json_t *rules = json_array();
    json_array_foreach(g->rules, i, one)
        json_array_append_new(rules, rule_entry(one, sums));
    return call_reply(c, 200, json_make("o", "counters", json_make("sibo", "security_group_id", g->id, "hosts", (gint64) json_array_size(hosts),
                                                                   "complete", (int) complete, "rules", rules)));
}
