/* network/agent/ovs_db.c -- one JSON-RPC request and its answer, a connection each: transactions on the database Open_vSwitch. */
#include "network/agent/ovs_db.h"
#include "core/conf.h"
#include "core/error.h"
#include "core/fault.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { TIMEOUT_S = 10 };

static int connect_to(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    struct timeval limit = { .tv_sec = TIMEOUT_S };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_strlcpy(addr.sun_path, path, sizeof addr.sun_path);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0 && connect(fd, (const struct sockaddr *) &addr, sizeof addr) == 0)
        return fd;
    int kept = errno;
    if (fd >= 0)
        close(fd);
    errno = kept;
    return -1;
}

static bool send_all(int fd, const char *text)
{
    gsize left = strlen(text);
    while (left) {
        ssize_t n = send(fd, text, left, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text += n;
        left -= (gsize) n;
    }
    return true;
}

/* The answer to our request; what the server asks meanwhile (echo) is passed over, as we are gone before it matters. */
static json_t *read_answer(int fd_stolen)
{
    FILE *file = fdopen(fd_stolen, "r");
    if (!file) {
        close(fd_stolen);
        return NULL;
    }
    json_t *message = NULL;
    do {
        json_decref(message);
        message = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL);
    } while (message && json_object_get(message, "method"));
    fclose(file);
    return message;
}

/* Each operation's own error stands in its place of the results. */
static bool check_results(const json_t *results, GError **err)
{
    size_t i;
    json_t *one;
    json_array_foreach(results, i, one) {
        const char *error = json_get_str(one, "error"), *details = json_get_str(one, "details");
        if (error)
            return nv_fail(err, NV_ERR_AGENT, "Open vSwitch's database refused operation %d: %s%s%s", (int) i, error, details ? ": " : "",
                           details ? details : "");
    }
    return true;
}

json_t *ovs_db_transact(json_t *ops_stolen, GError **err)
{
    g_autofree char *path = g_strdup_printf("%s/db.sock", conf_str("network.ovs_run"));
    g_autoptr(json_t) params = ops_stolen;
    json_array_insert_new(params, 0, json_string("Open_vSwitch"));
    g_autoptr(json_t) request = json_pack("{ss,sO,si}", "method", "transact", "params", params, "id", 1);
    g_autofree char *text = json_text(request);
    if (!fault_point("net.ovsdb", err))
        return NULL;
    int fd = connect_to(path);
    if (fd < 0)
        return nv_fail_errno(err, NV_ERR_AGENT, "ovsdb-server does not answer at %s", path), NULL;
    if (!send_all(fd, text)) {
        nv_fail_errno(err, NV_ERR_AGENT, "ovsdb-server at %s", path);
        close(fd);
        return NULL;
    }
    g_autoptr(json_t) answer = read_answer(fd);
    json_t *results = json_object_get(answer, "result");
    if (!json_is_array(results))
        return nv_fail(err, NV_ERR_AGENT, "ovsdb-server at %s gave no answer", path), NULL;
    return check_results(results, err) ? json_incref(results) : NULL;
}

char *ovs_db_control(void)
{
    const char *run = conf_str("network.ovs_run");
    g_autofree char *pid_file = g_strdup_printf("%s/ovs-vswitchd.pid", run), *pid = NULL;
    if (!g_file_get_contents(pid_file, &pid, NULL, NULL))
        return NULL;
    return g_strdup_printf("%s/ovs-vswitchd.%d.ctl", run, (int) g_ascii_strtoll(pid, NULL, 10));
}

bool ovs_db_alive(void)
{
    g_autofree char *path = ovs_db_control();
    int fd = path ? connect_to(path) : -1;
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}
