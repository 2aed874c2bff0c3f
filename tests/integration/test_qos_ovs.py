#!/usr/bin/python3
"""tests/integration/test_qos_ovs.py -- test_qos.py with network.driver=openvswitch, and what only flows and meters can suffer."""
import os
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import ovs  # noqa: E402
from own import own_machine, until  # noqa: E402
own_machine(__file__, "" if ovs.installed() else "the package openvswitch-switch")
import test_qos as limited  # noqa: E402
from guest import Guest, ether, ip4, sh, udp  # noqa: E402
from test_net_agent import EVERYONE, rule, uid  # noqa: E402
from test_net_ovs import DATAPATH, Switched, setUpModule  # noqa: E402, F401


class Counters(Switched, limited.Counters):
    def test_rules_that_name_a_group_count_apart(self):
        net = self.network(1)
        udp_from_group = lambda n, port: dict(rule(protocol=17, low=port, high=port, group=uid(50)), id=uid(n))
        rules = [dict(rule("egress"), id=uid(701)), udp_from_group(705, 7), udp_from_group(706, 8)]
        group = self.group(50, rules, ["10.0.0.11", "10.0.0.12"], stateful=False)
        p, g = self.port(1, net, "10.0.0.11", [group])
        q, h = self.port(2, net, "10.0.0.12", [group])
        for i, port in enumerate((7, 7, 8, 7, 9)):
            g.send(ether(p.mac, q.mac, 0x800, ip4(p.ip, q.ip, 17, udp(9, port, b"counted!"), ident=i + 1)))
        key = lambda n: uid(n).replace("-", "")[:12]
        wanted = {key(705): (3, 108), key(706): (1, 36)}

        def counted():
            found = {c["rule"]: (c["packets"], c["bytes"]) for c in self.verb("group.counters", id=group)["rules"]}
            return {k: found.get(k) for k in wanted}
        until("all are counted", 3, lambda: counted() == wanted)


class Limits(Switched, limited.Limits):
    def in_force(self, p):
        bridge = "nvb" + p.network.replace("-", "")[:12]
        return ovs.flows(bridge), ovs.meters(bridge), sh("tc qdisc show dev " + p.tap, check=False).stdout

    def test_a_limited_receiver_takes_nothing_from_the_others(self):
        p, g, q, h = self.two()
        net = limited.Port(3, q.network, "10.0.0.13", q.groups)
        self.verb("port.ensure", **net.args())
        self.made.append(("port.absent", net.id))
        third = Guest("g3", net.tap, net.mac)
        self.guests.append(third)
        for limits in ({"ingress_pps": 20, "ingress_pps_burst": 10}, {}):
            self.limit(q, **limits)
            h.seen.clear()
            start = time.monotonic()
            self.all_arrive(g, third, p, q, 200, "10.0.0.255", mac=EVERYONE)
            limited_one = sum(b"counted" in f for f in list(h.seen))
            self.assertTrue(1 <= limited_one <= 20 + 20 * (time.monotonic() - start) if limits else limited_one > 180, limited_one)

    def test_a_port_without_rules_is_limited_too(self):
        p, g, q, h = self.two()
        p.security, p.groups = False, []
        self.limit(p, egress_pps=50, egress_pps_burst=20, dscp=10)
        start = time.monotonic()
        n = self.arrived(g, h, p, q, 300, q.ip)
        self.assertTrue(10 <= n <= 40 + 50 * (time.monotonic() - start), n)
        self.assertEqual([f for f in h.seen if b"counted" in f][0][15] >> 2, 10)

    def test_healed_within_ten_seconds(self):
        p, _, q, _ = self.two()
        self.limit(p, egress_kbps=6000, ingress_kbps=3000, egress_pps=1000, ingress_pps=1000, dscp=8)
        before = self.in_force(p)
        self.assertIn("rate 3Mbit", before[2])
        self.assertEqual(len(before[1]), 5 if DATAPATH == "netdev" else 4)
        bridge = ovs.vsctl("port-to-br", p.tap).strip()
        sent = [m.split()[0] for m in before[1] if "rate=1000" in m][0]
        for damage in (["tc", "qdisc", "del", "dev", p.tap, "root"], ["ovs-ofctl", "-O", "OpenFlow14", "del-meters", bridge],
                       ["ovs-ofctl", "-O", "OpenFlow14", "mod-meter", bridge, "meter=%s,pktps,burst,band=type=drop,rate=9,burst_size=9" % sent],
                       ["ovs-ofctl", "del-flows", bridge], ["ip", "link", "del", p.tap]):
            subprocess.run(damage, check=True, timeout=10)
            until("healed after: %s" % damage, 10, lambda: self.in_force(p) == before)
        self.limit(p)
        self.assertEqual(len(ovs.meters(bridge)), 2)

    def test_a_killed_agent_leaves_and_finds_the_limits(self):
        p, g, q, h = self.two()
        self.limit(p, egress_kbps=6000, ingress_kbps=3000, egress_pps=1000, dscp=8)
        before = self.in_force(p)
        self.agent.kill()
        self.agent.wait()
        type(self).start_agent()
        self.assertEqual(self.in_force(p), before)
        self.ensure_network_of(p)
        self.limit(p, egress_kbps=6000, ingress_kbps=3000, egress_pps=1000, dscp=8)
        self.assertEqual(self.in_force(p), before)
        self.limit(p, egress_pps=700)
        self.assertIn("rate=700 ", " ".join(self.in_force(p)[1]))


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
