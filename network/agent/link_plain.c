/* network/agent/link_plain.c -- switches off what an interface leaves to hardware, for readers of raw frames at its other end. */
#include "network/agent/link.h"
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

bool link_plain(const char *name, GError **err)
{
    static const guint32 commands[] = { ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_STXCSUM };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0;
    for (gsize i = 0; ok && i < G_N_ELEMENTS(commands); i++) {
        struct ethtool_value off = { .cmd = commands[i] };
        struct ifreq request = { 0 };
        g_strlcpy(request.ifr_name, name, sizeof request.ifr_name);
        request.ifr_data = (void *) &off;
        ok = ioctl(fd, SIOCETHTOOL, &request) == 0 || errno == EOPNOTSUPP;
    }
    if (!ok)
        nv_fail_errno(err, NV_ERR_AGENT, "offloads of %s", name);
    if (fd >= 0)
        close(fd);
    return ok;
}
