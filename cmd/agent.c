/* cmd/agent.c -- `nuvolet agent`: starts the parts that touch this host and serves their verbs to the controller. */
#include "cmd/cmd.h"
#include "compute/agent/agent.h"
#include "core/conf.h"
#include "core/log.h"
#include "core/wire.h"
#include "network/agent/agent.h"
#include "storage/agent/agent.h"
#include <grp.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static const Verb *const tables[] = { storage_verbs, compute_verbs, network_verbs, NULL };
static bool (*const starters[])(GError **err) = { network_agent_start, storage_agent_start, compute_agent_start };

typedef struct Door { int fd; uid_t uid; } Door;

/* The socket belongs to the group of the user that `serve` runs as; only that user and root are listened to. */
static bool open_door(const char *path, Door *ret_door, GError **err)
{
    const struct passwd *pw = geteuid() == 0 ? getpwnam(conf_str("serve.user")) : NULL;
    const struct group *gr = pw ? getgrgid(pw->pw_gid) : NULL;
    int fd = wire_listen(path, gr ? gr->gr_name : NULL, err);
    *ret_door = (Door) { fd, pw ? pw->pw_uid : geteuid() };
    return fd >= 0;
}

static gpointer serve_verbs(gpointer data)
{
    const Door *door = data;
    g_autoptr(GError) error = NULL;
    verb_serve(door->fd, tables, door->uid, &error);
    log_error("agent.failed", "error", error->message, NULL);
    _exit(1);
}

static bool start_parts(GError **err)
{
    for (size_t i = 0; i < G_N_ELEMENTS(starters); i++)
        if (!starters[i](err))
            return false;
    return true;
}

static bool run(const char *instead, GError **err)
{
    static Door door;                            /* outlives this function: the serving thread has it */
    sigset_t ends;
    int sig;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);     /* inherited by every thread: only sigwait below sees them */
    g_autofree char *path = conf_path("paths.run", "agent.sock");
    network_agent_on_free_taps(compute_agent_plug);
    if (!cmd_make_dirs(err) || !start_parts(err))
        return false;
    if (instead) {
        clear_host(tables, g_str_equal(instead, "--purge"));
        return true;
    }
    if (!open_door(path, &door, err))
        return false;
    g_thread_unref(g_thread_new("agent-serve", serve_verbs, &door));
    log_info("agent.ready", "socket", path, NULL);
    sigwait(&ends, &sig);
    /* Verbs under way are cut off: each is safe to repeat, and the controller repeats it. */
    log_info("agent.stopping", "signal", LOG_INT(sig), NULL);
    unlink(path);
    return true;
}

int agent_main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, 128 << 10);        /* a large buffer goes back when it is freed */
    umask(0022);
    const char *instead = cmd_configure(&argc, argv, &err) && argc == 2 ? argv[1] : NULL;
    if (!err && argc > 1 && !(instead && (g_str_equal(instead, "--clear") || g_str_equal(instead, "--purge"))))
        nv_fail(&err, NV_ERR_INVALID, "unknown argument %s", argv[1]);
    if (err || !run(instead, &err)) {
        log_error("agent.failed", "error", err->message, NULL);
        return 1;
    }
    _exit(0);
}
