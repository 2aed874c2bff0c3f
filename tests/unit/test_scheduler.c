/* tests/unit/test_scheduler.c -- which host is picked, and what is said when none is. */
#include "scheduler/scheduler.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static HostState host(const char *name, gint64 memory_gb, gint64 used_gb)
{
    return (HostState){ .name = name, .zone = "nova", .up = true, .enabled = true, .vcpus = 8, .memory_mb = memory_gb * 1024, .disk_gb = 100,
                        .used_memory_mb = used_gb * 1024, .ratio_vcpus = 4, .ratio_memory = 1, .ratio_disk = 1 };
}

static char *refusal(const Demand *d, const HostState *hosts, size_t n)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(json_t) why = NULL;
    assert_int_equal(scheduler_pick(d, hosts, n, &why, &err), -1);
    assert_int_equal(nv_error_code(err), NV_ERR_NO_HOST);
    assert_int_equal(json_array_size(why), n);
    return g_strdup(err->message);
}

static void test_spreads(void **state)
{
    (void) state;
    HostState hosts[] = { host("vm1", 24, 20), host("vm2", 24, 4), host("vm3", 24, 8) };
    Demand d = { .vcpus = 1, .memory_mb = 512, .disk_gb = 1 };
    g_autoptr(json_t) why = NULL;
    assert_int_equal(scheduler_pick(&d, hosts, 3, &why, NULL), 1);
    assert_string_equal(json_get_str(json_array_get(why, 1), "verdict"), "chosen");
    assert_string_equal(json_get_str(json_array_get(why, 0), "verdict"), "ok");
    hosts[1].enabled = false;
    assert_int_equal(scheduler_pick(&d, hosts, 3, NULL, NULL), 2);
    hosts[2].up = false;
    assert_int_equal(scheduler_pick(&d, hosts, 3, NULL, NULL), 0);
}

static void test_exact_fit_and_overcommit(void **state)
{
    (void) state;
    HostState h = host("vm1", 4, 2);
    Demand d = { .vcpus = 32, .memory_mb = 2048, .disk_gb = 100 };
    assert_int_equal(scheduler_pick(&d, &h, 1, NULL, NULL), 0);          /* 8 × 4 vCPUs, the last 2 GiB, all of the disk */
    d.vcpus = 33;
    g_autofree char *cpu = refusal(&d, &h, 1);
    assert_string_equal(cpu, "no host has 33 vCPUs free: vm1 has 32 of 32 vCPUs free; use a smaller flavor, delete servers or add a host");
    d.vcpus = 1;
    d.memory_mb = 2049;
    g_autofree char *ram = refusal(&d, &h, 1);
    assert_string_equal(ram, "no host has 2.0 GiB of memory free: vm1 has 2 of 4 GiB free; use a smaller flavor, delete servers or add a host");
    h.ratio_memory = 1.5;
    assert_int_equal(scheduler_pick(&d, &h, 1, NULL, NULL), 0);
    d.disk_gb = 101;
    g_autofree char *disk = refusal(&d, &h, 1);
    assert_string_equal(disk, "no host has 101 GiB of disk free: vm1 has 100 of 100 GiB free; use a smaller flavor, delete servers or add a host");
}

static void test_sentence_names_hosts(void **state)
{
    (void) state;
    HostState hosts[] = { host("vm1", 24, 4), host("vm2", 24, 0) };
    Demand d = { .vcpus = 1, .memory_mb = 64 * 1024 };
    hosts[1].up = false;
    g_autofree char *text = refusal(&d, hosts, 2);
    assert_string_equal(text, "no host has 64 GiB of memory free: vm1 has 20 of 24 GiB free, vm2 is down; use a smaller flavor, delete servers or add a host");
    HostState many[] = { host("a", 1, 1), host("b", 1, 1), host("c", 1, 1), host("d", 1, 1), host("e", 1, 1), host("f", 1, 1) };
    g_autofree char *long_text = refusal(&d, many, 6);
    assert_non_null(strstr(long_text, "d has 0 MiB of 1 GiB free and 2 more; "));
    assert_null(strstr(long_text, "e has"));
}

static void test_zone_host_retry(void **state)
{
    (void) state;
    HostState hosts[] = { host("vm1", 24, 4), host("vm2", 24, 0) };
    const char *avoid[] = { "vm2", NULL };
    Demand d = { .vcpus = 1, .memory_mb = 64, .host = "vm1" };
    assert_int_equal(scheduler_pick(&d, hosts, 2, NULL, NULL), 0);
    d.host = NULL;
    d.avoid = avoid;
    assert_int_equal(scheduler_pick(&d, hosts, 2, NULL, NULL), 0);
    d.narrow = (const char *const[]){ "vm1", NULL };
    g_autofree char *narrow = refusal(&d, hosts, 2);
    assert_string_equal(narrow, "no host can take the server: vm1 has not the bandwidth or packet rate left that minimum rules promise, vm2 is ruled out "
                                "(tried before, or by a scheduler hint); promise less, or delete servers that are promised it");
    d.zone = "moon";
    g_autofree char *zone = refusal(&d, hosts, 2);
    assert_string_equal(zone, "no host can take the server: vm1 is in zone nova, not moon, vm2 is in zone nova, not moon; ask for another zone or "
                              "host, or have one enabled and started");
    g_autofree char *none = refusal(&d, hosts, 0);
    assert_string_equal(none, "no host has reported yet: start an agent");
}

static void test_physical_networks(void **state)
{
    (void) state;
    HostState hosts[] = { host("vm1", 24, 0), host("vm2", 24, 8), host("vm3", 24, 20) };
    g_autoptr(json_t) none = json_array(), lab = json_parse_trusted("[\"lab\"]"), both = json_parse_trusted("[\"wan\", \"lab\"]"), why = NULL;
    Demand d = { .vcpus = 1, .memory_mb = 512, .disk_gb = 1, .physical = lab };
    hosts[0].physical = none;
    hosts[1].physical = lab;
    hosts[2].physical = both;
    assert_int_equal(scheduler_pick(&d, hosts, 3, &why, NULL), 1);
    assert_string_equal(json_get_str(json_array_get(why, 0), "filter"), "physical");
    assert_string_equal(json_get_str(json_array_get(why, 0), "reason"), "has no interface on the physical network lab");
    d.physical = both;
    assert_int_equal(scheduler_pick(&d, hosts, 3, NULL, NULL), 2);
    d.physical = none;
    assert_int_equal(scheduler_pick(&d, hosts, 3, NULL, NULL), 0);
    d.physical = NULL;
    assert_int_equal(scheduler_pick(&d, hosts, 3, NULL, NULL), 0);
    d.physical = both;
    g_autofree char *text = refusal(&d, hosts, 2);
    assert_string_equal(text, "no host can take the server: vm1 has no interface on the physical network wan, vm2 has no interface on the physical network wan; "
                              "use another network, or have network.physical of a host name an interface");
    /* What is short on the one host that is on it is said first. */
    d.memory_mb = 64 * 1024;
    d.physical = lab;
    g_autofree char *room = refusal(&d, hosts, 2);
    assert_string_equal(room, "no host has 64 GiB of memory free: vm2 has 16 of 24 GiB free, vm1 has no interface on the physical network lab; "
                              "use a smaller flavor, delete servers or add a host");
    /* One that has said nothing yet is not ruled out. */
    d.memory_mb = 512;
    hosts[0].physical = NULL;
    assert_int_equal(scheduler_pick(&d, hosts, 1, NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spreads),
        cmocka_unit_test(test_exact_fit_and_overcommit),
        cmocka_unit_test(test_sentence_names_hosts),
        cmocka_unit_test(test_zone_host_retry),
        cmocka_unit_test(test_physical_networks),
    };
    return cmocka_run_group_tests_name("scheduler", tests, NULL, NULL);
}
