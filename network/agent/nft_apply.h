/* network/agent/nft_apply.h -- the door to libnftables: applies text as one transaction, reads back what the kernel has. */
#pragma once
#include "core/json.h"

/* Thread name while a transaction of ours is under way; the kernel's event tells it, so that others' changes are known as such. */
#define NFT_COMM "nuvolet-nft"

/* One transaction: all of text, or nothing with NV_ERR_AGENT.  Any thread, one at a time, in the namespace of the first call. */
bool nft_apply(const char *text, GError **err);
/* The same in a named namespace. */
bool nft_apply_in(const char *netns, const char *text, GError **err);
/* The array "nftables" of a list command's JSON answer; NULL with err. */
json_t *nft_list(const char *command, GError **err);
/* What a command prints, as text: for those that know no JSON ("get element").  Caller frees. */
char *nft_text(const char *command, GError **err);
