#!/usr/bin/python3
"""tests/integration/test_router_agent.py -- the agent's router verbs on a machine of its own: namespaces as guests, an outside behind the host."""
import os
import subprocess
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
if os.environ.get("NUVOLET_MACHINE") != "1":
    if os.geteuid() != 0:
        print("Ran 1 test in 0s\n\nOK (skipped=1)  # needs root")
        sys.exit(0)
    os.environ["NUVOLET_MACHINE"] = "1"
    os.execv(ROOT + "/tests/lib/machine", ["machine", sys.executable, "-B", os.path.abspath(__file__)] + sys.argv[1:])
sys.path[:0] = [ROOT + "/tests/lib", ROOT + "/tests/integration"]
import test_net_agent as agent  # noqa: E402
from guest import arp, ether, ip4, sh, udp  # noqa: E402
from test_net_agent import CONNECT, EVERYONE, OUT, rule, uid, until  # noqa: E402
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
        p = dict(port_id=uid(k), network_id=net.id, mac=mac(k), mtu=1450, addresses=addresses, **more)
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
        self.ensure(r)
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

    def test_way_out_is_translated(self):
        ext, net = self.outside(), self.network(2)
        _, g = self.guest(11, net, "10.0.0.11")
        self.ensure(Router(1).interface(net, "10.0.0.1/24").external(ext, "172.24.4.5/24"))
        self.who(None)
        until("the way out", 5, lambda: g.pings(OUTSIDE))
        # The host translates once more, as its own network lies behind it.
        self.assertEqual(self.ask(g, OUTSIDE), "198.51.100.1")
        self.assertTrue(self.outside_pings("172.24.4.5"))
        sh("ip route add 10.0.0.0/24 via 172.24.4.5")
        self.addCleanup(lambda: sh("ip route del 10.0.0.0/24", check=False))
        self.who(g)
        self.assertNotEqual(sh("ping -n -q -c 1 -W 1 10.0.0.11", check=False).returncode, 0)

    def test_floating(self):
        ext, net = self.outside(), self.network(2)
        _, g = self.guest(11, net, "10.0.0.11")
        _, h = self.guest(12, net, "10.0.0.12")
        r = self.ensure(Router(1).interface(net, "10.0.0.1/24").external(ext, "172.24.4.5/24").float("172.24.4.9", "10.0.0.11"))
        self.who(g)
        self.who(h)
        self.assertEqual(self.ask(None, "172.24.4.9"), OUTSIDE)
        self.assertTrue(self.outside_pings("172.24.4.9"))
        self.assertEqual(sh("ping -n -q -c 1 -W 1 172.24.4.9").returncode, 0)
        # Its own floating address, and another guest's by way of the router.
        self.assertEqual(self.ask(g, "172.24.4.9"), "172.24.4.9")
        self.assertEqual(self.ask(h, "172.24.4.9"), "172.24.4.5")
        r.float("172.24.4.10", "10.0.0.12")
        start = time.time()
        self.ensure(r)
        self.assertLess(time.time() - start, 1)
        self.assertEqual(self.ask(h, "172.24.4.9"), "172.24.4.10")
        self.assertEqual(self.ask(g, "172.24.4.10"), "172.24.4.9")


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
