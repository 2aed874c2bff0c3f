/* api/cache.h -- answers of KEPT routes, kept by each thread until anything is committed: a client that polls costs a look-up. */
#pragma once
#include "core/call.h"

/* Fills c's reply from an answer that the same token got for the same address at the same microversion, if nothing was committed since.
 * Otherwise false, and *ret_stamp is to be given to cache_put once c is answered (0: do not keep it). */
bool cache_get(Call *c, guint64 *ret_stamp);
/* Keeps c's answer (a 200 with a body) under the stamp. */
void cache_put(const Call *c, guint64 stamp);
