/* network/agent/ovs_port.c -- bridges and ports as rows of OVSDB: looked at, added, removed, and waited for. */
#include "core/clock.h"
#include "core/conf.h"
#include "core/error.h"
#include "network/agent/link.h"
#include "network/agent/ovs_db.h"
#include <stdlib.h>
#include <string.h>

enum { WAIT_US = 5 * G_USEC_PER_SEC, FIRST_PAUSE_US = 1000, LAST_PAUSE_US = 20000 };

/* --- looking --- */

static json_t *select_op(const char *table, const char *columns)
{
    g_auto(GStrv) names = g_strsplit(columns, " ", -1);
    json_t *list = json_array();
    for (char **n = names; *n; n++)
        json_array_append_new(list, json_string(*n));
    return json_pack("{ss,ss,s[],so}", "op", "select", "table", table, "where", "columns", list);
}

static json_t *rows_of(const json_t *results, size_t i)
{
    return json_object_get(json_array_get(results, i), "rows");
}

/* A value of the protocol: ["uuid", text] → text. */
static const char *uuid_of(const json_t *v)
{
    return g_strcmp0(json_string_value(json_array_get(v, 0)), "uuid") == 0 ? json_string_value(json_array_get(v, 1)) : NULL;
}

/* ["set", […]] → its array; anything else is a set of one. */
static json_t *set_of(json_t *v)
{
    return g_strcmp0(json_string_value(json_array_get(v, 0)), "set") == 0 ? json_incref(json_array_get(v, 1)) : json_pack("[O]", v);
}

/* ["map", [[key, value], …]] */
static const char *map_get(const json_t *v, const char *key)
{
    size_t i;
    json_t *pair;
    json_array_foreach(json_array_get(v, 1), i, pair)
        if (g_strcmp0(json_string_value(json_array_get(pair, 0)), key) == 0)
            return json_string_value(json_array_get(pair, 1));
    return NULL;
}

static int number_of(const json_t *v)
{
    return json_is_integer(v) ? (int) json_integer_value(v) : 0;
}

/* What a bridge must be, or in a word what it is not. */
static const char *fault_of(const json_t *row)
{
    if (g_strcmp0(json_get_str(row, "fail_mode"), "secure") != 0)
        return "fail_mode";
    if (g_strcmp0(json_get_str(row, "datapath_type"), conf_str("network.ovs_datapath")) != 0)
        return "datapath_type";
    return "";
}

static OvsRow *port_row(const json_t *row)
{
    OvsRow *port = g_new0(OvsRow, 1);
    const json_t *ids = json_object_get(row, "external_ids");
    const char *mac = map_get(ids, "nuvolet-mac"), *index = map_get(ids, "nuvolet-index");
    g_strlcpy(port->name, json_get_str(row, "name"), sizeof port->name);
    g_strlcpy(port->mac, mac ? mac : "", sizeof port->mac);
    port->index = index ? (int) g_ascii_strtoll(index, NULL, 10) : 0;
    port->is_ours = map_get(ids, "nuvolet") != NULL;
    return port;
}

bool ovs_view(GHashTable **ret_bridges, GHashTable **ret_ports, GError **err)
{
    json_t *ops = json_pack("[ooo]", select_op("Bridge", "name ports fail_mode datapath_type"), select_op("Port", "_uuid name external_ids"),
                            select_op("Interface", "name ofport ofport_request"));
    g_autoptr(json_t) results = ovs_db_transact(ops, err);
    g_autoptr(GHashTable) by_uuid = g_hash_table_new(g_str_hash, g_str_equal);
    size_t i, k;
    json_t *row, *ref;
    if (!results)
        return false;
    *ret_bridges = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    *ret_ports = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    json_array_foreach(rows_of(results, 1), i, row) {
        OvsRow *port = port_row(row);
        g_hash_table_replace(*ret_ports, port->name, port);
        g_hash_table_insert(by_uuid, (gpointer) uuid_of(json_object_get(row, "_uuid")), port);
    }
    json_array_foreach(rows_of(results, 0), i, row) {
        const char *name = json_get_str(row, "name");
        g_autoptr(json_t) ports = set_of(json_object_get(row, "ports"));
        if (!g_str_has_prefix(name, "nvb"))
            continue;
        g_hash_table_replace(*ret_bridges, g_strdup(name), (gpointer) fault_of(row));
        json_array_foreach(ports, k, ref) {
            OvsRow *port = uuid_of(ref) ? g_hash_table_lookup(by_uuid, uuid_of(ref)) : NULL;
            if (port)
                g_strlcpy(port->bridge, name, sizeof port->bridge);
        }
    }
    json_array_foreach(rows_of(results, 2), i, row) {
        OvsRow *port = g_hash_table_lookup(*ret_ports, json_get_str(row, "name"));
        if (port) {
            port->ofport = number_of(json_object_get(row, "ofport"));
            port->wanted = number_of(json_object_get(row, "ofport_request"));
        }
    }
    return true;
}

bool ovs_row_joined(const OvsRow *row, int index)
{
    return *row->bridge && row->ofport > 0 && row->ofport == row->wanted && (!row->index || row->index == index);
}

/* --- changing --- */

static json_t *where_name(const char *name)
{
    return json_pack("[[sss]]", "name", "==", name);
}

static bool run(json_t *ops_stolen, GError **err)
{
    g_autoptr(json_t) results = ovs_db_transact(ops_stolen, err);
    return results != NULL;
}

/* Uuid of the named row, or NULL: with err set only if the database did not answer. */
static char *find(const char *table, const char *name, GError **err)
{
    json_t *op = json_pack("{ss,ss,so,s[s]}", "op", "select", "table", table, "where", where_name(name), "columns", "_uuid");
    g_autoptr(json_t) results = ovs_db_transact(json_pack("[o]", op), err);
    const json_t *row = json_array_get(rows_of(results, 0), 0);
    return g_strdup(uuid_of(json_object_get(row, "_uuid")));
}

/* The database takes everything; ovs-vswitchd does it a little later, or never.  A question: whether it has come to it. */
typedef bool Question(const char *name, int wanted, bool *ret_done, GError **err);

/* Asks until ovs-vswitchd has come to it.  what: as in "ovs-vswitchd did not WHAT name". */
static bool wait_until(Question *ask, const char *name, int wanted, const char *what, GError **err)
{
    gint64 end = clock_mono_us() + WAIT_US;
    int pause = FIRST_PAUSE_US;
    do {
        bool done = false;
        if (!ask(name, wanted, &done, err))
            return false;
        if (done)
            return true;
        if (!ovs_db_alive())
            return nv_fail(err, NV_ERR_AGENT, "ovs-vswitchd does not run");
        g_usleep((gulong) pause);
        pause = MIN(pause * 2, LAST_PAUSE_US);
    } while (clock_mono_us() < end);
    return nv_fail(err, NV_ERR_AGENT, "ovs-vswitchd did not %s %s within 5 seconds", what, name);
}

/* The interface has its number (wanted 0: any), and is there. */
static bool is_taken(const char *name, int wanted, bool *ret_done, GError **err)
{
    json_t *op = json_pack("{ss,ss,so,s[sss]}", "op", "select", "table", "Interface", "where", where_name(name), "columns", "ofport", "error",
                           "ofport_request");
    g_autoptr(json_t) results = ovs_db_transact(json_pack("[o]", op), err);
    const json_t *row = json_array_get(rows_of(results, 0), 0);
    int ofport = number_of(json_object_get(row, "ofport"));
    LinkInfo info;
    if (!results)
        return false;
    if (ofport < 0)
        return nv_fail(err, NV_ERR_AGENT, "Open vSwitch cannot use %s: %s", name, json_get_str(row, "error"));
    *ret_done = ofport > 0 && (ofport == wanted || wanted == 0) && link_get(name, &info, NULL);
    return true;
}

static bool is_removed(const char *name, int wanted, bool *ret_done, GError **err)
{
    (void) wanted, (void) err;
    LinkInfo info;
    *ret_done = !link_get(name, &info, NULL);
    return true;
}

/* The configuration with that number is in force, and with it all before. */
static bool is_configured(const char *name, int wanted, bool *ret_done, GError **err)
{
    (void) name;
    g_autoptr(json_t) results = ovs_db_transact(json_pack("[o]", select_op("Open_vSwitch", "cur_cfg")), err);
    if (!results)
        return false;
    *ret_done = number_of(json_object_get(json_array_get(rows_of(results, 0), 0), "cur_cfg")) >= wanted;
    return true;
}

static json_t *bump_op(void)
{
    return json_pack("{ss,ss,s[],s[[ssi]]}", "op", "mutate", "table", "Open_vSwitch", "where", "mutations", "next_cfg", "+=", 1);
}

/* Waits until ovs-vswitchd has come to the operation (NULL: to all before).  Without the wait it may see a row that goes and its successor at once,
 * take them for one, and go on with an interface that is no more: next_cfg and cur_cfg are how ovs-vsctl waits, too (ovs-vswitchd.conf.db(5)). */
static bool run_and_wait(json_t *op_stolen, const char *name, const char *what, GError **err)
{
    json_t *ops = json_pack("[oo]", bump_op(), select_op("Open_vSwitch", "next_cfg"));
    if (op_stolen)
        json_array_append_new(ops, op_stolen);
    g_autoptr(json_t) results = ovs_db_transact(ops, err);
    int wanted = number_of(json_object_get(json_array_get(rows_of(results, 1), 0), "next_cfg"));
    return results && wait_until(is_configured, name, wanted, what, err);
}

static json_t *bridge_columns(const char *mac)
{
    return json_pack("{ss,ss,s[s[[ss]]],s[s[[ss]]],sb}", "fail_mode", "secure", "datapath_type", conf_str("network.ovs_datapath"), "other_config",
                     "map", "hwaddr", mac, "external_ids", "map", "nuvolet", "bridge", "stp_enable", 0);
}

static bool bridge_insert(const char *name, const char *mac, gint64 mtu, GError **err)
{
    json_t *iface = json_pack("{ss,ss,s{ss,ss,sI},ss}", "op", "insert", "table", "Interface", "row", "name", name, "type", "internal", "mtu_request",
                              (json_int_t) mtu, "uuid-name", "i");
    json_t *port = json_pack("{ss,ss,s{ss,s[ss],s[s[[ss]]]},ss}", "op", "insert", "table", "Port", "row", "name", name, "interfaces", "named-uuid",
                             "i", "external_ids", "map", "nuvolet", "bridge", "uuid-name", "p");
    json_t *row = bridge_columns(mac);
    json_object_set_new(row, "name", json_string(name));
    json_object_set_new(row, "ports", json_pack("[ss]", "named-uuid", "p"));
    json_t *bridge = json_pack("{ss,ss,so,ss}", "op", "insert", "table", "Bridge", "row", row, "uuid-name", "b");
    json_t *root = json_pack("{ss,ss,s[],s[[ss[s[[ss]]]]]}", "op", "mutate", "table", "Open_vSwitch", "where", "mutations", "bridges", "insert",
                             "set", "named-uuid", "b");
    return run(json_pack("[ooooo]", iface, port, bridge, root, bump_op()), err);
}

/* Whether somebody removed its interface: the switch has come to all that it was told, does not make it again, and spins on what is no more. */
static bool bridge_lost(const char *name, bool *ret_lost, GError **err)
{
    LinkInfo info;
    if (link_get(name, &info, NULL))
        return true;
    if (!run_and_wait(NULL, name, "make", err))
        return false;
    *ret_lost = !link_get(name, &info, NULL);
    return true;
}

bool ovs_bridge_add(const char *name, const char *mac, gint64 mtu, GError **err)
{
    GError *why = NULL;
    g_autofree char *uuid = find("Bridge", name, &why);
    if (why)
        return g_propagate_error(err, why), false;
    bool lost = false;
    if (uuid && !bridge_lost(name, &lost, err))
        return false;
    if (!uuid || lost)
        return (!lost || ovs_bridge_remove(name, err)) && bridge_insert(name, mac, mtu, err) && wait_until(is_taken, name, 0, "take", err);
    json_t *bridge = json_pack("{ss,ss,so,so}", "op", "update", "table", "Bridge", "where", where_name(name), "row", bridge_columns(mac));
    json_t *iface = json_pack("{ss,ss,so,s{sI}}", "op", "update", "table", "Interface", "where", where_name(name), "row", "mtu_request",
                              (json_int_t) mtu);
    return run(json_pack("[oo]", bridge, iface), err) && wait_until(is_taken, name, 0, "take", err);
}

bool ovs_bridge_remove(const char *name, GError **err)
{
    GError *why = NULL;
    g_autofree char *uuid = find("Bridge", name, &why);
    if (!uuid)
        return !why || (g_propagate_error(err, why), false);
    json_t *root = json_pack("{ss,ss,s[],s[[ss[s[[ss]]]]]}", "op", "mutate", "table", "Open_vSwitch", "where", "mutations", "bridges", "delete",
                             "set", "uuid", uuid);
    return run_and_wait(root, name, "remove", err) && wait_until(is_removed, name, 0, "remove", err);
}

/* Takes the port out of every bridge that has it; with nobody naming it any more, the database removes it. */
static json_t *leave_op(const char *uuid)
{
    return json_pack("{ss,ss,s[[ss[s[[ss]]]]],s[[ss[s[[ss]]]]]}", "op", "mutate", "table", "Bridge", "where", "ports", "includes", "set", "uuid",
                     uuid, "mutations", "ports", "delete", "set", "uuid", uuid);
}

/* ovs-vswitchd goes on with the interface that it has open when another one takes the name: the row says which one it was. */
static bool port_insert(const char *name, const char *bridge, int ofport, const char *mac, const char *old_uuid, GError **err)
{
    LinkInfo link = { 0 };
    link_get(name, &link, NULL);
    g_autofree char *index = g_strdup_printf("%d", link.index);
    if (old_uuid && !run_and_wait(leave_op(old_uuid), name, "let go of", err))
        return false;
    json_t *iface = json_pack("{ss,ss,s{ss,si},ss}", "op", "insert", "table", "Interface", "row", "name", name, "ofport_request", ofport,
                              "uuid-name", "i");
    json_t *port = json_pack("{ss,ss,s{ss,s[ss],s[s[[ss][ss][ss]]]},ss}", "op", "insert", "table", "Port", "row", "name", name, "interfaces",
                             "named-uuid", "i", "external_ids", "map", "nuvolet", "port", "nuvolet-mac", mac, "nuvolet-index", index, "uuid-name",
                             "p");
    json_t *join = json_pack("{ss,ss,so,s[[ss[s[[ss]]]]]}", "op", "mutate", "table", "Bridge", "where", where_name(bridge), "mutations", "ports",
                             "insert", "set", "named-uuid", "p");
    return run(json_pack("[ooo]", iface, port, join), err);
}

bool ovs_port_add(const char *name, const char *bridge, int ofport, const char *mac, GError **err)
{
    g_autoptr(GHashTable) bridges = NULL, ports = NULL;
    g_autofree char *uuid = NULL;
    if (!ovs_view(&bridges, &ports, err))
        return false;
    if (!g_hash_table_contains(bridges, bridge))
        return nv_fail(err, NV_ERR_AGENT, "bridge %s is not there yet", bridge);
    const OvsRow *row = g_hash_table_lookup(ports, name);
    LinkInfo link;
    if (row && link_get(name, &link, NULL) && ovs_row_joined(row, link.index) && strcmp(row->bridge, bridge) == 0 && row->wanted == ofport &&
        row->is_ours && strcmp(row->mac, mac) == 0)
        return true;
    if (row && !(uuid = find("Port", name, err)))
        return nv_fail(err, NV_ERR_AGENT, "port %s is gone meanwhile", name);
    return port_insert(name, bridge, ofport, mac, uuid, err) && wait_until(is_taken, name, ofport, "take", err);
}

bool ovs_port_remove(const char *name, GError **err)
{
    GError *why = NULL;
    g_autofree char *uuid = find("Port", name, &why);
    if (!uuid)
        return !why || (g_propagate_error(err, why), false);
    return run(json_pack("[o]", leave_op(uuid)), err);
}
