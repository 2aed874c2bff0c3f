/* image/inspect.h -- what a file of bytes from a stranger really is, and whether it may be kept as what its owner says it is. */
#pragma once
#include <glib.h>
#include <stdbool.h>

typedef struct Inspected {
    const char *format;          /* what the bytes are: "qcow2", "raw", "vmdk" …; "raw" where nothing was recognised.  Static. */
    gint64 virtual_size;         /* bytes a guest would see; -1 where the format's header does not say it in a fixed place */
} Inspected;

/* Reads headers only (never more than 64 KiB at a time), with pread on fd, which has size bytes.  Allocates nothing that a header could
 * size.  False: err (NV_ERR_INVALID) says in one sentence why these bytes are not accepted as declared. */
bool inspect_file(int fd, guint64 size, const char *declared, Inspected *ret, GError **err);
/* Checks the header of a qcow2 file: one file that refers to no other, with features that we know (hardening IMG-01 to 07). */
bool inspect_qcow2(int fd, guint64 size, Inspected *ret, GError **err);
/* Formats an image may declare, in the order the schema lists them; ended by NULL. */
extern const char *const image_disk_formats[], *const image_container_formats[];
/* The same in a child process without rights (nuvolet inspect FORMAT), for the API. */
bool inspect_in_child(int fd, const char *declared, char **ret_format, gint64 *ret_virtual_size, GError **err);
