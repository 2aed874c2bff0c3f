/* compute/agent/domxml.c -- server spec → libvirt domain XML.  Golden files: tests/golden/domxml. */
#include "compute/agent/domxml.h"
#include "compute/agent/xml.h"
#include "core/error.h"
#include "core/id.h"
#include <string.h>

/* A spec with every choice made. */
typedef struct Spec {
    const json_t *json, *properties, *nics;
    const DomHost *host;
    gint64 memory_mb, vcpus;
    const char *machine, *disk_bus, *cdrom_bus, *video, *vif_model, *disk_format;
    bool q35, uefi, seed, guest_agent, tablet, rng;
} Spec;

/* Image properties with a closed set of values; the first is the default. */
/* clang-format off */
static const struct Choice { const char *property; const char *values[10]; } choices[] = {
    { "hw_disk_bus",         { "virtio", "scsi", "sata", "ide" } },
    { "hw_cdrom_bus",        { "ide", "scsi", "sata", "virtio" } },
    { "hw_vif_model",        { "virtio", "e1000", "e1000e", "rtl8139", "ne2k_pci", "pcnet", "vmxnet3" } },
    { "hw_video_model",      { "vga", "virtio", "cirrus", "bochs", "qxl", "none" } },
    { "hw_firmware_type",    { "bios", "uefi" } },
    { "hw_qemu_guest_agent", { "yes", "no", "true", "false" } },
    { "hw_pointer_model",    { "ps2mouse", "usbtablet" } },
    { "hw_rng_model",        { "virtio", "none" } },
    { "disk_format",         { "qcow2", "raw" } },
};
/* clang-format on */

/* The value, checked against the property's row; dflt (or the row's first) where value is NULL. */
static const char *choose(const char *property, const char *value, const char *dflt, GError **err)
{
    const struct Choice *c = choices;
    while (strcmp(c->property, property) != 0)
        c++;
    const char *want = value ? value : dflt ? dflt : c->values[0];
    for (const char *const *v = c->values; v < c->values + G_N_ELEMENTS(c->values) && *v; v++)
        if (g_ascii_strcasecmp(*v, want) == 0)
            return *v;
    nv_fail(err, NV_ERR_INVALID, "%s cannot be '%s' on this host", property, want);
    return NULL;
}

static const char *choose_property(const Spec *s, const char *property, const char *dflt, GError **err)
{
    return choose(property, json_get_str(s->properties, property), dflt, err);
}

static bool machine_is_plain(const char *machine)
{
    return strlen(machine) <= 64 && strspn(machine, "abcdefghijklmnopqrstuvwxyz0123456789.-") == strlen(machine);
}

static bool is_yes(const char *value)
{
    return strcmp(value, "yes") == 0 || strcmp(value, "true") == 0;
}

static bool spec_check(const Spec *s, GError **err)
{
    if (s->memory_mb < 1 || s->memory_mb > (16 << 20))
        return nv_fail(err, NV_ERR_INVALID, "memory_mb must be between 1 and %d", 16 << 20);
    if (s->vcpus < 1 || s->vcpus > 255)
        return nv_fail(err, NV_ERR_INVALID, "vcpus must be between 1 and 255");
    if (json_array_size(s->nics) > DOMXML_NICS_MAX)
        return nv_fail(err, NV_ERR_INVALID, "a server has at most %d network interfaces", DOMXML_NICS_MAX);
    if (!machine_is_plain(s->machine))
        return nv_fail(err, NV_ERR_INVALID, "hw_machine_type is not the name of a machine");
    return true;
}

static bool spec_read(Spec *s, const json_t *json, const DomHost *host, GError **err)
{
    *s = (Spec) { .json = json, .host = host, .properties = json_object_get(json, "properties"), .nics = json_object_get(json, "nics") };
    s->memory_mb = json_get_int(json, "memory_mb", 0);
    s->vcpus = json_get_int(json, "vcpus", 0);
    s->seed = json_get_bool(json, "seed", false);
    const char *machine = json_get_str(json, "machine"), *text;
    s->machine = machine ? machine : json_get_str(s->properties, "hw_machine_type");
    if (!(text = choose_property(s, "hw_firmware_type", NULL, err)))
        return false;
    s->uefi = strcmp(text, "uefi") == 0;
    if (!s->machine)
        s->machine = s->uefi ? "q35" : "pc";
    s->q35 = strstr(s->machine, "q35") != NULL;
    const char *bus = json_get_str(json, "disk_bus"), *wanted_bus = json_get_str(s->properties, "hw_disk_bus");
    const char *format = json_get_str(json, "disk_format");
    /* Kernels of cloud images often have no AHCI driver: q35's own CD-ROM would be invisible to them. */
    if (!(s->disk_bus = choose("hw_disk_bus", wanted_bus ? wanted_bus : bus, NULL, err)) ||
        !(s->cdrom_bus = choose_property(s, "hw_cdrom_bus", s->q35 ? "scsi" : "ide", err)) ||
        !(s->vif_model = choose_property(s, "hw_vif_model", NULL, err)) ||
        !(s->video = choose_property(s, "hw_video_model", NULL, err)) ||
        !(s->disk_format = choose("disk_format", format, NULL, err)))
        return false;
    if (s->q35 && (strcmp(s->disk_bus, "ide") == 0 || strcmp(s->cdrom_bus, "ide") == 0))
        return nv_fail(err, NV_ERR_INVALID, "hw_machine_type %s has no IDE: choose another hw_disk_bus or hw_cdrom_bus", s->machine);
    if (!(text = choose_property(s, "hw_qemu_guest_agent", NULL, err)))
        return false;
    s->guest_agent = is_yes(text);
    if (!(text = choose_property(s, "hw_pointer_model", NULL, err)))
        return false;
    s->tablet = strcmp(text, "usbtablet") == 0;
    if (!(text = choose_property(s, "hw_rng_model", NULL, err)))
        return false;
    s->rng = strcmp(text, "none") != 0;
    return spec_check(s, err);
}

static void render_metadata(Xml *x, const Spec *s, const char *digest)
{
    static const char *const members[][2] = {
        { "name", "nuvolet:name" }, { "project_id", "nuvolet:project" }, { "user_id", "nuvolet:user" },
        { "flavor", "nuvolet:flavor" }, { "created_at", "nuvolet:created" },
    };
    xml_begin(x, "metadata", NULL);
    xml_begin(x, "nuvolet:server", "xmlns:nuvolet", DOMXML_NS, "digest", digest, NULL);
    /* For operators who look with virsh; pretended guests are many and nobody looks at them. */
    for (guint i = 0; i < G_N_ELEMENTS(members); i++)
        if (strcmp(s->host->virt_type, "test") != 0 && json_get_str(s->json, members[i][0]))
            xml_text(x, json_get_str(s->json, members[i][0]), members[i][1], NULL);
    xml_end(x);
    xml_end(x);
}

/* cloud-init and others know an OpenStack guest by the product name, before there is a network. */
static void render_firmware(Xml *x, const char *id, const Spec *s)
{
    xml_begin(x, "sysinfo", "type", "smbios", NULL);
    xml_begin(x, "system", NULL);
    xml_text(x, "OpenStack Foundation", "entry", "name", "manufacturer", NULL);
    xml_text(x, "OpenStack Nova", "entry", "name", "product", NULL);
    xml_text(x, "Nuvolet", "entry", "name", "version", NULL);
    xml_text(x, id, "entry", "name", "serial", NULL);
    xml_text(x, id, "entry", "name", "uuid", NULL);
    xml_text(x, "Virtual Machine", "entry", "name", "family", NULL);
    xml_end(x);
    xml_end(x);
    xml_begin(x, "os", "firmware", s->uefi ? "efi" : NULL, NULL);
    xml_text(x, "hvm", "type", "arch", "x86_64", "machine", s->machine, NULL);
    xml_leaf(x, "smbios", "mode", "sysinfo", NULL);
    xml_end(x);
    xml_begin(x, "features", NULL);
    xml_leaf(x, "acpi", NULL);
    xml_leaf(x, "apic", NULL);
    xml_end(x);
}

static void render_cpu_and_clock(Xml *x, const Spec *s)
{
    /* Under TCG the plain default boots fastest: what host-model adds is emulated at a cost. */
    bool kvm = strcmp(s->host->virt_type, "kvm") == 0;
    if (kvm)
        xml_leaf(x, "cpu", "mode", "host-model", NULL);
    xml_begin(x, "clock", "offset", "utc", NULL);
    if (kvm) {
        xml_leaf(x, "timer", "name", "pit", "tickpolicy", "delay", NULL);
        xml_leaf(x, "timer", "name", "rtc", "tickpolicy", "catchup", NULL);
        xml_leaf(x, "timer", "name", "hpet", "present", "no", NULL);
    }
    xml_end(x);
}

/* Disks get the next free name on their bus: hda hdb, sda sdb, vda vdb. */
typedef struct Names { char next[3]; } Names;

static const char *next_name(Names *names, const char *bus, char buf[4])
{
    int kind = strcmp(bus, "virtio") == 0 ? 0 : strcmp(bus, "ide") == 0 ? 1 : 2;
    g_snprintf(buf, 4, "%s%c", ((const char *const[]) { "vd", "hd", "sd" })[kind], 'a' + names->next[kind]++);
    return buf;
}

static void render_disks(Xml *x, const Spec *s)
{
    g_autofree char *disk = g_build_filename(s->host->dir, "disk.qcow2", NULL), *seed = g_build_filename(s->host->dir, "seed.iso", NULL);
    Names names = { { 0 } };
    char name[4];
    xml_begin(x, "disk", "type", "file", "device", "disk", NULL);
    xml_leaf(x, "driver", "name", "qemu", "type", s->disk_format, "cache", "writeback", "discard", "unmap", NULL);
    xml_leaf(x, "source", "file", disk, NULL);
    xml_leaf(x, "target", "dev", next_name(&names, s->disk_bus, name), "bus", s->disk_bus, NULL);
    xml_leaf(x, "boot", "order", "1", NULL);
    xml_end(x);
    if (s->seed) {
        /* A virtio "CD-ROM" does not exist; as a read-only disk it is found by its label all the same. */
        bool is_virtio = strcmp(s->cdrom_bus, "virtio") == 0;
        xml_begin(x, "disk", "type", "file", "device", is_virtio ? "disk" : "cdrom", NULL);
        xml_leaf(x, "driver", "name", "qemu", "type", "raw", "cache", "writeback", NULL);
        xml_leaf(x, "source", "file", seed, NULL);
        xml_leaf(x, "target", "dev", next_name(&names, s->cdrom_bus, name), "bus", s->cdrom_bus, NULL);
        xml_leaf(x, "readonly", NULL);
        xml_end(x);
    }
    if (strcmp(s->disk_bus, "scsi") == 0 || (s->seed && strcmp(s->cdrom_bus, "scsi") == 0))
        xml_leaf(x, "controller", "type", "scsi", "index", "0", "model", "virtio-scsi", NULL);
}

static bool mac_is_plain(const char *mac)
{
    bool ok = mac && strlen(mac) == 17;
    for (int i = 0; ok && i < 17; i++)
        ok = i % 3 == 2 ? mac[i] == ':' : g_ascii_isxdigit(mac[i]);
    return ok;
}

/* The tap exists already, with its rules in force: libvirt only hands it to QEMU. */
static bool render_nic(Xml *x, const Spec *s, const json_t *nic, GError **err)
{
    const char *port = json_get_str(nic, "port_id"), *mac = json_get_str(nic, "mac"), *model = json_get_str(nic, "model");
    gint64 mtu = json_get_int(nic, "mtu", 0);
    if (!port || !id_is_uuid(port) || !mac_is_plain(mac) || mtu < 0 || mtu > 65535)
        return nv_fail(err, NV_ERR_INVALID, "nics: port_id, mac or mtu is wrong");
    /* The image's wish wins; a spec's model is what the port was made with. */
    model = choose("hw_vif_model", json_get_str(s->properties, "hw_vif_model") ? s->vif_model : model, NULL, err);
    if (!model)
        return false;
    IfName tap = id_tap(port);
    char mtu_text[24];
    g_snprintf(mtu_text, sizeof mtu_text, "%" G_GINT64_FORMAT, mtu);
    xml_begin(x, "interface", "type", "ethernet", NULL);
    xml_leaf(x, "mac", "address", mac, NULL);
    xml_leaf(x, "target", "dev", tap.s, "managed", "no", NULL);
    xml_leaf(x, "model", "type", model, NULL);
    if (s->host->plain_frames && g_str_has_prefix(model, "virtio")) {
        xml_begin(x, "driver", NULL);
        xml_leaf(x, "host", "csum", "off", "gso", "off", "tso4", "off", "tso6", "off", "ecn", "off", "ufo", "off", NULL);
        xml_leaf(x, "guest", "csum", "off", "tso4", "off", "tso6", "off", "ecn", "off", "ufo", "off", NULL);
        xml_end(x);
    }
    if (mtu)
        xml_leaf(x, "mtu", "size", mtu_text, NULL);
    xml_leaf(x, "rom", "enabled", "no", NULL);
    xml_end(x);
    return true;
}

static void render_serial(Xml *x, const Spec *s)
{
    g_autofree char *log = g_build_filename(s->host->dir, "console.log", NULL);
    xml_begin(x, "serial", "type", "pty", NULL);
    xml_leaf(x, "log", "file", log, "append", "on", NULL);
    xml_leaf(x, "target", "type", "isa-serial", "port", "0", NULL);
    xml_end(x);
    if (!s->guest_agent)
        return;
    xml_begin(x, "channel", "type", "unix", NULL);
    xml_leaf(x, "target", "type", "virtio", "name", "org.qemu.guest_agent.0", NULL);
    xml_end(x);
}

static void render_screen(Xml *x, const Spec *s)
{
    /* A USB controller costs emulated timer ticks for nothing where no device needs it. */
    xml_leaf(x, "controller", "type", "usb", "index", "0", "model", s->tablet ? "qemu-xhci" : "none", NULL);
    if (s->tablet)
        xml_leaf(x, "input", "type", "tablet", "bus", "usb", NULL);
    /* The socket's path is libvirt's choice, in a folder that only QEMU's user and root enter. */
    xml_begin(x, "graphics", "type", "vnc", NULL);
    xml_leaf(x, "listen", "type", "socket", NULL);
    xml_end(x);
    xml_begin(x, "video", NULL);
    xml_leaf(x, "model", "type", s->video, NULL);
    xml_end(x);
}

static bool render_devices(Xml *x, const Spec *s, GError **err)
{
    xml_begin(x, "devices", NULL);
    render_disks(x, s);
    const json_t *nic;
    size_t i;
    json_array_foreach(s->nics, i, nic)
        if (!render_nic(x, s, nic, err))
            return false;
    render_serial(x, s);
    render_screen(x, s);
    if (s->rng) {
        xml_begin(x, "rng", "model", "virtio", NULL);
        xml_text(x, "/dev/urandom", "backend", "model", "random", NULL);
        xml_end(x);
    }
    xml_begin(x, "memballoon", "model", "virtio", NULL);
    xml_leaf(x, "stats", "period", "10", NULL);
    xml_end(x);
    xml_end(x);
    return true;
}

static char *render(const char *id, const Spec *s, const char *digest, GError **err)
{
    bool real = strcmp(s->host->virt_type, "test") != 0, ok = true;
    g_autofree char *name = domxml_name(id);
    Xml x;
    xml_init(&x);
    g_autoptr(GString) holder = x.out;
    xml_begin(&x, "domain", "type", s->host->virt_type, NULL);
    xml_text(&x, name, "name", NULL);
    xml_text(&x, id, "uuid", NULL);
    render_metadata(&x, s, digest);
    xml_int(&x, s->memory_mb, "memory", "unit", "MiB", NULL);
    xml_int(&x, s->vcpus, "vcpu", NULL);
    if (real) {
        render_firmware(&x, id, s);
        render_cpu_and_clock(&x, s);
    } else {
        xml_begin(&x, "os", NULL);
        xml_text(&x, "hvm", "type", NULL);
        xml_end(&x);
    }
    xml_text(&x, "destroy", "on_poweroff", NULL);
    xml_text(&x, "restart", "on_reboot", NULL);
    xml_text(&x, "destroy", "on_crash", NULL);
    if (real)
        ok = render_devices(&x, s, err);
    if (!ok)
        return NULL;
    xml_end(&x);
    if (holder->len > DOMXML_TEXT_MAX)
        return nv_fail(err, NV_ERR_INVALID, "the server's description is longer than %d bytes", DOMXML_TEXT_MAX), NULL;
    g_steal_pointer(&holder);
    return xml_finish(&x);
}

char *domxml_render(const char *id, const json_t *spec, const DomHost *host, char **ret_digest, GError **err)
{
    Spec s;
    if (!spec_read(&s, spec, host, err))
        return NULL;
    g_autofree char *plain = render(id, &s, NULL, err);
    if (!plain)
        return NULL;
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, plain, -1);
    char *xml = render(id, &s, digest, err);
    if (xml && ret_digest)
        *ret_digest = g_steal_pointer(&digest);
    return xml;
}

char *domxml_name(const char *id)
{
    return g_strconcat("nuvolet-", id, NULL);
}

bool domxml_is_ours(const char *name, const char *uuid)
{
    return g_str_has_prefix(name, "nuvolet-") && strcmp(name + strlen("nuvolet-"), uuid) == 0;
}
