#!/usr/bin/python3
"""tests/integration/test_metadata_forwarded.py -- metadata by HTTP for guests of a host whose agent's socket is forwarded: no descriptors pass."""
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from own import ROOT, own_machine  # noqa: E402
own_machine(__file__)
import wire  # noqa: E402
from hosts import inside  # noqa: E402
from test_two_hosts import TwoHosts  # noqa: E402

AT, PORT = "169.254.169.254", 80
SCRIPT = b"#!/bin/sh\n" + b"echo a long line of the script\n" * 1500
BASE = "http://%s/openstack/latest/" % AT


class Forwarded(TwoHosts):
    """The first host's agent passes descriptors as ever; the second one's socket is reached through a program that copies bytes."""

    @classmethod
    def way_to(cls, host):
        return host.socket if host is cls.h1 else "/run/nuvolet/forwarded.sock"

    @classmethod
    def setUpClass(cls):
        cls.forwarder = None
        super().setUpClass()

    @classmethod
    def settings(cls, host):
        if host is cls.h2:
            cls.forward()
        return super().settings(host)

    @classmethod
    def forward(cls):
        here = "/run/nuvolet/forwarded.sock"
        if os.path.exists(here):
            os.unlink(here)
        cls.forwarder = subprocess.Popen([sys.executable, ROOT + "/tests/lib/forward.py", here, cls.h2.socket], stdout=subprocess.PIPE)
        cls.forwarder.stdout.readline()

    @classmethod
    def end_forwarder(cls):
        cls.forwarder.kill()
        cls.forwarder.wait()
        cls.forwarder.stdout.close()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.end_forwarder()

    def setUp(self):
        super().setUp()
        self.n = self.network()
        self.a, self.b = self.server(self.h1, self.n, SCRIPT), self.server(self.h2, self.n, SCRIPT)
        self.way(self.a, self.b)
        self.idle = self.fds()

    def tearDown(self):
        """However a test went, its connections leave nothing in the agent."""
        self.cloud.wait(lambda: self.fds() <= self.idle + 2, 15, "the agent's descriptors: %d, were %d" % (self.fds(), self.idle))
        super().tearDown()

    def fds(self):
        with open("/proc/%d/status" % self.agent_pid()) as f:
            threads = next(int(line.split()[1]) for line in f if line.startswith("Threads"))
        sockets = 0
        for fd in os.listdir("/proc/%d/fd" % self.agent_pid()):
            try:
                sockets += os.readlink("/proc/%d/fd/%s" % (self.agent_pid(), fd)).startswith("socket:")
            except OSError:
                pass
        self.assertLess(threads, 60)
        return sockets

    def agent_pid(self):
        return self.h2.agent.pid                       # nsenter executes the agent in its own place

    def way(self, *servers):
        for s in servers:
            s.run("ip route add %s via 10.0.0.2" % AT, check=False)

    def get(self, s, path, *more):
        return s.run("curl -fsS --max-time 10 %s %s" % (" ".join(more), BASE + path), check=False)

    def connect(self, s):
        c = inside("/run/netns/" + s.guest.name, lambda: socket.create_connection((AT, PORT), 10))
        self.addCleanup(c.close)
        return c

    def test_documents_of_the_right_guest(self):
        for s in (self.a, self.b):
            self.assertEqual(json.loads(self.get(s, "meta_data.json").stdout)["uuid"], s.id)
            self.assertEqual(self.get(s, "user_data").stdout.encode(), SCRIPT)
        r = self.get(self.b, "meta_data.json", "-H X-Forwarded-For:" + self.a.ip, "-H X-Instance-ID:" + self.a.id)         # MD-01, MD-02
        self.assertEqual(json.loads(r.stdout)["uuid"], self.b.id)
        c = self.server(self.h2, self.n)
        self.way(c)
        self.assertEqual(json.loads(self.get(c, "meta_data.json").stdout)["uuid"], c.id)
        self.assertEqual(self.get(c, "user_data").returncode, 22)

    def test_much_slowly_and_ends(self):
        """Some 1.4 MB over one connection to a guest that reads late, ended by the guest's half-close; and an upload that is refused."""
        c, want = self.connect(self.b), 30 * len(SCRIPT)
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        request = b"GET /openstack/latest/user_data HTTP/1.1\r\nHost: m\r\n\r\n"
        c.sendall(request * 29)
        time.sleep(1)                                  # what nobody reads waits in serve, not in the agent
        c.sendall(request.replace(b"Host: m\r\n", b"Host: m\r\nConnection: close\r\n"))
        rest = wire.rest(c)
        got = rest.count(b"echo a long line of the script\n") * 31 + rest.count(b"#!/bin/sh\n") * 10
        self.assertEqual((rest.count(b"HTTP/1.1 200"), got), (30, want))
        c = self.connect(self.b)
        c.sendall(b"GET /openstack HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n")
        c.shutdown(socket.SHUT_WR)
        self.assertIn(b"latest", wire.rest(c))
        r = self.b.run("head -c 1000000 /dev/zero | curl -sS -o /dev/null -w %%{http_code} --max-time 10 -H Expect: --data-binary @- %s" % (BASE + "password"))
        self.assertEqual(r.stdout, "413")

    def test_many_idle_ones_hurt_nobody(self):
        """MD-06: a guest with 300 connections has eight; its neighbour on the host is served meanwhile, and so is itself afterwards.  An unfinished request
        ends by serve's time limit."""
        c = self.server(self.h2, self.n)
        self.way(c)
        self.assertEqual(self.get(c, "meta_data.json").returncode, 0)
        idle = self.fds()

        def open_many():
            out = []
            for _ in range(300):
                try:
                    s = socket.create_connection((AT, PORT), 5)
                    s.sendall(b"GET /openstack HTTP/1.1\r\nHost:")
                    out.append(s)
                except OSError:
                    pass
            return out
        held = inside("/run/netns/" + self.b.guest.name, open_many)
        self.assertLess(self.fds() - idle, 2 * 8 + 8)
        for _ in range(3):
            begin = time.monotonic()
            self.assertEqual(json.loads(self.get(c, "meta_data.json").stdout)["uuid"], c.id)
            self.assertLess(time.monotonic() - begin, 5)
        stalled = held[0]
        stalled.settimeout(20)
        self.assertNotIn(b" 200 ", stalled.recv(65536))
        for s in held:
            s.close()
        self.cloud.wait(lambda: self.get(self.b, "meta_data.json").returncode == 0, 15, "the guest itself")

    def test_serve_and_forwarder_restarted(self):
        stalled = [self.connect(self.b) for _ in range(3)]
        for s in stalled:
            s.sendall(b"GET /openstack HTTP/1.1\r\nHost: m\r\n\r\n")
            self.assertIn(b"latest", s.recv(65536))
        self.cloud.kill()
        for s in stalled:                              # kept alive, and ended with serve
            self.assertEqual(s.recv(65536), b"")
        self.assertNotEqual(self.get(self.b, "meta_data.json").returncode, 0)
        self.cloud.start()
        self.admin = self.cloud.login("admin")
        for s in (self.a, self.b):
            self.cloud.wait(lambda: self.get(s, "meta_data.json").returncode == 0, 15, "metadata after the restart of serve")
        self.end_forwarder()
        self.assertNotEqual(self.get(self.b, "meta_data.json").returncode, 0)
        self.forward()
        self.cloud.wait(lambda: self.get(self.b, "meta_data.json").returncode == 0, 15, "metadata through the new forwarder")
        self.h2.kill_agent()
        self.h2.start_agent(*self.h2.options)
        self.cloud.wait(lambda: self.get(self.b, "meta_data.json").returncode == 0, 15, "metadata from the new agent")
        self.idle = self.fds() + 2

    def test_who_attaches(self):
        """A token that nobody was given is refused, as is one that is not the first word of a connection; a host speaks for its own guests only."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.h2.socket)
            s.settimeout(5)
            wire.send(s, {"id": 1, "verb": "metadata.attach", "args": {"token": self.b.id}})
            self.assertEqual(s.recv(100), b"")
            with self.assertRaisesRegex(wire.WireError, "no verb"):
                wire.call(self.h2.socket, "nothing")
        # What an agent that was broken into would say: its own network, an address of the other host's guest.
        self.assertEqual(self.claim(self.a, self.b), {self.a.id: b"404", self.b.id: b"200"})

    def claim(self, *servers):
        """Status of requests by a false agent of h2 that says that these ask, each with its id as the token."""
        self.end_forwarder()
        self.h2.kill_agent()
        os.unlink(self.h2.socket)
        self.forward()
        status = {}
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.h2.socket)
            listener.listen(8)
            listener.settimeout(10)

            def answer(c):
                with c, contextlib.suppress(OSError):        # its end
                    speak(c)

            def speak(c):
                first = wire.receive(c)
                if first.get("verb") == "metadata.attach":
                    c.sendall(b"GET /openstack/latest/meta_data.json HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n")
                    status[first["args"]["token"]] = c.recv(65536).split()[1]
                    return
                for s in servers:
                    wire.send(c, {"event": "metadata.waiting", "data": {"token": s.id, "network": self.n["id"], "address": s.ip}})
                while True:
                    wire.receive(c)
            end = time.monotonic() + 15
            while len(status) < len(servers) and time.monotonic() < end:
                try:
                    c = listener.accept()[0]
                except TimeoutError:
                    continue
                c.settimeout(5)
                threading.Thread(target=answer, args=(c,), daemon=True).start()
                listener.settimeout(0.2)
        self.h2.start_agent(*self.h2.options)
        self.cloud.wait(lambda: self.get(self.b, "meta_data.json").returncode == 0, 15, "the true agent")
        self.idle = self.fds() + 2
        return status


def load_tests(loader, tests, pattern):
    return loader.loadTestsFromTestCase(Forwarded)       # not again what was imported


if __name__ == "__main__":
    unittest.main()
