-- ctl.sql -- what `nuvolet ctl` shows.

-- :name status_hosts
SELECT h.name, h.hostname, h.zone, h.enabled, h.virt_type, h.virt_reason, h.vcpus, h.memory_mb, h.disk_gb, count(s.id) AS servers,
       coalesce(sum(s.vcpus), 0) AS used_vcpus, coalesce(sum(s.memory_mb), 0) AS used_memory_mb, coalesce(sum(s.disk_gb), 0) AS used_disk_gb
FROM host h LEFT JOIN server s ON s.host = h.name GROUP BY h.name ORDER BY h.name;

-- :name status_servers
SELECT vm_state AS state, count(*) AS n FROM server GROUP BY vm_state ORDER BY vm_state;

-- :name status_database
SELECT c.page_count * s.page_size FROM pragma_page_count() c, pragma_page_size() s;

-- :name status_operations
SELECT count(*) AS live, coalesce(sum(waiting IS NOT NULL), 0) AS waiting FROM operation WHERE state = 'live';

-- Live operations that have failed some times: they go on by themselves, but a person should know.
-- :name doctor_waiting
SELECT id, kind, step, resource_id, host, attempt, waiting FROM operation WHERE state = 'live' AND attempt >= ?1 ORDER BY id;
