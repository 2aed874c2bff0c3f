"""tests/http/test_network_ops.py -- what a change of rows makes of a host: the stand-in agent's world is read, damaged and compared."""
import json
import os
import unittest

from test_compute import Base as ComputeBase
from test_network import N
from world import World


class Operations(World, ComputeBase):
    def test_server_to_world(self):
        sid, port = self.boot(name="Web 1")
        there = self.world("ports")[port["id"]]
        address = port["fixed_ips"][0]["ip_address"]
        self.assertEqual((there["mac"], there["addresses"], there["port_security"], there["up"]), (port["mac_address"], [address], True, True))
        self.assertEqual((port["status"], port["device_owner"], port["dns_name"]), ("ACTIVE", "compute:nova", "web-1"))
        entry = {p["id"]: p for p in self.world("networks")[port["network_id"]]["dhcp"]["ports"]}[port["id"]]
        self.assertEqual((entry["hostname"], entry["ips"]), ("web-1", [address]))
        group = self.world("groups")[port["security_groups"][0]]
        self.assertIn(address, group["members4"])
        self.demo.delete("/compute/v2.1/servers/" + sid)
        self.becomes(lambda: port["id"] not in self.world("ports"), "the tap gone")
        self.becomes(lambda: address not in self.world("groups").get(port["security_groups"][0], {"members4": []})["members4"], "the member gone")
        ports = lambda: self.world("networks").get(port["network_id"], {"dhcp": {"ports": []}})["dhcp"]["ports"]
        self.becomes(lambda: port["id"] not in {p["id"] for p in ports()}, "the lease gone")

    def test_counters_of_rules(self):
        g = self.ok(self.demo.post(N + "security-groups", {"security_group": {"name": "counted"}}), 201)["security_group"]
        rule = {"security_group_id": g["id"], "direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
        rule = self.ok(self.demo.post(N + "security-group-rules", {"security_group_rule": rule}), 201)["security_group_rule"]
        counters = lambda: self.ok(self.demo.get(N + "security-groups/%s/counters" % g["id"]), 200)["counters"]
        self.assertEqual({(r["packets"], r["bytes"]) for r in counters()["rules"]}, {(0, 0)})
        self.boot(security_groups=[{"name": "counted"}])
        shown = counters()
        self.assertEqual((shown["hosts"], shown["complete"], len(shown["rules"])), (1, True, 3))
        mine = [r for r in shown["rules"] if r["id"] == rule["id"]][0]
        self.assertEqual((mine["packets"], mine["bytes"], mine["direction"], mine["protocol"], mine["port_range_max"]), (3, 300, "ingress", "tcp", 22))
        self.assertEqual(self.cloud.new_tenant().get(N + "security-groups/%s/counters" % g["id"]).status, 404)

    def test_floating_address_of_a_server(self):
        public = self.ok(self.demo.get(N + "networks?router:external=true"), 200)["networks"][0]["id"]
        n = self.make_network(self.demo, "10.71.0.0/24")
        subnet = self.ok(self.demo.get(N + "networks/" + n), 200)["network"]["subnets"][0]
        r = self.ok(self.demo.post(N + "routers", {"router": {"external_gateway_info": {"network_id": public}}}), 201)["router"]["id"]
        self.ok(self.demo.put(N + "routers/%s/add_router_interface" % r, {"subnet_id": subnet}), 200)
        sid, port = self.boot(networks=[{"uuid": n}])
        f = self.ok(self.demo.post(N + "floatingips", {"floatingip": {"floating_network_id": public, "port_id": port["id"]}}), 201)["floatingip"]
        shown = [a for many in self.show(sid)["addresses"].values() for a in many]
        self.assertEqual([(a["addr"], a["OS-EXT-IPS:type"], a["OS-EXT-IPS-MAC:mac_addr"]) for a in shown],
                         [(port["fixed_ips"][0]["ip_address"], "fixed", port["mac_address"]), (f["floating_ip_address"], "floating", port["mac_address"])])
        self.demo.delete("/compute/v2.1/servers/" + sid)
        self.becomes(lambda: self.ok(self.demo.get(N + "floatingips/" + f["id"]), 200)["floatingip"]["port_id"] is None, "the floating IP free")
        self.becomes(lambda: self.world("routers")[r]["floating"] == [], "its translation gone")
        self.assertEqual(self.demo.delete(N + "floatingips/" + f["id"]).status, 204)
        self.ok(self.demo.put(N + "routers/%s/remove_router_interface" % r, {"subnet_id": subnet}), 200)
        self.assertEqual(self.demo.delete(N + "routers/" + r).status, 204)
        self.becomes(lambda: r not in self.world("routers") and n not in self.world("networks"), "nothing of it left")

    def test_idle_goes(self):
        n = self.make_network(self.demo, "10.77.0.0/24")
        g = self.ok(self.demo.post(N + "security-groups", {"security_group": {"name": "idle"}}), 201)["security_group"]["id"]
        sid, port = self.boot(networks=[{"uuid": n}], security_groups=[{"name": "idle"}])
        self.assertIn(g, self.world("groups"))
        self.demo.delete("/compute/v2.1/servers/" + sid)
        self.becomes(lambda: n not in self.world("networks") and g not in self.world("groups"), "nothing of it left")
        sid, port = self.boot(networks=[{"uuid": n}], security_groups=[{"name": "idle"}])
        self.assertTrue(n in self.world("networks") and g in self.world("groups"))
        self.demo.delete("/compute/v2.1/servers/" + sid)

    def test_rule_reaches_host(self):
        sid, port = self.boot()
        g = port["security_groups"][0]
        body = {"security_group_id": g, "direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
        rule = self.ok(self.demo.post(N + "security-group-rules", {"security_group_rule": body}), 201)["security_group_rule"]["id"]
        ids = lambda: {r["id"] for r in self.world("groups")[g]["rules"]}
        self.becomes(lambda: rule in ids(), "the rule")
        self.demo.delete(N + "security-group-rules/" + rule)
        self.becomes(lambda: rule not in ids(), "the rule gone")
        self.demo.delete("/compute/v2.1/servers/" + sid)

    def test_remote_group_reaches_host(self):
        sid, port = self.boot()
        other = self.ok(self.demo.post(N + "security-groups", {"security_group": {"name": "remote"}}), 201)["security_group"]["id"]
        body = {"security_group_id": port["security_groups"][0], "direction": "ingress", "remote_group_id": other}
        self.ok(self.demo.post(N + "security-group-rules", {"security_group_rule": body}), 201)
        self.becomes(lambda: other in self.world("groups"), "the remote group")
        self.assertEqual(self.demo.delete(N + "security-groups/" + other).status, 204)
        self.becomes(lambda: other not in self.world("groups"), "the remote group gone")
        self.demo.delete("/compute/v2.1/servers/" + sid)

    def test_pairs_are_members_too(self):
        sid, port = self.boot()
        pairs = ["10.1.0.240", "10.1.0.241/32", "10.1.0.248/30", "fd00::5/128"]
        self.ok(self.demo.put(N + "ports/" + port["id"], {"port": {"allowed_address_pairs": [{"ip_address": a} for a in pairs]}}), 200)
        group = lambda: self.world("groups")[port["security_groups"][0]]
        self.becomes(lambda: set(pairs[:3]) <= set(group()["members4"]) and group()["members6"] == pairs[3:], "the members")
        self.demo.delete("/compute/v2.1/servers/" + sid)

    def test_a_port_that_is_down_from_the_beginning(self):
        p = self.ok(self.demo.post(N + "ports", {"port": {"network_id": self.network, "admin_state_up": False}}), 201)["port"]
        sid, port = self.boot(networks=[{"port": p["id"]}])
        self.assertEqual(port["status"], "DOWN")
        self.ok(self.demo.put(N + "ports/" + p["id"], {"port": {"admin_state_up": True}}), 200)
        self.becomes(lambda: self.demo.get(N + "ports/" + p["id"]).json["port"]["status"] == "ACTIVE", "the port up")
        self.demo.delete("/compute/v2.1/servers/" + sid)

    def test_port_changes_reach_host(self):
        sid, port = self.boot()
        path = N + "ports/" + port["id"]
        new = "10.1.0.200"
        self.ok(self.demo.put(path, {"port": {"fixed_ips": [{"ip_address": new}]}}), 200)
        self.becomes(lambda: self.world("ports")[port["id"]]["addresses"] == [new], "the address")
        self.becomes(lambda: new in self.world("groups")[port["security_groups"][0]]["members4"], "the member")
        self.ok(self.demo.put(path, {"port": {"security_groups": [], "allowed_address_pairs": [{"ip_address": "10.1.0.250"}]}}), 200)
        self.becomes(lambda: self.world("ports")[port["id"]]["pairs"][0]["ip"] == "10.1.0.250", "the pair")
        self.ok(self.demo.put(path, {"port": {"allowed_address_pairs": [], "port_security_enabled": False}}), 200)
        self.becomes(lambda: self.world("ports")[port["id"]]["port_security"] is False, "port security off")
        self.ok(self.demo.put(path, {"port": {"admin_state_up": False}}), 200)
        self.becomes(lambda: self.world("ports")[port["id"]]["up"] is False, "the port down")
        status = lambda: self.demo.get(path).json["port"]["status"]
        self.becomes(lambda: status() == "DOWN", "its status")
        self.ok(self.demo.put(path, {"port": {"admin_state_up": True}}), 200)
        self.becomes(lambda: status() == "ACTIVE", "the port up")
        self.demo.delete("/compute/v2.1/servers/" + sid)

    def test_subnet_changes_reach_host(self):
        n = self.make_network(self.demo, "10.44.0.0/24")
        sid, port = self.boot(networks=[{"uuid": n}])
        s = port["fixed_ips"][0]["subnet_id"]
        self.ok(self.demo.put(N + "subnets/" + s, {"subnet": {"dns_nameservers": ["9.9.9.9"]}}), 200)
        self.becomes(lambda: self.world("networks")[n]["dhcp"]["subnets"][0]["dns"] == ["9.9.9.9"], "the name server")
        self.demo.delete("/compute/v2.1/servers/" + sid)
        self.cloud.wait(lambda: self.demo.delete(N + "networks/" + n).status == 204, what="the network free")
        self.becomes(lambda: n not in self.world("networks"), "the network gone")

    def test_claimed_port_survives(self):
        p = self.ok(self.demo.post(N + "ports", {"port": {"network_id": self.network, "name": "kept"}}), 201)["port"]
        sid, port = self.boot(networks=[{"port": p["id"]}])
        self.assertEqual(port["id"], p["id"])
        r = self.demo.post("/compute/v2.1/servers", self.body(networks=[{"port": p["id"]}]))
        self.assertEqual(r.status, 409, r)
        self.demo.delete("/compute/v2.1/servers/" + sid)
        free = lambda: (lambda x: not x["device_id"] and x)(self.demo.get(N + "ports/" + p["id"]).json["port"])
        left = self.cloud.wait(free, what="the port free")
        self.assertEqual((left["device_owner"], left["status"], left["fixed_ips"]), ("", "DOWN", p["fixed_ips"]))
        self.assertEqual(self.demo.delete(N + "ports/" + p["id"]).status, 204)

    def test_foreign_device_id_is_only_text(self):
        sid, port = self.boot()
        other = self.cloud.new_tenant()
        n = self.make_network(other, "10.55.0.0/24")
        self.ok(other.post(N + "ports", {"port": {"network_id": n, "device_id": sid, "device_owner": "compute:nova"}}), 201)
        self.assertEqual([len(v) for v in self.ok(self.demo.get("/compute/v2.1/servers/%s/ips" % sid), 200)["addresses"].values()], [1])
        self.assertEqual([len(v) for v in self.show(sid)["addresses"].values()], [1])
        self.demo.delete("/compute/v2.1/servers/" + sid)

    def test_foreign_port_and_network(self):
        other = self.cloud.new_tenant()
        n = self.make_network(other, "10.66.0.0/24")
        p = self.ok(other.post(N + "ports", {"port": {"network_id": n}}), 201)["port"]["id"]
        g = self.ok(other.post(N + "security-groups", {"security_group": {"name": "theirs"}}), 201)["security_group"]["id"]
        for extra in ({"networks": [{"uuid": n}]}, {"networks": [{"port": p}]}, {"security_groups": [{"name": g}]}, {"security_groups": [{"name": "theirs"}]}):
            r = self.demo.post("/compute/v2.1/servers", self.body(**extra))
            self.assertIn(r.status, (400, 404), (extra, r))

    def test_a_tenants_port_is_for_his_own_servers(self):
        """The owner of a shared network sees the ports of others on it, and an administrator all; their addresses and rules are not theirs to use."""
        other = self.cloud.new_tenant()
        n = self.make_network(self.demo, "10.67.0.0/24")
        share = {"rbac_policy": {"object_type": "network", "object_id": n, "action": "access_as_shared", "target_tenant": other.project_id}}
        self.ok(self.demo.post(N + "rbac-policies", share), 201)
        p = self.ok(other.post(N + "ports", {"port": {"network_id": n}}), 201)["port"]["id"]
        for who in (self.demo, self.admin):
            r = who.post("/compute/v2.1/servers", self.body(networks=[{"port": p}]))
            self.assertEqual((r.status, "not usable" in r.message), (400, True), r)
        self.assertEqual(self.ok(other.get(N + "ports/" + p), 200)["port"]["device_id"], "")


    def test_a_guest_on_a_shared_network_widens_nothing(self):    # NET-14
        n, other = self.make_network(self.demo, "10.68.0.0/24"), self.cloud.new_tenant()
        share = {"rbac_policy": {"object_type": "network", "object_id": n, "action": "access_as_shared", "target_tenant": other.project_id}}
        self.ok(self.demo.post(N + "rbac-policies", share), 201)
        subnet = self.ok(self.demo.get(N + "networks/" + n), 200)["network"]["subnets"][0]
        sid = self.create(other, networks=[{"uuid": n}], imageRef=self.make_image(other))
        self.settled(sid, client=other)
        port = self.ok(other.get(N + "ports?device_id=" + sid), 200)["ports"][0]
        path, before = N + "ports/" + port["id"], self.becomes(lambda: self.world("ports")[port["id"]], "the port on the host")
        for attrs in ({"mac_address": "fa:16:3e:12:34:56"}, {"fixed_ips": [{"subnet_id": subnet, "ip_address": "10.68.0.1"}]},
                      {"fixed_ips": [{"ip_address": "10.68.0.77"}]}, {"port_security_enabled": False}, {"allowed_address_pairs": [{"ip_address": "0.0.0.0/0"}]},
                      {"allowed_address_pairs": [{"ip_address": "10.68.0.1"}]}, {"device_owner": "network:dhcp"}, {"device_owner": "network:router_interface"},
                      {"binding:host_id": "elsewhere"}, {"binding:profile": {"x": "y"}}, {"binding:vnic_type": "direct"}):
            reply = other.put(path, {"port": attrs})
            self.assertIn(reply.status, (400, 403), (attrs, reply))
            self.assertEqual(self.world("ports")[port["id"]], before, attrs)
        self.assertEqual({**self.ok(other.get(path), 200)["port"], "updated_at": None}, {**port, "updated_at": None})
        self.remove(sid, other)


class Repairs(World, ComputeBase):
    def test_missing_and_stray(self):
        sid, port = self.boot()
        for folder, name in (("ports", port["id"]), ("groups", port["security_groups"][0]), ("networks", port["network_id"])):
            os.unlink("%s/%s/%s" % (self.cloud.world, folder, name))
        stray = "abcdefab-cdef-4000-8000-000000000001"
        for folder in ("ports", "groups", "networks"):
            with open("%s/%s/%s" % (self.cloud.world, folder, stray), "w") as f:
                json.dump({"id": stray}, f)
        for folder, name in (("networks", port["network_id"]), ("groups", port["security_groups"][0]), ("ports", port["id"])):
            self.becomes(lambda: name in self.world(folder), folder + " back")
            self.becomes(lambda: not [x for x in self.world(folder) if x.startswith("abcdefab-cdef")], folder + " without the stray")
        self.demo.delete("/compute/v2.1/servers/" + sid)
        self.becomes(lambda: port["id"] not in self.world("ports"), "the tap gone")

    def test_agent_that_lost_everything(self):
        sid, port = self.boot()
        self.cloud.kill_agent()
        for folder, name in (("ports", port["id"]), ("networks", port["network_id"])):
            os.unlink("%s/%s/%s" % (self.cloud.world, folder, name))
        rule = {"security_group_id": port["security_groups"][0], "direction": "ingress", "protocol": "udp"}
        made = self.ok(self.demo.post(N + "security-group-rules", {"security_group_rule": rule}), 201)["security_group_rule"]["id"]
        self.cloud.start_agent()
        self.becomes(lambda: port["id"] in self.world("ports"), "the port back")
        self.becomes(lambda: made in {r["id"] for r in self.world("groups")[port["security_groups"][0]]["rules"]}, "the rule made meanwhile")
        self.demo.delete("/compute/v2.1/servers/" + sid)
        self.becomes(lambda: port["id"] not in self.world("ports"), "the tap gone")


del ComputeBase

if __name__ == "__main__":
    unittest.main()
