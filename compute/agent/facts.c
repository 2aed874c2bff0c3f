/* compute/agent/facts.c -- host.facts: what this host has. */
#include "compute/agent/internal.h"
#include "core/conf.h"
#include "core/error.h"
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* libvirt's test driver is for trying out many servers: its pretended host must not be what limits them. */
enum { TEST_VCPUS = 65536, TEST_MEMORY_MB = 64 << 20, TEST_DISK_GB = 1 << 20 };

static char *first_line(const char *path)
{
    char *text = NULL;
    if (g_file_get_contents(path, &text, NULL, NULL))
        text[strcspn(text, "\n")] = 0;
    return text;
}

static char *cpu_model(void)
{
    g_autofree char *text = NULL;
    if (!g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL))
        return NULL;
    const char *at = strstr(text, "model name"), *colon = at ? strchr(at, ':') : NULL;
    return colon ? g_strstrip(g_strndup(colon + 1, strcspn(colon + 1, "\n"))) : NULL;
}

/* What changes when guests were lost with everything else of the host: the kernel's boot, and what `agent --clear` leaves (cmd/clear.c). */
static char *boot_id(void)
{
    g_autofree char *kernel = first_line("/proc/sys/kernel/random/boot_id"), *path = conf_path("paths.state", "agent/cleared");
    g_autofree char *cleared = first_line(path);
    return g_strconcat(kernel ? kernel : "", cleared ? "." : NULL, cleared, NULL);
}

json_t *host_facts(const json_t *args, GError **err)
{
    (void) args;
    g_autofree char *hypervisor = NULL, *library = NULL, *model = cpu_model(), *boot = boot_id();
    struct statvfs fs;
    VirtType type = kvm_probe_result();
    bool test = strcmp(type.name, "test") == 0;
    if (!virt_versions(&hypervisor, &library, err))
        return NULL;
    if (statvfs(conf_str("paths.state"), &fs) < 0)
        return nv_fail_errno(err, NV_ERR_AGENT, "%s", conf_str("paths.state")), NULL;
    gint64 memory_mb = (gint64) sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) >> 20;
    gint64 disk_gb = (gint64) ((guint64) fs.f_blocks * fs.f_frsize >> 30);
    return json_make("siiissssss", "hostname", g_get_host_name(), "vcpus", test ? (gint64) TEST_VCPUS : (gint64) sysconf(_SC_NPROCESSORS_ONLN),
                     "memory_mb", test ? (gint64) TEST_MEMORY_MB : memory_mb, "disk_gb", test ? (gint64) TEST_DISK_GB : disk_gb,
                     "virt_type", type.name, "virt_reason", type.reason, "hypervisor_version", hypervisor, "libvirt_version", library,
                     "cpu_model", model, "boot_id", boot);
}
