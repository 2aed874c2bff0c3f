/* network/agent/wanted.c -- remembers specs, finds what is missing of them in the kernel, and makes it again. */
#include "network/agent/wanted.h"
#include "core/log.h"
#include "network/agent/dhcp.h"
#include "network/agent/driver.h"
#include "network/agent/wiring.h"

static GMutex lock;
static GHashTable *networks, *ports;     /* n → spec; under lock */

static void (*on_free_taps)(GPtrArray *taps_stolen);

void wanted_on_free_taps(void (*fn)(GPtrArray *taps_stolen))
{
    on_free_taps = fn;
}

void wanted_start(void)
{
    networks = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify) spec_network_free);
    ports = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify) spec_port_free);
}

GMutex *wanted_lock(void)
{
    return &lock;
}

void wanted_network_put(NetworkSpec *spec_stolen)
{
    g_hash_table_replace(networks, spec_stolen->n.s, spec_stolen);
}

void wanted_network_drop(const char *n)
{
    g_hash_table_remove(networks, n);
}

void wanted_port_put(PortSpec *spec_stolen)
{
    g_hash_table_replace(ports, spec_stolen->n.s, spec_stolen);
}

void wanted_port_drop(const char *n)
{
    g_hash_table_remove(ports, n);
}

void wanted_reduce(GHashTable *found_networks, GHashTable *found_ports, GHashTable *taps)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    g_autoptr(GHashTable) links = wiring_links(NULL);
    GHashTableIter it;
    gpointer key, value;
    if (!links)
        return;
    g_hash_table_iter_init(&it, networks);
    while (g_hash_table_iter_next(&it, &key, &value))
        if (!wiring_network_complete(value, links))
            g_hash_table_remove(found_networks, key);
    g_hash_table_iter_init(&it, ports);
    while (g_hash_table_iter_next(&it, &key, &value))
        if (!g_hash_table_contains(taps, key) || !wiring_port_complete(value, links))
            g_hash_table_remove(found_ports, key);
    g_hash_table_iter_init(&it, taps);
    while (g_hash_table_iter_next(&it, &key, NULL))
        if (!g_hash_table_contains(ports, key))
            g_hash_table_add(found_ports, g_strdup(key));
}

static void note(const char *what, const char *id, GError *err)
{
    log_warn(err ? "net.repair_failed" : "net.repaired", "what", what, "id", id, "error", err ? err->message : NULL, NULL);
}

/* Only of those that are complete: who is joined to them is under their rules.  whole: all were found to be. */
static void tell_free_taps(GHashTable *links, bool whole)
{
    GPtrArray *taps = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter it;
    gpointer value;
    g_hash_table_iter_init(&it, ports);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        const PortSpec *p = value;
        const LinkInfo *tap = g_hash_table_lookup(links, p->tap.s);
        if (!*p->parent.s && tap && tap->up && !tap->carrier && (whole || wiring_port_complete(p, links)))
            g_ptr_array_add(taps, g_strdup(p->tap.s));
    }
    on_free_taps(taps);
}

guint wanted_repair(void)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    g_autoptr(GHashTable) links = wiring_links(NULL);
    GHashTableIter it;
    gpointer value;
    guint count = 0;
    if (!links)
        return 0;
    g_hash_table_iter_init(&it, networks);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        const NetworkSpec *n = value;
        g_autoptr(GError) err = NULL;
        if (wiring_network_complete(n, links)) {
            if (!driver()->segment_entries(n, &err))
                note("network", n->id, err);
            continue;
        }
        count++;
        if (wiring_network_ensure(n, &err) && n->has_dhcp && !dhcp_running(n))
            nv_fail(&err, NV_ERR_AGENT, "its dnsmasq has ended, and waits for its next start");
        note("network", n->id, err);
    }
    if (count) {
        /* A bridge made anew has another index. */
        g_hash_table_unref(links);
        links = wiring_links(NULL);
    }
    g_hash_table_iter_init(&it, ports);
    while (links && g_hash_table_iter_next(&it, NULL, &value)) {
        const PortSpec *p = value;
        g_autoptr(GError) err = NULL;
        if (wiring_port_complete(p, links))
            continue;
        count++;
        wiring_port_ensure(p, &err);
        note("port", p->id, err);
    }
    if (links && count) {
        g_hash_table_unref(links);
        links = wiring_links(NULL);
    }
    if (links && on_free_taps)
        tell_free_taps(links, !count);
    return count;
}
