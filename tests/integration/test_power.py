#!/usr/bin/python3
"""tests/integration/test_power.py -- a cloud that loses things: serve, agent, libvirtd, dnsmasq, QEMU killed; then the whole host's power.  Real guests.

The file runs itself twice in a machine of its own (tests/lib/machine) on one folder: the second run is the host after the power cut, with everything
gone but disks and database."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import own  # noqa: E402
from own import ROOT, sh  # noqa: E402

PHASE = os.environ.get("NUVOLET_PHASE")
BASE = "http://127.0.0.1:8774"
RUN = "/run/nuvolet"


def logs():
    return doctor().stdout + sh("sh", "-c", "grep -hE 'level=(warn|error)' /var/log/nuvolet/*.log | tail -n 15", check=False).stdout


def until(what, seconds, condition):
    own.until(what, seconds, condition, 0.1, logs)


def pid(name):
    with open("%s/%s.pid" % (RUN, name)) as f:
        return int(f.read())


def servers():
    """Rows of the database's API, by the operator's command: no token needed."""
    out = sh(ROOT + "/build/nuvolet", "ctl", "status", "--json", check=False)
    return {r["state"]: r["n"] for r in json.loads(out.stdout)["servers"]} if out.returncode == 0 else {}


def qemu_pid():
    out = sh("pgrep", "-f", "qemu-system.*-name guest=", check=False).stdout.split()
    return int(out[0]) if out else None


def doctor():
    return sh(ROOT + "/build/nuvolet", "ctl", "doctor", check=False)


def well():
    return doctor().returncode == 0


def pings(address="172.24.4.3"):
    return sh("ping", "-c1", "-W1", address, check=False).returncode == 0


def openrc():
    with open("/var/lib/nuvolet/demo-openrc") as f:
        return {m.group(1): m.group(2) for m in re.finditer(r"^export (\w+)='?([^'\n]*)'?$", f.read(), re.M)}


def api():
    from test_router import Api                          # its module wants to be in a machine, as both phases are
    return Api(openrc())


def met(address, port):
    """What a connection meets there: the guest's first word, its refusal, or nothing, where a rule is in the way."""
    try:
        with socket.create_connection((address, port), 2) as s:
            s.settimeout(5)
            return s.recv(4)
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "nothing"


def behind_its_router():
    """The guest on the tenant's network answers at its floating IP where its group lets in, and there alone."""
    address, = {f["floating_ip_address"] for f in api().net("GET", "/floatingips")["floatingips"]}
    until("the guest behind the router", 90, lambda: [met(address, port) for port in (22, 23, 24)] == [b"SSH-", "refused", "nothing"])


def restart(name):
    """What systemd's Restart=always does."""
    with open("/var/log/nuvolet/%s.log" % name, "ab") as log:
        p = subprocess.Popen([ROOT + "/build/nuvolet", name], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    with open("%s/%s.pid" % (RUN, name), "w") as f:
        f.write("%d\n" % p.pid)


@unittest.skipUnless(PHASE == "1", "runs before the power cut")
class Kills(unittest.TestCase):
    def test_1_up(self):
        sh(ROOT + "/etc/up.sh", "up", timeout=900)
        until("the guest answers", 60, pings)
        until("doctor", 30, well)

    def test_2_serve_and_agent_die_and_no_guest_notices(self):
        guest = qemu_pid()
        for name in ("serve", "agent"):
            os.kill(pid(name), signal.SIGKILL)
            time.sleep(0.3)
            self.assertTrue(pings(), "the guest answers while %s is away" % name)
            restart(name)
            until("%s is back" % name, 20, lambda: servers().get("active") == 1)
        until("doctor", 30, well)
        self.assertEqual(qemu_pid(), guest)

    def test_3_libvirtd_dies(self):
        guest = qemu_pid()
        with open("/run/libvirt/nuvolet-libvirtd.pid") as f:
            os.kill(int(f.read()), signal.SIGKILL)
        time.sleep(1)
        self.assertEqual(servers().get("active"), 1)
        sh(ROOT + "/etc/libvirtd.sh", "start")
        until("doctor", 40, well)
        self.assertEqual(qemu_pid(), guest)
        self.assertTrue(pings())

    def test_4_dnsmasq_dies(self):
        old = set(sh("pgrep", "-x", "dnsmasq").stdout.split())
        for p in old:
            os.kill(int(p), signal.SIGKILL)
        until("dnsmasq is back", 5, lambda: set(sh("pgrep", "-x", "dnsmasq", check=False).stdout.split()) - old)
        until("doctor", 30, well)

    def test_5_rules_and_bridge_removed_by_hand(self):
        sh("nft", "flush", "ruleset")
        until("the rules are back", 15, lambda: "nuvolet" in sh("nft", "list", "tables").stdout)
        bridge = re.search(r"^(nvb\w+)", sh("ip", "-br", "link").stdout, re.M).group(1)
        sh("ip", "link", "del", bridge)
        until("the bridge is back", 20, lambda: bridge in sh("ip", "-br", "link").stdout)
        until("the guest answers", 30, pings)
        until("doctor", 30, well)

    def test_6_qemu_dies(self):
        os.kill(qemu_pid(), signal.SIGKILL)
        until("the row shows it", 2.5, lambda: servers().get("active", 0) == 0)
        until("doctor", 30, well)
        self.assertNotIn("error", servers())

    def test_7_start_again_for_the_power_cut(self):
        r = subprocess.run(["openstack", "server", "start", "first"], env=dict(os.environ, **openrc()), capture_output=True, text=True, timeout=60)
        self.assertEqual(r.returncode, 0, r.stderr)
        until("active again", 30, lambda: servers().get("active") == 1)
        until("the guest answers", 60, pings)

    def test_8_another_guest_behind_a_router(self):
        a = api()
        public = a.net("GET", "/networks?router:external=true")["networks"][0]["id"]
        n = a.make("network", name="inside")["id"]
        subnet = a.make("subnet", network_id=n, cidr="10.0.0.0/24", ip_version=4)["id"]
        router = a.make("router", name="r", external_gateway_info={"network_id": public})["id"]
        a.net("PUT", "/routers/%s/add_router_interface" % router, subnet_id=subnet)
        group = a.make("security_group", name="ssh")["id"]
        a.make("security_group_rule", security_group_id=group, direction="ingress", protocol="tcp", port_range_min=22, port_range_max=23)
        port = a.make("port", network_id=n, security_groups=[group])["id"]
        like = a.nova("GET", "/servers/detail")["servers"][0]
        flavor = next(f["id"] for f in a.nova("GET", "/flavors")["flavors"] if f["name"] == like["flavor"]["original_name"])
        a.nova("POST", "/servers", {"server": {"name": "second", "imageRef": like["image"]["id"], "flavorRef": flavor, "networks": [{"port": port}]}})
        a.make("floatingip", floating_network_id=public, port_id=port)
        until("both are active", 30, lambda: servers().get("active") == 2)
        behind_its_router()


@unittest.skipUnless(PHASE == "2", "runs after the power cut")
class PowerCut(unittest.TestCase):
    def test_everything_comes_back(self):
        self.assertNotIn("nvb", sh("ip", "-br", "link").stdout)
        sh(ROOT + "/etc/up.sh", "up", timeout=600)
        until("the servers are active", 60, lambda: servers().get("active") == 2)
        until("the guest answers at its old address", 90, pings)
        behind_its_router()
        until("doctor", 60, well)
        sh(ROOT + "/etc/up.sh", "down")
        self.assertIsNone(qemu_pid())
        sh(ROOT + "/etc/up.sh", "up", timeout=600)
        until("the guest came back with the cloud", 90, pings)
        behind_its_router()
        until("doctor", 60, well)
        sh(ROOT + "/etc/up.sh", "down")
        sh(ROOT + "/etc/up.sh", "purge")
        self.assertEqual([f for f in os.listdir("/etc/libvirt/qemu") if f.startswith("nuvolet-")], [])
        self.assertFalse(os.path.exists("/var/lib/nuvolet/nuvolet.db"))
        self.assertNotIn("nv", "".join(re.findall(r"^(nv\w+)", sh("ip", "-br", "link").stdout, re.M)))


def main():
    if PHASE:
        unittest.main()
    if os.geteuid() != 0:
        print("Ran 1 test in 0s\n\nOK (skipped=1)  # needs root")
        return 0
    disk = tempfile.mkdtemp(prefix="nuvolet-power-")
    env = dict(os.environ, MACHINE_DIR=disk, NUVOLET_MACHINE="1")
    ran = failed = 0
    try:
        for phase in ("1", "2"):
            r = subprocess.run([ROOT + "/tests/lib/machine", sys.executable, "-B", "-W", "ignore", os.path.abspath(__file__), "-v"],
                               env=dict(env, NUVOLET_PHASE=phase), capture_output=True, text=True, timeout=1200)
            print(re.sub(r"^(.*skipped 'runs (before|after).*|Ran .*|OK.*|FAILED \(.*|-+)\n", "", r.stderr, flags=re.M))
            ran += len(re.findall(r"^(?:.*\.\.\. )?ok$", r.stderr, re.M))
            bad = len(re.findall(r"^(?:FAIL|ERROR): ", r.stderr, re.M)) or int(r.returncode != 0)
            failed += bad
            if bad:
                break
    finally:
        shutil.rmtree(disk, ignore_errors=True)
    print("Ran %d tests in 0s\n" % (ran + failed))
    return 1 if failed else 0


sys.exit(main())
