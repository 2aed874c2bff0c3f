/* identity/catalog_seed.c -- the catalog's rows at a start: services this version brings, under the address that clients use now. */
#include "core/id.h"
#include "identity/internal.h"
#include <string.h>

static const struct { const char *type, *name, *description, *path; } services[] = {
    { "identity", "keystone", "Identity", "/identity" },
    { "compute", "nova", "Compute", "/compute/v2.1" },
    { "image", "glance", "Images", "/image" },
    { "network", "neutron", "Networking", "/network" },
};

char *seed_row(Db *db, const Resource *res, const char *id, GError **err, ...)
{
    static const char *const none[] = { NULL };
    const Ctx ctx = { .admin = true, .roles = none };
    g_autoptr(Row) row = row_new(res);
    g_autoptr(json_t) body = json_object();
    va_list ap;
    va_start(ap, err);
    for (const char *key; (key = va_arg(ap, const char *));)
        json_object_set_new(body, key, json_string(va_arg(ap, const char *)));
    va_end(ap);
    if (!row_parse(row, body, &ctx, CREATE, err))
        return NULL;
    g_autofree char *key = id ? g_strdup(id) : id_new_hex();
    row_set_str(row, FIELD_PTR(row, &res->fields[0], char *), key);
    return row_insert(db, row, err) ? g_steal_pointer(&key) : NULL;
}

static bool make_service(Db *db, guint i, const char *url, GError **err)
{
    static const char *const interfaces[] = { "public", "internal", "admin" };
    g_autoptr(Row) there = row_get(db, &region_resource, "RegionOne", NULL);
    g_autofree char *region = there ? g_strdup("RegionOne") : seed_row(db, &region_resource, "RegionOne", err, NULL);
    g_autofree char *service = region ? seed_row(db, &service_resource, NULL, err, "type", services[i].type, "name", services[i].name,
                                                 "description", services[i].description, NULL) : NULL;
    for (guint k = 0; service && k < G_N_ELEMENTS(interfaces); k++) {
        g_autofree char *endpoint = seed_row(db, &endpoint_resource, NULL, err, "service_id", service, "region_id", region, "interface",
                                             interfaces[k], "url", url, NULL);
        if (!endpoint)
            return false;
    }
    return service != NULL;
}

/* Rows that an administrator changed or removed since stay as he left them. */
bool catalog_seed(Db *db, const char *base, char **ret_old, GError **err)
{
    for (guint i = 0; i < G_N_ELEMENTS(services); i++) {
        g_autofree char *url = g_strconcat(base, services[i].path, NULL), *was = NULL;
        if (!db_query_str(db, err, &was, "catalog_seed_url", "s", services[i].type))
            return false;
        if (was && strcmp(was, url) == 0)
            continue;
        bool ok = was ? db_exec(db, err, "catalog_seed_move", "sss", services[i].type, was, url) : make_service(db, i, url, err);
        if (!ok || !db_exec(db, err, "catalog_seed_put", "ss", services[i].type, url))
            return false;
        if (was && !*ret_old)
            *ret_old = g_strndup(was, strlen(was) - strlen(services[i].path));
    }
    return true;
}
