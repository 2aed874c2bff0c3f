/* tests/fuzz/inspect.c -- the image inspector on any bytes, declared as each format; the first byte chooses the format. */
#include "core/error.h"
#include "image/inspect.h"
#include "tests/fuzz/fuzz.h"
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const guint8 *data, size_t n)
{
    static int fd = -1;
    guint formats = g_strv_length((char **) image_disk_formats);
    if (n < 1)
        return 0;
    if (fd < 0)
        fd = memfd_create("image", MFD_CLOEXEC);
    const char *declared = image_disk_formats[data[0] % formats];
    if (ftruncate(fd, 0) || pwrite(fd, data + 1, n - 1, 0) != (ssize_t) (n - 1))
        return 0;
    Inspected found = { NULL, -7 };
    g_autoptr(GError) err = NULL;
    bool ok = inspect_file(fd, n - 1, declared, &found, &err);
    g_assert(ok == !err);
    if (!ok)
        return 0;
    g_assert(found.format && found.virtual_size >= -1);
    g_assert(strcmp(declared, "qcow2") != 0 || strcmp(found.format, "qcow2") == 0);
    g_assert(strcmp(found.format, "qcow2") != 0 || inspect_qcow2(fd, n - 1, &found, NULL));
    return 0;
}
