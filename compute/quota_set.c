/* compute/quota_set.c -- limits and quota sets, as Nova shows them: the numbers are identity/quota.c's. */
#include "compute/internal.h"
#include "core/id.h"
#include "identity/identity.h"
#include <string.h>

/* until: last microversion that shows it; fixed: a number nothing enforces here, as the feature is not there.  resource NULL: it is fixed. */
typedef struct Shown { const char *name, *resource; gint64 fixed; int until; const char *max_name, *used_name; } Shown;

/* clang-format off */
static const Shown shown[] = {
    { "instances",                   "instances",            0,     0,      "maxTotalInstances",       "totalInstancesUsed" },
    { "cores",                       "cores",                0,     0,      "maxTotalCores",           "totalCoresUsed" },
    { "ram",                         "ram",                  0,     0,      "maxTotalRAMSize",         "totalRAMUsed" },
    { "metadata_items",              "metadata_items",       0,     0,      "maxServerMeta",           NULL },
    { "key_pairs",                   "key_pairs",            0,     0,      "maxTotalKeypairs",        NULL },
    { "server_groups",               "server_groups",        0,     0,      "maxServerGroups",         "totalServerGroupsUsed" },
    { "server_group_members",        "server_group_members", 0,     0,      "maxServerGroupMembers",   NULL },
    { "floating_ips",                NULL,                   -1,    MV(35), "maxTotalFloatingIps",     "totalFloatingIpsUsed" },
    { "fixed_ips",                   NULL,                   -1,    MV(35), NULL,                      NULL },
    { "security_groups",             NULL,                   -1,    MV(35), "maxSecurityGroups",       "totalSecurityGroupsUsed" },
    { "security_group_rules",        NULL,                   -1,    MV(35), "maxSecurityGroupRules",   NULL },
    { "injected_files",              NULL,                   5,     MV(56), "maxPersonality",          NULL },
    { "injected_file_content_bytes", NULL,                   10240, MV(56), "maxPersonalitySize",      NULL },
    { "injected_file_path_bytes",    NULL,                   255,   MV(56), NULL,                      NULL },
};
/* clang-format on */

static bool visible(const Shown *s, int mv)
{
    return !s->until || mv <= s->until;
}

static bool check_project(const Call *c, const char *id, GError **err)
{
    gint64 n = 0;
    if (!c->ctx->admin && g_strcmp0(id, c->ctx->project_id) != 0)
        return nv_fail(err, NV_ERR_FORBIDDEN, "Policy doesn't allow os_compute_api:os-quota-sets:show to be performed.");
    if (!db_query_int(c->db, err, &n, "project_known", "s", id))
        return false;
    return n > 0 || nv_fail(err, NV_ERR_INVALID, "Project ID %.64s is not a valid project.", id);
}

static const char *const known_query[] = { "user_id", NULL };
typedef enum { LIMITS, DETAIL, DEFAULTS } What;

/* Of the user of ?user_id=, or of the project. */
static bool get(Call *c, const char *project, const char *user, const char *resource, gint64 *ret_limit, gint64 *ret_used, GError **err)
{
    return user ? quota_user_get(c->db, project, user, resource, ret_limit, ret_used, err)
                : quota_get(c->db, project, resource, ret_limit, ret_used, err);
}

static bool put_quotas(Call *c, const char *project, What what, JsonW *w, GError **err)
{
    const char *user = call_query(c, "user_id");
    for (guint i = 0; i < G_N_ELEMENTS(shown); i++) {
        const Shown *s = &shown[i];
        gint64 limit = s->fixed, used = 0;
        if (!visible(s, c->ctx->mv))
            continue;
        bool ok = !s->resource
               || (what == DEFAULTS ? quota_class_get(c->db, "default", s->resource, &limit, err)
                                    : get(c, project, user, s->resource, &limit, &used, err));
        if (!ok)
            return false;
        jw_key(w, s->name);
        if (what != DETAIL) {
            jw_int(w, limit);
            continue;
        }
        jw_object(w);
        jw_kint(w, "limit", limit);
        jw_kint(w, "in_use", used);
        jw_kint(w, "reserved", 0);
        jw_end_object(w);
    }
    return true;
}

static bool reply(Call *c, const char *id, const char *project, What what, GError **err)
{
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "quota_set");
    jw_object(&w);
    if (id)
        jw_kstr(&w, "id", id);
    if (!put_quotas(c, project, what, &w, err))
        return false;
    jw_end_object(&w);
    jw_end_object(&w);
    return true;
}

static bool show(Call *c, What what, GError **err)
{
    return query_allowed(c, known_query, MV(75), err) && check_project(c, c->params[0], err) && reply(c, c->params[0], c->params[0], what, err);
}

bool quota_set_show(Call *c, GError **err)
{
    return show(c, LIMITS, err);
}

bool quota_set_detail(Call *c, GError **err)
{
    return show(c, DETAIL, err);
}

bool quota_set_defaults(Call *c, GError **err)
{
    return show(c, DEFAULTS, err);
}

static const Shown *find(const char *name, int mv)
{
    for (guint i = 0; i < G_N_ELEMENTS(shown); i++)
        if (strcmp(shown[i].name, name) == 0 && visible(&shown[i], mv))
            return &shown[i];
    return NULL;
}

/* A project's limit is at least what is used and what its users were given; a user's at most what the other users leave. */
static bool check_bounds(Call *c, const char *project, const char *user, const char *name, gint64 wanted, gint64 used, GError **err)
{
    gint64 given, limit, unused;
    if (!quota_user_sum(c->db, project, name, user, &given, err) || !quota_get(c->db, project, name, &limit, &unused, err))
        return false;
    gint64 least = user ? used : MAX(used, given), most = user && limit >= 0 ? MAX(0, limit - given) : -1;
    if (wanted >= 0 && wanted < least)
        return nv_fail(err, NV_ERR_INVALID,
                       "Quota limit %" G_GINT64_FORMAT " for %s must be greater than or equal to already used and reserved %" G_GINT64_FORMAT ".",
                       wanted, name, least);
    if (most >= 0 && (wanted < 0 || wanted > most))
        return nv_fail(err, NV_ERR_INVALID, "Quota limit %" G_GINT64_FORMAT " for %s must be less than or equal to %" G_GINT64_FORMAT ".", wanted,
                       name, most);
    return true;
}

/* One limit of a body: -1 is none.  Out of bounds it needs force. */
static bool set_one(Call *c, const char *project, const char *user, const char *name, const json_t *value, bool force, GError **err)
{
    static const Range range = { -1, G_MAXINT32 };
    const Field field = { .json = name, .arg = &range };
    const Shown *s = find(name, c->ctx->mv);
    gint64 limit, used;
    if (!s)
        return nv_fail(err, NV_ERR_INVALID,
                       "Invalid input for field/attribute quota_set. Additional properties are not allowed ('%.80s' was unexpected)", name);
    if (!check_flexible_int(&field, value, err))
        return false;
    gint64 wanted = flexible_int(value);
    if (!s->resource)
        return true;
    if (!get(c, project, user, s->resource, &limit, &used, err) || (!force && !check_bounds(c, project, user, s->resource, wanted, used, err)))
        return false;
    return user ? quota_user_set(c->db, project, user, s->resource, wanted, err) : quota_set(c->db, project, s->resource, wanted, err);
}

bool quota_set_update(Call *c, GError **err)
{
    static const Field force_field = { .json = "force" };
    json_t *body = body_only(c, "quota_set", NULL, err), *v;
    const json_t *force = json_object_get(body, "force");
    const char *key, *project = c->params[0], *user = call_query(c, "user_id");
    if (!body || !query_allowed(c, known_query, MV(75), err) || !check_project(c, project, err)
        || (force && !check_bool_text(&force_field, force, err)))
        return false;
    if (json_object_get(body, "networks"))
        return nv_fail(err, NV_ERR_INVALID, "The networks quota has been removed");
    g_auto(Txn) txn = txn_begin(c->db, err);
    if (!txn.db)
        return false;
    json_object_foreach(body, key, v)
        if (strcmp(key, "force") != 0 && !set_one(c, project, user, key, v, force && bool_text(force), err))
            return false;
    return txn_commit(&txn, err) && reply(c, NULL, project, LIMITS, err);
}

bool quota_set_delete(Call *c, GError **err)
{
    g_auto(Txn) txn = txn_begin(c->db, err);
    const char *user = call_query(c, "user_id");
    return query_allowed(c, known_query, MV(75), err) && txn.db && quota_user_clear(c->db, c->params[0], user, err)
        && (user || quota_clear(c->db, c->params[0], "compute", err)) && txn_commit(&txn, err) && call_reply_empty(c, 202);
}

static bool class_visible(const Shown *s, int mv)
{
    bool groups = strncmp(s->name, "server_group", 12) == 0, network = s->until == MV(35);
    return groups ? mv >= MV(50) : network ? mv < MV(50) : visible(s, mv);
}

static bool reply_class(Call *c, const char *id, GError **err)
{
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "quota_class_set");
    jw_object(&w);
    if (id)
        jw_kstr(&w, "id", id);
    for (guint i = 0; i < G_N_ELEMENTS(shown); i++) {
        gint64 limit = shown[i].fixed;
        if (!class_visible(&shown[i], c->ctx->mv))
            continue;
        if (shown[i].resource && !quota_class_get(c->db, c->params[0], shown[i].resource, &limit, err))
            return false;
        jw_kint(&w, shown[i].name, limit);
    }
    jw_end_object(&w);
    jw_end_object(&w);
    return true;
}

bool quota_class_show(Call *c, GError **err)
{
    return reply_class(c, c->params[0], err);
}

bool quota_class_update(Call *c, GError **err)
{
    static const Range range = { -1, G_MAXINT32 };
    json_t *body = body_only(c, "quota_class_set", NULL, err), *v;
    const char *key;
    if (!body)
        return false;
    g_auto(Txn) txn = txn_begin(c->db, err);
    if (!txn.db)
        return false;
    json_object_foreach(body, key, v) {
        const Field field = { .json = key, .arg = &range };
        const Shown *s = NULL;
        for (guint i = 0; i < G_N_ELEMENTS(shown); i++)
            if (strcmp(shown[i].name, key) == 0 && class_visible(&shown[i], c->ctx->mv))
                s = &shown[i];
        if (!s)
            return nv_fail(err, NV_ERR_INVALID,
                           "Invalid input for field/attribute quota_class_set. Additional properties are not allowed ('%.80s' was unexpected)", key);
        if (!check_flexible_int(&field, v, err) || (s->resource && !quota_class_set(c->db, c->params[0], s->resource, flexible_int(v), err)))
            return false;
    }
    return txn_commit(&txn, err) && reply_class(c, NULL, err);
}

/* GET /limits: the same numbers under other names. */
bool limits_show(Call *c, GError **err)
{
    static const char *const known[] = { "tenant_id", "reserved", NULL };
    const char *project = call_query(c, "tenant_id");
    if (!query_allowed(c, known, MV(75), err))
        return false;
    if (project && !c->ctx->admin && g_strcmp0(project, c->ctx->project_id) != 0)
        return nv_fail(err, NV_ERR_FORBIDDEN, "Policy doesn't allow os_compute_api:limits:other_project to be performed.");
    if (!project)
        project = c->ctx->project_id;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "limits");
    jw_object(&w);
    jw_key(&w, "rate");
    jw_array(&w);
    jw_end_array(&w);
    jw_key(&w, "absolute");
    jw_object(&w);
    for (guint i = 0; i < G_N_ELEMENTS(shown); i++) {
        const Shown *s = &shown[i];
        gint64 limit = s->fixed, used = 0;
        if (!visible(s, c->ctx->mv) || !s->max_name)
            continue;
        if (s->resource && !quota_get(c->db, project ? project : "", s->resource, &limit, &used, err))
            return false;
        jw_kint(&w, s->max_name, limit);
        if (strcmp(s->name, "metadata_items") == 0 && c->ctx->mv < MV(39))
            jw_kint(&w, "maxImageMeta", limit);
        if (s->used_name)
            jw_kint(&w, s->used_name, used);
    }
    jw_end_object(&w);
    jw_end_object(&w);
    jw_end_object(&w);
    return true;
}
