/* network/agent/dnsmasq.c -- builds dnsmasq's configuration, hosts, options and names from typed values. */
#include "network/agent/dnsmasq.h"
#include <string.h>

/* An IPv6 address is refused to a client with another DUID than its lease's, as a guest has after a rebuild: those are short. */
enum { LEASE_S = 86400, LEASE6_S = 300, LEASES_MAX = 16384 };
static const char metadata_ip[] = "169.254.169.254";

/* One IPv6 range with a shorter prefix and dnsmasq does not start. */
static bool is_served(const DhcpSubnet *s)
{
    return s->cidr.base.version == 4 || s->cidr.prefix >= 64;
}

static void put_range(GString *out, const DhcpSubnet *s)
{
    if (!is_served(s))
        return;
    char first[46];
    ip_format(cidr_first(s->cidr), first);
    if (s->cidr.base.version == 4) {
        Ip mask = { 4, s->cidr.prefix ? (0xffffffffu << (32 - s->cidr.prefix)) & 0xffffffffu : 0 };
        char text[46];
        ip_format(mask, text);
        g_string_append_printf(out, "dhcp-range=set:s%s,%s,static,%s,%ds\n", s->n.s, first, text, LEASE_S);
        return;
    }
    static const char *const words[] = { [RA_NONE] = "static", [RA_SLAAC] = "ra-only", [RA_STATELESS] = "ra-stateless", [RA_STATEFUL] = "static" };
    bool leased = s->mode == RA_NONE || s->mode == RA_STATEFUL;
    g_string_append_printf(out, "dhcp-range=set:s%s,%s,%s,%d,%ds\n", s->n.s, first, words[s->mode], s->cidr.prefix, leased ? LEASE6_S : LEASE_S);
}

static bool wants_ra(const NetworkSpec *n)
{
    for (guint i = 0; i < n->subnets->len; i++)
        if (((const DhcpSubnet *) n->subnets->pdata[i])->mode != RA_NONE)
            return true;
    return false;
}

char *dnsmasq_conf(const NetworkSpec *n, const char *dir, const char *user, const char *place)
{
    GString *out = g_string_new(NULL);
    g_string_append_printf(out,
                           "# network %s, %s\n"
                           "interface=" DHCP_DEVICE "\nexcept-interface=lo\nbind-interfaces\n"
                           "user=%s\npid-file=%s/pid\nlog-facility=%s/log\n"
                           "no-resolv\nno-hosts\nno-poll\ndomain-needed\nbogus-priv\ncache-size=150\ndns-forward-max=50\n"
                           "addn-hosts=%s/names\nexpand-hosts\n",
                           n->id, place, user, dir, dir, dir);
    if (*n->domain)
        g_string_append_printf(out, "domain=%s\nlocal=/%s/\n", n->domain, n->domain);
    g_string_append_printf(out,
                           "dhcp-authoritative\ndhcp-ignore=tag:!known\ndhcp-ignore-clid\nno-ping\nquiet-dhcp\nquiet-dhcp6\nquiet-ra\n"
                           "dhcp-lease-max=%d\ndhcp-leasefile=%s/leases\ndhcp-hostsfile=%s/hosts\ndhcp-optsfile=%s/opts\n",
                           LEASES_MAX, dir, dir, dir);
    for (guint i = 0; i < n->subnets->len; i++)
        put_range(out, n->subnets->pdata[i]);
    /* Not by set: in the hosts file: dnsmasq 2.90 dies of it at SIGHUP once such a host has a lease. */
    for (guint i = 0; i < n->ports->len; i++) {
        const DhcpPort *p = n->ports->pdata[i];
        if (p->options->len)
            g_string_append_printf(out, "dhcp-mac=set:p%s,%s\n", p->n.s, p->mac);
    }
    /* We answer for addresses only: the way out is the router's to announce. */
    if (wants_ra(n))
        g_string_append(out, "enable-ra\nra-param=" DHCP_DEVICE ",0,0\n");
    return g_string_free(out, FALSE);
}

/* "[…]" around IPv6, as dnsmasq wants it in hosts and options. */
static void put_ip(GString *out, Ip ip)
{
    char buf[46];
    ip_format(ip, buf);
    g_string_append_printf(out, ip.version == 6 ? "[%s]" : "%s", buf);
}

/* Of several lines that fit, dnsmasq takes the last: the port's first address is what it should get. */
char *dnsmasq_hosts(const NetworkSpec *n)
{
    GString *out = g_string_new(NULL);
    for (guint i = 0; i < n->ports->len; i++) {
        const DhcpPort *p = n->ports->pdata[i];
        for (guint k = p->ips->len; k > 0; k--) {
            g_string_append_printf(out, "%s,", p->mac);
            put_ip(out, g_array_index(p->ips, Ip, k - 1));
            if (*p->hostname)
                g_string_append_printf(out, ",%s", p->hostname);
            g_string_append_c(out, '\n');
        }
    }
    return g_string_free(out, FALSE);
}

/* Our own address in the subnet, or NULL. */
static const Cidr *own_in(const NetworkSpec *n, const DhcpSubnet *s)
{
    for (guint i = 0; i < n->dhcp_addresses->len; i++) {
        const Cidr *c = &g_array_index(n->dhcp_addresses, Cidr, i);
        if (c->base.version == s->cidr.base.version && cidr_contains(s->cidr, c->base))
            return c;
    }
    return NULL;
}

static void put_route(GString *list, const char *destination, Ip nexthop)
{
    char buf[46];
    ip_format(nexthop, buf);
    g_string_append_printf(list, ",%s,%s", destination, buf);
}

/* Clients that follow RFC 3442 ignore option 3 where there is option 121: the default route is in both. */
static void put_routes(GString *out, const NetworkSpec *n, const DhcpSubnet *s)
{
    g_autoptr(GString) list = g_string_new(NULL);
    g_autofree char *metadata = g_strdup_printf("%s/32", metadata_ip);
    const Cidr *own = own_in(n, s);
    if (own)
        put_route(list, metadata, own->base);
    for (guint i = 0; i < s->routes->len; i++) {
        const DhcpRoute *r = &g_array_index(s->routes, DhcpRoute, i);
        char buf[50];
        cidr_format(r->destination, buf);
        if (r->destination.base.version == 4 && r->nexthop.version == 4)
            put_route(list, buf, r->nexthop);
    }
    if (s->has_gateway)
        put_route(list, "0.0.0.0/0", s->gateway);
    static const int codes[] = { 121, 249 };
    for (gsize i = 0; list->len && i < G_N_ELEMENTS(codes); i++)
        g_string_append_printf(out, "tag:s%s,%d%s\n", s->n.s, codes[i], list->str);
}

static void put_dns(GString *out, const NetworkSpec *n, const DhcpSubnet *s)
{
    const Cidr *own = own_in(n, s);
    bool six = s->cidr.base.version == 6;
    if (!s->dns->len && !own)
        return;
    g_string_append_printf(out, "tag:s%s,%s", s->n.s, six ? "option6:dns-server" : "6");
    for (guint i = 0; i < s->dns->len; i++) {
        g_string_append_c(out, ',');
        put_ip(out, g_array_index(s->dns, Ip, i));
    }
    if (!s->dns->len) {
        g_string_append_c(out, ',');
        put_ip(out, own->base);
    }
    g_string_append_c(out, '\n');
}

static void put_port_options(GString *out, const DhcpPort *p)
{
    for (guint k = 0; k < p->options->len; k++) {
        const DhcpOption *o = &g_array_index(p->options, DhcpOption, k);
        bool number = g_ascii_isdigit(*o->name);
        const char *kind = o->version == 6 ? "option6:" : number ? "" : "option:";
        g_string_append_printf(out, "tag:p%s,%s%s,%s\n", p->n.s, kind, o->name, o->value);
    }
}

char *dnsmasq_opts(const NetworkSpec *n)
{
    GString *out = g_string_new(NULL);
    for (guint i = 0; i < n->subnets->len; i++) {
        const DhcpSubnet *s = n->subnets->pdata[i];
        put_dns(out, n, s);
        if (s->cidr.base.version == 6)
            continue;
        char buf[46];
        ip_format(s->gateway, buf);
        /* Without a value, so that dnsmasq does not name itself. */
        g_string_append_printf(out, "tag:s%s,3%s%s\n", s->n.s, s->has_gateway ? "," : "", s->has_gateway ? buf : "");
        g_string_append_printf(out, "tag:s%s,26,%d\n", s->n.s, (int) n->mtu);
        put_routes(out, n, s);
    }
    for (guint i = 0; i < n->ports->len; i++)
        put_port_options(out, n->ports->pdata[i]);
    return g_string_free(out, FALSE);
}

char *dnsmasq_names(const NetworkSpec *n)
{
    GString *out = g_string_new(NULL);
    for (guint i = 0; i < n->ports->len; i++) {
        const DhcpPort *p = n->ports->pdata[i];
        for (guint k = 0; *p->hostname && k < p->ips->len; k++) {
            char buf[46];
            ip_format(g_array_index(p->ips, Ip, k), buf);
            if (*n->domain)
                g_string_append_printf(out, "%s %s.%s %s\n", buf, p->hostname, n->domain, p->hostname);
            else
                g_string_append_printf(out, "%s %s\n", buf, p->hostname);
        }
    }
    return g_string_free(out, FALSE);
}
