/* api/ring.h -- a bounded buffer between the I/O thread that receives a body and the worker that reads it. */
#pragma once
#include "core/error.h"

typedef struct Ring Ring;
Ring *ring_new(gsize size);
void ring_free(Ring *ring);
/* Never blocks: takes what fits and returns how much that was.  If less than n, ring_take will say when there is room again. */
gsize ring_put(Ring *ring, const void *data, gsize n);
/* No more will come: all is well, or (why) not. */
void ring_end(Ring *ring);
void ring_fail(Ring *ring, NvErr code, const char *why);
/* Blocks until there are bytes; 0 at the end, -1 with err.  *ret_room: the writer was stopped and may go on. */
gssize ring_take(Ring *ring, void *buf, gsize n, bool *ret_room, GError **err);
