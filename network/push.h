/* network/push.h -- asks one host's agent for one thing, as the rows have it now. */
#pragma once
#include "network/internal.h"

typedef bool Push(Db *db, const char *host, const char *id, GError **err);
/* push_router: its networks first; afterwards its ports and floating IPs are ACTIVE. */
Push push_network, push_group, push_port, push_router;
/* Only if the rows say something else than at the last push to the host's present connection: a network is large, and most changes
 * concern few hosts. */
Push push_network_news;
/* A new connection: nothing is known of what the agent has. */
void push_forget(const char *host);
/* Whether the host was brought to what the rows said at that time, over its present connection, and nothing failed since. */
bool push_is_known(const char *host, const char *id);
/* rows: array of objects with "id". */
bool push_each(Db *db, const char *host, const json_t *rows, Push *one, GError **err);
bool push_absent(const char *host, const char *verb, const char *id, GError **err);
/* Removes what nobody uses: the statement `used` (id, host) is asked under the lock that every ensure of the id takes. */
bool push_absent_unused(Db *db, const char *host, const char *verb, const char *id, const char *used, GError **err);
