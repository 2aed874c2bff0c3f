"""tests/integration/test_disk_full.py -- the disk with the database fills up: nothing accepted is lost, reads go on, and room brings everything back."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "crash"))
import crash  # noqa: E402


@unittest.skipUnless(os.geteuid() == 0, "needs root to mount a small file system")
class DiskFull(unittest.TestCase):
    def setUp(self):
        self.top = tempfile.mkdtemp(prefix="nuvolet-full-")
        os.chmod(self.top, 0o755)
        self.addCleanup(shutil.rmtree, self.top, True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=755", "tmpfs", self.top], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.top])
        self.site = crash.Site(4, {"paths.state": self.top + "/state"})
        self.addCleanup(self.site.close)

    def fill(self):
        with open(self.top + "/ballast", "wb", 0) as f:
            try:
                while True:
                    f.write(b"x" * 65536)
            except OSError:
                pass
            try:
                while True:
                    f.write(b"x" * 512)
            except OSError:
                pass

    def create(self, n):
        status, answer = self.site.call("POST", "compute", "/servers", self.site.server_body("full-%d" % n))
        return status, answer["server"]["id"] if status == 202 else None

    def test_full(self):
        accepted = [self.create(0)[1]]
        self.site.wait_server(accepted[0], "ACTIVE")
        self.fill()
        refused = 0
        for n in range(1, 400):
            status, server = self.create(n)
            if server:
                accepted.append(server)
            else:
                self.assertIn(status, (503, 507), "a full disk is a service's temporary fault, not an internal error")
                refused += 1
            if refused > 3:
                break
        self.assertGreater(refused, 0, "the disk never filled up")
        self.assertIsNone(self.site.cloud.serve.poll(), "serve survives")
        self.assertEqual(self.site.call("GET", "compute", "/servers")[0], 200)
        os.unlink(self.top + "/ballast")
        self.site.cloud.wait(lambda: self.create(1000)[0] == 202, 10, "a create after there is room again")
        for server in accepted:
            self.site.wait_server(server, "ACTIVE")
        self.site.settle()
        self.site.compare()

    def test_full_and_killed(self):
        accepted = [s for s in (self.create(n)[1] for n in range(3)) if s]
        self.fill()
        self.site.cloud.kill()
        os.unlink(self.top + "/ballast")
        self.site.restart_dead()
        for server in accepted:
            self.site.wait_server(server, "ACTIVE")
        self.site.settle()
        self.site.compare()


if __name__ == "__main__":
    unittest.main()
