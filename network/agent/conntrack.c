/* network/agent/conntrack.c -- reads the connections that the kernel tracks, and deletes those that are to be forgotten. */
#include "network/agent/conntrack.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 64 << 10 };
enum { WALK = 5000 };    /* going through the kernel's table takes as long as reading so many connections */

typedef struct Attr { guint16 type; guint16 len; const guint8 *data; } Attr;

/* Steps through attributes; false at the end. */
static bool next_attr(const guint8 **p, gsize *left, Attr *ret)
{
    struct nlattr a;
    if (*left < sizeof a)
        return false;
    memcpy(&a, *p, sizeof a);
    if (a.nla_len < sizeof a || a.nla_len > *left)
        return false;
    *ret = (Attr){ a.nla_type & NLA_TYPE_MASK, (guint16) (a.nla_len - sizeof a), *p + sizeof a };
    gsize step = MIN(*left, (gsize) NLA_ALIGN(a.nla_len));
    *p += step;
    *left -= step;
    return true;
}

static bool find_attr(const guint8 *p, gsize left, guint16 type, Attr *ret)
{
    while (next_attr(&p, &left, ret))
        if (ret->type == type)
            return true;
    return false;
}

static Ip ip_of(const Attr *a)
{
    Ip ip = { .version = a->len == 4 ? 4 : 6 };
    for (int i = 0; i < a->len && i < 16; i++)
        ip.n = ip.n << 8 | a->data[i];
    return ip;
}

/* Source and destination, and for TCP and UDP their ports, of one direction. */
static void tuple_parse(const guint8 *p, gsize left, guint16 which, Tuple *ret)
{
    Attr tuple, part, a;
    int n = 0;
    if (!find_attr(p, left, which, &tuple))
        return;
    bool has_ips = find_attr(tuple.data, tuple.len, CTA_TUPLE_IP, &part);
    const guint8 *q = has_ips ? part.data : NULL;
    gsize rest = has_ips ? part.len : 0;
    while (n < 2 && next_attr(&q, &rest, &a))
        if (a.len == 4 || a.len == 16)
            *(n++ ? &ret->destination : &ret->source) = ip_of(&a);
    if (!find_attr(tuple.data, tuple.len, CTA_TUPLE_PROTO, &part))
        return;
    if (find_attr(part.data, part.len, CTA_PROTO_NUM, &a) && a.len == 1)
        ret->protocol = *a.data;
    if (find_attr(part.data, part.len, CTA_PROTO_SRC_PORT, &a) && a.len == 2)
        ret->source_port = a.data[0] << 8 | a.data[1];
    if (find_attr(part.data, part.len, CTA_PROTO_DST_PORT, &a) && a.len == 2)
        ret->destination_port = a.data[0] << 8 | a.data[1];
}

static void put_attr(GByteArray *msg, guint16 type, const void *data, guint16 len)
{
    static const guint8 zeros[4];
    struct nlattr a = { (guint16) (sizeof a + len), type };
    g_byte_array_append(msg, (const guint8 *) &a, sizeof a);
    g_byte_array_append(msg, data, len);
    g_byte_array_append(msg, zeros, (guint) (NLA_ALIGN(len) - len));
}

static GByteArray *message(int type, int flags, guint8 family, int zone)
{
    GByteArray *msg = g_byte_array_new();
    guint16 net_zone = htons((guint16) zone);
    struct nlmsghdr head = { .nlmsg_type = (guint16) (NFNL_SUBSYS_CTNETLINK << 8 | type), .nlmsg_flags = (guint16) (NLM_F_REQUEST | flags) };
    struct nfgenmsg gen = { .nfgen_family = family };
    g_byte_array_append(msg, (const guint8 *) &head, sizeof head);
    g_byte_array_append(msg, (const guint8 *) &gen, sizeof gen);
    if (zone != CONNTRACK_ALL)
        put_attr(msg, CTA_ZONE, &net_zone, sizeof net_zone);
    return msg;
}

static bool send_message(int fd, GByteArray *msg)
{
    ((struct nlmsghdr *) (void *) msg->data)->nlmsg_len = msg->len;
    bool ok = send(fd, msg->data, msg->len, 0) == (ssize_t) msg->len;
    g_byte_array_unref(msg);
    return ok;
}

typedef struct Choice { ConntrackGone *is_gone; const void *data; int zone; GPtrArray *list; bool all; } Choice;

/* If the connection is one to forget, its deletion is added to the list. */
static void consider(const struct nlmsghdr *nlh, Choice *choice)
{
    const struct nfgenmsg *gen = NLMSG_DATA(nlh);
    const guint8 *p = (const guint8 *) gen + NLMSG_ALIGN(sizeof *gen);
    if (nlh->nlmsg_len < NLMSG_HDRLEN + NLMSG_ALIGN(sizeof *gen))
        return;
    gsize left = nlh->nlmsg_len - NLMSG_HDRLEN - NLMSG_ALIGN(sizeof *gen);
    Attr tuple, zone;
    Tracked t = { 0 };
    if (find_attr(p, left, CTA_ZONE, &zone) && zone.len == 2)
        t.zone = zone.data[0] << 8 | zone.data[1];
    choice->all |= t.zone != choice->zone;
    tuple_parse(p, left, CTA_TUPLE_ORIG, &t.there);
    tuple_parse(p, left, CTA_TUPLE_REPLY, &t.back);
    if (!choice->is_gone(&t, choice->data) || !find_attr(p, left, CTA_TUPLE_ORIG, &tuple))
        return;
    GByteArray *msg = message(IPCTNL_MSG_CT_DELETE, 0, gen->nfgen_family, t.zone);
    put_attr(msg, CTA_TUPLE_ORIG | NLA_F_NESTED, tuple.data, tuple.len);
    g_ptr_array_add(choice->list, msg);
}

/* Reads the answer to a dump up to its end. */
static bool read_dump(int fd, Choice *choice, GError **err)
{
    g_autofree char *buf = g_malloc(BUFFER);
    for (;;) {
        ssize_t got = recv(fd, buf, BUFFER, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return nv_fail_errno(err, NV_ERR_AGENT, "connection tracking");
        int left = (int) got;
        for (const struct nlmsghdr *h = (const void *) buf; NLMSG_OK(h, (unsigned) left); h = NLMSG_NEXT(h, left)) {
            if (h->nlmsg_type == NLMSG_DONE)
                return true;
            if (h->nlmsg_type == NLMSG_ERROR)
                return nv_fail(err, NV_ERR_AGENT, "connection tracking: the kernel refused the list");
            consider(h, choice);
        }
    }
}

/* *ret_all: others than the zone's were among them. */
static bool purge(int zone, ConntrackGone *is_gone, const void *data, bool *ret_all, GError **err)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (fd < 0)
        return nv_fail_errno(err, NV_ERR_AGENT, "connection tracking");
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    Choice choice = { is_gone, data, zone, list, false };
    bool ok = send_message(fd, message(IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC, zone)) && read_dump(fd, &choice, err);
    for (guint i = 0; i < list->len; i++)
        send_message(fd, list->pdata[i]);
    close(fd);
    *ret_all = choice.all;
    if (!ok && err && !*err)
        nv_fail(err, NV_ERR_AGENT, "connection tracking: cannot ask the kernel");
    return ok;
}

bool conntrack_purge(int zone, ConntrackGone *is_gone, const void *data, GError **err)
{
    bool all;
    return purge(zone, is_gone, data, &all, err);
}

typedef struct Flows { const GArray *list; bool tcp; } Flows;

static bool is_flow(const Tracked *t, const void *data)
{
    const GArray *flows = ((const Flows *) data)->list;
    const Ip ips[] = { t->there.source, t->there.destination, t->back.source, t->back.destination };
    if (t->there.protocol == IPPROTO_TCP && !((const Flows *) data)->tcp)
        return false;
    for (guint i = 0; i < flows->len; i++) {
        const Flow *f = &g_array_index(flows, Flow, i);
        for (gsize k = 0; f->zone == t->zone && k < G_N_ELEMENTS(ips); k++)
            if (cidr_contains(f->cidr, ips[k]))
                return true;
    }
    return false;
}

/* How many connections the kernel tracks for this namespace. */
static guint tracked(void)
{
    g_autofree char *text = NULL;
    return g_file_get_contents("/proc/sys/net/netfilter/nf_conntrack_count", &text, NULL, NULL) ? (guint) g_ascii_strtoull(text, NULL, 10) : 0;
}

bool conntrack_flush(const GArray *list, bool tcp, GError **err)
{
    const Flows flows = { list, tcp };
    g_autoptr(GHashTable) zones = g_hash_table_new(NULL, NULL);
    GHashTableIter it;
    gpointer zone;
    bool ok = true, all = false;
    for (guint i = 0; i < list->len; i++)
        g_hash_table_add(zones, GINT_TO_POINTER(g_array_index(list, Flow, i).zone));
    guint n = g_hash_table_size(zones);
    if (n > 1 && n > 1 + tracked() / WALK)
        return purge(CONNTRACK_ALL, is_flow, &flows, &all, err);
    g_hash_table_iter_init(&it, zones);
    while (!all && g_hash_table_iter_next(&it, &zone, NULL))
        ok = purge(GPOINTER_TO_INT(zone), is_flow, &flows, &all, ok ? err : NULL) && ok;
    return ok;
}
