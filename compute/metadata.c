/* compute/metadata.c -- what a guest may read about itself: the OpenStack and EC2 trees, for the metadata service and the config drive alike. */
#include "compute/internal.h"
#include "core/ip.h"
#include <sodium.h>
#include <string.h>

const char *const metadata_openstack_versions[] = {
    "2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06", "2017-02-22", "2018-08-27", "2020-10-14", NULL,
};
const char *const metadata_ec2_versions[] = {
    "1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01", "2009-04-04", NULL,
};

/* Names inside the trees, with the version that brought them.  Dates compare as text. */
static const struct { const char *file, *since, *type; } openstack_files[] = {
    { "meta_data.json",    "2012-08-10", "application/json" }, { "user_data",         "2012-08-10", "application/octet-stream" },
    { "password",          "2013-04-04", "text/plain" },       { "vendor_data.json",  "2013-10-17", "application/json" },
    { "network_data.json", "2015-10-15", "application/json" }, { "vendor_data2.json", "2016-10-06", "application/json" },
};

/* The version itself, the newest for "latest", or NULL. */
static const char *resolve(const char *const *versions, const char *version)
{
    guint n = g_strv_length((char **) versions);
    if (strcmp(version, "latest") == 0)
        return versions[n - 1];
    return g_strv_contains(versions, version) ? version : NULL;
}

static bool at_least(const char *version, const char *since)
{
    return strcmp(version, since) >= 0;
}

static char *random_seed(void)
{
    guchar seed[512];
    randombytes_buf(seed, sizeof seed);
    return g_base64_encode(seed, sizeof seed);
}

/* Devices that carry a tag, as 2016-06-30 introduced them. */
static json_t *tagged_devices(const GuestData *g)
{
    json_t *list = json_array(), *nic;
    size_t i;
    json_array_foreach(g->nics, i, nic)
        if (json_get_str(nic, "tag")) {
            json_t *d = json_make("ssss", "type", "nic", "mac", json_get_str(nic, "mac"), "bus", "pci", "address", "none");
            json_object_set_new(d, "tags", json_pack("[s]", json_get_str(nic, "tag")));
            json_array_append_new(list, d);
        }
    return list;
}

static json_t *meta_data(const GuestData *g, const char *version)
{
    const Server *s = g->server;
    json_t *m = json_make("sssis", "uuid", s->id, "name", s->name, "hostname", s->hostname, "launch_index", s->launch_index,
                          "availability_zone", s->zone);
    if (json_object_size(s->metadata))
        json_object_set(m, "meta", s->metadata);
    if (s->key_name && s->key_data) {
        json_object_set_new(m, "public_keys", json_make("s", s->key_name, s->key_data));
        json_object_set_new(m, "keys", json_pack("[o]", json_make("sss", "name", s->key_name, "type", s->key_type, "data", s->key_data)));
    }
    if (g->admin_pass)
        json_object_set_new(m, "admin_pass", json_string(g->admin_pass));
    if (at_least(version, "2013-04-04")) {
        g_autofree char *seed = random_seed();
        json_object_set_new(m, "random_seed", json_string(seed));
    }
    if (at_least(version, "2015-10-15"))
        json_object_set_new(m, "project_id", json_string(s->project_id));
    if (at_least(version, "2016-06-30"))
        json_object_set_new(m, "devices", tagged_devices(g));
    if (at_least(version, "2020-10-14"))
        json_object_set_new(m, "dedicated_cpus", json_array());
    return m;
}

static char *take_json(json_t *value, gsize *ret_len)
{
    char *text = json_text(value);
    json_decref(value);
    *ret_len = strlen(text);
    return text;
}

static char *user_data(const GuestData *g, gsize *ret_len)
{
    if (!g->user_data)
        return NULL;
    /* GLib's decoder wants no line breaks. */
    g_autofree char *bare = g_strdup(g->user_data);
    char *to = bare;
    for (const char *from = bare; *from; from++)
        if (*from != '\n' && *from != '\r')
            *to++ = *from;
    *to = '\0';
    return (char *) g_base64_decode(bare, ret_len);
}

static char *listing(const GuestData *g, const char *version)
{
    GString *out = g_string_new(NULL);
    for (guint i = 0; i < G_N_ELEMENTS(openstack_files); i++)
        if (at_least(version, openstack_files[i].since) && (g->user_data || strcmp(openstack_files[i].file, "user_data") != 0))
            g_string_append_printf(out, "%s%s", out->len ? "\n" : "", openstack_files[i].file);
    return g_string_free(out, FALSE);
}

char *metadata_openstack(const GuestData *g, const char *version, const char *file, gsize *ret_len, const char **ret_type)
{
    const char *v = resolve(metadata_openstack_versions, version), *type = NULL;
    gsize len_here;
    gsize *len = ret_len ? ret_len : &len_here;
    for (guint i = 0; v && i < G_N_ELEMENTS(openstack_files); i++)
        if (strcmp(openstack_files[i].file, file) == 0 && at_least(v, openstack_files[i].since))
            type = openstack_files[i].type;
    if (ret_type)
        *ret_type = *file ? type : "text/plain";
    if (v && !*file) {
        char *list = listing(g, v);
        *len = strlen(list);
        return list;
    }
    if (!type)
        return NULL;
    if (strcmp(file, "meta_data.json") == 0)
        return take_json(meta_data(g, v), len);
    if (strcmp(file, "network_data.json") == 0)
        return take_json(json_incref(g->network_data), len);
    if (strcmp(file, "user_data") == 0)
        return user_data(g, len);
    if (strcmp(file, "vendor_data.json") == 0)
        return take_json(json_object(), len);
    if (strcmp(file, "vendor_data2.json") == 0)
        return take_json(json_pack("{s:{}}", "static"), len);
    return NULL;                                 /* the password has its own handler */
}

/* --- EC2 --- */
static const char *first_ipv4(const GuestData *g, const char *type)
{
    size_t i, k;
    json_t *nic, *a;
    json_array_foreach(g->nics, i, nic)
        json_array_foreach(json_object_get(nic, "addresses"), k, a)
            if (json_get_int(a, "version", 4) == 4 && g_strcmp0(json_get_str(a, "type"), type) == 0)
                return json_get_str(a, "ip");
    return "";
}

static json_t *group_names(const GuestData *g)
{
    json_t *list = json_array(), *nic, *group;
    size_t i, k;
    json_array_foreach(g->nics, i, nic)
        json_array_foreach(json_object_get(nic, "groups"), k, group) {
            size_t m;
            json_t *have;
            bool there = false;
            json_array_foreach(list, m, have)
                there = there || json_equal(have, json_object_get(group, "name"));
            if (!there)
                json_array_append(list, json_object_get(group, "name"));
        }
    return list;
}

/* EC2 ids are eight hexadecimal digits: those of our own ids. */
static char *ec2_id(const char *prefix, const char *id)
{
    return g_strdup_printf("%s-%.8s", prefix, id ? id : "00000000");
}

static json_t *ec2_meta(const GuestData *g, const char *v)
{
    const Server *s = g->server;
    g_autofree char *instance = ec2_id("i", s->id), *ami = ec2_id("ami", s->image_id);
    json_t *m = json_make("ssisssso", "ami-id", ami, "ami-manifest-path", "", "ami-launch-index", s->launch_index, "instance-id", instance,
                          "hostname", s->hostname, "local-ipv4", first_ipv4(g, "fixed"), "reservation-id", s->reservation_id,
                          "security-groups", group_names(g));
    if (s->key_name && s->key_data)
        json_object_set_new(m, "public-keys", json_make("o", "0", json_make("ss", "_name", s->key_name, "openssh-key", s->key_data)));
    if (at_least(v, "2007-01-19")) {
        json_object_set_new(m, "local-hostname", json_string(s->hostname));
        json_object_set_new(m, "public-hostname", json_string(s->hostname));
        json_object_set_new(m, "public-ipv4", json_string(first_ipv4(g, "floating")));
    }
    if (at_least(v, "2007-08-29"))
        json_object_set_new(m, "instance-type", json_string(s->flavor_name));
    if (at_least(v, "2007-12-15"))
        json_object_set_new(m, "block-device-mapping", json_make("ss", "ami", "vda", "root", "/dev/vda"));
    if (at_least(v, "2008-02-01"))
        json_object_set_new(m, "placement", json_make("s", "availability-zone", s->zone ? s->zone : ""));
    if (at_least(v, "2008-09-01"))
        json_object_set_new(m, "instance-action", json_string("none"));
    return m;
}

static int by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* A directory: its names, those of directories with a slash; a key pair's "0=name". */
static char *ec2_listing(const json_t *dir)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    const char *key;
    json_t *v;
    json_object_foreach((json_t *) dir, key, v) {
        if (strcmp(key, "_name") == 0)
            continue;
        if (json_get_str(v, "_name"))
            g_ptr_array_add(lines, g_strdup_printf("%s=%s", key, json_get_str(v, "_name")));
        else
            g_ptr_array_add(lines, g_strconcat(key, json_is_object(v) ? "/" : "", NULL));
    }
    g_ptr_array_sort(lines, by_text);
    g_ptr_array_add(lines, NULL);
    return g_strjoinv("\n", (char **) lines->pdata);
}

static char *ec2_text(const json_t *v)
{
    GString *out;
    size_t i;
    json_t *item;
    if (json_is_object(v))
        return ec2_listing(v);
    if (json_is_string(v))
        return g_strdup(json_string_value(v));
    if (!json_is_array(v))
        return json_text(v);
    out = g_string_new(NULL);
    json_array_foreach((json_t *) v, i, item)
        g_string_append_printf(out, "%s%s", i ? "\n" : "", json_string_value(item));
    return g_string_free(out, FALSE);
}

char *metadata_ec2(const GuestData *g, const char *version, const char *path, gsize *ret_len)
{
    const char *v = resolve(metadata_ec2_versions, version);
    if (!v)
        return NULL;
    if (!*path) {
        char *top = g_strdup(g->user_data ? "meta-data/\nuser-data" : "meta-data/");
        *ret_len = strlen(top);
        return top;
    }
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    if (strcmp(parts[0], "user-data") == 0)
        return parts[1] ? NULL : user_data(g, ret_len);
    if (strcmp(parts[0], "meta-data") != 0)
        return NULL;
    g_autoptr(json_t) tree = ec2_meta(g, v);
    const json_t *at = tree;
    for (char **p = parts + 1; *p && at; p++) {
        if (**p)
            at = strcmp(*p, "_name") != 0 ? json_object_get(at, *p) : NULL;
        else if (p[1])                           /* a slash at the end is none, one in the middle is no name */
            at = NULL;
    }
    char *text = at ? ec2_text(at) : NULL;
    *ret_len = text ? strlen(text) : 0;
    return text;
}

/* --- config drive --- */
static void put_file(json_t *files, const char *dir, const char *version, const char *name, char *content, gsize len)
{
    g_autofree char *path = g_strconcat(dir, "/", version, "/", name, NULL), *text = content ? g_base64_encode((const guchar *) content, len) : NULL;
    if (text)
        json_object_set_new(files, path, json_string(text));
    g_free(content);
}

json_t *metadata_drive(const GuestData *g)
{
    json_t *files = json_object();
    static const char *const latest[] = { "latest", NULL };
    const char *const *const sets[] = { metadata_openstack_versions, latest };
    gsize len = 0;
    for (guint k = 0; k < G_N_ELEMENTS(sets); k++)
        for (const char *const *v = sets[k]; *v; v++)
            for (guint i = 0; i < G_N_ELEMENTS(openstack_files); i++) {
                char *content = metadata_openstack(g, *v, openstack_files[i].file, &len, NULL);
                put_file(files, "openstack", *v, openstack_files[i].file, content, len);
            }
    const char *const *const ec2_sets[] = { metadata_ec2_versions, latest };
    for (guint k = 0; k < G_N_ELEMENTS(ec2_sets); k++)
        for (const char *const *v = ec2_sets[k]; *v; v++) {
            char *meta = take_json(ec2_meta(g, resolve(metadata_ec2_versions, *v)), &len);
            put_file(files, "ec2", *v, "meta-data.json", meta, len);
            char *data = user_data(g, &len);     /* before its length is passed on */
            put_file(files, "ec2", *v, "user-data", data, len);
        }
    return files;
}
