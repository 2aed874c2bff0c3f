"""tests/http/test_tables.py -- what every resource of the program's tables must do, asked of the real service: each field given wrong, left out,
null or read-only; strangers; filters, orders and pages; bodies of the wrong shape; and that a refused request changes nothing.

The tables come from `nuvolet ctl schema --json` and `ctl routes --json`; how to make one object is a line of tests/lib/factories.py."""
import json
import re
import subprocess
import unittest
import urllib.parse
import uuid

import tables
from cloud import Cloud
from factories import FACTORIES, World

DEEP = json.loads("[" * 20 + "]" * 20)
# What a stranger may write where a field wants something else (HTTP-11 of the hardening rows); null has a test of its own.
HOSTILE = [True, False, 0, -1, 1 << 31, (1 << 63) - 1, 1.5, 1e300, "", "x" * 256, "\u202e\u200d", "maybe", [], [[]], {}, {"a": {"b": []}}, DEEP]
RESOURCES, ROUTES = tables.load()


def no_quotas():
    """Every option of the group "quota", without a bound."""
    text = subprocess.run([tables.NUVOLET, "ctl", "conf"], capture_output=True, text=True, check=True).stdout
    part = text.split("[quota]", 1)[1].split("\n[", 1)[0]
    return {"quota." + name: "-1" for name in re.findall(r"^#?\s*(\w+)\s*=", part, re.M)}


def setUpModule():
    global cloud, world, rows
    cloud = Cloud(options=no_quotas())
    world = World(cloud)
    rows = tables.Rows(cloud.state + "/nuvolet.db")
    cloud.wait(lambda: world.admin.get("/compute/v2.1/os-services").json["services"], what="the host")


def tearDownModule():
    cloud.stop()


class Tables(unittest.TestCase):
    """The tables as a whole."""

    def test_every_resource_has_a_factory(self):
        self.assertEqual(sorted(set(RESOURCES) - set(FACTORIES)), [], "add a line to tests/lib/factories.py for each")
        self.assertEqual(sorted(set(FACTORIES) - set(RESOURCES)), [], "factories of no resource")
        self.assertEqual([n for n, r in RESOURCES.items() if r.factory and not (r.factory.path or r.route)], [], "no route names them: say path=")

    def test_what_is_left_out_says_why(self):
        for one, f in FACTORIES.items():
            for (check, field), reason in f.skip.items():
                self.assertTrue(hasattr(Checks, "test_" + check), (one, check))
                self.assertTrue(field == "*" or any(field == x.name for x in RESOURCES[one].given + RESOURCES[one].stored), (one, field))
                self.assertGreater(len(reason), 10, (one, check, field))

    def test_every_route_wants_a_token(self):
        wrong, asked = [], 0
        for r in ROUTES:
            if r["rule"] == "anyone":
                continue
            path = "/".join(str(uuid.uuid4()) if part.startswith("{") else part for part in r["path"].split("/"))
            for token in (None, "x" * 43, "", "a\u00e9".encode().decode("latin1")):
                reply = world.anonymous.call(r["method"], path, None if r["method"] in ("GET", "DELETE") else {}, headers={"X-Auth-Token": token})
                asked += 1
                if reply.status != 401 and not (reply.status in (404, 405) and (r["until"] or r["since"])):
                    wrong.append((r["method"], path, token, reply))
        self.assertEqual(wrong, [])
        self.assertGreater(asked, 1000)


class Checks:
    """Run for each resource of the tables; self.o is the resource in use."""
    one = None

    @classmethod
    def setUpClass(cls):
        cls.r = RESOURCES[cls.one]
        if not cls.r.factory or not (cls.r.factory.path or cls.r.route):
            raise unittest.SkipTest("%s has no factory: Tables.test_every_resource_has_a_factory fails for it" % cls.one)
        cls.o = tables.InUse(cls.r, world, rows)
        cls.variants = [{}] + cls.r.factory.variants + ([] if cls.r.factory.few else [{}])
        cls.kept, cls.set = None, []
        cls.o.body()                                 # what it refers to is there before anything is counted

    @classmethod
    def tearDownClass(cls):
        cls.o.remove_all()

    def setUp(self):
        check = self._testMethodName[len("test_"):]
        if (check, "*") in self.r.factory.skip:
            self.skipTest(self.r.factory.skip[check, "*"])

    def skips(self, check, field):
        return (check, field.name) in self.r.factory.skip

    # -- what a refusal looks like ---------------------------------------------------------------------------------
    def error_form(self, reply):
        j, where = reply.json, (self.one, reply)
        self.assertIsInstance(j, dict, where)
        self.assertTrue(reply.message.strip(), where)
        if self.r.dialect == "nova":
            (kind, inner), = j.items()
            self.assertEqual((inner["code"], set(inner)), (reply.status, {"code", "message"}), where)
        elif self.r.dialect == "neutron":
            self.assertEqual(set(j), {"NeutronError"}, where)
            self.assertEqual(set(j["NeutronError"]), {"type", "message", "detail"}, where)
        elif self.r.dialect == "keystone":
            self.assertEqual(set(j), {"error"}, where)
            self.assertEqual((set(j["error"]), j["error"]["code"]), ({"code", "message", "title"}, reply.status), where)
        else:
            self.assertEqual(set(j), {"message", "code", "title"}, where)
            self.assertTrue(j["code"].startswith(str(reply.status)), where)
        self.assertIn("x-openstack-request-id", reply.headers)
        self.assertTrue(reply.headers["content-type"].startswith("application/json"), where)

    def named(self, reply, field):
        plain = lambda s: s.lower().replace("_", "")  # noqa: E731
        self.assertIn(plain(field.name.split(":")[-1]), plain(reply.message), (self.one, field, reply))

    def before(self):
        self.o.settle()
        self.stamp = rows.version(), rows.digest(self.r.table)

    def unchanged(self, what):
        if rows.version() != self.stamp[0]:
            self.o.settle()
            self.assertEqual(rows.digest(self.r.table), self.stamp[1], (self.one, "was changed by a refused request", what))

    def refused(self, reply, what, statuses=(400,), field=None):
        self.assertIn(reply.status, statuses, (self.one, what, reply))
        self.error_form(reply)
        if field:
            self.named(reply, field)
        self.unchanged(what)

    def subject(self):
        """One object for all checks that change none."""
        if not self.kept or self.kept[self.r.factory.key] not in self.o.alive:
            type(self).kept = self.o.make()
        return self.kept

    def verbs(self):
        """(verb, a function that sends a body with these members laid over a good one, the status of what may not be given at all)"""
        yield "create", lambda body, who=None: self.o.post(self.o.body(**body), who)
        if self.r.update:
            self.subject()
            yield "update", lambda body, who=None: self.o.change(self.subject()[self.r.factory.key], body, who)

    # -- bodies ------------------------------------------------------------------------------------------------------
    def test_unknown_field(self):
        if self.r.factory.extra:
            made = self.o.make(no_such_field="kept", other={"a": [1, None, True]})
            self.assertEqual((made["no_such_field"], made["other"]), ("kept", {"a": [1, None, True]}))
            return
        for verb, send in self.verbs():
            self.before()
            self.refused(send({"no_such_field": 1}), (verb, "no_such_field"), (400, 403, 409))

    def test_hostile(self):
        """Every field with every wrong type; what may or may not be a value never ends in more than a 4xx."""
        for verb, send in self.verbs():
            for f in self.r.taken(verb):
                if self.skips("hostile", f):
                    continue
                good = self.o.good(f, self.subject())
                self.assertFalse(f.type == "json" and good is None and f.check in (None, "own"), "%s.%s: say in its factory's values= what is good"
                                 % (self.one, f))
                self.before()
                for v in HOSTILE:
                    reply = send({f.name: v}, self.o.giver(f))
                    if f.wrong(v, good):
                        self.refused(reply, (verb, f, v), field=f)
                    elif reply.status >= 400:
                        self.assertLess(reply.status, 500, (self.one, verb, f, v, reply))
                        self.error_form(reply)
                        self.unchanged((verb, f, v))
                    else:
                        self.accepted(verb, reply)
                        self.before()

    def accepted(self, verb, reply):
        """What a request did that was accepted after all."""
        if verb == "update":
            type(self).kept = None
            self.subject()
            return
        made = self.o.unwrapped(reply) if "reservation_id" not in reply.json else {}
        if self.r.factory.key in made:
            self.o.alive.append(made[self.r.factory.key])

    def test_number_too_big(self):
        """2^63 and 1e400 are no numbers of ours."""
        for verb, method, path in (("create", "POST", self.o.path), ("update", self.r.update, None)):
            if not method or self.r.factory.patch:
                continue
            path = path or self.o.at(self.subject()[self.r.factory.key])
            for f in [f for f in self.r.taken(verb) if f.type == "integer"]:
                for text in (str(1 << 63), "-" + str((1 << 63) + 1), "1e400"):
                    body = json.dumps(self.o.wrapped({**(self.o.body() if verb == "create" else {}), f.name: "HERE"})).replace('"HERE"', text)
                    self.before()
                    self.refused(self.o.who.call(method, path, raw=body.encode(), headers={"Content-Type": "application/json"}), (verb, f, text))

    def test_required(self):
        needed = [f for f in self.r.taken("create") if "required" in f]
        for f in needed:
            body = self.o.body()
            body.pop(f.name, None)
            self.before()
            self.refused(self.o.post(body), ("without", f), field=f)

    def test_bounds(self):
        for verb, send in self.verbs():
            for f in self.r.taken(verb):
                for why, v in f.out_of_bounds():
                    if self.skips("bounds", f):
                        continue
                    self.before()
                    self.refused(send({f.name: v}, self.o.giver(f)), (verb, f, why), field=f)

    def test_read_only(self):
        shown = self.subject()
        for verb, send in self.verbs():
            taken = {f.name for f in self.r.taken(verb)}
            for f in self.r.stored:
                if f.name in taken or f.name in self.r.factory.in_path or self.skips("read_only", f) or (self.r.factory.updates and f.name in self.r.factory.updates):
                    continue
                value = shown.get(f.name)
                for v in ([value] if value not in (None, "") else []) + ["x", None, 7]:
                    if f.name == "tenant_id" and self.r.factory.by == "admin" or v == value and (verb == "update" or f.name == "tenant_id"):
                        continue                     # what cannot be changed may be repeated
                    self.before()
                    self.refused(send({f.name: v}), (verb, f, v), (400, 403))

    def test_admin_only(self):
        """What only an administrator may give, a member may not."""
        if self.r.factory.by == "admin":
            self.skipTest("only administrators change it at all")
        for verb, send in self.verbs():
            for f in self.r.taken(verb):
                if self.o.giver(f) is self.o.who:
                    continue
                v = {"boolean": True, "integer": 7}.get(f.type) or f.allowed and f.allowed[-1] or (world.other.project_id if f.type == "string" else True if f.kind == "input" else {"a": 1})
                self.before()
                self.refused(send({f.name: v}), (verb, f, v), (403, 400) if f.name == "project_id" else (403,))

    def test_null(self):
        for verb, send in self.verbs():
            for f in self.r.taken(verb):
                if self.skips("null", f):
                    continue
                self.before()
                reply = send({f.name: None}, self.o.giver(f))
                if "nullable" not in f:
                    self.refused(reply, (verb, f, None), (400, 403), field=f)
                elif reply.status < 300:
                    self.accepted(verb, reply)
                else:
                    self.assertLess(reply.status, 500, (verb, f, reply))

    def test_shapes(self):
        """Bodies that are no object, in the wrong envelope, with members twice, with more after their end, of another type."""
        good = json.dumps(self.o.wrapped(self.o.body()))
        first = next(iter(self.o.body()))
        twice = good.replace('"%s":' % first, '"%s": "a", "%s":' % (first, first), 1)
        texts = ["", "[]", "7", "null", '"x"', "true", "{}", "{", good + "x", good + good, twice, "\ufeff" + good, good[:-1], good.replace('"', "'"),
                 "[" * 40 + "]" * 40]
        if self.r.dialect != "glance":
            texts += [json.dumps({"wrong": self.o.body()}), json.dumps({self.r.one: [self.o.body()]}), json.dumps({self.r.one: None}),
                      json.dumps({self.r.one: "x"}), json.dumps(self.o.body())]
        else:
            texts.remove("{}")                       # an image needs no field
        targets = [("POST", self.o.path, "application/json")]
        if self.r.update:
            targets.append((self.r.update, self.o.at(self.subject()[self.r.factory.key]),
                            "application/openstack-images-v2.1-json-patch" if self.r.factory.patch else "application/json"))
        for method, path, kind in targets:
            for text in texts:
                if self.r.factory.patch and method == "PATCH" and text == "[]":
                    continue                         # no change asked for
                self.before()
                raw = text.encode()
                self.refused(self.o.who.call(method, path, raw=raw, headers={"Content-Type": kind}), (method, text))
            for raw in (good.encode("utf-16"), good.encode()[:-2] + b"\xff\xfe}", good.replace("}", ', "a": "\\u0000"}', 1).encode(),
                        good.replace("}", ', "a": "\\ud800"}', 1).encode()):
                self.before()
                self.refused(self.o.who.call(method, path, raw=raw, headers={"Content-Type": kind}), (method, raw))
            self.before()
            self.refused(self.o.who.call(method, path, raw=good.encode(), headers={"Content-Type": "text/plain"}), (method, "text/plain"), (415,))

    # -- who -----------------------------------------------------------------------------------------------------------
    def test_stranger(self):
        """Another project's object is not there: the same answer as for an id that nobody has."""
        made = self.o.make()
        key, f = made[self.r.factory.key], self.r.factory
        field = next((x for x in self.r.taken("update") if x.type == "string" and x.check not in ("own", "enum")), None) if self.r.update else None
        change = dict([next(iter(f.updates.items()))]) if f.updates else {field.name: "stolen"} if field else {}
        calls = [(f.stranger[0], lambda k: self.o.show(k, world.other)), (f.stranger[2], lambda k: world.other.delete(self.o.at(k)))]
        if self.r.update and change:
            calls.append((f.stranger[1], lambda k: self.o.change(k, change, world.other)))
        for wanted, call in calls:
            self.before()
            reply = call(key)
            self.assertEqual(reply.status, wanted, (self.one, reply))
            self.unchanged(reply)
            if wanted != 404:
                continue
            self.error_form(reply)
            other = str(uuid.uuid4()) if len(str(key)) == 36 else uuid.uuid4().hex
            nobody = call(other)
            self.assertEqual(nobody.status, 404)
            strip = lambda r, k: {n: v for n, v in r.headers.items() if n not in ("x-openstack-request-id", "x-compute-request-id", "date")}  # noqa: E731
            self.assertEqual(reply.body.replace(key.encode(), b"ID"), nobody.body.replace(other.encode(), b"ID"), self.one)
            self.assertEqual(strip(reply, key), strip(nobody, other))
        listed = self.o.ask(world.other)
        if listed.status == 200:
            self.assertEqual(key in [x[f.key] for x in listed.json[self.r.many]], f.in_list, (self.one, "in a stranger's list"))
            for q in ("project_id", "tenant_id", "user_id", "owner"):
                mine = [x[f.key] for x in (self.o.ask(world.other, **{q: made.get(q, world.demo.project_id)}).json or {}).get(self.r.many, [])]
                self.assertEqual(key in mine, f.in_list and key in mine, (self.one, q))
        if listed.status == 200 and not f.in_list:
            marked = self.o.ask(world.other, marker=key)
            self.assertIn(marked.status, (400, 404), (self.one, "a stranger's marker", marked))
            self.assertNotIn(key, [x[f.key] for x in marked.json.get(self.r.many, [])])

    def test_unknown_id(self):
        for key in (str(uuid.uuid4()), "no-such", "987654", "x" * 300, "%27%20OR%201=1", "None"):
            self.before()
            for reply in [self.o.who.get("%s/%s" % (self.o.path, key)), self.o.who.delete("%s/%s" % (self.o.path, key))]:
                self.assertIn(reply.status, (404, 400) if len(key) > 64 else (404,), (self.one, key, reply))
                self.error_form(reply)
            self.unchanged(key)

    def test_life(self):
        """What was made is shown as it was made, is listed, and is gone when it is removed."""
        if self.r.factory.few:
            self.o.remove_all()
        before = rows.digest(self.r.table)[0]
        made = self.o.make()
        key = made[self.r.factory.key]
        self.assertIn(key, [x[self.r.factory.key] for x in self.o.list()])
        self.assertEqual(self.o.show(key).status, 200)
        self.o.remove(key)
        self.assertEqual(self.o.show(key).status, 404)
        self.assertNotIn(key, [x[self.r.factory.key] for x in self.o.list()])
        self.assertEqual(rows.digest(self.r.table)[0], before)
        self.refused_again(key)

    def test_update(self):
        """A changed text is shown and stored, and the row says when."""
        texts = [f.name for f in self.r.taken("update") if f.name in ("description", "name", "url", "blob")] if self.r.update else []
        if not texts:
            self.skipTest("no text of it can be changed")
        made = self.o.make()
        key, columns = made[self.r.factory.key], [r[1] for r in rows.db.execute("PRAGMA table_info(%s)" % self.r.table)]
        stamp = lambda: rows.db.execute("SELECT updated_at FROM %s WHERE %s = ?" % (self.r.table, self.r.stored[0].column), (key,)).fetchone()[0]  # noqa: E731
        old = stamp() if "updated_at" in columns else None
        for name in texts:
            value = "http://example.org/changed" if name == "url" else "changed-" + uuid.uuid4().hex[:8]
            reply = self.o.change(key, {name: value})
            self.assertEqual(reply.status, 200, (self.one, name, reply))
            self.assertEqual(self.o.unwrapped(reply)[name], value)
            self.assertEqual(self.o.unwrapped(self.o.show(key))[name], value)
        if old is not None:
            self.assertGreater(stamp(), old, (self.one, "updated_at"))

    def test_if_match(self):
        """Neutron's rows with a revision are changed and removed at the revision that If-Match names, and at no other."""
        if self.r.dialect != "neutron":
            self.skipTest("Neutron's alone")
        made = self.o.make()
        key, at = made[self.r.factory.key], lambda n: {"If-Match": "revision_number=%s" % n}  # noqa: E731
        now = lambda: self.o.unwrapped(self.o.show(key)).get("revision_number")  # noqa: E731
        text = [f.name for f in self.r.taken("update") if f.name in ("description", "name")] if self.r.update else []
        change = lambda headers: self.o.change(key, {text[0]: "changed-" + uuid.uuid4().hex[:8]}, headers=headers)  # noqa: E731
        remove = lambda headers: self.o.who.delete(self.o.at(key), headers=headers)  # noqa: E731
        revision = now()
        for call in ([change] if text else []) + [remove]:
            for wrong in ("x", "", "1.5"):
                self.before()
                self.refused(call(at(wrong)), wrong)
            if revision is None:
                self.before()
                self.refused(call(at(1)), "without a revision")
                continue
            for other in (revision - 1, revision + 1, 10 ** 30):
                self.before()
                reply = call(at(other))
                self.refused(reply, other, (412,))
                self.assertIn("but current revision is %d" % revision, reply.message)
        if revision is not None and text:
            self.assertEqual(change(at(revision)).status, 200)
            self.assertGreater(now(), revision)
            self.before()
            self.refused(change(at(revision)), "the revision of before", (412,))
        if revision is not None:
            self.o.settle()
            self.assertEqual(remove(at(now())).status, 204)
            self.o.alive.remove(key)
        self.o.settle()

    def refused_again(self, key):
        self.before()
        self.refused(self.o.who.delete(self.o.at(key)), "removed twice", (404,))

    # -- lists -----------------------------------------------------------------------------------------------------------
    def several(self):
        """Objects that differ in what the factory's variants say; made once for all list checks."""
        if not self.set or any(x[self.r.factory.key] not in self.o.alive for x in self.set):
            self.o.remove_all()
            type(self).set = [self.o.make(keep=True, **v) for v in self.variants]
        return self.set

    def members(self, named, flag):
        """[(query's name, member of the listed object, Field or None)]"""
        if named is not None:
            return [(q, m, None) for q, m in named.items()]
        return [(f.name, f.name, f) for f in self.r.stored if flag in f and "not-shown" not in f and ("admin-view" not in f or self.r.factory.by == "admin")]

    @staticmethod
    def text(v):
        return str(v) if not isinstance(v, bool) else "True" if v else "False"

    def test_filters(self):
        self.several()
        key, everything = self.r.factory.key, self.o.list()
        for query, member, f in self.members(self.r.factory.filters, "filter"):
            if f and self.skips("filters", f):
                continue
            values = []
            for x in everything:
                for v in x[member] if isinstance(x[member], list) else [x[member]]:
                    if v not in values and v is not None and not isinstance(v, (dict, list)) and v != "":
                        values.append(v)
            for v in values[:6]:
                wanted = [x[key] for x in everything if v == x[member] or (isinstance(x[member], list) and v in x[member])]
                got = [x[key] for x in self.o.list(pairs=[(query, self.text(v))])]
                self.assertEqual(sorted(got), sorted(wanted), (self.one, query, v))
            if f and self.r.dialect != "nova" and len(values) > 1 and not isinstance(everything[0][member], list):
                wanted = [x[key] for x in everything if x[member] in values[:2]]
                twice = [x[key] for x in self.o.list(pairs=[(query, self.text(v)) for v in values[:2]])]
                if self.r.dialect != "glance":
                    self.assertEqual(sorted(twice), sorted(wanted), (self.one, query, values[:2], "any of them"))
                many = self.o.list(pairs=[(query, self.text(v)) for v in values[:2] * 20])
                self.assertEqual(sorted(x[key] for x in many), sorted(twice))
            kind = f.type if f else "string"
            unknown = {"integer": "98765432", "time": "2001-01-01T00:00:00Z"}.get(kind, "no-such-value")
            reply = self.o.ask(**{query: unknown})
            if kind == "boolean" or (kind == "string" and reply.status == 400):
                self.refused_list(reply, query)
            else:
                self.assertEqual((reply.status, reply.json[self.r.many]), (200, []), (self.one, query, unknown))

    def refused_list(self, reply, what):
        self.assertEqual(reply.status, 400, (self.one, what, reply))
        self.error_form(reply)

    def test_unknown_filter(self):
        self.several()
        reply = self.o.ask(no_such_parameter="1")
        if self.r.dialect in ("nova", "neutron"):
            self.refused_list(reply, "no_such_parameter")
        elif self.r.dialect == "glance":
            self.assertEqual(reply.json[self.r.many], [])            # a property that no image has
        else:
            self.assertEqual(reply.json[self.r.many], self.o.list())

    @staticmethod
    def order(v, f=None):
        if v is None or v == "":
            return (False, 0)                        # nothing and no text: in any order
        if f and f.type == "integer":
            return (True, int(v))                    # some numbers are shown as text
        return (True, v.encode() if isinstance(v, str) else v)

    def test_sorts(self):
        self.several()
        key, everything = self.r.factory.key, self.o.list()
        ids = sorted(x[key] for x in everything)
        for query, member, f in self.members(self.r.factory.sorts, "sort"):
            if f and self.skips("sorts", f):
                continue
            for direction in ("asc", "desc"):
                got = self.o.list(pairs=[("sort_key", query), ("sort_dir", direction)])
                self.assertEqual(sorted(x[key] for x in got), ids, (self.one, query, direction))
                values = [self.order(x[member], f) for x in got]
                self.assertEqual(values, sorted(values, reverse=direction == "desc"), (self.one, query, direction))
        for query in ([("sort_key", "no_such_key")], [("sort_key", "id"), ("sort_dir", "sideways")], [("sort_key", "password_hash")]):
            self.refused_list((self.o.who.get(self.o.listed + "?" + "&".join("%s=%s" % p for p in query))), query)

    def test_pages(self):
        """Every row once and in order, by next links and by markers, whatever the size of a page, forwards and back."""
        self.several()
        key = self.r.factory.key
        sorts = [(q, d) for q, _, f in self.members(self.r.factory.sorts, "sort") for d in ("asc", "desc") if not (f and self.skips("pages", f))]
        for query, direction in [(None, None)] + sorts:
            order = [("sort_key", query), ("sort_dir", direction)] if query else []
            whole = [x[key] for x in self.o.list(pairs=order)]
            for limit in (1, 2, len(whole), len(whole) + 3) if not query else (2,):
                if limit == 1 and len(whole) > 60:
                    continue
                self.assertEqual(self.by_links(order, limit), whole, (self.one, query, direction, limit, "by links"))
                self.assertEqual(self.by_markers(order, limit), whole, (self.one, query, direction, limit, "by markers"))

    def by_links(self, order, limit):
        url, got = self.o.listed + "?" + urllib.parse.urlencode(order + [("limit", limit)]), []
        for _ in range(200):
            reply = self.o.who.get(url)
            self.assertEqual(reply.status, 200, (url, reply))
            page = [x[self.r.factory.key] for x in reply.json[self.r.many]]
            self.assertLessEqual(len(page), limit)
            got += page
            url = self.o.next_of(reply)
            if not url:
                return got
            self.assertTrue(page, (self.one, "an empty page has a next one", reply))
        self.fail("pages without an end")

    def by_markers(self, order, limit):
        got, page = [], None
        while page is None or page:
            more = [("marker", page[-1])] if page else []
            page = [x[self.r.factory.key] for x in self.o.list(pairs=order + [("limit", limit)] + more)]
            got += page
            self.assertLess(len(got), 300, "pages without an end")
        return got

    def test_pages_back(self):
        if self.r.dialect != "neutron":
            self.skipTest("only Neutron's lists go backwards")
        self.several()
        whole = [x[self.r.factory.key] for x in self.o.list()]
        got, page = [], None
        while page is None or page:
            page = [x[self.r.factory.key] for x in self.o.list(pairs=[("limit", 2), ("page_reverse", "True")] + ([("marker", page[0])] if page else []))]
            got = page + got
            self.assertLess(len(got), 300, "pages without an end")
        self.assertEqual(got, whole)

    def test_bad_pages(self):
        self.several()
        for pairs in ([("marker", str(uuid.uuid4()))], [("marker", "x'--")], [("limit", "-1")], [("limit", "x")], [("limit", "1.5")], [("limit", str(1 << 70))]):
            reply = self.o.who.get(self.o.listed + "?" + "&".join("%s=%s" % p for p in pairs))
            self.refused_list(reply, pairs)

    def test_fields(self):
        if self.r.dialect != "neutron":
            self.skipTest("only Neutron has fields=")
        self.several()
        for names in (["id"], ["id", self.r.stored[2].name], ["no_such"], ["id", "project_id"]):
            shown = {n for n in names if self.r.field(n) and "not-shown" not in self.r.field(n)}
            query = [("fields", n) for n in names]
            for x in self.o.list(pairs=query):
                self.assertEqual(set(x), shown, (self.one, names))
            one = self.o.who.get(self.o.at(self.several()[0]["id"]) + "?" + "&".join("fields=" + n for n in names))
            self.assertEqual(set(one.json[self.r.one]), shown)


for _one in RESOURCES:
    globals()["Test_" + _one] = type("Test_" + _one, (Checks, unittest.TestCase), {"one": _one, "__doc__": None})

if __name__ == "__main__":
    unittest.main()
