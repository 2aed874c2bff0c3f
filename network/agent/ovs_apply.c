/* network/agent/ovs_apply.c -- runs ovs-ofctl; counts flows by a request of OpenFlow 1.0, which is cheap enough for every few seconds. */
#include "network/agent/ovs_apply.h"
#include "core/conf.h"
#include "core/fault.h"
#include "core/file.h"
#include "core/log.h"
#include "core/proc.h"
#include "network/agent/counters.h"
#include "network/agent/ovs_db.h"
#include "network/agent/ovs_flow.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { TIMEOUT_S = 20, COUNT_TIMEOUT_S = 2 };

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
    if (!fault_point("net.flows", err))
        return false;
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

/* What is told of a meter: NULL where it is not there. */
static const char *meter_in(const char *known, int meter)
{
    g_autofree char *one = g_strdup_printf("meter=%d ", meter);
    return strstr(known, one);
}

static bool told(const char *text, gsize size, const char *name, guint32 value)
{
    g_autofree char *one = g_strdup_printf("%s=%u", name, value);
    const char *at = g_strstr_len(text, (gssize) size, one);
    return at && !g_ascii_isdigit(at[strlen(one)]);
}

static bool is_as_wanted(const char *text, const OvsMeter *m)
{
    const char *end = strstr(text + 6, "meter=");
    gsize size = end ? (gsize) (end - text) : strlen(text);
    return g_strstr_len(text, (gssize) size, m->packets ? " pktps " : " kbps ") && told(text, size, "rate", m->rate) &&
           told(text, size, "burst_size", m->burst);
}

bool ovs_apply_meters(const char *bridge, const GArray *meters, GError **err)
{
    g_autofree char *known = NULL;
    if (!meters->len)
        return true;
    if (!ofctl(ARGS("dump-meters"), bridge, NULL, NULL, &known, err))
        return false;
    for (guint i = 0; i < meters->len; i++) {
        const OvsMeter *m = &g_array_index(meters, OvsMeter, i);
        g_autofree char *text = g_strdup_printf("meter=%d,%s,burst,band=type=drop,rate=%u,burst_size=%u", m->id, m->packets ? "pktps" : "kbps",
                                                m->rate, m->burst);
        const char *there = meter_in(known, m->id);
        if (!(there && is_as_wanted(there, m)) && !ofctl(there ? ARGS("mod-meter") : ARGS("add-meter"), bridge, ARGS(text), NULL, NULL, err))
            return false;
    }
    return true;
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

bool ovs_apply_all(const char *bridge, const char *flows, const GArray *meters, GError **err)
{
    return ofctl(ARGS("set-frags"), bridge, ARGS("nx-match"), NULL, NULL, err) && ovs_apply_meters(bridge, meters, err) &&
           ofctl(ARGS("--bundle", "replace-flows"), bridge, ARGS("-"), flows, NULL, err);
}

/* --- counters --- */

/* What the switch counts is frames: the Ethernet header is not of the packet. */
enum { FRAME_HEADER = 14 };

static guint64 member(const char *line, const char *name)
{
    const char *at = strstr(line, name);
    return at ? g_ascii_strtoull(at + strlen(name), NULL, 10) : 0;
}

bool ovs_apply_counters(const char *bridge, GHashTable *sums, GError **err)
{
    static const char *const rules = "cookie=" OVS_COOKIE_OF_RULE "000000000000/0xffff000000000000", *const prefix = "cookie=" OVS_COOKIE_OF_RULE;
    g_autofree char *text = NULL;
    if (!ofctl(ARGS("--no-names", "dump-flows"), bridge, ARGS(rules), NULL, &text, err))
        return false;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        const char *cookie = strstr(*line, prefix);
        g_autofree char *id = cookie ? g_strndup(cookie + strlen(prefix), 12) : NULL;
        Counter *sum = id ? g_hash_table_lookup(sums, id) : NULL;
        guint64 packets = member(*line, " n_packets="), bytes = member(*line, " n_bytes=");
        if (!sum)
            continue;
        sum->packets += packets;
        sum->bytes += bytes > packets * FRAME_HEADER ? bytes - packets * FRAME_HEADER : 0;
    }
    return true;
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
