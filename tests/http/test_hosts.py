"""tests/http/test_hosts.py -- two hosts: servers are spread, a host that is away takes none, and what was asked of it meanwhile happens when it is back."""
import os
import subprocess
import unittest

import cloud as cloudlib


class Hosts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.agents = {}
        cls.cloud = cloudlib.Cloud(agent=False, options={"hosts.sync_s": "2", "log.level": "info", "hosts.agents": "h1=unix:%s;h2=unix:%s" % cls.sockets()})
        cls.addClassCleanup(cls.end)
        for name in ("h1", "h2"):
            cls.start(name)
        cls.admin, cls.demo = cls.cloud.login("admin"), cls.cloud.login("demo")
        cls.cloud.wait(lambda: len([s for s in cls.services() if s["state"] == "up"]) == 2, 10, "both hosts")
        net = cls.demo.post("/network/v2.0/networks", {"network": {"name": "n"}}).json["network"]["id"]
        cls.demo.post("/network/v2.0/subnets", {"subnet": {"network_id": net, "ip_version": 4, "cidr": "10.0.0.0/24"}})
        cls.image = cls.demo.post("/image/v2/images", {"name": "i", "disk_format": "raw", "container_format": "bare"}).json["id"]
        cls.demo.put("/image/v2/images/%s/file" % cls.image, raw=b"\0" * 4096, headers={"Content-Type": "application/octet-stream"})
        flavor = {"flavor": {"name": "f", "ram": 64, "vcpus": 1, "disk": 1}}
        cls.flavor, cls.net = cls.admin.post("/compute/v2.1/flavors", flavor).json["flavor"]["id"], net

    @classmethod
    def sockets(cls):
        import tempfile
        cls.dir = tempfile.mkdtemp(prefix="nuvolet-hosts-")
        os.chmod(cls.dir, 0o711)
        return cls.dir + "/h1.sock", cls.dir + "/h2.sock"

    @classmethod
    def start(cls, name):
        log = open(cls.cloud.top + "/agent.log", "ab")
        path = "%s/%s.sock" % (cls.dir, name)
        if os.path.exists(path):
            os.unlink(path)
        cls.agents[name] = subprocess.Popen([cloudlib.FAKE_AGENT, path, cls.dir + "/" + name, "--name", name], stderr=log)
        log.close()

    @classmethod
    def kill(cls, name):
        cls.agents[name].kill()
        cls.agents[name].wait()

    @classmethod
    def end(cls):
        for p in cls.agents.values():
            p.kill()
            p.wait()
        cls.cloud.stop()
        subprocess.run(["rm", "-rf", cls.dir])

    @classmethod
    def services(cls):
        return [s for s in cls.admin.get("/compute/v2.1/os-services").json["services"] if s["binary"] == "nova-compute"]

    def create(self, n):
        ids = []
        for i in range(n):
            r = self.demo.post("/compute/v2.1/servers", {"server": {"name": "s%d" % i, "flavorRef": self.flavor, "imageRef": self.image,
                                                                     "networks": [{"uuid": self.net}]}})
            self.assertEqual(r.status, 202, r)
            ids.append(r.json["server"]["id"])
        return ids

    def host_of(self, server):
        s = self.admin.get("/compute/v2.1/servers/" + server).json["server"]
        self.assertNotEqual(s["status"], "ERROR", s.get("fault"))
        return s["OS-EXT-SRV-ATTR:host"] if s["status"] == "ACTIVE" else None

    def domains(self, host):
        return set(os.listdir("%s/%s/domains" % (self.dir, host)))

    def test_two_hosts(self):
        first = self.create(6)
        self.cloud.wait(lambda: all(self.host_of(s) for s in first), 10, "six servers")
        hosts = {s: self.host_of(s) for s in first}
        self.assertEqual(set(hosts.values()), {"h1", "h2"}, "the room is spread")
        for h in ("h1", "h2"):
            self.assertEqual(self.domains(h), {s for s in first if hosts[s] == h})

        self.kill("h1")
        self.cloud.wait(lambda: [s["state"] for s in self.services() if s["host"] == "h1"] == ["down"], 10, "h1 being down")
        more = self.create(3)
        self.cloud.wait(lambda: all(self.host_of(s) for s in more), 10, "servers while h1 is away")
        self.assertEqual({self.host_of(s) for s in more}, {"h2"})

        on_h1 = [s for s in first if hosts[s] == "h1"]
        for s in on_h1 + more:
            self.assertEqual(self.demo.delete("/compute/v2.1/servers/" + s).status, 204)
        self.cloud.wait(lambda: all(self.demo.get("/compute/v2.1/servers/" + s).status == 404 for s in more), 10, "deletes on h2")
        for s in on_h1:
            self.assertEqual(self.demo.get("/compute/v2.1/servers/" + s).json["server"]["OS-EXT-STS:task_state"], "deleting")
        ops = self.cloud.ctl("ops").stdout
        self.assertIn("the agent of host h1 is not connected", ops)
        self.assertEqual(self.domains("h1"), set(on_h1))

        self.start("h1")
        self.cloud.wait(lambda: all(self.demo.get("/compute/v2.1/servers/" + s).status == 404 for s in on_h1), 10, "deletes when h1 is back")
        self.assertEqual(self.domains("h1"), set())
        self.cloud.wait(lambda: self.cloud.ctl("doctor").returncode == 0, 10, "a clean doctor")

    N = "/network/v2.0/"

    def network_agents(self, host=None):
        r = self.admin.get(self.N + "agents" + ("?host=" + host if host else ""))
        self.assertEqual(r.status, 200, r)
        return r.json["agents"]

    def again(self, *hosts):
        """The service is started anew with these hosts in its configuration."""
        self.cloud.kill()
        self.cloud.options["hosts.agents"] = ";".join("%s=unix:%s/%s.sock" % (h, self.dir, h) for h in hosts)
        self.cloud.start()
        self.cloud.wait(lambda: [a for a in self.network_agents() if a["alive"]], 10, "an agent")

    def test_agents_of_hosts_that_left(self):
        """A host's network agents are there while the configuration names it, and then until they are deleted."""
        self.cloud.wait(lambda: len([a for a in self.network_agents() if a["alive"]]) == 4, 10, "all agents")
        delete = lambda a: self.admin.delete(self.N + "agents/" + a["id"])
        for a in self.network_agents():
            r = delete(a)
            self.assertEqual(r.status, 409, r)
            self.assertIn("hosts.agents names its host " + a["host"], r.message)
        made = self.create(6)
        self.cloud.wait(lambda: all(self.host_of(s) for s in made), 10, "servers")
        here = [s for s in made if self.host_of(s) == "h2"]
        self.assertTrue(here, "the room is spread")
        one, two = self.network_agents("h2")
        self.assertEqual(self.admin.put(self.N + "agents/" + two["id"], {"agent": {"description": "in the cellar"}}).status, 200)
        self.again("h1")
        left = self.network_agents("h2")
        self.assertEqual([(a["id"], a["alive"]) for a in left], [(one["id"], False), (two["id"], False)])
        self.assertEqual([a["host"] for a in self.admin.get(self.N + "agents?alive=False").json["agents"]], ["h2", "h2"])
        self.assertEqual([a["host"] for a in self.admin.get(self.N + "agents?alive=true").json["agents"]], ["h1", "h1"])
        self.assertEqual(self.admin.get(self.N + "agents?alive=perhaps").status, 400)
        self.assertTrue(all("2" < a["heartbeat_timestamp"] <= b["heartbeat_timestamp"] for a, b in zip(left, self.network_agents("h1"))), left)
        self.assertEqual([(a["host"], a["admin_state_up"]) for a in self.network_agents()], [("h1", True)] * 2 + [("h2", False)] * 2)
        put = lambda up: self.admin.put(self.N + "agents/" + one["id"], {"agent": {"admin_state_up": up}})
        r = put(True)                                      # it is dead until the host is back, whatever anybody wants
        self.assertEqual((r.status, "no longer names host h2" in r.message, "delete" in r.message), (409, True, True), r)
        self.assertFalse(put(False).json["agent"]["admin_state_up"])
        r = delete(one)
        self.assertEqual(r.status, 409, r)
        for s in here:
            self.assertIn("server " + s, r.message)
        router = self.demo.post(self.N + "routers", {"router": {"name": "r"}}).json["router"]["id"]
        l3, = [a for a in self.network_agents("h2") if a["agent_type"] == "L3 agent"]
        self.assertEqual(self.admin.post(self.N + "agents/%s/l3-routers" % l3["id"], {"router_id": router}).status, 409)
        self.again("h1", "h2")
        for s in made:
            self.assertEqual(self.demo.delete("/compute/v2.1/servers/" + s).status, 204)
        self.cloud.wait(lambda: all(self.demo.get("/compute/v2.1/servers/" + s).status == 404 for s in made), 10, "deletes on both hosts")
        self.again("h1")
        self.assertEqual(self.demo.delete(self.N + "agents/" + one["id"]).status, 403)
        self.assertEqual(delete(one).status, 204)
        self.assertEqual([a["host"] for a in self.network_agents()], ["h1", "h1"])
        for a in (one, two):
            self.assertEqual((delete(a).status, self.admin.get(self.N + "agents/" + a["id"]).status), (404, 404))
        self.again("h1", "h2")
        self.cloud.wait(lambda: len([a for a in self.network_agents() if a["alive"]]) == 4, 10, "all agents again")
        self.assertEqual([(a["id"], a["description"]) for a in self.network_agents("h2")], [(one["id"], None), (two["id"], None)])
        self.cloud.wait(lambda: self.cloud.ctl("doctor").returncode == 0, 10, "a clean doctor")


if __name__ == "__main__":
    unittest.main()
