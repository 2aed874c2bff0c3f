/* identity/delegate.h -- what application credentials and trusts have in common: a part of somebody's roles, named in a body. */
#pragma once
#include "identity/internal.h"

/* Ids of the roles that list names ([{"id"} or {"name"}]), each of which must be among held (array of {"id", "name"}).
 * A role that is not held: NV_ERR_INVALID for application credentials, NV_ERR_NOT_FOUND for trusts (missing). */
json_t *delegate_roles(const json_t *list, const json_t *held, NvErr missing, GError **err);
/* Writes the array of roles as {"id", "name", "domain_id"}; links: each with its own. */
bool delegate_put_roles(const Call *c, const char *query, const char *id, bool links, JsonW *w, GError **err);
/* "expires_at" of a body: absent or null: 0.  A past time is an error. */
bool delegate_expiry(const json_t *body, gint64 *ret_us, GError **err);
/* key and time, or null for 0. */
void put_when(JsonW *w, const char *key, gint64 us);
/* 48 random characters. */
char *secret_new(void);
