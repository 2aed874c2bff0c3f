/* network/explain_way.h -- what the files of explain share: a packet on its way, and the hops so far. */
#pragma once
#include "network/explain.h"

enum { ANY_PORT = -1, REPLY_PORT = -2, PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_ICMPV6 = 58 };

typedef struct Way {
    const json_t *scene, *from, *to;
    int protocol, port;
    Ip source, target;                   /* as they are at this point of the way */
    char source_text[46], target_text[46];
    Ip asked;                            /* what the sender sent to */
    char asked_text[46];
    const char *network, *beyond;        /* where the packet is by now, if that is known; who carries it on, if that is none of us */
    json_t *hops;
    bool denied, unknown;
} Way;

/* --- explain.c --- */
/* Adds a hop.  change NULL: nothing to do. */
void explain_hop(Way *w, const char *name, const char *at, const char *verdict, const char *rule, const char *change, const char *why, ...)
    G_GNUC_PRINTF(7, 8);
/* The port of an end, and its id. */
const json_t *explain_port_of(const json_t *end);
const char *explain_id(const json_t *end);
bool explain_flag(const json_t *object, const char *name);
/* Leaves both as they are where from is no address. */
void explain_set_ip(Ip *ip, char text[46], const char *from);
/* "tcp port 80", "icmp type 8", "protocol 132". */
char *explain_packet(const Way *w, int port);
bool explain_is_ping(const Way *w);
bool explain_has_role(const json_t *end, const char *role);

/* --- explain_route.c --- */
/* From the sender's network to the next one. */
void explain_route(Way *w);
/* False, with a hop that says so: the router ({"id", "up", "host"}) is down, or on no host. */
bool explain_router_is_there(Way *w, const char *hop, const json_t *router);
/* It goes to 169.254.169.254. */
bool explain_is_metadata(const Way *w);
/* Where the target is a floating IP: what it leads to. */
void explain_floating(Way *w);
