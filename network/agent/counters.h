/* network/agent/counters.h -- what each rule of a security group has let through, as the kernel counts it. */
#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Counter { guint64 packets, bytes; } Counter;
/* Adds the counters of the group's rules to sums: the rule's 12 digits → Counter (g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free)).
 * A group that has no chains has none. */
bool counters_read(const char *group, GHashTable *sums, GError **err);
GHashTable *counters_new(void);
