/* api/sock.h -- what the HTTP server needs from the system. */
#pragma once
#include "core/error.h"

/* Listens at the numeric address (NULL: 127.0.0.1); port 0: any.  unsent: bytes of a reply that may wait in the kernel unsent, for each
 * connection: readers that do not read must not fill the kernel's memory for TCP. */
bool sock_listen(const char *address, int port, int unsent, int *ret_fd, int *ret_port, GError **err);
/* Raises the soft limit of open files as far as the hard one allows; returns how many connections fit then, at most as many as asked for. */
int sock_raise_limit(int connections);
bool sock_read_pem(const char *path, char **ret_text, GError **err);
/* An unlinked file with this text, or -1. */
int sock_spill(const GString *text);
