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
-- :name host_usage
SELECT h.*, coalesce(u.vcpus, 0) AS used_vcpus, coalesce(u.memory_mb, 0) AS used_memory_mb, coalesce(u.disk_gb, 0) AS used_disk_gb,
       coalesce(u.servers, 0) AS servers, coalesce(u.busy, 0) AS busy
FROM host h LEFT JOIN (SELECT host, sum(vcpus) AS vcpus, sum(memory_mb) AS memory_mb, sum(disk_gb + ephemeral_gb) AS disk_gb, count(*) AS servers,
                              sum(task_state IS NOT NULL) AS busy FROM server WHERE host IS NOT NULL GROUP BY host) u ON u.host = h.name
ORDER BY h.number;

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

-- :name host_zone
SELECT zone FROM host WHERE name = ?1;
