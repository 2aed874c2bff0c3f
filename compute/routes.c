/* compute/routes.c -- the compute API's paths, the list of extensions, and what has gone from it. */
#include "compute/internal.h"
#include <string.h>

bool compute_bootstrap(Db *db, GError **err)
{
    return flavor_bootstrap(db, err);
}

/* What clients of the first microversions ask for before they use it. */
/* clang-format off */
static const struct { const char *alias, *name; } extensions[] = {
    { "os-admin-actions", "AdminActions" }, { "os-availability-zone", "AvailabilityZone" }, { "os-config-drive", "ConfigDrive" },
    { "os-console-output", "Consoleoutput" }, { "os-disk-config", "DiskConfig" }, { "os-extended-availability-zone", "ExtendedAvailabilityZone" },
    { "os-extended-server-attributes", "ExtendedServerAttributes" }, { "os-extended-status", "ExtendedStatus" },
    { "os-extended-volumes", "ExtendedVolumes" }, { "os-flavor-access", "FlavorAccess" }, { "os-flavor-extra-specs", "FlavorExtraSpecs" },
    { "os-flavor-manage", "FlavorManage" }, { "os-flavor-rxtx", "FlavorRxtx" }, { "os-hosts", "Hosts" }, { "os-hypervisors", "Hypervisors" },
    { "os-instance-actions", "InstanceActions" }, { "os-keypairs", "Keypairs" }, { "os-lock-server", "LockServer" },
    { "os-multiple-create", "MultipleCreate" }, { "os-quota-class-sets", "QuotaClasses" }, { "os-quota-sets", "Quotas" },
    { "os-scheduler-hints", "SchedulerHints" }, { "os-server-diagnostics", "ServerDiagnostics" }, { "os-server-password", "ServerPassword" },
    { "os-server-start-stop", "ServerStartStop" }, { "os-server-usage", "ServerUsage" }, { "os-services", "Services" },
    { "os-simple-tenant-usage", "SimpleTenantUsage" }, { "os-used-limits", "UsedLimits" }, { "os-user-data", "UserData" },
};

/* Paths that Nova answers with 410 since their services were taken out. */
static bool gone(Call *c, GError **err)
{
    (void) err;
    return call_reply(c, 410, json_make("o", "gone", json_make("is", "code", (gint64) 410, "message", "This resource is no longer available. No forwarding address is given.")));
}
/* clang-format on */

static json_t *extension(guint i)
{
    return json_make("ssssso", "alias", extensions[i].alias, "name", extensions[i].name, "description", extensions[i].name, "updated",
                     "2014-12-03T00:00:00Z", "namespace",
                     "http://docs.openstack.org/compute/ext/fake_xml",
                     "links", json_array());
}

bool extension_list(Call *c, GError **err)
{
    json_t *list = json_array();
    (void) err;
    for (guint i = 0; i < G_N_ELEMENTS(extensions); i++)
        json_array_append_new(list, extension(i));
    return call_reply(c, 200, json_make("o", "extensions", list));
}

bool extension_show(Call *c, GError **err)
{
    for (guint i = 0; i < G_N_ELEMENTS(extensions); i++)
        if (strcmp(extensions[i].alias, c->params[0]) == 0)
            return call_reply(c, 200, json_make("o", "extension", extension(i)));
    return nv_fail(err, NV_ERR_NOT_FOUND, "The resource could not be found.");
}

/* clang-format off */
const Route compute_routes[] = {
    ROUTE("GET",    "/extensions",        AUTHENTICATED, extension_list),
    ROUTE("GET",    "/extensions/{id}",   AUTHENTICATED, extension_show),

    ROUTE("GET",    "/flavors",           PROJECT_READER, flavor_list),
    ROUTE("POST",   "/flavors",           ADMIN_ONLY,     flavor_create),
    ROUTE("GET",    "/flavors/detail",    PROJECT_READER, flavor_list_detail),
    ROUTE("GET",    "/flavors/{id}",      PROJECT_READER, flavor_show),
    ROUTE("PUT",    "/flavors/{id}",      ADMIN_ONLY,     flavor_update, .since = MV(55)),
    ROUTE("DELETE", "/flavors/{id}",      ADMIN_ONLY,     flavor_delete),
    ROUTE("POST",   "/flavors/{id}/action", ADMIN_ONLY,   flavor_action),
    ROUTE("GET",    "/flavors/{id}/os-flavor-access",      ADMIN_ONLY,     flavor_access_list),
    ROUTE("GET",    "/flavors/{id}/os-extra_specs",        PROJECT_READER, flavor_specs_list),
    ROUTE("POST",   "/flavors/{id}/os-extra_specs",        ADMIN_ONLY,     flavor_specs_create),
    ROUTE("GET",    "/flavors/{id}/os-extra_specs/{key}",  PROJECT_READER, flavor_spec_show),
    ROUTE("PUT",    "/flavors/{id}/os-extra_specs/{key}",  ADMIN_ONLY,     flavor_spec_update),
    ROUTE("DELETE", "/flavors/{id}/os-extra_specs/{key}",  ADMIN_ONLY,     flavor_spec_delete),

    ROUTE("GET",    "/os-keypairs",        AUTHENTICATED, keypair_list),
    ROUTE("POST",   "/os-keypairs",        AUTHENTICATED, keypair_create),
    ROUTE("GET",    "/os-keypairs/{name}", AUTHENTICATED, keypair_show),
    ROUTE("DELETE", "/os-keypairs/{name}", AUTHENTICATED, keypair_delete),

    ROUTE("GET",    "/os-availability-zone",        PROJECT_READER, zone_list),
    ROUTE("GET",    "/os-availability-zone/detail", ADMIN_ONLY,     zone_list_detail),
    ROUTE("GET",    "/os-services",        SYSTEM_READER, service_list),
    ROUTE("PUT",    "/os-services/{id}",   ADMIN_ONLY,    service_update_legacy, .until = MV(52)),
    ROUTE("PUT",    "/os-services/{id}",   ADMIN_ONLY,    service_update, .since = MV(53)),
    ROUTE("DELETE", "/os-services/{id}",   ADMIN_ONLY,    service_delete),
    ROUTE("GET",    "/os-hypervisors",              SYSTEM_READER, hypervisor_list),
    ROUTE("GET",    "/os-hypervisors/detail",       SYSTEM_READER, hypervisor_list_detail),
    ROUTE("GET",    "/os-hypervisors/statistics",   SYSTEM_READER, hypervisor_statistics, .until = MV(87)),
    ROUTE("GET",    "/os-hypervisors/{id}",         SYSTEM_READER, hypervisor_show),
    ROUTE("GET",    "/os-hypervisors/{id}/uptime",  SYSTEM_READER, hypervisor_uptime, .until = MV(87)),
    ROUTE("GET",    "/os-hypervisors/{id}/search",  SYSTEM_READER, hypervisor_search, .until = MV(52)),
    ROUTE("GET",    "/os-hypervisors/{id}/servers", SYSTEM_READER, hypervisor_servers, .until = MV(52)),
    ROUTE("GET",    "/os-hosts",           SYSTEM_READER, oshost_list, .until = MV(42)),
    ROUTE("GET",    "/os-hosts/{id}",      SYSTEM_READER, oshost_show, .until = MV(42)),
    ROUTE("PUT",    "/os-hosts/{id}",      ADMIN_ONLY,    oshost_update, .until = MV(42)),
    ROUTE("GET",    "/os-hosts/{id}/startup",  ADMIN_ONLY, oshost_power, .until = MV(42)),
    ROUTE("GET",    "/os-hosts/{id}/shutdown", ADMIN_ONLY, oshost_power, .until = MV(42)),
    ROUTE("GET",    "/os-hosts/{id}/reboot",   ADMIN_ONLY, oshost_power, .until = MV(42)),
    ROUTE("POST",   "/os-server-external-events", ADMIN_ONLY, external_event_create),
    ROUTE("GET",    "/os-security-groups",           PROJECT_READER, secgroup_list,   .until = MV(35)),
    ROUTE("POST",   "/os-security-groups",           PROJECT_MEMBER, secgroup_create, .until = MV(35)),
    ROUTE("GET",    "/os-security-groups/{id}",      PROJECT_READER, secgroup_show,   .until = MV(35)),
    ROUTE("PUT",    "/os-security-groups/{id}",      PROJECT_MEMBER, secgroup_update, .until = MV(35)),
    ROUTE("DELETE", "/os-security-groups/{id}",      PROJECT_MEMBER, secgroup_delete, .until = MV(35)),
    ROUTE("POST",   "/os-security-group-rules",      PROJECT_MEMBER, secgroup_rule_create, .until = MV(35)),
    ROUTE("DELETE", "/os-security-group-rules/{id}", PROJECT_MEMBER, secgroup_rule_delete, .until = MV(35)),

    ROUTE("GET",    "/servers",            PROJECT_READER, server_list),
    ROUTE("POST",   "/servers",            PROJECT_MEMBER, server_create),
    ROUTE("GET",    "/servers/detail",     PROJECT_READER, server_list_detail),
    ROUTE("GET",    "/servers/{id}",       PROJECT_READER, server_show, .flags = QUICK | KEPT),
    ROUTE("PUT",    "/servers/{id}",       PROJECT_MEMBER, server_update),
    ROUTE("DELETE", "/servers/{id}",       PROJECT_MEMBER, server_delete),
    ROUTE("POST",   "/servers/{id}/action", PROJECT_MEMBER, server_action),
    ROUTE("GET",    "/servers/{id}/ips",             PROJECT_READER, server_ips),
    ROUTE("GET",    "/servers/{id}/ips/{network}",   PROJECT_READER, server_ips_network),
    ROUTE("GET",    "/servers/{id}/os-security-groups", PROJECT_READER, server_groups_list),
    ROUTE("GET",    "/servers/{id}/metadata",        PROJECT_READER, server_meta_list),
    ROUTE("POST",   "/servers/{id}/metadata",        PROJECT_MEMBER, server_meta_update),
    ROUTE("PUT",    "/servers/{id}/metadata",        PROJECT_MEMBER, server_meta_set),
    ROUTE("GET",    "/servers/{id}/metadata/{key}",  PROJECT_READER, server_meta_item),
    ROUTE("PUT",    "/servers/{id}/metadata/{key}",  PROJECT_MEMBER, server_meta_item_set),
    ROUTE("DELETE", "/servers/{id}/metadata/{key}",  PROJECT_MEMBER, server_meta_item_delete),
    ROUTE("GET",    "/servers/{id}/tags",            PROJECT_READER, server_tags_list,  .since = MV(26)),
    ROUTE("PUT",    "/servers/{id}/tags",            PROJECT_MEMBER, server_tags_set,   .since = MV(26)),
    ROUTE("DELETE", "/servers/{id}/tags",            PROJECT_MEMBER, server_tags_clear, .since = MV(26)),
    ROUTE("GET",    "/servers/{id}/tags/{tag}",      PROJECT_READER, server_tag_check,  .since = MV(26)),
    ROUTE("PUT",    "/servers/{id}/tags/{tag}",      PROJECT_MEMBER, server_tag_add,    .since = MV(26)),
    ROUTE("DELETE", "/servers/{id}/tags/{tag}",      PROJECT_MEMBER, server_tag_delete, .since = MV(26)),
    ROUTE("GET",    "/servers/{id}/diagnostics",     ADMIN_ONLY,     server_diagnostics),
    ROUTE("GET",    "/servers/{id}/os-server-password", PROJECT_READER, server_password_get),
    ROUTE("DELETE", "/servers/{id}/os-server-password", PROJECT_MEMBER, server_password_clear),
    ROUTE("GET",    "/servers/{id}/os-instance-actions",           PROJECT_READER, server_actions_list),
    ROUTE("GET",    "/servers/{id}/os-instance-actions/{request}", PROJECT_READER, server_actions_show),

    ROUTE("GET",    "/limits",                      PROJECT_READER, limits_show),
    ROUTE("GET",    "/os-quota-sets/{id}",          PROJECT_READER, quota_set_show),
    ROUTE("GET",    "/os-quota-sets/{id}/detail",   PROJECT_READER, quota_set_detail),
    ROUTE("GET",    "/os-quota-sets/{id}/defaults", AUTHENTICATED,  quota_set_defaults),
    ROUTE("PUT",    "/os-quota-sets/{id}",          ADMIN_ONLY,     quota_set_update),
    ROUTE("DELETE", "/os-quota-sets/{id}",          ADMIN_ONLY,     quota_set_delete),
    ROUTE("GET",    "/os-quota-class-sets/{id}",    ADMIN_ONLY,     quota_class_show),
    ROUTE("PUT",    "/os-quota-class-sets/{id}",    ADMIN_ONLY,     quota_class_update),
    ROUTE("GET",    "/os-simple-tenant-usage",      ADMIN_ONLY,     usage_list),
    ROUTE("GET",    "/os-simple-tenant-usage/{id}", PROJECT_READER, usage_show),

    ROUTE("GET",    "/os-certificates/{id}", AUTHENTICATED, gone),
    ROUTE("POST",   "/os-certificates",      AUTHENTICATED, gone),
    ROUTE("GET",    "/os-cells",             AUTHENTICATED, gone),
    ROUTE("GET",    "/os-fixed-ips/{id}",    AUTHENTICATED, gone),
    ROUTE("GET",    "/os-agents",            AUTHENTICATED, gone),
    ROUTE("GET",    "/os-fping",             AUTHENTICATED, gone),
    ROUTES_END
};
/* clang-format on */
