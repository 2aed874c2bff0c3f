/* network/explain.h -- what becomes of a packet from a port: hop by hop, from the desired state of the hosts. */
#pragma once
#include "network/internal.h"

/* Pure.  scene:
 *   {"protocol": number, "port": int (-1: none),
 *    "from": END, "to": END or null (an address that is no port's), "address": where it is sent,
 *    "floating": null or {"fixed" (null: it leads nowhere), "port" (if that changes), "router_id", "router": its "up" and "host",
 *        "forwards": it has port forwardings}: the address is a floating IP that leads to the port "to",
 *    "router": arguments of router.ensure of the router at the sender's gateway, with its "host" ("": nowhere), or null,
 *    "foreign_router": there is one that the caller may not know of,
 *    "members": {security group's id: [addresses]}}
 *   END: {"port": arguments of port.ensure, "host": name or null where it is plugged, "groups": [arguments of group.ensure],
 *    "subnets": [{"cidr", "gateway"}], "host_gateway": the host itself is the network's gateway, "disclosed": the caller may know of its rules,
 *    "role": null, "dhcp" or "router", "router": of that role: {"id", "host": "" if it is nowhere, "up"}}
 * → {"verdict": "allowed"|"denied"|"unknown", "source", "destination", "hops": [{"hop", "at", "verdict", "why", "change", "rule"}]}. */
json_t *explain(const json_t *scene);

/* GET /v2.0/ports/{id}/explain. */
Handler port_explain;
