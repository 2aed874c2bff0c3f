/* tests/unit/test_wake.c -- a thread that polls is woken, before and while it waits. */
#include "core/wake.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

static int readable(int fd, int timeout_ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return poll(&p, 1, timeout_ms);
}

static void once_for_many(void **state)
{
    (void) state;
    int fd = wake_new(NULL);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(readable(fd, 0), 0);
    assert_false(wake_clear(fd));                /* and does not wait for somebody */
    wake_up(fd);
    wake_up(fd);
    assert_int_equal(readable(fd, 0), 1);
    assert_int_equal(readable(fd, 0), 1);        /* until it is cleared */
    assert_true(wake_clear(fd));
    assert_int_equal(readable(fd, 0), 0);
    assert_false(wake_clear(fd));
    close(fd);
}

static gpointer sleeper(gpointer data)
{
    return GINT_TO_POINTER(readable(GPOINTER_TO_INT(data), 10000));
}

static void from_another_thread(void **state)
{
    (void) state;
    int fd = wake_new(NULL);
    GThread *thread = g_thread_new("sleeper", sleeper, GINT_TO_POINTER(fd));
    wake_up(fd);
    assert_int_equal(GPOINTER_TO_INT(g_thread_join(thread)), 1);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(once_for_many), cmocka_unit_test(from_another_thread) };
    return cmocka_run_group_tests_name("wake", tests, NULL, NULL);
}
