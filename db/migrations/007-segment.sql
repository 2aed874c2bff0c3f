-- 007-segment.sql: what the agents' hosts say of themselves: how other hosts reach them, and which physical networks they are on.

-- kpps: thousands of packets a second that it can promise; 0: any number.
-- physical: JSON array of {"name", "interface"} and, where they are known, "egress_kbps" and "ingress_kbps".
CREATE TABLE network_host (
    host TEXT PRIMARY KEY,
    tunnel_address TEXT,
    physical TEXT NOT NULL DEFAULT '[]',
    kpps INTEGER NOT NULL DEFAULT 0 CHECK (kpps >= 0)
) STRICT;
