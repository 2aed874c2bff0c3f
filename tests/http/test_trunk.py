"""tests/http/test_trunk.py -- trunks over HTTP: shapes, what may not be a parent or a subport, and what reaches the host."""
import contextlib
import sqlite3
import unittest
import uuid

from test_compute import Base as ComputeBase
from test_network import Base as NetworkBase, N
from world import World

TRUNKS = N + "trunks"


def sub(port, tag, kind="vlan"):
    return {"port_id": port["id"], "segmentation_type": kind, "segmentation_id": tag}


class Trunks(NetworkBase):
    def setUp(self):
        self.parent, self.net = self.port(self.network()), self.network()

    def trunk(self, **attrs):
        return self.ok(self.demo.post(TRUNKS, {"trunk": {"port_id": self.parent["id"], **attrs}}), 201)["trunk"]

    def change(self, t, what, subs, status=200):
        reply = self.demo.put("%s/%s/%s_subports" % (TRUNKS, t["id"], what), {"sub_ports": subs})
        self.assertEqual(reply.status, status, reply)
        return reply.json

    def test_life(self):
        t = self.trunk(name="t", description="d")
        self.assertEqual((t["name"], t["status"], t["admin_state_up"], t["sub_ports"], t["tags"], t["port_id"]),
                         ("t", "DOWN", True, [], [], self.parent["id"]))
        self.assertNotIn("state", t)
        path = TRUNKS + "/" + t["id"]
        u = self.ok(self.demo.put(path, {"trunk": {"name": "u"}}), 200)["trunk"]
        self.assertEqual((u["name"], u["revision_number"]), ("u", t["revision_number"] + 1))
        self.refuse(400, "PUT", "trunks/" + t["id"], {"trunk": {"sub_ports": []}})
        self.refuse(404, "GET", "trunks/" + t["id"], who=self.other)
        self.assertEqual(self.ok(self.other.get(TRUNKS), 200)["trunks"], [])
        self.assertEqual([x["id"] for x in self.ok(self.demo.get(TRUNKS + "?name=u"), 200)["trunks"]], [t["id"]])
        self.assertEqual(self.demo.put(path + "/tags/red").status, 201)
        self.assertEqual(self.demo.delete(path).status, 204)
        self.refuse(404, "GET", "trunks/" + t["id"])

    def test_subports(self):
        a, b = self.port(self.net), self.port(self.net)
        t = self.trunk(sub_ports=[sub(a, 10)])
        self.assertEqual(t["sub_ports"], [sub(a, 10)])
        self.assertEqual(self.change(t, "add", [sub(b, "20")])["sub_ports"], [sub(a, 10), sub(b, 20)])
        self.assertEqual(self.ok(self.demo.get("%s/%s/get_subports" % (TRUNKS, t["id"])), 200), {"sub_ports": [sub(a, 10), sub(b, 20)]})
        shown = self.ok(self.demo.get(N + "ports/" + a["id"]), 200)["port"]
        self.assertEqual((shown["device_owner"], shown["device_id"], shown["trunk_details"]), ("trunk:subport", t["id"], None))
        details = self.ok(self.demo.get(N + "ports/" + self.parent["id"]), 200)["port"]["trunk_details"]
        self.assertEqual(details, {"trunk_id": t["id"], "sub_ports": [{**sub(a, 10), "mac_address": a["mac_address"]},
                                                                     {**sub(b, 20), "mac_address": b["mac_address"]}]})
        for port in (a, self.parent):
            self.assertIn(t["id"], self.refuse(409, "DELETE", "ports/" + port["id"]))
        self.assertEqual(self.change(t, "remove", [{"port_id": a["id"]}])["sub_ports"], [sub(b, 20)])
        self.change(t, "remove", [{"port_id": a["id"]}], 404)
        self.assertEqual(self.ok(self.demo.get(N + "ports/" + a["id"]), 200)["port"]["device_owner"], "")
        self.assertEqual(self.demo.delete(TRUNKS + "/" + t["id"]).status, 204)
        self.assertEqual(self.ok(self.demo.get(N + "ports/" + b["id"]), 200)["port"]["device_id"], "")
        for port in (a, b, self.parent):
            self.assertEqual(self.demo.delete(N + "ports/" + port["id"]).status, 204)

    def test_refused(self):
        a, b = self.port(self.net), self.port(self.net)
        t = self.trunk(sub_ports=[sub(a, 10)])
        nowhere = {"id": str(uuid.uuid4())}
        post = lambda status, port, subs=(): self.refuse(status, "POST", "trunks", {"trunk": {"port_id": port["id"], "sub_ports": list(subs)}})
        post(404, nowhere)
        post(409, self.parent)
        post(409, a)
        post(409, b, [sub(b, 5)])
        post(404, b, [sub(nowhere, 5)])
        post(404, self.port(self.network(self.other), self.other))
        self.refuse(400, "POST", "trunks", {"trunk": {}})
        for subs in ({"port_id": b["id"]}, [{"port_id": b["id"]}], [{"port_id": b["id"], "segmentation_type": "vlan"}], [sub(b, 0)], [sub(b, 4095)],
                     [sub(b, "x")], [sub(b, 5, "gre")], [sub(b, 5), sub(b, 6)], [{"segmentation_type": "vlan", "segmentation_id": 5}],
                     [{**sub(b, 5), "more": 1}], ["x"], [sub(b, 5), sub(self.port(self.net), 5)], [{"port_id": b["id"], "segmentation_type": "inherit"}]):
            self.change(t, "add", subs, 400)
        self.change(t, "add", [sub(b, 10)], 409)
        self.change(t, "add", [sub(self.parent, 11)], 409)
        self.change(t, "add", [sub(a, 11)], 409)
        used = self.port(self.net, device_id="something")
        self.change(t, "add", [sub(used, 11)], 409)
        wide = self.network(mtu=1400)
        t2 = self.ok(self.demo.post(TRUNKS, {"trunk": {"port_id": self.port(wide)["id"]}}), 201)["trunk"]
        self.assertIn("MTU", str(self.change(t2, "add", [sub(b, 11)], 409)))
        self.ok(self.demo.put(TRUNKS + "/" + t["id"], {"trunk": {"admin_state_up": False}}), 200)
        self.change(t, "add", [sub(b, 11)], 409)
        self.change(t, "remove", [sub(a, 10)], 409)
        self.refuse(409, "DELETE", "trunks/" + t["id"])

    def test_a_subport_stays_its_trunks(self):
        b = self.port(self.net)
        t = self.trunk(sub_ports=[sub(b, 10)])
        for attrs in ({"device_id": ""}, {"device_owner": ""}, {"device_id": "", "device_owner": ""}, {"device_id": "mine"}, {"device_owner": "network:dhcp"}):
            who = self.admin if "network:dhcp" in attrs.values() else self.demo
            self.assertIn("currently a subport for trunk " + t["id"], self.refuse(409, "PUT", "ports/" + b["id"], {"port": attrs}, who))
        self.assertIn("currently a subport", self.refuse(409, "PUT", "ports/" + b["id"], {"port": {"binding:host_id": "local"}}, self.admin))
        same = {"name": "b", "device_owner": "trunk:subport", "device_id": t["id"]}
        self.assertEqual(self.ok(self.admin.put(N + "ports/" + b["id"], {"port": same}), 200)["port"]["name"], "b")
        self.change(t, "remove", [{"port_id": b["id"]}])
        self.assertEqual(self.ok(self.demo.put(N + "ports/" + b["id"], {"port": {"device_id": "mine"}}), 200)["port"]["device_id"], "mine")

    def test_quota(self):
        project = self.other.project_id
        self.ok(self.admin.put(N + "quotas/" + project, {"quota": {"trunk": 1}}), 200)
        n = self.network(self.other)
        for status in (201, 409):
            port = self.port(n, self.other)
            self.assertEqual(self.other.post(TRUNKS, {"trunk": {"port_id": port["id"]}}).status, status)


class OnTheHost(World, ComputeBase):
    def port(self, network, **attrs):
        return self.ok(self.demo.post(N + "ports", {"port": {"network_id": network, **attrs}}), 201)["port"]

    def wired(self, port):
        there = self.world("ports").get(port["id"])
        return there and there["parent"]

    def test_subports_follow_their_parent(self):
        one, two = self.make_network(self.demo, "10.81.0.0/24"), self.make_network(self.demo, "10.82.0.0/24")
        parent, a, b = self.port(one), self.port(two), self.port(two)
        t = self.ok(self.demo.post(TRUNKS, {"trunk": {"port_id": parent["id"], "sub_ports": [sub(a, 10)]}}), 201)["trunk"]
        sid, _ = self.boot(networks=[{"port": parent["id"]}])
        self.assertEqual(self.wired(a), {"port_id": parent["id"], "vlan": 10})
        self.assertIsNone(self.wired(parent))
        self.assertIn(two, self.world("networks"))
        shown = self.ok(self.demo.get(N + "ports/" + a["id"]), 200)["port"]
        self.assertEqual(shown["status"], "ACTIVE")
        trunk = lambda: self.ok(self.demo.get(TRUNKS + "/" + t["id"]), 200)["trunk"]
        self.becomes(lambda: trunk()["status"] == "ACTIVE", "the trunk active")
        self.ok(self.demo.put("%s/%s/add_subports" % (TRUNKS, t["id"]), {"sub_ports": [sub(b, 20)]}), 200)
        self.becomes(lambda: self.wired(b) == {"port_id": parent["id"], "vlan": 20}, "the new subport on the host")
        self.ok(self.demo.put("%s/%s/remove_subports" % (TRUNKS, t["id"]), {"sub_ports": [sub(a, 10)]}), 200)
        self.becomes(lambda: a["id"] not in self.world("ports"), "the subport gone")
        self.demo.delete("/compute/v2.1/servers/" + sid)
        self.becomes(lambda: not self.world("ports") and two not in self.world("networks"), "nothing left on the host")
        self.becomes(lambda: self.demo.get("/compute/v2.1/servers/" + sid).status == 404, "the server gone")
        self.assertEqual((trunk()["status"], trunk()["sub_ports"]), ("DOWN", [sub(b, 20)]))
        shown = self.ok(self.demo.get(N + "ports/" + b["id"]), 200)["port"]
        self.assertEqual((shown["status"], shown["device_id"]), ("DOWN", t["id"]))

    def test_no_port_is_both_a_subport_and_a_servers(self):
        """Whatever the port's device says, and however it came to say it."""
        one = self.make_network(self.demo, "10.83.0.0/24")
        a, b = self.port(one), self.port(one)
        t = self.ok(self.demo.post(TRUNKS, {"trunk": {"port_id": self.port(one)["id"], "sub_ports": [sub(a, 10)]}}), 201)["trunk"]
        refused = lambda p: self.demo.post("/compute/v2.1/servers", self.body(networks=[{"port": p["id"]}]))
        self.assertEqual(refused(a).status, 409)
        db = sqlite3.connect(self.cloud.state + "/nuvolet.db", timeout=10)
        with contextlib.closing(db), db:
            db.execute("UPDATE port SET device_id = '', device_owner = '' WHERE id = ?", (a["id"],))
        self.assertEqual(refused(a).status, 409)
        sid, _ = self.boot(networks=[{"port": b["id"]}])
        self.ok(self.demo.put(N + "ports/" + b["id"], {"port": {"device_id": "", "device_owner": ""}}), 200)
        self.assertEqual(self.demo.put("%s/%s/add_subports" % (TRUNKS, t["id"]), {"sub_ports": [sub(b, 20)]}).status, 409)
        self.assertEqual(self.demo.delete(TRUNKS + "/" + t["id"]).status, 204)
        self.assertEqual(self.cloud.doctor(), "")
        self.demo.delete("/compute/v2.1/servers/" + sid)
        self.becomes(lambda: self.demo.get("/compute/v2.1/servers/" + sid).status == 404, "the server gone")

    def test_the_port_of_a_server_without_a_host_is_no_subport(self):
        """The port says nothing of the server any more, and there is no host yet that it could say."""
        one = self.make_network(self.demo, "10.84.0.0/24")
        mine = self.port(one)
        t = self.ok(self.demo.post(TRUNKS, {"trunk": {"port_id": self.port(one)["id"]}}), 201)["trunk"]
        self.cloud.kill_agent()
        try:
            self.cloud.wait(lambda: not any(a["alive"] for a in self.admin.get(N + "agents").json["agents"]), what="the agent's end")
            sid = self.create(networks=[{"port": mine["id"]}])
            bare = self.ok(self.demo.put(N + "ports/" + mine["id"], {"port": {"device_id": "", "device_owner": ""}}), 200)["port"]
            host = self.ok(self.admin.get(N + "ports/" + mine["id"]), 200)["port"]["binding:host_id"]
            refused = self.demo.put("%s/%s/add_subports" % (TRUNKS, t["id"]), {"sub_ports": [sub(mine, 20)]})
        finally:
            self.cloud.start_agent()
        self.assertEqual((bare["device_id"], host), ("", ""))
        self.assertEqual((refused.status, "attached device " + sid in refused.message), (409, True), refused)
        self.settled(sid)
        self.remove(sid)

    def test_a_server_that_goes_leaves_the_port_it_made_to_the_trunk(self):
        sid, port = self.boot()
        t = self.ok(self.demo.post(TRUNKS, {"trunk": {"port_id": port["id"]}}), 201)["trunk"]
        self.assertEqual(t["status"], "ACTIVE")
        self.demo.delete("/compute/v2.1/servers/" + sid)
        self.becomes(lambda: self.demo.get("/compute/v2.1/servers/" + sid).status == 404, "the server gone")
        self.assertEqual(self.ok(self.demo.get(N + "ports/" + port["id"]), 200)["port"]["device_id"], "")
        self.assertEqual(self.demo.delete(TRUNKS + "/" + t["id"]).status, 204)
        self.assertEqual(self.demo.delete(N + "ports/" + port["id"]).status, 204)


del ComputeBase, NetworkBase

if __name__ == "__main__":
    unittest.main()
