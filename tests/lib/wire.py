"""tests/lib/wire.py -- the agents' and the control socket's frames, from the other side."""
import json
import socket
import struct
import threading
import time
from own import PATIENCE


class WireError(Exception):
    pass


def send(s, message):
    """One frame."""
    text = json.dumps(message).encode()
    s.sendall(struct.pack(">I", len(text)) + text)


def receive(s):
    """The next frame; ConnectionResetError where there is none."""
    return json.loads(_read(s, struct.unpack(">I", _read(s, 4))[0]))


def rest(s):
    """All bytes until the other side ends."""
    return b"".join(iter(lambda: s.recv(65536), b""))


def call(path, verb, timeout=60, **args):
    """Asks once and returns the answer's "ok"; raises WireError with the message of an error answer."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout * PATIENCE)
        s.connect(path)
        send(s, {"id": 1, "verb": verb, "args": args})
        while True:
            frame = receive(s)
            if "event" in frame:
                continue
            if "ok" in frame:
                return frame["ok"]
            raise WireError(frame["error"] + ": " + frame["message"])


def _read(s, n):
    data = b""
    while len(data) < n:
        part = s.recv(n - len(data))
        if not part:
            raise ConnectionResetError("the other side closed the connection")
        data += part
    return data


class Events:
    """A second connection that collects an agent's events: [(monotonic time, event, data)].  It hears them once it has asked for something."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        send(self.socket, {"id": 1, "verb": "listening", "args": {}})
        receive(self.socket)
        self.seen = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        try:
            while True:
                frame = receive(self.socket)
                if "event" in frame:
                    self.seen.append((time.monotonic(), frame["event"], frame["data"]))
        except (OSError, ValueError):
            pass

    def wait(self, event, seconds, **members):
        """The first event since the last clear() with these members of its data; raises after that many seconds."""
        deadline = time.monotonic() + seconds * PATIENCE
        while True:
            for e in list(self.seen):
                if e[1] == event and all(e[2].get(k) == v for k, v in members.items()):
                    return e
            if time.monotonic() > deadline:
                raise TimeoutError("no event %s %r in %s s; seen: %r" % (event, members, seconds, [e[1:] for e in self.seen]))
            time.sleep(0.02)

    def clear(self):
        self.seen.clear()

    def close(self):
        self.socket.close()
