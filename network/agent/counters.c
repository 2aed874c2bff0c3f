/* network/agent/counters.c -- reads the counters of a group's chains by netlink; rules say whose they are in their comments.
 * libnftables would read every set of the table for that. */
#include "network/agent/counters.h"
#include "core/error.h"
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 64 << 10, COMMENT = 0 /* libnftnl's type of a rule's comment in its user data */ };

GHashTable *counters_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

/* A run of attributes. */
typedef struct Attrs { const guint8 *p, *end; } Attrs;

/* The next attribute: its type, and what it holds. */
static bool next(Attrs *a, int *ret_type, Attrs *ret_body)
{
    struct nlattr head;
    if (a->p + sizeof head > a->end)
        return false;
    memcpy(&head, a->p, sizeof head);
    if (head.nla_len < sizeof head || a->p + head.nla_len > a->end)
        return false;
    *ret_type = head.nla_type & NLA_TYPE_MASK;
    *ret_body = (Attrs){ a->p + sizeof head, a->p + head.nla_len };
    a->p += MIN((gsize) NLA_ALIGN(head.nla_len), (gsize) (a->end - a->p));
    return true;
}

static bool find(Attrs a, int type, Attrs *ret_body)
{
    int got;
    while (next(&a, &got, ret_body))
        if (got == type)
            return true;
    return false;
}

static guint64 number(Attrs a)
{
    guint64 n = 0;
    for (; a.p < a.end; a.p++)
        n = n << 8 | *a.p;
    return n;
}

static bool comment_of(Attrs data, char buf[64])
{
    while (data.p + 2 <= data.end && data.p + 2 + data.p[1] <= data.end) {
        if (data.p[0] == COMMENT) {
            g_strlcpy(buf, (const char *) data.p + 2, MIN((gsize) 64, (gsize) data.p[1] + 1));
            return true;
        }
        data.p += 2 + data.p[1];
    }
    return false;
}

static void add_rule(Attrs rule, GHashTable *sums)
{
    Attrs data, list, element, body;
    char owner[64];
    int type;
    if (!find(rule, NFTA_RULE_USERDATA, &data) || !comment_of(data, owner) || !find(rule, NFTA_RULE_EXPRESSIONS, &list))
        return;
    while (next(&list, &type, &element)) {
        Attrs name, packets, bytes;
        if (type != NFTA_LIST_ELEM || !find(element, NFTA_EXPR_NAME, &name) || strncmp((const char *) name.p, "counter",
            (gsize) (name.end - name.p)) != 0
            || !find(element, NFTA_EXPR_DATA, &body) || !find(body, NFTA_COUNTER_PACKETS, &packets) || !find(body, NFTA_COUNTER_BYTES, &bytes))
            continue;
        Counter *sum = g_hash_table_lookup(sums, owner);
        if (!sum)
            g_hash_table_insert(sums, g_strdup(owner), sum = g_new0(Counter, 1));
        sum->packets += number(packets);
        sum->bytes += number(bytes);
    }
}

static void put_text(GByteArray *msg, int type, const char *text)
{
    static const guint8 zero[NLA_ALIGNTO];
    struct nlattr head = { .nla_len = (guint16) (sizeof head + strlen(text) + 1), .nla_type = (guint16) type };
    g_byte_array_append(msg, (const guint8 *) &head, sizeof head);
    g_byte_array_append(msg, (const guint8 *) text, (guint) strlen(text) + 1);
    g_byte_array_append(msg, zero, (guint) (NLA_ALIGN(head.nla_len) - head.nla_len));
}

static bool ask(int fd, const char *chain)
{
    g_autoptr(GByteArray) msg = g_byte_array_new();
    struct nlmsghdr head = { .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETRULE, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP };
    struct nfgenmsg family = { .nfgen_family = NFPROTO_INET };
    g_byte_array_append(msg, (const guint8 *) &head, sizeof head);
    g_byte_array_append(msg, (const guint8 *) &family, sizeof family);
    put_text(msg, NFTA_RULE_TABLE, "nuvolet");
    put_text(msg, NFTA_RULE_CHAIN, chain);
    head.nlmsg_len = msg->len;
    memcpy(msg->data, &head, sizeof head);
    return send(fd, msg->data, msg->len, 0) == (ssize_t) msg->len;
}

/* The answer's end: 0, or its error; a chain that is not there answers with nothing. */
static bool take(int fd, const char *chain, GHashTable *sums)
{
    g_autofree char *buf = g_malloc(BUFFER);
    for (;;) {
        ssize_t got = recv(fd, buf, BUFFER, 0);
        if (got <= 0)
            return false;
        int left = (int) got;
        for (const struct nlmsghdr *h = (const void *) buf; NLMSG_OK(h, (unsigned) left); h = NLMSG_NEXT(h, left)) {
            if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
                return true;
            Attrs rule = { (const guint8 *) h + NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct nfgenmsg)), (const guint8 *) h + h->nlmsg_len }, mine;
            /* Old kernels do not look at the chain that was asked for. */
            if (find(rule, NFTA_RULE_CHAIN, &mine) && strcmp((const char *) mine.p, chain) == 0)
                add_rule(rule, sums);
        }
    }
}

bool counters_read(const char *group, GHashTable *sums, GError **err)
{
    static const char *const prefixes[] = { "gi_", "ge_" };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    bool ok = fd >= 0;
    for (gsize p = 0; ok && p < G_N_ELEMENTS(prefixes); p++) {
        g_autofree char *chain = g_strconcat(prefixes[p], group, NULL);
        ok = ask(fd, chain) && take(fd, chain, sums);
    }
    if (!ok)
        nv_fail_errno(err, NV_ERR_AGENT, "counters of group %s", group);
    if (fd >= 0)
        close(fd);
    return ok;
}
