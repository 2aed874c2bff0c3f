/* network/pool.c -- subnet pools: prefixes that subnets are cut from (pool_subnet.c). */
#include "core/dialect.h"
#include "identity/identity.h"
#include "network/internal.h"
#include <string.h>

static const Range lengths = { 0, 128 };
static const Range quota_range = { 0, G_MAXINT64 };

static bool check_prefixes(const Field *f, const json_t *v, GError **err)
{
    size_t i;
    json_t *one;
    Cidr c, d;
    if (!check_array(f, v, err))
        return false;
    if (!json_array_size(v))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: it is empty.", f->json);
    json_array_foreach((json_t *) v, i, one) {
        if (!json_is_string(one) || !cidr_parse(json_string_value(one), false, &c))
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: '%s' is not a valid IP subnet.", f->json,
                           json_is_string(one) ? json_string_value(one) : "item");
        if (i && cidr_parse(json_string_value(json_array_get(v, 0)), false, &d) && d.base.version != c.base.version)
            return nv_fail(err, NV_ERR_INVALID, "Cannot mix IPv4 and IPv6 prefixes in a subnet pool.");
    }
    return true;
}

/* Lengths go in as numbers or as text, and come out as text, as from Neutron. */
#define LENGTH(member)                                                                                                                     \
    static void render_##member(const Row *row, const Ctx *ctx, JsonW *w)                                                                  \
    {                                                                                                                                      \
        char text[24];                                                                                                                     \
        (void) ctx;                                                                                                                        \
        g_snprintf(text, sizeof text, "%" G_GINT64_FORMAT, AS(const Pool, row)->member);                                                   \
        jw_str(w, text);                                                                                                                   \
    }
LENGTH(default_prefixlen)
LENGTH(min_prefixlen)
LENGTH(max_prefixlen)

/* clang-format off */
static const Field pool_fields[] = {
    STR (Pool, id,          "id",          FILTER | SORT),
    STR (Pool, project_id,  "project_id",  CREATE | ADMIN | FILTER | SORT, .check = check_text),
    COMPUTED("tenant_id", render_tenant),
    STR (Pool, name,        "name",        CREATE | UPDATE | REQUIRED | FILTER | SORT, .check = check_name_nonempty),
    STR (Pool, description, "description", CREATE | UPDATE | FILTER, .check = check_text, .dflt = "\"\""),
    INT (Pool, ip_version,  "ip_version",  FILTER | SORT),
    JSON(Pool, prefixes,    "prefixes",    CREATE | UPDATE | REQUIRED, .check = check_prefixes),
    INT (Pool, default_prefixlen, "default_prefixlen", CREATE | UPDATE | FILTER | SORT, .check = check_range, .arg = &lengths,
         .render = render_default_prefixlen),
    INT (Pool, min_prefixlen, "min_prefixlen", CREATE | UPDATE | FILTER | SORT, .check = check_range, .arg = &lengths,
         .render = render_min_prefixlen),
    INT (Pool, max_prefixlen, "max_prefixlen", CREATE | UPDATE | FILTER | SORT, .check = check_range, .arg = &lengths,
         .render = render_max_prefixlen),
    INT (Pool, default_quota, "default_quota", CREATE | UPDATE | NULLABLE | FILTER | SORT, .check = check_range, .arg = &quota_range, .dflt = "null"),
    BOOL(Pool, shared,      "shared",      CREATE | ADMIN | FILTER | SORT, .dflt = "false"),
    BOOL(Pool, is_default,  "is_default",  CREATE | UPDATE | ADMIN | FILTER | SORT, .dflt = "false"),
    STR (Pool, address_scope_id, "address_scope_id", CREATE | UPDATE | NULLABLE | FILTER | SORT, .check = check_uuid, .dflt = "null"),
    CHILD(Pool, tags,       "tags",        0, &network_tags),
    INT (Pool, revision_number, "revision_number", FILTER | SORT, .dflt = "1"),
    TIME(Pool, created_at,  "created_at",  FILTER | SORT),
    TIME(Pool, updated_at,  "updated_at",  FILTER | SORT),
};
/* clang-format on */

/* Lengths that were not given: the smallest that Neutron cuts, the longest there is, and the smallest again. */
static void lengths_default(Pool *p)
{
    bool four = p->ip_version == 4;
    if (!row_knows(&p->row, &p->min_prefixlen))
        ROW_SET_INT(p, min_prefixlen, four ? 8 : 64);
    if (!row_knows(&p->row, &p->max_prefixlen))
        ROW_SET_INT(p, max_prefixlen, four ? 32 : 128);
    if (!row_knows(&p->row, &p->default_prefixlen))
        ROW_SET_INT(p, default_prefixlen, p->min_prefixlen);
}

static bool lengths_check(const Pool *p, GError **err)
{
    if (p->max_prefixlen > (p->ip_version == 4 ? 32 : 128))
        return nv_fail(err, NV_ERR_INVALID, "Illegal prefix bounds: max_prefixlen=%d is longer than an address.", (int) p->max_prefixlen);
    if (p->min_prefixlen > p->max_prefixlen)
        return nv_fail(err, NV_ERR_INVALID, "Illegal prefix bounds: min_prefixlen=%d, max_prefixlen=%d.", (int) p->min_prefixlen,
                       (int) p->max_prefixlen);
    if (p->default_prefixlen < p->min_prefixlen || p->default_prefixlen > p->max_prefixlen)
        return nv_fail(err, NV_ERR_INVALID,
                       "Illegal prefix bounds: default_prefixlen=%d must be from min_prefixlen=%d to max_prefixlen=%d.",
                       (int) p->default_prefixlen, (int) p->min_prefixlen, (int) p->max_prefixlen);
    return true;
}

/* A pool in another project's scope is changed by administrators only; one that comes into a scope takes whole networks along. */
static bool rescope_check(Db *db, const Ctx *ctx, const Pool *p, const Pool *old, GError **err)
{
    gint64 others = 0;
    if (old->address_scope_id && !ctx->admin) {
        g_autoptr(AddressScope) scope = AS(AddressScope, row_get(db, &address_scope_resource, old->address_scope_id, err));
        if (!scope)
            return false;
        if (g_strcmp0(scope->project_id, ctx->project_id) != 0)
            return nv_fail(err, NV_ERR_INVALID,
                           "Illegal subnetpool update : subnetpool %s cannot be updated when associated with shared address scope %s.", p->id,
                           scope->id);
    }
    if (!p->address_scope_id || g_strcmp0(p->address_scope_id, old->address_scope_id) == 0)
        return true;
    return db_query_int(db, err, &others, "subnetpool_neighbours", "s", p->id) && (!others || subnet_scopes_differ(err));
}

/* Array of Cidr, compact. */
static GArray *prefixes_of(const json_t *list)
{
    GArray *cidrs = g_array_new(FALSE, FALSE, sizeof(Cidr));
    size_t i;
    json_t *one;
    Cidr c;
    json_array_foreach((json_t *) list, i, one)
        if (cidr_parse(json_string_value(one), false, &c))
            g_array_append_val(cidrs, c);
    cidrs_compact(cidrs);
    return cidrs;
}

static bool scope_check(Db *db, const Ctx *ctx, const Pool *p, GError **err)
{
    if (!p->address_scope_id)
        return true;
    g_autoptr(AddressScope) scope = AS(AddressScope, row_get_for(db, &address_scope_resource, ctx, p->address_scope_id, false, err));
    g_autoptr(json_t) others = scope ? db_query(db, err, "scope_prefixes", "ss", scope->id, p->id) : NULL;
    size_t i;
    json_t *other;
    if (!others)
        return false;
    if (scope->ip_version != p->ip_version)
        return nv_fail(
            err, NV_ERR_INVALID,
            "Illegal subnetpool association: subnetpool cannot associate with address scope %s because subnetpool ip_version is not %d.",
            scope->id, (int) scope->ip_version);
    g_autoptr(GArray) mine = prefixes_of(p->prefixes);
    json_array_foreach(others, i, other) {
        Cidr c;
        const Cidr *near = cidr_parse(json_get_str(other, "prefix"), true, &c) ? cidrs_seek(mine, c.base) : NULL;
        if (near && cidr_overlaps(*near, c))
            return nv_fail(err, NV_ERR_CONFLICT, "Failed to associate address scope: subnetpools within an address scope must have unique "
                           "prefixes.");
    }
    return true;
}

static bool default_check(Db *db, const Pool *p, GError **err)
{
    g_autofree char *other = NULL;
    if (!p->is_default)
        return true;
    if (!db_query_str(db, err, &other, "subnetpool_default_other", "is", p->ip_version, p->id))
        return false;
    return !other
           || nv_fail(err, NV_ERR_INVALID,
                      "Invalid input for operation: A default subnetpool for this IP family has already been set. Only one default may "
                      "exist per IP family.");
}

static void version_of_prefixes(Pool *p)
{
    Cidr c;
    if (cidr_parse(json_string_value(json_array_get(p->prefixes, 0)), false, &c))
        ROW_SET_INT(p, ip_version, c.base.version);
}

static void prefixes_compact(Pool *p)
{
    g_autoptr(GArray) cidrs = prefixes_of(p->prefixes);
    json_t *list = json_array();
    for (guint i = 0; i < cidrs->len; i++) {
        char text[50];
        cidr_format(g_array_index(cidrs, Cidr, i), text);
        json_array_append_new(list, json_string(text));
    }
    ROW_SET_JSON(p, prefixes, list);
}

static bool prefixes_remain(const Pool *p, const Pool *old, GError **err)
{
    g_autoptr(GArray) now = prefixes_of(p->prefixes);
    size_t i;
    json_t *was;
    Cidr c;
    json_array_foreach(old->prefixes, i, was) {
        const Cidr *near = cidr_parse(json_string_value(was), true, &c) ? cidrs_seek(now, c.base) : NULL;
        if (!near || near->prefix > c.prefix || !cidr_contains(*near, c.base))
            return nv_fail(err, NV_ERR_INVALID, "Illegal update to prefixes: existing prefixes must remain in the subnet pool: %s",
                           json_string_value(was));
    }
    return true;
}

/* A pool that is made for everybody is in a scope for everybody.  A change of its scope is not asked about, as in Neutron. */
static bool scope_shared_check(Db *db, const Pool *p, GError **err)
{
    if (!p->shared || !p->address_scope_id)
        return true;
    g_autoptr(AddressScope) scope = AS(AddressScope, row_get(db, &address_scope_resource, p->address_scope_id, err));
    return scope && (scope->shared || rbac_scope_closed(p->id, err));
}

static bool pool_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    Pool *p = AS(Pool, row);
    if (!project_known(db, p->project_id, err) || !quota_check(db, p->project_id, "subnetpool", 1, err))
        return false;
    version_of_prefixes(p);
    prefixes_compact(p);
    lengths_default(p);
    return lengths_check(p, err) && scope_check(db, ctx, p, err) && scope_shared_check(db, p, err) && default_check(db, p, err)
        && (!p->shared || rbac_everybody(db, "subnetpool", p->id, p->project_id, "access_as_shared", true, err));
}

static bool pool_update(Db *db, const Ctx *ctx, Row *row, const Row *old_row, GError **err)
{
    Pool *p = AS(Pool, row);
    const Pool *old = AS(const Pool, old_row);
    if (row_is_dirty(row, &p->prefixes)) {
        prefixes_compact(p);
        if (!prefixes_remain(p, old, err))
            return false;
    }
    BUMP(p, old);
    return lengths_check(p, err) && rescope_check(db, ctx, p, old, err) && scope_check(db, ctx, p, err) && default_check(db, p, err);
}

static bool pool_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    g_autoptr(json_t) subnets = db_query(db, err, "subnetpool_subnets", "ss", AS(Pool, row)->id, sees_project(ctx));
    g_autofree char *list = ids_listed(subnets);
    if (!subnets || !*list)
        return subnets != NULL;
    return nv_fail(err, NV_ERR_CONFLICT, "Unable to delete subnet pool: Subnet pool has existing allocations. Subnets: %s.", list);
}

const Resource subnetpool_resource = {
    .one = "subnetpool", .many = "subnetpools", .table = "subnetpool", .dialect = &dialect_neutron, .scope = SCOPE_NAMED, .visible = "shared_visible",
    .size = sizeof(Pool), FIELDS(pool_fields), .label = "Subnet pool", .filters = shared_filters,
    .before_create = pool_create, .before_update = pool_update, .before_delete = pool_delete, .after_load = rbac_shared_load,
};
