/* network/pool_subnet.c -- what pools give to subnets: a range for a new one; a place for those that were there before the pool (onboarding). */
#include "network/internal.h"

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

bool subnet_scopes_differ(GError **err)
{
    return nv_fail(err, NV_ERR_INVALID,
                   "Subnets of the same address family hosted on the same network must all participate in the same address scope.");
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
        return subnet_scopes_differ(err);
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

/* --- onboarding --- */

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
    if (!subnetpool_resource.before_update(db, ctx, &p->row, old, err) || !row_update(db, &p->row, err))
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
    return !others || subnet_scopes_differ(err);
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
