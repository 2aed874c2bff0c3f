-- compute.sql -- hosts, flavors, keypairs, servers.

-- ===== flavors =====
-- Condition over flavor t: the caller may use it.
-- :fragment flavor_visible
t.is_public = 1 OR EXISTS (SELECT 1 FROM flavor_access a WHERE a.flavor_id = t.id AND a.project_id = :project);

-- Administrators only; they are not asked.
-- :fragment flavor_writable
0;

-- What a list shows unless asked otherwise.
-- :fragment flavor_offered
t.is_public = 1 OR EXISTS (SELECT 1 FROM flavor_access a WHERE a.flavor_id = t.id AND a.project_id = :a1);

-- :fragment flavor_private
t.is_public = 0;

-- 1: the id is taken, 2: the name is.
-- :name flavor_same
SELECT CASE WHEN id = ?1 THEN 1 ELSE 2 END FROM flavor WHERE id = ?1 OR name = ?2 LIMIT 1;

-- :name flavor_count
SELECT count(*) FROM flavor;

-- :name flavor_default
INSERT INTO flavor (id, name, memory_mb, vcpus, disk_gb, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, now_us(), now_us());

-- :name flavor_access_list
SELECT flavor_id, project_id AS tenant_id FROM flavor_access WHERE flavor_id = ?1 ORDER BY project_id;

-- :name flavor_access_count
SELECT count(*) FROM flavor_access WHERE flavor_id = ?1 AND project_id = ?2;

-- :name flavor_access_add
INSERT INTO flavor_access (flavor_id, project_id) VALUES (?1, ?2);

-- :name flavor_access_remove
DELETE FROM flavor_access WHERE flavor_id = ?1 AND project_id = ?2;

-- ===== keypairs =====
-- :name keypair_list
SELECT name, type, fingerprint, public_key FROM keypair WHERE user_id = ?1 AND name > ?2 ORDER BY name LIMIT ?3;

-- :name keypair_get
SELECT * FROM keypair WHERE user_id = ?1 AND name = ?2;

-- :name keypair_exists
SELECT count(*) FROM keypair WHERE user_id = ?1 AND name = ?2;

-- :name keypair_count
SELECT count(*) FROM keypair WHERE user_id = ?1;

-- :name keypair_insert
INSERT INTO keypair (user_id, name, type, fingerprint, public_key, created_at) VALUES (?1, ?2, ?3, ?4, ?5, now_us());

-- :name keypair_delete
DELETE FROM keypair WHERE user_id = ?1 AND name = ?2;

-- ===== hosts =====
-- Rows with what is placed there; servers without a host take no room.
-- :name host_rooms
SELECT h.*, coalesce(r.vcpus, 0) AS used_vcpus, coalesce(r.memory_mb, 0) AS used_memory_mb, coalesce(r.disk_gb, 0) AS used_disk_gb,
       coalesce(r.servers, 0) AS servers
FROM host h LEFT JOIN host_room r ON r.host = h.name ORDER BY h.number;

-- The same, and how many of the servers something is being done to.
-- :name host_usage
SELECT h.*, coalesce(r.vcpus, 0) AS used_vcpus, coalesce(r.memory_mb, 0) AS used_memory_mb, coalesce(r.disk_gb, 0) AS used_disk_gb,
       coalesce(r.servers, 0) AS servers, (SELECT count(*) FROM server s WHERE s.host = h.name AND s.task_state IS NOT NULL) AS busy
FROM host h LEFT JOIN host_room r ON r.host = h.name ORDER BY h.number;

-- :name host_list
SELECT * FROM host ORDER BY number;

-- :name host_by_id
SELECT * FROM host WHERE id = ?1;

-- :name host_by_number
SELECT * FROM host WHERE number = CAST(?1 AS INTEGER);

-- :name host_by_name
SELECT * FROM host WHERE name = ?1;

-- :name host_boot_id
SELECT boot_id FROM host WHERE name = ?1;

-- :name host_put
INSERT INTO host (id, number, name, hostname, vcpus, memory_mb, disk_gb, virt_type, virt_reason, hypervisor_version, libvirt_version, cpu_model,
                  boot_id, seen_at, created_at, updated_at)
VALUES (?1, (SELECT coalesce(max(number), 0) + 1 FROM host), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, now_us(), now_us(), now_us())
ON CONFLICT (name) DO UPDATE SET hostname = excluded.hostname, vcpus = excluded.vcpus, memory_mb = excluded.memory_mb, disk_gb = excluded.disk_gb,
    virt_type = excluded.virt_type, virt_reason = excluded.virt_reason, hypervisor_version = excluded.hypervisor_version,
    libvirt_version = excluded.libvirt_version, cpu_model = excluded.cpu_model, boot_id = excluded.boot_id, seen_at = excluded.seen_at,
    updated_at = excluded.updated_at;

-- :name host_set_service
UPDATE host SET enabled = ?2, forced_down = ?3, disabled_reason = ?4, updated_at = now_us() WHERE id = ?1;

-- :name host_server_count
SELECT count(*) FROM server WHERE host = ?1;

-- :name host_delete
DELETE FROM host WHERE id = ?1;

-- :name host_servers
SELECT id, name FROM server WHERE host = ?1 ORDER BY created_at, id;

-- :name host_usage_by_project
SELECT project_id, sum(vcpus) AS vcpus, sum(memory_mb) AS memory_mb, sum(disk_gb + ephemeral_gb) AS disk_gb FROM server
WHERE host = ?1 GROUP BY project_id ORDER BY project_id;

-- :name zone_exists
SELECT count(*) FROM host WHERE zone = ?1;

-- ===== servers =====
-- :name server_deleted_get
SELECT record FROM server_deleted WHERE id = ?1 AND (?2 OR project_id = ?3);

-- Lists with changes-since: what was deleted after ?2 (and before ?3) in project ?1 (NULL: in all).
-- :name server_deleted_list
SELECT record FROM server_deleted WHERE (?1 IS NULL OR project_id = ?1) AND deleted_at >= ?2 AND deleted_at <= ?3 ORDER BY deleted_at DESC LIMIT ?4;

-- :name server_user_data
SELECT server_id, user_data FROM server_guest WHERE user_data IS NOT NULL AND server_id IN (SELECT value FROM json_each(?1));

-- :name server_guest_get
SELECT user_data, admin_pass, password FROM server_guest WHERE server_id = ?1;

-- :name server_guest_put
INSERT INTO server_guest (server_id, user_data, admin_pass) VALUES (?1, ?2, ?3);

-- :name server_password_put
INSERT INTO server_guest (server_id, password) VALUES (?1, ?2) ON CONFLICT (server_id) DO UPDATE SET password = excluded.password WHERE password IS NULL OR password = '' OR ?2 = '';

-- What lists of servers filter by beyond columns.  Empty text: not asked for.  :a1 IPv4 and :a2 IPv6 address (regular expressions);
-- JSON lists of tags: :a3 all of them, :a4 any, :a5 not all, :a6 none; :a7 "1" locked, "0" not; :a8 names of task states.
-- :fragment server_filter
(:a1 = '' OR EXISTS (SELECT 1 FROM port p JOIN ip_allocation a ON a.port_id = p.id
                     WHERE p.server_id = t.id AND instr(a.address, ':') = 0 AND regexp(:a1, a.address)))
AND (:a2 = '' OR EXISTS (SELECT 1 FROM port p JOIN ip_allocation a ON a.port_id = p.id
                         WHERE p.server_id = t.id AND instr(a.address, ':') > 0 AND regexp(:a2, a.address)))
AND (:a3 = '' OR NOT EXISTS (SELECT 1 FROM json_each(:a3) w WHERE w.value NOT IN (SELECT value FROM json_each(t.tags))))
AND (:a4 = '' OR EXISTS (SELECT 1 FROM json_each(:a4) w WHERE w.value IN (SELECT value FROM json_each(t.tags))))
AND (:a5 = '' OR EXISTS (SELECT 1 FROM json_each(:a5) w WHERE w.value NOT IN (SELECT value FROM json_each(t.tags))))
AND (:a6 = '' OR NOT EXISTS (SELECT 1 FROM json_each(:a6) w WHERE w.value IN (SELECT value FROM json_each(t.tags))))
AND (:a7 = '' OR (t.locked_by IS NOT NULL) = (:a7 = '1'))
AND (:a8 = '' OR t.task_state IN (SELECT value FROM json_each(:a8)));

-- :name quota_used_instances
SELECT count(*) FROM server WHERE project_id = ?1;

-- :name quota_user_instances
SELECT count(*) FROM server WHERE project_id = ?1 AND user_id = ?2;

-- :name quota_user_cores
SELECT coalesce(sum(vcpus), 0) FROM server WHERE project_id = ?1 AND user_id = ?2;

-- :name quota_user_ram
SELECT coalesce(sum(memory_mb), 0) FROM server WHERE project_id = ?1 AND user_id = ?2;

-- :name quota_used_cores
SELECT coalesce(sum(vcpus), 0) FROM server WHERE project_id = ?1;

-- :name quota_used_ram
SELECT coalesce(sum(memory_mb), 0) FROM server WHERE project_id = ?1;

-- :name host_named
SELECT count(*) FROM host WHERE name = ?1 OR hostname = ?1;

-- :name server_hosts_of
SELECT DISTINCT host FROM server WHERE id IN (SELECT value FROM json_each(?1)) AND project_id = ?2 AND host IS NOT NULL;

-- :name server_place
UPDATE server SET host = ?2, node = (SELECT hostname FROM host WHERE name = ?2), zone = ?3, task_state = 'spawning', updated_at = now_us() WHERE id = ?1;

-- :name server_reschedule
UPDATE server SET tried = json_insert(tried, '$[#]', ?2), fault_message = coalesce(fault_message, ?3), host = NULL, node = NULL, zone = asked_zone,
    task_state = 'scheduling', updated_at = now_us() WHERE id = ?1;

-- The operation starts over on another host: what went wrong before is no longer its result.
-- :name server_op_forgive
UPDATE operation SET error = NULL WHERE id = ?1;

-- :name server_active
UPDATE server SET vm_state = 'active', task_state = NULL, power_state = 1, launched_at = coalesce(launched_at, now_us()), tried = '[]',
    fault_code = NULL, fault_message = NULL, fault_details = NULL, fault_at = NULL, updated_at = now_us() WHERE id = ?1;

-- :name server_stopped
UPDATE server SET vm_state = 'stopped', task_state = NULL, power_state = ?2, updated_at = now_us() WHERE id = ?1;

-- :name server_failed
UPDATE server SET vm_state = 'error', task_state = NULL, power_state = 0, host = NULL, node = NULL, fault_code = 500, fault_message = ?2,
    fault_details = ?3, fault_at = now_us(), updated_at = now_us() WHERE id = ?1;

-- :name server_broken
UPDATE server SET vm_state = 'error', task_state = NULL, fault_code = 500, fault_message = ?2, fault_details = ?3, fault_at = now_us(),
    updated_at = now_us() WHERE id = ?1;

-- :name server_deleted_put
INSERT OR REPLACE INTO server_deleted (id, project_id, user_id, name, record, deleted_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6);

-- :name server_delete
DELETE FROM server WHERE id = ?1;

-- :name server_task
UPDATE server SET task_state = ?2, updated_at = now_us() WHERE id = ?1;

-- ===== a server's operations, as its instance actions =====
-- :name server_ops
SELECT * FROM operation WHERE resource_id = ?1 AND id < ?2 AND updated_at >= ?3 AND updated_at <= ?4 ORDER BY id DESC LIMIT ?5;

-- :name server_op_by_request
SELECT id FROM operation WHERE resource_id = ?1 AND request_id = ?2 ORDER BY id DESC LIMIT 1;

-- :name server_op
SELECT * FROM operation WHERE id = ?1;

-- Tries that only looked for another host are not events.
-- :name server_op_events
SELECT * FROM operation_event WHERE operation_id = ?1 AND NOT (step = 'again' AND result = 'Error') ORDER BY finished_at DESC, started_at DESC;

-- ===== hosts' reports =====
-- :name server_power
UPDATE server SET power_state = ?2 WHERE id = ?1;

-- Servers of a host with which nothing is being done.
-- :name server_settled_on
SELECT id, vm_state, power_state FROM server s WHERE host = ?1 AND task_state IS NULL
AND NOT EXISTS (SELECT 1 FROM operation o WHERE o.resource_id = s.id AND o.state = 'live');

-- Of the ids in ?1 (JSON list), those that host ?2 should not have.  known: a server of ours that was deleted, or lives elsewhere.
-- :name server_strays
SELECT j.value AS id, EXISTS (SELECT 1 FROM server_deleted d WHERE d.id = j.value) OR EXISTS (SELECT 1 FROM server s WHERE s.id = j.value) AS known
FROM json_each(?1) j
WHERE NOT EXISTS (SELECT 1 FROM server s WHERE s.id = j.value AND s.host = ?2)
AND NOT EXISTS (SELECT 1 FROM operation o WHERE o.resource_id = j.value AND o.state = 'live');

-- :name server_deleted_count
SELECT count(*) FROM server_deleted WHERE deleted_at < ?1;

-- :name server_deleted_prune
DELETE FROM server_deleted WHERE deleted_at < ?1;

-- ===== quotas and usage =====
-- :name project_known
SELECT count(*) FROM project WHERE id = ?1;

-- Servers of project ?1 (NULL: of all) that ran between ?2 and ?3.
-- :name usage_rows
SELECT id, project_id, name, vcpus, memory_mb, disk_gb, flavor_name, launched_at, NULL AS terminated_at, vm_state FROM server
WHERE (?1 IS NULL OR project_id = ?1) AND launched_at <= ?3
UNION ALL
SELECT id, project_id, name, json_extract(record, '$.vcpus'), json_extract(record, '$.memory_mb'), json_extract(record, '$.disk_gb'),
       json_extract(record, '$.flavor_name'), json_extract(record, '$.launched_at'), deleted_at, 'deleted' FROM server_deleted
WHERE (?1 IS NULL OR project_id = ?1) AND deleted_at >= ?2 AND json_extract(record, '$.launched_at') <= ?3
ORDER BY project_id, launched_at;
