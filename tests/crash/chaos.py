#!/usr/bin/env python3
"""tests/crash/chaos.py [--seconds N] [--seed S] -- tenants at work while `serve` and the agent are killed again and again.

Threads create, delete, stop, start and reboot servers, add and remove security group rules and ports, make, change and take apart networks with routers
and floating IPs, at random; meanwhile one process or the other gets SIGKILL every second or so.  At the end everything settles within twenty seconds,
what was accepted has happened, and the world equals the rows.
"""
import argparse
import http.client
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import scene  # noqa: E402
from scene import wire  # noqa: E402

SETTLE_S = 20


class Worker(threading.Thread):
    """One client with servers of its own; remembers what was promised."""

    def __init__(self, site, number, seed, stop):
        super().__init__()
        self.site, self.random, self.stop = site, random.Random("%s/%d" % (seed, number)), stop
        self.prefix = "chaos%d-" % number
        self.made, self.gone = set(), set()              # answered 202; answered 204
        self.counts = {}
        self.routers, self.error = [], None              # (router, network, subnet)

    def call(self, method, service, path, body=None):
        """(status, json), or (0, None) without an answer."""
        try:
            return self.site.call(method, service, path, body)
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
            return 0, None

    def create(self):
        status, answer = self.call("POST", "compute", "/servers", self.site.server_body(self.prefix + str(self.random.randrange(10 ** 9))))
        if status == 202:
            self.made.add(answer["server"]["id"])
        return status

    def pick(self):
        alive = sorted(self.made - self.gone)
        return self.random.choice(alive) if alive else None

    def delete(self):
        s = self.pick()
        if not s:
            return None
        status, _ = self.call("DELETE", "compute", "/servers/" + s)
        if status in (204, 404):
            self.gone.add(s)
        elif status == 0:                                # may or may not have happened: ask until it is known
            self.made.discard(s)
        return status

    def action(self):
        s = self.pick()
        body = self.random.choice([{"os-stop": None}, {"os-start": None}, {"reboot": {"type": "HARD"}}, {"reboot": {"type": "SOFT"}}])
        return self.call("POST", "compute", "/servers/%s/action" % s, body)[0] if s else None

    def rule(self):
        port = self.random.randrange(1, 60000)
        rule = {"security_group_id": self.site.group, "direction": "ingress", "protocol": "tcp", "port_range_min": port, "port_range_max": port}
        return self.call("POST", "network", "/security-group-rules", {"security_group_rule": rule})[0]

    def port(self):
        status, answer = self.call("POST", "network", "/ports", {"port": {"network_id": self.site.network, "name": self.prefix}})
        if status == 201 and self.random.random() < 0.8:
            status, _ = self.call("DELETE", "network", "/ports/" + answer["port"]["id"])
        return status

    def net(self, method, path, body=None):
        """The answer's object; None: refused, or no answer."""
        status, answer = self.call(method, "network", path, body)
        if status >= 500 and status != 503:
            self.error = "%s %s answered %d" % (method, path, status)
        return next(iter(answer.values())) if 200 <= status < 300 and isinstance(answer, dict) else None

    def topology(self):
        """A network with a router, a port and its floating IP: as much of it as comes through."""
        n = self.net("POST", "/networks", {"network": {"name": self.site.prefix + self.prefix}})
        s = n and self.net("POST", "/subnets", {"subnet": {"network_id": n["id"], "ip_version": 4, "cidr": "10.60.0.0/24"}})
        r = s and self.net("POST", "/routers", {"router": {"name": self.prefix, "external_gateway_info": {"network_id": self.site.outside}}})
        if r and self.net("PUT", "/routers/%s/add_router_interface" % r["id"], {"subnet_id": s["id"]}):
            self.routers.append((r["id"], n["id"], s["id"]))
            self.floating()
        return 200 if r else 0

    def floating(self):
        if not self.routers:
            return None
        _, n, _ = self.random.choice(self.routers)
        p = self.net("POST", "/ports", {"port": {"network_id": n}})
        return 200 if p and self.net("POST", "/floatingips", {"floatingip": {"floating_network_id": self.site.outside, "port_id": p["id"]}}) else 0

    def change(self):
        """Something of what is there becomes something else."""
        if not self.routers:
            return self.topology()
        r, n, s = self.random.choice(self.routers)
        f = self.net("GET", "/floatingips") or []
        p = self.net("GET", "/ports?network_id=%s&device_owner=" % n) or []
        what = self.random.randrange(6)
        if what == 0 and f:
            self.net("DELETE", "/floatingips/" + self.random.choice(f)["id"])
        elif what == 1 and f and p:
            self.net("PUT", "/floatingips/" + self.random.choice(f)["id"], {"floatingip": {"port_id": self.random.choice([None, p[0]["id"]])}})
        elif what == 2:
            self.net("PUT", "/routers/" + r, {"router": {"admin_state_up": self.random.random() < 0.5}})
        elif what == 3:
            self.net("PUT", "/subnets/" + s, {"subnet": {"dns_nameservers": ["192.0.2.%d" % self.random.randrange(1, 250)]}})
        elif what == 4 and p:
            self.net("DELETE", "/ports/" + self.random.choice(p)["id"])
        else:
            self.net("PUT", "/networks/" + n, {"network": {"mtu": self.random.randrange(1300, 1400)}})
        return 200

    def run(self):
        try:
            while not self.stop.is_set():
                what = self.random.choices(["create", "delete", "action", "rule", "port", "topology", "floating", "change"],
                                           [4, 3, 4, 1, 1, 0.3 if len(self.routers) < 4 else 0, 1, 3])[0]
                if what == "create" and len(self.made - self.gone) > 12:
                    what = "delete"
                status = getattr(self, what)()
                key = "%s %s" % (what, status)
                self.counts[key] = self.counts.get(key, 0) + 1
                if status and status >= 500 and status != 503:
                    self.error = "%s answered %d" % (what, status)
                time.sleep(self.random.random() * 0.05)
        except Exception as e:                           # noqa: BLE001
            self.error = "%s %s" % (type(e).__name__, e)


def kill_around(site, rnd, seconds, kills):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.3 + rnd.random() * 1.5)
        process = site.cloud.serve if rnd.random() < 0.5 else site.cloud.agent
        process.kill()
        process.wait()
        kills["serve" if process is site.cloud.serve else "agent"] += 1
        time.sleep(rnd.random() * 0.3)
        site.restart_dead()


def check(site, workers):
    """What was promised has happened."""
    wrong = [w.error for w in workers if w.error]
    servers = {s["id"]: s for s in site.get("compute", "/servers/detail", site.demo)["servers"]}
    for w in workers:
        for s in w.made - w.gone:
            if s not in servers:
                wrong.append("server %s was accepted and is not there" % s)
            elif servers[s]["status"] not in ("ACTIVE", "SHUTOFF"):
                wrong.append("server %s is %s: %s" % (s, servers[s]["status"], servers[s].get("fault")))
        for s in w.gone:
            if s in servers:
                wrong.append("server %s was deleted and is there" % s)
    return wrong


def group_is_current(site):
    rules = site.get("network", "/security-groups/" + site.group)["security_group"]["security_group_rules"]
    path = os.path.join(site.cloud.world, "groups", site.group)
    if not os.path.exists(path):
        return True
    with open(path) as f:
        on_host = {r["id"] for r in scene.json.load(f)["rules"]}
    return on_host == {r["id"] for r in rules}


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seconds", type=float, default=20)
    ap.add_argument("--seed", default=str(int(time.time())))
    args = ap.parse_args()
    print("seed %s" % args.seed, flush=True)
    scene.SETTLE_S = SETTLE_S
    site = scene.Site(4)
    failures, kills, workers = [], {"serve": 0, "agent": 0}, []
    stop = threading.Event()
    try:
        quota = {"quota_set": {"instances": -1, "cores": -1, "ram": -1}}
        site.must("PUT", "compute", "/os-quota-sets/" + site.demo.project_id, quota, client=site.admin)
        site.must("PUT", "network", "/quotas/" + site.demo.project_id,
                  {"quota": {k: -1 for k in ("port", "security_group_rule", "network", "subnet", "router", "floatingip")}}, client=site.admin)
        site.outside = site.get("network", "/networks?router:external=true")["networks"][0]["id"]
        site.group = [g for g in site.get("network", "/security-groups")["security_groups"] if g["name"] == "default"][0]["id"]
        workers = [Worker(site, n, args.seed, stop) for n in range(5)]
        for w in workers:
            w.start()
        kill_around(site, random.Random(args.seed), args.seconds, kills)
        stop.set()
        for w in workers:
            w.join()
        site.settle()
        failures += check(site, workers)
        if not any(w.gone for w in workers) or not any(w.routers for w in workers):
            failures.append("nobody has made and deleted a server, or made a router: nothing was tried")
        if not group_is_current(site):
            failures.append("the default group's rules on the host are not the rows'")
        site.compare()
        site.steady()
        site.sweep()
    except (scene.Wrong, OSError, wire.WireError) as e:
        failures.append("%s: %s" % (type(e).__name__, e))
        if os.environ.get("NUVOLET_KEEP"):
            print(site.cloud.tail(5000))
    finally:
        stop.set()
        failures += site.close()
    total = {}
    for w in workers:
        for k, n in w.counts.items():
            total[k] = total.get(k, 0) + n
    print("calls: " + ", ".join("%s ×%d" % (k, total[k]) for k in sorted(total)))
    for f in failures:
        print("FAILED " + f)
    print("killed: serve %(serve)d times, agent %(agent)d times" % kills)
    print("%d passed, %d failed, 0 skipped" % (0 if failures else 1, len(failures)))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
