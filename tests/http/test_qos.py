"""tests/http/test_qos.py -- QoS policies and rules over HTTP: who sees, changes and uses them; what reaches the host."""
import unittest

from test_compute import Base as ComputeBase
from test_network import Base as NetworkBase, N
from world import World

POLICIES = N + "qos/policies"


class Help:
    def policy(self, **attrs):
        return self.ok(self.admin.post(POLICIES, {"policy": {"name": "p", **attrs}}), 201)["policy"]

    def rule(self, policy, kind, status=201, who=None, **attrs):
        reply = (who or self.admin).post("%s/%s/%s_rules" % (POLICIES, policy["id"], kind), {kind + "_rule": attrs})
        self.assertEqual(reply.status, status, reply)
        return reply.json.get(kind + "_rule")


class Policies(Help, NetworkBase):
    def test_life(self):
        p = self.policy(description="d")
        self.assertEqual((p["name"], p["shared"], p["is_default"], p["rules"], p["tags"], p["revision_number"]), ("p", False, False, [], [], 1))
        self.assertEqual(p["tenant_id"], p["project_id"])
        path = "qos/policies/" + p["id"]
        q = self.ok(self.admin.put(N + path, {"policy": {"name": "q", "shared": True}}), 200)["policy"]
        self.assertEqual((q["name"], q["shared"], q["revision_number"]), ("q", True, 2))
        self.assertEqual([x["id"] for x in self.ok(self.demo.get(POLICIES + "?name=q"), 200)["policies"]], [p["id"]])
        self.assertEqual(self.admin.put(N + path + "/tags/blue").status, 201)
        self.assertEqual([x["id"] for x in self.ok(self.demo.get(POLICIES + "?tags=blue"), 200)["policies"]], [p["id"]])
        self.assertEqual(self.admin.delete(N + path).status, 204)
        self.refuse(404, "GET", path)

    def test_only_administrators_change(self):
        mine = self.policy(project_id=self.demo.project_id)
        foreign = self.policy()
        rule = self.rule(mine, "bandwidth_limit", max_kbps=1000)
        self.refuse(403, "POST", "qos/policies", {"policy": {"name": "x"}})
        self.refuse(400, "POST", "qos/policies", {"policy": {"name": "x" * 256}})
        self.refuse(403, "PUT", "qos/policies/" + mine["id"], {"policy": {"name": "x"}})
        self.refuse(404, "PUT", "qos/policies/" + foreign["id"], {"policy": {"name": "x"}})
        self.refuse(403, "DELETE", "qos/policies/" + mine["id"])
        path = "qos/policies/%s/bandwidth_limit_rules" % mine["id"]
        self.refuse(403, "POST", path, {"bandwidth_limit_rule": {"max_kbps": 1}})
        self.refuse(403, "PUT", path + "/" + rule["id"], {"bandwidth_limit_rule": {"max_kbps": 1}})
        self.refuse(403, "DELETE", path + "/" + rule["id"])
        self.refuse(404, "PUT", path + "/" + rule["id"], {"bandwidth_limit_rule": {"max_kbps": 1}}, self.other)
        self.refuse(404, "GET", path, who=self.other)
        self.refuse(404, "GET", "qos/alias_bandwidth_limit_rules/" + rule["id"], who=self.other)
        self.assertEqual(self.ok(self.demo.get(N + path), 200)["bandwidth_limit_rules"][0]["id"], rule["id"])
        self.refuse(404, "POST", "networks", {"network": {"qos_policy_id": foreign["id"]}})
        self.refuse(400, "POST", "networks", {"network": {"qos_policy_id": "x"}})

    def test_rules(self):
        p, q = self.policy(), self.policy()
        out = self.rule(p, "bandwidth_limit", max_kbps=1000)
        self.assertEqual({k: out[k] for k in out if k != "id"}, {"max_kbps": 1000, "max_burst_kbps": 0, "direction": "egress"})
        self.rule(p, "bandwidth_limit", max_kbps="2000", max_burst_kbps=300, direction="ingress")
        self.rule(p, "bandwidth_limit", 409, max_kbps=5)
        self.rule(p, "bandwidth_limit", 409, max_kbps=5, direction="ingress")
        pps = self.rule(p, "packet_rate_limit", max_kpps=3)
        self.assertEqual({k: pps[k] for k in pps if k != "id"}, {"max_kpps": 3, "max_burst_kpps": 0, "direction": "egress"})
        self.rule(p, "packet_rate_limit", 409, max_kpps=3)
        mark = self.rule(p, "dscp_marking", dscp_mark=46)
        self.rule(p, "dscp_marking", 409, dscp_mark=8)
        for kind, bad in (("bandwidth_limit", {}), ("bandwidth_limit", {"max_kbps": -1}), ("bandwidth_limit", {"max_kbps": 2 ** 31}),
                          ("bandwidth_limit", {"max_kbps": 1, "direction": "up"}), ("bandwidth_limit", {"max_kbps": 1, "dscp_mark": 8}),
                          ("dscp_marking", {"dscp_mark": 1}), ("dscp_marking", {"dscp_mark": 64}), ("dscp_marking", {}), ("packet_rate_limit", {"max_kpps": "x"})):
            self.rule(q, kind, 400, **bad)
        self.refuse(404, "POST", "qos/policies/nowhere/dscp_marking_rules", {"dscp_marking_rule": {"dscp_mark": 8}}, self.admin)
        rules = self.ok(self.admin.get(POLICIES + "/" + p["id"]), 200)["policy"]["rules"]
        self.assertEqual(sorted(r["type"] for r in rules), ["bandwidth_limit", "bandwidth_limit", "dscp_marking", "packet_rate_limit"])
        self.assertEqual({r["qos_policy_id"] for r in rules}, {p["id"]})
        path = "qos/policies/%s/bandwidth_limit_rules" % p["id"]
        found = self.ok(self.admin.get(N + path + "?max_kbps=2000"), 200)["bandwidth_limit_rules"]
        self.assertEqual([r["direction"] for r in found], ["ingress"])
        self.refuse(409, "PUT", path + "/" + found[0]["id"], {"bandwidth_limit_rule": {"direction": "egress"}}, self.admin)
        changed = self.ok(self.admin.put(N + path + "/" + out["id"], {"bandwidth_limit_rule": {"max_kbps": 7}}), 200)["bandwidth_limit_rule"]
        self.assertEqual((changed["max_kbps"], changed["direction"]), (7, "egress"))
        self.refuse(404, "GET", "qos/policies/%s/bandwidth_limit_rules/%s" % (q["id"], out["id"]), who=self.admin)
        self.refuse(404, "PUT", "qos/policies/%s/dscp_marking_rules/%s" % (p["id"], out["id"]), {"dscp_marking_rule": {"dscp_mark": 8}}, self.admin)
        alias = "qos/alias_dscp_marking_rules/" + mark["id"]
        self.assertEqual(self.ok(self.admin.put(N + alias, {"alias_dscp_marking_rule": {"dscp_mark": 8}}), 200)["alias_dscp_marking_rule"]["dscp_mark"], 8)
        self.assertEqual(self.ok(self.admin.get(N + alias), 200)["alias_dscp_marking_rule"]["dscp_mark"], 8)
        self.assertEqual(self.admin.delete(N + alias).status, 204)
        self.refuse(404, "GET", alias, who=self.admin)
        self.assertEqual(self.admin.delete(N + path + "/" + out["id"]).status, 204)
        self.assertEqual(len(self.ok(self.admin.get(N + path), 200)["bandwidth_limit_rules"]), 1)
        self.assertGreater(self.ok(self.admin.get(POLICIES + "/" + p["id"]), 200)["policy"]["revision_number"], 4)
        self.assertEqual(self.admin.delete(POLICIES + "/" + p["id"]).status, 204)

    def test_use(self):
        p = self.policy(shared=True)
        n = self.network(qos_policy_id=p["id"])
        port = self.port(n)
        self.assertEqual((n["qos_policy_id"], port["qos_policy_id"], port["qos_network_policy_id"]), (p["id"], None, p["id"]))
        self.assertIn("is used by network " + n["id"], self.refuse(409, "DELETE", "qos/policies/" + p["id"], who=self.admin))
        also = self.network(qos_policy_id=p["id"])
        r = self.admin.delete(POLICIES + "/" + p["id"])
        self.assertEqual((r.status, r.json["NeutronError"]["type"]), (409, "QosPolicyInUse"))
        for used in (n, also):
            self.assertIn("network " + used["id"], r.message)
        self.assertEqual(self.demo.delete(N + "networks/" + also["id"]).status, 204)
        message = self.refuse(409, "PUT", "qos/policies/" + p["id"], {"policy": {"shared": False}}, self.admin)
        self.assertIn("In use by: %s." % n["id"], message)
        own = self.policy(shared=True)
        port = self.ok(self.demo.put(N + "ports/" + port["id"], {"port": {"qos_policy_id": own["id"]}}), 200)["port"]
        self.assertEqual((port["qos_policy_id"], port["qos_network_policy_id"]), (own["id"], p["id"]))
        self.assertEqual([x["id"] for x in self.ok(self.demo.get(N + "ports?qos_policy_id=" + own["id"]), 200)["ports"]], [port["id"]])
        self.assertIn("is used by port " + port["id"], self.refuse(409, "DELETE", "qos/policies/" + own["id"], who=self.admin))
        self.ok(self.demo.put(N + "networks/" + n["id"], {"network": {"qos_policy_id": None}}), 200)
        self.assertIsNone(self.ok(self.demo.get(N + "ports/" + port["id"]), 200)["port"]["qos_network_policy_id"])
        self.ok(self.admin.put(POLICIES + "/" + p["id"], {"policy": {"shared": False}}), 200)
        self.assertEqual(self.admin.delete(POLICIES + "/" + p["id"]).status, 204)

    def test_what_an_administrator_set_stays(self):
        p = self.policy()
        n = self.network()
        self.ok(self.admin.put(N + "networks/" + n["id"], {"network": {"qos_policy_id": p["id"]}}), 200)
        self.refuse(403, "PUT", "networks/" + n["id"], {"network": {"qos_policy_id": None}})
        self.ok(self.demo.put(N + "networks/" + n["id"], {"network": {"name": "x"}}), 200)
        self.assertEqual(self.port(n)["qos_network_policy_id"], p["id"])

    def test_default(self):
        project = self.other.project_id
        p = self.policy(project_id=project, is_default=True)
        self.refuse(409, "POST", "qos/policies", {"policy": {"project_id": project, "is_default": True, "name": "x"}}, self.admin)
        self.assertEqual(self.network(self.other)["qos_policy_id"], p["id"])
        self.assertIsNone(self.network()["qos_policy_id"])
        q = self.policy(project_id=project)
        self.assertEqual(self.network(self.other, qos_policy_id=q["id"])["qos_policy_id"], q["id"])
        self.ok(self.admin.put(POLICIES + "/" + p["id"], {"policy": {"is_default": False}}), 200)
        self.assertIsNone(self.network(self.other)["qos_policy_id"])

    def test_shared_with_a_project(self):
        p = self.policy()
        body = {"rbac_policy": {"object_type": "qos_policy", "object_id": p["id"], "action": "access_as_shared", "target_tenant": self.demo.project_id}}
        self.refuse(404, "GET", "qos/policies/" + p["id"])
        r = self.ok(self.admin.post(N + "rbac-policies", body), 201)["rbac_policy"]
        self.assertTrue(self.ok(self.demo.get(POLICIES + "/" + p["id"]), 200)["policy"]["shared"])
        self.refuse(404, "GET", "qos/policies/" + p["id"], who=self.other)
        n = self.network(qos_policy_id=p["id"])
        self.refuse(409, "DELETE", "rbac-policies/" + r["id"], who=self.admin)
        self.assertEqual(self.demo.delete(N + "networks/" + n["id"]).status, 204)
        self.assertEqual(self.admin.delete(N + "rbac-policies/" + r["id"]).status, 204)

    def test_types(self):
        types = [t["type"] for t in self.ok(self.demo.get(N + "qos/rule-types"), 200)["rule_types"]]
        self.assertEqual(sorted(types), ["bandwidth_limit", "dscp_marking", "minimum_bandwidth", "minimum_packet_rate", "packet_rate_limit"])
        self.refuse(403, "GET", "qos/rule-types/dscp_marking")
        self.refuse(404, "GET", "qos/rule-types/minimum_packets", who=self.admin)
        shown = self.ok(self.admin.get(N + "qos/rule-types/dscp_marking"), 200)["rule_type"]
        self.assertIn(46, shown["drivers"][0]["supported_parameters"][0]["parameter_values"])
        shown = self.ok(self.admin.get(N + "qos/rule-types/bandwidth_limit"), 200)["rule_type"]
        self.assertEqual([p["parameter_name"] for p in shown["drivers"][0]["supported_parameters"]], ["max_kbps", "max_burst_kbps", "direction"])


class OnTheHost(Help, World, ComputeBase):
    options = {**ComputeBase.options, "hosts.sync_s": "3600"}         # no comparison helps out

    def qos(self, port):
        return self.world("ports")[port["id"]].get("qos")

    def test_what_reaches_the_port(self):
        p = self.policy(shared=True)
        self.rule(p, "bandwidth_limit", max_kbps=5000, max_burst_kbps=400)
        _, port = self.boot()
        self.assertIsNone(self.qos(port))
        self.ok(self.admin.put(N + "networks/" + port["network_id"], {"network": {"qos_policy_id": p["id"]}}), 200)
        self.becomes(lambda: self.qos(port) == {"egress_kbps": 5000, "egress_burst_kb": 400}, "the network's policy on the port")
        mark = self.rule(p, "dscp_marking", dscp_mark=10)
        self.becomes(lambda: self.qos(port)["dscp"] == 10, "the new rule on the port")
        own = self.policy(shared=True)
        self.rule(own, "packet_rate_limit", max_kpps=2, direction="ingress")
        self.ok(self.demo.put(N + "ports/" + port["id"], {"port": {"qos_policy_id": own["id"]}}), 200)
        self.becomes(lambda: self.qos(port) == {"ingress_pps": 2000}, "the port's own policy")
        self.assertEqual(self.admin.delete("%s/%s/dscp_marking_rules/%s" % (POLICIES, p["id"], mark["id"])).status, 204)
        self.ok(self.demo.put(N + "ports/" + port["id"], {"port": {"qos_policy_id": None}}), 200)
        self.becomes(lambda: self.qos(port) == {"egress_kbps": 5000, "egress_burst_kb": 400}, "the network's again")
        self.ok(self.admin.put(N + "networks/" + port["network_id"], {"network": {"qos_policy_id": None}}), 200)
        self.becomes(lambda: self.qos(port) is None, "no limit")


class Promises(Help, World, ComputeBase):
    options = {**ComputeBase.options, "network.physical": "lab:;wan:", "hosts.sync_s": "3600"}
    agent_args = ("--physical", "lab", "--egress-kbps", "10000", "--kpps", "100")

    def refuse(self, status, method, path, body=None, who=None):
        r = (who or self.admin).call(method, N + path, body)
        self.assertEqual(r.status, status, (method, path, body, r))
        return r.message

    def flat(self, physical="lab", **attrs):
        body = {"provider:network_type": "vlan", "provider:physical_network": physical, "provider:segmentation_id": self.number(), "shared": True, **attrs}
        n = self.ok(self.admin.post(N + "networks", {"network": body}), 201)["network"]
        self.ok(self.admin.post(N + "subnets", {"subnet": {"network_id": n["id"], "ip_version": 4, "cidr": "10.9.0.0/24"}}), 201)
        return n

    @classmethod
    def number(cls):
        cls.last = getattr(cls, "last", 100) + 1
        return cls.last

    def test_rules(self):
        p = self.policy()
        path = "qos/policies/%s/minimum_bandwidth_rules" % p["id"]
        out = self.rule(p, "minimum_bandwidth", min_kbps=1000)
        self.assertEqual({k: out[k] for k in out if k != "id"}, {"min_kbps": 1000, "direction": "egress"})
        self.rule(p, "minimum_bandwidth", min_kbps=2000, direction="ingress")
        self.rule(p, "minimum_bandwidth", 409, min_kbps=3)
        for bad in ({}, {"min_kbps": -1}, {"min_kbps": 2 ** 31}, {"min_kbps": 1, "direction": "any"}, {"min_kbps": 1, "max_kbps": 1}):
            self.rule(p, "minimum_bandwidth", 400, **bad)
        self.assertIn("has value 2000", self.refuse(409, "POST", "qos/policies/%s/bandwidth_limit_rules" % p["id"], {"bandwidth_limit_rule": {"max_kbps": 1999}}))
        limit = self.rule(p, "bandwidth_limit", max_kbps=2000)
        self.assertIn("bandwidth_limit has value 2000", self.refuse(409, "PUT", path + "/" + out["id"], {"minimum_bandwidth_rule": {"min_kbps": 2001}}))
        self.refuse(409, "PUT", "qos/policies/%s/bandwidth_limit_rules/%s" % (p["id"], limit["id"]), {"bandwidth_limit_rule": {"max_kbps": 1}})
        changed = self.ok(self.admin.put(N + path + "/" + out["id"], {"minimum_bandwidth_rule": {"min_kbps": 7}}), 200)["minimum_bandwidth_rule"]
        self.assertEqual(changed["min_kbps"], 7)
        rules = self.ok(self.admin.get(POLICIES + "/" + p["id"]), 200)["policy"]["rules"]
        self.assertEqual(sorted((r["type"], r.get("min_kbps")) for r in rules),
                         [("bandwidth_limit", None), ("minimum_bandwidth", 7), ("minimum_bandwidth", 2000)])
        self.assertEqual(self.admin.delete(N + "qos/alias_minimum_bandwidth_rules/" + out["id"]).status, 204)
        self.refuse(404, "GET", path + "/" + out["id"])
        self.refuse(403, "POST", "qos/policies/%s/minimum_bandwidth_rules" % self.policy(shared=True)["id"], {"minimum_bandwidth_rule": {"min_kbps": 1}}, self.demo)
        shown = self.ok(self.admin.get(N + "qos/rule-types/minimum_bandwidth"), 200)["rule_type"]
        self.assertEqual([x["parameter_name"] for x in shown["drivers"][0]["supported_parameters"]], ["min_kbps", "direction"])

    def test_only_a_physical_network_can_keep_it(self):
        p, later = self.policy(shared=True), self.policy(shared=True)
        self.rule(p, "minimum_bandwidth", min_kbps=1)
        tunnel = self.ok(self.demo.post(N + "networks", {"network": {}}), 201)["network"]
        said = "Rule minimum_bandwidth is not supported by "
        self.assertIn(said + "network", self.refuse(409, "POST", "networks", {"network": {"qos_policy_id": p["id"]}}))
        self.assertIn(said + "network " + tunnel["id"], self.refuse(409, "PUT", "networks/" + tunnel["id"], {"network": {"qos_policy_id": p["id"]}}))
        self.assertIn(said + "port", self.refuse(409, "POST", "ports", {"port": {"network_id": tunnel["id"], "qos_policy_id": p["id"]}}, self.demo))
        port = self.ok(self.demo.post(N + "ports", {"port": {"network_id": tunnel["id"], "qos_policy_id": later["id"]}}), 201)["port"]
        self.assertIn(said + "port " + port["id"], self.refuse(409, "PUT", "ports/" + port["id"], {"port": {"qos_policy_id": p["id"]}}, self.demo))
        self.assertIn(said + "port " + port["id"], self.refuse(409, "POST", "qos/policies/%s/minimum_bandwidth_rules" % later["id"],
                                                               {"minimum_bandwidth_rule": {"min_kbps": 1}}))
        self.assertEqual(self.ok(self.admin.get(POLICIES + "/" + later["id"]), 200)["policy"]["rules"], [])
        n = self.flat(qos_policy_id=p["id"])
        self.assertEqual(n["qos_policy_id"], p["id"])

    def boot_on(self, n, status="ACTIVE"):
        sid = self.create(networks=[{"uuid": n["id"]}])
        self.settled(sid, status)
        ports = self.ok(self.admin.get(N + "ports?device_id=" + sid), 200)["ports"]
        return sid, ports[0] if ports else None

    def gone(self, *servers):
        for sid in servers:
            self.demo.delete("/compute/v2.1/servers/" + sid)
        self.cloud.wait(lambda: all(self.demo.get("/compute/v2.1/servers/" + s).status == 404 for s in servers), 10, "their end")

    def qos(self, port):
        return self.world("ports")[port["id"]].get("qos")

    def test_no_more_is_promised_than_there_is(self):
        p = self.policy(shared=True)
        rule = self.rule(p, "minimum_bandwidth", min_kbps=6000)
        self.rule(p, "minimum_bandwidth", min_kbps=10 ** 6, direction="ingress")     # nobody said how much there is
        path = N + "qos/policies/%s/minimum_bandwidth_rules/%s" % (p["id"], rule["id"])
        n, free = self.flat(qos_policy_id=p["id"]), self.flat()
        first, port = self.boot_on(n)
        self.becomes(lambda: self.qos(port) == {"egress_min_kbps": 6000, "physical": "lab"}, "the promise on the host")
        second, _ = self.boot_on(n, "ERROR")
        self.assertIn("has not the bandwidth or packet rate left", self.show(second)["fault"]["message"])
        other, wanting = self.boot_on(free)                                          # promised nothing
        self.assertIn("10000 kbit/s (egress) on physical network lab, and 12000", self.refuse(409, "PUT", "ports/" + wanting["id"], {"port": {"qos_policy_id": p["id"]}}))
        self.assertIn("20000 kbit/s would be", self.admin.put(path, {"minimum_bandwidth_rule": {"min_kbps": 20000}}).message)
        self.ok(self.admin.put(path, {"minimum_bandwidth_rule": {"min_kbps": 5000}}), 200)
        self.becomes(lambda: self.qos(port) == {"egress_min_kbps": 5000, "physical": "lab"}, "the new promise")
        third, _ = self.boot_on(n)
        self.assertIn("15000", self.refuse(409, "PUT", "ports/" + wanting["id"], {"port": {"qos_policy_id": p["id"]}}))
        self.refuse(409, "PUT", "networks/" + free["id"], {"network": {"qos_policy_id": p["id"]}})
        self.ok(self.admin.put(N + "ports/" + port["id"], {"port": {"qos_policy_id": self.policy(shared=True)["id"]}}), 200)
        self.becomes(lambda: self.qos(port) is None, "its own policy promises nothing")
        self.ok(self.admin.put(N + "ports/" + wanting["id"], {"port": {"qos_policy_id": p["id"]}}), 200)
        self.gone(first, second, third, other)

    def test_a_subports_promise_counts_as_its_servers(self):
        p = self.policy(shared=True)
        self.rule(p, "minimum_bandwidth", min_kbps=6000)
        n, free = self.flat(qos_policy_id=p["id"]), self.flat()
        port = lambda net: self.ok(self.demo.post(N + "ports", {"port": {"network_id": net["id"]}}), 201)["port"]["id"]
        sub = lambda: {"port_id": port(n), "segmentation_type": "vlan", "segmentation_id": 7}

        def boot_trunk(status, *subs):
            parent = port(free)
            trunk = self.ok(self.demo.post(N + "trunks", {"trunk": {"port_id": parent, "sub_ports": list(subs)}}), 201)["trunk"]
            sid = self.create(networks=[{"port": parent}])
            return trunk["id"], sid, self.settled(sid, status)
        promised, wanting = sub(), sub()
        _, first, _ = boot_trunk("ACTIVE", promised)
        self.becomes(lambda: self.qos({"id": promised["port_id"]}) == {"egress_min_kbps": 6000, "physical": "lab"}, "the promise on the host")
        second, _ = self.boot_on(n, "ERROR")                                         # what the subport has is gone
        _, third, shown = boot_trunk("ERROR", sub())                                 # what a subport wants must be there
        for fault in (shown["fault"], self.show(second)["fault"]):
            self.assertIn("has not the bandwidth or packet rate left", fault["message"])
        trunk, fourth, _ = boot_trunk("ACTIVE")
        self.assertIn("and 12000", self.refuse(409, "PUT", "trunks/%s/add_subports" % trunk, {"sub_ports": [wanting]}, self.demo))
        self.gone(first)
        self.ok(self.demo.put(N + "trunks/%s/add_subports" % trunk, {"sub_ports": [wanting]}), 200)
        self.gone(second, third, fourth)

    def test_packet_rates(self):
        p = self.policy(shared=True)
        path = "qos/policies/%s/minimum_packet_rate_rules" % p["id"]
        rule = self.rule(p, "minimum_packet_rate", min_kpps=60)
        self.assertEqual({k: rule[k] for k in rule if k != "id"}, {"min_kpps": 60, "direction": "egress"})
        self.rule(p, "minimum_packet_rate", 409, min_kpps=1, direction="any")
        other = self.rule(p, "minimum_packet_rate", min_kpps=1, direction="ingress")
        self.refuse(409, "PUT", path + "/" + other["id"], {"minimum_packet_rate_rule": {"direction": "any"}})
        self.assertEqual(self.admin.delete(N + path + "/" + other["id"]).status, 204)
        self.ok(self.admin.put(N + "qos/alias_minimum_packet_rate_rules/" + rule["id"], {"alias_minimum_packet_rate_rule": {"direction": "any"}}), 200)
        self.rule(p, "minimum_packet_rate", 409, min_kpps=1, direction="ingress")
        for bad in ({}, {"min_kpps": -1}, {"min_kpps": 1, "direction": "both"}):
            self.rule(self.policy(), "minimum_packet_rate", 400, **bad)
        # On whatever network; a host with enough is found, or none.
        n = self.ok(self.demo.post(N + "networks", {"network": {"qos_policy_id": p["id"]}}), 201)["network"]
        self.ok(self.demo.post(N + "subnets", {"subnet": {"network_id": n["id"], "ip_version": 4, "cidr": "10.8.0.0/24"}}), 201)
        first, port = self.boot_on(n)
        self.assertIsNone(self.qos(port))
        second, _ = self.boot_on(n, "ERROR")
        self.assertIn("has not the bandwidth or packet rate left", self.show(second)["fault"]["message"])
        self.assertIn("100 thousand packets a second, and 101", self.admin.put(N + path + "/" + rule["id"], {"minimum_packet_rate_rule": {"min_kpps": 101}}).message)
        self.ok(self.admin.put(N + path + "/" + rule["id"], {"minimum_packet_rate_rule": {"min_kpps": 50}}), 200)
        third, _ = self.boot_on(n)
        shown = self.ok(self.admin.get(N + "qos/rule-types/minimum_packet_rate"), 200)["rule_type"]
        self.assertEqual(shown["drivers"][0]["supported_parameters"][1]["parameter_values"], ["ingress", "egress", "any"])
        self.gone(first, second, third)


del ComputeBase, NetworkBase

if __name__ == "__main__":
    unittest.main()
