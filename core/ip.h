/* core/ip.h -- IPv4 and IPv6 addresses, prefixes and ranges: parse, format, compare, count. */
#pragma once
#include <glib.h>
#include <stdbool.h>

/* An address as a 128-bit number in host order; IPv4 in the low 32 bits. */
typedef struct { int version; unsigned __int128 n; } Ip;
typedef struct { Ip base; int prefix; } Cidr;

/* Strict dotted quad or RFC 4291 text; no zone, no surrounding space, no octal. */
bool ip_parse(const char *text, Ip *ret_ip);
/* Canonical text (RFC 5952 for IPv6). */
void ip_format(Ip ip, char buf[46]);
/* The same of a text: "FD00::0005" → "fd00::5"; NULL for NULL and for what is no address.  Caller frees. */
char *ip_canonical(const char *text);
/* 32 hexadecimal digits: text that sorts as the addresses do; what the database stores to find gaps and ranges. */
enum { IP_KEY_SIZE = 33 };
void ip_key(Ip ip, char buf[IP_KEY_SIZE]);
/* "base/prefix"; with strict, host bits must be zero.  A bare address is not a CIDR. */
bool cidr_parse(const char *text, bool strict, Cidr *ret_cidr);
/* The same, or one address, which counts as a prefix of its whole length; false for NULL. */
bool cidr_parse_any(const char *text, bool strict, Cidr *ret_cidr);
/* "10.1.2.3/8" → "10.0.0.0/8", "10.1.2.3" → "10.1.2.3/32"; NULL for what is neither address nor prefix.  Caller frees. */
char *cidr_canonical(const char *text);
/* "10.1.2.3/8" and "10.1.2.3/32": as above, host bits kept. */
char *cidr_spelled(const char *text);
void cidr_format(Cidr cidr, char buf[50]);
bool cidr_contains(Cidr cidr, Ip ip);
bool cidr_overlaps(Cidr a, Cidr b);
/* Of an array of Cidr: without host bits, sorted, and what lies beside each other or in one another made one. */
void cidrs_compact(GArray *cidrs);
/* In such an array: the first that ends at ip or after it, the only one that may contain it; NULL: there is none. */
const Cidr *cidrs_seek(const GArray *compact, Ip ip);
Ip cidr_first(Cidr cidr);                      /* network address */
Ip cidr_last(Cidr cidr);                       /* broadcast address for IPv4 */
Ip ip_add(Ip ip, gint64 n);
int ip_compare(Ip a, Ip b);
/* "aa:bb:cc:dd:ee:ff", lower case, unicast and not zero. */
bool mac_parse(const char *text, guint8 ret_mac[6]);
/* How that is written of a MAC in any of the usual forms ("FA-16-3E-0-0-1", "fa16.3e00.0001", "fa163e:000001", "fa163e000001"); NULL: in none. */
char *mac_spelled(const char *text);
/* EUI-64 interface address of mac under a /64 prefix. */
Ip ip_eui64(Cidr prefix, const guint8 mac[6]);
