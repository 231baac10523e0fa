-- What is kept of a node beside its row: inventory, firmware settings and
-- versions, virtual media.
CREATE TABLE node_documents (
    node_uuid  TEXT   NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE,
    kind       TEXT   NOT NULL,
    body       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (node_uuid, kind)
);
