#!/bin/bash
# tests/conformance/check.sh [LIST...] -- tempest against a private Nuvolet; fails when a test fails that is not in known-failures.txt.
# LIST: names under lists/ without .txt; default: smoke.  Ends with "N passed, N failed, N skipped" (known failures count as skipped).
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=${here%/tests/conformance}
cd "$root" || exit 1
command -v tempest >/dev/null || apt-get install -y -qq --no-install-recommends tempest neutron-tempest-plugin keystone-tempest-plugin python3-requests >/dev/null 2>&1
[ $# -gt 0 ] || set -- smoke
make -s test-bins || exit 1
out=$(mktemp -d "${TMPDIR:-/tmp}/nuvolet-conformance.XXXXXX")
PYTHONPATH=$root/tests/lib python3 -B - "$out" <<'PY' &
import os, signal, sys, threading
from cloud import Cloud
end = threading.Event()
for s in (signal.SIGTERM, signal.SIGINT):
    signal.signal(s, lambda *_: end.set())
c = Cloud(options={"api.workers": "8", "log.level": "info", "identity.password_history": "2", "network.physical": "lab:eth1:1000-1999"},
          agent_args=["--physical", "lab"])
admin = c.login("admin")                            # what "get me a network" needs, beside the public network
for prefix, length in (("10.64.0.0/16", 24), ("fd00:64::/48", 64)):
    pool = {"name": "auto-%d" % length, "prefixes": [prefix], "default_prefixlen": length, "shared": True, "is_default": True}
    assert admin.post("/network/v2.0/subnetpools", {"subnetpool": pool}).status == 201
with open("%s/admin-openrc" % c.state) as f:
    text = f.read()
import re
text = re.sub(r"(OS_AUTH_URL=)\S+", r"\1http://127.0.0.1:%d/identity/v3" % c.port, text)
with open(sys.argv[1] + "/openrc.tmp", "w") as f:
    f.write(text)
os.rename(sys.argv[1] + "/openrc.tmp", sys.argv[1] + "/openrc")
end.wait()
with open(sys.argv[1] + "/serve.log", "wb") as f:
    f.write(open(c.top + "/serve.log", "rb").read())
c.unexpected = []
c.stop(check=False)
PY
cloud=$!
# What failed can be looked at.
trap 'rc=$?; kill $cloud 2>/dev/null; wait $cloud 2>/dev/null; [ $rc != 0 ] || rm -rf "$out"' EXIT
for _ in $(seq 300); do [ -e "$out/openrc" ] && break; sleep 0.1; done
[ -e "$out/openrc" ] || { echo "the cloud did not start"; exit 1; }
cat $(printf "$here/lists/%s.txt " "$@") >"$out/list.txt"
cat >"$out/extra.conf" <<'CONF'
[identity]
user_unique_last_password_count = 2
[identity-feature-enabled]
security_compliance = true
[neutron_plugin_options]
available_type_drivers = flat,vlan,vxlan,local
provider_vlans = lab
agent_availability_zone = nova
CONF
"$here/run.sh" "$out/openrc" "$out/list.txt" --extra "$out/extra.conf" --out "$out/result" >"$out/run.log" 2>&1
tail -n 30 "$out/run.log"
python3 -B - "$out/result/results.tsv" "$here/known-failures.txt" <<'PY'
import sys
known = {l.split("#")[0].strip() for l in open(sys.argv[2]) if l.strip() and not l.startswith("#")}
rows = [l.rstrip("\n").split("\t") for l in open(sys.argv[1])][1:]
name = lambda t: t.strip() if t.startswith("tearDownClass") else t.split("[")[0].split("(")[0].strip()
p = [r for r in rows if r[1] == "pass"]
s = [r for r in rows if r[1] == "skip"]
f = [r for r in rows if r[1] not in ("pass", "skip")]
new = [r for r in f if name(r[0]) not in known]
for r in new:
    print("FAILED", r[0], "--", r[3][:300])
for r in p:
    if name(r[0]) in known:
        print("passes now, take it off the list:", name(r[0]))
if new:
    print("results in", sys.argv[1])
print("%d passed, %d failed, %d skipped" % (len(p), len(new), len(s) + len(f) - len(new)))
sys.exit(bool(new))
PY
