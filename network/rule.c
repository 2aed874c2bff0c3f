/* network/rule.c -- security group rules: made whole, never changed, and refused when they mean nothing. */
#include "core/dialect.h"
#include "core/id.h"
#include "identity/identity.h"
#include "network/internal.h"
#include <stdlib.h>
#include <string.h>

static const char *const directions[] = { "ingress", "egress", NULL };

/* Names that the API takes for protocol numbers (IANA; Neutron's list).  The last of a number is the one that it is compared as. */
static const struct { const char *name; int number; } protocols[] = {
    { "ah", 51 },    { "dccp", 33 }, { "egp", 8 },   { "esp", 50 },   { "gre", 47 },      { "hopopt", 0 },     { "icmp", 1 },       { "igmp", 2 },
    { "ip", 0 },     { "ipip", 4 },  { "ipv6-encap", 41 }, { "ipv6-frag", 44 }, { "icmpv6", 58 }, { "ipv6-icmp", 58 }, { "ipv6-nonxt", 59 },
    { "ipv6-opts", 60 }, { "ipv6-route", 43 }, { "ospf", 89 }, { "pgm", 113 }, { "rsvp", 46 }, { "sctp", 132 }, { "tcp", 6 }, { "udp", 17 },
    { "udplite", 136 }, { "vrrp", 112 },
};

int protocol_number(const char *protocol)
{
    if (!protocol || strcmp(protocol, "any") == 0)
        return -1;
    for (gsize i = 0; i < G_N_ELEMENTS(protocols); i++)
        if (strcmp(protocols[i].name, protocol) == 0)
            return protocols[i].number;
    gsize digits = strspn(protocol, "0123456789");
    int n = digits && digits <= 3 && !protocol[digits] ? (int) g_ascii_strtoll(protocol, NULL, 10) : -2;
    return n <= 255 ? n : -2;
}

/* Another rule with the same protocol may have this of it: the name for a number, the number for a name.  NULL: only the same text. */
static char *protocol_other(const char *protocol)
{
    int number = protocol_number(protocol);
    const char *name = NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(protocols); i++)
        if (protocols[i].number == number)
            name = protocols[i].name;
    if (!name)
        return NULL;
    return g_ascii_isdigit(*protocol) ? g_strdup(name) : strcmp(name, protocol) == 0 ? g_strdup_printf("%d", number) : NULL;
}

/* A name, or a number as text or as a number. */
static bool check_protocol(const Field *f, const json_t *v, GError **err)
{
    g_autofree char *low = g_ascii_strdown(json_string_value(v), -1);
    (void) f;
    return protocol_number(low) != -2
           || nv_fail(err, NV_ERR_INVALID,
                      "Security group rule protocol %s not supported. Only protocol values of IANA's names and "
                      "integer representations [0 to 255] are supported.",
                      json_string_value(v));
}

static bool check_ethertype(const Field *f, const json_t *v, GError **err)
{
    const char *s = json_string_value(v);
    return g_ascii_strcasecmp(s, "IPv4") == 0 || g_ascii_strcasecmp(s, "IPv6") == 0
           || nv_fail(err, NV_ERR_INVALID,
                      "Security group rule for ethertype '%s' not supported. Allowed values are ['IPv4', 'IPv6']. (%s)", s, f->json);
}

static char *lower(const char *text)
{
    return g_ascii_strdown(text, -1);
}

static char *ethertype_spelled(const char *text)
{
    return g_ascii_strcasecmp(text, "IPv4") == 0 ? g_strdup("IPv4") : g_ascii_strcasecmp(text, "IPv6") == 0 ? g_strdup("IPv6") : NULL;
}

static bool check_prefix(const Field *f, const json_t *v, GError **err)
{
    Cidr c;
    return !*json_string_value(v) || cidr_parse_any(json_string_value(v), false, &c)
        || nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: '%s' is not a valid IP subnet.", f->json, json_string_value(v));
}

/* The prefix without host bits. */
static void render_normalized(const Row *row, const Ctx *ctx, JsonW *w)
{
    const GroupRule *r = AS(const GroupRule, row);
    g_autofree char *text = cidr_canonical(r->remote_ip_prefix);
    (void) ctx;
    jw_str(w, text);
}

/* clang-format off */
static const Field fields[] = {
    STR (GroupRule, id,                "id",                FILTER | SORT),
    STR (GroupRule, project_id,        "project_id",        CREATE | ADMIN | FILTER | SORT, .check = check_text),
    COMPUTED("tenant_id", render_tenant),
    STR (GroupRule, security_group_id, "security_group_id", CREATE | REQUIRED | FILTER | SORT, .check = check_uuid),
    STR (GroupRule, direction,         "direction",         CREATE | REQUIRED | FILTER | SORT, .check = check_enum, .arg = directions),
    STR (GroupRule, ethertype,         "ethertype",         CREATE | FILTER | SORT, .check = check_ethertype, .canon = ethertype_spelled,
         .dflt = "\"IPv4\""),
    STR (GroupRule, protocol,          "protocol",          CREATE | FILTER | SORT | NULLABLE, .check = check_protocol, .canon = lower,
         .dflt = "null"),
    INT (GroupRule, port_range_min,    "port_range_min",    CREATE | FILTER | SORT | NULLABLE, .dflt = "null"),
    INT (GroupRule, port_range_max,    "port_range_max",    CREATE | FILTER | SORT | NULLABLE, .dflt = "null"),
    STR (GroupRule, remote_ip_prefix,  "remote_ip_prefix",  CREATE | FILTER | SORT | NULLABLE, .check = check_prefix, .canon = cidr_spelled,
         .dflt = "null"),
    STR (GroupRule, remote_group_id,   "remote_group_id",   CREATE | FILTER | SORT | NULLABLE, .check = check_name_nonempty, .dflt = "null"),
    STR (GroupRule, remote_address_group_id, "remote_address_group_id", CREATE | FILTER | SORT | NULLABLE, .check = check_uuid, .dflt = "null"),
    COMPUTED("normalized_cidr", render_normalized),
    STR (GroupRule, description,       "description",       CREATE | FILTER, .check = check_text, .dflt = "\"\""),
    INT (GroupRule, revision_number,   "revision_number",   FILTER | SORT, .dflt = "1"),
    TIME(GroupRule, created_at,        "created_at",        FILTER | SORT),
    TIME(GroupRule, updated_at,        "updated_at",        FILTER | SORT),
};
/* clang-format on */

static bool icmp_check(const GroupRule *r, GError **err)
{
    const Row *row = &r->row;
    bool has_type = !row_is_null(row, &r->port_range_min), has_code = !row_is_null(row, &r->port_range_max);
    if (has_code && !has_type)
        return nv_fail(err, NV_ERR_INVALID, "ICMP code (port-range-max) %d is provided but ICMP type (port-range-min) is missing.",
                       (int) r->port_range_max);
    if (has_type && (r->port_range_min < 0 || r->port_range_min > 255))
        return nv_fail(err, NV_ERR_INVALID, "Invalid value for ICMP type (port-range-min) %" G_GINT64_FORMAT ". It must be 0 to 255.",
                       r->port_range_min);
    if (has_code && (r->port_range_max < 0 || r->port_range_max > 255))
        return nv_fail(err, NV_ERR_INVALID, "Invalid value for ICMP code (port-range-max) %" G_GINT64_FORMAT ". It must be 0 to 255.",
                       r->port_range_max);
    return true;
}

static bool range_check(const GroupRule *r, int protocol, GError **err)
{
    static const int with_ports[] = { 6, 17, 33, 132, 136 };
    const Row *row = &r->row;
    bool has_min = !row_is_null(row, &r->port_range_min), has_max = !row_is_null(row, &r->port_range_max), ports = false;
    if (!has_min && !has_max)
        return true;
    if (protocol < 0)
        return nv_fail(err, NV_ERR_INVALID, "Must also specify protocol if port range is given.");
    if (protocol == 1 || protocol == 58)
        return icmp_check(r, err);
    for (gsize i = 0; i < G_N_ELEMENTS(with_ports); i++)
        ports |= with_ports[i] == protocol;
    if (!ports)
        return nv_fail(err, NV_ERR_INVALID, "Invalid protocol %s for port range, only supported for TCP, UDP, UDPLITE, SCTP and DCCP.", r->protocol);
    if ((has_min && (r->port_range_min < 1 || r->port_range_min > 65535)) || (has_max && (r->port_range_max < 1 || r->port_range_max > 65535)))
        return nv_fail(err, NV_ERR_INVALID, "Invalid value for port %" G_GINT64_FORMAT,
                       has_min && (r->port_range_min < 1 || r->port_range_min > 65535) ? r->port_range_min : r->port_range_max);
    if (!has_min || !has_max || r->port_range_min > r->port_range_max)
        return nv_fail(err, NV_ERR_INVALID, "For TCP/UDP protocols, port_range_min must be <= port_range_max");
    return true;
}

static bool remote_check(Db *db, const Ctx *ctx, const GroupRule *r, GError **err)
{
    int given = (r->remote_ip_prefix != NULL) + (r->remote_group_id != NULL) + (r->remote_address_group_id != NULL);
    Cidr c;
    gint64 known = 0;
    if (given > 1)
        return nv_fail(err, NV_ERR_INVALID, "Only remote_ip_prefix, remote_group_id or remote_address_group_id may be provided.");
    if (r->remote_ip_prefix && cidr_parse_any(r->remote_ip_prefix, false, &c) && c.base.version != (strcmp(r->ethertype, "IPv4") == 0 ? 4 : 6))
        return nv_fail(err, NV_ERR_INVALID, "Conflicting value ethertype %s for CIDR %s", r->ethertype, r->remote_ip_prefix);
    if (r->remote_group_id) {
        g_autoptr(Row) remote = row_get_for(db, &security_group_resource, ctx, r->remote_group_id, false, err);
        if (!remote)
            return false;
    }
    if (!r->remote_address_group_id)
        return true;
    if (!db_query_int(db, err, &known, "address_group_visible_to", "sss", r->remote_address_group_id, ctx->project_id, ctx->admin ? "1" : "0"))
        return false;
    return known || nv_fail(err, NV_ERR_NOT_FOUND, "Address group %s could not be found.", r->remote_address_group_id);
}

static bool protocol_check(const GroupRule *r, int protocol, GError **err)
{
    static const char *const only_six[] = { "icmpv6", "ipv6-encap", "ipv6-frag", "ipv6-icmp", "ipv6-nonxt", "ipv6-opts", "ipv6-route", NULL };
    static const int six[] = { 41, 43, 44, 58, 59, 60 };
    bool is_six = r->protocol && g_strv_contains(only_six, r->protocol);
    for (gsize i = 0; i < G_N_ELEMENTS(six); i++)
        is_six |= six[i] == protocol;
    return !is_six || strcmp(r->ethertype, "IPv6") == 0
        || nv_fail(err, NV_ERR_INVALID, "Invalid ethertype %s for protocol %s.", r->ethertype, r->protocol);
}

/* One spelling for what means the same: no protocol, IPv6's ICMP, no prefix, all ports. */
static void normalize(GroupRule *r)
{
    static const struct { const char *ethertype, *given, *kept; } protocol[] = {
        { NULL, "any", NULL }, { "IPv6", "icmp", "ipv6-icmp" }, { "IPv6", "icmpv6", "ipv6-icmp" }, { "IPv6", "1", "58" },
    };
    for (gsize i = 0; r->protocol && i < G_N_ELEMENTS(protocol); i++)
        if (strcmp(r->protocol, protocol[i].given) == 0 && (!protocol[i].ethertype || strcmp(r->ethertype, protocol[i].ethertype) == 0))
            ROW_SET_STR(r, protocol, protocol[i].kept);
    if (r->remote_ip_prefix && !*r->remote_ip_prefix)
        ROW_SET_NULL(r, remote_ip_prefix);
    if (r->port_range_min == 1 && r->port_range_max == 65535) {
        ROW_SET_NULL(r, port_range_min);
        ROW_SET_NULL(r, port_range_max);
    }
}

static const char *opt_number(const GroupRule *r, const gint64 *member, char buf[24])
{
    if (row_is_null(&r->row, member))
        return NULL;
    g_snprintf(buf, 24, "%" G_GINT64_FORMAT, *member);
    return buf;
}

static bool twin_check(Db *db, const GroupRule *r, GError **err)
{
    g_autofree char *twin = NULL, *other = protocol_other(r->protocol);
    char low[24], high[24];
    if (!db_query_str(db, err, &twin, "rule_twin", "ssssssssss", r->security_group_id, r->direction, r->ethertype, r->protocol,
                      opt_number(r, &r->port_range_min, low), opt_number(r, &r->port_range_max, high), r->remote_ip_prefix, r->remote_group_id,
                      r->remote_address_group_id, other))
        return false;
    return !twin || nv_fail(err, NV_ERR_CONFLICT, "Security group rule already exists. Rule id is %s.", twin);
}

static bool before_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    GroupRule *r = AS(GroupRule, row);
    g_autoptr(Group) g = AS(Group, row_get_for(db, &security_group_resource, ctx, r->security_group_id, true, err));
    if (!g)
        return false;
    if (!row_is_dirty(row, &r->project_id) || !ctx->admin || g_strcmp0(r->project_id, ctx->project_id) == 0)
        ROW_SET_STR(r, project_id, g->project_id);
    normalize(r);
    int protocol = protocol_number(r->protocol);
    return quota_check(db, r->project_id, "security_group_rule", 1, err) && protocol_check(r, protocol, err) && range_check(r, protocol, err)
        && remote_check(db, ctx, r, err) && twin_check(db, r, err) && db_exec(db, err, "group_bump", "s", g->id)
        && sync_group(db, ctx, g->id, err);
}

static void protocol_as_text(json_t *rule)
{
    json_t *protocol = json_object_get(rule, "protocol");
    if (!json_is_integer(protocol))
        return;
    g_autofree char *text = g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(protocol));
    json_object_set_new(rule, "protocol", json_string(text));
}

static const char *owner_of(const json_t *rule, const Ctx *ctx)
{
    const char *project = json_get_str(rule, "project_id"), *tenant = json_get_str(rule, "tenant_id");
    return project ? project : tenant ? tenant : ctx->project_id;
}

/* Rules of one request are of one group and one project. */
bool rule_create(Call *c, GError **err)
{
    size_t i;
    json_t *one;
    const json_t *first = NULL;
    protocol_as_text(json_object_get(c->body, "security_group_rule"));
    json_array_foreach(json_object_get(c->body, "security_group_rules"), i, one) {
        json_t *inner = json_object_get(one, "security_group_rule"), *rule = inner ? inner : one;
        protocol_as_text(rule);
        first = first ? first : rule;
        if (g_strcmp0(json_get_str(rule, "security_group_id"), json_get_str(first, "security_group_id")) != 0)
            return nv_fail(err, NV_ERR_INVALID, "Only allowed to update rules for one security profile at a time");
        if (g_strcmp0(owner_of(rule, c->ctx), owner_of(first, c->ctx)) != 0)
            return nv_fail(err, NV_ERR_INVALID, "Multiple tenant_ids in bulk security group rule create not allowed");
    }
    return resource_handle(c, err);
}

static bool before_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    const GroupRule *r = AS(const GroupRule, row);
    return db_exec(db, err, "group_bump", "s", r->security_group_id) && sync_group(db, ctx, r->security_group_id, err);
}

static bool rule_insert(Db *db, const char *group_id, const char *project_id, const char *direction, const char *ethertype,
                        const char *remote, GError **err)
{
    g_autoptr(GroupRule) r = AS(GroupRule, row_new(&security_group_rule_resource));
    g_autofree char *id = id_new();
    if (!row_defaults(&r->row, json_make("sss", "security_group_id", group_id, "direction", direction, "ethertype", ethertype), err))
        return false;
    ROW_SET_STR(r, id, id);
    ROW_SET_STR(r, project_id, project_id);
    ROW_SET_STR(r, remote_group_id, remote);
    return row_insert(db, &r->row, err);
}

bool group_rules_insert(Db *db, const char *group_id, const char *project_id, bool ingress_from_itself, GError **err)
{
    static const char *const ethertypes[] = { "IPv4", "IPv6" };
    for (gsize i = 0; i < G_N_ELEMENTS(ethertypes); i++)
        if (!rule_insert(db, group_id, project_id, "egress", ethertypes[i], NULL, err)
            || (ingress_from_itself && !rule_insert(db, group_id, project_id, "ingress", ethertypes[i], group_id, err)))
            return false;
    return true;
}

const Resource security_group_rule_resource = {
    .one = "security_group_rule", .many = "security_group_rules", .table = "security_group_rule", .dialect = &dialect_neutron, .scope = SCOPE_NAMED,
    .visible = "rule_visible", .writable = "rule_writable", .size = sizeof(GroupRule), FIELDS(fields), .label = "Security group rule",
    .before_create = before_create, .before_delete = before_delete,
};
