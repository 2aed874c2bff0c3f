#!/usr/bin/env python3
"""tests/crash/crash.py [--short] [--only TEXT] [--workers N] -- every operation, with a fault at every point it passes: kill, fail, fatal, pause.

Each scenario is run once with NUVOLET_FAULT_TRACE to learn the points that `serve` and the agent pass.  Then, for each point and mode, the fault is
armed, the operation is driven through the API, what died is started again, and within ten seconds everything must have settled: no live
operation, `doctor` clean, the stand-in agent's world equal to what the API lists, and nothing lost that was answered 2xx; then the agent comes anew, is
told everything, and nothing of it may be news.  The network's scenarios are in net.py.  --short: creating and deleting a server only.
"""
import argparse
import collections
import concurrent.futures
import os
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import scene  # noqa: E402
from scene import Scenario, Site, Wrong, check_created_server, wire  # noqa: E402
from net import SCENARIOS as NETWORK_SCENARIOS  # noqa: E402

MODES = ("kill", "fail", "fatal", "pause")
SHOWN = 200                                       # a line of progress after so many faults


class ServerCreate(Scenario):
    short = True

    def prepare(self, site): return {"name": site.name()}
    def request(self, site, st): return site.call("POST", "compute", "/servers", site.server_body(st["name"]))
    check = staticmethod(check_created_server)


class ServerRetry(ServerCreate):
    """The first hosts cannot start it; the next one can."""
    short = False

    def __init__(self, hosts):
        self.hosts = hosts
        self.spoil = ("agent.before=domain.ensure:fatal",) * (hosts - 1)


class SecondHost(Scenario):
    """A guest more of a network, on another host: the first one must know where it is."""
    hosts = 2

    def first(self, site, status):
        """Whether the first host takes servers."""
        one = next(s["id"] for s in site.get("compute", "/os-services", site.admin)["services"] if (s["host"], s["binary"]) == ("h1", "nova-compute"))
        site.must("PUT", "compute", "/os-services/" + one, {"status": status}, client=site.admin)

    def prepare(self, site):
        site.new_server()
        self.first(site, "disabled")
        return {"name": site.name()}

    def request(self, site, st): return site.call("POST", "compute", "/servers", site.server_body(st["name"]))

    def check(self, site, st, accepted, mode):
        check_created_server(site, st, accepted, mode)
        self.first(site, "enabled")


class ServerDelete(Scenario):
    short = True

    def prepare(self, site): return {"id": site.new_server()}
    def request(self, site, st): return site.call("DELETE", "compute", "/servers/" + st["id"])

    def check(self, site, st, accepted, mode):
        site.wait_server(st["id"], *(("GONE",) if accepted else ("GONE", "ACTIVE")))


class ServerCreateThenDelete(Scenario):
    """The delete overtakes the create."""
    short = True

    def prepare(self, site): return {"name": site.name()}

    def request(self, site, st):
        status, answer = site.call("POST", "compute", "/servers", site.server_body(st["name"]))
        st["created"] = status < 300
        if not st["created"]:
            return status, answer
        st["id"] = answer["server"]["id"]
        return site.call("DELETE", "compute", "/servers/" + st["id"])

    def check(self, site, st, accepted, mode):
        if accepted:
            site.wait_server(st["id"], "GONE")
        else:                                        # the delete may have been taken without an answer
            check_created_server(site, st, False, mode)


class Action(Scenario):
    def __init__(self, name, body, before, after):
        self.name, self.body, self.before, self.after = name, body, before, after

    def prepare(self, site):
        s = site.new_server()
        if self.before == "SHUTOFF":
            site.must("POST", "compute", "/servers/%s/action" % s, {"os-stop": None})
            site.wait_server(s, "SHUTOFF")
        return {"id": s}

    def request(self, site, st): return site.call("POST", "compute", "/servers/%s/action" % st["id"], self.body)

    def check(self, site, st, accepted, mode):
        allowed = {self.after} if accepted and mode != "fatal" else {self.before, self.after, "ERROR"}
        site.wait_server(st["id"], *allowed)


class ImageUpload(Scenario):
    def prepare(self, site): return {"name": site.name()}

    def request(self, site, st):
        status, answer = site.call("POST", "image", "/images", {"name": st["name"], "disk_format": "raw", "container_format": "bare"})
        if status >= 300:
            return status, answer
        return site.call("PUT", "image", "/images/%s/file" % answer["id"], raw=b"\1" * 200000)

    def check(self, site, st, accepted, mode):
        rows = [i for i in site.get("image", "/images")["images"] if i["name"] == st["name"]]
        if accepted and (not rows or rows[0]["status"] != "active"):
            raise Wrong("lost", "the image was accepted and is %s" % (rows and rows[0]["status"]))
        if rows and rows[0]["status"] not in ("active", "queued"):
            raise Wrong("stuck", "the image is " + rows[0]["status"])


class ImageDelete(Scenario):
    def prepare(self, site): return {"id": site.make_image(site.name())}
    def request(self, site, st): return site.call("DELETE", "image", "/images/" + st["id"])

    def check(self, site, st, accepted, mode):
        status, _ = site.call("GET", "image", "/images/" + st["id"])
        if accepted and status != 404:
            raise Wrong("lost", "the image was deleted and answers %d" % status)


class HostReboot(Scenario):
    """Everything but disks and database is wiped, and the agent comes back: the comparison's work, which may take a second one."""

    def prepare(self, site): return {"id": site.new_server()}

    def request(self, site, st):
        wire.call(site.cloud.run + "/agent.sock", "fake.reboot")
        if site.cloud.agent.poll() is None:
            site.cloud.kill_agent()
        site.start_agent()
        site.cloud.wait(site.host_is_up, 10, "the agent")
        time.sleep(0.3)
        return 200, None

    def check(self, site, st, accepted, mode):
        site.wait_server(st["id"], "ACTIVE", *(("SHUTOFF", "ERROR") if mode == "fatal" else ()))


SCENARIOS = {
    "server.create": ServerCreate(),
    "server.delete": ServerDelete(),
    "server.second-host": SecondHost(),
    "server.retry": ServerRetry(2),
    "server.retry-twice": ServerRetry(3),
    "server.create+delete": ServerCreateThenDelete(),
    "server.stop": Action("os-stop", {"os-stop": None}, "ACTIVE", "SHUTOFF"),
    "server.start": Action("os-start", {"os-start": None}, "SHUTOFF", "ACTIVE"),
    "server.reboot-hard": Action("reboot", {"reboot": {"type": "HARD"}}, "ACTIVE", "ACTIVE"),
    "server.reboot-soft": Action("reboot", {"reboot": {"type": "SOFT"}}, "ACTIVE", "ACTIVE"),
    **NETWORK_SCENARIOS,
    "image.upload": ImageUpload(),
    "image.delete": ImageDelete(),
    "host.reboot": HostReboot(),
}


# ---- running -------------------------------------------------------------------------------------------------

def trace_points(site, scenario):
    """(process, point) of all points that the scenario passes, in order; a repeated one also at its second passing."""
    st = scenario.prepare(site)
    site.settle()
    before = {p: len(site.traced(p)) for p in site.trace}
    site.spoil(scenario)
    accepted = scenario.act(site, st)
    site.settle()
    site.disarm()
    points = []
    for process in ("serve", "agent"):
        seen = collections.Counter(site.traced(process)[before[process]:])
        for name, n in seen.items():
            points += [(process, "%s@%d" % (name, k)) for k in range(1, min(n, 2) + 1)]
    scenario.check(site, st, accepted, "none")
    site.settle()
    if scenario.steady:
        site.steady()
    if not accepted:
        raise Wrong("wrong", "without any fault the request was refused: %s %s" % (st.get("status"), st.get("answer")))
    site.sweep()
    return points


def run_one(site, scenario, process, point, mode):
    """One fault.  Whether it took place."""
    st = scenario.prepare(site)
    site.settle()
    site.arm(process, "%s:%s" % (point, mode))
    site.spoil(scenario, "%s:%s" % (point, mode) if process == "agent" else None)
    before = len(site.traced(process))
    accepted = scenario.act(site, st)
    end = time.monotonic() + scene.SETTLE_S
    name = point.rsplit("@", 1)[0]
    hit, idle = False, 0
    while time.monotonic() < end and not hit and idle < 5:
        if mode == "kill":
            hit = site.somebody_died()
        else:
            hit = site.traced(process)[before:].count(name) >= int(point.rsplit("@", 1)[1])
        # The last point of an operation is passed when its row has gone already.
        idle = idle + 1 if site.is_idle() else 0
        time.sleep(0.01)
    if hit and process == "agent" and mode == "kill":
        site.calm(scenario)
    site.restart_dead()
    site.settle()
    site.disarm()
    scenario.check(site, st, accepted, mode)
    site.settle()
    site.compare()
    if scenario.steady:
        site.steady()
    site.sweep()
    return hit


class Totals:
    def __init__(self):
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.failures = []
        self.points = set()
        self.planned = 0

    def add(self, **counts):
        with self.lock:
            self.counts.update(counts)
            tried = self.counts["injected"] + self.counts["missed"]
            if tried % SHOWN == 0:
                print("%5d of %d faults tried, %d failures" % (tried, self.planned, len(self.failures)), flush=True)

    def fail(self, text, kind):
        with self.lock:
            self.counts[kind] += 1
            self.failures.append(text)
            print("FAILED " + text, flush=True)


def close(site, totals, sites):
    if site:
        sites.remove(site)
        for line in site.close():
            totals.fail(line, "wrong")
        with totals.lock:
            totals.points |= site.points


def site_for(site, scenario, totals, sites):
    """site itself, or a new one where the scenario needs other settings."""
    if site and (site.sync_s, site.hosts) == (scenario.sync_s, scenario.hosts):
        return site
    close(site, totals, sites)
    sites.append(Site(scenario.sync_s, hosts=scenario.hosts))
    return sites[-1]


def work(jobs, totals, sites):
    """Takes jobs until none is left; a failure costs the site, the next job gets a new one."""
    site = None
    while True:
        with totals.lock:
            if not jobs:
                break
            name, process, point, mode = jobs.popleft()
        try:
            site = site_for(site, SCENARIOS[name], totals, sites)
            hit = run_one(site, SCENARIOS[name], process, point, mode)
            totals.add(injected=1, survived=1) if hit else totals.add(missed=1)
        except Exception as e:                       # noqa: BLE001 -- anything else that goes wrong is a failure too
            text = "%s %s %s:%s: %s %s" % (name, process, point, mode, type(e).__name__, e)
            totals.add(injected=1)
            totals.fail(text + ("" if isinstance(e, Wrong) else "\n" + traceback.format_exc()), e.kind if isinstance(e, Wrong) else "wrong")
            if site and os.environ.get("NUVOLET_KEEP"):
                print(site.cloud.tail(3000))
            close(site, totals, sites)
            site = None
    close(site, totals, sites)


def plan(names, totals, sites):
    """All (scenario, process, point, mode); traces run on one site."""
    jobs = collections.deque()
    site = None
    for name in names:
        try:
            site = site_for(site, SCENARIOS[name], totals, sites)
            points = trace_points(site, SCENARIOS[name])
        except Exception as e:                       # noqa: BLE001
            totals.fail("%s without faults: %s %s" % (name, type(e).__name__, e), "wrong")
            close(site, totals, sites)
            site = None
            continue
        modes = {m: [(name, p, q, m) for p, q in points] for m in MODES}
        for m in MODES:
            jobs.extend(modes[m])
        print("%-22s %3d points" % (name, len(points)), flush=True)
    close(site, totals, sites)
    return jobs


def all_steps():
    """The first point of every step of every kind of operation that the program has."""
    with open(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden", "op-kinds.txt")) as f:
        return {"ops.before_step=" + "/".join(line.split()) for line in f}


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--short", action="store_true")
    ap.add_argument("--only", default="")
    ap.add_argument("--mode", default="")
    ap.add_argument("--workers", type=int, default=4)
    args = ap.parse_args()
    names = [n for n, s in SCENARIOS.items() if (s.short or not args.short) and args.only in n]
    totals, sites, begin = Totals(), [], time.monotonic()
    try:
        jobs = plan(names, totals, sites)
        jobs = collections.deque(j for j in jobs if args.mode in j[3])
        totals.planned = len(jobs)
        with concurrent.futures.ThreadPoolExecutor(args.workers) as pool:
            try:
                for f in [pool.submit(work, jobs, totals, sites) for _ in range(args.workers)]:
                    f.result()
            except KeyboardInterrupt:
                jobs.clear()                         # the workers end what they are at
                raise
    finally:
        for site in list(sites):
            site.close()
    if not args.short and not args.only and not args.mode:
        for line in sorted(all_steps() - totals.points):
            totals.fail("no scenario passes " + line, "wrong")
    c = totals.counts
    print("faults injected=%d survived=%d lost_accepted=%d leaked=%d stuck=%d wrong=%d not_passed=%d in %.0f s" %
          (c["injected"], c["survived"], c["lost"], c["leaked"], c["stuck"], c["wrong"], c["missed"], time.monotonic() - begin))
    if c["missed"] * 5 > totals.planned:
        totals.fail("too many faults were never passed: the test has lost its teeth", "wrong")
    print("%d passed, %d failed, 0 skipped" % (c["survived"], len(totals.failures)))
    return 1 if totals.failures or not c["survived"] else 0


if __name__ == "__main__":
    sys.exit(main())
