/* identity/quota.c -- how much a project may have: one table of what is limited, counted by SQL over the rows themselves. */
#include "core/conf.h"
#include "identity/internal.h"
#include <string.h>

/* conf: default limit; usage: named statement with the project as ?1, or NULL for limits of one request or one thing. */
typedef struct Limited { const char *service, *resource, *conf, *usage; } Limited;

/* clang-format off */
static const Limited limited[] = {
    { "compute", "instances",                   "quota.instances",            "quota_used_instances" },
    { "compute", "cores",                       "quota.cores",                "quota_used_cores" },
    { "compute", "ram",                         "quota.ram",                  "quota_used_ram" },
    { "compute", "key_pairs",                   "quota.key_pairs",            NULL },
    { "compute", "metadata_items",              "quota.metadata_items",       NULL },
    { "compute", "server_groups",               "quota.server_groups",        NULL },
    { "compute", "server_group_members",        "quota.server_group_members", NULL },
    { "network", "network",                     "quota.networks",             "usage_network" },
    { "network", "subnet",                      "quota.subnets",              "usage_subnet" },
    { "network", "subnetpool",                  "quota.subnetpools",          "usage_subnetpool" },
    { "network", "port",                        "quota.ports",                "usage_port" },
    { "network", "router",                      "quota.routers",              "usage_router" },
    { "network", "floatingip",                  "quota.floatingips",          "usage_floatingip" },
    { "network", "security_group",              "quota.security_groups",      "usage_security_group" },
    { "network", "security_group_rule",         "quota.security_group_rules", "usage_security_group_rule" },
    { "network", "rbac_policy",                 "quota.rbac_policies",        "usage_rbac_policy" },
    { "network", "trunk",                       "quota.trunks",               "usage_trunk" },
    { "volume",  "volumes",                     "quota.volumes",              NULL },
    { "volume",  "snapshots",                   "quota.snapshots",            NULL },
    { "volume",  "gigabytes",                   "quota.gigabytes",            NULL },
    { "volume",  "per_volume_gigabytes",        "quota.per_volume_gigabytes", NULL },
    { "volume",  "backups",                     "quota.backups",              NULL },
    { "volume",  "backup_gigabytes",            "quota.backup_gigabytes",     NULL },
    { "volume",  "groups",                      "quota.volume_groups",        NULL },
};
/* What counts for users, too: the user is ?2. */
static const struct { const char *resource, *usage; } by_user[] = {
    { "instances", "quota_user_instances" }, { "cores", "quota_user_cores" }, { "ram", "quota_user_ram" },
};
/* Other names of the same limits: domains write the plural where Neutron's quota API has the singular. */
static const struct { const char *alias, *resource; } aliases[] = {
    { "networks", "network" }, { "subnets", "subnet" }, { "subnetpools", "subnetpool" }, { "ports", "port" }, { "routers", "router" },
    { "floatingips", "floatingip" }, { "security_groups", "security_group" }, { "security_group_rules", "security_group_rule" },
    { "rbac_policies", "rbac_policy" }, { "trunks", "trunk" },
};
/* clang-format on */

static const Limited *find(const char *resource)
{
    for (guint i = 0; i < G_N_ELEMENTS(aliases); i++)
        if (strcmp(aliases[i].alias, resource) == 0)
            resource = aliases[i].resource;
    for (guint i = 0; i < G_N_ELEMENTS(limited); i++)
        if (strcmp(limited[i].resource, resource) == 0)
            return &limited[i];
    g_error("nothing called %s is limited", resource);
}

const char *quota_resource(const char *service, guint i)
{
    for (guint k = 0; k < G_N_ELEMENTS(limited); k++)
        if (strcmp(limited[k].service, service) == 0 && i-- == 0)
            return limited[k].resource;
    return NULL;
}

gint64 quota_default(const char *resource)
{
    return conf_int(find(resource)->conf);
}

static bool get_limit(Db *db, const char *project_id, const Limited *l, gint64 *ret_limit, GError **err)
{
    return db_query_int(db, err, ret_limit, "quota_limit", "ssi", project_id, l->resource, conf_int(l->conf));
}

bool quota_get(Db *db, const char *project_id, const char *resource, gint64 *ret_limit, gint64 *ret_used, GError **err)
{
    const Limited *l = find(resource);
    *ret_used = 0;
    return get_limit(db, project_id, l, ret_limit, err) && (!l->usage || db_query_int(db, err, ret_used, l->usage, "s", project_id));
}

static bool count(Db *db, const char *project_id, const char *user_id, const Limited *l, gint64 *ret_used, GError **err)
{
    *ret_used = 0;
    for (guint i = 0; user_id && i < G_N_ELEMENTS(by_user); i++)
        if (strcmp(by_user[i].resource, l->resource) == 0)
            return db_query_int(db, err, ret_used, by_user[i].usage, "ss", project_id, user_id);
    return user_id || !l->usage || db_query_int(db, err, ret_used, l->usage, "s", project_id);
}

/* What is left of limit; without one nothing is counted. */
static bool left_of(Db *db, const char *project_id, const char *user_id, const Limited *l, gint64 limit, gint64 *ret_left, GError **err)
{
    gint64 used;
    *ret_left = G_MAXINT64;
    if (limit < 0)
        return true;
    if (!count(db, project_id, user_id, l, &used, err))
        return false;
    *ret_left = MAX(0, limit - used);
    return true;
}

bool quota_left(Db *db, const char *project_id, const char *user_id, const char *resource, gint64 *ret_left, GError **err)
{
    const Limited *l = find(resource);
    gint64 limit, own, any = 0, left;
    if (!get_limit(db, project_id, l, &limit, err) || !left_of(db, project_id, NULL, l, limit, ret_left, err)
        || (user_id && !db_query_int(db, err, &any, "user_quota_any", "ss", project_id, user_id)))
        return false;
    if (!any)                                    /* as nearly always: no limits of the user's own */
        return true;
    if (!db_query_int(db, err, &own, "user_quota_limit", "sssi", project_id, user_id, l->resource, limit)
        || !left_of(db, project_id, user_id, l, own, &left, err))
        return false;
    *ret_left = MIN(*ret_left, left);
    return true;
}

bool quota_user_get(Db *db, const char *project_id, const char *user_id, const char *resource, gint64 *ret_limit, gint64 *ret_used, GError **err)
{
    const Limited *l = find(resource);
    gint64 limit;
    return get_limit(db, project_id, l, &limit, err)
        && db_query_int(db, err, ret_limit, "user_quota_limit", "sssi", project_id, user_id, l->resource, limit)
        && count(db, project_id, user_id, l, ret_used, err);
}

static bool exceeded(const char *resource, gint64 add, gint64 used, gint64 limit, GError **err)
{
    return nv_fail(err, NV_ERR_QUOTA, "Quota exceeded for %s: Requested %" G_GINT64_FORMAT ", but already used %" G_GINT64_FORMAT
                   " of %" G_GINT64_FORMAT " %s", resource, add, used, limit, resource);
}

static bool fits(gint64 limit, gint64 used, gint64 add)
{
    gint64 total;
    return limit < 0 || add <= 0 || (!__builtin_add_overflow(used, add, &total) && total <= limit);
}

bool quota_check(Db *db, const char *project_id, const char *resource, gint64 add, GError **err)
{
    const Limited *l = find(resource);
    gint64 limit, used;
    if (!get_limit(db, project_id, l, &limit, err))
        return false;
    if (limit < 0)                               /* unlimited: nothing to count */
        return true;
    if (!count(db, project_id, NULL, l, &used, err))
        return false;
    return fits(limit, used, add) || exceeded(resource, add, used, limit, err);
}

bool quota_user_check(Db *db, const char *project_id, const char *user_id, const char *resource, gint64 add, GError **err)
{
    gint64 limit, used;
    if (!quota_check(db, project_id, resource, add, err) || !quota_user_get(db, project_id, user_id, resource, &limit, &used, err))
        return false;
    return fits(limit, used, add) || exceeded(resource, add, used, limit, err);
}

bool quota_user_sum(Db *db, const char *project_id, const char *resource, const char *but_user_id, gint64 *ret_sum, GError **err)
{
    return db_query_int(db, err, ret_sum, "user_quota_sum", "sss", project_id, find(resource)->resource, but_user_id);
}

bool quota_user_set(Db *db, const char *project_id, const char *user_id, const char *resource, gint64 limit, GError **err)
{
    g_autofree char *there = NULL;
    if (!db_query_str(db, err, &there, "user_by_id", "s", user_id))
        return false;
    if (!there)
        return nv_fail(err, NV_ERR_INVALID, "User ID %.64s is not a valid user.", user_id);
    return db_exec(db, err, "user_quota_put", "sssi", project_id, user_id, find(resource)->resource, limit);
}

bool quota_user_clear(Db *db, const char *project_id, const char *user_id, GError **err)
{
    return db_exec(db, err, "user_quota_clear", "ss", project_id, user_id);
}

bool quota_set(Db *db, const char *project_id, const char *resource, gint64 limit, GError **err)
{
    return db_exec(db, err, "quota_put", "ssi", project_id, find(resource)->resource, limit);
}

bool quota_clear(Db *db, const char *project_id, const char *service, GError **err)
{
    for (guint i = 0; i < G_N_ELEMENTS(limited); i++)
        if (strcmp(limited[i].service, service) == 0 && !db_exec(db, err, "quota_delete", "ss", project_id, limited[i].resource))
            return false;
    return true;
}

bool quota_class_get(Db *db, const char *name, const char *resource, gint64 *ret_limit, GError **err)
{
    const Limited *l = find(resource);
    return db_query_int(db, err, ret_limit, "quota_class_limit", "ssi", name, l->resource, conf_int(l->conf));
}

bool quota_class_set(Db *db, const char *name, const char *resource, gint64 limit, GError **err)
{
    return db_exec(db, err, "quota_class_put", "ssi", name, find(resource)->resource, limit);
}
