"""tests/lib/factories.py -- how to make one valid object of each resource: the only hand-written part of tests/http/test_tables.py.

A resource of the program's tables without a row in FACTORIES fails the tests.  A row is one line where the tables say the rest:

    "address_scope": F(lambda w: {"name": w.name(), "ip_version": 4}),

The function gets the World (names, addresses and other objects to refer to) and returns the body of a valid POST, each time another one.
What a row may say besides:

    by        whose token makes it: "demo" (a member; the default) or "admin"
    path      the collection's path, where no route of the tables names the resource; a function of the World where it has a parent
    in_path   fields that the path gives, not the body
    few       a parent has one or two of them: not made beside one another but for the variants
    listed    the path of the list that shows all fields
    update    method of an update, where no route names the resource; None: there is none
    patch     updates are JSON patches (Glance)
    updates   a body for an update instead of a table's flags (fields that an update takes: {field: good value})
    variants  further bodies, laid over the first: objects that differ, so that filters and orders have something to tell apart
    values    {field: a good value of another shape than the default shows}
    filters   {query parameter: member} where a list has its own names; None: as the table's flags say
    sorts     {sort key: member}, the same
    stranger  statuses of show, update and delete for another project's member; in_list: whether he sees it in the list
    admin_fields  fields that only an administrator may give, where the table's flags do not say so
    first     an update that an object needs before it can be removed
    extra     attributes that nobody declared are kept (Keystone)
    skip      {(check, field or "*"): reason} what this resource cannot pass for a reason that is right
"""
import base64
import itertools
import uuid

NOVA, NEUTRON, KEYSTONE = "/compute/v2.1/", "/network/v2.0/", "/identity/v3/"


class F:
    def __init__(self, body, by="demo", path=None, listed=None, update="", patch=False, updates=None, variants=(), values=None, filters=None,
                 sorts=None, stranger=(404, 404, 404), in_list=False, extra=False, skip=None, key="id", make=None, admin_fields=(), first=None,
                 in_path=(), few=False):
        self.body, self.by, self.path, self.listed, self.update, self.patch, self.updates = body, by, path, listed, update, patch, updates
        self.variants, self.values, self.filters, self.sorts = list(variants), dict(values or {}), filters, sorts
        self.stranger, self.in_list, self.extra, self.skip, self.key, self.make = stranger, in_list, extra, dict(skip or {}), key, make
        self.admin_fields, self.first, self.in_path, self.few = set(admin_fields), first, in_path, few


class World:
    """A cloud with callers, and what factories refer to: made when first asked for."""

    def __init__(self, cloud):
        self.cloud = cloud
        self.admin, self.demo, self.other, self.anonymous = cloud.login("admin"), cloud.login("demo"), cloud.new_tenant(), cloud.anonymous()
        self.counter = itertools.count(1)
        self.made = {}

    def name(self, kind="n"):
        return "%s-%04d" % (kind, next(self.counter))

    def number(self):
        return next(self.counter)

    def cidr(self):
        n = next(self.counter)
        return "10.%d.%d.0/24" % (n // 256 + 1, n % 256)

    def ask(self, path, one, body, who=None):
        r = (who or self.demo).post(path, {one: body})
        assert r.status in (200, 201, 202), (path, body, r)
        return r.json[one]

    def once(self, what, make):
        if what not in self.made:
            self.made[what] = make()
        return self.made[what]

    def network(self):
        return self.once("network", lambda: self.ask(NEUTRON + "networks", "network", {"name": "world"})["id"])

    def new_network(self):
        return self.ask(NEUTRON + "networks", "network", {"name": self.name("net")})["id"]

    def subnet(self):
        return self.once("subnet", lambda: self.ask(NEUTRON + "subnets", "subnet", {"network_id": self.network(), "ip_version": 4, "cidr": "192.168.0.0/16"})["id"])

    def security_group(self):
        return self.once("group", lambda: self.ask(NEUTRON + "security-groups", "security_group", {"name": "world"})["id"])

    def service(self):
        return self.once("service", lambda: self.ask(KEYSTONE + "services", "service", {"type": "t", "name": "world"}, self.admin)["id"])

    def region(self):
        return self.once("region", lambda: self.ask(KEYSTONE + "regions", "region", {"id": "world"}, self.admin)["id"])

    def project(self):
        return self.once("project", lambda: self.ask(KEYSTONE + "projects", "project", {"name": "world"}, self.admin)["id"])

    def new_limit_name(self):
        name = self.name("res")
        self.ask(KEYSTONE + "registered_limits", "registered_limits", [{"service_id": self.service(), "resource_name": name, "default_limit": 5}], self.admin)
        return name

    def public(self):
        return self.once("public", lambda: self.demo.get(NEUTRON + "networks?router:external=true").json["networks"][0])

    def new_port(self):
        return self.ask(NEUTRON + "ports", "port", {"network_id": self.server_network()})["id"]

    def qos_policy(self, name="world"):
        return self.once("qos " + name, lambda: self.ask(NEUTRON + "qos/policies", "policy", {"name": name}, self.admin)["id"])

    def qos(self, kind, name="world"):
        return NEUTRON + "qos/policies/%s/%s" % (self.qos_policy(name), kind)

    def routed_port(self):
        """A port on a network behind a router with a gateway."""
        def make():
            self.subnet()
            router = self.ask(NEUTRON + "routers", "router", {"external_gateway_info": {"network_id": self.public()["id"]}})["id"]
            r = self.demo.put(NEUTRON + "routers/%s/add_router_interface" % router, {"subnet_id": self.subnet()})
            assert r.status == 200, r
            return self.ask(NEUTRON + "ports", "port", {"network_id": self.network(), "name": "routed",
                                                                    "fixed_ips": [{"subnet_id": self.subnet()}]})
        return self.once("routed", make)

    def forwarded(self):
        fip = self.once("fip", lambda: self.ask(NEUTRON + "floatingips", "floatingip", {"floating_network_id": self.public()["id"]})["id"])
        return NEUTRON + "floatingips/%s/port_forwardings" % fip

    def flavor(self):
        return self.once("flavor", lambda: self.ask(NOVA + "flavors", "flavor", {"name": "world", "ram": 64, "vcpus": 1, "disk": 1}, self.admin)["id"])

    def image(self):
        def make():
            r = self.demo.post("/image/v2/images", {"name": "world", "disk_format": "raw", "container_format": "bare"})
            assert r.status == 201, r
            up = self.demo.put("/image/v2/images/%s/file" % r.json["id"], raw=b"\0" * 65536, headers={"Content-Type": "application/octet-stream"})
            assert up.status == 204, up
            return r.json["id"]
        return self.once("image", make)

    def server_network(self):
        self.subnet()
        return self.network()


def rule(w):
    n = w.number()
    return {"security_group_id": w.security_group(), "direction": "ingress", "protocol": "tcp", "port_range_min": n, "port_range_max": n + 1}


def forwarding(w):
    port, n = w.routed_port(), w.number()
    return {"protocol": "tcp", "internal_port_id": port["id"], "internal_ip_address": port["fixed_ips"][0]["ip_address"], "internal_port": n, "external_port": n}


def batched(many, body):
    """Keystone's limits are made by lists: {"limits": [{…}]}."""
    return {many: [body]}


# Members of Nova's lists that are called otherwise in its answers.
FLAVOR_SORTS = {"flavorid": "id", "name": "name", "memory_mb": "ram", "vcpus": "vcpus", "root_gb": "disk", "ephemeral_gb": "OS-FLV-EXT-DATA:ephemeral",
                "swap": "swap", "is_public": "os-flavor-access:is_public"}
SERVER_SORTS = {"created_at": "created", "updated_at": "updated", "display_name": "name", "uuid": "id", "vm_state": "OS-EXT-STS:vm_state",
                "power_state": "OS-EXT-STS:power_state", "project_id": "tenant_id", "user_id": "user_id", "hostname": "OS-EXT-SRV-ATTR:hostname",
                "access_ip_v4": "accessIPv4", "access_ip_v6": "accessIPv6",
                "display_description": "description", "key_name": "key_name", "launched_at": "OS-SRV-USG:launched_at",
                "availability_zone": "OS-EXT-AZ:availability_zone", "auto_disk_config": "OS-DCF:diskConfig", "config_drive": "config_drive",
                "task_state": "OS-EXT-STS:task_state"}
SERVER_FILTERS = {"name": "name", "user_id": "user_id", "vm_state": "OS-EXT-STS:vm_state", "power_state": "OS-EXT-STS:power_state",
                  "key_name": "key_name", "availability_zone": "OS-EXT-AZ:availability_zone"}
IMAGE_SORTS = {k: k for k in ("name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at")}
ADMINS_ONLY = (403, 403, 403)
READABLE = (200, 403, 403)
DISTURBS = {("hostile", "enabled"): "a caller's own domain, disabled, ends his tokens"}

FACTORIES = {
    # identity
    "domain": F(lambda w: {"name": w.name()}, by="admin", extra=True, stranger=(404, 403, 403), variants=[{"enabled": False}], first={"enabled": False}),
    "project": F(lambda w: {"name": w.name()}, by="admin", path=KEYSTONE + "projects", update="PATCH", extra=True, stranger=(404, 403, 403),
                 variants=[{"enabled": False}, {"tags": ["a", "b"]}, {"tags": ["b"]}],
                 skip={("null", "domain_id"): "null is the default, as in Keystone", ("null", "parent_id"): "null is the default, as in Keystone",
                       ("null", "description"): "null is the default, as in Keystone",
                       ("filters", "is_domain"): "anything but false and 0 asks for domains", ("read_only", "is_domain"): "makes a domain instead"}),
    "user": F(lambda w: {"name": w.name(), "email": "%s@example.org" % w.name()}, by="admin", extra=True, stranger=(404, 403, 403),
              variants=[{"enabled": False}], values={"password": "secret"}),
    "group": F(lambda w: {"name": w.name()}, by="admin", extra=True, stranger=ADMINS_ONLY),
    "role": F(lambda w: {"name": w.name()}, by="admin", path=KEYSTONE + "roles", extra=True, stranger=ADMINS_ONLY),
    "region": F(lambda w: {"id": w.name()}, by="admin", extra=True, stranger=READABLE, in_list=True),
    "service": F(lambda w: {"type": w.name("type"), "name": w.name()}, by="admin", extra=True, stranger=ADMINS_ONLY, variants=[{"enabled": False}]),
    "endpoint": F(lambda w: {"service_id": w.service(), "interface": "public", "url": "http://example.org/" + w.name()}, by="admin", extra=True,
                  stranger=ADMINS_ONLY, variants=[{"interface": "admin"}, {"enabled": False}],
                  skip={("read_only", "region"): "the older name of region_id"}),
    "policy": F(lambda w: {"type": w.name("type"), "blob": "{}"}, by="admin", stranger=ADMINS_ONLY),
    "endpoint_group": F(lambda w: {"name": w.name(), "filters": {"interface": "public"}}, by="admin", path=KEYSTONE + "OS-EP-FILTER/endpoint_groups",
                        stranger=ADMINS_ONLY),
    "credential": F(lambda w: {"type": w.name("type"), "blob": "secret"}),
    "registered_limit": F(lambda w: {"service_id": w.service(), "resource_name": w.name("res"), "default_limit": 5}, by="admin", stranger=READABLE,
                          in_list=True, make=batched),
    "limit": F(lambda w: {"service_id": w.service(), "project_id": w.project(), "resource_name": w.new_limit_name(), "resource_limit": 3}, by="admin",
               make=batched, stranger=(404, 403, 403)),
    # images
    "image": F(lambda w: {"name": w.name(), "disk_format": "raw", "container_format": "bare"}, path="/image/v2/images", update="PATCH", patch=True,
               variants=[{"disk_format": "qcow2"}, {"min_ram": 5}, {"min_disk": 2}, {"protected": False, "container_format": "ami", "disk_format": "ami"}],
               sorts=IMAGE_SORTS, admin_fields=["owner"],
               skip={("read_only", "id"): "a client may choose it", ("read_only", "properties"): "an image may have a property of any name", ("null", "name"): "null is no name, as in Glance",
                     ("null", "disk_format"): "null is none yet, as in Glance", ("null", "container_format"): "null is none yet, as in Glance"}),
    # compute
    "flavor": F(lambda w: {"name": w.name(), "ram": 512 + w.number(), "vcpus": 1, "disk": 1}, by="admin", path=NOVA + "flavors", listed=NOVA + "flavors/detail",
                update="PUT", stranger=READABLE, in_list=True, variants=[{"vcpus": 2}, {"disk": 7}, {"swap": 3}, {"OS-FLV-EXT-DATA:ephemeral": 4}],
                filters={}, sorts=FLAVOR_SORTS,
                skip={("hostile", "id"): "numbers are ids too, and null chooses one", ("null", "id"): "null chooses one"}),
    "server": F(lambda w: {"name": w.name(), "flavorRef": w.flavor(), "imageRef": w.image(), "networks": "none"}, path=NOVA + "servers",
                listed=NOVA + "servers/detail", update="PUT", filters=SERVER_FILTERS, sorts=SERVER_SORTS,
                updates={"name": "renamed", "description": "d", "accessIPv4": "192.0.2.1", "accessIPv6": "2001:db8::1", "OS-DCF:diskConfig": "AUTO",
                         "hostname": "renamed"},
                variants=[{"description": "b", "accessIPv4": "192.0.2.9"}, {"description": "a", "accessIPv6": "2001:db8::9"}],
                values={"metadata": {"k": "v"}, "block_device_mapping": [], "block_device_mapping_v2": [], "config_drive": True, "min_count": 1,
                        "max_count": 1, "return_reservation_id": False, "security_groups": [{"name": "default"}], "tags": ["t"],
                        "trusted_image_certificates": [], "personality": [], "user_data": base64.b64encode(b"x").decode()},
                skip={("hostile", "flavorRef"): "numbers are ids too", ("hostile", "networks"): "a list, auto or none"}),
    # networks
    "network": F(lambda w: {"name": w.name()}, variants=[{"description": "d"}, {"admin_state_up": False}, {"port_security_enabled": False}, {"mtu": 1400}]),
    "subnet": F(lambda w: {"network_id": w.network(), "cidr": w.cidr(), "ip_version": 4, "name": w.name()},
                variants=[{"description": "d"}, {"enable_dhcp": False}],
                values={"allocation_pools": lambda w, o: o["allocation_pools"], "prefixlen": 24, "use_default_subnetpool": False}),
    "port": F(lambda w: {"network_id": w.server_network(), "name": w.name()},
              variants=[{"description": "d"}, {"admin_state_up": False}, {"device_id": "x", "device_owner": "y"}]),
    "security_group": F(lambda w: {"name": w.name()}, variants=[{"description": "d"}, {"stateful": False}]),
    "security_group_rule": F(rule, variants=[{"direction": "egress"}, {"description": "d"}, {"ethertype": "IPv6"}, {"remote_ip_prefix": "10.0.0.0/8"}]),
    "subnetpool": F(lambda w: {"name": w.name(), "prefixes": ["10.%d.0.0/16" % (w.number() % 250)]},
                    variants=[{"description": "d"}, {"default_prefixlen": 28}, {"default_quota": 9}]),
    "address_scope": F(lambda w: {"name": w.name(), "ip_version": 4}, variants=[{"ip_version": 6}]),
    "address_group": F(lambda w: {"name": w.name(), "addresses": ["10.0.0.0/8"]}, variants=[{"description": "d"}]),
    "rbac_policy": F(lambda w: {"object_type": "network", "object_id": w.new_network(), "action": "access_as_shared", "target_tenant": w.other.project_id}),
    "neutron_policy": F(lambda w: {"name": w.name()}, by="admin", variants=[{"description": "d"}]),
    "bandwidth_limit_rule": F(lambda w: {"max_kbps": w.number()}, path=lambda w: w.qos("bandwidth_limit_rules"), in_path=["qos_policy_id"], by="admin", few=True,
                              variants=[{"direction": "ingress"}]),
    "packet_rate_limit_rule": F(lambda w: {"max_kpps": w.number()}, path=lambda w: w.qos("packet_rate_limit_rules"), in_path=["qos_policy_id"], by="admin", few=True,
                                variants=[{"direction": "ingress"}]),
    "minimum_bandwidth_rule": F(lambda w: {"min_kbps": w.number()}, path=lambda w: w.qos("minimum_bandwidth_rules", "promises"), in_path=["qos_policy_id"],
                                by="admin", few=True, variants=[{"direction": "ingress"}]),
    "minimum_packet_rate_rule": F(lambda w: {"min_kpps": w.number()}, path=lambda w: w.qos("minimum_packet_rate_rules", "promises"), in_path=["qos_policy_id"],
                                  by="admin", few=True, variants=[{"direction": "ingress"}]),
    "dscp_marking_rule": F(lambda w: {"dscp_mark": 10}, path=lambda w: w.qos("dscp_marking_rules"), in_path=["qos_policy_id"], by="admin", few=True),
    "trunk": F(lambda w: {"port_id": w.new_port(), "name": w.name()}, variants=[{"description": "d"}, {"admin_state_up": False}]),
    "router": F(lambda w: {"name": w.name()}, variants=[{"description": "d"}, {"admin_state_up": False}],
                values={"external_gateway_info": lambda w, o: {"network_id": w.public()["id"]}, "distributed": False, "ha": False}),
    "floatingip": F(lambda w: {"floating_network_id": w.public()["id"]}, variants=[{"description": "d"}],
                    values={"subnet_id": lambda w, o: w.public()["subnets"][0]}),
    "port_forwarding": F(forwarding, path=World.forwarded, in_path=["floatingip_id"], variants=[{"description": "d"}, {"protocol": "udp"}],
                         values={"external_port_range": "1:2", "internal_port_range": "1:2"},
                         skip={("bounds", "protocol"): "other cases are taken, as in Neutron", ("if_match", "*"): "its revision is not shown, as in Neutron"}),
}
