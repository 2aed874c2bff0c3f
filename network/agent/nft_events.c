/* network/agent/nft_events.c -- reads nftables' generations: by whom, and whether a table of ours was among what changed. */
#include "network/agent/nft_events.h"
#include "core/file.h"
#include "network/agent/nft_apply.h"
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

enum { BUFFER = 64 << 10, RECEIVE_BUFFER = 8 << 20 };

#define NFTA_TABLE 1                 /* in every message about a table, chain, rule, set or entry: the table's name */

/* Attribute type of a message's body, as text in buf; false if it has none. */
static bool attr_text(const struct nlmsghdr *h, guint16 type, char *buf, gsize size)
{
    const guint8 *p = (const guint8 *) h + NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct nfgenmsg));
    const guint8 *end = (const guint8 *) h + h->nlmsg_len;
    while (p + sizeof(struct nlattr) <= end) {
        struct nlattr a;
        memcpy(&a, p, sizeof a);
        if (a.nla_len < sizeof a || p + a.nla_len > end)
            return false;
        if ((a.nla_type & NLA_TYPE_MASK) == type) {
            g_strlcpy(buf, (const char *) p + sizeof a, MIN(size, (gsize) a.nla_len - sizeof a + 1));
            return true;
        }
        p += NLA_ALIGN(a.nla_len);
    }
    return false;
}

/* True at the end of a transaction, by somebody else, that touched our tables. */
static bool is_foreign(const struct nlmsghdr *h, NftEvents *e)
{
    char text[64];
    int type = h->nlmsg_type & 0xff;
    if (h->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES)
        return false;
    if (type != NFT_MSG_NEWGEN) {
        if (attr_text(h, NFTA_TABLE, text, sizeof text) && strcmp(text, "nuvolet") == 0)
            e->ours_touched = true;
        return false;
    }
    bool touched = e->ours_touched;
    e->ours_touched = false;
    return touched && (!attr_text(h, NFTA_GEN_PROC_NAME, text, sizeof text) || strcmp(text, NFT_COMM) != 0);
}

bool nft_events_drain(NftEvents *e)
{
    g_autofree char *buf = g_malloc(BUFFER);
    bool foreign = false;
    for (;;) {
        ssize_t got = recv(e->fd, buf, BUFFER, MSG_DONTWAIT);
        if (got < 0 && errno == ENOBUFS) {
            /* Events were lost: only if tables of ours are really gone is there anything to do, and the next look tells. */
            e->ours_touched = false;
            continue;
        }
        if (got <= 0)
            return foreign;
        int left = (int) got;
        for (const struct nlmsghdr *h = (const void *) buf; NLMSG_OK(h, (unsigned) left); h = NLMSG_NEXT(h, left))
            foreign = is_foreign(h, e) || foreign;
    }
}

bool nft_events_open(NftEvents *ret, GError **err)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER), group = NFNLGRP_NFTABLES, size = RECEIVE_BUFFER;
    const struct sockaddr_nl any = { .nl_family = AF_NETLINK };
    /* Bound, as an unbound socket counts as the sender of what others send. */
    if (fd < 0 || bind(fd, (const struct sockaddr *) &any, sizeof any) < 0 ||
        setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0) {
        nv_fail_errno(err, NV_ERR_HOST_FAULT, "nftables events");
        file_close(fd);
        return false;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    *ret = (NftEvents){ .fd = fd };
    return true;
}
