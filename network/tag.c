/* network/tag.c -- tags of networks, subnets, ports, security groups and the rest: one set of calls for every kind of object. */
#include "network/internal.h"
#include <string.h>

enum { TAGS_MAX = 1000 };

/* The object that the path names, if the caller may see (or, with write, change) it. */
static Row *object(Call *c, bool write, GError **err)
{
    return row_get_for(c->db, c->route->res, c->ctx, c->params[0], write, err);
}

static json_t *row_tags(const Row *row)
{
    int i = field_index(row->res, "tags", 0);
    return *FIELD_PTR(row, &row->res->fields[i], json_t *);
}

/* Any text of up to 255 characters. Neutron has no limit to their number. */
static bool tag_ok(const char *tag, GError **err)
{
    return (tag && g_utf8_strlen(tag, -1) <= 255)
        || nv_fail(err, NV_ERR_INVALID, "Invalid input for tags. Reason: a tag is a string of at most 255 characters.");
}

static bool number_ok(size_t n, GError **err)
{
    return n <= TAGS_MAX || nv_fail(err, NV_ERR_INVALID, "Invalid input for tags. Reason: there are more than %d.", TAGS_MAX);
}

static bool tags_ok(const json_t *tags, GError **err)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    size_t i;
    json_t *tag;
    if (!json_is_array(tags))
        return nv_fail(err, NV_ERR_INVALID, "Invalid tags body");
    json_array_foreach((json_t *) tags, i, tag) {
        if (!tag_ok(json_string_value(tag), err))
            return false;
        if (!g_hash_table_add(seen, (gpointer) json_string_value(tag)))
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for tags. Reason: '%s' is given twice.", json_string_value(tag));
    }
    return number_ok(json_array_size(tags), err);
}

static bool bump(Db *db, Row *row, GError **err)
{
    int i = field_index(row->res, "revision_number", 0);
    if (i < 0)
        return true;
    gint64 *n = FIELD_PTR(row, &row->res->fields[i], gint64);
    ++*n;
    row_touch(row, n);
    return row_update(db, row, err);
}

bool net_tags_show(Call *c, GError **err)
{
    g_autoptr(Row) row = object(c, false, err);
    return row && call_reply(c, 200, json_make("o", "tags", json_incref(row_tags(row))));
}

bool net_tags_replace(Call *c, GError **err)
{
    json_t *tags = json_object_get(c->body, "tags"), *tag;
    size_t i;
    if (!tags_ok(tags, err))
        return false;
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Row) row = txn.db ? object(c, true, err) : NULL;
    if (!row || !db_exec(c->db, err, "tags_clear", "s", c->params[0]))
        return false;
    json_array_foreach(tags, i, tag)
        if (!db_exec(c->db, err, "tag_add", "ss", c->params[0], json_string_value(tag)))
            return false;
    return bump(c->db, row, err) && txn_commit(&txn, err) && call_reply(c, 200, json_make("o", "tags", json_incref(tags)));
}

bool net_tags_clear(Call *c, GError **err)
{
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Row) row = txn.db ? object(c, true, err) : NULL;
    return row && db_exec(c->db, err, "tags_clear", "s", c->params[0]) && bump(c->db, row, err) && txn_commit(&txn, err) && call_reply_empty(c, 204);
}

static bool present(Call *c, GError **err)
{
    gint64 has = 0;
    if (!db_query_int(c->db, err, &has, "tag_has", "ss", c->params[0], c->params[1]))
        return false;
    return has || nv_fail(err, NV_ERR_NOT_FOUND, "Tag %s could not be found.", c->params[1]);
}

bool net_tag_check(Call *c, GError **err)
{
    g_autoptr(Row) row = object(c, false, err);
    return row && present(c, err) && call_reply_empty(c, 204);
}

bool net_tag_put(Call *c, GError **err)
{
    if (!tag_ok(c->params[1], err))
        return false;
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Row) row = txn.db ? object(c, true, err) : NULL;
    if (!row || !number_ok(json_array_size(row_tags(row)) + !json_has(row_tags(row), c->params[1]), err))
        return false;
    return db_exec(c->db, err, "tag_add", "ss", c->params[0], c->params[1]) && bump(c->db, row, err) && txn_commit(&txn, err)
        && call_reply_empty(c, 201);
}

bool net_tag_delete(Call *c, GError **err)
{
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Row) row = txn.db ? object(c, true, err) : NULL;
    return row && present(c, err) && db_exec(c->db, err, "tag_remove", "ss", c->params[0], c->params[1]) && bump(c->db, row, err)
           && txn_commit(&txn, err) && call_reply_empty(c, 204);
}
