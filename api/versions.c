/* api/versions.c -- version documents: how clients find out what each service speaks, as each real service words it. */
#include "api/api.h"
#include "core/conf.h"

static void link_to(JsonW *w, const char *rel, const char *type, const Call *c, const char *path)
{
    g_autofree char *href = g_strconcat(c->ctx->base_url, path, NULL);
    jw_object(w);
    jw_kstr(w, "rel", rel);
    if (type)
        jw_kstr(w, "type", type);
    jw_kstr(w, "href", href);
    jw_end_object(w);
}

static void media_type(JsonW *w, const char *type)
{
    jw_key(w, "media-types");
    jw_array(w);
    jw_object(w);
    jw_kstr(w, "base", "application/json");
    jw_kstr(w, "type", type);
    jw_end_object(w);
    jw_end_array(w);
}

/* One API version.  Optional members are left out where the real service has none. */
typedef struct Version {
    const char *id, *status, *path, *updated, *media;
    enum { NO_RANGE, EMPTY_RANGE, MICROVERSIONS } range;         /* "version" and "min_version" members */
} Version;

static void version_members(JsonW *w, const Call *c, const Version *v)
{
    const Dialect *d = &dialect_nova;
    jw_object(w);
    jw_kstr(w, "id", v->id);
    jw_kstr(w, "status", v->status);
    if (v->range == MICROVERSIONS) {
        g_autofree char *max = g_strdup_printf("%d.%d", d->mv_major, d->mv_max), *min = g_strdup_printf("%d.%d", d->mv_major, d->mv_min);
        jw_kstr(w, "version", max);
        jw_kstr(w, "min_version", min);
    } else if (v->range == EMPTY_RANGE) {
        jw_kstr(w, "version", "");
        jw_kstr(w, "min_version", "");
    }
    if (v->updated)
        jw_kstr(w, "updated", v->updated);
    jw_key(w, "links");
    jw_array(w);
    link_to(w, "self", NULL, c, v->path);
    jw_end_array(w);
    if (v->media)
        media_type(w, v->media);
    jw_end_object(w);
}

/* clang-format off */
static const Version identity[] = { { "v3.14", "stable", "/identity/v3/", "2020-04-07T00:00:00Z", "application/vnd.openstack.identity-v3+json", NO_RANGE } };
static const Version compute[]  = { { "v2.0", "SUPPORTED", "/compute/v2/", "2011-01-21T11:33:21Z", "application/vnd.openstack.compute+json;version=2", EMPTY_RANGE },
                                    { "v2.1", "CURRENT", "/compute/v2.1/", "2013-07-23T11:33:21Z", "application/vnd.openstack.compute+json;version=2.1", MICROVERSIONS } };
static const Version image[]    = { { "v2.9", "CURRENT", "/image/v2/", NULL, NULL, NO_RANGE },
                                    { "v2.7", "SUPPORTED", "/image/v2/", NULL, NULL, NO_RANGE }, { "v2.6", "SUPPORTED", "/image/v2/", NULL, NULL, NO_RANGE },
                                    { "v2.5", "SUPPORTED", "/image/v2/", NULL, NULL, NO_RANGE }, { "v2.4", "SUPPORTED", "/image/v2/", NULL, NULL, NO_RANGE },
                                    { "v2.3", "SUPPORTED", "/image/v2/", NULL, NULL, NO_RANGE }, { "v2.2", "SUPPORTED", "/image/v2/", NULL, NULL, NO_RANGE },
                                    { "v2.1", "SUPPORTED", "/image/v2/", NULL, NULL, NO_RANGE }, { "v2.0", "SUPPORTED", "/image/v2/", NULL, NULL, NO_RANGE } };
static const Version network[]  = { { "v2.0", "CURRENT", "/network/v2.0/", NULL, NULL, NO_RANGE } };
/* clang-format on */

static bool list_reply(Call *c, int status, const Version *v, size_t n)
{
    JsonW w = call_begin(c, status);
    jw_object(&w);
    jw_key(&w, "versions");
    jw_array(&w);
    for (size_t i = 0; i < n; i++)
        version_members(&w, c, &v[i]);
    jw_end_array(&w);
    jw_end_object(&w);
    return true;
}

static bool one_reply(Call *c, const Version *v)
{
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "version");
    version_members(&w, c, v);
    jw_end_object(&w);
    return true;
}

bool version_identity(Call *c, GError **err)
{
    (void) err;
    JsonW w = call_begin(c, 300);
    jw_object(&w);
    jw_key(&w, "versions");
    jw_object(&w);
    jw_key(&w, "values");
    jw_array(&w);
    version_members(&w, c, &identity[0]);
    jw_end_array(&w);
    jw_end_object(&w);
    jw_end_object(&w);
    g_autofree char *location = g_strconcat(c->ctx->base_url, identity[0].path, NULL);
    call_header(c, "Location", location);
    return true;
}

bool version_identity_v3(Call *c, GError **err)
{
    (void) err;
    return one_reply(c, &identity[0]);
}

bool version_compute(Call *c, GError **err)
{
    (void) err;
    return list_reply(c, 200, compute, G_N_ELEMENTS(compute));
}

bool version_compute_v21(Call *c, GError **err)
{
    (void) err;
    return one_reply(c, &compute[g_str_has_suffix(c->route->path, "v2.1")]);
}

bool version_image(Call *c, GError **err)
{
    (void) err;
    return list_reply(c, g_str_has_suffix(c->route->path, "versions") ? 200 : 300, image, G_N_ELEMENTS(image));
}

bool version_network(Call *c, GError **err)
{
    (void) err;
    return list_reply(c, 200, network, G_N_ELEMENTS(network));
}

/* Neutron lists its resources under the version. */
bool version_network_v2(Call *c, GError **err)
{
    (void) err;
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "resources");
    jw_array(&w);
    for (const Resource *const *r = resources; *r; r++) {
        if ((*r)->dialect != &dialect_neutron)
            continue;
        g_autofree char *path = g_strdup_printf("/network/v2.0/%s", (*r)->many);
        g_strdelimit(path + 1, "_", '-');
        jw_object(&w);
        jw_kstr(&w, "name", (*r)->one);
        jw_kstr(&w, "collection", (*r)->many);
        jw_key(&w, "links");
        jw_array(&w);
        link_to(&w, "self", NULL, c, path);
        jw_end_array(&w);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    return true;
}

/* GET /: the services of this port; a browser is led to the dashboard. */
bool version_root(Call *c, GError **err)
{
    (void) err;
    const char *accept = c->header(c, "Accept");
    if (accept && g_str_has_prefix(accept, "text/html")) {
        call_header(c, "Location", "/dashboard/");
        return call_reply_empty(c, 302);
    }
    static const struct { const char *name; const Version *v; } all[] = {
        { "identity", identity }, { "compute", &compute[1] }, { "image", image }, { "network", network },
    };
    JsonW w = call_begin(c, 200);
    jw_object(&w);
    jw_key(&w, "services");
    jw_array(&w);
    for (size_t i = 0; i < G_N_ELEMENTS(all); i++) {
        jw_object(&w);
        jw_kstr(&w, "type", all[i].name);
        jw_key(&w, "version");
        version_members(&w, c, all[i].v);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    return true;
}
