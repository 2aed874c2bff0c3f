/* cmd/dirs.c -- the folders that `serve` and the agent share: root's, so that `serve` cannot put something else in the place of root's things. */
#include "cmd/cmd.h"
#include "core/conf.h"
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

/* QEMU's user passes through.  Sticky: the group of `serve` makes files and removes its own only. */
enum { SHARED_MODE = 01771, OWN_MODE = 0711 };

static bool make_dir(const char *path, const struct passwd *server, GError **err)
{
    struct stat st;
    if (g_mkdir_with_parents(path, OWN_MODE) < 0 || stat(path, &st) < 0)
        return nv_fail_errno(err, NV_ERR_INTERNAL, "%s", path);
    bool ok = server ? chown(path, 0, server->pw_gid) == 0 && chmod(path, SHARED_MODE) == 0 : st.st_uid != geteuid() || chmod(path, OWN_MODE) == 0;
    return ok || nv_fail_errno(err, NV_ERR_INTERNAL, "%s", path);
}

bool cmd_make_dirs(GError **err)
{
    /* Not as root: whoever installs the service has made them, or they are all ours. */
    const struct passwd *server = geteuid() == 0 ? getpwnam(conf_str("serve.user")) : NULL;
    return make_dir(conf_str("paths.state"), server, err) && make_dir(conf_str("paths.run"), server, err);
}
