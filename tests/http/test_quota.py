"""tests/http/test_quota.py -- limits of projects, users and classes in compute and network: what is shown is what is enforced, counted from the rows."""
import concurrent.futures
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib.cloud import Client, Cloud  # noqa: E402

V, N, V3 = "/compute/v2.1", "/network/v2.0", "/identity/v3"


class Quotas(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cloud = Cloud(options={"identity.failed_logins": "1000", "log.level": "info", "quota.instances": "6"})
        cls.addClassCleanup(cls.cloud.stop)
        cls.admin = cls.cloud.login("admin")
        cls.image = cls.admin.post("/image/v2/images", {"name": "i", "disk_format": "raw", "container_format": "bare", "visibility": "public"}).json["id"]
        cls.admin.call("PUT", "/image/v2/images/%s/file" % cls.image, raw=b"x" * 65536, headers={"Content-Type": "application/octet-stream"})
        cls.flavor = [f["id"] for f in cls.admin.get(V + "/flavors").json["flavors"] if f["name"] == "m1.nano"][0]
        cls.role = cls.admin.get(V3 + "/roles?name=member").json["roles"][0]["id"]

    def setUp(self):
        self.t = self.cloud.new_tenant()
        self.path = V + "/os-quota-sets/" + self.t.project_id

    def friend(self):
        """Another user of the same project."""
        u = self.admin.post(V3 + "/users", {"user": {"name": self.t.user_id[:20], "password": "pw"}}).json["user"]
        self.admin.put("%s/projects/%s/users/%s/roles/%s" % (V3, self.t.project_id, u["id"], self.role))
        return self.cloud.login(u["name"], "pw", scope={"project": {"id": self.t.project_id}})

    def boot(self, who, n=1, least=None):
        return who.post(V + "/servers", {"server": {"name": "s", "flavorRef": self.flavor, "imageRef": self.image, "networks": "none",
                                                    "min_count": least or n, "max_count": n}})

    def set(self, path=None, status=200, **limits):
        r = self.admin.put(path or self.path, {"quota_set": limits})
        self.assertEqual(r.status, status, (limits, r))
        return r

    def detail(self, query=""):
        return self.t.get(self.path + "/detail" + query).json["quota_set"]

    def clear(self, who):
        for s in who.get(V + "/servers").json["servers"]:
            who.delete(V + "/servers/" + s["id"])
        self.cloud.wait(lambda: not who.get(V + "/servers").json["servers"], 20, "servers gone")

    def test_project(self):
        self.assertEqual(self.t.get(self.path).json["quota_set"]["instances"], 6)
        self.set(instances=2)
        self.assertEqual(self.boot(self.t, 2).status, 202)
        d = self.detail()
        self.assertEqual((d["instances"], d["cores"]["in_use"]), ({"limit": 2, "in_use": 2, "reserved": 0}, 2))
        r = self.boot(self.t)
        self.assertEqual((r.status, "already used 2 of 2 instances" in r.message), (403, True))
        self.set(instances=1, status=400)                        # below what is used
        self.set(instances=1, force=True)
        self.assertEqual(self.detail()["instances"]["limit"], 1)
        self.assertEqual(self.admin.delete(self.path).status, 202)
        self.assertEqual(self.detail()["instances"]["limit"], 6)
        self.assertEqual(self.boot(self.t, 9, least=1).status, 202)                        # as many as there is room for
        self.assertEqual(self.detail()["instances"]["in_use"], 6)
        self.clear(self.t)
        self.assertEqual(self.detail()["instances"]["in_use"], 0)

    def test_user_within_the_project(self):
        f, mine = self.friend(), "?user_id=" + self.t.user_id
        self.set(self.path + mine, instances=2)
        self.assertEqual(self.t.get(self.path + mine).json["quota_set"]["instances"], 2)
        self.assertEqual(self.t.get(self.path).json["quota_set"]["instances"], 6)
        self.assertEqual(self.boot(self.t, 2).status, 202)
        r = self.boot(self.t)
        self.assertEqual((r.status, "already used 2 of 2 instances" in r.message), (403, True))
        self.assertEqual(self.boot(f, 4).status, 202)            # his is the project's
        self.assertEqual(self.detail(mine)["instances"], {"limit": 2, "in_use": 2, "reserved": 0})
        self.assertEqual(self.detail("?user_id=" + f.user_id)["instances"], {"limit": 6, "in_use": 4, "reserved": 0})
        self.assertEqual(self.detail()["instances"]["in_use"], 6)
        self.set(self.path + mine, instances=3)
        self.assertEqual(self.boot(self.t).status, 403)          # the project's limit holds as well
        self.clear(self.t)                                       # servers are the project's
        # A user's is at most what the project has left for him; the project's at least what its users were given.
        self.set(self.path + mine, instances=7, status=400)
        self.set(self.path + mine, instances=-1, status=400)
        self.set(self.path + "?user_id=" + f.user_id, instances=3)
        self.set(self.path + mine, instances=4, status=400)
        self.set(instances=5, status=400)
        self.set(self.path + mine, instances=4, force=True)
        self.set(self.path + "?user_id=" + "0" * 32, instances=1, status=400)
        self.assertEqual(self.t.put(self.path + mine, {"quota_set": {"instances": 9}}).status, 403)
        self.assertEqual(self.admin.delete(self.path + mine).status, 202)
        self.assertEqual(self.t.get(self.path + mine).json["quota_set"]["instances"], 6)
        self.assertEqual(self.t.get(self.path + "?user_id=" + f.user_id).json["quota_set"]["instances"], 3)
        self.assertEqual(self.admin.delete(self.path).status, 202)                         # those of all users
        self.assertEqual(self.t.get(self.path + "?user_id=" + f.user_id).json["quota_set"]["instances"], 6)
        self.set(self.path + mine, cores=1)
        self.assertEqual(self.admin.delete("%s/users/%s" % (V3, f.user_id)).status, 204)
        self.assertEqual(self.cloud.doctor(), "")

    def test_class(self):
        path = V + "/os-quota-class-sets/default"
        self.assertEqual(self.admin.get(path).json["quota_class_set"]["cores"], 20)
        self.assertEqual(self.admin.put(path, {"quota_class_set": {"cores": 33}}).json["quota_class_set"]["cores"], 33)
        try:
            self.assertEqual(self.t.get(self.path).json["quota_set"]["cores"], 33)
            self.assertEqual(self.t.get(self.path + "/defaults").json["quota_set"]["cores"], 33)
            self.assertEqual(self.t.get(V + "/limits").json["limits"]["absolute"]["maxTotalCores"], 33)
            self.set(cores=5)                                    # a project's own goes before
            self.assertEqual(self.t.get(self.path).json["quota_set"]["cores"], 5)
            self.assertEqual(self.admin.put(path, {"quota_class_set": {"bogus": 1}}).status, 400)
            self.assertEqual(self.admin.put(path, {"quota_class_set": {"cores": -2}}).status, 400)
            self.assertEqual(self.t.put(path, {"quota_class_set": {"cores": 99}}).status, 403)
            self.assertEqual(self.admin.put(V + "/os-quota-class-sets/gold", {"quota_class_set": {"cores": 1}}).status, 200)
            self.assertEqual(self.admin.get(path).json["quota_class_set"]["cores"], 33)
        finally:
            self.admin.put(path, {"quota_class_set": {"cores": 20}})

    def test_race(self):                                         # TEN-07
        self.set(instances=3, cores=-1)
        self.set(self.path + "?user_id=" + self.t.user_id, instances=2)

        def one(_):
            c = Client(self.cloud, self.t.token)
            status = self.boot(c).status
            c.close()
            return status
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            got = list(pool.map(one, range(40)))
        self.assertEqual((got.count(202), got.count(403)), (2, 38))
        for n, least in ((2 ** 31, 1), (1, 2), (-1, -1), (2 ** 63, 1), (0, 0)):
            self.assertEqual(self.boot(self.t, n, least).status, 400, (n, least))
        self.clear(self.t)

    def test_network(self):
        path = "%s/quotas/%s" % (N, self.t.project_id)
        self.assertEqual(self.admin.put(path, {"quota": {"network": 2, "security_group": 3}}).json["quota"]["network"], 2)

        def one(_):
            c = Client(self.cloud, self.t.token)
            r = c.post(N + "/networks", {"network": {"name": "n"}})
            c.close()
            return r
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            got = list(pool.map(one, range(20)))
        self.assertEqual(sorted({r.status for r in got}), [201, 409])
        self.assertEqual(sum(r.status == 201 for r in got), 2)
        self.assertIn("Quota exceeded", [r.message for r in got if r.status == 409][0])
        for details in (path + "/details.json", path + "/details"):
            d = self.t.get(details)
            if d.status == 200:
                self.assertEqual(d.json["quota"]["network"], {"limit": 2, "used": 2, "reserved": 0})
        self.assertEqual(self.t.get(path + "/default").json["quota"]["network"], 100)
        self.assertIn(self.t.project_id, [q["project_id"] for q in self.admin.get(N + "/quotas").json["quotas"]])
        self.assertEqual(self.t.put(path, {"quota": {"network": 9}}).status, 403)
        for check in (True, "yes"):
            r = self.admin.put(path, {"quota": {"check_limit": check, "security_group": 9, "network": 1}})
            self.assertEqual((r.status, "already used 2" in r.message), (400, True), r)
        self.assertEqual(self.t.get(path).json["quota"]["security_group"], 3)           # nothing of it was set
        for body in ({"network": 2, "check_limit": True}, {"network": 1, "check_limit": False}, {"network": -1, "check_limit": True}, {"network": 1}):
            self.assertEqual(self.admin.put(path, {"quota": body}).status, 200, body)
        for bad in ({"bogus": 1}, {"network": -2}, {"network": "x"}, {"network": 2 ** 40}):
            self.assertEqual(self.admin.put(path, {"quota": bad}).status, 400, bad)
        self.assertEqual(self.admin.delete(path).status, 204)
        self.assertEqual(self.t.get(path).json["quota"]["network"], 100)

    def test_phantom_projects(self):                             # TEN-08
        def counts():
            return [len(self.admin.get(p).json[k]) for p, k in ((N + "/security-groups", "security_groups"), (N + "/quotas", "quotas"), (V3 + "/projects", "projects"))]
        before = counts()
        for i in range(50):
            ghost = "%032x" % (0xdead0000 + i)
            self.assertEqual(self.admin.get(N + "/security-groups?project_id=" + ghost).json["security_groups"], [])
            self.assertEqual(self.t.get(N + "/quotas/" + ghost).status, 403)
            self.assertEqual(self.admin.get(V + "/os-quota-sets/" + ghost).status, 400)
            self.assertEqual(self.admin.put(V + "/os-quota-sets/" + ghost, {"quota_set": {"cores": 1}}).status, 400)
            self.assertEqual(self.t.get(V + "/os-simple-tenant-usage/" + ghost).status, 403)
        self.assertEqual(counts(), before)

    def test_volumes_are_not_pretended(self):
        """The volume service is not there: neither in the catalog nor at an address."""
        self.assertNotIn("block-storage", {s["type"] for s in self.t.get(V3 + "/auth/catalog").json["catalog"]})
        self.assertEqual(self.t.get("/volume/v3/%s/os-quota-sets/%s" % (self.t.project_id, self.t.project_id)).status, 404)


if __name__ == "__main__":
    unittest.main()
