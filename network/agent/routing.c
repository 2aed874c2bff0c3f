/* network/agent/routing.c -- a router's namespace and links from its spec: rules first, links up last; kept that way. */
#include "network/agent/routing.h"
#include "core/log.h"
#include "network/agent/driver.h"
#include "network/agent/link.h"
#include "network/agent/netns.h"
#include "network/agent/nft_apply.h"
#include "network/agent/nft_router.h"
#include "network/agent/ra.h"
#include "network/agent/router_inside.h"
#include "network/agent/router_watch.h"
#include "network/agent/sysctl.h"
#include "network/agent/wiring.h"
#include <string.h>
#include <unistd.h>

/* A router that was asked for; under lock. */
typedef struct Router {
    RouterSpec *spec;
    char *rules;                     /* digest of the text in force, NULL: not known */
    guint64 inode;                   /* of the namespace it is in force in */
    bool failed;                     /* it could not be made complete */
    bool changed;                    /* something in the namespace was changed, perhaps by us: look inside */
    bool unforgotten;                /* connections are still to be forgotten */
    bool again;                      /* addresses are announced once more at the next look */
} Router;

static GMutex lock;
static GHashTable *routers;          /* n → Router */

static void router_free(gpointer data)
{
    Router *s = data;
    router_spec_free(s->spec);
    g_free(s->rules);
    g_free(s);
}

static const RouterPort *port_find(const RouterSpec *r, const char *n)
{
    for (guint i = 0; r && i < r->ports->len; i++)
        if (strcmp(((const RouterPort *) r->ports->pdata[i])->n.s, n) == 0)
            return r->ports->pdata[i];
    return NULL;
}

/* --- steps --- */

static bool bridges_are_there(const RouterSpec *r, GError **err)
{
    LinkInfo bridge;
    for (guint i = 0; i < r->ports->len; i++) {
        const RouterPort *p = r->ports->pdata[i];
        if (!link_get(p->bridge.s, &bridge, NULL))
            return nv_fail(err, NV_ERR_AGENT, "network %s is not on this host yet", p->network.s);
    }
    return true;
}

/* What is to be done inside; links gets the LinkInfo of those that are there. */
typedef struct Inside { const char *n; guint64 inode; bool fresh, again, forget, prepared; const RouterSpec *spec; GArray *links; } Inside;

static bool enter(void *data, GError **err)
{
    Inside *in = data;
    if ((in->fresh && !router_watch_open(in->n, in->inode, err)) || !router_inside_prepare(in->spec, err))
        return false;
    in->prepared = router_inside_prepared(in->spec);
    in->links = router_inside_links(err);
    return in->links != NULL;
}

static bool settle_inside(void *data, GError **err)
{
    const Inside *in = data;
    return (!in->forget || router_inside_forget(in->spec, err)) && router_inside_settle(in->spec, in->again, err);
}

static bool rules_ensure(Router *s, const RouterSpec *r, guint64 inode, GError **err)
{
    g_autoptr(GString) text = g_string_new(NULL);
    nft_router_build(text, r, false);
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text->str, (gssize) text->len);
    if (s->inode == inode && g_strcmp0(s->rules, digest) == 0)
        return true;
    g_clear_pointer(&s->rules, g_free);
    if (!nft_apply_in(r->netns.s, text->str, NULL)) {
        /* A table of another shape is there. */
        g_string_truncate(text, 0);
        nft_router_build(text, r, true);
        if (!nft_apply_in(r->netns.s, text->str, err))
            return false;
    }
    s->rules = g_steal_pointer(&digest);
    return true;
}

static bool has_link(const GArray *inside, const RouterPort *p)
{
    guint8 mac[6];
    for (guint i = 0; i < inside->len; i++) {
        const LinkInfo *info = &g_array_index(inside, LinkInfo, i);
        if (strcmp(info->name, p->inner.s) == 0)
            return mac_parse(p->mac, mac) && memcmp(mac, info->mac, sizeof mac) == 0;
    }
    return false;
}

static bool remove_link(const char *n, GError **err)
{
    g_autofree char *name = g_strdup_printf("nvr%s", n);
    return driver()->link_leave(name, err) && link_absent(name, err);
}

/* Links that the spec does not have, found inside or known from before. */
static bool strays_absent(const RouterSpec *old, const RouterSpec *r, const GArray *inside, GError **err)
{
    for (guint i = 0; inside && i < inside->len; i++) {
        const char *n = g_array_index(inside, LinkInfo, i).name + strlen("nvp");
        if (!port_find(r, n) && !remove_link(n, err))
            return false;
    }
    for (guint i = 0; old && i < old->ports->len; i++) {
        const RouterPort *p = old->ports->pdata[i];
        if (!port_find(r, p->n.s) && !remove_link(p->n.s, err))
            return false;
    }
    return true;
}

static bool link_ensure(const RouterSpec *r, const RouterPort *p, const GArray *inside, GError **err)
{
    LinkInfo host;
    if (!has_link(inside, p) || !link_get(p->link.s, &host, NULL)) {
        int fd = netns_open(r->netns.s, err);
        bool made = fd >= 0 && link_veth_make(p->link.s, p->inner.s, p->mac, p->mtu, fd, err);
        if (fd >= 0)
            close(fd);
        if (!made)
            return false;
    }
    sysctl_silence(p->link.s);
    return link_mtu(p->link.s, p->mtu, err) && driver()->link_join(p->link.s, p->bridge.s, p->mac, err) && link_up(p->link.s, r->up, err);
}

/* With the lock held.  s: what is known from before, and noted. */
static bool settle(Router *s, const RouterSpec *r, GError **err)
{
    bool found = netns_exists(r->netns.s);
    s->failed = true;
    if (!bridges_are_there(r, err) || !netns_ensure(r->netns.s, err))
        return false;
    Inside in = { .n = r->n.s, .inode = netns_inode(r->netns.s), .spec = r, .again = s->again };
    in.fresh = in.inode != s->inode;
    /* An attempt that failed may have been before this step. */
    in.forget = found && (in.fresh || s->unforgotten || router_inside_must_forget(s->spec, r));
    s->unforgotten = in.forget;
    /* Guests are told while the link is there. */
    g_autoptr(GPtrArray) advertised = ra_ports(in.fresh ? NULL : r);
    ra_reduce(r->netns.s, advertised);
    bool ok = netns_run(r->netns.s, enter, &in, err) && rules_ensure(s, r, in.inode, err) &&
              (in.prepared || nv_fail(err, NV_ERR_HOST_FAULT, "router %s: the kernel does not take its settings under /proc/sys/net", r->id)) &&
              strays_absent(s->spec, r, in.links, err);
    if (ok)
        s->inode = in.inode;
    for (guint i = 0; ok && i < r->ports->len; i++)
        ok = link_ensure(r, r->ports->pdata[i], in.links, err);
    ok = ok && netns_run(r->netns.s, settle_inside, &in, err);
    if (ok)
        s->unforgotten = false;
    if (in.links)
        g_array_unref(in.links);
    s->failed = !ok;
    return ok;
}

bool routing_ensure(RouterSpec *spec_stolen, GError **err)
{
    g_autoptr(RouterSpec) spec = spec_stolen;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    Router *s = g_hash_table_lookup(routers, spec->n.s);
    if (!s)
        s = g_new0(Router, 1);
    bool ok = settle(s, spec, err);
    /* Asked for is asked for: what could not be done now is tried again at the next look. */
    g_autoptr(RouterSpec) old = s->spec;
    s->spec = g_steal_pointer(&spec);
    s->again = true;
    g_hash_table_steal(routers, s->spec->n.s);
    g_hash_table_insert(routers, s->spec->n.s, s);
    return ok;
}

static bool list_inside(void *data, GError **err)
{
    Inside *in = data;
    in->links = router_inside_links(err);
    return in->links != NULL;
}

bool routing_absent(const char *n, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    g_autofree char *netns = g_strdup_printf("nvrouter-%s", n);
    const Router *s = g_hash_table_lookup(routers, n);
    Inside in = { 0 };
    ra_reduce(netns, NULL);
    bool ok = (!netns_exists(netns) || netns_run(netns, list_inside, &in, err)) && strays_absent(s ? s->spec : NULL, NULL, in.links, err);
    if (in.links)
        g_array_unref(in.links);
    if (!ok)
        return false;
    router_watch_close(n);
    g_hash_table_remove(routers, n);
    return netns_absent(netns, err);
}

/* --- what is there --- */

static bool look_inside(void *data, GError **err)
{
    (void) err;
    return router_inside_prepared(data);
}

static bool is_complete(const Router *s, GHashTable *links)
{
    if (s->failed || !s->inode || netns_inode(s->spec->netns.s) != s->inode)
        return false;
    for (guint i = 0; i < s->spec->ports->len; i++) {
        const RouterPort *p = s->spec->ports->pdata[i];
        const LinkInfo *link = g_hash_table_lookup(links, p->link.s), *bridge = g_hash_table_lookup(links, p->bridge.s);
        if (!link || !bridge || link->master != bridge->index || link->up != s->spec->up || !driver()->link_joined(link, p->mac) ||
            !sysctl_silent(p->link.s))
            return false;
    }
    return netns_run(s->spec->netns.s, look_inside, s->spec, NULL);
}

void routing_list(GHashTable *names)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    g_autoptr(GPtrArray) there = netns_list("nvrouter-");
    g_autoptr(GHashTable) links = wiring_links(NULL);
    for (guint i = 0; i < there->len; i++) {
        const char *n = (const char *) there->pdata[i] + strlen("nvrouter-");
        const Router *s = g_hash_table_lookup(routers, n);
        if (!s || (links && is_complete(s, links)))
            g_hash_table_add(names, g_strdup(n));
    }
}

void routing_repair(void)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    g_autoptr(GHashTable) links = g_hash_table_size(routers) ? wiring_links(NULL) : NULL;
    GHashTableIter it;
    gpointer value;
    g_hash_table_iter_init(&it, routers);
    while (links && g_hash_table_iter_next(&it, NULL, &value)) {
        Router *s = value;
        g_autoptr(GError) err = NULL;
        bool complete = is_complete(s, links), failed = s->failed;
        if (complete && !s->again && !s->changed)
            continue;
        s->changed = false;
        bool ok = settle(s, s->spec, &err);
        s->again = false;
        if (!complete && (ok || !failed))
            log_warn(ok ? "net.repaired" : "net.repair_failed", "what", "router", "id", s->spec->id, "error", err ? err->message : NULL, NULL);
    }
}

/* Called by the thread that reads the namespaces' events. */
static void on_change(const char *n, RouterChange change)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    Router *s = g_hash_table_lookup(routers, n);
    g_autoptr(GError) err = NULL;
    if (!s)
        return;
    s->changed = true;
    if (change != ROUTER_RULES)
        return;
    g_clear_pointer(&s->rules, g_free);
    bool ok = settle(s, s->spec, &err);
    log_warn("net.rules_changed_by_others", "router", s->spec->id, "action", ok ? "rebuilt" : "failed", "error", err ? err->message : NULL, NULL);
}

bool routing_start(GError **err)
{
    routers = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, router_free);
    return ra_start(err) && router_watch_start(on_change, routing_repair, err);
}
