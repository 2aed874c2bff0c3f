/* compute/agent/virt_domain.c -- the domain verbs: defined and running, shut off, gone. */
#include "compute/agent/domxml.h"
#include "compute/agent/internal.h"
#include "compute/agent/virt.h"
#include "core/conf.h"
#include "core/error.h"
#include "core/fault.h"
#include <libvirt/virterror.h>
#include <string.h>

/* "digest" of our metadata in an existing domain; NULL where it has none.  Caller frees. */
static char *digest_of(virDomainPtr domain)
{
    char *xml = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, DOMXML_NS, VIR_DOMAIN_AFFECT_CONFIG);
    const char *at = xml ? strstr(xml, "digest=") : NULL;
    /* 64 hexadecimal digits that we wrote, between quotes of either kind. */
    char *digest = at && strlen(at) > 8 + 64 ? g_strndup(at + 8, 64) : NULL;
    free(xml);
    return digest;
}

/* The domain as xml says.  A running one keeps what it was started with. */
static virDomainPtr define(virConnectPtr conn, virDomainPtr existing, const char *xml, const char *digest, GError **err)
{
    g_autofree char *have = existing ? digest_of(existing) : NULL;
    if (have && strcmp(have, digest) == 0) {
        virDomainRef(existing);
        return existing;
    }
    virDomainPtr domain = virDomainDefineXMLFlags(conn, xml, 0);
    if (!domain)
        virt_fail(err, "defining the domain");
    return domain;
}

static bool start(virDomainPtr domain, GError **err)
{
    if (virDomainCreateWithFlags(domain, 0) == 0)
        return true;
    /* Somebody else was faster, or the answer of an earlier try got lost. */
    if (virGetLastErrorCode() == VIR_ERR_OPERATION_INVALID && virDomainIsActive(domain) == 1)
        return true;
    return virt_fail(err, "starting the domain");
}

/* True when nothing is left to do. */
static bool is_running(virDomainPtr domain, bool *ret_running, GError **err)
{
    const char *state = virt_state(domain, err);
    if (!state)
        return false;
    *ret_running = strcmp(state, "running") == 0;
    if (strcmp(state, "paused") != 0)
        return true;
    if (virDomainResume(domain) < 0)
        return virt_fail(err, "resuming the domain");
    *ret_running = true;
    return true;
}

static char *render(const char *id, const json_t *spec, char **ret_digest, GError **err)
{
    g_autofree char *dir = conf_path("paths.state", "instances/%s", id);
    /* The datapath in ovs-vswitchd takes frames as they are; that of the kernel finishes what was left to hardware. */
    bool plain = strcmp(conf_str("network.driver"), "openvswitch") == 0 && strcmp(conf_str("network.ovs_datapath"), "netdev") == 0;
    const DomHost host = { .virt_type = kvm_probe_result().name, .dir = dir, .plain_frames = plain };
    return domxml_render(id, spec, &host, ret_digest, err);
}

json_t *domain_ensure(const json_t *args, GError **err)
{
    const char *id = json_get_str(args, "id");
    g_autofree char *digest = NULL;
    g_autofree char *xml = render(id, json_object_get(args, "spec"), &digest, err);
    g_autoptr(virConnect) conn = xml ? virt_get(err) : NULL;
    g_autoptr(virDomain) existing = NULL;
    bool running = false;
    if (!conn || !virt_find(conn, id, &existing, err) || (existing && !is_running(existing, &running, err)))
        return NULL;
    if (running)
        return json_object();
    if (!virt_is_test()) {
        g_auto(Fd) dir = instance_dir_ensure(id, err);
        if (dir < 0 || !console_ensure(dir, err))
            return NULL;
    }
    g_autoptr(virDomain) domain = define(conn, existing, xml, digest, err);
    if (!domain || !fault_point("domain.ensure.defined", err) || !start(domain, err) || !fault_point("domain.ensure.started", err))
        return NULL;
    return json_object();
}

static bool destroy(virDomainPtr domain, GError **err)
{
    if (virDomainDestroy(domain) == 0 || virGetLastErrorCode() == VIR_ERR_NO_DOMAIN ||
        (virGetLastErrorCode() == VIR_ERR_OPERATION_INVALID && virDomainIsActive(domain) != 1))
        return true;
    return virt_fail(err, "stopping the domain");
}

/* Presses the power button.  That it fails is no failure: what follows in the end is to pull the plug. */
static void press_button(virDomainPtr domain)
{
    if (virDomainShutdownFlags(domain, VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN) < 0)
        virDomainShutdown(domain);
}

/* graceful_s: for how long the guest may yet shut down by itself.  The answer {"again": true}: it has not done so; nobody waits for it here. */
json_t *domain_stopped_ensure(const json_t *args, GError **err)
{
    const char *id = json_get_str(args, "id");
    bool graceful = json_get_int(args, "graceful_s", 0) > 0;
    g_autoptr(virConnect) conn = virt_get(err);
    g_autoptr(virDomain) domain = NULL;
    if (!conn || !virt_find(conn, id, &domain, err))
        return NULL;
    if (!domain || virDomainIsActive(domain) == 0)
        return json_object();
    const char *state = virt_state(domain, err);
    if (!state)
        return NULL;
    /* A paused guest cannot hear the button.  One that is still booting does not notice it: it is pressed again each time. */
    if (!graceful || strcmp(state, "running") != 0)
        return destroy(domain, err) ? json_object() : NULL;
    press_button(domain);
    return virDomainIsActive(domain) != 0 ? json_make("b", "again", true) : json_object();
}

static bool undefine(virDomainPtr domain, GError **err)
{
    static const unsigned tries[] = {
        VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA | VIR_DOMAIN_UNDEFINE_NVRAM |
            VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA,
        VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA,      /* the test driver knows no more */
        0,
    };
    for (size_t i = 0; i < G_N_ELEMENTS(tries); i++) {
        if (virDomainUndefineFlags(domain, tries[i]) == 0 || virGetLastErrorCode() == VIR_ERR_NO_DOMAIN)
            return true;
        if (virGetLastErrorCode() != VIR_ERR_INVALID_ARG)
            break;
    }
    return virt_fail(err, "undefining the domain");
}

json_t *domain_absent(const json_t *args, GError **err)
{
    const char *id = json_get_str(args, "id");
    g_autoptr(virConnect) conn = virt_get(err);
    g_autoptr(virDomain) domain = NULL;
    if (!conn || !virt_find(conn, id, &domain, err))
        return NULL;
    if (domain && (!destroy(domain, err) || !fault_point("domain.absent.destroyed", err) || !undefine(domain, err)))
        return NULL;
    return fault_point("domain.absent.undefined", err) && instance_absent(id, err) ? json_object() : NULL;
}

static void list_one(const char *id, const char *state, void *data)
{
    g_autofree char *unplugged = virt_plug_failed(id);
    json_t *one = json_make("ss", "id", id, "state", state);
    if (unplugged)
        json_object_set_new(one, "unplugged", json_string(unplugged));
    json_array_append_new(data, one);
}

json_t *domain_list(const json_t *args, GError **err)
{
    (void) args;
    g_autoptr(virConnect) conn = virt_get(err);
    g_autoptr(json_t) domains = json_array();
    if (!conn || !virt_each(conn, list_one, domains, err))
        return NULL;
    return json_make("o", "domains", g_steal_pointer(&domains));
}

json_t *domain_state(const json_t *args, GError **err)
{
    g_autoptr(virConnect) conn = virt_get(err);
    g_autoptr(virDomain) domain = NULL;
    if (!conn || !virt_find(conn, json_get_str(args, "id"), &domain, err))
        return NULL;
    const char *state = domain ? virt_state(domain, err) : "absent";
    return state ? json_make("s", "state", state) : NULL;
}
