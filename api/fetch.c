/* api/fetch.c -- fetches guests' connections from agents that cannot pass them as descriptors, being on other machines. */
#include "api/api.h"
#include "api/passed.h"
#include "core/log.h"

static HttpServer *guests;                       /* set before the agents' events begin, and there until after their end */

void metadata_set_server(HttpServer *server)
{
    guests = server;
}

/* Waits for nothing, as it runs at once: a token lives for ten seconds.  The agent is believed that a guest of its own host asks (network_server_at):
 * the host's name goes along. */
static void on_waiting(Db *db, const char *host, const json_t *data)
{
    const char *network, *address, *token = json_get_str(data, "token");
    g_autoptr(GError) error = NULL;
    (void) db;
    if (!token || !passed_names(data, &network, &address))
        return;
    int fd = agent_stream(host, "metadata.attach", json_make("s", "token", token), &error);
    if (fd >= 0)
        http_adopt(guests, fd, network, address, host);
    else
        log_warn("metadata.not_fetched", "host", host, "network", network, "address", address, "error", error->message, NULL);
}

const AgentEvent metadata_events[] = { { .event = "metadata.waiting", .run = on_waiting, .at_once = true }, { .event = NULL } };
