/* identity/credential.c -- secrets that Keystone keeps for a user: EC2 pairs, TOTP seeds, whatever else (/v3/credentials, OS-EC2). */
#include "identity/internal.h"
#include <sodium.h>
#include <string.h>

static const Range id_255 = { 1, 255 }, blob_max = { 0, 65536 };

/* clang-format off */
static const Field fields[] = {
    STR (Credential, id,         "id",         FILTER|SORT),
    STR (Credential, user_id,    "user_id",    CREATE|UPDATE|FILTER|SORT, .check = check_text, .arg = &id_255),
    STR (Credential, project_id, "project_id", CREATE|UPDATE|NULLABLE|FILTER, .check = check_text, .arg = &id_255),
    STR (Credential, type,       "type",       CREATE|UPDATE|REQUIRED|FILTER|SORT, .check = check_name_nonempty),
    STR (Credential, blob,       "blob",       CREATE|UPDATE|REQUIRED, .check = check_text, .arg = &blob_max),
    TIME(Credential, created_at, "created_at", HIDDEN),
    TIME(Credential, updated_at, "updated_at", HIDDEN),
    COMPUTED("links", render_links),
};
/* clang-format on */

/* Keystone's id of an EC2 pair: the hash of its access key. */
static char *ec2_id(const char *access)
{
    guint8 digest[crypto_hash_sha256_BYTES];
    char hex[2 * sizeof digest + 1];
    crypto_hash_sha256(digest, (const guint8 *) access, strlen(access));
    return g_strdup(sodium_bin2hex(hex, sizeof hex, digest, sizeof digest));
}

static bool check_owner(Db *db, const Ctx *ctx, const Credential *cr, GError **err)
{
    if (!check_primary(ctx, err))
        return false;
    if (!ctx->admin && g_strcmp0(cr->user_id, ctx->user_id) != 0)
        return nv_fail(err, NV_ERR_FORBIDDEN, "You are not authorized to perform the requested action: the credential is another user's.");
    g_autoptr(Row) user = row_get(db, &user_resource, cr->user_id, err);
    g_autoptr(Row) project = user && cr->project_id ? row_get(db, &project_resource, cr->project_id, err) : NULL;
    return user && (project || !cr->project_id);
}

/* An EC2 pair is used on its project: users make them only where they have a role. */
static bool check_ec2(Db *db, const Ctx *ctx, Credential *cr, bool fresh, GError **err)
{
    if (g_ascii_strcasecmp(cr->type, "ec2") != 0)
        return true;
    g_autoptr(json_t) blob = json_parse_strict(cr->blob, strlen(cr->blob), NULL);
    const char *access = json_get_str(blob, "access");
    if (!access)
        return nv_fail(err, NV_ERR_INVALID, "Invalid blob in credential: it must be a JSON object with \"access\"");
    if (!cr->project_id)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'project_id': an EC2 credential needs one");
    g_autoptr(json_t) roles = db_query(db, err, "effective_roles", "sss", cr->user_id, cr->project_id, NULL);
    if (!roles)
        return false;
    if (!ctx->admin && !json_array_size(roles))
        return nv_fail(err, NV_ERR_FORBIDDEN, "The user has no role on the project %s.", cr->project_id);
    g_autofree char *id = ec2_id(access);
    if (fresh)
        row_set_str(&cr->row, &cr->id, id);
    return true;
}

static bool before_create(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    Credential *cr = (Credential *) row;
    if (!row_knows(row, &cr->user_id))
        row_set_str(row, &cr->user_id, ctx->user_id);
    return check_owner(db, ctx, cr, err) && check_ec2(db, ctx, cr, true, err);
}

static bool before_update(Db *db, const Ctx *ctx, Row *row, const Row *old, GError **err)
{
    Credential *cr = (Credential *) row;
    const Credential *was = (const Credential *) old;
    if (strcmp(cr->type, was->type) != 0 && (g_ascii_strcasecmp(cr->type, "ec2") == 0 || g_ascii_strcasecmp(was->type, "ec2") == 0))
        return nv_fail(err, NV_ERR_INVALID, "A credential does not become, or cease to be, an EC2 credential.");
    return check_owner(db, ctx, was, err) && check_owner(db, ctx, cr, err) && check_ec2(db, ctx, cr, false, err);
}

static bool before_delete(Db *db, const Ctx *ctx, Row *row, GError **err)
{
    return check_owner(db, ctx, (const Credential *) row, err);
}

const Resource credential_resource = {
    .one = "credential", .many = "credentials", .table = "credential", .dialect = &dialect_keystone,
    .scope = SCOPE_NAMED, .visible = "visible_credential", .writable = "own_row",
    .size = sizeof(Credential), FIELDS(fields), .label = "Credential", .default_sort = "type",
    .before_create = before_create, .before_update = before_update, .before_delete = before_delete,
};

/* /v3/users/{user}/credentials/OS-EC2: the same rows in EC2's words. */
static bool ec2_may(const Call *c, bool write, GError **err)
{
    bool may = strcmp(c->params[0], c->ctx->user_id) == 0 || c->ctx->admin || (!write && c->ctx->system && ctx_has_role(c->ctx, "reader"));
    if (!may)
        return nv_fail(err, NV_ERR_FORBIDDEN, "You are not authorized to perform the requested action.");
    return check_primary(c->ctx, err);
}

static void put_ec2(const Call *c, const Credential *cr, JsonW *w)
{
    g_autoptr(json_t) blob = json_parse_trusted(cr->blob);
    const char *access = json_get_str(blob, "access");
    g_autofree char *path = g_strdup_printf("users/%s/credentials/OS-EC2/%s", cr->user_id, access), *self = self_url(c->ctx, path);
    jw_object(w);
    jw_kstr(w, "access", access);
    jw_kstr(w, "secret", json_get_str(blob, "secret"));
    jw_kstr(w, "user_id", cr->user_id);
    jw_kstr(w, "tenant_id", cr->project_id);
    jw_knull(w, "trust_id");
    jw_key(w, "links");
    jw_object(w);
    jw_kstr(w, "self", self);
    jw_end_object(w);
    jw_end_object(w);
}

static bool reply_ec2(Call *c, int status, const Row *row)
{
    JsonW w = call_begin(c, status);
    jw_object(&w);
    jw_key(&w, "credential");
    put_ec2(c, (const Credential *) row, &w);
    jw_end_object(&w);
    return true;
}

bool ec2_create(Call *c, GError **err)
{
    const char *project = json_get_str(c->body, "tenant_id");
    guint8 bytes[32];
    char access[33], secret[33];
    if (!ec2_may(c, true, err))
        return false;
    if (!project)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field 'tenant_id': a string must be given");
    randombytes_buf(bytes, sizeof bytes);
    sodium_bin2hex(access, sizeof access, bytes, 16);
    sodium_bin2hex(secret, sizeof secret, bytes + 16, 16);
    g_autoptr(json_t) blob = json_make("sss", "access", access, "secret", secret, "trust_id", NULL);
    g_autofree char *text = json_text(blob);
    g_autoptr(json_t) body = json_make("ssss", "type", "ec2", "user_id", c->params[0], "project_id", project, "blob", text);
    g_autoptr(Row) row = create_row(c, &credential_resource, body, err);
    return row && reply_ec2(c, 201, row);
}

bool ec2_list(Call *c, GError **err)
{
    if (!ec2_may(c, false, err))
        return false;
    g_autoptr(GPtrArray) rows = rows_where(c->db, &credential_resource, err, "user_id", c->params[0], "type", "ec2", NULL);
    if (!rows)
        return false;
    JsonW w = list_begin(c, "credentials");
    for (guint i = 0; i < rows->len; i++)
        put_ec2(c, rows->pdata[i], &w);
    return list_end(c, &w);
}

static Row *ec2_find(Call *c, GError **err)
{
    g_autofree char *id = ec2_id(c->params[1]);
    g_autoptr(Row) row = row_get(c->db, &credential_resource, id, NULL);
    if (!row || strcmp(((Credential *) row)->user_id, c->params[0]) != 0)
        return nv_fail(err, NV_ERR_NOT_FOUND, "Could not find credential: %.64s.", c->params[1]), NULL;
    return g_steal_pointer(&row);
}

bool ec2_show(Call *c, GError **err)
{
    g_autoptr(Row) row = ec2_may(c, false, err) ? ec2_find(c, err) : NULL;
    return row && reply_ec2(c, 200, row);
}

bool ec2_delete(Call *c, GError **err)
{
    if (!ec2_may(c, true, err))
        return false;
    g_auto(Txn) txn = txn_begin(c->db, err);
    g_autoptr(Row) row = txn.db ? ec2_find(c, err) : NULL;
    return row && row_delete(c->db, row, err) && txn_commit(&txn, err) && call_reply_empty(c, 204);
}
