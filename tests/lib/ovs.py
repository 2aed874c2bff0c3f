"""tests/lib/ovs.py -- Open vSwitch of a test's own, inside tests/lib/machine (whose folders for it are private)."""
import os
import signal
import subprocess
import time
from own import PATIENCE

RUN, ETC = "/run/openvswitch", "/etc/openvswitch"


def installed():
    return all(os.path.exists("/usr/" + p) for p in ("sbin/ovs-vswitchd", "sbin/ovsdb-server", "bin/ovs-vsctl"))


def pid_of(daemon):
    with open("%s/%s.pid" % (RUN, daemon)) as f:
        return int(f.read())


def run(*argv, check=True):
    return subprocess.run(argv, check=check, capture_output=True, text=True, timeout=60 * PATIENCE).stdout


def start_db():
    for d in (RUN, ETC, "/var/log/openvswitch"):
        os.makedirs(d, exist_ok=True)
    if not os.path.exists(ETC + "/conf.db"):
        run("ovsdb-tool", "create", ETC + "/conf.db", "/usr/share/openvswitch/vswitch.ovsschema")
    daemon("ovsdb-server", ETC + "/conf.db", "--remote=punix:%s/db.sock" % RUN)
    run("ovs-vsctl", "--no-wait", "init")


def start_switch():
    daemon("ovs-vswitchd")


def daemon(*argv):
    # What it prints is not for us: a pipe that a daemon keeps open would never end.
    subprocess.run([*argv, "--pidfile", "--detach", "--no-chdir", "--log-file", "-vconsole:off"], check=True, timeout=60 * PATIENCE)


def start():
    start_db()
    start_switch()


def kill(daemon, sig=signal.SIGKILL):
    """As a crash: by its pid; returns when it is gone."""
    pid = pid_of(daemon)
    os.kill(pid, sig)
    end = time.time() + 10 * PATIENCE
    while time.time() < end:
        try:
            if open("/proc/%d/stat" % pid).read().split(")")[1].split()[0] == "Z":
                return
        except OSError:
            return
        time.sleep(0.02)
    raise AssertionError("%s (%d) does not end" % (daemon, pid))


def vsctl(*args, check=True):
    return run("ovs-vsctl", "--timeout=%d" % (10 * PATIENCE), *args, check=check)


def flows(bridge):
    """All flows, sorted."""
    return sorted(run("ovs-ofctl", "-O", "OpenFlow14", "--no-stats", "--no-names", "dump-flows", bridge).splitlines())


def meters(bridge):
    """All meters, sorted: each with its band."""
    return sorted(" ".join(m.split()) for m in run("ovs-ofctl", "-O", "OpenFlow14", "dump-meters", bridge).split("meter=")[1:])
