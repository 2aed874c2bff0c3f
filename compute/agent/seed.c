/* compute/agent/seed.c -- config drives: an ISO 9660 image labelled config-2 with the files that the controller made. */
#include "compute/agent/internal.h"
#include "core/conf.h"
#include "core/error.h"
#include "core/fault.h"
#include "core/proc.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEED "seed.iso"
#define SEED_PART "seed.iso.part"
#define SEED_SUM "seed.sum"                   /* digest of the arguments the image was made from */
#define SEED_FILES "seed.files"               /* folder with the files, while it is made */
enum { FILES_MAX = 64, PATH_BYTES_MAX = 128, FILE_SIZE_MAX = 64 << 20 };

static bool files_absent(int dir, GError **err)
{
    g_autoptr(GError) why = NULL;
    g_auto(Fd) files = file_open_beneath(dir, SEED_FILES, O_RDONLY | O_DIRECTORY, 0, &why);
    if (files < 0)
        return g_error_matches(why, NV_ERROR, NV_ERR_NOT_FOUND) || nv_fail(err, NV_ERR_HOST_FAULT, "config drive: %s", why->message);
    g_autoptr(GPtrArray) names = file_names(files, err);
    for (guint i = 0; names && i < names->len; i++)
        if (!file_absent(files, names->pdata[i], err))
            return false;
    if (!names)
        return false;
    return unlinkat(dir, SEED_FILES, AT_REMOVEDIR) == 0 || nv_fail_errno(err, NV_ERR_HOST_FAULT, "cannot remove the config drive's files");
}

bool seed_remove(int dir, GError **err)
{
    return file_absent(dir, SEED_SUM, err) && file_absent(dir, SEED, err) && file_absent(dir, SEED_PART, err) && files_absent(dir, err);
}

static bool path_is_plain(const char *path)
{
    static const char fine[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";
    if (!*path || *path == '/' || strlen(path) > PATH_BYTES_MAX || strspn(path, fine) != strlen(path))
        return false;
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    for (char **p = parts; *p; p++)
        if (!**p || (*p)[0] == '.' || (*p)[0] == '-')
            return false;
    return true;
}

static bool write_file(int files, const char *name, const char *base64, GError **err)
{
    gsize len = 0;
    g_autofree guchar *bytes = g_base64_decode(base64, &len);
    g_auto(Fd) fd = file_open_beneath(files, name, O_WRONLY | O_CREAT | O_EXCL, 0600, err);
    return fd >= 0 && file_write_at(fd, bytes, len, 0, err);
}

/* Writes the files as 0, 1, …; the image's names go to the ISO maker as "name=file". */
static GPtrArray *write_files(int dir, const char *id, const json_t *content, GError **err)
{
    g_auto(Fd) files = files_absent(dir, err) ? file_open_subdir(dir, SEED_FILES, 0700, err) : -1;
    if (files < 0)
        return NULL;
    if (json_object_size(content) > FILES_MAX)
        return nv_fail(err, NV_ERR_INVALID, "files: at most %d", FILES_MAX), NULL;
    g_autoptr(GPtrArray) grafts = g_ptr_array_new_with_free_func(g_free);
    const char *path;
    json_t *value;
    json_object_foreach((json_t *) content, path, value) {
        char name[8];
        g_snprintf(name, sizeof name, "%u", grafts->len);
        if (!path_is_plain(path) || !json_is_string(value))
            return nv_fail(err, NV_ERR_INVALID, "files: '%s' is not the name of a file with Base64 content", path), NULL;
        if (!write_file(files, name, json_string_value(value), err))
            return NULL;
        g_ptr_array_add(grafts, g_strdup_printf("%s=%s/instances/%s/" SEED_FILES "/%s", path, conf_str("paths.state"), id, name));
    }
    return g_steal_pointer(&grafts);
}

static bool run_maker(const char *id, const GPtrArray *grafts, GError **err)
{
    g_autofree char *part = conf_path("paths.state", "instances/%s/" SEED_PART, id);
    const char *const options[] = { "-quiet", "-V", "config-2", "-R", "-J", "-graft-points", "-o", part };
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    bool xorriso = access("/usr/bin/xorriso", X_OK) == 0;
    if (xorriso) {
        g_ptr_array_add(argv, (gpointer) "xorriso");
        g_ptr_array_add(argv, (gpointer) "-as");
        g_ptr_array_add(argv, (gpointer) "mkisofs");
    } else {
        g_ptr_array_add(argv, (gpointer) "genisoimage");
    }
    for (size_t i = 0; i < G_N_ELEMENTS(options); i++)
        g_ptr_array_add(argv, (gpointer) options[i]);
    for (guint i = 0; i < grafts->len; i++)
        g_ptr_array_add(argv, grafts->pdata[i]);
    g_ptr_array_add(argv, NULL);
    const ProcOptions opt = { .max_file = FILE_SIZE_MAX, .timeout_s = 30, .no_new_privs = true };
    return proc_run((const char *const *) argv->pdata, &opt, NULL, err);
}

/* True in *ret_same where the image was made from exactly these arguments. */
static bool is_made(int dir, const char *sum, bool *ret_same, GError **err)
{
    char have[65] = "";
    *ret_same = false;
    g_auto(Fd) fd = file_open_beneath(dir, SEED_SUM, O_RDONLY, 0, NULL);
    if (fd < 0 || faccessat(dir, SEED, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        return true;
    if (pread(fd, have, 64, 0) < 0)
        return nv_fail_errno(err, NV_ERR_AGENT, "config drive");
    *ret_same = strcmp(have, sum) == 0;
    return true;
}

/* The digest goes first and comes last: it never stands beside another image. */
static bool make(int dir, const char *id, const json_t *content, const char *sum, GError **err)
{
    g_autoptr(GPtrArray) grafts = NULL;
    if (!file_absent(dir, SEED_SUM, err) || !file_absent(dir, SEED_PART, err) || !(grafts = write_files(dir, id, content, err)) ||
        !run_maker(id, grafts, err) || !fault_point("seed.part", err))
        return false;
    g_auto(Fd) fd = file_open_beneath(dir, SEED_PART, O_RDWR, 0, err);
    if (fd < 0 || !instance_give(fd, err) || !file_publish(dir, fd, SEED_PART, SEED, err) || !fault_point("seed.published", err))
        return false;
    g_auto(Fd) note = file_open_beneath(dir, SEED_SUM, O_WRONLY | O_CREAT, 0600, err);
    return note >= 0 && file_write_at(note, sum, strlen(sum), 0, err) && files_absent(dir, err);
}

json_t *seed_ensure(const json_t *args, GError **err)
{
    const char *id = json_get_str(args, "id");
    const json_t *content = json_object_get(args, "files");
    char *text = json_dumps(content, JSON_COMPACT | JSON_SORT_KEYS);
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
    bool same = false;
    free(text);
    g_auto(Fd) dir = instance_dir_ensure(id, err);
    if (dir < 0 || !is_made(dir, sum, &same, err) || (!same && !make(dir, id, content, sum, err)))
        return NULL;
    return json_object();
}

json_t *seed_absent(const json_t *args, GError **err)
{
    GError *why = NULL;
    g_auto(Fd) dir = instance_dir_open(json_get_str(args, "id"), &why);
    if (why) {
        g_propagate_error(err, why);
        return NULL;
    }
    return dir < 0 || seed_remove(dir, err) ? json_object() : NULL;
}
