/* network/agent/driver.c -- which driver: the configuration's network.driver. */
#include "network/agent/driver.h"
#include "core/conf.h"
#include <string.h>

const NetDriver *driver(void)
{
    static const NetDriver *const drivers[] = { &driver_bridge, &driver_ovs };
    for (gsize i = 0; i < G_N_ELEMENTS(drivers); i++)
        if (strcmp(drivers[i]->name, conf_str("network.driver")) == 0)
            return drivers[i];
    return &driver_bridge;
}
