/* compute/agent/console.c -- serial console logs: QEMU appends, we keep the end of it on disk and read it.
 *
 * A guest can print for ever.  What is too old is given back to the file system by punching a hole at the front: the file's length goes on
 * growing, but its disk use does not, and nothing that QEMU writes meanwhile is lost, as a truncation would. */
#include "compute/agent/internal.h"
#include "core/conf.h"
#include "core/error.h"
#include "core/id.h"
#include "core/log.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG "console.log"
/* Where virtlogd writes the log (libvirt's stdio_handler = "logd"), it rotates it into these. */
static const char *const rotated[] = { LOG ".0", LOG ".1", LOG ".2" };

enum {
    KEEP = 256 << 10,                         /* more than any client asks for: Nova's own limit is 100 KiB */
    TRIM_AT = 1 << 20,                        /* bytes on disk at which the front goes */
    TRIM_EVERY_S = 2,
    READ_MAX = KEEP,
};

bool console_ensure(int dir, GError **err)
{
    g_auto(Fd) fd = file_open_beneath(dir, LOG, O_WRONLY | O_APPEND | O_CREAT, 0600, err);
    return fd >= 0 && instance_give(fd, err);
}

bool console_absent(int dir, GError **err)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rotated); i++)
        if (!file_absent(dir, rotated[i], err))
            return false;
    return file_absent(dir, LOG, err);
}

/* ---- keeping it small ---- */

static void trim(int dir)
{
    struct stat st;
    g_auto(Fd) fd = file_open_beneath(dir, LOG, O_RDWR, 0, NULL);
    if (fd < 0 || fstat(fd, &st) < 0 || (gint64) st.st_blocks * 512 <= TRIM_AT || st.st_size <= KEEP)
        return;
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (st.st_size - KEEP) & ~(off_t) 4095) == 0)
        return;
    /* A file system without holes: all of it goes.  QEMU appends, so it writes on at the new end. */
    if (ftruncate(fd, 0) < 0)
        log_warn("console.trim_failed", "error", g_strerror(errno), NULL);
}

static gpointer trimmer(gpointer data)
{
    (void) data;
    g_autofree char *path = conf_path("paths.state", "instances");
    for (;; g_usleep(TRIM_EVERY_S * G_USEC_PER_SEC)) {
        g_auto(Fd) instances = file_open_dir(path, 0711, NULL);
        g_autoptr(GPtrArray) names = instances < 0 ? NULL : file_names(instances, NULL);
        for (guint i = 0; names && i < names->len; i++) {
            g_auto(Fd) dir = id_is_uuid(names->pdata[i]) ? file_open_beneath(instances, names->pdata[i], O_RDONLY | O_DIRECTORY, 0, NULL) : -1;
            if (dir >= 0)
                trim(dir);
        }
    }
    return NULL;
}

void console_trim_start(void)
{
    g_thread_unref(g_thread_new("console-trim", trimmer, NULL));
}

/* ---- reading ---- */

/* The last bytes of the file, at most want; *ret_total: how many it ever held.  Nothing where there is no file. */
static bool read_end(int dir, const char *name, gsize want, GByteArray *into, gint64 *ret_total, GError **err)
{
    g_autoptr(GError) why = NULL;
    g_auto(Fd) fd = file_open_beneath(dir, name, O_RDONLY, 0, &why);
    *ret_total = 0;
    if (fd < 0 && g_error_matches(why, NV_ERROR, NV_ERR_NOT_FOUND))
        return true;
    off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END), data = size > 0 ? lseek(fd, 0, SEEK_DATA) : 0;
    if (size < 0)
        return nv_fail_errno(err, NV_ERR_AGENT, "cannot read the console log");
    *ret_total = size;
    off_t from = MAX(size - (off_t) want, MAX(data, 0));
    g_autofree guint8 *buf = g_malloc(want);
    gssize n;
    while (want > 0 && (n = pread(fd, buf, want, from)) > 0) {
        g_byte_array_append(into, buf, (guint) n);
        from += n;
        want -= (gsize) n;
    }
    return true;
}

json_t *console_read(const json_t *args, GError **err)
{
    gsize want = (gsize) CLAMP(json_get_int(args, "bytes", READ_MAX), 0, READ_MAX);
    gint64 total = 0, older = 0;
    GError *why = NULL;
    g_autoptr(GByteArray) newest = g_byte_array_new();
    g_autoptr(GByteArray) all = g_byte_array_new();
    g_auto(Fd) dir = instance_dir_open(json_get_str(args, "id"), &why);
    if (why) {
        g_propagate_error(err, why);
        return NULL;
    }
    if (dir >= 0 && (!read_end(dir, LOG, want, newest, &total, err) || !read_end(dir, rotated[0], want - newest->len, all, &older, err)))
        return NULL;
    g_byte_array_append(all, newest->data, newest->len);
    /* A cut in the middle of a character would show as damage. */
    guint skip = 0;
    while (total > (gint64) all->len && skip < 3 && skip < all->len && (all->data[skip] & 0xc0) == 0x80)
        skip++;
    g_autofree char *text = all->len == 0 ? g_strdup("") : g_utf8_make_valid((const char *) all->data + skip, all->len - skip);
    return json_make("si", "output", text, "total", total + older);
}
