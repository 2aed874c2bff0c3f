-- 011-host.sql: what is on a host, as its index finds it; the networks that every host has.

-- A host's ports, of one network or of all.  It serves only statements which say that they mean ports on some host: host <> ''.
DROP INDEX port_host;
CREATE INDEX port_host ON port (host, network_id) WHERE host <> '';

DROP VIEW port_here;
CREATE VIEW port_here AS
SELECT id, network_id, host FROM port WHERE plugged = 1 AND host <> ''
UNION ALL SELECT p.id, p.network_id, p.host FROM router_port rp JOIN port p ON p.id = rp.port_id WHERE p.host <> '';

-- Networks whose gateway is the host itself (network_is_host_gateway), with or without ports there.
CREATE VIEW network_host_gateway AS
SELECT id FROM network WHERE external = 1 AND network_type = 'flat' AND physical_network = 'public';
