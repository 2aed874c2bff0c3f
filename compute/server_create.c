/* compute/server_create.c -- POST /servers: the body is checked and everything it names is looked up before the transaction, which then
 * writes rows and operation and nothing else. */
#include "compute/internal.h"
#include "core/conf.h"
#include "core/id.h"
#include "identity/identity.h"
#include "network/network.h"
#include <sodium.h>
#include <string.h>

enum { NICS_MAX = 16, SERVERS_MAX = 1000 };

/* The body: fields with their microversions; nothing of it is stored as such. */
typedef struct Input {
    Row row;
    char *name, *admin_pass, *disk_config, *ip4, *ip6, *zone, *key_name, *user_data, *description, *host, *node, *hostname;
    json_t *image, *flavor, *metadata, *networks, *personality, *bdm, *bdm2, *config_drive, *min_count, *max_count;
    json_t *reservation, *groups, *tags, *certs;
} Input;
static void input_free(Input *in)
{
    row_free((Row *) in);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Input, input_free)

static const Range count_range = { 1, SERVERS_MAX }, user_data_range = { 0, 65535 };
static const char *const disk_configs[] = { "AUTO", "MANUAL", NULL };

static bool check_flavor_ref(const Field *f, const json_t *v, GError **err)
{
    return json_is_integer(v) || (json_is_string(v) && *json_string_value(v))
        || nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. It must be the id of a flavor", f->json);
}

static bool check_image_ref(const Field *f, const json_t *v, GError **err)
{
    const char *s = json_string_value(v);
    return (s && (!*s || id_is_uuid(s))) || nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. Value: %.80s. It is not a 'uuid'",
                                                    f->json, s ? s : "");
}

static bool check_groups(const Field *f, const json_t *v, GError **err)
{
    static const char *const keys[] = { "name", NULL };
    size_t i;
    json_t *g;
    if (!json_is_array(v))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. It is not of type 'array'", f->json);
    json_array_foreach((json_t *) v, i, g) {
        if (!json_is_object(g) || (json_object_get(g, "name") && !check_nova_name(f, json_object_get(g, "name"), err)) || !body_allowed(g, keys, err))
            return (err && *err) ? false : nv_fail(err, NV_ERR_INVALID,
                                                   "Invalid input for field/attribute %s. It is a list of objects with a name", f->json);
    }
    return true;
}

static bool check_networks(const Field *f, const json_t *v, GError **err)
{
    static const char *const keys[] = { "uuid", "port", "fixed_ip", "tag", NULL };
    size_t i;
    json_t *n;
    const char *word = json_string_value(v);
    if (f->since >= MV(37) && word && (strcmp(word, "auto") == 0 || strcmp(word, "none") == 0))
        return true;
    if (!json_is_array(v))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. It must be a list%s", f->json,
                       f->since >= MV(37) ? ", 'auto' or 'none'" : "");
    if (json_array_size(v) > NICS_MAX)
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. A server has at most %d network interfaces", f->json, NICS_MAX);
    json_array_foreach((json_t *) v, i, n) {
        const Field ip = { .json = "fixed_ip" };
        const json_t *fixed = json_object_get(n, "fixed_ip"), *port = json_object_get(n, "port");
        if (!json_is_object(n) || !body_allowed(n, keys, err))
            return (err && *err) ? false : nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. It is a list of objects", f->json);
        if (fixed && (!json_is_string(fixed) || !check_ip(&ip, fixed, err)))
            return (err && *err) ? false : nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute fixed_ip. It is not an IP address");
        if (port && !json_is_null(port) && !id_is_uuid(json_string_value(port) ? json_string_value(port) : ""))
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute port. It is not a 'uuid'");
    }
    return true;
}

static bool check_list(const Field *f, const json_t *v, GError **err)
{
    return json_is_array(v) || nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. It is not of type 'array'", f->json);
}

/* clang-format off */
static const Field fields[] = {
    STR  (Input, name,         "name",              CREATE|REQUIRED, .check = check_nova_name),
    INPUT(Input, flavor,       "flavorRef",         CREATE|REQUIRED, .check = check_flavor_ref),
    INPUT(Input, image,        "imageRef",          CREATE, .check = check_image_ref),
    STR  (Input, admin_pass,   "adminPass",         CREATE),
    INPUT(Input, metadata,     "metadata",          CREATE, .check = check_metadata),
    INPUT(Input, networks,     "networks",          CREATE, .check = check_networks, .until = MV(36)),
    INPUT(Input, networks,     "networks",          CREATE|REQUIRED, .check = check_networks, .since = MV(37)),
    STR  (Input, disk_config,  "OS-DCF:diskConfig", CREATE, .check = check_enum, .arg = disk_configs),
    STR  (Input, ip4,          "accessIPv4",        CREATE, .check = check_ipv4),
    STR  (Input, ip6,          "accessIPv6",        CREATE, .check = check_ipv6),
    INPUT(Input, personality,  "personality",       CREATE, .check = check_list, .until = MV(56)),
    STR  (Input, zone,         "availability_zone", CREATE, .check = check_nova_name),
    INPUT(Input, bdm,          "block_device_mapping",    CREATE, .check = check_list),
    INPUT(Input, bdm2,         "block_device_mapping_v2", CREATE, .check = check_list),
    INPUT(Input, config_drive, "config_drive",      CREATE, .check = check_bool_text),
    STR  (Input, key_name,     "key_name",          CREATE, .check = check_nova_name),
    INPUT(Input, min_count,    "min_count",         CREATE, .check = check_flexible_int, .arg = &count_range),
    INPUT(Input, max_count,    "max_count",         CREATE, .check = check_flexible_int, .arg = &count_range),
    INPUT(Input, reservation,  "return_reservation_id", CREATE, .check = check_bool_text),
    INPUT(Input, groups,       "security_groups",   CREATE, .check = check_groups),
    STR  (Input, user_data,    "user_data",         CREATE, .check = check_base64, .arg = &user_data_range),
    STR  (Input, description,  "description",       CREATE|NULLABLE, .check = check_nova_text, .since = MV(19)),
    INPUT(Input, tags,         "tags",              CREATE, .check = check_tags, .since = MV(52)),
    INPUT(Input, certs,        "trusted_image_certificates", CREATE|NULLABLE, .check = check_list, .since = MV(63)),
    STR  (Input, host,         "host",              CREATE, .check = check_name_nonempty, .since = MV(74)),
    STR  (Input, node,         "hypervisor_hostname", CREATE, .check = check_name_nonempty, .since = MV(74)),
    STR  (Input, hostname,     "hostname",          CREATE, .check = check_server_hostname, .since = MV(90)),
};
/* clang-format on */
const Resource server_create_resource = { .one = "server", .many = "servers", .dialect = &dialect_nova, .size = sizeof(Input), FIELDS(fields) };

/* Everything a request names, found. */
typedef struct Plan {
    const Call *c;
    Input *in;
    Flavor *flavor;
    Image *image;
    json_t *key, *hints;
    char *zone, *host, *default_network, *admin_pass, *reservation_id;
    const char **groups;                     /* NULL: default */
    gint64 min, max;
    bool config_drive, no_network;
} Plan;

static void plan_done(Plan *p)
{
    input_free(p->in);
    flavor_free(p->flavor);
    row_free((Row *) p->image);
    json_decref(p->key);
    g_free(p->zone);
    g_free(p->host);
    g_free(p->default_network);
    if (p->admin_pass)
        sodium_memzero(p->admin_pass, strlen(p->admin_pass));
    g_free(p->admin_pass);
    g_free(p->reservation_id);
    g_free(p->groups);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Plan, plan_done)

/* Not found means a bad request here: the body named it. */
static bool as_invalid(GError **err)
{
    if (err && *err && nv_error_code(*err) == NV_ERR_NOT_FOUND)
        (*err)->code = NV_ERR_INVALID;
    return false;
}

static bool find_flavor(Plan *p, GError **err)
{
    g_autofree char *number = json_is_integer(p->in->flavor) ? g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(p->in->flavor)) : NULL;
    const char *ref = number ? number : json_string_value(p->in->flavor), *slash = strrchr(ref, '/');
    p->flavor = flavor_get_for(p->c->db, p->c->ctx, slash ? slash + 1 : ref, err);
    return p->flavor || as_invalid(err);
}

/* Volumes come with block storage; a mapping that only says what imageRef says is no mapping. */
static bool find_mapping(Plan *p, const char **ret_image, GError **err)
{
    const char *id = json_string_value(p->in->image);
    size_t i;
    json_t *m;
    if (json_array_size(p->in->bdm) && json_array_size(p->in->bdm2))
        return nv_fail(err, NV_ERR_INVALID, "Using different block_device_mapping syntaxes is not allowed in the same request.");
    json_array_foreach(p->in->bdm2, i, m) {
        const char *uuid = json_get_str(m, "uuid");
        bool plain = g_strcmp0(json_get_str(m, "source_type"), "image") == 0 && g_strcmp0(json_get_str(m, "destination_type"), "local") == 0
                  && uuid && (!id || !*id || strcmp(id, uuid) == 0) && flexible_int(json_object_get(m, "boot_index")) == 0;
        if (!plain || json_array_size(p->in->bdm2) > 1)
            return nv_fail(err, NV_ERR_INVALID,
                           "Block Device Mapping is Invalid: servers boot from an image on local disk; this cloud has no block storage service");
        id = uuid;
    }
    if (json_array_size(p->in->bdm))
        return nv_fail(err, NV_ERR_INVALID, "Block Device Mapping is Invalid: this cloud has no block storage service");
    if (!id || !*id)
        return nv_fail(err, NV_ERR_INVALID, "Missing imageRef attribute");
    *ret_image = id;
    return true;
}

static bool find_image(Plan *p, GError **err)
{
    const char *id = NULL;
    g_autoptr(GError) why = NULL;
    const Flavor *f = p->flavor;
    if (!find_mapping(p, &id, err))
        return false;
    Image *image = p->image = image_get_for(p->c->db, p->c->ctx, id, &why);
    if (!image && nv_error_code(why) == NV_ERR_NOT_FOUND)
        return nv_fail(err, NV_ERR_INVALID, "Can not find requested image");
    if (!image) {
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    if (strcmp(image->status, "active") != 0)
        return nv_fail(err, NV_ERR_INVALID, "Image %s is not active.", id);
    if (strcmp(image->disk_format, "qcow2") != 0 && strcmp(image->disk_format, "raw") != 0)
        return nv_fail(err, NV_ERR_INVALID, "Image %s is unacceptable: its disk format is %s, and servers boot from qcow2 or raw.", id,
                       image->disk_format);
    if (f->disk_gb == 0 && !p->c->ctx->admin)
        return nv_fail(err, NV_ERR_FORBIDDEN, "Only volume-backed servers are allowed for flavors with zero disk.");
    if (f->memory_mb < image->min_ram)
        return nv_fail(err, NV_ERR_INVALID,
                       "Flavor's memory is too small for requested image: it has %" G_GINT64_FORMAT " MiB and the image needs %"
                       G_GINT64_FORMAT " MiB.",
                       f->memory_mb, image->min_ram);
    gint64 need = MAX(MAX(image->size, image->virtual_size), image->min_disk << 30);
    if (f->disk_gb > 0 && need > f->disk_gb << 30)
        return nv_fail(err, NV_ERR_INVALID,
                       "Flavor's disk is too small for requested image. Flavor disk is %" G_GINT64_FORMAT " bytes, image is %"
                       G_GINT64_FORMAT " bytes.",
                       f->disk_gb << 30, need);
    return true;
}

static bool find_key(Plan *p, GError **err)
{
    g_autoptr(GError) why = NULL;
    if (!p->in->key_name)
        return true;
    p->key = keypair_get(p->c->db, p->c->ctx->user_id, p->in->key_name, &why);
    if (!p->key && nv_error_code(why) == NV_ERR_NOT_FOUND)
        return nv_fail(err, NV_ERR_INVALID, "Invalid key_name provided.");
    if (!p->key)
        g_propagate_error(err, g_steal_pointer(&why));
    return p->key != NULL;
}

/* "zone", or for administrators "zone:host[:node]". */
static bool find_place(Plan *p, GError **err)
{
    gint64 n = 1;
    g_auto(GStrv) parts = g_strsplit(p->in->zone ? p->in->zone : "", ":", -1);
    guint given = g_strv_length(parts);
    const char *direct = p->in->host ? p->in->host : p->in->node;
    if (given > 3)
        return nv_fail(err, NV_ERR_INVALID, "Unable to parse availability_zone");
    const char *host = given > 1 && *parts[1] ? parts[1] : given > 2 && *parts[2] ? parts[2] : NULL;
    if ((host || direct) && !p->c->ctx->admin)
        return nv_fail(err, NV_ERR_FORBIDDEN, "Policy doesn't allow os_compute_api:servers:create:forced_host to be performed.");
    if (host && direct)
        return nv_fail(err, NV_ERR_INVALID,
                       "One mechanism with host and/or hypervisor_hostname and another mechanism with zone:host:node are mutually exclusive.");
    if (host || direct)
        p->host = g_strdup(host ? host : direct);
    if (p->host && !db_query_int(p->c->db, err, &n, "host_named", "s", p->host))
        return false;
    if (!n)
        return nv_fail(err, NV_ERR_INVALID, "Compute host %s could not be found.", p->host);
    if (!given || !*parts[0] || p->host)         /* the host's own zone is what counts then */
        return true;
    p->zone = g_strdup(parts[0]);
    if (!db_query_int(p->c->db, err, &n, "zone_exists", "s", p->zone))
        return false;
    return n > 0 || nv_fail(err, NV_ERR_INVALID, "The requested availability zone is not available");
}

static bool check_hints(Plan *p, GError **err)
{
    static const char *const known[] = { "different_host", "same_host", NULL };
    json_t *hints = json_object_get(p->c->body, "os:scheduler_hints"), *v, *id;
    const char *key;
    size_t i;
    if (!hints)
        hints = json_object_get(p->c->body, "OS-SCH-HNT:scheduler_hints");
    if (hints && !json_is_object(hints))
        return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute os:scheduler_hints. It is not of type 'object'");
    json_object_foreach(hints, key, v) {
        if (!g_strv_contains(known, key))
            return nv_fail(err, NV_ERR_INVALID,
                           "Invalid input for field/attribute os:scheduler_hints. '%.80s' is not a hint that this cloud knows", key);
        if (json_array_size(v) > 100)
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. It has more than 100 items", key);
        if (json_is_string(v) ? !id_is_uuid(json_string_value(v)) : !json_is_array(v))
            return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. It is not a 'uuid'", key);
        json_array_foreach(v, i, id)
            if (!json_is_string(id) || !id_is_uuid(json_string_value(id)))
                return nv_fail(err, NV_ERR_INVALID, "Invalid input for field/attribute %s. It is not a list of 'uuid'", key);
    }
    p->hints = hints;
    return true;
}

static bool check_nic(const Plan *p, const json_t *n, GHashTable *ports, GError **err)
{
    const char *port = json_get_str(n, "port"), *uuid = json_get_str(n, "uuid"), *fixed = json_get_str(n, "fixed_ip");
    int mv = p->c->ctx->mv;
    if (json_object_get(n, "tag") && (mv < MV(32) || (mv >= MV(37) && mv < MV(42))))
        return nv_fail(err, NV_ERR_INVALID,
                       "Invalid input for field/attribute networks. Additional properties are not allowed ('tag' was unexpected)");
    if (port && !g_hash_table_add(ports, (gpointer) port))
        return nv_fail(err, NV_ERR_INVALID, "Port ID '%s' was specified twice: you cannot attach a port multiple times.", port);
    if (port && fixed)
        return nv_fail(err, NV_ERR_INVALID, "Specified Fixed IP '%s' cannot be used with port '%s': the two cannot be specified together.",
                       fixed, port);
    if (port && p->max > 1)
        return nv_fail(err, NV_ERR_INVALID, "Failed to launch instances: a port can not be used with more than one instance");
    if (fixed && p->max > 1)
        return nv_fail(err, NV_ERR_INVALID, "Invalid fixed IP Address %s and max count > 1", fixed);
    if (!port && !uuid)
        return nv_fail(err, NV_ERR_INVALID, "Bad network format: missing 'uuid'");
    return port || id_is_uuid(uuid) || nv_fail(err, NV_ERR_INVALID, "Bad networks format: network uuid is not in proper format (%.80s)", uuid);
}

static bool find_networks(Plan *p, GError **err)
{
    const json_t *networks = p->in->networks;
    const char *word = json_string_value(networks);
    g_autoptr(GHashTable) ports = g_hash_table_new(g_str_hash, g_str_equal);
    size_t i;
    json_t *n;
    json_array_foreach((json_t *) networks, i, n)
        if (!check_nic(p, n, ports, err))
            return false;
    p->no_network = word && strcmp(word, "none") == 0;
    if (p->no_network || json_array_size(networks))
        return true;
    if (!network_default_for(p->c->db, p->c->ctx, &p->default_network, err))
        return false;
    if (p->default_network || !word)
        return true;
    g_autoptr(GError) why = NULL;
    if (network_auto_topology(p->c->db, p->c->ctx->project_id, &p->default_network, &why))
        return true;
    return nv_fail(err, nv_error_code(why) == NV_ERR_CONFLICT ? NV_ERR_INVALID : nv_error_code(why),
                   "Unable to automatically allocate a network for project %s: %s", p->c->ctx->project_id, why->message);
}

static char *make_password(void)
{
    static const char alphabet[] = "23456789ABCDEFGHJKMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    char *text = g_malloc0(13);
    for (int i = 0; i < 12; i++)
        text[i] = alphabet[randombytes_uniform(sizeof alphabet - 1)];
    return text;
}

static char *make_reservation(void)
{
    static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    char *text = g_strdup("r-xxxxxxxx");
    for (int i = 2; i < 10; i++)
        text[i] = alphabet[randombytes_uniform(sizeof alphabet - 1)];
    return text;
}

static bool check_counts(Plan *p, GError **err)
{
    gint64 items = -1, used;
    p->min = p->in->min_count ? flexible_int(p->in->min_count) : 1;
    p->max = p->in->max_count ? flexible_int(p->in->max_count) : p->min;
    if (p->min > p->max)
        return nv_fail(err, NV_ERR_INVALID, "min_count must be <= max_count");
    if (p->in->hostname && p->max > 1)
        return nv_fail(err, NV_ERR_INVALID, "Unable to allocate a single hostname to multiple instances.");
    if (json_array_size(p->in->personality))
        return nv_fail(err, NV_ERR_INVALID,
                       "Invalid input for field/attribute personality. Files are not injected into disks; pass them in user_data");
    if (!quota_get(p->c->db, p->c->ctx->project_id, "metadata_items", &items, &used, err))
        return false;
    if (items >= 0 && (gint64) json_object_size(p->in->metadata) > items)
        return nv_fail(err, NV_ERR_QUOTA, "Maximum number of metadata items exceeds %" G_GINT64_FORMAT, items);
    return true;
}

static bool make_plan(Plan *p, GError **err)
{
    static const char *const beside[] = { "os:scheduler_hints", "OS-SCH-HNT:scheduler_hints", NULL };
    const json_t *body = body_only(p->c, "server", beside, err);
    p->in = (Input *) row_new(&server_create_resource);
    if (!body || !row_parse(&p->in->row, body, p->c->ctx, CREATE, err))
        return false;
    if (!p->c->ctx->project_id)
        return nv_fail(err, NV_ERR_FORBIDDEN, "Servers belong to a project: ask with a token that is scoped to one");
    if (!check_counts(p, err) || !check_hints(p, err) || !find_place(p, err) || !find_flavor(p, err) || !find_image(p, err) || !find_key(p, err)
        || !find_networks(p, err))
        return false;
    p->admin_pass = p->in->admin_pass ? g_strdup(p->in->admin_pass) : make_password();
    p->reservation_id = make_reservation();
    p->config_drive = (p->in->config_drive && bool_text(p->in->config_drive))
                   || g_strcmp0(json_get_str(p->image->properties, "img_config_drive"), "mandatory") == 0;
    if (p->in->groups) {
        size_t n = 0, i;
        json_t *g;
        p->groups = g_new0(const char *, json_array_size(p->in->groups) + 1);
        json_array_foreach(p->in->groups, i, g)
            if (json_get_str(g, "name") && !g_strv_contains(p->groups, json_get_str(g, "name")))
                p->groups[n++] = json_get_str(g, "name");
        if (!n)
            g_clear_pointer(&p->groups, g_free);
    }
    return true;
}

/* How many of the asked servers the limits allow; fewer than min is the error that names the limit. */
static bool count_allowed(const Plan *p, gint64 *ret_n, GError **err)
{
    const struct { const char *resource; gint64 each; } asked[] = {
        { "instances", 1 }, { "cores", p->flavor->vcpus }, { "ram", p->flavor->memory_mb },
    };
    gint64 n = p->max;
    for (guint i = 0; i < G_N_ELEMENTS(asked); i++) {
        gint64 left;
        if (!quota_left(p->c->db, p->c->ctx->project_id, p->c->ctx->user_id, asked[i].resource, &left, err))
            return false;
        n = MIN(n, left / MAX(1, asked[i].each));
        if (n < p->min)
            return quota_user_check(p->c->db, p->c->ctx->project_id, p->c->ctx->user_id, asked[i].resource, asked[i].each * p->min, err);
    }
    *ret_n = n;
    return true;
}

static bool add_nics(const Plan *p, const Server *s, GError **err)
{
    size_t i, n = json_array_size(p->in->networks);
    for (i = 0; i < n || (i == 0 && p->default_network); i++) {
        const json_t *asked = json_array_get(p->in->networks, i);
        const char *port = json_get_str(asked, "port");
        NicRequest nic = { .network_id = port ? NULL : asked ? json_get_str(asked, "uuid") : p->default_network, .port_id = port,
                           .fixed_ip = json_get_str(asked, "fixed_ip"), .tag = json_get_str(asked, "tag") };
        g_autofree char *made = NULL;
        if (!network_nic_create(p->c->db, p->c->ctx, s->id, s->hostname, (gint64) i, &nic, p->groups, &made, err))
            return as_invalid(err);
    }
    return true;
}

static json_t *image_meta(const Image *image)
{
    return json_make("sssiiso", "name", image->name, "sha512", image->os_hash_value, "format", image->disk_format, "size", image->size,
                     "virtual_size",
                     image->virtual_size, "container_format", image->container_format, "properties", json_deep_copy(image->properties));
}

static void fill_flavor(Server *s, const Flavor *f)
{
    ROW_SET_STR(s, flavor_id, f->id);
    ROW_SET_STR(s, flavor_name, f->name);
    ROW_SET_INT(s, vcpus, f->vcpus);
    ROW_SET_INT(s, memory_mb, f->memory_mb);
    ROW_SET_INT(s, disk_gb, f->disk_gb);
    ROW_SET_INT(s, ephemeral_gb, f->ephemeral_gb);
    ROW_SET_INT(s, swap_mb, f->swap_mb);
    ROW_SET_JSON(s, extra_specs, json_deep_copy(f->extra_specs));
}

static Server *make_row(const Plan *p, gint64 index, gint64 total)
{
    Server *s = (Server *) row_new(&server_resource);
    const Input *in = p->in;
    g_autofree char *id = id_new();
    g_autofree char *name = total > 1 ? g_strdup_printf("%.240s-%" G_GINT64_FORMAT, in->name, index + 1) : g_strdup(in->name);
    g_autofree char *valid = g_utf8_make_valid(name, -1);
    g_autofree char *hostname = in->hostname ? g_strdup(in->hostname) : server_hostname_of(valid, id);
    ROW_SET_STR(s, id, id);
    ROW_SET_STR(s, project_id, p->c->ctx->project_id);
    ROW_SET_STR(s, user_id, p->c->ctx->user_id);
    ROW_SET_STR(s, name, valid);
    ROW_SET_STR(s, description, p->c->ctx->mv >= MV(19) ? in->description : valid);
    ROW_SET_STR(s, hostname, hostname);
    ROW_SET_STR(s, vm_state, "building");
    ROW_SET_STR(s, task_state, "scheduling");
    ROW_SET_STR(s, asked_zone, p->zone);
    ROW_SET_STR(s, asked_host, p->host);
    ROW_SET_STR(s, zone, p->zone);
    fill_flavor(s, p->flavor);
    ROW_SET_STR(s, image_id, p->image->id);
    ROW_SET_JSON(s, image_meta, image_meta(p->image));
    ROW_SET_STR(s, key_name, in->key_name);
    ROW_SET_STR(s, key_type, json_get_str(p->key, "type"));
    ROW_SET_STR(s, key_data, json_get_str(p->key, "public_key"));
    ROW_SET_BOOL(s, config_drive, p->config_drive);
    ROW_SET_JSON(s, metadata, in->metadata ? json_deep_copy(in->metadata) : json_object());
    ROW_SET_JSON(s, tags, in->tags ? json_deep_copy(in->tags) : json_array());
    ROW_SET_JSON(s, tried, json_array());
    ROW_SET_STR(s, access_ip_v4, in->ip4);
    ROW_SET_STR(s, access_ip_v6, in->ip6);
    ROW_SET_STR(s, disk_config, in->disk_config ? in->disk_config : "MANUAL");
    ROW_SET_STR(s, reservation_id, p->reservation_id);
    ROW_SET_INT(s, launch_index, index);
    return s;
}

static bool add_server(const Plan *p, gint64 index, gint64 total, char **ret_id, GError **err)
{
    g_autoptr(Server) s = make_row(p, index, total);
    const char *pass = p->config_drive ? p->admin_pass : NULL;
    if (!row_insert(p->c->db, &s->row, err) || !add_nics(p, s, err)
        || ((pass || p->in->user_data) && !db_exec(p->c->db, err, "server_guest_put", "sss", s->id, p->in->user_data, pass))
        || !op_start(p->c->db, p->c->ctx, &op_server_create, s->id, NULL, json_make("o", "hints", json_incref(p->hints)), err))
        return false;
    if (!*ret_id)
        *ret_id = g_strdup(s->id);
    return true;
}

static bool write_rows(const Plan *p, char **ret_id, GError **err)
{
    gint64 n = 0;
    g_auto(Txn) txn = txn_begin(p->c->db, err);
    if (!txn.db || !count_allowed(p, &n, err))
        return false;
    for (gint64 i = 0; i < n; i++)
        if (!add_server(p, i, n, ret_id, err))
            return false;
    return txn_commit(&txn, err);
}

static void put_groups(const Plan *p, JsonW *w)
{
    static const char *const fallback[] = { "default", NULL };
    jw_key(w, "security_groups");
    jw_array(w);
    for (const char *const *g = p->groups ? p->groups : fallback; *g; g++) {
        jw_object(w);
        jw_kstr(w, "name", *g);
        jw_end_object(w);
    }
    jw_end_array(w);
}

bool server_create(Call *c, GError **err)
{
    g_auto(Plan) p = { .c = c };
    g_autofree char *id = NULL;
    if (!make_plan(&p, err) || !write_rows(&p, &id, err))
        return false;
    JsonW w = call_begin(c, 202);
    jw_object(&w);
    if (p.in->reservation && bool_text(p.in->reservation)) {
        jw_kstr(&w, "reservation_id", p.reservation_id);
        jw_end_object(&w);
        return true;
    }
    g_autofree char *location = g_strconcat(c->ctx->base_url, "/compute/v2.1/servers/", id, NULL);
    call_header(c, "Location", location);
    jw_key(&w, "server");
    jw_object(&w);
    jw_kstr(&w, "id", id);
    jw_key(&w, "links");
    view_links(c->ctx, "servers", id, &w);
    jw_kstr(&w, "OS-DCF:diskConfig", p.in->disk_config ? p.in->disk_config : "MANUAL");
    put_groups(&p, &w);
    jw_kstr(&w, "adminPass", p.admin_pass);
    jw_end_object(&w);
    jw_end_object(&w);
    return true;
}
