/* network/bootstrap.c -- the public network: made once, external and shared, with the host as its gateway to the world. */
#include "core/conf.h"
#include "core/id.h"
#include "core/log.h"
#include "core/physnet.h"
#include "network/internal.h"

Row *network_row_make(Db *db, const Ctx *ctx, const Resource *res, json_t *body, GError **err)
{
    g_autoptr(json_t) owned = body;
    g_autoptr(Row) row = row_new(res);
    g_autofree char *id = id_new();
    if (!row_parse(row, owned, ctx, CREATE, err))
        return NULL;
    row_set_str(row, FIELD_PTR(row, &res->fields[0], char *), id);
    row_set_str(row, row_project(row), ctx->project_id);
    return res->before_create(db, ctx, row, err) && row_insert(db, row, err) ? g_steal_pointer(&row) : NULL;
}

static bool public_make(Db *db, const char *project_id, GError **err)
{
    static const char *const roles[] = { "admin", NULL };
    const Ctx ctx = { .project_id = project_id, .roles = roles, .admin = true, .base_url = "" };
    const char *cidr = conf_str("network.public_cidr"), *name = conf_str("network.public_name");
    Cidr c;
    if (!cidr_parse(cidr, true, &c) || c.base.version != 4 || c.prefix > 30)
        return nv_fail(err, NV_ERR_INVALID, "configuration: network.public_cidr must be an IPv4 network of at least four addresses, not '%s'", cidr);
    json_t *body = json_make("sbbbss", "name", name, "router:external", true, "shared", true, "is_default", true, "provider:network_type", "flat",
                             "provider:physical_network", "public");
    json_object_set_new(body, "mtu", json_integer(1500));
    g_autoptr(Network) n = AS(Network, network_row_make(db, &ctx, &network_resource, body, err));
    if (!n)
        return false;
    g_autofree char *subnet_name = g_strdup_printf("%s-subnet", name);
    g_autoptr(Row) s = network_row_make(db, &ctx, &subnet_resource,
                            json_make("sssi", "network_id", n->id, "name", subnet_name, "cidr", cidr, "ip_version", (gint64) 4), err);
    if (!s)
        return false;
    log_info("network.public_made", "id", n->id, "cidr", cidr, NULL);
    return true;
}

bool network_bootstrap(Db *db, GError **err)
{
    g_autofree char *project = NULL;
    g_autoptr(GArray) physical = physnets_parse(conf_str("network.physical"), err);
    gint64 done = 0;
    if (!physical || !db_query_int(db, err, &done, "public_network_made", "") || !db_query_str(db, err, &project, "admin_project", ""))
        return false;
    if (done || !*conf_str("network.public_cidr") || !project)
        return true;
    g_auto(Txn) txn = txn_begin(db, err);
    return txn.db && public_make(db, project, err) && db_exec(db, err, "public_network_mark", "") && txn_commit(&txn, err);
}
