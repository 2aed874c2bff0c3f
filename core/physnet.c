/* core/physnet.c -- parses the options network.physical and network.physical_bandwidth. */
#include "core/physnet.h"
#include "core/conf.h"
#include <string.h>

static bool is_name(const char *s, gsize max)
{
    gsize n = strlen(s);
    for (const char *c = s; *c; c++)
        if (!g_ascii_isalnum(*c) && !strchr("-_.", *c))
            return false;
    return n > 0 && n <= max;
}

static bool range_parse(const char *text, Physnet *p)
{
    char *end = NULL;
    gint64 first = g_ascii_strtoll(text, &end, 10), last = first;
    if (end != text && *end == '-') {
        text = end + 1;
        last = g_ascii_strtoll(text, &end, 10);
    }
    p->first = (int) CLAMP(first, 0, G_MAXINT);
    p->last = (int) CLAMP(last, 0, G_MAXINT);
    return end != text && !*end && first >= VLAN_FIRST && first <= last && last <= VLAN_LAST;
}

static bool item_parse(const char *item, Physnet *p)
{
    g_auto(GStrv) parts = g_strsplit(item, ":", -1);
    guint n = g_strv_length(parts);
    if (n < 2 || n > 3 || !is_name(parts[0], sizeof p->name - 1) || (*parts[1] && !is_name(parts[1], sizeof p->interface - 1)) ||
        strcmp(parts[0], "public") == 0 || g_str_has_prefix(parts[1], "nv"))
        return false;
    g_strlcpy(p->name, parts[0], sizeof p->name);
    g_strlcpy(p->interface, parts[1], sizeof p->interface);
    return n < 3 || range_parse(parts[2], p);
}

GArray *physnets_parse(const char *text, GError **err)
{
    g_autoptr(GArray) list = g_array_new(FALSE, TRUE, sizeof(Physnet));
    g_auto(GStrv) items = g_strsplit(text, ";", -1);
    for (char **item = items; *item; item++) {
        Physnet p = { 0 };
        if (!*g_strstrip(*item))
            continue;
        if (!item_parse(*item, &p))
            return nv_fail(err, NV_ERR_INVALID,
                           "configuration: network.physical: \"%s\" is not NAME:INTERFACE or NAME:INTERFACE:FIRST-LAST (VLAN ids %d to %d; the "
                           "name public and interfaces that start with nv are Nuvolet's own)",
                           *item, VLAN_FIRST, VLAN_LAST), NULL;
        g_array_append_val(list, p);
    }
    return g_steal_pointer(&list);
}

static bool rate_parse(const char *text, gint64 *ret)
{
    char *end = NULL;
    *ret = g_ascii_strtoll(text, &end, 10);
    return g_ascii_isdigit(*text) && !*end && *ret > 0 && *ret <= G_MAXINT32;
}

static bool bandwidth_parse(const char *item, GArray *list)
{
    g_auto(GStrv) parts = g_strsplit(item, ":", -1);
    guint n = g_strv_length(parts);
    gint64 egress = 0, ingress = 0;
    bool found = false;
    if (n < 2 || n > 3 || !rate_parse(parts[1], &egress) || (n == 3 && !rate_parse(parts[2], &ingress)))
        return false;
    for (guint i = 0; i < list->len; i++) {
        Physnet *p = &g_array_index(list, Physnet, i);
        if (strcmp(p->name, parts[0]) != 0)
            continue;
        p->egress_kbps = egress;
        p->ingress_kbps = n == 3 ? ingress : egress;
        found = true;
    }
    return found;
}

bool physnets_bandwidth(GArray *list, const char *text, GError **err)
{
    g_auto(GStrv) items = g_strsplit(text, ";", -1);
    for (char **item = items; *item; item++)
        if (*g_strstrip(*item) && !bandwidth_parse(*item, list))
            return nv_fail(err, NV_ERR_INVALID, "configuration: network.physical_bandwidth: \"%s\" is not NAME:EGRESS or NAME:EGRESS:INGRESS in "
                           "kilobits a second, with a name of network.physical", *item);
    return true;
}

GArray *physnets_conf(void)
{
    GArray *list = physnets_parse(conf_str("network.physical"), NULL);
    if (list)
        physnets_bandwidth(list, conf_str("network.physical_bandwidth"), NULL);
    return list ? list : g_array_new(FALSE, TRUE, sizeof(Physnet));
}

const Physnet *physnet_find(const GArray *list, const char *name)
{
    for (guint i = 0; name && i < list->len; i++)
        if (strcmp(g_array_index(list, Physnet, i).name, name) == 0)
            return &g_array_index(list, Physnet, i);
    return NULL;
}
