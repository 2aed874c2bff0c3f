/* core/conf.c -- the table of options, and reading the file against it. */
#include "core/conf.h"
#include "core/error.h"
#include <errno.h>
#include <string.h>

typedef enum { OPT_STR, OPT_INT, OPT_BOOL, OPT_REAL } OptType;
typedef struct Option {
    const char *key;             /* group.name */
    OptType type;
    const char *dflt;
    gint64 min, max;             /* OPT_INT */
    const char *help;            /* one or more sentences, as printed in etc/nuvolet.conf */
} Option;

/* clang-format off */
static const Option options[] = {
    { "paths.state",  OPT_STR, "/var/lib/nuvolet", 0, 0, "Database, images, disks of guests." },
    { "paths.run",    OPT_STR, "/run/nuvolet",     0, 0, "Sockets and what does not survive a reboot." },
    { "log.level",    OPT_STR, "info",             0, 0, "error, warn, info or debug; `nuvolet ctl log LEVEL` changes it in the running service." },

    { "api.address",      OPT_STR, "127.0.0.1", 0, 0, "Address to listen on. 0.0.0.0 serves the whole network: set a certificate then." },
    { "api.port",         OPT_INT, "8774", 0, 65535, "One port serves every API and the dashboard." },
    { "api.public_url",   OPT_STR, "",     0, 0, "Address clients use, as http://host:port; it goes into the service catalog at first start. Empty: made from address and port." },
    { "api.workers",      OPT_INT, "8",    1, 256, "Threads that run requests." },
    { "api.max_body",     OPT_INT, "114688", 1024, 16777216, "Largest request body in bytes (image uploads are streamed and not limited by it)." },
    { "api.max_connections", OPT_INT, "16384", 16, 1000000, "Connections held at a time; beyond it those that were idle longest are closed. The limit of open files bounds it too." },
    { "api.max_per_address", OPT_INT, "0", 0, 1000000, "Connections from one address; 0: no limit of its own. Set it where clients are strangers." },
    { "api.head_max",     OPT_INT, "16384", 12288, 65536, "Bytes for the request line and the headers of a request. Idle connections give most of them back." },
    { "api.page_max",     OPT_INT, "1000", 1, 10000, "Most rows a list returns in one page." },
    { "api.tls_cert",     OPT_STR, "", 0, 0, "PEM file; with tls_key, the port speaks TLS only." },
    { "api.tls_key",      OPT_STR, "", 0, 0, "PEM file." },
    { "serve.user",       OPT_STR, "nuvolet", 0, 0, "User that `nuvolet serve` becomes when it is started as root." },
    { "serve.op_threads", OPT_INT, "8", 1, 64, "Operations (create, delete …) carried out at once." },

    { "hosts.agents",     OPT_STR, "local=unix:", 0, 0, "NAME=unix:SOCKET, separated by semicolons: the hosts. An empty socket path means agent.sock under paths.run." },
    { "hosts.sync_s",     OPT_INT, "10", 1, 3600, "Seconds between two comparisons of rows with what is really there." },

    { "identity.token_ttl_s",    OPT_INT, "14400", 60, 604800, "Seconds a token lives." },
    { "identity.failed_logins",  OPT_INT, "20", 1, 100000, "Failed logins a minute that one address (or IPv6 /64) may have; then it gets 429 for a while. No account is ever locked." },
    { "identity.password_min_length",   OPT_INT, "1", 1, 128, "Least characters of a new password." },
    { "identity.password_expires_days", OPT_INT, "0", 0, 36500, "Days until a password must be changed; 0: never." },
    { "identity.password_history",      OPT_INT, "0", 0, 24, "Passwords, the present one included, that a user may not choose again; 0: no such rule." },
    { "identity.trust_redelegations",   OPT_INT, "3", 0, 10, "How many times a trust that allows it may be passed on." },
    { "identity.password_min_age_s",    OPT_INT, "0", 0, 31536000, "Seconds that must pass before a user changes the password again." },

    { "quota.instances",            OPT_INT, "10", -1, 1000000, "Servers a project may have; -1 is no limit, here and below. Rows set through the API go before these defaults." },
    { "quota.cores",                OPT_INT, "20", -1, 1000000, "vCPUs of all servers of a project." },
    { "quota.ram",                  OPT_INT, "51200", -1, 1000000000, "MiB of memory of all servers of a project." },
    { "quota.key_pairs",            OPT_INT, "100", -1, 1000000, "Key pairs of a user." },
    { "quota.metadata_items",       OPT_INT, "128", -1, 1000000, "Metadata items of one server." },
    { "quota.server_groups",        OPT_INT, "10", -1, 1000000, "Server groups of a project." },
    { "quota.server_group_members", OPT_INT, "10", -1, 1000000, "Servers in one server group." },
    { "quota.networks",             OPT_INT, "100", -1, 1000000, "Networks of a project." },
    { "quota.subnets",              OPT_INT, "100", -1, 1000000, "Subnets of a project." },
    { "quota.subnetpools",          OPT_INT, "-1", -1, 1000000, "Subnet pools of a project." },
    { "quota.ports",                OPT_INT, "500", -1, 1000000, "Ports of a project." },
    { "quota.routers",              OPT_INT, "10", -1, 1000000, "Routers of a project." },
    { "quota.floatingips",          OPT_INT, "50", -1, 1000000, "Floating IPs of a project." },
    { "quota.security_groups",      OPT_INT, "10", -1, 1000000, "Security groups of a project." },
    { "quota.security_group_rules", OPT_INT, "100", -1, 1000000, "Security group rules of a project." },
    { "quota.rbac_policies",        OPT_INT, "10", -1, 1000000, "Network RBAC policies of a project." },
    { "quota.trunks",               OPT_INT, "-1", -1, 1000000, "Trunks of a project." },
    { "quota.volumes",              OPT_INT, "10", -1, 1000000, "Volumes of a project." },
    { "quota.snapshots",            OPT_INT, "10", -1, 1000000, "Volume snapshots of a project." },
    { "quota.gigabytes",            OPT_INT, "1000", -1, 1000000000, "GiB of volumes and snapshots of a project." },
    { "quota.per_volume_gigabytes", OPT_INT, "-1", -1, 1000000000, "GiB of one volume." },
    { "quota.backups",              OPT_INT, "10", -1, 1000000, "Volume backups of a project." },
    { "quota.backup_gigabytes",     OPT_INT, "1000", -1, 1000000000, "GiB of backups of a project." },
    { "quota.volume_groups",        OPT_INT, "10", -1, 1000000, "Volume groups of a project." },

    { "network.driver",      OPT_STR, "bridge", 0, 0, "bridge: Linux bridges and nftables. openvswitch: flows of Open vSwitch, which runs already. Change it on an empty host only." },
    { "network.ovs_datapath", OPT_STR, "system", 0, 0, "system: the kernel's datapath. netdev: the one in ovs-vswitchd, for kernels without the module." },
    { "network.ovs_run",     OPT_STR, "/run/openvswitch", 0, 0, "Where the sockets of ovsdb-server and ovs-vswitchd are." },
    { "network.mtu",         OPT_INT, "1450", 68, 9216, "MTU of new networks: what VXLAN between hosts leaves of 1500. The public network has 1500." },
    { "network.tunnel_address", OPT_STR, "", 0, 0, "For an agent: the address of this host that VXLAN packets of other hosts come to, on an interface that guests do not reach. "
      "Empty: networks end at this host. Let UDP to network.vxlan_port through between the hosts." },
    { "network.vxlan_port",  OPT_INT, "4789", 1, 65535, "For agents: UDP port of VXLAN, the same on every host." },
    { "network.physical",    OPT_STR, "", 0, 0, "NAME:INTERFACE[:FIRST-LAST], separated by semicolons: physical networks that an administrator's flat and vlan networks are on. "
      "An agent needs the interface, which has no address of the host; `serve` needs the names, and the VLAN ids it gives out when none is asked for." },
    { "network.physical_bandwidth", OPT_STR, "", 0, 0, "For an agent: NAME:EGRESS[:INGRESS], separated by semicolons: kilobits a second that its interface of a physical "
      "network has. No more is promised by minimum bandwidth rules, and while something is promised, no more is sent. Not named: what the interface's driver says of its speed." },
    { "network.packet_rate", OPT_INT, "0", 0, 2147483647, "For an agent: thousands of packets a second that this host forwards; no more is promised by minimum packet rate rules. "
      "0: nobody counts." },
    { "network.underlay_mtu", OPT_INT, "1500", 576, 65535, "MTU of physical networks, and of what carries VXLAN between hosts: networks get no larger one." },
    { "network.dns_domain",  OPT_STR, "nuvolet.internal", 0, 0, "Domain of the names of ports, as DHCP and DNS of each network tell them." },
    { "network.public_name", OPT_STR, "public", 0, 0, "Name of the external and shared network that is made at first start." },
    { "network.public_cidr", OPT_STR, "172.24.4.0/24", 0, 0, "Its addresses. The host has the first one and is the gateway; what leaves is translated. Empty: no such network." },

    { "image.size_max_gib",    OPT_INT, "1024",  1, 1048576, "Largest image file that is accepted." },
    { "image.virtual_max_gib", OPT_INT, "10240", 1, 1048576, "Largest disk that an image may say it is." },
    { "image.project_gib",     OPT_INT, "0",     0, 1048576, "Most that the images of one project may take on disk together; 0: no limit." },

    { "compute.libvirt_uri", OPT_STR, "qemu:///system", 0, 0, "Which libvirt: qemu:///system, a private one as qemu+unix:///system?socket=PATH, or test:///default for pretended guests." },
    { "compute.virt_type", OPT_STR, "auto", 0, 0, "auto, kvm or qemu (full emulation, slow). "
      "auto runs a small test guest under KVM once after each boot of the host and uses KVM only if that works." },
    { "compute.qemu_user", OPT_STR, "libvirt-qemu", 0, 0, "User that libvirt runs QEMU as: guests' disks belong to it. Left as it is where there is no such user." },
    { "compute.resume_guests",  OPT_BOOL, "true", 0, 0, "Guests that ran when their host went down are started when it is back." },
    { "compute.shutdown_s",     OPT_INT, "60", 0, 3600, "Seconds that a guest has to shut down in a stop or a soft reboot before it is switched off." },
    { "compute.deleted_days",   OPT_INT, "30", 0, 3650, "Days for which deleted servers are remembered, for lists with changes-since and for their actions." },

    { "scheduler.cpu_ratio",    OPT_REAL, "16.0", 0, 0, "vCPUs promised for each CPU of a host." },
    { "scheduler.memory_ratio", OPT_REAL, "1.0",  0, 0, "Memory promised for each byte that a host has; above 1.0, guests may push each other into swap." },
    { "scheduler.disk_ratio",   OPT_REAL, "2.0",  0, 0, "Disk promised for each byte that a host has; root disks take only what was written." },
    { "scheduler.reserved_memory_mb", OPT_INT, "512", 0, 1048576, "MiB of each host that are left to the host itself." },
};
/* clang-format on */

static char *values[G_N_ELEMENTS(options)];      /* set before threads start, read-only afterwards */

static int option_find(const char *key)
{
    for (guint i = 0; i < G_N_ELEMENTS(options); i++)
        if (strcmp(options[i].key, key) == 0)
            return (int) i;
    return -1;
}

static bool parse_int(const char *text, gint64 *ret_n)
{
    char *end;
    errno = 0;
    *ret_n = g_ascii_strtoll(text, &end, 10);
    return !errno && *text && !*end;
}

static bool parse_real(const char *text)
{
    char *end;
    double d = g_ascii_strtod(text, &end);
    return *text && !*end && d >= 0 && d < 1e9;
}

bool conf_override(const char *key, const char *value, GError **err)
{
    int i = option_find(key);
    if (i < 0)
        return nv_fail(err, NV_ERR_INVALID, "configuration: there is no option %s", key);
    const Option *o = &options[i];
    gint64 n = 0;
    bool ok = true;
    switch (o->type) {
    case OPT_STR:
        break;
    case OPT_INT:
        ok = parse_int(value, &n) && n >= o->min && n <= o->max;
        break;
    case OPT_BOOL:
        ok = g_str_equal(value, "true") || g_str_equal(value, "false");
        break;
    case OPT_REAL:
        ok = parse_real(value);
        break;
    }
    if (!ok && o->type == OPT_INT)
        return nv_fail(err, NV_ERR_INVALID, "configuration: %s must be a whole number from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT ", not '%s'",
                       key, o->min, o->max, value);
    if (!ok)
        return nv_fail(err, NV_ERR_INVALID, "configuration: %s must be %s, not '%s'", key, o->type == OPT_BOOL ? "true or false" : "a number", value);
    g_free(values[i]);
    values[i] = g_strdup(value);
    return true;
}

static bool load_group(GKeyFile *file, const char *path, const char *group, GError **err)
{
    g_auto(GStrv) keys = g_key_file_get_keys(file, group, NULL, err);
    for (char **k = keys; k && *k; k++) {
        g_autofree char *full = g_strdup_printf("%s.%s", group, *k);
        g_autofree char *value = g_key_file_get_string(file, group, *k, err);
        if (!value || !conf_override(full, value, err)) {
            g_prefix_error(err, "%s: ", path);
            return false;
        }
    }
    return keys != NULL;
}

bool conf_load(const char *path, GError **err)
{
    if (!path)
        return true;
    g_autoptr(GKeyFile) file = g_key_file_new();
    if (!g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, err)) {
        g_prefix_error(err, "%s: ", path);
        return false;
    }
    g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);
    for (char **g = groups; *g; g++)
        if (!load_group(file, path, *g, err))
            return false;
    return true;
}

bool conf_has(const char *key)
{
    return option_find(key) >= 0;
}

const char *conf_str(const char *key)
{
    int i = option_find(key);
    if (i < 0)
        g_error("no option %s", key);
    return values[i] ? values[i] : options[i].dflt;
}

gint64 conf_int(const char *key)
{
    return g_ascii_strtoll(conf_str(key), NULL, 10);
}

bool conf_bool(const char *key)
{
    return g_str_equal(conf_str(key), "true");
}

double conf_real(const char *key)
{
    return g_ascii_strtod(conf_str(key), NULL);
}

/* Wraps help at 100 columns behind "# ". */
static void append_help(GString *out, const char *help)
{
    g_auto(GStrv) words = g_strsplit(help, " ", -1);
    gsize column = 1;
    g_string_append_c(out, '#');
    for (char **w = words; *w; w++) {
        gsize n = (gsize) g_utf8_strlen(*w, -1);
        if (column + 1 + n > 100) {
            g_string_append(out, "\n#");
            column = 1;
        }
        g_string_append_printf(out, " %s", *w);
        column += 1 + n;
    }
    g_string_append_c(out, '\n');
}

char *conf_render(void)
{
    GString *out = g_string_new("# Nuvolet's configuration. Every line shows the default; `nuvolet ctl conf` prints this file.\n");
    const char *group = "";
    for (guint i = 0; i < G_N_ELEMENTS(options); i++) {
        const char *dot = strchr(options[i].key, '.');
        gsize n = (gsize) (dot - options[i].key);
        if (strncmp(group, options[i].key, n + 1) != 0)
            g_string_append_printf(out, "\n[%.*s]\n", (int) n, options[i].key);
        group = options[i].key;
        append_help(out, options[i].help);
        g_string_append_printf(out, "#%s = %s\n", dot + 1, options[i].dflt);
    }
    return g_string_free(out, FALSE);
}

char *conf_path(const char *dir_key, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    g_autofree char *rest = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return g_strconcat(conf_str(dir_key), "/", rest, NULL);
}
