/* network/explain_call.c -- GET /ports/{id}/explain: the desired state of both ends, explained, and whether the hosts have it. */
#include "core/id.h"
#include "network/explain.h"
#include "network/router.h"
#include "ops/agent.h"
#include <string.h>

enum { ASK_S = 10 };

static json_t *groups_of(Db *db, const json_t *port, GError **err)
{
    g_autoptr(json_t) list = json_array();
    size_t i;
    json_t *id;
    json_array_foreach(json_object_get(port, "groups"), i, id) {
        json_t *group = desired_group_load(db, NULL, json_string_value(id), err);
        if (!group)
            return NULL;
        json_array_append_new(list, group);
    }
    return g_steal_pointer(&list);
}

static json_t *subnets_of(Db *db, const char *network_id, GError **err)
{
    g_autoptr(GPtrArray) rows = rows_where(db, &subnet_resource, err, "network_id", network_id, NULL);
    json_t *list = rows ? json_array() : NULL;
    for (guint i = 0; rows && i < rows->len; i++) {
        const Subnet *s = rows->pdata[i];
        json_array_append_new(list, json_make("ss", "cidr", s->cidr, "gateway", s->gateway_ip));
    }
    return list;
}

static json_t *place_of(const Router *r)
{
    return json_make("ssb", "id", r->id, "host", r->host, "up", (int) r->admin_state_up);
}

/* What answers for a port that no server has: {"role", "router"} in the end; false: the asker may not know of it. */
static bool add_role(Db *db, const Ctx *ctx, const Port *p, json_t *end)
{
    g_autoptr(Router) r = g_str_has_prefix(p->device_owner, "network:router_") ? router_find(db, NULL, p->device_id, NULL) : NULL;
    g_autoptr(Row) seen = r ? row_get_for(db, &router_resource, ctx, r->id, false, NULL) : NULL;
    if (strcmp(p->device_owner, "network:dhcp") == 0)
        json_object_set_new(end, "role", json_string("dhcp"));
    if (!r)
        return false;
    json_object_set_new(end, "role", json_string("router"));
    json_object_set_new(end, "router", place_of(r));
    return seen != NULL;
}

/* One end of the way; ctx NULL: its rules are not to be told. */
static json_t *end_of(Db *db, const Ctx *ctx, const char *port_id, GError **err)
{
    g_autoptr(Port) p = AS(Port, row_get(db, &port_resource, port_id, err));
    g_autoptr(Network) n = p ? network_find(db, NULL, p->network_id, err) : NULL;
    g_autoptr(Row) seen = n ? row_get_for(db, &port_resource, ctx, port_id, false, NULL) : NULL;
    g_autoptr(json_t) port = n ? desired_port_load(db, p->host, port_id, err) : NULL;
    g_autoptr(json_t) groups = port ? groups_of(db, port, err) : NULL, subnets = groups ? subnets_of(db, n->id, err) : NULL;
    if (!subnets)
        return NULL;
    json_t *end = json_make("osoob", "port", json_incref(port), "host", p->plugged ? p->host : NULL, "groups", json_incref(groups), "subnets",
                            json_incref(subnets), "host_gateway", (int) network_is_host_gateway(n));
    bool known = add_role(db, ctx, p, end);
    json_object_set_new(end, "disclosed", json_boolean(known || seen));
    return end;
}

/* Members of the groups that an end's rules name. */
static bool add_members(Db *db, const json_t *end, json_t *members, GError **err)
{
    size_t i, k;
    json_t *group, *rule;
    json_array_foreach(json_object_get(end, "groups"), i, group)
        json_array_foreach(json_object_get(group, "rules"), k, rule) {
            const char *id = json_get_str(rule, "remote_group");
            if (!id || json_object_get(members, id))
                continue;
            g_autoptr(json_t) remote = desired_group_load(db, NULL, id, err);
            if (!remote)
                return false;
            json_t *all = json_array();
            json_array_extend(all, json_object_get(remote, "members4"));
            json_array_extend(all, json_object_get(remote, "members6"));
            json_object_set_new(members, id, all);
        }
    return true;
}

static bool add_router(Db *db, const Ctx *ctx, const char *port_id, int version, json_t *scene, GError **err)
{
    g_autofree char *id = NULL;
    if (!db_query_str(db, err, &id, "explain_router", "si", port_id, (gint64) version))
        return false;
    g_autoptr(Row) seen = id ? row_get_for(db, &router_resource, ctx, id, false, NULL) : NULL;
    json_object_set_new(scene, "foreign_router", json_boolean(id && !seen));
    json_t *router = seen ? desired_router_load(db, id, err) : json_null();
    if (router && seen)
        json_object_set_new(router, "host", json_string(AS(const Router, seen)->host));
    return router && json_object_set_new(scene, "router", router) == 0;
}

/* Whom the sender may have meant: a port that the asker may see, on a network that cannot be reached from here. */
static bool add_elsewhere(Db *db, const Ctx *ctx, const char *address, json_t *scene, GError **err)
{
    g_autoptr(json_t) found = db_query(db, err, "explain_elsewhere", "ss", address, sees_project(ctx));
    return found && json_object_set(scene, "elsewhere", json_array_size(found) ? json_array_get(found, 0) : json_null()) == 0;
}

/* What the floating IP does with the packet: {"fixed", "port", "router_id", "forwards"}, and to which port. */
static json_t *floating_way(Db *db, const json_t *floating, const json_t *scene, char **ret_port_id, GError **err)
{
    const char *id = json_get_str(floating, "id"), *fixed = json_get_str(floating, "fixed");
    gint64 protocol = json_get_int(scene, "protocol", 0), forwardings = 0;
    g_autoptr(json_t) found = db_query(db, err, "explain_forwarding", "ssi", id, protocol == 6 ? "tcp" : protocol == 17 ? "udp" : "",
                                       json_get_int(scene, "port", 0));
    const json_t *one = json_array_get(found, 0);
    if (!found || !db_query_int(db, err, &forwardings, "forwarding_count", "s", id))
        return NULL;
    json_t *way = json_make("ssb", "fixed", one ? json_get_str(one, "fixed") : fixed, "router_id", json_get_str(floating, "router_id"), "forwards",
                            forwardings > 0);
    const char *router_id = json_get_str(floating, "router_id");
    g_autoptr(Router) r = router_id ? router_find(db, NULL, router_id, NULL) : NULL;
    if (r)
        json_object_set_new(way, "router", place_of(r));
    if (one)
        json_object_set_new(way, "port", json_integer(json_get_int(one, "port", 0)));
    *ret_port_id = g_strdup(json_get_str(one ? one : floating, "port_id"));
    return way;
}

/* Where the packet goes: a port by its id, or by an address that is its own or a floating one. */
static bool add_target(Db *db, const Ctx *ctx, const char *from_id, const char *to, json_t *scene, GError **err)
{
    g_autofree char *port_id = NULL, *address = NULL;
    Ip ip;
    if (id_is_uuid(to)) {
        g_autoptr(Row) row = row_get_for(db, &port_resource, ctx, to, false, err);
        if (!row || !db_query_str(db, err, &address, "explain_address", "ss", from_id, to))
            return false;
        if (!address)
            return nv_fail(err, NV_ERR_INVALID, "Port %s has no address that port %s could send to.", to, from_id);
        port_id = g_strdup(to);
    } else if (strcmp(to, "169.254.169.254") == 0) {
        address = g_strdup(to);
        if (!db_query_str(db, err, &port_id, "explain_metadata", "s", from_id))
            return false;
    } else if (ip_parse(to, &ip)) {
        char canonical[46];
        ip_format(ip, canonical);
        address = g_strdup(canonical);
        g_autoptr(json_t) floating = db_query(db, err, "explain_floating", "s", address);
        const json_t *one = json_array_get(floating, 0);
        g_autoptr(Row) seen = one ? row_get_for(db, &floating_resource, ctx, json_get_str(one, "id"), false, NULL) : NULL;
        if (!floating || (!one && !db_query_str(db, err, &port_id, "explain_port", "ss", from_id, address)))
            return false;
        g_autoptr(json_t) way = one ? floating_way(db, one, scene, &port_id, err) : NULL;
        if (one && !way)
            return false;
        if (seen || port_id)
            json_object_set(scene, "floating", seen ? way : json_null());
    } else {
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for to. Reason: '%.64s' is neither a port's id nor an address.", to);
    }
    json_object_set_new(scene, "address", json_string(address));
    if (!port_id && !json_object_get(scene, "floating") && !add_elsewhere(db, ctx, address, scene, err))
        return false;
    json_t *end = port_id ? end_of(db, ctx, port_id, err) : json_null();
    return end && json_object_set_new(scene, "to", end) == 0;
}

/* What the host of an end has of it: {"checked", "missing", "rules"}, or null. */
static json_t *live_of(const json_t *end)
{
    const char *host = json_get_str(end, "host");
    if (!host || !json_is_true(json_object_get(end, "disclosed")) || !agent_is_up(host))
        return json_null();
    json_t *answer = agent_call(host, "port.check", json_deep_copy(json_object_get(end, "port")), ASK_S, NULL);
    return answer ? answer : json_null();
}

/* Adds to each hop whether the host has what it rests on. */
static void add_live(json_t *answer, const char *from_id, const json_t *from, const json_t *to)
{
    size_t i;
    json_t *hop;
    json_array_foreach(json_object_get(answer, "hops"), i, hop) {
        const char *name = json_get_str(hop, "hop"), *at = json_get_str(hop, "at"), *rule = json_get_str(hop, "rule"), *state = "not checked";
        bool is_port = strcmp(name, "route") != 0 && strcmp(name, "NAT") != 0 && strcmp(name, "destination") != 0;
        const json_t *live = !is_port || !at ? NULL : strcmp(at, from_id) == 0 ? from : to;
        if (json_is_true(json_object_get(live, "checked")) && strcmp(json_get_str(hop, "verdict"), "pass") == 0) {
            bool whole = rule ? json_has(json_object_get(live, "rules"), id_12(rule).s) : json_array_size(json_object_get(live, "missing")) == 0;
            state = whole ? "in force" : "missing";
            if (!whole)
                json_object_set_new(hop, "change", json_string("Wait for the next comparison of its host, or run nuvolet ctl doctor."));
        }
        json_object_set_new(hop, "live", json_string(state));
    }
    json_object_set_new(answer, "missing", json_make("oo", "from", json_incref(json_object_get(from, "missing")), "to",
                                                     json_incref(json_object_get(to, "missing"))));
}

json_t *network_explain(Db *db, const Ctx *ctx, const char *port_id, const char *to, const char *protocol, const char *port, GError **err)
{
    g_autoptr(Port) p = AS(Port, row_get_for(db, &port_resource, ctx, port_id, false, err));
    g_autoptr(json_t) scene = json_object(), members = json_object();
    int number = protocol_number(protocol ? protocol : port ? "tcp" : "icmp");
    char *end = NULL;
    gint64 n = port ? g_ascii_strtoll(port, &end, 10) : -1;
    Ip target;
    if (!p)
        return NULL;
    if (!to)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for to. Reason: say where to: a port's id or an address."), NULL;
    if (number < 0 || (port && (*end || !*port || n < 0 || n > 65535)))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: '%.32s' is no good.", number < 0 ? "protocol" : "port",
                       number < 0 ? protocol : port), NULL;
    if ((number == 6 || number == 17) && n < 0)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for port. Reason: TCP and UDP need one."), NULL;
    json_object_set_new(scene, "protocol", json_integer(number));
    json_object_set_new(scene, "port", json_integer(n));
    json_t *from = end_of(db, ctx, port_id, err);
    if (!from || json_object_set_new(scene, "from", from) < 0 || !add_target(db, ctx, port_id, to, scene, err)
        || !ip_parse(json_get_str(scene, "address"), &target) || !add_router(db, ctx, port_id, target.version, scene, err)
        || !add_members(db, from, members, err) || !add_members(db, json_object_get(scene, "to"), members, err))
        return NULL;
    json_object_set(scene, "members", members);
    json_t *answer = explain(scene);
    g_autoptr(json_t) here = live_of(from), there = live_of(json_object_get(scene, "to"));
    add_live(answer, port_id, here, there);
    return answer;
}

bool port_explain(Call *c, GError **err)
{
    json_t *answer = network_explain(c->db, c->ctx, c->params[0], call_query(c, "to"), call_query(c, "protocol"), call_query(c, "port"), err);
    return answer && call_reply(c, 200, json_make("o", "explain", answer));
}
