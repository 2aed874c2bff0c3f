-- db/queries/owned.sql -- what projects and users own in all domains: what stands in the way of deleting them, and what goes with them.

-- What a project (?1), or all projects of a domain (?2), still have in the other services.
-- :name owned_things
WITH mine (id) AS (SELECT ?1 WHERE ?1 IS NOT NULL UNION ALL SELECT id FROM project WHERE domain_id = ?2)
SELECT kind, n FROM (
    SELECT 1 AS place, 'server' AS kind, (SELECT count(*) FROM server WHERE project_id IN mine) AS n
    UNION ALL SELECT 2, 'image', (SELECT count(*) FROM image WHERE project_id IN mine)
    UNION ALL SELECT 3, 'network', (SELECT count(*) FROM network WHERE project_id IN mine)
    UNION ALL SELECT 4, 'subnet', (SELECT count(*) FROM subnet WHERE project_id IN mine)
    UNION ALL SELECT 5, 'port', (SELECT count(*) FROM port WHERE project_id IN mine AND device_owner <> 'network:dhcp')
    UNION ALL SELECT 6, 'security group', (SELECT count(*) FROM security_group WHERE project_id IN mine AND is_default = 0)
    UNION ALL SELECT 7, 'subnet pool', (SELECT count(*) FROM subnetpool WHERE project_id IN mine)
    UNION ALL SELECT 8, 'address scope', (SELECT count(*) FROM address_scope WHERE project_id IN mine)
    UNION ALL SELECT 9, 'address group', (SELECT count(*) FROM address_group WHERE project_id IN mine)
    UNION ALL SELECT 10, 'QoS policy', (SELECT count(*) FROM qos_policy q WHERE project_id IN mine
        AND (EXISTS (SELECT 1 FROM network n WHERE n.qos_policy_id = q.id) OR EXISTS (SELECT 1 FROM port p WHERE p.qos_policy_id = q.id)))
    UNION ALL SELECT 11, 'trunk', (SELECT count(*) FROM trunk WHERE project_id IN mine)
    UNION ALL SELECT 12, 'router', (SELECT count(*) FROM router WHERE project_id IN mine)
    UNION ALL SELECT 13, 'floating IP', (SELECT count(*) FROM floating_ip WHERE project_id IN mine))
WHERE n > 0 ORDER BY place;

-- :name owned_by_user
SELECT 'server' AS kind, count(*) AS n FROM server WHERE user_id = ?1 HAVING count(*) > 0;

-- :name forget_rbac
DELETE FROM rbac_policy WHERE project_id = ?1 OR target_tenant = ?1;

-- :name forget_flavor_access
DELETE FROM flavor_access WHERE project_id = ?1;

-- :name forget_image_members
DELETE FROM image_member WHERE member_id = ?1;

-- :name forget_keypairs
DELETE FROM keypair WHERE user_id = ?1;

-- :name projects_of_domain
SELECT id FROM project WHERE domain_id = ?1;

-- :name users_of_domain
SELECT id FROM user WHERE domain_id = ?1;

-- Everything of a project (?1) in the order in which it can be deleted, the project last, with the call that does it: DELETE, or PUT of a body.
-- :name purge_plan
SELECT kind, id, name, path || CASE WHEN body IS NULL THEN id ELSE '' END AS path, body FROM (
    SELECT 1 AS place, 'server' AS kind, id, name, '/compute/v2.1/servers/' AS path, NULL AS body FROM server WHERE project_id = ?1
    UNION ALL SELECT 1.1, 'port forwarding', w.id, '', '/network/v2.0/floatingips/' || f.id || '/port_forwardings/', NULL FROM port_forwarding w
        JOIN floating_ip f ON f.id = w.floatingip_id WHERE f.project_id = ?1
    UNION ALL SELECT 1.2, 'floating IP', id, floating_ip_address, '/network/v2.0/floatingips/', NULL FROM floating_ip WHERE project_id = ?1
    UNION ALL SELECT 1.3, 'routes', id, name, '/network/v2.0/routers/' || id, '{"router": {"routes": []}}' FROM router WHERE project_id = ?1 AND routes <> '[]'
    UNION ALL SELECT 1.4, 'router port', rp.port_id, r.name, '/network/v2.0/routers/' || r.id || '/remove_router_interface',
        json_object('port_id', rp.port_id) FROM router_port rp JOIN router r ON r.id = rp.router_id WHERE r.project_id = ?1 AND rp.kind = 'interface'
    UNION ALL SELECT 1.5, 'router', id, name, '/network/v2.0/routers/', NULL FROM router WHERE project_id = ?1
    UNION ALL SELECT 1.6, 'trunk', id, name, '/network/v2.0/trunks/', NULL FROM trunk WHERE project_id = ?1
    UNION ALL SELECT 2, 'port', id, name, '/network/v2.0/ports/', NULL FROM port
        WHERE project_id = ?1 AND device_owner NOT LIKE 'network:%' AND server_id IS NULL
    UNION ALL SELECT 3, 'subnet', id, name, '/network/v2.0/subnets/', NULL FROM subnet WHERE project_id = ?1
    UNION ALL SELECT 4, 'network', id, name, '/network/v2.0/networks/', NULL FROM network WHERE project_id = ?1
    UNION ALL SELECT 5, 'security group', id, name, '/network/v2.0/security-groups/', NULL FROM security_group WHERE project_id = ?1 AND is_default = 0
    UNION ALL SELECT 6, 'subnet pool', id, name, '/network/v2.0/subnetpools/', NULL FROM subnetpool WHERE project_id = ?1
    UNION ALL SELECT 7, 'address scope', id, name, '/network/v2.0/address-scopes/', NULL FROM address_scope WHERE project_id = ?1
    UNION ALL SELECT 8, 'address group', id, name, '/network/v2.0/address-groups/', NULL FROM address_group WHERE project_id = ?1
    UNION ALL SELECT 9, 'QoS policy', id, name, '/network/v2.0/qos/policies/', NULL FROM qos_policy WHERE project_id = ?1
    UNION ALL SELECT 9, 'image', id, name, '/image/v2/images/', NULL FROM image WHERE project_id = ?1
    UNION ALL SELECT 10, 'project', id, name, '/identity/v3/projects/', NULL FROM project WHERE id = ?1)
ORDER BY place, name, id;
