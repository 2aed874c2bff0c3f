/* core/ip.c -- IP addresses as numbers: text, prefixes, order. */
#include "core/ip.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static int ip_bits(int version)
{
    return version == 4 ? 32 : 128;
}

static unsigned __int128 all_ones(int bits)
{
    return bits >= 128 ? ~(unsigned __int128) 0 : ((unsigned __int128) 1 << bits) - 1;
}

/* Bits of the host part set. */
static unsigned __int128 host_mask(Cidr c)
{
    return all_ones(ip_bits(c.base.version) - c.prefix);
}

bool ip_parse(const char *text, Ip *ret_ip)
{
    guint8 b[16];
    int version = inet_pton(AF_INET, text, b) == 1 ? 4 : inet_pton(AF_INET6, text, b) == 1 ? 6 : 0;
    if (!version)
        return false;
    Ip ip = { .version = version };
    for (int i = 0; i < ip_bits(version) / 8; i++)
        ip.n = ip.n << 8 | b[i];
    *ret_ip = ip;
    return true;
}

void ip_format(Ip ip, char buf[46])
{
    guint8 b[16];
    int n = ip_bits(ip.version) / 8;
    for (int i = 0; i < n; i++)
        b[i] = (guint8) (ip.n >> 8 * (n - 1 - i));
    inet_ntop(ip.version == 4 ? AF_INET : AF_INET6, b, buf, 46);
}

char *ip_canonical(const char *text)
{
    Ip ip;
    char buf[46];
    if (!text || !ip_parse(text, &ip))
        return NULL;
    ip_format(ip, buf);
    return g_strdup(buf);
}

void ip_key(Ip ip, char buf[IP_KEY_SIZE])
{
    g_snprintf(buf, IP_KEY_SIZE, "%016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER "x", (guint64) (ip.n >> 64), (guint64) ip.n);
}

bool cidr_parse(const char *text, bool strict, Cidr *ret_cidr)
{
    const char *slash = strchr(text, '/');
    char base[46];
    if (!slash || (gsize) (slash - text) >= sizeof base)
        return false;
    memcpy(base, text, (gsize) (slash - text));
    base[slash - text] = '\0';
    Cidr c = { 0 };
    if (!ip_parse(base, &c.base))
        return false;
    gsize digits = strspn(slash + 1, "0123456789");
    if (digits < 1 || digits > 3 || slash[1 + digits] || (digits > 1 && slash[1] == '0'))
        return false;
    c.prefix = (int) g_ascii_strtoll(slash + 1, NULL, 10);
    if (c.prefix > ip_bits(c.base.version) || (strict && (c.base.n & host_mask(c))))
        return false;
    *ret_cidr = c;
    return true;
}

bool cidr_parse_any(const char *text, bool strict, Cidr *ret_cidr)
{
    Ip ip;
    if (text && ip_parse(text, &ip)) {
        *ret_cidr = (Cidr){ ip, ip_bits(ip.version) };
        return true;
    }
    return text && cidr_parse(text, strict, ret_cidr);
}

static char *spelled(const char *text, bool host_bits)
{
    Cidr c;
    char buf[50];
    if (!cidr_parse_any(text, false, &c))
        return NULL;
    if (!host_bits)
        c.base = cidr_first(c);
    cidr_format(c, buf);
    return g_strdup(buf);
}

char *cidr_canonical(const char *text)
{
    return spelled(text, false);
}

char *cidr_spelled(const char *text)
{
    return spelled(text, true);
}

void cidr_format(Cidr cidr, char buf[50])
{
    ip_format(cidr.base, buf);
    gsize n = strlen(buf);
    g_snprintf(buf + n, 50 - n, "/%d", cidr.prefix);
}

Ip cidr_first(Cidr cidr)
{
    return (Ip){ .version = cidr.base.version, .n = cidr.base.n & ~host_mask(cidr) };
}

Ip cidr_last(Cidr cidr)
{
    return (Ip){ .version = cidr.base.version, .n = cidr.base.n | host_mask(cidr) };
}

bool cidr_contains(Cidr cidr, Ip ip)
{
    return ip.version == cidr.base.version && ((ip.n ^ cidr.base.n) & ~host_mask(cidr)) == 0;
}

static gint by_place(gconstpointer a, gconstpointer b)
{
    const Cidr *x = a, *y = b;
    int order = ip_compare(x->base, y->base);
    return order ? order : x->prefix - y->prefix;
}

/* The halves of one prefix: a the lower. */
static bool are_halves(Cidr a, Cidr b, Cidr *ret_whole)
{
    *ret_whole = (Cidr){ a.base, a.prefix - 1 };
    return a.prefix == b.prefix && a.prefix > 0 && ip_compare(cidr_first(*ret_whole), a.base) == 0 && cidr_contains(*ret_whole, b.base);
}

void cidrs_compact(GArray *cidrs)
{
    guint n = 0;                                 /* those that are done, at the array's beginning */
    for (guint i = 0; i < cidrs->len; i++) {
        Cidr *c = &g_array_index(cidrs, Cidr, i);
        c->base = cidr_first(*c);
    }
    g_array_sort(cidrs, by_place);
    Cidr *done = (Cidr *) (void *) cidrs->data, whole;
    for (guint i = 0; i < cidrs->len; i++) {
        if (n && cidr_contains(done[n - 1], done[i].base))
            continue;
        done[n++] = done[i];
        while (n > 1 && are_halves(done[n - 2], done[n - 1], &whole))
            done[--n - 1] = whole;
    }
    g_array_set_size(cidrs, n);
}

const Cidr *cidrs_seek(const GArray *compact, Ip ip)
{
    guint low = 0, high = compact->len;
    while (low < high) {
        guint middle = (low + high) / 2;
        if (ip_compare(cidr_last(g_array_index(compact, Cidr, middle)), ip) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < compact->len ? &g_array_index(compact, Cidr, low) : NULL;
}

bool cidr_overlaps(Cidr a, Cidr b)
{
    return cidr_contains(a.prefix < b.prefix ? a : b, a.prefix < b.prefix ? b.base : a.base);
}

Ip ip_add(Ip ip, gint64 n)
{
    return (Ip){ .version = ip.version, .n = (ip.n + (unsigned __int128) (__int128) n) & all_ones(ip_bits(ip.version)) };
}

int ip_compare(Ip a, Ip b)
{
    if (a.version != b.version)
        return a.version < b.version ? -1 : 1;
    return a.n < b.n ? -1 : a.n > b.n;
}

bool mac_parse(const char *text, guint8 ret_mac[6])
{
    guint8 mac[6], sum = 0;
    if (strlen(text) != 17)
        return false;
    for (int i = 0; i < 6; i++) {
        const char *p = text + 3 * i;
        int high = g_ascii_xdigit_value(p[0]), low = g_ascii_xdigit_value(p[1]);
        if (high < 0 || low < 0 || g_ascii_isupper(p[0]) || g_ascii_isupper(p[1]) || p[2] != (i < 5 ? ':' : '\0'))
            return false;
        mac[i] = (guint8) (high << 4 | low);
        sum |= mac[i];
    }
    if (!sum || (mac[0] & 1))
        return false;
    memcpy(ret_mac, mac, 6);
    return true;
}

char *mac_spelled(const char *text)
{
    static const struct { const char *separator; guint groups; } forms[] = { { ":", 6 }, { "-", 6 }, { ":", 3 }, { "-", 3 }, { ".", 3 },
                                                                             { ":", 2 }, { "-", 2 }, { ":", 1 } };
    for (gsize i = 0; i < G_N_ELEMENTS(forms); i++) {
        g_auto(GStrv) groups = g_strsplit(text, forms[i].separator, 8);
        guint n = g_strv_length(groups), width = 12 / forms[i].groups, least = n == 6 ? 1 : width;
        g_autoptr(GString) mac = g_string_new(NULL);
        for (guint k = 0; n == forms[i].groups && k < n; k++) {
            gsize digits = strspn(groups[k], "0123456789abcdefABCDEF");
            if (!groups[k][digits] && digits >= least && digits <= width)
                g_string_append_printf(mac, "%0*" G_GINT64_MODIFIER "x", (int) width, (guint64) g_ascii_strtoull(groups[k], NULL, 16));
        }
        if (mac->len != 12)
            continue;
        for (gssize at = 10; at > 0; at -= 2)
            g_string_insert_c(mac, at, ':');
        return g_string_free(g_steal_pointer(&mac), FALSE);
    }
    return NULL;
}

Ip ip_eui64(Cidr prefix, const guint8 mac[6])
{
    const guint8 id[8] = { mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5] };
    guint64 low = 0;
    for (int i = 0; i < 8; i++)
        low = low << 8 | id[i];
    return (Ip){ .version = 6, .n = (prefix.base.n & ~all_ones(64)) | low };
}
