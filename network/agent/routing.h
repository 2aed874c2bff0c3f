/* network/agent/routing.h -- routers of this host: a namespace each, made complete, watched and repaired, or gone. */
#pragma once
#include "network/agent/router_spec.h"

bool routing_start(GError **err);
/* spec is stolen.  NV_ERR_AGENT while a network of its ports is not on the host. */
bool routing_ensure(RouterSpec *spec_stolen, GError **err);
bool routing_absent(const char *n, GError **err);
/* 12-digit names of routers: complete ones that were asked for, and pieces of those that nobody asked for. */
void routing_list(GHashTable *names);
/* What is incomplete is made again. */
void routing_repair(void);
