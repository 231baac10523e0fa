-- Plain SQL for SQLite and PostgreSQL. PostgreSQL reads TEXT as
-- TEXT COLLATE "C", so that both compare and sort byte by byte.
-- In nodes the big columns come last: SQLite then filters and sorts without
-- reading them.

CREATE TABLE counters (
    name  TEXT    NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
);
INSERT INTO counters (name, value) VALUES ('nodes', 0), ('ports', 0), ('chassis', 0);

CREATE TABLE clock (
    id          INTEGER NOT NULL PRIMARY KEY,
    store_time  BIGINT  NOT NULL,
    wall_time   BIGINT  NOT NULL,
    boot_id     TEXT    NOT NULL,
    uptime      BIGINT  NOT NULL
);

CREATE TABLE chassis (
    id          INTEGER NOT NULL PRIMARY KEY,
    uuid        TEXT    NOT NULL,
    description TEXT    NOT NULL,
    extra       TEXT    NOT NULL,
    created_at  BIGINT  NOT NULL,
    updated_at  BIGINT  NOT NULL
);
CREATE UNIQUE INDEX chassis_uuid ON chassis (uuid);

CREATE TABLE nodes (
    id                     INTEGER  NOT NULL PRIMARY KEY,
    uuid                   TEXT     NOT NULL,
    name                   TEXT     NOT NULL,
    instance_uuid          TEXT     NOT NULL,
    power_state            TEXT     NOT NULL,
    provision_state        TEXT     NOT NULL,
    maintenance            SMALLINT NOT NULL,
    driver                 TEXT     NOT NULL,
    instance_name          TEXT     NOT NULL,
    chassis_uuid           TEXT     NOT NULL,
    allocation_uuid        TEXT     NOT NULL,
    resource_class         TEXT     NOT NULL,
    conductor_group        TEXT     NOT NULL,
    owner                  TEXT     NOT NULL,
    lessee                 TEXT     NOT NULL,
    shard                  TEXT     NOT NULL,
    parent_node            TEXT     NOT NULL,
    target_power_state     TEXT     NOT NULL,
    target_provision_state TEXT     NOT NULL,
    provision_updated_at   BIGINT   NOT NULL,
    fault                  TEXT     NOT NULL,
    health                 TEXT     NOT NULL,
    protected              SMALLINT NOT NULL,
    retired                SMALLINT NOT NULL,
    console_enabled        SMALLINT NOT NULL,
    disable_power_off      SMALLINT NOT NULL,
    automated_clean        SMALLINT,
    boot_mode              TEXT     NOT NULL,
    secure_boot            SMALLINT,
    inspection_started_at  BIGINT   NOT NULL,
    inspection_finished_at BIGINT   NOT NULL,
    created_at             BIGINT   NOT NULL,
    updated_at             BIGINT   NOT NULL,
    description            TEXT     NOT NULL,
    maintenance_reason     TEXT     NOT NULL,
    protected_reason       TEXT     NOT NULL,
    retired_reason         TEXT     NOT NULL,
    last_error             TEXT     NOT NULL,
    interfaces             TEXT     NOT NULL,
    driver_info            TEXT     NOT NULL,
    driver_internal_info   TEXT     NOT NULL,
    properties             TEXT     NOT NULL,
    extra                  TEXT     NOT NULL,
    instance_info          TEXT     NOT NULL,
    network_data           TEXT     NOT NULL,
    raid_config            TEXT     NOT NULL,
    target_raid_config     TEXT     NOT NULL,
    clean_step             TEXT     NOT NULL,
    deploy_step            TEXT     NOT NULL,
    service_step           TEXT     NOT NULL,
    -- What the conductors keep: the claim, the intent, the journal of steps.
    version                BIGINT   NOT NULL,
    reservation            TEXT     NOT NULL,
    claim_owner            TEXT     NOT NULL,
    claim_epoch            BIGINT   NOT NULL,
    claim_expires          BIGINT   NOT NULL,
    wake_at                BIGINT   NOT NULL,
    step_index             BIGINT   NOT NULL,
    wait_deadline          BIGINT   NOT NULL,
    wait_reason            TEXT     NOT NULL,
    wait_hint              TEXT     NOT NULL,
    hardware_key           TEXT     NOT NULL,
    observed_boot          BIGINT   NOT NULL,
    observed_seq           BIGINT   NOT NULL,
    place                  TEXT     NOT NULL,
    intent                 TEXT     NOT NULL,
    steps                  TEXT     NOT NULL,
    journal                TEXT     NOT NULL
);
CREATE UNIQUE INDEX nodes_uuid ON nodes (uuid);
CREATE UNIQUE INDEX nodes_name ON nodes (name) WHERE name <> '';
CREATE UNIQUE INDEX nodes_instance_uuid ON nodes (instance_uuid) WHERE instance_uuid <> '';
CREATE INDEX nodes_by_name ON nodes (name, id);
CREATE INDEX nodes_by_provision_state ON nodes (provision_state, id);
CREATE INDEX nodes_by_conductor_group ON nodes (conductor_group, id) WHERE conductor_group <> '';
CREATE INDEX nodes_by_resource_class ON nodes (resource_class, id) WHERE resource_class <> '';
CREATE INDEX nodes_by_chassis ON nodes (chassis_uuid, id) WHERE chassis_uuid <> '';
CREATE INDEX nodes_by_owner ON nodes (owner, id) WHERE owner <> '';
CREATE INDEX nodes_by_lessee ON nodes (lessee, id) WHERE lessee <> '';
CREATE INDEX nodes_by_shard ON nodes (shard, id) WHERE shard <> '';
CREATE INDEX nodes_by_parent ON nodes (parent_node, id) WHERE parent_node <> '';
CREATE INDEX nodes_by_instance_name ON nodes (instance_name, id) WHERE instance_name <> '';
CREATE INDEX nodes_by_fault ON nodes (fault, id) WHERE fault <> '';
CREATE INDEX nodes_by_hardware_key ON nodes (hardware_key, id) WHERE hardware_key <> '';
CREATE INDEX nodes_by_reservation ON nodes (reservation, id) WHERE reservation <> '';
CREATE INDEX nodes_in_maintenance ON nodes (id) WHERE maintenance = 1;
CREATE INDEX nodes_retired ON nodes (id) WHERE retired = 1;
CREATE INDEX nodes_by_wake_at ON nodes (wake_at, id) WHERE wake_at > 0;

CREATE TABLE ports (
    id                    INTEGER  NOT NULL PRIMARY KEY,
    uuid                  TEXT     NOT NULL,
    node_uuid             TEXT     NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE,
    address               TEXT     NOT NULL,
    name                  TEXT     NOT NULL,
    description           TEXT     NOT NULL,
    vendor                TEXT     NOT NULL,
    category              TEXT     NOT NULL,
    extra                 TEXT     NOT NULL,
    internal_info         TEXT     NOT NULL,
    local_link_connection TEXT     NOT NULL,
    pxe_enabled           SMALLINT NOT NULL,
    is_smartnic           SMALLINT NOT NULL,
    physical_network      TEXT     NOT NULL,
    portgroup_uuid        TEXT     NOT NULL,
    created_at            BIGINT   NOT NULL,
    updated_at            BIGINT   NOT NULL
);
CREATE UNIQUE INDEX ports_uuid ON ports (uuid);
CREATE UNIQUE INDEX ports_address ON ports (address);
CREATE UNIQUE INDEX ports_name ON ports (name) WHERE name <> '';
CREATE INDEX ports_by_node ON ports (node_uuid, id);

-- seq counts a node's entries: the primary key serves lists, paging and trimming.
CREATE TABLE history (
    node_uuid              TEXT             NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE,
    seq                    INTEGER          NOT NULL,
    uuid                   TEXT             NOT NULL,
    created_at             BIGINT           NOT NULL,
    severity               TEXT             NOT NULL,
    event_type             TEXT             NOT NULL,
    event                  TEXT             NOT NULL,
    conductor              TEXT             NOT NULL,
    user_name              TEXT             NOT NULL,
    state                  TEXT             NOT NULL,
    target_provision_state TEXT             NOT NULL,
    duration_seconds       DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (node_uuid, seq)
);

CREATE TABLE conductors (
    hostname        TEXT     NOT NULL PRIMARY KEY,
    conductor_group TEXT     NOT NULL,
    places          TEXT     NOT NULL,
    drivers         TEXT     NOT NULL,
    boot_id         TEXT     NOT NULL,
    alive           SMALLINT NOT NULL,
    created_at      BIGINT   NOT NULL,
    updated_at      BIGINT   NOT NULL
);
