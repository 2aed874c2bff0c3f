/* network/agent/ovs_apply.c -- runs ovs-ofctl; counts flows by a request of OpenFlow 1.0, which is cheap enough for every few seconds. */
#include "network/agent/ovs_apply.h"
#include "core/conf.h"
#include "core/file.h"
#include "core/log.h"
#include "core/proc.h"
#include "network/agent/ovs_db.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { TIMEOUT_S = 20, COUNT_TIMEOUT_S = 2, DHCP_RATE = 10, DHCP_BURST = 40 };

static char *target_of(const char *bridge)
{
    return g_strdup_printf("unix:%s/%s.mgmt", conf_str("network.ovs_run"), bridge);
}

/* ovs-ofctl COMMAND BRIDGE ARGS…, with text on its standard input where there is any. */
static bool ofctl(const char *const *command, const char *bridge, const char *const *args, const char *text, char **ret_out, GError **err)
{
    g_autofree char *target = target_of(bridge);
    const char *argv[16] = { "ovs-ofctl", "-O", "OpenFlow14", "--timeout=15" };
    g_auto(Fd) fd = text ? memfd_create("flows", MFD_CLOEXEC) : -1;
    ProcOptions opt = { .stdin_fd = MAX(fd, 0), .timeout_s = TIMEOUT_S };
    gsize n = 4;
    if (text && (fd < 0 || !file_write_at(fd, text, strlen(text), 0, err)))
        return fd < 0 ? nv_fail_errno(err, NV_ERR_AGENT, "memfd") : false;
    for (; *command; command++)
        argv[n++] = *command;
    argv[n++] = target;
    for (; args && *args; args++)
        argv[n++] = *args;
    g_autoptr(GError) why = NULL;
    /* What fails here may be a switch that is just starting: worth another try. */
    return proc_run(argv, &opt, ret_out, &why) || nv_fail(err, NV_ERR_AGENT, "%s", why->message);
}

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

bool ovs_apply_difference(const char *bridge, const char *lines, GError **err)
{
    return ofctl(ARGS("--bundle", "add-flows"), bridge, ARGS("-"), lines, NULL, err);
}

bool ovs_apply_meter(const char *bridge, int meter, GError **err)
{
    g_autofree char *text = g_strdup_printf("meter=%d,pktps,burst,band=type=drop,rate=%d,burst_size=%d", meter, DHCP_RATE, DHCP_BURST);
    g_autofree char *one = g_strdup_printf("meter=%d", meter), *known = NULL;
    if (ofctl(ARGS("dump-meters"), bridge, ARGS(one), NULL, &known, NULL) && strstr(known, "bands="))
        return true;
    return ofctl(ARGS("add-meter"), bridge, ARGS(text), NULL, NULL, err);
}

void ovs_apply_meter_absent(const char *bridge, int meter)
{
    g_autofree char *one = g_strdup_printf("meter=%d", meter);
    g_autoptr(GError) why = NULL;
    if (!ofctl(ARGS("del-meter"), bridge, ARGS(one), NULL, NULL, &why))
        log_debug("ovs.meter_kept", "bridge", bridge, "error", why->message, NULL);
}

void ovs_apply_at_once(void)
{
    g_autofree char *path = ovs_db_control(), *target = g_strdup_printf("--target=%s", path ? path : "");
    const char *const argv[] = { "ovs-appctl", "--timeout=5", target, "revalidator/purge", NULL };
    g_autoptr(GError) why = NULL;
    if (path && !proc_run(argv, NULL, NULL, &why))
        log_warn("ovs.purge_failed", "error", why->message, NULL);
}

static bool put_meters(const char *bridge, const GArray *meters, GError **err)
{
    g_autofree char *known = NULL;
    g_autoptr(GHashTable) there = g_hash_table_new(NULL, NULL);
    if (!meters->len)
        return true;
    if (!ofctl(ARGS("dump-meters"), bridge, NULL, NULL, &known, err))
        return false;
    for (const char *p = known; (p = strstr(p, "meter=")); p += 6)
        g_hash_table_add(there, GINT_TO_POINTER((int) g_ascii_strtoll(p + 6, NULL, 10)));
    for (guint i = 0; i < meters->len; i++) {
        int meter = g_array_index(meters, int, i);
        if (!g_hash_table_contains(there, GINT_TO_POINTER(meter)) && !ovs_apply_meter(bridge, meter, err))
            return false;
    }
    return true;
}

bool ovs_apply_all(const char *bridge, const char *flows, const GArray *meters, GError **err)
{
    return ofctl(ARGS("set-frags"), bridge, ARGS("nx-match"), NULL, NULL, err) && put_meters(bridge, meters, err) &&
           ofctl(ARGS("--bundle", "replace-flows"), bridge, ARGS("-"), flows, NULL, err);
}

/* --- counting: OFPT_STATS_REQUEST, OFPST_AGGREGATE --- */

enum { OFPT_HELLO = 0, OFPT_STATS_REQUEST = 16, OFPT_STATS_REPLY = 17, OFPST_AGGREGATE = 2, OF_HEADER = 8, AGGREGATE_SIZE = 56, MATCH_AT = 12,
       TABLE_AT = 52, OUT_PORT_AT = 54, COUNT_AT = 28 };

static bool read_exactly(int fd, guint8 *buf, gsize size)
{
    for (gsize got = 0; got < size;) {
        ssize_t n = recv(fd, buf + got, size - got, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        got += (gsize) n;
    }
    return true;
}

static void put_header(guint8 *p, guint8 type, guint16 size)
{
    p[0] = 1;
    p[1] = type;
    p[2] = (guint8) (size >> 8);
    p[3] = (guint8) size;
}

static int read_count(int fd)
{
    guint8 buf[2048];
    for (;;) {
        if (!read_exactly(fd, buf, OF_HEADER))
            return -1;
        gsize size = (gsize) (buf[2] << 8 | buf[3]);
        if (size < OF_HEADER || size > sizeof buf || !read_exactly(fd, buf + OF_HEADER, size - OF_HEADER))
            return -1;
        if (buf[1] == OFPT_STATS_REPLY && size >= COUNT_AT + 4)
            return buf[COUNT_AT] << 24 | buf[COUNT_AT + 1] << 16 | buf[COUNT_AT + 2] << 8 | buf[COUNT_AT + 3];
    }
}

int ovs_flow_count(const char *bridge)
{
    g_auto(Fd) fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    struct timeval limit = { .tv_sec = COUNT_TIMEOUT_S };
    guint8 msg[OF_HEADER + AGGREGATE_SIZE] = { 0 }, *request = msg + OF_HEADER;
    g_snprintf(addr.sun_path, sizeof addr.sun_path, "%s/%s.mgmt", conf_str("network.ovs_run"), bridge);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0 ||
        connect(fd, (const struct sockaddr *) &addr, sizeof addr) < 0)
        return -1;
    put_header(msg, OFPT_HELLO, OF_HEADER);
    put_header(request, OFPT_STATS_REQUEST, AGGREGATE_SIZE);
    request[9] = OFPST_AGGREGATE;
    memset(request + MATCH_AT, 0xff, 4);                 /* all fields are wildcards */
    request[TABLE_AT] = 0xff;
    memset(request + OUT_PORT_AT, 0xff, 2);
    return send(fd, msg, sizeof msg, MSG_NOSIGNAL) == (ssize_t) sizeof msg ? read_count(fd) : -1;
}
