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

-- What a port of a physical network is promised, in kilobits a second.
CREATE TABLE qos_minimum_bandwidth_rule (
    id TEXT PRIMARY KEY,
    qos_policy_id TEXT NOT NULL REFERENCES qos_policy (id) ON DELETE CASCADE,
    direction TEXT NOT NULL CHECK (direction IN ('ingress', 'egress')),
    min_kbps INTEGER NOT NULL CHECK (min_kbps >= 0),
    UNIQUE (qos_policy_id, direction)
) STRICT;

-- Ports, with what they are promised of the interface that their network is on.
CREATE VIEW qos_promise AS
SELECT p.id AS port_id, p.network_id, p.host, p.plugged, w.name AS physical, r.qos_policy_id, r.direction, r.min_kbps
FROM port p JOIN network_wire w ON w.id = p.network_id JOIN qos_minimum_bandwidth_rule r ON r.qos_policy_id = ifnull(p.qos_policy_id, w.qos_policy_id);

-- Thousands of packets a second that a port's host has to have for it, in a direction or in both together.
CREATE TABLE qos_minimum_packet_rate_rule (
    id TEXT PRIMARY KEY,
    qos_policy_id TEXT NOT NULL REFERENCES qos_policy (id) ON DELETE CASCADE,
    direction TEXT NOT NULL CHECK (direction IN ('ingress', 'egress', 'any')),
    min_kpps INTEGER NOT NULL CHECK (min_kpps >= 0),
    UNIQUE (qos_policy_id, direction)
) STRICT;

CREATE VIEW qos_packet_promise AS
SELECT p.id AS port_id, p.network_id, p.host, p.plugged, r.qos_policy_id, r.min_kpps
FROM port p JOIN network n ON n.id = p.network_id JOIN qos_minimum_packet_rate_rule r ON r.qos_policy_id = ifnull(p.qos_policy_id, n.qos_policy_id);

CREATE TABLE qos_dscp_marking_rule (
    id TEXT PRIMARY KEY,
    qos_policy_id TEXT NOT NULL UNIQUE REFERENCES qos_policy (id) ON DELETE CASCADE,
    dscp_mark INTEGER NOT NULL CHECK (dscp_mark BETWEEN 0 AND 63)
) STRICT;
