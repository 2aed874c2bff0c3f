-- Identity: who there is, what they may do, and the catalog.
CREATE TABLE domain (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL DEFAULT '',
    enabled     INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    options     TEXT NOT NULL DEFAULT '{}',
    extra       TEXT NOT NULL DEFAULT '{}',
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER
) STRICT;
CREATE TABLE domain_tag (
    domain_id TEXT NOT NULL REFERENCES domain (id) ON DELETE CASCADE,
    tag       TEXT NOT NULL,
    PRIMARY KEY (domain_id, tag)
) STRICT;

CREATE TABLE project (
    id          TEXT PRIMARY KEY,
    domain_id   TEXT NOT NULL REFERENCES domain (id),
    parent_id   TEXT NOT NULL,                         -- a project of the same domain, or the domain itself
    name        TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    enabled     INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    is_domain   INTEGER NOT NULL DEFAULT 0 CHECK (is_domain = 0),      -- the API shows it; domains have a table of their own
    options     TEXT NOT NULL DEFAULT '{}',
    extra       TEXT NOT NULL DEFAULT '{}',
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER,
    UNIQUE (domain_id, name)
) STRICT;
CREATE INDEX project_parent ON project (parent_id);
CREATE TABLE project_tag (
    project_id TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    tag        TEXT NOT NULL,
    PRIMARY KEY (project_id, tag)
) STRICT;

CREATE TABLE user (
    id                  TEXT PRIMARY KEY,
    domain_id           TEXT NOT NULL REFERENCES domain (id),
    name                TEXT NOT NULL,
    description         TEXT,
    email               TEXT,
    default_project_id  TEXT,
    enabled             INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    options             TEXT NOT NULL DEFAULT '{}',
    password_hash       TEXT,                          -- Argon2id; NULL: cannot log in by password
    password_at         INTEGER,                       -- when it was set
    password_expires_at INTEGER,
    -- Raised whenever every token of the user must end; a token carries the value it was made under.
    password_generation INTEGER NOT NULL DEFAULT 0,
    extra       TEXT NOT NULL DEFAULT '{}',
    created_at          INTEGER NOT NULL,
    updated_at          INTEGER,
    UNIQUE (domain_id, name)
) STRICT;
CREATE TABLE password_history (
    user_id    TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    hash       TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX password_history_user ON password_history (user_id, created_at);

CREATE TABLE user_group (
    id          TEXT PRIMARY KEY,
    domain_id   TEXT NOT NULL REFERENCES domain (id),
    name        TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    extra       TEXT NOT NULL DEFAULT '{}',
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER,
    UNIQUE (domain_id, name)
) STRICT;
CREATE TABLE group_member (
    user_id  TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    group_id TEXT NOT NULL REFERENCES user_group (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, group_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_member_group ON group_member (group_id);

CREATE TABLE role (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    domain_id   TEXT REFERENCES domain (id),           -- a domain-specific role never reaches a token, only what it implies
    description TEXT,
    options     TEXT NOT NULL DEFAULT '{}',
    extra       TEXT NOT NULL DEFAULT '{}',
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER
) STRICT;
CREATE UNIQUE INDEX role_name ON role (ifnull(domain_id, ''), name);
CREATE TABLE implied_role (
    prior_id   TEXT NOT NULL REFERENCES role (id) ON DELETE CASCADE,
    implied_id TEXT NOT NULL REFERENCES role (id) ON DELETE CASCADE,
    PRIMARY KEY (prior_id, implied_id),
    CHECK (prior_id <> implied_id)
) STRICT, WITHOUT ROWID;

-- Users and groups, projects and domains have columns of their own: an id of one kind can never stand for the other.
-- Neither project nor domain: the system.
CREATE TABLE assignment (
    user_id    TEXT REFERENCES user (id) ON DELETE CASCADE,
    group_id   TEXT REFERENCES user_group (id) ON DELETE CASCADE,
    project_id TEXT REFERENCES project (id) ON DELETE CASCADE,
    domain_id  TEXT REFERENCES domain (id) ON DELETE CASCADE,
    role_id    TEXT NOT NULL REFERENCES role (id) ON DELETE CASCADE,
    inherited  INTEGER NOT NULL DEFAULT 0 CHECK (inherited IN (0, 1)),
    CHECK ((user_id IS NULL) <> (group_id IS NULL)),
    CHECK (project_id IS NULL OR domain_id IS NULL),
    CHECK (inherited = 0 OR project_id IS NOT NULL OR domain_id IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX assignment_one
    ON assignment (ifnull(user_id, ''), ifnull(group_id, ''), ifnull(project_id, ''), ifnull(domain_id, ''), role_id, inherited);
CREATE INDEX assignment_user ON assignment (user_id);
CREATE INDEX assignment_group ON assignment (group_id);
CREATE INDEX assignment_project ON assignment (project_id);
CREATE INDEX assignment_domain ON assignment (domain_id);
CREATE INDEX assignment_role ON assignment (role_id);

CREATE TABLE access_rule (
    id      TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    service TEXT NOT NULL,
    method  TEXT NOT NULL,
    path    TEXT NOT NULL,
    UNIQUE (user_id, service, method, path)
) STRICT;
CREATE TABLE app_credential (
    id           TEXT PRIMARY KEY,
    user_id      TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    project_id   TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    description  TEXT,
    secret_hash  TEXT NOT NULL,
    unrestricted INTEGER NOT NULL DEFAULT 0 CHECK (unrestricted IN (0, 1)),
    limited      INTEGER NOT NULL DEFAULT 0 CHECK (limited IN (0, 1)),      -- has access rules, be they none
    expires_at   INTEGER,
    created_at   INTEGER NOT NULL,
    UNIQUE (user_id, name)
) STRICT;
CREATE TABLE app_credential_role (
    app_credential_id TEXT NOT NULL REFERENCES app_credential (id) ON DELETE CASCADE,
    role_id           TEXT NOT NULL REFERENCES role (id) ON DELETE CASCADE,
    PRIMARY KEY (app_credential_id, role_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE app_credential_rule (
    app_credential_id TEXT NOT NULL REFERENCES app_credential (id) ON DELETE CASCADE,
    access_rule_id    TEXT NOT NULL REFERENCES access_rule (id),
    PRIMARY KEY (app_credential_id, access_rule_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX app_credential_rule_rule ON app_credential_rule (access_rule_id);

CREATE TABLE trust (
    id                   TEXT PRIMARY KEY,
    trustor_user_id      TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    trustee_user_id      TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    project_id           TEXT REFERENCES project (id) ON DELETE CASCADE,
    impersonation        INTEGER NOT NULL CHECK (impersonation IN (0, 1)),
    expires_at           INTEGER,
    remaining_uses       INTEGER CHECK (remaining_uses >= 0),
    -- A trust may be passed on so many times; origin: whose roles they are in the end, at the head of the chain.
    redelegated_trust_id TEXT REFERENCES trust (id) ON DELETE CASCADE,
    redelegation_count   INTEGER NOT NULL DEFAULT 0 CHECK (redelegation_count >= 0),
    origin_user_id       TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    created_at           INTEGER NOT NULL
) STRICT;
CREATE INDEX trust_redelegated ON trust (redelegated_trust_id);
CREATE INDEX trust_origin ON trust (origin_user_id);
CREATE INDEX trust_trustor ON trust (trustor_user_id);
CREATE INDEX trust_trustee ON trust (trustee_user_id);
CREATE TABLE trust_role (
    trust_id TEXT NOT NULL REFERENCES trust (id) ON DELETE CASCADE,
    role_id  TEXT NOT NULL REFERENCES role (id) ON DELETE CASCADE,
    PRIMARY KEY (trust_id, role_id)
) STRICT, WITHOUT ROWID;

-- Only hashes are kept: whoever reads the database cannot use a token.
CREATE TABLE token (
    hash                TEXT PRIMARY KEY,
    user_id             TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    project_id          TEXT REFERENCES project (id) ON DELETE CASCADE,
    domain_id           TEXT REFERENCES domain (id) ON DELETE CASCADE,
    system              INTEGER NOT NULL DEFAULT 0 CHECK (system IN (0, 1)),
    methods             TEXT NOT NULL,
    audit_id            TEXT NOT NULL,
    parent_audit_id     TEXT,
    password_generation INTEGER NOT NULL,
    app_credential_id   TEXT REFERENCES app_credential (id) ON DELETE CASCADE,
    trust_id            TEXT REFERENCES trust (id) ON DELETE CASCADE,
    issued_at           INTEGER NOT NULL,
    expires_at          INTEGER NOT NULL,
    CHECK ((project_id IS NOT NULL) + (domain_id IS NOT NULL) + system <= 1)
) STRICT, WITHOUT ROWID;
CREATE INDEX token_user ON token (user_id);
CREATE INDEX token_project ON token (project_id);
CREATE INDEX token_domain ON token (domain_id);
CREATE INDEX token_expiry ON token (expires_at);
CREATE INDEX token_app_credential ON token (app_credential_id);
CREATE INDEX token_trust ON token (trust_id);

CREATE TABLE region (
    id               TEXT PRIMARY KEY,
    description      TEXT NOT NULL DEFAULT '',
    parent_region_id TEXT REFERENCES region (id),
    extra       TEXT NOT NULL DEFAULT '{}',
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER
) STRICT;
CREATE INDEX region_parent ON region (parent_region_id);
CREATE TABLE service (
    id          TEXT PRIMARY KEY,
    type        TEXT NOT NULL,
    name        TEXT NOT NULL DEFAULT '',
    description TEXT,
    enabled     INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    extra       TEXT NOT NULL DEFAULT '{}',
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER
) STRICT;
CREATE TABLE endpoint (
    id         TEXT PRIMARY KEY,
    service_id TEXT NOT NULL REFERENCES service (id) ON DELETE CASCADE,
    region_id  TEXT REFERENCES region (id),
    interface  TEXT NOT NULL CHECK (interface IN ('public', 'internal', 'admin')),
    url        TEXT NOT NULL,
    name       TEXT,
    description TEXT,
    enabled    INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    extra       TEXT NOT NULL DEFAULT '{}',
    created_at INTEGER NOT NULL,
    updated_at INTEGER
) STRICT;
CREATE INDEX endpoint_service ON endpoint (service_id);
CREATE INDEX endpoint_region ON endpoint (region_id);

-- What was put into the catalog at a start, under which address: a new kind of service is added once, and a changed address is followed.
CREATE TABLE catalog_seed (
    type TEXT PRIMARY KEY,
    url  TEXT NOT NULL
) STRICT;

-- A project with a row in either of these two sees only those endpoints in its catalog.
CREATE TABLE endpoint_group (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    description TEXT,
    filters     TEXT NOT NULL,                         -- {"service_id", "region_id", "interface"}, each optional
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER
) STRICT;
CREATE TABLE endpoint_group_project (
    endpoint_group_id TEXT NOT NULL REFERENCES endpoint_group (id) ON DELETE CASCADE,
    project_id        TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    PRIMARY KEY (project_id, endpoint_group_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE project_endpoint (
    endpoint_id TEXT NOT NULL REFERENCES endpoint (id) ON DELETE CASCADE,
    project_id  TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    PRIMARY KEY (project_id, endpoint_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE credential (
    id                TEXT PRIMARY KEY,
    user_id           TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    project_id        TEXT REFERENCES project (id) ON DELETE CASCADE,
    type              TEXT NOT NULL,
    blob              TEXT NOT NULL,
    totp_step         INTEGER NOT NULL DEFAULT 0,      -- last TOTP time step accepted: a code works once
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER
) STRICT;
CREATE INDEX credential_user ON credential (user_id, type);

CREATE TABLE policy (
    id         TEXT PRIMARY KEY,
    type       TEXT NOT NULL,
    blob       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER
) STRICT;

CREATE TABLE registered_limit (
    id            TEXT PRIMARY KEY,
    service_id    TEXT NOT NULL REFERENCES service (id),
    region_id     TEXT REFERENCES region (id),
    resource_name TEXT NOT NULL,
    default_limit INTEGER NOT NULL,
    description   TEXT,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER
) STRICT;
CREATE UNIQUE INDEX registered_limit_one ON registered_limit (service_id, ifnull(region_id, ''), resource_name);
CREATE TABLE project_limit (
    id                  TEXT PRIMARY KEY,
    project_id          TEXT REFERENCES project (id) ON DELETE CASCADE,
    domain_id           TEXT REFERENCES domain (id) ON DELETE CASCADE,
    registered_limit_id TEXT NOT NULL REFERENCES registered_limit (id),
    service_id          TEXT NOT NULL,
    region_id           TEXT,
    resource_name       TEXT NOT NULL,
    resource_limit      INTEGER NOT NULL,
    description         TEXT,
    created_at          INTEGER NOT NULL,
    updated_at          INTEGER,
    CHECK ((project_id IS NULL) <> (domain_id IS NULL))
) STRICT;
CREATE UNIQUE INDEX project_limit_one ON project_limit (ifnull(project_id, domain_id), registered_limit_id);

-- What the services enforce (identity/quota.c): rows over the configured defaults.
CREATE TABLE quota (
    project_id TEXT NOT NULL,
    resource   TEXT NOT NULL,
    hard_limit INTEGER NOT NULL CHECK (hard_limit >= -1),
    PRIMARY KEY (project_id, resource)
) STRICT, WITHOUT ROWID;
-- Of one user within the project's, as Nova has them.
CREATE TABLE user_quota (
    project_id TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    user_id    TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    resource   TEXT NOT NULL,
    hard_limit INTEGER NOT NULL CHECK (hard_limit >= -1),
    PRIMARY KEY (project_id, user_id, resource)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_quota_user ON user_quota (user_id);
CREATE TABLE quota_class (
    class      TEXT NOT NULL,
    resource   TEXT NOT NULL,
    hard_limit INTEGER NOT NULL CHECK (hard_limit >= -1),
    PRIMARY KEY (class, resource)
) STRICT, WITHOUT ROWID;
