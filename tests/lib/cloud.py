"""tests/lib/cloud.py -- a private Nuvolet for one test file: `serve` on a free port with folders of its own, and a stand-in agent.

    cloud = Cloud()                  # starts
    demo = cloud.login("demo")       # a Client with a token
    demo.post("/network/v2.0/networks", {"network": {"name": "n"}}).json["network"]["id"]
    cloud.stop()                     # ends both, checks that neither died or complained, removes the folders
"""
import atexit
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("NUVOLET_BUILD", os.path.join(ROOT, "build"))
NUVOLET = os.environ.get("NUVOLET", os.path.join(BUILD, "nuvolet"))
FAKE_AGENT = os.path.join(BUILD, "fake-agent")
# A test whose time is up ends as by ctrl-C: what it started ends with it.
signal.signal(signal.SIGTERM, signal.default_int_handler)


def free_port():
    """A port that nobody listens on now, of those that the kernel gives nobody by itself; a restart of the service keeps it, and the catalog names it."""
    while True:
        port = random.SystemRandom().randrange(10000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Reply:
    """One answer: status, headers (lower-case keys), body bytes, json (None if it is not JSON)."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        try:
            self.json = json.loads(body) if body else None
        except ValueError:
            self.json = None

    @property
    def message(self):
        """The sentence of an error body, whatever the service wraps it in."""
        j = self.json
        if isinstance(j, dict):
            if isinstance(j.get("message"), str):
                return j["message"]
            for v in j.values():
                if isinstance(v, dict) and "message" in v:
                    return v["message"]
        return self.body.decode("utf8", "replace")

    def __repr__(self):
        return "<%d %s>" % (self.status, self.body[:300])


class Client:
    """Calls with one token over one kept connection."""

    def __init__(self, cloud, token=None, project_id=None, user_id=None):
        self.cloud, self.token, self.project_id, self.user_id = cloud, token, project_id, user_id
        self.connection = None

    def call(self, method, path, body=None, headers=None, raw=None):
        h = {"Accept": "application/json"}
        if self.token:
            h["X-Auth-Token"] = self.token
        if path.startswith("/compute"):
            h["OpenStack-API-Version"] = "compute 2.93"
        data = raw
        if body is not None:
            data = json.dumps(body).encode()
            h["Content-Type"] = "application/json"
        h.update(headers or {})
        for again in (True, False):
            if not self.connection:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.cloud.port, timeout=60)
            try:
                self.connection.request(method, path, body=data, headers={k: v for k, v in h.items() if v is not None})
                r = self.connection.getresponse()
                answer = Reply(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())
                if r.will_close:
                    self.close()
                break
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                self.close()
                if not again:
                    raise
        self.cloud.seen(method, path, answer)
        return answer

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def get(self, path, **kw): return self.call("GET", path, **kw)
    def post(self, path, body=None, **kw): return self.call("POST", path, body, **kw)
    def put(self, path, body=None, **kw): return self.call("PUT", path, body, **kw)
    def patch(self, path, body=None, **kw): return self.call("PATCH", path, body, **kw)
    def delete(self, path, **kw): return self.call("DELETE", path, **kw)


class Cloud:
    def __init__(self, agent=True, options=None, env=None, agent_args=()):
        self.top = tempfile.mkdtemp(prefix="nuvolet-test-")
        os.chmod(self.top, 0o711)
        self.state, self.run = (options or {}).get("paths.state", self.top + "/state"), self.top + "/run"
        self.world = self.top + "/world"
        self.options, self.env, self.agent_args = dict(options or {}), dict(env or {}), list(agent_args)
        self.unexpected = []
        atexit.register(self.end)                    # a test that dies half-way leaves no service behind
        self.agent = self.serve = None
        self.port = free_port()
        self.log = open(self.top + "/serve.log", "ab")
        self.agent_log = open(self.top + "/agent.log", "ab")
        os.mkdir(self.run)
        os.chmod(self.run, 0o777)
        if agent:
            self.start_agent()
        try:
            self.start()
        except Exception:
            self.stop(check=False)
            raise

    # -- processes ----------------------------------------------------------------------------------------------
    def start_agent(self, env=None):
        if os.path.exists(self.run + "/agent.sock"):     # of one that was killed
            os.unlink(self.run + "/agent.sock")
        self.agent = subprocess.Popen([FAKE_AGENT, self.run + "/agent.sock", self.world] + self.agent_args,
                                      env=dict(os.environ, **(env or {})), stderr=self.agent_log)
        self._until(lambda: os.path.exists(self.run + "/agent.sock"), "the stand-in agent")
        os.chmod(self.run + "/agent.sock", 0o666)

    def settings(self):
        s = {"paths.state": self.state, "paths.run": self.run, "api.port": str(self.port), "log.level": "debug"}
        if os.geteuid() == 0:
            s["serve.user"] = "nobody"
        s.update(self.options)
        return [x for k, v in s.items() for x in ("--set", "%s=%s" % (k, v))]

    def start(self, env=None):
        port_file = self.run + "/api.port"
        if os.path.exists(port_file):
            os.unlink(port_file)
        self.serve = subprocess.Popen([NUVOLET, "serve"] + self.settings(), env=dict(os.environ, **self.env, **(env or {})), stderr=self.log)
        self._until(lambda: os.path.exists(port_file) and self._ready(port_file), "serve")

    def _ready(self, port_file):
        if self.serve.poll() is not None:
            raise AssertionError("serve ended with %s:\n%s" % (self.serve.returncode, self.tail()))
        text = open(port_file).read().strip()
        if not text:
            return False
        return int(text) == self.port

    @staticmethod
    def _until(test, what, seconds=30):
        end = time.monotonic() + seconds
        while not test():
            if time.monotonic() > end:
                raise AssertionError("%s did not come up" % what)
            time.sleep(0.01)

    def end(self):
        for p in (self.serve, self.agent):
            if p and p.poll() is None:
                p.kill()
                p.wait()

    def kill(self):
        """Power cut for serve."""
        self.serve.send_signal(signal.SIGKILL)
        self.serve.wait()

    def kill_agent(self):
        self.agent.send_signal(signal.SIGKILL)
        self.agent.wait()

    def tail(self, n=4000):
        with open(self.top + "/serve.log", "rb") as f:
            return f.read()[-n:].decode("utf8", "replace")

    def stop(self, check=True):
        wrong = []
        for name, p in (("serve", self.serve), ("agent", self.agent)):
            if p and p.poll() is None:
                p.terminate()
                try:
                    p.wait(15)
                except subprocess.TimeoutExpired:
                    p.kill()
                    p.wait()
                    wrong.append("%s did not stop" % name)
            elif p and check and p.returncode not in (0, -signal.SIGKILL):
                wrong.append("%s died with %d" % (name, p.returncode))
        for name in ("serve", "agent"):
            with open("%s/%s.log" % (self.top, name), "rb") as f:
                text = f.read().decode("utf8", "replace")
            for m in re.finditer(r"(==\d+==ERROR: \w+Sanitizer.*|runtime error: .*|.*level=error event=api\.internal.*|.*Assertion.*failed.*)", text):
                wrong.append("%s: %s" % (name, m.group(1)[:500]))
        wrong += self.unexpected
        self.log.close()
        self.agent_log.close()
        if os.environ.get("NUVOLET_KEEP"):
            print("kept:", self.top)
        else:
            shutil.rmtree(self.top, ignore_errors=True)
        if check and wrong:
            raise AssertionError("\n".join(wrong[:10]))

    # -- callers -------------------------------------------------------------------------------------------------
    def seen(self, method, path, reply):
        if reply.status >= 500 and reply.status != 503:
            self.unexpected.append("%s %s: %r" % (method, path, reply))

    def password(self, user):
        with open("%s/%s-openrc" % (self.state, user)) as f:
            return re.search(r"OS_PASSWORD='?([^'\n]*)'?", f.read()).group(1)

    def login(self, user, password=None, project=None, scope=None):
        """A Client with a token; scope overrides the project scope ("unscoped" or a dict)."""
        client = Client(self)
        identity = {"methods": ["password"], "password": {"user": {"name": user, "domain": {"id": "default"}, "password": password or self.password(user)}}}
        if scope is None:
            scope = {"project": {"name": project or user, "domain": {"id": "default"}}}
        r = client.post("/identity/v3/auth/tokens", {"auth": {"identity": identity, "scope": scope}})
        assert r.status == 201, r
        client.token = r.headers["x-subject-token"]
        client.project_id = r.json["token"].get("project", {}).get("id")
        client.user_id = r.json["token"]["user"]["id"]
        return client

    def anonymous(self):
        return Client(self)

    def new_tenant(self, name=None, role="member"):
        """A new project with one user who has the role; its Client."""
        name = name or "t-" + uuid.uuid4().hex[:8]
        admin = self.login("admin")
        p = admin.post("/identity/v3/projects", {"project": {"name": name, "domain_id": "default"}}).json["project"]
        u = admin.post("/identity/v3/users", {"user": {"name": name, "domain_id": "default", "password": "pw-" + name}}).json["user"]
        roles = admin.get("/identity/v3/roles?name=" + role).json["roles"]
        assert admin.put("/identity/v3/projects/%s/users/%s/roles/%s" % (p["id"], u["id"], roles[0]["id"])).status == 204
        admin.close()
        return self.login(name, "pw-" + name, name)

    def wait(self, test, seconds=10, what="it"):
        end = time.monotonic() + seconds
        while True:
            value = test()
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError("%s did not happen in %s s\n%s" % (what, seconds, self.tail()))
            time.sleep(0.02)

    def ctl(self, *args):
        return subprocess.run([NUVOLET, "ctl", *args] + self.settings(), capture_output=True, text=True, timeout=60)

    def doctor(self):
        """Findings of `nuvolet ctl doctor`; empty text when all is well."""
        r = self.ctl("doctor")
        return "" if r.returncode == 0 else r.stdout + r.stderr
