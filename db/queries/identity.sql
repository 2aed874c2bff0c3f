-- db/queries/identity.sql -- statements of identity/.

-- Who is behind a user name or id, for a login.  ?1 user id or NULL, ?2 name, ?3 domain id or NULL, ?4 domain name
-- :name login_user
SELECT u.id, u.name, u.domain_id, u.password_hash, u.password_generation, u.password_at, u.password_expires_at, u.options, u.default_project_id,
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
SELECT t.hash, t.methods, t.audit_id, t.parent_audit_id, t.issued_at, t.expires_at, t.system, t.app_credential_id, t.trust_id, t.password_generation,
       ac.name AS app_credential_name, ac.unrestricted, ac.limited,
       tr.trustor_user_id, tr.trustee_user_id, tr.impersonation, ifnull(tr.origin_user_id, u.id) AS role_user_id,
       u.id AS user_id, u.name AS user_name, u.domain_id AS user_domain_id, ud.name AS user_domain_name, u.password_expires_at,
       p.id AS project_id, p.name AS project_name, p.domain_id AS project_domain_id, pd.name AS project_domain_name,
       d.id AS domain_id, d.name AS domain_name
FROM token t
JOIN user u ON u.id = t.user_id AND u.enabled = 1 AND u.password_generation = t.password_generation
JOIN domain ud ON ud.id = u.domain_id AND ud.enabled = 1
LEFT JOIN project p ON p.id = t.project_id AND p.enabled = 1
LEFT JOIN domain pd ON pd.id = p.domain_id AND pd.enabled = 1
LEFT JOIN domain d ON d.id = t.domain_id AND d.enabled = 1
LEFT JOIN app_credential ac ON ac.id = t.app_credential_id
LEFT JOIN trust tr ON tr.id = t.trust_id
WHERE t.hash = ?1 AND (t.project_id IS NULL OR pd.id IS NOT NULL) AND (t.domain_id IS NULL OR d.id IS NOT NULL)
  AND (tr.id IS NULL OR NOT EXISTS (
    WITH RECURSIVE chain (id) AS (SELECT tr.id UNION SELECT c.redelegated_trust_id FROM trust c JOIN chain USING (id))
    SELECT 1 FROM trust c JOIN user x ON x.id IN (c.trustor_user_id, c.trustee_user_id) JOIN domain xd ON xd.id = x.domain_id
    WHERE c.id IN (SELECT id FROM chain) AND (x.enabled = 0 OR xd.enabled = 0)));

-- No row when the password of ?13 has changed since it was shown (?14), or what the token would rest on is gone.
-- :name token_insert
INSERT INTO token (hash, user_id, project_id, domain_id, system, methods, audit_id, parent_audit_id, password_generation,
                   app_credential_id, trust_id, issued_at, expires_at)
SELECT ?1, u.id, ?3, ?4, ?5, ?6, ?7, ?8, u.password_generation, ?9, ?10, ?11, ?12 FROM user u
WHERE u.id = ?2 AND (?13 IS NULL OR EXISTS (SELECT 1 FROM user WHERE id = ?13 AND password_generation = ?14))
  AND (?3 IS NULL OR EXISTS (SELECT 1 FROM project WHERE id = ?3)) AND (?4 IS NULL OR EXISTS (SELECT 1 FROM domain WHERE id = ?4))
  AND (?9 IS NULL OR EXISTS (SELECT 1 FROM app_credential WHERE id = ?9)) AND (?10 IS NULL OR EXISTS (SELECT 1 FROM trust WHERE id = ?10));

-- :name token_delete
DELETE FROM token WHERE hash = ?1;

-- :name token_purge
DELETE FROM token WHERE hash IN (SELECT hash FROM token WHERE expires_at < ?1 LIMIT 200);

-- His own, and those made with trusts that he gave or was given, and with what became of these.
-- :name tokens_delete_user
WITH RECURSIVE his (id) AS (
    SELECT id FROM trust WHERE trustor_user_id = ?1 OR trustee_user_id = ?1
    UNION SELECT t.id FROM trust t JOIN his ON t.redelegated_trust_id = his.id)
DELETE FROM token WHERE user_id = ?1 OR trust_id IN (SELECT id FROM his);

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
WHERE s.enabled = 1 AND e.enabled = 1
  AND ((NOT EXISTS (SELECT 1 FROM project_endpoint WHERE project_id = ?1) AND NOT EXISTS (SELECT 1 FROM endpoint_group_project WHERE project_id = ?1))
    OR e.id IN (SELECT endpoint_id FROM project_endpoint WHERE project_id = ?1)
    OR EXISTS (SELECT 1 FROM endpoint_group_project gp JOIN endpoint_group g ON g.id = gp.endpoint_group_id
               WHERE gp.project_id = ?1 AND ifnull(g.filters ->> '$.service_id', e.service_id) = e.service_id
                 AND ifnull(g.filters ->> '$.region_id', e.region_id) IS e.region_id AND ifnull(g.filters ->> '$.interface', e.interface) = e.interface))
ORDER BY s.type, s.id, e.interface, e.id;

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

-- :name user_quota_limit
SELECT coalesce((SELECT hard_limit FROM user_quota WHERE project_id = ?1 AND user_id = ?2 AND resource = ?3), ?4);

-- :name user_quota_any
SELECT EXISTS (SELECT 1 FROM user_quota WHERE project_id = ?1 AND user_id = ?2);

-- What the limits of the project's users, but for one, take of its own; -1 of somebody is not counted, as in Nova.
-- :name user_quota_sum
SELECT coalesce(sum(max(hard_limit, 0)), 0) FROM user_quota WHERE project_id = ?1 AND resource = ?2 AND (?3 IS NULL OR user_id <> ?3);

-- :name user_quota_put
INSERT INTO user_quota (project_id, user_id, resource, hard_limit) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (project_id, user_id, resource) DO UPDATE SET hard_limit = excluded.hard_limit;

-- ?2: of this user, NULL: of all
-- :name user_quota_clear
DELETE FROM user_quota WHERE project_id = ?1 AND (?2 IS NULL OR user_id = ?2);

-- :name user_by_id
SELECT id FROM user WHERE id = ?1;

-- :name quota_class_put
INSERT INTO quota_class (class, resource, hard_limit) VALUES (?1, ?2, ?3)
ON CONFLICT (class, resource) DO UPDATE SET hard_limit = excluded.hard_limit;

-- :name quota_class_limit
SELECT coalesce((SELECT hard_limit FROM quota_class WHERE class = ?1 AND resource = ?2), ?3);

-- Visibility
-- :fragment visible_domain
(:reader = '1' AND :system = '1') OR t.id = :domain OR t.id = (SELECT domain_id FROM user WHERE id = :user) OR t.id = (SELECT domain_id FROM project WHERE id = :project)

-- :fragment visible_project
t.id = :project OR (:reader = '1' AND (:system = '1' OR t.domain_id = :domain))

-- :fragment visible_user
t.id = :user OR (:reader = '1' AND (:system = '1' OR t.domain_id = :domain))

-- :fragment visible_group
:reader = '1' AND (:system = '1' OR t.domain_id = :domain)

-- :fragment visible_role
t.domain_id IS NULL OR (:reader = '1' AND (:system = '1' OR t.domain_id = :domain))

-- What a domain's administrator changes; that he is one is the route's rule.
-- :fragment in_own_domain
t.domain_id = :domain

-- :fragment visible_credential
t.user_id = :user OR (:reader = '1' AND :system = '1')

-- :fragment own_row
t.user_id = :user

-- :fragment visible_limit
t.project_id = :project OR t.domain_id = :domain OR (:reader = '1' AND (:system = '1' OR t.project_id IN (SELECT id FROM project WHERE domain_id = :domain)))

-- Selections for lists, with :a1
-- :fragment users_of_group
t.id IN (SELECT user_id FROM group_member WHERE group_id = :a1)

-- :fragment groups_of_user
t.id IN (SELECT group_id FROM group_member WHERE user_id = :a1)

-- :fragment project_itself
t.id = :a1

-- Where the user has a role of his own, of a group, or inherited from above.
-- :fragment projects_of_user
t.id IN (WITH RECURSIVE
    held (project_id, domain_id, inherited) AS (
        SELECT project_id, domain_id, inherited FROM assignment
        WHERE user_id = :a1 OR group_id IN (SELECT group_id FROM group_member WHERE user_id = :a1)),
    below (id) AS (
        SELECT p.id FROM project p JOIN held h ON h.inherited = 1 AND p.parent_id = ifnull(h.project_id, h.domain_id)
        UNION SELECT p.id FROM project p JOIN below b ON p.parent_id = b.id)
    SELECT project_id FROM held WHERE inherited = 0 AND project_id IS NOT NULL UNION SELECT id FROM below)

-- :fragment domains_of_user
t.id IN (SELECT domain_id FROM assignment WHERE inherited = 0 AND domain_id IS NOT NULL
         AND (user_id = :a1 OR group_id IN (SELECT group_id FROM group_member WHERE user_id = :a1)))

-- :fragment projects_above
t.id IN (WITH RECURSIVE above (id) AS (
    SELECT parent_id FROM project WHERE id = :a1 UNION SELECT p.parent_id FROM project p JOIN above a ON p.id = a.id) SELECT id FROM above)

-- :fragment projects_below
t.id IN (WITH RECURSIVE below (id) AS (
    SELECT id FROM project WHERE parent_id = :a1 UNION SELECT p.id FROM project p JOIN below b ON p.parent_id = b.id) SELECT id FROM below)

-- :fragment projects_of_endpoint_group
t.id IN (SELECT project_id FROM endpoint_group_project WHERE endpoint_group_id = :a1)

-- :fragment endpoint_groups_of_project
t.id IN (SELECT endpoint_group_id FROM endpoint_group_project WHERE project_id = :a1)

-- :fragment projects_of_endpoint
t.id IN (SELECT project_id FROM project_endpoint WHERE endpoint_id = :a1)

-- :fragment endpoints_of_group
EXISTS (SELECT 1 FROM endpoint_group g WHERE g.id = :a1 AND ifnull(g.filters ->> '$.service_id', t.service_id) = t.service_id
        AND ifnull(g.filters ->> '$.region_id', t.region_id) IS t.region_id AND ifnull(g.filters ->> '$.interface', t.interface) = t.interface)

-- :fragment endpoints_of_project
t.id IN (SELECT endpoint_id FROM project_endpoint WHERE project_id = :a1)

-- :fragment project_tags
(SELECT count(*) FROM project_tag x WHERE x.project_id = t.id AND instr(',' || :value || ',', ',' || x.tag || ',')) = length(:value) - length(replace(:value, ',', '')) + 1

-- :fragment project_tags_any
EXISTS (SELECT 1 FROM project_tag x WHERE x.project_id = t.id AND instr(',' || :value || ',', ',' || x.tag || ','))

-- :fragment project_not_tags
(SELECT count(*) FROM project_tag x WHERE x.project_id = t.id AND instr(',' || :value || ',', ',' || x.tag || ',')) <> length(:value) - length(replace(:value, ',', '')) + 1

-- :fragment project_not_tags_any
NOT EXISTS (SELECT 1 FROM project_tag x WHERE x.project_id = t.id AND instr(',' || :value || ',', ',' || x.tag || ','))

-- :fragment global_role
t.domain_id IS NULL

-- :fragment implied_by
t.id IN (SELECT implied_id FROM implied_role WHERE prior_id = :a1)

-- :fragment implies_some
t.id IN (SELECT prior_id FROM implied_role)

-- :name default_project_of
SELECT p.id FROM user u JOIN project p ON p.id = u.default_project_id AND p.enabled = 1 JOIN domain d ON d.id = p.domain_id AND d.enabled = 1
WHERE u.id = ?1;

-- :name user_password_set
UPDATE user SET password_hash = ?2, password_at = now_us(), password_generation = password_generation + 1 WHERE id = ?1;

-- What only administrators change: they pass without the condition.
-- :fragment admins_only
0

-- Projects
-- :name project_depth
WITH RECURSIVE above (id, depth) AS (
    SELECT ?1, 1 UNION ALL SELECT p.parent_id, a.depth + 1 FROM project p JOIN above a ON p.id = a.id)
SELECT max(depth) FROM above;

-- :name project_children
SELECT count(*) FROM project WHERE parent_id = ?1;

-- :name project_disabled_above
WITH RECURSIVE above (id) AS (
    SELECT parent_id FROM project WHERE id = ?1 UNION SELECT p.parent_id FROM project p JOIN above a ON p.id = a.id)
SELECT count(*) FROM project WHERE enabled = 0 AND id IN (SELECT id FROM above);

-- :name project_enabled_below
WITH RECURSIVE below (id) AS (
    SELECT id FROM project WHERE parent_id = ?1 UNION SELECT p.id FROM project p JOIN below b ON p.parent_id = b.id)
SELECT count(*) FROM project WHERE enabled = 1 AND id IN (SELECT id FROM below);

-- :name forget_default_project
UPDATE user SET default_project_id = NULL WHERE default_project_id = ?1;

-- :name forget_project_quota
DELETE FROM quota WHERE project_id = ?1;

-- Domains
-- :name domain_purge_users
DELETE FROM user WHERE domain_id = ?1;

-- :name domain_purge_groups
DELETE FROM user_group WHERE domain_id = ?1;

-- :name domain_purge_projects
DELETE FROM project WHERE domain_id = ?1;

-- :name domain_purge_roles
DELETE FROM role WHERE domain_id = ?1;

-- Users and groups
-- :name forget_app_credential_rules
DELETE FROM app_credential_rule WHERE access_rule_id IN (SELECT id FROM access_rule WHERE user_id = ?1);

-- :name password_history_insert
INSERT INTO password_history (user_id, hash, created_at) VALUES (?1, ?2, now_us());

-- :name password_history_last
SELECT hash FROM password_history WHERE user_id = ?1 ORDER BY created_at DESC LIMIT ?2;

-- :name group_member_exists
SELECT EXISTS (SELECT 1 FROM group_member WHERE group_id = ?1 AND user_id = ?2);

-- :name group_member_insert
INSERT INTO group_member (group_id, user_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING;

-- :name group_member_delete
DELETE FROM group_member WHERE group_id = ?1 AND user_id = ?2;

-- Is the user ?1, or the group ?2, above the administrators of the domain ?3: an administrator of the cloud or of another domain, or somebody on the system?
-- :name holds_admin
WITH RECURSIVE up (role_id) AS (
    SELECT id FROM role WHERE name = 'admin' AND domain_id IS NULL
    UNION SELECT i.prior_id FROM implied_role i JOIN up ON i.implied_id = up.role_id)
SELECT EXISTS (SELECT 1 FROM assignment a
    WHERE ((a.role_id IN (SELECT role_id FROM up) AND (a.domain_id IS NOT ?3 OR a.inherited = 1)) OR (a.project_id IS NULL AND a.domain_id IS NULL))
    AND (a.user_id = ?1 OR a.group_id = ?2 OR a.group_id IN (SELECT group_id FROM group_member WHERE user_id = ?1)));

-- :name role_means_admin
WITH RECURSIVE up (role_id) AS (
    SELECT id FROM role WHERE name = 'admin' AND domain_id IS NULL
    UNION SELECT i.prior_id FROM implied_role i JOIN up ON i.implied_id = up.role_id)
SELECT EXISTS (SELECT 1 FROM up WHERE role_id = ?1);

-- Roles and grants
-- :name implied_role_exists
SELECT EXISTS (SELECT 1 FROM implied_role WHERE prior_id = ?1 AND implied_id = ?2);

-- :name implied_role_delete
DELETE FROM implied_role WHERE prior_id = ?1 AND implied_id = ?2;

-- :name assignment_delete
DELETE FROM assignment WHERE user_id IS ?1 AND group_id IS ?2 AND project_id IS ?3 AND domain_id IS ?4 AND role_id = ?5 AND inherited = ?6;

-- :name assignment_exists
SELECT EXISTS (SELECT 1 FROM assignment
    WHERE user_id IS ?1 AND group_id IS ?2 AND project_id IS ?3 AND domain_id IS ?4 AND role_id = ?5 AND inherited = ?6);

-- :name assignment_roles
SELECT role_id FROM assignment
WHERE user_id IS ?1 AND group_id IS ?2 AND project_id IS ?3 AND domain_id IS ?4 AND inherited = ?5 ORDER BY role_id;

-- ?1 user ?2 group ?3 role ?4 project ?5 domain ?6 system ?7 with the project's subtree
-- :name assignments_given
WITH RECURSIVE tree (id) AS (
    SELECT ?4 UNION SELECT p.id FROM project p JOIN tree ON p.parent_id = tree.id WHERE ?7)
SELECT a.user_id, a.group_id, a.project_id, a.domain_id, a.role_id, a.inherited,
       u.name AS user_name, u.domain_id AS user_domain_id, ud.name AS user_domain_name,
       g.name AS group_name, g.domain_id AS group_domain_id, gd.name AS group_domain_name,
       p.name AS project_name, p.domain_id AS project_domain_id, pd.name AS project_domain_name,
       d.name AS domain_name, r.name AS role_name, r.domain_id AS role_domain_id, rd.name AS role_domain_name
FROM assignment a JOIN role r ON r.id = a.role_id LEFT JOIN domain rd ON rd.id = r.domain_id
LEFT JOIN user u ON u.id = a.user_id LEFT JOIN domain ud ON ud.id = u.domain_id
LEFT JOIN user_group g ON g.id = a.group_id LEFT JOIN domain gd ON gd.id = g.domain_id
LEFT JOIN project p ON p.id = a.project_id LEFT JOIN domain pd ON pd.id = p.domain_id
LEFT JOIN domain d ON d.id = a.domain_id
WHERE (?1 IS NULL OR a.user_id = ?1) AND (?2 IS NULL OR a.group_id = ?2) AND (?3 IS NULL OR a.role_id = ?3)
  AND (?4 IS NULL OR a.project_id IN (SELECT id FROM tree)) AND (?5 IS NULL OR a.domain_id = ?5)
  AND (NOT ?6 OR (a.project_id IS NULL AND a.domain_id IS NULL))
ORDER BY a.rowid;

-- Group roles become their members', inherited ones those of every project below, implied ones appear.
-- :name assignments_effective
WITH RECURSIVE
tree (id) AS (
    SELECT ?4 UNION SELECT p.id FROM project p JOIN tree ON p.parent_id = tree.id WHERE ?7),
below (top, id) AS (
    SELECT parent_id, id FROM project UNION SELECT b.top, p.id FROM below b JOIN project p ON p.parent_id = b.id),
held (user_id, via_group, project_id, domain_id, role_id, inherited) AS (
    SELECT user_id, NULL, project_id, domain_id, role_id, inherited FROM assignment WHERE user_id IS NOT NULL
    UNION ALL SELECT m.user_id, a.group_id, a.project_id, a.domain_id, a.role_id, a.inherited
    FROM assignment a JOIN group_member m ON m.group_id = a.group_id),
placed (user_id, via_group, project_id, domain_id, role_id, via_project, via_domain) AS (
    SELECT user_id, via_group, project_id, domain_id, role_id, NULL, NULL FROM held WHERE inherited = 0
    UNION ALL SELECT h.user_id, h.via_group, b.id, NULL, h.role_id, h.project_id, h.domain_id
    FROM held h JOIN below b ON h.inherited = 1 AND b.top = ifnull(h.project_id, h.domain_id)),
closure (top, role_id, prior_role) AS (
    SELECT id, id, NULL FROM role
    UNION SELECT c.top, i.implied_id, i.prior_id FROM closure c JOIN implied_role i ON i.prior_id = c.role_id)
SELECT a.user_id, NULL AS group_id, a.project_id, a.domain_id, c.role_id, 0 AS inherited, a.via_group, a.via_project, a.via_domain, c.prior_role,
       u.name AS user_name, u.domain_id AS user_domain_id, ud.name AS user_domain_name,
       p.name AS project_name, p.domain_id AS project_domain_id, pd.name AS project_domain_name,
       d.name AS domain_name, r.name AS role_name, r.domain_id AS role_domain_id, NULL AS role_domain_name
FROM placed a JOIN closure c ON c.top = a.role_id JOIN role r ON r.id = c.role_id AND r.domain_id IS NULL
JOIN user u ON u.id = a.user_id JOIN domain ud ON ud.id = u.domain_id
LEFT JOIN project p ON p.id = a.project_id LEFT JOIN domain pd ON pd.id = p.domain_id
LEFT JOIN domain d ON d.id = a.domain_id
WHERE (?1 IS NULL OR a.user_id = ?1) AND ?2 IS NULL AND (?3 IS NULL OR c.role_id = ?3)
  AND (?4 IS NULL OR a.project_id IN (SELECT id FROM tree)) AND (?5 IS NULL OR a.domain_id = ?5)
  AND (NOT ?6 OR (a.project_id IS NULL AND a.domain_id IS NULL))
ORDER BY a.user_id, a.project_id, a.domain_id, r.name;

-- Catalog
-- :name region_is_below
WITH RECURSIVE above (id) AS (
    SELECT ?2 UNION SELECT r.parent_region_id FROM region r JOIN above a ON r.id = a.id WHERE r.parent_region_id IS NOT NULL)
SELECT EXISTS (SELECT 1 FROM above WHERE id = ?1);

-- :name region_users
SELECT (SELECT count(*) FROM endpoint WHERE region_id = ?1) + (SELECT count(*) FROM region WHERE parent_region_id = ?1)
     + (SELECT count(*) FROM registered_limit WHERE region_id = ?1);

-- Application credentials
-- :name login_app_credential
SELECT id, user_id, project_id, secret_hash, expires_at FROM app_credential
WHERE CASE WHEN ?1 IS NOT NULL THEN id = ?1 ELSE user_id = ?2 AND name = ?3 END AND (expires_at IS NULL OR expires_at > now_us());

-- Roles, with all they imply, of the application credential ?1 or the trust ?2.
-- :name delegated_roles
WITH RECURSIVE closure (role_id) AS (
    SELECT role_id FROM app_credential_role WHERE app_credential_id = ?1
    UNION SELECT role_id FROM trust_role WHERE trust_id = ?2
    UNION SELECT i.implied_id FROM implied_role i JOIN closure c ON i.prior_id = c.role_id)
SELECT role_id FROM closure;

-- :name app_credential_insert
INSERT INTO app_credential (id, user_id, project_id, name, description, secret_hash, unrestricted, limited, expires_at, created_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, nullif(?9, 0), now_us());

-- :name app_credential_role_insert
INSERT INTO app_credential_role (app_credential_id, role_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING;

-- :name app_credential_rule_insert
INSERT INTO app_credential_rule (app_credential_id, access_rule_id) SELECT ?1, id FROM access_rule WHERE id = ?2 AND user_id = ?3;

-- :name app_credentials
SELECT id, user_id, project_id, name, description, unrestricted, limited, expires_at FROM app_credential
WHERE user_id = ?1 AND (?2 IS NULL OR id = ?2) AND (?3 IS NULL OR name = ?3) ORDER BY name;

-- :name app_credential_roles
SELECT r.id, r.name, r.domain_id FROM app_credential_role a JOIN role r ON r.id = a.role_id WHERE a.app_credential_id = ?1 ORDER BY r.name;

-- :name app_credential_rules
SELECT r.id, r.path, r.method, r.service FROM app_credential_rule a JOIN access_rule r ON r.id = a.access_rule_id
WHERE a.app_credential_id = ?1 ORDER BY r.service, r.path, r.method;

-- :name app_credential_delete
DELETE FROM app_credential WHERE user_id = ?1 AND id = ?2;

-- :name access_rules
SELECT id, path, method, service FROM access_rule WHERE user_id = ?1 AND (?2 IS NULL OR id = ?2) ORDER BY service, path, method;

-- :name access_rule_insert
INSERT INTO access_rule (id, user_id, service, method, path) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING;

-- :name access_rule_find
SELECT id FROM access_rule WHERE user_id = ?1 AND service = ?2 AND method = ?3 AND path = ?4;

-- :name access_rule_used
SELECT EXISTS (SELECT 1 FROM app_credential_rule WHERE access_rule_id = ?1);

-- :name access_rule_delete
DELETE FROM access_rule WHERE user_id = ?1 AND id = ?2;

-- :name totp_credentials
SELECT id, blob FROM credential WHERE user_id = ?1 AND type = 'totp' ORDER BY id;

-- :name totp_used
UPDATE credential SET totp_step = ?2 WHERE id = ?1 AND totp_step < ?2;

-- Trusts: ?1 id, or ?2 trustor and ?3 trustee.  An expired or used up trust is gone.
-- :name trusts
SELECT id, trustor_user_id, trustee_user_id, project_id, impersonation, expires_at, remaining_uses, redelegated_trust_id, redelegation_count,
       origin_user_id FROM trust
WHERE (?1 IS NULL OR id = ?1) AND (?2 IS NULL OR trustor_user_id = ?2) AND (?3 IS NULL OR trustee_user_id = ?3)
  AND (expires_at IS NULL OR expires_at > now_us()) AND (remaining_uses IS NULL OR remaining_uses > 0) ORDER BY created_at, id;

-- :name trust_insert
INSERT INTO trust (id, trustor_user_id, trustee_user_id, project_id, impersonation, expires_at, remaining_uses, redelegated_trust_id,
                   redelegation_count, origin_user_id, created_at)
VALUES (?1, ?2, ?3, ?4, ?5, nullif(?6, 0), nullif(?7, -1), ?8, ?9, ?10, now_us());

-- :name trust_use
UPDATE trust SET remaining_uses = remaining_uses - 1 WHERE id = ?1 AND (remaining_uses IS NULL OR remaining_uses > 0);

-- :name trust_role_insert
INSERT INTO trust_role (trust_id, role_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING;

-- :name trust_roles
SELECT r.id, r.name, r.domain_id FROM trust_role t JOIN role r ON r.id = t.role_id WHERE t.trust_id = ?1 ORDER BY r.name;

-- :name trust_role_exists
SELECT EXISTS (SELECT 1 FROM trust_role WHERE trust_id = ?1 AND role_id = ?2);

-- :name trust_delete
DELETE FROM trust WHERE id = ?1;

-- :name registered_limit_of
SELECT id FROM registered_limit WHERE service_id = ?1 AND region_id IS ?2 AND resource_name = ?3;

-- Endpoints chosen for projects
-- :name filter_group_insert
INSERT INTO endpoint_group_project (endpoint_group_id, project_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING;

-- :name filter_group_delete
DELETE FROM endpoint_group_project WHERE endpoint_group_id = ?1 AND project_id = ?2;

-- :name filter_group_exists
SELECT EXISTS (SELECT 1 FROM endpoint_group_project WHERE endpoint_group_id = ?1 AND project_id = ?2);

-- :name filter_endpoint_insert
INSERT INTO project_endpoint (endpoint_id, project_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING;

-- :name filter_endpoint_delete
DELETE FROM project_endpoint WHERE endpoint_id = ?1 AND project_id = ?2;

-- :name filter_endpoint_exists
SELECT EXISTS (SELECT 1 FROM project_endpoint WHERE endpoint_id = ?1 AND project_id = ?2);

-- :name some_administrator
SELECT u.id AS user_id, a.project_id FROM assignment a JOIN role r ON r.id = a.role_id AND r.name = 'admin' AND r.domain_id IS NULL
JOIN user u ON u.id = a.user_id AND u.enabled = 1 JOIN domain d ON d.id = u.domain_id AND d.enabled = 1
LEFT JOIN project p ON p.id = a.project_id
WHERE a.domain_id IS NULL AND a.inherited = 0 AND (p.id IS NULL OR p.enabled = 1) ORDER BY p.id IS NULL, u.created_at, u.id LIMIT 1;

-- :name catalog_seed_url
SELECT url FROM catalog_seed WHERE type = ?1;

-- :name catalog_seed_put
INSERT INTO catalog_seed (type, url) VALUES (?1, ?2) ON CONFLICT (type) DO UPDATE SET url = excluded.url;

-- :name catalog_seed_move
UPDATE endpoint SET url = ?3, updated_at = now_us() WHERE url = ?2 AND service_id IN (SELECT id FROM service WHERE type = ?1);
