/* compute/agent/kvm_probe.c -- may guests use KVM here?  Found out by running one (kvm_guest.c), once a boot of the host. */
#include "compute/agent/internal.h"
#include "compute/agent/kvm_guest.h"
#include "core/conf.h"
#include "core/error.h"
#include "core/log.h"
#include "core/proc.h"
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define QEMU "/usr/bin/qemu-system-x86_64"
enum { PROBE_S = 3 };                         /* under TCG it takes 0.4 s, QEMU's start included */

static GMutex lock;
static GCond found;
static VirtType result;                       /* name NULL: the probe still runs; literals and strings that are never freed */

static VirtType verdict(const char *name, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
static VirtType verdict(const char *name, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    VirtType v = { name, g_strdup_vprintf(fmt, ap) };
    va_end(ap);
    return v;
}

/* What the verdict depends on: another boot may be another kernel, another QEMU another KVM user. */
static char *cache_key(void)
{
    g_autofree char *boot = NULL;
    struct stat qemu = { 0 };
    if (!g_file_get_contents("/proc/sys/kernel/random/boot_id", &boot, NULL, NULL) || stat(QEMU, &qemu) < 0)
        return NULL;
    return g_strdup_printf("%s/%" G_GINT64_FORMAT "/%" G_GINT64_FORMAT, g_strchomp(boot), (gint64) qemu.st_size, (gint64) qemu.st_mtime);
}

static bool cache_read(const char *key, VirtType *ret_verdict)
{
    g_autofree char *path = conf_path("paths.state", "agent/kvm-probe.json"), *text = NULL;
    g_autoptr(json_t) cache = g_file_get_contents(path, &text, NULL, NULL) ? json_parse_trusted(text) : NULL;
    const char *name = json_get_str(cache, "virt_type"), *reason = json_get_str(cache, "reason");
    if (!key || !name || !reason || g_strcmp0(json_get_str(cache, "key"), key) != 0)
        return false;
    *ret_verdict = verdict(strcmp(name, "kvm") == 0 ? "kvm" : "qemu", "%s", reason);
    return true;
}

static void cache_write(const char *key, VirtType v)
{
    g_autoptr(json_t) cache = json_make("sss", "key", key, "virt_type", v.name, "reason", v.reason);
    g_autofree char *path = conf_path("paths.state", "agent/kvm-probe.json"), *text = json_text(cache);
    g_autoptr(GError) error = NULL;
    if (key && !g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &error))
        log_warn("kvm.cache", "error", error->message, NULL);
}

/* A memory file would not do: QEMU runs as another user and must be able to open it by name. */
static char *guest_disk(GError **err)
{
    g_autofree char *path = conf_path("paths.run", "kvm-probe.img");
    /* By rename: what stands under that name, be it a link, is replaced and not written to. */
    if (!g_file_set_contents_full(path, (const char *) kvm_guest, kvm_guest_end - kvm_guest, G_FILE_SET_CONTENTS_CONSISTENT, 0644, err))
        return NULL;
    if (chmod(path, 0644) < 0)
        return nv_fail_errno(err, NV_ERR_AGENT, "%s", path), NULL;
    return g_steal_pointer(&path);
}

static const char *qemu_user(void)
{
    const char *user = conf_str("compute.qemu_user");
    g_autoptr(GError) none = NULL;
    const char *const argv[] = { "id", user, NULL };
    return geteuid() == 0 && *user && proc_run(argv, NULL, NULL, &none) ? user : NULL;
}

static VirtType probe(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *out = NULL;
    g_autofree char *disk = guest_disk(&error);
    if (!disk)
        return verdict("qemu", "the test guest could not be written: %s", error->message);
    g_autofree char *drive = g_strdup_printf("file=%s,format=raw,if=virtio,readonly=on", disk);
    const char *const argv[] = { QEMU, "-machine", "pc,accel=kvm", "-m", "32", "-display", "none", "-nodefaults", "-no-user-config", "-no-reboot",
                                 "-serial", "stdio", "-monitor", "none", "-sandbox", "on", "-drive", drive, NULL };
    const ProcOptions opt = { .timeout_s = PROBE_S, .user = qemu_user(), .no_new_privs = true };
    bool ended = proc_run(argv, &opt, &out, &error);
    g_unlink(disk);
    if (ended && out && strstr(out, KVM_GUEST_OK))
        return verdict("kvm", "a test guest ran under KVM");
    if (!ended)
        return verdict("qemu", "/dev/kvm opens, but a test guest did not run under KVM: %s", error->message);
    return verdict("qemu", "/dev/kvm opens, but a test guest stopped early under KVM");
}

static VirtType decide(void)
{
    const char *wanted = conf_str("compute.virt_type");
    if (virt_is_test())
        return verdict("test", "compute.libvirt_uri names libvirt's test driver: guests are pretended");
    if (strcmp(wanted, "kvm") == 0 || strcmp(wanted, "qemu") == 0)
        return verdict(strcmp(wanted, "kvm") == 0 ? "kvm" : "qemu", "compute.virt_type says so");
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return verdict("qemu", "no KVM on this host: /dev/kvm: %s", g_strerror(errno));
    close(fd);
    g_autofree char *key = cache_key();
    VirtType v;
    if (cache_read(key, &v))
        return v;
    v = probe();
    cache_write(key, v);
    return v;
}

static gpointer run(gpointer data)
{
    (void) data;
    VirtType v = decide();
    log_info("kvm.probed", "virt_type", v.name, "reason", v.reason, NULL);
    g_mutex_lock(&lock);
    result = v;
    g_cond_broadcast(&found);
    g_mutex_unlock(&lock);
    return NULL;
}

void kvm_probe_start(void)
{
    g_thread_unref(g_thread_new("kvm-probe", run, NULL));
}

VirtType kvm_probe_result(void)
{
    g_mutex_lock(&lock);
    while (!result.name)
        g_cond_wait(&found, &lock);
    VirtType v = result;
    g_mutex_unlock(&lock);
    return v;
}
