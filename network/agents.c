/* network/agents.c -- the hosts' agents as Neutron lists them, and which of them has which router. */
#include "core/clock.h"
#include "network/router.h"
#include <string.h>

/* What Neutron has a program of its own for.  suffix: makes its id another one. */
typedef struct Part { const char *suffix, *type; json_t *(*configurations)(Db *db, const char *host); } Part;

/* A host's agent has no row; its id is made of the host's name so that it stays.  One program does the work of several of Neutron's agents. */
static char *agent_id(const char *host, const Part *part)
{
    g_autofree char *name = g_strconcat(host, part->suffix, NULL);
    g_autofree char *hex = g_compute_checksum_for_string(G_CHECKSUM_SHA256, name, -1);
    return g_strdup_printf("%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

/* As Neutron's agents say it. */
static json_t *bridge_configurations(Db *db, const char *name)
{
    g_autoptr(json_t) host = segment_host(db, name, NULL);
    const char *tunnel = json_get_str(host, "tunnel_address");
    json_t *mappings = json_object(), *types = json_array(), *one;
    size_t i;
    json_array_foreach(json_object_get(host, "physical"), i, one)
        json_object_set_new(mappings, json_get_str(one, "name"), json_string(json_get_str(one, "interface")));
    if (tunnel)
        json_array_append_new(types, json_string("vxlan"));
    return json_make("sbooo", "tunneling_ip", tunnel, "l2_population", (int) (tunnel != NULL), "tunnel_types", types, "interface_mappings", mappings,
                     "bridge_mappings", json_object());
}

static json_t *router_configurations(Db *db, const char *name)
{
    gint64 routers = 0;
    db_query_int(db, NULL, &routers, "host_router_count", "s", name);
    return json_make("sibb", "agent_mode", "legacy", "routers", routers, "handle_internal_only_routers", 1, "metadata_proxy", 1);
}

static const Part parts[] = {
    { "", "Linux bridge agent", bridge_configurations },
    { "/router", "L3 agent", router_configurations },
};

/* described: the descriptions there are, by id. */
static json_t *agent_entry(Db *db, const json_t *host, const Part *part, const json_t *described)
{
    const char *name = json_get_str(host, "host");
    g_autofree char *id = agent_id(name, part);
    char when[32];
    bool up = json_is_true(json_object_get(host, "up"));
    clock_format(up ? clock_wall_us() : json_get_int(host, "since", 0), CLOCK_SECONDS_Z, when);
    json_t *entry = json_make("ssssssbbss", "id", id, "agent_type", part->type, "binary", "nuvolet-agent", "host", name, "topic", "N/A",
                              "description", json_get_str(described, id), "alive", (int) up, "admin_state_up", (int) agent_is_configured(name),
                              "heartbeat_timestamp", when, "availability_zone", "nova");
    json_object_set_new(entry, "configurations", part->configurations(db, name));
    return entry;
}

/* All agents of all hosts: the configured ones, and those that have been taken out of the configuration until somebody deletes them. */
static json_t *agents(Db *db)
{
    g_autoptr(json_t) hosts = agents_status(), names = json_array(), described = json_object();
    g_autoptr(json_t) rows = db_query(db, NULL, "network_agent_descriptions", "");
    json_t *list = json_array(), *host, *row;
    size_t i;
    json_array_foreach(rows, i, row)
        json_object_set(described, json_get_str(row, "id"), json_object_get(row, "description"));
    json_array_foreach(hosts, i, host)
        json_array_append(names, json_object_get(host, "host"));
    g_autofree char *text = json_text(names);
    g_autoptr(json_t) gone = db_query(db, NULL, "network_hosts_gone", "s", text);
    if (gone)
        json_array_extend(hosts, gone);
    json_array_foreach(hosts, i, host)
        for (gsize k = 0; k < G_N_ELEMENTS(parts); k++)
            json_array_append_new(list, agent_entry(db, host, &parts[k], described));
    return list;
}

/* Others than administrators see none. */
bool net_agents_list(Call *c, GError **err)
{
    static const char *const filters[] = { "host", "agent_type", "binary", "id", "topic", "description", "alive", "admin_state_up",
                                           "availability_zone", NULL };
    static const RowList list = { .many = "agents", .filters = filters };
    return asked_reply(c, &list, c->ctx->admin ? agents(c->db) : json_array(), err);
}

/* The agent of the path: a new reference. */
static json_t *agent_find(const Call *c, GError **err)
{
    g_autoptr(json_t) all = agents(c->db);
    size_t i;
    json_t *agent;
    json_array_foreach(all, i, agent)
        if (c->ctx->admin && strcmp(json_get_str(agent, "id"), c->params[0]) == 0)
            return json_incref(agent);
    nv_fail(err, NV_ERR_NOT_FOUND, "Agent %.64s could not be found.", c->params[0]);
    return NULL;
}

bool net_agent_show(Call *c, GError **err)
{
    json_t *agent = agent_find(c, err);
    return agent && call_reply(c, 200, json_make("o", "agent", agent));
}

static bool describe(Call *c, const json_t *v, GError **err)
{
    static const Field f = { .json = "description" };
    const char *text = json_string_value(v);
    if (json_is_null(v))
        return db_exec(c->db, err, "network_agent_forget", "s", c->params[0]);
    if (!text)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for description. Reason: it is not a string.");
    return check_text(&f, v, err) && db_exec(c->db, err, "network_agent_describe", "ss", c->params[0], text);
}

static bool up_check(const json_t *v, const char *host, GError **err)
{
    bool up, configured = agent_is_configured(host);
    if (!json_bool_words(v, &up))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for admin_state_up. Reason: it is not a boolean.");
    if (up == configured)
        return true;
    return configured ? nv_fail(err, NV_ERR_CONFLICT, "An agent is up as long as hosts.agents names its host. To place nothing new there, disable "
                                                      "the host's compute service.")
                      : nv_fail(err, NV_ERR_CONFLICT, "hosts.agents no longer names host %s: its agents are down until it does. To be rid of them, "
                                                      "delete one.", host);
}

/* What an agent is follows from the configuration: that may be said again.  Its description is the administrators'. */
bool net_agent_put(Call *c, GError **err)
{
    json_t *body = call_body_object(c, "agent", err), *v;
    g_autoptr(json_t) agent = body ? agent_find(c, err) : NULL;
    const char *key;
    if (!agent)
        return false;
    g_auto(Txn) txn = txn_begin(c->db, err);
    if (!txn.db)
        return false;
    json_object_foreach(body, key, v) {
        bool about = strcmp(key, "description") == 0;
        if (!about && strcmp(key, "admin_state_up") != 0)
            return nv_fail(err, NV_ERR_INVALID, "Attribute '%.64s' of an agent cannot be changed here", key);
        if (!(about ? describe(c, v, err) : up_check(v, json_get_str(agent, "host"), err)))
            return false;
    }
    return txn_commit(&txn, err) && net_agent_show(c, err);
}

static bool burden_check(Db *db, const char *id, const char *host, GError **err)
{
    g_autoptr(json_t) rows = db_query(db, err, "network_host_burden", "s", host);
    g_autoptr(GString) list = g_string_new(NULL);
    size_t i;
    json_t *one;
    json_array_foreach(rows, i, one)
        g_string_append_printf(list, "%s%s %s", i ? ", " : "", json_get_str(one, "kind"), json_get_str(one, "id"));
    return rows && (!list->len || nv_fail(err, NV_ERR_CONFLICT, "Agent %s cannot be deleted: its host %s still has %s.", id, host, list->str));
}

/* Neutron's agent is back with its next heartbeat.  Ours are known from the configuration: what it names stays, and what it no longer names goes
 * for good, with all that the network knows of the host, once nothing is there any more.  One program does the work of several agents: all go. */
bool net_agent_delete(Call *c, GError **err)
{
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(json_t) agent = txn.db ? agent_find(c, err) : NULL;
    const char *host = json_get_str(agent, "host");
    if (!agent)
        return false;
    if (agent_is_configured(host))
        return nv_fail(err, NV_ERR_CONFLICT, "Agent %s cannot be deleted: hosts.agents names its host %s. Take the host out of the configuration "
                       "first.", c->params[0], host);
    if (!burden_check(c->db, c->params[0], host, err) || !db_exec(c->db, err, "network_host_forget", "s", host))
        return false;
    for (gsize i = 0; i < G_N_ELEMENTS(parts); i++) {
        g_autofree char *id = agent_id(host, &parts[i]);
        if (!db_exec(c->db, err, "network_agent_forget", "s", id))
            return false;
    }
    return txn_commit(&txn, err) && call_reply_empty(c, 204);
}

/* The host of the path's agent, which must be one for routers. */
static char *router_host(const Call *c, GError **err)
{
    g_autoptr(json_t) agent = agent_find(c, err);
    if (!agent)
        return NULL;
    if (strcmp(json_get_str(agent, "agent_type"), "L3 agent") != 0)
        return nv_fail(err, NV_ERR_CONFLICT, "Agent %s is not a L3 Agent or has been disabled", c->params[0]), NULL;
    return g_strdup(json_get_str(agent, "host"));
}

bool agent_routers_list(Call *c, GError **err)
{
    g_autofree char *host = router_host(c, err);
    g_autoptr(GPtrArray) rows = host ? rows_where(c->db, &router_resource, err, "host", host, NULL) : NULL;
    if (!rows)
        return false;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "routers");
    jw_array(&w);
    for (guint i = 0; i < rows->len; i++)
        row_render(rows->pdata[i], c->ctx, &w, false);
    jw_end_array(&w);
    jw_end_object(&w);
    return true;
}

bool agent_router_add(Call *c, GError **err)
{
    const char *id = json_get_str(c->body, "router_id");
    g_autofree char *host = router_host(c, err);
    if (!host || !id)
        return host ? nv_fail(err, NV_ERR_INVALID, "Invalid input: router_id must be given.") : false;
    if (!agent_is_configured(host))
        return nv_fail(err, NV_ERR_CONFLICT, "Agent %s is not a L3 Agent or has been disabled", c->params[0]);
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Router) r = txn.db ? router_find(c->db, NULL, id, err) : NULL;
    if (!r)
        return false;
    if (*r->host && strcmp(r->host, host) != 0)
        return nv_fail(err, NV_ERR_CONFLICT, "The router %s has been already hosted by the L3 Agent of %s.", r->id, r->host);
    if (!*r->host && (!router_move(c->db, c->ctx, r->id, "", host, err) || !sync_router(c->db, c->ctx, r->id, err)))
        return false;
    return txn_commit(&txn, err) && call_reply(c, 201, json_null());
}

/* One that has ports is placed again, with the next comparison of hosts and rows. */
bool agent_router_remove(Call *c, GError **err)
{
    g_autofree char *host = router_host(c, err);
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Router) r = host && txn.db ? router_find(c->db, NULL, c->params[1], err) : NULL;
    if (!r || !row_revision_check(&r->row, c->ctx, r->id, err))
        return false;
    if (strcmp(r->host, host) != 0)
        return nv_fail(err, NV_ERR_CONFLICT, "The router %s is not hosted by L3 agent %s.", r->id, c->params[0]);
    return router_move(c->db, c->ctx, r->id, host, "", err) && txn_commit(&txn, err) && call_reply_empty(c, 204);
}

bool router_agents_list(Call *c, GError **err)
{
    g_autoptr(Router) r = router_find(c->db, NULL, c->params[0], err);
    g_autoptr(json_t) all = r ? agents(c->db) : NULL, list = json_array();
    size_t i;
    json_t *agent;
    if (!r)
        return false;
    json_array_foreach(all, i, agent)
        if (strcmp(json_get_str(agent, "agent_type"), "L3 agent") == 0 && strcmp(json_get_str(agent, "host"), r->host) == 0)
            json_array_append(list, agent);
    return call_reply(c, 200, json_make("o", "agents", json_incref(list)));
}
