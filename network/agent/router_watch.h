/* network/agent/router_watch.h -- the kernel's events in the routers' namespaces, and a look at all of them every few seconds. */
#pragma once
#include "core/error.h"

/* Rules of nftables were changed by others; links, addresses, routes or the rules for these were changed. */
typedef enum { ROUTER_RULES, ROUTER_LINKS } RouterChange;
typedef void RouterOnChange(const char *n, RouterChange change);
/* Both functions are called by the thread that this starts. */
bool router_watch_start(RouterOnChange *on_change, void (*look)(void), GError **err);
/* In the router's namespace: from now on its events are read, and those of an earlier namespace are not. */
bool router_watch_open(const char *n, guint64 inode, GError **err);
void router_watch_close(const char *n);
