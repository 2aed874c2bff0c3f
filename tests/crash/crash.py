#!/usr/bin/env python3
"""tests/crash/crash.py [--short] [--only TEXT] [--workers N] -- every operation, with a fault at every point it passes: kill, fail, fatal, pause.

Each scenario is run once with NUVOLET_FAULT_TRACE to learn the points that `serve` and the agent pass.  Then, for each point and mode, the fault is
armed, the operation is driven through the API, what died is started again, and within ten seconds everything must have settled: no live
operation, `doctor` clean, the stand-in agent's world equal to what the API lists, and nothing lost that was answered 2xx.  --short: creating and
deleting a server only.
"""
import argparse
import base64
import collections
import concurrent.futures
import http.client
import json
import os
import re
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import cloud as cloudlib  # noqa: E402
import wire  # noqa: E402

SETTLE_S = 10
MODES = ("kill", "fail", "fatal", "pause")
SERVICES = {"compute": "/compute/v2.1", "network": "/network/v2.0", "image": "/image/v2"}


class Wrong(Exception):
    """A broken promise; kind is the counter it goes to: lost, leaked, stuck, wrong."""

    def __init__(self, kind, text):
        super().__init__(text)
        self.kind = kind


class Site:
    """One cloud with a tenant, a network, an image and a flavor; calls are never repeated by themselves."""

    def __init__(self, sync_s, options=None):
        self.sync_s = sync_s
        self.cloud = cloudlib.Cloud(options=dict({"hosts.sync_s": str(sync_s), "log.level": "info"}, **(options or {})), agent=False)
        self.names = 0
        self.prefix = "c%x" % id(self)
        self.trace = {"serve": self.cloud.top + "/serve.trace", "agent": self.cloud.top + "/agent.trace"}
        self.restart_serve(kill=True)
        self.cloud.start_agent(env=self.env("agent"))
        self.demo = self.cloud.login("demo")
        self.admin = self.cloud.login("admin")
        self.cloud.wait(self.host_is_up, 10, "the host's first facts")
        self.flavor = self.make_flavor()
        self.network = self.post("network", "/networks", {"network": {"name": "crash-net"}})["network"]["id"]
        self.subnet = self.post("network", "/subnets", {"subnet": {"network_id": self.network, "ip_version": 4, "cidr": "10.9.0.0/24"}})["subnet"]["id"]
        self.image = self.make_image("crash-image")
        self.settle()

    # -- processes ---------------------------------------------------------------------------------------------
    def env(self, process):
        return {"NUVOLET_FAULT": "", "NUVOLET_FAULT_TRACE": self.trace[process]}

    def restart_serve(self, kill=False):
        if kill and self.cloud.serve.poll() is None:
            self.cloud.kill()
        open(self.trace["serve"], "a").close()
        os.chmod(self.trace["serve"], 0o666)
        self.cloud.start(env=self.env("serve"))

    def restart_dead(self):
        """Starts again what a fault killed; whether something was dead."""
        dead = False
        if self.cloud.agent.poll() is not None:
            self.cloud.start_agent(env=self.env("agent"))
            dead = True
        if self.cloud.serve.poll() is not None:
            self.restart_serve()
            dead = True
        return dead

    def arm(self, process, spec):
        path = self.cloud.run + ("/control.sock" if process == "serve" else "/agent.sock")
        wire.call(path, "fault" if process == "serve" else "fake.fault", spec=spec)

    def disarm(self):
        self.arm("serve", "")
        self.arm("agent", "")

    def traced(self, process):
        with open(self.trace[process]) as f:
            return f.read().split("\n")[:-1]

    def host_is_up(self):
        agents = self.control("status")["agents"]
        hosts = self.control("status")["hosts"]
        return bool(hosts) and all(a["up"] for a in agents)

    def is_idle(self):
        """Nothing live; False too when `serve` is just dying."""
        try:
            return not self.control("ops")["operations"]
        except (OSError, wire.WireError):
            return False

    def control(self, verb, **args):
        return wire.call(self.cloud.run + "/control.sock", verb, **args)

    def close(self):
        """Ends it; what a sanitizer or an assertion said in its logs."""
        said = []
        for name in ("serve", "agent"):
            with open("%s/%s.log" % (self.cloud.top, name), errors="replace") as f:
                said += [line.strip()[:300] for line in f if re.search(r"ERROR: \w*Sanitizer|runtime error:|Assertion|ERROR \*\*", line)]
        self.cloud.stop(check=False)
        return said

    # -- the API -----------------------------------------------------------------------------------------------
    def call(self, method, service, path, body=None, raw=None, client=None):
        """(status, json); raises OSError or HTTPException when no answer came."""
        c = http.client.HTTPConnection("127.0.0.1", self.cloud.port, timeout=30)
        headers = {"X-Auth-Token": (client or self.demo).token, "OpenStack-API-Version": "compute 2.93"}
        data = raw
        if raw is not None:
            headers["Content-Type"] = "application/octet-stream"
        elif body is not None:
            data = json.dumps(body)
            headers["Content-Type"] = "application/json"
        try:
            c.request(method, SERVICES[service] + path, data, headers)
            r = c.getresponse()
            text = r.read()
            return r.status, json.loads(text) if text and raw is None and text[:1] in b"{[" else None
        finally:
            c.close()

    def must(self, method, service, path, body=None, raw=None, client=None):
        status, answer = self.call(method, service, path, body, raw, client)
        if status >= 300:
            raise Wrong("wrong", "%s %s answered %s %s" % (method, path, status, answer))
        return answer

    def get(self, service, path, client=None): return self.must("GET", service, path, client=client)
    def post(self, service, path, body, client=None): return self.must("POST", service, path, body, client=client)

    def name(self):
        self.names += 1
        return "%s-%d" % (self.prefix, self.names)

    def make_flavor(self):
        f = {"name": "crash", "ram": 64, "vcpus": 1, "disk": 1}
        return self.post("compute", "/flavors", {"flavor": f}, self.admin)["flavor"]["id"]

    def make_image(self, name):
        image = self.post("image", "/images", {"name": name, "disk_format": "raw", "container_format": "bare"})["id"]
        self.must("PUT", "image", "/images/%s/file" % image, raw=b"\0" * 65536)
        return image

    def server_body(self, name):
        return {"server": {"name": name, "flavorRef": self.flavor, "imageRef": self.image, "networks": [{"uuid": self.network}],
                           "config_drive": True, "user_data": base64.b64encode(b"#!/bin/sh\n").decode()}}

    def server(self, server_id):
        status, answer = self.call("GET", "compute", "/servers/" + server_id)
        return answer["server"] if status == 200 else None

    def find(self, service, many, name):
        """The one of that name, or None."""
        rows = self.get(service, "/%s?name=%s" % (many if many != "servers" else "servers/detail", name))[many]
        return rows[0] if rows else None

    def wait_server(self, server_id, *states):
        end = time.monotonic() + SETTLE_S
        while True:
            s = self.server(server_id)
            state = s["status"] if s else "GONE"
            if state in states and not (s and s["OS-EXT-STS:task_state"]):
                return s
            if time.monotonic() > end:
                raise Wrong("stuck", "server is %s (%s), not %s" % (state, s and s["OS-EXT-STS:task_state"], "/".join(states)))
            time.sleep(0.02)

    def new_server(self):
        s = self.post("compute", "/servers", self.server_body(self.name()))["server"]["id"]
        self.wait_server(s, "ACTIVE")
        return s

    # -- the promises ------------------------------------------------------------------------------------------
    def settle(self):
        """Within ten seconds: no live operation, and nothing for the doctor to find."""
        end = time.monotonic() + SETTLE_S
        while True:
            live = self.control("ops")["operations"]
            found = None if live else self.control("doctor", fix=False)["findings"]
            if not live and not found:
                return
            if time.monotonic() > end and live:
                raise Wrong("stuck", "live operations: %s" % [(o["kind"], o["step"], o["waiting"]) for o in live])
            if time.monotonic() > end:
                raise Wrong("leaked", "doctor: %s" % [f["what"] for f in found])
            time.sleep(0.02)

    def world(self, folder):
        path = os.path.join(self.cloud.world, folder)
        return set(os.listdir(path)) if os.path.isdir(path) else set()

    def compare(self):
        """The world against the API, without trusting the doctor."""
        servers = self.get("compute", "/servers/detail?all_tenants=1", self.admin)["servers"]
        whole = {s["id"] for s in servers if s["status"] in ("ACTIVE", "SHUTOFF")}
        known = {s["id"] for s in servers}
        # What failed later than at its creation keeps its disk, and perhaps its domain.
        broken = {s["id"] for s in servers if s["status"] == "ERROR" and s["OS-EXT-SRV-ATTR:host"]}
        ports = {p["id"] for p in self.get("network", "/ports", self.admin)["ports"] if p["device_id"] in known}
        networks = {n["id"] for n in self.get("network", "/networks", self.admin)["networks"]}
        groups = {g["id"] for g in self.get("network", "/security-groups", self.admin)["security_groups"]}
        for folder, want in (("domains", whole), ("disks", whole)):
            have = self.world(folder)
            if have - want - broken:
                raise Wrong("leaked", "%s of no server: %s" % (folder, have - want - broken))
            if want - have:
                raise Wrong("lost", "%s missing: %s" % (folder, want - have))
        for folder, may in (("seeds", whole | broken), ("ports", ports), ("networks", networks), ("groups", groups)):
            if self.world(folder) - may:
                raise Wrong("leaked", "%s of no row: %s" % (folder, self.world(folder) - may))
        routers = {r["id"] for r in self.get("network", "/routers", self.admin)["routers"]}
        if self.world("routers") - routers:
            raise Wrong("leaked", "routers of no row: %s" % (self.world("routers") - routers))
        left = [n for n in os.listdir(self.cloud.state + "/images") if n not in {i["id"] for i in self.get("image", "/images", self.admin)["images"]}]
        if left:
            raise Wrong("leaked", "image files of no row: %s" % left)

    def sweep(self):
        """Removes what scenarios left; the tenant's own network, image and flavor stay."""
        for s in self.get("compute", "/servers")["servers"]:
            self.must("DELETE", "compute", "/servers/" + s["id"])
        end = time.monotonic() + SETTLE_S
        while self.get("compute", "/servers")["servers"]:
            if time.monotonic() > end:
                raise Wrong("stuck", "servers do not go: %s" % self.get("compute", "/servers")["servers"])
            time.sleep(0.02)
        routers_swept(self)
        for p in self.get("network", "/ports")["ports"]:
            if p["device_owner"] == "":
                self.must("DELETE", "network", "/ports/" + p["id"])
        for n in self.get("network", "/networks?name=" + self.prefix)["networks"]:
            self.must("DELETE", "network", "/networks/" + n["id"])
        for service, many, keep in (("network", "networks", {self.network}), ("image", "images", {self.image})):
            for row in self.get(service, "/" + many)[many]:
                if row["name"] and row["name"].startswith(self.prefix) and row["id"] not in keep:
                    self.must("DELETE", service, "/%s/%s" % (many, row["id"]))
        for g in self.get("network", "/security-groups")["security_groups"]:
            if g["name"].startswith(self.prefix):
                self.must("DELETE", "network", "/security-groups/" + g["id"])
        for p in self.get("network", "/qos/policies", self.admin)["policies"]:
            self.must("DELETE", "network", "/qos/policies/" + p["id"], client=self.admin)
        self.settle()
        self.compare()
        for folder in ("domains", "disks", "seeds", "ports", "routers"):
            if self.world(folder):
                raise Wrong("leaked", "%s left after everything was deleted: %s" % (folder, self.world(folder)))


# ---- scenarios: prepare(site) → state; act(site, state) → accepted (the request's 2xx came back); check(site, state, accepted, mode) ----

class Scenario:
    short = False
    sync_s = 3600                                    # operations alone must bring everything right

    def prepare(self, site): return {}

    def request(self, site, st): raise NotImplementedError

    def act(self, site, st):
        try:
            status, answer = self.request(site, st)
        except (OSError, http.client.HTTPException):
            return False
        st["status"], st["answer"] = status, answer
        return 200 <= status < 300

    def check(self, site, st, accepted, mode): pass


def check_created_server(site, st, accepted, mode):
    s = site.find("compute", "servers", st["name"])
    if not s:
        if accepted:
            raise Wrong("lost", "the server was accepted and is not there")
        return
    s = site.wait_server(s["id"], "ACTIVE", "ERROR")
    if s["status"] == "ERROR":
        if mode != "fatal":
            raise Wrong("wrong", "ERROR after a fault that should be survived: %s" % s.get("fault"))
        if not s.get("fault", {}).get("message"):
            raise Wrong("wrong", "ERROR without a fault")


class ServerCreate(Scenario):
    short = True

    def prepare(self, site): return {"name": site.name()}
    def request(self, site, st): return site.call("POST", "compute", "/servers", site.server_body(st["name"]))
    check = staticmethod(check_created_server)


class ServerDelete(Scenario):
    short = True

    def prepare(self, site): return {"id": site.new_server()}
    def request(self, site, st): return site.call("DELETE", "compute", "/servers/" + st["id"])

    def check(self, site, st, accepted, mode):
        site.wait_server(st["id"], *(("GONE",) if accepted else ("GONE", "ACTIVE")))


class ServerCreateThenDelete(Scenario):
    """The delete overtakes the create."""
    short = True

    def prepare(self, site): return {"name": site.name()}

    def request(self, site, st):
        status, answer = site.call("POST", "compute", "/servers", site.server_body(st["name"]))
        st["created"] = status < 300
        if not st["created"]:
            return status, answer
        st["id"] = answer["server"]["id"]
        return site.call("DELETE", "compute", "/servers/" + st["id"])

    def check(self, site, st, accepted, mode):
        if accepted:
            site.wait_server(st["id"], "GONE")
        else:                                        # the delete may have been taken without an answer
            check_created_server(site, st, False, mode)


class Action(Scenario):
    def __init__(self, name, body, before, after):
        self.name, self.body, self.before, self.after = name, body, before, after

    def prepare(self, site):
        s = site.new_server()
        if self.before == "SHUTOFF":
            site.must("POST", "compute", "/servers/%s/action" % s, {"os-stop": None})
            site.wait_server(s, "SHUTOFF")
        return {"id": s}

    def request(self, site, st): return site.call("POST", "compute", "/servers/%s/action" % st["id"], self.body)

    def check(self, site, st, accepted, mode):
        allowed = {self.after} if accepted and mode != "fatal" else {self.before, self.after, "ERROR"}
        site.wait_server(st["id"], *allowed)


class NetworkCreate(Scenario):
    """Network, subnet, and the port of a server on it."""

    def prepare(self, site): return {"name": site.name()}

    def request(self, site, st):
        n = site.must("POST", "network", "/networks", {"network": {"name": st["name"]}})["network"]["id"]
        st["network"] = n
        site.must("POST", "network", "/subnets", {"subnet": {"network_id": n, "ip_version": 4, "cidr": "10.8.0.0/24"}})
        body = site.server_body(st["name"])
        body["server"]["networks"] = [{"uuid": n}]
        return site.call("POST", "compute", "/servers", body)

    def act(self, site, st):
        try:
            return super().act(site, st)
        except Wrong:
            return False

    check = staticmethod(check_created_server)


class NetworkDelete(Scenario):
    def prepare(self, site):
        st = {"name": site.name()}
        NetworkCreate().request(site, st)
        s = site.find("compute", "servers", st["name"])["id"]
        site.wait_server(s, "ACTIVE")
        site.must("DELETE", "compute", "/servers/" + s)
        site.wait_server(s, "GONE")
        return st

    def request(self, site, st): return site.call("DELETE", "network", "/networks/" + st["network"])

    def check(self, site, st, accepted, mode):
        if accepted and site.find("network", "networks", st["name"]):
            raise Wrong("lost", "the network was deleted and is there")


class SubnetCreate(Scenario):
    """A second subnet on a network that a guest uses: the host's DHCP changes."""

    def prepare(self, site): return {"id": site.new_server(), "name": site.name()}

    def request(self, site, st):
        return site.call("POST", "network", "/subnets",
                         {"subnet": {"network_id": site.network, "ip_version": 4, "cidr": "10.10.0.0/24", "name": st["name"]}})

    def check(self, site, st, accepted, mode):
        row = site.find("network", "subnets", st["name"])
        if accepted and not row:
            raise Wrong("lost", "the subnet was accepted and is not there")
        if row:
            site.must("DELETE", "network", "/subnets/" + row["id"])


class GroupRule(Scenario):
    """A rule more in a group that a running guest has."""

    def prepare(self, site):
        g = site.post("network", "/security-groups", {"security_group": {"name": site.name()}})["security_group"]["id"]
        body = site.server_body(site.name())
        body["server"]["security_groups"] = [{"name": g}]
        s = site.post("compute", "/servers", body)["server"]["id"]
        site.wait_server(s, "ACTIVE")
        return {"group": g, "id": s}

    def request(self, site, st):
        rule = {"security_group_id": st["group"], "direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
        return site.call("POST", "network", "/security-group-rules", {"security_group_rule": rule})

    def check(self, site, st, accepted, mode):
        rules = site.get("network", "/security-groups/" + st["group"])["security_group"]["security_group_rules"]
        wanted = any(r["protocol"] == "tcp" for r in rules)
        if accepted and not wanted:
            raise Wrong("lost", "the rule was accepted and is not there")
        with open(os.path.join(site.cloud.world, "groups", st["group"])) as f:
            on_host = any(r["protocol"] == 6 for r in json.load(f)["rules"])
        if on_host != wanted:
            raise Wrong("lost", "the host's rules are not the rows': row %s, host %s" % (wanted, on_host))


class QosRule(Scenario):
    """A running guest's policy gets a rule."""

    def prepare(self, site):
        p = site.post("network", "/qos/policies", {"policy": {"name": site.name(), "shared": True}}, site.admin)["policy"]["id"]
        s = site.post("compute", "/servers", site.server_body(site.name()))["server"]["id"]
        site.wait_server(s, "ACTIVE")
        port = site.get("network", "/ports?device_id=" + s)["ports"][0]["id"]
        site.must("PUT", "network", "/ports/" + port, {"port": {"qos_policy_id": p}})
        return {"policy": p, "port": port, "id": s}

    def request(self, site, st):
        return site.call("POST", "network", "/qos/policies/%s/bandwidth_limit_rules" % st["policy"], {"bandwidth_limit_rule": {"max_kbps": 5000}},
                         client=site.admin)

    def check(self, site, st, accepted, mode):
        wanted = bool(site.get("network", "/qos/policies/" + st["policy"])["policy"]["rules"])
        if accepted and not wanted:
            raise Wrong("lost", "the rule was accepted and is not there")
        with open(os.path.join(site.cloud.world, "ports", st["port"])) as f:
            on_host = (json.load(f).get("qos") or {}).get("egress_kbps") == 5000
        if on_host != wanted:
            raise Wrong("lost", "the host's limit is not the rows': row %s, host %s" % (wanted, on_host))


class TrunkSubport(Scenario):
    """A running guest's trunk gets a subport."""

    def prepare(self, site):
        ports = [site.post("network", "/ports", {"port": {"network_id": site.network, "name": site.name()}})["port"]["id"] for _ in range(2)]
        t = site.post("network", "/trunks", {"trunk": {"port_id": ports[0], "name": site.name()}})["trunk"]["id"]
        body = site.server_body(site.name())
        body["server"]["networks"] = [{"port": ports[0]}]
        s = site.post("compute", "/servers", body)["server"]["id"]
        site.wait_server(s, "ACTIVE")
        return {"trunk": t, "port": ports[1], "id": s}

    def request(self, site, st):
        subs = [{"port_id": st["port"], "segmentation_type": "vlan", "segmentation_id": 10}]
        return site.call("PUT", "network", "/trunks/%s/add_subports" % st["trunk"], {"sub_ports": subs})

    def check(self, site, st, accepted, mode):
        wanted = bool(site.get("network", "/trunks/" + st["trunk"])["trunk"]["sub_ports"])
        if accepted and not wanted:
            raise Wrong("lost", "the subport was accepted and is not there")
        if (st["port"] in site.world("ports")) != wanted:
            raise Wrong("lost", "the subport on the host is not the rows': row %s, host %s" % (wanted, site.world("ports")))
        site.must("DELETE", "network", "/trunks/" + st["trunk"])
        site.settle()


class PortCreate(Scenario):
    def prepare(self, site): return {"name": site.name()}
    def request(self, site, st): return site.call("POST", "network", "/ports", {"port": {"network_id": site.network, "name": st["name"]}})

    def check(self, site, st, accepted, mode):
        if accepted and not site.find("network", "ports", st["name"]):
            raise Wrong("lost", "the port was accepted and is not there")


class ImageUpload(Scenario):
    def prepare(self, site): return {"name": site.name()}

    def request(self, site, st):
        status, answer = site.call("POST", "image", "/images", {"name": st["name"], "disk_format": "raw", "container_format": "bare"})
        if status >= 300:
            return status, answer
        return site.call("PUT", "image", "/images/%s/file" % answer["id"], raw=b"\1" * 200000)

    def check(self, site, st, accepted, mode):
        rows = [i for i in site.get("image", "/images")["images"] if i["name"] == st["name"]]
        if accepted and (not rows or rows[0]["status"] != "active"):
            raise Wrong("lost", "the image was accepted and is %s" % (rows and rows[0]["status"]))
        if rows and rows[0]["status"] not in ("active", "queued"):
            raise Wrong("stuck", "the image is " + rows[0]["status"])


class ImageDelete(Scenario):
    def prepare(self, site): return {"id": site.make_image(site.name())}
    def request(self, site, st): return site.call("DELETE", "image", "/images/" + st["id"])

    def check(self, site, st, accepted, mode):
        status, _ = site.call("GET", "image", "/images/" + st["id"])
        if accepted and status != 404:
            raise Wrong("lost", "the image was deleted and answers %d" % status)


class HostReboot(Scenario):
    """Everything but disks and database is wiped, and the agent comes back: the comparison's work, which may take a second one."""
    sync_s = 4

    def prepare(self, site): return {"id": site.new_server()}

    def request(self, site, st):
        wire.call(site.cloud.run + "/agent.sock", "fake.reboot")
        if site.cloud.agent.poll() is None:
            site.cloud.kill_agent()
        site.cloud.start_agent(env=site.env("agent"))
        site.cloud.wait(site.host_is_up, 10, "the agent")
        time.sleep(0.3)
        return 200, None

    def check(self, site, st, accepted, mode):
        site.wait_server(st["id"], "ACTIVE", *(("SHUTOFF", "ERROR") if mode == "fatal" else ()))


def new_router(site, name):
    """A router with a gateway, an interface, a floating IP and a forwarding; → ids."""
    out = site.get("network", "/networks?router:external=true")["networks"][0]["id"]
    n = site.post("network", "/networks", {"network": {"name": name}})["network"]["id"]
    s = site.post("network", "/subnets", {"subnet": {"network_id": n, "ip_version": 4, "cidr": "10.20.0.0/24"}})["subnet"]["id"]
    ports = [site.post("network", "/ports", {"port": {"network_id": n}})["port"]["id"] for _ in range(2)]
    r = site.post("network", "/routers", {"router": {"name": name, "external_gateway_info": {"network_id": out}}})["router"]["id"]
    site.must("PUT", "network", "/routers/%s/add_router_interface" % r, {"subnet_id": s})
    a = site.post("network", "/floatingips", {"floatingip": {"floating_network_id": out, "port_id": ports[0]}})["floatingip"]["id"]
    b = site.post("network", "/floatingips", {"floatingip": {"floating_network_id": out}})["floatingip"]["id"]
    site.post("network", "/floatingips/%s/port_forwardings" % b,
              {"port_forwarding": {"protocol": "tcp", "internal_port_id": ports[1], "internal_port": 22, "external_port": 2222}})
    return {"name": name, "network": n, "router": r, "floating": a}


def routers_swept(site):
    """Takes apart what new_router made, in the order in which it can be."""
    for f in site.get("network", "/floatingips")["floatingips"]:
        for w in f["port_forwardings"]:
            site.must("DELETE", "network", "/floatingips/%s/port_forwardings/%s" % (f["id"], w["id"]))
        site.must("DELETE", "network", "/floatingips/" + f["id"])
    for p in site.get("network", "/ports?device_owner=network:router_interface")["ports"]:
        site.must("PUT", "network", "/routers/%s/remove_router_interface" % p["device_id"], {"port_id": p["id"]})
    for r in site.get("network", "/routers")["routers"]:
        site.must("DELETE", "network", "/routers/" + r["id"])


class RouterScenario(Scenario):
    """Several requests: a refusal on the way is a request that was not accepted."""

    def act(self, site, st):
        try:
            return super().act(site, st)
        except Wrong:
            return False

    def there(self, site, router):
        with open(os.path.join(site.cloud.world, "routers", router)) as f:
            return json.load(f)


class RouterCreate(RouterScenario):
    def prepare(self, site): return {"name": site.name()}

    def request(self, site, st):
        new_router(site, st["name"])
        return 201, None

    def check(self, site, st, accepted, mode):
        r = site.find("network", "routers", st["name"])
        if not accepted:
            return
        if not r:
            raise Wrong("lost", "the router was accepted and is not there")
        site.settle()
        there = self.there(site, r["id"])
        if (len(there["interfaces"]), len(there["floating"]), len(there["forwardings"])) != (1, 1, 1) or not there["gateway"]:
            raise Wrong("wrong", "the host has another router than the rows: %s" % there)
        down = [f["id"] for f in site.get("network", "/floatingips")["floatingips"] if f["status"] != "ACTIVE"]
        if down:
            raise Wrong("wrong", "floating IPs are not in force: %s" % down)


class RouterDelete(RouterScenario):
    """The whole of it is taken apart."""

    def prepare(self, site): return new_router(site, site.name())

    def request(self, site, st):
        routers_swept(site)
        return 204, None

    def check(self, site, st, accepted, mode):
        site.settle()
        if accepted and (site.find("network", "routers", st["name"]) or st["router"] in site.world("routers")):
            raise Wrong("lost", "the router was deleted and is there")


class RouterLeave(RouterScenario):
    """An administrator takes it away from its host."""

    def prepare(self, site): return new_router(site, site.name())

    def request(self, site, st):
        agent = site.get("network", "/agents?agent_type=L3%20agent", site.admin)["agents"][0]["id"]
        return site.call("DELETE", "network", "/agents/%s/l3-routers/%s" % (agent, st["router"]), client=site.admin)

    def check(self, site, st, accepted, mode):
        site.settle()
        rows = site.get("network", "/routers/%s/l3-agents" % st["router"], site.admin)["agents"]
        if bool(rows) != (st["router"] in site.world("routers")):
            raise Wrong("wrong", "the router is on %s, and the host has %s" % (rows, site.world("routers")))


class FloatingMove(RouterScenario):
    def prepare(self, site):
        st = new_router(site, site.name())
        st["port"] = site.post("network", "/ports", {"port": {"network_id": st["network"]}})["port"]
        return st

    def request(self, site, st):
        return site.call("PUT", "network", "/floatingips/" + st["floating"], {"floatingip": {"port_id": st["port"]["id"]}})

    def check(self, site, st, accepted, mode):
        site.settle()
        fixed = site.get("network", "/floatingips/" + st["floating"])["floatingip"]["fixed_ip_address"]
        there = self.there(site, st["router"])["floating"]
        if [f["fixed"] for f in there] != [fixed] or (accepted and fixed != st["port"]["fixed_ips"][0]["ip_address"]):
            raise Wrong("wrong", "the floating IP leads to %s, not to %s" % (there, fixed))


SCENARIOS = {
    "server.create": ServerCreate(),
    "server.delete": ServerDelete(),
    "server.create+delete": ServerCreateThenDelete(),
    "server.stop": Action("os-stop", {"os-stop": None}, "ACTIVE", "SHUTOFF"),
    "server.start": Action("os-start", {"os-start": None}, "SHUTOFF", "ACTIVE"),
    "server.reboot-hard": Action("reboot", {"reboot": {"type": "HARD"}}, "ACTIVE", "ACTIVE"),
    "server.reboot-soft": Action("reboot", {"reboot": {"type": "SOFT"}}, "ACTIVE", "ACTIVE"),
    "network.create": NetworkCreate(),
    "network.delete": NetworkDelete(),
    "subnet.create": SubnetCreate(),
    "port.create": PortCreate(),
    "security-group.rule": GroupRule(),
    "qos.rule": QosRule(),
    "trunk.subport": TrunkSubport(),
    "router.create": RouterCreate(),
    "router.delete": RouterDelete(),
    "router.leave": RouterLeave(),
    "floating.move": FloatingMove(),
    "image.upload": ImageUpload(),
    "image.delete": ImageDelete(),
    "host.reboot": HostReboot(),
}


# ---- running -------------------------------------------------------------------------------------------------

def trace_points(site, scenario):
    """(process, point) of all points that the scenario passes, in order; a repeated one also at its second passing."""
    st = scenario.prepare(site)
    site.settle()
    before = {p: len(site.traced(p)) for p in site.trace}
    accepted = scenario.act(site, st)
    site.settle()
    points = []
    for process in ("serve", "agent"):
        seen = collections.Counter(site.traced(process)[before[process]:])
        for name, n in seen.items():
            points += [(process, "%s@%d" % (name, k)) for k in range(1, min(n, 2) + 1)]
    scenario.check(site, st, accepted, "none")
    if not accepted:
        raise Wrong("wrong", "without any fault the request was refused: %s %s" % (st.get("status"), st.get("answer")))
    site.sweep()
    return points


def run_one(site, scenario, process, point, mode):
    """One fault.  Whether it took place."""
    st = scenario.prepare(site)
    site.settle()
    site.arm(process, "%s:%s" % (point, mode))
    before = len(site.traced(process))
    accepted = scenario.act(site, st)
    end = time.monotonic() + SETTLE_S
    name = point.rsplit("@", 1)[0]
    hit = False
    while time.monotonic() < end and not hit:
        if mode == "kill":
            hit = site.cloud.serve.poll() is not None or site.cloud.agent.poll() is not None
        else:
            hit = site.traced(process)[before:].count(name) >= int(point.rsplit("@", 1)[1])
        if not hit and site.is_idle():
            break
        time.sleep(0.01)
    site.restart_dead()
    site.settle()
    site.disarm()
    scenario.check(site, st, accepted, mode)
    site.settle()
    site.compare()
    site.sweep()
    return hit


class Totals:
    def __init__(self):
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.failures = []

    def add(self, **counts):
        with self.lock:
            self.counts.update(counts)

    def fail(self, text, kind):
        with self.lock:
            self.counts[kind] += 1
            self.failures.append(text)
            print("FAILED " + text, flush=True)


def close(site, totals, sites):
    if site:
        sites.remove(site)
        for line in site.close():
            totals.fail(line, "wrong")


def site_for(site, scenario, totals, sites):
    """site itself, or a new one where the scenario needs other settings."""
    if site and site.sync_s == scenario.sync_s:
        return site
    close(site, totals, sites)
    sites.append(Site(scenario.sync_s))
    return sites[-1]


def work(jobs, totals, sites):
    """Takes jobs until none is left; a failure costs the site, the next job gets a new one."""
    site = None
    while True:
        with totals.lock:
            if not jobs:
                break
            name, process, point, mode = jobs.popleft()
        try:
            site = site_for(site, SCENARIOS[name], totals, sites)
            hit = run_one(site, SCENARIOS[name], process, point, mode)
            totals.add(injected=1, survived=1) if hit else totals.add(missed=1)
        except Exception as e:                       # noqa: BLE001 -- anything else that goes wrong is a failure too
            text = "%s %s %s:%s: %s %s" % (name, process, point, mode, type(e).__name__, e)
            totals.add(injected=1)
            totals.fail(text + ("" if isinstance(e, Wrong) else "\n" + traceback.format_exc()), e.kind if isinstance(e, Wrong) else "wrong")
            if site and os.environ.get("NUVOLET_KEEP"):
                print(site.cloud.tail(3000))
            close(site, totals, sites)
            site = None
    close(site, totals, sites)


def plan(names, totals, sites):
    """All (scenario, process, point, mode); traces run on one site."""
    jobs = collections.deque()
    site = None
    for name in names:
        try:
            site = site_for(site, SCENARIOS[name], totals, sites)
            points = trace_points(site, SCENARIOS[name])
        except Exception as e:                       # noqa: BLE001
            totals.fail("%s without faults: %s %s" % (name, type(e).__name__, e), "wrong")
            close(site, totals, sites)
            site = None
            continue
        modes = {m: [(name, p, q, m) for p, q in points] for m in MODES}
        for m in MODES:
            jobs.extend(modes[m])
        print("%-22s %3d points" % (name, len(points)), flush=True)
    close(site, totals, sites)
    return jobs


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--short", action="store_true")
    ap.add_argument("--only", default="")
    ap.add_argument("--mode", default="")
    ap.add_argument("--workers", type=int, default=4)
    args = ap.parse_args()
    names = [n for n, s in SCENARIOS.items() if (s.short or not args.short) and args.only in n]
    totals, sites, begin = Totals(), [], time.monotonic()
    try:
        jobs = plan(names, totals, sites)
        jobs = collections.deque(j for j in jobs if args.mode in j[3])
        planned = len(jobs)
        with concurrent.futures.ThreadPoolExecutor(args.workers) as pool:
            for f in [pool.submit(work, jobs, totals, sites) for _ in range(args.workers)]:
                f.result()
    finally:
        for site in list(sites):
            site.close()
    c = totals.counts
    print("faults injected=%d survived=%d lost_accepted=%d leaked=%d stuck=%d wrong=%d not_passed=%d in %.0f s" %
          (c["injected"], c["survived"], c["lost"], c["leaked"], c["stuck"], c["wrong"], c["missed"], time.monotonic() - begin))
    if c["missed"] * 5 > planned:
        totals.fail("too many faults were never passed: the test has lost its teeth", "wrong")
    print("%d passed, %d failed, 0 skipped" % (c["survived"], len(totals.failures)))
    return 1 if totals.failures or not c["survived"] else 0


if __name__ == "__main__":
    sys.exit(main())
