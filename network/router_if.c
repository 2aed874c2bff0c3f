/* network/router_if.c -- a router's interfaces: ports on its networks, made for a subnet or taken over from the caller, and given up. */
#include "core/id.h"
#include "network/router.h"
#include <string.h>

static json_t *answer(const Router *r, const Port *p, const json_t *subnet_ids, bool last)
{
    size_t n = json_array_size(subnet_ids);
    const char *subnet = n ? json_string_value(json_array_get(subnet_ids, last ? n - 1 : 0)) : NULL;
    return json_make("sssssso", "id", r->id, "tenant_id", p->project_id, "project_id", p->project_id, "port_id", p->id, "network_id",
                     p->network_id, "subnet_id", subnet, "subnet_ids", json_incref((json_t *) subnet_ids));
}

static json_t *subnet_ids_of(const json_t *fixed_ips)
{
    json_t *ids = json_array(), *one;
    size_t i;
    json_array_foreach((json_t *) fixed_ips, i, one) json_array_append_new(ids, json_string(json_get_str(one, "subnet_id")));
    return ids;
}

static bool changed(Db *db, const Ctx *ctx, const Router *r, const Port *p, GError **err)
{
    return router_bump(db, r->id, err) && sync_network(db, ctx, p->network_id, err) && sync_router(db, ctx, r->id, err);
}

/* Who takes advertisements from another router cannot have this one. */
static bool mode_check(const Subnet *s, GError **err)
{
    return !(s->ip_version == 6 && !s->ipv6_ra_mode && s->ipv6_address_mode)
           || nv_fail(err, NV_ERR_INVALID,
                      "Bad router request: IPv6 subnet %s configured to receive RAs from an external router cannot be added to "
                      "Neutron Router.",
                      s->id);
}

/* On a foreign network only where a policy shares it with this very project. */
static bool subnet_owner_check(Db *db, const Ctx *ctx, const Subnet *s, GError **err)
{
    gint64 named = 0;
    if (ctx->admin || g_strcmp0(s->project_id, ctx->project_id) == 0)
        return true;
    if (!db_query_int(db, err, &named, "network_shared_by_name", "ss", s->network_id, ctx->project_id))
        return false;
    return named
           || nv_fail(err, NV_ERR_INVALID,
                      "Bad router request: Cannot add interface to router because subnet %s is not owned by project making the "
                      "request.",
                      s->id);
}

static bool overlaps_check(Db *db, const Router *r, Subnet *s, GError **err)
{
    g_autoptr(GPtrArray) one = g_ptr_array_new();
    g_ptr_array_add(one, s);
    return router_overlaps_check(db, r, one, NULL, err);
}

static Port *port_for_subnet(Db *db, const Router *r, const Subnet *s, const json_t *fixed, GError **err)
{
    g_autoptr(Port) p = AS(Port, row_new(&port_resource));
    if (!row_defaults(&p->row,
                      json_make("sss", "network_id", s->network_id, "device_owner", "network:router_interface", "device_id", r->id), err))
        return NULL;
    ROW_SET_STR(p, project_id, r->project_id);
    ROW_SET_STR(p, host, r->host);
    ROW_SET_BOOL(p, port_security_enabled, false);
    return port_insert(db, p, fixed, err) && db_exec(db, err, "router_port_add", "sss", p->id, r->id, "interface") ? g_steal_pointer(&p)
                                                                                                                   : NULL;
}

bool router_add_subnet(Db *db, const Ctx *ctx, Router *r, const char *subnet_id, json_t **ret_info, GError **err)
{
    g_autoptr(Subnet) s = AS(Subnet, row_get_for(db, &subnet_resource, ctx, subnet_id, false, err));
    g_autofree char *shared_port = NULL;
    if (!s)
        return false;
    if (!s->gateway_ip)
        return nv_fail(err, NV_ERR_INVALID, "Bad router request: Subnet for router interface must have a gateway IP.");
    if (!subnet_owner_check(db, ctx, s, err) || !mode_check(s, err) || !overlaps_check(db, r, s, err))
        return false;
    g_autoptr(json_t) fixed = json_array(), ids = json_array();
    json_array_append_new(fixed, json_make("ss", "subnet_id", s->id, "ip_address", s->gateway_ip));
    json_array_append_new(ids, json_string(s->id));
    /* All IPv6 prefixes of a network are on one port: it is what advertises them. */
    if (s->ip_version == 6 && !db_query_str(db, err, &shared_port, "router_v6_port", "sss", r->id, s->network_id, NULL))
        return false;
    g_autoptr(Port) p = shared_port ? AS(Port, row_get(db, &port_resource, shared_port, err)) : port_for_subnet(db, r, s, fixed, err);
    if (!p || (shared_port && !ipam_allocate(db, p, fixed, err)) || !changed(db, ctx, r, p, err))
        return false;
    *ret_info = answer(r, p, ids, true);
    return true;
}

static bool is_among(const GPtrArray *subnets, const char *id)
{
    for (guint i = 0; i < subnets->len; i++)
        if (strcmp(AS(const Subnet, subnets->pdata[i])->id, id) == 0)
            return true;
    return false;
}

/* Checks that a port of the router may be on the subnets that it has addresses in; one that is added has one in each. */
static bool place_check(Db *db, const Router *r, const Port *p, bool added, GError **err)
{
    if (!json_array_size(p->fixed_ips))
        return nv_fail(err, NV_ERR_INVALID, "Bad router request: Router port must have at least one fixed IP.");
    g_autoptr(GPtrArray) subnets = g_ptr_array_new_with_free_func(row_unref);
    g_autofree char *other = NULL;
    int four = 0, six = 0;
    size_t i;
    json_t *one;
    json_array_foreach(p->fixed_ips, i, one) {
        const char *id = json_get_str(one, "subnet_id");
        if (!added && is_among(subnets, id))
            continue;
        Subnet *s = AS(Subnet, row_get(db, &subnet_resource, id, err));
        if (!s)
            return false;
        g_ptr_array_add(subnets, s);
        four += s->ip_version == 4;
        six += s->ip_version == 6;
        if (!mode_check(s, err))
            return false;
    }
    if (six && !db_query_str(db, err, &other, "router_v6_port", "sss", r->id, p->network_id, p->id))
        return false;
    if (other)
        return nv_fail(err, NV_ERR_INVALID,
                       "Bad router request: Cannot have multiple router ports with the same network id if both contain IPv6 "
                       "subnets. "
                       "Existing port %s has IPv6 subnet(s) and network id %s.",
                       other, p->network_id);
    return router_overlaps_check(db, r, subnets, p->id, err)
           && (four <= 1 || nv_fail(err, NV_ERR_INVALID, "Bad router request: Cannot have multiple IPv4 subnets on router port."));
}

static bool add_port(Db *db, const Ctx *ctx, Router *r, const char *port_id, json_t **ret_info, GError **err)
{
    g_autoptr(Port) p = AS(Port, row_get_for(db, &port_resource, ctx, port_id, true, err));
    if (!p)
        return false;
    if (*p->device_id || p->server_id)
        return nv_fail(err, NV_ERR_CONFLICT,
                       "Unable to complete operation on port %s for network %s. Port already has an attached device %s.", p->id,
                       p->network_id, *p->device_id ? p->device_id : p->server_id);
    if (!place_check(db, r, p, true, err))
        return false;
    ROW_SET_STR(p, device_id, r->id);
    ROW_SET_STR(p, device_owner, "network:router_interface");
    ROW_SET_STR(p, host, r->host);
    ROW_SET_INT(p, revision_number, p->revision_number + 1);
    if (!row_update(db, &p->row, err) || !db_exec(db, err, "router_port_add", "sss", p->id, r->id, "interface")
        || !changed(db, ctx, r, p, err))
        return false;
    g_autoptr(json_t) ids = subnet_ids_of(p->fixed_ips);
    *ret_info = answer(r, p, ids, true);
    return true;
}

static bool in_use_check(Db *db, const Ctx *ctx, const Router *r, const char *subnet_id, GError **err)
{
    g_autoptr(Subnet) s = AS(Subnet, row_get(db, &subnet_resource, subnet_id, err));
    g_autoptr(json_t) floating = s ? db_query(db, err, "router_subnet_floating", "sss", r->id, subnet_id, sees_project(ctx)) : NULL;
    g_autofree char *list = ids_listed(floating);
    size_t i;
    json_t *route;
    Ip ip;
    if (!floating)
        return false;
    if (*list)
        return nv_fail(err, NV_ERR_CONFLICT,
                       "Router interface for subnet %s on router %s cannot be deleted, as it is required by one or more floating IPs. "
                       "Floating IPs: %s.", subnet_id, r->id, list);
    json_array_foreach(r->routes, i,
                       route) if (ip_parse(json_get_str(route, "nexthop"), &ip)
                                  && cidr_contains(subnet_cidr(s), ip)) return nv_fail(err, NV_ERR_CONFLICT,
                                                                                       "Router interface for subnet %s on router %s cannot "
                                                                                       "be deleted, as it is required by one or more "
                                                                                       "routes.",
                                                                                       subnet_id, r->id);
    return true;
}

bool router_port_moved(Db *db, const Ctx *ctx, const char *router_id, const char *port_id, const json_t *had, GError **err)
{
    g_autofree char *interface_of = NULL;
    size_t i;
    json_t *id;
    g_autoptr(Router) r = router_find(db, NULL, router_id, err);
    g_autoptr(Port) p = r ? AS(Port, row_get(db, &port_resource, port_id, err)) : NULL;
    if (!p || !db_query_str(db, err, &interface_of, "router_interface_router", "s", port_id))
        return false;
    if (json_equal(p->fixed_ips, had))
        return true;
    g_autoptr(json_t) before = subnet_ids_of(had), now = subnet_ids_of(p->fixed_ips);
    json_array_foreach(before, i, id)
        if (interface_of && !json_has(now, json_string_value(id)) && !in_use_check(db, ctx, r, json_string_value(id), err))
            return false;
    return (!interface_of || place_check(db, r, p, false, err)) && router_routes_check(db, r->id, r->routes, err);
}

static bool port_remove(Db *db, const Ctx *ctx, const Router *r, const Port *p, GError **err)
{
    return sync_groups_of_port(db, ctx, p->id, err) && floating_port_left(db, ctx, p->id, true, err)
           && db_exec(db, err, "port_delete", "s", p->id) && changed(db, ctx, r, p, err);
}

static bool remove_port(Db *db, const Ctx *ctx, Router *r, const char *port_id, const char *subnet_id, json_t **ret_info, GError **err)
{
    g_autofree char *owner = NULL;
    size_t i;
    json_t *id;
    if (!db_query_str(db, err, &owner, "router_interface_router", "s", port_id))
        return false;
    if (g_strcmp0(owner, r->id) != 0)
        return nv_fail(err, NV_ERR_NOT_FOUND, "Router %s does not have an interface with id %s", r->id, port_id);
    g_autoptr(Port) p = AS(Port, row_get(db, &port_resource, port_id, err));
    if (!p)
        return false;
    g_autoptr(json_t) ids = subnet_ids_of(p->fixed_ips);
    if (subnet_id && !json_has(ids, subnet_id))
        return nv_fail(err, NV_ERR_INVALID, "Subnet on port %s does not match the requested subnet %s.", port_id, subnet_id);
    json_array_foreach(ids, i, id) if (!in_use_check(db, ctx, r, json_string_value(id), err)) return false;
    if (!port_remove(db, ctx, r, p, err))
        return false;
    *ret_info = answer(r, p, ids, false);
    return true;
}

bool router_remove_subnet(Db *db, const Ctx *ctx, Router *r, const char *subnet_id, json_t **ret_info, GError **err)
{
    g_autofree char *port_id = NULL;
    size_t i;
    json_t *one;
    if (!db_query_str(db, err, &port_id, "router_port_on_subnet", "ss", r->id, subnet_id))
        return false;
    if (!port_id)
        return nv_fail(err, NV_ERR_NOT_FOUND, "Router %s has no interface on subnet %s", r->id, subnet_id);
    g_autoptr(Port) p = in_use_check(db, ctx, r, subnet_id, err) ? AS(Port, row_get(db, &port_resource, port_id, err)) : NULL;
    g_autoptr(json_t) ids = json_array();
    if (!p)
        return false;
    json_array_append_new(ids, json_string(subnet_id));
    /* The port stays for the other prefixes that it has. */
    bool last = true;
    json_array_foreach(p->fixed_ips, i, one)
        last &= strcmp(json_get_str(one, "subnet_id"), subnet_id) == 0;
    if (!(last ? port_remove(db, ctx, r, p, err)
               : db_exec(db, err, "ipam_release_subnet", "ss", p->id, subnet_id) && changed(db, ctx, r, p, err)))
        return false;
    *ret_info = answer(r, p, ids, false);
    return true;
}

static const char *id_given(const json_t *body, const char *key, bool *ret_ok, GError **err)
{
    const json_t *v = json_object_get(body, key);
    const char *id = json_string_value(v);
    if (v && !(id && id_is_uuid(id)))
        *ret_ok = nv_fail(err, NV_ERR_INVALID, "Bad router request: '%s' is not a valid UUID.", id ? id : key);
    return id;
}

static bool interface_change(Call *c, bool add, GError **err)
{
    bool ok = true;
    const char *port_id = id_given(c->body, "port_id", &ok, err), *subnet_id = ok ? id_given(c->body, "subnet_id", &ok, err) : NULL;
    json_t *info = NULL;
    if (!ok)
        return false;
    if (!port_id && !subnet_id)
        return nv_fail(err, NV_ERR_INVALID, "Bad router request: Either subnet_id or port_id must be specified.");
    if (add && port_id && subnet_id)
        return nv_fail(err, NV_ERR_INVALID, "Bad router request: Cannot specify both subnet-id and port-id.");
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Router) r = txn.db ? router_find(c->db, c->ctx, c->params[0], err) : NULL;
    if (!r)
        return false;
    if (add)
        ok = port_id ? add_port(c->db, c->ctx, r, port_id, &info, err) : router_add_subnet(c->db, c->ctx, r, subnet_id, &info, err);
    else
        ok = port_id ? remove_port(c->db, c->ctx, r, port_id, subnet_id, &info, err)
                     : router_remove_subnet(c->db, c->ctx, r, subnet_id, &info, err);
    g_autoptr(json_t) owned = info;
    return ok && txn_commit(&txn, err) && call_reply(c, 200, json_incref(owned));
}

bool router_interface_add(Call *c, GError **err)
{
    return interface_change(c, true, err);
}

bool router_interface_remove(Call *c, GError **err)
{
    return interface_change(c, false, err);
}
