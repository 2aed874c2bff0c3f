/* network/agent/link.h -- kernel interfaces through netlink: bridges, taps, veth pairs, addresses, routes, forwarding entries. */
#pragma once
#include "core/error.h"
#include "core/ip.h"

/* All act in the network namespace of the calling thread, and asking twice is asking once. */
/* A token bucket: bytes a second, bytes at once, bytes that may wait (bursts included); rate 0: none. */
typedef struct Bucket { guint64 rate; guint32 burst, limit; } Bucket;
/* How a bridge treats one of its ports.  locked: frames from a MAC without a static entry on this port are dropped by the bridge itself.
 * known: nothing leaves by it but frames to MACs with an entry, and the bridge answers ARP and ND for the neighbours it knows behind it. */
typedef struct BridgePort { bool learning, flood, locked, known; } BridgePort;
/* limited: some bucket is there.  bucket (its burst is not told) and diverts: only after link_shapers.  entry and entries: after link_entries. */
typedef struct LinkInfo {
    int index, master, mtu;
    bool up, filtered;               /* filtered: as link_filter does */
    bool carrier;                    /* of a tap: somebody has its other end */
    bool unowned;                    /* of a tap: it is not root's */
    char name[16];
    guint8 mac[6];
    int below, vlan;                 /* of a VLAN interface: the one below it, and its id */
    guint32 vni;                     /* of a VXLAN device, with its UDP port and the address it sends from */
    guint16 port;
    Ip local;
    Bucket bucket;
    bool diverts, limited;
    guint treated, told;             /* as a bridge's port: link_bridge_port_is */
    bool altered;                    /* of a bridge: some option is not as link_bridge_ensure sets it */
    guint entries;                   /* static forwarding entries of a bridge's port, of which the last found is entry */
    guint8 entry[6];
} LinkInfo;

/* False without err set: there is no such interface. */
bool link_get(const char *name, LinkInfo *ret_info, GError **err);
/* LinkInfo of every interface whose name starts with prefix. */
GArray *link_list(const char *prefix, GError **err);
/* A bridge with that MAC, down when new: no STP, no multicast snooping, its IP packets go through the inet tables of nftables. */
bool link_bridge_ensure(const char *name, const char *mac, gint64 mtu, GError **err);
/* A persistent tap of root's: no other user can attach to it.  One that is there and is not root's becomes so, but not while somebody has its other
 * end: who has it may give it to another, and that holds until it is free and asked for again (the agent's next look, or before its guest starts). */
bool link_tap_ensure(const char *name, gint64 mtu, GError **err);
/* Makes the pair name (here) and peer (in the namespace that netns_fd is), whatever was there under name goes first. */
bool link_veth_make(const char *name, const char *peer, const char *peer_mac, gint64 mtu, int netns_fd, GError **err);
bool link_absent(const char *name, GError **err);
bool link_up(const char *name, bool up, GError **err);
/* A guest's tap drops frames that are not as they should be and that a switch of flows cannot tell: IPv4 options, neighbour discovery behind
 * extension headers, DHCP requests in another's name, frames in SNAP. */
bool link_filter(const char *name, bool on, GError **err);
/* What it sends has its checksums and is cut to packets before it leaves the kernel's stack. */
bool link_plain(const char *name, GError **err);
bool link_mtu(const char *name, gint64 mtu, GError **err);
/* Puts the interface under a bridge. */
bool link_enslave(const char *name, const char *bridge, GError **err);

/* A VXLAN device that learns nothing; made anew where it is another one. */
bool link_vxlan_ensure(const char *name, guint32 vni, Ip local, guint16 port, gint64 mtu, GError **err);
bool link_vlan_ensure(const char *name, const char *parent, int vlan, gint64 mtu, GError **err);
/* Takes the interface from the bridge that it is under. */
bool link_release(const char *name, GError **err);

bool link_bridge_port(const char *name, const BridgePort *flags, GError **err);
/* Whether it is so, as far as the kernel told. */
bool link_bridge_port_is(const LinkInfo *info, const BridgePort *flags);
/* The static forwarding entries of a bridge's port are exactly these MACs (array of 6-byte entries). */
bool link_fdb(const char *name, const GArray *macs, GError **err);
/* Adds to each LinkInfo of the table (by name) what static forwarding entries it has. */
bool link_entries(GHashTable *links, GError **err);
/* Its only static entry is that MAC; NULL: it has none. */
bool link_entry_is(const LinkInfo *info, const char *mac);
typedef struct LinkNeighbour { Ip ip; guint8 mac[6]; } LinkNeighbour;
/* Where a VXLAN device sends frames to a MAC: exactly these, and no default. */
bool link_vxlan_fdb(const char *name, const GArray *destinations, GError **err);
/* The permanent neighbours of an interface are exactly these. */
bool link_neighbours(const char *name, const GArray *neighbours, GError **err);
/* Whether its permanent IPv6 neighbours are exactly these. */
bool link_neighbours6_are(const char *name, const GArray *neighbours);
/* The addresses of an interface are exactly these (array of Cidr with host bits), but for link-local IPv6 ones. */
bool link_addresses(const char *name, const GArray *cidrs, GError **err);
/* The same; ret_added (of Cidr) gets those that were not there. */
bool link_addresses_tell(const char *name, const GArray *cidrs, GArray *ret_added, GError **err);
bool link_addresses_are(const char *name, const GArray *cidrs);
bool link_without_addresses(const char *name, bool *ret_none, GError **err);
/* The default route of that IP version goes through gateway; NULL: there is none. */
bool link_default_route(const char *name, int version, const Ip *gateway, GError **err);

/* --- link_tc.c: what holds packets back --- */
/* The bucket that everything which leaves the interface goes through; rate 0: it goes. */
bool link_bucket(const char *name, const Bucket *b, GError **err);
/* An interface that only serves to hold back what comes in elsewhere: made up, with the bucket. */
bool link_shaper_ensure(const char *name, const Bucket *b, GError **err);
/* What comes in on the interface goes through the shaper first; shaper NULL: nothing is in the way. */
bool link_divert(const char *name, const char *shaper, GError **err);
/* Index of the interface that what comes in is sent through, 0: none. */
int link_diverted_to(int index);
/* Adds to each LinkInfo of the table (by name) what holds its packets back. */
bool link_shapers(GHashTable *links, GError **err);

/* --- link_class.c: an interface's bandwidth, shared out --- */
/* A class of an interface's queue, by number: bytes a second that it gets before the others, who share what is left with it. */
typedef struct LinkClass { guint minor; guint64 rate; } LinkClass;
enum { LINK_CLASS_ALL = 1, LINK_CLASS_OTHERS = 0xfffe };     /* all of them together; frames of no class */
/* The queue, which lets that many kilobits a second through; 0: as many as the interface takes. */
bool link_classes_ensure(const char *name, gint64 kbps, GError **err);
bool link_classes_absent(const char *name, GError **err);
/* Array of LinkClass; empty where the queue is not there. */
GArray *link_classes(const char *name, GError **err);
bool link_class_ensure(const char *name, guint minor, gint64 kbps, gint64 all_kbps, GError **err);
bool link_class_absent(const char *name, guint minor, GError **err);
/* What comes in on the tap is of that class, wherever it leaves the host. */
bool link_class(const char *tap, guint minor, GError **err);
bool link_unclass(const char *tap, GError **err);
/* 0: of none. */
guint link_classed_as(int index);

/* --- link_trunk.c: frames with a VLAN tag between a trunk's parent and a subport, by programs in the kernel --- */
/* A pair of links, both here: name for the bridge, inner for the trunk. */
bool link_pair_ensure(const char *name, const char *inner, gint64 mtu, GError **err);
/* What comes from the guest behind the tap with that tag goes, without it, to inner, and what comes to inner goes, with it, to the guest.
 * owner (the subport's 12 digits) marks the program at the tap. */
bool link_tag_ensure(const char *tap, const char *inner, const char *owner, int vlan, GError **err);
/* Removes the owner's programs, at whatever tap they are. */
bool link_tag_absent(const char *owner, GError **err);
/* Both programs are there. */
bool link_tagged(int tap, int inner, const char *owner, int vlan);
/* What was forwarded to the link without one of flag's bits in its mark goes no further, whoever took the rules away.  A kernel that cannot is told
 * of once, and then all links count as guarded. */
bool link_guard(const char *name, guint32 flag, GError **err);
bool link_unguard(const char *name, GError **err);
bool link_guarded(int index);
/* Whether the kernel can, as far as is known. */
bool link_guards(void);
