/* network/agent/promise.c -- which port has which class at which interface; the queue is there while some port is promised something. */
#include "network/agent/promise.h"
#include "core/log.h"
#include "network/agent/driver.h"
#include <string.h>

enum { LEAST = 16 };                 /* the first number of a port's class */

/* interface is empty for what an earlier agent left, until the port is asked for again. */
typedef struct Promise { guint minor; char interface[16]; } Promise;
static GMutex lock;
static GHashTable *promises;         /* n → Promise; under lock */

gint64 promise_rate(const Physnet *p)
{
    g_autofree char *path = g_strdup_printf("/sys/class/net/%s/speed", p->interface), *text = NULL;
    if (p->egress_kbps || !g_file_get_contents(path, &text, NULL, NULL))
        return p->egress_kbps;
    gint64 mbit = g_ascii_strtoll(text, NULL, 10);
    return mbit > 0 && mbit <= G_MAXINT32 / 1000 ? mbit * 1000 : 0;
}

static void put(const char *n, guint minor, const char *interface)
{
    Promise *p = g_new0(Promise, 1);
    p->minor = minor;
    g_strlcpy(p->interface, interface, sizeof p->interface);
    g_hash_table_replace(promises, g_strdup(n), p);
}

/* Of another port, at this interface or at one that is not known yet. */
static bool is_taken(const char *n, const char *interface, guint minor)
{
    GHashTableIter it;
    gpointer key, value;
    g_hash_table_iter_init(&it, promises);
    while (g_hash_table_iter_next(&it, &key, &value)) {
        const Promise *p = value;
        if (p->minor == minor && strcmp(key, n) != 0 && (!*p->interface || strcmp(p->interface, interface) == 0))
            return true;
    }
    return false;
}

static guint minor_for(const char *n, const char *interface)
{
    const Promise *there = g_hash_table_lookup(promises, n);
    guint minor = there ? there->minor : LEAST;
    while (is_taken(n, interface, minor))
        minor = minor < LINK_CLASS_OTHERS - 1 ? minor + 1 : LEAST;
    return minor;
}

/* Classes that no port but n has, and the queue itself when there are no others. */
static bool sweep(const char *n, const char *interface, GError **err)
{
    g_autoptr(GArray) classes = link_classes(interface, err);
    guint left = 0;
    for (guint i = 0; classes && i < classes->len; i++) {
        guint minor = g_array_index(classes, LinkClass, i).minor;
        if (minor < LEAST || minor == LINK_CLASS_OTHERS)
            continue;
        if (is_taken(n, interface, minor))
            left++;
        else if (!link_class_absent(interface, minor, err))
            return false;
    }
    return classes && (left || link_classes_absent(interface, err));
}

void promise_start(void)
{
    g_autoptr(GArray) taps = NULL, physical = physnets_conf();
    promises = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    taps = physical->len ? link_list("nvt", NULL) : NULL;
    for (guint i = 0; taps && i < taps->len; i++) {
        const LinkInfo *tap = &g_array_index(taps, LinkInfo, i);
        guint minor = link_classed_as(tap->index);
        if (minor)
            put(tap->name + strlen("nvt"), minor, "");
    }
    /* Classes of ports that went while nobody looked. */
    for (guint i = 0; i < physical->len; i++) {
        const char *interface = g_array_index(physical, Physnet, i).interface;
        g_autoptr(GError) why = NULL;
        LinkInfo info;
        if (*interface && link_get(interface, &info, NULL) && !sweep("", interface, &why))
            log_warn("promise.sweep", "interface", interface, "error", why->message, NULL);
    }
}

static bool drop(const char *n, GError **err)
{
    g_autofree char *tap = g_strdup_printf("nvt%s", n);
    g_autoptr(GArray) physical = physnets_conf();
    LinkInfo info;
    if (link_get(tap, &info, NULL) && !link_unclass(tap, err))
        return false;
    for (guint i = 0; i < physical->len; i++) {
        const char *interface = g_array_index(physical, Physnet, i).interface;
        if (*interface && link_get(interface, &info, NULL) && !sweep(n, interface, err))
            return false;
    }
    g_hash_table_remove(promises, n);            /* last: who tries again after a failure has to find it */
    return true;
}

static bool interface_of(const PortSpec *p, Physnet *ret, GError **err)
{
    g_autoptr(GArray) physical = physnets_conf();
    const Physnet *net = physnet_find(physical, p->physical);
    if (strcmp(driver()->name, driver_bridge.name) != 0)
        return nv_fail(err, NV_ERR_HOST_FAULT, "the Open vSwitch driver does not do minimum bandwidth");
    if (!net || !*net->interface)
        return nv_fail(err, NV_ERR_HOST_FAULT, "this host is not on the physical network %s: network.physical names no interface for it",
                       p->physical);
    *ret = *net;
    return true;
}

/* The class first: frames that name one which is not there go with the others. */
static bool make(const PortSpec *p, GError **err)
{
    Physnet net;
    if (!interface_of(p, &net, err))
        return false;
    guint minor = minor_for(p->n.s, net.interface);
    gint64 rate = promise_rate(&net);
    const Promise *there = g_hash_table_lookup(promises, p->n.s);
    bool fresh = !there || strcmp(there->interface, net.interface) != 0;
    put(p->n.s, minor, net.interface);           /* first: what a failure leaves goes with the port */
    if (!link_classes_ensure(net.interface, rate, err) || !link_class_ensure(net.interface, minor, p->qos.egress.min_kbps, rate, err) ||
        !link_class(p->tap.s, minor, err))
        return false;
    return !fresh || sweep("", net.interface, err);
}

bool promise_ensure(const PortSpec *p, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    if (p->qos.egress.min_kbps)
        return make(p, err);
    return !g_hash_table_contains(promises, p->n.s) || drop(p->n.s, err);
}

bool promise_absent(const char *n, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    return !g_hash_table_contains(promises, n) || drop(n, err);
}

static bool has_class(const GArray *classes, guint minor, gint64 kbps)
{
    for (guint i = 0; i < classes->len; i++) {
        const LinkClass *c = &g_array_index(classes, LinkClass, i);
        if (c->minor == minor && (!kbps || c->rate == (guint64) kbps * 1000 / 8))
            return true;
    }
    return false;
}

bool promise_complete(const PortSpec *p, GHashTable *links)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    const Promise *there = g_hash_table_lookup(promises, p->n.s);
    const LinkInfo *tap = g_hash_table_lookup(links, p->tap.s);
    if (!there || !p->qos.egress.min_kbps)
        return !there && !p->qos.egress.min_kbps;
    g_autoptr(GArray) classes = *there->interface ? link_classes(there->interface, NULL) : NULL;
    return classes && tap && tap->diverts && link_classed_as(tap->index) == there->minor && has_class(classes, LINK_CLASS_OTHERS, 0) &&
           has_class(classes, there->minor, p->qos.egress.min_kbps);
}
