/* network/pool.c -- subnet pools and address scopes: prefixes that subnets are cut from. */
#include "core/dialect.h"
#include "identity/identity.h"
#include "network/internal.h"
#include <string.h>

static const gint64 versions[] = { 4, 6, 0 };
static const Range lengths = { 0, 128 };
static const Filter scope_filters[] = { SHARED_FILTER, { NULL, NULL, NULL } };
static const Range quota_range = { 0, G_MAXINT64 };

typedef struct AddressScope {
    Row row;
    char *id, *project_id, *name;
    gint64 ip_version;
    bool shared;
} AddressScope;

typedef struct Pool {
    Row row;
    char *id, *project_id, *name, *description, *address_scope_id;
    gint64 ip_version, default_prefixlen, min_prefixlen, max_prefixlen, default_quota, revision_number, created_at, updated_at;
    bool shared, is_default;
    json_t *prefixes, *tags;
} Pool;

G_DEFINE_AUTOPTR_CLEANUP_FUNC(AddressScope, row_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pool, row_unref)

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
static const Field scope_fields[] = {
    STR (AddressScope, id,         "id",         FILTER | SORT),
    STR (AddressScope, project_id, "project_id", CREATE | ADMIN | FILTER | SORT, .check = check_text),
    COMPUTED("tenant_id", render_tenant),
    STR (AddressScope, name,       "name",       CREATE | UPDATE | FILTER | SORT, .check = check_name, .dflt = "\"\""),
    INT (AddressScope, ip_version, "ip_version", CREATE | REQUIRED | FILTER | SORT, .check = check_int_of, .arg = versions),
    BOOL(AddressScope, shared,     "shared",     CREATE | UPDATE | ADMIN | FILTER | SORT, .dflt = "false"),
};
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

static bool scope_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    const AddressScope *s = AS(AddressScope, row);
    (void) ctx;
    return project_known(db, s->project_id, err)
           && (!s->shared || rbac_everybody(db, "address_scope", s->id, s->project_id, "access_as_shared", true, err));
}

static bool scope_update(Db *db, const Ctx *ctx, Row *row, const Row *old, GError **err)
{
    const AddressScope *s = AS(AddressScope, row);
    bool was = AS(const AddressScope, old)->shared;
    (void) ctx;
    if (!row_is_dirty(row, &s->shared))
        return true;
    if (was && !s->shared)
        return nv_fail(err, NV_ERR_INVALID, "Unable to update address scope %s : Shared address scope can't be unshared", s->id);
    return was == s->shared || rbac_everybody(db, "address_scope", s->id, s->project_id, "access_as_shared", true, err);
}

static bool scope_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    const char *id = AS(AddressScope, row)->id;
    g_autoptr(json_t) pools = db_query(db, err, "address_scope_pools", "ss", id, sees_project(ctx));
    g_autofree char *list = ids_listed(pools);
    if (!pools || !*list)
        return pools != NULL;
    return nv_fail(err, NV_ERR_CONFLICT, "Unable to complete operation on address scope %s. There are one or more subnet pools in use on the "
                   "address scope. Subnet pools: %s.", id, list);
}

const Resource address_scope_resource = {
    .one = "address_scope",
    .many = "address_scopes",
    .table = "address_scope",
    .dialect = &dialect_neutron,
    .scope = SCOPE_NAMED,
    .visible = "shared_visible",
    .size = sizeof(AddressScope),
    FIELDS(scope_fields),
    .label = "Address scope",
    .filters = scope_filters,
    .before_create = scope_create,
    .before_update = scope_update,
    .before_delete = scope_delete,
    .after_load = rbac_shared_load,
};

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

#define SCOPES_DIFFER "Subnets of the same address family hosted on the same network must all participate in the same address scope."

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
    return db_query_int(db, err, &others, "subnetpool_neighbours", "s", p->id) && (!others || nv_fail(err, NV_ERR_INVALID, SCOPES_DIFFER));
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

/* First range of that length in the pool that no subnet of it has. */
static bool cut(Db *db, const Pool *p, int length, Cidr *ret, bool *ret_found, GError **err)
{
    size_t i;
    json_t *prefix;
    *ret_found = false;
    json_array_foreach(p->prefixes, i, prefix) {
        Cidr whole;
        if (!cidr_parse(json_string_value(prefix), true, &whole) || whole.prefix > length)
            continue;
        Cidr c = { .base = whole.base, .prefix = length };
        for (;;) {
            char first[IP_KEY_SIZE], last[IP_KEY_SIZE];
            g_autofree char *beyond = NULL;
            ip_key(cidr_first(c), first);
            ip_key(cidr_last(c), last);
            if (!db_query_str(db, err, &beyond, "subnetpool_taken_until", "sss", p->id, first, last))
                return false;
            if (!beyond) {
                *ret = c;
                return *ret_found = true;
            }
            Cidr taken = { 0 };
            if (!cidr_parse(beyond, true, &taken))
                return nv_fail(err, NV_ERR_INTERNAL, "subnet of pool %s has a bad CIDR", p->id);
            Ip end = cidr_last(taken.prefix < length ? taken : c);
            if (ip_compare(end, cidr_last(whole)) >= 0)
                break;
            c.base = ip_add(end, 1);
        }
    }
    return true;
}

static bool quota_ok(Db *db, const Pool *p, const Subnet *s, Cidr c, GError **err)
{
    g_autoptr(json_t) rows = NULL;
    size_t i;
    json_t *row;
    if (row_is_null(&p->row, &p->default_quota))
        return true;
    if (!(rows = db_query(db, err, "subnetpool_project_cidrs", "ss", p->id, s->project_id)))
        return false;
    /* IPv4 is counted in addresses, IPv6 in /64 networks. */
    int unit = p->ip_version == 4 ? 32 : 64;
    unsigned __int128 used = (unsigned __int128) 1 << MAX(unit - c.prefix, 0);
    json_array_foreach(rows, i, row) {
        Cidr other;
        if (cidr_parse(json_get_str(row, "cidr"), true, &other))
            used += (unsigned __int128) 1 << MAX(unit - other.prefix, 0);
    }
    return used <= (unsigned __int128) p->default_quota || nv_fail(err, NV_ERR_CONFLICT, "Per-tenant subnet pool prefix quota exceeded.");
}

static bool inside(Db *db, const Pool *p, Cidr c, GError **err)
{
    size_t i;
    json_t *prefix;
    g_autofree char *taken = NULL;
    char first[IP_KEY_SIZE], last[IP_KEY_SIZE], text[50];
    bool in = false;
    json_array_foreach(p->prefixes, i, prefix) {
        Cidr whole;
        in |= cidr_parse(json_string_value(prefix), true, &whole) && whole.prefix <= c.prefix && cidr_contains(whole, c.base);
    }
    cidr_format(c, text);
    if (!in)
        return nv_fail(err, NV_ERR_CONFLICT,
                       "Failed to allocate subnet: Cannot allocate requested subnet %s from the available set of prefixes.", text);
    ip_key(cidr_first(c), first);
    ip_key(cidr_last(c), last);
    if (!db_query_str(db, err, &taken, "subnetpool_taken_until", "sss", p->id, first, last))
        return false;
    return !taken
           || nv_fail(err, NV_ERR_CONFLICT,
                      "Failed to allocate subnet: Cannot allocate requested subnet %s from the available set of prefixes.", text);
}

/* The pool that the body means: named, or the default one of the IP version, if the caller sees it. */
static Pool *pool_of(Db *db, const Ctx *ctx, const Subnet *s, GError **err)
{
    g_autofree char *id = NULL;
    if (s->subnetpool_id)
        return AS(Pool, row_get_for(db, &subnetpool_resource, ctx, s->subnetpool_id, false, err));
    if (!db_query_str(db, err, &id, "subnetpool_default_other", "is", s->ip_version ? s->ip_version : 4, ""))
        return NULL;
    g_autoptr(GError) why = NULL;
    Pool *p = id ? AS(Pool, row_get_for(db, &subnetpool_resource, ctx, id, false, &why)) : NULL;
    if (why && nv_error_code(why) != NV_ERR_NOT_FOUND)
        g_propagate_error(err, g_steal_pointer(&why));
    else if (!p)
        nv_fail(err, NV_ERR_INVALID, "Bad subnets request: No default subnetpool defined.");
    return p;
}

/* The subnets of a network come from one pool, or from pools of one address scope, or all from none. */
static bool one_pool(Db *db, const Subnet *s, gint64 version, const char *pool_id, GError **err)
{
    gint64 others = 0;
    g_autofree char *scope = NULL;
    if (!db_query_int(db, err, &others, "subnet_other_pools", "sis", s->network_id, version, pool_id)
        || (others && pool_id && !db_query_str(db, err, &scope, "network_scope", "si", s->network_id, version)))
        return false;
    if (scope)
        return nv_fail(err, NV_ERR_INVALID, SCOPES_DIFFER);
    return !others || nv_fail(err, NV_ERR_INVALID, "Subnets hosted on the same network must be allocated from the same subnet pool.");
}

bool subnet_from_pool(Db *db, const Ctx *ctx, Subnet *s, GError **err)
{
    bool want_default = json_is_true(s->use_default_subnetpool);
    if (s->use_default_subnetpool && !json_is_boolean(s->use_default_subnetpool))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for use_default_subnetpool. Reason: it is not a boolean.");
    if (!s->subnetpool_id && !want_default)
        return s->prefixlen ? nv_fail(err, NV_ERR_INVALID, "Bad subnets request: prefixlen needs a subnetpool.")
                            : one_pool(db, s, s->ip_version, NULL, err);
    if (s->subnetpool_id && want_default)
        return nv_fail(err, NV_ERR_INVALID, "Bad subnets request: subnetpool_id and use_default_subnetpool cannot both be specified.");
    if (s->cidr && s->prefixlen)
        return nv_fail(err, NV_ERR_INVALID, "Bad subnets request: cidr and prefixlen must not be supplied together.");
    g_autoptr(Pool) p = pool_of(db, ctx, s, err);
    if (!p)
        return false;
    if (s->ip_version && s->ip_version != p->ip_version)
        return nv_fail(err, NV_ERR_INVALID, "Bad subnets request: Cannot use subnetpool of IPv%d for a subnet of IPv%d.",
                       (int) p->ip_version, (int) s->ip_version);
    if (!one_pool(db, s, p->ip_version, p->id, err))
        return false;
    Cidr c = { 0 };
    bool found = true;
    gint64 length = json_is_integer(s->prefixlen) ? json_integer_value(s->prefixlen)
        : json_is_string(s->prefixlen)            ? g_ascii_strtoll(json_string_value(s->prefixlen), NULL, 10)
        : s->prefixlen                            ? -1
                                                  : p->default_prefixlen;
    if (s->cidr && cidr_parse(s->cidr, true, &c))
        length = c.prefix;
    if (length < p->min_prefixlen || length > p->max_prefixlen)
        return nv_fail(err, NV_ERR_INVALID, "Unable to allocate subnet with prefix length %d, %s allowed prefix is %d.", (int) length,
                       length < p->min_prefixlen ? "minimum" : "maximum",
                       (int) (length < p->min_prefixlen ? p->min_prefixlen : p->max_prefixlen));
    if (!(s->cidr ? inside(db, p, c, err) : cut(db, p, (int) length, &c, &found, err)))
        return false;
    if (!found)
        return nv_fail(err, NV_ERR_CONFLICT, "Failed to allocate subnet: Insufficient prefix space to allocate subnet size /%d", (int) length);
    if (!quota_ok(db, p, s, c, err))
        return false;
    char text[50];
    cidr_format(c, text);
    ROW_SET_STR(s, cidr, text);
    ROW_SET_STR(s, subnetpool_id, p->id);
    ROW_SET_INT(s, ip_version, p->ip_version);
    return true;
}

/* --- subnets that were there before the pool --- */

/* The network's subnets of the pool's IP version; the caller's own, where he is no administrator. */
static GPtrArray *subnets_to_join(Db *db, const Ctx *ctx, const Pool *p, const char *network_id, GError **err)
{
    g_autoptr(GPtrArray) rows = rows_where(db, &subnet_resource, err, "network_id", network_id, NULL);
    for (guint i = rows ? rows->len : 0; i > 0; i--) {
        const Subnet *s = rows->pdata[i - 1];
        if (s->ip_version != p->ip_version || (!ctx->admin && g_strcmp0(s->project_id, ctx->project_id) != 0))
            g_ptr_array_remove_index(rows, i - 1);
    }
    return g_steal_pointer(&rows);
}

/* What the pool has given out already, to whatever network, is in the way, this subnet's own range too. */
static bool join_check(Db *db, const Pool *p, const Subnet *s, GError **err)
{
    g_autofree char *taken = NULL;
    if (!db_query_str(db, err, &taken, "subnetpool_taken_until", "sss", p->id, s->first_key, s->last_key))
        return false;
    return !taken || nv_fail(err, NV_ERR_INVALID, "Illegal subnetpool update : Onboarding subnet %s: %s conflicts with allocated prefixes in subnet "
                             "pool %s.", s->id, s->cidr, p->id);
}

/* All of them are checked before the first one joins.  The pool's own quota is for what is cut from it.  Others' subnets, which stay behind, keep
 * the network from joining without them. */
static bool join(Db *db, const Ctx *ctx, Pool *p, GPtrArray *subnets, GError **err)
{
    g_autoptr(Row) old = row_get(db, &subnetpool_resource, p->id, err);
    json_t *prefixes = old ? json_deep_copy(p->prefixes) : NULL;
    for (guint i = 0; old && i < subnets->len; i++) {
        const Subnet *s = subnets->pdata[i];
        if (!join_check(db, p, s, err))
            return json_decref(prefixes), false;
        json_array_append_new(prefixes, json_string(s->cidr));
    }
    if (!old)
        return false;
    ROW_SET_JSON(p, prefixes, prefixes);
    if (!pool_update(db, ctx, &p->row, old, err) || !row_update(db, &p->row, err))
        return false;
    for (guint i = 0; i < subnets->len; i++) {
        Subnet *s = subnets->pdata[i];
        ROW_SET_STR(s, subnetpool_id, p->id);
        ROW_SET_INT(s, revision_number, s->revision_number + 1);
        if (!row_update(db, &s->row, err))
            return false;
    }
    gint64 others = 0;
    const Subnet *first = subnets->len ? subnets->pdata[0] : NULL;
    if (first && !db_query_int(db, err, &others, "subnet_other_pools", "sis", first->network_id, p->ip_version, p->id))
        return false;
    return !others || nv_fail(err, NV_ERR_INVALID, SCOPES_DIFFER);
}

static bool network_of(Db *db, const Ctx *ctx, const char *id, GError **err)
{
    g_autoptr(Network) n = network_find(db, ctx, id, err);
    if (!n)
        return false;
    return network_is_owner(ctx, n) || nv_fail(err, NV_ERR_FORBIDDEN, "rule:onboard_network_subnets is disallowed by policy");
}

bool subnetpool_onboard(Call *c, GError **err)
{
    const char *network_id = json_get_str(c->body, "network_id");
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Pool) p = txn.db ? AS(Pool, row_get_for(c->db, &subnetpool_resource, c->ctx, c->params[0], true, err)) : NULL;
    if (!p)
        return false;
    if (!network_id)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: network_id must be specified.");
    g_autoptr(GPtrArray) subnets = network_of(c->db, c->ctx, network_id, err) ? subnets_to_join(c->db, c->ctx, p, network_id, err) : NULL;
    if (!subnets || !join(c->db, c->ctx, p, subnets, err) || !txn_commit(&txn, err))
        return false;
    json_t *list = json_array();
    for (guint i = 0; i < subnets->len; i++) {
        const Subnet *s = subnets->pdata[i];
        json_array_append_new(list, json_make("ss", "id", s->id, "cidr", s->cidr));
    }
    return call_reply(c, 200, list);
}
