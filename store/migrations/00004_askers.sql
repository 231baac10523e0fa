-- For which project something was asked, and which ports a network driver may
-- take for port groups of its own.
ALTER TABLE history ADD COLUMN project TEXT NOT NULL DEFAULT '';
ALTER TABLE ports ADD COLUMN for_dynamic_portgroup SMALLINT NOT NULL DEFAULT 1;
