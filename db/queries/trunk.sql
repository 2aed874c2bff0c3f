-- trunk.sql -- trunks and their subports.

-- :name usage_trunk
SELECT count(*) FROM trunk WHERE project_id = ?1;

-- ?1: JSON array of trunk ids.
-- :name trunk_subports
SELECT trunk_id, port_id, segmentation_type, segmentation_id FROM trunk_subport WHERE trunk_id IN (SELECT value FROM json_each(?1)) ORDER BY rowid;

-- Whether each trunk's parent is in force, and whether something is under way for a subport.
-- :name trunk_states
SELECT t.id, p.status = 'ACTIVE' AS active,
    EXISTS (SELECT 1 FROM trunk_subport s JOIN operation o ON o.resource_id = s.port_id AND o.state = 'live' WHERE s.trunk_id = t.id) AS busy
FROM trunk t JOIN port p ON p.id = t.port_id WHERE t.id IN (SELECT value FROM json_each(?1));

-- The trunk that a port is the parent or a subport of.
-- :name trunk_of_parent
SELECT id FROM trunk WHERE port_id = ?1;
-- :name trunk_of_subport
SELECT trunk_id AS id FROM trunk_subport WHERE port_id = ?1;
-- :name trunk_has_segment
SELECT count(*) FROM trunk_subport WHERE trunk_id = ?1 AND segmentation_type = ?2 AND segmentation_id = ?3;

-- :name trunk_subport_add
INSERT INTO trunk_subport (trunk_id, port_id, segmentation_type, segmentation_id) VALUES (?1, ?2, ?3, ?4);
-- :name trunk_subport_remove
DELETE FROM trunk_subport WHERE trunk_id = ?1 AND port_id = ?2;

-- A subport is where its parent is, as soon as that is on a host.
-- :name subport_attach
UPDATE port SET device_owner = 'trunk:subport', device_id = ?2, host = q.host, plugged = q.plugged, status = iif(q.plugged AND port.admin_state_up, 'ACTIVE', 'DOWN'),
    revision_number = port.revision_number + 1, updated_at = now_us()
FROM trunk_subport s JOIN trunk t ON t.id = s.trunk_id JOIN port q ON q.id = t.port_id WHERE port.id = ?1 AND s.port_id = ?1;
-- :name subport_detach
UPDATE port SET device_owner = '', device_id = '', host = '', plugged = 0, status = 'DOWN', revision_number = revision_number + 1, updated_at = now_us()
WHERE id = ?1;
-- The subports of a server's ports, when it goes: they stay in their trunks.
-- :name subports_release
UPDATE port SET host = '', plugged = 0, status = 'DOWN', revision_number = revision_number + 1, updated_at = now_us()
WHERE server_id IS NULL AND id IN (SELECT port_id FROM server_port WHERE server_id = ?1);

-- Of the ports ?1 (JSON array of ids), those that are parents, with their subports.
-- :name trunk_details
SELECT t.port_id AS id, t.id AS trunk_id, s.port_id, s.segmentation_type, s.segmentation_id, p.mac_address
FROM trunk t LEFT JOIN trunk_subport s ON s.trunk_id = t.id LEFT JOIN port p ON p.id = s.port_id
WHERE t.port_id IN (SELECT value FROM json_each(?1)) ORDER BY t.port_id, s.rowid;

-- A subport's network: on its host before it.
-- :name subport_network
SELECT p.network_id AS id FROM trunk_subport s JOIN port p ON p.id = s.port_id WHERE s.port_id = ?1;

-- A subport's parent and tag, as its host needs them.
-- :name trunk_parent
SELECT t.port_id, s.segmentation_id AS vlan FROM trunk_subport s JOIN trunk t ON t.id = s.trunk_id WHERE s.port_id = ?1;
