"""The folders that serve shares with the agent: whoever takes serve over cannot put anything in the place of root's files."""
import os
import pwd
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from cloud import NUVOLET, Cloud  # noqa: E402


def as_nobody(code, *args):
    nobody = pwd.getpwnam("nobody")
    return subprocess.run(["python3", "-c", code, *args], user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[]).returncode


@unittest.skipUnless(os.geteuid() == 0, "needs root: serve changes its user")
class Folders(unittest.TestCase):
    def test_shared_folders_are_roots(self):
        cloud = Cloud()
        self.addCleanup(cloud.stop)
        for path in (cloud.state, cloud.run):
            st = os.stat(path)
            self.assertEqual((st.st_uid, stat.S_IMODE(st.st_mode)), (0, 0o1771), path)
            os.makedirs(path + "/instances", exist_ok=True)
            self.assertNotEqual(as_nobody("import os, sys; os.rename(sys.argv[1], sys.argv[1] + '.away')", path + "/instances"), 0)
            self.assertNotEqual(as_nobody("import os, sys; os.rmdir(sys.argv[1])", path + "/instances"), 0)
            os.rmdir(path + "/instances")
        self.assertEqual(as_nobody("import sys; open(sys.argv[1], 'a')", cloud.state + "/nuvolet.db"), 0)

    def test_no_link_is_followed(self):
        """A store that became a link would give its target away at the next start."""
        with tempfile.TemporaryDirectory() as top:
            os.chmod(top, 0o711)
            os.mkdir(top + "/state")
            os.mkdir(top + "/secret")
            os.symlink(top + "/secret", top + "/state/images")
            got = subprocess.run([NUVOLET, "serve", "--set", f"paths.state={top}/state", "--set", f"paths.run={top}/run", "--set", "api.port=0",
                                  "--set", "serve.user=nobody"], stderr=subprocess.PIPE, timeout=30)
            self.assertNotEqual(got.returncode, 0)
            self.assertIn(b"images", got.stderr)
            self.assertEqual(os.stat(top + "/secret").st_uid, 0)


if __name__ == "__main__":
    unittest.main()
