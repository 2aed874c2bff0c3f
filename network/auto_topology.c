/* network/auto_topology.c -- "get me a network": a network, a subnet of each default pool, and a router to the default external network,
    made when first
 * asked for. */
#include "network/router.h"
#include <string.h>

static bool failure(GError **err, const char *reason)
{
    return nv_fail(err, NV_ERR_CONFLICT, "Deployment error: %s.", reason);
}

/* What it takes: a default external network, and at least one default pool. */
static bool requirements(Db *db, char **ret_external, json_t **ret_pools, GError **err)
{
    g_autofree char *external = NULL;
    g_autoptr(json_t) pools = db_query(db, err, "subnetpools_default", "");
    if (!pools || !db_query_str(db, err, &external, "external_default", ""))
        return false;
    if (!external)
        return failure(err, "No default router:external network");
    if (!json_array_size(pools))
        return failure(err, "No default subnetpools defined");
    *ret_external = g_steal_pointer(&external);
    *ret_pools = g_steal_pointer(&pools);
    return true;
}

static bool subnet_add(Db *db, const Ctx *ctx, Router *r, const char *network_id, const json_t *pool, GError **err)
{
    gint64 version = json_get_int(pool, "ip_version", 4);
    g_autofree char *name = g_strdup_printf("auto_allocated_subnet_v%d", (int) version);
    g_autoptr(Subnet) s = AS(Subnet, network_row_make(db, ctx, &subnet_resource, json_make("sssi", "network_id", network_id, "name", name,
        "subnetpool_id",
                                                      json_get_str(pool, "id"), "ip_version", version), err));
    json_t *info = NULL;
    bool ok = s && router_add_subnet(db, ctx, r, s->id, &info, err);
    json_decref(info);
    return ok;
}

/* All of it in the caller's transaction, or nothing. */
static bool build(Db *db, const char *project_id, char **ret_id, GError **err)
{
    static const char *const roles[] = { "admin", NULL };
    const Ctx ctx = { .project_id = project_id, .roles = roles, .admin = true, .base_url = "" };
    g_autofree char *external = NULL;
    g_autoptr(json_t) pools = NULL;
    size_t i;
    json_t *pool;
    if (!requirements(db, &external, &pools, err))
        return false;
    g_autoptr(Network) n = AS(Network, network_row_make(db, &ctx, &network_resource, json_make("s", "name", "auto_allocated_network"), err));
    g_autoptr(Router) r = n ? AS(Router, network_row_make(db, &ctx, &router_resource,
                                                          json_make("so", "name", "auto_allocated_router", "external_gateway_info",
                                                                    json_make("s", "network_id", external)), err))
                            : NULL;
    if (!r)
        return false;
    json_array_foreach(pools, i, pool)
        if (!subnet_add(db, &ctx, r, n->id, pool, err))
            return false;
    *ret_id = g_strdup(n->id);
    return db_exec(db, err, "topology_put", "sss", project_id, n->id, r->id);
}

bool network_auto_topology(Db *db, const char *project_id, char **ret_id, GError **err)
{
    g_auto(Txn) txn = txn_begin(db, err);
    g_autofree char *id = NULL;
    if (!txn.db || !db_query_str(db, err, &id, "topology_get", "s", project_id) || (!id && !build(db, project_id, &id, err)) || !txn_commit(&txn,
        err))
        return false;
    *ret_id = g_steal_pointer(&id);
    return true;
}

/* Whose it is: "None" is what clients say for their own project. */
static const char *owner(const Call *c, GError **err)
{
    const char *project = strcmp(c->params[0], "None") == 0 ? c->ctx->project_id : c->params[0];
    if (!project || (!c->ctx->admin && strcmp(project, c->ctx->project_id) != 0))
        return nv_fail(err, NV_ERR_NOT_FOUND, "Project %.64s could not be found.", c->params[0]), NULL;
    return project;
}

static bool reply(Call *c, const char *id, const char *project)
{
    return call_reply(c, 200, json_make("o", "auto_allocated_topology", json_make("sss", "id", id, "tenant_id", project, "project_id", project)));
}

bool topology_show(Call *c, GError **err)
{
    const char *project = owner(c, err), *fields = call_query(c, "fields");
    g_autofree char *id = NULL;
    g_autoptr(json_t) pools = NULL;
    if (!project)
        return false;
    if (g_strcmp0(fields, "dry-run") == 0)
        return requirements(c->db, &id, &pools, err) && reply(c, "dry-run=pass", project);
    if (fields)
        return nv_fail(err, NV_ERR_INVALID, "Bad auto_allocate request: Unrecognized field.");
    return network_auto_topology(c->db, project, &id, err) && reply(c, id, project);
}

static bool row_remove(Db *db, const Ctx *ctx, const Resource *res, const char *id, GError **err)
{
    g_autoptr(Row) row = row_get(db, res, id, err);
    return row && res->before_delete(db, ctx, row, err) && row_delete(db, row, err);
}

static bool take_apart(Db *db, const Ctx *ctx, const char *network_id, const char *router_id, GError **err)
{
    g_autoptr(Router) r = router_find(db, NULL, router_id, err);
    g_autoptr(GPtrArray) subnets = r ? rows_where(db, &subnet_resource, err, "network_id", network_id, NULL) : NULL;
    for (guint i = 0; subnets && i < subnets->len; i++) {
        g_autoptr(GError) why = NULL;
        json_t *info = NULL;
        bool ok = router_remove_subnet(db, ctx, r, AS(Subnet, subnets->pdata[i])->id, &info, &why);
        json_decref(info);
        if (!ok && nv_error_code(why) != NV_ERR_NOT_FOUND) {
            g_propagate_error(err, g_steal_pointer(&why));
            return false;
        }
    }
    return subnets && row_remove(db, ctx, &router_resource, router_id, err) && row_remove(db, ctx, &network_resource, network_id, err);
}

bool topology_delete(Call *c, GError **err)
{
    const char *project = owner(c, err);
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(json_t) found = project && txn.db ? db_query(c->db, err, "topology_get", "s", project) : NULL;
    const json_t *row = json_array_get(found, 0);
    return found && (!row || take_apart(c->db, c->ctx, json_get_str(row, "network_id"), json_get_str(row, "router_id"), err)) && txn_commit(&txn, err)
        && call_reply_empty(c, 204);
}
