/* core/physnet.h -- physical networks as the option network.physical names them: for `serve` the names and VLAN ids, for an agent the interfaces. */
#pragma once
#include "core/error.h"

enum { VLAN_FIRST = 1, VLAN_LAST = 4094 };
typedef struct Physnet {
    char name[65], interface[16];    /* interface may be empty: not on this host */
    int first, last;                 /* VLAN ids to give out; 0: none are given out by themselves */
    gint64 egress_kbps, ingress_kbps;    /* of the interface, as network.physical_bandwidth says; 0: not said */
} Physnet;
/* "NAME:INTERFACE[:FIRST-LAST];…" → array of Physnet; the same name again adds another range.  NULL with NV_ERR_INVALID. */
GArray *physnets_parse(const char *text, GError **err);
/* "NAME:EGRESS[:INGRESS];…", kilobits a second → each entry of that name.  NV_ERR_INVALID. */
bool physnets_bandwidth(GArray *list, const char *text, GError **err);
/* Those of the configuration, which was checked at start. */
GArray *physnets_conf(void);
/* The first entry of that name, or NULL. */
const Physnet *physnet_find(const GArray *list, const char *name);
