#!/usr/bin/python3
"""tests/integration/test_trunk.py -- trunks as frames see them: tags taken off and put on, a subport's rules on tagged frames, healed and gone."""
import os
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from own import own_machine, until  # noqa: E402
own_machine(__file__)
from guest import Guest, arp, ether, ip4, mac_bytes, sh, udp  # noqa: E402
from test_net_agent import Case, EVERYONE, OUT, Port, rule, uid  # noqa: E402
from wire import WireError  # noqa: E402


def tagged(vlan, frame):
    return frame[:12] + struct.pack(">HH", 0x8100, vlan) + frame[12:]


class Trunk(Case):
    def setUp(self):
        super().setUp()
        self.one, self.two = self.network(1), self.network(2, prefix="10.2.0")
        self.open, self.web = self.group(50, OUT + [rule()]), self.group(51, OUT + [rule(protocol=17, low=80, high=80)])
        self.parent, self.guest = self.port(1, self.one, "10.0.0.11", [self.open])
        self.far, self.host = self.port(3, self.two, "10.2.0.13", [self.open])

    def sub(self, n=2, vlan=100, groups=None, net=None, ip="10.2.0.12", **kw):
        p = Port(n, (net or self.two).id, ip, groups or [self.open], **kw)
        p.parent = {"port_id": self.parent.id, "vlan": vlan}
        (net or self.two).ports.append(p)
        self.ensure_network(net or self.two)
        self.verb("port.ensure", **p.args())
        self.made.append(("port.absent", p.id))
        return p

    def datagram(self, p, text, source=None, mac=None, to=80):
        return ether(mac or p.mac, self.far.mac, 0x800, ip4(source or p.ip, self.far.ip, 17, udp(9, to, text)))

    def reaches(self, frame, text):
        self.host.seen.clear()
        for _ in range(8):                           # a link that was just made may not carry the first one yet
            self.guest.send(frame)
            time.sleep(0.1)
            if [f for f in self.host.seen if text in f]:
                return True
        return False

    def answers(self, frame, text):
        """Sends to the guest from the far port; the frames that arrive at the guest with that text."""
        self.guest.seen.clear()
        for _ in range(5):
            self.host.send(frame)
            time.sleep(0.1)
            if [f for f in self.guest.seen if text in f]:
                break
        return [f for f in self.guest.seen if text in f]

    def test_tags_come_off_and_on(self):
        p = self.sub()
        self.assertTrue(self.reaches(tagged(100, self.datagram(p, b"hello")), b"hello"))
        got = [f for f in self.host.seen if b"hello" in f][0]
        self.assertEqual(got[12:14], b"\x08\x00")
        back = ether(self.far.mac, p.mac, 0x800, ip4(self.far.ip, p.ip, 17, udp(9, 80, b"back")))
        seen = self.answers(back, b"back")
        self.assertEqual([(f[:6], f[12:18]) for f in seen[:1]], [(mac_bytes(p.mac), b"\x81\x00\x00\x64\x08\x00")])
        # What the parent says untagged stays in the parent's network, and reaches nobody of the subport's.
        self.assertTrue(self.guest.pings("10.0.0.2"))
        self.assertFalse(self.reaches(self.datagram(p, b"plain"), b"plain"))

    def test_an_arp_request_is_answered_through_the_tag(self):
        p = self.sub()
        self.assertTrue(self.reaches(tagged(100, self.datagram(p, b"first")), b"first"))
        self.guest.seen.clear()
        ask = tagged(100, ether(p.mac, EVERYONE, 0x806, arp(1, p.mac, p.ip, "00:00:00:00:00:00", self.far.ip)))
        answer = lambda f: f[12:18] == b"\x81\x00\x00\x64\x08\x06" and f[24:32] == b"\0\2" + mac_bytes(self.far.mac)
        until("the answer", 3, lambda: self.guest.send(ask) or [f for f in self.guest.seen if answer(f)])

    def test_tagged_frames_are_the_subports_alone(self):
        p = self.sub()
        for frame in (tagged(101, self.datagram(p, b"evil")), tagged(0, self.datagram(p, b"evil")),
                      tagged(100, tagged(100, self.datagram(p, b"evil"))), tagged(100, self.datagram(p, b"evil", source="10.2.0.99")),
                      tagged(100, self.datagram(p, b"evil", mac=self.parent.mac)), tagged(100, self.datagram(p, b"evil", source=self.parent.ip, mac=self.parent.mac))):
            self.assertFalse(self.reaches(frame, b"evil"), frame)
        self.assertTrue(self.reaches(tagged(100, self.datagram(p, b"good")), b"good"))

    def test_groups_of_the_subport(self):
        p = self.sub(groups=[self.web])
        to = lambda port: self.answers(ether(self.far.mac, p.mac, 0x800, ip4(self.far.ip, p.ip, 17, udp(9, port, b"try"))), b"try")
        self.assertTrue(to(80))
        self.assertFalse(to(81))

    def test_two_subports_and_one_removed(self):
        p, q = self.sub(), self.sub(n=4, vlan=200, net=self.two, ip="10.2.0.14")
        self.assertTrue(self.reaches(tagged(200, self.datagram(q, b"second")), b"second"))
        self.assertTrue(self.reaches(tagged(100, self.datagram(p, b"first")), b"first"))
        self.verb("port.absent", id=p.id)
        self.assertFalse(self.reaches(tagged(100, self.datagram(p, b"third")), b"third"))
        self.assertTrue(self.reaches(tagged(200, self.datagram(q, b"second")), b"second"))
        self.verb("port.absent", id=q.id)
        self.assertEqual(sh("tc filter show dev %s ingress" % self.parent.tap).stdout, "")

    def test_another_tag_takes_the_place_of_the_first(self):
        p = self.sub()
        p.parent["vlan"] = 300
        self.verb("port.ensure", **p.args())
        self.assertFalse(self.reaches(tagged(100, self.datagram(p, b"old")), b"old"))
        self.assertTrue(self.reaches(tagged(300, self.datagram(p, b"new")), b"new"))

    def test_a_limit_of_the_parent_leaves_tags_alone(self):
        p = self.sub()
        self.parent.qos = {"egress_kbps": 5000}
        self.verb("port.ensure", **self.parent.args())
        self.assertTrue(self.guest.pings("10.0.0.2"))
        self.assertTrue(self.reaches(tagged(100, self.datagram(p, b"shaped")), b"shaped"))
        self.parent.qos = None
        self.verb("port.ensure", **self.parent.args())
        self.assertTrue(self.reaches(tagged(100, self.datagram(p, b"free")), b"free"))

    def test_healed_within_ten_seconds(self):
        p = self.sub()
        inner = p.tap.replace("nvt", "nvs")
        works = lambda: self.reaches(tagged(100, self.datagram(p, b"works")), b"works") or None
        for damage in ("tc qdisc del dev %s clsact" % self.parent.tap, "tc qdisc del dev %s clsact" % inner, "ip link del " + inner,
                       "ip link set %s down" % inner):
            sh(damage)
            until("works after: " + damage, 10, works)
        self.guest.close()
        self.guests.remove(self.guest)
        sh("ip link del " + self.parent.tap)
        until("the parent's tap is back", 10, lambda: sh("ip link show " + self.parent.tap, check=False).returncode == 0)
        self.guest = Guest("g1", self.parent.tap, self.parent.mac)
        self.guests.append(self.guest)
        until("works with a new tap of the parent", 10, works)

    def test_a_subport_waits_for_its_parent(self):
        self.verb("port.absent", id=self.parent.id)
        self.made.append(("port.absent", uid(2)))
        with self.assertRaises(WireError):
            self.sub()
        self.verb("port.ensure", **self.parent.args())


if __name__ == "__main__":
    unittest.main()
