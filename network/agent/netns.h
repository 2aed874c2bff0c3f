/* network/agent/netns.h -- named network namespaces under /run/netns, as `ip netns` sees them. */
#pragma once
#include "core/error.h"

bool netns_ensure(const char *name, GError **err);
bool netns_absent(const char *name, GError **err);
/* A namespace is mounted there (and not only its file left). */
bool netns_exists(const char *name);
/* Close-on-exec descriptor of the namespace, or -1 with err. */
int netns_open(const char *name, GError **err);
/* Runs fn(data, err) on a thread of its own inside the namespace and waits for it. */
bool netns_run(const char *name, bool (*fn)(void *data, GError **err), void *data, GError **err);
/* Names that start with prefix. */
GPtrArray *netns_list(const char *prefix);
/* Tells one namespace of that name from another that took its place; 0: there is none. */
guint64 netns_inode(const char *name);
