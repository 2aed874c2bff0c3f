#!/usr/bin/python3
"""tests/integration/test_debian.py -- a Debian cloud image that a user uploads: cloud-init, key, user data, metadata and a grown disk, as on any cloud."""
import os
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from lab import ROOT, Lab, own_machine, sh

IMAGE = os.environ.get("NUVOLET_DEBIAN_IMAGE", "/var/cache/nuvolet/debian.qcow2")
if os.geteuid() == 0 and not os.path.exists(IMAGE):
    # Here and not on the machine of its own, which has no way to Debian's packages.
    sh(ROOT + "/tests/images/build-debian-image.sh", IMAGE, timeout=900)
own_machine(__file__)
USER_DATA = """#cloud-config
write_files:
- path: /etc/motto
  content: nothing gets stuck
runcmd:
- echo "motto $(cat /etc/motto) on $(hostname)" >/dev/console
"""


class DebianImage(Lab):
    def test_boots_and_takes_what_the_cloud_gives(self):
        self.cli("image", "create", "--disk-format", "qcow2", "--container-format", "bare", "--file", IMAGE, "debian")
        self.cli("flavor", "create", "--ram", "512", "--disk", "3", "--vcpus", "1", "d.small", env=self.admin)
        self.cli("security", "group", "rule", "create", "--proto", "tcp", "--dst-port", "22", "default", check=False)
        key = self.key("debkey")
        data = "/tmp/user-data-%d" % os.getpid()
        with open(data, "w") as f:
            f.write(USER_DATA)
        self.addCleanup(os.unlink, data)
        ways = {"bymetadata": [], "bydrive": ["--config-drive", "True"]}     # the two boot side by side
        for name, drive in ways.items():
            self.cli("server", "create", "--image", "debian", "--flavor", "d.small", "--network", "public", "--key-name", "debkey", "--user-data", data, *drive, "--wait", name)
        for name, drive in ways.items():
            with self.subTest(name):
                self.console(name, "motto nothing gets stuck on %s" % name, 600)
                address = self.address(name)
                end = time.monotonic() + 120
                while self.ssh_works(address, key) is None:
                    self.assertLess(time.monotonic(), end)
                    time.sleep(2)
                out = self.ssh(address, "hostname; df --output=size -BM / | tail -n 1; cloud-init status --wait | tail -n 1; sudo cloud-id", key, "debian").split("\n")
                self.assertEqual(out[0], name)
                self.assertGreater(int(out[1].strip().rstrip("M")), 2500)
                self.assertIn("done", out[2])
                self.assertEqual(out[3].strip(), "configdrive" if drive else "openstack")
        for name in ways:
            self.cli("server", "delete", "--wait", name, js=False)
        self.cli("image", "delete", "debian", js=False)
        r = sh(ROOT + "/build/nuvolet", "ctl", "doctor", check=False)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)

    def ssh_works(self, address, key):
        try:
            return self.ssh(address, "true", key, "debian")
        except (AssertionError, subprocess.TimeoutExpired):
            return None


if __name__ == "__main__":
    unittest.main()
