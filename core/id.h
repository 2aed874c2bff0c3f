/* core/id.h -- identifiers: made once at random, and every name in the world derived from them (DESIGN §5.1). */
#pragma once
#include <glib.h>
#include <stdbool.h>

/* Random UUID, lower case with dashes.  Caller frees. */
char *id_new(void);
/* 32 hexadecimal digits without dashes, as Keystone's ids.  Caller frees. */
char *id_new_hex(void);
/* Lower-case UUID with dashes, nothing else. */
bool id_is_uuid(const char *text);
/* UUID, or 32 hexadecimal digits. */
bool id_is_hex_or_uuid(const char *text);

/* Kernel interface and nftables names: three letters and the first 12 hexadecimal digits of the id; 15 characters, the kernel's
 * limit.  Everything Nuvolet makes in the kernel starts with "nv". */
typedef struct { char s[16]; } IfName;
IfName id_tap(const char *port_id);            /* nvt…  the guest's tap */
IfName id_bridge(const char *network_id);      /* nvb…  the network's bridge */
IfName id_dhcp_veth(const char *network_id);   /* nvd…  host end of the DHCP namespace's pair */
IfName id_vxlan(const char *network_id);       /* nvx…  VXLAN device to the other hosts */
IfName id_vlan(const char *network_id);        /* nvu…  VLAN interface of a physical network */
/* "nuvolet-" and 12 digits: the network's DHCP and metadata namespace. */
typedef struct { char s[24]; } NsName;
NsName id_netns(const char *network_id);
IfName id_shaper(const char *port_id);         /* nvq…  what a guest sends passes through it where its bandwidth is limited */
IfName id_trunk_end(const char *port_id);      /* nvs…  a subport's end at its trunk; the other end is nvt…, as if it were a tap */
/* A router's port is a veth pair: nvr… on the network's bridge, nvp… in the router's namespace "nvrouter-" and 12 digits. */
IfName id_router_link(const char *port_id);
IfName id_router_inner(const char *port_id);
NsName id_router_netns(const char *router_id);
/* First 12 hexadecimal digits of the id, dashes left out: chains and sets of nftables. */
typedef struct { char s[13]; } Id12;
Id12 id_12(const char *id);
