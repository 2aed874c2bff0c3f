/* network/qos_rule.c -- rules of QoS policies: limits and promises by direction, DSCP marks; one of a kind and direction in a policy. */
#include "core/dialect.h"
#include "network/qos.h"
#include <string.h>

typedef struct BandwidthRule { Row row; char *id, *qos_policy_id, *direction; gint64 max_kbps, max_burst_kbps; } BandwidthRule;
typedef struct PacketRule { Row row; char *id, *qos_policy_id, *direction; gint64 max_kpps, max_burst_kpps; } PacketRule;
typedef struct PromiseRule { Row row; char *id, *qos_policy_id, *direction; gint64 min_kbps; } PromiseRule;
typedef struct PacketPromiseRule { Row row; char *id, *qos_policy_id, *direction; gint64 min_kpps; } PacketPromiseRule;
typedef struct DscpRule { Row row; char *id, *qos_policy_id; gint64 dscp_mark; } DscpRule;

static const Range any_int = { 0, 2147483647 };
static const char *const directions[] = { "ingress", "egress", NULL };
static const char *const directions_or_any[] = { "ingress", "egress", "any", NULL };
static const gint64 dscp_marks[] = { 0, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 46, 48, 56 };

static bool check_mark(const Field *f, const json_t *v, GError **err)
{
    for (gsize i = 0; i < G_N_ELEMENTS(dscp_marks); i++)
        if (json_integer_value(v) == dscp_marks[i])
            return true;
    return nv_fail(err, NV_ERR_INVALID, "Invalid input for %s. Reason: %" JSON_INTEGER_FORMAT " is not a valid DSCP mark.", f->json,
                   json_integer_value(v));
}

/* clang-format off */
#define RATE(T, m, ...) INT(T, m, #m, CREATE | UPDATE | FILTER | SORT, .check = check_range, .arg = &any_int, ##__VA_ARGS__)
#define COMMON(T) STR(T, id, "id", FILTER | SORT), STR(T, qos_policy_id, "qos_policy_id", CREATE | REQUIRED | FILTER | HIDDEN)
#define DIRECTION_OF(T, list) \
    STR(T, direction, "direction", CREATE | UPDATE | FILTER | SORT, .check = check_enum, .arg = list, .dflt = "\"egress\"")
#define DIRECTION(T) DIRECTION_OF(T, directions)
static const Field bandwidth_fields[] = {
    COMMON(BandwidthRule),
    INT(BandwidthRule, max_kbps, "max_kbps", CREATE | UPDATE | REQUIRED | FILTER | SORT, .check = check_range, .arg = &any_int),
    RATE(BandwidthRule, max_burst_kbps, .dflt = "0"),
    DIRECTION(BandwidthRule),
};
static const Field packet_fields[] = {
    COMMON(PacketRule),
    INT(PacketRule, max_kpps, "max_kpps", CREATE | UPDATE | REQUIRED | FILTER | SORT, .check = check_range, .arg = &any_int),
    RATE(PacketRule, max_burst_kpps, .dflt = "0"),
    DIRECTION(PacketRule),
};
static const Field promise_fields[] = {
    COMMON(PromiseRule),
    INT(PromiseRule, min_kbps, "min_kbps", CREATE | UPDATE | REQUIRED | FILTER | SORT, .check = check_range, .arg = &any_int),
    DIRECTION(PromiseRule),
};
static const Field packet_promise_fields[] = {
    COMMON(PacketPromiseRule),
    INT(PacketPromiseRule, min_kpps, "min_kpps", CREATE | UPDATE | REQUIRED | FILTER | SORT, .check = check_range, .arg = &any_int),
    DIRECTION_OF(PacketPromiseRule, directions_or_any),
};
static const Field dscp_fields[] = {
    COMMON(DscpRule),
    INT(DscpRule, dscp_mark, "dscp_mark", CREATE | UPDATE | REQUIRED | FILTER | SORT, .check = check_mark),
};

/* One kind of rule: what a driver says of it, and the statement that finds its twin.  against: a rule of that other kind which leaves no room for
 * this one's first value.  promises: hosts must have what the first value says. */
static const struct RuleKind {
    const Resource *res;
    const char *type, *twin;
    const Field *direction;
    const char *against, *other;
    bool promises;
} kinds[] = {
    { &qos_bandwidth_resource, "bandwidth_limit",   "qos_bandwidth_twin",         &bandwidth_fields[4], "qos_promise_above", "minimum_bandwidth", false },
    { &qos_packet_resource,    "packet_rate_limit", "qos_packet_rate_twin",       &packet_fields[4],    NULL, NULL, false },
    { &qos_dscp_resource,      "dscp_marking",      "qos_dscp_twin",              NULL,                 NULL, NULL, false },
    { &qos_promise_resource,   "minimum_bandwidth", "qos_minimum_bandwidth_twin", &promise_fields[3],   "qos_limit_below", "bandwidth_limit", true },
    { &qos_packet_promise_resource, "minimum_packet_rate", "qos_minimum_packet_rate_twin", &packet_promise_fields[3], NULL, NULL,
      true },
};
/* clang-format on */

static const struct RuleKind *kind_of(const Resource *res)
{
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (kinds[i].res == res)
            return &kinds[i];
    g_assert_not_reached();
}

/* Each kind begins with these members. */
static const char *rule_id(const Row *row)
{
    return *FIELD_PTR(row, &row->res->fields[0], char *);
}

static const char *rule_policy(const Row *row)
{
    return *FIELD_PTR(row, &row->res->fields[1], char *);
}

static bool twin_check(Db *db, const Row *row, GError **err)
{
    const struct RuleKind *kind = kind_of(row->res);
    g_autofree char *twin = NULL;
    const char *direction = kind->direction ? *FIELD_PTR(row, kind->direction, char *) : NULL;
    if (!db_query_str(db, err, &twin, kind->twin, "sss", rule_policy(row), direction, rule_id(row)))
        return false;
    return !twin || nv_fail(err, NV_ERR_CONFLICT, "Rule %s conflicts with rule %s which already exists in QoS Policy %s.", kind->type, twin,
                            rule_policy(row));
}

/* Nobody can promise more than he lets through. */
static bool against_check(Db *db, const Row *row, GError **err)
{
    const struct RuleKind *kind = kind_of(row->res);
    gint64 value = kind->against ? *FIELD_PTR(row, &row->res->fields[2], gint64) : 0;
    g_autofree char *there = NULL;
    if (kind->against && !db_query_str(db, err, &there, kind->against, "si", rule_policy(row), value))
        return false;
    return !there || nv_fail(err, NV_ERR_CONFLICT, "Unable to add the rule with value %" G_GINT64_FORMAT " to the policy %s as the existing rule of "
                             "type %s has value %s.", value, rule_policy(row), kind->other, there);
}

/* A host that promised more than it now has still lets promises shrink, and limits and marks change. */
static bool promises_more(const Row *row, const Row *old)
{
    const struct RuleKind *kind = kind_of(row->res);
    const Field *value = &row->res->fields[2];
    return kind->promises && (!old || *FIELD_PTR(row, value, gint64) > *FIELD_PTR(old, value, gint64)
                              || strcmp(*FIELD_PTR(row, kind->direction, char *), *FIELD_PTR(old, kind->direction, char *)) != 0);
}

/* Writes the row before it is looked whether everyone who has the policy can have what it promises. */
static bool write_kept(Db *db, Row *row, const Row *old, GError **err)
{
    return (old ? row_update(db, row, err) : row_insert(db, row, err)) && (!promises_more(row, old) || qos_kept(db, rule_policy(row), err));
}

static bool changed(Db *db, const Ctx *ctx, const Row *row, GError **err)
{
    return db_exec(db, err, "qos_bump", "s", rule_policy(row)) && sync_qos(db, ctx, rule_policy(row), err);
}

static bool before_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    if (!ctx->admin)
        return nv_fail(err, NV_ERR_FORBIDDEN, "rule:create_policy_%s is disallowed by policy", row->res->one);
    g_autoptr(Row) policy = row_get_for(db, &qos_policy_resource, ctx, rule_policy(row), false, err);
    return policy && row_revision_check(policy, ctx, rule_policy(row), err) && twin_check(db, row, err)
        && against_check(db, row, err) && write_kept(db, row, NULL, err) && changed(db, ctx, row, err);
}

static bool before_update(Db *db, const Ctx *ctx, Row *row, const Row *old, GError **err)
{
    return twin_check(db, row, err) && against_check(db, row, err) && write_kept(db, row, old, err) && changed(db, ctx, row, err);
}

static bool before_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    return changed(db, ctx, row, err);
}

#define RULE_RESOURCE(symbol, T, one_, table_, fields_) \
    const Resource symbol = { \
        .one = one_, .many = one_ "s", .table = table_, .dialect = &dialect_neutron, .scope = SCOPE_NAMED, .visible = "qos_rule_visible", \
        .writable = "qos_writable", .size = sizeof(T), FIELDS(fields_), .label = "QoS rule", .before_create = before_create, \
        .before_update = before_update, .before_delete = before_delete, \
    }
RULE_RESOURCE(qos_bandwidth_resource, BandwidthRule, "bandwidth_limit_rule", "qos_bandwidth_limit_rule", bandwidth_fields);
RULE_RESOURCE(qos_packet_resource, PacketRule, "packet_rate_limit_rule", "qos_packet_rate_limit_rule", packet_fields);
RULE_RESOURCE(qos_promise_resource, PromiseRule, "minimum_bandwidth_rule", "qos_minimum_bandwidth_rule", promise_fields);
RULE_RESOURCE(qos_packet_promise_resource, PacketPromiseRule, "minimum_packet_rate_rule", "qos_minimum_packet_rate_rule", packet_promise_fields);
RULE_RESOURCE(qos_dscp_resource, DscpRule, "dscp_marking_rule", "qos_dscp_marking_rule", dscp_fields);

json_t *qos_rules_of(Db *db, const json_t *ids, GError **err)
{
    g_autofree char *text = json_text(ids);
    g_autoptr(json_t) rows = db_query(db, err, "qos_rules", "s", text);
    json_t *all = rows ? json_object() : NULL, *row;
    size_t i;
    json_array_foreach(rows, i, row) {
        const char *policy = json_get_str(row, "qos_policy_id");
        json_t *list = json_object_get(all, policy), *rule = json_parse_trusted(json_get_str(row, "body"));
        if (!list)
            json_object_set_new(all, policy, list = json_array());
        json_object_set(rule, "id", json_object_get(row, "id"));
        json_object_set(rule, "qos_policy_id", json_object_get(row, "qos_policy_id"));
        json_object_set(rule, "type", json_object_get(row, "type"));
        json_array_append_new(list, rule);
    }
    return all;
}

/* --- rules under their policy, by the generic engine --- */

static bool policy_seen(Call *c, GError **err)
{
    g_autoptr(Row) policy = row_get_for(c->db, &qos_policy_resource, c->ctx, c->params[0], false, err);
    return policy != NULL;
}

bool qos_rule_list(Call *c, GError **err)
{
    if (!policy_seen(c, err))
        return false;
    g_autofree Param *query = g_new(Param, c->n_query + 1);
    const Param *given = c->query;
    size_t n_given = c->n_query, n = 0;
    for (size_t i = 0; i < n_given; i++)
        if (strcmp(given[i].name, "qos_policy_id") != 0)       /* several of them would mean any of them */
            query[n++] = given[i];
    query[n++] = (Param){ (char *) "qos_policy_id", c->params[0] };
    c->query = query;
    c->n_query = n;
    bool ok = resource_handle(c, err);
    c->query = given;
    c->n_query = n_given;
    return ok;
}

bool qos_rule_create(Call *c, GError **err)
{
    json_t *body = call_body_object(c, c->route->res->one, err);
    if (!body)
        return false;
    json_object_del(body, "tenant_id");
    json_object_del(body, "project_id");
    json_object_set_new(body, "qos_policy_id", json_string(c->params[0]));
    return resource_handle(c, err);
}

/* A rule is addressed through its own policy. */
bool qos_rule_one(Call *c, GError **err)
{
    char *policy = c->params[0];
    if (!policy_seen(c, err))
        return false;
    g_autoptr(Row) row = row_get_for(c->db, c->route->res, c->ctx, c->params[1], false, NULL);
    if (!row || strcmp(rule_policy(row), policy) != 0)
        return nv_fail(err, NV_ERR_NOT_FOUND, "QoS rule %.64s for policy %s could not be found.", c->params[1], policy);
    c->params[0] = c->params[1];
    c->params[1] = policy;
    return resource_handle(c, err);
}

/* GET of an alias names the object after its path, as Neutron does. */
bool qos_alias_one(Call *c, GError **err)
{
    g_autofree char *alias = g_strconcat("alias_", c->route->res->one, NULL);
    json_t *given = json_object_get(c->body, alias);
    if (given)
        json_object_set(c->body, c->route->res->one, given);
    if (strcmp(c->route->method, "DELETE") == 0)
        return resource_handle(c, err);
    if (strcmp(c->route->method, "PUT") == 0 && !resource_handle(c, err))
        return false;
    g_autoptr(Row) row = row_get_for(c->db, c->route->res, c->ctx, c->params[0], false, err);
    if (!row)
        return false;
    if (c->out)
        g_string_truncate(c->out, 0);
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, alias);
    row_render(row, c->ctx, &w, false);
    jw_end_object(&w);
    return true;
}

/* --- what kinds of rules there are --- */

bool qos_types_list(Call *c, GError **err)
{
    json_t *list = json_array();
    (void) err;
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
        json_array_append_new(list, json_make("s", "type", kinds[i].type));
    return call_reply(c, 200, json_make("o", "rule_types", list));
}

static json_t *choices(const char *name, json_t *values)
{
    return json_make("sso", "parameter_name", name, "parameter_type", "choices", "parameter_values", values);
}

static json_t *parameter(const Field *f)
{
    json_t *values = json_array();
    if (f->check == check_range) {
        json_decref(values);
        return json_make("sso", "parameter_name", f->json, "parameter_type", "range", "parameter_values",
                         json_make("ii", "start", any_int.min, "end", any_int.max));
    }
    for (gsize i = 0; f->check == check_mark && i < G_N_ELEMENTS(dscp_marks); i++)
        json_array_append_new(values, json_integer(dscp_marks[i]));
    for (const char *const *one = f->check == check_enum ? f->arg : NULL; one && *one; one++)
        json_array_append_new(values, json_string(*one));
    return choices(f->json, values);
}

bool qos_type_show(Call *c, GError **err)
{
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        json_t *parameters = json_array(), *drivers = json_array();
        if (strcmp(kinds[i].type, c->params[0]) != 0) {
            json_decref(parameters);
            json_decref(drivers);
            continue;
        }
        for (size_t k = 2; k < kinds[i].res->n_fields; k++)
            json_array_append_new(parameters, parameter(&kinds[i].res->fields[k]));
        json_array_append_new(drivers, json_make("so", "name", "nuvolet", "supported_parameters", parameters));
        return call_reply(c, 200, json_make("o", "rule_type", json_make("so", "type", kinds[i].type, "drivers", drivers)));
    }
    return nv_fail(err, NV_ERR_NOT_FOUND, "Rule type %.64s could not be found.", c->params[0]);
}

/* --- what a host makes of it --- */

json_t *desired_qos(const json_t *rows)
{
    json_t *qos = json_array_size(rows) ? json_object() : NULL, *row;
    size_t i;
    json_array_foreach((json_t *) rows, i, row) {
        const char *direction = json_get_str(row, "direction");
        static const struct { const char *column, *member; gint64 factor; } members[] = {
            { "kbps", "kbps", 1 }, { "burst", "burst_kb", 1 }, { "min_kbps", "min_kbps", 1 },
            { "kpps", "pps", 1000 }, { "kpps_burst", "pps_burst", 1000 },
        };
        for (gsize m = 0; direction && m < G_N_ELEMENTS(members); m++) {
            g_autofree char *name = g_strdup_printf("%s_%s", direction, members[m].member);
            gint64 value = json_get_int(row, members[m].column, 0);
            if (value)
                json_object_set_new(qos, name, json_integer(value * members[m].factor));
        }
        if (json_get_int(row, "min_kbps", 0))
            json_object_set(qos, "physical", json_object_get(row, "physical"));
        if (!direction)
            json_object_set_new(qos, "dscp", json_integer(json_get_int(row, "dscp", 0)));
    }
    return qos;
}

json_t *desired_qos_load(Db *db, const char *port_id, GError **err)
{
    g_autoptr(json_t) rows = db_query(db, err, "qos_of_port", "s", port_id);
    json_t *qos = rows ? desired_qos(rows) : NULL;
    return qos || !rows ? qos : json_null();
}
