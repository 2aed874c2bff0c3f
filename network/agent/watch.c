/* network/agent/watch.c -- listens to the kernel's nftables events; compares links, namespaces and daemons every few seconds. */
#include "network/agent/watch.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/verb.h"
#include "network/agent/dhcp.h"
#include "network/agent/driver.h"
#include "network/agent/nft_apply.h"
#include "network/agent/nft_events.h"
#include "network/agent/wanted.h"
#include "network/agent/wiring.h"
#include <poll.h>
#include <sys/resource.h>

enum { LOOK_US = 3 * G_USEC_PER_SEC };

/* False: the taps stay down; closed, and tried again at the next look. */
static bool rebuild(void)
{
    g_autoptr(GError) err = NULL;
    wiring_close();
    log_warn("net.rules_changed_by_others", "action", "rebuilding", NULL);
    verb_event("net.damaged", json_make("s", "what", "rules"));
    if (!driver()->rebuild(&err)) {
        wiring_close();              /* what an operation raised between the first time and the driver's knowing of the damage */
        log_error("net.rebuild_failed", "error", err->message, NULL);
        return false;
    }
    wanted_repair();
    return true;
}

static bool base_is_there(void)
{
    g_autoptr(json_t) bridge = nft_list("list map bridge nuvolet ports", NULL);
    g_autoptr(json_t) inet = bridge ? nft_list("list map inet nuvolet zones", NULL) : NULL;
    return inet != NULL;
}

static gpointer watch(gpointer data)
{
    NftEvents *events = data;
    /* Each millisecond between a change by others and closing the taps counts. */
    setpriority(PRIO_PROCESS, 0, -15);
    gint64 look_at = clock_mono_us() + LOOK_US;
    bool damaged = false;
    for (;;) {
        struct pollfd p = { .fd = events->fd, .events = POLLIN };
        int n = poll(&p, 1, (int) MAX(look_at - clock_mono_us(), 0) / 1000 + 1);
        bool foreign = n > 0 && nft_events_drain(events), due = clock_mono_us() >= look_at;
        if (foreign || (due && (damaged || !base_is_there())))
            damaged = !rebuild();
        else if (due) {
            driver()->look();
            wanted_repair();
        }
        if (due)
            dhcp_trim_logs();
        if (due)
            look_at = clock_mono_us() + LOOK_US;
    }
    return NULL;
}

bool watch_start(GError **err)
{
    NftEvents events;
    if (!nft_events_open(&events, err))
        return false;
    g_thread_unref(g_thread_new("net-watch", watch, g_memdup2(&events, sizeof events)));
    return true;
}
