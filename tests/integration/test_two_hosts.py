#!/usr/bin/python3
"""tests/integration/test_two_hosts.py -- one serve, two agents on two hosts of one machine: networks that are on both, through VXLAN."""
import base64
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from own import ROOT, own_machine  # noqa: E402
own_machine(__file__)
from cloud import Cloud  # noqa: E402
from guest import Guest, arp, checksum, ether, icmp6, ip4, ip6, sh, udp  # noqa: E402
from hosts import Fabric, Host, inside  # noqa: E402

N, C = "/network/v2.0/", "/compute/v2.1/"
EVERYONE = "ff:ff:ff:ff:ff:ff"
CONNECT = sys.executable + ' -c "import socket; s=socket.create_connection((\\"%s\\", %d), 2); s.sendall(b\\"x\\" * 5000); s.shutdown(1); assert len(s.recv(9999)) > 0"'
OPEN = sys.executable + ' -c "import socket; socket.create_connection((\\"%s\\", %d), 2)"'
LISTEN = ("import socket,threading\ns=socket.socket();s.setsockopt(1,2,1);s.bind((\"\",%d));s.listen(8)\n"
          "def echo(c):\n  try:\n    while True:\n      d=c.recv(9999)\n      if not d: return\n      c.sendall(d)\n  except OSError: pass\n"
          "print(1,flush=True)\nwhile True: threading.Thread(target=echo,args=(s.accept()[0],),daemon=True).start()")


def short(id_):
    return id_.replace("-", "")[:12]


class Server:
    """A server whose guest is pretended: a namespace on its port's tap."""
    count = 0

    def __init__(self, test, host, port, data=None):
        self.test, self.host, self.port = test, host, port
        Server.count += 1
        body = {"name": "s%d" % Server.count, "flavorRef": test.flavor, "imageRef": test.image, "availability_zone": "nova:" + host.name, "networks": [{"port": port["id"]}]}
        if data:
            body["user_data"] = base64.b64encode(data).decode()
        r = test.admin.post(C + "servers", {"server": body})
        test.assertEqual(r.status, 202, r)
        self.id = r.json["server"]["id"]
        test.cloud.wait(self.active, 30, "the server")
        self.mac, self.ip = port["mac_address"], port["fixed_ips"][0]["ip_address"]
        self.six = next((f["ip_address"] for f in port["fixed_ips"] if ":" in f["ip_address"]), None)
        self.guest = Guest("g%d" % Server.count, "nvt" + short(port["id"]), self.mac, host=host)
        test.servers.append(self)
        self.run, self.send, self.seen = self.guest.run, self.guest.send, self.guest.seen
        for f in port["fixed_ips"]:
            self.run("ip addr add %s dev eth0%s" % (f["ip_address"] + ("/64" if ":" in f["ip_address"] else "/24"), " nodad" if ":" in f["ip_address"] else ""))

    def active(self):
        s = self.test.admin.get(C + "servers/" + self.id).json["server"]
        self.test.assertNotEqual(s["status"], "ERROR", s.get("fault"))
        return s["status"] == "ACTIVE"

    def pings(self, other, count=1):
        return self.guest.pings(other, count)

    def connects(self, address, port):
        return self.run(CONNECT % (address, port), check=False).returncode == 0

    def listen(self, port):
        p = self.guest.start(sys.executable, "-c", LISTEN % port, stdout=-1)
        p.stdout.readline()
        self.test.addCleanup(lambda: (p.kill(), p.wait(), p.stdout.close()))

    def delete(self):
        self.test.servers.remove(self)
        self.guest.close()
        self.test.admin.delete(C + "servers/" + self.id)
        self.test.cloud.wait(lambda: self.test.admin.get(C + "servers/" + self.id).status == 404, 30, "its end")


class TwoHosts(unittest.TestCase):
    sync_s = "2"

    @classmethod
    def setUpClass(cls):
        cls.fabric = Fabric()
        cls.h1, cls.h2 = Host(cls.fabric, "h1", "10.66.0.1/24"), Host(cls.fabric, "h2", "10.66.0.2/24")
        agents = ";".join("%s=unix:%s" % (h.name, cls.way_to(h)) for h in (cls.h1, cls.h2))
        cls.cloud = Cloud(agent=False, options={"log.level": "info", "hosts.agents": agents, "hosts.sync_s": cls.sync_s, "network.public_cidr": "", "network.physical": "lab:"})
        for h in (cls.h1, cls.h2):
            if cls.way_to(h) == h.socket:
                os.symlink(cls.cloud.run + "/metadata.sock", h.dir + "/metadata.sock")
            h.share(cls.cloud.state + "/images", h.dir + "/state/images")
            h.start_agent("network.tunnel_address=" + h.address, *cls.settings(h))
        cls.admin = cls.cloud.login("admin")
        cls.cloud.wait(lambda: sum(bool(a["configurations"].get("tunneling_ip")) for a in cls.admin.get(N + "agents").json["agents"]) == 2, 30, "both hosts")
        cls.image = cls.admin.post("/image/v2/images", {"name": "i", "disk_format": "raw", "container_format": "bare"}).json["id"]
        cls.admin.put("/image/v2/images/%s/file" % cls.image, raw=b"\0" * 4096, headers={"Content-Type": "application/octet-stream"})
        cls.flavor = cls.admin.post(C + "flavors", {"flavor": {"name": "f", "ram": 64, "vcpus": 1, "disk": 1}}).json["flavor"]["id"]
        cls.fabric.watch()

    @classmethod
    def settings(cls, host):
        return []

    @classmethod
    def way_to(cls, host):
        """The socket by which serve reaches the host's agent.  Not the agent's own: descriptors do not reach serve either."""
        return host.socket

    @classmethod
    def tearDownClass(cls):
        cls.cloud.stop()
        for h in (cls.h1, cls.h2):
            h.stop()
        cls.fabric.stop()

    def setUp(self):
        for h in (self.h1, self.h2):
            if h.agent.poll() is not None:             # a test that failed half-way
                h.start_agent(*h.options)
        self.servers, self.networks, self.routers = [], [], []
        self.group = self.post("security-groups", "security_group", name="g")["id"]
        self.rule(protocol="icmp")
        self.rule(protocol="icmp", ethertype="IPv6")

    def tearDown(self):
        """Nothing of a network is left on either host."""
        for s in list(self.servers):
            s.delete()
        for r in list(self.routers):                   # of a test that failed half-way
            for f in self.admin.get(N + "floatingips?router_id=" + r["id"]).json["floatingips"]:
                self.admin.delete(N + "floatingips/" + f["id"])
            self.admin.put(N + "routers/" + r["id"], {"router": {"routes": []}})
            self.remove(r)
        for n in self.networks:
            for p in self.admin.get(N + "ports?network_id=" + n["id"]).json["ports"]:
                self.admin.delete(N + "ports/" + p["id"])
            self.assertEqual(self.admin.delete(N + "networks/" + n["id"]).status, 204)
        self.admin.delete(N + "security-groups/" + self.group)
        for h in (self.h1, self.h2):
            def left():
                return h.sh("ip -br link | grep '^nv'; ls /run/netns; ip neigh | grep PERMANENT; "
                            "nft list ruleset | grep -v expires | grep -E 'nv[a-z][0-9a-f]{12}|10.66.0|fa:16:3e'; true")
            try:
                self.cloud.wait(lambda: not left(), 15)
            except AssertionError:
                self.fail("left on %s:\n%s" % (h.name, left()))
        self.cloud.wait(lambda: self.cloud.ctl("doctor").returncode == 0, 15, "a clean doctor")

    def post(self, what, one, **body):
        r = self.admin.post(N + what, {one: body})
        self.assertEqual(r.status, 201, r)
        return r.json[one]

    def rule(self, **body):
        return self.post("security-group-rules", "security_group_rule", security_group_id=self.group, direction="ingress", **body)

    def network(self, six=False, **more):
        n = self.post("networks", "network", name="n", **more)
        self.networks.append(n)
        self.post("subnets", "subnet", network_id=n["id"], ip_version=4, cidr="10.0.0.0/24")
        if six:
            self.post("subnets", "subnet", network_id=n["id"], ip_version=6, cidr="2001:db8:7::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
        return n

    def server(self, host, network, data=None, **more):
        return Server(self, host, self.post("ports", "port", network_id=network["id"], **dict({"security_groups": [self.group]}, **more)), data)

    def router(self, subnets, **more):
        r = self.post("routers", "router", name="r", **more)
        for s in subnets:
            self.assertEqual(self.admin.put(N + "routers/%s/add_router_interface" % r["id"], {"subnet_id": s}).status, 200)
        self.routers.append(dict(r, subnets=subnets))
        return self.routers[-1]

    def remove(self, router):
        self.routers.remove(router)
        for s in router["subnets"]:
            self.assertEqual(self.admin.put(N + "routers/%s/remove_router_interface" % router["id"], {"subnet_id": s}).status, 200)
        self.assertEqual(self.admin.delete(N + "routers/" + router["id"]).status, 204)

    def pair(self, **more):
        n = self.network(**more)
        return n, self.server(self.h1, n), self.server(self.h2, n)

    def entries(self, host, n):
        """What the host's VXLAN device and bridge know of other hosts: {mac: address}, {address: mac}."""
        x, b = "nvx" + short(n["id"]), "nvb" + short(n["id"])
        fdb = [line.split() for line in host.sh("bridge fdb show dev %s" % x).splitlines()]
        to = {w[0]: w[w.index("dst") + 1] for w in fdb if "dst" in w}
        on_bridge = {w[0] for w in fdb if "static" in w and "master" in w}
        if on_bridge != set(to):
            return None, None
        neigh = [line.split() for line in host.sh("ip neigh show dev %s nud permanent" % b).splitlines()]
        return to, {w[0]: w[w.index("lladdr") + 1] for w in neigh if not w[0].startswith("fe80")}

    def overlay(self, since=0):
        """Inner frames of the VXLAN packets that were seen between the hosts."""
        out = []
        for f in self.fabric.frames[since:]:
            if f[12:14] == b"\x08\x00" and f[23] == 17 and f[36:38] == struct.pack(">H", 4789):
                out.append(f[50:])
        return out


class Overlay(TwoHosts):
    def test_ping_tcp_dhcp_on_both(self):
        n, a, b = self.pair(six=True)
        self.assertTrue(a.pings(b.ip))
        self.assertTrue(b.pings(a.ip))
        self.assertTrue(a.pings(b.six))
        self.assertTrue(b.pings(a.six))
        local = "fe80::" + b.six.split(":", 4)[4]
        self.cloud.wait(lambda: a.pings(local + "%eth0"), 10, "link-local addresses")
        b.listen(80)
        self.assertFalse(a.connects(b.ip, 80))
        self.rule(protocol="tcp", port_range_min=80, port_range_max=80)
        self.cloud.wait(lambda: a.connects(b.ip, 80), 5, "the new rule")
        self.assertNotEqual(a.run("ping -n -c 1 -W 1 -M do -s %d %s" % (1450 - 28 + 1, b.ip), check=False).returncode, 0)
        a.run("ping -n -c 1 -W 1 -M do -s %d %s" % (1450 - 28, b.ip))
        a.delete()                                           # and DHCP goes on where it is left
        for s in (b, self.server(self.h1, n)):
            s.run("ip addr flush dev eth0")
            r = s.run("busybox udhcpc -i eth0 -n -q -t 5 -T 1 -O mtu -s %s/tests/lib/udhcpc" % ROOT)
            self.assertIn("ip=" + s.ip, r.stdout + r.stderr)
            self.assertIn("mtu=1450", r.stdout + r.stderr)
            s.run("ip route add 169.254.169.254 via 10.0.0.2", check=False)
            self.assertIn(s.id, s.run("curl -fsS --max-time 5 http://169.254.169.254/openstack/latest/meta_data.json").stdout)

    def test_nothing_is_flooded(self):
        n, a, b = self.pair(six=True)
        c = self.server(self.h1, n)
        self.assertTrue(a.pings(b.ip))
        since, seen = len(self.fabric.frames), len(b.seen)
        unknown = "fa:16:3e:77:77:77"
        for dst, kind, payload in ((EVERYONE, 0x806, arp(1, a.mac, a.ip, EVERYONE, "10.0.0.99")), (EVERYONE, 0x800, ip4(a.ip, "10.0.0.255", 17, udp(9, 9, b"x"))),
                                   ("01:00:5e:00:00:fb", 0x800, ip4(a.ip, "224.0.0.251", 17, udp(5353, 5353, b"x"))), (unknown, 0x800, ip4(a.ip, "10.0.0.98", 17, udp(9, 9, b"x"))),
                                   ("33:33:00:00:00:01", 0x86dd, ip6(a.six, "ff02::1", 17, udp(9, 9, b"x")))):
            a.send(ether(a.mac, dst, kind, payload))
        a.run("ip neigh flush dev eth0; ping -n -c 1 -W 1 10.0.0.97; ip -6 neigh flush dev eth0; ping -n -c 1 -W 1 2001:db8:7::97; true")
        for s in (a, c):
            s.run("ip neigh flush dev eth0")
            self.assertTrue(s.pings(b.ip), "found without asking the wire")
            self.assertTrue(s.pings(b.six))
        time.sleep(0.3)
        inner = self.overlay(since)
        self.assertGreater(len(inner), 4)
        macs = {a.mac, b.mac, c.mac}
        for f in inner:
            self.assertFalse(f[0] & 1, f.hex())
            self.assertIn(f[0:6].hex(":"), macs)
            self.assertIn(f[6:12].hex(":"), macs)
            self.assertNotEqual(f[12:14], b"\x08\x06", f.hex())
        for f in b.seen[seen:]:
            self.assertFalse(f[12:14] == b"\x08\x00" and b"\x00\x09\x00\x09" in f[34:38])

    def test_remote_group_across_hosts(self):
        other = self.post("security-groups", "security_group", name="clients")["id"]
        n = self.network()
        b = self.server(self.h2, n)
        a, c = self.server(self.h1, n, security_groups=[self.group, other]), self.server(self.h1, n)
        b.listen(81)
        self.rule(protocol="tcp", port_range_min=81, port_range_max=81, remote_group_id=other)
        self.cloud.wait(lambda: a.connects(b.ip, 81), 5, "the new rule")
        self.assertFalse(c.connects(b.ip, 81))
        self.assertEqual(self.admin.put(N + "ports/" + c.port["id"], {"port": {"security_groups": [self.group, other]}}).status, 200)
        self.cloud.wait(lambda: c.connects(b.ip, 81), 5, "the new member")
        self.assertEqual(self.admin.put(N + "ports/" + a.port["id"], {"port": {"security_groups": [self.group]}}).status, 200)
        self.cloud.wait(lambda: not a.connects(b.ip, 81), 5, "the member's leaving")
        for s in (a, c):
            s.delete()
        for p in (a.port, c.port):
            self.admin.delete(N + "ports/" + p["id"])
        for r in self.admin.get(N + "security-group-rules?remote_group_id=" + other).json["security_group_rules"]:
            self.admin.delete(N + "security-group-rules/" + r["id"])
        self.assertEqual(self.admin.delete(N + "security-groups/" + other).status, 204)

    def test_counters_across_hosts(self):
        self.rule(protocol="udp", port_range_min=9, port_range_max=9)
        n, a, b = self.pair()

        def counted():
            c = self.admin.get(N + "security-groups/%s/counters" % self.group).json["counters"]
            self.assertEqual((c["hosts"], c["complete"]), (2, True))
            return {(r["direction"], r["protocol"], r["ethertype"]): (r["packets"], r["bytes"]) for r in c["rules"]}
        received, sent = ("ingress", "udp", "IPv4"), ("egress", None, "IPv4")
        self.assertEqual([counted()[k] for k in (received, sent)], [(0, 0)] * 2)
        for turn, (one, other) in enumerate(((a, b), (b, a)), 1):     # by the rules of one host for the sender, by the other's for the receiver
            with self.subTest(one.host.name):
                seen = len(other.seen)
                for _ in range(5):
                    one.send(ether(one.mac, other.mac, 0x800, ip4(one.ip, other.ip, 17, udp(1000 + turn, 9, b"d" * 72))))
                self.cloud.wait(lambda: len([f for f in other.seen[seen:] if b"d" * 72 in f]) >= 5, 3, "the datagrams")
                self.cloud.wait(lambda: [counted()[k] for k in (received, sent)] == [(5 * turn, 500 * turn)] * 2, 3, "what was sent: %s" % counted())

    def test_address_group_across_hosts(self):
        n, a, b = self.pair()
        c = self.server(self.h2, n)
        addresses = self.post("address-groups", "address_group", name="a", addresses=["10.0.0.192/26"])["id"]
        self.addCleanup(lambda: self.assertEqual(self.admin.delete(N + "address-groups/" + addresses).status, 204))

        def change(what, *list_):
            r = self.admin.put(N + "address-groups/%s/%s_addresses" % (addresses, what), {"address_group": {"addresses": list_}})
            self.assertEqual(r.status, 200, r)
        b.listen(82)
        self.rule(protocol="tcp", port_range_min=82, port_range_max=82, remote_address_group_id=addresses)
        change("add", c.ip)
        self.cloud.wait(lambda: c.connects(b.ip, 82), 5, "the address of a guest beside it")
        self.assertFalse(a.connects(b.ip, 82))
        change("add", a.ip + "/32")
        self.cloud.wait(lambda: a.connects(b.ip, 82), 5, "the new address")
        change("remove", c.ip + "/32")
        self.cloud.wait(lambda: not c.connects(b.ip, 82), 5, "the address that was taken out")
        self.assertTrue(a.connects(b.ip, 82))
        change("remove", a.ip + "/32")
        self.cloud.wait(lambda: not a.connects(b.ip, 82), 5, "the other one taken out")
        change("add", "10.0.0.0/24")
        self.cloud.wait(lambda: a.connects(b.ip, 82) and c.connects(b.ip, 82), 5, "all of the network")

    def test_explain_says_what_packets_do(self):
        n, a, b = self.pair()
        m = self.post("networks", "network", name="m")
        self.networks.append(m)
        subnets = [self.admin.get(N + "subnets?network_id=" + n["id"]).json["subnets"][0]["id"],
                   self.post("subnets", "subnet", network_id=m["id"], ip_version=4, cidr="10.1.0.0/24")["id"]]
        c = self.server(self.h2, m)
        a.run("ip route add default via 10.0.0.1")
        c.run("ip route add default via 10.1.0.1")
        for s, port in ((b, 80), (b, 81), (c, 80)):
            s.listen(port)
        self.rule(protocol="tcp", port_range_min=80, port_range_max=80)
        self.cloud.wait(lambda: a.connects(b.ip, 80), 5, "the new rule")

        def way(to, port=80):
            r = self.admin.get(N + "ports/%s/explain?to=%s&protocol=tcp&port=%d" % (a.port["id"], to.port["id"], port))
            self.assertEqual(r.status, 200, r)
            return r.json["explain"]

        def agree(to, port, verdict):
            self.assertEqual((way(to, port)["verdict"], a.connects(to.ip, port)), (verdict, verdict == "allowed"), way(to, port))
        agree(b, 80, "allowed")
        agree(b, 81, "denied")
        agree(c, 80, "denied")
        router = self.router(subnets)
        self.cloud.wait(lambda: a.connects(c.ip, 80), 10, "packets through the router")
        agree(c, 80, "allowed")
        agree(c, 81, "denied")
        self.says_what_is_missing(a, lambda: way(b))
        agree(b, 80, "allowed")
        self.remove(router)

    def test_explain_follows_routers_and_services(self):
        n, a, b = self.pair()
        m, out = self.post("networks", "network", name="m"), self.post("networks", "network", name="out", **{"router:external": True})
        self.networks += [m, out]
        subnets = [self.admin.get(N + "subnets?network_id=" + n["id"]).json["subnets"][0]["id"],
                   self.post("subnets", "subnet", network_id=m["id"], ip_version=4, cidr="10.1.0.0/24")["id"]]
        self.post("subnets", "subnet", network_id=out["id"], ip_version=4, cidr="192.0.2.0/24")
        c = self.server(self.h2, m, allowed_address_pairs=[{"ip_address": "10.9.0.0/24"}])
        a.run("ip route add default via 10.0.0.1")
        c.run("ip route add default via 10.1.0.1; ip addr add 10.9.0.1/32 dev lo")
        c.listen(80)
        self.rule(protocol="tcp", port_range_min=80, port_range_max=80)
        router = self.router(subnets)
        self.cloud.wait(lambda: a.connects(c.ip, 80), 10, "packets through the router")

        def agree(address, port, verdict, arrives=None):
            """port None: a ping."""
            query = "&protocol=tcp&port=%d" % port if port else ""
            way = self.admin.get(N + "ports/%s/explain?to=%s%s" % (a.port["id"], address, query)).json["explain"]
            self.assertEqual(way["verdict"], verdict, way)
            arrives, tried = verdict == "allowed" if arrives is None else arrives, lambda: self.opens(a, address, port) if port else a.pings(address)
            if arrives:
                self.cloud.wait(tried, 10, "%s %s" % (address, port))
            else:
                self.assertFalse(tried(), way)

        def ports(network, owner):
            return self.admin.get(N + "ports?network_id=%s&device_owner=network:%s" % (network["id"], owner)).json["ports"][0]
        near, far = ports(n, "router_interface"), ports(m, "router_interface")
        for port, served in ((ports(n, "dhcp"), (None, 53)), (ports(m, "dhcp"), (None, 53)), (near, (None,)), (far, (None,))):
            for number in (None, 53, 80):
                agree(port["fixed_ips"][0]["ip_address"], number, "allowed" if number in served else "denied")
        # An extra route: what its next hop does nobody knows, and without the next hop's network it is not there.
        self.assertEqual(self.admin.put(N + "routers/" + router["id"], {"router": {"routes": [{"destination": "10.9.0.0/24", "nexthop": c.ip}]}}).status, 200)
        agree("10.9.0.1", None, "unknown", True)
        self.assertEqual(self.admin.put(N + "ports/" + far["id"], {"port": {"admin_state_up": False}}).status, 200)
        self.cloud.wait(lambda: not a.pings("10.9.0.1"), 10, "the interface down")
        agree("10.9.0.1", None, "denied")
        agree(c.ip, 80, "denied")
        self.assertEqual(self.admin.put(N + "ports/" + far["id"], {"port": {"admin_state_up": True}}).status, 200)
        self.assertEqual(self.admin.put(N + "routers/" + router["id"], {"router": {"routes": []}}).status, 200)
        agree(c.ip, 80, "allowed")
        self.cloud.wait(lambda: not a.pings("10.9.0.1"), 10, "the route's leaving")
        agree("10.9.0.1", None, "denied")
        # A floating IP with a forwarding: the router answers pings, and nothing else.
        self.assertEqual(self.admin.put(N + "routers/" + router["id"], {"router": {"external_gateway_info": {"network_id": out["id"]}}}).status, 200)
        floating = self.post("floatingips", "floatingip", floating_network_id=out["id"])
        place = "floatingips/%s/port_forwardings" % floating["id"]
        forwarding = self.post(place, "port_forwarding", protocol="tcp", external_port=2222, internal_port=80, internal_port_id=c.port["id"],
                               internal_ip_address=c.ip)
        for number, verdict in ((2222, "allowed"), (80, "denied"), (None, "allowed")):
            agree(floating["floating_ip_address"], number, verdict)
        # Metadata, by the way that DHCP gives.
        a.run("ip route add 169.254.169.254 via " + ports(n, "dhcp")["fixed_ips"][0]["ip_address"])
        for number, verdict in ((80, "allowed"), (443, "denied"), (53, "allowed"), (None, "allowed")):
            agree("169.254.169.254", number, verdict)
        for what in ("%s/%s" % (place, forwarding["id"]), "floatingips/" + floating["id"]):
            self.assertEqual(self.admin.delete(N + what).status, 204)
        self.remove(router)

    def opens(self, server, address, port):
        return server.run(OPEN % (address, port), check=False).returncode == 0

    def says_what_is_missing(self, a, way):
        """What somebody takes away on a host is named.  The agent puts it back at once, so it is taken away again and again."""
        gone = lambda: {h["hop"] for h in way()["hops"] if h["live"] == "missing"}
        whole = lambda: not gone() and not any(way()["missing"].values())
        damages = [(self.h1, "delete element bridge nuvolet marks { \"nvt%s\" }" % short(a.port["id"]), {"anti-spoof", "egress rule"})]
        for host, prefix, hop in ((self.h1, "ge_", "egress rule"), (self.h2, "gi_", "ingress rule")):
            chain = prefix + short(self.group)
            calls = re.search(r"chain (\w+) {(?:(?!chain)[^}])*jump %s\b" % chain, host.sh("nft list table inet nuvolet"))[1]
            damages += [(host, "flush chain inet nuvolet " + chain, {hop}), (host, "flush chain inet nuvolet " + calls, {hop})]
        for host, damage, hops in damages:
            with self.subTest(host=host.name, damage=damage):
                self.cloud.wait(whole, 15, "all of it in force")
                with subprocess.Popen(host.enter("sh", "-c", "while :; do nft '%s' 2>/dev/null; done" % damage)) as p:
                    try:
                        self.cloud.wait(lambda: hops <= gone(), 15, "the hops named: " + damage)
                        self.assertEqual(way()["verdict"], "allowed")
                    finally:
                        p.kill()
        self.cloud.wait(whole, 15, "all of it in force")

    def test_spoofed_frames_do_not_arrive(self):
        n, a, b = self.pair(six=True)
        c = self.server(self.h2, n)
        d = self.server(self.h1, n)
        self.assertTrue(a.pings(b.ip))
        marker = b"not-from-there"
        echo = b"\x08\0\0\0\0\1\0\1" + marker
        echo = echo[:2] + struct.pack(">H", checksum(echo)) + echo[4:]
        seen = len(b.seen)
        hostile = self.fabric                                  # a stranger on the wire between the hosts
        sh("ip -n %s addr add 10.66.0.66/24 dev %s" % (hostile.name, hostile.name))
        self.addCleanup(lambda: sh("ip -n %s addr del 10.66.0.66/24 dev %s" % (hostile.name, hostile.name)))

        def inner(mac, ip, kind=0x800, payload=None, dst=None):
            return ether(mac, dst or b.mac, kind, payload or ip4(ip, b.ip, 1, echo))

        def vxlan(vni, frame):
            return struct.pack(">II", 0x08000000, vni << 8) + frame

        def send(source, data, count=3):
            def go():
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                    s.bind((source, 0))
                    for _ in range(count):
                        s.sendto(data, ("10.66.0.2", 4789))
            inside(self.h1.path if source == "10.66.0.1" else hostile.path, go)
        vni = n["provider:segmentation_id"]
        # A stranger says what a peer would say.
        send("10.66.0.66", vxlan(vni, inner(a.mac, a.ip)))
        # A peer's host that was broken into (it does not judge its guests): still only its ports' MACs and addresses, and no broadcasts.
        unknown = "fa:16:3e:66:66:66"
        for frame in (inner(unknown, "10.0.0.66"), inner(a.mac, "10.0.0.66"), inner(unknown, a.ip), inner(c.mac, c.ip), inner(a.mac, a.ip, dst=EVERYONE),
                      inner(a.mac, d.ip), inner(a.mac, a.ip, 0x806, arp(2, a.mac, c.ip, b.mac, b.ip) + marker), inner(a.mac, a.ip, 0x88cc, marker * 4),
                      inner(a.mac, a.ip, 0x86dd, ip6("2001:db8:7::66", b.six, 58, icmp6("2001:db8:7::66", b.six, 128, b"\0\0\0\0" + marker))),
                      inner(a.mac, a.ip, payload=ip4(a.ip, b.ip, 17, udp(67, 68, marker)))):
            send("10.66.0.1", vxlan(vni, frame))
        time.sleep(0.5)
        self.assertEqual([f.hex() for f in b.seen[seen:] if marker in f], [])
        # What the port may send does arrive that way: the test above can fail.
        self.cloud.wait(lambda: send("10.66.0.1", vxlan(vni, inner(a.mac, a.ip))) or [f for f in b.seen[seen:] if marker in f], 3, "an honest frame")
        self.assertTrue(a.pings(b.ip), "and the bridge has learned nothing")
        # The guest's own tap.
        since = len(self.fabric.frames)
        for payload in (ip4(c.ip, b.ip, 17, udp(9, 9, b"from-the-tap")), ip4(d.ip, b.ip, 17, udp(9, 9, b"from-the-tap"))):
            a.send(inner(c.mac, None, payload=payload))
            a.send(inner(a.mac, None, payload=payload))
        honest = inner(a.mac, None, payload=ip4(a.ip, b.ip, 17, udp(9, 9, b"honestly")))
        self.cloud.wait(lambda: a.send(honest) or [f for f in self.overlay(since) if b"honestly" in f], 3, "an honest frame")
        self.assertEqual([f for f in self.overlay(since) if b"from-the-tap" in f], [])

    def test_entries_follow_the_rows(self):
        n, a, b = self.pair()

        def know(host, *servers, pairs={}):
            to, neigh = self.entries(host, n)
            other = self.h2 if host is self.h1 else self.h1
            return to == {s.mac: other.address for s in servers} and neigh == dict({s.ip: s.mac for s in servers}, **pairs)
        self.assertTrue(know(self.h1, b))
        self.assertTrue(know(self.h2, a))
        c = self.server(self.h2, n)
        self.assertTrue(know(self.h1, b, c), "told before the server is ACTIVE")
        # An address changes.
        r = self.admin.put(N + "ports/" + c.port["id"], {"port": {"fixed_ips": [{"ip_address": "10.0.0.77"}], "allowed_address_pairs": [{"ip_address": "10.0.0.200"}]}})
        self.assertEqual(r.status, 200, r)
        c.ip = "10.0.0.77"
        c.run("ip addr flush dev eth0; ip addr add 10.0.0.77/24 dev eth0; ip addr add 10.0.0.200/24 dev eth0")
        self.cloud.wait(lambda: know(self.h1, b, c, pairs={"10.0.0.200": c.mac}), 5, "the new address")
        self.cloud.wait(lambda: a.pings("10.0.0.77"), 5, "packets to the new address")
        self.cloud.wait(lambda: a.pings("10.0.0.200"), 5, "packets to its pair")
        # A port moves: its server ends, and another one has it on the other host.
        c.delete()
        self.cloud.wait(lambda: know(self.h1, b), 5, "its leaving")
        c = Server(self, self.h1, self.admin.get(N + "ports/" + c.port["id"]).json["port"])
        self.assertTrue(know(self.h2, a, c, pairs={"10.0.0.200": c.mac}))
        self.assertTrue(know(self.h1, b))
        self.assertTrue(c.pings(b.ip))
        self.assertTrue(b.pings(c.ip))
        # By hand.
        x = "nvx" + short(n["id"])
        self.h1.sh("bridge fdb del %s dev %s dst 10.66.0.2 self; ip neigh flush dev nvb%s nud permanent; bridge fdb add 00:00:00:00:00:00 dev %s dst 10.66.0.2 self permanent"
                   % (b.mac, x, short(n["id"]), x))
        self.cloud.wait(lambda: know(self.h1, b), 10, "entries put back")
        self.h1.sh("ip link del " + x)
        self.cloud.wait(lambda: self.h1.sh("ip -br link show %s 2>/dev/null; true" % x) and know(self.h1, b), 10, "the device made again")
        self.cloud.wait(lambda: a.pings(b.ip), 10, "packets through the new device")
        self.h1.sh("nft flush ruleset")
        self.cloud.wait(lambda: a.pings(b.ip), 10, "rules in force again")

    def test_agents_end_and_begin(self):
        n, a, b = self.pair()
        a.run("ping -n -q -i 0.1 -w 60 %s > /tmp/two-hosts-ping 2>&1 &" % b.ip)
        self.h1.kill_agent()
        self.assertTrue(a.pings(b.ip, 3))
        c = self.server(self.h2, n)                            # h1 is away: the server starts, h1 learns of it when it is back
        self.assertNotIn(c.mac, self.entries(self.h1, n)[0])
        before = self.h1.sh("nft list set inet nuvolet peers4; nft list set bridge nuvolet macs")
        self.h1.start_agent(*self.h1.options)
        self.cloud.wait(lambda: c.mac in (self.entries(self.h1, n)[0] or {}), 15, "h1 being told")
        self.assertIn("10.66.0.2", before)
        self.cloud.wait(lambda: a.pings(c.ip), 5, "packets to what came while h1 was away")      # neighbours follow the forwarding entries
        b.delete()
        c.delete()
        self.h1.kill_agent()
        self.h1.start_agent(*self.h1.options)
        self.cloud.wait(lambda: self.entries(self.h1, n) == ({}, {}), 15, "entries of those who left")
        self.cloud.wait(lambda: "10.66.0" not in self.h1.sh("nft list set inet nuvolet peers4"), 15, "rules of those who left")
        a.run("pkill -INT -x ping; sleep 0.2", check=False)

    def test_router_on_one_host(self):
        n, m = self.network(six=True), self.post("networks", "network", name="m")
        self.networks.append(m)
        sub = [self.post("subnets", "subnet", network_id=m["id"], ip_version=4, cidr="10.1.0.0/24")["id"]]
        a, b, c = self.server(self.h1, n), self.server(self.h2, n), self.server(self.h2, m)
        router = self.router([s["id"] for s in self.admin.get(N + "subnets?network_id=" + n["id"]).json["subnets"]] + sub)
        for s in (a, b):
            s.run("ip route add default via 10.0.0.1")
        c.run("ip route add default via 10.1.0.1")
        for s in (a, b):
            self.cloud.wait(lambda: s.pings(c.ip), 10, "packets through the router")
            self.assertTrue(c.pings(s.ip))
        here, other = (self.h1, self.h2) if "10.0.0.1" in self.entries(self.h2, n)[1] else (self.h2, self.h1)
        self.assertNotIn("10.0.0.1", self.entries(here, n)[1], "the router is on one host")
        self.assertIn("10.0.0.1", self.entries(other, n)[1])
        self.remove(router)
        self.cloud.wait(lambda: "10.0.0.1" not in (self.entries(other, n)[1] or {"10.0.0.1"}), 10, "the router's leaving")


    # --- router advertisements ---

    def default6(self, s):
        """Link-local addresses of the routers that the guest knows as ways out."""
        return re.findall(r"via (fe80:[0-9a-f:]+) dev eth0 proto ra", s.run("ip -6 route show default").stdout)

    def by_itself(self, s):
        """From here the guest has what routers tell it: it asks."""
        s.run("ip -6 addr flush dev eth0 scope global; ip link set eth0 down; ip link set eth0 up")

    def auto(self, s, prefix):
        found = re.findall(r"inet6 (%s[0-9a-f:]+)/64 .*dynamic" % prefix, s.run("ip -6 addr show dev eth0 scope global").stdout)
        return found[0] if found else None

    def advertised_pair(self):
        """Two networks with a router between them; a and b on the first, one on each host, c on the second."""
        n, m = self.network(six=True), self.post("networks", "network", name="m")
        self.networks.append(m)
        self.post("subnets", "subnet", network_id=m["id"], ip_version=6, cidr="2001:db8:8::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
        a, b, c = self.server(self.h1, n), self.server(self.h2, n), self.server(self.h2, m)
        router = self.router([s["id"] for i in (n, m) for s in self.admin.get(N + "subnets?ip_version=6&network_id=" + i["id"]).json["subnets"]])
        for s in (a, b, c):
            self.by_itself(s)
        for s, prefix in ((a, "2001:db8:7:"), (b, "2001:db8:7:"), (c, "2001:db8:8:")):
            self.cloud.wait(lambda: self.auto(s, prefix) and len(self.default6(s)) == 1, 15, "what the router says to %s" % s.host.name)
        return n, a, b, c, router

    def test_router_advertisements_on_both_hosts(self):
        since = len(self.fabric.frames)
        n, a, b, c, router = self.advertised_pair()
        self.assertEqual(self.default6(a), self.default6(b), "it is one router")
        self.assertEqual(a.six, self.auto(a, "2001:db8:7:"), "the port's own address")
        for s in (a, b):
            self.cloud.wait(lambda: s.pings(c.six), 10, "packets through the router from " + s.host.name)
            self.assertTrue(c.pings(s.six))
        self.assertEqual([f.hex() for f in self.overlay(since) if f[0] & 1], [], "nothing is said to all of another host")
        # Who asks is answered: the router is silent for a minute after its third advertisement.
        time.sleep(11)
        for s in (a, b):
            self.by_itself(s)
            self.cloud.wait(lambda: self.auto(s, "2001:db8:7:") and self.default6(s), 8, "an answer on " + s.host.name)
        # A router that is down is no way out, on any host.
        path = N + "routers/" + router["id"]
        self.assertEqual(self.admin.put(path, {"router": {"admin_state_up": False}}).status, 200)
        for s in (a, b):
            self.cloud.wait(lambda: not self.default6(s), 5, "the router being down, on " + s.host.name)
        self.assertEqual(self.admin.put(path, {"router": {"admin_state_up": True}}).status, 200)
        for s in (a, b, c):
            self.cloud.wait(lambda: self.default6(s), 8, "the router being up, on " + s.host.name)
        # It moves to the other host.
        l3 = {x["host"]: x["id"] for x in self.admin.get(N + "agents").json["agents"] if x["agent_type"] == "L3 agent"}
        here = self.admin.get(path + "/l3-agents").json["agents"][0]["host"]
        there = "h2" if here == "h1" else "h1"

        def moved():
            self.admin.delete(N + "agents/%s/l3-routers/%s" % (l3[here], router["id"]))
            return self.admin.post(N + "agents/%s/l3-routers" % l3[there], {"router_id": router["id"]}).status == 201
        self.cloud.wait(moved, 10, "the move")
        for s in (a, b):
            self.cloud.wait(lambda: s.pings(c.six), 15, "packets through the router at its new place, from " + s.host.name)
            self.cloud.wait(lambda: len(self.default6(s)) == 1, 10, "the way out, on " + s.host.name)
        # An agent that begins anew, and a namespace that was taken away by hand.
        self.h1.kill_agent()
        self.h1.start_agent(*self.h1.options)
        self.h2.sh("ip netns del nuvolet-" + short(n["id"]))
        self.cloud.wait(lambda: "nuvolet-" + short(n["id"]) in self.h2.sh("ip netns list"), 15, "the namespace being back")
        for s in (a, b):
            self.by_itself(s)
            self.cloud.wait(lambda: self.auto(s, "2001:db8:7:") and self.default6(s), 15, "an answer on " + s.host.name)
        self.remove(router)
        for s in (a, b, c):
            self.cloud.wait(lambda: not self.default6(s), 8, "the router's leaving, on " + s.host.name)

    def test_guests_do_not_advertise(self):
        n, a, b, c, router = self.advertised_pair()
        d = self.server(self.h1, n)
        honest = self.default6(b)
        mac = next(p["mac_address"] for p in self.admin.get(N + "ports?network_id=%s&device_id=%s" % (n["id"], router["id"])).json["ports"])
        since, seen = len(self.fabric.frames), [len(s.seen) for s in (b, d)]
        marker = b"\x19\3\0\0\0\0\7\7" + bytes.fromhex("20010db8066600000000000000000666")       # a name server
        local = "fe80::" + a.six.split(":", 4)[4]
        for from_mac in (a.mac, mac):
            for source in (local, honest[0], a.six):
                for to, dst in (("33:33:00:00:00:01", "ff02::1"), (b.mac, b.six), (d.mac, "ff02::1"), (EVERYONE, "ff02::1")):
                    for lifetime in (0, 1800):
                        a.send(ether(from_mac, to, 0x86dd, ip6(source, dst, 58, icmp6(source, dst, 134, struct.pack(">BBHII", 64, 0, lifetime, 0, 0) + marker))))
                    payload = icmp6(source, dst, 134, struct.pack(">BBHII", 64, 0, 1800, 0, 0) + marker)
                    a.send(ether(from_mac, to, 0x86dd, ip6(source, dst, 60, b"\x3a\0\1\4\0\0\0\0" + payload)))            # behind a header
                    a.send(ether(from_mac, to, 0x86dd, ip6(source, dst, 44, b"\x3a\0\0\1\0\0\0\7" + payload[:16])))        # in fragments
                    a.send(ether(from_mac, to, 0x86dd, ip6(source, dst, 44, b"\x3a\0\0\x10\0\0\0\7" + payload[16:])))
        echo = ether(a.mac, b.mac, 0x86dd, ip6(a.six, b.six, 58, icmp6(a.six, b.six, 128, b"\0\0\0\0honestly")))
        self.cloud.wait(lambda: a.send(echo) or [f for f in b.seen[seen[0]:] if b"honestly" in f], 3, "an honest frame")
        time.sleep(0.3)
        for s, k in zip((b, d), seen):
            self.assertEqual([f.hex() for f in s.seen[k:] if marker[8:] in f or (f[12:14] == b"\x86\xdd" and f[20] == 58 and f[54] == 134 and f[60:62] == b"\0\0"
                                                                             and f[6:12].hex(":") in (a.mac, mac))], [])
        self.assertEqual([f.hex() for f in self.overlay(since) if marker[8:] in f or f[0] & 1], [])
        self.assertEqual(self.default6(b), honest)
        self.remove(router)


class Order(TwoHosts):
    sync_s = "600"                                             # a comparison brings a port to its host too, and waits for no other

    def test_the_other_host_knows_a_port_that_is_active(self):
        n, a, b = self.pair()
        port = self.post("ports", "port", network_id=n["id"], security_groups=[self.group])
        looks = self.cloud.login("admin")                      # with a connection of its own, beside the server's
        with ThreadPoolExecutor(1) as pool:
            os.kill(self.h1.agent.pid, signal.SIGSTOP)
            try:
                new = pool.submit(Server, self, self.h2, port)
                time.sleep(3)
                status = looks.get(N + "ports/" + port["id"]).json["port"]["status"]
            finally:
                looks.close()
                os.kill(self.h1.agent.pid, signal.SIGCONT)
        c = new.result()
        self.assertEqual(status, "DOWN")
        self.assertIn(c.mac, self.entries(self.h1, n)[0])


class Physical(TwoHosts):
    """A flat network: the second interface of each host is on one LAN, which has its own gateway."""

    @classmethod
    def setUpClass(cls):
        cls.lan = Fabric("lan")
        super().setUpClass()
        sh("ip -n lan addr add 192.0.2.1/24 dev lan")
        cls.lan.watch()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.lan.stop()

    @classmethod
    def settings(cls, host):
        cls.lan.join(host.pid, "lan-" + host.name, peer="eth1")
        return ["network.physical=lab:eth1"]

    def network(self, **more):
        n = self.post("networks", "network", name="flat", **dict({"provider:network_type": "flat", "provider:physical_network": "lab"}, **more))
        self.networks.append(n)
        self.post("subnets", "subnet", network_id=n["id"], ip_version=4, cidr="192.0.2.0/24")
        return n

    def on_lan(self, command):
        return sh("ip netns exec lan " + command, check=False).returncode == 0

    def test_flat_network_on_both_hosts(self):
        n, a, b = self.pair()
        for s in (a, b):
            s.run("ip addr flush dev eth0")
            since = len(self.lan.frames)
            r = s.run("busybox udhcpc -i eth0 -n -q -t 5 -T 1 -s %s/tests/lib/udhcpc" % ROOT)
            self.assertIn("ip=" + s.ip, r.stdout + r.stderr)
            self.assertIn("server 192.0.2.2", r.stdout + r.stderr)
            self.assertEqual([f.hex() for f in self.lan.frames[since:] if f[12:14] == b"\x08\x00" and f[23] == 17 and f[36:38] in (b"\0C", b"\0D")], [])
        self.assertTrue(a.pings("192.0.2.1"))
        self.assertTrue(b.pings("192.0.2.1"))
        self.assertTrue(a.pings(b.ip))
        self.assertTrue(self.on_lan("ping -n -q -c 1 -W 1 " + a.ip))
        a.listen(80)
        connect = "timeout 2 bash -c ': >/dev/tcp/%s/80'" % a.ip
        self.assertFalse(self.on_lan(connect), "security groups hold for the LAN too")
        # Guests are held to their addresses, the LAN is not.
        since, seen = len(self.lan.frames), len(b.seen)
        a.send(ether(a.mac, EVERYONE, 0x806, arp(1, a.mac, b.ip, EVERYONE, "192.0.2.1") + b"spoofed"))
        a.send(ether("fa:16:3e:66:66:66", EVERYONE, 0x806, arp(1, "fa:16:3e:66:66:66", a.ip, EVERYONE, "192.0.2.1") + b"spoofed"))
        honest = ether(a.mac, EVERYONE, 0x806, arp(1, a.mac, a.ip, EVERYONE, "192.0.2.1") + b"honest!")
        self.cloud.wait(lambda: a.send(honest) or [f for f in self.lan.frames[since:] if b"honest!" in f], 3, "an honest frame on the LAN")
        self.assertEqual([f for f in self.lan.frames[since:] + b.seen[seen:] if b"spoofed" in f], [])
        # No DHCP server of the LAN answers, and what has the network's services is not reached from there.
        offer = ether("fa:16:3e:66:66:67", a.mac, 0x800, ip4("192.0.2.1", a.ip, 17, udp(67, 68, b"rogue offer")))
        query = ether("fa:16:3e:66:66:67", EVERYONE, 0x806, arp(1, "fa:16:3e:66:66:67", "192.0.2.1", EVERYONE, "192.0.2.2"))
        since, seen = len(self.lan.frames), len(a.seen)

        def send():
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
                s.bind(("lan", 0))
                s.send(offer)
                s.send(query)
        inside(self.lan.path, send)
        time.sleep(0.3)
        self.assertEqual([f for f in a.seen[seen:] if b"rogue offer" in f], [])
        self.assertEqual([f.hex() for f in self.lan.frames[since:] if f[12:14] == b"\x08\x06" and f[20:22] == b"\0\2" and f[28:32] == bytes([192, 0, 2, 2])], [])

    def test_tags_do_not_leave(self):
        """A port that may send whatever it likes still gets onto no VLAN of the LAN."""
        n = self.network(port_security_enabled=False)
        a = self.server(self.h1, n, security_groups=[])
        since = len(self.lan.frames)
        evil, good = ether(a.mac, EVERYONE, 0x8100, b"\0\7\x08\0" + b"tagged" * 9), ether(a.mac, EVERYONE, 0x88b5, b"untagged" * 9)
        both = lambda: a.send(evil) or a.send(good) or [f for f in self.lan.frames[since:] if b"untagged" in f]
        self.cloud.wait(both, 3, "the frame without a tag")
        self.assertEqual([f.hex() for f in self.lan.frames[since:] if b"tagged" * 2 in f and b"untagged" not in f], [])

    def test_external_network_with_the_lans_gateway(self):
        out = self.network(**{"router:external": True})
        n = self.post("networks", "network", name="n")
        self.networks.insert(0, n)
        subnet = self.post("subnets", "subnet", network_id=n["id"], ip_version=4, cidr="10.0.0.0/24")["id"]
        a, b = self.server(self.h1, n), self.server(self.h2, n)
        router = self.router([subnet], external_gateway_info={"network_id": out["id"]})
        for s in (a, b):
            s.run("ip route add default via 10.0.0.1")
            self.cloud.wait(lambda: s.pings("192.0.2.1"), 10, "the LAN's gateway")
        floating = self.post("floatingips", "floatingip", floating_network_id=out["id"], port_id=b.port["id"])
        self.cloud.wait(lambda: self.on_lan("ping -n -q -c 1 -W 1 " + floating["floating_ip_address"]), 10, "the floating IP from the LAN")
        self.assertEqual(self.admin.delete(N + "floatingips/" + floating["id"]).status, 204)
        self.remove(router)

    def test_the_interface_has_to_be_free(self):
        self.h2.sh("ip addr add 198.51.100.1/24 dev eth1")
        self.addCleanup(lambda: self.h2.sh("ip addr del 198.51.100.1/24 dev eth1"))
        n = self.network()
        port = self.post("ports", "port", network_id=n["id"])
        r = self.admin.post(C + "servers", {"server": {"name": "s", "flavorRef": self.flavor, "imageRef": self.image, "availability_zone": "nova:h2",
                                                        "networks": [{"port": port["id"]}]}})
        server = r.json["server"]["id"]
        self.cloud.wait(lambda: self.admin.get(C + "servers/" + server).json["server"]["status"] == "ERROR", 10, "the error")
        self.assertIn("eth1 has addresses of the host", self.admin.get(C + "servers/" + server).json["server"]["fault"]["message"])
        self.assertIn("198.51.100.1", self.h2.sh("ip addr show dev eth1"))
        self.admin.delete(C + "servers/" + server)
        self.cloud.wait(lambda: self.admin.get(C + "servers/" + server).status == 404, 10, "its end")


if __name__ == "__main__":
    unittest.main()
