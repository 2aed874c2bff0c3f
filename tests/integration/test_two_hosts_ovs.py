#!/usr/bin/python3
"""tests/integration/test_two_hosts_ovs.py -- test_two_hosts.py with network.driver=openvswitch: an Open vSwitch on each host."""
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import ovs  # noqa: E402
from own import ROOT, own_machine  # noqa: E402
own_machine(__file__, "" if ovs.installed() else "the package openvswitch-switch")
import test_two_hosts as linux  # noqa: E402

START = "import sys; sys.path.insert(0, %r); import ovs; ovs.start()" % (ROOT + "/tests/lib")


class Switched:
    @classmethod
    def settings(cls, host):
        for d in ("/run/openvswitch", "/etc/openvswitch", "/var/log/openvswitch"):
            host.sh("mount -t tmpfs none " + d)
        host.sh("%s -B -c '%s'" % (sys.executable, START.replace("'", '"')))
        return super().settings(host) + ["network.driver=openvswitch", "network.ovs_datapath=netdev"]

    def entries(self, host, n):
        """What the host's VXLAN device and flows know of other hosts."""
        x, b = "nvx" + linux.short(n["id"]), "nvb" + linux.short(n["id"])
        fdb = [line.split() for line in host.sh("bridge fdb show dev %s" % x).splitlines()]
        flows = host.sh("ovs-ofctl -O OpenFlow14 --no-names dump-flows %s table=6" % b)
        answers = re.findall(r"arp_tpa=([0-9.]+)[^ ]* actions=.*set_field:([0-9a-f:]+)->arp_sha", flows) + \
            [(ip, mac) for ip, mac in re.findall(r"nd_target=([0-9a-f:]+)[^ ]* actions=set_field:([0-9a-f:]+)->eth_dst", flows) if not ip.startswith("fe80")]
        return {w[0]: w[w.index("dst") + 1] for w in fdb if "dst" in w}, dict(answers)

    @classmethod
    def tearDownClass(cls):
        for h in (cls.h1, cls.h2):
            h.sh("kill $(cat /run/openvswitch/*.pid)")
        super().tearDownClass()


# The others have little to do with the driver: NUVOLET_ALL=1 runs them too.
ALL = os.environ.get("NUVOLET_ALL") == "1"


class Overlay(Switched, linux.Overlay):
    if not ALL:
        test_ping_tcp_dhcp_on_both = test_remote_group_across_hosts = test_agents_end_and_begin = None

    def says_what_is_missing(self, a, way):
        self.assertEqual({h["live"] for h in way()["hops"]}, {"not checked"})


class Physical(Switched, linux.Physical):
    if not ALL:
        test_external_network_with_the_lans_gateway = test_the_interface_has_to_be_free = None


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
