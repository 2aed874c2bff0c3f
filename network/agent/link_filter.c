/* network/agent/link_filter.c -- a program at a guest's tap that drops frames which OpenFlow has no match for, before anybody reads them. */
#include "network/agent/link_bpf.h"
#include "network/agent/link_netlink.h"
#include <linux/if_link.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <netlink/netlink.h>
#include <string.h>
#include <unistd.h>

/* Places in a frame, from its first byte. */
enum { AT_SOURCE = 6, AT_TYPE = 12, AT_IP = 14, AT_FRAGMENT = 20, AT_PROTOCOL = 23, AT_OPTION = 34, AT_UDP = 34, AT_GIADDR = 66, AT_CHADDR = 70,
       AT_NEXT = 20, AT_PAYLOAD = 54, AT_EXTENSION = 54, AT_EXTENSION_SIZE = 55, AT_OFFSET = 56, AT_BEHIND_FRAGMENT = 62 };
enum { HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT = 44, NO_NEXT = 59, DESTINATION = 60, MOBILITY = 135, HIP = 139, SHIM6 = 140, ICMPV6 = 58,
       FIRST_ND = 133, LAST_ND = 137, ROUTER_ALERT = 148, PLAIN_IP4 = 0x45, IP4_WITH_ONE_OPTION = 0x46, FIRST_TYPE = 0x600 };
enum { DHCP6_SERVER = 547, RELAY_FORWARD = 12, RELAY_REPLY = 13 };

/* Code under construction: jumps go to labels, which get their places at the end. */
typedef enum { NEXT, DROP, PASS, IP4, IP4_OPTION, IP6, EXTENSION, FRAGMENTED, UDP_BEHIND, UDP_IN_FRAGMENT, LABELS } Label;
typedef struct Code { struct bpf_insn insn[200]; guint8 to[200]; int n, places[LABELS]; } Code;
/* R6: the frame's first byte, R7: its end, R0: the value at hand. */

static void put(Code *c, struct bpf_insn insn, Label to)
{
    g_assert(c->n < (int) G_N_ELEMENTS(c->insn));
    c->to[c->n] = (guint8) to;
    c->insn[c->n++] = insn;
}

static void place(Code *c, Label label)
{
    c->places[label] = c->n;
}

static void load(Code *c, int size, int dst, int src, int offset)
{
    put(c, INSN(.code = (guint8) (BPF_LDX | BPF_MEM | size), .dst_reg = dst & 15, .src_reg = src & 15, .off = (gint16) offset), NEXT);
}

static void op(Code *c, int code, int dst, int src, int value)
{
    put(c, INSN(.code = (guint8) (BPF_ALU64 | code), .dst_reg = dst & 15, .src_reg = src & 15, .imm = value), NEXT);
}

static void jump(Code *c, int code, int dst, int src, int value, Label to)
{
    put(c, INSN(.code = (guint8) (BPF_JMP | code), .dst_reg = dst & 15, .src_reg = src & 15, .imm = value), to);
}

/* A frame without so many bytes is dropped. */
static void need(Code *c, int bytes)
{
    put(c, MOVE(BPF_REG_2, BPF_REG_6), NEXT);
    op(c, BPF_ADD | BPF_K, BPF_REG_2, 0, bytes);
    jump(c, BPF_JGT | BPF_X, BPF_REG_2, BPF_REG_7, 0, DROP);
}

static void get(Code *c, int size, int at)
{
    load(c, size, BPF_REG_0, BPF_REG_6, at);
}

static void when(Code *c, int value, Label to)
{
    jump(c, BPF_JEQ | BPF_K, BPF_REG_0, 0, value, to);
}

static void unless(Code *c, int value, Label to)
{
    jump(c, BPF_JNE | BPF_K, BPF_REG_0, 0, value, to);
}

static void answer(Code *c, Label label, int value)
{
    place(c, label);
    put(c, SET(BPF_REG_0, value), NEXT);
    put(c, RETURN, NEXT);
}

/* R0 is an ICMPv6 type. */
static void no_discovery(Code *c)
{
    jump(c, BPF_JLT | BPF_K, BPF_REG_0, 0, FIRST_ND, PASS);
    jump(c, BPF_JGT | BPF_K, BPF_REG_0, 0, LAST_ND, PASS);
    jump(c, BPF_JA, 0, 0, 0, DROP);
}

/* Frames of the old length kind hide what they carry. */
static void build_start(Code *c)
{
    load(c, BPF_W, BPF_REG_6, BPF_REG_1, offsetof(struct xdp_md, data));
    load(c, BPF_W, BPF_REG_7, BPF_REG_1, offsetof(struct xdp_md, data_end));
    need(c, AT_IP);
    get(c, BPF_H, AT_TYPE);
    when(c, g_htons(ETH_P_IP), IP4);
    when(c, g_htons(ETH_P_IPV6), IP6);
    put(c, INSN(.code = BPF_ALU | BPF_END | BPF_TO_BE, .dst_reg = BPF_REG_0, .imm = 16), NEXT);
    jump(c, BPF_JLT | BPF_K, BPF_REG_0, 0, FIRST_TYPE, DROP);
    jump(c, BPF_JA, 0, 0, 0, PASS);
}

/* No option but the router alert of IGMP.  A DHCP client: no relay (giaddr), its own hardware address (chaddr). */
static void build_ip4(Code *c)
{
    place(c, IP4);
    need(c, AT_IP + 20);
    get(c, BPF_B, AT_IP);
    unless(c, PLAIN_IP4, IP4_OPTION);
    get(c, BPF_B, AT_PROTOCOL);
    unless(c, IPPROTO_UDP, PASS);
    get(c, BPF_H, AT_FRAGMENT);
    op(c, BPF_AND | BPF_K, BPF_REG_0, 0, g_htons(0x1fff));
    unless(c, 0, PASS);
    need(c, AT_UDP + 4);
    get(c, BPF_W, AT_UDP);
    unless(c, (int) g_htonl(68 << 16 | 67), PASS);
    need(c, AT_CHADDR + 6);
    get(c, BPF_W, AT_GIADDR);
    unless(c, 0, DROP);
    for (int i = 0; i < 6; i += 2) {
        get(c, BPF_H, AT_CHADDR + i);
        load(c, BPF_H, BPF_REG_3, BPF_REG_6, AT_SOURCE + i);
        jump(c, BPF_JNE | BPF_X, BPF_REG_0, BPF_REG_3, 0, DROP);
    }
    jump(c, BPF_JA, 0, 0, 0, PASS);
    place(c, IP4_OPTION);
    unless(c, IP4_WITH_ONE_OPTION, DROP);
    get(c, BPF_B, AT_PROTOCOL);
    unless(c, IPPROTO_IGMP, DROP);
    need(c, AT_OPTION + 4);
    get(c, BPF_B, AT_OPTION);
    when(c, ROUTER_ALERT, PASS);
    jump(c, BPF_JA, 0, 0, 0, DROP);
}

/* A frame without so many bytes behind the one that register base points to is dropped. */
static void need_behind(Code *c, int base, int bytes)
{
    put(c, MOVE(BPF_REG_3, base), NEXT);
    op(c, BPF_ADD | BPF_K, BPF_REG_3, 0, bytes);
    jump(c, BPF_JGT | BPF_X, BPF_REG_3, BPF_REG_7, 0, DROP);
}

/* There is UDP.  DHCP believes what a relay says of its client's hardware address.  No client sends a fragment that ends before that can be told. */
static void no_relay(Code *c, int base, int at)
{
    need_behind(c, base, at + 4);
    load(c, BPF_H, BPF_REG_0, base, at + 2);
    unless(c, g_htons(DHCP6_SERVER), PASS);
    need_behind(c, base, at + 9);
    load(c, BPF_B, BPF_REG_0, base, at + 8);
    when(c, RELAY_FORWARD, DROP);
    when(c, RELAY_REPLY, DROP);
    jump(c, BPF_JA, 0, 0, 0, PASS);
}

/* At most one extension header, and neither neighbour discovery behind it nor, there or without one, a relay of DHCP. */
static void build_ip6(Code *c)
{
    static const int never[] = { ROUTING, NO_NEXT, MOBILITY, HIP, SHIM6 }, chain[] = { HOP_BY_HOP, FRAGMENT, DESTINATION };
    place(c, IP6);
    need(c, AT_IP + 40);
    get(c, BPF_B, AT_NEXT);
    for (gsize i = 0; i < G_N_ELEMENTS(never); i++)
        when(c, never[i], DROP);
    when(c, FRAGMENT, FRAGMENTED);
    when(c, HOP_BY_HOP, EXTENSION);
    when(c, DESTINATION, EXTENSION);
    unless(c, IPPROTO_UDP, PASS);
    no_relay(c, BPF_REG_6, AT_PAYLOAD);
    for (int fragmented = 0; fragmented <= 1; fragmented++) {
        place(c, fragmented ? FRAGMENTED : EXTENSION);
        need(c, AT_EXTENSION + 8);
        get(c, BPF_B, AT_EXTENSION);
        for (gsize i = 0; i < G_N_ELEMENTS(never); i++)
            when(c, never[i], DROP);
        for (gsize i = 0; i < G_N_ELEMENTS(chain); i++)
            when(c, chain[i], DROP);
        put(c, MOVE(BPF_REG_4, BPF_REG_0), NEXT);
        put(c, MOVE(BPF_REG_2, BPF_REG_6), NEXT);
        if (fragmented) {
            get(c, BPF_H, AT_OFFSET);
            op(c, BPF_AND | BPF_K, BPF_REG_0, 0, g_htons(0xfff8));
            unless(c, 0, PASS);
        } else {
            get(c, BPF_B, AT_EXTENSION_SIZE);
            op(c, BPF_LSH | BPF_K, BPF_REG_0, 0, 3);
            op(c, BPF_ADD | BPF_X, BPF_REG_2, BPF_REG_0, 0);
        }
        /* R2: the frame's beginning, as many bytes further on as the header is longer than eight; R4: what is behind it. */
        put(c, MOVE(BPF_REG_0, BPF_REG_4), NEXT);
        when(c, IPPROTO_UDP, fragmented ? UDP_IN_FRAGMENT : UDP_BEHIND);
        unless(c, ICMPV6, PASS);
        need_behind(c, BPF_REG_2, AT_BEHIND_FRAGMENT + 1);
        load(c, BPF_B, BPF_REG_0, BPF_REG_2, AT_BEHIND_FRAGMENT);
        no_discovery(c);
        place(c, fragmented ? UDP_IN_FRAGMENT : UDP_BEHIND);
        no_relay(c, BPF_REG_2, AT_BEHIND_FRAGMENT);
    }
}

static int program(GError **err)
{
    Code c = { 0 };
    build_start(&c);
    build_ip4(&c);
    build_ip6(&c);
    answer(&c, DROP, XDP_DROP);
    answer(&c, PASS, XDP_PASS);
    for (int i = 0; i < c.n; i++)
        if (c.to[i] != NEXT)
            c.insn[i].off = (gint16) (c.places[c.to[i]] - i - 1);
    return link_bpf_load(BPF_PROG_TYPE_XDP, c.insn, (gsize) c.n, "the program that filters guests' frames", err);
}

static bool attach(const char *name, int fd, GError **err)
{
    LinkInfo info;
    if (!link_need(name, &info, err))
        return false;
    struct ifinfomsg head = { .ifi_family = AF_UNSPEC, .ifi_index = info.index };
    Msg *msg = nlmsg_alloc_simple(RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK);
    nlmsg_append(msg, &head, sizeof head, NLMSG_ALIGNTO);
    struct nlattr *xdp = nla_nest_start(msg, IFLA_XDP | NLA_F_NESTED);
    nla_put_u32(msg, IFLA_XDP_FD, (guint32) fd);
    nla_put_u32(msg, IFLA_XDP_FLAGS, XDP_FLAGS_SKB_MODE);
    nla_nest_end(msg, xdp);
    return link_talk(msg, "filter of", name, NULL, err);
}

bool link_filter(const char *name, bool on, GError **err)
{
    if (!on)
        return attach(name, -1, err);
    int fd = program(err);
    if (fd < 0)
        return false;
    bool ok = attach(name, fd, err);
    close(fd);
    return ok;
}
