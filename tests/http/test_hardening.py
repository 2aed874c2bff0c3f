"""tests/http/test_hardening.py -- two tenants, an attacker and a victim with marked things: what one may not learn of the other (TEN-01, TEN-02,
TEN-04), what is kept of secrets and where (SEC-01, 02, 03, 05, 06), odd text (HTTP-12) and what errors give away (HTTP-15)."""
import base64
import json
import os
import re
import threading
import time
import unittest
import urllib.parse
import uuid

import tables
from cloud import Cloud
from factories import KEYSTONE, NEUTRON, NOVA, World

RESOURCES, ROUTES = tables.load()
MARK = "canary" + uuid.uuid4().hex                   # in everything that the victim makes
SECRETS = {"password": 'pw-%s"\'\n' % uuid.uuid4().hex, "user_data": "ud-" + uuid.uuid4().hex, "admin_pass": "ap-" + uuid.uuid4().hex,
           "blob": "bl-" + uuid.uuid4().hex}
# Whose object is made so that a stranger cannot have it: everything of a project that is not made by an administrator.
MARKED = [n for n, r in RESOURCES.items() if r.factory and r.factory.by == "demo" and not r.factory.in_list]


class Spy(threading.Thread):
    """Command lines and environments of serve and its children, a hundred times a second."""

    def __init__(self, pids):
        super().__init__(daemon=True)
        self.pids, self.seen, self.ending = set(pids), set(), False

    def run(self):
        while not self.ending:
            for p in os.listdir("/proc"):
                if not p.isdigit():
                    continue
                try:
                    with open("/proc/%s/stat" % p) as f:
                        parent = int(f.read().rsplit(")", 1)[1].split()[1])
                    if int(p) not in self.pids and parent not in self.pids:
                        continue
                    for name in ("cmdline", "environ"):
                        with open("/proc/%s/%s" % (p, name), "rb") as f:
                            self.seen.add(f.read())
                except OSError:
                    pass
            time.sleep(0.01)


def setUpModule():
    global cloud, world, victim, attacker, made, spy
    cloud = Cloud()
    world = World(cloud)
    victim, attacker, made = world.demo, world.other, {}
    spy = Spy([cloud.serve.pid, cloud.agent.pid])
    spy.start()
    cloud.wait(lambda: world.admin.get(NOVA + "os-services").json["services"], what="the host")
    rows = tables.Rows(cloud.state + "/nuvolet.db")
    for name in MARKED:
        o = tables.InUse(RESOURCES[name], world, rows)
        over = {f.name: MARK for f in RESOURCES[name].taken("create") if f.name in ("name", "description", "type", "blob")}
        made[name] = o.make(keep=True, **over)
    rows.db.close()
    made["server2"] = world.ask(NOVA + "servers", "server", {
        "name": MARK, "flavorRef": world.flavor(), "imageRef": world.image(), "networks": [{"uuid": world.network()}], "adminPass": SECRETS["admin_pass"],
        "metadata": {"m": MARK}, "user_data": base64.b64encode(SECRETS["user_data"].encode()).decode()})


def tearDownModule():
    spy.ending = True
    cloud.stop()


def ids_of(value):
    """Every id that the victim's objects show."""
    text = json.dumps(value)
    return set(re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", text))


class Strangers(unittest.TestCase):
    def test_no_get_tells_anything(self):                        # TEN-02, TEN-09
        """Every list and every object of every route, with every parameter that could widen it: the victim's mark is in none."""
        self.assertGreater(len(made), 10)
        self.assertIn(MARK, victim.get(NEUTRON + "networks").body.decode())
        widen = ["", "project_id=" + victim.project_id, "tenant_id=" + victim.project_id, "user_id=" + victim.user_id, "owner=" + victim.project_id,
                 "all_tenants=1", "deleted=1", "host=local", "all_projects=1", "visibility=all", "name=" + MARK, "changes-since=2001-01-01T00:00:00Z",
                 "is_public=None", "shared=true", "device_id=" + made["server"]["id"]]
        hits, asked = [], 0
        for r in ROUTES:
            if r["method"] != "GET" or r["service"] in ("root", "dashboard"):
                continue
            paths = [r["path"]]
            if "{" in r["path"]:
                paths = [re.sub(r"\{[^}]*\}", lambda _: x["id"], r["path"]) for x in made.values()] + [re.sub(r"\{[^}]*\}", victim.project_id, r["path"]),
                                                                                                   re.sub(r"\{[^}]*\}", victim.user_id, r["path"])]
            for path in paths:
                for query in widen if "{" not in r["path"] else [""]:
                    reply = attacker.get(path + ("?" + query if query else ""))
                    asked += 1
                    body = reply.body.decode("utf8", "replace").replace(query, "")
                    if MARK in body.replace(urllib.parse.quote(query), "") or reply.status >= 500:
                        hits.append((path, query, reply))
        self.assertEqual(hits, [])
        self.assertGreater(asked, 3000)

    def test_no_verb_reaches(self):                              # TEN-01
        """Every route that changes something, with the victim's ids in its path: nothing of the victim's is different afterwards."""
        before = {n: victim.get(tables.InUse(RESOURCES[n], world, None).at(x["id"])).body for n, x in made.items() if n in RESOURCES}
        wrong, asked = [], 0
        for r in ROUTES:
            if r["method"] == "GET" or "{" not in r["path"] or r["rule"] == "anyone" or "/compute/v2/" in r["path"]:
                continue
            for x in made.values():
                path = re.sub(r"\{[^}]*\}", lambda _: x["id"], r["path"])
                bodies = [None] if r["method"] == "DELETE" else [{}]
                if r["path"].endswith("/action"):
                    bodies = [{"os-stop": None}, {"forceDelete": None}]
                for body in bodies:
                    reply = attacker.call(r["method"], path, body)
                    asked += 1
                    if reply.status < 400:
                        wrong.append((r["method"], path, reply))
        self.assertEqual([w for w in wrong if "quota" not in w[1]], [])
        self.assertGreater(asked, 1000)
        for n, body in before.items():
            self.assertEqual(victim.get(tables.InUse(RESOURCES[n], world, None).at(made[n]["id"])).body, body, n)

    def test_ids_inside_bodies(self):                            # TEN-04
        """The victim's ids where a body names other objects: the answer is that for an id which nobody has."""
        net = world.ask(NEUTRON + "networks", "network", {"name": "mine"}, attacker)["id"]
        sub = world.ask(NEUTRON + "subnets", "subnet", {"network_id": net, "cidr": "10.9.0.0/24", "ip_version": 4}, attacker)["id"]
        port = world.ask(NEUTRON + "ports", "port", {"network_id": net}, attacker)["id"]
        group = world.ask(NEUTRON + "security-groups", "security_group", {"name": "mine"}, attacker)["id"]
        router = world.ask(NEUTRON + "routers", "router", {"name": "mine"}, attacker)["id"]
        public = world.public()["id"]
        v = {n: x["id"] for n, x in made.items()}
        v_subnet, rule = world.subnet(), {"security_group_id": group, "direction": "ingress"}
        server = {"name": "x", "flavorRef": world.flavor(), "imageRef": "", "networks": "none"}
        cases = [("POST", NEUTRON + "subnets", "subnet", {"cidr": "10.8.0.0/24", "ip_version": 4}, "network_id", v["network"]),
                 ("POST", NEUTRON + "subnets", "subnet", {"network_id": net, "ip_version": 4, "prefixlen": 24}, "subnetpool_id", v["subnetpool"]),
                 ("POST", NEUTRON + "ports", "port", {}, "network_id", v["network"]),
                 ("POST", NEUTRON + "ports", "port", {"network_id": net}, "security_groups", [v["security_group"]]),
                 ("POST", NEUTRON + "ports", "port", {"network_id": net}, "fixed_ips", [{"subnet_id": v_subnet}]),
                 ("PUT", NEUTRON + "ports/" + port, "port", {}, "security_groups", [v["security_group"]]),
                 ("PUT", NEUTRON + "ports/" + port, "port", {}, "fixed_ips", [{"subnet_id": v_subnet}]),
                 ("POST", NEUTRON + "security-group-rules", "security_group_rule", {"direction": "ingress"}, "security_group_id", v["security_group"]),
                 ("POST", NEUTRON + "security-group-rules", "security_group_rule", rule, "remote_group_id", v["security_group"]),
                 ("POST", NEUTRON + "security-group-rules", "security_group_rule", rule, "remote_address_group_id", v["address_group"]),
                 ("POST", NEUTRON + "subnetpools", "subnetpool", {"name": "x", "prefixes": ["10.0.0.0/8"]}, "address_scope_id", v["address_scope"]),
                 ("POST", NEUTRON + "rbac-policies", "rbac_policy",
                  {"object_type": "network", "action": "access_as_shared", "target_tenant": attacker.project_id}, "object_id", v["network"]),
                 ("POST", NEUTRON + "routers", "router", {}, "external_gateway_info", {"network_id": v["network"]}),
                 ("PUT", NEUTRON + "routers/%s/add_router_interface" % router, None, {}, "subnet_id", v_subnet),
                 ("PUT", NEUTRON + "routers/%s/add_router_interface" % router, None, {}, "port_id", v["port"]),
                 ("POST", NEUTRON + "floatingips", "floatingip", {"floating_network_id": public}, "port_id", v["port"]),
                 ("POST", NEUTRON + "trunks", "trunk", {}, "port_id", v["port"]),
                 ("POST", NOVA + "servers", "server", server, "imageRef", v["image"]),
                 ("POST", NOVA + "servers", "server", server, "networks", [{"uuid": v["network"]}]),
                 ("POST", NOVA + "servers", "server", server, "networks", [{"port": v["port"]}]),
                 ("POST", NOVA + "servers", "server", dict(server, imageRef=v["image"]), "security_groups", [{"name": v["security_group"]}])]
        for method, path, one, body, field, value in cases:
            nobody = str(uuid.uuid4())
            other = json.loads(re.sub(r"[0-9a-f-]{36}", nobody, json.dumps(value)))
            foreign, random = [attacker.call(method, path, {one: {**body, field: x}} if one else {**body, field: x}) for x in (value, other)]
            self.assertIn(foreign.status, (400, 403, 404, 409), (path, field, foreign))
            self.assertEqual(foreign.status, random.status, (path, field, foreign, random))
            same = [re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", r.message) for r in (foreign, random)]
            self.assertEqual(same[0], same[1], (path, field))
        self.assertEqual(sub, attacker.get(NEUTRON + "subnets/" + sub).json["subnet"]["id"])

    def test_the_time_it_takes(self):                            # TEN-01
        """Another's id and nobody's take the same time."""
        key, client = made["network"]["id"], attacker
        for attempt in range(4):
            taken = {True: [], False: []}
            for i in range(400):
                foreign = i % 2 == 0
                path = NEUTRON + "networks/" + (key if foreign else str(uuid.uuid4()))
                begin = time.perf_counter()
                self.assertEqual(client.get(path).status, 404)
                taken[foreign].append(time.perf_counter() - begin)
            medians = [sorted(t)[len(t) // 2] for t in taken.values()]
            if abs(medians[0] - medians[1]) < 0.001:
                return
        self.fail("medians %r s" % medians)

    def test_server_owned_attributes(self):                      # TEN-03; each resource's own are Test_*.test_read_only and test_admin_only of test_tables.py
        for body in ({"availability_zone": "nova:local"}, {"availability_zone": "nova:local:local"}, {"host": "local"}, {"hypervisor_hostname": "local"},
                     {"user_id": victim.user_id}, {"project_id": victim.project_id}, {"tenant_id": victim.project_id}, {"status": "ACTIVE"},
                     {"OS-EXT-SRV-ATTR:host": "local"}, {"OS-EXT-STS:vm_state": "active"}, {"created": "2001-01-01T00:00:00Z"}, {"id": str(uuid.uuid4())}):
            reply = attacker.post(NOVA + "servers", {"server": {"name": "x", "flavorRef": world.flavor(), "imageRef": "", "networks": "none", **body}})
            self.assertIn(reply.status, (400, 403), (body, reply))
        self.assertEqual(attacker.get(NOVA + "servers").json["servers"], [])


class Text(unittest.TestCase):
    def test_stored_exactly(self):                               # HTTP-12
        for name in ("\u202egnp.exe", "a\u200db", "e\u0301", "\u00e9", ".", "..", " ", "\U0001f600" * 255, "\u4e2d" * 255, "<script>", "a/b;c?d#e%41", "\ufeffx",
                     "'; DROP TABLE network; --", "${jndi:ldap://x}", "%s%n", "\\u0041"):
            reply = attacker.post(NEUTRON + "networks", {"network": {"name": name}})
            self.assertEqual(reply.status, 201, (name, reply))
            key = reply.json["network"]["id"]
            self.assertEqual(attacker.get(NEUTRON + "networks/" + key).json["network"]["name"], name)
            found = attacker.get(NEUTRON + "networks?" + urllib.parse.urlencode({"name": name})).json["networks"]
            self.assertEqual([n["id"] for n in found], [key], name)          # composed and decomposed letters stay two names
            self.assertEqual(attacker.delete(NEUTRON + "networks/" + key).status, 204)
        for name in ("\U0001f600" * 256, "a\x00b", "a\nb", "\x7f"):
            self.assertEqual(attacker.post(NEUTRON + "networks", {"network": {"name": name}}).status, 400, name)
        for raw in (b'\xc0\xaf', b'\xed\xa0\x80', b'\xf8\x88\x80\x80\x80', b'\xff', b'\xe2\x82'):          # overlong, surrogate, too long, none, cut off
            reply = attacker.call("POST", NEUTRON + "networks", raw=b'{"network":{"name":"%s"}}' % raw, headers={"Content-Type": "application/json"})
            self.assertEqual(reply.status, 400, raw)
        for line in cloud.tail(10 ** 7).splitlines():
            self.assertTrue(line.startswith(("t=", "==")) or not line, line[:200])                          # no name made a line of its own

    def test_many_members(self):                                 # HTTP-10
        begin = time.monotonic()
        for text in ("{" + ",".join('"k%d":1' % i for i in range(60000)) + "}", "[" * 100000, '{"a":' * 50000, "[" + "1," * 400000 + "1]", '"' + "\\u0041" * 100000 + '"',
                     "-" * 100000, "1" * 100000, " " * 500000):
            reply = attacker.call("POST", NEUTRON + "networks", raw=text.encode(), headers={"Content-Type": "application/json"})
            self.assertIn(reply.status, (400, 413), text[:40])
        self.assertLess(time.monotonic() - begin, 8)


class Leaks(unittest.TestCase):
    """What an error tells a tenant: a sentence and a request id."""

    def sentence(self, reply):
        text = reply.body.decode()
        for bad in (cloud.top, "/var/", ".c:", "sqlite", "SELECT", "INSERT", "UNIQUE", "errno", "constraint", "assert", "No such file", "0x"):
            self.assertNotIn(bad.lower(), text.lower(), reply)
        self.assertIn("x-openstack-request-id", reply.headers)

    def test_internal_errors(self):                              # HTTP-15
        c = Cloud(agent=False, env={"NUVOLET_FAULT": "api.before_commit:fatal"})
        try:
            c.seen = lambda *a: None
            boss = c.login("admin")
            reply = boss.post(NEUTRON + "networks", {"network": {"name": "x"}})
            self.assertGreaterEqual(reply.status, 500)
            self.sentence(reply)
            self.assertNotIn(c.top, reply.body.decode())
            self.assertEqual([n["name"] for n in boss.get(NEUTRON + "networks?name=x").json["networks"]], [])
        finally:
            c.stop(check=False)

    def test_templates_in_the_catalog(self):                     # HTTP-15: 2013-029 and others: $(admin_token)s and the like are not filled in
        service = world.service()
        for url in ("http://x/$(admin_password)s", "http://x/%(admin_token)s", "http://x/{0.__class__}", "http://x/$(tenant_id)s"):
            reply = world.admin.post(KEYSTONE + "endpoints", {"endpoint": {"service_id": service, "interface": "admin", "url": url}})
            self.assertIn(reply.status, (201, 400), reply)
            if reply.status == 400:
                self.sentence(reply)
                continue
            catalog = cloud.login("demo").get(KEYSTONE + "auth/catalog").body.decode()
            self.assertNotIn(cloud.password("admin"), catalog)
            self.assertEqual(world.admin.delete(KEYSTONE + "endpoints/" + reply.json["endpoint"]["id"]).status, 204)

    def test_refusals(self):
        for path in ("networks/%27", "networks?limit=x", "networks/" + "x" * 200, "ports?fixed_ips=x"):
            self.sentence(victim.get(NEUTRON + path))


class Process(unittest.TestCase):
    def test_the_process_that_strangers_reach(self):             # SEC-06
        with open("/proc/%d/status" % cloud.serve.pid) as f:
            status = dict(line.split(":", 1) for line in f)
        field = lambda n: status[n].split()  # noqa: E731
        self.assertEqual(field("NoNewPrivs"), ["1"])
        self.assertEqual(field("Seccomp"), ["2"])
        for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            self.assertEqual(int(field(name)[0], 16), 0, name)
        if os.geteuid() == 0:
            self.assertNotIn("0", field("Uid") + field("Gid"))
            self.assertNotIn("0", field("Groups"))
        for fd in set(os.listdir("/proc/%d/fd" % cloud.serve.pid)) - {"0", "1", "2"}:
            try:
                target = os.readlink("/proc/%d/fd/%s" % (cloud.serve.pid, fd))
            except FileNotFoundError:                            # closed meanwhile
                continue
            self.assertFalse(target.startswith("/") and not target.startswith((cloud.top, "/dev/null", "/dev/urandom")), target)


class Traces(unittest.TestCase):
    def test_nothing_is_kept_in_the_open(self):                  # SEC-01, SEC-02, SEC-03, SEC-05
        admin, values = world.admin, list(SECRETS.values()) + [victim.token, cloud.password("admin"), cloud.password("demo")]
        user = world.ask(KEYSTONE + "users", "user", {"name": "sec", "password": SECRETS["password"]}, admin)["id"]
        cloud.login("sec", SECRETS["password"], scope="unscoped")
        self.assertEqual(victim.post(KEYSTONE + "auth/tokens", {"auth": {"identity": {"methods": ["password"], "password": {
            "user": {"id": user, "password": SECRETS["password"] + "x"}}}}}).status, 401)
        credential = world.ask(KEYSTONE + "credentials", "credential", {"type": "t", "blob": SECRETS["blob"]}, victim)["id"]
        victim.post(NEUTRON + "networks", {"network": {"name": "x", "password": SECRETS["password"]}})
        # Deleted, and the pages that held them overwritten.
        self.assertEqual(admin.delete(KEYSTONE + "users/" + user).status, 204)
        self.assertEqual(victim.delete(KEYSTONE + "credentials/" + credential).status, 204)
        sid = made["server2"]["id"]
        cloud.wait(lambda: victim.get(NOVA + "servers/" + sid).json["server"]["status"] in ("ACTIVE", "ERROR"), 20, "the server")
        self.assertEqual(victim.delete(NOVA + "servers/" + sid).status, 204)
        cloud.wait(lambda: victim.get(NOVA + "servers/" + sid).status == 404, 20, "its end")
        spy.ending = True
        spy.join()
        for name in ("serve.log", "agent.log"):
            with open(os.path.join(cloud.top, name), "rb") as f:
                text = f.read()
            for s in values:
                for form in (s, json.dumps(s)[1:-1], base64.b64encode(s.encode()).decode(), urllib.parse.quote(s)):
                    self.assertNotIn(form.encode(), text, name)
        self.assertGreater(len(spy.seen), 2)
        for text in spy.seen:
            for s in values:
                self.assertNotIn(s.encode(), text)
        cloud.serve.terminate()
        self.assertEqual(cloud.serve.wait(20), 0)
        open_files = []
        for top, folders, files in os.walk(cloud.state):
            for f in files + folders:
                path = os.path.join(top, f)
                if os.lstat(path).st_mode & 0o077 and not os.path.islink(path):
                    open_files.append((path, oct(os.lstat(path).st_mode)))
            for f in files:
                if f.endswith(("openrc", ".yaml")):
                    continue
                with open(os.path.join(top, f), "rb") as data:
                    text = data.read()
                for n, s in SECRETS.items():
                    for form in (s, json.dumps(s)[1:-1], base64.b64encode(s.encode()).decode()):
                        self.assertNotIn(form.encode(), text, (f, n))
        self.assertEqual(open_files, [])
        cloud.start()


if __name__ == "__main__":
    unittest.main()
