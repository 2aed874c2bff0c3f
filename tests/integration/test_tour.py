#!/usr/bin/python3
"""tests/integration/test_tour.py -- the README, followed literally on a machine of its own: `etc/up.sh up`, then the unmodified `openstack` client."""
import os
import re
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from lab import ROOT, STATE, TINY, Lab, own_machine, sh
own_machine(__file__)


class Tour(Lab):
    def test_1_up_says_what_a_newcomer_needs(self):
        for word in ("first is ACTIVE", "tiny: ready", "dashboard", "demo-openrc", "ssh -i"):
            self.assertIn(word, self.up_output)

    def test_2_the_tour(self):
        self.assertTrue(self.cli("token", "issue")["id"])
        self.cli("image", "create", "--disk-format", "qcow2", "--container-format", "bare", "--file", TINY, "mine")
        self.cli("flavor", "create", "--ram", "128", "--disk", "1", "--vcpus", "1", "t.small", env=self.admin)
        self.cli("network", "create", "blue")
        self.cli("subnet", "create", "--network", "blue", "--subnet-range", "10.0.0.0/24", "blue4")
        self.cli("security", "group", "create", "web")
        self.cli("security", "group", "rule", "create", "--proto", "tcp", "--dst-port", "22", "web")
        self.cli("security", "group", "rule", "create", "--proto", "icmp", "web")
        key = self.key("tourkey")
        made = self.cli("server", "create", "--image", "mine", "--flavor", "t.small", "--network", "public", "--network", "blue", "--key-name", "tourkey",
                        "--security-group", "web", "--wait", "tour1")
        self.assertEqual(made["status"], "ACTIVE")
        self.assertIn("tour1", [s["Name"] for s in self.cli("server", "list")])
        text = self.console("tour1", "tiny: ready")
        self.assertIn("tiny: hostname=tour1", text)
        with open(key + ".pub") as f:
            self.assertIn(f.read().split()[1], text)
        address = self.cli("server", "show", "tour1")["addresses"]["public"][0]
        self.assertEqual(self.ssh(address, "hostname", key).strip(), "tour1")
        boot_id = self.ssh(address, "cat /proc/sys/kernel/random/boot_id", key)
        for _ in range(2):
            self.taps_removed(address)
        self.assertEqual(self.ssh(address, "cat /proc/sys/kernel/random/boot_id", key), boot_id)
        self.cli("server", "stop", "tour1", js=False)
        self.wait_status("tour1", "SHUTOFF")
        self.cli("server", "start", "tour1", js=False)
        self.wait_status("tour1", "ACTIVE")
        self.cli("server", "reboot", "--hard", "--wait", "tour1", js=False)
        self.wait_status("tour1", "ACTIVE")
        end = time.monotonic() + 120
        while True:
            try:
                self.assertNotEqual(self.ssh(address, "cat /proc/sys/kernel/random/boot_id", key), boot_id)
                break
            except (AssertionError, subprocess.TimeoutExpired):
                self.assertLess(time.monotonic(), end)
                time.sleep(2)
        self.cli("server", "delete", "--wait", "tour1", js=False)
        self.cli("network", "delete", "blue", js=False)
        self.cli("security", "group", "delete", "web", js=False)
        self.cli("keypair", "delete", "tourkey", js=False)
        self.cli("image", "delete", "mine", js=False)
        self.cli("flavor", "delete", "t.small", env=self.admin, js=False)

    def test_3_nothing_is_left(self):
        for s in self.cli("server", "list"):
            self.cli("server", "delete", "--wait", s["ID"], js=False)
        links = sh("ip", "-br", "link").stdout
        self.assertNotIn("nvt", links)
        uri = sh(ROOT + "/build/nuvolet", "ctl", "conf", "compute.libvirt_uri").stdout.strip() or "qemu:///system"
        self.assertEqual(sh("virsh", "-c", uri, "list", "--all", "--name").stdout.strip(), "")
        self.assertEqual([n for n in os.listdir(STATE + "/instances")], [])
        r = sh(ROOT + "/build/nuvolet", "ctl", "doctor", check=False)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)

    def test_4_down_leaves_nothing_running(self):
        sh(ROOT + "/etc/up.sh", "down")
        self.assertNotIn("nv", "".join(re.findall(r"^(nv\w+)", sh("ip", "-br", "link").stdout, re.M)))
        self.assertEqual(sh("pgrep", "-f", "dnsmasq", check=False).stdout, "")
        self.assertEqual(sh("pgrep", "-x", "nuvolet", check=False).stdout, "")
        self.assertTrue(os.path.exists(STATE + "/nuvolet.db"))


if __name__ == "__main__":
    unittest.main()
