-- add record metadata column
--
-- revision: 3ff6484f8b37
-- revises: ae5522b4c674
-- tag: 1.11
-- created: 2023-06-19 10:55:18
-- allow: require-concurrent-index-creation

-- migrate:up postgres
-- Nullable and without a default: no row is rewritten, however large the table.
alter table records add column metadata jsonb;

create index records_metadata on records using gin (metadata jsonb_path_ops);

-- migrate:up sqlite
alter table records add column metadata text check (metadata is null or json_valid(metadata));

-- migrate:down
-- The metadata is lost. On PostgreSQL its index goes with the column.
alter table records drop column metadata;
