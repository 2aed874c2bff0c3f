"""tests/http/test_compute.py -- flavors, keypairs and servers over HTTP, with a stand-in agent: shapes, states, limits, tenants, hostile input."""
import base64
import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
import uuid

from cloud import FAKE_AGENT, Cloud
import wire

V = "/compute/v2.1"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw me@here"


def mv(minor):
    return {"OpenStack-API-Version": "compute 2.%d" % minor}


class Base(unittest.TestCase):
    options = {"compute.shutdown_s": "1", "hosts.sync_s": "1"}
    agent_args = ()

    @classmethod
    def setUpClass(cls):
        cls.cloud = Cloud(options=cls.options, agent_args=cls.agent_args)
        cls.admin, cls.demo = cls.cloud.login("admin"), cls.cloud.login("demo")
        cls.image = cls.make_image(cls.demo)
        cls.network = cls.make_network(cls.demo)
        cls.cloud.wait(lambda: cls.admin.get(V + "/os-services").json["services"], what="the host")

    @classmethod
    def tearDownClass(cls):
        doctor = cls.cloud.ctl("doctor")
        try:
            assert doctor.returncode == 0, doctor.stdout + doctor.stderr
        finally:
            cls.cloud.stop()

    @staticmethod
    def make_image(client, **extra):
        r = client.post("/image/v2/images", dict({"name": "img", "disk_format": "raw", "container_format": "bare"}, **extra))
        assert r.status == 201, r
        r2 = client.put("/image/v2/images/%s/file" % r.json["id"], raw=b"\0" * 65536, headers={"Content-Type": "application/octet-stream"})
        assert r2.status == 204, r2
        return r.json["id"]

    @staticmethod
    def make_network(client, cidr="10.1.0.0/24"):
        n = client.post("/network/v2.0/networks", {"network": {"name": "net-" + uuid.uuid4().hex[:6]}}).json["network"]["id"]
        r = client.post("/network/v2.0/subnets", {"subnet": {"network_id": n, "cidr": cidr, "ip_version": 4}})
        assert r.status == 201, r
        return n

    def body(self, **extra):
        s = {"name": "s", "flavorRef": "1", "imageRef": self.image, "networks": [{"uuid": self.network}]}
        s.update(extra)
        return {"server": {k: v for k, v in s.items() if v is not Ellipsis}}

    def create(self, client=None, **extra):
        r = (client or self.demo).post(V + "/servers", self.body(**extra))
        self.assertEqual(r.status, 202, r)
        return r.json["server"]["id"]

    def show(self, sid, client=None, **kw):
        return (client or self.demo).get(V + "/servers/" + sid, **kw).json["server"]

    def settled(self, sid, status="ACTIVE", client=None):
        def test():
            s = self.show(sid, client)
            return s if s["status"] in (status, "ERROR") and s["OS-EXT-STS:task_state"] is None else None
        s = self.cloud.wait(test, what="status " + status)
        self.assertEqual(s["status"], status, s.get("fault"))
        return s

    def active(self, **extra):
        sid = self.create(**extra)
        self.settled(sid)
        return sid

    def remove(self, sid, client=None):
        client = client or self.demo
        self.assertEqual(client.delete(V + "/servers/" + sid).status, 204)
        self.cloud.wait(lambda: client.get(V + "/servers/" + sid).status == 404, what="delete")

    def action(self, sid, name, body=None, client=None):
        return (client or self.demo).post("%s/servers/%s/action" % (V, sid), {name: body})

    def fake(self, verb, **args):
        return wire.call(self.cloud.run + "/agent.sock", verb, **args)


class Flavors(Base):
    def flavor(self, **extra):
        f = {"name": "f-" + uuid.uuid4().hex[:8], "ram": 128, "vcpus": 1, "disk": 1}
        f.update(extra)
        return {"flavor": {k: v for k, v in f.items() if v is not Ellipsis}}

    def make(self, **extra):
        r = self.admin.post(V + "/flavors", self.flavor(**extra))
        self.assertEqual(r.status, 200, r)
        return r.json["flavor"]

    def test_defaults(self):
        flavors = {f["name"]: f for f in self.demo.get(V + "/flavors/detail").json["flavors"]}
        self.assertEqual(flavors["m1.nano"]["ram"], 128)
        self.assertEqual((flavors["m1.tiny"]["ram"], flavors["m1.tiny"]["disk"]), (512, 1))
        self.assertEqual(flavors["m1.tiny"]["rxtx_factor"], 1.0)

    def test_ids(self):
        self.assertTrue(self.make()["id"])
        self.assertEqual(self.make(id=1234)["id"], "1234")
        self.assertEqual(self.make(id="my.flavor_1-x")["id"], "my.flavor_1-x")
        self.assertTrue(uuid.UUID(self.make(id=None)["id"]))
        self.assertEqual(self.make(ram="256")["ram"], 256)
        self.assertEqual(self.admin.post(V + "/flavors", self.flavor(id="1234")).status, 409)
        name = self.make()["name"]
        self.assertEqual(self.admin.post(V + "/flavors", self.flavor(name=name)).status, 409)

    def test_shapes(self):
        f = self.make(swap=0)
        path = V + "/flavors/" + f["id"]
        old = self.demo.get(path, headers=mv(1)).json["flavor"]
        self.assertEqual(old["swap"], "")
        self.assertNotIn("description", old)
        self.assertNotIn("extra_specs", old)
        self.assertIn("description", self.demo.get(path, headers=mv(55)).json["flavor"])
        new = self.demo.get(path).json["flavor"]
        self.assertEqual((new["swap"], new["extra_specs"]), (0, {}))

    def test_update(self):
        f = self.make()
        path = V + "/flavors/" + f["id"]
        self.assertEqual(self.admin.put(path, {"flavor": {"description": "d"}}, headers=mv(54)).status, 405)
        self.assertEqual(self.admin.put(path, {"flavor": {"description": "d"}}).json["flavor"]["description"], "d")
        self.assertIsNone(self.admin.put(path, {"flavor": {"description": None}}).json["flavor"]["description"])
        self.assertEqual(self.admin.put(path, {"flavor": {"ram": 1}}).status, 400)
        self.assertEqual(self.admin.delete(path).status, 202)
        self.assertEqual(self.admin.get(path).status, 404)

    def test_bad(self):
        for extra in ({"name": ""}, {"name": " x"}, {"name": "x" * 256}, {"name": ...}, {"ram": 0}, {"ram": -1}, {"ram": "x"}, {"ram": 2 ** 31},
                      {"vcpus": 0}, {"vcpus": 1.5}, {"disk": -1}, {"swap": -1}, {"id": ""}, {"id": " x"}, {"id": "a/b"}, {"id": "x" * 256},
                      {"rxtx_factor": 0}, {"rxtx_factor": "x"}, {"os-flavor-access:is_public": "maybe"}, {"bogus": 1}, {"extra_specs": {}}):
            r = self.admin.post(V + "/flavors", self.flavor(**extra))
            self.assertEqual(r.status, 400, (extra, r))
        for body in ({}, {"flavor": []}, {"flavor": None}, [], {"flavor": {}, "x": 1}):
            self.assertEqual(self.admin.post(V + "/flavors", body).status, 400, body)

    def test_rights(self):
        f = self.make()
        path = V + "/flavors/" + f["id"]
        self.assertEqual(self.demo.post(V + "/flavors", self.flavor()).status, 403)
        self.assertEqual(self.demo.delete(path).status, 403)
        self.assertEqual(self.demo.put(path, {"flavor": {"description": "x"}}).status, 403)
        self.assertEqual(self.demo.post(path + "/os-extra_specs", {"extra_specs": {"a": "b"}}).status, 403)
        self.assertEqual(self.cloud.anonymous().get(V + "/flavors").status, 401)

    def test_extra_specs(self):
        path = V + "/flavors/" + self.make()["id"] + "/os-extra_specs"
        self.assertEqual(self.admin.post(path, {"extra_specs": {"hw:a": "1", "n": 5}}).status, 200)
        self.assertEqual(self.demo.get(path).json, {"extra_specs": {"hw:a": "1", "n": "5"}})
        self.assertEqual(self.admin.put(path + "/n", {"n": "6"}).json, {"n": "6"})
        self.assertEqual(self.admin.put(path + "/n", {"m": "6"}).status, 400)
        self.assertEqual(self.admin.put(path + "/n", {"n": "6", "m": "1"}).status, 400)
        self.assertEqual(self.demo.get(path + "/n").json, {"n": "6"})
        self.assertEqual(self.admin.delete(path + "/n").status, 200)
        self.assertEqual(self.admin.delete(path + "/n").status, 404)
        self.assertEqual(self.demo.get(path + "/n").status, 404)
        for bad in ({"a/b": "x"}, {"a": "x" * 256}, {"a": None}, {"a": {}}, {"": "x"}):
            self.assertEqual(self.admin.post(path, {"extra_specs": bad}).status, 400, bad)

    def test_access(self):
        f = self.make(**{"os-flavor-access:is_public": False})
        path = V + "/flavors/" + f["id"]
        ids = lambda c, q="": {x["id"] for x in c.get(V + "/flavors" + q).json["flavors"]}
        self.assertEqual(self.demo.get(path).status, 404)
        self.assertNotIn(f["id"], ids(self.demo))
        self.assertNotIn(f["id"], ids(self.demo, "?is_public=none"))
        self.assertNotIn(f["id"], ids(self.admin))
        self.assertIn(f["id"], ids(self.admin, "?is_public=False"))
        self.assertIn(f["id"], ids(self.admin, "?is_public=None"))
        grant = {"addTenantAccess": {"tenant": self.demo.project_id}}
        self.assertEqual(self.demo.post(path + "/action", grant).status, 403)
        r = self.admin.post(path + "/action", grant)
        self.assertEqual(r.json, {"flavor_access": [{"flavor_id": f["id"], "tenant_id": self.demo.project_id}]})
        self.assertEqual(self.admin.post(path + "/action", grant).status, 409)
        self.assertIn(f["id"], ids(self.demo))
        self.assertEqual(self.demo.get(path).status, 200)
        take = {"removeTenantAccess": {"tenant": self.demo.project_id}}
        self.assertEqual(self.admin.post(path + "/action", take).json, {"flavor_access": []})
        self.assertEqual(self.admin.post(path + "/action", take).status, 404)
        public = V + "/flavors/" + self.make()["id"]
        self.assertEqual(self.admin.get(public + "/os-flavor-access").status, 404)
        self.assertEqual(self.admin.post(public + "/action", grant).status, 409)

    def test_list(self):
        names = [f["name"] for f in self.demo.get(V + "/flavors?minRam=4096&sort_key=memory_mb&sort_dir=desc").json["flavors"]]
        self.assertEqual(names[:3], ["m1.xlarge", "m1.large", "m1.medium"])
        page = self.demo.get(V + "/flavors?limit=2").json
        self.assertEqual(len(page["flavors"]), 2)
        self.assertEqual(page["flavors_links"][0]["rel"], "next")
        nxt = self.demo.get(page["flavors_links"][0]["href"].split("127.0.0.1:%d" % self.cloud.port)[1]).json["flavors"]
        self.assertNotEqual(page["flavors"][1]["id"], nxt[0]["id"])
        for q in ("minRam=x", "minDisk=-1", "limit=-1", "limit=x", "marker=nope", "sort_key=bogus", "sort_dir=sideways", "bogus=1"):
            self.assertEqual(self.demo.get(V + "/flavors?" + q).status, 400, q)


class Keypairs(Base):
    def test_import(self):
        r = self.demo.post(V + "/os-keypairs", {"keypair": {"name": "imported", "public_key": KEY}})
        self.assertEqual(r.status, 201, r)
        self.assertEqual(r.json["keypair"]["type"], "ssh")
        self.assertNotIn("private_key", r.json["keypair"])
        with tempfile.NamedTemporaryFile("w", suffix=".pub") as f:
            f.write(KEY + "\n")
            f.flush()
            out = subprocess.run(["ssh-keygen", "-l", "-E", "md5", "-f", f.name], capture_output=True, text=True).stdout
        self.assertIn("MD5:" + r.json["keypair"]["fingerprint"], out)
        self.assertEqual(self.demo.post(V + "/os-keypairs", {"keypair": {"name": "imported", "public_key": KEY}}).status, 409)
        shown = self.demo.get(V + "/os-keypairs/imported").json["keypair"]
        self.assertEqual((shown["public_key"], shown["deleted"]), (KEY, False))
        self.assertIsInstance(shown["id"], int)
        other = self.cloud.new_tenant()
        self.assertEqual(other.get(V + "/os-keypairs/imported").status, 404)
        self.assertEqual(other.get(V + "/os-keypairs").json, {"keypairs": []})
        self.assertEqual(other.get(V + "/os-keypairs?user_id=" + self.demo.user_id).status, 403)
        self.assertEqual(other.delete(V + "/os-keypairs/imported?user_id=" + self.demo.user_id).status, 403)
        self.assertEqual(len(self.admin.get(V + "/os-keypairs?user_id=" + self.demo.user_id).json["keypairs"]), 1)
        self.assertEqual(self.demo.delete(V + "/os-keypairs/imported").status, 204)
        self.assertEqual(self.demo.delete(V + "/os-keypairs/imported").status, 404)

    def test_generate(self):
        r = self.demo.post(V + "/os-keypairs", {"keypair": {"name": "made"}}, headers=mv(1))
        self.assertEqual(r.status, 200, r)
        self.assertNotIn("type", r.json["keypair"])
        k = r.json["keypair"]
        with tempfile.TemporaryDirectory() as d:
            path = d + "/key"
            with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as f:
                f.write(k["private_key"])
            out = subprocess.run(["ssh-keygen", "-y", "-f", path], capture_output=True, text=True)
        self.assertEqual(out.returncode, 0, out.stderr)
        self.assertEqual(out.stdout.split()[:2], k["public_key"].split()[:2])
        self.assertEqual(self.demo.post(V + "/os-keypairs", {"keypair": {"name": "late"}}).status, 400)       # 2.92: imports only
        self.assertEqual(self.demo.delete(V + "/os-keypairs/made", headers=mv(1)).status, 202)

    def test_bad(self):
        for k in ({"name": ""}, {"name": " x"}, {"name": "a/b"}, {"name": "a;b"}, {"name": "x" * 256}, {"name": 5}, {}, {"public_key": "rsa"},
                  {"public_key": "ssh-rsa AAAA"}, {"public_key": KEY + "\n" + KEY}, {"public_key": 7}, {"type": "pgp"}, {"bogus": 1},
                  {"public_key": "x" * 20000}, {"name": "a@b", "_mv": 2}, {"type": "ssh", "_mv": 1}, {"user_id": "u", "_mv": 2}):
            body = {"name": "bad", "public_key": KEY}
            if k == {}:
                del body["name"]
            body.update(k)
            headers = mv(body.pop("_mv", 93))
            self.assertEqual(self.demo.post(V + "/os-keypairs", {"keypair": body}, headers=headers).status, 400, k)

    def test_pages(self):
        for n in ("p1", "p2", "p3"):
            self.demo.post(V + "/os-keypairs", {"keypair": {"name": n, "public_key": KEY}})
        page = self.demo.get(V + "/os-keypairs?limit=2&marker=p1").json
        self.assertEqual([k["keypair"]["name"] for k in page["keypairs"]], ["p2", "p3"])
        self.assertEqual(self.demo.get(V + "/os-keypairs?marker=nope").status, 400)
        for n in ("p1", "p2", "p3"):
            self.demo.delete(V + "/os-keypairs/" + n)


class Lifecycle(Base):
    def test_whole_life(self):
        self.demo.post(V + "/os-keypairs", {"keypair": {"name": "life", "public_key": KEY}})
        r = self.demo.post(V + "/servers", self.body(name="Web 1", key_name="life", metadata={"a": "b"}, tags=["t1"], description="d",
                                                     user_data=base64.b64encode(b"#!/bin/sh\n").decode(), config_drive=True))
        self.assertEqual(r.status, 202, r)
        sid = r.json["server"]["id"]
        self.assertTrue(r.headers["location"].endswith("/servers/" + sid))
        self.assertEqual(len(r.json["server"]["adminPass"]), 12)
        self.assertEqual(r.json["server"]["security_groups"], [{"name": "default"}])
        s = self.settled(sid)
        self.assertEqual((s["name"], s["OS-EXT-SRV-ATTR:hostname"], s["key_name"], s["config_drive"]), ("Web 1", "web-1", "life", "True"))
        self.assertEqual((s["metadata"], s["tags"], s["description"], s["locked"]), ({"a": "b"}, ["t1"], "d", False))
        address = list(s["addresses"].values())[0][0]
        self.assertTrue(address["addr"].startswith("10.1.0."))
        self.assertEqual((address["version"], address["OS-EXT-IPS:type"]), (4, "fixed"))
        self.assertEqual(s["OS-EXT-STS:power_state"], 1)
        self.assertTrue(os.path.exists(self.cloud.world + "/domains/" + sid))
        self.assertTrue(os.path.exists(self.cloud.world + "/disks/" + sid))
        self.assertTrue(os.path.exists(self.cloud.world + "/seeds/" + sid))
        self.assertEqual(self.action(sid, "os-stop").status, 202)
        s = self.settled(sid, "SHUTOFF")
        self.assertEqual(s["OS-EXT-STS:power_state"], 4)
        self.assertEqual(self.action(sid, "os-stop").status, 409)
        self.assertEqual(self.action(sid, "reboot", {"type": "SOFT"}).status, 409)
        self.assertEqual(self.action(sid, "os-start").status, 202)
        self.settled(sid)
        self.assertEqual(self.action(sid, "os-start").status, 409)
        for kind in ("SOFT", "Hard"):
            self.assertEqual(self.action(sid, "reboot", {"type": kind}).status, 202)
            self.settled(sid)
        history = self.demo.get(V + "/servers/%s/os-instance-actions" % sid).json["instanceActions"]
        self.assertEqual([a["action"] for a in history], ["reboot", "reboot", "start", "stop", "create"])
        one = self.demo.get(V + "/servers/%s/os-instance-actions/%s" % (sid, history[-1]["request_id"])).json["instanceAction"]
        self.assertTrue({e["result"] for e in one["events"]} == {"Success"} and one["events"][0]["hostId"])
        self.remove(sid)
        for folder in ("domains", "disks", "seeds", "ports"):
            self.assertEqual(os.listdir(self.cloud.world + "/" + folder), [])
        self.assertEqual(self.demo.get(V + "/servers/%s/os-instance-actions" % sid, headers=mv(20)).status, 404)
        self.assertEqual(self.demo.get(V + "/servers/%s/os-instance-actions" % sid).json["instanceActions"][0]["action"], "delete")
        gone = self.demo.get(V + "/servers/detail?changes-since=2020-01-01T00:00:00Z").json["servers"]
        self.assertIn((sid, "DELETED"), [(s["id"], s["status"]) for s in gone])
        self.assertEqual(self.demo.get("/network/v2.0/ports?device_id=" + sid).json["ports"], [])

    def test_versions_as_they_are_written(self):
        """Both headers; of several services ours; blanks do not count, anything else does."""
        new, old = "OpenStack-API-Version", "X-OpenStack-Nova-API-Version"
        for name, value, status, got in (
                (new, "compute 2.55", 200, "2.55"), (new, "volume 3.1, compute  2.55 ", 200, "2.55"), (new, "COMPUTE latest", 200, "2.93"),
                (new, "volume 3.1", 200, "2.1"), (new, "computer 2.55", 200, "2.1"), (new, "", 200, "2.1"), (new, ",,compute", 200, "2.1"),
                (new, "compute 2.94", 406, None), (new, "compute 3.1", 406, None), (new, "compute 2", 400, None), (new, "compute 2.", 400, None),
                (new, "compute .1", 400, None), (new, "compute 2.5x", 400, None), (new, "compute +2.5", 400, None), (new, "compute 2.5.1", 400, None),
                (new, "compute 2.00000055", 400, None), (new, "compute " + "9" * 400, 400, None), (new, "compute late", 400, None),
                (old, "2.55", 200, "2.55"), (old, " 2.55 ", 200, "2.55"), (old, "latest", 200, "2.93"), (old, "2.55 x", 400, None)):
            r = self.demo.get(V + "/flavors", headers={new: None, old: None, name: value})
            self.assertEqual(r.status, status, (name, value[:40], r))
            if got:
                self.assertEqual(r.headers["openstack-api-version"], "compute " + got, (name, value))

    def test_shapes(self):
        sid = self.active()
        at = lambda n, c=None: self.show(sid, c, headers=mv(n))
        self.assertEqual(set(at(1)["flavor"]), {"id", "links"})
        self.assertEqual(at(47)["flavor"], {"vcpus": 1, "ram": 512, "disk": 1, "ephemeral": 0, "swap": 0, "original_name": "m1.tiny", "extra_specs": {}})
        for field, since in (("locked", 9), ("description", 19), ("tags", 26), ("trusted_image_certificates", 63), ("server_groups", 71),
                             ("locked_reason", 73), ("OS-EXT-SRV-ATTR:hostname", 90)):
            self.assertNotIn(field, at(since - 1))
            self.assertIn(field, at(since))
        self.assertNotIn("OS-EXT-SRV-ATTR:host", at(93))
        self.assertEqual(at(93, self.admin)["OS-EXT-SRV-ATTR:host"], "local")
        self.assertEqual(at(16, self.admin)["host_status"], "UP")
        self.assertNotIn("OS-EXT-SRV-ATTR:user_data", at(2, self.admin))
        self.assertIn("OS-EXT-SRV-ATTR:user_data", at(3, self.admin))
        self.assertEqual(self.demo.get(V + "/servers/" + sid, headers=mv(94)).status, 406)
        self.remove(sid)

    def test_update(self):
        sid = self.active()
        put = lambda h=93, **kw: self.demo.put(V + "/servers/" + sid, {"server": kw}, headers=mv(h))
        r = put(name="new", description="d", accessIPv4="1.2.3.4", accessIPv6="::1", hostname="h2")
        self.assertEqual(r.status, 200, r)
        s = r.json["server"]
        self.assertEqual((s["name"], s["description"], s["accessIPv4"], s["accessIPv6"], s["OS-EXT-SRV-ATTR:hostname"]), ("new", "d", "1.2.3.4", "::1", "h2"))
        self.assertIn("OS-EXT-STS:vm_state", s)
        self.assertNotIn("OS-EXT-STS:vm_state", put(74, name="old").json["server"])
        for h, bad in ((93, {"name": ""}), (93, {"accessIPv4": "x"}), (93, {"accessIPv4": "::1"}), (93, {"bogus": 1}), (93, {"status": "ACTIVE"}),
                       (18, {"description": "x"}), (89, {"hostname": "x2"}), (93, {"hostname": "a\nb"}), (93, {"OS-DCF:diskConfig": "X"}),
                       (93, {"project_id": "x"}), (93, {"name": "a\u0000b"})):
            self.assertEqual(put(h, **bad).status, 400, bad)
        self.assertEqual(self.show(sid)["name"], "old")
        self.remove(sid)

    def test_metadata_and_tags(self):
        sid = self.active(metadata={"a": "1"})
        path = V + "/servers/" + sid
        self.assertEqual(self.demo.post(path + "/metadata", {"metadata": {"b": "2"}}).json, {"metadata": {"a": "1", "b": "2"}})
        self.assertEqual(self.demo.put(path + "/metadata", {"metadata": {"c": "3"}}).json, {"metadata": {"c": "3"}})
        self.assertEqual(self.demo.put(path + "/metadata/c", {"meta": {"c": "4"}}).json, {"meta": {"c": "4"}})
        self.assertEqual(self.demo.put(path + "/metadata/c", {"meta": {"d": "4"}}).status, 400)
        self.assertEqual(self.demo.get(path + "/metadata/c").json, {"meta": {"c": "4"}})
        self.assertEqual(self.demo.delete(path + "/metadata/c").status, 204)
        self.assertEqual(self.demo.get(path + "/metadata/c").status, 404)
        for bad in ({"x" * 256: "v"}, {"k": "x" * 256}, {"k": 1}, {"": "v"}, {"a\r\nb": "v"}, []):
            self.assertEqual(self.demo.put(path + "/metadata", {"metadata": bad}).status, 400, bad)
        self.assertEqual(self.demo.put(path + "/metadata", {"metadata": {"k%d" % i: "v" for i in range(129)}}).status, 403)
        self.assertEqual(self.demo.get(path + "/tags", headers=mv(25)).status, 404)
        self.assertEqual(self.demo.put(path + "/tags", {"tags": ["a", "b", "a"]}).json, {"tags": ["a", "b"]})
        r = self.demo.put(path + "/tags/c")
        self.assertEqual((r.status, r.headers["location"].endswith("/tags/c")), (201, True))
        self.assertEqual(self.demo.put(path + "/tags/c").status, 204)
        self.assertEqual(self.demo.get(path + "/tags/c").status, 204)
        self.assertEqual(self.demo.delete(path + "/tags/c").status, 204)
        self.assertEqual(self.demo.delete(path + "/tags/c").status, 404)
        for bad in (["x" * 61], ["a,b"], [""], [1], "x", ["t%d" % i for i in range(51)]):
            self.assertEqual(self.demo.put(path + "/tags", {"tags": bad}).status, 400, bad)
        self.assertEqual(self.demo.delete(path + "/tags").status, 204)
        self.assertEqual(self.demo.get(path + "/tags").json, {"tags": []})
        self.remove(sid)

    def test_lock(self):
        sid = self.active()
        self.assertEqual(self.action(sid, "lock", {"locked_reason": "mine"}).status, 202)
        self.assertEqual(self.show(sid)["locked_reason"], "mine")
        for r in (self.action(sid, "os-stop"), self.demo.delete(V + "/servers/" + sid), self.demo.put(V + "/servers/%s/metadata" % sid, {"metadata": {}})):
            self.assertEqual((r.status, r.message), (409, "Instance %s is locked" % sid))
        self.assertEqual(self.action(sid, "unlock").status, 202)
        self.assertEqual(self.action(sid, "lock", client=self.admin).status, 202)
        self.assertEqual(self.action(sid, "unlock").status, 403)
        self.assertEqual(self.action(sid, "unlock", client=self.admin).status, 202)
        self.remove(sid)

    def test_console_and_reset(self):
        sid = self.active()
        self.assertIn("output", self.action(sid, "os-getConsoleOutput", {"length": 10}).json)
        self.assertEqual(self.action(sid, "os-getConsoleOutput", {"length": "x"}).status, 400)
        self.assertEqual(self.action(sid, "os-getConsoleOutput", {"bogus": 1}).status, 400)
        self.assertEqual(self.action(sid, "os-resetState", {"state": "error"}).status, 403)
        self.assertEqual(self.action(sid, "os-resetState", {"state": "error"}, self.admin).status, 202)
        self.assertEqual(self.show(sid)["status"], "ERROR")
        self.assertEqual(self.action(sid, "os-resetState", {"state": "bogus"}, self.admin).status, 400)
        self.assertEqual(self.action(sid, "os-resetState", {"state": "active"}, self.admin).status, 202)
        self.assertEqual(self.show(sid)["status"], "ACTIVE")
        for body in ({"bogus": None}, {}, {"os-stop": None, "os-start": None}, [], None, {"os-stop": 5}, {"reboot": None}, {"reboot": {"type": "WARM"}},
                     {"reboot": {"type": "SOFT", "x": 1}}):
            r = self.demo.post(V + "/servers/%s/action" % sid, body)
            self.assertEqual(r.status, 400, (body, r))
        self.assertEqual(self.action(sid, "forceDelete").status, 202)
        self.cloud.wait(lambda: self.demo.get(V + "/servers/" + sid).status == 404)

    def test_multiple(self):
        r = self.demo.post(V + "/servers", self.body(name="m", min_count=2, max_count="3", return_reservation_id=True))
        self.assertEqual(r.status, 202, r)
        rid = r.json["reservation_id"]
        servers = self.demo.get(V + "/servers?reservation_id=" + rid).json["servers"]
        self.assertEqual({s["name"] for s in servers}, {"m-1", "m-2", "m-3"})
        for s in servers:
            self.settled(s["id"])
            self.remove(s["id"])

    def test_networks(self):
        port = self.demo.post("/network/v2.0/ports", {"port": {"network_id": self.network, "fixed_ips": [{"ip_address": "10.1.0.77"}]}}).json["port"]
        sid = self.active(networks=[{"port": port["id"]}, {"uuid": self.network, "fixed_ip": "10.1.0.78"}])
        addresses = [a["addr"] for a in list(self.show(sid)["addresses"].values())[0]]
        self.assertEqual(addresses, ["10.1.0.77", "10.1.0.78"])
        self.assertEqual([a["addr"] for a in list(self.demo.get(V + "/servers/%s/ips" % sid).json["addresses"].values())[0]], addresses)
        r = self.demo.post(V + "/servers", self.body(networks=[{"port": port["id"]}]))
        self.assertEqual(r.status, 409, r)
        self.remove(sid)
        self.assertEqual(self.demo.get("/network/v2.0/ports/" + port["id"]).json["port"]["device_id"], "")
        self.demo.delete("/network/v2.0/ports/" + port["id"])
        for networks, status in ((Ellipsis, 202), ("none", 202)):
            sid = self.create(networks=networks) if networks == "none" else self.demo.post(V + "/servers", self.body(networks=...), headers=mv(36)).json["server"]["id"]
            self.settled(sid)
            self.remove(sid)

    def test_filters(self):
        a = self.active(name="alpha-1", tags=["x", "y"])
        b = self.active(name="beta.2", tags=["y"], metadata={"k": "v"})
        self.action(b, "os-stop")
        self.settled(b, "SHUTOFF")
        ip = list(self.show(a)["addresses"].values())[0][0]["addr"]
        ids = lambda q: {s["id"] for s in self.demo.get(V + "/servers?" + q).json["servers"]}
        for q, want in (("name=alpha", {a}), ("name=a", {a, b}), ("name=%5Ebeta", {b}), ("name=nope", set()), ("status=ACTIVE", {a}), ("status=shutoff", {b}),
                        ("status=ACTIVE&status=SHUTOFF", {a, b}), ("status=ERROR", set()), ("image=" + self.image, {a, b}), ("image=" + str(uuid.uuid4()), set()),
                        ("flavor=1", {a, b}), ("flavor=zzz", set()), ("ip=%5E" + ip.replace(".", "%2E") + "$", {a}), ("ip=10.1", {a, b}), ("ip=9.9", set()),
                        ("tags=x", {a}), ("tags=y", {a, b}), ("tags=x,y", {a}), ("tags-any=x,z", {a}), ("not-tags=x,y", {b}), ("not-tags-any=x", {b}),
                        ("locked=false", {a, b}), ("locked=true", set()), ("vm_state=active", {a}), ("changes-since=2020-01-01T00:00:00Z&name=alpha", {a}),
                        ("changes-since=2099-01-01T00:00:00Z", set()), ("limit=0", set()), ("name=%5E.*%5C-1$", {a}), ("limit=1000000", {a, b})):
            got = ids(q)
            if q.startswith("changes-since=2020"):
                got &= {a, b}
            self.assertEqual(got, want, q)
        first = self.demo.get(V + "/servers?limit=1&sort_key=display_name&sort_dir=asc").json
        self.assertEqual(first["servers"][0]["id"], a)
        self.assertEqual(ids("sort_key=display_name&sort_dir=asc&marker=" + a), {b})
        self.assertEqual({s["id"] for s in self.demo.get(first["servers_links"][0]["href"].split(":%d" % self.cloud.port)[1]).json["servers"]}, {b})
        for q in ("status=bogus", "limit=-1", "limit=x", "marker=" + str(uuid.uuid4()), "sort_key=bogus", "sort_key=name;DROP%20TABLE%20servers--", "sort_dir=up",
                  "changes-since=yesterday", "bogus=1", "_x=1", "locked=maybe", "all_tenants=maybe", "sort_key=created_at&sort_dir=asc,(select%201)"):
            self.assertEqual(self.demo.get(V + "/servers?" + q).status, 400, q)
        self.assertEqual(self.demo.get(V + "/servers?status=bogus", headers=mv(37)).json, {"servers": []})
        self.assertEqual(self.demo.get(V + "/servers?all_tenants=1").status, 403)
        self.assertEqual(self.demo.get(V + "/servers?status=deleted").status, 403)
        self.assertEqual(self.demo.get(V + "/servers?sort_key=host").status, 403)
        self.assertEqual(self.admin.get(V + "/servers").json["servers"], [])
        everyone = self.admin.get(V + "/servers/detail?all_tenants=1&host=local").json["servers"]
        self.assertEqual({s["id"] for s in everyone}, {a, b})
        self.assertEqual(self.admin.get(V + "/servers?all_tenants=1&project_id=" + self.admin.project_id).json["servers"], [])
        self.remove(a)
        self.remove(b)


class Refused(Base):
    def test_filters_without_end(self):
        self.assertEqual(self.demo.get(V + "/servers?" + "name=a&" * 1000).status, 400)

    def test_bodies(self):
        for extra in ({"name": ""}, {"name": "x" * 256}, {"name": 5}, {"name": ...}, {"name": "a\u0007b"}, {"flavorRef": ...}, {"flavorRef": "nope"},
                      {"flavorRef": ""}, {"flavorRef": 77.5}, {"imageRef": str(uuid.uuid4())}, {"imageRef": "nope"}, {"imageRef": ""}, {"imageRef": ...},
                      {"networks": ...}, {"networks": "some"}, {"networks": [{}]}, {"networks": [{"uuid": "x"}]}, {"networks": [{"uuid": str(uuid.uuid4())}]},
                      {"networks": [{"port": str(uuid.uuid4())}]}, {"networks": [{"uuid": "@", "bogus": 1}]}, {"networks": [{"uuid": "@", "fixed_ip": "1.2.3"}]},
                      {"networks": [{"uuid": "@", "fixed_ip": "192.168.0.1"}]}, {"networks": [{"uuid": "@"}] * 17}, {"networks": [5]},
                      {"key_name": "nope"}, {"key_name": 5}, {"user_data": "!!"}, {"user_data": "A" * 65536}, {"user_data": None}, {"user_data": "YQ="},
                      {"metadata": []}, {"metadata": {"a": 1}}, {"metadata": {"x" * 256: "v"}}, {"metadata": {"k": "x" * 256}}, {"metadata": {"a\r\nb": "v"}},
                      {"security_groups": [{"name": "nope"}]}, {"security_groups": [{"id": "x"}]}, {"security_groups": {}}, {"config_drive": "maybe"},
                      {"min_count": 0}, {"min_count": -1}, {"min_count": "x"}, {"max_count": 2 ** 31}, {"max_count": 2 ** 63}, {"min_count": 3, "max_count": 2},
                      {"max_count": 1.5}, {"min_count": 2, "networks": [{"uuid": "@", "fixed_ip": "10.1.0.9"}]}, {"availability_zone": "moon"},
                      {"availability_zone": "a:b:c:d"}, {"accessIPv4": "x"}, {"accessIPv6": "1.2.3.4"}, {"OS-DCF:diskConfig": "X"}, {"tags": ["a,b"]},
                      {"tags": ["x"] * 51}, {"description": "x" * 256}, {"description": 5}, {"hostname": "a_b"}, {"hostname": "x", "min_count": 2},
                      {"block_device_mapping": [{"volume_id": str(uuid.uuid4())}]}, {"block_device_mapping_v2": [{"source_type": "volume", "uuid": str(uuid.uuid4())}]},
                      {"bogus": 1}, {"status": "ACTIVE"}, {"project_id": "x"}, {"user_id": "x"}, {"id": str(uuid.uuid4())}, {"OS-EXT-STS:vm_state": "active"},
                      {"created": "2020-01-01T00:00:00Z"}, {"personality": []}, {"reservation_id": "x"}, {"adminPass": 5}):
            body = json.loads(json.dumps(self.body(**extra)).replace('"@"', '"%s"' % self.network))
            r = self.demo.post(V + "/servers", body)
            self.assertEqual(r.status, 400, (extra, r))
            self.assertIn("badRequest", r.json)
        for body in ({}, [], {"server": None}, {"server": []}, {"server": {}}, dict(self.body(), bogus=1)):
            self.assertEqual(self.demo.post(V + "/servers", body).status, 400, body)
        self.assertEqual(self.demo.get(V + "/servers").json["servers"], [])

    def test_microversions(self):
        for minor, extra in ((18, {"description": "d"}), (51, {"tags": ["a"]}), (73, {"host": "local"}), (89, {"hostname": "hh"}), (62, {"trusted_image_certificates": []}),
                             (36, {"networks": "auto"}), (41, {"networks": [{"uuid": self.network, "tag": "x"}]})):
            r = self.demo.post(V + "/servers", self.body(**extra), headers=mv(minor))
            self.assertEqual(r.status, 400, (minor, extra, r))

    def test_words_for_networks(self):
        who, net = self.cloud.new_tenant(), "/network/v2.0/"
        image, listed = self.make_image(who), lambda what: who.get(net + what + "?project_id=" + who.project_id).json[what]
        sid = self.create(who, networks="none", imageRef=image)
        self.assertEqual(self.settled(sid, client=who)["addresses"], {})
        self.assertEqual(who.get(net + "ports?device_id=" + sid).json["ports"], [])
        self.remove(sid, who)
        sid = self.create(who, networks="auto", imageRef=image)  # what is shared with it comes first, as in Nova
        self.assertEqual(list(self.settled(sid, client=who)["addresses"]), ["public"])
        self.remove(sid, who)
        public = net + "networks/" + who.get(net + "networks?name=public").json["networks"][0]["id"]
        self.addCleanup(self.admin.put, public, {"network": {"shared": True}})
        r = self.admin.put(public, {"network": {"shared": False}})
        self.assertEqual(r.status, 200, r)
        r = who.post(V + "/servers", self.body(networks="auto", imageRef=image))
        self.assertEqual(r.status, 400, r)
        for text in ("Unable to automatically allocate a network for project " + who.project_id, "No default subnetpools defined"):
            self.assertIn(text, r.message)
        self.assertEqual([listed(x) for x in ("networks", "subnets", "routers")] + [who.get(V + "/servers").json["servers"]], [[]] * 4)
        pool = {"subnetpool": {"name": "p", "prefixes": ["10.193.0.0/16"], "default_prefixlen": 26, "shared": True, "is_default": True}}
        r = self.admin.post(net + "subnetpools", pool)
        self.assertEqual(r.status, 201, r)
        self.addCleanup(self.admin.delete, net + "subnetpools/" + r.json["subnetpool"]["id"])
        servers = [self.create(who, networks="auto", imageRef=image) for _ in range(2)]
        ports = []
        for sid in servers:
            s = self.settled(sid, client=who)
            self.assertEqual([len(a) for a in s["addresses"].values()], [1])
            self.assertEqual(list(s["addresses"]), ["auto_allocated_network"])
            ports += who.get(net + "ports?device_id=" + sid).json["ports"]
        n, subnets, routers = [listed(x) for x in ("networks", "subnets", "routers")]
        self.assertEqual([[x["name"] for x in rows] for rows in (n, subnets, routers)],
                         [["auto_allocated_network"], ["auto_allocated_subnet_v4"], ["auto_allocated_router"]])
        self.assertEqual([(p["network_id"], p["status"], [f["subnet_id"] for f in p["fixed_ips"]]) for p in ports],
                         [(n[0]["id"], "ACTIVE", [subnets[0]["id"]])] * 2)
        self.assertTrue(routers[0]["external_gateway_info"]["external_fixed_ips"])
        for sid in servers:
            self.remove(sid, who)
        self.assertEqual(who.delete(net + "auto-allocated-topology/None").status, 204)

    def test_hints(self):                                        # INJ-20
        for hints in ({"_nova_check_type": ["rebuild"]}, {"bogus": 1}, {"same_host": "x"}, {"different_host": ["x"]}, {"different_host": [str(uuid.uuid4())] * 101}, [],
                      {"same_host": 5}):
            self.assertEqual(self.demo.post(V + "/servers", dict(self.body(), **{"os:scheduler_hints": hints})).status, 400, hints)

    def test_forced_host(self):
        self.assertEqual(self.demo.post(V + "/servers", self.body(availability_zone="nova:local")).status, 403)
        self.assertEqual(self.demo.post(V + "/servers", self.body(host="local")).status, 403)
        self.assertEqual(self.admin.post(V + "/servers", self.body(availability_zone="nova:nowhere", networks="none")).status, 400)

    def test_names(self):                                        # INJ-01, INJ-02
        for name in ("x</name><devices><disk type='file'><source file='/etc/shadow'/></disk></devices><name>", "]]>", "\u6f22\u5b57", "\U0001f600" * 63,
                     "--help", "$(id)", "`id`", ";reboot", "' OR 1=1--"):
            sid = self.active(name=name, metadata={"k": name[:100]}, description=name, tags=[name[:20].replace("/", "_").replace(",", "_")])
            s = self.show(sid)
            self.assertEqual((s["name"], s["description"], s["metadata"]["k"]), (name, name, name[:100]))
            self.remove(sid)

    def test_hostile_filters(self):                              # INJ-16, INJ-17
        sid = self.active(name="a" * 255)
        for q in ("name=((((a%2B)%2B)%2B)%2B$", "name=" + "%25_" * 100, "ip=.*", "name='||(select%201)||'", "name=(a|aa)%2B$" , "name=" + "(" * 100, "name=[",
                  "marker='%20OR%201=1--", "limit=1%20UNION%20SELECT", "changes-since=1'--", "host=" + "x" * 1000, "name=a{1,255}{1,255}{1,255}"):
            t = time.monotonic()
            r = self.demo.get(V + "/servers?" + q)
            self.assertLess(time.monotonic() - t, 0.5, q)
            self.assertIn(r.status, (200, 400), (q, r))
        self.remove(sid)

    def test_user_data(self):                                    # INJ-19
        data = bytes(range(256)) * 191
        self.assertLessEqual(len(base64.b64encode(data)), 65535)
        sid = self.active(user_data=base64.b64encode(data).decode())
        self.assertEqual(base64.b64decode(self.show(sid, self.admin)["OS-EXT-SRV-ATTR:user_data"]), data)
        self.remove(sid)

    def test_flavor_and_image(self):
        big = self.make_image(self.demo, min_ram=1024)
        self.assertEqual(self.demo.post(V + "/servers", self.body(imageRef=big)).status, 400)
        big = self.make_image(self.demo, min_disk=2)
        self.assertEqual(self.demo.post(V + "/servers", self.body(imageRef=big)).status, 400)
        queued = self.demo.post("/image/v2/images", {"name": "q", "disk_format": "raw", "container_format": "bare"}).json["id"]
        r = self.demo.post(V + "/servers", self.body(imageRef=queued))
        self.assertEqual((r.status, r.message), (400, "Image %s is not active." % queued))
        private = self.admin.post(V + "/flavors", {"flavor": {"name": "pf", "ram": 64, "vcpus": 1, "disk": 1, "os-flavor-access:is_public": False}}).json["flavor"]["id"]
        self.assertEqual(self.demo.post(V + "/servers", self.body(flavorRef=private)).status, 400)


class Tenants(Base):
    def test_foreign(self):                                      # TEN-01, TEN-04, TEN-09
        sid, other = self.active(), self.cloud.new_tenant()
        rid = self.demo.get(V + "/servers/%s/os-instance-actions" % sid).json["instanceActions"][0]["request_id"]
        calls = [("GET", "", None), ("PUT", "", {"server": {"name": "x"}}), ("DELETE", "", None), ("GET", "/ips", None), ("GET", "/metadata", None),
                 ("PUT", "/metadata", {"metadata": {}}), ("POST", "/metadata", {"metadata": {}}), ("GET", "/metadata/a", None), ("PUT", "/metadata/a", {"meta": {"a": "b"}}),
                 ("DELETE", "/metadata/a", None), ("GET", "/tags", None), ("PUT", "/tags", {"tags": []}), ("DELETE", "/tags", None), ("PUT", "/tags/a", None),
                 ("GET", "/tags/a", None), ("DELETE", "/tags/a", None), ("GET", "/os-instance-actions", None), ("GET", "/os-instance-actions/" + rid, None),
                 ("GET", "/os-server-password", None), ("DELETE", "/os-server-password", None)]
        calls += [("POST", "/action", {a: b}) for a, b in (("os-start", None), ("os-stop", None), ("reboot", {"type": "HARD"}), ("lock", None), ("unlock", None),
                                                           ("forceDelete", None), ("os-getConsoleOutput", {}), ("pause", None), ("resize", {"flavorRef": "2"}))]
        for method, path, body in calls:
            random = str(uuid.uuid4())
            foreign, nobody = other.call(method, V + "/servers/" + sid + path, body), other.call(method, V + "/servers/" + random + path, body)
            self.assertEqual((foreign.status, nobody.status), (404, 404), (method, path, foreign))
            self.assertEqual(foreign.message.replace(sid, "ID"), nobody.message.replace(random, "ID"))
        self.assertEqual(self.show(sid)["status"], "ACTIVE")
        for q in ("?project_id=" + self.demo.project_id, "?tenant_id=" + self.demo.project_id, "?user_id=" + self.demo.user_id, "?uuid=" + sid, "?deleted=1", "?host=local"):
            self.assertEqual(other.get(V + "/servers" + q).json["servers"], [], q)                           # TEN-02
        self.assertEqual(other.get(V + "/servers?marker=" + sid).status, 400)
        self.assertEqual(other.get(V + "/os-quota-sets/" + self.demo.project_id).status, 403)
        self.assertEqual(other.get(V + "/os-simple-tenant-usage/" + self.demo.project_id).status, 403)
        self.assertEqual(other.get(V + "/limits?tenant_id=" + self.demo.project_id).status, 403)
        port = self.demo.get("/network/v2.0/ports?device_id=" + sid).json["ports"][0]["id"]
        for extra in ({"imageRef": self.image}, {"networks": [{"uuid": self.network}]}, {"networks": [{"port": port}]}):
            mine = self.body(networks="none", **{k: v for k, v in extra.items() if k != "networks"})
            mine["server"].update(extra)
            self.assertEqual(other.post(V + "/servers", mine).status, 400, extra)
        self.remove(sid)

    def test_roles(self):
        reader = self.cloud.new_tenant(role="reader")
        self.assertEqual(reader.get(V + "/servers").status, 200)
        self.assertEqual(reader.post(V + "/servers", self.body()).status, 403)
        for path in ("/os-services", "/os-hypervisors", "/os-availability-zone/detail"):
            self.assertEqual(reader.get(V + path).status, 403, path)
        self.assertEqual(reader.get(V + "/os-availability-zone").status, 200)

    def test_quota_race(self):                                   # TEN-07
        def one(n):
            client = self.cloud.login("demo")
            r = client.post(V + "/servers", self.body(networks="none", name="q%d" % n))
            client.close()
            return r
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            replies = list(pool.map(one, range(30)))
        self.assertEqual(sum(r.status == 202 for r in replies), 10)
        refused = [r for r in replies if r.status != 202]
        self.assertEqual({r.status for r in refused}, {403})
        self.assertIn("Quota exceeded for instances: Requested 1, but already used 10 of 10 instances", refused[0].message)
        limits = self.demo.get(V + "/limits").json["limits"]["absolute"]
        self.assertEqual((limits["totalInstancesUsed"], limits["totalCoresUsed"], limits["totalRAMUsed"]), (10, 10, 5120))
        for r in replies:
            if r.status == 202:
                self.settled(r.json["server"]["id"])
                self.remove(r.json["server"]["id"])

    def test_quota_sets(self):
        path = V + "/os-quota-sets/" + self.demo.project_id
        q = self.demo.get(path).json["quota_set"]
        self.assertEqual((q["id"], q["instances"]), (self.demo.project_id, 10))
        self.assertEqual(self.demo.put(path, {"quota_set": {"instances": 5}}).status, 403)
        self.assertEqual(self.admin.put(path, {"quota_set": {"cores": 7, "force": True}}).json["quota_set"]["cores"], 7)
        self.assertEqual(self.demo.get(path + "/detail").json["quota_set"]["cores"], {"limit": 7, "in_use": 0, "reserved": 0})
        self.assertEqual(self.demo.get(path + "/defaults").json["quota_set"]["cores"], 20)
        for bad in ({"bogus": 1}, {"cores": -2}, {"cores": "x"}, {"networks": 1}, {"fixed_ips": 1}):
            self.assertEqual(self.admin.put(path, {"quota_set": bad}).status, 400, bad)
        self.assertEqual(self.admin.get(V + "/os-quota-sets/" + uuid.uuid4().hex).status, 400)
        self.assertEqual(self.admin.delete(path).status, 202)
        self.assertEqual(self.demo.get(path).json["quota_set"]["cores"], 20)


class Hosts(Base):
    def test_old_hosts(self):
        at = mv(42)
        hosts = self.admin.get(V + "/os-hosts", headers=at).json["hosts"]
        self.assertIn({"host_name": "local", "service": "compute", "zone": "nova"}, hosts)
        self.assertEqual(self.admin.get(V + "/os-hosts/local", headers=at).json["host"][0]["resource"]["project"], "(total)")
        self.assertEqual(self.admin.get(V + "/os-hosts/nope", headers=at).status, 404)
        self.assertEqual(self.admin.get(V + "/os-hosts", headers=mv(43)).status, 404)
        self.assertEqual(self.demo.get(V + "/os-hosts/local/reboot", headers=at).status, 403)
        self.assertEqual(self.admin.get(V + "/os-hosts/nope/reboot", headers=at).status, 404)
        self.assertEqual(self.admin.put(V + "/os-hosts/local", {"status": "disable"}, headers=at).json, {"host": "local", "status": "disabled"})
        self.assertEqual(self.admin.put(V + "/os-hosts/local", {"status": "enable"}, headers=at).json, {"host": "local", "status": "enabled"})
        for bad in ({}, {"status": "x"}, {"bogus": 1}):
            self.assertEqual(self.admin.put(V + "/os-hosts/local", bad, headers=at).status, 400, bad)

    def test_external_events(self):
        sid, nobody = self.active(), str(uuid.uuid4())
        event = lambda i, **kw: dict({"name": "network-changed", "server_uuid": i}, **kw)
        r = self.admin.post(V + "/os-server-external-events", {"events": [event(sid), event(nobody)]})
        self.assertEqual((r.status, [e["code"] for e in r.json["events"]]), (207, [200, 404]))
        self.assertEqual(self.demo.post(V + "/os-server-external-events", {"events": [event(sid)]}).status, 403)
        for bad in ([], {}, [event("x")], [event(sid, name="bogus")], [event(sid, bogus=1)], [event(sid, status="maybe")], [5]):
            self.assertEqual(self.admin.post(V + "/os-server-external-events", {"events": bad}).status, 400, bad)
        self.remove(sid)

    def test_views(self):
        h = self.admin.get(V + "/os-hypervisors/detail", headers=mv(87)).json["hypervisors"][0]
        self.assertEqual((h["state"], h["status"], h["vcpus"]), ("up", "enabled", 64))
        self.assertIsInstance(self.admin.get(V + "/os-hypervisors", headers=mv(52)).json["hypervisors"][0]["id"], int)
        self.assertEqual(self.admin.get(V + "/os-hypervisors/" + h["id"]).status, 200)
        self.assertEqual(self.admin.get(V + "/os-hypervisors/nope").status, 400)
        self.assertEqual(self.admin.get(V + "/os-hypervisors/" + str(uuid.uuid4())).status, 404)
        self.assertEqual(self.admin.get(V + "/os-hypervisors/statistics", headers=mv(87)).json["hypervisor_statistics"]["count"], 1)
        zones = self.demo.get(V + "/os-availability-zone").json["availabilityZoneInfo"]
        self.assertEqual(zones, [{"zoneName": "nova", "zoneState": {"available": True}, "hosts": None}])

    def test_disable(self):
        service = self.admin.get(V + "/os-services").json["services"][0]
        path = V + "/os-services/" + service["id"]
        r = self.admin.put(path, {"status": "disabled", "disabled_reason": "repair"})
        self.assertEqual((r.json["service"]["status"], r.json["service"]["disabled_reason"]), ("disabled", "repair"))
        sid = self.create(networks="none")
        s = self.cloud.wait(lambda: self.show(sid)["status"] == "ERROR" and self.show(sid), what="ERROR")
        self.assertEqual(s["fault"]["message"], "no host can take the server: local is disabled; ask for another zone or host, or have one enabled and started")
        self.assertEqual(self.admin.put(path, {"status": "enabled"}).json["service"]["status"], "enabled")
        self.assertEqual(self.admin.put(path, {"status": "bogus"}).status, 400)
        self.assertEqual(self.admin.put(path, {}).status, 400)
        self.assertEqual(self.demo.put(path, {"status": "enabled"}).status, 403)
        self.remove(sid)


class Trouble(Base):
    agent_args = ("--memory-mb", "24576", "--vcpus", "4")

    def tearDown(self):
        self.fake("fake.fault", spec="")

    def test_no_room(self):
        self.admin.put(V + "/os-quota-sets/" + self.demo.project_id, {"quota_set": {"ram": -1}})
        big = self.admin.post(V + "/flavors", {"flavor": {"name": "big", "ram": 65536, "vcpus": 1, "disk": 1}}).json["flavor"]["id"]
        sid = self.create(flavorRef=big)
        s = self.cloud.wait(lambda: self.show(sid)["status"] == "ERROR" and self.show(sid), what="ERROR")
        self.assertRegex(s["fault"]["message"], r"^no host has 64 GiB of memory free: local has [0-9.]+ of 23\.5 GiB free; use a smaller flavor")
        self.assertNotIn("details", s["fault"])
        self.assertIn("details", self.show(sid, self.admin)["fault"])
        self.assertEqual(self.demo.get("/network/v2.0/ports?device_id=" + sid).json["ports"], [])
        events = self.admin.get(V + "/servers/%s/os-instance-actions/%s" % (sid, self.demo.get(
            V + "/servers/%s/os-instance-actions" % sid).json["instanceActions"][0]["request_id"])).json["instanceAction"]
        decision = [e for e in events["events"] if e["event"] == "compute_decision"][0]
        self.assertEqual(json.loads(decision["details"])[0]["filter"], "memory")
        self.assertEqual(self.action(sid, "os-start").status, 409)
        self.assertEqual(self.action(sid, "reboot", {"type": "HARD"}).status, 409)
        self.remove(sid)

    def test_failed_boot(self):
        self.fake("fake.fault", spec="agent.before=domain.ensure@1:fatal")
        sid = self.create()
        s = self.cloud.wait(lambda: self.show(sid)["status"] == "ERROR" and self.show(sid), what="ERROR")
        self.assertTrue(s["fault"]["message"])
        for folder in ("domains", "disks", "ports"):
            self.assertEqual(os.listdir(self.cloud.world + "/" + folder), [], folder)
        self.remove(sid)

    def test_transient(self):
        self.fake("fake.fault", spec="agent.before=disk.ensure@1:fail,agent.effect_done=domain.ensure@1:fail")
        sid = self.create()
        self.settled(sid)
        self.remove(sid)

    def test_guest_stops(self):
        sid = self.active()
        for state in ("shutoff", "crashed"):
            t = time.monotonic()
            self.fake("fake.guest", id=sid, state=state, reason="test")
            s = self.settled(sid, "SHUTOFF")
            self.assertLess(time.monotonic() - t, 2)
            self.assertEqual(s["OS-EXT-STS:power_state"], {"shutoff": 4, "crashed": 6}[state])
            self.assertEqual(self.action(sid, "os-start").status, 202)
            self.settled(sid)
        self.remove(sid)

    def test_guest_that_does_not_hear(self):
        """A graceful stop holds no thread: what else is asked is done meanwhile, also of more servers than there are threads."""
        with open(self.cloud.world + "/deaf", "w"):
            many = [self.active() for _ in range(10)]
            t = time.monotonic()
            for sid in many:
                self.assertEqual(self.action(sid, "os-stop").status, 202)
            self.remove(many.pop())                  # at once, not after the stop
            self.fake("fake.guest", id=many[0], state="shutoff", reason="test")
            self.settled(many[0], "SHUTOFF")         # told by the host, not found when asked again
            self.active()
            self.assertLess(time.monotonic() - t, 2.5)
            for sid in many:
                self.settled(sid, "SHUTOFF")
            self.assertGreater(time.monotonic() - t, 2)
            os.unlink(self.cloud.world + "/deaf")
        for sid in many:
            self.remove(sid)

    def test_host_reboots(self):
        on, off = self.active(name="on"), self.active(name="off")
        self.action(off, "os-stop")
        self.settled(off, "SHUTOFF")
        self.fake("fake.reboot")
        state = lambda sid: json.load(open(self.cloud.world + "/domains/" + sid))["state"]
        self.cloud.wait(lambda: state(on) == "running", what="the guest's start")
        self.settled(on)
        self.assertEqual((state(off), self.show(off)["status"]), ("shutoff", "SHUTOFF"))
        os.unlink(self.cloud.world + "/domains/" + on)           # libvirt lost it
        self.cloud.wait(lambda: os.path.exists(self.cloud.world + "/domains/" + on) and state(on) == "running", what="the domain's return")
        self.remove(on)
        self.remove(off)

    def test_delete_overtakes(self):
        self.fake("fake.fault", spec="agent.before=disk.ensure@1:pause")
        sid = self.create()
        steps = lambda: [o["step"] for o in wire.call(self.cloud.run + "/control.sock", "ops")["operations"] if o["resource_id"] == sid]
        self.cloud.wait(lambda: steps() == ["disk"], what="the disk's turn")
        self.assertEqual(self.demo.delete(V + "/servers/" + sid).status, 204)
        self.assertEqual(self.demo.delete(V + "/servers/" + sid).status, 204)
        self.assertEqual(self.show(sid)["OS-EXT-STS:task_state"], "deleting")
        self.assertEqual(self.action(sid, "os-stop").status, 409)
        self.cloud.wait(lambda: self.demo.get(V + "/servers/" + sid).status == 404, what="delete")
        self.assertEqual(os.listdir(self.cloud.world + "/disks"), [])


class SecurityGroups(Base):
    """Nova's own view of security groups, until 2.35, and the groups of servers."""

    def test_groups_and_rules(self):
        at, path = mv(35), V + "/os-security-groups"
        self.assertEqual(self.demo.get(path).status, 404)
        self.assertEqual([g["name"] for g in self.demo.get(path, headers=at).json["security_groups"]], ["default"])
        r = self.demo.post(path, {"security_group": {"name": "web", "description": "d"}}, headers=at)
        self.assertEqual((r.status, r.json["security_group"]["name"]), (200, "web"))
        gid = r.json["security_group"]["id"]
        rule = {"parent_group_id": gid, "ip_protocol": "tcp", "from_port": "22", "to_port": 80, "cidr": "10.0.0.0/8"}
        r = self.demo.post(V + "/os-security-group-rules", {"security_group_rule": rule}, headers=at)
        self.assertEqual(r.status, 200, r)
        made = r.json["security_group_rule"]
        self.assertEqual((made["ip_protocol"], made["from_port"], made["to_port"], made["ip_range"], made["group"]), ("tcp", 22, 80, {"cidr": "10.0.0.0/8"}, {}))
        self.assertEqual([x["id"] for x in self.demo.get(path + "/" + gid, headers=at).json["security_group"]["rules"]], [made["id"]])
        self.assertEqual(self.demo.post(V + "/os-security-group-rules", {"security_group_rule": rule}, headers=at).status, 400)
        other = self.cloud.new_tenant()
        for method, tail, body in (("GET", "", None), ("DELETE", "", None), ("PUT", "", {"security_group": {"name": "x", "description": "y"}})):
            self.assertEqual(other.call(method, path + "/" + gid + tail, body, headers=at).status, 404, method)
        self.assertEqual(other.delete(V + "/os-security-group-rules/" + made["id"], headers=at).status, 404)
        for bad in ({}, {"name": ""}, {"name": "x" * 256, "description": "d"}, {"name": "x", "description": "d" * 256}, {"name": 5, "description": "d"}, {"name": "x", "bogus": 1}):
            self.assertEqual(self.demo.post(path, {"security_group": bad}, headers=at).status, 400, bad)
        for bad in ({"parent_group_id": "x"}, {"ip_protocol": None}, {"from_port": "x"}, {"to_port": 70000}, {"cidr": "300.0.0.0/8"}, {"from_port": 90}):
            r = self.demo.post(V + "/os-security-group-rules", {"security_group_rule": dict(rule, **bad)}, headers=at)
            self.assertEqual(r.status, 400, bad)
        for protocol, low, high, shown in (("udp", 1, 65535, (1, 65535)), ("tcp", 1, 65534, (1, 65534)), ("icmp", -1, -1, (-1, -1))):
            r = self.demo.post(V + "/os-security-group-rules", {"security_group_rule": dict(rule, ip_protocol=protocol, from_port=low, to_port=high)}, headers=at)
            self.assertEqual((r.status, r.json["security_group_rule"]["from_port"], r.json["security_group_rule"]["to_port"]), (200, *shown))
        self.assertEqual(self.demo.delete(V + "/os-security-group-rules/" + made["id"], headers=at).status, 202)
        self.assertEqual(self.demo.put(path + "/" + gid, {"security_group": {"name": "web2", "description": ""}}, headers=at).json["security_group"]["name"], "web2")
        self.assertEqual(self.demo.delete(path + "/" + gid, headers=at).status, 202)
        self.assertEqual(self.demo.get(path + "/" + gid, headers=at).status, 404)

    def test_of_servers(self):
        sid = self.active()
        gid = self.demo.post("/network/v2.0/security-groups", {"security_group": {"name": "extra"}}).json["security_group"]["id"]
        names = lambda: sorted(g["name"] for g in self.demo.get(V + "/servers/%s/os-security-groups" % sid).json["security_groups"])
        self.assertEqual(names(), ["default"])
        self.assertEqual(self.action(sid, "addSecurityGroup", {"name": "extra"}).status, 202)
        self.assertEqual(names(), ["default", "extra"])
        self.assertEqual({g["name"] for g in self.show(sid)["security_groups"]}, {"default", "extra"})
        self.assertEqual(self.action(sid, "removeSecurityGroup", {"name": gid}).status, 202)
        self.assertEqual(names(), ["default"])
        r = self.action(sid, "removeSecurityGroup", {"name": gid})
        self.assertEqual((r.status, r.message), (404, "Security group %s not associated with the instance %s" % (gid, sid)))
        self.demo.post("/network/v2.0/security-groups", {"security_group": {"name": "stateless", "stateful": False}})
        for refused in (self.action(sid, "addSecurityGroup", {"name": "stateless"}),
                        self.demo.post(V + "/servers", self.body(security_groups=[{"name": "default"}, {"name": "stateless"}]))):
            self.assertEqual(refused.status, 409, refused)
            self.assertIn("both stateful and stateless", refused.message)
        self.assertEqual(self.action(sid, "addSecurityGroup", {"name": "nope"}).status, 404)
        self.assertEqual(self.action(sid, "addSecurityGroup", {}).status, 400)
        self.assertEqual(self.action(sid, "addSecurityGroup", {"name": "extra"}, self.cloud.new_tenant()).status, 404)
        self.remove(sid)

    def test_of_servers_for_an_administrator(self):
        """A name means the group of the server's project, though the administrator's own project has one of that name."""
        sid = self.active()
        body = {"security_group": {"name": "both"}}
        gid, own = [c.post("/network/v2.0/security-groups", body).json["security_group"]["id"] for c in (self.demo, self.admin)]
        held = lambda c: {g["id"] for g in c.get(V + "/servers/%s/os-security-groups" % sid).json["security_groups"]}
        for name in ("both", gid):
            self.assertEqual(self.action(sid, "addSecurityGroup", {"name": name}, self.admin).status, 202)
            self.assertEqual(held(self.admin), held(self.demo))
            self.assertIn(gid, held(self.demo))
            self.assertEqual(self.demo.get("/network/v2.0/security-groups/" + own).status, 404)
            port = self.demo.get("/network/v2.0/ports?device_id=" + sid).json["ports"][0]
            self.assertNotIn(own, port["security_groups"])
            self.assertEqual(self.action(sid, "removeSecurityGroup", {"name": name}, self.admin).status, 202)
            self.assertNotIn(gid, held(self.demo))
        self.remove(sid)
        for c, i in ((self.demo, gid), (self.admin, own)):
            self.assertEqual(c.delete("/network/v2.0/security-groups/" + i).status, 204)


class TwoHosts(Base):
    """A second agent: where a server goes, and what happens when the first choice fails it."""

    @classmethod
    def setUpClass(cls):
        cls.top = tempfile.mkdtemp(prefix="nuvolet-h2-")
        os.chmod(cls.top, 0o711)
        cls.second = cls.top + "/agent.sock"
        cls.options = dict(Base.options, **{"hosts.agents": "local=unix:;h2=unix:" + cls.second})
        cls.agent2 = subprocess.Popen([FAKE_AGENT, cls.second, cls.top + "/world", "--name", "h2"], stderr=subprocess.DEVNULL)
        Cloud._until(lambda: os.path.exists(cls.second), "the second agent")
        os.chmod(cls.second, 0o666)
        super().setUpClass()
        cls.cloud.wait(lambda: len(cls.admin.get(V + "/os-services").json["services"]) == 2, what="the second host")

    @classmethod
    def tearDownClass(cls):
        try:
            super().tearDownClass()
        finally:
            cls.agent2.terminate()
            cls.agent2.wait()
            shutil.rmtree(cls.top, ignore_errors=True)

    def host(self, sid):
        return self.show(sid, self.admin)["OS-EXT-SRV-ATTR:host"]

    def test_spread_and_force(self):
        sids = [self.active() for _ in range(4)]
        self.assertEqual(sorted(self.host(s) for s in sids), ["h2", "h2", "local", "local"])
        ids = {s["OS-EXT-SRV-ATTR:host"]: s["hostId"] for s in self.admin.get(V + "/servers/detail?all_tenants=1").json["servers"]}
        self.assertNotEqual(ids["h2"], ids["local"])
        with self.subTest("hints"):
            for hint, want in (("same_host", {self.host(sids[0])}), ("different_host", {"h2", "local"} - {self.host(sids[0])})):
                r = self.demo.post(V + "/servers", dict(self.body(), **{"os:scheduler_hints": {hint: sids[0]}}))
                sids.append(r.json["server"]["id"])
                self.settled(sids[-1])
                self.assertIn(self.host(sids[-1]), want)
        for where in ("nova:h2", "nova:local"):
            r = self.admin.post(V + "/servers", self.body(availability_zone=where, networks="none", imageRef=self.make_image(self.admin)))
            self.settled(r.json["server"]["id"], client=self.admin)
            self.assertEqual(self.host(r.json["server"]["id"]), where[5:])
            self.remove(r.json["server"]["id"], self.admin)
        for sid in sids:
            self.remove(sid)

    def test_second_choice(self):
        for socket in (self.second, self.cloud.run + "/agent.sock"):
            wire.call(socket, "fake.fault", spec="agent.before=domain.ensure@1:fatal")
            sid = self.active()
            other = "local" if socket == self.second else "h2"
            if self.host(sid) != other:                          # the healthy one was the first choice: force the other by filling it
                self.remove(sid)
                wire.call(socket, "fake.fault", spec="")
                continue
            for world in (self.cloud.world, self.top + "/world"):
                self.assertEqual(os.path.exists(world + "/domains/" + sid), world.endswith("nuvolet") or (world == self.cloud.world) == (other == "local"))
            action = self.demo.get(V + "/servers/%s/os-instance-actions" % sid).json["instanceActions"][0]
            self.assertIsNone(action["message"])
            wire.call(socket, "fake.fault", spec="")
            self.remove(sid)

    def test_both_fail(self):
        for socket in (self.second, self.cloud.run + "/agent.sock"):
            wire.call(socket, "fake.fault", spec="agent.before=domain.ensure@1:fatal")
        sid = self.create()
        s = self.cloud.wait(lambda: self.show(sid)["status"] == "ERROR" and self.show(sid), what="ERROR")
        self.assertIn("fault injected at agent.before=domain.ensure", s["fault"]["message"])
        for world in (self.cloud.world, self.top + "/world"):
            for folder in ("domains", "disks", "ports"):
                self.assertEqual(os.listdir("%s/%s" % (world, folder)), [], (world, folder))
        for socket in (self.second, self.cloud.run + "/agent.sock"):
            wire.call(socket, "fake.fault", spec="")
        self.remove(sid)


class Metadata(Base):
    """The guests' service: connections are handed over as the agent does, each with its network and address."""

    @contextlib.contextmanager
    def connected(self, address, network=None):
        ours, theirs = socket.socketpair()
        line = json.dumps({"network": network or self.network, "address": address}).encode() + b"\n"
        with ours, socket.socket(socket.AF_UNIX) as s:
            s.connect(self.cloud.run + "/metadata.sock")
            socket.send_fds(s, [line], [theirs.fileno()])
            theirs.close()
            ours.settimeout(10)
            yield ours

    def ask(self, path, address, network=None, method="GET", body=b"", headers=""):
        with self.connected(address, network) as ours:
            length = "Content-Length: %d\r\n" % len(body) if body else ""
            ours.sendall(("%s %s HTTP/1.1\r\nHost: 169.254.169.254\r\nConnection: close\r\n%s%s\r\n" % (method, path, length, headers)).encode() + body)
            data = wire.rest(ours)
        head, _, rest = data.partition(b"\r\n\r\n")
        return int(head.split()[1]), head.decode().lower(), rest

    def text(self, path, address, **kw):
        status, head, body = self.ask(path, address, **kw)
        self.assertEqual(status, 200, (path, body))
        return body.decode()

    def test_trees(self):
        self.demo.post(V + "/os-keypairs", {"keypair": {"name": "mk", "public_key": KEY}})
        data = base64.b64encode(b"#!/bin/sh\necho hi\n").decode()
        sid = self.active(name="Meta 1", key_name="mk", metadata={"role": "<b>"}, user_data=data)
        ip = list(self.show(sid)["addresses"].values())[0][0]["addr"]
        self.assertEqual(self.text("/openstack", ip).split()[-2:], ["2020-10-14", "latest"])
        m = json.loads(self.text("/openstack/latest/meta_data.json", ip))
        self.assertEqual((m["uuid"], m["hostname"], m["meta"], m["public_keys"]), (sid, "meta-1", {"role": "<b>"}, {"mk": KEY}))
        self.assertNotIn("admin_pass", m)
        self.assertEqual(self.text("/openstack/2018-08-27/user_data", ip), "#!/bin/sh\necho hi\n")
        links = json.loads(self.text("/openstack/latest/network_data.json", ip))["links"]
        self.assertEqual(links[0]["ethernet_mac_address"], list(self.show(sid)["addresses"].values())[0][0]["OS-EXT-IPS-MAC:mac_addr"])
        for path in ("vendor_data.json", "vendor_data2.json"):
            json.loads(self.text("/openstack/latest/" + path, ip))
        self.assertEqual(self.text("/latest/meta-data/local-ipv4", ip), ip)
        self.assertEqual(self.text("/latest/meta-data/public-keys/0/openssh-key", ip), KEY)
        self.assertEqual(self.text("/2009-04-04/meta-data/instance-id", ip), "i-" + sid[:8])
        self.assertEqual(self.text("/latest/user-data", ip), "#!/bin/sh\necho hi\n")
        self.assertIn("meta-data/", self.text("/latest/", ip))
        self.assertIn("2009-04-04", self.text("/", ip))
        status, head, _ = self.ask("/latest/meta-data/hostname", ip)
        self.assertIn("content-type: text/plain", head)
        self.assertIn("nosniff", head)
        for path in ("/latest/meta-data/../../../etc/passwd", "/openstack/9999/meta_data.json", "/latest/meta-data/nope", "/latest/meta-data/%2e%2e/x",
                     "/openstack/latest/bogus", "/compute/v2.1/servers", "/latest/dynamic/instance-identity", "/openstack/latest/meta_data.json/x"):
            self.assertIn(self.ask(path, ip)[0], (400, 404), path)
        self.remove(sid)
        self.assertEqual(self.ask("/openstack/latest/meta_data.json", ip)[0], 404)              # MD-03

    def test_an_address_that_another_tenant_got(self):           # MD-03
        other, net = self.cloud.new_tenant(), "/network/v2.0/"
        n = self.demo.post(net + "networks", {"network": {"name": "one address"}}).json["network"]["id"]
        one = {"network_id": n, "cidr": "10.1.9.0/24", "ip_version": 4, "enable_dhcp": False, "allocation_pools": [{"start": "10.1.9.77", "end": "10.1.9.77"}]}
        r = self.demo.post(net + "subnets", {"subnet": one})
        self.assertEqual(r.status, 201, r)
        share = {"rbac_policy": {"object_type": "network", "object_id": n, "action": "access_as_shared", "target_tenant": "*"}}
        r = self.admin.post(net + "rbac-policies", share)
        self.assertEqual(r.status, 201, r)
        at = {"networks": [{"uuid": n}]}
        secret = base64.b64encode(b"#!/bin/sh\necho of A\n").decode()
        documents = ["/openstack/latest/" + d for d in ("meta_data.json", "user_data", "network_data.json")] + ["/latest/meta-data/instance-id"]
        a = self.active(name="first", user_data=secret, metadata={"key": "of A"}, **at)
        with contextlib.ExitStack() as stack:
            kept = [stack.enter_context(self.connected("10.1.9.77", n)) for _ in range(2)]

            def again(c, path):
                """What a connection that stays open answers; nothing once it has ended."""
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    c.sendall(("GET %s HTTP/1.1\r\nHost: m\r\n\r\n" % path).encode())
                    data = b""
                    while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < int(re.search(rb"(?i)content-length: (\d+)", data)[1]):
                        more = c.recv(65536)
                        if not more:
                            break
                        data += more
                    return data
                return b""
            for path in documents:
                self.assertIn(b" 200 ", again(kept[0], path))
            self.assertIn(a.encode(), again(kept[1], documents[0]))
            self.remove(a)
            for path in documents:                               # nobody has the address
                self.assertNotIn(b" 200 ", again(kept[0], path))
                self.assertEqual(self.ask(path, "10.1.9.77", network=n)[0], 404)
            b = self.create(other, name="second", imageRef=self.make_image(other), **at)
            self.settled(b, client=other)
            for answers in ([again(kept[1], path) for path in documents], [self.ask(path, "10.1.9.77", network=n)[2] for path in documents]):
                for data in answers:
                    for word in (a, "i-" + a[:8], "of A", "first", self.demo.project_id):
                        self.assertNotIn(word.encode(), data)
            self.assertEqual(json.loads(self.text(documents[0], "10.1.9.77", network=n))["uuid"], b)
            self.assertEqual(self.ask(documents[1], "10.1.9.77", network=n)[0], 404)
        self.remove(b, other)

    def test_identity(self):                                     # MD-01, MD-02, MD-07
        a, b = self.active(name="aa"), self.active(name="bb")
        ip = {s: list(self.show(s)["addresses"].values())[0][0]["addr"] for s in (a, b)}
        for headers in ("X-Forwarded-For: %s\r\n" % ip[b], "Forwarded: for=%s\r\n" % ip[b], "X-Real-IP: %s\r\n" % ip[b], "X-Instance-ID: %s\r\n" % b,
                        "X-Nuvolet-Network: %s\r\nX-Tenant-ID: x\r\nX-Instance-ID-Signature: 00\r\n" % uuid.uuid4()):
            self.assertEqual(json.loads(self.text("/openstack/latest/meta_data.json", ip[a], headers=headers))["uuid"], a)
        other = self.make_network(self.demo, "10.1.0.0/24")      # the same addresses on another network are nobody's
        self.assertEqual(self.ask("/openstack/latest/meta_data.json", ip[a], network=other)[0], 404)
        self.assertEqual(self.ask("/openstack/latest/meta_data.json", "10.1.0.250")[0], 404)
        self.assertEqual(self.demo.get("/openstack/latest/meta_data.json").status, 404)
        self.remove(a)
        self.remove(b)

    def test_password(self):
        sid = self.active()
        ip = list(self.show(sid)["addresses"].values())[0][0]["addr"]
        path = "/openstack/2013-04-04/password"
        self.assertEqual(self.text(path, ip), "")
        self.assertEqual(self.ask(path, ip, method="POST", body=b"x" * 2000)[0], 413)
        self.assertEqual(self.ask(path, ip, method="POST", body=b"c2VjcmV0")[0], 204)
        self.assertEqual(self.ask(path, ip, method="POST", body=b"other")[0], 409)
        self.assertEqual(self.text(path, ip), "c2VjcmV0")
        self.assertEqual(self.demo.get(V + "/servers/%s/os-server-password" % sid).json, {"password": "c2VjcmV0"})
        self.assertEqual(self.demo.delete(V + "/servers/%s/os-server-password" % sid).status, 204)
        self.assertEqual(self.demo.get(V + "/servers/%s/os-server-password" % sid).json, {"password": ""})
        self.assertEqual(self.ask(path, ip, method="POST", body=b"again")[0], 204)
        self.remove(sid)


if __name__ == "__main__":
    unittest.main()
