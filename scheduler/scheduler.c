/* scheduler/scheduler.c -- choosing a host: a table of filters, a table of weighers, and a sentence when nothing fits. */
#include "scheduler/scheduler.h"
#include <math.h>
#include <string.h>

enum { NAMED_MAX = 4 };                          /* hosts that the sentence names one by one */

/* What a host has of one resource, overcommit included. */
typedef struct Room { gint64 total, free, wanted; } Room;

static Room room_of(gint64 capacity, double ratio, gint64 used, gint64 wanted)
{
    gint64 total = (gint64) floor((double) capacity * ratio);
    return (Room){ .total = total, .free = MAX(0, total - used), .wanted = wanted };
}

static Room vcpus_room(const Demand *d, const HostState *h)
{
    return room_of(h->vcpus, h->ratio_vcpus, h->used_vcpus, d->vcpus);
}

static Room memory_room(const Demand *d, const HostState *h)
{
    return room_of(h->memory_mb, h->ratio_memory, h->used_memory_mb, d->memory_mb);
}

static Room disk_room(const Demand *d, const HostState *h)
{
    return room_of(h->disk_gb, h->ratio_disk, h->used_disk_gb, d->disk_gb);
}

static char *count_text(gint64 n, bool unit)
{
    return g_strdup_printf(unit ? "%" G_GINT64_FORMAT " vCPUs" : "%" G_GINT64_FORMAT, n);
}

static char *gib_text(gint64 n, bool unit)
{
    return g_strdup_printf(unit ? "%" G_GINT64_FORMAT " GiB" : "%" G_GINT64_FORMAT, n);
}

/* Whole GiB where it is one, MiB below, one decimal otherwise. */
static char *mib_text(gint64 n, bool unit)
{
    if (n < 1024)
        return g_strdup_printf("%" G_GINT64_FORMAT " MiB", n);
    if (n % 1024 == 0)
        return gib_text(n / 1024, unit);
    return g_strdup_printf(unit ? "%.1f GiB" : "%.1f", (double) n / 1024);
}

/* A filter says in words why it refuses (caller frees), or NULL. room: instead, for filters that count; text and what describe it.
 * what, of one that refuses: the advice, where the common one is none. */
typedef struct Filter {
    const char *name;
    char *(*refuse)(const Demand *d, const HostState *h);
    Room (*room)(const Demand *d, const HostState *h);
    char *(*text)(gint64 n, bool unit);
    const char *what;
} Filter;

static char *refuse_avoided(const Demand *d, const HostState *h)
{
    return d->avoid && g_strv_contains(d->avoid, h->name) ? g_strdup("is ruled out (tried before, or by a scheduler hint)") : NULL;
}

static char *refuse_narrow(const Demand *d, const HostState *h)
{
    return d->narrow && g_strv_contains(d->narrow, h->name) ? g_strdup("has not the bandwidth or packet rate left that minimum rules promise") : NULL;
}

static char *refuse_other_host(const Demand *d, const HostState *h)
{
    return d->host && strcmp(d->host, h->name) != 0 ? g_strdup_printf("is not %s, which was asked for", d->host) : NULL;
}

static char *refuse_other_zone(const Demand *d, const HostState *h)
{
    return d->zone && strcmp(d->zone, h->zone) != 0 ? g_strdup_printf("is in zone %s, not %s", h->zone, d->zone) : NULL;
}

static char *refuse_disabled(const Demand *d, const HostState *h)
{
    (void) d;
    return h->enabled ? NULL : g_strdup("is disabled");
}

static char *refuse_down(const Demand *d, const HostState *h)
{
    (void) d;
    return h->up ? NULL : g_strdup("is down");
}

/* A host that has not said what it is on is asked: it refuses by itself, and another is tried. */
static char *refuse_not_on_physical(const Demand *d, const HostState *h)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *) d->physical, i, one)
        if (h->physical && !json_has(h->physical, json_string_value(one)))
            return g_strdup_printf("has no interface on the physical network %s", json_string_value(one));
    return NULL;
}

/* clang-format off */
static const Filter filters[] = {
    { "host",     refuse_other_host, NULL, NULL, NULL },
    { "zone",     refuse_other_zone, NULL, NULL, NULL },
    { "enabled",  refuse_disabled,   NULL, NULL, NULL },
    { "up",       refuse_down,       NULL, NULL, NULL },
    { "retry",    refuse_avoided,    NULL, NULL, NULL },
    { "physical", refuse_not_on_physical, NULL, NULL, "use another network, or have network.physical of a host name an interface" },
    { "bandwidth", refuse_narrow,    NULL, NULL, "promise less, or delete servers that are promised it" },
    { "memory",   NULL, memory_room, mib_text,   " of memory" },
    { "vcpus",    NULL, vcpus_room,  count_text, "" },
    { "disk",     NULL, disk_room,   gib_text,   " of disk" },
};

/* What a filled host is worth less; each is scaled to 0–1 over the hosts that passed. */
static double weigh_memory(const HostState *h)  { return (double) h->memory_mb * h->ratio_memory - (double) h->used_memory_mb; }
static double weigh_vcpus(const HostState *h)   { return (double) h->vcpus * h->ratio_vcpus - (double) h->used_vcpus; }
static double weigh_disk(const HostState *h)    { return (double) h->disk_gb * h->ratio_disk - (double) h->used_disk_gb; }
static double weigh_servers(const HostState *h) { return -(double) h->servers; }

static const struct Weigher { const char *name; double (*weigh)(const HostState *h); double factor; } weighers[] = {
    { "memory",  weigh_memory,  1.0 },
    { "vcpus",   weigh_vcpus,   1.0 },
    { "disk",    weigh_disk,    0.5 },
    { "servers", weigh_servers, 0.1 },
};
/* clang-format on */

typedef struct Judged { int filter; char *reason; double weight; } Judged;   /* filter -1: passed */

static char *short_of(const Filter *f, Room r)
{
    g_autofree char *have = f->text(r.free, false), *total = f->text(r.total, true);
    return g_strdup_printf("has %s of %s free", have, total);
}

static void judge(const Demand *d, const HostState *h, Judged *j)
{
    j->filter = -1;
    for (int i = 0; i < (int) G_N_ELEMENTS(filters) && j->filter < 0; i++) {
        const Filter *f = &filters[i];
        if (f->refuse) {
            j->reason = f->refuse(d, h);
        } else {
            Room r = f->room(d, h);
            j->reason = r.wanted > r.free ? short_of(f, r) : NULL;
        }
        if (j->reason)
            j->filter = i;
    }
}

static void weigh_all(const HostState *hosts, size_t n, Judged *judged)
{
    for (guint w = 0; w < G_N_ELEMENTS(weighers); w++) {
        double low = INFINITY, high = -INFINITY;
        for (size_t i = 0; i < n; i++)
            if (judged[i].filter < 0) {
                low = MIN(low, weighers[w].weigh(&hosts[i]));
                high = MAX(high, weighers[w].weigh(&hosts[i]));
            }
        for (size_t i = 0; i < n; i++)
            if (judged[i].filter < 0 && high > low)
                judged[i].weight += weighers[w].factor * (weighers[w].weigh(&hosts[i]) - low) / (high - low);
    }
}

/* The filter that refused last, in the table's order, says what is really short: earlier ones (down, wrong zone) refuse hosts that would not
 * have been considered anyway. */
static bool fail_no_host(const Demand *d, const HostState *hosts, size_t n, const Judged *judged, GError **err)
{
    int last = -1;
    guint named = 0;
    g_autoptr(GString) text = g_string_new(NULL);
    for (size_t i = 0; i < n; i++)
        last = MAX(last, judged[i].filter);
    if (n == 0)
        return nv_fail(err, NV_ERR_NO_HOST, "no host has reported yet: start an agent");
    const Filter *f = &filters[last];
    if (f->room) {
        g_autofree char *wanted = f->text(f->room(d, &hosts[0]).wanted, true);
        g_string_append_printf(text, "no host has %s%s free: ", wanted, f->what);
    } else {
        g_string_append(text, "no host can take the server: ");
    }
    /* Hosts that came furthest first. */
    for (int k = last; k >= 0; k--)
        for (size_t i = 0; i < n; i++)
            if (judged[i].filter == k && named++ < NAMED_MAX)
                g_string_append_printf(text, "%s%s %s", named > 1 ? ", " : "", hosts[i].name, judged[i].reason);
    if (n > NAMED_MAX)
        g_string_append_printf(text, " and %d more", (int) (n - NAMED_MAX));
    return nv_fail(err, NV_ERR_NO_HOST, "%s; %s", text->str,
                   f->room ? "use a smaller flavor, delete servers or add a host"
                           : f->what ? f->what : "ask for another zone or host, or have one enabled and started");
}

static json_t *explain(const HostState *hosts, size_t n, const Judged *judged, int chosen)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        bool ok = judged[i].filter < 0;
        json_t *o = json_make("sss", "host", hosts[i].name, "verdict", (int) i == chosen ? "chosen" : ok ? "ok" : "refused", "reason",
                              judged[i].reason);
        json_object_set_new(o, "weight", ok ? json_real(judged[i].weight) : json_null());
        if (!ok)
            json_object_set_new(o, "filter", json_string(filters[judged[i].filter].name));
        json_array_append_new(list, o);
    }
    return list;
}

int scheduler_pick(const Demand *demand, const HostState *hosts, size_t n, json_t **ret_why, GError **err)
{
    g_autofree Judged *judged = g_new0(Judged, n);
    int chosen = -1;
    for (size_t i = 0; i < n; i++)
        judge(demand, &hosts[i], &judged[i]);
    weigh_all(hosts, n, judged);
    for (size_t i = 0; i < n; i++)
        if (judged[i].filter < 0 && (chosen < 0 || judged[i].weight > judged[chosen].weight))
            chosen = (int) i;
    if (chosen < 0)
        fail_no_host(demand, hosts, n, judged, err);
    if (ret_why)
        *ret_why = explain(hosts, n, judged, chosen);
    for (size_t i = 0; i < n; i++)
        g_free(judged[i].reason);
    return chosen;
}
