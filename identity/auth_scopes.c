/* identity/auth_scopes.c -- what the caller's user could be scoped to, and where each service answers for him. */
#include "identity/internal.h"

bool auth_catalog(Call *c, GError **err)
{
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "catalog");
    if (!catalog_render(c->db, c->ctx->project_id, c->ctx->user_id, &w, err))
        return false;
    g_autofree char *self = g_strconcat(c->ctx->base_url, "/identity/v3/auth/catalog", NULL);
    jw_key(&w, "links");
    jw_object(&w);
    jw_kstr(&w, "self", self);
    jw_end_object(&w);
    jw_end_object(&w);
    return true;
}
