/* network/agent/link_bpf.c -- loads programs into the kernel (bpf(2)). */
#include "network/agent/link_bpf.h"
#include "core/error.h"
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the same program may find otherwise a moment later; EAGAIN and EINTR: a signal came while the kernel looked it through. */
static bool is_short_of(int error)
{
    return error == ENOMEM || error == EMFILE || error == ENFILE || error == EAGAIN || error == EINTR;
}

int link_bpf_load(enum bpf_prog_type type, const struct bpf_insn *insns, gsize n, const char *what, GError **err)
{
    /* Some of the kernel's helpers are only for programs under its own licence. */
    union bpf_attr attr = { .prog_type = type, .insns = (guint64) (gsize) insns, .insn_cnt = (guint32) n, .license = (guint64) (gsize) "GPL" };
    int fd = (int) syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
    if (fd < 0)
        nv_fail_errno(err, is_short_of(errno) ? NV_ERR_AGENT : NV_ERR_HOST_FAULT, "the kernel refuses %s", what);
    return fd;
}
