/* network/agent/dnsmasq.h -- the files of one network's dnsmasq as text: pure functions (golden files in tests/golden). */
#pragma once
#include "network/agent/spec.h"

/* The interface inside the namespace. */
#define DHCP_DEVICE "dhcp0"
/* What a restart is needed for; place: which namespace and device it is for, in any words. */
char *dnsmasq_conf(const NetworkSpec *n, const char *dir, const char *user, const char *place);
/* What SIGHUP is enough for: who has which address, the options, the names. */
char *dnsmasq_hosts(const NetworkSpec *n);
char *dnsmasq_opts(const NetworkSpec *n);
char *dnsmasq_names(const NetworkSpec *n);
