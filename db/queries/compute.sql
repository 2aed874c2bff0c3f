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
