/* cmd/clear.c -- `nuvolet agent --clear`, for `make down`: guests shut down, links, namespaces and rules gone; --purge also undefines the guests. */
#include "cmd/cmd.h"
#include "core/conf.h"
#include "core/id.h"
#include "core/log.h"
#include "core/verb.h"
#include "network/agent/agent.h"
#include <string.h>

/* Asks one of our own verbs, without a socket. */
static json_t *ask(const Verb *const *tables, const char *name, json_t *args_stolen)
{
    g_autoptr(json_t) args = args_stolen ? args_stolen : json_object();
    g_autoptr(GError) err = NULL;
    for (; *tables; tables++)
        for (const Verb *v = *tables; v->name; v++)
            if (strcmp(v->name, name) == 0) {
                json_t *answer = verb_check(v, args, &err) ? v->run(args, &err) : NULL;
                if (!answer)
                    log_warn("clear.failed", "verb", name, "error", err->message, NULL);
                return answer;
            }
    g_assert_not_reached();
}

/* Kernel names carry the first 12 digits of an id; any id that starts with them names the same things. */
static char *id_of_prefix(const char *prefix)
{
    return g_strdup_printf("%.8s-%.4s-4000-8000-000000000000", prefix, prefix + 8);
}

static void clear_kernel(const Verb *const *tables, const json_t *found, const char *kind, const char *verb)
{
    size_t i;
    json_t *prefix;
    json_array_foreach(json_object_get(found, kind), i, prefix) {
        g_autofree char *id = strlen(json_string_value(prefix)) == 12 ? id_of_prefix(json_string_value(prefix)) : NULL;
        if (id)
            json_decref(ask(tables, verb, json_make("s", "id", id)));
    }
}

typedef struct Stopping { const Verb *const *tables; char *id; bool purge; } Stopping;

static gpointer stop_guest(gpointer data)
{
    enum { GRACE_S = 10, BUTTON_AGAIN_S = 2 };
    Stopping *s = data;
    bool again = !s->purge;
    if (s->purge)
        json_decref(ask(s->tables, "domain.absent", json_make("s", "id", s->id)));
    for (gint64 left_s = GRACE_S; again; left_s -= BUTTON_AGAIN_S) {
        g_autoptr(json_t) answer = ask(s->tables, "domain.stopped.ensure", json_make("si", "id", s->id, "graceful_s", left_s));
        again = json_get_bool(answer, "again", false);
        if (again)
            g_usleep(BUTTON_AGAIN_S * G_USEC_PER_SEC);
    }
    g_free(s->id);
    g_free(s);
    return NULL;
}

/* The guests are to come back with the next start, as after a reboot of the host: the agent reports this with its boot id. */
static void leave_mark(void)
{
    g_autofree char *path = conf_path("paths.state", "agent/cleared"), *id = id_new();
    g_autoptr(GError) err = NULL;
    if (!g_file_set_contents(path, id, -1, &err))
        log_warn("clear.failed", "file", path, "error", err->message, NULL);
}

void clear_host(const Verb *const *tables, bool purge)
{
    leave_mark();
    g_autoptr(json_t) domains = ask(tables, "domain.list", NULL);
    g_autoptr(GPtrArray) threads = g_ptr_array_new();
    size_t i;
    json_t *domain;
    json_array_foreach(json_object_get(domains, "domains"), i, domain) {
        Stopping *s = g_new0(Stopping, 1);
        *s = (Stopping){ tables, g_strdup(json_get_str(domain, "id")), purge };
        g_ptr_array_add(threads, g_thread_new("stop", stop_guest, s));
    }
    for (guint t = 0; t < threads->len; t++)
        g_thread_join(threads->pdata[t]);
    g_autoptr(json_t) net = ask(tables, "net.list", NULL);
    clear_kernel(tables, net, "routers", "router.absent");
    clear_kernel(tables, net, "ports", "port.absent");
    clear_kernel(tables, net, "groups", "group.absent");
    clear_kernel(tables, net, "networks", "network.absent");
    g_autoptr(json_t) left = ask(tables, "net.list", NULL);
    g_autoptr(GError) err = NULL;
    /* Rules go last: a tap that could not be removed keeps them. */
    if (left && json_array_size(json_object_get(left, "ports")) == 0 && !network_agent_clear(&err))
        log_warn("clear.failed", "verb", "rules", "error", err->message, NULL);
}
