/* tests/fake/agent.c -- an agent without a host: the real verb names and arguments over a world of small files; for tests.
 *
 * fake-agent SOCKET WORLD [--name N] [--vcpus N] [--memory-mb N] [--disk-gb N] [--delay-ms N] [--tunnel ADDRESS] [--physical NAME] [--egress-kbps N] [--kpps N]
 * WORLD is a folder with one file an object: domains/ID, disks/ID, bases/ID, seeds/ID, networks/ID, groups/ID, ports/ID, routers/ID.  It
 * survives a kill, and tests look into it.  While there is a file WORLD/deaf, guests do not hear the power button.
 * Faults come from NUVOLET_FAULT (core/fault.h) and from the verbs fake.*, which no real agent has. */
#include "core/clock.h"
#include "core/error.h"
#include "core/fault.h"
#include "core/id.h"
#include "core/log.h"
#include "core/verb.h"
#include "core/wire.h"
#include <glib/gstdio.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *world = "", *host_name = "fake", *tunnel, *physical;      /* options; read-only once verbs are served */
static gint64 vcpus = 64, memory_mb = 262144, disk_gb = 4000, delay_ms, egress_kbps, kpps;

static const char *const FOLDERS[] = { "domains", "disks", "bases", "seeds", "networks", "groups", "ports", "routers", NULL };

/* ---- objects ---- */

static char *object_path(const char *folder, const char *id)
{
    return g_build_filename(world, folder, id, NULL);
}

static bool object_has(const char *folder, const char *id)
{
    g_autofree char *path = object_path(folder, id);
    return g_file_test(path, G_FILE_TEST_EXISTS);
}

static void object_put(const char *folder, const char *id, const json_t *value)
{
    static gint serial;
    g_autofree char *path = object_path(folder, id), *text = json_text(value);
    g_autofree char *part = g_strdup_printf("%s/part.%d.%d", world, (int) getpid(), g_atomic_int_add(&serial, 1));
    FILE *file = fopen(part, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0 || rename(part, path) < 0)
        g_error("%s cannot be written", path);
}

static json_t *object_get(const char *folder, const char *id)
{
    g_autofree char *path = object_path(folder, id), *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) ? json_parse_trusted(text) : NULL;
}

static void object_drop(const char *folder, const char *id)
{
    g_autofree char *path = object_path(folder, id);
    g_unlink(path);
}

/* short_ids: the 12 digits that kernel names carry. */
static json_t *object_list(const char *folder, bool short_ids)
{
    json_t *list = json_array();
    g_autofree char *path = g_build_filename(world, folder, NULL);
    GDir *dir = g_dir_open(path, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));)
        json_array_append_new(list, json_string(short_ids ? id_12(name).s : name));
    if (dir)
        g_dir_close(dir);
    return list;
}

static const char *arg_id(const json_t *args)
{
    return json_get_str(args, "id");
}

static json_t *done(void)
{
    if (delay_ms)
        g_usleep((gulong) delay_ms * 1000);
    return json_object();
}

static json_t *missing(GError **err, const char *what, const char *id)
{
    return nv_fail(err, NV_ERR_HOST_FAULT, "%s %s does not exist", what, id), NULL;
}

static json_t *drop(const char *folder, const json_t *args)
{
    object_drop(folder, arg_id(args));
    return done();
}

/* Kernel names carry 12 digits of an id only, and whatever has them goes. */
static json_t *drop_named(const char *folder, const json_t *args)
{
    g_autoptr(json_t) names = object_list(folder, false);
    const Id12 digits = id_12(arg_id(args));
    json_t *name;
    size_t i;
    json_array_foreach(names, i, name)
        if (g_str_equal(id_12(json_string_value(name)).s, digits.s))
            object_drop(folder, json_string_value(name));
    return done();
}

static json_t *put(const char *folder, const json_t *args)
{
    object_put(folder, arg_id(args), args);
    return done();
}

/* ---- compute ---- */

static json_t *host_facts(const json_t *args, GError **err)
{
    (void) args, (void) err;
    g_autofree char *path = g_build_filename(world, "boot_id", NULL), *boot = NULL;
    if (!g_file_get_contents(path, &boot, NULL, NULL)) {
        boot = id_new();
        g_file_set_contents(path, boot, -1, NULL);
    }
    return json_make("siiisssssss", "hostname", host_name, "vcpus", vcpus, "memory_mb", memory_mb, "disk_gb", disk_gb, "virt_type", "test",
                     "virt_reason", "no guests are run", "hypervisor_version", "0", "libvirt_version", "0", "cpu_model", "none", "boot_id", boot,
                     "arch", "x86_64");
}

static void tell_state(const char *id, const char *state, const char *reason)
{
    verb_event("domain", json_make("sss", "id", id, "state", state, "reason", reason));
}

static bool parts_exist(const char *id, const json_t *spec, GError **err)
{
    size_t i;
    json_t *nic;
    if (!object_has("disks", id))
        return missing(err, "disk", id) != NULL;
    if (json_get_bool(spec, "seed", false) && !object_has("seeds", id))
        return missing(err, "seed", id) != NULL;
    json_array_foreach(json_object_get(spec, "nics"), i, nic) {
        const char *port = json_get_str(nic, "port_id");
        if (!port || !object_has("ports", port))
            return missing(err, "tap of port", port ? port : "(none)") != NULL;
    }
    return true;
}

static bool set_state(const char *id, const json_t *spec, const char *state, const char *reason)
{
    g_autoptr(json_t) old = object_get("domains", id);
    if (!spec && !old)
        return false;
    bool changed = g_strcmp0(json_get_str(old, "state"), state) != 0;
    g_autoptr(json_t) value = json_make("so", "state", state, "spec", json_incref(spec ? (json_t *) spec : json_object_get(old, "spec")));
    object_put("domains", id, value);
    if (changed)
        tell_state(id, state, reason);
    return true;
}

static json_t *domain_ensure(const json_t *args, GError **err)
{
    const json_t *spec = json_object_get(args, "spec");
    if (!parts_exist(arg_id(args), spec, err))
        return NULL;
    set_state(arg_id(args), spec, "running", "started");
    return done();
}

static json_t *domain_stopped(const json_t *args, GError **err)
{
    g_autofree char *deaf = g_build_filename(world, "deaf", NULL);
    g_autoptr(json_t) domain = object_get("domains", arg_id(args));
    if (json_get_int(args, "graceful_s", 0) > 0 && g_strcmp0(json_get_str(domain, "state"), "running") == 0 && g_file_test(deaf, G_FILE_TEST_EXISTS))
        return json_make("b", "again", true);
    if (!set_state(arg_id(args), NULL, "shutoff", "shutdown"))
        return missing(err, "domain", arg_id(args));
    return done();
}

static json_t *domain_absent(const json_t *args, GError **err)
{
    (void) err;
    bool was = object_has("domains", arg_id(args));
    object_drop("domains", arg_id(args));
    object_drop("seeds", arg_id(args));
    if (was)
        tell_state(arg_id(args), "shutoff", "destroyed");
    return done();
}

static const char *state_of(const json_t *domain)
{
    const char *state = json_get_str(domain, "state");
    return state ? state : "absent";
}

static json_t *domain_list(const json_t *args, GError **err)
{
    (void) args, (void) err;
    g_autoptr(json_t) ids = object_list("domains", false);
    json_t *list = json_array(), *id;
    size_t i;
    json_array_foreach(ids, i, id) {
        g_autoptr(json_t) domain = object_get("domains", json_string_value(id));
        if (domain)
            json_array_append_new(list, json_make("ss", "id", json_string_value(id), "state", state_of(domain)));
    }
    return json_make("o", "domains", list);
}

static json_t *domain_state(const json_t *args, GError **err)
{
    (void) err;
    g_autoptr(json_t) domain = object_get("domains", arg_id(args));
    return json_make("s", "state", state_of(domain));
}

static json_t *console_read(const json_t *args, GError **err)
{
    if (!object_has("domains", arg_id(args)))
        return missing(err, "domain", arg_id(args));
    g_autofree char *text = g_strdup_printf("fake boot of %s\nlogin: ", arg_id(args));
    gint64 total = (gint64) strlen(text), bytes = CLAMP(json_get_int(args, "bytes", 0), 0, total);
    return json_make("si", "output", text + total - bytes, "total", total);
}

static json_t *seed_ensure(const json_t *args, GError **err)  { (void) err; return put("seeds", args); }
static json_t *seed_absent(const json_t *args, GError **err)  { (void) err; return drop("seeds", args); }

/* ---- storage ---- */

static json_t *disk_ensure(const json_t *args, GError **err)
{
    (void) err;
    const json_t *image = json_object_get(args, "image");
    if (json_is_object(image))
        object_put("bases", json_get_str(image, "id"), image);
    return put("disks", args);
}

static json_t *disk_absent(const json_t *args, GError **err)  { (void) err; return drop("disks", args); }

static json_t *disk_list(const json_t *args, GError **err)
{
    (void) args, (void) err;
    return json_make("ooo", "disks", object_list("disks", false), "bases", object_list("bases", false), "partials", json_array());
}

static json_t *base_absent(const json_t *args, GError **err)
{
    const char *id = json_get_str(args, "image_id");
    g_autoptr(json_t) disks = object_list("disks", false);
    json_t *name;
    size_t i;
    json_array_foreach(disks, i, name) {
        g_autoptr(json_t) disk = object_get("disks", json_string_value(name));
        if (g_strcmp0(json_get_str(json_object_get(disk, "image"), "id"), id) == 0)
            return nv_fail(err, NV_ERR_CONFLICT, "base %s is used by disk %s", id, json_string_value(name)), NULL;
    }
    object_drop("bases", id);
    return done();
}

/* ---- network ---- */

static json_t *network_ensure(const json_t *args, GError **err)  { (void) err; return put("networks", args); }
static json_t *network_absent(const json_t *args, GError **err)  { (void) err; return drop_named("networks", args); }
static json_t *group_ensure(const json_t *args, GError **err)    { (void) err; return put("groups", args); }
static json_t *group_absent(const json_t *args, GError **err)    { (void) err; return drop_named("groups", args); }
static json_t *port_absent(const json_t *args, GError **err)     { (void) err; return drop_named("ports", args); }

static json_t *port_ensure(const json_t *args, GError **err)
{
    const char *network = json_get_str(args, "network_id");
    json_t *group;
    size_t i;
    if (!object_has("networks", network))
        return missing(err, "network", network);
    json_array_foreach(json_object_get(args, "groups"), i, group)
        if (!json_is_string(group) || !object_has("groups", json_string_value(group)))
            return missing(err, "security group", json_is_string(group) ? json_string_value(group) : "(not a string)");
    return put("ports", args);
}

static bool link_possible(const json_t *link, GError **err)
{
    const char *network = json_get_str(link, "network_id");
    if (network && object_has("networks", network))
        return true;
    return nv_fail(err, NV_ERR_AGENT, "network %s is not on this host", network ? network : "(none)");
}

static json_t *router_ensure(const json_t *args, GError **err)
{
    const json_t *gateway = json_object_get(args, "gateway");
    json_t *link;
    size_t i;
    json_array_foreach(json_object_get(args, "interfaces"), i, link)
        if (!link_possible(link, err))
            return NULL;
    if (json_is_object(gateway) && !link_possible(gateway, err))
        return NULL;
    return put("routers", args);
}

static json_t *router_absent(const json_t *args, GError **err)   { (void) err; return drop_named("routers", args); }

/* A port is in force if it is there as it is asked for. */
static json_t *port_check(const json_t *args, GError **err)
{
    (void) err;
    g_autoptr(json_t) there = object_get("ports", arg_id(args));
    json_t *missing = json_array(), *rules = json_array(), *id, *rule;
    size_t i, k;
    if (!there || !json_equal(json_object_get(there, "addresses"), json_object_get(args, "addresses")))
        json_array_append_new(missing, json_string("the port"));
    json_array_foreach(json_object_get(there, "groups"), i, id) {
        g_autoptr(json_t) group = object_get("groups", json_string_value(id));
        json_array_foreach(json_object_get(group, "rules"), k, rule)
            json_array_append_new(rules, json_string(id_12(json_get_str(rule, "id")).s));
    }
    return json_make("boo", "checked", 1, "missing", missing, "rules", rules);
}

/* Rules without ports are nothing here. */
static json_t *rules_ensure(const json_t *args, GError **err)  { (void) args, (void) err; return done(); }

/* Each rule has let three packets through. */
static json_t *group_counters(const json_t *args, GError **err)
{
    (void) err;
    g_autoptr(json_t) group = object_get("groups", arg_id(args));
    json_t *list = json_array(), *rule;
    size_t i;
    json_array_foreach(json_object_get(group, "rules"), i, rule)
        json_array_append_new(list, json_make("sii", "rule", id_12(json_get_str(rule, "id")).s, "packets", (gint64) 3, "bytes", (gint64) 300));
    return json_make("o", "rules", list);
}

static json_t *net_list(const json_t *args, GError **err)
{
    (void) args, (void) err;
    json_t *namespaces = json_array(), *name;
    g_autoptr(json_t) networks = object_list("networks", false);
    size_t i;
    json_array_foreach(networks, i, name) {
        g_autoptr(json_t) network = object_get("networks", json_string_value(name));
        if (json_is_object(json_object_get(network, "dhcp")))
            json_array_append_new(namespaces, json_string(id_12(json_string_value(name)).s));
    }
    return json_make("ooooo", "routers", object_list("routers", true), "networks", object_list("networks", true), "ports", object_list("ports", true), "groups", object_list("groups", true),
                     "namespaces", namespaces);
}

static json_t *net_facts(const json_t *args, GError **err)
{
    (void) args, (void) err;
    json_t *list = json_array();
    json_t *fact = physical ? json_make("ss", "name", physical, "interface", "eth1") : NULL;
    if (fact && egress_kbps)
        json_object_set_new(fact, "egress_kbps", json_integer(egress_kbps));
    if (fact)
        json_array_append_new(list, fact);
    return json_make("soi", "tunnel_address", tunnel, "physical", list, "kpps", kpps);
}

/* ---- what tests ask ---- */

/* {"spec"}: fault rules, as in NUVOLET_FAULT; empty: none. */
static json_t *fake_fault(const json_t *args, GError **err)
{
    (void) err;
    fault_arm(json_get_str(args, "spec"));
    return json_object();
}

/* {"id", "state", "reason"}: the guest stops, crashes … by itself. */
static json_t *fake_guest(const json_t *args, GError **err)
{
    if (!set_state(arg_id(args), NULL, json_get_str(args, "state"), json_get_str(args, "reason")))
        return missing(err, "domain", arg_id(args));
    return json_object();
}

static void clear_folder(const char *folder)
{
    g_autoptr(json_t) names = object_list(folder, false);
    json_t *name;
    size_t i;
    json_array_foreach(names, i, name)
        object_drop(folder, json_string_value(name));
}

/* {}: the host reboots: disks and bases stay (and seeds, which are files), domains are defined but off, nothing is left in the kernel. */
static json_t *fake_reboot(const json_t *args, GError **err)
{
    (void) args, (void) err;
    static const char *const gone[] = { "networks", "groups", "ports", "routers" };
    g_autofree char *boot = g_build_filename(world, "boot_id", NULL);
    g_autoptr(json_t) ids = object_list("domains", false);
    json_t *id;
    size_t i;
    for (size_t k = 0; k < G_N_ELEMENTS(gone); k++)
        clear_folder(gone[k]);
    json_array_foreach(ids, i, id) {
        g_autoptr(json_t) domain = object_get("domains", json_string_value(id));
        json_object_set_new(domain, "state", json_string("shutoff"));
        object_put("domains", json_string_value(id), domain);
    }
    g_unlink(boot);
    return json_object();
}

/* ---- tables ---- */

/* clang-format off */
#define END { NULL, 0, false }
static const VerbArg no_args[]      = { END };
static const VerbArg id_args[]      = { { "id", ARG_ID, false }, END };
static const VerbArg spec_args[]    = { { "id", ARG_ID, false }, { "spec", ARG_OBJECT, false }, END };
static const VerbArg stopped_args[] = { { "id", ARG_ID, false }, { "graceful_s", ARG_INT, false }, END };
static const VerbArg console_args[] = { { "id", ARG_ID, false }, { "bytes", ARG_INT, false }, END };
static const VerbArg seed_args[]    = { { "id", ARG_ID, false }, { "files", ARG_OBJECT, false }, END };
static const VerbArg disk_args[]    = { { "id", ARG_ID, false }, { "image", ARG_OBJECT, true }, { "size_gb", ARG_INT, false }, END };
static const VerbArg base_args[]    = { { "image_id", ARG_ID, false }, END };
static const VerbArg network_args[] = {
    { "id", ARG_ID, false }, { "mtu", ARG_INT, false }, { "zone", ARG_INT, false }, { "host_addresses", ARG_ARRAY, false },
    { "nat", ARG_ARRAY, false }, { "segment", ARG_OBJECT, true }, { "dhcp", ARG_OBJECT, true }, END };
static const VerbArg group_args[]   = {
    { "id", ARG_ID, false }, { "stateful", ARG_BOOL, false }, { "rules", ARG_ARRAY, false }, { "members4", ARG_ARRAY, false },
    { "members6", ARG_ARRAY, false }, END };
static const VerbArg port_args[]    = {
    { "id", ARG_ID, false }, { "network_id", ARG_ID, false }, { "mac", ARG_STR, false }, { "mtu", ARG_INT, false },
    { "addresses", ARG_ARRAY, false }, { "pairs", ARG_ARRAY, false }, { "groups", ARG_ARRAY, false }, { "port_security", ARG_BOOL, false },
    { "up", ARG_BOOL, false }, { "qos", ARG_OBJECT, true }, { "parent", ARG_OBJECT, true }, END };
static const VerbArg router_args[]  = {
    { "id", ARG_ID, false }, { "interfaces", ARG_ARRAY, false }, { "gateway", ARG_OBJECT, true }, { "floating", ARG_ARRAY, false },
    { "forwardings", ARG_ARRAY, false }, { "routes", ARG_ARRAY, false }, { "up", ARG_BOOL, false }, END };
static const VerbArg rules_args[]   = { { "groups", ARG_ARRAY, false }, { "ports", ARG_ARRAY, false }, END };
static const VerbArg fault_args[]   = { { "spec", ARG_STR, false }, END };
static const VerbArg guest_args[]   = { { "id", ARG_ID, false }, { "state", ARG_STR, false }, { "reason", ARG_STR, false }, END };

static const Verb verbs[] = {
    { "host.facts", host_facts, no_args },
    { "domain.ensure", domain_ensure, spec_args },
    { "domain.stopped.ensure", domain_stopped, stopped_args },
    { "domain.absent", domain_absent, id_args },
    { "domain.list", domain_list, no_args },
    { "domain.state", domain_state, id_args },
    { "console.read", console_read, console_args },
    { "seed.ensure", seed_ensure, seed_args },
    { "seed.absent", seed_absent, id_args },
    { "disk.ensure", disk_ensure, disk_args },
    { "disk.absent", disk_absent, id_args },
    { "disk.list", disk_list, no_args },
    { "base.absent", base_absent, base_args },
    { "network.ensure", network_ensure, network_args },
    { "network.absent", network_absent, id_args },
    { "group.ensure", group_ensure, group_args },
    { "group.absent", group_absent, id_args },
    { "group.counters", group_counters, id_args },
    { "rules.ensure", rules_ensure, rules_args },
    { "port.check", port_check, port_args },
    { "port.ensure", port_ensure, port_args },
    { "port.absent", port_absent, id_args },
    { "router.ensure", router_ensure, router_args },
    { "router.absent", router_absent, id_args },
    { "net.list", net_list, no_args },
    { "net.facts", net_facts, no_args },
    { "fake.fault", fake_fault, fault_args },
    { "fake.guest", fake_guest, guest_args },
    { "fake.reboot", fake_reboot, no_args },
    VERBS_END,
};
/* clang-format on */
static const Verb *const tables[] = { verbs, NULL };

static void set_option(const char *name, const char *value)
{
    static const struct { const char *name; gint64 *value; } numbers[] = {
        { "--vcpus", &vcpus }, { "--memory-mb", &memory_mb }, { "--disk-gb", &disk_gb }, { "--delay-ms", &delay_ms },
        { "--egress-kbps", &egress_kbps }, { "--kpps", &kpps },
    };
    static const struct { const char *name, **value; } texts[] = {
        { "--name", &host_name }, { "--tunnel", &tunnel }, { "--physical", &physical },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        if (g_str_equal(name, texts[i].name)) {
            *texts[i].value = value;
            return;
        }
    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++)
        if (g_str_equal(name, numbers[i].name)) {
            *numbers[i].value = g_ascii_strtoll(value, NULL, 10);
            return;
        }
    g_error("unknown option %s", name);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    LogLevel level;
    if (argc < 3 || argc % 2 == 0)
        g_error("usage: fake-agent SOCKET WORLD [--name N] [--vcpus N] [--memory-mb N] [--disk-gb N] [--delay-ms N] [--tunnel A] [--physical N] "
                "[--egress-kbps N] [--kpps N]");
    world = argv[2];
    for (int i = 3; i < argc; i += 2)
        set_option(argv[i], argv[i + 1]);
    if (getenv("NUVOLET_LOG") && log_level_parse(getenv("NUVOLET_LOG"), &level))
        log_level_set(level);
    signal(SIGPIPE, SIG_IGN);
    for (const char *const *folder = FOLDERS; *folder; folder++) {
        g_autofree char *path = g_build_filename(world, *folder, NULL);
        g_mkdir_with_parents(path, 0755);
    }
    int fd = wire_listen(argv[1], NULL, &error);
    if (fd >= 0) {
        log_info("fake.ready", "socket", argv[1], NULL);
        /* Tests run as root start `serve` as nobody. */
        if (chmod(argv[1], 0666) < 0)
            g_error("%s: chmod", argv[1]);
        const struct passwd *pw = getuid() == 0 ? getpwnam("nobody") : NULL;
        verb_serve(fd, tables, pw ? pw->pw_uid : getuid(), &error);
    }
    log_error("fake.failed", "error", error->message, NULL);
    return 1;
}
