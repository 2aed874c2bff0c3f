"""tests/lib/guest.py -- a pretended guest: a network namespace whose eth0 is joined, frame by frame, to a port's tap.

    g = Guest("g1", tap="nvt…", mac="fa:16:3e:…")
    g.run("ip addr add 10.0.0.11/24 dev eth0")      # an ordinary Linux inside
    g.send(frame)                                   # a raw frame, as a hostile guest would write it
    g.seen                                          # every frame that arrived at the tap
"""
import ctypes
import errno
import fcntl
import os
import select
import struct
import subprocess
import threading
import time
from own import PATIENCE

TUNSETIFF = 0x400454ca
IFF_TAP, IFF_NO_PI = 2, 0x1000
libc = ctypes.CDLL(None, use_errno=True)


def join_tap(fd, name):
    """False: the tap has another end."""
    try:
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    except OSError as e:
        if e.errno != errno.EBUSY:
            raise
        return False
    return True


def open_tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    if not join_tap(fd, name):
        os.close(fd)
        raise OSError(errno.EBUSY, name)
    os.set_blocking(fd, False)
    return fd


class Guest:
    def __init__(self, name, tap, mac, up=True, host=None):
        """host: of tests/lib/hosts.py, where the tap is; None: here."""
        self.name, self.mac, self.tap = name, mac, tap
        self.seen, self.ending = [], False
        sh("ip netns add " + name)
        self.inner = open_tap("tmp" + name)
        sh("ip link set tmp%s address %s netns %s" % (name, mac, name))
        self.run("ip link set tmp%s name eth0; ip link set lo up; ip link set eth0 mtu 1450 %s" % (name, "up" if up else "down"))
        if host:
            import hosts
            self.outer = hosts.inside(host.path, open_tap, tap)
        else:
            self.outer = open_tap(tap)
        self._wait_for_carrier(host)
        self.thread = threading.Thread(target=self._pump, daemon=True)
        self.thread.start()

    def _wait_for_carrier(self, host):
        """The kernel passes frames a moment after the tap has its other end; at once if the tap is down on purpose."""
        look, end = "ip -o link show dev " + self.tap, time.monotonic() + 5 * PATIENCE
        while time.monotonic() < end:
            text = host.sh(look) if host else sh(look).stdout
            if ",UP" not in text or "state DOWN" not in text:
                break
            time.sleep(0.01)

    def _pump(self):
        poll = select.poll()
        poll.register(self.inner, select.POLLIN)
        poll.register(self.outer, select.POLLIN)
        while not self.ending:
            for fd, _ in poll.poll(100):
                try:
                    frame = os.read(fd, 65536)
                    if fd == self.outer:
                        self.seen.append(frame)
                    os.write(self.outer if fd == self.inner else self.inner, frame)
                except OSError:                      # the other end is down
                    time.sleep(0.001)

    def send(self, frame):
        try:
            os.write(self.outer, frame)
        except OSError:
            pass                                     # the tap is down

    def run(self, command, check=True, timeout=30):
        return sh("ip netns exec %s sh -c '%s'" % (self.name, command), check=check, timeout=timeout)

    def start(self, *argv, **kw):
        return subprocess.Popen(["ip", "netns", "exec", self.name, *argv], **kw)

    def pings(self, address, count=1):
        return self.run("ping -n -q -c %d -i 0.1 -W %g %s" % (count, PATIENCE, address), check=False).returncode == 0

    def close(self):
        self.ending = True
        self.thread.join()
        os.close(self.inner)
        os.close(self.outer)
        sh("ip netns del " + self.name)


def sh(command, check=True, timeout=30):
    r = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=timeout * PATIENCE)
    if check and r.returncode:
        raise AssertionError("%s: exit %d\n%s%s" % (command, r.returncode, r.stdout, r.stderr))
    return r


# -- frames -----------------------------------------------------------------------------------------------------
def mac_bytes(mac):
    return bytes.fromhex(mac.replace(":", ""))


def ip_bytes(ip):
    import ipaddress
    return ipaddress.ip_address(ip).packed


def ether(src, dst, kind, payload):
    return mac_bytes(dst) + mac_bytes(src) + struct.pack(">H", kind) + payload


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ip4(src, dst, protocol, payload, offset=0, more=False, ident=1, options=b""):
    words = 5 + len(options) // 4
    head = struct.pack(">BBHHHBBH", 0x40 | words, 0, words * 4 + len(payload), ident, (0x2000 if more else 0) | offset, 64, protocol, 0)
    head += ip_bytes(src) + ip_bytes(dst) + options
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def ip6(src, dst, kind, payload, hops=255):
    return struct.pack(">IHBB", 6 << 28, len(payload), kind, hops) + ip_bytes(src) + ip_bytes(dst) + payload


def udp(sport, dport, payload):
    return struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload


def udp6(src, dst, sport, dport, payload):
    data = udp(sport, dport, payload)
    return data[:6] + struct.pack(">H", checksum(ip_bytes(src) + ip_bytes(dst) + struct.pack(">II", len(data), 17) + data)) + payload


def tcp(src, dst, sport, dport, payload=b"", flags=2):
    """A SYN, unless told otherwise."""
    data = struct.pack(">HHIIBBHHH", sport, dport, 1, 0, 0x50, flags, 1000, 0, 0) + payload
    pseudo = ip_bytes(src) + ip_bytes(dst) + struct.pack(">HH", 6, len(data))
    return data[:16] + struct.pack(">H", checksum(pseudo + data)) + data[18:]


def icmp6(src, dst, kind, body, code=0):
    data = struct.pack(">BBH", kind, code, 0) + body
    pseudo = ip_bytes(src) + ip_bytes(dst) + struct.pack(">II", len(data), 58)
    return data[:2] + struct.pack(">H", checksum(pseudo + data)) + data[4:]


def arp(op, sha, spa, tha, tpa):
    return struct.pack(">HHBBH", 1, 0x0800, 6, 4, op) + mac_bytes(sha) + ip_bytes(spa) + mac_bytes(tha) + ip_bytes(tpa)


def bootp(op, kind, chaddr, giaddr="0.0.0.0", server=None, ciaddr="0.0.0.0", more=b""):
    """more: options besides the kind and the server's address."""
    options = b"\x63\x82\x53\x63\x35\x01" + bytes([kind]) + (b"\x36\x04" + ip_bytes(server) if server else b"") + more + b"\xff"
    return (struct.pack(">BBBBIHH", op, 1, 6, 0, 0x1234, 0, 0x8000) + ip_bytes(ciaddr) + bytes(8) + ip_bytes(giaddr) + mac_bytes(chaddr) + bytes(10) +
            bytes(192) + options)
