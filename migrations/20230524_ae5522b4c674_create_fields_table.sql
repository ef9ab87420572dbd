-- create fields table
--
-- revision: ae5522b4c674
-- revises: e402e9d9245e
-- tag: 1.8
-- created: 2023-05-24 13:12:40

-- migrate:up postgres
create table fields (
    id           uuid primary key default gen_random_uuid(),
    dataset_id   uuid not null references datasets (id) on delete cascade,
    name         varchar not null,
    title        text not null,
    required     boolean not null default false,
    use_markdown boolean not null default false,
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),
    unique (dataset_id, name)
);

-- migrate:up sqlite
create table fields (
    id           text primary key not null default (lower(hex(randomblob(16)))),
    dataset_id   text not null references datasets (id) on delete cascade,
    name         text not null,
    title        text not null,
    required     boolean not null default false,
    use_markdown boolean not null default false,
    created_at   text not null default current_timestamp,
    updated_at   text not null default current_timestamp,
    unique (dataset_id, name)
);

-- migrate:down
drop table fields;
