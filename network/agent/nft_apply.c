/* network/agent/nft_apply.c -- the only user of libnftables: one transaction at a time. */
#include "network/agent/nft_apply.h"
#include "core/error.h"
#include "core/fault.h"
#include "network/agent/netns.h"
#include <nftables/libnftables.h>
#include <string.h>
#include <sys/prctl.h>

static GMutex lock;
static struct nft_ctx *context;      /* made once; under lock */

static struct nft_ctx *context_new(void)
{
    struct nft_ctx *ctx = nft_ctx_new(NFT_CTX_DEFAULT);
    g_assert(ctx);
    nft_ctx_buffer_output(ctx);
    nft_ctx_buffer_error(ctx);
    return ctx;
}

static struct nft_ctx *context_peek(unsigned flags)
{
    if (!context)
        context = context_new();
    nft_ctx_output_set_flags(context, flags);
    return context;
}

/* Runs with the lock held. */
static bool run(struct nft_ctx *ctx, const char *text, GError **err)
{
    char comm[16];
    prctl(PR_GET_NAME, comm);
    prctl(PR_SET_NAME, NFT_COMM);
    int rc = nft_run_cmd_from_buffer(ctx, text);
    prctl(PR_SET_NAME, comm);
    const char *message = nft_ctx_get_error_buffer(ctx);
    if (rc == 0)
        return true;
    g_autofree char *line = g_strndup(message ? message : "", strcspn(message ? message : "", "\n"));
    return nv_fail(err, NV_ERR_AGENT, "nftables: %s", *line ? line : "refused");
}

bool nft_apply(const char *text, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    struct nft_ctx *ctx = context_peek(0);
    bool ok = fault_point("net.nft", err) && run(ctx, text, err);
    nft_ctx_get_output_buffer(ctx);
    return ok;
}

/* A context talks to the namespace in which it was made. */
static bool apply_here(void *text, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    struct nft_ctx *ctx = context_new();
    bool ok = fault_point("net.nft", err) && run(ctx, text, err);
    nft_ctx_free(ctx);
    return ok;
}

bool nft_apply_in(const char *netns, const char *text, GError **err)
{
    return netns_run(netns, apply_here, (char *) text, err);
}

json_t *nft_list(const char *command, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    struct nft_ctx *ctx = context_peek(NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_NUMERIC_ALL);
    if (!run(ctx, command, err))
        return NULL;
    json_t *answer = json_parse_trusted(nft_ctx_get_output_buffer(ctx));
    json_t *list = answer ? json_incref(json_object_get(answer, "nftables")) : NULL;
    json_decref(answer);
    if (!list)
        nv_fail(err, NV_ERR_AGENT, "nftables: the answer to %s is not JSON", command);
    return list;
}

char *nft_text(const char *command, GError **err)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    (void) locker;
    struct nft_ctx *ctx = context_peek(NFT_CTX_OUTPUT_NUMERIC_ALL);
    bool ok = run(ctx, command, err);
    const char *text = nft_ctx_get_output_buffer(ctx);
    return ok ? g_strdup(text ? text : "") : NULL;
}
