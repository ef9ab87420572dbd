-- create workspaces table
--
-- revision: 82a5a88a3fa5
-- revises: 74694870197c
-- created: 2023-03-15 10:02:44

-- migrate:up postgres
create table workspaces (
    id         uuid primary key default gen_random_uuid(),
    name       varchar not null unique,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

-- migrate:up sqlite
create table workspaces (
    id         text primary key not null default (lower(hex(randomblob(16)))),
    name       text not null unique,
    created_at text not null default current_timestamp,
    updated_at text not null default current_timestamp
);

-- migrate:down
drop table workspaces;
