/* network/agent/ovs_state.h -- networks, ports, links and groups whose flows are kept, as the agent knows them; found again when it starts anew. */
#pragma once
#include "network/agent/ovs_flow.h"

/* A network. */
typedef struct OvsKept {
    OvsNet flow;
    NetworkSpec *spec;               /* of what is beyond this host */
    GHashTable *applied;             /* flows that are in force as far as is known; NULL: all of them have to be compared */
    bool failed;                     /* the last change did: the datapath may go on by what was in force before it */
    bool there;                      /* the bridge is */
} OvsKept;

/* Of the agent's one switch; all of it, and all functions below, under lock. */
typedef struct OvsState {
    GMutex lock;
    GHashTable *nets;                /* n → OvsKept */
    GHashTable *groups;              /* n → GroupSpec */
    GHashTable *numbers;             /* link → the OpenFlow port that an earlier agent gave it */
} OvsState;
extern OvsState ovs_state;

/* Takes the lock.  What an earlier agent left: its notes under paths.run, bridges and ports in OVSDB.  Changes nothing. */
bool ovs_state_start(GError **err);
/* NULL: not known. */
OvsPort *ovs_state_port(const OvsKept *net, const char *n);
OvsLink *ovs_state_link(const OvsKept *net, const char *name);
OvsKept *ovs_state_net_of_port(const char *n);
OvsKept *ovs_state_net_of_bridge(const char *bridge);
/* The OpenFlow port that a link of the network had, or one made of its name. */
int ovs_state_number(const OvsKept *net, const char *link);
OvsKept *ovs_state_net_new(const char *n);
void ovs_state_net_put(OvsKept *net, NetworkSpec *spec_stolen);
void ovs_state_port_put(OvsKept *net, PortSpec *spec_stolen);
/* Sets the tags of the network's ports without port security; the other ones' tagged frames are dropped anyway. */
void ovs_state_find_tags(OvsKept *net);
