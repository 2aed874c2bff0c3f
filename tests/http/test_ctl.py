"""tests/http/test_ctl.py -- `nuvolet ctl` against a running service: status, doctor with its repairs, ops, log, schema, and who may ask."""
import os
import shutil
import subprocess
import tempfile
import unittest

import cloud as cloudlib
import wire

STRAY = "11111111-1111-4111-8111-111111111111"


class Ctl(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cloud = cloudlib.Cloud(options={"log.level": "info"})
        cls.addClassCleanup(cls.cloud.stop)
        cls.agent = cls.cloud.run + "/agent.sock"
        cls.cloud.wait(lambda: " up " in cls.cloud.ctl("status").stdout and " test " in cls.cloud.ctl("status").stdout, 10, "the host's facts")

    def ctl(self, *args, status=0):
        r = self.cloud.ctl(*args)
        self.assertEqual(r.returncode, status, r.stdout + r.stderr)
        return r.stdout + r.stderr

    def stray(self):
        wire.call(self.agent, "disk.ensure", id=STRAY, size_gb=1)
        wire.call(self.agent, "domain.ensure", id=STRAY, spec={})

    def test_status(self):
        text = self.ctl("status")
        self.assertRegex(text, r"^Nuvolet \d+\.\d+\.\d+, up \d+ s, pid \d+, memory \d+\.\d MiB, database \d+\.\d MiB\n")
        self.assertRegex(text, r"\nlocal +up +\d+ s +test +0/64 +0/262144 +0/4000 +0 +no guests are run")
        self.assertIn("servers:   none", text)
        self.assertIn("operations: 0 live", text)

    def test_doctor_finds_and_removes_strays(self):
        self.assertIn("all well", self.ctl("doctor"))
        self.stray()
        text = self.ctl("doctor", status=1)
        self.assertIn(STRAY, text)
        self.assertIn("repair: domain.absent", text)
        text = self.ctl("doctor", "--fix")
        self.assertIn("-- done", text)
        self.assertIn("0 left", text)
        self.assertIn("all well", self.ctl("doctor"))
        self.assertEqual(wire.call(self.agent, "domain.list"), {"domains": []})
        self.assertEqual(wire.call(self.agent, "disk.list")["disks"], [])

    def test_doctor_says_that_an_agent_is_away(self):
        self.cloud.kill_agent()
        try:
            self.assertRegex(self.ctl("doctor", status=1), "the agent of host local does not answer")
            self.assertRegex(self.ctl("status"), r"\nlocal +DOWN ")
        finally:
            self.cloud.start_agent()
        self.cloud.wait(lambda: " up " in self.cloud.ctl("status").stdout, 5, "reconnecting")
        self.cloud.wait(lambda: self.cloud.ctl("doctor").returncode == 0, 5, "a clean doctor")

    def test_ops_and_log(self):
        self.assertEqual(self.ctl("ops").split(), ["ID", "KIND", "STEP", "RESOURCE", "HOST", "STATE", "TRIES", "AGE", "NOTE"])
        self.assertIn("not a log level", self.ctl("log", "loud", status=2))
        self.ctl("log", "debug")
        self.ctl("status")
        self.assertIn("level=debug event=verb.answered", self.cloud.tail())
        self.ctl("log", "info")

    def test_schema(self):
        self.assertIn("\nimage\n", self.ctl("schema"))
        self.assertRegex(self.ctl("schema", "image"), r"\nname +string")
        self.assertIn("there is no resource", self.ctl("schema", "cloudlet", status=2))

    def test_usage(self):
        for args in ((), ("nothing",), ("log",), ("doctor", "--now"), ("status", "x")):
            self.assertIn("usage:", self.ctl(*args, status=2))

    def test_faults_need_a_process_started_for_them(self):
        with self.assertRaisesRegex(wire.WireError, "forbidden"):
            wire.call(self.cloud.run + "/control.sock", "fault", spec="ops.queued:kill")

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become another user")
    def test_others_may_not_ask(self):
        """Neither by the socket's mode, nor, were that open, by who they are."""
        sock = self.cloud.run + "/control.sock"
        self.assertEqual(os.stat(sock).st_mode & 0o777, 0o660)
        os.chmod(sock, 0o666)
        # The clone may be in a home that others do not enter.
        program = tempfile.mkdtemp(prefix="nuvolet-ctl-")
        self.addCleanup(shutil.rmtree, program)
        os.chmod(program, 0o755)
        shutil.copy(cloudlib.NUVOLET, program)
        try:
            r = subprocess.run([program + "/nuvolet", "ctl", "status"] + self.cloud.settings(), capture_output=True, text=True, timeout=30,
                               user="daemon", group="daemon", extra_groups=[])
            self.assertEqual(r.returncode, 2, r.stdout)
            self.assertIn("only root and its own user may ask", r.stderr)
        finally:
            os.chmod(sock, 0o660)


if __name__ == "__main__":
    unittest.main()
