"""tests/http/test_identity.py -- Keystone's API against the real serve: people, roles, scopes, the catalog, and who may what."""
import base64
import concurrent.futures
import hmac
import os
import struct
import sys
import threading
import time
import unittest
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib.cloud import Client, Cloud  # noqa: E402

V3 = "/identity/v3"


def setUpModule():
    global cloud, admin, demo, roles
    cloud = Cloud(agent=False, options={"identity.failed_logins": "100000", "identity.password_history": "3"})
    admin, demo = cloud.login("admin"), cloud.login("demo")
    roles = {r["name"]: r["id"] for r in admin.get(V3 + "/roles").json["roles"]}


def tearDownModule():
    cloud.stop()


def name():
    return "x-" + uuid.uuid4().hex[:10]


def make(kind, many=None, **body):
    body.setdefault("name", name())
    r = admin.post("%s/%s" % (V3, many or kind + "s"), {kind: body})
    assert r.status == 201, r
    return r.json[kind]


def password_login(user_id, password, scope="unscoped"):
    c = Client(cloud)
    r = c.post(V3 + "/auth/tokens", {"auth": {"identity": {"methods": ["password"], "password": {"user": {"id": user_id, "password": password}}},
                                              "scope": scope}})
    if r.status == 201:
        c.token, c.user_id = r.headers["x-subject-token"], user_id
    return r, c


def persona(role, scope):
    """A fresh user with the role on scope ({"project"|"domain"|"system"}); a Client with that token."""
    user = make("user", password="pw")
    if "system" in scope:
        path, wanted = "system", {"system": {"all": True}}
    else:
        kind, = scope
        path, wanted = "%ss/%s" % (kind, scope[kind]), {kind: {"id": scope[kind]}}
    assert admin.put("%s/%s/users/%s/roles/%s" % (V3, path, user["id"], roles[role])).status == 204
    r, c = password_login(user["id"], "pw", wanted)
    assert r.status == 201, r
    return c


class Tokens(unittest.TestCase):
    def test_body_of_a_project_token(self):
        r = admin.get(V3 + "/auth/tokens", headers={"X-Subject-Token": demo.token})
        self.assertEqual(r.status, 200)
        t = r.json["token"]
        self.assertEqual(t["user"]["name"], "demo")
        self.assertEqual(t["project"]["domain"], {"id": "default", "name": "Default"})
        self.assertEqual({x["name"] for x in t["roles"]}, {"member", "reader"})
        self.assertEqual({s["type"] for s in t["catalog"]}, {"identity", "compute", "image", "network"})
        for s in t["catalog"]:
            self.assertEqual({e["interface"] for e in s["endpoints"]}, {"public", "internal", "admin"})
        self.assertRegex(t["expires_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        self.assertNotIn("catalog", admin.get(V3 + "/auth/tokens?nocatalog", headers={"X-Subject-Token": demo.token}).json["token"])
        self.assertEqual(admin.call("HEAD", V3 + "/auth/tokens", headers={"X-Subject-Token": demo.token}).status, 200)

    def test_whose_token_is_asked_about_counts(self):
        for subject, status in ((demo.token, 200), (admin.token, 403), (demo.token, 200), ("no-such-token", 404)):
            self.assertEqual(demo.get(V3 + "/auth/tokens", headers={"X-Subject-Token": subject}).status, status)

    def test_a_revoked_token_is_dead_everywhere_and_after_a_restart(self):
        c = cloud.login("demo")
        self.assertEqual(c.delete(V3 + "/auth/tokens", headers={"X-Subject-Token": c.token}).status, 204)
        self.assertEqual(c.get(V3 + "/auth/projects").status, 401)
        self.assertEqual(admin.get(V3 + "/auth/tokens", headers={"X-Subject-Token": c.token}).status, 404)
        self.assertEqual(c.get("/image/v2/images").status, 401)

    def test_a_restart_changes_nothing(self):
        c = Cloud(agent=False)
        try:
            kept, gone = c.login("demo"), c.login("demo")
            self.assertEqual(gone.delete(V3 + "/auth/tokens", headers={"X-Subject-Token": gone.token}).status, 204)
            c.kill()
            c.start()
            self.assertEqual(kept.get(V3 + "/auth/projects").status, 200)
            self.assertEqual(gone.get(V3 + "/auth/projects").status, 401)
        finally:
            c.stop()

    def test_many_logins_at_once_hold_nobody_up(self):
        wrong = {"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "demo", "domain": {"id": "default"}, "password": "no"}}}}}
        got, slowest = [], 0

        def knock():
            c = Client(cloud)
            got.append(c.post(V3 + "/auth/tokens", wrong).status)
            c.close()
        threads = [threading.Thread(target=knock) for _ in range(60)]
        first = time.monotonic()
        for t in threads:
            t.start()
        while any(t.is_alive() for t in threads):
            begin = time.monotonic()
            self.assertEqual(demo.get(V3 + "/auth/system").status, 200)
            slowest = max(slowest, time.monotonic() - begin)
        self.assertLessEqual(set(got), {401, 503})
        self.assertLess(slowest, max(0.5, (time.monotonic() - first) / 3))     # who is held up waits for nearly all of the sixty

    def test_wrong_logins_cannot_be_told_apart(self):
        bodies = set()
        for user, pw in (("demo", "wrong"), ("nobody-" + name(), "wrong")):
            r = Client(cloud).post(V3 + "/auth/tokens", {"auth": {"identity": {"methods": ["password"], "password": {"user": {
                "name": user, "domain": {"id": "default"}, "password": pw}}}}})
            self.assertEqual(r.status, 401)
            bodies.add(r.body)
        self.assertEqual(len(bodies), 1)

    def test_hostile_bodies(self):
        for auth, status in (({}, 400), ({"identity": []}, 400), ({"identity": {"methods": "password"}}, 400), ({"identity": {"methods": ["password"] * 1000}}, 400),
                             ({"identity": {"methods": ["password"], "password": {"user": {"id": 3, "password": "x"}}}}, 400),
                             ({"identity": {"methods": ["password"], "password": {"user": {"name": "demo", "password": "x"}}}}, 400),
                             ({"identity": {"methods": ["password"], "password": {"user": {"id": "x", "password": ["x"]}}}}, 400),
                             ({"identity": {"methods": ["password"], "password": {"user": {"id": "x", "password": "y" * 5000}}}}, 400),
                             ({"identity": {"methods": ["token"], "token": {"id": "' OR 1=1 --"}}}, 404)):
            r = Client(cloud).post(V3 + "/auth/tokens", {"auth": auth})
            self.assertEqual(r.status, status, (str(auth)[:80], r))
            self.assertIn("error", r.json)

    def test_forged_identity_headers_mean_nothing(self):
        forged = {"X-User-Id": admin.user_id, "X-Roles": "admin", "X-Project-Id": admin.project_id, "X-Is-Admin-Project": "True", "X-Identity-Status": "Confirmed",
                  "x_roles": "admin"}
        self.assertEqual(Client(cloud).get(V3 + "/users", headers=forged).status, 401)
        self.assertEqual(demo.get(V3 + "/users", headers=forged).status, 403)

    def test_what_a_token_rests_on(self):
        """Disabled, deleted, password changed, role removed, group left: 401 on the next request, and re-enabling does not revive."""
        def fresh():
            user, project = make("user", password="pw"), make("project")
            admin.put("%s/projects/%s/users/%s/roles/%s" % (V3, project["id"], user["id"], roles["member"]))
            r, c = password_login(user["id"], "pw", {"project": {"id": project["id"]}})
            self.assertEqual(r.status, 201, r)
            self.assertEqual(c.get(V3 + "/auth/projects").status, 200)
            return user["id"], project["id"], c

        u, p, c = fresh()
        for enabled in ("False", 0, None):
            self.assertEqual(admin.patch("%s/users/%s" % (V3, u), {"user": {"enabled": enabled}}).status, 400)
        self.assertEqual(c.get(V3 + "/auth/projects").status, 200)
        admin.patch("%s/users/%s" % (V3, u), {"user": {"enabled": False}})
        self.assertEqual(c.get(V3 + "/auth/projects").status, 401)
        admin.patch("%s/users/%s" % (V3, u), {"user": {"enabled": True}})
        self.assertEqual(c.get(V3 + "/auth/projects").status, 401)
        for undo in (lambda u, p: admin.delete("%s/users/%s" % (V3, u)), lambda u, p: admin.patch("%s/users/%s" % (V3, u), {"user": {"password": "n"}}),
                     lambda u, p: admin.delete("%s/projects/%s/users/%s/roles/%s" % (V3, p, u, roles["member"])),
                     lambda u, p: admin.patch("%s/projects/%s" % (V3, p), {"project": {"enabled": False}}), lambda u, p: admin.delete("%s/projects/%s" % (V3, p))):
            u, p, c = fresh()
            self.assertIn(undo(u, p).status, (200, 204))
            self.assertEqual(c.get(V3 + "/auth/projects").status, 401)

    def test_leaving_a_group(self):
        u, g, p = make("user", password="pw"), make("group"), make("project")
        admin.put("%s/projects/%s/groups/%s/roles/%s" % (V3, p["id"], g["id"], roles["member"]))
        self.assertEqual(password_login(u["id"], "pw", {"project": {"id": p["id"]}})[0].status, 401)
        self.assertEqual(admin.put("%s/groups/%s/users/%s" % (V3, g["id"], u["id"])).status, 204)
        r, c = password_login(u["id"], "pw", {"project": {"id": p["id"]}})
        self.assertEqual(r.status, 201)
        self.assertEqual([x["id"] for x in c.get("%s/users/%s/groups" % (V3, u["id"])).json["groups"]], [g["id"]])
        self.assertEqual(admin.delete("%s/groups/%s/users/%s" % (V3, g["id"], u["id"])).status, 204)
        self.assertEqual(c.get(V3 + "/auth/projects").status, 401)

    def test_no_stale_success_while_many_use_it(self):
        u, p = make("user", password="pw"), make("project")
        grant = "%s/projects/%s/users/%s/roles/%s" % (V3, p["id"], u["id"], roles["member"])
        for _ in range(3):
            admin.put(grant)
            r, c = password_login(u["id"], "pw", {"project": {"id": p["id"]}})
            self.assertEqual(r.status, 201)
            stop, removed, wrong = threading.Event(), [], []

            def use():
                mine = Client(cloud, c.token)
                while not stop.is_set():
                    before = bool(removed)
                    if mine.get(V3 + "/auth/domains").status == 200 and before:
                        wrong.append(1)
                mine.close()
            threads = [threading.Thread(target=use) for _ in range(32)]
            for t in threads:
                t.start()
            time.sleep(0.1)
            self.assertEqual(admin.delete(grant).status, 204)
            removed.append(1)
            time.sleep(0.1)
            stop.set()
            for t in threads:
                t.join()
            self.assertEqual(wrong, [])


class People(unittest.TestCase):
    def test_user_life(self):
        u = make("user", password="pw", email="a@b.c", description="d", phone="123")
        self.assertEqual((u["email"], u["phone"], u["enabled"], u["domain_id"], u["options"]), ("a@b.c", "123", True, "default", {}))
        self.assertNotIn("password", u)
        self.assertRegex(u["id"], "^[0-9a-f]{32}$")
        self.assertTrue(u["links"]["self"].endswith("/identity/v3/users/" + u["id"]))
        new = name()
        v = admin.patch("%s/users/%s" % (V3, u["id"]), {"user": {"name": new, "phone": None, "domain_id": "default"}}).json["user"]
        self.assertEqual(v["name"], new)
        self.assertNotIn("phone", v)
        self.assertEqual([x["id"] for x in admin.get("%s/users?name=%s" % (V3, new)).json["users"]], [u["id"]])
        self.assertEqual(admin.post(V3 + "/users", {"user": {"name": new}}).status, 409)
        self.assertEqual(admin.delete("%s/users/%s" % (V3, u["id"])).status, 204)
        self.assertEqual(admin.get("%s/users/%s" % (V3, u["id"])).status, 404)

    def test_server_owned_attributes(self):
        u = make("user", password="pw")
        for field, value in (("id", "0" * 32), ("password_hash", "x"), ("password_generation", 0), ("created_at", "2020-01-01T00:00:00Z"),
                             ("password_expires_at", None), ("extra", {}), ("domain_id", "other"), ("enabled", None), ("options", {"x": True})):
            self.assertEqual(admin.patch("%s/users/%s" % (V3, u["id"]), {"user": {field: value}}).status, 400, field)
        for field in ("id", "password_hash", "created_at", "extra"):
            self.assertEqual(admin.post(V3 + "/users", {"user": {"name": name(), field: "x"}}).status, 400, field)

    def test_password_change(self):
        u = make("user", password="one")
        path = "%s/users/%s/password" % (V3, u["id"])
        r, c = password_login(u["id"], "one")
        self.assertEqual(c.post(path, {"user": {"password": "two"}}).status, 400)
        self.assertEqual(c.post(path, {"user": {"password": "two", "original_password": "bad"}}).status, 401)
        self.assertEqual(c.post(path, {"user": {"password": "one", "original_password": "one"}}).status, 400)
        self.assertEqual(c.post(path, {"user": {"password": "two", "original_password": "one"}}).status, 204)
        self.assertEqual(c.get(V3 + "/auth/projects").status, 401)
        self.assertEqual(password_login(u["id"], "one")[0].status, 401)
        self.assertEqual(c.post(path, {"user": {"password": "one", "original_password": "two"}}, headers={"X-Auth-Token": None}).status, 400)
        self.assertEqual(password_login(u["id"], "two")[0].status, 201)
        self.assertEqual(demo.post(path, {"user": {"password": "x", "original_password": "y"}}).status, 401)
        self.assertEqual(demo.patch("%s/users/%s" % (V3, u["id"]), {"user": {"password": "x"}}).status, 403)
        self.assertEqual(admin.patch("%s/users/%s" % (V3, u["id"]), {"user": {"password": "one"}}).status, 200)

    def test_long_passwords_differ_to_the_end(self):
        u = make("user", password="x" * 1000 + "a")
        self.assertEqual(password_login(u["id"], "x" * 1000 + "b")[0].status, 401)
        self.assertEqual(password_login(u["id"], "x" * 1000 + "a")[0].status, 201)

    def test_project_tree(self):
        top = make("project", tags=["a", "b"])
        mid = make("project", parent_id=top["id"])
        low = make("project", parent_id=mid["id"])
        self.assertEqual((top["parent_id"], mid["domain_id"], top["is_domain"], sorted(top["tags"])), ("default", "default", False, ["a", "b"]))
        p = "%s/projects/" % V3
        self.assertEqual(admin.get(p + low["id"] + "?parents_as_ids").json["project"]["parents"], {mid["id"]: {top["id"]: None}})
        self.assertEqual(admin.get(p + top["id"] + "?subtree_as_ids").json["project"]["subtree"], {mid["id"]: {low["id"]: None}})
        both = admin.get(p + mid["id"] + "?parents_as_list&subtree_as_list").json["project"]
        self.assertEqual([x["project"]["id"] for x in both["parents"] + both["subtree"]], [top["id"], low["id"]])
        self.assertEqual(admin.get("%s/projects?parent_id=%s" % (V3, top["id"])).json["projects"][0]["id"], mid["id"])
        self.assertEqual(admin.delete(p + mid["id"]).status, 403)
        self.assertEqual(admin.patch(p + top["id"], {"project": {"enabled": False}}).status, 403)
        self.assertEqual(admin.patch(p + low["id"], {"project": {"enabled": False}}).status, 200)
        self.assertEqual(admin.patch(p + low["id"], {"project": {"parent_id": top["id"]}}).status, 400)
        for x in (low, mid, top):
            self.assertEqual(admin.delete(p + x["id"]).status, 204)

    def test_project_tags(self):
        p = make("project")
        tags = "%s/projects/%s/tags" % (V3, p["id"])
        self.assertEqual(admin.put(tags, {"tags": ["red", "blue"]}).status, 200)
        self.assertEqual(admin.put(tags + "/green").status, 201)
        self.assertEqual(admin.get(tags + "/green").status, 204)
        self.assertEqual(admin.get(tags + "/grey").status, 404)
        self.assertEqual(admin.delete(tags + "/red").status, 204)
        self.assertEqual(sorted(admin.get(tags).json["tags"]), ["blue", "green"])
        ids = lambda q: [x["id"] for x in admin.get("%s/projects?%s" % (V3, q)).json["projects"]]  # noqa: E731
        self.assertIn(p["id"], ids("tags=blue,green"))
        self.assertNotIn(p["id"], ids("tags=blue,red"))
        self.assertIn(p["id"], ids("tags-any=blue,red"))
        self.assertNotIn(p["id"], ids("not-tags-any=blue"))
        self.assertEqual(admin.delete(tags).status, 204)
        self.assertEqual(admin.get(tags).json["tags"], [])
        with concurrent.futures.ThreadPoolExecutor(8) as pool:           # at once: none overwrites another
            self.assertEqual(set(pool.map(lambda i: Client(cloud, admin.token).put("%s/t%d" % (tags, i)).status, range(16))), {201})
        self.assertEqual(len(admin.get(tags).json["tags"]), 16)

    def test_domain_life(self):
        d = make("domain", description="d")
        u, g, p = make("user", domain_id=d["id"], password="x"), make("group", domain_id=d["id"]), make("project", domain_id=d["id"])
        r = make("role", domain_id=d["id"])
        self.assertEqual(admin.delete("%s/domains/%s" % (V3, d["id"])).status, 403)
        self.assertEqual(admin.patch("%s/domains/%s" % (V3, d["id"]), {"domain": {"enabled": False}}).status, 200)
        self.assertEqual(password_login(u["id"], "x")[0].status, 401)
        self.assertEqual(admin.delete("%s/domains/%s" % (V3, d["id"])).status, 204)
        for path in ("users/" + u["id"], "groups/" + g["id"], "projects/" + p["id"], "roles/" + r["id"], "domains/" + d["id"]):
            self.assertEqual(admin.get("%s/%s" % (V3, path)).status, 404, path)
        self.assertEqual(admin.delete(V3 + "/domains/default").status, 403)

    def test_is_domain_project(self):
        n = name()
        p = admin.post(V3 + "/projects", {"project": {"name": n, "is_domain": True}}).json["project"]
        self.assertEqual((p["is_domain"], p["parent_id"], p["domain_id"]), (True, None, None))
        self.assertEqual(admin.get(V3 + "/domains/" + p["id"]).json["domain"]["name"], n)
        self.assertIn(p["id"], [x["id"] for x in admin.get(V3 + "/projects?is_domain=true").json["projects"]])
        self.assertNotIn(p["id"], [x["id"] for x in admin.get(V3 + "/projects").json["projects"]])

    def test_immutable(self):
        p = make("project", options={"immutable": True})
        path = "%s/projects/%s" % (V3, p["id"])
        self.assertEqual(admin.patch(path, {"project": {"description": "x"}}).status, 403)
        self.assertEqual(admin.delete(path).status, 403)
        self.assertEqual(admin.patch(path, {"project": {"options": {"immutable": False}}}).status, 200)
        self.assertEqual(admin.delete(path).status, 204)


class Roles(unittest.TestCase):
    def test_grants(self):
        d, g, u, p, r = make("domain"), make("group"), make("user"), make("project"), make("role")
        for target in ("projects/" + p["id"], "domains/" + d["id"], "system"):
            for actor in ("users/" + u["id"], "groups/" + g["id"]):
                path = "%s/%s/%s/roles" % (V3, target, actor)
                one = path + "/" + r["id"]
                self.assertEqual(admin.get(one).status, 404)
                self.assertEqual(admin.put(one).status, 204)
                self.assertEqual(admin.put(one).status, 204)
                self.assertEqual(admin.call("HEAD", one).status, 204)
                self.assertEqual([x["id"] for x in admin.get(path).json["roles"]], [r["id"]])
                self.assertEqual(admin.delete(one).status, 204)
                self.assertEqual(admin.delete(one).status, 404)
        for bad in ("projects/%s/users/%s/roles/%s" % (p["id"], g["id"], r["id"]), "projects/%s/groups/%s/roles/%s" % (p["id"], u["id"], r["id"]),
                    "domains/%s/users/%s/roles/%s" % (p["id"], u["id"], r["id"]), "projects/%s/users/%s/roles/%s" % (p["id"], u["id"], u["id"])):
            self.assertEqual(admin.put("%s/%s" % (V3, bad)).status, 404, bad)

    def test_inherited(self):
        top = make("project")
        low, u = make("project", parent_id=top["id"]), make("user", password="pw")
        path = "%s/OS-INHERIT/projects/%s/users/%s/roles/%s/inherited_to_projects" % (V3, top["id"], u["id"], roles["member"])
        self.assertEqual(admin.put(path).status, 204)
        self.assertEqual(admin.call("HEAD", path).status, 204)
        self.assertEqual(password_login(u["id"], "pw", {"project": {"id": top["id"]}})[0].status, 401)
        r, c = password_login(u["id"], "pw", {"project": {"id": low["id"]}})
        self.assertEqual(r.status, 201)
        self.assertEqual([x["id"] for x in c.get(V3 + "/auth/projects").json["projects"]], [low["id"]])
        given = admin.get("%s/role_assignments?user.id=%s" % (V3, u["id"])).json["role_assignments"]
        self.assertEqual([x["scope"] for x in given], [{"project": {"id": top["id"]}, "OS-INHERIT:inherited_to": "projects"}])
        worked = admin.get("%s/role_assignments?user.id=%s&effective&include_names" % (V3, u["id"])).json["role_assignments"]
        self.assertEqual({x["role"]["name"] for x in worked}, {"member", "reader"})
        self.assertEqual({x["scope"]["project"]["name"] for x in worked}, {low["name"]})
        self.assertEqual(worked[0]["user"]["domain"]["name"], "Default")
        self.assertEqual(admin.delete(path).status, 204)
        self.assertEqual(c.get(V3 + "/auth/projects").status, 401)

    def test_assignment_filters(self):
        u, g, p = make("user"), make("group"), make("project")
        admin.put("%s/groups/%s/users/%s" % (V3, g["id"], u["id"]))
        admin.put("%s/projects/%s/groups/%s/roles/%s" % (V3, p["id"], g["id"], roles["reader"]))
        ask = lambda q: admin.get("%s/role_assignments?%s" % (V3, q))  # noqa: E731
        self.assertEqual(len(ask("group.id=" + g["id"]).json["role_assignments"]), 1)
        got = ask("effective&user.id=" + u["id"]).json["role_assignments"]
        self.assertEqual(len(got), 1)
        self.assertIn("membership", got[0]["links"])
        self.assertEqual(len(ask("scope.project.id=%s&role.id=%s" % (p["id"], roles["member"])).json["role_assignments"]), 0)
        self.assertTrue(any(x["user"]["id"] == admin.user_id for x in ask("scope.system=all").json["role_assignments"]))
        for bad in ("user.id=x&group.id=y", "scope.project.id=x&scope.domain.id=y", "effective&group.id=x", "include_subtree=1"):
            self.assertEqual(ask(bad).status, 400, bad)

    def test_implied(self):
        a, b = make("role"), make("role")
        path = "%s/roles/%s/implies/%s" % (V3, a["id"], b["id"])
        self.assertEqual(admin.put(path).status, 201)
        self.assertEqual(admin.get(path).json["role_inference"]["implies"]["id"], b["id"])
        self.assertEqual(admin.call("HEAD", path).status, 204)
        self.assertEqual([x["id"] for x in admin.get("%s/roles/%s/implies" % (V3, a["id"])).json["role_inference"]["implies"]], [b["id"]])
        self.assertIn(a["id"], [x["prior_role"]["id"] for x in admin.get(V3 + "/role_inferences").json["role_inferences"]])
        self.assertEqual(admin.delete(path).status, 204)
        self.assertEqual(admin.get(path).status, 404)
        self.assertEqual(admin.put("%s/roles/%s/implies/%s" % (V3, a["id"], roles["admin"])).status, 403)
        self.assertEqual(admin.delete("%s/roles/%s" % (V3, roles["admin"])).status, 403)


class Catalog(unittest.TestCase):
    def test_regions_services_endpoints(self):
        s = make("service", type="load-balancer")
        region = name()
        e = admin.post(V3 + "/endpoints", {"endpoint": {"service_id": s["id"], "interface": "public", "url": "http://x/$(project_id)s", "region": region}})
        self.assertEqual(e.status, 201, e)
        e = e.json["endpoint"]
        self.assertEqual((e["region"], e["region_id"]), (region, region))
        t = cloud.login("demo")
        catalog = t.get(V3 + "/auth/catalog").json["catalog"]
        mine = [x for x in catalog if x["id"] == s["id"]]
        self.assertEqual(mine[0]["endpoints"][0]["url"], "http://x/" + t.project_id)
        for enabled in ("False", "True"):
            self.assertEqual(admin.patch("%s/endpoints/%s" % (V3, e["id"]), {"endpoint": {"enabled": enabled}}).status, 400)
        self.assertEqual(admin.patch("%s/endpoints/%s" % (V3, e["id"]), {"endpoint": {"enabled": False}}).status, 200)
        self.assertFalse([x for x in t.get(V3 + "/auth/catalog").json["catalog"] if x["id"] == s["id"]])
        self.assertEqual(admin.delete("%s/regions/%s" % (V3, region)).status, 403)
        self.assertEqual(admin.delete("%s/services/%s" % (V3, s["id"])).status, 204)
        self.assertEqual(admin.get("%s/endpoints/%s" % (V3, e["id"])).status, 404)
        child = admin.put("%s/regions/%s-child" % (V3, region), {"region": {"parent_region_id": region}})
        self.assertEqual(child.status, 201)
        self.assertEqual(len(admin.get("%s/regions?parent_region_id=%s" % (V3, region)).json["regions"]), 1)
        self.assertEqual(admin.patch("%s/regions/%s" % (V3, region), {"region": {"parent_region_id": region + "-child"}}).status, 400)


    def test_endpoints_chosen_for_a_project(self):
        t = cloud.new_tenant()

        def types():
            own = t.get(V3 + "/auth/tokens", headers={"X-Subject-Token": t.token}).json["token"]["catalog"]
            self.assertEqual(own, t.get(V3 + "/auth/catalog").json["catalog"])
            return {s["type"] for s in own}
        image = admin.get(V3 + "/services?type=image").json["services"][0]["id"]
        endpoint = admin.get(V3 + "/endpoints?service_id=%s&interface=public" % image).json["endpoints"][0]["id"]
        self.assertGreater(len(types()), 3)
        one = "%s/OS-EP-FILTER/projects/%s/endpoints/%s" % (V3, t.project_id, endpoint)
        self.assertEqual(admin.put(one).status, 204)
        self.assertEqual(types(), {"image"})
        self.assertEqual([e["id"] for e in admin.get("%s/OS-EP-FILTER/projects/%s/endpoints" % (V3, t.project_id)).json["endpoints"]], [endpoint])
        compute = admin.get(V3 + "/services?type=compute").json["services"][0]["id"]
        g = admin.post(V3 + "/OS-EP-FILTER/endpoint_groups", {"endpoint_group": {"name": name(), "filters": {"service_id": compute}}})
        self.assertEqual(g.status, 201, g)
        group = "%s/OS-EP-FILTER/endpoint_groups/%s" % (V3, g.json["endpoint_group"]["id"])
        self.assertEqual(admin.put(group + "/projects/" + t.project_id).status, 204)
        self.assertEqual(types(), {"image", "compute"})
        self.assertEqual(len(admin.get(group + "/endpoints").json["endpoints"]), 3)
        self.assertEqual(admin.patch(group, {"endpoint_group": {"filters": {"colour": "red"}}}).status, 400)
        self.assertEqual(t.put(one).status, 403)
        self.assertEqual(admin.delete(one).status, 204)
        self.assertEqual(types(), {"compute"})
        self.assertEqual(admin.delete(one).status, 404)
        self.assertEqual(admin.delete(group).status, 204)
        self.assertGreater(len(types()), 3)


class Personas(unittest.TestCase):
    """Secure RBAC: what each role may on each scope."""

    @classmethod
    def setUpClass(cls):
        cls.domain, cls.other = make("domain")["id"], make("domain")["id"]
        cls.project = make("project", domain_id=cls.domain)["id"]
        cls.user, cls.foreign = make("user", domain_id=cls.domain)["id"], make("user", domain_id=cls.other)["id"]
        cls.p = {"anonymous": Client(cloud), "reader": persona("reader", {"project": cls.project}), "member": persona("member", {"project": cls.project}),
                 "padmin": persona("admin", {"project": cls.project}), "dreader": persona("reader", {"domain": cls.domain}),
                 "dadmin": persona("admin", {"domain": cls.domain}), "sreader": persona("reader", {"system": 1}), "sadmin": persona("admin", {"system": 1})}

    def check(self, method, path, body=None, **want):
        for who, c in self.p.items():
            status = c.call(method, V3 + path, body).status
            self.assertEqual(status, want.get(who, want["other"]) if who != "anonymous" else 401, (who, method, path))

    def test_reads(self):
        for path in ("/users", "/projects", "/groups", "/domains", "/roles", "/role_assignments"):
            self.check("GET", path, reader=403, member=403, other=200)
        for path in ("/services", "/endpoints", "/policies"):
            self.check("GET", path, reader=403, member=403, dreader=403, dadmin=403, other=200)
        self.check("GET", "/regions", other=200)
        self.check("GET", "/users/" + self.user, reader=404, member=404, other=200)
        self.check("GET", "/users/" + self.foreign, reader=404, member=404, dreader=404, dadmin=404, other=200)
        self.check("GET", "/users/" + "0" * 32, other=404)
        self.check("GET", "/projects/" + self.project, other=200)

    def test_lists_stay_within_the_domain(self):
        for who in ("dreader", "dadmin"):
            users = self.p[who].get(V3 + "/users").json["users"]
            self.assertIn(self.user, [u["id"] for u in users])
            self.assertEqual({u["domain_id"] for u in users if u["id"] != self.p[who].user_id}, {self.domain})
            self.assertEqual({p["id"] for p in self.p[who].get(V3 + "/projects").json["projects"]}, {self.project})
            self.assertEqual(self.p[who].get("%s/users?domain_id=%s" % (V3, self.other)).json["users"], [])
            scopes = self.p[who].get(V3 + "/role_assignments").json["role_assignments"]
            self.assertTrue(all(x["scope"].get("domain", {"id": self.domain})["id"] == self.domain and "system" not in x["scope"] for x in scopes))

    def test_writes(self):
        bodies = {"user": "/users", "project": "/projects", "group": "/groups"}
        for one, path in bodies.items():
            for who, c in self.p.items():
                mine = c.post(V3 + path, {one: {"name": name(), "domain_id": self.domain}}).status
                theirs = c.post(V3 + path, {one: {"name": name(), "domain_id": self.other}}).status
                want = {"anonymous": (401, 401), "dadmin": (201, 403), "padmin": (201, 201), "sadmin": (201, 201)}.get(who, (403, 403))
                self.assertEqual((mine, theirs), want, (who, one))
        for one in ("domain", "role", "service", "region"):
            self.check("POST", "/%ss" % one, {one: {}}, padmin=400 if one != "region" else 201, sadmin=400 if one != "region" else 201, other=403)
        self.check("DELETE", "/users/" + self.foreign[:-1] + "x", padmin=404, sadmin=404, dadmin=404, other=403)

    def test_a_domain_administrator_cannot_reach_further(self):
        c, boss = self.p["dadmin"], make("user", domain_id=self.domain)
        admin.put("%s/projects/%s/users/%s/roles/%s" % (V3, self.project, boss["id"], roles["admin"]))
        self.assertEqual(c.patch("%s/users/%s" % (V3, boss["id"]), {"user": {"password": "mine"}}).status, 403)
        self.assertEqual(c.delete("%s/users/%s" % (V3, boss["id"])).status, 403)
        grant = "%s/projects/%s/users/%s/roles/" % (V3, self.project, self.user)
        self.assertEqual(c.put(grant + roles["admin"]).status, 403)
        self.assertEqual(c.put(grant + roles["member"]).status, 204)
        self.assertEqual(c.put("%s/projects/%s/users/%s/roles/%s" % (V3, self.project, self.foreign, roles["member"])).status, 403)
        self.assertEqual(c.put("%s/system/users/%s/roles/%s" % (V3, self.user, roles["reader"])).status, 403)
        inherit = "%s/OS-INHERIT/domains/%s/users/%s/roles/%s/inherited_to_projects" % (V3, self.domain, self.user, roles["admin"])
        self.assertEqual(c.put(inherit).status, 403)
        g = make("group", domain_id=self.domain)
        admin.put("%s/projects/%s/groups/%s/roles/%s" % (V3, self.project, g["id"], roles["admin"]))
        self.assertEqual(c.put("%s/groups/%s/users/%s" % (V3, g["id"], self.user)).status, 403)

    def test_the_body_does_not_choose_the_target(self):
        me = self.p["member"]
        body = {"user_id": me.user_id, "target": {"user": {"id": me.user_id}}, "user": {"description": "x"}}
        self.assertEqual(me.patch("%s/users/%s" % (V3, self.user), body).status, 403)
        self.assertEqual(me.call("DELETE", "%s/users/%s" % (V3, self.user), body).status, 403)
        self.assertEqual(me.put("%s/projects/%s/users/%s/roles/%s" % (V3, self.project, me.user_id, roles["admin"])).status, 403)


def totp(secret, step=0):
    """RFC 6238, written anew."""
    raw = base64.b32decode(secret)
    mac = hmac.new(raw, struct.pack(">Q", int(time.time()) // 30 + step), "sha1").digest()
    at = mac[-1] & 15
    return "%06d" % ((struct.unpack(">I", mac[at:at + 4])[0] & 0x7fffffff) % 1000000)


def auth(identity, scope=None, headers=None):
    body = {"auth": {"identity": dict(identity, methods=list(identity))}}
    if scope:
        body["auth"]["scope"] = scope
    return Client(cloud).post(V3 + "/auth/tokens", body, headers=headers)


def with_token(r):
    assert r.status == 201, r
    c = Client(cloud, r.headers["x-subject-token"])
    c.user_id = r.json["token"]["user"]["id"]
    return c


class ApplicationCredentials(unittest.TestCase):
    def setUp(self):
        self.t = cloud.new_tenant()
        self.path = "%s/users/%s/application_credentials" % (V3, self.t.user_id)

    def make(self, **body):
        r = self.t.post(self.path, {"application_credential": dict({"name": name()}, **body)})
        self.assertEqual(r.status, 201, r)
        return r.json["application_credential"]

    def login(self, ac, scope=None):
        return auth({"application_credential": {"id": ac["id"], "secret": ac["secret"]}}, scope)

    def test_life(self):
        ac = self.make(roles=[{"name": "reader"}], description="d")
        self.assertEqual([r["name"] for r in ac["roles"]], ["reader"])
        self.assertEqual(ac["project_id"], self.t.project_id)
        r = self.login(ac)
        self.assertEqual([x["name"] for x in r.json["token"]["roles"]], ["reader"])
        self.assertEqual(r.json["token"]["application_credential"]["restricted"], True)
        c = with_token(r)
        named = auth({"application_credential": {"name": ac["name"], "user": {"id": self.t.user_id}, "secret": ac["secret"]}})
        self.assertEqual(named.status, 201)
        self.assertNotIn("secret", self.t.get(self.path + "/" + ac["id"]).json["application_credential"])
        self.assertEqual(len(self.t.get(self.path + "?name=" + ac["name"]).json["application_credentials"]), 1)
        self.assertEqual(auth({"application_credential": {"id": ac["id"], "secret": "no"}}).status, 401)
        self.assertEqual(self.t.delete(self.path + "/" + ac["id"]).status, 204)
        self.assertEqual(c.get(V3 + "/auth/projects").status, 401)
        self.assertEqual(self.login(ac).status, 401)

    def test_it_never_becomes_more(self):
        c = with_token(self.login(self.make()))
        for method, path, body in (("POST", self.path, {"application_credential": {"name": "x"}}),
                                   ("POST", V3 + "/credentials", {"credential": {"type": "x", "blob": "x"}}), ("GET", V3 + "/credentials", None),
                                   ("POST", V3 + "/OS-TRUST/trusts", {"trust": {"trustor_user_id": self.t.user_id, "trustee_user_id": demo.user_id,
                                                                                "impersonation": True, "project_id": self.t.project_id, "roles": [{"name": "member"}]}}),
                                   ("POST", "%s/users/%s/credentials/OS-EC2" % (V3, self.t.user_id), {"tenant_id": self.t.project_id})):
            self.assertEqual(c.call(method, path, body).status, 403, path)
        other = make("project")
        admin.put("%s/projects/%s/users/%s/roles/%s" % (V3, other["id"], self.t.user_id, roles["member"]))
        self.assertEqual(auth({"token": {"id": c.token}}, {"project": {"id": other["id"]}}).status, 401)
        again = auth({"token": {"id": c.token}}, {"project": {"id": self.t.project_id}})
        self.assertEqual(again.json["token"]["application_credential"]["restricted"], True)
        self.assertEqual(self.t.post(self.path, {"application_credential": {"name": "y", "roles": [{"name": "admin"}]}}).status, 400)
        self.assertEqual(demo.post(self.path, {"application_credential": {"name": "y"}}).status, 403)
        self.assertEqual(demo.get(self.path).status, 403)
        free = with_token(self.login(self.make(unrestricted=True)))
        self.assertEqual(free.post(self.path, {"application_credential": {"name": "z"}}).status, 201)
        for path in (V3 + "/credentials", V3 + "/OS-TRUST/trusts?trustor_user_id=" + self.t.user_id, "%s/users/%s/credentials/OS-EC2" % (V3, self.t.user_id)):
            self.assertEqual((free.get(path).status, self.t.get(path).status), (403, 200), path)
        # With access rules it could make itself another without them.
        rule = {"service": "identity", "method": "POST", "path": "/v3/users/*/application_credentials"}
        bent = with_token(self.login(self.make(unrestricted=True, access_rules=[rule])))
        self.assertEqual(bent.post(self.path, {"application_credential": {"name": "w"}}).status, 403)

    def test_it_is_never_more_than_its_user(self):
        ac = self.make()
        c = with_token(self.login(ac))
        admin.delete("%s/projects/%s/users/%s/roles/%s" % (V3, self.t.project_id, self.t.user_id, roles["member"]))
        self.assertEqual(c.get(V3 + "/auth/projects").status, 401)
        self.assertEqual(self.login(ac).status, 401)

    def test_expiry(self):
        at = int(time.time()) + 4                            # of whole seconds: time enough for a login on a busy machine
        soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
        ac = self.make(expires_at=soon)
        r = self.login(ac)
        self.assertEqual(r.json["token"]["expires_at"][:19], soon[:19])
        c = with_token(r)
        time.sleep(max(at - time.time(), 0) + 0.1)
        self.assertEqual(c.get(V3 + "/auth/projects").status, 401)
        self.assertEqual(self.login(ac).status, 401)
        self.assertEqual(self.t.post(self.path, {"application_credential": {"name": "x", "expires_at": soon}}).status, 400)

    def test_access_rules(self):
        ac = self.make(access_rules=[{"service": "image", "method": "GET", "path": "/v2/images"}, {"service": "identity", "method": "GET", "path": "/v3/users/*/projects"}])
        c = with_token(self.login(ac))
        self.assertEqual(c.get("/image/v2/images").status, 200)
        self.assertEqual(c.get("%s/users/%s/projects" % (V3, self.t.user_id)).status, 200)
        for path in ("/image/v2/images/" + str(uuid.uuid4()), V3 + "/auth/projects", "/image/v2/schemas/image"):
            self.assertEqual(c.get(path).status, 401, path)
        self.assertEqual(c.post("/image/v2/images", {"name": "x"}).status, 401)
        shown = c.get(V3 + "/auth/tokens", headers={"X-Subject-Token": c.token})                # its own token is always to be seen
        self.assertEqual((shown.status, len(shown.json["token"]["application_credential"]["access_rules"])), (200, 2))
        rules = self.t.get("%s/users/%s/access_rules" % (V3, self.t.user_id)).json["access_rules"]
        self.assertEqual(len(rules), 2)
        one = "%s/users/%s/access_rules/%s" % (V3, self.t.user_id, rules[0]["id"])
        self.assertEqual(self.t.get(one).json["access_rule"]["id"], rules[0]["id"])
        self.assertEqual(self.t.delete(one).status, 403)
        self.t.delete(self.path + "/" + ac["id"])
        self.assertEqual(self.t.delete(one).status, 204)
        self.assertEqual(self.t.post(self.path, {"application_credential": {"name": "x", "access_rules": [{"service": "image"}]}}).status, 400)


    def test_it_makes_a_server_and_nothing_else(self):
        c = Cloud()
        try:
            t, boss = c.new_tenant(), c.login("admin")
            network = t.post("/network/v2.0/networks", {"network": {"name": "n"}}).json["network"]["id"]
            t.post("/network/v2.0/subnets", {"subnet": {"network_id": network, "cidr": "10.8.0.0/24", "ip_version": 4}})
            image = boss.post("/image/v2/images", {"name": "i", "disk_format": "raw", "container_format": "bare", "visibility": "public"}).json["id"]
            boss.call("PUT", "/image/v2/images/%s/file" % image, raw=b"x" * 1048576, headers={"Content-Type": "application/octet-stream"})
            flavor = t.get("/compute/v2.1/flavors").json["flavors"][0]["id"]
            rules = [{"service": "compute", "method": "POST", "path": "/v2.1/servers"}, {"service": "compute", "method": "GET", "path": "/v2.1/servers/*"}]
            ac = t.post("%s/users/%s/application_credentials" % (V3, t.user_id), {"application_credential": {"name": "ci", "access_rules": rules}})
            ac = ac.json["application_credential"]
            r = c.anonymous().post(V3 + "/auth/tokens", {"auth": {"identity": {"methods": ["application_credential"], "application_credential": {
                "id": ac["id"], "secret": ac["secret"]}}}})
            robot = Client(c, r.headers["x-subject-token"])
            r = robot.post("/compute/v2.1/servers", {"server": {"name": "s", "flavorRef": flavor, "imageRef": image, "networks": [{"uuid": network}]}})
            self.assertEqual(r.status, 202, r)
            server = "/compute/v2.1/servers/" + r.json["server"]["id"]
            c.wait(lambda: robot.get(server).json["server"]["status"] == "ACTIVE", what="the server")
            self.assertEqual(robot.delete(server).status, 401)
            self.assertEqual(robot.get("/compute/v2.1/servers").status, 401)
            self.assertEqual(robot.post("/network/v2.0/networks", {"network": {"name": "x"}}).status, 401)
            self.assertEqual(t.delete(server).status, 204)
            c.wait(lambda: t.get(server).status == 404, what="its end")
        finally:
            c.stop()


class Trusts(unittest.TestCase):
    def setUp(self):
        self.a, self.b = cloud.new_tenant(), cloud.new_tenant()

    def make(self, **body):
        r = self.a.post(V3 + "/OS-TRUST/trusts", {"trust": dict({"trustor_user_id": self.a.user_id, "trustee_user_id": self.b.user_id, "impersonation": False,
                                                                "project_id": self.a.project_id, "roles": [{"name": "reader"}]}, **body)})
        self.assertEqual(r.status, 201, r)
        return r.json["trust"]

    def use(self, t):
        return auth({"token": {"id": self.b.token}}, {"OS-TRUST:trust": {"id": t["id"]}})

    def test_use(self):
        for impersonation in (False, True):
            t = self.make(impersonation=impersonation)
            r = self.use(t)
            token = r.json["token"]
            self.assertEqual(token["user"]["id"], self.a.user_id if impersonation else self.b.user_id)
            self.assertEqual([x["name"] for x in token["roles"]], ["reader"])
            self.assertEqual(token["OS-TRUST:trust"]["trustor_user"]["id"], self.a.user_id)
            c = with_token(r)
            self.assertEqual(auth({"token": {"id": c.token}}, {"project": {"id": self.a.project_id}}).status, 403)
            self.assertEqual(c.post("%s/users/%s/application_credentials" % (V3, token["user"]["id"]), {"application_credential": {"name": "x"}}).status, 403)
            self.assertEqual(self.b.delete(V3 + "/OS-TRUST/trusts/" + t["id"]).status, 403)
            self.assertEqual(self.a.delete(V3 + "/OS-TRUST/trusts/" + t["id"]).status, 204)
            self.assertEqual(c.get(V3 + "/auth/projects").status, 401)

    def test_limits(self):
        t = self.make(remaining_uses=1)
        self.assertEqual(self.use(t).status, 201)
        self.assertNotEqual(self.use(t).status, 201)
        t = self.make(remaining_uses=3)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:           # at once: none of the three is used twice
            got = list(pool.map(lambda _: self.use(t).status, range(16)))
        self.assertEqual(got.count(201), 3, got)
        t = self.make()
        self.assertEqual(auth({"token": {"id": demo.token}}, {"OS-TRUST:trust": {"id": t["id"]}}).status, 403)
        self.assertEqual(demo.get(V3 + "/OS-TRUST/trusts/" + t["id"]).status, 404)
        self.assertEqual(demo.get(V3 + "/OS-TRUST/trusts").status, 403)
        self.assertEqual(len(self.b.get("%s/OS-TRUST/trusts?trustee_user_id=%s" % (V3, self.b.user_id)).json["trusts"]), 1)
        roles_path = "%s/OS-TRUST/trusts/%s/roles" % (V3, t["id"])
        self.assertEqual([x["name"] for x in self.b.get(roles_path).json["roles"]], ["reader"])
        self.assertEqual(self.b.get(roles_path + "/" + roles["member"]).status, 404)
        bad = {"trustor_user_id": self.a.user_id, "trustee_user_id": self.b.user_id, "impersonation": True, "project_id": self.a.project_id, "roles": [{"name": "admin"}]}
        self.assertEqual(self.a.post(V3 + "/OS-TRUST/trusts", {"trust": bad}).status, 404)
        self.assertEqual(self.b.post(V3 + "/OS-TRUST/trusts", {"trust": dict(bad, roles=[{"name": "member"}])}).status, 403)
        c = with_token(self.use(t))
        admin.delete("%s/projects/%s/users/%s/roles/%s" % (V3, self.a.project_id, self.a.user_id, roles["member"]))
        self.assertEqual(c.get(V3 + "/auth/projects").status, 401)


class Factors(unittest.TestCase):
    def test_password_and_code(self):
        u = make("user", password="pw", options={"multi_factor_auth_enabled": True, "multi_factor_auth_rules": [["password", "totp"]]})
        seed = base64.b32encode(os.urandom(20)).decode()
        self.assertEqual(admin.post(V3 + "/credentials", {"credential": {"user_id": u["id"], "type": "totp", "blob": seed}}).status, 201)
        pw = {"password": {"user": {"id": u["id"], "password": "pw"}}}
        code = lambda step=0: {"totp": {"user": {"id": u["id"], "passcode": totp(seed, step)}}}  # noqa: E731
        r = auth(pw)
        self.assertEqual(r.status, 401)
        self.assertEqual(r.json["required_auth_methods"], [["password", "totp"]])
        self.assertEqual(r.json["receipt"]["methods"], ["password"])
        receipt = {"Openstack-Auth-Receipt": r.headers["openstack-auth-receipt"]}
        self.assertEqual(auth(code(-3), headers=receipt).status, 401)
        self.assertEqual(auth(code(), headers={"Openstack-Auth-Receipt": "x" + receipt["Openstack-Auth-Receipt"]}).status, 401)
        self.assertEqual(auth(code()).status, 401)           # a code alone is no login
        now = code()
        done = auth(now, headers=receipt)
        self.assertEqual(done.status, 201, done)
        self.assertEqual(sorted(done.json["token"]["methods"]), ["password", "totp"])
        self.assertEqual(auth(dict(pw, **now)).status, 401)                               # each code works once
        self.assertEqual(auth({"token": {"id": done.headers["x-subject-token"]}}).status, 201)


class Secrets(unittest.TestCase):
    def test_credentials_are_their_users(self):
        t = cloud.new_tenant()
        cr = t.post(V3 + "/credentials", {"credential": {"type": "cert", "blob": "abc"}}).json["credential"]
        one = V3 + "/credentials/" + cr["id"]
        self.assertEqual(cr["user_id"], t.user_id)
        self.assertEqual(t.patch(one, {"credential": {"blob": "x"}}).json["credential"]["blob"], "x")
        self.assertEqual(t.patch(one, {"credential": {"user_id": demo.user_id}}).status, 403)
        self.assertEqual(demo.get(one).status, 404)
        self.assertEqual(demo.patch(one, {"credential": {"blob": "y"}}).status, 404)
        self.assertEqual(demo.delete(one).status, 404)
        self.assertEqual(demo.post(V3 + "/credentials", {"credential": {"type": "x", "blob": "x", "user_id": t.user_id}}).status, 403)
        self.assertEqual([x["id"] for x in t.get(V3 + "/credentials?type=cert").json["credentials"]], [cr["id"]])
        self.assertEqual(t.post(V3 + "/credentials", {"credential": {"type": "ec2", "blob": "{}"}}).status, 400)
        self.assertEqual(t.delete(one).status, 204)

    def test_ec2(self):
        t = cloud.new_tenant()
        path = "%s/users/%s/credentials/OS-EC2" % (V3, t.user_id)
        r = t.post(path, {"tenant_id": t.project_id})
        self.assertEqual(r.status, 201, r)
        pair = r.json["credential"]
        self.assertEqual(t.get(path + "/" + pair["access"]).json["credential"]["secret"], pair["secret"])
        self.assertEqual(len(t.get(path).json["credentials"]), 1)
        self.assertEqual(demo.get(path).status, 403)
        self.assertEqual(t.post(path, {"tenant_id": demo.project_id}).status, 403)
        self.assertEqual(t.delete(path + "/" + pair["access"]).status, 204)
        self.assertEqual(t.get(path + "/" + pair["access"]).status, 404)


class Limits(unittest.TestCase):
    def test_registered_and_limits(self):
        service = admin.get(V3 + "/services?type=compute").json["services"][0]["id"]
        n = name()
        r = admin.post(V3 + "/registered_limits", {"registered_limits": [{"service_id": service, "resource_name": n, "default_limit": 5}]})
        self.assertEqual(r.status, 201, r)
        reg = r.json["registered_limits"][0]
        mine = {"project_id": demo.project_id, "service_id": service, "resource_name": n, "resource_limit": 7}
        lim = admin.post(V3 + "/limits", {"limits": [mine]})
        self.assertEqual(lim.status, 201, lim)
        lim = lim.json["limits"][0]
        self.assertEqual(admin.post(V3 + "/limits", {"limits": [mine]}).status, 409)
        self.assertEqual(admin.post(V3 + "/limits", {"limits": [dict(mine, resource_name="other")]}).status, 403)
        self.assertEqual([x["resource_limit"] for x in demo.get(V3 + "/limits?resource_name=" + n).json["limits"]], [7])
        t = cloud.new_tenant()
        self.assertEqual(t.get(V3 + "/limits").json["limits"], [])
        self.assertEqual(t.get(V3 + "/limits/" + lim["id"]).status, 404)
        self.assertEqual(demo.patch(V3 + "/limits/" + lim["id"], {"limit": {"resource_limit": 99}}).status, 403)
        self.assertEqual(admin.delete(V3 + "/registered_limits/" + reg["id"]).status, 403)
        self.assertEqual(admin.patch(V3 + "/limits/" + lim["id"], {"limit": {"resource_limit": 8}}).json["limit"]["resource_limit"], 8)
        self.assertEqual(admin.delete(V3 + "/limits/" + lim["id"]).status, 204)
        self.assertEqual(admin.delete(V3 + "/registered_limits/" + reg["id"]).status, 204)
        self.assertEqual(demo.get(V3 + "/limits/model").json["model"]["name"], "flat")


class Ownership(unittest.TestCase):
    """Nothing is deleted from under what it owns, and nothing is left over."""

    def test_project_and_domain(self):
        d = make("domain")
        p, u = make("project", domain_id=d["id"]), make("user", domain_id=d["id"], password="pw")
        admin.put("%s/projects/%s/users/%s/roles/%s" % (V3, p["id"], u["id"], roles["member"]))
        c = with_token(auth({"password": {"user": {"id": u["id"], "password": "pw"}}}, {"project": {"id": p["id"]}}))
        network = c.post("/network/v2.0/networks", {"network": {"name": "n"}})
        self.assertEqual(network.status, 201, network)
        c.get("/network/v2.0/security-groups")               # makes the default group
        self.assertEqual(c.post("/compute/v2.1/os-keypairs", {"keypair": {"name": "k"}},
                                headers={"OpenStack-API-Version": "compute 2.1"}).status, 200)
        r = admin.delete("%s/projects/%s" % (V3, p["id"]))
        self.assertEqual(r.status, 409)
        self.assertIn("1 network", r.message)
        admin.patch("%s/domains/%s" % (V3, d["id"]), {"domain": {"enabled": False}})
        r = admin.delete("%s/domains/%s" % (V3, d["id"]))
        self.assertEqual(r.status, 409)
        self.assertIn("1 network", r.message)
        self.assertEqual(admin.delete("/network/v2.0/networks/" + network.json["network"]["id"]).status, 204)
        self.assertEqual(admin.delete("%s/domains/%s" % (V3, d["id"])).status, 204)
        groups = admin.get("/network/v2.0/security-groups?project_id=" + p["id"]).json["security_groups"]
        self.assertEqual(groups, [])


class Operator(unittest.TestCase):
    """nuvolet ctl user|project|role: for who has lost every password."""

    def test_a_lost_password(self):
        c = Cloud(agent=False)
        try:
            old = c.login("admin")
            text = c.ctl("user", "password", "admin")
            self.assertEqual(text.returncode, 0, text.stderr)
            password = text.stdout.split()[-1]
            self.assertEqual(old.get(V3 + "/users").status, 401)
            self.assertEqual(c.login("admin", password).get(V3 + "/users").status, 200)
        finally:
            c.stop()

    def test_purge(self):
        c = Cloud()
        try:
            t, boss = c.new_tenant("doomed"), c.login("admin")
            network = t.post("/network/v2.0/networks", {"network": {"name": "n"}}).json["network"]["id"]
            self.assertEqual(t.post("/network/v2.0/subnets", {"subnet": {"network_id": network, "cidr": "10.9.0.0/24", "ip_version": 4}}).status, 201)
            self.assertEqual(t.post("/network/v2.0/security-groups", {"security_group": {"name": "g"}}).status, 201)
            subnet = t.get("/network/v2.0/networks/" + network).json["network"]["subnets"][0]
            out = t.get("/network/v2.0/networks?router:external=true").json["networks"][0]["id"]
            router = t.post("/network/v2.0/routers", {"router": {"external_gateway_info": {"network_id": out}}}).json["router"]["id"]
            self.assertEqual(t.put("/network/v2.0/routers/%s/add_router_interface" % router, {"subnet_id": subnet}).status, 200)
            route = {"router": {"routes": [{"destination": "192.168.0.0/24", "nexthop": "10.9.0.9"}]}}
            self.assertEqual(t.put("/network/v2.0/routers/" + router, route).status, 200)
            self.assertEqual(t.post("/network/v2.0/floatingips", {"floatingip": {"floating_network_id": out}}).status, 201)
            image = t.post("/image/v2/images", {"name": "i", "disk_format": "raw", "container_format": "bare"}).json["id"]
            self.assertEqual(t.call("PUT", "/image/v2/images/%s/file" % image, raw=b"x" * 1048576, headers={"Content-Type": "application/octet-stream"}).status, 204)
            flavor = boss.get("/compute/v2.1/flavors").json["flavors"][0]["id"]
            r = t.post("/compute/v2.1/servers", {"server": {"name": "s", "flavorRef": flavor, "imageRef": image, "networks": [{"uuid": network}]}})
            self.assertEqual(r.status, 202, r)
            self.assertEqual(boss.delete("%s/projects/%s" % (V3, t.project_id)).status, 409)
            plan = c.ctl("project", "purge", "doomed")
            self.assertEqual([line.split()[0] for line in plan.stdout.splitlines()[:10]],
                             ["server", "floating", "routes", "router", "router", "subnet", "network", "security", "image", "project"], plan)
            self.assertEqual(boss.get("%s/projects/%s" % (V3, t.project_id)).status, 200)
            done = c.ctl("project", "purge", "doomed", "--yes")
            self.assertEqual((done.returncode, done.stdout.splitlines()[-1:]), (0, ["done"]), done)
            self.assertEqual(boss.get("%s/projects/%s" % (V3, t.project_id)).status, 404)
            self.assertEqual(boss.get("/image/v2/images/" + image).status, 404)
            self.assertEqual(t.get(V3 + "/auth/projects").status, 401)
            self.assertEqual(c.doctor(), "")
        finally:
            c.stop()

    def test_orders(self):
        n = name()
        made = cloud.ctl("user", "create", n)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertIn("id ", cloud.ctl("project", "create", n).stdout)
        self.assertEqual(cloud.ctl("role", "add", n, "member", n).returncode, 0)
        user = cloud.login(n, made.stdout.split()[-1], n)
        self.assertEqual(len(user.get(V3 + "/auth/projects").json["projects"]), 1)
        self.assertIn(n, cloud.ctl("user", "list").stdout)
        self.assertIn("OS_USERNAME='%s'" % n, cloud.ctl("openrc", n, n).stdout)
        self.assertIn('username: "%s"' % n, cloud.ctl("clouds", n, n).stdout)
        self.assertEqual(cloud.ctl("role", "remove", n, "member", n).returncode, 0)
        self.assertEqual(user.get(V3 + "/auth/projects").status, 401)
        self.assertEqual(cloud.ctl("user", "disable", n).returncode, 0)
        for bad in (("user",), ("user", "password"), ("user", "password", "nobody"), ("role", "add", n, "nothing", n), ("project", "frobnicate")):
            r = cloud.ctl(*bad)
            self.assertEqual(r.returncode, 2, bad)
            self.assertTrue(r.stderr, bad)


class Backoff(unittest.TestCase):
    def test_too_many_failures(self):
        c = Cloud(agent=False, options={"identity.failed_logins": "5"})
        try:
            wrong = {"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "demo", "domain": {"id": "default"}, "password": "no"}}}}}
            got = [Client(c).post(V3 + "/auth/tokens", wrong) for _ in range(8)]
            self.assertEqual([r.status for r in got], [401] * 5 + [429] * 3)
            self.assertGreaterEqual(int(got[-1].headers["retry-after"]), 1)
        finally:
            c.stop()


if __name__ == "__main__":
    unittest.main()
