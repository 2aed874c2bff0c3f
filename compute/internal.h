/* compute/internal.h -- what the files of compute/ share. */
#pragma once
#include "compute/compute.h"
#include "image/image.h"
#include "scheduler/scheduler.h"

/* --- flavors (flavor.c, flavor_extra.c) --- */
typedef struct Flavor {
    Row row;
    char *id, *name, *description;
    gint64 memory_mb, vcpus, disk_gb, ephemeral_gb, swap_mb, created_at, updated_at;
    bool is_public;
    json_t *rxtx_factor, *extra_specs;
} Flavor;
static inline void flavor_free(Flavor *f)
{
    row_free((Row *) f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Flavor, flavor_free)
extern const Resource flavor_resource;
Handler flavor_list, flavor_list_detail, flavor_show, flavor_create, flavor_update, flavor_delete, flavor_action, flavor_access_list;
Handler flavor_specs_list, flavor_specs_create, flavor_spec_show, flavor_spec_update, flavor_spec_delete;
/* The flavor if ctx may use it. */
Flavor *flavor_get_for(Db *db, const Ctx *ctx, const char *id, GError **err);
bool flavor_bootstrap(Db *db, GError **err);

/* --- keypairs (keypair.c, sshkey.c) --- */
Handler keypair_list, keypair_show, keypair_create, keypair_delete;
/* {"name", "type", "public_key", …} of the user's keypair, or NULL with NV_ERR_NOT_FOUND. */
json_t *keypair_get(Db *db, const char *user_id, const char *name, GError **err);
/* Checks an OpenSSH public key ("ssh-ed25519 AAAA… comment"): its decoded type must be the stated one.  ret_fingerprint: MD5, "aa:bb:…";
 * caller frees. */
bool sshkey_check(const char *public_key, char **ret_fingerprint, GError **err);
/* New Ed25519 pair; private key in OpenSSH's own PEM format.  Caller frees both. */
void sshkey_generate(const char *comment, char **ret_public, char **ret_private);

/* --- hosts (host.c, service.c, hypervisor.c) --- */
/* Hosts as the scheduler sees them: rows and what is placed there.  Strings and lists are borrowed from *ret_rows. */
bool host_states(Db *db, GArray **ret_states, json_t **ret_rows, GError **err);
/* Takes facts (the answer to "host.facts") over. */
bool host_update(Db *db, const char *name, const json_t *facts, GError **err);
Handler zone_list, zone_list_detail;
Handler service_list, service_update, service_update_legacy, service_delete;
Handler hypervisor_list, hypervisor_list_detail, hypervisor_show, hypervisor_statistics, hypervisor_uptime, hypervisor_search, hypervisor_servers;
Handler oshost_list, oshost_show, oshost_update, oshost_power;
Handler external_event_create;
/* --- security groups, Nova's way (secgroup.c) --- */
Handler secgroup_list, secgroup_show, secgroup_create, secgroup_update, secgroup_delete, secgroup_rule_create;
Handler secgroup_rule_delete, server_groups_list;

/* --- servers (server.c) --- */
typedef struct Server {
    Row row;
    char *id, *project_id, *user_id, *name, *description, *hostname, *vm_state, *task_state;
    char *host, *node, *zone, *asked_zone, *asked_host, *flavor_id, *flavor_name, *image_id, *key_name, *key_type, *key_data;
    char *access_ip_v4, *access_ip_v6, *disk_config, *locked_by, *locked_reason, *reservation_id, *fault_message, *fault_details;
    gint64 power_state, vcpus, memory_mb, disk_gb, ephemeral_gb, swap_mb, launch_index, progress, fault_code;
    gint64 launched_at, terminated_at, fault_at, created_at, updated_at;
    bool config_drive;
    json_t *extra_specs, *image_meta, *metadata, *tags, *tried;
} Server;
static inline void server_free(Server *s)
{
    row_free((Row *) s);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Server, server_free)
extern const Resource server_resource;
extern const Resource server_list_resource;      /* the same rows without what lists do not show */
enum { POWER_NONE = 0, POWER_RUNNING = 1, POWER_PAUSED = 3, POWER_SHUTDOWN = 4, POWER_CRASHED = 6, POWER_SUSPENDED = 7 };

Server *server_get(Db *db, const char *id, GError **err);
Server *server_get_for(Db *db, const Ctx *ctx, const char *id, GError **err);
/* As server_get_for, also what is remembered of a deleted one; *ret_deleted tells. */
Server *server_get_even_deleted(Db *db, const Ctx *ctx, const char *id, bool *ret_deleted, GError **err);
/* A server from the record that is kept of a deleted one. */
Server *server_revive(const char *record);
/* "ACTIVE", "BUILD" … as Nova derives it; task_state may be NULL. */
const char *server_status(const char *vm_state, const char *task_state);
/* The vm_states and task_states that a status filter means (NULL-terminated borrowed strings); false: no such status. */
bool server_states_of_status(const char *status, GPtrArray *vm_states, GPtrArray *task_states);
/* libvirt's state name → Nova's number. */
gint64 server_power_of(const char *state);
/* NV_ERR_CONFLICT unless ctx may change a locked server. */
bool server_check_unlocked(const Server *s, const Ctx *ctx, GError **err);
/* Host name made from a display name: lower case LDH, at most 63; "server-<id>" when nothing is left.  Caller frees. */
char *server_hostname_of(const char *name, const char *id);

/* --- servers in the API --- */
Handler server_list, server_list_detail, server_show, server_create, server_update, server_delete, server_action;
Handler server_ips, server_ips_network, server_diagnostics, server_password_get, server_password_clear;
Handler server_meta_list, server_meta_set, server_meta_update, server_meta_item, server_meta_item_set, server_meta_item_delete;
Handler server_tags_list, server_tags_set, server_tags_clear, server_tag_check, server_tag_add, server_tag_delete;
Handler server_actions_list, server_actions_show;
/* Writes the members of servers as GET /servers/{id} (or the list) shows them; nics: what network_nics gave for them. */
typedef struct ServerView {
    const Ctx *ctx;
    json_t *nics;                        /* object server id → array of its NICs */
    json_t *user_data;                   /* object server id → text; NULL: not shown */
    bool all;                            /* false: what PUT answered before 2.75 */
    bool deleted;
} ServerView;
/* Loads what the views of rows need. */
bool server_view_init(ServerView *view, Db *db, const Ctx *ctx, GPtrArray *rows, GError **err);
void server_view_done(ServerView *view);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ServerView, server_view_done)
void server_view_brief(const Server *s, const Ctx *ctx, JsonW *w);
void server_view_full(const Server *s, const ServerView *view, JsonW *w);
void server_view_addresses(const json_t *nics, JsonW *w);
void view_links(const Ctx *ctx, const char *collection, const char *id, JsonW *w);
void view_time(JsonW *w, const char *key, gint64 us);

/* addSecurityGroup and removeSecurityGroup; inside a transaction. */
bool server_group_change(Call *c, Server *s, const json_t *body, bool add, GError **err);

/* --- operations (server_ops.c) --- */
extern const OpKind op_server_create, op_server_delete, op_server_start, op_server_stop, op_server_reboot_soft, op_server_reboot_hard, op_server_heal;

/* --- metadata (metadata.c) --- */
typedef struct GuestData {
    const Server *server;
    json_t *nics;                        /* array of network_nics */
    json_t *network_data;
    const char *user_data;               /* base64, or NULL */
    const char *admin_pass;              /* config drive only, or NULL */
} GuestData;
/* File of the OpenStack tree under a version directory ("meta_data.json" …): caller frees; NULL: there is no such file.  ret_len may be NULL. */
char *metadata_openstack(const GuestData *g, const char *version, const char *file, gsize *ret_len, const char **ret_type);
/* Value or listing of the EC2 tree at path ("meta-data/public-keys/0/openssh-key") under a dated version: caller frees; NULL: no such path. */
char *metadata_ec2(const GuestData *g, const char *version, const char *path, gsize *ret_len);
/* All files of the config drive: object path → base64. */
json_t *metadata_drive(const GuestData *g);
/* What a version directory lists, NULL-terminated; NULL: no such version. */
extern const char *const metadata_openstack_versions[];
extern const char *const metadata_ec2_versions[];

/* --- limits, quota sets, usage, extensions (quota_set.c, misc.c) --- */
Handler limits_show, quota_set_show, quota_set_detail, quota_set_defaults, quota_set_update, quota_set_delete, quota_class_show, quota_class_update;
Handler extension_list, extension_show, usage_list, usage_show;

/* --- bodies (body.c): checks that Nova's schemas make beyond core/check.c --- */
Check check_nova_name;                   /* 1–255 printable characters, no space at either end */
Check check_nova_text;                   /* printable, ≤ 255; arg: const Range* of lengths */
Check check_flexible_int;                /* T_JSON: integer or its text; arg: const Range* */
Check check_bool_text;                   /* T_JSON: boolean, or one of Nova's words for it */
Check check_metadata;                    /* object of [a-zA-Z0-9-_:. ]{1,255} → strings ≤ 255 */
Check check_ipv4, check_ipv6;
Check check_server_hostname;
Check check_base64;                      /* arg: const Range*: max is the longest text */
gint64 flexible_int(const json_t *v);
bool bool_text(const json_t *v);
/* body has exactly the one key (others only from allowed, NULL-terminated, may be NULL) and it holds an object. */
json_t *body_only(const Call *c, const char *key, const char *const *allowed, GError **err);
/* NV_ERR_INVALID when obj has a key that is not in allowed. */
bool body_allowed(const json_t *obj, const char *const *allowed, GError **err);
/* ?limit and ?marker. ret_limit: at most api.page_max; 0 is a page without rows. */
bool page_query(const Call *c, gint64 *ret_limit, const char **ret_marker, GError **err);
/* Unknown query parameters are refused from `since` on (Nova: 2.75). */
bool query_allowed(const Call *c, const char *const *allowed, int since, GError **err);
/* "servers_links": [{"rel": "next", …}], when there is another page. */
void page_links(const Call *c, const char *key, const char *last_id, JsonW *w);
