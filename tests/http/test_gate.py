"""The HTTP server alone (tests/http/http_echo.c), attacked through raw sockets: hardening rows HTTP-01 … HTTP-17 and MD-06."""
import array
import collections
import concurrent.futures
import hashlib
import json
import os
import re
import resource
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from own import until

BUILD = os.environ.get("NUVOLET_BUILD", os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "build"))
SANITIZED = "asan" in BUILD or "tsan" in BUILD
IO_THREADS = min(max(len(os.sched_getaffinity(0)), 2), 8)


class Echo:
    """One http_echo process."""

    def __init__(self, *args):
        self.proc = subprocess.Popen([os.path.join(BUILD, "http_echo"), *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.DEVNULL if not SANITIZED else None)
        self.port = int(self.proc.stdout.readline())

    def connect(self, timeout=20):
        s = socket.create_connection(("127.0.0.1", self.port), timeout)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def stop(self):
        self.proc.stdin.close()
        code = self.proc.wait(30)
        self.proc.stdout.close()
        return code

    def rss(self):
        with open(f"/proc/{self.proc.pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) * 1024

    def metric(self, name):
        text = get(self, "/metrics")[2].decode()
        return int(re.search(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\d+)$", text, re.M).group(1))


def read_reply(s, head=False):
    """(status, headers, body) of the next reply; (None, {}, rest) if the server closed instead."""
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            more = s.recv(65536)
        except ConnectionResetError:
            more = b""
        if not more:
            return None, {}, data
        data += more
        while data.startswith(b"HTTP/1.1 100 Continue\r\n\r\n"):
            data = data[25:]
    top, body = data.split(b"\r\n\r\n", 1)
    lines = top.decode().split("\r\n")
    headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
    want = 0 if head else int(headers.get("content-length", 0))
    while len(body) < want:
        more = s.recv(65536)
        if not more:
            break
        body += more
    return int(lines[0].split()[1]), headers, body


def closed(s, within=5):
    """True if the server ends the connection."""
    s.settimeout(within)
    try:
        while s.recv(65536):
            pass
        return True
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def ask(echo, raw, head=False):
    with echo.connect() as s:
        s.sendall(raw if isinstance(raw, bytes) else raw.encode("latin-1"))
        return read_reply(s, head)


def get(echo, target, method="GET", extra=""):
    return ask(echo, f"{method} {target} HTTP/1.1\r\nHost: a\r\n{extra}\r\n", method == "HEAD")


def serves_again(connect, target):
    """Once the server has seen that earlier connections are closed; until then it ends what is one too many."""
    def answers():
        try:
            with connect() as s:
                s.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % target)
                return read_reply(s)[0] == 200
        except OSError:
            return False
    until("an answer", 10, answers, 0.1)


class Base(unittest.TestCase):
    args = ()

    @classmethod
    def setUpClass(cls):
        cls.echo = Echo(*cls.args)

    @classmethod
    def tearDownClass(cls):
        code = cls.echo.stop()
        if code:
            raise AssertionError(f"http_echo ended with {code}")

    def settled(self):
        """All connections but the one that asks are gone."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.echo.metric("nuvolet_http_connections") == 1:
                return
            time.sleep(0.2)
        self.fail("connections are left")

    def refused(self, raw, statuses=(400,)):
        """One error reply, then the end; and no second reply, whatever was hidden behind the request."""
        with self.echo.connect() as s:
            s.sendall(raw if isinstance(raw, bytes) else raw.encode("latin-1"))
            status, headers, _ = read_reply(s)
            self.assertIn(status, (*statuses,), raw[:200])
            self.assertEqual(headers.get("connection", "close").lower(), "close")
            s.settimeout(5)
            try:
                self.assertEqual(s.recv(100), b"", raw[:200])
            except ConnectionResetError:
                pass


class Plain(Base):
    def test_get(self):
        status, headers, body = get(self.echo, "/a/b?x=1&y=%20z&x=2&flag&&w=a%2Fb+c", extra="X-Test: t\r\n")
        got = json.loads(body)
        self.assertEqual(status, 200)
        self.assertEqual((got["method"], got["path"], got["client"]), ("GET", "/a/b", "127.0.0.1"))
        self.assertEqual(got["query"], ["x", "1", "y", " z", "x", "2", "flag", "", "w", "a/b c"])
        self.assertEqual(got["headers"]["X-Test"], "t")
        self.assertEqual(headers["content-type"], "application/json")
        self.assertEqual(headers["x-content-type-options"], "nosniff")
        self.assertEqual(headers["x-echo"], "yes")
        self.assertEqual(int(headers["content-length"]), len(body))

    def test_decoded_path(self):
        self.assertEqual(json.loads(get(self.echo, "/caf%C3%A9/a%20b")[2])["path"], "/café/a b")

    def test_head_is_get_without_body(self):
        status, headers, body = get(self.echo, "/bytes/1234", "HEAD")
        self.assertEqual((status, headers["content-length"], body), (200, "1234", b""))

    def test_keep_alive_and_pipelining(self):
        with self.echo.connect() as s:
            for n in range(50):
                s.sendall(f"GET /bytes/{n} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                self.assertEqual(len(read_reply(s)[2]), n)
            s.sendall(b"GET /sleep/50 HTTP/1.1\r\nHost: a\r\n\r\nGET /quick/7 HTTP/1.1\r\nHost: a\r\n\r\n")
            data = b""
            while data.count(b"HTTP/1.1 200") < 2 or not data.endswith(b"x" * 7):
                data += s.recv(65536)
            self.assertLess(data.index(b"slept"), data.index(b"xxxxxxx"))

    def test_body(self):
        for n in (0, 1, 5000, 114688):
            body = os.urandom(n)
            got = json.loads(ask(self.echo, b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % n + body)[2])
            self.assertEqual((got["length"], got["sha256"]), (n, hashlib.sha256(body).hexdigest()))

    def test_chunked_body(self):
        raw = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\nA;ext=1\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"
        got = json.loads(ask(self.echo, raw)[2])
        self.assertEqual((got["length"], got["sha256"]), (13, hashlib.sha256(b"abc0123456789").hexdigest()))

    def test_expect_continue(self):
        with self.echo.connect() as s:
            s.sendall(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
            self.assertEqual(s.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
            s.sendall(b"abc")
            self.assertEqual(json.loads(read_reply(s)[2])["length"], 3)

    def test_no_content_and_missing_reply(self):
        for status in (204, 304, 202, 404):
            got, headers, body = get(self.echo, f"/status/{status}")
            self.assertEqual((got, body), (status, b""))
            self.assertNotIn("content-type", headers)
        self.assertEqual(get(self.echo, "/silent")[0], 500)

    def test_file_reply(self):
        for n in (0, 5, 3_000_000):
            whole = b"".join(bytes([97 + i % 26]) * 4096 for i in range((n + 10) // 4096 + 2))
            status, headers, body = get(self.echo, f"/file/{n}")
            self.assertEqual((status, headers["content-type"]), (200, "application/octet-stream"))
            self.assertEqual(body, whole[10:10 + n])

    def test_http_1_0(self):
        status, _, body = ask(self.echo, "GET /bytes/5 HTTP/1.0\r\n\r\n")
        self.assertEqual((status, body), (200, b"xxxxx"))

    def test_slow_handler_stalls_nobody(self):
        """More slow requests than I/O threads, on every path a request can take; the others go on."""
        def slow(target):
            return get(self.echo, target)[0]
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            jobs = [pool.submit(slow, "/sleep/1500") for _ in range(3)]
            time.sleep(0.2)
            worst = n = 0
            while not any(j.done() for j in jobs):
                begin = time.monotonic()
                self.assertEqual(get(self.echo, "/bytes/10")[0], 200)
                worst, n = max(worst, time.monotonic() - begin), n + 1
            self.assertEqual([j.result() for j in jobs], [200] * 3)
        self.assertGreater(n, 10)
        self.assertLess(worst, 0.5)

    def test_quick_that_is_slow_loses_its_place(self):
        before = self.echo.metric("nuvolet_http_inline_total")
        self.assertEqual(get(self.echo, "/quicksleep/40")[0], 200)
        for _ in range(5):
            get(self.echo, "/quick/1")
        self.assertEqual(self.echo.metric("nuvolet_http_inline_total"), before + 1)
        time.sleep(1.1)
        get(self.echo, "/quick/1")
        self.assertEqual(self.echo.metric("nuvolet_http_inline_total"), before + 2)


class Smuggling(Base):
    """HTTP-01: where two readers could disagree on the end of a request, there is no request."""
    second = "GET /second HTTP/1.1\r\nHost: a\r\n\r\n"

    def framing(self, headers, body=""):
        self.refused(f"POST /first HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}{self.second}")

    def test_content_length_twice(self):
        self.framing("Content-Length: 5\r\nContent-Length: 0\r\n", "hello")
        self.framing("Content-Length: 0\r\nContent-Length: 5\r\n", "hello")
        self.framing("Content-Length: 5\r\ncontent-length: 5\r\n", "hello")

    def test_content_length_and_transfer_encoding(self):
        self.framing("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")
        self.framing("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n")

    def test_transfer_encodings(self):
        for value in ("xchunked", "chunked, identity", "gzip, chunked", "identity", "chunked\r\nTransfer-Encoding: chunked", "\"chunked\"", ""):
            self.framing(f"Transfer-Encoding: {value}\r\n", "0\r\n\r\n")
        self.refused("POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")

    def test_bad_content_lengths(self):
        for value in ("-1", "+5", "5, 5", "0x5", "5 5", "", "٥", "99999999999999999999", "9223372036854775808"):
            with self.subTest(value):
                self.refused(f"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {value}\r\n\r\n".encode(), (400, 413))

    def test_hosts(self):
        self.refused("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        self.refused("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n")
        self.refused("GET / HTTP/1.1\r\nX-Test: 1\r\n\r\n")
        self.refused("GET / HTTP/1.1\r\n\r\n")
        for value in ("", "a b", "a/b", "a@b", "a:99999", "a:", "[::1", "[]", "a:b", "a\"b", "ä"):
            with self.subTest(value):
                self.refused(f"GET / HTTP/1.1\r\nHost: {value}\r\n\r\n".encode())
        for value in ("a", "a.b:80", "127.0.0.1:8774", "[::1]:1", "[fe80::1]", "a_b-c"):
            self.assertEqual(ask(self.echo, f"GET / HTTP/1.1\r\nHost: {value}\r\n\r\n")[0], 200)


class Targets(Base):
    """HTTP-02, MD-05: one decoder, and it refuses what it does not understand."""

    def test_refused_paths(self):
        for path in ("/%00", "/a%00b", "/a%2fb", "/a%2Fb", "/a%5cb", "/a\\b", "//", "/a//b", "//a", "/a/./b", "/a/../b", "/..", "/.", "/a/..", "/%2e%2e/a",
                     "/%2E", "/a;x", "/a;x=1/b", "/%c0%af", "/%e0%80%af", "/%ff", "/%zz", "/%", "/%4", "/%0a", "/%0d%0aX:%20y", "/%7f", "/a#b", "a",
                     "*", "http://a/b", "/\x80", "/é", "/x?a=%00", "/x?a=%zz", "/x?%0d%0a=1", "/x?a=%c0%af", "/x?a=\x01",
                     "/latest/meta-data/../../../etc/passwd", "/latest/%2e%2e/%2e%2e/x"):
            with self.subTest(path):
                self.refused(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")

    def test_raw_nul(self):
        self.refused(b"GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n")
        self.refused(b"GET /a\0 HTTP/1.1\r\nHost: a\r\n\r\n")
        self.refused(b"GET /a?b=\0c HTTP/1.1\r\nHost: a\r\n\r\n")

    def test_good_paths(self):
        for path, want in (("/", "/"), ("/a/", "/a/"), ("/...", "/..."), ("/a..b", "/a..b"), ("/%3b", "/;"), ("/%25", "/%"), ("/a,b:c@d", "/a,b:c@d"),
                           ("/%252e", "/%2e"), ("/a?x=/../b//c;d", "/a")):
            self.assertEqual(json.loads(get(self.echo, path)[2])["path"], want)

    def test_long_paths(self):
        self.assertEqual(get(self.echo, "/" + "a" * 2000)[0], 200)
        self.assertEqual(get(self.echo, "/" + "a" * 8191)[0], 200)
        for n in (8192, 9000, 15500, 16000, 16200, 16300, 16350, 16380, 16500, 65536):
            self.refused("GET /" + "a" * n + " HTTP/1.1\r\nHost: a\r\nX-Auth-Token: " + "t" * 200 + "\r\n\r\n", (414,))

    def test_query_parameters(self):
        for n in (1, 64, 65, 75, 1000, 4095):                      # as many as fit into 8 KiB
            query = "&".join("ab"[i % 2] for i in range(n)) + "&" * (8190 - 2 * n + 1)
            self.assertEqual(len(json.loads(get(self.echo, "/?" + query)[2])["query"]), 2 * n)
        for query in ("a&" * 4096, "a=" + "b" * 8190, "a=1&" * 3000):
            begin = time.monotonic()
            self.refused(f"GET /?{query} HTTP/1.1\r\nHost: a\r\n\r\n", (414,))
            self.assertLess(time.monotonic() - begin, 5)

    def test_long_heads_have_an_answer(self):
        """Whatever fits or does not fit into the memory of a connection."""
        for n in range(13000, 16600, 97):
            with self.subTest(n):
                self.assertIn(ask(self.echo, f"GET /?{'a&' * 100} HTTP/1.1\r\nHost: a\r\nX: {'b' * n}\r\n\r\n")[0], (200, 431))


class Grammar(Base):
    """HTTP-03: lines end in CR LF, names in a colon, and nothing is folded."""

    def test_lenient_forms(self):
        for raw in ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\tb\r\n\r\n", "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
                    "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX\t: 1\r\n\r\n", "GET / HTTP/1.1\nHost: a\n\n",
                    "GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\n",
                    "GET / HTTP/1.1\nHost: a\r\n\r\n", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
                    "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "GET / x HTTP/1.1\r\nHost: a\r\n\r\n", "GET /\r\n\r\n", "GET\r\n\r\n",
                    "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
                    "GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
                    "GET / HTTP/1.1\r\nHost: a\r\nX(y: 1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\0\0X: b\r\n\r\n", " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                    "GET / http/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
                    "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"):
            with self.subTest(raw):
                self.refused(raw, (400, 505, None))

    def test_versions(self):
        for version in ("HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "HTTP/3.0"):
            self.refused(f"GET / {version}\r\nHost: a\r\n\r\n", (400, 505))
        self.refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505))

    def test_expectations(self):
        self.refused("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100\r\n\r\nx", (417,))

    def test_methods(self):
        for method, status in (("TRACE", 405), ("CONNECT", 405), ("OPTIONS", 405), ("get", 501), ("Get", 501), ("BREW", 501), ("G" * 1024, 501), ("GE\x01", 501)):
            with self.subTest(method[:20]):
                self.refused(f"{method} / HTTP/1.1\r\nHost: a\r\n\r\n", (status,))

    def test_error_form(self):
        _, headers, body = get(self.echo, "/a%2fb")
        error = json.loads(body)["error"]
        self.assertEqual((error["code"], error["title"]), (400, "Bad Request"))
        self.assertTrue(error["message"])
        self.assertEqual(headers["content-type"], "application/json")

    def test_header_bombs(self):
        """HTTP-07."""
        self.refused("GET / HTTP/1.1\r\nHost: a\r\nX: " + "a" * 65536 + "\r\n\r\n", (431,))
        self.refused("GET / HTTP/1.1\r\nHost: a\r\n" + "".join(f"X{i}: 1\r\n" for i in range(1000)) + "\r\n", (431,))
        self.refused("GET / HTTP/1.1\r\nHost: a\r\n" + "".join(f"X{i}: 1\r\n" for i in range(64)) + "\r\n", (431,))
        self.refused("GET / HTTP/1.1\r\nHost: a\r\n" + "".join(f"Cookie: a{i}={'b' * 50}\r\n" for i in range(100)) + "\r\n", (431,))
        self.assertEqual(ask(self.echo, "GET / HTTP/1.1\r\nHost: a\r\n" + "".join(f"X{i}: 1\r\n" for i in range(63)) + "\r\n")[0], 200)


class Bodies(Base):
    args = ("-r", "2", "-H", "2")

    def test_too_large(self):
        self.refused(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 114689\r\n\r\n" + b"x" * 114689, (413,))
        self.refused(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3000000, (413,))
        self.refused(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\nExpect: 100-continue\r\n\r\n", (413,))
        self.refused(b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"8000\r\n" + b"x" * 32768 + b"\r\n" + (b"8000\r\n" + b"x" * 32768 + b"\r\n") * 4, (413,))

    def test_chunk_bombs(self):
        """HTTP-08."""
        begin = self.echo.metric("cpu_us")
        start = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        with self.echo.connect() as s:
            s.sendall(start)
            try:
                for _ in range(1000):
                    s.sendall(b"1\r\nx\r\n" * 1000)
            except OSError:
                pass
            self.assertIn(read_reply(s)[0], (400, 413, None))
        for body in (b"1;" + b"e" * 20000 + b"\r\nx\r\n0\r\n\r\n", b"FFFFFFFFFFFFFFFF\r\nxxx", b"10000000000000000\r\nxxx", b"-1\r\nx\r\n", b"1\r\nxy\r\n0\r\n\r\n",
                     b"0x1\r\nx\r\n0\r\n\r\n", b" 1\r\nx\r\n0\r\n\r\n", b"z\r\n", b"3\r\nabc\r\n"):
            with self.subTest(body[:20]), self.echo.connect() as s:
                s.sendall(start + body)
                self.assertIn(read_reply(s)[0], (400, 408, 413, 500, None))
                self.assertTrue(closed(s))
        self.assertLess(self.echo.metric("cpu_us") - begin, 1_000_000 * (8 if SANITIZED else 1))

    def test_slow_head(self):
        """M8: one byte now and then keeps libmicrohttpd waiting for ever."""
        with self.echo.connect() as line, self.echo.connect() as head, self.echo.connect() as used:
            used.sendall(b"GET /bytes/1 HTTP/1.1\r\nHost: a\r\n\r\n")
            read_reply(used)
            head.sendall(b"GET / HTTP/1.1\r\n")
            begin = time.monotonic()
            dead = {}
            while len(dead) < 3 and time.monotonic() - begin < 20:
                for s in (line, head, used):
                    if s in dead:
                        continue
                    try:
                        s.send(b"X")
                        s.settimeout(0.01)
                        if not s.recv(1000):
                            dead[s] = time.monotonic() - begin
                    except TimeoutError:
                        pass
                    except OSError:
                        dead[s] = time.monotonic() - begin
                time.sleep(0.4)
            self.assertEqual(len(dead), 3)
            self.assertLess(dead[head], 5)

    def test_slow_body(self):
        """HTTP-05."""
        with self.echo.connect() as s, self.echo.connect() as up:
            s.sendall(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n")
            up.sendall(b"PUT /up/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n")
            begin = time.monotonic()
            replies = {}
            while len(replies) < 2 and time.monotonic() - begin < 15:
                for c in (s, up):
                    if c in replies:
                        continue
                    c.settimeout(0.05)
                    try:
                        c.send(b"x")
                        replies[c] = read_reply(c)[0]
                    except TimeoutError:
                        pass
                    except OSError:
                        replies[c] = None
                time.sleep(0.2)
            self.assertEqual(len(replies), 2)
            self.assertIn(replies[s], (408, None))
            self.assertLess(time.monotonic() - begin, 10)

    def test_slow_readers(self):
        """HTTP-05: 200 readers that do not read a 4 MB reply cost little memory and are let go."""
        get(self.echo, "/bytes/4000000")
        before = self.echo.rss()
        conns, most = [], 0
        for i in range(200):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect(("127.0.0.1", self.echo.port))
            s.sendall(b"GET /bytes/4000000 HTTP/1.1\r\nHost: a\r\n\r\n")
            conns.append(s)
            if i % 20 == 0:
                most = max(most, self.echo.rss())
        time.sleep(0.5)
        most = max(most, self.echo.rss())
        self.assertEqual(get(self.echo, "/bytes/10")[0], 200)
        if not SANITIZED:
            self.assertLess((most - before) / 1e6, 30)
        self.settled()
        for s in conns:
            s.close()

    def test_reader_at_its_own_pace(self):
        """A slow reader that makes the minimum rate gets everything."""
        with self.echo.connect() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            s.sendall(b"GET /bytes/2000000 HTTP/1.1\r\nHost: a\r\n\r\n")
            got = 0
            while got < 2000000:
                more = s.recv(20000)
                self.assertTrue(more)
                got += len(more)
                time.sleep(0.03)


class Streams(Base):
    args = ("-r", "3")
    put = "PUT /up/x HTTP/1.1\r\nHost: a\r\nX-Test: kept\r\n"

    def test_upload(self):
        for n in (1, 100_000, 20_000_000):
            body = os.urandom(n)
            with self.echo.connect() as s:
                s.sendall(f"{self.put}Content-Length: {n}\r\n\r\n".encode() + body)
                status, _, reply = read_reply(s)
                got = json.loads(reply)
                self.assertEqual((status, got["bytes"], got["sha256"], got["x_test"]), (201, n, hashlib.sha256(body).hexdigest(), "kept"))
                s.sendall(b"GET /bytes/3 HTTP/1.1\r\nHost: a\r\n\r\n")
                self.assertEqual(read_reply(s)[2], b"xxx")

    def test_empty(self):
        for framing in ("Content-Length: 0\r\n", "", "Transfer-Encoding: chunked\r\n"):
            raw = f"{self.put}{framing}\r\n" + ("0\r\n\r\n" if "chunked" in framing else "")
            self.assertEqual(json.loads(ask(self.echo, raw)[2])["bytes"], 0)

    def test_chunked(self):
        body = os.urandom(3_000_000)
        pieces = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[i:i + 70000] for i in range(0, len(body), 70000)))
        got = json.loads(ask(self.echo, f"{self.put}Transfer-Encoding: chunked\r\n\r\n".encode() + pieces + b"0\r\n\r\n")[2])
        self.assertEqual((got["bytes"], got["sha256"]), (len(body), hashlib.sha256(body).hexdigest()))

    def test_slow_client(self):
        with self.echo.connect() as s:
            s.sendall(f"{self.put}Content-Length: 100000\r\n\r\n".encode())
            for _ in range(10):
                s.sendall(b"y" * 10000)
                time.sleep(0.4)
            self.assertEqual(json.loads(read_reply(s)[2])["bytes"], 100000)

    def test_slow_handler_holds_the_client_back(self):
        """The ring is bounded: memory stays, the client waits, nothing is lost, and the wait does not count against the client."""
        before = self.echo.rss()
        body = os.urandom(6_000_000)
        most = 0
        with self.echo.connect(60) as s:
            sender = threading.Thread(target=s.sendall, args=(f"PUT /up/x?pause=60000 HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body,))
            sender.start()
            while sender.is_alive():
                most = max(most, self.echo.rss())
                time.sleep(0.05)
            got = json.loads(read_reply(s)[2])
            sender.join()
        self.assertEqual((got["bytes"], got["sha256"]), (len(body), hashlib.sha256(body).hexdigest()))
        if not SANITIZED:
            self.assertLess((most - before) / 1e6, 3)

    def test_client_goes_away(self):
        for pause in ("", "?pause=20000"):
            with self.echo.connect() as s:
                s.sendall(f"PUT /up/x{pause} HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n".encode() + b"x" * 700000)
                time.sleep(0.2)
        self.settled()

    def test_client_stalls(self):
        with self.echo.connect() as s:
            s.sendall(f"{self.put}Content-Length: 5000000\r\n\r\n".encode() + b"x" * 1000)
            self.assertEqual(read_reply(s)[0], 408)
            self.assertTrue(closed(s))

    def test_refused_before_the_body(self):
        with self.echo.connect() as s:
            s.sendall(b"PUT /up/x?refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\nExpect: 100-continue\r\n\r\n")
            data = s.recv(1000)
            self.assertTrue(data.startswith(b"HTTP/1.1 401"), data)
            self.assertTrue(closed(s))
        self.refused(b"PUT /up/x?refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3000000, (401,))

    def test_continue_when_wanted(self):
        with self.echo.connect() as s:
            s.sendall(f"{self.put}Content-Length: 3\r\nExpect: 100-continue\r\n\r\n".encode())
            self.assertEqual(s.recv(1000), b"HTTP/1.1 100 Continue\r\n\r\n")
            s.sendall(b"abc")
            self.assertEqual(json.loads(read_reply(s)[2])["bytes"], 3)

    def test_handler_gives_up_half_way(self):
        self.refused(b"PUT /up/x?first=100000 HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n" + b"x" * 4000000, (507,))
        with self.echo.connect() as s:           # also while the client has stopped sending
            s.sendall(b"PUT /up/x?first=1000 HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n" + b"x" * 2000)
            begin = time.monotonic()
            self.assertEqual(read_reply(s)[0], 507)
            self.assertLess(time.monotonic() - begin, 1)

    def test_tiny_chunks(self):
        """HTTP-08, where no limit of the body would end it."""
        with self.echo.connect() as s:
            s.sendall(f"{self.put}Transfer-Encoding: chunked\r\n\r\n".encode())
            try:
                for _ in range(100):
                    s.sendall(b"1\r\nx\r\n" * 1000)
            except OSError:
                pass
            s.settimeout(1)
            try:
                self.assertIn(read_reply(s)[0], (400, None))
            except TimeoutError:
                self.fail("still listening")

    def test_limit(self):
        self.refused(b"PUT /up/max/1000 HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001, (413,))
        self.refused(b"PUT /up/max/1000 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n", (413,))

    def test_uploads_leave_workers_to_others(self):
        conns = []
        for _ in range(6):                       # four workers: two upload at a time, the others wait
            s = self.echo.connect()
            s.sendall(f"{self.put}Content-Length: 1000000\r\n\r\n".encode() + b"x" * 5000)
            conns.append(s)
        time.sleep(0.2)
        begin = time.monotonic()
        for _ in range(20):
            self.assertEqual(get(self.echo, "/bytes/5")[0], 200)
            self.assertEqual(get(self.echo, "/heavy/1")[0], 200)         # a login
        self.assertLess(time.monotonic() - begin, 1.5)
        for s in conns:
            s.close()
        self.settled()

    def test_logins_leave_workers_to_uploads(self):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            jobs = [pool.submit(get, self.echo, "/heavy/700") for _ in range(8)]
            time.sleep(0.1)
            begin = time.monotonic()
            self.assertEqual(json.loads(ask(self.echo, f"{self.put}Content-Length: 5\r\n\r\nhello")[2])["bytes"], 5)
            self.assertLess(time.monotonic() - begin, 0.6)
            for job in jobs:
                self.assertEqual(job.result()[0], 200)

    def test_memory_stays(self):
        blob = b"x" * 65536
        with self.echo.connect() as s:
            s.sendall(f"{self.put}Content-Length: {65536 * 3000}\r\n\r\n".encode())
            before = self.echo.rss()
            for _ in range(3000):
                s.sendall(blob)
            self.assertEqual(json.loads(read_reply(s)[2])["bytes"], 65536 * 3000)
        if not SANITIZED:
            self.assertLess((self.echo.rss() - before) / 1e6, 3)


class Limits(Base):
    args = ("-w", "2", "-q", "4", "-c", "60", "-n", "50", "-i", "3")

    def test_overload(self):
        """More requests than workers and queue: told so at once, without a worker."""
        conns = [self.echo.connect() for _ in range(20)]
        for s in conns:
            s.sendall(b"POST /sleep/700 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        replies = [read_reply(s) for s in conns]
        statuses = [r[0] for r in replies]
        self.assertGreaterEqual(statuses.count(503), 10)
        self.assertGreaterEqual(statuses.count(200), 4)
        self.assertEqual(statuses.count(503) + statuses.count(200), 20)
        self.assertTrue(all("retry-after" in r[1] for r in replies if r[0] == 503))
        for s in conns:
            s.close()

    def test_per_source(self):
        """HTTP-06."""
        self.settled()
        conns = [self.echo.connect() for _ in range(49)]
        time.sleep(0.3)
        with self.echo.connect() as ok:
            ok.sendall(b"GET /bytes/1 HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(read_reply(ok)[0], 200)
            with self.echo.connect() as s:
                self.assertTrue(closed(s, 2))
        for s in conns:
            s.close()
        serves_again(self.echo.connect, b"/bytes/1")

    def test_idle_end(self):
        with self.echo.connect() as s:
            s.sendall(b"GET /bytes/1 HTTP/1.1\r\nHost: a\r\n\r\n")
            read_reply(s)
            self.assertTrue(closed(s, 10))


class Shedding(Base):
    args = ("-c", "60")

    def test_idle_connections_make_room(self):
        conns = [self.echo.connect() for _ in range(400)]
        time.sleep(0.3)
        for _ in range(20):
            self.assertEqual(get(self.echo, "/bytes/1")[0], 200)
        self.assertLess(self.echo.metric("nuvolet_http_connections"), 130)
        for s in conns:
            s.close()


class Sharing(Base):
    args = ("-w", str(IO_THREADS + 2))

    def threads(self, n):
        """n connections at once: how many of them each thread has."""
        conns = [self.echo.connect() for _ in range(n)]
        for s in conns:
            s.sendall(b"GET /quick/1 HTTP/1.1\r\nHost: a\r\n\r\n")
        counts = collections.Counter(read_reply(s)[1]["x-thread"] for s in conns)
        for s in conns:
            s.close()
        return sorted(counts.values())

    def test_connections_are_shared_out(self):
        """However fast they come, each I/O thread gets as many as the others.  (Quick requests that seem slow, on a busy machine, are the workers'
        for a second: then they are asked anew.)"""
        for _ in range(5):
            self.settled()
            counts = self.threads(4 * IO_THREADS)
            if len(counts) == IO_THREADS and counts[-1] - counts[0] <= 2:
                return
            time.sleep(1.1)
        self.fail("connections of each thread: %s" % counts)

    def test_slow_handlers_stall_no_kept_connection(self):
        """More slow requests than I/O threads: who is connected already is served as well."""
        for _ in range(5):
            self.settled()
            conns = [self.echo.connect() for _ in range(4 * IO_THREADS)]
            for s in conns:
                s.sendall(b"GET /bytes/1 HTTP/1.1\r\nHost: a\r\n\r\n")
            for s in conns:
                read_reply(s)
            slow, others = conns[:IO_THREADS + 1], conns[IO_THREADS + 1:]
            for s in slow:
                s.sendall(b"GET /sleep/1000 HTTP/1.1\r\nHost: a\r\n\r\n")
            time.sleep(0.2)
            for s in others:
                begin = time.monotonic()
                s.sendall(b"GET /bytes/1 HTTP/1.1\r\nHost: a\r\n\r\n")
                self.assertEqual(read_reply(s)[0], 200)
                self.assertLess(time.monotonic() - begin, 0.5)
            for s in conns:
                s.close()


class Idle(Base):
    def test_idle_connections(self):
        """Keep-alive connections that have served a request cost less than 10 kB each."""
        for _ in range(50):
            get(self.echo, "/bytes/1500")
        before = self.echo.rss()
        conns = []
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
        for _ in range(2500):
            s = self.echo.connect()
            s.sendall(b"GET /bytes/1500 HTTP/1.1\r\nHost: a\r\n\r\n")
            conns.append(s)
            self.assertEqual(read_reply(s)[0], 200)  # one after the other: what many at once need for a moment is not what idle ones keep
        time.sleep(2.5)                              # an idle one gives its memory back within two seconds
        each = (self.echo.rss() - before) / len(conns)
        print(f"{each:.0f} bytes a connection", end=" ")
        if not SANITIZED:
            self.assertLess(each, 10_000)
        begin = self.echo.metric("cpu_us")
        time.sleep(4)
        self.assertLess(self.echo.metric("cpu_us") - begin, 400_000)
        for s in conns[::100]:
            s.sendall(b"GET /bytes/9 HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(read_reply(s)[2], b"x" * 9)
            s.sendall(b"GET /bytes/9?" + b"a" * 8000)
        for s in conns[1::5]:
            s.sendall(b"GET /bytes/9 HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(read_reply(s)[2], b"x" * 9)
        for s in conns[::100]:                                   # what has come of the next head is not given back
            s.sendall(b" HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(read_reply(s)[2], b"x" * 9)
        for s in conns:
            s.close()

    def test_unknown_targets_leave_nothing(self):
        """HTTP-13, as far as this layer goes."""
        def some(base):
            with self.echo.connect() as s:
                for i in range(3000):
                    s.sendall(f"GET /{base}{i}?k{i}=v HTTP/1.1\r\nHost: h{i}.example\r\n\r\n".encode())
                    read_reply(s)
        some("warm")
        before = self.echo.rss()
        for n in range(4):
            some(f"p{n}")
        if not SANITIZED:
            self.assertLess((self.echo.rss() - before) / 1e6, 1)


class Passed(unittest.TestCase):
    """Connections accepted elsewhere and passed with SCM_RIGHTS (the metadata listener's twin)."""

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.dir.name, "m.sock")
        self.echo = Echo("-s", self.path)
        self.agent = socket.socket(socket.AF_UNIX)
        self.agent.connect(self.path)
        self.listener = socket.create_server(("127.0.0.1", 0))

    def tearDown(self):
        self.agent.close()
        self.listener.close()
        self.assertEqual(self.echo.stop(), 0)
        self.assertFalse(os.path.exists(self.path))
        self.dir.cleanup()

    def guest(self, line):
        s = socket.create_connection(self.listener.getsockname(), 5)
        inner, _ = self.listener.accept()
        text = line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
        self.agent.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [inner.fileno()]))])
        inner.close()
        return s

    net = "11111111-2222-3333-4444-555555555555"

    def test_identity_is_the_line_only(self):
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o660)
        for address in ("10.0.0.7", "fe80::1"):
            with self.guest({"network": self.net, "address": address}) as s:
                for _ in range(3):
                    s.sendall(b"GET /openstack HTTP/1.1\r\nHost: 169.254.169.254\r\nX-Forwarded-For: 10.0.0.9\r\n\r\n")
                    got = json.loads(read_reply(s)[2])
                    self.assertEqual((got["network"], got["client"]), (self.net, address))

    def test_many_at_once(self):
        conns = [self.guest({"network": self.net, "address": f"10.0.0.{i}"}) for i in range(1, 60)]
        for s in conns:
            s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        for i, s in enumerate(conns, 1):
            self.assertEqual(json.loads(read_reply(s)[2])["client"], f"10.0.0.{i}")
            s.close()

    def test_cap_by_source(self):
        """MD-06: eight a source; others are served."""
        conns = [self.guest({"network": self.net, "address": "10.0.0.7"}) for _ in range(20)]
        time.sleep(0.5)
        alive = 0
        for s in conns:
            try:
                s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                alive += read_reply(s)[0] == 200
            except OSError:
                pass
        self.assertEqual(alive, 8)
        with self.guest({"network": self.net, "address": "10.0.0.8"}) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(read_reply(s)[0], 200)
        for s in conns:
            s.close()
        serves_again(lambda: self.guest({"network": self.net, "address": "10.0.0.7"}), b"/")

    def test_bad_lines(self):
        for line in (b"not json\n", {"network": "x", "address": "10.0.0.1"}, {"network": self.net}, {"network": self.net, "address": "10.0.0"}, []):
            with self.guest(line) as s:
                self.assertTrue(closed(s))

    def test_unread_replies_end(self):
        """Of a stream that tells nothing of its reader's pace, as fetched connections are, at 1 s a period."""
        echo = Echo("-s", self.path + "2", "-r", "1")
        ours, inner = socket.socketpair()
        with ours, inner, socket.socket(socket.AF_UNIX) as agent:
            agent.connect(self.path + "2")
            text = json.dumps({"network": self.net, "address": "10.0.0.7"}).encode()
            agent.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [inner.fileno()]))])
            inner.close()
            ours.sendall(b"GET /bytes/8000000 HTTP/1.1\r\nHost: a\r\n\r\n")
            begin = time.monotonic()
            ended = select.poll()
            ended.register(ours, 0)                          # nothing is read: POLLHUP comes unasked
            self.assertTrue(ended.poll(20000))
            self.assertGreater(time.monotonic() - begin, 11)
        self.assertEqual(echo.stop(), 0)

    def test_gate_holds(self):
        with self.guest({"network": self.net, "address": "10.0.0.7"}) as s:
            s.sendall(b"GET /latest/../x HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(read_reply(s)[0], 400)
            self.assertTrue(closed(s))


class Stopping(unittest.TestCase):
    def test_running_requests_end(self):
        echo = Echo()
        with echo.connect() as busy, echo.connect() as idle, echo.connect() as half:
            idle.sendall(b"GET /bytes/1 HTTP/1.1\r\nHost: a\r\n\r\n")
            read_reply(idle)
            half.sendall(b"GET /by")
            busy.sendall(b"GET /sleep/1000 HTTP/1.1\r\nHost: a\r\n\r\n")
            time.sleep(0.3)
            begin = time.monotonic()
            stopper = threading.Thread(target=echo.stop)
            stopper.start()
            self.assertTrue(closed(idle))
            self.assertLess(time.monotonic() - begin, 0.5)
            status, headers, _ = read_reply(busy)
            self.assertEqual((status, headers.get("connection")), (200, "close"))
            stopper.join()
            self.assertLess(time.monotonic() - begin, 3)
        with self.assertRaises(OSError):
            echo.connect()
        self.assertEqual(echo.proc.returncode, 0)

    def test_stuck_handler_does_not_hold_it_for_ever(self):
        echo = Echo()
        with echo.connect() as s:
            s.sendall(b"GET /sleep/60000 HTTP/1.1\r\nHost: a\r\n\r\n")
            time.sleep(0.3)
            begin = time.monotonic()
            self.assertEqual(echo.stop(), 0)
            self.assertLess(time.monotonic() - begin, 9)


class Tls(unittest.TestCase):
    def test_round_trip_and_floor(self):
        import ssl
        with tempfile.TemporaryDirectory() as d:
            cert, key = os.path.join(d, "c.pem"), os.path.join(d, "k.pem")
            made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
                                   "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], capture_output=True, check=False)
            if made.returncode:
                self.skipTest("openssl could not make a certificate")
            echo = Echo("-C", cert, "-K", key)
            ctx = ssl.create_default_context(cafile=cert)
            body = os.urandom(2_000_000)
            with ctx.wrap_socket(echo.connect(), server_hostname="localhost") as s:
                self.assertIn(s.version(), ("TLSv1.2", "TLSv1.3"))
                s.sendall(b"PUT /up/x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                self.assertEqual(json.loads(read_reply(s)[2])["sha256"], hashlib.sha256(body).hexdigest())
                for n in (10, 300_000):
                    s.sendall(f"GET /bytes/{n} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                    self.assertEqual(len(read_reply(s)[2]), n)
                s.sendall(b"GET /file/200000 HTTP/1.1\r\nHost: a\r\n\r\n")
                self.assertEqual(len(read_reply(s)[2]), 200000)
            old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
            with self.assertRaises((ssl.SSLError, OSError)):
                old.wrap_socket(echo.connect(), server_hostname="localhost")
            self.assertEqual(echo.stop(), 0)


if __name__ == "__main__":
    signal.alarm(600)
    unittest.main()
