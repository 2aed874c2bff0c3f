-- 001-ops.sql -- durable operations: what was promised, how far it came, and how each step went.

CREATE TABLE operation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,                    -- OpKind now; a failed one becomes its rollback
    action TEXT NOT NULL,                  -- OpKind it was started as
    step TEXT NOT NULL,                    -- the cursor: this step runs next, or again
    resource_id TEXT NOT NULL,
    project_id TEXT,
    user_id TEXT,
    request_id TEXT,
    host TEXT,                             -- whose agent is asked; NULL: nothing was made anywhere
    args TEXT NOT NULL,                    -- JSON object
    state TEXT NOT NULL CHECK (state IN ('live', 'done', 'failed', 'cancelled')),
    cancel INTEGER NOT NULL DEFAULT 0 CHECK (cancel IN (0, 1)),
    begun INTEGER NOT NULL DEFAULT 0 CHECK (begun IN (0, 1)),       -- kept for coalescing kinds only
    step_since INTEGER NOT NULL DEFAULT 0, -- when it was first found to take its time; 0: it was not
    attempt INTEGER NOT NULL DEFAULT 0,    -- failed tries of this step
    not_before INTEGER NOT NULL DEFAULT 0,
    waiting TEXT,                          -- why the last try did not get on
    error TEXT,                            -- why it failed for good
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    finished_at INTEGER,
    CHECK ((state = 'live') = (finished_at IS NULL))
) STRICT;
CREATE INDEX operation_live ON operation (resource_id, id) WHERE state = 'live';
CREATE INDEX operation_of_resource ON operation (resource_id, id);
CREATE INDEX operation_finished ON operation (finished_at) WHERE state <> 'live';

-- Nova's os-instance-actions events are rendered from these.
CREATE TABLE operation_event (
    operation_id INTEGER NOT NULL REFERENCES operation (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    step TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    result TEXT NOT NULL CHECK (result IN ('Success', 'Error')),
    details TEXT,
    PRIMARY KEY (operation_id, kind, step)
) STRICT, WITHOUT ROWID;
