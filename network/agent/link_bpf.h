/* network/agent/link_bpf.h -- small programs for the kernel (BPF): the words that they are written in, loading, and their places at interfaces. */
#pragma once
#include "network/agent/link_netlink.h"
#include <linux/bpf.h>
#include <stddef.h>

/* Instructions.  LOAD and STORE are of a field of struct __sk_buff, 4 bytes; its address, which R1 has at a program's start, is in LOAD's source and
 * in STORE's destination.  A SKIP passes over the next n instructions. */
#define INSN(...) ((struct bpf_insn){ __VA_ARGS__ })
#define LOAD(dst, src, field) INSN(.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = dst, .src_reg = src, .off = offsetof(struct __sk_buff, field))
#define STORE(dst, src, field) INSN(.code = BPF_STX | BPF_MEM | BPF_W, .dst_reg = dst, .src_reg = src, .off = offsetof(struct __sk_buff, field))
#define MOVE(dst, src) INSN(.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = dst, .src_reg = src)
#define SET(dst, value) INSN(.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = dst, .imm = value)
#define AND(dst, value) INSN(.code = BPF_ALU64 | BPF_AND | BPF_K, .dst_reg = dst, .imm = value)
#define SKIP_IF(reg, value, n) INSN(.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = reg, .imm = value, .off = n)
#define SKIP_UNLESS(reg, value, n) INSN(.code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = reg, .imm = value, .off = n)
#define SKIP_IF_BIT(reg, value, n) INSN(.code = BPF_JMP | BPF_JSET | BPF_K, .dst_reg = reg, .imm = value, .off = n)
#define CALL(function) INSN(.code = BPF_JMP | BPF_CALL, .imm = function)
#define RETURN INSN(.code = BPF_JMP | BPF_EXIT)

/* The loaded program's descriptor (caller closes), or -1.  what: as in "the kernel refuses WHAT".  NV_ERR_HOST_FAULT where the kernel cannot or may
 * not run it, NV_ERR_AGENT where it only was short of something.  Any thread. */
int link_bpf_load(enum bpf_prog_type type, const struct bpf_insn *insns, gsize n, const char *what, GError **err);

/* Messages that put a loaded program at the place LINK_INGRESS or LINK_EGRESS of an interface, as number handle there and with a name to know it
 * again by, and that take it away. */
Msg *link_bpf_put(int index, guint32 parent, guint32 handle, int program, const char *name);
Msg *link_bpf_delete(int index, guint32 parent, guint32 handle);
/* The name (borrowed) of the program that a message of link_tc_dump(RTM_GETTFILTER, ...) is about; NULL: it is about none. */
const char *link_bpf_name(struct nlmsghdr *nlh);
