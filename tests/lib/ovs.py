"""tests/lib/ovs.py -- Open vSwitch of a test's own, inside tests/lib/machine (whose folders for it are private)."""
import os
import signal
import subprocess
import time

RUN, ETC = "/run/openvswitch", "/etc/openvswitch"


def installed():
    return all(os.path.exists("/usr/" + p) for p in ("sbin/ovs-vswitchd", "sbin/ovsdb-server", "bin/ovs-vsctl"))


def pid_of(daemon):
    with open("%s/%s.pid" % (RUN, daemon)) as f:
        return int(f.read())


def start_db():
    for d in (RUN, ETC, "/var/log/openvswitch"):
        os.makedirs(d, exist_ok=True)
    if not os.path.exists(ETC + "/conf.db"):
        subprocess.run(["ovsdb-tool", "create", ETC + "/conf.db", "/usr/share/openvswitch/vswitch.ovsschema"], check=True, timeout=30)
    subprocess.run(["ovsdb-server", ETC + "/conf.db", "--remote=punix:%s/db.sock" % RUN, "--pidfile", "--detach", "--no-chdir", "--log-file",
                    "-vconsole:off"], check=True, timeout=30)
    subprocess.run(["ovs-vsctl", "--no-wait", "init"], check=True, timeout=30)


def start_switch():
    subprocess.run(["ovs-vswitchd", "--pidfile", "--detach", "--no-chdir", "--log-file", "-vconsole:off"], check=True, timeout=60)


def start():
    start_db()
    start_switch()


def kill(daemon, sig=signal.SIGKILL):
    """As a crash: by its pid; returns when it is gone."""
    pid = pid_of(daemon)
    os.kill(pid, sig)
    end = time.time() + 10
    while time.time() < end:
        try:
            if open("/proc/%d/stat" % pid).read().split(")")[1].split()[0] == "Z":
                return
        except OSError:
            return
        time.sleep(0.02)
    raise AssertionError("%s (%d) does not end" % (daemon, pid))


def vsctl(*args, check=True):
    return subprocess.run(["ovs-vsctl", "--timeout=10", *args], check=check, capture_output=True, text=True, timeout=20).stdout


def flows(bridge):
    """All flows, sorted."""
    text = subprocess.run(["ovs-ofctl", "-O", "OpenFlow14", "--no-stats", "--no-names", "dump-flows", bridge], check=True, capture_output=True,
                          text=True, timeout=20).stdout
    return sorted(text.splitlines())


def meters(bridge):
    """All meters, sorted: each with its band."""
    text = subprocess.run(["ovs-ofctl", "-O", "OpenFlow14", "dump-meters", bridge], check=True, capture_output=True, text=True, timeout=20).stdout
    return sorted(" ".join(m.split()) for m in text.split("meter=")[1:])
