"""tests/lib/hosts.py -- several hosts on one machine: each has its own network, mounts and host name, and an eth0 on a common fabric.

    fabric = Fabric()
    h1 = Host(fabric, "h1", "10.66.0.1/24")
    h1.start_agent("network.tunnel_address=10.66.0.1")     # its socket: h1.socket
    h1.sh("ip link")
    fabric.watch()                                         # fabric.frames: every frame between the hosts, from here on
    h1.stop(); fabric.stop()

The rest of the file system is shared.  To be run inside tests/lib/machine, which ends everything."""
import ctypes
import os
import shutil
import socket
import subprocess
import threading
import time

from guest import sh

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NUVOLET = os.environ.get("NUVOLET", ROOT + "/build/nuvolet")
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def inside(path, fn, *args):
    """fn(*args) on a thread of its own in the network namespace that path names."""
    result = []

    def run():
        with open(path) as f:
            if libc.setns(f.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns " + path)
        result.append(fn(*args))
    t = threading.Thread(target=run)
    t.start()
    t.join()
    return result[0]


class Fabric:
    def __init__(self, name="fabric"):
        self.name, self.frames, self.ending = name, [], False
        self.path = "/run/netns/" + name
        sh("ip netns add %s && ip -n %s link set lo up && ip -n %s link add %s type bridge mcast_snooping 0 && ip -n %s link set %s up" % ((name,) * 6))

    def join(self, host, link, peer="eth0", namespace=None):
        """A cable from the fabric (where its end is called link) to a host's peer."""
        sh("ip -n %s link add %s type veth peer name %s netns %s" % (self.name, link, peer, namespace or host))
        sh("ip -n %s link set %s master %s up" % (self.name, link, self.name))

    def watch(self):
        s = inside(self.path, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))
        s.settimeout(0.1)
        self.thread = threading.Thread(target=self._watch, args=(s,), daemon=True)
        self.thread.start()

    def _watch(self, s):
        with s:
            while not self.ending:
                try:
                    data, where = s.recvfrom(65536)
                except TimeoutError:
                    continue
                if where[2] != 4:                      # once a frame: as it comes in, not as it leaves
                    self.frames.append(data)

    def stop(self):
        self.ending = True
        sh("ip netns del " + self.name)


class Host:
    def __init__(self, fabric, name, address, top="/run/nuvolet"):
        self.name, self.address, self.dir, self.agent = name, address.split("/")[0], "%s/%s" % (top, name), None
        self.socket = self.dir + "/agent.sock"
        os.makedirs(self.dir, exist_ok=True)
        os.chmod(top, 0o711)
        os.chmod(self.dir, 0o711)
        ready = self.dir + "/ready"
        inner = ("mkdir -p /run/netns; mount -t tmpfs none /run/netns; mount --make-shared /run/netns; mount -t sysfs sysfs /sys; hostname %s; ip link set lo up; "
                 "echo $$ > %s.part; mv %s.part %s; exec sleep infinity" % (name, ready, ready, ready))
        self.init = subprocess.Popen(["unshare", "--mount", "--net", "--uts", "--ipc", "--propagation", "private", "sh", "-c", inner])
        end = time.monotonic() + 10
        while not os.path.exists(ready):
            if time.monotonic() > end:
                raise AssertionError("host %s did not start" % name)
            time.sleep(0.01)
        with open(ready) as f:
            self.pid = int(f.read())
        self.path = "/proc/%d/ns/net" % self.pid
        self.log = open(self.dir + "/agent.log", "ab")
        fabric.join(self.pid, "to-" + name)
        self.sh("ip addr add %s dev eth0 && ip link set eth0 up" % address)

    def enter(self, *argv):
        return ["nsenter", "-t", str(self.pid), "-m", "-n", "-u", "-i", "--", *argv]

    def sh(self, command, check=True, timeout=30):
        r = subprocess.run(self.enter("sh", "-c", command), capture_output=True, text=True, timeout=timeout)
        if check and r.returncode:
            raise AssertionError("%s: %s: exit %d\n%s%s" % (self.name, command, r.returncode, r.stdout, r.stderr))
        return r.stdout

    def share(self, source, target):
        """A folder that is on shared storage."""
        self.sh("mkdir -p %s %s && mount --bind %s %s" % (source, target, source, target))

    def start_agent(self, *settings):
        options = ["paths.run=" + self.dir, "paths.state=" + self.dir + "/state", "serve.user=nobody", "log.level=debug",
                   "compute.libvirt_uri=test:///default", *settings]
        self.options = settings
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        self.agent = subprocess.Popen(self.enter(NUVOLET, "agent", *[x for o in options for x in ("--set", o)]), stderr=self.log)
        end = time.monotonic() + 30
        while not os.path.exists(self.socket):
            if self.agent.poll() is not None or time.monotonic() > end:
                raise AssertionError("the agent of %s did not start:\n%s" % (self.name, self.tail()))
            time.sleep(0.02)

    def kill_agent(self):
        self.agent.kill()
        self.agent.wait()

    def tail(self):
        with open(self.dir + "/agent.log", errors="replace") as f:
            return f.read()[-4000:]

    def stop(self):
        if self.agent and self.agent.poll() is None:
            self.kill_agent()
        self.sh("for p in %s/dhcp/*/pid; do [ -s $p ] && kill $(cat $p); done; true" % self.dir, check=False)
        self.sh("umount %s/state/images" % self.dir, check=False)
        self.init.kill()
        self.init.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)
