-- router.sql -- routers, floating IPs, port forwardings.

-- :name usage_router
SELECT count(*) FROM router WHERE project_id = ?1;
-- :name usage_floatingip
SELECT count(*) FROM floating_ip WHERE project_id = ?1;

-- Routers.

-- :name router_bump
UPDATE router SET revision_number = revision_number + 1, updated_at = now_us() WHERE id = ?1;

-- Gateways of routers with their addresses.  ?1: JSON array of router ids.
-- :name router_gateways
SELECT rp.router_id, p.id AS port_id, p.network_id, a.subnet_id, a.address FROM router_port rp JOIN port p ON p.id = rp.port_id
    LEFT JOIN ip_allocation a ON a.port_id = p.id
WHERE rp.kind = 'gateway' AND rp.router_id IN (SELECT value FROM json_each(?1)) ORDER BY rp.router_id, a.key;

-- :name router_gateway_port
SELECT port_id FROM router_port WHERE router_id = ?1 AND kind = 'gateway';

-- :name router_interfaces
SELECT port_id AS id FROM router_port WHERE router_id = ?1 AND kind = 'interface' ORDER BY 1 LIMIT 21;

-- :name router_of_port
SELECT router_id FROM router_port WHERE port_id = ?1;

-- :name router_interface_router
SELECT router_id FROM router_port WHERE port_id = ?1 AND kind = 'interface';

-- What a port may not be deleted for directly: a router's or a floating IP's.
-- :name port_service_user
SELECT router_id FROM router_port WHERE port_id = ?1 UNION ALL SELECT id FROM floating_ip WHERE floating_port_id = ?1 LIMIT 1;

-- :name router_port_add
INSERT INTO router_port (port_id, router_id, kind) VALUES (?1, ?2, ?3);

-- Host and state of its ports follow the router.
-- :name router_ports_bind
UPDATE port SET host = (SELECT host FROM router WHERE id = ?1), revision_number = revision_number + 1, updated_at = now_us()
WHERE id IN (SELECT port_id FROM router_port WHERE router_id = ?1) AND host <> (SELECT host FROM router WHERE id = ?1);

-- ?2: JSON array of the ports that are in force.
-- :name router_ports_active
UPDATE port SET status = 'ACTIVE', revision_number = revision_number + 1, updated_at = now_us()
WHERE id IN (SELECT port_id FROM router_port WHERE router_id = ?1) AND id IN (SELECT value FROM json_each(?2)) AND status <> 'ACTIVE' AND admin_state_up = 1;

-- :name router_ports_down
UPDATE port SET status = 'DOWN', revision_number = revision_number + 1, updated_at = now_us()
WHERE id IN (SELECT port_id FROM router_port WHERE router_id = ?1) AND id NOT IN (SELECT value FROM json_each(?2)) AND status <> 'DOWN';

-- ?2: JSON array of the floating IPs and forwardings that are in force.
-- :name router_floating_active
UPDATE floating_ip SET status = 'ACTIVE', revision_number = revision_number + 1, updated_at = now_us() WHERE router_id = ?1 AND status <> 'ACTIVE'
    AND (id IN (SELECT value FROM json_each(?2)) OR id IN (SELECT floatingip_id FROM port_forwarding WHERE id IN (SELECT value FROM json_each(?2))));

-- Subnets that the router is connected to; of its external network all of them.
-- :name router_subnets
SELECT DISTINCT s.id, s.cidr, rp.port_id, rp.kind, 1 AS own FROM router_port rp JOIN ip_allocation a ON a.port_id = rp.port_id JOIN subnet s ON s.id = a.subnet_id
WHERE rp.router_id = ?1
UNION ALL SELECT s.id, s.cidr, rp.port_id, rp.kind, 0 FROM router_port rp JOIN port p ON p.id = rp.port_id JOIN subnet s ON s.network_id = p.network_id
WHERE rp.router_id = ?1 AND rp.kind = 'gateway';

-- :name router_addresses
SELECT a.address FROM router_port rp JOIN ip_allocation a ON a.port_id = rp.port_id WHERE rp.router_id = ?1;

-- The router's interface on the network that has IPv6 addresses.
-- :name router_v6_port
SELECT rp.port_id FROM router_port rp JOIN port p ON p.id = rp.port_id
WHERE rp.router_id = ?1 AND rp.kind = 'interface' AND p.network_id = ?2 AND p.id IS NOT ?3
    AND EXISTS (SELECT 1 FROM ip_allocation a JOIN subnet s ON s.id = a.subnet_id WHERE a.port_id = p.id AND s.ip_version = 6) ORDER BY 1 LIMIT 1;

-- :name router_port_on_subnet
SELECT rp.port_id FROM router_port rp WHERE rp.router_id = ?1 AND rp.kind = 'interface'
    AND EXISTS (SELECT 1 FROM ip_allocation a WHERE a.port_id = rp.port_id AND a.subnet_id = ?2) ORDER BY 1 LIMIT 1;

-- Floating IPs of the router that lead to addresses of the subnet, by themselves or by a forwarding: for the project ?3 (NULL: an administrator) its own,
-- and all others as one.
-- :name router_subnet_floating
SELECT DISTINCT CASE WHEN ?3 IS NULL OR project_id = ?3 THEN id ELSE 'floating IPs of other projects' END AS id FROM (
SELECT f.id, f.project_id FROM floating_ip f JOIN ip_allocation a ON a.port_id = f.port_id AND a.address = f.fixed_ip_address WHERE f.router_id = ?1 AND a.subnet_id = ?2
UNION SELECT f.id, f.project_id FROM port_forwarding w JOIN floating_ip f ON f.id = w.floatingip_id
    JOIN ip_allocation a ON a.port_id = w.internal_port_id AND a.address = w.internal_ip_address WHERE f.router_id = ?1 AND a.subnet_id = ?2) ORDER BY 1 LIMIT 21;

-- The same, for the project ?2, of all subnets.
-- :name router_floating
SELECT DISTINCT CASE WHEN ?2 IS NULL OR project_id = ?2 THEN id ELSE 'floating IPs of other projects' END AS id FROM floating_ip WHERE router_id = ?1 ORDER BY 1 LIMIT 21;

-- :name router_is_live
SELECT EXISTS (SELECT 1 FROM router_port WHERE router_id = ?1) OR EXISTS (SELECT 1 FROM router WHERE id = ?1 AND host <> '');

-- :name router_host
SELECT host FROM router WHERE id = ?1;

-- :name router_on_host
SELECT id FROM router WHERE id = ?1 AND host = ?2;

-- ?2: JSON array of the configured hosts.
-- :name router_unplace
UPDATE router SET host = '' WHERE id = ?1 AND host NOT IN (SELECT value FROM json_each(?2));

-- :name router_set_host
UPDATE router SET host = ?2, updated_at = now_us() WHERE id = ?1;

-- Of the hosts in ?2 (JSON array) one on the router's physical networks with most of the guests that it serves, then the one with fewest routers; none for
-- a router without ports.
-- :name router_place
SELECT h.value FROM json_each(?2) h WHERE EXISTS (SELECT 1 FROM router_port rp WHERE rp.router_id = ?1)
ORDER BY (SELECT count(*) FROM router_lack l WHERE l.router_id = ?1 AND l.host = h.value), (SELECT count(*) FROM port p WHERE p.host = h.value AND p.plugged = 1
        AND p.network_id IN (SELECT q.network_id FROM router_port rp JOIN port q ON q.id = rp.port_id WHERE rp.router_id = ?1)) DESC,
    (SELECT count(*) FROM router r WHERE r.host = h.value AND r.host <> ''), h.value LIMIT 1;

-- Its host lacks more of its physical networks than another of ?2 (JSON array).
-- :name router_misplaced
SELECT EXISTS (SELECT 1 FROM router r, json_each(?2) h WHERE r.id = ?1 AND r.host <> ''
    AND (SELECT count(*) FROM router_lack l WHERE l.router_id = r.id AND l.host = h.value)
      < (SELECT count(*) FROM router_lack l WHERE l.router_id = r.id AND l.host = r.host));

-- Routers that should have another host than they have.  ?1: JSON array of the configured hosts.
-- :name routers_unplaced
SELECT id FROM router r WHERE (host = '' AND EXISTS (SELECT 1 FROM router_port rp WHERE rp.router_id = r.id))
    OR (host <> '' AND host NOT IN (SELECT value FROM json_each(?1))) ORDER BY id;

-- :name router_networks
SELECT DISTINCT p.network_id AS id FROM router_port rp JOIN port p ON p.id = rp.port_id WHERE rp.router_id = ?1 ORDER BY 1;

-- :name routers_of_network
SELECT DISTINCT rp.router_id AS id FROM router_port rp JOIN port p ON p.id = rp.port_id WHERE p.network_id = ?1 ORDER BY 1;

-- Foreign routers and floating IPs on the external network ?1, of projects that may use it by a policy for ?2 (a project, or '*') and by no other than ?3.
-- :name network_external_users
SELECT DISTINCT CASE WHEN ?4 IS NULL OR u.project_id = ?4 THEN u.id ELSE 'what other projects have' END AS id
FROM (
    SELECT r.id, r.project_id FROM router_port rp JOIN port p ON p.id = rp.port_id JOIN router r ON r.id = rp.router_id WHERE p.network_id = ?1 AND rp.kind = 'gateway'
    UNION ALL SELECT id, project_id FROM floating_ip WHERE floating_network_id = ?1) u JOIN network n ON n.id = ?1
WHERE u.project_id <> n.project_id AND ?2 IN ('*', u.project_id) AND NOT EXISTS (SELECT 1 FROM rbac_policy r WHERE r.object_id = ?1 AND r.id <> ?3
    AND r.action = 'access_as_external' AND r.target_tenant IN ('*', u.project_id))
ORDER BY 1 LIMIT 21;

-- :name network_gateway_ports
SELECT count(*) FROM router_port rp JOIN port p ON p.id = rp.port_id WHERE p.network_id = ?1 AND rp.kind = 'gateway';

-- A router's port that has the address.
-- :name router_port_at
SELECT rp.port_id FROM router_port rp JOIN ip_allocation a ON a.port_id = rp.port_id WHERE a.subnet_id = ?1 AND a.address = ?2 AND rp.kind = 'interface' LIMIT 1;

-- Routers on a host, as ids and as what is behind a name found there.
-- :name host_routers
SELECT id FROM router WHERE host = ?1 AND host <> '' ORDER BY id;

-- :name host_router_count
SELECT count(*) FROM router WHERE host = ?1 AND host <> '';

-- :name router_by_prefix
SELECT id FROM router WHERE id >= substr(?1, 1, 13) AND id < substr(?1, 1, 13) || '~' AND host = ?2 AND host <> '' LIMIT 1;

-- :name router_used_by_prefix
SELECT id FROM router WHERE id >= substr(?1, 1, 13) AND id < substr(?1, 1, 13) || '~' AND host = ?2 AND host <> ''
UNION ALL SELECT resource_id FROM operation WHERE state = 'live'
    AND resource_id >= substr(?1, 1, 13) AND resource_id < substr(?1, 1, 13) || '~' LIMIT 1;

-- Each address of each port of the router, or the port alone.
-- Prefixes are advertised by routers of the network's project, and by who has the subnet's gateway address: others may only route there.
-- :name desired_router_addresses
SELECT rp.kind, p.id AS port_id, p.network_id, p.mac_address AS mac, n.mtu, p.admin_state_up AS up, a.address, s.cidr, s.gateway_ip AS gateway, s.ip_version AS version,
    CASE WHEN n.project_id = r.project_id OR a.address = s.gateway_ip THEN s.ipv6_ra_mode END AS ra_mode
FROM router_port rp JOIN router r ON r.id = rp.router_id JOIN port p ON p.id = rp.port_id JOIN network n ON n.id = p.network_id LEFT JOIN ip_allocation a ON a.port_id = p.id
    LEFT JOIN subnet s ON s.id = a.subnet_id
WHERE rp.router_id = ?1 ORDER BY p.id, s.ip_version, a.key;

-- All subnets of the networks that the router is in.
-- :name desired_router_subnets
SELECT DISTINCT s.network_id, s.cidr FROM router_port rp JOIN port p ON p.id = rp.port_id JOIN subnet s ON s.network_id = p.network_id WHERE rp.router_id = ?1
ORDER BY s.network_id, s.ip_version, s.first_key;

-- :name desired_router_floating
SELECT id, floating_ip_address AS external, fixed_ip_address AS fixed FROM floating_ip WHERE router_id = ?1 AND port_id IS NOT NULL ORDER BY id;

-- :name desired_router_forwardings
SELECT w.id, w.floatingip_id, f.floating_ip_address AS external, w.protocol, w.external_first, w.external_last, w.internal_ip_address AS internal, w.internal_first,
    w.internal_last
FROM port_forwarding w JOIN floating_ip f ON f.id = w.floatingip_id WHERE f.router_id = ?1 ORDER BY w.id;

-- Floating IPs.

-- Who connects subnet ?1 with the external network ?2: best the subnet's own gateway (?3).
-- :name floating_router
SELECT rp.router_id FROM router_port rp JOIN ip_allocation a ON a.port_id = rp.port_id
    JOIN router_port gp ON gp.router_id = rp.router_id AND gp.kind = 'gateway' JOIN port g ON g.id = gp.port_id
WHERE rp.kind = 'interface' AND a.subnet_id = ?1 AND g.network_id = ?2 ORDER BY a.address <> ifnull(?3, ''), rp.router_id LIMIT 1;

-- External subnets that floating IPs of the project ?1 (NULL: of anybody) can be of.
-- :name floating_pools
SELECT s.id AS subnet_id, s.name AS subnet_name, s.cidr, s.network_id, s.project_id FROM subnet s JOIN network n ON n.id = s.network_id
WHERE n.external = 1 AND s.ip_version = 4 AND (?1 IS NULL OR n.project_id = ?1 OR EXISTS (SELECT 1 FROM rbac_policy r WHERE r.object_id = n.id
    AND r.target_tenant IN (?1, '*'))) ORDER BY s.id;

-- :name floating_twin
SELECT id FROM floating_ip WHERE port_id = ?1 AND fixed_ip_address = ?2 AND floating_network_id = ?3 AND id <> ?4 LIMIT 1;

-- :name floating_of_port
SELECT id, floating_ip_address FROM floating_ip WHERE port_id = ?1 ORDER BY id LIMIT 1;

-- ?1: JSON array of floating IP ids.
-- :name floating_ports
SELECT f.id, p.name, p.network_id, p.mac_address, p.admin_state_up, p.status, p.device_id, p.device_owner FROM floating_ip f JOIN port p ON p.id = f.port_id
WHERE f.id IN (SELECT value FROM json_each(?1));

-- :name floating_forwardings
SELECT floatingip_id, id, protocol, internal_port_id, internal_ip_address, external_first, external_last, internal_first, internal_last FROM port_forwarding
WHERE floatingip_id IN (SELECT value FROM json_each(?1)) ORDER BY floatingip_id, id;

-- Floating IPs and forwardings that lead to the port: to addresses that it does not have, or (?2 = 1) at all.
-- :name floating_losing
SELECT f.id, f.router_id FROM floating_ip f WHERE f.port_id = ?1
    AND (?2 = 1 OR NOT EXISTS (SELECT 1 FROM ip_allocation a WHERE a.port_id = ?1 AND a.address = f.fixed_ip_address));

-- :name forwarding_losing
SELECT w.id, w.floatingip_id, f.router_id FROM port_forwarding w JOIN floating_ip f ON f.id = w.floatingip_id WHERE w.internal_port_id = ?1
    AND (?2 = 1 OR NOT EXISTS (SELECT 1 FROM ip_allocation a WHERE a.port_id = ?1 AND a.address = w.internal_ip_address));

-- :name floating_release
UPDATE floating_ip SET port_id = NULL, fixed_ip_address = NULL, router_id = NULL, status = 'DOWN', revision_number = revision_number + 1, updated_at = now_us()
WHERE id = ?1;

-- A floating IP without forwardings belongs to no router.
-- :name floating_settle
UPDATE floating_ip SET router_id = NULL, status = 'DOWN', revision_number = revision_number + 1, updated_at = now_us()
WHERE id = ?1 AND port_id IS NULL AND router_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM port_forwarding w WHERE w.floatingip_id = ?1);

-- :name floating_forward
UPDATE floating_ip SET router_id = ?2, status = 'DOWN', revision_number = revision_number + 1, updated_at = now_us() WHERE id = ?1 AND router_id IS NOT ?2;

-- :name floating_unused
SELECT id, floating_port_id FROM floating_ip f WHERE floating_network_id = ?1 AND port_id IS NULL
    AND NOT EXISTS (SELECT 1 FROM port_forwarding w WHERE w.floatingip_id = f.id);

-- :name floating_delete
DELETE FROM floating_ip WHERE id = ?1;

-- :name port_delete
DELETE FROM port WHERE id = ?1;

-- :name floating_owner_of_port
SELECT id FROM floating_ip WHERE floating_port_id = ?1;

-- Port forwardings.

-- :fragment forwarding_visible
EXISTS (SELECT 1 FROM floating_ip f WHERE f.id = t.floatingip_id AND f.project_id = :project)

-- :name forwarding_count
SELECT count(*) FROM port_forwarding WHERE floatingip_id = ?1;

-- :name forwardings_of
SELECT id FROM port_forwarding WHERE floatingip_id = ?1 ORDER BY 1 LIMIT 21;

-- :name forwarding_delete
DELETE FROM port_forwarding WHERE id = ?1;

-- Another one of the floating IP ?1 and protocol ?2 whose external ports overlap with ?3 to ?4.
-- :name forwarding_external_clash
SELECT external_first || ':' || external_last FROM port_forwarding
WHERE floatingip_id = ?1 AND protocol = ?2 AND external_first <= ?4 AND external_last >= ?3 AND id <> ?5 LIMIT 1;

-- The same of the port ?1 and address ?6, inside.
-- :name forwarding_internal_clash
SELECT internal_first || ':' || internal_last FROM port_forwarding
WHERE internal_port_id = ?1 AND internal_ip_address = ?6 AND protocol = ?2 AND internal_first <= ?4 AND internal_last >= ?3 AND id <> ?5 LIMIT 1;

-- What compute shows: the floating IPs of servers' ports.  ?1: JSON array of server ids.
-- :name nics_floating
SELECT f.port_id, f.floating_ip_address AS ip, 4 AS version, f.fixed_ip_address AS fixed FROM floating_ip f JOIN port p ON p.id = f.port_id
WHERE p.server_id IN (SELECT value FROM json_each(?1)) ORDER BY f.port_id, f.floating_ip_address;

-- Topologies made by themselves.

-- :name topology_get
SELECT network_id, router_id FROM auto_topology WHERE project_id = ?1;

-- :name topology_put
INSERT INTO auto_topology (project_id, network_id, router_id) VALUES (?1, ?2, ?3);

-- :name external_default
SELECT id FROM network WHERE is_default = 1 AND external = 1;

-- :name subnetpools_default
SELECT id, ip_version FROM subnetpool WHERE is_default = 1 ORDER BY ip_version;
