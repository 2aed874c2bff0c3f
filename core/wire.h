/* core/wire.h -- the controller's and the agents' common language: length-prefixed JSON frames on a stream socket.
 * Frame: 4 bytes big-endian length (≤ 8 MiB), then one JSON object.
 *   request  {"id": n, "verb": "disk.ensure", "args": {…}, "request_id": "req-…"}
 *   answer   {"id": n, "ok": {…}}  or  {"id": n, "error": "agent", "message": "…"}      (error: nv_error_name)
 *   event    {"event": "domain", "data": {…}} */
#pragma once
#include "core/json.h"
#include <sys/socket.h>

enum { WIRE_MAX = 8 << 20 };
/* Blocking; false on end of stream (err unset for a clean end before the first byte), error or bad frame. */
bool wire_send(int fd, const json_t *frame, GError **err);
json_t *wire_receive(int fd, GError **err);
/* Unix stream sockets: path is made with mode 0660 and group (may be NULL), and is there only once it is listened on.  fds are close-on-exec. */
int wire_listen(const char *path, const char *group, GError **err);
int wire_connect(const char *path, GError **err);
/* The same without ever waiting, also where many wait to be accepted: that is an error.  The fd is non-blocking. */
int wire_connect_now(const char *path, GError **err);
/* accept4 for a loop, on any stream socket.  While descriptors or memory are short, who waits stays waiting and the listener stays ready: a moment
 * passes here then, so that the loop does not spin, and errno is EAGAIN. */
int wire_accept(int listen_fd, struct sockaddr *addr, socklen_t *n, int flags);
