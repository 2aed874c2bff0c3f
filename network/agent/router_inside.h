/* network/agent/router_inside.h -- what is done inside a router's namespace; all of it in a thread that is there (netns_run). */
#pragma once
#include "network/agent/router_spec.h"

/* Before any link is made, and whenever something was changed: forwards, but only marked packets; answers for no address of another link. */
bool router_inside_prepare(const RouterSpec *r, GError **err);
/* Nobody has set anything otherwise under /proc/sys/net: the kernel tells of few such changes. */
bool router_inside_prepared(const RouterSpec *r);
/* LinkInfo of the router's links. */
GArray *router_inside_links(GError **err);
/* Addresses, routes and advertisements as the spec says, on links that are there; neighbours are told of new addresses (again: of all). */
bool router_inside_settle(const RouterSpec *r, bool again, GError **err);
/* Connections whose translation is not the spec's are forgotten; after the rules are in force. */
bool router_inside_forget(const RouterSpec *r, GError **err);
/* Some connection of old (NULL: not known) may be translated as r does not. */
bool router_inside_must_forget(const RouterSpec *old, const RouterSpec *r);
