/* network/forwarding.c -- port forwardings: ports of a floating IP that lead to ports of fixed addresses; calls under their floating IP. */
#include "core/dialect.h"
#include "network/router.h"
#include <string.h>

static const char *const protocols[] = { "tcp", "udp", NULL };
static const Range ports = { 1, 65535 };

/* "80:90", "80" or 80. */
static bool range_parse(const json_t *v, gint64 *ret_first, gint64 *ret_last)
{
    const char *text = json_string_value(v);
    gsize digits = text ? strspn(text, "0123456789") : 0;
    char *end;
    if (json_is_integer(v)) {
        *ret_first = *ret_last = json_integer_value(v);
    } else {
        if (!digits || digits > 5)
            return false;
        *ret_first = *ret_last = g_ascii_strtoll(text, &end, 10);
        if (*end == ':') {
            gsize more = strspn(end + 1, "0123456789");
            if (!more || more > 5)
                return false;
            *ret_last = g_ascii_strtoll(end + 1, &end, 10);
        }
        if (*end)
            return false;
    }
    return *ret_first >= ports.min && *ret_last <= ports.max && *ret_first <= *ret_last;
}

static bool check_port_range(const Field *f, const json_t *v, GError **err)
{
    gint64 first, last;
    return range_parse(v, &first, &last)
           || nv_fail(err, NV_ERR_INVALID,
                      "Invalid input for %s. Reason: it is neither a port nor two ports with a colon between them, the lower "
                      "one first.",
                      f->json);
}

static void render_one(gint64 first, gint64 last, JsonW *w)
{
    if (first == last)
        jw_int(w, first);
    else
        jw_null(w);
}

static void render_external(const Row *row, const Ctx *ctx, JsonW *w)
{
    (void) ctx;
    render_one(AS(const Forwarding, row)->external_first, AS(const Forwarding, row)->external_last, w);
}

static void render_internal(const Row *row, const Ctx *ctx, JsonW *w)
{
    (void) ctx;
    render_one(AS(const Forwarding, row)->internal_first, AS(const Forwarding, row)->internal_last, w);
}

/* clang-format off */
static const Field fields[] = {
    STR (Forwarding, id,                  "id",                  FILTER | SORT),
    STR (Forwarding, floatingip_id,       "floatingip_id",       CREATE | HIDDEN | FILTER, .check = check_uuid),
    STR (Forwarding, protocol,            "protocol",            CREATE | UPDATE | REQUIRED | FILTER | SORT, .check = check_enum, .arg = protocols),
    INT (Forwarding, external_first,      "external_port",       CREATE | UPDATE | NULLABLE | FILTER | SORT, .check = check_range, .arg = &ports, .render = render_external),
    INT (Forwarding, external_last,       "external_last",       HIDDEN),
    { .json = "external_port_range", .type = T_JSON, .off = MEMBER(Forwarding, external_port_range, json_t *), .flags = CREATE | UPDATE | NULLABLE, .check = check_port_range },
    STR (Forwarding, internal_port_id,    "internal_port_id",    CREATE | UPDATE | REQUIRED | FILTER | SORT, .check = check_uuid),
    STR (Forwarding, internal_ip_address, "internal_ip_address", CREATE | UPDATE, .check = check_ip),
    INT (Forwarding, internal_first,      "internal_port",       CREATE | UPDATE | NULLABLE, .check = check_range, .arg = &ports, .render = render_internal),
    INT (Forwarding, internal_last,       "internal_last",       HIDDEN),
    { .json = "internal_port_range", .type = T_JSON, .off = MEMBER(Forwarding, internal_port_range, json_t *), .flags = CREATE | UPDATE | NULLABLE, .check = check_port_range },
    STR (Forwarding, description,         "description",         CREATE | UPDATE | FILTER, .check = check_text, .dflt = "\"\""),
    INT (Forwarding, revision_number,     "revision_number",     FILTER | HIDDEN, .dflt = "1"),
    TIME(Forwarding, created_at,          "created_at",          HIDDEN),
    TIME(Forwarding, updated_at,          "updated_at",          HIDDEN),
};
/* clang-format on */

/* One of port and range says which; false with err when neither does and nothing is known yet. */
static bool ranges_settle(Forwarding *w, GError **err)
{
    struct {
        json_t *range;
        gint64 *first, *last;
        const char *name;
    } sides[] = {
        { w->external_port_range, &w->external_first, &w->external_last, "external_port" },
        { w->internal_port_range, &w->internal_first, &w->internal_last, "internal_port" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(sides); i++) {
        bool ranged = row_is_dirty(&w->row, i ? &w->internal_port_range : &w->external_port_range) && sides[i].range;
        bool single = row_is_dirty(&w->row, sides[i].first) && !row_is_null(&w->row, sides[i].first);
        if (ranged && !range_parse(sides[i].range, sides[i].first, sides[i].last))
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s_range.", sides[i].name);
        if (!ranged && single)
            *sides[i].last = *sides[i].first;
        if (!ranged && !single && !*sides[i].last)
            return nv_fail(err, NV_ERR_INVALID, "Bad port_forwarding request: %s or %s_range must be given.", sides[i].name, sides[i].name);
        row_touch(&w->row, sides[i].first);
        row_touch(&w->row, sides[i].last);
    }
    gint64 inside = w->internal_last - w->internal_first;
    return inside == 0 || inside == w->external_last - w->external_first
           || nv_fail(err, NV_ERR_INVALID,
                      "Bad port_forwarding request: Invalid ranges of internal and/or external ports. The relation between "
                      "internal and "
                      "external ports must be N-N or 1-N.");
}

static bool collision(const char *which, const char *have, gint64 first, gint64 last, GError **err)
{
    return nv_fail(err, NV_ERR_INVALID,
                   "Bad port_forwarding request: There is a port collision with the %s. The following ranges collides: %s and "
                   "%d:%d.",
                   which, have, (int) first, (int) last);
}

static bool clash_check(Db *db, const Forwarding *w, GError **err)
{
    g_autofree char *outside = NULL, *inside = NULL;
    if (!db_query_str(db, err, &outside, "forwarding_external_clash", "ssiis", w->floatingip_id, w->protocol, w->external_first,
                      w->external_last, w->id)
        || !db_query_str(db, err, &inside, "forwarding_internal_clash", "ssiiss", w->internal_port_id, w->protocol, w->internal_first,
                         w->internal_last, w->id, w->internal_ip_address))
        return false;
    if (outside)
        return collision("external_port_range", outside, w->external_first, w->external_last, err);
    return !inside || collision("internal_port_range", inside, w->internal_first, w->internal_last, err);
}

/* The port's address that is meant (the first IPv4 one where none is named); which subnet it is of. */
static const char *inside_settle(Forwarding *w, const Port *p, bool named, GError **err)
{
    size_t i;
    json_t *one;
    Ip ip, own;
    if (named && !(ip_parse(w->internal_ip_address, &ip) && ip.version == 4))
        return nv_fail(err, NV_ERR_INVALID, "Bad port_forwarding request: %s is not an IPv4 address.", w->internal_ip_address), NULL;
    json_array_foreach(p->fixed_ips, i, one) {
        const char *address = json_get_str(one, "ip_address");
        if (!ip_parse(address, &own) || own.version != 4 || (named && ip_compare(ip, own) != 0))
            continue;
        ROW_SET_STR(w, internal_ip_address, address);
        return json_get_str(one, "subnet_id");
    }
    if (named)
        nv_fail(err, NV_ERR_INVALID,
                "Bad port_forwarding request: Requested internal IP address %s is not suitable for internal neutron port %s.",
                w->internal_ip_address, p->id);
    else
        nv_fail(err, NV_ERR_INVALID, "Bad port_forwarding request: Requested internal port %s must allocate an IPv4 address at least.",
                p->id);
    return NULL;
}

static bool port_is_free(Db *db, const Port *p, GError **err)
{
    g_autoptr(json_t) found = db_query(db, err, "floating_of_port", "s", p->id);
    const json_t *f = json_array_get(found, 0);
    if (!found)
        return false;
    return !f
           || nv_fail(err, NV_ERR_CONFLICT,
                      "Cannot create port forwarding to floating IP %s (%s) with port %s, as that port already has a binding "
                      "floating IP.",
                      json_get_str(f, "floating_ip_address"), json_get_str(f, "id"), p->id);
}

/* Through the router that the floating IP already has, where it has one. */
static bool router_settle(Db *db, const Floating *f, const Port *p, const char *subnet_id, char **ret_router_id, GError **err)
{
    g_autoptr(GError) why = NULL;
    if (!floating_router(db, p, subnet_id, f->floating_network_id, ret_router_id, &why))
        return nv_fail(
            err, nv_error_code(why) == NV_ERR_NOT_FOUND ? NV_ERR_INVALID : nv_error_code(why),
            "Bad port_forwarding request: External network %s is not reachable from subnet %s. Cannot set Port forwarding for port %s "
            "with Floating "
            "IP %s.",
            f->floating_network_id, subnet_id, p->id, f->id);
    return !f->router_id || strcmp(f->router_id, *ret_router_id) == 0
           || nv_fail(err, NV_ERR_INVALID,
                      "Bad port_forwarding request: The Floating IP %s had been set on router %s, the internal Neutron port %s "
                      "can not reach "
                      "it.",
                      f->id, f->router_id, p->id);
}

static bool settle(Db *db, const Ctx *ctx, Forwarding *w, bool named, GError **err)
{
    g_autofree char *router_id = NULL;
    g_autoptr(Floating) f = AS(Floating, row_get(db, &floating_resource, w->floatingip_id, err));
    g_autoptr(Port) p = f ? AS(Port, row_get_for(db, &port_resource, ctx, w->internal_port_id, false, err)) : NULL;
    if (!p || !ranges_settle(w, err))
        return false;
    if (strcmp(p->project_id, f->project_id) != 0 && !ctx->admin)
        return nv_fail(err, NV_ERR_INVALID, "Bad port_forwarding request: port %s is owned by a different tenant.", p->id);
    const char *subnet_id = inside_settle(w, p, named, err);
    if (!subnet_id || !clash_check(db, w, err) || !port_is_free(db, p, err))
        return false;
    if (f->port_id)
        return nv_fail(err, NV_ERR_CONFLICT,
                       "Cannot associate floating IP %s (%s) with port %s using fixed IP %s, as that fixed IP already has a "
                       "floating IP on "
                       "external network %s.",
                       f->floating_ip_address, f->id, w->internal_port_id, w->internal_ip_address, f->floating_network_id);
    return router_settle(db, f, p, subnet_id, &router_id, err) && db_exec(db, err, "floating_forward", "ss", f->id, router_id)
           && sync_router(db, ctx, router_id, err);
}

static bool before_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    Forwarding *w = AS(Forwarding, row);
    g_autoptr(Row) f = row_get(db, &floating_resource, w->floatingip_id, err);
    return f && row_revision_check(f, ctx, w->floatingip_id, err) && settle(db, ctx, w, row_knows(row, &w->internal_ip_address), err);
}

static bool before_update(Db *db, const Ctx *ctx, Row *row, const Row *old_row, GError **err)
{
    Forwarding *w = AS(Forwarding, row);
    const Forwarding *old = AS(const Forwarding, old_row);
    bool same_port = strcmp(w->internal_port_id, old->internal_port_id) == 0;
    BUMP(w, old);
    return settle(db, ctx, w, same_port || row_is_dirty(row, &w->internal_ip_address), err);
}

static bool before_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    const Forwarding *w = AS(const Forwarding, row);
    g_autoptr(Floating) f = AS(Floating, row_get(db, &floating_resource, w->floatingip_id, err));
    return f && db_exec(db, err, "forwarding_delete", "s", w->id) && db_exec(db, err, "floating_settle", "s", f->id)
           && (!f->router_id || sync_router(db, ctx, f->router_id, err));
}

static bool after_load(Db *db, const Ctx *ctx, GPtrArray *rows, GError **err)
{
    (void) db;
    (void) ctx;
    (void) err;
    for (guint i = 0; i < rows->len; i++) {
        Forwarding *w = rows->pdata[i];
        g_autofree char *out = g_strdup_printf("%d:%d", (int) w->external_first, (int) w->external_last);
        g_autofree char *in = g_strdup_printf("%d:%d", (int) w->internal_first, (int) w->internal_last);
        ROW_SET_JSON(w, external_port_range, json_string(out));
        ROW_SET_JSON(w, internal_port_range, json_string(in));
        w->row.dirty = 0;
    }
    return true;
}

const Resource forwarding_resource = {
    .one = "port_forwarding",
    .many = "port_forwardings",
    .table = "port_forwarding",
    .dialect = &dialect_neutron,
    .scope = SCOPE_NAMED,
    .visible = "forwarding_visible",
    .writable = "forwarding_visible",
    .size = sizeof(Forwarding),
    FIELDS(fields),
    .label = "Port Forwarding",
    .before_create = before_create,
    .before_update = before_update,
    .before_delete = before_delete,
    .after_load = after_load,
};

/* The floating IP of the path, as the caller sees it. */
static bool parent_check(Call *c, GError **err)
{
    g_autoptr(Row) f = row_get_for(c->db, &floating_resource, c->ctx, c->params[0], false, err);
    return f != NULL;
}

/* The engine lists all that the caller sees: one more filter makes it the floating IP's. */
bool forwardings_list(Call *c, GError **err)
{
    if (!parent_check(c, err))
        return false;
    g_autofree Param *query = g_new0(Param, c->n_query + 1);
    const Param *given = c->query;
    size_t n_given = c->n_query, n = 0;
    for (size_t i = 0; i < n_given; i++)
        if (strcmp(given[i].name, "floatingip_id") != 0)
            query[n++] = given[i];
    query[n++] = (Param){ .name = (char *) "floatingip_id", .value = c->params[0] };
    c->query = query;
    c->n_query = n;
    bool ok = resource_handle(c, err);
    c->query = given;
    c->n_query = n_given;
    return ok;
}

bool forwarding_create(Call *c, GError **err)
{
    json_t *body = call_body_object(c, "port_forwarding", err);
    g_autoptr(json_t) protocol = body ? json_incref(json_object_get(body, "protocol")) : NULL;
    if (!body || !parent_check(c, err))
        return false;
    if (json_is_string(protocol)) {
        g_autofree char *low = g_ascii_strdown(json_string_value(protocol), -1);
        json_object_set_new(body, "protocol", json_string(low));
    }
    json_object_del(body, "project_id");
    json_object_del(body, "tenant_id");
    json_object_set_new(body, "floatingip_id", json_string(c->params[0]));
    return resource_handle(c, err);
}

/* GET, PUT and DELETE of one: the engine takes the first parameter of a path for the id. */
bool forwarding_one(Call *c, GError **err)
{
    g_autoptr(Forwarding) w =
        parent_check(c, err) ? AS(Forwarding, row_get_for(c->db, &forwarding_resource, c->ctx, c->params[1], false, err)) : NULL;
    if (!w)
        return false;
    if (strcmp(w->floatingip_id, c->params[0]) != 0)
        return nv_fail(err, NV_ERR_NOT_FOUND, "Port Forwarding %s could not be found.", c->params[1]);
    char *floating = c->params[0];
    c->params[0] = c->params[1];
    bool ok = resource_handle(c, err);
    c->params[0] = floating;
    return ok;
}
