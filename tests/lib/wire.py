"""tests/lib/wire.py -- the agents' and the control socket's frames, from the other side."""
import json
import socket
import struct


class WireError(Exception):
    pass


def call(path, verb, timeout=60, **args):
    """Asks once and returns the answer's "ok"; raises WireError with the message of an error answer."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout)
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
