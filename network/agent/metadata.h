/* network/agent/metadata.h -- accepts guests' connections to 169.254.169.254 and hands them to `serve`: as descriptors, or, where it is
 * on another machine, as streams of bytes (relay.h).  Nothing in them is looked at here. */
#pragma once
#include "network/agent/spec.h"

bool metadata_start(GError **err);
/* Listens in the namespace that the network has now. */
bool metadata_ensure(const NetworkSpec *n, GError **err);
void metadata_absent(const char *n);
/* True while a listener is in that namespace. */
bool metadata_listening(const NetworkSpec *n);
