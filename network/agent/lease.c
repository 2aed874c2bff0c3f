/* network/agent/lease.c -- reads dnsmasq's lease file; sends DHCPRELEASE for IPv4 leases that no port has any more; takes lines out of it. */
#include "network/agent/lease.h"
#include "core/error.h"
#include "core/log.h"
#include "network/agent/dnsmasq.h"
#include "network/agent/netns.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RELEASE_SIZE = 300, OPTIONS_AT = 240, ROUNDS = 100, ROUND_US = 5000, RESEND = 20 };
typedef struct Release { Ip client, server; guint8 mac[6]; } Release;

/* The MAC of the port that has the address; NULL: none has it. */
static const char *owner_of(const NetworkSpec *n, Ip ip)
{
    for (guint i = 0; i < n->ports->len; i++) {
        const DhcpPort *p = n->ports->pdata[i];
        for (guint k = 0; k < p->ips->len; k++) {
            Ip mine = g_array_index(p->ips, Ip, k);
            if (mine.version == ip.version && mine.n == ip.n)
                return p->mac;
        }
    }
    return NULL;
}

/* A line of IPv4: expiry, MAC, address, name, client id.  One of IPv6 has a number of the client's in place of the MAC: it is the port's that has
 * the address if it was so before. */
static bool is_stale(const NetworkSpec *n, const char *hosts_before, const char *line, char mac[18], Ip *ret_ip)
{
    g_auto(GStrv) words = g_strsplit(line, " ", 5);
    if (g_strv_length(words) < 4 || !ip_parse(words[2], ret_ip))
        return false;
    g_strlcpy(mac, words[1], 18);
    const char *owner = owner_of(n, *ret_ip);
    if (ret_ip->version == 4 || !owner)
        return g_strcmp0(owner, mac) != 0;
    char ip[46];
    ip_format(*ret_ip, ip);
    g_autofree char *entry = g_strdup_printf("%s,[%s]", owner, ip);
    return !strstr(hosts_before, entry);
}

static Ip server_for(const NetworkSpec *n, Ip client)
{
    for (guint i = 0; i < n->dhcp_addresses->len; i++) {
        Cidr c = g_array_index(n->dhcp_addresses, Cidr, i);
        if (c.base.version == 4 && cidr_contains((Cidr){ cidr_first(c), c.prefix }, client))
            return c.base;
    }
    return (Ip){ 0 };
}

static void put_ip(guint8 *at, Ip ip)
{
    guint32 n = htonl((guint32) ip.n);
    memcpy(at, &n, sizeof n);
}

static void send_release(int fd, const Release *r)
{
    guint8 m[RELEASE_SIZE] = { 1, 1, 6, 0 };     /* BOOTREQUEST over Ethernet */
    static const guint8 head[] = { 99, 130, 83, 99, 53, 1, 7, 54, 4 };   /* cookie, DHCPRELEASE, server identifier */
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(67), .sin_addr.s_addr = htonl((guint32) r->server.n) };
    put_ip(m + 12, r->client);
    memcpy(m + 28, r->mac, 6);
    memcpy(m + OPTIONS_AT - 4, head, sizeof head);
    put_ip(m + OPTIONS_AT - 4 + sizeof head, r->server);
    m[OPTIONS_AT + sizeof head] = 255;
    if (sendto(fd, m, sizeof m, 0, (const struct sockaddr *) &to, sizeof to) < 0)
        log_warn("dhcp.release_failed", "error", g_strerror(errno), NULL);
}

/* Inside the namespace. */
static bool send_all(void *data, GError **err)
{
    const GArray *list = data;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, DHCP_DEVICE, sizeof DHCP_DEVICE) < 0)
        nv_fail_errno(err, NV_ERR_AGENT, "socket for releases");
    for (guint i = 0; fd >= 0 && i < list->len; i++)
        send_release(fd, &g_array_index(list, Release, i));
    if (fd >= 0)
        close(fd);
    return !err || !*err;
}

static char **read_lines(const char *dir, char **ret_path)
{
    g_autofree char *text = NULL;
    *ret_path = g_strdup_printf("%s/leases", dir);
    return g_file_get_contents(*ret_path, &text, NULL, NULL) ? g_strsplit(text, "\n", -1) : NULL;
}

/* Leases that should be given up, array of Release; NULL: one is of IPv6, which takes a new start, as dnsmasq stands still for half a second for
 * each message of a client whose MAC it cannot find out. */
static GArray *find_stale(const NetworkSpec *n, const char *dir, const char *hosts_before)
{
    g_autofree char *path = NULL;
    g_auto(GStrv) lines = read_lines(dir, &path);
    GArray *list = g_array_new(FALSE, TRUE, sizeof(Release));
    for (char **l = lines; l && *l; l++) {
        char mac[18];
        Release r = { 0 };
        if (!is_stale(n, hosts_before, *l, mac, &r.client))
            continue;
        if (r.client.version == 6)
            return g_array_unref(list), NULL;
        if (!mac_parse(mac, r.mac))
            continue;
        r.server = server_for(n, r.client);
        if (r.server.version)
            g_array_append_val(list, r);
    }
    return list;
}

bool lease_release(const NetworkSpec *n, const char *dir, const char *hosts_before)
{
    for (int round = 0; round < ROUNDS; round++) {
        g_autoptr(GArray) list = find_stale(n, dir, hosts_before);
        g_autoptr(GError) err = NULL;
        if (!list || !list->len)
            return list != NULL;
        if (round % RESEND == 0 && !netns_run(n->netns.s, send_all, list, &err)) {
            log_warn("dhcp.release_failed", "network", n->id, "error", err->message, NULL);
            return false;
        }
        g_usleep(ROUND_US);
    }
    return false;
}

void lease_prune(const NetworkSpec *n, const char *dir, const char *hosts_before)
{
    g_autofree char *path = NULL;
    g_auto(GStrv) lines = read_lines(dir, &path);
    g_autoptr(GString) kept = g_string_new(NULL);
    bool changed = false;
    for (char **l = lines; l && *l; l++) {
        char mac[18];
        Ip ip;
        if (!**l)
            continue;
        if (is_stale(n, hosts_before, *l, mac, &ip))
            changed = true;
        else
            g_string_append_printf(kept, "%s\n", *l);
    }
    /* In place: the file belongs to dnsmasq's user. */
    FILE *f = changed ? fopen(path, "w") : NULL;
    if (f) {
        fputs(kept->str, f);
        fclose(f);
    }
}
