/* compute/agent/internal.h -- inside the compute part: what its files share that does not need libvirt. */
#pragma once
#include "core/file.h"
#include "core/json.h"

/* virt.c: versions of QEMU and libvirt as "7.2.22"; NULL with err while libvirt is away. */
bool virt_versions(char **ret_hypervisor, char **ret_libvirt, GError **err);
/* True when compute.libvirt_uri names libvirt's test driver: guests are pretended. */
bool virt_is_test(void);

/* kvm_probe.c: "kvm", "qemu" or "test", and why.  Waits for the probe that kvm_probe_start began.  Valid for ever. */
typedef struct VirtType { const char *name, *reason; } VirtType;
VirtType kvm_probe_result(void);
void kvm_probe_start(void);

/* instance.c: a server's folder and what of it is this part's. */
/* Makes it where it is missing.  -1 with err. */
int instance_dir_ensure(const char *id, GError **err);
/* As that, but -1 without err where it is missing. */
int instance_dir_open(const char *id, GError **err);
/* Makes fd readable and writable by the user that QEMU runs as, and by nobody else. */
bool instance_give(int fd, GError **err);
/* Removes config drive, console log and, when nothing else is left in it, the folder. */
bool instance_absent(const char *id, GError **err);

/* console.c */
bool console_ensure(int dir, GError **err);
bool console_absent(int dir, GError **err);
void console_trim_start(void);
json_t *console_read(const json_t *args, GError **err);
/* seed.c */
bool seed_remove(int dir, GError **err);
json_t *seed_ensure(const json_t *args, GError **err);
json_t *seed_absent(const json_t *args, GError **err);
/* virt_plug.c */
void virt_plug_start(void);
/* Why a running domain has no end of a tap that was made anew; NULL: it has, as far as is known.  Caller frees. */
char *virt_plug_failed(const char *id);
/* facts.c */
json_t *host_facts(const json_t *args, GError **err);
/* virt_domain.c */
json_t *domain_ensure(const json_t *args, GError **err);
json_t *domain_stopped_ensure(const json_t *args, GError **err);
json_t *domain_absent(const json_t *args, GError **err);
json_t *domain_list(const json_t *args, GError **err);
json_t *domain_state(const json_t *args, GError **err);
