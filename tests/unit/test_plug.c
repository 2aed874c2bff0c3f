/* tests/unit/test_plug.c -- a guest's ends of its taps: as libvirt, QEMU and the kernel tell of them; what is joined and what is refused. */
#include "compute/agent/plug.h"
#include "core/error.h"
#include <fcntl.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char two[] =
    "<domain type='qemu' id='3'><name>nuvolet-x</name><metadata><i:interface xmlns:i='x'><target dev='nvtffffffffffff'/><alias name='net9'/></i:interface>"
    "</metadata><devices><disk type='file'><target dev='vda' bus='virtio'/><alias name='virtio-disk0'/></disk>\n"
    "<interface type='ethernet'><mac address='fa:16:3e:00:00:01'/><target dev='nvt000000000001' managed='no'/><model type='virtio'/>"
    "<alias name='net0'/></interface>\n"
    "<interface type='ethernet'><target dev=\"nvt000000000002\" managed=\"no\"/><model type='e1000'/><alias name='net1'/></interface>"
    "<interface type='ethernet'><target dev='nvt000000000003'/><model type='e1000e'/><alias name='net10'/></interface>"
    "<interface type='ethernet'><model type='virtio'/></interface></devices></domain>";

static void interfaces(void **state)
{
    (void) state;
    g_autoptr(GArray) ends = plug_ends(two);
    assert_int_equal(ends->len, 3);
    const PlugEnd *e = &g_array_index(ends, PlugEnd, 0);
    assert_string_equal(e[0].tap, "nvt000000000001");
    assert_string_equal(e[0].alias, "net0");
    assert_true(e[0].virtio && e[0].header);
    assert_string_equal(e[1].tap, "nvt000000000002");
    assert_string_equal(e[1].alias, "net1");
    assert_false(e[1].virtio || e[1].header);
    assert_string_equal(e[2].alias, "net10");
    assert_true(!e[2].virtio && e[2].header);
    g_autoptr(GArray) none = plug_ends("<domain><devices><interface><target dev='a'/><alias name='b'/></interface></devi");
    assert_int_equal(none->len, 0);
}

static void descriptors(void **state)
{
    (void) state;
    static const char text[] = "net1: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:c0:d4:0f\r\n \\ hostnet1: index=0,type=tap,fd=37\r\n"
                               "net10: index=0,type=nic,model=e1000\r\n \\ hostnet10: index=0,type=tap,fd=41\r\nhostnet2: index=0,type=tap,fd=9x\r\n"
                               "hostnet3: index=0,type=user,net=10.0.0.0\r\nhostnet4: index=0,type=tap,fd=\r\nhostnet5: index=0,type=tap,fd=99999999999\r\n"
                               "x hostnet6: index=0,type=tap,fd=6\r\n";
    assert_int_equal(plug_fd(text, "net1"), 37);
    assert_int_equal(plug_fd(text, "net10"), 41);
    assert_int_equal(plug_fd(text, "net2"), 9);
    for (int i = 3; i <= 6; i++) {
        char alias[8];
        g_snprintf(alias, sizeof alias, "net%d", i);
        assert_int_equal(plug_fd(text, alias), -1);
    }
    assert_int_equal(plug_fd(text, "net0"), -1);
    assert_int_equal(plug_fd("", "net0"), -1);
}

static int header_of(const char *transports, const char *device)
{
    g_autofree char *text = g_strdup_printf("{\"return\":{\"host-features\":{\"dev-features\":[\"VIRTIO_NET_F_MRG_RXBUF: x\"]},"
                                            "\"guest-features\":{\"transports\":[%s],\"dev-features\":[%s]}}}", transports, device);
    g_autoptr(json_t) status = json_loads(text, 0, NULL);
    assert_non_null(status);
    return plug_header(status);
}

static void headers(void **state)
{
    (void) state;
    assert_int_equal(header_of("", ""), PLUG_HEADER);
    assert_int_equal(header_of("\"VIRTIO_RING_F_EVENT_IDX: Used\"", "\"VIRTIO_NET_F_MAC: Device\", 5"), PLUG_HEADER);
    assert_int_equal(header_of("\"VIRTIO_F_VERSION_1: Device\"", ""), PLUG_HEADER_MERGED);
    assert_int_equal(header_of("", "\"VIRTIO_NET_F_MRG_RXBUF: Driver\""), PLUG_HEADER_MERGED);
    assert_int_equal(header_of("", "\"VIRTIO_NET_F_MRG_RXBUFFER\""), PLUG_HEADER);
    assert_int_equal(header_of("\"VIRTIO_F_VERSION_1\"", "\"VIRTIO_NET_F_HASH_REPORT: x\""), PLUG_HEADER_HASHED);
    g_autoptr(json_t) error = json_loads("{\"error\":{\"class\":\"CommandNotFound\"}}", 0, NULL);
    assert_int_equal(plug_header(error), PLUG_HEADER_MERGED);
    assert_int_equal(plug_header(NULL), PLUG_HEADER_MERGED);
}

static void loose_ones(void **state)
{
    (void) state;
    assert_true(plug_is_loose("pos:\t78\nflags:\t0104002\nmnt_id:\t291\nino:\t105\niff:\t\n"));
    assert_true(plug_is_loose("iff:"));
    assert_false(plug_is_loose("pos:\t78\niff:\tnvt000000000001\n"));
    assert_false(plug_is_loose("pos:\t78\nflags:\t0104002\n"));
    assert_false(plug_is_loose("pos:\t78\nxiff:\t\n"));
    assert_false(plug_is_loose(""));
}

/* Whatever a hostile QEMU calls its tap. */
static void what_is_no_tap(void **state)
{
    (void) state;
    const PlugEnd end = { .tap = "nvt000000000001", .alias = "net0", .header = true };
    int self = (int) syscall(SYS_pidfd_open, getpid(), 0), null = open("/dev/null", O_RDWR), pipes[2];
    bool joined = false;
    assert_true(self >= 0 && null >= 0 && pipe(pipes) == 0);
    for (int *fd = (int[]) { null, pipes[0], self, -1 }; *fd >= 0; fd++) {
        g_autoptr(GError) err = NULL;
        assert_false(plug_join(self, *fd, &end, PLUG_HEADER, &joined, &err));
        assert_int_equal(nv_error_code(err), NV_ERR_HOST_FAULT);
    }
    g_autoptr(GError) err = NULL;
    assert_false(plug_join(self, 9999, &end, PLUG_HEADER, &joined, &err));
    assert_false(joined);
    close(self), close(null), close(pipes[0]), close(pipes[1]);
}

/* A descriptor that belongs to no interface is as loose as one whose tap was removed. */
static void a_tap_that_is_away(void **state)
{
    (void) state;
    const PlugEnd end = { .tap = "nvtffffffffff01", .alias = "net0", .header = true };
    int self = (int) syscall(SYS_pidfd_open, getpid(), 0), tun = open("/dev/net/tun", O_RDWR);
    bool joined = false;
    g_autoptr(GError) err = NULL;
    if (tun < 0)
        skip();
    assert_false(plug_join(self, tun, &end, PLUG_HEADER, &joined, &err));
    assert_int_equal(nv_error_code(err), NV_ERR_AGENT);
    assert_non_null(strstr(err->message, "is away"));
    assert_false(joined);
    assert_int_equal(if_nametoindex(end.tap), 0);
    close(self), close(tun);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interfaces), cmocka_unit_test(descriptors), cmocka_unit_test(headers), cmocka_unit_test(loose_ones),
        cmocka_unit_test(what_is_no_tap), cmocka_unit_test(a_tap_that_is_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
