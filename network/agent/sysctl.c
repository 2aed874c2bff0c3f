/* network/agent/sysctl.c -- reads and writes the files under /proc/sys/net. */
#include "network/agent/sysctl.h"
#include "core/file.h"
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <unistd.h>

static const Sysctl silent[] = { { "ipv6", "disable_ipv6", "1" }, { "ipv4", "arp_ignore", "8" }, { 0 } };

static int open_one(const char *device, const Sysctl *s, int flags)
{
    char path[128];
    g_snprintf(path, sizeof path, "/proc/sys/net/%s/conf/%s/%s", s->family, device, s->name);
    return open(path, flags | O_CLOEXEC);
}

static bool is_so(const char *device, const Sysctl *s)
{
    char there[32] = "";
    g_auto(Fd) fd = open_one(device, s, O_RDONLY);
    ssize_t n = fd >= 0 ? read(fd, there, sizeof there - 1) : -1;
    return n < 0 || strcmp(g_strchomp(there), s->value) == 0;
}

void sysctl_ensure(const char *device, const Sysctl *list)
{
    for (; list->name; list++) {
        g_auto(Fd) fd = is_so(device, list) ? -1 : open_one(device, list, O_WRONLY);
        ssize_t n = fd >= 0 ? write(fd, list->value, strlen(list->value)) : 0;
        (void) n;
    }
}

bool sysctl_are(const char *device, const Sysctl *list)
{
    for (; list->name; list++)
        if (!is_so(device, list))
            return false;
    return true;
}

void sysctl_silence(const char *device)
{
    sysctl_ensure(device, silent);
}

bool sysctl_silent(const char *device)
{
    return sysctl_are(device, silent);
}
