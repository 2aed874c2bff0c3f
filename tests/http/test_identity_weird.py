"""tests/http/test_identity_weird.py -- every identity call with bodies that nobody should send: an answer below 500 each time, and no row broken."""
import os
import random
import re
import subprocess
import sys
import unittest
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib.cloud import NUVOLET, Cloud  # noqa: E402

V3 = "/identity/v3"
VALUES = [None, True, False, 0, -1, 2 ** 63 - 1, 1.5, "", "x", "é\u2028", "a" * 300, "a" * 70000, [], {}, ["x"], [None], [{}], {"a": None}, {"id": "default"},
          {"name": "admin"}, [["password"]], "2030-01-01T00:00:00Z", "%(project_id)s", "$(user_id)s", "'", "../..", "null"]
NAMES = ("name id domain_id parent_id description enabled options tags password original_password user_id project_id type blob service_id region_id interface "
         "url roles expires_at unrestricted access_rules secret trustor_user_id trustee_user_id impersonation remaining_uses resource_name default_limit "
         "resource_limit filters email default_project_id is_domain parent_region_id tenant_id methods user token scope identity extra links region").split()
WRAPS = ("domain project user group role region service endpoint policy credential trust application_credential limit registered_limit limits "
         "registered_limits auth endpoint_group tags").split()
QUERIES = NAMES + ["limit", "marker", "sort_key", "effective", "include_names", "include_subtree", "scope.project.id", "user.id"]
# What would end the test itself: the caller's user, project, role and token.
SPARED = re.compile(r"^DELETE .*(/users/\{id\}|/projects/\{id\}|/auth/tokens|/roles/\{id\})$")
SPARED_FIELDS = {"PATCH": {"enabled", "password"}}


def body_for(rng, method, path, ids):
    inner = {k: rng.choice(VALUES + ids) for k in rng.sample(NAMES, rng.randint(0, 6))}
    for field in SPARED_FIELDS.get(method, ()):
        inner.pop(field, None)
    one = rng.choice([w for w in WRAPS if "/" + w in path.replace("policies", "policy")] or WRAPS)
    return rng.choice([{one: inner}] * 6 + [inner, [], {one: [inner]}, {one: None}, "x"])


class Weird(unittest.TestCase):
    def test_bodies_and_queries(self):
        rng = random.Random(20)
        cloud = Cloud(options={"identity.failed_logins": "100000", "log.level": "warn"})
        try:
            admin = cloud.login("admin")
            lines = subprocess.run([NUVOLET, "ctl", "routes"], capture_output=True, text=True, check=True).stdout.splitlines()
            routes = [line.split()[:2] for line in lines if V3 in line]
            ids = ["default", "RegionOne", str(uuid.uuid4())]
            for many in ("users", "projects", "roles"):
                ids += [x["id"] for x in admin.get("%s/%s" % (V3, many)).json[many]]
            for method, path in routes * 3:
                if SPARED.match(method + " " + path):
                    continue
                url = re.sub(r"\{[^}]*\}", lambda _: rng.choice(ids), path)
                if rng.random() < 0.3:
                    url += "?" + "&".join("%s=%s" % (rng.choice(QUERIES), rng.choice(["", "x", "1", "-1", "true", rng.choice(ids)])) for _ in range(2))
                body = body_for(rng, method, path, ids) if method in ("POST", "PUT", "PATCH") else None
                r = admin.call(method, url, body, headers={"X-Subject-Token": admin.token})
                self.assertLess(r.status, 500, (method, url, str(body)[:300], r))
            self.assertEqual(admin.get(V3 + "/users").status, 200)
            self.assertEqual(cloud.doctor(), "")
        finally:
            cloud.stop()


if __name__ == "__main__":
    unittest.main()
