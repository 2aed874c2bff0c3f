#!/usr/bin/python3
"""tests/integration/test_virt_agent.py -- the agent's compute verbs with a real libvirtd and real QEMU guests, on a machine of its own."""
import base64
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import wire  # noqa: E402
from own import NUVOLET, ROOT, own_machine, sh, until  # noqa: E402
own_machine(__file__)

IMAGE = os.environ.get("NUVOLET_IMAGE", "/var/cache/nuvolet/tiny.qcow2")
STATE, RUN = "/var/lib/nuvolet", "/run/nuvolet"
BASE = STATE + "/base/tiny"
SOCKET = RUN + "/agent.sock"
TEST_SOCKET = RUN + "/test/agent.sock"
BOOT_S = 240                                      # seven seconds on an idle machine; others may be busy on it
LOOKED = "found so by the agent"                  # which may look just before the event comes
TAP_PORT = str(uuid.uuid4())


def tap_of(port):
    return "nvt" + port.replace("-", "")[:12]


def start_agent(name, *options, env=None):
    log = open("/var/log/nuvolet/%s.log" % name, "ab")
    argv = [NUVOLET, "agent"] + [x for o in options for x in ("--set", o)]
    return subprocess.Popen(argv, stderr=log, env=dict(os.environ, **(env or {})))


def spec(**over):
    s = {"name": "one", "project_id": "p" * 32, "user_id": "u" * 32, "flavor": "m1.nano", "created_at": "2026-01-31T12:00:00Z",
         "memory_mb": 96, "vcpus": 1, "disk_bus": "virtio", "disk_format": "qcow2", "nics": [], "seed": False, "machine": None, "properties": {}}
    s.update(over)
    return s


class Verbs(unittest.TestCase):
    socket = SOCKET

    def ask(self, verb, **args):
        return wire.call(self.socket, verb, timeout=180, **args)

    def state(self, sid):
        return self.ask("domain.state", id=sid)["state"]


class RealGuests(Verbs):
    @classmethod
    def setUpClass(cls):
        if not os.path.exists(IMAGE):
            subprocess.run([ROOT + "/tests/images/build-tiny-image.sh", IMAGE], check=True)
        for d in (RUN, STATE, STATE + "/base"):
            os.makedirs(d, exist_ok=True)
            os.chmod(d, 0o711)
        shutil.copy(IMAGE, BASE)
        sh(ROOT + "/etc/libvirtd.sh", "start")
        cls.agent = start_agent("agent")
        until("the agent's socket", 20, lambda: os.path.exists(SOCKET))
        cls.events = wire.Events(SOCKET)
        cls.ids = []

    @classmethod
    def tearDownClass(cls):
        for sid in cls.ids:
            wire.call(SOCKET, "domain.absent", id=sid)
        cls.events.close()
        cls.agent.kill()
        cls.agent.wait()
        sh(ROOT + "/etc/libvirtd.sh", "stop")

    def make(self, base=BASE):
        """A new server id with a disk; no guest yet."""
        sid = str(uuid.uuid4())
        d = STATE + "/instances/" + sid
        os.makedirs(d, mode=0o711)
        for p in (STATE, STATE + "/instances", d):
            os.chmod(p, 0o711)
        sh("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, d + "/disk.qcow2", "1G")
        user = pwd.getpwnam("libvirt-qemu")
        os.chown(d + "/disk.qcow2", user.pw_uid, user.pw_gid)
        os.chmod(d + "/disk.qcow2", 0o600)
        self.ids.append(sid)
        return sid

    def console(self, sid, wanted, seconds=BOOT_S):
        def look():
            text = self.ask("console.read", id=sid, bytes=1 << 17)["output"]
            m = re.search(wanted, text)
            return text if m else None
        try:
            return until(wanted, seconds, look, 0.3)
        except AssertionError:
            raise AssertionError("%s is not on the console:\n%s" % (wanted, self.ask("console.read", id=sid, bytes=4000)["output"]))

    def qemu_pid(self, sid):
        for p in filter(str.isdigit, os.listdir("/proc")):
            try:
                argv = open("/proc/%s/cmdline" % p, "rb").read().split(b"\0")
            except OSError:
                continue
            if argv[0].endswith(b"qemu-system-x86_64") and ("guest=nuvolet-%s,debug-threads=on" % sid).encode() in argv:
                return int(p)
        return None

    def gone(self, sid):
        self.assertEqual(self.state(sid), "absent")
        self.assertIsNone(self.qemu_pid(sid))
        self.assertNotIn(sid, sh("virsh", "-c", "qemu:///system", "list", "--all", "--name").stdout)

    def test_a_life(self):
        """Made, booted with a config drive and a tap, stopped by the button, started again, removed: nothing is left."""
        facts = self.ask("host.facts")
        self.assertIn(facts["virt_type"], ("kvm", "qemu"))
        self.assertGreater(facts["memory_mb"], 0)
        print("\n  host.facts: %s, %s" % (facts["virt_type"], facts["virt_reason"]))
        sid = self.make()
        tap = tap_of(TAP_PORT)
        sh("ip", "tuntap", "add", "dev", tap, "mode", "tap", "vnet_hdr")
        sh("ip", "link", "set", tap, "mtu", "1450", "up")
        meta = {"uuid": sid, "hostname": "one.novalocal", "name": "one", "meta": {"colour": "blue"}, "public_keys": {"k": "ssh-ed25519 AAAA test"}}
        files = {"openstack/latest/meta_data.json": base64.b64encode(json.dumps(meta).encode()).decode(),
                 "openstack/latest/user_data": base64.b64encode(b"#!/bin/sh\necho hello from user data\n").decode()}
        self.ask("seed.ensure", id=sid, files=files)
        seed = STATE + "/instances/%s/seed.iso" % sid
        st = os.stat(seed)
        self.assertEqual((st.st_mode & 0o777, pwd.getpwuid(st.st_uid).pw_name), (0o600, "libvirt-qemu"))
        self.ask("seed.ensure", id=sid, files=files)
        self.assertEqual(os.stat(seed).st_ino, st.st_ino, "the same files do not make a new image")
        s = spec(seed=True, nics=[{"port_id": TAP_PORT, "mac": "fa:16:3e:00:00:01", "mtu": 1450, "model": "virtio"}])
        self.events.clear()
        self.ask("domain.ensure", id=sid, spec=s)
        self.assertEqual(self.state(sid), "running")
        self.events.wait("domain", 2, id=sid, state="running")
        pid = self.qemu_pid(sid)
        self.ask("domain.ensure", id=sid, spec=s)
        self.assertEqual(self.qemu_pid(sid), pid, "a second ensure changes nothing")
        self.confined(pid)
        text = self.console(sid, "tiny: ready")
        for line in ("datasource=configdrive", "instance-id=" + sid, "hostname=one", "meta.colour=blue", "ssh-key=ssh-ed25519 AAAA test",
                     "user-data: hello from user data", "eth0=fa:16:3e:00:00:01", "mtu=1450"):
            self.assertIn(line, text)
        self.assertEqual(sh("cat", "/sys/class/net/%s/mtu" % tap).stdout.strip(), "1450")
        self.assertIn({"id": sid, "state": "running"}, self.ask("domain.list")["domains"])
        self.assertEqual(len(self.ask("console.read", id=sid, bytes=100)["output"]), 100)

        self.events.clear()
        began = time.monotonic()
        self.assertEqual(self.ask("domain.stopped.ensure", id=sid, graceful_s=120), {"again": True})
        self.assertLess(time.monotonic() - began, 2, "nobody waits for the guest")
        self.events.wait("domain", 60, id=sid, state="shutoff")
        self.assertEqual(self.state(sid), "shutoff")
        self.assertIn("powerbutton=pressed", self.ask("console.read", id=sid, bytes=1 << 17)["output"])
        self.assertIn(self.events.wait("domain", 2, id=sid, state="shutoff")[2]["reason"], ("shut down", LOOKED))
        self.assertEqual(self.ask("domain.stopped.ensure", id=sid, graceful_s=120), {})
        self.assertTrue(os.path.exists("/sys/class/net/" + tap), "the tap is not libvirt's to remove")

        before = self.ask("console.read", id=sid, bytes=10)["total"]
        self.ask("domain.ensure", id=sid, spec=dict(s, memory_mb=128))
        self.assertIn("<memory unit='KiB'>131072</memory>", sh("virsh", "-c", "qemu:///system", "dumpxml", sid).stdout)
        until("more on the console", BOOT_S, lambda: self.ask("console.read", id=sid, bytes=10)["total"] > before)
        self.ask("domain.absent", id=sid)
        self.gone(sid)
        self.ask("domain.absent", id=sid)
        self.assertEqual(os.listdir(STATE + "/instances/" + sid), ["disk.qcow2"], "the disk is the storage part's")
        sh("ip", "link", "del", tap)

    def confined(self, pid):
        status = open("/proc/%d/status" % pid).read()
        self.assertEqual(pwd.getpwuid(int(re.search(r"Uid:\t(\d+)", status)[1])).pw_name, "libvirt-qemu")
        self.assertRegex(status, r"CapEff:\t0{16}\n")
        self.assertRegex(status, r"Seccomp:\t2\n")
        argv = open("/proc/%d/cmdline" % pid).read().split("\0")
        vnc = argv[argv.index("-vnc") + 1]
        self.assertTrue(vnc.startswith("vnc=unix:") or vnc.startswith("unix:"), vnc)
        self.assertNotIn("-monitor", argv)
        self.assertFalse([a for a in argv if "tcp:" in a])
        for fd in os.listdir("/proc/%d/fd" % pid):
            self.assertNotIn("nuvolet.db", os.readlink("/proc/%d/fd/%s" % (pid, fd)))

    def test_killed_qemu(self):
        """A guest whose QEMU dies is told as crashed within two seconds, and can be started again."""
        sid = self.make()
        self.ask("domain.ensure", id=sid, spec=spec())
        self.events.clear()
        killed = time.monotonic()
        os.kill(self.qemu_pid(sid), signal.SIGKILL)
        when, _, data = self.events.wait("domain", 10, id=sid, state="crashed")
        self.assertLess(when - killed, 2)
        self.assertIn(data["reason"], ("QEMU ended unexpectedly", LOOKED))
        self.assertEqual(self.state(sid), "crashed")
        self.ask("domain.ensure", id=sid, spec=spec())
        self.assertEqual(self.state(sid), "running")
        self.ask("domain.stopped.ensure", id=sid, graceful_s=0)
        self.assertEqual(self.state(sid), "shutoff")
        self.ask("domain.absent", id=sid)
        self.gone(sid)

    def kill_libvirtd(self):
        pid = self.libvirtd_pid()
        os.kill(pid, signal.SIGKILL)
        until("the end of libvirtd", 20, lambda: not os.path.exists("/proc/%d" % pid))

    def libvirtd_pid(self):
        return int(open("/run/libvirt/nuvolet-libvirtd.pid").read())

    def test_libvirtd_dies(self):
        """A killed libvirtd disturbs no guest; verbs say so meanwhile; afterwards verbs and events go on, and what was missed is told."""
        sid, other = self.make(), self.make()
        self.ask("domain.ensure", id=sid, spec=spec())
        self.ask("domain.ensure", id=other, spec=spec())
        pid = self.qemu_pid(sid)
        self.kill_libvirtd()
        with self.assertRaisesRegex(wire.WireError, "^agent: .*libvirt (does not answer|is away)"):
            self.ask("domain.list")
        os.kill(self.qemu_pid(other), signal.SIGKILL)
        self.events.clear()
        sh(ROOT + "/etc/libvirtd.sh", "start")
        self.assertEqual(until("libvirt", 30, lambda: self.try_state(sid)), "running")
        self.assertEqual(self.qemu_pid(sid), pid)
        self.events.wait("domain", 30, id=other, state="crashed")
        self.events.clear()
        os.kill(pid, signal.SIGKILL)
        self.events.wait("domain", 2, id=sid, state="crashed")
        for s in (sid, other):
            self.ask("domain.absent", id=s)
            self.gone(s)

    def test_libvirtd_hangs(self):
        """A libvirtd that stands still holds up no other verb, and the agent outlives its end."""
        sid = self.make()
        self.ask("domain.ensure", id=sid, spec=spec())
        libvirtd = self.libvirtd_pid()
        os.kill(libvirtd, signal.SIGSTOP)
        try:
            def refused():
                try:
                    wire.call(SOCKET, "domain.list", timeout=3)
                except TimeoutError:
                    return False                  # it waits for its answer with libvirt
                except wire.WireError as e:
                    return "agent: libvirt does not answer" in str(e)
            until("an error instead of silence", 40, refused, 3)
            self.assertIn("total", self.ask("console.read", id=sid, bytes=10))
        finally:
            self.kill_libvirtd()
        sh(ROOT + "/etc/libvirtd.sh", "start")
        self.assertEqual(until("libvirt", 30, lambda: self.try_state(sid)), "running")
        self.assertIsNone(self.agent.poll())
        self.ask("domain.absent", id=sid)

    def try_state(self, sid):
        try:
            return self.state(sid)
        except wire.WireError:
            return None

    def test_agent_dies(self):
        """A killed agent disturbs no guest."""
        sid = self.make()
        self.ask("domain.ensure", id=sid, spec=spec())
        pid = self.qemu_pid(sid)
        self.restart_agent()
        self.assertEqual(self.state(sid), "running")
        self.assertEqual(self.qemu_pid(sid), pid)
        os.kill(pid, signal.SIGKILL)
        self.events.wait("domain", 2, id=sid, state="crashed")
        self.ask("domain.absent", id=sid)

    def restart_agent(self, env=None):
        cls = type(self)
        cls.events.close()
        cls.agent.kill()
        cls.agent.wait()
        cls.agent = start_agent("agent", env=env)
        until("the agent", 20, lambda: self.try_connect())
        cls.events = wire.Events(SOCKET)

    def test_killed_at_every_point(self):
        """The agent dies in the middle of a verb; asked again, the verb comes to its end."""
        files = {"openstack/latest/meta_data.json": "e30="}
        for point, verb, args in (
                ("seed.part", "seed.ensure", {"files": files}), ("seed.published", "seed.ensure", {"files": files}),
                ("domain.ensure.defined", "domain.ensure", {"spec": spec()}), ("domain.ensure.started", "domain.ensure", {"spec": spec()}),
                ("domain.absent.destroyed", "domain.absent", {}), ("domain.absent.undefined", "domain.absent", {})):
            with self.subTest(point):
                sid = self.make()
                if verb == "domain.absent":
                    self.ask("domain.ensure", id=sid, spec=spec())
                self.restart_agent(env={"NUVOLET_FAULT": point + "@1:kill"})
                with self.assertRaises(OSError):
                    self.ask(verb, id=sid, **args)
                self.assertEqual(self.agent.wait(timeout=10), -signal.SIGKILL)
                self.restart_agent()
                self.ask(verb, id=sid, **args)
                if verb == "domain.ensure":
                    self.assertEqual(self.state(sid), "running")
                elif verb == "domain.absent":
                    self.gone(sid)
                else:
                    self.assertEqual(sorted(os.listdir(STATE + "/instances/" + sid)), ["disk.qcow2", "seed.iso", "seed.sum"])
                self.ask("domain.absent", id=sid)

    def try_connect(self):
        try:
            return self.ask("domain.list")
        except OSError:
            return None

    def test_failures(self):
        """What cannot be is told in one sentence, and leaves nothing running."""
        sid = self.make()
        with self.assertRaisesRegex(wire.WireError, "^invalid: hw_disk_bus cannot be 'floppy'"):
            self.ask("domain.ensure", id=sid, spec=spec(properties={"hw_disk_bus": "floppy"}))
        with self.assertRaisesRegex(wire.WireError, "^host_fault: .*(machine|emulate)"):
            self.ask("domain.ensure", id=sid, spec=spec(machine="pc-i440fx-99.9"))
        port = str(uuid.uuid4())
        with self.assertRaisesRegex(wire.WireError, "^host_fault: starting the domain: .*managed='no'"):
            self.ask("domain.ensure", id=sid, spec=spec(nics=[{"port_id": port, "mac": "fa:16:3e:00:00:09", "mtu": 1500, "model": "virtio"}]))
        os.unlink(STATE + "/instances/%s/disk.qcow2" % sid)
        with self.assertRaisesRegex(wire.WireError, "^host_fault: starting the domain: .*disk.qcow2"):
            self.ask("domain.ensure", id=sid, spec=spec())
        self.ask("domain.absent", id=sid)
        self.gone(sid)
        self.assertFalse(os.path.exists(STATE + "/instances/" + sid))

    def test_strangers(self):
        """A domain that is not ours is neither listed nor touched, even under a server's id."""
        sid = str(uuid.uuid4())
        xml = "/run/stranger.xml"
        with open(xml, "w") as f:
            f.write("<domain type='qemu'><name>stranger</name><uuid>%s</uuid><memory unit='MiB'>32</memory>"
                    "<os><type arch='x86_64'>hvm</type></os></domain>" % sid)
        sh("virsh", "-c", "qemu:///system", "define", xml)
        self.assertNotIn(sid, [d["id"] for d in self.ask("domain.list")["domains"]])
        for verb, args in (("domain.absent", {}), ("domain.stopped.ensure", {"graceful_s": 0}), ("domain.ensure", {"spec": spec()})):
            with self.assertRaisesRegex(wire.WireError, "which Nuvolet did not make"):
                self.ask(verb, id=sid, **args)
        self.assertIn("stranger", sh("virsh", "-c", "qemu:///system", "list", "--all", "--name").stdout)
        sh("virsh", "-c", "qemu:///system", "undefine", "stranger")

    def test_console_is_bounded(self):
        """A log of any length costs a bounded piece of the disk and of an answer; old bytes go, new ones stay."""
        sid = self.make()
        path = STATE + "/instances/%s/console.log" % sid
        with open(path, "ab") as f:
            for i in range(300):
                f.write((b"%07d " % i) * 8192)
            f.write("the end \u20ac\0\xff".encode("latin-1", "replace") + "é".encode() + b"\xc3")
        total = os.stat(path).st_size
        until("the front given back", 15, lambda: os.stat(path).st_blocks * 512 <= 512 << 10)
        r = self.ask("console.read", id=sid, bytes=100 << 20)
        self.assertEqual(r["total"], total)
        self.assertLessEqual(len(r["output"].encode()), 300 << 10)
        self.assertIn("0000299 ", r["output"])
        self.assertIn("the end", r["output"])
        self.assertNotIn("\0", r["output"])
        self.assertEqual(self.ask("console.read", id=sid, bytes=0)["output"], "")
        self.ask("domain.absent", id=sid)
        self.assertFalse(os.path.exists(path))
        self.assertEqual(self.ask("console.read", id=sid, bytes=10), {"output": "", "total": 0})

    def test_seed_refuses(self):
        sid = self.make()
        for name in ("../../etc/passwd", "/etc/passwd", "a//b", "a/../b", "-o", "x=y", "a b", ""):
            with self.assertRaisesRegex(wire.WireError, "^invalid: files"):
                self.ask("seed.ensure", id=sid, files={name: ""})
        self.ask("seed.ensure", id=sid, files={"openstack/latest/meta_data.json": base64.b64encode(b"{}").decode()})
        out = sh("xorriso", "-indev", STATE + "/instances/%s/seed.iso" % sid, "-report_about", "FATAL", "-find", "/", "-exec", "echo").stdout
        self.assertIn("meta_data.json", out)
        self.ask("seed.absent", id=sid)
        self.assertEqual(os.listdir(STATE + "/instances/" + sid), ["disk.qcow2"])


class PretendedGuests(Verbs):
    """libvirt's test driver: the same verbs without disks, taps or guests, for trying out many."""
    socket = TEST_SOCKET

    @classmethod
    def setUpClass(cls):
        cls.agent = start_agent("test-agent", "paths.state=/run/nuvolet/test/state", "paths.run=/run/nuvolet/test",
                                "compute.libvirt_uri=test:///default")
        until("the agent's socket", 20, lambda: os.path.exists(TEST_SOCKET))

    @classmethod
    def tearDownClass(cls):
        cls.agent.kill()
        cls.agent.wait()

    def test_many(self):
        facts = self.ask("host.facts")
        self.assertEqual(facts["virt_type"], "test")
        events = wire.Events(TEST_SOCKET)
        ids = [str(uuid.uuid4()) for _ in range(200)]
        for sid in ids:
            self.ask("domain.ensure", id=sid, spec=spec(nics=[{"port_id": sid, "mac": "fa:16:3e:00:00:01", "mtu": 1500, "model": "virtio"}], seed=True))
        self.assertEqual({(d["id"], d["state"]) for d in self.ask("domain.list")["domains"]}, {(i, "running") for i in ids})
        self.ask("domain.stopped.ensure", id=ids[0], graceful_s=5)
        self.assertEqual(self.state(ids[0]), "shutoff")
        self.ask("domain.stopped.ensure", id=ids[1], graceful_s=0)
        events.wait("domain", 2, id=ids[1], state="shutoff")
        self.ask("domain.ensure", id=ids[0], spec=spec())
        self.assertEqual(self.state(ids[0]), "running")
        for sid in ids:
            self.ask("domain.absent", id=sid)
        self.assertEqual(self.ask("domain.list"), {"domains": []})
        events.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
