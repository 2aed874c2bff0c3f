/* api/accept.h -- a thread that accepts TCP connections, so that they can be shared out. */
#pragma once
#include "core/error.h"

/* fd is a connected, non-blocking stream socket that the callee owns; address: the client's numeric one.  Runs on the accepting thread. */
typedef void AcceptFn(int fd, const char *address, void *data);

typedef struct Acceptor Acceptor;
/* listen_fd stays the caller's, and must outlive the acceptor.  NULL with err. */
Acceptor *acceptor_start(int listen_fd, AcceptFn *fn, void *data, GError **err);
/* Nothing is handed over once it has returned. */
void acceptor_stop(Acceptor *acceptor);
