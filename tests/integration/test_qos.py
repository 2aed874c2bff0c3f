#!/usr/bin/python3
"""tests/integration/test_qos.py -- limits of ports and promises to them as transfers see them: bandwidth, packets a second, DSCP marks; healed and gone; what rules count."""
import os
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from own import own_machine, until  # noqa: E402
own_machine(__file__)
from guest import ether, icmp6, ip4, ip6, sh, udp  # noqa: E402
from shares import shares  # noqa: E402
from wire import WireError  # noqa: E402
from test_net_agent import Case, Network, OUT, Port, rule, uid  # noqa: E402

RECEIVE = """import socket, time
s = socket.socket(); s.bind(("", 7000)); s.listen(1); print(1, flush=True)
c = s.accept()[0]; n = 0; first = None
while True:
    d = c.recv(65536)
    if not d: break
    now = time.monotonic()
    if first is None: first = now
    if now - first > 0.5: n += len(d)
    last = now
print(n * 8 / 1e6 / max(last - first - 0.5, 0.1), flush=True)
"""
SEND = """import socket, sys, time
s = socket.create_connection((sys.argv[1], 7000), 5); s.settimeout(5); end = time.monotonic() + 2.5
while time.monotonic() < end: s.sendall(bytes(16384))
s.close()
"""


class Counters(Case):
    def test_rules_count_and_go_on_counting(self):
        net = self.network(1)
        rules = [dict(rule("egress"), id=uid(701)), dict(rule(protocol=17, low=7, high=7), id=uid(702)), dict(rule(protocol=17, low=8, high=8), id=uid(703))]
        group = self.group(50, rules, stateful=False)
        p, g = self.port(1, net, "10.0.0.11", [group])
        q, h = self.port(2, net, "10.0.0.12", [group])

        def counted():
            return {c["rule"]: (c["packets"], c["bytes"]) for c in self.verb("group.counters", id=group)["rules"]}

        def send(n, port):
            for i in range(n):
                g.send(ether(p.mac, q.mac, 0x800, ip4(p.ip, q.ip, 17, udp(9, port, b"counted!"), ident=i + 1)))
        key = lambda n: uid(n).replace("-", "")[:12]
        before = counted()[key(701)]
        send(5, 7)
        send(2, 8)
        send(3, 9)
        until("all are counted", 3, lambda: counted()[key(702)] == (5, 180) and counted()[key(703)] == (2, 72))
        self.assertGreaterEqual(counted()[key(701)][0], before[0] + 10)
        # A rule more, and one less: the others go on.
        self.group(50, rules[:2] + [dict(rule(protocol=17, low=9, high=9), id=uid(704))], stateful=False)
        self.assertEqual((counted()[key(702)], counted()[key(704)]), ((5, 180), (0, 0)))
        self.assertNotIn(key(703), counted())
        send(1, 7)
        until("it goes on", 3, lambda: counted()[key(702)] == (6, 216))
        self.agent.kill()
        self.agent.wait()
        type(self).start_agent()
        self.assertEqual(counted()[key(702)], (6, 216))
        self.assertEqual(self.verb("group.counters", id=uid(799)), {"rules": []})
        self.ensure_network(net)
        self.group(50, rules, stateful=False)
        self.assertEqual(counted()[key(702)], (6, 216))


class Check(Case):
    def test_a_port_is_compared_with_the_kernel(self):
        net = self.network(1)
        rules = [dict(rule("egress"), id=uid(701)), dict(rule(protocol=17), id=uid(702))]
        p, g = self.port(1, net, "10.0.0.11", [self.group(50, rules)], pairs=["10.0.0.64/27"], ip6s=["2001:db8::11"])
        p.qos = {"egress_pps": 100}
        self.verb("port.ensure", **p.args())
        ask = lambda **changed: self.verb("port.check", **{**p.args(), **changed})
        good = ask()
        self.assertEqual((good["checked"], good["missing"]), (True, []))
        self.assertEqual({r for r in good["rules"]}, {uid(n).replace("-", "")[:12] for n in (701, 702)})
        self.assertIn("10.0.0.77", " ".join(ask(addresses=p.ips + ["10.0.0.77"])["missing"]))
        self.assertIn("security group", " ".join(ask(groups=[uid(51)])["missing"]))
        other = ask(groups=[self.group(52, [dict(rule(protocol=17), id=uid(703))])])        # it is there, but not for this port
        self.assertIn("security group", " ".join(other["missing"]))
        self.assertEqual(other["rules"], [])
        self.assertIn("down: the tap", " ".join(ask(up=False)["missing"]))
        self.assertIn("every rule of port", " ".join(self.verb("port.check", **Port(9, net.id, "10.0.0.19").args())["missing"]))


class Limits(Case):
    def two(self):
        net = self.network(1)
        group = self.group(50, OUT + [rule(), rule(version=6)])
        p, g = self.port(1, net, "10.0.0.11", [group], ip6s=["2001:db8::11"])
        q, h = self.port(2, net, "10.0.0.12", [group], ip6s=["2001:db8::12"])
        self.assertTrue(g.pings("10.0.0.12", 2))
        return p, g, q, h

    def limit(self, p, **qos):
        p.qos = qos or None
        self.verb("port.ensure", **p.args())

    def rate(self, g, h, address):
        """Mbit/s of a TCP transfer, its first half second left out."""
        receiver = h.start(sys.executable, "-c", RECEIVE, stdout=subprocess.PIPE, text=True)
        try:
            receiver.stdout.readline()
            g.start(sys.executable, "-c", SEND, address).wait(30)
            return float(receiver.stdout.readline())
        finally:
            receiver.kill()
            receiver.wait()
            receiver.stdout.close()

    def between(self, low, value, high):
        self.assertTrue(low < value < high, value)

    def test_bandwidth_both_ways(self):
        p, g, q, h = self.two()
        self.limit(p, egress_kbps=6000, egress_burst_kb=400)
        self.between(4.2, self.rate(g, h, q.ip), 6.6)
        self.limit(p, ingress_kbps=3000, ingress_burst_kb=400)
        self.between(2.0, self.rate(h, g, p.ip), 3.4)
        self.limit(p)
        self.assertGreater(self.rate(g, h, q.ip), 8)
        self.assertEqual(sh("tc qdisc show dev %s | grep tbf; tc filter show dev %s ingress; ip -br link | grep nvq; true" % (p.tap, p.tap)).stdout, "")

    def test_rules_hold_behind_the_diversion(self):
        p, g, q, h = self.two()
        self.limit(p, egress_kbps=6000)
        self.assertTrue(g.pings("10.0.0.12"))
        h.seen.clear()
        for source in ("10.0.0.99", "10.0.0.12"):
            g.send(ether(p.mac, q.mac, 0x800, ip4(source, "10.0.0.12", 17, udp(9, 9, b"spoofed"))))
        time.sleep(0.3)
        self.assertFalse([f for f in h.seen if b"spoofed" in f])

    def arrived(self, g, h, p, q, n, address, mac=None, patience=0.02):
        """How many of n frames arrive.  A few at a time: the next ones wait until they are there, or so long, because queues on the way are short."""
        count = lambda: sum(b"counted" in f for f in list(h.seen))
        h.seen.clear()
        for i in range(n):
            g.send(ether(p.mac, mac or q.mac, 0x800, ip4(p.ip, address, 17, udp(9, 9, b"counted"), ident=i + 1)))
            end = time.monotonic() + patience
            while i % 25 == 24 and count() <= i and time.monotonic() < end:
                time.sleep(0.002)
        was, now = -1, 0
        while was != now:                            # until no more come
            was = now
            time.sleep(0.3)
            now = count()
        return now

    def all_arrive(self, *args, **kw):
        n = args[4]
        self.assertGreater(self.arrived(*args, patience=0.5, **kw), 0.9 * n)

    def test_packets_a_second(self):
        p, g, q, h = self.two()
        self.all_arrive(g, h, p, q, 500, q.ip)
        for port, direction in ((p, "egress"), (q, "ingress")):
            self.limit(port, **{direction + "_pps": 50, direction + "_pps_burst": 20})
            start = time.monotonic()
            n = self.arrived(g, h, p, q, 500, q.ip)
            self.assertTrue(10 <= n <= 40 + 50 * (time.monotonic() - start), (direction, n))
            self.limit(port)
        self.all_arrive(g, h, p, q, 500, q.ip)

    def test_marks(self):
        p, g, q, h = self.two()
        self.limit(p, dscp=46)
        datagram = ether(p.mac, q.mac, 0x800, ip4(p.ip, q.ip, 17, udp(9, 9, b"marked4")))
        echo = ether(p.mac, q.mac, 0x86dd, ip6("2001:db8::11", "2001:db8::12", 58, icmp6("2001:db8::11", "2001:db8::12", 128, b"\0\1\0\1marked6")))
        came = lambda frame, word: g.send(frame) or [f for f in h.seen if word in f]
        until("the first arrives", 3, lambda: came(datagram, b"marked4"))
        until("the second arrives", 3, lambda: came(echo, b"marked6"))
        four = [f for f in h.seen if b"marked4" in f][0]
        six = [f for f in h.seen if b"marked6" in f][0]
        self.assertEqual((four[15] >> 2, (six[14] & 15) << 2 | six[15] >> 6), (46, 46))
        self.assertTrue(g.pings("10.0.0.12"))
        time.sleep(0.1)                              # what is still on its way
        self.limit(p, dscp=8)
        h.seen.clear()
        until("it arrives", 3, lambda: came(datagram, b"marked4"))
        self.assertEqual([f for f in h.seen if b"marked4" in f][0][15] >> 2, 8)

    def test_healed_within_ten_seconds(self):
        p, _, q, _ = self.two()
        self.limit(p, egress_kbps=6000, ingress_kbps=3000, egress_pps=1000, dscp=8)
        shaper = p.tap.replace("nvt", "nvq")

        def whole():
            text = sh("tc qdisc show dev %s; tc qdisc show dev %s; tc filter show dev %s ingress; nft list table bridge nuvolet" %
                      (p.tap, shaper, p.tap), check=False).stdout
            return all(w in text for w in ("tbf 1: root", "rate 6Mbit", "rate 3Mbit", "clsact ffff:", "Redirect to device " + shaper,
                                           "limit rate over 1000/second burst 100 packets", "jump dscp_8")) or None
        self.assertTrue(whole())
        for damage in ("tc qdisc del dev %s root" % p.tap, "tc qdisc del dev %s clsact" % p.tap, "ip link del " + shaper,
                       "tc filter del dev %s ingress" % p.tap, "tc qdisc replace dev %s root tbf rate 900mbit burst 1m latency 1s" % p.tap,
                       "nft flush ruleset", "ip link del " + p.tap):
            sh(damage)
            until("healed after: " + damage, 10, whole)
        self.limit(p)
        sh("tc qdisc add dev %s root tbf rate 1mbit burst 10k latency 50ms" % p.tap)
        until("a limit that nobody asked for is gone", 10, lambda: "tbf" not in sh("tc qdisc show dev " + p.tap).stdout)

    def test_a_killed_agent_leaves_and_finds_the_limits(self):
        p, g, q, h = self.two()
        self.limit(p, egress_kbps=6000, egress_pps=1000, dscp=8)
        before = sh("tc qdisc show; nft list table bridge nuvolet | grep -vE \"counter|expires\"").stdout
        self.agent.kill()
        self.agent.wait()
        type(self).start_agent()
        self.ensure_network_of(p)
        self.limit(p, egress_kbps=6000, egress_pps=1000, dscp=8)
        self.assertEqual(sh("tc qdisc show; nft list table bridge nuvolet | grep -vE \"counter|expires\"").stdout, before)

    def ensure_network_of(self, p):
        """What a controller says to an agent that came back."""
        net = Network(1)
        self.ensure_network(net)
        self.group(50, OUT + [rule(), rule(version=6)])


class Physical(Network):
    def args(self):
        return dict(super().args(), segment={"type": "flat", "physical": "lab", "vlan": 0})


class Promises(Case):
    """Two guests contend for an interface that sends 4 Mbit/s."""
    options = ["--set", "network.physical=lab:phys0", "--set", "network.physical_bandwidth=lab:4000"]

    def setUp(self):
        super().setUp()
        self.addCleanup(sh, "ip link del phys0; ip netns del lan")
        sh("ip netns add lan; ip link add phys0 type veth peer name eth0 netns lan; ip -n lan addr add 10.0.0.100/24 dev eth0; ip -n lan link set eth0 up; "
           "ip link set phys0 up")
        self.net = Physical(1)
        self.ensure_network(self.net)
        self.made.append(("network.absent", self.net.id))
        group = self.group(50, OUT + [rule(), rule(version=6)])
        self.p, self.g = self.port(1, self.net, "10.0.0.11", [group])
        self.q, self.h = self.port(2, self.net, "10.0.0.12", [group])
        until("the LAN is reached", 5, lambda: self.g.pings("10.0.0.100") and self.h.pings("10.0.0.100"))

    def tearDown(self):
        super().tearDown()
        self.assertNotIn("htb", sh("tc qdisc show dev phys0").stdout)

    def promise(self, p, kbps, **limits):
        p.qos = {"egress_min_kbps": kbps, "physical": "lab", **limits} if kbps else limits or None
        self.verb("port.ensure", **p.args())

    def shares(self):
        return shares((self.g, self.h), "lan", "10.0.0.100")

    def test_each_gets_what_it_is_promised(self):
        self.promise(self.p, 3000)
        a, b = self.shares()
        self.assertTrue(a > 2.6 and 0.3 < b < 1.3 and a + b < 4.3, (a, b))
        # The other one, behind the diversion of a limit.
        self.promise(self.p, 0)
        self.promise(self.q, 3000, egress_kbps=20000)
        a, b = self.shares()
        self.assertTrue(b > 2.6 and 0.3 < a < 1.3 and a + b < 4.3, (a, b))

    def whole(self):
        text = sh("tc class show dev phys0; tc filter show dev %s ingress; tc filter show dev %s ingress" % (self.p.tap, self.q.tap), check=False).stdout
        return all(w in text for w in ("htb 4e56:1 root rate 4Mbit ceil 4Mbit", "htb 4e56:10 parent 4e56:1 prio 0 rate 1Mbit ceil 4Mbit",
                                       "htb 4e56:11 parent 4e56:1 prio 0 rate 2Mbit ceil 4Mbit", "nuvolet-class.16 ", "nuvolet-class.17 "))

    def test_healed_within_ten_seconds_and_found_again(self):
        self.promise(self.p, 1000)
        self.promise(self.q, 2000)
        self.assertTrue(self.whole(), sh("tc class show dev phys0; tc filter show dev %s ingress" % self.p.tap).stdout)
        for damage in ("tc qdisc del dev phys0 root", "tc class del dev phys0 classid 4e56:11", "tc filter del dev %s ingress" % self.p.tap,
                       "tc class change dev phys0 parent 4e56:1 classid 4e56:10 htb rate 7kbit", "ip link del " + self.q.tap):
            sh(damage)
            until("healed after: " + damage, 10, self.whole)
        self.agent.kill()
        self.agent.wait()
        self.assertTrue(self.whole())
        type(self).start_agent()
        self.ensure_network(self.net)
        self.group(50, OUT + [rule(), rule(version=6)])
        self.promise(self.q, 2000)
        self.assertTrue(self.whole())            # the other's class is not taken for nobody's
        self.promise(self.p, 1000)
        self.assertTrue(self.whole())
        self.promise(self.p, 0)
        self.assertNotIn("4e56:10 ", sh("tc class show dev phys0").stdout)
        self.promise(self.q, 0)
        self.assertNotIn("htb", sh("tc qdisc show dev phys0").stdout)

    def test_refused(self):
        for wrong in ({"egress_min_kbps": 1000, "physical": "elsewhere"}, {"egress_min_kbps": 1000}, {"egress_min_kbps": -1, "physical": "lab"}):
            with self.assertRaises(WireError):
                self.verb("port.ensure", **dict(self.p.args(), qos=wrong))
        self.assertEqual([(x["name"], x["egress_kbps"], x["ingress_kbps"]) for x in self.verb("net.facts")["physical"]], [("lab", 4000, 4000)])


if __name__ == "__main__":
    socket.setdefaulttimeout(30)
    unittest.main()
