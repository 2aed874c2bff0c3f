/* compute/secgroup.c -- security groups as Nova showed them until 2.35, and the groups of a server: the network API's own handlers, asked
 * within the process, with bodies translated. */
#include "compute/internal.h"
#include "core/id.h"
#include "network/network.h"
#include <string.h>

static const char groups_path[] = "/v2.0/security-groups", group_path[] = "/v2.0/security-groups/{id}", rules_path[] = "/v2.0/security-group-rules",
                  rule_path[] = "/v2.0/security-group-rules/{id}", port_path[] = "/v2.0/ports/{id}";

static const Route *find_route(const char *method, const char *path)
{
    for (const Route *r = network_routes; r->method; r++)
        if (strcmp(r->method, method) == 0 && strcmp(r->path, path) == 0)
            return r;
    g_error("the network API has no %s %s", method, path);
}

/* The answer of the network API to the same caller; body is stolen.  id: of one of them; of a list: the project whose they are, NULL: any. */
static json_t *ask(const Call *c, const char *method, const char *path, const char *id, json_t *body, GError **err)
{
    g_autoptr(json_t) owned = body;
    Ctx ctx = *c->ctx;
    const Param own = { "project_id", (char *) id };
    Call sub = *c;
    bool listing = strcmp(method, "GET") == 0 && path == groups_path;
    ctx.mv = 0;
    sub.ctx = &ctx;
    sub.route = find_route(method, path);
    sub.method = method;
    sub.path = path;
    sub.params[0] = (char *) id;
    sub.query = &own;
    sub.n_query = listing && id ? 1 : 0;
    sub.body = owned;
    sub.out = NULL;
    sub.headers = NULL;
    sub.status = 0;
    json_t *reply = NULL;
    if ((sub.route->run ? sub.route->run : resource_handle)(&sub, err))
        reply = sub.out && sub.out->len ? json_parse_trusted(sub.out->str) : json_object();
    if (sub.out)
        g_string_free(sub.out, TRUE);
    if (sub.headers)
        g_ptr_array_unref(sub.headers);
    return reply;
}

/* --- translation --- */
static json_t *nova_rule(const json_t *rule, const json_t *groups)
{
    const char *remote = json_get_str(rule, "remote_group_id"), *cidr = json_get_str(rule, "remote_ip_prefix");
    bool v6 = g_strcmp0(json_get_str(rule, "ethertype"), "IPv6") == 0;
    json_t *o = json_make("sss", "id", json_get_str(rule, "id"), "parent_group_id", json_get_str(rule, "security_group_id"), "ip_protocol",
                          json_get_str(rule, "protocol"));
    const char *protocol = json_get_str(rule, "protocol");
    const json_t *low = json_object_get(rule, "port_range_min"), *high = json_object_get(rule, "port_range_max");
    bool all = protocol && json_is_null(low) && json_is_null(high), ports = all && (strcmp(protocol, "tcp") == 0 || strcmp(protocol, "udp") == 0);
    json_object_set_new(o, "from_port", all ? json_integer(ports ? 1 : -1) : json_incref((json_t *) low));
    json_object_set_new(o, "to_port", all ? json_integer(ports ? 65535 : -1) : json_incref((json_t *) high));
    json_t *group = json_object(), *g;
    size_t i;
    json_array_foreach((json_t *) groups, i, g)
        if (remote && strcmp(json_get_str(g, "id"), remote) == 0) {
            json_object_set(group, "name", json_object_get(g, "name"));
            json_object_set(group, "tenant_id", json_object_get(g, "project_id"));
        }
    json_object_set_new(o, "group", group);
    json_object_set_new(o, "ip_range", remote ? json_object() : json_make("s", "cidr", cidr ? cidr : v6 ? "::/0" : "0.0.0.0/0"));
    return o;
}

/* Only what comes in was ever a rule there. */
static json_t *nova_group(const json_t *g, const json_t *groups)
{
    json_t *rules = json_array(), *r;
    size_t i;
    json_array_foreach(json_object_get(g, "security_group_rules"), i, r)
        if (g_strcmp0(json_get_str(r, "direction"), "ingress") == 0)
            json_array_append_new(rules, nova_rule(r, groups));
    return json_make("sssso", "id", json_get_str(g, "id"), "name", json_get_str(g, "name"), "description", json_get_str(g, "description"),
                     "tenant_id",
                     json_get_str(g, "project_id"), "rules", rules);
}

static json_t *all_groups(const Call *c, const char *project_id, GError **err)
{
    g_autoptr(json_t) reply = ask(c, "GET", groups_path, project_id, NULL, err);
    return reply ? json_incref(json_object_get(reply, "security_groups")) : NULL;
}

static bool reply_group(Call *c, const json_t *reply, GError **err)
{
    g_autoptr(json_t) groups = all_groups(c, c->ctx->project_id, err);
    return groups && call_reply(c, 200, json_make("o", "security_group", nova_group(json_object_get(reply, "security_group"), groups)));
}

/* --- os-security-groups --- */
bool secgroup_list(Call *c, GError **err)
{
    g_autoptr(json_t) groups = all_groups(c, c->ctx->project_id, err);
    size_t i;
    json_t *g;
    if (!groups)
        return false;
    json_t *list = json_array();
    json_array_foreach(groups, i, g)
        json_array_append_new(list, nova_group(g, groups));
    return call_reply(c, 200, json_make("o", "security_groups", list));
}

bool secgroup_show(Call *c, GError **err)
{
    g_autoptr(json_t) reply = ask(c, "GET", group_path, c->params[0], NULL, err);
    return reply && reply_group(c, reply, err);
}

static json_t *group_body(const Call *c, GError **err)
{
    static const char *const keys[] = { "name", "description", NULL };
    static const Field fields[] = { { .json = "name" }, { .json = "description" } };
    json_t *given = body_only(c, "security_group", NULL, err), *body = json_object();
    if (!given || !body_allowed(given, keys, err))
        return json_decref(body), NULL;
    for (guint i = 0; i < G_N_ELEMENTS(fields); i++) {
        const json_t *v = json_object_get(given, fields[i].json);
        if (!json_is_string(v) || (i == 0 ? !check_nova_name(&fields[i], v, err) : !check_nova_text(&fields[i], v, err))) {
            if (!err || !*err)
                nv_fail(err, NV_ERR_INVALID, "Security group %s is not a string or unicode", fields[i].json);
            json_decref(body);
            return NULL;
        }
        json_object_set(body, fields[i].json, (json_t *) v);
    }
    return json_make("o", "security_group", body);
}

bool secgroup_create(Call *c, GError **err)
{
    json_t *body = group_body(c, err);
    g_autoptr(json_t) reply = body ? ask(c, "POST", groups_path, NULL, body, err) : NULL;
    return reply && reply_group(c, reply, err);
}

bool secgroup_update(Call *c, GError **err)
{
    json_t *body = group_body(c, err);
    g_autoptr(json_t) reply = body ? ask(c, "PUT", group_path, c->params[0], body, err) : NULL;
    return reply && reply_group(c, reply, err);
}

bool secgroup_delete(Call *c, GError **err)
{
    g_autoptr(json_t) reply = ask(c, "DELETE", group_path, c->params[0], NULL, err);
    if (!reply && nv_error_code(*err) == NV_ERR_CONFLICT)
        (*err)->code = NV_ERR_INVALID;           /* as Nova answers for groups in use and the default one */
    return reply && call_reply_empty(c, 202);
}

/* --- os-security-group-rules --- */
static json_t *rule_body(const Call *c, GError **err)
{
    static const char *const keys[] = { "parent_group_id", "ip_protocol", "from_port", "to_port", "cidr", "group_id", NULL };
    static const Range ports = { -1, 65535 };
    static const Field from_field = { .json = "from_port", .arg = &ports }, to_field = { .json = "to_port", .arg = &ports };
    json_t *given = body_only(c, "security_group_rule", NULL, err);
    if (!given || !body_allowed(given, keys, err))
        return NULL;
    const json_t *from = json_object_get(given, "from_port"), *to = json_object_get(given, "to_port");
    const char *parent = json_get_str(given, "parent_group_id"), *protocol = json_get_str(given, "ip_protocol"), *cidr = json_get_str(given, "cidr");
    const char *remote = json_get_str(given, "group_id");
    if (!parent || !id_is_uuid(parent))
        return nv_fail(err, NV_ERR_INVALID, "Security group id should be uuid"), NULL;
    if (!protocol || !from || !to)
        return nv_fail(err, NV_ERR_INVALID, "Not enough parameters to build a valid rule."), NULL;
    if (!check_flexible_int(&from_field, from, err) || !check_flexible_int(&to_field, to, err))
        return NULL;
    g_autofree char *low = g_ascii_strdown(protocol, -1);
    json_t *rule = json_make("ssss", "security_group_id", parent, "direction", "ingress", "protocol", low, "ethertype",
                             cidr && strchr(cidr, ':') ? "IPv6" : "IPv4");
    if (flexible_int(from) >= 0)
        json_object_set_new(rule, "port_range_min", json_integer(flexible_int(from)));
    if (flexible_int(to) >= 0)
        json_object_set_new(rule, "port_range_max", json_integer(flexible_int(to)));
    if (remote)
        json_object_set_new(rule, "remote_group_id", json_string(remote));
    else
        json_object_set_new(rule, "remote_ip_prefix", json_string(cidr ? cidr : "0.0.0.0/0"));
    return json_make("o", "security_group_rule", rule);
}

bool secgroup_rule_create(Call *c, GError **err)
{
    json_t *body = rule_body(c, err);
    g_autoptr(json_t) reply = body ? ask(c, "POST", rules_path, NULL, body, err) : NULL;
    g_autoptr(json_t) groups = reply ? all_groups(c, c->ctx->project_id, err) : NULL;
    if (!reply && nv_error_code(*err) == NV_ERR_CONFLICT)
        (*err)->code = NV_ERR_INVALID;           /* the rule is there already */
    return groups && call_reply(c, 200, json_make("o", "security_group_rule", nova_rule(json_object_get(reply, "security_group_rule"), groups)));
}

bool secgroup_rule_delete(Call *c, GError **err)
{
    g_autoptr(json_t) reply = ask(c, "DELETE", rule_path, c->params[0], NULL, err);
    return reply && call_reply_empty(c, 202);
}

/* --- the groups of a server: its project's, whoever asks --- */

static bool has_group(const json_t *nic, const char *group)
{
    size_t i;
    json_t *held;
    json_array_foreach(json_object_get(nic, "groups"), i, held)
        if (strcmp(json_get_str(held, "id"), group) == 0)
            return true;
    return false;
}

static bool any_has_group(const json_t *nics, const char *group)
{
    size_t i;
    json_t *nic;
    json_array_foreach((json_t *) nics, i, nic)
        if (has_group(nic, group))
            return true;
    return false;
}

bool server_groups_list(Call *c, GError **err)
{
    g_autoptr(Server) s = server_get_for(c->db, c->ctx, c->params[0], err);
    const char *ids[] = { s ? s->id : NULL, NULL };
    g_autoptr(json_t) nics = s ? network_nics(c->db, ids, err) : NULL, groups = nics ? all_groups(c, s->project_id, err) : NULL;
    size_t i;
    json_t *g;
    if (!groups)
        return false;
    json_t *list = json_array();
    json_array_foreach(groups, i, g)
        if (any_has_group(nics, json_get_str(g, "id")))
            json_array_append_new(list, nova_group(g, groups));
    return call_reply(c, 200, json_make("o", "security_groups", list));
}

/* Adds group to (or takes it from) a port of the server. */
static bool change_port(Call *c, const json_t *nic, const char *group, bool add, GError **err)
{
    json_t *ids = json_array(), *held;
    size_t i;
    json_array_foreach(json_object_get(nic, "groups"), i, held)
        if (strcmp(json_get_str(held, "id"), group) != 0)
            json_array_append(ids, json_object_get(held, "id"));
    if (add)
        json_array_append_new(ids, json_string(group));
    g_autoptr(json_t) reply = ask(c, "PUT", port_path, json_get_str(nic, "id"), json_make("o", "port", json_make("o", "security_groups", ids)), err);
    return reply != NULL;
}

bool server_group_change(Call *c, Server *s, const json_t *body, bool add, GError **err)
{
    const char *name = json_get_str(body, "name"), *ids[] = { s->id, NULL }, *group = NULL;
    g_autoptr(json_t) groups = all_groups(c, s->project_id, err), nics = groups ? network_nics(c->db, ids, err) : NULL;
    size_t i;
    json_t *g, *nic;
    if (!nics)
        return false;
    json_array_foreach(groups, i, g)
        if (g_strcmp0(json_get_str(g, "name"), name) == 0 || g_strcmp0(json_get_str(g, "id"), name) == 0)
            group = json_get_str(g, "id");
    if (!group)
        return nv_fail(err, NV_ERR_NOT_FOUND, "Security group %.255s not found for project %s.", name, s->project_id);
    if (!add && !any_has_group(nics, group))
        return nv_fail(err, NV_ERR_NOT_FOUND, "Security group %.255s not associated with the instance %s", name, s->id);
    json_array_foreach(nics, i, nic)
        if (has_group(nic, group) != add && !change_port(c, nic, group, add, err))
            return false;
    return true;
}
