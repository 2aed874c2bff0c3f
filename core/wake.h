/* core/wake.h -- wakes a thread that polls descriptors: one more of them, which any thread makes readable. */
#pragma once
#include <glib.h>
#include <stdbool.h>

/* A descriptor for the poll set, not readable yet; whoever made it closes it.  -1 with err. */
int wake_new(GError **err);
/* Makes it readable, until it is cleared.  Any thread; never waits, and once more changes nothing. */
void wake_up(int fd);
/* For the thread that polls, before it looks at what it was woken for.  True: somebody had woken it.  Never waits. */
bool wake_clear(int fd);
