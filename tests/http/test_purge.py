"""tests/http/test_purge.py -- a project with everything in it is deleted: by `nuvolet ctl project purge`, and by the calls that docs/IDENTITY.md lists."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib.cloud import Cloud  # noqa: E402

V, N, I, V3 = "/compute/v2.1", "/network/v2.0", "/image/v2", "/identity/v3"
# (list, key of the list): everything of these that carries the project's id.
LISTS = [(V + "/servers/detail?all_tenants=1", "servers", "tenant_id"), (I + "/images?limit=1000", "images", "owner")] + [
    ("%s/%s" % (N, path), path.replace("qos/", "").replace("-", "_"), "project_id") for path in
    ("floatingips", "routers", "trunks", "ports", "subnets", "networks", "security-groups", "subnetpools", "address-scopes", "address-groups", "qos/policies", "rbac-policies")]


class Purge(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cloud = Cloud(options={"identity.failed_logins": "1000", "log.level": "info", "network.public_cidr": "172.24.0.0/16"})
        cls.addClassCleanup(cls.cloud.stop)
        cls.admin = cls.cloud.login("admin")
        cls.public = cls.admin.get(N + "/networks?router:external=true").json["networks"][0]["id"]
        cls.flavor = [f["id"] for f in cls.admin.get(V + "/flavors").json["flavors"] if f["name"] == "m1.nano"][0]

    def ok(self, r, *statuses):
        self.assertIn(r.status, statuses or (200, 201, 202, 204), r)
        return r.json

    def post(self, who, path, key, **body):
        return self.ok(who.post(path, {key: body}), 200, 201, 202)[key]

    def furnish(self, t):
        """One of everything that a project can own."""
        image = self.ok(t.post(I + "/images", {"name": "i", "disk_format": "raw", "container_format": "bare"}))["id"]
        self.ok(t.call("PUT", "%s/images/%s/file" % (I, image), raw=b"x" * 65536, headers={"Content-Type": "application/octet-stream"}))
        net = self.post(t, N + "/networks", "network", name="n")["id"]
        sub = self.post(t, N + "/subnets", "subnet", network_id=net, cidr="10.9.0.0/24", ip_version=4)["id"]
        other = self.post(t, N + "/networks", "network", name="n2")["id"]
        self.post(t, N + "/subnets", "subnet", network_id=other, cidr="10.8.0.0/24", ip_version=4)
        group = self.post(t, N + "/security-groups", "security_group", name="g")["id"]
        self.post(t, N + "/security-group-rules", "security_group_rule", security_group_id=group, direction="ingress", remote_group_id=group)
        port = self.post(t, N + "/ports", "port", network_id=net, security_groups=[group])["id"]
        router = self.post(t, N + "/routers", "router", name="r", external_gateway_info={"network_id": self.public})["id"]
        self.ok(t.put("%s/routers/%s/add_router_interface" % (N, router), {"subnet_id": sub}))
        self.ok(t.put("%s/routers/%s" % (N, router), {"router": {"routes": [{"destination": "192.0.2.0/24", "nexthop": "10.9.0.77"}]}}))
        fip = self.post(t, N + "/floatingips", "floatingip", floating_network_id=self.public)["id"]
        self.post(t, "%s/floatingips/%s/port_forwardings" % (N, fip), "port_forwarding", internal_port_id=port, protocol="tcp", external_port=2222, internal_port=22,
                  internal_ip_address=[p["fixed_ips"][0]["ip_address"] for p in t.get(N + "/ports").json["ports"] if p["id"] == port][0])
        trunk_port, child = (self.post(t, N + "/ports", "port", network_id=n)["id"] for n in (net, other))
        self.post(t, N + "/trunks", "trunk", port_id=trunk_port, sub_ports=[{"port_id": child, "segmentation_type": "vlan", "segmentation_id": 7}])
        scope = self.post(t, N + "/address-scopes", "address_scope", name="s", ip_version=4)["id"]
        self.post(t, N + "/subnetpools", "subnetpool", name="p", prefixes=["10.99.0.0/16"], address_scope_id=scope)
        self.post(t, N + "/address-groups", "address_group", name="a", addresses=["192.0.2.1/32"])
        self.ok(self.admin.post(N + "/qos/policies", {"policy": {"name": "q", "project_id": t.project_id}}))
        self.post(t, N + "/rbac-policies", "rbac_policy", object_type="network", object_id=other, action="access_as_shared", target_tenant=self.admin.project_id)
        for networks in ([{"uuid": net}], "none"):
            server = self.post(t, V + "/servers", "server", name="s", flavorRef=self.flavor, imageRef=image, networks=networks)["id"]
        self.ok(self.admin.put("%s/os-quota-sets/%s" % (V, t.project_id), {"quota_set": {"cores": 9}}))
        self.ok(self.admin.put("%s/os-quota-sets/%s?user_id=%s" % (V, t.project_id, t.user_id), {"quota_set": {"cores": 5}}))
        self.ok(self.admin.put("%s/quotas/%s" % (N, t.project_id), {"quota": {"port": 99}}))
        self.post(t, V + "/os-keypairs", "keypair", name="k", public_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqfF3Yk5zK4m0m1s6hW6cJm5xJm2k6i4k8r5m1vQ0Zp x")
        self.post(t, "%s/users/%s/application_credentials" % (V3, t.user_id), "application_credential", name="a")
        self.ok(t.post("%s/users/%s/credentials/OS-EC2" % (V3, t.user_id), {"tenant_id": t.project_id}))
        self.cloud.wait(lambda: t.get("%s/servers/%s" % (V, server)).json["server"]["status"] == "ACTIVE", 20, "the server")

    def left(self, project):
        found = {}
        for path, key, owner in LISTS:
            rows = [r["id"] for r in self.ok(self.admin.get(path))[key] if r.get(owner) == project]
            if rows:
                found[key] = rows
        return found

    def check_gone(self, t):
        self.assertEqual(self.left(t.project_id), {})
        self.assertEqual(self.admin.get("%s/projects/%s" % (V3, t.project_id)).status, 404)
        self.assertEqual(t.get(V3 + "/auth/projects").status, 401)
        self.assertEqual(self.admin.get("%s/role_assignments?user.id=%s" % (V3, t.user_id)).json["role_assignments"], [])
        self.assertNotIn(t.project_id, [q["project_id"] for q in self.admin.get(N + "/quotas").json["quotas"]])
        self.assertEqual(self.admin.delete("%s/users/%s" % (V3, t.user_id)).status, 204)       # with his key pair and credentials
        self.cloud.wait(lambda: self.cloud.doctor() == "", 10, "a clean doctor")

    def test_by_the_operator(self):
        t, neighbour = self.cloud.new_tenant("doomed"), self.cloud.new_tenant("spared")
        self.furnish(t)
        self.furnish(neighbour)
        before = self.left(neighbour.project_id)
        r = self.admin.delete("%s/projects/%s" % (V3, t.project_id))
        self.assertEqual(r.status, 409)
        for thing in ("2 servers", "1 image", "2 networks", "2 subnets", "1 security group", "1 router", "1 floating IP", "1 trunk", "1 subnet pool", "1 address scope",
                      "1 address group"):
            self.assertIn(thing, r.message)
        self.assertEqual(self.admin.delete("%s/users/%s" % (V3, t.user_id)).status, 409)
        plan = self.cloud.ctl("project", "purge", "doomed")
        self.assertEqual(plan.returncode, 0, plan)
        kinds = [line[:15].strip() for line in plan.stdout.splitlines()[:-1]]
        for kind in ("server", "floating IP", "port forwarding", "router", "router port", "routes", "trunk", "port", "subnet", "network", "security group", "image"):
            self.assertIn(kind, kinds, plan.stdout)
        self.assertEqual(kinds[-1], "project")
        self.assertNotEqual(self.left(t.project_id), {})         # the plan is only a plan
        done = self.cloud.ctl("project", "purge", "doomed", "--yes")
        self.assertEqual((done.returncode, done.stdout.splitlines()[-1:]), (0, ["done"]), done)
        self.check_gone(t)
        self.assertEqual(self.left(neighbour.project_id), before)
        again = self.cloud.ctl("project", "purge", "doomed", "--yes")
        self.assertEqual((again.returncode, "there is no project" in again.stderr), (2, True), again)

    def test_by_the_calls_in_the_documentation(self):
        t, a = self.cloud.new_tenant(), self.admin
        self.furnish(t)
        mine = self.left(t.project_id)
        for s in mine["servers"]:
            self.ok(a.delete("%s/servers/%s" % (V, s)), 204)
        self.cloud.wait(lambda: all(a.get("%s/servers/%s" % (V, s)).status == 404 for s in mine["servers"]), 20, "servers gone")
        for f in mine["floatingips"]:
            for w in a.get("%s/floatingips/%s/port_forwardings" % (N, f)).json["port_forwardings"]:
                self.ok(a.delete("%s/floatingips/%s/port_forwardings/%s" % (N, f, w["id"])), 204)
            self.ok(a.delete("%s/floatingips/%s" % (N, f)), 204)
        for r in mine["routers"]:
            self.ok(a.put("%s/routers/%s" % (N, r), {"router": {"routes": []}}))
            for p in a.get("%s/ports?device_id=%s&device_owner=network:router_interface" % (N, r)).json["ports"]:
                self.ok(a.put("%s/routers/%s/remove_router_interface" % (N, r), {"port_id": p["id"]}))
            self.ok(a.delete("%s/routers/%s" % (N, r)), 204)
        for x in mine["trunks"]:
            self.ok(a.delete("%s/trunks/%s" % (N, x)), 204)
        for p in a.get("%s/ports?project_id=%s" % (N, t.project_id)).json["ports"]:
            if not p["device_owner"].startswith(("network:", "compute:")):
                self.ok(a.delete("%s/ports/%s" % (N, p["id"])), 204)
        for key, path in (("subnets", "subnets"), ("networks", "networks"), ("security_groups", "security-groups"), ("subnetpools", "subnetpools"),
                          ("address_scopes", "address-scopes"), ("address_groups", "address-groups"), ("policies", "qos/policies")):
            for x in mine[key]:
                default = key == "security_groups" and a.get("%s/security-groups/%s" % (N, x)).json["security_group"]["name"] == "default"
                if not default:
                    self.ok(a.delete("%s/%s/%s" % (N, path, x)), 204)
        for x in mine["images"]:
            self.ok(a.delete("%s/images/%s" % (I, x)), 204)
        self.ok(a.delete("%s/projects/%s" % (V3, t.project_id)), 204)
        self.check_gone(t)

    def test_what_stands_in_the_way_is_said(self):
        t = self.cloud.new_tenant("guarded")
        self.ok(t.post(I + "/images", {"name": "i", "protected": True}))
        r = self.cloud.ctl("project", "purge", "guarded", "--yes")
        self.assertEqual(r.returncode, 2)
        self.assertIn("403", r.stderr)
        image = self.left(t.project_id)["images"][0]
        self.ok(t.call("PATCH", I + "/images/" + image, raw=b'[{"op": "replace", "path": "/protected", "value": false}]',
                       headers={"Content-Type": "application/openstack-images-v2.1-json-patch"}))
        self.assertEqual(self.cloud.ctl("project", "purge", "guarded", "--yes").returncode, 0)
        self.assertEqual(self.admin.get("%s/projects/%s" % (V3, t.project_id)).status, 404)


if __name__ == "__main__":
    unittest.main()
