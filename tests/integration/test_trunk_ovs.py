#!/usr/bin/python3
"""tests/integration/test_trunk_ovs.py -- test_trunk.py with network.driver=openvswitch."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import ovs  # noqa: E402
from own import own_machine, until  # noqa: E402
own_machine(__file__, "" if ovs.installed() else "the package openvswitch-switch")
import test_trunk as trunk  # noqa: E402
from guest import ether, ip4, udp  # noqa: E402
from test_net_agent import EVERYONE  # noqa: E402
from test_net_ovs import Switched, setUpModule  # noqa: E402, F401


class Trunk(Switched, trunk.Trunk):
    test_another_tag_takes_the_place_of_the_first = None      # the programs are the same

    def test_a_parent_without_rules_keeps_the_subports_tag_apart(self):
        near, neighbour = self.port(5, self.one, "10.0.0.15", security=False)
        self.parent.security, self.parent.groups = False, []
        self.verb("port.ensure", **self.parent.args())
        p = self.sub()
        to_all = lambda text: ether(p.mac, EVERYONE, 0x800, ip4(p.ip, "10.2.0.255", 17, udp(9, 80, text)))
        self.assertTrue(self.reaches(trunk.tagged(100, to_all(b"apart")), b"apart"))
        self.assertFalse([f for f in neighbour.seen if b"apart" in f])
        self.verb("port.absent", id=p.id)
        # Again and again: one frame may meet what the switch's cache still knows of the subport.
        tries = lambda: self.guest.send(trunk.tagged(100, to_all(b"nobodys"))) or [f for f in neighbour.seen if b"nobodys" in f]
        until("a tag that is no subport's is the network's", 3, tries)


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
