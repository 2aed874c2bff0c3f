/* compute/agent/plug.h -- joins a running guest to its tap again, when somebody removed the tap and it was made anew. */
#pragma once
#include "core/json.h"

/* An interface of a running domain: its tap, QEMU's name for it, and whether frames have a header before them (and virtio says how long). */
typedef struct PlugEnd { char tap[16], alias[16]; bool header, virtio; } PlugEnd;
enum { PLUG_HEADER = 10, PLUG_HEADER_MERGED = 12, PLUG_HEADER_HASHED = 20 };

/* Array of PlugEnd: the interfaces with a tap of that live domain XML. */
GArray *plug_ends(const char *xml);
/* QEMU's descriptor for that interface, from what its monitor says to "info network"; -1: it names none. */
int plug_fd(const char *networks, const char *alias);
/* The header's size that QEMU and guest agreed on, from the answer to x-query-virtio-status. */
int plug_header(const json_t *status);
/* What /proc/…/fdinfo says of a tap's descriptor: it belongs to an interface no more. */
bool plug_is_loose(const char *fdinfo);

/* Joins that descriptor of the process (a pidfd) to the tap of end, which is there and has nobody at its other end.  header: as of plug_header.
 * *ret_joined false: it is no loose one.  NV_ERR_HOST_FAULT where it is no descriptor of a tap at all. */
bool plug_join(int process, int fd, const PlugEnd *end, int header, bool *ret_joined, GError **err);
