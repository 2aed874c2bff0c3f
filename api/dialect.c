/* api/dialect.c -- the dialects: error bodies, links, statuses, microversions of Nova, Neutron, Cinder, Glance and Keystone. */
#include "api/api.h"
#include <string.h>

/* clang-format off */
static const struct { int status; const char *title, *nova, *neutron; } codes[NV_ERR_LAST] = {
    [NV_ERR_INTERNAL]       = { 500, "Internal Server Error", "computeFault",        "HTTPInternalServerError" },
    [NV_ERR_INVALID]        = { 400, "Bad Request",           "badRequest",          "HTTPBadRequest" },
    [NV_ERR_UNAUTHORIZED]   = { 401, "Unauthorized",          "unauthorized",        "HTTPUnauthorized" },
    [NV_ERR_FORBIDDEN]      = { 403, "Forbidden",             "forbidden",           "PolicyNotAuthorized" },
    [NV_ERR_NOT_FOUND]      = { 404, "Not Found",             "itemNotFound",        "HTTPNotFound" },
    [NV_ERR_METHOD]         = { 405, "Method Not Allowed",    "badMethod",           "HTTPMethodNotAllowed" },
    [NV_ERR_NOT_ACCEPTABLE] = { 406, "Not Acceptable",        "computeFault",        "HTTPNotAcceptable" },
    [NV_ERR_CONFLICT]       = { 409, "Conflict",              "conflictingRequest",  "Conflict" },
    [NV_ERR_QUOTA]          = { 403, "Forbidden",             "forbidden",           "OverQuota" },
    [NV_ERR_TOO_LARGE]      = { 413, "Request Entity Too Large", "overLimit",        "HTTPRequestEntityTooLarge" },
    [NV_ERR_MEDIA_TYPE]     = { 415, "Unsupported Media Type", "badMediaType",       "HTTPUnsupportedMediaType" },
    [NV_ERR_RANGE]          = { 416, "Requested Range Not Satisfiable", "badRequest", "HTTPBadRequest" },
    [NV_ERR_RATE]           = { 429, "Too Many Requests",     "overLimit",           "HTTPTooManyRequests" },
    [NV_ERR_NO_HOST]        = { 409, "Conflict",              "conflictingRequest",  "Conflict" },
    [NV_ERR_AGENT]          = { 503, "Service Unavailable",   "serviceUnavailable",  "HTTPServiceUnavailable" },
    [NV_ERR_HOST_FAULT]     = { 500, "Internal Server Error", "computeFault",        "HTTPInternalServerError" },
    [NV_ERR_UNAVAILABLE]    = { 503, "Service Unavailable",   "serviceUnavailable",  "HTTPServiceUnavailable" },
    [NV_ERR_NO_SPACE]       = { 507, "Insufficient Storage",  "serviceUnavailable",  "HTTPServiceUnavailable" },
    [NV_ERR_CANCELLED]      = { 409, "Conflict",              "conflictingRequest",  "Conflict" },
    [NV_ERR_PRECONDITION]   = { 412, "Precondition Failed",   "computeFault",        "RevisionNumberConstraintFailed" },
};
/* clang-format on */

int dialect_status(const Dialect *d, NvErr code)
{
    return code == NV_ERR_QUOTA ? d->quota_status : codes[code].status;
}

static void error_nova(JsonW *w, int status, NvErr code, const char *message, const char *request_id)
{
    (void) request_id;
    jw_object(w);
    jw_key(w, codes[code].nova);
    jw_object(w);
    jw_kint(w, "code", status);
    jw_kstr(w, "message", message);
    jw_end_object(w);
    jw_end_object(w);
}

/* Neutron's names of single exceptions, where clients look for them. */
static const struct { NvErr code; const char *says, *type; } neutron_types[] = {
    { NV_ERR_CONFLICT, "already allocated in subnet",              "IpAddressAlreadyAllocated" },
    { NV_ERR_CONFLICT, "No more IP addresses available",           "IpAddressGenerationFailure" },
    { NV_ERR_CONFLICT, "ports still in use on the network",        "NetworkInUse" },
    { NV_ERR_CONFLICT, "have an IP allocation from this subnet",   "SubnetInUse" },
    { NV_ERR_CONFLICT, "pools in use on the address scope",        "AddressScopeInUse" },
    { NV_ERR_CONFLICT, "must have unique prefixes",                "AddressScopePrefixConflict" },
    { NV_ERR_CONFLICT, "Unable to delete subnet pool",             "SubnetPoolDeleteError" },
    { NV_ERR_CONFLICT, "QoS Policy ",                              "QosPolicyInUse" },
    { NV_ERR_CONFLICT, "default external network already exists",  "DefaultExternalNetworkExists" },
    { NV_ERR_CONFLICT, "has ports still attached",                 "RouterInUse" },
    { NV_ERR_CONFLICT, "is required by one or more floating IPs",  "RouterExternalGatewayInUseByFloatingIp" },
    { NV_ERR_CONFLICT, "as it is required by one or more floating", "RouterInterfaceInUseByFloatingIP" },
    { NV_ERR_CONFLICT, "as it is required by one or more routes",  "RouterInterfaceInUseByRoute" },
    { NV_ERR_CONFLICT, "already has a floating IP on external",    "FloatingIPPortAlreadyAssociated" },
    { NV_ERR_CONFLICT, "in use by Port Forwarding resources",      "FipInUseByPortForwarding" },
    { NV_ERR_CONFLICT, "cannot be deleted directly via the port",  "ServicePortInUse" },
    { NV_ERR_NOT_FOUND, "cannot associate Port",                   "ExternalGatewayForFloatingIPNotFound" },
    { NV_ERR_INVALID,  "Invalid format for routes",                "InvalidRoutes" },
    { NV_ERR_INVALID,  "Bad if-match request",                     "BadRequest" },
    { NV_ERR_CONFLICT, "RBAC policy on object",                    "RbacPolicyInUse" },
    { NV_ERR_CONFLICT, ". The mac address ",                       "MacAddressInUse" },
    { NV_ERR_INVALID,  "Port security must be enabled and",        "PortSecurityAndIPRequiredForSecurityGroups" },
    { NV_ERR_CONFLICT, "Cannot disable port security or IP",       "PortSecurityPortHasSecurityGroup" },
    { NV_ERR_CONFLICT, "subnet requires a minimum of",             "NetworkMTUSubnetConflict" },
    { NV_ERR_CONFLICT, "port is already bound",                    "PortBound" },
    { NV_ERR_CONFLICT, "both stateful and stateless",              "SecurityGroupConflict" },
    { NV_ERR_INVALID,  "allowed address pair exceeds the maximum", "AllowedAddressPairExhausted" },
    { NV_ERR_INVALID,  "contains duplicate address pair",          "DuplicateAddressPairInRequest" },
    { NV_ERR_CONFLICT, "Default security group already exists",    "SecurityGroupDefaultAlreadyExists" },
    { NV_ERR_CONFLICT, "Updating default security group",          "SecurityGroupCannotUpdateDefault" },
    { NV_ERR_CONFLICT, "for removing default security group",      "SecurityGroupCannotRemoveDefault" },
    { NV_ERR_CONFLICT, " in use. Ports: ",                         "SecurityGroupInUse" },
    { NV_ERR_CONFLICT, "in use on one or more security group",     "AddressGroupInUse" },
    { NV_ERR_CONFLICT, "Security group rule already exists",       "SecurityGroupRuleExists" },
    { NV_ERR_INVALID,  "for one security profile at a time",       "SecurityGroupNotSingleGroupRules" },
    { NV_ERR_INVALID,  "Multiple tenant_ids in bulk",              "SecurityGroupRulesNotSingleTenant" },
    { NV_ERR_INVALID,  "participate in the same address scope",    "NetworkAddressScopeAffinityError" },
};

/* Of those that are not there: what messages about them begin with. */
static const struct { const char *label, *type; } neutron_missing[] = {
    { "Address group ", "AddressGroupNotFound" },  { "Address scope ", "AddressScopeNotFound" },   { "Agent ", "AgentNotFound" },
    { "Floating IP ", "FloatingIPNotFound" },      { "Network ", "NetworkNotFound" },  { "Port Forwarding ", "PortForwardingNotFound" },
    { "Port ", "PortNotFound" },                   { "QoS policy ", "QosPolicyNotFound" },         { "QoS rule ", "QosRuleNotFound" },
    { "RBAC policy ", "RbacPolicyNotFound" },      { "Router ", "RouterNotFound" }, { "Security group rule ", "SecurityGroupRuleNotFound" },
    { "Security group ", "SecurityGroupNotFound" }, { "Subnet pool ", "SubnetPoolNotFound" },      { "Subnet ", "SubnetNotFound" },
    { "Trunk ", "TrunkNotFound" },
};

/* The first that fits: in both tables the longer of two that begin alike stands first. */
static const char *neutron_type(NvErr code, const char *message)
{
    for (gsize i = 0; i < G_N_ELEMENTS(neutron_types); i++)
        if (neutron_types[i].code == code && strstr(message, neutron_types[i].says))
            return neutron_types[i].type;
    bool missing = code == NV_ERR_NOT_FOUND && (g_str_has_suffix(message, " could not be found.") || g_str_has_suffix(message, " does not exist"));
    for (gsize i = 0; missing && i < G_N_ELEMENTS(neutron_missing); i++)
        if (g_str_has_prefix(message, neutron_missing[i].label))
            return neutron_missing[i].type;
    return codes[code].neutron;
}

static void error_neutron(JsonW *w, int status, NvErr code, const char *message, const char *request_id)
{
    (void) status;
    (void) request_id;
    jw_object(w);
    jw_key(w, "NeutronError");
    jw_object(w);
    jw_kstr(w, "type", neutron_type(code, message));
    jw_kstr(w, "message", message);
    jw_kstr(w, "detail", "");
    jw_end_object(w);
    jw_end_object(w);
}

/* As webob renders an error for a client that accepts JSON (Glance). */
static void error_glance(JsonW *w, int status, NvErr code, const char *message, const char *request_id)
{
    (void) request_id;
    g_autofree char *line = g_strdup_printf("%d %s", status, codes[code].title);
    jw_object(w);
    jw_kstr(w, "message", message);
    jw_kstr(w, "code", line);
    jw_kstr(w, "title", codes[code].title);
    jw_end_object(w);
}

static void error_keystone(JsonW *w, int status, NvErr code, const char *message, const char *request_id)
{
    (void) request_id;
    jw_object(w);
    jw_key(w, "error");
    jw_object(w);
    jw_kint(w, "code", status);
    jw_kstr(w, "message", message);
    jw_kstr(w, "title", codes[code].title);
    jw_end_object(w);
    jw_end_object(w);
}

static void link_row(JsonW *w, const char *rel, const char *href)
{
    if (!href)
        return;
    jw_object(w);
    jw_kstr(w, "href", href);
    jw_kstr(w, "rel", rel);
    jw_end_object(w);
}

/* "servers_links": [{"rel": "next", …}], left out where there is nothing to link to. */
static void links_rows(JsonW *w, const Resource *res, const char *self, const char *next, const char *previous)
{
    (void) self;
    if (!next && !previous)
        return;
    g_autofree char *name = g_strconcat(res->many, "_links", NULL);
    jw_key(w, name);
    jw_array(w);
    link_row(w, "next", next);
    link_row(w, "previous", previous);
    jw_end_array(w);
}

static void links_keystone(JsonW *w, const Resource *res, const char *self, const char *next, const char *previous)
{
    (void) res;
    jw_key(w, "links");
    jw_object(w);
    jw_kstr(w, "next", next);
    jw_kstr(w, "previous", previous);
    jw_kstr(w, "self", self);
    jw_end_object(w);
}

static void links_glance(JsonW *w, const Resource *res, const char *self, const char *next, const char *previous)
{
    (void) previous;
    g_autofree char *schema = g_strconcat("/v2/schemas/", res->many, NULL);
    jw_kstr(w, "first", self);
    jw_kstr(w, "schema", schema);
    if (next)
        jw_kstr(w, "next", next);
}

const Dialect dialect_nova = {
    .name = "nova", .service_type = "compute", .clock = CLOCK_SECONDS_Z, .lax_types = true, .unknown_filter_ignored = true, .name_regex = true,
    .mv_major = 2, .mv_min = 1, .mv_max = 93, .mv_service = "compute", .mv_legacy = "X-OpenStack-Nova-API-Version",
    .created = 200, .updated = 200, .quota_status = 403, .error = error_nova, .list_links = links_rows,
};
const Dialect dialect_neutron = {
    .name = "neutron", .service_type = "network", .clock = CLOCK_SECONDS_Z, .lax_types = true, .bool_words = true, .admin_lists_all = true,
    .revision_match = true, .created = 201, .updated = 200, .quota_status = 409, .error = error_neutron, .list_links = links_rows,
};
const Dialect dialect_cinder = {
    .name = "cinder", .service_type = "volumev3", .clock = CLOCK_MICROS, .lax_types = true, .unknown_filter_ignored = true,
    .mv_major = 3, .mv_min = 0, .mv_max = 70, .mv_service = "volume",
    .created = 202, .updated = 200, .quota_status = 413, .error = error_nova, .list_links = links_rows,
};
const Dialect dialect_glance = {
    .name = "glance", .service_type = "image", .clock = CLOCK_SECONDS_Z, .flat = true, .admin_lists_all = true, .unknown_filter_ignored = true,
    .created = 201, .updated = 200, .quota_status = 413, .error = error_glance, .list_links = links_glance,
};
const Dialect dialect_keystone = {
    .name = "keystone", .service_type = "identity", .clock = CLOCK_MICROS_Z, .admin_lists_all = true, .unknown_filter_ignored = true,
    .created = 201, .updated = 200, .quota_status = 403, .error = error_keystone, .list_links = links_keystone,
};
