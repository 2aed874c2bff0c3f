/* network/trunk.h -- trunks: what ports and servers must know of them. */
#pragma once
#include "network/internal.h"

/* NV_ERR_CONFLICT where the port is a trunk's parent or subport. */
bool trunk_port_free(Db *db, const char *port_id, GError **err);
/* Sets trunk_details of a page of ports: an object for parents, null for all others.  ids: JSON array of their ids, as text. */
bool trunk_details_load(Db *db, const char *ids, GHashTable *ports_by_id, GError **err);
/* port.ensure's member "parent": {"port_id", "vlan"}, or null; NULL with err. */
json_t *desired_parent_load(Db *db, const char *port_id, GError **err);

Handler trunk_add, trunk_remove, trunk_subports;
