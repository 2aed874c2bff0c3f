/* network/agent/check.h -- does the kernel have what a port's desired state says; nothing is changed. */
#pragma once
#include "network/agent/spec.h"

/* missing: array of texts, one for each thing that is not as it should be; rules: array of the 12 digits of the rules of the port's groups that
 * the kernel has.  Both are filled. */
bool check_port(const PortSpec *p, json_t *missing, json_t *rules, GError **err);
