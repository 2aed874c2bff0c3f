-- 004-network.sql: networks, subnets, ports, addresses, security groups, and what says who may use them.

-- vni: a small number of its own for each network: the conntrack zone on every host.  segmentation_id: VLAN or VXLAN id.
CREATE TABLE network (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    status TEXT NOT NULL DEFAULT 'ACTIVE',
    admin_state_up INTEGER NOT NULL DEFAULT 1 CHECK (admin_state_up IN (0, 1)),
    shared INTEGER NOT NULL DEFAULT 0 CHECK (shared IN (0, 1)),
    external INTEGER NOT NULL DEFAULT 0 CHECK (external IN (0, 1)),
    is_default INTEGER NOT NULL DEFAULT 0 CHECK (is_default IN (0, 1)),
    port_security_enabled INTEGER NOT NULL DEFAULT 1 CHECK (port_security_enabled IN (0, 1)),
    mtu INTEGER NOT NULL CHECK (mtu BETWEEN 68 AND 65535),
    network_type TEXT NOT NULL CHECK (network_type IN ('flat', 'vlan', 'vxlan', 'local')),
    physical_network TEXT,
    segmentation_id INTEGER,
    vni INTEGER NOT NULL UNIQUE CHECK (vni BETWEEN 1 AND 65535),
    dns_domain TEXT NOT NULL DEFAULT '',
    availability_zone_hints TEXT NOT NULL DEFAULT '[]',
    qos_policy_id TEXT REFERENCES qos_policy (id),
    revision_number INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX network_project ON network (project_id);
CREATE INDEX network_qos ON network (qos_policy_id) WHERE qos_policy_id IS NOT NULL;
CREATE UNIQUE INDEX network_flat ON network (physical_network) WHERE network_type = 'flat';
CREATE UNIQUE INDEX network_vlan ON network (physical_network, segmentation_id) WHERE network_type = 'vlan';
CREATE UNIQUE INDEX network_segment ON network (segmentation_id) WHERE network_type = 'vxlan';
CREATE UNIQUE INDEX network_default_external ON network (is_default) WHERE is_default = 1;

CREATE TABLE address_scope (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    ip_version INTEGER NOT NULL CHECK (ip_version IN (4, 6)),
    shared INTEGER NOT NULL DEFAULT 0 CHECK (shared IN (0, 1))
) STRICT;

CREATE TABLE subnetpool (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    ip_version INTEGER NOT NULL CHECK (ip_version IN (4, 6)),
    prefixes TEXT NOT NULL,
    default_prefixlen INTEGER NOT NULL,
    min_prefixlen INTEGER NOT NULL,
    max_prefixlen INTEGER NOT NULL,
    default_quota INTEGER,
    shared INTEGER NOT NULL DEFAULT 0 CHECK (shared IN (0, 1)),
    is_default INTEGER NOT NULL DEFAULT 0 CHECK (is_default IN (0, 1)),
    address_scope_id TEXT REFERENCES address_scope (id),
    revision_number INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX subnetpool_scope ON subnetpool (address_scope_id);
CREATE UNIQUE INDEX subnetpool_default ON subnetpool (ip_version) WHERE is_default = 1;

-- first_key and last_key are the range as sortable text (core/ip.h ip_key), for overlaps.
CREATE TABLE subnet (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    network_id TEXT NOT NULL REFERENCES network (id),
    name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    ip_version INTEGER NOT NULL CHECK (ip_version IN (4, 6)),
    cidr TEXT NOT NULL,
    first_key TEXT NOT NULL,
    last_key TEXT NOT NULL,
    gateway_ip TEXT,
    enable_dhcp INTEGER NOT NULL DEFAULT 1 CHECK (enable_dhcp IN (0, 1)),
    ipv6_ra_mode TEXT,
    ipv6_address_mode TEXT,
    allocation_pools TEXT NOT NULL,
    dns_nameservers TEXT NOT NULL DEFAULT '[]',
    host_routes TEXT NOT NULL DEFAULT '[]',
    service_types TEXT NOT NULL DEFAULT '[]',
    subnetpool_id TEXT REFERENCES subnetpool (id),
    dns_publish_fixed_ip INTEGER NOT NULL DEFAULT 0 CHECK (dns_publish_fixed_ip IN (0, 1)),
    revision_number INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX subnet_network ON subnet (network_id);
CREATE INDEX subnet_project ON subnet (project_id);
CREATE INDEX subnet_pool ON subnet (subnetpool_id);

-- server_id: the server whose NIC it is; only the compute service sets it, device_id is what callers say.  owned: made for that server,
-- and goes with it.  plugged: the tap belongs on the host, with its rules; set before it is made and cleared before it is removed, so that
-- whatever changes meanwhile is carried there, and nothing is made again behind a removal.
CREATE TABLE port (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    network_id TEXT NOT NULL REFERENCES network (id),
    name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    mac_address TEXT NOT NULL,
    admin_state_up INTEGER NOT NULL DEFAULT 1 CHECK (admin_state_up IN (0, 1)),
    status TEXT NOT NULL DEFAULT 'DOWN' CHECK (status IN ('ACTIVE', 'DOWN', 'BUILD', 'ERROR', 'N/A')),
    device_id TEXT NOT NULL DEFAULT '',
    device_owner TEXT NOT NULL DEFAULT '',
    server_id TEXT,
    host TEXT NOT NULL DEFAULT '',
    vnic_type TEXT NOT NULL DEFAULT 'normal',
    binding_profile TEXT NOT NULL DEFAULT '{}',
    port_security_enabled INTEGER NOT NULL DEFAULT 1 CHECK (port_security_enabled IN (0, 1)),
    allowed_address_pairs TEXT NOT NULL DEFAULT '[]',
    extra_dhcp_opts TEXT NOT NULL DEFAULT '[]',
    dns_name TEXT NOT NULL DEFAULT '',
    nic_index INTEGER NOT NULL DEFAULT 0,
    nic_tag TEXT,
    owned INTEGER NOT NULL DEFAULT 0 CHECK (owned IN (0, 1)),
    plugged INTEGER NOT NULL DEFAULT 0 CHECK (plugged IN (0, 1)),
    qos_policy_id TEXT REFERENCES qos_policy (id),
    revision_number INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (network_id, mac_address)
) STRICT;
CREATE INDEX port_project ON port (project_id);
CREATE INDEX port_qos ON port (qos_policy_id) WHERE qos_policy_id IS NOT NULL;
CREATE INDEX port_server ON port (server_id) WHERE server_id IS NOT NULL;
CREATE INDEX port_device ON port (device_id) WHERE device_id <> '';
CREATE INDEX port_host ON port (host) WHERE host <> '';
CREATE UNIQUE INDEX port_dhcp ON port (network_id) WHERE device_owner = 'network:dhcp';

-- key and next_key: the address and the one after it as sortable text; the next free address is found by one statement over them.
-- The port's own row is inserted after its addresses in the same transaction.
CREATE TABLE ip_allocation (
    port_id TEXT NOT NULL REFERENCES port (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    subnet_id TEXT NOT NULL REFERENCES subnet (id),
    network_id TEXT NOT NULL,
    address TEXT NOT NULL,
    key TEXT NOT NULL,
    next_key TEXT NOT NULL,
    PRIMARY KEY (subnet_id, key)
) STRICT;
CREATE UNIQUE INDEX ip_allocation_address ON ip_allocation (subnet_id, address);
CREATE INDEX ip_allocation_port ON ip_allocation (port_id);
CREATE INDEX ip_allocation_network ON ip_allocation (network_id, address);

CREATE TABLE security_group (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    stateful INTEGER NOT NULL DEFAULT 1 CHECK (stateful IN (0, 1)),
    is_default INTEGER NOT NULL DEFAULT 0 CHECK (is_default IN (0, 1)),
    revision_number INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX security_group_project ON security_group (project_id);
CREATE UNIQUE INDEX security_group_default ON security_group (project_id) WHERE is_default = 1;

CREATE TABLE address_group (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    revision_number INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX address_group_project ON address_group (project_id);
CREATE TABLE address_group_address (
    address_group_id TEXT NOT NULL REFERENCES address_group (id) ON DELETE CASCADE,
    address TEXT NOT NULL,
    PRIMARY KEY (address_group_id, address)
) STRICT;

-- The group's own row may come after its first rules in the same transaction.
CREATE TABLE security_group_rule (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    security_group_id TEXT NOT NULL REFERENCES security_group (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    direction TEXT NOT NULL CHECK (direction IN ('ingress', 'egress')),
    ethertype TEXT NOT NULL CHECK (ethertype IN ('IPv4', 'IPv6')),
    protocol TEXT,
    port_range_min INTEGER,
    port_range_max INTEGER,
    remote_ip_prefix TEXT,
    remote_group_id TEXT REFERENCES security_group (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    remote_address_group_id TEXT REFERENCES address_group (id),
    description TEXT NOT NULL DEFAULT '',
    revision_number INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX security_group_rule_group ON security_group_rule (security_group_id);
CREATE INDEX security_group_rule_remote ON security_group_rule (remote_group_id) WHERE remote_group_id IS NOT NULL;
CREATE INDEX security_group_rule_addresses ON security_group_rule (remote_address_group_id) WHERE remote_address_group_id IS NOT NULL;
CREATE INDEX security_group_rule_project ON security_group_rule (project_id);

CREATE TABLE port_security_group (
    port_id TEXT NOT NULL REFERENCES port (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    security_group_id TEXT NOT NULL REFERENCES security_group (id),
    PRIMARY KEY (port_id, security_group_id)
) STRICT;
CREATE INDEX port_security_group_group ON port_security_group (security_group_id);

-- Who else may see or use an object; target_project '*' is everybody.
CREATE TABLE rbac_policy (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    object_type TEXT NOT NULL CHECK (object_type IN ('network', 'security_group', 'address_scope', 'subnetpool', 'address_group', 'qos_policy')),
    object_id TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('access_as_shared', 'access_as_external')),
    target_tenant TEXT NOT NULL,
    UNIQUE (object_id, action, target_tenant)
) STRICT;
CREATE INDEX rbac_policy_project ON rbac_policy (project_id);

-- Tags of every kind of object; its triggers below take them away with it.
CREATE TABLE network_tag (
    parent_id TEXT NOT NULL,
    tag TEXT NOT NULL,
    PRIMARY KEY (parent_id, tag)
) STRICT;
CREATE TRIGGER network_gone AFTER DELETE ON network BEGIN
    DELETE FROM network_tag WHERE parent_id = old.id;
    DELETE FROM rbac_policy WHERE object_id = old.id;
END;
CREATE TRIGGER subnet_gone AFTER DELETE ON subnet BEGIN
    DELETE FROM network_tag WHERE parent_id = old.id;
END;
CREATE TRIGGER port_gone AFTER DELETE ON port BEGIN
    DELETE FROM network_tag WHERE parent_id = old.id;
END;
CREATE TRIGGER security_group_gone AFTER DELETE ON security_group BEGIN
    DELETE FROM network_tag WHERE parent_id = old.id;
    DELETE FROM rbac_policy WHERE object_id = old.id;
END;
CREATE TRIGGER subnetpool_gone AFTER DELETE ON subnetpool BEGIN
    DELETE FROM network_tag WHERE parent_id = old.id;
    DELETE FROM rbac_policy WHERE object_id = old.id;
END;
CREATE TRIGGER address_scope_gone AFTER DELETE ON address_scope BEGIN
    DELETE FROM rbac_policy WHERE object_id = old.id;
END;
CREATE TRIGGER address_group_gone AFTER DELETE ON address_group BEGIN
    DELETE FROM rbac_policy WHERE object_id = old.id;
END;

-- What is made once at first start and not again when somebody deletes it.
CREATE TABLE network_once (name TEXT PRIMARY KEY) STRICT;
