/* network/agent/relay.h -- guests' connections that cannot be passed as descriptors: kept until `serve` fetches each, then bytes are moved. */
#pragma once
#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct RelayLimits {
    guint total, per_source;         /* connections at once; a source is an address on a network */
    gint64 wait_us, idle_us;         /* to be fetched; then without a byte either way */
    gint64 stall_us;                 /* for the 16 KiB at most that were taken in from one end to be taken by the other */
} RelayLimits;

/* Its thread. */
bool relay_start(const RelayLimits *limits, GError **err);
/* Keeps guest, a connected non-blocking socket (the relay's from here on), to be fetched with the token, which works once; caller frees.  NULL: the
 * source has as many as it may, and guest stays the caller's.  Where all have too many, the network that has most loses its longest idle one. */
char *relay_keep(int guest, const char *network, const char *address);
/* Ends the one that waits with this token. */
void relay_forget(const char *token);
/* Ends those of a network. */
void relay_forget_network(const char *network);
/* VerbStream.take of metadata.attach {"token"}: fd becomes the other end of the connection that waits with this token. */
bool relay_attach(int fd, const json_t *args, GError **err);
/* Connections that are kept. */
guint relay_count(void);
