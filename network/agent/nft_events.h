/* network/agent/nft_events.h -- the kernel's nftables events of one namespace: has somebody else changed what is ours? */
#pragma once
#include "core/error.h"

typedef struct NftEvents { int fd; bool ours_touched; } NftEvents;       /* what is known of the transaction whose events are being read */
/* Listens in the calling thread's namespace. */
bool nft_events_open(NftEvents *ret, GError **err);
/* Reads what there is; true: a transaction that is not ours touched a table of ours. */
bool nft_events_drain(NftEvents *e);
