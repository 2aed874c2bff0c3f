/* compute/metadata_http.c -- the guests' metadata service: who asks is known from network and source address, and from nothing else. */
#include "compute/internal.h"
#include "network/network.h"
#include <string.h>

enum { PASSWORD_MAX = 1020 };

/* A guest's data with everything it borrows from. */
typedef struct Loaded {
    GuestData data;
    Server *server;
    json_t *nics, *network, *guest;
} Loaded;

static void loaded_done(Loaded *l)
{
    server_free(l->server);
    json_decref(l->nics);
    json_decref(l->network);
    json_decref(l->guest);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Loaded, loaded_done)

/* X-Forwarded-For, X-Instance-ID and their like are not looked at: the connection came in on a network, from an address that anti-spoofing
 * lets only one port use. */
static char *asking_server(Call *c, GError **err)
{
    if (!c->network || !c->client)
        return nv_fail(err, NV_ERR_NOT_FOUND, "The resource could not be found."), NULL;
    return network_server_at(c->db, c->network, c->client, c->via, err);
}

static bool load(Call *c, Loaded *l, GError **err)
{
    g_autofree char *id = asking_server(c, err);
    const char *ids[] = { id, NULL };
    l->server = id ? server_get(c->db, id, err) : NULL;
    l->nics = l->server ? network_nics(c->db, ids, err) : NULL;
    l->guest = l->nics ? db_query(c->db, err, "server_guest_get", "s", id) : NULL;
    if (!l->guest)
        return false;
    if (g_str_has_suffix(c->path, "network_data.json") && !(l->network = network_data(c->db, id, err)))
        return false;
    const char *user_data = json_get_str(json_array_get(l->guest, 0), "user_data");
    l->data = (GuestData){ .server = l->server, .nics = l->nics, .network_data = l->network, .user_data = user_data };
    return true;
}

static bool reply_text(Call *c, const char *type, const char *text, gsize len)
{
    call_begin(c, 200);
    g_string_append_len(c->out, text, (gssize) len);
    c->content_type = type;
    call_header(c, "Cache-Control", "no-store");
    return true;
}

static bool no_such_path(GError **err)
{
    return nv_fail(err, NV_ERR_NOT_FOUND, "The resource could not be found.");
}

static bool reply_versions(Call *c, const char *const *versions)
{
    g_autofree char *list = g_strjoinv("\n", (char **) versions), *all = g_strconcat(list, "\nlatest", NULL);
    return reply_text(c, "text/plain", all, strlen(all));
}

static bool get_password(Call *c, const Loaded *l)
{
    const char *password = json_get_str(json_array_get(l->guest, 0), "password");
    return reply_text(c, "text/plain", password ? password : "", password ? strlen(password) : 0);
}

static bool get_openstack(Call *c, char **parts, GError **err)
{
    g_auto(Loaded) l = { .server = NULL };
    const char *type = NULL;
    gsize len = 0;
    if (!parts[0] || !*parts[0])
        return reply_versions(c, metadata_openstack_versions);
    if (!load(c, &l, err))
        return false;
    if (parts[1] && parts[2])
        return no_such_path(err);
    const char *file = parts[1] ? parts[1] : "";
    g_autofree char *text = metadata_openstack(&l.data, parts[0], file, &len, &type);
    if (!text && type && strcmp(file, "password") == 0)
        return get_password(c, &l);
    return text ? reply_text(c, type, text, len) : no_such_path(err);
}

static bool get_ec2(Call *c, char **parts, GError **err)
{
    g_auto(Loaded) l = { .server = NULL };
    gsize len = 0;
    if (!parts[0] || !*parts[0])
        return reply_versions(c, metadata_ec2_versions);
    if (!load(c, &l, err))
        return false;
    g_autofree char *path = g_strjoinv("/", parts + 1), *text = metadata_ec2(&l.data, parts[0], path, &len);
    return text ? reply_text(c, "text/plain", text, len) : no_such_path(err);
}

static bool metadata_get(Call *c, GError **err)
{
    g_autofree char *bare = g_strdup(c->path + strspn(c->path, "/"));
    g_strchomp(bare);
    while (*bare && bare[strlen(bare) - 1] == '/')
        bare[strlen(bare) - 1] = '\0';
    g_auto(GStrv) parts = g_strsplit(bare, "/", -1);
    for (char **p = parts; *p; p++)
        if ((!**p && *bare) || strcmp(*p, "..") == 0 || strcmp(*p, ".") == 0)
            return no_such_path(err);
    if (parts[0] && strcmp(parts[0], "openstack") == 0)
        return get_openstack(c, parts + 1, err);
    return get_ec2(c, parts[0] && strcmp(parts[0], "ec2") == 0 ? parts + 1 : parts, err);
}

/* The guest may set it once; what it posts is encrypted to the key pair by its own agent. */
static bool password_post(Call *c, GError **err)
{
    if (c->raw_len > PASSWORD_MAX)
        return nv_fail(err, NV_ERR_TOO_LARGE, "Request is too large.");
    if (!c->raw_len || !g_utf8_validate(c->raw, (gssize) c->raw_len, NULL))
        return nv_fail(err, NV_ERR_INVALID, "The password must be text");
    g_autofree char *id = asking_server(c, err), *text = g_strndup(c->raw, c->raw_len);
    g_auto(Txn) txn = { NULL, false };
    if (id)
        txn = txn_begin(c->db, err);
    g_autoptr(json_t) guest = txn.db ? db_query(c->db, err, "server_guest_get", "s", id) : NULL;
    if (!guest)
        return false;
    const char *there = json_get_str(json_array_get(guest, 0), "password");
    if (there && *there)
        return nv_fail(err, NV_ERR_CONFLICT, "The password is set already");
    return db_exec(c->db, err, "server_password_put", "ss", id, text) && txn_commit(&txn, err) && call_reply_empty(c, 204);
}

/* Every depth that the trees have; the handler reads the path itself. */
/* clang-format off */
const Route metadata_routes[] = {
    ROUTE("POST", "/openstack/{version}/password", ANYONE, password_post, .flags = NO_BODY_PARSE),
    ROUTE("GET",  "/openstack/{version}/password", ANYONE, metadata_get),
    ROUTE("GET",  "/", ANYONE, metadata_get),
    ROUTE("GET",  "/{a}", ANYONE, metadata_get),
    ROUTE("GET",  "/{a}/{b}", ANYONE, metadata_get),
    ROUTE("GET",  "/{a}/{b}/{c}", ANYONE, metadata_get),
    ROUTE("GET",  "/{a}/{b}/{c}/{d}", ANYONE, metadata_get),
    ROUTE("GET",  "/{a}/meta-data/{c}/{d}/{e}", ANYONE, metadata_get),
    ROUTE("GET",  "/ec2/{a}/meta-data/{c}/{d}", ANYONE, metadata_get),
    ROUTE("GET",  "/ec2/{a}/meta-data/{c}/{d}/{e}", ANYONE, metadata_get),
    ROUTES_END
};
/* clang-format on */
