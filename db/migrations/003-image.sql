-- db/migrations/003-image.sql -- images, their tags, additional properties and members.

-- Not known yet: name and formats '', size and virtual_size -1 (columns that lists sort by are never NULL).
CREATE TABLE image (
    id               TEXT PRIMARY KEY,
    project_id       TEXT,                             -- the owner; NULL: nobody, administrators only
    name             TEXT NOT NULL DEFAULT '',
    status           TEXT NOT NULL DEFAULT 'queued'
                     CHECK (status IN ('queued', 'saving', 'uploading', 'importing', 'active', 'deactivated')),
    visibility       TEXT NOT NULL DEFAULT 'shared' CHECK (visibility IN ('public', 'community', 'shared', 'private')),
    disk_format      TEXT NOT NULL DEFAULT '',
    container_format TEXT NOT NULL DEFAULT '',
    size             INTEGER NOT NULL DEFAULT -1,
    virtual_size     INTEGER NOT NULL DEFAULT -1,
    checksum         TEXT,
    os_hash_algo     TEXT,
    os_hash_value    TEXT,
    min_disk         INTEGER NOT NULL DEFAULT 0 CHECK (min_disk >= 0),
    min_ram          INTEGER NOT NULL DEFAULT 0 CHECK (min_ram >= 0),
    protected_       INTEGER NOT NULL DEFAULT 0 CHECK (protected_ IN (0, 1)),
    os_hidden        INTEGER NOT NULL DEFAULT 0 CHECK (os_hidden IN (0, 1)),
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL
) STRICT;
CREATE INDEX image_project ON image(project_id);
CREATE INDEX image_created ON image(created_at);

-- Ids that images had.  They are not given again: hosts keep copies of images by id, and a copy must never stand for other contents.
CREATE TABLE image_gone (
    id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
CREATE TRIGGER image_is_gone AFTER DELETE ON image BEGIN
    INSERT OR IGNORE INTO image_gone (id) VALUES (OLD.id);
END;

CREATE TABLE image_tag (
    image_id TEXT NOT NULL REFERENCES image(id) ON DELETE CASCADE,
    tag      TEXT NOT NULL,
    UNIQUE (image_id, tag)
) STRICT;
CREATE INDEX image_tag_tag ON image_tag(tag);

CREATE TABLE image_property (
    image_id TEXT NOT NULL REFERENCES image(id) ON DELETE CASCADE,
    name     TEXT NOT NULL,
    value    TEXT NOT NULL,
    UNIQUE (image_id, name)
) STRICT;

CREATE TABLE image_member (
    image_id   TEXT NOT NULL REFERENCES image(id) ON DELETE CASCADE,
    member_id  TEXT NOT NULL,                          -- a project
    status     TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'accepted', 'rejected')),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (image_id, member_id)
) STRICT;
CREATE INDEX image_member_member ON image_member(member_id);

-- The catalog of metadata definitions: what properties mean, for clients that offer them.
CREATE TABLE metadef_namespace (
    namespace    TEXT PRIMARY KEY,
    project_id   TEXT NOT NULL,
    display_name TEXT,
    description  TEXT,
    visibility   TEXT NOT NULL DEFAULT 'private' CHECK (visibility IN ('public', 'private')),
    protected    INTEGER NOT NULL DEFAULT 0 CHECK (protected IN (0, 1)),
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE metadef_item (
    namespace  TEXT NOT NULL REFERENCES metadef_namespace(namespace) ON DELETE CASCADE ON UPDATE CASCADE,
    kind       TEXT NOT NULL CHECK (kind IN ('objects', 'properties', 'tags', 'resource_types')),
    name       TEXT NOT NULL,
    body       TEXT NOT NULL,                          -- JSON object: what was given besides the name
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, kind, name)
) STRICT;
