/* compute/agent/virt.h -- inside the compute part, for the files that speak to libvirt: the connection, errors, states. */
#pragma once
#include <glib.h>
#include <libvirt/libvirt.h>
#include <stdbool.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(virConnect, virConnectClose)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virDomain, virDomainFree)

/* Starts the event loop and the thread that keeps a connection to compute.libvirt_uri.  Does not wait for libvirt. */
bool virt_start(GError **err);
/* A reference to the connection; waits a moment for one that is being made.  NV_ERR_AGENT while libvirt is away. */
virConnectPtr virt_get(GError **err);
/* Reports libvirt's last error of this thread with its own sentence: NV_ERR_AGENT where it went away or is busy, else NV_ERR_HOST_FAULT. */
bool virt_fail(GError **err, const char *doing);
/* "running", "shutoff", "crashed" or "paused"; NULL with err. */
const char *virt_state(virDomainPtr domain, GError **err);
/* The domain of that UUID; false: err.  *ret_domain NULL: there is none.  One that is not ours by name is NV_ERR_HOST_FAULT. */
bool virt_find(virConnectPtr conn, const char *id, virDomainPtr *ret_domain, GError **err);
/* Calls fn for each domain that is ours. */
typedef void VirtEach(const char *id, const char *state, void *data);
bool virt_each(virConnectPtr conn, VirtEach *fn, void *data, GError **err);
/* A counter of changes of domains' states. */
guint64 virt_changes(void);
