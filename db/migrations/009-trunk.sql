-- 009-trunk.sql: trunks: one port of a guest carries those of others as VLANs.

CREATE TABLE trunk (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    port_id TEXT NOT NULL UNIQUE REFERENCES port (id),
    admin_state_up INTEGER NOT NULL DEFAULT 1 CHECK (admin_state_up IN (0, 1)),
    revision_number INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX trunk_project ON trunk (project_id);
CREATE TRIGGER trunk_gone AFTER DELETE ON trunk BEGIN
    DELETE FROM network_tag WHERE parent_id = old.id;
END;

-- The trunk's own row comes after its first subports in the same transaction.
CREATE TABLE trunk_subport (
    port_id TEXT PRIMARY KEY REFERENCES port (id),
    trunk_id TEXT NOT NULL REFERENCES trunk (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    segmentation_type TEXT NOT NULL CHECK (segmentation_type = 'vlan'),
    segmentation_id INTEGER NOT NULL CHECK (segmentation_id BETWEEN 1 AND 4094),
    UNIQUE (trunk_id, segmentation_type, segmentation_id)
) STRICT;

-- The ports that a server has: its own, and the subports of those that are trunks.  No port is both.
CREATE VIEW server_port AS
SELECT id AS port_id, server_id FROM port WHERE server_id IS NOT NULL
UNION ALL SELECT s.port_id, q.server_id FROM port q JOIN trunk t ON t.port_id = q.id JOIN trunk_subport s ON s.trunk_id = t.id
WHERE q.server_id IS NOT NULL;
