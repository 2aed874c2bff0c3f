/* compute/agent/verbs.c -- the table of the compute part's verbs, and its start. */
#include "compute/agent/agent.h"
#include "compute/agent/internal.h"
#include "compute/agent/virt.h"
#include "core/conf.h"

static const VerbArg none[] = { { 0 } };
static const VerbArg id_only[] = { { "id", ARG_ID, false }, { 0 } };

/* clang-format off */
const Verb compute_verbs[] = {
    { "host.facts",            host_facts,            none },
    { "domain.ensure",         domain_ensure,         (const VerbArg[]){ { "id", ARG_ID, false }, { "spec", ARG_OBJECT, false }, { 0 } } },
    { "domain.stopped.ensure", domain_stopped_ensure, (const VerbArg[]){ { "id", ARG_ID, false }, { "graceful_s", ARG_INT, false }, { 0 } } },
    { "domain.absent",         domain_absent,         id_only },
    { "domain.list",           domain_list,           none },
    { "domain.state",          domain_state,          id_only },
    { "console.read",          console_read,          (const VerbArg[]){ { "id", ARG_ID, false }, { "bytes", ARG_INT, false }, { 0 } } },
    { "seed.ensure",           seed_ensure,           (const VerbArg[]){ { "id", ARG_ID, false }, { "files", ARG_OBJECT, false }, { 0 } } },
    { "seed.absent",           seed_absent,           id_only },
    VERBS_END
};
/* clang-format on */

/* The agent's own notes (what the KVM probe found, when the host was cleared), where only root writes. */
static bool make_notes(GError **err)
{
    g_autofree char *path = conf_path("paths.state", "agent");
    g_auto(Fd) dir = file_open_dir(path, 0700, err);
    return dir >= 0;
}

bool compute_agent_start(GError **err)
{
    if (!make_notes(err))
        return false;
    kvm_probe_start();
    if (!virt_start(err))
        return false;
    if (!virt_is_test()) {
        console_trim_start();
        virt_plug_start();
    }
    return true;
}
