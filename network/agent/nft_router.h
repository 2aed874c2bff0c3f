/* network/agent/nft_router.h -- the rules inside a router's namespace as text for libnftables: a pure function (golden files in tests/golden). */
#pragma once
#include "network/agent/router_spec.h"

/* What a packet must carry to find a route (link_forward_mark): without these rules nothing has it, and nothing is forwarded. */
#define NFT_ROUTER_MARK 1u

/* One transaction after which table inet nuvolet is what the spec says.  fresh: what is there under that name goes first. */
void nft_router_build(GString *out, const RouterSpec *r, bool fresh);
