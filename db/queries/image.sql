-- db/queries/image.sql -- images: who sees them, their state, their members.

-- :fragment image_visible
t.project_id = :project OR t.visibility IN ('public', 'community')
OR (t.visibility = 'shared' AND EXISTS (SELECT 1 FROM image_member m WHERE m.image_id = t.id AND m.member_id = :project))

-- What a list leaves out of it.  :a1 the caller's project, :a2 '1' for an administrator, :a3 visibility asked for, :a4 member_status,
-- :a5 tags as JSON array, :a6 additional properties as JSON array of [name, value].
-- :fragment image_listed
(:a2 = '1' OR t.project_id = :a1 OR t.visibility IN ('public', 'community')
 OR EXISTS (SELECT 1 FROM image_member m WHERE m.image_id = t.id AND m.member_id = :a1 AND (:a4 = 'all' OR m.status = :a4)))
AND CASE :a3 WHEN 'all' THEN 1 WHEN '' THEN t.visibility <> 'community' OR t.project_id = :a1 ELSE t.visibility = :a3 END
AND NOT EXISTS (SELECT 1 FROM json_each(:a5) j
                WHERE NOT EXISTS (SELECT 1 FROM image_tag g WHERE g.image_id = t.id AND g.tag = j.value))
AND NOT EXISTS (SELECT 1 FROM json_each(:a6) j
                WHERE NOT EXISTS (SELECT 1 FROM image_property p WHERE p.image_id = t.id
                                  AND p.name = json_extract(j.value, '$[0]') AND p.value = json_extract(j.value, '$[1]')))

-- :name image_set_status
UPDATE image SET status = ?2, updated_at = now_us() WHERE id = ?1 AND status = ?3;

-- :name image_activate
UPDATE image SET status = 'active', size = ?2, virtual_size = ?3, checksum = ?4, os_hash_algo = 'sha512', os_hash_value = ?5, updated_at = now_us()
WHERE id = ?1 AND status IN ('saving', 'importing');

-- :name image_staged
UPDATE image SET size = ?2, checksum = ?3, os_hash_algo = 'sha512', os_hash_value = ?4, updated_at = now_us() WHERE id = ?1 AND status = 'uploading';

-- :name image_unstage
UPDATE image SET status = 'queued', size = -1, checksum = NULL, os_hash_algo = NULL, os_hash_value = NULL, updated_at = now_us()
WHERE id = ?1 AND status IN ('saving', 'uploading', 'importing');

-- :name image_delete
DELETE FROM image WHERE id = ?1;

-- :name image_was
SELECT count(*) FROM image_gone WHERE id = ?1;

-- :name image_status
SELECT status FROM image WHERE id = ?1;

-- Of the ids in a JSON array, those that no image has and no server was made from.
-- :name image_bases_unused
SELECT j.value AS id FROM json_each(?1) j
WHERE NOT EXISTS (SELECT 1 FROM image i WHERE i.id = j.value)
AND NOT EXISTS (SELECT 1 FROM server s WHERE s.image_id = j.value);

-- :name image_size
SELECT size FROM image WHERE id = ?1;

-- :name image_unfinished
SELECT id, status FROM image WHERE status IN ('saving', 'uploading', 'importing');

-- :name image_bytes_of_project
SELECT coalesce(sum(size), 0) FROM image WHERE project_id = ?1 AND size > 0 AND id <> ?2;

-- :name image_tag_add
INSERT INTO image_tag(image_id, tag) VALUES (?1, ?2) ON CONFLICT DO NOTHING;

-- :name image_tag_remove
DELETE FROM image_tag WHERE image_id = ?1 AND tag = ?2;

-- :name image_touch
UPDATE image SET updated_at = now_us() WHERE id = ?1;

-- :name image_member_add
INSERT INTO image_member(image_id, member_id, created_at, updated_at) VALUES (?1, ?2, now_us(), now_us());

-- :name image_member_get
SELECT * FROM image_member WHERE image_id = ?1 AND member_id = ?2;

-- Owners and administrators (?2 NULL) see all, a member only himself.
-- :name image_member_list
SELECT * FROM image_member WHERE image_id = ?1 AND (?2 IS NULL OR member_id = ?2) ORDER BY created_at, member_id;

-- :name image_member_set
UPDATE image_member SET status = ?3, updated_at = now_us() WHERE image_id = ?1 AND member_id = ?2;

-- :name image_member_remove
DELETE FROM image_member WHERE image_id = ?1 AND member_id = ?2;

-- :name image_member_count
SELECT count(*) FROM image_member WHERE image_id = ?1;

-- Metadata definitions.  Administrators: the project is NULL.
-- :name metadef_namespace_get
SELECT namespace, display_name, description, visibility, protected, project_id AS owner, created_at, updated_at FROM metadef_namespace
WHERE namespace = ?1 AND (?2 IS NULL OR project_id = ?2 OR visibility = 'public');

-- Newest first, after the one named ?2 (NULL: from the start).
-- :name metadef_namespace_list
SELECT n.namespace, n.display_name, n.description, n.visibility, n.protected, n.project_id AS owner, n.created_at, n.updated_at
FROM metadef_namespace n
WHERE (?1 IS NULL OR n.project_id = ?1 OR n.visibility = 'public')
AND (?2 IS NULL OR (n.created_at, n.namespace) < (SELECT m.created_at, m.namespace FROM metadef_namespace m WHERE m.namespace = ?2))
AND (?4 IS NULL OR n.visibility = ?4)
AND (?5 IS NULL OR EXISTS (SELECT 1 FROM metadef_item i WHERE i.namespace = n.namespace AND i.kind = 'resource_types' AND i.name = ?5))
ORDER BY n.created_at DESC, n.namespace DESC LIMIT ?3;

-- :name metadef_namespace_add
INSERT INTO metadef_namespace(namespace, project_id, display_name, description, visibility, protected, created_at, updated_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, now_us(), now_us());

-- :name metadef_namespace_set
UPDATE metadef_namespace SET namespace = ?2, project_id = ?3, display_name = ?4, description = ?5, visibility = ?6, protected = ?7, updated_at = now_us()
WHERE namespace = ?1;

-- :name metadef_namespace_remove
DELETE FROM metadef_namespace WHERE namespace = ?1;

-- :name metadef_items
SELECT name, body, created_at, updated_at FROM metadef_item WHERE namespace = ?1 AND kind = ?2 AND (?3 IS NULL OR name = ?3) ORDER BY created_at, name;

-- :name metadef_item_count
SELECT count(*) FROM metadef_item WHERE namespace = ?1 AND kind = ?2;

-- :name metadef_item_add
INSERT INTO metadef_item(namespace, kind, name, body, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, now_us(), now_us());

-- :name metadef_item_set
UPDATE metadef_item SET name = ?4, body = ?5, updated_at = now_us() WHERE namespace = ?1 AND kind = ?2 AND name = ?3;

-- :name metadef_item_remove
DELETE FROM metadef_item WHERE namespace = ?1 AND kind = ?2 AND (?3 IS NULL OR name = ?3);
