/* identity/project_tags.c -- /v3/projects/{id}/tags. */
#include "identity/internal.h"
#include <stdint.h>
#include <string.h>

/* Administrators of the cloud and of the domain change tags; whoever sees the project reads them. */
static Project *project_of(Call *c, bool write, GError **err)
{
    return (Project *) row_get_for(c->db, &project_resource, c->ctx, c->params[0], write, err);
}

static void project_free(Project *p)
{
    row_free((Row *) p);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Project, project_free)

static bool reply_tags(Call *c, const json_t *tags)
{
    size_t i;
    json_t *tag;
    JsonW w = list_begin(c, "tags");
    json_array_foreach((json_t *) tags, i, tag)
        jw_json(&w, tag);
    return list_end(c, &w);
}

static bool store(Call *c, json_t *tags, GError **err)
{
    g_autoptr(json_t) body = json_make("o", "tags", tags);
    g_autoptr(Row) row = update_row(c, &project_resource, c->params[0], body, err);
    return row != NULL;
}

bool tags_list(Call *c, GError **err)
{
    g_autoptr(Project) p = project_of(c, false, err);
    return p && reply_tags(c, p->tags);
}

bool tags_replace(Call *c, GError **err)
{
    json_t *tags = json_object_get(c->body, "tags");
    if (!json_is_array(tags))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'tags': a list must be given");
    return store(c, json_incref(tags), err) && reply_tags(c, tags);
}

bool tags_clear(Call *c, GError **err)
{
    return store(c, json_array(), err) && call_reply_empty(c, 204);
}

bool tag_show(Call *c, GError **err)
{
    g_autoptr(Project) p = project_of(c, false, err);
    if (!p)
        return false;
    return json_has(p->tags, c->params[1]) ? call_reply_empty(c, 204)
                                           : nv_fail(err, NV_ERR_NOT_FOUND, "Could not find project tag: %.64s.", c->params[1]);
}

bool tag_add(Call *c, GError **err)
{
    g_auto(Txn) txn = txn_begin(c->db, err);     /* around reading and writing: others change tags too */
    g_autoptr(Project) p = txn.db ? project_of(c, true, err) : NULL;
    if (!p)
        return false;
    g_autoptr(json_t) tags = json_deep_copy(p->tags);
    if (!json_has(tags, c->params[1]))
        json_array_append_new(tags, json_string(c->params[1]));
    return store(c, g_steal_pointer(&tags), err) && txn_commit(&txn, err) && call_reply_empty(c, 201);
}

bool tag_remove(Call *c, GError **err)
{
    g_auto(Txn) txn = txn_begin(c->db, err);     /* around reading and writing: others change tags too */
    g_autoptr(Project) p = txn.db ? project_of(c, true, err) : NULL;
    if (!p)
        return false;
    size_t at = json_index_of(p->tags, c->params[1]);
    if (at == G_MAXSIZE)
        return nv_fail(err, NV_ERR_NOT_FOUND, "Could not find project tag: %.64s.", c->params[1]);
    g_autoptr(json_t) tags = json_deep_copy(p->tags);
    json_array_remove(tags, at);
    return store(c, g_steal_pointer(&tags), err) && txn_commit(&txn, err) && call_reply_empty(c, 204);
}
