/* network/agent/segment.c -- a network's way out of the host: made with exactly the entries that the specs name, or gone. */
#include "network/agent/segment.h"
#include "core/conf.h"
#include "core/physnet.h"
#include <string.h>

bool segment_start(GError **err)
{
    const char *tunnel = conf_str("network.tunnel_address");
    g_autoptr(GArray) physical = physnets_parse(conf_str("network.physical"), err);
    Ip ip;
    if (!physical)
        return false;
    return !*tunnel || ip_parse(tunnel, &ip) ||
           nv_fail(err, NV_ERR_INVALID, "configuration: network.tunnel_address must be an address of this host, not '%s'", tunnel);
}

json_t *segment_facts(void)
{
    g_autoptr(GArray) physical = physnets_conf();
    const char *tunnel = conf_str("network.tunnel_address");
    json_t *list = json_array();
    for (guint i = 0; i < physical->len; i++) {
        const Physnet *p = &g_array_index(physical, Physnet, i);
        if (*p->interface && physnet_find(physical, p->name) == p)
            json_array_append_new(list, json_make("ss", "name", p->name, "interface", p->interface));
    }
    return json_make("so", "tunnel_address", *tunnel ? tunnel : NULL, "physical", list);
}
