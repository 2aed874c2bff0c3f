/* compute/agent/virt_plug.c -- guests that run with a tap that has nobody at its other end: found, and joined to it again. */
#include "compute/agent/agent.h"
#include "compute/agent/domxml.h"
#include "compute/agent/internal.h"
#include "compute/agent/plug.h"
#include "compute/agent/virt.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/error.h"
#include "core/log.h"
#include <fcntl.h>
#include <libvirt/libvirt-qemu.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    LOOK_ANYWAY_S = 60,                       /* in case an event of libvirt's got lost */
    AT_ONCE = 3,                              /* each may hold one of libvirtd's workers (20) for as long as its QEMU likes */
};

static GMutex lock;                           /* guards what follows */
static GCond news;
static GPtrArray *told;                       /* taps that the network part told of last and that were not looked at yet; NULL: nothing */
static GHashTable *busy;                      /* ids of domains that are in the pool */
static GHashTable *failed;                    /* id → why it could not be joined, the last time */

static GThreadPool *pool;                     /* set once; of Job */

void compute_agent_plug(GPtrArray *taps_stolen)
{
    g_mutex_lock(&lock);
    g_clear_pointer(&told, g_ptr_array_unref);
    told = taps_stolen;
    g_cond_signal(&news);
    g_mutex_unlock(&lock);
}

char *virt_plug_failed(const char *id)
{
    g_mutex_lock(&lock);
    char *why = failed ? g_strdup(g_hash_table_lookup(failed, id)) : NULL;
    g_mutex_unlock(&lock);
    return why;
}

/* ---- one domain ---- */

typedef struct Job { char id[VIR_UUID_STRING_BUFLEN]; GArray *ends; } Job;

static void job_free(Job *job)
{
    g_array_unref(job->ends);
    g_free(job);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Job, job_free)

/* libvirt's note of the process, in a folder that only root writes. */
static pid_t pid_of(virDomainPtr domain, GError **err)
{
    g_autofree char *path = g_strdup_printf("/run/libvirt/qemu/%s.pid", virDomainGetName(domain)), *text = NULL;
    gint64 pid = g_file_get_contents(path, &text, NULL, NULL) ? g_ascii_strtoll(text, NULL, 10) : 0;
    if (pid <= 1 || pid > G_MAXINT)
        nv_fail(err, NV_ERR_AGENT, "libvirt does not tell the process of %s", virDomainGetName(domain));
    return pid > 1 && pid <= G_MAXINT ? (pid_t) pid : -1;
}

static char *monitor(virDomainPtr domain, const char *command, unsigned flags, GError **err)
{
    char *answer = NULL;
    if (virDomainQemuMonitorCommand(domain, command, &answer, flags) < 0)
        return virt_fail(err, "asking QEMU of its taps"), NULL;
    return answer;
}

static int header_of(virDomainPtr domain, const PlugEnd *end)
{
    g_autofree char *command = g_strdup_printf("{\"execute\":\"x-query-virtio-status\",\"arguments\":"
                                               "{\"path\":\"/machine/peripheral/%s/virtio-backend\"}}", end->alias);
    if (!end->virtio)
        return PLUG_HEADER;
    char *answer = monitor(domain, command, 0, NULL);
    g_autoptr(json_t) status = answer ? json_loads(answer, 0, NULL) : NULL;
    free(answer);
    return plug_header(status);
}

/* QEMU answers after its process was opened, and libvirt's note says the same before and after: so the number was no other process's in between. */
static int open_process(virDomainPtr domain, char **ret_networks, GError **err)
{
    pid_t pid = pid_of(domain, err);
    g_auto(Fd) process = pid > 0 ? (int) syscall(SYS_pidfd_open, pid, 0) : -1;
    if (pid > 0 && process < 0)
        nv_fail_errno(err, NV_ERR_AGENT, "cannot open QEMU's process");
    char *networks = process >= 0 ? monitor(domain, "info network", VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP, err) : NULL;
    pid_t now = networks ? pid_of(domain, err) : -1;
    if (now != pid && now > 0)
        nv_fail(err, NV_ERR_AGENT, "the guest was started anew meanwhile");
    if (now != pid || now < 0) {
        free(networks);
        return -1;
    }
    *ret_networks = networks;
    return g_steal_fd(&process);
}

static GArray *ends_of(virDomainPtr domain)
{
    char *xml = virDomainGetXMLDesc(domain, 0);
    GArray *ends = xml ? plug_ends(xml) : NULL;
    free(xml);
    return ends;
}

static bool has_end(virDomainPtr domain, const PlugEnd *end)
{
    g_autoptr(GArray) ends = ends_of(domain);
    for (guint i = 0; ends && i < ends->len; i++) {
        const PlugEnd *e = &g_array_index(ends, PlugEnd, i);
        if (strcmp(e->tap, end->tap) == 0 && strcmp(e->alias, end->alias) == 0)
            return true;
    }
    return false;
}

/* How long QEMU's answers take is QEMU's choice: libvirt is asked after the last of them whether the guest still has that interface. */
static bool plug_one(virDomainPtr domain, const char *id, int process, const char *networks, const PlugEnd *end, GError **err)
{
    int fd = plug_fd(networks, end->alias);
    bool joined = false;
    if (fd < 0)
        return nv_fail(err, NV_ERR_HOST_FAULT, "QEMU does not tell its end of tap %s", end->tap);
    int header = header_of(domain, end);
    if (!has_end(domain, end))
        return nv_fail(err, NV_ERR_AGENT, "tap %s was taken from the guest meanwhile", end->tap);
    if (!plug_join(process, fd, end, header, &joined, err))
        return false;
    if (joined)
        log_warn("domain.plugged", "id", id, "tap", end->tap, NULL);
    return true;
}

/* One that fails keeps no other waiting; err is the last one's. */
static bool plug(virDomainPtr domain, const Job *job, GError **err)
{
    char *networks = NULL;
    g_auto(Fd) process = open_process(domain, &networks, err);
    bool ok = process >= 0;
    for (guint i = 0; process >= 0 && i < job->ends->len; i++) {
        g_autoptr(GError) why = NULL;
        if (plug_one(domain, job->id, process, networks, &g_array_index(job->ends, PlugEnd, i), &why))
            continue;
        g_clear_error(err);
        g_propagate_error(err, g_steal_pointer(&why));
        ok = false;
    }
    free(networks);
    return ok;
}

/* A connection of its own: libvirtd serves only a few questions of one connection at once (max_client_requests), and one about a QEMU that does not
 * answer its monitor stays open until that QEMU ends. */
static bool plug_alone(const Job *job, bool *ret_alive, GError **err)
{
    g_autoptr(virConnect) conn = virConnectOpen(conf_str("compute.libvirt_uri"));
    g_autoptr(virDomain) domain = NULL;
    *ret_alive = false;
    if (!conn)
        return virt_fail(err, "connecting to libvirt");
    if (!virt_find(conn, job->id, &domain, err))
        return false;
    if (!domain)
        return nv_fail(err, NV_ERR_AGENT, "the guest is gone");
    bool ok = plug(domain, job, err);
    *ret_alive = ok || virDomainIsActive(domain) == 1;
    return ok;
}

/* A QEMU that does not answer its monitor keeps its thread: AT_ONCE of them keep those waiting that lost their taps too, and nobody else. */
static void run(gpointer data, gpointer unused)
{
    g_autoptr(Job) job = data;
    g_autoptr(GError) why = NULL;
    bool alive, ok = plug_alone(job, &alive, &why);
    (void) unused;
    g_mutex_lock(&lock);
    const char *before = g_hash_table_lookup(failed, job->id);
    bool again = !alive || (!ok && g_strcmp0(before, why->message) == 0);
    if (!ok && alive)
        g_hash_table_insert(failed, g_strdup(job->id), g_strdup(why->message));
    else
        g_hash_table_remove(failed, job->id);
    g_hash_table_remove(busy, job->id);
    g_mutex_unlock(&lock);
    if (!ok && !again)
        log_warn("domain.plug_failed", "id", job->id, "error", why->message, NULL);
}

/* ---- all domains ---- */

static bool is_starting(virDomainPtr domain)
{
    int state = VIR_DOMAIN_NOSTATE, reason = 0;
    return virDomainGetState(domain, &state, &reason, 0) < 0 || state == VIR_DOMAIN_SHUTOFF
        || (state == VIR_DOMAIN_PAUSED && reason == VIR_DOMAIN_PAUSED_STARTING_UP);
}

/* The domain's interfaces whose taps are among these; NULL: none. */
static GArray *ends_among(virDomainPtr domain, GHashTable *taps)
{
    g_autoptr(GArray) ends = ends_of(domain);
    for (guint i = ends ? ends->len : 0; i-- > 0;)
        if (!g_hash_table_contains(taps, g_array_index(ends, PlugEnd, i).tap))
            g_array_remove_index(ends, i);
    return ends && ends->len ? g_steal_pointer(&ends) : NULL;
}

/* True when the domain has such a tap. */
static bool look_at(virDomainPtr domain, GHashTable *taps, GHashTable *seen)
{
    g_autofree Job *job = g_new0(Job, 1);
    if (virDomainGetUUIDString(domain, job->id) < 0 || !domxml_is_ours(virDomainGetName(domain), job->id))
        return false;
    job->ends = ends_among(domain, taps);
    if (!job->ends)
        return false;
    g_hash_table_add(seen, g_strdup(job->id));
    g_mutex_lock(&lock);
    bool go = !is_starting(domain) && g_hash_table_add(busy, g_strdup(job->id));
    g_mutex_unlock(&lock);
    if (!go)
        return g_array_unref(job->ends), true;
    g_thread_pool_push(pool, g_steal_pointer(&job), NULL);
    return true;
}

static gboolean is_unseen(gpointer id, gpointer why, gpointer seen)
{
    (void) why;
    return !g_hash_table_contains(seen, id);
}

/* True when no domain that runs has one of the taps: as it is with guests that are shut off. */
static bool look(GHashTable *taps)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(virConnect) conn = g_hash_table_size(taps) ? virt_get(NULL) : NULL;
    virDomainPtr *domains = NULL;
    int n = conn ? virConnectListAllDomains(conn, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE) : -1;
    bool none = n >= 0;
    for (int i = 0; i < n; i++) {
        none = !look_at(domains[i], taps, seen) && none;
        virDomainFree(domains[i]);
    }
    free(domains);
    if (n < 0 && g_hash_table_size(taps))
        return false;
    g_mutex_lock(&lock);
    g_hash_table_foreach_remove(failed, is_unseen, seen);
    g_mutex_unlock(&lock);
    return none;
}

static GPtrArray *next_told(void)
{
    g_mutex_lock(&lock);
    while (!told)
        g_cond_wait(&news, &lock);
    GPtrArray *taps = g_steal_pointer(&told);
    g_mutex_unlock(&lock);
    return taps;
}

/* Nobody is asked again while the same taps are free and no domain has changed. */
static gpointer watch(gpointer data)
{
    g_autoptr(GHashTable) none = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    guint64 none_at = 0;
    gint64 anyway = 0;
    (void) data;
    for (;;) {
        g_autoptr(GPtrArray) list = next_told();
        g_autoptr(GHashTable) taps = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        guint64 changes = virt_changes();
        bool known = changes == none_at && clock_mono_us() < anyway;
        for (guint i = 0; i < list->len; i++) {
            known = known && g_hash_table_contains(none, list->pdata[i]);
            g_hash_table_add(taps, g_strdup(list->pdata[i]));
        }
        if ((known && list->len) || !look(taps))
            continue;
        g_hash_table_unref(none);
        none = g_steal_pointer(&taps);
        none_at = changes;
        anyway = clock_mono_us() + LOOK_ANYWAY_S * G_USEC_PER_SEC;
    }
    return NULL;
}

void virt_plug_start(void)
{
    busy = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    failed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    pool = g_thread_pool_new(run, NULL, AT_ONCE, FALSE, NULL);
    g_thread_unref(g_thread_new("plug-watch", watch, NULL));
}
