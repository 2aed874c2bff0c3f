#!/usr/bin/python3
"""tests/conformance/coverage.py NUVOLET > docs/API-COVERAGE.md -- which calls of the real services are served: `nuvolet ctl routes` against
api-surface.tsv (every method and path of OpenStack Zed, with how much a lab cloud needs it)."""
import collections
import os
import re
import subprocess
import sys

here = os.path.dirname(os.path.abspath(__file__))
PREFIX = {"keystone": "/identity", "nova": "/compute", "neutron": "/network", "glance": "/image", "cinder": "/volume", "placement": "/placement"}
NAMES = {"keystone": "Identity (Keystone)", "nova": "Compute (Nova)", "neutron": "Network (Neutron)", "glance": "Image (Glance)"}


def shape(path):
    return re.sub(r"\{[^}]*\}", "{}", path).rstrip("/") or "/"


served, actions = set(), set()
for line in subprocess.run([sys.argv[1], "ctl", "routes"], capture_output=True, text=True, check=True).stdout.splitlines():
    words = line.split()
    if words[0] == "ACTION":
        actions.add(words[1])
    else:
        served.add((words[0], shape(words[1])))

rows = [l.rstrip("\n").split("\t") for l in open(here + "/api-surface.tsv")][1:]
seen = set()
by = collections.OrderedDict((s, []) for s in NAMES)
for service, method, path, action, low, high, group, need in rows:
    # Keystone's framework answers 405 to these on the same paths; the list of paths has them all the same.
    if service == "keystone" and (path.endswith("}") and method == "POST" or not path.endswith("}") and method in ("DELETE", "PATCH")
                                  or path == "/v3/regions" and method == "PUT" or path.endswith("/password") and method in ("GET", "HEAD")):
        if (method, path) not in (("DELETE", "/v3/auth/tokens"),):
            continue
    # Clients know these paths, Neutron does not: a vendor's plug-in had them. QoS policies are what it serves.
    if service == "neutron" and group == "qos-queues":
        continue
    if method == "HEAD":                             # a GET route serves it
        method = "GET"
        if (service, method, path, action) in seen:
            continue
    seen.add((service, method, path, action))
    if service in by and need in ("core", "useful"):
        key = (method, shape(PREFIX[service] + path))
        if "{}/{}/tags" in key[1] and service == "neutron":      # one row stands for the tags of every resource
            done = any(m == method and p.endswith("/tags" if key[1].endswith("tags") else "/tags/{}") for m, p in served)
        else:
            done = key in served and (not action or action in actions)
        by[service].append((need, group, method, path, action, done))

print("# API coverage\n\nMade by `tests/conformance/coverage.py build/nuvolet > docs/API-COVERAGE.md` from the routes that are served and the list of every call of")
print("the real services. Calls that a lab cloud rarely needs, and obsolete ones, are not listed. What is not served answers 404.\n")
print("| service | core | useful |\n|---|---|---|")
for s, list_ in by.items():
    cell = ["%d of %d" % (sum(r[5] for r in list_ if r[0] == n), sum(1 for r in list_ if r[0] == n)) for n in ("core", "useful")]
    print("| %s | %s | %s |" % (NAMES[s], *cell))
for s, list_ in by.items():
    print("\n## %s\n\n| | call | |\n|---|---|---|" % NAMES[s])
    for need, group, method, path, action, done in sorted(list_, key=lambda r: (r[1], r[3], r[4], r[2])):
        print("| %s | %s `%s`%s | %s |" % ("✓" if done else " ", method, path, " `%s`" % action if action else "", need))
