/* network/agent/announce.c -- builds and sends the frames that move an address to another MAC in the neighbours' tables. */
#include "network/agent/announce.h"
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { KIND_ARP = 0x0806, KIND_IP6 = 0x86dd, NA_ROUTER_OVERRIDE = 0xa0 };
static const guint8 everyone[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, all_nodes_mac[6] = { 0x33, 0x33, 0, 0, 0, 1 };
static const guint8 all_nodes[16] = { 0xff, 2, [15] = 1 };

static void put(GByteArray *out, const void *data, guint n)
{
    g_byte_array_append(out, data, n);
}

static void put_u16(GByteArray *out, guint16 v)
{
    guint16 net = htons(v);
    put(out, &net, sizeof net);
}

static void put_ip(GByteArray *out, Ip ip)
{
    for (int i = (ip.version == 4 ? 4 : 16) - 1; i >= 0; i--) {
        guint8 b = (guint8) (ip.n >> (8 * i));
        put(out, &b, 1);
    }
}

static void put_ether(GByteArray *out, const guint8 *to, const guint8 *from, guint16 kind)
{
    put(out, to, 6);
    put(out, from, 6);
    put_u16(out, kind);
}

static void put_arp(GByteArray *out, const guint8 *mac, Ip ip, int which)
{
    put_ether(out, everyone, mac, KIND_ARP);
    put_u16(out, 1);
    put_u16(out, 0x0800);
    put_u16(out, 6 << 8 | 4);
    put_u16(out, (guint16) (1 + which));
    put(out, mac, 6);
    put_ip(out, ip);
    put(out, everyone, 6);
    put_ip(out, ip);
}

/* Over the pseudo header (RFC 8200 §8.1) and the message. */
static guint16 checksum6(const GByteArray *addresses, const guint8 *body, guint n)
{
    guint32 sum = n + IPPROTO_ICMPV6;
    for (guint i = 0; i < addresses->len; i += 2)
        sum += (guint32) (addresses->data[i] << 8 | addresses->data[i + 1]);
    for (guint i = 0; i < n; i += 2)
        sum += (guint32) (body[i] << 8 | body[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (guint16) ~sum;
}

GByteArray *announce_icmp6(const guint8 mac[6], Ip from, const GByteArray *message)
{
    GByteArray *out = g_byte_array_new();
    g_autoptr(GByteArray) addresses = g_byte_array_new();
    static const guint8 version[4] = { 0x60 }, next[2] = { IPPROTO_ICMPV6, 255 };
    put_ip(addresses, from);
    put(addresses, all_nodes, 16);
    guint16 sum = htons(checksum6(addresses, message->data, message->len));
    put_ether(out, all_nodes_mac, mac, KIND_IP6);
    put(out, version, sizeof version);
    put_u16(out, (guint16) message->len);
    put(out, next, sizeof next);
    put(out, addresses->data, addresses->len);
    put(out, message->data, 2);
    put(out, &sum, sizeof sum);
    put(out, message->data + 4, message->len - 4);
    return out;
}

static GByteArray *na_message(const guint8 *mac, Ip ip)
{
    GByteArray *body = g_byte_array_new();
    static const guint8 head[8] = { 136, 0, 0, 0, NA_ROUTER_OVERRIDE }, option[2] = { 2, 1 };
    put(body, head, sizeof head);
    put_ip(body, ip);
    put(body, option, sizeof option);
    put(body, mac, 6);
    return body;
}

GByteArray *announce_frame(const guint8 mac[6], Ip ip, int which)
{
    GByteArray *out = g_byte_array_new();
    if (ip.version == 4 && which < 2)
        put_arp(out, mac, ip, which);
    if (ip.version != 6 || which)
        return out;
    g_byte_array_unref(out);
    g_autoptr(GByteArray) message = na_message(mac, ip);
    return announce_icmp6(mac, ip, message);
}

bool announce(const char *device, const guint8 mac[6], const GArray *addresses, GError **err)
{
    struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int) if_nametoindex(device), .sll_halen = 6 };
    int fd = addresses->len ? socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0) : -1;
    if (!addresses->len)
        return true;
    if (fd < 0)
        return nv_fail_errno(err, NV_ERR_AGENT, "packet socket");
    bool ok = true;
    for (guint i = 0; i < addresses->len; i++)
        for (int which = 0; ok; which++) {
            g_autoptr(GByteArray) frame = announce_frame(mac, g_array_index(addresses, Cidr, i).base, which);
            if (!frame->len)
                break;
            memcpy(to.sll_addr, frame->data, 6);
            ok = sendto(fd, frame->data, frame->len, 0, (const struct sockaddr *) &to, sizeof to) > 0 ||
                 nv_fail_errno(err, NV_ERR_AGENT, "announcing an address on %s", device);
        }
    close(fd);
    return ok;
}
