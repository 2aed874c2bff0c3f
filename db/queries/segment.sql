-- segment.sql -- networks that span hosts: tunnel addresses, physical networks, peers.

-- :name network_host_get
SELECT tunnel_address, physical, kpps FROM network_host WHERE host = ?1;

-- :name network_host_put
INSERT INTO network_host (host, tunnel_address, physical, kpps) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (host) DO UPDATE SET tunnel_address = excluded.tunnel_address, physical = excluded.physical, kpps = excluded.kpps;

-- :name network_agent_descriptions
SELECT id, description FROM network_agent;

-- :name network_agent_describe
INSERT INTO network_agent (id, description) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET description = excluded.description;

-- :name network_agent_forget
DELETE FROM network_agent WHERE id = ?1;

-- Hosts that were here and are not among the names ?1 (JSON), as the network knows them.  since: when they were last heard of.
-- :name network_hosts_gone
SELECT n.host, ifnull(h.seen_at, 0) AS since FROM network_host n LEFT JOIN host h ON h.name = n.host
WHERE n.host NOT IN (SELECT value FROM json_each(?1)) ORDER BY 1;

-- What keeps the host ?1.
-- :name network_host_burden
SELECT 'server' AS kind, id FROM server WHERE host = ?1 UNION ALL SELECT 'router', id FROM router WHERE host = ?1 AND host <> ''
ORDER BY 1, 2 LIMIT 10;

-- :name network_host_forget
DELETE FROM network_host WHERE host = ?1;

-- :name network_hosts_physical
SELECT host, physical FROM network_host;

-- :name server_physical
SELECT DISTINCT name FROM network_wire
WHERE id IN (SELECT p.network_id FROM server_port x JOIN port p ON p.id = x.port_id WHERE x.server_id = ?1) ORDER BY 1;

-- :name network_tunnels
SELECT count(*) FROM network_host WHERE tunnel_address IS NOT NULL;

-- Networks that are on a host with others, or on its own physical networks: its segments change with what the host says.
-- :name network_segments_on
SELECT n.id FROM network n
WHERE n.network_type <> 'local' AND EXISTS (SELECT 1 FROM port_here q WHERE q.network_id = n.id AND q.host = ?1) ORDER BY 1;

-- Some host but ?2 has the VXLAN network ?1 too.
-- :name network_elsewhere
SELECT EXISTS (SELECT 1 FROM network n JOIN port_here p ON p.network_id = n.id
    WHERE n.id = ?1 AND n.network_type = 'vxlan' AND p.host <> ?2);

-- Hosts but ?2 that have the VXLAN network ?1.
-- :name network_other_hosts
SELECT DISTINCT p.host FROM network n JOIN port_here p ON p.network_id = n.id
WHERE n.id = ?1 AND n.network_type = 'vxlan' AND p.host <> ?2 ORDER BY 1;

-- Ports of network ?1 on other hosts than ?2 that VXLAN reaches.  ra: what a router that is up advertises there.
-- :name network_peers
SELECT h.tunnel_address AS remote, p.mac_address AS mac, p.device_owner, p.port_security_enabled, p.allowed_address_pairs AS pairs,
    (SELECT json_group_array(json(one)) FROM (SELECT json_object('prefix', s.cidr, 'mode', s.ipv6_ra_mode) AS one FROM router_port rp
        JOIN router r ON r.id = rp.router_id JOIN ip_allocation a ON a.port_id = rp.port_id JOIN subnet s ON s.id = a.subnet_id JOIN network n ON n.id = s.network_id
        WHERE (n.project_id = r.project_id OR a.address = s.gateway_ip) AND rp.port_id = p.id AND rp.kind = 'interface' AND r.admin_state_up = 1 AND p.admin_state_up = 1 AND s.ip_version = 6
            AND s.ipv6_ra_mode IS NOT NULL ORDER BY a.key)) AS ra,
    (SELECT group_concat(address, ',') FROM (SELECT a.address FROM ip_allocation a WHERE a.port_id = p.id ORDER BY length(a.key), a.key)) AS ips
FROM port_here x JOIN port p ON p.id = x.id JOIN network_host h ON h.host = p.host
WHERE x.network_id = ?1 AND p.host <> ?2 AND h.tunnel_address IS NOT NULL ORDER BY p.id;
