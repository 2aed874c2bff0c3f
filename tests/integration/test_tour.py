#!/usr/bin/python3
"""tests/integration/test_tour.py -- the README, followed literally on a machine of its own: `etc/up.sh up`, then the unmodified `openstack` client."""
import json
import os
import re
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

STATE, RUN = "/var/lib/nuvolet", "/run/nuvolet"


def sh(*argv, check=True, timeout=300, **kw):
    r = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, **kw)
    if check and r.returncode:
        raise AssertionError("%s: exit %d\n%s%s" % (" ".join(argv), r.returncode, r.stdout[-3000:], r.stderr[-3000:]))
    return r


def credentials(user):
    env = dict(os.environ)
    for k in list(env):
        if k.startswith("OS_"):
            del env[k]
    with open("%s/%s-openrc" % (STATE, user)) as f:
        for m in re.finditer(r"^export (\w+)='?([^'\n]*)'?$", f.read(), re.M):
            env[m.group(1)] = m.group(2)
    return env


class Tour(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        r = sh(ROOT + "/etc/up.sh", "up", check=False, timeout=900)
        if r.returncode:
            logs = sh("sh", "-c", "tail -n 40 /var/log/nuvolet/*.log", check=False).stdout
            raise AssertionError("up failed:\n%s\n%s\n%s" % (r.stdout[-3000:], r.stderr[-3000:], logs))
        cls.up_output = r.stdout
        cls.demo = credentials("demo")
        cls.admin = credentials("admin")

    @classmethod
    def tearDownClass(cls):
        sh(ROOT + "/etc/up.sh", "down", check=False)

    def cli(self, *args, env=None, js=True, check=True):
        argv = ["openstack", *args] + (["-f", "json"] if js else [])
        r = sh(*argv, env=env or self.demo, check=check)
        return json.loads(r.stdout) if js and check and r.stdout.strip() else r

    def console(self, server, wanted, seconds=180):
        end = time.monotonic() + seconds
        text = ""
        while time.monotonic() < end:
            text = self.cli("console", "log", "show", server, js=False).stdout
            if wanted in text:
                return text
            time.sleep(1)
        self.fail("%r not on the console:\n%s" % (wanted, text[-2000:]))

    def ssh(self, address, command, key):
        return sh("ssh", "-i", key, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=20", "-o", "LogLevel=ERROR",
                  "root@" + address, command, timeout=90).stdout

    def wait_status(self, server, wanted, seconds=120):
        end = time.monotonic() + seconds
        while True:
            s = self.cli("server", "show", server)
            if s["status"] == wanted:
                return s
            self.assertNotEqual(s["status"], "ERROR", s.get("fault"))
            self.assertLess(time.monotonic(), end, "%s is %s, not %s" % (server, s["status"], wanted))
            time.sleep(0.5)

    def test_1_up_says_what_a_newcomer_needs(self):
        for word in ("first is ACTIVE", "tiny: ready", "dashboard", "demo-openrc", "ssh -i"):
            self.assertIn(word, self.up_output)

    def test_2_the_tour(self):
        self.assertTrue(self.cli("token", "issue")["id"])
        self.cli("image", "create", "--disk-format", "qcow2", "--container-format", "bare", "--file", os.environ.get("NUVOLET_IMAGE", "/var/cache/nuvolet/tiny.qcow2"), "mine")
        self.cli("flavor", "create", "--ram", "128", "--disk", "1", "--vcpus", "1", "t.small", env=self.admin)
        self.cli("network", "create", "blue")
        self.cli("subnet", "create", "--network", "blue", "--subnet-range", "10.0.0.0/24", "blue4")
        self.cli("security", "group", "create", "web")
        self.cli("security", "group", "rule", "create", "--proto", "tcp", "--dst-port", "22", "web")
        self.cli("security", "group", "rule", "create", "--proto", "icmp", "web")
        key = "/tmp/tour-key-%d" % os.getpid()
        self.addCleanup(lambda: [os.unlink(p) for p in (key, key + ".pub") if os.path.exists(p)])
        sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
        self.cli("keypair", "create", "--public-key", key + ".pub", "tourkey")
        made = self.cli("server", "create", "--image", "mine", "--flavor", "t.small", "--network", "public", "--key-name", "tourkey",
                        "--security-group", "web", "--wait", "tour1")
        self.assertEqual(made["status"], "ACTIVE")
        self.assertIn("tour1", [s["Name"] for s in self.cli("server", "list")])
        text = self.console("tour1", "tiny: ready")
        self.assertIn("tiny: hostname=tour1", text)
        self.assertIn(open(key + ".pub").read().split()[1], text)
        address = next(iter(self.cli("server", "show", "tour1")["addresses"].values()))[0]
        self.assertEqual(self.ssh(address, "hostname", key).strip(), "tour1")
        boot_id = self.ssh(address, "cat /proc/sys/kernel/random/boot_id", key)
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
