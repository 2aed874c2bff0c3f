/* core/fault.h -- fault points: named places where a test makes the program die, fail or pause.
 * NUVOLET_FAULT="name@k:mode[,name@k:mode…]" acts at the k-th passing: mode kill (SIGKILL to self), fail (transient error), fatal
 * (permanent error), pause (sleeps 2 s).  NUVOLET_FAULT_TRACE=file appends every passed name, one a line.  Free when unset.
 * A place that is passed for many things has a detail: "ops.before_step=server.create/disk"; a rule may name either form. */
#pragma once
#include <glib.h>
#include <stdbool.h>

/* True: go on.  False: err is set, the caller returns failure.  name is a string literal "area.place". */
#define fault_point(name, err) \
    ({ static const char fault_name_[] __attribute__((section("nv_faults"), used, aligned(1))) = name; fault_pass(fault_name_, err); })
bool fault_pass(const char *name, GError **err);
/* As fault_point, with a detail that is made of two parts: fault_point_at("agent.before", "disk.ensure", NULL, err). detail2 may be NULL. */
#define fault_point_at(name, detail, detail2, err) \
    ({ static const char fault_name_[] __attribute__((section("nv_faults"), used, aligned(1))) = name; \
       fault_pass_at(fault_name_, detail, detail2, err); })
bool fault_pass_at(const char *name, const char *detail, const char *detail2, GError **err);
/* Replaces the rules by those of spec (same syntax as the environment variable; NULL: none).  A bad spec aborts.  Any thread. */
void fault_arm(const char *spec);
/* Calls fn with the name of every fault point linked into this program. */
void fault_each(void (*fn)(const char *name, void *data), void *data);
