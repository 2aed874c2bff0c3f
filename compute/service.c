/* compute/service.c -- hosts as the operator's services: os-services, os-availability-zone, os-hosts. */
#include "compute/internal.h"
#include "core/clock.h"
#include "core/id.h"
#include <string.h>

static bool is_up(const json_t *host)
{
    return agent_is_up(json_get_str(host, "name")) && !json_get_int(host, "forced_down", 0);
}

/* Times of services have microseconds and no zone. */
static void put_time(JsonW *w, const char *key, gint64 us)
{
    char text[32];
    clock_format(us, CLOCK_MICROS, text);
    jw_kstr(w, key, text);
}

static void put_service(const Call *c, const json_t *h, JsonW *w)
{
    bool uuid = c->ctx->mv >= MV(53);
    jw_object(w);
    if (uuid)
        jw_kstr(w, "id", json_get_str(h, "id"));
    else
        jw_kint(w, "id", json_get_int(h, "number", 0));
    jw_kstr(w, "binary", "nova-compute");
    jw_kstr(w, "host", json_get_str(h, "name"));
    jw_kstr(w, "zone", json_get_str(h, "zone"));
    jw_kstr(w, "status", json_get_int(h, "enabled", 0) ? "enabled" : "disabled");
    jw_kstr(w, "state", is_up(h) ? "up" : "down");
    put_time(w, "updated_at", json_get_int(h, "seen_at", 0));
    jw_kstr(w, "disabled_reason", json_get_str(h, "disabled_reason"));
    if (c->ctx->mv >= MV(11))
        jw_kbool(w, "forced_down", json_get_int(h, "forced_down", 0));
    jw_end_object(w);
}

bool service_list(Call *c, GError **err)
{
    static const char *const known[] = { "host", "binary", NULL };
    const char *host = call_query(c, "host"), *binary = call_query(c, "binary");
    if (!query_allowed(c, known, MV(75), err))
        return false;
    g_autoptr(json_t) rows = db_query(c->db, err, "host_list", "");
    size_t i;
    json_t *h;
    if (!rows)
        return false;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "services");
    jw_array(&w);
    json_array_foreach(rows, i, h)
        if ((!host || !*host || strcmp(host, json_get_str(h, "name")) == 0) && (!binary || !*binary || strcmp(binary, "nova-compute") == 0))
            put_service(c, h, &w);
    jw_end_array(&w);
    jw_end_object(&w);
    return true;
}

static json_t *host_by(Db *db, const char *query, const char *key, GError **err)
{
    g_autoptr(json_t) rows = db_query(db, err, query, "s", key);
    if (!rows)
        return NULL;
    if (!json_array_size(rows))
        return nv_fail(err, NV_ERR_NOT_FOUND, "Compute service or host %.255s could not be found.", key), NULL;
    return json_incref(json_array_get(rows, 0));
}

static bool check_service_id(const Call *c, GError **err)
{
    gint64 n;
    if (c->ctx->mv >= MV(53) ? id_is_uuid(c->params[0]) : g_ascii_string_to_signed(c->params[0], 10, 0, G_MAXINT64, &n, NULL))
        return true;
    return nv_fail(err, NV_ERR_INVALID,
                   c->ctx->mv >= MV(53) ? "Invalid uuid %.80s" : "Invalid input received: id must be an integer, not %.80s", c->params[0]);
}

static bool set_service(Call *c, const json_t *h, const json_t *body, GError **err)
{
    const char *status = json_get_str(body, "status"), *reason = json_get_str(body, "disabled_reason");
    json_t *down = json_object_get(body, "forced_down");
    bool enabled = status ? strcmp(status, "enabled") == 0 : json_get_int(h, "enabled", 0);
    bool is_down = down ? bool_text(down) : json_get_int(h, "forced_down", 0);
    return db_exec(c->db, err, "host_set_service", "siis", json_get_str(h, "id"), (gint64) enabled, (gint64) is_down,
                   enabled ? NULL : status ? reason : json_get_str(h, "disabled_reason"));
}

/* PUT /os-services/{id} (2.53): status, disabled_reason, forced_down. */
bool service_update(Call *c, GError **err)
{
    static const char *const keys[] = { "status", "disabled_reason", "forced_down", NULL };
    static const Field down_field = { .json = "forced_down" };
    const json_t *body = c->body, *down = json_object_get(body, "forced_down");
    const char *status = json_get_str(body, "status");
    if (!check_service_id(c, err))
        return false;
    if (!json_is_object(body) || !json_object_size(body))
        return nv_fail(err, NV_ERR_INVALID,
                       "Invalid input for field/attribute body. No updates were requested. Fields 'status' or 'forced_down' should be specified.");
    if (!body_allowed(body, keys, err) || (down && !check_bool_text(&down_field, down, err)))
        return false;
    if (json_object_get(body, "status") && (!status || (strcmp(status, "enabled") != 0 && strcmp(status, "disabled") != 0)))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute status. It is not one of ['enabled', 'disabled']");
    if (json_object_get(body, "disabled_reason") && (!status || strcmp(status, "disabled") != 0))
        return nv_fail(err, NV_ERR_INVALID, "Specifying disabled_reason requires that status is 'disabled'.");
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(json_t) h = txn.db ? host_by(c->db, "host_by_id", c->params[0], err) : NULL;
    if (!h)
        return false;
    if (!set_service(c, h, body, err))
        return false;
    g_autoptr(json_t) after = host_by(c->db, "host_by_id", c->params[0], err);
    if (!after || !txn_commit(&txn, err))
        return false;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "service");
    put_service(c, after, &w);
    jw_end_object(&w);
    return true;
}

/* PUT /os-services/enable|disable|disable-log-reason|force-down, before 2.53: host and binary in the body. */
bool service_update_legacy(Call *c, GError **err)
{
    static const char *const verbs[] = { "enable", "disable", "disable-log-reason", "force-down", NULL };
    static const char *const keys[] = { "host", "binary", "disabled_reason", "forced_down", NULL };
    const char *verb = c->params[0], *host = json_get_str(c->body, "host"), *binary = json_get_str(c->body, "binary");
    if (!g_strv_contains(verbs, verb) || (strcmp(verb, "force-down") == 0 && c->ctx->mv < MV(11)))
        return nv_fail(err, NV_ERR_NOT_FOUND, "Unknown action");
    if (!body_allowed(c->body, keys, err))
        return false;
    if (!host || !binary)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute body. 'host' and 'binary' are required properties");
    if (strcmp(verb, "disable-log-reason") == 0 && !json_get_str(c->body, "disabled_reason"))
        return nv_fail(err, NV_ERR_INVALID, "Missing disabled reason field");
    if (strcmp(binary, "nova-compute") != 0)
        return nv_fail(err, NV_ERR_INVALID, "Updating a %.64s service is not supported. Only nova-compute services can be updated.", binary);
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(json_t) h = txn.db ? host_by(c->db, "host_by_name", host, err) : NULL;
    if (!h)
        return false;
    g_autoptr(json_t) change = json_copy(c->body), said = json_make("ss", "host", host, "binary", binary);
    if (strcmp(verb, "force-down") == 0) {
        json_object_set_new(said, "forced_down", json_boolean(bool_text(json_object_get(c->body, "forced_down"))));
    } else {
        const char *status = strcmp(verb, "enable") == 0 ? "enabled" : "disabled";
        json_object_set_new(change, "status", json_string(status));
        json_object_del(change, "forced_down");
        json_object_set_new(said, "status", json_string(status));
        if (strcmp(verb, "disable-log-reason") == 0)
            json_object_set(said, "disabled_reason", json_object_get(c->body, "disabled_reason"));
        else
            json_object_del(change, "disabled_reason");
    }
    return set_service(c, h, change, err) && txn_commit(&txn, err) && call_reply(c, 200, json_make("o", "service", json_incref(said)));
}

/* For hosts that are gone for good; while servers are placed there it is refused. */
bool service_delete(Call *c, GError **err)
{
    gint64 n = 0;
    if (!check_service_id(c, err))
        return false;
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(json_t) h = txn.db ? host_by(c->db, c->ctx->mv >= MV(53) ? "host_by_id" : "host_by_number", c->params[0], err) : NULL;
    if (!h)
        return false;
    const char *name = json_get_str(h, "name");
    if (!db_query_int(c->db, err, &n, "host_server_count", "s", name))
        return false;
    if (n)
        return nv_fail(err, NV_ERR_CONFLICT, "Unable to delete compute service that is hosting instances. Migrate or delete the instances first.");
    return db_exec(c->db, err, "host_delete", "s", json_get_str(h, "id")) && txn_commit(&txn, err) && call_reply_empty(c, 204);
}

/* --- availability zones --- */
static void put_zone_hosts(const json_t *rows, const char *zone, JsonW *w)
{
    size_t i;
    json_t *h;
    jw_object(w);
    json_array_foreach((json_t *) rows, i, h) {
        if (strcmp(zone, json_get_str(h, "zone")) != 0)
            continue;
        jw_key(w, json_get_str(h, "name"));
        jw_object(w);
        jw_key(w, "nova-compute");
        jw_object(w);
        jw_kbool(w, "available", is_up(h));
        jw_kbool(w, "active", json_get_int(h, "enabled", 0));
        put_time(w, "updated_at", json_get_int(h, "seen_at", 0));
        jw_end_object(w);
        jw_end_object(w);
    }
    jw_end_object(w);
}

static bool zones(Call *c, bool detail, GError **err)
{
    g_autoptr(json_t) rows = db_query(c->db, err, "host_list", "");
    g_autoptr(GHashTable) open = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    size_t i;
    json_t *h;
    if (!rows)
        return false;
    json_array_foreach(rows, i, h) {
        char *zone = (char *) json_get_str(h, "zone");
        if (!g_hash_table_contains(open, zone))
            g_ptr_array_add(names, zone);
        g_hash_table_insert(open, zone, GINT_TO_POINTER(GPOINTER_TO_INT(g_hash_table_lookup(open, zone)) | (int) json_get_int(h, "enabled", 0)));
    }
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "availabilityZoneInfo");
    jw_array(&w);
    for (guint k = 0; k < names->len; k++) {
        bool available = GPOINTER_TO_INT(g_hash_table_lookup(open, names->pdata[k]));
        jw_object(&w);
        jw_kstr(&w, "zoneName", names->pdata[k]);
        jw_key(&w, "zoneState");
        jw_object(&w);
        jw_kbool(&w, "available", available);
        jw_end_object(&w);
        jw_key(&w, "hosts");
        if (detail && available)
            put_zone_hosts(rows, names->pdata[k], &w);
        else
            jw_null(&w);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    return true;
}

bool zone_list(Call *c, GError **err)
{
    return zones(c, false, err);
}

bool zone_list_detail(Call *c, GError **err)
{
    return zones(c, true, err);
}
