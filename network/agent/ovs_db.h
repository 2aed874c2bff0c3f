/* network/agent/ovs_db.h -- the door to OVSDB (RFC 7047): bridges and ports of Open vSwitch, over ovsdb-server's Unix socket. */
#pragma once
#include "core/id.h"
#include "core/json.h"

/* One transaction; ops: array of operations (stolen).  Returns the array of their results (a new reference), or NULL with err:
 * NV_ERR_AGENT also where ovsdb-server does not run.  Any thread. */
json_t *ovs_db_transact(json_t *ops_stolen, GError **err);
/* Whether ovs-vswitchd runs and answers: what is asked of the database happens only then. */
bool ovs_db_alive(void);
/* The socket that it takes commands by; NULL where it does not run.  Caller frees. */
char *ovs_db_control(void);

/* A port of one of our bridges, as the database has it. */
typedef struct OvsRow {
    char name[16], bridge[16];       /* bridge "": on none */
    char mac[18];                    /* of the other end, as it was told to ovs_port_add; "" where it was not */
    int ofport, wanted;              /* 0: none */
    int index;                       /* of the interface that was joined; 0: not known */
    bool is_ours;
} OvsRow;
/* All bridges whose name starts with "nvb" (name → "" or what is wrong with it) and ports (name → OvsRow).  Free both. */
bool ovs_view(GHashTable **ret_bridges, GHashTable **ret_ports, GError **err);
/* The port is joined under the number that it should have, and is the interface with that index (not one of the same name that is gone). */
bool ovs_row_joined(const OvsRow *row, int index);
/* A bridge that forwards nothing until it has flows; waits until its interface is there. */
bool ovs_bridge_add(const char *name, const char *mac, gint64 mtu, GError **err);
bool ovs_bridge_remove(const char *name, GError **err);
/* Joins an interface to a bridge under that OpenFlow port number, whatever bridge it was on before; waits until it is so. */
bool ovs_port_add(const char *name, const char *bridge, int ofport, const char *mac, GError **err);
bool ovs_port_remove(const char *name, GError **err);
