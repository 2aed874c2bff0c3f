"""tests/http/test_image.py -- Glance's API: records, JSON patches, lists, uploads, downloads, sharing, import."""
import hashlib
import http.client
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from cloud import Cloud  # noqa: E402

PATCH = "application/openstack-images-v2.1-json-patch"
PATCH20 = "application/openstack-images-v2.0-json-patch"
OCTETS = {"Content-Type": "application/octet-stream"}


def qcow2(size="64M", options=""):
    """Bytes of a fresh qcow2 file, as qemu-img makes it."""
    with tempfile.TemporaryDirectory() as d:
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2"] + (["-o", options] if options else []) + [d + "/x", size], check=True)
        with open(d + "/x", "rb") as f:
            return f.read()


class ImageCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cloud = Cloud(agent=False, options=cls.options())
        cls.admin = cls.cloud.login("admin")
        cls.demo = cls.cloud.login("demo")
        cls.other = cls.cloud.new_tenant()

    @classmethod
    def options(cls):
        return {}

    @classmethod
    def tearDownClass(cls):
        for client in (cls.admin, cls.demo, cls.other):
            client.close()
        cls.cloud.stop()

    def make(self, client=None, **body):
        body = dict({"name": "i", "disk_format": "raw", "container_format": "bare"}, **body)
        r = (client or self.demo).post("/image/v2/images", {k: v for k, v in body.items() if v is not None})
        self.assertEqual(r.status, 201, r)
        return r.json

    def upload(self, id, data, client=None, status=204, path="file"):
        r = (client or self.demo).put("/image/v2/images/%s/%s" % (id, path), raw=data, headers=OCTETS)
        self.assertEqual(r.status, status, r)
        return r

    def active(self, data=b"x" * 5000, client=None, **body):
        image = self.make(client, **body)
        self.upload(image["id"], data, client)
        return self.show(image["id"], client)

    def show(self, id, client=None):
        r = (client or self.demo).get("/image/v2/images/" + id)
        self.assertEqual(r.status, 200, r)
        return r.json

    def patch(self, id, *ops, client=None, status=200, kind=PATCH):
        r = (client or self.demo).call("PATCH", "/image/v2/images/" + id, list(ops), headers={"Content-Type": kind})
        self.assertEqual(r.status, status, r)
        return r.json

    def ids(self, query="", client=None):
        r = (client or self.demo).get("/image/v2/images" + query)
        self.assertEqual(r.status, 200, r)
        return [i["id"] for i in r.json["images"]]

    def store(self):
        return sorted(os.listdir(self.cloud.state + "/images"))


class TestRecords(ImageCase):
    def test_create_shows_what_glance_shows(self):
        r = self.demo.post("/image/v2/images", {"name": "a", "hw_disk_bus": "virtio", "tags": ["x", "y", "x"], "min_disk": 3})
        self.assertEqual(r.status, 201, r)
        self.assertTrue(r.headers["location"].endswith("/image/v2/images/" + r.json["id"]))
        self.assertEqual(r.headers["openstack-image-import-methods"], "glance-direct")
        image = r.json
        self.assertEqual({k: image[k] for k in image if k not in ("id", "created_at", "updated_at")}, {
            "name": "a", "hw_disk_bus": "virtio", "tags": ["x", "y"], "min_disk": 3, "min_ram": 0, "status": "queued", "visibility": "shared",
            "protected": False, "os_hidden": False, "owner": self.demo.project_id, "checksum": None, "os_hash_algo": None, "os_hash_value": None,
            "size": None, "virtual_size": None, "disk_format": None, "container_format": None, "self": "/v2/images/" + image["id"],
            "file": "/v2/images/%s/file" % image["id"], "schema": "/v2/schemas/image"})
        self.assertEqual(self.show(image["id"]), image)

    def test_own_id(self):
        id = str(uuid.uuid4())
        self.assertEqual(self.make(id=id.upper())["id"], id)
        self.assertEqual(self.demo.post("/image/v2/images", {"id": id}).status, 409)
        self.assertEqual(self.demo.delete("/image/v2/images/" + id).status, 204)
        self.assertEqual(self.demo.post("/image/v2/images", {"id": id}).status, 409)         # hosts may have a copy by that id yet

    def test_bad_bodies(self):
        for body, status in (
                ({"name": "x" * 256}, 400), ({"name": 5}, 400), ({"disk_format": "wrong"}, 400), ({"container_format": "wrong"}, 400),
                ({"id": "../../x"}, 400), ({"id": ""}, 400), ({"id": 7}, 400), ({"id": None}, 400), ({"min_disk": -1}, 400), ({"min_ram": "4"}, 400),
                ({"min_disk": 2 ** 31}, 400), ({"visibility": "secret"}, 400), ({"protected": "yes"}, 400), ({"tags": "x"}, 400),
                ({"tags": ["x" * 256]}, 400), ({"tags": [5]}, 400), ({"tags": [""]}, 400), ({"prop": 5}, 400), ({"prop": None}, 400),
                ({"prop": {"a": "b"}}, 400), ({"x" * 256: "y"}, 400), ({"": "y"}, 400), ([], 400), ("x", 400),
                ({"status": "active"}, 403), ({"size": 5}, 403), ({"checksum": "x"}, 403), ({"self": "x"}, 403), ({"file": "x"}, 403),
                ({"created_at": "x"}, 403), ({"os_hash_value": "x"}, 403), ({"deleted": "x"}, 403), ({"location": "x"}, 403),
                ({"locations": [{"url": "file:///etc/passwd", "metadata": {}}]}, 403), ({"os_glance_foo": "bar"}, 403), ({"owner": "someone"}, 403),
                ({"p%d" % i: "v" for i in range(129)}, 413), ({"tags": ["t%d" % i for i in range(129)]}, 413)):
            r = self.demo.post("/image/v2/images", body)
            self.assertEqual(r.status, status, (body, r))
        self.assertIn("name", self.demo.post("/image/v2/images", {"name": 5}).message)

    def test_patch(self):
        image = self.make(name="old", a="1", b="2")
        got = self.patch(image["id"], {"op": "replace", "path": "/name", "value": "new"}, {"op": "add", "path": "/c~1d", "value": "3"},
                         {"op": "remove", "path": "/a"}, {"op": "replace", "path": "/b", "value": "4"}, {"op": "add", "path": "/b", "value": "5"},
                         {"op": "replace", "path": "/tags", "value": ["q"]}, {"op": "replace", "path": "/min_ram", "value": 64},
                         {"op": "replace", "path": "/protected", "value": True})
        self.assertEqual((got["name"], got["c/d"], got["b"], got["tags"], got["min_ram"], got["protected"], "a" in got),
                         ("new", "3", "5", ["q"], 64, True, False))
        self.assertEqual(self.show(image["id"]), got)
        self.patch(image["id"], {"replace": "/name", "value": None}, kind=PATCH20)
        self.assertIsNone(self.show(image["id"])["name"])
        self.assertEqual(self.patch(image["id"], {"add": "/old", "value": "way"}, kind=PATCH20)["old"], "way")
        self.patch(image["id"], {"add": "/old", "value": "again"}, kind=PATCH20, status=409)

    def test_patch_is_all_or_nothing(self):
        image = self.make(name="before")
        self.patch(image["id"], {"op": "replace", "path": "/name", "value": "after"}, {"op": "replace", "path": "/nope", "value": "x"}, status=409)
        self.assertEqual(self.show(image["id"])["name"], "before")

    def test_bad_patches(self):
        id = self.active(a="1")["id"]
        for op, status in (
                ({"op": "replace", "path": "/status", "value": "active"}, 403),          # IMG-19
                ({"op": "replace", "path": "/id", "value": str(uuid.uuid4())}, 403), ({"op": "replace", "path": "/size", "value": 5}, 403),
                ({"op": "replace", "path": "/checksum", "value": "x"}, 403), ({"op": "replace", "path": "/os_hash_value", "value": "x"}, 403),
                ({"op": "replace", "path": "/owner", "value": "x"}, 403), ({"op": "replace", "path": "/owner", "value": None}, 403),
                ({"op": "remove", "path": "/name"}, 403), ({"op": "remove", "path": "/tags"}, 403), ({"op": "add", "path": "/os_glance_x", "value": "y"}, 403),
                ({"op": "replace", "path": "/disk_format", "value": "qcow2"}, 403), ({"op": "replace", "path": "/container_format", "value": "ovf"}, 403),
                ({"op": "add", "path": "/locations/-", "value": {"url": "file:///etc/passwd", "metadata": {}}}, 403),   # IMG-17
                ({"op": "add", "path": "/locations/-", "value": {"url": "swift+config://x", "metadata": {}}}, 403),
                ({"op": "replace", "path": "/locations", "value": []}, 403), ({"op": "remove", "path": "/locations/0"}, 403),
                ({"op": "remove", "path": "/nope"}, 409), ({"op": "replace", "path": "/nope", "value": "x"}, 409),
                ({"op": "add", "path": "/x", "value": 5}, 400), ({"op": "add", "path": "/x/y", "value": "5"}, 400), ({"op": "add", "path": "x", "value": "5"}, 400),
                ({"op": "add", "path": "/~2", "value": "5"}, 400), ({"op": "add", "path": "/", "value": "5"}, 400), ({"op": "add", "value": "5"}, 400),
                ({"op": "add", "path": "/x"}, 400), ({"op": "move", "path": "/x", "value": "5"}, 400), ({"path": "/x", "value": "5"}, 400),
                ({"op": "replace", "path": "/visibility", "value": "secret"}, 400), ({"op": "replace", "path": "/min_disk", "value": -1}, 400),
                ("x", 400), (None, 400)):
            self.patch(id, op, status=status)
        r = self.demo.call("PATCH", "/image/v2/images/" + id, {"op": "add"}, headers={"Content-Type": PATCH})
        self.assertEqual(r.status, 400)
        r = self.demo.call("PATCH", "/image/v2/images/" + id, [], headers={"Content-Type": "application/json"})
        self.assertEqual(r.status, 415)
        self.assertIn(PATCH, r.headers["accept-patch"])
        self.patch(id, *[{"op": "add", "path": "/p%d" % i, "value": "v"} for i in range(129)], status=413)
        self.assertEqual(self.show(id)["status"], "active")

    def test_status_header_is_ignored(self):
        r = self.demo.post("/image/v2/images", {"name": "x"}, headers={"x-image-meta-status": "active"})
        self.assertEqual(r.json["status"], "queued")

    def test_protected(self):
        image = self.make(protected=True)
        self.assertEqual(self.demo.delete("/image/v2/images/" + image["id"]).status, 403)
        self.patch(image["id"], {"op": "replace", "path": "/protected", "value": False})
        self.assertEqual(self.demo.delete("/image/v2/images/" + image["id"]).status, 204)
        self.assertEqual(self.demo.get("/image/v2/images/" + image["id"]).status, 404)
        self.assertEqual(self.demo.delete("/image/v2/images/" + image["id"]).status, 404)

    def test_tags(self):
        url = "/image/v2/images/%s/tags/" % self.make()["id"]
        self.assertEqual(self.demo.put(url + "blue").status, 204)
        self.assertEqual(self.demo.put(url + "blue").status, 204)
        self.assertEqual(self.show(url.split("/")[4])["tags"], ["blue"])
        self.assertEqual(self.demo.delete(url + "blue").status, 204)
        self.assertEqual(self.demo.delete(url + "blue").status, 404)
        self.assertEqual(self.demo.put(url + "x" * 256).status, 400)
        self.assertEqual(self.demo.put("/image/v2/images/%s/tags/x" % uuid.uuid4()).status, 404)

    def test_schemas(self):
        for name in ("image", "images", "member", "members"):
            r = self.demo.get("/image/v2/schemas/" + name)
            self.assertEqual((r.status, r.json["name"]), (200, name))
        self.assertEqual(self.demo.get("/image/v2/schemas/image").json["properties"]["disk_format"]["enum"][:2], [None, "raw"])
        self.assertEqual(self.demo.get("/image/v2/info/import").json["import-methods"]["value"], ["glance-direct"])

    def test_paths_do_not_leave_the_store(self):                 # IMG-16
        before = self.store()
        for id in ("..%2f..%2fetc%2fcron.d%2fx", "%00", str(uuid.uuid4()) + "%0a", ".", "..", "x", "%2e%2e", str(uuid.uuid4()).upper()):
            for method, tail in (("PUT", "/file"), ("GET", "/file"), ("GET", ""), ("DELETE", "")):
                r = self.demo.call(method, "/image/v2/images/%s%s" % (id, tail), raw=b"x" if method == "PUT" else None,
                                   headers=OCTETS if method == "PUT" else None)
                self.assertIn(r.status, (400, 404, 405), (method, id, r))
                self.demo.close()
        self.assertEqual(self.store(), before)


class TestLists(ImageCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        case = cls()
        cls.a = case.active(b"a" * 1000, name="alpha", tags=["t1", "t2"], os="linux")["id"]
        cls.b = case.active(b"b" * 3000, name='be,ta', tags=["t1"], os="bsd", min_ram=512)["id"]
        cls.c = case.make(name="gamma", disk_format="qcow2", visibility="private")["id"]
        cls.hidden = case.make(name="hidden", os_hidden=True)["id"]
        cls.public = case.active(client=cls.admin, name="public", visibility="public")["id"]
        cls.community = case.active(client=cls.admin, name="community", visibility="community")["id"]
        cls.foreign = case.make(client=cls.other, name="foreign")["id"]

    def runTest(self):
        pass

    def test_filters(self):
        mine = {self.a, self.b, self.c}
        q = self.ids
        self.assertEqual(set(q()), mine | {self.public})
        self.assertEqual(set(q("?owner=" + self.demo.project_id)), mine)
        self.assertEqual(q("?name=alpha"), [self.a])
        self.assertEqual(set(q("?name=in:alpha,gamma")), {self.a, self.c})
        self.assertEqual(q('?name=in:"be,ta"'), [self.b])
        self.assertEqual(set(q("?id=in:%s,%s" % (self.a, self.b))), {self.a, self.b})
        self.assertEqual(q("?status=queued"), [self.c])
        self.assertEqual(q("?disk_format=qcow2"), [self.c])
        self.assertEqual(set(q("?tag=t1")), {self.a, self.b})
        self.assertEqual(q("?tag=t1&tag=t2"), [self.a])
        self.assertEqual(q("?os=bsd"), [self.b])
        self.assertEqual(q("?os=bsd&os=linux"), [])
        self.assertEqual(q("?size=1000"), [self.a])
        self.assertEqual(set(q("?size_max=1500")), {self.a})
        self.assertEqual(set(q("?size_min=2000&owner=" + self.demo.project_id)), {self.b})
        self.assertEqual(q("?min_ram=512"), [self.b])
        self.assertEqual(q("?visibility=private"), [self.c])
        self.assertEqual(q("?visibility=public"), [self.public])
        self.assertEqual(q("?visibility=community"), [self.community])
        self.assertEqual(set(q("?visibility=all")), mine | {self.public, self.community})
        self.assertEqual(q("?os_hidden=true"), [self.hidden])
        self.assertEqual(q("?protected=true"), [])
        self.assertEqual(set(q("?created_at=gt:2001-01-01T00:00:00Z")), mine | {self.public})
        self.assertEqual(q("?created_at=lt:2001-01-01T00:00:00Z"), [])
        self.assertEqual(q("?checksum=" + hashlib.md5(b"a" * 1000).hexdigest()), [self.a])
        self.assertEqual(set(q(client=self.admin)), mine | {self.public, self.community, self.foreign})
        self.assertEqual(set(q(client=self.other)), {self.public, self.foreign})

    def test_bad_queries(self):
        for query in ("limit=-1", "limit=x", "sort=nope", "sort=name:up", "sort_key=nope", "sort_dir=up", "sort=name&sort_dir=asc", "visibility=secret",
                      "member_status=nope", "marker=" + str(uuid.uuid4()), "marker=" + self.foreign, "size_min=x", "created_at=yesterday",
                      "created_at=in:2001-01-01T00:00:00Z", "name=gt:x", "name=in:\"x", "protected=maybe", "os_hidden=1", "changes-since=2001-01-01",
                      "sort_key=name&sort_dir=asc&sort_dir=desc"):
            self.assertEqual(self.demo.get("/image/v2/images?" + query).status, 400, query)

    def test_order_and_pages(self):
        own = "owner=" + self.demo.project_id
        self.assertEqual(self.ids("?sort=name:asc&" + own), [self.a, self.b, self.c])
        self.assertEqual(self.ids("?sort_key=size&sort_dir=desc&" + own)[:2], [self.b, self.a])
        self.assertEqual(self.ids("?" + own), [self.c, self.b, self.a])          # newest first
        seen, url = [], "/v2/images?limit=1&sort=name:asc&" + own
        while url:
            r = self.demo.get("/image" + url).json
            seen += [i["id"] for i in r["images"]]
            self.assertTrue(r["first"].startswith("/v2/images?limit=1"))
            self.assertEqual(r["schema"], "/v2/schemas/images")
            url = r.get("next")
        self.assertEqual(seen, [self.a, self.b, self.c])
        self.assertEqual(self.ids("?limit=0"), [])
        self.assertEqual(self.demo.get("/image/v2/images/").status, 404)


class TestData(ImageCase):
    def test_upload_and_download(self):
        data = os.urandom(3 << 20)
        image = self.active(data)
        self.assertEqual((image["status"], image["size"], image["virtual_size"], image["checksum"], image["os_hash_algo"], image["os_hash_value"]),
                         ("active", len(data), len(data), hashlib.md5(data).hexdigest(), "sha512", hashlib.sha512(data).hexdigest()))
        url = "/image/v2/images/%s/file" % image["id"]
        r = self.demo.get(url)
        self.assertEqual((r.status, r.body == data, r.headers["content-type"], r.headers["content-md5"]),
                         (200, True, "application/octet-stream", image["checksum"]))
        for text, a, b in (("0-0", 0, 1), ("100-199", 100, 200), ("3000000-", 3000000, len(data)), ("-7", len(data) - 7, len(data)),
                           ("5-99999999", 5, len(data))):
            r = self.demo.get(url, headers={"Range": "bytes=" + text})
            self.assertEqual((r.status, r.body == data[a:b], r.headers["content-range"]), (206, True, "bytes %d-%d/%d" % (a, b - 1, len(data))), text)
        for text in ("bytes=99999999-", "bytes=5-4", "bytes=-", "bytes=-0", "bytes=x-y", "bytes=0-1,3-4", "lines=0-1", "bytes=--1"):
            r = self.demo.get(url, headers={"Range": text})
            self.assertEqual((r.status, r.headers["content-range"]), (416, "bytes */%d" % len(data)), text)
        self.upload(image["id"], b"again", status=409)
        with open("%s/images/%s" % (self.cloud.state, image["id"]), "rb") as f:
            self.assertEqual(f.read(), data)
        self.assertEqual(self.demo.delete("/image/v2/images/" + image["id"]).status, 204)
        self.assertNotIn(image["id"], " ".join(self.store()))

    def test_chunked(self):
        image = self.make()

        def pieces():
            for i in range(64):
                yield bytes([i]) * 5000
        self.upload(image["id"], pieces())
        self.assertEqual(self.show(image["id"])["size"], 320000)

    def test_qcow2(self):
        image = self.active(qcow2("5G"), disk_format="qcow2")
        self.assertEqual(image["virtual_size"], 5 << 30)

    def test_before_the_upload(self):
        image = self.make()
        r = self.demo.get("/image/v2/images/%s/file" % image["id"])
        self.assertEqual((r.status, r.body), (204, b""))
        r = self.demo.put("/image/v2/images/%s/file" % image["id"], raw=b"x", headers={"Content-Type": "text/plain"})
        self.assertEqual(r.status, 415)
        self.upload(self.make(disk_format=None)["id"], b"x", status=400)
        self.upload(self.make(container_format=None)["id"], b"x", status=400)
        self.upload(image["id"], b"", status=400)
        self.assertEqual(self.show(image["id"])["status"], "queued")
        self.upload(image["id"], b"x")

    def test_hostile_images(self):                               # IMG-01..14: the whole corpus is in tests/unit/test_inspect.c
        good = qcow2()

        def poke(at, fmt, *values):
            b = bytearray(good)
            struct.pack_into(">" + fmt, b, at, *values)
            return bytes(b)
        cases = [("qcow2", qcow2("1M", "backing_file=/etc/shadow,backing_fmt=raw") if os.geteuid() == 0 else poke(8, "Q", 512), "backing file"),
                 ("qcow2", poke(72, "Q", 4), "another file"), ("qcow2", poke(72, "Q", 1 << 40), "features"), ("qcow2", poke(4, "I", 9), "version"),
                 ("raw", good, "declared as raw"), ("vmdk", good, "declared as vmdk"), ("qcow2", b"KDMV" + bytes(5000), "declared as qcow2"),
                 ("qcow2", os.urandom(5000), "are not"), ("qcow2", b"QFI\xfb", "header"), ("raw", b"# Disk DescriptorFile\n" + b" " * 2000, "other files"),
                 ("qcow2", good[:0x8001] + b"CD001" + good[0x8006:], "multiple formats"), ("qcow2", qcow2("11T"), "virtual size")]
        before = self.store()
        for declared, data, why in cases:
            image = self.make(disk_format=declared)
            r = self.upload(image["id"], data, status=400)
            self.assertIn(why, r.message)
            got = self.show(image["id"])
            self.assertEqual((got["status"], got["size"], got["checksum"]), ("queued", None, None))
        self.assertEqual(self.store(), before)
        image = self.make(disk_format="qcow2")                   # and a refused image can still get good data
        self.upload(image["id"], b"nonsense", status=400)
        self.upload(image["id"], good)
        self.assertEqual(self.show(image["id"])["status"], "active")

    def test_aborted_upload(self):
        import socket
        image = self.make()
        before = self.store()
        for send in (0, 1, 70000, 300000):
            s = socket.create_connection(("127.0.0.1", self.cloud.port))
            s.sendall(("PUT /image/v2/images/%s/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: %s\r\nContent-Type: application/octet-stream\r\n"
                       "Content-Length: 1000000\r\n\r\n" % (image["id"], self.demo.token)).encode() + b"x" * send)
            self.cloud.wait(lambda: self.show(image["id"])["status"] == "saving", what="saving")
            self.upload(image["id"], b"second", status=409)      # one upload at a time
            s.close()
            self.cloud.wait(lambda: self.show(image["id"])["status"] == "queued", what="queued again")
            self.assertEqual(self.store(), before)
        self.upload(image["id"], b"x")

    def test_delete_during_upload(self):                         # IMG-21
        import socket
        before = self.store()
        for _ in range(10):
            image = self.make()
            s = socket.create_connection(("127.0.0.1", self.cloud.port))
            s.sendall(("PUT /image/v2/images/%s/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: %s\r\nContent-Type: application/octet-stream\r\n"
                       "Content-Length: 1000000\r\n\r\n" % (image["id"], self.demo.token)).encode() + b"x" * 500000)
            self.cloud.wait(lambda: any(image["id"] in name for name in self.store()), what="its file")
            self.assertEqual(self.demo.delete("/image/v2/images/" + image["id"]).status, 204)
            self.assertEqual(self.store(), before)
            s.sendall(b"x" * 500000)
            answer = s.recv(4096)
            self.assertTrue(answer.startswith(b"HTTP/1.1 410 "), answer[:200])
            s.close()
        self.assertEqual(self.store(), before)

    def test_deactivated(self):
        image = self.active()
        url = "/image/v2/images/" + image["id"]
        self.assertEqual(self.demo.post(url + "/actions/deactivate").status, 204)
        self.assertEqual(self.show(image["id"])["status"], "deactivated")
        self.assertEqual(self.demo.get(url + "/file").status, 403)
        self.assertEqual(self.admin.get(url + "/file").status, 200)
        self.upload(image["id"], b"x", status=403)               # IMG-19
        self.assertEqual(self.demo.post(url + "/actions/deactivate").status, 204)
        self.assertEqual(self.demo.post(url + "/actions/reactivate").status, 204)
        self.assertEqual(self.demo.get(url + "/file").status, 200)
        self.assertEqual(self.demo.post("/image/v2/images/%s/actions/deactivate" % self.make()["id"]).status, 400)

    def test_import(self):
        image = self.make(disk_format="qcow2")
        url = "/image/v2/images/%s/import" % image["id"]
        direct = {"method": {"name": "glance-direct"}}
        self.assertEqual(self.demo.post(url, direct).status, 409)
        self.upload(image["id"], qcow2("64M"), path="stage")
        self.assertEqual(self.show(image["id"])["status"], "uploading")
        self.upload(image["id"], b"x", path="stage", status=409)
        for body, status in (({}, 400), ({"method": {}}, 400), ({"method": {"name": "web-download", "uri": "http://127.0.0.1/"}}, 400), ([], 400)):
            self.assertEqual(self.demo.post(url, body).status, status, body)
        self.assertEqual(self.demo.post(url, direct).status, 202)
        got = self.show(image["id"])
        self.assertEqual((got["status"], got["virtual_size"], got["os_hash_value"]), ("active", 64 << 20, hashlib.sha512(qcow2("64M")).hexdigest()))
        self.assertEqual(self.demo.post(url, direct).status, 409)
        bad = self.make(disk_format="qcow2")["id"]
        self.upload(bad, b"not a qcow2", path="stage")
        self.assertEqual(self.demo.post("/image/v2/images/%s/import" % bad, direct).status, 400)
        self.assertEqual((self.show(bad)["status"], self.show(bad)["size"]), ("queued", None))
        self.assertNotIn(bad, " ".join(self.store()))

    def test_links_in_the_store(self):                           # IMG-26
        canary = self.cloud.top + "/canary"
        with open(canary, "w") as f:
            f.write("precious")
        os.chmod(canary, 0o666)
        image = self.make()
        os.symlink(canary, "%s/images/%s.part" % (self.cloud.state, image["id"]))
        self.upload(image["id"], b"hostile")
        with open(canary) as f:
            self.assertEqual(f.read(), "precious")
        path = "%s/images/%s" % (self.cloud.state, image["id"])
        os.unlink(path)
        os.symlink(canary, path)
        r = self.demo.get("/image/v2/images/%s/file" % image["id"])
        self.assertEqual(r.status, 500)
        self.assertNotIn(b"precious", r.body)
        self.cloud.unexpected.clear()


class TestSharing(ImageCase):
    def test_private_is_invisible(self):                         # IMG-23
        for visibility in ("private", "shared"):
            id = self.active(visibility=visibility)["id"]
            url = "/image/v2/images/" + id
            for r in (self.other.get(url), self.other.get(url + "/file"), self.other.delete(url), self.other.get(url + "/members"),
                      self.other.post(url + "/members", {"member": self.other.project_id}), self.other.put(url + "/tags/x"),
                      self.other.put(url + "/file", raw=b"x", headers=OCTETS), self.other.post(url + "/actions/deactivate"),
                      self.other.call("PATCH", url, [], headers={"Content-Type": PATCH})):
                self.assertEqual(r.status, 404, r)
            self.assertNotIn(id, self.ids("?visibility=all", client=self.other))
            self.assertEqual(self.admin.get(url).status, 200)

    def test_public_is_read_only(self):
        id = self.active(client=self.admin, visibility="public")["id"]
        url = "/image/v2/images/" + id
        self.assertEqual(self.demo.get(url + "/file").status, 200)
        for r in (self.demo.delete(url), self.demo.put(url + "/tags/x"), self.demo.post(url + "/actions/deactivate"),
                  self.demo.call("PATCH", url, [{"op": "add", "path": "/x", "value": "y"}], headers={"Content-Type": PATCH}),
                  self.demo.get(url + "/members"), self.demo.post(url + "/members", {"member": "x"})):
            self.assertEqual(r.status, 403, r)

    def test_publicize(self):                                    # IMG-24
        id = self.make()["id"]
        for visibility in ("public", "community"):
            self.assertEqual(self.demo.post("/image/v2/images", {"visibility": visibility}).status, 403)
            self.patch(id, {"op": "replace", "path": "/visibility", "value": visibility}, status=403)
        self.patch(id, {"op": "replace", "path": "/visibility", "value": "public"}, client=self.admin)
        self.patch(id, {"op": "replace", "path": "/visibility", "value": "public"})      # unchanged is no change
        self.patch(id, {"op": "replace", "path": "/visibility", "value": "private"})
        got = self.patch(id, {"op": "replace", "path": "/owner", "value": self.other.project_id}, client=self.admin)
        self.assertEqual(got["owner"], self.other.project_id)
        self.assertEqual(self.demo.get("/image/v2/images/" + id).status, 404)

    def test_members(self):
        id = self.active()["id"]
        url = "/image/v2/images/%s/members" % id
        them = self.other.project_id
        r = self.demo.post(url, {"member": them})
        self.assertEqual((r.status, r.json["status"], r.json["member_id"], r.json["image_id"], r.json["schema"]),
                         (200, "pending", them, id, "/v2/schemas/member"))
        self.assertEqual(self.demo.post(url, {"member": them}).status, 409)
        for body in ({}, {"member": ""}, {"member": 5}, []):
            self.assertEqual(self.demo.post(url, body).status, 400, body)
        self.assertEqual(self.other.get("/image/v2/images/%s/file" % id).status, 200)
        self.assertNotIn(id, self.ids(client=self.other))
        self.assertEqual(self.ids("?member_status=pending&visibility=shared", client=self.other), [id])
        mine = url + "/" + them
        self.assertEqual(self.demo.put(mine, {"status": "accepted"}).status, 403)
        self.assertEqual(self.other.put(mine, {"status": "nope"}).status, 400)
        self.assertEqual(self.other.put(mine, {}).status, 400)
        self.assertEqual(self.other.put(mine, {"status": "accepted"}).json["status"], "accepted")
        self.assertIn(id, self.ids(client=self.other))
        self.assertIn(id, self.ids("?member_status=all", client=self.other))
        self.assertEqual(self.other.put(mine, {"status": "rejected"}).status, 200)
        self.assertNotIn(id, self.ids(client=self.other))
        self.demo.post(url, {"member": "somebody-else"})
        self.assertEqual(len(self.demo.get(url).json["members"]), 2)
        self.assertEqual([m["member_id"] for m in self.other.get(url).json["members"]], [them])
        self.assertEqual(self.other.get(url + "/somebody-else").status, 404)
        self.assertEqual(self.other.post(url, {"member": "x"}).status, 403)
        self.assertEqual(self.other.delete(mine).status, 403)
        self.assertEqual(self.demo.delete(mine).status, 204)
        self.assertEqual(self.demo.delete(mine).status, 404)
        self.assertEqual(self.other.get("/image/v2/images/" + id).status, 404)
        private = self.make(visibility="private")["id"]
        self.assertEqual(self.demo.post("/image/v2/images/%s/members" % private, {"member": them}).status, 403)
        self.assertEqual(self.demo.get("/image/v2/images/%s/members/%s" % (private, them)).status, 404)


class TestLimits(ImageCase):
    @classmethod
    def options(cls):
        return {"image.size_max_gib": "1", "image.project_gib": "1"}

    def test_too_large(self):                                    # IMG-22
        import socket
        image = self.make()
        r = self.demo.put("/image/v2/images/%s/file" % image["id"], raw=b"x", headers=OCTETS)
        self.assertEqual(r.status, 204)
        image = self.make()
        s = socket.create_connection(("127.0.0.1", self.cloud.port))
        s.sendall(("PUT /image/v2/images/%s/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: %s\r\nContent-Type: application/octet-stream\r\n"
                   "Content-Length: %d\r\n\r\n" % (image["id"], self.demo.token, 1 << 40)).encode())
        self.assertIn(b" 413 ", s.recv(100))
        s.close()
        self.assertEqual(self.show(image["id"])["status"], "queued")

    def test_uploads_at_once_count_together(self):
        """Each fits, both do not: the second to end is refused."""
        images, gate, got = [self.make()["id"] for _ in range(2)], threading.Barrier(2), []

        def pieces():
            for _ in range(530):
                yield bytes(1 << 20)
            gate.wait(60)

        def upload(id):
            c = http.client.HTTPConnection("127.0.0.1", self.cloud.port, timeout=60)
            c.request("PUT", "/image/v2/images/%s/file" % id, body=pieces(), headers=dict(OCTETS, **{"X-Auth-Token": self.demo.token}),
                      encode_chunked=True)
            got.append(c.getresponse().status)
            c.close()
        threads = [threading.Thread(target=upload, args=(id,)) for id in images]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sorted(got), [204, 413])
        self.assertEqual(sorted(self.show(id)["status"] for id in images), ["active", "queued"])
        for id in images:
            self.assertEqual(self.demo.delete("/image/v2/images/" + id).status, 204)

    def test_endless_chunks(self):
        image = self.make()

        def pieces():
            for _ in range(1100):
                yield bytes(1 << 20)
        c = http.client.HTTPConnection("127.0.0.1", self.cloud.port, timeout=60)
        try:
            c.request("PUT", "/image/v2/images/%s/file" % image["id"], body=pieces(), headers=dict(OCTETS, **{"X-Auth-Token": self.demo.token}))
            self.assertEqual(c.getresponse().status, 413)
        except (BrokenPipeError, ConnectionResetError):
            pass                                                 # the answer came before we were done sending
        finally:
            c.close()
        self.cloud.wait(lambda: self.show(image["id"])["status"] == "queued", what="queued again")
        self.assertEqual([n for n in self.store() if image["id"] in n], [])


class TestCrash(ImageCase):
    def test_constant_memory(self):
        def rss():
            with open("/proc/%d/status" % self.cloud.serve.pid) as f:
                return int([l for l in f if l.startswith("VmRSS")][0].split()[1])
        image = self.make()
        before = rss()

        def pieces():
            for _ in range(512):
                yield bytes(1 << 20)
        peak = []
        done = threading.Event()

        def watch():
            while not done.is_set():
                peak.append(rss())
                time.sleep(0.02)
        t = threading.Thread(target=watch)
        t.start()
        self.upload(image["id"], pieces())
        done.set()
        t.join()
        self.assertLess(max(peak) - before, 8 << 10, "KiB more than before for 512 MiB uploaded")
        self.demo.delete("/image/v2/images/" + image["id"])

    def test_restart_after_every_fault(self):
        """Killed at each fault point of an upload, the service comes back with the image either as before or complete."""
        data = b"d" * 300000
        for point, after in (("image.upload.part", "queued"), ("image.upload.received", "queued"), ("image.upload.published", "queued"),
                             ("image.upload.active", "active")):
            image = self.make()
            self.cloud.kill()
            self.cloud.start(env={"NUVOLET_FAULT": point + "@1:kill"})
            try:
                self.demo.close()
                self.demo.put("/image/v2/images/%s/file" % image["id"], raw=data, headers=OCTETS)
                self.fail("not killed at " + point)
            except (ConnectionError, OSError, http.client.HTTPException):
                pass
            self.demo.close()
            self.cloud.serve.wait()
            self.cloud.start()
            got = self.show(image["id"])
            self.assertEqual(got["status"], after, point)
            files = [n for n in self.store() if image["id"] in n]
            self.assertEqual(files, [image["id"]] if after == "active" else [], point)
            if after == "queued":
                self.upload(image["id"], data)
            self.assertEqual(self.demo.get("/image/v2/images/%s/file" % image["id"]).body, data)

    def test_staged_survives(self):
        image = self.make()
        self.upload(image["id"], b"staged" * 1000, path="stage")
        self.cloud.kill()
        self.cloud.start()
        self.demo.close()
        self.assertEqual(self.show(image["id"])["status"], "uploading")
        self.assertEqual(self.demo.post("/image/v2/images/%s/import" % image["id"], {"method": {"name": "glance-direct"}}).status, 202)
        self.assertEqual(self.show(image["id"])["size"], 6000)


class TestMetadefs(ImageCase):
    NS = "/image/v2/metadefs/namespaces"

    def test_namespaces(self):
        name = "ns-" + uuid.uuid4().hex[:8]
        r = self.admin.post(self.NS, {"namespace": name, "visibility": "public", "protected": True, "description": "d", "tags": [{"name": "t"}],
                                      "properties": {"p": {"title": "P", "type": "string"}}, "objects": [{"name": "o"}],
                                      "resource_type_associations": [{"name": "OS::Nova::Server"}]})
        self.assertEqual((r.status, r.json["namespace"], r.json["properties"]), (201, name, {"p": {"title": "P", "type": "string"}}), r)
        self.assertTrue(r.headers["location"].endswith(self.NS + "/" + name))
        self.assertEqual(self.admin.post(self.NS, {"namespace": name}).status, 409)
        self.assertIn(name, [n["namespace"] for n in self.demo.get(self.NS).json["namespaces"]])
        self.assertEqual(self.demo.get(self.NS + "/" + name).json["objects"][0]["name"], "o")
        self.assertEqual(self.admin.delete(self.NS + "/" + name).status, 403)
        r = self.admin.put(self.NS + "/" + name, {"namespace": name + "x", "visibility": "private", "protected": False})
        self.assertEqual((r.status, r.json["visibility"]), (200, "private"), r)
        self.assertEqual(self.demo.get(self.NS + "/" + name + "x").status, 404)
        self.assertEqual(self.admin.get(self.NS + "/" + name + "x").json["tags"][0]["name"], "t")
        self.assertEqual(self.admin.delete(self.NS + "/" + name + "x").status, 204)
        self.assertEqual(self.admin.get(self.NS + "/" + name + "x").status, 404)

    def test_items(self):
        name = "ns-" + uuid.uuid4().hex[:8]
        url = self.NS + "/" + name
        self.assertEqual(self.admin.post(self.NS, {"namespace": name, "visibility": "public"}).status, 201)
        for kind, body, change in (("objects", {"name": "a", "description": "x"}, {"name": "b"}), ("resource_types", {"name": "a"}, None),
                                   ("properties", {"name": "a", "title": "A", "type": "string"}, {"name": "b", "title": "B", "type": "string"})):
            self.assertEqual(self.demo.post(url + "/" + kind, body).status, 403)
            self.assertEqual(self.admin.post(url + "/" + kind, body).status, 201)
            self.assertEqual(self.admin.post(url + "/" + kind, body).status, 409)
            self.assertEqual(self.admin.post(url + "/" + kind, dict(body, nonsense=1)).status, 400)
            if change:
                self.assertEqual(self.admin.put(url + "/%s/a" % kind, change).json["name"], "b")
                self.assertEqual(self.demo.get(url + "/%s/b" % kind).json["name"], "b")
                self.assertEqual(self.demo.get(url + "/%s/a" % kind).status, 404)
            self.assertEqual(self.admin.delete(url + "/%s/%s" % (kind, "b" if change else "a")).status, 204)
        self.assertEqual(len(self.admin.post(url + "/tags", {"tags": [{"name": "x"}, {"name": "y"}]}).json["tags"]), 2)
        self.assertEqual(self.admin.post(url + "/tags/z").status, 201)
        self.assertEqual(len(self.demo.get(url + "/tags").json["tags"]), 3)
        self.assertEqual(self.admin.delete(url + "/tags").status, 204)
        self.assertEqual(self.demo.get(url + "/tags").json["tags"], [])
        for body in ({}, [], {"namespace": ""}, {"namespace": "x" * 81}, {"namespace": "a/b"}, {"namespace": "x", "visibility": "shared"},
                     {"namespace": "x", "protected": "yes"}, {"namespace": "x", "nonsense": 1}):
            self.assertEqual(self.admin.post(self.NS, body).status, 400, body)
        self.assertEqual(self.demo.post(self.NS, {"namespace": "mine"}).status, 403)
        for schema, called in (("namespace", "namespace"), ("namespaces", "namespaces"), ("resource_type", "resource_type_association"),
                               ("resource_types", "resource_type_associations"), ("object", "object"), ("properties", "properties"), ("tags", "tags")):
            self.assertEqual(self.demo.get("/image/v2/schemas/metadefs/" + schema).json["name"], called)


class TestBases(unittest.TestCase):
    """A host's copy of an image goes when neither the image nor a server made from it is left."""

    def test_unused_copies_go(self):
        cloud = Cloud(options={"hosts.sync_s": "1"})
        try:
            demo = cloud.login("demo")
            image = demo.post("/image/v2/images", {"name": "i", "disk_format": "raw", "container_format": "bare"}).json["id"]
            self.assertEqual(demo.put("/image/v2/images/%s/file" % image, raw=b"x" * 512, headers=OCTETS).status, 204)
            flavor = min(demo.get("/compute/v2.1/flavors/detail").json["flavors"], key=lambda f: f["ram"])["id"]
            r = demo.post("/compute/v2.1/servers", {"server": {"name": "s", "imageRef": image, "flavorRef": flavor, "networks": "none"}})
            self.assertEqual(r.status, 202, r)
            url = "/compute/v2.1/servers/" + r.json["server"]["id"]
            cloud.wait(lambda: demo.get(url).json["server"]["status"] == "ACTIVE", what="ACTIVE")
            base = "%s/bases/%s" % (cloud.world, image)
            self.assertTrue(os.path.exists(base))
            self.assertEqual(demo.delete("/image/v2/images/" + image).status, 204)
            time.sleep(2.5)
            self.assertTrue(os.path.exists(base), "a server still needs it")
            self.assertEqual(demo.delete(url).status, 204)
            cloud.wait(lambda: not os.path.exists(base), what="removal of the copy")
            self.assertEqual(cloud.doctor(), "")
            foreign = demo.post("/image/v2/images", {"name": "v", "disk_format": "vmdk", "container_format": "bare"}).json["id"]
            self.assertEqual(demo.put("/image/v2/images/%s/file" % foreign, raw=b"x" * 5000, headers=OCTETS).status, 204)
            r = demo.post("/compute/v2.1/servers", {"server": {"name": "s", "imageRef": foreign, "flavorRef": flavor, "networks": "none"}})
            self.assertEqual(r.status, 400)
            self.assertIn("vmdk", r.message)
            demo.close()
        finally:
            cloud.stop()


del ImageCase

if __name__ == "__main__":
    unittest.main()
