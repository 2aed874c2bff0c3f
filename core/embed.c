/* core/embed.c -- look-ups in the table that core/embed.sh makes. */
#include "core/embed.h"
#include <string.h>

extern const struct { const char *path, *begin, *end; } embed_table[];

const char *embed_get(const char *path, gsize *ret_len)
{
    for (guint i = 0; embed_table[i].path; i++)
        if (strcmp(embed_table[i].path, path) == 0) {
            if (ret_len)
                *ret_len = (gsize) (embed_table[i].end - embed_table[i].begin);
            return embed_table[i].begin;
        }
    return NULL;
}

const char *embed_path(guint i)
{
    return embed_table[i].path;
}
