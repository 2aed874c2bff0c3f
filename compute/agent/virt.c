/* compute/agent/virt.c -- the connection to libvirt: kept open by a thread of its own; its events told to the controller. */
#include "compute/agent/virt.h"
#include "compute/agent/domxml.h"
#include "compute/agent/internal.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/error.h"
#include "core/log.h"
#include "core/verb.h"
#include <libvirt/virterror.h>
#include <string.h>

enum {
    PING_S = 5, STUCK_S = 10,                 /* a libvirtd that has not answered the keeper for so long is not asked by others */
    WAIT_S = 3,                               /* how long a verb waits for a connection */
    RETRY_FIRST_MS = 100, RETRY_MAX_MS = 2000,
    LOOK_SOON = 15,                           /* seconds after a connection: a libvirtd that starts is quiet about guests that end meanwhile */
    LOOK_EVERY = 6,                           /* pings; in case an event got lost */
};

static GMutex telling;                        /* states are told in the order they are noted; taken before lock */

static GMutex lock;                           /* guards what follows */
static GCond changed;
static virConnectPtr current;                 /* NULL: away */
static bool lost;                             /* current is dead; the keeper replaces it */
static guint64 changes;                       /* counts domain events */
static gint64 asked_at;                       /* when the keeper asked what is not answered yet; 0: nothing */
static GHashTable *told;                      /* id → state (literal) last told or seen */

bool virt_is_test(void)
{
    return g_str_has_prefix(conf_str("compute.libvirt_uri"), "test:");
}

/* ---- errors ---- */

static void ignore_error(void *data, virErrorPtr error)
{
    (void) data;                              /* libvirt would print it; we report it where it is met */
    (void) error;
}

static bool is_away(const virError *e)
{
    return e->code == VIR_ERR_NO_CONNECT || e->code == VIR_ERR_INVALID_CONN || e->code == VIR_ERR_RPC || e->code == VIR_ERR_AUTH_FAILED ||
           (e->domain == VIR_FROM_RPC && (e->code == VIR_ERR_INTERNAL_ERROR || e->code == VIR_ERR_SYSTEM_ERROR));
}

bool virt_fail(GError **err, const char *doing)
{
    const virError *e = virGetLastError();
    if (!e || e->code == VIR_ERR_OK)
        return nv_fail(err, NV_ERR_INTERNAL, "%s: libvirt gave no reason", doing);
    g_autofree char *why = g_strdup(e->message);     /* the next call into libvirt may clear it */
    if (is_away(e)) {
        g_mutex_lock(&lock);
        if (current && virConnectIsAlive(current) == 0) {
            lost = true;
            g_cond_broadcast(&changed);
        }
        g_mutex_unlock(&lock);
        return nv_fail(err, NV_ERR_AGENT, "%s: libvirt is away: %s", doing, why);
    }
    bool busy = e->code == VIR_ERR_OPERATION_TIMEOUT || e->code == VIR_ERR_RESOURCE_BUSY || e->code == VIR_ERR_AGENT_UNRESPONSIVE;
    bool full = why && strstr(why, "No space left on device");
    return nv_fail(err, full ? NV_ERR_NO_SPACE : busy ? NV_ERR_AGENT : NV_ERR_HOST_FAULT, "%s: %s", doing, why);
}

/* ---- states and events ---- */

typedef struct Change { int what, detail; const char *state, *reason; } Change;
/* clang-format off */
/* detail -1: any; the first fitting row counts.  What is not here changes no state that a controller keeps. */
static const Change lifecycle[] = {
    { VIR_DOMAIN_EVENT_STARTED,     -1,                                  "running", "started" },
    { VIR_DOMAIN_EVENT_RESUMED,     -1,                                  "running", "started" },
    { VIR_DOMAIN_EVENT_SUSPENDED,   VIR_DOMAIN_EVENT_SUSPENDED_IOERROR,  "paused",  "an error of its disk" },
    { VIR_DOMAIN_EVENT_SUSPENDED,   -1,                                  "paused",  "paused" },
    { VIR_DOMAIN_EVENT_PMSUSPENDED, -1,                                  "paused",  "suspended by the guest" },
    { VIR_DOMAIN_EVENT_STOPPED,     VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN,   "shutoff", "shut down" },
    { VIR_DOMAIN_EVENT_STOPPED,     VIR_DOMAIN_EVENT_STOPPED_CRASHED,    "crashed", "the guest crashed" },
    { VIR_DOMAIN_EVENT_STOPPED,     VIR_DOMAIN_EVENT_STOPPED_FAILED,     "crashed", "QEMU ended unexpectedly" },
    { VIR_DOMAIN_EVENT_STOPPED,     -1,                                  "shutoff", "destroyed" },
    { VIR_DOMAIN_EVENT_CRASHED,     -1,                                  "crashed", "the guest crashed" },
};
/* States as libvirt keeps them; reason -1: any. */
static const struct { int state, reason; const char *name; } states[] = {
    { VIR_DOMAIN_RUNNING,     -1, "running" },
    { VIR_DOMAIN_BLOCKED,     -1, "running" },
    { VIR_DOMAIN_SHUTDOWN,    -1, "running" },
    { VIR_DOMAIN_PAUSED,      VIR_DOMAIN_PAUSED_STARTING_UP, "running" },   /* QEMU is there, its processors start in a moment */
    { VIR_DOMAIN_PAUSED,      -1, "paused" },
    { VIR_DOMAIN_PMSUSPENDED, -1, "paused" },
    { VIR_DOMAIN_CRASHED,     -1, "crashed" },
    { VIR_DOMAIN_SHUTOFF,     VIR_DOMAIN_SHUTOFF_CRASHED, "crashed" },
    { VIR_DOMAIN_SHUTOFF,     VIR_DOMAIN_SHUTOFF_DAEMON,  "crashed" },      /* it died while libvirtd was away */
};
/* clang-format on */

static const char *state_name(int state, int reason)
{
    for (size_t i = 0; i < G_N_ELEMENTS(states); i++)
        if (states[i].state == state && (states[i].reason == -1 || states[i].reason == reason))
            return states[i].name;
    return "shutoff";
}

const char *virt_state(virDomainPtr domain, GError **err)
{
    int state, reason;
    if (virDomainGetState(domain, &state, &reason, 0) < 0)
        return virt_fail(err, "reading the state of a domain"), NULL;
    return state_name(state, reason);
}

/* True when that is news. */
static bool note_state(const char *id, const char *state)
{
    g_mutex_lock(&lock);
    const char *before = g_hash_table_lookup(told, id);
    bool news = !before || strcmp(before, state) != 0;
    if (news)
        g_hash_table_insert(told, g_strdup(id), (gpointer) state);
    g_mutex_unlock(&lock);
    return news;
}

static void note_change(void)
{
    g_mutex_lock(&lock);
    changes++;
    g_cond_broadcast(&changed);
    g_mutex_unlock(&lock);
}

static void forget_state(const char *id)
{
    g_mutex_lock(&lock);
    g_hash_table_remove(told, id);
    g_mutex_unlock(&lock);
}

static void tell(const char *id, const char *state, const char *reason)
{
    if (!note_state(id, state))
        return;
    log_info("domain.event", "id", id, "state", state, "reason", reason, NULL);
    verb_event("domain", json_make("sss", "id", id, "state", state, "reason", reason));
}

/* On the event loop's thread. */
static int on_lifecycle(virConnectPtr conn, virDomainPtr domain, int what, int detail, void *data)
{
    char id[VIR_UUID_STRING_BUFLEN];
    (void) conn;
    (void) data;
    if (virDomainGetUUIDString(domain, id) < 0 || !domxml_is_ours(virDomainGetName(domain), id))
        return 0;
    g_mutex_lock(&telling);
    if (what == VIR_DOMAIN_EVENT_UNDEFINED)
        forget_state(id);
    for (size_t i = 0; i < G_N_ELEMENTS(lifecycle); i++) {
        if (lifecycle[i].what != what || (lifecycle[i].detail != -1 && lifecycle[i].detail != detail))
            continue;
        tell(id, lifecycle[i].state, lifecycle[i].reason);
        break;
    }
    note_change();
    g_mutex_unlock(&telling);
    return 0;
}

guint64 virt_changes(void)
{
    g_mutex_lock(&lock);
    guint64 n = changes;
    g_mutex_unlock(&lock);
    return n;
}

/* ---- domains ---- */

bool virt_find(virConnectPtr conn, const char *id, virDomainPtr *ret_domain, GError **err)
{
    *ret_domain = NULL;
    g_autoptr(virDomain) domain = virDomainLookupByUUIDString(conn, id);
    if (!domain && virGetLastErrorCode() == VIR_ERR_NO_DOMAIN)
        return true;
    if (!domain)
        return virt_fail(err, "looking for a domain");
    if (!domxml_is_ours(virDomainGetName(domain), id))
        return nv_fail(err, NV_ERR_HOST_FAULT, "libvirt has a domain %s with this server's id, which Nuvolet did not make", virDomainGetName(domain));
    *ret_domain = g_steal_pointer(&domain);
    return true;
}

bool virt_each(virConnectPtr conn, VirtEach *fn, void *data, GError **err)
{
    virDomainPtr *domains = NULL;
    int n = virConnectListAllDomains(conn, &domains, 0);
    if (n < 0)
        return virt_fail(err, "listing domains");
    bool ok = true;
    for (int i = 0; i < n; i++) {
        char id[VIR_UUID_STRING_BUFLEN];
        g_autoptr(GError) why = NULL;
        if (ok && virDomainGetUUIDString(domains[i], id) == 0 && domxml_is_ours(virDomainGetName(domains[i]), id)) {
            const char *state = virt_state(domains[i], &why);
            if (state)
                fn(id, state, data);
            else if (virGetLastErrorCode() != VIR_ERR_NO_DOMAIN) {      /* it may have gone since the list was made */
                g_propagate_error(err, g_steal_pointer(&why));
                ok = false;
            }
        }
        virDomainFree(domains[i]);
    }
    free(domains);
    return ok;
}

/* ---- the keeper ---- */

static void on_close(virConnectPtr conn, int reason, void *data)
{
    (void) reason;
    (void) data;
    g_mutex_lock(&lock);
    if (conn == current || !current) {
        lost = true;
        g_cond_broadcast(&changed);
    }
    g_mutex_unlock(&lock);
}

static virConnectPtr open_connection(void)
{
    g_autoptr(virConnect) conn = virConnectOpen(conf_str("compute.libvirt_uri"));
    if (!conn)
        return NULL;
    /* libvirt's own keepalive is not used: when it runs out while another thread waits for an answer, that thread crashes (9.0).
     * The test driver has no such callback; it cannot go away either. */
    if (virConnectRegisterCloseCallback(conn, on_close, NULL, NULL) < 0)
        virResetLastError();
    if (virConnectDomainEventRegisterAny(conn, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), NULL, NULL) < 0)
        return NULL;
    return g_steal_pointer(&conn);
}

static void collect(const char *id, const char *state, void *found)
{
    g_hash_table_insert(found, g_strdup(id), (gpointer) state);
}

/* Compares what was told with what is.  At the first time the controller asks by itself: nothing is told. */
static void look(virConnectPtr conn, bool first)
{
    g_autoptr(GHashTable) found = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GError) error = NULL;
    guint64 before = virt_changes();
    if (!virt_each(conn, collect, found, &error)) {
        log_warn("virt.list_failed", "error", error->message, NULL);
        return;
    }
    g_mutex_lock(&telling);
    GHashTableIter iter;
    gpointer id, state;
    g_hash_table_iter_init(&iter, found);
    /* An event since then knows better than the list. */
    while (virt_changes() == before && g_hash_table_iter_next(&iter, &id, &state)) {
        if (first)
            note_state(id, state);
        else
            tell(id, state, "found so by the agent");
    }
    g_mutex_unlock(&telling);
}

static void note_asked(gint64 when)
{
    g_mutex_lock(&lock);
    asked_at = when;
    g_mutex_unlock(&lock);
}

/* The n-th question on this connection: the list, or just a sign of life. */
static void ask(virConnectPtr conn, int n, bool first)
{
    unsigned long version;
    note_asked(clock_mono_us());
    if (n <= LOOK_SOON || n % LOOK_EVERY == 0)
        look(conn, first && n == 0);
    else if (virConnectGetLibVersion(conn, &version) < 0)
        virResetLastError();                  /* a lost connection is noticed by the caller */
    note_asked(0);
}

/* Until the connection is lost. */
static void keep(virConnectPtr conn, bool first)
{
    g_mutex_lock(&lock);
    lost = false;
    current = conn;
    g_cond_broadcast(&changed);
    g_mutex_unlock(&lock);
    log_info("virt.connected", "uri", conf_str("compute.libvirt_uri"), NULL);
    bool gone = false;
    for (int n = 0; !gone; n++) {
        ask(conn, n, first);
        gint64 next = clock_mono_us() + (n < LOOK_SOON ? 1 : PING_S) * G_USEC_PER_SEC;
        g_mutex_lock(&lock);
        while (!(gone = lost || virConnectIsAlive(conn) == 0) && g_cond_wait_until(&changed, &lock, next))
            ;
        if (gone)
            current = NULL;
        g_mutex_unlock(&lock);
    }
    log_warn("virt.lost", "uri", conf_str("compute.libvirt_uri"), NULL);
    virConnectUnregisterCloseCallback(conn, on_close);
    virConnectClose(conn);
}

static gpointer keeper(gpointer data)
{
    bool first = true;
    gint64 pause_ms = RETRY_FIRST_MS;
    (void) data;
    for (;;) {
        virConnectPtr conn = open_connection();
        if (conn) {
            keep(conn, first);
            first = false;
            pause_ms = RETRY_FIRST_MS;
            continue;
        }
        if (pause_ms == RETRY_FIRST_MS)
            log_warn("virt.away", "uri", conf_str("compute.libvirt_uri"), "error", virGetLastErrorMessage(), NULL);
        g_usleep((gulong) pause_ms * 1000);
        pause_ms = MIN(pause_ms * 2, RETRY_MAX_MS);
    }
    return NULL;
}

static gpointer event_loop(gpointer data)
{
    (void) data;
    for (;;)
        if (virEventRunDefaultImpl() < 0) {
            log_error("virt.event_loop", "error", virGetLastErrorMessage(), NULL);
            g_usleep(G_USEC_PER_SEC);
        }
    return NULL;
}

static void on_timeout(int timer, void *data)
{
    (void) timer;
    (void) data;
}

bool virt_start(GError **err)
{
    if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0)
        return virt_fail(err, "starting libvirt's client");
    virSetErrorFunc(NULL, ignore_error);
    told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    /* The loop must have something to wait for before the first connection. */
    virEventAddTimeout(60 * 1000, on_timeout, NULL, NULL);
    g_thread_unref(g_thread_new("virt-events", event_loop, NULL));
    g_thread_unref(g_thread_new("virt-keeper", keeper, NULL));
    return true;
}

virConnectPtr virt_get(GError **err)
{
    gint64 deadline = clock_mono_us() + WAIT_S * G_USEC_PER_SEC;
    g_mutex_lock(&lock);
    while ((!current || lost) && g_cond_wait_until(&changed, &lock, deadline))
        ;
    bool stuck = asked_at && clock_mono_us() - asked_at > STUCK_S * G_USEC_PER_SEC;
    virConnectPtr conn = current && !lost && !stuck ? current : NULL;
    if (conn)
        virConnectRef(conn);
    g_mutex_unlock(&lock);
    if (!conn)
        nv_fail(err, NV_ERR_AGENT, "libvirt does not answer at %s", conf_str("compute.libvirt_uri"));
    return conn;
}

static char *version_text(unsigned long v)
{
    return g_strdup_printf("%lu.%lu.%lu", v / 1000000, v / 1000 % 1000, v % 1000);
}

bool virt_versions(char **ret_hypervisor, char **ret_libvirt, GError **err)
{
    unsigned long hypervisor = 0, library = 0;
    g_autoptr(virConnect) conn = virt_get(err);
    if (!conn)
        return false;
    if (virConnectGetVersion(conn, &hypervisor) < 0 || virConnectGetLibVersion(conn, &library) < 0)
        return virt_fail(err, "asking for versions");
    *ret_hypervisor = version_text(hypervisor);
    *ret_libvirt = version_text(library);
    return true;
}
