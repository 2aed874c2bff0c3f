/* network/trunk.c -- trunks: a port whose guest sends and receives for other ports too, each by a VLAN tag. */
#include "network/trunk.h"
#include "core/dialect.h"
#include "core/id.h"
#include "identity/identity.h"
#include "network/qos.h"
#include <string.h>

enum { TAG_MAX = 4094 };

typedef struct Trunk {
    Row row;
    char *id, *project_id, *name, *description, *port_id;
    bool admin_state_up;
    gint64 revision_number, created_at, updated_at;
    json_t *sub_ports, *tags, *state;
} Trunk;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Trunk, row_unref)

static bool invalid(GError **err, const char *why)
{
    return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: %s.", why);
}

/* An id that is a number, or digits; -1: neither. */
static gint64 tag_of(const json_t *v)
{
    const char *s = json_string_value(v);
    char *end;
    gint64 n = s ? g_ascii_strtoll(s, &end, 10) : 0;
    return json_is_integer(v) ? json_integer_value(v) : s && *s && !*end ? n : -1;
}

static bool subport_shape(const json_t *sub, GError **err)
{
    static const char *const known[] = { "port_id", "segmentation_type", "segmentation_id", NULL };
    const char *port = json_get_str(sub, "port_id"), *type = json_get_str(sub, "segmentation_type"), *key;
    json_t *v;
    if (!json_is_object(sub))
        return invalid(err, "Invalid data format for subport: it is not a dict");
    json_object_foreach((json_t *) sub, key, v)
        if (!g_strv_contains(known, key))
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: subport has an unknown attribute '%.64s'.", key);
    if (!port || !id_is_uuid(port))
        return invalid(err, "A valid port UUID must be specified");
    if (g_strcmp0(type, "inherit") == 0)
        return true;
    if (!type || !json_object_get(sub, "segmentation_id"))
        return invalid(err, "Invalid subport details: missing segmentation information. Must specify both segmentation_id and segmentation_type");
    if (strcmp(type, "vlan") != 0)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: Unknown segmentation_type '%.32s'.", type);
    gint64 tag = tag_of(json_object_get(sub, "segmentation_id"));
    return (tag >= 1 && tag <= TAG_MAX) || invalid(err, "Segmentation ID is not in range 1 to 4094");
}

static bool check_subports(const Field *f, const json_t *v, GError **err)
{
    size_t i;
    json_t *sub;
    (void) f;
    if (!json_is_array(v))
        return invalid(err, "Invalid data format for subports: it is not a list");
    json_array_foreach((json_t *) v, i, sub) {
        if (!subport_shape(sub, err))
            return false;
        bool inherits = g_strcmp0(json_get_str(sub, "segmentation_type"), "inherit") == 0;
        for (size_t k = 0; k < i; k++) {
            const json_t *other = json_array_get(v, k);
            if (strcmp(json_get_str(other, "port_id"), json_get_str(sub, "port_id")) == 0)
                return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: Non unique UUID for subport: '%s'.", json_get_str(sub, "port_id"));
            if (!inherits && tag_of(json_object_get(other, "segmentation_id")) == tag_of(json_object_get(sub, "segmentation_id")))
                return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: Segmentation ID for '%s' is not unique.",
                               json_get_str(sub, "port_id"));
        }
    }
    return true;
}

static void render_status(const Row *row, const Ctx *ctx, JsonW *w)
{
    const json_t *state = AS(const Trunk, row)->state;
    (void) ctx;
    jw_str(w, json_get_int(state, "busy", 0) ? "BUILD" : json_get_int(state, "active", 0) ? "ACTIVE" : "DOWN");
}

/* clang-format off */
static const Field fields[] = {
    STR (Trunk, id,          "id",          FILTER | SORT),
    STR (Trunk, project_id,  "project_id",  CREATE | ADMIN | FILTER | SORT, .check = check_text),
    STR (Trunk, name,        "name",        CREATE | UPDATE | FILTER | SORT, .check = check_name, .dflt = "\"\""),
    COMPUTED("tenant_id", render_tenant),
    STR (Trunk, description, "description", CREATE | UPDATE | FILTER, .check = check_text, .dflt = "\"\""),
    STR (Trunk, port_id,     "port_id",     CREATE | REQUIRED | FILTER | SORT, .check = check_uuid),
    BOOL(Trunk, admin_state_up, "admin_state_up", CREATE | UPDATE | FILTER | SORT, .dflt = "true"),
    COMPUTED("status", render_status),
    { .json = "sub_ports", .type = T_JSON, .off = MEMBER(Trunk, sub_ports, json_t *), .flags = CREATE, .check = check_subports, .dflt = "[]" },
    { .json = "state", .type = T_JSON, .off = MEMBER(Trunk, state, json_t *), .flags = HIDDEN },
    CHILD(Trunk, tags,       "tags",        0, &network_tags),
    INT (Trunk, revision_number, "revision_number", FILTER | SORT, .dflt = "1"),
    TIME(Trunk, created_at,  "created_at",  FILTER | SORT),
    TIME(Trunk, updated_at,  "updated_at",  FILTER | SORT),
};
/* clang-format on */

bool trunk_port_free(Db *db, const char *port_id, GError **err)
{
    g_autofree char *parent = NULL, *sub = NULL;
    if (!db_query_str(db, err, &parent, "trunk_of_parent", "s", port_id) || !db_query_str(db, err, &sub, "trunk_of_subport", "s", port_id))
        return false;
    if (sub)
        return nv_fail(err, NV_ERR_CONFLICT, "Port %s is currently a subport for trunk %s.", port_id, sub);
    return !parent || nv_fail(err, NV_ERR_CONFLICT, "Port %s is currently a parent port for trunk %s.", port_id, parent);
}

/* Neither a parent nor a subport yet. */
static bool not_trunked(Db *db, const char *port_id, GError **err)
{
    g_autofree char *parent = NULL, *sub = NULL;
    if (!db_query_str(db, err, &parent, "trunk_of_parent", "s", port_id) || !db_query_str(db, err, &sub, "trunk_of_subport", "s", port_id))
        return false;
    if (sub)
        return nv_fail(err, NV_ERR_CONFLICT, "Port %s is in use by another trunk.", port_id);
    return !parent || nv_fail(err, NV_ERR_CONFLICT, "Port %s is currently in use and is not eligible for use as a parent port.", port_id);
}

static bool subport_free(Db *db, const Port *p, const Trunk *t, const Network *parent, const Network *own, GError **err)
{
    if (strcmp(p->id, t->port_id) == 0)
        return nv_fail(err, NV_ERR_CONFLICT, "Port %s is currently in use and is not eligible for use as a parent port.", p->id);
    if (own->mtu > parent->mtu)
        return nv_fail(err, NV_ERR_CONFLICT,
                       "MTU %" G_GINT64_FORMAT " of subport %s cannot be greater than MTU %" G_GINT64_FORMAT " of trunk %s.", own->mtu, p->id,
                       parent->mtu, t->port_id);
    if (!not_trunked(db, p->id, err))
        return false;
    return (!p->server_id && !*p->device_id && !*p->host)
        || nv_fail(err, NV_ERR_CONFLICT, "Unable to complete operation on port %s for network %s. Port already has an attached device %s.", p->id,
                   p->network_id, p->server_id ? p->server_id : p->device_id);
}

/* The tag that a subport says, or takes over from its network. */
static bool segment_of(const json_t *sub, const Network *own, gint64 *ret_tag, GError **err)
{
    bool inherits = strcmp(json_get_str(sub, "segmentation_type"), "inherit") == 0;
    if (inherits && strcmp(own->network_type, "vlan") != 0)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for operation: Unknown segmentation_type '%s'.", own->network_type);
    *ret_tag = inherits ? own->segmentation_id : tag_of(json_object_get(sub, "segmentation_id"));
    return true;
}

static bool subport_add(Db *db, const Ctx *ctx, const Trunk *t, const Network *parent, const json_t *sub, GError **err)
{
    g_autoptr(Port) p = AS(Port, row_get_for(db, &port_resource, ctx, json_get_str(sub, "port_id"), true, err));
    g_autoptr(Network) own = p ? network_find(db, NULL, p->network_id, err) : NULL;
    gint64 tag = 0, taken = 0;
    if (!own || !subport_free(db, p, t, parent, own, err) || !segment_of(sub, own, &tag, err) ||
        !db_query_int(db, err, &taken, "trunk_has_segment", "ssi", t->id, "vlan", tag))
        return false;
    if (taken)
        return nv_fail(err, NV_ERR_CONFLICT, "segmentation_type vlan and segmentation_id %" G_GINT64_FORMAT " already in use on trunk %s.", tag,
                       t->id);
    return db_exec(db, err, "trunk_subport_add", "sssi", t->id, p->id, "vlan", tag) && db_exec(db, err, "subport_attach", "ss", p->id, t->id)
        && qos_kept(db, p->id, err) && sync_groups_of_port(db, ctx, p->id, err) && sync_network(db, ctx, p->network_id, err)
        && sync_port(db, ctx, p->id, err);
}

static bool subports_add(Db *db, const Ctx *ctx, const Trunk *t, const json_t *subs, GError **err)
{
    g_autoptr(Port) p = AS(Port, row_get(db, &port_resource, t->port_id, err));
    g_autoptr(Network) parent = p ? network_find(db, NULL, p->network_id, err) : NULL;
    size_t i;
    json_t *sub;
    if (!parent)
        return false;
    json_array_foreach((json_t *) subs, i, sub)
        if (!subport_add(db, ctx, t, parent, sub, err))
            return false;
    return true;
}

static bool subport_remove(Db *db, const Ctx *ctx, const Trunk *t, const char *port_id, GError **err)
{
    g_autoptr(Port) p = AS(Port, row_get(db, &port_resource, port_id, NULL));
    if (!db_exec(db, err, "trunk_subport_remove", "ss", t->id, port_id))
        return false;
    if (!db_changes(db) || !p)
        return nv_fail(err, NV_ERR_NOT_FOUND, "SubPort %s on trunk %s could not be found.", port_id, t->id);
    return sync_groups_of_port(db, ctx, port_id, err) && (!p->plugged || sync_port_gone(db, ctx, port_id, p->host, err))
        && db_exec(db, err, "subport_detach", "s", port_id) && sync_network(db, ctx, p->network_id, err);
}

static bool before_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    Trunk *t = AS(Trunk, row);
    g_autoptr(Row) port = row_get_for(db, &port_resource, ctx, t->port_id, true, err);
    g_autoptr(json_t) subs = json_incref(t->sub_ports);
    return port && project_known(db, t->project_id, err) && quota_check(db, t->project_id, "trunk", 1, err) && not_trunked(db, t->port_id, err)
        && row_insert(db, row, err) && subports_add(db, ctx, t, subs, err);
}

static bool before_update(Db *db, const Ctx *ctx, Row *row, const Row *old, GError **err)
{
    (void) db;
    (void) ctx;
    (void) err;
    BUMP(AS(Trunk, row), AS(const Trunk, old));
    return true;
}

static bool managed(const Trunk *t, GError **err)
{
    return t->admin_state_up || nv_fail(err, NV_ERR_CONFLICT, "Trunk %s is currently disabled.", t->id);
}

static bool before_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    const Trunk *t = AS(const Trunk, row);
    size_t i;
    json_t *sub;
    if (!managed(t, err))
        return false;
    json_array_foreach(t->sub_ports, i, sub)
        if (!subport_remove(db, ctx, t, json_get_str(sub, "port_id"), err))
            return false;
    return true;
}

static json_t *subport_shown(const json_t *row)
{
    return json_make("ssi", "port_id", json_get_str(row, "port_id"), "segmentation_type", json_get_str(row, "segmentation_type"),
                     "segmentation_id", json_get_int(row, "segmentation_id", 0));
}

/* Subports and states of a whole page. */
static bool after_load(Db *db, const Ctx *ctx, GPtrArray *rows, GError **err)
{
    g_autoptr(json_t) ids = json_array();
    g_autoptr(GHashTable) by_id = g_hash_table_new(g_str_hash, g_str_equal);
    size_t i;
    json_t *one;
    (void) ctx;
    for (guint k = 0; k < rows->len; k++) {
        Trunk *t = rows->pdata[k];
        json_array_append_new(ids, json_string(t->id));
        g_hash_table_insert(by_id, t->id, t);
        ROW_SET_JSON(t, sub_ports, json_array());
        t->row.dirty = 0;
    }
    g_autofree char *text = json_text(ids);
    g_autoptr(json_t) subs = db_query(db, err, "trunk_subports", "s", text), states = subs ? db_query(db, err, "trunk_states", "s", text) : NULL;
    json_array_foreach(subs, i, one) {
        Trunk *t = g_hash_table_lookup(by_id, json_get_str(one, "trunk_id"));
        json_array_append_new(t->sub_ports, subport_shown(one));
    }
    json_array_foreach(states, i, one) {
        Trunk *t = g_hash_table_lookup(by_id, json_get_str(one, "id"));
        g_clear_pointer(&t->state, json_decref);
        t->state = json_incref(one);
    }
    return states != NULL;
}

const Resource trunk_resource = {
    .one = "trunk",
    .many = "trunks",
    .table = "trunk",
    .dialect = &dialect_neutron,
    .scope = SCOPE_PROJECT,
    .size = sizeof(Trunk),
    FIELDS(fields),
    .label = "Trunk",
    .filters = tag_filters,
    .before_create = before_create,
    .before_update = before_update,
    .before_delete = before_delete,
    .after_load = after_load,
};

/* --- add_subports, remove_subports, get_subports: the answer is the trunk, without its name around it --- */

static bool change(Call *c, bool add, GError **err)
{
    json_t *subs = json_object_get(c->body, "sub_ports"), *sub;
    size_t i;
    if (add && !subs)
        return invalid(err, "Invalid data format for subports: sub_ports is missing");
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Trunk) t = txn.db ? AS(Trunk, row_get_for(c->db, &trunk_resource, c->ctx, c->params[0], true, err)) : NULL;
    if (!t)
        return false;
    if (!json_is_array(subs))
        return invalid(err, "Invalid data format for subports: it is not a list");
    if ((add && !check_subports(NULL, subs, err)) || !managed(t, err) || (add && !subports_add(c->db, c->ctx, t, subs, err)))
        return false;
    json_array_foreach(add ? NULL : subs, i, sub) {
        const char *port = json_get_str(sub, "port_id");
        if (!port || !id_is_uuid(port))
            return invalid(err, "A valid port UUID must be specified");
        if (!subport_remove(c->db, c->ctx, t, port, err))
            return false;
    }
    ROW_SET_INT(t, revision_number, t->revision_number + 1);
    g_autoptr(Row) fresh = row_update(c->db, &t->row, err) ? row_get(c->db, &trunk_resource, t->id, err) : NULL;
    if (!fresh || !txn_commit(&txn, err))
        return false;
    JsonW w = call_begin(c, 200);
    row_render(fresh, c->ctx, &w, false);
    return true;
}

bool trunk_add(Call *c, GError **err)
{
    return change(c, true, err);
}

bool trunk_remove(Call *c, GError **err)
{
    return change(c, false, err);
}

bool trunk_subports(Call *c, GError **err)
{
    g_autoptr(Trunk) t = AS(Trunk, row_get_for(c->db, &trunk_resource, c->ctx, c->params[0], false, err));
    return t && call_reply(c, 200, json_make("o", "sub_ports", json_incref(t->sub_ports)));
}

/* --- what ports show and hosts make of it --- */

bool trunk_details_load(Db *db, const char *ids, GHashTable *ports_by_id, GError **err)
{
    g_autoptr(json_t) rows = db_query(db, err, "trunk_details", "s", ids);
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) {
        Port *p = g_hash_table_lookup(ports_by_id, json_get_str(row, "id"));
        if (json_is_null(p->trunk_details)) {
            json_decref(p->trunk_details);
            p->trunk_details = json_make("so", "trunk_id", json_get_str(row, "trunk_id"), "sub_ports", json_array());
        }
        if (!json_get_str(row, "port_id"))
            continue;
        json_t *sub = subport_shown(row);
        json_object_set(sub, "mac_address", json_object_get(row, "mac_address"));
        json_array_append_new(json_object_get(p->trunk_details, "sub_ports"), sub);
    }
    return rows != NULL;
}

json_t *desired_parent_load(Db *db, const char *port_id, GError **err)
{
    g_autoptr(json_t) rows = db_query(db, err, "trunk_parent", "s", port_id);
    if (!rows)
        return NULL;
    return json_array_size(rows) ? json_incref(json_array_get(rows, 0)) : json_null();
}
