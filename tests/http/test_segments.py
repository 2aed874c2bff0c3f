"""tests/http/test_segments.py -- provider attributes, and what each of two hosts is told of a network that is on both."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

import cloud as cloudlib

N = "/network/v2.0/"


class Provider(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cloud = cloudlib.Cloud(options={"network.physical": "lab:eth1:100-101;wan:;lab:eth1:110"})
        cls.addClassCleanup(cls.cloud.stop)
        cls.admin, cls.demo = cls.cloud.login("admin"), cls.cloud.login("demo")

    def make(self, kind=None, physical=None, number=None, status=201, client=None, **more):
        body = dict(more)
        for key, value in (("network_type", kind), ("physical_network", physical), ("segmentation_id", number)):
            if value is not None:
                body["provider:" + key] = value
        r = (client or self.admin).post(N + "networks", {"network": body})
        self.assertEqual(r.status, status, r)
        if status != 201:
            return r.message
        n = r.json["network"]
        self.addCleanup(lambda: self.admin.delete(N + "networks/" + n["id"]))
        return n

    def segment(self, n):
        return n["provider:network_type"], n["provider:physical_network"], n["provider:segmentation_id"]

    def test_vlan_ids_are_given_out_and_taken(self):
        self.assertEqual(self.segment(self.make("vlan", "lab", 4000)), ("vlan", "lab", 4000))
        self.assertEqual(self.segment(self.make("vlan", "lab", 100)), ("vlan", "lab", 100))
        self.assertEqual(self.segment(self.make("vlan", "wan", 100)), ("vlan", "wan", 100))
        self.assertIn("The VLAN 100 on physical network lab is in use", self.make("vlan", "lab", 100, status=409))
        self.assertEqual(self.segment(self.make("vlan", "lab")), ("vlan", "lab", 101))
        last = self.make("vlan")
        self.assertEqual(self.segment(last), ("vlan", "lab", 110))
        self.assertIn("No available network", self.make("vlan", status=409))
        self.assertIn("No available network", self.make("vlan", "wan", status=409))
        self.assertEqual(self.admin.delete(N + "networks/" + last["id"]).status, 204)
        self.assertEqual(self.segment(self.make("vlan", "lab")), ("vlan", "lab", 110))

    def test_flat_has_its_physical_network_alone(self):
        n = self.make("flat", "lab")
        self.assertEqual(self.segment(n), ("flat", "lab", None))
        self.assertEqual(n["mtu"], 1500)
        self.assertIn("Physical network lab is in use", self.make("flat", "lab", status=409))
        self.make("flat", "wan", **{"router:external": True})
        self.assertIn("Physical network public is in use", self.make("flat", "public", status=409))

    def test_tunnel_ids(self):
        self.assertEqual(self.segment(self.make("vxlan", number=70000)), ("vxlan", None, 70000))
        self.assertIn("The tunnel ID 70000 is in use", self.make("vxlan", number=70000, status=409))
        mine = self.make("vlan", "wan", 7)
        self.assertEqual(self.segment(self.make("vxlan", number=7)), ("vxlan", None, 7))
        self.assertEqual(self.segment(mine), ("vlan", "wan", 7))
        self.assertEqual(self.segment(self.make("local")), ("local", None, None))

    def test_refused(self):
        for kind, physical, number in (("vlan", None, 5), ("vlan", "none", 5), ("vlan", "public", 5), ("vlan", "lab", 4095), ("vlan", "lab", 0), ("flat", None, None),
                                       ("flat", "none", None), ("flat", "lab", 5), ("vxlan", "lab", None), ("vxlan", None, 16777216), ("local", "lab", None),
                                       ("local", None, 5), ("gre", None, 5), (None, "lab", 5), (None, None, 5), ("vlan", "", 5)):
            with self.subTest(kind=kind, physical=physical, number=number):
                self.make(kind, physical, number, status=400)
        for attribute in ("provider:network_type", "provider:physical_network", "provider:segmentation_id"):
            n = self.make("vlan", "wan", 9)
            self.assertEqual(self.admin.put(N + "networks/" + n["id"], {"network": {attribute: n[attribute]}}).status, 400)
            self.admin.delete(N + "networks/" + n["id"])
        self.assertEqual(self.demo.post(N + "networks", {"network": {"provider:network_type": "vlan"}}).status, 403)

    def test_mtu_fits_into_what_carries_it(self):
        self.assertIn("maximum is 1500", self.make("vlan", "lab", 55, mtu=1501, status=400))
        n = self.make("vlan", "lab", 55, mtu=1500)
        self.assertEqual(self.admin.put(N + "networks/" + n["id"], {"network": {"mtu": 1501}}).status, 400)
        self.assertEqual(self.admin.put(N + "networks/" + n["id"], {"network": {"mtu": 1400}}).status, 200)
        self.make("local", mtu=9000)
        self.make(mtu=9000)             # no host has a tunnel: it ends at the host


def port_mac(client, port):
    return client.get(N + "ports/" + port).json["port"]["mac_address"]


class Hosts(unittest.TestCase):
    """Two; the stand-in agents note what they are asked for."""
    sync_s = 2

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="nuvolet-segments-")
        os.chmod(cls.dir, 0o711)
        cls.addClassCleanup(shutil.rmtree, cls.dir, True)
        cls.agents = {}
        agents = ";".join("%s=unix:%s/%s.sock" % (h, cls.dir, h) for h in ("h1", "h2"))
        cls.cloud = cloudlib.Cloud(agent=False, options={"hosts.agents": agents, "hosts.sync_s": str(cls.sync_s), "network.physical": "lab:;wan:"})
        cls.addClassCleanup(cls.end)
        cls.start("h1", "--tunnel", "10.66.0.1")
        cls.start("h2", "--tunnel", "10.66.0.2", "--physical", "lab")
        cls.admin = cls.cloud.login("admin")
        cls.cloud.wait(cls.both_are_known, 10, "both hosts")
        cls.image = cls.admin.post("/image/v2/images", {"name": "i", "disk_format": "raw", "container_format": "bare"}).json["id"]
        cls.admin.put("/image/v2/images/%s/file" % cls.image, raw=b"\0" * 4096, headers={"Content-Type": "application/octet-stream"})
        cls.flavor = cls.admin.post("/compute/v2.1/flavors", {"flavor": {"name": "f", "ram": 64, "vcpus": 1, "disk": 1}}).json["flavor"]["id"]

    @classmethod
    def net_agents(cls):
        return cls.admin.get(N + "agents").json["agents"]

    @classmethod
    def both_are_known(cls):
        return sum(a["alive"] and bool(a["configurations"].get("tunneling_ip")) for a in cls.net_agents()) == 2

    @classmethod
    def interfaces(cls, host):
        """Of physical networks, as the controller knows them."""
        return next(a for a in cls.net_agents() if (a["agent_type"], a["host"]) == ("Linux bridge agent", host))["configurations"]["interface_mappings"]

    @classmethod
    def start(cls, name, *options):
        path = "%s/%s.sock" % (cls.dir, name)
        if os.path.exists(path):
            os.unlink(path)
        cls.agents[name] = subprocess.Popen([cloudlib.FAKE_AGENT, path, cls.dir + "/" + name, "--name", name, *options], stderr=subprocess.DEVNULL)

    @classmethod
    def end(cls):
        for p in cls.agents.values():
            p.kill()
            p.wait()
        cls.cloud.stop()

    def network(self, cidr="10.0.0.0/24", **more):
        n = self.admin.post(N + "networks", {"network": more}).json["network"]
        s = self.admin.post(N + "subnets", {"subnet": {"network_id": n["id"], "ip_version": 4, "cidr": cidr}})
        self.assertEqual(s.status, 201, s)
        return n

    def port(self, n, **more):
        r = self.admin.post(N + "ports", {"port": dict(network_id=n["id"], **more)})
        self.assertEqual(r.status, 201, r)
        return r.json["port"]

    def boot(self, host, port):
        r = self.admin.post("/compute/v2.1/servers", {"server": {"name": "s", "flavorRef": self.flavor, "imageRef": self.image, "availability_zone": "nova:" + host,
                                                                  "networks": [{"port": port["id"]}]}})
        self.assertEqual(r.status, 202, r)
        server = r.json["server"]["id"]
        self.cloud.wait(lambda: self.admin.get("/compute/v2.1/servers/" + server).json["server"]["status"] == "ACTIVE", 10, "the server")
        return server

    def delete(self, server):
        self.admin.delete("/compute/v2.1/servers/" + server)
        self.cloud.wait(lambda: self.admin.get("/compute/v2.1/servers/" + server).status == 404, 10, "its end")

    def told(self, host, n):
        try:
            with open("%s/%s/networks/%s" % (self.dir, host, n["id"])) as f:
                return json.load(f)["segment"]
        except FileNotFoundError:
            return None

    def peers(self, host, n):
        segment = self.told(host, n)
        return sorted((p["remote"], p["mac"], *p["ips"]) for p in segment["peers"]) if segment else None

    @staticmethod
    def peer(remote, port):
        return (remote, port["mac_address"], port["fixed_ips"][0]["ip_address"])


class Routers(Hosts):
    sync_s = 3600                       # no comparison helps out: who changes something tells the hosts

    def test_hosts_are_told_what_routers_of_others_advertise(self):
        n = self.network()
        six = [self.admin.post(N + "subnets", {"subnet": {"network_id": n["id"], "ip_version": 6, "cidr": c, **more}}).json["subnet"]["id"]
               for c, more in (("2001:db8:1::/64", {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}), ("2001:db8:2::/64", {}))]
        servers = [self.boot(h, self.port(n)) for h in ("h1", "h2")]
        r = self.admin.post(N + "routers", {"router": {"name": "r"}}).json["router"]
        path = N + "routers/%s" % r["id"]
        for s in six:
            self.assertEqual(self.admin.put(path + "/add_router_interface", {"subnet_id": s}).status, 200)

        def place():
            agents = self.admin.get(path + "/l3-agents").json["agents"]
            return agents[0]["host"] if agents else None

        def advertised(host):
            return [p["ra"] for p in self.told(host, n)["peers"] if "ra" in p]

        def settled(here, what):
            other = "h2" if here == "h1" else "h1"
            return place() == here and (advertised(here), advertised(other)) == ([], what)
        said = [[{"prefix": "2001:db8:1::/64", "mode": "slaac"}]]
        self.cloud.wait(place, 10, "its place")
        here = place()
        self.cloud.wait(lambda: settled(here, said), 15, "the other host being told")
        for up, what in ((False, []), (True, said)):
            self.assertEqual(self.admin.put(path, {"router": {"admin_state_up": up}}).status, 200)
            self.cloud.wait(lambda: settled(here, what), 15, "admin_state_up " + str(up))
        port = next(p["id"] for p in self.admin.get(N + "ports?device_id=" + r["id"]).json["ports"] if p["fixed_ips"][0]["subnet_id"] == six[0])
        for up, what in ((False, []), (True, said)):
            self.assertEqual(self.admin.put(N + "ports/" + port, {"port": {"admin_state_up": up}}).status, 200)
            self.cloud.wait(lambda: settled(here, what), 15, "the port's admin_state_up " + str(up))
        # It moves.
        there = "h2" if here == "h1" else "h1"
        l3 = {a["host"]: a["id"] for a in self.net_agents() if a["agent_type"] == "L3 agent"}

        def moved():
            self.admin.delete(N + "agents/%s/l3-routers/%s" % (l3[here], r["id"]))
            return self.admin.post(N + "agents/%s/l3-routers" % l3[there], {"router_id": r["id"]}).status == 201
        self.cloud.wait(moved, 10, "the move")
        self.cloud.wait(lambda: settled(there, said), 15, "the old host being told")
        self.assertIn(port_mac(self.admin, port), [p["mac"] for p in self.told(here, n)["peers"]])
        for s in six:
            self.assertEqual(self.admin.put(path + "/remove_router_interface", {"subnet_id": s}).status, 200)
        self.cloud.wait(lambda: advertised("h1") == advertised("h2") == [] and len(self.peers(here, n)) == 1, 15, "the router's leaving")
        self.assertEqual(self.admin.delete(path).status, 204)
        for s in servers:
            self.delete(s)
        self.cloud.wait(lambda: self.cloud.ctl("doctor").returncode == 0, 10, "a clean doctor")


class TwoHosts(Hosts):
    def test_hosts_learn_of_each_others_ports(self):
        n = self.network()
        a, b, c = self.port(n), self.port(n), self.port(n)
        sa = self.boot("h1", a)
        self.assertEqual(self.told("h1", n)["vni"], n["provider:segmentation_id"])
        self.assertEqual(self.told("h1", n)["local"], "10.66.0.1")
        self.assertEqual(self.peers("h1", n), [])
        self.assertIsNone(self.told("h2", n))
        sb = self.boot("h2", b)
        # Both know when the server is ACTIVE.
        self.assertEqual(self.peers("h1", n), [self.peer("10.66.0.2", b)])
        self.assertEqual(self.peers("h2", n), [self.peer("10.66.0.1", a)])
        sc = self.boot("h2", c)
        self.assertEqual(self.peers("h1", n), sorted([self.peer("10.66.0.2", b), self.peer("10.66.0.2", c)]))
        # An address changes.
        r = self.admin.put(N + "ports/" + b["id"], {"port": {"fixed_ips": [{"ip_address": "10.0.0.77"}], "allowed_address_pairs": [{"ip_address": "10.9.0.0/16"}]}})
        b2 = r.json["port"]
        self.cloud.wait(lambda: self.peer("10.66.0.2", b2) in self.peers("h1", n), 15, "the new address")
        self.assertIn([{"ip": "10.9.0.0/16", "mac": b["mac_address"]}], [p.get("pairs") for p in self.told("h1", n)["peers"]])
        # A port moves.
        self.delete(sc)
        self.cloud.wait(lambda: self.peers("h1", n) == [self.peer("10.66.0.2", b2)], 15, "its end on h1")
        sc = self.boot("h1", c)
        self.assertEqual(self.peers("h2", n), sorted([self.peer("10.66.0.1", a), self.peer("10.66.0.1", c)]))
        self.assertEqual(self.peers("h1", n), [self.peer("10.66.0.2", b2)])
        for s in (sa, sb, sc):
            self.delete(s)
        self.cloud.wait(lambda: self.told("h1", n) is None and self.told("h2", n) is None, 15, "nothing left")
        self.cloud.wait(lambda: self.cloud.ctl("doctor").returncode == 0, 10, "a clean doctor")

    def test_an_agent_that_comes_back_is_told_everything(self):
        n = self.network()
        a, b, c = self.port(n), self.port(n), self.port(n)
        sa, sb = self.boot("h1", a), self.boot("h2", b)
        self.agents["h1"].kill()
        self.agents["h1"].wait()
        self.cloud.wait(lambda: not all(x["alive"] for x in self.net_agents()), 10, "h1 being away")
        sc = self.boot("h2", c)
        self.assertEqual(len(self.peers("h1", n)), 1)
        self.start("h1", "--tunnel", "10.66.0.9")
        self.cloud.wait(lambda: len(self.peers("h1", n)) == 2, 10, "h1 being told")
        self.cloud.wait(lambda: self.peers("h2", n) == [self.peer("10.66.0.9", a)], 10, "the new address of h1")
        self.assertEqual(self.told("h1", n)["local"], "10.66.0.9")
        self.agents["h1"].kill()
        self.agents["h1"].wait()
        self.start("h1", "--tunnel", "10.66.0.1")
        self.cloud.wait(lambda: self.peers("h2", n) == [self.peer("10.66.0.1", a)], 10, "the old address of h1")
        for s in (sa, sb, sc):
            self.delete(s)

    def test_provider_networks_and_those_without_tunnel(self):
        local, flat = self.network(**{"provider:network_type": "local"}), self.network(**{"provider:network_type": "flat", "provider:physical_network": "lab"})
        p, q = self.port(local), self.port(flat)
        servers = [self.boot("h2", p), self.boot("h2", q)]
        self.assertIsNone(self.told("h2", local))
        self.assertEqual(self.told("h2", flat), {"type": "flat", "physical": "lab", "vlan": 0})
        for s in servers:
            self.delete(s)
        self.admin.delete(N + "ports/" + q["id"])
        self.assertEqual(self.admin.delete(N + "networks/" + flat["id"]).status, 204)

    def create(self, *networks, **more):
        r = self.admin.post("/compute/v2.1/servers", {"server": dict({"name": "s", "flavorRef": self.flavor, "imageRef": self.image,
                                                                      "networks": [{"uuid": n["id"]} for n in networks]}, **more)})
        self.assertEqual(r.status, 202, r)
        return r.json["server"]["id"]

    def ended(self, server):
        s = self.admin.get("/compute/v2.1/servers/" + server).json["server"]
        return s if s["status"] in ("ACTIVE", "ERROR") else None

    def test_servers_go_where_the_physical_network_is(self):
        flat = self.network(mtu=1400, **{"provider:network_type": "flat", "provider:physical_network": "lab"})
        vlan = self.network(**{"provider:network_type": "vlan", "provider:physical_network": "wan", "provider:segmentation_id": 7})
        plain = self.network()
        servers = [self.create(flat) for _ in range(3)] + [self.create(plain, flat)]
        for s in servers:
            self.cloud.wait(lambda: self.ended(s), 10, "the server")
            self.assertEqual((self.ended(s)["status"], self.ended(s)["OS-EXT-SRV-ATTR:host"]), ("ACTIVE", "h2"), self.ended(s).get("fault"))
        self.assertIsNone(self.told("h1", flat), "the other host was not even asked")
        # A host that was asked for is no exception; where no host is on the network, the reason is said.
        bad = [self.create(flat, availability_zone="nova:h1"), self.create(vlan)]
        for s, reasons in zip(bad, (["h1 has no interface on the physical network lab", "h2 is not h1, which was asked for"],
                                    ["h1 has no interface on the physical network wan", "h2 has no interface on the physical network wan",
                                     "have network.physical of a host name an interface"])):
            self.cloud.wait(lambda: self.ended(s), 15, "the server")
            self.assertEqual(self.ended(s)["status"], "ERROR")
            for reason in reasons:
                self.assertIn(reason, self.ended(s)["fault"]["message"])
        # A trunk's subport is such a port too.
        parent = self.port(plain)
        self.assertEqual(self.admin.post(N + "trunks", {"trunk": {"port_id": parent["id"], "sub_ports": [
            {"port_id": self.port(flat)["id"], "segmentation_type": "vlan", "segmentation_id": 5}]}}).status, 201)
        r = self.admin.post("/compute/v2.1/servers", {"server": {"name": "t", "flavorRef": self.flavor, "imageRef": self.image, "networks": [{"port": parent["id"]}]}})
        trunk = r.json["server"]["id"]
        self.cloud.wait(lambda: self.ended(trunk), 10, "the trunk's server")
        self.assertEqual(self.ended(trunk)["OS-EXT-SRV-ATTR:host"], "h2", self.ended(trunk))
        for s in servers + bad + [trunk]:
            self.delete(s)
        self.assertEqual(self.admin.delete(N + "trunks/" + self.admin.get(N + "trunks?port_id=" + parent["id"]).json["trunks"][0]["id"]).status, 204)
        # A host that comes to be on it takes servers from then on.
        self.agents["h1"].kill()
        self.agents["h1"].wait()
        self.start("h1", "--tunnel", "10.66.0.1", "--physical", "wan")
        self.cloud.wait(lambda: self.interfaces("h1"), 10, "h1 on wan")
        s = self.create(vlan)
        self.cloud.wait(lambda: self.ended(s), 10, "the server")
        self.assertEqual((self.ended(s)["status"], self.ended(s)["OS-EXT-SRV-ATTR:host"]), ("ACTIVE", "h1"), self.ended(s).get("fault"))
        self.delete(s)
        self.agents["h1"].kill()
        self.agents["h1"].wait()
        self.start("h1", "--tunnel", "10.66.0.1")
        self.cloud.wait(lambda: self.both_are_known() and not self.interfaces("h1"), 10, "h1 on nothing")
        for n in (flat, vlan, plain):
            for p in self.admin.get(N + "ports?network_id=" + n["id"]).json["ports"]:
                self.admin.delete(N + "ports/" + p["id"])
            self.assertEqual(self.admin.delete(N + "networks/" + n["id"]).status, 204)

    def test_routers_go_where_the_physical_network_is(self):
        outside = self.network("192.0.2.0/24", **{"provider:network_type": "flat", "provider:physical_network": "lab", "router:external": True})
        inside = self.network()
        subnet = self.admin.get(N + "subnets?network_id=" + inside["id"]).json["subnets"][0]["id"]
        guest = self.boot("h1", self.port(inside))
        for gateway_first in (True, False):
            r = self.admin.post(N + "routers", {"router": {"name": "r"}}).json["router"]
            path = N + "routers/" + r["id"]

            def place():
                agents = self.admin.get(path + "/l3-agents").json["agents"]
                return agents[0]["host"] if agents else None

            def gateway():
                self.assertEqual(self.admin.put(path, {"router": {"external_gateway_info": {"network_id": outside["id"]}}}).status, 200)

            def routers(host):
                folder = "%s/%s/routers" % (self.dir, host)
                return os.listdir(folder) if os.path.isdir(folder) else []
            if gateway_first:
                gateway()
            self.assertEqual(self.admin.put(path + "/add_router_interface", {"subnet_id": subnet}).status, 200)
            if not gateway_first:
                self.cloud.wait(lambda: place() == "h1" and routers("h1") == [r["id"]], 15, "its place among the guests")
                gateway()
            self.cloud.wait(lambda: place() == "h2" and (routers("h1"), routers("h2")) == ([], [r["id"]]), 15, "its place by its gateway")
            self.cloud.wait(lambda: self.told("h1", outside) is None and (self.told("h2", outside) or {}).get("physical") == "lab", 10, "the outside on h2 alone")
            mac = self.admin.get(N + "ports?device_owner=network:router_interface&device_id=" + r["id"]).json["ports"][0]["mac_address"]
            self.cloud.wait(lambda: mac in [p["mac"] for p in self.told("h1", inside)["peers"]], 15, "the way there")
            self.assertEqual(self.admin.put(path + "/remove_router_interface", {"subnet_id": subnet}).status, 200)
            self.assertEqual(self.admin.delete(path).status, 204)
        self.delete(guest)
        self.cloud.wait(lambda: self.cloud.ctl("doctor").returncode == 0, 10, "a clean doctor")
        self.assertEqual(self.admin.delete(N + "networks/" + outside["id"]).status, 204)

    def test_mtu_leaves_room_for_vxlan(self):
        self.assertEqual(self.network()["mtu"], 1450)
        r = self.admin.post(N + "networks", {"network": {"mtu": 1451}})
        self.assertEqual((r.status, "maximum is 1450" in r.message), (400, True), r)

    def test_agents_and_zones_show_both(self):
        agents = {a["host"]: a for a in self.net_agents() if a["agent_type"] == "Linux bridge agent"}
        self.assertEqual(set(agents), {"h1", "h2"})
        self.assertEqual(agents["h2"]["configurations"]["tunneling_ip"], "10.66.0.2")
        self.assertEqual(agents["h2"]["configurations"]["interface_mappings"], {"lab": "eth1"})
        zones = self.admin.get("/compute/v2.1/os-availability-zone/detail").json["availabilityZoneInfo"]
        self.assertEqual(set(next(z for z in zones if z["zoneName"] == "nova")["hosts"]), {"h1", "h2"})


if __name__ == "__main__":
    unittest.main()
