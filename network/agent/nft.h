/* network/agent/nft.h -- the rules as text for libnftables: pure functions of typed values (golden files in tests/golden).
 *
 * table bridge nuvolet: what a guest may send at all (its MAC, its addresses, ARP and ND for them, a few ethertypes); marks a frame with
 *   the guest it comes from, and later with the guest it goes to: NFT_MARK | number of the port.  What is no plain ARP or IP (tags, SNAP,
 *   PPPoE, MPLS, …) passes br_netfilter by, and goes to ports without port security only.
 * table inet nuvolet: stateful security groups on those marks (bridged IP packets pass it through br_netfilter): egress in prerouting,
 *   ingress in forward; packets that the host routes or sends itself get the mark by bridge and destination address instead.
 *   Rules are asked for every packet in the direction that its connection was opened in, so that a narrower rule holds for those too
 *   that are open; replies pass unless the last of these packets was refused (the connection's mark tells).
 * Frames from other hosts (nvx) are held to what the rows say of those hosts' ports, and the hosts' own packets to their addresses; those of
 * a physical network (uplinks) are whose they are.
 * A port is entries of sets and maps only, so that a thousand of them cost one a small transaction.  Chains: eg_, in_ (one pair for each
 * combination of groups that a port has), ge_, gi_ (a group); sets g4_, g6_ (a group's members). */
#pragma once
#include "network/agent/spec.h"

#define NFT_MARK 0x40000000u
#define NFT_MARK_HOST 0x20000000u
/* Beside NFT_MARK: the port has no port security.  The rest is the port's number. */
#define NFT_MARK_OPEN 0x80000000u
#define NFT_MARK_NUMBER 0x3fffffffu
/* Bits of a connection's mark: by its sender's rules, or by its receiver's, its last packet that was no reply was refused; replies end too. */
#define NFT_REFUSED_OUT 0x40000000u
#define NFT_REFUSED_IN 0x20000000u
typedef enum {
    MAP_MARKS, MAP_PORTS, MAP_EGRESS, MAP_INGRESS, MAP_ROUTED4, MAP_ROUTED6, MAP_ZONES,
    SET_MACS, SET_CHADDR, SET_ARP, SET_ARPNETS, SET_IP4, SET_IP4NETS, SET_IP6, SET_IP6NETS, SET_ND, SET_NDNETS,
    SET_GATEWAYS, SET_SWITCHED, SET_NAT4, SET_NAT6,
    SET_OPEN, SET_UPLINKS, SET_SERVED, SET_VNIS, SET_PEERS4, SET_PEERS6,
    SET_PPS_OUT, SET_PPS_IN, MAP_DSCP, MAP_LAST
} NftMap;
/* Family and name, "bridge nuvolet marks". */
const char *nft_map_name(NftMap map);
bool nft_map_is_set(NftMap map);
/* An entry of a map or set; value NULL for sets, but for those whose entries limit a rate (the limit) or do not
 * tell whose they are (nft_owner_note).  weak, of MAP_ROUTED4 and 6: an address of one of the port's pairs, which gives way to a port whose own
 * it is. */
typedef struct NftElement { NftMap map; char *key, *value; bool weak; } NftElement;
/* The network (12 digits) that an entry is of, as the entry has it; and back: NULL, if it is none. */
char *nft_owner_note(const char *n);
const char *nft_owner_noted(const char *value);
/* The limit of so many packets a second, as an entry has it. */
char *nft_limit(gint64 rate, gint64 burst);
void nft_element_clear(gpointer element);
void nft_element_build(GString *out, const NftElement *e, bool add);

/* Chains dscp_N mark a packet; one for each mark that a port may have is there when a port is given it. */
void nft_dscp_build(GString *out, int mark);
/* Tables, sets and base chains.  Repeating it replaces the base chains only; fresh: everything that is there goes first. */
void nft_base_build(GString *out, bool fresh);

/* A combination of groups, in the order given; stateful: replies pass.  The name tells the content: such chains never change. */
typedef struct NftCombo { char name[13]; } NftCombo;
NftCombo nft_combo(const PortSpec *p, bool stateful);
void nft_combo_build(GString *out, const PortSpec *p, bool stateful);
void nft_combo_absent_build(GString *out, const char *name);
/* All that the port may send from, array of Pair: its own MAC with its own addresses, then its allowed pairs, of one IP version. */
GArray *nft_port_sources(const PortSpec *p, int version);
/* The entry of SET_IP4 … SET_IP6NETS that lets the port send from it.  Caller frees. */
char *nft_source_key(const PortSpec *p, const Pair *source);
/* What lets the host find the port of a packet that it routes: entries of MAP_ROUTED4 and MAP_ROUTED6, array of NftElement. */
GArray *nft_port_routed(const PortSpec *p, guint32 mark);
/* Entries of the port, array of NftElement, those among them. */
GArray *nft_port_elements(const PortSpec *p, guint32 mark, bool stateful);

/* Replaces the group's chains and member sets. */
/* counters: what its rules have counted before (network/agent/counters.h), which goes on; NULL: from zero. */
void nft_group_build(GString *out, const GroupSpec *g, GHashTable *counters);
void nft_group_chains_absent_build(GString *out, const char *n);
void nft_group_sets_absent_build(GString *out, const char *n);
void nft_group_sets_clear_build(GString *out, const char *n);
GArray *nft_network_elements(const NetworkSpec *n);
