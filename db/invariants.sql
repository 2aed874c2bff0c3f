-- db/invariants.sql -- SELECTs that must return nothing once everything has settled (DESIGN §5.8).

-- A live operation whose next try is long past: nobody runs it.  Ten minutes: no step's call takes that long without having been tried.
-- :name operation_forgotten
SELECT id, kind, step, resource_id FROM operation
WHERE state = 'live' AND attempt > 0 AND max(updated_at, not_before) < now_us() - 1800000000;
