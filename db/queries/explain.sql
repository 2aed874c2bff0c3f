-- explain.sql -- what /ports/{id}/explain asks beside the desired state.

-- The router that has the gateway's address of a subnet of port ?1, of IP version ?2.
-- :name explain_router
SELECT rp.router_id FROM ip_allocation mine JOIN subnet s ON s.id = mine.subnet_id JOIN ip_allocation a ON a.subnet_id = s.id AND a.address = s.gateway_ip
    JOIN router_port rp ON rp.port_id = a.port_id
WHERE mine.port_id = ?1 AND s.ip_version = ?2 ORDER BY rp.router_id LIMIT 1;

-- The address of port ?2 that port ?1 would use: of the same subnet before others, IPv4 before IPv6, and of a version that ?1 has.
-- :name explain_address
SELECT b.address FROM ip_allocation b JOIN subnet s ON s.id = b.subnet_id
WHERE b.port_id = ?2 AND (NOT EXISTS (SELECT 1 FROM ip_allocation WHERE port_id = ?1)
    OR EXISTS (SELECT 1 FROM ip_allocation a JOIN subnet t ON t.id = a.subnet_id WHERE a.port_id = ?1 AND t.ip_version = s.ip_version))
ORDER BY EXISTS (SELECT 1 FROM ip_allocation a WHERE a.port_id = ?1 AND a.subnet_id = b.subnet_id) DESC, s.ip_version, b.key LIMIT 1;

-- :name explain_floating
SELECT id, port_id, fixed_ip_address AS fixed, router_id FROM floating_ip WHERE floating_ip_address = ?1 ORDER BY port_id IS NULL, id LIMIT 1;

-- Who has the metadata of port ?1's network.
-- :name explain_metadata
SELECT d.id FROM port p JOIN port d ON d.network_id = p.network_id AND d.device_owner = 'network:dhcp' WHERE p.id = ?1 LIMIT 1;

-- What floating IP ?1 forwards of protocol ?2 and port ?3: a range to a range in the same order, or to one port.
-- :name explain_forwarding
SELECT internal_port_id AS port_id, internal_ip_address AS fixed, internal_first + iif(internal_last = internal_first, 0, ?3 - external_first) AS port
FROM port_forwarding WHERE floatingip_id = ?1 AND protocol = ?2 AND ?3 BETWEEN external_first AND external_last LIMIT 1;

-- The port with address ?2 on a network of port ?1, or on one that a router joins to it.
-- :name explain_port
SELECT port_id FROM (
    SELECT a.port_id, 0 AS turn FROM port p JOIN ip_allocation a ON a.network_id = p.network_id WHERE p.id = ?1 AND a.address = ?2
    UNION ALL SELECT a.port_id, 1 FROM ip_allocation mine JOIN subnet s ON s.id = mine.subnet_id
        JOIN ip_allocation g ON g.subnet_id = s.id AND g.address = s.gateway_ip JOIN router_port r ON r.port_id = g.port_id
        JOIN router_port o ON o.router_id = r.router_id JOIN port q ON q.id = o.port_id JOIN ip_allocation a ON a.network_id = q.network_id
    WHERE mine.port_id = ?1 AND a.address = ?2)
ORDER BY turn, port_id LIMIT 1;

-- A port of project ?2 (NULL: of any) with address ?1, wherever it is: asked for subnet by subnet, as no index begins with an address.
-- :name explain_elsewhere
SELECT p.id, p.network_id FROM subnet s CROSS JOIN ip_allocation a ON a.subnet_id = s.id AND a.address = ?1 JOIN port p ON p.id = a.port_id
WHERE ?2 IS NULL OR p.project_id = ?2 ORDER BY p.id LIMIT 1;
