/* network/agent/flows.c -- compares specs by what they allow. */
#include "network/agent/flows.h"
#include <string.h>

static bool is_same(Cidr a, Cidr b)
{
    return a.prefix == b.prefix && ip_compare(a.base, b.base) == 0;
}

static bool has_flow(const GArray *flows, const Flow *flow)
{
    for (guint i = 0; i < flows->len; i++) {
        const Flow *f = &g_array_index(flows, Flow, i);
        if (f->zone == flow->zone && is_same(f->cidr, flow->cidr))
            return true;
    }
    return false;
}

static void add(GArray *flows, int zone, Cidr cidr)
{
    Flow f = { zone, cidr };
    g_array_append_val(flows, f);
}

void flows_add_port(GArray *flows, int zone, const PortSpec *p)
{
    for (guint i = 0; i < p->addresses->len; i++) {
        Ip ip = g_array_index(p->addresses, Ip, i);
        add(flows, zone, (Cidr){ ip, ip.version == 4 ? 32 : 128 });
    }
    for (guint i = 0; i < p->pairs->len; i++) {
        Cidr c = g_array_index(p->pairs, Pair, i).cidr;
        if (c.prefix == (c.base.version == 4 ? 32 : 128))
            add(flows, zone, c);
    }
}

static bool has_member(const GroupSpec *g, Cidr c)
{
    for (guint i = 0; i < g->members->len; i++)
        if (is_same(g_array_index(g->members, Cidr, i), c))
            return true;
    return false;
}

void flows_add_left(GArray *flows, int zone, const GroupSpec *old, const GroupSpec *now)
{
    for (guint i = 0; i < old->members->len; i++) {
        Flow f = { zone, g_array_index(old->members, Cidr, i) };
        if (!has_member(now, f.cidr) && !has_flow(flows, &f))
            g_array_append_val(flows, f);
    }
}

void flows_remove(GArray *flows, const GArray *kept)
{
    for (guint i = flows->len; i-- > 0;)
        if (has_flow(kept, &g_array_index(flows, Flow, i)))
            g_array_remove_index_fast(flows, i);
}

static bool has_rule(const GroupSpec *g, const GroupRule *rule)
{
    for (guint i = 0; i < g->rules->len; i++)
        if (memcmp(&g_array_index(g->rules, GroupRule, i), rule, offsetof(GroupRule, id)) == 0)
            return true;
    return false;
}

bool flows_narrow(const GroupSpec *old, const GroupSpec *now)
{
    for (guint i = 0; i < old->rules->len; i++)
        if (!has_rule(now, &g_array_index(old->rules, GroupRule, i)))
            return true;
    return old->stateful && !now->stateful;
}

bool flows_by_members(const GroupSpec *g, const char *n)
{
    for (guint i = 0; i < g->rules->len; i++) {
        const GroupRule *r = &g_array_index(g->rules, GroupRule, i);
        if (r->has_group && strcmp(r->group.s, n) == 0)
            return true;
    }
    return false;
}
