-- 010-agent.sql: what administrators write about the hosts' network agents, which have no rows themselves.

-- id: made of the host's name and the agent's type.
CREATE TABLE network_agent (
    id TEXT PRIMARY KEY,
    description TEXT NOT NULL
) STRICT;
