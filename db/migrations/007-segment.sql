-- 007-segment.sql: what the agents' hosts say of themselves: how other hosts reach them, and which physical networks they are on.

-- physical: JSON array of {"name", "interface"} and, where they are known, "egress_kbps" and "ingress_kbps".
CREATE TABLE network_host (
    host TEXT PRIMARY KEY,
    tunnel_address TEXT,
    physical TEXT NOT NULL DEFAULT '[]'
) STRICT;
