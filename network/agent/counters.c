/* network/agent/counters.c -- reads the counters of a group's chains; rules say whose they are in their comments. */
#include "network/agent/counters.h"
#include "core/error.h"
#include "core/json.h"
#include "network/agent/nft_apply.h"
#include <string.h>

GHashTable *counters_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

static void add_rule(const json_t *rule, GHashTable *sums)
{
    const char *owner = json_get_str(rule, "comment");
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(rule, "expr"), i, one) {
        const json_t *c = json_object_get(one, "counter");
        if (!owner || !c)
            continue;
        Counter *sum = g_hash_table_lookup(sums, owner);
        if (!sum)
            g_hash_table_insert(sums, g_strdup(owner), sum = g_new0(Counter, 1));
        sum->packets += (guint64) json_get_int(c, "packets", 0);
        sum->bytes += (guint64) json_get_int(c, "bytes", 0);
    }
}

bool counters_read(const char *group, GHashTable *sums, GError **err)
{
    static const char *const prefixes[] = { "gi_", "ge_" };
    for (gsize p = 0; p < G_N_ELEMENTS(prefixes); p++) {
        g_autofree char *command = g_strdup_printf("list chain inet nuvolet %s%s", prefixes[p], group);
        g_autoptr(GError) why = NULL;
        g_autoptr(json_t) list = nft_list(command, &why);
        size_t i;
        json_t *one;
        if (!list && !strstr(why->message, "No such file"))
            return nv_fail(err, nv_error_code(why), "%s", why->message);
        json_array_foreach(list, i, one)
            add_rule(json_object_get(one, "rule"), sums);
    }
    return true;
}
