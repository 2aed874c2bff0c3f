/* network/agent/verbs.c -- what the controller may ask of a host's network, and what is known to be wanted here. */
#include "core/error.h"
#include "core/log.h"
#include "network/agent/agent.h"
#include "network/agent/counters.h"
#include "network/agent/dhcp.h"
#include "network/agent/driver.h"
#include "network/agent/link.h"
#include "network/agent/metadata.h"
#include "network/agent/netns.h"
#include "network/agent/promise.h"
#include "network/agent/relay.h"
#include "network/agent/routing.h"
#include "network/agent/segment.h"
#include "network/agent/wanted.h"
#include "network/agent/watch.h"
#include "network/agent/wiring.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static json_t *answer(bool ok)
{
    return ok ? json_object() : NULL;
}

/* The 12 digits that every name is made of. */
static Id12 name_of(const json_t *args)
{
    return id_12(json_get_str(args, "id"));
}

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) > 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static json_t *network_ensure(const json_t *args, GError **err)
{
    g_autoptr(NetworkSpec) spec = spec_network_parse(args, err);
    if (!spec)
        return NULL;
    if (spec->host_addresses->len && !write_file("/proc/sys/net/ipv4/ip_forward", "1"))
        return nv_fail_errno(err, NV_ERR_HOST_FAULT, "the host cannot be made a gateway: ip_forward"), NULL;
    g_mutex_lock(wanted_lock());
    bool ok = driver()->network_rules_ensure(spec, err) && wiring_network_ensure(spec, err);
    if (ok)
        wanted_network_put(g_steal_pointer(&spec));
    g_mutex_unlock(wanted_lock());
    return answer(ok);
}

static json_t *network_absent(const json_t *args, GError **err)
{
    Id12 n = name_of(args);
    g_mutex_lock(wanted_lock());
    wanted_network_drop(n.s);
    g_mutex_unlock(wanted_lock());
    /* Not wanted any more, so no repair makes it again; the kernel takes its time to remove links, and others need not wait for it. */
    return answer(wiring_network_absent(n.s, err) && driver()->network_rules_absent(n.s, err));
}

static json_t *group_ensure(const json_t *args, GError **err)
{
    g_autoptr(GroupSpec) spec = spec_group_parse(args, err);
    return answer(spec && driver()->group_ensure(g_steal_pointer(&spec), err));
}

static json_t *group_absent(const json_t *args, GError **err)
{
    return answer(driver()->group_absent(name_of(args).s, err));
}

static json_t *group_counters(const json_t *args, GError **err)
{
    g_autoptr(GHashTable) sums = counters_new();
    if (!driver()->group_counters(name_of(args).s, sums, err))
        return NULL;
    json_t *list = json_array();
    GHashTableIter it;
    gpointer id, value;
    g_hash_table_iter_init(&it, sums);
    while (g_hash_table_iter_next(&it, &id, &value)) {
        const Counter *c = value;
        json_array_append_new(list, json_make("sii", "rule", id, "packets", (gint64) c->packets, "bytes", (gint64) c->bytes));
    }
    return json_make("o", "rules", list);
}

static json_t *port_ensure(const json_t *args, GError **err)
{
    g_autoptr(PortSpec) spec = spec_port_parse(args, err), rules = spec ? spec_port_parse(args, err) : NULL;
    LinkInfo bridge;
    if (!rules)
        return NULL;
    g_mutex_lock(wanted_lock());
    /* A port whose network is not here yet is asked for again, after its network. */
    bool ok = link_get(spec->bridge.s, &bridge, NULL) || nv_fail(err, NV_ERR_AGENT, "network %s is not on this host yet", spec->network.s);
    ok = ok && driver()->port_rules_ensure(g_steal_pointer(&rules), err) && wiring_port_ensure(spec, err);
    if (ok)
        wanted_port_put(g_steal_pointer(&spec));
    g_mutex_unlock(wanted_lock());
    return answer(ok);
}

static void free_port(gpointer p)
{
    spec_port_free(p);
}

static void free_group(gpointer g)
{
    spec_group_free(g);
}

/* {"groups": arguments of group.ensure, "ports": of port.ensure}: what will be asked for next.  A host that was just started has their rules in one
 * transaction instead of thousands; on others nothing is done. */
static json_t *rules_ensure(const json_t *args, GError **err)
{
    g_autoptr(GPtrArray) groups = g_ptr_array_new_with_free_func(free_group), ports = g_ptr_array_new_with_free_func(free_port);
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(args, "groups"), i, one) {
        GroupSpec *spec = spec_group_parse(one, NULL);
        if (spec)
            g_ptr_array_add(groups, spec);
    }
    json_array_foreach(json_object_get(args, "ports"), i, one) {
        PortSpec *spec = spec_port_parse(one, NULL);
        if (spec)
            g_ptr_array_add(ports, spec);
    }
    g_mutex_lock(wanted_lock());
    bool ok = !driver()->prime || driver()->prime(groups, ports, err);
    g_mutex_unlock(wanted_lock());
    return answer(ok);
}

/* Asked with what port.ensure is asked with; changes nothing. */
static json_t *port_check(const json_t *args, GError **err)
{
    g_autoptr(PortSpec) spec = spec_port_parse(args, err);
    g_autoptr(json_t) missing = json_array(), rules = json_array();
    bool checked = driver()->port_check != NULL;
    if (!spec || (checked && !driver()->port_check(spec, missing, rules, err)))
        return NULL;
    return json_make("boo", "checked", (int) checked, "missing", json_incref(missing), "rules", json_incref(rules));
}

static json_t *port_absent(const json_t *args, GError **err)
{
    Id12 n = name_of(args);
    g_mutex_lock(wanted_lock());
    wanted_port_drop(n.s);
    g_mutex_unlock(wanted_lock());
    /* The tap goes first: it is never there without its rules. */
    return answer(wiring_port_absent(n.s, err) && driver()->port_rules_absent(n.s, err));
}

static json_t *router_ensure(const json_t *args, GError **err)
{
    g_autoptr(RouterSpec) spec = router_spec_parse(args, err);
    return answer(spec && routing_ensure(g_steal_pointer(&spec), err));
}

static json_t *router_absent(const json_t *args, GError **err)
{
    return answer(routing_absent(name_of(args).s, err));
}

static GHashTable *names_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

static bool add_links(GHashTable *names, const char *prefix, GError **err)
{
    g_autoptr(GArray) links = link_list(prefix, err);
    for (guint i = 0; links && i < links->len; i++) {
        const char *name = g_array_index(links, LinkInfo, i).name;
        if (strlen(name) == 15)
            g_hash_table_add(names, g_strdup(name + 3));
    }
    return links != NULL;
}

static void add_all(GHashTable *names, GPtrArray *list_stolen, gsize skip)
{
    g_autoptr(GPtrArray) list = list_stolen;
    for (guint i = 0; i < list->len; i++)
        g_hash_table_add(names, g_strdup((const char *) list->pdata[i] + skip));
}

static json_t *sorted(GHashTable *names)
{
    g_autoptr(GList) keys = g_list_sort(g_hash_table_get_keys(names), (GCompareFunc) strcmp);
    json_t *list = json_array();
    for (GList *k = keys; k; k = k->next)
        json_array_append_new(list, json_string(k->data));
    return list;
}

/* Pieces of what nobody asked for are told; what was asked for is told only when it is complete, so that it will be asked for again. */
static json_t *net_list(const json_t *args, GError **err)
{
    g_autoptr(GHashTable) networks = names_new(), ports = names_new(), groups = names_new(), spaces = names_new(), taps = names_new();
    g_autoptr(GHashTable) routers = names_new();
    (void) args;
    if (!driver()->list(ports, groups, err) || !add_links(networks, "nvb", err) || !add_links(networks, "nvd", err) ||
        !add_links(networks, "nvx", err) || !add_links(networks, "nvu", err) || !add_links(taps, "nvt", err) ||
        !add_links(taps, "nvq", err))
        return NULL;
    add_all(networks, dhcp_list(), 0);
    add_all(networks, netns_list("nuvolet-"), strlen("nuvolet-"));
    add_all(spaces, netns_list("nuvolet-"), strlen("nuvolet-"));
    wanted_reduce(networks, ports, taps);
    routing_list(routers);
    return json_make("ooooo", "networks", sorted(networks), "ports", sorted(ports), "groups", sorted(groups), "namespaces", sorted(spaces),
                     "routers", sorted(routers));
}

static json_t *net_facts(const json_t *args, GError **err)
{
    (void) args, (void) err;
    return segment_facts();
}

#define ID { "id", ARG_ID, false }
static const VerbArg id_only[] = { ID, { NULL, 0, false } };
static const VerbArg network_args[] = {
    ID, { "mtu", ARG_INT, false }, { "zone", ARG_INT, false }, { "host_addresses", ARG_ARRAY, false }, { "nat", ARG_ARRAY, false },
    { "segment", ARG_OBJECT, true }, { "dhcp", ARG_OBJECT, true }, { NULL, 0, false },
};
static const VerbArg group_args[] = {
    ID, { "stateful", ARG_BOOL, false }, { "rules", ARG_ARRAY, false }, { "members4", ARG_ARRAY, false }, { "members6", ARG_ARRAY, false },
    { NULL, 0, false },
};
static const VerbArg port_args[] = {
    ID, { "network_id", ARG_ID, false }, { "mac", ARG_STR, false }, { "mtu", ARG_INT, false }, { "addresses", ARG_ARRAY, false },
    { "pairs", ARG_ARRAY, false }, { "groups", ARG_ARRAY, false }, { "port_security", ARG_BOOL, false },
    { "up", ARG_BOOL, false }, { "qos", ARG_OBJECT, true }, { "parent", ARG_OBJECT, true }, { NULL, 0, false },
};
static const VerbArg router_args[] = {
    ID, { "interfaces", ARG_ARRAY, false }, { "gateway", ARG_OBJECT, true }, { "floating", ARG_ARRAY, false }, { "forwardings", ARG_ARRAY, false },
    { "routes", ARG_ARRAY, false }, { "up", ARG_BOOL, false }, { NULL, 0, false },
};
static const VerbArg rules_args[] = { { "groups", ARG_ARRAY, false }, { "ports", ARG_ARRAY, false }, { NULL, 0, false } };
static const VerbArg attach_args[] = { { "token", ARG_ID, false }, { NULL, 0, false } };
static const VerbArg no_args[] = { { NULL, 0, false } };

const Verb network_verbs[] = {
    { "network.ensure", network_ensure, network_args }, { "network.absent", network_absent, id_only },
    { "group.ensure", group_ensure, group_args },       { "group.absent", group_absent, id_only },
    { "group.counters", group_counters, id_only },      { "rules.ensure", rules_ensure, rules_args },
    { "port.check", port_check, port_args },
    { "port.ensure", port_ensure, port_args },          { "port.absent", port_absent, id_only },
    { "router.ensure", router_ensure, router_args },    { "router.absent", router_absent, id_only },
    { "net.list", net_list, no_args },                  { "net.facts", net_facts, no_args },
    VERBS_END,
};
static const VerbStream attach = { "metadata.attach", relay_attach, attach_args };

void network_agent_on_free_taps(void (*fn)(GPtrArray *taps_stolen))
{
    wanted_on_free_taps(fn);
}

bool network_agent_start(GError **err)
{
    verb_stream_add(&attach);
    wanted_start();
    promise_start();
    return segment_start(err) && driver()->start(err) && dhcp_start(err) && metadata_start(err) && watch_start(err) &&
           routing_start(err);
}

bool network_agent_clear(GError **err)
{
    return driver()->clear(err);
}
