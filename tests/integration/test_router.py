#!/usr/bin/python3
"""tests/integration/test_router.py -- routers with real guests: two tenants with the same addresses, floating IPs, a port forwarding, IPv6."""
import json
import os
import subprocess
import sys
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from lab import ROOT, Lab, own_machine, sh
own_machine(__file__)
OUTSIDE = "198.51.100.2"


class Api:
    """A user's token, and calls by service."""

    def __init__(self, env):
        who = {"name": env["OS_USERNAME"], "password": env["OS_PASSWORD"], "domain": {"id": "default"}}
        scope = {"project": {"name": env["OS_PROJECT_NAME"], "domain": {"id": "default"}}}
        self.headers = {"Content-Type": "application/json"}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": who}}, "scope": scope}}
        reply, headers = self.request("POST", env["OS_AUTH_URL"].rstrip("/") + "/auth/tokens", body)
        self.headers["X-Auth-Token"] = headers["X-Subject-Token"]
        self.headers["X-OpenStack-Nova-API-Version"] = "2.79"
        self.urls = {s["type"]: e["url"].rstrip("/") for s in reply["token"]["catalog"] for e in s["endpoints"] if e["interface"] == "public"}
        self.urls["network"] += "/v2.0"

    def request(self, method, url, body=None):
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data, self.headers, method=method), timeout=60) as r:
                text = r.read()
                return (json.loads(text) if text else None), r.headers
        except urllib.error.HTTPError as e:
            raise AssertionError("%s %s: %d %s" % (method, url, e.code, e.read().decode()))

    def net(self, method, path, **body):
        return self.request(method, self.urls["network"] + path, body or None)[0]

    def make(self, kind, **body):
        return self.net("POST", "/%ss" % kind.replace("_", "-"), **{kind: body})[kind]

    def nova(self, method, path, body=None):
        return self.request(method, self.urls["compute"] + path, body)[0]


class Routers(Lab):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        sh("sh", "-c", "ip netns add outside; ip link add out0 type veth peer name eth0 netns outside; ip addr add 198.51.100.1/24 dev out0; "
           "ip link set out0 up; ip -n outside addr add %s/24 dev eth0; ip -n outside link set eth0 up; ip -n outside link set lo up" % OUTSIDE)
        sh("sh", "-c", "ip -n outside route add default via 198.51.100.1")

    def network(self, api, name, cidr, six=None):
        net = api.make("network", name=name)
        subnets = [api.make("subnet", network_id=net["id"], cidr=cidr, ip_version=4)["id"]]
        if six:
            subnets.append(api.make("subnet", network_id=net["id"], cidr=six, ip_version=6, ipv6_ra_mode="slaac", ipv6_address_mode="slaac")["id"])
        return net["id"], subnets

    def server(self, api, name, network):
        port = api.make("port", network_id=network, name=name, security_groups=[api.group])
        images = api.request("GET", api.urls["image"] + "/v2/images")[0]["images"]
        made = api.nova("POST", "/servers", {"server": {"name": name, "imageRef": images[0]["id"], "flavorRef": self.flavor, "key_name": "k",
                                                        "networks": [{"port": port["id"]}]}})["server"]
        return made["id"], port

    def group(self, api):
        """Lets ssh and ping in."""
        group = api.make("security_group", name="routers")["id"]
        for version, protocol in (("IPv4", "tcp"), ("IPv4", "icmp"), ("IPv6", "ipv6-icmp")):
            api.make("security_group_rule", security_group_id=group, direction="ingress", ethertype=version, protocol=protocol)
        return group

    def six(self, port):
        return [x["ip_address"] for x in port["fixed_ips"] if ":" in x["ip_address"]][0]

    def on(self, address, command, port=22):
        try:
            r = subprocess.run(["ssh", "-i", self.private, "-p", str(port), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o",
                                "ConnectTimeout=5", "-o", "LogLevel=ERROR", "root@" + address, command], capture_output=True, text=True, timeout=30)
        except subprocess.TimeoutExpired:
            return "(255) no end within 30 s"
        return r.stdout.strip() if r.returncode == 0 else "(%d) %s %s" % (r.returncode, r.stdout, r.stderr)

    def until(self, what, seconds, get, wanted):
        end = time.monotonic() + seconds
        while True:
            got = get()
            if got == wanted:
                return
            self.assertLess(time.monotonic(), end, "%s: %r" % (what, got))
            time.sleep(0.5)

    def test_routers(self):
        demo, admin = Api(self.demo), Api(self.admin)
        self.private = self.key("k")
        with open(self.private + ".pub") as f:
            admin.nova("POST", "/os-keypairs", {"keypair": {"name": "k", "public_key": f.read()}})
        self.flavor = admin.nova("POST", "/flavors", {"flavor": {"name": "r.tiny", "ram": 128, "vcpus": 1, "disk": 1}})["flavor"]["id"]
        for api in (demo, admin):
            api.group = self.group(api)
        public = demo.net("GET", "/networks?router:external=true")["networks"][0]["id"]
        blue, blue_subnets = self.network(demo, "blue", "10.0.0.0/24", "2001:db8:1::/64")
        green, green_subnets = self.network(demo, "green", "10.5.0.0/24", "2001:db8:2::/64")
        red, red_subnets = self.network(admin, "red", "10.0.0.0/24")
        routers = [(demo, demo.make("router", name="r1", external_gateway_info={"network_id": public}), blue_subnets + green_subnets),
                   (admin, admin.make("router", name="r2", external_gateway_info={"network_id": public}), red_subnets)]
        for api, router, subnets in routers:
            for subnet in subnets:
                api.net("PUT", "/routers/%s/add_router_interface" % router["id"], subnet_id=subnet)
        servers = [(demo, *self.server(demo, "b1", blue)), (demo, *self.server(demo, "g1", green)), (admin, *self.server(admin, "x1", red))]
        b1, g1, x1 = [s[2] for s in servers]
        first = demo.make("floatingip", floating_network_id=public, port_id=b1["id"])
        theirs = admin.make("floatingip", floating_network_id=public, port_id=x1["id"])
        shared = demo.make("floatingip", floating_network_id=public)
        inner = [a["ip_address"] for a in g1["fixed_ips"] if ":" not in a["ip_address"]][0]
        forwardings = "/floatingips/%s/port_forwardings" % shared["id"]
        forwarding = demo.net("POST", forwardings, port_forwarding=dict(protocol="tcp", external_port=2222, internal_port=22, internal_port_id=g1["id"],
                                                                        internal_ip_address=inner))["port_forwarding"]
        a, b, c = (f["floating_ip_address"] for f in (first, theirs, shared))
        # Floating addresses and the forwarding, from the host: each leads to its own guest, though two have the same address.
        self.until("the first floating address", 300, lambda: self.on(a, "hostname"), "b1")
        self.until("the other tenant's", 60, lambda: self.on(b, "hostname"), "x1")
        self.until("the forwarding", 60, lambda: self.on(c, "hostname", 2222), "g1")
        # Addresses of both guests by the router's advertisements, and past their duplicate detection.
        self.until("the other network by IPv6", 30, lambda: self.on(a, "ping6 -c 1 -W 3 %s >/dev/null && echo six" % self.six(g1)), "six")
        # To the other network with its own address, by IPv4 and IPv6; out of the cloud; to the other tenant by floating address.
        command = ("ping -c 1 -W 3 %s >/dev/null && echo green; ping -c 1 -W 3 %s >/dev/null && echo outside; "
                   "(sleep 1) | nc -w 3 %s 22 | head -c 3; echo; ping -c 1 -W 3 %s >/dev/null && echo self" % (inner, OUTSIDE, b, a))
        self.until("all that it may reach", 60, lambda: self.on(a, command).split(), ["green", "outside", "SSH", "self"])
        # It moves to the other guest.
        demo.net("PUT", "/floatingips/" + first["id"], floatingip={"port_id": g1["id"]})
        self.until("the floating address moves", 60, lambda: self.on(a, "hostname"), "g1")
        # A router without translation, and one that is down.
        demo.net("PUT", "/routers/" + routers[0][1]["id"], router={"admin_state_up": False})
        self.until("down", 60, lambda: self.on(a, "hostname").startswith("(255)"), True)
        demo.net("PUT", "/routers/" + routers[0][1]["id"], router={"admin_state_up": True})
        self.until("up", 60, lambda: self.on(a, "hostname"), "g1")
        # Removed by hand, it comes back.
        sh("ip", "netns", "del", "nvrouter-" + routers[0][1]["id"].replace("-", "")[:12])
        self.until("healed", 60, lambda: self.on(a, "hostname"), "g1")
        self.check_doctor()
        for api, server, _ in servers:
            api.nova("DELETE", "/servers/" + server)
        demo.net("DELETE", forwardings + "/" + forwarding["id"])
        for api, one in ((demo, first), (demo, shared), (admin, theirs)):
            api.net("DELETE", "/floatingips/" + one["id"])
        for api, router, subnets in routers:
            for subnet in subnets:
                api.net("PUT", "/routers/%s/remove_router_interface" % router["id"], subnet_id=subnet)
            api.net("DELETE", "/routers/" + router["id"])
        for api, port in ((demo, b1), (demo, g1), (admin, x1)):
            api.net("DELETE", "/ports/" + port["id"])
        for api, net in ((demo, blue), (demo, green), (admin, red)):
            api.net("DELETE", "/networks/" + net)
        for api in (demo, admin):
            api.net("DELETE", "/security-groups/" + api.group)
        self.until("nothing is left", 20, lambda: sh("sh", "-c", "ip -br link | grep nv[rp]; ls /run/netns | grep nvrouter; true").stdout, "")
        self.check_doctor()

    def check_doctor(self):
        end = time.monotonic() + 15
        while True:
            r = sh(ROOT + "/build/nuvolet", "ctl", "doctor", check=False)
            if r.returncode == 0:
                return
            self.assertLess(time.monotonic(), end, r.stdout + r.stderr)
            time.sleep(1)


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
