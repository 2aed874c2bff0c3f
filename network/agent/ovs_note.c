/* network/agent/ovs_note.c -- one file a network, port and group with the arguments that its verb had. */
#include "network/agent/ovs_note.h"
#include "core/conf.h"
#include "core/file.h"
#include "core/log.h"
#include <string.h>
#include <unistd.h>

static char *path_of(const char *kind, const char *n)
{
    return conf_path("paths.run", "ovs/%s-%s", kind, n);
}

void ovs_note_put(const char *kind, const char *n, const json_t *args)
{
    g_autofree char *dir = conf_path("paths.run", "ovs"), *path = path_of(kind, n), *text = json_text(args), *old = NULL;
    g_autofree char *name = g_path_get_basename(path);
    g_autoptr(GError) why = NULL;
    if (g_file_get_contents(path, &old, NULL, NULL) && strcmp(old, text) == 0)
        return;
    g_auto(Fd) dir_fd = file_open_dir(dir, 0700, &why);
    if (dir_fd < 0 || !file_replace(dir_fd, name, text, 0600, &why))
        log_warn("ovs.no_note", "error", why->message, NULL);
}

void ovs_note_drop(const char *kind, const char *n)
{
    g_autofree char *path = path_of(kind, n);
    unlink(path);
}

void ovs_note_each(const char *kind, OvsNoteFn *fn)
{
    g_autofree char *dir = conf_path("paths.run", "ovs"), *prefix = g_strdup_printf("%s-", kind);
    g_autoptr(GDir) names = g_dir_open(dir, 0, NULL);
    const char *name;
    while (names && (name = g_dir_read_name(names))) {
        g_autofree char *path = g_build_filename(dir, name, NULL), *text = NULL;
        if (!g_str_has_prefix(name, prefix) || !g_file_get_contents(path, &text, NULL, NULL))
            continue;
        g_autoptr(json_t) args = json_parse_trusted(text);
        if (args)
            fn(args);
    }
}
