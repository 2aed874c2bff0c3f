"""tests/crash/net.py -- scenarios of the network: each kind of object created, changed and deleted while guests and routers use it."""
from scene import Scenario, Wrong, check_created_server, routers_swept


# ---- making things ----

def add(site, one, path=None, by=None, **fields):
    """POST; the new object."""
    return site.post("network", path or "/%ss" % one.replace("_", "-"), {one: fields}, by or site.demo)[one]


def row(site, path):
    """The object at a path, without its envelope; None: it is not there."""
    status, answer = site.call("GET", "network", path, client=site.admin)
    if status == 404:
        return None
    if status >= 300:
        raise Wrong("wrong", "GET %s answered %s %s" % (path, status, answer))
    return next(iter(answer.values()))


def guest(site, network=None, **fields):
    """A running guest on a port with these attributes; the port."""
    p = add(site, "port", network_id=network or site.network, name=site.name(), **fields)
    body = site.server_body(site.name())
    body["server"]["networks"] = [{"port": p["id"]}]
    s = site.post("compute", "/servers", body)["server"]["id"]
    site.wait_server(s, "ACTIVE")
    return dict(p, server=s)


def own_network(site, **fields):
    """A network with a subnet and a guest; → network, subnet, port."""
    n = add(site, "network", name=site.name(), **fields)["id"]
    s = add(site, "subnet", network_id=n, ip_version=4, cidr="10.30.0.0/24", name=site.name())["id"]
    return {"network": n, "subnet": s, "port": guest(site, n)["id"]}


def slaac(site, n):
    return add(site, "subnet", network_id=n, ip_version=6, cidr="2001:db8:30::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac", name=site.name())["id"]


def group(site, **rule):
    """A group, with a rule; a guest that has it; → group, rule, port."""
    g = add(site, "security_group", name=site.name())["id"]
    st = {"group": g, "port": guest(site, security_groups=[g])["id"]}
    if rule:
        st["rule"] = add(site, "security_group_rule", security_group_id=g, direction="ingress", **rule)["id"]
    return st


def address_group(site):
    a = add(site, "address_group", name=site.name(), addresses=["192.0.2.0/24"])["id"]
    return dict(group(site, remote_address_group_id=a, protocol="tcp"), addresses=a)


def policy(site, *kbps, **where):
    """A policy with its limits; where=port: a guest's port has it, network: its network."""
    p = add(site, "policy", "/qos/policies", site.admin, name=site.name(), shared=True)["id"]
    st = {"policy": p}
    for k in kbps:
        st["rule"] = add(site, "bandwidth_limit_rule", "/qos/policies/%s/bandwidth_limit_rules" % p, site.admin, max_kbps=k)["id"]
    st.update(own_network(site))
    for one in where.get("of", ()):
        site.must("PUT", "network", "/%ss/%s" % (one, st[one]), {one: {"qos_policy_id": p}})
    return st


def trunk(site, subports=0, bound=True):
    """A trunk whose parent is a running guest's, with subports, and a port more."""
    parent = add(site, "port", network_id=site.network, name=site.name())["id"]
    ports = [add(site, "port", network_id=site.network, name=site.name())["id"] for _ in range(2)]
    subs = [{"port_id": p, "segmentation_type": "vlan", "segmentation_id": 10 + i} for i, p in enumerate(ports[:subports])]
    st = {"parent": parent, "ports": ports}
    if bound != "first":
        st["trunk"] = add(site, "trunk", port_id=parent, name=site.name(), sub_ports=subs)["id"]
    if bound:
        body = site.server_body(site.name())
        body["server"]["networks"] = [{"port": parent}]
        st["server"] = site.post("compute", "/servers", body)["server"]["id"]
        site.wait_server(st["server"], "ACTIVE")
    return st


def outside(site):
    return site.get("network", "/networks?router:external=true")["networks"][0]["id"]


def new_router(site, name=None, floating=True):
    """A router with a gateway and an interface, and with floating an address and a forwarding; → ids."""
    name, out = name or site.name(), outside(site)
    n = add(site, "network", name=name)["id"]
    s = add(site, "subnet", network_id=n, ip_version=4, cidr="10.20.0.0/24")["id"]
    ports = [add(site, "port", network_id=n) for _ in range(3)]
    r = add(site, "router", name=name, external_gateway_info={"network_id": out})["id"]
    site.must("PUT", "network", "/routers/%s/add_router_interface" % r, {"subnet_id": s})
    st = {"name": name, "network": n, "subnet": s, "router": r, "ports": ports, "out": out}
    if floating:
        st["floating"] = add(site, "floatingip", floating_network_id=out, port_id=ports[0]["id"])["id"]
        st["shared"] = add(site, "floatingip", floating_network_id=out)["id"]
        f = add(site, "port_forwarding", "/floatingips/%s/port_forwardings" % st["shared"], protocol="tcp", internal_port_id=ports[1]["id"],
                internal_port=22, external_port=2222)
        st["forwarding"] = "/floatingips/%s/port_forwardings/%s" % (st["shared"], f["id"])
    return st


def left_router(site):
    st = new_router(site)
    st["agent"] = l3_agent(site)
    site.settle()                                        # a host that has just come back takes its routers in a moment
    site.must("DELETE", "network", "/agents/%s/l3-routers/%s" % (st["agent"], st["router"]), client=site.admin)
    return st


def l3_agent(site):
    return site.get("network", "/agents?agent_type=L3%20agent", site.admin)["agents"][0]["id"]


def default_pool(site):
    add(site, "subnetpool", None, site.admin, name=site.name(), prefixes=["10.40.0.0/16"], default_prefixlen=24, is_default=True)
    site.must("PUT", "network", "/networks/" + outside(site), {"network": {"is_default": True}}, client=site.admin)
    return {}


# ---- scenarios ----

class Change(Scenario):
    """One request.  rows: what the API says of it; want: what it says once the request was taken; host: the same, as the host has it."""

    def __init__(self, prepare, request, rows, want, host=None, admin=False, after=None):
        self.prepare, self.how, self.rows, self.want, self.host, self.admin, self.after = prepare, request, rows, want, host, admin, after

    def request(self, site, st):
        how = self.how(site, st) if self.how.__code__.co_argcount == 2 else self.how(st)
        return site.call(how[0], "network", *how[1:], client=site.admin if self.admin else None)

    # Several threads go by one scenario: what belongs to a run is in st.
    def wanted(self, site, st): return self.want(st) if callable(self.want) else self.want

    def check(self, site, st, accepted, mode):
        site.settle()
        rows, want = self.rows(site, st), self.wanted(site, st)
        if accepted and rows != want:
            raise Wrong("lost", "accepted, and the rows say %s, not %s" % (rows, want))
        host = self.host(site, st) if self.host else rows
        if host != rows:
            raise Wrong("wrong", "the host has %s, the rows say %s" % (host, rows))
        if self.after:
            self.after(site, st)


class Arrival(Change):
    """Where the request is refused the router has no host, and the next comparison finds it one."""
    steady = False


class SeveralRequests(Scenario):
    """A refusal on the way is a request that was not accepted."""

    def act(self, site, st):
        try:
            return super().act(site, st)
        except Wrong:
            return False


class NetworkCreate(SeveralRequests):
    """Network, subnet, and the port of a server on it."""

    def __init__(self, admin=False, **attributes):
        self.admin, self.attributes = admin, attributes

    def prepare(self, site): return {"name": site.name()}

    def request(self, site, st):
        n = site.must("POST", "network", "/networks", {"network": dict(self.attributes, name=st["name"])},
                      client=site.admin if self.admin else None)["network"]["id"]
        st["network"] = n
        site.must("POST", "network", "/subnets", {"subnet": {"network_id": n, "ip_version": 4, "cidr": "10.8.0.0/24"}},
                  client=site.admin if self.admin else None)
        body = site.server_body(st["name"])
        body["server"]["networks"] = [{"uuid": n}]
        return site.call("POST", "compute", "/servers", body)

    check = staticmethod(check_created_server)


class NetworkDelete(Scenario):
    def prepare(self, site):
        st = {"name": site.name()}
        NetworkCreate().request(site, st)
        s = site.find("compute", "servers", st["name"])["id"]
        site.wait_server(s, "ACTIVE")
        site.must("DELETE", "compute", "/servers/" + s)
        site.wait_server(s, "GONE")
        return st

    def request(self, site, st): return site.call("DELETE", "network", "/networks/" + st["network"])

    def check(self, site, st, accepted, mode):
        if accepted and site.find("network", "networks", st["name"]):
            raise Wrong("lost", "the network was deleted and is there")


class RouterCreate(SeveralRequests):
    def prepare(self, site): return {"name": site.name()}

    def request(self, site, st):
        new_router(site, st["name"])
        return 201, None

    def check(self, site, st, accepted, mode):
        r = site.find("network", "routers", st["name"])
        if not accepted:
            return
        if not r:
            raise Wrong("lost", "the router was accepted and is not there")
        site.settle()
        there = site.thing("routers", r["id"])
        if (len(there["interfaces"]), len(there["floating"]), len(there["forwardings"])) != (1, 1, 1) or not there["gateway"]:
            raise Wrong("wrong", "the host has another router than the rows: %s" % there)
        down = [f["id"] for f in site.get("network", "/floatingips")["floatingips"] if f["status"] != "ACTIVE"]
        if down:
            raise Wrong("wrong", "floating IPs are not in force: %s" % down)


class RouterDelete(SeveralRequests):
    """The whole of it is taken apart."""

    def prepare(self, site): return new_router(site, site.name())

    def request(self, site, st):
        routers_swept(site)
        return 204, None

    def check(self, site, st, accepted, mode):
        site.settle()
        if accepted and (site.find("network", "routers", st["name"]) or st["router"] in site.world("routers")):
            raise Wrong("lost", "the router was deleted and is there")


class RouterLeave(SeveralRequests):
    """An administrator takes it away from its host; the next comparison finds it another place."""
    steady = False

    def prepare(self, site): return new_router(site, site.name())

    def request(self, site, st):
        agent = site.get("network", "/agents?agent_type=L3%20agent", site.admin)["agents"][0]["id"]
        return site.call("DELETE", "network", "/agents/%s/l3-routers/%s" % (agent, st["router"]), client=site.admin)

    def check(self, site, st, accepted, mode):
        site.settle()
        rows = site.get("network", "/routers/%s/l3-agents" % st["router"], site.admin)["agents"]
        if bool(rows) != (st["router"] in site.world("routers")):
            raise Wrong("wrong", "the router is on %s, and the host has %s" % (rows, site.world("routers")))


class RowsOnly(Scenario):
    """What no host sees: made, changed and deleted; each change that was answered with 2xx has happened."""

    def prepare(self, site): return {"name": site.name(), "there": {}, "gone": set()}

    def step(self, site, st, method, path, body=None, to=None):
        st["trying"] = path
        status, answer = site.call(method, "network", path, body, client=site.admin)
        if status >= 300:
            raise Wrong("wrong", "%s %s answered %s %s" % (method, path, status, answer))
        made = next(iter(answer.values())) if answer else None
        if method == "DELETE":
            st["there"].pop(path, None)
            st["gone"].add(path)
        else:
            st["there"][path + "/" + made["id"] if method == "POST" else path] = to
        return made

    def request(self, site, st):
        scope = self.step(site, st, "POST", "/address-scopes", {"address_scope": {"name": st["name"], "ip_version": 4}})["id"]
        pool = self.step(site, st, "POST", "/subnetpools", {"subnetpool": {"name": st["name"], "prefixes": ["10.50.0.0/16"], "address_scope_id": scope}})["id"]
        self.step(site, st, "PUT", "/subnetpools/" + pool, {"subnetpool": {"default_prefixlen": 25}}, {"default_prefixlen": "25"})
        rbac = self.step(site, st, "POST", "/rbac-policies", {"rbac_policy": {"object_type": "address_scope", "object_id": scope,
                                                                              "action": "access_as_shared", "target_tenant": site.demo.project_id}})["id"]
        self.step(site, st, "DELETE", "/rbac-policies/" + rbac)
        self.step(site, st, "DELETE", "/subnetpools/" + pool)
        self.step(site, st, "DELETE", "/address-scopes/" + scope)
        return 204, None

    def act(self, site, st):
        try:
            return super().act(site, st)
        except Wrong:
            return False

    def check(self, site, st, accepted, mode):
        for path, to in st["there"].items():
            now = row(site, path)
            if not now and path != st["trying"] or now and any(str(now[k]) != str(v) for k, v in (to or {}).items()):
                raise Wrong("lost", "%s is %s" % (path, now))
        for path in st["gone"]:
            if row(site, path):
                raise Wrong("lost", "%s was deleted and is there" % path)


def dhcp(site, st):
    return (site.thing("networks", st["network"]) or {}).get("dhcp") or {"subnets": [], "ports": []}


def port_of(p):
    """What rows and host say alike of a port."""
    return p and [[a["ip_address"] for a in p["fixed_ips"]], [a["ip_address"] for a in p["allowed_address_pairs"]], sorted(p["security_groups"]),
                  p["admin_state_up"], p["port_security_enabled"]]


def port_on(site, p):
    t = site.thing("ports", p)
    return t and [t["addresses"], [a["ip"] for a in t["pairs"]], sorted(t["groups"]), t["up"], t["port_security"]]


def rules_on(site, st, what):
    return sorted(str(r[what]) for r in site.thing("groups", st["group"])["rules"] if r["protocol"] == 6)


def rules_of(site, st, what):
    return sorted(str(r[what]) for r in row(site, "/security-groups/" + st["group"])["security_group_rules"] if r["protocol"] == "tcp")


def prefixes_of(site, st):
    a = row(site, "/address-groups/" + st["addresses"])
    return sorted(a["addresses"]) if a else []


def kbps_of(site, st):
    p = row(site, "/ports/" + st["port"])["qos_policy_id"] or row(site, "/networks/" + st["network"])["qos_policy_id"]
    return [r["max_kbps"] for r in row(site, "/qos/policies/" + p)["rules"]] if p else []


def kbps_on(site, st):
    k = (site.thing("ports", st["port"])["qos"] or {}).get("egress_kbps")
    return [k] if k else []


def subports_of(site, st):
    t = row(site, "/trunks/" + st["trunk"]) if st.get("trunk") else next((t for t in site.get("network", "/trunks")["trunks"]), None)
    return sorted(s["port_id"] for s in t["sub_ports"]) if t else []


def subports_on(site, st):
    return sorted(site.world("ports") & set(st["ports"]))


def router_of(site, st):
    """What rows and host say alike of a router."""
    r = row(site, "/routers/" + st["router"])
    ports = site.get("network", "/ports?device_id=" + st["router"], site.admin)["ports"]
    gateway = r["external_gateway_info"]
    return {"up": r["admin_state_up"], "routes": sorted(x["destination"] for x in r["routes"]), "snat": gateway and gateway["enable_snat"],
            "gateway": gateway and sorted(a["ip_address"] for a in gateway["external_fixed_ips"]),
            "interfaces": sorted(p["id"] for p in ports if p["device_owner"] == "network:router_interface")}


def router_on(site, st):
    t = site.thing("routers", st["router"])
    gateway = t["gateway"]
    return {"up": t["up"], "routes": sorted(x["destination"] for x in t["routes"]), "snat": gateway and gateway["snat"],
            "gateway": gateway and sorted(a.split("/")[0] for a in gateway["addresses"]), "interfaces": sorted(p["port_id"] for p in t["interfaces"])}


class RouterChange(Change):
    """want: the members of router_of that the request sets."""

    def __init__(self, prepare, request, want, admin=False):
        super().__init__(prepare, request, router_of, None, router_on, admin)
        self.part = want

    def wanted(self, site, st): return dict(router_of(site, st), **(self.part(st) if callable(self.part) else self.part))


def addresses_of(site, st):
    return sorted((f["floating_ip_address"], f["fixed_ip_address"]) for f in site.get("network", "/floatingips")["floatingips"] if f["fixed_ip_address"])


def addresses_on(site, st):
    return sorted((f["external"], f["fixed"]) for f in site.thing("routers", st["router"])["floating"])


class Floating(Change):
    """want: the fixed addresses that floating IPs lead to."""

    def __init__(self, request, want):
        super().__init__(new_router, request, addresses_of, None, addresses_on)
        self.fixed = want

    def wanted(self, site, st):
        now, fixed = addresses_of(site, st), sorted(st["ports"][k]["fixed_ips"][0]["ip_address"] for k in self.fixed)
        return now if sorted(f for _, f in now) == fixed else fixed

    def check(self, site, st, accepted, mode):
        super().check(site, st, accepted, mode)
        for f in site.get("network", "/floatingips")["floatingips"]:
            if f["status"] != ("ACTIVE" if f["fixed_ip_address"] or f["port_forwardings"] else "DOWN"):
                raise Wrong("wrong", "floating IP %s is %s" % (f["floating_ip_address"], f["status"]))


def forwarded_of(site, st):
    all_of = [w for f in site.get("network", "/floatingips")["floatingips"] for w in row(site, "/floatingips/%s/port_forwardings" % f["id"])]
    return sorted((w["protocol"], w["external_port"], w["internal_port"], w["internal_ip_address"]) for w in all_of)


def forwarded_on(site, st):
    return sorted((w["protocol"], w["external_first"], w["internal_first"], w["internal"]) for w in site.thing("routers", st["router"])["forwardings"])


def forwarding(external, internal):
    return lambda st: [("tcp", external, internal, st["ports"][1]["fixed_ips"][0]["ip_address"])]


class TrunkServerDelete(Scenario):
    """A server goes, and takes its trunk's subports off the host; ports and trunk stay."""

    def prepare(self, site): return trunk(site, 2)

    def request(self, site, st): return site.call("DELETE", "compute", "/servers/" + st["server"])

    def check(self, site, st, accepted, mode):
        site.wait_server(st["server"], *(("GONE",) if accepted else ("GONE", "ACTIVE")))
        site.settle()
        there = [p for p in st["ports"] if row(site, "/ports/" + p)["binding:host_id"]] if not site.server(st["server"]) else st["ports"]
        if subports_of(site, st) != sorted(st["ports"]) or subports_on(site, st) != sorted(there):
            raise Wrong("wrong", "subports: rows %s, bound %s, host %s" % (subports_of(site, st), there, subports_on(site, st)))


TCP = {"protocol": "tcp", "port_range_min": 22, "port_range_max": 22}

SCENARIOS = {
    "network.create": NetworkCreate(),
    "network.provider": NetworkCreate(admin=True, shared=True, **{"provider:network_type": "vlan", "provider:physical_network": "lab"}),
    "network.delete": NetworkDelete(),
    "network.mtu": Change(
        own_network, lambda st: ("PUT", "/networks/" + st["network"], {"network": {"mtu": 1300}}),
        lambda site, st: [row(site, "/networks/" + st["network"])["mtu"]] * 2, [1300] * 2,
        lambda site, st: [site.thing("networks", st["network"])["mtu"], site.thing("ports", st["port"])["mtu"]]),
    "network.external-off": Change(
        lambda site: {"network": outside(site)}, lambda st: ("PUT", "/networks/" + st["network"], {"network": {"router:external": False}}),
        lambda site, st: row(site, "/networks/" + st["network"])["router:external"], False,
        lambda site, st: bool((site.thing("networks", st["network"]) or {}).get("host_addresses")), admin=True,
        after=lambda site, st: site.must("PUT", "network", "/networks/" + st["network"], {"network": {"router:external": True}}, client=site.admin)),
    "subnet.create": Change(
        own_network, lambda st: ("POST", "/subnets", {"subnet": {"network_id": st["network"], "ip_version": 4, "cidr": "10.31.0.0/24"}}),
        lambda site, st: sorted(s["cidr"] for s in site.get("network", "/subnets?network_id=" + st["network"])["subnets"]), ["10.30.0.0/24", "10.31.0.0/24"],
        lambda site, st: sorted(s["cidr"] for s in dhcp(site, st)["subnets"])),
    "subnet.dns": Change(
        own_network, lambda st: ("PUT", "/subnets/" + st["subnet"], {"subnet": {"dns_nameservers": ["192.0.2.53"]}}),
        lambda site, st: row(site, "/subnets/" + st["subnet"])["dns_nameservers"], ["192.0.2.53"],
        lambda site, st: dhcp(site, st)["subnets"][0]["dns"]),
    "subnet.dhcp-off": Change(
        own_network, lambda st: ("PUT", "/subnets/" + st["subnet"], {"subnet": {"enable_dhcp": False}}),
        lambda site, st: row(site, "/subnets/" + st["subnet"])["enable_dhcp"], False, lambda site, st: bool(dhcp(site, st)["subnets"])),
    "subnet.delete": Change(
        lambda site: {"network": site.network, "port": guest(site)["id"],
                      "more": add(site, "subnet", network_id=site.network, ip_version=4, cidr="10.32.0.0/24")["id"]},
        lambda st: ("DELETE", "/subnets/" + st["more"]), lambda site, st: row(site, "/subnets/" + st["more"]) is not None, False,
        lambda site, st: st["more"] in [s["id"] for s in dhcp(site, st)["subnets"]],
        after=lambda site, st: site.call("DELETE", "network", "/subnets/" + st["more"])),
    "subnet.slaac": Change(
        own_network, lambda st: ("POST", "/subnets", {"subnet": {"network_id": st["network"], "ip_version": 6, "cidr": "2001:db8:30::/64",
                                                                 "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}}),
        lambda site, st: len(row(site, "/ports/" + st["port"])["fixed_ips"]), 2, lambda site, st: len(site.thing("ports", st["port"])["addresses"])),
    "subnet.slaac-delete": Change(
        lambda site: (lambda st: dict(st, six=slaac(site, st["network"])))(own_network(site)), lambda st: ("DELETE", "/subnets/" + st["six"]),
        lambda site, st: len(row(site, "/ports/" + st["port"])["fixed_ips"]), 1, lambda site, st: len(site.thing("ports", st["port"])["addresses"])),
    "port.create": Change(
        lambda site: {"name": site.name(), "guest": guest(site)}, lambda site, st: ("POST", "/ports", {"port": {"network_id": site.network, "name": st["name"]}}),
        lambda site, st: site.find("network", "ports", st["name"]) is not None, True),
    "port.addresses": Change(
        own_network, lambda st: ("PUT", "/ports/" + st["port"], {"port": {
            "fixed_ips": [{"subnet_id": st["subnet"], "ip_address": "10.30.0.77"}], "allowed_address_pairs": [{"ip_address": "10.30.0.200"}]}}),
        lambda site, st: port_of(row(site, "/ports/" + st["port"]))[:2], [["10.30.0.77"], ["10.30.0.200"]],
        lambda site, st: port_on(site, st["port"])[:2]),
    "port.groups": Change(
        lambda site: dict(own_network(site), group=add(site, "security_group", name=site.name())["id"]),
        lambda st: ("PUT", "/ports/" + st["port"], {"port": {"security_groups": [st["group"]], "admin_state_up": False}}),
        lambda site, st: port_of(row(site, "/ports/" + st["port"]))[2:], lambda st: [[st["group"]], False, True],
        lambda site, st: port_on(site, st["port"])[2:]),
    "port.security-off": Change(
        own_network, lambda st: ("PUT", "/ports/" + st["port"], {"port": {"security_groups": [], "port_security_enabled": False}}),
        lambda site, st: port_of(row(site, "/ports/" + st["port"]))[2:], [[], True, False], lambda site, st: port_on(site, st["port"])[2:]),
    "port.dhcp-options": Change(
        own_network, lambda st: ("PUT", "/ports/" + st["port"], {"port": {"extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "1200"}]}}),
        lambda site, st: [o["opt_value"] for o in row(site, "/ports/" + st["port"])["extra_dhcp_opts"]], ["1200"],
        lambda site, st: [o["value"] for p in dhcp(site, st)["ports"] if p["id"] == st["port"] for o in p.get("options", [])]),
    "port.delete": Change(
        own_network, lambda st: ("DELETE", "/ports/" + st["port"]), lambda site, st: row(site, "/ports/" + st["port"]) is not None, False,
        lambda site, st: st["port"] in site.world("ports")),
    "security-group.create": Change(
        lambda site: {"name": site.name()}, lambda st: ("POST", "/security-groups", {"security_group": {"name": st["name"]}}),
        lambda site, st: site.find("network", "security-groups", st["name"]) is not None, True),
    "security-group.update": Change(
        group, lambda st: ("PUT", "/security-groups/" + st["group"], {"security_group": {"description": "new"}}),
        lambda site, st: row(site, "/security-groups/" + st["group"])["description"], "new"),
    "security-group.delete": Change(
        lambda site: (lambda st: (site.must("PUT", "network", "/ports/" + st["port"], {"port": {"security_groups": []}}), st)[1])(group(site, **TCP)),
        lambda st: ("DELETE", "/security-groups/" + st["group"]), lambda site, st: row(site, "/security-groups/" + st["group"]) is not None, False),
    "security-group.rule": Change(
        group, lambda st: ("POST", "/security-group-rules", {"security_group_rule": dict(TCP, security_group_id=st["group"], direction="ingress")}),
        lambda site, st: rules_of(site, st, "port_range_min"), ["22"], lambda site, st: rules_on(site, st, "port_min")),
    "security-group.rule-delete": Change(
        lambda site: group(site, **TCP), lambda st: ("DELETE", "/security-group-rules/" + st["rule"]),
        lambda site, st: rules_of(site, st, "id"), [], lambda site, st: rules_on(site, st, "id")),
    "security-group.remote": Change(
        lambda site: dict(group(site), other=add(site, "security_group", name=site.name())["id"]),
        lambda st: ("POST", "/security-group-rules", {"security_group_rule": {"security_group_id": st["group"], "direction": "ingress", "protocol": "tcp",
                                                                              "remote_group_id": st["other"]}}),
        lambda site, st: rules_of(site, st, "remote_group_id"), lambda st: [st["other"]], lambda site, st: rules_on(site, st, "remote_group")),
    "security-group.member": Change(
        lambda site: (lambda st: dict(st, to=group(site, remote_group_id=st["group"], protocol="tcp")["group"], more=guest(site)["id"]))(group(site)),
        lambda st: ("PUT", "/ports/" + st["more"], {"port": {"security_groups": [st["group"]]}}),
        lambda site, st: 1 + (st["group"] in row(site, "/ports/" + st["more"])["security_groups"]), 2,
        lambda site, st: len(site.thing("groups", st["group"])["members4"])),
    "address-group.create": Change(
        lambda site: {"name": site.name()}, lambda st: ("POST", "/address-groups", {"address_group": {"name": st["name"], "addresses": ["192.0.2.1/32"]}}),
        lambda site, st: site.find("network", "address-groups", st["name"]) is not None, True),
    "address-group.add": Change(
        address_group, lambda st: ("PUT", "/address-groups/%s/add_addresses" % st["addresses"], {"address_group": {"addresses": ["198.51.100.0/24"]}}),
        prefixes_of, ["192.0.2.0/24", "198.51.100.0/24"], lambda site, st: rules_on(site, st, "cidr")),
    "address-group.remove": Change(
        address_group, lambda st: ("PUT", "/address-groups/%s/remove_addresses" % st["addresses"], {"address_group": {"addresses": ["192.0.2.0/24"]}}),
        prefixes_of, [], lambda site, st: rules_on(site, st, "cidr")),
    "address-group.delete": Change(
        lambda site: (lambda st: (site.must("DELETE", "network", "/security-group-rules/" + st["rule"]), st)[1])(address_group(site)),
        lambda st: ("DELETE", "/address-groups/" + st["addresses"]), lambda site, st: row(site, "/address-groups/" + st["addresses"]) is not None, False),
    "qos.policy": Change(
        lambda site: {"name": site.name()}, lambda st: ("POST", "/qos/policies", {"policy": {"name": st["name"]}}),
        lambda site, st: bool(site.get("network", "/qos/policies?name=" + st["name"], site.admin)["policies"]), True, admin=True),
    "qos.policy-delete": Change(
        policy, lambda st: ("DELETE", "/qos/policies/" + st["policy"]), lambda site, st: row(site, "/qos/policies/" + st["policy"]) is not None, False,
        admin=True),
    "qos.rule": Change(
        lambda site: policy(site, of=["port"]),
        lambda st: ("POST", "/qos/policies/%s/bandwidth_limit_rules" % st["policy"], {"bandwidth_limit_rule": {"max_kbps": 5000}}),
        kbps_of, [5000], kbps_on, admin=True),
    "qos.rule-update": Change(
        lambda site: policy(site, 5000, of=["network"]),
        lambda st: ("PUT", "/qos/policies/%s/bandwidth_limit_rules/%s" % (st["policy"], st["rule"]), {"bandwidth_limit_rule": {"max_kbps": 6000}}),
        kbps_of, [6000], kbps_on, admin=True),
    "qos.rule-delete": Change(
        lambda site: policy(site, 5000, of=["port"]), lambda st: ("DELETE", "/qos/policies/%s/bandwidth_limit_rules/%s" % (st["policy"], st["rule"])),
        kbps_of, [], kbps_on, admin=True),
    "qos.port": Change(
        lambda site: policy(site, 5000), lambda st: ("PUT", "/ports/" + st["port"], {"port": {"qos_policy_id": st["policy"]}}), kbps_of, [5000], kbps_on),
    "qos.port-off": Change(
        lambda site: policy(site, 5000, of=["port"]), lambda st: ("PUT", "/ports/" + st["port"], {"port": {"qos_policy_id": None}}), kbps_of, [], kbps_on),
    "qos.network": Change(
        lambda site: policy(site, 5000), lambda st: ("PUT", "/networks/" + st["network"], {"network": {"qos_policy_id": st["policy"]}}),
        kbps_of, [5000], kbps_on),
    "qos.network-off": Change(
        lambda site: policy(site, 5000, of=["network"]), lambda st: ("PUT", "/networks/" + st["network"], {"network": {"qos_policy_id": None}}),
        kbps_of, [], kbps_on),
    "trunk.create": Change(
        lambda site: trunk(site, bound="first"),
        lambda site, st: ("POST", "/trunks", {"trunk": {"name": site.name(), "port_id": st["parent"], "sub_ports": [
            {"port_id": st["ports"][0], "segmentation_type": "vlan", "segmentation_id": 10}]}}),
        subports_of, lambda st: st["ports"][:1], subports_on),
    "trunk.subport": Change(
        trunk, lambda st: ("PUT", "/trunks/%s/add_subports" % st["trunk"], {"sub_ports": [
            {"port_id": st["ports"][0], "segmentation_type": "vlan", "segmentation_id": 10}]}),
        subports_of, lambda st: st["ports"][:1], subports_on),
    "trunk.subport-remove": Change(
        lambda site: trunk(site, 2), lambda st: ("PUT", "/trunks/%s/remove_subports" % st["trunk"], {"sub_ports": [{"port_id": st["ports"][0]}]}),
        subports_of, lambda st: st["ports"][1:], subports_on),
    "trunk.delete": Change(
        lambda site: trunk(site, 2), lambda st: ("DELETE", "/trunks/" + st["trunk"]), subports_of, [], subports_on),
    "trunk.server-delete": TrunkServerDelete(),
    "router.create": RouterCreate(),
    "router.delete": RouterDelete(),
    "router.leave": RouterLeave(),
    "router.arrive": Arrival(
        left_router, lambda st: ("POST", "/agents/%s/l3-routers" % st["agent"], {"router_id": st["router"]}),
        lambda site, st: bool(row(site, "/routers/%s/l3-agents" % st["router"])), True, lambda site, st: st["router"] in site.world("routers"), admin=True),
    "router.down": RouterChange(
        new_router, lambda st: ("PUT", "/routers/" + st["router"], {"router": {"admin_state_up": False}}), {"up": False}),
    "router.routes": RouterChange(
        new_router, lambda st: ("PUT", "/routers/%s/add_extraroutes" % st["router"], {"router": {"routes": [
            {"destination": "192.0.2.0/24", "nexthop": "10.20.0.99"}]}}), {"routes": ["192.0.2.0/24"]}),
    "router.routes-remove": RouterChange(
        lambda site: (lambda st: (site.must("PUT", "network", "/routers/" + st["router"], {"router": {"routes": [
            {"destination": "192.0.2.0/24", "nexthop": "10.20.0.99"}]}}), st)[1])(new_router(site)),
        lambda st: ("PUT", "/routers/%s/remove_extraroutes" % st["router"], {"router": {"routes": [
            {"destination": "192.0.2.0/24", "nexthop": "10.20.0.99"}]}}), {"routes": []}),
    "router.snat-off": RouterChange(
        new_router, lambda st: ("PUT", "/routers/" + st["router"], {"router": {"external_gateway_info": {
            "network_id": st["out"], "enable_snat": False}}}), {"snat": False}, admin=True),
    "router.gateway-off": RouterChange(
        lambda site: new_router(site, floating=False), lambda st: ("PUT", "/routers/" + st["router"], {"router": {"external_gateway_info": None}}),
        {"gateway": None, "snat": None}),
    "router.gateway": RouterChange(
        lambda site: (lambda st: (site.must("PUT", "network", "/routers/" + st["router"], {"router": {"external_gateway_info": None}}), st)[1])(
            new_router(site, floating=False)),
        lambda st: ("PUT", "/routers/" + st["router"], {"router": {"external_gateway_info": {"network_id": st["out"]}}}), {"snat": True}),
    "router.interface": RouterChange(
        lambda site: (lambda st: dict(st, had=router_of(site, st)["interfaces"], port=add(site, "port", network_id=site.network)["id"]))(new_router(site)),
        lambda st: ("PUT", "/routers/%s/add_router_interface" % st["router"], {"port_id": st["port"]}),
        lambda st: {"interfaces": sorted(st["had"] + [st["port"]])}),
    "router.interface-remove": RouterChange(
        lambda site: new_router(site, floating=False), lambda st: ("PUT", "/routers/%s/remove_router_interface" % st["router"], {"subnet_id": st["subnet"]}),
        {"interfaces": []}),
    "floating.create": Floating(
        lambda st: ("POST", "/floatingips", {"floatingip": {"floating_network_id": st["out"], "port_id": st["ports"][2]["id"]}}), [0, 2]),
    "floating.move": Floating(lambda st: ("PUT", "/floatingips/" + st["floating"], {"floatingip": {"port_id": st["ports"][2]["id"]}}), [2]),
    "floating.free": Floating(lambda st: ("PUT", "/floatingips/" + st["floating"], {"floatingip": {"port_id": None}}), []),
    "floating.delete": Floating(lambda st: ("DELETE", "/floatingips/" + st["floating"]), []),
    "floating.port-delete": Floating(lambda st: ("DELETE", "/ports/" + st["ports"][0]["id"]), []),
    "forwarding.create": Change(
        new_router, lambda st: ("POST", "/floatingips/%s/port_forwardings" % st["shared"], {"port_forwarding": {
            "protocol": "tcp", "internal_port_id": st["ports"][1]["id"], "internal_port": 23, "external_port": 2323}}),
        forwarded_of, lambda st: forwarding(2222, 22)(st) + forwarding(2323, 23)(st), forwarded_on),
    "forwarding.update": Change(
        new_router, lambda st: ("PUT", st["forwarding"], {"port_forwarding": {"external_port": 2323}}), forwarded_of, forwarding(2323, 22), forwarded_on),
    "forwarding.delete": Change(new_router, lambda st: ("DELETE", st["forwarding"]), forwarded_of, [], forwarded_on),
    "topology.create": Change(
        default_pool, lambda st: ("GET", "/auto-allocated-topology/None"), lambda site, st: len(site.get("network", "/routers")["routers"]), 1,
        lambda site, st: len(site.world("routers"))),
    "topology.delete": Change(
        lambda site: (default_pool(site), site.get("network", "/auto-allocated-topology/None"), {})[2],
        lambda st: ("DELETE", "/auto-allocated-topology/None"), lambda site, st: len(site.get("network", "/routers")["routers"]), 0,
        lambda site, st: len(site.world("routers"))),
    "rows": RowsOnly(),
}
