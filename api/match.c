/* api/match.c -- If-Match: the revision at which the row of the path may be changed (Neutron's extension revision-if-match). */
#include "api/api.h"
#include <string.h>

/* As webob reads it: what stands in double quotes is a tag each (weak ones never match), and without quotes the whole value is one. */
static GPtrArray *tags_of(const char *value)
{
    GPtrArray *tags = g_ptr_array_new_with_free_func(g_free);
    const char *open = strchr(value, '"');
    if (!open)
        g_ptr_array_add(tags, g_strdup(value));
    while (open) {
        const char *close = strchr(open + 1, '"');
        bool weak = open - value >= 2 && strncmp(open - 2, "W/", 2) == 0;
        if (close && !weak)
            g_ptr_array_add(tags, g_strndup(open + 1, (gsize) (close - open - 1)));
        open = close ? strchr(close + 1, '"') : NULL;
    }
    return tags;
}

bool match_read(const Call *c, RevisionMatch *ret_match, bool *ret_given, GError **err)
{
    static const char prefix[] = "revision_number=";
    const char *value = c->header(c, "If-Match");
    g_autoptr(GPtrArray) tags = value ? tags_of(value) : NULL;
    gint64 revision = 0;
    bool given = false;
    for (guint i = 0; tags && i < tags->len; i++) {
        const char *tag = tags->pdata[i];
        if (!g_str_has_prefix(tag, prefix))
            continue;
        if (given)
            return nv_fail(err, NV_ERR_INVALID, "Bad if-match request: Multiple revision_number etags are not supported..");
        g_autofree char *number = g_strstrip(g_strdup(tag + strlen(prefix)));
        char *end;
        revision = g_ascii_strtoll(number, &end, 10);        /* one that is too large becomes the largest: no row has it */
        if (!*number || *end)
            return nv_fail(err, NV_ERR_INVALID, "Bad if-match request: Revision number etag must be in the format of revision_number=<int>.");
        given = true;
    }
    *ret_match = (RevisionMatch){ .revision = revision, .ids = c->params, .n_ids = CALL_PARAMS_MAX };
    *ret_given = given;
    return true;
}
