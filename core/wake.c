/* core/wake.c -- wakes a thread that polls descriptors: one more of them, which any thread makes readable. */
#include "core/wake.h"
#include "core/error.h"
#include <sys/eventfd.h>
#include <unistd.h>

int wake_new(GError **err)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        nv_fail_errno(err, NV_ERR_INTERNAL, "eventfd");
    return fd;
}

void wake_up(int fd)
{
    const guint64 one = 1;
    ssize_t n = write(fd, &one, sizeof one);
    (void) n;                        /* fails at its highest count only, where it is readable anyway */
}

bool wake_clear(int fd)
{
    guint64 count;
    return read(fd, &count, sizeof count) > 0;
}
