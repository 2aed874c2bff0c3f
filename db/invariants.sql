-- db/invariants.sql -- SELECTs that must return nothing once everything has settled (DESIGN §5.8).

-- A live operation whose next try is long past: nobody runs it.  Ten minutes: no step's call takes that long without having been tried.
-- :name operation_forgotten
SELECT id, kind, step, resource_id FROM operation
WHERE state = 'live' AND attempt > 0 AND max(updated_at, not_before) < now_us() - 1800000000;

-- :name image_active_without_data
SELECT id, status FROM image
WHERE status IN ('active', 'deactivated') AND (size < 1 OR checksum IS NULL OR os_hash_value IS NULL OR disk_format = '' OR container_format = '');

-- :name image_queued_with_data
SELECT id, status FROM image WHERE status = 'queued' AND (checksum IS NOT NULL OR os_hash_value IS NOT NULL OR size >= 0);
