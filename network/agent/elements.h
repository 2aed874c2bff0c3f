/* network/agent/elements.h -- what the sets and maps of the kernel hold, by owner; changed by transactions that carry only differences.
 * Callers (rules.c) take turns. */
#pragma once
#include "network/agent/nft.h"

/* Owner of what was found in the kernel and belongs to nothing that is there. */
#define ELEMENTS_STALE "stale"
void elements_start(void);
/* Reads all of it from the kernel. */
bool elements_read(GError **err);
/* One transaction: chains_first, then the entries of owner become exactly wanted (NULL: none), then chains_last.  An entry that leads
 * the host to another port's address stays that port's, unless it is weak there and not here.  ret_changed (may be NULL): something was done. */
bool elements_commit(const char *owner, const GArray *wanted, const char *chains_first, const char *chains_last, bool *ret_changed, GError **err);
/* Value of an entry, or NULL; owner of an entry, or NULL. */
const char *elements_value(NftMap map, const char *key);
const char *elements_owner(NftMap map, const char *key);
/* Slots of the entries that led the host to a port which has let them go, and that nobody has taken since; the caller empties it. */
GHashTable *elements_freed(void);
/* How that set spells an entry.  Caller frees. */
char *elements_slot(NftMap map, const char *key);
/* Adds the value of every entry of the map to the set (copies). */
void elements_values(NftMap map, GHashTable *set);
