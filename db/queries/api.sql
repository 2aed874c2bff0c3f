-- db/queries/api.sql -- what the API's own pages ask.

-- :name health
SELECT 1;

-- :name metric_counts
SELECT 'operations' AS name, state AS label, count(*) AS n FROM operation GROUP BY state
UNION ALL SELECT 'servers', status, count(*) FROM (SELECT vm_state AS status FROM server) GROUP BY status;
