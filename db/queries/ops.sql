-- ops.sql -- operations: queue, cursor, events.

-- :name op_insert
INSERT INTO operation (kind, action, step, resource_id, project_id, user_id, request_id, host, args, state, created_at, updated_at)
VALUES (?1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'live', now_us(), now_us());

-- :name op_live_count
SELECT count(*) FROM operation WHERE resource_id = ?1 AND state = 'live';

-- A live one of the same kind that is not cancelled; ?3 = 1: and has not begun.
-- :name op_live_of_kind
SELECT id FROM operation WHERE resource_id = ?1 AND kind = ?2 AND state = 'live' AND cancel = 0 AND (?3 = 0 OR begun = 0) LIMIT 1;

-- :name op_cancel_elders
UPDATE operation SET cancel = 1, not_before = 0 WHERE resource_id = ?1 AND state = 'live';

-- :name op_oldest
SELECT * FROM operation WHERE resource_id = ?1 AND state = 'live' ORDER BY id LIMIT 1;

-- :name op_lanes
SELECT resource_id FROM operation WHERE state = 'live' GROUP BY resource_id ORDER BY min(id);

-- :name op_reset_waits
UPDATE operation SET not_before = 0 WHERE state = 'live' AND not_before > 0;

-- :name op_begin
UPDATE operation SET begun = 1 WHERE id = ?1;

-- :name op_set_host
UPDATE operation SET host = ?2, updated_at = now_us() WHERE id = ?1;

-- :name op_is_cancelled
SELECT cancel FROM operation WHERE id = ?1;

-- :name op_advance
UPDATE operation SET step = ?2, step_since = 0, attempt = 0, not_before = 0, waiting = NULL, updated_at = now_us() WHERE id = ?1;

-- :name op_wait
UPDATE operation SET attempt = ?2, not_before = ?3, waiting = ?4, updated_at = now_us() WHERE id = ?1;

-- :name op_later
UPDATE operation SET step_since = ?2, attempt = 0, waiting = NULL, updated_at = now_us() WHERE id = ?1;

-- :name op_become
UPDATE operation SET kind = ?2, step = ?3, step_since = 0, attempt = 0, not_before = 0, waiting = NULL, error = coalesce(error, ?4), updated_at = now_us()
WHERE id = ?1;

-- :name op_finish
UPDATE operation SET state = ?2, waiting = NULL, error = coalesce(error, ?3), updated_at = now_us(), finished_at = now_us() WHERE id = ?1;

-- :name op_forget
DELETE FROM operation WHERE id = ?1;

-- :name op_prune
DELETE FROM operation WHERE id IN (SELECT id FROM operation WHERE state <> 'live' AND finished_at < ?1 LIMIT ?2);

-- :name op_event_put
INSERT INTO operation_event (operation_id, kind, step, started_at, finished_at, result, details) VALUES (?1, ?2, ?3, ?4, now_us(), ?5, ?6)
ON CONFLICT DO UPDATE SET finished_at = excluded.finished_at, result = excluded.result, details = excluded.details;

-- ?1 = 1: finished ones too.
-- :name op_list
SELECT id, kind, step, resource_id, host, state, cancel, attempt, not_before, waiting, error, request_id, created_at, updated_at, finished_at
FROM operation WHERE ?1 = 1 OR state = 'live' ORDER BY id DESC LIMIT 1000;
