-- 006-router.sql: routers and their ports, floating IPs, port forwardings, and the topology that a project gets made for it.

-- host: where its namespace is; '' until it has a port and a host is up.  There is one place for a router at a time.
CREATE TABLE router (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    status TEXT NOT NULL DEFAULT 'ACTIVE',
    admin_state_up INTEGER NOT NULL DEFAULT 1 CHECK (admin_state_up IN (0, 1)),
    enable_snat INTEGER NOT NULL DEFAULT 1 CHECK (enable_snat IN (0, 1)),
    routes TEXT NOT NULL DEFAULT '[]',
    availability_zone_hints TEXT NOT NULL DEFAULT '[]',
    host TEXT NOT NULL DEFAULT '',
    revision_number INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX router_project ON router (project_id);
CREATE INDEX router_host ON router (host) WHERE host <> '';

-- Which ports are a router's.  What callers write into device_id and device_owner decides nothing.
CREATE TABLE router_port (
    port_id TEXT PRIMARY KEY REFERENCES port (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    router_id TEXT NOT NULL REFERENCES router (id) DEFERRABLE INITIALLY DEFERRED,
    kind TEXT NOT NULL CHECK (kind IN ('interface', 'gateway'))
) STRICT;
CREATE INDEX router_port_router ON router_port (router_id);
CREATE UNIQUE INDEX router_port_gateway ON router_port (router_id) WHERE kind = 'gateway';

-- Ports that have something on a host: a guest's tap, or a router's link.
CREATE VIEW port_here AS
SELECT id, network_id, host FROM port WHERE plugged = 1
UNION ALL SELECT p.id, p.network_id, p.host FROM router_port rp JOIN port p ON p.id = rp.port_id WHERE p.host <> '';

-- port_id and fixed_ip_address: what it leads to, both or neither.  router_id: who carries it, for an association or for forwardings.
CREATE TABLE floating_ip (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    floating_network_id TEXT NOT NULL REFERENCES network (id),
    floating_port_id TEXT NOT NULL UNIQUE REFERENCES port (id) DEFERRABLE INITIALLY DEFERRED,
    floating_ip_address TEXT NOT NULL,
    port_id TEXT REFERENCES port (id),
    fixed_ip_address TEXT,
    router_id TEXT REFERENCES router (id),
    status TEXT NOT NULL DEFAULT 'DOWN' CHECK (status IN ('ACTIVE', 'DOWN', 'ERROR')),
    dns_name TEXT NOT NULL DEFAULT '',
    dns_domain TEXT NOT NULL DEFAULT '',
    revision_number INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CHECK ((port_id IS NULL) = (fixed_ip_address IS NULL)),
    CHECK (port_id IS NULL OR router_id IS NOT NULL)
) STRICT;
CREATE INDEX floating_ip_project ON floating_ip (project_id);
CREATE UNIQUE INDEX floating_ip_address ON floating_ip (floating_network_id, floating_ip_address);
CREATE UNIQUE INDEX floating_ip_fixed ON floating_ip (port_id, fixed_ip_address, floating_network_id) WHERE port_id IS NOT NULL;
CREATE INDEX floating_ip_router ON floating_ip (router_id) WHERE router_id IS NOT NULL;

-- Ranges: one port where first and last are the same.  Overlaps are refused by the code that writes; an invariant looks for them.
CREATE TABLE port_forwarding (
    id TEXT PRIMARY KEY,
    floatingip_id TEXT NOT NULL REFERENCES floating_ip (id),
    protocol TEXT NOT NULL CHECK (protocol IN ('tcp', 'udp')),
    external_first INTEGER NOT NULL CHECK (external_first BETWEEN 1 AND 65535),
    external_last INTEGER NOT NULL CHECK (external_last BETWEEN external_first AND 65535),
    internal_port_id TEXT NOT NULL REFERENCES port (id),
    internal_ip_address TEXT NOT NULL,
    internal_first INTEGER NOT NULL CHECK (internal_first BETWEEN 1 AND 65535),
    internal_last INTEGER NOT NULL CHECK (internal_last BETWEEN internal_first AND 65535),
    description TEXT NOT NULL DEFAULT '',
    revision_number INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CHECK (internal_last = internal_first OR internal_last - internal_first = external_last - external_first)
) STRICT;
CREATE UNIQUE INDEX port_forwarding_external ON port_forwarding (floatingip_id, protocol, external_first);
CREATE INDEX port_forwarding_port ON port_forwarding (internal_port_id);

CREATE TABLE auto_topology (
    project_id TEXT PRIMARY KEY,
    network_id TEXT NOT NULL REFERENCES network (id) ON DELETE CASCADE,
    router_id TEXT NOT NULL REFERENCES router (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX auto_topology_network ON auto_topology (network_id);
CREATE INDEX auto_topology_router ON auto_topology (router_id);

CREATE TRIGGER router_gone AFTER DELETE ON router BEGIN
    DELETE FROM network_tag WHERE parent_id = old.id;
END;
CREATE TRIGGER floating_ip_gone AFTER DELETE ON floating_ip BEGIN
    DELETE FROM network_tag WHERE parent_id = old.id;
END;
