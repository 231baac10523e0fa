-- Port groups, volumes, templates, runbooks, inspection rules, allocations, traits.
-- Table names are one word: on PostgreSQL the column a unique index is about is
-- read from its name, TABLE_COLUMN.

INSERT INTO counters (name, value) VALUES ('portgroups', 0), ('connectors', 0), ('targets', 0), ('templates', 0),
    ('runbooks', 0), ('rules', 0), ('allocations', 0);

ALTER TABLE nodes ADD COLUMN traits TEXT NOT NULL DEFAULT '';
CREATE INDEX nodes_by_allocation ON nodes (allocation_uuid, id) WHERE allocation_uuid <> '';

CREATE INDEX ports_by_portgroup ON ports (portgroup_uuid, id) WHERE portgroup_uuid <> '';

CREATE TABLE portgroups (
    id                         INTEGER  NOT NULL PRIMARY KEY,
    uuid                       TEXT     NOT NULL,
    node_uuid                  TEXT     NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE,
    name                       TEXT     NOT NULL,
    address                    TEXT     NOT NULL,
    extra                      TEXT     NOT NULL,
    internal_info              TEXT     NOT NULL,
    standalone_ports_supported SMALLINT NOT NULL,
    mode                       TEXT     NOT NULL,
    properties                 TEXT     NOT NULL,
    physical_network           TEXT     NOT NULL,
    category                   TEXT     NOT NULL,
    dynamic_portgroup          SMALLINT NOT NULL,
    created_at                 BIGINT   NOT NULL,
    updated_at                 BIGINT   NOT NULL
);
CREATE UNIQUE INDEX portgroups_uuid ON portgroups (uuid);
CREATE UNIQUE INDEX portgroups_name ON portgroups (name) WHERE name <> '';
CREATE UNIQUE INDEX portgroups_address ON portgroups (address) WHERE address <> '';
CREATE INDEX portgroups_by_node ON portgroups (node_uuid, id);

CREATE TABLE connectors (
    id           INTEGER NOT NULL PRIMARY KEY,
    uuid         TEXT    NOT NULL,
    node_uuid    TEXT    NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE,
    type         TEXT    NOT NULL,
    connector_id TEXT    NOT NULL,
    extra        TEXT    NOT NULL,
    created_at   BIGINT  NOT NULL,
    updated_at   BIGINT  NOT NULL
);
CREATE UNIQUE INDEX connectors_uuid ON connectors (uuid);
CREATE UNIQUE INDEX connectors_type ON connectors (type, connector_id);
CREATE INDEX connectors_by_node ON connectors (node_uuid, id);

CREATE TABLE targets (
    id          INTEGER NOT NULL PRIMARY KEY,
    uuid        TEXT    NOT NULL,
    node_uuid   TEXT    NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE,
    volume_type TEXT    NOT NULL,
    boot_index  BIGINT  NOT NULL,
    volume_id   TEXT    NOT NULL,
    properties  TEXT    NOT NULL,
    extra       TEXT    NOT NULL,
    created_at  BIGINT  NOT NULL,
    updated_at  BIGINT  NOT NULL
);
CREATE UNIQUE INDEX targets_uuid ON targets (uuid);
CREATE UNIQUE INDEX targets_node_uuid ON targets (node_uuid, boot_index);

CREATE TABLE templates (
    id         INTEGER NOT NULL PRIMARY KEY,
    uuid       TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    steps      TEXT    NOT NULL,
    extra      TEXT    NOT NULL,
    created_at BIGINT  NOT NULL,
    updated_at BIGINT  NOT NULL
);
CREATE UNIQUE INDEX templates_uuid ON templates (uuid);
CREATE UNIQUE INDEX templates_name ON templates (name);

CREATE TABLE runbooks (
    id              INTEGER  NOT NULL PRIMARY KEY,
    uuid            TEXT     NOT NULL,
    name            TEXT     NOT NULL,
    description     TEXT     NOT NULL,
    steps           TEXT     NOT NULL,
    disable_ramdisk SMALLINT NOT NULL,
    public          SMALLINT NOT NULL,
    owner           TEXT     NOT NULL,
    traits          TEXT     NOT NULL,
    extra           TEXT     NOT NULL,
    created_at      BIGINT   NOT NULL,
    updated_at      BIGINT   NOT NULL
);
CREATE UNIQUE INDEX runbooks_uuid ON runbooks (uuid);
CREATE UNIQUE INDEX runbooks_name ON runbooks (name);

CREATE TABLE rules (
    id          INTEGER  NOT NULL PRIMARY KEY,
    uuid        TEXT     NOT NULL,
    description TEXT     NOT NULL,
    priority    BIGINT   NOT NULL,
    sensitive   SMALLINT NOT NULL,
    phase       TEXT     NOT NULL,
    conditions  TEXT     NOT NULL,
    actions     TEXT     NOT NULL,
    created_at  BIGINT   NOT NULL,
    updated_at  BIGINT   NOT NULL
);
CREATE UNIQUE INDEX rules_uuid ON rules (uuid);

CREATE TABLE allocations (
    id              INTEGER NOT NULL PRIMARY KEY,
    uuid            TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    resource_class  TEXT    NOT NULL,
    traits          TEXT    NOT NULL,
    candidate_nodes TEXT    NOT NULL,
    extra           TEXT    NOT NULL,
    owner           TEXT    NOT NULL,
    node_uuid       TEXT    NOT NULL,
    state           TEXT    NOT NULL,
    last_error      TEXT    NOT NULL,
    created_at      BIGINT  NOT NULL,
    updated_at      BIGINT  NOT NULL,
    claim_owner     TEXT    NOT NULL,
    claim_host      TEXT    NOT NULL,
    claim_epoch     BIGINT  NOT NULL,
    claim_expires   BIGINT  NOT NULL
);
CREATE UNIQUE INDEX allocations_uuid ON allocations (uuid);
CREATE UNIQUE INDEX allocations_name ON allocations (name) WHERE name <> '';
CREATE UNIQUE INDEX allocations_node_uuid ON allocations (node_uuid) WHERE node_uuid <> '';
CREATE INDEX allocations_under_way ON allocations (claim_expires, id) WHERE state = 'allocating';
