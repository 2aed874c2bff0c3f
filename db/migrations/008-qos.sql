-- 008-qos.sql: QoS policies and their rules: one of a kind and direction in a policy.

CREATE TABLE qos_policy (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    shared INTEGER NOT NULL DEFAULT 0 CHECK (shared IN (0, 1)),
    is_default INTEGER NOT NULL DEFAULT 0 CHECK (is_default IN (0, 1)),
    revision_number INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX qos_policy_project ON qos_policy (project_id);
CREATE UNIQUE INDEX qos_policy_default ON qos_policy (project_id) WHERE is_default = 1;
CREATE TRIGGER qos_policy_gone AFTER DELETE ON qos_policy BEGIN
    DELETE FROM network_tag WHERE parent_id = old.id;
    DELETE FROM rbac_policy WHERE object_id = old.id;
END;

-- Rates in kilobits a second, bursts in kilobits; 0: no limit, and the agent's own choice.
CREATE TABLE qos_bandwidth_limit_rule (
    id TEXT PRIMARY KEY,
    qos_policy_id TEXT NOT NULL REFERENCES qos_policy (id) ON DELETE CASCADE,
    direction TEXT NOT NULL CHECK (direction IN ('ingress', 'egress')),
    max_kbps INTEGER NOT NULL CHECK (max_kbps >= 0),
    max_burst_kbps INTEGER NOT NULL CHECK (max_burst_kbps >= 0),
    UNIQUE (qos_policy_id, direction)
) STRICT;

-- Thousands of packets a second.
CREATE TABLE qos_packet_rate_limit_rule (
    id TEXT PRIMARY KEY,
    qos_policy_id TEXT NOT NULL REFERENCES qos_policy (id) ON DELETE CASCADE,
    direction TEXT NOT NULL CHECK (direction IN ('ingress', 'egress')),
    max_kpps INTEGER NOT NULL CHECK (max_kpps >= 0),
    max_burst_kpps INTEGER NOT NULL CHECK (max_burst_kpps >= 0),
    UNIQUE (qos_policy_id, direction)
) STRICT;

CREATE TABLE qos_dscp_marking_rule (
    id TEXT PRIMARY KEY,
    qos_policy_id TEXT NOT NULL UNIQUE REFERENCES qos_policy (id) ON DELETE CASCADE,
    dscp_mark INTEGER NOT NULL CHECK (dscp_mark BETWEEN 0 AND 63)
) STRICT;
