/* network/agent/metadata.h -- accepts guests' connections to 169.254.169.254 and hands them to `serve`; not a byte of them is read here. */
#pragma once
#include "network/agent/spec.h"

bool metadata_start(GError **err);
/* Listens in the network's namespace; fresh: a namespace that was made anew. */
bool metadata_ensure(const NetworkSpec *n, bool fresh, GError **err);
void metadata_absent(const char *n);
bool metadata_listening(const char *n);
