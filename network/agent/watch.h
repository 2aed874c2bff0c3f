/* network/agent/watch.h -- notices when somebody else removed or changed what is ours, and puts it right. */
#pragma once
#include "core/error.h"

bool watch_start(GError **err);
