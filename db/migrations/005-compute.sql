-- 005-compute.sql: hosts, flavors, keypairs, servers.

-- A host is known once its agent has told its facts.  number: the integer id that microversions before 2.53 show.
CREATE TABLE host (
    id TEXT PRIMARY KEY,
    number INTEGER NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    zone TEXT NOT NULL DEFAULT 'nova',
    enabled INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    disabled_reason TEXT,
    forced_down INTEGER NOT NULL DEFAULT 0 CHECK (forced_down IN (0, 1)),
    hostname TEXT NOT NULL,
    vcpus INTEGER NOT NULL,
    memory_mb INTEGER NOT NULL,
    disk_gb INTEGER NOT NULL,
    virt_type TEXT NOT NULL,
    virt_reason TEXT NOT NULL,
    hypervisor_version TEXT NOT NULL,
    libvirt_version TEXT NOT NULL,
    cpu_model TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE flavor (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    memory_mb INTEGER NOT NULL CHECK (memory_mb > 0),
    vcpus INTEGER NOT NULL CHECK (vcpus > 0),
    disk_gb INTEGER NOT NULL CHECK (disk_gb >= 0),
    ephemeral_gb INTEGER NOT NULL DEFAULT 0,
    swap_mb INTEGER NOT NULL DEFAULT 0,
    rxtx_factor TEXT NOT NULL DEFAULT '1.0',
    is_public INTEGER NOT NULL DEFAULT 1 CHECK (is_public IN (0, 1)),
    description TEXT,
    extra_specs TEXT NOT NULL DEFAULT '{}',
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE flavor_access (
    flavor_id TEXT NOT NULL REFERENCES flavor (id) ON DELETE CASCADE,
    project_id TEXT NOT NULL,
    PRIMARY KEY (flavor_id, project_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE keypair (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL CHECK (type IN ('ssh', 'x509')),
    fingerprint TEXT NOT NULL,
    public_key TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (user_id, name)
) STRICT;

-- vm_state and task_state are Nova's: what the server is and what is being done to it.  power_state is what the host was last seen
-- to run (libvirt's numbers: 0 no state, 1 running, 3 paused, 4 shut down, 6 crashed).  The flavor's and image's values are copies made at
-- create: changing or deleting those changes no server.
CREATE TABLE server (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    hostname TEXT NOT NULL,
    vm_state TEXT NOT NULL DEFAULT 'building'
        CHECK (vm_state IN ('building', 'active', 'stopped', 'paused', 'suspended', 'rescued', 'resized', 'soft-delete', 'error', 'shelved', 'shelved_offloaded')),
    task_state TEXT,
    power_state INTEGER NOT NULL DEFAULT 0,
    host TEXT,
    node TEXT,
    zone TEXT,
    asked_zone TEXT,
    asked_host TEXT,
    flavor_id TEXT NOT NULL,
    flavor_name TEXT NOT NULL,
    vcpus INTEGER NOT NULL,
    memory_mb INTEGER NOT NULL,
    disk_gb INTEGER NOT NULL,
    ephemeral_gb INTEGER NOT NULL DEFAULT 0,
    swap_mb INTEGER NOT NULL DEFAULT 0,
    extra_specs TEXT NOT NULL DEFAULT '{}',
    image_id TEXT,
    image_meta TEXT NOT NULL DEFAULT '{}',
    key_name TEXT,
    key_type TEXT,
    key_data TEXT,
    config_drive INTEGER NOT NULL DEFAULT 0 CHECK (config_drive IN (0, 1)),
    metadata TEXT NOT NULL DEFAULT '{}',
    tags TEXT NOT NULL DEFAULT '[]',
    tried TEXT NOT NULL DEFAULT '[]',
    access_ip_v4 TEXT,
    access_ip_v6 TEXT,
    disk_config TEXT NOT NULL DEFAULT 'MANUAL' CHECK (disk_config IN ('AUTO', 'MANUAL')),
    locked_by TEXT CHECK (locked_by IN ('owner', 'admin')),
    locked_reason TEXT,
    reservation_id TEXT NOT NULL,
    launch_index INTEGER NOT NULL DEFAULT 0,
    progress INTEGER NOT NULL DEFAULT 0,
    launched_at INTEGER,
    terminated_at INTEGER,
    fault_code INTEGER,
    fault_message TEXT,
    fault_details TEXT,
    fault_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX server_project ON server (project_id, created_at, id);
CREATE INDEX server_quota ON server (project_id, vcpus, memory_mb);
CREATE INDEX server_created ON server (created_at, id);
CREATE INDEX server_host ON server (host) WHERE host IS NOT NULL;

-- What the servers of each host take together, so that placing one need not add up all others.  Kept by the triggers below and by nothing
-- else; the invariant host_room_wrong adds up.
CREATE TABLE host_room (
    host TEXT PRIMARY KEY,
    servers INTEGER NOT NULL,
    vcpus INTEGER NOT NULL,
    memory_mb INTEGER NOT NULL,
    disk_gb INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER server_takes_room AFTER INSERT ON server WHEN NEW.host IS NOT NULL BEGIN
    INSERT INTO host_room VALUES (NEW.host, 1, NEW.vcpus, NEW.memory_mb, NEW.disk_gb + NEW.ephemeral_gb)
    ON CONFLICT DO UPDATE SET servers = servers + 1, vcpus = vcpus + excluded.vcpus, memory_mb = memory_mb + excluded.memory_mb,
                              disk_gb = disk_gb + excluded.disk_gb;
END;
CREATE TRIGGER server_leaves_room AFTER DELETE ON server WHEN OLD.host IS NOT NULL BEGIN
    UPDATE host_room SET servers = servers - 1, vcpus = vcpus - OLD.vcpus, memory_mb = memory_mb - OLD.memory_mb,
                         disk_gb = disk_gb - (OLD.disk_gb + OLD.ephemeral_gb) WHERE host = OLD.host;
END;
CREATE TRIGGER server_changes_room AFTER UPDATE OF host, vcpus, memory_mb, disk_gb, ephemeral_gb ON server BEGIN
    UPDATE host_room SET servers = servers - 1, vcpus = vcpus - OLD.vcpus, memory_mb = memory_mb - OLD.memory_mb,
                         disk_gb = disk_gb - (OLD.disk_gb + OLD.ephemeral_gb) WHERE host = OLD.host;
    INSERT INTO host_room SELECT NEW.host, 1, NEW.vcpus, NEW.memory_mb, NEW.disk_gb + NEW.ephemeral_gb WHERE NEW.host IS NOT NULL
    ON CONFLICT DO UPDATE SET servers = servers + 1, vcpus = vcpus + excluded.vcpus, memory_mb = memory_mb + excluded.memory_mb,
                              disk_gb = disk_gb + excluded.disk_gb;
END;

-- What only the guest reads, and what it told us; apart from the row because it is large and seldom needed.  admin_pass is kept for
-- servers with a config drive only, which must be able to be made again.
CREATE TABLE server_guest (
    server_id TEXT PRIMARY KEY REFERENCES server (id) ON DELETE CASCADE,
    user_data TEXT,
    admin_pass TEXT,
    password TEXT
) STRICT;

-- What is remembered of deleted servers, for lists with changes-since and for their actions; swept after compute.deleted_days.
CREATE TABLE server_deleted (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    record TEXT NOT NULL,
    deleted_at INTEGER NOT NULL
) STRICT;
CREATE INDEX server_deleted_project ON server_deleted (project_id, deleted_at);
