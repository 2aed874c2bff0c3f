"""tests/lib/lab.py -- the whole real cloud (`etc/up.sh up`) on a machine of its own, driven by the unmodified `openstack` client.

    from lab import Lab, own_machine
    own_machine(__file__)                 # runs the file again inside tests/lib/machine

    class Tour(Lab):                      # up once a class, down after it
        def test_x(self): self.cli("server", "list")
"""
import glob
import json
import os
import re
import socket
import time
import unittest

from own import ROOT, own_machine, sh, until  # noqa: F401

STATE, RUN = "/var/lib/nuvolet", "/run/nuvolet"
TINY = os.environ.get("NUVOLET_IMAGE", "/var/cache/nuvolet/tiny.qcow2")


def credentials(user):
    """The environment of a shell that has read the user's openrc file."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("OS_")}
    with open("%s/%s-openrc" % (STATE, user)) as f:
        for m in re.finditer(r"^export (\w+)='?([^'\n]*)'?$", f.read(), re.M):
            env[m.group(1)] = m.group(2)
    return env


def ends():
    """Which descriptor of which QEMU has which tap: {(process, descriptor): name}, "" for one that has none."""
    found = {}
    for pid in sh("pgrep", "-f", "qemu-system.*guest=nuvolet-", check=False).stdout.split():
        for path in glob.glob("/proc/%s/fdinfo/*" % pid):
            try:
                with open(path) as f:
                    m = re.search(r"^iff:[ \t]*(\S*)$", f.read(), re.M)
            except OSError:                          # closed meanwhile, or its process has ended
                continue
            if m:
                found[pid, path.rsplit("/", 1)[1]] = m.group(1)
    return found


def ping(address):
    return sh("ping", "-n", "-q", "-c", "1", "-W", "1", address, check=False).returncode == 0


class Lab(unittest.TestCase):
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
        """The guest's console once it contains wanted."""
        end = time.monotonic() + seconds
        text = ""
        while time.monotonic() < end:
            text = self.cli("console", "log", "show", server, js=False).stdout
            if wanted in text:
                return text
            time.sleep(1)
        self.fail("%r not on the console:\n%s" % (wanted, text[-2000:]))

    def key(self, name):
        """A new ssh key, registered under that name; path of its private half."""
        path = "/tmp/%s-%d" % (name, os.getpid())
        remove = lambda: [os.unlink(p) for p in (path, path + ".pub") if os.path.exists(p)]
        remove()                                     # numbers of processes begin anew on each machine
        self.addCleanup(remove)
        sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path)
        self.cli("keypair", "create", "--public-key", path + ".pub", name)
        return path

    def ssh(self, address, command, key, user="root"):
        return sh("ssh", "-i", key, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=20", "-o", "LogLevel=ERROR",
                  "%s@%s" % (user, address), command, timeout=300).stdout

    def taps_removed(self, address):
        """The taps of all guests are removed by hand: the one with that address answers again, and each descriptor has the tap that it had."""
        before = ends()
        self.assertTrue(before and all(before.values()), before)
        numbers = {tap: socket.if_nametoindex(tap) for tap in before.values()}
        began = time.monotonic()
        sh("ip", "-batch", "-", input="".join("link del %s\n" % tap for tap in numbers))
        until("the guest answers", 60, lambda: ping(address))
        print("\n  %d taps removed: the guest answers after %.1f s" % (len(before), time.monotonic() - began))
        until("every guest has its taps", 60, lambda: ends() == before)
        for tap, number in numbers.items():
            self.assertNotEqual(socket.if_nametoindex(tap), number)
        until("doctor", 30, lambda: sh(ROOT + "/build/nuvolet", "ctl", "doctor", check=False).returncode == 0)

    def address(self, server):
        return next(iter(self.cli("server", "show", server)["addresses"].values()))[0]

    def wait_status(self, server, wanted, seconds=120):
        end = time.monotonic() + seconds
        while True:
            s = self.cli("server", "show", server)
            if s["status"] == wanted:
                return s
            self.assertNotEqual(s["status"], "ERROR", s.get("fault"))
            self.assertLess(time.monotonic(), end, "%s is %s, not %s" % (server, s["status"], wanted))
            time.sleep(0.5)
