"""tests/lib/wire.py -- the agents' and the control socket's frames, from the other side."""
import json
import socket
import struct
import threading
import time
from own import PATIENCE


class WireError(Exception):
    pass


def call(path, verb, timeout=60, **args):
    """Asks once and returns the answer's "ok"; raises WireError with the message of an error answer."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout * PATIENCE)
        s.connect(path)
        text = json.dumps({"id": 1, "verb": verb, "args": args}).encode()
        s.sendall(struct.pack(">I", len(text)) + text)
        while True:
            frame = json.loads(_read(s, struct.unpack(">I", _read(s, 4))[0]))
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
        self.socket.sendall(struct.pack(">I", 43) + b'{"id": 1, "verb": "listening", "args": {} }')
        _read(self.socket, struct.unpack(">I", _read(self.socket, 4))[0])
        self.seen = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        try:
            while True:
                frame = json.loads(_read(self.socket, struct.unpack(">I", _read(self.socket, 4))[0]))
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
