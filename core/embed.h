/* core/embed.h -- files compiled into the binary: SQL of db/, the pages of dashboard/. */
#pragma once
#include <glib.h>

/* Bytes of the file embedded under path ("db/queries/compute.sql"), ended by an extra NUL; NULL if there is none. */
const char *embed_get(const char *path, gsize *ret_len);
/* i-th embedded path in sorted order, or NULL past the last. */
const char *embed_path(guint i);
