"""tests/http/test_identity_more.py -- identity under change: what many use while it is taken away, logins under way, trusts passed on, escalation, purge."""
import base64
import concurrent.futures
import datetime
import http.client
import json
import os
import sys
import threading
import time
import unittest
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib.cloud import Client, Cloud  # noqa: E402

V3 = "/identity/v3"
CLIENTS = 32


def setUpModule():
    global cloud, admin, demo, roles
    cloud = Cloud(options={"identity.failed_logins": "100000", "log.level": "info"})
    admin, demo = cloud.login("admin"), cloud.login("demo")
    roles = {r["name"]: r["id"] for r in admin.get(V3 + "/roles").json["roles"]}


def tearDownModule():
    cloud.stop()


def name():
    return "y-" + uuid.uuid4().hex[:10]


def make(kind, **body):
    body.setdefault("name", name())
    r = admin.post("%s/%ss" % (V3, kind), {kind: body})
    assert r.status == 201, r
    return r.json[kind]


def auth(identity, scope=None):
    c = Client(cloud)
    body = {"auth": {"identity": dict(identity, methods=list(identity))}}
    if scope:
        body["auth"]["scope"] = scope
    r = c.post(V3 + "/auth/tokens", body)
    if r.status == 201:
        c.token, c.user_id, c.project_id = r.headers["x-subject-token"], r.json["token"]["user"]["id"], r.json["token"].get("project", {}).get("id")
    return r, c


def password(user_id, pw="pw", scope="unscoped"):
    return auth({"password": {"user": {"id": user_id, "password": pw}}}, scope)


def good(pair):
    assert pair[0].status == 201, pair[0]
    return pair[1]


class Member:
    """A domain, a project and a user in it with the role member, one of it through a group; and an application credential and a trust of his."""

    def __init__(self):
        self.domain = make("domain")["id"]
        self.project = make("project", domain_id=self.domain)["id"]
        self.user = make("user", domain_id=self.domain, password="pw")["id"]
        self.group = make("group", domain_id=self.domain)["id"]
        self.grant = "%s/projects/%s/users/%s/roles/%s" % (V3, self.project, self.user, roles["member"])
        self.membership = "%s/groups/%s/users/%s" % (V3, self.group, self.user)
        self.scope = {"project": {"id": self.project}}

    def by_role(self):
        assert admin.put(self.grant).status == 204
        return good(password(self.user, scope=self.scope))

    def by_group(self):
        assert admin.put("%s/projects/%s/groups/%s/roles/%s" % (V3, self.project, self.group, roles["member"])).status == 204
        assert admin.put(self.membership).status == 204
        return good(password(self.user, scope=self.scope))

    def by_inheritance(self):
        self.inherited = "%s/OS-INHERIT/domains/%s/users/%s/roles/%s/inherited_to_projects" % (V3, self.domain, self.user, roles["member"])
        assert admin.put(self.inherited).status == 204
        return good(password(self.user, scope=self.scope))

    def by_implication(self):
        self.prior, self.implied = make("role", domain_id=self.domain)["id"], roles["member"]
        self.implies = "%s/roles/%s/implies/%s" % (V3, self.prior, self.implied)
        assert admin.put(self.implies).status == 201
        assert admin.put("%s/projects/%s/users/%s/roles/%s" % (V3, self.project, self.user, self.prior)).status == 204
        return good(password(self.user, scope=self.scope))

    def by_app_credential(self):
        mine = self.by_role()
        self.path = "%s/users/%s/application_credentials" % (V3, self.user)
        ac = mine.post(self.path, {"application_credential": {"name": "a"}}).json["application_credential"]
        self.path += "/" + ac["id"]
        return good(auth({"application_credential": {"id": ac["id"], "secret": ac["secret"]}}))

    def by_trust(self):
        mine, self.friend = self.by_role(), cloud.new_tenant()
        t = mine.post(V3 + "/OS-TRUST/trusts", {"trust": {"trustor_user_id": self.user, "trustee_user_id": self.friend.user_id, "impersonation": True,
                                                          "project_id": self.project, "roles": [{"name": "member"}]}})
        assert t.status == 201, t
        self.path = V3 + "/OS-TRUST/trusts/" + t.json["trust"]["id"]
        return good(auth({"token": {"id": self.friend.token}}, {"OS-TRUST:trust": {"id": t.json["trust"]["id"]}}))


class Changes(unittest.TestCase):
    """While 32 clients use a token on every service, what it rests on is taken away: from the answer to that on, nobody succeeds with it."""

    WAYS = [
        ("role removed", Member.by_role, lambda m: admin.delete(m.grant)),
        ("user disabled", Member.by_role, lambda m: admin.patch("%s/users/%s" % (V3, m.user), {"user": {"enabled": False}})),
        ("user deleted", Member.by_role, lambda m: admin.delete("%s/users/%s" % (V3, m.user))),
        ("password reset", Member.by_role, lambda m: admin.patch("%s/users/%s" % (V3, m.user), {"user": {"password": "other"}})),
        ("own password changed", Member.by_role,
         lambda m: Client(cloud).post("%s/users/%s/password" % (V3, m.user), {"user": {"original_password": "pw", "password": "new"}})),
        ("project disabled", Member.by_role, lambda m: admin.patch("%s/projects/%s" % (V3, m.project), {"project": {"enabled": False}})),
        ("project deleted", Member.by_role, lambda m: admin.delete("%s/projects/%s" % (V3, m.project))),
        ("domain disabled", Member.by_role, lambda m: admin.patch("%s/domains/%s" % (V3, m.domain), {"domain": {"enabled": False}})),
        ("group left", Member.by_group, lambda m: admin.delete(m.membership)),
        ("group deleted", Member.by_group, lambda m: admin.delete("%s/groups/%s" % (V3, m.group))),
        ("inherited role removed", Member.by_inheritance, lambda m: admin.delete(m.inherited)),
        ("role no longer implied", Member.by_implication, lambda m: admin.delete(m.implies)),
        ("application credential deleted", Member.by_app_credential, lambda m: good_user(m).delete(m.path)),
        ("trust deleted", Member.by_trust, lambda m: good_user(m).delete(m.path)),
        ("trustee's password reset", Member.by_trust, lambda m: admin.patch("%s/users/%s" % (V3, m.friend.user_id), {"user": {"password": "other"}})),
        ("trustor's role removed", Member.by_trust, lambda m: admin.delete(m.grant)),
        ("token revoked", Member.by_role, lambda m: m.client.delete(V3 + "/auth/tokens", headers={"X-Subject-Token": m.client.token})),
    ]
    PATHS = [V3 + "/auth/projects", "/compute/v2.1/servers", "/network/v2.0/networks", "/image/v2/images", V3 + "/auth/tokens", V3 + "/auth/catalog"]

    def test_no_stale_success(self):
        for what, prepare, change in self.WAYS:
            with self.subTest(what):
                m = Member()
                m.client = prepare(m)
                self.change_under_load(m, change)

    def change_under_load(self, m, change):
        answered, stop, late, before = threading.Event(), threading.Event(), [], []

        def use(k):
            c, n = Client(cloud, m.client.token), k
            while not stop.is_set():
                path, was = self.PATHS[n % len(self.PATHS)], answered.is_set()
                status = c.get(path, headers={"X-Subject-Token": c.token}).status
                if was and status != 401:
                    late.append((path, status))
                if not was and status == 200:
                    before.append(path)
                n += 1
            c.close()
        threads = [threading.Thread(target=use, args=(k,)) for k in range(CLIENTS)]
        for t in threads:
            t.start()
        cloud.wait(lambda: len(before) > CLIENTS, 30, "answers before the change")
        r = change(m)
        answered.set()
        self.assertIn(r.status, (200, 204), r)
        time.sleep(0.15)
        stop.set()
        for t in threads:
            t.join()
        self.assertEqual(late, [])


def good_user(m):
    return good(password(m.user, scope=m.scope))


class UnderWay(unittest.TestCase):
    def test_logins_with_the_old_password_during_its_change(self):
        """They were asked for before, and wait for their turn to hash: the tokens they get are worth nothing once the change is answered."""
        project = make("project")["id"]
        for change in ("reset", "own"):
            user = make("user", password="old")["id"]
            admin.put("%s/projects/%s/users/%s/roles/%s" % (V3, project, user, roles["member"]))
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                boss = Client(cloud, admin.token)
                if change == "reset":
                    changed = pool.submit(boss.patch, "%s/users/%s" % (V3, user), {"user": {"password": "new"}})
                else:
                    changed = pool.submit(boss.post, "%s/users/%s/password" % (V3, user), {"user": {"original_password": "old", "password": "new"}})
                logins = [pool.submit(password, user, "old", {"project": {"id": project}}) for _ in range(6)]
                self.assertIn(changed.result().status, (200, 204))
                replies = [x.result() for x in logins]
            self.assertLessEqual({r.status for r, _ in replies}, {201, 401})
            for r, c in replies:
                if r.status == 201:
                    self.assertEqual(c.get(V3 + "/auth/projects").status, 401, change)
            self.assertEqual(password(user, "old")[0].status, 401)
            self.assertEqual(password(user, "new")[0].status, 201)

    def test_a_reset_wins_over_a_change_under_way(self):
        user = make("user", password="stolen")["id"]
        path = "%s/users/%s" % (V3, user)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            thief = [pool.submit(Client(cloud).post, path + "/password", {"user": {"original_password": "stolen", "password": "thief"}}) for _ in range(3)]
            time.sleep(0.02)
            self.assertEqual(admin.patch(path, {"user": {"password": "safe"}}).status, 200)
            done = [x.result().status for x in thief]
        self.assertLessEqual(set(done), {204, 401})
        self.assertEqual(password(user, "thief")[0].status, 401)
        self.assertEqual(password(user, "safe")[0].status, 201)


class Expiry(unittest.TestCase):
    def test_it_never_grows(self):                               # AUT-03
        first = cloud.login("demo")
        end = first.get(V3 + "/auth/tokens", headers={"X-Subject-Token": first.token}).json["token"]["expires_at"]
        c, audit = first, None
        for scope in ({"project": {"id": demo.project_id}}, "unscoped", {"project": {"id": demo.project_id}}, {"project": {"name": "demo", "domain": {"id": "default"}}}):
            time.sleep(0.01)
            r, c = auth({"token": {"id": c.token}}, scope)
            self.assertEqual((r.status, r.json["token"]["expires_at"]), (201, end))
            audit = audit or r.json["token"]["audit_ids"][1]
            self.assertEqual(r.json["token"]["audit_ids"][1], audit)        # the chain keeps its head
            self.assertEqual(r.json["token"]["methods"], ["password", "token"])
        self.assertEqual(c.get(V3 + "/auth/tokens", headers={"X-Subject-Token": c.token}).json["token"]["expires_at"], end)

    def test_a_short_life(self):
        c = Cloud(agent=False, options={"identity.token_ttl_s": "60", "identity.password_expires_days": "1"})
        try:
            user = c.login("admin")
            u = user.post(V3 + "/users", {"user": {"name": "x", "password": "pw"}}).json["user"]
            when = datetime.datetime.strptime(u["password_expires_at"], "%Y-%m-%dT%H:%M:%S.%fZ")
            self.assertAlmostEqual((when - datetime.datetime.utcnow()).total_seconds(), 86400, delta=60)
            free = user.post(V3 + "/users", {"user": {"name": "y", "password": "pw", "options": {"ignore_password_expiry": True}}}).json["user"]
            self.assertIsNone(free["password_expires_at"])
            t = user.get(V3 + "/auth/tokens", headers={"X-Subject-Token": user.token}).json["token"]
            life = [datetime.datetime.strptime(t[k], "%Y-%m-%dT%H:%M:%S.%fZ") for k in ("issued_at", "expires_at")]
            self.assertEqual((life[1] - life[0]).total_seconds(), 60)
        finally:
            c.stop()


class PasswordRules(unittest.TestCase):
    def test_history_age_length_and_expiry(self):
        c = Cloud(agent=False, options={"identity.password_history": "3", "identity.password_min_length": "8", "identity.password_expires_days": "30"})
        try:
            boss = c.login("admin")
            self.assertEqual(boss.post(V3 + "/users", {"user": {"name": "u", "password": "short"}}).status, 400)
            user = boss.post(V3 + "/users", {"user": {"name": "u", "password": "password-0"}}).json["user"]["id"]
            path = "%s/users/%s/password" % (V3, user)

            def change(old, new):
                return c.anonymous().post(path, {"user": {"original_password": old, "password": new}}).status
            self.assertEqual(c.anonymous().get(path).status, 405)
            self.assertEqual(change("password-0", "seven77"), 400)
            self.assertEqual([change("password-%d" % i, "password-%d" % (i + 1)) for i in range(3)], [204] * 3)
            self.assertEqual([change("password-3", "password-%d" % i) for i in (3, 2, 1)], [400] * 3)
            self.assertEqual(change("password-3", "password-0"), 204)           # three others since
            self.assertEqual(boss.patch("%s/users/%s" % (V3, user), {"user": {"options": {"lock_password": True}}}).status, 200)
            self.assertEqual(change("password-0", "password-9"), 400)
            # An administrator's reset asks for no history, and lifts nothing else.
            self.assertEqual(boss.patch("%s/users/%s" % (V3, user), {"user": {"password": "password-0"}}).status, 200)
        finally:
            c.stop()

    def test_odd_passwords(self):                                # AUT-12
        for bad, status in (({"password": []}, 400), ({"password": 3}, 400), ({}, 400), ({"password": None}, 400), ({"password": ""}, 401), ({"password": "x" * 1000}, 401)):
            r = Client(cloud).post(V3 + "/auth/tokens", {"auth": {"identity": {"methods": ["password"], "password": {"user": dict(id=demo.user_id, **bad)}}}})
            self.assertEqual(r.status, status, bad)
        nul = b'{"auth": {"identity": {"methods": ["password"], "password": {"user": {"id": "%s", "password": "a\\u0000b"}}}}}' % demo.user_id.encode()
        self.assertEqual(Client(cloud).call("POST", V3 + "/auth/tokens", raw=nul, headers={"Content-Type": "application/json"}).status, 400)
        self.assertEqual(admin.call("POST", V3 + "/users", raw=b'{"user": {"name": "n", "password": "a\\u0000b"}}', headers={"Content-Type": "application/json"}).status, 400)
        self.assertEqual(admin.post(V3 + "/users", {"user": {"name": name(), "password": "y" * 5000}}).status, 400)
        one, two = make("user", password="e\u0301")["id"], make("user", password="\u00e9")["id"]       # two spellings of the same letter differ
        self.assertEqual(password(one, "\u00e9")[0].status, 401)
        self.assertEqual(password(two, "\u00e9")[0].status, 201)
        nobody = make("user")["id"]                              # no password: none fits
        for pw in ("", "None", "null"):
            self.assertEqual(password(nobody, pw)[0].status, 401)


class Trusts(unittest.TestCase):
    def setUp(self):
        self.a, self.b, self.c = cloud.new_tenant(), cloud.new_tenant(), cloud.new_tenant()

    def give(self, who, trustor, trustee, **body):
        return who.post(V3 + "/OS-TRUST/trusts", {"trust": dict({"trustor_user_id": trustor.user_id, "trustee_user_id": trustee.user_id, "impersonation": False,
                                                                "project_id": self.a.project_id, "roles": [{"name": "member"}]}, **body)})

    def use(self, who, r):
        self.assertEqual(r.status, 201, r)
        return good(auth({"token": {"id": who.token}}, {"OS-TRUST:trust": {"id": r.json["trust"]["id"]}}))

    def test_passed_on(self):
        first = self.give(self.a, self.a, self.b, allow_redelegation=True)
        self.assertEqual((first.json["trust"]["redelegation_count"], first.json["trust"]["redelegated_trust_id"]), (3, None))
        b = self.use(self.b, first)
        second = self.give(b, self.b, self.c, allow_redelegation=True, roles=[{"name": "reader"}])
        self.assertEqual((second.json["trust"]["redelegation_count"], second.json["trust"]["redelegated_trust_id"]), (2, first.json["trust"]["id"]))
        c = self.use(self.c, second)
        token = c.get(V3 + "/auth/tokens", headers={"X-Subject-Token": c.token}).json["token"]
        self.assertEqual(([r["name"] for r in token["roles"]], token["project"]["id"]), (["reader"], self.a.project_id))
        self.assertEqual(c.get("/network/v2.0/networks").status, 200)
        # Whose role it is in the end decides, and everybody in between.
        admin.patch("%s/users/%s" % (V3, self.b.user_id), {"user": {"enabled": False}})
        self.assertEqual(c.get("/network/v2.0/networks").status, 401)
        self.assertEqual(auth({"token": {"id": self.c.token}}, {"OS-TRUST:trust": {"id": second.json["trust"]["id"]}})[0].status, 401)
        admin.patch("%s/users/%s" % (V3, self.b.user_id), {"user": {"enabled": True}})
        admin.patch("%s/users/%s" % (V3, self.a.user_id), {"user": {"enabled": False}})       # the head of the chain
        self.assertEqual(auth({"token": {"id": self.c.token}}, {"OS-TRUST:trust": {"id": second.json["trust"]["id"]}})[0].status, 401)
        admin.patch("%s/users/%s" % (V3, self.a.user_id), {"user": {"enabled": True}})
        c = self.use(self.c, second)
        admin.delete("%s/projects/%s/users/%s/roles/%s" % (V3, self.a.project_id, self.a.user_id, roles["member"]))
        self.assertEqual(c.get("/network/v2.0/networks").status, 401)

    def test_the_end_of_the_first_is_the_end_of_all(self):
        first = self.give(self.a, self.a, self.b, allow_redelegation=True, impersonation=True)
        second = self.give(self.use(self.b, first), self.a, self.c, impersonation=True)
        c = self.use(self.c, second)
        self.assertEqual(self.a.delete(V3 + "/OS-TRUST/trusts/" + first.json["trust"]["id"]).status, 204)
        self.assertEqual(c.get("/network/v2.0/networks").status, 401)
        self.assertEqual(self.c.get(V3 + "/OS-TRUST/trusts/" + second.json["trust"]["id"]).status, 404)

    def test_never_more_than_was_given(self):
        plain = self.use(self.b, self.give(self.a, self.a, self.b))
        self.assertEqual(self.give(plain, self.b, self.c).status, 403)
        soon = (datetime.datetime.utcnow() + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        later = (datetime.datetime.utcnow() + datetime.timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
        b = self.use(self.b, self.give(self.a, self.a, self.b, allow_redelegation=True, redelegation_count=1, expires_at=soon, roles=[{"name": "reader"}]))
        for more, status in (({"roles": [{"name": "member"}]}, 403), ({"expires_at": later}, 403), ({"impersonation": True}, 403), ({"remaining_uses": 1}, 403),
                             ({"project_id": self.b.project_id}, 403), ({"roles": []}, 403), ({"allow_redelegation": True, "redelegation_count": 2}, 403),
                             ({"trustor_user_id": self.a.user_id}, 403), ({"allow_redelegation": "yes"}, 400)):
            self.assertEqual(self.give(b, self.b, self.c, **dict({"roles": [{"name": "reader"}]}, **more)).status, status, more)
        last = self.give(b, self.b, self.c, allow_redelegation=True, roles=[{"name": "reader"}])
        self.assertEqual((last.status, last.json["trust"]["redelegation_count"], last.json["trust"]["expires_at"][:19] + "Z"), (201, 0, soon))
        self.assertEqual(self.give(self.use(self.c, last), self.c, self.a, roles=[{"name": "reader"}]).status, 403)
        self.assertEqual(self.give(self.a, self.a, self.b, allow_redelegation=True, redelegation_count=9).status, 403)
        self.assertEqual(self.give(self.a, self.a, self.b, allow_redelegation=True, remaining_uses=2).status, 400)
        # Nothing but a trust is made with a trust, and what the trustor has besides is not to be seen.
        as_a = self.use(self.b, self.give(self.a, self.a, self.b, impersonation=True))
        for path in ("application_credentials", "access_rules", "credentials/OS-EC2"):
            self.assertEqual((as_a.get("%s/users/%s/%s" % (V3, self.a.user_id, path)).status, self.a.get("%s/users/%s/%s" % (V3, self.a.user_id, path)).status), (403, 200))
        self.assertEqual(b.post("%s/users/%s/application_credentials" % (V3, self.b.user_id), {"application_credential": {"name": "x"}}).status, 403)


class DefaultProject(unittest.TestCase):
    def test_it_is_used_while_it_can_be(self):
        m = Member()
        m.by_role()
        admin.patch("%s/users/%s" % (V3, m.user), {"user": {"default_project_id": m.project}})
        scope = lambda: good(password(m.user, scope=None)).project_id  # noqa: E731
        self.assertEqual(scope(), m.project)
        self.assertIsNone(good(password(m.user, scope="unscoped")).project_id)
        admin.patch("%s/projects/%s" % (V3, m.project), {"project": {"enabled": False}})
        self.assertIsNone(scope())                               # and not: nobody gets in
        admin.patch("%s/projects/%s" % (V3, m.project), {"project": {"enabled": True}})
        self.assertEqual(scope(), m.project)
        admin.delete(m.grant)
        self.assertIsNone(scope())


class RolesOfDomains(unittest.TestCase):
    def test_they_never_reach_a_token_but_what_they_imply_does(self):
        m = Member()
        own = make("role", domain_id=m.domain)
        self.assertEqual(make("role", name=own["name"])["domain_id"], None)                # the same name elsewhere is another role
        other = make("project")
        grant = "%s/projects/%%s/users/%s/roles/%s" % (V3, m.user, own["id"])
        self.assertEqual(admin.put(grant % other["id"]).status, 403)                       # not in another domain
        self.assertEqual(admin.put(grant % m.project).status, 204)
        self.assertEqual(password(m.user, scope=m.scope)[0].status, 401)                   # alone it is no role
        self.assertEqual(admin.put("%s/roles/%s/implies/%s" % (V3, roles["reader"], own["id"])).status, 403)
        self.assertEqual(admin.put("%s/roles/%s/implies/%s" % (V3, own["id"], roles["reader"])).status, 201)
        r, _ = password(m.user, scope=m.scope)
        self.assertEqual([x["name"] for x in r.json["token"]["roles"]], ["reader"])
        self.assertIn(own["id"], [x["id"] for x in admin.get(V3 + "/roles?domain_id=" + m.domain).json["roles"]])
        self.assertNotIn(own["id"], [x["id"] for x in admin.get(V3 + "/roles").json["roles"]])
        worked = admin.get("%s/role_assignments?effective&user.id=%s&include_names" % (V3, m.user)).json["role_assignments"]
        self.assertEqual([x["role"]["name"] for x in worked], ["reader"])
        self.assertIn("prior_role", worked[0]["links"])
        given = admin.get("%s/role_assignments?user.id=%s&include_names" % (V3, m.user)).json["role_assignments"]
        self.assertEqual([(x["role"]["name"], x["role"]["domain"]["id"]) for x in given], [(own["name"], m.domain)])


class Assignments(unittest.TestCase):
    def test_subtree_and_inheritance(self):
        top = make("project")
        low, user = make("project", parent_id=top["id"]), make("user")
        admin.put("%s/projects/%s/users/%s/roles/%s" % (V3, low["id"], user["id"], roles["member"]))
        inherit = "%s/OS-INHERIT/projects/%s/users/%s/roles/%s/inherited_to_projects" % (V3, top["id"], user["id"], roles["reader"])
        admin.put(inherit)
        ask = lambda q: admin.get("%s/role_assignments?%s" % (V3, q)).json["role_assignments"]  # noqa: E731
        self.assertEqual(len(ask("scope.project.id=%s&user.id=%s" % (top["id"], user["id"]))), 1)
        self.assertEqual(len(ask("scope.project.id=%s&include_subtree&user.id=%s" % (top["id"], user["id"]))), 2)
        self.assertEqual(len(ask("scope.OS-INHERIT:inherited_to=projects&user.id=" + user["id"])), 1)
        both = ask("effective&scope.project.id=%s&user.id=%s" % (low["id"], user["id"]))
        self.assertEqual(sorted(x["role"]["id"] for x in both), sorted([roles["member"], roles["reader"], roles["reader"]]))
        self.assertEqual(admin.delete(inherit).status, 204)
        self.assertEqual(ask("scope.OS-INHERIT:inherited_to=projects&user.id=" + user["id"]), [])

    def test_many_pages(self):
        d = make("domain")["id"]
        ids = {make("user", domain_id=d)["id"] for _ in range(7)}
        seen, marker = [], ""
        while True:
            page = admin.get("%s/users?domain_id=%s&limit=3%s" % (V3, d, marker)).json["users"]
            if not page:
                break
            self.assertLessEqual(len(page), 3)
            seen += [u["id"] for u in page]
            marker = "&marker=" + page[-1]["id"]
        self.assertEqual((len(seen), set(seen)), (7, ids))


class Limits(unittest.TestCase):
    def test_limits_of_domains(self):
        m, service = Member(), admin.get(V3 + "/services?type=network").json["services"][0]["id"]
        reader, n = m.by_role(), name()
        r = admin.post(V3 + "/registered_limits", {"registered_limits": [{"service_id": service, "resource_name": n, "default_limit": -1, "description": "d"}]})
        self.assertEqual((r.status, r.json["registered_limits"][0]["default_limit"]), (201, -1))     # no limit
        both = {"domain_id": m.domain, "project_id": m.project, "service_id": service, "resource_name": n, "resource_limit": 1}
        self.assertEqual(admin.post(V3 + "/limits", {"limits": [both]}).status, 400)
        rows = admin.post(V3 + "/limits", {"limits": [dict(domain_id=m.domain, service_id=service, resource_name=n, resource_limit=9),
                                                      dict(project_id=m.project, service_id=service, resource_name=n, resource_limit=3)]})
        self.assertEqual([(x["domain_id"], x["project_id"], x["resource_limit"]) for x in rows.json["limits"]], [(m.domain, None, 9), (None, m.project, 3)])
        self.assertEqual([x["resource_limit"] for x in admin.get("%s/limits?domain_id=%s" % (V3, m.domain)).json["limits"]], [9])
        self.assertEqual([x["resource_limit"] for x in reader.get(V3 + "/limits").json["limits"]], [3])
        boss = make("user", domain_id=m.domain, password="pw")["id"]
        admin.put("%s/domains/%s/users/%s/roles/%s" % (V3, m.domain, boss, roles["reader"]))
        seen = good(password(boss, scope={"domain": {"id": m.domain}})).get(V3 + "/limits").json["limits"]
        self.assertEqual(sorted(x["resource_limit"] for x in seen), [3, 9])
        self.assertEqual(demo.get(V3 + "/limits/" + rows.json["limits"][0]["id"]).status, 404)
        # All or nothing.
        new, bad = dict(project_id=demo.project_id, service_id=service, resource_name=n, resource_limit=1), dict(project_id="x", service_id=service, resource_name=n, resource_limit=1)
        self.assertEqual(admin.post(V3 + "/limits", {"limits": [new, bad]}).status, 400)
        self.assertEqual(admin.get("%s/limits?project_id=%s" % (V3, demo.project_id)).json["limits"], [])


class Escalation(unittest.TestCase):
    """AUT-07, AUT-08: nobody makes himself more than he is."""

    def test_a_member_gives_himself_nothing(self):
        m = Member()
        c = m.by_role()
        for path in ("projects/%s/users/%s" % (m.project, m.user), "domains/%s/users/%s" % (m.domain, m.user), "system/users/" + m.user,
                     "projects/%s/groups/%s" % (m.project, m.group), "system/groups/" + m.group):
            for who, status in ((c, 403), (Client(cloud), 401), (Client(cloud, "x" * 43), 401)):
                self.assertEqual(who.put("%s/%s/roles/%s" % (V3, path, roles["admin"])).status, status, path)
        self.assertEqual(c.put(m.membership).status, 403)
        # The id of a group is no user's: a user cannot be made with it, and a grant to one is none to the other.
        self.assertEqual(admin.post(V3 + "/users", {"user": {"id": m.group, "name": name()}}).status, 400)
        self.assertEqual(admin.put("%s/projects/%s/users/%s/roles/%s" % (V3, m.project, m.group, roles["admin"])).status, 404)

    def test_with_a_restricted_credential(self):
        m = Member()
        c, other = m.by_app_credential(), make("project")["id"]
        admin.put("%s/projects/%s/users/%s/roles/%s" % (V3, other, m.user, roles["member"]))
        mine = good(password(m.user, scope=m.scope))
        secret = mine.post(V3 + "/credentials", {"credential": {"type": "cert", "blob": "x"}}).json["credential"]["id"]
        for method, path, body in (("POST", "/users/%s/application_credentials" % m.user, {"application_credential": {"name": "b"}}),
                                   ("DELETE", m.path[len(V3):], None), ("POST", "/credentials", {"credential": {"type": "cert", "blob": "y"}}),
                                   ("PATCH", "/credentials/" + secret, {"credential": {"project_id": other}}), ("DELETE", "/credentials/" + secret, None),
                                   ("GET", "/credentials/" + secret, None), ("PATCH", "/users/" + m.user, {"user": {"password": "x"}}),
                                   ("POST", "/users/%s/credentials/OS-EC2" % m.user, {"tenant_id": m.project}),
                                   ("POST", "/OS-TRUST/trusts", {"trust": {"trustor_user_id": m.user, "trustee_user_id": demo.user_id, "impersonation": True,
                                                                           "project_id": m.project, "roles": [{"name": "member"}]}})):
            self.assertEqual(c.call(method, V3 + path, body).status, 403, (method, path))
        for scope in ({"project": {"id": other}}, {"domain": {"id": m.domain}}, {"system": {"all": True}}, "unscoped"):
            self.assertEqual(auth({"token": {"id": c.token}}, scope)[0].status, 401, scope)
        self.assertEqual([p["id"] for p in c.get(V3 + "/auth/projects").json["projects"]], [m.project])
        # Roles of its own never outlive the user's: with reader left, it is a reader.
        admin.put("%s/projects/%s/users/%s/roles/%s" % (V3, m.project, m.user, roles["reader"]))
        admin.delete(m.grant)
        self.assertEqual(c.get("/network/v2.0/networks").status, 200)
        self.assertEqual(c.post("/network/v2.0/networks", {"network": {"name": "n"}}).status, 403)

    def test_a_domain_administrator_stays_in_the_domain(self):
        m, foreign = Member(), Member()
        boss = make("user", domain_id=m.domain, password="pw")["id"]
        admin.put("%s/domains/%s/users/%s/roles/%s" % (V3, m.domain, boss, roles["admin"]))
        c = good(password(boss, scope={"domain": {"id": m.domain}}))
        for method, path, body in (("GET", "/users/" + foreign.user, None), ("PATCH", "/users/" + foreign.user, {"user": {"name": "x"}}), ("DELETE", "/users/" + foreign.user, None),
                                   ("PATCH", "/projects/" + foreign.project, {"project": {"name": "x"}}), ("DELETE", "/projects/" + foreign.project, None),
                                   ("GET", "/groups/" + foreign.group, None), ("PUT", "/groups/%s/users/%s" % (m.group, foreign.user), None),
                                   ("PUT", "/groups/%s/users/%s" % (foreign.group, m.user), None)):
            self.assertEqual(c.call(method, V3 + path, body).status, 404, (method, path))
        for path in ("projects/%s/users/%s" % (foreign.project, m.user), "projects/%s/users/%s" % (m.project, foreign.user), "domains/%s/users/%s" % (foreign.domain, boss)):
            self.assertEqual(c.put("%s/%s/roles/%s" % (V3, path, roles["reader"])).status, 403, path)
        for path, body in (("/domains", {"domain": {"name": name()}}), ("/roles", {"role": {"name": name()}}), ("/roles", {"role": {"name": name(), "domain_id": m.domain}}),
                           ("/services", {"service": {"type": "x"}}), ("/projects", {"project": {"name": name(), "is_domain": True}}),
                           ("/projects", {"project": {"name": name(), "parent_id": foreign.project}})):
            self.assertEqual(c.post(V3 + path, body).status, 403, (path, body))
        self.assertEqual(c.patch("%s/domains/%s" % (V3, m.domain), {"domain": {"enabled": False}}).status, 403)
        self.assertEqual(auth({"token": {"id": c.token}}, {"project": {"id": m.project}})[0].status, 401)
        # Who has powers beyond the domain is not his to change: he would have them himself.
        for target, role in (("system/users/%s" % m.user, "reader"), ("domains/%s/users/%s" % (foreign.domain, m.user), "admin"),
                             ("projects/%s/users/%s" % (m.project, m.user), "admin")):
            self.assertEqual(c.patch("%s/users/%s" % (V3, m.user), {"user": {"description": "mine"}}).status, 200)
            grant = "%s/%s/roles/%s" % (V3, target, roles[role])
            self.assertEqual(admin.put(grant).status, 204)
            for method, path, body in (("PATCH", "/users/" + m.user, {"user": {"password": "mine"}}), ("DELETE", "/users/" + m.user, None)):
                self.assertEqual(c.call(method, V3 + path, body).status, 403, (target, method))
            self.assertEqual(admin.delete(grant).status, 204)
        # His own powers end at the cloud's: no role admin on a project, nor through a role that implies it.
        above = make("role")["id"]
        self.assertEqual(admin.put("%s/roles/%s/implies/%s" % (V3, above, roles["member"])).status, 201)
        self.assertEqual(c.put("%s/projects/%s/users/%s/roles/%s" % (V3, m.project, m.user, above)).status, 204)
        self.assertEqual(c.put("%s/projects/%s/users/%s/roles/%s" % (V3, m.project, boss, roles["admin"])).status, 403)

    def test_what_is_not_there(self):                            # AUT-16
        for method, path in (("POST", "/ec2tokens"), ("POST", "/s3tokens"), ("GET", "/OS-OAUTH1/consumers"), ("POST", "/OS-OAUTH1/request_token"),
                             ("GET", "/OS-FEDERATION/identity_providers"), ("GET", "/OS-FEDERATION/saml2"), ("GET", "/domains/default/config"),
                             ("GET", "/OS-SIMPLE-CERT/ca"), ("GET", "/OS-REVOKE/events")):
            self.assertEqual(admin.call(method, V3 + path, {} if method == "POST" else None).status, 404, path)


class Attempts(unittest.TestCase):
    """AUT-10, AUT-11: guessing is slow, and neither locks out nor holds up anybody else."""

    def test_one_address_guesses_another_logs_in(self):
        c = Cloud(agent=False, options={"identity.failed_logins": "5"})
        try:
            wrong = {"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "demo", "domain": {"id": "default"}, "password": "no"}}}}}
            guesser, got = c.anonymous(), []
            while len(got) < 60 and (not got or got[-1].status != 429):
                got.append(guesser.post(V3 + "/auth/tokens", wrong))
            self.assertEqual([r.status for r in got], [401] * (len(got) - 1) + [429])
            self.assertIn(len(got), range(6, 10))                # five, and what a slow machine gets back meanwhile
            self.assertRegex(got[-1].headers["retry-after"], r"^\d+$")
            # The right password from the same address waits as well; from another it does not.
            right = {"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "demo", "domain": {"id": "default"}, "password": c.password("demo")}}}}}
            self.assertEqual(guesser.post(V3 + "/auth/tokens", right).status, 429)
            begin = time.monotonic()
            self.assertEqual(from_address(c, "127.0.0.7", right), 201)
            self.assertLess(time.monotonic() - begin, 2)
            # Application credentials and one's own password are guessed no faster.
            self.assertEqual(guesser.post("%s/users/%s/password" % (V3, "x" * 32), {"user": {"original_password": "a", "password": "b"}}).status, 429)
        finally:
            c.stop()

    def test_unknown_users_cost_the_same(self):
        def seconds(user):
            times = []
            for _ in range(9):
                begin = time.monotonic()
                r = Client(cloud).post(V3 + "/auth/tokens", {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}})
                times.append(time.monotonic() - begin)
                self.assertEqual(r.status, 401)
            return sorted(times)[2]
        off = make("user", password="pw", enabled=False)["id"]
        known = seconds({"id": demo.user_id, "password": "wrong"})
        for user in ({"id": "0" * 32, "password": "wrong"}, {"name": "nobody", "domain": {"name": "nowhere"}, "password": "wrong"}, {"id": off, "password": "pw"},
                     {"id": make("user")["id"], "password": "wrong"}):
            self.assertGreater(seconds(user), known / 3, user)   # a hash is some thirty times what the rest takes


def from_address(c, source, body):
    connection = http.client.HTTPConnection("127.0.0.1", c.port, timeout=30, source_address=(source, 0))
    connection.request("POST", V3 + "/auth/tokens", json.dumps(body), {"Content-Type": "application/json"})
    status = connection.getresponse().status
    connection.close()
    return status


class Validation(unittest.TestCase):
    def test_by_other_services(self):
        service = make("role", name="service")["id"]
        project, user = make("project")["id"], make("user", password="pw")["id"]
        grant = "%s/projects/%s/users/%s/roles/%s" % (V3, project, user, service)
        admin.put(grant)
        nova = good(password(user, scope={"project": {"id": project}}))
        about = {"X-Subject-Token": demo.token}
        r = nova.get(V3 + "/auth/tokens", headers=about)
        self.assertEqual((r.status, r.json["token"]["user"]["id"], r.headers["x-subject-token"]), (200, demo.user_id, demo.token))
        self.assertIn("catalog", r.json["token"])
        self.assertNotIn("catalog", nova.get(V3 + "/auth/tokens?nocatalog=true", headers=about).json["token"])
        self.assertEqual(nova.call("HEAD", V3 + "/auth/tokens", headers=about).status, 200)
        self.assertEqual(nova.delete(V3 + "/auth/tokens", headers=about).status, 403)
        other = cloud.new_tenant()
        self.assertEqual(other.get(V3 + "/auth/tokens", headers=about).status, 403)
        self.assertEqual(nova.get(V3 + "/auth/tokens").status, 400)
        self.assertEqual(nova.get(V3 + "/auth/tokens", headers={"X-Subject-Token": "x" * 43}).status, 404)
        # What is kept of a token's text is as fresh as the token.
        admin.patch("%s/projects/%s" % (V3, project), {"project": {"name": "renamed"}})
        self.assertEqual(nova.get(V3 + "/auth/tokens", headers={"X-Subject-Token": nova.token}).json["token"]["project"]["name"], "renamed")
        admin.delete("%s/roles/%s" % (V3, service))
        self.assertEqual(nova.get(V3 + "/auth/tokens", headers=about).status, 401)


class AtRest(unittest.TestCase):
    def test_no_secret_is_readable_in_the_database(self):        # AUT-15
        c = Cloud(agent=False)
        try:
            t = c.new_tenant("rest")
            ac = t.post("%s/users/%s/application_credentials" % (V3, t.user_id), {"application_credential": {"name": "a"}}).json["application_credential"]
            secrets = [t.token, ac["secret"], "pw-rest", c.password("admin"), base64.b64encode(t.token.encode()).decode()]
            self.assertEqual(os.stat(c.state + "/admin-openrc").st_mode & 0o777, 0o600)
            self.assertNotEqual(c.password("admin"), c.password("demo"))
            self.assertGreaterEqual(len(c.password("admin")), 20)
            for top, _, files in os.walk(c.state):
                for f in files:
                    if f.endswith(("openrc", ".yaml")):
                        continue
                    with open(os.path.join(top, f), "rb") as data:
                        text = data.read()
                    for s in secrets:
                        self.assertNotIn(s.encode(), text, (f, s))
            self.assertNotIn(t.token, c.tail(10 ** 7))
            self.assertNotIn("pw-rest", c.tail(10 ** 7))
        finally:
            c.stop()

    def test_an_earlier_copy_of_the_database_revives_no_cache(self):
        """After a restart nothing is remembered: rows alone decide."""
        c = Cloud(agent=False)
        try:
            t, boss = c.new_tenant("later"), c.login("admin")
            self.assertEqual(t.get(V3 + "/auth/projects").status, 200)
            role = [r["id"] for r in boss.get(V3 + "/roles").json["roles"] if r["name"] == "member"][0]
            grant = "%s/projects/%s/users/%s/roles/%s" % (V3, t.project_id, t.user_id, role)
            self.assertEqual(boss.delete(grant).status, 204)
            c.kill()
            c.start()
            self.assertEqual(t.get(V3 + "/auth/projects").status, 401)
            self.assertEqual(boss.put(grant).status, 204)
            self.assertEqual(t.get(V3 + "/auth/projects").status, 200)     # a role given back is a role
            self.assertEqual(boss.patch("%s/users/%s" % (V3, t.user_id), {"user": {"enabled": False}}).status, 200)
            c.kill()
            c.start()
            boss.patch("%s/users/%s" % (V3, t.user_id), {"user": {"enabled": True}})
            self.assertEqual(t.get(V3 + "/auth/projects").status, 401)     # a disabled user's tokens are gone for good
        finally:
            c.stop()


if __name__ == "__main__":
    unittest.main()
