-- create suggestions table
--
-- revision: 3fc3c0839959
-- revises: 8c574ada5e5f
-- created: 2023-07-06 11:41:02

-- migrate:up postgres
create type suggestion_type as enum ('MODEL', 'HUMAN', 'USER');

create table suggestions (
    id          uuid primary key default gen_random_uuid(),
    record_id   uuid not null references records (id) on delete cascade,
    question_id uuid not null references questions (id) on delete cascade,
    type        suggestion_type,
    agent       varchar,
    score       double precision check (score between 0 and 1),
    value       jsonb not null,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    unique (record_id, question_id)
);

-- migrate:up sqlite
create table suggestions (
    id          text primary key not null default (lower(hex(randomblob(16)))),
    record_id   text not null references records (id) on delete cascade,
    question_id text not null references questions (id) on delete cascade,
    type        text check (type in ('MODEL', 'HUMAN', 'USER')),
    agent       text,
    score       real check (score between 0 and 1),
    value       text not null check (json_valid(value)),
    created_at  text not null default current_timestamp,
    updated_at  text not null default current_timestamp,
    unique (record_id, question_id)
);

-- migrate:up
create index suggestions_question_id on suggestions (question_id);

-- migrate:down
drop table suggestions;

-- migrate:down postgres
drop type suggestion_type;
