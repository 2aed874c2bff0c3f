"""tests/http/test_network_more.py -- subnet pools, address scopes, RBAC policies, address groups, and what the API says of itself."""
import concurrent.futures
import ipaddress
import unittest

from test_network import Base, N


class Pools(Base):
    def pool(self, who=None, **attrs):
        return self.ok((who or self.demo).post(N + "subnetpools", {"subnetpool": {"name": "p", "prefixes": ["10.0.0.0/8"], **attrs}}), 201)["subnetpool"]

    def from_pool(self, pool, status=201, **attrs):
        body = {"subnet": {"network_id": self.network()["id"], "subnetpool_id": pool["id"], "ip_version": 4, **attrs}}
        reply = self.demo.post(N + "subnets", body)
        self.assertEqual(reply.status, status, reply)
        return reply.json.get("subnet")

    def test_cuts(self):
        p = self.pool(prefixes=["10.11.0.0/22"], min_prefixlen=24, default_prefixlen=25)
        self.assertEqual([self.from_pool(p)["cidr"] for _ in range(3)], ["10.11.0.0/25", "10.11.0.128/25", "10.11.1.0/25"])
        self.assertEqual(self.from_pool(p, prefixlen=24)["cidr"], "10.11.2.0/24")
        self.assertEqual(self.from_pool(p, cidr="10.11.3.0/25")["cidr"], "10.11.3.0/25")
        self.from_pool(p, 409, cidr="10.11.3.0/26")
        self.from_pool(p, 409, cidr="10.12.0.0/24")
        self.from_pool(p, 409, prefixlen=24)
        self.from_pool(p, 400, prefixlen=23)
        self.from_pool(p, 400, prefixlen=33)
        self.from_pool(p, 400, ip_version=6)
        last = self.from_pool(p)
        self.assertEqual(last["cidr"], "10.11.1.128/25")
        self.assertIn(last["id"], self.refuse(409, "DELETE", "subnetpools/" + p["id"]))

    def test_quota(self):
        p = self.pool(prefixes=["10.20.0.0/16"], default_quota=256, default_prefixlen=25)
        self.from_pool(p)
        self.from_pool(p)
        self.from_pool(p, 409)

    def test_six(self):
        p = self.pool(prefixes=["2001:db8::/48"])
        self.assertEqual((p["ip_version"], p["default_prefixlen"], p["max_prefixlen"]), (6, "64", "128"))
        self.assertEqual([self.from_pool(p, ip_version=6)["cidr"] for _ in range(2)], ["2001:db8::/64", "2001:db8:0:1::/64"])

    def test_refused(self):
        for bad in ({"prefixes": []}, {"prefixes": ["10.0.0.0/8", "2001:db8::/32"]}, {"prefixes": "10.0.0.0/8"}, {"min_prefixlen": 33},
                    {"min_prefixlen": 25, "max_prefixlen": 24}, {"default_prefixlen": 4, "min_prefixlen": 8}):
            self.refuse(400, "POST", "subnetpools", {"subnetpool": {"name": "x", "prefixes": ["10.0.0.0/8"], **bad}})
        self.refuse(403, "POST", "subnetpools", {"subnetpool": {"name": "x", "prefixes": ["10.0.0.0/8"], "shared": True}})
        p = self.pool(prefixes=["10.0.0.0/9", "10.128.0.0/9"])
        self.assertEqual(p["prefixes"], ["10.0.0.0/8"])
        self.refuse(400, "PUT", "subnetpools/" + p["id"], {"subnetpool": {"prefixes": ["10.0.0.0/9"]}})
        for body in ({"shared": True}, {"ip_version": 6}, {"no_such": 1}, {"name": "x", "tenant_id": self.other.project_id}):
            for key in (p["id"], "no-such"):                       # wrong whatever the id
                self.refuse(400, "PUT", "subnetpools/" + key, {"subnetpool": body}, self.other)
        self.refuse(404, "PUT", "subnetpools/" + p["id"], {"subnetpool": {"name": "x"}}, self.other)
        self.refuse(404, "GET", "subnetpools/" + p["id"], who=self.other)
        self.refuse(404, "POST", "subnets", {"subnet": {"network_id": self.network(self.other)["id"], "subnetpool_id": p["id"], "ip_version": 4}}, self.other)

    def test_many_prefixes(self):
        apart = ["10.0.%d.%d/32" % (i // 64, i % 64 * 4) for i in range(500)]
        halves = ["10.9.%d.%d/32" % (i // 250, i % 250) for i in range(500)]
        p = self.pool(prefixes=(apart + halves)[::-1])
        self.assertEqual(p["prefixes"][:500], apart)
        self.assertEqual(p["prefixes"][500:], [str(c) for c in ipaddress.collapse_addresses(map(ipaddress.ip_network, halves))])
        self.assertIn("10.0.7.204/32", self.refuse(400, "PUT", "subnetpools/" + p["id"], {"subnetpool": {"prefixes": apart[:-1] + ["10.9.0.0/16"]}}))
        p = self.ok(self.demo.put(N + "subnetpools/" + p["id"], {"subnetpool": {"prefixes": apart + ["10.9.0.0/16"]}}), 200)["subnetpool"]
        self.assertEqual(p["prefixes"], apart + ["10.9.0.0/16"])
        self.assertIn("prefixes", self.refuse(400, "POST", "subnetpools", {"subnetpool": {"name": "x", "prefixes": apart + halves + ["10.8.0.0/16"]}}))

    def test_default_pool_of_an_administrator_is_not_everybodys(self):
        pool = self.ok(self.admin.post(N + "subnetpools", {"subnetpool": {"name": "d", "prefixes": ["10.70.0.0/16"], "default_prefixlen": 24, "is_default": True}}), 201)["subnetpool"]
        self.addCleanup(lambda: self.admin.delete(N + "subnetpools/" + pool["id"]))
        body = {"subnet": {"network_id": self.network()["id"], "use_default_subnetpool": True, "ip_version": 4}}
        self.assertIn("No default subnetpool", self.refuse(400, "POST", "subnets", body))
        self.ok(self.admin.post(N + "rbac-policies", {"rbac_policy": {"object_type": "subnetpool", "object_id": pool["id"], "action": "access_as_shared",
                                                                     "target_tenant": self.demo.project_id}}), 201)
        s = self.demo_post(201, "subnets", body)["subnet"]
        self.assertEqual(s["subnetpool_id"], pool["id"])
        self.assertEqual(self.demo.delete(N + "subnets/" + s["id"]).status, 204)

    def test_lengths_are_text(self):
        p = self.pool(prefixes=["10.40.0.0/16"], min_prefixlen="24", max_prefixlen=30)
        lengths = lambda row: (row["min_prefixlen"], row["default_prefixlen"], row["max_prefixlen"])
        self.assertEqual(lengths(p), ("24", "24", "30"))
        p = self.ok(self.demo.put(N + "subnetpools/" + p["id"], {"subnetpool": {"default_prefixlen": "25", "max_prefixlen": "28"}}), 200)["subnetpool"]
        self.assertEqual(lengths(p), ("24", "25", "28"))
        self.assertEqual(self.from_pool(p)["cidr"], "10.40.0.0/25")

    def test_a_network_is_of_one_pool(self):
        a, b = self.pool(prefixes=["10.50.0.0/16"], default_prefixlen=24), self.pool(prefixes=["10.51.0.0/16"], default_prefixlen=24)
        six = self.pool(prefixes=["2001:db8:50::/48"])
        n, plain = self.network(), self.network()
        cut = lambda status, net, pool=None, version=4, **attrs: self.assertEqual(self.demo.post(N + "subnets", {"subnet": {
            "network_id": net["id"], "ip_version": version, **({"subnetpool_id": pool["id"]} if pool else {}), **attrs}}).status, status)
        cut(201, n, a)
        cut(201, n, a)
        cut(400, n, b)
        cut(400, n, cidr="192.168.0.0/24")
        cut(201, n, six, 6)
        cut(201, plain, cidr="192.168.0.0/24")
        cut(400, plain, a)
        cut(400, plain, a, cidr="192.168.1.0/24")          # outside the pool too
        cut(201, plain, cidr="192.168.1.0/24")
        self.assertEqual(len(self.ok(self.demo.get(N + "subnets?network_id=" + n["id"]), 200)["subnets"]), 3)
        s = self.ok(self.demo.post(N + "address-scopes", {"address_scope": {"name": "s", "ip_version": 4}}), 201)["address_scope"]
        for pool in (a, b):
            self.ok(self.demo.put(N + "subnetpools/" + pool["id"], {"subnetpool": {"address_scope_id": s["id"]}}), 200)
        cut(201, n, b)
        self.assertEqual(self.ok(self.demo.get(N + "networks/" + n["id"]), 200)["network"]["ipv4_address_scope"], s["id"])

    def test_scopes(self):
        s = self.ok(self.demo.post(N + "address-scopes", {"address_scope": {"name": "s", "ip_version": 4}}), 201)["address_scope"]
        p = self.pool(address_scope_id=s["id"], prefixes=["10.30.0.0/16"])
        self.refuse(409, "POST", "subnetpools", {"subnetpool": {"name": "x", "prefixes": ["10.30.1.0/24"], "address_scope_id": s["id"]}})
        self.refuse(400, "POST", "subnetpools", {"subnetpool": {"name": "x", "prefixes": ["2001:db8::/64"], "address_scope_id": s["id"]}})
        self.assertIn("Subnet pools: %s." % p["id"], self.refuse(409, "DELETE", "address-scopes/" + s["id"]))
        self.assertEqual(self.demo.delete(N + "subnetpools/" + p["id"]).status, 204)
        self.assertEqual(self.demo.delete(N + "address-scopes/" + s["id"]).status, 204)

    def test_a_network_is_in_the_scope_of_its_subnets(self):
        scope = lambda version: self.ok(self.demo.post(N + "address-scopes", {"address_scope": {"name": "s", "ip_version": version}}), 201)["address_scope"]["id"]
        shown = lambda net, who=None: tuple(self.ok((who or self.demo).get(N + "networks/" + net["id"]), 200)["network"][k] for k in ("ipv4_address_scope", "ipv6_address_scope"))
        cut = lambda status, net, pool, version=4: self.demo_post(status, "subnets", {"subnet": {"network_id": net["id"], "ip_version": version, "subnetpool_id": pool["id"]}})
        rescope = lambda status, pool, to: self.demo_put(status, "subnetpools/" + pool["id"], {"subnetpool": {"address_scope_id": to}})
        four, other, six = scope(4), scope(4), scope(6)
        a = self.pool(prefixes=["10.60.0.0/16"], default_prefixlen=24, address_scope_id=four)
        b = self.pool(prefixes=["10.61.0.0/16"], default_prefixlen=24, address_scope_id=four)
        c = self.pool(prefixes=["10.62.0.0/16"], default_prefixlen=24, address_scope_id=other)
        p6, plain = self.pool(prefixes=["2001:db8:60::/48"], address_scope_id=six), self.pool(prefixes=["10.63.0.0/16"], default_prefixlen=24)
        n, m, bare = self.network(), self.network(), self.network()
        self.assertEqual(shown(n), (None, None))
        cut(201, n, a)
        self.assertEqual(shown(n), (four, None))
        cut(201, n, p6, 6)
        cut(201, n, b)
        self.assertEqual(shown(n), (four, six))
        said = self.demo_put(200, "networks/" + n["id"], {"network": {"name": "n"}})["network"]
        self.assertEqual((said["ipv4_address_scope"], said["ipv6_address_scope"]), (four, six))
        for pool in (c, plain):
            self.assertIn("must all participate in the same address scope", cut(400, n, pool)["NeutronError"]["message"])
        cut(201, m, c)
        cut(201, bare, plain)
        rows = {x["id"]: x for x in self.ok(self.demo.get(N + "networks?fields=id&fields=ipv4_address_scope&fields=ipv6_address_scope"), 200)["networks"]}
        self.assertEqual([(rows[x["id"]]["ipv4_address_scope"], rows[x["id"]]["ipv6_address_scope"]) for x in (n, m, bare)],
                         [(four, six), (other, None), (None, None)])
        # A pool takes whole networks into another scope.
        for pool in (a, b):
            self.assertIn("must all participate", rescope(400, pool, other)["NeutronError"]["message"])
        rescope(200, c, four)
        self.assertEqual(shown(m), (four, None))
        rescope(200, plain, other)
        self.assertEqual(shown(bare), (other, None))
        rescope(200, plain, None)
        self.assertEqual(shown(bare), (None, None))
        self.demo_put(200, "subnetpools/" + a["id"], {"subnetpool": {"name": "b"}})
        # A pool in somebody else's scope is out of its owner's hands.
        shared = self.ok(self.admin.post(N + "address-scopes", {"address_scope": {"name": "s", "ip_version": 4, "shared": True}}), 201)["address_scope"]["id"]
        theirs = self.pool(prefixes=["10.64.0.0/16"], address_scope_id=shared)
        said = self.demo_put(400, "subnetpools/" + theirs["id"], {"subnetpool": {"name": "x"}})["NeutronError"]["message"]
        self.assertIn("cannot be updated when associated with shared address scope " + shared, said)
        self.ok(self.admin.put(N + "subnetpools/" + theirs["id"], {"subnetpool": {"name": "x"}}), 200)

    def demo_post(self, status, path, body):
        return self.ok(self.demo.post(N + path, body), status)

    def demo_put(self, status, path, body):
        return self.ok(self.demo.put(N + path, body), status)

    def onboard(self, pool, network_id, status=200, who=None):
        body = {} if network_id is None else {"network_id": network_id}
        r = (who or self.demo).put(N + "subnetpools/%s/onboard_network_subnets" % pool["id"], body)
        self.assertEqual(r.status, status, r)
        return r.json if status == 200 else r.message

    def seen(self, path):
        r = self.ok(self.demo.get(N + path), 200)
        return next(iter(r.values()))

    def subnet_of(self, n, cidr, who=None, **attrs):
        body = {"network_id": n["id"], "cidr": cidr, "ip_version": 6 if ":" in cidr else 4, **attrs}
        return self.ok((who or self.demo).post(N + "subnets", {"subnet": body}), 201)["subnet"]

    def test_subnets_join_a_pool(self):
        p = self.pool(prefixes=["10.40.0.0/16"], default_prefixlen=24, default_quota=256)
        n = self.network()
        a, b = self.subnet_of(n, "192.168.40.0/24"), self.subnet_of(n, "10.40.0.0/24")
        six = self.subnet_of(n, "2001:db8:40::/64")
        joined = self.onboard(p, n["id"])
        self.assertEqual(sorted((x["id"], x["cidr"]) for x in joined), sorted((x["id"], x["cidr"]) for x in (a, b)))
        after = self.seen("subnets/" + a["id"])
        self.assertEqual((after["subnetpool_id"], after["revision_number"]), (p["id"], a["revision_number"] + 1))
        self.assertIsNone(self.seen("subnets/" + six["id"])["subnetpool_id"])
        pool = self.seen("subnetpools/" + p["id"])
        self.assertEqual(sorted(pool["prefixes"]), ["10.40.0.0/16", "192.168.40.0/24"])
        self.assertEqual(pool["revision_number"], p["revision_number"] + 1)
        # What has joined is given out, and counts.
        self.from_pool(p, 409, cidr="10.40.0.0/24")
        self.from_pool(p, 409)
        self.refuse(409, "DELETE", "subnetpools/" + p["id"])
        self.assertIn("conflicts with allocated prefixes", self.onboard(p, n["id"], 400))
        self.assertEqual(self.onboard(p, self.network()["id"]), [])

    def test_subnets_move_between_pools(self):
        p, q = self.pool(prefixes=["10.41.0.0/24"]), self.pool(prefixes=["10.41.1.0/24"])
        n = self.network()
        s = self.subnet_of(n, "192.168.41.0/24")
        self.onboard(p, n["id"])
        self.onboard(q, n["id"])
        self.assertEqual(self.seen("subnets/" + s["id"])["subnetpool_id"], q["id"])
        self.assertIn("192.168.41.0/24", self.seen("subnetpools/" + p["id"])["prefixes"])
        self.assertEqual(self.demo.delete(N + "subnetpools/" + p["id"]).status, 204)

    def test_joining_is_refused_as_a_whole(self):
        scope = self.ok(self.demo.post(N + "address-scopes", {"address_scope": {"name": "j", "ip_version": 4}}), 201)["address_scope"]
        p = self.pool(prefixes=["10.42.0.0/24"], address_scope_id=scope["id"])
        self.pool(prefixes=["10.42.1.0/24"], address_scope_id=scope["id"])
        n = self.network()
        a = self.subnet_of(n, "192.168.42.0/24")
        b = self.subnet_of(n, "10.42.1.128/25")
        self.assertIn("must have unique prefixes", self.onboard(p, n["id"], 409))
        for s in (a, b):
            self.assertIsNone(self.seen("subnets/" + s["id"])["subnetpool_id"])
        self.assertEqual(self.seen("subnetpools/" + p["id"])["prefixes"], ["10.42.0.0/24"])
        self.assertEqual(self.demo.delete(N + "subnets/" + b["id"]).status, 204)
        self.onboard(p, n["id"])

    def test_a_network_joins_with_all_its_subnets(self):
        """What is another project's on it stays where it is: then it may not come into two address scopes."""
        scope = lambda who: self.ok(who.post(N + "address-scopes", {"address_scope": {"name": "s", "ip_version": 4}}), 201)["address_scope"]["id"]
        theirs = self.ok(self.admin.post(N + "subnetpools", {"subnetpool": {
            "name": "q", "prefixes": ["10.45.0.0/24"], "address_scope_id": scope(self.admin)}}), 201)["subnetpool"]
        mine = self.pool(prefixes=["10.46.0.0/24"], address_scope_id=scope(self.demo))
        m = self.network()
        x, y = self.subnet_of(m, "192.168.45.0/24"), self.subnet_of(m, "192.168.46.0/24", self.admin)
        scopes = "must all participate in the same address scope"
        self.assertIn(scopes, self.onboard(mine, m["id"], 400))
        self.assertIsNone(self.seen("subnets/" + x["id"])["subnetpool_id"])
        self.assertEqual(len(self.onboard(theirs, m["id"], who=self.admin)), 2)
        self.assertIn(scopes, self.onboard(mine, m["id"], 400))
        pools = lambda: {self.ok(self.admin.get(N + "subnets/" + s["id"]), 200)["subnet"]["subnetpool_id"] for s in (x, y)}
        self.assertEqual(pools(), {theirs["id"]})
        self.assertEqual(self.seen("subnetpools/" + mine["id"])["prefixes"], ["10.46.0.0/24"])
        self.assertEqual(len(self.onboard(mine, m["id"], who=self.admin)), 2)
        self.assertEqual(pools(), {mine["id"]})

    def test_who_may_let_subnets_join(self):
        p = self.pool(prefixes=["10.43.0.0/24"])
        shared = self.network(self.admin, shared=True)
        self.subnet_of(shared, "192.168.43.0/24", self.admin)
        self.assertIn("network_id must be specified", self.onboard(p, None, 400))
        self.onboard(p, "c0ffee00-0000-4000-8000-000000000000", 404)
        self.onboard(p, self.network(self.other)["id"], 404)
        self.onboard(p, shared["id"], 403)
        self.onboard(p, self.network(self.other)["id"], 404, self.other)
        self.assertEqual(len(self.onboard(p, shared["id"], who=self.admin)), 1)
        self.assertIn("subnet_onboard", [x["alias"] for x in self.ok(self.demo.get(N + "extensions"), 200)["extensions"]])


class Policies(Base):
    options = {**Base.options, "quota.rbac_policies": "-1"}

    def policy(self, status, row, kind="network", who=None, **attrs):
        body = {"object_type": kind, "object_id": row["id"], "action": "access_as_shared", "target_tenant": self.other.project_id, **attrs}
        reply = (who or self.demo).post(N + "rbac-policies", {"rbac_policy": body})
        self.assertEqual(reply.status, status, reply)
        return reply.json.get("rbac_policy")

    def test_network_for_one_project(self):
        n = self.network()
        self.subnet(n)
        self.refuse(404, "GET", "networks/" + n["id"], who=self.other)
        p = self.policy(201, n)
        self.policy(409, n)
        of = lambda shared: len(self.ok(self.other.get(N + "subnets?network_id=%s&shared=%s" % (n["id"], shared)), 200)["subnets"])
        self.assertEqual([of(v) for v in ("True", "1", "false")], [1, 1, 0])
        self.refuse(400, "GET", "subnets?shared=perhaps", who=self.other)
        self.assertTrue(self.ok(self.other.get(N + "networks/" + n["id"]), 200)["network"]["shared"])
        self.assertFalse(self.ok(self.demo.get(N + "networks/" + n["id"]), 200)["network"]["shared"])
        self.policy(201, n, target_tenant=self.admin.project_id)
        said = self.ok(self.admin.put(N + "networks/" + n["id"], {"network": {"description": "x"}}), 200)["network"]
        self.assertTrue(said["shared"])                    # for who asks, in a reply to a change too
        said = self.ok(self.demo.put(N + "networks/" + n["id"], {"network": {"description": "y"}}), 200)["network"]
        self.assertFalse(said["shared"])
        port = self.port(n, self.other)
        self.refuse(409, "DELETE", "rbac-policies/" + p["id"])
        self.assertEqual(self.other.delete(N + "ports/" + port["id"]).status, 204)
        self.assertEqual(self.demo.delete(N + "rbac-policies/" + p["id"]).status, 204)
        self.refuse(404, "GET", "networks/" + n["id"], who=self.other)

    def test_shared_is_asked_for_as_it_is_shown(self):
        """For whom a policy names, and for everybody it names; not for the owner, whom it does not name."""
        made = (("network", "networks", "network", {}), ("address_scope", "address-scopes", "address_scope", {"name": "s", "ip_version": 4}),
                ("subnetpool", "subnetpools", "subnetpool", {"name": "p", "prefixes": ["10.0.0.0/16"]}), ("qos_policy", "qos/policies", "policy", {"name": "q"}))
        for kind, path, one, body in made:
            who = self.admin if kind == "qos_policy" else self.demo
            row = self.made(path, one, who, **body, **({"project_id": self.demo.project_id} if who is self.admin else {}))
            many = one.replace("policy", "policie") + "s"
            asked = lambda who: [row["id"] in [x["id"] for x in self.ok(who.get(N + path + "?shared=" + v), 200)[many]] for v in ("true", "False")]
            shown = lambda who: self.ok(who.get(N + path + "/" + row["id"]), 200)[one]["shared"]
            self.policy(201, row, kind, who)
            self.policy(201, row, kind, who, target_tenant=self.admin.project_id)
            self.assertEqual([(asked(w), shown(w)) for w in (self.other, self.demo)], [([True, False], True), ([False, True], False)], kind)
            self.ok(self.admin.put(N + path + "/" + row["id"], {one: {"name": "x"}}), 200)                      # which shares it with nobody else
            self.assertFalse(shown(self.demo), kind)
            self.policy(201, row, kind, self.admin, target_tenant="*")
            self.assertEqual((asked(self.demo), shown(self.demo)), ([True, False], True), kind)
            self.refuse(400, "GET", path + "?shared=perhaps")

    def test_flag_and_policy_are_one(self):
        n = self.network(self.admin, shared=True)
        p = self.ok(self.admin.get(N + "rbac-policies?object_id=" + n["id"]), 200)["rbac_policies"]
        self.assertEqual([(x["target_tenant"], x["action"]) for x in p], [("*", "access_as_shared")])
        self.assertEqual(self.admin.delete(N + "rbac-policies/" + p[0]["id"]).status, 204)
        self.assertFalse(self.ok(self.admin.get(N + "networks/" + n["id"]), 200)["network"]["shared"])
        self.policy(201, n, who=self.admin, target_tenant="*")
        self.assertTrue(self.ok(self.demo.get(N + "networks/" + n["id"]), 200)["network"]["shared"])

    def test_refused(self):
        n = self.network()
        self.policy(403, n, target_tenant="*")
        self.policy(403, n, action="access_as_external")
        self.policy(404, n, who=self.other)
        self.policy(400, n, kind="port")
        self.policy(400, n, action="x")

    def test_security_group(self):
        g = self.group()
        self.policy(201, g, "security_group")
        n = self.network(self.other)
        p = self.port(n, self.other, security_groups=[g["id"]])
        self.assertEqual(p["security_groups"], [g["id"]])
        self.refuse(403, "DELETE", "security-groups/" + g["id"], who=self.other)
        path, own = "security-groups/" + g["id"], self.port(self.network(), security_groups=[g["id"]])
        self.assertIn("in use. Ports: %s, ports of other projects." % own["id"], self.refuse(409, "DELETE", path, type="SecurityGroupInUse"))
        self.assertIn("Ports: %s." % ", ".join(sorted([own["id"], p["id"]])), self.refuse(409, "DELETE", path, who=self.admin))
        for who, port in ((self.other, p), (self.demo, own)):
            self.assertEqual(who.delete(N + "ports/" + port["id"]).status, 204)
        user = self.group()
        self.made("security-group-rules", "security_group_rule", security_group_id=user["id"], direction="ingress", remote_group_id=g["id"])
        self.gone(path)                                      # a rule of another group goes with it
        self.assertEqual(len(self.ok(self.demo.get(N + "security-groups/" + user["id"]), 200)["security_group"]["security_group_rules"]), 2)

    def test_what_others_have_is_not_named(self):
        """A refusal names the caller's own, and that others have some; an administrator reads everything."""
        scope = self.made("address-scopes", "address_scope", name="s", ip_version=4)
        pool = self.made("subnetpools", "subnetpool", name="p", prefixes=["10.71.0.0/16"], default_prefixlen=24, address_scope_id=scope["id"])
        self.policy(201, scope, "address_scope")
        self.policy(201, pool, "subnetpool")
        cut = lambda who: self.made("subnets", "subnet", who, network_id=self.network(who)["id"], ip_version=4, subnetpool_id=pool["id"])["id"]
        theirs = self.made("subnetpools", "subnetpool", self.other, name="p", prefixes=["10.72.0.0/16"], address_scope_id=scope["id"])["id"]
        for path, ours, foreign, others in (("address-scopes/" + scope["id"], pool["id"], theirs, "subnet pools of other projects"),
                                            ("subnetpools/" + pool["id"], cut(self.demo), cut(self.other), "subnets of other projects")):
            self.assertIn(": %s, %s." % (ours, others), self.refuse(409, "DELETE", path))
            self.assertIn(": %s." % ", ".join(sorted([ours, foreign])), self.refuse(409, "DELETE", path, who=self.admin))
        clash = {"subnetpool": {"name": "x", "prefixes": ["10.72.1.0/24"], "address_scope_id": scope["id"]}}
        self.assertNotIn(theirs, self.refuse(409, "POST", "subnetpools", clash, type="AddressScopePrefixConflict"))
        n = self.network()
        s = self.made("subnets", "subnet", self.admin, network_id=n["id"], ip_version=4, cidr="10.73.0.0/24", project_id=self.other.project_id)
        p = self.port(n)["id"]
        self.assertIn("Ports: ports of other projects.", self.refuse(409, "DELETE", "subnets/" + s["id"], who=self.other))
        self.assertIn("Ports: %s." % p, self.refuse(409, "DELETE", "subnets/" + s["id"]))

    def made(self, path, one, who=None, **attrs):
        return self.ok((who or self.demo).post(N + path, {one: attrs}), 201)[one]

    def gone(self, path, status=204, who=None):
        r = (who or self.demo).delete(N + path)
        self.assertEqual(r.status, status, r)
        return r

    def retarget(self, status, policy, target, who=None):
        r = (who or self.admin).put(N + "rbac-policies/" + policy["id"], {"rbac_policy": {"target_tenant": target}})
        self.assertEqual(r.status, status, r)

    def users(self):
        """(kind, an object of demo's, how a project comes to use it: path of what uses it) of each kind of object but networks."""
        scope = self.made("address-scopes", "address_scope", name="s", ip_version=4)
        yield "address_scope", scope, lambda who, n=iter(range(9)): "subnetpools/" + self.made(
            "subnetpools", "subnetpool", who, name="p", prefixes=["10.7%d.0.0/16" % next(n)], address_scope_id=scope["id"])["id"]
        pool = self.made("subnetpools", "subnetpool", name="p", prefixes=["10.80.0.0/16"], default_prefixlen=24)
        yield "subnetpool", pool, lambda who: "subnets/" + self.made(
            "subnets", "subnet", who, network_id=self.network(who)["id"], ip_version=4, subnetpool_id=pool["id"])["id"]
        addresses = self.made("address-groups", "address_group", name="a", addresses=["10.0.0.1"])
        yield "address_group", addresses, lambda who: "security-group-rules/" + self.made(
            "security-group-rules", "security_group_rule", who, security_group_id=self.group(who)["id"], direction="ingress",
            remote_address_group_id=addresses["id"])["id"]
        group = self.group()
        yield "security_group", group, lambda who: "ports/" + self.port(self.network(who), who, security_groups=[group["id"]])["id"]
        qos = self.made("qos/policies", "policy", self.admin, name="q", project_id=self.demo.project_id)
        yield "qos_policy", qos, lambda who: "networks/" + self.network(who, qos_policy_id=qos["id"])["id"]

    def test_what_is_used_stays_shared(self):
        third = self.cloud.new_tenant().project_id
        for kind, row, use in self.users():
            with self.subTest(kind):
                one = self.policy(201, row, kind)
                used = use(self.other)
                reply = self.gone("rbac-policies/" + one["id"], 409)
                self.assertEqual(reply.json["NeutronError"]["type"], "RbacPolicyInUse")
                self.assertIn("RBAC policy on object %s cannot be removed because other objects depend on it." % row["id"], reply.message)
                needed = used.rsplit("/")[1]                               # who asks learns the ids of his own project's, an administrator all
                self.assertNotIn(needed, reply.message)
                self.assertIn("In use by: what other projects have.", reply.message)
                self.assertIn("In use by: %s." % needed, self.gone("rbac-policies/" + one["id"], 409, self.admin).message)
                self.retarget(409, one, third)
                self.retarget(200, one, self.other.project_id)
                # Another policy that covers the user frees the first.
                everybody = self.policy(201, row, kind, self.admin, target_tenant="*")
                self.gone("rbac-policies/" + one["id"])
                self.gone("rbac-policies/" + everybody["id"], 409, self.admin)
                self.retarget(409, everybody, third)
                again = self.policy(201, row, kind)
                self.gone("rbac-policies/" + everybody["id"], who=self.admin)
                self.retarget(200, again, "*")                                 # wider takes nothing away
                self.retarget(409, again, self.other.project_id)               # a policy is asked as it is before the change
                narrow = self.policy(201, row, kind)
                self.gone("rbac-policies/" + again["id"], who=self.admin)
                # The owner needs no policy, but what he uses holds the one for everybody, as in Neutron.
                own, mine = use(self.demo), self.policy(201, row, kind, target_tenant=self.demo.project_id)
                self.gone("rbac-policies/" + mine["id"])
                everybody = self.policy(201, row, kind, self.admin, target_tenant="*", project_id=self.demo.project_id)
                for who in (self.demo, self.admin):
                    self.assertIn("In use by: %s." % own.rsplit("/")[1], self.gone("rbac-policies/" + everybody["id"], 409, who).message)
                self.gone(own)
                self.gone("rbac-policies/" + everybody["id"], who=self.admin)
                self.gone(used, who=self.other)
                self.gone("rbac-policies/" + narrow["id"])

    def test_an_external_network_that_routers_use(self):
        n = self.made("networks", "network", self.admin, name="out", **{"router:external": True})
        self.made("subnets", "subnet", self.admin, network_id=n["id"], ip_version=4, cidr="203.0.113.0/24")
        policy, = self.ok(self.admin.get(N + "rbac-policies?object_id=" + n["id"]), 200)["rbac_policies"]
        routers = sorted(self.made("routers", "router", self.other, external_gateway_info={"network_id": n["id"]})["id"] for _ in range(2))
        reply = self.gone("rbac-policies/" + policy["id"], 409, self.admin)
        self.assertIn("There are routers attached to this network that depend on this policy for access. In use by: %s." % ", ".join(routers), reply.message)
        for r in routers:
            self.gone("routers/" + r, who=self.other)
        self.gone("rbac-policies/" + policy["id"], who=self.admin)
        self.gone("networks/" + n["id"], who=self.admin)

    def test_a_pool_is_shared_with_those_in_its_scope(self):
        scope = self.made("address-scopes", "address_scope", name="s", ip_version=4)
        pool = self.made("subnetpools", "subnetpool", name="p", prefixes=["10.90.0.0/16"], address_scope_id=scope["id"])
        self.policy(400, pool, "subnetpool")
        self.policy(201, scope, "address_scope")
        self.policy(201, pool, "subnetpool")
        self.policy(400, pool, "subnetpool", self.admin, target_tenant="*")
        body = {"subnetpool": {"name": "p", "prefixes": ["10.91.0.0/16"], "address_scope_id": scope["id"], "shared": True}}
        self.refuse(400, "POST", "subnetpools", body, self.admin)
        self.policy(201, scope, "address_scope", self.admin, target_tenant="*")
        self.ok(self.admin.post(N + "subnetpools", body), 201)


class AddressGroups(Base):
    def test_life(self):
        self.guest = self.cloud.new_tenant()
        a = self.ok(self.demo.post(N + "address-groups", {"address_group": {"name": "a", "addresses": ["10.0.0.1", "10.1.0.0/16"]}}), 201)["address_group"]
        self.assertEqual(a["addresses"], ["10.0.0.1/32", "10.1.0.0/16"])
        path = "address-groups/" + a["id"]
        change = lambda verb, *list_: self.demo.put(N + path + "/" + verb, {"address_group": {"addresses": list_}})
        self.assertEqual(self.ok(change("add_addresses", "2001:db8::1", "10.0.0.1"), 200)["address_group"]["addresses"],
                         ["10.0.0.1/32", "10.1.0.0/16", "2001:db8::1/128"])
        self.assertEqual(len(self.ok(change("remove_addresses", "10.0.0.1/32"), 200)["address_group"]["addresses"]), 2)
        self.assertEqual(change("remove_addresses", "10.0.0.1/32").status, 404)
        self.assertEqual(change("add_addresses", "10.0.0.1/33").status, 400)
        g = self.group()
        rule = {"security_group_id": g["id"], "direction": "ingress", "remote_address_group_id": a["id"]}
        made = self.ok(self.demo.post(N + "security-group-rules", {"security_group_rule": rule}), 201)["security_group_rule"]
        self.assertIn("Rules: %s." % made["id"], self.refuse(409, "DELETE", path, type="AddressGroupInUse"))
        self.refuse(404, "PUT", path + "/add_addresses", {"address_group": {"addresses": ["1.1.1.1"]}}, self.other)
        self.ok(self.demo.post(N + "rbac-policies", {"rbac_policy": {"object_type": "address_group", "object_id": a["id"], "action": "access_as_shared",
                                                                     "target_tenant": self.guest.project_id}}), 201)
        before = self.ok(self.guest.get(N + path), 200)["address_group"]                        # seen and used, but not his to change
        self.refuse(404, "PUT", path, {"address_group": {"name": "mine"}}, self.guest)
        self.refuse(404, "PUT", path + "/add_addresses", {"address_group": {"addresses": ["1.1.1.1"]}}, self.guest)
        self.refuse(404, "PUT", path + "/remove_addresses", {"address_group": {"addresses": ["10.1.0.0/16"]}}, self.guest)
        self.refuse(404, "DELETE", path, who=self.guest)
        self.assertEqual(self.ok(self.demo.get(N + path), 200)["address_group"], before)
        theirs = self.group(self.other)
        self.refuse(404, "POST", "security-group-rules", {"security_group_rule": dict(rule, security_group_id=theirs["id"])}, self.other)


class IfMatch(Base):
    """test_tables.py tries If-Match on each resource; here are its shapes, calls beside PUT and DELETE, and races."""

    def put(self, n, match, name="x", who=None):
        return (who or self.demo).put(N + "networks/" + n["id"], {"network": {"name": name}}, headers={"If-Match": match})

    def test_shapes(self):
        n = self.network()
        self.assertEqual(n["revision_number"], 1)
        refused = self.put(n, "revision_number=7")
        self.assertEqual((refused.status, refused.json), (412, {"NeutronError": {
            "type": "RevisionNumberConstraintFailed", "message": "Constrained to 7, but current revision is 1", "detail": ""}}))
        for bad in ("revision_number=", "revision_number=a", "revision_number=1, revision_number=1", '"revision_number=1" "revision_number=1"', '"revision_number=x"'):
            for reply in (self.put(n, bad), self.demo.get(N + "networks", headers={"If-Match": bad})):
                self.assertEqual((reply.status, reply.json["NeutronError"]["type"]), (400, "BadRequest"), (bad, reply))
                self.assertTrue(reply.message.startswith("Bad if-match request: "), reply)
        for other in ("*", '"abc"', 'W/"revision_number=9"', "x", '"a", W/"revision_number=z"'):       # tags of another kind say nothing of revisions
            self.assertEqual(self.put(n, other).status, 200, other)
        now = self.ok(self.demo.get(N + "networks/" + n["id"], headers={"If-Match": "revision_number=0"}), 200)["network"]["revision_number"]
        for good in ("revision_number=%d", '"revision_number=%d"', '"a", "revision_number=%d"', "revision_number= +%d"):
            self.assertEqual(self.put(n, good % now).status, 200, good)
            now += 1
        self.assertEqual(self.put(n, "revision_number=%d" % now, who=self.other).status, 404)
        self.assertEqual(self.demo.put(N + "networks/none", {"network": {"name": "x"}}, headers={"If-Match": "revision_number=1"}).status, 404)

    def test_other_calls(self):
        n = self.network()
        s, wrong = self.subnet(n), {"If-Match": "revision_number=99"}
        r = self.ok(self.demo.post(N + "routers", {"router": {"name": "r"}}), 201)["router"]
        plug = lambda headers: self.demo.put(N + "routers/%s/add_router_interface" % r["id"], {"subnet_id": s["id"]}, headers=headers).status
        self.assertEqual(plug(wrong), 412)
        self.assertEqual(self.demo.put(N + "networks/%s/tags/a" % n["id"], headers=wrong).status, 412)
        self.assertEqual(self.demo.delete(N + "networks/%s/tags" % n["id"], headers=wrong).status, 412)
        self.assertEqual(self.ok(self.demo.get(N + "networks/%s/tags" % n["id"], headers=wrong), 200)["tags"], [])
        self.assertEqual(plug({"If-Match": "revision_number=%d" % r["revision_number"]}), 200)
        policy = self.ok(self.admin.post(N + "qos/policies", {"policy": {"name": "p"}}), 201)["policy"]
        rule = lambda headers: self.admin.post(N + "qos/policies/%s/dscp_marking_rules" % policy["id"], {"dscp_marking_rule": {"dscp_mark": 8}}, headers=headers)
        self.assertEqual(rule(wrong).status, 412)
        self.assertEqual(rule({"If-Match": "revision_number=%d" % policy["revision_number"]}).status, 201)
        # What a new row refers to is no row of the path.
        self.assertEqual(self.demo.post(N + "ports", {"port": {"network_id": n["id"]}}, headers=wrong).status, 201)

    def test_race(self):
        """Of many who change the same revision one wins."""
        n = self.network()
        clients = [self.cloud.login("demo") for _ in range(8)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for revision in range(1, 6):
                got = list(pool.map(lambda c: self.put(n, "revision_number=%d" % revision, "n", c).status, clients))
                self.assertEqual(sorted(got), [200] + [412] * 7)


class Itself(Base):
    def test_extensions(self):
        aliases = [x["alias"] for x in self.ok(self.demo.get(N + "extensions"), 200)["extensions"]]
        self.assertEqual(aliases, sorted(set(aliases)))
        for alias in aliases:
            self.assertEqual(self.ok(self.demo.get(N + "extensions/" + alias), 200)["extension"]["alias"], alias)
        self.refuse(404, "GET", "extensions/none")

    def test_availability(self):
        n = self.network()
        self.subnet(n, cidr="10.0.0.0/24")
        self.port(n)
        a = self.ok(self.admin.get(N + "network-ip-availabilities/" + n["id"]), 200)["network_ip_availability"]
        self.assertEqual((a["total_ips"], a["used_ips"]), (253, 2))
        self.subnet(n, ip_version=6, cidr="2001:db8::/64")
        a = self.ok(self.admin.get(N + "network-ip-availabilities/" + n["id"]), 200)["network_ip_availability"]
        self.assertEqual(a["total_ips"], 253 + 2 ** 64 - 2)
        self.refuse(403, "GET", "network-ip-availabilities")

    def test_agents_and_zones(self):
        self.assertEqual(self.ok(self.demo.get(N + "agents"), 200)["agents"], [])
        agents = self.ok(self.admin.get(N + "agents"), 200)["agents"]
        self.assertEqual([a["host"] for a in agents], ["local", "local"])
        self.assertEqual({a["agent_type"] for a in agents}, {"Linux bridge agent", "L3 agent"})
        self.assertEqual(self.ok(self.admin.get(N + "agents/" + agents[0]["id"]), 200)["agent"]["id"], agents[0]["id"])
        self.assertEqual(self.ok(self.demo.get(N + "availability_zones"), 200)["availability_zones"][0]["name"], "nova")

    def test_queries_of_lists_without_a_table(self):
        """The same parameters as of other lists."""
        get = lambda path, name, status=200: self.ok(self.admin.get(N + path), status).get(name)
        one, other = get("agents", "agents")
        kinds = "agents?agent_type=%s&agent_type=%s" % (one["agent_type"].replace(" ", "+"), other["agent_type"].replace(" ", "+"))
        self.assertEqual(len(get(kinds, "agents")), 2)
        self.assertEqual(get("agents?fields=id&fields=alive&id=" + other["id"], "agents"), [{"id": other["id"], "alive": other["alive"]}])
        self.assertEqual(len(get("agents?alive=%s" % ("no" if one["alive"] else "y"), "agents")), 0)
        self.assertEqual(get("availability_zones?resource=router&fields=resource", "availability_zones"), [{"resource": "router"}])
        for path in ("agents?nonesuch=1", "agents?alive=perhaps", "availability_zones?x=1", "network-ip-availabilities?x=1", "floatingip_pools?subnet_name=x"):
            self.refuse(400, "GET", path, who=self.admin)
        self.assertEqual(set(get("floatingip_pools?fields=cidr", "floatingip_pools")[0]), {"cidr"})

    def test_pages_of_availabilities(self):
        ids = sorted(self.network()["id"] for _ in range(3))
        mine = "network-ip-availabilities?" + "&".join("network_id=" + i for i in ids)
        rows = lambda path: self.ok(self.admin.get(N + path), 200)["network_ip_availabilities"]
        self.assertEqual([r["network_id"] for r in rows(mine)], ids)
        self.assertEqual(rows(mine + "&fields=used_ips&fields=total_ips"), [{"total_ips": 0, "used_ips": 0}] * 3)
        for reverse in (False, True):
            seen, path = [], N + mine + "&limit=1" + "&page_reverse=True" * reverse
            while path:
                page = self.ok(self.admin.get(path), 200)
                seen += [r["network_id"] for r in page["network_ip_availabilities"]]
                links = {link["rel"]: link["href"] for link in page.get("network_ip_availabilities_links", [])}
                path = links.get("previous" if reverse else "next", "").partition("/network/")[2]
                path = path and "/network/" + path
                self.assertLess(len(seen), 9)
            self.assertEqual(seen, ids[::-1] if reverse else ids)
        self.assertEqual(rows(mine + "&marker=none&limit=1"), [])

    def test_descriptions_of_agents(self):
        one, other = self.ok(self.admin.get(N + "agents"), 200)["agents"]
        put = lambda **body: self.admin.put(N + "agents/" + one["id"], {"agent": body})
        self.assertIsNone(one["description"])
        self.assertEqual(self.ok(put(description="in the cellar", admin_state_up=True), 200)["agent"]["description"], "in the cellar")
        self.assertEqual({a["id"]: a["description"] for a in self.ok(self.admin.get(N + "agents"), 200)["agents"]},
                         {one["id"]: "in the cellar", other["id"]: None})
        for bad in (7, ["x"], "x" * 256, True):
            self.assertEqual(put(description=bad).status, 400)
        for up in (True, "true", 1, "1"):
            self.ok(put(admin_state_up=up), 200)
        for status, down in ((409, False), (409, "False"), (409, 0), (400, "perhaps"), (400, None), (400, 7)):
            self.assertEqual(put(description="lost", admin_state_up=down).status, status, down)
        self.assertEqual(put(binary="x").status, 400)
        self.refuse(409, "DELETE", "agents/" + one["id"], who=self.admin)
        self.refuse(403, "DELETE", "agents/" + one["id"])
        self.refuse(404, "DELETE", "agents/00000000-0000-4000-8000-000000000000", who=self.admin)
        self.refuse(403, "PUT", "agents/" + one["id"], {"agent": {"description": "mine"}})
        self.refuse(404, "PUT", "agents/00000000-0000-4000-8000-000000000000", {"agent": {"description": "x"}}, self.admin)
        self.assertEqual(self.ok(self.admin.get(N + "agents/" + one["id"]), 200)["agent"]["description"], "in the cellar")
        self.assertIsNone(self.ok(put(description=None), 200)["agent"]["description"])


del Base

if __name__ == "__main__":
    unittest.main()
