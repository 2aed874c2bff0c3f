-- qos.sql -- QoS policies, their rules, and who uses them.

-- Rules are seen with their policy; only administrators change either.
-- :fragment qos_rule_visible
EXISTS (SELECT 1 FROM qos_policy q WHERE q.id = t.qos_policy_id AND (q.project_id = :project OR q.shared = 1
    OR EXISTS (SELECT 1 FROM rbac_policy r WHERE r.object_id = q.id AND r.target_tenant IN (:project, '*'))))

-- :fragment qos_writable
0

-- ?1: JSON array of policy ids.  One object a rule, with the policy's id.
-- :name qos_rules
SELECT id, qos_policy_id, 'bandwidth_limit' AS type, json_object('max_kbps', max_kbps, 'max_burst_kbps', max_burst_kbps, 'direction', direction) AS body
FROM qos_bandwidth_limit_rule WHERE qos_policy_id IN (SELECT value FROM json_each(?1))
UNION ALL SELECT id, qos_policy_id, 'packet_rate_limit',
    json_object('max_kpps', max_kpps, 'max_burst_kpps', max_burst_kpps, 'direction', direction)
FROM qos_packet_rate_limit_rule WHERE qos_policy_id IN (SELECT value FROM json_each(?1))
UNION ALL SELECT id, qos_policy_id, 'minimum_bandwidth', json_object('min_kbps', min_kbps, 'direction', direction)
FROM qos_minimum_bandwidth_rule WHERE qos_policy_id IN (SELECT value FROM json_each(?1))
UNION ALL SELECT id, qos_policy_id, 'minimum_packet_rate', json_object('min_kpps', min_kpps, 'direction', direction)
FROM qos_minimum_packet_rate_rule WHERE qos_policy_id IN (SELECT value FROM json_each(?1))
UNION ALL SELECT id, qos_policy_id, 'dscp_marking', json_object('dscp_mark', dscp_mark)
FROM qos_dscp_marking_rule WHERE qos_policy_id IN (SELECT value FROM json_each(?1)) ORDER BY qos_policy_id, type, id;

-- The rule of the policy ?1 and direction ?2 other than ?3.
-- :name qos_bandwidth_twin
SELECT id FROM qos_bandwidth_limit_rule WHERE qos_policy_id = ?1 AND direction = ?2 AND id <> ?3;
-- :name qos_packet_rate_twin
SELECT id FROM qos_packet_rate_limit_rule WHERE qos_policy_id = ?1 AND direction = ?2 AND id <> ?3;
-- :name qos_minimum_bandwidth_twin
SELECT id FROM qos_minimum_bandwidth_rule WHERE qos_policy_id = ?1 AND direction = ?2 AND id <> ?3;
-- Both directions together, or each by itself.
-- :name qos_minimum_packet_rate_twin
SELECT id FROM qos_minimum_packet_rate_rule WHERE qos_policy_id = ?1 AND (direction IN (?2, 'any') OR ?2 = 'any') AND id <> ?3;
-- :name qos_dscp_twin
SELECT id FROM qos_dscp_marking_rule WHERE qos_policy_id = ?1 AND ?2 IS NULL AND id <> ?3;

-- A limit of the policy ?1 below ?2, and a promise above it; whatever their directions, as in Neutron.
-- :name qos_limit_below
SELECT max_kbps FROM qos_bandwidth_limit_rule WHERE qos_policy_id = ?1 AND max_kbps < ?2 ORDER BY max_kbps LIMIT 1;
-- :name qos_promise_above
SELECT min_kbps FROM qos_minimum_bandwidth_rule WHERE qos_policy_id = ?1 AND min_kbps > ?2 ORDER BY min_kbps DESC LIMIT 1;

-- Most installations promise nothing.
-- :name qos_promises_any
SELECT EXISTS (SELECT 1 FROM qos_minimum_bandwidth_rule) OR EXISTS (SELECT 1 FROM qos_minimum_packet_rate_rule);

-- Of ?1, a policy, network or port: who is promised what his network cannot keep.
-- :name qos_unkept
SELECT 'network' AS kind, n.id FROM network n JOIN qos_minimum_bandwidth_rule r ON r.qos_policy_id = n.qos_policy_id
WHERE ?1 IN (n.id, n.qos_policy_id) AND NOT EXISTS (SELECT 1 FROM network_wire w WHERE w.id = n.id)
UNION ALL SELECT 'port', p.id FROM port p JOIN network n ON n.id = p.network_id
JOIN qos_minimum_bandwidth_rule r ON r.qos_policy_id = ifnull(p.qos_policy_id, n.qos_policy_id)
WHERE ?1 IN (p.id, r.qos_policy_id) AND NOT EXISTS (SELECT 1 FROM network_wire w WHERE w.id = n.id) LIMIT 1;

-- A host where more is promised of a physical network than it has, so far as ?1 (a policy, network, port or server) has to do with it.
-- :name qos_overfull
SELECT x.host, x.physical, x.direction, x.kbps, json_extract(j.value, '$.' || x.direction || '_kbps') AS rate
FROM (SELECT host, physical, direction, sum(min_kbps) AS kbps,
        max(?1 IN (port_id, network_id, qos_policy_id) OR port_id IN (SELECT port_id FROM server_port WHERE server_id = ?1)) AS mine
    FROM qos_promise WHERE plugged = 1 GROUP BY 1, 2, 3) x
JOIN network_host h ON h.host = x.host JOIN json_each(h.physical) j ON json_extract(j.value, '$.name') = x.physical
WHERE x.mine AND x.kbps > json_extract(j.value, '$.' || x.direction || '_kbps') ORDER BY 1, 2, 3 LIMIT 1;

-- The same of packets.
-- :name qos_packets_overfull
SELECT x.host, x.kpps, h.kpps AS rate
FROM (SELECT host, sum(min_kpps) AS kpps,
        max(?1 IN (port_id, network_id, qos_policy_id) OR port_id IN (SELECT port_id FROM server_port WHERE server_id = ?1)) AS mine
    FROM qos_packet_promise WHERE plugged = 1 GROUP BY 1) x
JOIN network_host h ON h.host = x.host WHERE x.mine AND h.kpps > 0 AND x.kpps > h.kpps ORDER BY 1 LIMIT 1;

-- Hosts that have not enough left for what the ports of server ?1 are promised; host <> '' lets SQLite use the index of hosts.
-- :name qos_narrow_hosts
WITH mine (id) AS (SELECT port_id FROM server_port WHERE server_id = ?1)
SELECT DISTINCT h.host FROM (SELECT physical, direction, sum(min_kbps) AS kbps FROM qos_promise WHERE port_id IN mine GROUP BY 1, 2) w
JOIN network_host h JOIN json_each(h.physical) j ON json_extract(j.value, '$.name') = w.physical
WHERE w.kbps + ifnull((SELECT sum(q.min_kbps) FROM qos_promise q WHERE q.plugged = 1 AND q.host = h.host AND q.host <> '' AND q.physical = w.physical
    AND q.direction = w.direction AND q.port_id NOT IN mine), 0) > json_extract(j.value, '$.' || w.direction || '_kbps')
UNION SELECT h.host FROM network_host h WHERE h.kpps > 0 AND (SELECT sum(min_kpps) FROM qos_packet_promise WHERE port_id IN mine)
    + ifnull((SELECT sum(min_kpps) FROM qos_packet_promise WHERE plugged = 1 AND host = h.host AND host <> '' AND port_id NOT IN mine), 0) > h.kpps
ORDER BY 1;

-- :name qos_default_of
SELECT id FROM qos_policy WHERE project_id = ?1 AND is_default = 1;

-- Who uses the policy, "network ID" or "port ID".
-- :name qos_users
SELECT 'network ' || id AS id FROM network WHERE qos_policy_id = ?1 UNION ALL SELECT 'port ' || id FROM port WHERE qos_policy_id = ?1 LIMIT 21;

-- :name qos_bump
UPDATE qos_policy SET revision_number = revision_number + 1, updated_at = now_us() WHERE id = ?1;
-- :name qos_set_shared
UPDATE qos_policy SET shared = ?2 WHERE id = ?1 AND ?3 IS NOT NULL;

-- Users of a policy who have it by an RBAC policy for ?2 (a project, or '*') and by no other than ?3; the owner's own count too, as in Neutron.
-- :name rbac_qos_users
SELECT DISTINCT CASE WHEN ?4 IS NULL OR x.project_id = ?4 THEN x.id ELSE 'what other projects have' END AS id
FROM (SELECT id, project_id FROM network WHERE qos_policy_id = ?1 UNION ALL SELECT id, project_id FROM port WHERE qos_policy_id = ?1) x
WHERE ?2 IN ('*', x.project_id)
    AND NOT EXISTS (SELECT 1 FROM rbac_policy r WHERE r.object_id = ?1 AND r.id <> ?3 AND r.target_tenant IN ('*', x.project_id))
ORDER BY 1 LIMIT 21;

-- As above, where the flag is taken back: no RBAC policy but the one for everybody counts.
-- :name qos_foreign_users
SELECT DISTINCT CASE WHEN ?2 IS NULL OR x.project_id = ?2 THEN x.id ELSE 'what other projects have' END AS id
FROM (SELECT id, project_id FROM network WHERE qos_policy_id = ?1 UNION ALL SELECT id, project_id FROM port WHERE qos_policy_id = ?1) x
WHERE NOT EXISTS (SELECT 1 FROM rbac_policy r WHERE r.object_id = ?1 AND r.target_tenant = x.project_id)
ORDER BY 1 LIMIT 21;

-- Of the ports ?1 (JSON array of ids), those whose network has a policy.
-- :name qos_of_networks
SELECT p.id, n.qos_policy_id FROM port p JOIN network n ON n.id = p.network_id
WHERE n.qos_policy_id IS NOT NULL AND p.id IN (SELECT value FROM json_each(?1));

-- Ports on hosts that ?1, a policy or a network, is in force for.
-- :name qos_ports
SELECT p.id, p.host FROM port p WHERE p.plugged = 1 AND p.qos_policy_id = ?1
UNION SELECT p.id, p.host FROM network n JOIN port p ON p.network_id = n.id WHERE n.qos_policy_id = ?1 AND p.plugged = 1 AND p.qos_policy_id IS NULL
UNION SELECT p.id, p.host FROM port p WHERE p.network_id = ?1 AND p.plugged = 1 AND p.qos_policy_id IS NULL ORDER BY 2, 1;

-- :name qos_is_live
SELECT EXISTS (SELECT 1 FROM port p JOIN network n ON n.id = p.network_id WHERE p.plugged = 1 AND ?1 IN (p.qos_policy_id, n.qos_policy_id, n.id));

-- What is in force for a port, its own policy before its network's.
-- :name qos_of_port
SELECT b.direction AS direction, b.max_kbps AS kbps, b.max_burst_kbps AS burst, NULL AS kpps, NULL AS kpps_burst, NULL AS dscp, NULL AS min_kbps,
    NULL AS physical
FROM port p JOIN network n ON n.id = p.network_id JOIN qos_bandwidth_limit_rule b ON b.qos_policy_id = ifnull(p.qos_policy_id, n.qos_policy_id) WHERE p.id = ?1
UNION ALL SELECT b.direction, NULL, NULL, b.max_kpps, b.max_burst_kpps, NULL, NULL, NULL
FROM port p JOIN network n ON n.id = p.network_id JOIN qos_packet_rate_limit_rule b ON b.qos_policy_id = ifnull(p.qos_policy_id, n.qos_policy_id) WHERE p.id = ?1
UNION ALL SELECT direction, NULL, NULL, NULL, NULL, NULL, min_kbps, physical FROM qos_promise WHERE port_id = ?1 AND direction = 'egress'
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, b.dscp_mark, NULL, NULL
FROM port p JOIN network n ON n.id = p.network_id JOIN qos_dscp_marking_rule b ON b.qos_policy_id = ifnull(p.qos_policy_id, n.qos_policy_id) WHERE p.id = ?1;
