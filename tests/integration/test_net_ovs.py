#!/usr/bin/python3
"""tests/integration/test_net_ovs.py -- the matrix of test_net_agent.py with network.driver=openvswitch, and what only Open vSwitch can suffer."""
import contextlib
import os
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import ovs  # noqa: E402
from own import ROOT, own_machine, until  # noqa: E402
own_machine(__file__, "" if ovs.installed() else "the package openvswitch-switch")
import test_net_agent as linux  # noqa: E402
from guest import sh  # noqa: E402
from test_net_agent import OUT, RUN, rule, uid  # noqa: E402
from wire import WireError  # noqa: E402

DATAPATH = os.environ.get("NUVOLET_OVS_DATAPATH", "netdev")


def setUpModule():
    ovs.start()


class Switched:
    """In front of the classes of the other driver's tests."""
    options = ["--set", "network.driver=openvswitch", "--set", "network.ovs_datapath=" + DATAPATH]

    def tearDown(self):
        super().tearDown()
        self.assertEqual(ovs.vsctl("list-br"), "")
        self.assertEqual(os.listdir(RUN + "/ovs") if os.path.exists(RUN + "/ovs") else [], [])

    def forwarding(self, net):
        return ovs.flows(net.bridge)


class Service(Switched, linux.Service):
    # dnsmasq's own: the driver has no part in it.
    test_dnsmasq_comes_back = test_quick_changes_do_not_hurt_dnsmasq = test_names_stay_in_their_network = None
    test_what_an_earlier_agent_wrote_and_did_not_tell = None

    def test_repeating_changes_nothing(self):
        net = self.network(1)
        group = self.group(50, OUT, ["10.0.0.11"])
        p, _ = self.port(1, net, "10.0.0.11", [group], pairs=["10.0.0.50", "10.9.0.0/16"])
        look = lambda: (ovs.flows(net.bridge), ovs.vsctl("--columns=name,ofport", "list", "interface"), sh("nft -s list ruleset").stdout)
        before = look()
        self.ensure_network(net)
        self.group(50, OUT, ["10.0.0.11"])
        self.verb("port.ensure", **p.args())
        self.assertEqual(before, look())


class Memory(Switched, linux.Case):
    """When the datapath has to forget what it remembers of flows."""
    LOG = "/var/log/openvswitch/ovs-vswitchd.log"

    def purges(self):
        # The log is written later, in order: what was before this request is there when the request is.
        self.looks += 1
        ovs.run("ovs-appctl", "version")
        with open(self.LOG) as f:
            seen = []
            until("the log is written", 5, lambda: seen.append(f.read()) or "".join(seen).count("received request version") >= self.looks)
        return "".join(seen).count("received request revalidator/purge")

    def purged(self, change):
        before = self.purges()
        change()
        return self.purges() - before

    def setUp(self):
        super().setUp()
        with open(self.LOG) as f:
            self.looks = f.read().count("received request version")
        ovs.run("ovs-appctl", "vlog/set", "unixctl:file:dbg")
        ovs.run("ovs-appctl", "vlog/disable-rate-limit", "unixctl")
        self.net = self.network(1)
        self.p, _ = self.port(1, self.net, "10.0.0.11", [self.group(50, OUT)], guest=False)

    def ensure(self):
        self.verb("port.ensure", **self.p.args())

    def limit(self, **limits):
        self.p.qos = limits
        self.ensure()

    def test_only_where_flows_or_meters_change(self):
        names = dict(self.p.args(), mtu=1400)
        self.assertEqual(self.purged(lambda: self.verb("port.ensure", **names)), 0)
        self.assertEqual(self.purged(lambda: self.limit(egress_pps=1000)), 1)
        self.assertEqual(self.purged(lambda: self.limit(egress_pps=2000)), 1)
        self.assertEqual(self.purged(self.ensure), 0)
        self.assertEqual(self.purged(lambda: self.group(50, OUT + [rule()])), 1)
        self.assertEqual(self.purged(lambda: self.group(50, OUT + [rule()], ["10.0.0.11"])), 0)

    def test_a_change_that_failed_first(self):
        socket = "%s/%s.mgmt" % (ovs.RUN, self.net.bridge)
        changes = (("group.ensure", dict(id=uid(50), stateful=True, rules=OUT + [rule()], members4=[], members6=[])),
                   ("port.ensure", dict(self.p.args(), qos=dict(dscp=8))))
        for name, args in changes:
            os.rename(socket, socket + ".away")
            try:
                with self.assertRaises(WireError):
                    linux.call(RUN + "/agent.sock", name, **args)
            finally:
                before = self.purges()
                os.rename(socket + ".away", socket)
            self.verb(name, **args)                  # or the agent has healed it before
            self.assertEqual(self.purges() - before, 1)


class Death(Switched, linux.Death):
    pass


class Groups(Switched, linux.Groups):
    takes_tiny_fragments = DATAPATH == "system"      # inside ovs-vswitchd fragments pass only rules without ports (ADR 0006)


class Narrowing(Switched, linux.Narrowing):
    # Its rules are flows; and a reply that comes unasked passes until the connection ends (ADR 0006).
    test_chains_that_were_emptied_while_no_agent_was_there = test_a_stream_that_nobody_answers_ends = None


class Spoofing(Switched, linux.Spoofing):
    lost = ()

    def test_tap_that_nobody_declared_sends_nothing(self):
        net, p, g, q, h = self.pair()
        sh("ip tuntap add nvtffffffffffff mode tap; ip link set nvtffffffffffff up")
        ovs.vsctl("add-port", net.bridge, "nvtffffffffffff")
        rogue = linux.Guest("rogue", "nvtffffffffffff", "fa:16:3e:66:66:66")
        rogue.run("ip addr add 10.0.0.66/24 dev eth0")
        self.assertFalse(rogue.pings(q.ip))
        self.assertFalse(h.pings("10.0.0.66"))
        rogue.close()
        self.assertIn("ffffffffffff", self.verb("net.list")["ports"])
        ovs.vsctl("del-port", "nvtffffffffffff")
        sh("ip link del nvtffffffffffff")


class Gateway(Switched, linux.Gateway):
    pass


class Damage(Switched, linux.Damage):
    test_one_chain_changed_by_hand_comes_back = None

    def unless(self, opened, *pair):
        """Where somebody told the switch to pass all, it does so until the agent looks."""
        return contextlib.nullcontext() if opened else self.spoofing(*pair)

    def whole(self, net, p, q):
        found = self.verb("net.list")
        return net.short in found["networks"] and {p.tap[3:], q.tap[3:]} <= set(found["ports"])

    def test_rules_flushed_by_hand_come_back(self):
        net, p, g, q, h = self.ready()
        with self.spoofing(p, g, q, h):
            sh("nft flush ruleset")
            until("the host's guard is back", 10, lambda: net.bridge in sh("nft list ruleset").stdout)
        until("traffic is back", 10, lambda: g.pings(q.ip))

    test_without_rules_and_agent_nothing_passes = test_taps_stay_down_until_the_rules_are_back = None      # its rules are flows

    def test_flows_removed_by_hand_come_back(self):
        net, p, g, q, h = self.ready()
        before = ovs.flows(net.bridge)
        for damage in (["del-flows", net.bridge], ["del-flows", net.bridge, "table=0,in_port=%s" % p.tap],
                       ["add-flow", net.bridge, "table=0,priority=65535,actions=NORMAL"]):
            with self.unless(damage[0] == "add-flow", p, g, q, h):
                subprocess.run(["ovs-ofctl", "--names", *damage], check=True, timeout=60)
                until("the flows are back after %s" % damage[0], 10, lambda: ovs.flows(net.bridge) == before)
            with self.spoofing(p, g, q, h):
                until("traffic is back", 10, lambda: g.pings(q.ip))

    def test_links_namespaces_and_bridges_come_back(self):
        net, p, g, q, h = self.ready()
        for damage in (["del-br", net.bridge], ["del-port", p.tap], ["del-port", "nvd" + net.short], ["set", "bridge", net.bridge, "fail_mode=standalone"]):
            with self.unless(damage[0] == "set", p, g, q, h):
                ovs.vsctl(*damage)
                until("repaired after " + damage[0], 10, lambda: self.whole(net, p, q))
            with self.spoofing(p, g, q, h):
                until("traffic after " + damage[0], 10, lambda: g.pings(q.ip))
        sh("ip link set %s xdp off" % p.tap)
        until("the filter is back", 10, lambda: "xdp" in sh("ip link show " + p.tap).stdout)
        self.assertEqual(ovs.vsctl("get-fail-mode", net.bridge).strip(), "secure")
        g.run("ip addr flush dev eth0; busybox udhcpc -i eth0 -n -q -t 9 -T 1 -s %s/tests/lib/udhcpc" % ROOT)

    def test_death_of_the_daemons(self):
        net, p, g, q, h = self.ready()
        ovs.kill("ovs-vswitchd")
        with self.assertRaises(WireError):
            self.verb("port.ensure", **linux.Port(9, net.id, "10.0.0.19").args())
        self.made.append(("port.absent", uid(9)))
        with self.spoofing(p, g, q, h):
            ovs.start_switch()
            until("traffic after the switch's death", 15, lambda: g.pings(q.ip))
        ovs.kill("ovsdb-server")
        # The datapath inside ovs-vswitchd stands still until it has its database again; the kernel's goes on.
        if DATAPATH == "system":
            self.assertTrue(g.pings(q.ip))
        ovs.start_db()
        until("traffic after the database's death", 15, lambda: g.pings(q.ip))
        until("the agent goes on", 10, lambda: self.whole(net, p, q))
        self.verb("port.absent", id=uid(9))
        self.assertTrue(g.pings(q.ip))


class Refusals(Switched, linux.Refusals):
    def test_every_rule_that_is_accepted_loads(self):
        self.assertRaises(WireError, self.group, 51, [rule(protocol=33, low=1, high=9)])
        net = self.network(1)
        rules = [rule(protocol=p, low=a, high=b, version=v, cidr=c) for p, a, b in
                 ((None, None, None), (1, None, None), (1, 8, None), (1, 8, 0), (1, 255, 255), (6, 1, 65535), (6, 0, 0), (6, 5, 5), (17, None, 9), (17, 9, None),
                  (17, 9, 8), (112, 1, 2), (132, 1, 2), (58, 128, 0), (0, None, None), (255, None, None), (47, None, None), (33, None, None), (136, None, None))
                 for v, c in ((4, None), (4, "0.0.0.0/0"), (4, "1.2.3.4/24"), (6, None), (6, "::/0"), (6, "2001:db8::1/64"))]
        self.port(1, net, "10.0.0.11", [uid(50)], guest=False)
        self.port(2, net, "10.0.0.12", [uid(51), uid(50)], guest=False)
        other = self.group(51, [rule(group=uid(50)), rule(group=uid(50), version=6, protocol=6, low=5, high=77)])
        self.group(50, rules + [dict(r, direction="egress") for r in rules] + [rule(group=other), rule(group=uid(50))], ["10.0.0.0/8", "10.1.2.3", "::/0"])
        self.made.sort(key=lambda m: m[0] != "group.absent")


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
