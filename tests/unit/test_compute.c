/* tests/unit/test_compute.c -- status names, host names, checks of bodies, SSH keys, and what guests read about themselves. */
#include "compute/internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

static void test_status(void **state)
{
    (void) state;
    g_autoptr(GPtrArray) vm = g_ptr_array_new(), tasks = g_ptr_array_new();
    assert_string_equal(server_status("active", NULL), "ACTIVE");
    assert_string_equal(server_status("active", "powering-off"), "ACTIVE");
    assert_string_equal(server_status("active", "rebooting_hard"), "HARD_REBOOT");
    assert_string_equal(server_status("stopped", NULL), "SHUTOFF");
    assert_string_equal(server_status("building", "spawning"), "BUILD");
    assert_string_equal(server_status("nonsense", NULL), "UNKNOWN");
    assert_true(server_states_of_status("shutoff", vm, tasks));
    assert_int_equal(vm->len, 1);
    assert_string_equal(vm->pdata[0], "stopped");
    assert_string_equal(tasks->pdata[0], "default");
    assert_true(server_states_of_status("REBUILD", vm, tasks));
    assert_int_equal(vm->len, 3);
    assert_false(server_states_of_status("no-such", vm, tasks));
}

static void test_hostname(void **state)
{
    (void) state;
    static const struct { const char *name, *hostname; } rows[] = {
        { "web-1", "web-1" }, { "My Server_2", "my-server-2" }, { "--x--", "x" }, { "a.b.c", "a-b-c" }, { "\xe6\xbc\xa2\xe5\xad\x97", "server-42" },
        { "x</name><devices>", "xnamedevices" }, { "a\nfa:16:3e:0:0:1,10.0.0.9", "afa163e00110-0-0-9" },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *h = server_hostname_of(rows[i].name, "42");
        assert_string_equal(h, rows[i].hostname);
    }
    g_autofree char *long_name = g_strnfill(255, 'a'), *h = server_hostname_of(long_name, "42");
    assert_int_equal(strlen(h), 63);
}

static bool accepts(Check *check, const void *arg, const char *json)
{
    const Field field = { .json = "field", .arg = arg };
    g_autoptr(json_t) v = json_parse_trusted(json);
    g_autoptr(GError) err = NULL;
    assert_non_null(v);
    bool ok = check(&field, v, &err);
    assert_int_equal(ok, err == NULL);
    return ok;
}

static void test_checks(void **state)
{
    (void) state;
    static const Range count = { 1, 100 }, data = { 0, 8 };
    assert_true(accepts(check_nova_name, NULL, "\"a b\""));
    assert_true(accepts(check_nova_name, NULL, "\"\xe6\xbc\xa2\""));
    assert_false(accepts(check_nova_name, NULL, "\"\""));
    assert_false(accepts(check_nova_name, NULL, "\" a\""));
    assert_false(accepts(check_nova_name, NULL, "\"a\\u0001b\""));
    assert_false(accepts(check_nova_name, NULL, "\"a\\r\\nb\""));
    assert_false(accepts(check_nova_name, NULL, "12"));
    assert_true(accepts(check_flexible_int, &count, "7"));
    assert_true(accepts(check_flexible_int, &count, "\"7\""));
    assert_false(accepts(check_flexible_int, &count, "\"7x\""));
    assert_false(accepts(check_flexible_int, &count, "0"));
    assert_false(accepts(check_flexible_int, &count, "2147483648"));
    assert_false(accepts(check_flexible_int, &count, "1.5"));
    assert_true(accepts(check_base64, &data, "\"YWJj\""));
    assert_true(accepts(check_base64, &data, "\"YWI=\\n\""));
    assert_false(accepts(check_base64, &data, "\"YWJ\""));
    assert_false(accepts(check_base64, &data, "\"Y=Jj\""));
    assert_false(accepts(check_base64, &data, "\"YWJjYWJjYWJj\""));
    assert_false(accepts(check_base64, &data, "\"#!sh\""));
    assert_true(accepts(check_metadata, NULL, "{\"a-_:. 9\": \"v\"}"));
    assert_false(accepts(check_metadata, NULL, "{\"a\\r\\nb\": \"v\"}"));
    assert_false(accepts(check_metadata, NULL, "{\"\": \"v\"}"));
    assert_false(accepts(check_metadata, NULL, "{\"a\": 1}"));
    assert_true(accepts(check_bool_text, NULL, "\"Yes\""));
    assert_false(accepts(check_bool_text, NULL, "\"maybe\""));
    assert_true(accepts(check_ipv4, NULL, "\"10.0.0.1\""));
    assert_false(accepts(check_ipv4, NULL, "\"::1\""));
    assert_true(accepts(check_ipv6, NULL, "\"::1\""));
}

static void test_sshkey(void **state)
{
    (void) state;
    g_autofree char *public = NULL, *private = NULL, *print = NULL, *other = NULL;
    sshkey_generate("test", &public, &private);
    assert_true(g_str_has_prefix(public, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI"));
    assert_true(g_str_has_prefix(private, "-----BEGIN OPENSSH PRIVATE KEY-----\n"));
    assert_true(sshkey_check(public, &print, NULL));
    assert_int_equal(strlen(print), 47);
    static const char *const bad[] = { "", "ssh-rsa", "ssh-rsa AAAA", "ssh-ed25519 !!!!", "not-a-type AAAAB3NzaC1yc2EAAAADAQABAAAAgQ==",
                                       "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw" };
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;
        assert_false(sshkey_check(bad[i], &other, &err));
        assert_int_equal(nv_error_code(err), NV_ERR_INVALID);
    }
    g_autofree char *two = g_strconcat(public, "\n", public, NULL);
    assert_false(sshkey_check(two, &other, NULL));
    g_autofree char *cut = g_strndup(public, strlen(public) - 12);
    assert_false(sshkey_check(cut, &other, NULL));
}

static Server *sample(void)
{
    Server *s = (Server *) row_new(&server_resource);
    ROW_SET_STR(s, id, "11111111-2222-4333-8444-555555555555");
    ROW_SET_STR(s, project_id, "p1");
    ROW_SET_STR(s, name, "Web 1");
    ROW_SET_STR(s, hostname, "web-1");
    ROW_SET_STR(s, zone, "nova");
    ROW_SET_STR(s, flavor_name, "m1.tiny");
    ROW_SET_STR(s, image_id, "aaaaaaaa-2222-4333-8444-555555555555");
    ROW_SET_STR(s, reservation_id, "r-1");
    ROW_SET_STR(s, key_name, "mykey");
    ROW_SET_STR(s, key_type, "ssh");
    ROW_SET_STR(s, key_data, "ssh-ed25519 AAAA");
    ROW_SET_JSON(s, metadata, json_make("s", "role", "<b>web</b>"));
    return s;
}

static char *ec2(const GuestData *g, const char *version, const char *path)
{
    gsize len = 0;
    char *text = metadata_ec2(g, version, path, &len);
    if (text)
        assert_int_equal(len, strlen(text));
    return text;
}

static void check_ec2(const GuestData *g, const char *version, const char *path, const char *want)
{
    g_autofree char *text = ec2(g, version, path);
    if (!want)
        assert_null(text);
    else {
        assert_non_null(text);
        assert_string_equal(text, want);
    }
}

static json_t *sample_nics(void)
{
    return json_parse_trusted("[{\"id\": \"x\", \"mac\": \"fa:16:3e:00:00:01\", \"tag\": \"front\","
                              " \"addresses\": [{\"ip\": \"10.0.0.5\", \"version\": 4, \"type\": \"fixed\"}, {\"ip\": \"172.24.4.9\", \"version\": 4, \"type\": \"floating\"}],"
                              " \"groups\": [{\"id\": \"g\", \"name\": \"default\"}]}]");
}

static void test_ec2(void **state)
{
    (void) state;
    g_autoptr(Server) s = sample();
    g_autoptr(json_t) nics = sample_nics();
    GuestData g = { .server = s, .nics = nics };
    check_ec2(&g, "latest", "", "meta-data/");
    check_ec2(&g, "latest", "user-data", NULL);
    check_ec2(&g, "latest", "meta-data/instance-id", "i-11111111");
    check_ec2(&g, "latest", "meta-data/local-ipv4", "10.0.0.5");
    check_ec2(&g, "latest", "meta-data/public-ipv4", "172.24.4.9");
    check_ec2(&g, "latest", "meta-data/public-keys", "0=mykey");
    check_ec2(&g, "latest", "meta-data/public-keys/", "0=mykey");
    check_ec2(&g, "latest", "meta-data/public-keys/0", "openssh-key");
    check_ec2(&g, "latest", "meta-data/public-keys/0/openssh-key", "ssh-ed25519 AAAA");
    check_ec2(&g, "latest", "meta-data/public-keys/0/_name", NULL);
    check_ec2(&g, "latest", "meta-data/placement/availability-zone", "nova");
    check_ec2(&g, "latest", "meta-data/security-groups", "default");
    check_ec2(&g, "2007-01-19", "meta-data/instance-type", NULL);
    check_ec2(&g, "1999-01-01", "meta-data/instance-id", NULL);
    check_ec2(&g, "latest", "meta-data/../../../etc/passwd", NULL);
    check_ec2(&g, "latest", "meta-data/role", NULL);
    g.user_data = "IyEvYmlu\nL3No";
    check_ec2(&g, "latest", "", "meta-data/\nuser-data");
    check_ec2(&g, "latest", "user-data", "#!/bin/sh");
}

static void test_openstack(void **state)
{
    (void) state;
    g_autoptr(Server) s = sample();
    g_autoptr(json_t) nics = sample_nics(), network = json_make("o", "links", json_array());
    GuestData g = { .server = s, .nics = nics, .network_data = network };
    const char *type = NULL;
    gsize len;
    g_autofree char *text = metadata_openstack(&g, "latest", "meta_data.json", &len, &type), *old = metadata_openstack(&g, "2012-08-10", "meta_data.json", NULL, NULL);
    g_autoptr(json_t) m = json_parse_trusted(text), o = json_parse_trusted(old);
    assert_string_equal(type, "application/json");
    assert_string_equal(json_get_str(m, "uuid"), s->id);
    assert_string_equal(json_get_str(m, "hostname"), "web-1");
    assert_string_equal(json_get_str(json_object_get(m, "public_keys"), "mykey"), "ssh-ed25519 AAAA");
    assert_string_equal(json_get_str(json_object_get(m, "meta"), "role"), "<b>web</b>");
    assert_string_equal(json_get_str(json_array_get(json_object_get(m, "devices"), 0), "mac"), "fa:16:3e:00:00:01");
    assert_null(json_object_get(m, "admin_pass"));
    assert_null(json_object_get(o, "project_id"));
    assert_null(metadata_openstack(&g, "latest", "user_data", NULL, NULL));
    assert_null(metadata_openstack(&g, "2012-08-10", "network_data.json", NULL, NULL));
    assert_null(metadata_openstack(&g, "9999", "meta_data.json", NULL, NULL));
    g_autofree char *list = metadata_openstack(&g, "latest", "", NULL, NULL);
    assert_string_equal(list, "meta_data.json\npassword\nvendor_data.json\nnetwork_data.json\nvendor_data2.json");
}

static void test_drive(void **state)
{
    (void) state;
    g_autoptr(Server) s = sample();
    g_autoptr(json_t) nics = sample_nics(), network = json_object();
    GuestData g = { .server = s, .nics = nics, .network_data = network, .user_data = "YWJj", .admin_pass = "secret" };
    g_autoptr(json_t) files = metadata_drive(&g);
    static const char *const wanted[] = { "openstack/latest/meta_data.json", "openstack/latest/network_data.json", "openstack/latest/user_data",
                                          "openstack/latest/vendor_data2.json", "openstack/2012-08-10/meta_data.json", "ec2/latest/meta-data.json",
                                          "ec2/2009-04-04/user-data" };
    for (guint i = 0; i < G_N_ELEMENTS(wanted); i++)
        assert_non_null(json_object_get(files, wanted[i]));
    assert_null(json_object_get(files, "openstack/2012-08-10/network_data.json"));
    assert_string_equal(json_get_str(files, "openstack/latest/user_data"), "YWJj");
    gsize n;
    g_autofree char *meta = (char *) g_base64_decode(json_get_str(files, "openstack/latest/meta_data.json"), &n);
    g_autoptr(json_t) m = json_loadb(meta, n, 0, NULL);
    assert_string_equal(json_get_str(m, "admin_pass"), "secret");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status), cmocka_unit_test(test_hostname), cmocka_unit_test(test_checks), cmocka_unit_test(test_sshkey),
        cmocka_unit_test(test_ec2),    cmocka_unit_test(test_openstack), cmocka_unit_test(test_drive),
    };
    return cmocka_run_group_tests_name("compute", tests, NULL, NULL);
}
