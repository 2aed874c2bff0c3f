/* core/fault.h -- fault points: named places where a test makes the program die, fail or pause.
 * NUVOLET_FAULT="name@k:mode[,name@k:mode…]" acts at the k-th passing: mode kill (SIGKILL to self), fail (transient error), fatal
 * (permanent error), pause (sleeps 2 s).  NUVOLET_FAULT_TRACE=file appends every passed name, one a line.  Free when unset. */
#pragma once
#include <glib.h>
#include <stdbool.h>

/* True: go on.  False: err is set, the caller returns failure.  name is a string literal "area.place". */
#define fault_point(name, err) \
    ({ static const char fault_name_[] __attribute__((section("nv_faults"), used, aligned(1))) = name; fault_pass(fault_name_, err); })
bool fault_pass(const char *name, GError **err);
/* Calls fn with the name of every fault point linked into this program. */
void fault_each(void (*fn)(const char *name, void *data), void *data);
