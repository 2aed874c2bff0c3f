/* network/agent/shape.c -- a port's limits as token buckets: at its tap for what it receives, behind a diversion for what it sends. */
#include "network/agent/shape.h"
#include "network/agent/driver.h"
#include "network/agent/sysctl.h"
#include <net/if.h>

enum { LEAST_BURST = 32 << 10, LEAST_QUEUE = 32 << 10, MOST = 1 << 30 };

/* Without a burst of its own a limit lets a tenth of a second pass at once; what waits is sent within another twentieth.  A burst smaller than
 * two frames would stop everything. */
Bucket shape_bucket(const Limits *l, gint64 mtu)
{
    gint64 rate = l->kbps * 1000 / 8, burst = l->burst_kb ? l->burst_kb * 1000 / 8 : MAX(rate / 10, LEAST_BURST);
    if (!l->kbps)
        return (Bucket){ 0 };
    burst = CLAMP(burst, 2 * (mtu + 18), MOST);
    return (Bucket){ (guint64) MAX(rate, 1), (guint32) burst, (guint32) (burst + CLAMP(rate / 20, LEAST_QUEUE, MOST)) };
}

static Bucket sent(const PortSpec *p)
{
    return driver()->limits_sent() ? (Bucket){ 0 } : shape_bucket(&p->qos.egress, p->mtu);
}

bool shape_ensure(const PortSpec *p, GError **err)
{
    Bucket in = shape_bucket(&p->qos.ingress, p->mtu), out = sent(p);
    IfName shaper = id_shaper(p->id);
    LinkInfo tap;
    /* Most ports: each question to the kernel's routing waits for whoever else asks it something. */
    if (!in.rate && !out.rate && !if_nametoindex(shaper.s) && link_get(p->tap.s, &tap, NULL) && !tap.limited)
        return true;
    if (!link_bucket(p->tap.s, &in, err))
        return false;
    if (!out.rate)
        return link_divert(p->tap.s, NULL, err) && link_absent(shaper.s, err);
    if (!link_shaper_ensure(shaper.s, &out, err))
        return false;
    sysctl_silence(shaper.s);
    return link_divert(p->tap.s, shaper.s, err);
}

bool shape_absent(const char *n, GError **err)
{
    IfName shaper = id_shaper(n);
    return link_absent(shaper.s, err);
}

static bool same(const LinkInfo *there, const Bucket *wanted)
{
    return there->bucket.rate == wanted->rate && there->bucket.limit == wanted->limit;
}

bool shape_complete(const PortSpec *p, GHashTable *links)
{
    Bucket in = shape_bucket(&p->qos.ingress, p->mtu), out = sent(p);
    IfName name = id_shaper(p->id);
    const LinkInfo *tap = g_hash_table_lookup(links, p->tap.s), *shaper = g_hash_table_lookup(links, name.s);
    if (!tap || !same(tap, &in))
        return false;
    if (!out.rate)
        return !shaper;
    return shaper && shaper->up && sysctl_silent(name.s) && same(shaper, &out) && tap->diverts && link_diverted_to(tap->index) == shaper->index;
}
