-- create records table
--
-- revision: 8be56284dac0
-- revises: 3a8e2f9b5dea
-- created: 2023-04-18 09:48:26

-- migrate:up postgres
create table records (
    id          uuid primary key default gen_random_uuid(),
    dataset_id  uuid not null references datasets (id) on delete cascade,
    external_id varchar,
    content     jsonb not null,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    unique (dataset_id, external_id)
);

-- migrate:up sqlite
create table records (
    id          text primary key not null default (lower(hex(randomblob(16)))),
    dataset_id  text not null references datasets (id) on delete cascade,
    external_id text,
    content     text not null check (json_valid(content)),
    created_at  text not null default current_timestamp,
    updated_at  text not null default current_timestamp,
    unique (dataset_id, external_id)
);

-- migrate:up
-- Annotators are served the records of a dataset oldest first, the id breaking ties.
create index records_dataset_id_created_at on records (dataset_id, created_at, id);

-- migrate:down
drop table records;
