/* core/id.c -- identifiers and the names derived from them. */
#include "core/id.h"
#include <sodium.h>
#include <string.h>

char *id_new(void)
{
    guint8 b[16];
    char hex[33];
    randombytes_buf(b, sizeof b);
    b[6] = (guint8) ((b[6] & 0x0f) | 0x40);
    b[8] = (guint8) ((b[8] & 0x3f) | 0x80);
    sodium_bin2hex(hex, sizeof hex, b, sizeof b);
    return g_strdup_printf("%.8s-%.4s-%.4s-%.4s-%s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

char *id_new_hex(void)
{
    guint8 b[16];
    char hex[33];
    randombytes_buf(b, sizeof b);
    return g_strdup(sodium_bin2hex(hex, sizeof hex, b, sizeof b));
}

static bool is_lower_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

bool id_is_uuid(const char *text)
{
    if (!text || strlen(text) != 36)
        return false;
    for (int i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !is_lower_hex(text[i]))
            return false;
    }
    return true;
}

bool id_is_hex_or_uuid(const char *text)
{
    return id_is_uuid(text) || (text && strlen(text) == 32 && strspn(text, "0123456789abcdef") == 32);
}

Id12 id_12(const char *id)
{
    Id12 out = { "" };
    for (int n = 0; *id && n < 12; id++)
        if (*id != '-')
            out.s[n++] = *id;
    return out;
}

static IfName interface_name(char kind, const char *id)
{
    IfName out;
    g_snprintf(out.s, sizeof out.s, "nv%c%s", kind, id_12(id).s);
    return out;
}

IfName id_tap(const char *port_id)
{
    return interface_name('t', port_id);
}

IfName id_bridge(const char *network_id)
{
    return interface_name('b', network_id);
}

IfName id_dhcp_veth(const char *network_id)
{
    return interface_name('d', network_id);
}

IfName id_shaper(const char *port_id)
{
    return interface_name('q', port_id);
}

IfName id_trunk_end(const char *port_id)
{
    return interface_name('s', port_id);
}

IfName id_vxlan(const char *network_id)
{
    return interface_name('x', network_id);
}

IfName id_vlan(const char *network_id)
{
    return interface_name('u', network_id);
}

NsName id_netns(const char *network_id)
{
    NsName out;
    g_snprintf(out.s, sizeof out.s, "nuvolet-%s", id_12(network_id).s);
    return out;
}

IfName id_router_link(const char *port_id)
{
    return interface_name('r', port_id);
}

IfName id_router_inner(const char *port_id)
{
    return interface_name('p', port_id);
}

NsName id_router_netns(const char *router_id)
{
    NsName out;
    g_snprintf(out.s, sizeof out.s, "nvrouter-%s", id_12(router_id).s);
    return out;
}
