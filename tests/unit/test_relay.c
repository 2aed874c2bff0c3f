/* tests/unit/test_relay.c -- guests' connections that are fetched: who is kept, tokens, bytes and ends in both directions, and that nothing stays. */
#include "core/clock.h"
#include "core/error.h"
#include "core/json.h"
#include "network/agent/relay.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const NET_A = "11111111-1111-4111-8111-111111111111";
static const char *const NET_B = "22222222-2222-4222-8222-222222222222";
static const RelayLimits limits = { .total = 6, .per_source = 2, .wait_us = 1500 * 1000, .idle_us = 1500 * 1000, .stall_us = 2500 * 1000 };
enum { MUCH = 3 << 20 };

/* A connection with both its outer ends, and the descriptors that the relay has inside. */
typedef struct Pair { int guest, serve; char *token; } Pair;

static int half(int *ret_inner)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    *ret_inner = fds[1];
    return fds[0];
}

static int tcp_half(int *ret_inner)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), outer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (const struct sockaddr *) &at, n), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *) &at, &n), 0);
    assert_int_equal(connect(outer, (const struct sockaddr *) &at, n), 0);
    *ret_inner = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(*ret_inner >= 0);
    close(listener);
    return outer;
}

static Pair keep_half(int outer, int inner, const char *network, const char *address)
{
    Pair p = { .guest = outer, .serve = -1 };
    p.token = relay_keep(inner, network, address);
    if (!p.token)
        close(inner);
    return p;
}

static Pair keep(const char *network, const char *address)
{
    int inner, outer = half(&inner);
    return keep_half(outer, inner, network, address);
}

static bool attach(Pair *p)
{
    g_autoptr(json_t) args = json_make("s", "token", p->token);
    g_autoptr(GError) err = NULL;
    int inner, outer = half(&inner);
    if (relay_attach(inner, args, &err)) {
        p->serve = outer;
        return true;
    }
    assert_int_equal(nv_error_code(err), NV_ERR_NOT_FOUND);
    close(inner);
    close(outer);
    return false;
}

static Pair joined(void)
{
    Pair p = keep(NET_A, "10.0.0.1");
    assert_non_null(p.token);
    assert_true(attach(&p));
    return p;
}

static void serve_ends(Pair *p)
{
    close(p->serve);
    p->serve = -1;
}

static void done(Pair *p)
{
    close(p->guest);
    if (p->serve >= 0)
        close(p->serve);
    g_free(p->token);
}

static bool readable(int fd, int ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return poll(&p, 1, ms) > 0;
}

/* What can be read within 3 s; "" is the end, NULL nothing, "-" a reset. */
static char *next(int fd)
{
    char buf[256];
    if (!readable(fd, 3000))
        return NULL;
    ssize_t n = recv(fd, buf, sizeof buf, 0);
    return n < 0 ? g_strdup("-") : g_strndup(buf, (gsize) n);
}

#define assert_next(fd, text) do { g_autofree char *got_ = next(fd); assert_non_null(got_); assert_string_equal(got_, text); } while (0)

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static int count_fds(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static int before;

static int setup(void **state)
{
    (void) state;
    before = count_fds();
    return 0;
}

/* Every test ends with nothing kept and no descriptor open. */
static int nothing_stays(void **state)
{
    (void) state;
    for (gint64 end = clock_mono_us() + 6 * G_USEC_PER_SEC; relay_count() && clock_mono_us() < end;)
        g_usleep(5000);
    return relay_count() || count_fds() != before;
}

static void carries_words_and_ends(void **state)
{
    (void) state;
    Pair p = keep(NET_A, "10.0.0.1");
    say(p.guest, "asked before it was fetched");
    assert_true(attach(&p));
    assert_next(p.serve, "asked before it was fetched");
    say(p.serve, "answer");
    assert_next(p.guest, "answer");
    say(p.guest, "last");
    shutdown(p.guest, SHUT_WR);
    assert_next(p.serve, "last");
    assert_next(p.serve, "");
    say(p.serve, "answer to the last");
    assert_next(p.guest, "answer to the last");
    serve_ends(&p);
    assert_next(p.guest, "");
    done(&p);
}

static void a_token_works_once(void **state)
{
    (void) state;
    Pair p = keep(NET_A, "10.0.0.1"), q = { .token = g_strdup(NET_B) };
    assert_false(attach(&q));
    assert_true(attach(&p));
    Pair again = { .token = g_strdup(p.token), .serve = -1 };
    assert_false(attach(&again));
    relay_forget(p.token);                       /* only what still waits */
    say(p.guest, "x");
    assert_next(p.serve, "x");
    serve_ends(&p);
    assert_next(p.guest, "");
    assert_false(attach(&again));                /* while it lingers */
    g_free(again.token);
    g_free(q.token);
    done(&p);
}

static void who_is_not_fetched_is_let_go(void **state)
{
    (void) state;
    gint64 begin = clock_mono_us();
    Pair late = keep(NET_A, "10.0.0.1"), refused = keep(NET_A, "10.0.0.2");
    relay_forget(refused.token);
    assert_next(refused.guest, "");
    assert_true(clock_mono_us() - begin < limits.wait_us);
    assert_next(late.guest, "");
    assert_true(clock_mono_us() - begin >= limits.wait_us);
    assert_false(attach(&late));
    Pair gone = keep(NET_A, "10.0.0.1");
    close(gone.guest);
    for (int i = 0; i < 200 && relay_count(); i++)
        g_usleep(5000);
    assert_int_equal(relay_count(), 0);          /* long before its time */
    g_free(gone.token);
    done(&late);
    done(&refused);
}

static void idle_ones_end(void **state)
{
    (void) state;
    Pair p = joined(), q = joined();
    gint64 begin = clock_mono_us();
    for (int i = 0; i < 5; i++) {                /* q is not idle */
        g_usleep(350 * 1000);
        say(q.serve, "x");
        assert_next(q.guest, "x");
    }
    assert_true(clock_mono_us() - begin > limits.idle_us);
    assert_next(p.guest, "");
    assert_next(p.serve, "");
    say(q.guest, "still there");
    assert_next(q.serve, "still there");
    done(&p);
    done(&q);
}

/* One byte now and then does not keep it. */
static void slow_readers_end(void **state)
{
    (void) state;
    Pair p = joined();
    char block[8192] = "", byte;
    gint64 begin = clock_mono_us();
    fcntl(p.serve, F_SETFL, O_NONBLOCK);
    while (send(p.serve, block, sizeof block, MSG_NOSIGNAL) >= 0 || errno == EAGAIN) {
        if (clock_mono_us() - begin > 3 * limits.stall_us)
            fail();
        g_usleep(20 * 1000);
        assert_int_equal(recv(p.guest, &byte, 1, 0), 1);
    }
    assert_true(clock_mono_us() - begin >= limits.stall_us);
    done(&p);
}

/* Nor do bytes the other way. */
static void one_way_wins_no_time_for_the_other(void **state)
{
    (void) state;
    Pair p = joined();
    char block[8192] = "", byte;
    gint64 begin = clock_mono_us();
    fcntl(p.serve, F_SETFL, O_NONBLOCK);
    while (send(p.guest, "x", 1, MSG_NOSIGNAL) == 1) {
        while (send(p.serve, block, sizeof block, MSG_NOSIGNAL) > 0)
            ;
        if (clock_mono_us() - begin > 2 * limits.stall_us)
            fail();
        g_usleep(50 * 1000);
        assert_true(recv(p.serve, &byte, 1, 0) <= 1);
    }
    assert_true(clock_mono_us() - begin >= limits.stall_us);
    done(&p);
}

static void limits_hold_and_who_has_most_pays(void **state)
{
    (void) state;
    Pair a[5], b = keep(NET_B, "10.0.0.1");
    for (int i = 0; i < 5; i++) {
        g_autofree char *address = g_strdup_printf("10.0.0.%d", i / 2);
        g_usleep(2000);
        a[i] = keep(NET_A, address);
        assert_non_null(a[i].token);
    }
    Pair third = keep(NET_A, "10.0.0.0");
    assert_null(third.token);                    /* of one source */
    for (int i = 0; i < 5; i++)
        assert_true(attach(&a[i]));
    say(a[0].guest, "busy");
    assert_next(a[0].serve, "busy");
    Pair more = keep(NET_B, "10.0.0.2");         /* the seventh: the idle longest of A goes, although B's first is older */
    assert_non_null(more.token);
    assert_next(a[1].guest, "");
    assert_next(a[1].serve, "");
    assert_true(attach(&b));
    assert_true(attach(&more));
    relay_forget_network(NET_A);
    for (int i = 0; i < 5; i++) {
        assert_next(a[i].guest, "");
        done(&a[i]);
    }
    say(b.guest, "unhurt");
    assert_next(b.serve, "unhurt");
    done(&b);
    done(&more);
    done(&third);
}

/* serve answers and closes while the guest still sends: the answer arrives whole. */
static void an_early_answer_arrives(void **state)
{
    (void) state;
    char block[8192];
    memset(block, 'b', sizeof block);
    int inner, outer = tcp_half(&inner);
    Pair p = keep_half(outer, inner, NET_A, "10.0.0.1");
    assert_true(attach(&p));
    fcntl(p.guest, F_SETFL, O_NONBLOCK);
    while (send(p.guest, block, sizeof block, MSG_NOSIGNAL) > 0)
        ;
    say(p.serve, "413");
    serve_ends(&p);
    gint64 begin = clock_mono_us();
    assert_next(p.guest, "413");
    assert_next(p.guest, "");
    ssize_t n;
    while ((n = send(p.guest, block, sizeof block, MSG_NOSIGNAL)) < 0 && errno == EAGAIN && clock_mono_us() - begin < G_USEC_PER_SEC)
        g_usleep(1000);
    if (clock_mono_us() - begin < G_USEC_PER_SEC)
        assert_true(n > 0);                      /* it may go on for a moment and is not reset at once */
    done(&p);
}

static guint8 byte_at(gsize i, int way)
{
    return (guint8) (i * 31 + i / 251 + (gsize) way);
}

typedef struct Half { int fd, way; gsize sent, got; bool right; } Half;

/* Sends MUCH and checks MUCH, reading in small pieces. */
static gpointer talk(gpointer data)
{
    Half *h = data;
    guint8 buf[5000];
    h->right = true;
    fcntl(h->fd, F_SETFL, O_NONBLOCK);
    for (gint64 end = clock_mono_us() + 20 * G_USEC_PER_SEC; (h->got < MUCH || h->sent < MUCH) && clock_mono_us() < end;) {
        struct pollfd p = { .fd = h->fd, .events = (short) (POLLIN | (h->sent < MUCH ? POLLOUT : 0)) };
        poll(&p, 1, 1000);
        gsize n = MIN(sizeof buf, MUCH - h->sent);
        for (gsize i = 0; i < n; i++)
            buf[i] = byte_at(h->sent + i, h->way);
        ssize_t out = n ? send(h->fd, buf, n, MSG_NOSIGNAL) : 0;
        h->sent += out > 0 ? (gsize) out : 0;
        ssize_t in = recv(h->fd, buf, sizeof buf, 0);
        for (ssize_t i = 0; i < in; i++)
            h->right = h->right && buf[i] == byte_at(h->got + (gsize) i, !h->way);
        h->got += in > 0 ? (gsize) in : 0;
    }
    return NULL;
}

static void much_in_both_directions(void **state)
{
    (void) state;
    Pair p = joined(), slow = joined();
    char block[8192] = "";
    gsize stuck = 0;
    fcntl(slow.serve, F_SETFL, O_NONBLOCK);
    for (ssize_t n, tries = 0; tries < 20; tries++, g_usleep(1000))
        while ((n = send(slow.serve, block, sizeof block, MSG_NOSIGNAL)) > 0)
            stuck += (gsize) n;
    assert_true(stuck < 2 << 20);                /* nobody reads: no more is taken in than sockets hold */
    Half a = { .fd = p.guest, .way = 0 }, b = { .fd = p.serve, .way = 1 };
    GThread *t = g_thread_new("guest", talk, &a);
    talk(&b);
    g_thread_join(t);
    assert_true(a.right && b.right);
    assert_int_equal(a.got, MUCH);
    assert_int_equal(b.got, MUCH);
    done(&p);
    done(&slow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(carries_words_and_ends, setup, nothing_stays),
        cmocka_unit_test_setup_teardown(a_token_works_once, setup, nothing_stays),
        cmocka_unit_test_setup_teardown(who_is_not_fetched_is_let_go, setup, nothing_stays),
        cmocka_unit_test_setup_teardown(idle_ones_end, setup, nothing_stays),
        cmocka_unit_test_setup_teardown(slow_readers_end, setup, nothing_stays),
        cmocka_unit_test_setup_teardown(one_way_wins_no_time_for_the_other, setup, nothing_stays),
        cmocka_unit_test_setup_teardown(limits_hold_and_who_has_most_pays, setup, nothing_stays),
        cmocka_unit_test_setup_teardown(an_early_answer_arrives, setup, nothing_stays),
        cmocka_unit_test_setup_teardown(much_in_both_directions, setup, nothing_stays),
    };
    if (!relay_start(&limits, NULL))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
