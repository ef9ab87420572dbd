-- create questions table
--
-- revision: 3a8e2f9b5dea
-- revises: b9099dc08489
-- created: 2023-04-12 14:07:33

-- migrate:up postgres
create type question_type as enum ('text', 'rating', 'label');

create table questions (
    id         uuid primary key default gen_random_uuid(),
    dataset_id uuid not null references datasets (id) on delete cascade,
    name       varchar not null,
    title      text not null,
    type       question_type not null,
    required   boolean not null default false,
    settings   jsonb not null default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (dataset_id, name)
);

-- migrate:up sqlite
create table questions (
    id         text primary key not null default (lower(hex(randomblob(16)))),
    dataset_id text not null references datasets (id) on delete cascade,
    name       text not null,
    title      text not null,
    type       text not null check (type in ('text', 'rating', 'label')),
    required   boolean not null default false,
    settings   text not null default '{}' check (json_valid(settings)),
    created_at text not null default current_timestamp,
    updated_at text not null default current_timestamp,
    unique (dataset_id, name)
);

-- migrate:down
drop table questions;

-- migrate:down postgres
-- A type outlives the last column that uses it.
drop type question_type;
