"""tests/http/test_network.py -- networks, subnets, ports and security groups over HTTP: shapes, addresses, tenants, hostile input."""
import concurrent.futures
import ipaddress
import pathlib
import re
import sqlite3
import unittest
import uuid

from cloud import Cloud

N = "/network/v2.0/"
ID = re.compile(r"[0-9a-f-]{36}")


class Base(unittest.TestCase):
    options = {"quota.ports": "-1", "quota.networks": "-1", "quota.subnets": "-1", "quota.security_groups": "-1"}

    @classmethod
    def setUpClass(cls):
        cls.cloud = Cloud(agent=False, options=cls.options)
        cls.addClassCleanup(cls.cloud.stop)
        cls.demo, cls.admin, cls.other = cls.cloud.login("demo"), cls.cloud.login("admin"), cls.cloud.new_tenant()

    def ok(self, reply, status):
        self.assertEqual(reply.status, status, reply)
        return reply.json

    def network(self, who=None, **attrs):
        return self.ok((who or self.demo).post(N + "networks", {"network": attrs}), 201)["network"]

    def subnet(self, network, who=None, **attrs):
        attrs = {"network_id": network["id"], "ip_version": 4, "cidr": "10.0.0.0/24", **attrs}
        return self.ok((who or self.demo).post(N + "subnets", {"subnet": attrs}), 201)["subnet"]

    def port(self, network, who=None, **attrs):
        return self.ok((who or self.demo).post(N + "ports", {"port": {"network_id": network["id"], **attrs}}), 201)["port"]

    def group(self, who=None, **attrs):
        return self.ok((who or self.demo).post(N + "security-groups", {"security_group": {"name": "g", **attrs}}), 201)["security_group"]

    def refuse(self, status, method, path, body=None, who=None, type=None):
        r = (who or self.demo).call(method, N + path, body)
        self.assertEqual(r.status, status, (method, path, body, r))
        self.assertIn("NeutronError", r.json)
        if type:
            self.assertEqual(r.json["NeutronError"]["type"], type, r)
        return r.message

    def ips(self, port):
        return [ip["ip_address"] for ip in port["fixed_ips"]]


class Networks(Base):
    def test_life(self):
        n = self.network(name="a", description="d")
        self.assertEqual((n["status"], n["admin_state_up"], n["shared"], n["mtu"], n["subnets"]), ("ACTIVE", True, False, 1450, []))
        self.assertNotIn("provider:network_type", n)
        changed = self.ok(self.demo.put(N + "networks/" + n["id"], {"network": {"name": "b", "admin_state_up": False}}), 200)["network"]
        self.assertEqual((changed["name"], changed["admin_state_up"]), ("b", False))
        self.assertGreater(changed["revision_number"], n["revision_number"])
        self.assertEqual(self.demo.delete(N + "networks/" + n["id"]).status, 204)
        self.refuse(404, "GET", "networks/" + n["id"])

    def test_default_mtu(self):
        n = self.network(mtu=0)
        self.assertEqual(n["mtu"], 1450)
        for given, mtu in ((1400, 1400), (0, 1450)):
            self.assertEqual(self.ok(self.demo.put(N + "networks/" + n["id"], {"network": {"mtu": given}}), 200)["network"]["mtu"], mtu)

    def test_least_mtu_of_ipv6(self):
        n = self.network(mtu=1279)
        self.subnet(n)
        body = {"subnet": {"network_id": n["id"], "ip_version": 6, "cidr": "2001:db8::/64"}}
        self.assertIn("minimum of 1280", self.refuse(409, "POST", "subnets", body, type="NetworkMTUSubnetConflict"))
        self.ok(self.demo.put(N + "networks/" + n["id"], {"network": {"mtu": 1280}}), 200)
        self.ok(self.demo.post(N + "subnets", body), 201)
        self.refuse(409, "PUT", "networks/" + n["id"], {"network": {"mtu": 1279}}, type="NetworkMTUSubnetConflict")

    def test_one_default_external_network(self):
        public = self.ok(self.demo.get(N + "networks?is_default=true"), 200)["networks"][0]["id"]
        n = self.network(self.admin, **{"router:external": True})
        for r in (self.admin.post(N + "networks", {"network": {"router:external": True, "is_default": True}}),
                  self.admin.put(N + "networks/" + n["id"], {"network": {"is_default": True}})):
            self.assertEqual((r.status, r.json["NeutronError"]["type"]), (409, "DefaultExternalNetworkExists"))
            self.assertEqual(r.message, "A default external network already exists: %s." % public)
        self.ok(self.admin.put(N + "networks/" + public, {"network": {"is_default": True}}), 200)
        self.assertEqual(self.admin.delete(N + "networks/" + n["id"]).status, 204)

    def test_own_numbers(self):
        admin_view = [self.ok(self.admin.get(N + "networks/" + self.network()["id"]), 200)["network"] for _ in range(3)]
        self.assertEqual({n["provider:network_type"] for n in admin_view}, {"vxlan"})
        self.assertEqual(len({n["provider:segmentation_id"] for n in admin_view}), 3)

    def test_bulk_is_all_or_nothing(self):
        two = self.ok(self.demo.post(N + "networks", {"networks": [{"name": "x"}, {"name": "y"}]}), 201)["networks"]
        self.assertEqual([n["name"] for n in two], ["x", "y"])
        name = uuid.uuid4().hex
        self.refuse(400, "POST", "networks", {"networks": [{"name": name}, {"name": name, "no_such": 1}]})
        self.assertEqual(self.demo.get(N + "networks?name=" + name).json["networks"], [])

    def test_public_network(self):
        n = self.ok(self.demo.get(N + "networks?router:external=true"), 200)["networks"][0]
        self.assertEqual((n["name"], n["shared"], n["mtu"]), ("public", True, 1500))
        s = self.ok(self.demo.get(N + "subnets?network_id=" + n["id"]), 200)["subnets"][0]
        self.assertEqual((s["cidr"], s["gateway_ip"], s["enable_dhcp"]), ("172.24.4.0/24", "172.24.4.1", True))

    def test_admin_only_attributes(self):
        for attribute, value in (("shared", True), ("router:external", True), ("provider:network_type", "vxlan"), ("is_default", True)):
            self.refuse(403, "POST", "networks", {"network": {attribute: value}})
        self.refuse(400, "POST", "networks", {"network": {"project_id": self.other.project_id}})
        for attribute in ("id", "status", "revision_number", "created_at", "subnets", "vni"):
            self.refuse(400, "POST", "networks", {"network": {attribute: "x"}})
        n = self.network()
        self.refuse(403, "PUT", "networks/" + n["id"], {"network": {"shared": True}})
        self.network(shared=False, project_id=self.demo.project_id)      # what is so anyway may be said

    def test_booleans_are_words(self):
        on, off = [self.network(name="words", admin_state_up=word) for word in ("Yes", "off")]
        self.assertEqual((on["admin_state_up"], off["admin_state_up"]), (True, False))
        for word, found in (("on", on), ("T", on), ("1", on), ("n", off), ("No", off), ("f", off)):
            rows = self.ok(self.demo.get(N + "networks?name=words&admin_state_up=" + word), 200)["networks"]
            self.assertEqual([n["id"] for n in rows], [found["id"]], word)
        self.refuse(400, "GET", "networks?admin_state_up=maybe")

    def test_refused(self):
        for bad in ({"name": 1}, {"name": "x" * 256}, {"mtu": 10}, {"mtu": "x"}, {"admin_state_up": "maybe"}, {"dns_domain": "no dot"}, {"name": "a\nb"}):
            self.refuse(400, "POST", "networks", {"network": bad})
        self.refuse(400, "POST", "networks", {"network": {"provider:network_type": "flat"}}, self.admin)
        self.refuse(400, "POST", "networks", {"network": {"provider:network_type": "vlan"}}, self.admin)   # no physical network is configured

    def test_descriptions_have_lines(self):
        text = "one\ntwo\t\r\n\x01 'é\"}\nflush ruleset"      # hosts are told of none: a rule's comment there is its id
        g = self.group(description=text)
        rule = {"security_group_rule": {"security_group_id": g["id"], "direction": "ingress", "ethertype": "IPv4", "description": text}}
        n = self.network(description=text)
        self.assertEqual([g["description"], n["description"], self.ok(self.demo.post(N + "security-group-rules", rule), 201)["security_group_rule"]["description"],
                          self.port(n, description=text)["description"], self.subnet(n, description=text)["description"]], [text] * 5)
        self.assertEqual(self.ok(self.demo.get(N + "networks/" + n["id"]), 200)["network"]["description"], text)
        self.refuse(400, "POST", "networks", {"network": {"description": "\n" * 256}})

    def test_tags(self):
        n = self.network(name="tagged")
        path = "networks/%s/tags" % n["id"]
        self.assertEqual(self.ok(self.demo.put(N + path, {"tags": ["red", "blue"]}), 200), {"tags": ["red", "blue"]})
        for query, found in (("tags=red&tags=blue", 1), ("tags=red&tags=green", 0), ("tags=red,red", 1), ("not-tags=red,red", 0),
                             ("not-tags-any=green&not-tags-any=red", 0), ("not-tags=red&not-tags=green", 1), ("tags=red,blue", 1), ("tags=red,green", 0), ("tags-any=red,green", 1), ("not-tags=red,blue", 0), ("not-tags-any=green", 1)):
            rows = self.ok(self.demo.get(N + "networks?name=tagged&" + query), 200)["networks"]
            self.assertEqual(len(rows), found, query)
        self.assertEqual(self.demo.get(N + path + "/red").status, 204)
        self.assertEqual(self.demo.put(N + path + "/green").status, 201)
        self.assertEqual(self.demo.delete(N + path + "/red").status, 204)
        self.refuse(404, "DELETE", path + "/red")
        self.refuse(404, "GET", path, who=self.other)
        wide = ["kubernetes.io/cluster/foo", "a,b", "", "x" * 255, "é\n"] + [f"t{i}" for i in range(60)]
        self.assertEqual(sorted(self.ok(self.demo.put(N + path, {"tags": wide}), 200)["tags"]), sorted(wide))
        self.assertEqual(sorted(self.ok(self.demo.get(N + path), 200)["tags"]), sorted(wide))
        self.assertEqual(self.demo.put(N + path + "/a%2Cb").status, 201)
        self.assertEqual(len(self.ok(self.demo.get(N + "networks?name=tagged&tags-any=b"), 200)["networks"]), 0)
        for bad in (["x" * 256], ["a", "a"], [1], "a", None, [f"t{i}" for i in range(1001)]):
            self.refuse(400, "PUT", path, {"tags": bad})
        self.refuse(400, "PUT", path + "/" + "x" * 256)
        self.ok(self.demo.put(N + path, {"tags": [f"t{i}" for i in range(1000)]}), 200)
        self.assertEqual(self.demo.put(N + path + "/t7").status, 201)
        self.refuse(400, "PUT", path + "/t1000")


class Subnets(Base):
    def test_gateway_has_three_states(self):
        n = self.network()
        chosen = self.subnet(n, cidr="10.0.1.0/24", gateway_ip="10.0.1.254")
        absent = self.subnet(n, cidr="10.0.2.0/24")
        none = self.subnet(n, cidr="10.0.3.0/24", gateway_ip=None)
        self.assertEqual([s["gateway_ip"] for s in (chosen, absent, none)], ["10.0.1.254", "10.0.2.1", None])
        self.assertEqual(chosen["allocation_pools"], [{"start": "10.0.1.1", "end": "10.0.1.253"}])
        self.assertEqual(none["allocation_pools"], [{"start": "10.0.3.1", "end": "10.0.3.254"}])
        self.assertIsNone(self.ok(self.demo.put(N + "subnets/" + absent["id"], {"subnet": {"gateway_ip": None}}), 200)["subnet"]["gateway_ip"])

    def test_dhcp_port_comes_and_goes(self):
        n = self.network()
        ports = lambda: self.ok(self.demo.get(N + "ports?device_owner=network:dhcp&network_id=" + n["id"]), 200)["ports"]
        s = self.subnet(n, enable_dhcp=False)
        self.assertEqual(ports(), [])
        self.ok(self.demo.put(N + "subnets/" + s["id"], {"subnet": {"enable_dhcp": True}}), 200)
        self.assertEqual([self.ips(p) for p in ports()], [["10.0.0.2"]])
        self.refuse(409, "DELETE", "ports/" + ports()[0]["id"])
        six = self.subnet(n, ip_version=6, cidr="2001:db8::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
        self.assertEqual(len(self.ips(ports()[0])), 2)
        self.assertEqual(self.demo.delete(N + "subnets/" + six["id"]).status, 204)
        self.assertEqual([self.ips(p) for p in ports()], [["10.0.0.2"]])
        self.assertEqual(self.demo.delete(N + "subnets/" + s["id"]).status, 204)
        self.assertEqual(ports(), [])
        body = {"network_id": n["id"], "ip_version": 4, "cidr": "10.0.1.0/24", "allocation_pools": []}
        self.assertIn("No more IP addresses", self.refuse(409, "POST", "subnets", {"subnet": body}))        # where DHCP would have none itself
        self.assertEqual(self.subnet(n, **{**body, "enable_dhcp": False})["allocation_pools"], [])

    def test_refused(self):
        n = self.network()
        self.subnet(n)
        for bad in ({"cidr": "10.0.0.128/25"}, {"cidr": "10.1.0.0/33"}, {"cidr": "999.0.0.0/8"}, {"cidr": "0.0.0.0/0"},
                    {"cidr": "10.1.0.0/31"}, {"cidr": "224.0.0.0/24"}, {"cidr": "127.0.0.0/24"}, {"cidr": "10.1.0.0/24", "ip_version": 6},
                    {"cidr": "10.1.0.0/24", "gateway_ip": "10.2.0.1"}, {"cidr": "10.1.0.0/24", "gateway_ip": "10.1.0.0"},
                    {"cidr": "10.1.0.0/24", "gateway_ip": "10.1.0.255"}, {"cidr": "10.1.0.0/24", "gateway_ip": "fe80::1"},
                    {"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.1.0.9", "end": "10.1.0.5"}]},
                    {"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.2.0.1", "end": "10.2.0.5"}]},
                    {"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.1.0.1"}]},
                    {"cidr": "10.1.0.0/24", "dns_nameservers": ["x"]}, {"cidr": "10.1.0.0/24", "dns_nameservers": ["8.8.8.8", "8.8.8.8"]},
                    {"cidr": "10.1.0.0/24", "host_routes": [{"destination": "x", "nexthop": "10.1.0.1"}]},
                    {"cidr": "10.1.0.0/24", "dns_nameservers": ["2001:db8::1"]}, {"cidr": "0.0.0.0/8"},
                    {"cidr": "10.1.0.0/24", "host_routes": [{"destination": "10.9.0.5/24", "nexthop": "10.1.0.1"}]},
                    {"cidr": "10.1.0.0/24", "host_routes": [{"destination": "127.0.0.0/8", "nexthop": "10.1.0.1"}]},
                    {"cidr": "10.1.0.0/24", "host_routes": [{"destination": "::/0", "nexthop": "10.1.0.1"}]},
                    {"cidr": "10.1.0.0/24", "service_types": [1]}, {"cidr": "10.1.0.0/24", "service_types": ["x"]},
                    {"cidr": "10.1.0.0/24", "ipv6_ra_mode": "slaac"}, {"cidr": "10.1.0.0/24", "ip_version": 5}, {},
                    {"ip_version": 6, "cidr": "2001:db8::/80", "ipv6_address_mode": "slaac"},
                    {"ip_version": 6, "cidr": "2001:db8::/63", "ipv6_address_mode": "dhcpv6-stateful"},
                    {"ip_version": 6, "cidr": "2001:db8::/63", "ipv6_ra_mode": "dhcpv6-stateful"},
                    {"ip_version": 6, "cidr": "2001:db8::/64", "ipv6_address_mode": "slaac", "ipv6_ra_mode": "dhcpv6-stateful"}):
            self.refuse(400, "POST", "subnets", {"subnet": {"network_id": n["id"], "ip_version": 4, **bad}})
        self.subnet(n, ip_version=6, cidr="2001:db8::/48")
        self.subnet(n, ip_version=6, cidr="2001:db9::/80", ipv6_address_mode="dhcpv6-stateful", ipv6_ra_mode="dhcpv6-stateful")
        for pools in ([{"start": "10.1.0.1", "end": "10.1.0.9"}], [{"start": "10.1.0.5", "end": "10.1.0.9"}, {"start": "10.1.0.8", "end": "10.1.0.20"}]):
            self.refuse(409, "POST", "subnets", {"subnet": {"network_id": n["id"], "ip_version": 4, "cidr": "10.1.0.0/24", "allocation_pools": pools}})

    def test_written_otherwise(self):
        """Host bits go, IPv6 addresses become one form of text, and null is an empty list."""
        n, put = self.network(), lambda s, status=200, **attrs: self.ok(self.demo.put(N + "subnets/" + s["id"], {"subnet": attrs}), status).get("subnet")
        s = self.subnet(n, cidr="10.2.0.5/24", dns_nameservers=None, host_routes=None)
        self.assertEqual((s["cidr"], s["gateway_ip"], s["dns_nameservers"], s["host_routes"]), ("10.2.0.0/24", "10.2.0.1", [], []))
        s = put(s, dns_nameservers=["8.8.8.8"], host_routes=[{"destination": "10.9.0.0/24", "nexthop": "10.2.0.9"}])
        s = put(s, dns_nameservers=None, host_routes=None)
        self.assertEqual((s["dns_nameservers"], s["host_routes"]), ([], []))
        six = self.subnet(n, ip_version=6, cidr="FD00:9:0::5/64", gateway_ip="FD00:9::0001", allocation_pools=[{"start": "FD00:9::0010", "end": "fd00:9::FF"}],
                          host_routes=[{"destination": "fd00:8::/64", "nexthop": "FD00:9::0002"}])
        self.assertEqual((six["cidr"], six["gateway_ip"], six["allocation_pools"], six["host_routes"][0]["nexthop"]),
                         ("fd00:9::/64", "fd00:9::1", [{"start": "fd00:9::10", "end": "fd00:9::ff"}], "fd00:9::2"))
        self.port(n, fixed_ips=[{"subnet_id": six["id"], "ip_address": "FD00:9::0005"}])
        for taken in ("fd00:9::5", "FD00:9::0005"):
            put(six, 409, gateway_ip=taken)
        self.assertEqual(put(six, gateway_ip="FD00:9::0001")["gateway_ip"], "fd00:9::1")
        outside = self.subnet(n, ip_version=4, cidr="10.3.0.0/24", enable_dhcp=False)
        self.assertIn("10.99.0.1 is not in 10.3.0.0/24", self.refuse(400, "PUT", "subnets/" + outside["id"], {"subnet": {"gateway_ip": "10.99.0.1"}}))

    def test_sorts(self):
        n = self.network()
        made = [self.subnet(n, cidr="10.%d.0.0/24" % (9 - i), gateway_ip=None if i == 1 else "10.%d.0.7" % (9 - i))["id"] for i in range(3)]
        rows = self.ok(self.demo.get(N + "subnets?sort_key=gateway_ip&network_id=" + n["id"]), 200)["subnets"]
        self.assertEqual([s["id"] for s in rows], [made[1], made[2], made[0]])
        for path, keys in (("subnets", ("ipv6_ra_mode", "ipv6_address_mode", "subnetpool_id")), ("floatingips", ("fixed_ip_address", "router_id")),
                           ("subnetpools", ("address_scope_id", "default_quota")), ("networks", ("availability_zone_hints",)), ("address-groups", ("description",))):
            for key in keys:
                self.ok(self.demo.get(N + path + "?sort_key=" + key), 200)

    def test_service_types(self):
        """A port gets its address from a subnet for its owner, whatever service that is."""
        n = self.network()
        types = ("compute:nova", "network:distributed"), ("test:type_1", "network:distributed"), ("test:type_2",)
        made = [self.subnet(n, cidr="10.%d.0.0/24" % i, service_types=list(t)) for i, t in enumerate(types)]
        self.assertEqual([s["service_types"] for s in made], [list(t) for t in types])
        for i, owner in enumerate(("compute:nova", "test:type_1", "test:type_2")):
            self.assertEqual([ip["subnet_id"] for ip in self.port(n, device_owner=owner)["fixed_ips"]], [made[i]["id"]])
        for bad in (":x", " :x", "", "x" * 255 + ":"):
            self.refuse(400, "PUT", "subnets/" + made[0]["id"], {"subnet": {"service_types": [bad]}})

    def test_busy(self):
        n = self.network()
        s = self.subnet(n)
        p = self.port(n)
        r = self.demo.delete(N + "subnets/" + s["id"])
        self.assertEqual((r.status, r.json["NeutronError"]["type"]), (409, "SubnetInUse"))
        self.assertTrue(r.message.endswith("Ports: %s." % p["id"]), r)
        self.assertIn(p["id"], self.refuse(409, "DELETE", "networks/" + n["id"]))
        self.assertEqual(self.demo.delete(N + "ports/" + p["id"]).status, 204)
        self.assertEqual(self.demo.delete(N + "networks/" + n["id"]).status, 204)
        self.refuse(404, "GET", "subnets/" + s["id"])


class Ports(Base):
    def test_addresses(self):
        n = self.network()
        four = self.subnet(n, cidr="10.0.0.0/28")
        stateful = self.subnet(n, ip_version=6, cidr="2001:db8:1::/64", ipv6_ra_mode="dhcpv6-stateful", ipv6_address_mode="dhcpv6-stateful")
        self.subnet(n, ip_version=6, cidr="2001:db8:2::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
        p = self.port(n, mac_address="fa:16:3e:00:00:01")
        self.assertEqual(sorted(self.ips(p)), ["10.0.0.3", "2001:db8:1::3", "2001:db8:2:0:f816:3eff:fe00:1"])
        q = self.port(n, fixed_ips=[{"ip_address": "10.0.0.9"}, {"subnet_id": four["id"]}])
        self.assertEqual(sorted(self.ips(q))[:2], ["10.0.0.4", "10.0.0.9"])
        none = self.port(n, fixed_ips=[])
        self.assertEqual(none["fixed_ips"], [])
        moved = self.ok(self.demo.put(N + "ports/" + q["id"], {"port": {"fixed_ips": [{"ip_address": "10.0.0.9"}, {"ip_address": "10.0.0.10"}]}}), 200)["port"]
        self.assertEqual(sorted(self.ips(moved))[:2], ["10.0.0.10", "10.0.0.9"])
        self.assertEqual(self.ips(self.port(n, fixed_ips=[{"subnet_id": four["id"]}]))[0], "10.0.0.4")     # free again
        rows = self.ok(self.demo.get(N + "ports?fixed_ips=ip_address=10.0.0.9"), 200)["ports"]
        self.assertEqual([r["id"] for r in rows], [q["id"]])
        self.assertEqual(len(self.ok(self.demo.get(N + "ports?fixed_ips=subnet_id=" + stateful["id"]), 200)["ports"]), 2)

    def test_addresses_that_hosts_make_stay(self):
        n = self.network()
        self.subnet(n)
        six = self.subnet(n, ip_version=6, cidr="2001:db8:2::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
        own = lambda last: "2001:db8:2:0:f816:3eff:fe01:" + last
        p = self.port(n, mac_address="fa:16:3e:01:00:01", fixed_ips=[{"ip_address": "10.0.0.5"}, {"ip_address": "10.0.0.6"}])
        change = lambda who=self.demo, **attrs: sorted(self.ips(self.ok(who.put(N + "ports/" + p["id"], {"port": attrs}), 200)["port"]))
        self.assertEqual(change(fixed_ips=[{"ip_address": "10.0.0.5"}]), ["10.0.0.5", own("1")])
        self.assertEqual(change(fixed_ips=[{"ip_address": "10.0.0.7"}]), ["10.0.0.7", own("1")])
        self.assertEqual(change(fixed_ips=[]), [own("1")])
        self.assertEqual(change(fixed_ips=[{"subnet_id": six["id"]}, {"ip_address": "10.0.0.8"}]), ["10.0.0.8", own("1")])
        # They are made of the MAC.
        self.assertEqual(change(self.admin, mac_address="fa:16:3e:01:00:02"), ["10.0.0.8", own("2")])
        self.assertEqual(change(self.admin, mac_address="fa:16:3e:01:00:03", fixed_ips=[{"ip_address": own("3")}]), [own("3")])
        self.assertEqual(change(self.admin, mac_address="fa:16:3e:01:00:04", fixed_ips=[{"ip_address": own("3")}, {"ip_address": "10.0.0.8"}]), ["10.0.0.8", own("4")])
        self.assertEqual(self.ips(self.port(n, mac_address="fa:16:3e:01:00:01", fixed_ips=[{"ip_address": own("1")}])), [own("1")])       # free again

    def test_an_address_is_asked_for_once(self):
        """Whether it is named, spelled in another way, or the one that the host makes of the port's MAC."""
        n = self.network()
        self.subnet(n)
        six = self.subnet(n, ip_version=6, cidr="2001:db8:2::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
        own, mac = "2001:db8:2:0:f816:3eff:fe01:1", "fa:16:3e:01:00:01"
        automatic, named, four = {"subnet_id": six["id"]}, {"ip_address": own}, {"ip_address": "10.0.0.5"}
        twice = [automatic, automatic], [named, automatic], [automatic, four, dict(named, **automatic)], [named, {"ip_address": own.upper()}], [four, four]
        for asked in twice:
            body = {"network_id": n["id"], "mac_address": mac, "fixed_ips": asked}
            self.assertIn("fixed_ips", self.refuse(400, "POST", "ports", {"port": body}))
        p = self.port(n, mac_address=mac, fixed_ips=[automatic])
        for asked in twice:
            self.assertIn("fixed_ips", self.refuse(400, "PUT", "ports/" + p["id"], {"port": {"fixed_ips": asked}}))
        self.assertEqual(self.ips(self.ok(self.demo.get(N + "ports/" + p["id"]), 200)["port"]), [own])

    def test_theft(self):
        n = self.network()
        s = self.subnet(n)
        taken = self.ips(self.port(n))[0]
        for address in ("10.0.0.1", "10.0.0.0", "10.0.0.255", "10.0.1.5", "::1", "x", "10.0.0.5/32"):
            self.refuse(400, "POST", "ports", {"port": {"network_id": n["id"], "fixed_ips": [{"ip_address": address}]}})
        for address in (taken, "10.0.0.2"):
            self.refuse(409, "POST", "ports", {"port": {"network_id": n["id"], "fixed_ips": [{"ip_address": address, "subnet_id": s["id"]}]}})
        foreign = self.subnet(self.network(self.other), self.other)
        self.refuse(400, "POST", "ports", {"port": {"network_id": n["id"], "fixed_ips": [{"subnet_id": foreign["id"]}]}})
        mac = self.port(n, mac_address="fa:16:3e:00:00:02")["mac_address"]
        self.refuse(409, "POST", "ports", {"port": {"network_id": n["id"], "mac_address": mac.upper()}}, type="MacAddressInUse")
        p = self.port(n, mac_address="FA-16-3E-00-00-03")
        self.assertEqual(p["mac_address"], "fa:16:3e:00:00:03")
        self.assertIn("mac address %s is in use" % mac, self.refuse(409, "PUT", "ports/" + p["id"], {"port": {"mac_address": "fa163e000002"}}, self.admin, "MacAddressInUse"))
        p = self.ok(self.admin.put(N + "ports/" + p["id"], {"port": {"mac_address": "fa16.3e00.0004"}}), 200)["port"]
        self.assertEqual(p["mac_address"], "fa:16:3e:00:00:04")
        for spelled in ("FA:16:3E:00:00:04", "fa-16-3e-0-0-4", "fa163e000004"):
            self.assertEqual([r["id"] for r in self.ok(self.demo.get(N + "ports?mac_address=" + spelled), 200)["ports"]], [p["id"]], spelled)
        self.assertEqual(self.ok(self.demo.get(N + "ports?mac_address=x"), 200)["ports"], [])
        for bad in ("01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "fa:16:3e", 5):
            self.refuse(400, "POST", "ports", {"port": {"network_id": n["id"], "mac_address": bad}})

    def test_hundred_at_once(self):
        n = self.network()
        self.subnet(n)

        def create(_):
            client = self.cloud.login("demo")
            made = [client.post(N + "ports", {"port": {"network_id": n["id"]}}) for _ in range(5)]
            client.close()
            return made
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            replies = [r for many in pool.map(create, range(20)) for r in many]
        self.assertEqual({r.status for r in replies}, {201})
        got = [self.ips(r.json["port"])[0] for r in replies]
        self.assertEqual(sorted(map(ipaddress.ip_address, got)), [ipaddress.ip_address("10.0.0.3") + i for i in range(100)])

    def test_one_address_a_hundred_times(self):
        n = self.network()
        self.subnet(n)
        body = {"port": {"network_id": n["id"], "fixed_ips": [{"ip_address": "10.0.0.77"}]}}

        def create(_):
            client = self.cloud.login("demo")
            statuses = [client.post(N + "ports", body).status for _ in range(10)]
            client.close()
            return statuses
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            statuses = [s for many in pool.map(create, range(10)) for s in many]
        self.assertEqual((statuses.count(201), statuses.count(409)), (1, 99))

    def test_exhaustion(self):
        n = self.network()
        self.subnet(n, cidr="10.0.0.0/29")
        for _ in range(4):
            self.port(n)
        self.assertIn("No more IP addresses", self.refuse(409, "POST", "ports", {"port": {"network_id": n["id"]}}))

    def test_security(self):
        n = self.network()
        self.subnet(n)
        g = self.group()
        p = self.port(n, security_groups=[g["id"]], allowed_address_pairs=[{"ip_address": "10.0.0.200"}])
        self.assertEqual(p["allowed_address_pairs"], [{"ip_address": "10.0.0.200", "mac_address": p["mac_address"]}])
        self.refuse(409, "DELETE", "security-groups/" + g["id"])
        self.refuse(409, "PUT", "ports/" + p["id"], {"port": {"port_security_enabled": False}}, type="PortSecurityPortHasSecurityGroup")
        off = {"port_security_enabled": False, "security_groups": [], "allowed_address_pairs": []}
        self.assertFalse(self.ok(self.demo.put(N + "ports/" + p["id"], {"port": off}), 200)["port"]["port_security_enabled"])
        for method, where, more in (("PUT", "ports/" + p["id"], {}), ("POST", "ports", {"network_id": n["id"], "port_security_enabled": False})):
            self.refuse(400, method, where, {"port": {"security_groups": [g["id"]], **more}}, type="PortSecurityAndIPRequiredForSecurityGroups")
        self.assertEqual(self.demo.delete(N + "security-groups/" + g["id"]).status, 204)
        self.assertEqual(self.port(n, security_groups=[])["security_groups"], [])
        for pairs in ([{"ip_address": "x"}], [{}], [{"ip_address": "10.0.0.1", "mac_address": "x"}], [{"ip_address": "10.0.0.1"}] * 2, "x", [1]):
            self.refuse(400, "POST", "ports", {"port": {"network_id": n["id"], "allowed_address_pairs": pairs}})
        pairs = [{"ip_address": "10.9.0.%d" % i} for i in range(11)]
        self.refuse(400, "POST", "ports", {"port": {"network_id": n["id"], "allowed_address_pairs": pairs}}, type="AllowedAddressPairExhausted")
        p = self.port(n, mac_address="fa:16:3e:00:00:02", allowed_address_pairs=[{"ip_address": "10.9.0.1", "mac_address": "FA-16-3E-00-00-03"}])
        self.assertEqual(p["allowed_address_pairs"][0]["mac_address"], "fa:16:3e:00:00:03")
        twice = [{"ip_address": "10.9.0.1"}, {"ip_address": "10.9.0.1", "mac_address": "fa163e000002"}]
        self.refuse(400, "PUT", "ports/" + p["id"], {"port": {"allowed_address_pairs": twice}}, type="DuplicateAddressPairInRequest")

    def test_null_is_empty(self):
        n = self.network(self.admin)
        empty = {"security_groups": [], "allowed_address_pairs": [], "extra_dhcp_opts": [], "binding:profile": {}, "binding:host_id": ""}
        nulls = dict.fromkeys(empty)
        p = self.port(n, self.admin, **nulls)
        self.assertEqual(p, {**p, **empty})
        opts = [{"opt_name": "150", "opt_value": "10.0.0.1", "ip_version": 4}]
        full = {"security_groups": [self.group(self.admin)["id"]], "allowed_address_pairs": [{"ip_address": "10.9.0.1"}], "extra_dhcp_opts": opts,
                "binding:profile": {"a": 1}, "binding:host_id": "elsewhere"}
        self.ok(self.admin.put(N + "ports/" + p["id"], {"port": full}), 200)
        p = self.ok(self.admin.put(N + "ports/" + p["id"], {"port": nulls}), 200)["port"]
        self.assertEqual(p, {**p, **empty, "extra_dhcp_opts": opts})         # options go one by one
        for attr in ("binding:profile", "binding:host_id"):
            self.refuse(403, "POST", "ports", {"port": {"network_id": self.network()["id"], attr: None}})
        for attr in ("fixed_ips", "mac_address", "device_id", "binding:vnic_type"):
            self.refuse(400, "POST", "ports", {"port": {"network_id": n["id"], attr: None}}, self.admin)

    def test_vnic_types(self):
        n = self.network()
        self.assertEqual(self.port(n, **{"binding:vnic_type": "normal"})["binding:vnic_type"], "normal")
        for other in ("direct", "macvtap", "baremetal", "virtio-forwarder"):
            self.assertIn("[normal]", self.refuse(400, "POST", "ports", {"port": {"network_id": n["id"], "binding:vnic_type": other}}))

    def test_groups_agree(self):
        n, a, b, c = self.network(), self.group(), self.group(), self.group(stateful=False)
        mixed = {"security_groups": [a["id"], c["id"]]}
        self.refuse(409, "POST", "ports", {"port": {"network_id": n["id"], **mixed}}, type="SecurityGroupConflict")
        p = self.port(n, security_groups=[a["id"], b["id"]])
        self.refuse(409, "PUT", "ports/" + p["id"], {"port": mixed}, type="SecurityGroupConflict")
        self.refuse(409, "PUT", "security-groups/" + a["id"], {"security_group": {"stateful": False}}, type="SecurityGroupInUse")
        self.ok(self.demo.put(N + "security-groups/" + a["id"], {"security_group": {"stateful": True, "description": "same"}}), 200)
        self.ok(self.demo.put(N + "ports/" + p["id"], {"port": {"security_groups": [c["id"]]}}), 200)
        self.ok(self.demo.put(N + "security-groups/" + a["id"], {"security_group": {"stateful": False}}), 200)

    def test_ports_of_any_group(self):
        n, groups = self.network(), [self.group() for _ in range(3)]
        a, b, c = (g["id"] for g in groups)
        ports = [self.port(n, security_groups=ids)["id"] for ids in ([a], [b], [a, b], [c])]
        for query, found in (("security_groups=" + a, {0, 2}), ("security_groups=%s&security_groups=%s" % (a, b), {0, 1, 2}),
                             ("security_groups=%s&security_groups=%s&id=%s" % (a, b, ports[1]), {1})):
            self.assertEqual({ports.index(p["id"]) for p in self.ok(self.demo.get(N + "ports?" + query), 200)["ports"]}, found, query)

    def test_what_is_not_there(self):
        gone = str(uuid.uuid4())
        for path, type in (("networks", "Network"), ("subnets", "Subnet"), ("ports", "Port"), ("routers", "Router"), ("floatingips", "FloatingIP"), ("trunks", "Trunk"),
                           ("security-groups", "SecurityGroup"), ("security-group-rules", "SecurityGroupRule"), ("subnetpools", "SubnetPool"),
                           ("address-scopes", "AddressScope"), ("address-groups", "AddressGroup"), ("qos/policies", "QosPolicy"), ("rbac-policies", "RbacPolicy")):
            for method, body in (("GET", None), ("DELETE", None)):
                self.refuse(404, method, path + "/" + gone, body, self.admin, type + "NotFound")
        self.refuse(404, "POST", "ports", {"port": {"network_id": gone}}, type="NetworkNotFound")
        self.refuse(404, "POST", "ports", {"port": {"network_id": self.network()["id"], "security_groups": [gone]}}, type="SecurityGroupNotFound")

    def test_dhcp_options(self):
        n = self.network()
        p = self.port(n, extra_dhcp_opts=[{"opt_name": "bootfile-name", "opt_value": "pxelinux.0"}, {"opt_name": "150", "opt_value": "10.0.0.1,10.0.0.2"}])
        self.assertEqual(p["extra_dhcp_opts"][0], {"opt_name": "bootfile-name", "opt_value": "pxelinux.0", "ip_version": 4})
        self.port(n, extra_dhcp_opts=[{"opt_name": name, "opt_value": "a.example,b.example"} for name in ("domain-search", "119")])
        r = self.demo.put(N + "ports/" + p["id"], {"port": {"extra_dhcp_opts": [{"opt_name": "150", "opt_value": None}]}})
        self.assertEqual([o["opt_name"] for o in self.ok(r, 200)["port"]["extra_dhcp_opts"]], ["bootfile-name"])
        for name, value in (("bootfile-name", "x\nconf-file=/etc/shadow"), ("bootfile\n-name", "x"), ("tag:x,option:3", "x"), ("tag:ipxe,67", "x"), ("domain-search", "a.b,tag:x"), ("bootfile-name", "a.b,c.d"), ("option:router", "x"), ("256", "x"),
                            ("bootfile-name", "a,tag:b"), ("bootfile-name", "x" * 256), ("bootfile-name", "\x7f"), ("bootfile-name", "é"), ("", "x")):
            self.refuse(400, "POST", "ports", {"port": {"network_id": n["id"], "extra_dhcp_opts": [{"opt_name": name, "opt_value": value}]}})

    def test_names(self):
        n = self.network()
        self.subnet(n)
        self.assertEqual(self.port(n, dns_name="web-1")["dns_name"], "web-1")
        for given, kept, fqdn in (("WEB-2", "web-2", "web-2.nuvolet.internal."), ("H1.nuvolet.Internal.", "h1.nuvolet.internal.", "h1.nuvolet.internal.")):
            p = self.port(n, dns_name=given)
            self.assertEqual((p["dns_name"], p["dns_assignment"][0]["hostname"], p["dns_assignment"][0]["fqdn"]), (kept, kept, fqdn))
        self.ok(self.demo.put(N + "ports/" + p["id"], {"port": {"dns_name": "Other"}}), 200)
        self.assertEqual([x["id"] for x in self.ok(self.demo.get(N + "ports?dns_name=other"), 200)["ports"]], [p["id"]])
        for name in ("abc.", "h1.elsewhere.", ".nuvolet.internal.", "nuvolet.internal.", "a.b.c", "a.b.nuvolet.internal."):
            self.refuse(400, "POST", "ports", {"port": {"network_id": n["id"], "dns_name": name}})
        self.assertEqual(self.network(dns_domain="Example.ORG.")["dns_domain"], "example.org.")
        for name in ("a\nfa:16:3e:0:0:1,10.0.0.9", "*", "a,b", "-x", "x" * 64, ".".join(["a"] * 127) + "aa", "\U0001f600", "a b"):
            self.refuse(400, "POST", "ports", {"port": {"network_id": n["id"], "dns_name": name}})


class Groups(Base):
    def test_default(self):
        fresh = self.cloud.new_tenant()
        groups = self.ok(fresh.get(N + "security-groups"), 200)["security_groups"]
        self.assertEqual([g["name"] for g in groups], ["default"])
        rules = {(r["direction"], r["ethertype"], r["remote_group_id"]) for r in groups[0]["security_group_rules"]}
        own = groups[0]["id"]
        self.assertEqual(rules, {("egress", "IPv4", None), ("egress", "IPv6", None), ("ingress", "IPv4", own), ("ingress", "IPv6", own)})
        self.refuse(409, "DELETE", "security-groups/" + own, who=fresh)
        self.refuse(409, "PUT", "security-groups/" + own, {"security_group": {"name": "mine"}}, fresh)
        plain = self.group(fresh)
        for name in ("default", "Default", "DEFAULT"):
            for method, path in (("POST", ""), ("PUT", "/" + plain["id"]), ("PUT", "/" + own)):
                self.refuse(409, method, "security-groups" + path, {"security_group": {"name": name}}, fresh, "SecurityGroupDefaultAlreadyExists")
        self.ok(fresh.put(N + "security-groups/" + own, {"security_group": {"description": "mine"}}), 200)

    def test_default_for_who_asks_for_rules_first(self):
        fresh = self.cloud.new_tenant()
        self.assertEqual(len(self.ok(fresh.get(N + "security-group-rules?project_id=" + fresh.project_id), 200)["security_group_rules"]), 4)
        self.assertEqual(len(self.ok(fresh.get(N + "security-groups"), 200)["security_groups"]), 1)

    def test_nothing_made_for_strangers(self):
        before = len(self.ok(self.admin.get(N + "security-groups"), 200)["security_groups"])
        for _ in range(20):
            ghost = uuid.uuid4().hex
            self.assertEqual(self.ok(self.admin.get(N + "security-groups?project_id=" + ghost), 200)["security_groups"], [])
            self.assertEqual(self.ok(self.demo.get(N + "security-groups?tenant_id=" + ghost), 200)["security_groups"], [])
        self.assertEqual(len(self.ok(self.admin.get(N + "security-groups"), 200)["security_groups"]), before)

    def test_no_project_that_is_not(self):
        net = self.network()
        ghost = uuid.uuid4().hex
        for plural, single, body in (("networks", "network", {}), ("security-groups", "security_group", {"name": "g"}), ("ports", "port", {"network_id": net["id"]}),
                                     ("subnets", "subnet", {"network_id": net["id"], "cidr": "10.77.0.0/24", "ip_version": 4}), ("routers", "router", {}),
                                     ("subnetpools", "subnetpool", {"name": "p", "prefixes": ["10.78.0.0/16"]}), ("address-groups", "address_group", {"name": "a"})):
            with self.subTest(plural):
                self.refuse(400, "POST", plural, {single: {**body, "project_id": ghost}}, self.admin)
                self.assertEqual(self.ok(self.admin.get(N + plural + "?project_id=" + ghost), 200)[plural.replace("-", "_")], [])

    def rule(self, group, **attrs):
        return {"security_group_rule": {"security_group_id": group["id"], "direction": "ingress", **attrs}}

    def test_rules(self):
        g = self.group()
        self.assertEqual({r["direction"] for r in g["security_group_rules"]}, {"egress"})
        for attrs in ({"protocol": "tcp", "port_range_min": 22, "port_range_max": 22}, {"protocol": "icmp", "port_range_min": 8, "port_range_max": 0}, {"protocol": 112},
                      {"protocol": "udp", "remote_ip_prefix": "192.168.1.0/24"}, {"remote_group_id": g["id"]}, {"ethertype": "IPv6", "protocol": "icmpv6"},
                      {"ethertype": "IPv6", "remote_ip_prefix": "2001:db8::/32"}, {"remote_ip_prefix": "1.2.3.4"}):
            made = self.ok(self.demo.post(N + "security-group-rules", self.rule(g, **attrs)), 201)["security_group_rule"]
            self.refuse(409, "POST", "security-group-rules", self.rule(g, **attrs))
            self.assertEqual(self.demo.get(N + "security-group-rules/" + made["id"]).status, 200)
        self.assertEqual(made["normalized_cidr"], "1.2.3.4/32")
        self.assertEqual(self.demo.delete(N + "security-group-rules/" + made["id"]).status, 204)

    def test_one_spelling(self):
        """What Neutron keeps of a rule (shown), and which rules it takes for the same (twins)."""
        ports = {"port_range_min": 1, "port_range_max": 65535}
        none = {"port_range_min": None, "port_range_max": None}
        six = {"ethertype": "IPv6"}
        for attrs, shown, twins in (
                ({"remote_ip_prefix": "10.0.0.5"}, {"remote_ip_prefix": "10.0.0.5/32", "normalized_cidr": "10.0.0.5/32"}, [{"remote_ip_prefix": "10.0.0.5/32"}]),
                ({"remote_ip_prefix": "10.0.0.5/24"}, {"remote_ip_prefix": "10.0.0.5/24", "normalized_cidr": "10.0.0.0/24"}, []),
                ({"remote_ip_prefix": "10.0.0.0/24"}, {"remote_ip_prefix": "10.0.0.0/24"}, []),
                ({**six, "remote_ip_prefix": "2001:DB8::/32"}, {"remote_ip_prefix": "2001:db8::/32"}, [{"remote_ip_prefix": "2001:db8:0::/32"}]),
                ({"protocol": "TCP"}, {"protocol": "tcp"}, [{"protocol": 6}, {"protocol": "6"}, {**ports, "protocol": "6"}, {"remote_ip_prefix": ""}]),
                ({"protocol": 17, **ports}, {"protocol": "17", **none}, [{"protocol": "udp", **none}]),
                ({"protocol": "hopopt"}, {"protocol": "hopopt"}, []), ({"protocol": 0}, {"protocol": "0"}, [{"protocol": "ip"}]), ({"protocol": 200}, {"protocol": "200"}, []),
                ({"remote_ip_prefix": ""}, {"remote_ip_prefix": None}, [{"remote_ip_prefix": "0.0.0.0/0"}, {"remote_ip_prefix": None, **ports}]),
                ({**six, "remote_ip_prefix": "::/0"}, {"remote_ip_prefix": "::/0", "normalized_cidr": "::/0"}, [{"remote_ip_prefix": None}]),
                ({**six, "protocol": "icmp"}, {"protocol": "ipv6-icmp"}, [{"protocol": p} for p in ("icmpv6", "ipv6-icmp", "1", 58)]),
                ({"ethertype": "ipv6", "protocol": 1, "port_range_min": 128}, {"protocol": "58", "ethertype": "IPv6"}, [{"protocol": "icmpv6"}])):
            with self.subTest(attrs):
                if attrs["protocol" if "protocol" in attrs else "remote_ip_prefix"] in ("10.0.0.5", "TCP"):
                    g = self.group()
                made = self.ok(self.demo.post(N + "security-group-rules", self.rule(g, **attrs)), 201)["security_group_rule"]
                self.assertEqual(made, {**made, **shown})
                for twin in ({}, *twins):
                    r = self.demo.post(N + "security-group-rules", self.rule(g, **{**attrs, **twin}))
                    self.assertEqual((r.status, r.json.get("NeutronError", {}).get("type")), (409, "SecurityGroupRuleExists"), (twin, r))
                    self.assertIn(made["id"], r.message)
        for everything in ({"remote_ip_prefix": "0.0.0.0/0"}, {**six, "remote_ip_prefix": "::/0"}, ports):       # the group's own, from the first
            self.refuse(409, "POST", "security-group-rules", self.rule(g, direction="egress", **everything))

    def test_old_spellings(self):
        """Rules that an older version stored as they were given are the twins of what is given now."""
        g = self.group()
        old = [{"ethertype": "IPv6", "protocol": p, "remote_ip_prefix": a, "port_range_min": low, "port_range_max": high} for p, a, low, high in
               (("icmp", None, 8, None), ("icmpv6", None, None, None), ("1", None, 9, 0), ("tcp", None, 1, 65535), ("udp", "2001:DB8::/32", 1, 2), ("udp", "2001:DB8::1", 1, 2), ("udp", "FD00:0:0:0::/64", 1, 2), ("udp", "fd00:0::0001", 1, 2))]
        made = [self.ok(self.demo.post(N + "security-group-rules", self.rule(g, **r)), 201)["security_group_rule"]["id"] for r in old]
        migration = (pathlib.Path(__file__).parents[2] / "db/migrations/012-rule.sql").read_text()
        with sqlite3.connect(self.cloud.state + "/nuvolet.db", timeout=10) as db:
            for rule_id, r in zip(made, old):
                db.execute("UPDATE security_group_rule SET %s WHERE id = ?" % ",".join(k + "=?" for k in r), (*r.values(), rule_id))
            db.create_function("cidr_spelled", 1, lambda text: str(ipaddress.ip_interface(text)))       # test_db.c has the real one
            db.executescript(migration)
        db.close()
        for rule_id, r in zip(made, old):
            self.assertIn(rule_id, self.refuse(409, "POST", "security-group-rules", self.rule(g, **r)))
            if r["remote_ip_prefix"]:
                rows = self.ok(self.demo.get(N + "security-group-rules?security_group_id=%s&remote_ip_prefix=%s" % (g["id"], r["remote_ip_prefix"])), 200)
                self.assertEqual([x["id"] for x in rows["security_group_rules"]], [rule_id], r)

    def test_rules_in_lists(self):
        g, h = self.group(), self.group()
        want = [{"protocol": p, "port_range_min": n, "port_range_max": n + 1, "remote_ip_prefix": a} for p, n, a in
                (("tcp", 9, "10.0.0.1/32"), ("udp", 80, "10.0.0.0/8"), ("tcp", 81, None))]
        rules = [self.rule(g, **w)["security_group_rule"] for w in want]
        r = self.demo.post(N + "security-group-rules", {"security_group_rules": [*rules, self.rule(h)["security_group_rule"]]})
        self.assertEqual((r.status, r.json["NeutronError"]["type"]), (400, "SecurityGroupNotSingleGroupRules"))
        r = self.admin.post(N + "security-group-rules", {"security_group_rules": [rules[0], {**rules[1], "project_id": self.other.project_id}]})
        self.assertEqual((r.status, r.json["NeutronError"]["type"]), (400, "SecurityGroupRulesNotSingleTenant"))
        self.ok(self.demo.post(N + "security-group-rules", {"security_group_rules": [{"security_group_rule": rules[0]}, *rules[1:]]}), 201)

        def listed(query):
            rows = self.ok(self.demo.get(N + "security-group-rules?direction=ingress&security_group_id=%s&%s" % (g["id"], query)), 200)["security_group_rules"]
            return [want.index({k: r[k] for k in want[0]}) for r in rows]
        for key, order in (("port_range_min", [0, 1, 2]), ("port_range_max", [0, 1, 2]), ("remote_ip_prefix", [2, 1, 0])):
            self.assertEqual(listed("sort_key=" + key), order, key)
        self.assertEqual(listed("sort_key=protocol&sort_key=port_range_min"), [0, 2, 1])
        for key in ("remote_group_id", "remote_address_group_id"):
            self.assertEqual(len(listed("sort_key=" + key)), 3)
        for query, found in (("ethertype=ipv4", {0, 1, 2}), ("protocol=TCP", {0, 2}), ("remote_ip_prefix=10.0.0.1", {0}), ("remote_ip_prefix=", {2})):
            self.assertEqual(set(listed(query)), found, query)

    def test_bad_rules(self):
        g = self.group()
        for bad in ({"remote_ip_prefix": "999.0.0.0/8"}, {"remote_ip_prefix": "10.0.0.0/33"}, {"remote_ip_prefix": "2001:db8::/32"}, {"protocol": "tcp; drop"},
                    {"protocol": "vrrp", "port_range_min": 1, "port_range_max": 2}, {"protocol": "tcp", "port_range_min": 0, "port_range_max": 1},
                    {"protocol": "tcp", "port_range_min": 1, "port_range_max": 65536}, {"protocol": "tcp", "port_range_min": 9, "port_range_max": 1},
                    {"protocol": "tcp", "port_range_min": 9}, {"port_range_min": 1, "port_range_max": 2}, {"protocol": "icmp", "port_range_min": 256},
                    {"protocol": "icmp", "port_range_max": 1}, {"protocol": "icmpv6"}, {"protocol": "256"}, {"protocol": "-1"}, {"direction": "up"}, {"ethertype": "IPX"},
                    {"remote_ip_prefix": "10.0.0.0/8", "remote_group_id": g["id"]}):
            self.refuse(400, "POST", "security-group-rules", self.rule(g, **bad))
        self.refuse(404, "POST", "security-group-rules", self.rule(g, remote_group_id=str(uuid.uuid4())))
        self.refuse(404, "POST", "security-group-rules", self.rule({"id": str(uuid.uuid4())}))

    def test_groups_in_a_cycle(self):
        a, b = self.group(), self.group()
        for one, two in ((a, b), (b, a)):
            self.ok(self.demo.post(N + "security-group-rules", self.rule(one, remote_group_id=two["id"])), 201)
        for g in (a, b):
            self.assertEqual(self.demo.delete(N + "security-groups/" + g["id"]).status, 204)


class Lists(Base):
    def test_many_values(self):
        """As many as fit into a target of 8 KiB."""
        n = self.network(name="many")
        port = self.port(n, device_id=str(uuid.uuid4()), name="p")
        others = [str(uuid.uuid4()) for _ in range(165)]
        for query, found in (("&".join("device_id=" + d for d in others + [port["device_id"]]), [port["id"]]), ("&".join("device_id=" + d for d in others), []),
                             ("id=" + port["id"] + "&id=" * 1500, [port["id"]]), ("name=p&" + "sort_key=name&sort_key=id&" * 250 + "&fields=id" * 80, [port["id"]]),
                             ("name=p&" + "fixed_ips=subnet_id%3Dx&" * 300, []), ("name=p&" + "not-tags=x&" * 600, [port["id"]]),
                             ("name=p&" + "revision_number=7&" * 400, [])):
            rows = self.ok(self.demo.get(N + "ports?" + query), 200)["ports"]
            self.assertEqual([p["id"] for p in rows if p["id"]], found, query[:80])
        page = self.demo.get(N + "ports?limit=1&marker=" + port["id"] + "&sort_key=name&sort_key=id" * 250)
        self.assertEqual(page.status, 200, page)
        self.assertEqual(self.demo.get(N + "ports?" + "a" * 8200).status, 414)


class Tenants(Base):
    """Nobody sees, names or reaches what is another project's."""

    def setUp(self):
        self.theirs = self.network(self.other)
        self.their_subnet = self.subnet(self.theirs, self.other)
        self.their_port = self.port(self.theirs, self.other)
        self.their_group = self.group(self.other)
        self.all = (("networks", "network", self.theirs), ("subnets", "subnet", self.their_subnet), ("ports", "port", self.their_port),
                    ("security-groups", "security_group", self.their_group),
                    ("security-group-rules", "security_group_rule", self.their_group["security_group_rules"][0]))

    def test_foreign_and_unknown_are_the_same(self):
        for path, one, row in self.all:
            before = self.ok(self.other.get(N + path + "/" + row["id"]), 200)[one]
            for method, body in (("GET", None), ("PUT", {one: {"name": "mine"}}), ("DELETE", None)):
                if method == "PUT" and one == "security_group_rule":
                    continue
                a, b = (self.demo.call(method, "%s%s/%s" % (N, path, i), body) for i in (row["id"], str(uuid.uuid4())))
                self.assertEqual((a.status, b.status), (404, 404), (method, path))
                self.assertEqual(ID.sub("", a.message), ID.sub("", b.message))
            self.assertEqual(self.ok(self.other.get(N + path + "/" + row["id"]), 200)[one], before)

    def test_lists(self):
        for path, one, row in self.all:
            for query in ("", "project_id=" + self.other.project_id, "tenant_id=" + self.other.project_id, "id=" + row["id"], "all_tenants=1"):
                rows = self.ok(self.demo.get(N + path + "?" + query), 200)[path.replace("-", "_")]
                self.assertNotIn(row["id"], [r["id"] for r in rows], (path, query))
            self.refuse(400, "GET", "%s?limit=1&marker=%s" % (path, row["id"]))

    def test_ids_inside_bodies(self):
        mine = self.network()
        self.subnet(mine)
        p = self.port(mine)
        g = self.group()
        self.refuse(404, "POST", "subnets", {"subnet": {"network_id": self.theirs["id"], "ip_version": 4, "cidr": "10.7.0.0/24"}})
        self.refuse(404, "POST", "ports", {"port": {"network_id": self.theirs["id"]}})
        self.refuse(404, "POST", "ports", {"port": {"network_id": mine["id"], "security_groups": [self.their_group["id"]]}})
        self.refuse(404, "PUT", "ports/" + p["id"], {"port": {"security_groups": [self.their_group["id"]]}})
        rule = {"security_group_id": g["id"], "direction": "ingress", "remote_group_id": self.their_group["id"]}
        self.refuse(404, "POST", "security-group-rules", {"security_group_rule": rule})
        self.refuse(404, "POST", "security-group-rules", {"security_group_rule": dict(rule, security_group_id=self.their_group["id"])})

    def test_guest_on_a_shared_network(self):
        n = self.network(self.admin, shared=True)
        s = self.subnet(n, self.admin)
        self.port(n, fixed_ips=[{"subnet_id": s["id"]}])
        for attrs in ({"device_owner": "network:dhcp"}, {"device_owner": "network:router_interface"}, {"device_owner": "network:x"}, {"port_security_enabled": False},
                      {"allowed_address_pairs": [{"ip_address": "0.0.0.0/0"}]}, {"mac_address": "fa:16:3e:00:00:09"}, {"fixed_ips": [{"ip_address": "10.0.0.9"}]},
                      {"binding:host_id": "x"}, {"binding:profile": {"a": 1}}):
            self.refuse(403, "POST", "ports", {"port": {"network_id": n["id"], **attrs}})
        p = self.port(n)
        for attrs in ({"device_owner": "network:dhcp"}, {"port_security_enabled": False}, {"allowed_address_pairs": [{"ip_address": "0.0.0.0/0"}]},
                      {"mac_address": "fa:16:3e:00:00:09"}, {"fixed_ips": [{"ip_address": "10.0.0.9"}]}, {"binding:host_id": "x"}):
            self.refuse(403, "PUT", "ports/" + p["id"], {"port": attrs})
        self.assertEqual(self.ok(self.demo.get(N + "ports/" + p["id"]), 200)["port"]["revision_number"], p["revision_number"])
        self.refuse(403, "POST", "subnets", {"subnet": {"network_id": n["id"], "ip_version": 4, "cidr": "10.8.0.0/24"}})
        self.refuse(403, "PUT", "networks/" + n["id"], {"network": {"name": "mine"}})
        self.refuse(403, "DELETE", "networks/" + n["id"])
        self.refuse(409, "PUT", "networks/" + n["id"], {"network": {"shared": False}}, self.admin)

    def test_external_network_is_seen_but_not_used(self):
        n = self.network(self.admin, **{"router:external": True})
        s = self.subnet(n, self.admin)
        self.ok(self.demo.get(N + "networks/" + n["id"]), 200)
        self.refuse(404, "GET", "subnets/" + s["id"])
        self.refuse(403, "POST", "ports", {"port": {"network_id": n["id"]}})

    def test_own_network_still_has_no_service_ports_of_members(self):
        n = self.network()
        for owner in ("network:dhcp", "network:router_interface", "network:router_gateway", "network:floatingip"):
            self.refuse(403, "POST", "ports", {"port": {"network_id": n["id"], "device_owner": owner}})

    def test_reader_changes_nothing(self):
        reader = self.cloud.new_tenant(role="reader")
        self.assertEqual(reader.get(N + "networks").status, 200)
        for path, one in (("networks", "network"), ("security-groups", "security_group"), ("ports", "port"), ("subnets", "subnet")):
            self.refuse(403, "POST", path, {one: {}}, reader)


class Limits(Base):
    options = {"quota.networks": "2", "quota.ports": "10", "quota.security_group_rules": "6"}

    def test_exactly(self):
        who = self.cloud.new_tenant()
        n = self.network(who)
        self.network(who)
        self.refuse(409, "POST", "networks", {"network": {}}, who)

        def create(_):
            return [r.status for r in (who.cloud.login("admin").post(N + "ports", {"port": {"network_id": n["id"], "project_id": who.project_id}}) for _ in range(2))]
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            statuses = [s for many in pool.map(create, range(10)) for s in many]
        self.assertEqual((statuses.count(201), statuses.count(409)), (10, 10))
        used = self.ok(who.get(N + "quotas/%s/details" % who.project_id), 200)["quota"]
        self.assertEqual((used["port"]["used"], used["network"]["used"]), (10, 2))
        self.refuse(403, "PUT", "quotas/" + who.project_id, {"quota": {"port": 1000}}, who)
        self.refuse(403, "GET", "quotas/" + self.demo.project_id, who=who)
        for bad in ("x", -2, 2 ** 40, None, [1]):
            self.refuse(400, "PUT", "quotas/" + who.project_id, {"quota": {"port": bad}}, self.admin)
        self.assertEqual(self.ok(self.admin.put(N + "quotas/" + who.project_id, {"quota": {"network": 3}}), 200)["quota"]["network"], 3)
        self.network(who)
        self.assertEqual(self.admin.delete(N + "quotas/" + who.project_id).status, 204)
        self.refuse(409, "POST", "networks", {"network": {}}, who)


if __name__ == "__main__":
    unittest.main()
