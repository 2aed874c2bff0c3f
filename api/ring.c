/* api/ring.c -- the bounded buffer of streamed bodies. */
#include "api/ring.h"
#include <string.h>

struct Ring {
    GMutex lock;
    GCond change;
    gsize size, start, used;
    bool ended, stopped;         /* stopped: the writer found it full and waits for room */
    const char *why;             /* static text; set: failed */
    NvErr code;
    char data[];
};

Ring *ring_new(gsize size)
{
    Ring *r = g_malloc(sizeof *r + size);
    memset(r, 0, sizeof *r);
    r->size = size;
    g_mutex_init(&r->lock);
    g_cond_init(&r->change);
    return r;
}

void ring_free(Ring *r)
{
    g_mutex_clear(&r->lock);
    g_cond_clear(&r->change);
    g_free(r);
}

gsize ring_put(Ring *r, const void *data, gsize n)
{
    g_mutex_lock(&r->lock);
    gsize put = MIN(n, r->size - r->used);
    gsize end = (r->start + r->used) % r->size, first = MIN(put, r->size - end);
    memcpy(r->data + end, data, first);
    memcpy(r->data, (const char *) data + first, put - first);
    r->used += put;
    r->stopped = put < n;
    if (put)
        g_cond_signal(&r->change);
    g_mutex_unlock(&r->lock);
    return put;
}

static void finish(Ring *r, NvErr code, const char *why)
{
    g_mutex_lock(&r->lock);
    if (!r->ended && !r->why) {
        r->ended = !why;
        r->why = why;
        r->code = code;
    }
    g_cond_signal(&r->change);
    g_mutex_unlock(&r->lock);
}

void ring_end(Ring *r)
{
    finish(r, 0, NULL);
}

void ring_fail(Ring *r, NvErr code, const char *why)
{
    finish(r, code, why);
}

gssize ring_take(Ring *r, void *buf, gsize n, bool *ret_room, GError **err)
{
    g_mutex_lock(&r->lock);
    while (!r->used && !r->ended && !r->why)
        g_cond_wait(&r->change, &r->lock);
    /* A broken body is not worth its first half. */
    gssize got = r->why ? -1 : (gssize) MIN(n, r->used);
    *ret_room = false;
    if (got < 0)
        nv_fail(err, r->code, "%s", r->why);
    else if (got > 0) {
        gsize first = MIN((gsize) got, r->size - r->start);
        memcpy(buf, r->data + r->start, first);
        memcpy((char *) buf + first, r->data, (gsize) got - first);
        r->start = (r->start + (gsize) got) % r->size;
        r->used -= (gsize) got;
        *ret_room = r->stopped && r->used <= r->size / 2;
        if (*ret_room)
            r->stopped = false;
    }
    g_mutex_unlock(&r->lock);
    return got;
}
