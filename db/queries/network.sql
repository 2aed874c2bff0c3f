-- network.sql -- networks, subnets, ports, addresses, security groups.

-- Who sees what.  A shared network is one with shared = 1 or with a policy for the caller's project.
-- :fragment network_visible
t.project_id = :project OR EXISTS (SELECT 1 FROM rbac_policy r WHERE r.object_id = t.id AND r.target_tenant IN (:project, '*'))

-- :fragment subnet_visible
t.project_id = :project OR EXISTS (SELECT 1 FROM network n WHERE n.id = t.network_id AND (n.project_id = :project OR n.shared = 1
    OR EXISTS (SELECT 1 FROM rbac_policy r WHERE r.object_id = n.id AND r.action = 'access_as_shared' AND r.target_tenant = :project)))

-- :fragment subnet_writable
t.project_id = :project OR EXISTS (SELECT 1 FROM network n WHERE n.id = t.network_id AND n.project_id = :project)

-- :fragment port_visible
t.project_id = :project OR EXISTS (SELECT 1 FROM network n WHERE n.id = t.network_id AND n.project_id = :project)

-- :fragment group_visible
t.project_id = :project OR EXISTS (SELECT 1 FROM rbac_policy r WHERE r.object_id = t.id AND r.target_tenant IN (:project, '*'))

-- :fragment rule_visible
t.project_id = :project OR EXISTS (SELECT 1 FROM security_group g WHERE g.id = t.security_group_id AND (g.project_id = :project
    OR EXISTS (SELECT 1 FROM rbac_policy r WHERE r.object_id = g.id AND r.target_tenant IN (:project, '*'))))

-- :fragment rule_writable
EXISTS (SELECT 1 FROM security_group g WHERE g.id = t.security_group_id AND g.project_id = :project)

-- Query parameters that are no fields; :value is what the caller gave.
-- :fragment tags_all
(SELECT count(*) FROM network_tag g WHERE g.parent_id = t.id AND g.tag IN (SELECT value FROM json_each(:value))) = json_array_length(:value)

-- :fragment tags_any
EXISTS (SELECT 1 FROM network_tag g WHERE g.parent_id = t.id AND g.tag IN (SELECT value FROM json_each(:value)))

-- :fragment tags_not_all
(SELECT count(*) FROM network_tag g WHERE g.parent_id = t.id AND g.tag IN (SELECT value FROM json_each(:value))) < json_array_length(:value)

-- :fragment tags_not_any
NOT EXISTS (SELECT 1 FROM network_tag g WHERE g.parent_id = t.id AND g.tag IN (SELECT value FROM json_each(:value)))

-- :fragment port_in_subnet
EXISTS (SELECT 1 FROM ip_allocation a WHERE a.port_id = t.id AND a.subnet_id = :value)

-- :fragment port_with_address
EXISTS (SELECT 1 FROM ip_allocation a WHERE a.port_id = t.id AND a.address = :value)

-- :fragment port_with_address_part
EXISTS (SELECT 1 FROM ip_allocation a WHERE a.port_id = t.id AND instr(a.address, :value))

-- What a policy for the caller's project or for everybody shares, he asks for as such; :value is '1' or '0'.
-- :fragment shared
(:value = '1') = (t.shared = 1 OR EXISTS (SELECT 1 FROM rbac_policy r WHERE r.object_id = t.id AND r.action = 'access_as_shared' AND r.target_tenant = :project))

-- :fragment subnet_shared
(:value = '1') = EXISTS (SELECT 1 FROM network n WHERE n.id = t.network_id AND (n.shared = 1
    OR EXISTS (SELECT 1 FROM rbac_policy r WHERE r.object_id = n.id AND r.action = 'access_as_shared' AND r.target_tenant = :project)))

-- :fragment shared_visible
t.project_id = :project OR t.shared = 1 OR EXISTS (SELECT 1 FROM rbac_policy r WHERE r.object_id = t.id AND r.target_tenant = :project)

-- :name usage_network
SELECT count(*) FROM network WHERE project_id = ?1;
-- :name usage_subnet
SELECT count(*) FROM subnet WHERE project_id = ?1;
-- :name usage_port
SELECT count(*) FROM port WHERE project_id = ?1;
-- :name usage_security_group
SELECT count(*) FROM security_group WHERE project_id = ?1;
-- :name usage_security_group_rule
SELECT count(*) FROM security_group_rule WHERE project_id = ?1;
-- :name usage_subnetpool
SELECT count(*) FROM subnetpool WHERE project_id = ?1;
-- :name usage_rbac_policy
SELECT count(*) FROM rbac_policy WHERE project_id = ?1;

-- Networks.

-- The lowest number that no network has.
-- :name network_next_vni
SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM network WHERE vni = 1) THEN 1
    ELSE (SELECT n.vni + 1 FROM network n WHERE NOT EXISTS (SELECT 1 FROM network m WHERE m.vni = n.vni + 1) ORDER BY n.vni LIMIT 1) END;

-- VXLAN ids: ?1 unless a network has it; then the lowest free one above.
-- :name network_next_segment
SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM network WHERE network_type = 'vxlan' AND segmentation_id = ?1) THEN ?1
    ELSE (SELECT n.segmentation_id + 1 FROM network n WHERE n.network_type = 'vxlan' AND n.segmentation_id >= ?1
        AND NOT EXISTS (SELECT 1 FROM network m WHERE m.network_type = 'vxlan' AND m.segmentation_id = n.segmentation_id + 1)
        ORDER BY n.segmentation_id LIMIT 1) END;

-- Segments of that type that are taken; ?2: a physical network, or NULL.
-- :name network_segments
SELECT segmentation_id FROM network WHERE network_type = ?1 AND physical_network IS ?2 ORDER BY segmentation_id;

-- :name network_segment_taken
SELECT count(*) FROM network WHERE network_type = ?1 AND physical_network IS ?2 AND segmentation_id IS CAST(?3 AS INTEGER);

-- :name network_shared_with
SELECT count(*) FROM rbac_policy WHERE object_id = ?1 AND action = 'access_as_shared' AND target_tenant IN (?2, '*');

-- Shared with this project by a policy of its own, not with everybody.
-- :name network_shared_by_name
SELECT count(*) FROM rbac_policy WHERE object_id = ?1 AND action = 'access_as_shared' AND target_tenant = ?2;

-- :name network_bump
UPDATE network SET revision_number = revision_number + 1, updated_at = now_us() WHERE id = ?1;

-- ?1: JSON array of network ids.  Pools of one version and network are of one scope, but where a pool left it: then that of the others.
-- :name network_scopes
SELECT s.network_id, s.ip_version, min(p.address_scope_id) AS address_scope_id FROM subnet s JOIN subnetpool p ON p.id = s.subnetpool_id
WHERE s.network_id IN (SELECT value FROM json_each(?1)) AND p.address_scope_id IS NOT NULL GROUP BY 1, 2;

-- :name network_foreign_ports
SELECT count(*) FROM port WHERE network_id = ?1 AND project_id <> ?2 AND device_owner NOT LIKE 'network:%';

-- :name network_busy_ports
SELECT id FROM port WHERE network_id = ?1 AND device_owner <> 'network:dhcp' ORDER BY id LIMIT 21;

-- :name network_release_all
DELETE FROM ip_allocation WHERE network_id = ?1;

-- :name network_subnets_delete
DELETE FROM subnet WHERE network_id = ?1;

-- :name network_subnet_count
SELECT count(*) FROM subnet WHERE network_id = ?1;

-- :name network_subnets6
SELECT count(*) FROM subnet WHERE network_id = ?1 AND ip_version = 6;

-- :name networks_of_project
SELECT id FROM network WHERE project_id = ?1 AND NOT external AND EXISTS (SELECT 1 FROM subnet s WHERE s.network_id = network.id) ORDER BY id LIMIT 2;

-- :name networks_shared_with
SELECT id FROM network n WHERE (n.shared = 1
    OR EXISTS (SELECT 1 FROM rbac_policy r WHERE r.object_id = n.id AND r.action = 'access_as_shared' AND r.target_tenant = ?1))
    AND EXISTS (SELECT 1 FROM subnet s WHERE s.network_id = n.id) ORDER BY n.id LIMIT 2;

-- On some host, so that a change of it matters there: with a guest, or with a router.
-- :name network_is_live
SELECT EXISTS (SELECT 1 FROM port_here WHERE network_id = ?1)
    OR EXISTS (SELECT 1 FROM network_host_gateway WHERE id = ?1);

-- :name network_hosts
SELECT DISTINCT host FROM port_here WHERE network_id = ?1 ORDER BY host;

-- :name public_network_made
SELECT count(*) FROM network_once WHERE name = 'public';
-- :name public_network_mark
INSERT INTO network_once (name) VALUES ('public');
-- :name admin_project
SELECT id FROM project WHERE name = 'admin' AND domain_id = 'default';

-- Subnets.

-- :name subnet_overlaps
SELECT count(*) FROM subnet WHERE network_id = ?1 AND ip_version = ?2 AND first_key <= ?4 AND last_key >= ?3;

-- Subnets of network ?1 and version ?2 that are neither of pool ?3 (or NULL: of none) nor of one in its address scope.
-- :name subnet_other_pools
SELECT count(*) FROM subnet s WHERE s.network_id = ?1 AND s.ip_version = ?2 AND s.subnetpool_id IS NOT ?3
    AND NOT EXISTS (SELECT 1 FROM subnetpool a JOIN subnetpool b ON a.address_scope_id = b.address_scope_id WHERE a.id = s.subnetpool_id AND b.id = ?3);

-- A subnet of version ?2 that is from a pool with a scope, on the network ?1.
-- :name network_scope
SELECT p.address_scope_id FROM subnet s JOIN subnetpool p ON p.id = s.subnetpool_id
WHERE s.network_id = ?1 AND s.ip_version = ?2 AND p.address_scope_id IS NOT NULL LIMIT 1;

-- Subnets beside those of the pool ?1, of its version, on networks that have some of it.
-- :name subnetpool_neighbours
SELECT count(*) FROM subnet s JOIN subnetpool p ON p.id = ?1 WHERE s.ip_version = p.ip_version AND s.subnetpool_id IS NOT ?1
    AND s.network_id IN (SELECT network_id FROM subnet WHERE subnetpool_id = ?1);

-- Ports whose addresses hold a subnet: all but DHCP's and those that hosts make from their MAC.  As group_in_use.
-- :name subnet_in_use
SELECT DISTINCT CASE WHEN ?2 IS NULL OR p.project_id = ?2 OR n.project_id = ?2 THEN p.id ELSE 'ports of other projects' END AS id
FROM ip_allocation a JOIN port p ON p.id = a.port_id JOIN subnet s ON s.id = a.subnet_id JOIN network n ON n.id = s.network_id
WHERE a.subnet_id = ?1 AND p.device_owner <> 'network:dhcp'
    AND NOT (s.ip_version = 6 AND s.ipv6_address_mode IN ('slaac', 'dhcpv6-stateless') AND p.device_owner NOT LIKE 'network:router%') ORDER BY 1 LIMIT 21;

-- :name subnet_release_own
DELETE FROM ip_allocation WHERE subnet_id = ?1;

-- Addresses.

-- ?2 and ?3: first and last of a pool.  The first one if it is free; else the one after the first allocation that has a free successor.
-- :name ipam_next
SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM ip_allocation WHERE subnet_id = ?1 AND key = ?2) THEN ?2
    ELSE (SELECT a.next_key FROM ip_allocation a WHERE a.subnet_id = ?1 AND a.key >= ?2 AND a.key < ?3
        AND NOT EXISTS (SELECT 1 FROM ip_allocation b WHERE b.subnet_id = ?1 AND b.key = a.next_key) ORDER BY a.key LIMIT 1) END;

-- :name ipam_take
INSERT INTO ip_allocation (port_id, subnet_id, network_id, address, key, next_key) VALUES (?1, ?2, ?3, ?4, ?5, ?6);

-- :name ipam_release
DELETE FROM ip_allocation WHERE port_id = ?1 AND address = ?2;

-- :name ipam_release_subnet
DELETE FROM ip_allocation WHERE port_id = ?1 AND subnet_id = ?2;

-- :name ipam_port_has
SELECT count(*) FROM ip_allocation WHERE port_id = ?1 AND subnet_id = ?2;

-- :name ipam_taken
SELECT count(*) FROM ip_allocation WHERE subnet_id = ?1 AND address = ?2;

-- :name dhcp_port
SELECT id FROM port WHERE network_id = ?1 AND device_owner = 'network:dhcp';

-- :name dhcp_port_delete
DELETE FROM port WHERE network_id = ?1 AND device_owner = 'network:dhcp';

-- :name dhcp_release_idle
DELETE FROM ip_allocation WHERE network_id = ?1 AND port_id IN (SELECT id FROM port WHERE network_id = ?1 AND device_owner = 'network:dhcp')
    AND subnet_id IN (SELECT id FROM subnet WHERE network_id = ?1 AND enable_dhcp = 0);

-- :name dhcp_port_delete_empty
DELETE FROM port WHERE network_id = ?1 AND device_owner = 'network:dhcp' AND NOT EXISTS (SELECT 1 FROM ip_allocation a WHERE a.port_id = port.id);

-- Ports.

-- :name port_mac_taken
SELECT count(*) FROM port WHERE network_id = ?1 AND mac_address = ?2;

-- ?1: JSON array of port ids.
-- :name port_addresses
SELECT port_id, subnet_id, address FROM ip_allocation WHERE port_id IN (SELECT value FROM json_each(?1)) ORDER BY port_id, length(key), key;

-- Ports on hosts, of a network and with an address of a subnet.
-- :name network_plugged_ports
SELECT id FROM port WHERE network_id = ?1 AND plugged = 1 ORDER BY id;

-- :name subnet_plugged_ports
SELECT DISTINCT p.id FROM ip_allocation a JOIN port p ON p.id = a.port_id WHERE a.subnet_id = ?1 AND p.plugged = 1 ORDER BY p.id;

-- :name port_host
SELECT host FROM port WHERE id = ?1 AND plugged = 1;

-- The port's groups, and those that they name as remote.
-- :name port_groups
SELECT r.remote_group_id AS id FROM port_security_group g JOIN security_group_rule r ON r.security_group_id = g.security_group_id
WHERE g.port_id = ?1 AND r.remote_group_id IS NOT NULL
UNION SELECT security_group_id FROM port_security_group WHERE port_id = ?1;

-- The port's groups that some rule names as remote: others must learn its addresses.
-- :name port_referred_groups
SELECT security_group_id AS id FROM port_security_group g
WHERE port_id = ?1 AND EXISTS (SELECT 1 FROM security_group_rule r WHERE r.remote_group_id = g.security_group_id);

-- A server's ports, and then the subports of those that are trunks.
-- :name server_ports
SELECT id, network_id, plugged, owned FROM port WHERE id IN (SELECT port_id FROM server_port WHERE server_id = ?1)
ORDER BY server_id IS NULL, nic_index, id;

-- :name server_networks
SELECT DISTINCT network_id AS id FROM port WHERE id IN (SELECT port_id FROM server_port WHERE server_id = ?1) ORDER BY 1;

-- Remote groups first: rules refer to their members.
-- :name server_groups
SELECT id FROM (
    SELECT r.remote_group_id AS id, 0 AS turn FROM server_port x JOIN port_security_group g ON g.port_id = x.port_id
        JOIN security_group_rule r ON r.security_group_id = g.security_group_id
    WHERE x.server_id = ?1 AND r.remote_group_id IS NOT NULL
    UNION SELECT g.security_group_id, 1 FROM server_port x JOIN port_security_group g ON g.port_id = x.port_id WHERE x.server_id = ?1
) GROUP BY id ORDER BY max(turn), id;

-- :name ports_bind
UPDATE port SET host = ?2, plugged = 1, revision_number = revision_number + 1, updated_at = now_us()
WHERE (host <> ?2 OR plugged = 0) AND id IN (SELECT port_id FROM server_port WHERE server_id = ?1);

-- ?2: its host has it up.
-- :name port_status_differs
SELECT count(*) FROM port WHERE id = ?1 AND plugged = 1 AND (status = 'ACTIVE') <> ?2;
-- :name port_status
UPDATE port SET status = iif(?2, 'ACTIVE', 'DOWN'), revision_number = revision_number + 1, updated_at = now_us()
WHERE id = ?1 AND plugged = 1 AND (status = 'ACTIVE') <> ?2;

-- :name ports_unplug
UPDATE port SET plugged = 0, status = 'DOWN', revision_number = revision_number + 1, updated_at = now_us()
WHERE plugged = 1 AND id IN (SELECT port_id FROM server_port WHERE server_id = ?1);

-- :name ports_release_owned
DELETE FROM port WHERE server_id = ?1 AND owned = 1 AND NOT EXISTS (SELECT 1 FROM trunk t WHERE t.port_id = port.id);

-- :name ports_release
UPDATE port SET server_id = NULL, device_id = '', device_owner = '', host = '', status = 'DOWN', plugged = 0, nic_index = 0, nic_tag = NULL, dns_name = '', owned = 0,
    revision_number = revision_number + 1, updated_at = now_us() WHERE server_id = ?1;

-- Security groups.

-- :name group_default
SELECT id FROM security_group WHERE project_id = ?1 AND is_default = 1;

-- Its ports, for the project ?2 (NULL: an administrator): those that it sees, and all others as one.
-- :name group_in_use
SELECT DISTINCT CASE WHEN ?2 IS NULL OR p.project_id = ?2 OR n.project_id = ?2 THEN p.id ELSE 'ports of other projects' END AS id
FROM port_security_group g JOIN port p ON p.id = g.port_id JOIN network n ON n.id = p.network_id WHERE g.security_group_id = ?1 ORDER BY 1 LIMIT 21;

-- ?1: JSON array of ids.
-- :name group_kinds
SELECT count(DISTINCT stateful) FROM security_group WHERE id IN (SELECT value FROM json_each(?1));

-- :name group_bump
UPDATE security_group SET revision_number = revision_number + 1, updated_at = now_us() WHERE id = ?1;

-- :name group_by_name
SELECT id FROM security_group WHERE project_id = ?1 AND (id = ?2 OR name = ?2) LIMIT 2;

-- :name group_remotes
SELECT DISTINCT remote_group_id AS id FROM security_group_rule WHERE security_group_id = ?1 AND remote_group_id IS NOT NULL AND remote_group_id <> ?1;

-- :name group_referring
SELECT DISTINCT security_group_id AS id FROM security_group_rule WHERE remote_group_id = ?1 AND security_group_id <> ?1;

-- Hosts with a port of the group, or of a group whose rules name it.
-- :name group_hosts
SELECT DISTINCT p.host FROM port p JOIN port_security_group g ON g.port_id = p.id
WHERE p.plugged = 1 AND (g.security_group_id = ?1
    OR EXISTS (SELECT 1 FROM security_group_rule r WHERE r.security_group_id = g.security_group_id AND r.remote_group_id = ?1));

-- :name group_is_live
SELECT EXISTS (SELECT 1 FROM port p JOIN port_security_group g ON g.port_id = p.id
WHERE p.plugged = 1 AND (g.security_group_id = ?1
    OR EXISTS (SELECT 1 FROM security_group_rule r WHERE r.security_group_id = g.security_group_id AND r.remote_group_id = ?1)));

-- Addresses of the group's ports that are on a host, with the pairs they may use.
-- :name group_members
SELECT a.address AS address FROM port_security_group g JOIN port p ON p.id = g.port_id JOIN ip_allocation a ON a.port_id = p.id
WHERE g.security_group_id = ?1 AND p.host <> '' AND (p.server_id IS NOT NULL OR p.plugged = 1)
UNION SELECT json_extract(j.value, '$.ip_address') FROM port_security_group g JOIN port p ON p.id = g.port_id, json_each(p.allowed_address_pairs) j
WHERE g.security_group_id = ?1 AND p.host <> '' AND (p.server_id IS NOT NULL OR p.plugged = 1)
ORDER BY 1;

-- Addresses of the address groups that the group's rules name.
-- :name group_prefixes
SELECT a.address_group_id, a.address FROM address_group_address a
WHERE a.address_group_id IN (SELECT remote_address_group_id FROM security_group_rule WHERE security_group_id = ?1) ORDER BY 1, 2;

-- The rule that says the same, if there is one.  Numbers come as text; ?10: how else the protocol ?4 may be written.  A prefix of everything is none.
-- :name rule_twin
SELECT id FROM security_group_rule WHERE security_group_id = ?1 AND direction = ?2 AND ethertype = ?3 AND (protocol IS ?4 OR protocol = ?10)
    AND port_range_min IS CAST(?5 AS INTEGER) AND port_range_max IS CAST(?6 AS INTEGER)
    AND nullif(nullif(remote_ip_prefix, '0.0.0.0/0'), '::/0') IS nullif(nullif(?7, '0.0.0.0/0'), '::/0')
    AND remote_group_id IS ?8 AND remote_address_group_id IS ?9 LIMIT 1;

-- Tags, of whatever object; its visibility has been checked.
-- :name tag_has
SELECT count(*) FROM network_tag WHERE parent_id = ?1 AND tag = ?2;
-- :name tag_add
INSERT INTO network_tag (parent_id, tag) VALUES (?1, ?2) ON CONFLICT DO NOTHING;
-- :name tag_remove
DELETE FROM network_tag WHERE parent_id = ?1 AND tag = ?2;
-- :name tags_clear
DELETE FROM network_tag WHERE parent_id = ?1;

-- Projects with limits of their own.
-- :name network_quota_projects
SELECT DISTINCT project_id FROM quota WHERE resource IN (SELECT value FROM json_each(?1)) ORDER BY 1;

-- Addresses of each subnet with what is used of it; the caller computes the totals. ?1: a network, or NULL for all.
-- :name availability
SELECT n.id AS network_id, n.name AS network_name, n.project_id, s.id AS subnet_id, s.name AS subnet_name, s.cidr, s.ip_version, s.allocation_pools,
    (SELECT count(*) FROM ip_allocation a WHERE a.subnet_id = s.id) AS used
FROM network n LEFT JOIN subnet s ON s.network_id = n.id WHERE ?1 IS NULL OR n.id = ?1 ORDER BY n.id, s.id;

-- Subnet pools and address scopes.

-- As group_in_use.
-- :name address_scope_pools
SELECT DISTINCT CASE WHEN ?2 IS NULL OR project_id = ?2 THEN id ELSE 'subnet pools of other projects' END AS id FROM subnetpool WHERE address_scope_id = ?1 ORDER BY 1 LIMIT 21;

-- Prefixes of a scope's other pools.
-- :name scope_prefixes
SELECT p.id, j.value AS prefix FROM subnetpool p, json_each(p.prefixes) j WHERE p.address_scope_id = ?1 AND p.id <> ?2;

-- :name subnetpool_default_other
SELECT id FROM subnetpool WHERE is_default = 1 AND ip_version = ?1 AND id <> ?2;

-- As group_in_use.
-- :name subnetpool_subnets
SELECT DISTINCT CASE WHEN ?2 IS NULL OR project_id = ?2 THEN id ELSE 'subnets of other projects' END AS id FROM subnet WHERE subnetpool_id = ?1 ORDER BY 1 LIMIT 21;

-- The subnet of the pool that overlaps ?2 to ?3 and ends last.
-- :name subnetpool_taken_until
SELECT cidr FROM subnet WHERE subnetpool_id = ?1 AND first_key <= ?3 AND last_key >= ?2 ORDER BY last_key DESC LIMIT 1;

-- :name subnetpool_project_cidrs
SELECT cidr FROM subnet WHERE subnetpool_id = ?1 AND project_id = ?2;

-- RBAC policies.

-- Of ?2 (JSON array of ids), what a policy shares with the project ?1.
-- :name rbac_shared_with
SELECT object_id AS id FROM rbac_policy WHERE target_tenant = ?1 AND action = 'access_as_shared' AND object_id IN (SELECT value FROM json_each(?2));

-- :name rbac_wildcard_add
INSERT INTO rbac_policy (id, project_id, object_type, object_id, action, target_tenant) VALUES (?1, ?2, ?3, ?4, ?5, '*') ON CONFLICT DO NOTHING;
-- :name rbac_wildcard_remove
DELETE FROM rbac_policy WHERE object_id = ?1 AND action = ?2 AND target_tenant = '*';
-- :name rbac_same
SELECT count(*) FROM rbac_policy WHERE object_id = ?1 AND action = ?2 AND target_tenant = ?3;
-- :name network_set_shared
UPDATE network SET shared = ?2 WHERE id = ?1 AND ?3 IS NOT NULL;
-- :name network_set_external
UPDATE network SET external = ?2 OR EXISTS (SELECT 1 FROM rbac_policy WHERE object_id = ?1 AND action = 'access_as_external' AND id <> ?3) WHERE id = ?1;
-- :name scope_set_shared
UPDATE address_scope SET shared = ?2 WHERE id = ?1 AND ?3 IS NOT NULL;
-- :name subnetpool_set_shared
UPDATE subnetpool SET shared = ?2 WHERE id = ?1 AND ?3 IS NOT NULL;

-- Users of an object ?1 who have it by a policy for ?2 (a project, or '*') and by no other policy than ?3.  Of networks the owner's ports do not count;
-- of all else what is the owner's does where the policy is for everybody, as in Neutron.
-- :name rbac_network_users
SELECT DISTINCT CASE WHEN ?4 IS NULL OR x.project_id = ?4 THEN x.id ELSE 'what other projects have' END AS id
FROM port x JOIN network n ON n.id = x.network_id WHERE x.network_id = ?1 AND x.project_id NOT IN (n.project_id, '') AND x.device_owner <> 'network:dhcp'
    AND ?2 IN ('*', x.project_id)
    AND NOT EXISTS (SELECT 1 FROM rbac_policy r WHERE r.object_id = ?1 AND r.id <> ?3 AND r.action = 'access_as_shared' AND r.target_tenant IN ('*', x.project_id))
ORDER BY 1 LIMIT 21;
-- :name rbac_group_users
SELECT DISTINCT CASE WHEN ?4 IS NULL OR x.project_id = ?4 THEN x.id ELSE 'what other projects have' END AS id
FROM port_security_group b JOIN port x ON x.id = b.port_id WHERE b.security_group_id = ?1 AND ?2 IN ('*', x.project_id)
    AND NOT EXISTS (SELECT 1 FROM rbac_policy r WHERE r.object_id = ?1 AND r.id <> ?3 AND r.target_tenant IN ('*', x.project_id))
ORDER BY 1 LIMIT 21;
-- :name rbac_scope_users
SELECT DISTINCT CASE WHEN ?4 IS NULL OR x.project_id = ?4 THEN x.id ELSE 'what other projects have' END AS id
FROM subnetpool x WHERE x.address_scope_id = ?1 AND ?2 IN ('*', x.project_id)
    AND NOT EXISTS (SELECT 1 FROM rbac_policy r WHERE r.object_id = ?1 AND r.id <> ?3 AND r.target_tenant IN ('*', x.project_id))
ORDER BY 1 LIMIT 21;
-- :name rbac_subnetpool_users
SELECT DISTINCT CASE WHEN ?4 IS NULL OR x.project_id = ?4 THEN x.id ELSE 'what other projects have' END AS id
FROM subnet x WHERE x.subnetpool_id = ?1 AND ?2 IN ('*', x.project_id)
    AND NOT EXISTS (SELECT 1 FROM rbac_policy r WHERE r.object_id = ?1 AND r.id <> ?3 AND r.target_tenant IN ('*', x.project_id))
ORDER BY 1 LIMIT 21;
-- :name rbac_address_group_users
SELECT DISTINCT CASE WHEN ?4 IS NULL OR x.project_id = ?4 THEN x.id ELSE 'what other projects have' END AS id
FROM security_group_rule x WHERE x.remote_address_group_id = ?1 AND ?2 IN ('*', x.project_id)
    AND NOT EXISTS (SELECT 1 FROM rbac_policy r WHERE r.object_id = ?1 AND r.id <> ?3 AND r.target_tenant IN ('*', x.project_id))
ORDER BY 1 LIMIT 21;

-- Is there a scope around the pool ?1 that the project ?2 (or '*': everybody) has no access to.
-- :name rbac_pool_scope_closed
SELECT count(*) FROM subnetpool p JOIN address_scope s ON s.id = p.address_scope_id WHERE p.id = ?1 AND s.project_id <> ?2
    AND NOT EXISTS (SELECT 1 FROM rbac_policy r WHERE r.object_id = s.id AND r.target_tenant IN ('*', ?2));

-- Address groups.

-- Rules that name it, for the project ?2 as above.
-- :name address_group_rules
SELECT DISTINCT CASE WHEN ?2 IS NULL OR r.project_id = ?2 OR g.project_id = ?2 THEN r.id ELSE 'rules of other projects' END AS id
FROM security_group_rule r JOIN security_group g ON g.id = r.security_group_id WHERE r.remote_address_group_id = ?1 ORDER BY 1 LIMIT 21;
-- :name address_group_groups
SELECT DISTINCT security_group_id AS id FROM security_group_rule WHERE remote_address_group_id = ?1;
-- :name address_group_add
INSERT INTO address_group_address (address_group_id, address) VALUES (?1, ?2) ON CONFLICT DO NOTHING;
-- :name address_group_remove
DELETE FROM address_group_address WHERE address_group_id = ?1 AND address = ?2;

-- :name address_group_visible_to
SELECT count(*) FROM address_group WHERE id = ?1 AND (project_id = ?2 OR ?3 = '1'
    OR EXISTS (SELECT 1 FROM rbac_policy r WHERE r.object_id = ?1 AND r.target_tenant IN (?2, '*')));

-- What agents are to make.

-- Ports of a network with their addresses in subnets that have DHCP.  A floating IP's port is nowhere: a router answers for its address.
-- :name desired_ports
SELECT p.id, p.mac_address, p.dns_name, p.device_owner, p.extra_dhcp_opts,
    (SELECT group_concat(address, ',') FROM (SELECT a.address FROM ip_allocation a JOIN subnet s ON s.id = a.subnet_id
        WHERE a.port_id = p.id AND s.enable_dhcp = 1 ORDER BY s.ip_version, a.key)) AS addresses
FROM port p WHERE p.network_id = ?1 AND p.device_owner <> 'network:floatingip' ORDER BY p.id;

-- What should be on a host.  port_host is an index of the ports that are on one: host <> '' says so.
-- :name host_networks
SELECT DISTINCT network_id AS id FROM port_here WHERE host = ?1
UNION SELECT id FROM network_host_gateway ORDER BY 1;

-- :name host_groups
WITH own (id) AS (SELECT DISTINCT g.security_group_id FROM port p JOIN port_security_group g ON g.port_id = p.id
    WHERE p.host = ?1 AND p.host <> '' AND p.plugged = 1)
SELECT id FROM (
    SELECT r.remote_group_id AS id, 0 AS turn FROM own JOIN security_group_rule r ON r.security_group_id = own.id WHERE r.remote_group_id IS NOT NULL
    UNION SELECT id, 1 FROM own
) GROUP BY id ORDER BY max(turn), id;

-- :name host_ports
SELECT p.id FROM port p LEFT JOIN trunk_subport s ON s.port_id = p.id WHERE p.host = ?1 AND p.host <> '' AND p.plugged = 1
ORDER BY s.port_id IS NOT NULL, p.id;

-- Rows behind names found on host ?2; ?1 has the 12 digits that the names carry, as the beginning of an id.
-- :name network_by_prefix
SELECT id FROM network WHERE id >= substr(?1, 1, 13) AND id < substr(?1, 1, 13) || '~' AND ?2 IS NOT NULL LIMIT 1;

-- :name group_by_prefix
SELECT id FROM security_group WHERE id >= substr(?1, 1, 13) AND id < substr(?1, 1, 13) || '~' AND ?2 IS NOT NULL LIMIT 1;

-- What a live operation of its server is about, or may be about, counts as known.
-- As above, of what is used on host ?2: a server's ports are bound to it before they are plugged.  The rest is idle and may go.
-- :name network_used_by_prefix
SELECT n.id FROM network n WHERE n.id >= substr(?1, 1, 13) AND n.id < substr(?1, 1, 13) || '~'
    AND (EXISTS (SELECT 1 FROM network_host_gateway g WHERE g.id = n.id)
    OR EXISTS (SELECT 1 FROM port p WHERE p.network_id = n.id AND p.host = ?2 AND (p.server_id IS NOT NULL OR p.plugged = 1))
    OR EXISTS (SELECT 1 FROM port_here h WHERE h.network_id = n.id AND h.host = ?2))
UNION ALL SELECT resource_id FROM operation WHERE state = 'live'
    AND resource_id >= substr(?1, 1, 13) AND resource_id < substr(?1, 1, 13) || '~' LIMIT 1;

-- :name group_used_by_prefix
SELECT s.id FROM security_group s WHERE s.id >= substr(?1, 1, 13) AND s.id < substr(?1, 1, 13) || '~'
    AND EXISTS (SELECT 1 FROM port p JOIN port_security_group g ON g.port_id = p.id
        WHERE p.host = ?2 AND p.host <> '' AND (p.server_id IS NOT NULL OR p.plugged = 1) AND (g.security_group_id = s.id
        OR EXISTS (SELECT 1 FROM security_group_rule r WHERE r.security_group_id = g.security_group_id AND r.remote_group_id = s.id)))
UNION ALL SELECT resource_id FROM operation WHERE state = 'live'
    AND resource_id >= substr(?1, 1, 13) AND resource_id < substr(?1, 1, 13) || '~' LIMIT 1;

-- :name port_by_prefix
SELECT id FROM port WHERE id >= substr(?1, 1, 13) AND id < substr(?1, 1, 13) || '~'
    AND ((host = ?2 AND plugged = 1) OR EXISTS (SELECT 1 FROM operation o WHERE o.resource_id = port.server_id AND o.state = 'live')) LIMIT 1;

-- :name live_by_prefix
SELECT resource_id FROM operation WHERE state = 'live' AND resource_id >= substr(?1, 1, 13) AND resource_id < substr(?1, 1, 13) || '~' LIMIT 1;

-- For compute's views; ?1: JSON array of server ids.
-- :name nics_ports
SELECT p.id, p.server_id, p.network_id, n.name AS network_name, p.mac_address AS mac, n.mtu, p.nic_tag AS tag, p.status AS state
FROM port p JOIN network n ON n.id = p.network_id WHERE p.server_id IN (SELECT value FROM json_each(?1)) ORDER BY p.server_id, p.nic_index, p.id;

-- :name nics_addresses
SELECT a.port_id, p.network_id, a.address AS ip, s.ip_version AS version, s.id AS subnet_id, s.cidr, s.gateway_ip AS gateway, s.enable_dhcp AS dhcp,
    s.ipv6_address_mode AS mode, s.dns_nameservers, s.host_routes
FROM port p JOIN ip_allocation a ON a.port_id = p.id JOIN subnet s ON s.id = a.subnet_id
WHERE p.server_id IN (SELECT value FROM json_each(?1)) ORDER BY a.port_id, s.ip_version, a.key;

-- :name nics_groups
SELECT x.port_id, g.id, g.name FROM port p JOIN port_security_group x ON x.port_id = p.id JOIN security_group g ON g.id = x.security_group_id
WHERE p.server_id IN (SELECT value FROM json_each(?1)) ORDER BY x.port_id, g.name, g.id;

-- A guest may ask with any of its fixed addresses.  ?3: the host whose agent says that it does: it speaks for its own guests only.
-- :name server_at
SELECT p.server_id FROM ip_allocation a JOIN port p ON p.id = a.port_id
WHERE a.network_id = ?1 AND a.address = ?2 AND p.server_id IS NOT NULL AND (?3 IS NULL OR p.host = ?3) LIMIT 1;
