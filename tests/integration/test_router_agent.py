#!/usr/bin/python3
"""tests/integration/test_router_agent.py -- the agent's router verbs on a machine of its own: namespaces as guests, an outside behind the host."""
import ipaddress
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from own import own_machine, until  # noqa: E402
own_machine(__file__)
import test_net_agent as agent  # noqa: E402
from guest import arp, ether, ip4, ip6, ip_bytes, sh, udp, udp6  # noqa: E402
from test_net_agent import CONNECT, EVERYONE, OUT, rule, uid  # noqa: E402
from wire import WireError  # noqa: E402

ANY = OUT + [rule(), rule(version=6)]
OUTSIDE, HOST = "198.51.100.2", "172.24.4.1"


def mac(n):
    return "fa:16:3e:aa:%02x:%02x" % (n >> 8, n & 255)


class Router:
    """Its ports' ids and MACs follow from n."""

    def __init__(self, n):
        self.n, self.id, self.ports, self.gateway = n, uid(3000 + n), [], None
        self.floating, self.forwardings, self.routes, self.up = [], [], [], True
        self.netns = "nvrouter-" + self.id.replace("-", "")[:12]

    def port(self, net, addresses, **more):
        k = 3000 + 100 * self.n + len(self.ports)
        subnets = [str(ipaddress.ip_interface(a).network) for a in addresses]
        p = dict(port_id=uid(k), network_id=net.id, mac=mac(k), mtu=1450, addresses=addresses, subnets=subnets, **more)
        self.ports.append(p)
        return p

    def interface(self, net, *addresses, ra=()):
        self.port(net, list(addresses), ra=list(ra))
        return self

    def external(self, net, address, snat=True, nexthops=(HOST,)):
        self.gateway = self.port(net, [address], nexthops=list(nexthops), snat=snat)
        self.ports.remove(self.gateway)
        self.gateway["port_id"], self.gateway["mac"] = uid(3099 + 100 * self.n), mac(3099 + 100 * self.n)
        return self

    def float(self, external, fixed):
        self.floating = [f for f in self.floating if f["external"] != external]
        if fixed:
            self.floating.append({"id": self.id, "external": external, "fixed": fixed})
        return self

    def forward(self, external, first, last, internal, internal_first, protocol="tcp"):
        self.forwardings.append({"id": self.id, "external": external, "protocol": protocol, "external_first": first, "external_last": last,
                                 "internal": internal, "internal_first": internal_first})
        return self

    def args(self):
        return dict(id=self.id, interfaces=self.ports, gateway=self.gateway, floating=self.floating, forwardings=self.forwardings,
                    routes=self.routes, up=self.up)

    def link(self, p):
        return "nvr" + p["port_id"].replace("-", "")[:12]


class Case(agent.Case):
    def setUp(self):
        super().setUp()
        self.ext = None

    def tearDown(self):
        super().tearDown()
        self.assertEqual(sh("ip -br link | grep nv[rp]; ls /run/netns | grep nvrouter; true").stdout, "")

    def ensure(self, router):
        if ("router.absent", router.id) not in self.made:
            self.made.append(("router.absent", router.id))
        self.verb("router.ensure", **router.args())
        return router

    def outside(self):
        """The external network, whose gateway is the host, and a machine beyond the host."""
        self.ext = self.network(1, gateway_is_host=True, prefix="172.24.4")
        sh("ip netns add outside; ip link add out0 type veth peer name eth0 netns outside; ip addr add 198.51.100.1/24 dev out0; ip link set out0 up")
        sh("ip -n outside addr add %s/24 dev eth0; ip -n outside link set eth0 up; ip -n outside link set lo up; "
           "ip -n outside route add 172.24.4.0/24 via 198.51.100.1" % OUTSIDE)
        self.addCleanup(lambda: sh("ip link del out0; ip netns del outside"))
        return self.ext

    def guest(self, n, net, ip, **kw):
        p, g = self.port(n, net, ip, [self.group(50, ANY)], **kw)
        g.run("ip route add default via %s.1" % net.prefix)
        return p, g

    def inside(self, router, command, check=True):
        return sh("ip netns exec %s %s" % (router.netns, command), check=check)

    def outside_runs(self, command):
        return sh("ip netns exec outside " + command, check=False)

    def outside_pings(self, address):
        return self.outside_runs("ping -n -q -c 1 -W 1 " + address).returncode == 0

    def outside_connects(self, address, port):
        return self.outside_runs(CONNECT % (address, port)).returncode == 0

    def who(self, where, port=7000):
        """Starts a TCP server that tells the address of who connects; where: a guest, or None for outside."""
        code = ("import socket\ns=socket.socket();s.setsockopt(1,2,1);s.bind((\"\",%d));s.listen(8)\nprint(1,flush=True)\n"
                "while True:\n  c,a=s.accept();c.sendall(a[0].encode());c.close()" % port)
        argv = [sys.executable, "-c", code]
        p = where.start(*argv, stdout=subprocess.PIPE) if where else subprocess.Popen(["ip", "netns", "exec", "outside"] + argv, stdout=subprocess.PIPE)
        p.stdout.readline()
        self.addCleanup(lambda: (p.kill(), p.wait(), p.stdout.close()))

    def talk(self, address, port=7001):
        """From outside: a connection that says something ten times a second; returns a function that tells how often it was answered."""
        code = ("import socket,time\ns=socket.create_connection((\"%s\",%d),2);s.settimeout(1)\n"
                "while True: s.sendall(b\"x\"); s.recv(9); print(1,flush=True); time.sleep(0.1)" % (address, port))
        p = subprocess.Popen(["ip", "netns", "exec", "outside", sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return self.counted(p, lambda line: True)

    def counted(self, p, is_answer):
        answers = []
        threading.Thread(target=lambda: answers.extend(x for x in p.stdout if is_answer(x)), daemon=True).start()
        self.addCleanup(lambda: (p.kill(), p.wait(), p.stdout.close()))
        until("the first answer", 5, lambda: answers)
        return lambda: len(answers)

    def pinging(self, where, address):
        """A ping that goes on, from a namespace or from here; returns a function that tells how often it was answered."""
        p = subprocess.Popen((["ip", "netns", "exec", where] if where else []) + ["ping", "-n", "-i", "0.1", address], stdout=subprocess.PIPE)
        return self.counted(p, lambda line: b"ttl=" in line)

    def ask(self, where, address, port=7000):
        """The answer of who(), or an empty text."""
        code = sys.executable + ' -c "import socket; print(socket.create_connection((\\"%s\\", %d), 1).recv(99).decode())"' % (address, port)
        r = where.run(code, check=False) if where else self.outside_runs(code)
        return r.stdout.strip()


class Routing(Case):
    def test_two_networks_and_no_gateway(self):
        a, b = self.network(2), self.network(3, prefix="10.5.0")
        _, g = self.guest(11, a, "10.0.0.11")
        _, h = self.guest(12, b, "10.5.0.12")
        self.assertFalse(g.pings("10.5.0.12"))
        r = self.ensure(Router(1).interface(a, "10.0.0.1/24").interface(b, "10.5.0.1/24"))
        until("routed", 5, lambda: g.pings("10.5.0.12"))
        self.assertTrue(g.pings("10.0.0.1"))
        self.assertTrue(g.pings("10.5.0.1"))
        self.who(h)
        self.assertEqual(self.ask(g, "10.5.0.12"), "10.0.0.11")
        self.assertEqual(self.verb("net.list")["routers"], [r.netns[-12:]])
        # Security groups see the address of the guest that sends, and the router serves nothing.
        self.group(50, OUT + [rule(cidr="10.9.0.0/16")])
        self.assertEqual(self.ask(g, "10.5.0.12"), "")
        self.group(50, OUT + [rule(cidr="10.0.0.11")])
        self.assertEqual(self.ask(g, "10.5.0.12"), "10.0.0.11")
        self.inside(r, "true")
        server = subprocess.Popen(["ip", "netns", "exec", r.netns, sys.executable, "-c", "import socket,time\ns=socket.create_server((\"\",22));time.sleep(99)"])
        self.addCleanup(lambda: (server.kill(), server.wait()))
        time.sleep(0.3)
        self.assertFalse(self.connects(g, "10.0.0.1", 22))
        r.up = False
        self.ensure(r)
        self.assertFalse(g.pings("10.5.0.12"))
        r.up = True
        self.ensure(r)
        until("up again", 5, lambda: g.pings("10.5.0.12"))
        r.ports.pop()
        self.ensure(r)
        self.assertFalse(g.pings("10.5.0.12"))
        self.assertTrue(g.pings("10.0.0.1"))

    def test_extra_routes(self):
        a, b = self.network(2), self.network(3, prefix="10.5.0")
        _, g = self.guest(11, a, "10.0.0.11")
        _, h = self.guest(12, b, "10.5.0.12", pairs=["192.168.9.0/24"])
        h.run("ip addr add 192.168.9.1/32 dev lo")
        r = self.ensure(Router(1).interface(a, "10.0.0.1/24").interface(b, "10.5.0.1/24"))
        until("routed", 5, lambda: g.pings("10.5.0.12"))
        self.assertFalse(g.pings("192.168.9.1"))
        r.routes = [{"destination": "192.168.9.0/24", "nexthop": "10.5.0.12"}, {"destination": "192.168.8.0/24", "nexthop": "203.0.113.9"}]
        self.ensure(r)
        self.assertTrue(g.pings("192.168.9.1"))
        r.routes = r.routes[:1]
        self.ensure(r)
        self.assertTrue(g.pings("192.168.9.1"))
        r.routes = []
        self.ensure(r)
        self.assertFalse(g.pings("192.168.9.1"))
        self.assertNotIn("static", self.inside(r, "ip route").stdout)

    def test_several_next_hops_of_one_destination(self):
        ext, a = self.network(1, gateway_is_host=True, prefix="172.24.4"), self.network(2)
        hops = lambda version, to: sorted(re.findall(r"via (\S+)", self.inside(r, "ip -%d route show %s proto static" % (version, to)).stdout))
        outside, r = ["2001:db8:e::2", "2001:db8:e::3"], Router(1).interface(a, "10.0.0.1/24", "2001:db8:a::1/64")
        r.external(ext, "172.24.4.5/24", nexthops=[HOST] + outside)
        r.gateway["addresses"].append("2001:db8:e::5/64")
        for version, to, via in ((4, "192.168.9.0/24", "10.0.0."), (6, "2001:db8:9::/48", "2001:db8:a::")):
            for left in ((11, 12, 13), (11, 12), (11, 14), (14,), ()):
                r.routes = [{"destination": to, "nexthop": via + str(n)} for n in left]
                self.ensure(r)
                self.assertEqual(hops(version, to), [x["nexthop"] for x in r.routes])
        self.assertEqual(hops(6, "default"), outside)
        r.gateway["nexthops"] = [HOST] + outside[1:]
        self.ensure(r)
        self.assertEqual((hops(6, "default"), hops(4, "default")), (outside[1:], [HOST]))

    def test_default_among_the_extra_routes(self):
        """It stands in for the gateway's, whichever came first, of its own IP version."""
        ext, a, b = self.network(1, gateway_is_host=True, prefix="172.24.4"), self.network(2), self.network(3, prefix="10.5.0")
        a.six, b.six = "2001:db8:a::/64", "2001:db8:b::/64"
        self.ensure_network(a)
        self.ensure_network(b)
        _, g = self.guest(11, a, "10.0.0.11", ip6s=["2001:db8:a::11"])
        _, h = self.guest(12, b, "10.5.0.12", ip6s=["2001:db8:b::12"], security=False)
        for x in (g, h):                             # addresses that it makes itself would not be the port's
            x.run("echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_ra; ip -6 addr flush dev eth0 scope global")
        g.run("ip -6 addr add 2001:db8:a::11/64 dev eth0 nodad; ip -6 route add default via 2001:db8:a::1")
        h.run("ip -6 addr add 2001:db8:b::12/64 dev eth0 nodad; ip -6 route add default via 2001:db8:b::1; ip addr add 203.0.113.7/32 dev lo; "
              "ip -6 addr add 2001:db8:f::7/128 dev lo nodad")
        sh("ip addr add 203.0.113.7/32 dev lo")
        self.addCleanup(lambda: sh("ip addr del 203.0.113.7/32 dev lo"))
        hops = lambda version: re.findall(r"via (\S+)", self.inside(r, "ip -%d route show default" % version).stdout)
        r = Router(1).interface(a, "10.0.0.1/24", "2001:db8:a::1/64").interface(b, "10.5.0.1/24", "2001:db8:b::1/64")
        r.external(ext, "172.24.4.5/24", nexthops=[HOST, "2001:db8:e::2"])
        r.gateway["addresses"].append("2001:db8:e::5/64")
        ways, own = {4: HOST, 6: "2001:db8:e::2"}, {4: "10.5.0.12", 6: "2001:db8:b::12"}
        for versions in ((), (4,), (4, 6), (6,), (), (6, 4)):
            if versions == (6, 4):
                self.verb("router.absent", id=r.id)
            r.routes = [{"destination": {4: "0.0.0.0/0", 6: "::/0"}[v], "nexthop": own[v]} for v in versions]
            self.ensure(r)
            self.assertEqual({v: hops(v) for v in (4, 6)}, {v: [own[v] if v in versions else ways[v]] for v in (4, 6)}, versions)
            n = len(h.seen)
            until("the way out", 5, lambda: g.pings("203.0.113.7"))
            self.assertEqual(any(ip_bytes("203.0.113.7") == f[30:34] for f in h.seen[n:]), 4 in versions)
            if 6 in versions:
                until("the way out by IPv6", 5, lambda: g.pings("2001:db8:f::7"))
            else:
                self.assertFalse(g.pings("2001:db8:f::7"))

    def test_ipv6(self):
        a, b = self.network(2), self.network(3, prefix="10.5.0")
        a.six, b.six = "2001:db8:a::/64", "2001:db8:b::/64"
        self.ensure_network(a)
        self.ensure_network(b)
        _, g = self.guest(11, a, "10.0.0.11", ip6s=["2001:db8:a:0:f816:3eff:fe00:b"])
        _, h = self.guest(12, b, "10.5.0.12", ip6s=["2001:db8:b:0:f816:3eff:fe00:c"])
        for x in (g, h):
            x.run("ip -6 addr flush dev eth0 scope global; echo 2 > /proc/sys/net/ipv6/conf/eth0/accept_ra; ip link set eth0 down; ip link set eth0 up")
        mode = dict(mode="slaac")
        r = self.ensure(Router(1).interface(a, "10.0.0.1/24", "2001:db8:a::1/64", ra=[dict(mode, prefix=a.six)])
                        .interface(b, "2001:db8:b::/64", ra=[dict(mode, prefix=b.six)]))
        for x in (g, h):
            until("a default route", 10, lambda: "default via fe80::" in x.run("ip -6 route").stdout)
        until("an address", 10, lambda: "2001:db8:b:0:f816:3eff:fe00:c" in h.run("ip -6 addr show dev eth0 -tentative").stdout)
        until("routed", 5, lambda: g.pings("2001:db8:b:0:f816:3eff:fe00:c"))
        self.assertTrue(g.pings("2001:db8:b::"))
        self.who(h, 7006)
        # A guest that asks gets its answer within seconds.
        h.run("ip link set eth0 down; ip link set eth0 up")
        until("a default route again", 8, lambda: "default via fe80::" in h.run("ip -6 route").stdout)
        # The way out goes with the interface.
        gone = r.ports.pop()
        self.ensure(r)
        until("no default route", 3, lambda: "default via fe80::" not in h.run("ip -6 route").stdout)
        self.assertIn("default via fe80::", g.run("ip -6 route").stdout)
        r.ports.append(gone)

    def test_two_tenants_with_the_same_addresses(self):
        ext = self.outside()
        nets = [self.network(2), self.network(3)]
        guests = [self.guest(11 + i, net, "10.0.0.11")[1] for i, net in enumerate(nets)]
        routers = [self.ensure(Router(1 + i).interface(net, "10.0.0.1/24").external(ext, "172.24.4.%d/24" % (5 + i)).float("172.24.4.%d" % (15 + i), "10.0.0.11"))
                   for i, net in enumerate(nets)]
        for g in guests:
            self.who(g)
        until("the way out", 5, lambda: all(g.pings(OUTSIDE) for g in guests))
        self.assertEqual([self.ask(guests[0], "172.24.4.16"), self.ask(guests[1], "172.24.4.15")], ["172.24.4.15", "172.24.4.16"])
        # By its fixed address one router's guest is never reached through the other.
        guests[0].run("ip addr add 10.0.1.11/32 dev eth0")
        self.assertNotEqual(sh("ip route add 10.0.0.11 via 172.24.4.6 && ping -n -q -c 1 -W 1 10.0.0.11; e=$?; ip route del 10.0.0.11; exit $e", check=False).returncode, 0)
        self.assertEqual(len(self.verb("net.list")["routers"]), len(routers))


class Translation(Case):
    def test_way_out_is_translated(self):
        ext, net = self.outside(), self.network(2)
        p, g = self.guest(11, net, "10.0.0.11", security=False)
        r = self.ensure(Router(1).interface(net, "10.0.0.1/24").external(ext, "172.24.4.5/24"))
        self.who(None)
        until("the way out", 5, lambda: g.pings(OUTSIDE))
        # The host translates once more, as its own network lies behind it.
        self.assertEqual(self.ask(g, OUTSIDE), "198.51.100.1")
        self.assertTrue(self.outside_pings("172.24.4.5"))
        sh("ip route add 10.0.0.0/24 via 172.24.4.5")
        self.addCleanup(lambda: sh("ip route del 10.0.0.0/24", check=False))
        pings = lambda: sh("ping -n -q -c 1 -W 1 10.0.0.11", check=False).returncode == 0
        self.assertFalse(pings())
        # Without translation both see each other as they are.
        r.gateway["snat"] = False
        self.ensure(r)
        self.assertTrue(pings())
        r.gateway["snat"] = True
        self.ensure(r)
        self.assertFalse(pings())
        # What does not belong to a connection is not translated, and stays inside.
        code = ("import socket\ns=socket.socket(17,3,0x300);s.bind((\"%s\",3));s.settimeout(1.5);print(1,flush=True)\n"
                "while True: print(s.recv(99)[26:30].hex(),flush=True)" % ("nvp" + r.gateway["port_id"].replace("-", "")[:12]))
        watch = subprocess.Popen(["ip", "netns", "exec", r.netns, sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        watch.stdout.readline()
        for source in ("10.0.0.11", "10.0.9.9"):
            g.send(ether(p.mac, r.ports[0]["mac"], 0x800, ip4(source, OUTSIDE, 6, struct.pack(">HHIIBBHHH", 1, 2, 3, 4, 0x50, 0x04, 0, 0, 0))))
            g.send(ether(p.mac, r.ports[0]["mac"], 0x800, ip4(source, OUTSIDE, 1, b"\3\1\0\0" + bytes(28))))
        self.assertTrue(g.pings(OUTSIDE))
        seen = watch.communicate()[0].split()
        self.assertIn("ac180405", seen)
        self.assertFalse([x for x in seen if x.startswith("0a00")])

    def test_what_passed_as_it_was_does_not_outlive_that(self):
        ext, net = self.outside(), self.network(2)
        _, g = self.guest(11, net, "10.0.0.11", security=False)
        r = self.ensure(Router(1).interface(net, "10.0.0.1/24").external(ext, "172.24.4.5/24", snat=False))
        sh("ip route add 10.0.0.0/24 via 172.24.4.5")
        self.addCleanup(lambda: sh("ip route del 10.0.0.0/24", check=False))
        until("the way out", 5, lambda: g.pings(HOST))
        came_in = lambda: sum(f[12:14] == b"\x08\0" and f[26:30] == ip_bytes(HOST) and f[34] == 8 for f in g.seen)
        answers = self.pinging("g11", HOST)
        self.pinging(None, "10.0.0.11")
        r.gateway["snat"] = True
        self.ensure(r)
        # From here on it leaves by the gateway's address; and what came in is as foreign as anybody else's.
        time.sleep(0.5)                              # what is still on its way
        n, m = answers(), came_in()
        until("the long ping goes on", 3, lambda: answers() > n + 4)
        self.assertLessEqual(came_in(), m + 1)
        r.gateway["snat"] = False
        self.ensure(r)
        n = answers()
        until("and goes on", 3, lambda: answers() > n + 4)

    def test_floating(self):
        ext, net = self.outside(), self.network(2)
        _, g = self.guest(11, net, "10.0.0.11")
        _, h = self.guest(12, net, "10.0.0.12")
        r = self.ensure(Router(1).interface(net, "10.0.0.1/24").external(ext, "172.24.4.5/24").float("172.24.4.9", "10.0.0.11"))
        self.who(g)
        self.who(h)
        until("the way in", 5, lambda: self.outside_pings("172.24.4.9"))
        self.assertEqual(self.ask(None, "172.24.4.9"), OUTSIDE)
        self.assertEqual(sh("ping -n -q -c 1 -W 1 172.24.4.9").returncode, 0)
        # Its own floating address, and another guest's by way of the router.
        self.assertEqual(self.ask(g, "172.24.4.9"), "172.24.4.9")
        self.assertEqual(self.ask(h, "172.24.4.9"), "172.24.4.5")
        r.float("172.24.4.10", "10.0.0.12")
        self.ensure(r)
        self.assertEqual(self.ask(h, "172.24.4.9"), "172.24.4.10")
        self.assertEqual(self.ask(g, "172.24.4.10"), "172.24.4.9")
        # It stands for its guest on the way out, too.
        ext_guest = self.port(21, ext, "172.24.4.50", [uid(50)])[1]
        self.who(ext_guest)
        self.assertEqual(self.ask(g, "172.24.4.50"), "172.24.4.9")

    def test_moved_floating_address_takes_no_connection_along(self):
        ext, net, other = self.outside(), self.network(2), self.network(3)
        _, g = self.guest(11, net, "10.0.0.11")
        _, h = self.guest(12, net, "10.0.0.12")
        _, k = self.guest(13, other, "10.0.0.11")
        for x in (g, h, k):
            self.listen(x, 7001)
        a = self.ensure(Router(1).interface(net, "10.0.0.1/24").external(ext, "172.24.4.5/24").float("172.24.4.9", "10.0.0.11").float("172.24.4.8", "10.0.0.12"))
        b = self.ensure(Router(2).interface(other, "10.0.0.1/24").external(ext, "172.24.4.6/24"))
        until("the way in", 5, lambda: self.outside_pings("172.24.4.9"))
        moved, stays = self.talk("172.24.4.9"), self.talk("172.24.4.8")
        a.float("172.24.4.9", None)
        self.ensure(a)
        b.float("172.24.4.9", "10.0.0.11")
        self.ensure(b)
        time.sleep(0.3)
        n, m = moved(), stays()
        # The neighbours were told: the new guest is reached at once.
        self.assertTrue(self.outside_pings("172.24.4.9"))
        time.sleep(0.7)
        self.assertLessEqual(moved(), n)
        self.assertGreater(stays(), m)
        # To another guest of the same router.
        a.float("172.24.4.8", "10.0.0.11")
        self.ensure(a)
        time.sleep(0.3)
        m = stays()
        self.assertTrue(self.outside_pings("172.24.4.8"))
        time.sleep(0.7)
        self.assertLessEqual(stays(), m)

    def test_port_forwardings(self):
        ext, net = self.outside(), self.network(2)
        _, g = self.guest(11, net, "10.0.0.11")
        _, h = self.guest(12, net, "10.0.0.12")
        r = Router(1).interface(net, "10.0.0.1/24").external(ext, "172.24.4.5/24")
        r.forward("172.24.4.9", 2222, 2222, "10.0.0.11", 22).forward("172.24.4.9", 8000, 8003, "10.0.0.11", 9000)
        r.forward("172.24.4.9", 5000, 6000, "10.0.0.12", 5000).forward("172.24.4.9", 5000, 6000, "10.0.0.11", 5000, "udp")
        r.forward("172.24.4.9", 7000, 7009, "10.0.0.11", 22)
        r.forwardings[-1]["internal_last"] = 22
        self.ensure(r)
        for where, port in ((g, 22), (g, 9000), (g, 9003), (h, 5000), (h, 5500)):
            self.who(where, port)
        until("the router is there", 5, lambda: self.outside_pings("172.24.4.5"))
        for port in (2222, 8000, 8003, 5000, 5500, 7000, 7009):
            self.assertEqual(self.ask(None, "172.24.4.9", port), OUTSIDE, port)
        self.assertEqual(self.ask(h, "172.24.4.9", 2222), "172.24.4.5")
        for port in (22, 8004, 9000, 6001):
            self.assertFalse(self.outside_connects("172.24.4.9", port), port)
        self.who(h, 22)
        r.forwardings[0]["internal"] = "10.0.0.12"
        self.ensure(r)
        self.assertEqual(self.ask(None, "172.24.4.9", 2222), OUTSIDE)
        r.forwardings = []
        self.ensure(r)
        self.assertFalse(self.outside_connects("172.24.4.9", 2222))
        self.assertFalse(self.outside_pings("172.24.4.9"))


class Spoofing(Case):
    def test_nothing_false_is_forwarded(self):
        ext, net, other = self.outside(), self.network(2), self.network(3, prefix="10.5.0")
        p, g = self.guest(11, net, "10.0.0.11", pairs=["0.0.0.0/0"])
        q, h = self.guest(12, other, "10.5.0.12")
        _, k = self.guest(13, net, "10.0.0.13")
        r = self.ensure(Router(1).interface(net, "10.0.0.1/24").interface(other, "10.5.0.1/24").external(ext, "172.24.4.5/24").float("172.24.4.9", "10.5.0.12"))
        until("routed", 5, lambda: k.pings("10.5.0.12") and g.pings("10.5.0.12"))
        mark, door = b"NUVOLET-SPOOF", r.ports[0]["mac"]

        def frame(source, destination):
            return ether(p.mac, door, 0x800, ip4(source, destination, 17, udp(1000, 2000, mark)))

        def arrived(x, send):
            n = len(x.seen)
            send()
            time.sleep(0.1)
            return any(mark in f for f in x.seen[n:])
        until("an honest one arrives", 3, lambda: arrived(h, lambda: g.send(frame("10.0.0.11", "10.5.0.12"))))
        for source in ("10.5.0.99", "172.24.4.5", "172.24.4.9", HOST, "8.8.8.8", "127.0.0.1", "169.254.169.254", "10.0.0.1", "224.0.0.1"):
            self.assertFalse(arrived(h, lambda: g.send(frame(source, "10.5.0.12"))), source)
        before = sh("ip -s -j link show dev " + r.link(r.ports[1])).stdout
        for destination in ("169.254.169.254", "169.254.1.1", "224.0.0.5", "255.255.255.255", "10.5.0.255"):
            self.assertFalse(arrived(h, lambda: g.send(frame("10.0.0.11", destination))), destination)
        self.assertTrue(before)
        # From outside: inner addresses, and those of the router's guests as sources.
        code = ("import socket\ns=socket.socket(17,3);s.bind((\"eth0\",0));import sys\ns.send(bytes.fromhex(sys.argv[1]))")
        out_mac = sh("cat /sys/class/net/out0/address").stdout.strip()
        for source, destination in ((OUTSIDE, "10.5.0.12"), ("10.0.0.11", "172.24.4.9"), ("10.0.0.11", "10.5.0.12")):
            f = ether("02:00:00:00:00:01", out_mac, 0x800, ip4(source, destination, 17, udp(1000, 2000, mark)))
            self.assertFalse(arrived(h, lambda: self.outside_runs("%s -c '%s' %s" % (sys.executable, code, f.hex()))), (source, destination))

    def test_nobody_comes_from_elsewhere_as_one_of_the_network(self):
        """Where a tenant's route, or a subnet of his with the same addresses, says that they are his."""
        shared, own, ext = self.network(2), self.network(3, prefix="10.5.0"), self.outside()
        own.six, ext.six = "2001:db8:b::/64", "2001:db8:e::/64"
        self.ensure_network(ext)
        friends = self.group(60, OUT, ["10.0.0.12", "10.9.0.12", "2001:db8:e::12"])
        only = self.group(61, OUT + [rule(protocol=17, group=friends), rule(protocol=17, version=6, group=friends)])
        _, h = self.port(13, shared, "10.0.0.13", [only])
        q, out = self.port(14, ext, "172.24.4.14", [only], ip6s=["2001:db8:e::14"])
        e, x = self.guest(11, own, "10.5.0.11", security=False)
        r = Router(1).interface(shared, "10.0.0.9/24").interface(own, "10.5.0.1/24", "2001:db8:b::1/64").external(ext, "172.24.4.5/24", snat=False)
        r.gateway["addresses"].append("2001:db8:e::5/64")
        door, word = r.ports[1]["mac"], b"NUVOLET-SPOOF"

        def arrives(guest, source, destination):
            n = len(guest.seen)
            if ":" in source:
                frame = ether(e.mac, door, 0x86dd, ip6(source, destination, 17, udp6(source, destination, 1000, 2000, word)))
            else:
                frame = ether(e.mac, door, 0x800, ip4(source, destination, 17, udp(1000, 2000, word)))
            for _ in range(5):
                x.send(frame)
                time.sleep(0.1)
            return any(word in f for f in guest.seen[n:])
        # What the receiver allows does arrive where nobody says that the address is the network's.
        r.routes = [{"destination": d, "nexthop": "2001:db8:b::11" if ":" in d else "10.5.0.11"} for d in ("10.0.0.12/32", "10.9.0.12/32", "2001:db8:e::12/128")]
        self.ensure(r)
        until("it arrives", 5, lambda: arrives(h, "10.9.0.12", "10.0.0.13"))
        until("it arrives by IPv6", 5, lambda: arrives(out, "2001:db8:e::12", "2001:db8:e::14"))
        r.ports[0]["subnets"].append("10.9.0.0/24")
        r.gateway["subnets"].append("2001:db8:e::/64")
        self.ensure(r)
        for guest, source, destination in ((h, "10.0.0.12", "10.0.0.13"), (h, "10.9.0.12", "10.0.0.13"), (out, "2001:db8:e::12", "2001:db8:e::14")):
            self.assertFalse(arrives(guest, source, destination), source)

    def test_two_subnets_of_one_network_reach_each_other(self):
        """By two links, and by one."""
        net = self.network(2)
        p, g = self.guest(11, net, "10.0.0.11")
        q, h = self.port(12, net, "10.9.0.12", [self.group(50, ANY)])
        h.run("ip route add default via 10.9.0.1")
        r = Router(1).interface(net, "10.0.0.1/24").interface(net, "10.9.0.1/24")
        for port in r.ports:
            port["subnets"] = ["10.0.0.0/24", "10.9.0.0/24"]
        self.ensure(r)
        until("they do", 5, lambda: g.pings("10.9.0.12") and h.pings("10.0.0.11"))
        del r.ports[1]
        r.ports[0]["addresses"].append("10.9.0.1/24")
        self.ensure(r)
        until("they still do", 5, lambda: g.pings("10.9.0.12") and h.pings("10.0.0.11"))

    def test_dhcp_hears_nobody_from_elsewhere(self):
        """Not through a router, nor from outside: nobody looked at the hardware address that is given there."""
        ext, own = self.outside(), self.network(3, prefix="10.5.0")
        q, h = self.guest(12, ext, "172.24.4.12")
        p, g = self.guest(11, own, "10.5.0.11", security=False)
        r = self.ensure(Router(1).interface(own, "10.5.0.1/24").external(ext, "172.24.4.5/24"))

        def gets():
            h.run("ip addr flush dev eth0")
            return "ip=" + q.ip in h.run("timeout 20 busybox udhcpc -i eth0 -n -q -t 3 -T 1 -s %s/tests/lib/udhcpc" % agent.ROOT, check=False).stdout

        def leases():
            with open("%s/dhcp/%s/leases" % (agent.RUN, ext.short)) as f:
                return f.read()
        code = "import socket,sys; s=socket.socket(2,2); s.bind((\"\",68)); s.sendto(bytes.fromhex(sys.argv[1]), (\"172.24.4.2\",67))"
        self.assertTrue(gets())
        before = leases()
        self.assertIn(q.ip, before)
        for kind in (7, 4):                          # release, decline
            data = agent.bootp(1, kind, q.mac, server="172.24.4.2", ciaddr=q.ip, more=b"\x32\4" + ip_bytes(q.ip) if kind == 4 else b"")
            for send in (lambda: g.send(ether(p.mac, r.ports[0]["mac"], 0x800, ip4(p.ip, "172.24.4.2", 17, udp(68, 67, data)))),
                         lambda: self.outside_runs("%s -c '%s' %s" % (sys.executable, code, data.hex()))):
                for _ in range(3):
                    send()
                    time.sleep(0.2)
                self.assertEqual(leases(), before, kind)
        self.assertTrue(gets())

    def test_the_routers_addresses_are_its_own(self):
        net, other = self.network(2), self.network(3, prefix="10.5.0")
        p, g = self.guest(11, net, "10.0.0.11")
        q, h = self.guest(12, net, "10.0.0.12")
        o, k = self.guest(13, net, "10.0.0.13", security=False)
        _, far = self.guest(14, other, "10.5.0.14")
        r = self.ensure(Router(1).interface(net, "10.0.0.1/24").interface(other, "10.5.0.1/24"))
        until("routed", 5, lambda: h.pings("10.5.0.14"))
        door = r.ports[0]["mac"]
        for sender in (p.mac, door):
            n = len(h.seen)
            for op in (1, 2):
                g.send(ether(sender, EVERYONE, 0x806, arp(op, sender, "10.0.0.1", sender if op == 1 else EVERYONE, "10.0.0.12")))
            time.sleep(0.1)
            self.assertFalse([f for f in h.seen[n:] if f[12:14] == b"\x08\x06" and f[28:32] == bytes([10, 0, 0, 1]) and f[38:42] == ip_bytes("10.0.0.12")])
        # Even one that may send anything does not draw the router's frames to itself.
        for _ in range(20):
            k.send(ether(door, EVERYONE, 0x800, ip4("10.0.0.13", "10.0.0.255", 17, udp(1, 2, b"x"))))
        n = len(k.seen)
        self.assertTrue(h.pings("10.5.0.14", 3))
        self.assertFalse([f for f in k.seen[n:] if f[:6] == bytes.fromhex(door.replace(":", ""))])


class Damage(Case):
    BRIDGE_GOES = "ip link del %s"

    def ready(self):
        ext, net, other = self.outside(), self.network(2), self.network(3, prefix="10.5.0")
        _, g = self.guest(11, net, "10.0.0.11")
        _, h = self.guest(12, other, "10.5.0.12")
        r = self.ensure(Router(1).interface(net, "10.0.0.1/24").interface(other, "10.5.0.1/24").external(ext, "172.24.4.5/24").float("172.24.4.9", "10.0.0.11"))
        self.fine = lambda: g.pings(OUTSIDE) and g.pings("10.5.0.12") and self.outside_pings("172.24.4.9")
        until("the router is there", 5, self.fine)
        return r, net, g

    def test_removed_by_hand_comes_back(self):
        r, net, g = self.ready()
        short = r.netns[-12:]
        one, two, out = (r.link(p) for p in (*r.ports, r.gateway))
        inside = "ip -n %s " % r.netns
        for damage in ("ip netns del " + r.netns, "ip netns del %s; ip netns add %s" % (r.netns, r.netns), self.BRIDGE_GOES % net.bridge,
                       "ip link del %s; %sroute del default; %slink set nvp%s down" % (one, inside, inside, out[3:]),
                       "ip link set %s nomaster; ip link set %s down; %saddr flush dev nvp%s" % (one, two, inside, out[3:])):
            sh(damage)
            until("repaired after " + damage, 10, lambda: short in self.verb("net.list")["routers"] and self.fine())

    def test_what_the_bridge_knows_comes_back(self):
        r, net, g = self.ready()
        one, two = map(r.link, r.ports)
        look = lambda: sh("bridge fdb show dev %s | grep -i %s; bridge -d link show dev %s" % (one, r.ports[0]["mac"], two)).stdout
        before = look()
        for damage in ("bridge fdb del %s dev %s master" % (r.ports[0]["mac"], one), "bridge link set dev %s flood on mcast_flood off" % two):
            # The agent may be quicker than a look.
            self.assertTrue(any(sh(damage, check=False) and look() != before for _ in range(5)), damage)
            until("repaired after " + damage, 10, lambda: look() == before)

    def test_what_is_set_by_hand_goes_back(self):
        """For all interfaces, for those to come and for one alone; and by which rules routes are found."""
        r, net, g = self.ready()
        r.ports[0]["addresses"].append("2001:db8:a::1/64")
        self.ensure(r)
        names = {"ipv4": "arp_ignore arp_announce rp_filter accept_redirects send_redirects accept_source_route forwarding",
                 "ipv6": "disable_ipv6 accept_ra accept_redirects accept_source_route accept_dad forwarding"}
        files = lambda device: ["/proc/sys/net/%s/conf/%s/%s" % (v, device, name) for v in names for name in names[v].split()]
        inner = "nvp" + r.link(r.ports[0])[3:]
        every = sum(map(files, ("all", "default", inner)), [])
        look = lambda: self.inside(r, "sh -c 'grep . %s; ip -4 rule; ip -6 rule; ip -br addr show scope global'" % " ".join(every)).stdout
        before = look()
        self.assertIn("2001:db8:a::1", before)
        other = lambda path: "1" if path + ":0" in before else "0"
        write = lambda paths: "; ".join("echo %s >%s" % (other(path), path) for path in paths)
        for damage in ("sysctl -q net.ipv4.ip_forward=0", *(write(files(device)) for device in ("all", "default", inner)),
                       write([path for path in files(inner) if "ipv4" in path and "forwarding" in path])):
            # The agent may be quicker than a look.
            self.assertTrue(any(self.inside(r, "sh -c '%s'" % damage) and r.netns[-12:] not in self.verb("net.list")["routers"] for _ in range(5)), damage)
            until("repaired after " + damage, 10, lambda: r.netns[-12:] in self.verb("net.list")["routers"] and look() == before and self.fine())
        for version in (4, 6):
            time.sleep(4)                            # the look after a repair sees to everything once more
            damage = "ip -%d rule del pref 101; ip -%d rule del pref 100; ip -%d rule add pref 32766 lookup main" % ((version,) * 3)
            self.inside(r, "sh -c '%s'" % damage)
            until("repaired after " + damage, 10, lambda: look() == before and self.fine())

    def test_without_its_rules_nothing_passes(self):
        r, net, g = self.ready()
        self.who(g)
        self.assertTrue(self.outside_connects("172.24.4.9", 7000))
        self.stop_agent()
        try:
            for damage in ("flush chain inet nuvolet forward", "flush ruleset"):
                self.inside(r, "nft " + damage)
                self.assertFalse(g.pings("10.5.0.12"), damage)
                self.assertFalse(g.pings(OUTSIDE), damage)
                self.assertFalse(self.outside_connects("172.24.4.9", 7000), damage)
        finally:
            os.kill(self.agent.pid, signal.SIGCONT)
        until("the rules are back", 10, self.fine)
        self.inside(r, "nft flush chain inet nuvolet postrouting")
        until("the chain is back", 10, self.fine)

    def test_agent_killed_and_started_anew_disturbs_nobody(self):
        r, net, g = self.ready()
        self.listen(g, 7001)
        count = self.talk("172.24.4.9")
        ping = g.start("ping", "-n", "-q", "-i", "0.05", "-c", "50", "-W", "1", OUTSIDE, stdout=subprocess.PIPE, text=True)
        time.sleep(0.3)
        self.agent.kill()
        self.agent.wait()
        type(self).start_agent()
        for net in (self.ext, net):
            self.ensure_network(net)
        self.group(50, ANY)
        for p in net.ports:
            self.verb("port.ensure", **p.args())
        self.ensure(r)
        n = count()
        self.assertIn(" 0% packet loss", ping.communicate()[0])
        until("the connection goes on", 2, lambda: count() > n + 3)

    def test_absent_of_what_this_agent_never_saw(self):
        r, net, g = self.ready()
        self.agent.kill()
        self.agent.wait()
        type(self).start_agent()
        self.assertEqual(self.verb("net.list")["routers"], [r.netns[-12:]])
        # Only the digits in its name are known.
        self.verb("router.absent", id=r.id[:13] + "-0000-0000-000000000000")
        self.assertEqual(sh("ip -br link | grep nv[rp]; ls /run/netns | grep nvrouter; true").stdout, "")


class Death(Case, agent.Death):
    def life(self):
        ext, net = agent.Network(1, gateway_is_host=True, prefix="172.24.4"), agent.Network(2)
        net.ports = [agent.Port(11, net.id, "10.0.0.11", [uid(50)])]
        p, r = net.ports[0], Router(1).interface(net, "10.0.0.1/24").external(ext, "172.24.4.5/24")
        before = r.args()
        r.float("172.24.4.9", p.ip).forward("172.24.4.8", 80, 80, p.ip, 80).routes.append({"destination": "10.7.0.0/16", "nexthop": p.ip})
        up = [*(("network.ensure", n.args()) for n in (ext, net)),
              ("group.ensure", dict(id=uid(50), stateful=True, rules=ANY, members4=[p.ip], members6=[])), ("port.ensure", p.args()),
              ("router.ensure", before), ("router.ensure", r.args())]
        down = [("router.absent", dict(id=r.id)), ("port.absent", dict(id=p.id)), ("group.absent", dict(id=uid(50))),
                *(("network.absent", dict(id=n.id)) for n in (net, ext))]

        def works():
            g = agent.Guest("g", p.tap, p.mac)
            g.run("ip addr add %s/24 dev eth0; ip route add default via 10.0.0.1" % p.ip)
            until("the guest reaches the host, and is reached", 5, lambda: g.pings(HOST) and sh("ping -n -q -c 1 -W 1 172.24.4.9", check=False).returncode == 0)
            g.close()
        return up, down, works


class Many(Case):
    def test_one_change_among_a_hundred(self):
        ext, net = self.outside(), self.network(2)
        _, g = self.guest(11, net, "10.0.0.11")
        r = Router(1).interface(net, "10.0.0.1/24").external(ext, "172.24.4.5/24")
        for i in range(100):
            r.float("172.24.4.%d" % (100 + i), "10.0.0.%d" % (50 + i))
        start = time.time()
        self.ensure(r)
        first, times = time.time() - start, []
        for i in range(10):
            r.float("172.24.4.100", "10.0.0.11" if i % 2 == 0 else "10.0.0.50")
            start = time.time()
            self.ensure(r)
            times.append(time.time() - start)
        start = time.time()
        self.ensure(r)
        again = time.time() - start
        print("100 floating addresses: first %.0f ms, one change %.0f ms (median), no change %.0f ms" % (first * 1e3, sorted(times)[5] * 1e3, again * 1e3))
        self.assertLess(sorted(times)[5], 0.25)
        r.float("172.24.4.100", "10.0.0.11")
        self.ensure(r)
        until("the way in", 5, lambda: self.outside_pings("172.24.4.100"))


class Refusals(Case):
    def test_odd_values(self):
        ext, net = self.network(1, gateway_is_host=True, prefix="172.24.4"), self.network(2)
        good = Router(1).interface(net, "10.0.0.1/24").external(ext, "172.24.4.5/24").float("172.24.4.9", "10.0.0.11").forward("172.24.4.8", 1, 2, "10.0.0.11", 1).args()
        port = good["interfaces"][0]
        twice = [{"external": "172.24.4.9", "fixed": "10.0.0.%d" % i} for i in (1, 2)]
        forwarding = good["forwardings"][0]
        for change in ({"interfaces": [dict(port, mac="x")]}, {"interfaces": [dict(port, addresses=["10.0.0.1 }"])]}, {"interfaces": [dict(port, port_id="../x")]},
                       {"interfaces": [port, port]}, {"interfaces": [dict(port, ra=[{"prefix": "2001:db8::/64", "mode": "x"}])]}, {"gateway": dict(good["gateway"], nexthops=["x"])},
                       {"floating": twice}, {"floating": [{"external": "2001:db8::1", "fixed": "10.0.0.1"}]}, {"forwardings": [dict(forwarding, protocol="icmp")]},
                       {"forwardings": [dict(forwarding, external_last=0)]}, {"forwardings": [dict(forwarding, internal_first=65535)]},
                       {"forwardings": [forwarding, forwarding]}, {"routes": [{"destination": "10.0.0.0/8", "nexthop": "::1"}]}, {"extra": 1}, {"up": "yes"}):
            with self.assertRaises(WireError, msg=str(change)):
                self.verb("router.ensure", **dict(good, **change))
        missing = Router(2).interface(agent.Network(77), "10.0.0.1/24")
        with self.assertRaisesRegex(WireError, "agent: network .* is not on this host"):
            self.verb("router.ensure", **missing.args())
        self.verb("router.absent", id=missing.id)


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
