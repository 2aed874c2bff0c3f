"""tests/http/test_router.py -- routers, floating IPs and port forwardings over HTTP, and what becomes of them in the stand-in agent's world."""
import concurrent.futures
import json
import os
import subprocess
import unittest
import uuid

import test_network
from cloud import FAKE_AGENT, Cloud
from world import World

N = test_network.N


class Base(World, test_network.Base):
    abroad = {"destination": "192.168.99.0/24", "nexthop": "172.24.0.77"}
    options = dict(test_network.Base.options, **{"hosts.sync_s": "1", "quota.routers": "-1", "quota.floatingips": "-1", "network.public_cidr": "172.24.0.0/16"})

    @classmethod
    def setUpClass(cls):
        cls.cloud = Cloud(options=cls.options)
        cls.addClassCleanup(cls.cloud.stop)
        cls.demo, cls.admin, cls.other = cls.cloud.login("demo"), cls.cloud.login("admin"), cls.cloud.new_tenant()
        cls.public = cls.demo.get(N + "networks?router:external=true").json["networks"][0]["id"]
        cls.public_subnet = cls.demo.get(N + "networks/" + cls.public).json["network"]["subnets"][0]

    def router(self, who=None, out=True, **attrs):
        if out and "external_gateway_info" not in attrs:
            attrs["external_gateway_info"] = {"network_id": self.public}
        return self.ok((who or self.demo).post(N + "routers", {"router": attrs}), 201)["router"]

    def inside(self, cidr="10.0.0.0/24", who=None, **attrs):
        n = self.network(who=who)
        return n, self.subnet(n, who=who, cidr=cidr, **attrs)

    def plug(self, router, subnet, who=None, status=200):
        return self.ok((who or self.demo).put(N + "routers/%s/add_router_interface" % router["id"], {"subnet_id": subnet["id"]}), status)

    def unplug(self, router, who=None, status=200, **what):
        return self.ok((who or self.demo).put(N + "routers/%s/remove_router_interface" % router["id"], what), status)

    def change(self, kind, row, who=None, status=200, **attrs):
        return self.ok((who or self.demo).put(N + "%ss/%s" % (kind, row["id"]), {kind: attrs}), status).get(kind)

    def show(self, kind, row_id, who=None):
        return self.ok((who or self.demo).get(N + "%ss/%s" % (kind, row_id)), 200)[kind]

    def gone(self, kind, row_id, who=None):
        self.assertEqual((who or self.demo).delete(N + "%ss/%s" % (kind, row_id)).status, 204)

    def floating(self, who=None, status=201, **attrs):
        return self.ok((who or self.demo).post(N + "floatingips", {"floatingip": {"floating_network_id": self.public, **attrs}}), status).get("floatingip")


class Routers(Base):
    def test_life(self):
        r = self.router(name="r", description="d", out=False)
        self.assertEqual((r["status"], r["admin_state_up"], r["external_gateway_info"], r["routes"], r["tags"], r["availability_zones"]),
                         ("ACTIVE", True, None, [], [], []))
        self.assertEqual((r["tenant_id"], r["project_id"]), (self.demo.project_id,) * 2)
        self.assertNotIn("ha", r)
        self.assertNotIn("distributed", r)
        self.assertIs(self.show("router", r["id"], self.admin)["distributed"], False)
        c = self.change("router", r, name="s", admin_state_up=False)
        self.assertEqual((c["name"], c["admin_state_up"], c["description"]), ("s", False, "d"))
        self.assertGreater(c["revision_number"], r["revision_number"])
        self.assertEqual([x["id"] for x in self.ok(self.demo.get(N + "routers?name=s&admin_state_up=false"), 200)["routers"]], [r["id"]])
        self.assertEqual(self.ok(self.other.get(N + "routers"), 200)["routers"], [])
        for method in ("GET", "DELETE"):
            self.refuse(404, method, "routers/" + r["id"], who=self.other)
        self.refuse(404, "PUT", "routers/" + r["id"], {"router": {"name": "x"}}, who=self.other)
        self.refuse(404, "PUT", "routers/%s/add_router_interface" % r["id"], {"subnet_id": str(uuid.uuid4())}, who=self.other)
        self.assertEqual(self.demo.put(N + "routers/%s/tags" % r["id"], {"tags": ["a", "b"]}).status, 200)
        self.assertEqual([x["id"] for x in self.ok(self.demo.get(N + "routers?tags=a,b"), 200)["routers"]], [r["id"]])
        self.gone("router", r["id"])
        self.refuse(404, "GET", "routers/" + r["id"])

    def test_refused(self):
        n, s = self.inside()
        for attrs in ({"name": 5}, {"admin_state_up": "maybe"}, {"nonsense": 1}, {"routes": []}, {"external_gateway_info": {"network_id": "x"}},
                      {"external_gateway_info": "x"}, {"external_gateway_info": {"network_id": self.public, "x": 1}},
                      {"external_gateway_info": {"network_id": n["id"]}}):
            self.refuse(400, "POST", "routers", {"router": attrs})
        self.refuse(404, "POST", "routers", {"router": {"external_gateway_info": {"network_id": str(uuid.uuid4())}}})
        self.refuse(404, "POST", "routers", {"router": {"availability_zone_hints": ["mars"]}})
        for info in ({"enable_snat": False}, {"external_fixed_ips": [{"ip_address": "172.24.9.9"}]}):
            self.refuse(403, "POST", "routers", {"router": {"external_gateway_info": {"network_id": self.public, **info}}})
        self.refuse(403, "POST", "routers", {"router": {"distributed": False}})
        self.refuse(400, "POST", "routers", {"router": {"ha": True}}, who=self.admin)
        self.gone("network", n["id"])

    def test_gateway(self):
        r = self.router()
        info = r["external_gateway_info"]
        self.assertEqual((info["network_id"], info["enable_snat"], [ip["subnet_id"] for ip in info["external_fixed_ips"]]),
                         (self.public, True, [self.public_subnet]))
        address = info["external_fixed_ips"][0]["ip_address"]
        port = self.ok(self.admin.get(N + "ports?device_id=" + r["id"]), 200)["ports"][0]
        self.assertEqual((port["device_owner"], self.ips(port), port["project_id"]), ("network:router_gateway", [address], ""))
        self.refuse(404, "GET", "ports/" + port["id"])
        self.refuse(409, "DELETE", "ports/" + port["id"], who=self.admin)
        self.becomes(lambda: self.world("routers")[r["id"]]["gateway"]["addresses"] == [address + "/16"], "the gateway")
        self.assertEqual(self.world("routers")[r["id"]]["gateway"]["nexthops"], ["172.24.0.1"])
        self.becomes(lambda: self.show("port", port["id"], self.admin)["status"] == "ACTIVE", "the port in force")
        c = self.change("router", r, self.admin, external_gateway_info={"network_id": self.public, "enable_snat": False,
                                                                        "external_fixed_ips": [{"subnet_id": self.public_subnet, "ip_address": "172.24.99.1"}]})
        self.assertEqual(c["external_gateway_info"], {"network_id": self.public, "enable_snat": False,
                                                      "external_fixed_ips": [{"subnet_id": self.public_subnet, "ip_address": "172.24.99.1"}]})
        self.assertEqual(self.ok(self.admin.get(N + "ports?device_id=" + r["id"]), 200)["ports"][0]["id"], port["id"])
        self.becomes(lambda: self.world("routers")[r["id"]]["gateway"]["snat"] is False, "no translation")
        for given, on in (("True", True), ("False", False), ("yes", True), ("off", False)):
            c = self.change("router", r, self.admin, external_gateway_info={"network_id": self.public, "enable_snat": given})
            self.assertIs(c["external_gateway_info"]["enable_snat"], on)
        self.change("router", r, self.admin, 400, external_gateway_info={"network_id": self.public, "enable_snat": "perhaps"})
        body = {"router": {"external_gateway_info": {"network_id": self.public, "external_fixed_ips": [{"ip_address": "172.24.0.1"}]}}}
        self.refuse(400, "PUT", "routers/" + r["id"], body, who=self.admin)
        self.assertIsNone(self.change("router", r, external_gateway_info=None)["external_gateway_info"])
        self.assertEqual(self.ok(self.admin.get(N + "ports?device_id=" + r["id"]), 200)["ports"], [])
        self.becomes(lambda: self.world("routers")[r["id"]]["gateway"] is None, "the gateway gone")
        self.assertIsNotNone(self.change("router", r, external_gateway_info={"network_id": self.public})["external_gateway_info"])
        self.assertIsNone(self.change("router", r, external_gateway_info={})["external_gateway_info"])
        self.gone("router", r["id"])
        self.becomes(lambda: r["id"] not in self.world("routers"), "the router gone")

    def test_interfaces(self):
        r, (n, s) = self.router(), self.inside()
        info = self.plug(r, s)
        self.assertEqual((info["id"], info["subnet_id"], info["subnet_ids"], info["network_id"]), (r["id"], s["id"], [s["id"]], n["id"]))
        port = self.show("port", info["port_id"])
        self.assertEqual((port["device_owner"], port["device_id"], self.ips(port)), ("network:router_interface", r["id"], ["10.0.0.1"]))
        there = self.becomes(lambda: self.world("routers")[r["id"]]["interfaces"], "the interface")
        self.assertEqual(there, [{"port_id": port["id"], "network_id": n["id"], "mac": port["mac_address"], "mtu": 1450, "subnets": ["10.0.0.0/24"],
                                  "addresses": ["10.0.0.1/24"], "ra": []}])
        more = self.subnet(n, cidr="10.9.0.0/24")
        self.becomes(lambda: self.world("routers")[r["id"]]["interfaces"][0]["subnets"] == ["10.0.0.0/24", "10.9.0.0/24"], "the other subnet")
        self.gone("subnet", more["id"])
        self.becomes(lambda: self.world("routers")[r["id"]]["interfaces"][0]["subnets"] == ["10.0.0.0/24"], "the other subnet gone")
        self.assertIn(n["id"], self.world("networks"))
        self.becomes(lambda: self.show("port", port["id"])["status"] == "ACTIVE", "the port in force")
        self.assertEqual(self.show("port", port["id"], self.admin)["binding:host_id"], "local")
        self.assertGreater(self.show("router", r["id"])["revision_number"], r["revision_number"])
        self.assertIn("ports still attached: " + port["id"], self.refuse(409, "DELETE", "routers/" + r["id"]))
        self.refuse(409, "DELETE", "ports/" + port["id"])
        self.refuse(409, "PUT", "ports/" + port["id"], {"port": {"device_id": ""}}, who=self.admin)
        self.refuse(409, "PUT", "ports/" + port["id"], {"port": {"binding:host_id": "elsewhere"}}, who=self.admin)
        self.refuse(403, "PUT", "ports/" + port["id"], {"port": {"device_owner": ""}})
        self.refuse(409, "DELETE", "networks/" + n["id"])
        self.refuse(409, "DELETE", "subnets/" + s["id"])
        self.assertIn("already in use", self.refuse(409, "PUT", "subnets/" + s["id"], {"subnet": {"gateway_ip": None}}))
        self.refuse(400, "PUT", "routers/%s/add_router_interface" % r["id"], {"subnet_id": s["id"]})
        self.refuse(400, "PUT", "routers/%s/add_router_interface" % r["id"], {})
        self.refuse(400, "PUT", "routers/%s/add_router_interface" % r["id"], {"subnet_id": s["id"], "port_id": port["id"]})
        self.refuse(400, "PUT", "routers/%s/add_router_interface" % r["id"], {"subnet_id": "x"})
        self.refuse(404, "PUT", "routers/%s/add_router_interface" % r["id"], {"subnet_id": str(uuid.uuid4())})
        self.refuse(404, "PUT", "routers/%s/remove_router_interface" % r["id"], {"port_id": str(uuid.uuid4())})
        n2, s2 = self.inside("10.0.0.0/16")
        self.assertIn("overlaps", self.refuse(400, "PUT", "routers/%s/add_router_interface" % r["id"], {"subnet_id": s2["id"]}))
        self.refuse(404, "PUT", "routers/%s/remove_router_interface" % r["id"], {"subnet_id": s2["id"]})
        r2 = self.router(out=False)
        self.refuse(409, "PUT", "routers/%s/add_router_interface" % r2["id"], {"subnet_id": s["id"]})
        gone = self.unplug(r, subnet_id=s["id"])
        self.assertEqual((gone["port_id"], gone["subnet_id"]), (port["id"], s["id"]))
        self.refuse(404, "GET", "ports/" + port["id"])
        self.becomes(lambda: self.world("routers")[r["id"]]["interfaces"] == [], "the interface gone")
        self.becomes(lambda: n["id"] not in self.world("networks"), "the network gone from the host")
        for kind, row in (("router", r), ("router", r2), ("network", n), ("network", n2)):
            self.gone(kind, row["id"])

    def test_a_foreign_port_that_names_it(self):                 # NET-16
        r, (n, s) = self.router(), self.inside("10.6.0.0/24")
        mine = self.plug(r, s)["port_id"]
        self.becomes(lambda: self.world("routers")[r["id"]]["interfaces"][0]["addresses"] == ["10.6.0.1/24"], "the interface")
        own = N + "ports?device_owner=network:router_interface&device_id=" + r["id"]
        known = lambda: ({k: v for k, v in self.show("router", r["id"]).items() if k != "updated_at"}, self.world("routers")[r["id"]],
                         [x["id"] for x in self.ok(self.demo.get(own), 200)["ports"]], self.show("port", mine))
        before, (n2, s2) = known(), self.inside("10.9.0.0/24", who=self.other)
        said = {"device_id": r["id"], "device_owner": "network:router_interface"}
        named = self.port(n2, self.other, device_id=r["id"])      # only text
        self.refuse(403, "POST", "ports", {"port": {"network_id": n2["id"], **said}}, who=self.other)
        self.refuse(403, "PUT", "ports/" + named["id"], {"port": said}, who=self.other)
        self.refuse(404, "PUT", "routers/%s/add_router_interface" % r["id"], {"port_id": named["id"]}, who=self.other)
        for who in (self.demo, self.other):
            self.refuse(404, "PUT", "routers/%s/remove_router_interface" % r["id"], {"port_id": named["id"]}, who=who)
        self.assertEqual(known(), before)
        self.refuse(404, "GET", "routers/" + r["id"], who=self.other)
        self.unplug(r, subnet_id=s["id"])
        self.gone("router", r["id"])
        self.becomes(lambda: r["id"] not in self.world("routers"), "the router gone")
        self.gone("port", named["id"], self.other)
        self.gone("network", n2["id"], self.other)
        self.gone("network", n["id"])

    def test_interface_by_port(self):
        r, (n, s) = self.router(out=False), self.inside("10.7.0.0/24")
        path = "routers/%s/add_router_interface" % r["id"]
        port, used, bare = self.port(n), self.port(n, device_id="x"), self.port(n, fixed_ips=[])
        self.refuse(409, "PUT", path, {"port_id": used["id"]})
        self.refuse(400, "PUT", path, {"port_id": bare["id"]})
        self.refuse(404, "PUT", path, {"port_id": str(uuid.uuid4())})
        info = self.ok(self.demo.put(N + path, {"port_id": port["id"]}), 200)
        self.assertEqual((info["port_id"], info["subnet_id"]), (port["id"], s["id"]))
        self.becomes(lambda: self.world("routers")[r["id"]]["interfaces"][0]["addresses"] == [self.ips(port)[0] + "/24"], "the interface")
        self.change("port", port, fixed_ips=[{"subnet_id": s["id"], "ip_address": "10.7.0.77"}])
        self.becomes(lambda: self.world("routers")[r["id"]]["interfaces"][0]["addresses"] == ["10.7.0.77/24"], "the new address")
        self.refuse(400, "PUT", "routers/%s/remove_router_interface" % r["id"], {"port_id": port["id"], "subnet_id": str(uuid.uuid4())})
        self.unplug(r, port_id=port["id"])
        self.refuse(404, "GET", "ports/" + port["id"])
        self.gone("router", r["id"])
        for p in (used, bare):
            self.gone("port", p["id"])
        self.gone("network", n["id"])

    def test_ipv6_prefixes_share_a_port(self):
        r, (n, a) = self.router(out=False), self.inside("2001:db8:1::/64", ip_version=6, ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
        b = self.subnet(n, ip_version=6, cidr="2001:db8:2::/64")
        one, two = self.plug(r, a), self.plug(r, b)
        self.assertEqual(one["port_id"], two["port_id"])
        there = self.becomes(lambda: len(self.world("routers")[r["id"]]["interfaces"][0]["addresses"]) == 2 and self.world("routers")[r["id"]]["interfaces"], "both")
        self.assertEqual((there[0]["addresses"], there[0]["ra"]), (["2001:db8:1::1/64", "2001:db8:2::1/64"], [{"prefix": "2001:db8:1::/64", "mode": "slaac"}]))
        self.unplug(r, subnet_id=a["id"])
        self.assertEqual(self.ips(self.show("port", one["port_id"])), ["2001:db8:2::1"])
        self.unplug(r, subnet_id=b["id"])
        self.refuse(404, "GET", "ports/" + one["port_id"])
        strange = self.subnet(n, ip_version=6, cidr="2001:db8:3::/64", ipv6_address_mode="slaac")
        self.refuse(400, "PUT", "routers/%s/add_router_interface" % r["id"], {"subnet_id": strange["id"]})
        self.gone("router", r["id"])
        self.gone("network", n["id"])

    def test_ipv6_gateways(self):
        """A gateway is the address whatever its text; it may be the first of the subnet, which any router has."""
        r, (n, s) = self.router(out=False), self.inside("fd00:2::/64", ip_version=6, gateway_ip="FD00:2::0001")
        port = self.plug(r, s)["port_id"]
        self.assertIn("already in use by port " + port, self.refuse(409, "PUT", "subnets/" + s["id"], {"subnet": {"gateway_ip": "fe80::1"}}))
        first = self.subnet(n, ip_version=6, cidr="fd00:3::/64", gateway_ip="fd00:3::")
        self.assertEqual((first["gateway_ip"], first["allocation_pools"][0]["start"]), ("fd00:3::", "fd00:3::1"))
        self.refuse(400, "POST", "ports", {"port": {"network_id": n["id"], "fixed_ips": [{"ip_address": "fd00:3::"}]}})
        self.plug(r, first)
        self.becomes(lambda: self.world("routers")[r["id"]]["interfaces"][0]["addresses"] == ["fd00:2::1/64", "fd00:3::/64"], "both")
        route, path = {"destination": "fd00:9::/64", "nexthop": "FD00:2::0009"}, N + "routers/%s/%%s_extraroutes" % r["id"]
        plain = [{**route, "nexthop": "fd00:2::9"}]
        self.assertEqual(self.change("router", r, routes=[route])["routes"], plain)
        self.assertEqual(self.ok(self.demo.put(path % "add", {"router": {"routes": [route]}}), 200)["router"]["routes"], plain)
        self.assertEqual(self.ok(self.demo.put(path % "remove", {"router": {"routes": [route]}}), 200)["router"]["routes"], [])
        for subnet in (s, first):
            self.unplug(r, subnet_id=subnet["id"])
        self.gone("router", r["id"])
        self.gone("network", n["id"])

    def test_no_gateway_and_foreign_subnet(self):
        r = self.router(out=False)
        n, s = self.inside("10.8.0.0/24", gateway_ip=None)
        self.refuse(400, "PUT", "routers/%s/add_router_interface" % r["id"], {"subnet_id": s["id"]})
        theirs, t = self.inside("10.9.0.0/24", who=self.other)
        self.refuse(404, "PUT", "routers/%s/add_router_interface" % r["id"], {"subnet_id": t["id"]})
        self.change("network", theirs, self.admin, shared=True)
        self.refuse(400, "PUT", "routers/%s/add_router_interface" % r["id"], {"subnet_id": t["id"]})
        self.change("network", theirs, self.admin, shared=False)
        self.gone("network", theirs["id"], self.other)
        self.gone("network", n["id"])
        self.gone("router", r["id"])

    def test_a_guest_s_router_on_a_shared_network_advertises_nothing(self):
        """Its own network's routers do, whatever address they have."""
        n, s = self.inside("2001:db8:1::/64", ip_version=6, ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
        self.ok(self.admin.post(N + "rbac-policies", {"rbac_policy": {"object_type": "network", "object_id": n["id"], "action": "access_as_shared",
                                                                      "target_tenant": self.other.project_id}}), 201)
        told = {}
        for who in (self.other, self.demo):
            r, p = self.router(who, out=False), self.port(n, who)
            self.ok(who.put(N + "routers/%s/add_router_interface" % r["id"], {"port_id": p["id"]}), 200)
            told[who] = self.becomes(lambda: self.world("routers")[r["id"]]["interfaces"], "the interface")[0]["ra"]
            self.ok(who.put(N + "routers/%s/remove_router_interface" % r["id"], {"port_id": p["id"]}), 200)
            self.gone("router", r["id"], who)
        self.assertEqual((told[self.other], told[self.demo]), ([], [{"prefix": "2001:db8:1::/64", "mode": "slaac"}]))
        self.gone("network", n["id"])

    def test_a_gateway_comes_and_goes_with_its_routes(self):
        r, route = self.router(out=False), {"destination": "192.168.9.0/24", "nexthop": "172.24.0.9"}
        self.refuse(400, "PUT", "routers/" + r["id"], {"router": {"routes": [route]}})
        c = self.change("router", r, external_gateway_info={"network_id": self.public}, routes=[route])
        self.assertEqual((c["external_gateway_info"]["network_id"], c["routes"]), (self.public, [route]))
        self.refuse(400, "PUT", "routers/" + r["id"], {"router": {"external_gateway_info": None}})
        c = self.change("router", r, external_gateway_info=None, routes=None)
        self.assertEqual((c["external_gateway_info"], c["routes"]), (None, []))

    def test_extra_routes(self):
        r, (n, s) = self.router(out=False), self.inside("10.11.0.0/24")
        self.plug(r, s)
        a, b, c = ({"destination": "192.168.%d.0/24" % i, "nexthop": "10.11.0.%d" % (10 + i)} for i in range(3))
        self.assertEqual(self.change("router", r, routes=[a])["routes"], [a])
        self.becomes(lambda: self.world("routers")[r["id"]]["routes"] == [a], "the route")
        add, remove = N + "routers/%s/add_extraroutes" % r["id"], N + "routers/%s/remove_extraroutes" % r["id"]
        self.assertEqual(self.ok(self.demo.put(add, {"router": {"routes": [a, b, c]}}), 200)["router"]["routes"], [a, b, c])
        self.assertEqual(self.ok(self.demo.put(remove, {"router": {"routes": [b]}}), 200)["router"]["routes"], [a, c])
        self.assertEqual(self.ok(self.demo.put(remove, {"router": {"routes": [b]}}), 200)["router"]["routes"], [a, c])
        for bad in ([{"destination": "192.168.0.0/24", "nexthop": "10.12.0.5"}], [{"destination": "192.168.0.0/24", "nexthop": "10.11.0.1"}],
                    [{"destination": "192.168.0.1/24", "nexthop": "10.11.0.5"}], [{"destination": "2001:db8::/64", "nexthop": "10.11.0.5"}], [a, a],
                    [{"destination": "192.168.0.0/24"}], "x", [{"destination": "10.%d.0.0/16" % i, "nexthop": "10.11.0.9"} for i in range(31)]):
            self.refuse(400, "PUT", "routers/" + r["id"], {"router": {"routes": bad}})
        self.refuse(400, "PUT", "routers/%s/add_extraroutes" % r["id"], {"router": {"routes": 5}})
        self.refuse(400, "PUT", "routers/%s/add_extraroutes" % r["id"], {"router": {"name": "x"}})
        self.refuse(404, "PUT", "routers/%s/add_extraroutes" % r["id"], {"router": {"routes": []}}, who=self.other)
        self.assertIn("routes", self.refuse(409, "PUT", "routers/%s/remove_router_interface" % r["id"], {"subnet_id": s["id"]}))
        self.assertEqual(self.change("router", r, routes=None)["routes"], [])
        self.assertEqual(self.change("router", r, routes=[])["routes"], [])
        self.unplug(r, subnet_id=s["id"])
        self.gone("router", r["id"])
        self.gone("network", n["id"])

    def test_a_route_through_the_gateway_goes_with_its_router(self):
        r = self.router()
        self.change("router", r, routes=[self.abroad])
        gateway = self.ok(self.admin.get(N + "ports?device_id=" + r["id"]), 200)["ports"][0]["id"]
        body = {"port": {"fixed_ips": [{"ip_address": self.abroad["nexthop"]}]}}
        self.assertIn("used by router", self.refuse(400, "PUT", "ports/" + gateway, body, who=self.admin))
        self.assertIn("not connected", self.refuse(400, "PUT", "routers/" + r["id"], {"router": {"external_gateway_info": None}}))
        self.gone("router", r["id"])
        self.becomes(lambda: r["id"] not in self.world("routers"), "the router gone")

    def test_quota(self):
        who = self.cloud.new_tenant()
        self.ok(self.admin.put(N + "quotas/" + who.project_id, {"quota": {"router": 1, "floatingip": 2}}), 200)
        self.router(who)
        self.assertIn("Quota", self.refuse(409, "POST", "routers", {"router": {}}, who=who))
        for _ in range(2):
            self.floating(who)
        self.refuse(409, "POST", "floatingips", {"floatingip": {"floating_network_id": self.public}}, who=who)
        used = self.ok(who.get(N + "quotas/%s/details.json" % who.project_id), 200)["quota"]
        self.assertEqual((used["router"]["used"], used["floatingip"]["used"]), (1, 2))

    def test_two_tenants_with_the_same_addresses(self):
        routers = []
        for who in (self.demo, self.other):
            r, (n, s) = self.router(who), self.inside("10.20.0.0/24", who=who)
            self.plug(r, s, who)
            routers.append((who, r, s))
        for who, r, s in routers:
            self.becomes(lambda: self.world("routers")[r["id"]]["interfaces"][0]["addresses"] == ["10.20.0.1/24"], "both routers")
            self.unplug(r, who, subnet_id=s["id"])
            self.gone("router", r["id"], who)


class Floating(Base):
    def setUp(self):
        self.r, (self.n, self.s) = self.router(), self.inside("10.0.0.0/24")
        self.plug(self.r, self.s)
        self.addCleanup(self.clear)

    def clear(self):
        for f in self.demo.get(N + "floatingips").json["floatingips"]:
            for w in f["port_forwardings"]:
                self.demo.delete(N + "floatingips/%s/port_forwardings/%s" % (f["id"], w["id"]))
            self.assertEqual(self.demo.delete(N + "floatingips/" + f["id"]).status, 204)
        self.unplug(self.r, subnet_id=self.s["id"])
        self.gone("router", self.r["id"])
        for p in self.demo.get(N + "ports?network_id=" + self.n["id"]).json["ports"]:
            if p["device_owner"] != "network:dhcp":
                self.gone("port", p["id"])
        self.gone("network", self.n["id"])

    def test_life(self):
        f = self.floating(description="d")
        self.assertEqual((f["status"], f["port_id"], f["fixed_ip_address"], f["router_id"], f["port_details"], f["port_forwardings"], f["description"]),
                         ("DOWN", None, None, None, None, [], "d"))
        holder = self.ok(self.admin.get(N + "ports?device_id=" + f["id"]), 200)["ports"][0]
        self.assertEqual((holder["device_owner"], holder["status"], self.ips(holder)), ("network:floatingip", "N/A", [f["floating_ip_address"]]))
        self.refuse(409, "DELETE", "ports/" + holder["id"], who=self.admin)
        self.refuse(409, "PUT", "ports/" + holder["id"], {"port": {"fixed_ips": []}}, who=self.admin)
        port = self.port(self.n, name="p")
        c = self.change("floatingip", f, port_id=port["id"])
        self.assertEqual((c["port_id"], c["fixed_ip_address"], c["router_id"]), (port["id"], self.ips(port)[0], self.r["id"]))
        self.assertEqual((c["port_details"]["name"], c["port_details"]["mac_address"]), ("p", port["mac_address"]))
        there = self.becomes(lambda: self.world("routers")[self.r["id"]]["floating"], "the translation")
        self.assertEqual(there, [{"id": f["id"], "external": f["floating_ip_address"], "fixed": self.ips(port)[0]}])
        self.becomes(lambda: self.show("floatingip", f["id"])["status"] == "ACTIVE", "it in force")
        refused = self.demo.put(N + "routers/" + self.r["id"], {"router": {"external_gateway_info": None}})
        self.assertEqual((refused.status, refused.json["NeutronError"]["type"]), (409, "RouterExternalGatewayInUseByFloatingIp"))
        self.assertIn("Floating IPs: %s." % f["id"], refused.message)
        self.assertIn("Floating IPs: %s." % f["id"], self.refuse(409, "PUT", "routers/%s/remove_router_interface" % self.r["id"], {"subnet_id": self.s["id"]}))
        self.assertEqual(self.change("floatingip", f, description="e")["port_id"], port["id"])
        self.assertEqual([x["id"] for x in self.ok(self.demo.get(N + "floatingips?port_id=" + port["id"]), 200)["floatingips"]], [f["id"]])
        other = self.port(self.n)
        c = self.change("floatingip", f, port_id=other["id"])
        self.assertEqual(c["fixed_ip_address"], self.ips(other)[0])
        self.becomes(lambda: self.world("routers")[self.r["id"]]["floating"][0]["fixed"] == self.ips(other)[0], "it moved")
        c = self.change("floatingip", f, port_id=None)
        self.assertEqual((c["port_id"], c["fixed_ip_address"], c["router_id"], c["status"]), (None, None, None, "DOWN"))
        self.becomes(lambda: self.world("routers")[self.r["id"]]["floating"] == [], "the translation gone")
        self.change("floatingip", f, port_id=port["id"])
        self.assertIsNone(self.change("floatingip", f)["port_id"])          # a blank change lets it go
        for method in ("GET", "DELETE"):
            self.refuse(404, method, "floatingips/" + f["id"], who=self.other)
        self.gone("floatingip", f["id"])
        self.assertEqual(self.ok(self.admin.get(N + "ports/" + holder["id"]), 404)["NeutronError"]["type"], "PortNotFound")

    def test_whose_it_is_is_not_said(self):
        """On a network that is shared others' addresses go through our router: what they keep from going is refused without their names."""
        self.ok(self.demo.post(N + "rbac-policies", {"rbac_policy": {"object_type": "network", "object_id": self.n["id"], "action": "access_as_shared",
                                                                     "target_tenant": self.other.project_id}}), 201)
        ours = self.floating(port_id=self.port(self.n)["id"])["id"]
        port = self.port(self.n, self.other)
        theirs = self.floating(self.other, port_id=port["id"])["id"]
        self.addCleanup(self.gone, "port", port["id"], self.other)
        self.addCleanup(self.gone, "floatingip", theirs, self.other)
        for path, body in (("routers/" + self.r["id"], {"router": {"external_gateway_info": None}}),
                           ("routers/%s/remove_router_interface" % self.r["id"], {"subnet_id": self.s["id"]})):
            self.assertIn("Floating IPs: %s, floating IPs of other projects." % ours, self.refuse(409, "PUT", path, body))
            self.assertIn("Floating IPs: %s." % ", ".join(sorted([ours, theirs])), self.refuse(409, "PUT", path, body, self.admin))

    def test_refused(self):
        port = self.port(self.n)
        lonely_n, lonely_s = self.inside("10.50.0.0/24")
        lonely, theirs_n = self.port(lonely_n), self.network(who=self.other)
        self.subnet(theirs_n, who=self.other)
        theirs = self.port(theirs_n, who=self.other)
        body = lambda **a: {"floatingip": {"floating_network_id": self.public, **a}}
        before = len(self.ok(self.admin.get(N + "ports?device_owner=network:floatingip"), 200)["ports"])
        self.refuse(400, "POST", "floatingips", {"floatingip": {}})
        self.refuse(400, "POST", "floatingips", {"floatingip": {"floating_network_id": self.n["id"]}})
        self.refuse(404, "POST", "floatingips", {"floatingip": {"floating_network_id": str(uuid.uuid4())}})
        self.assertIn("not reachable", self.refuse(404, "POST", "floatingips", body(port_id=lonely["id"])))
        self.refuse(404, "POST", "floatingips", body(port_id=theirs["id"]))
        self.refuse(404, "POST", "floatingips", body(port_id=str(uuid.uuid4())))
        self.refuse(400, "POST", "floatingips", body(port_id=port["id"], fixed_ip_address="10.0.0.250"))
        self.refuse(400, "POST", "floatingips", body(port_id=port["id"], fixed_ip_address="2001:db8::1"))
        self.refuse(400, "POST", "floatingips", body(fixed_ip_address="10.0.0.250"))
        self.refuse(400, "POST", "floatingips", body(subnet_id="x"))
        self.refuse(400, "POST", "floatingips", body(subnet_id=self.s["id"]))
        self.refuse(403, "POST", "floatingips", body(floating_ip_address="172.24.9.10"))
        self.refuse(400, "POST", "floatingips", body(floating_ip_address="10.0.0.9"), who=self.admin)
        dhcp = self.ok(self.demo.get(N + "ports?device_owner=network:dhcp&network_id=" + self.n["id"]), 200)["ports"][0]
        self.refuse(400, "POST", "floatingips", body(port_id=dhcp["id"]))
        self.assertEqual(len(self.ok(self.admin.get(N + "ports?device_owner=network:floatingip"), 200)["ports"]), before)
        f = self.floating(port_id=port["id"])
        self.assertIn("already has a floating IP", self.refuse(409, "POST", "floatingips", body(port_id=port["id"])))
        self.assertEqual(self.change("floatingip", f, port_id=port["id"])["port_id"], port["id"])
        self.refuse(400, "PUT", "floatingips/" + f["id"], {"floatingip": {"fixed_ip_address": "10.0.0.3"}})
        self.refuse(400, "PUT", "floatingips/" + f["id"], {"floatingip": {"floating_ip_address": "172.24.1.1"}})
        self.refuse(409, "DELETE", "networks/" + self.public, who=self.admin)
        self.gone("port", lonely["id"])
        self.gone("network", lonely_n["id"])
        self.gone("port", theirs["id"], self.other)
        self.gone("network", theirs_n["id"], self.other)

    def test_chosen_address(self):
        f = self.floating(self.admin, floating_ip_address="172.24.77.7", subnet_id=self.public_subnet, tenant_id=self.demo.project_id)
        self.assertEqual((f["floating_ip_address"], f["project_id"]), ("172.24.77.7", self.demo.project_id))
        self.refuse(409, "POST", "floatingips", {"floatingip": {"floating_network_id": self.public, "floating_ip_address": "172.24.77.7"}}, who=self.admin)
        self.assertEqual(self.floating(subnet_id=self.public_subnet)["status"], "DOWN")

    def test_pools(self):
        pools = self.ok(self.demo.get(N + "floatingip_pools"), 200)["floatingip_pools"]
        self.assertEqual([(p["subnet_id"], p["network_id"], p["cidr"]) for p in pools], [(self.public_subnet, self.public, "172.24.0.0/16")])
        self.assertEqual(self.ok(self.demo.get(N + "floatingip-pools"), 200)["floatingip_pools"], pools)         # tempest's way to write it

    def test_several_fixed_addresses(self):
        port = self.port(self.n, fixed_ips=[{"ip_address": "10.0.0.50"}, {"ip_address": "10.0.0.51"}])
        self.assertIn("multiple fixed", self.refuse(400, "POST", "floatingips", {"floatingip": {"floating_network_id": self.public, "port_id": port["id"]}}))
        a = self.floating(port_id=port["id"], fixed_ip_address="10.0.0.51")
        b = self.floating(port_id=port["id"], fixed_ip_address="10.0.0.50")
        self.assertEqual((a["fixed_ip_address"], b["fixed_ip_address"]), ("10.0.0.51", "10.0.0.50"))
        self.refuse(409, "PUT", "floatingips/" + b["id"], {"floatingip": {"port_id": port["id"], "fixed_ip_address": "10.0.0.51"}})
        self.change("port", port, fixed_ips=[{"ip_address": "10.0.0.50"}])
        self.assertIsNone(self.show("floatingip", a["id"])["port_id"])       # its address is gone from the port
        self.assertEqual(self.show("floatingip", b["id"])["port_id"], port["id"])
        self.becomes(lambda: [x["fixed"] for x in self.world("routers")[self.r["id"]]["floating"]] == ["10.0.0.50"], "the rest")
        self.gone("port", port["id"])
        left = self.show("floatingip", b["id"])
        self.assertEqual((left["port_id"], left["router_id"], left["status"]), (None, None, "DOWN"))

    def test_moves_to_another_router(self):
        r, (n, s) = self.router(), self.inside("10.60.0.0/24")
        self.plug(r, s)
        here, there = self.port(self.n), self.port(n)
        f = self.floating(port_id=here["id"])
        self.assertEqual(self.change("floatingip", f, port_id=there["id"])["router_id"], r["id"])
        self.becomes(lambda: self.world("routers")[self.r["id"]]["floating"] == [] and len(self.world("routers")[r["id"]]["floating"]) == 1, "the move")
        self.gone("port", there["id"])
        self.unplug(r, subnet_id=s["id"])
        self.gone("router", r["id"])
        self.gone("network", n["id"])

    def test_many_at_once(self):
        def all_at_once(call, rows):
            """call(client, row) for each row, by ten clients."""
            def some(k):
                client = self.cloud.login("demo")
                done = [call(client, row) for row in rows[k::10]]
                client.close()
                return done
            with concurrent.futures.ThreadPoolExecutor(10) as pool:
                return [r for many in pool.map(some, range(10)) for r in many]
        made = all_at_once(lambda c, _: c.post(N + "floatingips", {"floatingip": {"floating_network_id": self.public}}), range(100))
        self.assertEqual({r.status for r in made}, {201})
        self.assertEqual(len({r.json["floatingip"]["floating_ip_address"] for r in made}), 100)
        port = self.port(self.n)
        ids = [r.json["floatingip"]["id"] for r in made]
        put = all_at_once(lambda c, i: c.put(N + "floatingips/" + i, {"floatingip": {"port_id": port["id"]}}).status, ids)
        self.assertEqual(sorted(put), [200] + [409] * 99)
        gone = all_at_once(lambda c, i: c.delete(N + "floatingips/" + i).status, ids)
        self.assertEqual(set(gone), {204})
        self.assertEqual(self.ok(self.admin.get(N + "ports?device_owner=network:floatingip"), 200)["ports"], [])

    def test_forwardings(self):
        f, port = self.floating(), self.port(self.n)
        path = "floatingips/%s/port_forwardings" % f["id"]
        body = lambda **a: {"port_forwarding": {"protocol": "tcp", "internal_port_id": port["id"], "internal_ip_address": self.ips(port)[0], **a}}
        stale = {"If-Match": "revision_number=%d" % (f["revision_number"] + 7)}
        self.assertEqual(self.demo.post(N + path, body(external_port=2222, internal_port=22), headers=stale).status, 412)
        w = self.ok(self.demo.post(N + path, body(external_port=2222, internal_port=22, description="ssh"),
                                   headers={"If-Match": "revision_number=%d" % f["revision_number"]}), 201)["port_forwarding"]
        self.assertNotIn("revision_number", w)                       # so none of it can be asked for
        for n in (1, 2):
            self.assertIn("not supported for this resource", self.demo.delete(N + path + "/" + w["id"], headers={"If-Match": "revision_number=%d" % n}).message)
        self.assertEqual((w["external_port"], w["internal_port"], w["protocol"], w["description"], w["external_port_range"]), (2222, 22, "tcp", "ssh", "2222:2222"))
        self.assertEqual(self.show("floatingip", f["id"])["router_id"], self.r["id"])
        there = self.becomes(lambda: self.world("routers")[self.r["id"]]["forwardings"], "the forwarding")
        self.assertEqual(there, [{"id": w["id"], "external": f["floating_ip_address"], "protocol": "tcp", "external_first": 2222, "external_last": 2222,
                                  "internal": self.ips(port)[0], "internal_first": 22, "internal_last": 22}])
        self.becomes(lambda: self.show("floatingip", f["id"])["status"] == "ACTIVE", "it in force")
        shown = self.show("floatingip", f["id"])["port_forwardings"]
        self.assertEqual([(x["id"], x["external_port"], x["internal_port_id"]) for x in shown], [(w["id"], 2222, port["id"])])
        ranged = self.ok(self.demo.post(N + path, body(external_port_range="8000:8009", internal_port_range="9000:9009", protocol="UDP")), 201)["port_forwarding"]
        self.assertEqual((ranged["external_port"], ranged["internal_port_range"], ranged["protocol"]), (None, "9000:9009", "udp"))
        self.assertEqual(len(self.ok(self.demo.get(N + path), 200)["port_forwardings"]), 2)
        self.assertEqual([x["id"] for x in self.ok(self.demo.get(N + path + "?external_port=2222"), 200)["port_forwardings"]], [w["id"]])
        for bad in ({"external_port": 2222, "internal_port": 23}, {"external_port": 2223, "internal_port": 22}, {"external_port": 0, "internal_port": 1},
                    {"external_port": 70000, "internal_port": 1}, {"external_port": 1}, {"internal_port": 1}, {"external_port": 5, "internal_port": 5, "protocol": "gre"},
                    {"external_port_range": "10:20", "internal_port_range": "10:15"}, {"external_port_range": "20:10", "internal_port": 1},
                    {"external_port_range": "8005:8006", "internal_port": 1, "protocol": "udp"}, {"external_port": 5, "internal_port": 5, "internal_ip_address": "10.0.0.99"}):
            self.refuse(400, "POST", path, body(**bad))
        self.refuse(404, "POST", path, body(external_port=5, internal_port=5, internal_port_id=str(uuid.uuid4())))
        self.refuse(404, "GET", path, who=self.other)
        self.refuse(404, "POST", path, body(external_port=5, internal_port=5), who=self.other)
        c = self.ok(self.demo.put(N + path + "/" + w["id"], {"port_forwarding": {"internal_port": 2022}}), 200)["port_forwarding"]
        self.assertEqual((c["internal_port"], c["external_port"]), (2022, 2222))
        self.becomes(lambda: [x for x in self.world("routers")[self.r["id"]]["forwardings"] if x["internal_first"] == 2022], "the change")
        said = self.refuse(409, "DELETE", "floatingips/" + f["id"])
        self.assertTrue(w["id"] in said and ranged["id"] in said and "in use by Port Forwarding resources." in said, said)
        self.refuse(409, "PUT", "floatingips/" + f["id"], {"floatingip": {"port_id": port["id"]}})
        self.assertIn(f["id"], self.refuse(409, "PUT", "routers/%s/remove_router_interface" % self.r["id"], {"subnet_id": self.s["id"]}))
        g = self.floating()
        self.refuse(404, "GET", "floatingips/%s/port_forwardings/%s" % (g["id"], w["id"]))
        self.assertEqual(self.ok(self.demo.get(N + "floatingips/%s/port_forwardings?floatingip_id=%s" % (g["id"], f["id"])), 200)["port_forwardings"], [])
        used = self.port(self.n)
        self.change("floatingip", g, port_id=used["id"])
        self.refuse(409, "POST", path, body(external_port=5, internal_port=5, internal_port_id=used["id"], internal_ip_address=self.ips(used)[0]))
        self.refuse(409, "POST", "floatingips/%s/port_forwardings" % g["id"], body(external_port=5, internal_port=5))
        self.assertEqual(self.demo.delete(N + path + "/" + ranged["id"]).status, 204)
        self.refuse(404, "GET", path + "/" + ranged["id"])
        self.gone("port", port["id"])
        left = self.show("floatingip", f["id"])
        self.assertEqual((left["port_forwardings"], left["router_id"], left["status"]), ([], None, "DOWN"))
        self.becomes(lambda: self.world("routers")[self.r["id"]]["forwardings"] == [], "the forwarding gone")


    def test_an_interface_moves_only_to_where_it_could_be_added(self):
        port = self.ok(self.demo.get(N + "ports?device_id=" + self.r["id"]), 200)["ports"][0]
        here = {"subnet_id": self.s["id"]}
        there = {"subnet_id": self.subnet(self.n, cidr="10.1.0.0/24")["id"]}

        def refused(status, why, *fixed_ips):
            self.assertIn(why, self.refuse(status, "PUT", "ports/" + port["id"], {"port": {"fixed_ips": fixed_ips}}))
            self.assertEqual(self.ips(self.show("port", port["id"])), ["10.0.0.1"])

        def moved(addresses, *fixed_ips):
            self.assertEqual(self.ips(self.change("port", port, fixed_ips=fixed_ips)), [a.split("/")[0] for a in addresses])
            self.becomes(lambda: [x["addresses"] for x in self.world("routers")[self.r["id"]]["interfaces"] if x["port_id"] == port["id"]] == [addresses], addresses)
        f = self.floating(port_id=self.port(self.n, fixed_ips=[here])["id"])
        refused(409, "Floating IPs: %s." % f["id"], there)
        refused(409, "Floating IPs: %s." % f["id"])
        self.change("port", port, name="its name alone")
        self.change("router", self.r, routes=[{"destination": "192.168.9.0/24", "nexthop": "10.0.0.9"}])
        moved(["10.0.0.7/24", "10.0.0.8/24"], dict(here, ip_address="10.0.0.7"), dict(here, ip_address="10.0.0.8"))
        self.assertEqual(self.show("floatingip", f["id"])["port_id"], f["port_id"])
        moved(["10.0.0.1/24"], dict(here, ip_address="10.0.0.1"))
        refused(400, "nexthop is used by router", dict(here, ip_address="10.0.0.9"))
        self.gone("floatingip", f["id"])
        refused(409, "required by one or more routes", there)
        self.change("router", self.r, routes=[])
        refused(400, "at least one fixed IP")
        refused(400, "multiple IPv4 subnets", here, there)
        six = self.subnet(self.n, ip_version=6, cidr="2001:db8:1::/64")
        foreign = self.subnet(self.n, ip_version=6, cidr="2001:db8:2::/64", ipv6_address_mode="slaac")
        refused(400, "external router", here, {"subnet_id": foreign["id"], "ip_address": "2001:db8:2::7"})
        its = self.show("port", self.plug(self.r, six)["port_id"])
        self.change("port", its, fixed_ips=[dict(its["fixed_ips"][0], ip_address="2001:db8:1::7")])
        refused(400, "both contain IPv6", here, {"subnet_id": self.subnet(self.n, ip_version=6, cidr="2001:db8:3::/64")["id"]})
        self.unplug(self.r, subnet_id=six["id"])
        wide = self.inside("10.1.0.0/16")[1]
        self.plug(self.r, wide)
        refused(400, "overlaps with cidr 10.1.0.0/16", there)
        self.unplug(self.r, subnet_id=wide["id"])
        moved(["10.1.0.1/24"], dict(there, ip_address="10.1.0.1"))
        # Two addresses in its subnet are one interface.
        moved(["10.0.0.1/24", "10.0.0.7/24"], dict(here, ip_address="10.0.0.1"), dict(here, ip_address="10.0.0.7"))
        self.unplug(self.r, subnet_id=self.s["id"])
        self.refuse(404, "GET", "ports/" + port["id"])
        self.plug(self.r, self.s)


class Topology(Base):
    def test_get_me_a_network(self):
        who = self.cloud.new_tenant()
        path = "auto-allocated-topology/"
        self.assertIn("No default subnetpools", self.refuse(409, "GET", path + "None?fields=dry-run", who=who))
        self.refuse(409, "GET", path + who.project_id, who=who)
        self.assertEqual(who.get(N + "routers").json["routers"], [])
        pools = [self.ok(self.admin.post(N + "subnetpools", {"subnetpool": {"name": "p", "prefixes": [prefix], "default_prefixlen": length, "shared": True,
                                                                            "is_default": True}}), 201)["subnetpool"]
                 for prefix, length in (("10.192.0.0/16", 24), ("2001:db8:aa::/48", 64))]
        self.assertEqual(self.ok(who.get(N + path + "None?fields=dry-run"), 200)["auto_allocated_topology"]["id"], "dry-run=pass")
        self.refuse(400, "GET", path + "None?fields=x", who=who)
        self.refuse(404, "GET", path + who.project_id)
        t = self.ok(who.get(N + path + who.project_id), 200)["auto_allocated_topology"]
        self.assertEqual(self.ok(who.get(N + path + "None"), 200)["auto_allocated_topology"], t)
        n = self.show("network", t["id"], who)
        self.assertEqual((n["name"], n["admin_state_up"], len(n["subnets"]), n["project_id"]), ("auto_allocated_network", True, 2, who.project_id))
        r = who.get(N + "routers").json["routers"]
        self.assertEqual([(x["name"], x["external_gateway_info"]["network_id"]) for x in r], [("auto_allocated_router", self.public)])
        self.becomes(lambda: len(self.world("routers")[r[0]["id"]]["interfaces"]) == 2, "the router on the host")
        port = self.port(n, who)
        self.refuse(409, "DELETE", path + "None", who=who)
        self.gone("port", port["id"], who)
        self.change("router", r[0], who, routes=[self.abroad])
        self.assertEqual(who.delete(N + path + "None").status, 204)
        self.assertEqual([who.get(N + x).json[x] for x in ("routers", "subnets")][0], [])
        self.assertEqual(who.get(N + "subnets?project_id=" + who.project_id).json["subnets"], [])
        self.assertEqual(who.delete(N + path + "None").status, 204)
        for p in pools:
            self.gone("subnetpool", p["id"], self.admin)


class Agents(Base):
    def test_whose_router(self):
        r, (n, s) = self.router(out=False), self.inside()
        agents = self.ok(self.admin.get(N + "agents?agent_type=L3+agent"), 200)["agents"]
        self.assertEqual([a["host"] for a in agents], ["local"])
        path, of = "agents/%s/l3-routers" % agents[0]["id"], "routers/%s/l3-agents" % r["id"]
        self.assertEqual(self.ok(self.admin.get(N + of), 200)["agents"], [])
        self.plug(r, s)
        self.becomes(lambda: self.ok(self.admin.get(N + of), 200)["agents"], "the router on a host")
        self.assertEqual([x["id"] for x in self.ok(self.admin.get(N + path), 200)["routers"]], [r["id"]])
        self.assertEqual(self.ok(self.admin.get(N + "agents/" + agents[0]["id"]), 200)["agent"]["configurations"]["routers"], 1)
        self.refuse(403, "GET", path)
        self.refuse(403, "POST", path, {"router_id": r["id"]})
        bridge = self.ok(self.admin.get(N + "agents?agent_type=Linux+bridge+agent"), 200)["agents"][0]["id"]
        self.refuse(409, "GET", "agents/%s/l3-routers" % bridge, who=self.admin)
        self.refuse(404, "GET", "agents/%s/l3-routers" % uuid.uuid4(), who=self.admin)
        self.refuse(400, "POST", path, {}, who=self.admin)
        self.assertEqual(self.admin.delete(N + path + "/" + r["id"], headers={"If-Match": "revision_number=999"}).status, 412)
        self.assertEqual(self.admin.delete(N + path + "/" + r["id"]).status, 204)
        self.becomes(lambda: self.ok(self.admin.get(N + of), 200)["agents"] and r["id"] in self.world("routers"), "it placed again")
        self.unplug(r, subnet_id=s["id"])
        self.assertEqual(self.admin.delete(N + path + "/" + r["id"]).status, 204)
        self.becomes(lambda: r["id"] not in self.world("routers"), "it away")
        self.assertEqual(self.admin.post(N + path, {"router_id": r["id"]}).status, 201)
        self.becomes(lambda: r["id"] in self.world("routers"), "it there")
        self.gone("router", r["id"])
        self.gone("network", n["id"])

    def test_repairs(self):
        r, (n, s) = self.router(), self.inside()
        self.plug(r, s)
        self.becomes(lambda: self.world("routers")[r["id"]]["interfaces"], "the router")
        os.unlink("%s/routers/%s" % (self.cloud.world, r["id"]))
        stray = "abcdefab-cdef-4000-8000-000000000001"
        with open("%s/routers/%s" % (self.cloud.world, stray), "w") as f:
            json.dump({"id": stray}, f)
        self.becomes(lambda: r["id"] in self.world("routers") and stray not in self.world("routers"), "the router back, the stray gone")
        self.cloud.kill_agent()
        os.unlink("%s/routers/%s" % (self.cloud.world, r["id"]))
        f = self.floating(port_id=self.port(n)["id"])
        self.assertEqual(f["status"], "DOWN")
        self.cloud.start_agent()
        self.becomes(lambda: self.world("routers")[r["id"]]["floating"] and self.show("floatingip", f["id"])["status"] == "ACTIVE", "all that changed meanwhile")
        self.gone("floatingip", f["id"])
        self.unplug(r, subnet_id=s["id"])
        self.gone("router", r["id"])


class Hosts(unittest.TestCase):
    """Two hosts: routers are spread, and move when theirs is no longer one of the installation's."""

    def start(self, name):
        path = self.cloud.run + "/%s.sock" % name
        if os.path.exists(path):
            os.unlink(path)
        self.agents[name] = subprocess.Popen([FAKE_AGENT, path, "%s/%s" % (self.cloud.top, name), "--name", name], stderr=subprocess.DEVNULL)

    def end(self):
        for p in self.agents.values():
            p.kill()
            p.wait()
        self.cloud.stop()

    def on(self, host):
        path = "%s/%s/routers" % (self.cloud.top, host)
        return set(os.listdir(path)) if os.path.isdir(path) else set()

    def test_places(self):
        self.agents = {}
        self.cloud = Cloud(agent=False, options={"hosts.sync_s": "1", "log.level": "info"})
        self.addCleanup(self.end)
        address = lambda *names: ";".join("%s=unix:%s/%s.sock" % (n, self.cloud.run, n) for n in names)
        both, one = address("h1", "h2"), address("h2")
        for name in ("h1", "h2"):
            self.start(name)

        def restart(agents):
            self.cloud.kill()
            self.cloud.options["hosts.agents"] = agents
            self.cloud.start()
        restart(both)
        demo, admin = self.cloud.login("demo"), self.cloud.login("admin")
        self.cloud.wait(lambda: len([a for a in admin.get(N + "agents?agent_type=L3+agent").json["agents"] if a["alive"]]) == 2, what="both hosts")
        public = demo.get(N + "networks?router:external=true").json["networks"][0]["id"]
        made = []
        for _ in range(4):
            made.append(demo.post(N + "routers", {"router": {"external_gateway_info": {"network_id": public}}}).json["router"]["id"])
            self.cloud.wait(lambda: made[-1] in self.on("h1") | self.on("h2"), what="the router on a host")
        self.assertEqual((len(self.on("h1")), len(self.on("h2"))), (2, 2))
        moved = self.on("h1")
        self.agents["h1"].kill()
        self.agents["h1"].wait()
        self.cloud.wait(lambda: len([a for a in admin.get(N + "agents?agent_type=L3+agent").json["agents"] if a["alive"]]) == 1, what="h1 down")
        self.assertEqual((self.on("h1"), len(self.on("h2"))), (moved, 2))       # it may come back with them
        restart(one)
        self.cloud.wait(lambda: self.on("h2") == set(made), what="all routers on the host that is left")
        self.start("h1")
        restart(both)
        self.cloud.wait(lambda: self.on("h1") == set(), what="nothing left on the other one")
        self.assertEqual(self.on("h2"), set(made))
        self.cloud.wait(lambda: self.cloud.ctl("doctor").returncode == 0, what="a clean doctor")


del Base

if __name__ == "__main__":
    unittest.main()
