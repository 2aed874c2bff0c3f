-- db/invariants.sql -- SELECTs that must return nothing once everything has settled (DESIGN §5.8).

-- A live operation whose next try is long past: nobody runs it.  Ten minutes: no step's call takes that long without having been tried.
-- :name operation_forgotten
SELECT id, kind, step, resource_id FROM operation
WHERE state = 'live' AND attempt > 0 AND max(updated_at, not_before) < now_us() - 1800000000;

-- :name image_active_without_data
SELECT id, status FROM image
WHERE status IN ('active', 'deactivated') AND (size < 1 OR checksum IS NULL OR os_hash_value IS NULL OR disk_format = '' OR container_format = '');

-- :name image_queued_with_data
SELECT id, status FROM image WHERE status = 'queued' AND (checksum IS NOT NULL OR os_hash_value IS NOT NULL OR size >= 0);

-- Something is said to be going on with a server, and no operation does it.
-- :name server_stuck
SELECT id, vm_state, task_state FROM server s WHERE (task_state IS NOT NULL OR vm_state = 'building')
AND NOT EXISTS (SELECT 1 FROM operation o WHERE o.resource_id = s.id AND o.state = 'live');

-- :name server_without_host
SELECT id, vm_state FROM server WHERE host IS NULL AND vm_state NOT IN ('building', 'error', 'shelved_offloaded');

-- A deleted server that still has what only living ones have.
-- :name server_deleted_and_living
SELECT s.id FROM server s JOIN server_deleted d ON d.id = s.id;

-- A failed create keeps no address.
-- :name server_failed_with_port
SELECT s.id, p.id AS port_id FROM server s JOIN port p ON p.server_id = s.id
WHERE s.vm_state = 'error' AND s.host IS NULL AND s.task_state IS NULL;

-- A port made for a server that is not there.
-- :name server_port_orphaned
SELECT p.id, p.server_id FROM port p WHERE p.server_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM server s WHERE s.id = p.server_id);
-- :name address_outside_subnet
SELECT a.port_id, a.address FROM ip_allocation a JOIN subnet s ON s.id = a.subnet_id WHERE a.key < s.first_key OR a.key > s.last_key OR a.network_id <> s.network_id;

-- :name address_of_another_network
SELECT a.port_id, a.address FROM ip_allocation a LEFT JOIN port p ON p.id = a.port_id WHERE p.id IS NULL OR p.network_id <> a.network_id;

-- :name address_twice_on_a_network
SELECT network_id, address, count(*) AS times FROM ip_allocation GROUP BY network_id, address HAVING count(*) > 1;

-- :name plugged_port_without_host
SELECT id FROM port p WHERE plugged = 1 AND (host = '' OR (server_id IS NULL AND NOT EXISTS (SELECT 1 FROM trunk_subport s JOIN trunk t ON t.id = s.trunk_id
    JOIN port q ON q.id = t.port_id WHERE s.port_id = p.id AND q.plugged = 1 AND q.host = p.host)));

-- A subport is where its trunk's parent is.
-- :name subport_elsewhere
SELECT p.id FROM trunk_subport s JOIN port p ON p.id = s.port_id JOIN trunk t ON t.id = s.trunk_id JOIN port q ON q.id = t.port_id
WHERE p.host <> q.host OR p.plugged <> q.plugged OR p.device_id <> t.id;

-- :name dhcp_port_missing
SELECT s.id FROM subnet s WHERE s.enable_dhcp = 1 AND NOT EXISTS (SELECT 1 FROM ip_allocation a JOIN port p ON p.id = a.port_id
    WHERE a.subnet_id = s.id AND p.device_owner = 'network:dhcp');

-- A project hangs under its domain, or under a project of the same domain.
-- :name project_parent_missing
SELECT p.id, p.parent_id FROM project p LEFT JOIN project a ON a.id = p.parent_id
WHERE p.parent_id <> p.domain_id AND (a.id IS NULL OR a.domain_id <> p.domain_id);

-- A group and its members are of any domains, but a domain-specific role stays within its own.
-- :name role_outside_domain
SELECT a.role_id, a.project_id, a.domain_id FROM assignment a JOIN role r ON r.id = a.role_id LEFT JOIN project p ON p.id = a.project_id
WHERE r.domain_id IS NOT NULL AND r.domain_id IS NOT ifnull(p.domain_id, a.domain_id);

-- Nobody could administer the cloud.
-- :name no_administrator
SELECT 1 AS nobody WHERE EXISTS (SELECT 1 FROM domain) AND NOT EXISTS (
    SELECT 1 FROM assignment a JOIN role r ON r.id = a.role_id AND r.name = 'admin' AND r.domain_id IS NULL
    WHERE a.project_id IS NOT NULL OR a.domain_id IS NULL);

-- Things of a project that is gone.
-- :name owner_gone
SELECT kind, id FROM (
    SELECT 'server' AS kind, id, project_id FROM server UNION ALL SELECT 'network', id, project_id FROM network
    UNION ALL SELECT 'security group', id, project_id FROM security_group UNION ALL SELECT 'router', id, project_id FROM router
    UNION ALL SELECT 'floating IP', id, project_id FROM floating_ip UNION ALL SELECT 'quota', project_id, project_id FROM quota) x
WHERE NOT EXISTS (SELECT 1 FROM project p WHERE p.id = x.project_id);

-- :name keypair_owner_gone
SELECT id, user_id FROM keypair k WHERE NOT EXISTS (SELECT 1 FROM user u WHERE u.id = k.user_id);

-- What placement believes a host's servers take is not what they take.
-- :name host_room_wrong
SELECT r.host, r.servers, r.vcpus, r.memory_mb, r.disk_gb FROM host_room r WHERE (r.servers, r.vcpus, r.memory_mb, r.disk_gb) IS NOT
    (SELECT count(*), coalesce(sum(vcpus), 0), coalesce(sum(memory_mb), 0), coalesce(sum(disk_gb + ephemeral_gb), 0) FROM server s WHERE s.host = r.host)
UNION ALL SELECT DISTINCT host, 0, 0, 0, 0 FROM server WHERE host IS NOT NULL AND host NOT IN (SELECT host FROM host_room);

-- A floating IP leads to an address that its port has, through a router that is on both sides.
-- :name floating_address_gone
SELECT f.id, f.port_id, f.fixed_ip_address FROM floating_ip f WHERE f.port_id IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM ip_allocation a WHERE a.port_id = f.port_id AND a.address = f.fixed_ip_address);

-- :name floating_router_cut_off
SELECT f.id, f.router_id FROM floating_ip f WHERE f.router_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM router_port rp JOIN port p ON p.id = rp.port_id
    WHERE rp.router_id = f.router_id AND rp.kind = 'gateway' AND p.network_id = f.floating_network_id);

-- :name floating_port_without_its_address
SELECT f.id, f.floating_ip_address FROM floating_ip f WHERE NOT EXISTS (SELECT 1 FROM ip_allocation a
    WHERE a.port_id = f.floating_port_id AND a.network_id = f.floating_network_id AND a.address = f.floating_ip_address);

-- :name floating_used_twice
SELECT f.id FROM floating_ip f WHERE f.port_id IS NOT NULL AND EXISTS (SELECT 1 FROM port_forwarding w WHERE w.floatingip_id = f.id);

-- :name forwarding_overlaps
SELECT v.id, w.id AS other FROM port_forwarding v JOIN port_forwarding w ON w.floatingip_id = v.floatingip_id AND w.protocol = v.protocol AND w.id > v.id
    AND w.external_first <= v.external_last AND w.external_last >= v.external_first;

-- :name forwarding_address_gone
SELECT w.id FROM port_forwarding w WHERE NOT EXISTS (SELECT 1 FROM ip_allocation a WHERE a.port_id = w.internal_port_id AND a.address = w.internal_ip_address);

-- :name router_port_elsewhere
SELECT p.id, p.host, r.host AS router_host FROM router_port rp JOIN port p ON p.id = rp.port_id JOIN router r ON r.id = rp.router_id WHERE p.host <> r.host;

-- A server's port is no subport: server_port would have it twice.
-- :name server_port_in_trunk
SELECT p.id FROM trunk_subport s JOIN port p ON p.id = s.port_id WHERE p.server_id IS NOT NULL;
