"""tests/crash/scene.py -- what crash tests share: a site (a cloud with a tenant, whose processes die and come back), its promises, a scenario's form."""
import base64
import http.client
import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import cloud as cloudlib  # noqa: E402
import wire  # noqa: E402

SETTLE_S = 10
SERVICES = {"compute": "/compute/v2.1", "network": "/network/v2.0", "image": "/image/v2"}


class Wrong(Exception):
    """A broken promise; kind is the counter it goes to: lost, leaked, stuck, wrong."""

    def __init__(self, kind, text):
        super().__init__(text)
        self.kind = kind


class Site:
    """One cloud with a tenant, a network, an image and a flavor, on one host or several, each smaller than the one before; calls are never repeated
    by themselves."""

    def __init__(self, sync_s, options=None, hosts=1):
        self.sync_s, self.hosts = sync_s, hosts
        options = dict({"hosts.sync_s": str(sync_s), "log.level": "info", "network.physical": "lab:eth1:100-199"}, **(options or {}))
        self.cloud = cloudlib.Cloud(options=options, agent=False, agent_args=("--tunnel", "10.66.0.1", "--physical", "lab"))
        self.names = 0
        self.prefix = "c%x" % id(self)
        self.trace = {"serve": self.cloud.top + "/serve.trace", "agent": self.cloud.top + "/agent.trace"}
        self.agents = [None] * hosts
        self.sockets = [self.cloud.run + "/agent.sock"] + ["%s/h%d.sock" % (self.cloud.run, n + 1) for n in range(1, hosts)]
        self.worlds = [self.cloud.world] + ["%s/world-h%d" % (self.cloud.top, n + 1) for n in range(1, hosts)]
        self.cloud.options["hosts.agents"] = ";".join("h%d=unix:%s" % (n + 1, s) for n, s in enumerate(self.sockets))
        try:
            self.begin()
        except BaseException:                        # nobody else has it yet
            self.end_agents()
            self.cloud.stop(check=False)
            raise

    def begin(self):
        self.restart_serve(kill=True)
        for n in range(self.hosts):
            self.start_agent(n)
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

    def start_agent(self, n=0):
        """Cloud starts and ends the first one; the others are ours."""
        if n == 0:
            self.cloud.start_agent(env=self.env("agent"))
            self.agents[0] = self.cloud.agent
            return
        if os.path.exists(self.sockets[n]):
            os.unlink(self.sockets[n])
        size = ["--name", "h%d" % (n + 1), "--tunnel", "10.66.0.%d" % (n + 1), "--vcpus", str(64 >> n), "--memory-mb", str(65536 >> n)]
        self.agents[n] = subprocess.Popen([cloudlib.FAKE_AGENT, self.sockets[n], self.worlds[n]] + size, env=dict(os.environ, **self.env("agent")),
                                          stderr=self.cloud.agent_log)
        self.cloud.wait(lambda: os.path.exists(self.sockets[n]), 10, "agent h%d" % (n + 1))
        os.chmod(self.sockets[n], 0o666)

    def kill_agents(self):
        for agent in self.agents:
            agent.kill()
            agent.wait()

    def somebody_died(self):
        return any(p.poll() is not None for p in [self.cloud.serve] + self.agents)

    def restart_dead(self):
        """Starts again what a fault killed; whether something was dead."""
        dead = False
        for n, agent in enumerate(self.agents):
            if agent.poll() is not None:
                self.start_agent(n)
                dead = True
        if self.cloud.serve.poll() is not None:
            self.restart_serve()
            dead = True
        return dead

    def arm(self, process, spec):
        if process == "serve":
            self.control("fault", spec=spec)
        for path in self.sockets if process == "agent" else ():
            wire.call(path, "fake.fault", spec=spec)

    def spoil(self, scenario, tried=None):
        """Arms the scenario's own faults, besides the one that is tried."""
        for n, spec in enumerate(scenario.spoil):
            wire.call(self.sockets[n], "fake.fault", spec=",".join(filter(None, (tried, spec))))

    def disarm(self):
        self.arm("serve", "")
        self.arm("agent", "")

    def calm(self, scenario):
        """Takes the fault that is tried from the agents that live on, once it has killed one: one death is what is tried."""
        for n, agent in enumerate(self.agents):
            if agent.poll() is None:
                try:
                    wire.call(self.sockets[n], "fake.fault", spec=scenario.spoil[n] if n < len(scenario.spoil) else "")
                except (OSError, wire.WireError):
                    pass                                     # it was dying too

    def traced(self, process):
        with open(self.trace[process]) as f:
            return f.read().split("\n")[:-1]

    def host_is_up(self):
        agents = self.control("status")["agents"]
        hosts = self.control("status")["hosts"]
        return bool(hosts) and all(a["up"] for a in agents)

    def is_idle(self):
        """Nothing live, nothing to compare; False too when a process is just dying."""
        try:
            return not self.control("ops")["operations"] and all(a["compared"] for a in self.control("status")["agents"])
        except (OSError, wire.WireError):
            return False

    def control(self, verb, **args):
        return wire.call(self.cloud.run + "/control.sock", verb, **args)

    def end_agents(self):
        """All but the first, which the cloud ends."""
        for agent in filter(None, self.agents[1:]):
            agent.kill()
            agent.wait()

    def close(self):
        """Ends it; what a sanitizer or an assertion said in its logs."""
        said = []
        for name in ("serve", "agent"):
            with open("%s/%s.log" % (self.cloud.top, name), errors="replace") as f:
                said += [line.strip()[:300] for line in f if re.search(r"ERROR: \w*Sanitizer|runtime error:|Assertion|ERROR \*\*", line)]
        self.end_agents()
        self.points = {line for process in self.trace for line in self.traced(process)}
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
        rows = self.get(service, "/%s?name=%s" % (many if many != "servers" else "servers/detail", name))[many.replace("-", "_")]
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
        """Within ten seconds: hosts that came back are compared, no live operation, and nothing for the doctor to find."""
        end = time.monotonic() + SETTLE_S
        while True:
            compared = all(a["compared"] for a in self.control("status")["agents"])
            live = self.control("ops")["operations"]
            found = None if live or not compared else self.control("doctor", fix=False)["findings"]
            if compared and not live and not found:
                return
            if time.monotonic() > end and live:
                raise Wrong("stuck", "live operations: %s" % [(o["kind"], o["step"], o["waiting"]) for o in live])
            if time.monotonic() > end and not compared:
                raise Wrong("stuck", "the host is not compared with the rows")
            if time.monotonic() > end:
                raise Wrong("leaked", "doctor: %s" % [f["what"] for f in found])
            time.sleep(0.02)

    def world(self, folder):
        paths = [os.path.join(w, folder) for w in self.worlds]
        return {name for path in paths if os.path.isdir(path) for name in os.listdir(path)}

    def thing(self, folder, name, host=0):
        """One object of a host's world, or None."""
        try:
            with open(os.path.join(self.worlds[host], folder, name)) as f:
                return json.load(f)
        except FileNotFoundError:
            return None

    def pushed(self):
        """What operations brought to the hosts, by host, folder and id."""
        all_of = {(h, folder, name): self.thing(folder, name, h) for h in range(self.hosts) for folder in ("networks", "groups", "ports", "routers")
                  for name in self.world(folder)}
        return {k: v for k, v in all_of.items() if v}

    def steady(self):
        """An agent that comes back is told everything again: nothing of it may be news.  What nobody uses any more may go."""
        before, since = self.pushed(), {a["since"] for a in self.control("status")["agents"]}
        self.kill_agents()
        self.restart_dead()
        self.cloud.wait(lambda: self.host_is_up() and not since & {a["since"] for a in self.control("status")["agents"]}, SETTLE_S, "the agents' return")
        self.settle()
        for (host, folder, name), now in self.pushed().items():
            was = before.get((host, folder, name))
            if was != now:
                news = {k: (was.get(k), now[k]) for k in now if was.get(k) != now[k]} if was else now
                raise Wrong("wrong", "the host's %s %s was not as the rows say: %s" % (folder, name, json.dumps(news)[:600]))

    def compare(self):
        """The world against the API, without trusting the doctor."""
        servers = self.get("compute", "/servers/detail?all_tenants=1", self.admin)["servers"]
        whole = {s["id"] for s in servers if s["status"] in ("ACTIVE", "SHUTOFF")}
        known = {s["id"] for s in servers}
        # What failed later than at its creation keeps its disk, and perhaps its domain.
        broken = {s["id"] for s in servers if s["status"] == "ERROR" and s["OS-EXT-SRV-ATTR:host"]}
        ports = {p["id"] for p in self.get("network", "/ports", self.admin)["ports"]
                 if p["device_id"] in known or (p["device_owner"] == "trunk:subport" and p["binding:host_id"])}
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
        self.sweep_network()
        for row in self.get("image", "/images")["images"]:
            if row["name"] and row["name"].startswith(self.prefix):
                self.must("DELETE", "image", "/images/" + row["id"])
        self.settle()
        self.compare()
        for folder in ("domains", "disks", "seeds", "ports", "routers"):
            if self.world(folder):
                raise Wrong("leaked", "%s left after everything was deleted: %s" % (folder, self.world(folder)))


    def sweep_network(self):
        def own(path, many): return [x for x in self.get("network", path, self.admin)[many] if (x["name"] or "").startswith(self.prefix)]
        def gone(path, rows): return [self.must("DELETE", "network", "%s/%s" % (path, x["id"]), client=self.admin) for x in rows]

        self.must("DELETE", "network", "/auto-allocated-topology/None")
        gone("/trunks", own("/trunks", "trunks"))
        routers_swept(self)
        gone("/ports", [p for p in self.get("network", "/ports")["ports"] if p["device_owner"] == ""])
        for path, many in (("/networks", "networks"), ("/security-groups", "security_groups"), ("/address-groups", "address_groups"),
                           ("/subnetpools", "subnetpools"), ("/address-scopes", "address_scopes"), ("/qos/policies", "policies")):
            gone(path, own(path, many))


def routers_swept(site):
    """Takes routers apart, in the order in which it can be."""
    for f in site.get("network", "/floatingips")["floatingips"]:
        for w in f["port_forwardings"]:
            site.must("DELETE", "network", "/floatingips/%s/port_forwardings/%s" % (f["id"], w["id"]))
        site.must("DELETE", "network", "/floatingips/" + f["id"])
    for r in site.get("network", "/routers")["routers"]:
        if r["routes"]:
            site.must("PUT", "network", "/routers/" + r["id"], {"router": {"routes": []}})
    for p in site.get("network", "/ports?device_owner=network:router_interface")["ports"]:
        site.must("PUT", "network", "/routers/%s/remove_router_interface" % p["device_id"], {"port_id": p["id"]})
    for r in site.get("network", "/routers")["routers"]:
        site.must("DELETE", "network", "/routers/" + r["id"])


# ---- scenarios: prepare(site) → state; act(site, state) → accepted (the request's 2xx came back); check(site, state, accepted, mode) ----

class Scenario:
    short = False
    sync_s = 3600                                    # operations alone must bring everything right
    steady = True                                    # an agent that comes back finds nothing to do
    hosts = 1
    spoil = ()                                       # fault rules of the first hosts, besides the one that is tried

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
