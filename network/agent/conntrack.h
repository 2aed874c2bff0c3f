/* network/agent/conntrack.h -- forgets tracked connections, so that a narrower rule holds for them too. */
#pragma once
#include "core/error.h"
#include "core/ip.h"

typedef struct Flow { int zone; Ip ip; } Flow;       /* every connection of ip in that zone */
bool conntrack_flush(const GArray *flows, GError **err);
