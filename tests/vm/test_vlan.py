#!/usr/bin/python3
"""tests/vm/test_vlan.py -- VLAN networks of a physical network, with the kernel's VLAN interfaces; run by tests/lib/vm where this kernel has none."""
import os
import socket
import struct
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from guest import Guest, arp, ether, sh  # noqa: E402
from hosts import inside  # noqa: E402
from own import NUVOLET, ROOT, until  # noqa: E402
from shares import shares  # noqa: E402
from wire import WireError, call  # noqa: E402

RUN = "/run/nuvolet-vlan"
EVERYONE = "ff:ff:ff:ff:ff:ff"
OUT = [{"id": "a0000000-0000-4000-8000-000000000999", "direction": d, "ethertype": v, "protocol": p, "port_min": None, "port_max": None, "cidr": None, "remote_group": None}
       for d, v, p in (("egress", 4, None), ("egress", 6, None), ("ingress", 4, 1))]


def uid(n):
    return "%08x-%04x-4000-8000-%012x" % (0xb0000000 + n, n, n)


def short(id_):
    return id_.replace("-", "")[:12]


def why_not():
    if os.geteuid() != 0:
        return "needs root"
    sh("ip link add nvvlan0 type veth peer name nvvlan1")
    try:
        r = sh("ip link add link nvvlan0 name nvvlan2 type vlan id 5", check=False)
        return None if r.returncode == 0 else "this kernel has no VLAN interfaces (8021q)"
    finally:
        sh("ip link del nvvlan0")


class Vlan(unittest.TestCase):
    """One host, whose eth1 is a trunk to a LAN with two VLANs: 192.0.2.1 on both."""

    @classmethod
    def setUpClass(cls):
        reason = why_not()
        if reason:
            raise unittest.SkipTest(reason)
        sh("ip netns add lan; ip -n lan link set lo up; ip link add eth1 type veth peer name trunk netns lan; ip -n lan link set trunk up; ip link set eth1 up")
        for vlan in (100, 200):
            sh("ip -n lan link add link trunk name v%d type vlan id %d; ip -n lan link set v%d up" % (vlan, vlan, vlan))
            sh("ip netns add lan%d; ip -n lan link set v%d netns lan%d; ip -n lan%d link set v%d up; ip -n lan%d addr add 192.0.2.1/24 dev v%d" % ((vlan,) * 7))
        sh("mkdir -p %s; chmod 711 %s" % (RUN, RUN))
        cls.log = open(RUN + "/agent.log", "ab")
        cls.start_agent()
        cls.frames = []
        cls.sniffer = inside("/run/netns/lan", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))
        cls.sniffer.bind(("trunk", 0))
        cls.sniffer.setsockopt(263, 8, 1)              # SOL_PACKET, PACKET_AUXDATA: the tag, which the kernel takes off
        threading.Thread(target=cls.watch, daemon=True).start()

    @classmethod
    def watch(cls):
        while True:
            try:
                data, aux, _, where = cls.sniffer.recvmsg(65536, 256)
            except OSError:
                return
            status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", aux[0][2][:20])
            cls.frames.append((tci if status & 0x10 else None, data))

    @classmethod
    def start_agent(cls):
        if os.path.exists(RUN + "/agent.sock"):
            os.unlink(RUN + "/agent.sock")
        options = ["paths.run=" + RUN, "paths.state=" + RUN + "/state", "serve.user=root", "log.level=debug", "compute.libvirt_uri=test:///default",
                   "network.physical=lab:eth1;gone:eth9", "network.physical_bandwidth=lab:1200"]
        cls.agent = subprocess.Popen([NUVOLET, "agent", *[x for o in options for x in ("--set", o)]], stderr=cls.log)
        until("the agent", 300, lambda: os.path.exists(RUN + "/agent.sock") or cls.agent.poll() is not None)
        if cls.agent.poll() is not None:
            raise AssertionError(open(RUN + "/agent.log", errors="replace").read()[-3000:])

    @classmethod
    def tearDownClass(cls):
        cls.agent.kill()
        cls.agent.wait()
        cls.sniffer.close()
        sh("for p in %s/dhcp/*/pid; do [ -s $p ] && kill $(cat $p); done; ip link del eth1; ip netns del lan; ip netns del lan100; ip netns del lan200; rm -rf %s; true" % (RUN, RUN))

    def verb(self, name, **args):
        return call(RUN + "/agent.sock", name, **args)

    def setUp(self):
        self.made, self.guests = [], []

    def tearDown(self):
        for g in self.guests:
            g.close()
        for verb, id_ in reversed(self.made):
            self.verb(verb, id=id_)
        self.assertNotIn("htb", sh("tc qdisc show dev eth1").stdout)
        self.assertEqual(sh("ip -br link | grep -E 'nv[a-z][0-9a-f]{12}'; nft list ruleset | grep -v expires | grep -E 'nv[a-z][0-9a-f]{12}|eth1'; true").stdout, "")

    def network(self, n, vlan, physical="lab"):
        id_ = uid(n)
        dhcp = {"mac": "fa:16:3e:ff:00:%02x" % n, "addresses": ["192.0.2.2/24"], "domain": "test.internal", "ports": [{"id": uid(n + 10), "mac": "fa:16:3e:00:00:%02x" % n,
                "hostname": "vm", "ips": ["192.0.2.%d" % (10 + n)]}],
                "subnets": [{"id": id_, "cidr": "192.0.2.0/24", "version": 4, "gateway": "192.0.2.1", "dns": [], "routes": [], "mode": None}]}
        self.made.append(("network.absent", id_))
        self.verb("network.ensure", id=id_, mtu=1500, zone=n, host_addresses=[], nat=[], segment={"type": "vlan", "physical": physical, "vlan": vlan}, dhcp=dhcp)
        return id_

    def guest(self, n, network, qos=None):
        """The port that network() told DHCP of."""
        self.verb("group.ensure", id=uid(90), stateful=True, rules=OUT, members4=[], members6=[])
        if ("group.absent", uid(90)) not in self.made:
            self.made.append(("group.absent", uid(90)))
        p = dict(id=uid(n + 10), network_id=network, mac="fa:16:3e:00:00:%02x" % n, mtu=1500, addresses=["192.0.2.%d" % (10 + n)], pairs=[], groups=[uid(90)],
                 port_security=True, up=True, qos=qos)
        self.verb("port.ensure", **p)
        self.made.append(("port.absent", p["id"]))
        g = Guest("g%d" % n, "nvt" + short(p["id"]), p["mac"])
        self.guests.append(g)
        g.run("ip addr add 192.0.2.%d/24 dev eth0" % (10 + n))
        g.ip = "192.0.2.%d" % (10 + n)
        return g

    def test_networks_are_on_their_vlans(self):
        one, two = self.network(1, 100), self.network(2, 200)
        a, b = self.guest(1, one), self.guest(2, two)
        self.frames.clear()
        self.assertTrue(a.pings("192.0.2.1", 2))
        self.assertTrue(b.pings("192.0.2.1", 2))
        self.assertFalse(a.pings(b.ip), "VLANs do not meet")
        self.assertEqual({tci for tci, f in self.frames if f[6:12].hex(":") == a.mac}, {100})
        self.assertEqual({tci for tci, f in self.frames if f[6:12].hex(":") == b.mac}, {200})
        self.assertEqual(sh("ip netns exec lan100 ping -n -q -c 1 -W 1 " + a.ip, check=False).returncode, 0)
        self.assertNotEqual(sh("ip netns exec lan200 ping -n -q -c 1 -W 1 " + a.ip, check=False).returncode, 0)
        # Neither a second tag nor another's address leaves.
        self.frames.clear()
        a.send(ether(a.mac, EVERYONE, 0x8100, b"\0\xc8\x08\x06" + arp(1, a.mac, a.ip, EVERYONE, "192.0.2.1") + b"tagged"))
        a.send(ether(a.mac, EVERYONE, 0x806, arp(1, a.mac, b.ip, EVERYONE, "192.0.2.1") + b"spoofed"))
        a.send(ether(a.mac, EVERYONE, 0x806, arp(1, a.mac, a.ip, EVERYONE, "192.0.2.1") + b"honest!"))
        until("the honest frame", 30, lambda: [f for _, f in self.frames if b"honest!" in f])
        self.assertEqual([f.hex() for _, f in self.frames if b"tagged" in f or b"spoofed" in f], [])

    def test_a_promise_holds_on_a_vlan(self):
        one = self.network(1, 100)
        a, b = self.guest(1, one, {"egress_min_kbps": 900, "physical": "lab"}), self.guest(2, one)
        for g in a, b:
            until("the LAN is reached", 30, lambda: g.pings("192.0.2.1"))
        promised, other = shares((a, b), "lan100", "192.0.2.1")
        self.assertTrue(promised > 2 * other and other > 0.1 and promised + other < 1.3, (promised, other))

    def test_dhcp_stays_here(self):
        g = self.guest(1, self.network(1, 100))
        g.run("ip addr flush dev eth0")
        self.frames.clear()
        r = g.run("busybox udhcpc -i eth0 -n -q -t 8 -T 1 -s %s/tests/lib/udhcpc" % ROOT, timeout=60)
        self.assertIn("ip=" + g.ip, r.stdout + r.stderr)
        self.assertEqual([f.hex() for _, f in self.frames if f[12:14] == b"\x08\x00" and f[23:24] == b"\x11"], [])

    def test_the_interface_comes_back_and_the_agent_too(self):
        n = self.network(1, 100)
        g = self.guest(1, n)
        self.assertTrue(g.pings("192.0.2.1", 2))
        sh("ip link del nvu" + short(n))
        until("the interface made again", 90, lambda: g.pings("192.0.2.1"))
        self.agent.kill()
        self.agent.wait()
        self.assertTrue(g.pings("192.0.2.1", 2))
        type(self).start_agent()
        self.assertTrue(g.pings("192.0.2.1", 2))

    def test_another_vlan_and_what_is_missing(self):
        n = self.network(1, 100)
        g = self.guest(1, n)
        self.network(1, 200)
        self.frames.clear()
        until("the other VLAN", 30, lambda: g.pings("192.0.2.1"))
        self.assertEqual({tci for tci, f in self.frames if f[6:12].hex(":") == g.mac}, {200})
        for physical, words in (("gone", "no interface eth9"), ("none", "not on the physical network none")):
            with self.assertRaisesRegex(WireError, words):
                self.network(3, 100, physical)


if __name__ == "__main__":
    unittest.main()
