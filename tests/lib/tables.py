"""tests/lib/tables.py -- the program's own tables as tests see them: resources, fields, routes; and one resource with its factory, in use."""
import hashlib
import json
import sqlite3
import subprocess
import urllib.parse

from cloud import NUVOLET
from factories import FACTORIES

NEWEST = 93                                          # the microversion that cloud.Client asks for


def _ctl(what):
    return json.loads(subprocess.run([NUVOLET, "ctl", what, "--json"], capture_output=True, check=True).stdout)


class Field:
    def __init__(self, row):
        self.__dict__.update(row)
        self.min, self.max, self.allowed = row.get("min"), row.get("max"), row.get("allowed")
        self.flags = set(self.flags)

    def __contains__(self, flag):
        return flag in self.flags

    def __repr__(self):
        return self.name

    def wrong(self, v, good):
        """Is v (not null) surely no value of this field?  good: a valid value, where one is known."""
        if self.type == "string":
            return not isinstance(v, str)
        if self.type == "boolean":
            return not (isinstance(v, bool) or v in (0, 1) and not isinstance(v, (float, list, dict)) or isinstance(v, str) and v.lower() in ("true", "false", "0", "1"))
        if self.type == "integer":
            return isinstance(v, (bool, float, list, dict)) or isinstance(v, str) and not v.lstrip("-").isdigit()
        if self.type == "json":
            shape = {"tags": list, "array": list, "ip-list": list, "object": dict, "string-map": dict}.get(self.check)
            shape = shape or (list if self.kind == "strings" else dict if self.kind == "map" else type(good))
            if shape is bool:
                return isinstance(v, (float, list, dict))
            if shape in (int, float):
                return isinstance(v, (bool, list, dict)) or isinstance(v, float) and shape is int
            return not isinstance(v, shape)
        return False

    def out_of_bounds(self):
        """Values of the right type that are no values of this field: (why, value)."""
        c = self.check
        if c in ("name", "name-nonempty", "text"):
            top = self.max if c == "text" and self.max is not None else 255
            if top <= 1 << 16:
                yield "too long", "x" * (top + 1)
            if c == "text" and self.min:
                yield "too short", "x" * (self.min - 1)
        if c == "name-nonempty":
            yield "empty", ""
            yield "blank", "  "
        if c in ("name", "name-nonempty"):
            yield "control character", "a\nb"
        if c == "range":
            yield "too small", self.min - 1
            if self.max < 1 << 62:
                yield "too large", self.max + 1
        if c == "int-of":
            yield "not one of", 987654
        if c == "enum":
            yield "not one of", "no-such-value"
            yield "other case", self.allowed[0].swapcase()
        if c in ("uuid", "id"):
            yield "not an id", "not-an-id"
        if c in ("cidr", "ip"):
            yield "not an address", "10.0.0.256"
        if c == "mac":
            yield "not a MAC address", "00:11:22:33:44"
        if c == "hostname":
            yield "not a host name", "under_score"
            yield "too long", "a" * 64
        if c == "tags":
            yield "too many", ["t%d" % i for i in range(51)]
            yield "too long", ["x" * 61]
            yield "twice", ["a", "a"]
            yield "not text", [7]
        if c == "string-map":
            yield "too long", {"k": "x" * 256}
            yield "not text", {"k": 7}
            yield "too many", {"k%d" % i: "" for i in range(129)}
        if c == "ip-list":
            yield "not an address", ["10.0.0.256"]


class Resource:
    def __init__(self, name, rows, routes):
        row = rows[0]
        self.name = name
        self.one, self.many, self.table, self.dialect, self.scope = row["one"], row["many"], row["table"], row["dialect"], row["scope"]
        live = [Field(f) for f in row["fields"]]
        self.stored = [f for f in live if self.now(f)]
        self.given = [f for f in (Field(x) for x in rows[-1]["fields"]) if self.now(f)]      # a body without a table of its own, or the same
        self.own_filters = row["filters"]
        self.factory = FACTORIES.get(name)
        mine = [r for r in routes if r["table"] and r["table"] == self.table and "/compute/v2/" not in r["path"]]
        lists = [r for r in mine if r["method"] == "GET" and "{" not in r["path"]]
        self.route = lists[0]["path"] if lists else None
        changes = [r["method"] for r in mine if r["path"].endswith("}") and r["method"] in ("PUT", "PATCH")]
        self.update = (self.factory and self.factory.update) or (("PATCH" if "PATCH" in changes else changes[0]) if changes else None)

    def now(self, f):
        return self.dialect != "nova" or (f.since <= NEWEST and (not f.until or f.until >= NEWEST))

    def taken(self, verb):
        """Fields that a body of POST ("create") or of an update may have."""
        if verb == "update" and self.factory.updates:
            return [f for f in self.given if f.name in self.factory.updates]
        return [f for f in self.given if verb in f and f.name not in self.factory.in_path]

    def field(self, name):
        return next((f for f in self.stored if f.name == name), None)


def load():
    """{name: Resource}; one that is called as another service's is: "neutron_policy"."""
    rows, routes = _ctl("schema"), _ctl("routes")
    grouped, owner = {}, {}
    for r in rows:
        name = r["one"] if owner.setdefault(r["one"], r["dialect"]) == r["dialect"] else r["dialect"] + "_" + r["one"]
        grouped.setdefault(name, []).append(r)
    return {name: Resource(name, same, routes) for name, same in grouped.items()}, routes


class Rows:
    """The database from outside: whether anything was written, and what a table holds."""

    def __init__(self, path):
        self.db = sqlite3.connect("file:%s?mode=ro" % path, uri=True, isolation_level=None)

    def version(self):
        return self.db.execute("PRAGMA data_version").fetchone()[0]

    def digest(self, table):
        rows = sorted(map(repr, self.db.execute("SELECT * FROM %s" % table)))
        return len(rows), hashlib.sha256("\n".join(rows).encode()).hexdigest()

    def busy(self):
        """The live operations: (kind, step, why it waits)."""
        return self.db.execute("SELECT kind, step, waiting FROM operation WHERE state = 'live'").fetchall()


class InUse:
    """A Resource with a World: objects of it are made, listed, changed and removed through the API."""

    def __init__(self, resource, world, rows):
        self.r, self.w, self.rows = resource, world, rows
        self.f = resource.factory
        self.who = getattr(world, self.f.by)
        self.alive = []
        self.path = self.f.path(world) if callable(self.f.path) else self.f.path or resource.route
        self.listed = self.f.listed or self.path

    # -- bodies ---------------------------------------------------------------------------------------------------
    def body(self, **over):
        return {**self.f.body(self.w), **over}

    def good(self, field, shown=None):
        """A valid value, to know the shape of what the table calls just "json"."""
        v = self.f.values.get(field.name, getattr(field, "default", None))
        if callable(v):
            v = v(self.w, shown)
        if v is None:
            v = self.f.body(self.w).get(field.name)
        return (shown or {}).get(field.name) if v is None else v

    def wrapped(self, body):
        if self.r.dialect == "glance":
            return body
        return self.f.make(self.r.many, body) if self.f.make else {self.r.one: body}

    def unwrapped(self, reply):
        j = reply.json
        if self.r.dialect == "glance":
            return j
        return j[self.r.one] if self.r.one in j else j[self.r.many][0]

    def giver(self, field):
        """Who may give that field."""
        return self.w.admin if "admin" in field or field.name in self.f.admin_fields else self.who

    # -- calls ----------------------------------------------------------------------------------------------------
    def post(self, body, who=None):
        return (who or self.who).post(self.path, self.wrapped(body))

    def change(self, key, body, who=None, headers=None):
        who = who or self.who
        if self.f.patch:
            ops = [{"op": "replace", "path": "/" + k.replace("~", "~0").replace("/", "~1"), "value": v} for k, v in body.items()]
            return who.call(self.r.update, self.at(key), raw=json.dumps(ops).encode(),
                            headers={"Content-Type": "application/openstack-images-v2.1-json-patch"})
        return who.call(self.r.update, self.at(key), {self.r.one: body}, headers=headers)

    def at(self, key):
        return "%s/%s" % (self.path, urllib.parse.quote(str(key), safe=""))

    def make(self, keep=False, **over):
        if self.f.few and not keep:
            self.remove_all()
        reply = self.post(self.body(**over))
        assert reply.status in (200, 201, 202), (self.r.one, over, reply)
        made = self.unwrapped(reply)
        self.alive.append(made[self.f.key])
        self.settle()
        return made

    def show(self, key, who=None):
        return (who or self.who).get(self.at(key))

    def remove(self, key):
        if self.f.first:
            self.change(key, self.f.first)
        reply = self.who.delete(self.at(key))
        assert reply.status in (200, 202, 204), (self.r.one, key, reply)
        if key in self.alive:
            self.alive.remove(key)
        self.settle()

    def remove_all(self):
        for key in list(reversed(self.alive)):
            if self.f.first:
                self.change(key, self.f.first)
            self.who.delete(self.at(key))
        self.alive.clear()
        self.settle()

    def settle(self):
        try:
            self.w.cloud.wait(lambda: not self.rows.busy(), 10, "the end of operations")
        except AssertionError:
            raise AssertionError("operations do not end: %r" % self.rows.busy()) from None

    def ask(self, who=None, **query):
        text = urllib.parse.urlencode(query)
        return (who or self.who).get(self.listed + ("?" + text if text else ""))

    def list(self, who=None, pairs=()):
        text = urllib.parse.urlencode(list(pairs))
        reply = (who or self.who).get(self.listed + ("?" + text if text else ""))
        assert reply.status == 200, (self.r.one, text, reply)
        return reply.json[self.r.many]

    def next_of(self, reply):
        """The address of the next page as the dialect gives it, or None; relative to the service."""
        j = reply.json
        if self.r.dialect == "glance":
            return "/image" + j["next"] if "next" in j else None
        if self.r.dialect == "keystone":
            url = j["links"]["next"]
        else:
            url = next((row["href"] for row in j.get(self.r.many + "_links", []) if row["rel"] == "next"), None)
        return url and url.split("://", 1)[1].split("/", 1)[1].join(["/", ""])
