"""tests/bench/network.py -- the network's figures for tests/bench/run: the API's times, and the agent alone with hundreds of networks and ports.
figures(run) gives the list; run is the module with report(), smaps() and the rest."""
import os
import socket
import statistics
import subprocess
import time

from cloud import NUVOLET
from wire import call

N = "/network/v2.0/"


def uid(kind, n):
    return "%08x-%04x-4000-8000-%012x" % (kind << 28 | n, n & 0xffff, n)


def mac(n):
    return "fa:16:3e:%02x:%02x:%02x" % (n >> 16 & 255, n >> 8 & 255, n & 255)


class Agent:
    """The real agent alone, asked by its socket as the controller asks it."""

    def __init__(self, cloud_run):
        self.run = cloud_run
        self.start()

    def start(self):
        self.log = open(self.run + "/agent.log", "ab")
        sock = self.run + "/agent.sock"
        if os.path.exists(sock):
            os.unlink(sock)
        self.process = subprocess.Popen([NUVOLET, "agent", "--set", "paths.run=" + self.run, "--set", "compute.libvirt_uri=test:///default"], stderr=self.log)
        while not os.path.exists(sock):
            time.sleep(0.01)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def verb(self, name, **args):
        return call(self.run + "/agent.sock", name, **args)

    def network(self, n, ports=()):
        p = "10.%d.%d" % (n >> 8, n & 255)
        self.verb("network.ensure", id=uid(1, n), mtu=1450, zone=n + 1, host_addresses=[], nat=[], segment=None, dhcp={
            "mac": mac(0x800000 + n), "addresses": [p + ".2/24"], "domain": "openstacklocal",
            "ports": [{"id": uid(2, k), "mac": mac(k), "hostname": "h%d" % k, "ips": ["%s.%d" % (p, 10 + i)]} for i, k in enumerate(ports)],
            "subnets": [{"id": uid(4, n), "cidr": p + ".0/24", "version": 4, "gateway": p + ".1", "dns": [], "routes": [], "mode": None}]})

    def group(self, g, **kw):
        self.verb("group.ensure", **self.group_args(g, **kw))

    def group_args(self, g, rules=20, first=1000):
        each = [{"id": uid(5, g * 64 + i), "direction": "ingress", "ethertype": 4, "protocol": 6, "port_min": first + i, "port_max": first + i, "cidr": None,
                 "remote_group": None} for i in range(rules)]
        return dict(id=uid(3, g), stateful=True, rules=each, members4=[], members6=[])

    def port(self, *where):
        self.verb("port.ensure", **self.port_args(*where))

    def port_args(self, k, n, i, g):
        return dict(id=uid(2, k), network_id=uid(1, n), mac=mac(k), mtu=1450, addresses=["10.%d.%d.%d" % (n >> 8, n & 255, 10 + i)], pairs=[],
                  groups=[uid(3, g)], port_security=True, up=True)

    def clear(self):
        """As a host that was switched off: nothing is left in the kernel."""
        self.stop()
        subprocess.run("cat %s/dhcp/*/pid | xargs -r kill -9; rm -rf %s/dhcp; nft flush ruleset; for n in $(ls /run/netns 2>/dev/null); do ip netns del $n; done; "
                       "ip -o link | grep -oE 'nv[a-z][0-9a-f]{12}' | sort -u | sed 's/^/link del /' | ip -force -batch -" % (self.run, self.run),
                       shell=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class NftEvents:
    """What the kernel tells listeners when a transaction on nftables is committed."""
    NETFILTER, SOL_NETLINK, ADD_MEMBERSHIP, NFTABLES = 12, 270, 1, 7

    def __init__(self):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, self.NETFILTER)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind((0, 0))
        self.socket.setsockopt(self.SOL_NETLINK, self.ADD_MEMBERSHIP, self.NFTABLES)
        self.socket.settimeout(10)

    def await_key(self, tap, mac, address):
        """Returns when a set has the element tap . mac . address: each part padded to four bytes."""
        key = tap.encode().ljust(16, b"\0") + bytes.fromhex(mac.replace(":", "")) + b"\0\0" + socket.inet_aton(address)
        while key not in self.socket.recv(1 << 16):
            pass


def alone(run):
    d = "/run/nuvolet"
    subprocess.run(["mkdir", "-p", d], check=True)
    os.chmod(d, 0o711)
    return Agent(d)


def figures(run):
    report = run.report

    def post_network():
        cloud = run.installed(agent=False, options={"quota.networks": "-1", "quota.subnets": "-1", "quota.ports": "-1"})
        demo, nets, subs = cloud.login("demo"), [], []
        for i in range(100):
            begin = time.monotonic()
            n = demo.post(N + "networks", {"network": {"name": "b"}})
            middle = time.monotonic()
            s = demo.post(N + "subnets", {"subnet": {"network_id": n.json["network"]["id"], "ip_version": 4, "cidr": "10.1.0.0/24"}})
            nets.append((middle - begin) * 1000)
            subs.append((time.monotonic() - middle) * 1000)
            assert (n.status, s.status) == (201, 201)
        a, b = statistics.median(nets), statistics.median(subs)
        report("POST network, POST subnet, to 201 (p50)", "%.1f, %.1f ms" % (a, b), "≤ 10 ms each", a <= 10 and b <= 10)
        cloud.stop()

    def port_page():
        cloud = run.installed(agent=False, options={"quota.networks": "-1", "quota.subnets": "-1", "quota.ports": "-1"})
        demo = cloud.login("demo")
        for k in range(10):
            n = demo.post(N + "networks", {"network": {"name": "b"}}).json["network"]["id"]
            demo.post(N + "subnets", {"subnet": {"network_id": n, "ip_version": 4, "cidr": "10.%d.0.0/16" % (k + 1)}})
            for _ in range(10):
                r = demo.post(N + "ports", {"ports": [{"network_id": n, "name": "p"} for _ in range(100)]})
                assert r.status == 201, r
        times, marker = [], ""
        for _ in range(15):
            begin = time.monotonic()
            r = demo.get(N + "ports?limit=1000" + marker)
            times.append((time.monotonic() - begin) * 1000)
            ports = r.json["ports"]
            assert len(ports) == 1000 or marker
            marker = "&marker=" + ports[-1]["id"] if len(ports) == 1000 else ""
        ms = statistics.median(times)
        report("GET /ports, page of 1,000 of 10,000 with addresses, groups, tags (p50)", "%.0f ms" % ms, "≤ 80 ms", ms <= 80)
        cloud.stop()

    def port_in_force():
        cloud = run.real_cloud("test:///default")
        demo, _ = run.seed(cloud, 0)
        n = demo.post(N + "networks", {"network": {"name": "b"}}).json["network"]["id"]
        demo.post(N + "subnets", {"subnet": {"network_id": n, "ip_version": 4, "cidr": "10.1.0.0/24"}})
        flavor = [f["id"] for f in demo.get("/compute/v2.1/flavors").json["flavors"] if f["name"] == "m1.nano"][0]
        image = demo.get("/image/v2/images").json["images"][0]["id"]
        r = demo.post("/compute/v2.1/servers", {"server": {"name": "b", "imageRef": image, "flavorRef": flavor, "networks": [{"uuid": n}]}})
        assert r.status == 202, r
        run.settle(cloud, demo, 1)
        port = demo.get(N + "ports?device_id=" + r.json["server"]["id"]).json["ports"][0]
        tap, short = "nvt" + port["id"].replace("-", "")[:12], n.replace("-", "")[:12]
        rules, entries, told = [], [], NftEvents()
        for i in range(20):
            address = "10.1.1.%d" % (i + 1)
            assert demo.put(N + "ports/" + port["id"], {"port": {"allowed_address_pairs": [{"ip_address": address}]}}).status == 200
            begin = time.monotonic()
            told.await_key(tap, port["mac_address"], address)
            rules.append((time.monotonic() - begin) * 1000)
            made = demo.post(N + "ports", {"port": {"network_id": n}}).json["port"]["mac_address"]
            begin = time.monotonic()
            while made not in open("%s/dhcp/%s/hosts" % (cloud.run, short)).read():
                time.sleep(0.001)
                assert time.monotonic() - begin < 10
            entries.append((time.monotonic() - begin) * 1000)
        a, b = statistics.median(rules), statistics.median(entries)
        report("a port's rules, a port's DHCP entry in force after the answer (p50)", "%.0f, %.0f ms" % (a, b), "≤ 50 ms", max(a, b) <= 50)
        cloud.stop(check=False)

    def one_rule():
        agent = alone(run)
        agent.network(1)
        for g in range(100):
            agent.group(g)
        for k in range(1000):
            agent.port(k, 1, k % 200, k % 100)
        times = []
        for i in range(9):
            begin = time.monotonic()
            agent.group(7, first=2000 + 100 * i)
            times.append((time.monotonic() - begin) * 1000)
        ms = statistics.median(times)
        report("1,000 ports of 100 groups with 20 rules each: a group's rules changed (p50)", "%.0f ms" % ms, "≤ 200 ms", ms <= 200)
        agent.clear()

    def many_networks():
        agent = alone(run)
        for n in range(500):
            agent.network(n, [n])
        mb = run.smaps(agent.process.pid, "Pss")
        report("500 networks with DHCP: the agent, PSS", "%.0f MB" % mb, "≤ 60 MB", mb <= 60)
        agent.clear()

    def cold_start():
        agent = alone(run)
        agent.clear()
        begin = time.monotonic()
        agent.start()
        where = [(k, k // 5, k % 5, k % 20) for k in range(1000)]
        agent.verb("rules.ensure", groups=[agent.group_args(g) for g in range(20)], ports=[agent.port_args(*w) for w in where])
        for g in range(20):
            agent.group(g)
        for n in range(200):
            agent.network(n, range(n * 5, n * 5 + 5))
        for w in where:
            agent.port(*w)
        s = time.monotonic() - begin
        there = agent.verb("net.list")
        assert (len(there["networks"]), len(there["ports"])) == (200, 1000), (len(there["networks"]), len(there["ports"]))
        report("an agent's cold start: 200 networks, 1,000 ports, all in force", "%.1f s" % s, "≤ 10 s", s <= 10)
        agent.clear()

    return [post_network, port_page, port_in_force, one_rule, many_networks, cold_start]
