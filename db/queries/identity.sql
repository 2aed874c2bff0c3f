-- db/queries/identity.sql -- statements of identity/.

-- Who is behind a user name or id, for a login.  ?1 user id or NULL, ?2 name, ?3 domain id or NULL, ?4 domain name
-- :name login_user
SELECT u.id, u.password_hash, u.password_generation, u.password_at, u.password_expires_at, u.options, u.default_project_id,
       u.enabled AND d.enabled AS enabled
FROM user u JOIN domain d ON d.id = u.domain_id
WHERE CASE WHEN ?1 IS NOT NULL THEN u.id = ?1
           ELSE u.name = ?2 AND u.domain_id = CASE WHEN ?3 IS NOT NULL THEN ?3 ELSE (SELECT id FROM domain WHERE name = ?4) END END;

-- ?1 project name, ?2 domain id or NULL, ?3 domain name
-- :name project_by_name
SELECT p.id FROM project p WHERE p.name = ?1
   AND p.domain_id = CASE WHEN ?2 IS NOT NULL THEN ?2 ELSE (SELECT id FROM domain WHERE name = ?3) END;

-- :name project_by_id
SELECT id FROM project WHERE id = ?1;

-- :name domain_by_id
SELECT id FROM domain WHERE id = ?1;

-- :name domain_by_name
SELECT id FROM domain WHERE name = ?1;

-- What a token stands for now.  No row: unknown, or something it rests on no longer holds.
-- :name token_facts
SELECT t.hash, t.methods, t.audit_id, t.parent_audit_id, t.issued_at, t.expires_at, t.system, t.app_credential_id, t.trust_id,
       u.id AS user_id, u.name AS user_name, u.domain_id AS user_domain_id, ud.name AS user_domain_name, u.password_expires_at,
       p.id AS project_id, p.name AS project_name, p.domain_id AS project_domain_id, pd.name AS project_domain_name,
       d.id AS domain_id, d.name AS domain_name
FROM token t
JOIN user u ON u.id = t.user_id AND u.enabled = 1 AND u.password_generation = t.password_generation
JOIN domain ud ON ud.id = u.domain_id AND ud.enabled = 1
LEFT JOIN project p ON p.id = t.project_id AND p.enabled = 1
LEFT JOIN domain pd ON pd.id = p.domain_id AND pd.enabled = 1
LEFT JOIN domain d ON d.id = t.domain_id AND d.enabled = 1
WHERE t.hash = ?1 AND (t.project_id IS NULL OR pd.id IS NOT NULL) AND (t.domain_id IS NULL OR d.id IS NOT NULL);

-- :name token_insert
INSERT INTO token (hash, user_id, project_id, domain_id, system, methods, audit_id, parent_audit_id, password_generation,
                   app_credential_id, trust_id, issued_at, expires_at)
SELECT ?1, u.id, ?3, ?4, ?5, ?6, ?7, ?8, u.password_generation, ?9, ?10, ?11, ?12 FROM user u WHERE u.id = ?2;

-- :name token_delete
DELETE FROM token WHERE hash = ?1;

-- :name token_purge
DELETE FROM token WHERE hash IN (SELECT hash FROM token WHERE expires_at < ?1 LIMIT 200);

-- :name tokens_delete_user
DELETE FROM token WHERE user_id = ?1;

-- :name tokens_delete_project
DELETE FROM token WHERE project_id = ?1;

-- Users of the domain, its projects and itself.
-- :name tokens_delete_domain
DELETE FROM token WHERE domain_id = ?1 OR user_id IN (SELECT id FROM user WHERE domain_id = ?1)
    OR project_id IN (SELECT id FROM project WHERE domain_id = ?1);

-- Roles a user holds on a project (?2) or a domain (?3), with neither: on the system; his own, his groups', inherited and implied.
-- :name effective_roles
WITH RECURSIVE
above (id) AS (
    SELECT parent_id FROM project WHERE id = ?2
    UNION SELECT p.parent_id FROM project p JOIN above ON p.id = above.id),
held (role_id) AS (
    SELECT a.role_id FROM assignment a
    WHERE (a.user_id = ?1 OR a.group_id IN (SELECT group_id FROM group_member WHERE user_id = ?1))
      AND ((a.inherited = 0 AND a.project_id IS ?2 AND a.domain_id IS ?3)
        OR (a.inherited = 1 AND (a.project_id IN (SELECT id FROM above) OR a.domain_id IN (SELECT id FROM above))))),
closure (role_id) AS (
    SELECT role_id FROM held
    UNION SELECT i.implied_id FROM implied_role i JOIN closure c ON i.prior_id = c.role_id)
SELECT r.id, r.name FROM role r JOIN closure c ON c.role_id = r.id WHERE r.domain_id IS NULL ORDER BY r.name;

-- :name catalog
SELECT s.id AS service_id, s.type, s.name, e.id, e.interface, e.region_id, e.url
FROM service s JOIN endpoint e ON e.service_id = s.id
WHERE s.enabled = 1 AND e.enabled = 1 ORDER BY s.type, s.id, e.interface, e.id;

-- :name assignment_insert
INSERT INTO assignment (user_id, group_id, project_id, domain_id, role_id, inherited) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT DO NOTHING;

-- :name implied_role_insert
INSERT INTO implied_role (prior_id, implied_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING;

-- :name identity_is_new
SELECT NOT EXISTS (SELECT 1 FROM domain);

-- Quotas
-- :name quota_limit
SELECT coalesce((SELECT hard_limit FROM quota WHERE project_id = ?1 AND resource = ?2),
                (SELECT hard_limit FROM quota_class WHERE class = 'default' AND resource = ?2), ?3);

-- :name quota_put
INSERT INTO quota (project_id, resource, hard_limit) VALUES (?1, ?2, ?3)
ON CONFLICT (project_id, resource) DO UPDATE SET hard_limit = excluded.hard_limit;

-- :name quota_delete
DELETE FROM quota WHERE project_id = ?1 AND resource = ?2;

-- :name quota_class_put
INSERT INTO quota_class (class, resource, hard_limit) VALUES (?1, ?2, ?3)
ON CONFLICT (class, resource) DO UPDATE SET hard_limit = excluded.hard_limit;

-- :name quota_class_limit
SELECT coalesce((SELECT hard_limit FROM quota_class WHERE class = ?1 AND resource = ?2), ?3);

-- :name quota_projects
SELECT DISTINCT project_id FROM quota;

-- Visibility
-- :fragment visible_domain
(:reader = '1' AND :system = '1') OR t.id = :domain OR t.id = (SELECT domain_id FROM user WHERE id = :user) OR t.id = (SELECT domain_id FROM project WHERE id = :project)

-- :fragment visible_project
t.id = :project OR (:reader = '1' AND (:system = '1' OR t.domain_id = :domain))

-- :fragment visible_user
t.id = :user OR (:reader = '1' AND (:system = '1' OR t.domain_id = :domain))

-- :fragment visible_role
t.domain_id IS NULL OR (:reader = '1' AND (:system = '1' OR t.domain_id = :domain))

-- :name default_project_of
SELECT default_project_id FROM user WHERE id = ?1;

-- :name user_password_set
UPDATE user SET password_hash = ?2, password_at = now_us(), password_generation = password_generation + 1 WHERE id = ?1;

-- What only administrators change: they pass without the condition.
-- :fragment admins_only
0
