-- create datasets table
--
-- revision: b9099dc08489
-- revises: 1769ee58fbb4
-- created: 2023-04-04 11:15:52

-- migrate:up postgres
create table datasets (
    id           uuid primary key default gen_random_uuid(),
    workspace_id uuid not null references workspaces (id) on delete cascade,
    name         varchar not null,
    guidelines   text,
    status       varchar not null default 'open',
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),
    unique (workspace_id, name)
);

-- migrate:up sqlite
create table datasets (
    id           text primary key not null default (lower(hex(randomblob(16)))),
    workspace_id text not null references workspaces (id) on delete cascade,
    name         text not null,
    guidelines   text,
    status       text not null default 'open',
    created_at   text not null default current_timestamp,
    updated_at   text not null default current_timestamp,
    unique (workspace_id, name)
);

-- migrate:down
drop table datasets;
