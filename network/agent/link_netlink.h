/* network/agent/link_netlink.h -- messages to the kernel and its answers, for the link*.c files only. */
#pragma once
#include "core/error.h"
#include "core/ip.h"
#include "network/agent/link.h"
#include <netlink/msg.h>

typedef struct nl_msg Msg;
/* Sends msg (stolen) and waits for the kernel's answer; codes in the 0-ended list ok are as good as success. */
bool link_talk(Msg *msg_stolen, const char *what, const char *name, const int *ok, GError **err);
/* The same for something new (NLM_F_EXCL), or that is there already. */
bool link_make(Msg *msg_stolen, const char *what, const char *name, bool *ret_there, GError **err);
/* Sends a dump request (stolen) and calls fn for each message of the answer. */
typedef void OnMessage(struct nlmsghdr *nlh, void *data);
bool link_dump(Msg *msg_stolen, OnMessage *fn, void *data, GError **err);
/* As link_get; an interface that is not there is an error. */
bool link_need(const char *name, LinkInfo *info, GError **err);
/* The table's values (LinkInfo), borrowed, by index. */
GHashTable *link_by_index(GHashTable *links);
/* The start of a message about queueing at an interface (link_tc.c). */
Msg *link_tc_msg(int type, int flags, int index, guint32 handle, guint32 parent);
/* Asks for all queues, classes or filters of an interface (index 0: of all), and calls fn for each message of the answer; parent: the place of
 * filters, 0 for the others. */
bool link_tc_dump(int type, int index, guint32 parent, OnMessage *fn, void *data, GError **err);
/* How many look at what comes in (LINK_INGRESS) or goes out (LINK_EGRESS) there. */
bool link_tc_filters(int index, guint32 parent, int *ret_filters, GError **err);
/* The place where what comes in and goes out can be looked at (ret_there: it was there; NULL: no matter); gone only when nothing looks. */
bool link_ingress_ensure(const char *name, int index, bool *ret_there, GError **err);
bool link_ingress_idle(const char *name, int index, GError **err);
enum { LINK_CLSACT = 0xffff0000u, LINK_INGRESS = 0xfffffff2u, LINK_EGRESS = 0xfffffff3u, LINK_PROGRAMS_FIRST = 1, LINK_DIVERT_SECOND = 2 };
/* An address in network byte order, 4 or 16 bytes. */
void link_ip_bytes(Ip ip, guint8 out[16]);
Ip link_ip_of(int version, const guint8 *raw);
