/* compute/agent/domxml.h -- what libvirt is told about a server: a pure function from its spec to XML. */
#pragma once
#include "core/json.h"

#define DOMXML_NS "urn:nuvolet:server:1"     /* of our metadata element */

/* What the XML depends on beside the spec: this host. */
typedef struct DomHost {
    const char *virt_type;       /* "kvm", "qemu" (TCG), or "test" (libvirt's test driver: no devices) */
    const char *dir;             /* the server's folder: disk.qcow2, seed.iso, console.log are in it */
    bool plain_frames;           /* frames of guests need their checksums before they leave QEMU */
} DomHost;

enum { DOMXML_NICS_MAX = 16, DOMXML_TEXT_MAX = 65536 };

/* The domain XML of server id, for the spec of the verb domain.ensure.  NV_ERR_INVALID names the member or image property that cannot be.
 * ret_digest: of the text, also kept in its metadata, by which a later call sees whether the domain is still what it should be.  Caller frees. */
char *domxml_render(const char *id, const json_t *spec, const DomHost *host, char **ret_digest, GError **err);
/* "nuvolet-" and the id: a domain is ours when its name is its own UUID with that prefix. */
char *domxml_name(const char *id);
bool domxml_is_ours(const char *name, const char *uuid);
