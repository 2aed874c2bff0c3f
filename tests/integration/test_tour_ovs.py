#!/usr/bin/python3
"""tests/integration/test_tour_ovs.py -- real guests on Open vSwitch: `etc/up.sh up` with network.driver=openvswitch, DHCP, metadata and ssh."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import ovs
from lab import Lab, own_machine, ping, sh, until
own_machine(__file__, "" if ovs.installed() else "the package openvswitch-switch")

CONF = "/etc/nuvolet/nuvolet.conf"


class Tour(Lab):
    @classmethod
    def setUpClass(cls):
        ovs.start()
        with open(CONF, "w") as f:
            f.write("[network]\ndriver = openvswitch\novs_datapath = netdev\n")
        super().setUpClass()

    def test_guests_reach_what_they_may(self):
        self.assertIn("first is ACTIVE", self.up_output)
        self.cli("security", "group", "create", "web")
        self.cli("security", "group", "rule", "create", "--proto", "tcp", "--dst-port", "22", "web")
        key = self.key("ovskey")
        self.cli("server", "create", "--image", "tiny", "--flavor", "m1.nano", "--network", "public", "--key-name", "ovskey", "--security-group", "web",
                 "--wait", "two")
        text = self.console("two", "tiny: ready")
        self.assertIn("tiny: hostname=two", text)
        address, first = self.address("two"), self.address("first")
        self.assertEqual(self.ssh(address, "hostname", key).strip(), "two")
        self.assertNotEqual(sh("ping", "-n", "-q", "-c", "1", "-W", "1", address, check=False).returncode, 0)
        self.assertIn("1 packets received", self.ssh(address, "ping -c 1 %s" % first, key))
        bridge = ovs.vsctl("list-br").split()
        self.assertTrue(bridge and all("nvb" in b for b in bridge))
        until("the first guest answers", 60, lambda: ping(first))
        self.taps_removed(first)
        for name in ("first", "two"):
            self.cli("server", "delete", "--wait", name, js=False)
        self.assertNotIn("nvt", sh("ip", "-br", "link").stdout + ovs.vsctl("show"))
        r = sh(os.path.join(os.path.dirname(ovs.__file__), "../../build/nuvolet"), "ctl", "doctor", check=False)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
