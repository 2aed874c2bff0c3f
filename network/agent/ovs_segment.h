/* network/agent/ovs_segment.h -- networks beyond this host, for the driver of Open vSwitch: as the functions of driver.h. */
#pragma once
#include "network/agent/spec.h"

bool ovs_segment_ensure(const NetworkSpec *n, GError **err);
bool ovs_segment_absent(const char *n, GError **err);
bool ovs_segment_complete(const NetworkSpec *n, GHashTable *links);
bool ovs_segment_entries(const NetworkSpec *n, GError **err);
