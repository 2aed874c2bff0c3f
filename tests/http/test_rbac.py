"""tests/http/test_rbac.py -- every route × persona against the policy table: who is let in, who is 401, who is 403."""
import os
import re
import subprocess
import sys
import unittest
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib.cloud import NUVOLET, ROOT, Client, Cloud  # noqa: E402

V3 = "/identity/v3"
ALL = {"reader", "member", "stranger", "padmin", "dreader", "dadmin", "sreader", "sadmin", "unscoped", "appcred"}
ADMINS = {"padmin", "sadmin"}
# What each rule means, written down a second time: the table in identity/policy.c is what is tested.
LET_IN = {
    "anyone": ALL | {"anonymous"},
    "authenticated": ALL,
    "by-target": ALL,
    "primary": ALL - {"appcred"},
    "project-reader": ADMINS | {"reader", "member", "stranger", "appcred"},
    "project-member": ADMINS | {"member", "stranger", "appcred"},
    "system-reader": ADMINS | {"sreader"},
    "domain-reader": ADMINS | {"sreader", "dreader", "dadmin"},
    "domain-admin": ADMINS | {"dadmin"},
    "admin": ADMINS,
}
# Calls whose handler refuses more than the rule does (403 is right for some of those whom the rule lets in).
STRICTER = re.compile(r"/users/\{id\}/|/OS-TRUST/|/v3/credentials|/v3/(projects|domains|OS-INHERIT|system)/.*roles|/os-quota|/quotas|/v3/projects/\{id\}/tags"
                      r"|/os-simple-tenant-usage|/v3/limits|/images|/v3/auth/tokens")


def setUpModule():
    global cloud, people, routes
    cloud = Cloud(options={"identity.failed_logins": "100000"})
    admin = cloud.login("admin")
    roles = {r["name"]: r["id"] for r in admin.get(V3 + "/roles").json["roles"]}
    make = lambda kind, **b: admin.post("%s/%ss" % (V3, kind), {kind: dict({"name": "m-" + uuid.uuid4().hex[:8]}, **b)}).json[kind]  # noqa: E731
    domain = make("domain")["id"]
    project, other = make("project", domain_id=domain)["id"], make("project")["id"]

    def persona(role, target, scope):
        user = make("user", password="pw")["id"]
        if role:
            r = admin.put("%s/%s/users/%s/roles/%s" % (V3, target, user, roles[role]))
            assert r.status == 204, r
        c = Client(cloud)
        r = c.post(V3 + "/auth/tokens", {"auth": {"identity": {"methods": ["password"], "password": {"user": {"id": user, "password": "pw"}}}, "scope": scope}})
        assert r.status == 201, r
        c.token, c.user_id = r.headers["x-subject-token"], user
        return c
    here, there = {"project": {"id": project}}, {"project": {"id": other}}
    people = {"anonymous": Client(cloud), "reader": persona("reader", "projects/" + project, here), "member": persona("member", "projects/" + project, here),
              "stranger": persona("member", "projects/" + other, there), "padmin": persona("admin", "projects/" + project, here),
              "dreader": persona("reader", "domains/" + domain, {"domain": {"id": domain}}), "dadmin": persona("admin", "domains/" + domain, {"domain": {"id": domain}}),
              "sreader": persona("reader", "system", {"system": {"all": True}}), "sadmin": persona("admin", "system", {"system": {"all": True}}),
              "unscoped": persona(None, None, "unscoped")}
    m = people["member"]
    ac = m.post("%s/users/%s/application_credentials" % (V3, m.user_id), {"application_credential": {"name": "ac"}}).json["application_credential"]
    c = Client(cloud)
    r = c.post(V3 + "/auth/tokens", {"auth": {"identity": {"methods": ["application_credential"], "application_credential": {"id": ac["id"], "secret": ac["secret"]}}}})
    c.token = r.headers["x-subject-token"]
    people["appcred"] = c
    lines = subprocess.run([NUVOLET, "ctl", "routes"], capture_output=True, text=True, check=True).stdout.splitlines()
    routes = [line.split()[:3] for line in lines if line.startswith(("GET ", "HEAD ", "POST ", "PUT ", "PATCH ", "DELETE "))]


def tearDownModule():
    for c in people.values():
        c.close()
    cloud.stop()


class Matrix(unittest.TestCase):
    def test_every_route_and_persona(self):
        self.assertGreater(len(routes), 300)
        wrong, asked = [], 0
        for method, path, rule in routes:
            if (method, path) == ("DELETE", V3 + "/auth/tokens"):
                continue
            url = re.sub(r"\{[^}]*\}", lambda _: str(uuid.uuid4()), path)
            body = {} if method in ("POST", "PUT", "PATCH") else None
            nobody = people["anonymous"].call(method, url, body).status
            for who, c in people.items():
                status = nobody if who == "anonymous" else c.call(method, url, body).status
                asked += 1
                if rule == "anyone" or nobody in (404, 405):     # not at this microversion: nobody sees it
                    ok = status < 500
                elif who == "anonymous":
                    ok = status == 401
                elif who in LET_IN[rule]:
                    ok = status not in (401, 403) or (status == 403 and (STRICTER.search(path) or who in ("unscoped", "dreader", "dadmin")))
                else:
                    ok = status == 403
                if not ok:
                    wrong.append("%s %s (%s) as %s: %d" % (method, path, rule, who, status))
        self.assertEqual(wrong, [], "%d of %d\n%s" % (len(wrong), asked, "\n".join(wrong[:40])))

    def test_the_document_is_the_table(self):
        made = subprocess.run([NUVOLET, "ctl", "policy"], capture_output=True, text=True, check=True).stdout
        with open(os.path.join(ROOT, "docs", "POLICY.md")) as f:
            self.assertEqual(f.read(), made, "run: build/nuvolet ctl policy > docs/POLICY.md")

    def test_every_rule_is_known_here(self):
        self.assertEqual({r[2] for r in routes} - set(LET_IN), set())


if __name__ == "__main__":
    unittest.main()
