"""tests/http/test_explain.py -- a packet's way explained: rules, routes, translations, what the hosts have of it, and what is not disclosed."""
import contextlib
import os
import unittest

from test_compute import Base as ComputeBase
from test_network import N
from world import World


class Explain(World, ComputeBase):
    options = dict(ComputeBase.options, **{"hosts.sync_s": "3600"})        # what a test takes from the host stays away

    def setUp(self):
        super().setUp()
        self.ok(self.admin.put("/compute/v2.1/os-quota-sets/" + self.demo.project_id, {"quota_set": {"instances": -1}}), 200)

    def way(self, source, to, status=200, who=None, **query):
        query = "&".join("%s=%s" % q for q in {"to": to, **query}.items())
        reply = (who or self.demo).get(N + "ports/%s/explain?%s" % (source["id"], query))
        self.assertEqual(reply.status, status, reply)
        return reply.json.get("explain")

    def hops(self, way):
        return [(h["hop"], h["verdict"]) for h in way["hops"]]

    def group(self, *rules):
        g = self.ok(self.demo.post(N + "security-groups", {"security_group": {"name": "x"}}), 201)["security_group"]
        made = [self.ok(self.demo.post(N + "security-group-rules", {"security_group_rule": {"security_group_id": g["id"], **r}}), 201)["security_group_rule"]
                for r in rules]
        return g["id"], made

    def regroup(self, port, *groups):
        self.ok(self.demo.put(N + "ports/" + port["id"], {"port": {"security_groups": list(groups)}}), 200)

    def test_in_one_subnet(self):
        n = self.make_network(self.demo, "10.91.0.0/24")
        (_, a), (_, b) = self.boot(networks=[{"uuid": n}]), self.boot(networks=[{"uuid": n}])
        address = b["fixed_ips"][0]["ip_address"]
        self.becomes(lambda: self.way(a, b["id"])["verdict"] == "allowed", "pings allowed by the default group")
        way = self.way(a, b["id"], protocol="tcp", port=80)
        self.assertEqual((way["verdict"], way["destination"], way["source"]), ("allowed", address, a["fixed_ips"][0]["ip_address"]))
        self.assertEqual(self.hops(way), [(h, "pass") for h in ("sender", "anti-spoof", "egress rule", "route", "ingress rule", "listener")])
        self.becomes(lambda: {h["live"] for h in self.way(a, address, port=80)["hops"] if h["hop"] != "route"} == {"in force"}, "all of it in force")
        web, rules = self.group({"direction": "ingress", "protocol": "tcp", "port_range_min": 80, "port_range_max": 90, "remote_ip_prefix": "10.91.0.0/24"})
        self.regroup(b, web)
        ok = self.way(a, address, protocol="tcp", port=85)
        self.assertEqual((ok["verdict"], ok["hops"][4]["rule"]), ("allowed", rules[0]["id"]))
        for query in ({"protocol": "tcp", "port": 91}, {"protocol": "udp", "port": 80}, {"protocol": "icmp"}):
            lost = self.way(a, address, **query)
            self.assertEqual((lost["verdict"], [h for h, v in self.hops(lost) if v == "drop"]), ("denied", ["ingress rule"]))
            self.assertIn("Add an ingress rule", lost["hops"][4]["change"])
        nothing, _ = self.group()
        for r in self.ok(self.demo.get(N + "security-group-rules?security_group_id=" + nothing), 200)["security_group_rules"]:
            self.demo.delete(N + "security-group-rules/" + r["id"])
        self.regroup(a, nothing)
        self.assertIn(("egress rule", "drop"), self.hops(self.way(a, address, port=80)))
        # The host lost what the rows want: the rows' verdict stays, and the hop says so.
        self.regroup(a, web)
        self.becomes(lambda: {h["live"] for h in self.way(a, address, port=80)["hops"] if h["hop"] != "route"} == {"in force"}, "in force again")
        out = self.cloud.ctl("explain", a["id"], b["id"], "tcp", "80")
        self.assertEqual(out.returncode, 0, out)
        self.assertIn("ingress rule", out.stdout)
        self.assertIn("allowed from", out.stdout)
        live = lambda way: {h["hop"]: h["live"] for h in way["hops"] if h["hop"] != "route"}
        for port, hops in ((a, ("anti-spoof", "egress rule")), (b, ("ingress rule",))):
            before, place = self.way(a, address, port=80), "%s/ports/%s" % (self.cloud.world, port["id"])
            with self.lost(place):
                way = self.way(a, address, port=80)
                self.assertEqual({h for h, state in live(way).items() if state != "in force"} - {"sender", "listener"}, set(hops))
                self.assertEqual((way["verdict"], self.hops(way)), (before["verdict"], self.hops(before)))
                self.assertTrue(way["missing"]["from" if port is a else "to"])
                self.assertTrue(all("doctor" in h["change"] for h in way["hops"] if h["hop"] in hops))
            self.assertEqual(self.way(a, address, port=80), before)

    @contextlib.contextmanager
    def lost(self, place):
        """What the stand-in's host has of something is away for a while."""
        away = self.cloud.world + "/lost"
        os.rename(place, away)
        try:
            yield
        finally:
            os.rename(away, place)

    def test_routed_and_translated(self):
        one, two = self.make_network(self.demo, "10.92.0.0/24"), self.make_network(self.demo, "10.93.0.0/24")
        (_, a), (_, b) = self.boot(networks=[{"uuid": one}]), self.boot(networks=[{"uuid": two}])
        lost = self.way(a, b["id"])
        self.assertEqual([h["change"] for h in lost["hops"] if h["verdict"] == "drop"], ["Connect the subnet to a router."])
        r = self.ok(self.demo.post(N + "routers", {"router": {"name": "r"}}), 201)["router"]["id"]
        for port in (a, b):
            self.ok(self.demo.put(N + "routers/%s/add_router_interface" % r, {"subnet_id": port["fixed_ips"][0]["subnet_id"]}), 200)
        self.becomes(lambda: self.way(a, b["id"])["verdict"] == "allowed", "the router on a host")
        self.assertEqual(self.way(a, b["fixed_ips"][0]["ip_address"])["verdict"], "allowed")
        lost = self.way(a, "192.0.2.1")
        self.assertIn(("route", "drop"), self.hops(lost))
        public = self.ok(self.demo.get(N + "networks?router:external=true"), 200)["networks"][0]["id"]
        self.ok(self.demo.put(N + "routers/" + r, {"router": {"external_gateway_info": {"network_id": public}}}), 200)
        way = self.way(a, "192.0.2.1")
        self.assertEqual(self.hops(way)[3:], [("route", "pass"), ("NAT", "pass"), ("destination", "unknown")])
        self.assertIn("router's address", way["hops"][4]["why"])
        # The address of one's own port that no router leads to: the answer names it.
        apart = self.ok(self.demo.post(N + "ports", {"port": {"network_id": self.make_network(self.demo, "10.97.0.0/24")}}), 201)["port"]
        lost = self.way(a, apart["fixed_ips"][0]["ip_address"])["hops"][-1]
        self.assertIn(apart["id"], lost["why"])
        self.assertIn("router", lost["change"])
        f = self.ok(self.demo.post(N + "floatingips", {"floatingip": {"floating_network_id": public, "port_id": b["id"]}}), 201)["floatingip"]
        way = self.way(a, f["floating_ip_address"])
        self.assertEqual(way["verdict"], "denied")
        self.assertEqual([h for h in self.hops(way) if h[0] == "NAT"], [("NAT", "pass")] * 2)
        self.assertIn(("ingress rule", "drop"), self.hops(way))

    def joined(self, *networks, outside=True):
        """A router between the networks' subnets, and the external network."""
        r = self.ok(self.demo.post(N + "routers", {"router": {"name": "r"}}), 201)["router"]["id"]
        for n in networks:
            subnet = self.ok(self.demo.get(N + "subnets?network_id=" + n), 200)["subnets"][0]["id"]
            self.ok(self.demo.put(N + "routers/%s/add_router_interface" % r, {"subnet_id": subnet}), 200)
        public = self.ok(self.demo.get(N + "networks?router:external=true"), 200)["networks"][0]["id"]
        if outside:
            self.ok(self.demo.put(N + "routers/" + r, {"router": {"external_gateway_info": {"network_id": public}}}), 200)
        self.becomes(lambda: self.admin.get(N + "routers/%s/l3-agents" % r).json["agents"], "the router on a host")
        return r, public

    def dropped(self, way, hop, change):
        """The way ends at that hop alone, which says what to change."""
        self.assertEqual((way["verdict"], [h for h, v in self.hops(way) if v == "drop"]), ("denied", [hop]), way)
        self.assertIn(change, next(h["change"] for h in way["hops"] if h["verdict"] == "drop"))

    def test_forwarded_ports(self):
        one, two = self.make_network(self.demo, "10.81.0.0/24"), self.make_network(self.demo, "10.82.0.0/24")
        (_, a), (_, b) = self.boot(networks=[{"uuid": one}]), self.boot(networks=[{"uuid": two}])
        _, public = self.joined(one, two)
        f = self.ok(self.demo.post(N + "floatingips", {"floatingip": {"floating_network_id": public}}), 201)["floatingip"]
        outside, inside = f["floating_ip_address"], b["fixed_ips"][0]["ip_address"]
        self.dropped(self.way(a, outside, port=2222), "NAT", "Associate the floating IP")
        for body in ({"protocol": "tcp", "external_port": 2222, "internal_port": 22}, {"protocol": "udp", "external_port_range": "3000:3009", "internal_port_range": "4000:4009"},
                     {"protocol": "tcp", "external_port_range": "5000:5009", "internal_port": 23}):
            self.ok(self.demo.post(N + "floatingips/%s/port_forwardings" % f["id"], {"port_forwarding": {"internal_port_id": b["id"], "internal_ip_address": inside, **body}}), 201)
        ssh, _ = self.group({"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22},
                            {"direction": "ingress", "protocol": "udp", "port_range_min": 4005, "port_range_max": 4005})
        self.regroup(b, ssh)
        way = self.way(a, outside, protocol="tcp", port=2222)
        self.assertEqual(way["verdict"], "allowed", way)
        self.assertIn("%s port 22" % inside, [h for h in way["hops"] if h["hop"] == "NAT"][-1]["why"])
        self.assertEqual(self.way(a, outside, protocol="udp", port=3005)["verdict"], "allowed")
        for query, port in (({"protocol": "udp", "port": 3006}, "udp port 4006"), ({"protocol": "tcp", "port": 5009}, "tcp port 23")):
            self.dropped(self.way(a, outside, **query), "ingress rule", "rule for " + port)
        for query in ({"protocol": "tcp", "port": 22}, {"protocol": "udp", "port": 2222}, {"protocol": "udp", "port": 3010}):
            lost = self.way(a, outside, **query)
            self.dropped(lost, "NAT", "Create a port forwarding of %s port %d" % (query["protocol"], query["port"]))
            self.assertNotIn("ssociate", str(lost))
        self.assertEqual(self.way(a, outside)["verdict"], "allowed", "a ping, which the router answers")
        self.dropped(self.way(a, outside, protocol="sctp", port=2222), "NAT", "Only TCP and UDP")

    def test_what_the_network_and_its_routers_answer(self):
        one, two = self.make_network(self.demo, "10.83.0.0/24"), self.make_network(self.demo, "10.84.0.0/24")
        _, a = self.boot(networks=[{"uuid": one}])
        r, _ = self.joined(one, two)
        ports = {n: {p["device_owner"]: p for p in self.ok(self.demo.get(N + "ports?network_id=" + n), 200)["ports"]} for n in (one, two)}
        dhcp, far, near, inner = [ports[n]["network:" + owner] for owner in ("dhcp", "router_interface") for n in (one, two)]
        for to in (dhcp, far):
            for query in ({}, {"protocol": "udp", "port": 53}, {"protocol": "tcp", "port": 53}):
                self.assertEqual(self.way(a, to["id"], **query)["verdict"], "allowed", query)
            self.dropped(self.way(a, to["fixed_ips"][0]["ip_address"], port=80), "listener", "DNS")
        self.assertEqual(self.way(a, dhcp["id"], protocol="udp", port=67)["verdict"], "allowed")
        for to in (near, inner):
            for name in (to["id"], to["fixed_ips"][0]["ip_address"]):
                self.assertEqual(self.way(a, name)["verdict"], "allowed")
                self.dropped(self.way(a, name, port=22), "listener", "ping")
        # Without any rule a guest may still ask for DHCP.
        nothing, _ = self.group()
        for rule in self.ok(self.demo.get(N + "security-group-rules?security_group_id=" + nothing), 200)["security_group_rules"]:
            self.demo.delete(N + "security-group-rules/" + rule["id"])
        self.regroup(a, nothing)
        self.assertEqual(self.way(a, dhcp["id"], protocol="udp", port=67)["verdict"], "allowed")
        self.dropped(self.way(a, dhcp["id"], protocol="udp", port=53), "egress rule", "Add an egress rule")

    def test_metadata(self):
        metadata = "169.254.169.254"
        n = self.make_network(self.demo, "10.85.0.0/24")
        _, a = self.boot(networks=[{"uuid": n}])
        self.joined(n)
        nothing, _ = self.group()
        for rule in self.ok(self.demo.get(N + "security-group-rules?security_group_id=" + nothing), 200)["security_group_rules"]:
            self.demo.delete(N + "security-group-rules/" + rule["id"])
        for group in (a["security_groups"][0], nothing):
            self.regroup(a, group)
            way = self.way(a, metadata, port=80)
            self.assertEqual((way["verdict"], self.hops(way)[3:]), ("allowed", [("route", "pass"), ("listener", "pass")]), way)
        self.dropped(self.way(a, metadata, port=53), "egress rule", "Add an egress rule")
        self.regroup(a, a["security_groups"][0])
        self.assertEqual(self.way(a, metadata)["verdict"], "allowed", "a ping")
        self.dropped(self.way(a, metadata, port=443), "listener", "metadata: tcp port 80")
        subnet = a["fixed_ips"][0]["subnet_id"]
        self.ok(self.demo.put(N + "subnets/" + subnet, {"subnet": {"enable_dhcp": False}}), 200)
        for port in (80, 443):
            self.assertIn("Enable DHCP", str(self.way(a, metadata, port=port)))
        self.assertEqual(self.way(a, metadata, port=80)["verdict"], "denied")

    def test_what_is_wrong_with_the_ends(self):
        n = self.make_network(self.demo, "10.94.0.0/24")
        idle = self.ok(self.demo.post(N + "ports", {"port": {"network_id": n}}), 201)["port"]
        _, a = self.boot(networks=[{"uuid": n}])
        self.assertEqual(self.way(idle, a["id"])["hops"][0]["verdict"], "drop")
        self.assertEqual(self.way(a, idle["id"])["hops"][-1]["hop"], "listener")
        self.assertEqual(self.way(a, idle["id"])["hops"][-1]["verdict"], "drop")
        self.assertIn(("anti-spoof", "drop"), self.hops(self.way(a, "2001:db8::1")))

    def test_refused_and_not_disclosed(self):
        other = self.cloud.new_tenant()
        n = self.make_network(self.demo, "10.95.0.0/24")
        _, a = self.boot(networks=[{"uuid": n}])
        _, b = self.boot(networks=[{"uuid": n}])
        self.way(a, b["id"], 404, other)
        foreign = self.ok(other.post(N + "ports", {"port": {"network_id": self.make_network(other, "10.96.0.0/24")}}), 201)["port"]
        self.way(a, foreign["id"], 404)
        self.assertNotIn(foreign["id"], str(self.way(a, foreign["fixed_ips"][0]["ip_address"])))
        for query in ({"to": "x"}, {"to": b["id"], "protocol": "tcp"}, {"to": b["id"], "protocol": "x"}, {"to": b["id"], "protocol": "tcp", "port": "70000"},
                      {"to": b["id"], "port": "1x"}):
            self.way(a, query.pop("to"), 400, **query)
        self.assertEqual(self.demo.get(N + "ports/%s/explain" % a["id"]).status, 400)
        # A guest of another project on a shared network: that there is one may be guessed, its rules may not be known.
        admin_net = self.ok(self.admin.post(N + "networks", {"network": {"name": "s", "shared": True}}), 201)["network"]["id"]
        self.ok(self.admin.post(N + "subnets", {"subnet": {"network_id": admin_net, "ip_version": 4, "cidr": "10.97.0.0/24"}}), 201)
        theirs = self.ok(other.post(N + "ports", {"port": {"network_id": admin_net}}), 201)["port"]
        mine = self.ok(self.demo.post(N + "ports", {"port": {"network_id": admin_net}}), 201)["port"]
        way = self.way(mine, theirs["fixed_ips"][0]["ip_address"])
        self.assertEqual((way["hops"][-1]["verdict"], way["missing"]["to"]), ("unknown", None))
        text = str(way)
        for secret in (theirs["id"], theirs["mac_address"], theirs["security_groups"][0], other.project_id):
            self.assertNotIn(secret, text)


del ComputeBase

if __name__ == "__main__":
    unittest.main()
