/* api/cache.c -- the threads' small caches of answers.  Valid means: not one commit since the answer's snapshot was taken (db_stable). */
#include "api/cache.h"
#include "db/db.h"
#include <string.h>

enum { ENTRIES_MAX = 512, SIZE_MAX_BYTES = 32768 };

typedef struct Answer {
    guint64 stamp;
    GString *body;
} Answer;

static void answer_free(void *p)
{
    Answer *a = p;
    g_string_free(a->body, TRUE);
    g_free(a);
}

static GPrivate table_key = G_PRIVATE_INIT((GDestroyNotify) g_hash_table_unref);

static GHashTable *table(void)
{
    GHashTable *t = g_private_get(&table_key);
    if (!t)
        g_private_set(&table_key, t = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, answer_free));
    return t;
}

/* Everything an answer depends on besides the rows: whose token, which address, which version, which host name its links carry. */
static void key_of(const Call *c, GString *key)
{
    g_string_append_printf(key, "%s %d %s%s", c->ctx->token_hash, c->ctx->mv, c->ctx->base_url, c->path);
    for (size_t i = 0; i < c->n_query; i++)
        g_string_append_printf(key, "\n%s=%s", c->query[i].name, c->query[i].value);
}

bool cache_get(Call *c, guint64 *ret_stamp)
{
    *ret_stamp = 0;
    /* What only administrators see may come from elsewhere than rows: whether an agent is up. */
    if (!(c->route->flags & KEPT) || !c->ctx->token_hash || c->ctx->admin || !db_stable(c->db, ret_stamp))
        return false;
    g_autoptr(GString) key = g_string_sized_new(256);
    key_of(c, key);
    const Answer *a = g_hash_table_lookup(table(), key->str);
    if (!a || a->stamp != *ret_stamp)
        return false;
    call_begin(c, 200);
    g_string_append_len(c->out, a->body->str, (gssize) a->body->len);
    return true;
}

void cache_put(const Call *c, guint64 stamp)
{
    if (!stamp || c->status != 200 || !c->out || c->out->len > SIZE_MAX_BYTES || c->content_type || c->fd >= 0)
        return;
    GHashTable *t = table();
    if (g_hash_table_size(t) >= ENTRIES_MAX)
        g_hash_table_remove_all(t);
    Answer *a = g_new(Answer, 1);
    *a = (Answer){ stamp, g_string_new_len(c->out->str, (gssize) c->out->len) };
    GString *key = g_string_sized_new(256);
    key_of(c, key);
    g_hash_table_replace(t, g_string_free(key, FALSE), a);
}
