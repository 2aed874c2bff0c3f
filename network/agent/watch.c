/* network/agent/watch.c -- listens to the kernel's nftables events; compares links, namespaces and daemons every few seconds. */
#include "network/agent/watch.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/verb.h"
#include "network/agent/dhcp.h"
#include "network/agent/driver.h"
#include "network/agent/nft_apply.h"
#include "network/agent/wanted.h"
#include "network/agent/wiring.h"
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { LOOK_US = 3 * G_USEC_PER_SEC, BUFFER = 256 << 10, RECEIVE_BUFFER = 8 << 20 };

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

/* What is known of the transaction whose events are being read. */
typedef struct Seen { bool ours_touched; } Seen;

/* True at the end of a transaction, by somebody else, that touched our tables. */
static bool is_foreign(const struct nlmsghdr *h, Seen *seen)
{
    char text[64];
    int type = h->nlmsg_type & 0xff;
    if (h->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES)
        return false;
    if (type != NFT_MSG_NEWGEN) {
        if (attr_text(h, NFTA_TABLE, text, sizeof text) && strcmp(text, "nuvolet") == 0)
            seen->ours_touched = true;
        return false;
    }
    bool touched = seen->ours_touched;
    seen->ours_touched = false;
    return touched && (!attr_text(h, NFTA_GEN_PROC_NAME, text, sizeof text) || strcmp(text, NFT_COMM) != 0);
}

static void rebuild(void)
{
    g_autoptr(GError) err = NULL;
    wiring_close();
    log_warn("net.rules_changed_by_others", "action", "rebuilding", NULL);
    verb_event("net.damaged", json_make("s", "what", "rules"));
    if (!driver()->rebuild(&err)) {
        /* The taps stay down: closed, and tried again at the next look. */
        log_error("net.rebuild_failed", "error", err->message, NULL);
        return;
    }
    wanted_repair();
}

/* True if a foreign change was among what could be read. */
static bool drain(int fd, char *buf, Seen *seen)
{
    bool foreign = false;
    for (;;) {
        ssize_t got = recv(fd, buf, BUFFER, MSG_DONTWAIT);
        if (got < 0 && errno == ENOBUFS) {
            /* Events were lost: only if tables of ours are really gone is there anything to do, and the next look tells. */
            seen->ours_touched = false;
            continue;
        }
        if (got <= 0)
            return foreign;
        int left = (int) got;
        for (const struct nlmsghdr *h = (const void *) buf; NLMSG_OK(h, (unsigned) left); h = NLMSG_NEXT(h, left))
            foreign = is_foreign(h, seen) || foreign;
    }
}

static bool base_is_there(void)
{
    g_autoptr(json_t) bridge = nft_list("list map bridge nuvolet ports", NULL);
    g_autoptr(json_t) inet = bridge ? nft_list("list map inet nuvolet zones", NULL) : NULL;
    return inet != NULL;
}

static gpointer watch(gpointer data)
{
    int fd = GPOINTER_TO_INT(data);
    /* Each millisecond between a change by others and closing the taps counts. */
    setpriority(PRIO_PROCESS, 0, -15);
    g_autofree char *buf = g_malloc(BUFFER);
    Seen seen = { 0 };
    gint64 look_at = clock_mono_us() + LOOK_US;
    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int n = poll(&p, 1, (int) MAX(look_at - clock_mono_us(), 0) / 1000 + 1);
        bool foreign = n > 0 && drain(fd, buf, &seen), due = clock_mono_us() >= look_at;
        if (foreign || (due && !base_is_there()))
            rebuild();
        else if (due) {
            driver()->look();
            wanted_repair();
        }
        if (due)
            dhcp_trim_logs();
        if (due)
            look_at = clock_mono_us() + LOOK_US;
    }
    return NULL;
}

bool watch_start(GError **err)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER), group = NFNLGRP_NFTABLES, size = RECEIVE_BUFFER;
    const struct sockaddr_nl any = { .nl_family = AF_NETLINK };
    /* Bound, as an unbound socket counts as the sender of what others send. */
    if (fd < 0 || bind(fd, (const struct sockaddr *) &any, sizeof any) < 0 ||
        setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0)
        return nv_fail_errno(err, NV_ERR_HOST_FAULT, "nftables events");
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    g_thread_unref(g_thread_new("net-watch", watch, GINT_TO_POINTER(fd)));
    return true;
}
