-- 007-segment.sql: what the agents' hosts say of themselves: how other hosts reach them, and which physical networks they are on.

-- kpps: thousands of packets a second that it can promise; 0: any number.
-- physical: JSON array of {"name", "interface"} and, where they are known, "egress_kbps" and "ingress_kbps".
CREATE TABLE network_host (
    host TEXT PRIMARY KEY,
    tunnel_address TEXT,
    physical TEXT NOT NULL DEFAULT '[]',
    kpps INTEGER NOT NULL DEFAULT 0 CHECK (kpps >= 0)
) STRICT;

-- Networks that need an interface of the host: not the one whose gateway is the host itself.
CREATE VIEW network_wire AS
SELECT id, physical_network AS name, qos_policy_id FROM network
WHERE network_type IN ('flat', 'vlan') AND NOT (external = 1 AND network_type = 'flat' AND physical_network = 'public');

-- What a host would lack for a router, one row a port; none for hosts that have not said what they are on.
CREATE VIEW router_lack AS
SELECT rp.router_id, h.host, w.name FROM router_port rp JOIN port p ON p.id = rp.port_id JOIN network_wire w ON w.id = p.network_id JOIN network_host h
WHERE NOT EXISTS (SELECT 1 FROM json_each(h.physical) j WHERE json_extract(j.value, '$.name') = w.name);
