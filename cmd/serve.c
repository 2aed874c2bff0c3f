/* cmd/serve.c -- `nuvolet serve`: puts the layers together, drops what it does not need, and waits for the end. */
#include "api/api.h"
#include "cmd/cmd.h"
#include "compute/compute.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/file.h"
#include "core/log.h"
#include "identity/identity.h"
#include "image/image.h"
#include "network/network.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <malloc.h>
#include <pwd.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const OpKind *const *const op_kinds[] = { compute_op_kinds, network_op_kinds, NULL };
static const AgentEvent *const agent_events[] = { compute_events, metadata_events, NULL };
static AgentSync *const agent_syncs[] = { compute_sync, network_sync, image_sync, NULL };

/* The image store belongs to the user that serve becomes: never through a link that this user may have put there. */
static bool make_store(uid_t uid, gid_t gid, GError **err)
{
    g_autofree char *path = conf_path("paths.state", "images");
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return nv_fail_errno(err, NV_ERR_INTERNAL, "%s", path);
    g_auto(Fd) fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || (geteuid() == 0 && fchown(fd, uid, gid) < 0) || fchmod(fd, 0700) < 0)
        return nv_fail_errno(err, NV_ERR_INTERNAL, "%s", path);
    return true;
}

static bool become(const struct passwd *pw, GError **err)
{
    if (setgroups(1, &pw->pw_gid) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 || setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
        return nv_fail_errno(err, NV_ERR_INTERNAL, "cannot become user %s", pw->pw_name);
    return true;
}

/* System calls that a REST service has no business with; the kernel answers EPERM. */
static bool confine(GError **err)
{
    static const int refused[] = {
        SCMP_SYS(ptrace), SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(setns), SCMP_SYS(unshare), SCMP_SYS(bpf),
        SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load), SCMP_SYS(reboot), SCMP_SYS(swapon),
        SCMP_SYS(swapoff), SCMP_SYS(perf_event_open), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(keyctl),
        SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(userfaultfd), SCMP_SYS(open_by_handle_at), SCMP_SYS(settimeofday),
        SCMP_SYS(clock_settime), SCMP_SYS(chroot), SCMP_SYS(acct), SCMP_SYS(iopl), SCMP_SYS(ioperm), SCMP_SYS(mknod), SCMP_SYS(mknodat),
    };
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    bool ok = filter != NULL;
    for (size_t i = 0; ok && i < G_N_ELEMENTS(refused); i++)
        ok = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), refused[i], 0) == 0;
    ok = ok && seccomp_load(filter) == 0;
    seccomp_release(filter);
    return ok || nv_fail(err, NV_ERR_INTERNAL, "the system call filter could not be loaded");
}

static void raise_file_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return;
    if (geteuid() == 0)
        files.rlim_max = MAX(files.rlim_max, 65536);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

static bool drop_privileges(GError **err)
{
    const struct passwd *pw = geteuid() == 0 ? getpwnam(conf_str("serve.user")) : getpwuid(geteuid());
    struct rlimit none = { 0, 0 };
    if (!pw)
        return nv_fail(err, NV_ERR_INVALID, "there is no user %s; `make up` makes it, or set serve.user", conf_str("serve.user"));
    raise_file_limit();
    if (!cmd_make_dirs(err) || !make_store(pw->pw_uid, pw->pw_gid, err) || (geteuid() == 0 && !become(pw, err)))
        return false;
    setrlimit(RLIMIT_CORE, &none);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
        return nv_fail_errno(err, NV_ERR_INTERNAL, "prctl");
    return confine(err);
}

static const char *conf_or_null(const char *key)
{
    return *conf_str(key) ? conf_str(key) : NULL;
}

static HttpServer *start_api(GError **err)
{
    HttpOptions opt = {
        .address = conf_str("api.address"), .port = (int) conf_int("api.port"), .workers = (int) conf_int("api.workers"),
        .max_body = (gsize) conf_int("api.max_body"), .handle = router_handle, .streams = router_streams, .quick = router_quick, .slow = router_slow,
        .tls_cert = conf_or_null("api.tls_cert"), .tls_key = conf_or_null("api.tls_key"), .head_max = (gsize) conf_int("api.head_max"),
        .max_connections = (int) conf_int("api.max_connections"), .per_source = (int) conf_int("api.max_per_address"),
    };
    return http_start(&opt, err);
}

/* The guests' metadata service: connections come from the agent, already accepted in the networks' namespaces. */
static HttpServer *start_metadata(GError **err)
{
    g_autofree char *socket = conf_path("paths.run", "metadata.sock");
    HttpOptions opt = { .workers = 2, .max_body = 8192, .handle = router_handle_metadata, .passed_socket = socket };
    return http_start(&opt, err);
}

static bool bootstrap(Db *db, GError **err)
{
    return identity_bootstrap(db, err) && image_recover(db, err) && network_bootstrap(db, err) && compute_bootstrap(db, err);
}

/* The port in use, for whoever started us with port 0. */
static bool write_port(const HttpServer *server, GError **err)
{
    g_autofree char *path = conf_path("paths.run", "api.port"), *text = g_strdup_printf("%d\n", http_port(server));
    return g_file_set_contents(path, text, -1, err);
}

static bool serve(GError **err)
{
    sigset_t ends;
    int sig;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);     /* inherited by every thread: only sigwait below sees them */
    gint64 begin = clock_mono_us();
    g_autofree char *path = conf_path("paths.state", "nuvolet.db");
    identity_on_project_gone(network_project_gone);
    Db *db = drop_privileges(err) ? db_open(path, err) : NULL;
    if (!db || !agents_load(db, agent_events, agent_syncs, err) || !bootstrap(db, err) || !router_start(db, err))
        return false;
    HttpServer *api = start_api(err), *metadata = api ? start_metadata(err) : NULL;
    if (!metadata)
        return false;
    router_set_server(api);
    metadata_set_server(metadata);
    if (!control_start(db, err) || !write_port(api, err) || !ops_start(db, op_kinds, (int) conf_int("serve.op_threads"), err))
        return false;
    agents_start();
    log_info("serve.ready", "address", conf_str("api.address"), "port", LOG_INT(http_port(api)),
             "ms", LOG_INT((clock_mono_us() - begin) / 1000), NULL);
    sigwait(&ends, &sig);
    log_info("serve.stopping", "signal", LOG_INT(sig), NULL);
    http_stop(api);
    agents_stop();                               /* their events bring connections to the next */
    http_stop(metadata);
    ops_stop();
    db_close(db);
    return true;
}

int serve_main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    mallopt(M_MMAP_THRESHOLD, 4 << 20);          /* pages of lists come and go: not by a system call each */
    mallopt(M_TRIM_THRESHOLD, 4 << 20);
    mallopt(M_ARENA_MAX, 2);                     /* an arena a thread would cost more than the whole program */
    umask(0077);
    if (cmd_configure(&argc, argv, &err) && argc > 1)
        nv_fail(&err, NV_ERR_INVALID, "unknown argument %s", argv[1]);
    if (err || !serve(&err)) {
        log_error("serve.failed", "why", err->message, NULL);
        return 1;
    }
    return 0;
}
